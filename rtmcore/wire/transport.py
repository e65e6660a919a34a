"""One WebSocket connection that carries packets, from its first byte to its close; no socket, no clock.

Both roles have the same verbs: bytes and time go in, bytes and events come out.
Peer input never raises: whatever ends the connection becomes one `Closed`
event, and everything after it is ignored.

The timers of a session (login, hello, silence) belong to the owner. Here are
only those that concern the connection alone: a beat when nothing was sent for
`beat_interval` seconds, and the wait for the answer to a close frame.
"""

import enum
import json
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

import attrs

from rtmcore.codes import CloseCode
from rtmcore.errors import LocalProtocolError, RemoteProtocolError, RtmError
from rtmcore.limits import BEAT_INTERVAL, CLOSE_HANDSHAKE_TIMEOUT
from rtmcore.wire.codec import CODECS, Codec
from rtmcore.wire.exchange import (
    HttpBody,
    HttpBodyEnd,
    HttpEnded,
    HttpFailed,
    HttpHead,
    HttpPiece,
    HttpServerConnection,
)
from rtmcore.wire.framing import ABNORMAL_CLOSURE, Framing, server_frame
from rtmcore.wire.handshake import (
    ClientHandshake,
    HandshakeRefused,
    HttpRequested,
    ServerHandshake,
    ServiceRequested,
    UpgradeRequested,
)
from rtmcore.wire.packets import Beat, Packet


class TransportState(enum.Enum):
    """How far a connection has come."""

    OPENING = "opening"
    OPEN = "open"
    CLOSING = "closing"
    """A close frame was made here; the peer's answer is awaited."""
    CLOSED = "closed"


# Looking up a member of an enumeration costs a call before Python 3.12, and this one is needed all the time.
_OPEN: Final = TransportState.OPEN


@attrs.frozen
class Opened:
    """The handshake is done: packets can be sent."""

    subprotocol: str


@attrs.define
class Received:
    """The packets of one WebSocket message."""

    packets: list[Packet]


@attrs.frozen
class Closed:
    """The connection has ended; the socket can be closed once `data_to_send` is written."""

    code: int
    """The close code: the peer's, that of `error`, one's own, or 1006."""
    reason: str
    error: RtmError | None = None
    """What the peer did wrong, or how it refused."""
    retry_after: float | None = None
    """Seconds after which the peer asks to be tried again."""
    unread: bool = False
    """Whether the client may still be sending; see `HttpEnded.unread`."""


TransportEvent = (
    Opened
    | Received
    | Closed
    | UpgradeRequested
    | HttpRequested
    | HttpHead
    | HttpBody
    | HttpPiece
    | HttpBodyEnd
)


