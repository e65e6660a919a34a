"""The same on uWSGI, which forks its workers without running the interpreter's hooks unless it is told to."""

import sys

import pytest

import rtmsync
from tests.forks.conftest import Watcher
from tests.forks.programs import (
    ENDS_WITHIN,
    PATIENCE,
    ROOT,
    Program,
    alone_again,
    ask,
    ask_until_all_answer,
    texts,
)
from tests.peers import require

UWSGI = require("uwsgi")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

REQUESTS = 200

KINDS = {
    "prefork": [],
    "prefork-threads": ["--threads", "4"],
    "lazy-apps": ["--lazy-apps"],
    "fork-hooks": ["--py-call-uwsgi-fork-hooks"],
    "osafterfork": ["--py-call-osafterfork"],
}


def uwsgi(kind: str, watcher: Watcher, **more: str) -> Program:
    """Two workers on a port that nobody has. Without --die-on-term, SIGTERM would only load everything again."""
    home = ["--home", sys.prefix] if sys.prefix != sys.base_prefix else []
    command = [
        UWSGI, *home, "--master", "--processes", "2", "--http-socket", "127.0.0.1:0", "--die-on-term",
        "--need-app", "--pythonpath", str(ROOT), "--module", "tests.forks.shop", *KINDS[kind],
    ]  # fmt: skip
    return Program(command, **watcher.environment, **more)


def port_of(program: Program) -> int:
    port = program.wait_for(r"bound to TCP address 127\.0\.0\.1:(\d+)")
    program.wait_for("spawned uWSGI worker", 2)
    return int(port)


@pytest.mark.parametrize("kind", KINDS)
def test_every_request_publishes_once(watcher: Watcher, kind: str) -> None:
    with uwsgi(kind, watcher) as program:
        port = port_of(program)
        for view in ("publisher", "session"):
            expected, answers = ask_until_all_answer(port, view, REQUESTS)
            assert texts(watcher.messages, expected.total()) == expected
            assert len(answers.by_process) == 2
            print(f"{kind}, {view}: {answers}, each once")
        status, seconds = program.stop()
        print(f"SIGTERM: {seconds:.2f} s; the sessions were gone {alone_again(watcher.channel):.2f} s later")
    assert status == 0
    assert seconds < ENDS_WITHIN
    for unwanted in ("ABORTED", "fork()", "Traceback"):
        assert unwanted not in program.output, program.output


@pytest.mark.parametrize("kind", ["prefork", "prefork-threads", "fork-hooks", "osafterfork"])
def test_a_session_of_the_master_survives_its_workers(watcher: Watcher, kind: str) -> None:
    master = f"master-of-{watcher.client.user_id}"
    with uwsgi(kind, watcher, SHOP_MASTER=master) as program:
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
