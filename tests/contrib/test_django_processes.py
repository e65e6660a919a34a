"""A Django site in processes of its own: what opens connections and what does not, reloads, and ends."""

import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import attrs
import pytest

import rtmsync
from rtmsync.contrib.settings import Settings
from rtmsync.server.config import DEV_APP_ID
from rtmsync.server.server import Server
from tests.contrib.conftest import KEY, SECRET
from tests.examples.support_chat import PATIENCE, Program
from tests.peers import require
from tests.system.processes import free_port

pytestmark = pytest.mark.timeout(300)  # several programs start, one after another

LOOKS_AGAIN = 3.0
"""Seconds in which a reloader sees a change, or not much more."""

ROOT = Path(__file__).resolve().parents[2]

FILES = {
    "manage.py": """
import os, sys
os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
from django.core.management import execute_from_command_line
execute_from_command_line(sys.argv)
""",
    "settings.py": f"""
import os
from pathlib import Path
DEBUG = os.environ["DEBUG"] == "1"
SECRET_KEY = "for tests"
ALLOWED_HOSTS = ["127.0.0.1"]
INSTALLED_APPS = ["rtmsync.contrib.django", "shop"]
ROOT_URLCONF = "urls"
DATABASES = {{
    "default": {{"ENGINE": "django.db.backends.sqlite3", "NAME": Path(__file__).parent / "db.sqlite3"}}
}}
RTM = {{
    "default": {{
        "URL": os.environ["URL"],
        "APP_ID": {DEV_APP_ID!r},
        "SERVER_KEY": {KEY!r},
        "SECRET": {SECRET!r},
        "LISTENER": os.environ["LISTENER"],
        "USER_ID": "web-{{pid}}",
    }}
}}
""",
    "urls.py": """
import os
from django.core.checks import run_checks
from django.db import transaction
from django.http import HttpResponse
from django.urls import path
from rtmsync.contrib.django import clients, publish_on_commit

def publish(request, number):
    with transaction.atomic():
        publish_on_commit("news", {"number": number, "worker": os.getpid()})
    return HttpResponse("published")

urlpatterns = [
    path("publish/<int:number>/", publish),
    path("worker/", lambda request: HttpResponse(str(os.getpid()))),
    path("", lambda request: HttpResponse("here")),
    path("session/", lambda request: HttpResponse(clients["default"].client.user_id)),
    path("checks/", lambda request: HttpResponse(" ".join(each.id for each in run_checks(tags=["rtmsync"])))),
]
""",
    "wsgi.py": """
import os
os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
from django.core.wsgi import get_wsgi_application
application = get_wsgi_application()
""",
    "shop/__init__.py": "",
    "shop/rtm_handlers.py": """
import time
from django.db import connection
from rtmsync.contrib.django import on_channel, on_peer_message

@on_channel("orders")
def handled(message):
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    if message.text == "slow":
        print("begun", flush=True)
        time.sleep(1.5)
    print("handled " + message.text, flush=True)

@on_channel("orders")
def looked(message):
    print("connection is " + ("open" if connection.connection else "closed"), flush=True)

@on_peer_message
def asked(message):
    print("asked " + message.text, flush=True)
""",
}


@attrs.define
class Site:
    """A site in a folder, and where its RTM server is."""

    folder: Path
    url: str
    listener: str = attrs.field(factory=lambda: f"desk-{secrets.token_hex(4)}")

    def environment(self, debug: bool) -> dict[str, str]:
        return {
            "DEBUG": str(int(debug)),
            "URL": self.url,
            "LISTENER": self.listener,
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
        }

    def manage(self, *arguments: str, debug: bool = True) -> Program:
        log = self.folder.parent / f"{arguments[0]}.log"
        return Program([sys.executable, "manage.py", *arguments], self.environment(debug), self.folder, log)

    def run(self, *arguments: str) -> str:
        """Run a command to its end, which must be a good one; what it said."""
        ended = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=self.folder,
            env={**os.environ, **self.environment(True)},
            capture_output=True,
            text=True,
            timeout=PATIENCE * 2,
        )
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    def touch(self, name: str, program: Program, words: str, times: int) -> None:
        """Change a file, and wait until a reloading program has said for the so-manyth time that it is ready."""
        touch(self.folder / name, program, "changed, reloading", times - 1)
        program.has_said(words, times)


