"""Requests that carry a server key: judged by their heads, carried out, and answered on their connections."""

import json
import re
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final, TypeAlias

from rtmcore.limits import BUSY_RETRY, COMMAND_TIMEOUT, HTTP_IDLE_TIMEOUT, IDEMPOTENCY_KEY_LENGTH
from rtmcore.service.admission import SharedRates
from rtmcore.service.commands.channels import CountMembersOf
from rtmcore.service.commands.event_feeds import TakeEvents
from rtmcore.service.commands.exclusions import Expel, Kick
from rtmcore.service.commands.history import ReadHistory
from rtmcore.service.commands.messages import PublishAs, SendAs
from rtmcore.service.commands.results import Refusal, Trouble
from rtmcore.service.connections import Connection, Cue, Phase
from rtmcore.service.context import NodeContext
from rtmcore.service.departures import Departures
from rtmcore.service.endpoint import bearer
from rtmcore.service.orders import Orders
from rtmcore.service.web.documents import document_of
from rtmcore.service.web.exclusions import Exclusions
from rtmcore.service.web.messages import Messages
from rtmcore.service.web.problems import Problem, late, nothing_here, of_refusal
from rtmcore.service.web.questions import Questions
from rtmcore.service.web.routes import Job, app_of, routes_of
from rtmcore.wire.exchange import HttpBody, HttpHead
from rtmcore.wire.http import Headers, header_values

Authorize: TypeAlias = Callable[[str, str], bool | None]
"""Whether a server key is good for an app; None where the app has no server key or is unknown."""

WebCommand: TypeAlias = SendAs | PublishAs | CountMembersOf | ReadHistory | TakeEvents | Kick | Expel

_KEY: Final = re.compile(r"[\x21-\x7e]+")
_JSON: Final = ("Content-Type", "application/json")
_FRESH: Final = ("Cache-Control", "no-store")


