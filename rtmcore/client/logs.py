"""Reading a log whose entries name their predecessor: in order, each once, with questions about gaps."""

from collections.abc import Sequence
from typing import Generic, TypeVar

T = TypeVar("T")


class LogReader(Generic[T]):
    """Where a reader stands in a log, and what it holds behind a gap.

    An entry whose predecessor is the last one seen is in order. Any other that is newer stands behind a gap and is
    held. The gap closes when the missing link comes, or when the server has read the log to its top (`top`).

    Args:
        last: The position of the last entry seen.

    Attributes:
        last: See above; 0 stands before everything.
        replaying: The server reads the log from `last` to its top by itself, after a return.
        asked: The server was asked to do so.
        held_bytes: Sum of the sizes of what is held.
    """

    __slots__ = ("_answering", "_held", "_newest", "_unrepeated", "asked", "held_bytes", "last", "replaying")

    def __init__(self, last: int) -> None:
        self.last = last
        self.replaying = False
        self.asked = False
        self.held_bytes = 0
        # By predecessor: position, entry (None for one's own), size.
        self._held: dict[int, tuple[int, T | None, int]] = {}
        # What was held when the server was asked, or came before it read the question, and is not in its answer.
        self._unrepeated: set[int] = set()
        # The newest position that was ever held.
        self._newest = 0
        self._answering = False

    @property
    def gap(self) -> bool:
        """Whether something is held."""
        return bool(self._held)

    @property
    def answering(self) -> bool:
        """Whether what is held belongs to a replay or to an answer, so that it will not come again."""
        return self.replaying or (self.asked and self._answering)

    @property
    def held(self) -> int:
        """How many entries are held."""
        return len(self._held)

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
        if position <= self.last:
            return ()
        if self.asked:
            self._note_answer(position, prev)
        if prev != self.last:
            if prev not in self._held:
                self._held[prev] = (position, entry, size)
                self.held_bytes += size
            self._newest = max(self._newest, position)
            return ()
        self.last = position
        if not self._held:
            return () if entry is None else (entry,)
        return self._follow([] if entry is None else [entry])

    def ask(self) -> None:
        """Note that the server was asked to read the log from `last`."""
        self.asked = True
        self._answering = False
        self._unrepeated = {position for position, entry, _ in self._held.values() if entry is not None}
        self._newest = max(self._newest, self.last)

    def restart(self, *, replaying: bool) -> None:
        """Begin on another transport: what was held comes again."""
        self.forget_held()
        self.asked = False
        self.replaying = replaying

    def forget_held(self) -> None:
        """Let go of what is held; the server's answer brings it again, or counts it as lost."""
        self._held.clear()
        self._unrepeated.clear()
        self.held_bytes = 0

    def top(self, position: int, lost: int) -> tuple[int, Sequence[T]]:
        """The server has read the log to its top.

        Args:
            position: The top.
            lost: Entries after the reader's position that the server does not have any more.

        Returns:
            How many entries are lost to the reader, and what it held, in order: it may have what the server lacks.
        """
        ready = {held[0]: held[1] for held in self._held.values() if self.last < held[0] <= position}
        late = sum(1 for number in ready if number in self._unrepeated)
        rest = {prev: held for prev, held in self._held.items() if held[0] > position}
        self.restart(replaying=False)
        self._held = rest
        self.held_bytes = sum(size for _, _, size in rest.values())
        self.last = max(self.last, position)
        in_order = [ready[number] for number in sorted(ready)]
        return max(0, lost - late), self._follow([entry for entry in in_order if entry is not None])

    def _follow(self, ready: list[T]) -> list[T]:
        """Go on from `last` through what is held."""
        while self.last in self._held:
            self.last, entry, size = self._held.pop(self.last)
            self.held_bytes -= size
            if entry is not None:
                ready.append(entry)
        return ready

    def _note_answer(self, position: int, prev: int) -> None:
        """Tell what came before the server read the question from what belongs to its answer.

        The log goes on until then, so its entries follow on the newest; the answer begins further back.
        """
        if not self._answering and position > self._newest and prev == self._newest:
            self._newest = position
            self._unrepeated.add(position)
            return
        self._answering = True
        self._unrepeated.discard(position)
