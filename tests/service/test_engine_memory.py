"""The memory engine, with and without a journal."""

import os

import pytest

from rtmcore.limits import JOURNAL_RETRY
from rtmcore.service.commands.names import Name, Place
from rtmcore.service.commands.results import Trouble
from rtmcore.service.commands.sessions import Claim
from rtmcore.service.commands.table import Answer
from rtmcore.service.engine import EnginePort
from rtmcore.service.memory import Caps, MemoryEngine
from rtmcore.service.memory.journal import Batch, Image, Journal, StoredEntry
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
from tests.service.engine_harness import APP, START, WALL, Harness, MakeHarness
from tests.service.engine_history import USERS, History

__all__ = ["harness", "office"]


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
        self.holding = self.failing = self.lying = False
        self.batch: Batch | None = None
        self.engine = MemoryEngine(f"epoch-{epoch}", caps=caps, image=self.image, now=now, wall=wall)
        self.settle(now)

    def port(self, node: str) -> EnginePort:
        return self.engine.port(node)

    def settle(self, now: float) -> None:
        self._commit(now)
        while (question := self.engine.next_question()) is not None:
            self.engine.answered(question, None if self.failing else self.image.history.find(question))

    def _commit(self, now: float) -> None:
        while self.batch is not None or (batch := self.engine.next_batch(now)) is not None:
            if self.batch is None:
                self.batch = batch
            if self.holding:
                return
            batch, self.batch = self.batch, None
            if self.failing:
                if self.lying:
                    self.image.apply(batch)
                self.engine.commit_failed(batch.number, now)
            else:
                self.image.apply(batch)
                self.images.append(self.image.copy())
                self.engine.committed(batch.number, now)

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
def make(request: pytest.FixtureRequest) -> MakeHarness:
    return lambda **caps: Harness(request.param(Caps(**caps)))


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


@pytest.mark.parametrize("make", [Journaled], indirect=True)
class TestCommits(conformance_journal.Commits):
    pass


@pytest.mark.parametrize("make", [Journaled], indirect=True)
class TestRestarts(conformance_journal.Restarts):
    pass


@pytest.mark.parametrize("make", [Journaled], indirect=True)
class TestBansOnDisk(conformance_bans.BansOnDisk):
    pass


@pytest.mark.parametrize("make", [Journaled], indirect=True)
class TestEventFeedsOnDisk(conformance_events.FeedsOnDisk):
    pass


@pytest.mark.parametrize("make", [Journaled], indirect=True)
class TestPuttingOutWithLateDisk(conformance_events.PuttingOutWithLateDisk):
    pass


@pytest.mark.parametrize("make", [Journaled], indirect=True)
class TestDataOnDisk(conformance_data.DataOnDisk):
    pass


@pytest.mark.parametrize("make", [Journaled], indirect=True)
class TestRoomsOnDisk(conformance_rooms.RoomsOnDisk):
    pass


@pytest.mark.parametrize("make", [Journaled], indirect=True)
class TestUserAttributesOnDisk(conformance_attributes.UserAttributesOnDisk):
    pass


@pytest.mark.parametrize("make", [Journaled], indirect=True)
class TestChannelAttributesOnDisk(conformance_channel_attributes.ChannelAttributesOnDisk):
    pass


@pytest.mark.parametrize("make", [Journaled], indirect=True)
class TestStoredOnDisk(conformance_stored.StoredOnDisk):
    pass


@pytest.mark.parametrize("make", [Journaled], indirect=True)
class TestHistoryOnDisk(conformance_history.HistoryOnDisk):
    pass


@pytest.mark.parametrize("make", [Journaled], indirect=True)
class TestPresenceOnDisk(conformance_presence.PresenceOnDisk):
    pass


SEEDS = [int(os.environ["RTM_SEED"])] if "RTM_SEED" in os.environ else list(range(40))


