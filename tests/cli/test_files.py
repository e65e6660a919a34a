"""`rtm upload`, `rtm download`, `rtm send --file` and `rtm listen --save`."""

import json
import os
import pty
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import rtmsync
from rtmsync.cli.transfers import reserve, safe_name
from rtmsync.server.config import DEV_APP_ID, ServerConfig
from rtmsync.server.server import Server
from rtmsync.server.tokens import AppKeys
from rtmsync.testing import FaultProxy
from tests.cli.conftest import Rtm
from tests.cli.ends import RTM, Running, environment
from tests.core.test_images import png

DATA = bytes(range(256)) * 400


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with Server(ServerConfig(apps=[AppKeys(DEV_APP_ID)], port=0, rate_limits=False)) as running:
        yield running.url


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "data.bin"
    path.write_bytes(DATA)
    return path


def test_a_file_goes_up_and_comes_down(rtm: Rtm, url: str, file: Path, tmp_path: Path) -> None:
    up = rtm("upload", "--url", url, "-u", "ann", str(file))
    assert (up.status, up.err) == (0, "")
    media_id = up.out.strip()
    there = tmp_path / "there.bin"
    down = rtm("download", "--url", url, "-u", "bob", media_id, str(there))
    assert (down.status, down.out) == (0, "")
    assert str(there) in down.err
    assert there.read_bytes() == DATA
    again = rtm("download", "--url", url, "-u", "bob", media_id, str(there))
    assert again.status == 2
    assert "--force" in again.err
    assert rtm("download", "--url", url, "-u", "bob", "--force", media_id, str(there)).status == 0
    assert rtm("download", "--url", url, "-u", "bob", media_id, str(tmp_path)).status == 0
    assert (tmp_path / media_id).read_bytes() == DATA


def test_an_upload_says_more_as_json(rtm: Rtm, url: str, tmp_path: Path) -> None:
    path = tmp_path / "cat.png"
    path.write_bytes(png(640, 480))
    up = rtm("upload", "--url", url, "-u", "ann", "--json", str(path))
    row = json.loads(up.out)
    assert (row["name"], row["width"], row["height"]) == ("cat.png", 640, 480)
    row = json.loads(rtm("upload", "--url", url, "-u", "ann", "--json", "--no-image", str(path)).out)
    assert "width" not in row


def test_no_media_id_looks_like_an_option(url: str) -> None:
    with rtmsync.connect(url, app_id=DEV_APP_ID, user_id="ann") as ann:
        ids = [ann.upload_file(b"x", name="x").result().media_id for _ in range(20)]
    assert all(each.isalnum() for each in ids)


def test_pipes_take_part(rtm: Rtm, url: str) -> None:
    up = rtm("upload", "--url", url, "-u", "ann", "--name", "piped", "-", stdin=b"hello\n")
    assert up.status == 0
    down = rtm("download", "--url", url, "-u", "ann", up.out.strip(), "-")
    assert (down.status, down.out, down.err) == (0, "hello\n", "")


def test_a_part_comes_down(rtm: Rtm, url: str, file: Path, tmp_path: Path) -> None:
    media_id = rtm("upload", "--url", url, "-u", "ann", str(file)).out.strip()
    there = tmp_path / "there.bin"
    words = ("download", "--url", url, "-u", "ann", "--force")
    for options, part in (
        (("--start", "1000", "--stop", "70000"), DATA[1000:70_000]),
        (("--start", "102000"), DATA[102_000:]),
        (("--stop", "5"), DATA[:5]),
    ):
        assert rtm(*words, *options, media_id, str(there)).status == 0
        assert there.read_bytes() == part
    behind = rtm(*words, "--start", str(len(DATA)), media_id, str(there))
    assert behind.status == 1
    assert "behind the end" in behind.err
    assert there.read_bytes() == DATA[:5]


@pytest.mark.parametrize(
    "words",
    [
        ("upload", "nowhere"),
        ("download", "a/b"),
        ("upload", "."),
        ("download", "--start", "-1", "abc", "-"),
        ("download", "--start", "5", "--stop", "5", "abc", "-"),
    ],
)
def test_what_cannot_be_is_wrong_use(rtm: Rtm, url: str, words: tuple[str, ...]) -> None:
    assert rtm(words[0], "--url", url, "-u", "ann", *words[1:]).status == 2


