"""A store that keeps blobs in memory: for servers without a data directory, and for tests."""

from collections import deque
from hashlib import sha256
from typing import Any

import attrs

from rtmcore.limits import MEDIA_MEMORY_BYTES
from rtmcore.service.blobs.catalog import BlobCaps, BlobCatalog
from rtmcore.service.blobs.commands import (
    Blob,
    BlobAnswer,
    BlobBytes,
    BlobCommand,
    BlobKey,
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


class MemoryBlobStore:
    """Keeps blobs in this process, at most `limits.MEDIA_MEMORY_BYTES` of them, and answers at once.

    Args:
        caps: How much it may hold.
    """

    def __init__(self, caps: BlobCaps | None = None) -> None:
        self._catalog = BlobCatalog(_bounded(caps or BlobCaps()))
        self._data: dict[BlobKey, bytearray] = {}
        self._hashes: dict[BlobKey, Any] = {}
        self._answers: deque[BlobAnswer] = deque()

    @property
    def caps(self) -> BlobCaps:
        """How much it may hold."""
        return self._catalog.caps

    @caps.setter
    def caps(self, caps: BlobCaps) -> None:
        self._catalog.caps = _bounded(caps)

    def stats(self) -> dict[str, int]:
        """Counts by name."""
        return {"files": len(self._catalog), "files_bytes": self._catalog.total}

    def submit(self, command: BlobCommand, wall: int) -> None:
        """See `BlobPort.submit`."""
        if isinstance(command, SweepBlobs):
            for key in self._catalog.expired(wall):
                self._remove(key)
            return
        self._answers.append(BlobAnswer(command.number, self._carry_out(command, wall)))

    def next_output(self) -> BlobAnswer | None:
        """See `BlobPort.next_output`."""
        return self._answers.popleft() if self._answers else None

    def _carry_out(
        self,
        command: CreateBlob | FindBlob | WriteBlob | FinishBlob | ReadBlob | RemoveBlob,
        wall: int,
    ) -> BlobValue:
        if isinstance(command, CreateBlob):
            return self._catalog.create(command, wall)
        if isinstance(command, FindBlob):
            return self._catalog.find(command.key, wall)
        if isinstance(command, WriteBlob):
            return self._write(command, wall)
        if isinstance(command, FinishBlob):
            return self._finish(command, wall)
        if isinstance(command, ReadBlob):
            blob = self._catalog.judge_read(command, wall)
            if isinstance(blob, BlobRefusal):
                return blob
            whole = memoryview(self._data[command.key])
            return BlobBytes(bytes(whole[command.offset : command.offset + command.size]))
        self._remove(command.key)
        return BlobRemoved()

    def _write(self, command: WriteBlob, wall: int) -> BlobValue:
        blob = self._catalog.judge_write(command, wall)
        if isinstance(blob, BlobRefusal):
            return blob
        self._data.setdefault(command.key, bytearray()).extend(command.data)
        self._hashes.setdefault(command.key, sha256()).update(command.data)
        offset = command.offset + len(command.data)
        self._catalog.wrote(command.key, offset, wall)
        return BlobWritten(offset)

    def _finish(self, command: FinishBlob, wall: int) -> BlobValue:
        blob = self._catalog.judge_finish(command.key, wall)
        if isinstance(blob, BlobRefusal) or blob.complete:
            return blob
        found = self._hashes.pop(command.key).hexdigest()
        if blob.sha256 not in ("", found):
            self._remove(command.key)
            return BlobRefusal(BlobTrouble.CHECKSUM)
        complete: Blob = self._catalog.completed(blob, found, wall)
        self._catalog.put(complete)
        return complete

    def _remove(self, key: BlobKey) -> None:
        self._catalog.remove(key)
        self._data.pop(key, None)
        self._hashes.pop(key, None)


def _bounded(caps: BlobCaps) -> BlobCaps:
    return attrs.evolve(caps, all_files_bytes=min(caps.all_files_bytes, MEDIA_MEMORY_BYTES))
