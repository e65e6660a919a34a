"""Attributes and member counts of channels: client cores against the real node and engine, in simulated time."""

from typing import Any

import pytest

from rtmcore.client.events import ChannelAttributesUpdated, MemberCountChanged
from rtmcore.codes import AttributeOperationError, ChannelMemberCountError, ConnectionState
from rtmcore.errors import Aborted, InvalidArgument, LimitExceeded, NotLoggedIn, RateLimited
from rtmcore.limits import CHANNEL_ATTRIBUTES_BYTES
from tests.simulation.hosts import ClientHost
from tests.simulation.scenario import Scenario

INVALID, OVERFLOW = AttributeOperationError.INVALID_ARGUMENT, AttributeOperationError.SIZE_OVERFLOW
LARGEST = {"a": "x" * 8192, "b": "y" * 8192, "c": "z" * 8192}


def info(host: ClientHost) -> Any:
    return host.core.channel_info


def done(world: Scenario, host: ClientHost, name: str, *arguments: Any, **options: Any) -> Any:
    call = host.call(f"channel_info.{name}", *arguments, **options)
    world.run_for(1.0)
    assert call.done
    if call.error is not None:
        raise call.error
    return call.value


def values(world: Scenario, host: ClientHost, channel: str, keys: list[str] | None = None) -> dict[str, str]:
    found = done(world, host, "get_attributes", channel, keys)
    return {key: attribute.value for key, attribute in found.items()}


# --- Attributes -----------------------------------------------------------------------------------------------------


def test_who_wrote_each_attribute_last_and_when() -> None:
    world = Scenario()
    alice, bob = world.login("alice", "bob")
    done(world, alice, "set_attributes", "room", {"topic": "tea", "mood": "fine"})
    done(world, bob, "update_attributes", "room", {"mood": "better"})
    found = done(world, alice, "get_attributes", "room")
    assert {key: (each.value, each.writer) for key, each in found.items()} == {
        "topic": ("tea", "alice"),
        "mood": ("better", "bob"),
    }
    assert found["mood"].server_time - found["topic"].server_time == pytest.approx(1.0, abs=0.2)


def test_attributes_are_replaced_changed_deleted_cleared_and_read_by_keys() -> None:
    world = Scenario()
    (alice,) = world.login("alice")
    done(world, alice, "set_attributes", "room", {"a": "1", "b": "2"})
    done(world, alice, "set_attributes", "room", {"b": "3", "c": "4"})
    done(world, alice, "update_attributes", "room", {"c": "5", "d": "6", "e": "7"})
    assert values(world, alice, "room") == {"b": "3", "c": "5", "d": "6", "e": "7"}
    done(world, alice, "delete_attributes", "room", ["b", "unknown", "e"])
    assert values(world, alice, "room") == {"c": "5", "d": "6"}
    assert values(world, alice, "room", ["d", "unknown"]) == {"d": "6"}
    assert values(world, alice, "another") == {}
    done(world, alice, "clear_attributes", "room")
    assert values(world, alice, "room") == {}


def test_members_are_told_of_all_attributes_where_the_writer_wants_it() -> None:
    world = Scenario()
    alice, bob, carol = world.login("alice", "bob", "carol")
    world.join("room", alice, bob)
    done(world, carol, "set_attributes", "room", {"a": "1"})
    done(world, alice, "update_attributes", "room", {"b": "2"}, notify=True)
    done(world, alice, "delete_attributes", "room", ["a"])
    done(world, bob, "clear_attributes", "room", notify=True)
    for member in (alice, bob):
        told = list(member.life.of(ChannelAttributesUpdated))
        assert [{key: each.value for key, each in event.attributes.items()} for event in told] == [
            {"a": "1", "b": "2"},
            {},
        ]
        assert told[0].channel == "room"
        assert told[0].attributes["b"].writer == "alice"
    assert list(carol.life.of(ChannelAttributesUpdated)) == []


