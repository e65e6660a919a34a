"""What each application did and saw, and what the engine said: the material of the checker."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any, Final

import attrs

from rtmcore.client.events import (
    DataReceived,
    MemberCountChanged,
    PeerConnectionStateChanged,
    RoomMessage,
    RtcStateChanged,
    StateChanged,
    StreamMessage,
)
from rtmcore.errors import OutcomeUnknown, RequestTimeout, RtmError
from rtmcore.models import ChannelMessage, PeerMessage
from rtmcore.service.commands.channels import ChannelNotice, MemberNotice, MemberStateNotice, ReadChannel
from rtmcore.service.commands.entries import Page
from rtmcore.service.commands.messages import Logged, PublishMessage
from rtmcore.service.commands.presence import PresenceNotice
from rtmcore.service.commands.sessions import Claim, Claimed, Silent
from rtmcore.service.commands.table import Answer
from rtmcore.service.memory.kept import HistoryRecord

LONG: Final = 12.0
"""Seconds of silence that are long."""
UNREACHABLE: Final = 6.0
"""Seconds of silence after which others see a user UNREACHABLE."""
_NOTES: Final = 100_000
_EXTENDED: Final = ("login", "connect", "close")
"""A timer that fires late allows a login one attempt more; a goodbye has a time of its own."""


@attrs.define(eq=False)
class Call:
    """A call of an application, and what came of it."""

    name: str
    arguments: tuple[Any, ...] = attrs.field(repr=False)
    options: dict[str, Any] = attrs.field(repr=False)
    begun: float
    made: bool = True
    """False where the process was suspended or gone."""
    number: int | None = None
    """The request's number on the wire."""
    deadline: float | None = None
    ticket: Any = attrs.field(default=None, repr=False)
    done: float | None = None
    value: Any = None
    error: RtmError | None = None

    def end(self, now: float, value: Any, error: RtmError | None) -> None:
        """Its result has come."""
        self.done = now
        self.value = value
        self.error = error

    @property
    def ok(self) -> bool:
        """Whether it ended with a result."""
        return self.done is not None and self.error is None


def never_executed(call: Call) -> bool:
    """Whether a failed call promises that nothing has happened."""
    if call.ticket is None or not call.ticket.written:
        return True
    error = call.error
    return error is not None and (
        not isinstance(error, OutcomeUnknown | RequestTimeout)
        or (isinstance(error, RequestTimeout) and not error.outcome_unknown)
    )


@attrs.define(eq=False)
class Taken:
    """A peer message that an application has taken."""

    time: float
    message: PeerMessage


@attrs.define(eq=False)
class Life:
    """A client object, from its making to its end."""

    history: "History" = attrs.field(repr=False)
    name: str
    user: str
    iid: str
    kind: str
    scope: str
    begun: float
    ended: float | None = None
    events: list[tuple[float, Any]] = attrs.field(factory=list, repr=False)
    """All events for the application, with their times."""
    taken: list[Taken] = attrs.field(factory=list, repr=False)
    calls: list[Call] = attrs.field(factory=list, repr=False)
    open: dict[int, Call] = attrs.field(factory=dict, repr=False)
    """Calls that wait for their result."""
    heard: float = 0.0
    """When it read its last bytes."""
    tokens: bool = False
    """Whether its tokens expire."""
    rooms: dict[str, set[str]] = attrs.field(factory=dict, repr=False)
    """Who is in its channels at the end."""
    sleeps: list[tuple[float, float]] = attrs.field(factory=list, repr=False)
    """From when to when its machine was suspended."""
    counted: list[tuple[float, MemberCountChanged, tuple[int, float, float] | None]] = attrs.field(
        factory=list, repr=False
    )
    """Each member count that it was told, with the connection and the times between which the server made it."""
    unheard: list[tuple[float, float]] = attrs.field(factory=list, repr=False)
    """From when to when servers heard nothing of it, where that was long."""
    heard_of: float = 0.0
    """When a server heard of it last."""
    read: tuple[int, float, float] | None = None
    """What was read in this turn: its connection, and when the first and the last of it were made."""
    wires: list[list[float | None]] = attrs.field(factory=list, repr=False)
    """From when to when it had a connection."""
    _open_wires: dict[Any, list[float | None]] = attrs.field(factory=dict, repr=False)

    def saw(self, event: Any, now: float, state: Any) -> None:
        """An event came out of its core."""
        self.events.append((now, event))
        if isinstance(event, MemberCountChanged):
            self.counted.append((now, event, self.read))
        for watcher in self.history.watchers:
            watcher.saw(self, event, now, state)

    def took(self, message: PeerMessage, now: float) -> None:
        """Its application has taken a peer message."""
        self.taken.append(Taken(now, message))

    def opened(self, now: float) -> None:
        """Its core asks for a connection."""
        for watcher in self.history.watchers:
            watcher.opened(self, now)

    def got_wire(self, wire: Any, now: float) -> None:
        """It has another connection."""
        span: list[float | None] = [now, None]
        self._open_wires[wire] = span
        self.wires.append(span)

    def lost_wire(self, wire: Any, now: float) -> None:
        """A connection of it is gone."""
        span = self._open_wires.pop(wire, None)
        if span is not None:
            span[1] = now

    def look(self, core: Any, now: float) -> None:
        """A turn of its host ends."""
        for watcher in self.history.watchers:
            watcher.looked(self, core, now)
        for call in self.open.values():
            extended = call.name in _EXTENDED or (call.name == "join" and self.kind == "rtc")
            if call.deadline is not None and call.deadline <= now and not extended:
                self.history.violation(now, f"{self.name}: {call} is overdue")

    def end(self, now: float) -> None:
        """Its process is gone."""
        self.ended = now
        for span in self._open_wires.values():
            span[1] = now
        self._open_wires.clear()

    # --- For those who look ---------------------------------------------------------

    def of(self, *kinds: type[Any]) -> list[Any]:
        """Its events of some classes, in order."""
        return [event for _, event in self.events if isinstance(event, kinds)]

    def times(self, *kinds: type[Any]) -> list[tuple[float, Any]]:
        """Its events of some classes with their times, in seconds since the beginning of the world."""
        return [(time - self.history.start, event) for time, event in self.events if isinstance(event, kinds)]

    @property
    def states(self) -> list[tuple[float, str, str]]:
        """Its changes of state: time since the beginning of the world, state, reason."""
        return [
            (round(time - self.history.start, 6), event.state.name, event.reason.name)
            for time, event in self.events
            if isinstance(event, StateChanged | RtcStateChanged)
        ]

    @property
    def aggregates(self) -> list[tuple[float, str]]:
        """Changes of its aggregate state: time since the beginning of the world, state."""
        return [
            (round(time - self.history.start, 6), event.state.value)
            for time, event in self.events
            if isinstance(event, PeerConnectionStateChanged)
        ]

    @property
    def messages(self) -> list[PeerMessage]:
        """The peer messages that its application has taken, in order."""
        return [taken.message for taken in self.taken]


