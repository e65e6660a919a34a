"""Channels: joins, fan-out in order, one frame for all, and what comes to whom."""

import pytest

from rtmcore.codes import JoinChannelError, LeaveChannelError, SendChannelMessageError
from rtmcore.limits import MEMBER_EVENTS_MAX, MESSAGE_BYTES, PACKETS_PER_FRAME
from rtmcore.service.commands.channels import ChannelNotice, MemberNotice
from rtmcore.service.commands.entries import Entry
from rtmcore.service.commands.names import Name
from rtmcore.service.config import NodeConfig
from rtmcore.wire.codec import JSON, MSGPACK
from rtmcore.wire.packets import (
    ChannelEntry,
    Done,
    Failed,
    GetMembers,
    Join,
    Joined,
    Leave,
    MemberChanged,
    MemberList,
    Publish,
    Published,
    Roster,
)
from tests.service.wires import APP, OTHER_APP, World

UNLIMITED = NodeConfig(node="n1", rate_limits=False)


def chain(wire, channel: str = "room") -> list[tuple[int, int]]:
    """Position and predecessor of all that a wire was told of a channel: others' entries and its own."""
    return [
        (packet.id, packet.prev)
        for packet in wire.heard
        if (isinstance(packet, ChannelEntry) and packet.ch == channel) or isinstance(packet, Published)
    ]


def assert_unbroken(wire, start: int) -> None:
    last = start
    for position, prev in sorted(chain(wire)):
        assert prev == last
        last = position


def test_a_join_is_answered_with_all_members_and_a_position(world):
    alice, bob = world.login("alice"), world.login("bob")
    alice.join("room")
    number = bob.next_request()
    bob.say(Join(number, "room"))
    roster = bob.expect(Roster)
    assert (roster.ch, roster.count, sorted(roster.users)) == ("room", 2, ["alice", "bob"])
    joined = bob.expect(Joined)
    assert joined.i == number
    changed = alice.expect(MemberChanged)
    assert (changed.ch, changed.user, changed.joined, changed.count) == ("room", "bob", True, 2)
    assert changed.version == roster.version
    world.pass_time(1)
    assert not bob.all_of(MemberChanged), "nobody is told of his own join"


@pytest.mark.parametrize("codec", [MSGPACK, JSON], ids=lambda codec: codec.subprotocol)
@pytest.mark.parametrize("drip", [False, True])
def test_a_message_reaches_the_others_and_not_its_sender(world, codec, drip):
    alice, bob, carol = world.login("alice", codec), world.login("bob"), world.login("carol", JSON)
    joined = {wire: wire.join("room") for wire in (alice, bob, carol)}
    alice.drip = bob.drip = drip
    number = alice.publish("room", b"\x00\xff", kind=2)
    published = alice.expect(Published)
    assert published.i == number
    assert published.prev == joined[alice].id
    for wire in (bob, carol):
        entry = wire.expect(ChannelEntry)
        assert entry == ChannelEntry(
            ch="room",
            id=published.id,
            prev=published.prev,
            user="alice",
            iid=alice.iid,
            i=number,
            kind=2,
            body=b"\x00\xff",
        )
    world.pass_time(1)
    assert not alice.all_of(ChannelEntry)


def test_bodies_of_every_allowed_size_arrive(world):
    alice, bob = world.login("alice"), world.login("bob", JSON)
    alice.join("room")
    bob.join("room")
    for size in (0, 1, 125, 126, 65, MESSAGE_BYTES - 1, MESSAGE_BYTES):
        alice.publish("room", b"x" * size, kind=1)
        assert bob.expect(ChannelEntry).body == b"x" * size


def test_channels_and_apps_do_not_mix(world):
    alice, bob = world.login("alice"), world.login("bob")
    stranger = world.login("alice", app=OTHER_APP)
    alice.join("room")
    bob.join("hall")
    stranger.join("room")
    alice.published("room", b"x")
    world.pass_time(1)
    assert not bob.all_of(ChannelEntry)
    assert not stranger.all_of(ChannelEntry)


