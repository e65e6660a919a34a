"""Turns the events of a client into spans and marks, in bounded memory."""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

import attrs

from rtmcore.client.events import (
    ChannelGap,
    ChannelLost,
    MemberJoined,
    MemberLeft,
    NotRestored,
    OpenTransport,
    ParticipantConnected,
    ParticipantDisconnected,
    ParticipantReconnected,
    ParticipantReconnecting,
    PeerConnectionStateChanged,
    PresenceChanged,
    RoomDisconnected,
    RoomGap,
    RoomReconnected,
    RoomReconnecting,
    RtcConnectionLost,
    RtcInterrupted,
    RtcJoined,
    RtcRejoined,
    RtcStateChanged,
    RtcUserJoined,
    RtcUserOffline,
    StateChanged,
    TokenHasExpired,
    TokenWillExpire,
)
from rtmcore.codes import ParticipantState, PeerOnlineState, RoomState
from rtmcore.errors import RtmError
from rtmcore.limits import TIMELINE_MARKS, TIMELINE_SPANS
from rtmsync.timeline.spans import Lane, Mark, Span, Subject
from rtmsync.timeline.svg import svg
from rtmsync.timeline.table import table


@attrs.frozen
class _Entry:
    """A state was entered; it ends where the next entry of its lane begins."""

    lane: Lane
    state: str
    reason: str
    began: float
    wall: float
    code: int | None
    cause: str


class Timeline:
    """What happened to a connection: its states, why, and how long each lasted.

    It takes the events of a client, of an RTC channel or of a room and keeps no more than names, numbers and times
    of them: never a message, a token or an attribute. One thread may write while others read.

    Args:
        who: Whose events these are: the user id, the uid or the identity.
        clock: Tells how long a state that has not ended has lasted, in the seconds of `now`; without one it is
            taken to last until the latest event.
        spans: How many spans are kept, at least 1.
        marks: How many marks are kept, at least 1.
    """

    def __init__(
        self,
        who: str = "",
        clock: Callable[[], float] | None = None,
        *,
        spans: int = TIMELINE_SPANS,
        marks: int = TIMELINE_MARKS,
    ) -> None:
        self.who: Final = who
        self._clock = clock
        self._most = spans
        self._entries: deque[_Entry] = deque()
        self._current: dict[Lane, _Entry] = {}
        self._marks: deque[Mark] = deque(maxlen=marks)
        self._own = Lane(who)
        self._latest = 0.0
        self._dropped = 0

    # --- What comes in ------------------------------------------------------------------------------------------

    def note(self, event: object, now: float, wall: float) -> None:
        """Take an event. What says nothing of a connection, such as a message, is left out.

        Args:
            event: Of `rtmcore.client.events`.
            now: Monotonic seconds.
            wall: Seconds since 1970.
        """
        take = _TAKEN.get(type(event))
        if take is not None:
            take(self, event, now, wall)

    def enter(self, state: str, now: float, wall: float) -> None:
        """Begin a state of the connection that no event tells of: that a room was connected to at first.

        Args:
            state: Its documented name.
            now: Monotonic seconds.
            wall: Seconds since 1970.
        """
        self._enter(self._own, state, "", now, wall)

    def mark(self, what: str, detail: str, now: float, wall: float) -> None:
        """Note something of one's own between the events: what was done, or what happened to the network.

        Args:
            what: In a word or two.
            detail: Names and numbers.
            now: Monotonic seconds.
            wall: Seconds since 1970.
        """
        self._add_mark(what, detail, now, wall)

    # --- What comes out -----------------------------------------------------------------------------------------

    @property
    def rows(self) -> tuple[Span, ...]:
        """The spans, in the order in which they began."""
        ends: dict[Lane, float] = {}
        found: list[Span] = []
        for entry in reversed(tuple(self._entries)):
            found.append(
                Span(
                    entry.lane,
                    entry.state,
                    entry.reason,
                    entry.began,
                    ends.get(entry.lane),
                    entry.wall,
                    entry.code,
                    entry.cause,
                )
            )
            ends[entry.lane] = entry.began
        return tuple(reversed(found))

    @property
    def marks(self) -> tuple[Mark, ...]:
        """What happened besides, in its order."""
        return tuple(self._marks)

    @property
    def dropped(self) -> int:
        """Spans and marks that were recorded and are no longer kept."""
        return self._dropped

    @property
    def until(self) -> float:
        """Up to when states that have not ended are taken to last, in monotonic seconds."""
        return self._latest if self._clock is None else max(self._latest, self._clock())

    def table(self) -> str:
        """Aligned text: state, reason, began, lasted; a line for each span and each mark."""
        return merged_table([self])

    def svg(self) -> str:
        """A picture: states as bars over time, with reasons and durations. It stands for itself as a file."""
        return merged_svg([self])

    def __repr__(self) -> str:
        return f"<Timeline of {self.who!r}: {len(self._entries)} spans, {len(self._marks)} marks>"

    # --- Inside -------------------------------------------------------------------------------------------------

    def _enter(
        self,
        lane: Lane,
        state: str,
        reason: str,
        now: float,
        wall: float,
        error: RtmError | None = None,
    ) -> None:
        self._latest = max(self._latest, now)
        current = self._current.get(lane)
        if current is not None and (current.state, current.reason) == (state, reason):
            return
        code = None if error is None or error.code is None else int(error.code)
        entry = _Entry(lane, state, reason, now, wall, code, "" if error is None else type(error).__name__)
        self._entries.append(entry)
        self._current[lane] = entry
        if len(self._entries) > self._most:
            self._drop()

    def _drop(self) -> None:
        """Make room: what has ended goes first, then what is known of others, then the rest."""
        entries, current = self._entries, self._current
        ended = (index for index, entry in enumerate(entries) if current[entry.lane] is not entry)
        others = (index for index, entry in enumerate(entries) if entry.lane.subject is Subject.PEER)
        index = next(ended, None)
        if index is None:
            index = next(others, 0)
        entry = entries[index]
        del entries[index]
        self._dropped += 1
        if current[entry.lane] is entry:
            del current[entry.lane]

    def _add_mark(self, what: str, detail: str, now: float, wall: float, *, attempt: bool = False) -> None:
        self._latest = max(self._latest, now)
        if len(self._marks) == self._marks.maxlen:
            self._dropped += 1
        self._marks.append(Mark(self._own, now, wall, what, detail, attempt))

    def _peer(self, name: str) -> Lane:
        return Lane(self.who, Subject.PEER, name)


