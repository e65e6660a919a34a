"""WebSocket frames (RFC 6455) after the handshake: bytes to messages and back, for both roles.

Nearly every frame of a busy connection is whole, unfragmented and of the one data type that the subprotocol
uses. Those are parsed and built here directly, which costs a tenth of the general way. Everything else goes
frame by frame through `wsproto`, which alone judges what the RFC allows: control frames, fragments, reserved
bits and opcodes, lengths in the wrong form, masks in the wrong direction, text that is not UTF-8. An extension
that is never negotiated gives wsproto the limits that it lacks, before any payload is kept.

No compression is ever negotiated, so a reserved bit is an error.
"""

from collections.abc import Callable
from typing import Final

from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Event, Ping, Pong, TextMessage
from wsproto.extensions import Extension
from wsproto.frame_protocol import CloseReason, FrameDecoder, FrameProtocol, Opcode, RsvBits

from rtmcore.errors import LocalProtocolError, RemoteProtocolError
from rtmcore.limits import (
    CLOSE_REASON_BYTES,
    CONTROL_FRAMES_PER_READ,
    FRAGMENTS_PER_MESSAGE,
    FRAME_BYTES,
)

NO_STATUS: Final = 1005
"""Stands for the code of a close frame that has none; never on the wire."""

ABNORMAL_CLOSURE: Final = 1006
"""Stands for the code of a connection that ended without a close frame; never on the wire."""

_BAD_GATEWAY: Final = 1014
_FIRST_APPLICATION_CODE: Final = 3000
_LAST_CODE: Final = 4999
_SENDABLE_CODES: Final = frozenset({1000, 1001, 1002, 1003, *range(1007, 1015)})

_FIN: Final = 0x80
_MASKED: Final = 0x80
_LENGTH_BITS: Final = 0x7F
_TWO_BYTE_LENGTH: Final = 126
_EIGHT_BYTE_LENGTH: Final = 127

# Up to here one XOR of two long integers is quicker than four strided translations; measured on CPython 3.11,
# where they meet between 500 and 700 bytes.
_INTEGER_MASK_BYTES: Final = 512
_XOR_TABLES: Final = tuple(bytes(value ^ key for value in range(256)) for key in range(256))

_NO_RESERVED_BITS: Final = RsvBits(False, False, False)


def _apply_mask(payload: bytes, key: bytes) -> bytes:
    size = len(payload)
    if size <= _INTEGER_MASK_BYTES:
        repeated = (key * ((size + 3) >> 2))[:size]
        return (int.from_bytes(payload, "little") ^ int.from_bytes(repeated, "little")).to_bytes(
            size, "little"
        )
    masked = bytearray(payload)
    for offset in range(4):
        masked[offset::4] = masked[offset::4].translate(_XOR_TABLES[key[offset]])
    return bytes(masked)


def _header(first: int, mask_bit: int, size: int) -> bytes:
    if size < _TWO_BYTE_LENGTH:
        return bytes((first, mask_bit | size))
    if size < 1 << 16:
        return bytes((first, mask_bit | _TWO_BYTE_LENGTH, size >> 8, size & 0xFF))
    return bytes((first, mask_bit | _EIGHT_BYTE_LENGTH)) + size.to_bytes(8, "big")


def server_frame(payload: bytes, text: bool) -> bytes:
    """One whole data frame as a server sends it.

    Server frames carry no mask, so the same bytes can be written to any number of connections.

    Args:
        payload: The message; valid UTF-8 where `text` is True.
        text: True for a text message, False for a binary one.

    Returns:
        Header and payload.
    """
    return _header(_FIN | (Opcode.TEXT if text else Opcode.BINARY), 0, len(payload)) + payload


def check_close_code(code: int) -> None:
    """Refuse a code that must not stand in a close frame.

    Args:
        code: 1000 to 1003, 1007 to 1014, or 3000 to 4999 (RFC 6455 section 7.4 and the registry it opened).

    Raises:
        LocalProtocolError: Any other number.
    """
    if code not in _SENDABLE_CODES and not _FIRST_APPLICATION_CODE <= code <= _LAST_CODE:
        raise LocalProtocolError(
            f"Cannot close a WebSocket with code {code}: only 1000 to 1003, 1007 to 1014 and 3000 to 4999 are sent."
        )


