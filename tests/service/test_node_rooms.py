"""Rooms: a session that is in one channel, whose participants see each other come, go, and fall silent."""

import pytest

from rtmcore.codes import (
    CloseCode,
    ConnectionChangeReason,
    GetMembersError,
    JoinChannelError,
    LoginError,
    PeerOnlineState,
    PeerSubscriptionStatusError,
    RoomErrorCode,
    SendChannelMessageError,
    SendPeerMessageError,
)
from rtmcore.limits import ROOM_PARTICIPANTS, ROOM_SESSION_TIMEOUT, UNREACHABLE_AFTER
from rtmcore.service.commands.media import media_secret
from rtmcore.service.config import NodeConfig
from rtmcore.wire.packets import (
    Beat,
    Bye,
    ChannelEntry,
    ChannelPosition,
    Failed,
    GetMembers,
    Join,
    Joined,
    Kicked,
    Leave,
    MemberChanged,
    MemberList,
    MemberState,
    Publish,
    Published,
    Ready,
    Refused,
    Restored,
    Roster,
    SendPeer,
    Subscribe,
    Top,
    Welcome,
)
from tests.service.wires import SETTLE


def enter(world, user, room="lobby", **hello):
    return world.enter("room", user, room, **hello)


def names_of(wire):
    return [type(packet) for packet in wire.heard]


# --- Coming in --------------------------------------------------------------------------


def test_a_participant_is_in_the_room_with_the_welcome(world):
    alice = enter(world, "alice")
    assert names_of(alice)[:4] == [Welcome, Roster, Restored, Ready]
    assert alice.welcome.media == media_secret(alice.welcome.secret)
    assert alice.welcome.offline == ROOM_SESSION_TIMEOUT * 1000
    assert alice.roster.users == ["alice"]
    bob = enter(world, "bob")
    assert set(bob.roster.users) == {"alice", "bob"}
    assert alice.expect(MemberChanged).user == "bob"


def test_the_name_spaces_do_not_meet(world):
    user = world.login("alice")
    channel = world.enter("rtc", "alice", "lobby")
    room = enter(world, "alice")
    hall = enter(world, "alice", "hall")
    user.join("lobby")
    for wire in (user, channel, room, hall):
        assert wire.closed is None
    assert room.roster.users == hall.roster.users == channel.roster.users == ["alice"]
    assert not room.all_of(MemberChanged)
    assert user.welcome.media is None


def test_the_same_identity_from_another_client_kicks_the_first(world):
    alice = enter(world, "alice")
    bob = enter(world, "bob")
    other = enter(world, "alice", iid="another-instance-")
    assert alice.expect(Kicked).reason == ConnectionChangeReason.REMOTE_LOGIN
    alice.expect_closed(CloseCode.REMOTE_LOGIN)
    assert set(other.roster.users) == {"alice", "bob"}
    world.pass_time(SETTLE)
    assert [(each.user, each.joined) for each in bob.all_of(MemberChanged)] == [
        ("alice", False),
        ("alice", True),
    ]


@pytest.mark.parametrize(
    ("changes", "code", "detail"),
    [
        ({"token": "expired"}, LoginError.TOKEN_EXPIRED, RoomErrorCode.ACCESS_TOKEN_EXPIRED),
        ({"token": "wrong"}, LoginError.INVALID_TOKEN, RoomErrorCode.ACCESS_TOKEN_INVALID),
        ({"token": "login only"}, None, None),
        (
            {"token": "lobby", "scope": "hall"},
            LoginError.NOT_AUTHORIZED,
            RoomErrorCode.ACCESS_TOKEN_GRANTS_INVALID,
        ),
        ({"token": "early"}, LoginError.INVALID_TOKEN, RoomErrorCode.ACCESS_TOKEN_NOT_YET_VALID),
        ({"app": "z" * 32}, LoginError.INVALID_APP_ID, RoomErrorCode.ACCESS_TOKEN_ISSUER_INVALID),
        ({"app": "short"}, LoginError.INVALID_APP_ID, RoomErrorCode.ACCESS_TOKEN_ISSUER_INVALID),
        ({"scope": ""}, LoginError.INVALID_ARGUMENT, RoomErrorCode.ROOM_NAME_INVALID),
        ({"scope": "null"}, LoginError.INVALID_ARGUMENT, RoomErrorCode.ROOM_NAME_INVALID),
        ({"scope": "x" * 65}, LoginError.INVALID_ARGUMENT, RoomErrorCode.ROOM_NAME_TOO_LONG),
        ({"scope": "lob/by"}, LoginError.INVALID_ARGUMENT, RoomErrorCode.ROOM_NAME_CHARS_INVALID),
        ({"user": ""}, LoginError.INVALID_ARGUMENT, RoomErrorCode.PARTICIPANT_IDENTITY_INVALID),
        ({"user": "x" * 65}, LoginError.INVALID_ARGUMENT, RoomErrorCode.PARTICIPANT_IDENTITY_TOO_LONG),
        ({"user": "é"}, LoginError.INVALID_ARGUMENT, RoomErrorCode.PARTICIPANT_IDENTITY_CHARS_INVALID),
    ],
)
def test_a_refusal_says_it_as_a_room_does(world, changes, code, detail):
    wire = world.wire()
    wire.hello(**{"user": "alice", "iid": "i" * 16, "kind": "room", "scope": "lobby", **changes})
    if code is None:
        wire.expect(Ready)
        return
    refused = wire.expect(Refused)
    assert (refused.code, refused.detail) == (code, detail)
    assert refused.text
    wire.expect_closed(CloseCode.LOGIN_REFUSED)


