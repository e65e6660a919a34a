"""The store of files does what every store does, survives its process, and stands a bad disk."""

import contextlib
import errno
import os
import resource
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rtmcore.errors import ServerFailure
from rtmcore.limits import BLOB_FILES_OPEN, BLOB_THREADS, MEDIA_UNFINISHED_SECONDS
from rtmcore.service.blobs.catalog import BlobCaps
from rtmcore.service.blobs.commands import (
    BlobBytes,
    BlobKey,
    BlobRefusal,
    BlobTrouble,
    BlobWritten,
    FinishBlob,
    RemoveBlob,
    SweepBlobs,
    WriteBlob,
)
from rtmsync.server.blobs import descriptors
from rtmsync.server.blobs import store as module
from rtmsync.server.blobs.store import FileBlobStore
from tests.service import blob_conformance
from tests.service.blob_conformance import APP, DATA, NO_SPACE, ONE, SECOND, START, UNKNOWN, Bench, digest

OWN = {"blobs.sqlite3", "blobs.sqlite3-wal", "blobs.sqlite3-shm", "ticket.key"}


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., FileBlobStore]]:
    """Opens stores, all in one directory, one after the other."""
    opened: list[FileBlobStore] = []

    def build(caps: BlobCaps | None = None, wall: int = START, **options: Any) -> FileBlobStore:
        for earlier in opened:
            earlier.close()
        store = FileBlobStore(tmp_path / "media", wake=lambda: None, caps=caps, **options)
        store.open(wall)
        opened.append(store)
        return store

    yield build
    for store in opened:
        store.close()


def files(directory: Path) -> list[str]:
    """What is there of blobs."""
    return sorted(set(os.listdir(directory / "media")) - OWN)


class TestBlobs(blob_conformance.Blobs):
    pass


class TestBounds(blob_conformance.Bounds):
    pass


# --- Restarts -------------------------------------------------------------------------------------------------------


def test_what_was_finished_is_there_after_a_restart(make, tmp_path) -> None:
    complete = Bench(make()).upload(DATA)
    bench = Bench(make())
    assert bench.find() == complete
    assert bench.read(0, len(DATA)) == BlobBytes(DATA)
    assert bench.store.stats() == {"files": 1, "files_bytes": len(DATA)}


@pytest.mark.parametrize("sha256", ["", digest(DATA)])
def test_an_upload_goes_on_after_a_restart(make, sha256) -> None:
    now = time.time_ns() // 1000
    bench = Bench(make(wall=now), now)
    bench.create(size=len(DATA), sha256=sha256)
    bench.do(WriteBlob, ONE, 0, DATA[:50_000])
    bench = Bench(make(wall=now), now)
    assert bench.find().offset == 50_000
    bench.do(WriteBlob, ONE, 50_000, DATA[50_000:])
    assert bench.do(FinishBlob, ONE).sha256 == digest(DATA)
    assert bench.read(0, len(DATA)) == BlobBytes(DATA)


def test_an_upload_without_a_byte_goes_on_too(make) -> None:
    Bench(make()).create(size=10)
    bench = Bench(make())
    assert bench.find().offset == 0
    assert bench.do(WriteBlob, ONE, 0, b"abc") == BlobWritten(3)


def test_bytes_that_were_changed_meanwhile_are_noticed(make, tmp_path) -> None:
    now = time.time_ns() // 1000
    bench = Bench(make(wall=now), now)
    bench.create(size=len(DATA), sha256=digest(DATA))
    bench.do(WriteBlob, ONE, 0, DATA)
    (part,) = files(tmp_path)
    with open(tmp_path / "media" / part, "r+b") as file:
        file.write(b"x")
    bench = Bench(make(wall=now), now)
    assert bench.do(FinishBlob, ONE) == BlobRefusal(BlobTrouble.CHECKSUM)
    assert files(tmp_path) == []


