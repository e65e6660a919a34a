"""The side of an HTTP exchange that answers."""

import enum
from collections import deque
from collections.abc import Iterable
from http import HTTPStatus
from typing import Final

import h11

from rtmcore.errors import LocalProtocolError
from rtmcore.limits import HTTP_BODY_BYTES, HTTP_WINDOW_BYTES
from rtmcore.wire.exchange.common import Broken, Exchange, body_length
from rtmcore.wire.exchange.events import HttpBody, HttpBodyEnd, HttpEnded, HttpFailed, HttpHead, HttpPiece
from rtmcore.wire.http import Headers, decoded, encoded, local_errors, names_token

ServerEvent = HttpHead | HttpBody | HttpPiece | HttpBodyEnd | HttpFailed | HttpEnded

_NO_CONTENT: Final = (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED)
"""Statuses of answers without a body."""


class _Phase(enum.Enum):
    HEAD = "between requests"
    JUDGING = "behind a request's head"
    WHOLE = "in a body that is collected"
    PIECES = "in a body that comes in pieces"
    ANSWERING = "behind a whole request"
    SENDING = "in an answer"
    OVER = "over"


_READING: Final = frozenset({_Phase.WHOLE, _Phase.PIECES})
_UNANSWERED: Final = frozenset({_Phase.JUDGING, _Phase.ANSWERING, *_READING})

# What may be said when; saying it behind the end means nothing.
_ALLOWED: Final = {
    "admit": frozenset({_Phase.JUDGING}),
    "inform": _UNANSWERED,
    "answer": _UNANSWERED,
}


