"""What a client asks about messages that are kept at the server: those stored for its user, and the history."""

from rtmcore.models import HistoryPage
from rtmsync.calls import ClientCalls, Request
from rtmsync.driver.clock import Timeout
from rtmsync.driver.futures import ClientFuture


class KeptCalls(ClientCalls):
    """The calls of a client that are about kept messages."""

    def stored_messages(self, after: int = 0, timeout: Timeout = None) -> HistoryPage:
        """List messages that are stored for this user and that no client of his has taken, oldest first.

        Listing takes none: they still come as `PeerMessage` to whoever subscribes to them.

        Args:
            after: Only messages behind this id, for the next page: that of the last message of the page before.
            timeout: Seconds in all, 5 by default.

        Returns:
            A page of them; its `count` says how many there are from `after` on, this page included.

        Raises:
            RtmError: With a `QueryPeersOnlineError` as its code: InvalidArgument, RateLimited above 10 calls in 5 s,
                RequestTimeout, NotLoggedIn, …
        """
        page: HistoryPage = self._ask("stored_messages", _stored(after), timeout)
        return page

    def stored_messages_future(self, after: int = 0, timeout: Timeout = None) -> "ClientFuture[HistoryPage]":
        """Like `stored_messages`, without waiting."""
        return self._ask_future("stored_messages", _stored(after), timeout)

    def flush_stored(self, timeout: Timeout = None) -> None:
        """Drop the messages that are stored for this user and that no client of his has taken.

        Args:
            timeout: Seconds in all, 5 by default.

        Raises:
            RtmError: With a `QueryPeersOnlineError` as its code: RateLimited above 10 calls in 5 s, RequestTimeout
                (see its `outcome_unknown`), NotLoggedIn, …
        """
        self._ask("flush_stored", _flush(), timeout)

    def flush_stored_future(self, timeout: Timeout = None) -> "ClientFuture[None]":
        """Like `flush_stored`, without waiting."""
        return self._ask_future("flush_stored", _flush(), timeout)

    def history(
        self,
        *,
        source: str | None = None,
        destination: str | None = None,
        channel: str | None = None,
        start: float | None = None,
        end: float | None = None,
        offset: int = 0,
        limit: int = 20,
        ascending: bool = False,
        timeout: Timeout = None,
    ) -> HistoryPage:
        """Ask for messages of the last 7 days that were sent with `history=True`.

        One of `source`, `destination` and `channel` is needed, and of the last two only one. Open are the messages
        that this user has sent or received, and those of channels that this client is in.

        Args:
            source: Only messages of this user.
            destination: Only messages to this user.
            channel: Only messages to this channel.
            start: Only messages from this time on, in seconds since 1970.
            end: Only messages before this time, in seconds since 1970.
            offset: Messages to leave out at the beginning, for the next page.
            limit: Messages at most: 20, 50 or 100. Where they are large there may be fewer on a page.
            ascending: Oldest first; otherwise newest first.
            timeout: Seconds in all, 5 by default.

        Returns:
            A page of them; its `count` says how many there are in all.

        Raises:
            RtmError: With a `QueryPeersOnlineError` as its code: InvalidArgument, Rejected where the messages are not
                this user's, RateLimited, RequestTimeout, NotLoggedIn, …
        """
        request = _history(source, destination, channel, start, end, offset, limit, ascending)
        page: HistoryPage = self._ask("history", request, timeout)
        return page

    def history_future(
        self,
        *,
        source: str | None = None,
        destination: str | None = None,
        channel: str | None = None,
        start: float | None = None,
        end: float | None = None,
        offset: int = 0,
        limit: int = 20,
        ascending: bool = False,
        timeout: Timeout = None,
    ) -> "ClientFuture[HistoryPage]":
        """Like `history`, without waiting."""
        request = _history(source, destination, channel, start, end, offset, limit, ascending)
        return self._ask_future("history", request, timeout)

    def history_count(
        self,
        *,
        source: str | None = None,
        destination: str | None = None,
        channel: str | None = None,
        start: float | None = None,
        end: float | None = None,
        timeout: Timeout = None,
    ) -> int:
        """Ask how many messages of the last 7 days were sent with `history=True`. For the arguments see `history`.

        Raises:
            RtmError: With a `QueryPeersOnlineError` as its code; see `history`.
        """
        request = _history_count(source, destination, channel, start, end)
        count: int = self._ask("history_count", request, timeout)
        return count

    def history_count_future(
        self,
        *,
        source: str | None = None,
        destination: str | None = None,
        channel: str | None = None,
        start: float | None = None,
        end: float | None = None,
        timeout: Timeout = None,
    ) -> "ClientFuture[int]":
        """Like `history_count`, without waiting."""
        request = _history_count(source, destination, channel, start, end)
        return self._ask_future("history_count", request, timeout)


def _stored(after: int) -> Request:
    return lambda core, seconds, now: core.history.stored(after=after, timeout=seconds, now=now)


def _flush() -> Request:
    return lambda core, seconds, now: core.history.flush_stored(timeout=seconds, now=now)


def _history(
    source: str | None,
    destination: str | None,
    channel: str | None,
    start: float | None,
    end: float | None,
    offset: int,
    limit: int,
    ascending: bool,
) -> Request:
    return lambda core, seconds, now: core.history.query(
        source=source,
        destination=destination,
        channel=channel,
        start=start,
        end=end,
        offset=offset,
        limit=limit,
        ascending=ascending,
        timeout=seconds,
        now=now,
    )


def _history_count(
    source: str | None,
    destination: str | None,
    channel: str | None,
    start: float | None,
    end: float | None,
) -> Request:
    return lambda core, seconds, now: core.history.count(
        source=source,
        destination=destination,
        channel=channel,
        start=start,
        end=end,
        timeout=seconds,
        now=now,
    )
