"""How the result of a request reaches the thread that wants it: a lock for one that waits, a Future for others."""

import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from typing import Any, Final, Generic, Protocol, TypeAlias, TypeVar

from rtmcore.client.requests import Ticket
from rtmcore.errors import ForkedClient, WouldDeadlock
from rtmcore.limits import WAIT_SLICE
from rtmsync.driver.clock import Clock

T = TypeVar("T")


class Waiter:
    """One blocked call. A bare lock wakes a thread in half the time of a condition or a Future."""

    __slots__ = ("_lock", "error", "ticket", "value")

    def __init__(self) -> None:
        self.ticket: Ticket | None = None
        self._lock = threading.Lock()
        self._lock.acquire()
        self.value: Any = None
        self.error: BaseException | None = None

    def complete(self, value: Any, error: BaseException | None) -> None:
        """Wake the caller. Outside the client's lock, as everything that completes."""
        self.value = value
        self.error = error
        try:
            self._lock.release()
        except RuntimeError:
            pass  # completed before

    def wait(self, until: float) -> bool:
        """Wait for the result.

        The wait is cut into slices of `limits.WAIT_SLICE`: some systems notice Ctrl-C only between two waits.

        Args:
            until: When to stop, in seconds of the drivers' clock.

        Returns:
            Whether there is a result.
        """
        while not self._lock.acquire(timeout=max(0.0, min(until - Clock.now(), WAIT_SLICE))):
            if Clock.now() >= until:
                return False
        return True


class FutureHost(Protocol):
    """What a Future asks of its client."""

    @property
    def pid(self) -> int:
        """The process that the client belongs to."""

    def cancel(self, future: "ClientFuture[Any]") -> bool:
        """Withdraw the request of this Future; False where its bytes may have left."""

    def dispatch(self, job: Callable[[], object]) -> None:
        """Run a job of the application on the dispatcher thread."""

    def check_may_block(self, operation: str) -> None:
        """Raise WouldDeadlock where this thread could only wait for itself."""


class _Condition(threading.Condition):
    """A condition that consists of three objects instead of nine.

    Many calls under way are many Futures, and each object that lives for some milliseconds brings the next full
    garbage collection nearer.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._waiters: list[Any] = []

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        return self._lock.acquire(blocking, timeout)

    def release(self) -> None:
        self._lock.release()

    def _release_save(self) -> Any:
        return self._lock._release_save()  # type: ignore[attr-defined]

    def _acquire_restore(self, state: Any) -> None:
        self._lock._acquire_restore(state)  # type: ignore[attr-defined]

    def _is_owned(self) -> bool:
        return bool(self._lock._is_owned())  # type: ignore[attr-defined]


class ClientFuture(Future[T], Generic[T]):
    """The result of a request that has not arrived yet.

    A `concurrent.futures.Future` in every respect, with these promises on top: its callbacks run on the client's
    dispatcher thread; `cancel()` withdraws the request and is False as soon as its bytes may have left; waiting for
    it where that could never end raises WouldDeadlock; and in a forked child it fails with ForkedClient.
    """

    def __init__(self, host: FutureHost) -> None:
        # What the base class sets up, but for the condition; a test compares the two.
        self._condition = _Condition()
        self._state = "PENDING"
        self._result = None
        self._exception = None
        self._waiters: list[Any] = []
        self._done_callbacks: list[Any] = []
        self.ticket: Ticket | None = None
        self._host: Final = host
        self._pid: Final = host.pid

    def complete(self, value: Any, error: BaseException | None) -> None:
        """Set the result; a Future that is done already stays as it is."""
        try:
            if error is not None:
                self.set_exception(error)
            else:
                self.set_result(value)
        except InvalidStateError:
            pass

    def cancel(self) -> bool:
        """Withdraw the request.

        Returns:
            True when it will not be carried out. False when its bytes may have left, or the result is there.
        """
        if self.cancelled():
            return True
        if self.done() or not self._host.cancel(self):
            return False
        super().cancel()
        return True

    def add_done_callback(self, fn: Callable[[Future[T]], object]) -> None:
        """Have a function called with this Future, on the dispatcher thread, when it is done."""
        super().add_done_callback(lambda future: self._host.dispatch(lambda: fn(future)))

    def result(self, timeout: float | None = None) -> T:
        """The result, once it is there.

        Args:
            timeout: Seconds to wait; None for as long as the request's own timeout lets it take.

        Raises:
            TimeoutError: It did not come in time; the request goes on.
            CancelledError: The request was withdrawn.
            WouldDeadlock: This thread is the one that would have to bring the result.
            RtmError: What the request failed with.
        """
        self._check("Future.result")
        return super().result(timeout)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """What the request failed with, once that is known; None where it succeeded. See `result`."""
        self._check("Future.exception")
        return super().exception(timeout)

    def _check(self, operation: str) -> None:
        if self.done():
            return
        if os.getpid() != self._pid:
            raise forked(operation)
        self._host.check_may_block(operation)


Completion: TypeAlias = "Waiter | ClientFuture[Any]"
"""What waits for a result. It is completed once; what comes after that is ignored."""

COMPLETIONS: Final = (Waiter, ClientFuture)


def fail_in_child(future: ClientFuture[Any]) -> None:
    """Fail a Future that was inherited over a fork, whose condition may be held by a thread that is no more."""
    future._condition = threading.Condition()
    future.complete(None, forked("the call that this Future stands for"))


def forked(operation: str) -> ForkedClient:
    """The error for what began before a fork and cannot end after it."""
    return ForkedClient(
        f"{operation} belongs to the process that this one was forked from.",
        operation=operation,
    )


def on_own_thread(operation: str, whose: str) -> WouldDeadlock:
    """The error for a blocking call on a thread that the call would wait for."""
    return WouldDeadlock(
        f"{operation} was called from {whose}, which it would wait for.", operation=operation
    )
