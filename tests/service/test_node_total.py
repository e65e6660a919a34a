"""The total option of replays: the newest messages of all channels together, the rest counted per channel."""

import pytest

from rtmcore.limits import CHANNELS_JOINED, REPLAY_MAX
from rtmcore.service.config import NodeConfig
from rtmcore.wire.packets import Beat, ChannelEntry, ChannelPosition, Leave, Ready, Sync, Top, Welcome

ROOMS = [f"room-{n}" for n in range(CHANNELS_JOINED)]


@pytest.fixture
def away(make_world):
    """A client that is in many channels and away, one that publishes, and where the first stands."""
    world = make_world(config=NodeConfig(node="n1", rate_limits=False))
    alice, bob = world.login("alice"), world.login("bob")
    standings = []
    for room in ROOMS:
        bob.join(room)
        standings.append(ChannelPosition(room, alice.join(room).id, 0))
    alice.cut()
    return world, alice, bob, standings


def back(alice, standings, **fields):
    wire = alice.back(standings, replay_total=True, **fields)
    wire.expect(Ready)
    return wire


def test_the_newest_of_all_channels_are_replayed(away):
    world, alice, bob, standings = away
    published = [(room, bob.published(room, b"x").id) for _ in range(3) for room in ROOMS]
    wire = back(alice, standings)
    world.pass_time(1)
    assert [
        (each.ch, each.id) for each in sorted(wire.all_of(ChannelEntry), key=lambda each: each.id)
    ] == published[-REPLAY_MAX:]
    tops = {each.ch: each for each in wire.all_of(Top) if each.ch}
    assert set(tops) == set(ROOMS)
    for room in ROOMS:
        ids = [id_ for ch, id_ in published if ch == room]
        replayed = [each.id for each in wire.all_of(ChannelEntry) if each.ch == room]
        assert (tops[room].id, tops[room].lost) == (ids[-1], len(ids) - len(replayed))


def test_a_few_are_all_replayed_in_order(away):
    world, alice, bob, standings = away
    published = [bob.published(room, room.encode()).id for room in ROOMS[:3]]
    wire = back(alice, standings)
    world.pass_time(1)
    assert [each.id for each in wire.all_of(ChannelEntry)] == published
    assert not any(each.lost for each in wire.all_of(Top))


def test_without_the_option_each_channel_has_its_own_window(away):
    world, alice, bob, standings = away
    for room in ROOMS[:3]:
        for _ in range(REPLAY_MAX):
            bob.published(room, b"x")
    wire = alice.back(standings)
    wire.expect(Ready)
    world.pass_time(1)
    assert len(wire.all_of(ChannelEntry)) == 3 * REPLAY_MAX


def test_what_is_published_meanwhile_comes_once_and_after(away):
    world, alice, bob, standings = away
    before = [bob.published(room, b"x").id for room in ROOMS for _ in range(3)]
    wire = alice.back(standings, replay_total=True)
    after = []
    for _ in range(40):
        after += [bob.published(room, b"y").id for room in ROOMS[:2]]
        world.pass_time(0.01)
    world.pass_time(1)
    for room in ROOMS:
        ids = [each.id for each in wire.all_of(ChannelEntry) if each.ch == room]
        assert ids == sorted(set(ids))
    came = {each.id for each in wire.all_of(ChannelEntry)}
    lost = sum(each.lost for each in wire.all_of(Top))
    assert lost + len(came) == len(before) + len(after)
    last = bob.published(ROOMS[0], b"z")
    world.pass_time(1)
    assert wire.all_of(ChannelEntry)[-1].id == last.id


def test_a_channel_that_is_left_or_asked_about_meanwhile(away):
    world, alice, bob, standings = away
    for room in ROOMS:
        bob.published(room, b"x")
    wire = alice.back(standings, replay_total=True)
    wire.expect(Welcome)
    wire.say(Leave(99, ROOMS[0]), Sync(standings[1].id, ROOMS[1]), Beat())
    world.pass_time(1)
    came = [each.ch for each in wire.all_of(ChannelEntry)]
    assert sorted(set(came) - {ROOMS[0]}) == sorted(ROOMS[1:])
    assert wire.closed is None
    last = bob.published(ROOMS[1], b"y")
    world.pass_time(1)
    assert wire.all_of(ChannelEntry)[-1].id == last.id


def test_a_transport_that_breaks_in_the_middle_leaves_nothing(away):
    world, alice, bob, standings = away
    wire = alice.back(standings, replay_total=True)
    world.settle()
    wire.cut()
    bob.cut()
    world.pass_time(31)
    assert world.node.stats()["channels"] == 0
