"""Build the wheel, install it into a clean environment and run the tutorial's tests against it.

The tests run in a folder that holds no source of the packages, so whatever a
wheel lacks is missing there.

Usage: python -m tests.tools.wheel [pytest arguments]
"""

import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ("rtmcore", "rtmsync", "setup.cfg", "pyproject.toml", "README.md", "LICENSE")
TEST_FILES = ("tests", "docs", "examples", "setup.cfg", "README.md")
_GENERATED = shutil.ignore_patterns("__pycache__", "_build", "*.egg-info")


def copy(names: tuple[str, ...], to: Path) -> None:
    """Copy files and folders of the project, without what is generated."""
    to.mkdir(parents=True)
    for name in names:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, to / name, ignore=_GENERATED)
        elif source.exists():
            shutil.copy2(source, to / name)


def build(to: Path, *, isolated: bool) -> Path:
    """Build the wheel from a copy of the sources.

    In the tree itself, modules deleted long ago would come back from build/.

    Args:
        to: A folder that exists, for the copy and the wheel.
        isolated: Fetch setuptools as a user's pip does, instead of using the one installed here.

    Returns:
        The wheel's path.
    """
    copy(SOURCES, to / "source")
    command = [sys.executable, "-m", "pip", "wheel", "-qq", "--no-deps", "--disable-pip-version-check"]
    if not isolated:
        command.append("--no-build-isolation")
    subprocess.run([*command, "--wheel-dir", str(to), str(to / "source")], check=True, timeout=300)
    (wheel,) = to.glob("rtmsync-*.whl")
    return wheel


def main(arguments: list[str]) -> int:
    """Build, install, run.

    Args:
        arguments: Passed on to pytest.

    Returns:
        pytest's exit status.
    """
    with tempfile.TemporaryDirectory(prefix="rtm-wheel-") as name:
        work = Path(name)
        wheel = build(work, isolated=True)
        print(f"Installing {wheel.name} into a clean environment", flush=True)
        venv.create(work / "venv", with_pip=True)
        python = str(work / "venv" / "bin" / "python")
        install = [python, "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
        subprocess.run([*install, f"{wheel}[test]"], check=True, timeout=900)
        copy(TEST_FILES, work / "run")
        run = subprocess.run(
            [python, "-m", "pytest", "tests/docs", *arguments], cwd=work / "run", timeout=1800, check=False
        )
        return run.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
