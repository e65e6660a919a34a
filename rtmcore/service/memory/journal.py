"""What must outlive the process, as records: the memory engine emits them, and is rebuilt from them.

Pure like the engine: somebody else writes a `Batch` to a disk and says when it is there. An `Image` is what all
committed batches come to; it is also the store of tests and of the simulator.
"""

from typing import TypeAlias

import attrs

from rtmcore.limits import JOURNAL_RETRY
from rtmcore.service.commands.attributes import ChannelAttributeValue
from rtmcore.service.commands.names import Name
from rtmcore.service.memory.kept import HistoryRecord, MemoryHistory

ChannelName: TypeAlias = tuple[str, str, str]
"""App, kind and channel."""


@attrs.frozen
class SessionRecord:
    """A live session. Written behind: nobody waits for it."""

    name: Name
    iid: str
    attempt: int
    fence: int
    digest: bytes = attrs.field(repr=False)
    """SHA-256 of the session's secret."""
    keepalive: float
    inbox: int
    """The acknowledged position of the inbox when this was written."""


@attrs.frozen
class StoredEntry:
    """An entry of an inbox with its id and its origin, which is unique."""

    id: int
    to: Name
    user: str
    iid: str
    cmid: int
    kind: int
    body: bytes = attrs.field(repr=False)
    offline: bool
    written: bool
    """It may have been written to a transport of its receiver."""
    expires: int = 0
    """When it is to be dropped, in microseconds since 1970; 0 for the days of all."""


@attrs.frozen
class Mark:
    """What became of a stored entry. None: as it was."""

    id: int
    offline: bool | None = None
    written: bool | None = None


@attrs.frozen
class AttributesRecord:
    """All attributes of a channel; it replaces what was known of them."""

    channel: ChannelName
    attributes: tuple[tuple[str, ChannelAttributeValue], ...] = attrs.field(repr=False)
    """Empty where it has none any more."""


@attrs.frozen
class Batch:
    """Records to be committed together, in one transaction. Applied in the order of the fields."""

    number: int
    """Counts up by one; batches are committed in this order."""
    reserved: int | None
    """No id above this one is given before a later reservation is committed."""
    sessions: tuple[SessionRecord, ...]
    """Sessions by name; each replaces what was known of its name."""
    ended: tuple[Name, ...]
    """Names that have no session any more."""
    stored: tuple[StoredEntry, ...]
    marks: tuple[Mark, ...]
    removed: tuple[int, ...]
    """Ids of entries that are no longer needed; unknown ones are to be ignored."""
    bans: tuple[tuple[Name, str], ...] = ()
    """Banned names with what their claims are answered; each replaces what was known of its name."""
    unbanned: tuple[Name, ...] = ()
    """Names that are banned no more; unknown ones are to be ignored."""
    attributes: tuple[AttributesRecord, ...] = ()
    history: tuple[HistoryRecord, ...] = ()
    """Messages for the history; each replaces one of the same origin."""
    history_limit: int = 0
    """Bytes that the history of each of their apps may then have: the oldest messages beyond are dropped."""
    history_removed: tuple[int, ...] = ()
    """Ids of messages that never got there; unknown ones are to be ignored."""
    history_first: int = 0
    """Messages of the history with smaller ids are to be dropped, if not all of them at once."""
    clean: bool = False
    """The last batch of an engine that was closed in order."""


@attrs.define
class Image:
    """What is on the disk: the effect of all batches that were committed."""

    reserved: int = 0
    sessions: dict[Name, SessionRecord] = attrs.field(factory=dict)
    entries: dict[int, StoredEntry] = attrs.field(factory=dict)
    bans: dict[Name, str] = attrs.field(factory=dict)
    attributes: dict[ChannelName, tuple[tuple[str, ChannelAttributeValue], ...]] = attrs.field(
        factory=dict, repr=False
    )
    history: MemoryHistory = attrs.field(factory=MemoryHistory, repr=False)
    """Empty where questions about it are answered by the disk itself."""
    clean: bool = True
    """The engine that wrote it was closed in order, so its marks are complete."""

    def apply(self, batch: Batch) -> None:
        """Add a committed batch."""
        if batch.reserved is not None:
            self.reserved = batch.reserved
        for record in batch.sessions:
            self.sessions[record.name] = record
        for name in batch.ended:
            self.sessions.pop(name, None)
        for entry in batch.stored:
            self.entries[entry.id] = entry
        for mark in batch.marks:
            found = self.entries.get(mark.id)
            if found is not None:
                self.entries[mark.id] = attrs.evolve(
                    found,
                    offline=found.offline if mark.offline is None else mark.offline,
                    written=found.written if mark.written is None else mark.written,
                )
        for entry_id in batch.removed:
            self.entries.pop(entry_id, None)
        self.bans.update(batch.bans)
        for name in batch.unbanned:
            self.bans.pop(name, None)
        for changed in batch.attributes:
            if changed.attributes:
                self.attributes[changed.channel] = changed.attributes
            else:
                self.attributes.pop(changed.channel, None)
        for kept in batch.history:
            self.history.add(kept)
        for app in {kept.app for kept in batch.history}:
            self.history.shrink(app, batch.history_limit)
        self.history.remove(batch.history_removed)
        self.history.drop_before(batch.history_first)
        self.clean = batch.clean

    def copy(self) -> "Image":
        """An image of the same content; records are values and shared."""
        return Image(
            self.reserved,
            dict(self.sessions),
            dict(self.entries),
            dict(self.bans),
            dict(self.attributes),
            self.history.copy(),
            self.clean,
        )


