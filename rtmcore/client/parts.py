"""The parts of a client, kept in step with its session: requests, inbox, channels, users and renewed tokens."""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rtmcore.client.answers import Answers, Handler
from rtmcore.client.batching import Outbox, request_size
from rtmcore.client.channel_info import ChannelInfo
from rtmcore.client.channels import Channels
from rtmcore.client.config import ClientConfig
from rtmcore.client.events import Event, PeerConnectionStateChanged, RequestCompleted
from rtmcore.client.facts import Positions
from rtmcore.client.failures import closed_error
from rtmcore.client.history import History
from rtmcore.client.inbox import Inbox
from rtmcore.client.invitations import Invitations
from rtmcore.client.kinds import KINDS
from rtmcore.client.links import Link, Links
from rtmcore.client.pacing import Pacer
from rtmcore.client.rates import Rates
from rtmcore.client.renewals import Renewals
from rtmcore.client.requests import (
    FORGET,
    JOIN,
    RENEW_TOKEN,
    RESTORES,
    SIGNAL,
    Operation,
    Requests,
    Ticket,
)
from rtmcore.client.session import Session
from rtmcore.client.transfers.registry import Transfers
from rtmcore.client.users import Users
from rtmcore.codes import (
    JoinChannelError,
    LoginError,
    PeerConnectionState,
    RenewTokenError,
    RoomErrorCode,
)
from rtmcore.connection.aggregate import peer_connection_state
from rtmcore.connection.model import State
from rtmcore.errors import (
    LocalProtocolError,
    RequestTimeout,
    RtmError,
    error_for,
)
from rtmcore.figures import Figures, Sizes
from rtmcore.limits import (
    OPERATION_TIMEOUT,
    REQUESTS_IN_FLIGHT,
)
from rtmcore.wire.packets import (
    AttributeList,
    Bye,
    ChannelAttributeList,
    Failed,
    InboxEntry,
    Join,
    Leave,
    MemberCounts,
    MessagePage,
    OnlineList,
    Packet,
    PeerStates,
    Publish,
    Refused,
    Renewed,
    RenewToken,
    Restored,
    SetAttributes,
    Subscribe,
    TransferTicket,
    Unsubscribe,
    UpdateAttributes,
    UserList,
    Welcome,
)


