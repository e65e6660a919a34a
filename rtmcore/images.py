"""What the first bytes of a file tell: its media type, and of a JPEG, PNG or BMP how large the picture is.

Files come from anywhere: everything read is bounded, and what does not fit is no picture, and never an error.
"""

from collections.abc import Callable
from typing import Final, TypeAlias

from rtmcore.limits import MEDIA_HEADER_BYTES, MEDIA_JPEG_SEGMENTS, MEDIA_SIDE_PIXELS

ReadAt: TypeAlias = Callable[[int, int], bytes]
"""Gives bytes of the file from an offset on, as many as were asked for; fewer only at its end."""

Size: TypeAlias = tuple[int, int]
"""Width and height in pixels."""

HEAD_BYTES: Final = 64
"""Bytes that `media_type` looks at."""

_PNG: Final = b"\x89PNG\r\n\x1a\n"
_JPEG: Final = b"\xff\xd8\xff"
_BMP: Final = b"BM"
_TYPES: Final = (
    (0, _PNG, "image/png"),
    (0, _JPEG, "image/jpeg"),
    (0, b"GIF87a", "image/gif"),
    (0, b"GIF89a", "image/gif"),
    (8, b"WEBP", "image/webp"),
    (0, b"PK\x03\x04", "application/zip"),
    (0, b"\x1f\x8b\x08", "application/gzip"),
    (4, b"ftypisom", "video/mp4"),
    (4, b"ftypmp42", "video/mp4"),
)
_OTHER: Final = "application/octet-stream"

# Bytes of the oldest header of a bitmap, which has its sides in two bytes each; later ones have four.
_BMP_CORE: Final = 12
_BMP_HEADERS: Final = frozenset({40, 52, 56, 64, 108, 124})
_BMP_BEGIN: Final = 14

_MARKER: Final = 0xFF
_START_OF_SCAN: Final = 0xDA
_END_OF_IMAGE: Final = 0xD9
_NO_FRAMES: Final = frozenset({0xC4, 0xC8, 0xCC})
"""Markers among those of frames that begin something else: tables, and one that is kept for later."""

_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - _NO_FRAMES
_ALONE: Final = frozenset({0x01, *range(0xD0, 0xD8)})
"""Markers without a length behind them."""


def media_type(head: bytes) -> str:
    """The media type of a file, as far as its first bytes tell; otherwise that of any bytes.

    Args:
        head: At least `HEAD_BYTES`, or the whole file.
    """
    if head.startswith(_BMP) and _bmp_size(head) is not None:
        return "image/bmp"
    for offset, magic, name in _TYPES:
        if head[offset : offset + len(magic)] == magic:
            return name
    return _OTHER


def image_size(read: ReadAt) -> Size | None:
    """The size of a picture, from the header of a JPEG, PNG or BMP.

    At most `limits.MEDIA_HEADER_BYTES` of the file, and `limits.MEDIA_JPEG_SEGMENTS` places in it, are looked at.

    Args:
        read: Gives the file's bytes.

    Returns:
        None where it is no such picture, or its header does not say what can be.
    """
    head = read(0, HEAD_BYTES)
    if head.startswith(_PNG):
        found = _png_size(head)
    elif head.startswith(_BMP):
        found = _bmp_size(head)
    elif head.startswith(_JPEG):
        found = _jpeg_size(read)
    else:
        found = None
    if found is None or not all(0 < side <= MEDIA_SIDE_PIXELS for side in found):
        return None
    return found


def _big(data: bytes) -> int:
    return int.from_bytes(data, "big")


def _png_size(head: bytes) -> Size | None:
    if head[12:16] != b"IHDR" or len(head) < 24:
        return None
    return _big(head[16:20]), _big(head[20:24])


def _bmp_size(head: bytes) -> Size | None:
    if len(head) < _BMP_BEGIN + _BMP_CORE:
        return None
    header = int.from_bytes(head[14:18], "little")
    if header == _BMP_CORE:
        return int.from_bytes(head[18:20], "little"), int.from_bytes(head[20:22], "little")
    if header not in _BMP_HEADERS:
        return None
    # A height below 0 says that the lines come from the top.
    sides = (int.from_bytes(head[begin : begin + 4], "little", signed=True) for begin in (18, 22))
    width, height = sides
    return width, abs(height)


def _jpeg_size(read: ReadAt) -> Size | None:
    offset = 2
    for _ in range(MEDIA_JPEG_SEGMENTS):
        if offset > MEDIA_HEADER_BYTES:
            return None
        # The marker, its length, and what a frame says of its size.
        head = read(offset, 9)
        if len(head) < 4 or head[0] != _MARKER:
            return None
        marker = head[1]
        if marker == _MARKER:
            offset += 1
        elif marker in _ALONE:
            offset += 2
        elif marker in _FRAMES:
            return (_big(head[7:9]), _big(head[5:7])) if len(head) == 9 else None
        elif marker in (_START_OF_SCAN, _END_OF_IMAGE) or _big(head[2:4]) < 2:
            return None
        else:
            offset += 2 + _big(head[2:4])
    return None