class Journal:
    """Collects records between two commits; one batch is being committed at a time.

    What is overtaken before it was handed out is never written: a session that ended, an entry that was
    acknowledged. So what waits here is bounded by the sessions, the names that were banned, and the caps on inboxes
    and attributes, however slow the disk.

    Args:
        enabled: False for an engine without a disk: nothing is collected, and everything counts as stored at once.
    """

    def __init__(self, *, enabled: bool) -> None:
        self.enabled = enabled
        self._number = 0
        self._committing: Batch | None = None
        self._retry_at: float | None = None
        self._reserved: int | None = None
        self._sessions: dict[Name, SessionRecord | None] = {}
        self._stored: dict[int, StoredEntry] = {}
        self._marks: dict[int, Mark] = {}
        self._removed: dict[int, None] = {}
        self._bans: dict[Name, str | None] = {}
        self._attributes: dict[ChannelName, AttributesRecord] = {}
        self._history: list[HistoryRecord] = []
        self._history_limit = 0
        self._history_removed: tuple[int, ...] = ()
        self._history_first = 0
        self._urgent = False

    # --- Records in ---------------------------------------------------------------

    def reserve(self, upto: int) -> None:
        """No id above this one will be given before the next reservation."""
        if self.enabled:
            self._reserved = upto

    def session(self, record: SessionRecord) -> None:
        """A session began or moved."""
        if self.enabled:
            self._sessions[record.name] = record

    def session_over(self, name: Name) -> None:
        """A name has no session any more."""
        if self.enabled:
            self._sessions[name] = None

    def ban(self, name: Name, text: str | None) -> int:
        """A name is banned, or with None no longer; the number of the batch that says so is returned."""
        self._bans[name] = text
        return self.next_number

    @property
    def next_number(self) -> int:
        """The number of the batch that what is recorded now will be in."""
        return self._number + 1

    def write_attributes(self, record: AttributesRecord, *, awaited: bool) -> int:
        """The attributes of a channel have changed; the number of the batch that says so is returned.

        Args:
            record: The attributes.
            awaited: Somebody waits for the commit, so that it is tried at once even where the disk has just failed.
        """
        self._attributes[record.channel] = record
        self._urgent = self._urgent or awaited
        return self.next_number

    def keep(self, record: HistoryRecord, limit: int) -> None:
        """A message is to be kept in the history, of which its app may have so many bytes."""
        self._history.append(record)
        self._history_limit = limit

    def forget_history(self, first: int) -> None:
        """The history begins with this id from now on. Written with what has to be written anyway."""
        self._history_first = max(0, first)

    def store(self, entry: StoredEntry) -> None:
        """An entry is to be stored; `committed` tells when it is."""
        self._stored[entry.id] = entry

    def mark(self, mark: Mark) -> None:
        """Something became of an entry that is stored, or is about to be."""
        if not self.enabled:
            return
        known = self._marks.get(mark.id)
        self._marks[mark.id] = mark if known is None else _merged(known, mark)

    def remove(self, entry_id: int) -> None:
        """An entry is no longer needed."""
        if not self.enabled:
            return
        self._marks.pop(entry_id, None)
        if self._stored.pop(entry_id, None) is None:
            self._removed[entry_id] = None

    # --- Batches out --------------------------------------------------------------

    @property
    def _waiting(self) -> bool:
        return bool(
            self._stored
            or self._sessions
            or self._removed
            or self._marks
            or self._bans
            or self._attributes
            or self._history
            or self._history_removed
            or self._reserved is not None
        )

    @property
    def waiting(self) -> int:
        """How many records wait for the next batch."""
        return (
            len(self._stored)
            + len(self._sessions)
            + len(self._removed)
            + len(self._marks)
            + len(self._bans)
            + len(self._attributes)
            + len(self._history)
        )

    def next_batch(self, now: float) -> Batch | None:
        """The records to commit next, or None where there are none, or the last ones are not committed yet."""
        if self._committing is not None or not self._waiting:
            return None
        self.handle_timer(now)
        if self._retry_at is not None and not (self._stored or self._history or self._urgent):
            return None
        return self._hand_out(clean=False)

    @property
    def committing(self) -> bool:
        """Whether a batch is handed out and not reported on yet."""
        return self._committing is not None

    def last_batch(self, reserved: int) -> Batch:
        """The records of an engine that is being closed in order, with the last id that it has given.

        Raises:
            ValueError: The last batch is not reported on yet.
        """
        if self._committing is not None:
            raise ValueError(f"Batch {self._committing.number} is not reported on yet.")
        self._reserved = reserved
        return self._hand_out(clean=True)

    def _hand_out(self, *, clean: bool) -> Batch:
        self._number += 1
        batch = Batch(
            number=self._number,
            reserved=self._reserved,
            sessions=tuple(record for record in self._sessions.values() if record is not None),
            ended=tuple(name for name, record in self._sessions.items() if record is None),
            stored=tuple(self._stored.values()),
            marks=tuple(self._marks.values()),
            # What is stored anew after a failed commit replaces what the disk may know of it.
            removed=tuple(entry_id for entry_id in self._removed if entry_id not in self._stored),
            bans=tuple((name, text) for name, text in self._bans.items() if text is not None),
            unbanned=tuple(name for name, text in self._bans.items() if text is None),
            attributes=tuple(self._attributes.values()),
            history=tuple(self._history),
            history_limit=self._history_limit,
            history_removed=self._history_removed,
            history_first=self._history_first,
            clean=clean,
        )
        self._reserved = None
        self._sessions = {}
        self._stored = {}
        self._marks = {}
        self._removed = {}
        self._bans = {}
        self._attributes = {}
        self._history = []
        self._history_removed = ()
        self._urgent = False
        self._committing = batch
        return batch

    def committed(self, number: int) -> Batch:
        """The batch of this number is on the disk."""
        batch = self._take(number)
        self._retry_at = None
        return batch

    def failed(self, number: int, now: float) -> Batch:
        """The batch of this number could not be committed.

        Its entries and what was to be kept are given up. They are removed with the next batch all the same, for a disk
        may know more of a failed transaction after a crash than it admitted. Who changed attributes of channels says
        what they are now. The rest is written again.
        """
        batch = self._take(number)
        self._retry_at = now + JOURNAL_RETRY
        if self._reserved is None:
            self._reserved = batch.reserved
        for record in batch.sessions:
            self._sessions.setdefault(record.name, record)
        for name in batch.ended:
            self._sessions.setdefault(name, None)
        for name, text in batch.bans:
            self._bans.setdefault(name, text)
        for name in batch.unbanned:
            self._bans.setdefault(name, None)
        gone = dict.fromkeys((*batch.removed, *(entry.id for entry in batch.stored)))
        for mark in batch.marks:
            if mark.id not in gone and mark.id not in self._removed:
                newer = self._marks.get(mark.id)
                self._marks[mark.id] = mark if newer is None else _merged(mark, newer)
        self._removed = {**gone, **self._removed}
        given_up = tuple(record.id for record in batch.history)
        self._history_removed = (*batch.history_removed, *given_up, *self._history_removed)
        return batch

    def _take(self, number: int) -> Batch:
        batch = self._committing
        if batch is None or batch.number != number:
            raise ValueError(f"Batch {number} is not the one that is being committed.")
        self._committing = None
        return batch

    def handle_timer(self, now: float) -> None:
        """The time to try again may have come."""
        if self._retry_at is not None and self._retry_at <= now:
            self._retry_at = None

    def next_deadline(self) -> float | None:
        """When `next_batch` has something again after a failure."""
        return self._retry_at if self._committing is None and self._waiting else None


def _merged(older: Mark, newer: Mark) -> Mark:
    return Mark(
        newer.id,
        older.offline if newer.offline is None else newer.offline,
        older.written if newer.written is None else newer.written,
    )