def test_all_members_see_one_order_and_every_chain_is_unbroken(make_world):
    world = make_world(config=UNLIMITED)
    names = ["alice", "bob", "carol", "dave"]
    wires = {name: world.login(name, MSGPACK if index % 2 else JSON) for index, name in enumerate(names)}
    starts = {name: wire.join("room").id for name, wire in wires.items()}
    for turn in range(30):
        for index, wire in enumerate(wires.values()):
            for count in range((turn + index) % 4):
                wire.publish("room", f"{turn}.{count}".encode())
        if turn % 3 == 0:
            world.settle()
        if turn % 7 == 0:
            world.pass_time(0.02)
    world.pass_time(1)
    for name, wire in wires.items():
        others = [packet for packet in wire.heard if isinstance(packet, ChannelEntry)]
        assert [packet.id for packet in others] == sorted({packet.id for packet in others})
        assert all(packet.user != name for packet in others)
        assert len(chain(wire)) == sum((turn + index) % 4 for turn in range(30) for index in range(4))
        if name == names[-1]:
            assert_unbroken(wire, starts[name])
    if world.late is None:
        for name, wire in wires.items():
            positions = [position for position, _ in chain(wire)]
            assert positions == sorted(positions), f"{name}'s own answers are not in the order of the log"


def test_what_is_published_in_one_turn_shares_websocket_messages():
    world = World(config=UNLIMITED)
    alice, bob, carol = world.login("alice"), world.login("bob"), world.login("carol")
    for wire in (alice, bob, carol):
        wire.join("room")
    before = bob.messages, alice.messages
    alice.say(*(Publish(alice.next_request(), "room", 2, b"x") for _ in range(16)))
    world.settle()
    assert len(bob.all_of(ChannelEntry)) == 16
    assert (bob.messages, alice.messages) == (before[0] + 1, before[1] + 1)
    assert bob.raw.endswith(bytes(carol.raw)[-100:]), "the very same frame"


def test_a_websocket_message_never_has_more_packets_than_announced():
    world = World(config=UNLIMITED)
    alice, bob = world.login("alice"), world.login("bob")
    alice.join("room")
    bob.join("room")
    before = bob.messages
    for _ in range(3):
        alice.say(*(Publish(alice.next_request(), "room", 2, b"x") for _ in range(PACKETS_PER_FRAME)))
    world.settle()
    assert len(bob.all_of(ChannelEntry)) == 3 * PACKETS_PER_FRAME
    assert bob.messages == before + 3


def test_large_messages_do_not_add_up_to_one_that_is_too_large():
    world = World(config=UNLIMITED)
    alice, bob = world.login("alice"), world.login("bob", JSON)
    alice.join("room")
    bob.join("room")
    for _ in range(10):
        alice.publish("room", b"x" * MESSAGE_BYTES)
    world.settle()
    assert len(bob.all_of(ChannelEntry)) == 10
    assert bob.closed is None


def test_answers_to_an_author_come_in_the_order_of_the_log():
    world = World(config=UNLIMITED)
    alice, bob = world.login("alice"), world.login("bob")
    alice.join("room")
    start = bob.join("room").id
    for turn in range(20):
        alice.publish("room", b"a")
        if turn % 3:
            bob.publish("room", b"b")
        alice.publish("room", b"a")
    world.settle()
    last = start
    for position, prev in chain(bob):
        assert prev == last
        last = position


def test_joins_and_leaves_are_told_to_the_others_once(world):
    alice, bob = world.login("alice"), world.login("bob", JSON)
    alice.join("room")
    bob.join("room")
    number = bob.next_request()
    bob.say(Leave(number, "room"))
    assert bob.expect(Done).i == number
    world.pass_time(1)
    told = [(packet.user, packet.joined, packet.count) for packet in alice.all_of(MemberChanged)]
    assert told == [("bob", True, 2), ("bob", False, 1)]
    versions = [packet.version for packet in alice.all_of(MemberChanged)]
    assert versions == sorted(set(versions))
    assert not bob.all_of(MemberChanged)
    alice.published("room", b"x")
    world.pass_time(1)
    assert not bob.all_of(ChannelEntry)


def test_leaving_and_joining_again_in_one_breath_ends_as_a_member(world):
    alice, bob = world.login("alice"), world.login("bob")
    alice.join("room")
    bob.say(Join(1, "room"), Leave(2, "room"), Join(3, "room"))
    assert bob.expect(Joined).i == 1
    assert bob.expect(Done).i == 2
    assert bob.expect(Joined).i == 3
    alice.published("room", b"x")
    assert bob.expect(ChannelEntry).body == b"x"


