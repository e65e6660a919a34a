"""A disk whose sync takes three seconds: whoever needs it waits, and nobody else notices."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from operator import itemgetter
from pathlib import Path
from typing import Any

import pytest

from rtmcore.limits import BLOB_THREADS, COMMAND_TIMEOUT, INTERRUPTED_AFTER
from rtmsync import AttributeOperationError, Client, PeerMessage, RequestTimeout, SendStatus, StateChanged
from rtmsync.server.engines.sqlite_store import SqliteStore
from rtmsync.server.server import Server
from tests.system.conftest import WAIT
from tests.system.stalls import Delay

SYNC = 3.0
"""Seconds that a sync takes."""
PROMPT = 2.0
"""Seconds that nothing takes that needs no disk, where the machine leaves the test no thread without a processor."""


class SlowDisk:
    """Lets the journal thread wait as for a slow disk, once it is turned on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.fast = threading.Event()
        self.fast.set()
        self.syncs = 0
        commit = SqliteStore.commit

        def slow(store: SqliteStore, batch: Any) -> None:
            if not self.fast.is_set():
                self.syncs += 1
                self.fast.wait(SYNC)
            commit(store, batch)

        monkeypatch.setattr(SqliteStore, "commit", slow)

    def wait_for_a_sync(self) -> None:
        """Wait until a slow sync has begun: what is asked for from now on is not part of it."""
        due = time.monotonic() + WAIT
        while not self.syncs:
            assert time.monotonic() < due, "nobody wants the disk"
            time.sleep(0.001)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> SlowDisk:
    return SlowDisk(monkeypatch)


@pytest.fixture
def delay() -> Iterator[Delay]:
    with Delay() as watched:
        yield watched


def prompt(delay: Delay) -> float:
    """Seconds that nothing takes that needs no disk, here and now."""
    return PROMPT + delay.longest


@pytest.fixture
def server(disk: SlowDisk, serve: Callable[..., Server], tmp_path: Path) -> Server:
    return serve(data_dir=tmp_path)


class Watched:
    """A call that waits for the disk, and when it ended."""

    def __init__(self, future: "Future[Any]") -> None:
        self.future = future
        self.ended: float | None = None
        future.add_done_callback(self._done)

    def _done(self, _: object) -> None:
        self.ended = time.monotonic()


class Bystander:
    """Does all that needs no disk, and notes how long it takes."""

    def __init__(self, connect: Callable[..., Client], server: Server) -> None:
        self._login = lambda user: connect(server, user)
        self._alice, self._bob = self._login("alice"), self._login("bob")
        self._inbox = self._bob.events(PeerMessage)
        self._plaza = self._alice.channel("plaza")
        self._plaza.join()
        self._heard = self._bob.channel("plaza")
        self._heard.join()
        self._talk = self._heard.messages()
        self.clients = [self._alice, self._bob, self._login("idle")]
        self.states = [client.events(StateChanged) for client in self.clients]
        self.slowest = ("nothing", 0.0)
        self.rounds = 0

    def act(self) -> None:
        """One round of everything."""
        self.rounds += 1
        text = str(self.rounds)
        results = [
            self._took("send", lambda: self._alice.send_peer("bob", text)),
            self._took("send, stored if need be", lambda: self._alice.send_peer("bob", text, offline=True)),
        ]
        assert [result.status for result in results] == [SendStatus.DELIVERED] * 2
        for _ in results:
            assert self._took("receive", lambda: self._inbox.get(WAIT)).text == text
        self._took("publish", lambda: self._plaza.send(text))
        assert self._took("hear", lambda: next(self._talk)).text == text
        self._took("read attributes", lambda: self._alice.get_channel_attributes("board"))
        self._took("read the history", lambda: self._alice.history(source="alice"))
        self._took("ask for presence", lambda: self._alice.query_presence("bob"))
        guest = self._took("log in", lambda: self._login(f"guest-{self.rounds % 3}"))
        self._took("log out", guest.logout)

    def _took(self, what: str, call: Callable[[], Any]) -> Any:
        begun = time.monotonic()
        result = call()
        self.slowest = max(self.slowest, (what, time.monotonic() - begun), key=itemgetter(1))
        return result


