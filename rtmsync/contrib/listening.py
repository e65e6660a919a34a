"""The one process that listens: it logs in, joins, calls the application's handlers in order, and ends on a signal."""

import functools
import inspect
import logging
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from types import FrameType
from typing import Any, Final, TypeVar

import attrs

from rtmcore.client.events import ChannelGap, ChannelLost, StateChanged
from rtmcore.codes import ConnectionState, PeerSubscriptionOption
from rtmcore.errors import Aborted, ClientClosed, InvalidArgument, NotInChannel, RtmError
from rtmcore.identifiers import explain_invalid_id
from rtmcore.limits import CLOSE_TIMEOUT
from rtmcore.models import ChannelMessage, PeerMessage
from rtmsync.client import Client
from rtmsync.contrib.connections import Around
from rtmsync.driver.clock import Deadline
from rtmsync.driver.notice import Notice
from rtmsync.exits import ExitCode, exit_code

logger: Final = logging.getLogger("rtmsync.contrib")

F = TypeVar("F", bound=Callable[[Any], object])
E = TypeVar("E")
R = TypeVar("R")

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


@attrs.frozen
class Handler:
    """A function of the application, and what it is called with."""

    event: type[Any]
    channel: str | None
    function: Callable[[Any], object]


class Handlers:
    """The functions that the listener calls. Registering one opens nothing."""

    def __init__(self, handlers: Iterable[Handler] = ()) -> None:
        self._handlers = list(handlers)

    def __len__(self) -> int:
        return len(self._handlers)

    def __iter__(self) -> Iterator[Handler]:
        return iter(self._handlers)

    def on(
        self, event: type[E], *, channel: str | None = None
    ) -> Callable[[Callable[[E], R]], Callable[[E], R]]:
        """Have a function called with each event of a class, as with `Client.on`.

        Args:
            event: A class of events of a client, such as `rtmsync.MemberJoined`.
            channel: Only those of this channel, which the listener joins.

        Raises:
            InvalidArgument: There can be no such channel.
        """
        wrong = None if channel is None else explain_invalid_id(channel, "channel id")
        if wrong is not None:
            raise InvalidArgument(wrong, operation="on")

        def register(function: Callable[[E], R]) -> Callable[[E], R]:
            if inspect.iscoroutinefunction(function):
                raise InvalidArgument(
                    f"{function.__qualname__} is a coroutine function; a handler is an ordinary one.",
                    operation="on",
                )
            self._handlers.append(Handler(event, channel, function))
            return function

        return register

    def on_channel(
        self, channel: str
    ) -> Callable[[Callable[[ChannelMessage], R]], Callable[[ChannelMessage], R]]:
        """Have a function called with each message to a channel, which the listener joins."""
        return self.on(ChannelMessage, channel=channel)

    def on_peer_message(self, function: Callable[[PeerMessage], R]) -> Callable[[PeerMessage], R]:
        """Have a function called with each message that a user sends to the listener."""
        return self.on(PeerMessage)(function)

    def on_state_changed(self, function: Callable[[StateChanged], R]) -> Callable[[StateChanged], R]:
        """Have a function called when the listener's connection is in another state."""
        return self.on(StateChanged)(function)

    @property
    def channels(self) -> tuple[str, ...]:
        """The channels that have handlers, in the order in which they were named."""
        return tuple(dict.fromkeys(each.channel for each in self._handlers if each.channel is not None))


def run_listener(
    client: Client,
    handlers: Handlers,
    *,
    channels: Iterable[str] = (),
    around: Around = nullcontext,
    tell: Callable[[str], object] = logger.info,
    drain: float = CLOSE_TIMEOUT,
) -> int:
    """Log in, join, and call handlers until SIGTERM or SIGINT, or until the session ends for good.

    Each handler runs in what `around` makes, one after another, in the order of the events. One that raises is logged,
    and the next has its turn. A signal lets what has arrived be handled first, for up to `drain` seconds; a second
    SIGINT does not wait. Signals are taken in the main thread only.

    Args:
        client: Not logged in; closed at the end.
        handlers: The application's functions.
        channels: What is joined besides the channels that have handlers.
        around: Made anew for each handler and each event.
        tell: Gets a sentence on each change of the connection, from any thread, and never two at once.
        drain: Seconds for the end.

    Returns:
        An exit status: 0 after a signal or where a handler has closed the client, otherwise one of
        `rtmsync.exits.ExitCode`. What was wrong is in the log.

    Raises:
        SystemExit: A handler has raised it.
        InvalidArgument: A handler is for something that is not an event.
    """
    return _Listener(client, handlers, tuple(channels), around, tell, drain).run()


@contextmanager
def listening(
    client: Client, handlers: Handlers, *, channels: Iterable[str] = (), around: Around = nullcontext
) -> Iterator[Client]:
    """Listen while a `with` block runs, without signals and without waiting: for tests and scripts.

    With the memory transport, whatever a test sends has been handled when the sending call returns.

    Args:
        client: Not logged in; closed at the end.
        handlers: See `run_listener`, as for the other arguments.
        channels: What is joined besides the channels that have handlers.
        around: Made anew for each handler and each event.

    Raises:
        RtmError: The login or a join has failed.
    """
    listener = _Listener(client, handlers, tuple(channels), around, logger.info, CLOSE_TIMEOUT)
    try:
        listener.begin()
        yield client
    finally:
        listener.stopping = True
        client.close()