class _InboundLimits(Extension):
    """Holds one connection to its limits from inside wsproto, where each frame's header passes first.

    The caller hands over whole headers only. wsproto would ask about a header again when its mask was missing,
    and the frame would count twice.
    """

    name = "rtm-limits"

    def __init__(self, text: bool, max_message: int, max_fragments: int) -> None:
        self._data_opcode = Opcode.TEXT if text else Opcode.BINARY
        self._max_message = max_message
        self._max_fragments = max_fragments
        self._opcode = Opcode.CONTINUATION
        self._size = 0
        self._fragments = 0
        self.inside_message = False
        self.refusal: str | None = None
        self.bad_gateway = False

    def enabled(self) -> bool:
        return True

    def offer(self) -> bool:
        return False

    def frame_inbound_header(
        self, proto: FrameDecoder | FrameProtocol, opcode: Opcode, rsv: RsvBits, payload_length: int
    ) -> CloseReason | RsvBits:
        self._opcode = opcode
        if any(rsv) or opcode.iscontrol():
            return _NO_RESERVED_BITS
        if opcode is Opcode.CONTINUATION:
            if not self.inside_message:
                return self._refuse(
                    CloseReason.PROTOCOL_ERROR, "a continuation without a message to continue"
                )
        elif self.inside_message:
            return self._refuse(CloseReason.PROTOCOL_ERROR, "a new message inside a fragmented one")
        elif opcode is not self._data_opcode:
            return self._refuse(
                CloseReason.UNSUPPORTED_DATA,
                f"a {opcode.name.lower()} message, but this subprotocol uses {self._data_opcode.name.lower()} ones",
            )
        else:
            self.inside_message = True
            self._size = self._fragments = 0
        self._size += payload_length
        self._fragments += 1
        if self._size > self._max_message:
            return self._refuse(
                CloseReason.MESSAGE_TOO_BIG,
                f"a message of {self._size} bytes or more, and {self._max_message} are allowed",
            )
        if self._fragments > self._max_fragments:
            return self._refuse(
                CloseReason.POLICY_VIOLATION, f"a message in more than {self._max_fragments} fragments"
            )
        return _NO_RESERVED_BITS

    def frame_inbound_payload_data(
        self, proto: FrameDecoder | FrameProtocol, data: bytes
    ) -> bytes | CloseReason:
        # wsproto takes 1014 for unassigned, but the registry has it and gateways send it.
        if self._opcode is Opcode.CLOSE and data[:2] == _BAD_GATEWAY.to_bytes(2, "big"):
            self.bad_gateway = True
            return CloseReason.TRY_AGAIN_LATER.to_bytes(2, "big") + data[2:]
        return data

    def frame_inbound_complete(
        self, proto: FrameDecoder | FrameProtocol, fin: bool
    ) -> bytes | CloseReason | None:
        if fin and not self._opcode.iscontrol():
            self.inside_message = False
        return None

    def _refuse(self, code: CloseReason, refusal: str) -> CloseReason:
        self.refusal = refusal
        return code


