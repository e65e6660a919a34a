"""`rtm token`: make a token for a user, or see what is in one."""

import json
import secrets
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import click

from rtmcore.limits import TOKEN_SALT_MAX, TOKEN_SECONDS_DEFAULT, TOKEN_SECONDS_MAX
from rtmsync.cli.credentials import (
    STDIN,
    read_certificates,
    read_claims,
    read_keys,
    read_token,
    scopes_of,
)
from rtmsync.cli.output import emit, printable, say
from rtmsync.exits import ExitCode
from rtmsync.server.access_tokens import AccessToken, make_access_token, parse_access_token
from rtmsync.server.tokens import FORMATS, JWT, format_of, make_token, signing_key


def _parse_scopes(ctx: click.Context, param: click.Parameter, value: str | None) -> dict[str, Any] | None:
    if value is None:
        return None
    try:
        scopes = json.loads(value)
    except ValueError as error:
        raise click.BadParameter(f"not JSON: {error}") from None
    if not isinstance(scopes, dict):
        raise click.BadParameter('not a JSON object such as {"login": true, "join": ["room-*"]}')
    return scopes


def _with_places(
    scopes: Mapping[str, Any] | None, rooms: Sequence[str], channels: Sequence[str]
) -> Mapping[str, Any] | None:
    """The scopes, with the rooms and RTC channels that were named: then for these and nothing else."""
    named = {name: list(patterns) for name, patterns in (("room", rooms), ("rtc", channels)) if patterns}
    for name in named:
        if scopes is not None and name in scopes:
            raise click.UsageError(
                f"--{name} and the {name!r} of --scopes say the same thing: give one of them."
            )
    return {**(scopes or {}), **named} if named else scopes


@click.group(
    "token",
    invoke_without_command=True,
    epilog="""\b
    openssl rand -hex 32 > app.key
    rtm token --user alice --app-id APP_ID --secret-file app.key > alice.token
    rtm token --user alice --room lobby --app-id APP_ID --secret-file app.key > lobby.token""",
)
@click.option("--user", "-u", envvar="RTM_USER_ID", help="The user that the token is for.")
@click.option("--app-id", envvar="RTM_APP_ID", help="The app that the token is for.")
@click.option(
    "--secret-file",
    type=click.Path(path_type=Path),
    envvar="RTM_SECRET_FILE",
    help="File with a key of the app, or its certificate for 006 and 007; without one it is asked for.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(FORMATS),
    default=JWT,
    show_default=True,
    help="A JSON Web Token, or an AccessToken 006 or 007 as Agora's builders make it.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(min=0, max=TOKEN_SECONDS_MAX, min_open=True),
    default=TOKEN_SECONDS_DEFAULT,
    show_default=True,
    help="How long the token is valid.",
)
@click.option(
    "--scopes", callback=_parse_scopes, help="What the user may do, as JSON; everything by default."
)
@click.option(
    "--room",
    "rooms",
    multiple=True,
    help="Room that the user may connect to, and no other; * stands for anything. Can be given more than once.",
)
@click.option(
    "--rtc", "channels", multiple=True, help="RTC channel that the user may join, and no other; see --room."
)
@click.pass_context
def command(
    ctx: click.Context,
    user: str | None,
    app_id: str | None,
    secret_file: Path | None,
    form: str,
    seconds: float,
    scopes: Mapping[str, Any] | None,
    rooms: Sequence[str],
    channels: Sequence[str],
) -> int:
    """Make a token that lets a user log in, and print it. The key has at least 32 bytes.

    Of several keys in the file the newest in force signs; of several certificates the first.
    """
    if ctx.invoked_subcommand is not None:
        return ExitCode.OK
    if user is None:
        raise click.UsageError("Whom is the token for? Give --user NAME, or set RTM_USER_ID.")
    if app_id is None:
        raise click.UsageError("Which app is the token for? Give --app-id ID, or set RTM_APP_ID.")
    granted = _with_places(scopes, rooms, channels)
    now, source = time.time(), STDIN if secret_file is None else secret_file
    if form == JWT:
        key = signing_key(read_keys(source), now)
        say(make_token(key, app=app_id, user=user, now=now, seconds=seconds, scopes=granted))
        return ExitCode.OK
    if granted is not None:
        raise click.UsageError(
            f"A token of the format {form} permits a login to RTM and nothing else: leave out --scopes, --room and "
            "--rtc, or take --format jwt."
        )
    certificate = read_certificates(source)[0]
    salt = 1 + secrets.randbelow(TOKEN_SALT_MAX)
    say(
        make_access_token(
            form, app=app_id, certificate=certificate, user=user, now=now, salt=salt, seconds=seconds
        )
    )
    return ExitCode.OK


