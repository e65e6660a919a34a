"""Two workers of gunicorn publish what 200 requests want, each of it once, and end when they are told to."""

import pytest

import rtmsync
from tests.forks.conftest import Watcher
from tests.forks.programs import (
    ENDS_WITHIN,
    PATIENCE,
    Program,
    alone_again,
    ask,
    ask_until_all_answer,
    python,
    texts,
)
from tests.peers import require

require("gunicorn")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

REQUESTS = 200

KINDS = {
    "sync": ["--worker-class", "sync"],
    "gthread": ["--worker-class", "gthread", "--threads", "4"],
    "gevent": ["--worker-class", "gevent"],
}


def gunicorn(kind: str, preload: bool, watcher: Watcher, **more: str) -> Program:
    """Two workers on a port that nobody has."""
    options = [*KINDS[kind], "--workers", "2", "--bind", "127.0.0.1:0", *(["--preload"] if preload else [])]
    command = python("-m", "gunicorn", *options, "--no-control-socket", "tests.forks.shop:application")
    return Program(command, **watcher.environment, **more)


def port_of(program: Program) -> int:
    port = program.wait_for(r"Listening at: http://127\.0\.0\.1:(\d+)")
    program.wait_for("Booting worker with pid", 2)
    return int(port)


@pytest.mark.parametrize("preload", [False, True], ids=["alone", "preload"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_request_publishes_once(watcher: Watcher, kind: str, preload: bool) -> None:
    if kind == "gevent":
        require("gevent")
    with gunicorn(kind, preload, watcher) as program:
        port = port_of(program)
        for view in ("publisher", "session"):
            expected, answers = ask_until_all_answer(port, view, REQUESTS)
            assert texts(watcher.messages, expected.total()) == expected
            assert len(answers.by_process) == 2
            print(f"{kind}, {'preload' if preload else 'alone'}, {view}: {answers}, each once")
        status, seconds = program.stop()
        print(f"SIGTERM: {seconds:.2f} s; the sessions were gone {alone_again(watcher.channel):.2f} s later")
    assert status == 0
    assert seconds < ENDS_WITHIN
    # What gunicorn listens on it leaves to the end of its processes.
    own = [line for line in program.said if f"laddr=('127.0.0.1', {port})" not in line]
    for unwanted in ("ABORTED", "unclosed", "fork()", "Traceback"):
        assert unwanted not in "".join(own), program.output


@pytest.mark.parametrize("kind", KINDS)
def test_a_session_of_the_master_survives_its_workers(watcher: Watcher, kind: str) -> None:
    if kind == "gevent":
        require("gevent")
    master = f"master-of-{watcher.client.user_id}"
    with gunicorn(kind, True, watcher, SHOP_MASTER=master) as program:
        port = port_of(program)
        expected, _ = ask_until_all_answer(port, "session", 20)
        assert texts(watcher.messages, expected.total()) == expected
        assert {ask(port, "/inherited/x")[1] for _ in range(10)} == {"DISCONNECTED NotLoggedIn"}
        watcher.client.send_peer(master, "how are you?")
        answer = watcher.answers.get(timeout=PATIENCE)
        assert isinstance(answer, rtmsync.PeerMessage)
        assert answer.text == f"{program.pid} CONNECTED 1"
        status, seconds = program.stop()
        print(f"{kind}: SIGTERM: {seconds:.2f} s; gone {alone_again(watcher.channel):.2f} s later")
    assert status == 0
    assert seconds < ENDS_WITHIN
    assert "ABORTED" not in program.output
