"""Returns: what is restored, what is replayed from where, and what is answered again."""

import pytest

from rtmcore.codes import CloseCode, JoinChannelError, SendPeerMessageError
from rtmcore.limits import OFFLINE_AFTER, REPLAY_MAX, REPLAY_WINDOW, RESTORE_TIMEOUT
from rtmcore.service.commands.channels import JoinChannel
from rtmcore.service.config import NodeConfig
from rtmcore.wire.codec import JSON, MSGPACK
from rtmcore.wire.packets import (
    Ack,
    ChannelEntry,
    ChannelPosition,
    Failed,
    InboxEntry,
    Join,
    Joined,
    Kicked,
    MemberChanged,
    PeerSent,
    Publish,
    Published,
    Ready,
    Restored,
    Roster,
    SendPeer,
    Top,
    Welcome,
)
from tests.service.wires import Wire, World

UNLIMITED = NodeConfig(node="n1", rate_limits=False)


def room(wire: Wire) -> ChannelPosition:
    """Where a wire stands in the channel that it joined."""
    last = max(
        packet.id
        for packet in wire.heard
        if isinstance(packet, Joined | Published | ChannelEntry) or (isinstance(packet, Top) and packet.ch)
    )
    version = max(packet.version for packet in wire.heard if isinstance(packet, Roster | MemberChanged))
    return ChannelPosition("room", last, version)


@pytest.mark.parametrize("codec", [MSGPACK, JSON], ids=lambda codec: codec.subprotocol)
def test_a_return_restores_everything_and_nobody_notices(world, codec):
    alice, bob = world.login("alice", codec), world.login("bob")
    alice.join("room")
    bob.join("room")
    world.pass_time(0.5)
    standing = room(alice)
    alice.cut()
    world.pass_time(3)
    back = alice.back([standing])
    welcome = back.expect(Welcome)
    assert welcome.resumed
    assert (welcome.fence, welcome.secret) == (alice.welcome.fence, alice.welcome.secret)
    assert back.expect(Restored) == Restored("room")
    back.expect(Ready)
    assert back.expect(Top) == Top(0, 0)
    assert back.expect(Top) == Top(standing.id, 0, "room")
    assert not back.all_of(Roster), "it knows the members"
    assert len(bob.all_of(MemberChanged)) == 0
    bob.published("room", b"x")
    assert back.expect(ChannelEntry).body == b"x"


def test_what_was_missed_comes_after_the_position_and_never_ones_own(world):
    alice, bob = world.login("alice"), world.login("bob")
    alice.join("room")
    bob.join("room")
    bob.published("room", b"before")
    alice.expect(ChannelEntry)
    standing = room(alice)
    lost = alice.publish("room", b"own, whose answer is lost")
    alice.mute = False
    for data in alice.data_to_send():
        alice.send(data)
    world.pass_time(0.5)
    alice.cut()
    missed = [bob.published("room", str(n).encode()) for n in range(3)]
    back = alice.back([standing])
    back.expect(Ready)
    entries = [back.expect(ChannelEntry) for _ in missed]
    assert [entry.id for entry in entries] == [published.id for published in missed]
    assert back.expect(Top) == Top(missed[-1].id, 0, "room")
    live = bob.published("room", b"live")
    entry = back.expect(ChannelEntry)
    assert (entry.id, entry.prev) == (live.id, missed[-1].id)
    back.say(Publish(lost, "room", 2, b"own, whose answer is lost"))
    assert back.expect(Published).i == lost
    world.pass_time(1)
    assert len(bob.all_of(ChannelEntry)) == 1, "a repeat is not published again"


def test_only_the_newest_of_the_window_are_replayed_and_the_rest_is_counted(make_world):
    world = make_world(config=UNLIMITED)
    alice, bob = world.login("alice"), world.login("bob")
    alice.join("room")
    bob.join("room")
    standing = room(alice)
    alice.cut()
    for index in range(REPLAY_MAX + 68):
        bob.publish("room", str(index).encode())
    world.pass_time(1)
    back = alice.back([standing])
    back.expect(Ready)
    top = next(top for top in iter(lambda: back.expect(Top), None) if top.ch)
    bodies = [packet.body for packet in back.all_of(ChannelEntry)]
    assert bodies == [str(index).encode() for index in range(68, REPLAY_MAX + 68)]
    assert top.lost == 68


