"""One direction of a proxied connection: what has been read, and how much of it may go on, when.

Knows nothing of sockets. Times are monotonic seconds and arguments.
"""

from bisect import insort
from collections import deque
from collections.abc import Callable
from random import Random
from typing import Literal, TypeAlias

from rtmcore.limits import PROXY_BUFFER_PIECES, PROXY_THROTTLE_BURST
from rtmsync.testing.frames import FrameTracker, frame_size
from rtmsync.testing.rules import CloseFrame, Direction, HoleMode, Truncate

#: What happens behind the last byte: ``eof`` closes this direction, ``rst`` and ``fin`` cut the connection.
End: TypeAlias = Literal["eof", "rst", "fin"]

_FIRST_BYTES = {"to_server": b"GET ", "to_client": b"HTTP/1.1 101"}
_LONGEST_HEADER = 14


class Flow:
    """The bytes on their way in one direction.

    Args:
        direction: Which direction.
        buffer_limit: Bytes held at most.
        random: Draws the jitter.

    Attributes:
        forwarded: Bytes that the receiver's kernel took.
        hole: The black hole this direction is in, if any.
        hole_ends: When the hole heals by itself, if it does.
        lost: The hole swallowed something.
        blocked: The receiver's kernel takes no more for the moment.
        reading: The sender may still send: no end has been read, nothing was injected.
        end: What happens behind the last byte, once that is known.
        at_boundary: A fault that waits for the next frame boundary.
    """

    def __init__(self, direction: Direction, buffer_limit: int, random: Random) -> None:
        self.direction: Direction = direction
        self.forwarded = 0
        self.hole: HoleMode | None = None
        self.hole_ends: float | None = None
        self.lost = False
        self.blocked = False
        self.reading = True
        self.end: End | None = None
        self.ended = False
        self.at_boundary: CloseFrame | Truncate | None = None
        self._buffer_limit = buffer_limit
        self._random = random
        self._pieces: deque[tuple[float, memoryview]] = deque()
        self._held = 0
        self._delay = 0.0
        self._jitter = 0.0
        self._last_due = float("-inf")
        self._rate: float | None = None
        self._allowance = 0.0
        self._allowance_at = 0.0
        self._stops: list[tuple[int, int, Callable[[], None]]] = []
        self._stops_made = 0
        self._corruptions: dict[int, int] = {}
        self._tracker = FrameTracker(_FIRST_BYTES[direction])

    # Settings -------------------------------------------------------------------------------------------------

    def set_delay(self, seconds: float, jitter: float) -> None:
        """Delay what is read from now on; what was read before keeps its time, and the order holds."""
        self._delay = seconds
        self._jitter = jitter

    def set_rate(self, bytes_per_second: float | None, now: float) -> None:
        """Forward at most so many bytes a second from now on; None: as many as the receiver takes."""
        self._rate = bytes_per_second
        self._allowance = 0.0
        self._allowance_at = now

    def stop_at(self, position: int, fire: Callable[[], None]) -> None:
        """Call `fire` when exactly `position` bytes have been forwarded, and forward no more before that."""
        self._stops_made += 1
        insort(self._stops, (position, self._stops_made, fire))

    def corrupt(self, offset: int, mask: int) -> None:
        """Flip the bits of `mask` in the byte `offset` bytes behind the last one forwarded."""
        position = self.forwarded + offset
        self._corruptions[position] = self._corruptions.get(position, 0) ^ mask

    def enter_hole(self, mode: HoleMode, ends: float | None) -> None:
        """Forward nothing until `leave_hole`; `ends` is when the caller means to call it."""
        self.hole = mode
        self.hole_ends = ends
        if mode == "drop" and (self._pieces or self.end is not None):
            self.discard()
            self.lost = True

    def leave_hole(self) -> None:
        """Forward again; whether the stream is still whole, `lost` tells."""
        self.hole = None
        self.hole_ends = None

    # Bytes in -------------------------------------------------------------------------------------------------

    @property
    def untouched(self) -> bool:
        """Whether bytes may go straight to the receiver without being held."""
        return not (
            self._pieces
            or self.blocked
            or self.hole
            or self._delay
            or self._jitter
            or self._rate
            or self._stops
            or self._corruptions
            or self.at_boundary
        )

    @property
    def room(self) -> int:
        """Bytes that may be read now; 0 while the sender has to wait or has ended."""
        if not self.reading or self.hole == "hold" or len(self._pieces) >= PROXY_BUFFER_PIECES:
            return 0
        return self._buffer_limit - self._held

    def push(self, data: bytes, now: float) -> None:
        """Hold bytes that were read."""
        self._pieces.append((self._due(now), memoryview(data)))
        self._held += len(data)

    def finish(self, end: End, now: float) -> None:
        """Note that nothing more will be read, and what is to happen behind the last byte."""
        self.reading = False
        self.ended = False
        if self.hole == "drop":
            self.lost = True
        else:
            self.end = end
            self._due(now)

    def replace(self, data: bytes, end: End, now: float) -> None:
        """Put `data` and an end in the place of everything that has not been forwarded."""
        self.discard()
        self.reading = False
        self._last_due = now
        self._pieces.append((now, memoryview(data)))
        self._held = len(data)
        self.end = end

    def discard(self) -> None:
        """Throw away what has not been forwarded, the end included."""
        self._pieces.clear()
        self._held = 0
        self.end = None

    def _due(self, now: float) -> float:
        wait = self._delay + (self._random.uniform(0.0, self._jitter) if self._jitter else 0.0)
        self._last_due = max(self._last_due, now + wait)
        return self._last_due

    # Bytes out ------------------------------------------------------------------------------------------------

    def next_piece(self, now: float) -> memoryview | None:
        """Return the bytes that may be written now, at least one; None if there are none."""
        if self.hole or self.blocked or not self._pieces:
            return None
        due, data = self._pieces[0]
        if due > now:
            return None
        if self._corruptions:
            data = self._corrupted(due, data)
        count = len(data)
        if self._rate is not None:
            count = min(count, self._allowed(now))
        if self._stops:
            count = min(count, self._stops[0][0] - self.forwarded)
        if self.at_boundary is not None:
            if self._tracker.at_boundary:
                return None
            count = min(count, self._tracker.copy().feed(data[:count], to_boundary=True))
        return data[:count] if count > 0 else None

    def wrote(self, count: int) -> None:
        """Note that the receiver took `count` bytes of the last piece returned."""
        due, data = self._pieces[0]
        self.passed(data[:count])
        self._held -= count
        self._allowance -= count
        if count == len(data):
            self._pieces.popleft()
        else:
            self._pieces[0] = (due, data[count:])

    def passed(self, data: memoryview) -> None:
        """Note that the receiver took these bytes, which were not held here."""
        if not self._tracker.opaque:
            self._tracker.feed(data)
        self.forwarded += len(data)

    def next_stop(self) -> Callable[[], None] | None:
        """Take the next stop that has been reached, if any."""
        if self._stops and self._stops[0][0] <= self.forwarded:
            return self._stops.pop(0)[2]
        return None

    @property
    def frameless(self) -> bool:
        """Whether this stream turned out to carry no WebSocket frames."""
        return self._tracker.opaque

    @property
    def stands_at_boundary(self) -> bool:
        """Whether the next byte to be forwarded begins a frame."""
        return self._tracker.at_boundary

    def next_frame_size(self) -> int | None:
        """Return the length of the frame that the next byte begins; None if too little of it has been read."""
        head = bytearray()
        for _, data in self._pieces:
            head += data[: _LONGEST_HEADER - len(head)]
            if len(head) >= _LONGEST_HEADER:
                break
        return frame_size(head)

    def finished(self, now: float) -> bool:
        """Whether all bytes have been forwarded and the end is due."""
        return (
            self.end is not None
            and not self.ended
            and not self._pieces
            and not self.hole
            and self._last_due <= now
        )

    def wake_at(self, now: float) -> float | None:
        """Compute when waiting alone will let something happen; None if waiting alone will not."""
        if self.hole or self.blocked:
            return None
        if not self._pieces:
            return (
                self._last_due if self.end is not None and not self.ended and self._last_due > now else None
            )
        due, data = self._pieces[0]
        if due > now:
            return due
        if self._rate is None:
            return None
        wanted = min(float(len(data)), self._burst(self._rate))
        missing = wanted - self._allowance
        return now + missing / self._rate if missing > 0 else None

    def _allowed(self, now: float) -> int:
        assert self._rate is not None
        saved = self._allowance + (now - self._allowance_at) * self._rate
        self._allowance = min(saved, self._burst(self._rate))
        self._allowance_at = now
        return int(self._allowance)

    @staticmethod
    def _burst(rate: float) -> float:
        return max(1.0, rate * PROXY_THROTTLE_BURST)

    def _corrupted(self, due: float, data: memoryview) -> memoryview:
        end = self.forwarded + len(data)
        hits = [position for position in self._corruptions if position < end]
        if not hits:
            return data
        changed = bytearray(data)
        for position in hits:
            mask = self._corruptions.pop(position)
            if position >= self.forwarded:
                changed[position - self.forwarded] ^= mask
        self._pieces[0] = (due, memoryview(changed))
        return self._pieces[0][1]
