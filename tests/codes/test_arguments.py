"""Arguments that the documents do not allow: of the wrong shape, or too large, or too many."""

from collections.abc import Callable
from typing import Any

import pytest

import rtmsync
from rtmcore.codes import (
    AttributeOperationError,
    ChannelMemberCountError,
    InitError,
    InvitationApiCallError,
    LoginError,
    PeerSubscriptionStatusError,
    QueryPeersOnlineError,
    RenewTokenError,
    SendChannelMessageError,
    SendPeerMessageError,
)
from rtmcore.limits import (
    ATTRIBUTE_VALUE_BYTES,
    INVITATION_CONTENT_BYTES,
    MEMBER_COUNT_CHANNELS,
    MESSAGE_BYTES,
    PRESENCE_QUERY_USERS,
    PRESENCE_SUBSCRIPTIONS,
    USER_ATTRIBUTES,
)
from rtmsync import Client
from tests.codes.registry import case
from tests.sync.conftest import Connect

TOO_LONG = "x" * (MESSAGE_BYTES + 1)


def many(count: int) -> list[str]:
    return [f"n-{number}" for number in range(count)]


@pytest.mark.parametrize(
    ("code", "call"),
    [
        case(RenewTokenError.INVALID_ARGUMENT, lambda client: client.renew_token("")),
        case(SendPeerMessageError.INVALID_USER_ID, lambda client: client.send_peer("a/b", "x")),
        case(SendPeerMessageError.INVALID_MESSAGE, lambda client: client.send_peer("bob", TOO_LONG)),
        case(SendPeerMessageError.INVALID_MESSAGE, lambda client: client.send_peer("bob", None)),
        case(SendChannelMessageError.INVALID_MESSAGE, lambda client: client.channel("room").send(TOO_LONG)),
        case(ChannelMemberCountError.INVALID_ARGUMENT, lambda client: client.member_counts("a/b")),
        case(AttributeOperationError.INVALID_ARGUMENT, lambda client: client.set_attributes({"": "x"})),
        case(AttributeOperationError.INVALID_ARGUMENT, lambda client: client.set_attributes({"a": ""})),
        case(
            AttributeOperationError.INVALID_ARGUMENT,
            lambda client: client.set_channel_attributes("a/b", {"a": "b"}),
        ),
        case(QueryPeersOnlineError.INVALID_ARGUMENT, lambda client: client.query_presence("a/b")),
        case(
            QueryPeersOnlineError.INVALID_ARGUMENT,
            lambda client: client.query_presence(many(PRESENCE_QUERY_USERS + 1)),
        ),
        case(QueryPeersOnlineError.INVALID_ARGUMENT, lambda client: client.history(source="a/b")),
        case(PeerSubscriptionStatusError.INVALID_ARGUMENT, lambda client: client.subscribe_presence("a/b")),
        case(
            InvitationApiCallError.INVALID_ARGUMENT,
            lambda client: client.invite("bob", "x" * (INVITATION_CONTENT_BYTES + 1)).send(),
        ),
    ],
)
def test_an_argument_that_is_not_possible(connect: Connect, code: Any, call: Callable[[Client], Any]) -> None:
    client = connect()
    client.channel("room").join()
    with pytest.raises(rtmsync.InvalidArgument) as caught:
        call(client)
    assert (caught.value.code, type(caught.value.code)) == (code, type(code))


@pytest.mark.parametrize(
    ("code", "call"),
    [
        case(
            ChannelMemberCountError.EXCEED_LIMIT,
            lambda client: client.member_counts(many(MEMBER_COUNT_CHANNELS + 1)),
        ),
        case(
            AttributeOperationError.SIZE_OVERFLOW,
            lambda client: client.set_attributes({"a": "x" * (ATTRIBUTE_VALUE_BYTES + 1)}),
        ),
        case(
            AttributeOperationError.SIZE_OVERFLOW,
            lambda client: client.set_attributes(dict.fromkeys(many(USER_ATTRIBUTES + 1), "x")),
        ),
        case(
            PeerSubscriptionStatusError.OVERFLOW,
            lambda client: client.subscribe_presence(many(PRESENCE_SUBSCRIPTIONS + 1)),
        ),
    ],
)
def test_an_argument_that_is_too_much(connect: Connect, code: Any, call: Callable[[Client], Any]) -> None:
    client = connect()
    with pytest.raises(rtmsync.LimitExceeded) as caught:
        call(client)
    assert (caught.value.code, type(caught.value.code)) == (code, type(code))


def test_the_server_refuses_what_a_channel_cannot_hold(connect: Connect, name: str) -> None:
    client = connect()
    client.set_channel_attributes(name, dict.fromkeys(many(USER_ATTRIBUTES), "x"))
    with pytest.raises(rtmsync.LimitExceeded) as caught:
        client.update_channel_attributes(name, {"another": "x"})
    assert caught.value.code is AttributeOperationError.SIZE_OVERFLOW


@pytest.mark.produces(AttributeOperationError.USER_NOT_FOUND)
def test_a_user_that_is_not_there_has_no_attributes(connect: Connect, name: str) -> None:
    with pytest.raises(rtmsync.UserNotFound) as caught:
        connect().get_attributes(name)
    assert caught.value.code is AttributeOperationError.USER_NOT_FOUND


@pytest.mark.produces(QueryPeersOnlineError.REJECTED)
def test_the_history_of_others_is_not_shown(connect: Connect, name: str) -> None:
    with pytest.raises(rtmsync.Rejected) as caught:
        connect().history(channel=name)
    assert caught.value.code is QueryPeersOnlineError.REJECTED
    assert "Name yourself as the source or the destination." in str(caught.value)


@pytest.mark.parametrize(
    ("code", "error", "wrong"),
    [
        case(InitError.INVALID_APP_ID, rtmsync.InvalidAppId, {"app_id": 7}),
        case(InitError.INVALID_ARGUMENT, rtmsync.InvalidArgument, {"url": "http://example.com"}),
        case(InitError.INVALID_ARGUMENT, rtmsync.InvalidArgument, {"colour": "red"}),
        case(InitError.INVALID_ARGUMENT, rtmsync.InvalidArgument, {"timeouts": {"send": 0}}),
        case(LoginError.INVALID_ARGUMENT, rtmsync.InvalidArgument, {"user": "a/b"}),
    ],
)
def test_a_client_is_made_from_what_is_possible(
    make: Connect, code: Any, error: type[rtmsync.RtmError], wrong: dict[str, Any]
) -> None:
    with pytest.raises(error) as caught:
        make(**wrong)
    assert (caught.value.code, type(caught.value.code)) == (code, type(code))
