"""Requests that wait for their answer: tickets, the ids that let a request be repeated, and what ends them."""

from collections.abc import Callable, Iterator
from enum import IntEnum
from typing import Final

import attrs

from rtmcore.codes import (
    AttributeOperationError,
    CancelMediaError,
    ChannelMemberCountError,
    DownloadMediaError,
    GetMembersError,
    JoinChannelError,
    LeaveChannelError,
    LocalInvitationError,
    LoginError,
    LogoutError,
    PeerSubscriptionStatusError,
    QueryPeersBySubscriptionOptionError,
    QueryPeersOnlineError,
    RenewTokenError,
    RoomErrorCode,
    SendChannelMessageError,
    SendPeerMessageError,
    UploadMediaError,
)
from rtmcore.connection.model import State
from rtmcore.errors import LimitExceeded, OutcomeUnknown, RequestTimeout, RtmError
from rtmcore.figures import Figures
from rtmcore.limits import OUTBOUND_BYTES
from rtmcore.wire.packets import Request


@attrs.frozen(eq=False)
class Operation:
    """What kind of call a ticket stands for.

    Attributes:
        name: Of the method, as errors show it.
        codes: The documented error codes.
        failure: The code that stands for any other failure.
        timeout: The code for "no answer in time"; `failure` where none is documented.
        invalid: The code for a request that the server calls malformed or too large.
        too_often: The code for a call above its rate; `failure` where none is documented.
        not_in_channel: The code for a call that needs membership; `failure` where none does.
        changes: Whether it changes something, so that its outcome is unknown after a time-out.
        holds: Whether the server answers by itself, so that further requests may be collected until it does.
    """

    name: str
    codes: type[IntEnum]
    failure: IntEnum
    timeout: IntEnum
    invalid: IntEnum
    too_often: IntEnum
    not_in_channel: IntEnum
    changes: bool = True
    holds: bool = True

    def code(self, number: int) -> IntEnum:
        """The documented code of a number, or `failure` where it is not documented."""
        try:
            return self.codes(number)
        except ValueError:
            return self.failure


def _operation(
    name: str,
    codes: type[IntEnum],
    failure: IntEnum,
    *,
    timeout: IntEnum | None = None,
    invalid: IntEnum | None = None,
    too_often: IntEnum | None = None,
    not_in_channel: IntEnum | None = None,
    changes: bool = True,
    holds: bool = True,
) -> Operation:
    return Operation(
        name,
        codes,
        failure,
        timeout or failure,
        invalid or failure,
        too_often or failure,
        not_in_channel or failure,
        changes,
        holds,
    )


