"""One accepted socket, plain or under TLS: bytes in, bytes out, and what the socket has not taken yet."""

import contextlib
import socket
import ssl
from collections import deque
from collections.abc import Sequence
from typing import Final

from rtmcore.errors import TlsError
from rtmsync.driver.tls import TlsLayer

_JOIN_BYTES: Final = 256 * 1024
"""Waiting pieces are joined up to here, so that many small ones do not cost a system call each."""


class Peer:
    """A socket and its backlog.

    Attributes:
        number: The connection's number at the node.
        socket: The socket, non-blocking.
        backlog: Bytes that the socket had not taken after the last write.
        interest: What the loop is told about: when there is something to read, when the socket can take more.
        lingers: Whether `end_output` was called: what still comes is read and forgotten.
        closed: Whether `close` was called.
    """

    __slots__ = ("_waiting", "backlog", "closed", "interest", "lingers", "number", "socket")

    def __init__(self, number: int, accepted: socket.socket) -> None:
        self.number = number
        self.socket = accepted
        self.backlog = 0
        self.interest = 0
        self.lingers = False
        self.closed = False
        self._waiting: deque[bytes | memoryview] = deque()

    @property
    def has_output(self) -> bool:
        """Whether there are bytes to write that the node did not make."""
        return False

    def receive(self, buffer: memoryview) -> bytes | None:
        """Read once.

        Args:
            buffer: What is read into; free again afterwards. The bytes that are kept are no larger than they must be:
                large ones that were cut to size would leave holes in the memory of the process.

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

    def end_output(self) -> None:
        """Tell the client that nothing more comes; it can still be read from."""
        self.lingers = True
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_WR)

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

    def receive(self, buffer: memoryview) -> bytes:
        """See `Peer.receive`."""
        return bytes(buffer[: self.socket.recv_into(buffer)])

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
    """A socket under TLS, which is one more layer of bytes in and bytes out.

    Args:
        number: The connection's number at the node.
        accepted: The socket, non-blocking.
        context: The server's TLS settings.
    """

    __slots__ = ("_early", "_layer")

    def __init__(self, number: int, accepted: socket.socket, context: ssl.SSLContext) -> None:
        super().__init__(number, accepted)
        self._layer = TlsLayer(context, server_side=True)
        self._early = bytearray()  # what the node said before the handshake was done

    @property
    def has_output(self) -> bool:
        """Whether TLS itself has something to say: its handshake, or an alert."""
        return self._layer.has_output

    def receive(self, buffer: memoryview) -> bytes | None:
        """See `Peer.receive`."""
        data = bytes(buffer[: self.socket.recv_into(buffer)])
        if not data:
            return data
        try:
            plain = self._layer.receive(data)
        except TlsError:
            self._write(self._layer.data_to_send())  # the alert that tells the client why
            raise
        return b"" if self._layer.ended and not plain else plain or None

    def send(self, pieces: Sequence[bytes]) -> int:
        """See `Peer.send`."""
        self._early += b"".join(pieces)
        if not self._layer.handshaken or not self._early:
            return self._write(self._layer.data_to_send()) + len(self._early)
        data = bytes(self._early)
        self._early.clear()
        return self._write(self._layer.encrypt(data))
