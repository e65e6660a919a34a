"""What programs with a server key do over HTTP: send without a session, count members, keep users out."""

import json
import re
from base64 import b64decode
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, Final, TypeAlias
from urllib.parse import parse_qs, unquote

import attrs

from rtmcore.codes import (
    ChannelMemberCountError,
    MessageType,
    SendChannelMessageError,
    SendPeerMessageError,
)
from rtmcore.identifiers import explain_invalid_id
from rtmcore.limits import (
    BAN_REASON_LENGTH,
    BUSY_RETRY,
    COMMAND_TIMEOUT,
    DAY,
    HTTP_CHANNEL_MESSAGE_RATE,
    HTTP_IDLE_TIMEOUT,
    HTTP_PEER_MESSAGE_RATE,
    IDEMPOTENCY_KEY_LENGTH,
    SEND_TIMEOUT,
)
from rtmcore.service.admission import SharedRates
from rtmcore.service.commands import (
    RTM,
    Accepted,
    Ban,
    CountMembersOf,
    Counts,
    Logged,
    Name,
    PeerOutcome,
    PublishAs,
    Refusal,
    SendAs,
    Settled,
    Trouble,
    Unban,
)
from rtmcore.service.connections import SERVICE_PREFIX, Connection, Cue, Phase
from rtmcore.service.context import NodeContext
from rtmcore.service.departures import Departures
from rtmcore.service.orders import Orders
from rtmcore.service.requests import explain_invalid_message
from rtmcore.wire.exchange import HttpBody, HttpHead
from rtmcore.wire.http import header_values

Authorize: TypeAlias = Callable[[str, str], bool | None]
"""Whether a server key is good for an app; None where the app has no server key or is unknown."""

_PATH: Final = re.compile(
    r"/rtm/v1/apps/[^/]+/(?:(?P<what>counts)|bans/(?P<banned>[^/]+)"
    r"|users/(?P<user>[^/]+)/(?P<send>peer_messages|channel_messages))"
)
_BEARER: Final = re.compile(r"[Bb]earer +([\x21-\x7e]+)")
_KEY: Final = re.compile(r"[\x21-\x7e]+")
_JSON: Final = ("Content-Type", "application/json")
_FRESH: Final = ("Cache-Control", "no-store")
_TEXT: Final = int(MessageType.TEXT)
_RAW: Final = int(MessageType.RAW)

_PEER_FIELDS: Final[dict[str, type]] = {
    "destination": str,
    "payload": str,
    "raw": str,
    "offline": bool,
    "history": bool,
    "ttl": float,
    "wait_for_ack": bool,
}
_CHANNEL_FIELDS: Final[dict[str, type]] = {"channel": str, "payload": str, "raw": str, "history": bool}
_BAN_FIELDS: Final[dict[str, type]] = {"reason": str}

_OUTCOMES: Final = {
    SendPeerMessageError.OK: "message_delivered",
    SendPeerMessageError.PEER_UNREACHABLE: "peer_offline",
    SendPeerMessageError.CACHED_BY_SERVER: "message_cached",
}


