"""Attributes of users: set by themselves, read by anybody, gone with the session."""

import pytest

from rtmcore.codes import AttributeOperationError
from rtmcore.limits import (
    ATTRIBUTE_KEY_BYTES,
    ATTRIBUTE_VALUE_BYTES,
    FRAME_BYTES,
    OFFLINE_AFTER,
    SERVER_RATE_BURST,
    USER_ATTRIBUTES,
    USER_ATTRIBUTES_BYTES,
    USER_ATTRIBUTES_READ_RATE,
    USER_ATTRIBUTES_WRITE_RATE,
)
from rtmcore.wire.codec import JSON, MSGPACK
from rtmcore.wire.packets import (
    AttributeList,
    Bye,
    Done,
    Failed,
    GetAttributes,
    Ready,
    SendPeer,
    SetAttributes,
    Welcome,
)

ERROR = AttributeOperationError


def done(wire, number):
    """The request succeeds."""
    while wire.expect(Done).i != number:
        pass


def set_attributes(wire, attributes, **options):
    number = wire.next_request()
    wire.say(SetAttributes(number, attributes, **options))
    return number


def get_attributes(wire, user):
    number = wire.next_request()
    wire.say(GetAttributes(number, user))
    return number


def attributes_of(wire, user):
    number = get_attributes(wire, user)
    answer = wire.expect(AttributeList)
    assert answer.i == number
    return answer.attributes


@pytest.mark.parametrize("codec", [MSGPACK, JSON], ids=lambda codec: codec.subprotocol)
def test_what_was_set_is_read_by_others_and_oneself(world, codec):
    alice, bob = world.login("alice", codec), world.login("bob")
    attributes = {"mood": "gut gelaunt ☀", "größe": "1,80 m"}
    done(alice, set_attributes(alice, attributes))
    assert attributes_of(bob, "alice") == attributes
    assert attributes_of(alice, "alice") == attributes
    assert attributes_of(alice, "bob") == {}
    done(alice, set_attributes(alice, {"mood": "tired"}))
    assert attributes_of(bob, "alice") == {"mood": "tired"}
    done(alice, set_attributes(alice, {}))
    assert attributes_of(bob, "alice") == {}


def test_a_user_who_is_not_online_has_none(world):
    alice, bob = world.login("alice"), world.login("bob")
    done(alice, set_attributes(alice, {"a": "b"}))
    alice.say(Bye(alice.welcome.fence))
    world.pass_time(1)
    for user in ("alice", "nobody"):
        number = get_attributes(bob, user)
        failed = bob.expect(Failed)
        assert (failed.i, failed.code) == (number, ERROR.USER_NOT_FOUND)


def test_they_live_as_long_as_the_session(world):
    alice, bob = world.login("alice"), world.login("bob")
    done(alice, set_attributes(alice, {"a": "b"}))
    alice.cut()
    world.pass_time(OFFLINE_AFTER - 5)
    back = alice.back()
    assert back.expect(Welcome).resumed
    assert attributes_of(bob, "alice") == {"a": "b"}
    back.cut()
    world.pass_time(OFFLINE_AFTER + 1)
    again = alice.back(attempt=3)
    assert not again.expect(Welcome).resumed
    again.expect(Ready)
    assert attributes_of(bob, "alice") == {}
    done(again, set_attributes(again, {"a": "b"}, restore=True))
    assert attributes_of(bob, "alice") == {"a": "b"}


