"""What one message costs a node with a memory engine: no sockets, no clients, one thread.

Run it: ``python -m tests.benchmarks.micro_node``. A publisher's bytes go in, every member's bytes come out; what
clients and sockets cost comes on top.
"""

import argparse
from time import perf_counter

from rtmcore.limits import APP_ID_LENGTH
from rtmcore.service.config import NodeConfig
from rtmcore.service.grants import Grant
from rtmcore.service.memory import MemoryEngine
from rtmcore.service.node import Node
from rtmcore.wire.codec import MSGPACK
from rtmcore.wire.packets import Ack, Floor, Hello, Join, Packet, Publish, SendPeer
from rtmcore.wire.transport import ClientTransport

APP = "b" * APP_ID_LENGTH
WALL = 1_700_000_000_000_000


class Bench:
    """A node and the frames of its clients."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.node = Node(
            NodeConfig(node="n", rate_limits=False),
            MemoryEngine("epoch").port("n"),
            lambda app, user, token, wall: Grant(),
            secret=lambda: "s" * 24,
        )
        self.clients: list[ClientTransport] = []

    def client(self, user: str) -> int:
        """Log a user in; returns the number of its connection."""
        number = len(self.clients)
        client = ClientTransport(
            host="h",
            target="/rtm/v1",
            subprotocols=(MSGPACK.subprotocol,),
            nonce=bytes(16),
            mask_key=lambda: b"\x01\x02\x03\x04",
            now=self.now,
        )
        self.clients.append(client)
        self.node.connection_opened(number, "10.0.0.1", self.now)
        for data in client.data_to_send():
            self.node.receive_data(number, data, self.now)
        for dirty in self.node.dirty():
            for data in self.node.data_to_send(dirty):
                self.clients[dirty].receive_data(data, self.now)
        self.turn(number, self.frame(number, [Hello(APP, user, user.ljust(16, "-"), attempt=1, login=True)]))
        return number

    def frame(self, number: int, packets: list[Packet]) -> bytes:
        """The bytes of one WebSocket message."""
        client = self.clients[number]
        client.send(packets, self.now)
        return b"".join(client.data_to_send())

    def turn(self, number: int, data: bytes) -> int:
        """One turn of a driver; returns the bytes that were written."""
        node, now = self.node, self.now
        written = 0
        node.turn(now, WALL)
        node.receive_data(number, data, now)
        node.handle_timer(now)
        for dirty in node.dirty():
            written += len(b"".join(node.data_to_send(dirty)))
        return written


def measure_channel(members: int, window: int, size: int, messages: int) -> None:
    bench = Bench()
    publisher = bench.client("publisher")
    bench.turn(publisher, bench.frame(publisher, [Join(1, "room")]))
    for index in range(members):
        number = bench.client(f"member-{index}")
        bench.turn(number, bench.frame(number, [Join(1, "room")]))
    body = b"x" * size
    turns = []
    request = 2
    for _ in range(messages // window):
        packets = [Publish(request + index, "room", 2, body) for index in range(window)]
        turns.append(bench.frame(publisher, [Floor(request), *packets]))
        request += window
    start = perf_counter()
    for data in turns:
        bench.turn(publisher, data)
    elapsed = perf_counter() - start
    count = len(turns) * window
    stats = bench.node.stats()
    assert stats["channel_messages_delivered"] == count * members, stats
    print(
        f"channel  members {members:4d}  window {window:3d}  {size:5d} B: "
        f"{elapsed / count * 1e6:8.2f} us a message  {elapsed / count / members * 1e6:7.3f} us a delivery  "
        f"{count * members / elapsed:10,.0f} deliveries/s"
    )


def measure_peers(window: int, size: int, messages: int) -> None:
    bench = Bench()
    sender, receiver = bench.client("sender"), bench.client("receiver")
    body = b"x" * size
    clock = 0
    request = 1
    turns = []
    for _ in range(messages // window):
        packets = [SendPeer(request + index, "receiver", 2, body) for index in range(window)]
        turns.append(bench.frame(sender, [Floor(request), *packets]))
        request += window
    elapsed = 0.0
    for data in turns:
        start = perf_counter()
        bench.turn(sender, data)
        elapsed += perf_counter() - start
        clock += window
        # Ids follow the wall clock, which stands still here: they count up from the last fence.
        ack = bench.frame(receiver, [Ack(WALL + 1 + clock)])
        start = perf_counter()
        bench.turn(receiver, ack)
        elapsed += perf_counter() - start
    count = len(turns) * window
    stats = bench.node.stats()
    assert stats["inbox_messages_delivered"] == count, stats
    print(
        f"peer     window {window:3d}  {size:5d} B: {elapsed / count * 1e6:8.2f} us a message, acknowledged"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=20_000)
    parser.add_argument("--size", type=int, default=100)
    arguments = parser.parse_args()
    for members, window in ((1, 1), (1, 16), (100, 1), (100, 8), (500, 8)):
        messages = arguments.messages if members == 1 else arguments.messages // 10
        measure_channel(members, window, arguments.size, messages)
    for window in (1, 16):
        measure_peers(window, arguments.size, arguments.messages)


if __name__ == "__main__":
    main()
