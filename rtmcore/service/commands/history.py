"""Messages that are kept on the disk, and questions about them."""

import attrs

from rtmcore.service.commands.names import Session


@attrs.frozen
class ReadHistory:
    """Ask for messages that were kept in the history. Answered by `Kept`, late: it is read from the disk.

    No session needed; whoever asks has judged the permission.
    """

    app: str
    asker: Session | None
    cmid: int
    source: str | None
    destination: str | None
    channel: bool
    start: int
    """Microseconds since 1970, included."""
    end: int
    """Microseconds since 1970, not included."""
    offset: int
    limit: int
    """0 asks for the count only."""
    ascending: bool


@attrs.define
class KeptEntry:
    """A message of the history, or a stored one."""

    id: int
    source: str
    destination: str
    channel: bool
    kind: int
    body: bytes = attrs.field(repr=False)


@attrs.frozen
class Kept:
    """A page of kept messages, and how many there are in all."""

    messages: tuple[KeptEntry, ...]
    count: int