def touch(path: Path, program: Program, words: str, times: int) -> None:
    """Change a file until a reloader has said for the so-manyth time that it has seen it, and so reloads once only.

    A reloader sees no change that was before its first look at the file.
    """
    due = time.monotonic() + PATIENCE
    while program.said.count(words) < times:
        assert time.monotonic() < due, program.said
        changed = path.stat().st_mtime + 1
        os.utime(path, (changed, changed))
        look_again = time.monotonic() + LOOKS_AGAIN
        while program.said.count(words) < times and time.monotonic() < look_again:
            time.sleep(0.02)


def make_site(folder: Path, url: str) -> Site:
    for name, text in FILES.items():
        path = folder / "site" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return Site(folder / "site", url)


@pytest.fixture
def site(tmp_path: Path, server: Server) -> Site:
    return make_site(tmp_path, server.url)


@pytest.fixture
def publisher(server: Server) -> Iterator[rtmsync.Publisher]:
    with rtmsync.Publisher(server.url, app_id=DEV_APP_ID, server_key=KEY) as publisher:
        publisher.user_events()  # what was before is of no interest
        yield publisher


@contextlib.contextmanager
def runserver(site: Site, *options: str) -> Iterator[tuple[Program, str]]:
    port = free_port()
    with site.manage("runserver", *options, str(port)) as program:
        program.has_said("Quit the server")
        yield program, f"http://127.0.0.1:{port}"


