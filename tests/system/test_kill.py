"""A server that is killed under load keeps what it promised."""

import contextlib
import os
import random
import shutil
import sqlite3
import time
from collections import deque
from contextlib import closing
from pathlib import Path

import pytest

from rtmcore.limits import OFFLINE_MESSAGES
from rtmsync.server.engines.embedded import JOURNAL_FILE
from tests.system.processes import PATIENCE, ForkedServer, ServerProcess
from tests.system.traffic import Answers, Boards, Listener, Publisher, Receiver, Sender, Writer

SENDERS = 3
BUDGET = 60
"""Messages of a sender between two kills, since a sender may store 10,000 a day."""
AWAY_FOR = 2
"""Kills that a receiver who has come back lives through before he leaves."""


class Siege:
    """A server that is killed again and again, those who use it, and what they were promised.

    Args:
        server: The server.
        copy: Where its journal may be copied to.
        seed: Of every random choice.
    """

    def __init__(self, server: ServerProcess, copy: Path, seed: int) -> None:
        self.dice = random.Random(seed)
        self.server = server
        self.copy = copy
        self.answers = Answers()
        url = self.server.url
        self.senders = [
            Sender(url, f"sender-{number}", self.answers, random.Random(f"{seed}-{number}"))
            for number in range(SENDERS)
        ]
        self.writers = [Writer(url, f"writer-{number}", self.answers) for number in range(2)]
        self.publisher = Publisher(url, "publisher", self.answers)
        self.boards = Boards(self.writers)
        self.present = Receiver(url, "present")
        self.listener = Listener(url, "listener")
        self.away: deque[tuple[int, str]] = deque()
        self.back: deque[tuple[int, Receiver]] = deque()
        self.start_time = 0.5
        self.delivered = 0
        self.kills = 0

    @property
    def actors(self) -> list[Sender | Writer | Publisher]:
        return [*self.senders, *self.writers, self.publisher]

    def begin(self) -> None:
        self.present.client.login()
        self.listener.begin()
        for actor in self.actors:
            actor.begin()

    def load(self, number: int) -> None:
        """Give the senders somebody new to send to, besides those who are there all the time or never."""
        names = [f"away-{number}-{sender}" for sender in range(2)]
        self.away.extend((number, name) for name in names)
        for index, sender in enumerate(self.senders):
            sender.receivers = (*names, *names, "present", f"never-{index}")
            sender.budget = BUDGET

    def strike(self) -> None:
        """Kill the server under load: at any time, at an answer, or just after one."""
        moment = self.dice.choice(("any time", "an answer", "just after an answer"))
        self.answers.wait_for(self.dice.randint(1, 100), PATIENCE)
        if moment == "any time":
            time.sleep(self.dice.uniform(0.0, 0.1))
        else:
            self.answers.wait_for(1, PATIENCE)
            if moment == "just after an answer":
                time.sleep(0.001)
        self.server.kill()
        self.kills += 1
        self._check_file()

    def restart(self) -> None:
        """Start it again; now and then it is killed meanwhile."""
        if self.dice.random() < 0.1:
            self.server.spawn()
            time.sleep(self.dice.uniform(0.0, self.start_time))
            self.server.kill()
            self.kills += 1
            self._check_file()
        begun = time.monotonic()
        self.server.start()
        self.start_time = time.monotonic() - begun

    def _check_file(self) -> None:
        """Look at a copy: whoever opens the file itself mends it."""
        shutil.rmtree(self.copy, ignore_errors=True)
        shutil.copytree(self.server.directory, self.copy)
        with closing(sqlite3.connect(self.copy / JOURNAL_FILE)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]

    def check(self, number: int) -> None:
        """Compare with what was promised, while the load goes on."""
        reader = self.listener.client
        self.boards.check(reader)
        self.publisher.check_page()
        while self.away and self.away[0][0] < number:
            _, name = self.away.popleft()
            receiver = Receiver(self.server.url, name)
            self.back.append((number, receiver))
            receiver.client.login_future(timeout=PATIENCE)
        while self.back and self.back[0][0] <= number - AWAY_FOR:
            self._see_off(self.back.popleft()[1])

    def _see_off(self, receiver: Receiver) -> None:
        with contextlib.closing(receiver.client):
            self.delivered += receiver.check(self.senders, PATIENCE)

    def finish(self) -> dict[str, int]:
        """Let everything come to rest, and compare all of it."""
        for actor in self.actors:
            actor.stop()
        for call in self.publisher.calls:
            call.future.exception(PATIENCE)
        while self.away:
            receiver = Receiver(self.server.url, self.away.popleft()[1])
            receiver.client.login(timeout=PATIENCE)
            self.back.append((0, receiver))
        while self.back:
            self._see_off(self.back.popleft()[1])
        self.delivered += self.present.check(self.senders, PATIENCE)
        for index, sender in enumerate(self.senders):
            never = Receiver(self.server.url, f"never-{index}")
            with contextlib.closing(never.client):
                never.client.login(timeout=PATIENCE)
                self.delivered += never.check([sender], PATIENCE, OFFLINE_MESSAGES)
        self.boards.check(self.listener.client)
        self.listener.check()
        kept = self.publisher.check_all()
        self._check_history_of_peers()
        for actor in self.actors:
            assert not actor.failures, (actor.name, actor.failures[:5])
        return {
            "kills": self.kills,
            "answers": self.answers.count,
            "delivered": self.delivered,
            "in the history": kept,
            "unknown": sum(actor.unknown for actor in self.actors),
        }

    def _check_history_of_peers(self) -> None:
        for index, sender in enumerate(self.senders):
            name = f"never-{index}"
            promised = {call.number for call in sender.calls.get(name, []) if call.stored()}
            due = {number for number in promised if number % 4 == 0}
            found: list[int] = []
            while True:
                page = sender.client.history(
                    source=sender.name,
                    destination=name,
                    limit=100,
                    offset=len(found),
                    ascending=True,
                    timeout=PATIENCE,
                )
                found += [int(str(message.text).split()[1]) for message in page.messages]
                if not page.messages or len(found) >= page.count:
                    break
            assert found == sorted(set(found)), f"twice or out of order: {found}"
            assert due <= set(found), f"lost: {sorted(due - set(found))}"

    def close(self) -> None:
        for actor in self.actors:
            actor.stopping.set()
        clients = [actor.client for actor in self.actors]
        clients += [self.present.client, self.listener.client, *(each.client for _, each in self.back)]
        for client in clients:
            client.close(0)
        for actor in self.actors:
            if actor.ident is not None:
                actor.join()


def withstand(server: ServerProcess, copy: Path, kills: int) -> None:
    """Kill a server so often, and compare with what it promised."""
    seed = int(os.environ.get("RTM_KILL_SEED", random.randrange(2**32)))
    print(f"seed {seed}")
    siege = Siege(server, copy, seed)
    begun = time.monotonic()
    with contextlib.closing(siege), siege.server:
        siege.begin()
        for number in range(kills):
            siege.load(number)
            siege.strike()
            siege.restart()
            siege.check(number)
        print(siege.finish(), f"in {time.monotonic() - begun:.1f} s")


def test_what_was_promised_survives_some_kills_under_load(tmp_path: Path) -> None:
    withstand(ServerProcess(tmp_path / "data"), tmp_path / "copy", 5)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_what_was_promised_survives_a_hundred_kills_under_load(tmp_path: Path) -> None:
    withstand(ForkedServer(tmp_path / "data"), tmp_path / "copy", 100)
