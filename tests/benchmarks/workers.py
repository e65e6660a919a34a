"""Child processes that answer commands: one line of JSON in, one line of JSON out.

A worker ends with its standard input, so none outlives the run, whatever
happens to the process that started it.
"""

import contextlib
import importlib
import json
import logging
import os
import selectors
import subprocess
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

ROOT = Path(__file__).resolve().parents[2]
ANSWER_TIMEOUT = 120.0
STOP_TIMEOUT = 5.0


class WorkerFailed(Exception):
    """A worker did not answer, or answered with an error."""


class Worker:
    """One object of a child process: its methods are called by name.

    Args:
        module: Where the object's class is, below `tests.benchmarks.systems`.
        role: Name of the class.
        cpu: The processor that it is held to; None for any.
        arguments: Passed to the class.
    """

    def __init__(self, module: str, role: str, *, cpu: int | None = None, **arguments: Any) -> None:
        self.name = f"{module}.{role}"
        command = [sys.executable, "-m", "tests.benchmarks.workers", module, role, json.dumps(arguments)]
        self._process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )
        self._selector = selectors.DefaultSelector()
        assert self._process.stdout is not None
        self._selector.register(self._process.stdout, selectors.EVENT_READ)
        self._unread = b""
        if cpu is not None:
            pin(self._process.pid, cpu)
        try:
            self.finish()
        except BaseException:
            self.stop()
            raise

    @property
    def pid(self) -> int:
        return self._process.pid

    def call(self, method: str, *, timeout: float = ANSWER_TIMEOUT, **arguments: Any) -> Any:
        """Call a method of the worker's object and wait for what it returns."""
        self.begin(method, **arguments)
        return self.finish(timeout)

    def begin(self, method: str, **arguments: Any) -> None:
        """Call a method and do not wait for it."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps([method, arguments]).encode() + b"\n")
        except BrokenPipeError:
            raise WorkerFailed(f"{self.name} has ended.") from None

    def finish(self, timeout: float = ANSWER_TIMEOUT) -> Any:
        """What the method that was begun returns."""
        answer = json.loads(self._line(timeout))
        if "error" in answer:
            raise WorkerFailed(f"{self.name}: {answer['error']}")
        return answer["value"]

    def _line(self, timeout: float) -> bytes:
        assert self._process.stdout is not None
        deadline = time.monotonic() + timeout
        while b"\n" not in self._unread:
            if not self._selector.select(max(0.0, deadline - time.monotonic())):
                raise WorkerFailed(f"{self.name} did not answer within {timeout:g} s.")
            piece = os.read(self._process.stdout.fileno(), 65536)
            if not piece:
                raise WorkerFailed(f"{self.name} has ended without an answer.")
            self._unread += piece
        line, _, self._unread = self._unread.partition(b"\n")
        return line

    def stop(self) -> None:
        """End the process: by the end of its input, and by force where that does not help. Idempotent."""
        self._selector.close()
        stop_process(self._process)

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()


def stop_process(process: "subprocess.Popen[bytes]") -> None:
    """Close a child's input, wait for it, and end it by force after `STOP_TIMEOUT`."""
    if process.stdin is not None:
        with contextlib.suppress(OSError):
            process.stdin.close()
    else:
        process.terminate()
    try:
        process.wait(STOP_TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()


def processors() -> Sequence[int]:
    """The processors that this process may use."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def pin(pid: int, cpu: int) -> None:
    """Hold a process to one of the usable processors, counted from 0; nothing where there is no choice."""
    usable = processors()
    if len(usable) > 1:
        os.sched_setaffinity(pid, {usable[cpu % len(usable)]})


def rss_kib(pid: int) -> float:
    """Resident memory of a process, in KiB."""
    with open(f"/proc/{pid}/statm", "rb") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1024


def main() -> None:
    """Be a worker: build the object, then answer until standard input ends."""
    module, role, arguments = sys.argv[1:]
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # what libraries print must not look like an answer
    logging.disable(logging.CRITICAL)  # the noise of connections that end without a goodbye
    made: Any = None
    status = 0
    try:
        made = getattr(importlib.import_module(f"tests.benchmarks.systems.{module}"), role)(
            **json.loads(arguments)
        )
        _answer(answers, None)
        for line in sys.stdin.buffer:
            method, arguments = json.loads(line)
            _answer(answers, getattr(made, method)(**arguments))
    except Exception as error:  # noqa: BLE001 - reported to whoever asked
        traceback.print_exc()
        answers.write(json.dumps({"error": f"{type(error).__name__}: {error}"}).encode() + b"\n")
        status = 1
    finally:
        if hasattr(made, "stop"):
            made.stop()
        os._exit(status)  # threads of the systems under test would keep the process alive


def _answer(answers: BinaryIO, value: object) -> None:
    answers.write(json.dumps({"value": value}).encode() + b"\n")


if __name__ == "__main__":
    main()
