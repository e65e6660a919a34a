"""`rtm serve`: a server in the foreground until a signal ends it."""

import functools
import logging
import os
import secrets
import shutil
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import attrs
import click
from click.core import ParameterSource

from rtmcore.limits import DRAIN_TIMEOUT
from rtmcore.service.config import ABORT, KEEP
from rtmsync.cli.credentials import STDIN
from rtmsync.cli.options import DEFAULT_URL
from rtmsync.cli.output import emit, note, say
from rtmsync.cli.reloading import Reloader
from rtmsync.exits import ExitCode
from rtmsync.server.config import DEFAULT_PORT, DEV_APP_ID
from rtmsync.server.ending import ended_by_signals
from rtmsync.server.logs import LOG_FORMATS, LOG_LEVELS, TEXT, logging_as
from rtmsync.server.settings import AppFiles, Settings, parse_limit, parse_rate, read_settings
from rtmsync.server.tokens import FORMATS, JWT

if TYPE_CHECKING:
    from rtmsync.server.server import Server

_file = click.Path(path_type=Path)


class _Setting(click.Option):
    """An option whose errors name its environment variable too, also where click does not by itself."""

    def get_error_hint(self, ctx: click.Context | None) -> str:
        hint = super().get_error_hint(ctx)
        named = self.envvar is None or str(self.envvar) in hint
        return hint if named else f"{hint} (env var: '{self.envvar}')"


_option = functools.partial(click.option, cls=_Setting, show_envvar=True)
_READ: Final = 4096
_OF_APPS: Final = ("app_ids", "secret_files", "certificate_files", "server_key_files", "token_formats")
_LOGS: Final = ("log_format", "log_level", "log_file")
_DEV_KEY_BYTES: Final = 24
_STDIN_FILE: Final = Path("/dev/stdin")


