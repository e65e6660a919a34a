"""FAILURE and UNKNOWN: what a call ends with when the server's engine refuses, or its disk."""

import errno
import os
from collections.abc import Callable
from enum import IntEnum
from pathlib import Path
from typing import Any

import pytest

import rtmsync
from rtmcore.codes import (
    AttributeOperationError,
    ChannelMemberCountError,
    GetMembersError,
    JoinChannelError,
    LeaveChannelError,
    LoginError,
    PeerSubscriptionStatusError,
    QueryPeersBySubscriptionOptionError,
    QueryPeersOnlineError,
    SendChannelMessageError,
    SendPeerMessageError,
)
from rtmcore.service.commands.attributes import (
    ChangeAttributes,
    ChangeChannelAttributes,
    ReadAttributes,
    ReadChannelAttributes,
    WriteAttributes,
)
from rtmcore.service.commands.channels import (
    CountMembers,
    CountMembersOf,
    JoinChannel,
    LeaveChannel,
    ListMembers,
)
from rtmcore.service.commands.history import ReadHistory
from rtmcore.service.commands.inboxes import DropStored, ListStored
from rtmcore.service.commands.messages import PeerSend, PublishAs, PublishMessage, SendAs
from rtmcore.service.commands.presence import (
    ListSubscriptions,
    QueryPresence,
    SubscribePresence,
    UnsubscribePresence,
)
from rtmcore.service.commands.results import Trouble
from rtmcore.service.commands.sessions import Claim
from rtmcore.service.memory.journal import Batch
from rtmsync import Client, Publisher
from rtmsync.server.config import DEV_APP_ID, ServerConfig
from rtmsync.server.engines.sqlite_store import SqliteStore
from rtmsync.server.server import Server
from rtmsync.server.tokens import AppKeys
from tests.codes.conftest import SERVER_KEY
from tests.codes.refusing import RefusingEngine
from tests.codes.registry import case
from tests.sync.conftest import Connect

CHANNEL = "room"


@pytest.mark.parametrize(
    ("code", "command", "call"),
    [
        case(SendPeerMessageError.FAILURE, PeerSend, lambda client: client.send_peer("bob", "x")),
        case(
            SendChannelMessageError.FAILURE, PublishMessage, lambda client: client.channel(CHANNEL).send("x")
        ),
        case(JoinChannelError.FAILURE, JoinChannel, lambda client: client.channel("other").join()),
        case(LeaveChannelError.FAILURE, LeaveChannel, lambda client: client.channel(CHANNEL).leave()),
        case(GetMembersError.FAILURE, ListMembers, lambda client: client.channel(CHANNEL).members()),
        case(ChannelMemberCountError.FAILURE, CountMembers, lambda client: client.member_counts(CHANNEL)),
        case(QueryPeersOnlineError.FAILURE, QueryPresence, lambda client: client.query_presence("bob")),
        case(QueryPeersOnlineError.FAILURE, ListStored, lambda client: client.stored_messages()),
        case(QueryPeersOnlineError.FAILURE, DropStored, lambda client: client.flush_stored()),
        case(
            QueryPeersOnlineError.FAILURE, ReadHistory, lambda client: client.history(source=client.user_id)
        ),
        case(
            QueryPeersOnlineError.FAILURE,
            ReadHistory,
            lambda client: client.history_count(source=client.user_id),
        ),
        case(
            PeerSubscriptionStatusError.FAILURE,
            SubscribePresence,
            lambda client: client.subscribe_presence("bob"),
        ),
        case(
            PeerSubscriptionStatusError.FAILURE,
            UnsubscribePresence,
            lambda client: client.unsubscribe_presence("bob"),
        ),
        case(
            QueryPeersBySubscriptionOptionError.FAILURE,
            ListSubscriptions,
            lambda client: client.subscribed_peers(),
        ),
        case(
            AttributeOperationError.FAILURE, WriteAttributes, lambda client: client.set_attributes({"a": "b"})
        ),
        case(
            AttributeOperationError.FAILURE,
            ChangeAttributes,
            lambda client: client.update_attributes({"a": "b"}),
        ),
        case(AttributeOperationError.FAILURE, ReadAttributes, lambda client: client.get_attributes("bob")),
        case(
            AttributeOperationError.FAILURE,
            ChangeChannelAttributes,
            lambda client: client.set_channel_attributes(CHANNEL, {"a": "b"}),
        ),
        case(
            AttributeOperationError.FAILURE,
            ReadChannelAttributes,
            lambda client: client.get_channel_attributes(CHANNEL),
        ),
    ],
)
@pytest.mark.parametrize("trouble", [Trouble.UNAVAILABLE, Trouble.FULL])
def test_a_call_that_the_engine_refuses_is_a_failure(
    connect: Connect,
    refusing: str,
    engine: RefusingEngine,
    trouble: Trouble,
    code: Any,
    command: type[Any],
    call: Callable[[Client], Any],
) -> None:
    client = connect(url=refusing)
    client.channel(CHANNEL).join()
    with engine.refuses(command, code=trouble), pytest.raises(rtmsync.ServerFailure) as caught:
        call(client)
    assert (caught.value.code, type(caught.value.code)) == (code, type(code))
    assert "on fire" in str(caught.value)
    assert client.state is rtmsync.ConnectionState.CONNECTED


