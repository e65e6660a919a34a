"""Who may do something about files: tickets that are given over HTTP, and what they are worth when they are used."""

import re
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final, TypeAlias

from rtmcore.codes import UploadMediaError
from rtmcore.errors import AuthError
from rtmcore.identifiers import explain_invalid_id, is_valid_app_id
from rtmcore.limits import BUSY_RETRY, COMMAND_TIMEOUT, TOKEN_BYTES
from rtmcore.service.admission import NameRates
from rtmcore.service.blobs.jobs import Job, Jobs
from rtmcore.service.blobs.routes import BlobRoute
from rtmcore.service.blobs.tickets import BadTicket, Ticket, TicketOffice
from rtmcore.service.commands.exclusions import BANNED, CheckBearer
from rtmcore.service.commands.names import RTM, Name
from rtmcore.service.commands.results import Refusal, Trouble
from rtmcore.service.config import HTTP_TICKETS
from rtmcore.service.context import NodeContext
from rtmcore.service.grants import Grant, TokenVerifier, login_code
from rtmcore.service.web.problems import Problem, nothing_here
from rtmcore.wire.http import Headers, header_values

GoOn: TypeAlias = Callable[[], None]

_BEARER: Final = re.compile(r"[Bb]earer +([\x21-\x7e]+)")


class Bearers:
    """Gives tickets to those who have a token, and judges those who bring a ticket.

    Args:
        context: The node's common ground.
        jobs: The requests under way.
        office: Issues tickets and verifies them.
        verify: Verifies tokens.
    """

    def __init__(self, context: NodeContext, jobs: Jobs, office: TicketOffice, verify: TokenVerifier) -> None:
        self._context = context
        self._jobs = jobs
        self._office = office
        self._verify = verify
        self._rates = NameRates(context.rates[HTTP_TICKETS])
        self._asked: dict[int, tuple[Job, GoOn]] = {}

    # --- Tickets that are brought -----------------------------------------------------

    def judge(self, route: BlobRoute, app: str, headers: Headers) -> Ticket:
        """Judge the ticket of a request, as far as it says it all itself; `check` asks for the rest.

        Raises:
            Problem: There is none, it is not good, or does not permit this.
        """
        try:
            ticket = self._office.verify(_bearer(headers) or "", app, self._context.wall // 1000)
        except BadTicket as error:
            raise Problem(HTTPStatus.UNAUTHORIZED, str(error)) from None
        if not set(route.needs) & set(ticket.may):
            raise Problem(HTTPStatus.FORBIDDEN, "The ticket does not permit this.")
        return ticket

    def check(self, job: Job, go_on: GoOn) -> None:
        """Go on with a request where the user of its ticket was not put out since that was given.

        Args:
            job: The request, with a ticket.
            go_on: Called where all is well; it may raise `Problem`.
        """
        assert job.ticket is not None
        self._ask(job, job.ticket.user, job.ticket.issued, go_on)

    def checked(self, command: CheckBearer, value: object) -> None:
        """Take the engine's answer."""
        job, go_on = self._asked.pop(command.number)
        if self._jobs.of(job.connection) is not job:
            return
        job.asks = False
        try:
            if isinstance(value, Refusal):
                raise self._refused(value)
            self._context.engine_answered()
            self._jobs.touch(job)
            go_on()
        except Problem as problem:
            self._jobs.refuse(job, problem)
        self._jobs.attend(job.connection)

    def _ask(self, job: Job, user: str, since: int, go_on: GoOn) -> None:
        context, connection = self._context, job.connection
        number = self._jobs.next_number()
        self._asked[number] = (job, go_on)
        job.asks = True
        connection.stage_due = min(job.until, context.now + COMMAND_TIMEOUT)
        context.schedule(connection, connection.stage_due)
        context.submit(CheckBearer(number, Name(job.key.app, RTM, user), since))

    def _refused(self, refusal: Refusal) -> Problem:
        if refusal.code is BANNED:
            return Problem(HTTPStatus.FORBIDDEN, refusal.text)
        if refusal.code is Trouble.UNAUTHORIZED:
            text = "The ticket is not good any more: its user was put out. Ask for another one."
            return Problem(HTTPStatus.UNAUTHORIZED, text)
        self._context.engine_failed()
        retry = BUSY_RETRY if refusal.retry_after is None else refusal.retry_after
        return Problem(HTTPStatus.SERVICE_UNAVAILABLE, refusal.text, UploadMediaError.FAILURE, retry)

    # --- Tickets that are asked for ---------------------------------------------------

    def give(self, job: Job, fields: dict[str, Any]) -> None:
        """Answer a request for a ticket.

        Args:
            job: The request.
            fields: Those of its body.

        Raises:
            Problem: There is no ticket for whoever asks.
        """
        user = fields.get("user", "")
        wrong = explain_invalid_id(user, "user id")
        if wrong is not None:
            raise Problem(HTTPStatus.BAD_REQUEST, wrong, UploadMediaError.INVALID_ARGUMENT)
        grant = self._verified(job, user)
        self._admit(Name(job.key.app, RTM, user))
        later_ms = (
            self._context.wall // 1000 + 1
        )  # than any kick until now: those who are not banned are welcome
        self._ask(job, user, later_ms, lambda: self._issue(job, user, grant))

    def _verified(self, job: Job, user: str) -> Grant:
        app = job.key.app
        if not is_valid_app_id(app):
            raise nothing_here()
        token = _bearer(job.head.headers)
        if token is not None and len(token) > TOKEN_BYTES:
            raise Problem(HTTPStatus.UNAUTHORIZED, f"The token is longer than {TOKEN_BYTES} bytes.")
        try:
            grant = self._verify(app, user, token, self._context.wall // 1000)
        except AuthError as error:
            unknown = login_code(error).name == "INVALID_APP_ID"
            status = HTTPStatus.NOT_FOUND if unknown else HTTPStatus.UNAUTHORIZED
            raise Problem(status, error.message) from None
        if not grant.may_log_in(RTM, ""):
            raise Problem(HTTPStatus.UNAUTHORIZED, "The token does not let the user log in.")
        if not grant.transfers:
            raise Problem(HTTPStatus.FORBIDDEN, "The token permits neither uploads nor downloads.")
        return grant

    def _admit(self, name: Name) -> None:
        context = self._context
        if not context.config.rate_limits:
            return
        self._rates.use(context.rates[HTTP_TICKETS])
        wait = self._rates.admit(name, context.now)
        if wait:
            context.statistics.rate_limited += 1
            text = "The user asks for tickets too often; one is good for many transfers."
            raise Problem(HTTPStatus.TOO_MANY_REQUESTS, text, None, wait)

    def _issue(self, job: Job, user: str, grant: Grant) -> None:
        now_ms = self._context.wall // 1000
        text, ticket = self._office.issue(job.key.app, user, grant, now_ms)
        document = {"ticket": text, "expires": ticket.expires, "now": now_ms, "may": list(ticket.may)}
        self._jobs.answer(job, HTTPStatus.CREATED, document)


def _bearer(headers: Headers) -> str | None:
    """The token or ticket that a request brings; None without one, and empty where it is none that could be good."""
    found = header_values(headers, "authorization")
    if not found:
        return None
    bearer = _BEARER.fullmatch(found[0])
    return bearer.group(1) if len(found) == 1 and bearer is not None else ""
