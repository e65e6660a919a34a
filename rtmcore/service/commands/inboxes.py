"""Receiving messages: the inbox of a user."""

import attrs

from rtmcore.service.commands.entries import Entry
from rtmcore.service.commands.names import Session


@attrs.define
class Acknowledge:
    """The inbox up to a position was handed to the application. Not answered."""

    session: Session
    upto: int


@attrs.define
class ReadInbox:
    """Read entries after a position. Answered by `Page`."""

    session: Session
    after: int
    messages: int
    size: int
    """At most so many bytes of bodies, but at least one entry."""


@attrs.frozen
class ListStored:
    """Ask for the entries of the session's inbox that are stored and not acknowledged. Answered by `Kept`."""

    session: Session
    cmid: int
    floor: int
    after: int
    messages: int
    size: int


@attrs.frozen
class DropStored:
    """Drop those entries. Answered by `Settled` when that is on the disk."""

    session: Session
    cmid: int
    floor: int


@attrs.define
class InboxNotice:
    """An entry was appended to the inbox of a session on this node."""

    session: Session
    entry: Entry
