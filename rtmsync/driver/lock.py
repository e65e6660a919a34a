"""The one lock of a client: it guards the core and the sockets, and knows its owner.

Signal handlers and finalizers run between any two instructions of a thread, so a thread may come back to the lock
that it holds already. It must not wait then (for itself), and must not touch the core either (half way through a
change). It leaves what it wants in a queue, and the holder, which is the same thread further down its stack,
empties the queue before letting go.
"""

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Final, TypeVar

from rtmcore.errors import LocalProtocolError, RtmError, WouldDeadlock

T = TypeVar("T")

_COURTESY: Final = 0.05
"""Seconds after which the network thread, still waiting, lets callers compete for the lock again. Reached only where
a signal handler makes a call in the one instruction between its thread's taking the lock and noting that."""


class CoreLock:
    """Runs actions one at a time, the network thread's before those of callers.

    No action may block or run code of the application.

    Args:
        settle: Called under the lock after each action: writes what the core wants to send.
        alarm: Called when `poisoned` was set; must not block.

    Attributes:
        network_waits: Whether the network thread waits for its turn.
        poisoned: An exception such as KeyboardInterrupt has cut an action short, and bytes may be missing from the
            stream to the server. `settle` writes nothing until the network thread has dropped the transports and
            taken this back.
    """

    __slots__ = ("_alarm", "_gate", "_left", "_lock", "_owner", "_settle", "network_waits", "poisoned")

    def __init__(self, settle: Callable[[], None], alarm: Callable[[], None]) -> None:
        self._settle = settle
        self._alarm = alarm
        # Entering a `with` block of an RLock is one step for signals: none can come between taking and noting that
        # it must be given back. Its own count of entries replaces what _owner cannot tell in that moment.
        self._lock = threading.RLock()
        self._gate = threading.RLock()
        self.network_waits = False
        self._owner = 0
        self._left: SimpleQueue[Callable[[], object]] = SimpleQueue()
        self.poisoned = False

    def held_here(self) -> bool:
        """Whether this thread is inside an action further down its stack."""
        return self._owner == threading.get_ident()

    def run(self, action: Callable[[], T], operation: str) -> T:
        """Run an action whose result is needed.

        Args:
            action: May raise RtmError to refuse, before it has changed anything.
            operation: Name of the public method, for the error.

        Raises:
            WouldDeadlock: This thread holds the lock already.
        """
        if self.network_waits:
            with self._gate:
                pass
        with self._lock:
            if self._owner:
                raise inside(operation)
            return self._hold(action)

    def run_or_leave(self, action: Callable[[], object]) -> bool:
        """Run an action, or leave it to the holder where this thread is the holder.

        Args:
            action: Must not raise anything when it is run by the holder.

        Returns:
            Whether it has run.
        """
        if self.network_waits:
            with self._gate:
                pass
        with self._lock:
            if self._owner:
                self._left.put(action)
                return False
            self._hold(action)
            return True

    def run_first(self, action: Callable[[], T]) -> T:
        """Run an action of the network thread: callers that come later wait until it has had its turn."""
        if not self._lock.acquire(blocking=False):
            taken = False
            while not taken:
                with self._gate:
                    # Not before: whoever sees it must find the gate closed.
                    self.network_waits = True
                    taken = self._lock.acquire(timeout=_COURTESY)
            self.network_waits = False
        try:
            return self._hold(action)
        finally:
            self._lock.release()

    def _hold(self, action: Callable[[], T]) -> T:
        sound = True
        try:
            self._owner = threading.get_ident()
            try:
                return action()
            except BaseException as error:
                sound = isinstance(error, RtmError) and not isinstance(error, LocalProtocolError)
                raise
            finally:
                if sound:
                    self._let_go()
        except BaseException:
            # Not sound; or a signal handler has raised where a call begins, before it had done anything. It might do so
            # once more where `_poison` begins.
            if self._owner:
                self.poisoned = True
                self._owner = 0
                self._alarm()
            raise

    def _let_go(self) -> None:
        left = self._left
        try:
            while True:
                while not left.empty():
                    left.get_nowait()()
                self._settle()
                if left.empty():
                    self._owner = 0
                    if left.empty():
                        return
                    self._owner = threading.get_ident()
        except BaseException:
            self._poison()
            raise

    def _poison(self) -> None:
        self.poisoned = True
        self._owner = 0
        self._alarm()


def inside(operation: str) -> WouldDeadlock:
    """The error for a blocking call that could only wait for itself."""
    return WouldDeadlock(
        f"{operation} was called by a signal handler or finalizer that interrupted the library itself, so it "
        "cannot wait.",
        operation=operation,
    )