def test_the_secret_of_tickets_stays(tmp_path) -> None:
    secrets = []
    for _ in range(2):
        store = FileBlobStore(tmp_path / "media", wake=lambda: None)
        secrets.append(store.open(START))
        store.close()
    assert secrets[0] == secrets[1]
    assert len(secrets[0]) == 32
    assert (tmp_path / "media" / "ticket.key").stat().st_mode & 0o777 == 0o600
    (tmp_path / "media" / "ticket.key").write_bytes(b"short")
    store = FileBlobStore(tmp_path / "media", wake=lambda: None)
    assert len(store.open(START)) == 32
    store.close()


def test_a_start_clears_up_what_belongs_to_nothing(make, tmp_path) -> None:
    now = time.time_ns() // 1000
    bench = Bench(make(wall=now), now)
    bench.upload(DATA, "lost")
    bench.upload(DATA, "cut")
    bench.upload(DATA, "fine")
    bench.create("old", 10)
    bench.do(WriteBlob, BlobKey(APP, "old"), 0, b"abc")
    store, directory = bench.store, tmp_path / "media"
    store._file(BlobKey(APP, "lost")).unlink()
    store._file(BlobKey(APP, "cut")).write_bytes(b"x")
    old = store._part(BlobKey(APP, "old"))
    long_ago = now - int((MEDIA_UNFINISHED_SECONDS + 1) * SECOND)
    os.utime(old, (long_ago / SECOND, long_ago / SECOND))
    (directory / ("0" * 64)).write_bytes(b"a file without a row")
    (directory / ("1" * 64 + ".part")).write_bytes(b"a part without a row")
    (directory / "README").write_text("not ours")
    bench = Bench(make(wall=now), now)
    assert files(tmp_path) == sorted(["README", store._file(BlobKey(APP, "fine")).name])
    assert [bench.find(name) for name in ("lost", "cut", "old")] == [UNKNOWN] * 3
    assert bench.find("fine").complete
    assert bench.store.stats() == {"files": 1, "files_bytes": len(DATA)}


STEPS = ("sync file", "rename", "sync directory", "row")


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
def test_a_process_that_ends_while_a_file_is_finished(make, tmp_path, monkeypatch, step, before) -> None:
    """A child process is killed just before or behind each step; the next one finds the file, or all its bytes."""
    now = time.time_ns() // 1000
    child = os.fork()
    if not child:  # pragma: no cover - it is killed
        try:
            _finish_and_die(tmp_path / "media", step, before, now)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL
    bench = Bench(make(wall=now), now)
    found = bench.find()
    assert found.offset == len(DATA)
    assert found.complete is ((step, before) == ("row", False))
    assert bench.do(FinishBlob, ONE).sha256 == digest(DATA)
    assert bench.read(0, len(DATA)) == BlobBytes(DATA)
    assert len(files(tmp_path)) == 1


def _finish_and_die(directory: Path, step: str, before: bool, now: int) -> None:
    syncs = 0

    def die_at(name: str, act: Callable[[], Any]) -> Any:
        if name == step and before:
            os.kill(os.getpid(), signal.SIGKILL)
        value = act()
        if name == step:
            os.kill(os.getpid(), signal.SIGKILL)
        return value

    def sync(descriptor: int) -> None:
        nonlocal syncs
        syncs += 1
        if not armed:
            return
        die_at(
            "sync directory" if os.path.isdir(f"/proc/self/fd/{descriptor}") else "sync file", lambda: None
        )

    armed = False
    store = FileBlobStore(directory, wake=lambda: None, sync=sync)
    store.open(now)
    bench = Bench(store, now)
    bench.create(size=len(DATA))
    bench.do(WriteBlob, ONE, 0, DATA)
    armed = True
    rename, put = os.rename, store._rows.put
    module.os.rename = lambda *paths: die_at("rename", lambda: rename(*paths))  # type: ignore[assignment]
    store._rows.put = lambda blob: die_at("row", lambda: put(blob))  # type: ignore[method-assign]
    bench.do(FinishBlob, ONE)


# --- Bad disks --------------------------------------------------------------------------------------------------------


