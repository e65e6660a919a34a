"""Silence, lateness, tokens that expire, slow consumers, draining, and replay as the socket drains."""

import pytest

from rtmcore.codes import CloseCode, ConnectionChangeReason
from rtmcore.limits import (
    BEAT_INTERVAL,
    CLOSE_HANDSHAKE_TIMEOUT,
    LATE_TURN,
    MESSAGE_BYTES,
    OFFLINE_AFTER,
    REPLAY_BELOW,
    REPLAY_MAX,
    SERVER_OUTBOUND_BYTES,
    UNREACHABLE_AFTER,
    WRITE_CHUNK,
)
from rtmcore.service.commands.sessions import Heard, Silent
from rtmcore.service.config import NodeConfig
from rtmcore.wire.packets import (
    Beat,
    ChannelEntry,
    ChannelPosition,
    InboxEntry,
    Kicked,
    MemberChanged,
    PeerSent,
    Published,
    Ready,
    Restored,
    Sync,
    Top,
    Welcome,
)
from tests.service.wires import World

UNLIMITED = NodeConfig(node="n1", rate_limits=False)


class Spy:
    """A port that notes what it is told."""

    def __init__(self, inner) -> None:
        self._inner = inner
        self.seen: list = []
        self.shifts: list[float] = []

    def submit(self, command, now, wall) -> None:
        self.seen.append((now, command))
        self._inner.submit(command, now, wall)

    def shift(self, seconds) -> None:
        self.shifts.append(seconds)
        self._inner.shift(seconds)

    def of(self, kind: type) -> list:
        return [(now, command) for now, command in self.seen if isinstance(command, kind)]

    def __getattr__(self, name):
        return getattr(self._inner, name)


@pytest.fixture
def spied():
    spies = []

    def around(port):
        spies.append(Spy(port))
        return spies[0]

    world = World(config=UNLIMITED, around=around)
    world.spy = spies[0]
    return world


# --- Silence --------------------------------------------------------------------------


def test_both_sides_beat_while_nothing_else_is_said(world):
    wire = world.login("alice")
    world.pass_time(10 * BEAT_INTERVAL)
    assert 9 <= len(wire.all_of(Beat)) <= 11
    assert wire.closed is None


def test_a_node_does_not_beat_where_it_says_something_anyway(world):
    wire = world.login("alice")
    wire.join("room")
    for _ in range(20):
        wire.published("room", b"x")
        world.pass_time(BEAT_INTERVAL / 2)
    assert not wire.all_of(Beat)


def test_silence_is_told_once_and_taken_back_with_the_next_byte(spied):
    wire = spied.login("alice")
    wire.mute = True
    heard = spied.now
    spied.pass_time(UNREACHABLE_AFTER - 0.01)
    assert not spied.spy.of(Silent)
    spied.pass_time(10)
    ((told, silent),) = spied.spy.of(Silent)
    assert told == pytest.approx(heard + UNREACHABLE_AFTER)
    assert silent.since == pytest.approx(heard)
    assert not silent.gone
    wire.mute = False
    wire.say(Beat())
    spied.settle()
    assert len(spied.spy.of(Heard)) == 1
    spied.pass_time(20)
    assert len(spied.spy.of(Silent)) == 1
    assert wire.closed is None


def test_one_byte_of_an_unfinished_frame_counts(spied):
    wire = spied.login("alice")
    wire.mute = True
    for byte in b"\x82\xfe\x01\x00":
        spied.pass_time(UNREACHABLE_AFTER - 0.5)
        wire.send(bytes((byte,)))
    assert not spied.spy.of(Silent)


def test_a_client_that_is_silent_for_too_long_is_gone_for_all(world):
    alice, bob = world.login("alice"), world.login("bob")
    alice.join("room")
    bob.join("room")
    world.pass_time(0.3)
    alice.mute = True
    start = world.now
    world.pass_time(OFFLINE_AFTER - 1.6)
    assert not bob.all_of(MemberChanged)
    left = bob.expect(MemberChanged, within=2)
    assert (left.user, left.joined) == ("alice", False)
    assert world.now - start <= OFFLINE_AFTER + 0.2
    assert alice.closed is not None
    assert alice.closed.code in (CloseCode.HEARTBEAT_TIMEOUT, CloseCode.RESYNC)
    world.pass_time(2 * CLOSE_HANDSHAKE_TIMEOUT + 0.1)
    assert world.node.stats()["connections"] == 1


