"""`manage.py rtm_token`: make a token for a user."""

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from rtmcore.errors import RtmError
from rtmcore.limits import TOKEN_SECONDS_DEFAULT
from rtmsync.contrib.django.checks import TAG
from rtmsync.contrib.django.clients import DEFAULT_ALIAS, clients


class Command(BaseCommand):
    """Make a token for a user, and print it."""

    help = "Make a token with which a user logs in, and print it."
    requires_system_checks = (TAG,)

    def add_arguments(self, parser: Any) -> None:
        """Declare the arguments."""
        parser.add_argument("user", help="The user id.")
        parser.add_argument(
            "--seconds",
            type=float,
            default=TOKEN_SECONDS_DEFAULT,
            help="How long it is valid, up to 24 hours.",
        )
        parser.add_argument("--scopes", type=json.loads, help="What the user may do, as JSON.")
        parser.add_argument("--using", default=DEFAULT_ALIAS, help="The alias in the setting RTM.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Make the token."""
        try:
            token = clients[options["using"]].token_for(
                options["user"], seconds=options["seconds"], scopes=options["scopes"]
            )
        except RtmError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(token)
