"""How a connection becomes a WebSocket: the upgrade for both roles.

The server side also takes plain HTTP requests on the same port. Nothing is reused: every answer of a server ends
the connection, except the 101 that turns it into a WebSocket. No extension is ever offered or accepted.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterable, Sequence
from http import HTTPStatus
from typing import Final, NoReturn

import attrs
import h11

from rtmcore.errors import ConnectionFailed, LocalProtocolError, RemoteProtocolError
from rtmcore.limits import HANDSHAKE_BYTES
from rtmcore.wire.http import (
    BoundedHttp,
    Headers,
    NotHttp,
    Refusal,
    ResponseReader,
    decoded,
    encoded,
    header_list,
    header_values,
    local_errors,
    names_token,
    quoted,
)

WEBSOCKET_VERSION: Final = "13"
"""The only version there is (RFC 6455 section 4.1)."""

NONCE_BYTES: Final = 16
"""Bytes of a client's nonce, which becomes Sec-WebSocket-Key (RFC 6455 section 4.1)."""

_ACCEPT_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_ABSOLUTE_TARGET: Final = re.compile(r"https?://[^/?]+", re.IGNORECASE)

_REDIRECTED: Final = "Use the address that it redirects to."
_UNREACHED: Final = "A proxy on the way cannot reach the server behind it."
_REFUSAL_HINTS: Final[dict[int, str]] = {
    HTTPStatus.MOVED_PERMANENTLY: _REDIRECTED,
    HTTPStatus.FOUND: _REDIRECTED,
    HTTPStatus.TEMPORARY_REDIRECT: _REDIRECTED,
    HTTPStatus.PERMANENT_REDIRECT: _REDIRECTED,
    HTTPStatus.NOT_FOUND: "Check the path of the URL.",
    HTTPStatus.UPGRADE_REQUIRED: "A proxy on the way probably removes the Upgrade header or speaks HTTP/1.0.",
    HTTPStatus.BAD_GATEWAY: _UNREACHED,
    HTTPStatus.GATEWAY_TIMEOUT: _UNREACHED,
}
_HEADERS_OF_STATUS: Final[dict[int, Headers]] = {
    HTTPStatus.METHOD_NOT_ALLOWED: [("Allow", "GET")],
    HTTPStatus.UPGRADE_REQUIRED: [("Upgrade", "websocket"), ("Sec-WebSocket-Version", WEBSOCKET_VERSION)],
}


class HandshakeRefused(ConnectionFailed):
    """The server answered the upgrade with an HTTP status of its own instead of 101.

    Args:
        message: One sentence with status, reason phrase and what the server wrote.
        status: The HTTP status, 200 to 599.
        reason: Its reason phrase; may be empty.
        body: The beginning of the body in printable characters, at most `limits.REFUSAL_EXCERPT`; values that
            were sent as extra headers are blacked out.
        retry_after: Seconds from a Retry-After header; None without one, or where it names a date.
        hint: What to do about it.
    """

    def __init__(
        self,
        message: str = "",
        *,
        status: int = 0,
        reason: str = "",
        body: str = "",
        retry_after: float | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, operation="upgrade", retry_after=retry_after, hint=hint)
        self.status = status
        self.reason = reason
        self.body = body


@attrs.frozen
class HandshakeAccepted:
    """The server agreed; the connection is a WebSocket now.

    Attributes:
        subprotocol: The one that the server chose, out of those offered.
        trailing: WebSocket bytes that came behind the response in the same read.
    """

    subprotocol: str
    trailing: bytes = attrs.field(repr=False)


@attrs.frozen
class UpgradeRequested:
    """A well-formed request to become a WebSocket; answer with `accept`, `reject` or `respond`.

    Attributes:
        path: The target's path, without query.
        query: What follows the question mark; may be empty.
        host: The Host header.
        origin: The Origin header, which browsers send; None without one.
        subprotocols: Those offered, in the client's order, each once.
        headers: All header fields.
    """

    path: str
    query: str = attrs.field(repr=False)
    host: str
    origin: str | None
    subprotocols: tuple[str, ...]
    headers: Headers = attrs.field(repr=False)


