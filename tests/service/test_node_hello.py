"""From the first byte to the welcome: shapes, limits, tokens, rates, and what a claim comes to."""

import attrs
import pytest

from rtmcore.codes import CloseCode, ConnectionChangeReason, LoginError
from rtmcore.limits import (
    CHANNELS_JOINED,
    COMMAND_TIMEOUT,
    FRAME_BYTES,
    HELLO_BYTES,
    HELLO_TIMEOUT,
    OFFLINE_AFTER,
    TOKEN_BYTES,
)
from rtmcore.service.config import ANNOUNCED_LIMITS, NodeConfig
from rtmcore.wire.codec import JSON, MSGPACK
from rtmcore.wire.packets import (
    Ack,
    Beat,
    Bye,
    ChannelPosition,
    Done,
    Failed,
    Floor,
    Hello,
    Join,
    Kicked,
    MemberChanged,
    PeerSent,
    Ready,
    Refused,
    Restored,
    Roster,
    Sync,
    Top,
    Unknown,
    Welcome,
)
from tests.service.wires import APP, OTHER_APP, START, WALL, Wire

CODECS = pytest.mark.parametrize("codec", [MSGPACK, JSON], ids=lambda codec: codec.subprotocol)


def is_fine(wire: Wire) -> bool:
    """Whether a logged-in wire still works."""
    wire.send_peer("nobody", b"")
    return wire.expect(PeerSent).code == 3 and wire.closed is None


@CODECS
@pytest.mark.parametrize("drip", [False, True])
def test_a_login_is_welcomed_with_everything_a_client_has_to_know(world, codec, drip):
    wire = world.wire(codec, drip=drip)
    wire.hello("alice")
    welcome = wire.expect(Welcome)
    assert attrs.evolve(welcome, fence=0, now=0) == Welcome(
        fence=0,
        secret="secret-1",
        resumed=False,
        epoch="epoch-1",
        node="n1",
        now=0,
        durability="memory",
        inbox=0,
        beat=1500,
        interrupted=4000,
        unreachable=6000,
        offline=30000,
        limits=ANNOUNCED_LIMITS,
        token_policy="keep",
        token_expires=None,
    )
    assert welcome.fence >= WALL
    assert 0 <= welcome.now - WALL // 1000 <= (world.now - START) * 1000
    wire.expect(Ready)
    assert wire.expect(Top) == Top(0, 0)
    assert world.node.stats()["sessions"] == 1
    assert world.node.stats()["connections_before_hello"] == 0


def test_the_welcome_says_what_the_settings_say(make_world):
    config = NodeConfig(node="n1", durability="disk", token_policy="abort")
    wire = make_world(config=config).login("alice", token="short")
    assert wire.welcome.durability == "disk"
    assert wire.welcome.token_policy == "abort"
    assert wire.welcome.token_expires == WALL // 1000 + 20_000


def test_without_a_hello_in_time_the_connection_is_closed(world):
    neighbour = world.login("neighbour")
    wire = world.wire()
    world.pass_time(HELLO_TIMEOUT - 0.01)
    assert wire.opened
    assert wire.closed is None
    wire.expect_closed(CloseCode.HELLO_TIMEOUT, within=0.02)
    assert is_fine(neighbour)
    assert world.node.stats()["connections_before_hello"] == 0


def test_beats_do_not_keep_the_door_open(world):
    wire = world.wire()
    world.settle()
    wire.say(Beat())
    world.pass_time(HELLO_TIMEOUT - 1)
    wire.say(Beat())
    wire.expect_closed(CloseCode.HELLO_TIMEOUT, within=1)


def test_a_hello_of_the_largest_size_is_taken(world):
    wire = world.wire()
    channels = [
        ChannelPosition("c" * 60 + f"{index:04}", 2**53 - 1, 2**53 - 1) for index in range(CHANNELS_JOINED)
    ]
    wire.hello("u" * 64, iid="i" * 32, channels=channels, sdk="s" * 5000, secret="x" * 128)
    assert len([wire.expect(Restored) for _ in channels]) == CHANNELS_JOINED
    wire.expect(Ready)


