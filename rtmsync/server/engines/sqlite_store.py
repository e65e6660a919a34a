"""The journal of an engine in an SQLite file."""

import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from rtmcore.errors import ServerFailure
from rtmcore.limits import DAY
from rtmcore.service.commands.attributes import ChannelAttributeValue
from rtmcore.service.commands.names import Name
from rtmcore.service.memory.journal import Batch, Image, SessionRecord, StoredEntry
from rtmsync.server.engines.sqlite_history import HISTORY_TABLES, SqliteHistory, errors_as_text, write_history

SCHEMA_VERSION: Final = 3
_WITHOUT_SCOPES: Final = 1
"""The version whose names had no scope: it is brought up to date when it is opened."""
_WITHOUT_ATTRIBUTES: Final = 2
"""The version that knew neither attributes of channels nor a history; as above."""

_META: Final = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID
"""
_TABLES: Final = {
    "sessions": """
CREATE TABLE IF NOT EXISTS sessions (
    app TEXT NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL, scope TEXT NOT NULL DEFAULT '',
    iid TEXT NOT NULL, attempt INTEGER NOT NULL, fence INTEGER NOT NULL, digest BLOB NOT NULL,
    keepalive REAL NOT NULL, inbox INTEGER NOT NULL,
    PRIMARY KEY (app, kind, name, scope)
) WITHOUT ROWID
""",
    "entries": """
CREATE TABLE IF NOT EXISTS entries (
    id INTEGER PRIMARY KEY,
    app TEXT NOT NULL, kind TEXT NOT NULL, receiver TEXT NOT NULL, scope TEXT NOT NULL DEFAULT '',
    sender TEXT NOT NULL, iid TEXT NOT NULL, cmid INTEGER NOT NULL,
    type INTEGER NOT NULL, body BLOB NOT NULL, offline INTEGER NOT NULL, written INTEGER NOT NULL,
    expires INTEGER NOT NULL DEFAULT 0,
    UNIQUE (app, kind, scope, sender, iid, cmid)
)
""",
    "bans": """
CREATE TABLE IF NOT EXISTS bans (
    app TEXT NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL, scope TEXT NOT NULL DEFAULT '',
    reason TEXT NOT NULL,
    PRIMARY KEY (app, kind, name, scope)
) WITHOUT ROWID
""",
    "channel_attributes": """
CREATE TABLE IF NOT EXISTS channel_attributes (
    app TEXT NOT NULL, kind TEXT NOT NULL, channel TEXT NOT NULL, position INTEGER NOT NULL,
    key TEXT NOT NULL, value TEXT NOT NULL, writer TEXT NOT NULL, written INTEGER NOT NULL,
    PRIMARY KEY (app, kind, channel, position)
) WITHOUT ROWID
""",
}

# SQLite keeps whatever a damaged file says in whichever column: each row is checked as a message would be.
_Text = Annotated[str, Meta(min_length=1)]
_Number = Annotated[int, Meta(ge=0)]
_META_ROW: Final = tuple[_Text, _Number]
_SESSION_ROW: Final = tuple[
    _Text, _Text, _Text, str, _Text, _Number, _Number, bytes, Annotated[float, Meta(gt=0, le=DAY)], _Number
]
_BAN_ROW: Final = tuple[_Text, _Text, _Text, str, str]
_ATTRIBUTE_ROW: Final = tuple[_Text, _Text, _Text, _Number, _Text, _Text, _Text, _Number]
_ENTRY_ROW: Final = tuple[
    _Number, _Text, _Text, _Text, str, _Text, _Text, _Number, _Number, bytes, Annotated[int, Meta(ge=0, le=1)],
    Annotated[int, Meta(ge=0, le=1)], _Number,
]  # fmt: skip

_IS_NAME: Final = "app = ? AND kind = ? AND name = ? AND scope = ?"
_SET: Final = "INSERT INTO meta VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value"


class SqliteStore:
    """Keeps an `Image` on disk: each batch is one transaction, and on the disk when `commit` returns.

    WAL with `synchronous=FULL`. Used by one thread at a time.

    Args:
        path: The database file; made where it is missing, readable by its owner only.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None

    def open(self) -> Image:
        """Open the file and read what it holds.

        Raises:
            ServerFailure: It cannot be opened, is damaged, or belongs to a newer version.
        """
        try:
            os.close(os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600))
            connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        except (OSError, sqlite3.Error) as error:
            raise _failure(self._path, error) from error
        try:
            image = _load(connection, self._path)
        except (sqlite3.Error, ValueError, msgspec.ValidationError) as error:
            connection.close()
            raise _failure(self._path, error) from error
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        return image

    def commit(self, batch: Batch) -> None:
        """Write a batch.

        Raises:
            sqlite3.Error: It was not written, as a whole.
        """
        connection = self._connection
        assert connection is not None, "the store is not open"
        connection.execute("BEGIN IMMEDIATE")
        try:
            with errors_as_text():
                _write(connection, batch)
                connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    def history(self) -> SqliteHistory:
        """What answers questions about the history, in a thread of its own."""
        return SqliteHistory(self._path)

    def close(self) -> None:
        """Close the file. Idempotent."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def _load(connection: sqlite3.Connection, path: Path) -> Image:
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    _prepare(connection, path)
    meta = dict(_checked(connection, "SELECT key, value FROM meta", _META_ROW))
    image = Image(reserved=meta.get("reserved", 0), clean=bool(meta.get("clean", 1)))
    for app, kind, name, scope, iid, attempt, fence, digest, keepalive, inbox in _checked(
        connection,
        "SELECT app, kind, name, scope, iid, attempt, fence, digest, keepalive, inbox FROM sessions",
        _SESSION_ROW,
    ):
        key = Name(app, kind, name, scope)
        image.sessions[key] = SessionRecord(key, iid, attempt, fence, digest, keepalive, inbox)
    for (
        entry_id,
        app,
        kind,
        receiver,
        scope,
        sender,
        iid,
        cmid,
        type_,
        body,
        offline,
        written,
        expires,
    ) in _checked(
        connection,
        "SELECT id, app, kind, receiver, scope, sender, iid, cmid, type, body, offline, written, expires FROM entries",
        _ENTRY_ROW,
    ):
        image.entries[entry_id] = StoredEntry(
            entry_id,
            Name(app, kind, receiver, scope),
            sender,
            iid,
            cmid,
            type_,
            body,
            bool(offline),
            bool(written),
            expires,
        )
    for *name, reason in _checked(connection, "SELECT app, kind, name, scope, reason FROM bans", _BAN_ROW):
        image.bans[Name(*name)] = reason
    _load_attributes(connection, image)
    return image


def _load_attributes(connection: sqlite3.Connection, image: Image) -> None:
    found: dict[tuple[str, str, str], dict[str, ChannelAttributeValue]] = {}
    for app, kind, channel, _, key, value, writer, written in _checked(
        connection,
        "SELECT app, kind, channel, position, key, value, writer, written FROM channel_attributes "
        "ORDER BY app, kind, channel, position",
        _ATTRIBUTE_ROW,
    ):
        values = found.setdefault((app, kind, channel), {})
        values[key] = ChannelAttributeValue(value, writer, written)
    image.attributes.update((channel, tuple(values.items())) for channel, values in found.items())


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    """Make the tables that are missing, or bring those of an earlier version up to date: all of it or nothing."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.execute(_META)
        version = dict(_checked(connection, "SELECT key, value FROM meta", _META_ROW)).get("schema")
        if version not in (None, SCHEMA_VERSION, _WITHOUT_ATTRIBUTES, _WITHOUT_SCOPES):
            raise ServerFailure(
                f"The journal {path} has schema version {version}, this server knows version {SCHEMA_VERSION}.",
                operation="serve",
                hint="Use the version of the server that wrote it, or another data directory.",
            )
        for table, definition in _TABLES.items():
            if version == _WITHOUT_SCOPES or (version == _WITHOUT_ATTRIBUTES and table == "entries"):
                _rebuild(connection, table, definition)
            connection.execute(definition)
        for definition in HISTORY_TABLES:
            connection.execute(definition)
        connection.execute(_SET, ("schema", SCHEMA_VERSION))
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _rebuild(connection: sqlite3.Connection, table: str, definition: str) -> None:
    """Make a table anew, with the columns that it did not have; its rows have their defaults."""
    columns = ", ".join(row[1] for row in connection.execute(f"PRAGMA table_info({table})"))
    if columns:
        connection.execute(f"ALTER TABLE {table} RENAME TO old_{table}")
        connection.execute(definition)
        connection.execute(f"INSERT INTO {table} ({columns}) SELECT {columns} FROM old_{table}")
        connection.execute(f"DROP TABLE old_{table}")


