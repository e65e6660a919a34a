"""Every rate: the calls that it counts together, on the client and as packets, and the code of what is too often."""

from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import Any

import attrs

from rtmcore.codes import (
    AttributeOperationError,
    ChannelMemberCountError,
    GetMembersError,
    JoinChannelError,
    LoginError,
    MessageType,
    PeerSubscriptionStatusError,
    QueryPeersBySubscriptionOptionError,
    QueryPeersOnlineError,
    RenewTokenError,
    SendChannelMessageError,
    SendPeerMessageError,
)

CHANNEL = "ops"
TEXT = MessageType.TEXT
Call = Callable[[Any, float], Any]
"""Of a client core, at a time."""


@attrs.frozen
class Rate:
    """One rate.

    Attributes:
        name: As the welcome tells it.
        figure: Its name in `rtmcore.limits`.
        calls: What is counted together, each with its own code of what is too often.
    """

    name: str
    figure: str
    calls: Sequence[tuple[Call, IntEnum]]


def _calls(code: IntEnum, *calls: Call) -> list[tuple[Call, IntEnum]]:
    return [(call, code) for call in calls]


_ATTRIBUTES = AttributeOperationError.TOO_OFTEN
_QUERY = QueryPeersOnlineError.TOO_OFTEN
_SUBSCRIPTION = PeerSubscriptionStatusError.TOO_OFTEN

IN_A_SESSION = [
    Rate(
        "renew",
        "RENEW_TOKEN_RATE",
        _calls(RenewTokenError.TOO_OFTEN, lambda core, now: core.renew_token("good", now=now)),
    ),
    Rate(
        "send",
        "SEND_RATE",
        [
            (lambda core, now: core.send_peer("bob", TEXT, b"x", now=now), SendPeerMessageError.TOO_OFTEN),
            (lambda core, now: core.publish(CHANNEL, TEXT, b"x", now=now), SendChannelMessageError.TOO_OFTEN),
        ],
    ),
    Rate(
        "members",
        "MEMBERS_RATE",
        _calls(GetMembersError.TOO_OFTEN, lambda core, now: core.members(CHANNEL, now=now)),
    ),
    Rate(
        "counts",
        "MEMBER_COUNT_RATE",
        _calls(
            ChannelMemberCountError.TOO_OFTEN,
            lambda core, now: core.channel_info.count_members(["a"], now=now),
        ),
    ),
    Rate(
        "query", "PRESENCE_QUERY_RATE", _calls(_QUERY, lambda core, now: core.users.query(["bob"], now=now))
    ),
    Rate(
        "subscribe",
        "PRESENCE_SUBSCRIBE_RATE",
        _calls(_SUBSCRIPTION, lambda core, now: core.users.subscribe(["bob"], now=now)),
    ),
    Rate(
        "unsubscribe",
        "PRESENCE_SUBSCRIBE_RATE",
        _calls(_SUBSCRIPTION, lambda core, now: core.users.unsubscribe(["bob"], now=now)),
    ),
    Rate(
        "subscriptions",
        "PEERS_SUBSCRIBED_RATE",
        _calls(
            QueryPeersBySubscriptionOptionError.TOO_OFTEN, lambda core, now: core.users.subscribed(now=now)
        ),
    ),
    Rate(
        "attributes_write",
        "USER_ATTRIBUTES_WRITE_RATE",
        _calls(
            _ATTRIBUTES,
            lambda core, now: core.users.set_attributes({"a": "b"}, now=now),
            lambda core, now: core.users.update_attributes({"a": "c"}, now=now),
            lambda core, now: core.users.delete_attributes(["a"], now=now),
            lambda core, now: core.users.clear_attributes(now=now),
        ),
    ),
    Rate(
        "attributes_read",
        "USER_ATTRIBUTES_READ_RATE",
        _calls(
            _ATTRIBUTES,
            lambda core, now: core.users.get_attributes("ann", now=now),
            lambda core, now: core.users.get_attributes("ann", ["a"], now=now),
        ),
    ),
    Rate(
        "channel_attributes_write",
        "CHANNEL_ATTRIBUTES_WRITE_RATE",
        _calls(
            _ATTRIBUTES,
            lambda core, now: core.channel_info.set_attributes("a", {"a": "b"}, now=now),
            lambda core, now: core.channel_info.update_attributes("b", {"a": "c"}, now=now),
            lambda core, now: core.channel_info.delete_attributes("c", ["a"], now=now),
            lambda core, now: core.channel_info.clear_attributes("d", now=now),
        ),
    ),
    Rate(
        "channel_attributes_read",
        "CHANNEL_ATTRIBUTES_READ_RATE",
        _calls(
            _ATTRIBUTES,
            lambda core, now: core.channel_info.get_attributes("a", now=now),
            lambda core, now: core.channel_info.get_attributes("b", ["a"], now=now),
        ),
    ),
    Rate("stored", "STORED_RATE", _calls(_QUERY, lambda core, now: core.history.stored(now=now))),
    Rate("flush", "STORED_RATE", _calls(_QUERY, lambda core, now: core.history.flush_stored(now=now))),
    Rate(
        "history",
        "HISTORY_RATE",
        _calls(
            _QUERY,
            lambda core, now: core.history.query(source="ann", now=now),
            lambda core, now: core.history.count(source="ann", now=now),
        ),
    ),
]
"""Those whose calls follow on one another without more ado; logins and joins have tests of their own."""

OF_JOINS = [
    Rate("join", "JOIN_RATE", [(lambda core, now: None, JoinChannelError.TOO_OFTEN)]),
    Rate(
        "join_same",
        "JOIN_SAME_CHANNEL_RATE",
        [(lambda core, now: None, JoinChannelError.JOIN_SAME_CHANNEL_TOO_OFTEN)],
    ),
]
OF_LOGINS = [Rate("login", "LOGIN_RATE", [(lambda core, now: None, LoginError.TOO_OFTEN)])]
ALL = [*IN_A_SESSION, *OF_JOINS, *OF_LOGINS]