def test_more_bytes_than_a_hello_takes_close_the_connection(world):
    neighbour = world.login("neighbour")
    wire = world.wire()
    wire.hello("alice", sdk="s" * HELLO_BYTES)
    wire.expect_closed(CloseCode.TOO_LARGE)
    assert is_fine(neighbour)


def test_a_stream_of_small_packets_is_no_hello(world):
    wire = world.wire()
    world.settle()
    for _ in range(HELLO_BYTES // 8):
        wire.say(Beat())
    wire.expect_closed(CloseCode.TOO_LARGE)


@pytest.mark.parametrize(
    "packet",
    [
        Join(1, "room"),
        Bye(),
        Ack(1),
        Sync(1),
        Floor(1),
        Ready(),
        Welcome(1, "s", True, "e", "n", 1, "memory", 0, 1, 1, 1, 1, {}, "keep"),
        Unknown(1),
    ],
    ids=lambda packet: type(packet).__name__,
)
def test_before_the_hello_nothing_else_has_a_place(world, packet):
    neighbour = world.login("neighbour")
    wire = world.wire()
    world.settle()
    _say(wire, packet)
    wire.expect_closed(CloseCode.MALFORMED)
    assert is_fine(neighbour)


def test_unknown_packets_that_ask_for_nothing_are_ignored_at_every_stage(world):
    wire = world.wire()
    world.settle()
    _say(wire, Unknown())
    wire.hello("alice")
    _say(wire, Unknown())
    wire.expect(Ready)
    _say(wire, Unknown())
    assert is_fine(wire)


def test_an_unknown_request_is_refused_and_nothing_else_happens(world):
    wire = world.login("alice")
    _say(wire, Unknown(77))
    failed = wire.expect(Failed)
    assert (failed.i, failed.code) == (77, 1)
    assert "unsupported" in failed.text
    assert is_fine(wire)


def _say(wire: Wire, packet: object) -> None:
    """Send a packet; an `Unknown` goes out under a tag that nobody knows."""
    if not isinstance(packet, Unknown):
        wire.say(packet)
        return
    fields = {} if packet.i is None else {"i": packet.i}
    wire.transport._output.append(wire.transport._framing.frame(wire.codec._encode([("x-new", fields)])))


def test_a_second_hello_is_malformed(world):
    wire = world.login("alice")
    wire.say(Hello(app=APP, user="alice", token=None, iid="i" * 16, attempt=2, login=True))
    wire.expect_closed(CloseCode.MALFORMED)


def test_a_hello_behind_a_hello_is_malformed(world):
    wire = world.wire()
    wire.hello("alice")
    wire.hello("alice", attempt=2)
    wire.expect_closed(CloseCode.MALFORMED)


def test_what_only_a_server_says_is_malformed(world):
    wire = world.login("alice")
    wire.say(Done(1))
    wire.expect_closed(CloseCode.MALFORMED)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"iid": "short"}, CloseCode.MALFORMED),
        ({"iid": "x" * 33}, CloseCode.MALFORMED),
        ({"iid": "é" * 16}, CloseCode.MALFORMED),
        ({"secret": "x" * 129}, CloseCode.MALFORMED),
        ({"channels": [ChannelPosition("a", 0, 0)] * 2}, CloseCode.MALFORMED),
        ({"channels": [ChannelPosition(f"{n}", 0, 0) for n in range(65)]}, CloseCode.TOO_LARGE),
        ({"kind": "call"}, CloseCode.UNSUPPORTED),
        ({"scope": "lobby"}, CloseCode.MALFORMED),
        (
            {"kind": "room", "scope": "lobby", "channels": [ChannelPosition("hall", 0, 0)]},
            CloseCode.MALFORMED,
        ),
    ],
    ids=lambda value: str(value)[:30],
)
def test_hellos_that_no_client_of_the_protocol_says(world, changes, code):
    neighbour = world.login("neighbour")
    wire = world.wire()
    wire.hello("alice", **changes)
    wire.expect_closed(code)
    assert is_fine(neighbour)


