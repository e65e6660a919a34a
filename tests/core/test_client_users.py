"""Presence and user attributes: client cores against the real node and engine, in simulated time."""

from typing import Any

import pytest

from rtmcore.client.events import NotRestored, PresenceChanged, StateChanged
from rtmcore.codes import (
    AttributeOperationError,
    ConnectionState,
    PeerOnlineState,
    PeerSubscriptionOption,
    PeerSubscriptionStatusError,
    QueryPeersBySubscriptionOptionError,
    QueryPeersOnlineError,
)
from rtmcore.errors import (
    Aborted,
    InvalidArgument,
    LimitExceeded,
    NotLoggedIn,
    RateLimited,
    RequestTimeout,
    UserNotFound,
)
from rtmcore.limits import OFFLINE_AFTER, RESTORE_TIMEOUT, UNREACHABLE_AFTER
from rtmcore.models import PeerStatus
from rtmcore.wire.packets import Done, Failed, Ready, SetAttributes, Subscribe, Top
from tests.core.wires import Bench, never, welcome
from tests.simulation.hosts import ClientHost
from tests.simulation.scenario import Scenario

ONLINE, UNREACHABLE, OFFLINE = PeerOnlineState.ONLINE, PeerOnlineState.UNREACHABLE, PeerOnlineState.OFFLINE


def users(host: ClientHost) -> Any:
    return host.core.users


def done(world: Scenario, host: ClientHost, name: str, *arguments: Any, **options: Any) -> Any:
    call = host.call(f"users.{name}", *arguments, **options)
    world.run_for(1.0)
    assert call.done
    if call.error is not None:
        raise call.error
    return call.value


def told(host: ClientHost) -> list[tuple[float, dict[str, PeerOnlineState]]]:
    return [(time, event.states) for time, event in host.life.times(PresenceChanged)]


def states(host: ClientHost) -> list[dict[str, PeerOnlineState]]:
    return [found for _, found in told(host)]


# --- Presence -------------------------------------------------------------------------------------------------------


def test_the_states_of_all_new_users_come_behind_the_subscription_then_changes_only() -> None:
    world = Scenario()
    alice, bob = world.login("alice", "bob")
    done(world, alice, "subscribe", ["bob", "carol", "bob"])
    assert states(alice) == [{"bob": ONLINE, "carol": OFFLINE}]
    done(world, alice, "subscribe", ["bob"])
    assert len(states(alice)) == 1
    (carol,) = world.login("carol")
    bob.call("logout")
    world.run_for(1.0)
    assert states(alice)[1:] == [{"carol": ONLINE}, {"bob": OFFLINE}]
    assert users(alice).subscriptions == {"bob", "carol"}
    assert users(alice).peer_states == {"bob": OFFLINE, "carol": ONLINE}
    done(world, alice, "unsubscribe", ["carol", "stranger"])
    carol.call("logout")
    world.run_for(1.0)
    assert len(states(alice)) == 3
    assert users(alice).subscriptions == {"bob"}


def test_a_silent_user_is_unreachable_after_6_seconds_and_offline_after_30() -> None:
    world = Scenario()
    alice, bob = world.login("alice", "bob")
    done(world, alice, "subscribe", ["bob"])
    start = world.time
    bob.hole(60.0)
    world.run(start + 50)
    assert states(alice)[1:] == [{"bob": UNREACHABLE}, {"bob": OFFLINE}]
    (unreachable, _), (offline, _) = told(alice)[1:]
    assert UNREACHABLE_AFTER - 2 < unreachable - start < UNREACHABLE_AFTER + 1
    assert offline - unreachable == pytest.approx(OFFLINE_AFTER - UNREACHABLE_AFTER, abs=0.5)


def test_what_changed_during_an_interruption_is_told_after_it_and_nothing_else() -> None:
    world = Scenario()
    alice, bob, _ = world.login("alice", "bob", "carol")
    done(world, alice, "subscribe", ["bob", "carol"])
    alice.hole(15.0)
    world.run_for(5.0)
    bob.call("logout")
    world.run_for(30.0)
    assert alice.core.state is ConnectionState.CONNECTED
    assert states(alice) == [{"bob": ONLINE, "carol": ONLINE}, {"bob": OFFLINE}]


