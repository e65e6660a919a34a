"""Attributes of channels, and changes of some attributes of users."""

import pytest

from rtmcore.codes import AttributeOperationError
from rtmcore.limits import (
    ATTRIBUTE_KEY_BYTES,
    ATTRIBUTE_VALUE_BYTES,
    CHANNEL_ATTRIBUTES,
    CHANNEL_ATTRIBUTES_BYTES,
    CHANNEL_ATTRIBUTES_GRACE,
    FRAME_BYTES,
    OFFLINE_AFTER,
    USER_ATTRIBUTES,
)
from rtmcore.service.config import NodeConfig
from rtmcore.wire.codec import JSON, MSGPACK
from rtmcore.wire.packets import (
    AttributeList,
    Bye,
    ChannelAttributeList,
    ChannelAttributesChanged,
    Done,
    Failed,
    GetAttributes,
    GetChannelAttributes,
    Join,
    Leave,
    SetAttributes,
    SetChannelAttributes,
    UpdateAttributes,
    UpdateChannelAttributes,
    Welcome,
    WrittenAttribute,
)
from tests.service.wires import SETTLE, WALL

ERROR = AttributeOperationError
UNLIMITED = NodeConfig(node="n1", rate_limits=False)


def ask(wire, request, *arguments, **options):
    number = wire.next_request()
    wire.say(request(number, *arguments, **options))
    return number


def done(wire, request, *arguments, **options):
    number = ask(wire, request, *arguments, **options)
    assert wire.expect(Done) == Done(number)


def failed(wire, request, *arguments, **options):
    number = ask(wire, request, *arguments, **options)
    failure = wire.expect(Failed)
    assert failure.i == number
    return failure.code


def attributes_of(wire, channel="ops", keys=None):
    number = ask(wire, GetChannelAttributes, channel, keys)
    answer = wire.expect(ChannelAttributeList)
    assert answer.i == number
    return answer.attributes


def values_of(wire, channel="ops", keys=None):
    return {key: one.value for key, one in attributes_of(wire, channel, keys).items()}


# --- Of channels --------------------------------------------------------------------------


@pytest.mark.parametrize("codec", [MSGPACK, JSON], ids=lambda codec: codec.subprotocol)
def test_what_is_written_is_read_with_the_writer_and_the_time(world, codec):
    alice, bob = world.login("alice", codec), world.login("bob")
    assert attributes_of(alice) == {}
    done(alice, SetChannelAttributes, "ops", {"topic": "ruhig ☀", "größe": "klein"})
    before = world.wall // 1000
    world.pass_time(5)
    done(bob, UpdateChannelAttributes, "ops", {"topic": "laut"})
    for wire in (alice, bob):
        attributes = attributes_of(wire)
        assert {key: (one.value, one.user) for key, one in attributes.items()} == {
            "topic": ("laut", "bob"),
            "größe": ("klein", "alice"),
        }
        assert WALL // 1000 <= attributes["größe"].at <= before
        assert before + 5000 <= attributes["topic"].at <= world.wall // 1000
    assert attributes_of(bob, "another") == {}


def test_set_replaces_update_merges_and_an_empty_set_clears(world):
    alice = world.login("alice")
    done(alice, SetChannelAttributes, "ops", {"a": "1", "b": "2"})
    done(alice, UpdateChannelAttributes, "ops", {"b": "3", "c": "4"}, ["a", "unknown"])
    assert values_of(alice) == {"b": "3", "c": "4"}
    assert values_of(alice, keys=["c", "unknown"]) == {"c": "4"}
    done(alice, SetChannelAttributes, "ops", {"d": "5"})
    assert values_of(alice) == {"d": "5"}
    done(alice, SetChannelAttributes, "ops", {})
    assert values_of(alice) == {}


def test_members_are_told_where_the_writer_wants_it_and_only_then(world):
    alice, bob = world.login("alice"), world.login("bob", JSON)
    carol, dora = world.login("carol"), world.login("dora")
    for wire in (alice, bob, carol):
        wire.join("ops")
    dora.join("elsewhere")
    done(alice, SetChannelAttributes, "ops", {"a": "1"})
    done(dora, UpdateChannelAttributes, "ops", {"b": "2"}, notify=True)
    told = {"a": "1", "b": "2"}
    world.pass_time(SETTLE)
    for wire in (alice, bob, carol):
        (changed,) = wire.all_of(ChannelAttributesChanged)
        assert changed.ch == "ops"
        assert {key: one.value for key, one in changed.attributes.items()} == told
        assert changed.attributes["b"].user == "dora"
    done(alice, SetChannelAttributes, "ops", {}, notify=True)
    world.pass_time(SETTLE)
    for wire in (alice, bob, carol):
        assert [len(changed.attributes) for changed in wire.all_of(ChannelAttributesChanged)] == [2, 0]
    assert dora.all_of(ChannelAttributesChanged) == []


