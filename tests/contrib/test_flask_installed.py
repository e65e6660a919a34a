"""`flask rtm` is there where rtmsync is installed, from a wheel and for those who work on it."""

import site
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from tests.tools import wheel

APP = """
from flask import Flask
from rtmsync.contrib.flask import RTM
app = Flask("shop")
app.config.update(RTM_TRANSPORT="memory", RTM_SECRET="a secret of at least 32 bytes, for tests")
RTM(app)
"""


def call(*command: object, folder: Path) -> str:
    done = subprocess.run(
        [*map(str, command)], cwd=folder, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, f"{command}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.slow
@pytest.mark.timeout(600)  # pip builds and installs
@pytest.mark.packaging
@pytest.mark.parametrize("editable", [False, True])
def test_the_command_is_found(tmp_path: Path, editable: bool) -> None:
    venv.create(tmp_path / "venv")
    python = tmp_path / "venv" / "bin" / "python"
    # What this environment has can be imported there, but the copy of rtmsync that is installed comes first.
    (packages,) = (tmp_path / "venv").glob("lib/python*/site-packages")
    (packages / "others.pth").write_text("\n".join(site.getsitepackages()))
    if editable:
        wheel.copy(wheel.SOURCES, tmp_path / "source")
        what = ["--no-build-isolation", "--editable", tmp_path / "source"]
    else:
        what = [wheel.build(tmp_path, isolated=False)]
    pip = [sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check"]
    call(*pip, "install", "--quiet", "--no-index", "--no-deps", "--ignore-installed", *what, folder=tmp_path)
    run = tmp_path / "run"
    run.mkdir()
    (run / "app.py").write_text(APP)
    found = call(python, "-c", "import rtmsync; print(rtmsync.__file__)", folder=run).strip()
    assert found.startswith(str(tmp_path))
    said = call(python, "-m", "flask", "rtm", "--help", folder=run)
    assert [name for name in ("check", "listen", "send", "token") if f"  {name} " in said] == [
        "check",
        "listen",
        "send",
        "token",
    ]
    assert call(python, "-m", "flask", "rtm", "token", "alice", folder=run).count(".") == 2
