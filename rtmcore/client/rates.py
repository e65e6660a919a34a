"""The documented call rates of one client, judged before anything is sent."""

from collections import deque
from enum import IntEnum
from typing import Final

from rtmcore import figures
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
)
from rtmcore.codes import JoinChannelError
from rtmcore.connection.model import State
from rtmcore.errors import error_for
from rtmcore.figures import (
    CHANNEL_READS,
    CHANNEL_WRITES,
    COUNTS,
    FLUSHES,
    JOINS,
    LOGINS,
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
    Figures,
)
from rtmcore.limits import JOIN_RATE, RateLimit

_RATES: Final[dict[Operation, str]] = {
    RENEW_TOKEN: RENEWALS,
    SEND_PEER: SENDS,
    PUBLISH: SENDS,
    JOIN: JOINS,
    MEMBERS: figures.MEMBERS,
    MEMBER_COUNTS: COUNTS,
    QUERY_PRESENCE: QUERIES,
    SUBSCRIBE: SUBSCRIPTIONS,
    UNSUBSCRIBE: WITHDRAWALS,
    SUBSCRIBED_PEERS: SUBSCRIPTION_LISTS,
    **dict.fromkeys((SET_ATTRIBUTES, UPDATE_ATTRIBUTES, DELETE_ATTRIBUTES, CLEAR_ATTRIBUTES), USER_WRITES),
    GET_ATTRIBUTES: USER_READS,
    **dict.fromkeys(
        (
            SET_CHANNEL_ATTRIBUTES,
            UPDATE_CHANNEL_ATTRIBUTES,
            DELETE_CHANNEL_ATTRIBUTES,
            CLEAR_CHANNEL_ATTRIBUTES,
        ),
        CHANNEL_WRITES,
    ),
    GET_CHANNEL_ATTRIBUTES: CHANNEL_READS,
    STORED_MESSAGES: STORED_LISTS,
    FLUSH_STORED: FLUSHES,
    **dict.fromkeys((HISTORY, HISTORY_COUNT), figures.HISTORY),
}
"""The names of the rates that operations are counted by. Those that are not in it have none."""


class SlidingWindow:
    """Admits at most so many calls in any stretch of time of the window's length.

    Args:
        limit: The rate. A refused call does not count.
    """

    __slots__ = ("_admitted", "limit")

    def __init__(self, limit: RateLimit) -> None:
        self.limit = limit
        # Made with the first call: most clients never make most calls, and an empty deque takes 600 bytes.
        self._admitted: deque[float] | None = None

    def adopt(self, limit: RateLimit) -> None:
        """Keep another rate from now on. What was admitted counts, as far as it is remembered."""
        self.limit = limit
        if self._admitted is not None and self._admitted.maxlen != limit.count:
            self._admitted = deque(self._admitted, limit.count)

    def free_at(self, now: float) -> float | None:
        """When a call would be admitted; None where it would be now."""
        admitted = self._admitted
        if admitted is None or len(admitted) < self.limit.count:
            return None
        free = admitted[0] + self.limit.seconds
        return free if free > now else None

    def wait(self, now: float) -> float | None:
        """Seconds until a call would be admitted; None where it would be now."""
        free = self.free_at(now)
        return None if free is None else free - now

    def count(self, now: float) -> None:
        """Count a call that was admitted."""
        if self._admitted is None:
            self._admitted = deque(maxlen=self.limit.count)
        self._admitted.append(now)

    def idle(self, now: float) -> bool:
        """Whether the window is empty."""
        return not self._admitted or self._admitted[-1] + self.limit.seconds <= now


