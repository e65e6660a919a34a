"""What users send, turned into what goes over the wire."""

from enum import IntEnum
from typing import Final

from rtmcore.codes import MessageType
from rtmcore.errors import InvalidArgument
from rtmcore.files import FileMessage, encode_file, kind_of

_TEXT: Final = MessageType.TEXT
_RAW: Final = MessageType.RAW


def kind_and_body(
    message: str | bytes | FileMessage, code: IntEnum | None, operation: str
) -> tuple[MessageType, bytes]:
    """The kind and the bytes of a message.

    Args:
        message: Text becomes TEXT in UTF-8, bytes become RAW, what was uploaded FILE or IMAGE.
        code: The operation's code for an invalid message, or None where it has none.
        operation: Name of the method, for the error.

    Raises:
        InvalidArgument: Neither of them, or text that UTF-8 cannot express.
    """
    if message.__class__ is bytes:
        return _RAW, message
    if isinstance(message, str):
        try:
            return _TEXT, message.encode()
        except UnicodeEncodeError as error:
            raise InvalidArgument(
                f"The text cannot be sent: {error.reason} at character {error.start}.",
                code=code,
                operation=operation,
            ) from None
    if isinstance(message, bytes | bytearray | memoryview):
        return _RAW, bytes(message)
    if isinstance(message, FileMessage):
        try:
            return kind_of(message), encode_file(message)
        except InvalidArgument as error:
            raise InvalidArgument(error.message, code=code, operation=operation) from None
    raise InvalidArgument(
        f"A message is text or bytes, or about a file, not {type(message).__name__}.",
        code=code,
        operation=operation,
    )