def test_subscriptions_and_attributes_come_back_before_connected_after_a_long_outage() -> None:
    world = Scenario()
    alice, bob, carol = world.login("alice", "bob", "carol")
    done(world, alice, "subscribe", ["bob", "carol"])
    done(world, alice, "set_attributes", {"mood": "fine"})
    alice.hole(50.0)
    world.run_for(40.0)
    with pytest.raises(UserNotFound):
        done(world, bob, "get_attributes", "alice")
    bob.call("logout")
    world.run_for(40.0)
    assert alice.core.state is ConnectionState.CONNECTED
    restored, changed = list(alice.life.of(PresenceChanged, StateChanged))[-2:]
    assert isinstance(restored, StateChanged)
    assert restored.state is ConnectionState.CONNECTED
    assert changed == PresenceChanged({"bob": OFFLINE})
    assert done(world, carol, "get_attributes", "alice") == {"mood": "fine"}
    carol.call("logout")
    world.run_for(1.0)
    assert states(alice)[-1] == {"carol": OFFLINE}


def test_what_was_asked_last_counts_when_the_server_forgets_everybody_before_it_answers() -> None:
    world = Scenario()
    alice, bob = world.login("alice", "bob")
    done(world, alice, "set_attributes", {"mood": "fine", "place": "here"})
    done(world, alice, "subscribe", ["bob", "carol"])
    alice.hole(2.0)
    calls = [
        alice.call("users.delete_attributes", ["place"]),
        alice.call("users.update_attributes", {"mood": "tired"}),
        alice.call("users.unsubscribe", ["carol"]),
    ]
    world.side.restart(down=0.1)
    world.run_for(5.0)
    assert alice.core.state is ConnectionState.CONNECTED
    assert all(call.ok for call in calls)
    assert done(world, bob, "get_attributes", "alice") == {"mood": "tired"}
    assert done(world, alice, "subscribed") == ("bob",)
    world.check()


def test_a_server_that_forgot_everybody_causes_no_events_for_those_who_come_back() -> None:
    world = Scenario()
    alice, bob, carol = world.login("alice", "bob", "carol")
    done(world, alice, "subscribe", ["bob", "carol"])
    done(world, alice, "set_attributes", {"a": "1"})
    world.side.restart(down=1.0)
    carol.suspend(100.0)
    world.run_for(20.0)
    assert alice.core.state is ConnectionState.CONNECTED
    assert {"bob": OFFLINE} not in states(alice)
    assert all("bob" not in changed for changed in states(alice)[1:])
    assert done(world, bob, "get_attributes", "alice") == {"a": "1"}
    world.run_for(40.0)
    assert [changed for changed in states(alice)[1:] if changed.get("carol") is OFFLINE] == [
        {"carol": OFFLINE}
    ]
    assert all("bob" not in changed for changed in states(alice)[1:])


def test_logout_ends_subscriptions_and_attributes() -> None:
    world = Scenario()
    alice, bob = world.login("alice", "bob")
    done(world, alice, "subscribe", ["bob"])
    done(world, alice, "set_attributes", {"a": "1"})
    alice.call("logout")
    world.run_for(1.0)
    assert users(alice).subscriptions == frozenset()
    assert users(alice).peer_states == {}
    alice.call("login")
    world.run_for(1.0)
    assert done(world, bob, "get_attributes", "alice") == {}
    bob.call("logout")
    world.run_for(1.0)
    assert len(states(alice)) == 1


def test_at_most_512_users_in_all() -> None:
    world = Scenario()
    (alice,) = world.login("alice")
    done(world, alice, "subscribe", [f"user-{number}" for number in range(500)])
    with pytest.raises(LimitExceeded) as caught:
        users(alice).subscribe([f"more-{number}" for number in range(13)], now=world.now)
    assert caught.value.code is PeerSubscriptionStatusError.OVERFLOW
    done(world, alice, "subscribe", [f"more-{number}" for number in range(12)] + ["user-1"])
    assert len(users(alice).subscriptions) == 512
    with pytest.raises(LimitExceeded):
        users(alice).subscribe([f"user-{number}" for number in range(513)], now=world.now)


