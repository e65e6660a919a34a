"""How long to wait between attempts to connect: at once, then exponentially longer with full jitter."""

from collections.abc import Callable

import attrs

from rtmcore.limits import BACKOFF_BASE, BACKOFF_CAP, BACKOFF_FACTOR, RETRY_AFTER_MAX

_EXPONENT_MAX = 64


@attrs.frozen
class BackoffPolicy:
    """The figures of a backoff.

    Attributes:
        base: Longest wait before the second attempt, in seconds.
        factor: From one longest wait to the next.
        cap: No wait is longer, in seconds.
    """

    base: float = BACKOFF_BASE
    factor: float = BACKOFF_FACTOR
    cap: float = BACKOFF_CAP


class Backoff:
    """Counts attempts and says how long to wait before the next.

    Args:
        policy: The figures.
        random: Gives a number in [0, 1) at each call; by it the attempts of many clients spread.
    """

    def __init__(self, policy: BackoffPolicy, random: Callable[[], float]) -> None:
        self._policy = policy
        self._random = random
        self._attempts = 0

    def delay(self, retry_after: float | None = None) -> float:
        """The wait before the next attempt; counts that attempt.

        Args:
            retry_after: What the server asked for, in seconds. It wins, up to `limits.RETRY_AFTER_MAX`; 0 does
                not, since that would be an endless loop.

        Returns:
            Seconds; 0 for the first attempt.
        """
        attempts = self._attempts
        self._attempts += 1
        if retry_after is not None and retry_after > 0:
            return min(retry_after, RETRY_AFTER_MAX)
        if attempts == 0:
            return 0.0
        policy = self._policy
        longest = min(policy.cap, policy.base * policy.factor ** min(attempts - 1, _EXPONENT_MAX))
        return longest * self._random()

    def reset(self) -> None:
        """Begin anew: the next attempt is made at once."""
        self._attempts = 0