def test_who_has_left_is_told_no_more(world):
    alice, bob = world.login("alice"), world.login("bob")
    alice.join("ops")
    bob.join("ops")
    number = ask(bob, Leave, "ops")
    assert bob.expect(Done).i == number
    done(alice, SetChannelAttributes, "ops", {"a": "1"}, notify=True)
    world.pass_time(SETTLE)
    assert len(alice.all_of(ChannelAttributesChanged)) == 1
    assert bob.all_of(ChannelAttributesChanged) == []


def test_a_member_that_joins_while_it_changes_has_the_last_word(make_world):
    """Whatever the engine does first: what a member is told, or finds when he asks, is what there is."""
    world = make_world(config=UNLIMITED)
    alice, bob = world.login("alice"), world.login("bob")
    alice.join("ops")
    for round_ in range(10):
        bob.say(Join(bob.next_request(), "ops"))
        done(alice, UpdateChannelAttributes, "ops", {"round": str(round_)}, notify=True)
        world.pass_time(0.5)
        for changed in bob.all_of(ChannelAttributesChanged)[-1:]:
            assert changed.attributes["round"].value == str(round_)
        assert values_of(bob) == {"round": str(round_)}
        number = ask(bob, Leave, "ops")
        while bob.expect(Done).i != number:
            pass


def test_they_outlive_sessions_and_go_when_nobody_was_there_for_a_while(world):
    alice, bob = world.login("alice"), world.login("bob")
    alice.join("ops")
    done(alice, SetChannelAttributes, "ops", {"a": "1"})
    world.pass_time(2 * CHANNEL_ATTRIBUTES_GRACE)
    assert values_of(bob) == {"a": "1"}
    alice.say(Bye(alice.welcome.fence))
    world.pass_time(CHANNEL_ATTRIBUTES_GRACE - OFFLINE_AFTER)
    assert values_of(bob) == {"a": "1"}
    world.pass_time(OFFLINE_AFTER + 40)
    assert values_of(bob) == {}


