"""What every store of blobs has to do. Test modules subclass these and provide the fixture `make`, a `MakeStore`."""

import hashlib
import itertools
import time
from collections.abc import Callable
from typing import Any, Protocol

import pytest

from rtmcore.limits import MEDIA_DAYS, MEDIA_UNFINISHED, MEDIA_UNFINISHED_SECONDS
from rtmcore.service.blobs.catalog import BlobCaps
from rtmcore.service.blobs.commands import (
    Blob,
    BlobAnswer,
    BlobBytes,
    BlobCommand,
    BlobKey,
    BlobPort,
    BlobRefusal,
    BlobRemoved,
    BlobTrouble,
    BlobValue,
    BlobWritten,
    CreateBlob,
    FindBlob,
    FinishBlob,
    ReadBlob,
    RemoveBlob,
    SweepBlobs,
    WriteBlob,
)

APP, OTHER_APP = "a" * 32, "b" * 32
START = 1_700_000_000_000_000
SECOND = 1_000_000
DAY = 86_400 * SECOND
WAIT = 20.0


class Store(BlobPort, Protocol):
    """A store, with what its owner does besides."""

    caps: BlobCaps

    def stats(self) -> dict[str, int]: ...


MakeStore = Callable[..., Store]


class Bench:
    """A store, the wall clock, and answers by number."""

    def __init__(self, store: Store, wall: int = START) -> None:
        self.store = store
        self.wall = wall
        self._numbers = itertools.count(1)
        self._answers: dict[int, BlobValue] = {}

    def submit(self, kind: type[Any], *fields: Any) -> int:
        number = next(self._numbers)
        command: BlobCommand = kind(number, *fields)
        self.store.submit(command, self.wall)
        return number

    def answer(self, number: int) -> BlobValue:
        end = time.monotonic() + WAIT
        while number not in self._answers:
            found: BlobAnswer | None = self.store.next_output()
            if found is not None:
                assert found.number not in self._answers, "each command is answered once"
                self._answers[found.number] = found.value
            else:
                assert time.monotonic() < end, "no answer came"
                time.sleep(0.001)
        return self._answers.pop(number)

    def do(self, kind: type[Any], *fields: Any) -> Any:
        return self.answer(self.submit(kind, *fields))

    def create(
        self, name: str = "one", size: int = 10, *, sha256: str = "", user: str = "alice", app: str = APP
    ) -> Any:
        return self.do(CreateBlob, BlobKey(app, name), user, "file", size, sha256, "n.bin", "image/png")

    def upload(self, data: bytes, name: str = "one", **options: Any) -> Any:
        """The complete blob, or what refused it."""
        self.create(name, len(data), **options)
        self.do(WriteBlob, BlobKey(APP, name), 0, data)
        return self.do(FinishBlob, BlobKey(APP, name))

    def find(self, name: str = "one", app: str = APP) -> Any:
        return self.do(FindBlob, BlobKey(app, name))

    def read(self, offset: int, size: int, name: str = "one") -> Any:
        return self.do(ReadBlob, BlobKey(APP, name), offset, size)

    def sweep(self) -> None:
        self.store.submit(SweepBlobs(), self.wall)
        end = time.monotonic() + WAIT
        while any(self.find(name) != UNKNOWN for name in ("expired",)):
            assert time.monotonic() < end


