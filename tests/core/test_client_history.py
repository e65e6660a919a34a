"""Stored messages and the history: client cores against the real node and engine, in simulated time."""

from typing import Any

import pytest

from rtmcore.codes import ConnectionState, MessageType, QueryPeersOnlineError, SendPeerMessageError
from rtmcore.errors import Aborted, InvalidArgument, NotLoggedIn, RateLimited, Rejected
from rtmcore.limits import MESSAGE_BYTES, OFFLINE_SECONDS
from rtmcore.models import ChannelMessage, SendStatus
from tests.simulation.hosts import ClientHost
from tests.simulation.scenario import Scenario

TEXT, RAW = MessageType.TEXT, MessageType.RAW


def history(host: ClientHost) -> Any:
    return host.core.history


def done(world: Scenario, host: ClientHost, name: str, *arguments: Any, **options: Any) -> Any:
    call = host.call(name, *arguments, **options)
    world.run_for(1.0)
    assert call.done
    if call.error is not None:
        raise call.error
    return call.value


def bodies(page: Any) -> list[bytes]:
    return [message.body for message in page.messages]


def reading(world: Scenario, user: str) -> ClientHost:
    """A client that has logged in and takes no peer message."""
    host = world.client(user)
    host.take_on(None)
    host.call("login")
    world.run_for(1.0)
    assert host.core.state is ConnectionState.CONNECTED
    return host


# --- Stored messages ------------------------------------------------------------------------------------------------


def test_stored_messages_are_listed_and_taken_all_the_same() -> None:
    world = Scenario()
    (alice,) = world.login("alice")
    sent = [done(world, alice, "send_peer", "bob", TEXT, body, offline=True) for body in (b"one", b"two")]
    done(world, alice, "send_peer", "bob", RAW, b"\x00\x01", description="a picture", offline=True)
    assert [result.status for result in sent] == [SendStatus.CACHED] * 2
    bob = reading(world, "bob")
    page = done(world, bob, "history.stored")
    assert (bodies(page), page.count) == ([b"one", b"two", b"\x00\x01"], 3)
    first, _, last = page.messages
    assert (first.source, first.destination, first.channel, first.kind) == ("alice", "bob", False, TEXT)
    assert (first.text, first.description, first.id) == ("one", None, sent[0].message_id)
    assert (last.kind, last.description) == (RAW, "a picture")
    rest = done(world, bob, "history.stored", after=first.id)
    assert (bodies(rest), rest.count) == ([b"two", b"\x00\x01"], 2)
    bob.take_on(0.0)
    world.run_for(2.0)
    assert [message.body for message in bob.life.messages] == [b"one", b"two", b"\x00\x01"]
    assert done(world, bob, "history.stored").messages == ()


def test_stored_messages_are_flushed_and_come_never() -> None:
    world = Scenario()
    (alice,) = world.login("alice")
    done(world, alice, "send_peer", "bob", TEXT, b"old", offline=True)
    bob = reading(world, "bob")
    assert done(world, bob, "history.flush_stored") is None
    assert done(world, bob, "history.stored").count == 0
    bob.call("logout")
    world.run_for(1.0)
    done(world, alice, "send_peer", "bob", TEXT, b"new", offline=True)
    (again,) = world.login("bob")
    world.run_for(1.0)
    assert [message.body for message in again.life.messages] == [b"new"]


def test_a_stored_message_is_dropped_after_its_time_to_live() -> None:
    world = Scenario()
    (alice,) = world.login("alice")
    done(world, alice, "send_peer", "bob", TEXT, b"short", offline=True, ttl=5)
    done(world, alice, "send_peer", "bob", TEXT, b"long", offline=True, ttl=OFFLINE_SECONDS)
    world.run_for(10.0)
    (bob,) = world.login("bob")
    world.run_for(1.0)
    assert [message.body for message in bob.life.messages] == [b"long"]


@pytest.mark.parametrize("ttl", [0, -1, OFFLINE_SECONDS + 1, "5", True])
def test_a_time_to_live_that_is_none_is_refused_at_once(ttl: Any) -> None:
    world = Scenario()
    (alice,) = world.login("alice")
    with pytest.raises(InvalidArgument) as caught:
        alice.core.send_peer("bob", TEXT, b"x", ttl=ttl, now=world.now)
    assert caught.value.code is SendPeerMessageError.INVALID_MESSAGE


# --- Descriptions ---------------------------------------------------------------------------------------------------


def test_a_description_comes_with_its_message() -> None:
    world = Scenario()
    alice, bob = world.login("alice", "bob")
    world.join("room", alice, bob)
    done(world, alice, "send_peer", "bob", RAW, b"\xff", description="blåbær")
    done(world, alice, "publish", "room", RAW, b"\xfe", description="")
    done(world, alice, "send_peer", "bob", RAW, b"plain")
    described, plain = bob.life.messages
    assert (described.kind, described.body, described.description) == (RAW, b"\xff", "blåbær")
    assert (plain.kind, plain.body, plain.description) == (RAW, b"plain", None)
    (told,) = bob.life.of(ChannelMessage)
    assert (told.kind, told.body, told.description) == (RAW, b"\xfe", "")


