"""The session of a client: when it connects, to what state that leads, and when it is over.

The states and what leads from one to another stand in a table (`rtmcore.connection.rtm`); here is what is done
about it. Finer than the states are only: whether the session is being restored, and whether a goodbye was said.
"""

from collections.abc import Callable, Sequence
from typing import Final

import attrs

from rtmcore.client.config import ClientConfig
from rtmcore.client.events import Event, Purpose, RequestCompleted, StateChanged, TokenReason
from rtmcore.client.facts import SessionFacts, SessionParts
from rtmcore.client.failures import (
    BYTES_REFUSED,
    attempt_timeout_error,
    close_error,
    closed_error,
    final_at_login,
    login_timeout_error,
    not_logged_in_error,
    refusal_error,
    silence_error,
)
from rtmcore.client.links import Attempts, Link, Links, Tokens
from rtmcore.client.requests import LOGIN, LOGOUT, Operation, Ticket
from rtmcore.codes import CloseCode, ConnectionChangeReason, ConnectionState, LoginError
from rtmcore.connection.backoff import Backoff
from rtmcore.connection.rtm import RTM_REASONS, RTM_TABLE, RtmInput
from rtmcore.errors import ConnectionFailed, RemoteProtocolError, RtmError, error_for
from rtmcore.limits import BACKOFF_SETTLED, GOODBYE_TIMEOUT, LATE_GIVE_UP, TOKEN_PATIENCE
from rtmcore.wire.packets import Bye, Kicked, Packet, Ready, Refused, Welcome
from rtmcore.wire.transport import Closed, Opened, Received

_MILLISECONDS: Final = 1000
# Looking up a member of an enumeration costs a call before Python 3.12, and these are needed all the time.
_CONNECTED: Final = ConnectionState.CONNECTED
_RECONNECTING: Final = ConnectionState.RECONNECTING
_LOGGED_IN: Final = frozenset({_CONNECTED, _RECONNECTING})

_ABORTING_CLOSES: Final[dict[int, RtmInput]] = {
    CloseCode.REMOTE_LOGIN: RtmInput.REMOTE_LOGIN,
    CloseCode.BANNED: RtmInput.BANNED,
    CloseCode.TOKEN_EXPIRED: RtmInput.TOKEN_EXPIRED,
}
_ABORTING_REASONS: Final[dict[int, RtmInput]] = {
    ConnectionChangeReason.REMOTE_LOGIN: RtmInput.REMOTE_LOGIN,
    ConnectionChangeReason.BANNED_BY_SERVER: RtmInput.BANNED,
    ConnectionChangeReason.TOKEN_EXPIRED: RtmInput.TOKEN_EXPIRED,
}


@attrs.define(eq=False)
class _Login:
    ticket: Ticket
    deadline: float
    first_attempt: int
    extended: bool = False
    """The timer fired late: one more attempt decides."""


@attrs.define(eq=False)
class _Logout:
    tickets: list[Ticket]
    deadline: float
    said: Link | None = None
    """The transport that the goodbye was written on; the server closes it."""


