"""The embedded engine: the memory engine with its journal in SQLite, a thread and real files."""

import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from rtmcore.service.commands.history import Kept
from rtmcore.service.engine import EnginePort
from rtmcore.service.memory import Caps
from rtmcore.service.memory.journal import Batch, Image
from rtmcore.service.memory.kept import HistoryQuestion
from rtmsync.server.engines.embedded import JOURNAL_FILE, EmbeddedEngine
from rtmsync.server.engines.sqlite_store import SqliteStore
from tests.service import engine_conformance as conformance
from tests.service import engine_conformance_attributes as conformance_attributes
from tests.service import engine_conformance_bans as conformance_bans
from tests.service import engine_conformance_channel_attributes as conformance_channel_attributes
from tests.service import engine_conformance_channels as conformance_channels
from tests.service import engine_conformance_data as conformance_data
from tests.service import engine_conformance_events as conformance_events
from tests.service import engine_conformance_history as conformance_history
from tests.service import engine_conformance_journal as conformance_journal
from tests.service import engine_conformance_messages as conformance_messages
from tests.service import engine_conformance_presence as conformance_presence
from tests.service import engine_conformance_rooms as conformance_rooms
from tests.service import engine_conformance_stored as conformance_stored
from tests.service.engine_conformance import harness
from tests.service.engine_conformance_events import office
from tests.service.engine_harness import START, WALL, Harness, MakeHarness
from tests.service.engine_history import History

__all__ = ["harness", "office"]

PATIENCE = 20.0
SEEDS = [int(os.environ["RTM_SEED"])] if "RTM_SEED" in os.environ else list(range(100, 108))


class GatedStore:
    """An SQLite store whose commits can be held and made to fail."""

    def __init__(self, directory: Path) -> None:
        self.inner = SqliteStore(directory / JOURNAL_FILE)
        self.gate = threading.Event()
        self.gate.set()
        self.failing = False

    def open(self) -> Image:
        return self.inner.open()

    def commit(self, batch: Batch) -> None:
        if not self.gate.wait(PATIENCE):
            raise TimeoutError("nobody let this commit go")
        if self.failing:
            raise OSError("no space left on device")
        self.inner.commit(batch)

    def history(self) -> "GatedHistory":
        return GatedHistory(self)

    def close(self) -> None:
        self.inner.close()


class GatedHistory:
    """The same for what reads."""

    def __init__(self, store: GatedStore) -> None:
        self.store = store
        self.inner = store.inner.history()

    def read(self, question: HistoryQuestion) -> Kept:
        if self.store.failing:
            raise OSError("the disk is gone")
        return self.inner.read(question)

    def interrupt(self) -> None:
        self.inner.interrupt()

    def close(self) -> None:
        self.inner.close()


class Embedded:
    """An embedded engine in a directory of its own."""

    def __init__(
        self, directory: Path, caps: Caps, now: float = START, wall: int = WALL, epoch: int = 1
    ) -> None:
        self.directory = directory
        self.caps = caps
        self.epoch = epoch
        self.store = GatedStore(directory)
        self.ended = threading.Event()
        self.engine = EmbeddedEngine(
            directory, epoch=f"epoch-{epoch}", wake=self.ended.set, caps=caps, store=self.store
        )
        self.engine.start(now, wall)
        self.followers: list[Embedded] = []

    def port(self, node: str) -> EnginePort:
        return self.engine.port(node)

    def settle(self, now: float) -> None:
        self.engine.collect(now)
        while self.engine.reading or (self.engine.committing and self.store.gate.is_set()):
            assert self.ended.wait(PATIENCE), "a commit or a read did not end"
            self.ended.clear()
            self.engine.collect(now)

    def hold(self) -> None:
        self.store.gate.clear()

    def let_go(self) -> None:
        self.store.gate.set()

    def fail(self, failing: bool) -> None:
        self.store.failing = failing

    def restart(self, now: float, wall: int, *, clean: bool = False) -> "Embedded":
        directory = self.directory
        if clean:
            self.engine.close()
        else:
            # What is on the disk at this moment is all that a killed process would leave.
            directory = directory.with_name(f"{directory.name}-{self.epoch}")
            shutil.copytree(self.directory, directory)
        follower = Embedded(directory, self.caps, now, wall, self.epoch + 1)
        self.followers.append(follower)
        return follower

    def close(self) -> None:
        self.store.failing = False
        self.store.gate.set()
        self.engine.close()
        for follower in self.followers:
            follower.close()