def page(url: str) -> str:
    """A page of a site that may just be starting again."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    due = time.monotonic() + PATIENCE
    while True:
        try:
            with opener.open(url, timeout=PATIENCE) as answer:
                text: str = answer.read().decode()
                return text
        except (urllib.error.URLError, ConnectionError):
            if time.monotonic() > due:
                raise
            time.sleep(0.05)


def comings_and_goings(publisher: rtmsync.Publisher, user: str, until: int) -> list[bool]:
    """Whether a user came or went, each time, until there are so many."""
    found: list[bool] = []
    due = time.monotonic() + PATIENCE
    while len(found) < until:
        assert time.monotonic() < due, found
        found += [event.online for event in publisher.user_events().events if event.user.startswith(user)]
        time.sleep(0.2)
    return found


def one_at_a_time(comings: list[bool]) -> bool:
    """Whether each session had ended before the next began."""
    return comings == [number % 2 == 0 for number in range(len(comings))]


# --- Row 5 of the integrations: runserver, and a file that is touched twice -------------------------------------------


@pytest.mark.slow
def test_neither_checks_nor_migrations_nor_runserver_connect(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        nobody.setblocking(False)
        site = make_site(tmp_path, f"ws://127.0.0.1:{nobody.getsockname()[1]}")
        assert "no issues" in site.run("check", "--deploy", "--tag", "rtmsync", "--fail-level", "ERROR")
        site.run("migrate", "--verbosity", "0")
        with runserver(site) as (program, url):
            assert page(url) == "here"
            site.touch("urls.py", program, "Quit the server", 2)
            assert page(url) == "here"
            with pytest.raises(BlockingIOError):
                nobody.accept()


@pytest.mark.slow
def test_a_reloading_listener_is_one_session_at_a_time(site: Site, publisher: rtmsync.Publisher) -> None:
    with site.manage("rtm_listen") as listener, runserver(site) as (program, url):
        listener.has_said("Listening to orders")
        for times in (2, 3):
            site.touch("shop/rtm_handlers.py", listener, "Listening to orders", times)
        assert page(url) == "here"
        publisher.publish("orders", "soup", sender="till")
        listener.has_said("handled soup")
        assert one_at_a_time(comings_and_goings(publisher, site.listener, 5))
        assert "REMOTE_LOGIN" not in listener.said
        assert "handled soup" not in program.said


@pytest.mark.slow
def test_a_reloading_site_is_one_session_at_a_time(site: Site, publisher: rtmsync.Publisher) -> None:
    with runserver(site) as (program, url):
        users = [page(f"{url}/session/")]
        for times in (2, 3):
            site.touch("urls.py", program, "Quit the server", times)
            users.append(page(f"{url}/session/"))
        assert len(set(users)) == 3
        assert one_at_a_time(comings_and_goings(publisher, "web-", 5))


# --- Workers ----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.interop
@pytest.mark.parametrize("preload", [True, False], ids=["preload", "no preload"])
def test_workers_publish_each_commit_once(
    site: Site, publisher: rtmsync.Publisher, alice: rtmsync.Client, preload: bool
) -> None:
    port, numbers = free_port(), range(200)
    command = [
        require("gunicorn"), "--bind", f"127.0.0.1:{port}", "--workers", "2", "--worker-class", "gthread",
        "--threads", "4", *(["--preload"] if preload else []), "wsgi",
    ]  # fmt: skip
    alice.channel("news").join()
    with (
        alice.events(rtmsync.ChannelMessage) as news,
        Program(
            command, site.environment(False), site.folder, site.folder.parent / "gunicorn.log"
        ) as gunicorn,
        ThreadPoolExecutor(8) as pool,
    ):
        url = f"http://127.0.0.1:{port}"
        due, workers = time.monotonic() + PATIENCE, set()
        while len(workers) < 2:  # until both have begun
            assert time.monotonic() < due, gunicorn.said
            workers |= set(pool.map(lambda _: page(f"{url}/worker/"), range(8)))
        assert set(pool.map(lambda number: page(f"{url}/publish/{number}/"), numbers)) == {"published"}
        heard = [json.loads(news.get(timeout=PATIENCE).text) for _ in numbers]
        assert sorted(each["number"] for each in heard) == list(numbers)
        assert {str(each["worker"]) for each in heard} <= workers
        assert gunicorn.end() == 0
        with pytest.raises(rtmsync.RequestTimeout):
            news.get(timeout=0.2)


# --- The listener -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_signal_lets_the_handler_finish(
    site: Site, publisher: rtmsync.Publisher, alice: rtmsync.Client
) -> None:
    with site.manage("rtm_listen", debug=False) as listener:
        listener.has_said("Listening to orders")
        publisher.publish("orders", "slow", sender="till")
        publisher.publish("orders", "next", sender="till")
        # Its client has acknowledged this, and so has read what came before it.
        assert alice.send_peer(site.listener, "hello").status is rtmsync.SendStatus.DELIVERED
        listener.has_said("begun")
        assert listener.end(signal.SIGTERM) == 0
        assert "handled slow" in listener.said
        assert "handled next" in listener.said


@pytest.mark.slow
def test_handlers_keep_no_database_connection_and_logs_are_seen(
    site: Site, publisher: rtmsync.Publisher, server: Server
) -> None:
    with site.manage("rtm_listen", debug=False) as listener:
        listener.has_said("Listening to orders")
        publisher.publish("orders", "one", sender="till")
        listener.has_said("connection is closed")
        values = {"URL": server.url, "APP_ID": DEV_APP_ID, "SECRET": SECRET}
        token = Settings.from_mapping(values).make_token(site.listener)
        with rtmsync.connect(server.url, app_id=DEV_APP_ID, user_id=site.listener, token=token):
            assert listener.wait() == 1
        (told,) = [line for line in listener.said.splitlines() if "logged in as" in line]
        assert "WARNING rtmsync.contrib: Another client has logged in as" in told
        assert told.endswith("was put out: run one listener at a time.")
        assert "connection is open" not in listener.said


@pytest.mark.slow
@pytest.mark.interop
@pytest.mark.parametrize(
    ("option", "ids"), [("--master", "rtmsync.W004"), ("--py-call-uwsgi-fork-hooks", ""), ("--lazy-apps", "")]
)
def test_the_check_knows_what_uwsgi_was_told(site: Site, option: str, ids: str) -> None:
    port = free_port()
    command = [
        require("uwsgi"), "--http-socket", f"127.0.0.1:{port}", "--master", "--die-on-term", "--enable-threads",
        "--need-app", "--wsgi-file", "wsgi.py", "--virtualenv", sys.prefix, option,
    ]  # fmt: skip
    with Program(command, site.environment(True), site.folder, site.folder.parent / "uwsgi.log") as uwsgi:
        assert page(f"http://127.0.0.1:{port}/checks/") == ids
        assert uwsgi.end() == 0