def test_the_last_to_leave_ends_the_nodes_interest(world):
    alice = world.login("alice")
    alice.join("room")
    assert world.node.stats()["channels"] == 1
    alice.say(Leave(alice.next_request(), "room"))
    alice.expect(Done)
    assert world.node.stats()["channels"] == 0
    alice.say(Join(alice.next_request(), "*"))
    alice.expect(Failed)
    assert world.node.stats()["channels"] == 0


def test_member_lists(world):
    alice, bob = world.login("alice"), world.login("bob")
    alice.join("room")
    bob.join("room")
    number = alice.next_request()
    alice.say(GetMembers(number, "room"))
    listed = alice.expect(MemberList)
    assert (listed.i, sorted(listed.users)) == (number, ["alice", "bob"])


def test_requests_about_channels_that_one_is_not_in(world):
    wire = world.login("alice")
    for packet, code in [
        (Publish(1, "room", 2, b"x"), SendChannelMessageError.NOT_IN_CHANNEL),
        (Leave(2, "room"), LeaveChannelError.NOT_IN_CHANNEL),
        (GetMembers(3, "room"), 5),
        (Publish(4, "*", 2, b"x"), SendChannelMessageError.NOT_IN_CHANNEL),
        (Leave(5, ""), LeaveChannelError.NOT_IN_CHANNEL),
        (GetMembers(6, "x" * 65), 5),
    ]:
        wire.say(packet)
        failed = wire.expect(Failed)
        assert (failed.i, failed.code) == (packet.i, code)


def test_joining_twice_and_joining_too_many(world):
    wire = world.login("alice")
    wire.join("room")
    wire.say(Join(wire.next_request(), "room"))
    assert wire.expect(Failed).code == JoinChannelError.ALREADY_JOINED
    for index in range(19):
        wire.join(f"room-{index}")
    wire.say(Join(wire.next_request(), "one-too-many"))
    assert wire.expect(Failed).code == JoinChannelError.EXCEED_LIMIT


def test_messages_on_the_way_while_a_join_is_answered_are_neither_lost_nor_doubled(make_world):
    """More messages than the window keeps come between the join and its answer."""
    world = make_world(config=UNLIMITED)
    alice, bob, carol = world.login("alice"), world.login("bob"), world.login("carol")
    alice.join("room")
    carol.join("room")
    bob.say(Join(1, "room"))
    joined = None
    for number in range(200):
        alice.publish("room", str(number).encode())
        world.pass_time(0.001)
        joined = joined or next(iter(bob.all_of(Joined)), None)
    world.pass_time(1)
    bob.requests = 1
    assert joined is not None
    after = [(packet.id, packet.body) for packet in carol.all_of(ChannelEntry) if packet.id > joined.id]
    assert [(packet.id, packet.body) for packet in bob.all_of(ChannelEntry)] == after
    assert_unbroken(bob, joined.id)


def test_a_channel_above_the_documented_size_is_quiet_about_its_members():
    world = World()
    alice = world.login("alice")
    joined = alice.join("room")
    port = world.engine.port("n1")
    cases = [(MEMBER_EVENTS_MAX, 1), (MEMBER_EVENTS_MAX + 1, 1), (MEMBER_EVENTS_MAX, 2)]
    for later, (count, told) in enumerate(cases, 1):
        port.outputs.append(MemberNotice(APP, "room", "guest", True, joined.id + 1000 * later, count))
        world.settle()
        assert len(alice.all_of(MemberChanged)) == told


def test_notices_about_channels_that_nobody_here_is_in_are_ignored(world):
    alice = world.login("alice")
    entry = Entry(1, 0, "bob", "i", 1, 2, b"x")
    port = world.engine.port("n1")
    port.outputs.append(ChannelNotice(APP, "room", entry, Name(APP, "rtm", "bob")))
    port.outputs.append(MemberNotice(APP, "room", "bob", True, 1, 1))
    world.pass_time(1)
    assert not alice.all_of(ChannelEntry)
    assert alice.join("room")
