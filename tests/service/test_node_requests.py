"""Peer messages, the inbox and its window, shapes, scopes, rates, and requests that nobody answers."""

import pytest

from rtmcore.codes import (
    CloseCode,
    GetMembersError,
    JoinChannelError,
    LeaveChannelError,
    SendChannelMessageError,
    SendPeerMessageError,
)
from rtmcore.limits import (
    COMMAND_TIMEOUT,
    INBOX_WINDOW_BYTES,
    INBOX_WINDOW_MESSAGES,
    MESSAGE_BYTES,
    REQUESTS_IN_FLIGHT,
    SEND_RATE,
    SEND_TIMEOUT,
    SERVER_RATE_BURST,
    RateLimit,
)
from rtmcore.service.commands.messages import PublishMessage
from rtmcore.service.config import NodeConfig
from rtmcore.wire.codec import JSON, MSGPACK
from rtmcore.wire.packets import (
    Ack,
    ChannelEntry,
    Failed,
    Floor,
    GetMembers,
    InboxEntry,
    Join,
    Joined,
    Leave,
    MemberList,
    PeerSent,
    Publish,
    Published,
    Ready,
    SendPeer,
    Top,
    Welcome,
)
from tests.service.wires import World

UNLIMITED = NodeConfig(node="n1", rate_limits=False)


@pytest.mark.parametrize("codec", [MSGPACK, JSON], ids=lambda codec: codec.subprotocol)
@pytest.mark.parametrize("drip", [False, True])
def test_a_peer_message_is_answered_when_the_peer_has_acknowledged_it(world, codec, drip):
    alice, bob = world.login("alice", codec), world.login("bob")
    alice.drip = bob.drip = drip
    number = alice.send_peer("bob", b"\x00hello")
    entry = bob.expect(InboxEntry)
    assert (entry.user, entry.iid, entry.i, entry.kind) == ("alice", alice.iid, number, 2)
    assert entry.body == b"\x00hello"
    assert not entry.offline
    assert not entry.again
    world.pass_time(1)
    assert not alice.all_of(PeerSent)
    bob.say(Ack(entry.id))
    sent = alice.expect(PeerSent)
    assert (sent.i, sent.code, sent.id) == (number, SendPeerMessageError.OK, entry.id)


def test_messages_to_the_absent(world):
    alice = world.login("alice")
    alice.send_peer("bob", b"lost")
    assert alice.expect(PeerSent).code == SendPeerMessageError.PEER_UNREACHABLE
    alice.send_peer("bob", b"kept", offline=True)
    assert alice.expect(PeerSent).code == SendPeerMessageError.CACHED_BY_SERVER
    bob = world.wire()
    bob.hello("bob")
    bob.expect(Ready)
    entry = bob.expect(InboxEntry)
    assert (entry.body, entry.offline) == (b"kept", True)
    assert bob.expect(Top) == Top(entry.id, 0)


def test_one_can_write_to_oneself(world):
    alice = world.login("alice")
    alice.send_peer("alice", b"note")
    alice.say(Ack(alice.expect(InboxEntry).id))
    assert alice.expect(PeerSent).code == 0


def test_a_peer_that_does_not_acknowledge_lets_the_send_fail_in_the_senders_time(world):
    alice, bob = world.login("alice"), world.login("bob")
    start = world.now
    alice.send_peer("bob", b"x", wait=3000)
    failed = alice.expect(Failed, within=4)
    assert failed.code == SendPeerMessageError.TIMEOUT
    assert world.now - start == pytest.approx(3, abs=0.2)
    start = world.now
    alice.send_peer("bob", b"x")
    assert alice.expect(Failed, within=SEND_TIMEOUT + 1).code == SendPeerMessageError.TIMEOUT
    assert world.now - start == pytest.approx(SEND_TIMEOUT, abs=0.2)
    assert bob.closed is None