FULL = {
    f"{n}": "x" * (CHANNEL_ATTRIBUTES_BYTES // CHANNEL_ATTRIBUTES - len(f"{n}"))
    for n in range(CHANNEL_ATTRIBUTES)
}


@pytest.mark.parametrize(
    ("attributes", "code"),
    [
        ({"k" * ATTRIBUTE_KEY_BYTES: "v"}, None),
        ({"k": "v" * ATTRIBUTE_VALUE_BYTES}, None),
        (FULL, None),
        ({"": "v"}, ERROR.INVALID_ARGUMENT),
        ({"k" * (ATTRIBUTE_KEY_BYTES + 1): "v"}, ERROR.INVALID_ARGUMENT),
        ({"a\tb": "v"}, ERROR.INVALID_ARGUMENT),
        ({"k": ""}, ERROR.INVALID_ARGUMENT),
        ({"k": "v" * (ATTRIBUTE_VALUE_BYTES + 1)}, ERROR.SIZE_OVERFLOW),
        ({f"{n}": "v" for n in range(CHANNEL_ATTRIBUTES + 1)}, ERROR.SIZE_OVERFLOW),
        ({**FULL, "0": FULL["0"] + "x"}, ERROR.SIZE_OVERFLOW),
    ],
    ids=[
        "longest key", "longest value", "most", "no key", "long key", "tab", "no value", "long value", "too many",
        "too large together",
    ],
)  # fmt: skip
@pytest.mark.parametrize("request_", [SetChannelAttributes, UpdateChannelAttributes])
def test_attributes_are_checked(world, request_, attributes, code):
    alice = world.login("alice")
    if code is None:
        done(alice, request_, "ops", attributes)
        assert values_of(alice) == attributes
    else:
        assert failed(alice, request_, "ops", attributes) == code
        assert values_of(alice) == {}


def test_an_update_that_makes_too_much_of_it_changes_nothing(world):
    alice = world.login("alice")
    done(alice, SetChannelAttributes, "ops", FULL)
    assert failed(alice, UpdateChannelAttributes, "ops", {"new": "v"}) == ERROR.SIZE_OVERFLOW
    assert failed(alice, UpdateChannelAttributes, "ops", {"0": FULL["0"] + "x"}) == ERROR.SIZE_OVERFLOW
    assert values_of(alice) == FULL
    done(alice, UpdateChannelAttributes, "ops", {"n": "v"}, ["0"])
    assert len(values_of(alice)) == CHANNEL_ATTRIBUTES


KEYS = [f"{n}" for n in range(CHANNEL_ATTRIBUTES)]


@pytest.mark.parametrize(
    ("request_", "arguments", "code"),
    [
        (SetChannelAttributes, ("*", {"a": "b"}), ERROR.INVALID_ARGUMENT),
        (UpdateChannelAttributes, ("*", {"a": "b"}), ERROR.INVALID_ARGUMENT),
        (UpdateChannelAttributes, ("ops",), ERROR.INVALID_ARGUMENT),
        (UpdateChannelAttributes, ("ops", {"a": "b"}, ["a"]), ERROR.INVALID_ARGUMENT),
        (UpdateChannelAttributes, ("ops", {}, [""]), ERROR.INVALID_ARGUMENT),
        (UpdateChannelAttributes, ("ops", {}, [*KEYS, "more"]), ERROR.SIZE_OVERFLOW),
        (GetChannelAttributes, ("*",), ERROR.INVALID_ARGUMENT),
        (GetChannelAttributes, ("ops", []), ERROR.INVALID_ARGUMENT),
        (GetChannelAttributes, ("ops", ["\n"]), ERROR.INVALID_ARGUMENT),
        (GetChannelAttributes, ("ops", [*KEYS, "more"]), ERROR.SIZE_OVERFLOW),
        (UpdateAttributes, (), ERROR.INVALID_ARGUMENT),
        (UpdateAttributes, ({"a": "b"}, ["a"]), ERROR.INVALID_ARGUMENT),
        (UpdateAttributes, ({"": "b"},), ERROR.INVALID_ARGUMENT),
        (UpdateAttributes, ({"a": "v" * (ATTRIBUTE_VALUE_BYTES + 1)},), ERROR.SIZE_OVERFLOW),
        (UpdateAttributes, ({}, [*KEYS, "more"]), ERROR.SIZE_OVERFLOW),
        (GetAttributes, ("alice", []), ERROR.INVALID_ARGUMENT),
    ],
)
def test_requests_are_checked(world, request_, arguments, code):
    assert failed(world.login("alice"), request_, *arguments) == code


def test_as_many_keys_as_there_can_be_may_be_named(world):
    alice = world.login("alice")
    done(alice, UpdateChannelAttributes, "ops", {}, KEYS)
    assert values_of(alice, keys=KEYS) == {}


def test_the_largest_attributes_fit_into_a_frame_of_either_codec(world):
    for user, codec in (("alice", MSGPACK), ("bob", JSON)):
        wire = world.login(user, codec)
        wire.join(user)
        worst = {f"{n}": "\x01" * (CHANNEL_ATTRIBUTES_BYTES // 4 - 1) for n in range(4)}
        done(wire, SetChannelAttributes, user, worst, notify=True)
        world.pass_time(SETTLE)
        assert [len(changed.attributes) for changed in wire.all_of(ChannelAttributesChanged)] == [4]
        before = len(wire.raw)
        assert values_of(wire, user) == worst
        assert len(wire.raw) - before < FRAME_BYTES


def test_a_repeat_after_a_cut_is_answered_and_told_once(world):
    alice, bob = world.login("alice"), world.login("bob")
    bob.join("ops")
    number = ask(alice, UpdateChannelAttributes, "ops", {"a": "1"}, notify=True)
    for data in alice.data_to_send():
        alice.send(data)
    alice.cut()
    world.pass_time(0.4)
    back = alice.back()
    back.expect(Welcome)
    back.say(UpdateChannelAttributes(number, "ops", {"a": "1"}, notify=True))
    assert back.expect(Done).i == number
    world.pass_time(0.5)
    assert len(bob.all_of(ChannelAttributesChanged)) == 1


def test_an_attribute_says_nothing_of_its_value_in_logs():
    assert "secret" not in repr(WrittenAttribute("secret", "alice", 1))


# --- Of users: some of them -----------------------------------------------------------------


def test_some_attributes_of_a_user_are_changed_and_read(world):
    alice, bob = world.login("alice"), world.login("bob")
    done(alice, SetAttributes, {"a": "1", "b": "2"})
    done(alice, UpdateAttributes, {"b": "3", "c": "4"}, ["a", "unknown"])
    ask(bob, GetAttributes, "alice")
    assert bob.expect(AttributeList).attributes == {"b": "3", "c": "4"}
    ask(bob, GetAttributes, "alice", ["c", "unknown"])
    assert bob.expect(AttributeList).attributes == {"c": "4"}


def test_an_update_of_a_user_counts_what_he_has(world):
    alice = world.login("alice")
    done(alice, SetAttributes, {f"{n}": "v" for n in range(USER_ATTRIBUTES)})
    assert failed(alice, UpdateAttributes, {"new": "v"}) == ERROR.SIZE_OVERFLOW
    done(alice, UpdateAttributes, {"new": "v"}, ["0"])


# --- Permissions ------------------------------------------------------------------------------


def test_a_token_may_name_whose_attributes_may_be_used(world):
    alice = world.login("alice", token="some attributes")
    assert failed(alice, SetAttributes, {"a": "b"}) == ERROR.FAILURE
    assert failed(alice, UpdateAttributes, {"a": "b"}) == ERROR.FAILURE
    assert failed(alice, SetChannelAttributes, "ops", {"a": "b"}) == ERROR.FAILURE
    assert failed(alice, UpdateChannelAttributes, "ops", {"a": "b"}) == ERROR.FAILURE
    assert failed(alice, GetChannelAttributes, "ops") == ERROR.FAILURE
    done(alice, SetChannelAttributes, "room-1", {"a": "b"})
    assert values_of(alice, "room-1") == {"a": "b"}
    ask(alice, GetAttributes, "alice")
    assert alice.expect(AttributeList).attributes == {}