class Session:
    """Brings a session up, keeps it up, and ends it.

    Args:
        config: The client's settings.
        iid: Names this client object to the server.
        random: For jitter: a number in [0, 1) at each call.
        links: The client's transports.
        parts: What depends on the session.
        emit: Takes events.

    Attributes:
        state: The documented state.
        reason: Why it was entered; None before the first login.
        since: When it was entered.
        cause: Why the last attempt failed; None while all is well.
        closed: Whether the client object was closed for good.
        facts: What the server said in its last welcome.
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
        self._links = links
        self._parts = parts
        self._emit = emit
        self._attempts = Attempts(config.endpoints, Backoff(config.policy.backoff, random))
        self._tokens = Tokens(config, emit)
        self.facts = SessionFacts(config, iid)
        self.state: ConnectionState = RTM_TABLE.initial
        self.reason: ConnectionChangeReason | None = None
        self.since = 0.0
        self.cause: RtmError | None = None
        self.closed = False
        # When the last byte came on the transport that carries the session.
        self._heard = 0.0
        # Since when the session stands; None once an attempt to replace its transport was made.
        self._stands_since: float | None = None
        # Whether the session before it stood for a moment only.
        self._stood_a_moment = False
        self._login: _Login | None = None
        self._logout: _Logout | None = None
        # While the session is being restored after a welcome: until when that may take.
        self._restoring: float | None = None

    # --- Questions ----------------------------------------------------------------------------------------------

    @property
    def next_attempt_at(self) -> float | None:
        """When the next transport is opened; None where none is waited for."""
        return self._attempts.next_at

    @property
    def may_write(self) -> bool:
        """Whether a call may be written now; otherwise it waits within its time."""
        carried = self._restoring is not None or self.state is _CONNECTED
        return carried and self._logout is None

    @property
    def stands(self) -> bool:
        """Whether the session is up, and nothing of it is waited for."""
        return self.state is _CONNECTED and self._restoring is None and self._links.current is not None

    def refusal(self, operation: Operation) -> RtmError | None:
        """Why a call that needs a login cannot be made now: 101, 102, or None where it can."""
        if self.closed:
            return closed_error(operation)
        if self._logout is not None or self.state not in _LOGGED_IN:
            return not_logged_in_error(operation, self.state, self.reason, leaving=self._logout is not None)
        return None

    # --- Intents ------------------------------------------------------------------------------------------------

    def login(self, now: float, timeout: float) -> Ticket:
        """Log in; the ticket completes when the state is CONNECTED, or DISCONNECTED again."""
        ticket = Ticket(LOGIN, now + timeout, begun=now)
        self._login = _Login(ticket, ticket.deadline, self._links.latest + 1)
        self.cause = None
        self._attempts.reset()
        self._feed(RtmInput.LOGIN, now)
        self._reconnect(now)
        return ticket

    def logout(self, now: float, timeout: float) -> Ticket:
        """Say goodbye and end the session; always ends well, at the latest after `limits.GOODBYE_TIMEOUT`."""
        if self.closed:
            raise closed_error(LOGOUT)
        if self.state is ConnectionState.DISCONNECTED:
            raise not_logged_in_error(LOGOUT, self.state, self.reason)
        ticket = Ticket(LOGOUT, now + timeout, begun=now)
        if self._logout is not None:
            self._logout.tickets.append(ticket)
            return ticket
        self._end_login(
            error_for(
                LoginError.ABORTED_BY_LOGOUT,
                "logout() was called during the login.",
                operation=LOGIN.name,
                state=self.state.name,
            )
        )
        self._logout = _Logout([ticket], now + min(GOODBYE_TIMEOUT, timeout))
        link = self._links.current or self._links.candidate
        reachable = self.state in (ConnectionState.CONNECTING, _CONNECTED)
        if reachable and link is not None and link.open and link.hello_sent:
            self._attempts.next_at = None
            self._restoring = None
            self._logout.said = link
            self._say_goodbye(link, now)
        else:
            self._finish_logout(now)
        return ticket

    def close(self, now: float) -> None:
        """End everything for good: say goodbye, and do not wait for it."""
        if self.closed:
            return
        self.closed = True
        if self.state is not ConnectionState.DISCONNECTED:
            self._end_login(closed_error(LOGIN))
            if self._logout is None:
                self._logout = _Logout([], now)
            self._finish_logout(now)

    # --- Inputs -------------------------------------------------------------------------------------------------

    def transport_opened(self, link_id: int, now: float) -> None:
        """The driver has opened a transport."""
        link = self._links.find(link_id)
        if link is not None and link is self._links.candidate and link.transport is None:
            self._links.connect(link, now)

    def transport_failed(self, link_id: int, error: RtmError, now: float) -> None:
        """The driver could not open a transport, or has lost it."""
        link = self._links.find(link_id)
        if link is not None:
            self._link_ended(link, Closed(CloseCode.NORMAL, "", error), now, failed=True)

    def receive_data(self, link_id: int, data: bytes, now: float) -> None:
        """Bytes came on a transport."""
        link = self._links.find(link_id)
        if link is None or link.transport is None:
            return
        carries = link is self._links.current
        if carries:
            self._heard = now
        link.transport.receive_data(data, now)
        self._pump(link, now)
        if carries and link is self._links.current:
            self._spoke(now)

    def receive_eof(self, link_id: int, now: float) -> None:
        """The server will send nothing more on a transport."""
        link = self._links.find(link_id)
        if link is None:
            return
        if link.transport is None:
            error = ConnectionFailed("The connection ended before it was established.")
            self._link_ended(link, Closed(CloseCode.NORMAL, "", error), now)
        else:
            link.transport.receive_eof(now)
            self._pump(link, now)

    def token(self, value: str | None, now: float) -> None:
        """The token provider has answered."""
        try:
            self._tokens.received(value)
        except RtmError as error:
            self.token_failed(error, now)
            return
        if self._links.candidate is not None:
            self._say_hello(self._links.candidate, now)

    def token_failed(self, error: RtmError, now: float) -> None:
        """The token provider could not answer."""
        self._tokens.failed()
        candidate = self._links.candidate
        if candidate is not None and not candidate.hello_sent and self._logout is None:
            self._links.close(candidate)
            self._attempt_failed(error, None, now)

    def handle_timer(self, now: float) -> None:
        """Judge silences and give-ups; what has been read must have been handed in before."""
        if self._logout is not None:
            if now >= self._logout.deadline:
                self._finish_logout(now)
            return
        if self._login is not None and now >= self._login.deadline and self._restoring is None:
            self._login_overdue(self._login, now)
        candidate = self._links.candidate
        if candidate is not None and now >= candidate.deadline:
            self._links.close(candidate)
            self._attempt_failed(attempt_timeout_error(now - candidate.begun, candidate.waits_for), None, now)
        elif candidate is not None:
            self._say_hello(candidate, now)
        if self._restoring is not None and now >= self._restoring:
            self._restored(now)
        self._judge_silence(now)
        if self._attempts.next_at is not None and now >= self._attempts.next_at:
            self._begin_attempt(now)

    def next_deadline(self) -> float | None:
        """When `handle_timer` must be called next."""
        if self._logout is not None:
            return self._logout.deadline
        state, candidate, next_at = self.state, self._links.candidate, self._attempts.next_at
        if state is _CONNECTED and candidate is None and next_at is None and self._restoring is None:
            return self._heard + self.facts.spare_after
        times = [next_at, self._restoring]
        if candidate is not None:
            times.append(candidate.deadline)
            if candidate.open and not candidate.hello_sent and self._may_use_last_token():
                times.append(candidate.begun + TOKEN_PATIENCE)
        if self._login is not None and self._restoring is None:
            times.append(self._login.deadline)
        if state is _CONNECTED:
            times.append(self._heard + self.facts.interrupted_after)
        if state in _LOGGED_IN and candidate is None and next_at is None:
            times.append(self._heard + self.facts.spare_after)
        return min([time for time in times if time is not None], default=None)

    # --- Packets of the session ---------------------------------------------------------------------------------

    def ready(self, _: Ready, now: float) -> None:
        """All channels of the hello were answered."""
        if self._restoring is not None and self._logout is None:
            self._restored(now)

    def kicked(self, packet: Kicked, now: float) -> None:
        """The server has ended the session; during a login its close code says so again."""
        given = _ABORTING_REASONS.get(packet.reason)
        if given is not None and self._logout is None and self.state in _LOGGED_IN:
            self._abort(given, ConnectionFailed(packet.text or "The server has ended the session."), now)

    # --- Transports ---------------------------------------------------------------------------------------------

    def _pump(self, link: Link, now: float) -> None:
        """Act on what a transport made of its input."""
        transport = link.transport
        assert transport is not None
        while (event := transport.next_event()) is not None:
            if isinstance(event, Received):
                self._received(link, event.packets, now)
            elif isinstance(event, Opened):
                self._say_hello(link, now)
            elif isinstance(event, Closed):
                self._link_ended(link, event, now)
            if link.gone:
                return

    def _received(self, link: Link, packets: Sequence[Packet], now: float) -> None:
        try:
            if link is self._links.candidate:
                packets = self._answered(link, packets, now)
            if packets and link is self._links.current:
                self._parts.packets(link, packets, now)
        except RemoteProtocolError as error:
            code = error.close_code or CloseCode.PROTOCOL_ERROR
            if link.transport is not None:
                link.transport.close(code, "", now)
            self._link_ended(link, Closed(code, "", error), now)

    def _answered(self, link: Link, packets: Sequence[Packet], now: float) -> Sequence[Packet]:
        """Find the answer to a hello, and return what comes behind it."""
        for index, packet in enumerate(packets):
            if isinstance(packet, Welcome):
                if self._logout is None:
                    self._welcomed(link, packet, now)
                return packets[index + 1 :]
            if isinstance(packet, Refused):
                link.refusal = packet
            elif isinstance(packet, Kicked):
                self.kicked(packet, now)
                return ()
        return ()

    def _say_hello(self, link: Link, now: float) -> None:
        """Send the first packet as soon as there are both a transport and a token."""
        if not link.open or link.hello_sent or self._logout is not None or link.transport is None:
            return
        returning = self.state is not ConnectionState.CONNECTING
        if not self._tokens.ready and (not self._may_use_last_token() or now < link.begun + TOKEN_PATIENCE):
            return
        link.hello_sent = True
        positions = self._parts.positions(link, returning=returning)
        hello = self.facts.hello(link.id, self._tokens.use(), positions, returning=returning)
        link.transport.send((hello,), now)

    def _may_use_last_token(self) -> bool:
        """Whether a return may go on with an old token where the provider is late: it may still be good."""
        return self._tokens.known and self.state is not ConnectionState.CONNECTING

    def _welcomed(self, link: Link, welcome: Welcome, now: float) -> None:
        assert link.transport is not None
        self._links.promote()
        self._heard = now
        new_epoch = self.facts.take(welcome)
        if welcome.beat:
            link.transport.beat_interval = welcome.beat / _MILLISECONDS
        self._attempts.next_at = None
        self._stands_since = None
        restoring = now + self._policy.restore_timeout
        # The server has accepted: a login does not time out any more, but it does not wait longer either.
        self._restoring = restoring if self._login is None else max(now, min(restoring, self._login.deadline))
        self._parts.welcomed(link, welcome, new_epoch=new_epoch, now=now)

    def _restored(self, now: float) -> None:
        """The session stands: after a welcome, or because the old transport speaks again."""
        self._restoring = None
        self._stands_since = now
        self.cause = None
        if self.state is ConnectionState.CONNECTING:
            self._feed(RtmInput.ACCEPTED, now)
            self._end_login(None)
        elif self.state is _RECONNECTING:
            self._feed(RtmInput.RESUMED if self.facts.resumed else RtmInput.REJOINED, now)
        self._parts.connected(now)

    def _spoke(self, now: float) -> None:
        """The transport that carries the session was heard: a spare one is not needed any more.

        Unless its hello is out: the server may have changed over to it already, and closes the other one then.
        """
        candidate = self._links.candidate
        if self._logout is not None or (candidate is not None and candidate.hello_sent):
            return
        if candidate is not None:
            self._links.close(candidate)
        if candidate is not None or self._attempts.next_at is not None:
            self._attempts.next_at = None
            self._attempts.reset()
        if self.state is _RECONNECTING and self._restoring is None:
            self._stay(now)

    def _stay(self, now: float) -> None:
        """Go on with the old transport, which has come back."""
        self.facts.resumed = True
        self._restored(now)

    def _link_ended(self, link: Link, closed: Closed, now: float, *, failed: bool = False) -> None:
        """A transport is gone, by whichever side."""
        carried, candidate = link is self._links.current, link is self._links.candidate
        self._links.close(link, failed=failed)
        if not carried and not candidate:
            return
        if carried:
            self._parts.detached()
            self._restoring = None
        if closed.error is None and closed.code in BYTES_REFUSED:
            self._parts.bytes_refused(link, close_error(closed))
        if self._logout is not None:
            self._finish_logout(now)
            return
        cause = close_error(closed) if link.refusal is None else refusal_error(link.refusal, self.state)
        retry_after = cause.retry_after if closed.retry_after is None else closed.retry_after
        final = None
        if self.state is ConnectionState.CONNECTING:
            final = final_at_login(closed, link.refusal)
        if final is not None:
            self._fail_login(final, now)
        elif self._must_abort(closed):
            self._abort(_ABORTING_CLOSES[closed.code], cause, now)
        elif candidate or self.state is ConnectionState.CONNECTING:
            self._attempt_failed(cause, retry_after, now)
        else:
            self._lost(cause, retry_after, now)

    def _must_abort(self, closed: Closed) -> bool:
        """Whether a close code stops a client that is logged in."""
        if closed.error is not None or closed.code not in _ABORTING_CLOSES or self.state not in _LOGGED_IN:
            return False
        expired = closed.code == CloseCode.TOKEN_EXPIRED
        return not expired or (self.facts.aborts_on_expiry and self.state is _CONNECTED)

    def _lost(self, cause: RtmError, retry_after: float | None, now: float) -> None:
        """The transport that carried the session is gone: replace it. The state changes only after some silence."""
        self.cause = cause
        if self._links.candidate is None and self._attempts.next_at is None:
            self._attempts.rotate()
            self._reconnect(now, retry_after)

    # --- Attempts -----------------------------------------------------------------------------------------------

    def _reconnect(self, now: float, retry_after: float | None = None) -> None:
        """Begin an attempt, or wait for it.

        A session that stood earns an attempt at once, but not when one after the other stands for a moment only.
        """
        if self._stands_since is not None:
            moment = now - self._stands_since < BACKOFF_SETTLED
            if not (moment and self._stood_a_moment):
                self._attempts.reset()
            self._stood_a_moment = moment
            self._stands_since = None
        end = None if self._login is None else self._login.deadline
        if self._attempts.schedule(now, retry_after, end):
            self._begin_attempt(now)

    def _begin_attempt(self, now: float) -> None:
        self._attempts.next_at = None
        deadline = now + self._policy.attempt_timeout
        if self._login is not None:
            purpose, deadline = Purpose.LOGIN, min(deadline, self._login.deadline)
        else:
            purpose = Purpose.RECONNECT if self._links.current is None else Purpose.SPARE
        self._links.open(purpose, self._attempts.endpoint, now, deadline)
        self._tokens.ask(TokenReason.LOGIN if purpose is Purpose.LOGIN else TokenReason.RECONNECT)

    def _attempt_failed(self, cause: RtmError, retry_after: float | None, now: float) -> None:
        """An attempt has failed, and that is no final answer, except of TLS and HTTP at a login."""
        self._feed(RtmInput.ATTEMPT_FAILED, now)
        self.cause = cause
        self._attempts.rotate()
        if self._login is not None and self._login.extended:
            self._time_out_login(self._login, now)
        elif (
            self._login is None
            and self._links.current is not None
            and now < self._heard + self.facts.spare_after
        ):
            # The old transport has come back meanwhile: there is nothing to replace.
            if self.state is _RECONNECTING and self._restoring is None:
                self._stay(now)
        else:
            self._reconnect(now, retry_after)

    def _judge_silence(self, now: float) -> None:
        if self.state not in _LOGGED_IN:
            return
        waits = self._links.candidate is not None or self._attempts.next_at is not None
        if now >= self._heard + self.facts.spare_after and not waits:
            self._attempts.rotate()
            self._attempts.reset()
            self._reconnect(now)
        if self.state is _CONNECTED and now >= self._heard + self.facts.interrupted_after:
            if self._links.current is not None:
                self.cause = silence_error(now - self._heard)
            self._feed(RtmInput.INTERRUPTED, now, self.cause)

    # --- The end of a login -------------------------------------------------------------------------------------

    def _login_overdue(self, login: _Login, now: float) -> None:
        """The login's time is over. A timer that fires late (the machine slept) allows one attempt first."""
        if login.extended or now < login.deadline + LATE_GIVE_UP:
            self._time_out_login(login, now)
            return
        login.extended = True
        login.deadline = now + self._policy.attempt_timeout
        if self._links.candidate is not None:
            self._links.close(self._links.candidate)
        self._begin_attempt(now)

    def _time_out_login(self, login: _Login, now: float) -> None:
        candidate = self._links.candidate
        if candidate is not None and self.cause is None:
            # An attempt that is cut short says less than one that failed before it.
            self.cause = attempt_timeout_error(now - candidate.begun, candidate.waits_for)
        attempts = self._links.latest - login.first_attempt + 1
        error = login_timeout_error(now - login.ticket.begun, attempts, self.cause)
        self._leave_links(now)
        self._feed(RtmInput.LOGIN_TIMED_OUT, now, error)
        self._end_login(error)

    def _fail_login(self, error: RtmError, now: float) -> None:
        self._leave_links(now)
        self._feed(RtmInput.REFUSED, now, error)
        self._end_login(error)

    def _end_login(self, error: RtmError | None) -> None:
        login, self._login = self._login, None
        if login is not None:
            self._complete(login.ticket, error)

    # --- The end of a session -----------------------------------------------------------------------------------

    def _say_goodbye(self, link: Link, now: float) -> None:
        """Write the goodbye. It names its fence, where there is one, so that it touches nothing newer."""
        if link is self._links.current:
            self._parts.goodbye(Bye(self.facts.fence), now)
        elif link.transport is not None:
            link.transport.send((Bye(),), now)

    def _leave_links(self, now: float) -> None:
        """Leave all transports: with a goodbye, and time for it to arrive, where the server may know of the session."""
        logout = self._logout
        for link in (self._links.current, self._links.candidate):
            if link is None:
                continue
            if not link.open or not link.hello_sent:
                self._links.close(link)
            elif logout is None or logout.said is not link:
                self._say_goodbye(link, now)
                self._links.let_leave(link, now + GOODBYE_TIMEOUT)
            elif now < logout.deadline:
                self._links.let_leave(link, logout.deadline)
            else:
                self._links.close(link)
        self._session_gone()

    def _session_gone(self) -> None:
        self._parts.detached()
        self._attempts.next_at = None
        self._restoring = None
        self.facts.forget()

    def _finish_logout(self, now: float) -> None:
        self._leave_links(now)
        logout, self._logout = self._logout, None
        self._feed(RtmInput.LOGOUT, now)
        self._parts.session_over()
        for ticket in [] if logout is None else logout.tickets:
            self._complete(ticket, None)

    def _abort(self, given: RtmInput, cause: RtmError, now: float) -> None:
        self._feed(given, now, cause)
        if self.state is not ConnectionState.ABORTED:
            return
        self.cause = cause
        for link in (self._links.current, self._links.candidate):
            if link is not None:
                self._links.close(link)
        self._session_gone()
        self._parts.session_over()
        if self._config.auto_logout_on_abort:
            self._feed(RtmInput.LOGOUT, now)

    # --- Helpers ------------------------------------------------------------------------------------------------

    def _feed(self, given: RtmInput, now: float, cause: RtmError | None = None) -> None:
        """Go to the state that the table names, and tell the application if it is another one."""
        previous = self.state
        rule = RTM_TABLE.rule(previous, given)
        if rule.target is not previous:
            self.state = rule.target
            self.reason = RTM_REASONS[rule.effect]
            self.since = now
            self._emit(StateChanged(rule.target, self.reason, previous, cause))

    def _complete(self, ticket: Ticket, error: RtmError | None) -> None:
        ticket.done = True
        ticket.error = error
        self._emit(RequestCompleted(ticket))
