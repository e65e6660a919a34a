"""The store of files and images: each a file of its own, its row written last, its bytes never in the loop's thread."""

import errno
import logging
import os
import queue
import re
import secrets
import sqlite3
import threading
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import attrs

from rtmcore.errors import ServerFailure
from rtmcore.limits import BLOB_THREADS, JOURNAL_CLOSE_TIMEOUT, MEDIA_CHUNK_BYTES
from rtmcore.service.blobs.catalog import BlobCaps, BlobCatalog, unfinished_until
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
from rtmcore.service.blobs.tickets import SECRET_BYTES
from rtmsync.server.blobs.descriptors import OpenFiles
from rtmsync.server.blobs.lanes import Lanes
from rtmsync.server.blobs.rows import BlobRows, is_full

ROWS_FILE: Final = "blobs.sqlite3"
SECRET_FILE: Final = "ticket.key"
PART: Final = ".part"

_log = logging.getLogger("rtmsync.server.blobs")

_OWN_FILE: Final = re.compile(r"[0-9a-f]{64}(\.part)?")
_NO_SPACE: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_SLOW: Final = (CreateBlob, FinishBlob, RemoveBlob, SweepBlobs)
_SWEEP: Final = BlobKey("", "")
_NOBODY: Final = 0
"""The number of commands whose answer nobody waits for."""

_BROKEN: Final = BlobRefusal(BlobTrouble.BROKEN)
_FULL: Final = BlobRefusal(BlobTrouble.NO_SPACE)

_Work = tuple[BlobCommand, int]


@attrs.define
class _Hash:
    """The hash of what was written since the beginning."""

    sha256: Any = attrs.field(factory=sha256)
    offset: int = 0


