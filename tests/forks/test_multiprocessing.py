"""A client of the parent, its settings and a publisher in processes of `multiprocessing`, by each start method."""

import sys
from pathlib import Path

import pytest

from tests.forks.conftest import KEY, Watcher
from tests.forks.programs import GONE_WITHIN, PATIENCE, Program, alone_again, python, texts

PROGRAM = """
import multiprocessing
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor

import rtmsync
from rtmsync.server.config import DEV_APP_ID

method, url, channel, key = sys.argv[1:5]
publisher = rtmsync.Publisher(url, app_id=DEV_APP_ID, server_key=key)
CLIENTS, LEFT = [], []


def by_publisher(number):
    publisher.publish(channel, f"publisher-{number}", sender="x", timeout=30)
    return os.getpid()


def by_session(config, number):
    with rtmsync.connect(
        config.urls[0], app_id=config.app_id, user_id=f"{config.user_id}-{number}", rate_limits=False, proxy=None
    ) as client:
        joined = client.channel(channel)
        joined.join()
        joined.send(f"session-{number}")
    return os.getpid()


def left_open(config):
    client = rtmsync.connect(
        config.urls[0], app_id=config.app_id, user_id=f"{config.user_id}-open", rate_limits=False, proxy=None
    )
    LEFT.append(client)
    client.channel(channel).join()


def with_inherited(number):
    client, inbox, future = CLIENTS
    said = [client.state.name]
    for call in (lambda: client.send_peer("nobody", "x"), lambda: inbox.get(timeout=5), lambda: future.result(5)):
        try:
            said.append(type(call()).__name__)
        except rtmsync.RtmError as error:
            said.append(type(error).__name__)
    return " ".join(said)


def main():
    context = multiprocessing.get_context(method)
    client = rtmsync.connect(url, app_id=DEV_APP_ID, user_id=f"parent-{method}", rate_limits=False, proxy=None)
    publisher.publish(channel, "before", sender="x")
    inbox = client.events(rtmsync.PeerMessage)
    with context.Pool(2) as pool:
        processes = set(pool.map(by_publisher, range(20), chunksize=1))
        assert os.getpid() not in processes
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        list(pool.map(by_session, [client.config] * 10, range(10)))
    try:
        with ProcessPoolExecutor(1, mp_context=context) as pool:
            pool.submit(by_session, client, 0).result(60)
    except TypeError as error:
        print(error)
    child = context.Process(target=left_open, args=(client.config,))
    child.start()
    child.join()
    assert child.exitcode == 0
    if method == "fork":
        # Nobody takes messages there, so that this one waits for its answer.
        with rtmsync.connect(
            url, app_id=DEV_APP_ID, user_id=f"{client.user_id}-mute", rate_limits=False, proxy=None
        ) as mute:
            CLIENTS[:] = client, inbox, client.send_peer_future(mute.user_id, "x", timeout=60)
            with context.Pool(2) as pool:
                print(set(pool.map(with_inherited, range(4), chunksize=1)))
            CLIENTS.clear()
    client.send_peer(client.user_id, "still here")
    print(inbox.get(timeout=60).text, client.state.name, client.connection.attempt, flush=True)
    client.close()


if __name__ == "__main__":
    main()
"""


@pytest.mark.timeout(300)  # a dozen processes start, one after another
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_children_work_or_are_told_why_not(watcher: Watcher, tmp_path: Path, method: str) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM, encoding="utf-8")
    url = watcher.environment["SHOP_URL"]
    arguments = [str(program), method, url, watcher.channel.id, KEY]
    with Program(
        python(*arguments), PYTHONWARNINGS="ignore::DeprecationWarning", PYTHONPATH=":".join(sys.path)
    ) as ran:
        status, seconds = ran.wait(2 * PATIENCE)
    assert status == 0, ran.output
    expected = {"before", *(f"publisher-{n}" for n in range(20)), *(f"session-{n}" for n in range(10))}
    assert texts(watcher.messages, 31) == dict.fromkeys(expected, 1)
    lines = ran.output.splitlines()
    assert lines[0].startswith("A Client holds sockets and threads; pickle client.config")
    if method == "fork":
        assert lines.pop(1) == "{'DISCONNECTED NotLoggedIn ForkedClient ForkedClient'}"
    assert lines[1:] == ["still here CONNECTED 1"]
    gone = alone_again(watcher.channel)  # also what a child has left open
    assert gone < GONE_WITHIN
    print(f"{method}: 20 + 10 + 1 messages of 4 children, each once; in all {seconds:.2f} s")
