"""Client cores against the real node and the memory engine, on a virtual network and clock."""

import random
from collections import deque
from itertools import count
from typing import Any

from rtmcore.client.config import ClientConfig
from rtmcore.client.core import ClientCore
from rtmcore.client.events import (
    ChannelGap,
    CloseTransport,
    Event,
    NeedToken,
    OpenTransport,
    RequestCompleted,
    StateChanged,
)
from rtmcore.client.requests import Ticket
from rtmcore.codes import MessageType
from rtmcore.errors import ConnectionFailed
from rtmcore.models import ChannelMessage, PeerMessage
from rtmcore.service.config import NodeConfig
from rtmcore.service.grants import Grant
from rtmcore.service.memory import MemoryEngine
from rtmcore.service.node import Node
from tests.service.late_engine import LateEngine

APP = "a" * 32
WALL = 1_700_000_000_000_000
START = 1000.0


class Line:
    """One TCP connection: bytes on their way, with a delay; a cut loses them."""

    def __init__(self, number: int, client: "Citizen", link: int) -> None:
        self.number = number
        self.client = client
        self.link = link
        self.up: deque[tuple[float, bytes]] = deque()
        self.down: deque[tuple[float, bytes]] = deque()
        self.hole_up = self.hole_down = False
        self.cut_up: int | None = None
        self.cut_down: int | None = None
        self.client_open = self.server_open = True


class Citizen:
    """A client and what its application saw."""

    def __init__(self, city: "City", user: str, **settings: Any) -> None:
        self.city = city
        self.user = user
        settings = {"endpoints": "ws://server.test:7430", "rate_limits": False, **settings}
        self.core = ClientCore(
            ClientConfig(app_id=APP, user_id=user, **settings),
            iid=f"instance-of-{user}-{next(city.instances)}",
            random=city.dice.random,
            mask_key=lambda: city.dice.randbytes(4),
            nonce=lambda: city.dice.randbytes(16),
        )
        self.lines: dict[int, Line] = {}
        self.events: list[Event] = []
        self.refusing = False
        self.taking = True
        city.citizens.append(self)

    @property
    def line(self) -> Line:
        return self.lines[max(self.lines)]

    @property
    def states(self) -> list[tuple[str, str]]:
        return [(e.state.name, e.reason.name) for e in self.events if isinstance(e, StateChanged)]

    @property
    def messages(self) -> list[PeerMessage]:
        return [e for e in self.events if isinstance(e, PeerMessage)]

    def heard(self, channel: str = "room") -> list[ChannelMessage]:
        return [e for e in self.events if isinstance(e, ChannelMessage) and e.channel == channel]

    def lost(self, channel: str = "room") -> int:
        return sum(e.lost for e in self.events if isinstance(e, ChannelGap) and e.channel == channel)

    def of(self, *kinds: type[Any]) -> list[Any]:
        return [e for e in self.events if isinstance(e, kinds)]

    def say(self, body: bytes, channel: str = "room", timeout: float = 60.0) -> Ticket:
        return self.core.publish(channel, MessageType.TEXT, body, timeout=timeout, now=self.city.now)

    def tell(self, user: str, body: bytes, timeout: float = 60.0, offline: bool = False) -> Ticket:
        return self.core.send_peer(
            user, MessageType.TEXT, body, offline=offline, timeout=timeout, now=self.city.now
        )

    def login(self) -> "Citizen":
        ticket = self.core.login(self.city.now)
        self.city.run(1.0)
        assert ticket.done
        assert ticket.error is None, ticket.error
        return self

    def join(self, channel: str = "room") -> "Citizen":
        ticket = self.core.join(channel, now=self.city.now)
        self.city.run(1.0)
        assert ticket.done
        assert ticket.error is None, ticket.error
        return self

    # --- The crank ---

    def turn(self) -> bool:
        moved = False
        now = self.city.now
        for link, data in self.core.data_to_send():
            line = self.lines.get(link)
            if line is not None and line.client_open:
                line.up.append((now + self.city.delay(), data))
                moved = True
        while (event := self.core.next_event()) is not None:
            moved = True
            self.act(event)
        return moved

    def act(self, event: Event) -> None:
        now = self.city.now
        if isinstance(event, OpenTransport):
            if self.refusing:
                self.core.transport_failed(event.id, ConnectionFailed("refused"), now)
            else:
                line = self.city.connect(self, event.id)
                self.lines[event.id] = line
                self.core.transport_opened(event.id, now)
        elif isinstance(event, CloseTransport):
            line = self.lines.get(event.id)
            if line is not None:
                line.client_open = False
        elif isinstance(event, NeedToken):
            self.core.token("good", now)
        elif not isinstance(event, RequestCompleted):
            self.events.append(event)
            if isinstance(event, PeerMessage) and self.taking:
                self.core.handed_over(event.id, now)

    # --- Faults ---

    def cut(self) -> None:
        """A reset: what was on the way is gone, and both sides are told."""
        if self.lines:
            self.city.reset(self.line)


