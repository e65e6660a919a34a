"""Subscriptions to the online states of users."""

import pytest

from rtmcore.codes import PeerOnlineState, PeerSubscriptionStatusError
from rtmcore.limits import (
    COMMAND_TIMEOUT,
    FRAME_BYTES,
    OFFLINE_AFTER,
    PRESENCE_SUBSCRIBE_RATE,
    PRESENCE_SUBSCRIPTIONS,
    SERVER_RATE_BURST,
    UNREACHABLE_AFTER,
    USER_ID_BYTES,
)
from rtmcore.service.config import NodeConfig
from rtmcore.wire.codec import JSON, MSGPACK
from rtmcore.wire.packets import (
    Beat,
    Bye,
    Done,
    Failed,
    PeerStates,
    Ready,
    Subscribe,
    Unsubscribe,
    Welcome,
)
from tests.service.wires import SETTLE

ONLINE, UNREACHABLE, OFFLINE = PeerOnlineState


def done(wire, number):
    """The request succeeds."""
    while wire.expect(Done).i != number:
        pass


def subscribe(wire, *users, **options):
    number = wire.next_request()
    wire.say(Subscribe(number, list(users), **options))
    return number


def subscribed(wire, *users):
    number = subscribe(wire, *users)
    assert wire.expect(Done) == Done(number)
    return wire.expect(PeerStates).states


def states_told(wire):
    return [packet.states for packet in wire.all_of(PeerStates)]


def test_a_subscription_is_answered_and_then_tells_the_states(world):
    alice = world.login("alice")
    world.login("bob")
    assert subscribed(alice, "bob", "carol", "bob") == {"bob": ONLINE, "carol": OFFLINE}
    kinds = [type(packet) for packet in alice.heard if isinstance(packet, Done | PeerStates)]
    assert kinds == [Done, PeerStates]


def test_changes_are_told_as_they_happen(world):
    alice, bob = world.login("alice"), world.login("bob")
    subscribed(alice, "bob", "carol")
    world.login("carol")
    assert alice.expect(PeerStates).states == {"carol": ONLINE}
    bob.cut()
    world.pass_time(UNREACHABLE_AFTER + 1)
    assert alice.expect(PeerStates).states == {"bob": UNREACHABLE}
    world.pass_time(OFFLINE_AFTER)
    assert alice.expect(PeerStates).states == {"bob": OFFLINE}


def test_a_logout_is_told_at_once(world):
    alice, bob = world.login("alice"), world.login("bob")
    subscribed(alice, "bob")
    bob.say(Bye(bob.welcome.fence))
    assert alice.expect(PeerStates).states == {"bob": OFFLINE}


def test_a_peer_that_speaks_again_is_online(world):
    alice, bob = world.login("alice"), world.login("bob")
    subscribed(alice, "bob")
    bob.mute = True
    world.pass_time(UNREACHABLE_AFTER + 1)
    bob.mute = False
    bob.say(Beat())
    world.pass_time(SETTLE)
    assert states_told(alice) == [{"bob": ONLINE}, {"bob": UNREACHABLE}, {"bob": ONLINE}]


def test_nothing_is_told_after_unsubscribing(world):
    alice, bob = world.login("alice"), world.login("bob")
    subscribed(alice, "bob")
    number = alice.next_request()
    alice.say(Unsubscribe(number, ["bob", "nobody"]))
    assert alice.expect(Done).i == number
    bob.say(Bye(bob.welcome.fence))
    world.pass_time(1)
    assert states_told(alice) == [{"bob": ONLINE}]


def test_a_resume_tells_all_states_again(world):
    alice = world.login("alice")
    bob = world.login("bob")
    subscribed(alice, "bob", "carol")
    alice.cut()
    bob.say(Bye(bob.welcome.fence))
    world.pass_time(1)
    back = alice.back()
    assert back.expect(Welcome).resumed
    assert back.expect(PeerStates).states == {"bob": OFFLINE, "carol": OFFLINE}


@pytest.mark.parametrize(
    ("users", "code"),
    [
        ([], PeerSubscriptionStatusError.INVALID_ARGUMENT),
        (["*"], PeerSubscriptionStatusError.INVALID_ARGUMENT),
        (["bob", ""], PeerSubscriptionStatusError.INVALID_ARGUMENT),
        (["x" * 65], PeerSubscriptionStatusError.INVALID_ARGUMENT),
        ([f"user-{n}" for n in range(PRESENCE_SUBSCRIPTIONS + 1)], PeerSubscriptionStatusError.OVERFLOW),
    ],
    ids=["nobody", "no id", "one of two", "too long", "too many"],
)
@pytest.mark.parametrize("request_", [Subscribe, Unsubscribe])
def test_users_are_checked(world, request_, users, code):
    alice = world.login("alice")
    alice.say(request_(1, users))
    failed = alice.expect(Failed)
    assert (failed.i, failed.code) == (1, code)
    assert failed.text


