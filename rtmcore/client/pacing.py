"""Requests that wait for their rate: after an outage, or because the application would rather wait than be refused.

What was written once, and is repeated on another transport, does not count again, unless an outage has left more
repeats than a rate admits at once. Requests that follow on one another go in the order in which they were made.
"""

from collections import deque
from collections.abc import Iterable
from typing import Final

from rtmcore.client.batching import Outbox
from rtmcore.client.rates import Windows
from rtmcore.client.requests import (
    CLEAR_ATTRIBUTES,
    CLEAR_CHANNEL_ATTRIBUTES,
    DELETE_ATTRIBUTES,
    DELETE_CHANNEL_ATTRIBUTES,
    FLUSH_STORED,
    GET_ATTRIBUTES,
    GET_CHANNEL_ATTRIBUTES,
    HISTORY,
    HISTORY_COUNT,
    JOIN,
    LEAVE,
    MEMBER_COUNTS,
    MEMBERS,
    PUBLISH,
    QUERY_PRESENCE,
    RENEW_TOKEN,
    SEND_PEER,
    SET_ATTRIBUTES,
    SET_CHANNEL_ATTRIBUTES,
    STORED_MESSAGES,
    SUBSCRIBE,
    SUBSCRIBED_PEERS,
    UNSUBSCRIBE,
    UPDATE_ATTRIBUTES,
    UPDATE_CHANNEL_ATTRIBUTES,
    Operation,
    Ticket,
)
from rtmcore.figures import Figures
from rtmcore.wire.packets import Join

_LANES: Final[dict[Operation, int]] = {
    operation: number
    for number, lane in enumerate(
        (
            (SEND_PEER, PUBLISH, LEAVE),
            (JOIN,),
            (MEMBERS,),
            (MEMBER_COUNTS,),
            (QUERY_PRESENCE,),
            (SUBSCRIBE, UNSUBSCRIBE, SUBSCRIBED_PEERS),
            (SET_ATTRIBUTES, UPDATE_ATTRIBUTES, DELETE_ATTRIBUTES, CLEAR_ATTRIBUTES, GET_ATTRIBUTES),
            (
                SET_CHANNEL_ATTRIBUTES,
                UPDATE_CHANNEL_ATTRIBUTES,
                DELETE_CHANNEL_ATTRIBUTES,
                CLEAR_CHANNEL_ATTRIBUTES,
                GET_CHANNEL_ATTRIBUTES,
            ),
            (RENEW_TOKEN,),
            (STORED_MESSAGES, FLUSH_STORED),
            (HISTORY, HISTORY_COUNT),
        )
    )
    for operation in lane
}
"""Requests that do not overtake one another. What is in none is not held back."""

_QUESTIONS: Final = frozenset(
    {
        MEMBERS,
        MEMBER_COUNTS,
        QUERY_PRESENCE,
        SUBSCRIBED_PEERS,
        GET_ATTRIBUTES,
        GET_CHANNEL_ATTRIBUTES,
        STORED_MESSAGES,
    }
)
"""What can be asked again later without a difference, and counts by the session alone."""


