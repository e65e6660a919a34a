"""Who is back within 30 s of a restart of the server: the others see nothing of it."""

import attrs
import pytest

from rtmcore.client.events import (
    ChannelGap,
    ChannelLost,
    MemberCountChanged,
    MemberJoined,
    MemberLeft,
    PresenceChanged,
)
from rtmcore.codes import ConnectionState, MessageType
from rtmcore.connection.backoff import BackoffPolicy
from rtmcore.connection.policy import RTM_POLICY
from rtmcore.limits import OFFLINE_AFTER
from rtmcore.models import ChannelMessage
from tests.simulation.hosts import ClientHost
from tests.simulation.scenario import Scenario

TEXT = MessageType.TEXT
EAGER = attrs.evolve(RTM_POLICY, backoff=BackoffPolicy(base=0.1, cap=0.1))
"""Comes back as soon as it can, so that a test says when that is."""


class Town(Scenario):
    """alice and bob are members of a channel; bob and carol watch alice; carol is in no channel."""

    def __init__(self) -> None:
        super().__init__()
        self.alice, self.bob, self.carol = self.login("alice", "bob", "carol", policy=EAGER)
        self.join("room", self.alice, self.bob)
        self.watchers = (self.bob, self.carol)
        for watcher in self.watchers:
            call = watcher.call("users.subscribe", ["alice"])
            self.run_for(0.5)
            assert call.ok
        self.run_for(5.0)
        for client in (self.alice, *self.watchers):
            client.life.events.clear()

    def restart(self, seconds: float, *, down: float = 0.5, silent: bool = False, step: float = 0.0) -> None:
        """Restart the server; alice cannot come back before so many seconds after that."""
        self.side.restart(down=down, silent=silent, step=step)
        self.alice.refuse(down + seconds)
        self.run_for(down + seconds)

    def told(self, *kinds: type) -> list[object]:
        """What those who stayed were told."""
        return [event for watcher in self.watchers for event in watcher.life.of(*kinds)]

    def presence(self, watcher: ClientHost) -> list[str]:
        return [event.states["alice"].name for event in watcher.life.of(PresenceChanged)]


@pytest.mark.parametrize("silent", [False, True], ids=["processes killed", "power lost"])
@pytest.mark.parametrize("step", [0.0, -3600.0, 3600.0])
@pytest.mark.parametrize("seconds", [0.0, 3.0, 15.0, OFFLINE_AFTER - 2.0])
def test_whoever_is_back_within_thirty_seconds_never_left(seconds: float, step: float, silent: bool) -> None:
    world = Town()
    world.restart(seconds, silent=silent, step=step)
    world.run_for(2.0 if not silent else 8.0)
    assert world.alice.core.state is ConnectionState.CONNECTED
    world.run_for(2 * OFFLINE_AFTER)
    assert world.told(MemberLeft, MemberJoined, MemberCountChanged, ChannelLost, ChannelGap) == []
    for watcher in world.watchers:
        assert "OFFLINE" not in world.presence(watcher)
        assert world.presence(watcher)[-1:] in ([], ["ONLINE"])
    for sender, receiver in ((world.alice, world.bob), (world.bob, world.alice)):
        call = sender.call("publish", "room", TEXT, b"still here")
        world.run_for(0.5)
        assert call.ok
        assert [message.body for message in receiver.life.of(ChannelMessage)] == [b"still here"]
    world.check()


def test_a_short_restart_is_not_even_seen_by_who_watches_presence() -> None:
    world = Town()
    world.restart(0.0)
    world.run_for(60.0)
    assert world.told(PresenceChanged) == []
    assert world.told(MemberLeft, MemberJoined, MemberCountChanged) == []
    world.check()


def test_whoever_is_not_back_by_then_has_left_once() -> None:
    world = Town()
    world.restart(OFFLINE_AFTER - 1.0)
    assert world.told(MemberLeft, MemberJoined, MemberCountChanged) == []
    assert all("OFFLINE" not in world.presence(watcher) for watcher in world.watchers)
    world.alice.refuse(30.0)
    world.run_for(10.0)
    assert [(type(event), event.user) for event in world.told(MemberLeft, MemberJoined)] == [
        (MemberLeft, "alice")
    ]
    assert [world.presence(watcher)[-1] for watcher in world.watchers] == ["OFFLINE"] * 2
    world.run_for(60.0)
    assert [type(event) for event in world.told(MemberLeft, MemberJoined)] == [MemberLeft, MemberJoined]
    assert [world.presence(watcher)[-2:] for watcher in world.watchers] == [["OFFLINE", "ONLINE"]] * 2
    world.check()


def test_several_restarts_in_a_row_are_one_interruption() -> None:
    world = Town()
    for _ in range(5):
        world.restart(1.0)
        world.run_for(1.0)
    world.run_for(2 * OFFLINE_AFTER)
    assert world.told(MemberLeft, MemberJoined, MemberCountChanged, PresenceChanged) == []
    world.check()
