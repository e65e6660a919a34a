"""The examples that people would start from, as programs in processes of their own at a real server."""

import contextlib
import os
import pty
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rtmsync import ChannelMessage, Client, PeerMessage, connect
from rtmsync.exits import ExitCode
from rtmsync.server.config import DEV_APP_ID, ServerConfig
from rtmsync.server.server import Server
from rtmsync.server.tokens import AppKeys, TokenKey
from tests.examples.programs import EXAMPLES, PATIENCE, Program

pytestmark = pytest.mark.timeout(300)

KEY = "key-of-the-notifier-0123456789abcdef"


@pytest.fixture
def server() -> Iterator[Server]:
    config = ServerConfig(
        apps=[AppKeys(DEV_APP_ID)], server_keys={DEV_APP_ID: [KEY]}, port=0, drain_seconds=0.0
    )
    with Server(config) as running:
        yield running


@pytest.fixture
def environment(server: Server) -> dict[str, str]:
    return {"RTM_URL": server.url, "RTM_APP_ID": DEV_APP_ID}


@pytest.fixture
def alice(server: Server) -> Iterator[Client]:
    with connect(server.url, app_id=DEV_APP_ID, user_id="alice") as client:
        yield client


# --- notifier.py -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", [None, KEY], ids=["a session", "one request"])
def test_the_notifier_tells_how_a_command_ended(
    key: str | None, alice: Client, environment: dict[str, str]
) -> None:
    if key is not None:
        environment["RTM_SERVER_KEY"] = key
    with alice.events(PeerMessage) as inbox:
        fails = [sys.executable, "-c", "print('all is lost'); raise SystemExit(3)"]
        with Program(EXAMPLES / "notifier.py", "alice", "--", *fails, environment=environment) as notifier:
            assert notifier.finish() == 3
        assert notifier.lines == ["all is lost"]
        first, *rest = inbox.get(PATIENCE).text.splitlines()
        assert "failed with status 3 after" in first
        assert rest == ["all is lost"]


@pytest.mark.parametrize("key", [None, KEY], ids=["a session", "one request"])
def test_the_notifier_tells_a_channel(key: str | None, alice: Client, environment: dict[str, str]) -> None:
    if key is not None:
        environment["RTM_SERVER_KEY"] = key
    with alice.channel("ops") as ops, ops.events(ChannelMessage) as messages:
        with Program(EXAMPLES / "notifier.py", "#ops", "--", "true", environment=environment) as notifier:
            assert notifier.finish() == 0
        assert "true is done after" in messages.get(PATIENCE).text


def test_the_notifier_reaches_who_is_offline(server: Server, environment: dict[str, str]) -> None:
    with Program(EXAMPLES / "notifier.py", "bob", "--", "true", environment=environment) as notifier:
        assert notifier.finish() == 0
    with connect(server.url, app_id=DEV_APP_ID, user_id="bob") as bob:
        message = bob.events(PeerMessage).get(PATIENCE)
    assert message.offline
    assert "true is done" in message.text


def test_the_notifier_keeps_the_result_where_nobody_can_be_told(environment: dict[str, str]) -> None:
    environment["RTM_SERVER_KEY"] = "a-wrong-key"
    with Program(EXAMPLES / "notifier.py", "alice", "--", "false", environment=environment) as notifier:
        assert notifier.finish() == 1
    assert "notifier: alice was not told: " in notifier.lines[-1]


# --- queue_worker.py -------------------------------------------------------------------------------------------------


def worker(folder: Path, environment: dict[str, str]) -> Program:
    return Program(EXAMPLES / "queue_worker.py", "work", folder, environment=environment)