def test_nothing_is_numbered_before_the_first_reservation_is_committed() -> None:
    engine = MemoryEngine("epoch", image=Image(reserved=WALL), now=START, wall=WALL)
    port = engine.port("n1")
    claim = Claim(
        Name(APP, "rtm", "alice"), Place("n1", 1), "instance", 1, True, None, None, "s", 30, None, 0, True
    )
    port.submit(claim, START, WALL)
    refused = port.next_output()
    assert isinstance(refused, Answer)
    assert refused.value.code is Trouble.UNAVAILABLE
    batch = engine.next_batch(START)
    assert batch is not None
    assert batch.reserved > WALL
    with pytest.raises(ValueError, match="not the one"):
        engine.committed(batch.number + 1, 0.0)
    engine.committed(batch.number, 0.0)
    port.submit(claim, START, WALL)
    answer = port.next_output()
    assert isinstance(answer, Answer)
    assert answer.value.fence == WALL + 1


def test_a_commit_that_failed_and_is_there_all_the_same_is_undone() -> None:
    system = Journaled(Caps())
    harness = Harness(system)
    (alice,) = harness.online("alice")
    harness.settle()
    system.failing = system.lying = True
    message = alice.send("bob", b"refused", offline=True)
    assert harness.answer(message).code is Trouble.UNAVAILABLE
    assert [entry.body for entry in system.image.entries.values()] == [b"refused"]
    system.failing = False
    harness.advance(JOURNAL_RETRY + 0.1)
    assert system.image.entries == {}


def test_an_entry_that_is_stored_anew_is_not_removed_with_the_same_batch() -> None:
    journal = Journal(enabled=True)
    entry = StoredEntry(7, Name(APP, "rtm", "bob"), "alice", "iid", 1, 1, b"body", True, False)
    journal.store(entry)
    now = START
    for _ in range(2):
        batch = journal.next_batch(now)
        assert batch is not None
        journal.failed(batch.number, now)
        journal.store(entry)
        batch = journal.next_batch(now)
        assert batch is not None
        assert (batch.stored, batch.removed) == ((entry,), ())
        journal.failed(batch.number, now)
        now += JOURNAL_RETRY
        batch = journal.next_batch(now)
        assert batch is not None
        assert (batch.stored, batch.removed) == ((), (7,))
        journal.store(entry)
        journal.failed(batch.number, now)
    journal.remove(entry.id)
    batch = journal.next_batch(now + JOURNAL_RETRY)
    assert batch is not None
    assert (batch.stored, batch.removed) == ((), (7,)), "a failed commit may be there after a crash"


def test_an_engine_is_not_closed_while_it_commits() -> None:
    engine = MemoryEngine("epoch", image=Image(), now=START, wall=WALL)
    assert engine.next_batch(START) is not None
    assert engine.next_batch(START) is None, "one at a time"
    with pytest.raises(ValueError, match="not reported on"):
        engine.last_batch()


class TestHistories:
    @pytest.mark.parametrize("seed", SEEDS)
    def test_promises_hold_in_any_history(self, make: MakeHarness, seed: int) -> None:
        print(f"RTM_SEED={seed}")
        harness = make()
        History(harness, seed, disk=isinstance(harness.system, Journaled)).run(400)

    @pytest.mark.parametrize("seed", SEEDS[:10])
    def test_every_committed_prefix_of_the_journal_can_be_continued(self, seed: int) -> None:
        print(f"RTM_SEED={seed}")
        system = Journaled(Caps())
        harness = Harness(system)
        History(harness, seed, disk=True).run(200)
        for image in system.images:
            again = Harness(Journaled(Caps(), image.copy(), harness.now, harness.wall))
            for user in USERS:
                client = again.client(user, "a-new-instance-1")
                assert client.log_in().fence > image.reserved
                entries = sorted(image.entries.values(), key=lambda entry: entry.id)
                due = [entry.body for entry in entries if entry.to.name == user]
                assert client.inbox() == due