def test_no_more_than_the_window_is_sent_ahead(make_world):
    world = make_world(config=UNLIMITED)
    alice, bob = world.login("alice"), world.login("bob")
    for number in range(INBOX_WINDOW_MESSAGES + 50):
        alice.send_peer("bob", str(number).encode())
    world.pass_time(1)
    got = bob.all_of(InboxEntry)
    assert len(got) == INBOX_WINDOW_MESSAGES
    bob.say(Ack(got[9].id))
    world.pass_time(1)
    assert len(bob.all_of(InboxEntry)) == INBOX_WINDOW_MESSAGES + 10
    for _ in range(6):
        bob.say(Ack(bob.all_of(InboxEntry)[-1].id))
        world.pass_time(0.3)
    bodies = [int(packet.body) for packet in bob.all_of(InboxEntry)]
    assert bodies == list(range(INBOX_WINDOW_MESSAGES + 50))
    assert len(alice.all_of(PeerSent)) == INBOX_WINDOW_MESSAGES + 50
    alice.send_peer("bob", b"live again")
    assert bob.expect(InboxEntry).body == b"0"
    world.pass_time(0.3)
    assert bob.all_of(InboxEntry)[-1].body == b"live again"


def test_the_window_counts_bytes_as_well(make_world):
    world = make_world(config=UNLIMITED)
    alice, bob = world.login("alice"), world.login("bob")
    for _ in range(40):
        alice.send_peer("bob", b"x" * MESSAGE_BYTES)
    world.pass_time(1)
    assert len(bob.all_of(InboxEntry)) == INBOX_WINDOW_BYTES // MESSAGE_BYTES
    bob.say(Ack(bob.all_of(InboxEntry)[-1].id))
    world.pass_time(1)
    assert len(bob.all_of(InboxEntry)) == 40


@pytest.mark.parametrize(
    ("window", "window_bytes", "ahead"), [(3, 0, 3), (0, 2500, 2), (0, 1, 1), (2, 100_000, 2)]
)
def test_a_client_may_ask_for_a_smaller_window(world, window, window_bytes, ahead):
    alice = world.login("alice")
    bob = world.login("bob", window=window, window_bytes=window_bytes)
    for _ in range(10):
        alice.send_peer("bob", b"x" * 1000)
    for count in range(ahead, 10 + ahead, ahead):
        world.pass_time(0.5)
        got = bob.all_of(InboxEntry)
        assert len(got) == min(count, 10)
        bob.say(Ack(got[-1].id))
    world.pass_time(0.5)
    assert len(alice.all_of(PeerSent)) == 10


def test_a_client_cannot_have_a_larger_window_than_announced(make_world):
    world = make_world(config=UNLIMITED)
    alice, bob = world.login("alice"), world.login("bob", window=10**6, window_bytes=10**9)
    for _ in range(INBOX_WINDOW_MESSAGES + 5):
        alice.send_peer("bob", b"x")
    world.pass_time(1)
    assert len(bob.all_of(InboxEntry)) == INBOX_WINDOW_MESSAGES


def test_a_full_window_stops_nothing_but_the_inbox(make_world):
    world = make_world(config=UNLIMITED)
    alice, bob = world.login("alice"), world.login("bob", window=1)
    alice.join("room")
    bob.join("room")
    for _ in range(5):
        alice.send_peer("bob", b"x")
    alice.published("room", b"still flows")
    assert bob.expect(ChannelEntry).body == b"still flows"
    assert bob.published("room", b"me too")