@click.command(
    "serve",
    epilog="""\b
    openssl rand -hex 32 > app.key
    rtm serve --app-id $(openssl rand -hex 16) --secret-file app.key --data /var/lib/rtm""",
)
@_option(
    "--config",
    "config_file",
    type=_file,
    envvar="RTM_CONFIG",
    help="File with settings, TOML; options and environment variables come before what it says.",
)
@_option(
    "--dev", is_flag=True, envvar="RTM_DEV", help="For this machine only: no keys, no tokens, a fixed app id."
)
@_option("--host", envvar="RTM_HOST", default="127.0.0.1", show_default=True, help="Address to listen on.")
@_option(
    "--port",
    type=click.IntRange(0, 65535),
    envvar="RTM_PORT",
    default=DEFAULT_PORT,
    show_default=True,
    help="TCP port; 0 lets the system choose.",
)
@_option(
    "--data",
    "data_dir",
    type=_file,
    envvar="RTM_DATA",
    help="Directory of the journal; without one all is in memory.",
)
@_option("--app-id", "app_ids", multiple=True, envvar="RTM_APP_ID", help="An app to serve; repeatable.")
@_option(
    "--secret-file",
    "secret_files",
    multiple=True,
    type=_file,
    envvar="RTM_SECRET_FILE",
    help="File with the keys of the --app-id in the same place, one a line; tokens made with any of them are good.",
)
@_option(
    "--certificate-file",
    "certificate_files",
    multiple=True,
    type=_file,
    envvar="RTM_CERTIFICATE_FILE",
    help="File with the app certificates of the --app-id in the same place, one a line, for AccessTokens.",
)
@_option(
    "--server-key-file",
    "server_key_files",
    multiple=True,
    type=_file,
    envvar="RTM_SERVER_KEY_FILE",
    help="File with the server keys of the --app-id in the same place, one a line, for publishing over HTTP.",
)
@_option(
    "--token-format",
    "token_formats",
    multiple=True,
    type=click.Choice(FORMATS),
    envvar="RTM_TOKEN_FORMAT",
    help="A format of tokens that each --app-id takes; repeatable. By default jwt.",
)
@_option(
    "--tls-cert",
    "tls_certificate",
    type=_file,
    envvar="RTM_TLS_CERT",
    help="Certificate with its chain, PEM.",
)
@_option(
    "--tls-key",
    type=_file,
    envvar="RTM_TLS_KEY",
    help="Its private key, PEM; by default in the same file.",
)
@_option(
    "--allow-origin",
    "allowed_origins",
    multiple=True,
    envvar="RTM_ALLOW_ORIGIN",
    help="Origin of web pages that may connect; repeatable.",
)
@_option(
    "--drain",
    "drain_seconds",
    type=click.FloatRange(min=0),
    envvar="RTM_DRAIN",
    default=DRAIN_TIMEOUT,
    show_default=True,
    help="Seconds over which clients are sent away at the end.",
)
@_option(
    "--token-policy",
    type=click.Choice([KEEP, ABORT]),
    envvar="RTM_TOKEN_POLICY",
    default=KEEP,
    show_default=True,
    help="What an expired token does to a connected client: nothing, or the end of its session.",
)
@_option("--node", envvar="RTM_NODE", help="Name of this server process; one is made by default.")
@_option(
    "--rate-limits/--no-rate-limits",
    envvar="RTM_RATE_LIMITS",
    default=True,
    help="Limit how often clients call, or let them call as fast as they can.",
)
@_option(
    "--rate-factor",
    type=click.FloatRange(min=0, min_open=True),
    envvar="RTM_RATE_FACTOR",
    default=1.0,
    show_default=True,
    help="By how much more often than documented clients may call.",
)
@_option(
    "--rate",
    "rates",
    multiple=True,
    envvar="RTM_RATE",
    help="A rate in place of the documented one, such as send=360/3, calls in seconds; repeatable.",
)
@_option(
    "--limit",
    "limits",
    multiple=True,
    envvar="RTM_LIMIT",
    help="A size or count in place of the documented one, such as message=65536; repeatable.",
)
@_option(
    "--metrics/--no-metrics",
    envvar="RTM_METRICS",
    default=None,
    help="Serve /metrics to whoever reaches the port, or to nobody; by default with --dev only.",
)
@_option(
    "--metrics-key-file",
    type=_file,
    envvar="RTM_METRICS_KEY_FILE",
    help="File with keys, one a line; /metrics is served to whoever has one.",
)
@_option(
    "--log-format",
    type=click.Choice(LOG_FORMATS),
    envvar="RTM_LOG_FORMAT",
    default=TEXT,
    show_default=True,
    help="Logs for people, or one JSON object a line.",
)
@_option(
    "--log-level",
    type=click.Choice(LOG_LEVELS),
    envvar="RTM_LOG_LEVEL",
    default="info",
    show_default=True,
    help="From which level on there are logs.",
)
@_option("--log-file", type=_file, envvar="RTM_LOG_FILE", help="Where they go; by default to standard error.")
@_option("--json", "as_json", is_flag=True, help="When ready, print one line of JSON instead of the notes.")
@_option("--until-eof", is_flag=True, help="End when standard input ends, as with whoever started this.")
@click.pass_context
def command(
    ctx: click.Context, /, config_file: Path | None, as_json: bool, until_eof: bool, **given: Any
) -> int:
    """Run a server until SIGTERM or Ctrl-C, then send its clients away and exit with 0.

    A second signal stops it at once. `rtm serve --dev` needs nothing else. SIGHUP has it read its settings again;
    changed files with keys are taken up by themselves.
    """
    from rtmsync.server.server import Server

    said = {
        name: value
        for name, value in given.items()
        if ctx.get_parameter_source(name) in (ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT)
    }

    dev_server_key = secrets.token_urlsafe(_DEV_KEY_BYTES)

    def read() -> Settings:
        return attrs.evolve(_settings(config_file, said), dev_server_key=dev_server_key)

    settings = read()
    server = Server(settings.config())
    logs = settings.logs
    if "log_level" not in said and logging.getLogger().level == logging.DEBUG:  # rtm -vv
        logs = attrs.evolve(logs, level="debug")
    with logging_as(logs):
        server.open()
        with ended_by_signals(server), Reloader(server, settings, read).reloading():
            if until_eof:
                threading.Thread(target=_drain_at_eof, args=(server,), name="rtm-stdin", daemon=True).start()
            if as_json:
                _emit(server)
            else:
                _introduce(server)
                if logs.format == TEXT or logs.file is not None:
                    note("Ctrl-C ends the server.")
            server.run()
    return ExitCode.OK


