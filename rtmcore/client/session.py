"""The session of a client: when it connects, to what state that leads, and when it is over.

The states and what leads from one to another stand in a table (`rtmcore.connection`), one for each kind of client;
here is what is done about it. Finer than the states are only: whether the session is being restored, and whether a
goodbye was said.
"""

from collections.abc import Sequence

from rtmcore.client.attempts import GiveUp, Verdict
from rtmcore.client.events import Purpose, RtcConnectionLost, TokenReason
from rtmcore.client.failures import (
    BYTES_REFUSED,
    ENDING_CLOSES,
    ENDING_REASONS,
    attempt_timeout_error,
    attempts_error,
    close_error,
    closed_error,
    final_at_login,
    final_at_return,
    give_up_error,
    login_timeout_error,
    logout_error,
    name_refusal,
    not_logged_in_error,
    refusal_error,
    refused_with,
    renewal_code,
    silence_error,
)
from rtmcore.client.goodbyes import Logout
from rtmcore.client.links import Link
from rtmcore.client.requests import Ticket
from rtmcore.client.standing import Login, Standing
from rtmcore.client.tokens import NEVER
from rtmcore.codes import CloseCode, LoginError
from rtmcore.connection.model import Input
from rtmcore.errors import ConnectionFailed, RemoteProtocolError, RtmError
from rtmcore.limits import GOODBYE_TIMEOUT, LATE_GIVE_UP, TOKEN_PATIENCE
from rtmcore.wire.packets import Kicked, Packet, Ready, Refused, Renewed, Welcome
from rtmcore.wire.transport import Closed, Opened, Received