def test_the_largest_attributes_arrive_and_one_byte_more_is_refused_by_the_server() -> None:
    world = Scenario()
    alice, bob = world.login("alice", "bob")
    room_left = CHANNEL_ATTRIBUTES_BYTES - 3 * 8193
    done(world, alice, "set_attributes", "room", LARGEST)
    done(world, alice, "update_attributes", "room", {"d": "v" * (room_left - 1)})
    assert sum(len(key) + len(value) for key, value in values(world, bob, "room").items()) == 32 * 1024
    with pytest.raises(LimitExceeded) as caught:
        done(world, bob, "update_attributes", "room", {"e": "v"})
    assert caught.value.code is OVERFLOW
    assert "e" not in values(world, bob, "room")


@pytest.mark.parametrize(
    ("attributes", "code"),
    [
        ({"": "x"}, INVALID),
        ({"k" * 33: "x"}, INVALID),
        ({"ü" * 17: "x"}, INVALID),
        ({"a\nb": "x"}, INVALID),
        ({"a": ""}, INVALID),
        ({"a": 1}, INVALID),
        ({1: "a"}, INVALID),
        ("text", INVALID),
        ({"a": "x" * 8193}, OVERFLOW),
        ({str(number): "x" for number in range(33)}, OVERFLOW),
        ({**LARGEST, "d": "v" * 8190}, OVERFLOW),
    ],
)
def test_attributes_that_are_not_allowed_are_refused_at_once(attributes: Any, code: Any) -> None:
    world = Scenario()
    (alice,) = world.login("alice")
    for intent in (info(alice).set_attributes, info(alice).update_attributes):
        with pytest.raises((InvalidArgument, LimitExceeded)) as caught:
            intent("room", attributes, now=world.now)
        assert caught.value.code is code


@pytest.mark.parametrize(
    ("keys", "code"),
    [
        ([], INVALID),
        ([""], INVALID),
        (["k" * 33], INVALID),
        ("key", INVALID),
        ([7], INVALID),
        (7, INVALID),
        ([str(number) for number in range(33)], OVERFLOW),
    ],
)
def test_keys_that_are_not_allowed_are_refused_at_once(keys: Any, code: Any) -> None:
    world = Scenario()
    (alice,) = world.login("alice")
    for intent in (info(alice).delete_attributes, info(alice).get_attributes):
        with pytest.raises((InvalidArgument, LimitExceeded)) as caught:
            intent("room", keys, now=world.now)
        assert caught.value.code is code


def test_as_many_keys_as_there_may_be_attributes() -> None:
    world = Scenario()
    (alice,) = world.login("alice")
    most = {"k" * 30 + f"{number:02}": "x" for number in range(32)}
    done(world, alice, "set_attributes", "room", most)
    assert values(world, alice, "room", list(most)) == most
    done(world, alice, "delete_attributes", "room", list(most))
    assert values(world, alice, "room") == {}


@pytest.mark.parametrize("channel", ["", "r" * 65, "null", "a*b", 7, None])
def test_a_channel_that_is_none_is_refused_at_once(channel: Any) -> None:
    world = Scenario()
    (alice,) = world.login("alice")
    for intent in (
        lambda: info(alice).set_attributes(channel, {"a": "b"}, now=world.now),
        lambda: info(alice).update_attributes(channel, {"a": "b"}, now=world.now),
        lambda: info(alice).delete_attributes(channel, ["a"], now=world.now),
        lambda: info(alice).clear_attributes(channel, now=world.now),
        lambda: info(alice).get_attributes(channel, now=world.now),
    ):
        with pytest.raises(InvalidArgument) as caught:
            intent()
        assert caught.value.code is INVALID


# --- Member counts --------------------------------------------------------------------------------------------------


def test_members_are_counted_without_joining() -> None:
    world = Scenario()
    alice, bob, carol = world.login("alice", "bob", "carol")
    world.join("one", alice)
    world.join("two", alice, bob)
    assert done(world, carol, "count_members", ["two", "one", "none", "two"]) == {
        "two": 2,
        "one": 1,
        "none": 0,
    }
    many = [f"room-{number}" for number in range(31)]
    assert done(world, carol, "count_members", ["two", *many]) == {"two": 2, **dict.fromkeys(many, 0)}


