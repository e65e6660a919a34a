"""The documented call rates of one client, judged before anything is sent."""

from collections import deque
from enum import IntEnum
from typing import Final

import attrs

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
from rtmcore.limits import (
    CHANNEL_ATTRIBUTES_READ_RATE,
    CHANNEL_ATTRIBUTES_WRITE_RATE,
    HISTORY_RATE,
    JOIN_RATE,
    JOIN_SAME_CHANNEL_RATE,
    LOGIN_RATE,
    MEMBER_COUNT_RATE,
    MEMBERS_RATE,
    PEERS_SUBSCRIBED_RATE,
    PRESENCE_QUERY_RATE,
    PRESENCE_SUBSCRIBE_RATE,
    RENEW_TOKEN_RATE,
    SEND_RATE,
    STORED_RATE,
    USER_ATTRIBUTES_READ_RATE,
    USER_ATTRIBUTES_WRITE_RATE,
    RateLimit,
)


@attrs.frozen(eq=False)
class Group:
    """Operations whose calls are counted together."""

    limit: RateLimit


def _grouped(limit: RateLimit, *operations: Operation) -> dict[Operation, Group]:
    return dict.fromkeys(operations, Group(limit))


_GROUPS: Final[dict[Operation, Group]] = {
    **_grouped(RENEW_TOKEN_RATE, RENEW_TOKEN),
    **_grouped(SEND_RATE, SEND_PEER, PUBLISH),
    **_grouped(JOIN_RATE, JOIN),
    **_grouped(MEMBERS_RATE, MEMBERS),
    **_grouped(MEMBER_COUNT_RATE, MEMBER_COUNTS),
    **_grouped(PRESENCE_QUERY_RATE, QUERY_PRESENCE),
    **_grouped(PRESENCE_SUBSCRIBE_RATE, SUBSCRIBE),
    **_grouped(PRESENCE_SUBSCRIBE_RATE, UNSUBSCRIBE),
    **_grouped(PEERS_SUBSCRIBED_RATE, SUBSCRIBED_PEERS),
    **_grouped(
        USER_ATTRIBUTES_WRITE_RATE, SET_ATTRIBUTES, UPDATE_ATTRIBUTES, DELETE_ATTRIBUTES, CLEAR_ATTRIBUTES
    ),
    **_grouped(USER_ATTRIBUTES_READ_RATE, GET_ATTRIBUTES),
    **_grouped(
        CHANNEL_ATTRIBUTES_WRITE_RATE,
        SET_CHANNEL_ATTRIBUTES,
        UPDATE_CHANNEL_ATTRIBUTES,
        DELETE_CHANNEL_ATTRIBUTES,
        CLEAR_CHANNEL_ATTRIBUTES,
    ),
    **_grouped(CHANNEL_ATTRIBUTES_READ_RATE, GET_CHANNEL_ATTRIBUTES),
    **_grouped(STORED_RATE, STORED_MESSAGES),
    **_grouped(STORED_RATE, FLUSH_STORED),
    **_grouped(HISTORY_RATE, HISTORY, HISTORY_COUNT),
}
"""What is counted together. Operations that are not in it have no rate."""


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
    """The windows of one client, each made when it is first needed."""

    __slots__ = ("_same", "_windows")

    def __init__(self) -> None:
        self._windows: dict[Group, SlidingWindow] = {}
        # Joins of one channel.
        self._same: dict[str, SlidingWindow] = {}

    def full(self, operation: Operation, channel: str | None, now: float) -> SlidingWindow | None:
        """The window that has no room for a call; None where all have.

        Args:
            operation: What is called.
            channel: The channel of a join; None for everything else.
            now: Monotonic seconds.
        """
        if channel is not None:
            same = self._same.get(channel)
            if same is not None and same.free_at(now) is not None:
                return same
        group = _GROUPS.get(operation)
        window = None if group is None else self._windows.get(group)
        return window if window is not None and window.free_at(now) is not None else None

    def count(self, operation: Operation, channel: str | None, now: float) -> None:
        """Count a call; the arguments are those of `full`."""
        group = _GROUPS.get(operation)
        if group is None:
            return
        window = self._windows.get(group)
        if window is None:
            window = self._windows[group] = SlidingWindow(group.limit)
        window.count(now)
        if channel is None:
            return
        if len(self._same) >= JOIN_RATE.count:
            self._same = {name: same for name, same in self._same.items() if not same.idle(now)}
        self._same.setdefault(channel, SlidingWindow(JOIN_SAME_CHANNEL_RATE)).count(now)


class Rates:
    """Admits or refuses the calls of one client.

    Args:
        enabled: False admits everything.
        waiting: True admits all but logins: what is too much waits instead, see `rtmcore.client.pacing`.
    """

    __slots__ = ("_enabled", "_login", "_refusing", "_windows")

    def __init__(self, *, enabled: bool, waiting: bool = False) -> None:
        self._enabled = enabled
        self._refusing = enabled and not waiting
        self._login = SlidingWindow(LOGIN_RATE)
        self._windows = Windows()

    def login_wait(self, now: float) -> float | None:
        """Seconds until a login would be admitted; None where it would be now."""
        return self._login.wait(now) if self._enabled else None

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
        if not self._refusing:
            return
        full = self._windows.full(operation, channel, now)
        if full is None:
            self._windows.count(operation, channel, now)
            return
        code: IntEnum = operation.too_often
        if full.limit is JOIN_SAME_CHANNEL_RATE:
            code = JoinChannelError.JOIN_SAME_CHANNEL_TOO_OFTEN
        raise error_for(
            code,
            f"Called more often than {full.limit}.",
            operation=operation.name,
            state=state.name,
            retry_after=full.wait(now),
        )
