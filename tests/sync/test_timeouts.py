"""Every public method that blocks ends in time against a server that has stopped answering; so does its twin."""

import inspect
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest

import rtmsync
from rtmcore.codes import ConnectionState
from rtmsync.server.config import DEV_APP_ID
from rtmsync.testing import FaultProxy
from tests.sync.conftest import Connect

SECONDS = 0.3
PATIENCE = 10.0
"""Less than any call takes by default here: those of the clients 30 s, those of a publisher 11 s."""
ARGUMENTS: dict[tuple[type[Any], str], tuple[Any, ...]] = {
    (rtmsync.Client, "send_peer"): ("bob", "x"),
    (rtmsync.Client, "renew_token"): ("token",),
    (rtmsync.Client, "query_presence"): (["bob"],),
    (rtmsync.Client, "subscribe_presence"): (["bob"],),
    (rtmsync.Client, "unsubscribe_presence"): (["bob"],),
    (rtmsync.Client, "subscribed_peers"): (),
    (rtmsync.Client, "set_attributes"): ({"a": "b"},),
    (rtmsync.Client, "update_attributes"): ({"a": "b"},),
    (rtmsync.Client, "delete_attributes"): (["a"],),
    (rtmsync.Client, "clear_attributes"): (),
    (rtmsync.Client, "get_attributes"): ("bob",),
    (rtmsync.Client, "set_channel_attributes"): ("room", {"a": "b"}),
    (rtmsync.Client, "update_channel_attributes"): ("room", {"a": "b"}),
    (rtmsync.Client, "delete_channel_attributes"): ("room", ["a"]),
    (rtmsync.Client, "clear_channel_attributes"): ("room",),
    (rtmsync.Client, "get_channel_attributes"): ("room",),
    (rtmsync.Client, "member_counts"): (["room"],),
    (rtmsync.Client, "stored_messages"): (),
    (rtmsync.Client, "flush_stored"): (),
    (rtmsync.Channel, "send"): ("x",),
    (rtmsync.Channel, "members"): (),
    (rtmsync.Channel, "set_attributes"): ({"a": "b"},),
    (rtmsync.Channel, "update_attributes"): ({"a": "b"},),
    (rtmsync.Channel, "delete_attributes"): (["a"],),
    (rtmsync.Channel, "clear_attributes"): (),
    (rtmsync.Channel, "get_attributes"): (),
}
OPTIONS: dict[tuple[type[Any], str], dict[str, Any]] = {
    (rtmsync.Client, "history"): {"source": "bob"},
    (rtmsync.Client, "history_count"): {"source": "bob"},
}
OTHERWISE = {"login", "logout", "close", "join", "leave"}
"""Methods that begin or end something: each has a test of its own here."""


WAITS = {
    (rtmsync.Client, "wait_until"),
    (rtmsync.Subscription, "get"),
    (rtmsync.LocalInvitation, "wait"),
    (rtmsync.RemoteInvitation, "wait"),
}
"""Methods that wait for what may never come."""
PUBLISHER: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
    "send_peer": (("bob", "x"), {"sender": "shop"}),
    "publish": (("room", "x"), {"sender": "shop"}),
    "member_counts": ((["room"],), {}),
    "history": ((), {"channel": "room"}),
    "history_count": ((), {"channel": "room"}),
    "user_events": ((), {}),
    "channel_events": ((), {}),
    "ban": (("bob",), {}),
    "unban": (("bob",), {}),
    "kick": (("bob",), {}),
    "kick_member": (("room", "bob"), {}),
}


def limited(owner: type[Any]) -> set[str]:
    """The methods that take a timeout, without their twins."""
    return {
        name
        for name, method in inspect.getmembers(owner, inspect.isfunction)
        if "timeout" in inspect.signature(method).parameters and not name.startswith("_")
        if not name.endswith("_future")
    }


def blocking(owner: type[Any]) -> set[str]:
    """The methods that have a twin, and so block."""
    return {
        name.removesuffix("_future")
        for name in dir(owner)
        if name.endswith("_future") and not name.startswith("_")
    }


def test_no_method_is_left_out() -> None:
    named = {*ARGUMENTS, *OPTIONS}
    for owner in (rtmsync.Client, rtmsync.Channel):
        assert {name for kind, name in named if kind is owner} == blocking(owner) - OTHERWISE
    every = {owner for owner, _ in named | WAITS}
    assert {(owner, name) for owner in every for name in limited(owner) - OTHERWISE} == named | WAITS
    assert limited(rtmsync.Publisher) == set(PUBLISHER)


