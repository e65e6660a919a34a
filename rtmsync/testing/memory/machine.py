"""A node and whatever is connected to it, with lists of bytes in place of sockets."""

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Final, Protocol

from rtmcore.limits import READ_CHUNK
from rtmcore.service.node import Node
from rtmsync.testing.memory.clock import VirtualClock

_ADDRESS: Final = "127.0.0.1"
_MICROSECONDS: Final = 1_000_000


def chunks(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Pieces as a socket would give them: none is larger than what is read at once."""
    for piece in pieces:
        for begin in range(0, len(piece), READ_CHUNK):
            yield bytes(piece[begin : begin + READ_CHUNK])


class Wire:
    """One connection to the node.

    Attributes:
        number: The node's number for it.
        owner: Whose it is: a user id, or empty.
        to_node: Bytes on their way to the node.
        to_client: Bytes on their way back.
        hung_up: The client has closed it.
        ended: The node has closed it: behind `to_client` nothing comes.
        cut: It is broken.
        held: Nothing moves, in either direction.
    """

    __slots__ = ("cut", "ended", "held", "hung_up", "number", "owner", "to_client", "to_node")

    def __init__(self, number: int, owner: str) -> None:
        self.number: Final = number
        self.owner: Final = owner
        self.to_node: Final[deque[bytes]] = deque()
        self.to_client: Final[deque[bytes]] = deque()
        self.hung_up = False
        self.ended = False
        self.cut = False
        self.held = False


class Member(Protocol):
    """What is driven beside the node: a client."""

    def turn(self) -> bool:
        """See `Part`."""

    def call_back(self) -> bool:
        """See `Part`."""

    def next_deadline(self) -> float | None:
        """See `Part`."""


class Machine:
    """Drives a node, and the clients that are connected to it, in virtual time.

    Args:
        node: The node.
        clock: Its time.

    Attributes:
        clock: Its time.
        members: The clients.
        holes: Owners between whom and the node nothing moves.
    """

    def __init__(self, node: Node, clock: VirtualClock) -> None:
        self._node = node
        self.clock: Final = clock
        self.members: Final[list[Member]] = []
        self.holes: Final[set[str]] = set()
        self._wires: dict[int, Wire] = {}
        self._last = 0

    # --- Connections --------------------------------------------------------------------------------------------

    def connect(self, owner: str = "") -> Wire:
        """Open a connection."""
        with self.clock.lock:
            self._last += 1
            wire = self._wires[self._last] = Wire(self._last, owner)
            self._node.connection_opened(wire.number, _ADDRESS, self.clock.now())
        return wire

    def hold(self, owner: str, *, held: bool) -> None:
        """Let nothing through between somebody and the node, or let it through again."""
        with self.clock.lock:
            (self.holes.add if held else self.holes.discard)(owner)
            for wire in self._wires_of(owner):
                wire.held = held

    def cut(self, owner: str) -> int:
        """Break the connections of somebody; how many there were."""
        with self.clock.lock:
            wires = self._wires_of(owner)
            for wire in wires:
                self._cut(wire)
        return len(wires)

    def release(self) -> None:
        """Let everything through."""
        with self.clock.lock:
            self.holes.clear()
            for wire in self._wires.values():
                wire.held = False

    # --- A part of the time -------------------------------------------------------------------------------------

    def turn(self) -> bool:
        """See `Part`."""
        progress = sum(member.turn() for member in list(self.members)) > 0
        node, now = self._node, self.clock.now()
        node.turn(now, round(self.clock.time() * _MICROSECONDS))
        for wire in list(self._wires.values()):
            progress = self._read(wire, now) or progress
        node.handle_timer(now)
        for number in node.dirty():
            progress = self._write(number) or progress
        while (event := node.next_event()) is not None:
            progress = True
            self._lose(event.connection)
        return progress

    def call_back(self) -> bool:
        """See `Part`."""
        return sum(member.call_back() for member in list(self.members)) > 0

    def next_deadline(self) -> float | None:
        """See `Part`."""
        dues = [self._node.next_deadline(), *(member.next_deadline() for member in self.members)]
        return min((due for due in dues if due is not None), default=None)

    # --- Inside -------------------------------------------------------------------------------------------------

    def _wires_of(self, owner: str) -> list[Wire]:
        return [wire for wire in self._wires.values() if wire.owner == owner]

    def _cut(self, wire: Wire) -> None:
        """Break a connection: what is on its way is lost, and both sides notice."""
        wire.to_node.clear()
        wire.to_client.clear()
        wire.cut = True
        self._lose(wire.number)

    def _read(self, wire: Wire, now: float) -> bool:
        if wire.held:
            return False
        progress = False
        while wire.to_node and self._wants_data(wire.number):
            progress = True
            self._node.receive_data(wire.number, wire.to_node.popleft(), now)
        if wire.hung_up:
            self._node.receive_eof(wire.number, now)
            self._lose(wire.number)
            return True
        return progress

    def _wants_data(self, number: int) -> bool:
        """Whether bytes are read: those of files wait while the node has not dealt with what came last."""
        return number not in self._node.media_connections or self._node.wants_data(number)

    def _write(self, number: int) -> bool:
        node, wire = self._node, self._wires.get(number)
        pieces = node.data_to_send(number)
        if wire is not None:
            wire.to_client.extend(chunks(pieces))
        if node.is_finished(number):
            self._lose(number)
            return True
        return bool(pieces)

    def _lose(self, number: int) -> None:
        wire = self._wires.pop(number, None)
        if wire is not None:
            wire.ended = True
        self._node.connection_lost(number, self.clock.now())
