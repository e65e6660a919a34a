"""`rtm history`: messages that were sent to be kept, and those that are stored for oneself."""

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from rtmcore.codes import MessageType
from rtmcore.limits import HISTORY_PAGE_SIZES
from rtmcore.models import HistoricalMessage
from rtmsync.cli.options import Login, connection_options
from rtmsync.cli.output import as_row, clock_time, emit, printable, say
from rtmsync.exits import ExitCode

if TYPE_CHECKING:
    from rtmsync.client import Client


@click.command("history")
@connection_options
@click.option("--source", help="Only messages of this user; without --peer and CHANNEL your own.")
@click.option("--peer", help="Only messages to this user.")
@click.option(
    "--since", metavar="TIME", help="Only from this time on: 2026-05-04T12:00, or seconds since 1970."
)
@click.option("--until", metavar="TIME", help="Only before this time.")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="Messages at most.")
@click.option("--oldest-first", is_flag=True, help="Begin with the oldest, not with the newest.")
@click.option("--count", is_flag=True, help="Print only how many there are.")
@click.option(
    "--stored", is_flag=True, help="List what is stored for you and was not taken yet; takes nothing."
)
@click.option("--json", "as_json", is_flag=True, help="Print a line of JSON for each message.")
@click.argument("channel", required=False)
def command(
    login: Login,
    source: str | None,
    peer: str | None,
    since: str | None,
    until: str | None,
    limit: int,
    oldest_first: bool,
    count: bool,
    stored: bool,
    as_json: bool,
    channel: str | None,
) -> int:
    """Print messages of the last 7 days that were sent to be kept: your own, those to you, or those to CHANNEL.

    A CHANNEL is joined for the question: its history is open to its members.
    """
    if peer is not None and channel is not None:
        raise click.UsageError("Messages go to a user or to a channel, not to both.")
    times = {"start": _time(since, "--since"), "end": _time(until, "--until")}
    if stored:
        if source or peer or channel or since or until:
            raise click.UsageError(
                "--stored lists what is stored for you; it takes only --limit, --count and --json."
            )
        with login.connect() as client:
            return _print_stored(client, limit, count, as_json)
    with login.connect() as client:
        if source is None and peer is None and channel is None:
            source = client.user_id
        question: dict[str, Any] = {"source": source, "destination": peer, "channel": channel, **times}
        if channel is None:
            return _print(client, question, limit, oldest_first, count, as_json)
        with client.channel(channel):
            return _print(client, question, limit, oldest_first, count, as_json)


def _time(given: str | None, option: str) -> float | None:
    """Seconds since 1970; a time without a zone is meant as here."""
    if given is None:
        return None
    try:
        return float(given)
    except ValueError:
        pass
    try:
        return datetime.fromisoformat(given.replace("Z", "+00:00")).timestamp()
    except ValueError:
        raise click.UsageError(f"{option} takes a time such as 2026-05-04T12:00.") from None


def _print(
    client: "Client", question: dict[str, Any], limit: int, ascending: bool, count: bool, as_json: bool
) -> ExitCode:
    if count:
        _tell_count(client.history_count(**question), as_json)
        return ExitCode.OK
    for message in _pages(client, question, limit, ascending):
        _tell(message, as_json)
    return ExitCode.OK


def _pages(
    client: "Client", question: dict[str, Any], limit: int, ascending: bool
) -> Iterator[HistoricalMessage]:
    """The messages, from as many pages as are needed."""
    told = 0
    while told < limit:
        size = next((size for size in HISTORY_PAGE_SIZES if size >= limit - told), HISTORY_PAGE_SIZES[-1])
        page = client.history(**question, offset=told, limit=size, ascending=ascending)
        yield from page.messages[: limit - told]
        told += len(page.messages)
        if not page.messages or told >= page.count:
            return


def _print_stored(client: "Client", limit: int, count: bool, as_json: bool) -> ExitCode:
    page = client.stored_messages()
    if count:
        _tell_count(page.count, as_json)
        return ExitCode.OK
    told = 0
    while page.messages and told < limit:
        for message in page.messages[: limit - told]:
            _tell(message, as_json)
        told += len(page.messages)
        page = client.stored_messages(after=page.messages[-1].id)
    return ExitCode.OK


def _tell_count(count: int, as_json: bool) -> None:
    if as_json:
        emit({"count": count})
    else:
        say(str(count))


def _tell(message: HistoricalMessage, as_json: bool) -> None:
    if as_json:
        emit(as_row(message))
        return
    about = message.media
    other = f"<{len(message.body)} bytes>" if about is None else f"<the file {about.media_id}: {about.name}>"
    text = message.text if message.kind is MessageType.TEXT else other
    to = message.destination
    say(printable(f"{clock_time(message.server_time)} {message.source} to {to}: {text}"))
