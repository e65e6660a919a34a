"""`manage.py rtm_serve`: an RTM server with the keys of the site's settings."""

from pathlib import Path
from typing import Any, Final

from django.conf import settings as django_settings
from django.core.management.base import BaseCommand, CommandError

from rtmcore.errors import RtmError
from rtmsync.contrib.django.checks import TAG
from rtmsync.contrib.django.clients import DEFAULT_ALIAS, settings_of
from rtmsync.contrib.serving import serve, server_config
from rtmsync.exits import exit_code

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
        origins = options["allow_origin"]
        if origins is None:
            origins = _RUNSERVER if django_settings.DEBUG else ()
        names = ("host", "port", "data", "tls_cert", "tls_key")
        given = {name: options[name] for name in names}
        try:
            serve(server_config(settings_of(options["using"]), origins=origins, **given), self._tell)
        except RtmError as error:
            raise CommandError(str(error), returncode=int(exit_code(error))) from error

    def _tell(self, text: str) -> None:
        self.stderr.write(text)
        self.stderr.flush()