@pytest.mark.slow
def test_a_slow_disk_disturbs_nobody_who_does_not_need_it(
    disk: SlowDisk, server: Server, connect, delay: Delay
) -> None:
    bystander, carol = Bystander(connect, server), connect(server, "carol")
    states = [*bystander.states, carol.events(StateChanged)]
    carol.set_channel_attributes("board", {"is": "before"})
    archive = carol.channel("archive")
    archive.join()
    disk.fast.clear()
    begun = time.monotonic()
    # The first commit takes the first of them, and the second one the rest, which is all that comes meanwhile.
    first = Watched(archive.send_future("kept", history=True))
    disk.wait_for_a_sync()
    stored = [
        Watched(carol.send_peer_future("dave", "one", offline=True)),
        Watched(carol.send_peer_future("dave", "two", offline=True, history=True)),
    ]
    late = Watched(carol.set_channel_attributes_future("board", {"is": "afterwards"}))
    while time.monotonic() - begun < 2 * SYNC or not all(each.ended for each in (first, *stored, late)):
        bystander.act()
        time.sleep(0.05)
    disk.fast.set()
    assert bystander.slowest[1] < prompt(delay), bystander.slowest
    assert bystander.rounds > INTERRUPTED_AFTER

    assert first.future.result(0) is not None
    assert [each.future.result(0).status for each in stored] == [SendStatus.CACHED] * 2
    # Nobody waits for a change of attributes for more than 5 s: whether it will be done, nobody knows.
    error = late.future.exception(0)
    assert isinstance(error, RequestTimeout)
    assert error.code is AttributeOperationError.TIMEOUT
    assert error.outcome_unknown
    for call, seconds in ((first, SYNC), (late, COMMAND_TIMEOUT), *((each, 2 * SYNC) for each in stored)):
        assert call.ended is not None
        assert seconds - 0.1 <= call.ended - begun < seconds + prompt(delay)
    assert carol.get_channel_attributes("board")["is"].value == "afterwards", "it was done all the same"
    assert disk.syncs >= 2
    assert [len(events) for events in states] == [0] * len(states), "somebody's state changed"


@pytest.mark.slow
def test_a_slow_disk_of_files_disturbs_no_connection(serve, connect, tmp_path: Path, delay: Delay) -> None:
    """Neither messages nor the files of others, for longer than a client bears silence.

    More uploads than the store has threads want their files synced at once, and the directory after that.
    """
    fast = threading.Event()
    fast.set()
    waiting = threading.Semaphore(0)

    def sync(descriptor: int) -> None:
        if not fast.is_set():
            waiting.release()
            fast.wait(WAIT)
        os.fsync(descriptor)

    server = serve(sync_files=sync, data_dir=tmp_path)
    bystander, carol, dave = Bystander(connect, server), connect(server, "carol"), connect(server, "dave")
    states = [*bystander.states, carol.events(StateChanged), dave.events(StateChanged)]
    data = os.urandom(1_000_000)
    media_id = dave.upload_file(data).result(WAIT).media_id
    fast.clear()
    uploads = [carol.upload_file(data) for _ in range(BLOB_THREADS + 1)]
    assert waiting.acquire(timeout=WAIT)
    begun = time.monotonic()
    longest = 0.0
    while time.monotonic() < begun + INTERRUPTED_AFTER + 1.0:
        assert not any(upload.done for upload in uploads)
        bystander.act()
        asked = time.monotonic()
        assert dave.download(media_id).result(WAIT) == data
        longest = max(longest, time.monotonic() - asked)
    fast.set()
    assert bystander.slowest[1] < prompt(delay), bystander.slowest
    assert longest < prompt(delay)
    assert bystander.rounds > 1
    for upload in uploads:
        assert dave.download(upload.result(WAIT).media_id).result(WAIT) == data
    assert [len(events) for events in states] == [0] * len(states), "somebody's state changed"
