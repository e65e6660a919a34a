"""Who is there and is not heard: others see him UNREACHABLE, whatever he knows of it himself."""

import pytest

from rtmcore.client.events import PresenceChanged
from tests.simulation.scenario import Scenario


@pytest.fixture
def world() -> Scenario:
    return Scenario()


def test_who_hears_the_server_and_is_not_heard_is_unreachable_and_stays_connected(world: Scenario) -> None:
    alice, bob = world.login("alice", "bob")
    alice.call("users.subscribe", ["bob"])
    world.run_for(100.0)
    bob.swallow()
    start = world.time
    world.run_for(9.0)
    bob.reset()
    world.run_for(100.0)
    assert [state for _, state, _ in bob.life.states] == ["CONNECTING", "CONNECTED"]
    times = [time - start for time, _ in alice.life.times(PresenceChanged)]
    assert [event.states["bob"].name for event in alice.life.of(PresenceChanged)] == [
        "ONLINE",
        "UNREACHABLE",
        "ONLINE",
    ]
    # His last beat was at most 1.5 s before.
    assert 4.5 <= times[1] <= 6.1
    assert 9.0 <= times[2] <= 9.2
    world.check()


def test_a_connection_that_never_says_hello_does_not_speak_for_a_user(world: Scenario) -> None:
    alice, bob = world.login("alice", "bob")
    alice.call("users.subscribe", ["bob"])
    world.run_for(100.0)
    # Both ways are silent until he opens another connection, whose hello is held up. Then he hears the first again.
    bob.swallow()
    wire = bob.wire
    assert wire is not None
    wire.hole(3.5, world.now, up=False)
    bob.late_hello = 30.0
    heard = bob.life.heard_of
    world.run_for(8.0)
    assert world.connections == 3
    # The server has read the request of the second connection.
    assert bob.life.heard_of > heard + 2.0
    assert [state for _, state, _ in bob.life.states] == ["CONNECTING", "CONNECTED"]
    time, event = alice.life.times(PresenceChanged)[-1]
    assert event.states["bob"].name == "UNREACHABLE"
    assert time < bob.life.heard_of - world.history.start + 6.0
    bob.reset()
    world.run_for(100.0)
    world.check()


def test_each_restart_waits_30_s_for_the_absent_anew(world: Scenario) -> None:
    alice, bob = world.login("alice", "bob")
    alice.call("users.subscribe", ["bob"])
    world.run_for(10.0)
    bob.crash(silent=True)
    for _ in range(8):
        world.side.restart(down=0.1)
        world.run_for(25.0)
    last = world.history.starts[-1] - world.history.start
    states = [(time, event.states["bob"].name) for time, event in alice.life.times(PresenceChanged)]
    assert [state for _, state in states] == ["ONLINE", "UNREACHABLE"]
    world.run_for(30.0)
    time, event = alice.life.times(PresenceChanged)[-1]
    assert event.states["bob"].name == "OFFLINE"
    assert 30.0 <= time - last <= 31.0
    world.check()
