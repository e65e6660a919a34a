"""What only a real disk and real processes show: the lock, the file, kills, and a disk that does not answer."""

import os
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from rtmcore.errors import ServerFailure
from rtmcore.service.commands.attributes import ChannelAttributeValue, ReadChannelAttributes
from rtmcore.service.commands.history import Kept, ReadHistory
from rtmcore.service.commands.inboxes import ReadInbox
from rtmcore.service.commands.messages import PeerOutcome, PeerSend
from rtmcore.service.commands.names import Name, Place, Session
from rtmcore.service.commands.sessions import Claim, Claimed
from rtmcore.service.commands.table import Answer
from rtmcore.service.memory.journal import AttributesRecord, Batch, Image, SessionRecord, StoredEntry
from rtmcore.service.memory.kept import HistoryQuestion, HistoryRecord
from rtmsync.server.engines.embedded import JOURNAL_FILE, LOCK_FILE, EmbeddedEngine, EmbeddedPort
from rtmsync.server.engines.sqlite_history import SqliteHistory
from rtmsync.server.engines.sqlite_store import SqliteStore
from tests.service.engine_harness import APP

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 30.0
RECEIVERS = 64


class Running:
    """An engine on real time, and a client of it."""

    def __init__(self, directory: Path, **options: object) -> None:
        self.woken = threading.Event()
        options = {"epoch": os.urandom(4).hex(), "wake": self.woken.set, **options}
        self.engine = EmbeddedEngine(directory, **options)  # type: ignore[arg-type]
        self.engine.start(time.monotonic(), time.time_ns() // 1000)
        self.port: EmbeddedPort = self.engine.port("node")

    def submit(self, command: object) -> None:
        self.port.submit(command, time.monotonic(), time.time_ns() // 1000)  # type: ignore[arg-type]

    def outputs(self) -> Iterator[object]:
        while (output := self.port.next_output()) is not None:
            yield output

    def answer(self, command: object) -> object:
        """The answer of a command, waited for."""
        self.submit(command)
        until = time.monotonic() + PATIENCE
        while True:
            for output in self.outputs():
                if isinstance(output, Answer) and output.command is command:
                    return output.value
            assert time.monotonic() < until, f"{command} was not answered"
            self.woken.wait(0.1)
            self.woken.clear()

    def log_in(self, user: str, iid: str = "an-instance-00001", attempt: int = 1) -> Session:
        name, place = Name(APP, "rtm", user), Place("node", 1)
        value = self.answer(Claim(name, place, iid, attempt, True, None, None, "secret", 30.0, None, 0, True))
        assert isinstance(value, Claimed)
        return Session(name, value.fence, place)

    def inbox(self, user: str) -> list[tuple[str, int]]:
        """Sending instance and request of each entry."""
        page = self.answer(ReadInbox(self.log_in(user), 0, 100_000, 1 << 30))
        return [(entry.iid, entry.cmid) for entry in page.entries]  # type: ignore[attr-defined]


# --- The directory ----------------------------------------------------------------


def test_a_second_engine_on_a_directory_is_refused(tmp_path: Path) -> None:
    first = Running(tmp_path / "data")
    with pytest.raises(ServerFailure, match=rf"process {os.getpid()}") as caught:
        Running(tmp_path / "data")
    assert str(tmp_path / "data") in str(caught.value)
    first.engine.close()
    Running(tmp_path / "data").engine.close()


def test_a_second_process_on_a_directory_is_refused(tmp_path: Path) -> None:
    first = Running(tmp_path)
    try:
        run = subprocess.run(
            [sys.executable, "-c", _SECOND, str(tmp_path)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert run.returncode == 3, run.stderr
        assert f"(process {os.getpid()})" in run.stdout
    finally:
        first.engine.close()


_SECOND = """
import sys
from pathlib import Path
from rtmcore.errors import ServerFailure
from rtmsync.server.engines.embedded import EmbeddedEngine
try:
    EmbeddedEngine(Path(sys.argv[1]), epoch="e", wake=lambda: None).start(0.0, 1)
except ServerFailure as error:
    print(error)
    sys.exit(3)
"""


def test_what_is_stored_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    running = Running(tmp_path / "new" / "data")
    running.log_in("alice")
    assert stat.S_IMODE((tmp_path / "new" / "data").stat().st_mode) == 0o700
    for name in (JOURNAL_FILE, f"{JOURNAL_FILE}-wal", LOCK_FILE):
        assert stat.S_IMODE((tmp_path / "new" / "data" / name).stat().st_mode) == 0o600
    running.engine.close()


def test_a_directory_that_cannot_be_used_is_refused_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ServerFailure, match="cannot be used") as caught:
        Running(tmp_path / "file")
    assert caught.value.hint
    (tmp_path / "data" / JOURNAL_FILE).mkdir(parents=True)
    with pytest.raises(ServerFailure, match="cannot be used"):
        Running(tmp_path / "data")
    (tmp_path / "data" / JOURNAL_FILE).rmdir()
    Running(tmp_path / "data").engine.close()


def test_a_file_that_is_no_journal_is_refused(tmp_path: Path) -> None:
    (tmp_path / JOURNAL_FILE).write_bytes(b"this is not a database" * 100)
    with pytest.raises(ServerFailure, match="not a database"):
        Running(tmp_path)


def test_a_journal_of_another_version_is_refused(tmp_path: Path) -> None:
    Running(tmp_path).engine.close()
    connection = sqlite3.connect(tmp_path / JOURNAL_FILE, isolation_level=None)
    connection.execute("UPDATE meta SET value = 99 WHERE key = 'schema'")
    connection.close()
    with pytest.raises(ServerFailure, match="schema version 99"):
        Running(tmp_path)


def test_a_journal_from_before_there_were_bans_is_taken(tmp_path: Path) -> None:
    path = tmp_path / JOURNAL_FILE
    store = SqliteStore(path)
    store.open()
    store.close()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DROP TABLE bans")
    name = Name(APP, "rtm", "alice")
    store.open()
    store.commit(Batch(1, 1000, (), (), (), (), (), bans=((name, ""),)))
    store.close()
    assert store.open().bans == {name: ""}
    store.close()


_VERSION_1 = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO meta VALUES ('schema', 1), ('reserved', 9000), ('clean', 1);
CREATE TABLE sessions (
    app TEXT NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL,
    iid TEXT NOT NULL, attempt INTEGER NOT NULL, fence INTEGER NOT NULL, digest BLOB NOT NULL,
    keepalive REAL NOT NULL, inbox INTEGER NOT NULL,
    PRIMARY KEY (app, kind, name)
) WITHOUT ROWID;
INSERT INTO sessions VALUES ('app', 'rtm', 'alice', 'iid', 3, 500, x'00ff', 30.0, 400);
CREATE TABLE entries (
    id INTEGER PRIMARY KEY,
    app TEXT NOT NULL, kind TEXT NOT NULL, receiver TEXT NOT NULL,
    sender TEXT NOT NULL, iid TEXT NOT NULL, cmid INTEGER NOT NULL,
    type INTEGER NOT NULL, body BLOB NOT NULL, offline INTEGER NOT NULL, written INTEGER NOT NULL,
    UNIQUE (app, kind, sender, iid, cmid)
);
INSERT INTO entries VALUES (600, 'app', 'rtm', 'bob', 'alice', 'iid', 7, 1, x'626f6479', 1, 0);
"""


def test_a_journal_from_before_names_had_scopes_is_brought_up_to_date(tmp_path: Path) -> None:
    path = tmp_path / JOURNAL_FILE
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(_VERSION_1)
    store = SqliteStore(path)
    alice, bob = Name("app", "rtm", "alice"), Name("app", "rtm", "bob")
    for _ in range(2):
        image = store.open()
        assert image.reserved == 9000
        assert image.sessions == {alice: SessionRecord(alice, "iid", 3, 500, b"\x00\xff", 30.0, 400)}
        assert image.entries == {600: StoredEntry(600, bob, "alice", "iid", 7, 1, b"body", True, False)}
        assert image.bans == {}
        assert image.attributes == {}
        store.close()
    _check_that_a_history_can_be_kept(store)


def _check_that_a_history_can_be_kept(store: SqliteStore) -> None:
    store.open()
    with closing(store.history()) as history:
        assert found(history) == []
        kept = (record(1), record(2))
        store.commit(Batch(1, None, (), (), (), (), (), history=kept, history_limit=10_000))
        assert found(history) == [1, 2]
    store.close()


def _version_2() -> str:
    """What the version before attributes of channels wrote."""
    tables = _VERSION_1.replace(
        "name TEXT NOT NULL,\n", "name TEXT NOT NULL, scope TEXT NOT NULL DEFAULT '',\n"
    )
    tables = tables.replace(
        "receiver TEXT NOT NULL,\n", "receiver TEXT NOT NULL, scope TEXT NOT NULL DEFAULT '',\n"
    )
    tables = tables.replace("PRIMARY KEY (app, kind, name)", "PRIMARY KEY (app, kind, name, scope)")
    tables = tables.replace("UNIQUE (app, kind, sender", "UNIQUE (app, kind, scope, sender")
    tables = tables.replace("'alice', 'iid', 3", "'alice', 'red', 'iid', 3").replace(
        "'bob',", "'bob', 'red',"
    )
    return tables.replace("('schema', 1)", "('schema', 2)")


def test_a_journal_from_before_channels_had_attributes_is_brought_up_to_date(tmp_path: Path) -> None:
    path = tmp_path / JOURNAL_FILE
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(_version_2())
    store = SqliteStore(path)
    alice, bob = Name("app", "rtm", "alice", "red"), Name("app", "rtm", "bob", "red")
    for _ in range(2):
        image = store.open()
        assert image.reserved == 9000
        assert image.sessions == {alice: SessionRecord(alice, "iid", 3, 500, b"\x00\xff", 30.0, 400)}
        assert image.entries == {600: StoredEntry(600, bob, "alice", "iid", 7, 1, b"body", True, False)}
        assert image.attributes == {}
        store.close()
    entry = StoredEntry(600, bob, "alice", "iid", 8, 1, b"body", True, False, 700)
    store.open()
    store.commit(Batch(1, None, (), (), (entry,), (), ()))
    store.close()
    assert store.open().entries == {600: entry}
    store.close()
    _check_that_a_history_can_be_kept(store)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert connection.execute("SELECT value FROM meta WHERE key = 'schema'").fetchone() == (3,)


def test_attributes_of_channels_are_taken_as_they_were_written(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / JOURNAL_FILE)
    store.open()
    values = tuple((key, ChannelAttributeValue("v", "alice", at)) for key, at in (("b", 1), ("a", 2)))
    records = tuple(AttributesRecord((APP, "rtm", channel), values) for channel in ("one", "two", "three"))
    store.commit(Batch(1, 1000, (), (), (), (), (), attributes=records))
    changed = (AttributesRecord((APP, "rtm", "one"), values[:1]), AttributesRecord((APP, "rtm", "two"), ()))
    store.commit(Batch(2, None, (), (), (), (), (), attributes=changed))
    store.close()
    image = store.open()
    store.close()
    assert image.attributes == {(APP, "rtm", "one"): values[:1], (APP, "rtm", "three"): values}


def record(number: int, cmid: int | None = None) -> HistoryRecord:
    return HistoryRecord(
        number, APP, "alice", "iid", number if cmid is None else cmid, "room", True, 1, b"%d" % number
    )


def found(history: SqliteHistory, **changes: Any) -> list[int]:
    fields: dict[str, Any] = {
        "app": APP, "asker": None, "cmid": 0, "source": None, "destination": "room", "channel": True,
        "start": 0, "end": 2**62, "offset": 0, "limit": 100, "ascending": True,
    }  # fmt: skip
    command = ReadHistory(**{**fields, **changes})
    return [message.id for message in history.read(HistoryQuestion(command, command.start)).messages]


def test_the_history_is_read_beside_the_commits(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / JOURNAL_FILE)
    store.open()
    history = store.history()
    assert found(history) == []
    kept = tuple(record(number) for number in range(1, 11))
    store.commit(Batch(1, None, (), (), (), (), (), history=kept, history_limit=10_000))
    assert found(history) == list(range(1, 11))
    store.commit(Batch(2, None, (), (), (), (), (), history_removed=(4, 99), history_first=3))
    assert found(history) == [3, 5, 6, 7, 8, 9, 10]
    again = (record(11, cmid=5),)
    store.commit(Batch(3, None, (), (), (), (), (), history=again, history_limit=10_000))
    assert found(history) == [3, 6, 7, 8, 9, 10, 11], "an origin is kept once"
    most = 3 * record(10).size
    store.commit(Batch(4, None, (), (), (), (), (), history=(record(12),), history_limit=most))
    assert found(history) == [10, 11, 12]
    history.close()
    history.close()
    store.close()
    image = store.open()
    assert image.history.find(
        HistoryQuestion(ReadHistory(APP, None, 0, None, None, False, 0, 99, 0, 9, True), 0)
    ) == (Kept((), 0)), "it is never read as a whole"
    store.close()


@pytest.mark.parametrize("question", [{"source": "alice"}, {}, {"destination": None}])
def test_questions_about_the_history_use_an_index(tmp_path: Path, question: dict[str, Any]) -> None:
    store = SqliteStore(tmp_path / JOURNAL_FILE)
    store.open()
    plans: list[str] = []
    history = store.history()
    found(history)
    connection = history._connection
    assert connection is not None
    statements: list[str] = []
    connection.set_trace_callback(statements.append)
    found(history, **question)
    connection.set_trace_callback(None)
    for statement in statements:
        if statement.startswith("SELECT"):
            plans += [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}")]
    history.close()
    store.close()
    assert len(plans) == 2
    assert all("USING" in plan and "INDEX" in plan for plan in plans), plans


def test_a_read_that_is_interrupted_ends_with_an_error(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / JOURNAL_FILE)
    store.open()
    history = store.history()
    history.interrupt()
    with pytest.raises(sqlite3.Error):
        found(history)
    history.close()
    store.close()


def test_a_damaged_row_of_the_history_is_not_handed_out(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / JOURNAL_FILE)
    store.open()
    store.commit(Batch(1, None, (), (), (), (), (), history=(record(1),), history_limit=10_000))
    store.close()
    with closing(sqlite3.connect(tmp_path / JOURNAL_FILE)) as connection, connection:
        connection.execute("UPDATE history SET body = 7")
    history = store.history()
    with pytest.raises(msgspec.ValidationError):
        found(history)
    history.close()


@pytest.mark.parametrize("size", [2**60, -5, 1e300, "many", b"", None])
def test_a_damaged_sum_of_the_history_stops_no_commit_and_drops_nothing(tmp_path: Path, size: Any) -> None:
    store = SqliteStore(tmp_path / JOURNAL_FILE)
    store.open()
    most = 3 * record(10).size
    kept = tuple(record(number) for number in (10, 11))
    store.commit(Batch(1, None, (), (), (), (), (), history=kept, history_limit=most))
    with closing(sqlite3.connect(tmp_path / JOURNAL_FILE)) as connection, connection:
        if size is None:
            connection.execute("DELETE FROM history_sizes")
        else:
            connection.execute("UPDATE history_sizes SET size = ?", (size,))
    store.commit(Batch(2, None, (), (), (), (), (), history=(record(12),), history_limit=most))
    history = store.history()
    assert found(history) == [10, 11, 12]
    if size in (2**60, 1e300):
        # It is right again where it said too much.
        store.commit(Batch(3, None, (), (), (), (), (), history=(record(13),), history_limit=most))
        assert found(history) == [11, 12, 13]
    history.close()
    store.close()


def test_a_damaged_name_in_the_schema_fails_a_commit_like_other_damage(tmp_path: Path) -> None:
    path = tmp_path / JOURNAL_FILE
    with closing(SqliteStore(path)) as store:
        store.open()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    good = path.read_bytes()
    trigger = b"INSERT INTO history_sizes"
    assert trigger in good
    path.write_bytes(good.replace(trigger, b"INSERT INTO histor\x80_sizes"))
    with closing(SqliteStore(path)) as store:
        store.open()
        with pytest.raises(sqlite3.Error):
            store.commit(Batch(1, None, (), (), (), (), (), history=(record(1),), history_limit=10_000))


def test_one_identity_has_a_session_and_a_ban_in_each_room(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / JOURNAL_FILE)
    store.open()
    names = [Name(APP, "room", "alice", room) for room in ("red", "blue", "green")]
    records = tuple(SessionRecord(name, "iid", 1, n + 1, b"", 30.0, 0) for n, name in enumerate(names))
    bans = tuple((name, name.scope) for name in names)
    store.commit(Batch(1, None, records, (), (), (), (), bans=bans))
    store.commit(Batch(2, None, (), (names[0],), (), (), (), unbanned=(names[1],)))
    store.close()
    image = store.open()
    store.close()
    assert image.sessions == {record.name: record for record in records[1:]}
    assert image.bans == {names[0]: "red", names[2]: "green"}


def test_a_transaction_is_written_as_a_whole_or_not_at_all(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / JOURNAL_FILE)
    store.open()
    entries = [
        StoredEntry(number, Name(APP, "rtm", "bob"), "alice", "iid", number, kind, b"", True, False)
        for number, kind in ((1, 1), (2, object()))
    ]
    with pytest.raises(sqlite3.Error):
        store.commit(Batch(1, 1000, (), (), tuple(entries), (), ()))
    store.commit(Batch(2, None, (), (), (), (), ()))
    store.close()
    store.close()
    image = store.open()
    store.close()
    assert (image.entries, image.reserved) == ({}, 0)


def test_an_origin_is_stored_once(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / JOURNAL_FILE)
    store.open()
    for number in (1, 2):
        entry = StoredEntry(
            number, Name(APP, "rtm", "bob"), "alice", "iid", 7, 1, b"%d" % number, True, False
        )
        store.commit(Batch(number, None, (), (), (entry,), (), ()))
    store.close()
    image = store.open()
    store.close()
    assert [entry.body for entry in image.entries.values()] == [b"2"]


# --- The life of an engine --------------------------------------------------------


def test_nothing_happens_before_start(tmp_path: Path) -> None:
    engine = EmbeddedEngine(tmp_path / "data", epoch="e", wake=lambda: None)
    assert not (tmp_path / "data").exists()
    with pytest.raises(ServerFailure, match="not running"):
        engine.port("node")
    engine.close()


def test_close_is_idempotent_and_an_engine_starts_again(tmp_path: Path) -> None:
    running = Running(tmp_path)
    sender = running.log_in("alice")
    command = PeerSend(sender, "an-instance-00001", 1, 1, "bob", 1, b"hello", True, 10.0)
    assert running.answer(command).code == 4  # type: ignore[attr-defined]
    running.engine.close()
    running.engine.close()
    running.engine.start(time.monotonic(), time.time_ns() // 1000)
    running.port = running.engine.port("node")
    assert running.inbox("bob") == [("an-instance-00001", 1)]
    running.engine.close()


class StuckStore:
    """A disk that stops answering."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.closed = False
        self.slow: SlowHistory | None = None

    def history(self) -> "SlowHistory":
        assert self.slow is not None, "nobody asks"
        return self.slow

    def open(self) -> Image:
        return Image()

    def commit(self, batch: Batch) -> None:
        assert self.gate.wait(PATIENCE)

    def close(self) -> None:
        self.closed = True


def test_the_loop_never_waits_for_the_disk(tmp_path: Path) -> None:
    store = StuckStore()
    running = Running(tmp_path, store=store)
    alice = running.log_in("alice")
    store.gate.clear()
    command = PeerSend(alice, "an-instance-00001", 1, 1, "bob", 1, b"hello", True, 10.0)
    running.submit(command)
    assert not any(isinstance(o, Answer) and o.command is command for o in running.outputs())
    running.log_in("carol")
    with pytest.raises(ServerFailure, match="did not answer"):
        running.engine.close(timeout=0.2)
    assert not store.closed
    with pytest.raises(ServerFailure, match="Another server"):
        Running(tmp_path, store=StuckStore())
    store.gate.set()
    running.engine.close()
    assert store.closed
    Running(tmp_path).engine.close()


class SlowHistory:
    """A disk that answers no question until it is interrupted."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.interrupted = threading.Event()
        self.closed = False

    def read(self, question: HistoryQuestion) -> Kept:
        self.asked.set()
        assert self.interrupted.wait(PATIENCE)
        raise sqlite3.OperationalError("interrupted")

    def interrupt(self) -> None:
        self.interrupted.set()

    def close(self) -> None:
        self.closed = True


def test_neither_commits_nor_the_end_wait_for_who_reads_the_history(tmp_path: Path) -> None:
    store = StuckStore()
    history = store.slow = SlowHistory()
    running = Running(tmp_path, store=store)
    alice = running.log_in("alice")
    for cmid in (1, 2):
        running.submit(ReadHistory(APP, alice, cmid, "alice", None, False, 0, 1, 0, 20, True))
    assert history.asked.wait(PATIENCE)
    assert running.engine.reading
    command = PeerSend(alice, "an-instance-00001", 3, 1, "bob", 1, b"hello", True, 10.0)
    assert running.answer(command).code == 4  # type: ignore[attr-defined]
    running.engine.close()
    assert history.closed
    assert not running.engine.reading


def test_a_loop_that_cannot_be_woken_does_not_stop_the_commits(tmp_path: Path) -> None:
    calls = []

    def wake() -> None:
        calls.append(None)
        raise OSError("the loop is closed")

    running = Running(tmp_path, wake=wake)
    sender = running.log_in("alice")
    for cmid in (1, 2):
        command = PeerSend(sender, "an-instance-00001", cmid, 1, "bob", 1, b"hello", True, 10.0)
        assert running.answer(command).code == 4  # type: ignore[attr-defined]
    running.engine.close()
    assert calls


class BrokenStore(StuckStore):
    def commit(self, batch: Batch) -> None:
        raise OSError("read-only file system")


def test_a_disk_that_cannot_be_written_to_refuses_the_start(tmp_path: Path) -> None:
    store = BrokenStore()
    with pytest.raises(ServerFailure, match="read-only file system"):
        Running(tmp_path, store=store)
    assert store.closed
    Running(tmp_path).engine.close()


# --- Kills ------------------------------------------------------------------------


def acknowledged_before_a_kill(program: str, directory: Path, count: int) -> list[int]:
    """What a program has printed that is killed soon after its first lines, so many of them."""
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(directory)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    with process.stdout as lines:
        try:
            acknowledged = [int(lines.readline()) for _ in range(count)]
            time.sleep(0.001)
        finally:
            process.kill()
            process.wait(PATIENCE)
        # Not by communicate(), which misses what readline() has read ahead: up to the middle of a number.
        return acknowledged + [int(line) for line in lines.read().split("\n")[:-1]]


_SENDER = f"""
import sys, time, threading
from pathlib import Path
from rtmcore.service.commands.messages import PeerSend
from rtmcore.service.commands.names import Name, Place, Session
from rtmcore.service.commands.sessions import Claim
from rtmcore.service.commands.table import Answer
from rtmsync.server.engines.embedded import EmbeddedEngine
woken = threading.Event()
engine = EmbeddedEngine(Path(sys.argv[1]), epoch="e", wake=woken.set)
engine.start(time.monotonic(), time.time_ns() // 1000)
port = engine.port("node")
def submit(command):
    port.submit(command, time.monotonic(), time.time_ns() // 1000)
name, place = Name({APP!r}, "rtm", "alice"), Place("node", 1)
submit(Claim(name, place, "an-instance-00001", 1, True, None, None, "secret", 30.0, None, 0, True))
session = Session(name, port.next_output().value.fence, place)
cmid, open_sends = 0, 0
while True:
    while open_sends < 64 and cmid < 9000:
        cmid, open_sends = cmid + 1, open_sends + 1
        submit(PeerSend(session, "an-instance-00001", cmid, max(1, cmid - 1000), "user %d" % (cmid % {RECEIVERS}),
                        1, b"x" * 200, True, 10.0))
    while (output := port.next_output()) is not None:
        if isinstance(output, Answer) and isinstance(output.command, PeerSend):
            assert output.value.code == 4, output
            sys.stdout.write("%d\\n" % output.command.cmid)
            open_sends -= 1
    sys.stdout.flush()
    woken.wait(0.01)
    woken.clear()
"""


@pytest.mark.parametrize("count", [1, 500, 1400])
def test_every_acknowledged_message_survives_a_kill(tmp_path: Path, count: int) -> None:
    acknowledged = acknowledged_before_a_kill(_SENDER, tmp_path, count)
    connection = sqlite3.connect(tmp_path / JOURNAL_FILE)
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()

    running = Running(tmp_path)
    repeated = max(acknowledged)
    session = running.log_in("alice", attempt=2)
    user = f"user {repeated % RECEIVERS}"
    command = PeerSend(session, "an-instance-00001", repeated, 1, user, 1, b"x" * 200, True, 10.0)
    value = running.answer(command)
    assert isinstance(value, PeerOutcome)
    assert value.code == 4
    found = [cmid for number in range(RECEIVERS) for _, cmid in running.inbox(f"user {number}")]
    assert len(found) == len(set(found)), "a message is there twice"
    assert set(acknowledged) <= set(found), "an acknowledged message is lost"
    running.engine.close()


_WRITER = f"""
import sys, time, threading
from pathlib import Path
from rtmcore.service.commands.attributes import ChangeChannelAttributes
from rtmcore.service.commands.channels import JoinChannel
from rtmcore.service.commands.messages import Logged, PublishMessage
from rtmcore.service.commands.names import Name, Place, Session
from rtmcore.service.commands.results import Settled
from rtmcore.service.commands.sessions import Claim
from rtmcore.service.commands.table import Answer
from rtmsync.server.engines.embedded import EmbeddedEngine
woken = threading.Event()
engine = EmbeddedEngine(Path(sys.argv[1]), epoch="e", wake=woken.set)
engine.start(time.monotonic(), time.time_ns() // 1000)
port = engine.port("node")
def submit(command):
    port.submit(command, time.monotonic(), time.time_ns() // 1000)
name, place = Name({APP!r}, "rtm", "alice"), Place("node", 1)
submit(Claim(name, place, "an-instance-00001", 1, True, None, None, "secret", 30.0, None, 0, True))
session = Session(name, port.next_output().value.fence, place)
submit(JoinChannel(session, 0, 0, "room", True))
cmid, waiting = 0, 0
while True:
    while waiting < 64:
        cmid, waiting = cmid + 1, waiting + 1
        floor = max(1, cmid - 1000)
        if cmid % 2:
            value = (("value", str(cmid)),)
            submit(ChangeChannelAttributes(session, cmid, floor, "channel %d" % (cmid % 7), value, (), False, False))
        else:
            submit(PublishMessage(session, "an-instance-00001", cmid, floor, "room", 1, b"%d" % cmid, True))
    while (output := port.next_output()) is not None:
        if isinstance(output, Answer) and not isinstance(output.command, JoinChannel):
            assert isinstance(output.value, (Settled, Logged)), output
            sys.stdout.write("%d\\n" % output.command.cmid)
            waiting -= 1
    sys.stdout.flush()
    woken.wait(0.01)
    woken.clear()
"""


@pytest.mark.parametrize("count", [1, 500, 1400])
def test_every_acknowledged_attribute_and_message_of_the_history_survives_a_kill(
    tmp_path: Path, count: int
) -> None:
    acknowledged = acknowledged_before_a_kill(_WRITER, tmp_path, count)
    with closing(sqlite3.connect(tmp_path / JOURNAL_FILE)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)

    running = Running(tmp_path)
    bob = running.log_in("bob")
    for number in range(7):
        due = max((cmid for cmid in acknowledged if cmid % 2 and cmid % 7 == number), default=0)
        command = ReadChannelAttributes(bob, number, 0, f"channel {number}")
        found = dict(running.answer(command).attributes)  # type: ignore[attr-defined]
        assert not due or int(found["value"].value) >= due, "an acknowledged change is lost"
    question = ReadHistory(APP, None, 0, "alice", None, False, 0, 2**62, 0, 100_000, True)
    kept = running.answer(question)
    assert isinstance(kept, Kept)
    bodies = [int(message.body) for message in kept.messages]
    assert bodies == sorted(set(bodies)), "a message is there twice, or out of order"
    assert {cmid for cmid in acknowledged if not cmid % 2} <= set(bodies), "an acknowledged message is lost"
    running.engine.close()