@pytest.mark.parametrize("wrong", [[], "bob", ["bob", ""], ["b" * 65], ["null"], [7], 7, None])
def test_a_list_of_users_that_is_none_is_refused_at_once(wrong: Any) -> None:
    world = Scenario()
    (alice,) = world.login("alice")
    for intent in (users(alice).subscribe, users(alice).unsubscribe):
        with pytest.raises(InvalidArgument) as caught:
            intent(wrong, now=world.now)
        assert caught.value.code is PeerSubscriptionStatusError.INVALID_ARGUMENT
    assert users(alice).subscriptions == frozenset()


def test_online_states_are_asked_for_in_the_order_of_the_question() -> None:
    world = Scenario()
    alice, bob, _ = world.login("alice", "bob", "carol")
    bob.hole(12.0)
    world.run_for(8.0)
    asked = ["nobody", "carol", "bob", "carol", "alice"]
    expected = [OFFLINE, ONLINE, ONLINE, ONLINE, ONLINE]
    assert done(world, alice, "query", asked) == tuple(
        PeerStatus(user, state is ONLINE, state) for user, state in zip(asked, expected, strict=True)
    ), "a user who is unreachable counts as online"
    many = done(world, alice, "query", [f"user-{number}" for number in range(255)] + ["carol"])
    assert [status.online for status in many] == [False] * 255 + [True]
    assert users(alice).subscriptions == frozenset()


@pytest.mark.parametrize(
    "wrong", [[], "bob", ["bob", ""], ["b" * 65], ["null"], [7], 7, None, [f"u-{n}" for n in range(257)]]
)
def test_a_question_for_users_that_are_none_or_too_many_is_refused_at_once(wrong: Any) -> None:
    world = Scenario()
    (alice,) = world.login("alice")
    with pytest.raises(InvalidArgument) as caught:
        users(alice).query(wrong, now=world.now)
    assert caught.value.code is QueryPeersOnlineError.INVALID_ARGUMENT


def test_the_server_lists_who_is_subscribed_to() -> None:
    world = Scenario()
    (alice,) = world.login("alice")
    assert done(world, alice, "subscribed") == ()
    done(world, alice, "subscribe", ["bob", "carol", "dave"])
    done(world, alice, "unsubscribe", ["carol"])
    assert sorted(done(world, alice, "subscribed", PeerSubscriptionOption.ONLINE_STATUS)) == ["bob", "dave"]
    alice.hole(40.0)
    world.run_for(60.0)
    assert sorted(done(world, alice, "subscribed")) == ["bob", "dave"], "brought back"
    with pytest.raises(InvalidArgument) as caught:
        users(alice).subscribed(1, now=world.now)
    assert caught.value.code is QueryPeersBySubscriptionOptionError.FAILURE


def test_rates_of_subscriptions_and_attributes() -> None:
    world = Scenario(rate_limits=True)
    alice, _ = world.login("alice", "bob", rate_limits=True)
    for intent, count, code in (
        (lambda: users(alice).subscribe(["bob"], now=world.now), 10, PeerSubscriptionStatusError.TOO_OFTEN),
        (lambda: users(alice).unsubscribe(["bob"], now=world.now), 10, PeerSubscriptionStatusError.TOO_OFTEN),
        (lambda: users(alice).query(["bob"], now=world.now), 10, QueryPeersOnlineError.TOO_OFTEN),
        (lambda: users(alice).subscribed(now=world.now), 10, QueryPeersBySubscriptionOptionError.TOO_OFTEN),
        (lambda: users(alice).set_attributes({}, now=world.now), 7, None),
        (lambda: users(alice).update_attributes({"a": "b"}, now=world.now), 1, None),
        (lambda: users(alice).delete_attributes(["a"], now=world.now), 1, None),
        (lambda: users(alice).clear_attributes(now=world.now), 1, AttributeOperationError.TOO_OFTEN),
        (lambda: users(alice).get_attributes("bob", now=world.now), 40, AttributeOperationError.TOO_OFTEN),
    ):
        for _ in range(count):
            intent()
        if code is None:
            continue
        with pytest.raises(RateLimited) as caught:
            intent()
        assert caught.value.code is code
        assert 0 < (caught.value.retry_after or 0) <= 5


# --- Attributes -----------------------------------------------------------------------------------------------------


