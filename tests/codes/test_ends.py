"""101 after `close`, 102 without a login: by every call of a family that has these codes."""

from collections.abc import Callable
from enum import IntEnum
from typing import Any

import pytest

import rtmsync
from rtmcore.codes import (
    AttributeOperationError,
    ChannelMemberCountError,
    CreateChannelError,
    GetMembersError,
    JoinChannelError,
    LeaveChannelError,
    LoginError,
    LogoutError,
    PeerSubscriptionStatusError,
    QueryPeersBySubscriptionOptionError,
    QueryPeersOnlineError,
    RenewTokenError,
    SendChannelMessageError,
    SendPeerMessageError,
)
from rtmsync import Client
from rtmsync.server.config import DEV_APP_ID
from rtmsync.server.server import Server
from tests.codes.registry import case
from tests.sync.conftest import Connect, Enter, MakeRtc
from tests.sync.test_timeouts import ARGUMENTS, OPTIONS, blocking

Call = Callable[[Client], Any]


@pytest.mark.parametrize(
    ("code", "call"),
    [
        case(LoginError.NOT_INITIALIZED, lambda client: client.login()),
        case(LogoutError.NOT_INITIALIZED, lambda client: client.logout()),
        case(RenewTokenError.NOT_INITIALIZED, lambda client: client.renew_token("x")),
        case(SendPeerMessageError.NOT_INITIALIZED, lambda client: client.send_peer("bob", "x")),
        case(CreateChannelError.NOT_INITIALIZED, lambda client: client.channel("room")),
        case(JoinChannelError.NOT_INITIALIZED, lambda client: rtmsync.Channel(client, "room").join()),
        case(LeaveChannelError.NOT_INITIALIZED, lambda client: rtmsync.Channel(client, "room").leave()),
        case(
            SendChannelMessageError.NOT_INITIALIZED, lambda client: rtmsync.Channel(client, "room").send("x")
        ),
        case(GetMembersError.NOT_INITIALIZED, lambda client: rtmsync.Channel(client, "room").members()),
        case(ChannelMemberCountError.NOT_INITIALIZED, lambda client: client.member_counts("room")),
        case(AttributeOperationError.NOT_INITIALIZED, lambda client: client.set_attributes({"a": "b"})),
        case(QueryPeersOnlineError.NOT_INITIALIZED, lambda client: client.query_presence("bob")),
        case(PeerSubscriptionStatusError.NOT_INITIALIZED, lambda client: client.subscribe_presence("bob")),
        case(QueryPeersBySubscriptionOptionError.NOT_INITIALIZED, lambda client: client.subscribed_peers()),
    ],
)
def test_a_closed_client_is_101(connect: Connect, code: Any, call: Call) -> None:
    client = connect()
    client.close()
    with pytest.raises(rtmsync.ClientClosed) as caught:
        call(client)
    assert (caught.value.code, type(caught.value.code)) == (code, type(code))
    assert code == 101


def test_every_call_of_a_closed_client_is_101(connect: Connect, name: str) -> None:
    client = connect()
    channel = client.channel(name)
    client.close()
    for thing in (client, channel):
        for call in blocking(type(thing)) - {"close"}:
            key = (type(thing), call)
            arguments, options = ARGUMENTS.get(key, ()), OPTIONS.get(key, {})
            with pytest.raises(rtmsync.ClientClosed) as caught:
                getattr(thing, call)(*arguments, **options)
            assert caught.value.code == 101, call
            error = getattr(thing, f"{call}_future")(*arguments, **options).exception(10)
            assert isinstance(error, rtmsync.ClientClosed), call
            assert error.code == 101