@pytest.mark.slow
def test_no_job_is_lost_or_done_twice_when_the_worker_is_killed(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    jobs = ["one", "two words", "three words here"]
    with Program(EXAMPLES / "queue_worker.py", "give", *jobs, environment=environment) as giver:
        with worker(tmp_path, environment) as first:
            first.wait_for("done one")
            first.wait_for("begins")
            first.process.send_signal(signal.SIGKILL)
        with worker(tmp_path, environment) as second:
            second.wait_for("ready")
            assert giver.finish() == 0
            second.process.send_signal(signal.SIGTERM)
            second.wait_for("ends")
            assert second.finish() == 0
    assert sorted(giver.lines) == ["one: 1 words", "three words here: 3 words", "two words: 2 words"]
    said = first.lines + second.lines
    assert [said.count(f"done {job}") for job in jobs] == [1, 1, 1]
    assert len(list(tmp_path.glob("*.json"))) == 3


def test_a_worker_answers_again_what_it_has_done(
    tmp_path: Path, alice: Client, environment: dict[str, str]
) -> None:
    job = '{"id": "00000000-0000-4000-8000-000000000001", "text": "once"}'
    with worker(tmp_path, environment) as running, alice.events(PeerMessage) as answers:
        running.wait_for("ready")
        alice.send_peer("worker", job)
        first = answers.get(PATIENCE).text
        alice.send_peer("worker", "no job at all")
        alice.send_peer("worker", job)
        assert answers.get(PATIENCE).text == first
        running.process.send_signal(signal.SIGTERM)
        assert running.finish() == 0
    assert running.lines.count("done once") == 1
    assert any(line.startswith("no job, from alice") for line in running.lines)


# --- presence_dashboard.py --------------------------------------------------------------------------------------------


def test_the_dashboard_tells_who_comes_and_goes(
    server: Server, alice: Client, environment: dict[str, str]
) -> None:
    program = Program(EXAMPLES / "presence_dashboard.py", "alice", "bob", environment=environment)
    with program as dashboard:
        dashboard.wait_for("alice is ONLINE")
        with connect(server.url, app_id=DEV_APP_ID, user_id="bob"):
            dashboard.wait_for("bob is ONLINE")
        dashboard.wait_for("bob is OFFLINE")
        dashboard.process.send_signal(signal.SIGINT)
        assert dashboard.finish() == 0


def test_the_dashboard_draws_a_table_in_a_terminal(alice: Client, environment: dict[str, str]) -> None:
    with (
        terminal() as (output, shown),
        Program(
            EXAMPLES / "presence_dashboard.py",
            "alice",
            environment={**environment, "TERM": "xterm"},
            output=output,
        ) as dashboard,
    ):
        due = time.monotonic() + PATIENCE
        while b"ONLINE" not in shown:
            assert dashboard.process.poll() is None, bytes(shown)
            assert time.monotonic() < due, bytes(shown)
            time.sleep(0.01)
        dashboard.process.send_signal(signal.SIGINT)
        assert dashboard.process.wait(PATIENCE) == 0
    for word in (b"Online", b"User", b"State", b"alice"):
        assert word in shown


@contextlib.contextmanager
def terminal() -> Iterator[tuple[int, bytearray]]:
    """A descriptor that is a terminal's, and what is written to it: all is read, so that nobody waits for a reader."""
    ours, theirs = pty.openpty()
    shown = bytearray()

    def read() -> None:
        with contextlib.suppress(OSError):  # nobody has it open any more
            while data := os.read(ours, 4096):
                shown.extend(data)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        yield theirs, shown
    finally:
        os.close(theirs)
        reader.join(PATIENCE)
        os.close(ours)


# --- file_drop.py -----------------------------------------------------------------------------------------------------


def test_files_are_shared_both_ways(tmp_path: Path, environment: dict[str, str]) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir()
    (one / "old.txt").write_text("was there before")
    drop = EXAMPLES / "file_drop.py"
    with (
        Program(drop, one, "files", environment=environment) as first,
        Program(drop, other, "files", environment=environment) as second,
    ):
        first.wait_for("sharing")
        second.wait_for("sharing")
        (one / "plan.txt").write_text("of the first")
        second.wait_for("received plan.txt from drop-")
        first.wait_for("sent plan.txt")
        assert (other / "plan.txt").read_text() == "of the first"
        (other / "answer.bin").write_bytes(bytes(range(256)) * 1_000)
        first.wait_for("received answer.bin from drop-")
        second.wait_for("sent answer.bin")
        assert (one / "answer.bin").read_bytes() == bytes(range(256)) * 1_000
        for program in (first, second):
            program.process.send_signal(signal.SIGTERM)
            assert program.finish() == 0
    assert [line for line in first.lines if "sent" in line] == ["sent plan.txt"]
    assert [line for line in second.lines if "sent" in line] == ["sent answer.bin"]
    assert sorted(path.name for path in one.iterdir()) == ["answer.bin", "old.txt", "plan.txt"]
    assert sorted(path.name for path in other.iterdir()) == ["answer.bin", "plan.txt"]


def test_a_name_that_a_sender_chose_does_no_harm(
    tmp_path: Path, alice: Client, environment: dict[str, str]
) -> None:
    (tmp_path / "report.txt").write_text("mine")
    with (
        alice.channel("files") as files,
        Program(EXAMPLES / "file_drop.py", tmp_path, "files", environment=environment) as drop,
    ):
        drop.wait_for("sharing")
        for name in (".bashrc", "report.txt", ""):
            files.send(alice.upload_file(b"theirs", name=name).result())
        drop.wait_for("received bashrc from alice")
        drop.wait_for("received report (2).txt from alice")
        drop.wait_for("received unnamed from alice")
    assert (tmp_path / "report.txt").read_text() == "mine"
    found = sorted(path.name for path in tmp_path.iterdir())
    assert found == ["bashrc", "report (2).txt", "report.txt", "unnamed"]


# --- All of them ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        ("queue_worker.py", "work", "results"),
        ("queue_worker.py", "give", "a job"),
        ("presence_dashboard.py", "alice"),
        ("file_drop.py", "folder", "files"),
    ],
    ids=["a worker", "who gives jobs", "the dashboard", "the file drop"],
)
@pytest.mark.parametrize(
    ("token", "app", "status", "said"),
    [
        ("wrong", DEV_APP_ID, ExitCode.AUTH, "LoginError.INVALID_TOKEN"),
        ("wrong", "x" * 32, ExitCode.AUTH, "LoginError.INVALID_APP_ID"),
        (None, "short", ExitCode.AUTH, "exactly 32"),
    ],
)
def test_a_login_that_fails_ends_an_example_with_one_line(
    tmp_path: Path, arguments: tuple[str, ...], token: str | None, app: str, status: ExitCode, said: str
) -> None:
    keyed = [AppKeys(DEV_APP_ID, (TokenKey(b"k" * 32),))]
    name, *rest = arguments
    with Server(ServerConfig(apps=keyed, port=0, drain_seconds=0.0)) as server:
        environment = {"RTM_URL": server.url, "RTM_APP_ID": app, **({"RTM_TOKEN": token} if token else {})}
        with Program(EXAMPLES / name, *rest, environment=environment, folder=tmp_path) as example:
            assert example.finish() == status, example.said()
    (line,) = example.lines
    assert line.startswith(f"{name.removesuffix('.py')}: ")
    assert said in line


def test_a_server_that_is_away_ends_an_example_with_one_line(tmp_path: Path) -> None:
    environment = {"RTM_URL": "ws://127.0.0.1:1", "RTM_APP_ID": DEV_APP_ID}
    with Program(EXAMPLES / "file_drop.py", tmp_path, "files", environment=environment) as example:
        assert example.finish() == ExitCode.NOT_REACHABLE, example.said()
    (line,) = example.lines
    assert line.startswith("file_drop: ")


@pytest.mark.parametrize("name", ["notifier", "queue_worker", "presence_dashboard", "file_drop"])
def test_an_example_explains_itself(name: str) -> None:
    with Program(EXAMPLES / f"{name}.py", "--help") as example:
        assert example.finish() == 0
    assert "usage:" in example.lines[0]
