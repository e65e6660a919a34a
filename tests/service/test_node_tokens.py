"""Tokens while a session lives: renewed, expired under each policy, and what a new one permits."""

import pytest

from rtmcore.codes import CloseCode, ConnectionChangeReason, JoinChannelError, RenewTokenError
from rtmcore.errors import error_for
from rtmcore.limits import RENEW_TOKEN_RATE, SERVER_RATE_BURST, TOKEN_BYTES
from rtmcore.service.config import ABORT, KEEP, NodeConfig
from rtmcore.wire.packets import (
    Failed,
    Join,
    Joined,
    Kicked,
    MemberChanged,
    Ready,
    Renewed,
    RenewToken,
    Welcome,
)
from tests.service import wires
from tests.service.wires import WALL


def renew(wire, token):
    number = wire.next_request()
    wire.say(RenewToken(number, token))
    return number


@pytest.mark.parametrize("kind", ["rtm", "rtc", "room"])
def test_a_renewal_tells_the_new_end_and_the_time(world, kind):
    wire = world.login("alice") if kind == "rtm" else world.enter(kind, "alice", "lobby")
    number = renew(wire, "long")
    assert wire.expect(Renewed) == Renewed(number, WALL // 1000 + 80_000, world.wall // 1000)
    world.pass_time(1)
    number = renew(wire, "good")
    assert wire.expect(Renewed) == Renewed(number, None, world.wall // 1000)


@pytest.mark.parametrize(
    ("token", "code"),
    [
        ("", RenewTokenError.INVALID_ARGUMENT),
        ("wrong", RenewTokenError.INVALID_TOKEN),
        ("nameless", RenewTokenError.INVALID_TOKEN),
        ("no login", RenewTokenError.INVALID_TOKEN),
        ("lobby", RenewTokenError.INVALID_TOKEN),
        ("expired", RenewTokenError.TOKEN_EXPIRED),
        ("x" * (TOKEN_BYTES + 1), RenewTokenError.INVALID_TOKEN),
    ],
    ids=lambda value: str(value)[:12],
)
def test_a_bad_token_is_refused_and_the_old_one_stays_in_force(world, token, code):
    alice = world.login("alice")
    number = renew(alice, token)
    failed = alice.expect(Failed)
    assert (failed.i, failed.code) == (number, code)
    assert failed.text
    assert alice.join("room")
    assert alice.closed is None


def test_the_token_is_verified_for_the_sessions_own_name(make_world, monkeypatch):
    seen = []

    def verify(app, user, token, wall_ms):
        seen.append((user, token))
        if token == "bobs" and user != "bob":
            raise error_for(wires.LoginError.INVALID_TOKEN, "another user's", operation="login")
        return wires.Grant()

    monkeypatch.setattr(wires, "verify", verify)
    world = make_world()
    alice = world.login("alice")
    number = renew(alice, "bobs")
    assert alice.expect(Failed).i == number
    assert seen[-1] == ("alice", "bobs")


def test_renewals_are_limited(world):
    alice = world.login("alice")
    for _ in range(SERVER_RATE_BURST * RENEW_TOKEN_RATE.count):
        renew(alice, "good")
    number = renew(alice, "good")
    failed = alice.expect(Failed)
    assert (failed.i, failed.code) == (number, RenewTokenError.TOO_OFTEN)
    world.pass_time(RENEW_TOKEN_RATE.seconds)
    number = renew(alice, "good")
    world.pass_time(0.1)
    assert alice.all_of(Renewed)[-1].i == number


@pytest.mark.parametrize("policy", [KEEP, ABORT])
def test_what_an_end_does_is_up_to_the_policy(make_world, policy):
    world = make_world(config=NodeConfig(node="n1", token_policy=policy))
    alice, bob = world.login("alice", token="short"), world.login("bob")
    alice.join("room")
    bob.join("room")
    world.pass_time(19)
    assert alice.closed is None
    world.pass_time(2)
    if policy == KEEP:
        assert alice.closed is None
    else:
        assert alice.expect(Kicked).reason == ConnectionChangeReason.TOKEN_EXPIRED
        assert alice.closed.code == CloseCode.TOKEN_EXPIRED
        assert [each.joined for each in bob.all_of(MemberChanged)] == [False]


def test_a_renewal_moves_the_end(make_world):
    world = make_world(config=NodeConfig(node="n1", token_policy=ABORT))
    alice = world.login("alice", token="short")
    world.pass_time(15)
    renew(alice, "long")
    alice.expect(Renewed)
    world.pass_time(60)
    assert alice.closed is None
    world.pass_time(10)
    assert alice.closed.code == CloseCode.TOKEN_EXPIRED


def test_a_renewal_can_bring_the_end_closer_or_take_it_away(make_world):
    world = make_world(config=NodeConfig(node="n1", token_policy=ABORT))
    alice, bob = world.login("alice", token="long"), world.login("bob", token="short")
    renew(alice, "short")
    renew(bob, "good")
    alice.expect(Renewed)
    bob.expect(Renewed)
    world.pass_time(25)
    assert alice.closed.code == CloseCode.TOKEN_EXPIRED
    world.pass_time(100)
    assert bob.closed is None


def test_a_new_token_decides_about_what_is_asked_from_then_on(world):
    alice = world.login("alice")
    alice.join("hall")
    renew(alice, "rooms")
    alice.expect(Renewed)
    number = alice.next_request()
    alice.say(Join(number, "cellar"))
    failed = alice.expect(Failed)
    assert (failed.i, failed.code) == (number, JoinChannelError.REJECTED)
    alice.publish("hall", b"x")
    assert alice.expect(Failed).i == alice.requests
    assert alice.join("room-1")
    assert "hall" in world.node._connections[alice.number].members, "it is not put out of where it is"


def test_a_token_that_expired_while_away_lets_nobody_back_in(world):
    alice = world.login("alice", token="short")
    alice.cut()
    world.pass_time(1)
    refused = alice.back(token="expired")
    refused.expect_closed(CloseCode.LOGIN_REFUSED)
    back = alice.back(token="good", attempt=3)
    assert back.expect(Welcome).resumed
    back.expect(Ready)
    assert not back.all_of(Joined)


def test_a_renewed_token_holds_for_a_room_only_if_it_names_it(world):
    alice = world.enter("room", "alice", "lobby")
    renew(alice, "lobby")
    assert alice.expect(Renewed)
    hall = world.enter("room", "alice", "hall", iid="hall-instance---")
    number = renew(hall, "lobby")
    failed = hall.expect(Failed)
    assert (failed.i, failed.code) == (number, RenewTokenError.INVALID_TOKEN)