class Framing:
    """One WebSocket connection from the end of its handshake to its close.

    Peer input never raises. `receive` returns the messages that came before the end, whatever ended the
    connection, and the attributes tell the end: after `closed` became True nothing is received any more.
    Pings are answered here; the answers, and the close frame, wait in `data_to_send`.

    Args:
        client: True for the side that opened the connection. It masks, the server does not.
        text: True where messages are text, False where they are binary; the other kind closes with 1003.
        mask_key: For a client, and only for it: four unpredictable bytes at each call (RFC 6455 section 5.3).
        max_message: Bytes of one received message; more closes with 1009, judged by the header.
        max_fragments: Frames of one received message; more closes with 1008.
        trailing: What came behind the handshake in the same read. It is parsed by the next `receive`, so call
            ``receive(b"")`` when nothing else has arrived.

    Attributes:
        closed: True when nothing will be received any more and `data_to_send` holds the last bytes: the peer's
            close frame came (and is answered), it broke the protocol, or its bytes ended.
        closing: True when a close frame was made here; no data frame can follow it.
        peer_close: Code and reason of the peer's close frame, 1005 where it named none; None without one.
        error: What the peer did wrong; its `close_code` is 1002 for a broken rule, 1003 for the wrong kind of
            message, 1007 for text that is not UTF-8, 1008 for a flood of fragments or pings, 1009 for a message
            that is too large.

    Raises:
        LocalProtocolError: A client without `mask_key`, or a server with it.
    """

    __slots__ = (
        "_buffer",
        "_close_sent",
        "_control_frames",
        "_first",
        "_general",
        "_limits",
        "_mask_bit",
        "_mask_key",
        "_max_fragments",
        "_max_message",
        "_needed",
        "_output",
        "_owed",
        "_parts",
        "_text",
        "closed",
        "error",
        "peer_close",
    )

    def __init__(
        self,
        *,
        client: bool,
        text: bool,
        mask_key: Callable[[], bytes] | None = None,
        max_message: int = FRAME_BYTES,
        max_fragments: int = FRAGMENTS_PER_MESSAGE,
        trailing: bytes = b"",
    ) -> None:
        if client is not (mask_key is not None):
            raise LocalProtocolError(
                "A WebSocket client needs a source of mask keys, and a server has no use for one."
            )
        self._mask_key = mask_key
        self._text = text
        self._first = _FIN | (Opcode.TEXT if text else Opcode.BINARY)
        self._mask_bit = 0 if client else _MASKED
        self._max_message = max_message
        self._max_fragments = max_fragments
        # Bytes that await the rest of a header or of a whole frame, and how many make another look worthwhile.
        self._buffer = bytearray(trailing)
        self._needed = 1
        # The general way, made for the first frame that needs it: few connections ever do.
        self._general: Connection | None = None
        self._limits: _InboundLimits | None = None
        self._owed = 0  # payload bytes of a frame whose beginning went the general way
        self._parts = bytearray()  # the fragments of a message so far
        self._control_frames = 0
        self._output = bytearray()
        self._close_sent = False
        self.closed = False
        self.peer_close: tuple[int, str] | None = None
        self.error: RemoteProtocolError | None = None

    @property
    def closing(self) -> bool:
        """Whether a close frame was made here."""
        return self._close_sent

    @property
    def close_code(self) -> int | None:
        """Why the connection is `closed`, as a number: the peer's code, that of `error`, or 1006; None before."""
        if not self.closed:
            return None
        if self.error is not None:
            return self.error.close_code
        return ABNORMAL_CLOSURE if self.peer_close is None else self.peer_close[0]

    # --- Receiving ---------------------------------------------------------------------------------------------

    def receive(self, data: bytes) -> list[bytes]:
        """Take what was read from the peer.

        Args:
            data: Any piece of the stream, also none of it.

        Returns:
            The messages that are complete now, in order. Messages that follow a close frame made here are still
            returned, since the peer may not have seen it yet. Look at `closed` afterwards.
        """
        if self.closed:
            return []
        buffer = self._buffer
        if buffer:
            buffer += data
            if len(buffer) < self._needed:
                return []
            data = bytes(buffer)
            buffer.clear()
        messages: list[bytes] = []
        self._control_frames = 0
        position = 0
        while True:
            if not self._owed and (self._limits is None or not self._limits.inside_message):
                position = self._take_whole_frames(data, position, messages)
                if self._needed:
                    break
            position = self._take_part_of_frame(data, position, messages)
            if self.closed:
                return messages
            if self._needed:
                break
        if position < len(data):
            buffer += data[position:] if position else data
        return messages

    def receive_eof(self) -> None:
        """Take the end of the peer's bytes. Without a close frame before it, `close_code` is 1006."""
        if not self.closed:
            self._end()

    def _take_whole_frames(self, data: bytes, position: int, messages: list[bytes]) -> int:
        """Parse frames as long as they are of the common kind.

        Returns:
            Where parsing stopped. `_needed` is the size that the rest must reach first, or 0 where the frame
            there has to go the general way.
        """
        first, mask_bit, max_message, text = self._first, self._mask_bit, self._max_message, self._text
        size = len(data)
        while True:
            if size - position < 2:
                self._needed = 2
                return position
            start = position + 2
            length = data[position + 1] ^ mask_bit
            if data[position] != first or length > _LENGTH_BITS:
                break
            if length >= _TWO_BYTE_LENGTH:
                start += 2 if length == _TWO_BYTE_LENGTH else 8
                if start > size:
                    self._needed = start - position
                    return position
                shortest = _TWO_BYTE_LENGTH if length == _TWO_BYTE_LENGTH else 1 << 16
                length = int.from_bytes(data[position + 2 : start], "big")
                if length < shortest:
                    break
            if length > max_message:
                break
            end = start + length + 4 if mask_bit else start + length
            if end > size:
                self._needed = end - position
                return position
            payload = data[start:end]
            if mask_bit:
                payload = _apply_mask(payload[4:], payload[:4])
            if text and not payload.isascii():
                try:
                    payload.decode()
                except UnicodeDecodeError:
                    break
            messages.append(payload)
            position = end
        self._needed = 0
        return position

    def _take_part_of_frame(self, data: bytes, position: int, messages: list[bytes]) -> int:
        """Give wsproto what is there of one frame: its whole header first, then payload as it comes.

        Returns:
            Where the rest begins. `_needed` is 0 where the frame ended, else what it takes to go on.
        """
        available = len(data) - position
        if self._owed:
            part = min(self._owed, available)
            self._owed -= part
        else:
            if available < 2:
                self._needed = 2
                return position
            second = data[position + 1]
            short = second & _LENGTH_BITS
            length_end = {_TWO_BYTE_LENGTH: 4, _EIGHT_BYTE_LENGTH: 10}.get(short, 2)
            payload_start = length_end + (4 if second & _MASKED else 0)
            if available < payload_start:
                self._needed = payload_start
                return position
            length = (
                short
                if length_end == 2
                else int.from_bytes(data[position + 2 : position + length_end], "big")
            )
            part = min(payload_start + length, available)
            self._owed = payload_start + length - part
        self._needed = 1 if self._owed else 0
        self._judge(data[position : position + part], messages)
        return position + part

    def _judge(self, part: bytes, messages: list[bytes]) -> None:
        if self._general is None:
            self._limits = _InboundLimits(self._text, self._max_message, self._max_fragments)
            role = ConnectionType.SERVER if self._mask_bit else ConnectionType.CLIENT
            self._general = Connection(role, [self._limits])
        self._general.receive_data(part)
        for event in self._general.events():
            self._handle(event, messages)

    def _handle(self, event: Event, messages: list[bytes]) -> None:
        if isinstance(event, BytesMessage | TextMessage):
            self._parts += event.data if isinstance(event, BytesMessage) else event.data.encode()
            if event.message_finished:
                messages.append(bytes(self._parts))
                self._parts.clear()
        elif isinstance(event, Ping | Pong):
            self._control_frames += 1
            if self._control_frames > CONTROL_FRAMES_PER_READ:
                self._fail(
                    CloseReason.POLICY_VIOLATION,
                    f"more than {CONTROL_FRAMES_PER_READ} pings and pongs at once",
                )
            elif isinstance(event, Ping) and not self._close_sent:
                self._send_control(Opcode.PONG, bytes(event.payload))
        elif isinstance(event, CloseConnection):
            self._handle_close(event)

    def _handle_close(self, event: CloseConnection) -> None:
        assert self._general is not None
        assert self._limits is not None
        if self._general.state is not ConnectionState.REMOTE_CLOSING:
            # Not a close frame: this is how wsproto reports that it cannot parse on.
            self._fail(event.code, self._limits.refusal or event.reason or "an invalid frame")
            return
        code = _BAD_GATEWAY if self._limits.bad_gateway else int(event.code)
        self.peer_close = (code, event.reason or "")
        if not self._close_sent:
            self._send_close(b"" if code == NO_STATUS else code.to_bytes(2, "big"))
        self._end()

    def _fail(self, code: int, what: str) -> None:
        self.error = RemoteProtocolError(
            f"The WebSocket peer sent what is not allowed: {what}.", close_code=int(code)
        )
        if not self._close_sent:
            self._send_close(int(code).to_bytes(2, "big") + _shortened(what))
        self._end()

    def _end(self) -> None:
        self.closed = True
        self._owed = 0
        self._buffer.clear()
        self._parts.clear()
        self._general = self._limits = None

    # --- Sending -----------------------------------------------------------------------------------------------

    def frame(self, payload: bytes) -> bytes:
        """Build one whole data frame.

        Args:
            payload: The message; valid UTF-8 on a text connection.

        Returns:
            The bytes to write. They are not part of `data_to_send`, and go out before anything that it returns
            later.

        Raises:
            LocalProtocolError: After a close frame, or when the connection is `closed`.
        """
        if self._close_sent or self.closed:
            raise LocalProtocolError("Cannot send a message on a WebSocket that is closing or closed.")
        return self._build(self._first, payload)

    def close(self, code: int = CloseReason.NORMAL_CLOSURE, reason: str = "") -> None:
        """Make the close frame. A second call, and one after the end, does nothing.

        Args:
            code: See `check_close_code`.
            reason: For people, cut to `limits.CLOSE_REASON_BYTES` bytes of UTF-8.

        Raises:
            LocalProtocolError: The code must not be sent.
        """
        check_close_code(code)
        if not self._close_sent and not self.closed:
            self._send_close(int(code).to_bytes(2, "big") + _shortened(reason))

    def data_to_send(self) -> bytes:
        """The pongs and the close frame made since the last call; empty where there are none."""
        data = bytes(self._output)
        self._output.clear()
        return data

    def _send_close(self, payload: bytes) -> None:
        self._close_sent = True
        self._send_control(Opcode.CLOSE, payload)

    def _send_control(self, opcode: Opcode, payload: bytes) -> None:
        self._output += self._build(_FIN | opcode, payload)

    def _build(self, first: int, payload: bytes) -> bytes:
        if self._mask_key is None:
            return _header(first, 0, len(payload)) + payload
        key = self._mask_key()
        return _header(first, _MASKED, len(payload)) + key + _apply_mask(payload, key)


def _shortened(reason: str) -> bytes:
    """The reason as UTF-8, cut between characters where it is too long; a lone surrogate becomes a question mark."""
    encoded = reason.encode("utf-8", "replace")
    if len(encoded) <= CLOSE_REASON_BYTES:
        return encoded
    return encoded[:CLOSE_REASON_BYTES].decode("utf-8", "ignore").encode()
