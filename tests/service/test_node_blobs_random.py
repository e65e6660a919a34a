"""Uploads and downloads of several people at random, with cuts, a store that is late, and sockets that stall."""

import os
import random

import pytest

from rtmcore.limits import MEDIA_WINDOW_BYTES, READ_CHUNK
from tests.service.files import MEDIA, Files, HeldStore, Place

ROUNDS = 300
SEEDS = [int(os.environ["RTM_SEED"])] if "RTM_SEED" in os.environ else list(range(6))


class LateStore(HeldStore):
    """Answers come now or later."""

    chance = random.Random(0)

    def next_output(self):
        return None if not self.held and self.chance.random() < 0.5 else super().next_output()


class Person:
    """Somebody who uploads one file after the other, and downloads what anybody has uploaded."""

    def __init__(self, place: Place, name: str, chance: random.Random, done: dict[str, bytes]) -> None:
        self.place, self.name, self.chance, self.done = place, name, chance, done
        self.path = ""
        self.data = b""
        self.one: Files | None = None
        self.doing = ""
        self.wanted = b""

    def connect(self) -> Files:
        if self.one is None or self.one.ended or self.one.http.closed:
            self.one = self.place.files(self.name)
        return self.one

    def cut(self) -> None:
        if self.one is not None:
            self.place.world.wires.pop(self.one.number, None)
            self.place.node.connection_lost(self.one.number, self.place.world.now)
            self.one, self.doing = None, ""

    def step(self) -> None:
        if self.one is not None and (self.one.ended or self.one.http.closed) and self.doing != "up":
            self.one, self.doing = None, ""
        if not self.doing:
            self.begin()
        elif self.doing == "up":
            self.go_up()
        else:
            self.come_down()

    def begin(self) -> None:
        if self.done and self.chance.random() < 0.4:
            path, self.wanted = self.chance.choice(list(self.done.items()))
            one = self.connect()
            one.room = self.chance.choice((0, 1000, 1 << 40))
            one.download(path)
            self.doing = "down"
            return
        if not self.path:
            self.data = self.chance.randbytes(self.chance.choice((1, 1000, READ_CHUNK, 300_000, 900_000)))
            status, document = self.connect().do("POST", MEDIA, {"size": len(self.data), "kind": "file"})
            assert status == 201
            self.path = f"{MEDIA}/{document['id']}"
        one = self.connect()
        status, _ = one.do("HEAD", self.path)
        if status == 200:
            self.finish()
            return
        assert status == 204
        self.offset = int(one.fields["upload-offset"])
        length = len(self.data) - self.offset
        one.begin(
            self.path, self.offset, self.chance.randint(0, length) if self.chance.random() < 0.3 else length
        )
        self.doing = "up"

    def go_up(self) -> None:
        one = self.one
        assert one is not None
        if one.http.unsent:
            piece = min(one.http.unsent, self.chance.choice((1, 5000, 200_000)))
            rest = one.push(self.data[self.offset : self.offset + piece])
            self.offset += piece - len(rest)
        found = one.final()
        if found is not None:
            self.doing = ""
            assert found[0] in (201, 204), found
            if found[0] == 201:
                self.finish()

    def finish(self) -> None:
        self.done[self.path] = self.data
        self.path = ""

    def come_down(self) -> None:
        one = self.one
        assert one is not None
        one.read_on(self.chance.choice((1000, 100_000, 1 << 40)))
        if one.whole:
            assert bytes(one.received) == self.wanted
            one.read_on()
            self.doing = ""
        else:
            assert one.status in (200, None)
            connection = self.place.node._connections.get(one.number)
            assert connection is None or connection.measure() <= MEDIA_WINDOW_BYTES + 2000


@pytest.mark.parametrize("seed", SEEDS)
def test_files_at_random(seed, monkeypatch):
    print(f"RTM_SEED={seed}")
    chance = random.Random(seed)
    monkeypatch.setattr("tests.service.files.HeldStore", LateStore)
    place = Place()
    assert isinstance(place.store, LateStore)
    place.store.chance = chance
    place.store.held = False
    done: dict[str, bytes] = {}
    people = [Person(place, name, chance, done) for name in ("alice", "bob", "carol")]
    settle = place.world.settle

    def settle_all() -> None:
        """Answers that come late come in the end."""
        for _ in range(12):
            settle()

    monkeypatch.setattr(place.world, "settle", settle_all)
    for _ in range(ROUNDS):
        one = chance.choice(people)
        if chance.random() < 0.1:
            one.cut()
        else:
            one.step()
        assert place.node.stats()["transfers"] <= len(people)
    assert done
    for one in people:
        one.cut()
    assert place.node.stats()["transfers"] == 0
    assert not place.node._blobs._jobs.all()
    assert not place.node._blobs._uploads._open
    assert place.node.media_connections == set()
    reader = place.files("dave")
    for path, data in done.items():
        reader.download(path)
        while not reader.whole:
            settle_all()
        assert bytes(reader.received) == data
    assert not place.node._blobs._jobs._asked
