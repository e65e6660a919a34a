"""Who gets which event, and what happens to events that nobody can take yet."""

from collections import deque
from collections.abc import Callable
from typing import Any, ClassVar, Final, Protocol

import attrs

from rtmcore.client.events import (
    ChannelAttributesUpdated,
    ChannelGap,
    ChannelLost,
    DataReceived,
    MemberCountChanged,
    MemberJoined,
    MemberLeft,
    ParticipantConnected,
    ParticipantDisconnected,
    ParticipantReconnected,
    ParticipantReconnecting,
    RoomGap,
    RoomMessage,
    RtcUserJoined,
    RtcUserOffline,
    StreamMessage,
)
from rtmcore.limits import DISPATCH_WAITING, EARLY_EVENT_BYTES, EARLY_EVENTS
from rtmcore.models import ChannelMessage, PeerMessage
from rtmsync.driver.queues import EventQueue, Lagged

CHANNEL_EVENTS: Final = (
    ChannelMessage,
    ChannelGap,
    ChannelLost,
    MemberJoined,
    MemberLeft,
    MemberCountChanged,
    ChannelAttributesUpdated,
)
"""Events that belong to one channel, named by their attribute `channel`."""


@attrs.frozen
class ChannelLeft:
    """This client has left a channel by itself; ends the iterators over its messages."""

    channel: str


class PartEvent:
    """An event about one part of the whole, such as a call invitation, that names the part itself.

    Attributes:
        early: Whether it waits for the first subscription to it.
        last: Whether nothing more comes of the part.
    """

    __slots__ = ()

    early: ClassVar[bool] = False
    last: ClassVar[bool] = False

    @property
    def part(self) -> str:
        """The part's name, which no channel has."""
        raise NotImplementedError


_PART_OF: Final[dict[type[Any], str]] = {
    **dict.fromkeys((*CHANNEL_EVENTS, ChannelLeft), "channel"),
    **dict.fromkeys(
        (
            ParticipantConnected,
            ParticipantReconnecting,
            ParticipantReconnected,
            ParticipantDisconnected,
            DataReceived,
        ),
        "identity",
    ),
    RoomMessage: "sender",
}
"""Events that belong to one part of the whole (a channel, a participant), and their attribute that names it."""

_EARLY: Final = frozenset(
    {
        *CHANNEL_EVENTS,
        StreamMessage,
        RtcUserJoined,
        RtcUserOffline,
        RoomMessage,
        RoomGap,
        DataReceived,
        ParticipantConnected,
        ParticipantReconnecting,
        ParticipantReconnected,
        ParticipantDisconnected,
    }
)
"""Events that wait for the first subscription to them."""


@attrs.define(eq=False)
class Callback:
    """A function that is called on the dispatcher with each event of a class.

    Attributes:
        types: The one class.
        part: Only events of this channel or participant, or None.
        function: Of the application.
        active: False as soon as it was taken back.
    """

    types: tuple[type[Any], ...]
    part: str | None
    function: Callable[[Any], object]
    active: bool = True


@attrs.define(eq=False)
class Feed:
    """A queue that the application reads.

    Attributes:
        types: Events of these classes go into it.
        part: Only events of this channel or participant, or None.
        queue: What it holds.
        keep_oldest: A full queue drops the new event instead of the oldest.
        active: False as soon as the application has no more use for it.
        missed: Peer messages that did not fit, and that somebody else took.
    """

    types: tuple[type[Any], ...]
    part: str | None
    queue: EventQueue[Any]
    keep_oldest: bool = False
    active: bool = True
    missed: int = 0

    @property
    def has_room(self) -> bool:
        """Whether another peer message can be kept."""
        return self.queue.kept < self.queue.maxsize

    def put(self, event: object) -> None:
        """Add an event; a full queue loses one."""
        if self.keep_oldest and len(self.queue) >= self.queue.maxsize:
            self.queue.miss(1)
        else:
            self.queue.put(event)

    def keep(self, event: object) -> None:
        """Add a peer message; say first where some are missing."""
        if self.missed:
            self.queue.keep(Lagged(self.missed))
            self.missed = 0
        self.queue.keep(event)

    def miss(self) -> None:
        """Leave out a peer message: the queue is full, and its owner does not read it."""
        self.missed += 1


Sink = Callback | Feed


