"""Events to be read in the application's own time: bounded queues that are iterators too."""

import os
from collections.abc import Callable
from types import TracebackType
from typing import Any, ClassVar, Generic, Literal, TypeAlias, TypeVar, overload

from rtmcore.client.events import ChannelGap, ChannelLost, StateChanged
from rtmcore.codes import ConnectionState
from rtmcore.errors import Aborted, ClientClosed, InvalidArgument, NotInChannel, RequestTimeout, StateError
from rtmcore.limits import SUBSCRIPTION_QUEUE
from rtmcore.models import ChannelMessage
from rtmsync.driver.clock import FOREVER, Timeout, seconds_of
from rtmsync.driver.dispatcher import CallbackFailed
from rtmsync.driver.driver import Driver
from rtmsync.driver.futures import forked
from rtmsync.driver.queues import Lagged, QueueClosed, QueueEmpty
from rtmsync.driver.router import Callback, ChannelLeft, Feed

E = TypeVar("E")
E1 = TypeVar("E1")
E2 = TypeVar("E2")
E3 = TypeVar("E3")
E4 = TypeVar("E4")
R = TypeVar("R")
M = TypeVar("M")

Overflow: TypeAlias = Literal["drop_oldest", "drop_newest"]
"""What a full queue does with another event."""

ABOUT_CALLBACKS = (Lagged, CallbackFailed)
"""Events about callbacks, which only callbacks can be registered for."""


def check_events(events: tuple[type, ...], known: tuple[type, ...], operation: str) -> None:
    """See that events can be subscribed to.

    Raises:
        InvalidArgument: One of them is not an event.
    """
    for event in events:
        if event not in known:
            name = getattr(event, "__name__", repr(event))
            raise InvalidArgument(
                f"{name} is not an event here; there are {', '.join(kind.__name__ for kind in known)}.",
                operation=operation,
            )


def make_feed(
    driver: Driver[Any],
    events: tuple[type, ...],
    part: str | None,
    maxsize: int = SUBSCRIPTION_QUEUE,
    overflow: Overflow = "drop_oldest",
) -> Feed:
    """The queue behind a subscription.

    Raises:
        InvalidArgument: A size below 1, or an unknown way to overflow.
    """
    if isinstance(maxsize, bool) or not isinstance(maxsize, int) or maxsize < 1:
        raise InvalidArgument(
            f"maxsize is a whole number of at least 1, not {maxsize!r}.", operation="events"
        )
    if overflow not in ("drop_oldest", "drop_newest"):
        raise InvalidArgument(
            f"overflow is 'drop_oldest' or 'drop_newest', not {overflow!r}.", operation="events"
        )
    return Feed(events, part, driver.make_queue(maxsize), keep_oldest=overflow == "drop_newest")


class Subscription(Generic[E]):
    """A queue of events. Iterating over it waits for each next one, and ends when client or subscription is closed.

    Where events were dropped because the queue was full, a `Lagged` stands in their place. Peer messages are not
    dropped: while there is no room for them, and nobody else takes them, they are not acknowledged and stay at the
    server.

    It is closed by `close`, at the end of a `with` block, or when nothing refers to it any more.
    """

    def __init__(self, driver: Driver[Any], feed: Feed) -> None:
        self._driver = driver
        self._feed = feed
        driver.add(feed)

    def __repr__(self) -> str:
        names = ", ".join(kind.__name__ for kind in self._feed.types)
        return f"<Subscription to {names}: {len(self)} waiting{'' if self._feed.active else ', closed'}>"

    def __len__(self) -> int:
        return len(self._feed.queue)

    def get(self, timeout: Timeout = None) -> "E | Lagged":
        """Take the next event.

        Args:
            timeout: Seconds to wait for one; None for the client's `get` time-out (10 s by default), `FOREVER` for
                as long as it takes, 0 to only look.

        Returns:
            The event; or `Lagged`, where events before the next one were dropped.

        Raises:
            RequestTimeout: None came in time.
            ClientClosed: The client is closed, and everything was taken.
            StateError: The subscription is closed, and everything was taken.
            WouldDeadlock: Called by a signal handler or finalizer that interrupted the library itself.
        """
        seconds = seconds_of(timeout, self._driver.config.timeouts["get"], endless=True)
        try:
            return self._take(seconds)
        except QueueEmpty:
            raise RequestTimeout(
                f"No event came within {seconds:g} s.", operation="get", state=self._driver.state.name
            ) from None
        except QueueClosed:
            self._driver.raise_fatal()
            if self._feed.active:
                raise ClientClosed("The client is closed.", operation="get") from None
            raise StateError("The subscription is closed.", operation="get") from None

    def close(self) -> None:
        """Take the subscription back. What is in the queue can still be taken."""
        self._feed.active = False
        self._feed.queue.close()

    def __iter__(self) -> "Subscription[E]":
        return self

    def __next__(self) -> "E | Lagged":
        try:
            return self._take(FOREVER)
        except QueueClosed:
            self._driver.raise_fatal()
            raise StopIteration from None

    def __enter__(self) -> "Subscription[E]":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        # Only two stores: a finalizer may run anywhere.
        feed = getattr(self, "_feed", None)
        if feed is not None:
            feed.active = False

    def _take(self, seconds: float) -> "E | Lagged":
        if os.getpid() != self._driver.pid:
            raise forked("Subscription.get")
        self._driver.check_may_block("get")
        queue = self._feed.queue
        event: E | Lagged = queue.get(seconds)
        if queue.kept <= queue.maxsize // 2:
            self._driver.made_room()
        return event