def test_a_full_disk_leaves_nothing_behind(make, tmp_path) -> None:
    """The system refuses files above a size: it says so with the first byte beyond, in the middle of a write."""
    bench = Bench(make())
    bench.create(size=400_000)
    earlier = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, earlier[1]))
    try:
        assert bench.do(WriteBlob, ONE, 0, bytes(100_000)) == BlobWritten(100_000)
        assert bench.do(WriteBlob, ONE, 100_000, bytes(100_000)) == NO_SPACE
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, earlier)
        signal.signal(signal.SIGXFSZ, handler)
    assert bench.find() == UNKNOWN
    assert files(tmp_path) == []
    assert bench.store.stats() == {"files": 0, "files_bytes": 0}
    assert bench.upload(DATA).complete, "it goes on"


@pytest.mark.parametrize(
    ("number", "trouble"), [(errno.ENOSPC, NO_SPACE), (errno.EIO, BlobRefusal(BlobTrouble.BROKEN))]
)
def test_a_sync_that_fails(make, tmp_path, number, trouble) -> None:
    failing = False

    def sync(descriptor: int) -> None:
        if failing:
            raise OSError(number, os.strerror(number))

    bench = Bench(make(sync=sync))
    bench.create(size=3)
    bench.do(WriteBlob, ONE, 0, b"abc")
    failing = True
    assert bench.do(FinishBlob, ONE) == trouble
    failing = False
    if trouble == NO_SPACE:
        assert bench.find() == UNKNOWN
        assert files(tmp_path) == []
    else:
        assert bench.find().offset == 3, "the upload is still there"
        assert bench.do(FinishBlob, ONE).complete


def test_a_row_that_cannot_be_written_leaves_the_upload(make, tmp_path, monkeypatch) -> None:
    bench = Bench(make())
    bench.create(size=3)
    bench.do(WriteBlob, ONE, 0, b"abc")
    put = bench.store._rows.put

    def refuse(blob: Any) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(bench.store._rows, "put", refuse)
    assert bench.do(FinishBlob, ONE) == BlobRefusal(BlobTrouble.BROKEN)
    assert bench.create("two", 3) == BlobRefusal(BlobTrouble.BROKEN)
    assert bench.store.stats()["files"] == 1
    monkeypatch.setattr(bench.store._rows, "put", put)
    assert bench.do(FinishBlob, ONE).complete
    assert bench.read(0, 3) == BlobBytes(b"abc")


def test_syncs_that_take_long_hold_up_nothing_that_is_quick(make) -> None:
    go_on = threading.Event()
    waiting = threading.Semaphore(0)

    def sync(descriptor: int) -> None:
        if slow:
            waiting.release()
            assert go_on.wait(20)

    slow = False
    bench = Bench(make(sync=sync))
    names = [f"blob-{n}" for n in range(BLOB_THREADS + 2)]
    for name in names:
        bench.create(name, 3)
        bench.do(WriteBlob, BlobKey(APP, name), 0, b"abc")
    bench.upload(DATA)
    bench.create("other", 6)
    slow = True
    numbers = [bench.submit(FinishBlob, BlobKey(APP, name)) for name in names]
    assert waiting.acquire(timeout=20)
    # If these waited for the syncs, the syncs would fail, and their answers below.
    assert bench.do(WriteBlob, BlobKey(APP, "other"), 0, b"abc") == BlobWritten(3)
    assert bench.read(0, 10) == BlobBytes(DATA[:10])
    assert bench.find("other").offset == 3
    go_on.set()
    assert all(bench.answer(number).complete for number in numbers)


def test_a_directory_that_cannot_be_used_is_told(tmp_path) -> None:
    (tmp_path / "media").write_text("a file")
    with pytest.raises(ServerFailure, match="for files cannot be used"):
        FileBlobStore(tmp_path / "media", wake=lambda: None).open(START)


def test_names_of_files_follow_from_no_id(make, tmp_path) -> None:
    bench = Bench(make())
    for name in ("../../escape", "/etc/passwd", "a\0b", "." * 60):
        bench.upload(b"abc", name)
        bench.do(RemoveBlob, BlobKey(APP, f"{name}x"))
    assert len(files(tmp_path)) == 4
    assert all(len(name) == 64 for name in files(tmp_path))
    assert sorted(os.listdir(tmp_path)) == ["media"]


