"""Media connections and the data frames on them: opened by a session's secret, last in a turn, never kept."""

import random

import pytest
from msgspec import msgpack

from rtmcore.codes import CloseCode
from rtmcore.limits import (
    COMMAND_TIMEOUT,
    CONNECTIONS_BEFORE_HELLO_PER_ADDRESS,
    DATA_FRAMES_KEPT,
    HELLO_BYTES,
    HELLO_TIMEOUT,
    MESSAGE_BYTES,
    ROOM_MEDIA_BEAT,
    ROOM_MEDIA_INTERRUPTED_AFTER,
    ROOM_SESSION_TIMEOUT,
    SECRET_LENGTH_MAX,
    TRACK_NAME_BYTES,
    WRITE_CHUNK,
)
from rtmcore.service.config import NodeConfig
from rtmcore.wire.codec import JSON, MSGPACK
from rtmcore.wire.packets import (
    Ack,
    Beat,
    Bye,
    ChannelEntry,
    ChannelPosition,
    Data,
    DataEntry,
    Failed,
    Join,
    MediaHello,
    MediaWelcome,
    Ready,
    Welcome,
)
from tests.service.wires import APP, SETTLE


@pytest.fixture
def room(world):
    """Two participants with their media connections: (alice, hers, bob, his)."""
    alice, bob = world.enter("room", "alice", "lobby"), world.enter("room", "bob", "lobby")
    return alice, alice.media(), bob, bob.media()


# --- Opening ------------------------------------------------------------------------------


def test_a_media_connection_opens_with_the_secret_of_the_welcome(world):
    alice = world.enter("room", "alice", "lobby")
    wire = alice.media_hello()
    assert wire.expect(MediaWelcome) == MediaWelcome(
        beat=round(ROOM_MEDIA_BEAT * 1000), interrupted=round(ROOM_MEDIA_INTERRUPTED_AFTER * 1000)
    )
    assert world.node.stats()["media_connections"] == 1
    assert world.node.media_connections == {wire.number}
    assert world.node.stats()["sessions"] == 1
    assert world.node.stats()["connections_before_hello"] == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"secret": "wrong"},
        {"secret": ""},
        {"fence": 1},
        {"user": "bob"},
        {"user": "nobody"},
        {"scope": "hall"},
        {"app": "b" * 32},
        {"user": ""},
        {"scope": "*"},
        {"app": "short"},
    ],
    ids=str,
)
def test_without_its_session_it_is_closed(world, changes):
    alice = world.enter("room", "alice", "lobby")
    world.enter("room", "bob", "lobby")
    alice.media_hello(**changes).expect_closed(CloseCode.NO_SESSION)
    assert alice.media()
    assert world.node.stats()["media_connections"] == 1
    assert world.node.stats()["channels"] == 1


def test_the_secret_of_the_session_itself_opens_nothing(world):
    alice = world.enter("room", "alice", "lobby")
    alice.media_hello(secret=alice.welcome.secret).expect_closed(CloseCode.NO_SESSION)


@pytest.mark.parametrize("kind", ["rtm", "rtc"])
def test_other_sessions_have_no_media_connection(world, kind):
    wire = world.login("alice") if kind == "rtm" else world.enter("rtc", "alice", "lobby")
    wire.scope = "lobby"
    wire.media_hello(secret=wire.welcome.secret).expect_closed(CloseCode.NO_SESSION)


def test_a_secret_of_any_length_is_not_looked_at(world):
    alice = world.enter("room", "alice", "lobby")
    alice.media_hello(secret="x" * (SECRET_LENGTH_MAX + 1)).expect_closed(CloseCode.MALFORMED)


def test_a_later_one_takes_over_and_an_earlier_one_is_refused(world):
    alice, bob = world.enter("room", "alice", "lobby"), world.enter("room", "bob", "lobby")
    his = bob.media()
    first = alice.media(attempt=1)
    second = alice.media(attempt=2)
    first.expect_closed(CloseCode.REPLACED)
    alice.media_hello(attempt=2).expect_closed(CloseCode.STALE_ATTEMPT)
    alice.media_hello(attempt=1).expect_closed(CloseCode.STALE_ATTEMPT)
    his.send_frame(1)
    assert second.expect(DataEntry).n == 1
    second.send_frame(7)
    assert his.expect(DataEntry) == DataEntry("alice", 7, b"frame", "t")
    assert world.node.stats()["media_connections"] == 2


