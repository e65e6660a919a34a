"""The page on Flask makes a site that runs, from its text alone."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import rtmsync
from tests.docs.pages import DOCS, blocks
from tests.examples.flask_sites import Visitor, environment, run, running
from tests.system.processes import free_port

pytestmark = pytest.mark.timeout(300)  # several programs start, one after another

PAGE = DOCS / "howto" / "flask.md"


def files() -> dict[str, str]:
    """The files of the site on the page."""
    found = (re.fullmatch(r":caption: (\S+)\n\n(.*)", block.code, re.DOTALL) for block in blocks(PAGE))
    return {named[1]: named[2] for named in found if named is not None}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What a reader has after writing the files."""
    for name, text in files().items():
        path = tmp_path / "site" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "site"


def test_the_page_has_these_files_and_commands() -> None:
    assert set(files()) == {"app.py", "templates/page.html", "test_app.py"}
    lines = [line for block in blocks(PAGE) if block.info == "sh" for line in block.code.splitlines()]
    commands = [line for line in lines if line.startswith("flask")]
    assert commands == ["flask rtm serve", "flask rtm listen", "flask run", "flask rtm check"]


def test_its_tests_pass(folder: Path) -> None:
    variables = environment(folder.parent)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
        "--rootdir",
        ".",
    ]
    done = subprocess.run(
        [*command, "test_app.py"],
        cwd=folder,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "2 passed" in done.stdout, done.stdout + done.stderr


@pytest.mark.slow
def test_who_follows_the_page_has_a_site(folder: Path) -> None:
    url, port = f"ws://127.0.0.1:{free_port()}", free_port()
    variables = environment(folder.parent, FLASK_APP=str(folder / "app.py"), FLASK_RTM_URL=url)
    with (
        running("rtm", "serve", ready=f"The RTM server listens on {url}", variables=variables),
        running("rtm", "listen", ready="Listening as kitchen", variables=variables),
        running("run", "--port", str(port), ready="Running on", variables=variables),
    ):
        assert "ok    listener: kitchen is online" in run("rtm", "check", variables=variables)
        guest = Visitor(f"http://127.0.0.1:{port}")
        assert guest.post("/rtm/token?tab=01234567").status == 401
        assert "Ask the kitchen" in guest.get("/").text
        assert "class RtmClient" in guest.get("/rtm.js").text
        given = json.loads(guest.post("/rtm/token?tab=01234567").text)
        with (
            rtmsync.connect(
                given["url"], app_id=given["app_id"], user_id=given["user"], token=given["token"]
            ) as page,
            page.channel("board") as board,
            board.events(rtmsync.ChannelMessage) as told,
            page.events(rtmsync.PeerMessage) as inbox,
        ):
            assert guest.post("/order", dish="soup").status == 204
            assert told.get(timeout=60).text == "ordered: soup"
            page.send_peer("kitchen", "salad", timeout=60)
            assert inbox.get(timeout=60).text == "salad: in five minutes"
            assert told.get(timeout=60).text == "asked for: salad"
