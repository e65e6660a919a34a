"""Print each CPython 3.10 or later on this machine that can make an environment, one for each minor version.

Looks along PATH and in pyenv's versions. A pyenv shim whose version is not
selected is on PATH but does not run, so every candidate is asked. With
``--others`` the version that runs this script is left out.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

MINORS = range(10, 20)
_PROBE = (
    "import sys, venv, ensurepip;"
    "sys.exit(sys.implementation.name != 'cpython' or sys.version_info[:2] != (3, int(sys.argv[1])))"
)


def candidates(minor: int) -> Iterator[str]:
    """Paths that may be CPython 3.``minor``, the likeliest first."""
    name = f"python3.{minor}"
    on_path = shutil.which(name)
    if on_path:
        yield on_path
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    yield from sorted(map(str, versions.glob(f"3.{minor}.*/bin/{name}")), reverse=True)


def works(python: str, minor: int) -> bool:
    """Whether the candidate runs, is CPython 3.``minor`` and has venv and ensurepip."""
    try:
        probe = subprocess.run(
            [python, "-c", _PROBE, str(minor)], capture_output=True, timeout=30, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return probe.returncode == 0


if __name__ == "__main__":
    left_out = sys.version_info.minor if "--others" in sys.argv else None
    for minor in MINORS:
        if minor == left_out:
            continue
        found = next((python for python in candidates(minor) if works(python, minor)), None)
        if found:
            print(found)