LOGIN: Final = _operation(
    "login",
    LoginError,
    LoginError.UNKNOWN,
    timeout=LoginError.TIMEOUT,
    invalid=LoginError.INVALID_ARGUMENT,
    too_often=LoginError.TOO_OFTEN,
    changes=False,
)
LOGOUT: Final = _operation("logout", LogoutError, LogoutError.REJECTED)
RTC_JOIN: Final = _operation(
    "join",
    LoginError,
    LoginError.UNKNOWN,
    timeout=LoginError.TIMEOUT,
    invalid=LoginError.INVALID_ARGUMENT,
    too_often=LoginError.TOO_OFTEN,
    changes=False,
)
"""The login of an RTC channel."""
RTC_LEAVE: Final = _operation("leave", LogoutError, LogoutError.REJECTED)
SEND_STREAM: Final = _operation("send_stream_message", LogoutError, LogoutError.REJECTED)
ROOM_CONNECT: Final = _operation(
    "connect",
    RoomErrorCode,
    RoomErrorCode.SIGNALING_CONNECTION,
    too_often=RoomErrorCode.SIGNALING_SERVER_BUSY,
    changes=False,
)
"""The login of a room."""
ROOM_DISCONNECT: Final = _operation("disconnect", LogoutError, LogoutError.REJECTED)
ROOM_SEND_DATA: Final = _operation("send_data", LogoutError, LogoutError.REJECTED)
RENEW_TOKEN: Final = _operation(
    "renew_token",
    RenewTokenError,
    RenewTokenError.FAILURE,
    invalid=RenewTokenError.INVALID_ARGUMENT,
    too_often=RenewTokenError.TOO_OFTEN,
)
CLOSE: Final = _operation("close", LogoutError, LogoutError.REJECTED)
SEND_PEER: Final = _operation(
    "send_peer",
    SendPeerMessageError,
    SendPeerMessageError.FAILURE,
    timeout=SendPeerMessageError.TIMEOUT,
    invalid=SendPeerMessageError.INVALID_MESSAGE,
    too_often=SendPeerMessageError.TOO_OFTEN,
    holds=False,
)
PUBLISH: Final = _operation(
    "publish",
    SendChannelMessageError,
    SendChannelMessageError.FAILURE,
    timeout=SendChannelMessageError.TIMEOUT,
    invalid=SendChannelMessageError.INVALID_MESSAGE,
    too_often=SendChannelMessageError.TOO_OFTEN,
    not_in_channel=SendChannelMessageError.NOT_IN_CHANNEL,
)
JOIN: Final = _operation(
    "join",
    JoinChannelError,
    JoinChannelError.FAILURE,
    timeout=JoinChannelError.TIMEOUT,
    invalid=JoinChannelError.INVALID_ARGUMENT,
    too_often=JoinChannelError.TOO_OFTEN,
)
LEAVE: Final = _operation(
    "leave",
    LeaveChannelError,
    LeaveChannelError.FAILURE,
    not_in_channel=LeaveChannelError.NOT_IN_CHANNEL,
)
FORGET: Final = _operation("leave", LeaveChannelError, LeaveChannelError.FAILURE)
"""A leave that nobody has called: it undoes what was given up."""
SUBSCRIBE: Final = _operation(
    "subscribe_presence",
    PeerSubscriptionStatusError,
    PeerSubscriptionStatusError.FAILURE,
    timeout=PeerSubscriptionStatusError.TIMEOUT,
    invalid=PeerSubscriptionStatusError.INVALID_ARGUMENT,
    too_often=PeerSubscriptionStatusError.TOO_OFTEN,
)
UNSUBSCRIBE: Final = _operation(
    "unsubscribe_presence",
    PeerSubscriptionStatusError,
    PeerSubscriptionStatusError.FAILURE,
    timeout=PeerSubscriptionStatusError.TIMEOUT,
    invalid=PeerSubscriptionStatusError.INVALID_ARGUMENT,
    too_often=PeerSubscriptionStatusError.TOO_OFTEN,
)
QUERY_PRESENCE: Final = _operation(
    "query_presence",
    QueryPeersOnlineError,
    QueryPeersOnlineError.FAILURE,
    timeout=QueryPeersOnlineError.TIMEOUT,
    invalid=QueryPeersOnlineError.INVALID_ARGUMENT,
    too_often=QueryPeersOnlineError.TOO_OFTEN,
    changes=False,
)
SUBSCRIBED_PEERS: Final = _operation(
    "subscribed_peers",
    QueryPeersBySubscriptionOptionError,
    QueryPeersBySubscriptionOptionError.FAILURE,
    timeout=QueryPeersBySubscriptionOptionError.TIMEOUT,
    too_often=QueryPeersBySubscriptionOptionError.TOO_OFTEN,
    changes=False,
)


def _on_attributes(name: str, *, changes: bool = True) -> Operation:
    return _operation(
        name,
        AttributeOperationError,
        AttributeOperationError.FAILURE,
        timeout=AttributeOperationError.TIMEOUT,
        invalid=AttributeOperationError.INVALID_ARGUMENT,
        too_often=AttributeOperationError.TOO_OFTEN,
        changes=changes,
    )


SET_ATTRIBUTES: Final = _on_attributes("set_attributes")
UPDATE_ATTRIBUTES: Final = _on_attributes("update_attributes")
DELETE_ATTRIBUTES: Final = _on_attributes("delete_attributes")
CLEAR_ATTRIBUTES: Final = _on_attributes("clear_attributes")
GET_ATTRIBUTES: Final = _on_attributes("get_attributes", changes=False)
SET_CHANNEL_ATTRIBUTES: Final = _on_attributes("set_channel_attributes")
UPDATE_CHANNEL_ATTRIBUTES: Final = _on_attributes("update_channel_attributes")
DELETE_CHANNEL_ATTRIBUTES: Final = _on_attributes("delete_channel_attributes")
CLEAR_CHANNEL_ATTRIBUTES: Final = _on_attributes("clear_channel_attributes")
GET_CHANNEL_ATTRIBUTES: Final = _on_attributes("get_channel_attributes", changes=False)
SIGNAL: Final = _operation(
    "signal",
    SendPeerMessageError,
    SendPeerMessageError.FAILURE,
    timeout=SendPeerMessageError.TIMEOUT,
    invalid=SendPeerMessageError.INVALID_MESSAGE,
    too_often=SendPeerMessageError.TOO_OFTEN,
    holds=False,
)
"""A peer message that nobody has called for: it carries a signal of a call invitation."""
WAIT_INVITATION: Final = _operation("wait", LocalInvitationError, LocalInvitationError.PEER_NO_RESPONSE)
"""A wait for the end of an invitation; it sends nothing."""
RESTORE_SUBSCRIPTIONS: Final = _operation(
    "restore",
    PeerSubscriptionStatusError,
    PeerSubscriptionStatusError.FAILURE,
    timeout=PeerSubscriptionStatusError.TIMEOUT,
)
"""Subscriptions to online states, brought back by the client itself after a return."""
RESTORE_ATTRIBUTES: Final = _operation(
    "restore",
    AttributeOperationError,
    AttributeOperationError.FAILURE,
    timeout=AttributeOperationError.TIMEOUT,
)
"""The attributes of its user, brought back in the same way."""
RESTORES: Final = frozenset({RESTORE_SUBSCRIPTIONS, RESTORE_ATTRIBUTES})
MEMBERS: Final = _operation(
    "members",
    GetMembersError,
    GetMembersError.FAILURE,
    timeout=GetMembersError.TIMEOUT,
    too_often=GetMembersError.TOO_OFTEN,
    not_in_channel=GetMembersError.NOT_IN_CHANNEL,
    changes=False,
)