def test_there_is_a_limit_in_all(world):
    alice = world.login("alice")
    half = PRESENCE_SUBSCRIPTIONS // 2
    subscribed(alice, *(f"a-{n}" for n in range(half)))
    subscribed(alice, *(f"b-{n}" for n in range(half)))
    number = subscribe(alice, "one-more")
    failed = alice.expect(Failed)
    assert (failed.i, failed.code) == (number, PeerSubscriptionStatusError.OVERFLOW)
    done(alice, subscribe(alice, "a-1"))


@pytest.mark.parametrize("codec", [MSGPACK, JSON], ids=lambda codec: codec.subprotocol)
def test_the_most_states_fit_into_frames(world, codec):
    alice = world.login("alice", codec)
    users = [f"{n:<{USER_ID_BYTES}}" for n in range(PRESENCE_SUBSCRIPTIONS)]
    before = len(alice.raw)
    told = subscribed(alice, *users)
    assert told == dict.fromkeys(users, OFFLINE)
    assert len(alice.raw) - before < FRAME_BYTES


@pytest.mark.parametrize("request_", [Subscribe, Unsubscribe])
def test_the_rate_is_limited_each_by_itself(world, request_):
    alice = world.login("alice")
    for _ in range(SERVER_RATE_BURST * PRESENCE_SUBSCRIBE_RATE.count):
        alice.say(request_(alice.next_request(), ["bob"]))
    number = alice.next_request()
    alice.say(request_(number, ["bob"]))
    failed = alice.expect(Failed)
    assert (failed.i, failed.code) == (number, PeerSubscriptionStatusError.TOO_OFTEN)
    assert 0 < failed.retry <= PRESENCE_SUBSCRIBE_RATE.seconds / PRESENCE_SUBSCRIBE_RATE.count * 1000
    other = Unsubscribe if request_ is Subscribe else Subscribe
    number = alice.next_request()
    alice.say(other(number, ["bob"]))
    done(alice, number)
    world.pass_time(failed.retry / 1000)
    number = alice.next_request()
    alice.say(request_(number, ["bob"]))
    done(alice, number)


def test_restoring_does_not_count_but_once(world):
    alice = world.login("alice")
    alice.cut()
    world.pass_time(OFFLINE_AFTER + 1)
    back = alice.back()
    assert not back.expect(Welcome).resumed
    back.expect(Ready)
    for _ in range(SERVER_RATE_BURST * PRESENCE_SUBSCRIBE_RATE.count):
        subscribe(back, "bob")
    done(back, subscribe(back, "bob", "carol", restore=True))
    number = subscribe(back, "bob", "carol", restore=True)
    failed = back.expect(Failed)
    assert (failed.i, failed.code) == (number, PeerSubscriptionStatusError.TOO_OFTEN)


def test_a_login_restores_nothing(world):
    alice = world.login("alice")
    for _ in range(SERVER_RATE_BURST * PRESENCE_SUBSCRIBE_RATE.count):
        subscribe(alice, "bob")
    number = subscribe(alice, "bob", restore=True)
    assert alice.expect(Failed).i == number


def test_a_repeat_over_a_new_transport_is_answered_and_not_counted(world):
    alice = world.login("alice")
    for _ in range(SERVER_RATE_BURST * PRESENCE_SUBSCRIBE_RATE.count):
        subscribe(alice, "bob")
    last = alice.requests
    world.pass_time(SETTLE)
    alice.cut()
    back = alice.back()
    back.expect(Ready)
    back.say(Subscribe(last, ["bob"]))
    assert back.expect(Done).i == last


def test_an_engine_that_does_not_answer(make_world):
    world = make_world(config=NodeConfig(node="n1"))
    if world.late is None:
        pytest.skip("needs an engine that can be paused")
    alice = world.login("alice")
    world.late.paused = True
    number = subscribe(alice, "bob")
    failed = alice.expect(Failed, within=COMMAND_TIMEOUT + 1)
    assert (failed.i, failed.code) == (number, PeerSubscriptionStatusError.TIMEOUT)