class WebService:
    """Answers requests that carry a server key.

    Args:
        context: The node's common ground.
        departures: Ends connections.
        orders: Knows who waits for bans.
        authorize: Judges server keys.
        history_rates: How often the history is asked about, by whoever it is.
        take_events: Takes what a connection's transport has to say.
    """

    def __init__(
        self,
        context: NodeContext,
        departures: Departures,
        orders: Orders,
        authorize: Authorize,
        history_rates: SharedRates,
        take_events: Callable[[Connection], None],
    ) -> None:
        self._context = context
        self._departures = departures
        self._authorize = authorize
        self._take_events = take_events
        self._begin: dict[str, Callable[[Job, bytes], float]] = {
            **Messages(context).begin,
            **Questions(context, history_rates).begin,
            **Exclusions(context, orders, self._take).begin,
        }
        self._jobs: dict[int, Job] = {}
        self._asked: dict[int, Connection] = {}
        self._number = 0

    # --- Requests -----------------------------------------------------------------

    def take_head(self, connection: Connection, head: HttpHead) -> None:
        """Judge a request by its head, before any of its body is kept."""
        try:
            job = self._judge(connection, head)
        except Problem as problem:
            self._refuse(connection, problem)
            return
        if connection.phase is Phase.HTTP:
            self._departures.detach(connection)
            connection.advance(Cue.SERVE)
        self._jobs[connection.number] = job
        self._wait(connection, HTTP_IDLE_TIMEOUT)
        connection.transport.admit_body()

    def take_body(self, connection: Connection, body: HttpBody) -> None:
        """Carry a request out."""
        job = self._jobs[connection.number]
        self._number += 1
        job.number = self._number
        try:
            patience = self._begin[job.route.operation](job, body.body)
        except Problem as problem:
            self._refuse(connection, problem)
            return
        self._asked[job.number] = connection
        self._wait(connection, patience + COMMAND_TIMEOUT)

    def _judge(self, connection: Connection, head: HttpHead) -> Job:
        path, _, query = head.target.partition("?")
        app = app_of(path)
        known = self._authorize(app, bearer(head.headers))
        if known is None:
            raise nothing_here()
        if not known:
            self._context.note(
                "server key refused",
                {"connection": connection.number, "address": connection.address, "app": app},
            )
            raise Problem(HTTPStatus.UNAUTHORIZED, "The server key is missing or wrong.")
        found = routes_of(path)
        if not found:
            raise nothing_here()
        if self._context.draining or connection.crowded:
            raise Problem(
                HTTPStatus.SERVICE_UNAVAILABLE, "The server is busy or being stopped.", None, BUSY_RETRY
            )
        for route, names in found:
            if route.method == head.method:
                return Job(app, route, names, query, _key(head.headers))
        methods = ", ".join(route.method for route, _ in found)
        raise Problem(HTTPStatus.METHOD_NOT_ALLOWED, f"The methods here: {methods}.", methods=methods)

    # --- Answers ------------------------------------------------------------------

    def answered(self, command: WebCommand, value: object) -> None:
        """Take the engine's answer."""
        number = command.cmid if isinstance(command, ReadHistory) else command.number
        self._take(number, value)

    def _take(self, number: int, value: object) -> None:
        connection = self._asked.pop(number, None)
        job = None if connection is None else self._jobs.get(connection.number)
        if connection is None or job is None or job.number != number:
            return
        if isinstance(value, Refusal):
            if value.code is Trouble.UNAVAILABLE:
                self._context.engine_failed()
            self._refuse(connection, of_refusal(job, value))
        else:
            self._context.engine_answered()
            self._answer(connection, HTTPStatus.OK, document_of(job, value))
        self._take_events(connection)

    def expired(self, connection: Connection) -> None:
        """An idle connection has been idle for too long, or an answer has not come in time."""
        job = self._jobs.get(connection.number)
        if job is None or not job.number:
            self._departures.finish(connection)
            return
        self._asked.pop(job.number, None)
        self._context.engine_failed()
        self._refuse(connection, late(job))
        self._take_events(connection)

    def drain(self) -> None:
        """End what is idle; connections with a request under way end behind its answer."""
        for connection in list(self._context.connections.values()):
            if connection.phase is Phase.SERVING and connection.number not in self._jobs:
                self._departures.finish(connection)

    def forget(self, connection: Connection) -> None:
        """A connection is gone; what it asked for goes on, and nobody hears of it."""
        job = self._jobs.pop(connection.number, None)
        if job is not None:
            self._asked.pop(job.number, None)

    def _refuse(self, connection: Connection, problem: Problem) -> None:
        self._answer(connection, problem.status, problem.document, problem.headers)

    def _answer(
        self,
        connection: Connection,
        status: int,
        document: dict[str, Any],
        headers: list[tuple[str, str]] | None = None,
    ) -> None:
        self._jobs.pop(connection.number, None)
        self._context.count(f"http_{int(status)}")
        body = json.dumps(document).encode() + b"\n"
        connection.transport.answer(
            status, [_JSON, _FRESH, *(headers or ())], body, close=self._context.draining
        )
        connection.pull()
        if connection.phase is Phase.SERVING:
            self._wait(connection, HTTP_IDLE_TIMEOUT)

    def _wait(self, connection: Connection, seconds: float) -> None:
        connection.stage_due = self._context.now + seconds
        self._context.schedule(connection, connection.stage_due)


def _key(headers: Headers) -> str:
    """The idempotency key of a request, marked as such; empty where it has none."""
    keys = header_values(headers, "idempotency-key")
    if not keys:
        return ""
    if len(keys) > 1 or len(keys[0]) > IDEMPOTENCY_KEY_LENGTH or not _KEY.fullmatch(keys[0]):
        raise Problem(
            HTTPStatus.BAD_REQUEST,
            f"Idempotency-Key has 1 to {IDEMPOTENCY_KEY_LENGTH} visible ASCII characters, once.",
        )
    return f"key {keys[0]}"
