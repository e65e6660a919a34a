"""What a server's answers over HTTP are in Python: documents, or the exceptions of a client."""

import contextlib
import enum
import json
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final, TypeVar

from rtmcore.codes import (
    ChannelMemberCountError,
    MessageType,
    QueryPeersOnlineError,
    SendChannelMessageError,
    SendPeerMessageError,
)
from rtmcore.errors import (
    InvalidAppId,
    InvalidArgument,
    NotAuthorized,
    RequestTimeout,
    RtmError,
    ServerFailure,
    error_for,
)
from rtmcore.models import HistoricalMessage, HistoryPage, MembershipEvent, UserEvent
from rtmcore.wire.exchange import HttpResponse

_FAMILIES: Final[dict[str, type[enum.IntEnum]]] = {
    family.__name__: family
    for family in (
        SendPeerMessageError,
        SendChannelMessageError,
        ChannelMemberCountError,
        QueryPeersOnlineError,
    )
}
_TELLING: Final = (
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.UNAUTHORIZED,
    HTTPStatus.NOT_FOUND,
    HTTPStatus.GATEWAY_TIMEOUT,
)
"""What these say is plain, whoever says it."""

Found = TypeVar("Found")


def late(operation: str, family: type[enum.IntEnum] | None) -> RtmError:
    """There was no answer in time."""
    text = "The server did not answer in time; it may have done it, or do it later."
    if family is None:
        return RequestTimeout(text, operation=operation)
    return error_for(family["TIMEOUT"], text, operation=operation)


def too_large(text: str, operation: str, family: type[enum.IntEnum] | None) -> RtmError:
    """A request has too many bytes."""
    code = None if family is None else family.__members__.get("INVALID_MESSAGE")
    return InvalidArgument(text, code=code, operation=operation, hint="Send less, or in several messages.")


def understood(
    answer: HttpResponse, operation: str, family: type[enum.IntEnum] | None, read: Callable[[Any], Found]
) -> Found:
    """What an answer says.

    Args:
        answer: The answer.
        operation: Name of the method, for the error.
        family: The operation's codes, or None where it has none.
        read: Takes the document apart; fails where that has another form than the protocol says.

    Raises:
        RtmError: It is a refusal, or not from such a server.
    """
    try:
        document = json.loads(answer.body)
        error = document.get("error")
        if answer.status == HTTPStatus.OK and error is None:
            return read(document)
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError):
        error = None
    found = error if isinstance(error, dict) else {}
    if answer.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        raise too_large(
            "The request is larger than the server, or a proxy before it, takes.", operation, family
        )
    if answer.status == HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE:
        raise InvalidArgument("The ids of the request are longer than the server takes.", operation=operation)
    if "message" not in found and answer.status not in _TELLING:
        raise ServerFailure(
            f"HTTP {answer.status}, with an answer that is not one of an RTM server.",
            operation=operation,
            hint="Check the URL, and what stands between: a proxy or another program may have answered.",
        )
    text = str(found.get("message", f"HTTP {answer.status}."))
    retry = found.get("retry_after")
    retry_after = float(retry) if isinstance(retry, int | float) else None
    named = _FAMILIES.get(str(found.get("family")))
    documented: RtmError | None = None
    if named is not None:
        with contextlib.suppress(ValueError, KeyError):
            code = named[str(found.get("name"))]
            documented = error_for(code, text, operation=operation, retry_after=retry_after)
    if documented is not None:
        raise documented
    if answer.status == HTTPStatus.UNAUTHORIZED:
        raise NotAuthorized(text, operation=operation, hint="Check the server key.")
    if answer.status == HTTPStatus.NOT_FOUND:
        raise InvalidAppId(
            f"{text} Perhaps the server does not hold the app id, or no server key for it.",
            operation=operation,
        )
    if answer.status == HTTPStatus.BAD_REQUEST:
        raise InvalidArgument(text, operation=operation)
    if answer.status == HTTPStatus.GATEWAY_TIMEOUT:
        raise RequestTimeout(text, operation=operation)
    raise ServerFailure(text, operation=operation, retry_after=retry_after)


# --- What answers say -------------------------------------------------------------


def message_id(answer: Any) -> int:
    """The id of a message that was published."""
    return int(answer["id"])


def member_counts(answer: Any) -> dict[str, int]:
    """How many members each channel has."""
    return {str(name): int(count) for name, count in answer["counts"].items()}


def history_page(answer: Any) -> HistoryPage:
    """A page of the history."""
    return HistoryPage(tuple(_kept(one) for one in answer["messages"]), int(answer["count"]))


def history_count(answer: Any) -> int:
    """How many messages are kept."""
    return int(answer["count"])


def was_there(answer: Any) -> bool:
    """Whether there was anybody to be put out."""
    return bool(answer["code"] == "put_out")


def done(answer: Any) -> None:
    """Nothing but that it is done."""
    answer["code"]


def user_event(one: Any) -> UserEvent:
    """One event of the feed of users."""
    return UserEvent(str(one["user"]), one["type"] == "Login", one["ms"] / 1000)


def membership_event(one: Any) -> MembershipEvent:
    """One event of the feed of channels."""
    return MembershipEvent(str(one["channel"]), str(one["user"]), one["type"] == "Join", one["ms"] / 1000)


def _kept(one: Any) -> HistoricalMessage:
    channel = "channel" in one
    to = one["channel" if channel else "destination"]
    return HistoricalMessage(
        str(one["source"]), str(to), channel, MessageType.TEXT, str(one["payload"]).encode(), int(one["id"])
    )
