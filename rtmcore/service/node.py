"""The node: what a server process does with its connections, without sockets, threads or clocks.

The shape checks, limits, rates and permissions are here; what users share is the engine's, and a node reaches it
by commands only. The driver's turn is always the same:

1. `turn(now, wall)`, once, before anything else;
2. `connection_opened`, `receive_data`, `receive_eof`, `connection_lost` for what the sockets brought;
3. `handle_timer(now)`: silence is judged after everything was read;
4. for each number of `dirty()`: write what `data_to_send` returns, tell `backlog` when what the socket has not
   taken has changed, and close the socket where `is_finished` says so and everything is written;
5. close each socket that `next_event` names, whatever it has not taken.

Each closed socket is told by `connection_lost`, whoever closed it.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterator
from collections.abc import Set as AbstractSet

import attrs

from rtmcore.codes import CloseCode
from rtmcore.limits import (
    CLOSE_HANDSHAKE_TIMEOUT,
    HANDSHAKE_BYTES,
    HELLO_BYTES,
    HELLO_TIMEOUT,
    LATE_TURN,
    SERVER_OUTBOUND_BYTES,
)
from rtmcore.service.admission import Entry
from rtmcore.service.archive import Archive
from rtmcore.service.blobs.giving import TicketGiver
from rtmcore.service.blobs.service import BlobService, BlobSettings
from rtmcore.service.channels import Channels
from rtmcore.service.commands.event_feeds import Record
from rtmcore.service.commands.exclusions import Ban, Unban
from rtmcore.service.commands.names import RTM, Name
from rtmcore.service.commands.sessions import Heard
from rtmcore.service.config import NodeConfig
from rtmcore.service.connections import NEVER, Connection, Phase
from rtmcore.service.context import NodeContext, Note
from rtmcore.service.counts import MemberCounter
from rtmcore.service.data import DataFrames
from rtmcore.service.deadlines import Deadlines
from rtmcore.service.departures import Departures
from rtmcore.service.desk import Desk
from rtmcore.service.endpoint import Observe
from rtmcore.service.engine import EnginePort
from rtmcore.service.feeds import Feeds
from rtmcore.service.grants import TokenVerifier
from rtmcore.service.inputs import Inputs
from rtmcore.service.kinds import SERVED
from rtmcore.service.logins import Logins
from rtmcore.service.media import MediaConnections
from rtmcore.service.orders import Orders, Report
from rtmcore.service.outputs import Outputs
from rtmcore.service.pumps import Pumps
from rtmcore.service.renewals import Renewals
from rtmcore.service.requests import Requests
from rtmcore.service.statistics import Statistics
from rtmcore.service.users import Users
from rtmcore.service.web.service import Authorize, WebService
from rtmcore.wire.transport import TransportState

_AT_THE_DOOR = (Phase.HTTP, Phase.GREETING)
_AT_ONCE_AT_THE_DOOR = HANDSHAKE_BYTES + HELLO_BYTES


def _no_server_keys(app: str, key: str) -> bool | None:
    return None


@attrs.frozen
class CloseConnection:
    """The socket is to be closed now, whatever it has not taken."""

    connection: int


class Node:
    """One server process's logic.

    Args:
        config: The settings.
        port: The engine that holds what users share.
        verify: Decides whether a user may log in.
        secret: Draws the secret of a new session: unpredictable, at most `limits.SECRET_LENGTH_MAX` characters.
        authorize: Judges the server keys of those who send over HTTP; by default there are none.
        observe: Makes the page of the metrics; by default there is none.
        blobs: Where files and images are kept; by default there is no such place.
        note: Told of logins, refusals and connections that are closed; by default nobody is.
    """

    def __init__(
        self,
        config: NodeConfig,
        port: EnginePort,
        verify: TokenVerifier,
        *,
        secret: Callable[[], str],
        authorize: Authorize = _no_server_keys,
        observe: Observe = lambda key: None,
        blobs: BlobSettings | None = None,
        note: Note = lambda what, fields: None,
    ) -> None:
        self._port = port
        self._context = NodeContext(config, port, note)
        self._connections = self._context.connections
        self._feeds = Feeds(self._context)
        self._counter = MemberCounter(self._context)
        self._departures = Departures(self._context, self._feeds)
        close = self._departures.close
        self._pumps = Pumps(self._context, self._feeds, self._counter, close)
        desk = Desk(self._context)
        users = Users(self._context, desk)
        renewals = Renewals(self._context, desk, verify)
        archive = Archive(self._context, desk)
        self._requests = Requests(
            self._context,
            self._feeds,
            self._counter,
            desk,
            users,
            Channels(self._context, desk),
            archive,
            renewals,
            TicketGiver(self._context, desk, None if blobs is None else blobs.office),
            close,
        )
        self._logins = Logins(
            self._context,
            self._feeds,
            self._counter,
            self._pumps,
            self._departures,
            renewals,
            verify,
            secret,
        )
        self._data = DataFrames(self._context, self._feeds, self._departures)
        self._media = MediaConnections(self._context, self._feeds, self._departures)
        self._orders = Orders(self._context)
        self._web = WebService(
            self._context,
            self._departures,
            self._orders,
            authorize,
            archive.history_rates,
            self._take_events,
        )
        self._deadlines = Deadlines(
            self._context,
            self._departures,
            self._logins,
            self._requests,
            self._take_events,
            self._give_up_serving,
        )
        self._blobs = BlobService(self._context, self._departures, blobs, verify, self._take_events)
        self._outputs = Outputs(
            port,
            feeds=self._feeds,
            counter=self._counter,
            departures=self._departures,
            pumps=self._pumps,
            users=users,
            requests=self._requests,
            logins=self._logins,
            data=self._data,
            media=self._media,
            orders=self._orders,
            web=self._web,
            blobs=self._blobs,
        )
        self._inputs = Inputs(
            self._context,
            observe,
            departures=self._departures,
            logins=self._logins,
            pumps=self._pumps,
            requests=self._requests,
            data=self._data,
            media=self._media,
            web=self._web,
            blobs=self._blobs,
        )
        self._events: list[CloseConnection] = []
        self._recorded: set[str] = set()
        # Connections that were heard in this turn.
        self._heard: list[int] = []

    # --- The driver's turn ----------------------------------------------------------

    def turn(self, now: float, wall: int) -> None:
        """Begin a turn: take the time and what the engine has to say. Call `dirty` at the turn's end.

        Where the turn is late by more than `limits.LATE_TURN`, all silences of clients are judged by that much
        more mildly: the node was absent, not they.

        Args:
            now: Monotonic seconds.
            wall: Microseconds since 1970.
        """
        last = self._context.now
        if now - last > LATE_TURN:
            due = self.next_deadline()
            if due is not None:
                self._forgive_absence(now - max(due, last))
        self._context.now = now
        self._context.wall = wall
        self._outputs.drain()
        self._blobs.begin_turn()
        self._blobs.take_answers()

    def connection_opened(self, cid: int, address: str, now: float) -> None:
        """Take a new connection.

        Args:
            cid: Its number, at least 0 and never used before.
            address: The remote address, by which connections are counted before their hello.
            now: Monotonic seconds.
        """
        self._context.now = now
        connection = Connection(cid, address, self._context.dirty, now)
        self._connections[cid] = connection
        entry = self._departures.doorway.enter(address)
        if entry is Entry.SHUT:
            self._departures.finish(connection)
            return
        connection.crowded = entry is Entry.CROWDED
        self._context.schedule(connection, now + HELLO_TIMEOUT)

    def receive_data(self, cid: int, data: bytes, now: float) -> None:
        """Take what was read from a connection. Never raises for what the peer sent.

        Args:
            cid: The connection's number; an unknown one is ignored.
            data: At least one byte.
            now: Monotonic seconds.
        """
        connection = self._connections.get(cid)
        if connection is None or connection.phase is Phase.FINISHED:
            return
        self._context.now = now
        rest = b""
        if connection.phase is Phase.GREETING:
            if self._is_too_much(connection, len(data)):
                return
        elif connection.phase is Phase.HTTP:
            data, rest = data[:_AT_ONCE_AT_THE_DOOR], data[_AT_ONCE_AT_THE_DOOR:]
        connection.absence = 0.0
        self._heard.append(cid)
        connection.transport.receive_data(data, now)
        if connection.silent:
            connection.silent = False
            if connection.session is not None:
                self._context.submit(Heard(connection.session))
        self._inputs.take(connection)
        if rest:
            self.receive_data(cid, rest, now)

    def receive_eof(self, cid: int, now: float) -> None:
        """Take the end of a connection's bytes."""
        connection = self._connections.get(cid)
        if connection is None or connection.phase is Phase.FINISHED:
            return
        self._context.now = now
        connection.transport.receive_eof(now)
        self._inputs.take(connection)

    def connection_lost(self, cid: int, now: float) -> None:
        """A connection's socket is closed. Its session lives on until its keepalive is over."""
        self._context.now = now
        connection = self._connections.pop(cid, None)
        if connection is not None:
            self._departures.detach(connection)
            self._web.forget(connection)
            self._blobs.lost(connection)

    def handle_timer(self, now: float) -> None:
        """Act on what is due. Call it once in each turn, after everything was read."""
        self._context.now = now
        while (connection := self._context.next_due()) is not None:
            if self._deadlines.judge(connection):
                self._events.append(CloseConnection(connection.number))
            due = self._deadlines.next(connection)
            if due < NEVER and connection.number in self._connections:
                self._context.schedule(connection, due)
        self._departures.forget_lost()
        self._port.handle_timer(now, self._context.wall)
        self._blobs.handle_timer()

    def next_deadline(self) -> float | None:
        """When the next turn has to be at the latest, in monotonic seconds; None where there is no need.

        Behind a turn this is later than the turn was, but for one case: where there are more answers of the store of
        files than one turn takes, the next turn is due at once.
        """
        earliest = self._context.next_deadline()
        for part in (self._port, self._counter, self._blobs):
            due = part.next_deadline()
            if due is not None and (earliest is None or due < earliest):
                earliest = due
        return earliest

    def dirty(self) -> Iterator[int]:
        """End a turn: the connections that have something to write or to close, one after the other.

        Those that were heard in this turn come first: they wait for answers. Media connections come last, and so do
        connections that have nothing but data frames. What a driver does about one connection may let another have
        more to say, so a number can come twice.
        """
        dirty, heard = self._context.dirty, self._heard
        while True:
            self._settle()
            if not dirty:
                heard.clear()
                if not self._context.dirty_last:
                    return
                yield from self._dirty_last()
            while dirty:
                if heard:
                    number = heard.pop()
                    if number not in dirty:
                        continue
                    dirty.remove(number)
                else:
                    number = dirty.pop()
                connection = self._connections.get(number)
                if connection is None or self._is_too_slow(connection):
                    continue
                yield number
                if connection.to_read:
                    self._pumps.go_on(connection)

    def _dirty_last(self) -> Iterator[int]:
        """Connections with data frames, and media connections, until another one has something to say."""
        dirty, last = self._context.dirty, self._context.dirty_last
        while last and not dirty:
            number = last.pop()
            connection = self._connections.get(number)
            if connection is None or self._is_too_slow(connection):
                continue
            yield number
            if connection.frames and not connection.blocked:
                last.add(number)
            else:
                self._blobs.go_on(connection)

    def data_to_send(self, cid: int) -> list[bytes]:
        """What is to be written to a connection next; nothing while its socket is blocked."""
        connection = self._connections.get(cid)
        return [] if connection is None else connection.take(self._context.now)

    def backlog(self, cid: int, size: int, now: float) -> None:
        """Take note of how many bytes a connection's socket has not taken.

        Args:
            cid: The connection's number.
            size: Bytes that wait for the socket; 0 where it took everything.
            now: Monotonic seconds.
        """
        connection = self._connections.get(cid)
        if connection is None:
            return
        self._context.now = now
        if size < connection.blocked:
            self._blobs.moved(connection)
        connection.blocked = size
        if connection.frames:
            if size:
                self._data.keep_newest(connection)
            else:
                self._context.dirty_last.add(cid)
        if not size:
            if connection.out or connection.phase is Phase.FINISHED:
                self._context.dirty.add(cid)
            if connection.to_read:
                self._pumps.go_on(connection)
            self._blobs.go_on(connection)

    def wants_data(self, cid: int) -> bool:
        """Whether to read from a connection's socket: not while what came last has not been dealt with.

        It only ever changes for the numbers of `media_connections`; look at it behind each input and each write.
        """
        connection = self._connections.get(cid)
        return connection is None or connection.transport.wants_data

    def linger(self, cid: int, now: float) -> bool:
        """Whether to end only the output of a socket that is finished, and to read on and forget what comes.

        Its client may still be sending, and would not get the answer if the socket were closed: it is closed at the
        client's end, and by `next_event` at the latest.
        """
        connection = self._connections.get(cid)
        if connection is None or not connection.lingers:
            return False
        self._context.now = now
        connection.closing_due = now + CLOSE_HANDSHAKE_TIMEOUT
        self._context.schedule(connection, connection.closing_due)
        return True

    def is_finished(self, cid: int) -> bool:
        """Whether a connection has no more to say, so that its socket is to be closed once all is written."""
        connection = self._connections.get(cid)
        return connection is None or (connection.phase is Phase.FINISHED and not connection.out)

    def next_event(self) -> CloseConnection | None:
        """The next thing that the driver has to do, or None."""
        return self._events.pop(0) if self._events else None

    # --- Looking after the node -------------------------------------------------------

    @property
    def config(self) -> NodeConfig:
        """The settings that are in force."""
        return self._context.config

    def use(self, config: NodeConfig) -> None:
        """Go on with other settings; nobody is sent away. Any thread may call this.

        Rates, the token policy and what the welcome tells count for sessions that begin, sizes and counts for every
        request from now on. ``node``, ``dev`` and ``durability`` have to be as they were.
        """
        self._context.use(config)

    def drain(self, now: float, over: float) -> None:
        """Send everybody away, and let nobody new in.

        All connections are closed now; each client is told to come back at another moment.

        Args:
            now: Monotonic seconds.
            over: Seconds over which the clients' returns are spread, at least 0.
        """
        self._context.now = now
        self._context.draining = True
        self._web.drain()
        self._blobs.drain(now + over)
        going = [each for each in self._connections.values() if each.open]
        for place, connection in enumerate(going):
            retry_after = over * place / len(going)
            self._departures.close(connection, CloseCode.SHUTDOWN, "the server is being stopped", retry_after)

    def ban(self, app: str, user: str, text: str, now: float, report: Report) -> None:
        """Put a user out, and refuse his logins until `unban`.

        Args:
            app: The app id.
            user: The user id.
            text: What he is told, and each login of his from now on.
            now: Monotonic seconds.
            report: Called once, in a later turn perhaps, with what became of it: `Settled` when it is done, or a
                `Refusal`.
        """
        self._context.now = now
        self._orders.submit(Ban(Name(app, RTM, user), text), report)

    def unban(self, app: str, user: str, now: float, report: Report) -> None:
        """Let a user in again, whether he was banned or not; see `ban`."""
        self._context.now = now
        self._orders.submit(Unban(Name(app, RTM, user)), report)

    def record_events(self, apps: Collection[str], now: float) -> None:
        """Record who comes and goes in some apps, and in no other: those whose server keys can take the events.

        Args:
            apps: The app ids.
            now: Monotonic seconds.
        """
        self._context.now = now
        for app in sorted(self._recorded - set(apps)):
            self._context.submit(Record(app, on=False))
        for app in sorted(set(apps) - self._recorded):
            self._context.submit(Record(app, on=True))
        self._recorded = set(apps)

    @property
    def media_connections(self) -> AbstractSet[int]:
        """Numbers of the media connections: a driver reads message sockets before theirs."""
        return self._context.media

    @property
    def draining(self) -> bool:
        """Whether `drain` was called."""
        return self._context.draining

    def stats(self) -> dict[str, int]:
        """Counts by name: what there is now, and what has been since the start. Any thread may ask."""
        # Of copies that are made in one go: another thread may let users come and go meanwhile.
        sessions, feeds = self._context.sessions.copy(), self._feeds.all()
        kinds = Counter(name.kind for name, state in sessions.items() if state.connection is not None)
        return {
            "connections": len(self._connections),
            "connections_before_hello": len(self._departures.doorway),
            "sessions": kinds.total(),
            **{f"sessions_{kind}": kinds[kind] for kind in SERVED},
            "media_connections": len(self._context.media) - self._blobs.connections,
            "transfers": self._blobs.transfers,
            "channels": len(feeds),
            "members": sum(len(feed.members) for feed in feeds),
            "peer_messages_accepted": self._context.statistics.sent,
            "channel_messages_accepted": self._context.statistics.published,
            **self._context.statistics.sums,
        }

    @property
    def statistics(self) -> Statistics:
        """What the node counts."""
        return self._context.statistics

    # --- What connections bring -------------------------------------------------------

    def _take_events(self, connection: Connection) -> None:
        self._inputs.take(connection)

    def _give_up_serving(self, connection: Connection) -> None:
        """A request over HTTP, or a connection between two of them, took too long."""
        if not self._blobs.expired(connection):
            self._web.expired(connection)

    def _is_too_much(self, connection: Connection, size: int) -> bool:
        """Close a connection that says more before its hello than any hello takes."""
        connection.early_bytes += size
        if connection.early_bytes <= HELLO_BYTES:
            return False
        self._departures.close(
            connection, CloseCode.TOO_LARGE, f"more than {HELLO_BYTES} bytes before a hello"
        )
        return True

    # --- What the engine brings -------------------------------------------------------

    def _settle(self) -> None:
        """Take in what the engine says, and what that brings about, until nothing more comes of it."""
        while True:
            self._outputs.drain()
            self._blobs.take_answers()
            behind = self._feeds.behind[:]
            if not behind:
                break
            self._feeds.behind.clear()
            for member in behind:
                self._pumps.want(member.connection, member)
        self._counter.handle_timer(self._context.now)
        self._feeds.settle()

    # --- What time brings -------------------------------------------------------------

    def _forgive_absence(self, seconds: float) -> None:
        """Move all silences by the time that the node itself was late."""
        if seconds > LATE_TURN:
            self._port.shift(seconds)
            for connection in self._connections.values():
                connection.absence += seconds

    def _is_too_slow(self, connection: Connection) -> bool:
        """Close a consumer that has not read for too long; what waits for it is forgotten."""
        if not connection.blocked or connection.measure() <= SERVER_OUTBOUND_BYTES:
            return False
        if connection.transport.state is TransportState.OPEN:
            connection.drop_output()
            text = f"more than {SERVER_OUTBOUND_BYTES} bytes were waiting"
            self._departures.close(connection, CloseCode.SLOW_CONSUMER, text)
        return True