@command.command("inspect")
@click.option(
    "--token-file",
    type=click.Path(path_type=Path),
    default=STDIN,
    help="File with the token; standard input by default.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON.")
def inspect(token_file: Path, as_json: bool) -> int:
    """Show what a token says, without the key and so without knowing whether it is genuine.

    Exits with 3 when the token's time is over.
    """
    token = read_token(token_file)
    row, lines = _of_access_token(token) if format_of(token) != JWT else _of_jwt(token)
    if as_json:
        emit(row)
    else:
        for label, value in lines:
            say(f"{label:<10}{value}")
    return ExitCode.AUTH if row["expired"] else ExitCode.OK


_Lines: TypeAlias = list[tuple[str, str]]


def _of_jwt(token: str) -> tuple[dict[str, object], _Lines]:
    header, claims = read_claims(token)
    expires = claims.get("exp")
    left = float(expires) - time.time() if isinstance(expires, int | float) else None
    row = {"format": JWT, "header": header, "claims": claims, **_end(left)}
    return row, _described(header, claims, left)


def _of_access_token(text: str) -> tuple[dict[str, object], _Lines]:
    token = parse_access_token(text)
    left = token.expires - time.time()
    row = {
        "format": token.version,
        "app_id": token.app,
        "users": token.users,
        "issued": token.issued,
        "expires": token.expires,
        "login": token.login,
        **_end(left),
    }
    return row, [
        ("user", _users(token)),
        ("app id", printable(token.app)),
        ("signed", f"with a certificate, version {token.version} (not verified)"),
        ("issued", _moment(token.issued)),
        ("expires", f"{_moment(token.expires)}{_remaining(left)}"),
        ("may", "log in to RTM" if token.login else "nothing here"),
    ]


def _users(token: AccessToken) -> str:
    if token.users is None:
        return "in the signature only"
    return printable(", ".join(token.users)) or "not named"


def _end(left: float | None) -> dict[str, object]:
    return {"expired": left is not None and left <= 0, "seconds_left": left}


def _described(header: Mapping[str, Any], claims: Mapping[str, Any], left: float | None) -> _Lines:
    key = f", key {header['kid']}" if "kid" in header else ""
    scopes = scopes_of(dict(claims))
    return [
        ("user", str(claims.get("sub", "not named"))),
        ("app id", str(claims.get("aud", "not named"))),
        ("signed", f"{header.get('alg', 'with an unknown algorithm')}{key} (not verified)"),
        ("issued", _moment(claims.get("iat"))),
        *([("not before", _moment(claims["nbf"]))] if "nbf" in claims else []),
        ("expires", f"{_moment(claims.get('exp'))}{_remaining(left)}"),
        ("may", "everything" if scopes is None else json.dumps(scopes, ensure_ascii=False)),
    ]


def _moment(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "not said"
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S %Z", time.localtime(value))
    except (OverflowError, ValueError, OSError):
        return f"{value}, which is not a time"


def _remaining(left: float | None) -> str:
    if left is None:
        return ""
    return f" ({-left:.0f} s ago)" if left <= 0 else f" (in {left:.0f} s)"
