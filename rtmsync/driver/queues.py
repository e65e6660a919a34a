"""The queue between the network thread and whoever takes events: bounded, and open about what it dropped."""

import threading
from collections import deque
from typing import Final, Generic, TypeVar

import attrs

from rtmcore.limits import WAIT_SLICE
from rtmsync.driver.clock import Clock
from rtmsync.driver.lock import inside

T = TypeVar("T")


@attrs.frozen
class Lagged:
    """Events were dropped at this place of the stream, because the queue was full when they came.

    Peer messages are never dropped.
    """

    lost: int
    """How many, at least 1."""


class QueueClosed(Exception):
    """The queue was closed, and everything in it was taken."""


class QueueEmpty(Exception):
    """Nothing came in time."""


class EventQueue(Generic[T]):
    """Passes events from one producer at a time to any number of consumers.

    The producer takes no lock and never waits: it may hold the client's lock, and a consumer may be interrupted by a
    signal handler that wants that lock. So events that may be dropped are numbered and go into a deque that drops its
    oldest by itself; the consumers see from the numbers how many are missing.

    Args:
        maxsize: Droppable events that wait at most, at least 1.
    """

    __slots__ = (
        "_ahead",
        "_closed",
        "_count",
        "_droppable",
        "_expected",
        "_kept",
        "_order",
        "_taker",
        "_taking",
        "_waiting",
        "maxsize",
    )

    def __init__(self, maxsize: int) -> None:
        self.maxsize: Final = maxsize
        # Entries are (order among all, number among the droppable ones, event) and (order, event).
        self._droppable: deque[tuple[int, int, T]] = deque(maxlen=maxsize)
        self._kept: deque[tuple[int, T]] = deque()
        self._order = 0
        self._count = 0
        self._closed = False
        self._waiting: list[threading.Lock] = []
        # The consumers' side, guarded by _taking.
        self._taking = threading.RLock()
        self._taker = 0
        self._ahead: tuple[int, int, T] | None = None
        self._expected = 0

    def __len__(self) -> int:
        return len(self._droppable) + len(self._kept) + (self._ahead is not None)

    @property
    def kept(self) -> int:
        """How many of the events that are never dropped wait."""
        return len(self._kept)

    # --- The producer -------------------------------------------------------------------------------------------

    def put(self, event: T) -> None:
        """Add an event; a full queue drops its oldest droppable one. Call `wake` afterwards."""
        self._order = order = self._order + 1
        self._droppable.append((order, self._count, event))
        self._count += 1

    def keep(self, event: T) -> None:
        """Add an event that is never dropped, whatever `maxsize` says. Call `wake` afterwards."""
        self._order = order = self._order + 1
        self._kept.append((order, event))

    def miss(self, count: int) -> None:
        """Note that so many droppable events were lost before they came here."""
        self._count += count

    def wake(self) -> None:
        """Wake one waiting consumer, if there is one; any thread may call this."""
        try:
            self._waiting.pop(0).release()
        except IndexError:
            pass

    def close(self) -> None:
        """End the queue: consumers take what is left, then get `QueueClosed`. Any thread may call this."""
        self._closed = True
        while self._waiting:
            self.wake()

    # --- The consumers ------------------------------------------------------------------------------------------

    def get(self, seconds: float) -> T | Lagged:
        """Take the next event.

        Args:
            seconds: How long to wait for one; infinity for as long as it takes.

        Returns:
            The event, or `Lagged` where events before it were dropped.

        Raises:
            QueueEmpty: Nothing came in time.
            QueueClosed: Nothing is left and nothing more will come.
        """
        end: float | None = None
        while True:
            closed = self._closed
            try:
                event = self._take()
            except IndexError:
                if closed:
                    raise QueueClosed from None
            else:
                if self._waiting and len(self):
                    self.wake()
                return event
            now = Clock.now()
            if end is None:
                end = now + seconds
            if now >= end:
                raise QueueEmpty
            self._wait(min(end - now, WAIT_SLICE))

    def _wait(self, seconds: float) -> None:
        waiter = threading.Lock()
        waiter.acquire()
        self._waiting.append(waiter)
        try:
            # Looking again after enrolling: whoever adds something from now on sees the waiter.
            if not len(self) and not self._closed:
                waiter.acquire(timeout=seconds)
        finally:
            try:
                self._waiting.remove(waiter)
            except ValueError:
                # Woken: where this thread leaves without taking anything, another one takes the wake-up over.
                if self._waiting and len(self):
                    self.wake()

    def _take(self) -> T | Lagged:
        with self._taking:
            if self._taker:
                raise inside("get")
            self._taker = 1
            try:
                return self._choose()
            finally:
                self._taker = 0

    def _choose(self) -> T | Lagged:
        ahead = self._look_ahead()
        kept = self._kept
        if kept:
            if ahead is None:
                # What is before the kept event was there before it, so now it can be seen.
                ahead = self._look_ahead()
            if ahead is None or kept[0][0] < ahead[0]:
                return kept.popleft()[1]
        if ahead is None:
            raise IndexError
        lost = ahead[1] - self._expected
        if lost:
            self._expected = ahead[1]
            return Lagged(lost)
        self._ahead = None
        self._expected += 1
        return ahead[2]

    def _look_ahead(self) -> tuple[int, int, T] | None:
        if self._ahead is None and self._droppable:
            try:
                self._ahead = self._droppable.popleft()
            except IndexError:
                pass
        return self._ahead