@pytest.mark.parametrize(
    ("user", "changes", "code"),
    [
        ("alice", {"app": "short"}, LoginError.INVALID_APP_ID),
        ("alice", {"app": "é" * 32}, LoginError.INVALID_APP_ID),
        ("alice", {"app": "c" * 32}, LoginError.INVALID_APP_ID),
        ("", {}, LoginError.INVALID_ARGUMENT),
        ("null", {}, LoginError.INVALID_ARGUMENT),
        ("x" * 65, {}, LoginError.INVALID_ARGUMENT),
        ("*", {}, LoginError.INVALID_ARGUMENT),
        ("alice", {"token": "wrong"}, LoginError.INVALID_TOKEN),
        ("alice", {"token": "x" * (TOKEN_BYTES + 1)}, LoginError.INVALID_TOKEN),
        ("alice", {"token": "nameless"}, LoginError.INVALID_TOKEN),
        ("alice", {"token": "expired"}, LoginError.TOKEN_EXPIRED),
        ("alice", {"token": "no login"}, LoginError.NOT_AUTHORIZED),
        ("alice", {"token": "expired", "login": False, "fence": 1}, LoginError.TOKEN_EXPIRED),
    ],
)
def test_refused_logins_say_why(world, user, changes, code):
    neighbour = world.login("neighbour")
    wire = world.wire()
    wire.hello(user, **{"iid": "i" * 16, **changes})
    refused = wire.expect(Refused)
    assert refused.code == code
    assert refused.text
    wire.expect_closed(CloseCode.LOGIN_REFUSED)
    assert is_fine(neighbour)


def test_logins_are_limited_per_user_and_only_after_the_token_was_verified(world):
    for _ in range(5):
        thief = world.wire()
        thief.hello("alice", token="wrong")
        assert thief.expect(Refused).code == LoginError.INVALID_TOKEN
    start = world.now
    for attempt in range(1, 5):
        world.wire().hello("alice", attempt=attempt)
    world.settle()
    last = world.wire()
    last.hello("alice", attempt=5)
    refused = last.expect(Refused)
    assert refused.code == LoginError.TOO_OFTEN
    assert 0 < refused.retry <= 500
    closed = last.expect_closed(CloseCode.LOGIN_REFUSED)
    assert closed.retry_after == pytest.approx(refused.retry / 1000, abs=0.001)
    world.login("bob")
    world.login("alice", app=OTHER_APP)
    world.pass_time(start + 1.6 - world.now)
    world.login("alice", attempt=6)


def test_returns_are_not_counted_as_logins(world):
    wire = world.login("alice")
    for _ in range(5):
        wire = wire.back()
        wire.welcome = wire.expect(Welcome)
        assert wire.welcome.resumed


def test_rates_can_be_switched_off_and_raised(make_world):
    world = make_world(config=NodeConfig(node="n1", rate_limits=False))
    for attempt in range(1, 10):
        world.login("alice", attempt=attempt)
    raised = make_world(config=NodeConfig(node="n1", rate_factor=3))
    for attempt in range(1, 13):
        raised.wire().hello("alice", attempt=attempt)
        raised.settle()
    last = raised.wire()
    last.hello("alice", attempt=13)
    assert last.expect(Refused).code == LoginError.TOO_OFTEN


def test_a_login_from_another_client_kicks_the_first(world):
    first = world.login("alice", iid="first-instance--")
    second = world.login("alice", iid="second-instance-")
    kicked = first.expect(Kicked)
    assert kicked.reason == ConnectionChangeReason.REMOTE_LOGIN
    first.expect_closed(CloseCode.REMOTE_LOGIN)
    late = first.back()
    assert late.expect(Kicked).reason == ConnectionChangeReason.REMOTE_LOGIN
    late.expect_closed(CloseCode.REMOTE_LOGIN)
    assert is_fine(second)