def _emit(server: "Server") -> None:
    config = server.config
    row: dict[str, object] = {
        "url": server.url,
        "app_ids": [app.app for app in config.apps],
        "pid": os.getpid(),
    }
    if config.dev:
        row["server_keys"] = {app: keys[0] for app, keys in config.server_keys.items()}
    emit(row)


def _settings(config_file: Path | None, said: Mapping[str, Any]) -> Settings:
    """What the file says, and before it what options and the environment say."""
    settings = Settings() if config_file is None else read_settings(config_file)
    others = {name: value for name, value in said.items() if name not in (*_OF_APPS, *_LOGS)}
    logs = attrs.evolve(
        settings.logs, **{name.removeprefix("log_"): said[name] for name in _LOGS if name in said}
    )
    metrics_key_file = others.pop("metrics_key_file", settings.metrics_key_file)
    if "allowed_origins" in others:
        others["allowed_origins"] = tuple(others["allowed_origins"])
    if "rates" in others:
        others["rates"] = {**settings.others.get("rates", {}), **dict(map(parse_rate, others["rates"]))}
    if "limits" in others:
        others["limits"] = {**settings.others.get("limits", {}), **dict(map(parse_limit, others["limits"]))}
    others = {**settings.others, **others}
    apps, dev = settings.apps, bool(others.get("dev"))
    of_apps = {name: said.get(name, ()) for name in _OF_APPS}
    if dev and not apps and not of_apps["app_ids"] and any(of_apps.values()):
        of_apps["app_ids"] = (DEV_APP_ID,)
    if of_apps["app_ids"]:
        apps = _apps(dev, **of_apps)
    elif any(of_apps.values()):
        raise click.UsageError(
            "There are secret files, certificate files, server key files or token formats without an --app-id."
        )
    if not apps and not dev:
        raise click.UsageError(
            "Which app? Give --app-id ID and --secret-file FILE, or --config FILE, or --dev for a server that needs "
            "none of them."
        )
    return attrs.evolve(settings, apps=apps, others=others, logs=logs, metrics_key_file=metrics_key_file)


def _apps(
    dev: bool,
    app_ids: Sequence[str],
    secret_files: Sequence[Path],
    certificate_files: Sequence[Path],
    server_key_files: Sequence[Path],
    token_formats: Sequence[str],
) -> tuple[AppFiles, ...]:
    count = len(app_ids)
    if not dev and not secret_files and not certificate_files:
        raise click.UsageError("Each app needs its secret file: give --secret-file FILE.")
    named = (
        (secret_files, "secret"),
        (certificate_files, "certificate"),
        (server_key_files, "server key"),
    )
    for files, what in named:
        if files and len(files) != count:
            raise click.UsageError(
                f"There are {count} app ids and {len(files)} {what} files: each app needs its file."
            )
    none = (None,) * count
    rows = zip(
        app_ids, secret_files or none, certificate_files or none, server_key_files or none, strict=True
    )
    return tuple(
        AppFiles(
            id=app,
            key_file=_STDIN_FILE if secret == STDIN else secret,
            certificate_file=certificate,
            token_formats=tuple(token_formats) or (JWT,),
            server_key_file=server_key,
        )
        for app, secret, certificate, server_key in rows
    )


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
        say(f"  app id   {app.app}   ({'no token is needed' if app.open else 'tokens are needed'})")
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
        server_key = config.server_keys[known.app][0]
        say("")
        say("Or publish over HTTP, with the server key of this start:")
        say("")
        for line in publish_lines(server.url, known.app, server_key):
            say(f"  {line}")
    say("")


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


def publish_lines(url: str, app_id: str, server_key: str) -> list[str]:
    """A command that sends to a channel over HTTP, without a session.

    Args:
        url: Where the server listens.
        app_id: The app.
        server_key: One of its server keys.
    """
    path = f"/rtm/v1/apps/{quote(app_id, safe='')}/users/shop/channel_messages"
    return [
        f"curl -H 'Authorization: Bearer {server_key}' \\",
        """  --data '{"channel": "ops", "payload": "good morning"}' \\""",
        f"  '{url.replace('ws', 'http', 1)}{path}'",
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
