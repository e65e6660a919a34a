"""The page on Django makes the support chat of the examples, and it does so from its text alone."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import rtmsync
from tests.docs.pages import DOCS, Block, blocks
from tests.examples.support_chat import AGENT, PASSWORD, SITE, SupportChat
from tests.examples.test_support_chat import Person, next_text

PAGE = DOCS / "howto" / "django.md"
SETTINGS = "at the end of support/settings.py"
GENERATED = {"manage.py", "support/settings.py", "support/wsgi.py", "chat/apps.py", "README.md"}
"""What Django's own commands write, apart from what the page changes; and what says where the page is."""
RUNNING = ("rtm_serve", "rtm_listen", "runserver")


def titled(block: Block) -> tuple[str, str] | None:
    """The name of the file that a block shows, and its text."""
    found = re.fullmatch(r":caption: ([^\n]+)\n\n(.*)", block.code, re.DOTALL)
    return None if found is None else (found[1], found[2])


def files() -> dict[str, str]:
    """The files of the site on the page."""
    found = [named for block in blocks(PAGE) if (named := titled(block)) is not None]
    return {name: text for name, text in found if "/" in name and name != SETTINGS}


def test_the_page_shows_the_example_as_it_is() -> None:
    shown = files()
    assert shown == {name: (SITE / name).read_text() for name in shown}
    there = {
        path.relative_to(SITE).as_posix()
        for path in SITE.rglob("*")
        if path.is_file()
        and path.suffix != ".pyc"
        and path.name != "__init__.py"
        and "migrations" not in path.parts
    }
    assert {name for name in there if not name.startswith("db.sqlite3")} == set(shown) | GENERATED
    (added,) = [
        text
        for block in blocks(PAGE)
        if (named := titled(block)) is not None
        for name, text in [named]
        if name == SETTINGS
    ]
    assert added[added.index("RTM = ") :] in (SITE / "support/settings.py").read_text()


class Reader(SupportChat):
    """Somebody who does what the page says, in a folder of his own."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.folder = directory / "project"
        self.folder.mkdir()
        del self.environment["DJANGO_SETTINGS_MODULE"]
        self.environment["DJANGO_SUPERUSER_PASSWORD"] = PASSWORD

    def follow(self) -> None:
        """Everything but the programs that run on."""
        for block in blocks(PAGE):
            named = titled(block)
            if block.info == "sh":
                for line in block.code.splitlines():
                    self._run(line)
            elif named is not None and named[0] == SETTINGS:
                with (self.folder / "support/settings.py").open("a") as settings:
                    settings.write(named[1])
            elif named is not None and "/" in named[0]:
                path = self.folder / named[0]
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(named[1])

    def _run(self, line: str) -> None:
        words = shlex.split(line)
        if words[0] in ("python3", ".", "pip") or words[-1] in (*RUNNING, "rtm_check"):
            return  # the environment is this one; and what is to run on does so later
        if words[0] == "django-admin":
            words = ["python", "-m", "django", *words[1:]]
        assert words[0] == "python"
        if words[-1] == "createsuperuser":
            words += ["--noinput", "--username", AGENT, "--email", "ann@example.com"]
        self.done(*words[1:])

    def done(self, *arguments: str) -> str:
        """Run Python to a good end; what it said."""
        ended = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.folder,
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert ended.returncode == 0, f"{arguments}: {ended.stdout}{ended.stderr}"
        return ended.stdout + ended.stderr


@pytest.mark.slow
@pytest.mark.timeout(480)  # a dozen programs start, one after another
def test_who_follows_the_page_has_a_support_chat(tmp_path: Path) -> None:
    reader = Reader(tmp_path)
    reader.follow()
    assert "OK" in reader.done("manage.py", "test")
    with reader.serve(), reader.listen(), reader.site():
        assert "ok    listener: support-desk is online" in reader.done("manage.py", "rtm_check")
        customer, agent = Person(reader), Person(reader)
        page = customer.open("/")
        with customer.connect(page, "00000001") as rtm, rtm.events(rtmsync.ChannelMessage) as told:
            rtm.channel(page["channel"]).join()
            rtm.send_peer(page["listener"], "My order is late.", offline=True)
            assert next_text(told) == ("customer", "My order is late.")
            agent.get("/login/")
            agent.post("/login/", username=AGENT, password=PASSWORD)
            agent.post(agent.open(f"/desk/{page['channel']}/")["reply"], text="It is on its way.")
            assert next_text(told) == (AGENT, "It is on its way.")


@pytest.mark.slow
@pytest.mark.interop
@pytest.mark.timeout(300)
def test_its_fixture_for_pytest_django_works(tmp_path: Path) -> None:
    pytest.importorskip("pytest_django")
    named = dict(found for block in blocks(PAGE) if (found := titled(block)) is not None)
    for name in ("conftest.py", "test_chat.py"):
        (tmp_path / name).write_text(named[name])
    chat = SupportChat(tmp_path)
    path = os.pathsep.join((chat.environment["PYTHONPATH"], str(SITE)))
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--rootdir", str(tmp_path), str(tmp_path)],
        cwd=tmp_path,
        env={**os.environ, **chat.environment, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "1 passed" in ended.stdout, ended.stdout + ended.stderr
