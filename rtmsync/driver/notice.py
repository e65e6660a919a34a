"""Waits for something to become true, by threads that may be interrupted anywhere."""

import threading
from collections.abc import Callable

from rtmcore.limits import WAIT_SLICE
from rtmsync.driver.clock import Clock


class Notice:
    """Wakes everybody who waits for a change.

    Unlike a condition it has no lock that a signal handler could find taken by its own thread.
    """

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: list[threading.Lock] = []

    def give(self) -> None:
        """Wake all; they look again at what they wait for."""
        while self._waiting:
            try:
                self._waiting.pop(0).release()
            except IndexError:
                return

    def wait(self, condition: Callable[[], bool], until: float) -> bool:
        """Wait for a condition, which whoever makes it true follows by `give`.

        Args:
            condition: Must not block.
            until: When to stop, in seconds of the drivers' clock; infinity for never.

        Returns:
            Whether it is true.
        """
        while not condition():
            left = until - Clock.now()
            if left <= 0:
                return False
            waiter = threading.Lock()
            waiter.acquire()
            self._waiting.append(waiter)
            # Looking again after enrolling: whoever makes it true from now on sees the waiter.
            try:
                if not condition():
                    waiter.acquire(timeout=min(left, WAIT_SLICE))
            finally:
                try:
                    self._waiting.remove(waiter)
                except ValueError:
                    pass
        return True
