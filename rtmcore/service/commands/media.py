"""The media connection of a room session, and the data frames of rooms and RTC channels."""

from hashlib import sha256

import attrs

from rtmcore.service.commands.names import ROOM, Name, Session


def media_secret(secret: str) -> str:
    """The secret with which the media connection of a room session opens: made from the session's, and no way back."""
    return sha256(b"media connection of " + secret.encode()).hexdigest()


@attrs.frozen
class AttachMedia:
    """A media connection opens for a live room session. Answered by `Settled` or `Refusal`.

    `session` has the name and fence of the room session and the place of the media connection. A later one with a
    greater attempt replaces it. It ends with the session (`Ended` with this `session`), not with its signaling.
    """

    session: Session
    secret: str = attrs.field(repr=False)
    """The media secret that the client offers; see `media_secret`."""
    attempt: int


@attrs.frozen
class DetachMedia:
    """A media connection is gone. Not answered."""

    session: Session


@attrs.define
class SendData:
    """Send a data frame to all others in the room or RTC channel. Not answered, not kept.

    `session` is that of `AttachMedia` for a room, and the session itself for RTC.
    """

    session: Session
    track: str
    n: int
    body: bytes = attrs.field(repr=False)


@attrs.define
class DataNotice:
    """A data frame was sent to a watched room or RTC channel."""

    app: str
    channel: str
    author: Name
    track: str
    n: int
    body: bytes = attrs.field(repr=False)
    kind: str = ROOM
