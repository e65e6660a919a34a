"""Target: a client whose server is hostile, broken, or somebody else."""

from collections.abc import Callable
from random import Random
from typing import Any

from rtmcore.client.config import ClientConfig
from rtmcore.client.core import ClientCore
from rtmcore.client.events import (
    CloseTransport,
    NeedToken,
    OpenTransport,
    RequestCompleted,
    RtcStateChanged,
    SignalingChanged,
    StateChanged,
)
from rtmcore.client.requests import Ticket
from rtmcore.codes import MessageType
from rtmcore.errors import ConnectionFailed, RtmError
from rtmcore.limits import FRAME_BYTES, READ_CHUNK
from rtmcore.models import PeerMessage
from rtmcore.service.config import ANNOUNCED_LIMITS
from rtmcore.wire.codec import CODECS, Codec
from rtmcore.wire.packets import (
    AttributeList,
    ChannelAttributeList,
    ChannelAttributesChanged,
    ChannelEntry,
    Done,
    Expelled,
    Failed,
    InboxEntry,
    Joined,
    Kicked,
    MemberChanged,
    MemberCount,
    MemberCounts,
    MemberList,
    MessagePage,
    OnlineList,
    Packet,
    PeerSent,
    PeerStates,
    Published,
    Ready,
    Refused,
    Renewed,
    Restored,
    Roster,
    Top,
    UserList,
    Welcome,
)
from tests.fuzz import http, packets
from tests.fuzz.frames import frame, stream
from tests.fuzz.harness import Case, expect, retained
from tests.fuzz.mutation import cut, mutate

NONCE = b"0123456789abcdef"
START = 1000.0
TIMEOUT = 4.0
"""Seconds that each call gets."""

PATIENCE = 20.0
"""Seconds after which every call has to be over, whatever the server does: the login's own time-out included."""

_KEEPS = 8 * FRAME_BYTES + 16 * READ_CHUNK
_CHANNELS = ("lobby", "x")
_USERS = ("alice", "bob", "mallory")
_FROM_SERVER = (
    Done, Failed, Published, PeerSent, Joined, MemberList, ChannelEntry, ChannelEntry, ChannelEntry, InboxEntry,
    InboxEntry, Top, Roster, MemberChanged, Restored, Ready, Kicked, Welcome, Refused, Renewed, PeerStates,
    AttributeList, ChannelAttributeList, MemberCounts, OnlineList, UserList, MessagePage, MemberCount,
    ChannelAttributesChanged, Expelled,
)  # fmt: skip
_CALLS = ("join", "publish", "publish", "send_peer", "send_peer", "leave", "members") * 4 + (
    "logout",
    "login",
    "close",
    "renew",
    "renew",
    "subscribe",
    "set_attributes",
    "update_attributes",
    "query",
    "subscribed",
    "channel_attributes",
    "counts",
    "stored",
    "history",
)
_KINDS = ("rtm", "rtm", "rtm", "rtc", "room")


def _likely(random: Random) -> Packet:
    """A packet that fits what the client is doing: small ids, channels that it is in."""
    packet: Any = packets.build(random, random.choice(_FROM_SERVER))
    for name, values in (
        ("i", range(12)), ("id", range(30)), ("prev", range(30)), ("ch", _CHANNELS), ("user", _USERS),
        ("version", range(10)), ("lost", (0, 0, 1, 40)), ("count", (0, 1, 3, 600)), ("code", range(12)),
        ("iid", ("0" * 16, "1" * 16, "")),
    ):  # fmt: skip
        if hasattr(packet, name) and random.random() < 0.95:
            setattr(packet, name, random.choice(values))
    if isinstance(packet, ChannelEntry | InboxEntry) and random.random() < 0.7:
        packet.id = packet.prev + 1
    made: Packet = packet
    return made


def _welcome(random: Random) -> Welcome:
    welcome: Welcome = packets.build(random, Welcome)
    welcome.fence, welcome.inbox = random.randrange(1, 50), random.randrange(3)
    if random.random() < 0.9:
        welcome.beat, welcome.interrupted, welcome.unreachable, welcome.offline = 1500, 4000, 6000, 30000
        welcome.limits = dict(ANNOUNCED_LIMITS)
    return welcome


