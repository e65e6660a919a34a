"""How often somebody may do something, and how many may wait at the door."""

import enum
from collections import deque
from collections.abc import Mapping
from typing import Final

from rtmcore.figures import JOINS, MEMBERS, SAME_JOINS, SENDS
from rtmcore.limits import (
    CONNECTIONS_BEFORE_HELLO,
    CONNECTIONS_BEFORE_HELLO_PER_ADDRESS,
    JOIN_RATE,
    SERVER_RATE_BURST,
    RateLimit,
)
from rtmcore.service.commands.names import Name

_ROUNDING: Final = 1e-6
"""Seconds that sums of floating point numbers may be off."""

_SHUT_AT: Final = 2
"""Times a cap, from which nobody is told anything any more."""

_CHANNELS_WATCHED: Final = 4 * JOIN_RATE.count
"""Channels whose joins are counted before those of the past are forgotten."""


class TokenBucket:
    """Calls at the mean of a rate, and at once `limits.SERVER_RATE_BURST` times its count.

    So a client that counts by sliding windows is not refused because its calls bunched up on the way. A refused call
    does not count. One number says it all: when the bucket will be full again.

    Args:
        rate: The limit.
    """

    __slots__ = ("_depth", "_full", "_interval")

    def __init__(self, rate: RateLimit) -> None:
        self._interval = rate.seconds / rate.count
        self._depth = rate.seconds * SERVER_RATE_BURST - self._interval
        self._full = 0.0

    def wait(self, now: float) -> float:
        """Seconds until the next call has room; 0 where it has room now."""
        wait = self._full - now - self._depth
        return wait if wait > _ROUNDING else 0.0

    def admit(self, now: float) -> None:
        """Count a call that `wait` had room for."""
        full = self._full
        self._full = (now if now > full else full) + self._interval

    def is_full(self, now: float) -> bool:
        """Whether it holds all that it can, like a new one."""
        return self._full - now <= _ROUNDING


class SessionRates:
    """The rates of one session.

    Args:
        rates: The limits by name, see `figures.RATES`.
    """

    __slots__ = ("_channels", "_others", "_rates", "joins", "members", "sends")

    def __init__(self, rates: Mapping[str, RateLimit]) -> None:
        self._rates = rates
        self.sends = TokenBucket(rates[SENDS])
        self.joins = TokenBucket(rates[JOINS])
        self.members = TokenBucket(rates[MEMBERS])
        self._channels: dict[str, TokenBucket] = {}
        self._others: dict[str, TokenBucket] | None = None

    def of(self, name: str) -> TokenBucket:
        """The bucket of requests that are rare.

        Args:
            name: Of the rate.
        """
        if self._others is None:  # made late: most sessions of a large server never ask
            self._others = {}
        bucket = self._others.get(name)
        if bucket is None:
            bucket = self._others[name] = TokenBucket(self._rates[name])
        return bucket

    def joins_of(self, channel: str, now: float) -> TokenBucket:
        """The bucket of joins of one and the same channel."""
        bucket = self._channels.get(channel)
        if bucket is None:
            if len(self._channels) >= _CHANNELS_WATCHED:
                self._forget(now)
            bucket = self._channels[channel] = TokenBucket(self._rates[SAME_JOINS])
        return bucket

    def _forget(self, now: float) -> None:
        for channel, bucket in list(self._channels.items()):
            if bucket.is_full(now):
                del self._channels[channel]


class SharedRates:
    """A rate that all sessions of an app have in common.

    Args:
        rate: The limit.
    """

    __slots__ = ("_buckets", "_rate")

    def __init__(self, rate: RateLimit) -> None:
        self._rate = rate
        self._buckets: dict[str, TokenBucket] = {}

    def use(self, rate: RateLimit) -> None:
        """Count by another limit from now on; where it is another one, all apps begin anew."""
        if rate != self._rate:
            self._rate = rate
            self._buckets.clear()

    def of(self, app: str) -> TokenBucket:
        """The bucket of an app."""
        bucket = self._buckets.get(app)
        if bucket is None:
            bucket = self._buckets[app] = TokenBucket(self._rate)
        return bucket


class NameRates:
    """A rate that each name has for itself. The caller has verified the token, so that nobody uses up another's calls.

    Args:
        rate: The limit.
    """

    __slots__ = ("_buckets", "_rate", "_recent")

    def __init__(self, rate: RateLimit) -> None:
        self._rate = rate
        self._buckets: dict[Name, TokenBucket] = {}
        self._recent: deque[tuple[float, Name]] = deque()

    def use(self, rate: RateLimit) -> None:
        """Count by another limit from now on; where it is another one, everybody begins anew."""
        if rate != self._rate:
            self._rate = rate
            self._buckets.clear()
            self._recent.clear()

    def admit(self, name: Name, now: float) -> float:
        """Count a call, or say in how many seconds it would have room; 0 where it was counted."""
        self._forget(now)
        bucket = self._buckets.get(name)
        if bucket is None:
            bucket = self._buckets[name] = TokenBucket(self._rate)
        wait = bucket.wait(now)
        if not wait:
            bucket.admit(now)
            self._recent.append((now, name))
        return wait

    def _forget(self, now: float) -> None:
        oldest = now - SERVER_RATE_BURST * self._rate.seconds
        while self._recent and self._recent[0][0] <= oldest:
            _, name = self._recent.popleft()
            bucket = self._buckets.get(name)
            if bucket is not None and bucket.is_full(now):
                del self._buckets[name]


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