@attrs.define(eq=False)
class Owned:
    """The engine gave a name to an instance."""

    time: float
    iid: str
    fence: int
    attempt: int
    login: bool
    resumed: bool


@attrs.define(eq=False)
class LogEntry:
    """The engine accepted a message to a channel."""

    id: int
    prev: int | None
    """The position before it; None where nobody was told."""
    time: float
    user: str
    iid: str
    cmid: int
    epoch: int
    body: bytes = attrs.field(repr=False)


class Voices:
    """Which connection speaks for each name, and when nothing was heard on it."""

    def __init__(self) -> None:
        self._read: dict[int, float] = {}
        self._heard: dict[tuple[str, str, str], float] = {}
        self._places: dict[tuple[str, str, str], int] = {}
        self._speaks: dict[int, tuple[str, str, str]] = {}
        self._silences: dict[tuple[str, str, str], list[tuple[float, float]]] = defaultdict(list)

    def claimed(self, name: tuple[str, str, str], connection: int, now: float) -> None:
        """From now on another connection speaks for a name."""
        self._speaks.pop(self._places.get(name, 0), None)
        self._places[name] = connection
        self._speaks[connection] = name
        self._end_silence(name, now)
        # The engine may have taken its time, and nothing may have come behind the hello.
        self._heard[name] = self._read.get(connection, now)

    def heard(self, connection: int, now: float) -> None:
        """A node has read bytes."""
        self._read[connection] = now
        name = self._speaks.get(connection)
        if name is not None:
            self._end_silence(name, now)
            self._heard[name] = now

    def _end_silence(self, name: tuple[str, str, str], now: float) -> None:
        begin = self._heard.get(name, now) + UNREACHABLE
        if begin < now:
            self._silences[name].append((begin, now))

    def given_up(self, connection: int) -> None:
        """A node has parted a connection from its session: what still comes on it says nothing."""
        self._speaks.pop(connection, None)

    def unreachable(self, name: tuple[str, str, str], end: float) -> list[tuple[float, float]]:
        """When a name counts as UNREACHABLE: from 6 s after the last byte until the next one, or the end."""
        begin = self._heard.get(name, end) + UNREACHABLE
        return [*self._silences[name], (begin, end)] if begin < end else self._silences[name]