def test_after_a_long_outage_the_session_is_a_new_one_and_the_window_still_comes(world):
    alice, bob = world.login("alice"), world.login("bob")
    alice.join("room")
    bob.join("room")
    world.pass_time(0.5)
    standing = room(alice)
    alice.cut()
    bob.published("room", b"old")
    world.pass_time(OFFLINE_AFTER + 2)
    assert [packet.joined for packet in bob.all_of(MemberChanged)] == [False]
    assert REPLAY_WINDOW <= OFFLINE_AFTER + 2
    recent = bob.published("room", b"recent")
    back = alice.back([standing])
    welcome = back.expect(Welcome)
    assert not welcome.resumed
    assert welcome.fence > alice.welcome.fence
    assert back.expect(Roster).count == 2, "the member list of a new session is told anew"
    assert back.expect(Restored) == Restored("room")
    assert back.expect(ChannelEntry).body == b"recent"
    assert back.expect(Top) == Top(recent.id, 1, "room")
    world.pass_time(0.5)
    assert [packet.joined for packet in bob.all_of(MemberChanged)] == [False, True]


def test_members_that_changed_meanwhile_are_told_as_a_list(world):
    alice, bob = world.login("alice"), world.login("bob")
    alice.join("room")
    standing = room(alice)
    alice.cut()
    bob.join("room")
    back = alice.back([standing])
    roster = back.expect(Roster)
    assert sorted(roster.users) == ["alice", "bob"]
    back.expect(Restored)
    world.pass_time(1)
    assert not back.all_of(MemberChanged)


def test_channels_that_refuse_are_reported_and_hold_nothing_back(world):
    alice = world.login("alice", token="rooms")
    alice.join("room-1")
    alice.cut()
    positions = [ChannelPosition(name, 0, 0) for name in ("room-1", "*", "hall")]
    back = alice.back(positions, token="rooms")
    answers = {packet.ch: packet.code for packet in [back.expect(Restored) for _ in positions]}
    assert answers == {
        "room-1": 0,
        "*": JoinChannelError.INVALID_ARGUMENT,
        "hall": JoinChannelError.REJECTED,
    }
    back.expect(Ready)


def test_many_channels_are_restored_outside_the_rate_limits(world):
    alice, bob = world.login("alice"), world.login("bob")
    names = [f"room-{index:02}" for index in range(20)]
    for name in names:
        alice.join(name)
        bob.join(name)
    alice.cut()
    for name in names:
        bob.published(name, name.encode())
    for _ in range(4):
        positions = [ChannelPosition(name, 0, 0) for name in names]
        back = alice.back(positions, attempt=alice.attempt + 1)
        assert {back.expect(Restored).ch for _ in names} == set(names)
        back.expect(Ready)
        tops = {packet.ch for packet in (back.expect(Top) for _ in range(21))}
        assert tops == {None, *names}
        assert sorted(packet.body.decode() for packet in back.all_of(ChannelEntry)) == names
        alice.attempt += 1
        back.cut()


def test_channels_that_the_engine_does_not_answer_are_given_up_in_time():
    world = World(seed=3)
    alice = world.login("alice")
    alice.join("room")
    alice.cut()
    world.pass_time(0.5)
    inner = world.late._inner
    held = []
    submit = inner.submit

    def swallow(command, now, wall):
        if isinstance(command, JoinChannel):
            held.append((command, now, wall))
        else:
            submit(command, now, wall)

    inner_submit, world.late._inner = submit, _Swallowing(inner, swallow)
    back = alice.back([ChannelPosition("room", 0, 0)])
    back.expect(Welcome)
    start = world.now
    restored = back.expect(Restored, within=RESTORE_TIMEOUT + 1)
    assert restored.code == JoinChannelError.TIMEOUT
    assert world.now - start == pytest.approx(RESTORE_TIMEOUT, abs=0.1)
    back.expect(Ready)
    # The answer comes after all: the client, which was told otherwise, can still join.
    for command, _, _ in held:
        inner_submit(command, world.now, world.wall)
    world.late._inner = inner
    world.pass_time(0.5)
    assert back.join("room")
    back.say(Join(back.next_request(), "room"))
    assert back.expect(Failed).code == JoinChannelError.ALREADY_JOINED


class _Swallowing:
    """A port that submits through a function."""

    def __init__(self, inner, submit) -> None:
        self._inner = inner
        self.submit = submit

    def __getattr__(self, name):
        return getattr(self._inner, name)


