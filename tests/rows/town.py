"""Client cores of every kind against real nodes, one engine and one verifier of tokens, on a virtual clock.

What a party's application saw is kept with the time at which it was told. Networks fail as real ones do: a black
hole holds what is under way and gives it out after healing, a connection that is being opened meanwhile is opened
then, and a socket whose peer does not read takes only so much.
"""

import random
from collections import deque
from collections.abc import Callable, Mapping
from itertools import count
from typing import Any, TypeVar

from rtmcore.client.config import ClientConfig
from rtmcore.client.core import ClientCore
from rtmcore.client.events import (
    ChannelGap,
    CloseTransport,
    Event,
    NeedToken,
    OpenTransport,
    PeerConnectionStateChanged,
    RequestCompleted,
    StateChanged,
)
from rtmcore.client.requests import Ticket
from rtmcore.codes import MessageType
from rtmcore.errors import ConnectionFailed, RtmError
from rtmcore.models import ChannelMessage, PeerMessage
from rtmcore.service.commands.exclusions import Ban
from rtmcore.service.commands.names import Name
from rtmcore.service.config import NodeConfig
from rtmcore.service.memory import MemoryEngine
from rtmcore.service.node import Node
from rtmsync.server.tokens import AppKeys, AppVerifier, TokenKey, make_token
from tests.service.late_engine import LateEngine

APP = "a" * 32
KEY = TokenKey(b"k" * 32)
WALL = 1_700_000_000.0
"""Seconds since 1970 when the virtual clock stands at `START`."""
START = 1000.0
MTU = 1460
SOCKET_BYTES = 256 * 1024
"""What the sockets between a node and a client hold that does not read."""

E = TypeVar("E")


class Line:
    """One TCP connection, from the client to a node."""

    def __init__(self, number: int, party: "Party", event: OpenTransport, node: str) -> None:
        self.number = number
        self.party = party
        self.id = event.id
        self.purpose = event.purpose.name
        self.node = node
        self.open_at: float | None = None
        self.up: deque[tuple[float, bytes]] = deque()
        self.down: deque[tuple[float, bytes]] = deque()
        self.unsent = bytearray()
        self.backlog = 0
        self.hole_up = self.hole_down = False
        self.client_open = self.server_open = True
        self.accepted = False
        self.free_up = self.free_down = START
        self.heard_by_client: float = START
        self.heard_by_server: float = START
        self.cut_after_up: Callable[[], bool] | None = None

    def hole(self, open_: bool = True) -> None:
        """Let nothing through any more, or again."""
        self.hole_up = self.hole_down = open_