def test_other_kinds_are_refused_without_a_rooms_code(world):
    wire = world.wire()
    wire.hello("alice", token="expired")
    assert wire.expect(Refused).detail == 0


def test_too_many_logins_are_told_as_a_busy_server(world):
    for attempt in range(4):
        world.wire().hello("alice", kind="room", scope="lobby", iid=f"instance-number-{attempt}")
    world.settle()
    wire = world.wire()
    wire.hello("alice", kind="room", scope="lobby", iid="instance-number-4")
    refused = wire.expect(Refused)
    assert (refused.code, refused.detail) == (LoginError.TOO_OFTEN, RoomErrorCode.SIGNALING_SERVER_BUSY)
    assert refused.retry


def test_a_full_room_refuses_without_a_welcome(make_world):
    world = make_world(config=NodeConfig(node="n1", rate_limits=False))
    wires = [enter(world, f"user-{index}") for index in range(ROOM_PARTICIPANTS)]
    late = world.wire()
    late.hello("late", kind="room", scope="lobby")
    refused = late.expect(Refused)
    assert refused.detail == RoomErrorCode.ROOM_MAX_PARTICIPANTS_EXCEEDED
    late.expect_closed(CloseCode.LOGIN_REFUSED)
    assert not late.all_of(Welcome)
    assert world.node.stats()["sessions"] == ROOM_PARTICIPANTS
    wires[0].say(Bye(wires[0].welcome.fence))
    wires[0].expect_closed(CloseCode.LOGGED_OUT)
    assert len(enter(world, "late", attempt=2).roster.users) == ROOM_PARTICIPANTS


# --- Falling silent, coming back, and leaving ---------------------------------------------


def test_the_others_see_a_participant_reconnect(world):
    alice, bob = enter(world, "alice"), enter(world, "bob")
    alice.cut()
    world.pass_time(UNREACHABLE_AFTER + 1)
    assert bob.expect(MemberState) == MemberState("lobby", "alice", PeerOnlineState.UNREACHABLE)
    carol = enter(world, "carol")
    assert carol.roster.unreachable == ["alice"]
    back = alice.back([ChannelPosition("lobby", alice.position, alice.roster.version)])
    assert back.expect(Welcome).resumed
    roster = back.expect(Roster)
    assert set(roster.users) == {"alice", "bob", "carol"}
    assert roster.unreachable == []
    for wire in (bob, carol):
        assert wire.expect(MemberState) == MemberState("lobby", "alice", PeerOnlineState.ONLINE)
        assert not [each for each in wire.all_of(MemberChanged) if each.user == "alice"]
    assert not [each for each in back.all_of(MemberState) if each.user == "alice"]


def test_a_mute_participant_that_speaks_again_is_back(world):
    alice, bob = enter(world, "alice"), enter(world, "bob")
    alice.mute = True
    world.pass_time(UNREACHABLE_AFTER + 1)
    assert bob.expect(MemberState).state == PeerOnlineState.UNREACHABLE
    alice.mute = False
    alice.say(Beat())
    world.pass_time(0.5)
    assert bob.expect(MemberState).state == PeerOnlineState.ONLINE


def test_who_returns_is_told_who_is_unreachable_now(world):
    alice, bob = enter(world, "alice"), enter(world, "bob")
    known = ChannelPosition("lobby", bob.position, bob.roster.version)
    bob.cut()
    alice.cut()
    world.pass_time(UNREACHABLE_AFTER + 1)
    back = bob.back([known])
    assert back.expect(Roster).unreachable == ["alice"]


