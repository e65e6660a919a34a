"""The world of a simulation: one thread, one clock that jumps from event to event, one seed.

Nothing in it waits. Client cores, nodes and the memory engine are those that users get; only sockets, clocks and
disks are made up.
"""

import random
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from typing import Any, Final, Protocol

from tests.simulation.checker import Watcher
from tests.simulation.history import History
from tests.simulation.hosts import ClientHost
from tests.simulation.network import FOREVER, Wire
from tests.simulation.server import NodeHost, ServerSide

START: Final = 1000.0
WALL: Final = 1_700_000_000_000_000
_TURNS_AT_ONCE: Final = 100_000
_REPEAT: Final = 1.0
"""Seconds after which a kernel repeats a lost attempt to connect."""


class Host(Protocol):
    """What takes turns."""

    def turn(self) -> None:
        """Do everything that can be done now."""


class World:
    """Clients, nodes, an engine and the network between them.

    Args:
        seed: Of everything that is random.
        nodes: Names of the server's nodes; a client goes to one of them in turn.
        journal: Whether the engine has a disk.
        settings: Of the nodes; see `NodeConfig`.

    Attributes:
        now: Monotonic seconds.
        history: What happened.
        side: The server side.
        clients: All clients ever made, those that crashed among them.
        connections: How many connections there were.
        turns: How many turns hosts have taken.
    """

    def __init__(
        self, seed: object, *, nodes: tuple[str, ...] = ("n1",), journal: bool = True, **settings: Any
    ) -> None:
        self.seed = seed
        self.now = START
        self.history = History(START)
        self.history.watchers.append(Watcher(self.history))
        self.clients: list[ClientHost] = []
        self.connections = 0
        self.urls = tuple(f"ws://{name}:7430" for name in nodes)
        self._heap: list[tuple[float, int, Callable[[Any], None], Any]] = []
        self._order = count()
        self._numbers = count(1)
        self._awake: dict[Host, None] = {}
        self.turns = 0
        self.side = ServerSide(self, nodes, journal=journal, **settings)

    # --- Time and chance --------------------------------------------------------------

    @property
    def time(self) -> float:
        """Seconds since the beginning of the world."""
        return self.now - START

    @property
    def wall(self) -> int:
        """True time in microseconds since 1970."""
        return WALL + round((self.now - START) * 1e6)

    def dice_for(self, what: str) -> random.Random:
        """Random numbers of one thing alone, so that they do not change when something else does."""
        return random.Random(f"{self.seed}/{what}")

    def next_number(self) -> int:
        """A number that was not used before."""
        return next(self._numbers)

    def later(self, when: float, function: Callable[[Any], None], argument: Any = None) -> None:
        """Call a function at a time of the monotonic clock."""
        heappush(self._heap, (max(when, self.now), next(self._order), function, argument))

    def at(self, time: float, function: Callable[..., object], *arguments: Any, **options: Any) -> None:
        """Call a function so many seconds after the beginning of the world."""
        self.later(START + time, lambda _: function(*arguments, **options))

    def awaken(self, host: Host) -> None:
        """Give a host a turn now."""
        self._awake[host] = None

    # --- Clients ------------------------------------------------------------------------

    def client(self, user: str, *, kind: str = "rtm", scope: str = "", **settings: Any) -> ClientHost:
        """Start a client's process. It does nothing before it is told to."""
        client = ClientHost(self, user, kind=kind, scope=scope, **settings)
        self.clients.append(client)
        return client

    def connect(self, client: ClientHost, link: int, node: str, *, media: bool) -> None:
        """A client's kernel begins to connect to a node."""
        self.connections += 1
        host = self.side.hosts[node]
        wire = Wire(
            self.connections, client, link, host, self.later, self.dice_for(f"{client.number}/{link}")
        )
        client.wires[link] = wire
        self.later(self.now + client.weather.latency, self._knock, wire)

    def _knock(self, wire: Wire) -> None:
        """The first packet of a connection arrives at the server's machine, if it does."""
        client, weather = wire.client, wire.weather
        if not wire.client_open:
            return
        blocked = max(weather.hole_up, weather.hole_down)
        if blocked > self.now:
            if blocked != FOREVER:
                late = _REPEAT * wire.dice.random()
                self.later(blocked + late, self._knock, wire)
        elif weather.refuse > self.now or wire.node.down:
            self.later(self.now + weather.latency, lambda _: client.not_connected(wire.link))
        else:
            wire.node.take(wire)
            if client.late_hello:
                # The request has passed when the answer is under way, and the hello has not.
                late, client.late_hello = client.late_hello, 0.0
                when = self.now + 2.5 * weather.latency + weather.jitter
                self.later(when, lambda _: wire.up.block(self.now + late, self.now))
            self.later(self.now + weather.latency, lambda _: client.connected(wire))

    # --- The crank ------------------------------------------------------------------------

    def run(self, until: float) -> None:
        """Let time pass until so many seconds after the beginning of the world."""
        end = START + until
        heap = self._heap
        self._take_turns()
        while heap and heap[0][0] <= end:
            now = self.now = heap[0][0]
            while heap and heap[0][0] == now:
                _, _, function, argument = heappop(heap)
                function(argument)
            self._take_turns()
        self.now = max(self.now, end)

    def run_for(self, seconds: float) -> None:
        """Let so many seconds pass."""
        self.run(self.time + seconds)

    def _take_turns(self) -> None:
        awake = self._awake
        left = _TURNS_AT_ONCE
        while awake:
            host = next(iter(awake))
            del awake[host]
            self.turns += 1
            host.turn()
            left -= 1
            if not left:
                raise AssertionError(f"seed {self.seed}: nothing ever comes to rest at {self.time}")


__all__ = ["START", "WALL", "ClientHost", "NodeHost", "World"]