def test_attributes_are_replaced_as_a_whole_and_anybody_may_ask() -> None:
    world = Scenario()
    alice, bob = world.login("alice", "bob")
    done(world, alice, "set_attributes", {"a": "1", "b": "ü" * 10})
    assert done(world, bob, "get_attributes", "alice") == {"a": "1", "b": "ü" * 10}
    done(world, alice, "set_attributes", {"c": "3"})
    assert done(world, alice, "get_attributes", "alice") == {"c": "3"}
    done(world, alice, "set_attributes", {})
    assert done(world, bob, "get_attributes", "alice") == {}
    with pytest.raises(UserNotFound) as caught:
        done(world, bob, "get_attributes", "nobody")
    assert caught.value.code is AttributeOperationError.USER_NOT_FOUND


@pytest.mark.parametrize(
    ("attributes", "code"),
    [
        ({"": "x"}, AttributeOperationError.INVALID_ARGUMENT),
        ({"k" * 33: "x"}, AttributeOperationError.INVALID_ARGUMENT),
        ({"ü" * 17: "x"}, AttributeOperationError.INVALID_ARGUMENT),
        ({"a\nb": "x"}, AttributeOperationError.INVALID_ARGUMENT),
        ({"a": ""}, AttributeOperationError.INVALID_ARGUMENT),
        ({"a": 1}, AttributeOperationError.INVALID_ARGUMENT),
        ({1: "a"}, AttributeOperationError.INVALID_ARGUMENT),
        ({"a": "x" * 8193}, AttributeOperationError.SIZE_OVERFLOW),
        ({str(number): "x" for number in range(33)}, AttributeOperationError.SIZE_OVERFLOW),
        ({str(number): "x" * 8000 for number in range(3)}, AttributeOperationError.SIZE_OVERFLOW),
        ("text", AttributeOperationError.INVALID_ARGUMENT),
    ],
)
def test_attributes_that_are_not_allowed_are_refused_at_once(attributes: Any, code: Any) -> None:
    world = Scenario()
    (alice,) = world.login("alice")
    done(world, alice, "set_attributes", {"kept": "yes"})
    with pytest.raises((InvalidArgument, LimitExceeded)) as caught:
        users(alice).set_attributes(attributes, now=world.now)
    assert caught.value.code is code
    assert done(world, alice, "get_attributes", "alice") == {"kept": "yes"}


def test_attributes_are_changed_deleted_cleared_and_read_by_keys() -> None:
    world = Scenario()
    alice, bob = world.login("alice", "bob")
    done(world, alice, "set_attributes", {"a": "1", "b": "2"})
    done(world, alice, "update_attributes", {"b": "3", "c": "4", "d": "5"})
    assert done(world, bob, "get_attributes", "alice") == {"a": "1", "b": "3", "c": "4", "d": "5"}
    done(world, alice, "delete_attributes", ["a", "unknown"])
    assert done(world, bob, "get_attributes", "alice", ["b", "a", "unknown"]) == {"b": "3"}
    done(world, alice, "clear_attributes")
    assert done(world, bob, "get_attributes", "alice") == {}


def test_the_merged_attributes_come_back_after_a_long_outage() -> None:
    world = Scenario()
    alice, bob = world.login("alice", "bob")
    done(world, alice, "set_attributes", {"a": "1", "b": "2"})
    done(world, alice, "update_attributes", {"b": "3", "c": "4"})
    done(world, alice, "delete_attributes", ["a"])
    alice.hole(40.0)
    world.run_for(60.0)
    assert alice.core.state is ConnectionState.CONNECTED
    assert done(world, bob, "get_attributes", "alice") == {"b": "3", "c": "4"}
    done(world, alice, "clear_attributes")
    alice.hole(40.0)
    world.run_for(60.0)
    assert done(world, bob, "get_attributes", "alice") == {}


def test_a_change_that_was_under_way_in_an_outage_is_made_to_what_is_brought_back() -> None:
    world = Scenario()
    alice, bob = world.login("alice", "bob")
    done(world, alice, "set_attributes", {"a": "1", "b": "2"})
    alice.hole(33.0)
    world.run_for(31.0)
    call = alice.call("users.update_attributes", {"b": "3"}, timeout=30.0)
    world.run_for(20.0)
    assert call.ok
    assert done(world, bob, "get_attributes", "alice") == {"a": "1", "b": "3"}


