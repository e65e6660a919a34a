"""Positions of a log's past entries, without the entries: enough to count what a reader has missed."""

from array import array
from bisect import bisect_right


class Positions:
    """The ids of a log, oldest first, of which the oldest may have been forgotten.

    Args:
        base: The top of the log before its first entry.
    """

    __slots__ = ("_forgotten", "append", "base", "ids")

    def __init__(self, base: int) -> None:
        self.base = base
        self._forgotten = 0
        self.ids: array[int] = array("q")
        self.append = self.ids.append

    def count_after(self, position: int) -> int:
        """Entries after a position.

        Exact from the oldest remembered entry on, and for positions from before the log began; in between it is
        the number of those remembered.
        """
        if position <= self.base:
            return self._forgotten + len(self.ids)
        return len(self.ids) - bisect_right(self.ids, position)

    def forget(self, count: int) -> None:
        """Forget the oldest entries."""
        del self.ids[:count]
        self._forgotten += count

    def forget_before(self, position: int) -> None:
        """Forget the entries before a position."""
        self.forget(bisect_right(self.ids, position - 1))
