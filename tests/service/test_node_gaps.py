"""Announcements of the engine that are lost, and questions of clients: everything still comes, once and in order."""

import attrs
import pytest

from rtmcore.codes import CloseCode, ConnectionChangeReason, LoginError
from rtmcore.limits import HELD_ENTRIES, REPLAY_MAX
from rtmcore.service.commands.channels import ChannelNotice, JoinChannel, MemberNotice, ReadChannel
from rtmcore.service.commands.inboxes import InboxNotice, ReadInbox
from rtmcore.service.commands.messages import PublishMessage
from rtmcore.service.commands.results import Refusal, Trouble
from rtmcore.service.commands.sessions import Claim, Ended, Ending
from rtmcore.service.commands.table import Output
from rtmcore.service.config import NodeConfig
from rtmcore.wire.packets import (
    Ack,
    ChannelEntry,
    ChannelPosition,
    Failed,
    InboxEntry,
    Join,
    Joined,
    Kicked,
    Leave,
    PeerSent,
    Publish,
    Published,
    Ready,
    Refused,
    Restored,
    Roster,
    Sync,
    Top,
    Welcome,
)

UNLIMITED = NodeConfig(node="n1", rate_limits=False)


class ForgetfulPort:
    """A port that loses what it is told to lose, and answers what it is told to answer."""

    def __init__(self, inner) -> None:
        self._inner = inner
        self.loses = lambda output: False
        self.lost: list[Output] = []
        self.answers = {}

    def next_output(self):
        while (output := self._inner.next_output()) is not None:
            if not self.loses(output):
                return output
            self.lost.append(output)
        return None

    def submit(self, command, now, wall) -> None:
        value = self.answers.get(type(command))
        if value is not None:
            self._inner.answer(command, value)
        else:
            self._inner.submit(command, now, wall)

    def __getattr__(self, name):
        return getattr(self._inner, name)


@pytest.fixture
def lossy(make_world):
    ports = []

    def around(port):
        ports.append(ForgetfulPort(port))
        return ports[-1]

    world = make_world(config=UNLIMITED, around=around)
    world.port_under_test = ports[0]
    return world


def entries(wire) -> list[int]:
    return [packet.id for packet in wire.all_of(ChannelEntry)]


@pytest.mark.parametrize("which", ["one", "several", "the last before a pause"])
def test_lost_announcements_of_a_channel_are_made_up_by_reading(lossy, which):
    alice, bob, carol = lossy.login("alice"), lossy.login("bob"), lossy.login("carol")
    for wire in (alice, bob, carol):
        wire.join("room")
    lossy.pass_time(0.5)
    bodies = []
    for number in range(12):
        drop = number == 4 or (which == "several" and number in (5, 6, 8))
        lossy.port_under_test.loses = lambda output, drop=drop: drop and isinstance(output, ChannelNotice)
        bodies.append(alice.published("room", str(number).encode()).id)
        if which == "the last before a pause" and number == 4:
            lossy.pass_time(2)
    lossy.port_under_test.loses = lambda output: False
    lossy.pass_time(1)
    assert lossy.port_under_test.lost
    for wire in (bob, carol):
        assert entries(wire) == bodies
        assert wire.closed is None
    assert not alice.all_of(ChannelEntry)


def test_a_member_that_reads_catches_up_with_a_busy_channel(lossy):
    alice, bob = lossy.login("alice"), lossy.login("bob")
    alice.join("room")
    bob.join("room")
    lossy.pass_time(0.5)
    lossy.port_under_test.loses = lambda output: (
        isinstance(output, ChannelNotice) and output.entry.body == b"lost"
    )
    alice.publish("room", b"lost")
    for number in range(300):
        alice.publish("room", str(number).encode())
        lossy.pass_time(0.004)
    lossy.pass_time(1)
    seen = entries(bob)
    published = [packet.id for packet in alice.all_of(Published)]
    assert seen == published


