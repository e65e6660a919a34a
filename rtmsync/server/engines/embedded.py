"""The embedded engine: the memory engine with its journal on a disk, in one process."""

import contextlib
import fcntl
import logging
import os
import queue
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Final, Protocol

from rtmcore.errors import ServerFailure
from rtmcore.limits import JOURNAL_CLOSE_TIMEOUT
from rtmcore.service.commands.history import Kept
from rtmcore.service.commands.table import Command, Output
from rtmcore.service.memory import Caps, MemoryEngine, MemoryPort
from rtmcore.service.memory.journal import Batch, Image
from rtmcore.service.memory.kept import HistoryQuestion
from rtmcore.service.statistics import Histogram
from rtmsync.driver.clock import Clock
from rtmsync.server.engines.sqlite_store import SqliteStore

JOURNAL_FILE: Final = "journal.sqlite3"
LOCK_FILE: Final = "lock"
COMMIT_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of the classes into which the times of commits are sorted."""

_log = logging.getLogger("rtmsync.server.engines.embedded")


class HistoryReader(Protocol):
    """Answers questions about the history. Used by one thread, except for `interrupt`."""

    def read(self, question: HistoryQuestion) -> Kept:
        """Answer a question from what is committed; raises where that cannot be done."""

    def interrupt(self) -> None:
        """Let a `read` of another thread end with an error."""

    def close(self) -> None:
        """Give back what was taken."""


class Store(Protocol):
    """Where batches are committed. `SqliteStore` is the one for production."""

    def open(self) -> Image:
        """What the committed batches come to."""

    def commit(self, batch: Batch) -> None:
        """Write a batch; it is on the disk when this returns, and not at all when it raises."""

    def history(self) -> HistoryReader:
        """What reads the history while batches are committed."""

    def close(self) -> None:
        """Give back what `open` took."""


class EmbeddedEngine:
    """A memory engine whose journal is on a disk; the server's loop never waits for that disk.

    A thread of its own commits one batch after the other; what comes in meanwhile is the next batch. Everything
    except that thread's work happens in the thread that uses the ports. The first question about the history starts
    another one, which answers them.

    Nothing happens before `start`.

    Args:
        directory: The data directory, made where it is missing. One process at a time may use it.
        epoch: A name for the time in which members and windows live; another one after each start.
        wake: Called by the journal thread when a commit has ended and `next_output` may have something new.
        caps: How much the engine may hold.
        store: Where batches are committed; by default an `SqliteStore` in the directory.
    """

    def __init__(
        self,
        directory: Path,
        *,
        epoch: str,
        wake: Callable[[], None],
        caps: Caps | None = None,
        store: Store | None = None,
    ) -> None:
        self._directory = directory
        self._epoch = epoch
        self._wake = wake
        self._caps = caps
        self._store = store if store is not None else SqliteStore(directory / JOURNAL_FILE)
        self._lock: IO[str] | None = None
        self._memory: MemoryEngine | None = None
        self._ports: dict[str, EmbeddedPort] = {}
        self._thread: threading.Thread | None = None
        self._batches: queue.SimpleQueue[Batch | None] = queue.SimpleQueue()
        self._reports: queue.SimpleQueue[tuple[int, Exception | None]] = queue.SimpleQueue()
        self._failing = False
        self.commit_seconds = Histogram(COMMIT_SECONDS)
        """How long commits have taken, those included that failed."""
        self.commits_failed = 0
        self._reader: _ReaderThread | None = None

    # --- Beginning and end --------------------------------------------------------

    def start(self, now: float, wall: int) -> None:
        """Take the data directory, read the journal, reserve ids and begin to commit.

        Blocks until the first transaction is on the disk.

        Args:
            now: Monotonic seconds.
            wall: Microseconds since 1970.

        Raises:
            ServerFailure: Another process uses the directory, or it cannot be used at all.
        """
        if self._memory is not None:
            return
        self.close()
        self._lock = _lock(self._directory)
        try:
            image = self._store.open()
            memory = MemoryEngine(self._epoch, caps=self._caps, image=image, now=now, wall=wall)
            first = memory.next_batch(now)
            assert first is not None, "an engine with a journal reserves ids at once"
            self._commit_first(first)
            memory.committed(first.number, now)
        except BaseException:
            self._store.close()
            self._unlock()
            raise
        self._memory = memory
        self._batches, self._reports = queue.SimpleQueue(), queue.SimpleQueue()
        self._thread = threading.Thread(target=self._commit_batches, name="rtm-journal", daemon=True)
        self._thread.start()
        _log.info(
            "opened %s: %d sessions may return, %d messages are stored",
            self._directory,
            len(image.sessions),
            len(image.entries),
        )

    def _commit_first(self, batch: Batch) -> None:
        try:
            self._store.commit(batch)
        except Exception as error:
            raise ServerFailure(
                f"The data directory {self._directory} cannot be written to: {error}.",
                operation="serve",
                hint="Check its owner, its file system and the space that is left.",
            ) from error

    def close(self, timeout: float = JOURNAL_CLOSE_TIMEOUT) -> None:
        """Commit what is left, and give the data directory back. Idempotent.

        Args:
            timeout: Seconds to wait for the disk.

        Raises:
            ServerFailure: The disk did not answer in time. The journal holds what was committed before, as after
                a crash, and the directory is given back when the disk answers. Another call waits again.
        """
        thread = self._thread
        if thread is None:
            return
        until = Clock.now() + timeout
        memory, self._memory = self._memory, None
        if self._reader is not None:
            self._reader.stop()
        if memory is not None:
            self._ports.clear()
            with contextlib.suppress(queue.Empty):
                if memory.committing:
                    self._take_report(memory, self._reports.get(timeout=timeout), until)
                self._batches.put(memory.last_batch())
                self._take_report(memory, self._reports.get(timeout=max(0.0, until - Clock.now())), until)
            self._batches.put(None)
        thread.join(max(0.0, until - Clock.now()))
        reading = self._reader is not None and not self._reader.join(max(0.0, until - Clock.now()))
        if thread.is_alive() or reading:
            raise ServerFailure(
                f"The disk under {self._directory} did not answer within {timeout:g} s.", operation="close"
            )
        self._thread = self._reader = None

    def _unlock(self) -> None:
        lock, self._lock = self._lock, None
        if lock is not None:
            lock.close()

    # --- In the thread of the ports -----------------------------------------------

    def port(self, node: str) -> "EmbeddedPort":
        """The side of this engine that one node sees; always the same for the same node.

        Raises:
            ServerFailure: The engine is not started, or closed.
        """
        if self._memory is None:
            raise ServerFailure("The engine is not running.", operation="port", hint="Call start() first.")
        port = self._ports.get(node)
        if port is None:
            port = self._ports[node] = EmbeddedPort(self, self._memory.port(node))
        return port

    @property
    def caps(self) -> Caps:
        """How much the engine may hold. Others count from the next command on; any thread may set them."""
        return self._caps or Caps()

    @caps.setter
    def caps(self, caps: Caps) -> None:
        self._caps = caps
        memory = self._memory
        if memory is not None:
            memory.caps = caps

    def stats(self) -> dict[str, int]:
        """What the engine holds now, by name."""
        return {} if self._memory is None else self._memory.stats()

    @property
    def failing(self) -> bool:
        """Whether the last commit has failed."""
        return self._failing

    @property
    def committing(self) -> bool:
        """Whether a commit is under way, or has ended and `collect` has not seen it."""
        return self._memory is not None and self._memory.committing

    @property
    def reports_waiting(self) -> bool:
        """Whether a commit or a read has ended that `collect` has not seen."""
        return not self._reports.empty() or (self._reader is not None and self._reader.has_answers)

    @property
    def reading(self) -> bool:
        """Whether a question about the history has no answer that `collect` has seen."""
        return self._reader is not None and self._reader.open > 0

    def collect(self, now: float) -> None:
        """Let the engine know of commits that have ended, and hand out what is to be committed next."""
        memory = self._memory
        if memory is None:
            return
        while not self._reports.empty():
            self._take_report(memory, self._reports.get_nowait(), now)
        batch = memory.next_batch(now)
        if batch is not None:
            self._batches.put(batch)
        while (question := memory.next_question()) is not None:
            if self._reader is None:
                self._reader = _ReaderThread(self._store.history(), self._wake)
            self._reader.ask(question)
        if self._reader is not None:
            for question, kept in self._reader.answers():
                memory.answered(question, kept)

    def _take_report(self, memory: MemoryEngine, report: tuple[int, Exception | None], now: float) -> None:
        number, error = report
        if error is None:
            memory.committed(number, now)
            if self._failing:
                _log.warning("the journal in %s can be written again", self._directory)
        else:
            memory.commit_failed(number, now)
            self.commits_failed += 1
            if not self._failing:
                fields = {"directory": str(self._directory), "error": str(error)}
                _log.error(
                    "the journal in %s cannot be written: %s",
                    self._directory,
                    error,
                    extra={"fields": fields},
                )
        self._failing = error is not None

    # --- In the journal thread ----------------------------------------------------

    def _commit_batches(self) -> None:
        try:
            while (batch := self._batches.get()) is not None:
                error: Exception | None = None
                begun = Clock.now()
                try:
                    self._store.commit(batch)
                except Exception as caught:  # noqa: BLE001 - whatever it is, the batch is not on the disk
                    error = caught
                self.commit_seconds.observe(Clock.now() - begun)
                self._reports.put((batch.number, error))
                try:
                    self._wake()
                except Exception:  # noqa: BLE001 - the report is found at the next turn of the loop all the same
                    _log.exception("the server's loop could not be woken")
        finally:
            self._store.close()
            self._unlock()


class _ReaderThread:
    """Answers questions about the history beside the commits; everything else happens in the thread of the ports.

    Args:
        history: What reads.
        wake: Called when there is an answer.
    """

    def __init__(self, history: HistoryReader, wake: Callable[[], None]) -> None:
        self._history = history
        self._wake = wake
        self._questions: queue.SimpleQueue[HistoryQuestion | None] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[tuple[HistoryQuestion, Kept | None]] = queue.SimpleQueue()
        self._stopping = False
        self.open = 0
        """Questions whose answer nobody has taken."""
        self._thread = threading.Thread(target=self._read, name="rtm-history", daemon=True)
        self._thread.start()

    def ask(self, question: HistoryQuestion) -> None:
        """Have a question answered."""
        self.open += 1
        self._questions.put(question)

    @property
    def has_answers(self) -> bool:
        """Whether `answers` has any."""
        return not self._answers.empty()

    def answers(self) -> Iterator[tuple[HistoryQuestion, Kept | None]]:
        """Questions with their answers; None where the history could not be read."""
        while not self._answers.empty():
            self.open -= 1
            yield self._answers.get_nowait()

    def stop(self) -> None:
        """Let the thread end; what is being read is given up."""
        self._stopping = True
        self._history.interrupt()
        self._questions.put(None)

    def join(self, timeout: float) -> bool:
        """Wait for the end of the thread; whether it came."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _read(self) -> None:
        try:
            while (question := self._questions.get()) is not None and not self._stopping:
                kept: Kept | None = None
                try:
                    kept = self._history.read(question)
                except Exception as error:  # noqa: BLE001 - whatever it is, there is no answer
                    _log.error("the history cannot be read: %s", error)
                self._answers.put((question, kept))
                try:
                    self._wake()
                except Exception:  # noqa: BLE001 - the answer is found at the next turn of the loop all the same
                    _log.exception("the server's loop could not be woken")
        finally:
            self._history.close()


