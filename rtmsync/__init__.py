"""Blocking real-time messaging: a client library without asyncio, and the server it talks to.

```python
import rtmsync

with rtmsync.connect("wss://rtm.example.com", app_id=APP, user_id="cron-7", token=mint) as client:
    client.send_peer("alice", "backup done")
```

Importing this package loads nothing else; each name below is loaded when it is first used.
"""

import logging
from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from rtmcore import __version__
    from rtmcore.client.events import ChannelGap, ChannelLost, MemberJoined, MemberLeft, StateChanged
    from rtmcore.codes import (
        ConnectionChangeReason,
        ConnectionState,
        GetMembersError,
        JoinChannelError,
        LeaveChannelError,
        LoginError,
        LogoutError,
        MessageType,
        SendChannelMessageError,
        SendPeerMessageError,
    )
    from rtmcore.errors import (
        Aborted,
        AlreadyJoined,
        AlreadyLoggedIn,
        AuthError,
        Banned,
        ClientClosed,
        ConnectionFailed,
        ForkedClient,
        InvalidAppId,
        InvalidArgument,
        InvalidToken,
        LimitExceeded,
        NameResolutionError,
        NotAuthorized,
        NotInChannel,
        NotLoggedIn,
        OutcomeUnknown,
        PeerUnreachable,
        ProtocolError,
        ProxyError,
        RateLimited,
        Rejected,
        RequestTimeout,
        RtmError,
        ServerFailure,
        StateError,
        TlsError,
        TokenExpired,
        WouldDeadlock,
    )
    from rtmcore.models import (
        ChannelMessage,
        ConnectionInfo,
        JoinResult,
        PeerMessage,
        PublishResult,
        SendResult,
        SendStatus,
    )
    from rtmsync.channel import Channel
    from rtmsync.client import Client, connect
    from rtmsync.config import Config, Secret
    from rtmsync.driver.clock import FOREVER, Deadline
    from rtmsync.driver.dispatcher import CallbackFailed
    from rtmsync.driver.driver import ClientStats
    from rtmsync.driver.queues import Lagged
    from rtmsync.driver.tls import TlsConfig
    from rtmsync.subscriptions import MessageIterator, Subscription

__all__ = [
    "FOREVER",
    "Aborted",
    "AlreadyJoined",
    "AlreadyLoggedIn",
    "AuthError",
    "Banned",
    "CallbackFailed",
    "Channel",
    "ChannelGap",
    "ChannelLost",
    "ChannelMessage",
    "Client",
    "ClientClosed",
    "ClientStats",
    "Config",
    "ConnectionChangeReason",
    "ConnectionFailed",
    "ConnectionInfo",
    "ConnectionState",
    "Deadline",
    "ForkedClient",
    "GetMembersError",
    "InvalidAppId",
    "InvalidArgument",
    "InvalidToken",
    "JoinChannelError",
    "JoinResult",
    "Lagged",
    "LeaveChannelError",
    "LimitExceeded",
    "LoginError",
    "LogoutError",
    "MemberJoined",
    "MemberLeft",
    "MessageIterator",
    "MessageType",
    "NameResolutionError",
    "NotAuthorized",
    "NotInChannel",
    "NotLoggedIn",
    "OutcomeUnknown",
    "PeerMessage",
    "PeerUnreachable",
    "ProtocolError",
    "ProxyError",
    "PublishResult",
    "RateLimited",
    "Rejected",
    "RequestTimeout",
    "RtmError",
    "Secret",
    "SendChannelMessageError",
    "SendPeerMessageError",
    "SendResult",
    "SendStatus",
    "ServerFailure",
    "StateChanged",
    "StateError",
    "Subscription",
    "TlsConfig",
    "TlsError",
    "TokenExpired",
    "WouldDeadlock",
    "__version__",
    "connect",
]

_ELSEWHERE: Final = {
    "rtmcore": ("__version__",),
    "rtmcore.client.events": ("ChannelGap", "ChannelLost", "MemberJoined", "MemberLeft", "StateChanged"),
    "rtmcore.codes": (
        "ConnectionChangeReason",
        "ConnectionState",
        "GetMembersError",
        "JoinChannelError",
        "LeaveChannelError",
        "LoginError",
        "LogoutError",
        "MessageType",
        "SendChannelMessageError",
        "SendPeerMessageError",
    ),
    "rtmcore.models": (
        "ChannelMessage",
        "ConnectionInfo",
        "JoinResult",
        "PeerMessage",
        "PublishResult",
        "SendResult",
        "SendStatus",
    ),
    "rtmsync.channel": ("Channel",),
    "rtmsync.client": ("Client", "connect"),
    "rtmsync.config": ("Config", "Secret"),
    "rtmsync.driver.clock": ("FOREVER", "Deadline"),
    "rtmsync.driver.dispatcher": ("CallbackFailed",),
    "rtmsync.driver.driver": ("ClientStats",),
    "rtmsync.driver.queues": ("Lagged",),
    "rtmsync.driver.tls": ("TlsConfig",),
    "rtmsync.subscriptions": ("MessageIterator", "Subscription"),
}
_MODULE_OF: Final = {name: module for module, names in _ELSEWHERE.items() for name in names}

logging.getLogger("rtmsync").addHandler(logging.NullHandler())


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # What is not named above is an error class.
    value = getattr(import_module(_MODULE_OF.get(name, "rtmcore.errors")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