@pytest.mark.parametrize(
    ("code", "command", "call"),
    [
        case(
            SendPeerMessageError.FAILURE,
            SendAs,
            lambda publisher: publisher.send_peer("bob", "x", sender="ann"),
        ),
        case(
            SendChannelMessageError.FAILURE,
            PublishAs,
            lambda publisher: publisher.publish(CHANNEL, "x", sender="ann"),
        ),
        case(
            ChannelMemberCountError.FAILURE,
            CountMembersOf,
            lambda publisher: publisher.member_counts([CHANNEL]),
        ),
    ],
)
def test_a_call_of_a_publisher_that_the_engine_refuses_is_a_failure(
    refusing: str, engine: RefusingEngine, code: Any, command: type[Any], call: Callable[[Publisher], Any]
) -> None:
    with (
        Publisher(refusing, app_id=DEV_APP_ID, server_key=SERVER_KEY) as publisher,
        engine.refuses(command),
        pytest.raises(rtmsync.ServerFailure) as caught,
    ):
        call(publisher)
    assert (caught.value.code, type(caught.value.code)) == (code, type(code))


@pytest.mark.produces(
    SendPeerMessageError.FAILURE, SendChannelMessageError.FAILURE, AttributeOperationError.FAILURE
)
def test_what_the_disk_does_not_take_is_a_failure(
    monkeypatch: pytest.MonkeyPatch, connect: Connect, tmp_path: Path, name: str
) -> None:
    def refuse(store: SqliteStore, batch: Batch) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    config = ServerConfig(
        apps=[AppKeys(DEV_APP_ID)], port=0, drain_seconds=0.0, rate_limits=False, data_dir=tmp_path
    )
    with Server(config) as server:
        client = connect(url=server.url)
        channel = client.channel(CHANNEL)
        channel.join()
        calls: list[tuple[Callable[[], object], IntEnum]] = [
            (lambda: client.send_peer(name, "x", offline=True), SendPeerMessageError.FAILURE),
            (lambda: channel.send("x", history=True), SendChannelMessageError.FAILURE),
            (lambda: channel.set_attributes({"a": "b"}), AttributeOperationError.FAILURE),
        ]
        with monkeypatch.context() as full:
            full.setattr(SqliteStore, "commit", refuse)
            for call, code in calls:
                with pytest.raises(rtmsync.ServerFailure) as caught:
                    call()
                assert (caught.value.code, type(caught.value.code)) == (code, type(code))
                assert "disk" in str(caught.value)
        for call, _ in calls:
            call()
        client.close()


@pytest.mark.produces(LoginError.UNKNOWN)
def test_a_login_that_the_engine_refuses_is_unknown(
    make: Connect, refusing: str, engine: RefusingEngine
) -> None:
    client = make(url=refusing)
    with engine.refuses(Claim, code=LoginError.UNKNOWN), pytest.raises(rtmsync.ServerFailure) as caught:
        client.login()
    assert caught.value.code is LoginError.UNKNOWN
    assert client.connection.reason is rtmsync.ConnectionChangeReason.LOGIN_FAILURE
    client.login()


def test_a_login_while_the_engine_is_away_is_tried_until_its_time_is_over(
    make: Connect, refusing: str, engine: RefusingEngine
) -> None:
    client = make(url=refusing)
    with engine.refuses(Claim):
        for seconds in (0.3, 3.0, 30.0):  # a slow machine hears of no refusal in the shorter times
            with pytest.raises(rtmsync.RequestTimeout) as caught:
                client.login(seconds)
            assert caught.value.code is LoginError.TIMEOUT
            if "ENGINE_UNAVAILABLE" in str(caught.value.__cause__):
                break
    assert "ENGINE_UNAVAILABLE" in str(caught.value.__cause__)
