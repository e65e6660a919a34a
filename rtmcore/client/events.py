"""What a client core tells: the application by the first group of events, its driver by the second.

The union `Event` is closed. Classes that come by the thousand are slotted, the others frozen as well, since
building a frozen object costs four times as much.
"""

import enum
from typing import Final

import attrs

from rtmcore.client.calling import IncomingInvitation, OutgoingInvitation
from rtmcore.client.requests import Ticket
from rtmcore.codes import (
    ConnectionChangeReason,
    ConnectionState,
    JoinChannelError,
    LeaveChannelReason,
    LocalInvitationState,
    MessageType,
    PeerConnectionState,
    PeerOnlineState,
    RemoteInvitationState,
    RtcConnectionChangeReason,
    RtcConnectionState,
    UserOfflineReason,
)
from rtmcore.connection.model import SignalingState
from rtmcore.errors import RtmError
from rtmcore.models import ChannelAttribute, ChannelMessage, PeerMessage

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
    """How many, at least 1; one's own are not counted. Where the server has lost the log, 1 says that it was some."""


@attrs.frozen
class ChannelLost:
    """This client is no longer a member: it was taken out, or could not join again after a reconnect."""

    channel: str
    code: JoinChannelError
    """Why it could not join again; REJECTED for one who was taken out."""
    text: str
    """The server's reason, one sentence."""
    reason: LeaveChannelReason | None = None
    """KICKED for one who was taken out by whoever runs the service: he may join again."""


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
    dropped: bool = attrs.field(default=False, eq=False)
    """Left by silence, or unseen while this client itself was away; not compared."""


@attrs.frozen
class PresenceChanged:
    """Users that this client has subscribed to have other online states now; at first, all of them."""

    states: dict[str, PeerOnlineState]


@attrs.frozen
class NotRestored:
    """The session was over, and something that this client had in it could not be brought back after the return.

    What the server's limits do not allow any more is forgotten. Anything else is tried again after the next return that
    needs it; or subscribe, or set the attributes, again.
    """

    error: RtmError
    """Why, with the code that the call would have failed with."""
    users: tuple[str, ...] = ()
    """Those whose online states are not subscribed to any more."""
    attributes: tuple[str, ...] = attrs.field(default=(), repr=False)
    """Keys of attributes of this user that others do not see any more."""


@attrs.frozen
class MemberCountChanged:
    """A channel that this client is in has another number of members."""

    channel: str
    count: int
    """Members now, this client included."""


@attrs.frozen
class ChannelAttributesUpdated:
    """Somebody changed the attributes of a channel that this client is in, and wanted its members to know."""

    channel: str
    attributes: dict[str, ChannelAttribute] = attrs.field(repr=False)
    """All of them now."""


@attrs.frozen
class LocalInvitationChanged:
    """An invitation that this client has sent is in another state now; in FAILURE its `error` says why."""

    invitation: OutgoingInvitation
    state: LocalInvitationState


@attrs.frozen
class RemoteInvitationChanged:
    """An invitation to this client is in another state now; in FAILURE its `error` says why."""

    invitation: IncomingInvitation
    state: RemoteInvitationState


@attrs.frozen
class TokenWillExpire:
    """The token expires soon: hand over a new one by `renew_token`. Once a token."""

    seconds: float
    """Until then, at most `limits.TOKEN_WILL_EXPIRE_BEFORE`."""


@attrs.frozen
class TokenHasExpired:
    """The token has expired. What that does is the server's policy; a reconnect waits for a new one. Once a token."""


@attrs.frozen
class PeerConnectionStateChanged:
    """The aggregate over all transports of a client is another one now (seed 003)."""

    state: PeerConnectionState
    previous: PeerConnectionState


# --- For the application: an RTC channel (seed 001) ---------------------------------------------------------------


@attrs.frozen
class RtcStateChanged:
    """The connection to an RTC channel is in another state now."""

    state: RtcConnectionState
    reason: RtcConnectionChangeReason
    previous: RtcConnectionState
    cause: RtmError | None = None


@attrs.frozen
class RtcJoined:
    """The channel was joined (T1)."""

    channel: str
    uid: str
    elapsed: float
    """Seconds since the join call."""


@attrs.frozen
class RtcRejoined:
    """The channel was joined again after an interruption."""

    channel: str
    uid: str
    elapsed: float
    """Seconds since the interruption began: since the last byte before it."""


@attrs.frozen
class RtcInterrupted:
    """Nothing was heard for 4 s (T4); the client goes on trying."""


@attrs.frozen
class RtcConnectionLost:
    """Nothing was heard for 10 s (T5), or a first join took that long. Once an outage."""


@attrs.frozen
class RtcUserJoined:
    """Another user is in the channel (T2); those who were there before are told right after the join."""

    uid: str


