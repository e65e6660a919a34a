"""The memory store of blobs does what every store does."""

import pytest

from rtmcore.limits import MEDIA_MEMORY_BYTES
from rtmcore.service.blobs.catalog import BlobCaps
from rtmcore.service.blobs.commands import Blob
from rtmcore.service.blobs.memory import MemoryBlobStore
from tests.service import blob_conformance
from tests.service.blob_conformance import NO_SPACE, Bench, MakeStore


@pytest.fixture
def make() -> MakeStore:
    return MemoryBlobStore


class TestBlobs(blob_conformance.Blobs):
    pass


class TestBounds(blob_conformance.Bounds):
    pass


def test_it_never_holds_more_than_memory_has_room_for() -> None:
    bench = Bench(MemoryBlobStore(BlobCaps()))
    assert bench.create("one", MEDIA_MEMORY_BYTES + 1) == NO_SPACE
    bench.store.caps = BlobCaps(all_files_bytes=MEDIA_MEMORY_BYTES * 2)
    assert bench.create("one", MEDIA_MEMORY_BYTES + 1) == NO_SPACE
    assert isinstance(bench.create("one", MEDIA_MEMORY_BYTES), Blob)
