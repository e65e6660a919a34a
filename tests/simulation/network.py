"""The virtual network: connections whose bytes take time, get stuck, are lost or are swallowed.

A `Wire` is one TCP connection, a `Pipe` one direction of it. What a party has written is on its way for as long as
the weather of the client says; it arrives in order, in pieces, or not at all.
"""

import random
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import attrs

if TYPE_CHECKING:
    from tests.simulation.hosts import ClientHost, NodeHost

FOREVER: Final = float("inf")
_PIECE: Final = 8 * 1024
"""Bytes that arrive at once on a slow line."""
_BEHIND: Final = 0.0005
"""Seconds by which a reset comes behind the bytes before it."""


@attrs.define(eq=False)
class Weather:
    """What the network does to the bytes of one client; may change at any time.

    Attributes:
        latency: Seconds of one way.
        jitter: At most so many seconds more, another number for each write.
        up_rate: Bytes a second from the client to the server.
        down_rate: Bytes a second from the server to the client.
        hole_up: Until when nothing goes from the client to the server.
        hole_down: Until when nothing goes from the server to the client.
        refuse: Until when each attempt to connect is refused at once.
        drip: Bytes that a party reads at once at most; 0 for as many as there are.
        shred: Chance that a write arrives in two pieces, some time apart.
    """

    latency: float = 0.01
    jitter: float = 0.0
    up_rate: float = FOREVER
    down_rate: float = FOREVER
    hole_up: float = 0.0
    hole_down: float = 0.0
    refuse: float = 0.0
    drip: int = 0
    shred: float = 0.0


@attrs.define(eq=False)
class Segment:
    """Bytes on their way."""

    arrives: float
    data: bytes
    written: float
    """When its core had made it."""


class Pipe:
    """One direction of a connection.

    Args:
        wire: The connection.
        up: Whether this is the way from the client to the server.

    Attributes:
        segments: What the receiver has not read, oldest first.
        unsent: What the sender's kernel has not taken.
        limit: Bytes that both kernels hold together.
        blocked: Until when nothing arrives.
        cut: Bytes that may still arrive before the connection is reset; None for all.
        swallowing: Whether what is written from now on is accepted and never arrives.
        finished: When the end of the bytes arrives; None as long as the sender has not closed.
        broken: The receiver finds the connection reset at this time.
        read_from: When the first of the bytes that the receiver has read last had been made.
        read_until: When the last of them had been made.
    """

    __slots__ = (
        "blocked",
        "broken",
        "cut",
        "finished",
        "free_at",
        "held",
        "limit",
        "read_from",
        "read_until",
        "segments",
        "swallowing",
        "unsent",
        "unsent_bytes",
        "up",
        "wire",
    )

    def __init__(self, wire: "Wire", *, up: bool) -> None:
        self.wire = wire
        self.up = up
        self.segments: deque[Segment] = deque()
        self.unsent: deque[tuple[bytes, float]] = deque()
        self.unsent_bytes = 0
        self.held = 0
        self.limit = 256 * 1024
        self.blocked = 0.0
        self.free_at = 0.0
        self.cut: int | None = None
        self.swallowing = False
        self.finished: float | None = None
        self.broken: float | None = None
        self.read_from = 0.0
        self.read_until = 0.0

    def write(self, data: bytes, now: float) -> None:
        """Hand bytes to the sender's kernel; what it does not take waits in the sender's process."""
        if self.finished is not None or self.broken is not None:
            return
        if self.held + len(data) <= self.limit and not self.unsent:
            self._send(data, now, now)
            return
        room = 0 if self.unsent else max(0, self.limit - self.held)
        if room:
            self._send(data[:room], now, now)
        self.unsent.append((data[room:], now))
        self.unsent_bytes += len(data) - room

    def flush(self, now: float) -> bool:
        """Hand over what the kernel takes now; whether anything has moved."""
        moved = False
        while self.unsent and self.held < self.limit:
            data, made = self.unsent.popleft()
            room = self.limit - self.held
            if room < len(data):
                self.unsent.appendleft((data[room:], made))
                data = data[:room]
            self.unsent_bytes -= len(data)
            self._send(data, now, made)
            moved = True
        return moved

    def _send(self, data: bytes, now: float, made: float) -> None:
        if self.swallowing:
            return
        if self.cut is not None:
            data, self.cut = data[: self.cut], self.cut - min(self.cut, len(data))
        self.held += len(data)
        weather, dice = self.wire.weather, self.wire.dice
        rate = weather.up_rate if self.up else weather.down_rate
        hole = weather.hole_up if self.up else weather.hole_down
        if rate != FOREVER:
            for start in range(0, len(data), _PIECE):
                piece = data[start : start + _PIECE]
                self.free_at = max(self.free_at, now) + len(piece) / rate
                self._launch(piece, self.free_at + weather.latency, hole, made)
        elif weather.shred and len(data) > 1 and dice.random() < weather.shred:
            at = dice.randrange(1, len(data))
            self._launch(data[:at], now + weather.latency, hole, made)
            later = weather.latency + weather.jitter * dice.random()
            self._launch(data[at:], now + later, hole, made)
        elif data:
            delay = weather.latency
            if weather.jitter:
                delay += weather.jitter * dice.random()
            self._launch(data, now + delay, hole, made)
        if self.cut == 0:
            self.wire.reset_later(self)

    def _launch(self, data: bytes, arrives: float, hole: float, made: float) -> None:
        arrives = max(arrives, self.blocked, hole)
        segments = self.segments
        if segments and segments[-1].arrives > arrives:
            arrives = segments[-1].arrives
        segments.append(Segment(arrives, data, made))
        if arrives != FOREVER:
            self.wire.expect(self, arrives)

    def block(self, until: float, now: float) -> None:
        """Hold back what has not arrived, and what is written from now on."""
        self.blocked = until
        for segment in self.segments:
            if now < segment.arrives < until:
                segment.arrives = until
        if self.finished is not None and now < self.finished < until:
            self.finished = until
        if until != FOREVER:
            self.wire.expect(self, until)

    def release(self, now: float) -> None:
        """End a block that had no end, or a later one."""
        self.blocked = now
        for segment in self.segments:
            segment.arrives = min(segment.arrives, now)
        if self.finished is not None:
            self.finished = min(self.finished, now)
        self.wire.expect(self, now)

    def end(self, now: float) -> None:
        """The sender closes: what its process still held is lost, what its kernel holds arrives first."""
        if self.finished is not None or self.broken is not None:
            return
        self.unsent.clear()
        self.unsent_bytes = 0
        last = self.segments[-1].arrives if self.segments else 0.0
        weather = self.wire.weather
        hole = weather.hole_up if self.up else weather.hole_down
        self.finished = max(now + weather.latency, last, self.blocked, hole)
        if self.swallowing:
            self.finished = FOREVER
        if self.finished != FOREVER:
            self.wire.expect(self, self.finished)

    def has_unread(self, now: float) -> bool:
        """Whether bytes have arrived that were not read."""
        return bool(self.segments) and self.segments[0].arrives <= now

    def discard(self) -> None:
        """What was not read is gone."""
        self.segments.clear()
        self.unsent.clear()
        self.held = self.unsent_bytes = 0

    def read(self, now: float, most: int) -> bytes | None:
        """What has arrived: bytes, none at their end, or None where there is nothing now.

        Raises:
            ConnectionResetError: The connection was reset.
        """
        if self.broken is not None and self.broken <= now:
            raise ConnectionResetError
        segments = self.segments
        if segments and segments[0].arrives <= now:
            first = segments[0]
            self.read_from = first.written
            if len(first.data) > most:
                piece, first.data = first.data[:most], first.data[most:]
            else:
                segments.popleft()
                piece = first.data
                while segments and segments[0].arrives <= now and len(piece) + len(segments[0].data) <= most:
                    first = segments.popleft()
                    piece += first.data
            self.held -= len(piece)
            self.read_until = first.written
            if self.unsent:
                self.wire.writable(self, now)
            return piece
        if not segments and self.finished is not None and self.finished <= now:
            return b""
        return None


