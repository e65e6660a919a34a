"""`flask rtm`: the listener, and what one wants to try by hand."""

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, Any, Final, TypeVar

import attrs
import click
from flask import current_app
from flask.cli import AppGroup

from rtmcore.errors import RtmError
from rtmcore.limits import MESSAGE_BYTES_MAX, TOKEN_SECONDS_DEFAULT, TOKEN_SECONDS_MAX
from rtmsync.contrib.flask.extension import RTMState, state_of
from rtmsync.contrib.settings import NAMES
from rtmsync.exits import ExitCode, exit_code

C = TypeVar("C", bound=Callable[..., Any])

_LOG_FORMAT: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"

rtm = AppGroup("rtm", help="Real-time messages: listen, send, make tokens, check the settings.")


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
    with _state(extension) as state:
        checks = _Checks(state)
        checks.run()
    sys.exit(checks.status)


@attrs.define
class _Checks:
    state: RTMState
    status: int = ExitCode.OK

    def run(self) -> None:
        settings = self.state.settings
        for name in NAMES:
            value = getattr(settings, name.lower())
            if name == "OPTIONS":
                value = ", ".join(value)
            if value not in (None, (), ""):
                click.echo(f"      {self.state.prefix}{name} = {value}")
        self._step("settings", lambda: "can be used")
        if settings.server_key is not None:
            self._step("publish over HTTP", self._publisher)
        else:
            self._skip("publish over HTTP", f"{self.state.prefix}SERVER_KEY is not set, so a session is used")
        if settings.makes_tokens:
            if not self._step("make a token", self._token):
                return
        else:
            self._skip("make a token", f"neither {self.state.prefix}SECRET nor a function is set")
        logged_in = self._step("log in", self._login)
        listener = settings.listener
        if listener is None:
            self._skip("listener", f"{self.state.prefix}LISTENER is not set")
        elif logged_in:
            self._step("listener", lambda: self._listener(listener))

    def _step(self, name: str, check: Callable[[], str]) -> bool:
        try:
            found = check()
        except RtmError as error:
            click.echo(f"FAIL  {name}: {error.message} {error.hint or ''}".rstrip())
            self.status = self.status or exit_code(error)
            return False
        click.echo(f"ok    {name}: {found}")
        return True

    def _skip(self, name: str, why: str) -> None:
        click.echo(f"-     {name}: {why}")

    def _publisher(self) -> str:
        self.state.connections.publisher.member_counts(["check"])
        return "the server takes the key"

    def _token(self) -> str:
        made = self.state.connections.token_for("check")
        return f"{len(made)} characters"

    def _login(self) -> str:
        client = self.state.connections.client
        return f"as {client.user_id}"

    def _listener(self, name: str) -> str:
        (found,) = self.state.connections.client.query_presence([name])
        return f"{name} is {'online' if found.online else 'not running'}"
