"""Raw messages with a description: both in one body, as `packets.RAW_DESCRIBED` says."""

from typing import Final

from rtmcore.codes import MessageType
from rtmcore.wire.packets import RAW_DESCRIBED

SIZE_BYTES: Final = 2
"""Bytes of the description's size, which such a body begins with; they do not count as the message's."""

_KINDS: Final = {int(kind): kind for kind in MessageType}


def with_description(body: bytes, description: bytes) -> bytes:
    """The body of a message with a description.

    Args:
        body: The message.
        description: In UTF-8, less than 64 KiB.
    """
    return len(description).to_bytes(SIZE_BYTES, "big") + description + body


def read_body(kind: int, body: bytes) -> tuple[MessageType, bytes, str | None]:
    """The kind, the message and the description of what came over the wire.

    Args:
        kind: As it was sent.
        body: As it was sent.

    Returns:
        RAW with a description, where there is one that can be read; a kind that this version does not know is
        UNDEFINED. Bytes of a description that are not UTF-8 are replaced by U+FFFD.
    """
    if kind != RAW_DESCRIBED:
        return _KINDS.get(kind, MessageType.UNDEFINED), body, None
    begin = SIZE_BYTES + int.from_bytes(body[:SIZE_BYTES], "big")
    if not SIZE_BYTES <= begin <= len(body):
        return MessageType.UNDEFINED, body, None
    return MessageType.RAW, body[begin:], body[SIZE_BYTES:begin].decode("utf-8", "replace")


def message_size(kind: int, body: bytes) -> int:
    """Bytes of a message and its description, as `limits.MESSAGE_BYTES` counts them."""
    return len(body) - SIZE_BYTES if kind == RAW_DESCRIBED else len(body)