class Wire:
    """One TCP connection.

    Args:
        number: Of the connection, counted over the whole world.
        client: Who has opened it.
        link: Its number at the client.
        node: Who has accepted it.
        later: Calls a function of the world's clock at a time.
        dice: Random numbers of this connection alone.
    """

    def __init__(
        self,
        number: int,
        client: "ClientHost",
        link: int,
        node: "NodeHost",
        later: Callable[..., None],
        dice: random.Random,
    ) -> None:
        self.number = number
        self.client = client
        self.link = link
        self.node = node
        self.weather = client.weather
        self.dice = dice
        self.up = Pipe(self, up=True)
        self.down = Pipe(self, up=False)
        self.client_open = True
        self.server_open = False
        self.opened: float | None = None
        self.heard = 0.0
        self._later = later

    def expect(self, pipe: Pipe, when: float) -> None:
        """See to it that the receiver looks when something has arrived."""
        self._later(when, (self.node if pipe.up else self.client).arrived, self)

    def writable(self, pipe: Pipe, now: float) -> None:
        """The receiver has made room: the sender goes on."""
        self._later(now, (self.client if pipe.up else self.node).may_write, self)

    # --- Ends ---------------------------------------------------------------------

    def close_client(self, now: float) -> None:
        """The client closes its socket. What it had not read makes that a reset (as kernels do)."""
        if not self.client_open:
            return
        self.client_open = False
        if self.down.has_unread(now):
            self.reset_later(self.up)
        else:
            self.up.end(now)
        self.down.discard()

    def close_server(self, now: float) -> None:
        """The server closes its socket, in the same way."""
        if not self.server_open:
            return
        self.server_open = False
        if self.up.has_unread(now):
            self.reset_later(self.down)
        else:
            self.down.end(now)
        self.up.discard()

    def reset(self, now: float, *, client: bool = True, server: bool = True) -> None:
        """Reset the connection; what a party has not read is gone. One of them may not learn of it."""
        for pipe, told in ((self.down, client), (self.up, server)):
            pipe.discard()
            pipe.swallowing = True
            if told and pipe.broken is None:
                pipe.broken = now
                self.expect(pipe, now)
        if not client:
            self.up.swallowing = True
        if not server:
            self.down.swallowing = True

    def reset_later(self, pipe: Pipe) -> None:
        """Reset the connection behind what is on its way in one direction; the reset overtakes nothing."""
        last = pipe.segments[-1].arrives if pipe.segments else 0.0
        when = max(last + _BEHIND, self.client.world.now + self.weather.latency)
        if when != FOREVER:
            self._later(when, self._reset_now, None)

    def _reset_now(self, _: object) -> None:
        self.reset(self.client.world.now)

    def hole(self, seconds: float, now: float, *, up: bool = True, down: bool = True) -> None:
        """Let nothing through for a while."""
        if up:
            self.up.block(now + seconds, now)
        if down:
            self.down.block(now + seconds, now)
