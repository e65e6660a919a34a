"""Names that may not log in, what those who were put out cannot use any more, and who waits for a ban to be on disk."""

from collections import deque
from collections.abc import Iterable, Mapping

from rtmcore.limits import MEDIA_TICKET_SECONDS
from rtmcore.service.commands.exclusions import BANNED, Ban, CheckBearer, ShutOut, Unban
from rtmcore.service.commands.names import Name
from rtmcore.service.commands.results import Refusal, Settled, Trouble
from rtmcore.service.memory.state import Outlet, State

_PUT_OUT = Refusal(Trouble.UNAUTHORIZED, "The user was put out since.")


class Bans:
    """Holds the bans. A ban counts at once; its command is answered when it is committed.

    It also remembers who was kicked when, as long as what was given to him before could be used.

    Args:
        state: What it shares with the other parts.
        outlets: The nodes, which are told of those who are put out.
    """

    def __init__(self, state: State, outlets: Mapping[str, Outlet]) -> None:
        self._state = state
        self._outlets = outlets
        self._banned: dict[Name, Refusal] = {}
        """What claims of banned names are answered."""
        self._waiting: deque[tuple[int, Outlet, Ban | Unban]] = deque()
        """Commands that are not answered yet, with the batch that they are in."""
        self._kicked: dict[Name, tuple[float, int]] = {}
        """When names were kicked, in monotonic seconds and in milliseconds since 1970, the longest ago first."""
        self._forgotten = -1
        """The same of the last that was forgotten too early; whoever was given something before gets it anew."""

    def refusal(self, name: Name) -> Refusal | None:
        """What a claim of this name is to be answered, if it is banned."""
        return self._banned.get(name)

    def has_room(self, name: Name) -> bool:
        """Whether this name can be banned, or its ban be changed."""
        return name in self._banned or len(self._banned) < self._state.caps.bans

    def add(self, outlet: Outlet, command: Ban) -> None:
        """Refuse each claim of a name from now on; its session is over."""
        self._banned[command.name] = Refusal(BANNED, command.text)
        self._tell(command.name, command.text)
        self._record(outlet, command, command.text)

    def kicked(self, name: Name, text: str, now: float, wall: int) -> None:
        """Take note of a name that was kicked: what it was given before is worth nothing any more."""
        kicked = self._kicked
        kicked.pop(name, None)
        kicked[name] = (now, wall // 1000)
        while len(kicked) > 1:
            oldest = next(iter(kicked))
            since, wall_ms = kicked[oldest]
            if now - since <= MEDIA_TICKET_SECONDS:
                if len(kicked) <= self._state.caps.bans:
                    break
                self._forgotten = wall_ms
            del kicked[oldest]
        self._tell(name, text)

    def check(self, outlet: Outlet, command: CheckBearer, now: float, wall: int) -> None:
        """Carry out `CheckBearer`."""
        ban = self._banned.get(command.name)
        _, kicked = self._kicked.get(command.name, (now, -1))
        if ban is not None:
            outlet.answer(command, ban)
        elif command.since <= max(kicked, self._forgotten):
            outlet.answer(command, _PUT_OUT)
        else:
            outlet.answer(command, Settled())

    def lift(self, outlet: Outlet, command: Unban, now: float, wall: int) -> None:
        """Carry out `Unban`."""
        self._banned.pop(command.name, None)
        self._record(outlet, command, None)

    def _tell(self, name: Name, text: str) -> None:
        for outlet in self._outlets.values():
            outlet.outputs.append(ShutOut(name, text))

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