@pytest.mark.produces(
    LoginError.NOT_INITIALIZED,
    LogoutError.NOT_INITIALIZED,
    RenewTokenError.NOT_INITIALIZED,
    SendChannelMessageError.NOT_INITIALIZED,
)
def test_every_call_of_a_closed_channel_or_room_is_101(enter: Enter, make_rtc: MakeRtc, name: str) -> None:
    rtc, room = make_rtc(name, "1"), enter(name, "alice")
    rtc.join()
    track = room.data_track("t")
    rtc.close()
    room.close()
    calls: list[tuple[Callable[[], object], type[IntEnum]]] = [
        (rtc.join, LoginError),
        (rtc.leave, LogoutError),
        (lambda: rtc.renew_token("x"), RenewTokenError),
        (lambda: rtc.send_stream_message(b"x"), LogoutError),
        (lambda: room.renew_token("x"), RenewTokenError),
        (lambda: room.send("x"), SendChannelMessageError),
        (lambda: track.send(b"x"), LogoutError),
    ]
    for call, family in calls:
        with pytest.raises(rtmsync.ClientClosed) as caught:
            call()
        assert (caught.value.code, type(caught.value.code)) == (101, family)
    room.disconnect()  # it is disconnected


@pytest.mark.produces(
    SendPeerMessageError.NOT_INITIALIZED,
    SendChannelMessageError.NOT_INITIALIZED,
    ChannelMemberCountError.NOT_INITIALIZED,
)
def test_every_call_of_a_closed_publisher_is_101(server: Server) -> None:
    publisher = rtmsync.Publisher(server.url, app_id=DEV_APP_ID, server_key="k" * 16)
    publisher.close()
    calls: list[tuple[Callable[[], object], type[IntEnum]]] = [
        (lambda: publisher.send_peer("bob", "x", sender="ann"), SendPeerMessageError),
        (lambda: publisher.publish("room", "x", sender="ann"), SendChannelMessageError),
        (lambda: publisher.member_counts(["room"]), ChannelMemberCountError),
    ]
    for call, family in calls:
        with pytest.raises(rtmsync.ClientClosed) as caught:
            call()
        assert (caught.value.code, type(caught.value.code)) == (101, family)


@pytest.mark.parametrize(
    ("code", "call"),
    [
        case(LogoutError.NOT_LOGGED_IN, lambda client: client.logout()),
        case(RenewTokenError.NOT_LOGGED_IN, lambda client: client.renew_token("x")),
        case(SendPeerMessageError.NOT_LOGGED_IN, lambda client: client.send_peer("bob", "x")),
        case(JoinChannelError.NOT_LOGGED_IN, lambda client: client.channel("room").join()),
        case(LeaveChannelError.NOT_LOGGED_IN, lambda client: client.channel("room").leave()),
        case(SendChannelMessageError.NOT_LOGGED_IN, lambda client: client.channel("room").send("x")),
        case(GetMembersError.NOT_LOGGED_IN, lambda client: client.channel("room").members()),
        case(ChannelMemberCountError.NOT_LOGGED_IN, lambda client: client.member_counts("room")),
        case(AttributeOperationError.NOT_LOGGED_IN, lambda client: client.set_attributes({"a": "b"})),
        case(QueryPeersOnlineError.NOT_LOGGED_IN, lambda client: client.query_presence("bob")),
        case(PeerSubscriptionStatusError.NOT_LOGGED_IN, lambda client: client.subscribe_presence("bob")),
        case(QueryPeersBySubscriptionOptionError.NOT_LOGGED_IN, lambda client: client.subscribed_peers()),
    ],
)
def test_a_client_without_a_login_is_102(make: Connect, code: Any, call: Call) -> None:
    with pytest.raises(rtmsync.NotLoggedIn) as caught:
        call(make())
    assert (caught.value.code, type(caught.value.code)) == (code, type(code))
    assert code == 102


def test_every_call_of_a_client_that_was_put_out_is_102(connect: Connect, name: str) -> None:
    client = connect(user=name)
    channel = client.channel(f"c-{name}")
    connect(user=name)
    client.wait_until(rtmsync.ConnectionState.ABORTED)
    for thing in (client, channel):
        for call in blocking(type(thing)) - {"close", "login", "logout"}:
            key = (type(thing), call)
            with pytest.raises(rtmsync.Aborted) as caught:
                getattr(thing, call)(*ARGUMENTS.get(key, ()), **OPTIONS.get(key, {}))
            assert caught.value.code == 102, call
