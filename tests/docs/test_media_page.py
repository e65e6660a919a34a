"""docs/protocol/media.md: its commands work one after the other, and its tables say what the code does."""

import hashlib
import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from rtmcore import limits
from rtmcore.service.blobs.documents import SAFE_TYPES
from rtmcore.service.blobs.routes import BLOB_ROUTES
from rtmsync.server.config import DEV_APP_ID, ServerConfig
from rtmsync.server.server import Server
from rtmsync.server.tokens import AppKeys, TokenKey, make_token
from tests.docs.pages import blocks, page, pages, section, tables

(PATH,) = [path for path in pages() if path.as_posix().endswith("docs/protocol/media.md")]
COMMANDS = [block.code for block in blocks(PATH) if block.info == "bash"]
KEY = TokenKey(secret=b"k" * 32)
DATA = bytes(range(256)) * 1171 + bytes(224)


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_commands_work_one_after_the_other(tmp_path: Path) -> None:
    announce, send, look, remove, download, resume = order()
    (tmp_path / "report.bin").write_bytes(DATA)
    assert len(DATA) == 300_000
    with Server(
        ServerConfig(
            apps=[AppKeys(DEV_APP_ID, keys=(KEY,))], port=0, data_dir=tmp_path / "data", drain_seconds=0
        )
    ) as server:
        token = make_token(KEY, app=DEV_APP_ID, user="alice", now=time.time())
        values = {"SERVER": f"http{server.url[2:]}", "APP": DEV_APP_ID, "TOKEN": token}

        def run(command: str) -> str:
            done = subprocess.run(
                ["bash", "-euc", command],
                cwd=tmp_path, env={**os.environ, **values, "no_proxy": "127.0.0.1"},
                capture_output=True, text=True, timeout=60,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
            return done.stdout

        values["TICKET"] = re.search(r'"ticket": "([^"]+)"', run(COMMANDS[0]))[1]  # type: ignore[index]
        run(announce)
        head = (tmp_path / "headers").read_text()
        values["LOCATION"] = re.search(r"(?im)^location: (\S+)", head)[1]  # type: ignore[index]
        assert "Upload-Offset: 0" in head
        assert "204 No Content" in run(look)
        assert hashlib.sha256(DATA).hexdigest() in run(send)
        assert "200 OK" in run(look)
        (tmp_path / "report.bin").unlink()
        run(download)
        assert (tmp_path / "report.bin").read_bytes() == DATA
        (tmp_path / "report.bin").write_bytes(DATA[:100_000])
        run(resume)
        assert (tmp_path / "report.bin").read_bytes() == DATA
        run(remove)


def order() -> list[str]:
    """The commands behind the one for a ticket, in the order of the page."""
    assert len(COMMANDS) == 7
    return COMMANDS[1:]


def test_the_page_names_the_figures_of_the_code() -> None:
    text = page("protocol/media.md")
    for figure in (
        f"1 to `file` of the [welcome](limits.md), {limits.MEDIA_BYTES:,}",
        f"at most {limits.MEDIA_NAME_BYTES} bytes",
        f"about one for each {limits.MEDIA_CHUNK_BYTES // 1024} KiB",
        f"for {limits.MEDIA_TICKET_SECONDS // 60} minutes",
        f"No byte came for {limits.MEDIA_IDLE_TIMEOUT:.0f} seconds",
        f"The user has {limits.MEDIA_TRANSFERS} transfers at once",
        f"is kept for {limits.MEDIA_DAYS} days",
        f"Connections are kept for {limits.HTTP_IDLE_TIMEOUT:.0f} seconds",
    ):
        assert figure in text, figure


def test_the_page_names_the_types_that_are_served() -> None:
    text = section(page("protocol/media.md"), "What is served").text
    assert set(re.findall(r"`((?:audio|video|image|text|application)/[a-z0-9.+-]+)`", text)) == SAFE_TYPES | {
        "application/octet-stream"
    }


def test_the_page_names_every_status_of_an_error() -> None:
    (rows,) = tables(section(page("protocol/media.md"), "Errors").text)
    refused = {int(status) for route in BLOB_ROUTES for status in route.statuses if status >= 400}
    assert {int(row["Status"]) for row in rows} == refused | {405}


def test_the_page_names_every_field_of_an_announcement() -> None:
    (create,) = [route for route in BLOB_ROUTES if route.fields and route.needs]
    rows = next(tables(section(page("protocol/media.md"), "An upload").text))
    assert [row["Field"].strip("`") for row in rows] == list(create.fields)