def ends_in_time(call: Callable[[], Any], code: str = "TIMEOUT") -> rtmsync.RequestTimeout:
    begun = time.monotonic()
    with pytest.raises(rtmsync.RequestTimeout) as caught:
        call()
    assert SECONDS - 0.05 < time.monotonic() - begun < PATIENCE
    assert caught.value.code is not None
    assert caught.value.code.name == code
    return caught.value


def test_each_call_and_its_twin_end_in_time(
    connect: Connect, proxy: FaultProxy, proxied: str, name: str
) -> None:
    client = connect(url=proxied)
    channel = client.channel(name)
    channel.join()
    proxy.blackhole()
    pending: list[tuple[str, Any]] = []
    for owner, method in [*ARGUMENTS, *OPTIONS]:
        arguments, options = ARGUMENTS.get((owner, method), ()), OPTIONS.get((owner, method), {})
        target = client if owner is rtmsync.Client else channel
        twin = getattr(target, f"{method}_future")
        pending.append((method, twin(*arguments, **options, timeout=SECONDS)))
    for method, future in pending:
        error = future.exception(30)
        assert isinstance(error, rtmsync.RequestTimeout), method
    for owner, method in [*ARGUMENTS, *OPTIONS]:
        arguments, options = ARGUMENTS.get((owner, method), ()), OPTIONS.get((owner, method), {})
        target = client if owner is rtmsync.Client else channel
        # A new token that was not answered has no documented code for that.
        code = "FAILURE" if method == "renew_token" else "TIMEOUT"
        call = getattr(target, method)
        ends_in_time(lambda: call(*arguments, **options, timeout=SECONDS), code)  # noqa: B023
    proxy.heal()


def test_what_begins_and_ends_ends_in_time(
    make: Connect, connect: Connect, proxy: FaultProxy, proxied: str, name: str
) -> None:
    client = connect(url=proxied)
    channel = client.channel(name)
    channel.join()
    proxy.blackhole()
    ends_in_time(lambda: client.channel(f"{name}-2").join(timeout=SECONDS))
    ends_in_time(lambda: channel.leave(timeout=SECONDS), "FAILURE")
    ends_in_time(lambda: make(url=proxied).login(timeout=SECONDS))
    begun = time.monotonic()
    client.logout(timeout=SECONDS)
    client.close(timeout=SECONDS)
    assert time.monotonic() - begun < PATIENCE
    proxy.heal()


def test_waits_end_in_time(connect: Connect, proxy: FaultProxy, proxied: str) -> None:
    client = connect(url=proxied)
    invitations = client.events(rtmsync.RemoteInvitationReceived)
    sent = client.invite(client.user_id).send()
    received = invitations.get(timeout=30).invitation
    proxy.blackhole()
    waits: dict[tuple[type[Any], str], Callable[[], Any]] = {
        (rtmsync.Client, "wait_until"): lambda: client.wait_until(ConnectionState.ABORTED, SECONDS),
        (rtmsync.Subscription, "get"): lambda: invitations.get(SECONDS),
        (rtmsync.LocalInvitation, "wait"): lambda: sent.wait(SECONDS),
        (rtmsync.RemoteInvitation, "wait"): lambda: received.wait(SECONDS),
    }
    assert set(waits) == WAITS
    for wait in waits.values():
        begun = time.monotonic()
        with pytest.raises(rtmsync.RequestTimeout):
            wait()
        assert SECONDS - 0.05 < time.monotonic() - begun < PATIENCE
    proxy.heal()


@pytest.mark.parametrize("method", PUBLISHER)
def test_each_call_of_a_publisher_ends_in_time(method: str) -> None:
    arguments, options = PUBLISHER[method]
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"ws://127.0.0.1:{silent.getsockname()[1]}"
        with rtmsync.Publisher(url, app_id=DEV_APP_ID, server_key="0123456789abcdef") as publisher:
            begun = time.monotonic()
            with pytest.raises(rtmsync.RequestTimeout):
                getattr(publisher, method)(*arguments, **options, timeout=SECONDS)
            assert SECONDS - 0.05 < time.monotonic() - begun < PATIENCE
