"""Where WebSocket frames begin and end in a stream of bytes that is only passed on.

No more of RFC 6455 than the fault proxy needs: lengths, and the bytes of a close frame. What the frames mean is
not looked at.
"""

import struct

from rtmcore.limits import HANDSHAKE_BYTES

_LONGEST_LENGTH_FIELD = 10


def frame_size(head: bytes | bytearray) -> int | None:
    """Compute the length of a frame from its first bytes.

    Args:
        head: The frame's beginning, of any length.

    Returns:
        Bytes of the whole frame, header and mask included; None if `head` is too short to tell. The first two to
        ten bytes tell.
    """
    if len(head) < 2:
        return None
    mask = 4 if head[1] & 0x80 else 0
    length = head[1] & 0x7F
    if length < 126:
        return 2 + mask + length
    field = 4 if length == 126 else _LONGEST_LENGTH_FIELD
    if len(head) < field:
        return None
    return field + mask + int.from_bytes(head[2:field], "big")


def close_frame(code: int, reason: str) -> bytes:
    """Build the close frame of a server, which is not masked.

    Args:
        code: Close code, 0 to 65,535.
        reason: At most 123 bytes in UTF-8.

    Returns:
        The frame.
    """
    payload = struct.pack("!H", code) + reason.encode()
    return bytes((0x88, len(payload))) + payload


class FrameTracker:
    """Follows one direction of a connection: an HTTP head, then frames.

    Args:
        first: What the head begins with if frames follow it, such as ``HTTP/1.1 101``.

    Attributes:
        opaque: The stream did not begin that way; it has no frames, and nothing is followed any more.
    """

    __slots__ = ("_first", "_head", "_in_head", "_rest", "opaque")

    def __init__(self, first: bytes) -> None:
        self.opaque = False
        self._first = first
        self._in_head = True
        self._head = bytearray()
        self._rest = 0

    @property
    def at_boundary(self) -> bool:
        """Whether the HTTP head is complete and no frame is under way."""
        return not self._in_head and not self._rest and not self._head

    def copy(self) -> "FrameTracker":
        """Return a second tracker that stands where this one stands."""
        twin = FrameTracker(self._first)
        twin.opaque = self.opaque
        twin._in_head = self._in_head
        twin._head = self._head[:]
        twin._rest = self._rest
        return twin

    def feed(self, data: memoryview, *, to_boundary: bool = False) -> int:
        """Follow the next bytes of the stream.

        Args:
            data: The bytes.
            to_boundary: Stop behind the first byte that ends the head or a frame.

        Returns:
            Number of bytes followed: all of them, unless `to_boundary` stopped it.
        """
        size = len(data)
        position = 0
        while position < size and not self.opaque:
            if self._rest:
                step = min(self._rest, size - position)
                self._rest -= step
                position += step
            elif self._in_head:
                position += self._feed_head(data[position:])
            else:
                position += self._feed_frame_header(data, position, size)
            if to_boundary and self.at_boundary:
                return position
        return size

    def _feed_head(self, data: memoryview) -> int:
        before = len(self._head)
        self._head += data[: HANDSHAKE_BYTES - before]
        end = self._head.find(b"\r\n\r\n", max(0, before - 3))
        start = self._first[: len(self._head)]
        if not self._head.startswith(start) or (end < 0 and len(self._head) >= HANDSHAKE_BYTES):
            self.opaque = True
            self._head.clear()
            return len(data)
        if end < 0:
            return len(data)
        self._in_head = False
        self._head.clear()
        return end + 4 - before

    def _feed_frame_header(self, data: memoryview, position: int, size: int) -> int:
        if not self._head and size - position >= 2:
            second = data[position + 1]
            if second & 0x7F < 126:
                self._rest = (second & 0x7F) + (4 if second & 0x80 else 0)
                return 2
        self._head.append(data[position])
        whole = frame_size(self._head)
        if whole is not None:
            self._rest = whole - len(self._head)
            self._head.clear()
        return 1
