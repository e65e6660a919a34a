"""Both ends of connections through a fault proxy, in the test's own hands."""

import random
import select
import socket
import struct
import threading

import attrs

from rtmsync.testing import FaultProxy, LogEntry

DEADLINE = 30.0
QUIET = 0.15
"""Seconds in which nothing arrives where something would have arrived at once."""


class Upstream:
    """A server whose side of each connection is in the test's own hands."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(DEADLINE)
        self.port: int = self._listener.getsockname()[1]
        self._sockets: list[socket.socket] = []

    def accept(self) -> socket.socket:
        sock, _ = self._listener.accept()
        return self.keep(sock)

    def keep(self, sock: socket.socket) -> socket.socket:
        sock.settimeout(DEADLINE)
        self._sockets.append(sock)
        return sock

    def has_caller(self) -> bool:
        return bool(select.select([self._listener], [], [], QUIET)[0])

    def stop_listening(self) -> None:
        self._listener.close()

    def close(self) -> None:
        for sock in [self._listener, *self._sockets]:
            sock.close()


@attrs.define
class Scene:
    """A proxy, what stands behind it, and connections through it."""

    upstream: Upstream
    proxy: FaultProxy

    def connect(self) -> socket.socket:
        return self.upstream.keep(socket.create_connection(("127.0.0.1", self.proxy.port), DEADLINE))

    def pair(self) -> tuple[socket.socket, socket.socket]:
        """Both ends of one connection: the client's and the server's."""
        client = self.connect()
        return client, self.upstream.accept()


def receive(sock: socket.socket, count: int) -> bytes:
    data = bytearray()
    while len(data) < count:
        piece = sock.recv(count - len(data))
        assert piece, f"ended after {bytes(data)!r}"
        data += piece
    return bytes(data)


def receive_all(sock: socket.socket) -> tuple[bytes, str]:
    """Everything up to the end, and whether that was ``fin`` or ``rst``."""
    data = bytearray()
    try:
        while piece := sock.recv(1 << 16):
            data += piece
    except ConnectionResetError:
        return bytes(data), "rst"
    return bytes(data), "fin"


def is_silent(*socks: socket.socket) -> bool:
    return not select.select(socks, [], [], QUIET)[0]


def connect_and_receive_all(scene: Scene) -> tuple[bytes, str]:
    """The same for a connection that may be reset before connecting has returned."""
    try:
        client = scene.connect()
    except ConnectionResetError:
        return b"", "rst"
    return receive_all(client)


def send_until_blocked(sock: socket.socket, at_most: int) -> int:
    """Send until the kernel has taken nothing for a while."""
    sock.setblocking(False)
    sent = 0
    while sent < at_most and select.select([], [sock], [], QUIET)[1]:
        try:
            sent += sock.send(bytes(min(1 << 16, at_most - sent)))
        except BlockingIOError:
            continue
    sock.settimeout(DEADLINE)
    return sent


def send_in_background(sock: socket.socket, data: bytes) -> threading.Thread:
    def send() -> None:
        try:
            sock.sendall(data)
        except OSError:
            pass  # the connection is meant to be cut

    thread = threading.Thread(target=send)
    thread.start()
    return thread


def reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def noise(size: int, seed: int) -> bytes:
    print(f"noise seed {seed}")
    return random.Random(seed).randbytes(size)


def happened(proxy: FaultProxy, what: str) -> list[LogEntry]:
    return [entry for entry in proxy.log if entry.what == what]
