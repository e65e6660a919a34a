"""The history in the SQLite file of the journal: written with its batches, read by a connection of its own."""

import contextlib
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from rtmcore.limits import HISTORY_DROPPED_AT_ONCE
from rtmcore.service.commands.history import Kept, KeptEntry
from rtmcore.service.memory.journal import Batch
from rtmcore.service.memory.kept import HistoryQuestion

HISTORY_TABLES: Final = (
    """
CREATE TABLE IF NOT EXISTS history (
    id INTEGER PRIMARY KEY,
    app TEXT NOT NULL, source TEXT NOT NULL, iid TEXT NOT NULL, cmid INTEGER NOT NULL,
    destination TEXT NOT NULL, channel INTEGER NOT NULL,
    type INTEGER NOT NULL, body BLOB NOT NULL, size INTEGER NOT NULL,
    UNIQUE (app, source, iid, cmid)
)
""",
    "CREATE INDEX IF NOT EXISTS history_of_app ON history (app, id)",
    "CREATE INDEX IF NOT EXISTS history_by_source ON history (app, source, id)",
    "CREATE INDEX IF NOT EXISTS history_by_destination ON history (app, channel, destination, id)",
    "CREATE TABLE IF NOT EXISTS history_sizes (app TEXT PRIMARY KEY, size INTEGER NOT NULL) WITHOUT ROWID",
    """
CREATE TRIGGER IF NOT EXISTS history_grows AFTER INSERT ON history BEGIN
    INSERT INTO history_sizes VALUES (NEW.app, NEW.size)
    ON CONFLICT (app) DO UPDATE SET size = size + excluded.size;
END
""",
    """
CREATE TRIGGER IF NOT EXISTS history_shrinks AFTER DELETE ON history BEGIN
    UPDATE history_sizes SET size = size - OLD.size WHERE app = OLD.app;
END
""",
)

_Text = Annotated[str, Meta(min_length=1)]
_Number = Annotated[int, Meta(ge=0)]
_ROW: Final = tuple[_Number, _Text, _Text, Annotated[int, Meta(ge=0, le=1)], _Number, bytes]
_COUNT: Final = tuple[_Number]
_SIZE: Final = "coalesce(CAST(size AS INTEGER), 0)"
"""The bytes of a message, whatever a damaged file says."""


@contextlib.contextmanager
def errors_as_text() -> Iterator[None]:
    """Where names in a file's schema are damaged, what SQLite says of them is not text, and its error is lost.

    Raises:
        sqlite3.DatabaseError: In its place.
    """
    try:
        yield
    except UnicodeDecodeError as error:
        raise sqlite3.DatabaseError("the file is damaged: its schema is not text") from error


def write_history(connection: sqlite3.Connection, batch: Batch) -> None:
    """Write what a batch says of the history, within its transaction."""
    connection.executemany(
        "DELETE FROM history WHERE app = ? AND source = ? AND iid = ? AND cmid = ?",
        [record.origin for record in batch.history],
    )
    connection.executemany(
        "INSERT INTO history VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (
                record.id,
                *record.origin,
                record.destination,
                record.channel,
                record.kind,
                record.body,
                record.size,
            )
            for record in batch.history
        ],
    )
    for app in {record.app for record in batch.history}:
        _shrink(connection, app, batch.history_limit)
    connection.executemany("DELETE FROM history WHERE id = ?", [(gone,) for gone in batch.history_removed])
    if batch.history_first:
        connection.execute(
            "DELETE FROM history WHERE id IN (SELECT id FROM history WHERE id < ? ORDER BY id LIMIT ?)",
            (batch.history_first, HISTORY_DROPPED_AT_ONCE),
        )


def _shrink(connection: sqlite3.Connection, app: str, limit: int) -> None:
    """Drop the oldest messages of an app until it has so many bytes at most."""
    told = connection.execute(
        "SELECT size FROM history_sizes WHERE app = ? AND typeof(size) = 'integer'", (app,)
    ).fetchone()
    over = (_count(connection, app) if told is None else int(told[0])) - limit
    if over <= 0:
        return
    last, over = _oldest(connection, app, over)
    if over > 0:
        # There is less than was told: the file is damaged, and that is no reason to drop everything.
        last, _ = _oldest(connection, app, _count(connection, app) - limit)
    connection.execute("DELETE FROM history WHERE app = ? AND id <= ?", (app, last))


def _oldest(connection: sqlite3.Connection, app: str, over: int) -> tuple[int, int]:
    """The last of the oldest messages that come to so many bytes, and the bytes for which there are no more."""
    last = 0
    with contextlib.closing(
        connection.execute(f"SELECT id, {_SIZE} FROM history WHERE app = ? ORDER BY id", (app,))
    ) as messages:
        while over > 0 and (message := messages.fetchone()) is not None:
            last, freed = message
            over -= freed
    return last, over


def _count(connection: sqlite3.Connection, app: str) -> int:
    """Count the bytes of an app's messages anew, and note how many they are."""
    (size,) = connection.execute(
        f"SELECT CAST(total({_SIZE}) AS INTEGER) FROM history WHERE app = ?", (app,)
    ).fetchone()
    connection.execute("INSERT OR REPLACE INTO history_sizes VALUES (?, ?)", (app, size))
    return int(size)


class SqliteHistory:
    """Answers questions about the history, in one thread, while another commits to the same file.

    Args:
        path: The journal's file, which exists.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._interrupted = False

    def read(self, question: HistoryQuestion) -> Kept:
        """Answer a question from what is committed.

        Raises:
            sqlite3.Error: The file could not be read, or `interrupt` was called.
            msgspec.ValidationError: A row is not what was written.
        """
        with errors_as_text():
            return self._read(self._open(), question)

    def _read(self, connection: sqlite3.Connection, question: HistoryQuestion) -> Kept:
        command = question.command
        where = "app = ? AND id >= ? AND id < ?"
        values: list[Any] = [command.app, question.start, command.end]
        if command.destination is not None:
            where += " AND channel = ? AND destination = ?"
            values += [int(command.channel), command.destination]
        if command.source is not None:
            where += " AND source = ?"
            values.append(command.source)
        connection.execute("BEGIN")
        try:
            counted = connection.execute(f"SELECT count(*) FROM history WHERE {where}", values).fetchone()
            rows = connection.execute(
                f"SELECT id, source, destination, channel, type, body FROM history WHERE {where} "
                f"ORDER BY id {'ASC' if command.ascending else 'DESC'} LIMIT ? OFFSET ?",
                (*values, command.limit, command.offset),
            ).fetchall()
        finally:
            connection.execute("ROLLBACK")
        (count,) = msgspec.convert(counted, _COUNT)
        messages = []
        for row in rows:
            found, source, destination, channel, kind, body = msgspec.convert(row, _ROW)
            messages.append(KeptEntry(found, source, destination, bool(channel), kind, body))
        return Kept(tuple(messages), count)

    def _open(self) -> sqlite3.Connection:
        with self._lock:
            if self._interrupted:
                raise sqlite3.OperationalError("interrupted")
            if self._connection is None:
                self._connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
                self._connection.execute("PRAGMA query_only = ON")
            return self._connection

    def interrupt(self) -> None:
        """Let `read` end with an error, now and from now on; for any thread."""
        with self._lock:
            self._interrupted = True
            if self._connection is not None:
                self._connection.interrupt()

    def close(self) -> None:
        """Close the file. Idempotent."""
        with self._lock:
            connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(sqlite3.Error):
                connection.close()
