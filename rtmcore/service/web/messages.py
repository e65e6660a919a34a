"""Messages over HTTP: to a user, and to a channel."""

from base64 import b64decode
from typing import Any, Final

from rtmcore.codes import MessageType
from rtmcore.limits import (
    DAY,
    SEND_TIMEOUT,
)
from rtmcore.service.admission import SharedRates
from rtmcore.service.commands.messages import PublishAs, SendAs
from rtmcore.service.commands.names import RTM, Name
from rtmcore.service.config import HTTP_PUBLISHES, HTTP_SENDS
from rtmcore.service.context import NodeContext
from rtmcore.service.requests import explain_invalid_message
from rtmcore.service.web.admission import admit
from rtmcore.service.web.problems import invalid
from rtmcore.service.web.reading import check_id, read_fields
from rtmcore.service.web.routes import CHANNEL_MESSAGES, PEER_MESSAGES, Job

_TEXT: Final = int(MessageType.TEXT)
_RAW: Final = int(MessageType.RAW)


class Messages:
    """Sends messages for those who have a server key.

    Args:
        context: The node's common ground.
    """

    def __init__(self, context: NodeContext) -> None:
        self._context = context
        self._peer_rates = SharedRates(context.rates[HTTP_SENDS])
        self._channel_rates = SharedRates(context.rates[HTTP_PUBLISHES])
        self.begin = {PEER_MESSAGES: self._send, CHANNEL_MESSAGES: self._publish}
        """What carries out each operation; returns the seconds that it may take besides the engine's own."""

    def _send(self, job: Job, body: bytes) -> float:
        check_id(job, job.names["user"], "user id")
        fields = read_fields(job, body)
        to = fields.get("destination", "")
        check_id(job, to, "destination")
        kind, message = _message(job, fields, self._context.sizes.message)
        ttl = fields.get("ttl")
        longest = self._context.limits["offline_days"] * DAY
        if ttl is not None and not 0 < ttl <= longest:
            raise invalid(job, f"ttl is a number of seconds above 0 and at most {longest}.")
        admit(self._context, job, self._peer_rates, HTTP_SENDS)
        self._context.submit(
            SendAs(
                job.number,
                Name(job.app, RTM, job.names["user"]),
                self._unique_key(job),
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

    def _publish(self, job: Job, body: bytes) -> float:
        check_id(job, job.names["user"], "user id")
        fields = read_fields(job, body)
        channel = fields.get("channel", "")
        check_id(job, channel, "channel id")
        kind, message = _message(job, fields, self._context.sizes.message)
        admit(self._context, job, self._channel_rates, HTTP_PUBLISHES)
        name = Name(job.app, RTM, job.names["user"])
        history = fields.get("history", False)
        self._context.submit(
            PublishAs(job.number, name, self._unique_key(job), channel, kind, message, history)
        )
        return 0.0

    def _unique_key(self, job: Job) -> str:
        """The key of a message, which makes its origin: without one in the request, it is one of a kind."""
        return job.key or f"{self._context.config.node} {self._context.wall} {job.number}"


def _message(job: Job, fields: dict[str, Any], most: int) -> tuple[int, bytes]:
    """Kind and body of a message."""
    if ("payload" in fields) is ("raw" in fields):
        raise invalid(job, "A message has either payload, a text, or raw, bytes in base64.")
    try:
        if "raw" in fields:
            kind, body = _RAW, b64decode(fields["raw"], validate=True)
        else:
            kind, body = _TEXT, fields["payload"].encode()
    except ValueError:
        raise invalid(job, "The payload is no valid Unicode, or raw is not base64.") from None
    wrong = explain_invalid_message(kind, body, most) if body else "A message sent over HTTP is not empty."
    if wrong is not None:
        raise invalid(job, wrong)
    return kind, body
