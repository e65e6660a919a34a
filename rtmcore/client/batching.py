"""When requests leave: at once where nothing is under way, otherwise collected for a moment.

While a request is in flight that the server will answer by itself, further requests are collected. The frame
leaves on the next byte from the server, when it is full, or `limits.BATCH_DELAY` seconds after the first was
collected. What must not wait (acknowledgements, questions, a goodbye) leaves at once and takes along what waits.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from rtmcore.client.requests import Requests, Ticket
from rtmcore.limits import (
    ANSWER_MARGIN,
    BATCH_BYTES,
    BATCH_DELAY,
    BATCH_PACKETS,
    FRAME_BYTES,
    PACKETS_PER_FRAME,
    REQUEST_OVERHEAD,
)
from rtmcore.wire.packets import Floor, Packet, SendPeer
from rtmcore.wire.transport import ClientTransport, TransportState

_MILLISECONDS: Final = 1000
# Looking up a member of an enumeration costs a call before Python 3.12, and this one is needed all the time.
_OPEN: Final = TransportState.OPEN
_MARGIN_SHARE: Final = 0.25


def request_size(body: bytes) -> int:
    """Bytes that a request with this body needs at most, in whichever encoding (JSON has Base64)."""
    return REQUEST_OVERHEAD + (len(body) + 2) // 3 * 4


class Outbox:
    """Writes requests on the transport that carries the session, one WebSocket message for several.

    Args:
        requests: Where the oldest id that may be repeated is known.
    """

    __slots__ = (
        "_collected",
        "_collected_bytes",
        "_due",
        "_frame_bytes",
        "_holding",
        "_link",
        "_released",
        "_requests",
        "_told_floor",
        "_transport",
    )

    def __init__(self, requests: Requests) -> None:
        self._requests = requests
        self._link = 0
        self._transport: ClientTransport | None = None
        self._frame_bytes = BATCH_BYTES
        self._told_floor = 0
        # Requests written here that the server answers by itself, and has not yet.
        self._holding = 0
        self._collected: list[Ticket] = []
        self._collected_bytes = 0
        self._due: float | None = None
        self._released = False

    def attach(self, link: int, transport: ClientTransport, floor: int, frame_bytes: int | None) -> None:
        """Write on this transport from now on. What was collected for another has to be submitted again.

        Args:
            link: Id of the transport.
            transport: Open, and welcomed by the server.
            floor: The oldest id that may be repeated, as its hello said.
            frame_bytes: The largest message that the server takes; None where it did not say.
        """
        self.detach()
        self._link = link
        self._transport = transport
        self._told_floor = floor
        self._frame_bytes = min(BATCH_BYTES, frame_bytes or FRAME_BYTES)

    def detach(self) -> None:
        """Write nothing any more: there is no transport."""
        self._link = 0
        self._transport = None
        self._holding = 0
        self._clear()

    @property
    def link(self) -> int:
        """Id of the transport; 0 without one."""
        return self._link

    @property
    def usable(self) -> bool:
        """Whether something can be written."""
        return self._transport is not None and self._transport.state is _OPEN

    def submit(self, ticket: Ticket, now: float) -> None:
        """Write a request, or collect it."""
        if not self.usable:
            return
        collected = self._collected
        if not collected and self._holding == 0:
            self._write((ticket,), (), now)
            return
        if collected and self._collected_bytes + ticket.size > self._frame_bytes:
            self.flush(now)
        if not collected:
            self._due = now + BATCH_DELAY
        collected.append(ticket)
        self._collected_bytes += ticket.size
        if len(collected) >= BATCH_PACKETS or self._collected_bytes >= self._frame_bytes:
            self.flush(now)

    def submit_all(self, tickets: Iterable[Ticket], now: float) -> None:
        """Write those requests that were not written on this transport, at once and in as few messages as possible.

        Args:
            tickets: All that wait for an answer, what was collected included.
            now: Monotonic seconds.
        """
        if self.usable:
            self._clear()
            self._write([ticket for ticket in tickets if ticket.link != self._link], (), now)

    def settled(self, ticket: Ticket) -> None:
        """A request is over: it holds nothing back any more."""
        if ticket.link == self._link and self._link and ticket.operation.holds:
            self._holding -= 1

    def take_back(self, ticket: Ticket) -> None:
        """A request was refused and is to be written again: it holds nothing back until then."""
        self.settled(ticket)
        ticket.link = 0

    def flush(self, now: float, urgent: Sequence[Packet] = ()) -> None:
        """Write what was collected, and behind it what must not wait."""
        if (self._collected or urgent) and self.usable:
            waiting = self._collected[:]
            self._clear()
            self._write(waiting, urgent, now)

    def release(self) -> None:
        """A byte came from the server: what was collected leaves at the end of the turn."""
        self._released = True

    def end_turn(self, now: float, urgent: Sequence[Packet]) -> None:
        """Write what was released, and what must not wait."""
        if self._released or urgent:
            self._released = False
            self.flush(now, urgent)

    def next_deadline(self) -> float | None:
        """When `handle_timer` must be called next."""
        return self._due

    def handle_timer(self, now: float) -> None:
        """Write what was collected long enough."""
        if self._due is not None and now >= self._due:
            self.flush(now)
            # Without a transport nothing was written: the requests wait for the next one.
            self._due = None

    def _clear(self) -> None:
        self._collected.clear()
        self._collected_bytes = 0
        self._due = None

    def _write(self, tickets: Iterable[Ticket], urgent: Sequence[Packet], now: float) -> None:
        transport = self._transport
        assert transport is not None
        frame: list[Packet] = []
        size = 0
        floor = self._requests.floor
        if floor > self._told_floor:
            frame.append(Floor(floor))
        told = len(frame)
        for ticket in tickets:
            request = ticket.packet
            if ticket.done or ticket.deadline <= now or request is None:
                continue
            full = len(frame) > told and size + ticket.size > self._frame_bytes
            if full or len(frame) == PACKETS_PER_FRAME:
                transport.send(frame, now)
                frame = []
                size = told = 0
            if isinstance(request, SendPeer):
                request.wait = _answer_wait(ticket.deadline - now)
            frame.append(request)
            size += ticket.size
            ticket.link = self._link
            if not ticket.first_link:
                ticket.first_link = self._link
            if ticket.operation.holds:
                self._holding += 1
        for packet in urgent:
            if len(frame) == PACKETS_PER_FRAME:
                transport.send(frame, now)
                frame = []
                told = 0
            frame.append(packet)
        if len(frame) > told:
            transport.send(frame, now)
            self._told_floor = floor


def _answer_wait(left: float) -> int:
    """Milliseconds that the server waits for a peer's acknowledgement, so that its answer still comes in time."""
    return max(1, int((left - min(ANSWER_MARGIN, left * _MARGIN_SHARE)) * _MILLISECONDS))