def test_a_newer_transport_of_the_same_client_replaces_the_older_without_a_word(world):
    first = world.login("alice")
    second = first.back()
    assert second.expect(Welcome).resumed
    first.expect_closed(CloseCode.REPLACED)
    assert not first.all_of(Kicked)
    assert is_fine(second)


def test_an_older_attempt_that_arrives_late_changes_nothing(world):
    wire = world.login("alice", attempt=5)
    for attempt in (4, 5):
        late = wire.back(attempt=attempt)
        late.expect_closed(CloseCode.STALE_ATTEMPT)
        assert not late.all_of(Kicked)
    assert is_fine(wire)


def test_a_return_with_another_secret_logs_in_afresh(world):
    wire = world.login("alice")
    back = wire.back(secret="guessed")
    assert not back.expect(Welcome).resumed


@pytest.mark.parametrize("fence", [None, "own"])
def test_a_goodbye_ends_the_session_at_once(world, fence):
    wire = world.login("alice")
    other = world.login("bob")
    wire.join("room")
    other.join("room")
    wire.say(Bye(None if fence is None else wire.welcome.fence))
    wire.expect_closed(CloseCode.LOGGED_OUT)
    left = other.expect(MemberChanged)
    assert (left.user, left.joined, left.count) == ("alice", False, 1)
    other.send_peer("alice", b"gone")
    assert other.expect(PeerSent).code == 3


def test_a_goodbye_for_an_older_session_touches_nothing(world):
    wire = world.login("alice")
    wire.say(Bye(wire.welcome.fence - 1))
    assert is_fine(wire)


def test_a_goodbye_behind_the_hello_is_carried_out_after_it(world):
    other = world.login("bob")
    wire = world.wire()
    wire.hello("alice")
    wire.say(Bye())
    wire.expect_closed(CloseCode.LOGGED_OUT)
    other.send_peer("alice", b"gone")
    assert other.expect(PeerSent).code == 3


def test_a_goodbye_behind_the_hello_is_carried_out_even_if_the_connection_is_gone(make_world):
    world = make_world()
    other = world.login("bob")
    wire = world.wire()
    wire.hello("alice")
    wire.say(Bye())
    for data in wire.data_to_send():
        wire.send(data)
    wire.cut()
    world.pass_time(0.5)
    other.send_peer("alice", b"gone")
    assert other.expect(PeerSent).code == 3
    assert world.node.stats()["sessions"] == 1


def test_a_session_whose_connection_went_before_the_welcome_ends_with_its_keepalive(world):
    other = world.login("bob")
    wire = world.wire()
    wire.hello("alice")
    for data in wire.data_to_send():
        wire.send(data)
    wire.cut()
    world.pass_time(OFFLINE_AFTER - 2)
    other.send_peer("alice", b"still there", wait=500)
    assert other.expect(Failed, within=1).code == 2
    world.pass_time(3)
    other.send_peer("alice", b"gone")
    assert other.expect(PeerSent).code == 3


def test_an_engine_that_does_not_answer_sends_the_client_away_for_now(make_world):
    world = make_world()
    if world.late is None:
        pytest.skip("the memory engine always answers")
    world.late.paused = True
    wire = world.wire()
    wire.hello("alice")
    world.pass_time(COMMAND_TIMEOUT - 0.01)
    assert wire.closed is None
    assert wire.expect_closed(CloseCode.ENGINE_UNAVAILABLE, within=0.02).retry_after == 1.0
    world.late.paused = False
    again = world.wire()
    again.hello("alice", attempt=2)
    assert again.expect(Welcome)


