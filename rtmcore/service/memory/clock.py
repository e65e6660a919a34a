"""Where ids and fences come from: a count that follows the wall clock and never goes back."""

import math

from rtmcore.limits import CLOCK_RESERVATION

_RESERVED = int(CLOCK_RESERVATION * 1_000_000)
_KEPT_BACK = _RESERVED // 4
"""Ids below the ceiling that the wall clock may not use up: they are for counting when the disk is late."""


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

    __slots__ = ("_ceiling", "_limit", "last")

    def __init__(self, last: int = 0, ceiling: float = math.inf) -> None:
        self.last = last
        self.reach(ceiling)

    def reach(self, ceiling: float) -> None:
        """Give ids up to a new ceiling."""
        self._ceiling = ceiling
        self._limit = ceiling - _KEPT_BACK

    def tick(self, wall: int) -> int:
        """The next id.

        Args:
            wall: Microseconds since 1970.

        Raises:
            Exhausted: The ceiling is reached.
        """
        following = self.last + 1
        value = wall if wall > following else following
        if value > self._limit:
            # The wall clock has run away from what is reserved, after a suspension perhaps: count on until the
            # next reservation is committed.
            value = max(following, int(self._limit))
            if value > self._ceiling:
                raise Exhausted
        self.last = value
        return value

    def pass_by(self, number: int) -> None:
        """Give no id up to a number that something else has counted to."""
        if self.last < number <= self._ceiling:
            self.last = number

    def wanted(self, wall: int) -> int:
        """The ceiling to reserve now: `limits.CLOCK_RESERVATION` ahead of both the wall clock and the last id."""
        return max(self.last, wall) + _RESERVED
