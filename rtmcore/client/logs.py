"""Reading a log whose entries name their predecessor: in order, each once, with questions about gaps."""

from collections.abc import Sequence
from typing import Final, Generic, TypeVar

T = TypeVar("T")

_OWN_REMEMBERED: Final = 64
"""Own entries that are remembered as predecessors of others; more only makes a count of losses too high."""


class LogReader(Generic[T]):
    """Where a reader stands in a log, and what it holds behind a gap.

    An entry whose predecessor is the last one seen is in order. Any other that is newer stands behind a gap and is
    held. The gap closes when the missing link comes, or when the server has read the log to its top (`top`): after
    a return it does so by itself, otherwise when it is asked.

    The server counts what it does not have any more as lost. The reader may have it all the same, from before the
    server read its position or its question, so such entries are subtracted.

    Args:
        last: The position of the last entry seen.

    Attributes:
        last: See above; 0 stands before everything.
        replaying: The server reads the log from the reader's position to its top by itself, after a return.
        asked: The server was asked to do so.
        taken: Entries of others that were in order, in all.
        held_bytes: Sum of the sizes of what is held.
    """

    __slots__ = (
        "_answering",
        "_had",
        "_held",
        "_newest",
        "_own",
        "_surplus",
        "asked",
        "held_bytes",
        "last",
        "replaying",
        "taken",
    )

    def __init__(self, last: int) -> None:
        self.last = last
        self.replaying = False
        self.asked = False
        self.taken = 0
        self.held_bytes = 0
        # By predecessor: position, entry (None for one's own), size.
        self._held: dict[int, tuple[int, T | None, int]] = {}
        # The newest entry of another that came on this transport, and own ones by their predecessors.
        self._newest = last
        self._own: dict[int, int] = {}
        # While the server was asked: others' entries that came before its answer, and are not in it.
        self._had: set[int] = set()
        self._answering = False
        # While the server replays: others' entries behind the position it starts from that are here, and were not
        # repeated.
        self._surplus = 0

    @property
    def gap(self) -> bool:
        """Whether something is held."""
        return bool(self._held)

    @property
    def held(self) -> int:
        """How many entries are held."""
        return len(self._held)

    @property
    def answering(self) -> bool:
        """Whether what is held belongs to a replay or to an answer, so that it will not come again."""
        return self.replaying or (self.asked and self._answering)

    def take(self, position: int, prev: int, entry: T | None, size: int = 0) -> Sequence[T]:
        """Take an entry.

        Args:
            position: Its own position.
            prev: The position before it.
            entry: The entry; None for one that the reader itself has written, and knows.
            size: Bytes of the entry, counted while it is held.

        Returns:
            What is in order now, oldest first.
        """
        if entry is None:
            if prev < position:  # as it is in every log, so that no chain of these has a ring
                self._own[prev] = position
            if len(self._own) > _OWN_REMEMBERED:
                del self._own[next(iter(self._own))]
        elif self.asked:
            self._compare(position, prev)
        elif position > self._newest:
            self._newest = position
        if position <= self.last:
            if self._surplus and entry is not None:
                self._surplus -= 1
            return ()
        if prev != self.last:
            if prev not in self._held:
                self._held[prev] = (position, entry, size)
                self.held_bytes += size
            return ()
        self.last = position
        if entry is None:
            return self._follow([]) if self._held else ()
        self.taken += 1
        return self._follow([entry]) if self._held else (entry,)

    def ask(self) -> None:
        """Note that the server was asked to read the log from `last`."""
        self.asked = True
        self._answering = False
        self._had = {position for position, entry, _ in self._held.values() if entry is not None}

    def restart(self, *, replaying: bool, surplus: int = 0) -> None:
        """Begin on another transport: what was held comes again.

        Args:
            replaying: Whether the server reads the log by itself.
            surplus: Entries of others that came since the position was told from which it does.
        """
        self.forget_held()
        self.asked = False
        self.replaying = replaying
        self._surplus = surplus if replaying else 0
        self._newest = self.last
        self._had.clear()

    def release(self) -> list[tuple[T | None, bool]]:
        """Let go of what is held because the log has ended: neither it nor what is missing comes any more.

        The position stays: the server reads the log that begins now from there.

        Returns:
            What was held, oldest first, None for one's own; each with whether something before it is missing.
        """
        released: list[tuple[T | None, bool]] = []
        before = self.last
        for prev, (position, entry, _) in sorted(self._held.items(), key=lambda held: held[1][0]):
            released.append((entry, prev != before))
            before = position
        self.forget_held()
        return released

    def forget_held(self) -> None:
        """Let go of what is held; the server's answer brings it again, or counts it as lost."""
        self._had.difference_update(position for position, _, _ in self._held.values())
        self._held.clear()
        self.held_bytes = 0

    def top(self, position: int, lost: int) -> tuple[Sequence[T], int, Sequence[T]]:
        """The server has read the log to its top.

        Args:
            position: The top.
            lost: Entries after the reader's position that the server does not have any more.

        Returns:
            What the reader held before a loss, how many entries are lost to it, and what it held behind them; all in
            order. What is held stands behind the loss where nothing is known of its place.
        """
        here = self._surplus if self.replaying else sum(1 for number in self._had if number <= position)
        lost = max(0, lost - here)
        found = {
            number: (prev, entry)
            for prev, (number, entry, _) in self._held.items()
            if entry is not None and self.last < number <= position
        }
        numbers = sorted(found)
        begin = self._loss_begins(numbers, [found[number][0] for number in numbers], position) if lost else 0
        rest = {prev: held for prev, held in self._held.items() if held[0] > position}
        self.restart(replaying=False)
        self._held = rest
        self.held_bytes = sum(size for _, _, size in rest.values())
        self.last = self._newest = max(self.last, position)
        ready = [found[number][1] for number in numbers]
        self.taken += len(ready)
        return ready[:begin], lost, self._follow(ready[begin:])

    def _loss_begins(self, numbers: Sequence[int], prevs: Sequence[int], top: int) -> int:
        """How many of the entries held stand before what the server has lost.

        Those that it did not send again came on this transport, where nothing but own entries may be left out. So
        where the answer does not follow right behind them, the loss is there, and own entries are before them.
        """
        early = sum(number in self._had for number in numbers)
        if not early:
            return 0
        answer = prevs[early] if early < len(prevs) else top
        return 0 if self._leads_to(answer, numbers[early - 1]) else early

    def _follow(self, ready: list[T]) -> list[T]:
        """Go on from `last` through what is held."""
        while self.last in self._held:
            self.last, entry, size = self._held.pop(self.last)
            self.held_bytes -= size
            if entry is not None:
                self.taken += 1
                ready.append(entry)
        return ready

    def _compare(self, position: int, prev: int) -> None:
        """Tell entries that came before the server read the question from those of its answer.

        The former go on where the log stood on this transport; the answer begins further back, or behind a loss.
        """
        if not self._answering and position > self._newest and self._leads_to(prev, self._newest):
            self._newest = position
            self._had.add(position)
            return
        self._answering = True
        self._had.discard(position)

    def _leads_to(self, position: int, start: int) -> bool:
        """Whether nothing but own entries lies between an entry of another and a later position."""
        at: int | None = start
        while at is not None and at != position:
            at = self._own.get(at)
        return at is not None