def test_a_claim_answered_after_the_client_was_sent_away_does_not_live_for_ever(make_world):
    world = make_world()
    if world.late is None:
        pytest.skip("the memory engine always answers")
    other = world.login("bob")
    world.late.paused = True
    wire = world.wire()
    wire.hello("alice")
    wire.expect_closed(CloseCode.ENGINE_UNAVAILABLE, within=COMMAND_TIMEOUT + 0.1)
    world.late.paused = False
    world.pass_time(OFFLINE_AFTER)
    other.send_peer("alice", b"gone")
    assert other.expect(PeerSent).code == 3


GARBAGE = {
    "an empty array is no packet": (b"\x90", None),
    "no array": (b"\xc0", CloseCode.MALFORMED),
    "nothing": (b"", CloseCode.MALFORMED),
    "a map": (b"\x81\xa1t\xa5hello", CloseCode.MALFORMED),
    "a packet that is no pair": (b"\x91\x91\xa4beat", CloseCode.MALFORMED),
    "a field of the wrong type": (b"\x91\x92\xa4join\x82\xa1i\xa1x\xa2ch\xa4room", CloseCode.MALFORMED),
    "a missing field": (b"\x91\x92\xa4join\x81\xa1i\x01", CloseCode.MALFORMED),
    "a negative id": (b"\x91\x92\xa4join\x82\xa1i\xff\xa2ch\xa4room", CloseCode.MALFORMED),
    "too many packets": (b"\xdc\x00\x41" + b"\x92\xa4beat\x80" * 65, CloseCode.MALFORMED),
    "deeply nested": (b"\x91\x92\xa4beat" + b"\x91" * 5000 + b"\x90", CloseCode.MALFORMED),
    "cut short": (b"\x92\x92\xa4beat\x80", CloseCode.MALFORMED),
}


@pytest.mark.parametrize("stage", ["before the hello", "behind the hello", "logged in", "restored"])
@pytest.mark.parametrize("case", GARBAGE)
def test_garbage_closes_its_connection_and_no_other(world, stage, case):
    payload, code = GARBAGE[case]
    neighbour = world.login("neighbour")
    neighbour.join("room")
    wire = _at_stage(world, stage)
    wire.transport._output.append(wire.transport._framing.frame(payload))
    if code is None:
        if stage in ("logged in", "restored"):
            assert is_fine(wire)
    else:
        wire.expect_closed(code)
    assert is_fine(neighbour)


@pytest.mark.parametrize("stage", ["before the hello", "logged in"])
def test_too_large_messages_are_refused_before_they_are_kept(world, stage):
    neighbour = world.login("neighbour")
    wire = _at_stage(world, stage)
    header = bytes((0x82, 0xFF)) + (FRAME_BYTES + 1).to_bytes(8, "big") + b"mask"
    wire.send(header)
    wire.expect_closed(CloseCode.TOO_BIG)
    assert is_fine(neighbour)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\x02\x00", CloseCode.PROTOCOL_ERROR),
        (b"\xf2\x80mask", CloseCode.PROTOCOL_ERROR),
        (b"\x83\x80mask", CloseCode.PROTOCOL_ERROR),
        (b"\x81\x81\x00\x00\x00\x00x", 1003),
    ],
    ids=["unmasked", "reserved bits", "reserved opcode", "text instead of binary"],
)
def test_broken_framing_closes_its_connection_and_no_other(world, data, code):
    neighbour = world.login("neighbour")
    wire = world.login("alice")
    wire.send(data)
    closed = wire.expect_closed(code)
    assert closed.reason
    assert is_fine(neighbour)


def _at_stage(world, stage: str) -> Wire:
    if stage == "before the hello":
        wire = world.wire()
        world.settle()
        return wire
    if stage == "behind the hello":
        wire = world.wire()
        wire.hello("alice")
        return wire
    wire = world.login("alice")
    wire.join("room")
    if stage == "logged in":
        return wire
    back = wire.back([ChannelPosition("room", 0, 0)])
    back.expect(Roster)
    back.expect(Ready)
    return back