@attrs.frozen
class HttpRequested:
    """A plain request without a body; answer with `respond` or `reject`.

    Attributes:
        method: As the client wrote it, usually in upper case.
        path: The target's path, without query.
        query: What follows the question mark; may be empty.
        headers: All header fields.
    """

    method: str
    path: str
    query: str = attrs.field(repr=False)
    headers: Headers = attrs.field(repr=False)


@attrs.frozen
class ServiceRequested:
    """A request, perhaps with a body, below the path that is served by `exchange.HttpServerConnection`.

    It is for that to read again, from its first byte on.
    """


def accept_value(key: str) -> str:
    """Sec-WebSocket-Accept for a Sec-WebSocket-Key (RFC 6455 section 4.2.2).

    Args:
        key: The header's value, ASCII.
    """
    digest = hashlib.sha1(key.encode("ascii") + _ACCEPT_GUID, usedforsecurity=False).digest()
    return base64.b64encode(digest).decode("ascii")


def choose_subprotocol(offered: Iterable[str], supported: Iterable[str]) -> str | None:
    """The subprotocol to accept: the server's first that the client offered; None where they share none.

    Args:
        offered: The client's, as in `UpgradeRequested`.
        supported: The server's, most wanted first.
    """
    names = set(offered)
    return next((name for name in supported if name in names), None)


# --- Client ----------------------------------------------------------------------------------------------------


class ClientHandshake:
    """Asks a server to turn the connection into a WebSocket.

    Args:
        host: The Host header: name, or address with brackets where it is IPv6, and the port unless it is the
            scheme's own. ASCII.
        target: Path and query of the URL, from the slash on. ASCII.
        subprotocols: Those wanted, most wanted first, at least one.
        nonce: `NONCE_BYTES` random bytes, new for each handshake.
        extra_headers: Further header fields, for proxies and load balancers on the way.

    Raises:
        LocalProtocolError: An argument is not valid in HTTP.
    """

    __slots__ = ("_accept", "_reader", "_subprotocols")

    def __init__(
        self,
        host: str,
        target: str,
        subprotocols: Sequence[str],
        *,
        nonce: bytes,
        extra_headers: Iterable[tuple[str, str]] = (),
    ) -> None:
        if len(nonce) != NONCE_BYTES:
            raise LocalProtocolError(
                f"The nonce of a WebSocket handshake has {NONCE_BYTES} bytes, not {len(nonce)}."
            )
        if not subprotocols or not all(_TOKEN.fullmatch(name) for name in subprotocols):
            raise LocalProtocolError(
                "A WebSocket handshake offers at least one subprotocol, each an HTTP token."
            )
        if not target.startswith("/"):
            raise LocalProtocolError("The target of a WebSocket handshake starts with a slash.")
        extra = list(extra_headers)
        key = base64.b64encode(nonce).decode("ascii")
        self._accept = accept_value(key)
        self._subprotocols = tuple(subprotocols)
        headers = [
            ("Host", host),
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Key", key),
            ("Sec-WebSocket-Version", WEBSOCKET_VERSION),
            ("Sec-WebSocket-Protocol", ", ".join(subprotocols)),
        ]
        secrets = [value for _, value in extra]
        self._reader = ResponseReader("GET", target, headers + extra, secrets=secrets)

    def request(self) -> bytes:
        """The bytes to send, once."""
        return self._reader.request

    @property
    def refusal(self) -> HandshakeRefused | None:
        """What the server has refused with while the rest of its text is still on its way.

        For whoever runs out of time in that moment and wants to name the cause.
        """
        return None if self._reader.refusal is None else self._refused(self._reader.refusal)

    def receive(self, data: bytes) -> HandshakeAccepted | None:
        """Take what was read from the server.

        Args:
            data: Any piece of the stream.

        Returns:
            The agreement, or None as long as the response is incomplete. Nothing may be fed after it.

        Raises:
            HandshakeRefused: The server answered with another status than 101.
            RemoteProtocolError: This is not HTTP, or not the answer to this handshake.
        """
        try:
            response = self._reader.receive(data)
        except NotHttp as error:
            raise RemoteProtocolError(
                f"The server did not answer the WebSocket upgrade in HTTP: {error}.",
                operation="upgrade",
                hint="Check scheme (ws or wss) and port of the URL.",
            ) from None
        if response is None:
            return None
        if isinstance(response, Refusal):
            raise self._refused(response)
        return HandshakeAccepted(self._agreed(decoded(response.headers)), self._reader.http.trailing())

    def receive_eof(self) -> None:
        """Take the end of the server's bytes, which is always an error here.

        Raises:
            HandshakeRefused: It ends a refusal.
            ConnectionFailed: It comes before the response.
        """
        if self._reader.refusal is not None:
            raise self._refused(self._reader.refusal)
        raise ConnectionFailed(
            "The server, or a proxy on the way, closed the connection before it answered the WebSocket upgrade.",
            operation="upgrade",
        )

    def _agreed(self, headers: Headers) -> str:
        if not names_token(headers, "upgrade", "websocket") or not names_token(
            headers, "connection", "upgrade"
        ):
            _not_the_answer("the 101 response does not say that it upgrades to WebSocket")
        accepts = header_values(headers, "sec-websocket-accept")
        if len(accepts) != 1 or not hmac.compare_digest(
            accepts[0].encode("latin-1"), self._accept.encode("ascii")
        ):
            _not_the_answer("Sec-WebSocket-Accept does not fit the key of this handshake")
        if header_list(headers, "sec-websocket-extensions"):
            _not_the_answer("it uses an extension that was not offered")
        chosen = header_list(headers, "sec-websocket-protocol")
        if len(chosen) != 1 or chosen[0] not in self._subprotocols:
            _not_the_answer(f"it chose none of the subprotocols {', '.join(self._subprotocols)}")
        return chosen[0]

    def _refused(self, refusal: Refusal) -> HandshakeRefused:
        body = refusal.excerpt()
        return HandshakeRefused(
            f"The server refused the WebSocket upgrade with {refusal.status_line()}{quoted(body)}.",
            status=refusal.status,
            reason=refusal.phrase(),
            body=body,
            retry_after=refusal.retry_after(),
            hint=_REFUSAL_HINTS.get(refusal.status),
        )


