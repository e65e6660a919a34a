"""What messages about files and images say, and how they travel: the file itself is at the server.

A body is the size of a JSON object in two bytes, most significant first, that object, and the thumbnail. Bodies come
from other users, so nothing about them is believed: what does not fit is no such message, and never an error.
"""

import re
from typing import Annotated, Any, Final

import attrs
import msgspec
from msgspec import Meta

from rtmcore.codes import MessageType
from rtmcore.errors import InvalidArgument
from rtmcore.limits import MEDIA_BYTES_MAX, MEDIA_ID_LENGTH, MEDIA_NAME_BYTES, MEDIA_SIDE_PIXELS

_SIZE_BYTES: Final = 2
_ID: Final = re.compile(rf"[A-Za-z0-9_-]{{1,{MEDIA_ID_LENGTH}}}")
_SEPARATORS: Final = frozenset("/\\")


def is_valid_media_id(value: object) -> bool:
    """Whether a value can be the id of a file at the server."""
    return isinstance(value, str) and _ID.fullmatch(value) is not None


def explain_invalid_name(name: object) -> str | None:
    """Say what is wrong with the name of a file; None where it is one, also where it is empty.

    Args:
        name: Anything.

    Returns:
        One sentence in which the name is not quoted.
    """
    if not isinstance(name, str):
        return f"The name of a file is text, not {type(name).__name__}."
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        return "The name of the file is no valid Unicode."
    if size > MEDIA_NAME_BYTES:
        return f"The name of the file has {size} bytes; at most {MEDIA_NAME_BYTES} are allowed."
    if name in (".", "..") or not (name.isprintable() and _SEPARATORS.isdisjoint(name)):
        return "The name of a file is no path, and has no characters that cannot be shown."
    return None


def _invalid(text: str) -> InvalidArgument:
    return InvalidArgument(text, operation="message")


def _check_count(most: int) -> Any:
    def check(_: object, attribute: "attrs.Attribute[int]", value: object) -> None:
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
            raise _invalid(f"The {attribute.name} of a file is a whole number from 0 to {most}.")

    return check


_side: Final = _check_count(MEDIA_SIDE_PIXELS)


@attrs.frozen
class FileMessage:
    """A file at the server, and what its sender has said about it. Made by an upload, or by the media id.

    ```python
    client.send_peer("bob", FileMessage(media_id, name="report.pdf"))
    ```

    Attributes:
        media_id: Names the file, whose bytes whoever has it may download.
        size: Bytes of the file; 0 where they are not known.
        name: What it is called, at most 255 bytes; no path. Empty where nobody has said.
        description: What there is to say about it.
        thumbnail: A small picture of it, as bytes of any format; empty where there is none.

    Raises:
        InvalidArgument: A value is not possible.
    """

    media_id: str = attrs.field()
    size: int = attrs.field(default=0, validator=_check_count(MEDIA_BYTES_MAX))
    name: str = attrs.field(default="", repr=False)
    description: str = attrs.field(default="", repr=False)
    thumbnail: bytes = attrs.field(default=b"", repr=False)

    @media_id.validator
    def _check_id(self, _: object, value: object) -> None:
        if not is_valid_media_id(value):
            raise _invalid(
                f"A media id has 1 to {MEDIA_ID_LENGTH} letters, digits, hyphens and underscores: take it from the "
                "message, or from the upload."
            )

    @name.validator
    def _check_name(self, _: object, value: object) -> None:
        wrong = explain_invalid_name(value)
        if wrong is not None:
            raise _invalid(wrong)

    @description.validator
    def _check_description(self, _: object, value: object) -> None:
        try:
            if isinstance(value, str):
                value.encode()
                return
        except UnicodeEncodeError:
            pass
        raise _invalid("The description of a file is text in valid Unicode.")

    @thumbnail.validator
    def _check_thumbnail(self, _: object, value: object) -> None:
        if not isinstance(value, bytes):
            raise _invalid("The thumbnail of a file is bytes.")


@attrs.frozen
class ImageMessage(FileMessage):
    """An image at the server, and what its sender has said about it; see `FileMessage`.

    Attributes:
        width: Of the image, in pixels; 0 where it is not known.
        height: Of the image, in pixels.
        thumbnail_width: Of the thumbnail, in pixels; 0 where nobody has said.
        thumbnail_height: Of the thumbnail, in pixels.
    """

    width: int = attrs.field(default=0, validator=_side)
    height: int = attrs.field(default=0, validator=_side)
    thumbnail_width: int = attrs.field(default=0, validator=_side)
    thumbnail_height: int = attrs.field(default=0, validator=_side)


FILE_KINDS: Final = {MessageType.FILE: FileMessage, MessageType.IMAGE: ImageMessage}
"""What the messages of these kinds say."""

_Side = Annotated[int, Meta(ge=0, le=MEDIA_SIDE_PIXELS)]


@attrs.define
class _Head:
    """The JSON object in a body."""

    id: str
    size: Annotated[int, Meta(ge=0, le=MEDIA_BYTES_MAX)] = 0
    name: str = ""
    description: str = ""
    width: _Side = 0
    height: _Side = 0
    thumbnail_width: _Side = 0
    thumbnail_height: _Side = 0


_HEAD: Final = msgspec.json.Decoder(_Head)
_SIDES: Final = ("width", "height", "thumbnail_width", "thumbnail_height")


def kind_of(message: FileMessage) -> MessageType:
    """The kind of a message: IMAGE or FILE."""
    return MessageType.IMAGE if isinstance(message, ImageMessage) else MessageType.FILE


def encode_file(message: FileMessage) -> bytes:
    """The body of a message about a file or an image.

    Args:
        message: What it says; whether the body is too large is for whoever sends it to see.

    Raises:
        InvalidArgument: Name and description do not fit what the two bytes of their size can say.
    """
    values: dict[str, object] = {
        "id": message.media_id,
        "size": message.size,
        "name": message.name,
        "description": message.description,
    }
    values.update({side: getattr(message, side) for side in _SIDES if isinstance(message, ImageMessage)})
    head = msgspec.json.encode({key: value for key, value in values.items() if value})
    if len(head) >= 1 << 8 * _SIZE_BYTES:
        raise _invalid("The description of the file is too long for a message.")
    return len(head).to_bytes(_SIZE_BYTES, "big") + head + message.thumbnail


def decode_file(kind: int, body: bytes) -> FileMessage | None:
    """Read the body of a message; None where it is none about a file or an image.

    Fields of the object that this version does not know are ignored.

    Args:
        kind: Of the message.
        body: Of another user.
    """
    if kind not in FILE_KINDS:
        return None
    end = _SIZE_BYTES + int.from_bytes(body[:_SIZE_BYTES], "big")
    if not _SIZE_BYTES < end <= len(body):
        return None
    try:
        head = _HEAD.decode(body[_SIZE_BYTES:end])
        common = (head.id, head.size, head.name, head.description, body[end:])
        if kind == MessageType.FILE:
            return FileMessage(*common)
        return ImageMessage(*common, *(getattr(head, side) for side in _SIDES))
    except (msgspec.MsgspecError, UnicodeError, RecursionError, InvalidArgument):
        return None