@pytest.fixture
def make(tmp_path: Path) -> Iterator[MakeHarness]:
    made: list[Embedded] = []

    def make_one(**caps: int) -> Harness:
        made.append(Embedded(tmp_path / f"data-{len(made)}", Caps(**caps)))
        return Harness(made[-1])

    yield make_one
    for system in made:
        system.close()


class TestMemory(conformance.Memory):
    pass


class TestSessions(conformance.Sessions):
    pass


class TestBans(conformance_bans.Bans):
    pass


class TestEventFeeds(conformance_events.Feeds):
    pass


class TestPuttingOut(conformance_events.PuttingOut):
    pass


class TestSilence(conformance.Silence):
    pass


class TestPeerMessages(conformance_messages.PeerMessages):
    pass


class TestOutcomes(conformance_messages.Outcomes):
    pass


class TestOfflineStore(conformance_messages.OfflineStore):
    pass


class TestRepeats(conformance_messages.Repeats):
    pass


class TestChannels(conformance_channels.Channels):
    pass


class TestChannelRepeats(conformance_channels.ChannelRepeats):
    pass


class TestMisuse(conformance_channels.Misuse):
    pass


class TestReplay(conformance_channels.Replay):
    pass


class TestPresence(conformance_presence.Presence):
    pass


class TestPresenceQueries(conformance_presence.PresenceQueries):
    pass


class TestChannelAttributes(conformance_channel_attributes.ChannelAttributesOfAll):
    pass


class TestTimeToLive(conformance_stored.TimeToLive):
    pass


class TestStoredMessages(conformance_stored.StoredMessages):
    pass


class TestHistory(conformance_history.HistoryOfAll):
    pass


class TestMemberCounts(conformance_channels.MemberCounts):
    pass


class TestUserAttributes(conformance_attributes.UserAttributes):
    pass


class TestRooms(conformance_rooms.Rooms):
    pass


class TestParticipantStates(conformance_rooms.ParticipantStates):
    pass


class TestFromTheJoinOn(conformance_rooms.FromTheJoinOn):
    pass


class TestReplayInTotal(conformance_rooms.ReplayInTotal):
    pass


class TestMediaConnections(conformance_data.MediaConnections):
    pass


class TestDataFrames(conformance_data.DataFrames):
    pass


class TestCommits(conformance_journal.Commits):
    pass


class TestRestarts(conformance_journal.Restarts):
    pass


class TestBansOnDisk(conformance_bans.BansOnDisk):
    pass


class TestEventFeedsOnDisk(conformance_events.FeedsOnDisk):
    pass


class TestPuttingOutWithLateDisk(conformance_events.PuttingOutWithLateDisk):
    pass


class TestDataOnDisk(conformance_data.DataOnDisk):
    pass


class TestRoomsOnDisk(conformance_rooms.RoomsOnDisk):
    pass


class TestUserAttributesOnDisk(conformance_attributes.UserAttributesOnDisk):
    pass


class TestChannelAttributesOnDisk(conformance_channel_attributes.ChannelAttributesOnDisk):
    pass


class TestStoredOnDisk(conformance_stored.StoredOnDisk):
    pass


class TestHistoryOnDisk(conformance_history.HistoryOnDisk):
    pass


class TestPresenceOnDisk(conformance_presence.PresenceOnDisk):
    pass


class TestHistories:
    @pytest.mark.parametrize("seed", SEEDS)
    def test_promises_hold_in_any_history(self, make: MakeHarness, seed: int) -> None:
        print(f"RTM_SEED={seed}")
        History(make(), seed, disk=True).run(300)
