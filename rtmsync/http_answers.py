"""What a server's answers over HTTP are in Python: documents, or the exceptions of a client."""

import contextlib
import enum
import json
from typing import Any, Final

from rtmcore.codes import (
    ChannelMemberCountError,
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


def late(operation: str, family: type[enum.IntEnum] | None) -> RtmError:
    """There was no answer in time."""
    text = "The server did not answer in time; it may have done it, or do it later."
    if family is None:
        return RequestTimeout(text, operation=operation)
    return error_for(family["TIMEOUT"], text, operation=operation)


def understood(answer: HttpResponse, operation: str) -> dict[str, Any]:
    """The document of an answer.

    Raises:
        RtmError: It is a refusal, or not from such a server.
    """
    try:
        document = json.loads(answer.body)
        error = document.get("error")
    except (ValueError, AttributeError, RecursionError):
        document, error = {}, {"message": f"HTTP {answer.status}"}
    if answer.status == 200 and error is None and isinstance(document, dict):
        return document
    found = error if isinstance(error, dict) else {}
    text = str(found.get("message", f"HTTP {answer.status}"))
    retry = found.get("retry_after")
    retry_after = float(retry) if isinstance(retry, int | float) else None
    family = _FAMILIES.get(str(found.get("family")))
    documented: RtmError | None = None
    if family is not None:
        with contextlib.suppress(ValueError, KeyError):
            code = family[str(found.get("name"))]
            documented = error_for(code, text, operation=operation, retry_after=retry_after)
    if documented is not None:
        raise documented
    if answer.status == 401:
        raise NotAuthorized(text, operation=operation, hint="Check the server key.")
    if answer.status == 404:
        raise InvalidAppId(
            f"{text} Perhaps the server does not hold the app id, or no server key for it.",
            operation=operation,
        )
    if answer.status == 400:
        raise InvalidArgument(text, operation=operation)
    if answer.status == 504:
        raise RequestTimeout(text, operation=operation)
    raise ServerFailure(text, operation=operation, retry_after=retry_after)
