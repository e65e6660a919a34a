"""The receiving side of peer messages: each once to the application, in order, and acknowledged afterwards."""

from collections import deque
from collections.abc import Callable
from typing import Final

from rtmcore.client.logs import LogReader
from rtmcore.codes import CloseCode, MessageType
from rtmcore.errors import RemoteProtocolError
from rtmcore.limits import ORIGIN_MEMORY, ORIGINS_REMEMBERED, ORIGINS_REMEMBERED_MAX
from rtmcore.models import PeerMessage
from rtmcore.wire.described import read_body
from rtmcore.wire.packets import INVITATION, Ack, InboxEntry, Packet, Sync, Top

KINDS: Final = {int(kind): kind for kind in MessageType}
"""Message types by number; `read_body` knows what to make of others."""

_WINDOWS_HELD: Final = 2


class Inbox:
    """Where this client stands in its user's inbox.

    Three positions count up: what has come in order (`LogReader.last`), what the application has taken
    (`handed`), and what the server was told of. An entry whose origin was seen before is not given out again, nor is
    a signal of an invitation; both count as taken as soon as everything before them is.

    Args:
        emit: Takes the messages for the application.
        ask: Takes questions to the server.
        window: Messages that the server may send ahead of acknowledgements.
        signal: Takes what is not for the application: the signals of call invitations.
    """

    def __init__(
        self,
        emit: Callable[[PeerMessage], None],
        ask: Callable[[Packet], None],
        window: int,
        signal: Callable[[InboxEntry, float], None],
    ) -> None:
        self._emit = emit
        self._signal = signal
        self._ask = ask
        self._window = window
        self._reader: LogReader[InboxEntry] = LogReader(0)
        self._known = False
        self._handed = 0
        self._told = 0
        # Positions given out and not taken; those of doubles are in `_doubles` as well.
        self._given: deque[int] = deque()
        self._doubles: set[int] = set()
        self._origins: set[tuple[str, str, int]] = set()
        # The same with the time of each, oldest first.
        self._origin_times: deque[tuple[float, tuple[str, str, int]]] = deque()

    @property
    def position(self) -> int | None:
        """Up to where the application has taken messages; None before the first welcome."""
        return self._handed if self._known else None

    def welcomed(self, position: int) -> None:
        """A session begins or goes on: the server reads the inbox from a position by itself.

        Args:
            position: What it counts as acknowledged.
        """
        self._known = True
        self._reader.restart(replaying=True)
        self._reader.last = max(self._reader.last, position)
        if not self._given:
            self._handed = max(self._handed, position)
        self._told = position

    def receive(self, entry: InboxEntry, now: float) -> None:
        """Take an entry of the inbox.

        Raises:
            RemoteProtocolError: The server sends far more than the window allows.
        """
        reader = self._reader
        if entry.id <= self._handed:
            # The server does not know that this one was taken: it is told again.
            self._told = min(self._told, entry.id - 1)
        # A replay is complete: where it skips a position, that entry has expired or was flushed.
        prev = reader.last if reader.replaying else entry.prev
        for each in reader.take(entry.id, prev, entry):
            self._give(each, now)
        if reader.gap:
            self._mind_gap(entry, now)

    def top(self, packet: Top, now: float) -> None:
        """The server has read the inbox to its top."""
        if not (self._reader.replaying or self._reader.asked):
            return
        before, _, behind = self._reader.top(packet.id, packet.lost)
        for entry in (*before, *behind):
            self._give(entry, now)
        if not self._given:
            self._handed = self._reader.last

    def handed_over(self, position: int) -> None:
        """The application has taken the messages up to this position."""
        given = self._given
        while given and (given[0] <= position or given[0] in self._doubles):
            self._handed = given.popleft()
            self._doubles.discard(self._handed)

    def acknowledgement(self) -> Ack | None:
        """What the server has to be told now, or None."""
        if self._handed <= self._told:
            return None
        self._told = self._handed
        return Ack(self._handed)

    def _give(self, entry: InboxEntry, now: float) -> None:
        double = self._is_double(entry, now)
        if double or entry.kind == INVITATION:
            if not double:
                # Taken here and now, whatever the application does with the messages before it.
                self._signal(entry, now)
            if not self._given:
                self._handed = entry.id
                return
            self._doubles.add(entry.id)
        else:
            kind, body, description = KINDS.get(entry.kind), entry.body, None
            if kind is None:
                kind, body, description = read_body(entry.kind, body)
            self._emit(PeerMessage(entry.user, kind, body, entry.id, entry.offline, entry.again, description))
        self._given.append(entry.id)
        if len(self._given) > _WINDOWS_HELD * self._window:
            raise RemoteProtocolError(
                f"The server sent more than {_WINDOWS_HELD * self._window} peer messages "
                "without waiting for acknowledgements.",
                close_code=CloseCode.POLICY,
            )

    def _is_double(self, entry: InboxEntry, now: float) -> bool:
        """Whether this origin was seen before; remembers it."""
        if not entry.iid:
            return False
        origins = self._origins
        origin = (entry.user, entry.iid, entry.i)
        if origin in origins:
            return True
        origins.add(origin)
        times = self._origin_times
        times.append((now, origin))
        while len(times) > ORIGINS_REMEMBERED:
            if now - times[0][0] < ORIGIN_MEMORY and len(times) <= ORIGINS_REMEMBERED_MAX:
                break
            origins.discard(times.popleft()[1])
        return False

    def _mind_gap(self, entry: InboxEntry, now: float) -> None:
        reader = self._reader
        if not reader.asked:
            reader.ask()
            self._ask(Sync(reader.last))
        elif reader.held >= self._window:
            # The window is full of what is held, so the top would never come. What came last belongs to the
            # answer, which is in order: nothing before it is missing any more.
            for each in reader.top(entry.id, 0)[2]:
                self._give(each, now)
            reader.replaying = True
