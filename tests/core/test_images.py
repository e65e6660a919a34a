"""The size of pictures, from their headers."""

import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtmcore.images import image_size, media_type
from rtmcore.limits import MEDIA_HEADER_BYTES, MEDIA_JPEG_SEGMENTS


def png(width: int, height: int) -> bytes:
    head = struct.pack(">II5B", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I", 13)
        + b"IHDR"
        + head
        + struct.pack(">I", zlib.crc32(b"IHDR" + head))
    )


def bmp(width: int, height: int, header: int = 40) -> bytes:
    return b"BM" + bytes(12) + struct.pack("<Iii", header, width, height) + bytes(header)


def old_bmp(width: int, height: int) -> bytes:
    return b"BM" + bytes(12) + struct.pack("<IHH", 12, width, height) + bytes(4)


def segment(marker: int, body: bytes) -> bytes:
    return bytes((0xFF, marker)) + struct.pack(">H", len(body) + 2) + body


def frame(width: int, height: int, marker: int = 0xC0) -> bytes:
    return segment(marker, struct.pack(">BHHB", 8, height, width, 3) + bytes(9))


def jpeg(width: int, height: int, before: bytes = b"", marker: int = 0xC0) -> bytes:
    return b"\xff\xd8" + segment(0xE0, b"JFIF\0" + bytes(9)) + before + frame(width, height, marker)


def size_of(data: bytes) -> tuple[int, int] | None:
    read = 0

    def read_at(offset: int, size: int) -> bytes:
        nonlocal read
        assert size <= 64
        read += size
        assert read <= 16 * MEDIA_JPEG_SEGMENTS
        return data[offset : offset + size]

    return image_size(read_at)


@pytest.mark.parametrize(
    "data",
    [
        png(640, 480),
        bmp(640, 480),
        bmp(640, -480),
        bmp(640, 480, 124),
        old_bmp(640, 480),
        jpeg(640, 480),
        jpeg(640, 480, marker=0xC2),
        jpeg(640, 480, segment(0xE1, b"Exif" + bytes(65_000)) * 20),
        jpeg(640, 480, segment(0xC4, bytes(30)) + b"\xff\xff\xff" + segment(0xFE, b"")),
        jpeg(640, 480, segment(0xE1, b"\xff\xc0\0\x11\x08\0\x01\0\x01")),
    ],
)
def test_the_header_tells_the_size(data: bytes) -> None:
    assert size_of(data) == (640, 480)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"GIF89a" + bytes(60),
        png(0, 5),
        png(5, 0),
        png(2**31, 1),
        png(5, 5)[:23],
        b"\x89PNG\r\n\x1a\n" + bytes(40),
        bmp(-5, 5),
        bmp(0, 0),
        bmp(5, 5, 41),
        bmp(5, -(2**31)),
        b"BM",
        b"\xff\xd8\xff",
        jpeg(5, 5)[:25],
        jpeg(5, 5, segment(0xDA, b"")),
        jpeg(5, 5, b"\xff\xe0\0\0"),
        jpeg(5, 5, b"no marker"),
        jpeg(0, 5),
        jpeg(5, 5, b"\xff" * (MEDIA_JPEG_SEGMENTS + 1)),
        jpeg(5, 5, segment(0xE1, bytes(65_000)) * (MEDIA_HEADER_BYTES // 65_000 + 1)),
    ],
)
def test_what_is_no_picture_has_no_size(data: bytes) -> None:
    assert size_of(data) is None


@given(st.sampled_from([b"\x89PNG\r\n\x1a\n", b"BM", b"\xff\xd8\xff", b""]), st.binary(max_size=300))
def test_any_bytes_are_read_without_an_error(begin: bytes, rest: bytes) -> None:
    size_of(begin + rest)
    media_type(begin + rest)


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (png(5, 5), "image/png"),
        (bmp(5, 5), "image/bmp"),
        (jpeg(5, 5), "image/jpeg"),
        (b"GIF89a", "image/gif"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "image/webp"),
        (b"PK\x03\x04", "application/zip"),
        (b"BM, a letter", "application/octet-stream"),
        (b"<html>", "application/octet-stream"),
        (b"", "application/octet-stream"),
    ],
)
def test_the_first_bytes_tell_the_type(data: bytes, name: str) -> None:
    assert media_type(data) == name
