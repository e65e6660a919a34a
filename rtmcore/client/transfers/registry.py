"""The client's side of its transfers: who may begin, tickets, and their part in the aggregate state."""

from collections.abc import Callable, Iterator
from typing import Final, Protocol

import attrs

from rtmcore.client.calls import Calls
from rtmcore.client.events import Event, TransferInterrupted
from rtmcore.client.requests import Operation, Requests, Ticket
from rtmcore.codes import DtlsTransportState, IceTransportState
from rtmcore.errors import error_for
from rtmcore.limits import MEDIA_TICKET_MARGIN, REQUEST_OVERHEAD
from rtmcore.wire.packets import TicketRequest, TransferTicket

_MILLISECONDS: Final = 1000


class TransferCalls(Calls, Protocol):
    """What makes requests, and has the aggregate state."""

    def link_changed(self) -> None:
        """The state of a transport may be another one now."""


@attrs.define(eq=False)
class Slot:
    """The place of one transfer that has not ended.

    Attributes:
        number: Of the transfer; never used again.
        ice: How its connection stands.
        dtls: How its TLS stands; None where it is plain.
    """

    number: int
    ice: IceTransportState = IceTransportState.NEW
    dtls: DtlsTransportState | None = None


class Transfers:
    """The transfers of one client that have not ended.

    Args:
        calls: Makes requests.
        requests: Those that wait for an answer.
        emit: Takes events for the driver.
    """

    def __init__(self, calls: TransferCalls, requests: Requests, emit: Callable[[Event], None]) -> None:
        self._calls = calls
        self._requests = requests
        self._emit = emit
        self._slots: dict[int, Slot] = {}
        self._latest = 0
        # The last ticket, and until when a request may begin with it.
        self._ticket: str | None = None
        self._good_until = 0.0

    def __iter__(self) -> Iterator[Slot]:
        return iter(self._slots.values())

    def __len__(self) -> int:
        return len(self._slots)

    # --- Intents ------------------------------------------------------------------------------------------------

    def begin(self, operation: Operation, now: float) -> Slot:
        """Take a place for a transfer. Give it back by `end`; where `TransferInterrupted` comes, it is gone.

        Args:
            operation: `requests.UPLOAD` or `requests.DOWNLOAD`.
            now: Monotonic seconds.

        Raises:
            ClientClosed, NotLoggedIn, Aborted: There is no session (101, 102).
            LimitExceeded: As many as the server allows, `limits.MEDIA_TRANSFERS` by default, have not ended (5).
        """
        self._calls.begin(operation, now)
        most = self._calls.sizes.transfers
        if len(self._slots) >= most:
            raise error_for(
                operation.codes["CONCURRENCY_LIMIT_EXCEEDED"],
                f"{len(self._slots)} uploads and downloads of this client have not ended; at most {most} may run.",
                operation=operation.name,
                state=self._calls.current_state.name,
            )
        self._latest += 1
        slot = self._slots[self._latest] = Slot(self._latest)
        return slot

    def ask(self, operation: Operation, refused: str | None, *, timeout: float, now: float) -> Ticket:
        """Get a ticket for a transfer, the last one where it is still good. The value of what is returned is a string.

        Args:
            operation: See `begin`.
            refused: A ticket that the server did not accept.
            timeout: Total time in seconds.
            now: Monotonic seconds.

        Raises:
            ClientClosed, NotLoggedIn, Aborted: There is no session (101, 102).
            LimitExceeded: Too much waits for an answer already.
        """
        self._calls.begin(operation, now)
        if self._ticket is not None and self._ticket != refused and now < self._good_until:
            return Ticket(operation, now, value=self._ticket, done=True, begun=now)
        self._requests.check_room(operation, REQUEST_OVERHEAD, self._calls.current_state)
        packet = TicketRequest(self._requests.next_id())
        return self._calls.request(operation, packet, REQUEST_OVERHEAD, timeout, now)

    def link(self, slot: Slot, ice: IceTransportState, dtls: DtlsTransportState | None) -> None:
        """The connection of a transfer stands otherwise now."""
        slot.ice, slot.dtls = ice, dtls
        if slot.number in self._slots:
            self._calls.link_changed()

    def end(self, slot: Slot) -> None:
        """A transfer has ended. Idempotent."""
        if self._slots.pop(slot.number, None) is not None:
            self._calls.link_changed()

    # --- Inputs -------------------------------------------------------------------------------------------------

    def told(self, packet: TransferTicket, now: float) -> None:
        """The server has given a ticket."""
        ticket = self._requests.get(packet.i)
        if ticket is None or not isinstance(ticket.packet, TicketRequest):
            return
        self._ticket = packet.ticket
        self._good_until = now + (packet.expires - packet.now) / _MILLISECONDS - MEDIA_TICKET_MARGIN
        self._requests.succeed(ticket, packet.ticket)

    def session_over(self) -> None:
        """The session has ended, and with it what it let begin."""
        self._ticket = None
        slots, self._slots = list(self._slots.values()), {}
        for slot in slots:
            self._emit(TransferInterrupted(slot.number))
        if slots:
            self._calls.link_changed()