class EventSource:
    """Whatever has events that functions and queues can be subscribed to."""

    __slots__ = ()

    #: What `events` takes; `on` takes what is about callbacks too, where `_part` is None.
    _EVENTS: ClassVar[tuple[type[Any], ...]] = ()

    @property
    def _driver(self) -> Driver[Any]:
        raise NotImplementedError

    @property
    def _part(self) -> str | None:
        """Whose events: of one channel or participant, or of all."""
        return None

    @property
    def _gone(self) -> bool:
        """Whether no more events can come."""
        return False

    @overload
    def on(self, event: type[E1]) -> Callable[[Callable[[E1], R]], Callable[[E1], R]]: ...
    @overload
    def on(self, event: type[E1], handler: Callable[[E1], object]) -> Callable[[], None]: ...
    def on(self, event: type[Any], handler: Callable[[Any], object] | None = None) -> Callable[..., Any]:
        """Have a function called with each event of a class.

        Callbacks run one after another, in the order of the events, on a thread of their own; every method may be
        called in them. One that raises is logged and reported to `on_error`, and the next one has its turn;
        SystemExit and KeyboardInterrupt close the client and come up again in `run_forever` or the next blocking
        call. Of several for one event, those of the whole client or room come before those of a channel or
        participant.

        ```python
        @client.on(PeerMessage)
        def answer(message):
            client.send_peer(message.sender, "got it")


        stop = client.on(StateChanged, print)  # stop() takes it back
        ```

        Args:
            event: A class of events that this object has, as its own documentation lists them; on a client, an RTC
                channel or a room also `Lagged`, which tells of events that callbacks were too slow for, and
                `CallbackFailed`.
            handler: The function; without it, this is a decorator.

        Returns:
            A function that takes the callback back; or the decorator.

        Raises:
            InvalidArgument: No such event.
        """
        part = self._part
        check_events((event,), self._EVENTS if part else (*self._EVENTS, *ABOUT_CALLBACKS), "on")
        if handler is None:

            def decorate(function: Callable[[Any], object]) -> Callable[[Any], object]:
                self._call_back(Callback((event,), part, function))
                return function

            return decorate
        callback = Callback((event,), part, handler)
        self._call_back(callback)

        def undo() -> None:
            callback.active = False

        return undo

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
            events: Classes of events that this object has; without any, all of them.
            maxsize: Events that wait at most, 1,000 by default.
            overflow: What a full queue drops, ``"drop_oldest"`` by default; a `Lagged` stands in the gap.

        Raises:
            InvalidArgument: No such event, or an impossible option.
        """
        check_events(events, self._EVENTS, "events")
        feed = make_feed(self._driver, events or self._EVENTS, self._part, maxsize, overflow)
        subscription: Subscription[Any] = Subscription(self._driver, feed)
        if self._gone:
            subscription.close()
        return subscription

    def _call_back(self, callback: Callback) -> None:
        self._driver.add(callback)
        if self._gone:
            callback.active = False


class MessageIterator(Generic[M]):
    """Iterates over the messages to a channel; see `Channel.messages`.

    Attributes:
        lost: Messages that are missing so far: dropped by a full queue, or during an outage.
    """

    def __init__(self, driver: Driver[Any], channel: str, idle: float, gaps: bool) -> None:
        self._driver = driver
        self._channel = channel
        self._idle = idle
        self._gaps = gaps
        self._over = False
        self.lost = 0
        types = (ChannelMessage, ChannelGap, ChannelLost, ChannelLeft, StateChanged)
        self._subscription: Subscription[object] = Subscription(driver, make_feed(driver, types, channel))

    def close(self) -> None:
        """Take no more messages."""
        self._over = True
        self._subscription.close()

    def __iter__(self) -> "MessageIterator[M]":
        return self

    def __next__(self) -> M:
        now = self._driver.now
        until = now() + self._idle
        while not self._over:
            try:
                event = self._subscription._take(max(0.0, until - now()))
            except QueueEmpty:
                break
            except QueueClosed:
                self._driver.raise_fatal()
                break
            if isinstance(event, ChannelMessage):
                return event  # type: ignore[return-value]
            if isinstance(event, ChannelGap | Lagged):
                self.lost += event.lost
                if self._gaps:
                    return event  # type: ignore[return-value]
                continue
            self._judge(event)
        self.close()
        raise StopIteration

    def _judge(self, event: object) -> None:
        """See whether an event ends the messages."""
        if isinstance(event, ChannelLost):
            self.close()
            raise NotInChannel(
                f"The channel {self._channel!r} was lost: {event.text}", code=event.code, operation="messages"
            )
        if isinstance(event, StateChanged) and event.state is ConnectionState.ABORTED:
            self.close()
            raise Aborted(
                f"The session was aborted ({event.reason.name}).", reason=event.reason, operation="messages"
            )
        ended = isinstance(event, StateChanged) and event.state is ConnectionState.DISCONNECTED
        if ended or isinstance(event, ChannelLeft):
            self._over = True
