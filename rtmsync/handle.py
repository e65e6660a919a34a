"""What clients, RTC channels and rooms have in common: one driver a process, and what can be said of any connection."""

import os
import signal
import warnings
from collections.abc import Callable, Iterable
from enum import Enum
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from rtmcore.client.requests import Ticket
from rtmcore.codes import InitError, PeerConnectionState
from rtmcore.errors import error_for
from rtmcore.models import ConnectionInfo
from rtmsync.driver.clock import Timeout, seconds_of
from rtmsync.driver.core import Core
from rtmsync.driver.dispatcher import CallbackFailed
from rtmsync.driver.driver import Driver, Intent
from rtmsync.driver.futures import ClientFuture
from rtmsync.driver.router import Callback
from rtmsync.driver.stats import ClientStats
from rtmsync.subscriptions import EventSource

if TYPE_CHECKING:
    from typing_extensions import Self

    from rtmsync.config import Settings
    from rtmsync.timeline.recorder import Timeline

D = TypeVar("D", bound=Driver[Any])
S = TypeVar("S", bound=Enum)
R = TypeVar("R")

_made: Final[set[bool]] = set()
"""Not empty from the first handle of this process on."""


def handles_made() -> bool:
    """Whether a client, an RTC channel or a room has been made in this process."""
    return bool(_made)


