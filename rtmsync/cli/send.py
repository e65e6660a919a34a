"""`rtm send`: messages to a channel or to a user, from the arguments, from lines of standard input, or a file."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import attrs
import click

from rtmcore.errors import RateLimited
from rtmcore.files import FileMessage
from rtmcore.limits import MESSAGE_BYTES_MAX
from rtmcore.models import PublishResult, SendResult, SendStatus
from rtmsync.cli.credentials import STDIN
from rtmsync.cli.options import Login, connection_options
from rtmsync.cli.output import emit, note
from rtmsync.cli.transfers import upload
from rtmsync.exits import ExitCode

Body = str | bytes | FileMessage

_SAID_OF: Final = {
    SendStatus.DELIVERED: "delivered to {peer}",
    SendStatus.CACHED: "stored for {peer}, who is offline",
    SendStatus.PEER_UNREACHABLE: "not delivered: {peer} is offline (--offline stores messages)",
}


@attrs.frozen
class Sent:
    """What became of one message.

    Args:
        row: The result as plain data.
        said: The result in words.
        ok: Whether it arrived or is stored.
    """

    row: dict[str, object]
    said: str
    ok: bool


@click.command("send")
@connection_options
@click.option("--peer", help="Send to this user instead of to a channel.")
@click.option("--offline", is_flag=True, help="Have a message to an offline user stored.")
@click.option(
    "--raw", metavar="@FILE", help="Send the bytes of a file as one raw message; @- is standard input."
)
@click.option(
    "--file",
    type=click.Path(path_type=Path),
    help="Upload a file and send the message about it, described by TEXT; - is standard input.",
)
@click.option("--json", "as_json", is_flag=True, help="Print a line of JSON for each message.")
@click.argument("words", nargs=-1, metavar="[CHANNEL] [TEXT]...")
def command(
    login: Login,
    peer: str | None,
    offline: bool,
    raw: str | None,
    file: Path | None,
    as_json: bool,
    words: Sequence[str],
) -> int:
    """Send TEXT to CHANNEL, or with --peer to a user; without TEXT each line of standard input is a message.

    Blank lines are left out. Lines that come faster than the documented rate wait for it. Exits with 6 when a
    user is offline and the message was not stored.
    """
    words = list(words)
    if peer is None and not words:
        raise click.UsageError("Where to? Name a channel, or a user with --peer.")
    if peer is not None and not peer:
        raise click.UsageError("--peer needs the name of a user.")
    if offline and peer is None:
        raise click.UsageError(
            "--offline belongs to --peer: channels store nothing for those who are not in them."
        )
    channel = None if peer is not None else words.pop(0)
    if raw is not None and words:
        raise click.UsageError("Give a text or --raw @FILE, not both.")
    if raw is not None and file is not None:
        raise click.UsageError("Give --raw @FILE or --file FILE, not both.")
    bodies = _bodies(words, raw) if file is None else iter(())
    result = ExitCode.OK
    with login.connect() as client:
        if file is not None:
            bodies = iter([upload(client, file, description=" ".join(words))])
        if channel is not None:
            with client.channel(channel) as joined:
                result = _send_all(bodies, lambda body: _to_channel(joined.send(body), channel), as_json)
        else:
            assert peer is not None
            result = _send_all(
                bodies, lambda body: _to_peer(client.send_peer(peer, body, offline=offline), peer), as_json
            )
    return result


def _bodies(words: Sequence[str], raw: str | None) -> Iterator[Body]:
    """The messages to send. A file is read at once, lines as they come."""
    if raw is not None:
        return iter([_read_raw(raw)])
    if words:
        return iter([" ".join(words)])
    return _lines()


def _read_raw(raw: str) -> bytes:
    if not raw.startswith("@"):
        raise click.UsageError("--raw takes a file: --raw @FILE, or --raw @- for standard input.")
    path = Path(raw[1:])
    try:
        if path == STDIN:
            return sys.stdin.buffer.read(MESSAGE_BYTES_MAX + 1)
        with path.open("rb") as file:
            return file.read(MESSAGE_BYTES_MAX + 1)
    except OSError as error:
        raise click.UsageError(f"{path} cannot be read: {error.strerror}.") from None


def _lines() -> Iterator[str]:
    if sys.stdin.isatty():
        note("Type messages, one a line; Ctrl-D ends.")
    for line in sys.stdin.buffer:
        text = line.decode("utf-8", "replace").rstrip("\r\n")
        if text.strip():
            yield text


def _send_all(bodies: Iterator[Body], send: Callable[[Body], Sent], as_json: bool) -> ExitCode:
    count, result = 0, ExitCode.OK
    said: dict[str, int] = {}
    for body in bodies:
        sent = _paced(send, body)
        count += 1
        said[sent.said] = said.get(sent.said, 0) + 1
        if not sent.ok:
            result = ExitCode.NOT_REACHABLE
        if as_json:
            emit(sent.row)
    if not as_json:
        for words, times in said.items():
            note(words if count == 1 else f"{times} messages {words}")
    return result


def _to_channel(result: PublishResult, channel: str) -> Sent:
    row = {"channel": channel, "message_id": result.message_id, "server_time": result.server_time}
    return Sent(row, f"accepted by the server for {channel}", ok=True)


def _to_peer(result: SendResult, peer: str) -> Sent:
    row = {
        "peer": peer,
        "status": result.status.name,
        "message_id": result.message_id,
        "server_time": result.server_time,
    }
    return Sent(row, _SAID_OF[result.status].format(peer=peer), result.status != SendStatus.PEER_UNREACHABLE)


def _paced(send: Callable[[Body], Sent], body: Body) -> Sent:
    """Send, and where the documented rate is used up wait until there is room again."""
    while True:
        try:
            return send(body)
        except RateLimited as error:
            if error.retry_after is None:
                raise
            time.sleep(error.retry_after)
