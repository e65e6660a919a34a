"""What the fault proxy asks of TCP sockets beyond reading and writing."""

import fcntl
import select
import socket
import struct
import termios
from typing import Any, TypeAlias

#: A family and what `connect` takes in it.
Address: TypeAlias = tuple[socket.AddressFamily, Any]

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


def resolve(host: str, port: int) -> list[Address]:
    """Look a name up, which may take its time.

    Raises:
        OSError: The name does not resolve.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [(family, address) for family, _, _, _, address in found]


def bound(port: int) -> socket.socket:
    """Make a socket on a port of 127.0.0.1, 0 for any, beside others of this process on the same port.

    Raises:
        OSError: The port is taken, or there is no descriptor left.
    """
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", port))
    except OSError:
        sock.close()
        raise
    return sock


def reset(sock: socket.socket) -> None:
    """Close a socket so that its peer sees a reset; what has not arrived is lost."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    except OSError:
        pass
    sock.close()


def unacknowledged(sock: socket.socket) -> int:
    """Count the bytes that were written and have not arrived; 0 where the system does not tell."""
    try:
        answer = fcntl.ioctl(sock, termios.TIOCOUTQ, struct.pack("i", 0))
    except OSError:
        return 0
    return int(struct.unpack("i", answer)[0])


def given_up(sock: socket.socket) -> bool:
    """Whether the peer has ended its side, even behind bytes that have not been read; False where unknown."""
    poll = select.poll()
    poll.register(sock, getattr(select, "POLLRDHUP", 0))
    return bool(poll.poll(0))