class Transport:
    """What both roles share once a connection is open.

    Attributes:
        state: How far the connection has come.
        beat_interval: Seconds without anything sent after which a beat leaves.
        last_received: When the last byte came, in monotonic seconds.
        last_sent: When the last bytes were made.
    """

    __slots__ = (
        "_close_due",
        "_codec",
        "_events",
        "_framing",
        "_output",
        "_own_close",
        "beat_interval",
        "last_received",
        "last_sent",
        "state",
    )

    def __init__(self, now: float) -> None:
        self.state = TransportState.OPENING
        self.beat_interval = BEAT_INTERVAL
        self.last_received = now
        self.last_sent = now
        self._codec: Codec | None = None
        self._framing: Framing | None = None
        self._events: deque[TransportEvent] = deque()
        self._output: list[bytes] = []
        self._own_close: tuple[int, str] | None = None
        self._close_due: float | None = None

    @property
    def codec(self) -> Codec:
        """The codec that the peers agreed on.

        Raises:
            LocalProtocolError: The connection is not open yet.
        """
        if self._codec is None:
            raise LocalProtocolError("The WebSocket has no codec before its handshake is done.")
        return self._codec

    # --- Inputs -----------------------------------------------------------------

    def receive_data(self, data: bytes, now: float) -> None:
        """Take what was read from the peer. Call `next_event` and `data_to_send` afterwards.

        Args:
            data: At least one byte.
            now: Monotonic seconds.
        """
        if self.state is TransportState.CLOSED:
            return
        self.last_received = now
        if self._framing is None:
            self._receive_handshake(data, now)
        else:
            self._receive_frames(self._framing, data)

    def receive_eof(self, now: float) -> None:
        """Take the end of the peer's bytes. Call `next_event` afterwards."""
        if self.state is TransportState.CLOSED:
            return
        if self._framing is not None:
            self._framing.receive_eof()
            self._finish_if_closed(self._framing)
            return
        try:
            self._handshake_eof()
        except RtmError as error:
            self._fail(error)
            return
        self._finish(Closed(ABNORMAL_CLOSURE, "", None))

    def handle_timer(self, now: float) -> None:
        """Act on what is due. Call `next_event` and `data_to_send` afterwards."""
        if self._close_due is not None:
            if now >= self._close_due and self._own_close is not None:
                self._finish(Closed(*self._own_close))
        elif self.state is TransportState.OPEN and now >= self.last_sent + self.beat_interval:
            self.send((Beat(),), now)

    # --- Intents ----------------------------------------------------------------

    def send(self, packets: Sequence[Packet], now: float) -> None:
        """Send packets in one WebSocket message. Call `data_to_send` afterwards.

        Args:
            packets: At least one, at most `limits.PACKETS_PER_FRAME`.
            now: Monotonic seconds.

        Raises:
            LocalProtocolError: The connection is not open.
        """
        if self._framing is None or self.state is not _OPEN:
            raise LocalProtocolError(f"Cannot send packets on a WebSocket that is {self.state.value}.")
        self._output.append(self._framing.frame(self.codec.encode(packets)))
        self.last_sent = now

    def close(self, code: int, reason: str, now: float) -> None:
        """Say goodbye with a close frame, or just stop where the handshake is not done. Idempotent.

        The `Closed` event follows the peer's answer, or `limits.CLOSE_HANDSHAKE_TIMEOUT` seconds.

        Args:
            code: See `framing.check_close_code`.
            reason: For people, or JSON ``{"r": milliseconds}`` to say when to come back.
            now: Monotonic seconds.
        """
        if self.state in (TransportState.CLOSING, TransportState.CLOSED):
            return
        if self._framing is None:
            self._finish(Closed(code, reason))
            return
        self._framing.close(code, reason)
        self._collect(self._framing)
        self._own_close = (code, reason)
        self._close_due = now + CLOSE_HANDSHAKE_TIMEOUT
        self.state = TransportState.CLOSING

    # --- Outputs ----------------------------------------------------------------

    def data_to_send(self) -> list[bytes]:
        """The bytes made since the last call, in order."""
        output = self._output
        if output:
            self._output = []
        return output

    def next_event(self) -> TransportEvent | None:
        """The next event, or None."""
        return self._events.popleft() if self._events else None

    def next_deadline(self) -> float | None:
        """When `handle_timer` must be called next, in monotonic seconds, or None."""
        if self._close_due is not None:
            return self._close_due
        if self.state is _OPEN:
            return self.last_sent + self.beat_interval
        return None

    # --- Inside -----------------------------------------------------------------

    def _receive_handshake(self, data: bytes, now: float) -> None:
        raise NotImplementedError

    def _handshake_eof(self) -> None:
        """Judge the end of the bytes during the handshake; may raise."""

    def _open(self, framing: Framing, codec: Codec, now: float) -> None:
        self._framing = framing
        self._codec = codec
        self.state = TransportState.OPEN
        self.last_sent = now
        self._events.append(Opened(codec.subprotocol))
        self._receive_frames(framing, b"")

    def _receive_frames(self, framing: Framing, data: bytes) -> None:
        codec = self._codec
        assert codec is not None
        for message in framing.receive(data):
            try:
                self._events.append(Received(codec.decode(message)))
            except RemoteProtocolError as error:
                if self.state is TransportState.OPEN:
                    framing.close(_close_code(error), error.message)
                self._collect(framing)
                self._fail(error)
                return
        self._collect(framing)
        self._finish_if_closed(framing)

    def _collect(self, framing: Framing) -> None:
        control = framing.data_to_send()
        if control:
            self._output.append(control)

    def _finish_if_closed(self, framing: Framing) -> None:
        if not framing.closed:
            return
        if self._own_close is not None and framing.error is None:
            self._finish(Closed(*self._own_close))
        elif framing.peer_close is not None:
            code, reason = framing.peer_close
            self._finish(Closed(code, reason, None, _retry_after(reason)))
        elif framing.error is not None:
            self._fail(framing.error)
        else:
            self._finish(Closed(ABNORMAL_CLOSURE, ""))

    def _fail(self, error: RtmError) -> None:
        code = _close_code(error) if isinstance(error, RemoteProtocolError) else ABNORMAL_CLOSURE
        retry_after = error.retry_after if isinstance(error, HandshakeRefused) else None
        self._finish(Closed(code, str(error), error, retry_after))

    def _finish(self, closed: Closed) -> None:
        self.state = TransportState.CLOSED
        self._close_due = None
        self._events.append(closed)


