"""What all requests have in common: their codes, the rates, the wait for the engine, and the refusal."""

from enum import IntEnum
from typing import Any, Final

import attrs

from rtmcore.codes import (
    AttributeOperationError,
    GetMembersError,
    JoinChannelError,
    LeaveChannelError,
    PeerSubscriptionStatusError,
    RenewTokenError,
    SendChannelMessageError,
    SendPeerMessageError,
)
from rtmcore.limits import COMMAND_TIMEOUT, RESULTS_REMEMBERED
from rtmcore.service.admission import SlidingWindow
from rtmcore.service.connections import Connection, Waiting
from rtmcore.service.context import NodeContext
from rtmcore.service.feeds import Feed
from rtmcore.wire.packets import (
    Failed,
    GetAttributes,
    GetMembers,
    Join,
    Leave,
    Publish,
    RenewToken,
    Request,
    SendPeer,
    SetAttributes,
    Subscribe,
    Unsubscribe,
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
    GetAttributes: _ATTRIBUTES,
}
"""By class of the request."""


class Desk:
    """Takes requests in, or refuses them.

    Args:
        context: The node's common ground.
    """

    def __init__(self, context: NodeContext) -> None:
        self._context = context
        self._rates = context.config.rate_limits

    @property
    def counts(self) -> bool:
        """Whether requests are counted by the documented rates at all."""
        return self._rates

    def admit(self, connection: Connection, packet: Request, window: SlidingWindow, text: str) -> bool:
        """Count a request, or refuse it. A repeat of one that was counted passes."""
        if not self._rates or self.was_admitted(connection, packet.i):
            return True
        now = self._context.now
        wait = window.wait(now)
        if wait:
            self.fail(connection, packet, OPERATIONS[packet.__class__].too_often, text, wait)
            return False
        window.admit(now)
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
        if len(admitted) > RESULTS_REMEMBERED:
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
        due = self._context.now + seconds
        connection.waiting[packet.i] = Waiting(packet.__class__, due, joins)
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
        retry = None if retry_after is None else max(1, round(retry_after * 1000))
        connection.say(Failed(packet.i, int(code), text, retry))