def test_a_change_that_makes_them_too_many_or_too_large_is_refused() -> None:
    world = Scenario()
    (alice,) = world.login("alice")
    done(world, alice, "set_attributes", {str(number): "x" for number in range(31)})
    done(world, alice, "update_attributes", {"last": "x", "30": "y"})
    with pytest.raises(LimitExceeded) as caught:
        users(alice).update_attributes({"one more": "x"}, now=world.now)
    assert caught.value.code is AttributeOperationError.SIZE_OVERFLOW
    alice.call("users.clear_attributes")
    alice.call("users.update_attributes", {"one more": "x"})
    too_many = alice.call("users.update_attributes", {str(number): "x" for number in range(32)})
    world.run_for(1.0)
    assert isinstance(too_many.error, LimitExceeded), "by the server: the client could not know"
    assert done(world, alice, "get_attributes", "alice") == {"one more": "x"}
    done(world, alice, "set_attributes", {"a": "x" * 8192, "b": "y" * 8000})
    with pytest.raises(LimitExceeded) as caught:
        users(alice).update_attributes({"c": "z" * (16 * 1024 - 16194)}, now=world.now)
    assert caught.value.code is AttributeOperationError.SIZE_OVERFLOW
    done(world, alice, "update_attributes", {"c": "z" * (16 * 1024 - 16195)})


@pytest.mark.parametrize(
    ("keys", "code"),
    [
        ([], AttributeOperationError.INVALID_ARGUMENT),
        ([""], AttributeOperationError.INVALID_ARGUMENT),
        (["k" * 33], AttributeOperationError.INVALID_ARGUMENT),
        ("key", AttributeOperationError.INVALID_ARGUMENT),
        ([7], AttributeOperationError.INVALID_ARGUMENT),
        (7, AttributeOperationError.INVALID_ARGUMENT),
        ([str(number) for number in range(33)], AttributeOperationError.SIZE_OVERFLOW),
    ],
)
def test_keys_that_are_not_allowed_are_refused_at_once(keys: Any, code: Any) -> None:
    world = Scenario()
    (alice,) = world.login("alice")
    for intent in (
        lambda: users(alice).delete_attributes(keys, now=world.now),
        lambda: users(alice).get_attributes("alice", keys, now=world.now),
    ):
        with pytest.raises((InvalidArgument, LimitExceeded)) as caught:
            intent()
        assert caught.value.code is code


def test_the_largest_attributes_arrive() -> None:
    world = Scenario()
    alice, bob = world.login("alice", "bob")
    largest = {"a": "x" * 8192, "b": "y" * (16 * 1024 - 8192 - 2)}
    done(world, alice, "set_attributes", largest)
    assert done(world, bob, "get_attributes", "alice") == largest


def test_a_change_that_was_under_way_in_an_outage_wins_over_what_is_brought_back() -> None:
    world = Scenario()
    alice, bob = world.login("alice", "bob")
    done(world, alice, "set_attributes", {"a": "old"})
    alice.hole(33.0)
    world.run_for(31.0)
    call = alice.call("users.set_attributes", {"a": "new"}, timeout=30.0)
    world.run_for(20.0)
    assert call.ok
    assert done(world, bob, "get_attributes", "alice") == {"a": "new"}


def test_calls_without_a_session_fail_at_once() -> None:
    world = Scenario()
    fresh = world.client("fresh")
    with pytest.raises(NotLoggedIn):
        users(fresh).subscribe(["bob"], now=world.now)
    (alice,) = world.login("alice")
    world.login("alice")
    assert alice.core.state is ConnectionState.ABORTED
    for intent in (
        lambda: users(alice).subscribe(["bob"], now=world.now),
        lambda: users(alice).unsubscribe(["bob"], now=world.now),
        lambda: users(alice).set_attributes({}, now=world.now),
        lambda: users(alice).get_attributes("bob", now=world.now),
        lambda: users(alice).update_attributes({"a": "b"}, now=world.now),
        lambda: users(alice).delete_attributes(["a"], now=world.now),
        lambda: users(alice).clear_attributes(now=world.now),
        lambda: users(alice).query(["bob"], now=world.now),
        lambda: users(alice).subscribed(now=world.now),
    ):
        with pytest.raises(Aborted):
            intent()


