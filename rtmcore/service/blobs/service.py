"""Requests about files and images: judged by their heads, carried out with the store, and answered."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final

import attrs

from rtmcore.limits import BUSY_RETRY, MEDIA_IDLE_TIMEOUT, MEDIA_SWEEP_INTERVAL
from rtmcore.service.blobs.bearers import Bearers
from rtmcore.service.blobs.commands import (
    Blob,
    BlobKey,
    BlobPort,
    BlobRefusal,
    BlobTrouble,
    BlobValue,
    CreateBlob,
    FindBlob,
    RemoveBlob,
    SweepBlobs,
)
from rtmcore.service.blobs.documents import (
    Announcement,
    content_headers,
    document_of,
    missing,
    offset_of,
    problem_of,
    read_announcement,
    read_fields,
)
from rtmcore.service.blobs.downloads import Downloads
from rtmcore.service.blobs.jobs import Download, Job, Jobs, Upload
from rtmcore.service.blobs.routes import (
    APPEND,
    DOWNLOAD,
    LOOK,
    REMOVE,
    TICKETS,
    BlobTarget,
    blob_target,
)
from rtmcore.service.blobs.tickets import TicketOffice
from rtmcore.service.blobs.uploads import Uploads
from rtmcore.service.commands.exclusions import CheckBearer, ShutOut
from rtmcore.service.commands.names import RTM, Name
from rtmcore.service.connections import Connection, Phase
from rtmcore.service.context import NodeContext
from rtmcore.service.departures import Departures
from rtmcore.service.endpoint import judge_origin
from rtmcore.service.grants import DOWN, TokenVerifier
from rtmcore.service.web.problems import Problem
from rtmcore.wire.exchange import HttpHead
from rtmcore.wire.http import header_values

_KINDS: Final[dict[str, type[Job]]] = {APPEND: Upload, DOWNLOAD: Download}


@attrs.frozen
class BlobSettings:
    """What a node needs to keep files.

    Attributes:
        port: The store.
        office: Issues and verifies tickets.
        draw: Draws the id of a blob: at least 128 unpredictable bits, as 22 to 64 letters, digits, hyphens and
            underscores. One that begins with a hyphen would be an option to commands.
    """

    port: BlobPort
    office: TicketOffice
    draw: Callable[[], str]


class BlobService:
    """Answers requests about files and images.

    Args:
        context: The node's common ground.
        departures: Ends connections.
        settings: The store and the tickets; None where there are none, and nothing is served here.
        verify: Verifies the tokens of those who ask for a ticket.
        take_events: Takes what a connection's transport has to say.
    """

    def __init__(
        self,
        context: NodeContext,
        departures: Departures,
        settings: BlobSettings | None,
        verify: TokenVerifier,
        take_events: Callable[[Connection], None],
    ) -> None:
        self._context = context
        self._departures = departures
        self._settings = settings
        self._jobs = Jobs(context, departures, None if settings is None else settings.port, take_events)
        self._bearers = None if settings is None else Bearers(context, self._jobs, settings.office, verify)
        self._uploads = Uploads(self._jobs)
        self._downloads = Downloads(self._jobs)
        self._sweep_due: float | None = None
        self._carry_out: dict[str, Callable[[Any], None]] = {
            APPEND: self._uploads.begin,
            LOOK: self._look,
            DOWNLOAD: self._downloads.begin,
            REMOVE: self._find_to_remove,
        }

    @property
    def connections(self) -> int:
        """Connections that had a request about files."""
        return len(self._jobs.connections)

    @property
    def transfers(self) -> int:
        """Uploads and downloads under way."""
        return self._jobs.transfers

    # --- What connections bring ---------------------------------------------------

    def take_head(self, connection: Connection, head: HttpHead) -> bool:
        """Judge a request by its head, before any of its body is kept; False where it is about something else."""
        target = None if self._settings is None else blob_target(head.target)
        if target is None:
            return False
        last = self._jobs.of(connection)
        if last is not None:
            self._jobs.end(last)  # a download whose last bytes wait for the socket
        try:
            job = self._judge(connection, head, target)
        except Problem as problem:
            self._jobs.respond(connection, problem.status, problem.document, problem.headers)
            return True
        self._jobs.begin(job)
        try:
            self._begin(job)
        except Problem as problem:
            self._jobs.refuse(job, problem)
        return True

    def take_body(self, connection: Connection, body: bytes) -> bool:
        """Take the body of a request that was admitted whole; False where it is none of these."""
        job = self._jobs.of(connection)
        if job is None:
            return False
        try:
            fields = read_fields(body, job.route.fields)
            if job.route.operation == TICKETS:
                self._who.give(job, fields)
            else:
                said = read_announcement(fields, self._context.limits["file"])
                self._who.check(job, lambda: self._create(job, said))
        except Problem as problem:
            self._jobs.refuse(job, problem)
        return True

    def take_piece(self, connection: Connection, data: bytes) -> None:
        """Take the next bytes of a body."""
        job = self._jobs.of(connection)
        if isinstance(job, Upload):
            self._uploads.take_piece(job, data)

    def take_end(self, connection: Connection) -> None:
        """A body that came in pieces is complete."""
        job = self._jobs.of(connection)
        if isinstance(job, Upload):
            self._uploads.take_end(job)

    # --- What the engine brings ---------------------------------------------------

    def checked(self, command: CheckBearer, value: object) -> None:
        """Take the engine's answer about who brought or wants a ticket."""
        self._who.checked(command, value)

    def shut_out(self, notice: ShutOut) -> None:
        """A user was banned or kicked: what he transfers ends."""
        problem = Problem(HTTPStatus.FORBIDDEN, notice.text)
        for job in self._jobs.all():
            ticket = job.ticket
            if ticket is None or Name(ticket.app, RTM, ticket.user) != notice.name:
                continue
            if isinstance(job, Upload):
                self._uploads.refuse(job, problem)
            elif isinstance(job, Download):
                self._downloads.refuse(job, problem)
            else:
                self._jobs.refuse(job, problem)
            self._jobs.attend(job.connection)

    # --- What the driver and time bring -------------------------------------------

    def begin_turn(self) -> None:
        """Begin a turn: there is room for more answers of the store."""
        self._jobs.begin_turn()

    def take_answers(self) -> None:
        """Take what the store has to say, as far as a turn goes."""
        self._jobs.take_answers()

    def go_on(self, connection: Connection) -> None:
        """A connection's socket took something, perhaps."""
        job = self._jobs.of(connection)
        if isinstance(job, Download):
            self._downloads.go_on(job)

    def moved(self, connection: Connection) -> None:
        """A connection's socket took bytes that were waiting."""
        job = self._jobs.of(connection)
        if job is not None:
            self._jobs.touch(job)
        elif connection.phase is Phase.FINISHED and connection.number in self._jobs.connections:
            connection.closing_due = self._context.now + MEDIA_IDLE_TIMEOUT

    def finish(self, connection: Connection, unread: bool) -> None:
        """A connection has no more to say; what waits for its socket gets the time that a transfer has.

        Args:
            connection: The connection.
            unread: Whether its client may still be sending.
        """
        connection.lingers = unread
        self._jobs.forget(connection)
        self._departures.finish(connection)
        if connection.number in self._jobs.connections and connection.measure():
            connection.closing_due = self._context.now + MEDIA_IDLE_TIMEOUT

    def expired(self, connection: Connection) -> bool:
        """A request took too long; False where there is none on this connection."""
        job = self._jobs.of(connection)
        if job is None:
            return False
        if isinstance(job, Upload):
            self._uploads.expire(job)
        elif isinstance(job, Download):
            self._downloads.expire(job)
        elif job.asks:
            self._jobs.refuse(job, problem_of(BlobRefusal(BlobTrouble.BROKEN)))
        else:
            self._jobs.refuse(job, Problem(HTTPStatus.REQUEST_TIMEOUT, "The body did not come in time."))
        self._jobs.attend(connection)
        return True

    def handle_timer(self) -> None:
        """Have what has expired swept out, when it is time."""
        if self._settings is None:
            return
        now = self._context.now
        if self._sweep_due is None or now >= self._sweep_due:
            self._sweep_due = now + MEDIA_SWEEP_INTERVAL
            self._jobs.tell(SweepBlobs())

    def next_deadline(self) -> float | None:
        """When `handle_timer` has something to do; at once where answers of the store are left for the next turn."""
        return self._context.now if self._jobs.behind else self._sweep_due

    def drain(self, until: float) -> None:
        """End what is under way at a time; its clients go on after the restart."""
        for job in self._jobs.all():
            job.until = until
            connection = job.connection
            connection.stage_due = min(connection.stage_due, until)
            self._context.schedule(connection, connection.stage_due)

    def lost(self, connection: Connection) -> None:
        """A connection's socket is closed."""
        self._jobs.forget(connection)
        self._jobs.connections.discard(connection.number)
        self._context.media.discard(connection.number)

    @property
    def _in_use(self) -> BlobSettings:
        assert self._settings is not None
        return self._settings

    @property
    def _who(self) -> Bearers:
        assert self._bearers is not None
        return self._bearers

    # --- Who may --------------------------------------------------------------------

    def _judge(self, connection: Connection, head: HttpHead, target: BlobTarget) -> Job:
        origins = header_values(head.headers, "origin")
        host = header_values(head.headers, "host")
        unwelcome = judge_origin(
            self._context.config, host[0] if host else "", origins[0] if origins else None
        )
        if unwelcome is not None:
            raise Problem(unwelcome.status, unwelcome.text)
        route = target.routes.get(head.method)
        if route is None:
            text = f"The methods here: {target.methods}."
            raise Problem(HTTPStatus.METHOD_NOT_ALLOWED, text, methods=target.methods)
        ticket = self._who.judge(route, target.app, head.headers) if route.needs else None
        if self._context.draining or connection.crowded or (route.operation in _KINDS and self._jobs.full):
            text = "The server is busy or being stopped."
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, text, None, BUSY_RETRY)
        kind = _KINDS.get(route.operation, Job)
        return kind(connection, route, BlobKey(target.app, target.id), head, ticket)

    # --- Announcements ----------------------------------------------------------------

    def _begin(self, job: Job) -> None:
        carry_out = self._carry_out.get(job.route.operation)
        if carry_out is None:
            job.connection.transport.http.admit()
        else:
            self._who.check(job, lambda: carry_out(job))

    def _create(self, job: Job, said: Announcement) -> None:
        assert job.ticket is not None
        job.key = BlobKey(job.key.app, self._in_use.draw())
        number = self._jobs.next_number()
        command = CreateBlob(
            number, job.key, job.ticket.user, said.kind, said.size, said.sha256, said.name, said.type
        )
        self._jobs.ask(job, command, number, self._created)

    def _created(self, job: Job, value: BlobValue) -> None:
        if isinstance(value, BlobRefusal):
            self._jobs.refuse(job, problem_of(value))
            return
        assert isinstance(value, Blob)
        path = f"{job.head.target.partition('?')[0]}/{value.key.id}"
        self._jobs.answer(job, HTTPStatus.CREATED, document_of(value), [("Location", path), offset_of(value)])

    # --- Looks and removals -----------------------------------------------------------

    def _look(self, job: Job) -> None:
        assert job.ticket is not None
        self._uploads.interrupt(job.key, job.ticket.user)
        number = self._jobs.next_number()
        self._jobs.ask(job, FindBlob(number, job.key), number, self._looked)

    def _looked(self, job: Job, value: BlobValue) -> None:
        assert job.ticket is not None
        if isinstance(value, BlobRefusal):
            self._jobs.refuse(job, problem_of(value, download=True))
            return
        assert isinstance(value, Blob)
        own = value.user == job.ticket.user
        if value.complete and (own or DOWN in job.ticket.may):
            http = job.connection.transport.http
            self._jobs.end(job)
            self._context.count(f"blobs_{int(HTTPStatus.OK)}")
            http.start(HTTPStatus.OK, content_headers(value), length=value.size, close=self._context.draining)
        elif own and not value.complete:
            headers = [offset_of(value), ("Upload-Length", str(value.size))]
            self._jobs.answer(job, HTTPStatus.NO_CONTENT, headers=headers)
        elif value.complete:
            self._jobs.refuse(job, Problem(HTTPStatus.FORBIDDEN, "The ticket does not permit this."))
        else:
            self._jobs.refuse(job, missing(download=True))

    def _find_to_remove(self, job: Job) -> None:
        assert job.ticket is not None
        self._uploads.interrupt(job.key, job.ticket.user)
        number = self._jobs.next_number()
        self._jobs.ask(job, FindBlob(number, job.key), number, self._found_to_remove)

    def _found_to_remove(self, job: Job, value: BlobValue) -> None:
        assert job.ticket is not None
        if isinstance(value, BlobRefusal):
            self._jobs.refuse(job, problem_of(value))
            return
        assert isinstance(value, Blob)
        if value.user != job.ticket.user:
            forbidden = Problem(HTTPStatus.FORBIDDEN, "Only who has uploaded the file may remove it.")
            self._jobs.refuse(job, forbidden if value.complete else missing())
            return
        number = self._jobs.next_number()
        self._jobs.ask(job, RemoveBlob(number, job.key), number, self._removed)

    def _removed(self, job: Job, value: BlobValue) -> None:
        if isinstance(value, BlobRefusal):
            self._jobs.refuse(job, problem_of(value))
        else:
            self._jobs.answer(job, HTTPStatus.NO_CONTENT)
