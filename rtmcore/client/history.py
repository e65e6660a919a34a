"""Messages that are kept at the server: those stored for this user, and the history."""

from typing import Final

from rtmcore.client.calls import Calls, invalid
from rtmcore.client.requests import (
    FLUSH_STORED,
    HISTORY,
    HISTORY_COUNT,
    STORED_MESSAGES,
    Operation,
    Requests,
    Ticket,
)
from rtmcore.identifiers import explain_invalid_id
from rtmcore.limits import HISTORY_PAGE_SIZES, OPERATION_TIMEOUT, REQUEST_OVERHEAD
from rtmcore.models import HistoricalMessage, HistoryPage
from rtmcore.wire.described import read_body
from rtmcore.wire.packets import FlushStored, GetStored, KeptMessage, MessagePage, QueryHistory

_MILLISECONDS: Final = 1000
_MOST: Final = 2**53 - 1


class History:
    """What a client asks about messages that are kept.

    Args:
        calls: Makes requests.
        requests: Gives them their ids.
    """

    def __init__(self, calls: Calls, requests: Requests) -> None:
        self._calls = calls
        self._requests = requests

    def stored(self, *, after: int = 0, timeout: float = OPERATION_TIMEOUT, now: float) -> Ticket:
        """Ask for messages that are stored for this user and that no client of his has taken.

        The ticket's value is a `HistoryPage`, oldest first; its `count` says how many there are from `after` on.

        Args:
            after: Only messages with a greater id: that of the last message of the page before; 0 for the first page.
            timeout: Total time in seconds.
            now: Monotonic seconds.

        Raises:
            ClientClosed, NotLoggedIn, Aborted: There is no session (101, 102).
            InvalidArgument: This is no id (2).
            LimitExceeded: Too much waits for an answer already.
            RateLimited: More than `limits.STORED_RATE` (5).
        """
        self._calls.begin(STORED_MESSAGES, now)
        self._check_number(STORED_MESSAGES, after, "The id")
        self._calls.admit(STORED_MESSAGES, REQUEST_OVERHEAD, now)
        packet = GetStored(self._requests.next_id(), after)
        return self._calls.request(STORED_MESSAGES, packet, REQUEST_OVERHEAD, timeout, now)

    def flush_stored(self, *, timeout: float = OPERATION_TIMEOUT, now: float) -> Ticket:
        """Drop the messages that are stored for this user and that no client of his has taken. The value is None.

        Args:
            timeout: Total time in seconds.
            now: Monotonic seconds.

        Raises:
            ClientClosed, NotLoggedIn, Aborted: There is no session (101, 102).
            LimitExceeded: Too much waits for an answer already.
            RateLimited: More than `limits.STORED_RATE` (5).
        """
        self._calls.begin(FLUSH_STORED, now)
        self._calls.admit(FLUSH_STORED, REQUEST_OVERHEAD, now)
        packet = FlushStored(self._requests.next_id())
        return self._calls.request(FLUSH_STORED, packet, REQUEST_OVERHEAD, timeout, now)

    def query(
        self,
        *,
        source: str | None = None,
        destination: str | None = None,
        channel: str | None = None,
        start: float | None = None,
        end: float | None = None,
        offset: int = 0,
        limit: int = HISTORY_PAGE_SIZES[0],
        ascending: bool = False,
        timeout: float = OPERATION_TIMEOUT,
        now: float,
    ) -> Ticket:
        """Ask for messages that their senders wanted to be kept. The ticket's value is a `HistoryPage`.

        Args:
            source: Only messages of this user.
            destination: Only messages to this user.
            channel: Only messages to this channel. One of these three is needed, and of the last two only one.
            start: Only messages from this time on, in seconds since 1970; None for all that are kept.
            end: Only messages before this time, in seconds since 1970; None for all until now.
            offset: Messages to leave out at the beginning.
            limit: Messages at most, one of `limits.HISTORY_PAGE_SIZES`.
            ascending: Oldest first; otherwise newest first.
            timeout: Total time in seconds.
            now: Monotonic seconds.

        Raises:
            ClientClosed, NotLoggedIn, Aborted: There is no session (101, 102).
            InvalidArgument: An id or another argument is not valid (2).
            LimitExceeded: Too much waits for an answer already.
            RateLimited: More than `limits.HISTORY_RATE` (5), with `count`.
        """
        self._calls.begin(HISTORY, now)
        packet = self._question(HISTORY, source, destination, channel, start, end)
        self._check_number(HISTORY, offset, "The offset")
        if isinstance(limit, bool) or limit not in HISTORY_PAGE_SIZES:
            sizes = ", ".join(map(str, HISTORY_PAGE_SIZES))
            raise invalid(self._calls, HISTORY, f"The limit is one of {sizes}, not {limit!r}.")
        packet.offset, packet.limit, packet.ascending = offset, limit, bool(ascending)
        return self._ask(HISTORY, packet, timeout, now)

    def count(
        self,
        *,
        source: str | None = None,
        destination: str | None = None,
        channel: str | None = None,
        start: float | None = None,
        end: float | None = None,
        timeout: float = OPERATION_TIMEOUT,
        now: float,
    ) -> Ticket:
        """Ask how many messages are kept. The ticket's value is an int. For arguments and errors see `query`."""
        self._calls.begin(HISTORY_COUNT, now)
        packet = self._question(HISTORY_COUNT, source, destination, channel, start, end)
        packet.count = True
        return self._ask(HISTORY_COUNT, packet, timeout, now)

    # --- Answers ------------------------------------------------------------------------------------------------

    def page(self, packet: MessagePage, _: float) -> None:
        """The server has answered what is kept."""
        ticket = self._requests.get(packet.i)
        if ticket is None:
            return
        if ticket.operation is HISTORY_COUNT:
            self._requests.succeed(ticket, packet.count)
        elif ticket.operation in (HISTORY, STORED_MESSAGES):
            messages = tuple(_read(message) for message in packet.messages)
            self._requests.succeed(ticket, HistoryPage(messages, packet.count))

    # --- Helpers ------------------------------------------------------------------------------------------------

    def _question(
        self,
        operation: Operation,
        source: str | None,
        destination: str | None,
        channel: str | None,
        start: float | None,
        end: float | None,
    ) -> QueryHistory:
        if destination is not None and channel is not None:
            raise invalid(self._calls, operation, "Messages go to a user or to a channel, not to both.")
        to = channel if destination is None else destination
        if source is None and to is None:
            raise invalid(self._calls, operation, "Name a source, a destination or a channel.")
        sizes = self._calls.sizes
        named = (
            (source, "user id", sizes.user_id),
            (destination, "user id", sizes.user_id),
            (channel, "channel id", sizes.channel_id),
        )
        for value, what, most in named:
            wrong = None if value is None else explain_invalid_id(value, what, most)
            if wrong is not None:
                raise invalid(self._calls, operation, wrong)
        begins = self._checked_time(operation, start, "start")
        ends = self._checked_time(operation, end, "end")
        if ends and ends <= begins:
            raise invalid(self._calls, operation, "The end does not lie after the start.")
        return QueryHistory(0, source, to, channel is not None, begins, ends)

    def _checked_time(self, operation: Operation, time: float | None, what: str) -> int:
        """Milliseconds since 1970; 0 for None."""
        if time is None:
            return 0
        if (
            isinstance(time, bool)
            or not isinstance(time, int | float)
            or not 0 < time < _MOST / _MILLISECONDS
        ):
            raise invalid(self._calls, operation, f"{what} is a time in seconds since 1970, or None.")
        return max(1, round(time * _MILLISECONDS))

    def _check_number(self, operation: Operation, number: object, what: str) -> None:
        if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number <= _MOST:
            raise invalid(self._calls, operation, f"{what} is a whole number from 0.")

    def _ask(self, operation: Operation, packet: QueryHistory, timeout: float, now: float) -> Ticket:
        self._calls.admit(operation, REQUEST_OVERHEAD, now)
        packet.i = self._requests.next_id()
        return self._calls.request(operation, packet, REQUEST_OVERHEAD, timeout, now)


def _read(message: KeptMessage) -> HistoricalMessage:
    kind, body, description = read_body(message.kind, message.body)
    return HistoricalMessage(
        message.source, message.destination, message.channel, kind, body, message.id, description
    )