def test_it_is_held_to_what_is_asked_at_the_door(world):
    silent = world.wire()
    world.pass_time(0.1)
    world.jump(HELLO_TIMEOUT)
    silent.expect_closed(CloseCode.HELLO_TIMEOUT)
    talker = world.wire()
    world.settle()
    talker.say(MediaHello(APP, "alice", "lobby", 1, "x" * HELLO_BYTES))
    talker.expect_closed(CloseCode.TOO_LARGE)
    crowd = [world.wire() for _ in range(CONNECTIONS_BEFORE_HELLO_PER_ADDRESS + 1)]
    world.settle()
    assert crowd[-1].closed.code == CloseCode.TOO_MANY_REQUESTS


def test_an_engine_that_does_not_answer_is_told(make_world):
    world = make_world()
    if world.late is None:
        pytest.skip("needs an engine that can be paused")
    alice = world.enter("room", "alice", "lobby")
    world.late.paused = True
    wire = alice.media_hello()
    wire.expect_closed(CloseCode.ENGINE_UNAVAILABLE, within=COMMAND_TIMEOUT + 1)


def test_one_that_is_gone_before_it_was_answered_is_attached_to_nothing(world):
    alice, bob = world.enter("room", "alice", "lobby"), world.enter("room", "bob", "lobby")
    wire = alice.media_hello()
    world.node.turn(world.now, world.wall)
    for data in wire.data_to_send():
        world.node.receive_data(wire.number, data, world.now)
    wire.cut()
    world.pass_time(SETTLE)
    bob.media().send_frame(1)
    world.pass_time(SETTLE)
    assert world.node.stats()["media_connections"] == 1
    again = alice.media(attempt=2)
    assert again.closed is None


# --- Frames -------------------------------------------------------------------------------


def test_frames_reach_every_other_participant_in_order(world, room):
    alice, hers, bob, his = room
    carol = world.enter("room", "carol", "lobby", codec=JSON)
    theirs = carol.media()
    for n in range(1, 11):
        hers.send_frame(n, bytes(range(n)), "cursor")
    world.pass_time(SETTLE)
    for wire in (his, theirs):
        assert [(each.user, each.n, each.body, each.track) for each in wire.all_of(DataEntry)] == [
            ("alice", n, bytes(range(n)), "cursor") for n in range(1, 11)
        ]
    assert not hers.frames()
    for wire in (alice, bob, carol):
        assert not wire.frames(), "frames take the media connection alone"


def test_frames_stay_in_their_room(world, room):
    _, hers, _, his = room
    other = world.enter("room", "alice", "hall", iid="hall-instance---").media()
    channel = world.enter("rtc", "bob", "lobby")
    hers.send_frame(1)
    other.send_frame(2)
    world.pass_time(SETTLE)
    assert his.frames() == [("alice", 1)]
    assert not other.frames()
    assert not channel.frames()


def test_frames_are_never_replayed(world, room):
    _, hers, bob, his = room
    his.cut()
    hers.send_frame(1)
    world.pass_time(SETTLE)
    again = bob.media(attempt=2)
    hers.send_frame(2)
    world.pass_time(SETTLE)
    assert again.frames() == [("alice", 2)]


def test_a_frame_is_encoded_once_for_each_codec(world, room, monkeypatch):
    _, hers, _, _ = room
    others = [
        world.enter("room", f"user-{n}", "lobby", codec=codec) for n, codec in enumerate((MSGPACK, JSON) * 5)
    ]
    wires = [wire.media() for wire in others]
    encoded = []
    import rtmcore.service.data as data

    inner = data.server_message
    monkeypatch.setattr(
        data, "server_message", lambda codec, packets: encoded.append(codec) or inner(codec, packets)
    )
    hers.send_frame(1)
    world.pass_time(SETTLE)
    assert all(wire.frames() == [("alice", 1)] for wire in wires)
    assert sorted(codec.text for codec in encoded) == [False, True]


