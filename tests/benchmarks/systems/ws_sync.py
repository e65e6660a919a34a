"""websockets.sync for client and server: bare payloads, an acknowledgement of one byte."""

import os
import threading

from websockets.sync.client import ClientConnection, connect
from websockets.sync.server import ServerConnection, serve

from tests.benchmarks.load import Counter, clock, one_at_a_time, payload

PING_INTERVAL = 20.0
"""The default, which an idle client would have; the others do without, as nothing else is sent then either."""


class Server:
    """Forwards each message of a publisher to the subscribers, then acknowledges it."""

    def __init__(self) -> None:
        self._subscribers: list[ServerConnection] = []
        self._server = serve(self._handle, "127.0.0.1", 0, compression=None, ping_interval=None)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def listen(self) -> list[int]:
        """Port and process id."""
        return [self._server.socket.getsockname()[1], os.getpid()]

    def _handle(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        if connection.request.path == "/subscribe":
            self._subscribers.append(connection)
            connection.send(b"ready")
        for message in connection:
            for subscriber in self._subscribers:
                subscriber.send(message)
            connection.send(b"a")


def _connect(port: int, path: str, ping_interval: float | None = None) -> ClientConnection:
    return connect(f"ws://127.0.0.1:{port}{path}", compression=None, ping_interval=ping_interval)


class Publisher:
    def __init__(self, port: int) -> None:
        self._connection = _connect(port, "/publish")

    def one_at_a_time(self, size: int, seconds: float) -> dict[str, float]:
        body, connection = payload(size), self._connection

        def send() -> None:
            connection.send(body)
            connection.recv(10)

        return one_at_a_time(send, seconds)

    def windowed(self, size: int, window: int, seconds: float) -> dict[str, float]:
        body, send, receive = payload(size), self._connection.send, self._connection.recv
        sent = acknowledged = 0
        start = clock()
        end = start + seconds
        while not sent or clock() < end:
            if sent - acknowledged == window:
                receive(10)
                acknowledged += 1
            send(body)
            sent += 1
        while acknowledged < sent:
            receive(10)
            acknowledged += 1
        return {"count": sent, "start": start}


class Subscriber(Counter):
    def __init__(self, port: int) -> None:
        super().__init__()
        self._connection = _connect(port, "/subscribe")
        self._connection.recv(10)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for _ in self._connection:
            self.add()


class IdleClients:
    """Many clients of one process."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._connections: list[ClientConnection] = []

    def connect(self, count: int) -> int:
        """Open more clients.

        Returns:
            Threads of the process.
        """
        self._connections += [_connect(self._port, "/idle", PING_INTERVAL) for _ in range(count)]
        return threading.active_count()