ONE = BlobKey(APP, "one")
UNKNOWN = BlobRefusal(BlobTrouble.UNKNOWN)
OFFSET = BlobRefusal(BlobTrouble.OFFSET)
NO_SPACE = BlobRefusal(BlobTrouble.NO_SPACE)
CHECKSUM = BlobRefusal(BlobTrouble.CHECKSUM)
DATA = bytes(range(256)) * 300


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Blobs:
    """Uploads and downloads of one blob, and what holds them together."""

    @pytest.fixture
    def bench(self, make: MakeStore) -> Bench:
        return Bench(make())

    def test_a_blob_is_created_written_finished_and_read(self, bench: Bench) -> None:
        blob = bench.create(size=len(DATA), sha256=digest(DATA))
        assert blob == Blob(
            ONE, "alice", "file", len(DATA), "n.bin", "image/png", digest(DATA), 0, False, blob.expires
        )
        assert blob.expires == START + int(MEDIA_UNFINISHED_SECONDS * SECOND)
        assert bench.do(WriteBlob, ONE, 0, DATA[:1000]) == BlobWritten(1000)
        found = bench.find()
        assert (found.offset, found.complete) == (1000, False)
        assert bench.do(WriteBlob, ONE, 1000, DATA[1000:]) == BlobWritten(len(DATA))
        complete = bench.do(FinishBlob, ONE)
        assert (complete.offset, complete.complete, complete.sha256) == (len(DATA), True, digest(DATA))
        assert complete.expires == START + MEDIA_DAYS * DAY
        assert bench.find() == complete
        assert bench.read(0, len(DATA)) == BlobBytes(DATA)
        assert bench.read(70_000, 5) == BlobBytes(DATA[70_000:70_005])

    def test_the_hash_is_told_where_the_uploader_told_none(self, bench: Bench) -> None:
        assert bench.upload(DATA).sha256 == digest(DATA)

    def test_to_finish_twice_does_no_harm(self, bench: Bench) -> None:
        complete = bench.upload(DATA)
        assert bench.do(FinishBlob, ONE) == complete

    def test_nothing_is_left_of_bytes_with_another_hash(self, bench: Bench) -> None:
        assert bench.upload(DATA, sha256=digest(b"other")) == CHECKSUM
        assert bench.find() == UNKNOWN
        assert bench.store.stats() == {"files": 0, "files_bytes": 0}

    def test_bytes_belong_behind_what_was_written(self, bench: Bench) -> None:
        bench.create(size=10)
        assert bench.do(WriteBlob, ONE, 1, b"x") == OFFSET
        assert bench.do(WriteBlob, ONE, 0, b"12345") == BlobWritten(5)
        assert bench.do(WriteBlob, ONE, 0, b"12345") == OFFSET
        assert bench.do(WriteBlob, ONE, 5, b"678901") == OFFSET, "more than was announced"
        assert bench.do(FinishBlob, ONE) == OFFSET, "less than was announced"
        assert bench.do(WriteBlob, ONE, 5, b"67890") == BlobWritten(10)
        assert bench.do(FinishBlob, ONE).complete
        assert bench.do(WriteBlob, ONE, 10, b"x") == OFFSET, "it is complete"
        assert bench.read(0, 10) == BlobBytes(b"1234567890")

    def test_what_is_not_there_cannot_be_read_nor_written(self, bench: Bench) -> None:
        for kind, *fields in ((FindBlob,), (WriteBlob, 0, b"x"), (FinishBlob,), (ReadBlob, 0, 1)):
            assert bench.do(kind, ONE, *fields) == UNKNOWN
        bench.create(size=2)
        bench.do(WriteBlob, ONE, 0, b"ab")
        assert bench.read(0, 1) == UNKNOWN, "it is not finished"
        bench.do(FinishBlob, ONE)
        assert bench.read(1, 2) == UNKNOWN, "there are no such bytes"
        assert bench.read(-1, 1) == UNKNOWN
        assert bench.do(FindBlob, BlobKey(OTHER_APP, "one")) == UNKNOWN, "it is another app's"

    def test_blobs_are_removed_finished_or_not(self, bench: Bench) -> None:
        assert bench.do(RemoveBlob, ONE) == BlobRemoved()
        bench.create()
        bench.do(WriteBlob, ONE, 0, b"abc")
        assert bench.do(RemoveBlob, ONE) == BlobRemoved()
        assert bench.do(WriteBlob, ONE, 3, b"d") == UNKNOWN
        bench.upload(DATA)
        assert bench.do(RemoveBlob, ONE) == BlobRemoved()
        assert bench.read(0, 1) == UNKNOWN
        assert bench.store.stats() == {"files": 0, "files_bytes": 0}

    def test_commands_of_one_blob_are_carried_out_in_order(self, bench: Bench) -> None:
        bench.create(size=len(DATA))
        pieces = [DATA[at : at + 1000] for at in range(0, len(DATA), 1000)]
        writes = [bench.submit(WriteBlob, ONE, 1000 * n, piece) for n, piece in enumerate(pieces)]
        look, finish = bench.submit(FindBlob, ONE), bench.submit(FinishBlob, ONE)
        reads = [bench.submit(ReadBlob, ONE, 1000 * n, len(piece)) for n, piece in enumerate(pieces)]
        assert [bench.answer(n).offset for n in writes][-1] == len(DATA)
        assert bench.answer(look).offset == len(DATA)
        assert bench.answer(finish).sha256 == digest(DATA)
        assert b"".join(bench.answer(n).data for n in reads) == DATA

    def test_many_blobs_at_once(self, bench: Bench) -> None:
        names = [f"blob-{n}" for n in range(MEDIA_UNFINISHED)]
        for name in names:
            bench.create(name, 3000)
        numbers = []
        for at in range(0, 3000, 100):
            for place, name in enumerate(names):
                numbers.append(bench.submit(WriteBlob, BlobKey(APP, name), at, bytes([place]) * 100))
        assert all(isinstance(bench.answer(number), BlobWritten) for number in numbers)
        done = [bench.submit(FinishBlob, BlobKey(APP, name)) for name in names]
        assert [bench.answer(n).sha256 for n in done] == [
            digest(bytes([place]) * 3000) for place in range(len(names))
        ]