@pytest.mark.parametrize(
    ("packet", "code"),
    [
        (Data(1, bytes(MESSAGE_BYTES)), None),
        (Data(1, b"", "x" * TRACK_NAME_BYTES), None),
        (Data(1, bytes(MESSAGE_BYTES + 1)), CloseCode.TOO_LARGE),
        (Data(1, b"", "x" * (TRACK_NAME_BYTES + 1)), CloseCode.TOO_LARGE),
        (Data(1, b"", "é" * TRACK_NAME_BYTES), CloseCode.TOO_LARGE),
        (Data(1, b"", "a\nb"), CloseCode.MALFORMED),
        (Join(1, "lobby"), CloseCode.MALFORMED),
        (Ack(1), CloseCode.MALFORMED),
        (Bye(), CloseCode.MALFORMED),
        (MediaHello(APP, "alice", "lobby", 1, "s"), CloseCode.MALFORMED),
        (Beat(), None),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_may_be_said_on_a_media_connection(world, room, packet, code):
    alice, hers, _, his = room
    hers.say(packet)
    if code is None:
        world.pass_time(SETTLE)
        assert hers.closed is None
        assert len(his.frames()) == isinstance(packet, Data)
    else:
        hers.expect_closed(code)
        assert alice.closed is None
        assert his.closed is None
        assert world.node.stats()["media_connections"] == 1


def test_an_unknown_request_is_answered_with_an_error(world, room):
    _, hers, _, _ = room
    unknown = msgpack.encode([["nosuch", {"i": 5}]])
    hers.transport._output.append(hers.transport._framing.frame(unknown))
    assert hers.expect(Failed).i == 5


@pytest.mark.parametrize("kind", ["rtm", "room"])
def test_frames_have_no_place_on_signaling(world, kind):
    wire = world.login("alice") if kind == "rtm" else world.enter("room", "alice", "lobby")
    wire.say(Data(1, b"x"))
    wire.expect_closed(CloseCode.MALFORMED)


# --- Receivers that do not read -------------------------------------------------------------


def test_a_receiver_that_does_not_read_has_the_newest_frames(world, room):
    alice, hers, bob, his = room
    his.room = 0
    hers.send_frame(0)
    world.pass_time(SETTLE)
    for n in range(1, 4 * DATA_FRAMES_KEPT + 1):
        hers.send_frame(n)
        if n % 50 == 0:
            world.settle()
    world.pass_time(SETTLE)
    assert world.node.stats()["data_frames_dropped"] == 3 * DATA_FRAMES_KEPT
    alice.published("lobby", b"not held back")
    assert bob.expect(ChannelEntry).body == b"not held back"
    his.read_on()
    world.pass_time(SETTLE)
    newest = range(3 * DATA_FRAMES_KEPT + 1, 4 * DATA_FRAMES_KEPT + 1)
    assert [n for _, n in his.frames()] == [0, *newest]
    assert his.closed is None
    hers.send_frame(9999)
    assert [n for _, n in his.frames()][-1] == 9999 or his.expect(DataEntry)


def test_a_burst_is_not_thinned_for_a_receiver_that_reads(world, room):
    _, hers, _, his = room
    for n in range(5 * DATA_FRAMES_KEPT):
        hers.send_frame(n)
    world.pass_time(SETTLE)
    assert [n for _, n in his.frames()] == list(range(5 * DATA_FRAMES_KEPT))
    assert "data_frames_dropped" not in world.node.stats()


def test_large_frames_leave_in_pieces_that_a_socket_takes(world, room):
    _, hers, _, his = room
    count = 3 * WRITE_CHUNK // MESSAGE_BYTES
    for n in range(count):
        hers.send_frame(n, bytes(MESSAGE_BYTES))
    world.pass_time(SETTLE)
    assert [n for _, n in his.frames()] == list(range(count))


# --- Order within a turn ---------------------------------------------------------------------


def test_media_connections_come_last_in_a_turn(world):
    if world.late is not None:
        pytest.skip("a matter of one turn")
    wires = [world.enter("room", f"user-{n}", "lobby") for n in range(6)]
    media = [wire.media() for wire in wires]
    for n, (wire, other) in enumerate(zip(wires, media, strict=True)):
        other.send_frame(n)
        wire.publish("lobby", b"x")
    node = world.node
    node.turn(world.now, world.wall)
    for wire in (*media, *wires):
        for data in wire.data_to_send():
            node.receive_data(wire.number, data, world.now)
    node.handle_timer(world.now)
    order = []
    for number in node.dirty():
        order.append(number)
        world._write(number)
    numbers = {wire.number for wire in media}
    first = next(place for place, number in enumerate(order) if number in numbers)
    assert set(order[:first]) == {wire.number for wire in wires}
    assert set(order[first:]) == numbers


# --- Its life ----------------------------------------------------------------------------------


def test_beats_go_both_ways(world, room):
    _, hers, _, _ = room
    before = len(hers.all_of(Beat))
    world.pass_time(10.5)
    assert 9 <= len(hers.all_of(Beat)) - before <= 11
    assert hers.closed is None


def test_it_is_closed_when_it_is_silent_for_too_long(world, room):
    alice, hers, _, _ = room
    hers.mute = True
    world.pass_time(ROOM_SESSION_TIMEOUT - 1)
    assert hers.closed is None
    world.pass_time(2)
    assert hers.closed.code == CloseCode.HEARTBEAT_TIMEOUT
    assert alice.closed is None
    assert alice.media(attempt=2)


@pytest.mark.parametrize("end", ["logout", "kick", "silence"])
def test_it_ends_with_the_session(world, room, end):
    alice, hers, _, his = room
    if end == "logout":
        alice.say(Bye(alice.welcome.fence))
    elif end == "kick":
        world.enter("room", "alice", "lobby", iid="another-instance-")
    else:
        alice.cut()
        world.pass_time(ROOM_SESSION_TIMEOUT)
    hers.expect_closed(CloseCode.NO_SESSION, within=1.0)
    his.send_frame(1)
    world.pass_time(SETTLE)
    assert his.closed is None
    assert not hers.frames()


def test_it_survives_a_resume_of_the_signaling(world, room):
    alice, hers, _, his = room
    alice.cut()
    world.pass_time(1)
    hers.send_frame(1)
    assert his.expect(DataEntry).n == 1
    back = alice.back([ChannelPosition("lobby", alice.position, alice.roster.version)])
    assert back.expect(Welcome).resumed
    back.expect(Ready)
    his.send_frame(2)
    assert hers.expect(DataEntry).n == 2
    assert hers.closed is None


def test_signaling_survives_the_media_connection(world, room):
    alice, hers, bob, his = room
    hers.cut()
    world.pass_time(1)
    alice.published("lobby", b"still here")
    assert bob.expect(ChannelEntry).body == b"still here"
    again = alice.media(attempt=2)
    his.send_frame(1)
    assert again.expect(DataEntry).n == 1


def test_a_server_that_drains_sends_it_away_too(world, room):
    _, hers, _, _ = room
    world.node.drain(world.now, 1.0)
    hers.expect_closed(CloseCode.SHUTDOWN)
    world.pass_time(1)
    assert world.node.stats()["media_connections"] == 0


def test_a_late_turn_is_not_the_clients_silence(world, room):
    _, hers, _, _ = room
    hers.mute = True
    world.pass_time(ROOM_SESSION_TIMEOUT - 2)
    world.now += 10
    world.settle()
    assert hers.closed is None
    hers.mute = False
    world.pass_time(1)
    assert hers.closed is None


def test_nothing_is_left_behind(world, room):
    for wire in room:
        wire.cut()
    world.pass_time(ROOM_SESSION_TIMEOUT + 5)
    stats = world.node.stats()
    assert (stats["sessions"], stats["connections"], stats["channels"], stats["media_connections"]) == (
        0,
        0,
        0,
        0,
    )


@pytest.mark.parametrize("seed", range(3))
def test_frames_and_messages_under_blocked_sockets(make_world, seed):
    """Whatever blocks, frames arrive in order and once, messages all of them, and nobody is closed."""
    print("seed", seed)
    chance = random.Random(seed)
    world = make_world(config=NodeConfig(node="n1", rate_limits=False))
    wires = [
        world.enter("room", f"user-{n}", "lobby", codec=chance.choice((MSGPACK, JSON))) for n in range(4)
    ]
    media = [wire.media() for wire in wires]
    sent = dict.fromkeys(range(4), 0)
    for _ in range(150):
        n = chance.randrange(4)
        what = chance.random()
        if what < 0.6:
            for _ in range(chance.randrange(1, 30)):
                sent[n] += 1
                media[n].send_frame(sent[n], bytes(chance.randrange(2000)))
        elif what < 0.75:
            wires[n].publish("lobby", b"m" * chance.randrange(1000))
        elif what < 0.9:
            chance.choice((*wires, *media)).room = chance.randrange(5000)
        else:
            chance.choice((*wires, *media)).read_on()
        world.pass_time(chance.choice((0.0, 0.0, 0.05)))
    for wire in (*wires, *media):
        wire.read_on()
    world.pass_time(2)
    for n, wire in enumerate(media):
        sent[n] += 1
        wire.send_frame(sent[n])
    world.pass_time(SETTLE)
    for n, wire in enumerate(media):
        assert wire.closed is None
        for other in range(4):
            numbers = [each.n for each in wire.all_of(DataEntry) if each.user == f"user-{other}"]
            assert numbers == sorted(set(numbers))
            if other == n:
                assert not numbers
            else:
                assert numbers[-1] == sent[other]
    for n, wire in enumerate(wires):
        assert wire.closed is None
        entries = wire.all_of(ChannelEntry)
        assert len(entries) == sum(each.requests for place, each in enumerate(wires) if place != n)
