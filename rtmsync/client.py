"""The blocking client."""

import os
import signal
import warnings
from collections.abc import Callable, Iterable
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, TypeVar, overload

from rtmcore.client.requests import Ticket
from rtmcore.codes import ConnectionState, SendPeerMessageError
from rtmcore.limits import SUBSCRIPTION_QUEUE
from rtmcore.models import ConnectionInfo, SendResult
from rtmsync.bodies import kind_and_body
from rtmsync.channel import Channel, register
from rtmsync.config import Config, TokenProvider
from rtmsync.driver.clock import Timeout, seconds_of
from rtmsync.driver.dispatcher import CallbackFailed
from rtmsync.driver.driver import ClientStats, Driver, Intent
from rtmsync.driver.futures import ClientFuture
from rtmsync.driver.router import Callback
from rtmsync.subscriptions import (
    CALLBACK_EVENTS,
    CLIENT_EVENTS,
    Overflow,
    Subscription,
    check_events,
    make_feed,
)

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from rtmsync.config import ClientOptions

E1 = TypeVar("E1")
E2 = TypeVar("E2")
E3 = TypeVar("E3")
E4 = TypeVar("E4")
R = TypeVar("R")


def connect(
    url: str | Iterable[str],
    *,
    app_id: str,
    user_id: str,
    token: str | TokenProvider | None = None,
    timeout: Timeout = None,
    **options: "Unpack[ClientOptions]",
) -> "Client":
    """Make a client and log in.

    ```python
    with rtmsync.connect("wss://rtm.example.com", app_id=APP, user_id="alice", token=mint) as client:
        client.send_peer("bob", "hello")
    ```

    Args:
        url: Of the server, ``ws://…`` or ``wss://…``; or several that are tried in turn.
        app_id: 32 characters.
        user_id: Who logs in: 1 to 64 bytes of the documented characters.
        token: A token; a function of user id and reason that returns one, asked on a thread of its own at each
            attempt; or None where the server wants none.
        timeout: Seconds for the login in all, 12 by default.
        options: See `Config`.

    Returns:
        The client, logged in. Close it, best by a `with` block.

    Raises:
        InvalidArgument: An argument is not possible.
        AuthError: The server refuses: a `LoginError` says why.
        RequestTimeout: No login within the time; the cause says what went wrong with the last attempt.
        RtmError: Any other failure of the login. Nothing is left open then.
    """
    client = Client(url, app_id=app_id, user_id=user_id, token=token, **options)
    try:
        client.login(timeout)
    except BaseException:
        client.close()
        raise
    return client


