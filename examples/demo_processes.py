"""The processes of the demo: started with orders on their standard input, and gone with it."""

import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

GRACE = 10.0
"""Seconds that a process gets to end by itself before it is made to."""

Message = tuple[str, dict[str, Any]]


class Process:
    """A process that talks in lines of JSON, with a thread that reads them into a queue.

    Args:
        name: Who speaks, in what is put into the queue.
        arguments: For the Python interpreter.
        told: Gets ``(name, message)`` for each line, and a last message ``{"is": "ended"}``.
        log: Gets what the process writes to standard error.
    """

    def __init__(
        self, name: str, arguments: Sequence[str], told: "queue.SimpleQueue[Message]", log: Path
    ) -> None:
        self.name = name
        self._told = told
        self._log = log
        with log.open("wb") as errors:
            # In a session of its own, so that Ctrl-C reaches the demo alone, which then ends the others in order.
            self._process = subprocess.Popen(
                [sys.executable, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env={name: value for name, value in os.environ.items() if not name.startswith("RTM_")},
                start_new_session=True,
            )
        self._reader = threading.Thread(target=self._read, name=f"demo-{name}", daemon=True)
        self._reader.start()

    def __enter__(self) -> "Process":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.end()

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self._process.pid

    def order(self, **order: Any) -> None:
        """Send one order."""
        stdin = self._process.stdin
        assert stdin is not None
        try:
            stdin.write(json.dumps(order).encode() + b"\n")
            stdin.flush()
        except OSError:
            pass  # it has ended, which its reader has told or will tell

    def end(self) -> int:
        """End the process, gently first.

        Returns:
            Its exit status.
        """
        stdin = self._process.stdin
        assert stdin is not None
        try:
            stdin.close()
        except OSError:
            pass  # it has ended, with orders unread
        for step in (lambda: None, self._process.terminate, self._process.kill):
            step()
            try:
                status = self._process.wait(GRACE)
                break
            except subprocess.TimeoutExpired:
                continue
        else:
            status = self._process.wait()
        self._reader.join(GRACE)
        return status

    def errors(self) -> str:
        """The end of what the process wrote to standard error."""
        return self._log.read_text("utf-8", "replace")[-2000:].strip()

    def _read(self) -> None:
        stdout = self._process.stdout
        assert stdout is not None
        with stdout:
            for line in stdout:
                try:
                    message = json.loads(line)
                except ValueError:
                    message = {"is": "trouble", "text": line.decode("utf-8", "replace").strip()}
                self._told.put((self.name, message))
        self._told.put((self.name, {"is": "ended", "at": time.monotonic()}))
