"""`manage.py rtm_listen`: the one process that listens."""

import sys
from typing import Any

from django.conf import settings as django_settings
from django.core.management.base import BaseCommand, CommandError
from django.utils import autoreload

from rtmcore.errors import RtmError
from rtmsync.contrib.django.checks import TAG
from rtmsync.contrib.django.clients import DEFAULT_ALIAS, clients, fresh_databases
from rtmsync.contrib.django.handlers import discover
from rtmsync.contrib.django.listening import announced, visible_logs
from rtmsync.contrib.listening import run_listener
from rtmsync.exits import exit_code


class Command(BaseCommand):
    """Log in as LISTENER and call the handlers of the site."""

    help = (
        "Log in as LISTENER, join the channels that have handlers, and call the handlers in each app's "
        "rtm_handlers.py until SIGTERM or Ctrl-C. Run one of it."
    )
    # As with runserver: what is wrong is shown in the process that starts again when a file was changed.
    requires_system_checks = ()

    def add_arguments(self, parser: Any) -> None:
        """Declare the arguments."""
        parser.add_argument("channels", nargs="*", help="Channels to join besides.")
        parser.add_argument("--using", default=DEFAULT_ALIAS, help="The alias in the setting RTM.")
        parser.add_argument(
            "--noreload",
            action="store_true",
            help="With DEBUG: do not start again when a file was changed.",
        )

    def handle(self, *channels: Any, **options: Any) -> None:
        """Listen, with DEBUG in a process that starts again when a file was changed."""
        names, using = [*channels, *options["channels"]], options["using"]
        if django_settings.DEBUG and not options["noreload"]:
            autoreload.run_with_reloader(self.listen_and_wait, names, using)
            return
        status = self.listen(names, using)
        if status:
            sys.exit(status)

    def listen_and_wait(self, channels: list[str], using: str) -> None:
        """Listen, in a thread beside the one that watches the files."""
        autoreload.raise_last_exception()
        try:
            self.listen(channels, using)
        except CommandError as error:
            self.stderr.write(self.style.ERROR(str(error)))
        self.stderr.write("The listener has ended. It starts again when a file was changed; Ctrl-C ends it.")

    def listen(self, channels: list[str], using: str) -> int:
        """Listen until a signal, or until the session ends; an exit status."""
        self.check(tags=[TAG])
        discover()
        try:
            connections = clients[using]
            with visible_logs(self.stderr):
                return run_listener(
                    connections.listening_client(),
                    announced(connections),
                    channels=(*connections.settings.channels, *channels),
                    around=fresh_databases,
                    tell=self._tell,
                )
        except RtmError as error:
            raise CommandError(str(error), returncode=int(exit_code(error))) from error

    def _tell(self, sentence: str) -> None:
        self.stderr.write(sentence)
        self.stderr.flush()