# --- What cannot be brought back ------------------------------------------------------------------------------------


def restart(world: Scenario, **limits: int) -> None:
    world.side.settings["limits"] = limits
    world.side.restart(down=0.1)
    world.run_for(5.0)


def missing(host: ClientHost) -> list[tuple[Any, tuple[str, ...], tuple[str, ...]]]:
    found = [(event.error.code, event.users, event.attributes) for event in host.life.of(NotRestored)]
    assert all(event.error.operation == "restore" for event in host.life.of(NotRestored))
    return found


def test_of_too_many_subscriptions_the_first_come_back_and_the_others_are_told() -> None:
    world = Scenario()
    alice, bob, carol = world.login("alice", "bob", "carol")
    done(world, alice, "subscribe", ["nobody", "bob"])
    done(world, alice, "subscribe", ["carol", "dave"])
    restart(world, subscriptions=2)
    assert alice.core.state is ConnectionState.CONNECTED
    assert missing(alice) == [(PeerSubscriptionStatusError.OVERFLOW, ("carol", "dave"), ())]
    (event,) = alice.life.of(NotRestored)
    assert isinstance(event.error, LimitExceeded)
    assert "allows 2 subscriptions now, 2 fewer" in event.error.message
    assert users(alice).subscriptions == {"nobody", "bob"}
    assert done(world, alice, "subscribed") == ("nobody", "bob")
    before = len(states(alice))
    bob.call("logout")
    carol.call("logout")
    world.run_for(40.0)  # so soon after a restart it could be the server's mistake
    assert states(alice)[before:] == [{"bob": OFFLINE}]
    # There is room again as soon as one of them is given up.
    done(world, alice, "unsubscribe", ["nobody"])
    done(world, alice, "subscribe", ["dave"])
    assert done(world, alice, "subscribed") == ("bob", "dave")


def test_of_too_many_attributes_the_first_that_are_small_enough_come_back() -> None:
    world = Scenario()
    alice, bob = world.login("alice", "bob")
    done(world, alice, "set_attributes", {"a": "1", "large": "x" * 200, "b": "2", "a key": "3", "c": "4"})
    restart(world, attributes=3, attribute_value=100, attribute_key=3)
    assert missing(alice) == [(AttributeOperationError.SIZE_OVERFLOW, (), ("large", "a key"))]
    assert done(world, bob, "get_attributes", "alice") == {"a": "1", "b": "2", "c": "4"}
    restart(world, attributes=3, attributes_bytes=5, attribute_value=5, attribute_key=5)
    assert missing(alice)[1:] == [(AttributeOperationError.SIZE_OVERFLOW, (), ("c",))]
    assert done(world, bob, "get_attributes", "alice") == {"a": "1", "b": "2"}
    done(world, alice, "update_attributes", {"b": "9"})
    restart(world)
    assert done(world, bob, "get_attributes", "alice") == {"a": "1", "b": "9"}
    assert len(missing(alice)) == 2
    assert "large" not in repr(alice.life.of(NotRestored))


def test_where_no_attribute_fits_none_comes_back() -> None:
    world = Scenario()
    alice, bob = world.login("alice", "bob")
    done(world, alice, "set_attributes", {"mood": "fine"})
    restart(world, attributes_bytes=4, attribute_key=4, attribute_value=4)
    assert missing(alice) == [(AttributeOperationError.SIZE_OVERFLOW, (), ("mood",))]
    assert alice.core.state is ConnectionState.CONNECTED
    assert done(world, bob, "get_attributes", "alice") == {}


def two_restored(bench: Bench) -> tuple[Subscribe, SetAttributes]:
    """A client with a subscription and an attribute, whose session is over: what it asks the server on its return."""
    bench.online()
    for ticket in (
        bench.core.users.subscribe(["bob"], now=bench.now),
        bench.core.users.set_attributes({"mood": "fine"}, now=bench.now),
    ):
        bench.turn()
        bench.server.last.send(Done(ticket.request_id or 0))
    bench.turn()
    bench.events.clear()
    bench.server.on_hello = lambda connection, hello: connection.send(welcome(fence=2), Ready(), Top(0, 0))
    bench.reset()
    bench.turn()
    (subscribe,), (attributes,) = bench.server.last.got(Subscribe), bench.server.last.got(SetAttributes)
    assert subscribe.restore
    assert attributes.restore
    return subscribe, attributes


