"""What the log says of clients of the same user that put each other out."""

import logging

import pytest

import rtmsync
from rtmsync import ConnectionState
from rtmsync.server.server import Server
from tests.sync.conftest import Connect
from tests.sync.programs import run_program
from tests.sync.test_process import PRELUDE


def put_out(client: rtmsync.Client) -> None:
    client.wait_until(ConnectionState.ABORTED, timeout=30)
    client.close()  # when the network thread has ended, it has logged what there was to be logged


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [
        record.getMessage()
        for record in caplog.records
        if record.name == "rtmsync" and record.levelno >= logging.WARNING
    ]


def test_whoever_is_put_out_is_told_so_in_one_sentence(
    connect: Connect, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    first = connect(name)
    connect(name)
    put_out(first)
    (sentence,) = warnings_of(caplog)
    assert sentence.startswith(f"Another client has logged in as {name}, so this one in process ")
    assert "a user id of its own" in sentence
    assert "rtmsync.Publisher" in sentence


def test_two_that_log_in_again_and_again_are_called_a_loop(
    connect: Connect, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    client = connect(name)
    for _ in range(3):
        other = connect(name)
        put_out(client)
        client = other
    sentences = warnings_of(caplog)
    assert len(sentences) == 3
    assert [sentence.startswith("Another client") for sentence in sentences] == [True, True, False]
    assert sentences[2].startswith(f"Clients of {name} were put out 3 times within 60 s")


def test_one_that_was_made_before_a_fork_suspects_its_siblings(server: Server, name: str) -> None:
    code = """
        import logging
        logging.basicConfig(level=logging.WARNING, stream=sys.stdout, format="%(levelname)s %(message)s")
        client = rtmsync.Client(url, app_id=APP, user_id=user)
        reading, writing = os.pipe()
        def child():
            client.login()
            os.write(writing, b"in")
            client.wait_until(ConnectionState.ABORTED, timeout=60)
            client.close()
        pid = os.fork()
        if not pid:
            child()
            sys.stdout.flush()
            os._exit(0)
        os.read(reading, 2)
        client.login()
        os.waitpid(pid, 0)
        client.close()
        print(pid)
    """
    done = run_program(server.url, name, PRELUDE, code)
    sentence, pid = done.stdout.splitlines()
    assert sentence.startswith(
        f"WARNING Another client has logged in as {name}, probably a sibling of this process, since this client was "
        f"made before a fork, so this one in process {pid} was put out:"
    )
    assert done.stderr == ""