class FileBlobStore:
    """Keeps blobs as files of a directory, named by nothing that a peer says.

    An unfinished blob is a file with the suffix ``.part`` and a row that says so. To finish one, the file is checked,
    synced and renamed, the directory is synced, and the row is written last. Whatever moment a process ends at, the
    next `open` finds each blob finished, unfinished or gone, and leaves nothing behind that belongs to none.

    Nothing happens before `open`.

    Args:
        directory: Where it keeps everything, made where it is missing. One process at a time may use it.
        wake: Called by one of the store's threads when `next_output` has something new.
        caps: How much it may hold.
        sync: Makes a file or directory last, given its descriptor.
    """

    def __init__(
        self,
        directory: Path,
        *,
        wake: Callable[[], None],
        caps: BlobCaps | None = None,
        sync: Callable[[int], None] = os.fsync,
    ) -> None:
        self._directory = directory
        self._wake = wake
        self._sync = sync
        self._rows = BlobRows(directory / ROWS_FILE)
        self._catalog = BlobCatalog(caps or BlobCaps())
        self._lock = threading.Lock()
        self._hashes: dict[BlobKey, _Hash] = {}
        self._written: OpenFiles[BlobKey] = OpenFiles(os.O_WRONLY | os.O_CREAT)
        self._read_from: OpenFiles[BlobKey] = OpenFiles(os.O_RDONLY)
        self._answers: queue.SimpleQueue[BlobAnswer] = queue.SimpleQueue()
        self._lanes: Lanes[BlobKey, _Work] = Lanes(
            BLOB_THREADS, self._work, lambda work: isinstance(work[0], _SLOW)
        )
        self._rung = False
        self._opened = False

    # --- Beginning and end --------------------------------------------------------

    def open(self, wall: int) -> bytes:
        """Take the directory, clear up what an earlier process left, and start the threads. Blocks until that is done.

        Args:
            wall: Microseconds since 1970.

        Returns:
            The secret that tickets are signed with; it stays the same as long as the directory does.

        Raises:
            ServerFailure: The directory cannot be used.
        """
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            secret = _secret(self._directory / SECRET_FILE, self._sync)
            rows = self._rows.open()
            self._restore(rows, wall)
            self._sync_directory()
        except (OSError, sqlite3.Error) as error:
            self._rows.close()
            raise ServerFailure(
                f"The directory {self._directory} for files cannot be used: {error}.",
                operation="serve",
                hint="Check its owner, its file system and the space that is left.",
            ) from error
        self._opened = True
        self._lanes.start()
        _log.info("opened %s: %d files and uploads", self._directory, len(self._catalog))
        return secret

    def close(self, timeout: float = JOURNAL_CLOSE_TIMEOUT) -> None:
        """Carry out what was submitted, and end the threads. Idempotent.

        Args:
            timeout: Seconds to wait for the disk.

        Raises:
            ServerFailure: The disk did not answer in time; what is on it is sound, as after a crash.
        """
        if not self._opened:
            return
        if not self._lanes.stop(timeout):
            raise ServerFailure(
                f"The disk under {self._directory} did not answer within {timeout:g} s.", operation="close"
            )
        self._opened = False
        self._written.close_all()
        self._read_from.close_all()
        self._rows.close()

    # --- In the loop's thread -----------------------------------------------------

    @property
    def caps(self) -> BlobCaps:
        """How much it may hold."""
        return self._catalog.caps

    @caps.setter
    def caps(self, caps: BlobCaps) -> None:
        self._catalog.caps = caps

    def stats(self) -> dict[str, int]:
        """Counts by name."""
        with self._lock:
            return {"files": len(self._catalog), "files_bytes": self._catalog.total}

    def submit(self, command: BlobCommand, wall: int) -> None:
        """See `BlobPort.submit`."""
        key = _SWEEP if isinstance(command, SweepBlobs) else command.key
        self._lanes.put(key, (command, wall))

    def next_output(self) -> BlobAnswer | None:
        """See `BlobPort.next_output`."""
        if self._answers.empty():
            self._rung = False
            if self._answers.empty():  # still: what came in between has not rung
                return None
        return self._answers.get_nowait()

    # --- In the threads of the store ----------------------------------------------

    def _work(self, work: _Work) -> None:
        command, wall = work
        if isinstance(command, SweepBlobs):
            self._sweep(wall)
            return
        value: BlobValue = _BROKEN
        try:
            value = self._carry_out(command, wall)
        except (OSError, sqlite3.Error) as error:
            value = self._failed(command, error)
        finally:
            self._answers.put(BlobAnswer(command.number, value))
            self._ring()

    def _ring(self) -> None:
        """Wake the loop, unless that was done and it has not looked since."""
        if self._rung:
            return
        self._rung = True
        try:
            self._wake()
        except Exception:  # noqa: BLE001 - the answer is found at the next turn of the loop all the same
            _log.exception("the server's loop could not be woken")

    def _carry_out(
        self, command: CreateBlob | FindBlob | WriteBlob | FinishBlob | ReadBlob | RemoveBlob, wall: int
    ) -> BlobValue:
        if isinstance(command, WriteBlob):
            return self._write(command, wall)
        if isinstance(command, ReadBlob):
            return self._read(command, wall)
        if isinstance(command, FindBlob):
            with self._lock:
                return self._catalog.find(command.key, wall)
        if isinstance(command, FinishBlob):
            return self._finish(command, wall)
        if isinstance(command, CreateBlob):
            return self._create(command, wall)
        self._remove(command.key)
        return BlobRemoved()

    def _failed(self, command: BlobCommand, error: Exception) -> BlobRefusal:
        """The disk refused a command: what it means, and what is left."""
        full = getattr(error, "errno", None) in _NO_SPACE or is_full(error)
        _log.error("a %s failed: %s", type(command).__name__, error)
        if isinstance(command, CreateBlob):
            with self._lock:
                self._catalog.remove(command.key)
        elif full and isinstance(command, WriteBlob | FinishBlob):
            self._discard(command.key)
        return _FULL if full else _BROKEN

    def _create(self, command: CreateBlob, wall: int) -> BlobValue:
        with self._lock:
            blob = self._catalog.create(command, wall)
        if isinstance(blob, Blob):
            self._rows.put(blob)
        return blob

    def _write(self, command: WriteBlob, wall: int) -> BlobValue:
        with self._lock:
            blob = self._catalog.judge_write(command, wall)
        if isinstance(blob, BlobRefusal):
            return blob
        data = memoryview(command.data)
        position = command.offset
        with self._written.use(command.key, self._part(command.key)) as descriptor:
            while data:
                written = os.pwrite(descriptor, data, position)
                position += written
                data = data[written:]
        known = self._hashes.get(command.key)
        if known is None and command.offset == 0:
            known = self._hashes[command.key] = _Hash()
        if known is not None and known.offset == command.offset:
            known.sha256.update(command.data)
            known.offset = position
        with self._lock:
            self._catalog.wrote(command.key, position, wall)
        return BlobWritten(position)

    def _finish(self, command: FinishBlob, wall: int) -> BlobValue:
        key = command.key
        with self._lock:
            blob = self._catalog.judge_finish(key, wall)
        if isinstance(blob, BlobRefusal) or blob.complete:
            return blob
        self._written.close(key)
        descriptor = os.open(self._part(key), os.O_RDONLY | os.O_CLOEXEC)
        try:
            found = self._digest(descriptor, blob)
            if found is None or blob.sha256 not in ("", found):
                self._discard(key)
                return BlobRefusal(BlobTrouble.CHECKSUM)
            self._sync(descriptor)
        finally:
            os.close(descriptor)
        complete = self._catalog.completed(blob, found, wall)
        os.rename(self._part(key), self._file(key))
        try:
            self._sync_directory()
            self._rows.put(complete)
        except (OSError, sqlite3.Error):
            os.rename(self._file(key), self._part(key))
            raise
        self._hashes.pop(key, None)
        with self._lock:
            self._catalog.put(complete)
        return complete

    def _digest(self, descriptor: int, blob: Blob) -> str | None:
        """The hash of a file; None where it has another size than it should have."""
        if os.fstat(descriptor).st_size != blob.size:
            return None
        known = self._hashes.get(blob.key)
        if known is None or known.offset != blob.size:
            known = _Hash()
            while piece := os.pread(descriptor, MEDIA_CHUNK_BYTES, known.offset):
                known.sha256.update(piece)
                known.offset += len(piece)
        return str(known.sha256.hexdigest())

    def _read(self, command: ReadBlob, wall: int) -> BlobValue:
        with self._lock:
            blob = self._catalog.judge_read(command, wall)
        if isinstance(blob, BlobRefusal):
            return blob
        with self._read_from.use(command.key, self._file(command.key)) as descriptor:
            data = os.pread(descriptor, command.size, command.offset)
        return BlobBytes(data) if len(data) == command.size else _BROKEN

    def _sweep(self, wall: int) -> None:
        """Have each blob that has expired removed in its own lane, behind whatever still concerns it."""
        self._written.close_idle()
        self._read_from.close_idle()
        with self._lock:
            expired = self._catalog.expired(wall)
        for key in expired:
            self._lanes.put(key, (RemoveBlob(_NOBODY, key), wall))
        if expired:
            _log.info("%d files and uploads have expired", len(expired))

    def _remove(self, key: BlobKey) -> None:
        """Forget a blob: the row first, so that no row is without its file."""
        self._rows.remove([key])
        with self._lock:
            self._catalog.remove(key)
        self._let_go(key)
        self._part(key).unlink(missing_ok=True)
        self._file(key).unlink(missing_ok=True)

    def _discard(self, key: BlobKey) -> None:
        """Forget an upload that failed: its file first, which makes room for what the database writes."""
        with self._lock:
            self._catalog.remove(key)
        self._let_go(key)
        try:
            self._part(key).unlink(missing_ok=True)
            self._rows.remove([key])
        except (OSError, sqlite3.Error) as error:
            _log.error("what is left of an upload goes at the next start: %s", error)

    def _let_go(self, key: BlobKey) -> None:
        """Hold nothing of a blob any more."""
        self._hashes.pop(key, None)
        self._written.close(key)
        self._read_from.close(key)

    # --- At the start ---------------------------------------------------------------

    def _restore(self, rows: list[Blob], wall: int) -> None:
        """Make rows and files agree: what is finished, what can be gone on with, and what nobody needs."""
        gone = []
        kept = set()
        for row in rows:
            blob = self._agreed(row, wall)
            if blob is None:
                gone.append(row.key)
            else:
                self._catalog.put(blob)
                kept.add((self._file if blob.complete else self._part)(blob.key).name)
        self._rows.remove(gone)
        stray = [
            entry.path
            for entry in os.scandir(self._directory)
            if _OWN_FILE.fullmatch(entry.name) and entry.name not in kept
        ]
        for path in stray:
            os.unlink(path)
        if gone or stray:
            _log.info("cleared up: %d rows and %d files", len(gone), len(stray))

    def _agreed(self, row: Blob, wall: int) -> Blob | None:
        """What a row and its file come to; None where the blob is to go."""
        file, part = self._file(row.key), self._part(row.key)
        if row.complete:
            whole = file.exists() and file.stat().st_size == row.size
            return row if whole and row.expires > wall else None
        if file.exists():  # renamed, and the row was not written any more
            os.rename(file, part)
        if not part.exists():
            return row if row.expires > wall else None
        found = part.stat()
        expires = unfinished_until(found.st_mtime_ns // 1000)
        if found.st_size > row.size or expires <= wall:
            return None
        return attrs.evolve(row, offset=found.st_size, expires=expires)

    def _file(self, key: BlobKey) -> Path:
        """Where a finished blob is. The name is made of digits, whatever ids are."""
        return self._directory / sha256(f"{key.app}\0{key.id}".encode()).hexdigest()

    def _part(self, key: BlobKey) -> Path:
        """Where an unfinished one is."""
        return self._file(key).with_suffix(PART)

    def _sync_directory(self) -> None:
        descriptor = os.open(self._directory, os.O_RDONLY | os.O_CLOEXEC)
        try:
            self._sync(descriptor)
        finally:
            os.close(descriptor)


def _secret(path: Path, sync: Callable[[int], None]) -> bytes:
    """The secret of a directory, made where there is none."""
    try:
        found = path.read_bytes()
    except FileNotFoundError:
        found = b""
    if len(found) == SECRET_BYTES:
        return found
    made = secrets.token_bytes(SECRET_BYTES)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, made)
        sync(descriptor)
    finally:
        os.close(descriptor)
    return made