def test_a_lost_transport_is_silence_since_its_last_byte(spied):
    wire = spied.login("alice")
    spied.settle()
    heard = wire.world.node._connections[wire.number].heard
    wire.mute = True
    spied.pass_time(2)
    wire.cut()
    ((_, silent),) = spied.spy.of(Silent)
    assert silent.since == pytest.approx(heard)
    assert silent.gone


def test_a_closed_transport_is_lost_at_once(spied):
    wire = spied.login("alice")
    wire.send(b"\x02\x00")
    spied.settle()
    assert len(spied.spy.of(Silent)) == 1
    assert wire.back().expect(Welcome).resumed


def test_an_end_of_bytes_ends_the_connection(world):
    wire = world.login("alice")
    world.node.receive_eof(wire.number, world.now)
    world.settle()
    assert wire.gone
    assert world.node.stats()["connections"] == 0


def test_a_client_that_closes_is_answered_and_may_come_back(world):
    wire = world.login("alice")
    wire.transport.close(1000, "", world.now)
    world.settle()
    assert wire.closed.code == 1000
    assert wire.gone
    assert wire.back().expect(Welcome).resumed


# --- The node's own lateness -------------------------------------------------------------


def test_the_nodes_absence_is_not_its_clients(spied):
    alice, bob = spied.login("alice"), spied.login("bob")
    alice.join("room")
    bob.join("room")
    spied.settle()
    spied.pass_time(0.2)
    alice.mute = bob.mute = True
    late_by = 20.0
    due = spied.node.next_deadline()
    spied.jump(due + late_by - spied.now)
    assert sum(spied.spy.shifts) == pytest.approx(late_by)
    assert not spied.spy.of(Silent)
    alice.mute = bob.mute = False
    spied.pass_time(40)
    assert not spied.spy.of(Silent)
    assert alice.closed is None
    assert not bob.all_of(MemberChanged)


def test_bytes_that_waited_while_the_node_was_away_are_read_before_it_judges(spied):
    wire = spied.login("alice")
    spied.settle()
    for _ in range(3):
        wire.say(Beat())
    spied.jump(UNREACHABLE_AFTER + 0.5)
    assert not spied.spy.of(Silent)


def test_a_little_lateness_moves_nothing(spied):
    wire = spied.login("alice")
    spied.settle()
    wire.mute = True
    spied.jump(spied.node.next_deadline() + LATE_TURN - 0.1 - spied.now)
    assert not spied.spy.shifts


def test_a_silence_that_began_before_the_absence_ends_as_if_that_had_not_been(spied):
    wire = spied.login("alice")
    spied.settle()
    wire.mute = True
    heard = spied.now
    spied.pass_time(4.0)
    due = spied.node.next_deadline()
    spied.jump(due + 10 - spied.now)
    spied.pass_time(heard + UNREACHABLE_AFTER + 10 - 0.1 - spied.now)
    assert not spied.spy.of(Silent)
    spied.pass_time(0.2)
    ((_, silent),) = spied.spy.of(Silent)
    assert silent.since == pytest.approx(heard + 10)


def test_idleness_is_not_lateness():
    world = World()
    world.jump(3600)
    wire = world.login("alice")
    world.pass_time(60)
    assert wire.closed is None


@pytest.mark.parametrize("count", [1, 30])
def test_after_acting_on_a_deadline_the_next_one_is_later(world, count):
    for index in range(count):
        world.login(f"user-{index}")
        world.pass_time(0.1)
    node = world.node
    for _ in range(200):
        due = node.next_deadline()
        world.now = max(world.now, due)
        node.turn(world.now, world.wall)
        node.handle_timer(world.now)
        for number in node.dirty():
            node.data_to_send(number)
        after = node.next_deadline()
        assert after is None or after > world.now


# --- Tokens -----------------------------------------------------------------------------


def test_an_expired_token_does_nothing_to_a_connected_session(world):
    wire = world.login("alice", token="short")
    world.pass_time(25)
    assert wire.closed is None


def test_under_the_policy_abort_an_expired_token_ends_the_session(make_world):
    world = make_world(config=NodeConfig(node="n1", token_policy="abort"))
    wire, other = world.login("alice", token="short"), world.login("bob", token="good")
    world.pass_time(19 - (world.now - 1000))
    assert wire.closed is None
    kicked = wire.expect(Kicked, within=1.1)
    assert kicked.reason == ConnectionChangeReason.TOKEN_EXPIRED
    wire.expect_closed(CloseCode.TOKEN_EXPIRED)
    world.pass_time(0.2)
    other.send_peer("alice", b"x")
    assert other.expect(PeerSent).code == 3


