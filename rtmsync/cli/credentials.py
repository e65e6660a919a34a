"""Tokens and keys on the command line: from a file, the environment or a prompt, never from an argument.

Arguments are visible to everybody on the machine and stay in the history of the shell.
"""

import base64
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import click

from rtmcore.errors import AuthError, InvalidToken
from rtmcore.limits import SETTINGS_BYTES, TOKEN_BYTES
from rtmsync.server.access_tokens import parse_access_token
from rtmsync.server.keyfiles import parse_certificates, parse_keys
from rtmsync.server.tokens import JWT, SCOPES_CLAIM, TokenKey, format_of, make_token, signing_key

STDIN: Final = Path("-")


def read_file(path: Path, what: str, limit: int) -> str:
    """The text of a small file.

    Args:
        path: The file; `-` is standard input, asked for without echo where that is a terminal.
        what: What is in it, for the prompt and for errors.
        limit: Bytes that it may have.

    Raises:
        click.UsageError: It cannot be read, is empty or is too large.
    """
    where = "standard input" if path == STDIN else path
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
            raise click.UsageError(f"The {what} in {where} cannot be read: {error}.") from None
        if len(data) > limit:
            raise click.UsageError(f"The {what} in {where} has more than {limit} bytes.")
    text = text.strip()
    if not text:
        raise click.UsageError(f"There is no {what} in {where}.")
    return text


def read_token(path: Path) -> str:
    """The token in a file."""
    return read_file(path, "token", TOKEN_BYTES)


def read_keys(path: Path) -> tuple[TokenKey, ...]:
    """The keys of an app, as `keyfiles.parse_keys` reads them.

    Raises:
        click.UsageError: The file cannot be read.
        InvalidArgument: A key is not possible.
    """
    return parse_keys(read_file(path, "secret", SETTINGS_BYTES), str(path))


def read_certificates(path: Path) -> tuple[str, ...]:
    """The certificates of an app, one in each line of a file.

    Raises:
        click.UsageError: The file cannot be read.
    """
    return parse_certificates(read_file(path, "certificate", SETTINGS_BYTES))


class Minter:
    """A token provider that makes a fresh token whenever one is needed.

    Args:
        keys: The keys of the app; the newest in force signs.
        app: The app id.
        user: The user id.
    """

    def __init__(self, keys: Sequence[TokenKey], app: str, user: str) -> None:
        self._keys, self._app, self._user = keys, app, user

    def __call__(self, *_: object) -> str:
        """A token that is valid from now on for `limits.TOKEN_SECONDS_DEFAULT` seconds."""
        now = time.time()
        return make_token(signing_key(self._keys, now), app=self._app, user=self._user, now=now)


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
    if format_of(token) != JWT:
        return _user_of_access_token(token)
    try:
        subject = read_claims(token)[1].get("sub")
    except InvalidToken:
        return None
    return subject if isinstance(subject, str) else None


def _user_of_access_token(token: str) -> str | None:
    try:
        users = parse_access_token(token).users
    except AuthError:
        return None
    return users[0] if users else None


def scopes_of(claims: dict[str, Any]) -> object:
    """The scopes in a token's claims; None where it permits all that an ordinary user may do."""
    return claims.get(SCOPES_CLAIM)