def _not_the_answer(what: str) -> NoReturn:
    raise RemoteProtocolError(
        f"The server's answer to the WebSocket upgrade is wrong: {what}.",
        operation="upgrade",
        hint="Check that the URL points to a server of this protocol.",
    )


# --- Server ----------------------------------------------------------------------------------------------------


class ServerHandshake:
    """Takes one HTTP request: an upgrade to WebSocket, or a plain one without a body.

    The shape of an upgrade is judged here. Whether its path, origin and subprotocols are welcome is for the owner,
    who answers each event once.

    Args:
        service: Requests whose path begins with this, and which are no upgrades, are only recognised; None for none.
    """

    __slots__ = ("_answered", "_failure", "_http", "_key", "_late", "_request", "_service")

    def __init__(self, service: str | None = None) -> None:
        self._service = service
        self._http = BoundedHttp(client=False)
        self._key = ""
        self._request: UpgradeRequested | HttpRequested | None = None
        self._late = bytearray()
        self._failure: tuple[int, str] | None = None
        self._answered = False

    def receive(self, data: bytes) -> UpgradeRequested | HttpRequested | ServiceRequested | None:
        """Take what was read from the client.

        Args:
            data: Any piece of the stream. What comes behind an upgrade request is kept for `trailing`.

        Returns:
            The request, once; before and afterwards None. After an error everything is ignored.

        Raises:
            RemoteProtocolError: The request is malformed, too large or not what is served here. Send
                `failure_response`, and close.
        """
        if self._failure is not None or self._answered:
            return None
        try:
            if self._request is not None:
                self._keep(data)
                return None
            self._http.feed(data)
            event = self._http.next_event()
            if not isinstance(event, h11.Request):
                return None
            if self._is_for_service(event):
                self._answered = True
                return ServiceRequested()
            self._request = self._judge(event)
        except NotHttp as error:
            self._failure = (error.status, str(error))
            raise RemoteProtocolError(
                f"The client's HTTP request is refused with {error.status}: {error}.", operation="upgrade"
            ) from None
        return self._request

    def receive_eof(self) -> None:
        """Take the end of the client's bytes.

        Raises:
            RemoteProtocolError: No request is complete. There is nobody left to answer to, and
                `failure_response` is empty.
        """
        if self._request is None and self._failure is None:
            self._failure = (0, "")
            where = "in the middle of its HTTP request" if self._http.started else "without a request"
            raise RemoteProtocolError(f"The client closed the connection {where}.", operation="upgrade")

    @property
    def trailing(self) -> bytes:
        """WebSocket bytes that came behind the upgrade request."""
        return self._http.trailing() + bytes(self._late)

    def accept(self, subprotocol: str, headers: Iterable[tuple[str, str]] = ()) -> bytes:
        """Agree to the upgrade. The connection is a WebSocket behind these bytes.

        Args:
            subprotocol: One of those offered.
            headers: Further header fields.

        Returns:
            The 101 response.

        Raises:
            LocalProtocolError: No upgrade is waiting for an answer, or the subprotocol was not offered.
        """
        if self._answered or not isinstance(self._request, UpgradeRequested):
            raise LocalProtocolError("There is no WebSocket upgrade to accept on this connection.")
        if subprotocol not in self._request.subprotocols:
            raise LocalProtocolError(f"The client did not offer the subprotocol {subprotocol}.")
        fields = [
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Accept", accept_value(self._key)),
            ("Sec-WebSocket-Protocol", subprotocol),
            *headers,
        ]
        phrase = HTTPStatus.SWITCHING_PROTOCOLS.phrase.encode()
        with local_errors():
            response = h11.InformationalResponse(
                status_code=HTTPStatus.SWITCHING_PROTOCOLS, headers=encoded(fields), reason=phrase
            )
        self._answered = True
        return self._http.send(response)

    def respond(self, status: int, headers: Iterable[tuple[str, str]] = (), body: bytes = b"") -> bytes:
        """Answer over HTTP and end the connection.

        Args:
            status: 200 to 599.
            headers: Header fields without Content-Length and Connection, which are made here.
            body: Left out in the answer to HEAD.

        Returns:
            The response, behind which the connection is to be closed.

        Raises:
            LocalProtocolError: No request is waiting for an answer, or a header field is not valid in HTTP.
        """
        if self._answered or (self._request is None and self._failure is None):
            raise LocalProtocolError("There is no HTTP request to answer on this connection.")
        response = self._response(status, headers, body)
        self._answered = True
        return response

    def reject(self, status: int, detail: str, headers: Iterable[tuple[str, str]] = ()) -> bytes:
        """Answer with an error status and a sentence for people, and end the connection.

        A 405 also says that GET is allowed, a 426 names the upgrade to WebSocket version 13.

        Args:
            status: 400 to 599.
            detail: What is wrong and what would be right; no secrets.
            headers: Further header fields.

        Returns:
            The response, behind which the connection is to be closed.

        Raises:
            LocalProtocolError: See `respond`.
        """
        fields = [
            ("Content-Type", "text/plain; charset=utf-8"),
            *_HEADERS_OF_STATUS.get(status, ()),
            *headers,
        ]
        return self.respond(status, fields, f"{detail}\n".encode("utf-8", "replace"))

    def failure_response(self) -> bytes:
        """The answer to what `receive` raised for, to be sent before the close; empty otherwise and at another call."""
        if self._failure is None or self._answered or not self._failure[0]:
            return b""
        status, what = self._failure
        return self.reject(status, f"{what[:1].upper()}{what[1:]}.")

    def _keep(self, data: bytes) -> None:
        if isinstance(self._request, UpgradeRequested):
            if len(self._late) + len(data) > HANDSHAKE_BYTES:
                raise NotHttp("too much was sent before the upgrade was answered", 400)
            self._late += data

    def _is_for_service(self, event: h11.Request) -> bool:
        if self._service is None or not bytes(event.target).startswith(self._service.encode()):
            return False
        return not names_token(decoded(event.headers), "upgrade", "websocket")

    def _judge(self, event: h11.Request) -> UpgradeRequested | HttpRequested:
        method = bytes(event.method).decode("ascii")
        headers = decoded(event.headers)
        if bytes(event.http_version) not in (b"1.0", b"1.1"):
            raise NotHttp("only HTTP/1.1 is spoken here", 505)
        if header_values(headers, "transfer-encoding") or any(
            value.strip("0") for value in header_values(headers, "content-length")
        ):
            raise NotHttp("a request with a body is not taken here", 413)
        if method == "CONNECT":
            raise NotHttp("this is not a proxy", 405)
        path, query = _split_target(bytes(event.target).decode("ascii"))
        self._http.next_event()  # the end of the empty body, without which h11 keeps what follows
        if not names_token(headers, "upgrade", "websocket"):
            if header_values(headers, "sec-websocket-key"):
                raise NotHttp(
                    "a proxy on the way removed the Upgrade header from this WebSocket handshake", 426
                )
            return HttpRequested(method, path, query, headers)
        if bytes(event.http_version) != b"1.1":
            raise NotHttp("an upgrade needs HTTP/1.1; a proxy on the way may have changed the version", 426)
        self._key = _check_upgrade(method, headers)
        hosts = header_values(headers, "host")
        origins = header_values(headers, "origin")
        if len(hosts) != 1 or not hosts[0] or not hosts[0].isascii():
            raise NotHttp("the Host header has to be there once, in ASCII")
        if len(origins) > 1:
            raise NotHttp("the Origin header is there more than once")
        subprotocols = tuple(dict.fromkeys(header_list(headers, "sec-websocket-protocol")))
        if not all(_TOKEN.fullmatch(name) for name in subprotocols):
            raise NotHttp("Sec-WebSocket-Protocol is not a list of names")
        return UpgradeRequested(path, query, hosts[0], origins[0] if origins else None, subprotocols, headers)

    def _response(self, status: int, headers: Iterable[tuple[str, str]], body: bytes) -> bytes:
        try:
            reason = HTTPStatus(status).phrase
        except ValueError:
            reason = ""
        # An upgrade that is named has to be named here as well (RFC 9110 section 7.8).
        fields = list(headers)
        upgrades = any(name.lower() == "upgrade" for name, _ in fields)
        fields += [
            ("Content-Length", str(len(body))),
            ("Connection", "upgrade, close" if upgrades else "close"),
        ]
        with local_errors():
            response = h11.Response(status_code=status, headers=encoded(fields), reason=reason.encode())
        if self._http.answers_head or not body:
            return self._http.send(response, h11.EndOfMessage())
        return self._http.send(response, h11.Data(data=body), h11.EndOfMessage())


