"""Requests about blobs that are under way: who has them, what they wait for, and how they end."""

import json
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import attrs

from rtmcore.limits import (
    HTTP_IDLE_TIMEOUT,
    MEDIA_ANSWERS_PER_TURN,
    MEDIA_IDLE_TIMEOUT,
    MEDIA_TRANSFERS_MAX,
)
from rtmcore.service.blobs.commands import Blob, BlobCommand, BlobKey, BlobPort, BlobValue
from rtmcore.service.blobs.documents import FRESH, JSON
from rtmcore.service.blobs.routes import BlobRoute
from rtmcore.service.blobs.tickets import Ticket
from rtmcore.service.connections import NEVER, Connection, Cue, Phase
from rtmcore.service.context import NodeContext
from rtmcore.service.departures import Departures
from rtmcore.service.web.problems import Problem
from rtmcore.wire.exchange import HttpHead
from rtmcore.wire.http import Headers

Taker: TypeAlias = Callable[[Any, BlobValue], None]


@attrs.define(eq=False)
class Job:
    """A request under way on a connection.

    Attributes:
        connection: The connection.
        route: What is asked for.
        key: Which blob; its id is empty where the request names none.
        head: The request's head.
        ticket: What the request's ticket says; None where it needs none.
        transfer: Whether it counts as a transfer of the ticket's user.
        until: When it ends whatever happens, in monotonic seconds.
        asks: Whether the store or the engine was asked for something.
    """

    connection: Connection
    route: BlobRoute
    key: BlobKey
    head: HttpHead = attrs.field(repr=False)
    ticket: Ticket | None
    transfer: bool = False
    until: float = NEVER
    asks: bool = False


@attrs.define(eq=False)
class Upload(Job):
    """Bytes on their way in.

    Attributes:
        blob: What was known of it at the beginning; None until then.
        named: The offset that the request names.
        received: The offset up to which bytes have come.
        written: The offset up to which the store has them.
        told: The offset that was told last.
        interval: Bytes between two interim responses; 0 for none.
        ended: Whether the body is complete.
        finishing: Whether the store was asked to finish it.
    """

    blob: Blob | None = None
    named: int = 0
    received: int = 0
    written: int = 0
    told: int = 0
    interval: int = 0
    ended: bool = False
    finishing: bool = False


@attrs.define(eq=False)
class Download(Job):
    """Bytes on their way out.

    Attributes:
        begun: Whether the head of the answer was sent.
        next: The offset of the bytes that are read next.
        end: The offset behind the last byte.
        reading: Bytes that the store was asked for.
    """

    begun: bool = False
    next: int = 0
    end: int = 0
    reading: int = 0