class EmbeddedPort:
    """The side of an embedded engine that one node sees; see `EnginePort`.

    Args:
        engine: The engine.
        memory: The node's side of the memory engine in it.
    """

    __slots__ = ("_engine", "_memory", "_now")

    def __init__(self, engine: EmbeddedEngine, memory: MemoryPort) -> None:
        self._engine = engine
        self._memory = memory
        self._now = 0.0

    def submit(self, command: Command, now: float, wall: int) -> None:
        """Carry a command out, and hand its records to the journal."""
        self._now = now
        self._memory.submit(command, now, wall)
        self._engine.collect(now)

    def handle_timer(self, now: float, wall: int) -> None:
        """Act on deadlines that have passed."""
        self._now = now
        self._memory.handle_timer(now, wall)
        self._engine.collect(now)

    def next_deadline(self) -> float | None:
        """When `handle_timer` must be called next, in monotonic seconds."""
        return self._memory.next_deadline()

    def next_output(self) -> Output | None:
        """The next answer or notice for this node, in order."""
        if self._engine.reports_waiting:
            self._engine.collect(self._now)
        return self._memory.next_output()

    def shift(self, seconds: float) -> None:
        """Move the silence deadlines of this node's clients."""
        self._memory.shift(seconds)


def _lock(directory: Path) -> IO[str]:
    """Make sure that no other process uses the directory, for as long as the file stays open.

    Raises:
        ServerFailure: One does, or the directory cannot be used.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        _sync(directory.parent)
        descriptor = os.open(directory / LOCK_FILE, os.O_CREAT | os.O_RDWR, 0o600)
    except OSError as error:
        raise ServerFailure(
            f"The data directory {directory} cannot be used: {error.strerror}.",
            operation="serve",
            hint="Name a directory that this user may write to.",
        ) from error
    file = os.fdopen(descriptor, "r+", encoding="ascii")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        owner = file.read().strip()
        file.close()
        raise ServerFailure(
            f"Another server{f' (process {owner})' if owner else ''} uses the data directory {directory}.",
            operation="serve",
            hint="Stop it first, or name another directory: two servers cannot share one.",
        ) from error
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file


def _sync(directory: Path) -> None:
    """Let what was made in a directory outlive the power, where this user and the file system allow it."""
    with contextlib.suppress(OSError):
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
