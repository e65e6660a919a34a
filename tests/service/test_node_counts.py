"""How many members channels have: asked for, and told to members without being asked."""

import itertools

import pytest

from rtmcore.codes import ChannelMemberCountError
from rtmcore.limits import (
    CHANNELS_JOINED,
    LARGE_MEMBER_COUNT_INTERVAL,
    MEMBER_COUNT_CHANNELS,
    MEMBER_COUNT_INTERVAL,
    OFFLINE_AFTER,
)
from rtmcore.service.config import NodeConfig
from rtmcore.wire.codec import JSON
from rtmcore.wire.packets import (
    ChannelPosition,
    Done,
    Failed,
    GetMemberCounts,
    Join,
    Joined,
    Leave,
    MemberCount,
    MemberCounts,
    Ready,
    Restored,
    Roster,
)
from tests.service.wires import SETTLE

ERROR = ChannelMemberCountError
UNLIMITED = NodeConfig(node="n1", rate_limits=False)


def counts_of(wire, *channels):
    number = wire.next_request()
    wire.say(GetMemberCounts(number, list(channels)))
    answer = wire.expect(MemberCounts)
    assert answer.i == number
    return answer.counts


def failed(wire, *channels):
    number = wire.next_request()
    wire.say(GetMemberCounts(number, list(channels)))
    failure = wire.expect(Failed)
    assert failure.i == number
    return failure.code


def told(wire):
    return [packet.count for packet in wire.all_of(MemberCount)]


def leave(wire, channel="ops"):
    number = wire.next_request()
    wire.say(Leave(number, channel))
    while wire.expect(Done).i != number:
        pass


# --- Asked for --------------------------------------------------------------------------------


def test_counts_are_told_to_whoever_asks(make_world):
    world = make_world(config=UNLIMITED)
    alice, bob = world.login("alice"), world.login("bob", JSON)
    alice.join("ops")
    bob.join("ops")
    bob.join("hall")
    asker = world.login("carol")
    assert counts_of(asker, "hall", "ops", "nowhere", "ops") == {"hall": 1, "ops": 2, "nowhere": 0}
    leave(alice)
    assert counts_of(bob, "ops") == {"ops": 1}


def test_questions_for_counts_are_checked(make_world):
    world = make_world(config=UNLIMITED)
    alice = world.login("alice")
    most = [f"room-{n}" for n in range(MEMBER_COUNT_CHANNELS)]
    assert counts_of(alice, *most) == dict.fromkeys(most, 0)
    assert failed(alice, *most, "more") == ERROR.EXCEED_LIMIT
    assert failed(alice) == ERROR.INVALID_ARGUMENT
    assert failed(alice, "ops", "*") == ERROR.INVALID_ARGUMENT


# --- Told -----------------------------------------------------------------------------------------


def test_a_member_is_told_once_behind_its_own_join(world):
    alice = world.login("alice")
    alice.join("ops")
    kinds = [type(packet) for packet in alice.heard[-3:]]
    assert kinds == [Roster, Joined, MemberCount]
    assert alice.heard[-1] == MemberCount("ops", 1)
    world.pass_time(100)
    assert told(alice) == [1]


def test_a_change_is_told_to_all_members_and_the_last_of_many_once(make_world):
    world = make_world(config=UNLIMITED)
    alice = world.login("alice")
    alice.join("ops")
    world.pass_time(10)
    others = [world.login(f"user-{n}") for n in range(8)]
    others[0].join("ops")
    world.pass_time(SETTLE)
    assert told(alice) == [1, 2], "the first change is told at once"
    for wire in others[1:]:
        wire.say(Join(wire.next_request(), "ops"))
    world.pass_time(0.2)
    assert told(alice) == [1, 2]
    world.pass_time(2 * MEMBER_COUNT_INTERVAL)
    assert told(alice) == [1, 2, 9]
    for wire in others:
        assert told(wire)[-1] == 9
        assert len(told(wire)) <= 3


def test_what_has_changed_back_is_not_told(make_world):
    world = make_world(config=UNLIMITED)
    alice, bob = world.login("alice"), world.login("bob")
    alice.join("ops")
    bob.join("ops")
    world.pass_time(5)
    before = told(alice)
    assert before[-1] == 2
    world.login("carol").join("ops")
    world.pass_time(SETTLE)
    assert told(alice) == [*before, 3]
    leave(bob)
    bob.join("ops")
    world.pass_time(5)
    assert told(alice) == [*before, 3]


