"""Returns whose token is not good, or not there: the secret of a live session is enough, and permits no more."""

import pytest

from rtmcore.codes import CloseCode, LoginError
from rtmcore.limits import OFFLINE_AFTER
from rtmcore.service.config import NodeConfig
from rtmcore.wire.packets import Failed, Join, Joined, Ready, Refused, Welcome
from tests.service.wires import Wire


def refused(wire: Wire) -> int:
    code = wire.expect(Refused).code
    wire.expect_closed(CloseCode.LOGIN_REFUSED)
    return code


@pytest.mark.parametrize("token", ["expired", "wrong", "no login", None])
def test_a_live_session_is_resumed_by_its_secret(world, token):
    alice = world.login("alice", token="good")
    alice.cut()
    for _ in range(2):
        alice = alice.back(token=token)
        alice.welcome = alice.expect(Welcome)
        assert alice.welcome.resumed
        alice.expect(Ready)


def test_the_session_keeps_the_permissions_and_the_end_of_its_last_good_token(world):
    alice = world.login("alice", token="rooms")
    back = alice.back(token="expired")
    back.expect(Ready)
    assert isinstance(back.join("room-1"), Joined)
    back.say(Join(back.next_request(), "elsewhere"))
    assert back.expect(Failed)

    bob = world.login("bob", token="short")
    assert bob.back(token="expired").expect(Welcome).token_expires == bob.welcome.token_expires


@pytest.mark.parametrize(
    "changes",
    [{"secret": "guessed"}, {"secret": None}, {"fence": 1}, {"fence": None}, {"login": True}],
    ids=str,
)
def test_without_the_secret_of_the_session_a_good_token_is_needed(world, changes):
    alice = world.login("alice")
    assert refused(alice.back(token="expired", **changes)) == LoginError.TOKEN_EXPIRED
    assert alice.closed is None


def test_a_session_that_is_over_needs_a_good_token(world):
    alice = world.login("alice")
    alice.cut()
    world.pass_time(OFFLINE_AFTER + 1)
    back = alice.back(token="expired")
    assert refused(back) == LoginError.TOKEN_EXPIRED
    again = alice.back(token="good", attempt=3)
    assert not again.expect(Welcome).resumed


def test_under_the_policy_abort_a_token_that_has_expired_is_not_made_good(make_world):
    world = make_world(config=NodeConfig(node="n1", token_policy="abort"))
    alice = world.login("alice", token="short")
    alice.cut()
    back = alice.back(token="expired")
    back.welcome = back.expect(Welcome)
    assert back.welcome.resumed
    back.cut()
    world.pass_time(21)
    assert refused(back.back(token="expired")) == LoginError.TOKEN_EXPIRED
    assert back.back(token="good", attempt=back.attempt + 2).expect(Welcome).resumed
