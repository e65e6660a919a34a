"""How a thread interrupts the network thread's wait."""

import os
import socket
from typing import Final

_DRAIN: Final = 4096


class Waker:
    """A descriptor that becomes readable when somebody rings.

    `ring` may be called from any thread, signal handler or finalizer, and costs a system call only once between
    two waits.
    """

    __slots__ = ("_rung", "_write_to", "fd")

    def __init__(self) -> None:
        self._rung = False
        if hasattr(os, "eventfd"):
            #: The descriptor to wait for.
            self.fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
            self._write_to = self.fd
        else:
            reader, writer = socket.socketpair()
            reader.setblocking(False)
            writer.setblocking(False)
            self.fd, self._write_to = reader.detach(), writer.detach()

    def ring(self) -> None:
        """Make `fd` readable. After `close` this does nothing."""
        if self._rung:
            return
        self._rung = True
        # Eight bytes in the machine's order are a number for an eventfd, and just bytes for a socket pair.
        try:
            os.write(self._write_to, b"\x01\0\0\0\0\0\0\x01")
        except OSError:
            pass  # full means rung; closed means that nobody waits

    def silence(self) -> None:
        """Take note of the ringing; what was left before it must be looked for after this call."""
        try:
            os.read(self.fd, _DRAIN)
        except BlockingIOError:
            pass
        self._rung = False

    def close(self) -> None:
        """Give the descriptors back. Only the waiting thread may do so, and a forked child for its copies."""
        self._rung = True
        for fd in {self.fd, self._write_to}:
            os.close(fd)
        self.fd = self._write_to = -1
