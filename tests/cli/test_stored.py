"""Messages that are stored for a user wait until somebody takes them."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import rtmsync
from rtmsync import Client, PeerMessage, SendStatus
from rtmsync.server.config import DEV_APP_ID
from tests.cli.ends import PATIENCE, call, serving

TEXTS = [f"message {number}" for number in range(40)]


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    with serving("--data", str(tmp_path / "data")) as (url, _):
        yield url


def client(url: str, user: str) -> Client:
    return rtmsync.connect(url, app_id=DEV_APP_ID, user_id=user, proxy=None)


def test_a_handler_that_comes_a_second_late_misses_nothing_and_sending_takes_nothing(url: str) -> None:
    with client(url, "alice") as alice:
        for text in TEXTS:
            assert alice.send_peer("bob", text, offline=True).status is SendStatus.CACHED
        for where in (("ops",), ("--peer", "carol", "--offline")):
            sent = call("send", "--url", url, "--user", "bob", *where, "hello")
            assert sent.returncode == 0, sent.stderr
    with client(url, "bob") as bob:
        time.sleep(1.0)
        got: list[PeerMessage] = []
        bob.on(PeerMessage, got.append)
        due = time.monotonic() + PATIENCE
        while len(got) < len(TEXTS) and time.monotonic() < due:
            time.sleep(0.01)
        assert [message.text for message in got] == TEXTS
        assert all(message.offline for message in got)
    with client(url, "bob") as again, again.events(PeerMessage) as inbox:
        assert again.stored_messages().count == 0
        assert len(inbox) == 0, "what was taken does not come again"
