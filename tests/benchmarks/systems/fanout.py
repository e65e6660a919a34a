"""One process that is a publisher and all of its subscribers: raw sockets, which count messages and do no more.

The same for every server, so that what differs is the server. A message counts
as received when its mark is there, wherever it stands in the bytes.
"""

import importlib
import selectors
import socket
from typing import Any

from tests.benchmarks.load import WARM_UP, clock, payload, percentiles

MARK = b"\x1bRTM"
BEAT_EVERY = 1.0
STALLED = 30.0


class Generator:
    """The load of a fan-out.

    Args:
        system: Module with the `RawPeer` of the server.
        port: Where the server listens.
    """

    def __init__(self, system: str, port: int) -> None:
        self._peer = importlib.import_module(f"tests.benchmarks.systems.{system}").RawPeer(port)
        self._selector = selectors.DefaultSelector()
        self._received: list[int] = []
        self._tails: list[bytes] = []
        self._sockets: list[socket.socket] = []
        self._next_beat = 0.0

    def connect(self, subscribers: int) -> None:
        """Connect the subscribers, then the publisher."""
        for number in range(subscribers):
            self._add(f"subscriber{number}", number, "subscriber")
        self._publisher = self._add("publisher", None, "publisher")
        self._received = [0] * subscribers
        self._tails = [b""] * subscribers

    def _add(self, name: str, number: int | None, role: str) -> socket.socket:
        opened: socket.socket = self._peer.connect(name, role)
        opened.settimeout(STALLED)
        self._sockets.append(opened)
        self._selector.register(opened, selectors.EVENT_READ, number)
        self._beat()
        return opened

    def run(self, size: int, window: int, seconds: float) -> dict[str, float]:
        """Publish for a while, with up to `window` messages that not everybody has received yet.

        Returns:
            ``rate`` in deliveries a second; ``p50`` and ``p99`` in microseconds from the publishing of a
            message until the last subscriber has it (for window 1).
        """
        body = payload(size - len(MARK)) + MARK
        self._publish(body, window, WARM_UP)
        delivered = sum(self._received)
        started = clock()
        laps = self._publish(body, window, seconds)
        rate = (sum(self._received) - delivered) / (clock() - started)
        return {"rate": rate, **percentiles(laps)}

    def _publish(self, body: bytes, window: int, seconds: float) -> list[float]:
        received, laps = self._received, []
        complete = published = min(received)
        now = started = clock()
        while True:
            free = window - (published - complete) if now < started + seconds else 0
            if free:
                self._publisher.sendall(self._peer.messages([body] * free))
                published += free
                sent = now
            elif published == complete:
                return laps
            self._read()
            now = clock()
            complete = min(received)
            if window == 1 and complete == published:
                laps.append(now - sent)

    def _read(self) -> None:
        ready = self._selector.select(STALLED)
        if not ready:
            raise TimeoutError("no subscriber receives anything")
        received, tails = self._received, self._tails
        for key, _ in ready:
            data = key.fileobj.recv(65536)  # type: ignore[union-attr]
            if not data:
                raise ConnectionError("the server closed a connection")
            number = key.data
            if number is not None:
                data = tails[number] + data
                received[number] += data.count(MARK)
                tails[number] = data[1 - len(MARK) :]
        if clock() > self._next_beat:
            self._beat()

    def _beat(self) -> None:
        now = clock()
        if now <= self._next_beat:
            return
        self._next_beat = now + BEAT_EVERY
        beat = self._peer.beat()
        if beat:
            for opened in self._sockets:
                opened.sendall(beat)


class IdleConnections:
    """Connections that do nothing, for the memory of a server.

    Args:
        system: Module with the `RawPeer` of the server.
        port: Where the server listens.
    """

    def __init__(self, system: str, port: int) -> None:
        self._peer = importlib.import_module(f"tests.benchmarks.systems.{system}").RawPeer(port)
        self._opened: list[Any] = []

    def connect(self, count: int) -> None:
        """Open more of them."""
        for _ in range(count):
            self._opened.append(self._peer.connect(f"idle{len(self._opened)}", "idle"))