class Handle(EventSource, Generic[D, S]):
    """One connection as the application holds it.

    Making one does nothing yet: no thread, no socket. All methods may be called from any thread and from callbacks;
    from signal handlers and finalizers too, where blocking ones raise WouldDeadlock if they interrupted the library
    itself. One that a forked child inherits is not connected there; the parent's session is not touched.

    Each blocking method takes `timeout`: seconds in all, also for waiting out a reconnect; a `Deadline` to share a
    budget between calls; or None for the default. It ends in a result or an exception. Each has a twin that returns
    a `concurrent.futures.Future` at once; failures of every kind are in the Future.
    """

    def __init__(self, config: "Settings") -> None:
        if "_drivers" in vars(self):
            raise error_for(
                InitError.ALREADY_INITIALIZED,
                f"This {type(self).__name__} was made already.",
                operation="client",
            )
        _made.add(True)
        self._settings = config
        self._drivers = {os.getpid(): self._make_driver(())}

    def __repr__(self) -> str:
        name, config, state = type(self).__name__, self._settings, self._driver.state
        return f"<{name} {config.who!r} of {config.urls[0]}, {getattr(state, 'name', 'NEW')}>"

    def __reduce__(self) -> Any:
        name = type(self).__name__
        raise TypeError(
            f"A {name} holds sockets and threads; pickle {name.lower()}.config and make another one from it."
        )

    def __enter__(self) -> "Self":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        if error is None:
            self._driver.raise_fatal()

    def __del__(self) -> None:
        drivers = getattr(self, "_drivers", {})
        driver = drivers.get(os.getpid())
        if driver is not None and driver.running:
            warnings.warn(f"unclosed {self!r}", ResourceWarning, stacklevel=2, source=self)
            driver.begin_close()

    # --- What it is ---------------------------------------------------------------------------------------------

    @property
    def state(self) -> S:
        """The documented state of the connection."""
        state: S = self._driver.state
        return state

    @property
    def connection(self) -> ConnectionInfo:
        """How the connection stands: state, reason, since when, number of the attempt, what comes next and why."""
        return self._driver.connection()

    @property
    def peer_connection_state(self) -> PeerConnectionState:
        """The aggregate over the transports, in the words of RTCPeerConnection.connectionState.

        ``new``, ``connecting``, ``connected``, ``disconnected``, ``failed``, or ``closed`` after `close`. Each change
        but the last comes as a `PeerConnectionStateChanged`.
        """
        return self._driver.peer_connection_state

    @property
    def timeline(self) -> "Timeline":
        """What has happened to the connection so far: states, reasons and durations, as a table and a picture."""
        return self._driver.timeline

    def healthy(self) -> bool:
        """Whether it is connected, and its threads live."""
        return self._driver.healthy()

    def stats(self) -> ClientStats:
        """What was done so far, and what waits."""
        return self._driver.stats()

    # --- What can be done with any ------------------------------------------------------------------------------

    def renew_token(self, token: str, timeout: Timeout = None) -> None:
        """Hand over another token: before the one in use expires, or after.

        While the client is reconnecting the token is used at once: it lets a reconnect finish that waits for one.

        Args:
            token: 1 to 8,192 ASCII characters, for the same user.
            timeout: Seconds in all, 5 by default.

        Raises:
            RtmError: With a `RenewTokenError` as its code: InvalidToken, TokenExpired, RateLimited above 2 a second,
                RequestTimeout, NotLoggedIn, …
        """
        seconds = self._seconds("renew_token", timeout)
        self._driver.call("renew_token", self._renew_token(token, seconds), seconds)

    def renew_token_future(self, token: str, timeout: Timeout = None) -> "ClientFuture[None]":
        """Like `renew_token`, without waiting."""
        return self._driver.future(self._renew_token(token, self._seconds("renew_token", timeout)))

    def close(self, timeout: Timeout = None) -> None:
        """Say goodbye, end the threads, and fail every call that waits. It stays closed.

        Never raises, but for a timeout that is none; a second close does nothing. Where it cannot wait, on the
        client's own threads and in a signal handler that interrupted the library, it is begun and goes on by itself.

        Args:
            timeout: Seconds in all, 5 by default.
        """
        self._driver.close(self._seconds("close", timeout))

    def close_future(self) -> "ClientFuture[None]":
        """Like `close`, without waiting."""
        return self._driver.close_future()

    def wait_until(self, state: S | Iterable[S], timeout: Timeout = None) -> S:
        """Wait for a state of the connection.

        Args:
            state: The state, or several of which one will do.
            timeout: Seconds in all, 12 by default; `FOREVER` for as long as it takes.

        Returns:
            The state.

        Raises:
            RequestTimeout: The state did not come.
            StateError: It cannot come any more: a room is disconnected for good.
            ClientClosed: The client was closed meanwhile.
        """
        states = frozenset((state,) if isinstance(state, Enum) else state)
        seconds = seconds_of(timeout, self._settings.timeouts["wait_until"], endless=True)
        found: S = self._driver.wait_until(states, seconds)
        return found

    def run_forever(self, *, install_signal_handlers: bool = False) -> None:
        """Wait until the client is closed, for programs that live in their callbacks.

        Args:
            install_signal_handlers: Also return on SIGINT and SIGTERM, in the main thread only. Handlers are put back
                on return. Without it Ctrl-C raises KeyboardInterrupt, as everywhere.

        Raises:
            SystemExit: A callback has raised it; the client is closed then. The same with KeyboardInterrupt.
        """
        driver = self._driver
        if not install_signal_handlers:
            driver.wait_for_end(lambda: False)
            return
        caught: list[int] = []

        def note(number: int, frame: FrameType | None) -> None:
            caught.append(number)
            driver.give_notice()

        previous = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            driver.wait_for_end(lambda: bool(caught))
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    def on_error(self, handler: Callable[[CallbackFailed], R]) -> Callable[[CallbackFailed], R]:
        """Have a function called when a callback has raised an exception; usable as a decorator.

        Args:
            handler: Gets a `CallbackFailed`. What it raises itself is logged only.
        """
        self._driver.add(Callback((CallbackFailed,), None, handler))
        return handler

    # --- Inside -------------------------------------------------------------------------------------------------

    def _make_driver(self, callbacks: Iterable[Callback]) -> D:
        """A driver for this process."""
        raise NotImplementedError

    @property
    def _driver(self) -> D:
        pid = os.getpid()
        driver = self._drivers.get(pid)
        return self._after_fork(pid) if driver is None else driver

    def _after_fork(self, pid: int) -> D:
        """In a forked child: leave the inherited driver alone, and begin anew with the same callbacks.

        Several threads may find out at the same time: one driver is kept, and each inherited one is left once.
        """
        inherited = [driver for owner, driver in list(self._drivers.items()) if owner != pid]
        callbacks = [callback for driver in inherited for callback in driver.callbacks()]
        driver = self._drivers.setdefault(pid, self._make_driver(callbacks))
        driver.replace_inherited()
        for owner in [owner for owner in list(self._drivers) if owner != pid]:
            left = self._drivers.pop(owner, None)
            if left is not None:
                left.leave_behind()
        return driver

    def _seconds(self, operation: str, timeout: Timeout) -> float:
        return seconds_of(timeout, self._settings.timeouts[operation])

    def _renew_token(self, token: str, seconds: float) -> Intent:
        core: Core = self._driver.core

        def intent(now: float) -> Ticket:
            return core.renew_token(token, timeout=seconds, now=now)

        return intent