# --- Slow consumers -----------------------------------------------------------------------


def test_a_consumer_that_does_not_read_is_closed_with_a_code_and_its_memory_is_freed():
    world = World(config=UNLIMITED)
    alice, bob, carol = world.login("alice"), world.login("bob"), world.login("carol")
    for wire in (alice, bob, carol):
        wire.join("room")
    bob.room = 1000
    sent = 0
    connection = world.node._connections[bob.number]
    while connection.session is not None:
        alice.published("room", b"x" * MESSAGE_BYTES)
        sent += 1
        assert sent * MESSAGE_BYTES < 2 * SERVER_OUTBOUND_BYTES
    assert sent * MESSAGE_BYTES >= SERVER_OUTBOUND_BYTES
    assert sum(map(len, connection.out)) < 1000
    bob.read_on()
    bob.expect_closed(CloseCode.SLOW_CONSUMER)
    entries = bob.all_of(ChannelEntry)
    assert [entry.id for entry in entries] == sorted(entry.id for entry in entries)
    assert len(carol.all_of(ChannelEntry)) == sent
    last = entries[-1].id if entries else 0
    back = bob.back([ChannelPosition("room", last, 0)])
    back.expect(Ready)
    top = next(top for top in iter(lambda: back.expect(Top), None) if top.ch)
    assert len(entries) + len(back.all_of(ChannelEntry)) + top.lost == sent
    assert len(back.all_of(ChannelEntry)) == REPLAY_MAX


