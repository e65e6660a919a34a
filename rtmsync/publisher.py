"""Sending without a session: for web applications and scripts that have something to say and nothing to hear."""

import base64
import contextlib
import enum
import json
import os
import secrets
import socket
import ssl
import threading
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlencode

from rtmcore.client.config import Endpoint
from rtmcore.codes import ChannelMemberCountError, SendChannelMessageError, SendPeerMessageError
from rtmcore.errors import (
    ClientClosed,
    ConnectionFailed,
    InvalidAppId,
    InvalidArgument,
    NotAuthorized,
    RequestTimeout,
    RtmError,
    ServerFailure,
    TlsError,
    error_for,
)
from rtmcore.limits import BAN_TIMEOUT, OPERATION_TIMEOUT, READ_CHUNK, SEND_TIMEOUT
from rtmcore.wire.exchange import HttpClientConnection, HttpFailed, HttpResponse
from rtmsync.config import Secret
from rtmsync.driver.clock import Deadline, Timeout, seconds_of
from rtmsync.driver.helpers import addresses_of, unresolved
from rtmsync.driver.tls import TlsConfig

if TYPE_CHECKING:
    from typing_extensions import Self

_FAMILIES: Final[dict[str, type[enum.IntEnum]]] = {
    family.__name__: family
    for family in (SendPeerMessageError, SendChannelMessageError, ChannelMemberCountError)
}
_KEY_BYTES: Final = 16
_ANSWERED_WITHIN: Final = 1.0
"""Seconds of the network besides those for which the server waits for the peer."""


class PublishStatus(enum.Enum):
    """What became of a message that a `Publisher` sent to a user."""

    SENT = "message_sent"
    """He is online, and the server has it for him."""
    DELIVERED = "message_delivered"
    """His client has acknowledged it."""
    CACHED = "message_cached"
    """He is offline, and it is stored."""
    PEER_UNREACHABLE = "peer_offline"
    """He is offline, and it is not stored."""


class _Line:
    """One connection to the server."""

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


