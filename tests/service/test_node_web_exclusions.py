"""Users and members who are put out over HTTP."""

import pytest

from rtmcore.codes import CloseCode, ConnectionChangeReason, JoinChannelError, LeaveChannelError
from rtmcore.limits import BAN_REASON_LENGTH, OFFLINE_AFTER
from rtmcore.wire.packets import (
    ChannelEntry,
    ChannelPosition,
    Expelled,
    Failed,
    Join,
    Kicked,
    Leave,
    MemberChanged,
    Ready,
    Refused,
    Restored,
    Welcome,
)
from tests.service.test_node_web import BASE, Web
from tests.service.wires import World

KICK = f"{BASE}/users/alice/kick"
EXPEL = f"{BASE}/channels/room/members/alice/kick"
PUT_OUT, NOT_THERE = (200, {"code": "put_out"}), (200, {"code": "not_there"})
SAID = "The member was taken out of the channel: off topic"


@pytest.fixture
def world():
    return World()


@pytest.fixture
def web(world):
    return Web(world)


def members_told(wire):
    return [(one.user, one.joined, one.dropped) for one in wire.all_of(MemberChanged)]


def test_a_kicked_user_is_told_why_and_may_log_in_again(world, web):
    alice, bob = world.login("alice"), world.login("bob")
    for wire in (bob, alice):
        wire.join("room")
    assert web.do("POST", KICK, {"reason": "be nice"}) == PUT_OUT
    kicked = alice.expect(Kicked)
    assert kicked.reason == ConnectionChangeReason.BANNED_BY_SERVER
    assert kicked.text == "The user was put out: be nice"
    alice.expect_closed(CloseCode.BANNED)
    assert members_told(bob)[-1] == ("alice", False, False)
    assert web.do("POST", KICK) == NOT_THERE
    back = alice.back()
    assert back.expect(Kicked).text == kicked.text
    back.expect_closed(CloseCode.BANNED)
    world.login("alice", attempt=5)


def test_a_kicked_user_without_a_connection_learns_of_it_when_he_comes_back(world, web):
    alice = world.login("alice")
    alice.cut()
    assert web.do("POST", KICK) == PUT_OUT
    world.pass_time(OFFLINE_AFTER + 1)
    back = alice.back()
    assert back.expect(Kicked).text == "The user was put out."
    assert not back.all_of(Refused)


def test_one_who_is_taken_out_of_a_channel_stays_in_the_others(world, web):
    alice, bob = world.login("alice"), world.login("bob")
    for wire in (bob, alice):
        wire.join("room")
        wire.join("other")
    assert web.do("POST", EXPEL, {"reason": "off topic"}) == PUT_OUT
    assert alice.expect(Expelled) == Expelled("room", SAID)
    assert members_told(bob)[-1] == ("alice", False, False)
    assert members_told(alice) == []
    assert web.do("POST", EXPEL) == NOT_THERE
    bob.published("room", b"not for alice")
    bob.published("other", b"for alice")
    assert [entry.ch for entry in alice.all_of(ChannelEntry)] == ["other"]
    assert alice.closed is None
    alice.join("room")
    assert members_told(bob)[-1] == ("alice", True, False)


def test_what_was_under_way_is_answered(world, web):
    alice = world.login("alice")
    alice.join("room")
    web.do("POST", EXPEL)
    number = alice.publish("room", b"too late")
    assert alice.expect(Failed).i == number
    alice.say(Leave(77, "room"))
    assert alice.expect(Failed).code == LeaveChannelError.KICKED


def test_a_return_into_the_channel_is_refused_and_told(world, web):
    alice = world.login("alice")
    position = alice.join("room").id
    alice.cut()
    assert web.do("POST", EXPEL, {"reason": "off topic"}) == PUT_OUT
    back = alice.back([ChannelPosition("room", position, 1)])
    assert back.expect(Welcome).resumed
    assert back.expect(Expelled) == Expelled("room", SAID)
    assert back.expect(Restored) == Restored("room", int(JoinChannelError.REJECTED), SAID)
    back.expect(Ready)
    number = back.next_request()
    back.say(Join(number, "room"))
    world.settle()
    assert not back.all_of(Failed)


def test_a_repeat_spares_who_is_back(world, web):
    alice = world.login("alice")
    alice.join("room")
    assert web.do("POST", EXPEL, Idempotency_Key="k") == PUT_OUT
    alice.join("room")
    assert web.do("POST", EXPEL, Idempotency_Key="k") == PUT_OUT
    assert len(alice.all_of(Expelled)) == 1
    assert web.do("POST", KICK, Idempotency_Key="k") == PUT_OUT
    again = world.login("alice", attempt=2)
    assert web.do("POST", KICK, Idempotency_Key="k") == PUT_OUT
    assert again.closed is None
    assert web.do("POST", KICK, Idempotency_Key="another") == PUT_OUT
    again.expect_closed(CloseCode.BANNED)


@pytest.mark.parametrize("path", ["/bans/{}", "/users/{}/kick", "/channels/room/members/{}/kick"])
def test_the_key_of_another_user_puts_nobody_out_and_says_so(world, web, path):
    world.login("alice").join("room")
    world.login("bob").join("room")
    assert web.do("POST", BASE + path.format("alice"), Idempotency_Key="k")[0] == 200
    status, document = web.do("POST", BASE + path.format("bob"), Idempotency_Key="k")
    assert (status, list(document)) == (400, ["error"])
    assert web.do("POST", f"{BASE}/users/bob/kick") == (200, {"code": "put_out"})


def test_a_repeated_ban_is_not_carried_out_again(world, web):
    ban = f"{BASE}/bans/alice"
    assert web.do("POST", ban, Idempotency_Key="k")[0] == 200
    assert web.do("DELETE", ban, Idempotency_Key="k")[0] == 200
    assert web.do("POST", ban, Idempotency_Key="k") == (200, {"code": "done"})
    world.login("alice")


@pytest.mark.parametrize("path", [KICK, EXPEL])
@pytest.mark.parametrize(
    "document", [{"reason": 5}, {"reason": "x" * (BAN_REASON_LENGTH + 1)}, {"reason": "\ud800"}, {"x": 1}]
)
def test_reasons_are_texts_of_a_bounded_length(web, path, document):
    assert web.do("POST", path, document)[0] == 400
    assert web.do("POST", path, {"reason": "x" * BAN_REASON_LENGTH}) == NOT_THERE


@pytest.mark.parametrize(
    "path",
    [
        f"{BASE}/users/{'a' * 65}/kick",
        f"{BASE}/channels/{'a' * 65}/members/alice/kick",
        f"{BASE}/channels/room/members/%FF/kick",
        f"{BASE}/channels/%2F/members/alice/kick",
    ],
)
def test_ids_are_judged(web, path):
    assert web.do("POST", path, {})[0] == 400


def test_an_id_may_have_any_of_the_documented_characters(world, web):
    alice = world.login("a b&c?")
    alice.join("#?")
    assert web.do("POST", f"{BASE}/channels/%23%3F/members/a%20b&c%3F/kick") == PUT_OUT
    assert alice.expect(Expelled).ch == "#?"
