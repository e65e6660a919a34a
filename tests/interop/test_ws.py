"""A client in JavaScript on npm `ws`, written from docs/protocol alone, against a real server."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.interop.conftest import RunningServer

pytestmark = pytest.mark.interop

SCRIPT = Path(__file__).parent / "client.js"
SECONDS = 60


def node_with_ws() -> str:
    """The path of node.

    Where node, or the module `ws`, is absent, the test is skipped with a sentence.
    """
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed here: the client in JavaScript cannot run")
    module = os.environ.get("RTM_WS_MODULE", "ws")
    probe = subprocess.run(
        [node, "-e", "require(process.argv[1])", module], capture_output=True, timeout=SECONDS, check=False
    )
    if probe.returncode:
        pytest.skip("the npm module ws is not installed here; RTM_WS_MODULE may name its folder")
    return node


def test_a_client_in_javascript(server: RunningServer) -> None:
    run = subprocess.run(
        [node_with_ws(), str(SCRIPT), server.url, server.app],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines() == [
        "logged in",
        "published and received",
        "sent to a peer",
        "returned after a cut",
        "refused what is wrong",
        "kicked by a second login",
        "logged out",
    ]