FULL = {
    f"{n}": "x" * (USER_ATTRIBUTES_BYTES // USER_ATTRIBUTES - len(f"{n}")) for n in range(USER_ATTRIBUTES)
}


@pytest.mark.parametrize(
    ("attributes", "code"),
    [
        ({"k" * ATTRIBUTE_KEY_BYTES: "v"}, None),
        ({"a key": "v"}, None),
        ({"k": "v" * ATTRIBUTE_VALUE_BYTES}, None),
        (FULL, None),
        ({"": "v"}, ERROR.INVALID_ARGUMENT),
        ({"k" * (ATTRIBUTE_KEY_BYTES + 1): "v"}, ERROR.INVALID_ARGUMENT),
        ({"é" * ATTRIBUTE_KEY_BYTES: "v"}, ERROR.INVALID_ARGUMENT),
        ({"a\tb": "v"}, ERROR.INVALID_ARGUMENT),
        ({"k": ""}, ERROR.INVALID_ARGUMENT),
        ({"k": "v" * (ATTRIBUTE_VALUE_BYTES + 1)}, ERROR.SIZE_OVERFLOW),
        ({"k": "é" * (ATTRIBUTE_VALUE_BYTES // 2 + 1)}, ERROR.SIZE_OVERFLOW),
        ({f"{n}": "v" for n in range(USER_ATTRIBUTES + 1)}, ERROR.SIZE_OVERFLOW),
        ({**FULL, "0": FULL["0"] + "x"}, ERROR.SIZE_OVERFLOW),
    ],
    ids=[
        "longest key", "space", "longest value", "most", "no key", "long key", "long in bytes", "tab",
        "no value", "long value", "value long in bytes", "too many", "too large together",
    ],
)  # fmt: skip
def test_attributes_are_checked(world, attributes, code):
    alice = world.login("alice")
    number = set_attributes(alice, attributes)
    if code is None:
        assert alice.expect(Done).i == number
        assert attributes_of(alice, "alice") == attributes
    else:
        failed = alice.expect(Failed)
        assert (failed.i, failed.code) == (number, code)
        assert attributes_of(alice, "alice") == {}


def test_an_id_that_is_none_is_refused(world):
    alice = world.login("alice")
    number = get_attributes(alice, "*")
    failed = alice.expect(Failed)
    assert (failed.i, failed.code) == (number, ERROR.INVALID_ARGUMENT)


def test_the_largest_attributes_fit_into_a_frame_of_either_codec(world):
    for user, codec in (("alice", MSGPACK), ("bob", JSON)):
        wire = world.login(user, codec)
        worst = {f"{n}": "\x01" * (USER_ATTRIBUTES_BYTES // 2 - 1) for n in range(2)}
        done(wire, set_attributes(wire, worst))
        before = len(wire.raw)
        assert attributes_of(wire, user) == worst
        assert len(wire.raw) - before < FRAME_BYTES


@pytest.mark.parametrize(
    ("call", "limit"),
    [
        (lambda wire: set_attributes(wire, {"a": "b"}), USER_ATTRIBUTES_WRITE_RATE),
        (lambda wire: get_attributes(wire, "alice"), USER_ATTRIBUTES_READ_RATE),
    ],
    ids=["write", "read"],
)
def test_the_rates_are_limited(world, call, limit):
    alice = world.login("alice")
    for _ in range(SERVER_RATE_BURST * limit.count):
        call(alice)
    number = call(alice)
    failed = alice.expect(Failed)
    assert (failed.i, failed.code) == (number, ERROR.TOO_OFTEN)
    assert 0 < failed.retry <= limit.seconds / limit.count * 1000
    world.pass_time(limit.seconds)
    assert call(alice) > number
    world.pass_time(1)
    assert len(alice.all_of(Failed)) == 1


def test_restoring_does_not_count_but_once(world):
    alice = world.login("alice")
    alice.cut()
    world.pass_time(OFFLINE_AFTER + 1)
    back = alice.back()
    back.expect(Ready)
    for _ in range(SERVER_RATE_BURST * USER_ATTRIBUTES_WRITE_RATE.count):
        set_attributes(back, {"a": "b"})
    done(back, set_attributes(back, {"c": "d"}, restore=True))
    number = set_attributes(back, {"e": "f"}, restore=True)
    assert back.expect(Failed).i == number
    assert attributes_of(back, "alice") == {"c": "d"}


def test_an_id_used_for_two_requests_is_an_error_and_not_a_lie(world):
    alice = world.login("alice")
    alice.say(SetAttributes(1, {"a": "b"}))
    assert alice.expect(Done).i == 1
    alice.say(SendPeer(1, "alice", 2, b"x"))
    assert alice.expect(Failed).i == 1
    assert alice.closed is None
