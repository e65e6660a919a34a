"""HTTP/1.1 requests with bodies and their answers, for both roles, one after the other on one connection.

Bytes go in, bytes and events come out; no socket, no clock. Heads, bodies and what comes before its turn are bounded
however the stream is cut into reads, and peer input never raises: what breaks a rule becomes one `HttpFailed` event.
"""

from collections import deque
from collections.abc import Iterable
from http import HTTPStatus
from typing import Final

import attrs
import h11

from rtmcore.errors import LocalProtocolError
from rtmcore.limits import (
    HANDSHAKE_BYTES,
    HANDSHAKE_HEADERS,
    HTTP_ANSWER_BYTES,
    HTTP_BODY_BYTES,
    HTTP_EARLY_BYTES,
)
from rtmcore.wire.http import Headers, decoded, encoded, header_values, local_errors, names_token

_PIECE: Final = 1024
"""Bytes given to h11 at once: it looks at its limit for heads only when it needs more."""

_FIELD_OVERHEAD: Final = 4
"""Bytes of a header field besides name and value: a colon, a space, and the end of the line."""


@attrs.frozen
class HttpHead:
    """The head of a request, before its body: answer with `admit` or, where the body is not wanted, `respond`.

    Attributes:
        method: As the client wrote it, usually in upper case.
        target: Path and query.
        headers: All header fields.
    """

    method: str
    target: str = attrs.field(repr=False)
    headers: Headers = attrs.field(repr=False)


@attrs.frozen
class HttpBody:
    """The body of the request that was admitted, complete; answer with `respond`."""

    body: bytes = attrs.field(repr=False)


@attrs.frozen
class HttpResponse:
    """The answer to the request that was sent.

    Attributes:
        status: 200 to 599.
        headers: All header fields.
        body: At most `limits.HTTP_ANSWER_BYTES`.
        reusable: Whether another request can be sent on this connection.
    """

    status: int
    headers: Headers = attrs.field(repr=False)
    body: bytes = attrs.field(repr=False)
    reusable: bool


@attrs.frozen
class HttpFailed:
    """The exchange broke: close the connection once `data_to_send` is written.

    Attributes:
        what: The fault, in words that fit behind a colon; nothing of the peer's input is in it.
        status: The HTTP status that it comes to.
    """

    what: str
    status: int


@attrs.frozen
class HttpEnded:
    """The peer or its last answer ended the connection in order: close it once `data_to_send` is written."""


class _Broken(Exception):
    def __init__(self, what: str, status: int = 400) -> None:
        super().__init__(what)
        self.failed = HttpFailed(what, status)