MEMBER_COUNTS: Final = _operation(
    "member_counts",
    ChannelMemberCountError,
    ChannelMemberCountError.FAILURE,
    timeout=ChannelMemberCountError.TIMEOUT,
    invalid=ChannelMemberCountError.INVALID_ARGUMENT,
    too_often=ChannelMemberCountError.TOO_OFTEN,
    changes=False,
)


def _on_kept_messages(name: str, *, changes: bool = False) -> Operation:
    # The documents have no codes for these calls; those of the query of online states say the same.
    return _operation(
        name,
        QueryPeersOnlineError,
        QueryPeersOnlineError.FAILURE,
        timeout=QueryPeersOnlineError.TIMEOUT,
        invalid=QueryPeersOnlineError.INVALID_ARGUMENT,
        too_often=QueryPeersOnlineError.TOO_OFTEN,
        changes=changes,
    )


STORED_MESSAGES: Final = _on_kept_messages("stored_messages")
FLUSH_STORED: Final = _on_kept_messages("flush_stored", changes=True)
HISTORY: Final = _on_kept_messages("history")
HISTORY_COUNT: Final = _on_kept_messages("history_count")


UPLOAD: Final = _operation(
    "upload",
    UploadMediaError,
    UploadMediaError.FAILURE,
    timeout=UploadMediaError.TIMEOUT,
    invalid=UploadMediaError.INVALID_ARGUMENT,
)
DOWNLOAD: Final = _operation(
    "download",
    DownloadMediaError,
    DownloadMediaError.FAILURE,
    timeout=DownloadMediaError.TIMEOUT,
    invalid=DownloadMediaError.INVALID_ARGUMENT,
    changes=False,
)
CANCEL_TRANSFER: Final = _operation("cancel", CancelMediaError, CancelMediaError.FAILURE)


@attrs.define(eq=False)
class Ticket:
    """A call that was accepted and has no result yet, or has it: then it was in a `RequestCompleted` event.

    The driver may put its own object, such as a Future, into `context`. Everything else is for reading only.
    """

    operation: Operation = attrs.field(repr=lambda operation: operation.name)
    deadline: float
    """When the call's time is over, in monotonic seconds."""
    context: object = attrs.field(default=None, repr=False)
    value: object = attrs.field(default=None, repr=False)
    error: RtmError | None = None
    done: bool = False
    packet: Request | None = attrs.field(default=None, repr=False)
    """What is sent; None for login, logout and close."""
    size: int = 0
    """Bytes of the packet, at most."""
    begun: float = 0.0
    """When the call was made."""
    link: int = 0
    """The transport that the packet was last written on; 0 where it never was."""
    first_link: int = 0
    """The transport that it was first written on."""
    counted: bool = False
    """Whether its writing was counted against its rate."""
    paced: bool = False
    """Whether it waits for its rate."""
    again_at: float = 0.0
    """When it may be written again, after the server has refused it as too often."""

    @property
    def written(self) -> bool:
        """Whether bytes of the request may have left."""
        return self.first_link != 0

    @property
    def request_id(self) -> int | None:
        """The request's number on the wire; None for login, logout and close."""
        return None if self.packet is None else self.packet.i


