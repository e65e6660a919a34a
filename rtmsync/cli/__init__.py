"""The `rtm` command: a server, clients for the terminal, and a doctor for connections.

Importing this package loads neither click nor rich; `main` does.
"""

import sys
from collections.abc import Sequence

_NEEDED = frozenset({"click", "rich"})


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the `rtm` command and end the process with one of `rtmsync.exits.ExitCode`.

    Args:
        arguments: Words after the program's name; those of the process by default.
    """
    try:
        from rtmsync.cli.app import run
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in _NEEDED:
            raise
        print(
            f"rtm: The command line needs the package {error.name}, which is not installed here. "
            'Install it with: pip install "rtmsync[cli]"',
            file=sys.stderr,
        )
        sys.exit(1)
    sys.exit(run(arguments))
