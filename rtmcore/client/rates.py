"""The documented call rates of one client, judged before anything is sent."""

from collections import deque
from enum import IntEnum

from rtmcore.client.requests import (
    GET_ATTRIBUTES,
    JOIN,
    MEMBERS,
    RENEW_TOKEN,
    SET_ATTRIBUTES,
    SUBSCRIBE,
    UNSUBSCRIBE,
    Operation,
)
from rtmcore.codes import JoinChannelError
from rtmcore.connection.model import State
from rtmcore.errors import error_for
from rtmcore.limits import (
    JOIN_RATE,
    JOIN_SAME_CHANNEL_RATE,
    LOGIN_RATE,
    MEMBERS_RATE,
    PRESENCE_SUBSCRIBE_RATE,
    RENEW_TOKEN_RATE,
    SEND_RATE,
    USER_ATTRIBUTES_READ_RATE,
    USER_ATTRIBUTES_WRITE_RATE,
    RateLimit,
)


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

    def wait(self, now: float) -> float | None:
        """Seconds until a call would be admitted; None where it would be now."""
        admitted = self._admitted
        if admitted is None or len(admitted) < self.limit.count:
            return None
        left = admitted[0] + self.limit.seconds - now
        return left if left > 0 else None

    def count(self, now: float) -> None:
        """Count a call that was admitted."""
        if self._admitted is None:
            self._admitted = deque(maxlen=self.limit.count)
        self._admitted.append(now)

    def idle(self, now: float) -> bool:
        """Whether the window is empty."""
        return not self._admitted or self._admitted[-1] + self.limit.seconds <= now


class Rates:
    """All windows of one client.

    Args:
        enabled: False admits everything.
    """

    __slots__ = (
        "_enabled",
        "_join",
        "_join_same",
        "_login",
        "_members",
        "_read",
        "_renew",
        "_send",
        "_subscribe",
        "_unsubscribe",
        "_write",
    )

    def __init__(self, *, enabled: bool) -> None:
        self._enabled = enabled
        self._login = SlidingWindow(LOGIN_RATE)
        self._send = SlidingWindow(SEND_RATE)
        self._join = SlidingWindow(JOIN_RATE)
        self._join_same: dict[str, SlidingWindow] = {}
        self._members = SlidingWindow(MEMBERS_RATE)
        self._renew = SlidingWindow(RENEW_TOKEN_RATE)
        self._subscribe = SlidingWindow(PRESENCE_SUBSCRIBE_RATE)
        self._unsubscribe = SlidingWindow(PRESENCE_SUBSCRIBE_RATE)
        self._write = SlidingWindow(USER_ATTRIBUTES_WRITE_RATE)
        self._read = SlidingWindow(USER_ATTRIBUTES_READ_RATE)

    def login_wait(self, now: float) -> float | None:
        """Seconds until a login would be admitted; None where it would be now."""
        return self._login.wait(now) if self._enabled else None

    def count_login(self, now: float) -> None:
        """Count a login that was admitted."""
        self._login.count(now)

    def admit_send(self, operation: Operation, now: float, state: State) -> None:
        """Count a message to a peer or a channel, or refuse it.

        Raises:
            RateLimited: There were too many.
        """
        self._admit(self._send, operation, now, state)

    def admit_join(self, channel: str, now: float, state: State) -> None:
        """Count a join, or refuse it.

        Raises:
            RateLimited: There were too many, of this channel or of all.
        """
        if not self._enabled:
            return
        same = self._join_same.get(channel)
        if same is None:
            same = SlidingWindow(JOIN_SAME_CHANNEL_RATE)
        self._check(same, JOIN, JoinChannelError.JOIN_SAME_CHANNEL_TOO_OFTEN, now, state)
        self._admit(self._join, JOIN, now, state)
        if len(self._join_same) >= JOIN_RATE.count:
            self._join_same = {
                name: window for name, window in self._join_same.items() if not window.idle(now)
            }
        self._join_same[channel] = same
        same.count(now)

    def admit_members(self, now: float, state: State) -> None:
        """Count a question for members, or refuse it.

        Raises:
            RateLimited: There were too many.
        """
        self._admit(self._members, MEMBERS, now, state)

    def admit_renewal(self, now: float, state: State) -> None:
        """Count a new token, or refuse it.

        Raises:
            RateLimited: There were too many.
        """
        self._admit(self._renew, RENEW_TOKEN, now, state)

    def admit_subscribe(self, now: float, state: State) -> None:
        """Count a subscription to users, or refuse it.

        Raises:
            RateLimited: There were too many.
        """
        self._admit(self._subscribe, SUBSCRIBE, now, state)

    def admit_unsubscribe(self, now: float, state: State) -> None:
        """Count the end of a subscription, or refuse it.

        Raises:
            RateLimited: There were too many.
        """
        self._admit(self._unsubscribe, UNSUBSCRIBE, now, state)

    def admit_attributes_write(self, now: float, state: State) -> None:
        """Count a change of the user's attributes, or refuse it.

        Raises:
            RateLimited: There were too many.
        """
        self._admit(self._write, SET_ATTRIBUTES, now, state)

    def admit_attributes_read(self, now: float, state: State) -> None:
        """Count a question for a user's attributes, or refuse it.

        Raises:
            RateLimited: There were too many.
        """
        self._admit(self._read, GET_ATTRIBUTES, now, state)

    def _admit(self, window: SlidingWindow, operation: Operation, now: float, state: State) -> None:
        if self._enabled:
            self._check(window, operation, operation.too_often, now, state)
            window.count(now)

    def _check(
        self, window: SlidingWindow, operation: Operation, code: IntEnum, now: float, state: State
    ) -> None:
        wait = window.wait(now)
        if wait is not None:
            raise error_for(
                code,
                f"Called more often than {window.limit}.",
                operation=operation.name,
                state=state.name,
                retry_after=wait,
            )
