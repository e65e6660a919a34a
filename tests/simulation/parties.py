"""Applications that are in an RTC channel or in a room: what they do, and whether what they saw is right."""

from bisect import bisect_right
from typing import TYPE_CHECKING, Any, Final

from rtmcore.client.events import (
    DataReceived,
    ParticipantConnected,
    ParticipantDisconnected,
    ParticipantReconnected,
    ParticipantReconnecting,
    RoomDisconnected,
    RoomGap,
    RoomMessage,
    RoomReconnected,
    RoomReconnecting,
    RtcConnectionLost,
    RtcInterrupted,
    RtcRejoined,
    RtcStateChanged,
    RtcUserJoined,
    RtcUserOffline,
    StreamMessage,
)
from rtmcore.codes import MessageType
from tests.simulation.history import History, Life, LogEntry
from tests.simulation.hosts import ClientHost

if TYPE_CHECKING:
    from tests.simulation.workload import Director

RTC_SCOPE: Final = "channel-0"
ROOM_SCOPE: Final = "channel-1"
"""On purpose names of RTM channels: these are other name spaces."""
_TRACKS: Final = ("mouse", "pen")

_RTC_MOVES: Final = {
    ("DISCONNECTED", "CONNECTING"),
    ("CONNECTING", "CONNECTED"),
    ("CONNECTING", "FAILED"),
    ("CONNECTING", "DISCONNECTED"),
    ("CONNECTED", "RECONNECTING"),
    ("CONNECTED", "FAILED"),
    ("CONNECTED", "DISCONNECTED"),
    ("RECONNECTING", "CONNECTED"),
    ("RECONNECTING", "FAILED"),
    ("RECONNECTING", "DISCONNECTED"),
    ("FAILED", "DISCONNECTED"),
}


