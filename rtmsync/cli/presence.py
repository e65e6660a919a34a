"""`rtm presence`: who is online now."""

from collections.abc import Sequence

import click

from rtmsync.cli.options import Login, connection_options
from rtmsync.cli.output import emit, printable, say
from rtmsync.exits import ExitCode


@click.command("presence")
@connection_options
@click.option("--json", "as_json", is_flag=True, help="Print a line of JSON for each user.")
@click.argument("users", nargs=-1, required=True, metavar="USER...")
def command(login: Login, as_json: bool, users: Sequence[str]) -> int:
    """Print whether each USER is online, in the order in which they are named.

    `rtm watch --sees USER` tells of changes.
    """
    with login.connect() as client:
        for status in client.query_presence(users):
            if as_json:
                emit({"user": status.user, "online": status.online, "state": status.state.name})
            else:
                say(f"{printable(status.user)} {status.state.name}")
    return ExitCode.OK