def merged_table(timelines: Sequence[Timeline]) -> str:
    """Several timelines of one clock as one table."""
    return table(
        _in_order([span for one in timelines for span in one.rows]),
        sorted((mark for one in timelines for mark in one.marks), key=lambda mark: mark.at),
        now=max((one.until for one in timelines), default=0.0),
        dropped=sum(one.dropped for one in timelines),
    )


def merged_svg(timelines: Sequence[Timeline], *, title: str = "") -> str:
    """Several timelines of one clock in one picture, a lane for each participant.

    Args:
        timelines: At least one.
        title: What the picture shows; for people who cannot see it too.
    """
    return svg(
        _in_order([span for one in timelines for span in one.rows]),
        sorted((mark for one in timelines for mark in one.marks), key=lambda mark: mark.at),
        now=max((one.until for one in timelines), default=0.0),
        title=title or f"Connection of {', '.join(one.who for one in timelines)}",
    )


def _in_order(spans: list[Span]) -> list[Span]:
    return sorted(spans, key=lambda span: span.began)


# --- What each event says ---------------------------------------------------------------------------------------


def _named(member: Any) -> str:
    return f"{member.name} {int(member)}"


def _state_changed(
    timeline: Timeline, event: StateChanged | RtcStateChanged, now: float, wall: float
) -> None:
    timeline._enter(timeline._own, event.state.name, _named(event.reason), now, wall, event.cause)


def _transports_changed(
    timeline: Timeline, event: PeerConnectionStateChanged, now: float, wall: float
) -> None:
    timeline._enter(Lane(timeline.who, Subject.TRANSPORTS), event.state.value, "", now, wall)


