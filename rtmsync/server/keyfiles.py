"""Files with the keys and certificates of an app: one in each line, so that a second one is a line more."""

import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from rtmcore.errors import InvalidArgument
from rtmcore.limits import SETTINGS_BYTES
from rtmsync.server.tokens import TokenKey

_FIELDS: Final = ("secret", "kid", "algorithm", "not_before", "not_after")


def parse_keys(text: str, place: str) -> tuple[TokenKey, ...]:
    """Read the keys of an app.

    Args:
        text: One key a line: a secret for HS256 as it is, or a JSON object with `secret` (for the asymmetric
            algorithms a PEM key), and where wanted `kid`, `algorithm`, and `not_before` and `not_after`, each
            seconds since 1970 or an ISO 8601 text with its offset from UTC.
        place: Where they stand, for errors.

    Returns:
        The keys in their order.

    Raises:
        InvalidArgument: A key is not possible; the line is named, its text is not shown.
    """
    keys = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            try:
                keys.append(_key(line.strip()))
            except InvalidArgument as error:
                raise InvalidArgument(
                    f"The key in line {number} of {place} cannot be used: {error.message}",
                    operation="token",
                    hint=error.hint,
                ) from None
    if not keys:
        raise InvalidArgument(f"There is no secret in {place}.", operation="token")
    return tuple(keys)


def parse_certificates(text: str) -> tuple[str, ...]:
    """Read the certificates of an app, one a line. Their shape is judged by whoever uses them."""
    return tuple(line.strip() for line in text.splitlines() if line.strip())


def load_text(path: Path, what: str, limit: int = SETTINGS_BYTES) -> str:
    """The text of a small file.

    Args:
        path: The file.
        what: What is in it, for errors.
        limit: Bytes that it may have.

    Raises:
        InvalidArgument: It cannot be read, or is too large.
    """
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
        text = data.decode("utf-8")
    except OSError as error:
        raise _unreadable(f"The {what} {path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise _unreadable(f"The {what} {path} cannot be read: it is not UTF-8.") from None
    if len(data) > limit:
        raise _unreadable(f"The {what} {path} has more than {limit} bytes.")
    return text


def _unreadable(message: str) -> InvalidArgument:
    return InvalidArgument(message, operation="serve")


def _key(line: str) -> TokenKey:
    if not line.startswith("{"):
        return TokenKey(line.encode())
    try:
        described = json.loads(line)
    except (ValueError, RecursionError):
        raise _wrong("it begins like JSON and is none.") from None
    unknown = sorted(set(described) - set(_FIELDS))
    if unknown:
        raise _wrong(f"there is no {unknown[0]!r}; there are {', '.join(_FIELDS)}.")
    secret = _string(described, "secret")
    if secret is None:
        raise _wrong("it has no 'secret'.")
    return TokenKey(
        secret.encode(),
        _string(described, "algorithm") or "HS256",
        _string(described, "kid"),
        _time(described, "not_before"),
        _time(described, "not_after"),
    )


def _string(described: Mapping[str, Any], name: str) -> str | None:
    value = described.get(name)
    if value is None:
        return None
    # JSON can hold half a surrogate pair, which is no text either.
    if not isinstance(value, str) or not value or any("\ud800" <= one <= "\udfff" for one in value):
        raise _wrong(f"its {name!r} is not a text.")
    return value


def _time(described: Mapping[str, Any], name: str) -> float | None:
    value = described.get(name)
    if value is None:
        return None
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e11:
        return float(value)
    try:
        # Before Python 3.11 the letter Z is not understood.
        moment = datetime.fromisoformat(str(value).replace("Z", "+00:00"))
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None or not isinstance(value, str):
        raise _wrong(f"its {name!r} is neither seconds since 1970 nor a time such as 2026-12-31T00:00:00Z.")
    return moment.timestamp()


def _wrong(message: str) -> InvalidArgument:
    return InvalidArgument(message, operation="token")