class Pacer:
    """Hands requests to what writes them, no faster than their rates allow.

    Args:
        outbox: Writes requests.
        enabled: False hands on everything at once.
        kept: The figures in force.

    Attributes:
        due: When `handle_timer` must be called next.
    """

    __slots__ = ("_enabled", "_lanes", "_outbox", "_repeats", "_repeats_on", "_windows", "due")

    def __init__(self, outbox: Outbox, *, enabled: bool, kept: Figures) -> None:
        self._outbox = outbox
        self._enabled = enabled
        self._windows = Windows(kept)
        # Requests that wait, oldest first, by lane.
        self._lanes: dict[int, deque[Ticket]] = {}
        # Repeats that were written on one transport without counting, by rate.
        self._repeats: dict[str, int] = {}
        self._repeats_on = 0
        self.due: float | None = None

    def adopt(self) -> None:
        """The figures have changed: keep them from now on. What waits has to be submitted again."""
        self._windows.adopt()

    def submit(self, ticket: Ticket, now: float) -> None:
        """Write a request as soon as its rate allows."""
        if not self._enabled or (self._outbox.usable and self._admits(ticket, now)):
            self._outbox.submit(ticket, now)

    def submit_all(self, tickets: Iterable[Ticket], now: float) -> None:
        """Write on a new transport what was not written on it, as fast as the rates allow.

        Args:
            tickets: All that wait for an answer.
            now: Monotonic seconds.
        """
        self.clear()
        if self._enabled and self._outbox.usable:
            tickets = [ticket for ticket in tickets if self._admits(ticket, now)]
        self._outbox.submit_all(tickets, now)

    def ask_again(self, ticket: Ticket, after: float, now: float) -> bool:
        """Take back a question that the server has refused as too often, though this client has kept its rate.

        Then questions were held up on the way for longer than the server allows for, and came all at once.

        Args:
            ticket: The question.
            after: Seconds after which the server has room for it.
            now: Monotonic seconds.

        Returns:
            False where it is none, or never has so much time: then the refusal counts.
        """
        too_long = after >= ticket.deadline - ticket.begun
        if not self._enabled or ticket.operation not in _QUESTIONS or too_long:
            return False
        self._outbox.take_back(ticket)
        ticket.paced = True
        ticket.again_at = now + after
        waiting = self._lanes.setdefault(_LANES[ticket.operation], deque())
        waiting.insert(sum((other.request_id or 0) < (ticket.request_id or 0) for other in waiting), ticket)
        self._wake_at(ticket.again_at)
        return True

    def clear(self) -> None:
        """Nothing can be written: what waits has to be submitted again."""
        self._lanes.clear()
        self.due = None

    def handle_timer(self, now: float) -> None:
        """Write what has waited for long enough."""
        if self.due is None or now < self.due:
            return
        self.due = None
        for number, waiting in list(self._lanes.items()):
            while waiting:
                ticket = waiting[0]
                if not ticket.done:
                    free = self._free_at(ticket, now)
                    if free is not None:
                        self._wake_at(free)
                        break
                    self._count(ticket, now)
                    self._outbox.submit(ticket, now)
                waiting.popleft()
            if not waiting:
                del self._lanes[number]

    def _admits(self, ticket: Ticket, now: float) -> bool:
        """Whether a request can be written now; where not, it waits."""
        lane = _LANES.get(ticket.operation)
        if lane is None or (ticket.written and ticket.link == self._outbox.link):
            return True
        if self._lanes:
            waiting = self._lanes.get(lane)
            if waiting:
                ticket.paced = True
                waiting.append(ticket)
                return False
        if ticket.counted and self._goes_freely(ticket):
            return True
        free = self._free_at(ticket, now)
        if free is None:
            self._count(ticket, now)
            return True
        ticket.paced = True
        self._lanes[lane] = deque((ticket,))
        self._wake_at(free)
        return False

    def _goes_freely(self, ticket: Ticket) -> bool:
        """Whether what was counted once goes without counting again.

        That holds for as many repeats as a rate admits at once, since a server takes twice as many. What an outage has
        left beyond that may reach the server only now, and is paced as if it had not been written.
        """
        link = self._outbox.link
        if not ticket.written:
            return True
        if self._repeats_on != link:
            self._repeats_on = link
            self._repeats.clear()
        name, limit = self._windows.rate_of(ticket.operation)
        if limit is None:
            return True
        repeated = self._repeats.get(name, 0)
        if repeated >= limit.count:
            return False
        self._repeats[name] = repeated + 1
        return True

    def _free_at(self, ticket: Ticket, now: float) -> float | None:
        if ticket.again_at > now:
            return ticket.again_at
        full = self._windows.full(ticket.operation, _joined(ticket), now)
        return None if full is None else full[1].free_at(now)

    def _count(self, ticket: Ticket, now: float) -> None:
        ticket.counted = True
        ticket.paced = False
        self._windows.count(ticket.operation, _joined(ticket), now)

    def _wake_at(self, time: float) -> None:
        if self.due is None or time < self.due:
            self.due = time


def _joined(ticket: Ticket) -> str | None:
    """The channel of a join; None for everything else."""
    return ticket.packet.ch if isinstance(ticket.packet, Join) else None
