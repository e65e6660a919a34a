"""0: every call that has a family of codes goes well."""

import pytest

import rtmsync
from rtmcore.codes import (
    AttributeOperationError,
    ChannelMemberCountError,
    CreateChannelError,
    GetMembersError,
    InitError,
    InvitationApiCallError,
    JoinChannelError,
    LeaveChannelError,
    LocalInvitationError,
    LocalInvitationState,
    LoginError,
    LogoutError,
    PeerSubscriptionStatusError,
    QueryPeersBySubscriptionOptionError,
    QueryPeersOnlineError,
    RemoteInvitationError,
    RemoteInvitationState,
    RenewTokenError,
    SendChannelMessageError,
    SendPeerMessageError,
)
from rtmsync import RemoteInvitationReceived, SendStatus
from tests.sync.conftest import Connect


@pytest.mark.produces(InitError.OK, LoginError.OK, LogoutError.OK, RenewTokenError.OK)
def test_a_session_begins_is_renewed_and_ends(make: Connect) -> None:
    client = make()
    client.login()
    client.renew_token("another")
    client.logout()
    assert client.state is rtmsync.ConnectionState.DISCONNECTED


@pytest.mark.produces(
    CreateChannelError.OK,
    JoinChannelError.OK,
    SendChannelMessageError.OK,
    GetMembersError.OK,
    ChannelMemberCountError.OK,
    LeaveChannelError.OK,
)
def test_a_channel_is_made_joined_used_and_left(connect: Connect, name: str) -> None:
    client = connect()
    channel = client.channel(name)
    assert channel.join().channel == name
    assert channel.send("hello").message_id
    assert channel.members() == (client.user_id,)
    assert client.member_counts([name]) == {name: 1}
    channel.leave()
    assert not channel.joined


@pytest.mark.produces(
    SendPeerMessageError.OK, SendPeerMessageError.PEER_UNREACHABLE, SendPeerMessageError.CACHED_BY_SERVER
)
def test_a_peer_message_is_delivered_or_kept_or_neither(connect: Connect, name: str) -> None:
    client = connect()
    assert client.send_peer(name, "nobody there").status is SendStatus.PEER_UNREACHABLE
    assert client.send_peer(name, "for later", offline=True).status is SendStatus.CACHED
    with connect(user=name).events(rtmsync.PeerMessage):
        assert client.send_peer(name, "hello").status is SendStatus.DELIVERED
    assert [int(status) for status in SendStatus] == [
        SendPeerMessageError.OK,
        SendPeerMessageError.PEER_UNREACHABLE,
        SendPeerMessageError.CACHED_BY_SERVER,
    ]


@pytest.mark.produces(
    QueryPeersOnlineError.OK,
    PeerSubscriptionStatusError.OK,
    QueryPeersBySubscriptionOptionError.OK,
    AttributeOperationError.OK,
)
def test_users_are_asked_for_and_described(connect: Connect, name: str) -> None:
    client = connect(user=name)
    assert client.query_presence(name)[0].online
    client.subscribe_presence(name)
    assert client.subscribed_peers() == (name,)
    client.unsubscribe_presence(name)
    client.set_attributes({"a": "b"})
    assert client.get_attributes(name) == {"a": "b"}


@pytest.mark.produces(InvitationApiCallError.OK, LocalInvitationError.OK, RemoteInvitationError.OK)
def test_a_call_is_accepted(connect: Connect, name: str) -> None:
    alice, bob = connect(), connect(user=name)
    with bob.events(RemoteInvitationReceived) as rings:
        call = alice.invite(name).send()
        event = rings.get()
        assert isinstance(event, RemoteInvitationReceived)
        event.invitation.accept()
        assert call.wait() is LocalInvitationState.ACCEPTED_BY_REMOTE
        assert event.invitation.wait() is RemoteInvitationState.ACCEPTED
        assert call.error is event.invitation.error is None
