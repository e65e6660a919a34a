"""A disk that takes nothing for minutes: calls fail, connections do not."""

import pytest

from rtmcore.client.events import ChannelLost, MemberLeft, PresenceChanged, StateChanged
from rtmcore.codes import MessageType, SendPeerMessageError
from rtmcore.limits import CLOCK_RESERVATION, OFFLINE_MESSAGES
from rtmcore.models import ChannelMessage, PeerMessage, SendStatus
from tests.simulation.hosts import Call
from tests.simulation.scenario import Scenario

TEXT = MessageType.TEXT


@pytest.fixture
def world() -> Scenario:
    return Scenario()


def test_a_disk_that_is_full_for_minutes_ends_no_connection_and_loses_nothing(world: Scenario) -> None:
    alice, bob = world.login("alice", "bob")
    world.join("room", alice, bob)
    bob.call("users.subscribe", ["alice"])
    world.run_for(10.0)
    stored = alice.call("send_peer", "carol", TEXT, b"before", offline=True)
    world.run_for(0.5)
    assert stored.value.status is SendStatus.CACHED
    for client in (alice, bob):
        client.life.events.clear()
    world.side.habits.commits_fail = 1.0

    def talk(body: bytes) -> list[Call]:
        calls = [alice.call("send_peer", "bob", TEXT, body), alice.call("publish", "room", TEXT, body)]
        world.run_for(0.5)
        return calls

    # What is numbered ahead lasts for very long.
    for body in (b"at once", b"minutes later"):
        assert all(call.ok for call in talk(body))
        never = alice.call("send_peer", "carol", TEXT, b"never", offline=True)
        world.run_for(0.5)
        assert never.error is not None
        assert never.error.code is SendPeerMessageError.FAILURE
        (guest,) = world.login("guest")
        guest.call("logout")
        world.run_for(3 * CLOCK_RESERVATION)

    world.side.habits.commits_fail = 0.0
    world.run_for(5.0)
    assert all(call.ok for call in talk(b"again"))
    again = alice.call("send_peer", "carol", TEXT, b"afterwards", offline=True)
    world.run_for(0.5)
    assert again.value.status is SendStatus.CACHED
    assert [m.body for m in bob.life.of(PeerMessage)] == [b"at once", b"minutes later", b"again"]
    assert [m.body for m in bob.life.of(ChannelMessage)] == [b"at once", b"minutes later", b"again"]
    for client in (alice, bob):
        assert client.life.of(StateChanged, MemberLeft, PresenceChanged, ChannelLost) == []
    (carol,) = world.login("carol")
    world.run_for(1.0)
    assert [message.body for message in carol.life.messages] == [b"before", b"afterwards"]
    world.check()


def test_messages_that_a_disk_does_not_take_push_none_out_that_it_has(world: Scenario) -> None:
    (alice,) = world.login("alice")

    def store(body: bytes) -> Call:
        return alice.call("send_peer", "bob", TEXT, body, offline=True)

    stored = [store(b"%d" % number) for number in range(OFFLINE_MESSAGES)]
    world.run_for(5.0)
    assert {call.value.status for call in stored} == {SendStatus.CACHED}
    world.side.habits.commits_fail = 1.0
    refused = [store(b"never %d" % number) for number in range(5)]
    world.run_for(5.0)
    assert {call.error.code for call in refused if call.error} == {SendPeerMessageError.FAILURE}
    world.side.habits.commits_fail = 0.0
    world.run_for(5.0)
    newer = [store(b"newer %d" % number) for number in range(3)]
    world.run_for(5.0)
    assert {call.value.status for call in newer} == {SendStatus.CACHED}
    (bob,) = world.login("bob")
    world.run_for(5.0)
    expected = [call.arguments[2] for call in (*stored[3:], *newer)]
    assert [message.body for message in bob.life.messages] == expected
    world.check()
