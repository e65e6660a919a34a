"""One connection to the server: its way there, its sockets, and the bytes that wait to be written."""

import enum
import select
import socket
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, Protocol

from rtmcore.errors import ConnectionFailed, RtmError
from rtmcore.limits import READ_CHUNK
from rtmcore.wire.proxy import ProxyConnect
from rtmsync.driver.proxies import ProxyAddress
from rtmsync.driver.sockets import Address, Dialer, OpenSockets, send

if TYPE_CHECKING:
    import ssl

    from rtmsync.driver.tls import TlsLayer

READABLE: Final = select.POLLIN
WRITABLE: Final = select.POLLOUT


class LinkEvents(Protocol):
    """The inputs of a core that a connection feeds."""

    def transport_opened(self, id: int, now: float) -> None:
        """Bytes can be sent."""

    def receive_data(self, id: int, data: bytes, now: float) -> None:
        """Bytes came."""

    def receive_eof(self, id: int, now: float) -> None:
        """No more bytes will come."""


class Phase(enum.Enum):
    """How far a connection has come."""

    RESOLVING = "resolving"
    DIALING = "dialing"
    PROXY = "proxy"
    TLS = "tls"
    OPEN = "open"
    OVER = "over"


class Link:
    """One connection, from the name of the server to its last byte.

    `write` may be called by any thread that holds the client's lock, everything else by the network thread only,
    with the lock, except for `read`.

    Args:
        id: The core's number for it.
        host: The server's name or address.
        port: The server's port.
        tls: An SSL context and the name that the server must prove; None for a plain connection.
        proxy: On the way, or None.
        core: Gets what happens.
        failed: Told when the connection does not come about, or breaks.
        sockets: Where sockets are made.
        watch: Told for a descriptor what matters about it: a mask of `READABLE` and `WRITABLE`, or 0.
        leftovers: Called when bytes did not fit, or the connection broke while writing: the network thread must look.

    Attributes:
        backlog: Bytes made that the socket has not taken.
        broken: Why nothing can be read or written any more.
        ended: Whether the server has ended its side.
        opened_at: When bytes could be sent first; None before.
        received: Bytes read.
        sent: Bytes written.
    """

    __slots__ = (
        "_context",
        "_core",
        "_dialer",
        "_failed",
        "_leftovers",
        "_output",
        "_proxy",
        "_proxy_connect",
        "_sockets",
        "_tls",
        "_watch",
        "backlog",
        "broken",
        "ended",
        "fd",
        "host",
        "id",
        "opened_at",
        "phase",
        "port",
        "received",
        "sent",
        "sock",
    )

    def __init__(
        self,
        id: int,
        host: str,
        port: int,
        *,
        tls: "tuple[ssl.SSLContext, str] | None",
        proxy: ProxyAddress | None,
        core: LinkEvents,
        failed: Callable[[int, RtmError, float], None],
        sockets: OpenSockets,
        watch: Callable[[int, "Link", int], None],
        leftovers: Callable[[], None],
    ) -> None:
        self.id: Final = id
        self.host: Final = host
        self.port: Final = port
        self._context = tls
        self._proxy = proxy
        self._core = core
        self._failed = failed
        self._sockets = sockets
        self._watch = watch
        self._leftovers = leftovers
        self._dialer: Dialer | None = None
        self._proxy_connect: ProxyConnect | None = None
        self._tls: TlsLayer | None = None
        self._output: list[bytes | memoryview] = []
        self.phase = Phase.RESOLVING
        self.sock: socket.socket | None = None
        self.fd = -1
        self.broken: OSError | RtmError | None = None
        self.ended = False
        self.opened_at: float | None = None
        self.backlog = 0
        self.received = 0
        self.sent = 0

    @property
    def first_hop(self) -> tuple[str, int]:
        """Whose name must be resolved: the proxy's or the server's."""
        return (self.host, self.port) if self._proxy is None else (self._proxy.host, self._proxy.port)

    # --- The way to the server ----------------------------------------------------------------------------------

    def resolved(self, addresses: Sequence[Address], now: float) -> None:
        """Connect to one of these addresses."""
        host, port = self.first_hop
        target = f"{host}:{port}" if self._proxy is None else f"the proxy {host}:{port}"

        def watch(sock: socket.socket, wanted: bool) -> None:
            self._watch(sock.fileno(), self, WRITABLE if wanted else 0)

        self.phase = Phase.DIALING
        self._dialer = Dialer(target, addresses, self._sockets, watch)
        self._dialer.start(now)
        self._look_at_dialer(now)

    def next_deadline(self) -> float | None:
        """When `handle_timer` must be called, or None."""
        return None if self._dialer is None else self._dialer.next_deadline()

    def handle_timer(self, now: float) -> None:
        """Go on to the next address where it is time."""
        if self._dialer is not None:
            self._dialer.handle_timer(now)
            self._look_at_dialer(now)

    def fail(self, error: RtmError, now: float) -> None:
        """Give up, and say why."""
        if self.phase is not Phase.OVER:
            self.close()
            self._failed(self.id, error, now)

    def _look_at_dialer(self, now: float) -> None:
        dialer = self._dialer
        if dialer is None:
            return
        if dialer.error is not None:
            self._dialer = None
            self.fail(dialer.error, now)
        elif dialer.connected is not None:
            self._dialer = None
            self.sock = dialer.connected
            self.fd = self.sock.fileno()
            self._watch(self.fd, self, READABLE)
            self._connected(now)

    def _connected(self, now: float) -> None:
        if self._proxy is not None:
            self.phase = Phase.PROXY
            try:
                self._proxy_connect = ProxyConnect(
                    self.host, self.port, username=self._proxy.username, password=self._proxy.password
                )
            except RtmError as error:
                self.fail(error, now)
                return
            self._write_now(self._proxy_connect.request())
        else:
            self._secure(now)

    def _secure(self, now: float) -> None:
        if self._context is None:
            self._open(now)
            return
        from rtmsync.driver.tls import TlsLayer

        self.phase = Phase.TLS
        context, name = self._context
        try:
            self._tls = TlsLayer(context, server_hostname=name)
            self._tls.receive(b"")
        except (RtmError, ValueError) as error:
            self.fail(error if isinstance(error, RtmError) else ConnectionFailed(str(error)), now)
            return
        self._write_now(self._tls.data_to_send())

    def _open(self, now: float) -> None:
        self.phase = Phase.OPEN
        self.opened_at = now
        self._core.transport_opened(self.id, now)

    # --- Bytes in -----------------------------------------------------------------------------------------------

    def read(self) -> bytes | OSError | None:
        """Read what has come; needs no lock.

        Returns:
            Bytes, empty at their end; the error that broke the connection; or None where there is nothing.
        """
        if self.sock is None:
            return None
        try:
            return self.sock.recv(READ_CHUNK)
        except (BlockingIOError, InterruptedError):
            return None
        except OSError as error:
            return error

    def feed(self, data: bytes | OSError, now: float) -> None:
        """Take what `read` returned."""
        if self.phase is Phase.OVER:
            return
        if isinstance(data, OSError):
            self.broken = data
            self.check(now)
        elif data:
            self.received += len(data)
            self._receive(data, now)
        else:
            self._receive_eof(now)

    def _receive(self, data: bytes, now: float) -> None:
        if self.phase is Phase.PROXY and self._proxy_connect is not None:
            try:
                if not self._proxy_connect.receive(data):
                    return
            except RtmError as error:
                self.fail(error, now)
                return
            data = self._proxy_connect.trailing
            self._proxy_connect = None
            self._secure(now)
        if self._tls is not None and self.phase is not Phase.OVER:
            data = self._decrypt(self._tls, data, now)
        if data and self.phase is Phase.OPEN:
            self._core.receive_data(self.id, data, now)
        if self._tls is not None and self._tls.ended and self.phase is Phase.OPEN:
            self._core.receive_eof(self.id, now)

    def _decrypt(self, tls: "TlsLayer", data: bytes, now: float) -> bytes:
        try:
            plain = tls.receive(data)
        except RtmError as error:
            self._write_now(tls.data_to_send())  # the alert that tells the server why
            self.fail(error, now)
            return b""
        self._write_now(tls.data_to_send())
        if self.phase is Phase.TLS and tls.handshaken:
            self._open(now)
        return plain

    def _receive_eof(self, now: float) -> None:
        if self.phase is Phase.OPEN:
            self.ended = True
            self._core.receive_eof(self.id, now)
            return
        try:
            if self._proxy_connect is not None:
                self._proxy_connect.receive_eof()
        except RtmError as error:
            self.fail(error, now)
            return
        where = "during the TLS handshake" if self.phase is Phase.TLS else "at once"
        self.fail(ConnectionFailed(f"{self.host}:{self.port} closed the connection {where}."), now)

    # --- Bytes out ----------------------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Write bytes of the core, now if nothing waits and as far as the socket takes them."""
        if self.phase is not Phase.OPEN or self.broken is not None:
            return
        if self._tls is not None:
            try:
                data = self._tls.encrypt(data)
            except RtmError as error:
                self.broken = error
                self._leftovers()
                return
        self._write_now(data)

    def _write_now(self, data: bytes) -> None:
        if not data or self.sock is None or self.broken is not None:
            return
        taken = 0
        if not self._output:
            try:
                taken = send(self.sock, data)
            except OSError as error:
                self.broken = error
                self._leftovers()
                return
            self.sent += taken
            if taken == len(data):
                return
            self._leftovers()
        self._output.append(memoryview(data)[taken:] if taken else data)
        self.backlog += len(data) - taken

    def ready(self, fd: int, now: float) -> None:
        """Take note that a descriptor of this link has become writable, or broken."""
        if fd == self.fd:
            self.flush()
        elif self._dialer is not None:
            self._dialer.writable(fd, now)
            self._look_at_dialer(now)

    def flush(self) -> None:
        """Write what was left over."""
        output = self._output
        while output and self.sock is not None and self.broken is None:
            piece = output[0]
            try:
                taken = send(self.sock, piece)
            except OSError as error:
                self.broken = error
                return
            self.sent += taken
            self.backlog -= taken
            if taken < len(piece):
                output[0] = memoryview(piece)[taken:]
                return
            del output[0]

    def check(self, now: float) -> None:
        """Tell the core where the connection broke, and say what matters about the descriptor now."""
        if self.broken is not None:
            error = self.broken
            if isinstance(error, OSError):
                cause = error
                error = ConnectionFailed(
                    f"The connection to {self.host}:{self.port} broke: {cause.strerror or cause}."
                )
                error.__cause__ = cause
            self.fail(error, now)
        elif self.sock is not None:
            # A connection that has ended stays readable for ever, and has nothing to read.
            mask = 0 if self.ended else READABLE
            self._watch(self.fd, self, mask | WRITABLE if self._output else mask)

    def close(self) -> None:
        """Close the sockets; what was not written by now is lost."""
        self.phase = Phase.OVER
        if self._dialer is not None:
            self._dialer.stop()
            self._dialer = None
        if self.sock is not None:
            if self._tls is not None and self._tls.handshaken and not self._output and self.broken is None:
                self._tls.end()
                self._write_now(self._tls.data_to_send())
            self._watch(self.fd, self, 0)
            self._sockets.close(self.sock)
            self.sock = None
        self._output.clear()
        self.backlog = 0
