"""What a client core tells: the application by the first group of events, its driver by the second.

The union `Event` is closed. Classes that come by the thousand are slotted, the others frozen as well, since
building a frozen object costs four times as much.
"""

import enum
from typing import Final

import attrs

from rtmcore.client.requests import Ticket
from rtmcore.codes import ConnectionChangeReason, ConnectionState, JoinChannelError
from rtmcore.errors import RtmError
from rtmcore.models import ChannelMessage, PeerMessage

# --- For the application ---------------------------------------------------------------------------------------


@attrs.frozen
class StateChanged:
    """The connection is in another state now. There is never an event without a change."""

    state: ConnectionState
    reason: ConnectionChangeReason
    previous: ConnectionState
    cause: RtmError | None = None
    """What brought it about, where that was a failure."""


@attrs.frozen
class ChannelGap:
    """Messages to a channel are lost to this member; it comes in the place where they would have been."""

    channel: str
    lost: int
    """How many, at least 1; one's own are not counted."""


@attrs.frozen
class ChannelLost:
    """This client is no longer a member: the channel could not be joined again after a reconnect."""

    channel: str
    code: JoinChannelError
    text: str
    """The server's reason, one sentence."""


@attrs.frozen
class MemberJoined:
    """Another user has joined a channel that this client is in."""

    channel: str
    user: str
    count: int
    """Members afterwards, this client included."""


@attrs.frozen
class MemberLeft:
    """Another user has left a channel that this client is in: by leaving, by logout, or by 30 s of silence."""

    channel: str
    user: str
    count: int
    """Members afterwards, this client included."""


# --- For the driver --------------------------------------------------------------------------------------------


@attrs.define
class RequestCompleted:
    """A ticket has its result: `ticket.error`, or `ticket.value` where that is None."""

    ticket: Ticket


class Purpose(enum.Enum):
    """What a transport is opened for."""

    LOGIN = "login"
    RECONNECT = "reconnect"
    SPARE = "spare"
    """Opened beside a transport that has been silent for a while and may still come back."""


@attrs.frozen
class OpenTransport:
    """Open a TCP connection (and TLS); answer with `transport_opened` or `transport_failed`.

    Each of these is followed by exactly one `CloseTransport` of the same id, unless `transport_failed` came first.
    """

    id: int
    purpose: Purpose
    url: str
    host: str
    """Name or address, IPv6 without brackets."""
    port: int
    tls: bool


@attrs.frozen
class CloseTransport:
    """Close a transport, or stop opening it.

    What `data_to_send` gives for it is written first if that is possible without waiting. Nothing that comes from
    the transport later matters.
    """

    id: int


class TokenReason(enum.Enum):
    """Why a token is asked for."""

    LOGIN = "login"
    RECONNECT = "reconnect"


@attrs.frozen
class NeedToken:
    """Ask the token provider; answer with `token` or `token_failed`, at any time. Never asked twice at once."""

    reason: TokenReason


Event = (
    StateChanged
    | PeerMessage
    | ChannelMessage
    | ChannelGap
    | ChannelLost
    | MemberJoined
    | MemberLeft
    | RequestCompleted
    | OpenTransport
    | CloseTransport
    | NeedToken
)

DRIVER_EVENTS: Final = (RequestCompleted, OpenTransport, CloseTransport, NeedToken)
"""Events that the driver acts on by itself; the others are the application's."""
