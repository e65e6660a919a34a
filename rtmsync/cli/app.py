"""The group of commands, each loaded when it is called, and how errors become an exit status."""

import importlib
import io
import logging
import sys
from collections.abc import Sequence
from typing import Final

import click

from rtmcore import __version__
from rtmcore.errors import RtmError
from rtmsync.cli.output import explain, note
from rtmsync.exits import ExitCode, exit_code

COMMANDS: Final = (
    "serve",
    "token",
    "send",
    "listen",
    "upload",
    "download",
    "chat",
    "call",
    "watch",
    "presence",
    "members",
    "attrs",
    "history",
    "doctor",
    "errors",
    "states",
)

_EXTRA_OF: Final = {
    "jwt": "server",
    "tomli": "server",
    "click": "cli",
    "rich": "cli",
}


class _Commands(click.Group):
    """Finds each command in the module of its name."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"rtmsync.cli.{cmd_name}")
        command = module.command
        assert isinstance(command, click.Command)
        return command


@click.command(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit status: 0 done, 1 failure, 2 wrong use, 3 refused (credentials), 4 timed out, 5 called too "
    "often, 6 not reachable, 130 Ctrl-C.",
)
@click.option("-v", "--verbose", count=True, help="Log more to standard error; twice for details.")
@click.version_option(__version__, message="%(prog)s %(version)s")
def rtm(verbose: int) -> None:
    """Real-time messaging from the terminal.

    Without options the commands talk to the server that `rtm serve --dev` starts.
    """
    level = {0: logging.WARNING, 1: logging.INFO}.get(verbose, logging.DEBUG)
    logging.basicConfig(
        stream=sys.stderr, level=level, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status.

    Args:
        arguments: Words after the program's name; those of the process by default.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    try:
        result = rtm.main(
            args=None if arguments is None else list(arguments), prog_name="rtm", standalone_mode=False
        )
    except click.UsageError as error:
        error.show()
        return ExitCode.USAGE
    except click.ClickException as error:
        error.show()
        return ExitCode.FAILURE
    except click.Abort:
        note("rtm: interrupted")
        return ExitCode.INTERRUPTED
    except RtmError as error:
        note(f"rtm: {explain(error)}")
        return exit_code(error)
    except ModuleNotFoundError as error:
        extra = _EXTRA_OF.get((error.name or "").split(".")[0])
        if extra is None:
            raise
        note(
            f"rtm: This needs the package {error.name}, which is not installed here. "
            f'Install it with: pip install "rtmsync[{extra}]"'
        )
        return ExitCode.FAILURE
    return result if isinstance(result, int) else ExitCode.OK
