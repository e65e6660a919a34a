"""The signals of call invitations: bodies of peer messages of the kind `packets.INVITATION`, as JSON.

They come from other users, so nothing about them is believed: what does not fit is no signal, and never an error.
"""

import enum
from typing import Annotated, Final

import attrs
import msgspec
from msgspec import Meta

from rtmcore.figures import DOCUMENTED, Sizes
from rtmcore.limits import (
    INVITATION_CHANNEL_BYTES,
    INVITATION_CONTENT_BYTES,
    INVITATION_ID_BYTES,
    INVITATION_RESPONSE_BYTES,
    INVITATION_SIGNAL_BYTES,
)
from rtmcore.wire.packets import Count

_Id = Annotated[str, Meta(min_length=1, max_length=INVITATION_ID_BYTES)]


class Signal(str, enum.Enum):
    """What a signal says. The first five come from the caller, the others from the callee."""

    INVITE = "invite"
    CONFIRM = "confirm"  # the acceptance is in time, and the call stands
    CANCEL = "cancel"
    EXPIRED = "expired"  # the caller does not wait any longer
    UNKNOWN = "unknown"  # the caller knows of no such invitation (any more)
    RECEIVED = "received"
    ACCEPT = "accept"
    REFUSE = "refuse"


@attrs.define
class InvitationSignal:
    """One signal between caller and callee."""

    signal: Signal
    id: _Id
    """Of the invitation; chosen by the caller, and never used twice by it."""
    age: Count = 0
    """Milliseconds since the invitation was sent, on the caller's clock; in INVITE."""
    content: str = attrs.field(default="", repr=False)
    """In INVITE and CANCEL."""
    channel: str = ""
    """In INVITE."""
    response: str = attrs.field(default="", repr=False)
    """In ACCEPT and REFUSE."""


_BOUNDS: Final = (
    ("id", INVITATION_ID_BYTES),
    ("content", INVITATION_CONTENT_BYTES),
    ("channel", INVITATION_CHANNEL_BYTES),
    ("response", INVITATION_RESPONSE_BYTES),
)
_DECODER: Final = msgspec.json.Decoder(InvitationSignal)


@attrs.define
class _Texts:
    """The texts of a signal, whatever it says."""

    content: str = attrs.field(default="", repr=False)
    channel: str = ""
    response: str = attrs.field(default="", repr=False)


_TEXTS: Final = msgspec.json.Decoder(_Texts)


def encode_signal(signal: InvitationSignal) -> bytes:
    """The body of a peer message.

    Args:
        signal: Within all bounds; see `explain_invalid_text`.
    """
    return msgspec.json.encode(signal)


def decode_signal(body: bytes) -> InvitationSignal | None:
    """Read the body of a peer message; None where it is no signal, whatever it is.

    Fields that this version does not know are ignored.

    Args:
        body: Of another user.
    """
    if len(body) > INVITATION_SIGNAL_BYTES:
        return None
    try:
        found = _DECODER.decode(body)
        within = all(len(getattr(found, name).encode()) <= bytes_ for name, bytes_ in _BOUNDS)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
    return found if within else None


def explain_oversize(body: bytes, sizes: Sizes = DOCUMENTED) -> str | None:
    """Say what is too large in the body of a peer message that carries a signal.

    Servers look at nothing else in it: what is no signal is for the receiver to ignore, and what this version does not
    know may be a later one's.

    Args:
        body: Of a user.
        sizes: The figures in force.

    Returns:
        One sentence in which the texts are not quoted, or None where all is well.
    """
    if len(body) > INVITATION_SIGNAL_BYTES:
        return f"The invitation has {len(body)} bytes; at most {INVITATION_SIGNAL_BYTES} are allowed."
    try:
        texts = _TEXTS.decode(body)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
    return (
        explain_invalid_text(texts.content, "content", sizes.invitation_content)
        or explain_invalid_text(texts.channel, "channel id", INVITATION_CHANNEL_BYTES)
        or explain_invalid_text(texts.response, "response", sizes.invitation_response)
    )


def explain_invalid_text(text: object, what: str, most: int) -> str | None:
    """Say what is wrong with a text that is to travel in a signal.

    Args:
        text: Anything.
        what: What it is meant to be, for example ``"content"``.
        most: UTF-8 bytes that it may have.

    Returns:
        One sentence in which the text is not quoted, or None where all is well.
    """
    if not isinstance(text, str):
        return f"The {what} of an invitation is text, not {type(text).__name__}."
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        return f"The {what} of an invitation cannot be sent: {error.reason} at character {error.start}."
    if size > most:
        return f"The {what} of an invitation has {size} bytes; at most {most} are allowed."
    return None