@pytest.mark.parametrize(
    ("channels", "code"),
    [
        ([], ChannelMemberCountError.INVALID_ARGUMENT),
        (["room", ""], ChannelMemberCountError.INVALID_ARGUMENT),
        ("room", ChannelMemberCountError.INVALID_ARGUMENT),
        (7, ChannelMemberCountError.INVALID_ARGUMENT),
        ([f"room-{number}" for number in range(33)], ChannelMemberCountError.EXCEED_LIMIT),
    ],
)
def test_channels_that_cannot_be_counted_are_refused_at_once(channels: Any, code: Any) -> None:
    world = Scenario()
    (alice,) = world.login("alice")
    with pytest.raises((InvalidArgument, LimitExceeded)) as caught:
        info(alice).count_members(channels, now=world.now)
    assert caught.value.code is code


def test_a_member_is_told_how_many_they_are_on_the_join_and_then_of_changes() -> None:
    world = Scenario()
    alice, bob, carol = world.login("alice", "bob", "carol")
    world.join("room", alice)
    assert [event.count for event in alice.life.of(MemberCountChanged)] == [1]
    world.join("room", bob, carol)
    world.run_for(2.0)
    assert [event.count for event in alice.life.of(MemberCountChanged)][-1] == 3
    assert [event.count for event in bob.life.of(MemberCountChanged)][-1] == 3
    before = len(list(alice.life.of(MemberCountChanged)))
    alice.reset()
    world.run_for(5.0)
    assert alice.core.state is ConnectionState.CONNECTED
    assert len(list(alice.life.of(MemberCountChanged))) == before, "nothing has changed"
    carol.call("logout")
    world.run_for(3.0)
    assert list(alice.life.of(MemberCountChanged))[-1] == MemberCountChanged("room", 2)


# --- Rates and states -----------------------------------------------------------------------------------------------


def test_rates_of_channel_attributes_and_counts() -> None:
    world = Scenario(rate_limits=True)
    (alice,) = world.login("alice", rate_limits=True)
    writes = (
        lambda: info(alice).set_attributes("one", {"a": "1"}, now=world.now),
        lambda: info(alice).update_attributes("two", {"a": "1"}, now=world.now),
        lambda: info(alice).delete_attributes("three", ["a"], now=world.now),
        lambda: info(alice).clear_attributes("four", now=world.now),
    )
    for number in range(10):
        writes[number % 4]()
    for write in writes:
        with pytest.raises(RateLimited) as caught:
            write()
        assert caught.value.code is AttributeOperationError.TOO_OFTEN
        assert caught.value.retry_after == pytest.approx(5.0)
    for intent, count, code in (
        (lambda: info(alice).get_attributes("room", now=world.now), 10, AttributeOperationError.TOO_OFTEN),
        (lambda: info(alice).count_members(["room"], now=world.now), 1, ChannelMemberCountError.TOO_OFTEN),
    ):
        for _ in range(count):
            intent()
        with pytest.raises(RateLimited) as caught:
            intent()
        assert caught.value.code is code
    world.run_for(5.0)
    assert values(world, alice, "one") == {"a": "1"}


def test_calls_without_a_session_fail_at_once() -> None:
    world = Scenario()
    fresh = world.client("fresh")
    with pytest.raises(NotLoggedIn):
        info(fresh).count_members(["room"], now=world.now)
    (alice,) = world.login("alice")
    world.login("alice")
    assert alice.core.state is ConnectionState.ABORTED
    for intent in (
        lambda: info(alice).set_attributes("room", {}, now=world.now),
        lambda: info(alice).update_attributes("room", {"a": "b"}, now=world.now),
        lambda: info(alice).delete_attributes("room", ["a"], now=world.now),
        lambda: info(alice).clear_attributes("room", now=world.now),
        lambda: info(alice).get_attributes("room", now=world.now),
        lambda: info(alice).count_members(["room"], now=world.now),
    ):
        with pytest.raises(Aborted):
            intent()
