"""The client as a pure state machine: intents, bytes and time go in; bytes, events and deadlines come out.

The driver turns the crank. After each input or intent it takes what `data_to_send` and `next_event` have, or both in
their order from `next_output`, and calls `handle_timer` at `next_deadline`. `now` is monotonic seconds everywhere and
never goes back.
"""

from collections.abc import Sequence
from typing import Final, cast

from rtmcore.client.batching import request_size
from rtmcore.client.calls import invalid
from rtmcore.client.config import explain_invalid_token
from rtmcore.client.driven import Driven
from rtmcore.client.events import Event, RequestCompleted
from rtmcore.client.failures import broken, closed_error, login_refusal, without_token
from rtmcore.client.kinds import KINDS
from rtmcore.client.parts import ClientParts
from rtmcore.client.requests import (
    CLOSE,
    JOIN,
    LEAVE,
    MEMBERS,
    PUBLISH,
    RENEW_TOKEN,
    SEND_PEER,
    WAIT_INVITATION,
    Operation,
    Ticket,
)
from rtmcore.codes import (
    ConnectionState,
    LoginError,
    MessageType,
    PeerConnectionState,
    SendPeerMessageError,
)
from rtmcore.errors import (
    InvalidAppId,
    InvalidArgument,
)
from rtmcore.files import FILE_KINDS, decode_file
from rtmcore.identifiers import explain_invalid_id, is_valid_app_id, is_valid_id
from rtmcore.limits import (
    APP_ID_LENGTH,
    LOGIN_TIMEOUT,
    LOGOUT_TIMEOUT,
    OFFLINE_SECONDS,
    OPERATION_TIMEOUT,
    REQUEST_OVERHEAD,
    SEND_TIMEOUT,
)
from rtmcore.models import ConnectionInfo
from rtmcore.wire.described import message_size, with_description
from rtmcore.wire.packets import (
    RAW_DESCRIBED,
    GetMembers,
    Join,
    Leave,
    Packet,
    Publish,
    RenewToken,
    SendPeer,
)

_KINDS_SENT: Final = (MessageType.TEXT, MessageType.RAW, MessageType.FILE, MessageType.IMAGE)
_MILLISECONDS: Final = 1000


