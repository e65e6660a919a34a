"""The `rtm` command in processes of its own, and a server for it."""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tests.cli.conftest import VARIABLES

PATIENCE = 60.0
"""Seconds after which whoever waits for a process has waited long enough, also where the machine is busy."""

RTM = (sys.executable, "-m", "rtmsync")


def environment(**more: str) -> dict[str, str]:
    """What the process inherits, without what would change the command's defaults."""
    dropped = {name.casefold() for name in VARIABLES}
    return {name: value for name, value in os.environ.items() if name.casefold() not in dropped} | more


class Running:
    """A command that runs, with its output line by line."""

    def __init__(self, *arguments: str, **variables: str) -> None:
        self.process = subprocess.Popen(
            [*RTM, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(**variables),
        )
        self.out: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.err: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.said: list[str] = []
        self._readers = [
            threading.Thread(target=self._read, args=pair)
            for pair in ((self.process.stdout, self.out), (self.process.stderr, self.err))
        ]
        for reader in self._readers:
            reader.start()

    def _read(self, stream: Any, lines: "queue.SimpleQueue[str]") -> None:
        with stream:
            for line in stream:
                text = line.decode().rstrip("\n")
                self.said.append(text)
                lines.put(text)

    def wait_for(self, lines: "queue.SimpleQueue[str]", condition: Callable[[str], bool]) -> str:
        """The first line that fulfils a condition; those before it are dropped."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                line = lines.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise AssertionError("the line did not come; said was:\n" + "\n".join(self.said)) from None
            if condition(line):
                return line

    def row(self) -> dict[str, Any]:
        """The next line of output, as JSON."""
        found: dict[str, Any] = json.loads(self.wait_for(self.out, lambda line: True))
        return found

    def notes(self, words: str) -> str:
        """Wait for words on standard error."""
        return self.wait_for(self.err, lambda line: words in line)

    def says(self, words: str) -> str:
        """Wait for words on standard output."""
        return self.wait_for(self.out, lambda line: words in line)

    def type(self, text: str) -> None:
        """Write to standard input."""
        assert self.process.stdin is not None
        self.process.stdin.write(text.encode())
        self.process.stdin.flush()

    def end_input(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait(self) -> int:
        """The exit status."""
        try:
            return self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            raise AssertionError("it has not ended; said was:\n" + "\n".join(self.said)) from None

    def clean_up(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.end_input()
        for reader in self._readers:
            reader.join()


@contextmanager
def running(*arguments: str, **variables: str) -> Iterator[Running]:
    command = Running(*arguments, **variables)
    try:
        yield command
    finally:
        command.clean_up()


@contextmanager
def serving(*arguments: str) -> Iterator[tuple[str, Running]]:
    """A development server in a process of its own, with its URL."""
    options = ("--dev", "--port", "0", "--json", "--drain", "0", "--until-eof")
    with running("serve", *options, *arguments) as server:
        yield server.row()["url"], server


def call(*arguments: str, stdin: bytes = b"", **variables: str) -> "subprocess.CompletedProcess[str]":
    """A command that ends by itself."""
    try:
        return subprocess.run(
            [*RTM, *arguments],
            input=stdin,
            capture_output=True,
            env=environment(**variables),
            timeout=PATIENCE,
            check=False,
        )  # type: ignore[return-value]
    except subprocess.TimeoutExpired as late:
        raise AssertionError(
            f"{arguments} has not ended within {PATIENCE:g} s; it said {late.stdout!r} and {late.stderr!r}"
        ) from None
