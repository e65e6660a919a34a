"""What is kept in the history: its records, the questions about them, and the history of those without a disk."""

from bisect import bisect_left
from collections.abc import Iterable
from itertools import islice
from typing import TypeAlias

import attrs

from rtmcore.limits import HISTORY_ENTRY_OVERHEAD
from rtmcore.service.commands.history import Kept, KeptEntry, ReadHistory

Origin: TypeAlias = tuple[str, str, str, int]
"""App, source, its instance and the request: unique in the history."""


@attrs.frozen
class HistoryRecord:
    """A message of the history."""

    id: int
    app: str
    source: str
    iid: str
    cmid: int
    destination: str
    channel: bool
    """Whether the destination is a channel."""
    kind: int
    body: bytes = attrs.field(repr=False)

    @property
    def size(self) -> int:
        """Bytes, as they are counted for its app."""
        return len(self.body) + HISTORY_ENTRY_OVERHEAD

    @property
    def origin(self) -> Origin:
        """Where it comes from."""
        return self.app, self.source, self.iid, self.cmid


@attrs.frozen(eq=False)
class HistoryQuestion:
    """A question about the history, for whoever holds it."""

    command: ReadHistory
    start: int
    """Microseconds since 1970, included: never earlier than the days for which messages are kept."""


class MemoryHistory:
    """The history of an engine without a disk, and of an image.

    Each app's messages lie in the order of their ids.
    """

    def __init__(self) -> None:
        self._apps: dict[str, list[HistoryRecord]] = {}
        self._sizes: dict[str, int] = {}
        self._origins: dict[Origin, int] = {}

    def add(self, record: HistoryRecord) -> None:
        """Add a message, whose id is the greatest; an older one of the same origin makes room."""
        older = self._origins.get(record.origin)
        if older is not None:
            self.remove((older,))
        self._apps.setdefault(record.app, []).append(record)
        self._sizes[record.app] = self._sizes.get(record.app, 0) + record.size
        self._origins[record.origin] = record.id

    def remove(self, ids: Iterable[int]) -> None:
        """Drop messages by their ids; unknown ones are ignored."""
        over = frozenset(ids)
        if not over:
            return
        for app, records in self._apps.items():
            for record in records:
                if record.id in over:
                    self._count_off(record)
            self._apps[app] = [record for record in records if record.id not in over]

    def shrink(self, app: str, limit: int) -> None:
        """Drop the oldest messages of an app until it has so many bytes at most."""
        records = self._apps.get(app, [])
        count = 0
        while self._sizes.get(app, 0) > limit:
            self._count_off(records[count])
            count += 1
        del records[:count]

    def drop_before(self, first: int) -> None:
        """Drop all messages with smaller ids."""
        for records in self._apps.values():
            count = bisect_left(records, first, key=_id_of)
            for record in records[:count]:
                self._count_off(record)
            del records[:count]

    def _count_off(self, record: HistoryRecord) -> None:
        self._sizes[record.app] -= record.size
        del self._origins[record.origin]

    def find(self, question: HistoryQuestion) -> Kept:
        """Answer a question."""
        command = question.command
        records = self._apps.get(command.app, [])
        begin = bisect_left(records, question.start, key=_id_of)
        end = bisect_left(records, command.end, key=_id_of)
        found = [record for record in records[begin:end] if _fits(record, command)]
        ordered = iter(found) if command.ascending else reversed(found)
        page = islice(ordered, command.offset, command.offset + command.limit)
        return Kept(
            tuple(
                KeptEntry(
                    record.id, record.source, record.destination, record.channel, record.kind, record.body
                )
                for record in page
            ),
            len(found),
        )

    def copy(self) -> "MemoryHistory":
        """A history of the same content; records are values and shared."""
        made = MemoryHistory()
        made._apps = {app: list(records) for app, records in self._apps.items()}
        made._sizes = dict(self._sizes)
        made._origins = dict(self._origins)
        return made


def _id_of(record: HistoryRecord) -> int:
    return record.id


def _fits(record: HistoryRecord, command: ReadHistory) -> bool:
    if command.source is not None and record.source != command.source:
        return False
    if command.destination is None:
        return True
    return record.destination == command.destination and record.channel == command.channel
