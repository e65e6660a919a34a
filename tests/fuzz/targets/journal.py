"""Target: what the embedded engine reads at its start, from a file that a disk has damaged."""

import contextlib
import os
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

import msgspec

from rtmcore.errors import ServerFailure
from rtmcore.service.commands.attributes import ChannelAttributeValue
from rtmcore.service.commands.history import ReadHistory
from rtmcore.service.commands.names import Name
from rtmcore.service.memory import MemoryEngine
from rtmcore.service.memory.journal import AttributesRecord, Batch, Mark, SessionRecord, StoredEntry
from rtmcore.service.memory.kept import HistoryQuestion, HistoryRecord
from rtmsync.server.engines.sqlite_store import SqliteStore
from tests.fuzz.harness import Case, expect
from tests.fuzz.mutation import mutate

APP = "0123456789abcdef0123456789abcdef"
WALL = 1_700_000_000_000_000
NOW = 1000.0

_VALUES: tuple[Any, ...] = (
    None, 0, 1, -1, 2**62, -(2**63), 1.5, -1e308, float("inf"), "", "x", "alice", "\ud7ff" * 50, b"", b"\xff" * 40,
)  # fmt: skip
_COLUMNS = {
    "meta": ("key", "value"),
    "sessions": ("app", "kind", "name", "iid", "attempt", "fence", "digest", "keepalive", "inbox"),
    "entries": (
        "id", "app", "kind", "receiver", "sender", "iid", "cmid", "type", "body", "offline", "written",
        "expires",
    ),
    "bans": ("app", "kind", "name", "reason"),
    "channel_attributes": ("app", "kind", "channel", "position", "key", "value", "writer", "written"),
    "history": (
        "id", "app", "source", "iid", "cmid", "destination", "channel", "type", "body", "size",
    ),
    "history_sizes": ("app", "size"),
}  # fmt: skip

_KEYS = {
    "meta": "key",
    "sessions": "name",
    "entries": "id",
    "bans": "name",
    "channel_attributes": "channel",
    "history": "id",
    "history_sizes": "app",
}


def _shared_memory() -> str | None:
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def _batch() -> Batch:
    alice, bob = Name(APP, "rtm", "alice"), Name(APP, "rtm", "bob")
    entries = tuple(
        StoredEntry(
            WALL + n, bob, "alice", f"{n % 2:016d}", n, 1 + n % 2, b"body" * n, n % 3 == 0, n % 2 == 0
        )
        for n in range(1, 30)
    )
    sessions = (
        SessionRecord(alice, "0" * 16, 3, WALL + 40, bytes(32), 30.0, 0),
        SessionRecord(bob, "1" * 16, 1, WALL + 41, b"\1" * 32, 30.0, WALL + 5),
    )
    bans = ((alice, "spam"), (bob, ""))
    marks = (Mark(WALL + 3, offline=True),)
    values = tuple((key, ChannelAttributeValue("value", "alice", WALL)) for key in ("one", "two"))
    attributes = tuple(AttributesRecord((APP, "rtm", channel), values) for channel in ("red", "blue"))
    return Batch(
        1, WALL + 60_000_000, sessions, (), entries, marks, (), bans,
        attributes=attributes, history=_kept(1, 30), history_limit=1 << 20,
    )  # fmt: skip


def _kept(first: int, last: int) -> tuple[HistoryRecord, ...]:
    return tuple(
        HistoryRecord(
            WALL + n, APP, "alice", f"{n % 2:016d}", n, ("red", "bob")[n % 2], n % 2 == 0, 1, b"body" * n
        )
        for n in range(first, last)
    )


class JournalTarget:
    """`SqliteStore.open`, and an engine built from what it returns."""

    name = "journal"

    def __init__(self) -> None:
        with tempfile.TemporaryDirectory(prefix="fuzz-journal-") as directory:
            path = Path(directory, "journal")
            store = SqliteStore(path)
            store.open()
            store.commit(_batch())
            store.close()
            with closing(sqlite3.connect(path)) as connection:
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                connection.execute("PRAGMA journal_mode = DELETE")
            self._valid = path.read_bytes()

    def make(self, random: Random) -> Case:
        limit = random.choice((0, 1000, 5000, 1 << 20))
        if random.random() < 0.5:
            return Case([mutate(random, self._valid)], {"changes": [], "limit": limit})
        changes = []
        for _ in range(random.choice((1, 1, 2, 3))):
            table = random.choice(list(_COLUMNS))
            change = (table, random.choice(_COLUMNS[table]), random.choice(_VALUES), random.randrange(30))
            changes.append(change)
        return Case([self._valid], {"changes": changes, "limit": limit})

    def run(self, case: Case) -> None:
        with tempfile.TemporaryDirectory(prefix="fuzz-journal-", dir=_shared_memory()) as directory:
            path = Path(directory, "journal")
            path.write_bytes(case.pieces[0])
            _change(path, case.plan["changes"])
            store = SqliteStore(path)
            try:
                image = store.open()
            except ServerFailure:
                return
            try:
                self._start(store, MemoryEngine("epoch", image=image, now=NOW, wall=WALL))
                self._use_history(store, case.plan["limit"])
            finally:
                store.close()

    def _start(self, store: SqliteStore, engine: MemoryEngine) -> None:
        batch = engine.next_batch(NOW)
        expect(batch is not None, "an engine that reserves no ids")
        assert batch is not None
        try:
            store.commit(batch)
        except sqlite3.Error:
            engine.commit_failed(batch.number, NOW)
        else:
            engine.committed(batch.number, NOW)
        engine.port("node")
        now = NOW
        for _ in range(20):
            due = engine.next_deadline()
            if due is None:
                break
            expect(due == due and due < float("inf"), f"the deadline is {due}")
            now = max(now + 0.001, due)
            engine.handle_timer(now, WALL + int((now - NOW) * 1e6))
            following = engine.next_batch(now)
            if following is not None:
                engine.commit_failed(following.number, now)

    def _use_history(self, store: SqliteStore, limit: int) -> None:
        """Ask for what is kept, and keep more: what is damaged is not handed out, and stops nobody."""
        history = store.history()
        try:
            for source, destination in ((None, "red"), ("alice", None), ("alice", "bob")):
                command = ReadHistory(
                    APP, None, 1, source, destination, destination == "red", 0, 2**62, 0, 20, False
                )
                with contextlib.suppress(sqlite3.Error, msgspec.ValidationError):
                    history.read(HistoryQuestion(command, 0))
            for number, (first, last) in enumerate(((25, 35), (35, 40))):
                batch = Batch(
                    100 + number, None, (), (), (), (), (),
                    history=_kept(first, last), history_limit=limit, history_removed=(WALL + first,),
                    history_first=WALL + 3,
                )  # fmt: skip
                with contextlib.suppress(sqlite3.Error):
                    store.commit(batch)
        finally:
            history.close()


def _change(path: Path, changes: list[tuple[str, str, Any, int]]) -> None:
    """Put wrong values into rows, as damage would that leaves the file well-formed."""
    if not changes:
        return
    with closing(sqlite3.connect(path)) as connection, connection:
        for table, column, value, row in changes:
            key = _KEYS[table]
            keys = [found for (found,) in connection.execute(f"SELECT {key} FROM {table}")]
            if not keys:
                continue
            try:
                connection.execute(
                    f"UPDATE {table} SET {column} = ? WHERE {key} = ?", (value, keys[row % len(keys)])
                )
            except (sqlite3.IntegrityError, UnicodeEncodeError):
                continue
