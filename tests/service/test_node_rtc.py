"""RTC channels: a session that is in one channel, whose stream messages go over its own transport."""

import pytest

from rtmcore.codes import (
    AttributeOperationError,
    CloseCode,
    JoinChannelError,
    LoginError,
    SendChannelMessageError,
    SendPeerMessageError,
)
from rtmcore.limits import (
    DATA_FRAMES_KEPT,
    MESSAGE_BYTES,
    ROOM_PARTICIPANTS,
    RTC_REMOTE_OFFLINE_AFTER,
    SERVER_OUTBOUND_BYTES,
    UNREACHABLE_AFTER,
)
from rtmcore.service.config import NodeConfig
from rtmcore.wire.codec import JSON
from rtmcore.wire.packets import (
    Bye,
    ChannelPosition,
    Data,
    DataEntry,
    Failed,
    GetAttributes,
    GetMembers,
    Join,
    MemberChanged,
    MemberList,
    MemberState,
    Publish,
    Ready,
    Refused,
    Renewed,
    RenewToken,
    Restored,
    Roster,
    SendPeer,
    Welcome,
)
from tests.service.wires import SETTLE


def enter(world, uid, channel="stage", **hello):
    return world.enter("rtc", uid, channel, **hello)


def test_a_user_is_in_the_channel_with_the_welcome(world):
    alice = enter(world, "alice")
    assert [type(packet) for packet in alice.heard][:4] == [Welcome, Roster, Restored, Ready]
    assert alice.welcome.media is None
    assert alice.welcome.offline == RTC_REMOTE_OFFLINE_AFTER * 1000
    bob = enter(world, "bob")
    assert set(bob.roster.users) == {"alice", "bob"}
    assert alice.expect(MemberChanged).user == "bob"


def test_a_channel_has_no_end_of_seats(make_world):
    world = make_world(config=NodeConfig(node="n1", rate_limits=False))
    wires = [enter(world, f"user-{index}") for index in range(ROOM_PARTICIPANTS + 5)]
    assert len(wires[-1].roster.users) == ROOM_PARTICIPANTS + 5


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"scope": ""}, LoginError.INVALID_ARGUMENT),
        ({"scope": "a/b"}, LoginError.INVALID_ARGUMENT),
        ({"user": ""}, LoginError.INVALID_ARGUMENT),
        ({"token": "expired"}, LoginError.TOKEN_EXPIRED),
        ({"token": "lobby"}, LoginError.NOT_AUTHORIZED),
    ],
    ids=str,
)
def test_refusals(world, changes, code):
    wire = world.wire()
    wire.hello(**{"user": "alice", "iid": "i" * 16, "kind": "rtc", "scope": "stage", **changes})
    refused = wire.expect(Refused)
    assert (refused.code, refused.detail) == (code, 0)
    wire.expect_closed(CloseCode.LOGIN_REFUSED)


# --- Who is there ---------------------------------------------------------------------------


def test_a_user_is_gone_after_twenty_seconds_of_silence(world):
    alice, bob = enter(world, "alice"), enter(world, "bob")
    alice.cut()
    world.pass_time(RTC_REMOTE_OFFLINE_AFTER - 1)
    assert not [each for each in bob.all_of(MemberChanged) if not each.joined]
    world.pass_time(1.5)
    gone = bob.expect(MemberChanged)
    while gone.joined:
        gone = bob.expect(MemberChanged)
    assert (gone.user, gone.dropped) == ("alice", True)
    assert not bob.all_of(MemberState), "nobody is told of a user who is merely silent"


def test_a_mute_connection_is_closed_then_too(world):
    alice = enter(world, "alice")
    alice.mute = True
    world.pass_time(RTC_REMOTE_OFFLINE_AFTER - 1)
    assert alice.closed is None
    world.pass_time(1.5)
    assert alice.closed.code in (CloseCode.HEARTBEAT_TIMEOUT, CloseCode.RESYNC)


def test_whoever_leaves_has_quit(world):
    alice, bob = enter(world, "alice"), enter(world, "bob")
    alice.say(Bye(alice.welcome.fence))
    alice.expect_closed(CloseCode.LOGGED_OUT)
    world.pass_time(SETTLE)
    assert [each.dropped for each in bob.all_of(MemberChanged) if not each.joined] == [False]


