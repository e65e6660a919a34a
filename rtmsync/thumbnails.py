"""Thumbnails of images, made with Pillow where the extra `media` is installed."""

import io
from importlib import import_module
from typing import Any, BinaryIO, Final

from rtmcore.codes import UploadMediaError
from rtmcore.errors import InvalidArgument
from rtmcore.limits import MEDIA_THUMBNAIL_BYTES, MEDIA_THUMBNAIL_PIXELS, MEDIA_THUMBNAIL_SIDE

_FORMATS: Final = ("JPEG", "PNG", "BMP", "GIF", "WEBP")
_QUALITIES: Final = (80, 60, 40, 20)
_BACKGROUND: Final = (255, 255, 255)


def check_pillow() -> None:
    """See that thumbnails can be made.

    Raises:
        InvalidArgument: Pillow is not installed.
    """
    try:
        import_module("PIL.Image")
    except ImportError:
        raise InvalidArgument(
            "Thumbnails are made with Pillow, which is not installed.",
            code=UploadMediaError.INVALID_ARGUMENT,
            operation="upload",
            hint='Install it with: pip install "rtmsync[media]"; or give the thumbnail as bytes.',
        ) from None


def make_thumbnail(stream: BinaryIO) -> tuple[bytes, int, int]:
    """Make a thumbnail: a JPEG whose longer side has at most `limits.MEDIA_THUMBNAIL_SIDE` pixels.

    Args:
        stream: The image, of a format that Pillow can read and that is among the usual ones.

    Returns:
        The thumbnail, its width and its height.

    Raises:
        InvalidArgument: It is no image; or it has more than `limits.MEDIA_THUMBNAIL_PIXELS`, which would cost too much
            memory to unpack.
    """
    Image, ImageOps = _pillow("Image"), _pillow("ImageOps")  # noqa: N806 - the names of its modules
    try:
        with Image.open(stream, formats=_FORMATS) as image:
            width, height = image.size
            if width * height > MEDIA_THUMBNAIL_PIXELS:
                raise InvalidArgument(
                    f"The image has {width} x {height} pixels; thumbnails are made of at most "
                    f"{MEDIA_THUMBNAIL_PIXELS}."
                )
            side = (MEDIA_THUMBNAIL_SIDE, MEDIA_THUMBNAIL_SIDE)
            image.draft("RGB", side)  # a JPEG is unpacked no larger than needed
            image.thumbnail(side)
            return _packed(ImageOps.exif_transpose(image))
    except InvalidArgument:
        raise
    except Exception as error:  # decoders raise whatever they like at broken images
        raise InvalidArgument(f"No thumbnail can be made of this image: {error}.") from error


def _pillow(name: str) -> Any:
    """A module of Pillow, which is no dependency: neither do type checkers need it."""
    return import_module(f"PIL.{name}")


def _packed(image: Any) -> tuple[bytes, int, int]:
    Image = _pillow("Image")  # noqa: N806 - the name of its module
    flat = Image.new("RGB", image.size, _BACKGROUND)
    clear = image.convert("RGBA")
    flat.paste(clear, mask=clear.getchannel("A"))
    data = b""
    for quality in _QUALITIES:
        packed = io.BytesIO()
        flat.save(packed, "JPEG", quality=quality)
        data = packed.getvalue()
        if len(data) <= MEDIA_THUMBNAIL_BYTES:
            break
    return data, *flat.size