def test_more_than_a_channel_holds_while_one_reads(lossy):
    """What cannot be made up is not hidden: the chain breaks, and a question is answered with the number."""
    alice, bob = lossy.login("alice"), lossy.login("bob")
    alice.join("room")
    start = bob.join("room").id
    lossy.pass_time(0.5)
    lossy.port_under_test.loses = lambda output: isinstance(output, ChannelNotice)
    for _ in range(REPLAY_MAX + 10):
        alice.publish("room", b"lost")
    lossy.pass_time(0.5)
    lossy.port_under_test.loses = lambda output: False
    alice.publish("room", b"seen")
    lossy.pass_time(0.5)
    got = bob.all_of(ChannelEntry)
    assert len(got) == REPLAY_MAX
    assert got[0].prev != start
    bob.say(Sync(start, "room"))
    lossy.pass_time(0.5)
    top = bob.all_of(Top)[-1]
    assert (top.ch, top.lost) == ("room", 11)


def test_a_lost_announcement_of_the_inbox_is_made_up_by_reading(lossy):
    alice, bob = lossy.login("alice"), lossy.login("bob")
    for number in range(6):
        drop = number in (2, 3)
        lossy.port_under_test.loses = lambda output, drop=drop: drop and isinstance(output, InboxNotice)
        alice.send_peer("bob", str(number).encode())
        lossy.pass_time(0.3)
    assert [packet.body for packet in bob.all_of(InboxEntry)] == [b"0", b"1", b"2", b"3", b"4", b"5"]


def test_a_question_is_answered_with_the_entries_and_the_top(world):
    alice, bob = world.login("alice"), world.login("bob")
    alice.join("room")
    start = bob.join("room").id
    sent = [alice.published("room", str(number).encode()).id for number in range(5)]
    assert [bob.expect(ChannelEntry).id for _ in sent] == sent
    bob.say(Sync(sent[1], "room"))
    assert [bob.expect(ChannelEntry).id for _ in range(3)] == sent[2:]
    assert bob.expect(Top) == Top(sent[-1], 0, "room")
    bob.say(Sync(start, "room"))
    assert [bob.expect(ChannelEntry).id for _ in sent] == sent
    assert bob.expect(Top) == Top(sent[-1], 0, "room")
    live = alice.published("room", b"live")
    assert bob.expect(ChannelEntry).prev == live.prev


def test_questions_upon_questions_end_at_the_top_each_log_once(make_world):
    world = make_world(config=UNLIMITED)
    alice, bob = world.login("alice"), world.login("bob")
    alice.join("room")
    start = bob.join("room").id
    for _ in range(3):
        alice.published("room", b"x")
    for _ in range(50):
        bob.say(Sync(start, "room"), Sync(0))
        alice.publish("room", b"y")
    world.pass_time(2)
    before = len(bob.all_of(ChannelEntry))
    alice.published("room", b"z")
    world.pass_time(1)
    assert len(bob.all_of(ChannelEntry)) == before + 1
    assert bob.all_of(Top)


def test_a_question_about_the_inbox_sends_again_what_is_not_acknowledged(world):
    alice, bob = world.login("alice"), world.login("bob")
    for number in range(4):
        alice.send_peer("bob", str(number).encode())
    got = [bob.expect(InboxEntry) for _ in range(4)]
    bob.say(Ack(got[1].id), Sync(got[0].id))
    assert [bob.expect(InboxEntry).body for _ in range(2)] == [b"2", b"3"]
    assert bob.expect(Top) == Top(got[-1].id, 0)
    alice.send_peer("bob", b"4")
    assert bob.expect(InboxEntry).prev == got[-1].id


def test_a_question_about_a_channel_that_one_is_not_in_ends_at_once(world):
    bob = world.login("bob")
    bob.say(Sync(17, "room"))
    assert bob.expect(Top) == Top(17, 0, "room")
    assert world.node.stats()["channels"] == 0
    bob.say(Sync(17, "*"))
    bob.expect_closed(CloseCode.MALFORMED)


def test_a_flood_of_questions_about_channels_is_bounded(world):
    bob = world.login("bob")
    for number in range(500):
        bob.say(Sync(17, f"room-{number}"))
    world.settle()
    assert world.node.stats()["channels"] <= 1
    world.pass_time(5)
    assert {packet.ch for packet in bob.all_of(Top)} == {None, *(f"room-{number}" for number in range(500))}


