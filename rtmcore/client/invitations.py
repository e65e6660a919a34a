"""The call invitations of one client: what its application wants, what the other side says, and what time does.

The states and what leads from one to another stand in two tables (`rtmcore.connection.invitations`). Signals are
peer messages of a kind of their own; one that may not have arrived is sent again until that makes no difference any
more, and what comes twice changes nothing.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import Final, Protocol, TypeVar

from rtmcore.client.calling import IncomingInvitation, Invitation, OutgoingInvitation
from rtmcore.client.couriers import Courier, Errand, Messenger
from rtmcore.client.events import Event, LocalInvitationChanged, RemoteInvitationChanged, RequestCompleted
from rtmcore.client.requests import SIGNAL, WAIT_INVITATION, Operation, Requests, Ticket
from rtmcore.codes import (
    InvitationApiCallError,
    LocalInvitationError,
    LocalInvitationState,
    RemoteInvitationError,
    RemoteInvitationState,
)
from rtmcore.connection.invitations import (
    LOCAL_ENDS,
    LOCAL_TABLE,
    REMOTE_ENDS,
    REMOTE_TABLE,
    LocalEffect,
    LocalInput,
    RemoteEffect,
    RemoteInput,
)
from rtmcore.errors import ClientClosed, LimitExceeded, RequestTimeout, RtmError, error_for
from rtmcore.figures import Figures
from rtmcore.identifiers import explain_invalid_id
from rtmcore.limits import (
    INVITATION_ACCEPT_TIMEOUT,
    INVITATION_ACKNOWLEDGE_TIMEOUT,
    INVITATION_CHANNEL_BYTES,
    INVITATION_EXPIRE_AFTER,
    INVITATIONS_OF_ONE_CALLER,
    INVITATIONS_RECEIVED,
    INVITATIONS_REMEMBERED,
    INVITATIONS_SENT,
)
from rtmcore.models import SendResult, SendStatus
from rtmcore.wire.invitations import InvitationSignal, Signal, decode_signal, explain_invalid_text

_MILLISECONDS: Final = 1000

_TO_CALLER: Final = {
    Signal.RECEIVED: LocalInput.RECEIVED,
    Signal.ACCEPT: LocalInput.ACCEPTED,
    Signal.REFUSE: LocalInput.REFUSED,
}
_TO_CALLEE: Final = {
    Signal.INVITE: RemoteInput.INVITED,
    Signal.CONFIRM: RemoteInput.CONFIRMED,
    Signal.CANCEL: RemoteInput.CANCELED,
    Signal.EXPIRED: RemoteInput.EXPIRED,
    Signal.UNKNOWN: RemoteInput.DISOWNED,
}

_LOCAL_FAILURES: Final = {
    LocalEffect.FAIL_OFFLINE: LocalInvitationError.PEER_OFFLINE,
    LocalEffect.FAIL_NO_RESPONSE: LocalInvitationError.PEER_NO_RESPONSE,
    LocalEffect.FAIL_EXPIRED: LocalInvitationError.INVITATION_EXPIRE,
    LocalEffect.FAIL_LOGGED_OUT: LocalInvitationError.NOT_LOGGED_IN,
}
_REMOTE_FAILURES: Final = {
    RemoteEffect.FAIL_OFFLINE: RemoteInvitationError.PEER_OFFLINE,
    RemoteEffect.FAIL_ACCEPT: RemoteInvitationError.ACCEPT_FAILURE,
    RemoteEffect.FAIL_EXPIRED: RemoteInvitationError.INVITATION_EXPIRE,
}
_MISUSE: Final = {
    "REFUSE_SENT": (InvitationApiCallError.ALREADY_SENT, "The invitation was sent already."),
    "REFUSE_NOT_STARTED": (InvitationApiCallError.NOT_STARTED, "The invitation was not sent yet."),
    "REFUSE_ACCEPTED": (InvitationApiCallError.ALREADY_ACCEPT, "The invitation is accepted already."),
    "REFUSE_ENDED": (InvitationApiCallError.ALREADY_END, "The invitation is over."),
}
_WHY_LOCAL: Final = {
    LocalInvitationError.PEER_OFFLINE: f"The callee was offline for {INVITATION_ACKNOWLEDGE_TIMEOUT:g} s.",
    LocalInvitationError.PEER_NO_RESPONSE: (
        f"The callee's client did not acknowledge the invitation within {INVITATION_ACKNOWLEDGE_TIMEOUT:g} s."
    ),
    LocalInvitationError.INVITATION_EXPIRE: (
        f"Nobody acted on the invitation within {INVITATION_EXPIRE_AFTER:g} s."
    ),
    LocalInvitationError.NOT_LOGGED_IN: "The caller is not logged in.",
}
# Apart, since codes of the two families are equal where their numbers are.
_WHY_REMOTE: Final = {
    RemoteInvitationError.PEER_OFFLINE: "The caller, or this client itself, is not online any more.",
    RemoteInvitationError.ACCEPT_FAILURE: "The caller did not confirm the acceptance.",
    RemoteInvitationError.INVITATION_EXPIRE: (
        f"Nobody acted on the invitation within {INVITATION_EXPIRE_AFTER:g} s."
    ),
}

_SIDE = TypeVar("_SIDE", OutgoingInvitation, IncomingInvitation)


class Login(Protocol):
    """What invitations have to know of a session."""

    closed: bool

    def refusal(self, operation: Operation) -> RtmError | None:
        """Why a call that needs a login cannot be made now, or None where it can."""


class Invitations:
    """All invitations that a client sends and receives.

    Args:
        calls: Makes requests.
        requests: Gives them their ids.
        emit: Takes events for the application.
        iid: Of the client; makes the ids of invitations differ from those of all other clients.
        session: Knows whether there is a login.
        figures: Those in force.

    Attributes:
        ignored: Signals that were malformed, or too many; they had no effect.
    """

    def __init__(
        self,
        calls: Messenger,
        requests: Requests,
        emit: Callable[[Event], None],
        iid: str,
        session: Login,
        figures: Figures,
    ) -> None:
        self._emit = emit
        self._iid = iid
        self._session = session
        self._figures = figures
        self._number = 0
        # By the other user and the id: those that are not decided, and the last of those that are.
        self._sent: dict[tuple[str, str], OutgoingInvitation] = {}
        self._received: dict[tuple[str, str], IncomingInvitation] = {}
        self._decided_sent: OrderedDict[tuple[str, str], OutgoingInvitation] = OrderedDict()
        self._decided_received: OrderedDict[tuple[str, str], IncomingInvitation] = OrderedDict()
        self._waits: list[tuple[Ticket, Invitation]] = []
        self._courier = Courier(calls, requests, _matters, self._told)
        self.ignored = 0

    # --- Intents ------------------------------------------------------------------------------------------------

    def send(self, invitation: OutgoingInvitation, now: float) -> None:
        """Send an invitation: it rings at the callee, now or as soon as he is there within 30 s.

        Where there is no session it fails at once with NOT_LOGGED_IN: an event, not an exception.

        Args:
            invitation: In IDLE; each is sent once.
            now: Monotonic seconds.

        Raises:
            ClientClosed: After `close`.
            InvitationAlreadySent, InvitationAlreadyEnded: It was used before (5, 3).
            InvalidArgument: The callee, the content or the channel id is not valid (1).
            LimitExceeded: `limits.INVITATIONS_SENT` are under way.
        """
        if self._session.closed:
            raise ClientClosed("The client is closed.", operation="send")
        logged_out = self._is_logged_out() and invitation.state is LocalInvitationState.IDLE
        given = LocalInput.SEND_LOGGED_OUT if logged_out else LocalInput.SEND
        self._check_use(LOCAL_TABLE.rule(invitation.state, given).effect, "send", invitation)
        for wrong in (
            explain_invalid_id(invitation.callee, "user id of the callee", self._figures.sizes.user_id),
            explain_invalid_text(invitation.content, "content", self._figures.sizes.invitation_content),
            explain_invalid_text(invitation.channel_id, "channel id", INVITATION_CHANNEL_BYTES),
        ):
            self._check_argument(wrong, "send", invitation)
        if not logged_out and len(self._sent) >= INVITATIONS_SENT:
            raise LimitExceeded(
                f"{len(self._sent)} invitations of this client are under way already, which is the limit.",
                operation="send",
                state=invitation.state.name,
                hint="Cancel one of them, or wait until one is decided.",
            )
        self._number += 1
        invitation.id = f"{self._iid}-{self._number}"
        invitation.sent_at = now
        self._feed_local(invitation, given, now)

    def cancel(self, invitation: OutgoingInvitation, content: str, now: float) -> None:
        """Cancel an invitation; it is CANCELED at once, and the callee is told.

        Args:
            invitation: Sent and not decided.
            content: What the callee is told, at most `limits.INVITATION_CONTENT_BYTES`.
            now: Monotonic seconds.

        Raises:
            InvitationNotStarted, InvitationAlreadyEnded, InvitationAlreadyAccepted: It cannot be canceled (2, 3, 4).
            InvalidArgument: The content is not valid (1).
        """
        self._expire_sent(invitation, now)
        self._check_use(LOCAL_TABLE.rule(invitation.state, LocalInput.CANCEL).effect, "cancel", invitation)
        wrong = explain_invalid_text(content, "content", self._figures.sizes.invitation_content)
        self._check_argument(wrong, "cancel", invitation)
        invitation.content = content or invitation.content
        self._feed_local(invitation, LocalInput.CANCEL, now)

    def accept(self, invitation: IncomingInvitation, response: str, now: float) -> None:
        """Accept an invitation; it is ACCEPTED when the caller has confirmed that.

        Args:
            invitation: Received and not decided.
            response: For the caller, at most `limits.INVITATION_RESPONSE_BYTES`.
            now: Monotonic seconds.

        Raises:
            InvitationAlreadyEnded, InvitationAlreadyAccepted: It was decided before (3, 4).
            InvalidArgument: The response is not valid (1).
        """
        self._answer(invitation, RemoteInput.ACCEPT, "accept", response, now)

    def refuse(self, invitation: IncomingInvitation, response: str, now: float) -> None:
        """Refuse an invitation; it is REFUSED at once, and the caller is told.

        Args:
            invitation: Received and not decided.
            response: For the caller, at most `limits.INVITATION_RESPONSE_BYTES`.
            now: Monotonic seconds.

        Raises:
            InvitationAlreadyEnded, InvitationAlreadyAccepted: It was decided before (3, 4).
            InvalidArgument: The response is not valid (1).
        """
        self._answer(invitation, RemoteInput.REFUSE, "refuse", response, now)

    def wait(self, invitation: Invitation, *, timeout: float, now: float) -> Ticket:
        """Wait for the end of an invitation. The ticket's value is its last state; FAILURE is an error.

        Args:
            invitation: That was sent, or received.
            timeout: Seconds.
            now: Monotonic seconds.

        Raises:
            InvitationNotStarted: It was not sent yet (2).
        """
        if invitation.state is LocalInvitationState.IDLE:
            self._check_use(LocalEffect.REFUSE_NOT_STARTED, "wait", invitation)
        ticket = Ticket(WAIT_INVITATION, now + timeout, begun=now)
        if _is_over(invitation):
            _conclude(ticket, invitation)
        else:
            self._waits.append((ticket, invitation))
        return ticket

    def forget_wait(self, ticket: Ticket) -> bool:
        """Take a wait back; False where it is over."""
        before = len(self._waits)
        self._waits = [wait for wait in self._waits if wait[0] is not ticket]
        return len(self._waits) < before

    def _answer(
        self, invitation: IncomingInvitation, given: RemoteInput, operation: str, response: str, now: float
    ) -> None:
        if invitation.state is RemoteInvitationState.INVITATION_RECEIVED and now >= invitation.expires_at:
            self._feed_remote(invitation, RemoteInput.EXPIRED, now)
        self._check_use(REMOTE_TABLE.rule(invitation.state, given).effect, operation, invitation)
        wrong = explain_invalid_text(response, "response", self._figures.sizes.invitation_response)
        self._check_argument(wrong, operation, invitation)
        invitation.response = response
        invitation.accepted_at = now
        self._feed_remote(invitation, given, now)

    def _is_logged_out(self) -> bool:
        return self._session.refusal(SIGNAL) is not None

    @staticmethod
    def _check_use(effect: LocalEffect | RemoteEffect, operation: str, invitation: Invitation) -> None:
        found = _MISUSE.get(effect.name)
        if found is not None:
            code, text = found
            raise error_for(code, text, operation=operation, state=invitation.state.name)

    @staticmethod
    def _check_argument(wrong: str | None, operation: str, invitation: Invitation) -> None:
        if wrong is not None:
            code = InvitationApiCallError.INVALID_ARGUMENT
            raise error_for(code, wrong, operation=operation, state=invitation.state.name)

    # --- What the other side says -------------------------------------------------------------------------------

    def receive(self, user: str, body: bytes, now: float) -> None:
        """Take a signal of another user; what is none, or does not fit, has no effect."""
        signal = decode_signal(body)
        if signal is None:
            self.ignored += 1
            return
        key = (user, signal.id)
        given = _TO_CALLER.get(signal.signal)
        if given is not None:
            self._receive_from_callee(key, given, signal, now)
            return
        invitation = self._received.get(key) or self._decided_received.get(key)
        if invitation is None:
            if signal.signal is Signal.INVITE:
                self._ring(key, signal, now)
        else:
            if signal.signal is Signal.CANCEL and invitation.state not in REMOTE_ENDS:
                invitation.cancel_content = signal.content
            self._feed_remote(invitation, _TO_CALLEE[signal.signal], now)

    def _receive_from_callee(
        self, key: tuple[str, str], given: LocalInput, signal: InvitationSignal, now: float
    ) -> None:
        invitation = self._sent.get(key) or self._decided_sent.get(key)
        if invitation is not None:
            self._expire_sent(invitation, now)
            if given is not LocalInput.RECEIVED and invitation.state not in LOCAL_ENDS:
                invitation.response = signal.response
            self._feed_local(invitation, given, now)
        elif given is LocalInput.ACCEPTED:
            self._post(None, key, Signal.UNKNOWN, now, now)

    def _ring(self, key: tuple[str, str], signal: InvitationSignal, now: float) -> None:
        caller = key[0]
        of_caller = sum(known[0] == caller for known in self._received)
        if (
            len(self._received) >= INVITATIONS_RECEIVED
            or of_caller >= INVITATIONS_OF_ONE_CALLER
            or self._courier.is_crowded(caller)
        ):
            self.ignored += 1
            return
        left = INVITATION_EXPIRE_AFTER - signal.age / _MILLISECONDS
        if left > 0:
            invitation = IncomingInvitation(caller, signal.id, signal.content, signal.channel, now + left)
            self._feed_remote(invitation, RemoteInput.INVITED, now)

    # --- The tables ---------------------------------------------------------------------------------------------

    def _feed_local(self, invitation: OutgoingInvitation, given: LocalInput, now: float) -> None:
        """Go to the state that the table names, and do what it says."""
        key = (invitation.callee, invitation.id)
        rule = LOCAL_TABLE.rule(invitation.state, given)
        changed = rule.target is not invitation.state
        invitation.state = rule.target
        if changed:
            invitation.error = _LOCAL_FAILURES.get(rule.effect)
            if rule.target in LOCAL_ENDS:
                self._sent.pop(key, None)
                _remember(self._decided_sent, key, invitation)
            else:
                self._sent[key] = invitation
            if rule.target is not LocalInvitationState.SENT_TO_REMOTE:
                self._emit(LocalInvitationChanged(invitation, rule.target))
        expires = invitation.sent_at + INVITATION_EXPIRE_AFTER
        # An acceptance may wait for the decision for that long after it expired.
        matters = max(expires, now) + INVITATION_ACCEPT_TIMEOUT
        match rule.effect:
            case LocalEffect.INVITE:
                until = now + INVITATION_ACKNOWLEDGE_TIMEOUT
                self._post(invitation, key, Signal.INVITE, until, now)
            case LocalEffect.CONFIRM | LocalEffect.CONFIRM_AGAIN:
                self._post(invitation, key, Signal.CONFIRM, now + INVITATION_ACCEPT_TIMEOUT, now)
            case LocalEffect.REVOKE | LocalEffect.REVOKE_AGAIN:
                self._post(invitation, key, Signal.CANCEL, matters, now)
            case LocalEffect.FAIL_OFFLINE | LocalEffect.FAIL_NO_RESPONSE | LocalEffect.FAIL_EXPIRED:
                self._post(invitation, key, Signal.EXPIRED, matters, now)
            case LocalEffect.DISOWN:
                lost = invitation.error is LocalInvitationError.NOT_LOGGED_IN
                self._post(invitation, key, Signal.UNKNOWN if lost else Signal.EXPIRED, matters, now)
            case _:
                pass
        if changed and rule.target in LOCAL_ENDS:
            self._end_waits(invitation)

    def _feed_remote(self, invitation: IncomingInvitation, given: RemoteInput, now: float) -> None:
        """Go to the state that the table names, and do what it says."""
        key = (invitation.caller, invitation.id)
        rule = REMOTE_TABLE.rule(invitation.state, given)
        changed = rule.target is not invitation.state
        invitation.state = rule.target
        if changed:
            invitation.error = _REMOTE_FAILURES.get(rule.effect)
            if rule.target in REMOTE_ENDS:
                self._received.pop(key, None)
                _remember(self._decided_received, key, invitation)
            else:
                self._received[key] = invitation
            if rule.target is not RemoteInvitationState.ACCEPT_SENT_TO_LOCAL:
                self._emit(RemoteInvitationChanged(invitation, rule.target))
        match rule.effect:
            case RemoteEffect.RING | RemoteEffect.ACKNOWLEDGE:
                self._post(invitation, key, Signal.RECEIVED, invitation.expires_at, now)
            case RemoteEffect.SEND_ACCEPT:
                self._post(invitation, key, Signal.ACCEPT, now + INVITATION_ACCEPT_TIMEOUT, now)
            case RemoteEffect.SEND_REFUSE:
                self._post(invitation, key, Signal.REFUSE, invitation.expires_at, now)
            case _:
                pass
        if changed and rule.target in REMOTE_ENDS:
            self._end_waits(invitation)

    def _expire_sent(self, invitation: OutgoingInvitation, now: float) -> None:
        """Let an invitation end that is older than it may get, before anything else is done with it."""
        live = invitation.state is not LocalInvitationState.IDLE and invitation.state not in LOCAL_ENDS
        if live and now >= invitation.sent_at + INVITATION_EXPIRE_AFTER:
            self._feed_local(invitation, LocalInput.EXPIRED, now)

    def _end_waits(self, invitation: Invitation) -> None:
        ended = [ticket for ticket, waits_for in self._waits if waits_for is invitation]
        self._waits = [wait for wait in self._waits if wait[1] is not invitation]
        for ticket in ended:
            _conclude(ticket, invitation)
            self._emit(RequestCompleted(ticket))

    # --- Signals ------------------------------------------------------------------------------------------------

    def _post(
        self, invitation: Invitation | None, key: tuple[str, str], signal: Signal, until: float, now: float
    ) -> None:
        def make(when: float) -> InvitationSignal:
            made = InvitationSignal(signal, key[1])
            if isinstance(invitation, IncomingInvitation):
                made.response = invitation.response if signal is not Signal.RECEIVED else ""
            elif invitation is not None and signal in (Signal.INVITE, Signal.CANCEL):
                made.content = invitation.content
                made.channel = invitation.channel_id if signal is Signal.INVITE else ""
                made.age = int((when - invitation.sent_at) * _MILLISECONDS)
            return made

        self._courier.post(Errand(key[0], signal, invitation, make, until), now)

    def settled(self, ticket: Ticket, now: float) -> None:
        """The message that carried a signal has its result."""
        self._courier.settled(ticket, now)

    def _told(self, errand: Errand, result: SendResult | None, now: float) -> None:
        """The server has told what became of a signal, or nobody knows (None)."""
        offline = result is not None and result.status is SendStatus.PEER_UNREACHABLE
        invitation = errand.owner
        if errand.signal is Signal.INVITE and isinstance(invitation, OutgoingInvitation):
            invitation.callee_offline = offline
        elif (
            errand.signal is Signal.ACCEPT
            and offline
            and isinstance(invitation, IncomingInvitation)
            and invitation.state is RemoteInvitationState.ACCEPT_SENT_TO_LOCAL
        ):
            self._feed_remote(invitation, RemoteInput.CALLER_OFFLINE, now)

    # --- Time, and the end --------------------------------------------------------------------------------------

    @property
    def busy(self) -> bool:
        """Whether anything is not decided, or not told yet, or waited for."""
        return bool(self._sent or self._received or self._waits or self._courier.waits)

    def next_deadline(self) -> float | None:
        """When `handle_timer` must be called next."""
        times: list[float] = [_due_local(each) for each in self._sent.values()]
        times += [_due_remote(each) for each in self._received.values()]
        times += [ticket.deadline for ticket, _ in self._waits]
        retry = self._courier.next_deadline()
        if retry is not None:
            times.append(retry)
        return min(times, default=None)

    def handle_timer(self, now: float) -> None:
        """End what is due, and send again what did not arrive."""
        for sent in [each for each in self._sent.values() if now >= _due_local(each)]:
            given = LocalInput.EXPIRED
            if sent.state is LocalInvitationState.SENT_TO_REMOTE:
                given = LocalInput.OFFLINE if sent.callee_offline else LocalInput.NO_RESPONSE
            self._feed_local(sent, given, now)
        for received in [each for each in self._received.values() if now >= _due_remote(each)]:
            ringing = received.state is RemoteInvitationState.INVITATION_RECEIVED
            self._feed_remote(received, RemoteInput.EXPIRED if ringing else RemoteInput.UNCONFIRMED, now)
        self._courier.handle_timer(now)
        over = [wait for wait in self._waits if now >= wait[0].deadline]
        self._waits = [wait for wait in self._waits if now < wait[0].deadline]
        for ticket, invitation in over:
            ticket.error = RequestTimeout(
                f"The invitation was not decided within {ticket.deadline - ticket.begun:g} s.",
                operation="wait",
                state=invitation.state.name,
            )
            ticket.done = True
            self._emit(RequestCompleted(ticket))

    def session_over(self, now: float) -> None:
        """The session has ended, and every invitation with it."""
        self._courier.session_over()
        for sent in list(self._sent.values()):
            self._feed_local(sent, LocalInput.SESSION_OVER, now)
        for received in list(self._received.values()):
            self._feed_remote(received, RemoteInput.SESSION_OVER, now)


def _due_local(invitation: OutgoingInvitation) -> float:
    ringing = invitation.state is LocalInvitationState.RECEIVED_BY_REMOTE
    return invitation.sent_at + (INVITATION_EXPIRE_AFTER if ringing else INVITATION_ACKNOWLEDGE_TIMEOUT)


def _due_remote(invitation: IncomingInvitation) -> float:
    if invitation.state is RemoteInvitationState.ACCEPT_SENT_TO_LOCAL:
        return invitation.accepted_at + INVITATION_ACCEPT_TIMEOUT
    return invitation.expires_at


def _matters(errand: Errand) -> bool:
    """Whether a signal that may not have arrived should be sent again."""
    invitation, signal = errand.owner, errand.signal
    if isinstance(invitation, OutgoingInvitation):
        return signal is not Signal.INVITE or invitation.state is LocalInvitationState.SENT_TO_REMOTE
    if isinstance(invitation, IncomingInvitation):
        if signal is Signal.RECEIVED:
            return invitation.state is RemoteInvitationState.INVITATION_RECEIVED
        if signal is Signal.ACCEPT:
            return invitation.state is RemoteInvitationState.ACCEPT_SENT_TO_LOCAL
        return True
    return False


def _is_over(invitation: Invitation) -> bool:
    if isinstance(invitation, OutgoingInvitation):
        return invitation.state in LOCAL_ENDS
    return invitation.state in REMOTE_ENDS


def _conclude(ticket: Ticket, invitation: Invitation) -> None:
    """Complete a wait with how the invitation ended."""
    ticket.done = True
    ticket.value = invitation.state
    error: LocalInvitationError | RemoteInvitationError
    if isinstance(invitation, OutgoingInvitation):
        if invitation.error is None:
            return
        error, why = invitation.error, _WHY_LOCAL[invitation.error]
    else:
        if invitation.error is None:
            return
        error, why = invitation.error, _WHY_REMOTE[invitation.error]
    ticket.value = None
    ticket.error = error_for(error, why, operation="wait", state=invitation.state.name)


def _remember(decided: OrderedDict[tuple[str, str], _SIDE], key: tuple[str, str], invitation: _SIDE) -> None:
    decided[key] = invitation
    while len(decided) > INVITATIONS_REMEMBERED:
        decided.popitem(last=False)
