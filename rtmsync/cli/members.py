"""`rtm members`: how many members channels have, and who they are."""

from collections.abc import Sequence

import click

from rtmcore.errors import LimitExceeded
from rtmsync.cli.options import Login, connection_options
from rtmsync.cli.output import emit, printable, say
from rtmsync.exits import ExitCode


@click.command("members")
@connection_options
@click.option(
    "--names", is_flag=True, help="Say who they are, at most 512 of each; joins the channels for a moment."
)
@click.option("--json", "as_json", is_flag=True, help="Print a line of JSON for each channel.")
@click.argument("channels", nargs=-1, required=True, metavar="CHANNEL...")
def command(login: Login, names: bool, as_json: bool, channels: Sequence[str]) -> int:
    """Print how many members each CHANNEL has, without joining it."""
    asked = list(dict.fromkeys(channels))
    with login.connect() as client:
        try:
            counts = client.member_counts(asked)
        except LimitExceeded as error:  # how many is the server's to say
            raise click.UsageError(error.message) from error
        for channel in asked:
            members: list[str] | None = None
            if names:
                with client.channel(channel) as joined:
                    members = sorted(user for user in joined.members() if user != client.user_id)
            _tell(channel, counts[channel], members, as_json)
    return ExitCode.OK


def _tell(channel: str, count: int, members: list[str] | None, as_json: bool) -> None:
    if as_json:
        row: dict[str, object] = {"channel": channel, "count": count}
        emit(row if members is None else {**row, "members": members})
        return
    say(f"{printable(channel)} {count}")
    for user in members or ():
        say(f"  {printable(user)}")
