"""Two processes of Celery's prefork pool carry out tasks that publish."""

import contextlib
import re
from collections import Counter
from pathlib import Path

import pytest

import rtmsync
from tests.forks.conftest import Watcher
from tests.forks.programs import GONE_WITHIN, PATIENCE, Program, alone_again, python, texts
from tests.peers import require

require("celery")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def test_tasks_publish_once_and_leave_the_session_of_the_parent_alone(
    watcher: Watcher, tmp_path: Path
) -> None:
    parent = f"parent-of-{watcher.client.user_id}"
    environment = {**watcher.environment, "SHOP_BROKER": str(tmp_path), "PYTHONWARNINGS": "ignore"}
    options = "--pool prefork --concurrency 2 --without-gossip --without-mingle --without-heartbeat".split()
    worker = python("-m", "celery", "--app", "tests.forks.tasks", "worker", *options)
    orders = ["publisher", "40", "session", "40", "inherited", "4"]
    with contextlib.ExitStack() as stack:
        sender = stack.enter_context(Program(python("-m", "tests.forks.send_tasks", *orders), **environment))
        # A worker that looks at the files of this broker while they are written may find one that is still empty.
        sender.wait_for("all are given")
        program = stack.enter_context(Program(worker, **environment, SHOP_MASTER=parent))
        status, took = sender.wait(2 * PATIENCE)
        assert status == 0, sender.output
        answers = re.findall(r"^answer: (\d+) (.*)$", sender.output, re.MULTILINE)
        expected = [f"{view}-{number}" for view in ("publisher", "session") for number in range(40)]
        assert texts(watcher.messages, 80) == Counter(expected)
        said = [what for _, what in answers]
        assert said == ["published"] * 40 + ["sent"] * 40 + ["DISCONNECTED NotLoggedIn"] * 4
        children = Counter(process for process, _ in answers)
        assert len(children) == 2
        assert str(program.pid) not in children
        watcher.client.send_peer(parent, "how are you?")
        answer = watcher.answers.get(timeout=PATIENCE)
        assert isinstance(answer, rtmsync.PeerMessage)
        assert answer.text == f"{program.pid} CONNECTED 1"
        status, seconds = program.stop()
        print(
            f"84 tasks {sorted(children.values())} in {took:.2f} s, each message once; SIGTERM: {seconds:.2f} s"
        )
        print(f"the sessions were gone {(gone := alone_again(watcher.channel)):.2f} s later")
    assert status == 0
    assert seconds < PATIENCE  # without anything of ours, Celery takes six to seven seconds
    assert gone < GONE_WITHIN, program.output
    assert "ABORTED" not in program.output
