"""TOO_OFTEN: one call more than the documented rate."""

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest

import rtmsync
from rtmcore.codes import (
    AttributeOperationError,
    ChannelMemberCountError,
    GetMembersError,
    JoinChannelError,
    PeerSubscriptionStatusError,
    QueryPeersBySubscriptionOptionError,
    QueryPeersOnlineError,
    SendChannelMessageError,
    SendPeerMessageError,
)
from rtmcore.figures import JOINS
from rtmcore.limits import (
    CHANNEL_ATTRIBUTES_READ_RATE,
    CHANNEL_ATTRIBUTES_WRITE_RATE,
    HISTORY_RATE,
    JOIN_SAME_CHANNEL_RATE,
    MEMBER_COUNT_RATE,
    MEMBERS_RATE,
    PEERS_SUBSCRIBED_RATE,
    PRESENCE_QUERY_RATE,
    PRESENCE_SUBSCRIBE_RATE,
    SEND_RATE,
    STORED_RATE,
    USER_ATTRIBUTES_READ_RATE,
    USER_ATTRIBUTES_WRITE_RATE,
    RateLimit,
)
from rtmsync import Client
from rtmsync.server.config import DEV_APP_ID, ServerConfig
from rtmsync.server.server import Server
from rtmsync.server.tokens import AppKeys
from tests.codes.registry import case
from tests.sync.conftest import Connect
from tests.too_often import refused_by_the_client

CHANNEL = "room"
WAIT = 30.0
Call = Callable[[Client], "Future[Any]"]


def refused(client: Client, rate: RateLimit, call: Call) -> rtmsync.RtmError:
    """What the call after the last that is allowed ends with."""
    futures: list[Future[Any]] = []

    def begin() -> None:
        future = call(client)
        if future.done() and isinstance(future.exception(), rtmsync.RateLimited):
            future.result()
        futures.append(future)

    over = refused_by_the_client(rate, begin)
    assert over.retry_after is not None
    assert 0 < over.retry_after <= rate.seconds
    for future in futures:
        future.result(WAIT)
    return over


@pytest.mark.parametrize(
    ("code", "rate", "call"),
    [
        case(
            SendPeerMessageError.TOO_OFTEN, SEND_RATE, lambda client: client.send_peer_future("nobody", "x")
        ),
        case(
            SendChannelMessageError.TOO_OFTEN,
            SEND_RATE,
            lambda client: client.channel(CHANNEL).send_future("x"),
        ),
        case(
            GetMembersError.TOO_OFTEN, MEMBERS_RATE, lambda client: client.channel(CHANNEL).members_future()
        ),
        case(
            ChannelMemberCountError.TOO_OFTEN,
            MEMBER_COUNT_RATE,
            lambda client: client.member_counts_future(CHANNEL),
        ),
        case(
            QueryPeersOnlineError.TOO_OFTEN,
            PRESENCE_QUERY_RATE,
            lambda client: client.query_presence_future("nobody"),
        ),
        case(QueryPeersOnlineError.TOO_OFTEN, STORED_RATE, lambda client: client.stored_messages_future()),
        case(
            QueryPeersOnlineError.TOO_OFTEN,
            HISTORY_RATE,
            lambda client: client.history_count_future(source=client.user_id),
        ),
        case(
            PeerSubscriptionStatusError.TOO_OFTEN,
            PRESENCE_SUBSCRIBE_RATE,
            lambda client: client.subscribe_presence_future("nobody"),
        ),
        case(
            PeerSubscriptionStatusError.TOO_OFTEN,
            PRESENCE_SUBSCRIBE_RATE,
            lambda client: client.unsubscribe_presence_future("nobody"),
        ),
        case(
            QueryPeersBySubscriptionOptionError.TOO_OFTEN,
            PEERS_SUBSCRIBED_RATE,
            lambda client: client.subscribed_peers_future(),
        ),
        case(
            AttributeOperationError.TOO_OFTEN,
            USER_ATTRIBUTES_WRITE_RATE,
            lambda client: client.update_attributes_future({"a": "b"}),
        ),
        case(
            AttributeOperationError.TOO_OFTEN,
            USER_ATTRIBUTES_READ_RATE,
            lambda client: client.get_attributes_future(client.user_id),
        ),
        case(
            AttributeOperationError.TOO_OFTEN,
            CHANNEL_ATTRIBUTES_WRITE_RATE,
            lambda client: client.update_channel_attributes_future(CHANNEL, {"a": "b"}),
        ),
        case(
            AttributeOperationError.TOO_OFTEN,
            CHANNEL_ATTRIBUTES_READ_RATE,
            lambda client: client.get_channel_attributes_future(CHANNEL),
        ),
    ],
)
def test_one_call_above_the_rate(
    connect: Connect, limited: Server, code: Any, rate: RateLimit, call: Call
) -> None:
    client = connect(url=limited.url, rate_limits=True)
    client.channel(CHANNEL).join()
    over = refused(client, rate, call)
    assert (over.code, type(over.code)) == (code, type(code))


@pytest.mark.produces(JoinChannelError.JOIN_SAME_CHANNEL_TOO_OFTEN)
def test_one_join_too_many_of_a_channel(connect: Connect, limited: Server, name: str) -> None:
    channel = connect(url=limited.url, rate_limits=True).channel(name)
    error = refused_by_the_client(JOIN_SAME_CHANNEL_RATE, lambda: (channel.join(), channel.leave()))
    assert error.code is JoinChannelError.JOIN_SAME_CHANNEL_TOO_OFTEN


@pytest.mark.produces(JoinChannelError.TOO_OFTEN)
def test_one_join_too_many(connect: Connect, name: str) -> None:
    few = RateLimit(3, 60.0)
    config = ServerConfig(apps=[AppKeys(DEV_APP_ID)], port=0, drain_seconds=0.0, rates={JOINS: few})
    with Server(config) as server, connect(url=server.url, rate_limits=True) as client:
        for number in range(few.count):
            client.channel(f"{name}-{number}").join()
        with pytest.raises(rtmsync.RateLimited) as caught:
            client.channel(name).join()
    assert caught.value.code is JoinChannelError.TOO_OFTEN
