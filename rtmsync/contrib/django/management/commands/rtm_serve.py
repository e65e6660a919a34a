"""`manage.py rtm_serve`: an RTM server with the keys of the site's settings."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from django.conf import settings as django_settings
from django.core.management.base import BaseCommand, CommandError

from rtmcore.client.config import Endpoint
from rtmcore.errors import RtmError
from rtmsync.contrib.django.checks import TAG
from rtmsync.contrib.django.clients import DEFAULT_ALIAS, settings_of
from rtmsync.contrib.settings import Settings
from rtmsync.exits import exit_code

if TYPE_CHECKING:
    from rtmsync.server.config import ServerConfig

_RUNSERVER: Final = ("http://127.0.0.1:8000", "http://localhost:8000")
"""Where `manage.py runserver` shows pages."""


class Command(BaseCommand):
    """Run an RTM server that fits the settings."""

    help = (
        "Run an RTM server in the foreground with the URL, APP_ID, SERVER_KEY and SECRET of the setting RTM, until "
        "SIGTERM or Ctrl-C. In production, `rtm serve` has more settings."
    )
    requires_system_checks = (TAG,)

    def add_arguments(self, parser: Any) -> None:
        """Declare the arguments."""
        parser.add_argument(
            "--allow-origin",
            action="append",
            metavar="ORIGIN",
            help="Origin of pages that may connect; repeatable. With DEBUG, those of runserver by default.",
        )
        parser.add_argument("--host", help="Address to listen on; by default the host in the URL.")
        parser.add_argument("--port", type=int, help="TCP port; by default the one in the URL.")
        parser.add_argument(
            "--data", type=Path, help="Directory of the journal; without one all is in memory."
        )
        parser.add_argument("--tls-cert", type=Path, help="Certificate with its chain, PEM.")
        parser.add_argument("--tls-key", type=Path, help="Its private key, PEM; by default in the same file.")
        parser.add_argument("--using", default=DEFAULT_ALIAS, help="The alias in the setting RTM.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run the server."""
        from rtmsync.server.ending import ended_by_signals
        from rtmsync.server.logs import LogSettings, logging_as
        from rtmsync.server.server import Server

        try:
            server = Server(self._config(settings_of(options["using"]), options))
            with logging_as(LogSettings()):
                server.open()
                with ended_by_signals(server):
                    self.stderr.write(f"The RTM server listens on {server.url}; Ctrl-C ends it.")
                    self.stderr.flush()
                    server.run()
        except RtmError as error:
            raise CommandError(str(error), returncode=int(exit_code(error))) from error

    def _config(self, settings: Settings, options: dict[str, Any]) -> "ServerConfig":
        from rtmsync.server.config import ServerConfig, is_loopback
        from rtmsync.server.keyfiles import parse_keys
        from rtmsync.server.tokens import AppKeys

        endpoint = Endpoint.parse(settings.url)
        host = options["host"] or endpoint.host
        if endpoint.tls and options["tls_cert"] is None and options["port"] is None:
            raise CommandError(
                "The URL begins with wss://: give --tls-cert; or --host and --port, where a proxy before this server "
                "speaks TLS."
            )
        keys = () if settings.secret is None else parse_keys(settings.secret.value, "SECRET")
        origins = options["allow_origin"]
        if origins is None:
            origins = _RUNSERVER if django_settings.DEBUG else ()
        server_keys = {} if settings.server_key is None else {settings.app_id: [settings.server_key.value]}
        return ServerConfig(
            apps=[AppKeys(settings.app_id, keys)],
            host=host,
            port=endpoint.port if options["port"] is None else options["port"],
            data_dir=options["data"],
            tls_certificate=options["tls_cert"],
            tls_key=options["tls_key"],
            allowed_origins=tuple(origins),
            dev=not keys and is_loopback(host),
            server_keys=server_keys,
        )
