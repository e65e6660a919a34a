"""What a publisher asks for, as it goes into a request over HTTP."""

import base64
import enum
import json
import re
import secrets
from typing import Any, Final
from urllib.parse import quote

from rtmcore.errors import InvalidArgument
from rtmcore.limits import HTTP_BODY_BYTES, IDEMPOTENCY_KEY_LENGTH
from rtmsync.http_answers import too_large

_KEY_BYTES: Final = 16
_KEY: Final = re.compile(rf"[!-~]{{1,{IDEMPOTENCY_KEY_LENGTH}}}")


def quoted(name: str, operation: str) -> str:
    """An id as it stands in the path of a request."""
    if not isinstance(name, str) or not name:
        raise InvalidArgument("An id is a text that is not empty.", operation=operation)
    if name in (".", ".."):
        # Programs on the way would take it for a step in the path.
        raise InvalidArgument(f"The id {name!r} cannot stand in the path of a URL.", operation=operation)
    return quote(name, safe="", errors="surrogatepass")


def message_fields(message: str | bytes, code: enum.IntEnum, operation: str) -> dict[str, Any]:
    """The fields of a body that hold a message."""
    if isinstance(message, str):
        return {"payload": message}
    if isinstance(message, bytes | bytearray | memoryview):
        return {"raw": base64.b64encode(message).decode()}
    raise InvalidArgument(
        f"A message is text or bytes, not {type(message).__name__}.", code=code, operation=operation
    )


def written(document: dict[str, Any], operation: str, family: type[enum.IntEnum] | None) -> bytes:
    """The body of a request."""
    try:
        body = json.dumps(document).encode()
    except TypeError:
        raise InvalidArgument("An argument is neither a text nor a number.", operation=operation) from None
    if len(body) > HTTP_BODY_BYTES:
        text = f"The request has {len(body)} bytes as JSON; at most {HTTP_BODY_BYTES} are taken."
        raise too_large(text, operation, family)
    return body


def new_key() -> str:
    """An idempotency key that nobody else has."""
    return secrets.token_hex(_KEY_BYTES)


def question(
    source: str | None,
    destination: str | None,
    channel: str | None,
    start: float | None,
    end: float | None,
) -> list[tuple[str, str]]:
    """The query of a question about the history."""
    named = {"source": source, "destination": destination, "channel": channel, "start": start, "end": end}
    return [(name, str(value)) for name, value in named.items() if value is not None]


def check_key(key: str, operation: str) -> None:
    """See that an idempotency key is one.

    Raises:
        InvalidArgument: It is not.
    """
    if not isinstance(key, str) or not _KEY.fullmatch(key):
        raise InvalidArgument(
            f"An idempotency key has 1 to {IDEMPOTENCY_KEY_LENGTH} visible ASCII characters.",
            operation=operation,
        )
