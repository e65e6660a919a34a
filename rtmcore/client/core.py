"""The client as a pure state machine: intents, bytes and time go in; bytes, events and deadlines come out.

The driver turns the crank. After each input or intent it takes what `data_to_send` and `next_event` have, and
calls `handle_timer` at `next_deadline`. `now` is monotonic seconds everywhere and never goes back.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, cast

from rtmcore.client.answers import Answers, Handler
from rtmcore.client.batching import Outbox, request_size
from rtmcore.client.channels import Channels
from rtmcore.client.config import ClientConfig, explain_invalid_token
from rtmcore.client.events import Event, PeerConnectionStateChanged, RequestCompleted
from rtmcore.client.facts import Positions
from rtmcore.client.failures import closed_error, login_refusal, renewal_code
from rtmcore.client.inbox import Inbox
from rtmcore.client.kinds import KINDS
from rtmcore.client.links import Link, Links
from rtmcore.client.rates import Rates
from rtmcore.client.requests import (
    CLOSE,
    FORGET,
    JOIN,
    LEAVE,
    MEMBERS,
    PUBLISH,
    RENEW_TOKEN,
    SEND_PEER,
    UNCALLED,
    Operation,
    Requests,
    Ticket,
)
from rtmcore.client.session import Session
from rtmcore.client.users import Users
from rtmcore.codes import (
    ConnectionState,
    JoinChannelError,
    LoginError,
    MessageType,
    PeerConnectionState,
    RoomErrorCode,
    SendPeerMessageError,
)
from rtmcore.connection.aggregate import peer_connection_state
from rtmcore.connection.model import State
from rtmcore.errors import (
    InvalidAppId,
    InvalidArgument,
    LocalProtocolError,
    RequestTimeout,
    RtmError,
    error_for,
)
from rtmcore.identifiers import explain_invalid_id, is_valid_app_id, is_valid_id
from rtmcore.limits import (
    APP_ID_LENGTH,
    LOGIN_TIMEOUT,
    LOGOUT_TIMEOUT,
    MESSAGE_BYTES,
    OPERATION_TIMEOUT,
    REQUEST_OVERHEAD,
    REQUESTS_IN_FLIGHT,
    SEND_TIMEOUT,
)
from rtmcore.models import ConnectionInfo
from rtmcore.wire.packets import (
    AttributeList,
    Bye,
    GetMembers,
    Join,
    Leave,
    Packet,
    PeerStates,
    Publish,
    Refused,
    Renewed,
    RenewToken,
    Restored,
    SendPeer,
    SetAttributes,
    Subscribe,
    Unsubscribe,
    Welcome,
)

_KINDS_SENT: Final = (MessageType.TEXT, MessageType.RAW)


class ClientCore:
    """One client: a user's session, its messages and its channels.

    Intents return a `Ticket` at once and never block; bad input and calls that do not fit the state raise. The
    ticket completes by a `RequestCompleted` event, once. Each takes `timeout`, the call's total time in seconds.

    Args:
        config: Settings.
        iid: Names this client object to the server: 16 to 32 random characters, never used again.
        random: Gives a number in [0, 1) at each call, for jitter.
        mask_key: Gives four unpredictable bytes at each call (RFC 6455 section 5.3).
        nonce: Gives 16 random bytes at each call.
    """

    def __init__(
        self,
        config: ClientConfig,
        *,
        iid: str,
        random: Callable[[], float],
        mask_key: Callable[[], bytes],
        nonce: Callable[[], bytes],
    ) -> None:
        self._config = config
        self._events: deque[Event] = deque()
        emit = self._events.append
        self._now = 0.0
        self._links = Links(config, emit, mask_key, nonce)
        self._requests = Requests(self._settled)
        self._outbox = Outbox(self._requests)
        self._rates = Rates(enabled=config.rate_limits)
        # Questions about gaps that were asked while packets were read; they leave with the read turn.
        self._questions: list[Packet] = []
        self._inbox = Inbox(emit, self._questions.append, config.inbox_window)
        self._channels = Channels(config.user_id, emit, self._questions.append)
        # Channels that the server may believe this client to be in, against its will: left again without a word.
        self._unwanted: set[str] = set()
        self._listed: frozenset[str] = frozenset()
        self._closing: list[Ticket] = []
        # Renewals of the token that wait for their answer: by request, the number of the token.
        self._renewals: dict[int, int] = {}
        # The newest token that a hello carried and the server has accepted.
        self._token_accepted = 0
        self._session = self.session = Session(config, iid, random, self._links, self, emit)
        self._peer_state = PeerConnectionState.NEW
        self._handlers = Answers(self._requests, self._inbox, self._channels, self._session).handlers
        self._handlers[Renewed] = self._renewed
        self.users = Users(self, self._requests, self._rates, emit, self._session.parts_restored)
        self._handlers[AttributeList] = self.users.attribute_list
        self._handlers[PeerStates] = self.users.told
        if config.scope:
            self._handlers[Restored] = self._scope_restored

    # --- Questions ----------------------------------------------------------------------------------------------

    @property
    def state(self) -> ConnectionState:
        """The documented connection state. Other kinds than RTM have their own: see `session`."""
        return cast("ConnectionState", self._session.state)

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._session.closed

    @property
    def peer_connection_state(self) -> PeerConnectionState:
        """The aggregate over the transports (seed 003); its changes are events, but for that to `closed`."""
        return PeerConnectionState.CLOSED if self._session.closed else self._peer_state

    @property
    def idle(self) -> bool:
        """Whether no transport is open or being opened."""
        links = self._links
        return links.current is None and links.candidate is None and not links.leaving

    @property
    def channels(self) -> tuple[str, ...]:
        """The channels that this client is in."""
        return self._channels.names

    def connection(self, now: float) -> ConnectionInfo:
        """How the connection stands."""
        session = self._session
        next_at = session.next_attempt_at
        return ConnectionInfo(
            state=self.state,
            reason=session.reason,
            since=session.since,
            attempt=self._links.latest,
            next_attempt_in=None if next_at is None else max(0.0, next_at - now),
            cause=session.cause,
        )

    # --- Intents: the session -----------------------------------------------------------------------------------

    def login(self, now: float, timeout: float = LOGIN_TIMEOUT) -> Ticket:
        """Log the user in. The ticket's value is None.

        Args:
            now: Monotonic seconds.
            timeout: Total time in seconds, retries included.

        Raises:
            ClientClosed: After `close` (101).
            AlreadyLoggedIn: In any state but DISCONNECTED (8).
            InvalidAppId: The app id is malformed (4).
            RateLimited: More than `limits.LOGIN_RATE` (10).
        """
        self._now = now
        login, model, state = KINDS[self._config.kind].login, self._config.policy.model, self._session.state
        if self._session.closed:
            raise closed_error(login)
        refusal = login_refusal(login, model, state, None)
        if refusal is None and not is_valid_app_id(self._config.app_id):
            refusal = InvalidAppId(
                f"The app id has to have exactly {APP_ID_LENGTH} visible ASCII characters.",
                code=login.code(LoginError.INVALID_APP_ID),
                operation=login.name,
                state=state.name,
            )
        refusal = refusal or login_refusal(login, model, state, self._rates.login_wait(now))
        if refusal is not None:
            raise refusal
        self._rates.count_login(now)
        return self._session.login(now, timeout)

    def logout(self, now: float, timeout: float = LOGOUT_TIMEOUT) -> Ticket:
        """Say goodbye and end the session. The ticket never fails; its value is None.

        Args:
            now: Monotonic seconds.
            timeout: Total time in seconds; `limits.GOODBYE_TIMEOUT` is never exceeded.

        Raises:
            ClientClosed: After `close` (101).
            NotLoggedIn: In DISCONNECTED (102).
        """
        self._now = now
        return self._session.logout(now, timeout)

    def close(self, now: float) -> Ticket:
        """End this client for good; may be called again.

        Every request ends at once, with `OutcomeUnknown` where its bytes may have left and 101 otherwise. The
        ticket completes when the last transport is closed, at most `limits.GOODBYE_TIMEOUT` later.
        """
        self._now = now
        self._session.close(now)
        ticket = Ticket(CLOSE, now, begun=now)
        self._closing.append(ticket)
        self._complete_closing()
        return ticket

    def renew_token(self, token: str, *, timeout: float = OPERATION_TIMEOUT, now: float) -> Ticket:
        """Hand over a new token. The ticket's value is None.

        While RECONNECTING an attempt with it is made at once, and the ticket completes when the session stands. A
        token that the server refuses fails the ticket and changes nothing else; one that got no answer in time is
        used all the same by the next attempts.

        Args:
            token: 1 to `limits.TOKEN_BYTES` ASCII characters.
            timeout: Total time in seconds.
            now: Monotonic seconds.

        Raises:
            ClientClosed, NotLoggedIn, Aborted: There is no session (101, 102).
            InvalidArgument: This is no token (2).
            LimitExceeded: Too much waits for an answer already.
            RateLimited: More than `limits.RENEW_TOKEN_RATE` (4).
        """
        self.begin(RENEW_TOKEN, now)
        state = self._session.state
        wrong = "The token must not be None." if token is None else explain_invalid_token(token)
        if wrong is not None:
            raise InvalidArgument(
                wrong, code=RENEW_TOKEN.invalid, operation=RENEW_TOKEN.name, state=state.name
            )
        size = REQUEST_OVERHEAD + len(token)
        self._requests.check_room(RENEW_TOKEN, size, state)
        self._rates.admit_renewal(now, state)
        packet = RenewToken(self._requests.next_id(), token)
        self._renewals[packet.i] = self._session.renew(token, now)
        return self.request(RENEW_TOKEN, packet, size, timeout, now)

    # --- Intents: messages --------------------------------------------------------------------------------------

    def send_peer(
        self,
        to: str,
        kind: MessageType,
        body: bytes,
        *,
        offline: bool = False,
        timeout: float = SEND_TIMEOUT,
        now: float,
    ) -> Ticket:
        """Send a message to a user. The ticket's value is a `SendResult`.

        Args:
            to: The user.
            kind: TEXT or RAW.
            body: At most `limits.MESSAGE_BYTES`; UTF-8 where it is text.
            offline: Store the message if the user is offline.
            timeout: Total time in seconds, the peer's acknowledgement included.
            now: Monotonic seconds.

        Raises:
            ClientClosed, NotLoggedIn, Aborted: There is no session (101, 102).
            InvalidArgument: The user (6) or the message (7) is not valid.
            LimitExceeded: Too much waits for an answer already.
            RateLimited: More than `limits.SEND_RATE` (5).
        """
        self.begin(SEND_PEER, now)
        if not is_valid_id(to):
            raise self._invalid_id(SEND_PEER, SendPeerMessageError.INVALID_USER_ID, to, "user id of the peer")
        body = self._checked_body(SEND_PEER, kind, body)
        size = request_size(body)
        self._requests.check_room(SEND_PEER, size, self.state)
        self._rates.admit_send(SEND_PEER, now, self.state)
        packet = SendPeer(self._requests.next_id(), to, int(kind), body, bool(offline))
        return self.request(SEND_PEER, packet, size, timeout, now)

    def publish(
        self,
        channel: str,
        kind: MessageType,
        body: bytes,
        *,
        timeout: float = SEND_TIMEOUT,
        now: float,
    ) -> Ticket:
        """Send a message to a channel. The ticket's value is a `PublishResult`.

        Args:
            channel: A channel that this client is in.
            kind: TEXT or RAW.
            body: At most `limits.MESSAGE_BYTES`; UTF-8 where it is text.
            timeout: Total time in seconds.
            now: Monotonic seconds.

        Raises:
            ClientClosed, NotLoggedIn, Aborted: There is no session (101, 102).
            NotInChannel: The channel is not joined (5).
            InvalidArgument: The message is not valid (4).
            LimitExceeded: Too much waits for an answer already.
            RateLimited: More than `limits.SEND_RATE` (3).
        """
        self.begin(PUBLISH, now)
        state = self.state
        self._channels.check_member(channel, PUBLISH, state)
        body = self._checked_body(PUBLISH, kind, body)
        size = request_size(body)
        self._requests.check_room(PUBLISH, size, state)
        self._rates.admit_send(PUBLISH, now, state)
        packet = Publish(self._requests.next_id(), channel, int(kind), body)
        self._channels.publish_begun(channel, packet.i)
        return self.request(PUBLISH, packet, size, timeout, now)

    # --- Intents: channels --------------------------------------------------------------------------------------

    def join(self, channel: str, *, timeout: float = OPERATION_TIMEOUT, now: float) -> Ticket:
        """Join a channel. The ticket's value is a `JoinResult`.

        A join that is given up without an answer is undone: the channel is left again without a word.

        Args:
            channel: 1 to 64 bytes of the documented characters.
            timeout: Total time in seconds.
            now: Monotonic seconds.

        Raises:
            ClientClosed, NotLoggedIn, Aborted: There is no session (101, 102).
            InvalidArgument: The channel's id is not valid (3).
            AlreadyJoined: The channel is joined or being joined (6).
            LimitExceeded: `limits.CHANNELS_JOINED` are (5), or too much waits for an answer.
            RateLimited: More than `limits.JOIN_RATE` (7) or `limits.JOIN_SAME_CHANNEL_RATE` (8).
        """
        self.begin(JOIN, now)
        if not is_valid_id(channel):
            raise self._invalid_id(JOIN, JoinChannelError.INVALID_ARGUMENT, channel, "channel id")
        state = self.state
        self._channels.check_join(channel, state)
        size = request_size(b"")
        self._requests.check_room(JOIN, size, state)
        self._rates.admit_join(channel, now, state)
        if channel in self._unwanted:
            self._forget(channel, now)
            self._unwanted.discard(channel)
        self._channels.join_begun(channel)
        return self.request(JOIN, Join(self._requests.next_id(), channel), size, timeout, now)

    def leave(self, channel: str, *, timeout: float = OPERATION_TIMEOUT, now: float) -> Ticket:
        """Leave a channel. The ticket's value is None.

        A leave that is given up without an answer counts as carried out here, and the server is told again.

        Args:
            channel: A channel that this client is in.
            timeout: Total time in seconds.
            now: Monotonic seconds.

        Raises:
            ClientClosed, NotLoggedIn, Aborted: There is no session (101, 102).
            NotInChannel: The channel is not joined, or being left already (3).
            LimitExceeded: Too much waits for an answer already.
        """
        self.begin(LEAVE, now)
        state = self.state
        self._channels.check_member(channel, LEAVE, state)
        size = request_size(b"")
        self._requests.check_room(LEAVE, size, state)
        self._channels.leave_begun(channel)
        return self.request(LEAVE, Leave(self._requests.next_id(), channel), size, timeout, now)

    def members(self, channel: str, *, timeout: float = OPERATION_TIMEOUT, now: float) -> Ticket:
        """Ask who is in a channel. The ticket's value is a tuple of user ids: all, or 512 at random of more.

        Args:
            channel: A channel that this client is in.
            timeout: Total time in seconds.
            now: Monotonic seconds.

        Raises:
            ClientClosed, NotLoggedIn, Aborted: There is no session (101, 102).
            NotInChannel: The channel is not joined (5).
            LimitExceeded: Too much waits for an answer already.
            RateLimited: More than `limits.MEMBERS_RATE` (4).
        """
        self.begin(MEMBERS, now)
        state = self.state
        self._channels.check_member(channel, MEMBERS, state)
        size = request_size(b"")
        self._requests.check_room(MEMBERS, size, state)
        self._rates.admit_members(now, state)
        return self.request(MEMBERS, GetMembers(self._requests.next_id(), channel), size, timeout, now)

    def cancel(self, ticket: Ticket, now: float) -> bool:
        """Withdraw a request, without an event.

        Returns:
            False where it is over, or bytes of it may have left: then it goes on.
        """
        self._now = now
        if not self._requests.withdraw(ticket):
            return False
        if ticket.operation is RENEW_TOKEN:
            self._session.token_answered(self._renewals[ticket.request_id or 0], None, now)
        self._undo(ticket)
        return True

    # --- Inputs -------------------------------------------------------------------------------------------------

    def transport_opened(self, link_id: int, now: float) -> None:
        """A transport that was asked for is open: bytes can be exchanged."""
        self._now = now
        self._session.transport_opened(link_id, now)

    def transport_failed(self, link_id: int, error: RtmError, now: float) -> None:
        """A transport that was asked for could not be opened, or is lost. Do not report its end again.

        Args:
            link_id: Its id.
            error: Why; a `TlsError` or a proxy's refusal ends a login at once.
            now: Monotonic seconds.
        """
        self._now = now
        self._session.transport_failed(link_id, error, now)
        self._complete_closing()

    def receive_data(self, link_id: int, data: bytes, now: float) -> None:
        """Bytes were read from a transport. Whatever comes from one that does not matter any more is ignored."""
        self._now = now
        self._session.receive_data(link_id, data, now)
        current = self._links.current
        if current is not None and current.id == link_id:
            self._outbox.release()
        if self._closing:
            self._complete_closing()

    def receive_eof(self, link_id: int, now: float) -> None:
        """A transport has ended."""
        self._now = now
        self._session.receive_eof(link_id, now)
        self._complete_closing()

    def token(self, value: str | None, now: float) -> None:
        """The answer to `NeedToken`; one that comes late is kept for the next attempt."""
        self._now = now
        self._session.token(value, now)

    def token_failed(self, error: RtmError, now: float) -> None:
        """The token provider raised, or took too long: the attempt that waits for it has failed."""
        self._now = now
        self._session.token_failed(error, now)

    def handed_over(self, position: int, now: float) -> None:
        """A subscription has taken all peer messages up to this position: they can be acknowledged."""
        self._now = now
        self._inbox.handed_over(position)

    def handle_timer(self, now: float) -> None:
        """Act on what is due. Hand in what can be read first: silence is judged here."""
        self._now = now
        self._requests.expire(now, self.state.name)
        self._outbox.handle_timer(now)
        self._links.handle_timer(now)
        self._session.handle_timer(now)
        if self._session.stands:
            self._channels.handle_timer(now)
            self.users.handle_timer(now)
        self._complete_closing()

    # --- Outputs ------------------------------------------------------------------------------------------------

    def next_event(self) -> Event | None:
        """The next event, or None."""
        return self._events.popleft() if self._events else None

    def next_deadline(self) -> float | None:
        """When `handle_timer` must be called, or None. Later than `now` after each `handle_timer(now)`."""
        earliest = self._requests.next_deadline()
        for due in (
            self._outbox.next_deadline(),
            self._links.next_deadline(),
            self._session.next_deadline(),
            self._parts_deadline() if self._session.stands else None,
        ):
            if due is not None and (earliest is None or due < earliest):
                earliest = due
        return earliest

    def data_to_send(self) -> list[tuple[int, bytes]]:
        """The bytes made since the last call, each with the id of its transport, to be written in this order."""
        if self._session.may_write and self._outbox.usable:
            urgent: Sequence[Packet] = ()
            if self._questions:
                urgent = self._questions[:]
                self._questions.clear()
            acknowledgement = self._inbox.acknowledgement()
            if acknowledgement is not None:
                urgent = [*urgent, acknowledgement]
            self._outbox.end_turn(self._now, urgent)
        return self._links.data_to_send()

    # --- The session's parts ------------------------------------------------------------------------------------

    def positions(self, link: Link, *, returning: bool) -> Positions:
        """Say where the client stands, for the hello of a transport."""
        channels = self._channels.positions() if returning else []
        link.floor = self._requests.floor
        link.restores = self._channels.taken() if returning else {}
        return Positions(self._inbox.position, channels, link.floor)

    def welcomed(self, link: Link, welcome: Welcome, *, new_epoch: bool, now: float) -> None:
        """A transport carries the session: write on it, beginning with what has no answer."""
        if link.transport is None:
            raise LocalProtocolError("A transport that was not opened cannot be welcomed.")
        self._questions.clear()
        self._outbox.attach(link.id, link.transport, link.floor, welcome.limits.get("frame"))
        self._inbox.welcomed(welcome.inbox)
        scope, session = self._config.scope, self._session
        if scope and session.state is self._config.policy.model.connecting:
            self._channels.left(scope)
        self._channels.welcomed(link.restores, new_epoch=new_epoch)
        if scope and not self._channels.is_member(scope):
            self._channels.enter(scope)
        self.users.welcomed(
            kept=welcome.resumed and not new_epoch,
            new_epoch=new_epoch,
            over_after=session.facts.over_after,
            timeout=self._config.policy.restore_timeout,
            now=now,
        )
        # What the hello said of the token needs no request any more.
        self._token_accepted = link.token
        done = {request for request, number in self._renewals.items() if number <= link.token}
        self._outbox.submit_all([ticket for ticket in self._requests if ticket.request_id not in done], now)
        under_way = {ticket.packet.ch for ticket in self._requests if isinstance(ticket.packet, Leave)}
        for channel in self._unwanted - under_way:
            self._forget(channel, now)

    def packets(self, link: Link, packets: Sequence[Packet], now: float) -> None:
        """Packets came on the transport that carries the session."""
        handlers = self._handlers
        for packet in packets:
            handler = handlers.get(packet.__class__)
            if handler is not None:
                handler(packet, now)
                if self._links.current is not link:
                    return

    def connected(self, now: float) -> None:
        """The session stands: write what has waited for that."""
        for request, number in list(self._renewals.items()):
            ticket = self._requests.get(request)
            if ticket is not None and number <= self._token_accepted:
                self._requests.succeed(ticket, None)
        self._outbox.submit_all(self._requests, now)
        self.users.connected(now)

    def detached(self) -> None:
        """No transport carries the session."""
        self._outbox.detach()
        self._questions.clear()

    def bytes_refused(self, link: Link, error: RtmError) -> None:
        """Fail what was written on a transport that the server closed as malformed or too large."""
        for ticket in [ticket for ticket in self._requests if ticket.link == link.id]:
            operation = ticket.operation
            refused = error_for(
                operation.invalid,
                "The server closed the connection as malformed or too large after this request was sent.",
                operation=operation.name,
                state=self.state.name,
                request_id=ticket.request_id,
            )
            refused.__cause__ = error
            self._requests.fail(ticket, refused)

    def goodbye(self, packet: Bye, now: float) -> None:
        """Write a goodbye on the transport that carries the session, with what waits."""
        self._outbox.flush(now, (packet,))

    def session_over(self) -> None:
        """The session has ended: nothing that belongs to it goes on."""
        self._unwanted.clear()
        self._channels.clear()
        self.users.session_over()
        self._token_accepted = 0
        self._requests.end_all(self._refusal)

    def token_refused(self, number: int, refusal: Refused) -> None:
        """A hello was refused because of the token that the application had handed over."""
        code = renewal_code(refusal) or RENEW_TOKEN.failure
        for request in [request for request, renewed in self._renewals.items() if renewed <= number]:
            ticket = self._requests.get(request)
            if ticket is not None:
                error = error_for(
                    code,
                    refusal.text or "The server refused the new token.",
                    operation=RENEW_TOKEN.name,
                    state=self._session.state.name,
                    request_id=request,
                )
                self._requests.fail(ticket, error)

    @property
    def restoring(self) -> bool:
        """Whether something is brought back after a return that the server has not answered yet."""
        return self.users.restoring

    def link_changed(self) -> None:
        """The state of the link, or of its TLS, may be another one now."""
        session, previous = self._session, self._peer_state
        tls = session.tls_state
        self._peer_state = state = peer_connection_state(
            (session.link_state,),
            () if tls is None else (tls,),
            closed=session.closed,
            rules=self._config.aggregate_rules,
        )
        if state is not previous and not session.closed:
            self._events.append(PeerConnectionStateChanged(state, previous))

    # --- For the cores that are built on this one ---------------------------------------------------------------

    def extend(self, handlers: Mapping[type[Any], Handler]) -> None:
        """Hand packets of further classes to these: each is called with the packet and the time."""
        self._handlers.update(handlers)

    def emit(self, event: Event) -> None:
        """Add an event behind all that wait."""
        self._events.append(event)

    @property
    def can_write(self) -> bool:
        """Whether a transport carries the session, so that packets can be written."""
        return self._session.may_write and self._outbox.usable

    def write(self, packets: Sequence[Packet], now: float) -> None:
        """Write packets that are not answered, at once and behind what waits. Look at `can_write` before."""
        self._now = now
        self._outbox.flush(now, packets)

    # --- For its parts ------------------------------------------------------------------------------------------

    @property
    def current_state(self) -> State:
        """The state, of whichever kind of session."""
        return self._session.state

    def begin(self, operation: Operation, now: float) -> None:
        """Note the time, and refuse a call that needs a login where there is none."""
        self._now = now
        refusal = self._session.refusal(operation)
        if refusal is not None:
            raise refusal

    def request(self, operation: Operation, packet: Any, size: int, timeout: float, now: float) -> Ticket:
        """Take in a request, and write it as soon as that is possible."""
        ticket = self._requests.add(operation, packet, size, timeout, now)
        if self._session.may_write:
            self._outbox.submit(ticket, now)
        return ticket

    # --- Helpers ------------------------------------------------------------------------------------------------

    def _parts_deadline(self) -> float | None:
        """When the channels or users want to look at the time."""
        channels, users = self._channels.next_deadline(), self.users.next_deadline()
        return users if channels is None or (users is not None and users < channels) else channels

    def _scope_restored(self, packet: Restored, now: float) -> None:
        if packet.ch != self._config.scope or not packet.code:
            return
        login = KINDS[self._config.kind].login
        room = login.codes is RoomErrorCode
        error = error_for(
            RoomErrorCode.ROOM_CONNECT_FAILED if room else LoginError.REJECTED,
            packet.text or "The server does not let this client in.",
            operation=login.name,
            state=self._session.state.name,
        )
        self._session.expelled(error, now)

    def _renewed(self, packet: Renewed, now: float) -> None:
        ticket = self._requests.get(packet.i)
        if ticket is not None and ticket.operation is RENEW_TOKEN:
            self._session.token_answered(self._renewals[packet.i], packet, now)
            self._requests.succeed(ticket, None)

    def _checked_body(self, operation: Operation, kind: MessageType, body: bytes) -> bytes:
        if body.__class__ is not bytes and isinstance(body, bytes | bytearray | memoryview):
            body = bytes(body)
        if not isinstance(body, bytes):
            wrong = f"A message has to be bytes, not {type(body).__name__}."
        elif len(body) > MESSAGE_BYTES:
            wrong = f"The message has {len(body)} bytes; at most {MESSAGE_BYTES} are allowed."
        elif kind not in _KINDS_SENT:
            wrong = "A message is of the kind TEXT or RAW."
        else:
            return body
        raise InvalidArgument(wrong, code=operation.invalid, operation=operation.name, state=self.state.name)

    def _invalid_id(self, operation: Operation, code: Any, value: object, what: str) -> InvalidArgument:
        why = explain_invalid_id(value, what)
        return InvalidArgument(why or "", code=code, operation=operation.name, state=self.state.name)

    def _refusal(self, ticket: Ticket) -> RtmError:
        return self._session.refusal(ticket.operation) or closed_error(ticket.operation)

    def _settled(self, ticket: Ticket) -> None:
        """A request is over, in whichever way."""
        self._outbox.settled(ticket)
        self._undo(ticket)
        if ticket.operation not in UNCALLED:
            self._events.append(RequestCompleted(ticket))

    def _undo(self, ticket: Ticket) -> None:
        """Take back what a request had reserved, where it came to nothing."""
        packet = ticket.packet
        if isinstance(packet, Publish):
            if ticket.value is None:
                self._channels.publish_ended(packet.ch, packet.i)
        elif isinstance(packet, Join):
            if ticket.value is None:
                self._channels.join_ended(packet.ch)
                self._leave_unwanted(ticket, packet.ch)
        elif isinstance(packet, Leave):
            self._leave_ended(ticket, packet.ch)
        elif isinstance(packet, Subscribe | Unsubscribe | SetAttributes):
            self.users.settled(ticket, self._now)
        elif isinstance(packet, RenewToken):
            number = self._renewals.pop(packet.i)
            if ticket.error is not None and not isinstance(ticket.error, RequestTimeout):
                self._session.token_answered(number, None, self._now)

    def _leave_ended(self, ticket: Ticket, channel: str) -> None:
        if ticket.operation is FORGET:
            if not isinstance(ticket.error, RequestTimeout):
                self._unwanted.discard(channel)
        elif ticket.written and (ticket.error is None or isinstance(ticket.error, RequestTimeout)):
            self._channels.left(channel)
            self._leave_unwanted(ticket, channel)
        else:
            self._channels.leave_given_up(channel)

    def _leave_unwanted(self, ticket: Ticket, channel: str) -> None:
        """After a time-out nobody knows whether the server has carried it out: make sure of not being a member."""
        if isinstance(ticket.error, RequestTimeout) and ticket.written:
            if len(self._unwanted) < REQUESTS_IN_FLIGHT:
                self._unwanted.add(channel)
            self._forget(channel, self._now)

    def _forget(self, channel: str, now: float) -> None:
        self.request(
            FORGET, Leave(self._requests.next_id(), channel), request_size(b""), OPERATION_TIMEOUT, now
        )

    def _complete_closing(self) -> None:
        if self._closing and self.idle:
            for ticket in self._closing:
                ticket.done = True
                self._events.append(RequestCompleted(ticket))
            self._closing.clear()
