"""`manage.py rtm_send`: publish a message."""

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from rtmcore.errors import RtmError
from rtmsync.contrib.django.checks import TAG
from rtmsync.contrib.django.clients import DEFAULT_ALIAS, clients
from rtmsync.exits import exit_code
from rtmsync.publisher import PublishStatus


class Command(BaseCommand):
    """Send a message to a channel or a user."""

    help = "Send a message to a channel, or with --peer to a user."
    requires_system_checks = (TAG,)

    def add_arguments(self, parser: Any) -> None:
        """Declare the arguments."""
        parser.add_argument("destination", help="The channel; with --peer the user.")
        parser.add_argument("message", help="The text; - reads it from standard input.")
        parser.add_argument("--peer", action="store_true", help="Send to a user.")
        parser.add_argument(
            "--offline", action="store_true", help="Store it where the user is offline; with --peer."
        )
        parser.add_argument("--sender", help="Who it comes from, SENDER by default.")
        parser.add_argument("--using", default=DEFAULT_ALIAS, help="The alias in the setting RTM.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Send the message."""
        if options["offline"] and not options["peer"]:
            raise CommandError("--offline is for messages to a user: add --peer.")
        text = sys.stdin.read() if options["message"] == "-" else options["message"]
        try:
            self._send(options, text)
        except RtmError as error:
            raise CommandError(str(error), returncode=int(exit_code(error))) from error

    def _send(self, options: dict[str, Any], text: str) -> None:
        connections, destination = clients[options["using"]], options["destination"]
        try:
            if not options["peer"]:
                number = connections.publish(destination, text, sender=options["sender"])
                self.stdout.write(f"Sent to the channel {destination}: message {number}.")
                return
            status = connections.send_peer(
                destination, text, sender=options["sender"], offline=options["offline"]
            )
        finally:
            connections.close()
        if status is PublishStatus.PEER_UNREACHABLE:
            raise CommandError(f"{destination} is offline, and the message is not stored: see --offline.")
        self.stdout.write(f"Sent to {destination}: {status.name}.")
