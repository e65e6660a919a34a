"""Where ids and fences come from: a count that follows the wall clock and never goes back."""

import math

from rtmcore.limits import CLOCK_RESERVATION

_MICROSECONDS = 1_000_000
_KEPT_BACK = int(CLOCK_RESERVATION * _MICROSECONDS) // 2
"""Ids below the ceiling that are left for the time until the next reservation."""


class Exhausted(Exception):
    """No id is left below what the disk has reserved: nothing that needs one can be done now."""


class IdClock:
    """Counts ids in microseconds since 1970: each is the wall clock's time, or one more than the last.

    With a journal, ids are given only below a ceiling that was committed before. So a start that continues above
    the ceiling never repeats one, whatever the wall clock says then.

    Args:
        last: The last id that may have been given; the next one is greater.
        ceiling: The greatest id that may be given; infinite without a journal.
    """

    __slots__ = ("ceiling", "last")

    def __init__(self, last: int = 0, ceiling: float = math.inf) -> None:
        self.last = last
        self.ceiling = ceiling

    def tick(self, wall: int) -> int:
        """The next id.

        Args:
            wall: Microseconds since 1970.

        Raises:
            Exhausted: The ceiling is reached.
        """
        following = self.last + 1
        value = wall if wall > following else following
        if value > self.ceiling:
            # The wall clock ran past what is reserved, after a suspension perhaps: count on a little below the
            # ceiling until the next reservation is committed.
            value = max(following, int(self.ceiling) - _KEPT_BACK)
            if value > self.ceiling:
                raise Exhausted
        self.last = value
        return value

    def pass_by(self, number: int) -> None:
        """Give no id up to a number that something else has counted to."""
        if self.last < number <= self.ceiling:
            self.last = number

    def wanted(self, wall: int) -> int:
        """The ceiling to reserve now: `limits.CLOCK_RESERVATION` ahead of both the wall clock and the last id."""
        return max(self.last, wall) + int(CLOCK_RESERVATION * _MICROSECONDS)
