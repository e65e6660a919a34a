"""Work in a few threads: in order for each key, side by side for different ones."""

import logging
import threading
from collections import deque
from collections.abc import Callable, Hashable
from typing import Final, Generic, TypeVar

from rtmsync.driver.clock import Clock

_log = logging.getLogger("rtmsync.server.blobs")

_Key = TypeVar("_Key", bound=Hashable)
_Work = TypeVar("_Work")

_SLOW_SHARE: Final = 2
"""One in so many threads does slow work at the same time as others: the rest is left for what is quick."""


class Lanes(Generic[_Key, _Work]):
    """Threads that carry out work, in order for each key.

    Slow work (a sync, a hash of a whole file) never has more than half of the threads, so that quick work goes on.

    Args:
        threads: How many threads, at least 2.
        carry_out: Does a piece of work; it raises nothing.
        is_slow: Whether a piece of work may take long.
    """

    def __init__(
        self, threads: int, carry_out: Callable[[_Work], None], is_slow: Callable[[_Work], bool]
    ) -> None:
        self._carry_out = carry_out
        self._is_slow = is_slow
        self._most_slow = max(1, threads // _SLOW_SHARE)
        self._slow = 0
        self._changed = threading.Condition()
        self._lanes: dict[_Key, deque[_Work]] = {}
        self._ready: tuple[deque[_Key], deque[_Key]] = (deque(), deque())  # quick work, slow work
        self._stopping = False
        self._threads = [
            threading.Thread(target=self._run, name=f"rtm-blobs-{number}", daemon=True)
            for number in range(threads)
        ]

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def put(self, key: _Key, work: _Work) -> None:
        """Have a piece of work done, behind all of its key that was put before."""
        with self._changed:
            lane = self._lanes.get(key)
            if lane is not None:
                lane.append(work)
                return
            self._lanes[key] = deque((work,))
            self._make_ready(key, work)

    def stop(self, timeout: float) -> bool:
        """Do what was put, and end the threads.

        Args:
            timeout: Seconds to wait for them.

        Returns:
            Whether they have ended.
        """
        until = Clock.now() + timeout
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(max(0.0, until - Clock.now()))
        return not any(thread.is_alive() for thread in self._threads)

    def _make_ready(self, key: _Key, work: _Work) -> None:
        self._ready[self._is_slow(work)].append(key)
        self._changed.notify()

    def _run(self) -> None:
        while (found := self._take()) is not None:
            key, work, slow = found
            try:
                self._carry_out(work)
            except Exception:  # noqa: BLE001 - the thread has other work to do
                _log.exception("a file could not be looked after")
            self._give_back(key, slow)

    def _take(self) -> tuple[_Key, _Work, bool] | None:
        """The next piece of work; None when all is done and the threads are to end."""
        quick, slow = self._ready
        with self._changed:
            while True:
                if slow and self._slow < self._most_slow:
                    self._slow += 1
                    key = slow.popleft()
                    return key, self._lanes[key][0], True
                if quick:
                    key = quick.popleft()
                    return key, self._lanes[key][0], False
                if self._stopping and not self._lanes:
                    return None
                self._changed.wait()

    def _give_back(self, key: _Key, slow: bool) -> None:
        with self._changed:
            self._slow -= slow
            lane = self._lanes[key]
            lane.popleft()
            if lane:
                self._make_ready(key, lane[0])
            else:
                del self._lanes[key]
            if slow or self._stopping:
                self._changed.notify_all()