class City:
    """A node, its engine, and citizens."""

    def __init__(self, seed: int, *, late: bool = False, drip: int = 0, latency: float = 0.0) -> None:
        self.dice = random.Random(seed)
        self.now = START
        self.latency = latency
        self.drip = drip
        self.instances = count(1000)
        self.numbers = count(1)
        self.citizens: list[Citizen] = []
        self.lines: dict[int, Line] = {}
        self.late = late
        self.seed = seed
        self.epochs = count(1)
        self.wall_offset = 0
        self.start_server()

    def start_server(self) -> None:
        self.engine = MemoryEngine(f"epoch-{next(self.epochs)}")
        port: Any = self.engine.port("n1")
        if self.late:
            port = LateEngine(port, self.seed)
        secrets = count(1)
        self.node = Node(
            NodeConfig(node="n1", rate_limits=False),
            port,
            lambda app, user, token, wall: Grant(),
            secret=lambda: f"secret-{next(secrets)}",
        )

    def restart_server(self) -> None:
        for line in list(self.lines.values()):
            line.server_open = False
            self._tell_client(line)
        self.lines.clear()
        self.start_server()

    @property
    def wall(self) -> int:
        return WALL + round((self.now - START) * 1e6)

    def delay(self) -> float:
        return self.latency * self.dice.random()

    def connect(self, client: Citizen, link: int) -> Line:
        line = Line(next(self.numbers), client, link)
        self.lines[line.number] = line
        self.node.connection_opened(line.number, "10.0.0.1", self.now)
        return line

    def reset(self, line: Line) -> None:
        line.up.clear()
        line.down.clear()
        if line.server_open:
            line.server_open = False
            self.node.connection_lost(line.number, self.now)
        self._tell_client(line)
        self.lines.pop(line.number, None)

    def _tell_client(self, line: Line) -> None:
        if line.client_open:
            line.client_open = False
            line.client.core.receive_eof(line.link, self.now)

    # --- The crank ---

    def settle(self) -> None:
        for _ in range(20_000):
            if not self._turn():
                return
        raise AssertionError("nothing ever comes to rest")

    def _turn(self) -> bool:
        self.node.turn(self.now, self.wall)
        moved = False
        for citizen in self.citizens:
            moved = citizen.turn() or moved
        for line in list(self.lines.values()):
            moved = self._move(line) or moved
        self.node.handle_timer(self.now)
        for number in list(self.node.dirty()):
            moved = True
            self._take(number)
        while (event := self.node.next_event()) is not None:
            moved = True
            line = self.lines.get(event.connection)
            if line is not None:
                self.reset(line)
            else:
                self.node.connection_lost(event.connection, self.now)
        return moved

    def _take(self, number: int) -> None:
        line = self.lines.get(number)
        data = b"".join(self.node.data_to_send(number))
        if line is None or not line.server_open:
            self.node.connection_lost(number, self.now)
            return
        if data:
            line.down.append((self.now + self.delay(), data))
        if self.node.is_finished(number):
            line.server_open = False
            self.node.connection_lost(number, self.now)

    def _move(self, line: Line) -> bool:
        moved = False
        while line.up and line.up[0][0] <= self.now and not line.hole_up and line.server_open:
            data = self._piece(line.up, line, "cut_up")
            moved = True
            if data:
                self.node.receive_data(line.number, data, self.now)
            if line.cut_up == 0:
                self.reset(line)
                return True
        while line.down and line.down[0][0] <= self.now and not line.hole_down and line.client_open:
            data = self._piece(line.down, line, "cut_down")
            moved = True
            if data:
                line.client.core.receive_data(line.link, data, self.now)
                line.client.turn()
            if line.cut_down == 0:
                self.reset(line)
                return True
        if not line.client_open and line.server_open and not line.up and not line.hole_up:
            line.server_open = False
            self.node.receive_eof(line.number, self.now)
            self.node.connection_lost(line.number, self.now)
            moved = True
        if not line.server_open and line.client_open and not line.down and not line.hole_down:
            self._tell_client(line)
            moved = True
        if not line.server_open and not line.client_open:
            self.lines.pop(line.number, None)
        return moved

    def _piece(self, queue: deque[tuple[float, bytes]], line: Line, cut: str) -> bytes:
        when, data = queue.popleft()
        left = getattr(line, cut)
        size = min(len(data), self.drip or len(data), len(data) if left is None else left)
        if size < len(data):
            queue.appendleft((when, data[size:]))
        if left is not None:
            setattr(line, cut, left - size)
        return data[:size]

    def _due(self) -> float:
        times = [self.node.next_deadline()]
        times += [citizen.core.next_deadline() for citizen in self.citizens]
        for line in self.lines.values():
            if line.up and not line.hole_up and line.server_open:
                times.append(line.up[0][0])
            if line.down and not line.hole_down and line.client_open:
                times.append(line.down[0][0])
        return min((time for time in times if time is not None), default=float("inf"))

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        self.settle()
        while (due := self._due()) <= end:
            self.now = max(self.now, due)
            self.settle()
            for citizen in self.citizens:
                deadline = citizen.core.next_deadline()
                if deadline is not None and deadline <= self.now:
                    citizen.core.handle_timer(self.now)
                    after = citizen.core.next_deadline()
                    assert after is None or after > self.now
            self.settle()
        self.now = end
        self.settle()