def test_closing_carries_out_what_was_submitted(make, tmp_path) -> None:
    bench = Bench(make())
    bench.create(size=3)
    bench.submit(WriteBlob, ONE, 0, b"abc")
    bench.submit(FinishBlob, ONE)
    bench.store.close()
    bench.store.close()
    assert Bench(make()).find().complete


def test_expired_files_are_swept_from_the_disk(make, tmp_path) -> None:
    bench = Bench(make())
    bench.upload(DATA, "expired")
    assert len(files(tmp_path)) == 1
    bench.wall = START + 7 * 86_400 * SECOND
    bench.sweep()
    end = time.monotonic() + 20
    while files(tmp_path):
        assert time.monotonic() < end
        time.sleep(0.001)
    assert make(wall=bench.wall).stats()["files"] == 0


# --- Open files -----------------------------------------------------------------------------------------------------


def open_files(directory: Path) -> list[str]:
    """The blobs that the process has open."""
    found = []
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            path = Path(os.readlink(f"/proc/self/fd/{number}"))
            if path.parent == directory / "media" and path.name.partition(" ")[0] not in OWN:
                found.append(path.name)
    return found


needs_proc = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="the system does not tell")


@needs_proc
def test_a_file_stays_open_from_one_piece_to_the_next(make, tmp_path, monkeypatch) -> None:
    bench = Bench(make())
    bench.create(size=9)
    opened = []
    monkeypatch.setattr(
        os, "open", lambda path, *rest, real=os.open: opened.append(path) or real(path, *rest)
    )
    for offset in (0, 3, 6):
        assert bench.do(WriteBlob, ONE, offset, b"abc") == BlobWritten(offset + 3)
        assert [name[-5:] for name in open_files(tmp_path)] == [".part"]
    assert len(opened) == 1
    assert bench.do(FinishBlob, ONE).complete
    assert open_files(tmp_path) == []
    del opened[:]
    for offset in (0, 3, 6):
        assert bench.read(offset, 3) == BlobBytes(b"abc")
        assert open_files(tmp_path) == files(tmp_path)
    assert len(opened) == 1
    bench.do(RemoveBlob, ONE)
    assert open_files(tmp_path) == []


@needs_proc
def test_files_that_are_open_are_bounded_and_closed_when_idle(make, tmp_path, monkeypatch) -> None:
    store = make(BlobCaps(unfinished_uploads=1000))
    bench = Bench(store)
    names = [f"blob-{n}" for n in range(BLOB_FILES_OPEN + 5)]
    for offset in (0, 3):
        for name in names:
            if not offset:
                bench.create(name, 6)
            assert bench.do(WriteBlob, BlobKey(APP, name), offset, b"abc") == BlobWritten(offset + 3)
        assert len(open_files(tmp_path)) == BLOB_FILES_OPEN
    store.submit(SweepBlobs(), START)
    bench.find("blob-0")
    assert len(open_files(tmp_path)) == BLOB_FILES_OPEN, "they were in use a moment ago"
    monkeypatch.setattr(descriptors, "BLOB_IDLE_TIMEOUT", 0.0)
    store.submit(SweepBlobs(), START)
    end = time.monotonic() + 20
    while open_files(tmp_path):
        assert time.monotonic() < end
        time.sleep(0.01)
    assert all(bench.do(FinishBlob, BlobKey(APP, name)).complete for name in names)
    bench.read(0, 6, "blob-0")
    store.close()
    assert open_files(tmp_path) == []


def test_files_are_closed_where_the_process_may_open_no_more(make, monkeypatch) -> None:
    bench = Bench(make())
    for name in ("one", "two"):
        bench.create(name, 6)
    bench.do(WriteBlob, BlobKey(APP, "one"), 0, b"abc")
    failures = [errno.EMFILE]

    def refuse(path: Any, *rest: Any, real: Any = os.open) -> int:
        if str(path).endswith(".part") and failures:
            raise OSError(failures.pop(), "Too many open files")
        return int(real(path, *rest))

    monkeypatch.setattr(os, "open", refuse)
    assert bench.do(WriteBlob, BlobKey(APP, "two"), 0, b"abc") == BlobWritten(3)
    assert bench.do(WriteBlob, BlobKey(APP, "one"), 3, b"abc") == BlobWritten(6)
    bench.store.close()