def _checked(connection: sqlite3.Connection, query: str, row: Any) -> Iterator[Any]:
    """The rows of a query.

    Raises:
        msgspec.ValidationError: One of them is not what was written.
    """
    for found in connection.execute(query):
        yield msgspec.convert(found, row)


def _write(connection: sqlite3.Connection, batch: Batch) -> None:
    if batch.reserved is not None:
        connection.execute(_SET, ("reserved", batch.reserved))
    if batch.number == 1 or batch.clean:
        connection.execute(_SET, ("clean", int(batch.clean)))
    connection.executemany(
        "INSERT OR REPLACE INTO sessions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (
                *record.name,
                record.iid,
                record.attempt,
                record.fence,
                record.digest,
                record.keepalive,
                record.inbox,
            )
            for record in batch.sessions
        ],
    )
    connection.executemany(f"DELETE FROM sessions WHERE {_IS_NAME}", batch.ended)
    # An origin is stored once. Where a failed transaction turned out to have survived a crash, the newer id counts.
    connection.executemany(
        "INSERT OR REPLACE INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (
                entry.id,
                *entry.to,
                entry.user,
                entry.iid,
                entry.cmid,
                entry.kind,
                entry.body,
                entry.offline,
                entry.written,
                entry.expires,
            )
            for entry in batch.stored
        ],
    )
    connection.executemany(
        "UPDATE entries SET offline = coalesce(?, offline), written = coalesce(?, written) WHERE id = ?",
        [(mark.offline, mark.written, mark.id) for mark in batch.marks],
    )
    connection.executemany("DELETE FROM entries WHERE id = ?", [(entry_id,) for entry_id in batch.removed])
    connection.executemany(
        "INSERT OR REPLACE INTO bans VALUES (?, ?, ?, ?, ?)", [(*name, text) for name, text in batch.bans]
    )
    connection.executemany(f"DELETE FROM bans WHERE {_IS_NAME}", batch.unbanned)
    _write_attributes(connection, batch)
    write_history(connection, batch)


def _write_attributes(connection: sqlite3.Connection, batch: Batch) -> None:
    connection.executemany(
        "DELETE FROM channel_attributes WHERE app = ? AND kind = ? AND channel = ?",
        [record.channel for record in batch.attributes],
    )
    connection.executemany(
        "INSERT INTO channel_attributes VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (*record.channel, position, key, value.value, value.user, value.at)
            for record in batch.attributes
            for position, (key, value) in enumerate(record.attributes)
        ],
    )


def _failure(path: Path, error: Exception) -> ServerFailure:
    return ServerFailure(
        f"The journal {path} cannot be used: {error}.",
        operation="serve",
        hint="Check that the data directory is on a local disk with free space and writable for this user.",
    )
