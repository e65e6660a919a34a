"""Presence of other users: subscriptions, what is told, and what outlasts an outage."""

import time

import pytest

import rtmsync
from rtmcore.limits import UNREACHABLE_AFTER
from rtmsync import PeerOnlineState, PresenceChanged
from rtmsync.testing import FaultProxy
from tests.sync.conftest import Connect
from tests.sync.test_messages import eventually


def states_of(feed: rtmsync.Subscription[PresenceChanged], user: str, count: int) -> list[PeerOnlineState]:
    """The next states that are told of a user."""
    found: list[PeerOnlineState] = []
    while len(found) < count:
        event = feed.get()
        assert isinstance(event, PresenceChanged)
        if user in event.states:
            found.append(event.states[user])
    return found


def test_a_subscription_tells_the_state_and_its_changes(connect: Connect, make: Connect, name: str) -> None:
    watcher = connect()
    with watcher.events(PresenceChanged) as told:
        watcher.subscribe_presence([name])
        assert states_of(told, name, 1) == [PeerOnlineState.OFFLINE]
        watched = make(user=name)
        watched.login()
        assert states_of(told, name, 1) == [PeerOnlineState.ONLINE]
        assert watcher.presence == {name: PeerOnlineState.ONLINE}
        watched.logout()
        assert states_of(told, name, 1) == [PeerOnlineState.OFFLINE]
        assert watcher.presence == {name: PeerOnlineState.OFFLINE}


def test_callbacks_hear_of_presence_after_it_is_known(connect: Connect, name: str) -> None:
    watcher = connect()
    seen: list[bool] = []
    watcher.on(PresenceChanged, lambda change: seen.append(watcher.presence.items() >= change.states.items()))
    watcher.subscribe_presence(name)  # one name is not a list of letters
    eventually(lambda: seen == [True])


def test_an_unsubscribed_user_is_not_told_of(connect: Connect, name: str) -> None:
    watcher = connect()
    first, second = f"{name}-1", f"{name}-2"
    with watcher.events(PresenceChanged) as told:
        watcher.subscribe_presence([first, second])
        states_of(told, second, 1)
        watcher.unsubscribe_presence([first])
        assert first not in watcher.presence
        connect(user=first)
        connect(user=second)
        while True:
            event = told.get()
            assert isinstance(event, PresenceChanged)
            assert first not in event.states or event.states[first] is PeerOnlineState.OFFLINE
            if event.states.get(second) is PeerOnlineState.ONLINE:
                break


def test_the_twins_return_at_once(connect: Connect, name: str) -> None:
    watcher = connect()
    assert watcher.subscribe_presence_future([name]).result(30) is None
    eventually(lambda: name in watcher.presence)
    assert watcher.unsubscribe_presence_future([name]).result(30) is None
    assert watcher.presence == {}


def test_a_silent_user_is_unreachable_and_comes_back(
    connect: Connect, proxy: FaultProxy, proxied: str, name: str
) -> None:
    watcher = connect()
    watched = connect(user=name, url=proxied)
    with watcher.events(PresenceChanged) as told:
        watcher.subscribe_presence([name])
        assert states_of(told, name, 1) == [PeerOnlineState.ONLINE]
        begun = time.monotonic()
        for _ in range(2):  # the second question comes to the server in a later turn than the first
            watched.query_presence(name)
        proxy.blackhole()
        assert states_of(told, name, 1) == [PeerOnlineState.UNREACHABLE]
        assert time.monotonic() - begun >= UNREACHABLE_AFTER  # counted from the last byte
        proxy.heal()
        assert states_of(told, name, 1) == [PeerOnlineState.ONLINE]
    watched.wait_until(rtmsync.ConnectionState.CONNECTED)


def test_a_subscription_outlasts_an_outage(
    connect: Connect, proxy: FaultProxy, proxied: str, name: str
) -> None:
    watcher = connect(url=proxied)
    watcher.subscribe_presence([name])
    eventually(lambda: name in watcher.presence)
    proxy.cut()
    connect(user=name)
    eventually(lambda: watcher.presence[name] is PeerOnlineState.ONLINE)


def test_who_is_online_can_be_asked_without_a_subscription(connect: Connect, name: str) -> None:
    asker, _ = connect(), connect(user=name)
    absent = f"{name}-absent"
    here, gone = rtmsync.PeerStatus(name, True, PeerOnlineState.ONLINE), PeerOnlineState.OFFLINE
    assert asker.query_presence([absent, name]) == (rtmsync.PeerStatus(absent, False, gone), here)
    assert asker.query_presence_future(name).result(30) == (here,)
    assert asker.presence == {}
    with pytest.raises(rtmsync.InvalidArgument) as caught:
        asker.query_presence([f"u-{number}" for number in range(257)])
    assert caught.value.code is rtmsync.QueryPeersOnlineError.INVALID_ARGUMENT


def test_the_server_lists_the_subscriptions(connect: Connect, name: str) -> None:
    watcher = connect()
    watcher.subscribe_presence([name, f"{name}-2"])
    assert sorted(watcher.subscribed_peers()) == [name, f"{name}-2"]
    watcher.unsubscribe_presence(name)
    option = rtmsync.PeerSubscriptionOption.ONLINE_STATUS
    assert watcher.subscribed_peers_future(option).result(30) == (f"{name}-2",)


@pytest.mark.parametrize("users", [[], ["not a name\n"], [7]])
def test_impossible_users_are_refused(connect: Connect, users: list[str]) -> None:
    with pytest.raises(rtmsync.InvalidArgument) as caught:
        connect().subscribe_presence(users)
    assert caught.value.code is rtmsync.PeerSubscriptionStatusError.INVALID_ARGUMENT


def test_presence_needs_a_login(make: Connect) -> None:
    client = make()
    with pytest.raises(rtmsync.NotLoggedIn):
        client.subscribe_presence(["alice"])
    assert isinstance(client.subscribe_presence_future(["alice"]).exception(30), rtmsync.NotLoggedIn)
    assert client.presence == {}
