"""websockets.asyncio as a server that broadcasts; its clients are raw sockets."""

import asyncio
import base64
import os
import socket
import threading

from websockets.asyncio.server import ServerConnection, broadcast, serve

_TIMEOUT = 30.0


class Server:
    """Hands each message of a publisher to `broadcast`, then acknowledges it with one byte."""

    def __init__(self) -> None:
        self._port = 0
        self._subscribers: set[ServerConnection] = set()
        self._listening = threading.Event()
        threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True).start()

    def listen(self) -> list[int]:
        """Port and process id."""
        if not self._listening.wait(_TIMEOUT):
            raise TimeoutError("the server does not listen")
        return [self._port, os.getpid()]

    async def _serve(self) -> None:
        async with serve(self._handle, "127.0.0.1", 0, compression=None, ping_interval=None) as server:
            self._port = next(iter(server.sockets)).getsockname()[1]
            self._listening.set()
            await server.serve_forever()

    async def _handle(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        if connection.request.path == "/subscriber":
            self._subscribers.add(connection)
            await connection.send(b"ready")
        async for message in connection:
            broadcast(self._subscribers, message)
            await connection.send(b"a")


class RawPeer:
    """Speaks as little WebSocket as a subscriber and a publisher need."""

    def __init__(self, port: int) -> None:
        self._port = port

    def connect(self, name: str, role: str) -> socket.socket:
        opened = socket.create_connection(("127.0.0.1", self._port), _TIMEOUT)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        key = base64.b64encode(os.urandom(16)).decode()
        opened.sendall(
            f"GET /{role} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        _read_past(opened, b"ready" if role == "subscriber" else b"\r\n\r\n")
        return opened

    def messages(self, bodies: list[bytes]) -> bytes:
        return b"".join(masked_frame(body) for body in bodies)

    def beat(self) -> bytes:
        return b""


def masked_frame(body: bytes) -> bytes:
    """A client's binary message under the mask of four zeros, which a server has to apply all the same."""
    size = len(body)
    if size < 126:
        length = bytes((0x80 | size,))
    elif size < 1 << 16:
        length = b"\xfe" + size.to_bytes(2, "big")
    else:
        length = b"\xff" + size.to_bytes(8, "big")
    return b"\x82" + length + b"\0\0\0\0" + body


def _read_past(opened: socket.socket, end: bytes) -> None:
    data = b""
    while end not in data:
        piece = opened.recv(65536)
        if not piece:
            raise ConnectionError("the server closed the connection")
        data += piece