def test_nothing_is_told_more_often_than_once_in_the_interval(make_world):
    world = make_world(config=UNLIMITED)
    alice = world.login("alice")
    alice.join("ops")
    times = [world.now]
    others = [world.login(f"user-{n}") for n in range(20)]
    for wire in others:
        wire.say(Join(wire.next_request(), "ops"))
        for _ in range(3):
            world.pass_time(0.1)
            if len(told(alice)) > len(times):
                times.append(world.now)
    world.pass_time(2)
    gaps = [late - early for early, late in itertools.pairwise(times)]
    assert len(gaps) >= 3
    assert min(gaps) >= MEMBER_COUNT_INTERVAL - 0.11
    assert told(alice)[-1] == 21


def test_a_large_channel_is_told_every_three_seconds(make_world):
    # What counts as large is a setting; tests/service/test_node_limits.py has the documented figure.
    large = 30
    world = make_world(config=NodeConfig(node="n1", rate_limits=False, limits={"member_events": large}))
    alice = world.login("alice")
    alice.join("ops")
    crowd = [world.login(f"user-{n}") for n in range(large + 20)]
    for wire in crowd[:-20]:
        wire.say(Join(wire.next_request(), "ops"))
    world.pass_time(2 * LARGE_MEMBER_COUNT_INTERVAL)
    assert told(alice)[-1] == large + 1
    known = len(told(alice))
    times = []
    for wire in crowd[-20:]:
        wire.say(Join(wire.next_request(), "ops"))
        world.pass_time(0.5)
        if len(told(alice)) > known + len(times):
            times.append(world.now)
    gaps = [late - early for early, late in itertools.pairwise(times)]
    assert gaps
    assert min(gaps) >= LARGE_MEMBER_COUNT_INTERVAL - 0.51
    world.pass_time(LARGE_MEMBER_COUNT_INTERVAL)
    assert told(alice)[-1] == large + 21


def test_who_drops_out_counts_no_more(world):
    alice, bob = world.login("alice"), world.login("bob")
    alice.join("ops")
    bob.join("ops")
    world.pass_time(3)
    bob.cut()
    world.pass_time(OFFLINE_AFTER + 3)
    assert told(alice) == [1, 2, 1]


def test_who_drops_out_is_told_in_the_turn_in_which_its_time_is_over(world):
    alice, bob = world.login("alice"), world.login("bob")
    alice.join("ops")
    bob.join("ops")
    bob.cut()
    while told(alice) != [1, 2, 1]:
        world.now = max(world.now, world.next_deadline())
        world.turn()
        assert world.node.next_deadline() > world.now, "nothing is left to the next turn"
        assert world.now <= 1000 + OFFLINE_AFTER + 3


@pytest.mark.parametrize("changed", [True, False])
def test_after_a_return_it_is_told_where_the_members_have_changed(world, changed):
    alice, bob = world.login("alice"), world.login("bob")
    position = alice.join("ops").id
    bob.join("ops")
    world.pass_time(3)
    version = [packet for packet in alice.heard if hasattr(packet, "version")][-1].version
    alice.cut()
    world.pass_time(2)
    if changed:
        leave(bob)
    standing = [ChannelPosition("ops", position, version)]
    back = alice.back(channels=standing)
    assert back.expect(Restored) == Restored("ops")
    back.expect(Ready)
    world.pass_time(10)
    assert told(back) == ([1] if changed else [])


def test_no_messages_bring_counts(make_world):
    world = make_world(config=UNLIMITED)
    alice, bob = world.login("alice"), world.login("bob")
    alice.join("ops")
    bob.join("ops")
    world.pass_time(3)
    known = (told(alice), told(bob))
    for _ in range(200):
        alice.publish("ops", b"x")
    world.pass_time(3)
    assert (told(alice), told(bob)) == known


def test_rooms_and_rtc_channels_are_not_told(world):
    for kind in ("rtc", "room"):
        wires = [world.enter(kind, f"{n}", "lobby") for n in range(3)]
        world.pass_time(5)
        assert not any(wire.all_of(MemberCount) for wire in wires)


def test_each_channel_is_counted_by_itself(make_world):
    world = make_world(config=UNLIMITED)
    alice, bob = world.login("alice"), world.login("bob")
    rooms = [f"room-{n}" for n in range(CHANNELS_JOINED)]
    for room in rooms:
        alice.join(room)
    world.pass_time(2)
    for room in rooms[::2]:
        bob.join(room)
    world.pass_time(2)
    last = {packet.ch: packet.count for packet in alice.all_of(MemberCount)}
    assert last == {room: 2 - n % 2 for n, room in enumerate(rooms)}
