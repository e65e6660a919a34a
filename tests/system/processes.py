"""Servers in processes of their own, started by the command and killed like processes."""

import contextlib
import json
import os
import queue
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from rtmsync.server.config import DEV_APP_ID

_PORTS = range(20_000, 32_000)
"""Below those that systems give to clients."""

_WORKERS = 16
"""Processes of one run of the tests that have ports of their own."""

_chosen: list[int] = []
"""What `free_port` has given, the oldest first: none of it comes again as long as there are others."""

PATIENCE = 60.0
"""Seconds after which whoever waits for a process has waited long enough, also where the machine is busy."""


def free_port() -> int:
    """A port for a server that comes back: one that nobody uses, and that the system gives to nobody meanwhile.

    Clients that keep trying such a port from the range of their own ports would in the end connect to themselves. The
    processes of one run of the tests choose from ports of their own each, and none twice: nobody takes a port that was
    chosen before, and is not bound yet or not again.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    ports = _PORTS[worker % _WORKERS :: _WORKERS]
    del _chosen[: max(0, len(_chosen) - len(ports) // 2)]
    for port in random.SystemRandom().sample(sorted(set(ports) - set(_chosen)), 100):
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            _chosen.append(port)
            return port
    raise AssertionError("no port is free")


class ServerProcess:
    """`rtm serve` on a directory, to be killed and started again on the same port.

    Args:
        directory: Of the journal.
        options: Further ones of the command.
        program: What to run instead of `python -m rtmsync`.

    Attributes:
        command: What is run, as a list.
    """

    def __init__(
        self, directory: Path, *options: str, program: Sequence[str] = (sys.executable, "-m", "rtmsync")
    ) -> None:
        self.directory = directory
        self.port = free_port()
        self.url = f"ws://127.0.0.1:{self.port}"
        self.said: list[str] = []
        self.command = [
            *program, "serve", "--dev", "--json", "--until-eof", "--drain", "0", "--no-rate-limits",
            "--port", str(self.port), "--data", str(directory), *options,
        ]  # fmt: skip
        self._process: subprocess.Popen[str] | None = None
        self._readers: list[threading.Thread] = []
        self._ready: queue.SimpleQueue[str] = queue.SimpleQueue()

    def spawn(self) -> None:
        """Start it, and do not wait until clients can connect."""
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(self.command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
        self._ready = queue.SimpleQueue()
        streams = ((self._process.stdout, self._ready.put), (self._process.stderr, self.said.append))
        self._readers = [threading.Thread(target=_read, args=each) for each in streams]
        for reader in self._readers:
            reader.start()

    def start(self) -> "ServerProcess":
        """Start it, and wait until clients can connect."""
        self.spawn()
        line = ""
        with contextlib.suppress(queue.Empty):
            line = self._ready.get(timeout=PATIENCE)
        assert line, "the server did not start; it said:\n" + "".join(self.said)
        assert json.loads(line)["app_ids"] == [DEV_APP_ID]
        return self

    def has_said(self, words: str) -> int:
        """Wait until it has said something on standard error; how often it has."""
        due = time.monotonic() + PATIENCE
        while not (count := sum(words in line for line in list(self.said))):
            assert time.monotonic() < due, f"it never said {words!r}, but:\n" + "".join(self.said[-50:])
            time.sleep(0.01)
        return count

    @property
    def pid(self) -> int:
        """Of the process."""
        assert self._process is not None
        return self._process.pid

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """Let it end as if the power had gone: it does nothing any more."""
        assert self._process is not None
        self._process.kill()
        self._gone()

    def end(self) -> int:
        """Let it end in order; its exit status."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.close()
        return self._gone()

    def _gone(self) -> int:
        assert self._process is not None
        status = self._process.wait(PATIENCE)
        for reader in self._readers:
            reader.join()
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process = None
        return status

    def __enter__(self) -> "ServerProcess":
        try:
            return self.start()
        except BaseException:
            self.__exit__(None, None, None)  # otherwise it would run on, and its readers with it
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._process is not None:
            self.kill()
        if error is not None:
            print("the server said:\n" + "".join(self.said[-50:]))


_TEMPLATE = """
import os, sys
import rtmsync.cli.serve, rtmsync.server.engines.embedded, rtmsync.server.server
from rtmsync.cli.app import run
for line in sys.stdin:
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(writing)
        os.dup2(reading, 0)
        print(os.getpid(), flush=True)  # here, so that it comes before what the server prints
        os._exit(run(sys.argv[1:]))
    os.close(reading)
    os.waitpid(child, 0)
    os.close(writing)
    print("ended", flush=True)
"""


class ForkedServer(ServerProcess):
    """The same command, in processes forked from one that has imported everything: each starts in no time.

    To be killed, not to be ended in order.

    Args:
        directory: Of the journal.
    """

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, program=(sys.executable, "-c", _TEMPLATE))
        self._child: int | None = None

    def spawn(self) -> None:
        """Start it, and do not wait until clients can connect."""
        if self._process is None:
            super().spawn()
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write("start\n")
        self._process.stdin.flush()
        self._child = int(self._ready.get(timeout=PATIENCE))

    @property
    def pid(self) -> int:
        """Of the process."""
        assert self._child is not None
        return self._child

    def kill(self) -> None:
        """Let it end as if the power had gone: it does nothing any more."""
        with contextlib.suppress(ProcessLookupError):  # it has ended by itself
            os.kill(self.pid, signal.SIGKILL)
        self._child = None
        while self._ready.get(timeout=PATIENCE) != "ended\n":
            continue

    def __exit__(self, *raised: Any) -> None:
        if self._child is not None:
            self.kill()
        if self._process is not None:
            super().kill()
        super().__exit__(*raised)


def _read(stream: Any, take: Any) -> None:
    with stream:
        for line in stream:
            take(line)
        take("")
