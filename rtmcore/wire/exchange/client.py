"""The side of an HTTP exchange that asks."""

import enum
from collections import deque
from collections.abc import Iterable
from http import HTTPStatus
from typing import Final

import h11

from rtmcore.errors import LocalProtocolError
from rtmcore.limits import HTTP_ANSWER_BYTES, HTTP_INTERIM_RESPONSES, HTTP_WINDOW_BYTES
from rtmcore.wire.exchange.common import Broken, Exchange, body_length
from rtmcore.wire.exchange.events import (
    HttpAnswer,
    HttpBodyEnd,
    HttpFailed,
    HttpInterim,
    HttpPiece,
    HttpResponse,
)
from rtmcore.wire.http import Headers, decoded, encoded, local_errors, names_token

ClientEvent = HttpResponse | HttpAnswer | HttpInterim | HttpPiece | HttpBodyEnd | HttpFailed


class _Phase(enum.Enum):
    IDLE = "between requests"
    HEAD = "before the answer's head"
    JUDGING = "behind the answer's head"
    WHOLE = "in a body that is collected"
    PIECES = "in a body that comes in pieces"
    OVER = "over"


_READING: Final = frozenset({_Phase.WHOLE, _Phase.PIECES})


class HttpClientConnection(Exchange):
    """The side that asks, one request at a time.

    `request` sends one whole; `start` sends its head, and `send` its body. The answer is one `HttpResponse`. Where it
    was asked for with `judge`, it begins with `HttpAnswer`; then `admit` asks for the rest as `HttpResponse`, and
    `admit_pieces` for `HttpPiece` events up to an `HttpBodyEnd`. An answer whose body is not wanted is left by
    closing the connection.

    Args:
        host: The Host header. ASCII.
    """

    __slots__ = (
        "_chunked",
        "_ended",
        "_events",
        "_headers",
        "_host",
        "_interims",
        "_judge",
        "_last",
        "_length",
        "_of_head",
        "_patient",
        "_phase",
        "_status",
        "_tell",
        "started",
    )

    def __init__(self, host: str) -> None:
        super().__init__(h11.CLIENT)
        self._host = host
        self._events: deque[ClientEvent] = deque()
        self._phase = _Phase.IDLE
        self._ended = False  # whether the server's bytes are over
        self._begin(of_head=False, judge=False)
        self.started = False
        """Whether a byte of the answer to the current request has come."""

    def _begin(self, *, of_head: bool, judge: bool) -> None:
        self._of_head = of_head
        self._judge = judge
        self._tell = False  # whether interim responses are told
        self._patient = False  # whether the body waits for the interim response 100
        self._interims = 0
        self._status = 0
        self._headers: Headers = []
        self._length: int | None = 0
        self._chunked = False
        self._last = False  # whether the connection ends behind the answer
        self.started = False

    # --- Asking --------------------------------------------------------------------------

    @property
    def ready(self) -> bool:
        """Whether a request can be sent now."""
        return self._phase is _Phase.IDLE and not self.closed

    @property
    def expects_continue(self) -> bool:
        """Whether the body waits for the interim response 100, or for `proceed`."""
        return self._patient

    @property
    def room(self) -> int:
        """Bytes that `send` takes now; 0 where no body is on its way out, or the server has to agree first."""
        return 0 if self._patient else super().room

    def request(
        self,
        method: str,
        target: str,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes | None = None,
        *,
        judge: bool = False,
    ) -> None:
        """Send a request. Call `data_to_send` afterwards.

        Args:
            method: For example ``POST``.
            target: Path and query. ASCII.
            headers: Header fields without Host and Content-Length, which are made here.
            body: None for a request without one.
            judge: Tell the answer's head by itself, so that its body can be had in pieces.

        Raises:
            LocalProtocolError: A request is under way, the connection is over, or the head is not valid in HTTP.
        """
        self._ask(method, target, headers, None if body is None else len(body), judge=judge)
        if body:
            self._write(body)

    def start(
        self,
        method: str,
        target: str,
        headers: Iterable[tuple[str, str]] = (),
        *,
        length: int,
        expect: bool = False,
        judge: bool = False,
    ) -> None:
        """Begin a request whose body is given by `send`. Call `data_to_send` afterwards.

        Interim responses are told by `HttpInterim`. The final answer may come before the whole body was given:
        then `unsent` becomes 0, the rest of the body is not wanted, and the connection ends behind the answer.

        Args:
            method: See `request`.
            target: See `request`.
            headers: See `request`.
            length: Bytes of the body.
            expect: Ask the server to agree to the body first. Until it does, or `proceed` is called, there is no
                `room`; wait for `limits.HTTP_CONTINUE_TIMEOUT`, since some servers and proxies never say it.
            judge: See `request`.

        Raises:
            LocalProtocolError: See `request`.
        """
        expect = expect and length > 0
        fields = [*headers, ("Expect", "100-continue")] if expect else headers
        self._ask(method, target, fields, length, judge=judge)
        self._tell = True
        self._patient = expect
        self._unsent = length

    def proceed(self) -> None:
        """Wait no longer for the interim response 100. Idempotent; look at `room` afterwards."""
        self._patient = False

    # --- What comes in ---------------------------------------------------------------------

    @property
    def wants_data(self) -> bool:
        """Whether to read from the socket; see the module."""
        if self._phase is _Phase.PIECES:
            return self._held < self._window
        return not self.closed and not self._unread

    def receive_data(self, data: bytes) -> None:
        """Take what was read from the server. Call `next_event` and so on afterwards."""
        if self.closed:
            return
        if self._phase is _Phase.IDLE:
            self._fail(HttpFailed("the server spoke without being asked", HTTPStatus.BAD_GATEWAY))
            return
        self.started = True
        self._read(data)

    def receive_eof(self) -> None:
        """Take the end of the server's bytes. Call `next_event` afterwards."""
        if self.closed:
            return
        if self._phase is _Phase.IDLE:
            self._drop()
            return
        self._ended = True
        self._read()

    def admit(self) -> None:
        """Ask for the body of the answer whose head has come, whole: `HttpResponse` brings it.

        A body above `limits.HTTP_ANSWER_BYTES` ends in `HttpFailed`. Call `next_event` afterwards.

        Raises:
            LocalProtocolError: No head waits for that.
        """
        self._admit(HTTP_ANSWER_BYTES, whole=True, window=HTTP_WINDOW_BYTES)

    def admit_pieces(self, limit: int, *, window: int = HTTP_WINDOW_BYTES) -> None:
        """Ask for the body of the answer whose head has come, in pieces. Call `next_event` and so on afterwards.

        Args:
            limit: Bytes of a body above which it ends in `HttpFailed`.
            window: Bytes of pieces not yet `consumed` at which `wants_data` becomes False.

        Raises:
            LocalProtocolError: No head waits for that.
        """
        self._admit(limit, whole=False, window=window)

    def next_event(self) -> ClientEvent | None:
        """The next event, or None."""
        return self._events.popleft() if self._events else None

    # --- Inside ----------------------------------------------------------------------------

    def _ask(
        self,
        method: str,
        target: str,
        headers: Iterable[tuple[str, str]],
        length: int | None,
        *,
        judge: bool,
    ) -> None:
        if not self.ready:
            raise LocalProtocolError("This HTTP connection cannot take another request now.")
        if not target.isascii() or not self._host.isascii():
            raise LocalProtocolError(
                "Host and target of an HTTP request have to be ASCII; encode them first."
            )
        fields = [("Host", self._host), *headers]
        if length is not None:
            fields.append(("Content-Length", str(length)))
        with local_errors():
            request = h11.Request(method=method, target=target, headers=encoded(fields))
        self._begin_heads()
        self._write_head(request)
        self._begin(of_head=method == "HEAD", judge=judge)
        self._last = names_token(decoded(request.headers), "connection", "close")
        self._phase = _Phase.HEAD

    def _admit(self, limit: int, *, whole: bool, window: int) -> None:
        if self.closed:
            return
        if self._phase is not _Phase.JUDGING:
            raise LocalProtocolError(
                f"There is no HTTP answer whose body could be admitted on this connection: it is {self._phase.value}."
            )
        try:
            self._open(limit, whole=whole, window=window)
        except Broken as error:
            self._fail(error.failed)
            return
        self._read()

    def _open(self, limit: int, *, whole: bool, window: int) -> None:
        self._open_body(self._length, self._chunked, limit, whole=whole, window=window)
        self._phase = _Phase.WHOLE if whole else _Phase.PIECES

    def _read(self, data: bytes = b"") -> None:
        try:
            if self._phase in _READING and not self._unread:
                self._take_body(data)
            elif data:
                self._keep(data)
            while self._phase not in (_Phase.IDLE, _Phase.OVER):
                if self._phase is _Phase.HEAD:
                    head = self._next_head()
                    if head is None:
                        break
                    self._take_head(head)
                elif self._phase in _READING:
                    if not self._read_on():
                        return
                else:
                    break
            if self._ended and self._phase is _Phase.HEAD:
                raise Broken("the server closed the connection before it answered", HTTPStatus.BAD_GATEWAY)
        except Broken as error:
            self._fail(error.failed)

    def _take_head(self, head: h11.Request | h11.Response | h11.InformationalResponse) -> None:
        headers = decoded(head.headers)
        if not isinstance(head, h11.Response):
            self._take_interim(head, headers)
            return
        self._leave_head()
        self._length, self._chunked = self._framing(head, headers)
        self._status, self._headers = head.status_code, headers
        if self._unsent:
            self._last = True
        self._unsent = 0
        self._patient = False
        version = bytes(head.http_version)
        self._last = self._last or version != b"1.1" or names_token(headers, "connection", "close")
        if self._judge:
            self._phase = _Phase.JUDGING
            self._events.append(HttpAnswer(head.status_code, headers, self._length))
        else:
            self._open(HTTP_ANSWER_BYTES, whole=True, window=HTTP_WINDOW_BYTES)

    def _take_interim(self, head: h11.Request | h11.InformationalResponse, headers: Headers) -> None:
        if isinstance(head, h11.Request) or head.status_code == HTTPStatus.SWITCHING_PROTOCOLS:
            raise Broken("the server left HTTP without being asked", HTTPStatus.BAD_GATEWAY)
        self._interims += 1
        if self._interims > HTTP_INTERIM_RESPONSES:
            raise Broken("there are too many interim responses", HTTPStatus.BAD_GATEWAY)
        if head.status_code == HTTPStatus.CONTINUE:
            self._patient = False
        if self._tell:
            self._events.append(HttpInterim(head.status_code, headers))

    def _framing(self, response: h11.Response, headers: Headers) -> tuple[int | None, bool]:
        bodyless = self._of_head or response.status_code in (
            HTTPStatus.NO_CONTENT,
            HTTPStatus.NOT_MODIFIED,
        )
        return (0, False) if bodyless else body_length(response, headers)

    def _take_body(self, data: bytes) -> None:
        payload = self._read_body(data)
        if payload:
            self._events.append(HttpPiece(payload))

    def _read_on(self) -> bool:
        """Read more of the body; whether that is of any use."""
        if self._unread:
            data = bytes(self._unread)
            self._unread.clear()
            self._take_body(data)
        body = self._body
        assert body is not None
        if self._ended and body.fault is None:
            body.feed_eof()
        if not self._check_body():
            return False
        self._finish()
        return True

    def _finish(self) -> None:
        endless = self._length is None and not self._chunked
        reusable = not (self._last or endless or self._unread or self._ended)
        if self._phase is _Phase.WHOLE:
            whole = self._take_whole()
            self._events.append(HttpResponse(self._status, self._headers, whole, reusable))
        else:
            self._events.append(HttpBodyEnd(self._size))
        self._body = None
        if reusable:
            self._phase = _Phase.IDLE
        else:
            self._phase = _Phase.OVER
            self._drop()

    def _fail(self, failed: HttpFailed) -> None:
        self._phase = _Phase.OVER
        self._events.append(failed)
        self._drop()