def test_peer_messages_sent_meanwhile_come_in_order_after_the_position_honoured(world):
    alice, bob = world.login("alice"), world.login("bob")
    for body in (b"1", b"2", b"3"):
        alice.send_peer("bob", body)
    entries = [bob.expect(InboxEntry) for _ in range(3)]
    bob.say(Ack(entries[0].id))
    world.pass_time(0.5)
    assert alice.expect(PeerSent).code == 0
    bob.cut()
    alice.send_peer("bob", b"4")
    world.pass_time(0.5)
    back = bob.back(inbox=entries[1].id)
    welcome = back.expect(Welcome)
    assert welcome.inbox == entries[1].id, "the position of the hello counts as acknowledged"
    back.expect(Ready)
    again = [back.expect(InboxEntry) for _ in range(2)]
    assert [entry.body for entry in again] == [b"3", b"4"]
    assert back.expect(Top) == Top(again[-1].id, 0)
    back.say(Ack(again[-1].id))
    assert [alice.expect(PeerSent).code for _ in range(3)] == [0, 0, 0]


def test_an_acknowledgement_may_run_ahead_of_the_replay(world):
    alice, bob = world.login("alice"), world.login("bob")
    for body in (b"1", b"2", b"3"):
        alice.send_peer("bob", body)
    entries = [bob.expect(InboxEntry) for _ in range(3)]
    bob.cut()
    back = bob.back()
    back.expect(Welcome)
    back.say(Ack(entries[1].id))
    world.pass_time(1)
    assert len(alice.all_of(PeerSent)) == 2
    last = back.all_of(InboxEntry)[-1]
    assert last.body == b"3"
    assert back.all_of(Top)[-1] == Top(last.id, 0)


def test_a_peer_send_is_answered_on_the_transport_that_the_sender_came_back_with(world):
    alice, bob = world.login("alice"), world.login("bob")
    number = alice.send_peer("bob", b"x")
    entry = bob.expect(InboxEntry)
    alice.cut()
    back = alice.back()
    back.expect(Ready)
    back.say(SendPeer(number, "bob", 2, b"x"))
    world.pass_time(0.2)
    bob.say(Ack(entry.id))
    sent = back.expect(PeerSent)
    assert (sent.i, sent.code, sent.id) == (number, SendPeerMessageError.OK, entry.id)
    world.pass_time(1)
    assert len(back.all_of(PeerSent)) == 1
    assert len(bob.all_of(InboxEntry)) == 1


def test_an_unanswered_join_is_answered_on_the_next_transport(world):
    alice, bob = world.login("alice"), world.login("bob")
    bob.join("room")
    alice.say(Join(1, "room"))
    for data in alice.data_to_send():
        alice.send(data)
    alice.cut()
    world.pass_time(0.2)
    back = alice.back()
    back.expect(Ready)
    back.say(Join(1, "room"))
    joined = back.expect(Joined)
    assert joined.i == 1
    bob.published("room", b"x")
    assert back.expect(ChannelEntry).body == b"x"
    assert sum(packet.joined for packet in bob.all_of(MemberChanged)) == 1


def test_a_client_that_comes_and_goes_all_the_time_misses_nothing(make_world):
    world = make_world(config=UNLIMITED)
    alice, bob = world.login("alice"), world.login("bob")
    alice.join("room")
    bob.join("room")
    got: list[int] = []
    lost = 0
    wire, last = alice, room(alice).id
    for turn in range(60):
        for _ in range(turn % 5):
            bob.publish("room", b"x")
        world.pass_time((turn % 4) * 0.09)
        wire.cut()
        for packet in wire.heard:
            if isinstance(packet, ChannelEntry):
                got.append(packet.id)
                last = packet.id
            elif isinstance(packet, Top) and packet.ch:
                lost += packet.lost
                last = max(last, packet.id)
        alice.attempt += 1
        wire = alice.back([ChannelPosition("room", last, 0)], attempt=alice.attempt)
    world.pass_time(1)
    got += [packet.id for packet in wire.heard if isinstance(packet, ChannelEntry)]
    lost += sum(packet.lost for packet in wire.heard if isinstance(packet, Top))
    sent = sorted(packet.id for packet in bob.all_of(Published))
    assert got == sorted(set(got))
    assert set(got) <= set(sent)
    assert len(got) + lost == len(sent)
    assert len(got) > len(sent) / 2


def test_two_clients_of_one_user_never_kick_each_other_for_ever(world):
    first = world.login("alice", iid="first-instance--")
    second = world.login("alice", iid="second-instance-")
    first.expect_closed(CloseCode.REMOTE_LOGIN)
    for attempt in range(2, 6):
        again = first.back(attempt=attempt)
        again.expect(Kicked)
        again.expect_closed(CloseCode.REMOTE_LOGIN)
    assert second.closed is None
    assert not second.all_of(Kicked)
