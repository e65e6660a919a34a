"""What users install: the declared metadata and the contents of the wheel."""

import ast
import configparser
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest

import rtmcore
from tests.tools import wheel
from tests.tools.floors import floors

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[zipfile.ZipFile]:
    """The wheel, built from a copy of the sources with the setuptools of this environment."""
    with zipfile.ZipFile(wheel.build(tmp_path_factory.mktemp("wheel"), isolated=False)) as archive:
        yield archive


@pytest.fixture(scope="module")
def metadata(built: zipfile.ZipFile) -> Message:
    (name,) = [name for name in built.namelist() if name.endswith(".dist-info/METADATA")]
    return Parser().parsestr(built.read(name).decode("utf-8"))


@pytest.mark.packaging
def test_wheel_holds_both_packages_and_nothing_else(built: zipfile.ZipFile) -> None:
    expected = {
        str(path.relative_to(ROOT))
        for package in ("rtmcore", "rtmsync")
        for path in (ROOT / package).rglob("*")
        if "__pycache__" not in path.parts and path.is_file()
    }
    dist_info = f"rtmsync-{rtmcore.__version__}.dist-info/"
    packaged = {name for name in built.namelist() if not name.startswith(dist_info)}
    assert packaged == expected
    assert {"rtmcore/py.typed", "rtmsync/py.typed"} <= packaged
    assert dist_info + "licenses/LICENSE" in built.namelist()


@pytest.mark.packaging
def test_wheel_metadata(metadata: Message, built: zipfile.ZipFile) -> None:
    assert metadata["Name"] == "rtmsync"
    assert metadata["Version"] == rtmcore.__version__
    assert metadata["License-Expression"] == "MIT"
    assert metadata["Requires-Python"] == ">=3.10"
    required = metadata.get_all("Requires-Dist") or []
    always = {re.split("[<>=]", line)[0] for line in required if "extra ==" not in line}
    assert always == {"attrs", "cattrs", "h11", "msgspec", "wsproto"}
    extras = {"bench", "cli", "django", "docs", "flask", "media", "peers", "redis", "server", "test"}
    assert set(metadata.get_all("Provides-Extra") or []) == extras
    entry_points = next(name for name in built.namelist() if name.endswith("entry_points.txt"))
    assert "rtm = rtmsync.cli:main" in built.read(entry_points).decode("utf-8")
    assert "rtm = rtmsync.contrib.flask.commands:rtm" in built.read(entry_points).decode("utf-8")
    assert "rtmsync = rtmsync.testing.plugin" in built.read(entry_points).decode("utf-8")


@pytest.mark.packaging
def test_setuptools_has_nothing_to_warn_about(tmp_path: Path) -> None:
    wheel.copy(wheel.SOURCES, tmp_path / "source")
    run = subprocess.run(
        [sys.executable, "-c", "import setuptools; setuptools.setup()", "--quiet", "egg_info"],
        cwd=tmp_path / "source",
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert "Warning" not in run.stderr
    assert "deprecat" not in run.stderr.lower()


def test_pyproject_holds_only_the_build_system() -> None:
    lines = (ROOT / "pyproject.toml").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if line.startswith("[")] == ["[build-system]"]
    assert {line.split(" = ")[0] for line in lines[1:] if line} == {"requires", "build-backend"}


def test_version_can_be_read_without_importing_a_dependency() -> None:
    tree = ast.parse((ROOT / "rtmcore" / "__init__.py").read_text(encoding="utf-8"))
    (version,) = [
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign) and "__version__" in ast.unparse(node).split("=")[0]
    ]
    assert isinstance(version, ast.Constant)
    assert version.value == rtmcore.__version__


def test_setup_cfg_keys_use_underscores() -> None:
    config = configparser.ConfigParser(interpolation=None)
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    sections = [name for name in config.sections() if name == "metadata" or name.startswith("options")]
    assert [key for name in sections for key in config[name] if "-" in key] == []


def test_every_dependency_has_a_floor_and_only_wsproto_a_cap() -> None:
    text = (ROOT / "setup.cfg").read_text(encoding="utf-8")
    assert {line.split("==")[0] for line in floors(text)} >= {
        "attrs",
        "cattrs",
        "h11",
        "msgspec",
        "wsproto",
        "click",
    }
    capped = [line.strip() for line in text.splitlines() if line.startswith("    ") and ",<" in line]
    assert [line.split(">=")[0] for line in capped] == ["wsproto"]


def test_a_dependency_without_a_floor_is_refused() -> None:
    with pytest.raises(ValueError, match="'click' without a floor"):
        floors("[options]\ninstall_requires =\n    click\n[options.extras_require]\n")
