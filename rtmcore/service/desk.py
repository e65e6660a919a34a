"""What all requests have in common: their codes, the rates, the wait for the engine, and the refusal."""

from enum import IntEnum
from typing import Any, Final

import attrs

from rtmcore.codes import (
    AttributeOperationError,
    ChannelMemberCountError,
    GetMembersError,
    JoinChannelError,
    LeaveChannelError,
    PeerSubscriptionStatusError,
    QueryPeersBySubscriptionOptionError,
    QueryPeersOnlineError,
    RenewTokenError,
    SendChannelMessageError,
    SendPeerMessageError,
    UploadMediaError,
)
from rtmcore.figures import (
    CHANNEL_READS,
    CHANNEL_WRITES,
    COUNTS,
    FLUSHES,
    HISTORY,
    JOINS,
    MEMBERS,
    QUERIES,
    RENEWALS,
    SAME_JOINS,
    SENDS,
    STORED_LISTS,
    SUBSCRIPTION_LISTS,
    SUBSCRIPTIONS,
    USER_READS,
    USER_WRITES,
    WITHDRAWALS,
)
from rtmcore.limits import COMMAND_TIMEOUT
from rtmcore.service.admission import TokenBucket
from rtmcore.service.connections import Connection, Waiting
from rtmcore.service.context import NodeContext
from rtmcore.service.feeds import Feed
from rtmcore.wire.packets import (
    Failed,
    FlushStored,
    GetAttributes,
    GetChannelAttributes,
    GetMemberCounts,
    GetMembers,
    GetStored,
    GetSubscriptions,
    Join,
    Leave,
    Publish,
    QueryHistory,
    QueryOnline,
    RenewToken,
    Request,
    SendPeer,
    SetAttributes,
    SetChannelAttributes,
    Subscribe,
    TicketRequest,
    Unsubscribe,
    UpdateAttributes,
    UpdateChannelAttributes,
)


@attrs.frozen
class Operation:
    """The codes of one operation."""

    failure: IntEnum
    timeout: IntEnum
    too_often: IntEnum


_SUBSCRIPTION: Final = Operation(
    PeerSubscriptionStatusError.FAILURE,
    PeerSubscriptionStatusError.TIMEOUT,
    PeerSubscriptionStatusError.TOO_OFTEN,
)
_ATTRIBUTES: Final = Operation(
    AttributeOperationError.FAILURE, AttributeOperationError.TIMEOUT, AttributeOperationError.TOO_OFTEN
)
# The documents name no codes for what is stored and for the history: those of another question.
_QUERY: Final = Operation(
    QueryPeersOnlineError.FAILURE, QueryPeersOnlineError.TIMEOUT, QueryPeersOnlineError.TOO_OFTEN
)

OPERATIONS: Final[dict[type[Any], Operation]] = {
    SendPeer: Operation(
        SendPeerMessageError.FAILURE, SendPeerMessageError.TIMEOUT, SendPeerMessageError.TOO_OFTEN
    ),
    Publish: Operation(
        SendChannelMessageError.FAILURE, SendChannelMessageError.TIMEOUT, SendChannelMessageError.TOO_OFTEN
    ),
    Join: Operation(JoinChannelError.FAILURE, JoinChannelError.TIMEOUT, JoinChannelError.TOO_OFTEN),
    # A leave has neither a rate nor a code for a timeout.
    Leave: Operation(LeaveChannelError.FAILURE, LeaveChannelError.FAILURE, LeaveChannelError.FAILURE),
    GetMembers: Operation(GetMembersError.FAILURE, GetMembersError.TIMEOUT, GetMembersError.TOO_OFTEN),
    # A renewal is answered by the node alone, and so at once.
    RenewToken: Operation(RenewTokenError.FAILURE, RenewTokenError.FAILURE, RenewTokenError.TOO_OFTEN),
    Subscribe: _SUBSCRIPTION,
    Unsubscribe: _SUBSCRIPTION,
    SetAttributes: _ATTRIBUTES,
    UpdateAttributes: _ATTRIBUTES,
    GetAttributes: _ATTRIBUTES,
    SetChannelAttributes: _ATTRIBUTES,
    UpdateChannelAttributes: _ATTRIBUTES,
    GetChannelAttributes: _ATTRIBUTES,
    GetMemberCounts: Operation(
        ChannelMemberCountError.FAILURE, ChannelMemberCountError.TIMEOUT, ChannelMemberCountError.TOO_OFTEN
    ),
    QueryOnline: _QUERY,
    GetSubscriptions: Operation(
        QueryPeersBySubscriptionOptionError.FAILURE,
        QueryPeersBySubscriptionOptionError.TIMEOUT,
        QueryPeersBySubscriptionOptionError.TOO_OFTEN,
    ),
    GetStored: _QUERY,
    FlushStored: _QUERY,
    QueryHistory: _QUERY,
    # A ticket is given by the node alone, and so at once; it has no rate.
    TicketRequest: Operation(UploadMediaError.FAILURE, UploadMediaError.TIMEOUT, UploadMediaError.FAILURE),
}
"""By class of the request."""