def test_a_return_in_time_is_invisible(world):
    alice, bob = enter(world, "alice"), enter(world, "bob")
    alice.cut()
    world.pass_time(RTC_REMOTE_OFFLINE_AFTER - UNREACHABLE_AFTER)
    back = alice.back([ChannelPosition("stage", alice.position, alice.roster.version + 1)])
    assert back.expect(Welcome).resumed
    back.expect(Ready)
    assert not back.all_of(Roster), "it knows the members"
    world.pass_time(SETTLE)
    assert [each.user for each in bob.all_of(MemberChanged)] == []
    back.say(Data(1, b"x"))
    assert bob.expect(DataEntry).user == "alice"
    bob.say(Data(2, b"y"))
    assert back.expect(DataEntry).n == 2


def test_a_late_return_joins_anew(world):
    alice, bob = enter(world, "alice"), enter(world, "bob")
    alice.cut()
    world.pass_time(RTC_REMOTE_OFFLINE_AFTER + 1)
    back = alice.back([ChannelPosition("stage", alice.position, alice.roster.version)])
    assert not back.expect(Welcome).resumed
    assert set(back.expect(Roster).users) == {"alice", "bob"}
    world.pass_time(SETTLE)
    assert [(each.user, each.joined) for each in bob.all_of(MemberChanged)] == [
        ("alice", False),
        ("alice", True),
    ]


# --- Stream messages --------------------------------------------------------------------------


def test_stream_messages_reach_all_others_in_order(world):
    alice, bob, carol = enter(world, "alice"), enter(world, "bob", codec=JSON), enter(world, "carol")
    elsewhere = enter(world, "dave", "hall")
    for n in range(5):
        alice.say(Data(n, b"%d" % n))
    world.pass_time(SETTLE)
    for wire in (bob, carol):
        assert wire.all_of(DataEntry) == [DataEntry("alice", n, b"%d" % n, "") for n in range(5)]
    assert not alice.frames()
    assert not elsewhere.frames()


def test_stream_messages_have_a_limit(world):
    alice, bob = enter(world, "alice"), enter(world, "bob")
    alice.say(Data(1, bytes(MESSAGE_BYTES)))
    assert len(bob.expect(DataEntry).body) == MESSAGE_BYTES
    alice.say(Data(2, bytes(MESSAGE_BYTES + 1)))
    alice.expect_closed(CloseCode.TOO_LARGE)
    assert bob.closed is None


def test_stream_messages_stay_within_what_is_kept_for_a_slow_reader(world):
    """They alone never make a slow consumer, and what else is said to it is not lost with them."""
    alice, bob = enter(world, "alice"), enter(world, "bob")
    bob.room = 0
    alice.say(Data(0, b"first"))
    world.pass_time(SETTLE)
    count = SERVER_OUTBOUND_BYTES // MESSAGE_BYTES + 100
    for n in range(1, count + 1):
        alice.say(Data(n, bytes(MESSAGE_BYTES)))
        if n % 20 == 0:
            world.settle()
    enter(world, "carol")
    world.pass_time(SETTLE)
    bob.read_on()
    world.pass_time(SETTLE)
    assert bob.closed is None
    assert [n for _, n in bob.frames()] == [0, *range(count - DATA_FRAMES_KEPT + 1, count + 1)]
    assert [each.user for each in bob.all_of(MemberChanged)] == ["carol"]
    kinds = [type(packet) for packet in bob.heard if isinstance(packet, DataEntry | MemberChanged)]
    assert kinds.index(MemberChanged) == 1, "signaling goes before what waits"


# --- Requests ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (SendPeer(1, "bob", 2, b"x"), SendPeerMessageError.FAILURE),
        (Publish(1, "stage", 2, b"x"), SendChannelMessageError.FAILURE),
        (Join(1, "hall"), JoinChannelError.FAILURE),
        (GetAttributes(1, "bob"), AttributeOperationError.FAILURE),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_a_channel_does_not_offer_fails(world, request_, code):
    alice = enter(world, "alice")
    alice.say(request_)
    failed = alice.expect(Failed)
    assert (failed.i, failed.code) == (1, code)
    alice.say(GetMembers(2, "stage"))
    assert alice.expect(MemberList).users == ["alice"]


def test_a_token_can_be_renewed(world):
    alice = enter(world, "alice")
    alice.say(RenewToken(1, "good"))
    assert alice.expect(Renewed).i == 1
    alice.say(RenewToken(2, "lobby"))
    assert alice.expect(Failed).i == 2


def test_nothing_is_left_of_a_channel(world):
    alice, bob = enter(world, "alice"), enter(world, "bob")
    alice.cut()
    bob.say(Bye(bob.welcome.fence))
    world.pass_time(31)
    stats = world.node.stats()
    assert (stats["channels"], stats["sessions"], stats["connections"]) == (0, 0, 0)