@attrs.frozen
class RtcUserOffline:
    """Another user is no longer in the channel (T6)."""

    uid: str
    reason: UserOfflineReason


@attrs.define
class StreamMessage:
    """A data frame of another user of an RTC channel."""

    uid: str
    body: bytes = attrs.field(repr=False)
    n: int
    """The sender's number; counts up."""
    dropped: int = 0
    """Frames of this sender that were dropped before this one, because this client was slow or away."""


# --- For the application: a room (seed 002) -----------------------------------------------------------------------


@attrs.frozen
class SignalingChanged:
    """The signaling connection of a room is in another state now; the room makes its own state of it."""

    state: SignalingState
    previous: SignalingState
    error: RtmError | None = None
    """Why, with the room's code; None where all is well, and after one's own `disconnect`."""


@attrs.frozen
class RoomReconnecting:
    """The room is reconnecting: its code is 53001 for signaling and 53405 for media."""

    error: RtmError


@attrs.frozen
class RoomReconnected:
    """Signaling and media are connected again."""


@attrs.frozen
class RoomDisconnected:
    """The room is disconnected for good."""

    error: RtmError | None
    """None after one's own `disconnect`."""


@attrs.frozen
class ParticipantConnected:
    """Another participant is in the room."""

    identity: str


@attrs.frozen
class ParticipantReconnecting:
    """The signaling connection of another participant is interrupted."""

    identity: str


@attrs.frozen
class ParticipantReconnected:
    """The signaling connection of another participant is back."""

    identity: str


@attrs.frozen
class ParticipantDisconnected:
    """Another participant has left, or was away for too long."""

    identity: str


@attrs.define
class RoomMessage:
    """A message of another participant to the room."""

    sender: str
    kind: MessageType
    body: bytes = attrs.field(repr=False)
    id: int
    """Its position in the room's log, the same for all: the larger, the later."""

    @property
    def text(self) -> str:
        """The body as text; what is not UTF-8 is replaced by U+FFFD."""
        return self.body.decode("utf-8", "replace")


@attrs.frozen
class RoomGap:
    """Messages to the room are lost to this participant; it comes in the place where they would have been."""

    lost: int


@attrs.define
class DataReceived:
    """A frame of another participant's data track."""

    identity: str
    track: str
    body: bytes = attrs.field(repr=False)
    n: int
    """The sender's number within the track; counts up."""
    dropped: int = 0
    """Frames of this track that were dropped before this one, because this client was slow or away."""


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
    MEDIA = "media"
    """The media connection of a room, which stands beside its signaling."""
    TRANSFER = "transfer"
    """A connection over HTTP, for one upload or download."""


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


@attrs.define
class SendBytes:
    """Write bytes on a transport that is open, behind all that were written on it before; see `Driven.next_output`.

    Where the transport is gone, they are dropped: the core repeats what has no answer on the next one.
    """

    id: int
    """Of the transport."""
    data: bytes = attrs.field(repr=False)


class TokenReason(enum.Enum):
    """Why a token is asked for."""

    LOGIN = "login"
    RECONNECT = "reconnect"


@attrs.frozen
class NeedToken:
    """Ask the token provider; answer with `token` or `token_failed`, at any time. Never asked twice at once."""

    reason: TokenReason


@attrs.frozen
class TransferInterrupted:
    """The session that an upload or download belonged to is over: end it with INTERRUPTED."""

    number: int
    """Of its place; see `transfers.registry`."""


Event = (
    StateChanged
    | PeerMessage
    | ChannelMessage
    | ChannelGap
    | ChannelLost
    | MemberJoined
    | MemberLeft
    | MemberCountChanged
    | ChannelAttributesUpdated
    | PresenceChanged
    | NotRestored
    | LocalInvitationChanged
    | RemoteInvitationChanged
    | TokenWillExpire
    | TokenHasExpired
    | PeerConnectionStateChanged
    | RtcStateChanged
    | RtcJoined
    | RtcRejoined
    | RtcInterrupted
    | RtcConnectionLost
    | RtcUserJoined
    | RtcUserOffline
    | StreamMessage
    | SignalingChanged
    | RoomReconnecting
    | RoomReconnected
    | RoomDisconnected
    | ParticipantConnected
    | ParticipantReconnecting
    | ParticipantReconnected
    | ParticipantDisconnected
    | RoomMessage
    | RoomGap
    | DataReceived
    | RequestCompleted
    | OpenTransport
    | CloseTransport
    | NeedToken
    | TransferInterrupted
)

DRIVER_EVENTS: Final = (RequestCompleted, OpenTransport, CloseTransport, NeedToken, TransferInterrupted)
"""Events that the driver acts on by itself; the others are the application's."""