_CALLS: Final[dict[str, str]] = {
    SENDS: "Messages may be sent",
    JOINS: "Channels may be joined",
    SAME_JOINS: "The same channel may be joined",
    MEMBERS: "Member lists may be asked for",
    COUNTS: "Member counts may be asked for",
    RENEWALS: "A token may be renewed",
    SUBSCRIPTIONS: "Subscriptions may be made",
    WITHDRAWALS: "Subscriptions may be withdrawn",
    SUBSCRIPTION_LISTS: "Subscriptions may be listed",
    QUERIES: "Online states may be asked for",
    USER_WRITES: "Attributes may be set",
    USER_READS: "Attributes of users may be asked for",
    CHANNEL_WRITES: "Attributes of channels may be set",
    CHANNEL_READS: "Attributes of channels may be asked for",
    STORED_LISTS: "Stored messages may be listed",
    FLUSHES: "Stored messages may be dropped",
    HISTORY: "The history may be asked for, by all users of an app together,",
}
"""What is too often, by name of the rate."""


class Desk:
    """Takes requests in, or refuses them.

    Args:
        context: The node's common ground.
    """

    def __init__(self, context: NodeContext) -> None:
        self._context = context

    def admit(self, connection: Connection, packet: Request, bucket: TokenBucket, rate: str) -> bool:
        """Count a request, or refuse it. A repeat of one that was counted passes.

        Args:
            connection: Whose request it is.
            packet: The request.
            bucket: What counts it.
            rate: The name of the bucket's rate.
        """
        if not self._context.config.rate_limits or self.was_admitted(connection, packet.i):
            return True
        now = self._context.now
        wait = bucket.wait(now)
        if wait:
            self._limit(connection, packet, OPERATIONS[packet.__class__].too_often, rate, wait)
            return False
        bucket.admit(now)
        self.remember(connection, packet.i)
        return True

    def _limit(self, connection: Connection, packet: Request, code: IntEnum, rate: str, wait: float) -> None:
        self._context.statistics.rate_limited += 1
        self.fail(connection, packet, code, f"{_CALLS[rate]} at most {self._context.rates[rate]}.", wait)

    def admit_rare(self, connection: Connection, packet: Request, rate: str) -> bool:
        """Count a request of a kind that is rare, or refuse it; see `admit`."""
        assert connection.state is not None
        return self.admit(connection, packet, connection.state.rates.of(rate), rate)

    def admit_join(self, connection: Connection, packet: Join) -> bool:
        """Count a join, or refuse it; see `admit`."""
        if not self._context.config.rate_limits or self.was_admitted(connection, packet.i):
            return True
        assert connection.state is not None
        now = self._context.now
        rates = connection.state.rates
        same = rates.joins_of(packet.ch, now)
        wait = same.wait(now)
        if wait:
            code = JoinChannelError.JOIN_SAME_CHANNEL_TOO_OFTEN
            self._limit(connection, packet, code, SAME_JOINS, wait)
            return False
        wait = rates.joins.wait(now)
        if wait:
            self._limit(connection, packet, JoinChannelError.TOO_OFTEN, JOINS, wait)
            return False
        same.admit(now)
        rates.joins.admit(now)
        self.remember(connection, packet.i)
        return True

    def was_admitted(self, connection: Connection, number: int) -> bool:
        """Whether a request is the repeat of one that was counted."""
        assert connection.state is not None
        return number in connection.state.admitted

    def remember(self, connection: Connection, number: int) -> None:
        """Let repeats of a request pass."""
        assert connection.state is not None
        admitted = connection.state.admitted
        admitted[number] = None
        if len(admitted) > self._context.limits["results"]:
            del admitted[next(iter(admitted))]

    def wait(
        self,
        connection: Connection,
        packet: Request,
        seconds: float = COMMAND_TIMEOUT,
        joins: Feed | None = None,
    ) -> None:
        """Note that the engine is asked.

        Args:
            connection: Whose request it is.
            packet: The request.
            seconds: After which it has failed.
            joins: The channel to be joined, for a join.
        """
        now = self._context.now
        due = now + seconds
        connection.waiting[packet.i] = Waiting(packet.__class__, now, due, joins)
        self._context.schedule(connection, due)

    def fail(
        self,
        connection: Connection,
        packet: Request,
        code: IntEnum,
        text: str,
        retry_after: float | None = None,
    ) -> None:
        """Refuse a request."""
        self.refuse(connection, packet.i, code, text, retry_after)

    def refuse(
        self, connection: Connection, number: int, code: IntEnum, text: str, retry_after: float | None = None
    ) -> None:
        """Refuse the request of a number, which may be one of which no more is known."""
        self._context.statistics.refuse(code)
        retry = None if retry_after is None else max(1, round(retry_after * 1000))
        connection.say(Failed(number, int(code), text, retry))