def test_what_the_server_refuses_to_restore_is_told_with_its_reason() -> None:
    bench = Bench()
    subscribe, attributes = two_restored(bench)
    bench.server.last.send(Failed(subscribe.i, 1, "Not with this token."), Done(attributes.i))
    bench.turn()
    (event,) = bench.of(NotRestored)
    assert (event.users, event.attributes) == (("bob",), ())
    assert event.error.code is PeerSubscriptionStatusError.FAILURE
    assert event.error.message == "Not with this token."
    # It may succeed with another token: the next return tries it again.
    bench.run(1)
    bench.reset()
    bench.run(1)
    assert len(bench.server.connections) == 3
    assert bench.server.last.got(Subscribe)[0].users == ["bob"]


def test_what_is_above_a_limit_that_the_welcome_did_not_tell_is_forgotten_too() -> None:
    bench = Bench()
    subscribe, attributes = two_restored(bench)
    bench.server.last.send(Failed(subscribe.i, 6, "Too many."), Failed(attributes.i, 4, "Too large."))
    bench.turn()
    assert [(event.error.code, event.users, event.attributes) for event in bench.of(NotRestored)] == [
        (PeerSubscriptionStatusError.OVERFLOW, ("bob",), ()),
        (AttributeOperationError.SIZE_OVERFLOW, (), ("mood",)),
    ]
    assert bench.core.users.subscriptions == frozenset()
    bench.run(1)
    bench.reset()
    bench.run(1)
    assert len(bench.server.connections) == 3
    assert bench.server.last.hello is not None
    assert bench.server.last.got(Subscribe) + bench.server.last.got(SetAttributes) == []


def test_a_server_that_does_not_answer_in_time_is_told_of() -> None:
    bench = Bench()
    two_restored(bench)
    bench.run(RESTORE_TIMEOUT + 1)
    assert [(event.users, event.attributes) for event in bench.of(NotRestored)] == [
        (("bob",), ()),
        ((), ("mood",)),
    ]
    assert all(isinstance(event.error, RequestTimeout) for event in bench.of(NotRestored))
    assert bench.core.users.subscriptions == {"bob"}, "it may have been carried out"


@pytest.mark.parametrize("resumed", [True, False])
def test_a_time_that_is_over_while_away_is_told_where_the_session_goes_on(resumed: bool) -> None:
    bench = Bench()
    two_restored(bench)
    answered = welcome(fence=2, resumed=resumed), Ready(), Top(0, 0)
    bench.server.on_hello = lambda connection, hello: connection.send(*answered)
    bench.dial = never
    bench.reset()
    bench.run(RESTORE_TIMEOUT + 1)
    assert bench.of(NotRestored) == []
    bench.dial = lambda event: None
    while len(bench.server.connections) < 3:
        bench.run(0.1)
    if resumed:
        assert [event.users or event.attributes for event in bench.of(NotRestored)] == [("bob",), ("mood",)]
        return
    assert bench.of(NotRestored) == [], "it is tried again"
    (subscribe,), (attributes,) = bench.server.last.got(Subscribe), bench.server.last.got(SetAttributes)
    bench.server.last.send(Done(subscribe.i), Done(attributes.i))
    bench.run(RESTORE_TIMEOUT + 1)
    assert bench.of(NotRestored) == []


def test_an_answer_that_comes_behind_another_cut_counts() -> None:
    bench = Bench()
    subscribe, attributes = two_restored(bench)
    bench.server.on_hello = lambda connection, hello: connection.send(
        welcome(fence=2, resumed=True), Ready(), Top(0, 0)
    )
    bench.reset()
    bench.run(1)
    assert [packet.i for packet in bench.server.last.got(Subscribe)] == [subscribe.i], "the same request"
    bench.server.last.send(Failed(subscribe.i, 1, "Not with this token."), Done(attributes.i))
    bench.turn()
    assert [event.users for event in bench.of(NotRestored)] == [("bob",)]


def test_a_logout_meanwhile_is_no_failure() -> None:
    bench = Bench()
    two_restored(bench)
    bench.core.logout(bench.now)
    bench.run(RESTORE_TIMEOUT + 1)
    assert bench.of(NotRestored) == []
