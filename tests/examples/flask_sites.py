"""Flask sites as people run them: their commands, their processes, and visitors without a browser."""

import configparser
import contextlib
import http.cookiejar
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from importlib.metadata import entry_points
from pathlib import Path

import attrs

from tests.examples.programs import PATIENCE, ROOT, Program


def environment(directory: Path, **variables: str) -> dict[str, str]:
    """Variables for `flask`, with `flask rtm` as setup.cfg declares it.

    Args:
        directory: Gets the declaration, where this copy of the library was not installed since it has one.
        variables: Further ones.
    """
    path = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    if not any(each.name == "rtm" for each in entry_points(group="flask.commands")):
        path.insert(0, str(_declared(directory)))
    return {"PYTHONPATH": os.pathsep.join(filter(None, path)), **variables}


def _declared(directory: Path) -> Path:
    """A directory with the metadata that an installation would have."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    info = directory / "declared" / "rtmsync_examples-0.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: rtmsync-examples\nVersion: 0\n")
    commands = config["options.entry_points"]["flask.commands"].strip()
    (info / "entry_points.txt").write_text(f"[flask.commands]\n{commands}\n")
    return info.parent


def run(*arguments: str, variables: Mapping[str, str]) -> str:
    """Run `flask` to its end, which must be a good one; what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "flask", *arguments],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE,
    )
    assert done.returncode == 0, f"{arguments} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


@contextlib.contextmanager
def running(*arguments: str, ready: str, variables: Mapping[str, str]) -> Iterator[Program]:
    """Run `flask` beside a `with` block, from when it has said that it is ready.

    Where it still runs at the end, SIGTERM ends it.
    """
    program = Program("-m", "flask", *arguments, environment=dict(variables))
    try:
        program.wait_for(ready)
        yield program
        if program.process.poll() is None:
            program.process.send_signal(signal.SIGTERM)
            status = program.finish()
            assert status in (0, -signal.SIGTERM), f"it ended with {status}; {program.said()}"
    finally:
        program.kill()


@attrs.frozen
class Answer:
    """What a site answers."""

    status: int
    text: str
    headers: Mapping[str, str]


class Visitor:
    """A browser with cookies, and nothing else.

    Args:
        origin: Of the site.
    """

    def __init__(self, origin: str) -> None:
        self.origin = origin
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}),
            urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()),
        )

    def get(self, path: str) -> Answer:
        """Ask for a page."""
        return self._ask(urllib.request.Request(self.origin + path))

    def post(self, path: str, **fields: str) -> Answer:
        """Send a form."""
        data = urllib.parse.urlencode(fields).encode()
        return self._ask(urllib.request.Request(self.origin + path, data=data, method="POST"))

    def _ask(self, request: urllib.request.Request) -> Answer:
        with contextlib.ExitStack() as stack:
            try:
                answer = stack.enter_context(self._opener.open(request, timeout=PATIENCE))
            except urllib.error.HTTPError as error:
                answer = stack.enter_context(error)
            return Answer(answer.status, answer.read().decode(), dict(answer.headers))
