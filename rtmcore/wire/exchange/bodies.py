"""Where a body ends (RFC 9112 section 6), for bytes in whatever pieces they come.

Stricter than `h11` between chunks: lines end with CR and LF, hold no control characters, and are bounded both each
and in all. What comes out depends on the bytes alone and not on the reads, the cuts between pieces excepted.
"""

import re
from typing import Final, Protocol

from rtmcore.limits import (
    HANDSHAKE_HEADERS,
    HTTP_CHUNK_EXCESS_BYTES,
    HTTP_CHUNK_LINE_BYTES,
)
from rtmcore.wire.exchange.events import HttpFailed

_CRLF: Final = b"\r\n"
_SIZE_LINE: Final = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;[\t\x20-\x7e\x80-\xff]*)?")
_FIELD_LINE: Final = re.compile(rb"[-!#$%&'*+.^_`|~0-9A-Za-z]+:[\t\x20-\x7e\x80-\xff]*")
_FREE_PER_CHUNK: Final = 16
"""Bytes of a line between chunks that nobody minds."""

_BAD_CHUNKS: Final = HttpFailed("the chunks of the body are not valid HTTP", 400)


def too_long(limit: int) -> HttpFailed:
    """The fault of a body above a limit, in bytes."""
    return HttpFailed(f"the body is longer than {limit} bytes", 413)


class Body(Protocol):
    """One body on its way in.

    Attributes:
        done: Whether its last byte has come.
        fault: What is wrong with it; nothing is to be fed any more.
    """

    done: bool
    fault: HttpFailed | None

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """Take what was read: what of it belongs to the body, and what lies behind the body's end."""

    def feed_eof(self) -> None:
        """Take the end of the stream: `done` or `fault` tell what it means."""


class _Known:
    """What the bodies that tell where they end have in common."""

    __slots__ = ("done", "fault")

    def __init__(self) -> None:
        self.done = False
        self.fault: HttpFailed | None = None

    def feed_eof(self) -> None:
        if not self.done:
            self.fault = HttpFailed("the connection was closed in the middle of the body", 502)


class LengthBody(_Known):
    """A body of a known length.

    Args:
        length: Bytes.
    """

    __slots__ = ("_left",)

    def __init__(self, length: int) -> None:
        super().__init__()
        self._left = length
        self.done = not length

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """See `Body.feed`. A piece within the body is not copied."""
        left = self._left
        if len(data) < left:
            self._left = left - len(data)
            return data, b""
        self._left = 0
        self.done = True
        return (data, b"") if len(data) == left else (data[:left], data[left:])


class EndlessBody:
    """A body that ends with the connection.

    Args:
        limit: Bytes.
    """

    __slots__ = ("_left", "_limit", "done", "fault")

    def __init__(self, limit: int) -> None:
        self.done = False
        self.fault: HttpFailed | None = None
        self._left = self._limit = limit

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """See `Body.feed`."""
        if len(data) > self._left:
            self.fault = too_long(self._limit)
            data = data[: self._left]
        self._left -= len(data)
        return data, b""

    def feed_eof(self) -> None:
        """See `Body.feed_eof`."""
        self.done = True


class ChunkedBody(_Known):
    """A body in chunks. Extensions and trailer fields are checked and dropped.

    Args:
        limit: Bytes of all chunks together; the line before the chunk tells who exceeds it.
    """

    __slots__ = ("_excess", "_fields", "_kept", "_left", "_limit", "_room", "_take")

    def __init__(self, limit: int) -> None:
        super().__init__()
        self._limit = self._room = limit
        self._left = 0  # bytes of the chunk that are still to come
        self._kept = b""  # the beginning of a line
        self._excess = 0
        self._fields = 0
        self._take = self._take_size

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """See `Body.feed`. Where there is a `fault`, what came before it is still returned."""
        if self._kept:
            data = self._kept + data
            self._kept = b""
        payload: list[bytes] = []
        position = 0
        while position < len(data) and not self.done and self.fault is None:
            position = self._take(data, position, payload)
        return payload[0] if len(payload) == 1 else b"".join(payload), data[position:]

    def _take_size(self, data: bytes, position: int, payload: list[bytes]) -> int:
        line, position = self._line(data, position)
        if line is None:
            return position
        found = _SIZE_LINE.fullmatch(line)
        if found is None:
            self.fault = _BAD_CHUNKS
            return position
        size = int(found[1], 16)
        self._spend(len(line) - _FREE_PER_CHUNK - 2 * size)
        if size > self._room:
            self.fault = too_long(self._limit)
        self._room -= size
        self._left = size
        self._take = self._take_data if size else self._take_field
        return position

    def _take_data(self, data: bytes, position: int, payload: list[bytes]) -> int:
        part = data[position : position + self._left]
        payload.append(part)
        self._left -= len(part)
        if not self._left:
            self._take = self._take_end
        return position + len(part)

    def _take_end(self, data: bytes, position: int, payload: list[bytes]) -> int:
        end = data[position : position + len(_CRLF)]
        if not _CRLF.startswith(end):
            self.fault = _BAD_CHUNKS
        elif len(end) < len(_CRLF):
            self._kept = end
        else:
            self._take = self._take_size
        return position + len(end)

    def _take_field(self, data: bytes, position: int, payload: list[bytes]) -> int:
        line, position = self._line(data, position)
        if line is None:
            return position
        if not line:
            self.done = True
            return position
        self._fields += 1
        self._spend(len(line))
        if _FIELD_LINE.fullmatch(line) is None or self._fields > HANDSHAKE_HEADERS:
            self.fault = _BAD_CHUNKS
        return position

    def _line(self, data: bytes, position: int) -> tuple[bytes | None, int]:
        """The line at a position and where it ends; None where its end has not come."""
        end = data.find(_CRLF, position, position + HTTP_CHUNK_LINE_BYTES + len(_CRLF))
        if end >= 0:
            return data[position:end], end + len(_CRLF)
        rest = data[position:]
        if len(rest) >= HTTP_CHUNK_LINE_BYTES + len(_CRLF) or b"\n" in rest:
            self.fault = _BAD_CHUNKS
        else:
            self._kept = rest
        return None, len(data)

    def _spend(self, excess: int) -> None:
        self._excess = max(0, self._excess + excess)
        if self._excess > HTTP_CHUNK_EXCESS_BYTES:
            self.fault = _BAD_CHUNKS