def test_silence_for_too_long_is_not_a_goodbye(world):
    alice, bob, carol = (enter(world, user) for user in ("alice", "bob", "carol"))
    alice.cut()
    bob.say(Bye(bob.welcome.fence))
    world.pass_time(ROOM_SESSION_TIMEOUT + 1)
    left = {each.user: each.dropped for each in carol.all_of(MemberChanged) if not each.joined}
    assert left == {"alice": True, "bob": False}


def test_a_return_after_the_session_ended_joins_anew(world):
    alice, bob = enter(world, "alice"), enter(world, "bob")
    alice.cut()
    world.pass_time(ROOM_SESSION_TIMEOUT + 1)
    back = alice.back([ChannelPosition("lobby", alice.position, alice.roster.version)])
    welcome = back.expect(Welcome)
    assert not welcome.resumed
    assert welcome.media != alice.welcome.media
    back.expect(Ready)
    world.pass_time(SETTLE)
    assert [(each.user, each.joined) for each in bob.all_of(MemberChanged)] == [
        ("alice", False),
        ("alice", True),
    ]


def test_a_resume_keeps_the_media_secret(world):
    alice = enter(world, "alice")
    alice.cut()
    back = alice.back([ChannelPosition("lobby", alice.position, alice.roster.version)])
    assert back.expect(Welcome).media == alice.welcome.media


# --- Messages and requests -----------------------------------------------------------------


def test_messages_to_the_room_reach_the_others_and_are_replayed(world):
    alice, bob = enter(world, "alice"), enter(world, "bob")
    first = bob.published("lobby", b"one")
    assert alice.expect(ChannelEntry).body == b"one"
    alice.cut()
    second = bob.published("lobby", b"two")
    back = alice.back([ChannelPosition("lobby", first.id, alice.roster.version)])
    entry = back.expect(ChannelEntry)
    assert (entry.id, entry.prev, entry.body) == (second.id, first.id, b"two")
    top = next(top for top in (back.expect(Top),) if top.ch == "lobby")
    assert (top.id, top.lost) == (second.id, 0)


def test_who_is_new_gets_nothing_from_before(world):
    alice = enter(world, "alice")
    published = alice.published("lobby", b"before")
    bob = enter(world, "bob", channels=[ChannelPosition("lobby", 0, 0)])
    assert bob.position == published.id
    assert not bob.all_of(ChannelEntry)
    alice.published("lobby", b"after")
    assert bob.expect(ChannelEntry).body == b"after"


def test_who_was_cut_off_before_a_first_message_gets_it_all_the_same(world):
    alice, bob = enter(world, "alice"), enter(world, "bob")
    bob.cut()
    alice.published("lobby", b"missed")
    back = bob.back([ChannelPosition("lobby", bob.position, bob.roster.version)])
    assert back.expect(ChannelEntry).body == b"missed"


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (SendPeer(1, "bob", 2, b"x"), SendPeerMessageError.FAILURE),
        (Join(1, "hall"), JoinChannelError.FAILURE),
        (Leave(1, "lobby"), 1),
        (Subscribe(1, ["bob"]), PeerSubscriptionStatusError.FAILURE),
        (Publish(1, "hall", 2, b"x"), SendChannelMessageError.FAILURE),
        (GetMembers(1, "hall"), GetMembersError.NOT_IN_CHANNEL),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_a_room_does_not_offer_fails(world, request_, code):
    alice = enter(world, "alice")
    alice.say(request_)
    failed = alice.expect(Failed)
    assert (failed.i, failed.code) == (1, code)
    alice.say(GetMembers(2, "lobby"))
    assert alice.expect(MemberList).users == ["alice"]
    assert not alice.all_of(Joined)


def test_a_token_for_the_room_permits_messages_to_it(world):
    alice = enter(world, "alice", token="lobby")
    assert alice.published("lobby", b"hello")
    assert alice.all_of(Published)


def test_nothing_is_left_of_a_room(world):
    alice, bob = enter(world, "alice"), enter(world, "bob")
    for wire in (alice, bob):
        wire.say(Bye(wire.welcome.fence))
        wire.expect_closed(CloseCode.LOGGED_OUT)
    assert world.node.stats()["channels"] == 0
    assert world.node.stats()["sessions"] == 0


def test_an_engine_that_does_not_let_in_keeps_the_client_coming_back(make_world):
    world = make_world()
    if world.late is None:
        pytest.skip("needs an engine that can be paused")
    wire = world.wire()
    wire.hello("alice", kind="room", scope="lobby")
    while "lobby" not in [key[2] for key in world.node._feeds._feeds]:
        world.pass_time(0.001)
    world.late.paused = True
    wire.expect_closed(CloseCode.ENGINE_UNAVAILABLE, within=6.0)
    assert not wire.all_of(Welcome)