class CallbackQueue(Protocol):
    """What the router asks of the dispatcher."""

    @property
    def peers_waiting(self) -> int:
        """Peer messages whose callbacks have not been called yet."""

    def put(self, event: object, callbacks: list[Callback]) -> None:
        """Have callbacks called with an event that may be dropped."""

    def keep_peer(self, event: PeerMessage, callbacks: list[Callback]) -> None:
        """Have callbacks called with a message that is never dropped."""


class _Early:
    """Events of one channel, or of everything else, that came before the first subscription to them."""

    __slots__ = ("_bytes", "events", "lost")

    def __init__(self) -> None:
        self.events: deque[Any] = deque()
        self.lost: dict[type[Any], int] = {}
        self._bytes = 0

    def add(self, event: Any) -> None:
        self.events.append(event)
        self._bytes += _size(event)
        while len(self.events) > EARLY_EVENTS or (self._bytes > EARLY_EVENT_BYTES and len(self.events) > 1):
            oldest = self.events.popleft()
            self._bytes -= _size(oldest)
            self.lost[type(oldest)] = self.lost.get(type(oldest), 0) + 1

    def take(self, types: tuple[type[Any], ...], part: str | None) -> tuple[int, list[Any]]:
        """Take out the events of some classes, and how many of them were lost before."""
        taken: list[Any] = []
        left: deque[Any] = deque()
        for event in self.events:
            wanted = type(event) in types and part in (None, _part(event))
            (taken if wanted else left).append(event)
        self.events = left
        self._bytes = sum(map(_size, left))
        return sum(self.lost.pop(kind, 0) for kind in types), taken


def _size(event: Any) -> int:
    return len(getattr(event, "body", b""))


def _part(event: Any) -> str | None:
    """The channel or participant that an event belongs to, or None."""
    attribute = _PART_OF.get(type(event))
    if attribute is None:
        return event.part if isinstance(event, PartEvent) else None
    part: str = getattr(event, attribute)
    return part