class ClientParts:
    """What a client core is made of. `ClientCore` adds the verbs by which it is driven.

    Args:
        config: Settings.
        iid: Names this client object to the server: 16 to 32 random characters, never used again.
        random: Gives a number in [0, 1) at each call, for jitter.
        mask_key: Gives four unpredictable bytes at each call (RFC 6455 section 5.3).
        nonce: Gives 16 random bytes at each call.

    Attributes:
        session: The session; for the cores that are built on this one.
        users: Presence, and the attributes of users.
        invitations: Call invitations, sent and received.
        channel_info: Attributes and member counts of channels.
        history: Messages that are kept at the server.
        transfers: Uploads and downloads that have not ended.
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
        self._figures = Figures()
        self._requests = Requests(self._settled, self._figures)
        self._outbox = Outbox(self._requests)
        waiting = config.on_rate_limit == "wait"
        self._rates = Rates(enabled=config.rate_limits, waiting=waiting, kept=self._figures)
        self._pacer = Pacer(self._outbox, enabled=config.rate_limits, kept=self._figures)
        # Questions about gaps that were asked while packets were read; they leave with the read turn.
        self._questions: list[Packet] = []
        self._inbox = Inbox(emit, self._questions.append, config.inbox_window, self._signaled)
        self._channels = Channels(config.user_id, emit, self._questions.append, self._figures)
        # Channels that the server may believe this client to be in, against its will: left again without a word.
        self._unwanted: set[str] = set()
        self._renewals = Renewals(self._requests)
        # Calls of `close` that wait for the last transport.
        self._closing: list[Ticket] = []
        self.session = Session(config, iid, random, self._links, self, emit)
        self._peer_state = PeerConnectionState.NEW
        self._handlers = Answers(self._requests, self._inbox, self._channels, self.session).handlers
        self._handlers[Renewed] = self._renewed
        self._fail_request = self._handlers[Failed]
        self._handlers[Failed] = self._failed
        self.users = Users(self, self._requests, emit, self.session.parts_restored)
        self._handlers[AttributeList] = self.users.attribute_list
        self._handlers[PeerStates] = self.users.told
        self._handlers[OnlineList] = self.users.online_list
        self._handlers[UserList] = self.users.user_list
        self.channel_info = ChannelInfo(self, self._requests)
        self._handlers[ChannelAttributeList] = self.channel_info.attribute_list
        self._handlers[MemberCounts] = self.channel_info.member_counts
        self.history = History(self, self._requests)
        self._handlers[MessagePage] = self.history.page
        self.transfers = Transfers(self, self._requests, emit)
        self._handlers[TransferTicket] = self.transfers.told
        self.invitations = Invitations(self, self._requests, emit, iid, self.session, self._figures)
        if config.scope:
            self._handlers[Restored] = self._scope_restored
        else:
            self._handlers[Restored] = _both(self._handlers[Restored], self._not_restored)
        # What is to be done at the end of a request, by the class of its packet.
        self._ends: dict[type[Any], Callable[[Ticket, Any], None]] = {
            Publish: self._publish_ended,
            Join: self._join_ended,
            Leave: self._leave_ended,
            Subscribe: self._users_ended,
            Unsubscribe: self._users_ended,
            SetAttributes: self._users_ended,
            UpdateAttributes: self._users_ended,
            RenewToken: self._renewal_ended,
        }

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
        self._take_figures(welcome)
        self._outbox.attach(link.id, link.transport, link.floor, welcome.limits.get("frame"))
        self._inbox.welcomed(welcome.inbox)
        scope, session = self._config.scope, self.session
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
        done = self._renewals.welcomed(link.token)
        waiting = [ticket for ticket in self._requests if ticket.request_id not in done]
        # What is brought back comes first: it is older than what waits for an answer, and would overwrite that.
        waiting.sort(key=lambda ticket: ticket.operation not in RESTORES)
        self._pacer.submit_all(waiting, now)
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
        self._renewals.connected()
        self._pacer.submit_all(self._requests, now)
        self.users.connected(now)

    def detached(self) -> None:
        """No transport carries the session."""
        self._outbox.detach()
        self._pacer.clear()
        self._questions.clear()
        self.users.detached()

    def bytes_refused(self, link: Link, error: RtmError) -> None:
        """Fail what was written on a transport that the server closed as malformed or too large."""
        for ticket in [ticket for ticket in self._requests if ticket.link == link.id]:
            operation = ticket.operation
            refused = error_for(
                operation.invalid,
                "The server closed the connection as malformed or too large after this request was sent.",
                operation=operation.name,
                state=self.session.state.name,
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
        self.transfers.session_over()
        self.invitations.session_over(self._now)
        self._renewals.session_over()
        if not self.session.closed and self.session.state is not self._config.policy.model.ended:
            self._abort_renewals()
        self._requests.end_all(self._refusal)

    def token_refused(self, number: int, refusal: Refused) -> None:
        """A hello was refused because of the token that the application had handed over."""
        self._renewals.refused(number, refusal, self.session.state)

    @property
    def restoring(self) -> bool:
        """Whether something is brought back after a return that the server has not answered yet."""
        return self.users.restoring

    def link_changed(self) -> None:
        """The state of the link, or of its TLS, may be another one now."""
        session, previous = self.session, self._peer_state
        tls = (session.tls_state, *(slot.dtls for slot in self.transfers))
        self._peer_state = state = peer_connection_state(
            (session.link_state, *(slot.ice for slot in self.transfers)),
            tuple(each for each in tls if each is not None),
            closed=session.closed,
            rules=self._config.aggregate_rules,
        )
        if state is not previous and not session.closed:
            self._events.append(PeerConnectionStateChanged(state, previous))

    # --- For the cores that are built on this one ---------------------------------------------------------------

    def extend(self, handlers: Mapping[type[Any], Handler]) -> None:
        """Hand packets to these too, behind what is done with them here: each is called with packet and time."""
        for kind, handler in handlers.items():
            first = self._handlers.get(kind)
            self._handlers[kind] = handler if first is None else _both(first, handler)

    def emit(self, event: Event) -> None:
        """Add an event behind all that wait."""
        self._events.append(event)

    @property
    def can_write(self) -> bool:
        """Whether a transport carries the session, so that packets can be written."""
        return self.session.may_write and self._outbox.usable

    def write(self, packets: Sequence[Packet], now: float) -> None:
        """Write packets that are not answered, at once and behind what waits. Look at `can_write` before."""
        self._now = now
        self._outbox.flush(now, packets)

    # --- For its parts ------------------------------------------------------------------------------------------

    @property
    def sizes(self) -> Sizes:
        """The sizes and counts in force: those of the last welcome, before the first one the documented ones."""
        return self._figures.sizes

    @property
    def current_state(self) -> State:
        """The state, of whichever kind of session."""
        return self.session.state

    def begin(self, operation: Operation, now: float) -> None:
        """Note the time, and refuse a call that needs a login where there is none."""
        self._now = now
        refusal = self.session.refusal(operation)
        if refusal is not None:
            raise refusal

    def request(self, operation: Operation, packet: Any, size: int, timeout: float, now: float) -> Ticket:
        """Take in a request, and write it as soon as that is possible."""
        ticket = self._requests.add(operation, packet, size, timeout, now)
        if self.session.may_write:
            self._pacer.submit(ticket, now)
        return ticket

    def admit(self, operation: Operation, size: int, now: float, channel: str | None = None) -> None:
        """Refuse a call for which there is no room, or that comes too often."""
        state = self.session.state
        self._requests.check_room(operation, size, state)
        if self._rates.refusing:
            self._rates.admit(operation, now, state, channel)

    # --- Helpers ------------------------------------------------------------------------------------------------

    def _take_figures(self, welcome: Welcome) -> None:
        """Keep the sizes and rates that the server tells."""
        rates = self._figures.rates
        self._figures.take(welcome.limits)
        if self._figures.rates != rates:
            self._rates.adopt()
            self._pacer.adopt()

    def _scope_restored(self, packet: Restored, now: float) -> None:
        if packet.ch != self._config.scope or not packet.code:
            return
        login = KINDS[self._config.kind].login
        room = login.codes is RoomErrorCode
        error = error_for(
            RoomErrorCode.ROOM_CONNECT_FAILED if room else LoginError.REJECTED,
            packet.text or "The server does not let this client in.",
            operation=login.name,
            state=self.session.state.name,
        )
        self.session.expelled(error, now)

    def _not_restored(self, packet: Restored, now: float) -> None:
        """A channel that was lost because the server took too long: it may get it done all the same."""
        if packet.code == JoinChannelError.TIMEOUT and not self._channels.is_member(packet.ch):
            if len(self._unwanted) < REQUESTS_IN_FLIGHT:
                self._unwanted.add(packet.ch)
            self._forget(packet.ch, now)

    def _failed(self, packet: Failed, now: float) -> None:
        if packet.retry is not None:
            ticket = self._requests.get(packet.i)
            too_often = ticket is not None and packet.code == ticket.operation.too_often
            if ticket is not None and too_often and self._pacer.ask_again(ticket, packet.retry / 1000, now):
                return
        self._fail_request(packet, now)

    def _renewed(self, packet: Renewed, now: float) -> None:
        ticket = self._requests.get(packet.i)
        if ticket is not None and ticket.operation is RENEW_TOKEN:
            self.session.token_answered(self._renewals.number(packet.i), packet, now)
            self._requests.succeed(ticket, None)

    def _refusal(self, ticket: Ticket) -> RtmError:
        return self.session.refusal(ticket.operation) or closed_error(ticket.operation)

    def _settled(self, ticket: Ticket) -> None:
        """A request is over, in whichever way."""
        self._outbox.settled(ticket)
        packet = ticket.packet
        if packet.__class__ is Publish:
            if ticket.value is None:
                self._publish_ended(ticket, packet)
        elif (end := self._ends.get(packet.__class__)) is not None:
            end(ticket, packet)
        operation = ticket.operation
        if operation is SIGNAL:
            self.invitations.settled(ticket, self._now)
        elif operation is not FORGET and operation not in RESTORES:
            self._events.append(RequestCompleted(ticket))

    def _signaled(self, entry: InboxEntry, now: float) -> None:
        self.invitations.receive(entry.user, entry.body, now)

    def _publish_ended(self, _: Ticket, packet: Any) -> None:
        self._channels.publish_ended(packet.ch, packet.i)

    def _join_ended(self, ticket: Ticket, packet: Join) -> None:
        if ticket.value is None:
            self._channels.join_ended(packet.ch)
            self._leave_unwanted(ticket, packet.ch)

    def _join_of(self, channel: str) -> Ticket | None:
        """The join of a channel that is under way."""
        for ticket in self._requests:
            if isinstance(ticket.packet, Join) and ticket.packet.ch == channel:
                return ticket
        return None

    def _abort_join(self, joining: Ticket) -> None:
        """End a join because of a leave."""
        error = error_for(
            JoinChannelError.ABORTED_BY_LEAVE,
            "leave() was called during join().",
            operation=JOIN.name,
            state=self.session.state.name,
            request_id=joining.request_id,
        )
        self._requests.fail(joining, error)
        self._requests.expire_at(self._now)

    def _abort_renewals(self) -> None:
        """End the renewals that wait for an answer because of a logout."""
        for ticket in [ticket for ticket in self._requests if ticket.operation is RENEW_TOKEN]:
            logout = KINDS[self._config.kind].logout
            error = error_for(
                RenewTokenError.ABORTED_BY_LOGOUT,
                f"{logout.name}() was called during {RENEW_TOKEN.name}().",
                operation=RENEW_TOKEN.name,
                state=self.session.state.name,
                request_id=ticket.request_id,
            )
            self._requests.fail(ticket, error)

    def _leave_ended(self, ticket: Ticket, packet: Leave) -> None:
        channel = packet.ch
        if ticket.operation is FORGET:
            if not isinstance(ticket.error, RequestTimeout):
                self._unwanted.discard(channel)
        elif ticket.written and (ticket.error is None or isinstance(ticket.error, RequestTimeout)):
            self._channels.left(channel)
            self._leave_unwanted(ticket, channel)
        else:
            self._channels.leave_given_up(channel)

    def _users_ended(self, ticket: Ticket, _: Any) -> None:
        self.users.settled(ticket, self._now)

    def _renewal_ended(self, ticket: Ticket, packet: RenewToken) -> None:
        number = self._renewals.ended(packet.i)
        if ticket.error is not None and not isinstance(ticket.error, RequestTimeout):
            self.session.token_answered(number, None, self._now)

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


def _both(first: Handler, second: Handler) -> Handler:
    def both(packet: Any, now: float) -> None:
        first(packet, now)
        second(packet, now)

    return both
