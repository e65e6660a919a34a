"""Messages of senders who have no session, on the memory engine."""

import pytest

from rtmcore.codes import MessageType, SendPeerMessageError
from rtmcore.limits import IDEMPOTENCY_SECONDS
from rtmcore.service.commands.channels import CountMembersOf, Counts
from rtmcore.service.commands.messages import Accepted, Logged, PeerOutcome, PublishAs, SendAs
from rtmcore.service.commands.names import RTM, Name
from rtmcore.service.commands.results import Refusal, Trouble
from rtmcore.service.commands.table import Answer
from rtmcore.wire.packets import Ack, ChannelEntry, InboxEntry, PeerSent
from tests.service.wires import APP, World

TEXT = int(MessageType.TEXT)
BOT = Name(APP, RTM, "bot")


class Asking:
    """A node of the same engine that publishes."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.port = world.engine.port("publisher")
        self.number = 0

    def ask(self, command: object) -> list[object]:
        self.port.submit(command, self.world.now, self.world.wall)
        return self.answers()

    def answers(self) -> list[object]:
        self.world.settle()
        found = []
        while (output := self.port.next_output()) is not None:
            assert isinstance(output, Answer)
            found.append(output.value)
        return found

    def send(self, to: str = "alice", key: str = "k", **changes: object) -> list[object]:
        self.number += 1
        settings = {"offline": False, "acknowledged": True, "wait": 10.0, **changes}
        return self.ask(SendAs(self.number, BOT, key, to, TEXT, b"hi", **settings))

    def publish(self, key: str = "k", channel: str = "room") -> list[object]:
        self.number += 1
        return self.ask(PublishAs(self.number, BOT, key, channel, TEXT, b"hi"))


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def asking(world: World) -> Asking:
    return Asking(world)


def test_an_absent_peer_is_told_of_and_an_offline_message_waits_for_him(world, asking):
    assert asking.send() == [PeerOutcome(SendPeerMessageError.PEER_UNREACHABLE)]
    [cached] = asking.send(key="other", offline=True)
    assert cached.code == SendPeerMessageError.CACHED_BY_SERVER
    alice = world.wire()
    alice.hello("alice")
    entry = alice.expect(InboxEntry)
    assert (entry.user, entry.body, entry.offline) == ("bot", b"hi", True)


def test_the_answer_waits_for_the_acknowledgement_where_wanted(world, asking):
    alice = world.login("alice")
    assert asking.send() == []
    entry = alice.expect(InboxEntry)
    alice.say(Ack(entry.id))
    assert asking.answers() == [PeerOutcome(SendPeerMessageError.OK, entry.id)]
    assert asking.send(key="other", acknowledged=False) == [Accepted()]
    assert alice.expect(InboxEntry).body == b"hi"
    assert asking.send(key="third") == []
    world.pass_time(10.5)
    [late] = asking.answers()
    assert isinstance(late, Refusal)
    assert late.code is Trouble.TIMED_OUT


def test_a_repeat_gets_the_first_answer_and_sends_nothing(world, asking):
    alice = world.login("alice")
    assert asking.send() == asking.send() == []
    entry = alice.expect(InboxEntry)
    alice.say(Ack(entry.id))
    delivered = PeerOutcome(SendPeerMessageError.OK, entry.id)
    assert asking.answers() == [delivered, delivered]
    assert asking.send() == [delivered]
    assert alice.all_of(InboxEntry) == [entry]
    world.pass_time(IDEMPOTENCY_SECONDS)
    assert asking.send(acknowledged=False) == [Accepted()], "a key is free again after its time"


def test_a_user_with_a_session_of_that_name_is_not_answered(world, asking):
    bot = world.login("bot")
    alice = world.login("alice")
    asking.send()
    alice.say(Ack(alice.expect(InboxEntry).id))
    assert len(asking.answers()) == 1
    assert bot.all_of(PeerSent) == []


def test_members_get_what_a_stranger_publishes_once(world, asking):
    alice = world.login("alice")
    alice.join("room")
    first = asking.publish()
    assert isinstance(first[0], Logged)
    assert asking.publish() == first
    entry = alice.expect(ChannelEntry)
    assert (entry.user, entry.body) == ("bot", b"hi")
    second = asking.publish(key="other")[0]
    assert second.prev == first[0].id
    assert alice.expect(ChannelEntry).prev == entry.id


def test_a_channel_without_anybody_takes_a_message_too(world, asking):
    assert isinstance(asking.publish(channel="empty")[0], Logged)


def test_members_are_counted_without_a_session(world, asking):
    world.login("alice").join("room")
    counts = asking.ask(CountMembersOf(1, APP, ("room", "none")))
    assert counts == [Counts((("room", 1), ("none", 0)))]
