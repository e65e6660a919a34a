"""The support chat as its users run it: a server, the listener and the site, each in a process of its own."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tests.examples.programs import PATIENCE
from tests.system.processes import free_port

ROOT = Path(__file__).resolve().parents[2]
SITE = ROOT / "examples" / "support_chat"

AGENT, PASSWORD = "ann", "a good password"

_PREPARE = f"""
import django
django.setup()
from django.core.management import call_command
from django.contrib.auth.models import User
call_command("migrate", verbosity=0)
User.objects.create_user({AGENT!r}, password={PASSWORD!r})
"""


def _inherited() -> dict[str, str]:
    own = ("DJANGO_", "RTM_", "DATABASE", "DEBUG")
    return {name: value for name, value in os.environ.items() if not name.startswith(own)}


class Program:
    """A program whose output goes to a file, so that no thread has to read it.

    Args:
        command: What to run.
        environment: Added to that of this process.
        folder: Where it runs.
        log: Where its output goes.
    """

    def __init__(self, command: list[str], environment: dict[str, str], folder: Path, log: Path) -> None:
        self._log = log
        with log.open("ab") as output:
            self._from = output.tell()
            self._process = subprocess.Popen(
                command,
                cwd=folder,
                env={**_inherited(), **environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    @property
    def said(self) -> str:
        """What it has said so far."""
        return self._log.read_bytes()[self._from :].decode(errors="replace")

    def has_said(self, words: str, times: int = 1) -> None:
        """Wait until it has said something."""
        due = time.monotonic() + PATIENCE
        while self.said.count(words) < times:
            assert self._process.poll() is None, f"it has ended; it said:\n{self.said}"
            assert time.monotonic() < due, f"it never said {words!r}, but:\n{self.said}"
            time.sleep(0.02)

    def once_it_has_said(self, words: str) -> "Program":
        """The program, when it has said something; it is ended where it never does."""
        try:
            self.has_said(words)
        except BaseException:
            self.__exit__()
            raise
        return self

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send it a signal, and wait for its end; its exit status."""
        self._process.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        """Wait for its end; its exit status."""
        try:
            return self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it has not ended; it said:\n{self.said}") from None

    def __enter__(self) -> "Program":
        return self

    def __exit__(self, kind: type[BaseException] | None = None, *rest: object) -> None:
        if kind is not None:
            print(f"{self._log.name} has:\n{self.said[-10_000:]}")
        # All of it: a reloader's child too.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


class SupportChat:
    """The site in a directory of its own.

    Args:
        directory: For the database and the logs.

    Attributes:
        folder: Of the site.
    """

    def __init__(self, directory: Path) -> None:
        self.directory, self.folder = directory, SITE
        self.port, self.rtm_port = free_port(), free_port()
        self.url, self.rtm_url = f"http://127.0.0.1:{self.port}", f"ws://127.0.0.1:{self.rtm_port}"
        self.environment = {
            "DATABASE": str(directory / "db.sqlite3"),
            "DJANGO_SETTINGS_MODULE": "support.settings",
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
            "RTM_URL": self.rtm_url,
        }

    def prepare(self) -> None:
        """Make the database, with an agent in it."""
        subprocess.run(
            [sys.executable, "-c", _PREPARE],
            cwd=SITE,
            env={**_inherited(), **self.environment, "PYTHONPATH": f"{SITE}{os.pathsep}{ROOT}"},
            check=True,
            timeout=PATIENCE * 2,
        )

    def manage(self, *arguments: str) -> Program:
        """Run a command of `manage.py`."""
        command = [sys.executable, "manage.py", *arguments]
        return Program(command, self.environment, self.folder, self.directory / f"{arguments[0]}.log")

    def serve(self) -> Program:
        """Run the RTM server; see that it can be reached."""
        server = self.manage("rtm_serve", "--allow-origin", self.url, "--data", str(self.directory / "rtm"))
        return server.once_it_has_said("listens on")

    def listen(self) -> Program:
        """Run the listener, and see that it listens."""
        listener = self.manage("rtm_listen", "--noreload")
        return listener.once_it_has_said("Listening as support-desk")

    def site(self) -> Program:
        """Run the site, and see that it answers."""
        site = self.manage("runserver", "--noreload", str(self.port))
        return site.once_it_has_said("Quit the server")


@contextlib.contextmanager
def running(directory: Path) -> Iterator[SupportChat]:
    """The site with its three processes."""
    chat = SupportChat(directory)
    chat.prepare()
    with chat.serve(), chat.listen(), chat.site():
        yield chat
