"""A Flask site under the development server: what its reloader opens, and what `flask rtm` of an installation finds.

Row 6 of the integrations: a reloading site is two processes, of which the first never needs a connection. There is no
session before the first use, then one at a time, and each says goodbye.
"""

import contextlib
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import attrs
import pytest

import rtmsync
from rtmsync.server.config import DEV_APP_ID
from rtmsync.server.server import Server
from tests.contrib.conftest import KEY, SECRET
from tests.contrib.test_django_processes import comings_and_goings, one_at_a_time, page, touch
from tests.examples.flask_sites import environment
from tests.examples.support_chat import Program
from tests.system.processes import free_port

pytestmark = pytest.mark.timeout(300)  # programs start again and again

SITE = f"""
import os
import sys
from flask import Flask
from rtmsync.contrib.flask import RTM

rtm = RTM()
app = Flask("site")
app.config.update(
    RTM_URL=os.environ["SITE_URL"], RTM_APP_ID={DEV_APP_ID!r}, RTM_SECRET={SECRET!r}, RTM_SERVER_KEY={KEY!r},
    RTM_USER_ID="site-{{pid}}", RTM_LISTENER="desk",
)
rtm.init_app(app)

@app.get("/")
def here():
    return f"{{os.getpid()}} {{os.getppid()}}"

@app.get("/session")
def session():
    return rtm.client.user_id

@app.get("/publish")
def publish():
    return str(rtm.publish("news", "hello"))

print("imported", os.environ.get("WERKZEUG_RUN_MAIN"), flush=True)
if __name__ == "__main__":
    app.run(debug=True, port=int(sys.argv[1]))
"""

WAYS = {
    "flask --debug run": ("-m", "flask", "--app", "site_code", "--debug", "run", "--port"),
    "app.run(debug=True)": ("site_code.py",),
}


ENDS_WITHIN = 20.0
"""Seconds in which a site ends that is told to. The aim is 5; a busy machine is no failure."""


@attrs.define
class Site:
    """The site in a folder, run in one of the ways."""

    folder: Path
    url: str
    way: Sequence[str]

    @contextlib.contextmanager
    def running(self) -> Iterator[tuple[Program, str]]:
        port = free_port()
        (self.folder / "site_code.py").write_text(SITE)
        variables = environment(self.folder, SITE_URL=self.url, PYTHONUNBUFFERED="1")
        command = [sys.executable, *self.way, str(port)]
        with Program(command, variables, self.folder, self.folder / "site.log") as program:
            # With app.run the first process imports the site too; with `flask run` the second one alone.
            program.has_said("imported true")
            yield program, f"http://127.0.0.1:{port}"

    def touch(self, program: Program, times: int) -> None:
        """Change the code, and wait until it is running for the so-manyth time."""
        touch(self.folder / "site_code.py", program, "Detected change in", times - 1)
        program.has_said("imported true", times)


@pytest.fixture
def publisher(server: Server) -> Iterator[rtmsync.Publisher]:
    with rtmsync.Publisher(server.url, app_id=DEV_APP_ID, server_key=KEY) as publisher:
        publisher.user_events()  # what was before is of no interest
        yield publisher


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_a_reloading_site_connects_to_nobody_before_its_first_use(tmp_path: Path, way: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        nobody.setblocking(False)
        site = Site(tmp_path, f"ws://127.0.0.1:{nobody.getsockname()[1]}", WAYS[way])
        with site.running() as (program, url):
            child, parent = page(url).split()
            assert (parent, child != parent) == (str(program.pid), True)
            site.touch(program, 2)
            assert page(url).split()[0] != child
            with pytest.raises(BlockingIOError):
                nobody.accept()


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_a_reloading_site_is_one_session_at_a_time(
    tmp_path: Path, server: Server, publisher: rtmsync.Publisher, way: str
) -> None:
    site = Site(tmp_path, server.url, WAYS[way])
    with site.running() as (program, url):
        page(url)
        assert [each.user for each in publisher.user_events().events if each.user.startswith("site-")] == []
        users = [page(f"{url}/session")]
        assert page(f"{url}/session") == users[0]
        for times in (2, 3):
            site.touch(program, times)
            users.append(page(f"{url}/session"))
        assert len(set(users)) == 3
        assert f"site-{program.pid}" not in users
        assert page(f"{url}/publish").isdecimal()
        os.killpg(program.pid, signal.SIGINT)  # as Ctrl-C does
        begun = time.monotonic()
        assert program.wait() in (0, 130, -signal.SIGINT)
        assert time.monotonic() - begun < ENDS_WITHIN
        assert one_at_a_time(comings_and_goings(publisher, "site-", 6))
        assert "ResourceWarning" not in program.said
