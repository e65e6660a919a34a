"""What a call ends with when the server does not answer any more."""

from collections.abc import Callable
from typing import Any

import pytest

import rtmsync
from rtmcore.codes import (
    AttributeOperationError,
    ChannelMemberCountError,
    GetMembersError,
    JoinChannelError,
    LoginError,
    PeerSubscriptionStatusError,
    QueryPeersBySubscriptionOptionError,
    QueryPeersOnlineError,
    RenewTokenError,
    SendChannelMessageError,
    SendPeerMessageError,
)
from rtmsync import Client
from rtmsync.testing import FaultProxy
from tests.codes.conftest import Muted
from tests.codes.registry import case
from tests.sync.conftest import Connect

SOON = 0.1
CHANNEL = "room"


@pytest.mark.parametrize(
    ("code", "call"),
    [
        case(SendPeerMessageError.TIMEOUT, lambda client: client.send_peer("bob", "x", timeout=SOON)),
        case(SendChannelMessageError.TIMEOUT, lambda client: client.channel(CHANNEL).send("x", SOON)),
        case(GetMembersError.TIMEOUT, lambda client: client.channel(CHANNEL).members(SOON)),
        case(JoinChannelError.TIMEOUT, lambda client: client.channel("other").join(SOON)),
        case(ChannelMemberCountError.TIMEOUT, lambda client: client.member_counts("other", SOON)),
        case(AttributeOperationError.TIMEOUT, lambda client: client.set_attributes({"a": "b"}, SOON)),
        case(QueryPeersOnlineError.TIMEOUT, lambda client: client.query_presence("bob", SOON)),
        case(PeerSubscriptionStatusError.TIMEOUT, lambda client: client.subscribe_presence("bob", SOON)),
        case(
            QueryPeersBySubscriptionOptionError.TIMEOUT, lambda client: client.subscribed_peers(timeout=SOON)
        ),
        # The family has no code of its own for a time-out.
        case(RenewTokenError.FAILURE, lambda client: client.renew_token("x", SOON)),
    ],
)
def test_a_call_that_nobody_answers_times_out(muted: Muted, code: Any, call: Callable[[Client], Any]) -> None:
    client = muted(CHANNEL)
    with pytest.raises(rtmsync.RequestTimeout) as caught:
        call(client)
    assert (caught.value.code, type(caught.value.code)) == (code, type(code))


@pytest.mark.produces(LoginError.TIMEOUT, rtmsync.ConnectionChangeReason.LOGIN_TIMEOUT)
def test_a_login_that_nobody_answers_times_out(make: Connect, proxy: FaultProxy, proxied: str) -> None:
    proxy.blackhole()
    client = make(url=proxied)
    with pytest.raises(rtmsync.RequestTimeout) as caught:
        client.login(SOON)
    assert caught.value.code is LoginError.TIMEOUT
    assert client.connection.reason is rtmsync.ConnectionChangeReason.LOGIN_TIMEOUT