class Party:
    """A core, and what its application saw and when."""

    core: Any

    def __init__(self, town: "Town", name: str, node: str = "n1") -> None:
        self.town = town
        self.name = name
        self.home = node
        self.lines: dict[int, Line] = {}
        self.log: list[tuple[float, Event]] = []
        self.aggregate: list[tuple[float, str]] = []
        self.completed: list[Ticket] = []
        self.opened: list[tuple[float, OpenTransport]] = []
        self.refusing: RtmError | None = None
        self.refused: dict[str, RtmError] = {}
        self.away = False
        self.unreachable: set[str] = set()
        self.asleep = False
        self.taking = True
        self.wanted_tokens = 0
        self.give_token: Callable[[], str | None] = lambda: None
        self.rate: float | None = None
        town.parties.append(self)

    # --- What happened ---

    @property
    def events(self) -> list[Event]:
        return [event for _, event in self.log]

    @property
    def line(self) -> Line:
        """The newest connection of the session itself."""
        return self.lines[max(number for number in self.lines if self.lines[number].purpose != "MEDIA")]

    @property
    def media(self) -> Line:
        """The newest media connection."""
        return self.lines[max(number for number in self.lines if self.lines[number].purpose == "MEDIA")]

    @property
    def silence_began(self) -> float:
        """When the client last heard a byte on any of its connections."""
        return max(line.heard_by_client for line in self.lines.values())

    @property
    def last_heard(self) -> float:
        """When the server last heard a byte of this client."""
        return max(line.heard_by_server for line in self.lines.values())

    def of(self, *kinds: type[Any]) -> list[Any]:
        return [event for _, event in self.log if isinstance(event, kinds)]

    def when(self, kind: type[Any], nth: int = 0) -> float:
        """When the nth event of a class was told."""
        return [when for when, event in self.log if isinstance(event, kind)][nth]

    def forget(self) -> None:
        """Begin a new record."""
        self.log.clear()

    # --- Faults ---

    def cut(self) -> None:
        """Reset every connection: what was on the way is gone, and both sides are told."""
        for line in list(self.lines.values()):
            if line.client_open or line.server_open:
                self.town.reset(line)

    def lose_network(self) -> None:
        """A black hole, for what is open and for what will be opened."""
        self.away = True
        for line in self.lines.values():
            line.hole()

    def lose(self, *purposes: str) -> None:
        """The same for the connections opened for these purposes only."""
        self.unreachable |= set(purposes)
        for line in self.lines.values():
            if line.purpose in purposes:
                line.hole()

    def find_network(self) -> None:
        """What was held goes on, what waited to be opened is opened."""
        self.away = False
        self.unreachable.clear()
        for line in self.lines.values():
            line.hole(False)

    # --- The crank ---

    def turn(self) -> bool:
        if self.asleep:
            return False
        moved = False
        for link, data in self.core.data_to_send():
            line = self.lines.get(link)
            if line is not None and line.client_open:
                self.town.send_up(line, data)
                moved = True
        while (event := self.core.next_event()) is not None:
            moved = True
            self.act(event)
        return moved

    def act(self, event: Event) -> None:
        now = self.town.now
        if isinstance(event, OpenTransport):
            self.opened.append((now, event))
            refusal = self.refusing or self.refused.get(event.purpose.name)
            if refusal is not None:
                self.core.transport_failed(event.id, refusal, now)
            else:
                self.lines[event.id] = self.town.connect(self, event)
        elif isinstance(event, CloseTransport):
            line = self.lines.get(event.id)
            if line is not None:
                line.client_open = False
        elif isinstance(event, NeedToken):
            self.wanted_tokens += 1
            self.core.token(self.give_token(), now)
        elif isinstance(event, RequestCompleted):
            self.completed.append(event.ticket)
        elif isinstance(event, PeerConnectionStateChanged):
            self.aggregate.append((now, event.state.value))
        else:
            self.log.append((now, event))
            if isinstance(event, PeerMessage) and self.taking:
                self.core.handed_over(event.id, now)

    def done(self, ticket: Ticket, within: float = 1.0) -> Any:
        """Let time pass until a request is answered; its value, or its error raised."""
        self.town.settle()
        end = self.town.now + within
        while not ticket.done and self.town.now < end:
            self.town.run(min(0.05, end - self.town.now))
        assert ticket.done, f"not answered within {within} s"
        if ticket.error is not None:
            raise ticket.error
        return ticket.value


class Rtm(Party):
    """An RTM client."""

    core: ClientCore

    def __init__(self, town: "Town", name: str, node: str = "n1", **settings: Any) -> None:
        super().__init__(town, name, node)
        self.core = ClientCore(
            town.config(user_id=name, **settings),
            iid=f"instance-of-{name}-{next(town.instances)}",
            **town.chance,
        )

    @property
    def states(self) -> list[tuple[str, str]]:
        return [(e.state.name, e.reason.name) for e in self.of(StateChanged)]

    @property
    def messages(self) -> list[bytes]:
        return [e.body for e in self.of(PeerMessage)]

    def heard(self, channel: str = "plaza") -> list[bytes]:
        return [e.body for e in self.of(ChannelMessage) if e.channel == channel]

    def lost(self, channel: str = "plaza") -> int:
        return sum(e.lost for e in self.of(ChannelGap) if e.channel == channel)

    def login(self, timeout: float = 12.0) -> "Rtm":
        self.done(self.core.login(self.town.now, timeout), timeout + 1)
        return self

    def logout(self) -> None:
        self.done(self.core.logout(self.town.now), 2)

    def join(self, *channels: str) -> "Rtm":
        for channel in channels or ("plaza",):
            self.done(self.core.join(channel, now=self.town.now), 5)
        return self

    def say(self, body: bytes, channel: str = "plaza", timeout: float = 60.0) -> Ticket:
        return self.core.publish(channel, MessageType.TEXT, body, timeout=timeout, now=self.town.now)

    def tell(self, user: str, body: bytes, timeout: float = 60.0, offline: bool = False) -> Ticket:
        return self.core.send_peer(
            user, MessageType.TEXT, body, offline=offline, timeout=timeout, now=self.town.now
        )