class Bounds:
    """What a store may hold, and for how long."""

    def test_a_blob_lives_for_7_days(self, make: MakeStore) -> None:
        bench = Bench(make())
        bench.upload(DATA, "expired")
        bench.wall = START + MEDIA_DAYS * DAY - 1
        assert bench.find("expired").complete
        bench.wall += 1
        assert bench.find("expired") == UNKNOWN
        assert bench.do(ReadBlob, BlobKey(APP, "expired"), 0, 1) == UNKNOWN
        bench.sweep()
        _wait_for(lambda: bench.store.stats() == {"files": 0, "files_bytes": 0})

    def test_days_are_configured(self, make: MakeStore) -> None:
        bench = Bench(make(BlobCaps(file_days=1)))
        assert bench.upload(DATA).expires == START + DAY

    def test_an_unfinished_one_lives_for_an_hour_after_its_last_byte(self, make: MakeStore) -> None:
        bench = Bench(make())
        bench.create("expired", 10)
        bench.wall += 3599 * SECOND
        assert bench.do(WriteBlob, BlobKey(APP, "expired"), 0, b"x") == BlobWritten(1)
        bench.wall += 3599 * SECOND
        assert bench.find("expired").offset == 1
        bench.wall += SECOND
        assert bench.do(WriteBlob, BlobKey(APP, "expired"), 1, b"x") == UNKNOWN
        bench.sweep()
        _wait_for(lambda: bench.store.stats()["files"] == 0)

    def test_unfinished_uploads_of_one_user_are_bounded(self, make: MakeStore) -> None:
        bench = Bench(make(BlobCaps(unfinished_uploads=2)))
        assert isinstance(bench.create("one", 1), Blob)
        assert isinstance(bench.create("two", 1), Blob)
        assert bench.create("three", 1) == BlobRefusal(BlobTrouble.TOO_MANY)
        assert isinstance(bench.create("three", 1, user="bob"), Blob)
        assert isinstance(bench.create("four", 1, app=OTHER_APP), Blob)
        bench.do(WriteBlob, ONE, 0, b"x")
        bench.do(FinishBlob, ONE)
        assert isinstance(bench.create("five", 1), Blob)

    def test_bytes_of_an_app_and_of_all_are_bounded(self, make: MakeStore) -> None:
        bench = Bench(make(BlobCaps(app_files_bytes=100, all_files_bytes=150)))
        assert isinstance(bench.create("one", 60), Blob)
        assert bench.create("two", 41) == NO_SPACE
        assert isinstance(bench.create("two", 40), Blob)
        assert bench.create("three", 51, app=OTHER_APP) == NO_SPACE
        assert isinstance(bench.create("three", 50, app=OTHER_APP), Blob)
        bench.do(RemoveBlob, ONE)
        assert isinstance(bench.create("four", 60), Blob)

    def test_caps_can_change(self, make: MakeStore) -> None:
        bench = Bench(make(BlobCaps(app_files_bytes=10)))
        assert bench.create(size=11) == NO_SPACE
        bench.store.caps = BlobCaps(app_files_bytes=11)
        assert isinstance(bench.create(size=11), Blob)


def _wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)
