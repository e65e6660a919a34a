"""TCP connections without waiting: every address of a name is tried, each with a head start over the next."""

import errno
import os
import socket
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Final, TypeAlias

from rtmcore.errors import ConnectionFailed
from rtmcore.limits import ADDRESS_STAGGER

Address: TypeAlias = tuple[socket.AddressFamily, Any]
"""A family and what `connect` takes in it."""

# Without it, writing to a closed connection kills a process that has SIGPIPE on its default, as many tools do.
_NO_SIGNAL: Final[int] = getattr(socket, "MSG_NOSIGNAL", 0)
_UNDER_WAY: Final = frozenset({errno.EINPROGRESS, errno.EWOULDBLOCK, errno.EINTR})


class OpenSockets:
    """The sockets that a client has, so that a forked child can close its copies.

    Changes by single set operations: a child inherits it as it was between two of them.
    """

    __slots__ = ("_sockets",)

    def __init__(self) -> None:
        self._sockets: set[socket.socket] = set()

    def make(self, family: socket.AddressFamily) -> socket.socket:
        """A new non-blocking TCP socket.

        Raises:
            OSError: There is no descriptor left, or no such family.
        """
        sock = socket.socket(family, socket.SOCK_STREAM)
        self._sockets.add(sock)
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    def close(self, sock: socket.socket) -> None:
        """End a connection and give its descriptor back.

        The connection itself is shut down first: a forked child may hold a copy of the descriptor, and closing
        only this one would leave the server with a connection that seems alive.
        """
        try:
            sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # it was never connected, or is over
        sock.close()
        self._sockets.discard(sock)

    def close_copies(self) -> None:
        """In a forked child: give the inherited descriptors back without a word on the connections."""
        while self._sockets:
            fd = self._sockets.pop().detach()
            if fd >= 0:
                os.close(fd)


def send(sock: socket.socket, data: bytes | memoryview) -> int:
    """Write what the socket takes without waiting.

    Returns:
        How many bytes it took.

    Raises:
        OSError: The connection is broken.
    """
    try:
        return sock.send(data, _NO_SIGNAL)
    except (BlockingIOError, InterruptedError):
        return 0


def in_turns(addresses: Iterable[Address]) -> list[Address]:
    """Put addresses of the two families in turns, the first one's family first (RFC 8305 section 4)."""
    rest = list(addresses)
    ordered: list[Address] = []
    while rest:
        last = ordered[-1][0] if ordered else None
        following = next((address for address in rest if address[0] != last), rest[0])
        rest.remove(following)
        ordered.append(following)
    return ordered


class Dialer:
    """Connects to the first address that answers.

    An address that fails hands over to the next at once; one that is silent gets company after
    `limits.ADDRESS_STAGGER` seconds.

    Args:
        target: What is being connected to, for errors: ``host:port``.
        addresses: At least one, in the order of preference.
        sockets: Where sockets are made.
        watch: Told each socket whose becoming writable matters, and each for which it no longer does (False).

    Attributes:
        connected: The connection, once there is one; it belongs to the caller.
        error: Why there will be none.
    """

    __slots__ = (
        "_errors",
        "_next_at",
        "_pending",
        "_rest",
        "_sockets",
        "_target",
        "_watch",
        "connected",
        "error",
    )

    def __init__(
        self,
        target: str,
        addresses: Iterable[Address],
        sockets: OpenSockets,
        watch: Callable[[socket.socket, bool], None],
    ) -> None:
        self._target = target
        self._rest = deque(in_turns(addresses))
        self._sockets = sockets
        self._watch = watch
        self._pending: dict[int, tuple[socket.socket, Any]] = {}
        self._errors: list[tuple[Any, OSError]] = []
        self._next_at: float | None = None
        self.connected: socket.socket | None = None
        self.error: ConnectionFailed | None = None

    def start(self, now: float) -> None:
        """Begin with the first address. Look at `connected` and `error` afterwards, as after each call."""
        self._try_next(now)

    def next_deadline(self) -> float | None:
        """When `handle_timer` must be called, in seconds of the drivers' clock, or None."""
        return self._next_at

    def handle_timer(self, now: float) -> None:
        """Start the next address where the last one has been silent for long enough."""
        if self._next_at is not None and now >= self._next_at:
            self._try_next(now)

    def writable(self, fd: int, now: float) -> None:
        """Take note that the attempt on a descriptor has ended, well or not."""
        attempt = self._pending.pop(fd, None)
        if attempt is None:
            return
        sock, address = attempt
        self._watch(sock, False)
        number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number == 0:
            self._win(sock)
        else:
            self._lose(sock, address, OSError(number, os.strerror(number)), now)

    def stop(self) -> None:
        """Give up, except for a connection that is there already."""
        self._next_at = None
        self._rest.clear()
        for sock, _ in self._pending.values():
            self._watch(sock, False)
            self._sockets.close(sock)
        self._pending.clear()

    def _try_next(self, now: float) -> None:
        self._next_at = None
        while self._rest and self.connected is None:
            family, address = self._rest.popleft()
            sock: socket.socket | None = None
            try:
                sock = self._sockets.make(family)
                number = sock.connect_ex(address)
            except OSError as error:
                self._forget(sock, address, error)
                continue
            if number == 0:
                self._win(sock)
            elif number in _UNDER_WAY:
                self._pending[sock.fileno()] = (sock, address)
                self._watch(sock, True)
                if self._rest:
                    self._next_at = now + ADDRESS_STAGGER
                return
            else:
                self._forget(sock, address, OSError(number, os.strerror(number)))
        if self.connected is None and not self._pending:
            self.error = self._explained()

    def _win(self, sock: socket.socket) -> None:
        self.connected = sock
        self.stop()

    def _lose(self, sock: socket.socket, address: Any, error: OSError, now: float) -> None:
        self._forget(sock, address, error)
        if self._rest:
            self._try_next(now)
        elif not self._pending:
            self.error = self._explained()

    def _forget(self, sock: socket.socket | None, address: Any, error: OSError) -> None:
        self._errors.append((address, error))
        if sock is not None:
            self._sockets.close(sock)

    def _explained(self) -> ConnectionFailed:
        tried = "; ".join(f"{address[0]}: {error.strerror or error}" for address, error in self._errors)
        failure = ConnectionFailed(
            f"No connection to {self._target} ({tried or 'no address'}).",
            hint="Check host and port, that the server runs, and that no firewall is in the way.",
        )
        failure.__cause__ = self._errors[-1][1] if self._errors else None
        return failure
