"""One connection to a server over HTTP, used by the thread that asks."""

import contextlib
import os
import socket
import ssl
from collections.abc import Sequence
from typing import Any, Protocol

from rtmcore.client.config import Endpoint
from rtmcore.errors import ConnectionFailed, TlsError
from rtmcore.limits import READ_CHUNK
from rtmcore.wire.exchange import HttpClientConnection, HttpFailed, HttpResponse
from rtmsync.driver.clock import Deadline
from rtmsync.driver.helpers import addresses_of, unresolved
from rtmsync.driver.tls import TlsConfig


class Line(Protocol):
    """A connection over which one asks and is answered."""

    @property
    def http(self) -> HttpClientConnection:
        """Its protocol."""

    def ask(
        self, method: str, target: str, headers: list[tuple[str, str]], body: bytes | None, budget: Deadline
    ) -> HttpResponse:
        """One request and its answer; see `HttpLine`."""

    def close(self) -> None:
        """End the connection."""

    def abandon(self) -> None:
        """In a forked child: give back what was inherited without a word on the connection."""


class HttpLine:
    """One connection to a server.

    Args:
        endpoint: Where the server is.
        tls: How to recognise it.
        budget: The time that there is to connect.

    Raises:
        ConnectionFailed: It cannot be reached.
        TlsError: It is not the one that was meant.
        TimeoutError: The time is up.
    """

    def __init__(self, endpoint: Endpoint, tls: TlsConfig | ssl.SSLContext | None, budget: Deadline) -> None:
        self.http = HttpClientConnection(endpoint.authority)
        self.sock = _connect(endpoint, budget)
        if endpoint.tls:
            try:
                self.sock.settimeout(_left(budget))
                self.sock = _secured(self.sock, endpoint, tls)
            except BaseException:
                self.sock.close()
                raise

    def ask(
        self, method: str, target: str, headers: list[tuple[str, str]], body: bytes | None, budget: Deadline
    ) -> HttpResponse:
        """One request and its answer.

        Raises:
            OSError: The connection broke, or the time is up (TimeoutError).
            ConnectionFailed: What came is no answer.
        """
        self.http.request(method, target, headers, body)
        data = b"".join(self.http.data_to_send())
        while data:
            self.sock.settimeout(_left(budget))
            data = data[self.sock.send(data) :]
        while True:
            self.sock.settimeout(_left(budget))
            piece = self.sock.recv(READ_CHUNK)
            if piece:
                self.http.receive_data(piece)
            else:
                self.http.receive_eof()
            event = self.http.next_event()
            if isinstance(event, HttpResponse):
                return event
            if isinstance(event, HttpFailed):
                raise ConnectionFailed(f"The server's answer cannot be read: {event.what}.")

    def close(self) -> None:
        """End the connection."""
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()

    def abandon(self) -> None:
        """In a forked child: give the descriptor back without a word on the connection."""
        descriptor = self.sock.detach()
        if descriptor >= 0:
            os.close(descriptor)


def _left(budget: Deadline) -> float:
    left = budget.remaining()
    if not left:
        raise TimeoutError
    return left


def _connect(endpoint: Endpoint, budget: Deadline) -> socket.socket:
    try:
        addresses: Sequence[Any] = addresses_of(endpoint.host, endpoint.port)
    except OSError as error:
        raise unresolved(endpoint.host, error) from error
    failure: OSError | None = None
    for family, address in addresses:
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.settimeout(_left(budget))
            sock.connect(address)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return sock
        except TimeoutError:
            sock.close()
            raise
        except OSError as error:
            sock.close()
            failure = error
        except BaseException:
            sock.close()
            raise
    reason = "there is no address" if failure is None else failure.strerror
    raise ConnectionFailed(
        f"Cannot connect to {endpoint.authority}: {reason}.",
        hint="Check host and port, that the server runs, and that no firewall is in the way.",
    ) from failure


def _secured(
    sock: socket.socket, endpoint: Endpoint, tls: TlsConfig | ssl.SSLContext | None
) -> ssl.SSLSocket:
    config = tls if isinstance(tls, TlsConfig) else TlsConfig()
    context = tls if isinstance(tls, ssl.SSLContext) else config.context()
    try:
        return context.wrap_socket(sock, server_hostname=config.server_hostname or endpoint.host)
    except TimeoutError:
        raise
    except (ssl.SSLError, ValueError) as error:
        raise TlsError(f"No TLS with {endpoint.authority}: {error}.") from error