def kind_of(actor: int, clients: int) -> str:
    """What kind of client an actor is."""
    if actor < clients - 2 * (clients // 6):
        return "rtm"
    return "rtc" if actor % 2 else "room"


def rtm_clients(clients: int) -> int:
    """How many of all clients are clients of RTM: the first ones."""
    return sum(kind_of(actor, clients) == "rtm" for actor in range(clients))


class Parties:
    """Carries out the steps of those who are in RTC channels and rooms.

    Args:
        director: Carries out the plan.
    """

    def __init__(self, director: "Director") -> None:
        self.director = director
        self.world = director.world

    def carry_out(self, actor: int, verb: str, arguments: tuple[Any, ...]) -> None:
        """Do what a step means for such a client."""
        if verb == "login":
            self.enter(actor)
        elif verb == "logout":
            self.leave(actor)
        elif verb == "rival":
            self.rival(actor)
        elif verb in ("say", "tell"):
            self.frame(actor, 10)
            self.message(actor)
        elif verb in ("talk", "burst"):
            number = arguments[2] if verb == "talk" else arguments[1]
            for _ in range(number):
                self.message(actor)
                self.frame(actor, number)
        elif verb in ("crash", "close", "token", "renew"):
            getattr(self.director, f"do_{verb}")(actor, *arguments)

    def enter(self, actor: int) -> None:
        """Come in, with a new object where the old one is used up."""
        director = self.director
        host = director.actors[actor]
        if host is not None and host.alive and host.asleep > self.world.now:
            return
        if host is None or not host.alive or host.core.closed:
            host = self._start(actor)
        elif host.kind == "room" and self._used_up(host):
            host.call("close")
            host = self._start(actor)
        if host.kind == "room":
            if not any(call.name == "connect" for call in host.life.calls):
                host.call("connect")
        elif host.core.state.name in ("DISCONNECTED", "FAILED"):
            if host.core.state.name == "FAILED":
                host.call("leave")
            host.call("join")

    @staticmethod
    def _used_up(host: ClientHost) -> bool:
        """Whether a room's object has had its one connection."""
        failed = any(call.name == "connect" and call.error is not None for call in host.life.calls)
        state = host.core.state
        return failed or (state is not None and state.name == "DISCONNECTED")

    def _start(self, actor: int) -> ClientHost:
        director = self.director
        kind = kind_of(actor, director.plan.clients)
        old = director.actors[actor]
        host = self.world.client(
            director.user(actor),
            kind=kind,
            scope=RTC_SCOPE if kind == "rtc" else ROOM_SCOPE,
            token_provider=True,
        )
        if old is not None:
            host.weather = old.weather
        director.actors[actor] = host
        return host

    def leave(self, actor: int) -> None:
        """Go."""
        host = self.director.host(actor)
        if host is not None and not host.core.closed:
            if host.kind == "room":
                if host.core.state is not None:
                    host.call("disconnect")
            elif host.core.state.name != "DISCONNECTED":
                host.call("leave")

    def rival(self, actor: int) -> None:
        """The same uid or identity comes in elsewhere."""
        old = self.director.host(actor)
        if old is None or not self.inside(old):
            return
        self.director.retired.append(old)
        new = self._start(actor)
        new.weather = type(old.weather)(latency=new.dice.choice((0.001, 0.01, 0.1)))
        new.call("connect" if new.kind == "room" else "join")

    @staticmethod
    def inside(host: ClientHost) -> bool:
        """Whether a client is in its channel or room."""
        state = host.core.state
        return state is not None and state.name in ("CONNECTED", "RECONNECTING")

    def frame(self, actor: int, size: int) -> None:
        """Send a frame."""
        host = self.director.host(actor)
        if host is None or not self.inside(host):
            return
        body = self.director.body(size)
        if host.kind == "rtc":
            host.call("send_stream_message", body)
        else:
            host.call("send_data", host.dice.choice(_TRACKS), body)

    def message(self, actor: int) -> None:
        """Send a message to the room."""
        host = self.director.host(actor)
        if host is not None and host.kind == "room" and self.inside(host):
            host.call("send", MessageType.TEXT, self.director.body())

    def judge_rest(self, hosts: list[ClientHost]) -> None:
        """At the end everybody is in, and knows of all others."""
        history, now = self.world.history, self.world.now
        for host in hosts:
            state = host.core.state
            if state is None or state.name != "CONNECTED":
                history.violation(now, f"{host.name} ({host.kind}) is {state} at the end")
                continue
            others = {other.user for other in hosts if other.kind == host.kind} - {host.user}
            known = set(host.core.users if host.kind == "rtc" else host.core.participants)
            if known != others:
                history.violation(now, f"{host.name} ({host.kind}) knows of {sorted(known)} at the end")
            if host.kind == "room" and any(
                state.value != "connected" for state in host.core.participants.values()
            ):
                history.violation(now, f"{host.name} does not know that all are connected at the end")


class PartyJudge:
    """Judges what clients of RTC channels and rooms saw.

    Args:
        history: Of one world.
    """

    def __init__(self, history: History) -> None:
        self.history = history
        self.frames: dict[bytes, tuple[Life, int, str]] = {}
        self.messages: dict[bytes, Life] = {}
        for life in history.lives:
            for number, call in enumerate(life.calls):
                if call.name == "send_stream_message":
                    self.frames[call.arguments[0]] = (life, number, "")
                elif call.name == "send_data":
                    self.frames[call.arguments[1]] = (life, number, call.arguments[0])
                elif call.name == "send":
                    self.messages[call.arguments[1]] = life

    def judge(self) -> None:
        """Find everything that is wrong."""
        for life in self.history.lives:
            if life.kind == "rtc":
                self._judge_rtc(life)
                self._judge_frames(life)
            elif life.kind == "room":
                self._judge_room(life)
                self._judge_messages(life)
                self._judge_frames(life)

    def _judge_rtc(self, life: Life) -> None:
        state = "DISCONNECTED"
        there: dict[str, bool] = {}
        interrupted = lost = False
        for time, event in life.events:
            if isinstance(event, RtcStateChanged):
                if event.previous.name != state or (state, event.state.name) not in _RTC_MOVES:
                    self._wrong(time, f"{life.name} went from {state} to {event}")
                state = event.state.name
                if state in ("DISCONNECTED", "FAILED"):
                    there.clear()
                    interrupted = lost = False
            elif isinstance(event, RtcInterrupted):
                interrupted, lost = True, False
            elif isinstance(event, RtcRejoined):
                interrupted = lost = False
            elif isinstance(event, RtcConnectionLost):
                if lost:
                    self._wrong(time, f"{life.name} lost its connection twice in one outage")
                lost = interrupted
            elif isinstance(event, RtcUserJoined | RtcUserOffline):
                joined = isinstance(event, RtcUserJoined)
                if there.get(event.uid, False) is joined or event.uid == life.user:
                    self._wrong(time, f"{life.name} saw {event} twice in a row")
                if state not in ("CONNECTED", "RECONNECTING"):
                    self._wrong(time, f"{life.name} saw {event} while {state}")
                there[event.uid] = joined
            elif isinstance(event, StreamMessage) and state not in ("CONNECTED", "RECONNECTING"):
                self._wrong(time, f"{life.name} saw {event} while {state}")

    def _judge_room(self, life: Life) -> None:
        over = reconnecting = False
        there: dict[str, str] = {}
        for time, event in life.events:
            if over and isinstance(event, RoomReconnecting | RoomReconnected | RoomMessage | DataReceived):
                self._wrong(time, f"{life.name} saw {event} after the end")
            if isinstance(event, RoomDisconnected):
                if over:
                    self._wrong(time, f"{life.name} saw {event} twice")
                over = True
            elif isinstance(event, RoomReconnecting | RoomReconnected):
                if reconnecting is isinstance(event, RoomReconnecting):
                    self._wrong(time, f"{life.name} saw {event} twice in a row")
                reconnecting = not reconnecting
            elif isinstance(event, ParticipantConnected):
                self._step(life, time, event, there, ("",), "connected")
            elif isinstance(event, ParticipantReconnecting):
                self._step(life, time, event, there, ("connected",), "reconnecting")
            elif isinstance(event, ParticipantReconnected):
                self._step(life, time, event, there, ("reconnecting",), "connected")
            elif isinstance(event, ParticipantDisconnected):
                self._step(life, time, event, there, ("connected", "reconnecting"), "")

    def _step(
        self, life: Life, time: float, event: Any, there: dict[str, str], before: tuple[str, ...], after: str
    ) -> None:
        # Whoever was there first has no event: the list of participants tells of him.
        known = there.get(event.identity)
        if (known is not None and known not in before) or event.identity == life.user:
            self._wrong(time, f"{life.name} saw {event} when he was {known or 'away'}")
        there[event.identity] = after

    def _judge_messages(self, life: Life) -> None:
        log = sorted(self.history.logs.get(("room", life.scope), ()), key=lambda entry: entry.id)
        ids = [entry.id for entry in log]
        last, lost = 0, 0
        bodies: set[bytes] = set()
        for time, event in life.events:
            if isinstance(event, RoomGap):
                lost += event.lost
            if not isinstance(event, RoomMessage):
                continue
            at = bisect_right(ids, event.id) - 1
            if at < 0 or log[at].id != event.id or log[at].body != event.body:
                self._wrong(time, f"{life.name} saw {event}, which is not in the log")
                continue
            if event.sender == life.user or event.id <= last or event.body in bodies:
                self._wrong(time, f"{life.name} saw {event} of his own, again, or after {last}")
            bodies.add(event.body)
            if last:
                self._judge_gap(life, log[bisect_right(ids, last) : at], lost, time, bodies)
            last, lost = event.id, 0
        accepted = {entry.body for entry in log}
        for call in life.calls:
            if call.name == "send" and call.ok and call.arguments[1] not in accepted:
                self._wrong(call.done or 0.0, f"a message of {life.name} was accepted, and is not in the log")

    def _judge_gap(
        self, life: Life, between: list[LogEntry], lost: int, time: float, bodies: set[bytes]
    ) -> None:
        epoch = bisect_right(self.history.starts, time)
        missing = [entry for entry in between if entry.user != life.user and entry.body not in bodies]
        sure = sum(entry.epoch == epoch for entry in missing)
        if not sure <= lost <= len(missing):
            self._wrong(time, f"{life.name} misses {len(missing)} messages ({sure} sure), was told of {lost}")

    def _judge_frames(self, life: Life) -> None:
        """Each frame once, in order for each track of each sender, and every loss counted."""
        last: dict[tuple[Life, str], tuple[int, int]] = {}
        for time, event in life.events:
            if not isinstance(event, StreamMessage | DataReceived):
                continue
            known = self.frames.get(event.body)
            who = event.uid if isinstance(event, StreamMessage) else event.identity
            if known is None or known[0].user != who or known[0].kind != life.kind:
                self._wrong(time, f"{life.name} saw {event}, which nobody has sent")
                continue
            sender, number, track = known
            if isinstance(event, DataReceived) and event.track != track:
                self._wrong(time, f"{life.name} saw {event} on another track than {track}")
            before, n = last.get((sender, track), (-1, 0))
            if event.n == n and time < self.history.late_until:
                # A receiver who changes over to another node can be told there again of what was late.
                continue
            if number <= before or event.n <= n:
                self._wrong(time, f"{life.name} saw {event} after {n}")
            if n and event.dropped != event.n - n - 1 and not self._away(life, sender, time):
                self._wrong(time, f"{life.name} saw {event} after {n}")
            last[sender, track] = (number, event.n)

    def _away(self, life: Life, sender: Life, time: float) -> bool:
        """Whether a sender was announced as gone meanwhile: then his frames are counted anew."""
        return any(
            isinstance(event, RtcUserOffline | ParticipantDisconnected | RtcStateChanged)
            for moment, event in life.events
            if moment <= time
        )

    def _wrong(self, time: float, text: str) -> None:
        self.history.violation(time, text)


__all__ = ["Parties", "PartyJudge", "kind_of", "rtm_clients"]
