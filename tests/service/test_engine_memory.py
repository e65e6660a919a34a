"""The memory engine, with and without a journal."""

from collections.abc import Iterator

import pytest

from rtmcore.service.engine import EnginePort
from rtmcore.service.memory import Caps, MemoryEngine
from rtmcore.service.memory.journal import Batch, Image
from tests.service import engine_conformance as conformance
from tests.service import engine_conformance_channels as conformance_channels
from tests.service import engine_conformance_journal as conformance_journal
from tests.service.engine_conformance import harness
from tests.service.engine_harness import START, WALL, Harness, MakeHarness

__all__ = ["harness"]


class Memory:
    """An engine that keeps nothing."""

    def __init__(self, caps: Caps) -> None:
        self.engine = MemoryEngine("epoch-1", caps=caps)

    def port(self, node: str) -> EnginePort:
        return self.engine.port(node)

    def settle(self, now: float) -> None:
        pass

    def close(self) -> None:
        pass


class Journaled:
    """An engine whose journal is an image in memory. Remembers all images that were ever committed."""

    def __init__(
        self, caps: Caps, image: Image | None = None, now: float = START, wall: int = WALL, epoch: int = 1
    ):
        self.caps = caps
        self.image = image or Image()
        self.images = [self.image.copy()]
        self.epoch = epoch
        self.holding = self.failing = False
        self.batch: Batch | None = None
        self.engine = MemoryEngine(f"epoch-{epoch}", caps=caps, image=self.image, now=now, wall=wall)
        self.settle(now)

    def port(self, node: str) -> EnginePort:
        return self.engine.port(node)

    def settle(self, now: float) -> None:
        while self.batch is not None or (batch := self.engine.next_batch(now)) is not None:
            if self.batch is None:
                self.batch = batch
            if self.holding:
                return
            batch, self.batch = self.batch, None
            if self.failing:
                self.engine.commit_failed(batch.number, now)
            else:
                self.image.apply(batch)
                self.images.append(self.image.copy())
                self.engine.committed(batch.number)

    def hold(self) -> None:
        self.holding = True

    def let_go(self) -> None:
        self.holding = False

    def fail(self, failing: bool) -> None:
        self.failing = failing

    def restart(self, now: float, wall: int, *, clean: bool = False) -> "Journaled":
        if clean:
            self.settle(now)
            self.image.apply(self.engine.last_batch())
        return Journaled(self.caps, self.image.copy(), now, wall, self.epoch + 1)

    def close(self) -> None:
        pass


@pytest.fixture(params=[Memory, Journaled])
def make(request: pytest.FixtureRequest) -> Iterator[MakeHarness]:
    yield lambda **caps: Harness(request.param(Caps(**caps)))


class TestSessions(conformance.Sessions):
    pass


class TestSilence(conformance.Silence):
    pass


class TestPeerMessages(conformance.PeerMessages):
    pass


class TestOutcomes(conformance.Outcomes):
    pass


class TestOfflineStore(conformance.OfflineStore):
    pass


class TestRepeats(conformance.Repeats):
    pass


class TestChannels(conformance_channels.Channels):
    pass


class TestChannelRepeats(conformance_channels.ChannelRepeats):
    pass


class TestReplay(conformance_channels.Replay):
    pass


@pytest.mark.parametrize("make", [Journaled], indirect=True)
class TestCommits(conformance_journal.Commits):
    pass


@pytest.mark.parametrize("make", [Journaled], indirect=True)
class TestRestarts(conformance_journal.Restarts):
    pass
