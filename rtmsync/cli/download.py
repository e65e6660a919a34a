"""`rtm download`: fetch a file from the server."""

from pathlib import Path

import click

from rtmsync.cli.options import Login, connection_options
from rtmsync.cli.output import note
from rtmsync.cli.transfers import follow, target_of
from rtmsync.exits import ExitCode


@click.command("download")
@connection_options
@click.option("--force", is_flag=True, help="Replace a file that is there already.")
@click.option(
    "--start", type=click.IntRange(min=0), default=0, help="Download a part: offset of its first byte."
)
@click.option("--stop", type=click.IntRange(min=1), help="Download a part: offset behind its last byte.")
@click.argument("media_id")
@click.argument("path", type=click.Path(path_type=Path), required=False)
def command(login: Login, force: bool, start: int, stop: int | None, media_id: str, path: Path | None) -> int:
    """Download the file MEDIA_ID to PATH, by default to a file here that is named like the id. - is standard output.

    The file gets its name when all of it is there and its checksum is right; of a part, its length. At a terminal a bar
    shows how far it is; Ctrl-C cancels it.
    """
    target = target_of(path, media_id, force=force)
    with login.connect() as client:
        if isinstance(target, Path):
            follow(client.download(media_id, target, start=start, stop=stop), target.name)
            note(f"saved to {target}")
        else:
            follow(client.download(media_id, target, start=start, stop=stop), media_id)
            target.flush()
    return ExitCode.OK
