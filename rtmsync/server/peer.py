"""One accepted socket, plain or under TLS: bytes in, bytes out, and what the socket has not taken yet."""

import contextlib
import socket
import ssl
from collections import deque
from collections.abc import Sequence
from typing import Final

from rtmcore.limits import READ_CHUNK

_JOIN_BYTES: Final = 256 * 1024
"""Waiting pieces are joined up to here, so that many small ones do not cost a system call each."""


class Peer:
    """A socket and its backlog.

    Attributes:
        number: The connection's number at the node.
        socket: The socket, non-blocking.
        backlog: Bytes that the socket had not taken after the last write.
        waits_to_write: Whether the loop is told when the socket can take more.
        closed: Whether `close` was called.
    """

    __slots__ = ("_waiting", "backlog", "closed", "number", "socket", "waits_to_write")

    def __init__(self, number: int, accepted: socket.socket) -> None:
        self.number = number
        self.socket = accepted
        self.backlog = 0
        self.waits_to_write = False
        self.closed = False
        self._waiting: deque[bytes | memoryview] = deque()

    @property
    def has_output(self) -> bool:
        """Whether there are bytes to write that the node did not make."""
        return False

    def receive(self) -> bytes | None:
        """Read once.

        Returns:
            What was read; empty at the end of the stream; None where nothing came out of what was read.

        Raises:
            BlockingIOError: There is nothing to read.
            OSError: The connection is lost.
        """
        raise NotImplementedError

    def send(self, pieces: Sequence[bytes]) -> int:
        """Write what waits and then these pieces, as far as the socket takes them.

        Returns:
            Bytes that wait now.

        Raises:
            OSError: The connection is lost.
        """
        raise NotImplementedError

    def close(self) -> None:
        """Close the socket; waiting bytes are dropped. Idempotent."""
        self.closed = True
        self._waiting.clear()
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()

    def _write(self, data: bytes) -> int:
        waiting = self._waiting
        if data:
            waiting.append(data)
        left = sum(map(len, waiting))
        while waiting:
            piece = waiting.popleft()
            if waiting and len(piece) < _JOIN_BYTES:
                joined = bytearray(piece)
                while waiting and len(joined) + len(waiting[0]) <= _JOIN_BYTES:
                    joined += waiting.popleft()
                piece = bytes(joined)
            try:
                sent = self.socket.send(piece)
            except (BlockingIOError, InterruptedError):
                sent = 0
            left -= sent
            if sent < len(piece):
                waiting.appendleft(memoryview(piece)[sent:])
                return left
        return 0


class PlainPeer(Peer):
    """A socket without TLS."""

    __slots__ = ()

    def receive(self) -> bytes:
        """See `Peer.receive`."""
        return self.socket.recv(READ_CHUNK)

    def send(self, pieces: Sequence[bytes]) -> int:
        """See `Peer.send`."""
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        if self._waiting:
            return self._write(data)
        if not data:
            return 0
        try:
            sent = self.socket.send(data)
        except (BlockingIOError, InterruptedError):
            sent = 0
        left = len(data) - sent
        if left:
            self._waiting.append(memoryview(data)[sent:])
        return left


class TlsPeer(Peer):
    """A socket under TLS: an SSLObject over two memory buffers, one more layer of bytes in and bytes out.

    Args:
        number: The connection's number at the node.
        accepted: The socket, non-blocking.
        context: The server's TLS settings.
    """

    __slots__ = ("_incoming", "_object", "_outgoing", "_ready", "_unsent")

    def __init__(self, number: int, accepted: socket.socket, context: ssl.SSLContext) -> None:
        super().__init__(number, accepted)
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._object = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._ready = False
        self._unsent = bytearray()

    @property
    def has_output(self) -> bool:
        """Whether TLS itself has something to say: its handshake, or an alert."""
        return self._outgoing.pending > 0

    def receive(self) -> bytes | None:
        """See `Peer.receive`."""
        data = self.socket.recv(READ_CHUNK)
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()
        try:
            if not self._ready:
                self._object.do_handshake()
                self._ready = True
            return self._read_all()
        except ssl.SSLWantReadError:
            return None
        except ssl.SSLError:
            self._write(self._outgoing.read())
            raise

    def send(self, pieces: Sequence[bytes]) -> int:
        """See `Peer.send`."""
        self._unsent += b"".join(pieces)
        if self._ready and self._unsent:
            self._object.write(self._unsent)
            self._unsent.clear()
        return self._write(self._outgoing.read()) + len(self._unsent)

    def _read_all(self) -> bytes | None:
        plain = bytearray()
        try:
            while piece := self._object.read(READ_CHUNK):
                plain += piece
        except ssl.SSLWantReadError:
            return bytes(plain) if plain else None
        except ssl.SSLZeroReturnError:
            pass
        return bytes(plain)