class Requests:
    """All requests of a client that wait for their answer, in the order in which they were made.

    Their ids count up for the life of the client object and are never used twice; the server recognizes a repeat
    by its id.

    Args:
        settled: Called with each ticket that got its result, after it was taken out.
        figures: Those in force.
    """

    def __init__(self, settled: Callable[[Ticket], None], figures: Figures) -> None:
        self._settled = settled
        self._figures = figures
        self._pending: dict[int, Ticket] = {}
        self._next = 1
        self._bytes = 0
        # A lower bound of all deadlines: exact after each `expire`, so that adding and settling cost nothing.
        self._earliest: float | None = None

    def __iter__(self) -> Iterator[Ticket]:
        return iter(self._pending.values())

    @property
    def floor(self) -> int:
        """The oldest id that may still be repeated."""
        return next(iter(self._pending), self._next)

    def check_room(self, operation: Operation, size: int, state: State) -> None:
        """Refuse a call that would make too many wait.

        Raises:
            LimitExceeded: As many calls as the server lets wait (`limits.REQUESTS_IN_FLIGHT`, if it says no other
                figure), or `limits.OUTBOUND_BYTES`, wait already.
        """
        most = self._figures.sizes.in_flight
        if len(self._pending) >= most:
            raise LimitExceeded(
                f"{len(self._pending)} calls of this client wait for their answer already; at most {most} may.",
                operation=operation.name,
                state=state.name,
                hint="Wait for some of them before making more.",
            )
        if self._bytes + size > OUTBOUND_BYTES:
            raise LimitExceeded(
                f"Calls of this client with {self._bytes} bytes wait for their answer already; "
                f"at most {OUTBOUND_BYTES} may.",
                operation=operation.name,
                state=state.name,
                hint="Wait for some of them before making more.",
            )

    def next_id(self) -> int:
        """An id that was never used before."""
        number = self._next
        self._next = number + 1
        return number

    def add(self, operation: Operation, packet: Request, size: int, timeout: float, now: float) -> Ticket:
        """Take in a request whose packet has its id from `next_id`."""
        deadline = now + timeout
        ticket = Ticket(operation, deadline, packet=packet, size=size, begun=now)
        self._pending[packet.i] = ticket
        self._bytes += size
        if self._earliest is None or deadline < self._earliest:
            self._earliest = deadline
        return ticket

    def get(self, request_id: int) -> Ticket | None:
        """The request that an answer is for; None where nobody waits for it any more."""
        return self._pending.get(request_id)

    def succeed(self, ticket: Ticket, value: object) -> None:
        """End a request with a result."""
        ticket.value = value
        self._settle(ticket)

    def fail(self, ticket: Ticket, error: RtmError) -> None:
        """End a request with an error."""
        ticket.error = error
        self._settle(ticket)

    def withdraw(self, ticket: Ticket) -> bool:
        """Forget a request that was never written.

        Returns:
            False where it is over, or bytes of it may have left.
        """
        if ticket.done or ticket.written or ticket.packet is None:
            return False
        self._take_out(ticket)
        return True

    def next_deadline(self) -> float | None:
        """When `expire` must be called next."""
        return self._earliest if self._pending else None

    def expire_at(self, now: float) -> None:
        """Have `expire` called at a time, so that the end of a request that a call has ended is told by then."""
        self._earliest = now

    def expire(self, now: float, state: str) -> None:
        """End requests whose time is over."""
        if self._earliest is None or now < self._earliest:
            return
        for ticket in [ticket for ticket in self._pending.values() if ticket.deadline <= now]:
            self.fail(ticket, timeout_error(ticket, state))
        self._earliest = min((ticket.deadline for ticket in self._pending.values()), default=None)

    def end_all(self, error_of: Callable[[Ticket], RtmError]) -> None:
        """End all requests, since the session is over.

        Those that may have reached the server end as `OutcomeUnknown`, the others with the error given.
        """
        for ticket in list(self._pending.values()):
            if ticket.written:
                error: RtmError = OutcomeUnknown(
                    "The session ended while the request was under way; it may have been carried out.",
                    operation=ticket.operation.name,
                    request_id=ticket.request_id,
                )
                error.__cause__ = error_of(ticket)
            else:
                error = error_of(ticket)
            self.fail(ticket, error)

    def _settle(self, ticket: Ticket) -> None:
        self._take_out(ticket)
        self._settled(ticket)

    def _take_out(self, ticket: Ticket) -> None:
        assert ticket.packet is not None
        del self._pending[ticket.packet.i]
        self._bytes -= ticket.size
        ticket.done = True


def timeout_error(ticket: Ticket, state: str) -> RequestTimeout:
    """The error of a request whose time is over."""
    operation = ticket.operation
    why = "its rate left no room for it" if ticket.paced else "there was no connection"
    unsent = f"The request could not be sent, since {why},"
    what = "The server gave no answer" if ticket.written else unsent
    if ticket.again_at:
        what = "The server refused the question as too often, and had no room for it"
    seconds = ticket.deadline - ticket.begun
    return RequestTimeout(
        f"{what} within {seconds:g} s.",
        code=operation.timeout,
        operation=operation.name,
        state=state,
        request_id=ticket.request_id,
        outcome_unknown=ticket.written and operation.changes,
    )
