"""What both roles of an HTTP exchange share: the way from bytes to heads and bodies, and what waits to be sent."""

from typing import Final

import h11

from rtmcore.errors import LocalProtocolError
from rtmcore.limits import HANDSHAKE_BYTES, HANDSHAKE_HEADERS, HTTP_EARLY_BYTES, HTTP_WINDOW_BYTES
from rtmcore.wire.exchange.bodies import Body, ChunkedBody, EndlessBody, LengthBody, too_long
from rtmcore.wire.exchange.events import HttpFailed
from rtmcore.wire.http import Headers, header_values, local_errors

_HEAD_PIECE: Final = 1024
"""Bytes given to h11 at once: about a head, since what lies behind it has to be taken back."""

Head = h11.Request | h11.Response | h11.InformationalResponse


class Broken(Exception):
    """The peer broke a rule; never leaves a connection."""

    def __init__(self, what: str, status: int = 400) -> None:
        super().__init__(what)
        self.failed = HttpFailed(what, status)


class Exchange:
    """What both roles share."""

    __slots__ = (
        "_body",
        "_bound",
        "_given",
        "_held",
        "_http",
        "_output",
        "_role",
        "_size",
        "_unread",
        "_unsent",
        "_waiting",
        "_whole",
        "_window",
        "closed",
    )

    def __init__(self, role: type[h11.CLIENT] | type[h11.SERVER]) -> None:
        self._role = role
        self._begin_heads()
        self._unread = bytearray()
        self._body: Body | None = None
        # The body so far where it was admitted whole; None where it goes out in pieces.
        self._whole: bytearray | None = None
        self._size = 0
        self._window = HTTP_WINDOW_BYTES
        self._bound = 0
        self._held = 0  # bytes of pieces that were not reported as consumed
        self._output: list[bytes] = []
        self._waiting = 0  # bytes of the output
        self._unsent = 0  # bytes of the own body that are still to be given
        self.closed = False
        """Whether the connection is of no use any more."""

    # --- For owners ----------------------------------------------------------------

    @property
    def room(self) -> int:
        """Bytes that `send` takes now; 0 where no body is on its way out.

        At most `limits.HTTP_WINDOW_BYTES` wait until `data_to_send` takes them.
        """
        if self.closed:
            return 0
        return max(0, min(self._unsent, HTTP_WINDOW_BYTES - self._waiting))

    @property
    def unsent(self) -> int:
        """Bytes of the body on its way out that were not given to `send` yet."""
        return self._unsent

    def consumed(self, size: int) -> None:
        """Report pieces of a body as done with: as many more may be read. Look at `wants_data` afterwards.

        Also those of a body that is over count; late reports of a connection that is over mean nothing.

        Args:
            size: Bytes, of one or more `HttpPiece` events.

        Raises:
            LocalProtocolError: There were not as many.
        """
        if self.closed:
            return
        if not 0 <= size <= self._held:
            raise LocalProtocolError(
                f"Cannot report {size} bytes of an HTTP body as consumed: {self._held} are under way."
            )
        self._held -= size

    def send(self, data: bytes) -> None:
        """Give the next bytes of the body that `start` announced. Call `next_event` and `data_to_send` afterwards.

        The bytes are kept as they are, not copied. On a connection that is over they are dropped.

        Args:
            data: At most `room` bytes.

        Raises:
            LocalProtocolError: There is no room for them now, or no body is on its way out.
        """
        if self.closed or not data:
            return
        if len(data) > self.room:
            raise LocalProtocolError(
                f"Cannot take {len(data)} bytes of an HTTP body now: there is room for {self.room}. "
                "Write what data_to_send gives, and look at room before each piece."
            )
        self._write(data)
        self._unsent -= len(data)
        if not self._unsent:
            self._body_sent()

    def data_to_send(self) -> list[bytes]:
        """The bytes made since the last call, in order."""
        output = self._output
        if output:
            self._output = []
            self._waiting = 0
        return output

    # --- For both roles --------------------------------------------------------------

    def _keep(self, data: bytes) -> None:
        """Keep what comes before its turn. One read is kept whatever its size, which the owner chose.

        Raises:
            Broken: It is too much.
        """
        if self._unread and len(self._unread) + len(data) > HTTP_EARLY_BYTES:
            raise Broken("too much was sent before its turn")
        self._unread += data

    def _body_sent(self) -> None:
        """The last byte of the own body was given."""

    def _begin_heads(self) -> None:
        """Begin the next request: h11 never hears of bodies, so it cannot go on behind one."""
        self._http = h11.Connection(self._role, max_incomplete_event_size=HANDSHAKE_BYTES)
        self._given = 0  # bytes of the head to come that h11 has

    def _write(self, data: bytes) -> None:
        if data:
            self._output.append(data)
            self._waiting += len(data)

    def _write_head(self, head: Head) -> None:
        with local_errors():
            self._write(self._http.send(head))

    def _next_head(self) -> Head | None:
        """The head that comes next, or None where it is not complete."""
        while True:
            try:
                event = self._http.next_event()
            except h11.RemoteProtocolError as error:
                raise Broken("the message is not valid HTTP", error.error_status_hint) from None
            if isinstance(event, Head):
                if len(event.headers) > HANDSHAKE_HEADERS:
                    raise Broken(f"the head has more than {HANDSHAKE_HEADERS} header fields", 431)
                self._given = len(self._http.trailing_data[0])
                return event
            if not self._unread:
                return None
            # h11 looks at its limit only when it needs more; thus it never has more than the limit.
            piece = bytes(self._unread[: min(_HEAD_PIECE, HANDSHAKE_BYTES - self._given)])
            if not piece:
                raise Broken(f"the head is longer than {HANDSHAKE_BYTES} bytes", 431)
            self._given += len(piece)
            self._http.receive_data(piece)
            del self._unread[: len(piece)]

    def _leave_head(self) -> None:
        """Take back what h11 was given of the bytes behind a head."""
        self._unread[:0] = self._http.trailing_data[0]

    def _open_body(self, length: int | None, chunked: bool, limit: int, *, whole: bool, window: int) -> None:
        if length is not None and length > limit:
            raise Broken(too_long(limit).what, too_long(limit).status)
        self._whole = bytearray() if whole else None
        self._size = 0
        self._window = window
        self._bound = self._held + window + HTTP_EARLY_BYTES
        if length is not None:
            self._body = LengthBody(length)
        else:
            self._body = ChunkedBody(limit) if chunked else EndlessBody(limit)

    def _read_body(self, data: bytes) -> bytes:
        """Take bytes of the body; returns what belongs into a piece. Then `_check_body` tells what is wrong.

        Raises:
            Broken: There are more pieces that nobody consumed than an owner lets come who heeds `wants_data`.
        """
        body = self._body
        assert body is not None
        if self._whole is None and self._held > self._bound:
            raise Broken("too much was sent before its turn")
        payload, rest = body.feed(data)
        self._unread[:0] = rest
        self._size += len(payload)
        if self._whole is not None:
            self._whole += payload
            return b""
        self._held += len(payload)
        return payload

    def _check_body(self) -> bool:
        """Whether the body is complete.

        Raises:
            Broken: It never will be.
        """
        body = self._body
        assert body is not None
        if body.fault is not None:
            raise Broken(body.fault.what, body.fault.status)
        return body.done

    def _take_whole(self) -> bytes:
        whole = bytes(self._whole or b"")
        self._whole = None
        return whole

    def _drop(self) -> None:
        self.closed = True
        self._unread.clear()
        self._whole = self._body = None
        self._held = self._unsent = 0


def body_length(head: h11.Request | h11.Response, headers: Headers) -> tuple[int | None, bool]:
    """Length of the body that a head announces, and whether it comes in chunks; None and False: nothing is told.

    Raises:
        Broken: It is told in two ways, or in one that this version of HTTP does not have.
    """
    chunked = bool(header_values(headers, "transfer-encoding"))
    lengths = header_values(headers, "content-length")
    if chunked and lengths:
        raise Broken("the length of the body is told in two ways")
    if chunked and bytes(head.http_version) != b"1.1":
        raise Broken("chunks are used in a version of HTTP that does not have them")
    return (int(lengths[0]) if lengths else None), chunked