def test_message_and_description_share_the_size_of_a_message() -> None:
    world = Scenario()
    alice, bob = world.login("alice", "bob")
    world.join("room", alice)
    half = MESSAGE_BYTES // 2
    done(world, alice, "send_peer", "bob", RAW, b"x" * half, description="d" * half)
    done(world, alice, "publish", "room", RAW, b"x" * half, description="d" * half)
    (message,) = bob.life.messages
    assert (len(message.body), len(message.description or "")) == (half, half)
    for intent in (
        lambda: alice.core.send_peer("bob", RAW, b"x" * half, description="d" * (half + 1), now=world.now),
        lambda: alice.core.publish("room", RAW, b"x" * half, description="d" * (half + 1), now=world.now),
        lambda: alice.core.send_peer("bob", TEXT, b"x", description="text has none", now=world.now),
        lambda: alice.core.send_peer("bob", RAW, b"x", description=7, now=world.now),
    ):
        with pytest.raises(InvalidArgument) as caught:
            intent()
        assert caught.value.code is not None
        assert caught.value.code.name == "INVALID_MESSAGE"


# --- The history ----------------------------------------------------------------------------------------------------


def test_the_history_has_what_was_sent_for_it_and_nothing_else() -> None:
    world = Scenario()
    alice, bob = world.login("alice", "bob")
    world.join("room", alice, bob)
    done(world, alice, "send_peer", "bob", TEXT, b"kept", history=True)
    done(world, alice, "send_peer", "bob", TEXT, b"not kept")
    done(world, bob, "send_peer", "alice", TEXT, b"answer", history=True)
    done(world, alice, "publish", "room", TEXT, b"to all", history=True)
    page = done(world, bob, "history.query", source="alice", destination="bob")
    assert (bodies(page), page.count) == ([b"kept"], 1)
    (kept,) = page.messages
    assert (kept.source, kept.destination, kept.channel, kept.text) == ("alice", "bob", False, "kept")
    assert bodies(done(world, alice, "history.query", source="alice")) == [b"to all", b"kept"]
    assert bodies(done(world, alice, "history.query", destination="alice")) == [b"answer"]
    (all_,) = done(world, bob, "history.query", channel="room").messages
    assert (all_.destination, all_.channel, all_.body) == ("room", True, b"to all")
    assert done(world, alice, "history.count", source="alice") == 2


def test_the_history_is_read_page_by_page_in_both_orders_and_by_time() -> None:
    world = Scenario()
    (alice,) = world.login("alice")
    ids = [
        done(world, alice, "send_peer", "alice", TEXT, str(number).encode(), history=True).message_id
        for number in range(25)
    ]
    first = done(world, alice, "history.query", source="alice")
    assert (bodies(first), first.count) == ([str(number).encode() for number in range(24, 4, -1)], 25)
    rest = done(world, alice, "history.query", source="alice", offset=20)
    assert bodies(rest) == [b"4", b"3", b"2", b"1", b"0"]
    everything = done(world, alice, "history.query", source="alice", limit=50, ascending=True)
    assert bodies(everything) == [str(number).encode() for number in range(25)]
    between = {"start": ids[5] / 1e6 - 0.5, "end": ids[8] / 1e6 - 0.5}
    some = done(world, alice, "history.query", source="alice", ascending=True, **between)
    assert bodies(some) == [b"5", b"6", b"7"]
    assert done(world, alice, "history.count", source="alice", **between) == 3


def test_the_history_of_others_is_not_open() -> None:
    world = Scenario()
    alice, _ = world.login("alice", "bob")
    for question in ({"source": "bob"}, {"source": "bob", "destination": "carol"}, {"channel": "room"}):
        with pytest.raises(Rejected) as caught:
            done(world, alice, "history.query", **question)
        assert caught.value.code is QueryPeersOnlineError.REJECTED


@pytest.mark.parametrize(
    "question",
    [
        {},
        {"source": "*"},
        {"destination": ""},
        {"channel": "x" * 65},
        {"destination": "bob", "channel": "room"},
        {"source": "alice", "limit": 19},
        {"source": "alice", "limit": True},
        {"source": "alice", "offset": -1},
        {"source": "alice", "offset": "2"},
        {"source": "alice", "start": "today"},
        {"source": "alice", "end": -5},
        {"source": "alice", "start": 20.0, "end": 20.0},
    ],
)
def test_a_question_that_makes_no_sense_is_refused_at_once(question: Any) -> None:
    world = Scenario()
    (alice,) = world.login("alice")
    with pytest.raises(InvalidArgument) as caught:
        history(alice).query(**question, now=world.now)
    assert caught.value.code is QueryPeersOnlineError.INVALID_ARGUMENT


def test_rates_of_kept_messages() -> None:
    world = Scenario(rate_limits=True)
    (alice,) = world.login("alice", rate_limits=True)
    for intent, count in (
        (lambda: history(alice).stored(now=world.now), 10),
        (lambda: history(alice).flush_stored(now=world.now), 10),
        (lambda: history(alice).count(source="alice", now=world.now), 100),
    ):
        for _ in range(count):
            intent()
        with pytest.raises(RateLimited) as caught:
            intent()
        assert caught.value.code is QueryPeersOnlineError.TOO_OFTEN


def test_calls_without_a_session_fail_at_once() -> None:
    world = Scenario()
    with pytest.raises(NotLoggedIn):
        history(world.client("fresh")).stored(now=world.now)
    (alice,) = world.login("alice")
    world.login("alice")
    for intent in (
        lambda: history(alice).stored(now=world.now),
        lambda: history(alice).flush_stored(now=world.now),
        lambda: history(alice).query(source="alice", now=world.now),
        lambda: history(alice).count(source="alice", now=world.now),
    ):
        with pytest.raises(Aborted):
            intent()