def test_a_consumer_that_never_reads_again_is_closed_without_mercy():
    world = World(config=UNLIMITED)
    alice, bob = world.login("alice"), world.login("bob")
    alice.join("room")
    bob.join("room")
    bob.room = 0
    for _ in range(2 * SERVER_OUTBOUND_BYTES // MESSAGE_BYTES):
        alice.publish("room", b"x" * MESSAGE_BYTES)
    world.settle()
    assert not bob.gone
    world.pass_time(2 * CLOSE_HANDSHAKE_TIMEOUT + 0.01)
    assert bob.gone
    assert world.node.stats()["connections"] == 1


def test_a_consumer_that_is_slow_but_reads_is_served(make_world):
    world = make_world(config=UNLIMITED)
    alice, bob = world.login("alice"), world.login("bob")
    alice.join("room")
    bob.join("room")
    bob.room = 0
    for _ in range(200):
        alice.published("room", b"x" * MESSAGE_BYTES)
        bob.read_on(MESSAGE_BYTES)
    for _ in range(10):
        bob.read_on(10 * MESSAGE_BYTES)
        world.settle()
    bob.read_on()
    world.pass_time(1)
    assert len(bob.all_of(ChannelEntry)) == 200
    assert bob.closed is None


def test_a_blocked_socket_is_given_no_more_than_a_chunk():
    world = World(config=UNLIMITED)
    alice, bob = world.login("alice"), world.login("bob")
    alice.join("room")
    bob.join("room")
    bob.room = 0
    for _ in range(100):
        alice.published("room", b"x" * MESSAGE_BYTES)
    assert len(bob.waiting) < WRITE_CHUNK + 2 * MESSAGE_BYTES


def test_pings_of_a_client_that_does_not_read_are_bounded_too():
    world = World(config=UNLIMITED)
    bob = world.login("bob")
    bob.room = 0
    world.pass_time(BEAT_INTERVAL + 0.1)
    ping = b"\x89\xfd" + bytes(4) + bytes(125)
    for _ in range(2 * SERVER_OUTBOUND_BYTES // (127 * 60)):
        bob.send(ping * 60)
        list(world.node.dirty())
        if world.node._connections[bob.number].session is None:
            break
    else:
        pytest.fail("pongs are kept without end")


def test_replay_is_read_as_the_socket_drains(make_world):
    """Twenty full windows, 20 MiB, are never in memory at once, and never count as a backlog."""
    world = make_world(config=UNLIMITED)
    alice, bob = world.login("alice"), world.login("bob")
    names = [f"room-{index:02}" for index in range(20)]
    for name in names:
        alice.join(name)
        bob.join(name)
    bob.cut()
    world.pass_time(0.3)
    for name in names:
        for _ in range(REPLAY_MAX):
            alice.publish(name, b"x" * MESSAGE_BYTES)
        world.pass_time(0.2)
    for number in range(REPLAY_MAX):
        alice.send_peer("bob", b"x" * MESSAGE_BYTES + b"" if number else b"first")
    world.pass_time(0.3)
    back = bob.back([ChannelPosition(name, 0, 0) for name in names])
    back.expect(Ready)
    back.room = 0
    window = REPLAY_MAX * (MESSAGE_BYTES + 200)
    most = 0
    for _ in range(2000):
        world.pass_time(0.02)
        connection = world.node._connections[back.number]
        most = max(most, connection.measure())
        if len(back.all_of(Top)) == 21:
            break
        back.read_on(WRITE_CHUNK)
    assert len(back.all_of(Top)) == 21
    assert most < REPLAY_BELOW + window + WRITE_CHUNK
    assert len(back.all_of(ChannelEntry)) == 20 * REPLAY_MAX
    assert len(back.all_of(InboxEntry)) == REPLAY_MAX
    assert back.closed is None
    assert len(back.all_of(Restored)) == 20


def test_live_messages_wait_behind_the_replay_of_their_channel_only(make_world):
    world = make_world(config=UNLIMITED)
    alice, bob = world.login("alice"), world.login("bob")
    for name in ("quiet", "busy"):
        alice.join(name)
        bob.join(name)
    world.pass_time(0.2)
    for number in range(10):
        alice.published("busy", str(number).encode())
    bob.say(Sync(1, "busy"))
    for number in range(10, 15):
        alice.publish("busy", str(number).encode())
        alice.publish("quiet", str(number).encode())
    world.pass_time(1)
    busy = [packet for packet in bob.all_of(ChannelEntry) if packet.ch == "busy"]
    again = busy[10:] if world.late is None else busy
    positions = [packet.id for packet in again]
    assert len(set(positions)) >= 15
    assert [int(packet.body) for packet in bob.all_of(ChannelEntry) if packet.ch == "quiet"] == list(
        range(10, 15)
    )


# --- Draining -----------------------------------------------------------------------------


def test_draining_sends_all_away_and_spreads_their_return(world):
    wires = [world.login(f"user-{index}") for index in range(10)]
    anonymous = world.wire()
    world.settle()
    world.node.drain(world.now, over=5.0)
    world.settle()
    closed = [wire.expect_closed(CloseCode.SHUTDOWN) for wire in (*wires, anonymous)]
    assert sorted(each.retry_after for each in closed) == pytest.approx(
        [5.0 * index / 11 for index in range(11)], abs=0.001
    )
    assert world.node.draining
    assert world.node.stats()["connections"] == 0
    late = world.wire()
    world.settle()
    assert late.closed is not None
    assert "503" in late.closed.reason


def test_what_was_answered_before_the_drain_still_arrives(world):
    wire = world.login("alice")
    wire.join("room")
    wire.publish("room", b"x")
    for data in wire.data_to_send():
        wire.send(data)
    if world.late is None:
        world.node.drain(world.now, over=0)
        wire.expect_closed(CloseCode.SHUTDOWN)
        back_world_session = wire.all_of(Published)
        assert len(back_world_session) <= 1


def test_statistics_count_what_there_is(world):
    alice, bob = world.login("alice"), world.login("bob")
    alice.join("room")
    bob.join("room")
    alice.published("room", b"x")
    bob.expect(ChannelEntry)
    world.wire()
    world.settle()
    stats = world.node.stats()
    assert stats["connections"] == 3
    assert stats["connections_before_hello"] == 1
    assert stats["sessions"] == 2
    assert stats["channels"] == 1
    assert stats["channel_messages_delivered"] == 1


def test_nothing_of_clients_that_are_gone_is_kept(make_world):
    world = make_world(config=UNLIMITED)
    for turn in range(20):
        wires = [world.login(f"user-{turn}-{index}") for index in range(5)]
        for wire in wires:
            wire.join("room")
            wire.publish("room", b"x")
            wire.send_peer("user-0-0", b"x")
        world.settle()
        for wire in wires:
            wire.cut()
    world.pass_time(2 * OFFLINE_AFTER)
    survivor = world.login("survivor")
    world.pass_time(1)
    node = world.node
    assert node.stats()["connections"] == 1
    assert node.stats()["channels"] == 0
    assert len(node._context.sessions) == 1
    assert len(node._context._deadlines) < 20
    assert not node._departures._orphans
    assert not node._context.dirty
    assert survivor.closed is None
