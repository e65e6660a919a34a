"""The judge: what a history has to look like, written down once more and independently of the product.

All figures here are those of the documents, on purpose not those of `rtmcore.limits`: a limit that is changed there
has to be noticed here.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from rtmcore.client.events import (
    ChannelGap,
    ChannelLost,
    MemberJoined,
    MemberLeft,
    PresenceChanged,
    StateChanged,
)
from rtmcore.models import ChannelMessage, JoinResult, PeerMessage, PublishResult, SendResult
from tests.simulation.attributes import AttributeJudge
from tests.simulation.history import UNREACHABLE, Call, History, Life, LogEntry, never_executed
from tests.simulation.invitations import CallJudge
from tests.simulation.kept import KeptJudge
from tests.simulation.parties import PartyJudge
from tests.simulation.presence import CountJudge, PresenceJudge
from tests.simulation.spans import Spans

if TYPE_CHECKING:
    from tests.simulation.world import World

KEPT_OFFLINE: Final = 200
REPLAYED: Final = 32
REPLAY_AGE: Final = 30.0
OFFLINE: Final = {"rtm": 30.0, "room": 30.0, "rtc": 20.0}
INTERRUPTED: Final = 4.0
_SLACK: Final = 0.001

DELIVERED, PEER_UNREACHABLE, CACHED = 0, 3, 4

MOVES: Final = {
    ("DISCONNECTED", "LOGIN", "CONNECTING"),
    ("CONNECTING", "LOGIN_SUCCESS", "CONNECTED"),
    ("CONNECTING", "LOGIN_FAILURE", "DISCONNECTED"),
    ("CONNECTING", "LOGIN_TIMEOUT", "DISCONNECTED"),
    ("CONNECTING", "LOGOUT", "DISCONNECTED"),
    ("CONNECTED", "INTERRUPTED", "RECONNECTING"),
    ("CONNECTED", "LOGOUT", "DISCONNECTED"),
    ("CONNECTED", "REMOTE_LOGIN", "ABORTED"),
    ("CONNECTED", "BANNED_BY_SERVER", "ABORTED"),
    ("CONNECTED", "TOKEN_EXPIRED", "ABORTED"),
    ("RECONNECTING", "LOGIN_SUCCESS", "CONNECTED"),
    ("RECONNECTING", "LOGOUT", "DISCONNECTED"),
    ("RECONNECTING", "REMOTE_LOGIN", "ABORTED"),
    ("RECONNECTING", "BANNED_BY_SERVER", "ABORTED"),
    ("ABORTED", "LOGOUT", "DISCONNECTED"),
}
"""From where, why, where to."""

_LOGGED_IN: Final = ("CONNECTED", "RECONNECTING")
_OF_SESSIONS: Final = (ChannelMessage, ChannelGap, ChannelLost, MemberJoined, MemberLeft, PresenceChanged)


class Watcher:
    """Judges while things happen: states, what may come in them, and what the engine says.

    Args:
        history: Where violations go.
    """

    def __init__(self, history: History) -> None:
        self.history = history
        self.states: dict[Life, str] = {}
        self.heard: dict[tuple[str, int], float] = {}
        self.given_up: set[tuple[str, int]] = set()
        self.places: dict[Any, tuple[str, int]] = {}
        """The transport that speaks for a name."""
        self.left: dict[Any, float] = {}
        """When a session of a name has ended, or left a channel."""
        self.attempts: dict[tuple[Any, str], int] = {}
        self.owner: dict[Any, str] = {}
        self.fences: dict[Any, int] = {}
        self.live: dict[Any, int] = {}
        """Names with a session, and its fence."""

    # --- At the clients ---------------------------------------------------------------

    def saw(self, life: Life, event: Any, now: float, state: Any) -> None:
        """An event came out of a core."""
        known = self.states.get(life, "DISCONNECTED")
        if isinstance(event, StateChanged):
            move = (known, event.reason.name, event.state.name)
            if event.previous.name != known or move not in MOVES:
                self.history.violation(now, f"{life.name} went {move}, from {event.previous.name} as it says")
            self.states[life] = event.state.name
            return
        allowed = (*_LOGGED_IN, "CONNECTING") if isinstance(event, PeerMessage) else _LOGGED_IN
        if life.kind == "rtm" and isinstance(event, (PeerMessage, *_OF_SESSIONS)) and known not in allowed:
            self.history.violation(now, f"{life.name} saw {event} while {known}")

    def opened(self, life: Life, now: float) -> None:
        """A core asks for a connection, in the state of which it has told last."""
        state = self.states.get(life, "DISCONNECTED")
        if life.kind == "rtm" and state in ("DISCONNECTED", "ABORTED"):
            self.history.violation(now, f"{life.name} connects by itself while {state}")

    def looked(self, life: Life, core: Any, now: float) -> None:
        """A turn of a client ends."""
        if life.kind != "rtm" or not life.heard:
            return
        if core.state.name == "CONNECTED" and now >= life.heard + INTERRUPTED + _SLACK:
            if any(call.name == "logout" for call in life.open.values()):
                return  # whoever says goodbye does not care any more
            self.history.violation(
                now, f"{life.name} is CONNECTED {now - life.heard:.3f} s after the last byte"
            )

    # --- At the engine ----------------------------------------------------------------

    def engine_started(self, now: float) -> None:
        """Everything but what is on the disk is forgotten."""
        self.heard.clear()
        self.places.clear()
        self.left.clear()
        self.owner.clear()
        self.live.clear()
        self.fences.clear()
        self.attempts.clear()

    def server_heard(self, node: str, number: int, now: float) -> None:
        """A node has read bytes."""
        if (node, number) not in self.given_up:
            self.heard[node, number] = now

    def asked(self, command: Any, now: float) -> None:
        """The engine carries out a command."""
        what = type(command).__name__
        if what == "LeaveChannel":
            self.left[command.session.name, command.channel] = now
        elif what == "Silent" and command.gone:
            # What comes later comes on a connection that the node has given up.
            place = command.session.place
            self.heard[place.node, place.connection] = command.since
            self.given_up.add((place.node, place.connection))
        elif what == "Release":
            self.left[command.session.name] = now
            if self.live.get(command.session.name) == command.session.fence:
                del self.live[command.session.name]
        elif what in ("Ban", "Claim"):
            self.left[command.name] = now
            if what == "Ban":
                self.live.pop(command.name, None)

    def claimed(self, command: Any, value: Any, now: float) -> None:
        """The engine gives a name to an instance."""
        name = command.name
        self.places[name] = (command.place.node, command.place.connection)
        before = self.attempts.get((name, command.iid), 0)
        if command.attempt <= before:
            self.history.violation(
                now, f"attempt {command.attempt} of {name.name} ({command.iid}) was let in after {before}"
            )
        self.attempts[name, command.iid] = command.attempt
        owner = self.owner.get(name)
        older = (command.fence or 0) < self.fences.get(name, 0)
        if not command.login and owner not in (None, command.iid) and older:
            self.history.violation(
                now, f"a return of {name.name} ({command.iid}) displaced the login of {owner}"
            )
        self.owner[name] = command.iid
        self.live[name] = value.fence
        if value.fence < self.fences.get(name, 0):
            self.history.violation(now, f"the fences of {name.name} go back to {value.fence}")
        self.fences[name] = value.fence

    def page(self, command: Any, page: Any, now: float) -> None:
        """The engine replays a channel."""
        who = command.session.name
        if len(page.entries) > REPLAYED:
            self.history.violation(now, f"{len(page.entries)} messages were replayed to {who.name}")
        for entry in page.entries:
            if entry.user == who.name:
                self.history.violation(now, f"{who.name}'s own message {entry.id} was replayed to him")

    def engine_told(self, notice: Any, now: float) -> None:
        """The engine tells of members or of presence."""
        what = type(notice).__name__
        if what == "MemberNotice" and not notice.joined:
            self._judge_leaving(notice, now)
        elif what == "MemberStateNotice" and notice.state.name == "UNREACHABLE":
            self._judge_silence(notice.kind, notice.user, notice.channel, UNREACHABLE, "UNREACHABLE", now)
        elif what == "PresenceNotice":
            _, kind, _, scope = notice.session.name
            for user, state in notice.states:
                if state.name == "UNREACHABLE":
                    self._judge_silence(kind, user, scope, UNREACHABLE, state.name, now)
                elif state.name == "OFFLINE":
                    self._judge_offline(kind, user, scope, now)

    def _find(self, kind: str, user: str, scope: str) -> Any:
        scope = "" if kind == "rtm" else scope
        for name in self.places:
            if name.kind == kind and name.name == user and name.scope == scope:
                return name
        return None

    def _silence(self, name: Any, now: float) -> float:
        return now - self.heard.get(self.places[name], -1e9)

    def _judge_leaving(self, notice: Any, now: float) -> None:
        name = self._find(notice.kind, notice.user, notice.channel)
        if name is None or now < self.history.late_until:
            return
        if self.left.get(name) == now or self.left.get((name, notice.channel)) == now:
            return
        if self._silence(name, now) < OFFLINE[notice.kind] - _SLACK:
            self.history.violation(
                now,
                f"{notice.user} is said to have left {notice.channel} after "
                f"{self._silence(name, now):.3f} s of silence",
            )

    def _judge_silence(self, kind: str, user: str, scope: str, least: float, state: str, now: float) -> None:
        name = self._find(kind, user, scope)
        if now < self.history.late_until:
            # What a node has heard is still on its way to the engine.
            return
        if name is not None and self._silence(name, now) < least - _SLACK:
            self.history.violation(
                now, f"{user} is called {state} after {self._silence(name, now):.3f} s of silence"
            )

    def _judge_offline(self, kind: str, user: str, scope: str, now: float) -> None:
        name = self._find(kind, user, scope)
        if name is None or name not in self.live:
            return
        if self._silence(name, now) >= OFFLINE[kind] - _SLACK:
            # From now on he is offline until he comes back, whatever his old connection brings.
            self.live.pop(name)
            return
        self._judge_silence(kind, user, scope, OFFLINE[kind], "OFFLINE", now)


def check(world: "World") -> list[tuple[float, str]]:
    """Everything that went wrong in a world, by time."""
    history = world.history
    history.end = world.now
    spans = Spans(history)
    kept = KeptJudge(history, spans)
    Judge(history, kept.may_be_dropped).judge()
    PartyJudge(history).judge()
    CallJudge(history).judge()
    kept.judge()
    AttributeJudge(history, spans).judge()
    PresenceJudge(history, spans).judge()
    CountJudge(history, spans).judge()
    return sorted(history.violations)


class Judge:
    """Judges a history as a whole.

    Args:
        history: Of one world. Its end is meant to be quiet: everybody is back, and all is said.
        may_be_dropped: Whether a message to a user that is stored may be dropped before anybody takes it.
    """

    def __init__(self, history: History, may_be_dropped: Callable[[Call], bool] = lambda call: False) -> None:
        self.history = history
        self._may_be_dropped = may_be_dropped
        self.lives = [life for life in history.lives if life.kind == "rtm"]
        self.sends: dict[bytes, tuple[Life, Call]] = {}
        self.publishes: dict[bytes, tuple[Life, Call]] = {}
        for life in self.lives:
            for call in life.calls:
                if call.name == "send_peer":
                    self.sends[call.arguments[2]] = (life, call)
                elif call.name == "publish":
                    self.publishes[call.arguments[2]] = (life, call)
        self._takes: dict[str, list[tuple[float, int]]] = defaultdict(list)
        """When which positions of a user's inbox were taken."""
        self._given: dict[bytes, int] = {}
        """At which position messages to users were given to their receivers first."""
        for life in self.lives:
            self._takes[life.user] += [(each.time, each.message.id) for each in life.taken]
            for message in life.of(PeerMessage):
                self._given.setdefault(message.body, message.id)
        self.logs = {
            channel: sorted(entries, key=lambda entry: entry.id)
            for (kind, channel), entries in history.logs.items()
            if kind == "rtm"
        }

    def judge(self) -> None:
        """Find everything that is wrong."""
        self.judge_ids()
        self.judge_peer_messages()
        self.judge_outcomes()
        self.judge_owners()
        for life in self.lives:
            self.judge_members(life)
            for channel in {e.channel for e in life.of(ChannelMessage, ChannelGap)} | self._memberships(life):
                self.judge_channel(life, channel)

    def wrong(self, time: float, text: str) -> None:
        """Note a violation."""
        self.history.violation(time, text)

    # --- Ids and names ----------------------------------------------------------------

    def judge_ids(self) -> None:
        """What was accepted before something else was begun has the smaller id."""
        for channel, entries in self.history.logs.items():
            self._judge_log(channel, entries)
        moments: list[tuple[float, int, int, int]] = []
        calls = [call for life in self.history.lives for call in life.calls if message_id(call)]
        for index, call in enumerate(calls):
            moments.append((call.begun, 1, index, message_id(call)))
            moments.append((call.done or 0.0, 0, index, message_id(call)))
        newest = 0
        thresholds: dict[int, int] = {}
        for time, begun, index, number in sorted(moments):
            if begun:
                thresholds[index] = newest
            else:
                newest = max(newest, number)
                if number <= thresholds.get(index, 0):
                    self.wrong(time, f"{calls[index].name} got the id {number} after {thresholds[index]}")

    def _judge_log(self, channel: tuple[str, str], entries: list[LogEntry]) -> None:
        """A log is one list in one order: positions only grow, and each entry names the position before it.

        What one commit lets go is accepted at one moment, and told to several nodes and senders: there the order in
        which it is heard of says nothing, and the positions that the entries name say all.
        """
        for before, after in pairwise(sorted(entries, key=lambda entry: entry.id)):
            if after.time < before.time:
                self.wrong(before.time, f"the log of {channel} goes back from {after.id} to {before.id}")
            if after.prev is not None and not before.id <= after.prev < after.id:
                self.wrong(
                    after.time,
                    f"the log of {channel} has {after.id} behind {after.prev}, and {before.id} before it",
                )

    def judge_owners(self) -> None:
        """A message is accepted of the instance only that held the name at that moment."""
        for life in self.lives:
            owners = self.history.owners.get((life.kind, life.user, life.scope), [])
            fences = [owned.fence for owned in owners]
            if any(after < before for before, after in pairwise(fences)):
                # Who logged in last is written behind: an engine that starts may not know of it.
                continue
            for call in life.calls:
                number = message_id(call)
                if not number:
                    continue
                at = bisect_right(fences, number)
                owner = owners[at - 1].iid if at else None
                if owner != life.iid and not self._restarted(call):
                    self.wrong(
                        call.done or 0.0,
                        f"{call.name} of {life.name} was accepted with id {number}, when {owner} held the name",
                    )
            if any(e.reason.name == "REMOTE_LOGIN" for e in life.of(StateChanged)) and all(
                owned.iid == life.iid for owned in owners
            ):
                self.wrong(life.begun, f"{life.name} was kicked, and nobody else has logged in")

    def _restarted(self, call: Call) -> bool:
        """Whether an engine started while a call waited: its outcome may be that of a repeat."""
        return any(
            call.begun <= start and (call.done is None or start <= call.done)
            for start in (*self.history.starts[1:], *self.history.stops)
        )

    # --- Peer messages ----------------------------------------------------------------

    def judge_peer_messages(self) -> None:
        """Each once in a life, in order, and again only with a warning."""
        seen: dict[bytes, list[tuple[float, Life, PeerMessage]]] = defaultdict(list)
        for life in self.lives:
            order: dict[str, int] = {}
            last = 0
            bodies: set[bytes] = set()
            for time, message in ((t, e) for t, e in life.events if isinstance(e, PeerMessage)):
                known = self.sends.get(message.body)
                if known is None or known[1].arguments[0] != life.user or known[0].user != message.sender:
                    self.wrong(time, f"{life.name} got {message}, which nobody has sent to him")
                    continue
                sender, call = known
                if message.body in bodies:
                    self.wrong(time, f"{life.name} got {call.number} of {sender.name} twice")
                bodies.add(message.body)
                seen[message.body].append((time, life, message))
                assert call.number is not None
                if call.number <= order.get(sender.iid, 0):
                    self.wrong(
                        time,
                        f"{life.name} got {call.number} of {sender.name} after {order[sender.iid]}",
                    )
                order[sender.iid] = max(call.number, order.get(sender.iid, 0))
                if message.id <= last:
                    self.wrong(time, f"{life.name} got the id {message.id} after {last}")
                last = message.id
        for body, copies in seen.items():
            if sum(not message.redelivered for _, _, message in copies) > 1:
                sender, call = self.sends[body]
                if not self._restarted(call):
                    who = ", ".join(life.name for _, life, _ in copies)
                    self.wrong(copies[-1][0], f"{call.number} of {sender.name} came without warning to {who}")

    def judge_outcomes(self) -> None:
        """What senders were told is true."""
        taken: dict[bytes, float] = {}
        shown: set[bytes] = set()
        for life in self.lives:
            for each in life.taken:
                taken.setdefault(each.message.body, each.time)
                taken[each.message.body] = min(taken[each.message.body], each.time)
            shown.update(message.body for message in life.of(PeerMessage))
        for body, (life, call) in self.sends.items():
            if call.done is None:
                continue
            what = f"send {call.number} of {life.name} to {call.arguments[0]}"
            if isinstance(call.value, SendResult):
                status = int(call.value.status)
                if status == DELIVERED and taken.get(body, 1e18) > call.done:
                    self.wrong(call.done, f"{what} is said to be delivered, and no application has taken it")
                elif status == CACHED and body not in taken:
                    if not self._made_room(call) and not self._may_be_dropped(call):
                        self.wrong(call.done, f"{what} was stored, and is lost")
                elif status == PEER_UNREACHABLE and body in shown and not self._restarted(call):
                    self.wrong(call.done, f"{what} was PEER_UNREACHABLE, and was delivered all the same")
            elif call.made and never_executed(call) and body in shown and not self._restarted(call):
                self.wrong(call.done, f"{what} failed ({call.error!r}), and was delivered all the same")
        logged = {entry.body: entry for entries in self.logs.values() for entry in entries}
        for body, (life, call) in self.publishes.items():
            if call.done is None:
                continue
            entry = logged.get(body)
            what = f"publish {call.number} of {life.name} to {call.arguments[0]}"
            if isinstance(call.value, PublishResult):
                entries = self.logs.get(call.arguments[0], [])
                if not any(each.id == call.value.message_id and each.body == body for each in entries):
                    self.wrong(call.done, f"{what} was accepted, and is not in the log")
            elif call.made and never_executed(call) and entry is not None and not self._restarted(call):
                self.wrong(call.done, f"{what} failed ({call.error!r}), and was carried out all the same")

    def _made_room(self, call: Call) -> bool:
        """Whether so many were stored behind a message, before its receiver took one of them, that it was dropped.

        A message is stored too where its sender has not heard so, for he was gone or his time was up: it is if its
        receiver was given it.
        """
        receiver, position = call.arguments[0], call.value.message_id
        until = min((time for time, taken in self._takes[receiver] if taken > position), default=float("inf"))
        later = 0
        for body, (_, other) in self.sends.items():
            if other.arguments[0] != receiver or other is call:
                continue
            value = other.value
            if isinstance(value, SendResult):
                stored = int(value.status) == CACHED and value.message_id > position
                later += stored and (other.done or 0.0) <= until
            elif other.options.get("offline") and not never_executed(other):
                later += other.begun <= until and self._given.get(body, 0) > position
        return later >= KEPT_OFFLINE

    # --- Channels ---------------------------------------------------------------------

    def _memberships(self, life: Life) -> set[str]:
        return {call.arguments[0] for call in life.calls if call.name == "join" and call.ok}

    def judge_channel(self, life: Life, channel: str) -> None:
        """One order for all, each once, nothing of one's own, and every loss told exactly."""
        log = self.logs.get(channel, [])
        ids = [entry.id for entry in log]
        # Where memberships begin: position and time.
        begins = [
            (call.done, call.value.position)
            for call in life.calls
            if call.name == "join" and call.arguments[0] == channel and isinstance(call.value, JoinResult)
        ]
        last: int | None = None
        lost = 0
        position = 0
        bodies: set[bytes] = set()
        since: float | None = None
        events: list[tuple[float, int, Any]] = [
            (time, 1, event)
            for time, event in life.events
            if isinstance(event, ChannelMessage | ChannelGap) and event.channel == channel
        ]
        joined = [(time, 0, begin) for time, begin in begins]
        for time, kind, event in sorted(events + joined, key=lambda each: each[:2]):
            if not kind:
                last, lost, since = event, 0, time
                continue
            if last is None:
                self.wrong(time, f"{life.name} saw {event} without being in the channel")
                continue
            if isinstance(event, ChannelGap):
                lost += event.lost
                continue
            at = bisect_right(ids, event.id) - 1
            if at < 0 or ids[at] != event.id or log[at].body != event.body:
                self.wrong(time, f"{life.name} saw {event}, which is not in the log")
                continue
            if event.sender == life.user:
                self.wrong(time, f"{life.name} saw his own message {event}")
            if event.id <= position:
                self.wrong(time, f"{life.name} saw the id {event.id} after {position} in {channel}")
                continue
            if event.body in bodies:
                self.wrong(time, f"{life.name} saw {event} twice")
            bodies.add(event.body)
            if event.id <= last:
                self.wrong(time, f"{life.name} saw {event} of before its join")
                continue
            self._judge_gap(life, channel, log[bisect_right(ids, last) : at], lost, time, bodies, since)
            last, lost, position = event.id, 0, event.id
        self._judge_replays(life, channel, log)

    def _judge_gap(
        self,
        life: Life,
        channel: str,
        between: list[LogEntry],
        lost: int,
        time: float,
        bodies: set[bytes],
        since: float | None,
    ) -> None:
        missing = [entry for entry in between if entry.user != life.user]
        # A repeat of what an earlier engine had accepted is dropped without a word, and rightly so.
        missing = [entry for entry in missing if entry.body not in bodies]
        epoch = self.epoch(time)
        forgotten = sum(entry.epoch < epoch for entry in missing)
        if not len(missing) - forgotten <= lost <= len(missing):
            self.wrong(
                time,
                f"{life.name} misses {len(missing)} messages of {channel} "
                f"({forgotten} of an earlier engine), and was told of {lost}",
            )
        entries = self.logs[channel]
        for entry in missing:
            if entry.epoch < epoch:
                continue
            at = bisect_right([each.id for each in entries], entry.id)
            later = sum(each.time <= time for each in entries[at : at + REPLAYED])
            if later < REPLAYED and time - entry.time < REPLAY_AGE - _SLACK:
                self.wrong(
                    time,
                    f"{life.name} was not given {entry.id} of {channel}, which is {time - entry.time:.3f} s old "
                    f"and has {later} behind it",
                )
                break

    def _judge_replays(self, life: Life, channel: str, log: list[LogEntry]) -> None:
        """Of what was published while a client had no connection at all, it gets 32 at most."""
        seen = {e.id for e in life.of(ChannelMessage) if e.channel == channel}
        for begin, end in gaps(life):
            got = sum(1 for entry in log if begin < entry.time < end and entry.id in seen)
            if got > REPLAYED:
                self.wrong(end, f"{life.name} was replayed {got} messages of {channel}")

    def epoch(self, time: float) -> int:
        """The number of the engine at a time."""
        return bisect_right(self.history.starts, time)

    # --- Members -----------------------------------------------------------------------

    def judge_members(self, life: Life) -> None:
        """Every join has one leave."""
        there: dict[str, dict[str, bool]] = defaultdict(dict)
        moments: list[tuple[float, int, Any]] = [
            (time, 1, event) for time, event in life.events if isinstance(event, MemberJoined | MemberLeft)
        ]
        moments += [
            (call.done, 0, call.arguments[0])
            for call in life.calls
            if call.name == "join" and call.ok and call.done is not None
        ]
        for time, kind, event in sorted(moments, key=lambda moment: moment[:2]):
            if not kind:
                there[event].clear()
                continue
            joined = isinstance(event, MemberJoined)
            if event.user == life.user:
                self.wrong(time, f"{life.name} saw {event} of himself")
            if there[event.channel].get(event.user, not joined) == joined:
                self.wrong(time, f"{life.name} saw {event} twice in a row")
            there[event.channel][event.user] = joined
        for channel, members in life.rooms.items():
            for user, joined in there[channel].items():
                if joined is not (user in members):
                    self.wrong(1e9, f"{life.name} does not know at the end whether {user} is in {channel}")


def gaps(life: Life) -> list[tuple[float, float]]:
    """When a client had no connection at all, between two connections."""
    found: list[tuple[float, float]] = []
    end: float | None = None
    for begun, over in sorted(life.wires, key=lambda span: span[0] or 0.0):
        assert begun is not None
        if end is not None and begun > end:
            found.append((end, begun))
        if over is None:
            break
        end = over if end is None else max(end, over)
    return found


def message_id(call: Call) -> int:
    """The id that a call was told, where its message was accepted."""
    value = call.value
    return value.message_id if isinstance(value, SendResult | PublishResult) else 0