class History:
    """Everything that is known of one world.

    Args:
        start: When it began, in monotonic seconds.

    Attributes:
        lives: Of all clients.
        watchers: Told of events while they happen.
        violations: What went wrong, with the times in seconds since the beginning.
        owners: Who got each name, by kind, user and scope.
        voices: When nothing was heard of each name, in the same way.
        logs: What the engine accepted, by kind and channel.
        restarts: When engines started, the first one included, and when they stopped.
        faults: Faults by name, counted.
        notes: What happened otherwise.
        late_until: Until when the engine may not have heard what a node has.
        late: From when to when the engine was late.
        walls: By how many microseconds the server's clock is wrong, and since when.
        end: When the world has ended.
    """

    def __init__(self, start: float) -> None:
        self.start = start
        self.lives: list[Life] = []
        self.watchers: list[Any] = []
        self.violations: list[tuple[float, str]] = []
        self.owners: dict[tuple[str, str, str], list[Owned]] = defaultdict(list)
        self.voices = Voices()
        self.logs: dict[tuple[str, str], list[LogEntry]] = defaultdict(list)
        self._logged: dict[tuple[str, str, int], LogEntry] = {}
        self.starts: list[float] = []
        self.stops: list[float] = []
        self.faults: dict[str, int] = defaultdict(int)
        self.notes: list[tuple[float, str]] = []
        self.late_until = 0.0
        self.late: list[tuple[float, float]] = []
        self.walls: list[tuple[float, int]] = [(start, 0)]
        self.end = start

    def begin(self, name: str, user: str, iid: str, kind: str, scope: str, now: float) -> Life:
        """A client object is made."""
        life = Life(self, name, user, iid, kind, scope, now)
        self.lives.append(life)
        return life

    def violation(self, now: float, text: str) -> None:
        """Something went wrong."""
        self.violations.append((round(now - self.start, 6), text))

    def note(self, now: float, text: str) -> None:
        """Something happened that a reader of the trace wants to know."""
        if len(self.notes) < _NOTES:
            self.notes.append((round(now - self.start, 6), text))

    def fault(self, now: float, name: str, text: str) -> None:
        """A fault was brought about."""
        self.faults[name] += 1
        self.note(now, text)

    def messages(self) -> int:
        """How many messages applications were given."""
        return sum(
            isinstance(event, PeerMessage | ChannelMessage | StreamMessage | RoomMessage | DataReceived)
            for life in self.lives
            for _, event in life.events
        )

    # --- The server side --------------------------------------------------------------

    def engine_started(self, epoch: str, now: float) -> None:
        """An engine starts, and nodes with it."""
        self.starts.append(now)
        for watcher in self.watchers:
            watcher.engine_started(now)

    def engine_stopped(self, now: float) -> None:
        """The engine and all nodes are gone."""
        self.stops.append(now)

    def server_heard(self, wire: Any, now: float) -> None:
        """A node has read bytes of a client."""
        life = wire.client.life
        if now - life.heard_of > LONG:
            life.unheard.append((life.heard_of, now))
        life.heard_of = now
        self.voices.heard(wire.number, now)
        for watcher in self.watchers:
            watcher.server_heard(wire.node.name, wire.number, now)

    def engine_asked(self, command: Any, now: float) -> None:
        """The engine carries out a command."""
        if isinstance(command, Silent) and command.gone:
            self.voices.given_up(command.session.place.connection)
        for watcher in self.watchers:
            watcher.asked(command, now)

    def engine_said(self, node: str, output: Any, now: float) -> None:
        """The engine has an answer or a notice for a node."""
        if isinstance(output, Answer):
            command, value = output.command, output.value
            if isinstance(value, Logged) and isinstance(command, PublishMessage):
                name = command.session.name
                ids, author = (value.id, value.prev), (name.name, command.iid, command.cmid)
                self._accepted((name.kind, command.channel), ids, author, command.body, now)
            elif isinstance(value, Claimed) and isinstance(command, Claim):
                self._claimed(command, value, now)
            elif isinstance(value, Page) and isinstance(command, ReadChannel):
                for watcher in self.watchers:
                    watcher.page(command, value, now)
        elif isinstance(output, ChannelNotice):
            # Who has sent it may be gone before it is on the disk: then there is no answer.
            entry = output.entry
            ids, author = (entry.id, entry.prev), (entry.user, entry.iid, entry.cmid)
            self._accepted((output.kind, output.channel), ids, author, entry.body, now)
        elif isinstance(output, MemberNotice | MemberStateNotice | PresenceNotice):
            for watcher in self.watchers:
                watcher.engine_told(output, now)

    def kept(self, records: Iterable[HistoryRecord], now: float) -> None:
        """Messages are in the history: those to channels are in their logs, even where nobody is told of it."""
        for record in records:
            if record.channel:
                author = record.source, record.iid, record.cmid
                self._accepted(("rtm", record.destination), (record.id, None), author, record.body, now)

    def _accepted(
        self,
        log: tuple[str, str],
        ids: tuple[int, int | None],
        author: tuple[str, str, int],
        body: bytes,
        now: float,
    ) -> None:
        key = (*log, ids[0])
        known = self._logged.get(key)
        if known is None:
            known = self._logged[key] = LogEntry(*ids, now, *author, len(self.starts), body)
            self.logs[log].append(known)
        elif known.prev is None:
            known.prev = ids[1]

    def _claimed(self, command: Claim, value: Claimed, now: float) -> None:
        name = command.name
        owned = Owned(now, command.iid, value.fence, command.attempt, command.login, value.resumed)
        key = name.kind, name.name, name.scope
        self.owners[key].append(owned)
        self.voices.claimed(key, command.place.connection, now)
        for watcher in self.watchers:
            watcher.claimed(command, value, now)
