"""How often somebody may do something, and how many may wait at the door."""

import enum
import math
from collections import deque
from typing import Any, Final

from rtmcore.limits import (
    CONNECTIONS_BEFORE_HELLO,
    CONNECTIONS_BEFORE_HELLO_PER_ADDRESS,
    JOIN_RATE,
    JOIN_SAME_CHANNEL_RATE,
    LOGIN_RATE,
    MEMBERS_RATE,
    SEND_RATE,
    RateLimit,
)
from rtmcore.service.commands import Name

_SHUT_AT: Final = 2
"""Times a cap, from which nobody is told anything any more."""

_CHANNELS_WATCHED: Final = 4 * JOIN_RATE.count
"""Channels whose joins are counted before those of the past are forgotten."""


class SlidingWindow:
    """At most so many admitted calls in any stretch of so many seconds; a refused call does not count.

    Args:
        rate: The documented limit.
        factor: By how much more often than that.
    """

    __slots__ = ("_admitted", "_count", "_seconds")

    def __init__(self, rate: RateLimit, factor: float = 1.0) -> None:
        self._count = max(1, math.floor(rate.count * factor))
        self._seconds = rate.seconds
        self._admitted: deque[float] | None = None

    def wait(self, now: float) -> float:
        """Seconds until the next call has room; 0 where it has room now."""
        admitted = self._admitted
        if admitted is None:
            return 0.0
        start = now - self._seconds
        while admitted and admitted[0] <= start:
            admitted.popleft()
        if len(admitted) < self._count:
            return 0.0
        return admitted[0] + self._seconds - now

    def admit(self, now: float) -> None:
        """Count a call that `wait` had room for."""
        if self._admitted is None:  # made late: most sessions of a large server never call
            self._admitted = deque()
        self._admitted.append(now)

    @property
    def empty(self) -> bool:
        """Whether no call is remembered."""
        return not self._admitted


class SessionRates:
    """The documented rates of one session.

    Args:
        factor: By how much more often than documented.
    """

    __slots__ = ("_channels", "_factor", "_others", "joins", "members", "sends")

    def __init__(self, factor: float) -> None:
        self._factor = factor
        self.sends = SlidingWindow(SEND_RATE, factor)
        self.joins = SlidingWindow(JOIN_RATE, factor)
        self.members = SlidingWindow(MEMBERS_RATE, factor)
        self._channels: dict[str, SlidingWindow] = {}
        self._others: dict[type[Any], SlidingWindow] | None = None

    def of(self, request: type[Any], limit: RateLimit) -> SlidingWindow:
        """The window of a request that is rare.

        Args:
            request: The class of its packet.
            limit: Its documented rate.
        """
        if self._others is None:
            self._others = {}
        window = self._others.get(request)
        if window is None:
            window = self._others[request] = SlidingWindow(limit, self._factor)
        return window

    def joins_of(self, channel: str, now: float) -> SlidingWindow:
        """The window of joins of one and the same channel."""
        window = self._channels.get(channel)
        if window is None:
            if len(self._channels) >= _CHANNELS_WATCHED:
                self._forget(now)
            window = self._channels[channel] = SlidingWindow(JOIN_SAME_CHANNEL_RATE, self._factor)
        return window

    def _forget(self, now: float) -> None:
        for channel, window in list(self._channels.items()):
            window.wait(now)
            if window.empty:
                del self._channels[channel]


class LoginRates:
    """Logins of each user. The caller has verified the token, so that nobody uses up another's logins.

    Args:
        factor: By how much more often than documented.
    """

    __slots__ = ("_factor", "_recent", "_windows")

    def __init__(self, factor: float) -> None:
        self._factor = factor
        self._windows: dict[Name, SlidingWindow] = {}
        self._recent: deque[tuple[float, Name]] = deque()

    def admit(self, name: Name, now: float) -> float:
        """Count a login, or say in how many seconds it would have room; 0 where it was counted."""
        self._forget(now)
        window = self._windows.get(name)
        if window is None:
            window = self._windows[name] = SlidingWindow(LOGIN_RATE, self._factor)
        wait = window.wait(now)
        if not wait:
            window.admit(now)
            self._recent.append((now, name))
        return wait

    def _forget(self, now: float) -> None:
        while self._recent and self._recent[0][0] <= now - LOGIN_RATE.seconds:
            _, name = self._recent.popleft()
            window = self._windows.get(name)
            if window is not None:
                window.wait(now)
                if window.empty:
                    del self._windows[name]


class Entry(enum.Enum):
    """How a new connection finds the door."""

    FREE = "free"
    CROWDED = "crowded"
    """Over a cap: it is told so, once it can be told anything."""
    SHUT = "shut"
    """Over twice a cap: it is closed without a word."""


class Doorway:
    """Counts connections that have not said a valid hello, in all and per remote address."""

    __slots__ = ("_by_address", "_total")

    def __init__(self) -> None:
        self._total = 0
        self._by_address: dict[str, int] = {}

    def __len__(self) -> int:
        return self._total

    def enter(self, address: str) -> Entry:
        """Count a connection in, however it finds the door; `leave` counts it out."""
        self._total += 1
        here = self._by_address.get(address, 0) + 1
        self._by_address[address] = here
        crowd = max(self._total / CONNECTIONS_BEFORE_HELLO, here / CONNECTIONS_BEFORE_HELLO_PER_ADDRESS)
        if crowd <= 1:
            return Entry.FREE
        return Entry.CROWDED if crowd <= _SHUT_AT else Entry.SHUT

    def leave(self, address: str) -> None:
        """Count a connection out: it said hello, or it is gone."""
        self._total -= 1
        left = self._by_address[address] - 1
        if left:
            self._by_address[address] = left
        else:
            del self._by_address[address]