def _room_reconnecting(timeline: Timeline, event: RoomReconnecting, now: float, wall: float) -> None:
    _enter_room(timeline, RoomState.RECONNECTING, event.error, now, wall)


def _room_reconnected(timeline: Timeline, event: RoomReconnected, now: float, wall: float) -> None:
    _enter_room(timeline, RoomState.CONNECTED, None, now, wall)


def _room_disconnected(timeline: Timeline, event: RoomDisconnected, now: float, wall: float) -> None:
    _enter_room(timeline, RoomState.DISCONNECTED, event.error, now, wall)


def _enter_room(
    timeline: Timeline, state: RoomState, error: RtmError | None, now: float, wall: float
) -> None:
    reason = "" if error is None or error.code is None else _named(error.code)
    timeline._enter(timeline._own, state.value, reason, now, wall, error)


def _participant(state: ParticipantState) -> Callable[[Timeline, Any, float, float], None]:
    def take(timeline: Timeline, event: Any, now: float, wall: float) -> None:
        timeline._enter(timeline._peer(event.identity), state.value, "", now, wall)

    return take


def _presence_changed(timeline: Timeline, event: PresenceChanged, now: float, wall: float) -> None:
    for user, state in event.states.items():
        timeline._enter(timeline._peer(user), state.name, "", now, wall)


def _user_joined(timeline: Timeline, event: RtcUserJoined, now: float, wall: float) -> None:
    timeline._enter(timeline._peer(event.uid), PeerOnlineState.ONLINE.name, "", now, wall)


def _user_offline(timeline: Timeline, event: RtcUserOffline, now: float, wall: float) -> None:
    timeline._enter(timeline._peer(event.uid), PeerOnlineState.OFFLINE.name, _named(event.reason), now, wall)


def _marked(detail: Callable[[Any], str], *, attempt: bool = False) -> Callable[..., None]:
    def take(timeline: Timeline, event: Any, now: float, wall: float) -> None:
        timeline._add_mark(type(event).__name__, detail(event), now, wall, attempt=attempt)

    return take


def _nothing(event: object) -> str:
    return ""


def _membership(event: MemberJoined | MemberLeft) -> str:
    dropped = ", dropped" if isinstance(event, MemberLeft) and event.dropped else ""
    return f"{event.user} in {event.channel}{dropped}, {event.count} now"


def _not_restored(event: NotRestored) -> str:
    return f"{len(event.users)} subscriptions, {len(event.attributes)} attributes"


_TAKEN: Final[dict[type[Any], Callable[..., None]]] = {
    StateChanged: _state_changed,
    RtcStateChanged: _state_changed,
    PeerConnectionStateChanged: _transports_changed,
    RoomReconnecting: _room_reconnecting,
    RoomReconnected: _room_reconnected,
    RoomDisconnected: _room_disconnected,
    ParticipantConnected: _participant(ParticipantState.CONNECTED),
    ParticipantReconnecting: _participant(ParticipantState.RECONNECTING),
    ParticipantReconnected: _participant(ParticipantState.CONNECTED),
    ParticipantDisconnected: _participant(ParticipantState.DISCONNECTED),
    PresenceChanged: _presence_changed,
    NotRestored: _marked(_not_restored),
    RtcUserJoined: _user_joined,
    RtcUserOffline: _user_offline,
    OpenTransport: _marked(lambda event: str(event.purpose.value), attempt=True),
    TokenWillExpire: _marked(lambda event: f"in {event.seconds:.1f} s"),
    TokenHasExpired: _marked(_nothing),
    ChannelGap: _marked(lambda event: f"{event.lost} lost in {event.channel}"),
    ChannelLost: _marked(lambda event: f"{event.channel}: {_named(event.code)}"),
    MemberJoined: _marked(_membership),
    MemberLeft: _marked(_membership),
    RtcJoined: _marked(lambda event: f"after {event.elapsed:.2f} s"),
    RtcRejoined: _marked(lambda event: f"after {event.elapsed:.2f} s"),
    RtcInterrupted: _marked(_nothing),
    RtcConnectionLost: _marked(_nothing),
    RoomGap: _marked(lambda event: f"{event.lost} lost"),
}
