"""How the signals of call invitations reach the other side: as peer messages, sent again as long as they matter."""

from collections.abc import Callable
from typing import Any, Final, Protocol

import attrs

from rtmcore.client.batching import request_size
from rtmcore.client.calling import Invitation
from rtmcore.client.requests import SIGNAL, Operation, Requests, Ticket
from rtmcore.errors import RtmError
from rtmcore.limits import INVITATION_RESEND, INVITATIONS_OF_ONE_CALLER, SEND_TIMEOUT
from rtmcore.models import SendResult, SendStatus
from rtmcore.wire.invitations import InvitationSignal, Signal, encode_signal
from rtmcore.wire.packets import INVITATION, SendPeer

_STRAYS: Final = INVITATIONS_OF_ONE_CALLER


class Messenger(Protocol):
    """What makes requests for a courier."""

    def request(self, operation: Operation, packet: Any, size: int, timeout: float, now: float) -> Ticket:
        """Take in a request, and write it as soon as that is possible."""


@attrs.define(eq=False)
class Errand:
    """A signal on its way, or waiting to be sent again."""

    to: str
    signal: Signal
    owner: Invitation | None
    """What it belongs to; None where nothing is known of it here."""
    make: Callable[[float], InvitationSignal]
    """Makes the signal for a time."""
    until: float
    """When it does not matter any more, in monotonic seconds."""
    retry_at: float = 0.0


class Courier:
    """Sends signals. Those of one client to another arrive in the order in which they were posted first.

    Args:
        calls: Makes requests.
        requests: Gives them their ids.
        matters: Whether an errand still does.
        result: Called with what became of a message, and the time; only where the server has told.
    """

    def __init__(
        self,
        calls: Messenger,
        requests: Requests,
        matters: Callable[[Errand], bool],
        result: Callable[[Errand, SendResult | None, float], None],
    ) -> None:
        self._calls = calls
        self._requests = requests
        self._matters = matters
        self._result = result
        self._under_way: dict[int, Errand] = {}
        self._waiting: list[Errand] = []

    @property
    def waits(self) -> bool:
        """Whether something is to be sent again."""
        return bool(self._waiting)

    def post(self, errand: Errand, now: float) -> None:
        """Send a signal, unless the same one is on its way already."""
        known = [each for each in (*self._under_way.values(), *self._waiting) if each.owner is errand.owner]
        if errand.owner is None:
            if len(known) < _STRAYS:
                self._send(errand, now)
        elif not any(each.signal is errand.signal for each in known):
            self._send(errand, now)

    def is_crowded(self, user: str) -> bool:
        """Whether so many signals are on their way to a user that he gets no more of them by asking."""
        of_user = [each for each in self._under_way.values() if each.to == user]
        return len(of_user) >= 2 * INVITATIONS_OF_ONE_CALLER

    def session_over(self) -> None:
        """Nothing can be sent any more."""
        self._under_way.clear()
        self._waiting.clear()

    def settled(self, ticket: Ticket, now: float) -> None:
        """A message has its result."""
        errand = self._under_way.pop(ticket.request_id or 0, None)
        if errand is None:
            return
        result = ticket.value if isinstance(ticket.value, SendResult) else None
        self._result(errand, result, now)
        error = ticket.error
        delivered = result is not None and result.status is not SendStatus.PEER_UNREACHABLE
        refused = error is not None and error.code is ticket.operation.invalid
        if delivered or refused or not self._matters(errand):
            return
        errand.retry_at = now + max(INVITATION_RESEND, _asked_to_wait(error))
        if errand.retry_at < errand.until:
            self._waiting.append(errand)

    def next_deadline(self) -> float | None:
        """When `handle_timer` must be called next."""
        return min((errand.retry_at for errand in self._waiting), default=None)

    def handle_timer(self, now: float) -> None:
        """Send again what is due and still matters."""
        due = [errand for errand in self._waiting if errand.retry_at <= now]
        if not due:
            return
        self._waiting = [errand for errand in self._waiting if errand.retry_at > now]
        for errand in due:
            if now < errand.until and self._matters(errand):
                self._send(errand, now)

    def _send(self, errand: Errand, now: float) -> None:
        body = encode_signal(errand.make(now))
        packet = SendPeer(self._requests.next_id(), errand.to, INVITATION, body)
        self._under_way[packet.i] = errand
        self._calls.request(SIGNAL, packet, request_size(body), SEND_TIMEOUT, now)


def _asked_to_wait(error: RtmError | None) -> float:
    return 0.0 if error is None or error.retry_after is None else error.retry_after