class ClientCore(ClientParts, Driven):
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

    # --- Questions ----------------------------------------------------------------------------------------------

    @property
    def state(self) -> ConnectionState:
        """The documented connection state. Other kinds than RTM have their own: see `session`."""
        return cast("ConnectionState", self.session.state)

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self.session.closed

    @property
    def peer_connection_state(self) -> PeerConnectionState:
        """The aggregate over the transports (seed 003); its changes are events, but for that to `closed`."""
        return PeerConnectionState.CLOSED if self.session.closed else self._peer_state

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
        session = self.session
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
        login, model, state = KINDS[self._config.kind].login, self._config.policy.model, self.session.state
        if self.session.closed:
            raise closed_error(login)
        refusal = login_refusal(login, model, state)
        if refusal is None and not is_valid_app_id(self._config.app_id):
            refusal = InvalidAppId(
                f"The app id has to have exactly {APP_ID_LENGTH} visible ASCII characters.",
                code=login.code(LoginError.INVALID_APP_ID),
                operation=login.name,
                state=state.name,
            )
        refusal = refusal or login_refusal(
            login, model, state, self._rates.login_limit, self._rates.login_wait(now)
        )
        if refusal is not None:
            raise refusal
        self._rates.count_login(now)
        return self.session.login(now, timeout)

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
        return self.session.logout(now, timeout)

    def close(self, now: float) -> Ticket:
        """End this client for good; may be called again.

        Every request ends at once, with `OutcomeUnknown` where its bytes may have left and 101 otherwise. The
        ticket completes when the last transport is closed, at most `limits.GOODBYE_TIMEOUT` later.
        """
        self._now = now
        self.session.close(now)
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
        state = self.session.state
        wrong = "The token must not be None." if token is None else explain_invalid_token(token)
        if wrong is not None:
            raise InvalidArgument(
                wrong, code=RENEW_TOKEN.invalid, operation=RENEW_TOKEN.name, state=state.name
            )
        size = REQUEST_OVERHEAD + len(token)
        self.admit(RENEW_TOKEN, size, now)
        packet = RenewToken(self._requests.next_id(), token)
        self._renewals.begun(packet.i, self.session.renew(token, now))
        return self.request(RENEW_TOKEN, packet, size, timeout, now)

    # --- Intents: messages --------------------------------------------------------------------------------------

    def send_peer(
        self,
        to: str,
        kind: MessageType,
        body: bytes,
        *,
        description: str | None = None,
        offline: bool = False,
        ttl: float | None = None,
        history: bool = False,
        timeout: float = SEND_TIMEOUT,
        now: float,
    ) -> Ticket:
        """Send a message to a user. The ticket's value is a `SendResult`.

        Args:
            to: The user.
            kind: TEXT or RAW; FILE or IMAGE for a body of `encode_file`.
            body: At most `limits.MESSAGE_BYTES`, with the description; UTF-8 where it is text.
            description: What there is to say about a raw message.
            offline: Store the message if the user is offline.
            ttl: Seconds after which a stored message is dropped, up to `limits.OFFLINE_SECONDS`, which is the default.
            history: Keep a text in the history, for `limits.HISTORY_DAYS`; raw messages are not kept.
            timeout: Total time in seconds, the peer's acknowledgement included.
            now: Monotonic seconds.

        Raises:
            ClientClosed, NotLoggedIn, Aborted: There is no session (101, 102).
            InvalidArgument: The user (6) or the message (7) is not valid.
            LimitExceeded: Too much waits for an answer already.
            RateLimited: More than `limits.SEND_RATE` (5).
        """
        self.begin(SEND_PEER, now)
        if not is_valid_id(to, self._figures.sizes.user_id):
            why = explain_invalid_id(to, "user id of the peer", self.sizes.user_id)
            raise invalid(self, SEND_PEER, why or "", SendPeerMessageError.INVALID_USER_ID)
        number, body = self._checked_body(SEND_PEER, kind, body, description)
        milliseconds = 0 if ttl is None else self._checked_ttl(ttl)
        size = request_size(body)
        self.admit(SEND_PEER, size, now)
        packet = SendPeer(
            self._requests.next_id(), to, number, body, bool(offline), 0, bool(history), milliseconds
        )
        return self.request(SEND_PEER, packet, size, timeout, now)

    def publish(
        self,
        channel: str,
        kind: MessageType,
        body: bytes,
        *,
        description: str | None = None,
        history: bool = False,
        timeout: float = SEND_TIMEOUT,
        now: float,
    ) -> Ticket:
        """Send a message to a channel. The ticket's value is a `PublishResult`.

        Args:
            channel: A channel that this client is in.
            kind: TEXT or RAW; FILE or IMAGE for a body of `encode_file`.
            body: At most `limits.MESSAGE_BYTES`, with the description; UTF-8 where it is text.
            description: What there is to say about a raw message.
            history: Keep a text in the history, for `limits.HISTORY_DAYS`; raw messages are not kept.
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
        self._channels.check_member(channel, PUBLISH, self.session.state)
        number, body = self._checked_body(PUBLISH, kind, body, description)
        size = request_size(body)
        self.admit(PUBLISH, size, now)
        packet = Publish(self._requests.next_id(), channel, number, body, bool(history))
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
        if not is_valid_id(channel, self.sizes.channel_id):
            raise invalid(self, JOIN, explain_invalid_id(channel, "channel id", self.sizes.channel_id) or "")
        self._channels.check_join(channel, self.session.state)
        size = request_size(b"")
        self.admit(JOIN, size, now, channel)
        if channel in self._unwanted:
            self._forget(channel, now)
            self._unwanted.discard(channel)
        self._channels.join_begun(channel)
        return self.request(JOIN, Join(self._requests.next_id(), channel), size, timeout, now)

    def leave(self, channel: str, *, timeout: float = OPERATION_TIMEOUT, now: float) -> Ticket:
        """Leave a channel. The ticket's value is None.

        A join of it that is under way ends with ABORTED_BY_LEAVE (201), whatever has become of it at the server.
        A leave that is given up without an answer counts as carried out here, and the server is told again.

        Args:
            channel: A channel that this client is in, or joins.
            timeout: Total time in seconds.
            now: Monotonic seconds.

        Raises:
            ClientClosed, NotLoggedIn, Aborted: There is no session (101, 102).
            NotInChannel: The channel is not joined, or being left already (3); or the server has put this client out
                of it (4).
            LimitExceeded: Too much waits for an answer already.
        """
        self.begin(LEAVE, now)
        state = self.session.state
        joining = self._join_of(channel)
        if joining is None:
            self._channels.check_member(channel, LEAVE, state)
        size = request_size(b"")
        self._requests.check_room(LEAVE, size, state)
        if joining is not None:
            self._abort_join(joining)
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
        self._channels.check_member(channel, MEMBERS, self.session.state)
        size = request_size(b"")
        self.admit(MEMBERS, size, now)
        return self.request(MEMBERS, GetMembers(self._requests.next_id(), channel), size, timeout, now)

    def cancel(self, ticket: Ticket, now: float) -> bool:
        """Withdraw a request, without an event.

        Returns:
            False where it is over, or bytes of it may have left: then it goes on.
        """
        self._now = now
        if ticket.operation is WAIT_INVITATION:
            return self.invitations.forget_wait(ticket)
        if not self._requests.withdraw(ticket):
            return False
        if ticket.operation is RENEW_TOKEN:
            self.session.token_answered(self._renewals.number(ticket.request_id or 0), None, now)
        end = self._ends.get(ticket.packet.__class__)
        if end is not None:
            end(ticket, ticket.packet)
        return True

    # --- Inputs -------------------------------------------------------------------------------------------------

    def transport_opened(self, link_id: int, now: float) -> None:
        """A transport that was asked for is open: bytes can be exchanged."""
        self._now = now
        self.session.transport_opened(link_id, now)

    def transport_failed(self, link_id: int, error: Exception, now: float) -> None:
        """A transport that was asked for could not be opened, or is lost. Do not report its end again.

        Args:
            link_id: Its id.
            error: Why, as the socket raised it; it becomes the cause of a `ConnectionFailed`, unless it is an
                `RtmError`. A `TlsError` or a proxy's refusal ends a login at once.
            now: Monotonic seconds.
        """
        self._now = now
        self.session.transport_failed(link_id, broken(error), now)
        self._complete_closing()

    def receive_data(self, link_id: int, data: bytes, now: float) -> None:
        """Bytes were read from a transport. Whatever comes from one that does not matter any more is ignored."""
        self._now = now
        self.session.receive_data(link_id, data, now)
        current = self._links.current
        if current is not None and current.id == link_id:
            self._outbox.release()
        if self._closing:
            self._complete_closing()

    def receive_eof(self, link_id: int, now: float) -> None:
        """A transport has ended."""
        self._now = now
        self.session.receive_eof(link_id, now)
        self._complete_closing()

    def token(self, value: str | None, now: float) -> None:
        """The answer to `NeedToken`; one that comes late is kept for the next attempt."""
        self._now = now
        self.session.token(value, now)

    def token_failed(self, error: Exception, now: float) -> None:
        """The token provider raised, or took too long: the attempt that waits for it has failed."""
        self._now = now
        self.session.token_failed(without_token(error), now)

    def handed_over(self, position: int, now: float) -> None:
        """A subscription has taken all peer messages up to this position: they can be acknowledged."""
        self._now = now
        self._inbox.handed_over(position)

    def handle_timer(self, now: float) -> None:
        """Act on what is due. Hand in what can be read first: silence is judged here."""
        self._now = now
        self._requests.expire(now, self.session.state.name)
        if self._pacer.due is not None:
            self._pacer.handle_timer(now)
        self._outbox.handle_timer(now)
        self._links.handle_timer(now)
        self.session.handle_timer(now)
        if self.session.stands:
            self._channels.handle_timer(now)
            self.users.handle_timer(now)
        if self.invitations.busy:
            self.invitations.handle_timer(now)
        self._complete_closing()

    # --- Outputs ------------------------------------------------------------------------------------------------

    def next_event(self) -> Event | None:
        """The next event, or None."""
        return self._events.popleft() if self._events else None

    def next_deadline(self) -> float | None:
        """When `handle_timer` must be called, or None. Later than `now` after each `handle_timer(now)`."""
        earliest = self._requests.next_deadline()
        for due in (
            self._pacer.due,
            self._outbox.next_deadline(),
            self._links.next_deadline(),
            self.session.next_deadline(),
            self._channels.next_deadline() if self._channels.awaiting and self.session.stands else None,
            self.users.next_deadline() if self.users.withheld and self.session.stands else None,
            self.invitations.next_deadline() if self.invitations.busy else None,
        ):
            if due is not None and (earliest is None or due < earliest):
                earliest = due
        return earliest

    def data_to_send(self) -> list[tuple[int, bytes]]:
        """The bytes made since the last call, each with the id of its transport, to be written in this order."""
        if self.session.may_write and self._outbox.usable:
            urgent: Sequence[Packet] = ()
            if self._questions:
                urgent = self._questions[:]
                self._questions.clear()
            acknowledgement = self._inbox.acknowledgement()
            if acknowledgement is not None:
                urgent = [*urgent, acknowledgement]
            self._outbox.end_turn(self._now, urgent)
        return self._links.data_to_send()

    # --- Helpers ------------------------------------------------------------------------------------------------

    def _checked_body(
        self, operation: Operation, kind: MessageType, body: bytes, description: str | None
    ) -> tuple[int, bytes]:
        """The kind and the body of a message as they go over the wire."""
        most = self._figures.sizes.message
        if body.__class__ is not bytes and isinstance(body, bytes | bytearray | memoryview):
            body = bytes(body)
        if not isinstance(body, bytes):
            wrong = f"A message has to be bytes, not {type(body).__name__}."
        elif len(body) > most:
            wrong = f"The message has {len(body)} bytes; at most {most} are allowed."
        elif kind not in _KINDS_SENT:
            wrong = "A message is of the kind TEXT, RAW, FILE or IMAGE."
        elif kind in FILE_KINDS and decode_file(kind, body) is None:
            wrong = "The message does not say which file it is about: make its body with encode_file."
        elif description is None:
            return int(kind), body
        elif kind is not MessageType.RAW or not isinstance(description, str):
            wrong = "A description is a string, and belongs to raw messages only."
        else:
            described = with_description(body, description.encode("utf-8", "replace"))
            size = message_size(RAW_DESCRIBED, described)
            if size <= most:
                return RAW_DESCRIBED, described
            wrong = f"Message and description have {size} bytes; at most {most} are allowed."
        raise invalid(self, operation, wrong)

    def _checked_ttl(self, ttl: float) -> int:
        """A time to live in milliseconds."""
        if isinstance(ttl, bool) or not isinstance(ttl, int | float) or not 0 < ttl <= OFFLINE_SECONDS:
            raise invalid(
                self, SEND_PEER, f"The time to live is above 0 and at most {OFFLINE_SECONDS} seconds."
            )
        return max(1, round(ttl * _MILLISECONDS))

    def _complete_closing(self) -> None:
        if self._closing and self.idle:
            for ticket in self._closing:
                ticket.done = True
                self._events.append(RequestCompleted(ticket))
            self._closing.clear()