class Windows:
    """The windows of one client, each made when it is first needed.

    Args:
        kept: The figures in force.
    """

    __slots__ = ("_figures", "_prune_at", "_same", "_windows")

    def __init__(self, kept: Figures) -> None:
        self._figures = kept
        self._windows: dict[str, SlidingWindow] = {}
        # Joins of one channel.
        self._same: dict[str, SlidingWindow] = {}
        self._prune_at = JOIN_RATE.count

    def adopt(self) -> None:
        """The figures have changed: keep them from now on."""
        rates = self._figures.rates
        for name, window in list(self._windows.items()):
            limit = rates[name]
            if limit is None:
                del self._windows[name]
            else:
                window.adopt(limit)
        same = rates[SAME_JOINS]
        if same is None:
            self._same.clear()
        else:
            for window in self._same.values():
                window.adopt(same)

    def rate_of(self, operation: Operation) -> tuple[str, RateLimit | None]:
        """The name of an operation's rate, and the rate; None where there is none."""
        name = _RATES.get(operation, "")
        return name, self._figures.rates.get(name)

    def full(self, operation: Operation, channel: str | None, now: float) -> tuple[str, SlidingWindow] | None:
        """The rate, and its window, that has no room for a call; None where all have.

        Args:
            operation: What is called.
            channel: The channel of a join; None for everything else.
            now: Monotonic seconds.
        """
        if channel is not None:
            same = self._same.get(channel)
            if same is not None and same.free_at(now) is not None:
                return SAME_JOINS, same
        name = _RATES.get(operation)
        window = None if name is None else self._windows.get(name)
        if name is None or window is None or window.free_at(now) is None:
            return None
        return name, window

    def count(self, operation: Operation, channel: str | None, now: float) -> None:
        """Count a call; the arguments are those of `full`."""
        name = _RATES.get(operation)
        if name is None:
            return
        window = self._windows.get(name)
        if window is None:
            limit = self._figures.rates[name]
            window = None if limit is None else self._windows.setdefault(name, SlidingWindow(limit))
        if window is not None:
            window.count(now)
        if channel is not None:
            self._count_same(channel, now)

    def _count_same(self, channel: str, now: float) -> None:
        limit = self._figures.rates[SAME_JOINS]
        if limit is None:
            return
        if len(self._same) >= self._prune_at:
            self._same = {name: same for name, same in self._same.items() if not same.idle(now)}
            # Twice of what is left, so that looking through them all stays rare however many there may be.
            self._prune_at = max(JOIN_RATE.count, 2 * len(self._same))
        self._same.setdefault(channel, SlidingWindow(limit)).count(now)


class Rates:
    """Admits or refuses the calls of one client.

    Args:
        enabled: False admits everything.
        waiting: True admits all but logins: what is too much waits instead, see `rtmcore.client.pacing`.
        kept: The figures in force; the documented ones by default.
    """

    __slots__ = ("_enabled", "_figures", "_login", "_windows", "refusing")

    def __init__(self, *, enabled: bool, waiting: bool = False, kept: Figures | None = None) -> None:
        self._enabled = enabled
        self.refusing = enabled and not waiting
        self._figures = kept or Figures()
        self._login = SlidingWindow(figures.RATES[LOGINS])
        self._windows = Windows(self._figures)

    def adopt(self) -> None:
        """The figures have changed: keep them from now on."""
        self._windows.adopt()
        limit = self._figures.rates[LOGINS]
        if limit is not None:
            self._login.adopt(limit)

    def login_wait(self, now: float) -> float | None:
        """Seconds until a login would be admitted; None where it would be now."""
        return self._login.wait(now) if self._enabled and self._figures.rates[LOGINS] is not None else None

    @property
    def login_limit(self) -> RateLimit:
        """The rate of logins in force."""
        return self._login.limit

    def count_login(self, now: float) -> None:
        """Count a login that was admitted."""
        self._login.count(now)

    def admit(self, operation: Operation, now: float, state: State, channel: str | None = None) -> None:
        """Count a call, or refuse it.

        Args:
            operation: What is called.
            now: Monotonic seconds.
            state: The connection's state, for the error.
            channel: The channel of a join; None for everything else.

        Raises:
            RateLimited: There were too many.
        """
        if not self.refusing:
            return
        full = self._windows.full(operation, channel, now)
        if full is None:
            self._windows.count(operation, channel, now)
            return
        name, window = full
        code: IntEnum = operation.too_often
        if name is SAME_JOINS:
            code = JoinChannelError.JOIN_SAME_CHANNEL_TOO_OFTEN
        raise error_for(
            code,
            f"Called more often than {window.limit}.",
            operation=operation.name,
            state=state.name,
            retry_after=window.wait(now),
        )
