"""Tokens and keys on the command line: from a file, the environment or a prompt, never from an argument.

Arguments are visible to everybody on the machine and stay in the history of the shell.
"""

import base64
import json
import sys
import time
from pathlib import Path
from typing import Any, Final

import click

from rtmcore.errors import InvalidToken
from rtmcore.limits import TOKEN_BYTES
from rtmsync.server.tokens import SCOPES_CLAIM, TokenKey, make_token

STDIN: Final = Path("-")
_KEY_FILE_BYTES: Final = 64 * 1024


def read_file(path: Path, what: str, limit: int) -> str:
    """The text of a small file.

    Args:
        path: The file; `-` is standard input, asked for without echo where that is a terminal.
        what: What is in it, for the prompt and for errors.
        limit: Bytes that it may have.

    Raises:
        click.UsageError: It cannot be read, is empty or is too large.
    """
    if path == STDIN and sys.stdin.isatty():
        text = str(click.prompt(what.capitalize(), hide_input=True, err=True))
    else:
        try:
            if path == STDIN:
                data = sys.stdin.buffer.read(limit + 1)
            else:
                with path.open("rb") as file:
                    data = file.read(limit + 1)
            text = data.decode("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise click.UsageError(f"The {what} in {path} cannot be read: {error}.") from None
        if len(data) > limit:
            raise click.UsageError(f"The {what} in {path} has more than {limit} bytes.")
    text = text.strip()
    if not text:
        raise click.UsageError(f"There is no {what} in {path}.")
    return text


def read_token(path: Path) -> str:
    """The token in a file."""
    return read_file(path, "token", TOKEN_BYTES)


def read_keys(path: Path) -> tuple[TokenKey, ...]:
    """The keys of an app, one in each line of a file. The first one signs, all of them verify.

    Raises:
        click.UsageError: The file cannot be read.
        InvalidArgument: A key is too short.
    """
    lines = read_file(path, "secret", _KEY_FILE_BYTES).splitlines()
    return tuple(TokenKey(line.strip().encode()) for line in lines if line.strip())


class Minter:
    """A token provider that makes a fresh token whenever one is needed.

    Args:
        key: The key to sign with.
        app: The app id.
        user: The user id.
    """

    def __init__(self, key: TokenKey, app: str, user: str) -> None:
        self._key, self._app, self._user = key, app, user

    def __call__(self, *_: object) -> str:
        """A token that is valid from now on for `limits.TOKEN_SECONDS_DEFAULT` seconds."""
        return make_token(self._key, app=self._app, user=self._user, now=time.time())


def read_claims(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a JSON Web Token says, unverified: its header and its claims.

    Raises:
        InvalidToken: It is not a JSON Web Token.
    """
    parts = token.split(".")
    if len(token) > TOKEN_BYTES or len(parts) != 3:
        raise InvalidToken(
            "This is not a JSON Web Token: it does not have three parts.", operation="token inspect"
        )
    header, claims = (_object(part) for part in parts[:2])
    return header, claims


def _object(part: str) -> dict[str, Any]:
    try:
        value = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise InvalidToken(
            "This is not a JSON Web Token: a part of it is not an object.", operation="token inspect"
        )
    return value


def user_of(token: str) -> str | None:
    """The user that a token was made for, or None where it does not say."""
    try:
        subject = read_claims(token)[1].get("sub")
    except InvalidToken:
        return None
    return subject if isinstance(subject, str) else None


def scopes_of(claims: dict[str, Any]) -> object:
    """The scopes in a token's claims; None where it permits all that an ordinary user may do."""
    return claims.get(SCOPES_CLAIM)