class ClientTransport(Transport):
    """The side that opens the connection.

    Args:
        host: Value of the Host header, with the port where it is not the scheme's own.
        target: Path and query of the URL.
        subprotocols: Names of codecs, in order of preference.
        nonce: 16 random bytes for Sec-WebSocket-Key.
        mask_key: Four unpredictable bytes at each call (RFC 6455 section 5.3).
        now: Monotonic seconds.
    """

    __slots__ = ("_handshake", "_mask_key")

    def __init__(
        self,
        *,
        host: str,
        target: str,
        subprotocols: Sequence[str],
        nonce: bytes,
        mask_key: Callable[[], bytes],
        now: float,
    ) -> None:
        super().__init__(now)
        self._mask_key = mask_key
        self._handshake: ClientHandshake | None = ClientHandshake(
            host=host, target=target, subprotocols=subprotocols, nonce=nonce
        )
        self._output.append(self._handshake.request())

    def _receive_handshake(self, data: bytes, now: float) -> None:
        assert self._handshake is not None
        try:
            accepted = self._handshake.receive(data)
        except RtmError as error:
            self._fail(error)
            return
        if accepted is None:
            return
        self._handshake = None
        codec = CODECS[accepted.subprotocol]
        framing = Framing(client=True, text=codec.text, mask_key=self._mask_key, trailing=accepted.trailing)
        self._open(framing, codec, now)

    def _handshake_eof(self) -> None:
        assert self._handshake is not None
        self._handshake.receive_eof()


