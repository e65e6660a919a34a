"""Entries of a log: of an inbox, or of a channel."""

import attrs


@attrs.define
class Entry:
    """An entry of a log: of an inbox, or of a channel (where `offline` and `again` are False)."""

    id: int
    prev: int
    user: str
    iid: str
    cmid: int
    kind: int
    body: bytes = attrs.field(repr=False)
    offline: bool = False
    again: bool = False


@attrs.define
class Page:
    """Entries of a log after a position, oldest first."""

    entries: list[Entry]
    top: int
    """The last position of the log."""
    lost: int
    """Entries after the position that are gone and were not the reader's own."""
    complete: bool
    """True where the page reaches the top."""
