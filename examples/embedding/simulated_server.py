"""The server's half of the simulator: a driver of the node and its engine, without sockets."""

from collections.abc import Callable
from itertools import count

from rtmcore.service.config import NodeConfig
from rtmcore.service.grants import Grant
from rtmcore.service.memory import MemoryEngine
from rtmcore.service.memory.journal import Image
from rtmcore.service.node import Node

NEW_YEAR_2030 = 1_893_456_000


class Server:
    """A server that can be stopped and started again; what it must keep is on its disk.

    Args:
        send: Takes bytes for a connection, or None for its end.
        entropy: Gives so many unpredictable bytes.
    """

    def __init__(self, send: Callable[[int, bytes | None], None], entropy: Callable[[int], bytes]) -> None:
        self.send, self.entropy = send, entropy
        self.epochs = count(1)
        self.disk = Image()
        self.open: set[int] = set()
        self.node: Node | None = None

    def start(self, now: float) -> None:
        epoch = f"epoch {next(self.epochs)}"
        self.engine = MemoryEngine(epoch, image=self.disk.copy(), now=now, wall=wall(now))
        self.node = Node(
            NodeConfig(node="node"),
            self.engine.port("node"),
            lambda *login: Grant(),
            secret=lambda: self.entropy(16).hex(),
        )

    def stop(self) -> None:
        for number in list(self.open):
            self.send(number, None)
        self.open.clear()
        self.node = None

    def next_deadline(self) -> float | None:
        return None if self.node is None else self.node.next_deadline()

    def connect(self, number: int, now: float) -> bool:
        """Take a new connection; whether anybody listens."""
        if self.node is not None:
            self.open.add(number)
            self.node.turn(now, wall(now))
            self.node.connection_opened(number, "10.0.0.1", now)
        return self.node is not None

    def receive(self, number: int, data: bytes | None, now: float) -> None:
        """Take what came on a connection, or None for its end."""
        if self.node is None or number not in self.open:
            return
        self.node.turn(now, wall(now))
        if data is not None:
            self.node.receive_data(number, data, now)
        else:
            self.node.receive_eof(number, now)
            self.open.discard(number)
            self.node.connection_lost(number, now)

    def turn(self, now: float) -> bool:
        """Do all that the node says, in the order that its module tells; whether it said anything."""
        node, moved = self.node, False
        if node is None:
            return False
        node.turn(now, wall(now))
        node.handle_timer(now)
        for number in node.dirty():
            moved = True
            for data in node.data_to_send(number):
                self.send(number, data)
            if node.is_finished(number):
                self.end(number, now)
        while (event := node.next_event()) is not None:
            self.end(event.connection, now)
        while (batch := self.engine.next_batch(now)) is not None:
            self.disk.apply(batch)
            self.engine.committed(batch.number, now)
            moved = True
        return moved

    def end(self, number: int, now: float) -> None:
        self.open.discard(number)
        self.send(number, None)
        if self.node is not None:
            self.node.connection_lost(number, now)


def wall(now: float) -> int:
    """The wall clock in microseconds since 1970."""
    return round((NEW_YEAR_2030 + now) * 1_000_000)
