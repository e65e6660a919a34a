"""`rtm listen`: print what arrives, a line of JSON for each event."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from rtmcore.client.events import ChannelGap, ChannelLost, MemberJoined, MemberLeft, StateChanged
from rtmcore.codes import ConnectionState
from rtmcore.errors import NotInChannel, RequestTimeout
from rtmcore.models import ChannelMessage, PeerMessage
from rtmsync.cli.options import Login, connection_options
from rtmsync.cli.output import as_row, emit, note
from rtmsync.cli.telling import abortion, tell_state
from rtmsync.cli.transfers import save as save_file
from rtmsync.driver.clock import FOREVER, Clock
from rtmsync.exits import ExitCode

if TYPE_CHECKING:
    from rtmsync.client import Client

Row = Callable[[Any], dict[str, object]]
"""Makes of an event what is printed."""

_MESSAGES: Final = (ChannelMessage, PeerMessage)


@click.command("listen")
@connection_options
@click.option(
    "--peers", is_flag=True, help="Print messages from users too; without CHANNEL they are printed anyway."
)
@click.option("--members", is_flag=True, help="Print who joins and leaves too.")
@click.option("--count", type=click.IntRange(min=1), help="End after so many messages.")
@click.option(
    "--idle-timeout",
    type=click.FloatRange(min=0, min_open=True),
    help="End after so many seconds without a message; exits with 4 if --count was not reached.",
)
@click.option(
    "--save",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Download the files and images that come into this directory, under safe names.",
)
@click.argument("channels", nargs=-1, metavar="[CHANNEL]...")
def command(
    login: Login,
    peers: bool,
    members: bool,
    count: int | None,
    idle_timeout: float | None,
    save: Path | None,
    channels: Sequence[str],
) -> int:
    """Print messages as they arrive, each as a line of JSON, until Ctrl-C.

    Text is in `text`, what is known of a file or an image in `media`, other bytes are in `body` as base64. Where
    messages are lost a line says how many. Changes of the connection's state go to standard error; the connection
    comes back by itself.
    """
    kinds: list[type[Any]] = [StateChanged]
    if channels:
        kinds += [ChannelMessage, ChannelGap, ChannelLost]
    if peers or not channels:
        kinds.append(PeerMessage)
    if members:
        kinds += [MemberJoined, MemberLeft]
    if save is not None:
        _make_folder(save)
    with login.connect() as client, client.events(*kinds) as events:
        for channel in dict.fromkeys(channels):
            client.channel(channel).join()
        note(f"Listening to {', '.join(channels) or 'messages from users'} as {login.named()}; Ctrl-C ends.")
        row = as_row if save is None else partial(_saved, client, save)
        return _print(events, count, idle_timeout, row)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise click.UsageError(f"{folder} cannot be made: {error.strerror}.") from None


def _saved(client: "Client", folder: Path, event: Any) -> dict[str, object]:
    """An event as plain data, when the file that it may be about is saved."""
    row = as_row(event)
    if isinstance(event, _MESSAGES) and event.media is not None:
        row.update(save_file(client, event.media, folder))
    return row


def _print(events: Any, count: int | None, idle_timeout: float | None, as_data: Row) -> ExitCode:
    """Print events until enough messages came, or none for too long."""
    idle = FOREVER if idle_timeout is None else idle_timeout
    printed, until = 0, Clock.now() + idle
    while count is None or printed < count:
        try:
            event = events.get(timeout=max(0.0, until - Clock.now()))
        except RequestTimeout:
            return ExitCode.OK if count is None else ExitCode.TIMEOUT
        if isinstance(event, StateChanged):
            _judge(event)
            continue
        emit(as_data(event))
        if isinstance(event, _MESSAGES):
            printed, until = printed + 1, Clock.now() + idle
        elif isinstance(event, ChannelLost):
            raise NotInChannel(f"{event.channel} was lost: {event.text}", code=event.code, operation="listen")
    return ExitCode.OK


def _judge(event: StateChanged) -> None:
    tell_state(event)
    if event.state is ConnectionState.ABORTED:
        raise abortion(event, "listen")
