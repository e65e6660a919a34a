"""Joining, leaving and using channels in ways that the documents give a code for."""

import time
from collections.abc import Iterator

import pytest

import rtmsync
from rtmcore.codes import (
    CreateChannelError,
    GetMembersError,
    JoinChannelError,
    LeaveChannelError,
    SendChannelMessageError,
)
from rtmcore.limits import CHANNELS_JOINED
from rtmsync import ChannelLost
from rtmsync.server.config import DEV_APP_ID, ServerConfig
from rtmsync.server.server import Server
from rtmsync.server.tokens import AppKeys, TokenKey, make_token
from rtmsync.testing import FaultProxy
from tests.codes.conftest import SERVER_KEY, Muted
from tests.sync.conftest import Connect

KEY = TokenKey(b"k" * 32)
WAIT = 30.0


@pytest.fixture(scope="module")
def locked() -> Iterator[Server]:
    """A server that wants tokens."""
    config = ServerConfig(apps=[AppKeys(DEV_APP_ID, (KEY,))], port=0, drain_seconds=0.0, rate_limits=False)
    with Server(config) as running:
        yield running


def token(user: str, *channels: str) -> str:
    """A token that permits to log in and to join some channels."""
    scopes = {"login": True, "join": list(channels), "publish": list(channels)}
    return make_token(KEY, app=DEV_APP_ID, user=user, now=time.time(), seconds=60, scopes=scopes)


@pytest.mark.produces(CreateChannelError.INVALID_ARGUMENT)
@pytest.mark.parametrize("id", ["", "c" * 65, "a/b", "null", None, 7])
def test_there_are_no_channels_of_such_names(make: Connect, id: str) -> None:
    with pytest.raises(rtmsync.InvalidArgument) as caught:
        make().channel(id)
    assert caught.value.code is CreateChannelError.INVALID_ARGUMENT


@pytest.mark.produces(JoinChannelError.INVALID_ARGUMENT)
def test_a_channel_object_of_an_impossible_name_cannot_join(connect: Connect) -> None:
    with pytest.raises(rtmsync.InvalidArgument) as caught:
        rtmsync.Channel(connect(), "a/b").join()
    assert caught.value.code is JoinChannelError.INVALID_ARGUMENT


@pytest.mark.produces(JoinChannelError.REJECTED)
def test_a_token_says_which_channels_may_be_joined(connect: Connect, locked: Server, name: str) -> None:
    client = connect(user=name, url=locked.url, token=token(name, "open"))
    client.channel("open").join()
    with pytest.raises(rtmsync.Rejected) as caught:
        client.channel("closed").join()
    assert caught.value.code is JoinChannelError.REJECTED


@pytest.mark.produces(JoinChannelError.EXCEED_LIMIT)
def test_one_channel_too_many(connect: Connect, name: str) -> None:
    client = connect()
    for future in [client.channel(f"{name}-{n}").join_future() for n in range(CHANNELS_JOINED)]:
        future.result(WAIT)
    with pytest.raises(rtmsync.LimitExceeded) as caught:
        client.channel(name).join()
    assert caught.value.code is JoinChannelError.EXCEED_LIMIT


@pytest.mark.produces(JoinChannelError.ALREADY_JOINED, JoinChannelError.ALREADY_JOINED_CHANNEL_OF_SAME_ID)
def test_a_channel_is_joined_once(connect: Connect, name: str) -> None:
    client = connect()
    channel = client.channel(name)
    channel.join()
    for joining, code in [
        (channel, JoinChannelError.ALREADY_JOINED),
        (client.channel(name), JoinChannelError.ALREADY_JOINED_CHANNEL_OF_SAME_ID),
    ]:
        with pytest.raises(rtmsync.AlreadyJoined) as caught:
            joining.join()
        assert caught.value.code is code
    channel.leave()
    client.channel(name).join()


@pytest.mark.produces(JoinChannelError.ABORTED_BY_LEAVE)
def test_a_leave_ends_a_join(connect: Connect, proxy: FaultProxy, proxied: str, name: str) -> None:
    client, other = connect(url=proxied), connect()
    channel = client.channel(name)
    proxy.blackhole()
    joining, leaving = channel.join_future(), channel.leave_future(WAIT)
    error = joining.exception(WAIT)
    assert isinstance(error, rtmsync.StateError)
    assert error.code is JoinChannelError.ABORTED_BY_LEAVE
    with pytest.raises(rtmsync.AlreadyJoined):
        channel.join()
    proxy.heal()
    assert leaving.result(WAIT) is None
    assert not channel.joined
    assert other.member_counts(name) == {name: 0}
    channel.join()
    assert other.member_counts(name) == {name: 1}


@pytest.mark.produces(LeaveChannelError.NOT_IN_CHANNEL)
def test_a_channel_that_was_not_joined_cannot_be_left(connect: Connect, name: str) -> None:
    with pytest.raises(rtmsync.NotInChannel) as caught:
        connect().channel(name).leave()
    assert caught.value.code is LeaveChannelError.NOT_IN_CHANNEL
    assert str(caught.value).endswith("There is nothing to leave.")


@pytest.mark.produces(LeaveChannelError.KICKED)
def test_a_member_that_was_taken_out_cannot_leave(connect: Connect, name: str) -> None:
    keys = {DEV_APP_ID: [SERVER_KEY]}
    config = ServerConfig(apps=[AppKeys(DEV_APP_ID)], port=0, drain_seconds=0.0, server_keys=keys)
    with (
        Server(config) as server,
        connect(user=name, url=server.url) as client,
        rtmsync.Publisher(server.url, app_id=DEV_APP_ID, server_key=SERVER_KEY) as publisher,
    ):
        channel = client.channel("room")
        channel.join()
        with client.events(ChannelLost) as lost:
            assert publisher.kick_member("room", name)
            lost.get()
        with pytest.raises(rtmsync.NotInChannel) as caught:
            channel.leave()
        assert caught.value.code is LeaveChannelError.KICKED


@pytest.mark.produces(LeaveChannelError.FAILURE)
def test_a_leave_that_nobody_answers_times_out(muted: Muted, name: str) -> None:
    client = muted(name)
    with pytest.raises(rtmsync.RequestTimeout) as caught:
        client.channel(name).leave(0.1)
    assert caught.value.code is LeaveChannelError.FAILURE


@pytest.mark.produces(SendChannelMessageError.NOT_IN_CHANNEL, GetMembersError.NOT_IN_CHANNEL)
def test_only_members_send_and_ask_for_members(connect: Connect, name: str) -> None:
    channel = connect().channel(name)
    with pytest.raises(rtmsync.NotInChannel) as caught:
        channel.send("x")
    assert caught.value.code is SendChannelMessageError.NOT_IN_CHANNEL
    with pytest.raises(rtmsync.NotInChannel) as caught:
        channel.members()
    assert caught.value.code is GetMembersError.NOT_IN_CHANNEL
