"""`rtm upload`: bring a file to the server, and print its media id."""

from pathlib import Path

import click

from rtmsync.cli.options import Login, connection_options
from rtmsync.cli.output import emit, say
from rtmsync.cli.transfers import as_file_row, upload
from rtmsync.exits import ExitCode


@click.command("upload")
@connection_options
@click.option("--name", help="What the file is called; by default the name in the path.")
@click.option("--image/--no-image", default=None, help="Whether it is an image; by default its bytes tell.")
@click.option("--json", "as_json", is_flag=True, help="Print a line of JSON instead of the media id.")
@click.argument("file", type=click.Path(path_type=Path))
def command(login: Login, name: str | None, image: bool | None, as_json: bool, file: Path) -> int:
    """Upload FILE, and print the media id, which whoever has it can download for 7 days. - is standard input.

    An upload that was cut goes on where it was. At a terminal a bar shows how far it is; Ctrl-C cancels it.
    """
    with login.connect() as client:
        message = upload(client, file, name=name, image=image)
    if as_json:
        emit(as_file_row(message))
    else:
        say(message.media_id)
    return ExitCode.OK