def _script(random: Random, codec: Codec) -> list[tuple[str, Any]]:
    """What happens on one transport: pieces of bytes from the server, calls of the application, time."""
    if random.random() < 0.08:
        spoiled = http.spoiled(random, http.answers(http.accept_header(NONCE)))
        return [("data", piece) for piece in cut(random, spoiled)]
    first = 0x81 if codec.text else 0x82

    def message(*said: Packet) -> bytes:
        return frame(first, codec.encode(said), None)

    greeting = http.switching(http.accept_header(NONCE), codec.subprotocol)
    if random.random() < 0.93:
        greeting += message(_welcome(random)) + (message(Ready()) if random.random() < 0.95 else b"")
    steps: list[tuple[str, Any]] = [("data", greeting)]
    if random.random() < 0.8:
        steps.append(("call", "join"))
        steps.append(
            ("data", message(Roster("lobby", 1, 2, ["alice", "bob"]), Joined(1, random.randrange(5))))
        )
        steps += [("call", random.choice(("publish", "publish", "send_peer", "members"))) for _ in range(5)]
    said = b"".join(
        message(*(_likely(random) for _ in range(random.choice((1, 1, 2, 8)))))
        for _ in range(random.randrange(15))
    )
    if random.random() < 0.3:
        said += stream(random, codec, masked=False, classes=_FROM_SERVER)
    if random.random() < 0.35:
        said = mutate(random, said)
    for piece in cut(random, said):
        steps.append(("data", piece))
        chance = random.random()
        if chance < 0.15:
            steps.append(("call", random.choice(_CALLS)))
        elif chance < 0.17:
            steps.append(("wait", random.choice((0.002, 0.5, 1.6, 3.1, 4.5, 31.0))))
        elif chance < 0.25:
            steps.append(("take", None))
    return steps


class ClientTarget:
    """`ClientCore`: every call ends, every timer moves on, nothing grows without end, and nothing is raised."""

    name = "client"

    def make(self, random: Random) -> Case:
        codec = random.choice(list(CODECS.values()))
        script: list[tuple[str, Any]] = []
        for _ in range(random.choice((1, 1, 2, 3))):
            script.append(("open", random.random() < 0.95))
            script += _script(random, codec)
            script.append((random.choice(("eof", "lost", "wait")), 1.0))
        pieces = [argument for step, argument in script if step == "data"]
        steps = [(step, None if step == "data" else argument) for step, argument in script]
        plan = {"steps": steps, "codec": codec.subprotocol, "chance": random.random()}
        return Case(pieces, {**plan, "kind": random.choice(_KINDS)})

    def run(self, case: Case) -> None:
        world = _World(case.plan["codec"], case.plan["chance"], case.plan["kind"])
        pieces = iter(case.pieces)
        for step, argument in case.plan["steps"]:
            if step == "data":
                world.receive(next(pieces))
            else:
                getattr(world, step)(argument)
        kept = retained(world.core)
        expect(kept <= _KEEPS, f"{kept} bytes are kept")
        world.finish()


