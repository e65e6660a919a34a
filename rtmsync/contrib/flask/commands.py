"""`flask rtm`: the listener, and what one wants to try by hand."""

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final, TypeVar

import click
from flask import current_app
from flask.cli import AppGroup

from rtmcore.errors import RtmError
from rtmcore.limits import MESSAGE_BYTES_MAX, TOKEN_SECONDS_DEFAULT, TOKEN_SECONDS_MAX
from rtmsync.contrib.checking import try_settings
from rtmsync.contrib.flask.extension import RTMState, state_of
from rtmsync.contrib.serving import serve as run_server
from rtmsync.contrib.serving import server_config
from rtmsync.contrib.settings import NAMES
from rtmsync.exits import ExitCode, exit_code

C = TypeVar("C", bound=Callable[..., Any])

_FLASK_RUN: Final = ("http://127.0.0.1:5000", "http://localhost:5000")
"""Where `flask run` shows pages."""

_LOG_FORMAT: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"

rtm = AppGroup("rtm", help="Real-time messages: serve, listen, send, make tokens, check the settings.")


def _extension_option(command: C) -> C:
    return click.option(
        "--extension",
        default="rtm",
        show_default=True,
        metavar="NAME",
        help="Which RTM, where the application has several: its name in app.extensions.",
    )(command)


@contextmanager
def _state(extension: str) -> Iterator[RTMState]:
    try:
        # The group's commands run inside an application context.
        state = state_of(current_app._get_current_object(), extension)  # type: ignore[attr-defined]
        try:
            yield state
        finally:
            state.close()
    except RtmError as error:
        _tell(f"Error: {error.message} {error.hint or ''}".rstrip())
        sys.exit(exit_code(error))


def _tell(text: str) -> None:
    click.echo(text, err=True)


def _show_log() -> None:
    """Where the application has set up no logging, print what the library has to say."""
    if logging.getLogger().handlers:
        return
    log = logging.getLogger("rtmsync")
    if all(isinstance(each, logging.NullHandler) for each in log.handlers):
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter(_LOG_FORMAT))
        log.addHandler(handler)


@rtm.command("listen")
@_extension_option
@click.argument("channels", nargs=-1, metavar="[CHANNEL]...")
def listen(extension: str, channels: tuple[str, ...]) -> None:
    """Run the application's handlers: one process, as the user in RTM_LISTENER.

    It joins the channels that have handlers, those in RTM_CHANNELS and those named here. SIGTERM and Ctrl-C end it,
    when what has arrived is handled. Run exactly one.
    """
    with _state(extension) as state:
        _show_log()
        status = state.listen(channels, tell=_tell)
    sys.exit(status)


@rtm.command("send")
@_extension_option
@click.option("--peer", "to_peer", is_flag=True, help="TO is a user, not a channel.")
@click.option("--offline", is_flag=True, help="With --peer: store the message where the user is offline.")
@click.option("--sender", help="Who it comes from; RTM_SENDER by default.")
@click.option("--file", type=click.File("rb"), help="Send the bytes of this file; - is standard input.")
@click.argument("to")
@click.argument("text", required=False)
def send(
    extension: str,
    to_peer: bool,
    offline: bool,
    sender: str | None,
    file: IO[bytes] | None,
    to: str,
    text: str | None,
) -> None:
    """Send a message to the channel or, with --peer, to the user TO."""
    if (text is None) is (file is None):
        raise click.UsageError("What is to be sent? Give either TEXT or --file.")
    if offline and not to_peer:
        raise click.UsageError("--offline stores messages to users: add --peer.")
    body: str | bytes = text if file is None else file.read(MESSAGE_BYTES_MAX + 1)  # type: ignore[assignment]
    with _state(extension) as state:
        if to_peer:
            status = state.connections.send_peer(to, body, offline=offline, sender=sender)
            click.echo(status.value)
        else:
            number = state.connections.publish(to, body, sender=sender)
            click.echo(f"message_sent {number}")


@rtm.command("token")
@_extension_option
@click.option(
    "--seconds",
    type=click.FloatRange(min=0, max=TOKEN_SECONDS_MAX, min_open=True),
    default=TOKEN_SECONDS_DEFAULT,
    show_default=True,
    help="How long the token is valid.",
)
@click.argument("user")
def token(extension: str, seconds: float, user: str) -> None:
    """Make a token that lets USER log in, and print it."""
    with _state(extension) as state:
        click.echo(state.connections.token_for(user, seconds=seconds))


@rtm.command("check")
@_extension_option
def check(extension: str) -> None:
    """Show the settings, and try them: the server over HTTP, a token, a login, and whether the listener runs."""
    status = ExitCode.OK
    with _state(extension) as state:
        settings = state.settings
        for name in NAMES:
            value = getattr(settings, name.lower())
            if value not in (None, (), {}):
                click.echo(f"      {state.prefix}{name} = {', '.join(value) if name == 'OPTIONS' else value}")
        if settings.server_key is None and settings.shared_user_id:
            click.echo(
                f"      {state.prefix}USER_ID is one name for all workers: each puts out the one before. "
                "Put {pid} into it."
            )
        for finding in try_settings(state.connections):
            click.echo(f"{finding.mark:<5} {finding.step}: {finding.text}")
            status = status or finding.status
    sys.exit(status)


@rtm.command("serve")
@_extension_option
@click.option("--host", help="Address to listen on; by default the host in RTM_URL.")
@click.option("--port", type=click.IntRange(0, 65535), help="TCP port; by default the one in RTM_URL.")
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    help="Directory of the journal; without one all is in memory.",
)
@click.option(
    "--allow-origin",
    "origins",
    multiple=True,
    default=_FLASK_RUN,
    show_default=True,
    metavar="ORIGIN",
    help="Origin of pages that may connect; can be given more than once.",
)
def serve(
    extension: str, host: str | None, port: int | None, data: Path | None, origins: tuple[str, ...]
) -> None:
    """Run an RTM server with the keys of this application, until SIGTERM or Ctrl-C: to develop with.

    `rtm serve` is the same server with all its settings.
    """
    with _state(extension) as state:
        run_server(server_config(state.settings, host=host, port=port, data=data, origins=origins), _tell)
