"""What the client core alone costs per message, in memory: no socket, no thread.

Run it with ``python -m tests.benchmarks.micro_client``. It prints the best of some runs; nothing asserts it.
"""

import time
from collections.abc import Callable

from rtmcore.client.config import ClientConfig
from rtmcore.client.core import ClientCore
from rtmcore.codes import MessageType
from rtmcore.wire.codec import CODECS
from rtmcore.wire.handshake import UpgradeRequested
from rtmcore.wire.packets import (
    ChannelEntry,
    Hello,
    InboxEntry,
    Join,
    Joined,
    Packet,
    PeerSent,
    Publish,
    Published,
    Ready,
    Roster,
    SendPeer,
    Top,
    Welcome,
)
from rtmcore.wire.transport import Received, ServerTransport, server_message

ROUNDS = 8_000
REPEATS = 5
CODEC = CODECS["rtm.v1.msgpack"]


class Pair:
    """A core that is logged in and in a channel, and the server's end of its wire."""

    def __init__(self) -> None:
        config = ClientConfig(endpoints="ws://localhost:1", app_id="a" * 32, user_id="ann", rate_limits=False)
        self.core = ClientCore(
            config, iid="i" * 16, random=lambda: 0.5, mask_key=lambda: b"mask", nonce=lambda: b"n" * 16
        )
        self.server = ServerTransport(0.0)
        self.now = 0.0
        self.top = 0
        self.core.login(0.0)
        self.core.transport_opened(1, 0.0)
        self.exchange()
        self.core.join("room", now=0.0)
        self.exchange()
        self.events()

    def events(self) -> int:
        number = 0
        while self.core.next_event() is not None:
            number += 1
        return number

    def exchange(self) -> None:
        """Let the bytes go to and fro until the wire is quiet."""
        while True:
            up = b"".join(data for _, data in self.core.data_to_send())
            if up:
                self.server.receive_data(up, self.now)
            while (event := self.server.next_event()) is not None:
                if isinstance(event, UpgradeRequested):
                    self.server.accept(CODEC, self.now)
                elif isinstance(event, Received):
                    answers = [answer for packet in event.packets for answer in self.answer(packet)]
                    if answers:
                        self.server.send(answers, self.now)
            down = b"".join(self.server.data_to_send())
            if down:
                self.core.receive_data(1, down, self.now)
            if not up and not down:
                return

    def answer(self, packet: Packet) -> list[Packet]:
        if isinstance(packet, Hello):
            welcome = Welcome(
                1, "s", False, "e", "n", 0, "memory", 0, 1500, 4000, 6000, 30000, {"frame": 262144}, "keep"
            )
            return [welcome, Ready(), Top(0, 0)]
        if isinstance(packet, Join):
            return [Roster("room", 1, 1, ["ann"]), Joined(packet.i, 0)]
        if isinstance(packet, Publish):
            self.top += 1
            return [Published(packet.i, self.top, self.top - 1)]
        return [PeerSent(packet.i, 0, 1)] if isinstance(packet, SendPeer) else []


def measure(name: str, prepare: Callable[[], Callable[[], None]], messages: int) -> None:
    spent = float("inf")
    for _ in range(REPEATS):
        run = prepare()
        begun = time.process_time()
        run()
        spent = min(spent, time.process_time() - begun)
    print(f"{name:58} {spent / messages * 1e6:8.2f} us  {messages / spent:10,.0f} /s")


def intents(body: bytes) -> Callable[[], None]:
    """publish() and its bytes, one frame each, answered by bytes made before."""
    pair = Pair()
    answers = [server_message(CODEC, [Published(n + 2, n + 1, n)]) for n in range(ROUNDS)]

    def run() -> None:
        core = pair.core
        for answer in answers:
            core.publish("room", MessageType.TEXT, body, now=0.0)
            core.data_to_send()
            core.next_deadline()
            core.receive_data(1, answer, 0.0)
            core.next_event()
            core.data_to_send()
            core.next_deadline()

    return run


def windowed(body: bytes) -> Callable[[], None]:
    """64 in flight, 16 in a frame both ways."""
    pair = Pair()
    answers = [
        server_message(CODEC, [Published(m + 2, m + 1, m) for m in range(n, n + 16)])
        for n in range(0, ROUNDS, 16)
    ]

    def run() -> None:
        core = pair.core
        for _ in range(64):
            core.publish("room", MessageType.TEXT, body, now=0.0)
        core.data_to_send()
        for answer in answers:
            core.receive_data(1, answer, 0.0)
            while core.next_event() is not None:
                core.publish("room", MessageType.TEXT, body, now=0.0)
            core.data_to_send()
            core.next_deadline()

    return run


def received(make: Callable[[int], Packet], hand_over: bool) -> Callable[[], None]:
    """Messages that come in, 16 in a frame."""
    pair = Pair()
    frames = [server_message(CODEC, [make(m) for m in range(n, n + 16)]) for n in range(0, ROUNDS, 16)]

    def run() -> None:
        core = pair.core
        for frame in frames:
            core.receive_data(1, frame, 0.0)
            while (event := core.next_event()) is not None:
                if hand_over:
                    core.handed_over(event.id, 0.0)  # type: ignore[union-attr]
            core.data_to_send()
            core.next_deadline()

    return run


def main() -> None:
    for size in (100, 1024):
        body = b"x" * size
        print(f"{size} bytes")
        measure("  publish and its answer, one at a time", lambda body=body: intents(body), ROUNDS)
        measure("  publish and its answer, 64 in flight", lambda body=body: windowed(body), ROUNDS)
        measure(
            "  channel message received, 16 in a frame",
            lambda body=body: received(
                lambda n: ChannelEntry("room", n + 1, n, "bob", "b" * 16, n, 1, body), False
            ),
            ROUNDS,
        )
        measure(
            "  peer message received and acknowledged, 16 in a frame",
            lambda body=body: received(lambda n: InboxEntry(n + 1, n, "bob", "b" * 16, n, 1, body), True),
            ROUNDS,
        )


if __name__ == "__main__":
    main()
