"""The examples as programs in processes of their own, watched line by line."""

import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"

PATIENCE = 60.0
"""Seconds after which whoever waits for a program has waited long enough, also where the machine is busy."""


class Program:
    """A Python program whose lines are read as they come; it ends with the `with` statement.

    Args:
        arguments: Of the interpreter: a file, or `-m` and a module, and what follows.
        environment: Variables to add.
        output: A descriptor that gets what it says, instead of being read here.
        folder: Where it runs; here by default.
    """

    def __init__(
        self,
        *arguments: str | Path,
        environment: dict[str, str] | None = None,
        output: int | None = None,
        folder: Path | None = None,
    ) -> None:
        self.lines: list[str] = []
        self._name = " ".join(map(str, arguments[:3]))
        self._seen = 0
        self._queue: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        self.process = subprocess.Popen(
            [sys.executable, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE if output is None else output,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1", **(environment or {})},
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        if self.process.stdout is not None:
            with self.process.stdout as lines:
                for line in lines:
                    self._queue.put(line.rstrip("\n"))
        self._queue.put(None)

    def wait_for(self, what: str | Callable[[str], bool]) -> str:
        """Wait for the next line that has these words, or that is the one, behind the last one waited for."""
        is_it = (lambda line: what in line) if isinstance(what, str) else what
        due = time.monotonic() + PATIENCE
        while True:
            while self._seen < len(self.lines):
                self._seen += 1
                if is_it(self.lines[self._seen - 1]):
                    return self.lines[self._seen - 1]
            self._take(due, str(what))

    def finish(self) -> int:
        """Wait until it ends by itself; its exit status."""
        due = time.monotonic() + PATIENCE
        while self._take(due, "its end"):
            continue
        self._reader.join()
        return self.process.wait(PATIENCE)

    def _take(self, due: float, what: str) -> bool:
        try:
            line = self._queue.get(timeout=max(0.0, due - time.monotonic()))
        except queue.Empty:
            raise AssertionError(f"{self._name}: waited in vain for {what}; {self.said()}") from None
        if line is None:
            self._queue.put(None)
            if what == "its end":
                return False
            raise AssertionError(f"{self._name} ended before {what}; {self.said()}")
        self.lines.append(line)
        return True

    def said(self) -> str:
        """What it has said so far, for the message of a failure."""
        return "it said:\n  " + "\n  ".join(self.lines)

    def kill(self) -> None:
        """End it as if the power had gone."""
        self.process.kill()
        self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        while not self._queue.empty() and (line := self._queue.get()) is not None:
            self.lines.append(line)
        self._queue.put(None)
        assert self.process.stdin is not None
        self.process.stdin.close()

    def __enter__(self) -> "Program":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()


SILENCE = 8.0
"""Seconds of silence that `serve` lets clients take for an interruption. On a machine that stands still for a few
seconds, connections that nothing else happens to are to stay."""

_SERVE = f"""
from rtmcore.service import logins
from rtmsync.cli import main
logins.INTERRUPTED_AFTER = {SILENCE}
main()
"""


def serve(*options: str | Path) -> Program:
    """A server in a process; clients can connect when it has said its `app_ids`."""
    return Program("-c", _SERVE, "serve", "--json", "--until-eof", "--drain", "0", *options)


def all_wait_for(programs: Iterable[Program], what: str) -> None:
    """Wait until each has said something."""
    for program in programs:
        program.wait_for(what)