class Session(Standing):
    """Brings a session up, keeps it up, and ends it."""

    # --- Intents ------------------------------------------------------------------------------------------------

    def login(self, now: float, timeout: float) -> Ticket:
        """Log in; the ticket completes when the session stands, or cannot be had."""
        ticket = Ticket(self._kind.login, now + timeout, begun=now)
        self._login = Login(ticket, self._links.latest + 1, GiveUp(ticket.deadline))
        self._login_failed = False
        self.cause = None
        self._attempts.reset()
        self.outage.begin(now)
        self._feed(Input.LOGIN, now)
        refusal = name_refusal(self._config, self._kind.login, self.state)
        if refusal is None:
            self._reconnect(now)
        else:
            self._fail_login(Input.INVALID_NAME, refusal, now)
        return ticket

    def logout(self, now: float, timeout: float) -> Ticket:
        """Say goodbye and end the session; always ends well, at the latest after `limits.GOODBYE_TIMEOUT`."""
        if self.closed:
            raise closed_error(self._kind.logout)
        if not self._may_log_out:
            raise not_logged_in_error(self._kind.logout, self._kind, self._model, self.state, self.reason)
        ticket = Ticket(self._kind.logout, now + timeout, begun=now)
        if self._logout is not None:
            self._logout.tickets.append(ticket)
            return ticket
        self._end_login(logout_error(self._kind.login, self._kind.logout, self.state))
        self._logout = Logout([ticket], now + min(GOODBYE_TIMEOUT, timeout))
        link = self._links.current or self._links.candidate
        reachable = self.state is self._model.connecting or self.state is self._connected
        if reachable and link is not None and link.open and link.hello_sent:
            self._attempts.next_at = None
            self._restoring = None
            self._logout.said = link
            self._goodbyes.say(link, now)
        else:
            self._finish_logout(now)
        return ticket

    def close(self, now: float) -> None:
        """End everything for good: say goodbye, and do not wait for it."""
        if self.closed:
            return
        self.closed = True
        if self._may_log_out:
            self._end_login(closed_error(self._kind.login))
            if self._logout is None:
                self._logout = Logout([], now)
            self._finish_logout(now)

    def renew(self, token: str, now: float) -> int:
        """Use another token from now on; where no transport carries the session, by an attempt made at once.

        Returns:
            Its number, as `Link.token` tells it; `Tokens` has more.
        """
        number = self._tokens.offer(token)
        if not self.may_write or self._links.current is None:
            if self.state is self._reconnecting:
                self._feed(Input.RENEWED, now)
            candidate = self._links.candidate
            if candidate is not None and candidate.hello_sent:
                self._links.close(candidate)
                candidate = None
            if candidate is None:
                self._attempts.reset()
                self._reconnect(now)
            else:
                self._say_hello(candidate, now)
        return number

    def token_answered(self, number: int, answer: Renewed | None, now: float) -> None:
        """The server has answered a renewal on the transport that carries the session; None if it refused."""
        if answer is None:
            self._tokens.refused(number)
        else:
            self._tokens.accepted(number)
            self._tokens.in_force(number, answer.expires, answer.now, now)

    # --- Inputs -------------------------------------------------------------------------------------------------

    def transport_opened(self, link_id: int, now: float) -> None:
        """The driver has opened a transport."""
        link = self._links.find(link_id)
        if link is not None and link is self._links.candidate and link.transport is None:
            self._links.connect(link, now)
            self._parts.link_changed()

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
            if now >= self._heard + self.facts.over_after and self.state in self._logged_in:
                # The server has ended the session meanwhile: what was under way since then restores nothing.
                self._link_ended(link, Closed(CloseCode.NORMAL, "", silence_error(now - self._heard)), now)
                return
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
        if now >= self._tokens.due:
            self._tokens.handle_timer(now)
        if self._login is not None and self._restoring is None:
            self._judge_login(self._login, now)
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
        tokens_due = self._tokens.due
        if state is self._connected and candidate is None and next_at is None and self._restoring is None:
            due = self._heard + self.facts.spare_after
            return due if due < tokens_due else tokens_due
        times = [next_at, self._restoring]
        if tokens_due < NEVER:
            times.append(tokens_due)
        if candidate is not None:
            times.append(candidate.deadline)
            if candidate.open and not candidate.hello_sent and self._may_use_last_token():
                times.append(candidate.begun + TOKEN_PATIENCE)
        if self._login is not None and self._restoring is None:
            times.append(self._login.end.deadline)
            times.append(self.outage.lost_at(self._login.ticket.begun))
        if state is self._connected:
            times.append(self._heard + self.facts.interrupted_after)
        elif state is self._reconnecting and self._restoring is None:
            times.append(self.outage.next_deadline(self._heard))
        if state in self._logged_in and candidate is None and next_at is None:
            times.append(self._heard + self.facts.spare_after)
        return min([time for time in times if time is not None], default=None)

    # --- Packets of the session ---------------------------------------------------------------------------------

    def ready(self, _: Ready, now: float) -> None:
        """All channels of the hello were answered."""
        self._ready = True
        self.parts_restored(now)

    def parts_restored(self, now: float) -> None:
        """What the parts bring back may be there: the session stands when its channels are, too."""
        waits = self._restoring is None or self._logout is not None
        if not waits and self._ready and not self._parts.restoring:
            self._restored(now)

    def kicked(self, packet: Kicked, now: float) -> None:
        """The server has ended the session; during a login its close code says so again."""
        self._kicked(packet, None, now)

    def _kicked(self, packet: Kicked, token: int | None, now: float) -> None:
        given = ENDING_REASONS.get(packet.reason)
        if given is None or self._logout is not None or self.state not in self._logged_in:
            return
        if given is Input.TOKEN_EXPIRED:
            self._tokens.report_expired(token)
        self._end(given, ConnectionFailed(packet.text or "The server has ended the session."), now)

    def expelled(self, error: RtmError, now: float) -> None:
        """The server has welcomed the client, but refuses the channel or room that the session is about."""
        if self._logout is None and self.state is self._model.connecting:
            self._fail_login(Input.REFUSED, error, now)
        elif self._logout is None:
            self._end(Input.REFUSED, error, now, goodbye=True)

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
                self._kicked(packet, link.token, now)
                return ()
        return ()

    def _say_hello(self, link: Link, now: float) -> None:
        """Send the first packet as soon as there are both a transport and a token."""
        if not link.open or link.hello_sent or self._logout is not None or link.transport is None:
            return
        returning = self.state is not self._model.connecting
        if not self._tokens.ready and (not self._may_use_last_token() or now < link.begun + TOKEN_PATIENCE):
            return
        link.hello_sent = True
        link.token = self._tokens.number
        positions = self._parts.positions(link, returning=returning)
        hello = self.facts.hello(link.id, self._tokens.use(), positions, returning=returning)
        link.transport.send((hello,), now)

    def _may_use_last_token(self) -> bool:
        """Whether a return may go on with an old token where the provider is late: it may still be good."""
        hopeless = self._tokens.expired and LoginError.TOKEN_EXPIRED in self._policy.final_refusals
        return self._tokens.known and self.state is not self._model.connecting and not hopeless

    def _welcomed(self, link: Link, welcome: Welcome, now: float) -> None:
        assert link.transport is not None
        self._links.promote()
        self._heard = now
        self._unheard = False
        self.outage.heard()
        new_epoch = self.facts.take(welcome)
        link.transport.beat_interval = self.facts.beat or link.transport.beat_interval
        self._attempts.succeeded()
        self._tokens.accepted(link.token)
        self._tokens.in_force(link.token, welcome.token_expires, welcome.now, now)
        restoring = now + self._policy.restore_timeout
        # The server has accepted: a login does not time out any more, but it does not wait longer either.
        end = None if self._login is None else self._login.end.deadline
        self._restoring = restoring if end is None else max(now, min(restoring, end))
        self._ready = False
        self._parts.welcomed(link, welcome, new_epoch=new_epoch, now=now)
        self._parts.link_changed()

    def _restored(self, now: float) -> None:
        """The session stands: after a welcome, or because the old transport speaks again."""
        self._restoring = None
        self._attempts.stands(now)
        self.outage.end()
        self.cause = None
        if self.state is self._model.connecting:
            self._feed(Input.ACCEPTED, now)
            self._end_login(None)
        elif self.state is self._reconnecting:
            self._feed(Input.RESUMED if self.facts.resumed else Input.REJOINED, now)
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
            self._parts.link_changed()
        if self.state is self._reconnecting and self._restoring is None:
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
            self._unheard = closed.error is None and closed.code == CloseCode.HEARTBEAT_TIMEOUT
        if closed.error is None and closed.code in BYTES_REFUSED:
            self._parts.bytes_refused(link, close_error(closed))
        if self._logout is not None:
            self._finish_logout(now)
            return
        refusal, login = link.refusal, self._kind.login
        cause = close_error(closed) if refusal is None else refusal_error(refusal, login, self.state)
        retry_after = cause.retry_after if closed.retry_after is None else closed.retry_after
        if self.state is self._model.connecting:
            final = final_at_login(closed, refusal, login, self.state)
            if final is not None:
                self._fail_login(*final, now)
            else:
                self._attempt_failed(cause, retry_after, now)
            return
        given = self._judge_end(link, closed)
        if given is not None:
            self._end(given, cause, now)
        elif candidate:
            self._attempt_failed(cause, retry_after, now)
        else:
            self._lost(cause, retry_after, now)

    def _judge_end(self, link: Link, closed: Closed) -> Input | None:
        """What the end of a transport does to a client that is logged in; None where it comes back."""
        refusal, final = link.refusal, self._policy.final_refusals
        if refusal is not None:
            if renewal_code(refusal) is not None and self._tokens.refused(link.token):
                # The state is as it was before the renewal: the old token is tried again.
                self._parts.token_refused(link.token, refusal)
                return None
            if refused_with(refusal) is LoginError.TOKEN_EXPIRED:
                self._tokens.report_expired(link.token)
        if closed.error is None and closed.code in ENDING_CLOSES:
            if closed.code != CloseCode.TOKEN_EXPIRED:
                return ENDING_CLOSES[closed.code]
            self._tokens.report_expired(link.token)
            ends = self.facts.aborts_on_expiry and self.state is self._connected
            return Input.TOKEN_EXPIRED if ends or LoginError.TOKEN_EXPIRED in final else None
        return final_at_return(closed, refusal, final)

    def _lost(self, cause: RtmError, retry_after: float | None, now: float) -> None:
        """The transport that carried the session is gone: replace it. The state changes only after some silence."""
        self.cause = cause
        if self._links.candidate is None and self._attempts.next_at is None:
            self._attempts.rotate()
            self._reconnect(now, retry_after)
        self._parts.link_changed()

    # --- Attempts -----------------------------------------------------------------------------------------------

    def _reconnect(self, now: float, retry_after: float | None = None) -> None:
        """Begin an attempt, or wait for it."""
        end = None if self._login is None else self._login.end.deadline
        if self._attempts.schedule(now, retry_after, end):
            self._begin_attempt(now)

    def _begin_attempt(self, now: float) -> None:
        self._attempts.next_at = None
        deadline = now + self._policy.attempt_timeout
        if self._login is not None:
            purpose, end = Purpose.LOGIN, self._login.end.deadline
            deadline = end if self._policy.login_attempts == 1 else min(deadline, end)
        else:
            purpose = Purpose.RECONNECT if self._links.current is None else Purpose.SPARE
        self._links.open(purpose, self._attempts.endpoint, now, deadline)
        self._tokens.ask(TokenReason.LOGIN if purpose is Purpose.LOGIN else TokenReason.RECONNECT)

    def _attempt_failed(self, cause: RtmError, retry_after: float | None, now: float) -> None:
        """An attempt has failed, and that is no final answer, except of TLS and HTTP at a login."""
        self.cause = cause
        self._attempts.rotate()
        login = self._login
        if login is not None and login.end.extended:
            self._time_out_login(login, now)
            return
        if login is not None and login.attempts(self._links.latest) == self._policy.login_attempts:
            self._fail_login(Input.LOGIN_FAILED, attempts_error(cause, self._kind.login, self.state), now)
            return
        self._feed(Input.ATTEMPT_FAILED, now)
        if login is None and self._links.current is not None and now < self._heard + self.facts.spare_after:
            # The old transport has come back meanwhile: there is nothing to replace.
            self._parts.link_changed()
            if self.state is self._reconnecting and self._restoring is None:
                self._stay(now)
        elif self.state is self._reconnecting and self.outage.last_attempt:
            self._give_up(now)
        else:
            self._reconnect(now, retry_after)

    def _judge_silence(self, now: float) -> None:
        if self.state not in self._logged_in:
            return
        waits = self._links.candidate is not None or self._attempts.next_at is not None
        if now >= self._heard + self.facts.spare_after and not waits:
            self._attempts.rotate()
            self._attempts.reset()
            self._reconnect(now)
            self._parts.link_changed()
        if self.state is self._connected and now >= self._heard + self.facts.interrupted_after:
            if self._links.current is not None:
                self.cause = silence_error(now - self._heard)
            self.outage.begin(self._heard)
            self._feed(Input.KEEP_ALIVE_TIMED_OUT if self._unheard else Input.INTERRUPTED, now, self.cause)
        if self.state is self._reconnecting and self._restoring is None:
            self._judge_outage(now)

    def _judge_outage(self, now: float) -> None:
        """Report a long outage once, and give up where the policy does."""
        if self.outage.is_lost(self._heard, now):
            self._tell_lost(now)
        verdict = self.outage.judge(self._heard, now)
        candidate = self._links.candidate
        if verdict is Verdict.OVER:
            self._give_up(now)
        elif verdict is Verdict.LAST_ATTEMPT and (candidate is None or now >= candidate.begun + LATE_GIVE_UP):
            if candidate is not None:
                self._links.close(candidate)
            self._begin_attempt(now)

    def _tell_lost(self, now: float) -> None:
        self._feed(Input.LOST, now)
        self._emit(RtcConnectionLost())

    def _give_up(self, now: float) -> None:
        self._end(Input.GAVE_UP, give_up_error(now - self._heard, self.cause), now, goodbye=True)

    # --- The end of a login -------------------------------------------------------------------------------------

    def _judge_login(self, login: Login, now: float) -> None:
        """Look whether a login's time is over; one that is noticed late allows one attempt first."""
        if self.outage.is_lost(login.ticket.begun, now):
            self._tell_lost(now)
        verdict = login.end.judge(now, self._policy.attempt_timeout)
        if verdict is Verdict.OVER:
            self._time_out_login(login, now)
        elif verdict is Verdict.LAST_ATTEMPT:
            if self._links.candidate is not None:
                self._links.close(self._links.candidate)
            self._begin_attempt(now)

    def _time_out_login(self, login: Login, now: float) -> None:
        if self.outage.lose():
            self._tell_lost(now)
        candidate = self._links.candidate
        if candidate is not None and self.cause is None:
            # An attempt that is cut short says less than one that failed before it.
            self.cause = attempt_timeout_error(now - candidate.begun, candidate.waits_for)
        made, kind = login.attempts(self._links.latest), self._kind
        error = login_timeout_error(now - login.ticket.begun, made, self.cause, kind.login, self.state)
        self._abandon_login(Input.LOGIN_TIMED_OUT, error, now)

    def _fail_login(self, given: Input, error: RtmError, now: float) -> None:
        self.cause = error
        self._abandon_login(given, error, now)

    def _abandon_login(self, given: Input, error: RtmError, now: float) -> None:
        self._goodbyes.leave(None, now)
        self._session_gone()
        self._login_failed = True
        self._feed(given, now, error)
        self._parts.session_over()
        self._end_login(error)

    def _end_login(self, error: RtmError | None) -> None:
        login, self._login = self._login, None
        if login is not None:
            self._complete(login.ticket, error)

    # --- The end of a session -----------------------------------------------------------------------------------

    def _session_gone(self) -> None:
        self._parts.detached()
        self._attempts.next_at = None
        self._restoring = None
        self._unheard = False
        self.facts.forget()
        self._tokens.session_over()
        self.outage.end()

    def _finish_logout(self, now: float) -> None:
        self._goodbyes.leave(self._logout, now)
        self._session_gone()
        logout, self._logout = self._logout, None
        self._feed(Input.LOGOUT, now)
        self._parts.session_over()
        for ticket in [] if logout is None else logout.tickets:
            self._complete(ticket, None)

    def _end(self, given: Input, cause: RtmError, now: float, *, goodbye: bool = False) -> None:
        """The session ends for good, if the table says so."""
        self._feed(given, now, cause)
        if self.state is not self._model.ended:
            return
        self.cause = cause
        if goodbye:
            self._goodbyes.leave(None, now)
        else:
            self._goodbyes.drop()
        self._session_gone()
        self._parts.session_over()
        if self._config.auto_logout_on_abort and self._may_log_out:
            self._feed(Input.LOGOUT, now)
