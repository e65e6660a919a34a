"""`rtm serve`: a server in the foreground until a signal ends it."""

import logging
import os
import shutil
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Final, Literal

import click

from rtmcore.limits import DRAIN_TIMEOUT
from rtmcore.service.config import ABORT, KEEP
from rtmsync.cli.credentials import read_keys
from rtmsync.cli.exits import ExitCode
from rtmsync.cli.options import DEFAULT_URL
from rtmsync.cli.output import emit, note, say
from rtmsync.server.config import DEFAULT_PORT, DEV_APP_ID, ServerConfig
from rtmsync.server.tokens import AppKeys

if TYPE_CHECKING:
    from rtmsync.server.server import Server

_file = click.Path(path_type=Path)
_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
_READ: Final = 4096


@click.command(
    "serve",
    epilog="""\b
    openssl rand -hex 32 > app.key
    rtm serve --app-id $(openssl rand -hex 16) --secret-file app.key --data /var/lib/rtm""",
)
@click.option("--dev", is_flag=True, help="For this machine only: no keys, no tokens, a fixed app id.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=DEFAULT_PORT,
    show_default=True,
    help="TCP port; 0 lets the system choose.",
)
@click.option(
    "--data", "data_dir", type=_file, help="Directory of the journal; without one all is in memory."
)
@click.option("--app-id", "app_ids", multiple=True, envvar="RTM_APP_ID", help="An app to serve; repeatable.")
@click.option(
    "--secret-file",
    "secret_files",
    multiple=True,
    type=_file,
    envvar="RTM_SECRET_FILE",
    help="File with the keys of the --app-id in the same place, one a line; tokens made with any of them are good.",
)
@click.option("--tls-cert", type=_file, help="Certificate with its chain, PEM.")
@click.option("--tls-key", type=_file, help="Its private key, PEM; by default in the same file.")
@click.option(
    "--allow-origin", "origins", multiple=True, help="Origin of web pages that may connect; repeatable."
)
@click.option(
    "--drain",
    type=click.FloatRange(min=0),
    default=DRAIN_TIMEOUT,
    show_default=True,
    help="Seconds over which clients are sent away at the end.",
)
@click.option(
    "--token-policy",
    type=click.Choice([KEEP, ABORT]),
    default=KEEP,
    show_default=True,
    help="What an expired token does to a connected client: nothing, or the end of its session.",
)
@click.option("--no-rate-limits", is_flag=True, hidden=True, help="Let clients send as fast as they can.")
@click.option(
    "--json", "as_json", is_flag=True, help="When ready, print one line of JSON instead of the notes."
)
@click.option("--until-eof", is_flag=True, help="End when standard input ends, as with whoever started this.")
def command(
    dev: bool,
    host: str,
    port: int,
    data_dir: Path | None,
    app_ids: Sequence[str],
    secret_files: Sequence[Path],
    tls_cert: Path | None,
    tls_key: Path | None,
    origins: Sequence[str],
    drain: float,
    token_policy: Literal["keep", "abort"],
    no_rate_limits: bool,
    as_json: bool,
    until_eof: bool,
) -> int:
    """Run a server until SIGTERM or Ctrl-C, then send its clients away and exit with 0.

    A second signal stops it at once. `rtm serve --dev` needs nothing else.
    """
    from rtmsync.server.server import Server

    config = ServerConfig(
        apps=_apps(dev, app_ids, secret_files),
        host=host,
        port=port,
        data_dir=data_dir,
        tls_certificate=tls_cert,
        tls_key=tls_key,
        allowed_origins=tuple(origins),
        dev=dev,
        rate_limits=not no_rate_limits,
        drain_seconds=drain,
        token_policy=token_policy,
    )
    logger = logging.getLogger("rtmsync")
    if not logger.isEnabledFor(logging.INFO):
        logger.setLevel(logging.INFO)
    server = Server(config)
    server.open()
    with _ended_by_signals(server):
        if until_eof:
            threading.Thread(target=_drain_at_eof, args=(server,), name="rtm-stdin", daemon=True).start()
        if as_json:
            emit({"url": server.url, "app_ids": [app.app for app in config.apps], "pid": os.getpid()})
        else:
            _introduce(server)
        server.run()
    return ExitCode.OK


def _apps(dev: bool, app_ids: Sequence[str], secret_files: Sequence[Path]) -> tuple[AppKeys, ...]:
    names = tuple(app_ids) or ((DEV_APP_ID,) if dev else ())
    if not names:
        raise click.UsageError(
            "Which app? Give --app-id ID and --secret-file FILE, or --dev for a server that needs neither."
        )
    if len(set(names)) != len(names):
        raise click.UsageError("An app id is named twice.")
    if dev and not secret_files:
        return tuple(AppKeys(name) for name in names)
    if len(secret_files) != len(names):
        raise click.UsageError(
            f"There are {len(names)} app ids and {len(secret_files)} secret files: each app needs its file."
        )
    return tuple(AppKeys(name, read_keys(file)) for name, file in zip(names, secret_files, strict=True))


@contextmanager
def _ended_by_signals(server: "Server") -> Iterator[None]:
    """Let the first signal drain the server, and the second one stop it."""
    draining = False

    def end(number: int, frame: FrameType | None) -> None:
        nonlocal draining
        if draining:
            server.stop()
            return
        draining = True
        server.drain()

    before = {number: signal.signal(number, end) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _drain_at_eof(server: "Server") -> None:
    # Not through sys.stdin, whose lock would be held when the interpreter ends.
    while os.read(0, _READ):
        pass
    server.drain()


def _introduce(server: "Server") -> None:
    config = server.config
    known = config.apps[0]
    say(f"The server listens on {server.url}" + (", for this machine only." if config.dev else "."))
    say("")
    for app in config.apps:
        say(f"  app id   {app.app}   ({'tokens are needed' if app.keys else 'no token is needed'})")
    where = "in memory only; --data DIR keeps it" if config.data_dir is None else str(config.data_dir)
    say(f"  data     {where}")
    say("")
    if known.keys:
        say("Make a token for a user, with the key of the app:")
        say("")
        say(f"  {_program()} token --user alice --app-id {known.app} --secret-file FILE > alice.token")
    elif config.dev:
        say("Paste these into other terminals:")
        say("")
        for line in paste_lines(_program(), server.url, known.app):
            say(f"  {line}")
    say("")
    note("Ctrl-C ends the server.")


def paste_lines(program: str, url: str, app_id: str) -> list[str]:
    """Commands that try out a development server.

    Args:
        program: How `rtm` is called here.
        url: Where the server listens.
        app_id: The app.
    """
    there = "" if url == DEFAULT_URL else f" --url {url}"
    there += "" if app_id == DEV_APP_ID else f" --app-id '{app_id}'"
    return [
        f"{program} listen{there} --user alice ops",
        f'{program} send{there} --user bob ops "good morning"',
        f"{program} chat{there} --user carol ops",
    ]


def _program() -> str:
    """How the `rtm` command is called from the current directory."""
    started = Path(sys.argv[0])
    if started.name != "rtm":
        return f"{os.path.relpath(sys.executable)} -m rtmsync"
    found = shutil.which("rtm")
    if found is not None and Path(found) == started.absolute():
        return "rtm"
    relative = os.path.relpath(started)
    return str(started) if relative.startswith("..") else relative
