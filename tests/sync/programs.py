"""Programs in processes of their own."""

import subprocess
import sys
import textwrap


def run_program(url: str, name: str, *code: str) -> subprocess.CompletedProcess[str]:
    """Run a program, in which the arguments are a server's URL and a name; it may take 90 seconds.

    Args:
        url: The first argument.
        name: The second one.
        code: Pieces of the program, each indented as it stands in the test.
    """
    program = "".join(map(textwrap.dedent, code))
    warnings = ["-W", "error::ResourceWarning", "-W", "ignore::DeprecationWarning"]
    return subprocess.run(
        [sys.executable, *warnings, "-c", program, url, name],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