def test_a_channel_joined_between_hello_and_welcome_is_taken_up_by_a_question(world):
    alice, bob = world.login("alice"), world.login("bob")
    bob.join("room")
    joined = alice.join("room")
    missed = bob.published("room", b"missed")
    world.pass_time(0.5)
    back = alice.back(channels=[])
    back.expect(Welcome)
    back.say(Sync(joined.id, "room"))
    assert sorted(back.expect(Roster).users) == ["alice", "bob"]
    assert back.expect(ChannelEntry).id == missed.id
    assert back.expect(Top) == Top(missed.id, 0, "room")
    bob.published("room", b"live")
    assert back.expect(ChannelEntry).body == b"live"
    back.say(Leave(back.next_request(), "room"))
    world.pass_time(1)
    assert world.node.stats()["channels"] == 1


def test_a_lost_kick_is_noticed_at_the_next_request(lossy):
    first = lossy.login("alice", iid="first-instance--")
    lossy.port_under_test.loses = lambda output: isinstance(output, Ended)
    second = lossy.login("alice", iid="second-instance-")
    lossy.pass_time(1)
    assert first.closed is None
    first.send_peer("bob", b"x")
    first.expect_closed(CloseCode.RESYNC)
    assert not first.all_of(PeerSent)
    assert first.back().expect(Kicked)
    assert second.closed is None


@pytest.mark.parametrize(
    ("trouble", "code"),
    [(Trouble.FENCED, CloseCode.RESYNC), (Trouble.UNAVAILABLE, CloseCode.ENGINE_UNAVAILABLE)],
)
@pytest.mark.parametrize("command", [ReadInbox, ReadChannel])
def test_a_log_that_cannot_be_read_sends_the_client_away_for_now(lossy, trouble, code, command):
    alice, bob = lossy.login("alice"), lossy.login("bob")
    alice.join("room")
    bob.join("room")
    lossy.port_under_test.answers[command] = Refusal(trouble, "not now")
    alice.say(Sync(0, None if command is ReadInbox else "room"))
    alice.expect_closed(code)
    bob.published("room", b"x")
    assert bob.closed is None


@pytest.mark.parametrize(
    ("trouble", "answer"),
    [
        (Trouble.UNAVAILABLE, (1, "not now")),
        (Trouble.FULL, (1, "not now")),
        (Trouble.FORGOTTEN, (1, "not now")),
        (Trouble.TIMED_OUT, (2, "not now")),
    ],
)
def test_troubles_of_the_engine_become_codes_of_the_operation(lossy, trouble, answer):
    alice = lossy.login("alice")
    alice.join("room")
    lossy.port_under_test.answers[PublishMessage] = Refusal(trouble, "not now", 2.5)
    alice.publish("room", b"x")
    failed = alice.expect(Failed)
    assert (failed.code, failed.text) == answer
    assert failed.retry == 2500


def test_an_id_that_is_used_for_two_requests_fails_the_second(world):
    alice = world.login("alice")
    alice.say(Join(1, "room"))
    alice.expect(Joined)
    alice.say(Publish(1, "room", 2, b"x"))
    failed = alice.expect(Failed)
    assert (failed.i, failed.code) == (1, 1)
    alice.say(Leave(1, "room"))
    assert alice.expect(Failed).i == 1


def test_a_restored_channel_whose_engine_is_unavailable_is_not_given_up(lossy):
    alice = lossy.login("alice")
    alice.join("room")
    alice.cut()
    lossy.pass_time(0.5)
    lossy.port_under_test.answers[JoinChannel] = Refusal(Trouble.UNAVAILABLE, "not now")
    back = alice.back([ChannelPosition("room", 0, 0)])
    back.expect_closed(CloseCode.ENGINE_UNAVAILABLE)
    assert not back.all_of(Restored)
    lossy.port_under_test.answers.clear()
    again = alice.back([ChannelPosition("room", 0, 0)], attempt=3)
    assert again.expect(Restored) == Restored("room")
    again.expect(Ready)


