"""What the parts of a node share: the time, the engine, the connections, and who has output."""

from collections.abc import Callable, Mapping
from heapq import heappop, heappush
from typing import TypeAlias

from rtmcore.figures import announced_sizes
from rtmcore.limits import COMMAND_TIMEOUT
from rtmcore.service.commands.names import Name, Session
from rtmcore.service.commands.table import Command
from rtmcore.service.config import NodeConfig
from rtmcore.service.connections import NEVER, Connection, SessionState
from rtmcore.service.engine import EnginePort
from rtmcore.service.statistics import Statistics

OF_NO_REQUEST = 0
"""Stands for the request id of a command that the node itself issues."""


Note: TypeAlias = Callable[[str, Mapping[str, object]], None]
"""Takes what has happened, in a word or two, and to whom, by name of the field; never a message or a token."""


class NodeContext:
    """The common ground of a node's parts.

    Args:
        config: The node's settings.
        port: The engine.
        note: Told of what those who look for a mistake want to know; see `Note`.
    """

    def __init__(self, config: NodeConfig, port: EnginePort, note: Note) -> None:
        self.use(config)
        self.now = 0.0
        """Monotonic seconds of the last input."""
        self.wall = 0
        """Microseconds since 1970 of the last turn."""
        self.draining = False
        self.dirty: set[int] = set()
        """Connections that have output."""
        self.dirty_last: set[int] = set()
        """Media connections that have output, and others that have data frames: their turn comes last."""
        self.connections: dict[int, Connection] = {}
        self.media: set[int] = set()
        """Those of them that carry the data frames of rooms."""
        self.sessions: dict[Name, SessionState] = {}
        self.note = note
        self.statistics = Statistics()
        self.count = self.statistics.count
        """Adds to a sum of the statistics."""
        self._port = port
        self._engine_failed: float | None = None
        self._deadlines: list[tuple[float, int]] = []

    def use(self, config: NodeConfig) -> None:
        """Take settings: they count from now on, the rates and what a welcome tells for sessions that begin."""
        self.config = config
        self.rates = config.all_rates
        """The rates that are in force, by name."""
        self.limits = config.all_limits
        """The sizes and counts that are in force, by the names of `capacity.FIGURES`."""
        self.sizes = announced_sizes(self.limits)
        """Those among them that clients keep as well."""
        self.announced = config.announced_limits
        """What a welcome says of all of them."""

    def submit(self, command: Command) -> None:
        """Hand a command to the engine."""
        self._port.submit(command, self.now, self.wall)

    def connection_of(self, session: Session) -> Connection | None:
        """The connection that speaks for a session here, whichever it was when the command was issued."""
        state = self.sessions.get(session.name)
        return state.connection if state is not None and state.fence == session.fence else None

    def connection_at(self, session: Session) -> Connection | None:
        """The connection of a session's own place, where it still speaks for that session."""
        connection = self.connections.get(session.place.connection)
        if connection is None or connection.session is None or connection.session.fence != session.fence:
            return None
        return connection

    # --- Deadlines of connections ---------------------------------------------------

    def schedule(self, connection: Connection, due: float) -> None:
        """Look at a connection at a time at the latest."""
        if due < connection.scheduled:
            connection.scheduled = due
            heappush(self._deadlines, (due, connection.number))

    def next_deadline(self) -> float | None:
        """The earliest time at which a connection has to be looked at."""
        heap = self._deadlines
        while heap:
            due, number = heap[0]
            connection = self.connections.get(number)
            if connection is not None and connection.scheduled == due:
                return due
            heappop(heap)
        return None

    def next_due(self) -> Connection | None:
        """The next connection whose time has come; it has to be scheduled anew."""
        due = self.next_deadline()
        if due is None or due > self.now:
            return None
        _, number = heappop(self._deadlines)
        connection = self.connections[number]
        connection.scheduled = NEVER
        return connection

    # --- Whether the engine can be relied on --------------------------------------

    def engine_failed(self) -> None:
        """The engine could not carry out a command, or did not answer in time."""
        self._engine_failed = self.now

    def engine_answered(self) -> None:
        """The engine carried out a command."""
        self._engine_failed = None

    @property
    def engine_available(self) -> bool:
        """False for some seconds after a failure, unless an answer came since: then it is worth another try."""
        return self._engine_failed is None or self.now - self._engine_failed > COMMAND_TIMEOUT
