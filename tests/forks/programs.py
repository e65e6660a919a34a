"""Servers of others, and requests to them."""

import contextlib
import http.client
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import attrs

import rtmsync

ROOT = Path(__file__).resolve().parents[2]

PATIENCE = 60.0
"""Seconds after which whoever waits has waited long enough, also where the machine has much else to do."""

ENDS_WITHIN = 20.0
"""Seconds in which a program ends that is told to. The aim is 5, which the figures show; a busy machine is no failure,
and where something hangs these programs wait for 30 or longer."""

GONE_WITHIN = 20.0
"""Seconds in which the sessions of a program are gone that has said goodbye. Those of one that has not go after 30."""


class Program:
    """A program in a process of its own, whose output is read.

    Args:
        command: What to run, in the project's directory.
        environment: Variables besides those of this process.
    """

    def __init__(self, command: Sequence[str], **environment: str) -> None:
        self.said: list[str] = []
        self._process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, "PYTHONWARNINGS": "always", "PYTHONUNBUFFERED": "1", **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.pid = self._process.pid
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as stream:
            self.said.extend(stream)

    @property
    def output(self) -> str:
        """What it and its children have said so far."""
        return "".join(self.said)

    def wait_for(self, pattern: str, count: int = 1, *, may_have_ended: bool = False) -> str:
        """Wait until it has said something so often; the first group of the first time."""
        due = time.monotonic() + PATIENCE
        while len(found := re.findall(pattern, self.output)) < count:
            assert time.monotonic() < due, f"it never said {pattern!r}:\n{self.output}"
            assert may_have_ended or self._process.poll() is None, f"it has ended:\n{self.output}"
            time.sleep(0.02)
        return str(found[0])

    def stop(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, float]:
        """Send it a signal and wait for its end: the status, and the seconds that it took."""
        self._process.send_signal(number)
        return self.wait()

    def wait(self, patience: float = PATIENCE) -> tuple[int, float]:
        """Wait for its end: the status, and the seconds that it took."""
        begun = time.monotonic()
        try:
            status = self._process.wait(patience)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it has not ended within {patience:g} s:\n{self.output}") from None
        took = time.monotonic() - begun
        self._reader.join(PATIENCE)
        return status, took

    def __enter__(self) -> "Program":
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is not None:
            print("the program said:\n" + self.output)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)  # its children too, where it has left some
        self._process.wait(PATIENCE)
        self._reader.join(PATIENCE)


def python(*arguments: str) -> list[str]:
    """A command of this interpreter."""
    return [sys.executable, *arguments]


@attrs.frozen
class Answers:
    """What came of some requests."""

    by_process: Counter[int]
    seconds: float

    def and_also(self, others: "Answers") -> "Answers":
        """These and others."""
        return Answers(self.by_process + others.by_process, self.seconds + others.seconds)

    def __str__(self) -> str:
        parts = " + ".join(str(count) for count in sorted(self.by_process.values()))
        return f"{self.by_process.total()} answers ({parts}) in {self.seconds:.2f} s"


def ask(port: int, path: str) -> tuple[int, str]:
    """One request on a connection of its own: the process that has answered, and what."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    with contextlib.closing(connection):
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read().decode()
        assert answer.status == 200, body
    process, _, said = body.partition(" ")
    return int(process), said


def ask_all(port: int, paths: Sequence[str], threads: int = 10) -> Answers:
    """Many requests, in threads."""
    begun = time.monotonic()
    with ThreadPoolExecutor(threads) as pool:
        processes = Counter(process for process, _ in pool.map(lambda path: ask(port, path), paths))
    return Answers(processes, time.monotonic() - begun)


def ask_until_all_answer(port: int, view: str, least: int, workers: int = 2) -> tuple[Counter[str], Answers]:
    """Make many requests, and more of them until each worker has answered some.

    Which worker takes a request is left to chance, and one that has just begun may still be importing the site.

    Args:
        port: Of the site.
        view: Of `shop`.
        least: How many requests there are in any case.
        workers: How many processes have to take part.

    Returns:
        What was asked for, and what came of it.
    """
    expected = [f"{view}-{number}" for number in range(least)]
    answers = ask_all(port, [f"/{view}/{what}" for what in expected])
    due = time.monotonic() + PATIENCE
    while len(answers.by_process) < workers:
        assert time.monotonic() < due, f"{workers} workers were to answer, but: {answers}"
        time.sleep(0.2)  # it may be importing the site, which needs the processor too
        more = [f"{view}-{len(expected) + number}" for number in range(4)]
        answers = answers.and_also(ask_all(port, [f"/{view}/{what}" for what in more]))
        expected += more
    return Counter(expected), answers


def texts(messages: "rtmsync.Subscription[rtmsync.ChannelMessage]", count: int) -> Counter[str]:
    """So many channel messages, and what comes in the half second after them."""
    found: Counter[str] = Counter()
    for message in _messages(messages, count):
        found[message.text] += 1
    return found


def _messages(
    messages: "rtmsync.Subscription[rtmsync.ChannelMessage]", count: int
) -> Iterator[rtmsync.ChannelMessage]:
    for _ in range(count):
        message = messages.get(timeout=PATIENCE)
        assert isinstance(message, rtmsync.ChannelMessage), message
        yield message
    with contextlib.suppress(rtmsync.RequestTimeout):
        while True:
            message = messages.get(timeout=0.5)
            assert isinstance(message, rtmsync.ChannelMessage), message
            yield message


def alone_again(channel: rtmsync.Channel) -> float:
    """Wait until a channel has one member: the seconds that it took."""
    begun = time.monotonic()
    while len(channel.members()) > 1:
        assert time.monotonic() - begun < PATIENCE, "somebody has not said goodbye"
        time.sleep(0.05)
    return time.monotonic() - begun