def test_a_file_that_is_not_there_is_a_failure(rtm: Rtm, url: str, tmp_path: Path) -> None:
    down = rtm("download", "--url", url, "-u", "ann", "no-such-id", str(tmp_path / "x"))
    assert down.status == 1
    assert "NOT_EXIST" in down.err
    assert "keeps files for 7 days" in down.err
    assert os.listdir(tmp_path) == []


def test_files_are_sent_and_saved(url: str, file: Path, tmp_path: Path) -> None:
    folder = tmp_path / "inbox"
    folder.mkdir()
    (folder / "data.bin").write_text("mine")
    listening = Running("listen", "--url", url, "-u", "bob", "--count", "3", "--save", str(folder))
    try:
        listening.notes("Listening")
        sender = ("send", "--url", url, "-u", "ann", "--peer", "bob")
        for words in (("--file", str(file), "of", "May"), ("hello",), ("--file", str(file))):
            sending = Running(*sender, *words)
            try:
                assert sending.wait() == 0, sending.said
            finally:
                sending.clean_up()
        rows = [listening.row() for _ in range(3)]
        assert listening.wait() == 0
    finally:
        listening.clean_up()
    assert rows[0]["media"]["name"] == "data.bin"
    assert rows[0]["media"]["description"] == "of May"
    assert rows[0]["saved"] == str(folder / "data (2).bin")
    assert rows[1]["text"] == "hello"
    assert rows[2]["saved"] == str(folder / "data (3).bin")
    assert (folder / "data (2).bin").read_bytes() == DATA
    assert (folder / "data.bin").read_text() == "mine"
    assert len(os.listdir(folder)) == 3


def test_a_file_that_cannot_be_saved_does_not_end_the_listening(url: str, tmp_path: Path) -> None:
    listening = Running("listen", "--url", url, "-u", "bob", "--count", "1", "--save", str(tmp_path))
    try:
        listening.notes("Listening")
        with rtmsync.connect(url, app_id=DEV_APP_ID, user_id="eve", proxy=None) as eve:
            eve.send_peer("bob", rtmsync.FileMessage("no-such-file", name="../x"[3:]))
        row = listening.row()
        assert "NOT_EXIST" in row["error"]
        assert listening.wait() == 0
    finally:
        listening.clean_up()
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("report.pdf", "report.pdf"),
        ("Bericht für Mai (2).pdf", "Bericht für Mai (2).pdf"),
        (".bashrc", "bashrc"),
        ("..", "id"),
        ("", "id"),
        ("a/b\\c:d|e?f", "a_b_c_d_e_f"),
        ("-rf", "rf"),
        ("con.txt", "_con.txt"),
        ("COM1", "_COM1"),
        ("a\x00b\n", "a_b_"),
        ("trailing. . ", "trailing"),
        ("x" * 300, "x" * 100),
        ("ä" * 300, "ä" * 50),
    ],
)
def test_names_of_others_are_made_safe(name: str, safe: str) -> None:
    assert safe_name(name, "id") == safe


def test_nothing_that_is_there_is_written_over_or_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    folder = tmp_path / "inbox"
    folder.mkdir()
    (folder / "x").symlink_to(outside)
    assert reserve(folder, "x") == folder / "x (2)"
    assert not outside.exists()


def read_all(descriptor: int, into: list[bytes]) -> None:
    while True:
        try:
            data = os.read(descriptor, 4096)
        except OSError:
            return
        if not data:
            return
        into.append(data)


def test_a_terminal_sees_a_bar_and_ctrl_c_cancels(url: str, tmp_path: Path) -> None:
    import subprocess

    path = tmp_path / "large"
    path.write_bytes(bytes(20_000_000))  # for 40 s
    port = int(url.rpartition(":")[2].partition("/")[0])
    with FaultProxy("127.0.0.1", port) as proxy:
        proxy.throttle(500_000)
        master, slave = pty.openpty()
        seen: list[bytes] = []
        process = subprocess.Popen(
            [*RTM, "upload", "--url", proxy.url, "-u", "ann", str(path)],
            stderr=slave,
            stdout=subprocess.PIPE,
            env=environment(TERM="xterm", COLUMNS="100"),
        )
        os.close(slave)
        reader = threading.Thread(target=read_all, args=(master, seen))
        reader.start()
        try:
            wait_for(lambda: b"large" in b"".join(seen) and b"MB" in b"".join(seen))
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 130
        finally:
            process.kill()
            out, _ = process.communicate()
            reader.join(60)
            os.close(master)
        assert out == b""


def wait_for(condition: Callable[[], bool]) -> None:
    import time

    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)
