"""Deadlines of many things in one heap; each thing has at most one that counts."""

from collections.abc import Iterator
from heapq import heappop, heappush
from typing import Protocol


class Alarmed(Protocol):
    """A thing that something will have to be done about."""

    alarm: float | None
    """When, in monotonic seconds; None for never. Set by `Alarms` only."""


class Alarms:
    """When to look at which thing again.

    A thing's alarm is its attribute; what lies in the heap besides is outdated and skipped.
    """

    __slots__ = ("_count", "_heap")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Alarmed]] = []
        self._count = 0

    def set(self, thing: Alarmed, when: float | None) -> None:
        """Look at a thing at a time, and at no other; None takes its alarm back."""
        if thing.alarm == when:
            return
        thing.alarm = when
        if when is not None:
            self._count += 1
            heappush(self._heap, (when, self._count, thing))

    def next(self) -> float | None:
        """The earliest alarm, in monotonic seconds."""
        heap = self._heap
        while heap:
            when, _, thing = heap[0]
            if thing.alarm == when:
                return when
            heappop(heap)
        return None

    def due(self, now: float) -> Iterator[Alarmed]:
        """Things whose time has come, earliest first; each loses its alarm. New alarms may be set meanwhile."""
        heap = self._heap
        while heap and heap[0][0] <= now:
            when, _, thing = heappop(heap)
            if thing.alarm == when:
                thing.alarm = None
                yield thing