class _Stopped(BaseException):
    """A signal has ended the listening."""


@attrs.define(eq=False)
class _Listener:
    client: Client
    handlers: Handlers
    more: tuple[str, ...]
    around: Around
    _tell: Callable[[str], object]
    drain: float
    error: RtmError | None = None
    stopping: bool = False
    _telling: threading.Lock = attrs.field(factory=threading.Lock, init=False)
    # Whether the handlers have had all that they will get on this connection.
    _handled: bool = attrs.field(default=False, init=False)
    _notice: Notice = attrs.field(factory=Notice, init=False)
    # Between the signal that ends it and the goodbye: a second Ctrl-C is looked for then, instead of cutting in.
    _draining: bool = attrs.field(default=False, init=False)
    _hurried: bool = attrs.field(default=False, init=False)

    @property
    def channels(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*self.handlers.channels, *self.more)))

    def begin(self) -> None:
        self._subscribe()
        self.client.login()
        for channel in self.channels:
            self.client.channel(channel).join()
        to = f" to {', '.join(self.channels)}" if self.channels else ""
        self.tell(f"Listening{to} as {self.client.user_id}.")

    def tell(self, text: str) -> None:
        """Tell one thing at a time: the main thread and that of the events could mix their lines otherwise."""
        with self._telling:
            self._tell(text)

    def run(self) -> int:
        with self._signals():
            try:
                self.begin()
                self.client.run_forever()
            except _Stopped:
                self.tell("Ending: what has arrived is handled first.")
                self._handle_the_rest()
                self._draining = False
                if self._hurried:
                    raise KeyboardInterrupt from None
            except RtmError as error:
                if isinstance(error, InvalidArgument):
                    raise
                # Where a handler has closed the client during the joins, that is the end, as it is later; one that has
                # failed is closed, too, but says what with.
                closed = error if isinstance(error, ClientClosed) else error.__cause__
                if not isinstance(closed, ClientClosed) or closed.__cause__ is not None:
                    self.error = self.error or error
            finally:
                self.stopping = True
                self._draining = False
                self.client.close(0 if self._hurried else self.drain)
        if self.error is None:
            return ExitCode.OK
        logger.error("The listener has ended: %s", self.error)
        return exit_code(self.error)

    # --- Events ---------------------------------------------------------------------------------------------------

    def _subscribe(self) -> None:
        self.client.on(StateChanged, self._state_changed)
        self.client.on(ChannelLost, self._channel_lost)
        self.client.on(ChannelGap, self._channel_gap)
        for handler in self.handlers:
            source = self.client if handler.channel is None else self.client.channel(handler.channel)
            source.on(handler.event, self._in_context(handler.function))

    def _in_context(self, function: Callable[[Any], object]) -> Callable[[Any], object]:
        @functools.wraps(function)
        def call(event: Any) -> None:
            with self.around():
                function(event)

        return call

    def _state_changed(self, event: StateChanged) -> None:
        because = "" if event.cause is None else f" ({event.cause.message})"
        self.tell(f"{event.state.name}, {event.reason.name}{because}")
        if event.state is not ConnectionState.CONNECTED:
            self._all_handled()
        if event.state is ConnectionState.ABORTED:
            self._end(
                Aborted(
                    f"The session was ended ({event.reason.name}).",
                    reason=event.reason,
                    operation="listen",
                    state=event.state.name,
                    hint="Run one listener with one name, and see that the server lets it in.",
                )
            )

    def _channel_lost(self, event: ChannelLost) -> None:
        self._end(
            NotInChannel(
                f"The channel {event.channel} was lost: {event.text}",
                code=event.code,
                operation="listen",
                hint="A listener that is started again joins again.",
            )
        )

    def _channel_gap(self, event: ChannelGap) -> None:
        logger.warning("%d messages to the channel %s are lost to this listener.", event.lost, event.channel)

    def _end(self, error: RtmError) -> None:
        """End because of an error; where there are several, the first one counts."""
        if not self.stopping and self.error is None:
            self.error = error
            self.client.close_future()

    # --- The end --------------------------------------------------------------------------------------------------

    def _handle_the_rest(self) -> None:
        """Leave the channels, and wait until the handlers have had what came before."""
        self._handled = False
        if self.client.state is not ConnectionState.CONNECTED:
            return  # nobody would answer; closing lets the handlers have what came before, too
        until = Deadline(self.drain)
        for channel in self.channels:
            self.client.channel(channel).leave_future()
        # Callbacks of Futures have their turn behind those of the events that came before.
        last = self.client.subscribed_peers_future(
            PeerSubscriptionOption.ONLINE_STATUS, timeout=max(self.drain, 0.001)
        )
        last.add_done_callback(lambda _: self._all_handled())
        if not self._notice.wait(lambda: self._handled or self._hurried, until.at):
            logger.warning(
                "The handlers were not done within %g s; what they had not begun is lost.", self.drain
            )

    def _all_handled(self) -> None:
        self._handled = True
        self._notice.give()

    @contextmanager
    def _signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        previous = {number: signal.signal(number, self._signalled) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    def _signalled(self, number: int, frame: FrameType | None) -> None:
        if not self.stopping:
            self.stopping = self._draining = True
            raise _Stopped
        if number == signal.SIGINT:
            if self._draining:
                # An exception in the middle of what a Future does could leave its lock taken, and the handlers stuck.
                self._hurried = True
                self._notice.give()
            else:
                raise KeyboardInterrupt
