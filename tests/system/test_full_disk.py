"""A server whose disk is full: what needs the disk fails with a code, the rest goes on, and nothing is lost."""

import contextlib
import errno
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import pytest

import rtmsync
from rtmcore.limits import JOURNAL_RETRY
from rtmsync import (
    AttributeOperationError,
    Client,
    PeerMessage,
    SendChannelMessageError,
    SendPeerMessageError,
    SendStatus,
)
from tests.system.processes import PATIENCE, ServerProcess
from tests.system.traffic import make_client

_MOUNT = ("unshare", "--user", "--map-root-user", "--mount")
_ON_A_SMALL_DISK = 'mount -t tmpfs -o size=4m,mode=700 tmpfs "$0" && exec "$@"'
_PROGRAM = (sys.executable, "-m", "rtmsync")


class Disk:
    """What a server writes to, until it is full."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        self.server = self.make_server(directory)

    def make_server(self, directory: Path) -> ServerProcess:
        raise NotImplementedError

    def fill(self) -> None:
        raise NotImplementedError

    def free(self) -> None:
        raise NotImplementedError

    @property
    def seen(self) -> Path:
        """The data directory, as it is seen from here."""
        return self.server.directory

    def crash(self, copy: Path) -> None:
        """Stop the server where it is, and keep what is on the disk then."""
        self.server.signal(signal.SIGSTOP)
        shutil.copytree(self.seen, copy)
        self.server.kill()


class ForbiddenWrites(Disk):
    """A disk on which no file can be written to (EFBIG)."""

    def make_server(self, directory: Path) -> ServerProcess:
        return ServerProcess(directory)

    def fill(self) -> None:
        self._before = resource.prlimit(self.server.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(self.server.pid, resource.RLIMIT_FSIZE, (0, self._before[1]))

    def free(self) -> None:
        resource.prlimit(self.server.pid, resource.RLIMIT_FSIZE, self._before)


class SmallDisk(Disk):
    """A small disk of the server's own that something else fills (ENOSPC)."""

    def make_server(self, directory: Path) -> ServerProcess:
        mounted = (*_MOUNT, "sh", "-c", _ON_A_SMALL_DISK, str(directory))
        if shutil.which("unshare") is None or subprocess.call([*mounted, "true"]) != 0:
            pytest.skip("this user may mount nothing, not even for himself")
        return ServerProcess(directory, program=(*mounted, *_PROGRAM))

    @property
    def seen(self) -> Path:
        return Path(f"/proc/{self.server.pid}/root{self.server.directory}")

    def fill(self) -> None:
        with (self.seen / "something else").open("wb", buffering=0) as file:
            for size in (65536, 1):
                _write_all_it_takes(file, b"x" * size)

    def free(self) -> None:
        (self.seen / "something else").unlink()


def _write_all_it_takes(file: IO[bytes], piece: bytes) -> None:
    try:
        while True:
            file.write(piece)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise


pytestmark = pytest.mark.skipif(
    not hasattr(resource, "prlimit"), reason="this system fills no disk for a test"
)


@pytest.fixture(params=[ForbiddenWrites, SmallDisk])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Disk]:
    disk: Disk = request.param(tmp_path / "data")
    with disk.server:
        yield disk


@pytest.fixture
def login() -> Iterator[Callable[[ServerProcess, str], Client]]:
    with contextlib.ExitStack() as stack:

        def make(server: ServerProcess, user: str) -> Client:
            client = stack.enter_context(make_client(server.url, user))
            client.login()
            return client

        yield make


@pytest.mark.produces(
    SendPeerMessageError.FAILURE, SendChannelMessageError.FAILURE, AttributeOperationError.FAILURE
)
def test_a_full_disk_gives_errors_and_loses_nothing(disk: Disk, login, tmp_path: Path) -> None:
    server = disk.server
    alice, bob = login(server, "alice"), login(server, "bob")
    inbox = bob.events(PeerMessage)
    with alice.channel("news") as news:

        def store(text: str) -> None:
            assert alice.send_peer("carol", text, offline=True).status is SendStatus.CACHED
            alice.set_channel_attributes("board", {"is": text})
            news.send(text, history=True)

        for number in range(20):
            store(f"before {number}")

        disk.fill()
        for number in range(3):
            with pytest.raises(rtmsync.RtmError) as refused:
                alice.send_peer("carol", f"meanwhile {number}", offline=True)
            assert refused.value.code is SendPeerMessageError.FAILURE
            assert "disk" in str(refused.value)
            with pytest.raises(rtmsync.RtmError) as refused:
                alice.set_channel_attributes("board", {"is": f"meanwhile {number}"})
            assert refused.value.code is AttributeOperationError.FAILURE
            assert "disk" in str(refused.value)
            with pytest.raises(rtmsync.RtmError) as refused:
                news.send(f"meanwhile {number}", history=True)
            assert refused.value.code is SendChannelMessageError.FAILURE
            assert "disk" in str(refused.value)
            # What needs no disk goes on, and what is on it can be read.
            assert alice.send_peer("bob", f"hello {number}").status is SendStatus.DELIVERED
            assert (
                alice.send_peer("bob", f"hello again {number}", offline=True).status is SendStatus.DELIVERED
            )
            assert [inbox.get(PATIENCE).text for _ in range(2)] == [
                f"hello {number}",
                f"hello again {number}",
            ]
            assert alice.get_channel_attributes("board")["is"].value == "before 19"
            assert alice.history(channel="news").messages[0].text == "before 19"
            time.sleep(JOURNAL_RETRY / 2)
        login(server, "dave").logout()
        assert server.has_said("cannot be written") == 1, "it is said once, and not each time"

        disk.free()
        for number in range(5):
            store(f"afterwards {number}")
    assert server.has_said("can be written again") == 1

    disk.crash(tmp_path / "copy")
    due = [*(f"before {number}" for number in range(20)), *(f"afterwards {number}" for number in range(5))]
    with ServerProcess(tmp_path / "copy") as server:
        carol, reader = login(server, "carol"), login(server, "alice")
        with carol.events(PeerMessage) as inbox:
            assert [inbox.get(PATIENCE).text for _ in due] == due
        assert reader.get_channel_attributes("board")["is"].value == due[-1]
        assert [
            message.text for message in reader.history(source="alice", limit=50, ascending=True).messages
        ] == due