@pytest.mark.parametrize(
    ("packet", "code"),
    [
        (SendPeer(1, "", 2, b"x"), SendPeerMessageError.INVALID_USER_ID),
        (SendPeer(1, "null", 2, b"x"), SendPeerMessageError.INVALID_USER_ID),
        (SendPeer(1, "x" * 65, 2, b"x"), SendPeerMessageError.INVALID_USER_ID),
        (SendPeer(1, "a*b", 2, b"x"), SendPeerMessageError.INVALID_USER_ID),
        (SendPeer(1, "bob", 0, b"x"), SendPeerMessageError.INVALID_MESSAGE),
        (SendPeer(1, "bob", 3, b"x"), SendPeerMessageError.INVALID_MESSAGE),
        (SendPeer(1, "bob", 2, b"x" * (MESSAGE_BYTES + 1)), SendPeerMessageError.INVALID_MESSAGE),
        (SendPeer(1, "bob", 1, b"\xff"), SendPeerMessageError.INVALID_MESSAGE),
        (Publish(1, "room", 9, b"x"), SendChannelMessageError.INVALID_MESSAGE),
        (Publish(1, "room", 2, b"x" * (MESSAGE_BYTES + 1)), SendChannelMessageError.INVALID_MESSAGE),
        (Publish(1, "room", 1, b"\xc3"), SendChannelMessageError.INVALID_MESSAGE),
        (Join(1, ""), JoinChannelError.INVALID_ARGUMENT),
        (Join(1, "null"), JoinChannelError.INVALID_ARGUMENT),
        (Join(1, "x" * 65), JoinChannelError.INVALID_ARGUMENT),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize("codec", [MSGPACK, JSON], ids=lambda codec: codec.subprotocol)
def test_requests_of_the_wrong_shape_fail_with_their_code(packet, code, codec):
    world = World()
    wire = world.login("alice", codec)
    wire.say(packet)
    failed = wire.expect(Failed)
    assert (failed.i, failed.code) == (1, code)
    assert failed.text
    assert wire.closed is None


def test_text_in_any_script_is_text(world):
    alice, bob = world.login("alice"), world.login("bob", JSON)
    text = "Grüße, 猫 \U0001f600"
    alice.say(SendPeer(1, "bob", 1, text.encode()))
    assert bob.expect(InboxEntry).body.decode() == text


def test_a_token_permits_what_it_names(world):
    alice = world.login("alice", token="rooms")
    alice.join("room-1")
    assert alice.published("room-1", b"x")
    alice.say(Join(11, "hall"))
    assert alice.expect(Failed).code == JoinChannelError.REJECTED
    alice.say(Publish(12, "hall", 2, b"x"))
    assert alice.expect(Failed).code == SendChannelMessageError.FAILURE
    alice.send_peer("nobody", b"x")
    assert alice.expect(PeerSent)
    bob = world.login("bob", token="login only")
    bob.send_peer("alice", b"x")
    assert bob.expect(Failed).code == SendPeerMessageError.FAILURE
    bob.say(Join(99, "room-1"))
    assert bob.expect(Failed).code == JoinChannelError.REJECTED


# --- Rates ----------------------------------------------------------------------------


def test_sends_to_peers_and_channels_share_one_rate(world):
    wire = world.login("alice")
    wire.join("room")
    start = world.now
    for index in range(SERVER_RATE_BURST * SEND_RATE.count):
        if index % 2:
            wire.publish("room", b"x")
        else:
            wire.send_peer("nobody", b"x")
    peer, channel = wire.send_peer("nobody", b"x"), wire.publish("room", b"x")
    world.pass_time(0.5)
    assert len(wire.all_of(PeerSent)) + len(wire.all_of(Published)) == SERVER_RATE_BURST * SEND_RATE.count
    failed = {packet.i: packet for packet in wire.all_of(Failed)}
    assert failed[peer].code == SendPeerMessageError.TOO_OFTEN
    assert failed[channel].code == SendChannelMessageError.TOO_OFTEN
    assert failed[peer].retry == pytest.approx(1000 * SEND_RATE.seconds / SEND_RATE.count, abs=1)
    world.pass_time(start + SEND_RATE.seconds + 0.2 - world.now)
    assert wire.published("room", b"x")


def test_a_refused_call_does_not_count(world):
    wire = world.login("alice")
    for _ in range(10):
        wire.say(GetMembers(wire.next_request(), "room"))
    for _ in range(20):
        wire.say(GetMembers(wire.next_request(), "room"))
    world.pass_time(0.5)
    assert [packet.code for packet in wire.all_of(Failed)].count(GetMembersError.TOO_OFTEN) == 20
    wire.join("room")
    wire.say(GetMembers(wire.next_request(), "room"))
    assert wire.expect(MemberList)


def test_joins_have_a_rate_of_their_own_and_one_per_channel(make_world):
    rates = {"join": RateLimit(10, 100.0), "join_same": RateLimit(2, 100.0)}
    world = make_world(config=NodeConfig(node="n1", rates=rates))
    wire = world.login("alice")
    for _ in range(4):
        wire.join("room")
        wire.say(Leave(wire.next_request(), "room"))
    wire.say(Join(wire.next_request(), "room"))
    failed = wire.expect(Failed)
    assert failed.code == JoinChannelError.JOIN_SAME_CHANNEL_TOO_OFTEN
    assert 40_000 < failed.retry <= 50_000
    for index in range(16):
        wire.say(Join(wire.next_request(), f"room-{index}"))
    over = wire.next_request()
    wire.say(Join(over, "another"))
    world.pass_time(0.3)
    assert [packet.i for packet in wire.all_of(Failed) if packet.code == JoinChannelError.TOO_OFTEN] == [over]
    world.pass_time(50)
    assert wire.join("room")


def test_a_repeat_of_a_counted_request_is_not_counted_again(make_world):
    world = make_world(config=NodeConfig(node="n1", rates={"send": RateLimit(90, 1000.0)}))
    alice, bob = world.login("alice"), world.login("bob")
    alice.join("room")
    bob.join("room")
    numbers = [alice.publish("room", b"x") for _ in range(180)]
    refused = alice.publish("room", b"too often")
    for data in alice.data_to_send():
        alice.send(data)
    alice.cut()
    world.pass_time(0.4)
    back = alice.back()
    back.expect(Ready)
    for number in (*numbers, refused):
        back.say(Publish(number, "room", 2, b"x"))
    world.pass_time(0.5)
    assert [packet.i for packet in back.all_of(Published)] == numbers
    assert [packet.i for packet in back.all_of(Failed)] == [refused]
    assert len(bob.all_of(ChannelEntry)) == len(numbers)


# --- Requests that wait -----------------------------------------------------------------


def test_a_repeat_on_the_same_transport_is_answered_once(world):
    alice, bob = world.login("alice"), world.login("bob")
    for _ in range(3):
        alice.say(SendPeer(7, "bob", 2, b"x"))
    entry = bob.expect(InboxEntry)
    bob.say(Ack(entry.id))
    world.pass_time(1)
    assert len(alice.all_of(PeerSent)) == 1
    assert len(bob.all_of(InboxEntry)) == 1


def test_requests_below_the_floor_are_never_carried_out(world):
    alice, bob = world.login("alice"), world.login("bob")
    alice.say(Floor(10), SendPeer(9, "bob", 2, b"too late"), SendPeer(10, "bob", 2, b"in time"))
    assert alice.expect(Failed).i == 9
    assert bob.expect(InboxEntry).body == b"in time"


def test_more_requests_than_may_wait_are_refused(world):
    world = World(config=UNLIMITED)
    alice, bob = world.login("alice"), world.login("bob")
    numbers = [alice.send_peer("bob", b"x") for _ in range(REQUESTS_IN_FLIGHT)]
    over = alice.send_peer("bob", b"one too many")
    world.settle()
    failed = alice.all_of(Failed)
    assert [(packet.i, packet.code) for packet in failed] == [(over, SendPeerMessageError.FAILURE)]
    assert failed[0].retry
    for _ in range(5):
        bob.say(Ack(bob.all_of(InboxEntry)[-1].id))
        world.settle()
    assert [packet.i for packet in alice.all_of(PeerSent)] == numbers
    alice.send_peer("nobody", b"x")
    assert alice.expect(PeerSent)


def test_an_engine_that_does_not_answer_fails_each_request_with_its_code(world):
    world = World(seed=5)
    wire = world.login("alice")
    wire.join("room")
    world.late.paused = True
    start = world.now
    requests = [
        (SendPeer(11, "bob", 2, b"x", wait=1000), SendPeerMessageError.TIMEOUT, COMMAND_TIMEOUT + 1),
        (Publish(12, "room", 2, b"x"), SendChannelMessageError.TIMEOUT, COMMAND_TIMEOUT),
        (Join(13, "hall"), JoinChannelError.TIMEOUT, COMMAND_TIMEOUT),
        (Leave(14, "room"), LeaveChannelError.FAILURE, COMMAND_TIMEOUT),
        (GetMembers(15, "room"), GetMembersError.TIMEOUT, COMMAND_TIMEOUT),
    ]
    wire.say(*(packet for packet, _, _ in requests))
    answered = {}
    for _ in requests:
        failed = wire.expect(Failed, within=7)
        answered[failed.i] = (failed.code, round(world.now - start, 2))
    assert answered == {packet.i: (code, seconds) for packet, code, seconds in requests}
    assert wire.closed is None
    world.late.paused = False
    world.pass_time(1)
    assert len(wire.all_of(Failed)) == len(requests), "late answers are dropped"
    assert not wire.all_of(Published)


def test_a_join_that_succeeds_after_its_failure_was_told_can_be_repeated(world):
    world = World(seed=6)
    alice, bob = world.login("alice"), world.login("bob")
    bob.join("room")
    world.late.paused = True
    alice.say(Join(1, "room"))
    assert alice.expect(Failed, within=6).code == JoinChannelError.TIMEOUT
    alice.requests = 1
    early = alice.next_request()
    alice.say(Join(early, "room"))
    world.late.paused = False
    assert alice.expect(Joined).i == early
    bob.published("room", b"x")
    assert alice.expect(ChannelEntry).body == b"x"
    world.pass_time(1)
    assert world.node.stats()["channels"] == 1


def test_a_late_success_of_a_join_is_found_by_the_next_one(world):
    world = World(seed=7)
    alice, bob = world.login("alice"), world.login("bob")
    bob.join("room")
    world.late.paused = True
    alice.say(Join(1, "room"))
    alice.expect(Failed, within=6)
    world.late.paused = False
    world.pass_time(1)
    bob.published("room", b"not for alice, who thinks that she is not in")
    world.pass_time(0.5)
    assert not alice.all_of(ChannelEntry)
    alice.requests = 1
    assert alice.join("room")
    bob.published("room", b"for alice")
    assert alice.expect(ChannelEntry).body == b"for alice"


def test_requests_that_come_right_behind_the_welcome_are_carried_out(world):
    alice, bob = world.login("alice"), world.login("bob")
    alice.cut()
    back = alice.back()
    back.expect(Welcome)
    back.say(SendPeer(3, "bob", 2, b"quick"))
    assert bob.expect(InboxEntry).body == b"quick"


def test_answers_to_one_session_keep_their_order(make_world):
    """Requests of one kind of command are answered in the order in which they were made."""
    world = make_world(config=UNLIMITED)
    wire = world.login("alice")
    wire.join("room")
    first = wire.publish("room", b"x")
    wire.say(GetMembers(wire.next_request(), "room"), Publish(wire.next_request(), "room", 2, b"y"))
    wire.send_peer("nobody", b"z")
    world.pass_time(1)
    answers = [packet.i for packet in wire.heard if isinstance(packet, Published | MemberList | PeerSent)]
    assert answers == list(range(first, first + 4))


def test_commands_carry_the_instance_and_the_floor():
    seen = []

    class Spy:
        def __init__(self, inner) -> None:
            self._inner = inner

        def submit(self, command, now, wall) -> None:
            seen.append(command)
            self._inner.submit(command, now, wall)

        def __getattr__(self, name):
            return getattr(self._inner, name)

    world = World(around=Spy)
    wire = world.login("alice", floor=3)
    wire.say(Floor(5), Floor(4), Publish(6, "room", 2, b"x"))
    wire.expect(Failed)
    command = next(command for command in seen if isinstance(command, PublishMessage))
    assert (command.iid, command.cmid, command.floor) == (wire.iid, 6, 5)
    assert command.session.fence == wire.welcome.fence
    assert command.session.place.node == "n1"
    assert wire.closed is None or wire.closed.code != CloseCode.MALFORMED