class Router:
    """Brings events to the callbacks and queues that want them.

    Everything but `add` belongs to the network thread; so no change of it can be cut short by a signal.

    Args:
        callbacks: The dispatcher.

    Attributes:
        holding: Peer messages wait here, since nobody can take them; whoever makes room rings.
        touched: Queues that got something since they were woken last.
    """

    def __init__(self, callbacks: CallbackQueue) -> None:
        self._dispatcher = callbacks
        # Lists, since a deque takes 600 bytes even when it is empty, and these mostly are.
        self._added: list[Sink] = []
        self._sinks: dict[type[Any], list[Sink]] = {}
        self._peers: list[PeerMessage] = []
        # By channel; under an empty name what belongs to none, and keeps its order among all.
        self._early: dict[str, _Early] = {}
        self._known: set[tuple[str | None, type[Any]]] = set()
        self.holding = False
        self.touched: set[EventQueue[Any]] = set()

    # --- Any thread ---------------------------------------------------------------------------------------------

    def add(self, sink: Sink) -> None:
        """Take in a subscription; the network thread must be rung, and begins to serve it in its next turn."""
        self._added.append(sink)

    @property
    def peers_held(self) -> int:
        """Peer messages that wait for a subscription to take them, unacknowledged."""
        return len(self._peers)

    # --- The network thread -------------------------------------------------------------------------------------

    def adopt(self) -> None:
        """Begin to serve the subscriptions that were added; they get first what has waited for them."""
        while self._added:
            sink = self._added.pop(0)
            for kind in sink.types:
                # Those that were taken back are forgotten here too, since many classes of events hardly ever come.
                served = [other for other in self._sinks.get(kind, ()) if other.active]
                # Those who hear of everything come before those who hear of a part, as documented for participants.
                self._sinks[kind] = sorted([*served, sink], key=lambda each: each.part is not None)
            self._serve_early(sink)

    def route(self, event: Any) -> None:
        """Bring an event to those who want it; an early one waits."""
        kind = type(event)
        part = _part(event)
        sinks = self._wanting(kind, part)
        if sinks:
            self._give(event, sinks)
        elif (kind in _EARLY or (isinstance(event, PartEvent) and event.early)) and not self._is_known(
            part, kind
        ):
            self._early.setdefault(getattr(event, "channel", ""), _Early()).add(event)

    def receive_peer(self, message: PeerMessage) -> None:
        """Take in a peer message; `hand_over` brings it to those who want it."""
        self._peers.append(message)

    def hand_over(self) -> int | None:
        """Bring peer messages to those who want them, as far as they have room.

        Returns:
            The position of the last one that was taken, or None.
        """
        position = None
        peers = self._peers
        # Twice where some are left: whoever makes room after `holding` is set rings, who made it before does not.
        for _ in range(2):
            while peers and self._taken(peers[0]):
                position = peers.pop(0).id
            self.holding = bool(peers)
            if not peers:
                break
        return position

    def forget_channel(self, channel: str) -> None:
        """Take note that this client is no longer in a channel; after another join its events are early again."""
        self.route(ChannelLeft(channel))
        self._early.pop(channel, None)
        self._forget_known(channel)

    def forget_part(self, part: str) -> None:
        """Serve no longer those who want events of this participant only: he has gone, and there will be no more."""
        self.adopt()
        self._forget_known(part)
        for kind, sinks in self._sinks.items():
            self._sinks[kind] = [sink for sink in sinks if sink.part != part]
            for sink in sinks:
                if isinstance(sink, Feed) and sink.part == part:
                    sink.active = False
                    sink.queue.close()

    def callbacks_of(self, kind: type[Any]) -> list[Callback]:
        """The callbacks for a class of events, of whatever channel."""
        return [sink for sink in self._sinks.get(kind, ()) if isinstance(sink, Callback) and sink.active]

    def wake(self) -> None:
        """Wake whoever waits for a queue that got something."""
        while self.touched:
            self.touched.pop().wake()

    def close(self) -> None:
        """End all queues; what is in them can still be taken."""
        self.adopt()
        for sinks in self._sinks.values():
            for sink in sinks:
                if isinstance(sink, Feed):
                    if sink.missed:
                        sink.queue.keep(Lagged(sink.missed))
                        sink.missed = 0
                    sink.queue.close()

    def callbacks(self) -> list[Callback]:
        """All callbacks, those not yet served among them; a forked child takes them over."""
        every = dict.fromkeys(sink for sinks in list(self._sinks.values()) for sink in list(sinks))
        every.update(dict.fromkeys(self._added))
        return [sink for sink in every if isinstance(sink, Callback) and sink.active]

    def _wanting(self, kind: type[Any], part: str | None) -> list[Sink]:
        sinks = self._sinks.get(kind)
        if not sinks:
            return []
        for sink in sinks:
            if not sink.active or (part is not None and sink.part not in (None, part)):
                break
        else:
            return sinks
        active = [sink for sink in sinks if sink.active]
        if len(active) != len(sinks):
            self._sinks[kind] = active
        return [sink for sink in active if part is None or sink.part in (None, part)]

    def _give(self, event: Any, sinks: list[Sink]) -> None:
        callbacks: list[Callback] = []
        for sink in sinks:
            if isinstance(sink, Feed):
                sink.put(event)
                self.touched.add(sink.queue)
            else:
                callbacks.append(sink)
        if callbacks:
            self._dispatcher.put(event, callbacks)

    def _taken(self, message: PeerMessage) -> bool:
        """Bring a peer message to all who want it, provided that one of them keeps it."""
        callbacks: list[Callback] = []
        feeds: list[Feed] = []
        for sink in self._wanting(PeerMessage, None):
            if isinstance(sink, Feed):
                feeds.append(sink)
            else:
                callbacks.append(sink)
        if callbacks:
            # Once it held back, it goes on only when half of them are done, so that not each one rings.
            room = DISPATCH_WAITING // 2 if self.holding else DISPATCH_WAITING
            if self._dispatcher.peers_waiting >= room:
                return False
            self._dispatcher.keep_peer(message, callbacks)
        elif not any(feed.has_room for feed in feeds):
            return False
        for feed in feeds:
            if feed.has_room:
                feed.keep(message)
                self.touched.add(feed.queue)
            else:
                feed.miss()
        return True

    def _forget_known(self, part: str) -> None:
        self._known = {known for known in self._known if known[0] != part}

    def _is_known(self, part: str | None, kind: type[Any]) -> bool:
        return (None, kind) in self._known or (part, kind) in self._known

    def _serve_early(self, sink: Sink) -> None:
        self._known.update((sink.part, kind) for kind in sink.types)
        for channel in list(self._early):
            if channel and sink.part not in (None, channel):
                continue
            early = self._early[channel]
            lost, events = early.take(sink.types, sink.part)
            if lost:
                self._lag(sink, lost)
            for event in events:
                self._give(event, [sink])
            if not early.events and not early.lost:
                del self._early[channel]

    def _lag(self, sink: Sink, lost: int) -> None:
        if isinstance(sink, Feed):
            sink.queue.miss(lost)
        else:
            self._dispatcher.put(Lagged(lost), self.callbacks_of(Lagged))