class ServerTransport(Transport):
    """The side that accepts connections, plain HTTP requests among them.

    An `UpgradeRequested` event is answered by `accept` or `refuse`, an
    `HttpRequested` event by `respond`. Below the path of the service a
    connection stays HTTP: there, `HttpHead` is answered by `admit_body` or
    `answer`, and `HttpBody` by `answer`. `http` has the verbs for bodies in pieces.

    Args:
        now: Monotonic seconds.
        service: What the paths of the service begin with; None where there is none.
    """

    __slots__ = ("_exchange", "_handshake", "_read")

    def __init__(self, now: float, service: str | None = None) -> None:
        super().__init__(now)
        self._handshake: ServerHandshake | None = ServerHandshake(service)
        self._exchange: HttpServerConnection | None = None
        self._read = bytearray() if service is not None else None

    def accept(self, codec: Codec, now: float) -> None:
        """Open the WebSocket with a codec that the client offered. Call `data_to_send` afterwards.

        Raises:
            LocalProtocolError: No upgrade was requested.
        """
        handshake = self._pending()
        self._output.append(handshake.accept(codec.subprotocol))
        self._handshake = None
        self._open(Framing(client=False, text=codec.text, trailing=handshake.trailing), codec, now)

    def refuse(self, status: int, text: str, headers: Sequence[tuple[str, str]] = ()) -> None:
        """Refuse a request with an HTTP status and a sentence for people. Call `data_to_send` afterwards."""
        self._answer(self._pending().reject(status, text, headers))

    def respond(self, status: int, headers: Sequence[tuple[str, str]], body: bytes) -> None:
        """Answer a plain HTTP request and end the connection. Call `data_to_send` afterwards."""
        self._answer(self._pending().respond(status, headers, body))

    @property
    def http(self) -> HttpServerConnection:
        """The requests to the service. Use its verbs, and this transport's `next_event` and `data_to_send`.

        Raises:
            LocalProtocolError: There was none on this connection.
        """
        if self._exchange is None:
            raise LocalProtocolError("There is no HTTP request to the service on this connection.")
        return self._exchange

    @property
    def wants_data(self) -> bool:
        """Whether to read from the socket; see `rtmcore.wire.exchange`. True where that has no say."""
        return self._exchange is None or self._exchange.wants_data

    def next_event(self) -> TransportEvent | None:
        """The next event, or None."""
        if self._exchange is not None:
            self._collect_exchange(self._exchange)
        # Not by way of the base class: each message of a WebSocket passes here twice.
        return self._events.popleft() if self._events else None

    def data_to_send(self) -> list[bytes]:
        """The bytes made since the last call, in order."""
        output = self._output
        if self._exchange is not None:
            output += self._exchange.data_to_send()
        if output:
            self._output = []
        return output

    def admit_body(self) -> None:
        """Ask for the body of the request whose head came. Call `next_event` and `data_to_send` afterwards."""
        self.http.admit()
        self._collect_exchange(self.http)

    def answer(self, status: int, headers: Sequence[tuple[str, str]], body: bytes, *, close: bool) -> None:
        """Answer a request to the service. Call `next_event` and `data_to_send` afterwards.

        Args:
            status: 200 to 599.
            headers: See `HttpServerConnection.respond`.
            body: The body.
            close: Whether the connection is to end behind the answer.
        """
        self.http.respond(status, headers, body, close=close)
        self._collect_exchange(self.http)

    def send_frame(self, frame: bytes, now: float) -> None:
        """Send a whole message made by `server_message` with this connection's codec.

        The bytes are shared, not copied: that is what makes a broadcast cheap.
        """
        if self.state is _OPEN:
            self._output.append(frame)
            self.last_sent = now

    def _answer(self, response: bytes) -> None:
        self._output.append(response)
        self._handshake = None
        self._finish(Closed(CloseCode.NORMAL, "answered over HTTP"))

    def _pending(self) -> ServerHandshake:
        if self._handshake is None or self.state is TransportState.CLOSED:
            raise LocalProtocolError("There is no HTTP request to answer on this connection.")
        return self._handshake

    def _receive_handshake(self, data: bytes, now: float) -> None:
        if self._exchange is not None:
            self._exchange.receive_data(data)
            self._collect_exchange(self._exchange)
            return
        if self._handshake is None:
            return
        if self._read is not None:
            self._read += data
        try:
            request = self._handshake.receive(data)
        except RtmError as error:
            self._read = None
            self._refuse_garbage(error)
            return
        if request is None:
            return
        read, self._read = self._read, None
        if isinstance(request, ServiceRequested):
            assert read is not None
            self._handshake = None
            self._exchange = HttpServerConnection()
            self._exchange.receive_data(bytes(read))
            self._collect_exchange(self._exchange)
        else:
            self._events.append(request)

    def _collect_exchange(self, exchange: HttpServerConnection) -> None:
        while (event := exchange.next_event()) is not None:
            if isinstance(event, HttpEnded):
                self._finish(Closed(CloseCode.NORMAL, "answered over HTTP", unread=event.unread))
            elif isinstance(event, HttpFailed):
                self._finish(Closed(CloseCode.PROTOCOL_ERROR, event.what, unread=True))
            else:
                self._events.append(event)

    def _handshake_eof(self) -> None:
        if self._handshake is not None:
            self._handshake.receive_eof()

    def _refuse_garbage(self, error: RtmError) -> None:
        assert self._handshake is not None
        response = self._handshake.failure_response()
        if response:
            self._output.append(response)
        self._fail(error)


def server_message(codec: Codec, packets: Sequence[Packet]) -> bytes:
    """Packets as one framed message that can be sent to any number of connections of a codec."""
    return server_frame(codec.encode(packets), codec.text)


def _close_code(error: RemoteProtocolError) -> int:
    return CloseCode.PROTOCOL_ERROR if error.close_code is None else error.close_code


def _retry_after(reason: str) -> float | None:
    """Seconds from a close reason of the form ``{"r": milliseconds}``."""
    if not reason.startswith("{"):
        return None
    try:
        milliseconds = json.loads(reason).get("r")
    except (ValueError, AttributeError, RecursionError):
        return None
    if isinstance(milliseconds, bool) or not isinstance(milliseconds, int | float):
        return None
    return milliseconds / 1000 if 0 <= milliseconds < 3_600_000 else None