class Town:
    """Nodes that share an engine, and those who connect to them.

    Args:
        seed: Of every random choice.
        latency: Seconds that bytes take in each direction.
        tokens: Whether the app asks for tokens.
        late: Seconds by which the engine is late at most, each time by another delay.
        token_policy: Of the nodes.
        nodes: Their names.
        settings: Further settings of the nodes.
    """

    def __init__(
        self,
        seed: int = 1,
        *,
        latency: float = 0.01,
        tokens: bool = False,
        late: float = 0.0,
        nodes: tuple[str, ...] = ("n1",),
        **settings: Any,
    ) -> None:
        self.dice = random.Random(seed)
        self.now = START
        self.latency = latency
        self.instances = count(1000)
        self.numbers = count(1)
        self.parties: list[Party] = []
        self.lines: dict[int, Line] = {}
        self.settings: Mapping[str, Any] = {"rate_limits": False, **settings}
        self.verifier = AppVerifier([AppKeys(APP, (KEY,) if tokens else ())])
        self.engine = MemoryEngine("epoch-1")
        self.administrator = self.engine.port("administrator")
        secrets = count(1)
        self.nodes: dict[str, Node] = {
            name: Node(
                NodeConfig(node=name, **self.settings),
                LateEngine(self.engine.port(name), seed, late) if late else self.engine.port(name),
                lambda *claims: self.verifier(*claims),
                secret=lambda: f"secret-{next(secrets)}",
            )
            for name in nodes
        }
        self.chance: dict[str, Any] = {
            "random": self.dice.random,
            "mask_key": lambda: self.dice.randbytes(4),
            "nonce": lambda: self.dice.randbytes(16),
        }

    def config(self, **settings: Any) -> ClientConfig:
        usual = {"endpoints": "ws://server.test:7430", "rate_limits": False, "app_id": APP}
        return ClientConfig(**{**usual, **settings})

    @property
    def wall(self) -> float:
        """Seconds since 1970."""
        return WALL + self.now - START

    def token(self, user: str, seconds: float = 3600.0, **arguments: Any) -> str:
        """A token that is good from now on."""
        return make_token(KEY, app=APP, user=user, now=self.wall, seconds=seconds, **arguments)

    def ban(self, user: str, *, kind: str = "rtm", scope: str = "") -> None:
        """Keep a name out from now on, whatever it is a name of."""
        self.administrator.submit(Ban(Name(APP, kind, user, scope), "spam"), self.now, round(self.wall * 1e6))
        self.settle()

    # --- Connections ---

    def connect(self, party: Party, event: OpenTransport) -> Line:
        line = Line(next(self.numbers), party, event, party.home)
        line.heard_by_client = line.heard_by_server = float("-inf")
        self.lines[line.number] = line
        line.open_at = self.now + self.latency
        if party.away or line.purpose in party.unreachable:
            line.hole()
        return line

    def reset(self, line: Line) -> None:
        line.up.clear()
        line.down.clear()
        line.unsent.clear()
        self._lose_server_end(line)
        self._tell_client(line)
        self.lines.pop(line.number, None)

    def send_up(self, line: Line, data: bytes) -> None:
        for piece in self._pieces(line, data):
            line.free_up = self._departure(line.free_up, line, len(piece))
            line.up.append((line.free_up + self.latency, piece))

    def _send_down(self, line: Line) -> None:
        held = sum(len(data) for _, data in line.down)
        while line.unsent and held < SOCKET_BYTES:
            piece = bytes(line.unsent[: MTU if line.party.rate else SOCKET_BYTES - held])
            del line.unsent[: len(piece)]
            held += len(piece)
            line.free_down = self._departure(line.free_down, line, len(piece))
            line.down.append((line.free_down + self.latency, piece))
        if len(line.unsent) != line.backlog:
            line.backlog = len(line.unsent)
            self.nodes[line.node].backlog(line.number, line.backlog, self.now)

    def _pieces(self, line: Line, data: bytes) -> list[bytes]:
        size = MTU if line.party.rate else len(data) or 1
        return [data[place : place + size] for place in range(0, len(data), size)]

    def _departure(self, free: float, line: Line, size: int) -> float:
        return max(free, self.now) + (size / line.party.rate if line.party.rate else 0.0)

    def _lose_server_end(self, line: Line) -> None:
        if line.server_open:
            line.server_open = False
            if line.accepted:
                self.nodes[line.node].connection_lost(line.number, self.now)

    def _tell_client(self, line: Line) -> None:
        if line.client_open and not line.party.asleep:
            line.client_open = False
            if line.accepted:
                line.party.core.receive_eof(line.id, self.now)
            else:
                line.party.core.transport_failed(line.id, ConnectionFailed("reset"), self.now)

    # --- The crank ---

    def settle(self) -> None:
        for _ in range(100_000):
            if not self._turn():
                return
        raise AssertionError("nothing ever comes to rest")

    def _turn(self) -> bool:
        moved = False
        for node in self.nodes.values():
            node.turn(self.now, round(self.wall * 1e6))
        for party in self.parties:
            moved = party.turn() or moved
        for line in list(self.lines.values()):
            moved = self._move(line) or moved
        for node in self.nodes.values():
            node.handle_timer(self.now)
            for number in node.dirty():
                moved = True
                self._take(node, number)
            while (event := node.next_event()) is not None:
                moved = True
                line = self.lines.get(event.connection)
                if line is not None:
                    self.reset(line)
                else:
                    node.connection_lost(event.connection, self.now)
        return moved

    def _take(self, node: Node, number: int) -> None:
        line = self.lines.get(number)
        data = b"".join(node.data_to_send(number))
        if line is None or not line.server_open:
            node.connection_lost(number, self.now)
            return
        line.unsent += data
        self._send_down(line)
        if node.is_finished(number) and not line.unsent:
            self._lose_server_end(line)

    def _move(self, line: Line) -> bool:
        moved = self._open(line)
        if not line.accepted:
            if not line.client_open:
                self.lines.pop(line.number, None)
            return moved
        while line.up and line.up[0][0] <= self.now and not line.hole_up and line.server_open:
            _, data = line.up.popleft()
            moved = True
            line.heard_by_server = self.now
            self.nodes[line.node].receive_data(line.number, data, self.now)
            if line.cut_after_up is not None and line.cut_after_up():
                self.reset(line)
                return True
        while self._may_read(line):
            _, data = line.down.popleft()
            moved = True
            line.heard_by_client = self.now
            line.party.core.receive_data(line.id, data, self.now)
            line.party.turn()
        if line.unsent and line.server_open and sum(len(data) for _, data in line.down) < SOCKET_BYTES:
            self._send_down(line)
        return self._end(line) or moved

    def _may_read(self, line: Line) -> bool:
        due = bool(line.down) and line.down[0][0] <= self.now
        return due and not line.hole_down and line.client_open and not line.party.asleep

    def _open(self, line: Line) -> bool:
        if line.accepted or line.open_at is None or line.open_at > self.now:
            return False
        if line.hole_up or line.hole_down or not line.client_open:
            return False
        line.accepted = True
        self.nodes[line.node].connection_opened(line.number, "10.0.0.1", self.now)
        line.party.core.transport_opened(line.id, self.now)
        return True

    def _end(self, line: Line) -> bool:
        moved = False
        if not line.client_open and line.server_open and not line.up and not line.hole_up:
            self.nodes[line.node].receive_eof(line.number, self.now)
            self._lose_server_end(line)
            moved = True
        empty = not line.down and not line.unsent
        if (
            not line.server_open
            and line.client_open
            and empty
            and not line.hole_down
            and not line.party.asleep
        ):
            self._tell_client(line)
            moved = True
        if not line.server_open and not line.client_open:
            self.lines.pop(line.number, None)
        return moved

    def _due(self) -> float:
        times = [node.next_deadline() for node in self.nodes.values()]
        times += [party.core.next_deadline() for party in self.parties if not party.asleep]
        for line in self.lines.values():
            if not line.accepted:
                if line.client_open and not line.hole_up and not line.hole_down:
                    times.append(line.open_at)
                continue
            if line.up and not line.hole_up and line.server_open:
                times.append(line.up[0][0])
            if line.down and not line.hole_down and line.client_open and not line.party.asleep:
                times.append(line.down[0][0])
        return min((time for time in times if time is not None), default=float("inf"))

    def run(self, seconds: float) -> None:
        """Let time pass, with everything at its time."""
        end = self.now + seconds
        self.settle()
        while (due := self._due()) <= end:
            self.now = max(self.now, due)
            self.settle()
            for party in self.parties:
                if party.asleep:
                    continue
                deadline = party.core.next_deadline()
                if deadline is not None and deadline <= self.now:
                    party.core.handle_timer(self.now)
                    after = party.core.next_deadline()
                    assert after is None or after > self.now, f"a timer of {party.name} stays due"
            self.settle()
        self.now = max(self.now, end)
        self.settle()

    def run_to(self, when: float) -> None:
        self.run(max(0.0, when - self.now))

    def run_until(self, condition: Callable[[], Any], within: float = 60.0) -> float:
        """Let time pass until something is true; how long that took."""
        begun = self.now
        self.settle()
        while not condition():
            due = self._due()
            assert due <= begun + within, f"did not come true within {within} s"
            self.run(max(0.0, due - self.now))
        return self.now - begun
