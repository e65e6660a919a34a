"""Where a session stands: its state, by the table of its model, and what can be asked of it."""

from collections.abc import Callable

import attrs

from rtmcore.client.attempts import Attempts, GiveUp
from rtmcore.client.config import ClientConfig
from rtmcore.client.events import Event, RequestCompleted
from rtmcore.client.facts import SessionFacts, SessionParts
from rtmcore.client.failures import closed_error, not_logged_in_error
from rtmcore.client.goodbyes import Goodbyes, Logout
from rtmcore.client.kinds import KINDS
from rtmcore.client.links import Links
from rtmcore.client.outage import Outage
from rtmcore.client.requests import Operation, Ticket
from rtmcore.client.tokens import Tokens
from rtmcore.codes import DtlsTransportState, IceTransportState
from rtmcore.connection.backoff import Backoff
from rtmcore.connection.model import Input, Reason, State
from rtmcore.errors import RtmError, TlsError


@attrs.define(eq=False)
class Login:
    """A login that is under way."""

    ticket: Ticket
    first_attempt: int
    end: GiveUp

    def attempts(self, latest: int) -> int:
        """How many were made, by the number of the latest."""
        return latest - self.first_attempt + 1


class Standing:
    """The state of a session, and what goes with it. `Session` acts on it.

    Args:
        config: The client's settings.
        iid: Names this client object to the server.
        random: For jitter: a number in [0, 1) at each call.
        links: The client's transports.
        parts: What depends on the session.
        emit: Takes events.

    Attributes:
        state: The documented state.
        reason: Why it was entered, or why it goes on; None before the first login.
        since: When it was entered.
        cause: Why the last attempt failed; None while all is well.
        closed: Whether the client object was closed for good.
        facts: What the server said in its last welcome.
        outage: The outage that goes on.
    """

    def __init__(
        self,
        config: ClientConfig,
        iid: str,
        random: Callable[[], float],
        links: Links,
        parts: SessionParts,
        emit: Callable[[Event], None],
    ) -> None:
        self._config = config
        self._policy = config.policy
        self._model = model = config.policy.model
        # Looking up a member of an enumeration costs a call before Python 3.12, and these are needed all the time.
        self._connected = model.connected
        self._reconnecting = model.reconnecting
        self._logged_in = frozenset({model.connected, model.reconnecting})
        self._kind = KINDS[config.kind]
        self._links = links
        self._parts = parts
        self._emit = emit
        self._attempts = Attempts(config.endpoints, Backoff(config.policy.backoff, random))
        self._tokens = Tokens(config, emit)
        self.facts = SessionFacts(config, iid)
        self._goodbyes = Goodbyes(links, parts, self.facts)
        self.outage = Outage(config.policy)
        self.state: State = model.idle
        self.reason: Reason | None = None
        self.since = 0.0
        self.cause: RtmError | None = None
        self.closed = False
        # When the last byte came on the transport that carries the session.
        self._heard = 0.0
        self._login: Login | None = None
        self._login_failed = False
        self._logout: Logout | None = None
        # The server has closed the transport since it had heard nothing.
        self._unheard = False
        # While the session is being restored after a welcome: until when that may take.
        self._restoring: float | None = None
        # Whether all channels of the hello were answered.
        self._ready = False

    # --- Questions ----------------------------------------------------------------------------------------------

    @property
    def next_attempt_at(self) -> float | None:
        """When the next transport is opened; None where none is waited for."""
        return self._attempts.next_at

    @property
    def may_write(self) -> bool:
        """Whether a call may be written now; otherwise it waits within its time."""
        carried = self._restoring is not None or self.state is self._connected
        return carried and self._logout is None

    @property
    def stands(self) -> bool:
        """Whether the session is up, and nothing of it is waited for."""
        return self.state is self._connected and self._restoring is None and self._links.current is not None

    @property
    def link_state(self) -> IceTransportState:
        """How the session's link stands, in ICE's words."""
        state, model = self.state, self._model
        if self.closed:
            return IceTransportState.CLOSED
        if state is model.ended or self._login_failed:
            return IceTransportState.FAILED
        if state is model.idle:
            return IceTransportState.NEW
        if state is model.connecting:
            return IceTransportState.CHECKING
        replaced = self._links.candidate is not None or self._attempts.next_at is not None
        whole = state is self._connected and self._links.current is not None and not replaced
        return IceTransportState.CONNECTED if whole else IceTransportState.DISCONNECTED

    @property
    def tls_state(self) -> DtlsTransportState | None:
        """How the TLS of the session's link stands, in DTLS's words; None where the link is plain."""
        link = self._links.current or self._links.candidate
        endpoint = self._attempts.endpoint if link is None else link.endpoint
        if not endpoint.tls:
            return None
        if self.closed:
            return DtlsTransportState.CLOSED
        if isinstance(self.cause, TlsError) and (self._login_failed or self.state is self._model.ended):
            return DtlsTransportState.FAILED
        if self.state in self._logged_in:
            return DtlsTransportState.CONNECTED
        if self.state is self._model.connecting:
            up = link is not None and link.transport is not None
            return DtlsTransportState.CONNECTED if up else DtlsTransportState.CONNECTING
        return DtlsTransportState.NEW if self.state is self._model.idle else DtlsTransportState.CLOSED

    def refusal(self, operation: Operation) -> RtmError | None:
        """Why a call that needs a login cannot be made now: 101, 102, or None where it can."""
        if self.closed:
            return closed_error(operation)
        state = self.state
        if self._logout is None and (state is self._connected or state is self._reconnecting):
            return None
        leaving = self._logout is not None
        return not_logged_in_error(operation, self._kind, self._model, state, self.reason, leaving=leaving)

    # --- The table ----------------------------------------------------------------------------------------------

    @property
    def _may_log_out(self) -> bool:
        """Whether there is something to log out of."""
        return (self.state, Input.LOGOUT) in self._model.table.rules

    def _feed(self, given: Input, now: float, cause: RtmError | None = None) -> None:
        """Go to the state that the table names, and tell the application if it is another one."""
        previous = self.state
        rule = self._model.table.rule(previous, given)
        reason = self._model.reasons.get(rule.effect)
        if rule.target is not previous:
            self.state = rule.target
            self.reason = reason
            self.since = now
            self._emit(self._kind.changed(rule.target, reason, previous, cause))
            self._parts.link_changed()
        elif reason is not None:
            self.reason = reason

    def _complete(self, ticket: Ticket, error: RtmError | None) -> None:
        ticket.done = True
        ticket.error = error
        self._emit(RequestCompleted(ticket))