class Jobs:
    """The requests under way.

    Args:
        context: The node's common ground.
        departures: Ends connections.
        port: The store; None where there is none, and so no request.
        take_events: Takes what a connection's transport has to say.
    """

    def __init__(
        self,
        context: NodeContext,
        departures: Departures,
        port: BlobPort | None,
        take_events: Callable[[Connection], None],
    ) -> None:
        self.context = context
        self._departures = departures
        self._port = port
        self._take_events = take_events
        self._jobs: dict[int, Job] = {}
        self._asked: dict[int, tuple[Job, Taker]] = {}
        self._numbers = 0
        self._left = MEDIA_ANSWERS_PER_TURN
        self._transfers: dict[tuple[str, str], int] = {}
        self.on_end: list[Callable[[Job], None]] = []
        """Who is told of each request that is over."""
        self.transfers = 0
        """Transfers under way."""
        self.connections: set[int] = set()
        """Connections that ever had a request about blobs: their sockets are served last."""

    def of(self, connection: Connection) -> Job | None:
        """The request under way on a connection."""
        return self._jobs.get(connection.number)

    def all(self) -> list[Job]:
        """All of them."""
        return list(self._jobs.values())

    # --- Beginning ----------------------------------------------------------------

    def begin(self, job: Job) -> None:
        """Take a request in."""
        connection, context = job.connection, self.context
        if connection.phase is Phase.HTTP:
            self._departures.detach(connection)
        connection.advance(Cue.TRANSFER)
        self._jobs[connection.number] = job
        if connection.number not in self.connections:
            self.connections.add(connection.number)
            context.media.add(connection.number)
            connection.serve_last(context.dirty_last)
        self.touch(job)

    def count(self, job: Job, most: int) -> bool:
        """Count a request as a transfer of its user.

        Args:
            job: The request, with a ticket.
            most: Transfers that the user may have at once.

        Returns:
            Whether there was room for it.
        """
        assert job.ticket is not None
        owner = (job.ticket.app, job.ticket.user)
        if self._transfers.get(owner, 0) >= most:
            return False
        self._transfers[owner] = self._transfers.get(owner, 0) + 1
        self.transfers += 1
        job.transfer = True
        return True

    @property
    def full(self) -> bool:
        """Whether the server has as many transfers as it takes."""
        return self.transfers >= MEDIA_TRANSFERS_MAX

    # --- The store ----------------------------------------------------------------

    def next_number(self) -> int:
        """A number for a command."""
        self._numbers += 1
        return self._numbers

    def ask(self, job: Job, command: BlobCommand, number: int, take: Taker) -> None:
        """Hand a command to the store.

        Args:
            job: Who asks.
            command: The command.
            number: Its number.
            take: Takes the answer, with the job, where that is still under way then.
        """
        job.asks = True
        self._asked[number] = (job, take)
        self.tell(command)

    def tell(self, command: BlobCommand) -> None:
        """Hand a command to the store whose answer nobody waits for."""
        assert self._port is not None
        self._port.submit(command, self.context.wall)

    @property
    def behind(self) -> bool:
        """Whether the store may have more to say than was taken in this turn; it wakes nobody for that again."""
        return not self._left

    def begin_turn(self) -> None:
        """Take answers again."""
        self._left = MEDIA_ANSWERS_PER_TURN

    def take_answers(self) -> None:
        """Take what the store has to say, up to a number in each turn.

        Each answer may bring about another command, which a thread of the store answers at once: without this bound
        a fast transfer would never let the turn end, and nobody's messages would be read.
        """
        if self._port is None:
            return
        while self._left and (answer := self._port.next_output()) is not None:
            self._left -= 1
            found = self._asked.pop(answer.number, None)
            if found is None:
                continue
            job, take = found
            if self._jobs.get(job.connection.number) is not job:
                continue
            take(job, answer.value)
            self.attend(job.connection)

    # --- Going on -----------------------------------------------------------------

    def touch(self, job: Job) -> None:
        """A byte has moved, or something else has: the job is alive."""
        connection, context = job.connection, self.context
        connection.stage_due = min(job.until, context.now + MEDIA_IDLE_TIMEOUT)
        context.schedule(connection, connection.stage_due)

    def attend(self, connection: Connection) -> None:
        """Take what a connection's transport has to say, and let the driver look at it, to write and to read on."""
        self._take_events(connection)
        self.context.dirty_last.add(connection.number)

    # --- Ends ---------------------------------------------------------------------

    def answer(
        self,
        job: Job,
        status: int,
        document: dict[str, Any] | None = None,
        headers: Sequence[tuple[str, str]] = (),
        *,
        close: bool = False,
    ) -> None:
        """Answer a request. Call `attend` afterwards, unless the transport's events are being taken anyway.

        Args:
            job: The request.
            status: The status.
            document: The body; None for none.
            headers: Further header fields.
            close: Whether the connection ends behind the answer.
        """
        self.end(job)
        self.respond(job.connection, status, document, headers, close=close)

    def refuse(
        self, job: Job, problem: Problem, headers: Headers | None = None, *, close: bool = False
    ) -> None:
        """Answer a request with what is wrong; see `answer`."""
        self.answer(job, problem.status, problem.document, [*problem.headers, *(headers or ())], close=close)

    def respond(
        self,
        connection: Connection,
        status: int,
        document: dict[str, Any] | None,
        headers: Sequence[tuple[str, str]],
        *,
        close: bool = False,
    ) -> None:
        """Answer the request of a connection whose job is over or was never begun."""
        context = self.context
        context.count(f"blobs_{int(status)}")
        fields = [FRESH, *headers]
        body = b""
        if document is not None:
            fields.append(JSON)
            body = json.dumps(document).encode() + b"\n"
        connection.transport.http.respond(status, fields, body, close=close or context.draining)
        connection.pull()

    def end(self, job: Job) -> None:
        """A request is over, however it ended. Idempotent."""
        connection, context = job.connection, self.context
        if self._jobs.get(connection.number) is not job:
            return
        del self._jobs[connection.number]
        for tell in self.on_end:
            tell(job)
        if job.transfer:
            assert job.ticket is not None
            owner = (job.ticket.app, job.ticket.user)
            self.transfers -= 1
            self._transfers[owner] -= 1
            if not self._transfers[owner]:
                del self._transfers[owner]
        if connection.phase is Phase.TRANSFERRING:
            connection.advance(Cue.SERVE)
            connection.stage_due = context.now + HTTP_IDLE_TIMEOUT
            context.schedule(connection, connection.stage_due)

    def abort(self, job: Job) -> None:
        """End a request in the middle, and its connection."""
        self.end(job)
        job.connection.transport.http.abort()
        self.attend(job.connection)

    def forget(self, connection: Connection) -> None:
        """A connection is over."""
        job = self._jobs.get(connection.number)
        if job is not None:
            self.end(job)
