"""How the result of a request reaches the thread that wants it: a lock for one that waits, a Future for others."""

import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Final, Generic, Protocol, TypeAlias, TypeVar

from rtmcore.client.requests import Ticket
from rtmcore.errors import ForkedClient, WouldDeadlock
from rtmcore.limits import WAIT_SLICE
from rtmsync.driver.clock import Clock

T = TypeVar("T")

# As in concurrent.futures, where these states have no public names.
_PENDING: Final = "PENDING"
_FINISHED: Final = "FINISHED"


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

    @property
    def done(self) -> bool:
        """Whether there is a result that `wait` has not reported."""
        return not self._lock.locked()

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


class ClientFuture(Future[T], Generic[T]):
    """The result of a request that has not arrived yet.

    A `concurrent.futures.Future` in every respect, with these promises on top: its callbacks run on the client's
    dispatcher thread; `cancel()` withdraws the request and is False as soon as its bytes may have left; waiting for
    it where that could never end raises WouldDeadlock; and in a forked child it fails with ForkedClient.
    """

    # The base class makes five objects for each Future, most of them for threads that wait, and most Futures are done
    # before anybody does. Here they are made when they are asked for. All methods of the base class work as they are;
    # it is only that a result can be set without its lock: first the state, then a look for waiting threads, while
    # a waiting thread first makes the condition, then looks at the state. So one of the two sees the other.
    _state: str = _PENDING
    _result: T | None = None
    _exception: BaseException | None = None
    _made_condition: threading.Condition | None = None
    _made_waiters: list[Any] | None = None
    _made_callbacks: list[Any] | None = None
    ticket: Ticket | None = None

    def __init__(self, host: FutureHost) -> None:
        self._host: Final = host

    @property
    def _condition(self) -> threading.Condition:  # type: ignore[override]
        if self._made_condition is None:
            self.__dict__.setdefault("_made_condition", threading.Condition())
        return self.__dict__["_made_condition"]  # type: ignore[no-any-return]

    @property
    def _waiters(self) -> list[Any]:  # type: ignore[override]
        if self._made_waiters is None:
            self.__dict__.setdefault("_made_waiters", [])
        return self.__dict__["_made_waiters"]  # type: ignore[no-any-return]

    @property
    def _done_callbacks(self) -> list[Any]:
        if self._made_callbacks is None:
            self.__dict__.setdefault("_made_callbacks", [])
        return self.__dict__["_made_callbacks"]  # type: ignore[no-any-return]

    def complete(self, value: Any, error: BaseException | None) -> None:
        """Set the result; a Future that is done already stays as it is. One thread at a time may do so."""
        if self._state != _PENDING:
            return
        if error is None:
            self._result = value
        else:
            self._exception = error
        self._state = _FINISHED
        condition = self._made_condition
        if condition is None:
            return
        with condition:
            for waiter in self._waiters:
                if error is None:
                    waiter.add_result(self)
                else:
                    waiter.add_exception(self)
            condition.notify_all()
        if self._made_callbacks is not None:
            self._invoke_callbacks()  # type: ignore[attr-defined]

    def done(self) -> bool:
        """Whether the result is there, or the request was withdrawn."""
        return self._state != _PENDING

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
        if self._state == _FINISHED and self._exception is None:
            return self._result  # type: ignore[return-value]
        self._check("Future.result")
        return super().result(timeout)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """What the request failed with, once that is known; None where it succeeded. See `result`."""
        self._check("Future.exception")
        return super().exception(timeout)

    def _check(self, operation: str) -> None:
        if self.done():
            return
        if os.getpid() != self._host.pid:
            raise forked(operation)
        self._host.check_may_block(operation)


Completion: TypeAlias = "Waiter | ClientFuture[Any]"
"""What waits for a result. It is completed once; what comes after that is ignored."""

COMPLETIONS: Final = (Waiter, ClientFuture)


def fail_in_child(future: ClientFuture[Any]) -> None:
    """Fail a Future that was inherited over a fork.

    Its condition may be held by a thread that is no more, and so may what other threads wait with. Its callbacks
    belong to the parent, where they are still going to be called.
    """
    future._made_condition = None
    future._made_waiters = None
    future._made_callbacks = None
    future.complete(None, forked("the call that this Future stands for"))
    future._made_condition = threading.Condition()


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
