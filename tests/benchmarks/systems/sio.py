"""python-socketio in threading mode: Werkzeug and simple-websocket, events acknowledged by callback."""

import os
import threading
from typing import Any

import socketio
from werkzeug.serving import make_server

from tests.benchmarks.load import Counter, clock, one_at_a_time, payload

_TIMEOUT = 30.0


class Server:
    """Emits each message of a publisher to a room, then acknowledges it."""

    def __init__(self) -> None:
        server = socketio.Server(async_mode="threading", async_handlers=False, cors_allowed_origins="*")

        @server.event  # type: ignore[untyped-decorator]
        def subscribe(sid: str) -> str:
            server.enter_room(sid, "bench")
            return "ready"

        @server.event  # type: ignore[untyped-decorator]
        def message(sid: str, body: bytes) -> str:
            server.emit("message", body, room="bench", skip_sid=sid)
            return "a"

        self._http = make_server("127.0.0.1", 0, socketio.WSGIApp(server), threaded=True)
        threading.Thread(target=self._http.serve_forever, daemon=True).start()

    def listen(self) -> list[int]:
        """Port and process id."""
        return [self._http.server_port, os.getpid()]


def _connect(port: int) -> Any:
    client = socketio.Client(reconnection=False)
    client.connect(f"http://127.0.0.1:{port}", transports=["websocket"], wait_timeout=_TIMEOUT)
    return client


class Publisher:
    def __init__(self, port: int) -> None:
        self._client = _connect(port)

    def one_at_a_time(self, size: int, seconds: float) -> dict[str, float]:
        body, call = payload(size), self._client.call
        return one_at_a_time(lambda: call("message", body, timeout=_TIMEOUT), seconds)

    def windowed(self, size: int, window: int, seconds: float) -> dict[str, float]:
        body, emit = payload(size), self._client.emit
        slots = threading.Semaphore(window)
        start = clock()
        end = start + seconds
        sent = 0
        while not sent or clock() < end:
            slots.acquire()
            emit("message", body, callback=lambda *_: slots.release())
            sent += 1
        for _ in range(window):
            if not slots.acquire(timeout=_TIMEOUT):
                raise TimeoutError("an acknowledgement is missing")
        return {"count": sent, "start": start}


class Subscriber(Counter):
    def __init__(self, port: int) -> None:
        super().__init__()
        self._client = _connect(port)
        self._client.on("message", self.add)
        self._client.call("subscribe", timeout=_TIMEOUT)


class IdleClients:
    """Many clients of one process."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._clients: list[Any] = []

    def connect(self, count: int) -> int:
        """Open more clients.

        Returns:
            Threads of the process.
        """
        self._clients += [_connect(self._port) for _ in range(count)]
        return threading.active_count()