class Publisher:
    """Sends messages with a server key, for any user, without a session and without a thread.

    Each call is one HTTP request. The connection is kept and made anew where the server has closed it meanwhile; a
    repeated request is carried out once. Several threads may share a publisher: their calls take turns. A forked
    child makes a connection of its own. Proxies are not used, and the look-up of the server's name takes the time
    that the system takes for it.

    ```python
    with rtmsync.Publisher("wss://rtm.example.com", app_id=APP, server_key=KEY) as publisher:
        publisher.send_peer("alice", "your order is ready", sender="shop", offline=True)
    ```

    Args:
        url: Of the server, as clients have it: ``ws://…`` or ``wss://…``.
        app_id: The app id, 32 characters.
        server_key: The key that the server has for this app. Shown as ``***``.
        tls: How to recognise the server; by default with the system's certificates.

    Raises:
        InvalidArgument: A value is not possible.
    """

    def __init__(
        self, url: str, *, app_id: str, server_key: str, tls: TlsConfig | ssl.SSLContext | None = None
    ) -> None:
        self._endpoint = Endpoint.parse(url)
        if not isinstance(server_key, str) or not server_key.isascii() or not server_key.isprintable():
            raise InvalidArgument(
                "The server key is a text of visible ASCII characters.", operation="publisher"
            )
        self._key = Secret(server_key)
        self._base = f"/rtm/v1/apps/{_quoted(app_id)}"
        self._tls = tls
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._line: _Line | None = None
        self._closed = False

    # --- Messages -----------------------------------------------------------------

    def send_peer(
        self,
        user: str,
        message: str | bytes,
        *,
        sender: str,
        offline: bool = False,
        ttl: float | None = None,
        history: bool = False,
        wait_for_ack: bool = False,
        idempotency_key: str | None = None,
        timeout: Timeout = None,
    ) -> PublishStatus:
        """Send a message to a user.

        Args:
            user: The receiver.
            message: Text, or bytes as they are; not empty, at most 32 KiB.
            sender: Who it comes from; he need not be logged in.
            offline: Store the message where the receiver is offline, for up to 7 days.
            ttl: Seconds after which a stored message is dropped instead, above 0 and up to 604,800.
            history: Keep a text in the history for 7 days.
            wait_for_ack: Wait until the receiver's client has acknowledged it, for up to 10 s.
            idempotency_key: At most 128 visible ASCII characters. Within 120 s, another call with the same one sends
                nothing and has the first one's result. By default, each call has one of its own.
            timeout: Seconds in all, 11 by default.

        Returns:
            What became of it.

        Raises:
            RtmError: With a `SendPeerMessageError` as its code: InvalidArgument, RateLimited (above 500 in 1 s for the
                app), RequestTimeout (see its `outcome_unknown`), …
            NotAuthorized: The server key is wrong.
            ConnectionFailed: The server cannot be reached.
        """
        document = {"destination": user, "offline": offline, "history": history, "wait_for_ack": wait_for_ack}
        document.update(_message(message))
        if ttl is not None:
            document["ttl"] = ttl
        budget = Deadline(seconds_of(timeout, SEND_TIMEOUT + _ANSWERED_WITHIN))
        path = f"/users/{_quoted(sender)}/peer_messages"
        answer = self._call(
            "send_peer", SendPeerMessageError, "POST", path, document, idempotency_key, budget
        )
        return PublishStatus(answer["code"])

    def publish(
        self,
        channel: str,
        message: str | bytes,
        *,
        sender: str,
        history: bool = False,
        idempotency_key: str | None = None,
        timeout: Timeout = None,
    ) -> int:
        """Send a message to a channel, whose member the sender need not be.

        Args:
            channel: The channel id.
            message: Text, or bytes as they are; not empty, at most 32 KiB.
            sender: Who it comes from.
            history: Keep a text in the history for 7 days.
            idempotency_key: See `send_peer`.
            timeout: Seconds in all, 11 by default.

        Returns:
            The message's id.

        Raises:
            RtmError: With a `SendChannelMessageError` as its code; RateLimited above 1,000 in 1 s for the app.
            NotAuthorized, ConnectionFailed: See `send_peer`.
        """
        document = {"channel": channel, "history": history, **_message(message)}
        budget = Deadline(seconds_of(timeout, SEND_TIMEOUT + _ANSWERED_WITHIN))
        path = f"/users/{_quoted(sender)}/channel_messages"
        answer = self._call(
            "publish", SendChannelMessageError, "POST", path, document, idempotency_key, budget
        )
        return int(answer["id"])

    def member_counts(self, channels: Iterable[str], *, timeout: Timeout = None) -> dict[str, int]:
        """Ask how many members channels have.

        Args:
            channels: 1 to 32 channel ids.
            timeout: Seconds in all, 5 by default.

        Raises:
            RtmError: With a `ChannelMemberCountError` as its code.
            NotAuthorized, ConnectionFailed: See `send_peer`.
        """
        names = [channels] if isinstance(channels, str) else list(channels)
        budget = Deadline(seconds_of(timeout, OPERATION_TIMEOUT))
        path = f"/counts?{urlencode([('channels', name) for name in names])}"
        answer = self._call("member_counts", ChannelMemberCountError, "GET", path, None, None, budget)
        return {str(name): int(count) for name, count in answer["counts"].items()}

    # --- Bans ---------------------------------------------------------------------

    def ban(self, user: str, reason: str = "", *, timeout: Timeout = None) -> None:
        """Put a user out, and keep him out until `unban`; see `rtmsync.server.server.Server.ban`.

        Args:
            user: The user id.
            reason: Why, for the user, at most 500 characters.
            timeout: Seconds in all, 10 by default.

        Raises:
            InvalidArgument, NotAuthorized, ConnectionFailed, ServerFailure, RequestTimeout: It was not done, or not
                in time.
        """
        budget = Deadline(seconds_of(timeout, BAN_TIMEOUT))
        self._call("ban", None, "POST", f"/bans/{_quoted(user)}", {"reason": reason}, None, budget)

    def unban(self, user: str, *, timeout: Timeout = None) -> None:
        """Let a user log in again, whether he was banned or not. See `ban`."""
        budget = Deadline(seconds_of(timeout, BAN_TIMEOUT))
        self._call("unban", None, "DELETE", f"/bans/{_quoted(user)}", None, None, budget)

    # --- The publisher itself -----------------------------------------------------

    def close(self) -> None:
        """End the connection. Idempotent; every later call raises `ClientClosed`."""
        self._check_process()
        with self._lock:
            self._closed = True
            self._drop()

    def __enter__(self) -> "Self":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Publisher to {self._endpoint.authority}{', closed' if self._closed else ''}>"

    # --- Inside -------------------------------------------------------------------

    def _call(
        self,
        operation: str,
        family: type[enum.IntEnum] | None,
        method: str,
        path: str,
        document: dict[str, Any] | None,
        key: str | None,
        budget: Deadline,
    ) -> dict[str, Any]:
        headers = [("Authorization", f"Bearer {self._key.value}"), ("Content-Type", "application/json")]
        headers.append(("Idempotency-Key", secrets.token_hex(_KEY_BYTES) if key is None else key))
        body = None if document is None else json.dumps(document).encode()
        self._check_process()
        try:
            if not self._lock.acquire(timeout=budget.remaining()):
                raise TimeoutError
            try:
                answer = self._exchange(method, self._base + path, headers, body, budget)
            finally:
                self._lock.release()
        except TimeoutError:
            raise _late(operation, family) from None
        except RtmError as error:
            error.operation = operation
            raise
        except OSError as error:
            raise ConnectionFailed(
                f"The connection to {self._endpoint.authority} broke: {error.strerror or error}.",
                operation=operation,
            ) from error
        return _understood(answer, operation)

    def _exchange(
        self, method: str, target: str, headers: list[tuple[str, str]], body: bytes | None, budget: Deadline
    ) -> HttpResponse:
        if self._closed:
            raise ClientClosed("The publisher is closed.", hint="Make another one.")
        reused = self._line is not None
        try:
            line = self._line
            if line is None:
                line = self._line = _Line(self._endpoint, self._tls, budget)
            try:
                answer = line.ask(method, target, headers, body, budget)
            except TimeoutError:
                raise
            except (OSError, ConnectionFailed):
                if not reused or line.http.started:
                    raise
                # The server had closed it while it was idle; the key keeps a repeat from being sent twice.
                self._drop()
                line = self._line = _Line(self._endpoint, self._tls, budget)
                answer = line.ask(method, target, headers, body, budget)
        except BaseException:
            self._drop()
            raise
        if not answer.reusable:
            self._drop()
        return answer

    def _drop(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            line.close()

    def _check_process(self) -> None:
        """After a fork, leave the parent's connection and lock to the parent."""
        if self._pid == os.getpid():
            return
        line, self._line = self._line, None
        self._lock = threading.Lock()
        self._pid = os.getpid()
        if line is not None:
            line.abandon()


def _quoted(name: str) -> str:
    if not isinstance(name, str) or not name or name in (".", ".."):
        raise InvalidArgument("An id is a text that is not empty.", operation="publisher")
    return quote(name, safe="", errors="replace")


def _message(message: str | bytes) -> dict[str, Any]:
    if isinstance(message, str):
        return {"payload": message}
    return {"raw": base64.b64encode(message).decode()}


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
    raise ConnectionFailed(f"Cannot connect to {endpoint.authority}: {reason}.") from failure


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


def _late(operation: str, family: type[enum.IntEnum] | None) -> RtmError:
    text = "The server did not answer in time; it may have done it, or do it later."
    if family is None:
        return RequestTimeout(text, operation=operation)
    return error_for(family["TIMEOUT"], text, operation=operation)


def _understood(answer: HttpResponse, operation: str) -> dict[str, Any]:
    """The document of an answer.

    Raises:
        RtmError: It is a refusal, or not from such a server.
    """
    try:
        document = json.loads(answer.body)
        error = document.get("error")
    except (ValueError, AttributeError, RecursionError):
        document, error = {}, {"message": f"HTTP {answer.status}"}
    if answer.status == 200 and error is None and isinstance(document, dict):
        return document
    found = error if isinstance(error, dict) else {}
    text = str(found.get("message", f"HTTP {answer.status}"))
    retry = found.get("retry_after")
    retry_after = float(retry) if isinstance(retry, int | float) else None
    family = _FAMILIES.get(str(found.get("family")))
    documented: RtmError | None = None
    if family is not None:
        with contextlib.suppress(ValueError, KeyError):
            code = family[str(found.get("name"))]
            documented = error_for(code, text, operation=operation, retry_after=retry_after)
    if documented is not None:
        raise documented
    if answer.status == 401:
        raise NotAuthorized(text, operation=operation, hint="Check the server key.")
    if answer.status == 404:
        raise InvalidAppId(
            f"{text} Perhaps the server does not hold the app id, or no server key for it.",
            operation=operation,
        )
    if answer.status == 400:
        raise InvalidArgument(text, operation=operation)
    if answer.status == 504:
        raise RequestTimeout(text, operation=operation)
    raise ServerFailure(text, operation=operation, retry_after=retry_after)
