"""`manage.py rtm_check`: try the settings on the network."""

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from rtmcore.errors import RtmError
from rtmsync.contrib.checking import FAILED, try_settings
from rtmsync.contrib.django.checks import TAG
from rtmsync.contrib.django.clients import clients
from rtmsync.exits import ExitCode


class Command(BaseCommand):
    """Try the settings: the server over HTTP, a token, a login, and whether the listener runs."""

    help = "Try the setting RTM on the network. `manage.py check --tag rtmsync` looks at it without one."
    requires_system_checks = (TAG,)

    def add_arguments(self, parser: Any) -> None:
        """Declare the arguments."""
        parser.add_argument("--using", action="append", help="An alias in the setting RTM; all by default.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Try one server after another; exits with what the first failure stands for."""
        status = ExitCode.OK
        for alias in options["using"] or list(clients):
            try:
                connections = clients[alias]
            except RtmError as error:
                raise CommandError(str(error)) from error
            settings = connections.settings
            self.stdout.write(f"RTM[{alias!r}]: {settings.url}, app {settings.app_id}")
            try:
                for finding in try_settings(connections):
                    style = self.style.ERROR if finding.mark == FAILED else str
                    self.stdout.write(style(f"{finding.mark:<5} {finding.step}: {finding.text}"))
                    status = status or finding.status
            finally:
                connections.close()
        if status:
            sys.exit(int(status))
