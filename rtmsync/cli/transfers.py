"""What commands that transfer files have in common: a bar at a terminal, and names under which files are saved."""

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, TypeVar

import click

from rtmcore.errors import RtmError
from rtmcore.files import FileMessage, ImageMessage
from rtmcore.images import HEAD_BYTES, media_type
from rtmcore.models import ChannelMessage, PeerMessage
from rtmsync.cli.credentials import STDIN
from rtmsync.cli.output import printable

if TYPE_CHECKING:
    from rtmsync.client import Client
    from rtmsync.transfer import Transfer

T = TypeVar("T")

_SAFE: Final = frozenset(" ._-()[]+,@")
_NAME_CHARACTERS: Final = 100
_TRIES: Final = 1000
_DEVICES: Final = frozenset(
    ["con", "prn", "aux", "nul", *(f"{name}{number}" for name in ("com", "lpt") for number in range(10))]
)


def follow(transfer: "Transfer[T]", label: str) -> T:
    """Wait for a transfer, with a bar where standard error is a terminal. Ctrl-C cancels it.

    Args:
        transfer: Under way.
        label: What is transferred, for people.
    """
    with transfer:
        if not sys.stderr.isatty():
            return transfer.result()
        # Only here, since it takes its time to load.
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
        )
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(printable(label), total=None)
            for progress in transfer:
                bar.update(task, completed=progress.done, total=progress.total)
        return transfer.result()


def upload(
    client: "Client", path: Path, *, name: str | None = None, description: str = "", image: bool | None = None
) -> FileMessage:
    """Upload a file, or standard input where it is called ``-``, and wait for the message about it.

    Args:
        client: Logged in.
        path: The file.
        name: What it is called; by default the name in the path.
        description: What there is to say about it.
        image: Whether it is sent as an image; None where its first bytes decide.
    """
    standard_input = path == STDIN
    source: Any = sys.stdin.buffer if standard_input else path
    if image is None:
        image = not standard_input and _is_image(path)
    begin = client.upload_image if image else client.upload_file
    transfer: Transfer[Any] = begin(source, name=name, description=description)
    found: FileMessage = follow(transfer, name or path.name)
    return found


def shown(message: PeerMessage | ChannelMessage) -> str:
    """A message as people at a terminal read it."""
    about = message.media
    if about is None:
        return printable(message.text)
    what = "image" if isinstance(about, ImageMessage) else "file"
    name = f"{printable(about.name)}, " if about.name else ""
    said = f": {printable(about.description)}" if about.description else ""
    return f"<{what} {name}{about.size} bytes; rtm download {about.media_id}>{said}"


def as_file_row(message: FileMessage) -> dict[str, object]:
    """What a message says about a file, as plain data; not its thumbnail."""
    row: dict[str, object] = {
        "media_id": message.media_id,
        "size": message.size,
        "name": message.name,
        "description": message.description,
    }
    if isinstance(message, ImageMessage):
        row.update(width=message.width, height=message.height)
    return row


def safe_name(name: str, otherwise: str) -> str:
    """A name under which a file of somebody else can be saved: no path, nothing hidden, no device, not too long.

    Args:
        name: The sender's.
        otherwise: Where nothing is left of it.
    """
    kept = "".join(each if each.isalnum() or each in _SAFE else "_" for each in name[:_NAME_CHARACTERS])
    kept = kept.encode("utf-8", "ignore")[:_NAME_CHARACTERS].decode("utf-8", "ignore")
    kept = kept.lstrip(" .-").rstrip(" .")
    if kept.partition(".")[0].strip().lower() in _DEVICES:
        kept = f"_{kept}"
    return kept or otherwise


def reserve(folder: Path, name: str) -> Path:
    """Make an empty file of that name, or of one with a number where there is such a file already.

    Raises:
        OSError: Nothing can be written there.
    """
    wanted = Path(name)
    for path in (folder / each for each in _numbered(wanted)):
        try:
            path.open("xb").close()
        except FileExistsError:
            continue
        return path
    raise FileExistsError(0, "there are too many files of this name", str(folder / name))


def save(client: "Client", message: FileMessage, folder: Path) -> dict[str, object]:
    """Download the file of a message into a directory.

    Returns:
        Where it was saved, or why it was not, as plain data.
    """
    name = safe_name(message.name, message.media_id)
    try:
        path = reserve(folder, name)
    except OSError as error:
        return {"error": f"{folder} cannot be written to: {error.strerror or error}"}
    try:
        follow(client.download(message, path), name)
    except BaseException as error:
        path.unlink(missing_ok=True)
        if isinstance(error, RtmError):
            return {"error": str(error)}
        raise
    return {"saved": str(path)}


def target_of(path: Path | None, media_id: str, *, force: bool) -> "Path | BinaryIO":
    """Where a download goes: a file that is not there yet, or standard output for ``-``."""
    if path == STDIN:
        return sys.stdout.buffer
    found = Path(media_id) if path is None else path
    if found.is_dir():
        found /= media_id
    if found.exists() and not force:
        raise click.UsageError(f"{found} is there already; --force replaces it.")
    return found


def _numbered(wanted: Path) -> Iterable[str]:
    yield wanted.name
    for number in range(2, _TRIES):
        yield f"{wanted.stem} ({number}){wanted.suffix}"


def _is_image(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return path.is_file() and media_type(file.read(HEAD_BYTES)).startswith("image/")
    except OSError:
        return False  # the upload says what is wrong