def test_a_client_whose_members_change_faster_than_is_kept_has_to_come_back(make_world):
    world = make_world(config=UNLIMITED)
    if world.late is None:
        pytest.skip("the memory engine answers a join before anything changes")
    alice = world.login("alice")
    alice.join("room")
    bob = world.login("bob")
    bob.say(Join(1, "room"))
    world.settle()
    feed = world.node._feeds.find("a" * 32, "rtm", "room")
    for number in range(HELD_ENTRIES + 1):
        feed.change(MemberNotice("a" * 32, "room", f"guest-{number}", True, 2**52 + number, 3))
    bob.expect_closed(CloseCode.RESYNC)
    assert alice.closed is None


@pytest.mark.parametrize(
    ("trouble", "said", "code"),
    [
        (LoginError.REJECTED, (Refused, LoginError.REJECTED), CloseCode.BANNED),
        (LoginError.TOO_OFTEN, (Refused, LoginError.TOO_OFTEN), CloseCode.LOGIN_REFUSED),
        (Trouble.UNAUTHORIZED, (Refused, LoginError.INVALID_TOKEN), CloseCode.LOGIN_REFUSED),
        (Trouble.STALE_ATTEMPT, None, CloseCode.STALE_ATTEMPT),
        (Trouble.UNAVAILABLE, None, CloseCode.ENGINE_UNAVAILABLE),
        (Trouble.FULL, None, CloseCode.ENGINE_UNAVAILABLE),
    ],
)
def test_what_the_engine_says_to_a_login(lossy, trouble, said, code):
    lossy.port_under_test.answers[Claim] = Refusal(trouble, "because", 1.5)
    wire = lossy.wire()
    wire.hello("alice")
    closed = wire.expect_closed(code)
    if said is None:
        assert not wire.heard
    else:
        kind, number = said
        (packet,) = wire.all_of(kind)
        assert (packet.code, packet.text) == (number, "because")
    if code is CloseCode.ENGINE_UNAVAILABLE:
        assert closed.retry_after == 1.5
    assert not lossy.node._departures._orphans
    lossy.port_under_test.answers.clear()
    lossy.login("alice", attempt=2)


def test_a_banned_user_cannot_return(lossy):
    wire = lossy.login("alice")
    wire.cut()
    lossy.port_under_test.answers[Claim] = Refusal(LoginError.REJECTED, "banned")
    back = wire.back()
    assert back.expect(Kicked).reason == ConnectionChangeReason.BANNED_BY_SERVER
    back.expect_closed(CloseCode.BANNED)


@pytest.mark.parametrize(
    ("ending", "reason", "code"),
    [
        (Ending.BANNED, ConnectionChangeReason.BANNED_BY_SERVER, CloseCode.BANNED),
        (Ending.REMOTE_LOGIN, ConnectionChangeReason.REMOTE_LOGIN, CloseCode.REMOTE_LOGIN),
        (Ending.EXPIRED, None, CloseCode.RESYNC),
        (Ending.REPLACED, None, CloseCode.REPLACED),
    ],
)
def test_how_a_session_ends(lossy, ending, reason, code):
    alice, bob = lossy.login("alice"), lossy.login("bob")
    alice.join("room")
    bob.join("room")
    lossy.pass_time(0.3)
    session = lossy.node._connections[alice.number].session
    lossy.port_under_test.outputs.append(Ended(session, ending))
    alice.expect_closed(code)
    assert [packet.reason for packet in alice.all_of(Kicked)] == ([] if reason is None else [reason])
    bob.published("room", b"x")
    assert not alice.all_of(ChannelEntry)
    stale = Ended(attrs.evolve(session, fence=1), Ending.REMOTE_LOGIN)
    lossy.port_under_test.outputs.append(stale)
    lossy.pass_time(0.5)
    assert bob.closed is None


def test_an_end_for_a_session_that_is_no_longer_here_is_ignored(lossy):
    alice = lossy.login("alice")
    session = lossy.node._connections[alice.number].session
    stranger = attrs.evolve(session, place=session.place._replace(connection=999))
    lossy.port_under_test.outputs.append(Ended(stranger, Ending.REPLACED))
    lossy.port_under_test.outputs.append(Ended(attrs.evolve(session, fence=1), Ending.BANNED))
    lossy.pass_time(0.5)
    assert alice.closed is None
    alice.send_peer("nobody", b"x")
    assert alice.expect(PeerSent)
