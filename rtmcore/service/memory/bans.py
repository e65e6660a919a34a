"""Names that may not log in, and who waits for a ban or its end to be on the disk."""

from collections import deque
from collections.abc import Iterable

from rtmcore.service.commands import BANNED, Ban, Name, Refusal, Settled, Unban
from rtmcore.service.memory.state import Outlet, State


class Bans:
    """Holds the bans. A ban counts at once; its command is answered when it is committed.

    Args:
        state: What it shares with the other parts.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self._banned: dict[Name, Refusal] = {}
        """What claims of banned names are answered."""
        self._waiting: deque[tuple[int, Outlet, Ban | Unban]] = deque()
        """Commands that are not answered yet, with the batch that they are in."""

    def refusal(self, name: Name) -> Refusal | None:
        """What a claim of this name is to be answered, if it is banned."""
        return self._banned.get(name)

    def has_room(self, name: Name) -> bool:
        """Whether this name can be banned, or its ban be changed."""
        return name in self._banned or len(self._banned) < self._state.caps.bans

    def add(self, outlet: Outlet, command: Ban) -> None:
        """Refuse each claim of a name from now on; its session is over."""
        self._banned[command.name] = Refusal(BANNED, command.text)
        self._record(outlet, command, command.text)

    def lift(self, outlet: Outlet, command: Unban, now: float, wall: int) -> None:
        """Carry out `Unban`."""
        self._banned.pop(command.name, None)
        self._record(outlet, command, None)

    def _record(self, outlet: Outlet, command: Ban | Unban, text: str | None) -> None:
        journal = self._state.journal
        if journal.enabled:
            self._waiting.append((journal.ban(command.name, text), outlet, command))
        else:
            outlet.answer(command, Settled())

    def committed(self, number: int) -> None:
        """A batch is on the disk, and what failed before it too."""
        while self._waiting and self._waiting[0][0] <= number:
            _, outlet, command = self._waiting.popleft()
            outlet.answer(command, Settled())

    def restore(self, bans: Iterable[tuple[Name, str]]) -> None:
        """Take in the bans that the journal holds."""
        self._banned.update((name, Refusal(BANNED, text)) for name, text in bans)
