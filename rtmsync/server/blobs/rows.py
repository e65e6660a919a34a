"""The rows of blobs: what is known of each, in a database beside their files."""

import contextlib
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from rtmcore.service.blobs.commands import Blob, BlobKey

_SCHEMA: Final = """
create table if not exists blobs (
    app text not null,
    id text not null,
    user text not null,
    kind text not null,
    size integer not null,
    name text not null,
    type text not null,
    sha256 text not null,
    complete integer not null,
    expires integer not null,
    primary key (app, id)
) without rowid
"""
_PUT: Final = "insert or replace into blobs values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"


class BlobRows:
    """Rows in SQLite; each change is on the disk when its call returns. Any thread may use it.

    Args:
        path: The database's file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._database: sqlite3.Connection | None = None

    def open(self) -> list[Blob]:
        """Open the database; returns what it knows. Offsets of unfinished blobs are not in it.

        Raises:
            sqlite3.Error: It cannot be used.
        """
        database = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        self._database = database
        database.execute("pragma journal_mode = wal")
        database.execute("pragma synchronous = full")
        database.execute(_SCHEMA)
        found = database.execute(
            "select app, id, user, kind, size, name, type, sha256, complete, expires from blobs"
        )
        return [
            Blob(
                key=BlobKey(app, identity),
                user=user,
                kind=kind,
                size=size,
                name=name,
                type=media_type,
                sha256=sha256,
                offset=size if complete else 0,
                complete=bool(complete),
                expires=expires,
            )
            for app, identity, user, kind, size, name, media_type, sha256, complete, expires in found
        ]

    def put(self, blob: Blob) -> None:
        """Write a row, in place of what it was.

        Raises:
            sqlite3.Error: It cannot be written; the old one is still there.
        """
        row = (
            *blob.key,
            blob.user,
            blob.kind,
            blob.size,
            blob.name,
            blob.type,
            blob.sha256,
            int(blob.complete),
            blob.expires,
        )
        with self._in_use() as database:
            database.execute(_PUT, row)

    def remove(self, keys: list[BlobKey]) -> None:
        """Delete rows, all of them or none.

        Raises:
            sqlite3.Error: They cannot be deleted.
        """
        with self._in_use() as database:
            database.execute("begin immediate")
            try:
                database.executemany("delete from blobs where app = ? and id = ?", keys)
                database.execute("commit")
            except BaseException:
                database.execute("rollback")
                raise

    def close(self) -> None:
        """Close the database. Idempotent."""
        with self._lock:
            if self._database is not None:
                self._database.close()
                self._database = None

    @contextlib.contextmanager
    def _in_use(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            if self._database is None:
                raise sqlite3.ProgrammingError("The rows of files are closed.")
            yield self._database


def is_full(error: BaseException) -> bool:
    """Whether the database could not be written because there is no space."""
    return isinstance(error, sqlite3.Error) and "full" in str(error)