class HttpServerConnection(Exchange):
    """The side that answers.

    A request begins with `HttpHead`. Then `admit` asks for the body whole, which comes as one `HttpBody`, or
    `admit_pieces` for `HttpPiece` events up to an `HttpBodyEnd`. `respond` answers at any time from the head on, and
    so does `start`; where the request's body has not been read by then, the connection ends behind the answer.
    The next request is read behind the answer; at most `limits.HTTP_EARLY_BYTES` are kept of what comes too early.
    """

    __slots__ = ("_continues", "_cut", "_events", "_last", "_length", "_of_head", "_phase")

    def __init__(self) -> None:
        super().__init__(h11.SERVER)
        self._events: deque[ServerEvent] = deque()
        self._phase = _Phase.HEAD
        self._of_head = False
        self._length: int | None = 0
        self._continues = False
        self._last = False  # whether the connection ends behind the answer
        self._cut = False  # whether something of the request's body is never read

    # --- What comes in ---------------------------------------------------------------

    @property
    def idle(self) -> bool:
        """Whether no request is under way."""
        return self._phase is _Phase.HEAD and not self._unread and not self._http.trailing_data[0]

    @property
    def wants_data(self) -> bool:
        """Whether to read from the socket; see the module."""
        if self._phase in _READING:
            return self._held < self._window
        return not self.closed and not self._unread

    def receive_data(self, data: bytes) -> None:
        """Take what was read from the client. Call `next_event` and `data_to_send` afterwards."""
        if self.closed:
            return
        try:
            if self._phase in _READING and not self._unread:
                self._take_body(data)
            else:
                self._keep(data)
            self._read_events()
        except Broken as error:
            self._refuse(error.failed)

    def receive_eof(self) -> None:
        """Take the end of the client's bytes: nobody waits for an answer any more."""
        if not self.closed:
            self._end()

    def next_event(self) -> ServerEvent | None:
        """The next event, or None."""
        return self._events.popleft() if self._events else None

    # --- What goes out ---------------------------------------------------------------

    def admit(self) -> None:
        """Ask for the body of the request whose head has come, whole. Call `next_event` and so on afterwards.

        A body above `limits.HTTP_BODY_BYTES` is answered with 413, and `HttpFailed` follows.

        Raises:
            LocalProtocolError: No head waits for that.
        """
        self._admit(HTTP_BODY_BYTES, whole=True, window=HTTP_WINDOW_BYTES)

    def admit_pieces(self, limit: int, *, window: int = HTTP_WINDOW_BYTES) -> None:
        """Ask for the body of the request whose head has come, in pieces. Call `next_event` and so on afterwards.

        Args:
            limit: Bytes of a body above which it is answered with 413, and `HttpFailed` follows. Where the head
                tells the length, no piece comes before that; in chunks, what fits comes first.
            window: Bytes of pieces not yet `consumed` at which `wants_data` becomes False.

        Raises:
            LocalProtocolError: No head waits for that.
        """
        self._admit(limit, whole=False, window=window)

    def inform(self, status: int, headers: Iterable[tuple[str, str]] = ()) -> None:
        """Send an interim response before the answer, for example 104. Call `data_to_send` afterwards.

        Args:
            status: 102 to 199.
            headers: Header fields.

        Raises:
            LocalProtocolError: No request waits for an answer, or a header field is not valid in HTTP.
        """
        if not self._may("inform", "to inform about"):
            return
        if not HTTPStatus.PROCESSING <= status < HTTPStatus.OK:
            raise LocalProtocolError(
                f"An interim response of HTTP has a status from 102 to 199, not {status}."
            )
        self._write_interim(status, headers)

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
        if not self._may("answer", "to answer"):
            return
        self._begin(status, headers, len(body), close=close)
        if not self._of_head:
            self._write(body)
        self._finish()

    def start(
        self, status: int, headers: Iterable[tuple[str, str]] = (), *, length: int, close: bool = False
    ) -> None:
        """Begin an answer whose body is given by `send`. Call `next_event` and `data_to_send` afterwards.

        The answer to HEAD is complete with that: it tells the length, and has no body.

        Args:
            status: 200 to 599.
            headers: See `respond`.
            length: Bytes of the body. Where they cannot be had after all, `abort`.
            close: See `respond`.

        Raises:
            LocalProtocolError: See `respond`.
        """
        if not self._may("answer", "to answer"):
            return
        self._begin(status, headers, length, close=close)
        if self._of_head or not length:
            self._finish()
        else:
            self._unsent = length
            self._phase = _Phase.SENDING

    def abort(self) -> None:
        """End the connection here, in the middle of whatever it is; the client sees that. Idempotent."""
        if not self.closed:
            self._end()

    # --- Inside ------------------------------------------------------------------------

    def _may(self, verb: str, purpose: str) -> bool:
        """Whether there is still somebody to talk to.

        Raises:
            LocalProtocolError: It is not the time for that.
        """
        if self.closed:
            return False
        if self._phase not in _ALLOWED[verb]:
            raise LocalProtocolError(
                f"There is no HTTP request {purpose} on this connection: it is {self._phase.value}."
            )
        return True

    def _admit(self, limit: int, *, whole: bool, window: int) -> None:
        if not self._may("admit", "whose body could be admitted"):
            return
        try:
            self._open_body(self._length, self._length is None, limit, whole=whole, window=window)
            self._phase = _Phase.WHOLE if whole else _Phase.PIECES
            if self._continues:
                self._write_interim(HTTPStatus.CONTINUE, ())
            self._read_events()
        except Broken as error:
            self._refuse(error.failed)

    def _read_events(self) -> None:
        while not self.closed:
            if self._phase is _Phase.HEAD:
                head = self._next_head()
                if head is None:
                    break
                assert isinstance(head, h11.Request)
                self._leave_head()
                self._judge(head)
            elif self._phase in _READING:
                if self._unread:
                    data = bytes(self._unread)
                    self._unread.clear()
                    self._take_body(data)
                if not self._end_body():
                    break
            else:
                break

    def _judge(self, request: h11.Request) -> None:
        headers = decoded(request.headers)
        self._of_head = request.method == b"HEAD"
        if bytes(request.http_version) != b"1.1":
            raise Broken("only HTTP/1.1 is spoken here", 505)
        if request.method == b"CONNECT":
            raise Broken("this is not a proxy", 405)
        length, chunked = body_length(request, headers)
        self._length = length if length is not None or chunked else 0
        self._continues = self._length != 0 and names_token(headers, "expect", "100-continue")
        self._last = names_token(headers, "connection", "close")
        self._phase = _Phase.JUDGING
        target = bytes(request.target).decode("ascii")
        method = bytes(request.method).decode("ascii")
        self._events.append(HttpHead(method, target, headers, self._length, self._continues))

    def _take_body(self, data: bytes) -> None:
        payload = self._read_body(data)
        if payload:
            self._events.append(HttpPiece(payload))

    def _end_body(self) -> bool:
        if not self._check_body():
            return False
        whole = self._phase is _Phase.WHOLE
        self._events.append(HttpBody(self._take_whole()) if whole else HttpBodyEnd(self._size))
        self._phase = _Phase.ANSWERING
        return True

    def _begin(self, status: int, headers: Iterable[tuple[str, str]], length: int, *, close: bool) -> None:
        """Write the head of an answer."""
        if status in _NO_CONTENT and length:
            raise LocalProtocolError(f"An answer with the status {status} has no body.")
        unread = self._unread_body()
        fields = list(headers)
        if status not in _NO_CONTENT:
            fields.append(("Content-Length", str(length)))
        if close or unread or self._last:
            fields.append(("Connection", "close"))
        self._write_head(_response(status, fields))
        self._last = close or unread or self._last
        self._cut = unread

    def _write_interim(self, status: int, headers: Iterable[tuple[str, str]]) -> None:
        with local_errors():
            interim = h11.InformationalResponse(
                status_code=status, headers=encoded(headers), reason=_reason(status)
            )
        self._write_head(interim)

    def _unread_body(self) -> bool:
        """Whether there is a body of which something was not read."""
        return self._phase in _READING or (self._phase is _Phase.JUDGING and self._length != 0)

    def _body_sent(self) -> None:
        self._finish()

    def _finish(self) -> None:
        """An answer is complete."""
        if self._last:
            self._end()
            return
        self._body = None
        self._of_head = False
        self._begin_heads()
        self._phase = _Phase.HEAD
        try:
            self._read_events()
        except Broken as error:
            self._refuse(error.failed)

    def _refuse(self, failed: HttpFailed) -> None:
        """Answer what is wrong, where an answer can still be told from others, and give up."""
        if self._phase not in (_Phase.ANSWERING, _Phase.SENDING):
            sentence = f"{failed.what[:1].upper()}{failed.what[1:]}.\n".encode()
            fields = [
                ("Content-Type", "text/plain; charset=utf-8"),
                ("Content-Length", str(len(sentence))),
                ("Connection", "close"),
            ]
            self._write_head(_response(failed.status, fields))
            if not self._of_head:
                self._write(sentence)
        self._phase = _Phase.OVER
        self._events.append(failed)
        self._drop()

    def _end(self) -> None:
        ended = HttpEnded(unread=self._cut or self._unread_body())
        self._phase = _Phase.OVER
        self._events.append(ended)
        self._drop()


def _reason(status: int) -> bytes:
    try:
        return HTTPStatus(status).phrase.encode()
    except ValueError:
        return b""


def _response(status: int, fields: Headers) -> h11.Response:
    with local_errors():
        return h11.Response(status_code=status, headers=encoded(fields), reason=_reason(status))
