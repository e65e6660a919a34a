"""`rtm attrs`: the attributes of a channel, to be read and written, and those of a user, to be read."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from rtmsync.cli.options import Login, connection_options
from rtmsync.cli.output import clock_time, emit, printable, say
from rtmsync.exits import ExitCode

if TYPE_CHECKING:
    from rtmsync.client import Client


@click.command("attrs")
@connection_options
@click.option("--peer", help="Read the attributes of this user instead; he has to be online.")
@click.option("--set", "changes", multiple=True, metavar="KEY=VALUE", help="Add or change one; repeatable.")
@click.option("--delete", "deleted", multiple=True, metavar="KEY", help="Delete one; repeatable.")
@click.option("--clear", is_flag=True, help="Delete all others.")
@click.option("--notify", is_flag=True, help="Tell the members of the channel about the change.")
@click.option("--json", "as_json", is_flag=True, help="Print a line of JSON for each attribute.")
@click.argument("words", nargs=-1, metavar="[CHANNEL] [KEY]...")
def command(
    login: Login,
    peer: str | None,
    changes: Sequence[str],
    deleted: Sequence[str],
    clear: bool,
    notify: bool,
    as_json: bool,
    words: Sequence[str],
) -> int:
    """Print the attributes of CHANNEL, or those of them that are named; first change them, where that is asked for.

    Attributes are kept while anybody is in the channel, and for about two minutes after.
    """
    keys = list(words)
    writing = bool(changes or deleted or clear)
    if peer is None and not keys:
        raise click.UsageError("Whose attributes? Name a channel, or a user with --peer.")
    if peer is not None and (writing or notify):
        raise click.UsageError("The attributes of a user are his own: they can only be read.")
    if notify and not writing:
        raise click.UsageError("--notify belongs to a change: --set, --delete or --clear.")
    if clear and deleted:
        raise click.UsageError("--clear deletes all others already; leave --delete out.")
    new = dict(_pair(change) for change in changes)
    if not new.keys().isdisjoint(deleted):
        raise click.UsageError("An attribute is either set or deleted, not both.")
    with login.connect() as client:
        if peer is not None:
            for key, value in client.get_attributes(peer, keys or None).items():
                _tell({"user": peer, "key": key, "value": value}, as_json)
            return ExitCode.OK
        channel = keys.pop(0)
        _write(client, channel, new, list(deleted), clear=clear, notify=notify)
        for key, found in client.get_channel_attributes(channel, keys or None).items():
            row = {"channel": channel, "key": key, "value": found.value}
            _tell({**row, "writer": found.writer, "server_time": found.server_time}, as_json)
    return ExitCode.OK


def _pair(change: str) -> tuple[str, str]:
    key, separator, value = change.partition("=")
    if not separator:
        raise click.UsageError("--set takes KEY=VALUE.")
    return key, value


def _write(
    client: "Client", channel: str, new: dict[str, str], deleted: list[str], *, clear: bool, notify: bool
) -> None:
    """Make the changes; where there are two, the members hear of the last one."""
    if clear:
        client.set_channel_attributes(channel, new, notify=notify)
        return
    if deleted:
        client.delete_channel_attributes(channel, deleted, notify=notify and not new)
    if new:
        client.update_channel_attributes(channel, new, notify=notify)


def _tell(row: dict[str, object], as_json: bool) -> None:
    if as_json:
        emit(row)
        return
    text = f"{row['key']}={row['value']}"
    if "writer" in row:
        text += f"  ({row['writer']}, {clock_time(float(str(row['server_time'])))})"
    say(printable(text))
