"""What the statuses of HTTP mean for an upload and a download."""

import json
from http import HTTPStatus
from typing import Final

import attrs

from rtmcore.client.transfers.states import Input
from rtmcore.wire.http import Headers, header_values

_TEXT_CHARACTERS: Final = 500
_DIGITS: Final = 15
_AGAIN: Final = frozenset(
    {
        HTTPStatus.REQUEST_TIMEOUT,
        HTTPStatus.TOO_EARLY,
        HTTPStatus.INTERNAL_SERVER_ERROR,
        HTTPStatus.BAD_GATEWAY,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
    }
)
"""Statuses after which the same request may succeed: from the server, or from a proxy before it."""

_CODES: Final = {
    HTTPStatus.BAD_REQUEST: "INVALID_ARGUMENT",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "INVALID_ARGUMENT",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "SIZE_OVERFLOW",
    HTTPStatus.TOO_MANY_REQUESTS: "CONCURRENCY_LIMIT_EXCEEDED",
    HTTPStatus.NOT_FOUND: "NOT_EXIST",
    HTTPStatus.GONE: "NOT_EXIST",
}
_SAID: Final = {
    HTTPStatus.UNAUTHORIZED: "The server does not accept the ticket.",
    HTTPStatus.FORBIDDEN: "The token does not permit this.",
    HTTPStatus.NOT_FOUND: "The server does not have the file.",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "The file is larger than the server allows.",
    HTTPStatus.TOO_MANY_REQUESTS: "The user has too many transfers at once.",
    HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE: "The part begins behind the end of the file.",
    HTTPStatus.UNPROCESSABLE_ENTITY: "The bytes that arrived are not those of the file.",
    HTTPStatus.INSUFFICIENT_STORAGE: "The server has no space for the file.",
}


@attrs.frozen
class Verdict:
    """What an answer without success comes to.

    Attributes:
        input: For the table.
        code: The name of the documented code.
        text: Why, one sentence.
        retry_after: Seconds that the server asks to wait; None where it does not.
    """

    input: Input
    code: str
    text: str
    retry_after: float | None


def judge(status: int, headers: Headers, body: bytes) -> Verdict:
    """Judge an answer that is no success.

    Args:
        status: 300 or more, or one that was not expected.
        headers: Of the answer.
        body: Of the answer; a JSON object where the server itself has answered.
    """
    text = _told(body) or _said(status)
    retry_after = _retry_after(headers)
    if status == HTTPStatus.UNAUTHORIZED:
        given = Input.DENIED
    elif status in (HTTPStatus.NOT_FOUND, HTTPStatus.GONE):
        given = Input.GONE
    elif status in _AGAIN or status == HTTPStatus.TOO_MANY_REQUESTS:
        given = Input.BUSY
    else:
        given = Input.REFUSED
    code = next((name for known, name in _CODES.items() if known == status), "FAILURE")
    return Verdict(given, code, text, retry_after)


def told_offset(headers: Headers) -> int | None:
    """The header Upload-Offset; None where there is none that can be read."""
    return _number(header_values(headers, "upload-offset"))


def _number(values: list[str]) -> int | None:
    if len(values) != 1 or not values[0].isdecimal() or not values[0].isascii():
        return None
    return int(values[0]) if len(values[0]) <= _DIGITS else None


def _retry_after(headers: Headers) -> float | None:
    number = _number(header_values(headers, "retry-after"))
    return None if number is None else float(number)


def _told(body: bytes) -> str | None:
    """The sentence in the body of an error, as far as it can be shown."""
    try:
        document = json.loads(body)
        message = document["error"]["message"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    if not isinstance(message, str) or not message.strip():
        return None
    return "".join(each if each.isprintable() else " " for each in message[:_TEXT_CHARACTERS])


def _said(status: int) -> str:
    known = next((text for each, text in _SAID.items() if each == status), None)
    return known or f"The server has answered with the HTTP status {status}."