def _split_target(target: str) -> tuple[str, str]:
    """Path and query of a request target in origin form or absolute form (RFC 9112 section 3.2)."""
    absolute = _ABSOLUTE_TARGET.match(target)
    if absolute is not None:
        target = target[absolute.end() :]
        target = target if target.startswith("/") else f"/{target}"
    if not target.startswith("/"):
        raise NotHttp("the request target has to be a path")
    path, _, query = target.partition("?")
    return path, query


def _check_upgrade(method: str, headers: Headers) -> str:
    """The key of a WebSocket handshake that is in order (RFC 6455 section 4.2.1)."""
    if method != "GET":
        raise NotHttp("a WebSocket handshake uses the method GET", 405)
    if not names_token(headers, "connection", "upgrade"):
        raise NotHttp("the Connection header does not name Upgrade; a proxy on the way may have changed it")
    if header_values(headers, "sec-websocket-version") != [WEBSOCKET_VERSION]:
        raise NotHttp(f"only WebSocket version {WEBSOCKET_VERSION} is spoken here", 426)
    keys = header_values(headers, "sec-websocket-key")
    try:
        nonce = base64.b64decode(keys[0].encode("latin-1"), validate=True) if len(keys) == 1 else b""
    except binascii.Error:
        nonce = b""
    if len(nonce) != NONCE_BYTES:
        raise NotHttp(f"Sec-WebSocket-Key has to be there once, with {NONCE_BYTES} bytes in base64")
    return keys[0]
