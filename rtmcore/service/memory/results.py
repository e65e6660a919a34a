"""What a client instance's requests came to, kept so that a repeated request is never executed twice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

import attrs

from rtmcore.service.commands.channels import Membership
from rtmcore.service.commands.messages import Logged, PeerOutcome
from rtmcore.service.commands.results import Refusal, Settled, Trouble

if TYPE_CHECKING:
    from rtmcore.service.memory.state import Item, Pending


@attrs.frozen
class Written:
    """A change was made that outlives the session: as `Settled`, but a new session does not repeat it."""


WRITTEN: Final = Written()
_SETTLED: Final = Settled()

Known: TypeAlias = Logged | PeerOutcome | Membership | Settled | Refusal
Result: TypeAlias = Known | Written

FORGOTTEN: Final = Refusal(
    Trouble.FORGOTTEN,
    "The request is older than the results that are kept for repeats, so it was not executed (again).",
)


def fitting(known: Result | Item | Pending, kind: type[Any]) -> Known:
    """What is known of a request as an answer to one of this kind, even where a client used an id for two."""
    if isinstance(known, Written):
        return _SETTLED if kind is Written else FORGOTTEN
    return known if isinstance(known, kind | Refusal) else FORGOTTEN


class Results:
    """The requests of one client instance that changed something, from its floor up.

    Request ids count up with each request of an instance, and a repeat keeps its id. So an id below the floor, or
    below one that had to be given up, is never executed; any other unknown id is a new request.

    Args:
        kept: How many results are kept; beyond, the oldest are given up.
    """

    __slots__ = ("_done", "_given_up", "_kept", "floor", "pending")

    def __init__(self, kept: int) -> None:
        self._kept = kept
        self._done: dict[int, Result] = {}
        self._given_up = -1
        self.floor = 0
        self.pending: dict[int, Item | Pending] = {}
        """Requests whose outcome is not known yet."""

    def look_up(self, cmid: int, floor: int) -> Result | Item | Pending | None:
        """What is known of a request.

        Args:
            cmid: Its id.
            floor: The oldest id that the instance may still repeat, as its request says.

        Returns:
            Its result, that which its outcome depends on, or None where the request is to be executed.
        """
        if floor > self.floor:
            self.advance(floor)
        if cmid < self.floor:
            return FORGOTTEN
        known = self._done.get(cmid)
        if known is not None:
            return known
        item = self.pending.get(cmid)
        if item is not None:
            return item
        return FORGOTTEN if cmid <= self._given_up else None

    def advance(self, floor: int) -> None:
        """Forget what lies below a floor; a floor never goes back."""
        if floor <= self.floor:
            return
        self.floor = floor
        done = self._done
        while done:
            oldest = next(iter(done))
            if oldest >= floor:
                return
            del done[oldest]

    def keep(self, cmid: int, result: Result) -> None:
        """Remember the result of a request that was executed."""
        done = self._done
        done[cmid] = result
        if len(done) > self._kept:
            oldest = next(iter(done))
            del done[oldest]
            if oldest > self._given_up:
                self._given_up = oldest

    def replace(self, cmid: int, result: Result) -> None:
        """Answer repeats of a request in another way from now on, if its result is remembered."""
        if cmid in self._done:
            self._done[cmid] = result

    def settle(self, cmid: int, result: Result) -> None:
        """Remember the outcome of a request that was pending."""
        if self.pending.pop(cmid, None) is not None and cmid >= self.floor:
            self.keep(cmid, result)

    def is_kept(self) -> None:
        """A pending message is in the history, as its sender wanted; its outcome may still be open."""

    @property
    def full(self) -> bool:
        """Whether so many requests wait that no other may."""
        return len(self.pending) >= self._kept

    def forget_membership(self) -> None:
        """Forget what joins and leaves came to: a new session starts in no channel, and repeats them in order."""
        over = [cmid for cmid, result in self._done.items() if isinstance(result, Membership | Settled)]
        for cmid in over:
            del self._done[cmid]

    def clear(self) -> None:
        """Forget all results; what had one is never executed again."""
        self._given_up = max(self._given_up, max(self._done, default=-1))
        self._done.clear()