class _Exchange:
    """What both roles share."""

    __slots__ = ("_body", "_http", "_longest", "_output", "_unread", "closed")

    def __init__(self, role: type[h11.CLIENT] | type[h11.SERVER], longest: int) -> None:
        self._longest = longest
        self._http = h11.Connection(role, max_incomplete_event_size=HANDSHAKE_BYTES)
        self._unread = bytearray()
        self._body = bytearray()
        self._output: list[bytes] = []
        self.closed = False
        """Whether the connection is of no use any more."""

    def data_to_send(self) -> list[bytes]:
        """The bytes made since the last call, in order."""
        output = self._output
        if output:
            self._output = []
        return output

    def _feed_piece(self) -> bool:
        """Give h11 a little more; False where there is nothing."""
        if not self._unread:
            return False
        piece = bytes(self._unread[:_PIECE])
        del self._unread[:_PIECE]
        try:
            self._http.receive_data(piece)
        except h11.RemoteProtocolError:
            raise _Broken("there are bytes behind the last message") from None
        return True

    def _next(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        try:
            event = self._http.next_event()
        except h11.RemoteProtocolError as error:
            raise _Broken("the message is not valid HTTP", error.error_status_hint) from None
        if isinstance(event, h11.Request | h11.Response | h11.InformationalResponse):
            self._check_head(event)
        elif isinstance(event, h11.Data):
            self._body += event.data
            if len(self._body) > self._longest:
                raise _Broken(f"the body is longer than {self._longest} bytes", 413)
        return event

    def _check_head(self, event: h11.Request | h11.Response | h11.InformationalResponse) -> None:
        _check_head(event)
        lengths = header_values(decoded(event.headers), "content-length")
        if any(int(length) > self._longest for length in lengths):
            raise _Broken(f"the body is longer than {self._longest} bytes", 413)

    def _send(self, *events: h11.Event) -> None:
        with local_errors():
            self._output.append(b"".join(self._http.send(event) or b"" for event in events))

    def _take_body(self) -> bytes:
        body = bytes(self._body)
        self._body.clear()
        return body

    def _drop(self) -> None:
        self.closed = True
        self._unread.clear()
        self._body.clear()


def _check_head(event: h11.Request | h11.Response | h11.InformationalResponse) -> None:
    if len(event.headers) > HANDSHAKE_HEADERS:
        raise _Broken(f"the head has more than {HANDSHAKE_HEADERS} header fields", 431)
    size = sum(len(name) + len(value) + _FIELD_OVERHEAD for name, value in event.headers)
    if isinstance(event, h11.Request):
        size += len(event.target)
    if size > HANDSHAKE_BYTES:
        raise _Broken(f"the head is longer than {HANDSHAKE_BYTES} bytes", 431)


# --- Server ----------------------------------------------------------------------------------------------------


class HttpServerConnection(_Exchange):
    """The side that answers.

    A request comes in two events. After `HttpHead`, `admit` asks for the body and `respond` refuses it; after
    `HttpBody`, `respond` answers. Nothing else is read before the answer, and at most `limits.HTTP_EARLY_BYTES` are
    kept of what comes too early.
    """

    __slots__ = ("_events", "_of_head", "_phase")

    def __init__(self) -> None:
        super().__init__(h11.SERVER, HTTP_BODY_BYTES)
        self._of_head = False
        self._events: deque[HttpHead | HttpBody | HttpFailed | HttpEnded] = deque()
        self._phase = "head"

    @property
    def idle(self) -> bool:
        """Whether no request is under way."""
        return self._phase == "head" and not self._unread and not self._http.trailing_data[0]

    def receive_data(self, data: bytes) -> None:
        """Take what was read from the client. Call `next_event` and `data_to_send` afterwards."""
        if self.closed:
            return
        self._unread += data
        self._read()

    def receive_eof(self) -> None:
        """Take the end of the client's bytes: nobody waits for an answer any more."""
        if not self.closed:
            self._end()

    def next_event(self) -> HttpHead | HttpBody | HttpFailed | HttpEnded | None:
        """The next event, or None."""
        return self._events.popleft() if self._events else None

    def admit(self) -> None:
        """Ask for the body of the request whose head has come.

        Raises:
            LocalProtocolError: No head waits for that.
        """
        if self.closed:
            return
        if self._phase != "judging":
            raise LocalProtocolError("There is no HTTP request whose body could be admitted.")
        self._phase = "body"
        if self._http.they_are_waiting_for_100_continue:
            self._send(
                h11.InformationalResponse(status_code=HTTPStatus.CONTINUE, headers=[], reason=b"Continue")
            )
        self._read()

    def respond(
        self, status: int, headers: Iterable[tuple[str, str]] = (), body: bytes = b"", *, close: bool = False
    ) -> None:
        """Answer the request under way. Call `next_event` and `data_to_send` afterwards.

        Args:
            status: 200 to 599.
            headers: Header fields without Content-Length and Connection, which are made here.
            body: Left out in the answer to HEAD.
            close: End the connection behind the answer; so it is also where the request's body was not read.

        Raises:
            LocalProtocolError: No request waits for an answer, or a header field is not valid in HTTP.
        """
        if self.closed:
            return
        if self._phase not in ("judging", "answering"):
            raise LocalProtocolError("There is no HTTP request to answer on this connection.")
        close = close or self._phase == "judging" or self._http.their_state is not h11.DONE
        self._answer(status, headers, body, close=close)
        if close or self._http.our_state is not h11.DONE:
            self._end()
            return
        self._http.start_next_cycle()
        self._phase = "head"
        self._of_head = False
        self._read()

    def _answer(self, status: int, headers: Iterable[tuple[str, str]], body: bytes, *, close: bool) -> None:
        try:
            reason = HTTPStatus(status).phrase
        except ValueError:
            reason = ""
        fields = [*headers, ("Content-Length", str(len(body)))]
        if close:
            fields.append(("Connection", "close"))
        with local_errors():
            response = h11.Response(status_code=status, headers=encoded(fields), reason=reason.encode())
        data = b"" if self._of_head else body
        self._send(response, h11.Data(data=data), h11.EndOfMessage())

    def _read(self) -> None:
        try:
            self._read_events()
        except _Broken as error:
            self._refuse(error.failed)

    def _read_events(self) -> None:
        while not self.closed and self._phase in ("head", "body"):
            event = self._next()
            if event is h11.NEED_DATA:
                if not self._feed_piece():
                    return
            elif isinstance(event, h11.Request):
                self._judge(event)
            elif isinstance(event, h11.EndOfMessage):
                self._phase = "answering"
                self._events.append(HttpBody(self._take_body()))
        if len(self._unread) + len(self._http.trailing_data[0]) > HTTP_EARLY_BYTES and not self.closed:
            raise _Broken("too much was sent before the answer")

    def _judge(self, event: h11.Request) -> None:
        headers = decoded(event.headers)
        self._of_head = event.method == b"HEAD"
        if bytes(event.http_version) != b"1.1":
            raise _Broken("only HTTP/1.1 is spoken here", 505)
        if header_values(headers, "transfer-encoding") and header_values(headers, "content-length"):
            raise _Broken("the length of the body is told in two ways")
        if event.method == b"CONNECT":
            raise _Broken("this is not a proxy", 405)
        self._phase = "judging"
        target = bytes(event.target).decode("ascii")
        self._events.append(HttpHead(bytes(event.method).decode("ascii"), target, headers))

    def _refuse(self, failed: HttpFailed) -> None:
        """Answer what is wrong, where an answer can still be told from others, and give up."""
        if self._phase != "answering" and self._http.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            fields = [("Content-Type", "text/plain; charset=utf-8")]
            sentence = f"{failed.what[:1].upper()}{failed.what[1:]}.\n"
            self._answer(failed.status, fields, sentence.encode(), close=True)
        self._phase = "over"
        self._events.append(failed)
        self._drop()

    def _end(self) -> None:
        self._phase = "over"
        self._events.append(HttpEnded())
        self._drop()


# --- Client ----------------------------------------------------------------------------------------------------


class HttpClientConnection(_Exchange):
    """The side that asks, one request at a time.

    Args:
        host: The Host header. ASCII.
    """

    __slots__ = ("_events", "_host", "_response", "_waiting", "started")

    def __init__(self, host: str) -> None:
        super().__init__(h11.CLIENT, HTTP_ANSWER_BYTES)
        self._host = host
        self._events: deque[HttpResponse | HttpFailed] = deque()
        self._response: h11.Response | None = None
        self._waiting = False
        self.started = False
        """Whether a byte of the answer to the current request has come."""

    def request(
        self, method: str, target: str, headers: Iterable[tuple[str, str]] = (), body: bytes | None = None
    ) -> None:
        """Send a request. Call `data_to_send` afterwards.

        Args:
            method: For example ``POST``.
            target: Path and query. ASCII.
            headers: Header fields without Host and Content-Length, which are made here.
            body: None for a request without one.

        Raises:
            LocalProtocolError: A request is under way, the connection is over, or the head is not valid in HTTP.
        """
        if self.closed or self._waiting:
            raise LocalProtocolError("This HTTP connection cannot take another request now.")
        if not target.isascii() or not self._host.isascii():
            raise LocalProtocolError(
                "Host and target of an HTTP request have to be ASCII; encode them first."
            )
        fields = [("Host", self._host), *headers]
        if body is not None:
            fields.append(("Content-Length", str(len(body))))
        with local_errors():
            request = h11.Request(method=method, target=target, headers=encoded(fields))
        self._send(request, h11.Data(data=body or b""), h11.EndOfMessage())
        self._waiting = True
        self.started = False
        self._response = None

    def receive_data(self, data: bytes) -> None:
        """Take what was read from the server. Call `next_event` afterwards."""
        if self.closed:
            return
        if not self._waiting:
            self._fail(HttpFailed("the server spoke without being asked", HTTPStatus.BAD_GATEWAY))
            return
        self.started = True
        self._unread += data
        self._read(ended=False)

    def receive_eof(self) -> None:
        """Take the end of the server's bytes. Call `next_event` afterwards."""
        if self.closed:
            return
        if not self._waiting:
            self._drop()
            return
        self._read(ended=True)

    def next_event(self) -> HttpResponse | HttpFailed | None:
        """The next event, or None."""
        return self._events.popleft() if self._events else None

    def _read(self, *, ended: bool) -> None:
        told = False
        try:
            while self._waiting:
                event = self._next()
                if event is h11.NEED_DATA:
                    if self._feed_piece():
                        continue
                    if not ended or told:
                        return
                    told = True
                    self._http.receive_data(b"")
                elif isinstance(event, h11.Response):
                    self._response = event
                elif isinstance(event, h11.EndOfMessage):
                    self._finish(ended=ended)
                elif not isinstance(event, h11.Data | h11.InformationalResponse):
                    raise _Broken("the server closed the connection before it answered", 502)
        except _Broken as error:
            self._fail(error.failed)

    def _finish(self, *, ended: bool) -> None:
        response = self._response
        assert response is not None
        headers = decoded(response.headers)
        extra = bool(self._unread or self._http.trailing_data[0])
        reusable = (
            not extra
            and not ended
            and self._http.their_state is h11.DONE
            and self._http.our_state is h11.DONE
        )
        reusable = reusable and not names_token(headers, "connection", "close")
        self._events.append(HttpResponse(response.status_code, headers, self._take_body(), reusable))
        self._waiting = False
        if reusable:
            self._http.start_next_cycle()
        else:
            self._drop()

    def _fail(self, failed: HttpFailed) -> None:
        self._waiting = False
        self._events.append(failed)
        self._drop()