class _World:
    """The core and what a driver keeps beside it."""

    def __init__(self, codec: str, chance: float, kind: str) -> None:
        config = ClientConfig(
            endpoints="ws://localhost:1/",
            app_id="0123456789abcdef0123456789abcdef",
            user_id="alice",
            subprotocols=(codec,),
            rate_limits=chance < 0.5,
            on_rate_limit="wait",
            kind=kind,
            scope="" if kind == "rtm" else "lobby",
        )
        self.core = ClientCore(
            config, iid="0" * 16, random=lambda: chance, mask_key=lambda: b"mask", nonce=lambda: NONCE
        )
        self.now = START
        self._state = self.core.session.state
        self._waiting: dict[int, Ticket] = {}
        self._asked: list[int] = []
        """Transports that are to be opened."""
        self._open: list[int] = []
        self._position = 0
        self._received = self._sent = self._answered = 0
        self.call("login")

    # --- What is done to the core ---------------------------------------------------

    def call(self, name: str) -> None:
        core, now = self.core, self.now
        body, text = b"hello", MessageType.TEXT
        calls: dict[str, Callable[[], Ticket]] = {
            "login": lambda: core.login(now, TIMEOUT),
            "logout": lambda: core.logout(now, TIMEOUT),
            "close": lambda: core.close(now),
            "join": lambda: core.join("x" if "lobby" in core.channels else "lobby", timeout=TIMEOUT, now=now),
            "leave": lambda: core.leave("lobby", timeout=TIMEOUT, now=now),
            "members": lambda: core.members("lobby", timeout=TIMEOUT, now=now),
            "publish": lambda: core.publish("lobby", text, body, timeout=TIMEOUT, now=now),
            "renew": lambda: core.renew_token("fresh", timeout=TIMEOUT, now=now),
            "subscribe": lambda: core.users.subscribe(["bob"], timeout=TIMEOUT, now=now),
            "set_attributes": lambda: core.users.set_attributes({"a": "b"}, timeout=TIMEOUT, now=now),
            "update_attributes": lambda: core.users.update_attributes({"c": "d"}, timeout=TIMEOUT, now=now),
            "query": lambda: core.users.query(["bob", "mallory"], timeout=TIMEOUT, now=now),
            "subscribed": lambda: core.users.subscribed(timeout=TIMEOUT, now=now),
            "channel_attributes": lambda: core.channel_info.get_attributes("x", timeout=TIMEOUT, now=now),
            "counts": lambda: core.channel_info.count_members(["x"], timeout=TIMEOUT, now=now),
            "stored": lambda: core.history.stored(timeout=TIMEOUT, now=now),
            "history": lambda: core.history.query(source="alice", timeout=TIMEOUT, now=now),
            "send_peer": lambda: core.send_peer("bob", text, body, timeout=TIMEOUT, now=now),
        }
        try:
            ticket = calls[name]()
        except RtmError:
            pass
        else:
            if not ticket.done:
                self._waiting[id(ticket)] = ticket
        self._settle()

    def open(self, succeeds: bool) -> None:
        for number in self._asked[:]:
            self._asked.remove(number)
            if succeeds:
                self._open.append(number)
                self.core.transport_opened(number, self.now)
            else:
                self.core.transport_failed(number, ConnectionFailed("refused"), self.now)
            self._settle()

    def receive(self, data: bytes) -> None:
        self.now += 0.003
        if self._open:
            self._received += len(data)
            self.core.receive_data(self._open[-1], data, self.now)
            before = self._sent
            self._settle()
            self._answered += self._sent - before

    def take(self, _: None) -> None:
        """The application takes its peer messages."""
        self.core.handed_over(self._position, self.now)
        self._settle()

    def eof(self, _: float) -> None:
        if self._open:
            self.core.receive_eof(self._open[-1], self.now)
            self._settle()

    def lost(self, _: float) -> None:
        if self._open:
            self.core.transport_failed(self._open.pop(), ConnectionFailed("reset"), self.now)
            self._settle()

    def wait(self, seconds: float) -> None:
        end = self.now + seconds
        # A server may ask for a beat each millisecond.
        for _ in range(1000 + int(seconds * 4000)):
            due = self.core.next_deadline()
            if due is None or due > end:
                break
            self.now = max(self.now, due)
            self.core.handle_timer(self.now)
            later = self.core.next_deadline()
            expect(later is None or later > self.now, f"the deadline stays {later} at {self.now}")
            self._settle()
        else:
            expect(False, "deadlines without end")
        self.now = end
        self._settle()

    def finish(self) -> None:
        """Every call ends by itself, and after `close` nothing is left."""
        self.wait(PATIENCE)
        left = [ticket.operation.name for ticket in self._waiting.values()]
        expect(not left, f"calls without an end: {left}")
        much = f"{self._answered} bytes were sent in answer to {self._received}"
        expect(self._answered <= 50_000 + 32 * self._received, much)
        self.call("close")
        self.wait(PATIENCE)
        expect(not self._waiting, "close does not end")
        expect(not self._open and not self._asked, "transports are left open")
        expect(self.core.next_deadline() is None, "a deadline after the end")

    # --- What comes of it -----------------------------------------------------------

    def _settle(self) -> None:
        self._sent += sum(len(data) for _, data in self.core.data_to_send())
        while (event := self.core.next_event()) is not None:
            if isinstance(event, RequestCompleted):
                expect(event.ticket.done, "a ticket that is not done was told as completed")
                self._complete(event.ticket)
            elif isinstance(event, OpenTransport):
                self._asked.append(event.id)
            elif isinstance(event, CloseTransport):
                known = self._asked if event.id in self._asked else self._open
                expect(event.id in known, f"transport {event.id} is closed twice, or was never opened")
                known.remove(event.id)
            elif isinstance(event, StateChanged | RtcStateChanged | SignalingChanged):
                expect(event.previous is self._state, f"from {event.previous}, but it was {self._state}")
                expect(event.state is not event.previous, "a change to the same state")
                self._state = event.state
            elif isinstance(event, PeerMessage):
                self._position = event.id
            else:
                expect(not isinstance(event, NeedToken), "a token is asked for without a provider")
        state = self.core.session.state
        expect(state is self._state, f"the state is {state}, told was {self._state}")

    def _complete(self, ticket: Ticket) -> None:
        # A ticket may be over before the call that made it has returned.
        if self._waiting.pop(id(ticket), None) is None:
            expect(self.now - ticket.begun < 0.001, f"{ticket.operation.name} was completed twice")