class Client:
    """One user's connection to the system.

    Making one does nothing yet: no thread, no socket. All methods may be called from any thread and from callbacks;
    from signal handlers and finalizers too, where blocking ones raise WouldDeadlock if they interrupted the library
    itself. A client that a forked child inherits is DISCONNECTED there and can log in anew; the parent's session is
    not touched.

    Each blocking method takes `timeout`: seconds in all, also for waiting out a reconnect; a `Deadline` to share a
    budget between calls; or None for the default. It ends in a result or an exception. Each has a twin that returns
    a `concurrent.futures.Future` at once; failures of every kind are in the Future.

    Args:
        url: Of the server, ``ws://…`` or ``wss://…``; or several that are tried in turn.
        app_id: 32 characters.
        user_id: Who logs in: 1 to 64 bytes of the documented characters.
        token: A token, a function that returns one, or None.
        options: See `Config`.

    Raises:
        InvalidArgument: An argument is not possible.
    """

    def __init__(
        self,
        url: str | Iterable[str],
        *,
        app_id: str,
        user_id: str,
        token: str | TokenProvider | None = None,
        **options: "Unpack[ClientOptions]",
    ) -> None:
        self._config = Config.of(url, {"app_id": app_id, "user_id": user_id, "token": token, **options})
        self._created = os.getpid()
        self._drivers = {self._created: Driver(self._config)}

    def __repr__(self) -> str:
        return f"<Client {self.user_id!r} of {self._config.urls[0]}, {self.state.name}>"

    def __reduce__(self) -> Any:
        raise TypeError(
            "A Client holds sockets and threads; pickle client.config and make another one from it."
        )

    def __enter__(self) -> "Client":
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
    def config(self) -> Config:
        """The settings; they can be pickled."""
        return self._config

    @property
    def user_id(self) -> str:
        """Whose client this is."""
        return self._config.user_id

    @property
    def state(self) -> ConnectionState:
        """The state of the connection."""
        return self._driver.state

    @property
    def connection(self) -> ConnectionInfo:
        """How the connection stands: state, reason, since when, what comes next."""
        return self._driver.connection()

    def healthy(self) -> bool:
        """Whether the client is connected, and its threads live."""
        return self._driver.healthy()

    def stats(self) -> ClientStats:
        """What was done so far, and what waits."""
        return self._driver.stats()

    # --- The session --------------------------------------------------------------------------------------------

    def login(self, timeout: Timeout = None) -> None:
        """Log in, and wait until the client is CONNECTED.

        Args:
            timeout: Seconds in all, 12 by default.

        Raises:
            AlreadyLoggedIn: It is logged in, or logging in, or was aborted and not logged out since.
            AuthError: The server refuses.
            RequestTimeout: No login in time.
            RtmError: With a `LoginError` as its code.
        """
        seconds = self._seconds("login", timeout)
        self._driver.call("login", self._login(seconds), seconds)

    def login_future(self, timeout: Timeout = None) -> "ClientFuture[None]":
        """Like `login`, without waiting."""
        return self._driver.future(self._login(self._seconds("login", timeout)))

    def logout(self, timeout: Timeout = None) -> None:
        """Log out: the server forgets this client's channels, and others see it OFFLINE.

        Args:
            timeout: Seconds in all, 5 by default. The client is logged out afterwards in any case.

        Raises:
            NotLoggedIn: There was no login.
        """
        seconds = self._seconds("logout", timeout)
        self._driver.call("logout", self._logout(seconds), seconds)

    def logout_future(self, timeout: Timeout = None) -> "ClientFuture[None]":
        """Like `logout`, without waiting."""
        return self._driver.future(self._logout(self._seconds("logout", timeout)))

    def close(self, timeout: Timeout = None) -> None:
        """Log out, end the threads, and fail every call that waits. The client stays closed.

        Never raises, but for a timeout that is none; a second close does nothing. Where it cannot wait, on the
        client's own threads and in a signal handler that interrupted the library, it is begun and goes on by itself.

        Args:
            timeout: Seconds in all, 5 by default.
        """
        self._driver.close(self._seconds("close", timeout))

    def close_future(self) -> "ClientFuture[None]":
        """Like `close`, without waiting."""
        return self._driver.close_future()

    def wait_until(
        self, state: ConnectionState | Iterable[ConnectionState], timeout: Timeout = None
    ) -> ConnectionState:
        """Wait for a state of the connection.

        Args:
            state: The state, or several of which one will do.
            timeout: Seconds in all, 12 by default; `FOREVER` for as long as it takes.

        Returns:
            The state.

        Raises:
            RequestTimeout: The state did not come.
            ClientClosed: The client was closed meanwhile.
        """
        states = frozenset((state,) if isinstance(state, ConnectionState) else state)
        seconds = seconds_of(timeout, self._config.timeouts["wait_until"], endless=True)
        return self._driver.wait_until(states, seconds)

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

    # --- Talking ------------------------------------------------------------------------------------------------

    def send_peer(
        self, user: str, message: str | bytes, *, offline: bool = False, timeout: Timeout = None
    ) -> SendResult:
        """Send a message to a user, and wait until his client has acknowledged it.

        Args:
            user: The receiver.
            message: Text, or bytes as they are; at most 32 KiB.
            offline: Store the message where he is offline, for up to 7 days.
            timeout: Seconds in all, 10 by default.

        Returns:
            What became of it: DELIVERED, CACHED (stored), or PEER_UNREACHABLE (he is offline and it is not stored).

        Raises:
            RtmError: With a `SendPeerMessageError` as its code: InvalidArgument, RateLimited, RequestTimeout (see its
                `outcome_unknown`), NotLoggedIn, …
        """
        driver, seconds = self._driver, self._seconds("send_peer", timeout)
        intent = self._send_peer(driver, user, message, offline, seconds)
        result: SendResult = driver.call("send_peer", intent, seconds)
        return result

    def send_peer_future(
        self, user: str, message: str | bytes, *, offline: bool = False, timeout: Timeout = None
    ) -> "ClientFuture[SendResult]":
        """Like `send_peer`, without waiting: many messages can be under way."""
        driver = self._driver
        return driver.future(
            self._send_peer(driver, user, message, offline, self._seconds("send_peer", timeout))
        )

    def channel(self, id: str) -> Channel:
        """A channel, to join, send to and listen to. Asks nobody."""
        return Channel(self, id)

    # --- Listening ----------------------------------------------------------------------------------------------

    @overload
    def on(self, event: type[E1]) -> Callable[[Callable[[E1], R]], Callable[[E1], R]]: ...
    @overload
    def on(self, event: type[E1], handler: Callable[[E1], object]) -> Callable[[], None]: ...
    def on(self, event: type[Any], handler: Callable[[Any], object] | None = None) -> Callable[..., Any]:
        """Have a function called with each event of a class.

        Callbacks run one after another, in the order of the events, on a thread of their own; every method of the
        client may be called in them. One that raises is logged and reported to `on_error`, and the next one has its
        turn; SystemExit and KeyboardInterrupt close the client and come up again in `run_forever` or the next
        blocking call.

        ```python
        @client.on(PeerMessage)
        def answer(message):
            client.send_peer(message.sender, "got it")


        stop = client.on(StateChanged, print)  # stop() takes it back
        ```

        Args:
            event: PeerMessage, ChannelMessage, StateChanged, ChannelGap, ChannelLost, MemberJoined, MemberLeft; or
                `Lagged`, which tells of events that callbacks were too slow for, and `CallbackFailed`.
            handler: The function; without it, this is a decorator.

        Returns:
            A function that takes the callback back; or the decorator.

        Raises:
            InvalidArgument: No such event.
        """
        check_events((event,), CALLBACK_EVENTS, "on")
        return register(self._driver, event, None, handler)

    def on_error(self, handler: Callable[[CallbackFailed], R]) -> Callable[[CallbackFailed], R]:
        """Have a function called when a callback has raised an exception; usable as a decorator.

        Args:
            handler: Gets a `CallbackFailed`. What it raises itself is logged only.
        """
        self._driver.add(Callback((CallbackFailed,), None, handler))
        return handler

    @overload
    def events(self, *, maxsize: int = ..., overflow: Overflow = ...) -> Subscription[Any]: ...
    @overload
    def events(self, a: type[E1], /, *, maxsize: int = ..., overflow: Overflow = ...) -> Subscription[E1]: ...
    @overload
    def events(
        self, a: type[E1], b: type[E2], /, *, maxsize: int = ..., overflow: Overflow = ...
    ) -> Subscription[E1 | E2]: ...
    @overload
    def events(
        self, a: type[E1], b: type[E2], c: type[E3], /, *, maxsize: int = ..., overflow: Overflow = ...
    ) -> Subscription[E1 | E2 | E3]: ...
    @overload
    def events(
        self,
        a: type[E1],
        b: type[E2],
        c: type[E3],
        d: type[E4],
        /,
        *,
        maxsize: int = ...,
        overflow: Overflow = ...,
    ) -> Subscription[E1 | E2 | E3 | E4]: ...
    def events(
        self, *events: type[Any], maxsize: int = SUBSCRIPTION_QUEUE, overflow: Overflow = "drop_oldest"
    ) -> Subscription[Any]:
        """A queue of events, to be read by `get` or by iterating.

        ```python
        with client.events(PeerMessage) as inbox:
            message = inbox.get(timeout=5)
        ```

        Args:
            events: Classes, as for `on`; without any, all that a client has.
            maxsize: Events that wait at most, 1,000 by default.
            overflow: What a full queue drops, ``"drop_oldest"`` by default; a `Lagged` stands in the gap.

        Raises:
            InvalidArgument: No such event, or an impossible option.
        """
        check_events(events, CLIENT_EVENTS, "events")
        return Subscription(self._driver, make_feed(events or CLIENT_EVENTS, None, maxsize, overflow))

    # --- Inside -------------------------------------------------------------------------------------------------

    @property
    def _driver(self) -> Driver:
        pid = os.getpid()
        driver = self._drivers.get(pid)
        return self._after_fork(pid) if driver is None else driver

    def _after_fork(self, pid: int) -> Driver:
        """In a forked child: leave the inherited driver alone, and begin anew with the same callbacks."""
        callbacks: list[Callback] = []
        for inherited in list(self._drivers.values()):
            inherited.leave_behind()
            callbacks = inherited.callbacks()
        driver = self._drivers.setdefault(pid, Driver(self._config, callbacks))
        for other in [other for other in list(self._drivers) if other != pid]:
            self._drivers.pop(other, None)
        return driver

    def _seconds(self, operation: str, timeout: Timeout) -> float:
        return seconds_of(timeout, self._config.timeouts[operation])

    def _login(self, seconds: float) -> Intent:
        driver = self._driver
        return lambda now: driver.login(now, seconds)

    def _logout(self, seconds: float) -> Intent:
        core = self._driver.core
        return lambda now: core.logout(now, seconds)

    def _send_peer(
        self, driver: Driver, user: str, message: str | bytes, offline: bool, seconds: float
    ) -> Intent:
        core = driver.core

        def intent(now: float) -> Ticket:
            kind, body = kind_and_body(message, SendPeerMessageError.INVALID_MESSAGE, "send_peer")
            return core.send_peer(user, kind, body, offline=offline, timeout=seconds, now=now)

        return intent
