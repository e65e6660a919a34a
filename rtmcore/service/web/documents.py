"""What the engine's answers are in JSON."""

import json
from typing import Any, Final

from rtmcore.codes import SendPeerMessageError
from rtmcore.limits import HTTP_BODY_BYTES
from rtmcore.service.commands.channels import Counts
from rtmcore.service.commands.event_feeds import Events, FeedEvent
from rtmcore.service.commands.exclusions import PutOut
from rtmcore.service.commands.history import Kept, KeptEntry
from rtmcore.service.commands.messages import Accepted, Logged, PeerOutcome
from rtmcore.service.commands.results import Settled
from rtmcore.service.web.routes import HISTORY_COUNT, Job

_OUTCOMES: Final = {
    SendPeerMessageError.OK: "message_delivered",
    SendPeerMessageError.PEER_UNREACHABLE: "peer_offline",
    SendPeerMessageError.CACHED_BY_SERVER: "message_cached",
}
_PAGE_BYTES: Final = HTTP_BODY_BYTES - 1024
"""Bytes of messages in one page; the rest is for what stands around them."""
_BETWEEN: Final = len(", ")


def document_of(job: Job, value: object) -> dict[str, Any]:
    """What the engine's answer, which is no refusal, is in JSON."""
    if isinstance(value, PeerOutcome):
        code = SendPeerMessageError(value.code)
        return {"code": _OUTCOMES[code], "id": value.id} if value.id else {"code": _OUTCOMES[code]}
    if isinstance(value, Logged):
        return {"code": "message_sent", "id": value.id}
    if isinstance(value, Accepted):
        return {"code": "message_sent"}
    if isinstance(value, Counts):
        return {"counts": dict(value.counts)}
    if isinstance(value, Kept):
        return {"count": value.count} if job.route.operation == HISTORY_COUNT else _page(value)
    if isinstance(value, Events):
        events = [_event(event) for event in value.events]
        return {"events": events, "lost": value.lost, "left": value.left, "epoch": value.epoch}
    if isinstance(value, PutOut):
        return {"code": "put_out" if value.there else "not_there"}
    assert isinstance(value, Settled)
    return {"code": "done"}


def _event(event: FeedEvent) -> dict[str, Any]:
    if event.channel:
        kind = "Join" if event.began else "Leave"
        return {"channel": event.channel, "user": event.user, "type": kind, "ms": event.at // 1000}
    return {"user": event.user, "type": "Login" if event.began else "Logout", "ms": event.at // 1000}


def _page(kept: Kept) -> dict[str, Any]:
    """As many of the messages as fit into a body; whoever asks goes on behind them."""
    messages: list[dict[str, Any]] = []
    left = _PAGE_BYTES
    for one in kept.messages:
        message = _message(one)
        left -= len(json.dumps(message)) + _BETWEEN
        if left < 0 and messages:
            break
        messages.append(message)
    return {"messages": messages, "count": kept.count}


def _message(one: KeptEntry) -> dict[str, Any]:
    to = "channel" if one.channel else "destination"
    payload = one.body.decode("utf-8", "replace")
    return {"id": one.id, "source": one.source, to: one.destination, "payload": payload, "ms": one.id // 1000}
