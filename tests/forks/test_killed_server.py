"""A listener whose server is killed and comes back five seconds later: it resumes, and misses no peer message."""

import contextlib
import secrets
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import rtmsync
from rtmsync import ConnectionState
from rtmsync.server.config import DEV_APP_ID
from rtmsync.server.tokens import TokenKey, make_token
from rtmsync.testing import FaultProxy
from tests.forks.conftest import KEY
from tests.forks.programs import PATIENCE
from tests.system.processes import ServerProcess

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

SECRET = "a-secret-of-these-tests-that-is-long-enough"

DOWN = 5.0
"""Seconds for which there is no server."""


def keyed(directory: Path) -> ServerProcess:
    """A server with a key for publishers, which it has after each start, and one for tokens."""
    files = {"secret": SECRET, "server-key": KEY}
    options = ["--app-id", DEV_APP_ID]
    for name, text in files.items():
        path = directory / name
        path.touch(0o600)
        path.write_text(text, encoding="utf-8")
        options += [f"--{name}-file", str(path)]
    server = ServerProcess(directory / "data", *options)
    server.command.remove("--dev")
    return server


def test_a_listener_resumes_and_gets_what_it_has_missed(tmp_path: Path) -> None:
    got: list[str] = []
    states: list[str] = []
    user = f"listener-{secrets.token_hex(4)}"
    token = make_token(TokenKey(SECRET.encode()), app=DEV_APP_ID, user=user, now=time.time())
    with (
        keyed(tmp_path) as server,
        FaultProxy("127.0.0.1", server.port) as proxy,
        rtmsync.Publisher(server.url, app_id=DEV_APP_ID, server_key=KEY) as publisher,
        rtmsync.Client(proxy.url, app_id=DEV_APP_ID, user_id=user, token=token, proxy=None) as listener,
        contextlib.ExitStack() as stack,
    ):
        listener.on(rtmsync.PeerMessage, lambda message: got.append(message.text))
        listener.on(rtmsync.StateChanged, lambda change: states.append(change.state.name))
        listener.login()
        stop, given_up, promised = threading.Event(), threading.Event(), threading.Event()
        accepted: list[str] = []
        outcomes: list[rtmsync.PublishStatus] = []

        def publish() -> None:
            number = 0
            while not stop.is_set():
                number += 1
                key, wait_for_ack = secrets.token_hex(8), promised.is_set()
                due = time.monotonic() + PATIENCE
                # What was begun is finished: it may have arrived already.
                while time.monotonic() < due and not given_up.is_set():
                    try:
                        outcome = publisher.send_peer(
                            listener.user_id,
                            str(number),
                            sender="shop",
                            offline=True,
                            wait_for_ack=wait_for_ack,
                            idempotency_key=key,
                            timeout=PATIENCE,
                        )
                    except rtmsync.RtmError:
                        time.sleep(0.05)  # no server: again, with the same key
                    else:
                        outcomes.append(outcome)
                        accepted.append(str(number))
                        break
                time.sleep(0.01)

        publishing = threading.Thread(target=publish)
        publishing.start()
        stack.callback(publishing.join)
        stack.callback(given_up.set)
        stack.callback(stop.set)
        wait(lambda: len(accepted) > 50)
        proxy.blackhole()  # what is accepted from now on, the listener misses
        before = len(accepted)
        wait(lambda: len(accepted) > before + 20)
        # SENT promises nothing for a crash of the server. CACHED does, and so for what was before it in the inbox.
        promised.set()
        wait(lambda: rtmsync.PublishStatus.CACHED in outcomes)
        server.kill()
        at_the_kill = len(accepted)
        missed = at_the_kill - len(got)
        assert listener.wait_until(ConnectionState.RECONNECTING, PATIENCE)
        time.sleep(DOWN)
        begun = time.monotonic()
        server.start()
        ready = time.monotonic() - begun
        proxy.heal()
        listener.wait_until(ConnectionState.CONNECTED, PATIENCE)
        back = time.monotonic() - begun
        wait(lambda: len(accepted) > at_the_kill + 100)
        stop.set()
        publishing.join()
        wait(lambda: len(got) >= len(accepted))
        listener.send_peer(listener.user_id, "end")
        wait(lambda: "end" in got)
    assert got[:-1] == accepted
    assert states[:4] == ["CONNECTING", "CONNECTED", "RECONNECTING", "CONNECTED"]
    print(
        f"{at_the_kill} messages before the kill, {missed} missed, {len(accepted) - at_the_kill} after "
        f"it, each once and in order; the server was ready {ready:.2f} s after its start, the listener CONNECTED "
        f"{back:.2f} s after it"
    )


def wait(condition: Callable[[], bool]) -> None:
    due = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < due, "it did not happen in time"
        time.sleep(0.01)