class _Wrong(Exception):
    """A request is refused.

    Args:
        status: The HTTP status.
        text: One sentence.
        code: The documented code; None where there is none.
        retry_after: Seconds after which another try may succeed.
    """

    def __init__(self, status: int, text: str, code: Any = None, retry_after: float | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.code = code
        self.retry_after = retry_after


@attrs.define(eq=False)
class _Job:
    """A request under way on a connection."""

    app: str
    operation: str
    user: str
    query: str = attrs.field(repr=False)
    key: str = attrs.field(repr=False)
    number: int = 0
    """Of its command; 0 while the body is awaited."""

    @property
    def codes(self) -> Any:
        """The documented codes of the operation; None where it has none."""
        return _CODES.get(self.operation)


_CODES: Final[Mapping[str, Any]] = {
    "peer_messages": SendPeerMessageError,
    "channel_messages": SendChannelMessageError,
    "counts": ChannelMemberCountError,
}
_METHODS: Final[Mapping[str, tuple[str, ...]]] = {
    "peer_messages": ("POST",),
    "channel_messages": ("POST",),
    "counts": ("GET",),
    "bans": ("POST", "DELETE"),
}


class WebService:
    """Answers requests that carry a server key.

    Args:
        context: The node's common ground.
        departures: Ends connections.
        orders: Knows who waits for bans.
        authorize: Judges server keys.
        take_events: Takes what a connection's transport has to say.
    """

    def __init__(
        self,
        context: NodeContext,
        departures: Departures,
        orders: Orders,
        authorize: Authorize,
        take_events: Callable[[Connection], None],
    ) -> None:
        self._context = context
        self._departures = departures
        self._orders = orders
        self._authorize = authorize
        self._take_events = take_events
        self._peer_rates = SharedRates(HTTP_PEER_MESSAGE_RATE)
        self._channel_rates = SharedRates(HTTP_CHANNEL_MESSAGE_RATE)
        self._jobs: dict[int, _Job] = {}
        self._asked: dict[int, Connection] = {}
        self._number = 0

    # --- Requests -----------------------------------------------------------------

    def take_head(self, connection: Connection, head: HttpHead) -> None:
        """Judge a request by its head, before any of its body is kept."""
        try:
            job = self._judge(connection, head)
        except _Wrong as wrong:
            self._refuse(connection, wrong)
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
            patience = self._begin(job, body.body)
        except _Wrong as wrong:
            self._refuse(connection, wrong)
            return
        self._asked[job.number] = connection
        self._wait(connection, patience + COMMAND_TIMEOUT)

    def _judge(self, connection: Connection, head: HttpHead) -> _Job:
        path, _, query = head.target.partition("?")
        found = _PATH.fullmatch(path)
        bearers = [_BEARER.fullmatch(value) for value in header_values(head.headers, "authorization")]
        offered = bearers[0].group(1) if len(bearers) == 1 and bearers[0] is not None else ""
        app = unquote(path.removeprefix(SERVICE_PREFIX).partition("/")[0])
        known = self._authorize(app, offered)
        if known is None:
            raise _Wrong(HTTPStatus.NOT_FOUND, "There is nothing here.")
        if not known:
            raise _Wrong(HTTPStatus.UNAUTHORIZED, "The server key is missing or wrong.")
        if found is None:
            raise _Wrong(HTTPStatus.NOT_FOUND, "There is nothing here.")
        if self._context.draining or connection.crowded:
            raise _Wrong(
                HTTPStatus.SERVICE_UNAVAILABLE, "The server is busy or being stopped.", None, BUSY_RETRY
            )
        operation = found["what"] or found["send"] or "bans"
        if head.method not in _METHODS[operation]:
            raise _Wrong(
                HTTPStatus.METHOD_NOT_ALLOWED, f"The methods here: {', '.join(_METHODS[operation])}."
            )
        keys = header_values(head.headers, "idempotency-key")
        key = keys[0] if keys else ""
        if len(keys) > 1 or len(key) > IDEMPOTENCY_KEY_LENGTH or (keys and not _KEY.fullmatch(key)):
            raise _Wrong(
                HTTPStatus.BAD_REQUEST,
                f"Idempotency-Key has 1 to {IDEMPOTENCY_KEY_LENGTH} visible ASCII characters, once.",
            )
        user = unquote(found["user"] or found["banned"] or "", errors="replace")
        if operation == "bans" and head.method == "DELETE":
            operation = "unban"
        return _Job(app, operation, user, query, key)

    def _begin(self, job: _Job, body: bytes) -> float:
        """Hand a request to the engine; returns the seconds that it may take besides the engine's own."""
        if job.operation != "counts":
            self._check_id(job, job.user, "user id")
        # A request without a key is one of a kind.
        job.key = (
            f"key {job.key}" if job.key else f"{self._context.config.node} {self._context.wall} {job.number}"
        )
        if job.operation == "peer_messages":
            return self._send(job, _fields(job, body, _PEER_FIELDS))
        if job.operation == "channel_messages":
            return self._publish(job, _fields(job, body, _CHANNEL_FIELDS))
        if job.operation == "counts":
            return self._count(job)
        return self._order(job, body)

    def _send(self, job: _Job, fields: dict[str, Any]) -> float:
        to = fields.get("destination", "")
        self._check_id(job, to, "destination")
        kind, message = _message(job, fields, self._context.sizes.message)
        ttl = fields.get("ttl")
        longest = self._context.limits["offline_days"] * DAY
        if ttl is not None and not 0 < ttl <= longest:
            raise _invalid(job, f"ttl is a number of seconds above 0 and at most {longest}.")
        self._admit(job, self._peer_rates)
        self._context.submit(
            SendAs(
                job.number,
                Name(job.app, RTM, job.user),
                job.key,
                to,
                kind,
                message,
                fields.get("offline", False),
                fields.get("wait_for_ack", False),
                SEND_TIMEOUT,
                fields.get("history", False),
                ttl,
            )
        )
        return SEND_TIMEOUT

    def _publish(self, job: _Job, fields: dict[str, Any]) -> float:
        channel = fields.get("channel", "")
        self._check_id(job, channel, "channel id")
        kind, message = _message(job, fields, self._context.sizes.message)
        self._admit(job, self._channel_rates)
        name = Name(job.app, RTM, job.user)
        history = fields.get("history", False)
        self._context.submit(PublishAs(job.number, name, job.key, channel, kind, message, history))
        return 0.0

    def _count(self, job: _Job) -> float:
        most = self._context.sizes.count_channels
        try:
            asked = parse_qs(job.query, max_num_fields=2 * most).get("channels", [])
        except ValueError:
            asked = []
        channels = tuple(dict.fromkeys(name for part in asked for name in part.split("\n") if name))
        if not channels:
            raise _invalid(job, "Name at least one channel: ?channels=ID&channels=ID.")
        if len(channels) > most:
            raise _Wrong(
                HTTPStatus.BAD_REQUEST,
                f"Members of at most {most} channels are counted at once.",
                ChannelMemberCountError.EXCEED_LIMIT,
            )
        for channel in channels:
            self._check_id(job, channel, "channel id")
        self._context.submit(CountMembersOf(job.number, job.app, channels))
        return 0.0

    def _order(self, job: _Job, body: bytes) -> float:
        name, number = Name(job.app, RTM, job.user), job.number
        order: Ban | Unban = Unban(name)
        if job.operation == "bans":
            reason = _fields(job, body or b"{}", _BAN_FIELDS).get("reason", "")
            if len(reason) > BAN_REASON_LENGTH or any(0xD800 <= ord(sign) < 0xE000 for sign in reason):
                raise _invalid(job, f"The reason is a text of at most {BAN_REASON_LENGTH} characters.")
            order = Ban(name, f"The user is banned: {reason}" if reason else "The user is banned.")
        self._orders.submit(order, lambda value: self._take(number, value))
        return 0.0

    def _check_id(self, job: _Job, value: str, what: str) -> None:
        wrong = explain_invalid_id(value, what)
        if wrong is None:
            return
        if job.operation == "peer_messages":
            raise _Wrong(HTTPStatus.BAD_REQUEST, wrong, SendPeerMessageError.INVALID_USER_ID)
        raise _invalid(job, wrong)

    def _admit(self, job: _Job, rates: SharedRates) -> None:
        if not self._context.config.rate_limits:
            return
        bucket = rates.of(job.app)
        wait = bucket.wait(self._context.now)
        if wait:
            raise _Wrong(
                HTTPStatus.TOO_MANY_REQUESTS, "The app sends too often over HTTP.", job.codes.TOO_OFTEN, wait
            )
        bucket.admit(self._context.now)

    # --- Answers ------------------------------------------------------------------

    def answered(self, command: SendAs | PublishAs | CountMembersOf, value: object) -> None:
        """Take the engine's answer."""
        self._take(command.number, value)

    def _take(self, number: int, value: object) -> None:
        connection = self._asked.pop(number, None)
        job = None if connection is None else self._jobs.get(connection.number)
        if connection is None or job is None or job.number != number:
            return
        if isinstance(value, Refusal):
            if value.code is Trouble.UNAVAILABLE:
                self._context.engine_failed()
            self._refuse(connection, _of_refusal(job, value))
        else:
            self._context.engine_answered()
            self._answer(connection, HTTPStatus.OK, _document(value))
        self._take_events(connection)

    def expired(self, connection: Connection) -> None:
        """An idle connection has been idle for too long, or an answer has not come in time."""
        job = self._jobs.get(connection.number)
        if job is None or not job.number:
            self._departures.finish(connection)
            return
        self._asked.pop(job.number, None)
        self._context.engine_failed()
        code = None if job.codes is None else job.codes.TIMEOUT
        self._refuse(
            connection, _Wrong(HTTPStatus.GATEWAY_TIMEOUT, "The engine did not answer in time.", code)
        )
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

    def _refuse(self, connection: Connection, wrong: _Wrong) -> None:
        error: dict[str, Any] = {"message": str(wrong)}
        if wrong.code is not None:
            error.update(family=type(wrong.code).__name__, code=int(wrong.code), name=wrong.code.name)
        headers = []
        if wrong.retry_after is not None:
            error["retry_after"] = wrong.retry_after
            headers.append(("Retry-After", str(max(1, round(wrong.retry_after)))))
        if wrong.status == HTTPStatus.UNAUTHORIZED:
            headers.append(("WWW-Authenticate", "Bearer"))
        self._answer(connection, wrong.status, {"error": error}, headers)

    def _answer(
        self,
        connection: Connection,
        status: int,
        document: dict[str, Any],
        headers: list[tuple[str, str]] | None = None,
    ) -> None:
        self._jobs.pop(connection.number, None)
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


def _invalid(job: _Job, text: str) -> _Wrong:
    """What a request with an invalid field is answered."""
    code: Any = None
    if job.operation == "counts":
        code = ChannelMemberCountError.INVALID_ARGUMENT
    elif job.operation == "peer_messages":
        code = SendPeerMessageError.INVALID_MESSAGE
    elif job.operation == "channel_messages":
        code = SendChannelMessageError.INVALID_MESSAGE
    return _Wrong(HTTPStatus.BAD_REQUEST, text, code)


def _fields(job: _Job, body: bytes, known: Mapping[str, type]) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        raise _invalid(job, "The body is not JSON.") from None
    if not isinstance(document, dict):
        raise _invalid(job, "The body is not a JSON object.")
    for name, value in document.items():
        kind = known.get(name)
        if kind is None:
            raise _invalid(job, f"The body may have the fields {', '.join(known)}, and no other.")
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not (number if kind is float else isinstance(value, kind)):
            raise _invalid(job, f"The field {name} is not of the type {kind.__name__}.")
    return document


def _message(job: _Job, fields: dict[str, Any], most: int) -> tuple[int, bytes]:
    """Kind and body of a message."""
    if ("payload" in fields) is ("raw" in fields):
        raise _invalid(job, "A message has either payload, a text, or raw, bytes in base64.")
    try:
        if "raw" in fields:
            kind, body = _RAW, b64decode(fields["raw"], validate=True)
        else:
            kind, body = _TEXT, fields["payload"].encode()
    except ValueError:
        raise _invalid(job, "The payload is no valid Unicode, or raw is not base64.") from None
    wrong = explain_invalid_message(kind, body, most) if body else "A message sent over HTTP is not empty."
    if wrong is not None:
        raise _invalid(job, wrong)
    return kind, body


def _of_refusal(job: _Job, refusal: Refusal) -> _Wrong:
    """How a refusal of the engine is told."""
    codes = job.codes
    if refusal.code is Trouble.TIMED_OUT:
        text = "The peer did not acknowledge the message in time; it may have got it."
        return _Wrong(HTTPStatus.GATEWAY_TIMEOUT, text, None if codes is None else codes.TIMEOUT)
    code = None if codes is None else codes.FAILURE
    retry = BUSY_RETRY if refusal.retry_after is None else refusal.retry_after
    return _Wrong(
        HTTPStatus.SERVICE_UNAVAILABLE, refusal.text or "The server cannot do this now.", code, retry
    )


def _document(value: object) -> dict[str, Any]:
    """What the engine's answer is in JSON."""
    if isinstance(value, PeerOutcome):
        code = SendPeerMessageError(value.code)
        return {"code": _OUTCOMES[code], "id": value.id} if value.id else {"code": _OUTCOMES[code]}
    if isinstance(value, Logged):
        return {"code": "message_sent", "id": value.id}
    if isinstance(value, Counts):
        return {"counts": dict(value.counts)}
    if isinstance(value, Accepted):
        return {"code": "message_sent"}
    assert isinstance(value, Settled)
    return {"code": "done"}
