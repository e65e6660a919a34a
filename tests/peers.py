"""Programs and packages of others that some tests run against, such as gunicorn and Chromium.

`make peers` installs the packages; Chromium and its driver come from the system.
A test that needs one calls `require`, which skips it with a sentence where the
peer is missing. With ``RTM_REQUIRE_PEERS=1`` the test fails instead: so runs CI.

``python -m tests.peers`` prints all of them, and with that variable fails where one is missing.
"""

import importlib.util
import os
import shutil
import sys
from pathlib import Path
from typing import Final

import pytest

VARIABLE: Final = "RTM_REQUIRE_PEERS"
"""The environment variable that forbids to go without."""

PROGRAMS: Final = frozenset({"celery", "chromedriver", "chromium", "gunicorn", "uwsgi"})
"""Peers that are run; the others are modules that are imported."""

FROM_THE_SYSTEM: Final = {"chromedriver": "chromium-driver", "chromium": "chromium", "nginx": "nginx"}
"""Programs that pip does not install, and Debian's package of each."""

ALL: Final = (*sorted(PROGRAMS), "gevent", "requests", "selenium", "trio", "twisted")
"""What CI has."""


def locate(name: str) -> str | None:
    """The path of a program, beside this interpreter or along PATH, or of a module's code; None where it is not."""
    if name in PROGRAMS or name in FROM_THE_SYSTEM:
        beside = str(Path(sys.executable).parent)
        return shutil.which(name, path=beside) or shutil.which(name)
    try:
        spec = importlib.util.find_spec(name)
    except ModuleNotFoundError:  # the package that would hold it
        return None
    return None if spec is None else spec.origin or name


def missing(name: str) -> str:
    """A sentence that says what is not here and how to get it."""
    package = FROM_THE_SYSTEM.get(name)
    how = f"on Debian: apt-get install {package}" if package else "make peers installs it"
    return f"{name} is not installed here ({how})"


def required() -> bool:
    """Whether going without is forbidden."""
    return os.environ.get(VARIABLE, "") not in ("", "0")


def require(name: str) -> str:
    """Skip the test, or the module that calls this while it is imported, where a peer is missing.

    Args:
        name: A program of `PROGRAMS`, or a module.

    Returns:
        Where it is: the path of the program, or of the module's code.
    """
    found = locate(name)
    if found is not None:
        return found
    if required():
        pytest.fail(f"{missing(name)}, and {VARIABLE} says that it must be", pytrace=False)
    pytest.skip(missing(name), allow_module_level=True)


def main() -> int:
    """Print where each peer is.

    Returns:
        The exit code: 1 where one is missing that must not be.
    """
    found = {name: locate(name) for name in ALL}
    for name, path in found.items():
        print(f"{name}: {path}" if path else missing(name))
    return int(required() and not all(found.values()))


if __name__ == "__main__":
    sys.exit(main())
