"""What a node counts for those who watch it: sums since the start, refusals by code, and how long things take."""

from bisect import bisect_left
from collections.abc import Sequence
from enum import IntEnum
from typing import Final

SECONDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""Upper bounds of the classes into which times are sorted, in seconds."""


class Histogram:
    """Times, sorted into classes.

    Args:
        bounds: Upper bounds of the classes, rising, in seconds; one more class takes what is above.

    Attributes:
        bounds: The upper bounds.
        counts: How many times each class has had.
        total: All times together, in seconds.
    """

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float] = SECONDS) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.total = 0.0

    def observe(self, seconds: float) -> None:
        """Count a time."""
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.total += seconds


class Statistics:
    """What a node counts.

    Attributes:
        sums: What has been since the start, by name.
        refused: Refused requests and logins by code, such as ``LoginError.INVALID_TOKEN``.
        rate_limited: Those among them that came too often.
        published: Channel messages that were accepted. Like `sent` and `at_once` it is counted for each message.
        sent: Peer messages that were accepted.
        at_once: Requests that the engine answered within the turn.
    """

    __slots__ = ("_late", "at_once", "published", "rate_limited", "refused", "sent", "sums")

    def __init__(self) -> None:
        self.sums: dict[str, int] = {}
        self.refused: dict[str, int] = {}
        self.rate_limited = 0
        self.published = 0
        self.sent = 0
        self.at_once = 0
        self._late = Histogram()

    def count(self, what: str, by: int = 1) -> None:
        """Add to a sum."""
        self.sums[what] = self.sums.get(what, 0) + by

    def answered_late(self, seconds: float) -> None:
        """Count the time of a request that the engine did not answer at once."""
        self._late.observe(seconds)

    @property
    def answers(self) -> Histogram:
        """Times from a request to the engine's answer; peer messages, which wait for the peer, are left out."""
        answers = Histogram(self._late.bounds)
        answers.counts = list(self._late.counts)
        answers.counts[0] += self.at_once
        answers.total = self._late.total
        return answers

    def refuse(self, code: IntEnum, *, rate_limited: bool = False) -> None:
        """Count a refusal."""
        name = f"{type(code).__name__}.{code.name}"
        self.refused[name] = self.refused.get(name, 0) + 1
        self.rate_limited += rate_limited
