"""Thumbnails, made with Pillow where that is installed."""

import io
import struct
import sys
import threading
import zlib
from typing import Any

import pytest
from PIL import Image

from rtmcore.codes import UploadMediaError
from rtmcore.images import image_size
from rtmcore.limits import MEDIA_THUMBNAIL_BYTES, MEDIA_THUMBNAIL_PIXELS, MEDIA_THUMBNAIL_SIDE
from rtmsync import InvalidArgument
from tests.sync.conftest import Connect

WAIT = 30.0


def picture(width: int, height: int, kind: str = "PNG", mode: str = "RGB") -> bytes:
    packed = io.BytesIO()
    Image.effect_mandelbrot((width, height), (-3, -2.5, 2, 2.5), 20).convert(mode).save(packed, kind)
    return packed.getvalue()


@pytest.mark.parametrize(
    ("kind", "mode"),
    [
        ("PNG", "RGB"),
        ("PNG", "RGBA"),
        ("PNG", "P"),
        ("JPEG", "RGB"),
        ("JPEG", "L"),
        ("BMP", "RGB"),
        ("GIF", "P"),
    ],
)
def test_a_thumbnail_is_a_small_jpeg(connect: Connect, kind: str, mode: str) -> None:
    message = connect().upload_image(picture(640, 320, kind, mode), thumbnail=True).result(WAIT)
    assert (message.width, message.height) == ((640, 320) if kind != "GIF" else (0, 0))
    assert (message.thumbnail_width, message.thumbnail_height) == (
        MEDIA_THUMBNAIL_SIDE,
        MEDIA_THUMBNAIL_SIDE // 2,
    )
    made = message.thumbnail
    assert 0 < len(made) <= MEDIA_THUMBNAIL_BYTES
    assert image_size(lambda offset, size: made[offset : offset + size]) == (160, 80)


def test_it_is_made_on_the_thread_of_the_transfer(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    module = Image
    threads: list[str] = []
    opened = module.open

    def note(*arguments: Any, **options: Any) -> Any:
        threads.append(threading.current_thread().name)
        return opened(*arguments, **options)

    monkeypatch.setattr(module, "open", note)
    client = connect()
    client.upload_image(picture(64, 64), thumbnail=True).result(WAIT)
    assert threads == [f"rtm-upload-{client.user_id}"]


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def bomb(width: int, height: int) -> bytes:
    """A PNG of few bytes that unpacks to many."""
    head = struct.pack(">II5B", width, height, 8, 2, 0, 0, 0)
    packed = zlib.compress(bytes(1_000_000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    "data",
    [
        b"no image",
        bomb(30_000, 30_000),
        bomb(MEDIA_THUMBNAIL_PIXELS // 1000 + 1, 1000),
        bomb(2**31 - 1, 2**31 - 1),
        bomb(100, 100)[:60],
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 1 1\n",
    ],
    ids=["text", "bomb", "one too many", "huge", "cut", "a program"],
)
def test_what_cannot_be_unpacked_safely_is_refused(connect: Connect, data: bytes) -> None:
    with pytest.raises(InvalidArgument) as caught:
        connect().upload_image(data, thumbnail=True).result(WAIT)
    assert caught.value.code is UploadMediaError.INVALID_ARGUMENT


def test_without_pillow_it_says_what_to_install(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    with pytest.raises(InvalidArgument) as caught:
        connect().upload_image(b"x", thumbnail=True)
    assert caught.value.code is UploadMediaError.INVALID_ARGUMENT
    assert "rtmsync[media]" in str(caught.value)
