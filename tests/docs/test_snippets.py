"""What the documentation shows can be run."""

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from rtmsync.server.config import DEFAULT_PORT, DEV_APP_ID, ServerConfig
from rtmsync.server.server import Server
from rtmsync.server.tokens import AppKeys
from rtmsync.testing import FaultProxy
from tests.docs.pages import DOCS, Block, blocks, pages
from tests.docs.snippets import run_page
from tests.peers import ALL, missing, required
from tests.system.processes import PATIENCE

README = DOCS.parent / "README.md"
PATIENT = {".get()": f".get(timeout={PATIENCE:g})"}
"""What a page waits for comes, but on a busy machine not always in the time that it is given by default."""

UPLOAD_RATE = 1_000_000
"""Bytes in a second. The file whose upload a page cancels would take 20 s."""

BLOCKS = [block for path in [README, *pages()] for block in blocks(path) if block.info == "python"]


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(ServerConfig(apps=[AppKeys(DEV_APP_ID)], port=0, dev=True)) as running:
        yield running


@pytest.mark.slow
def test_the_tutorial_prints_what_it_says(server: Server) -> None:
    changes = {
        **PATIENT,
        str(DEFAULT_PORT): str(server.port),
        # A busy machine may be silent for half a second before all is there.
        "idle_timeout=0.5": "idle_timeout=10",
        # The next attempt to connect comes up to 8 s later, and a send has 10 s by default.
        '"you missed this")': f'"you missed this", timeout={PATIENCE:g})',
        "ConnectionState.ABORTED)": f"ConnectionState.ABORTED, timeout={PATIENCE:g})",
    }
    run_page(DOCS / "tutorial.md", {}, changes)


def test_the_readme_runs(server: Server) -> None:
    names = {"URL": server.url, "APP_ID": DEV_APP_ID, "TOKEN": None}
    run_page(README, names, {"idle_timeout=30": "idle_timeout=0.2"})


@pytest.mark.parametrize("name", ["users", "rtc", "room", "timeline"])
def test_a_guide_prints_what_it_says(server: Server, name: str) -> None:
    run_page(DOCS / f"howto/{name}.md", {"URL": server.url, "APP_ID": DEV_APP_ID}, PATIENT)


def test_the_guide_to_files_prints_what_it_says(server: Server) -> None:
    changes = {"messages.get(timeout=10)": f"messages.get(timeout={PATIENCE:g})"}
    with FaultProxy("127.0.0.1", server.port) as proxy:
        proxy.throttle(UPLOAD_RATE)  # otherwise what is to be canceled may be through already
        run_page(DOCS / "howto/media.md", {"URL": proxy.url, "APP_ID": DEV_APP_ID}, changes)


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_what_a_snippet_imports_is_there(block: Block) -> None:
    for node in ast.walk(ast.parse(block.code, block.page)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                imported(alias.name)
        elif isinstance(node, ast.ImportFrom):
            module = imported(node.module or "")
            for alias in node.names:
                assert hasattr(module, alias.name), f"{node.module} has no {alias.name}"


def imported(name: str) -> ModuleType:
    """A module; the test is skipped where it belongs to a program of others that is not here."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        root = name.partition(".")[0]
        if root not in ALL or required():
            raise
        pytest.skip(missing(root))


def test_links_between_pages_lead_somewhere() -> None:
    for path in pages():
        for target in links(path):
            assert (path.parent / target).exists(), f"{path.relative_to(DOCS.parent)} links to {target}"


def links(path: Path) -> Iterator[str]:
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8")):
        if "://" not in target:
            yield target
