"""The values that applications see: messages, results of calls, the state of a connection."""

from enum import IntEnum
from typing import Final, Generic, TypeVar

import attrs

from rtmcore.codes import (
    ConnectionChangeReason,
    ConnectionState,
    MessageType,
    PeerOnlineState,
    RoomErrorCode,
    RoomState,
    RtcConnectionChangeReason,
    RtcConnectionState,
    SendPeerMessageError,
)
from rtmcore.errors import InvalidArgument, RtmError
from rtmcore.files import FileMessage, decode_file
from rtmcore.identifiers import explain_invalid_id, is_valid_id

END_CALL_PREFIX: Final = "AgoraRTMLegacyEndcallCompatibleMessagePrefix"
"""What a text message begins with that ends a call, as documented; see `EndCall`."""

_MICROSECONDS: Final = 1_000_000
_SEPARATOR: Final = "_"


class SendStatus(IntEnum):
    """What became of a message to a peer; the numbers are those of the documented result codes (seed 004)."""

    DELIVERED = SendPeerMessageError.OK
    """The peer's client has acknowledged it."""
    PEER_UNREACHABLE = SendPeerMessageError.PEER_UNREACHABLE
    """The peer is offline, and the message is not stored: it will not be delivered later."""
    CACHED = SendPeerMessageError.CACHED_BY_SERVER
    """The peer is offline, and the message is stored for it."""


def server_time(position: int) -> float:
    """When the server accepted a message.

    Positions are made from the server's clock in microseconds and only ever count up, so they tell the time
    closely enough to be shown. Do not order messages by it.

    Args:
        position: The position of a message in its log.

    Returns:
        Seconds since 1970.
    """
    return position / _MICROSECONDS


@attrs.frozen
class EndCall:
    """What a text message says that ends a call, in the way that older clients understand.

    ```python
    client.send_peer("bob", EndCall("room-7", "busy").text)
    ```

    Attributes:
        channel: The channel of the call: 1 to 64 bytes of the documented characters.
        info: Whatever else there is to say, without an underscore.

    Raises:
        InvalidArgument: The channel's id is not valid, or there is an underscore in `info`.
    """

    channel: str = attrs.field()
    info: str = attrs.field(default="", repr=False)

    @channel.validator
    def _check_channel(self, _: object, value: object) -> None:
        wrong = explain_invalid_id(value, "channel id")
        if wrong is not None:
            raise InvalidArgument(wrong, code=SendPeerMessageError.INVALID_MESSAGE, operation="end_call")

    @info.validator
    def _check_info(self, _: object, value: object) -> None:
        if not isinstance(value, str) or _SEPARATOR in value:
            raise InvalidArgument(
                "What is said at the end of a call is a string without an underscore.",
                code=SendPeerMessageError.INVALID_MESSAGE,
                operation="end_call",
            )

    @property
    def text(self) -> str:
        """The message to send."""
        return _SEPARATOR.join((END_CALL_PREFIX, self.channel, self.info))

    @classmethod
    def parse(cls, text: str) -> "EndCall | None":
        """Read the text of a message; None where it ends no call."""
        begin = END_CALL_PREFIX + _SEPARATOR
        channel, separator, info = text.removeprefix(begin).rpartition(_SEPARATOR)
        if not text.startswith(begin) or not separator or not is_valid_id(channel):
            return None
        return cls(channel, info)


@attrs.define
class PeerMessage:
    """A message from another user to this one."""

    sender: str
    kind: MessageType
    body: bytes = attrs.field(repr=False)
    id: int
    """Its position in this user's inbox: the larger, the later."""
    offline: bool = False
    """It was stored while this user was offline."""
    redelivered: bool = False
    """It may have been handed over before, to a client object that did not live to acknowledge it."""
    description: str | None = attrs.field(default=None, repr=False)
    """What the sender has said about a raw message; None where he has said nothing."""

    @property
    def text(self) -> str:
        """The body as text; what is not UTF-8 is replaced by U+FFFD."""
        return self.body.decode("utf-8", "replace")

    @property
    def raw(self) -> bytes:
        """The body as it was sent."""
        return self.body

    @property
    def media(self) -> FileMessage | None:
        """What a message of the kind FILE says, or as an `ImageMessage` one of the kind IMAGE; None for others."""
        return decode_file(self.kind, self.body)

    @property
    def end_call(self) -> EndCall | None:
        """What the sender says who ends a call with this message; None where it is another message."""
        return EndCall.parse(self.text) if self.kind is MessageType.TEXT else None

    @property
    def server_time(self) -> float:
        """When the server accepted it, in seconds since 1970; to be shown, not to sort by."""
        return server_time(self.id)


@attrs.define
class ChannelMessage:
    """A message from another member of a channel."""

    channel: str
    sender: str
    kind: MessageType
    body: bytes = attrs.field(repr=False)
    id: int
    """Its position in the channel's log, the same for all members: the larger, the later."""
    description: str | None = attrs.field(default=None, repr=False)
    """What the sender has said about a raw message; None where he has said nothing."""

    @property
    def text(self) -> str:
        """The body as text; what is not UTF-8 is replaced by U+FFFD."""
        return self.body.decode("utf-8", "replace")

    @property
    def raw(self) -> bytes:
        """The body as it was sent."""
        return self.body

    @property
    def media(self) -> FileMessage | None:
        """What a message of the kind FILE says, or as an `ImageMessage` one of the kind IMAGE; None for others."""
        return decode_file(self.kind, self.body)

    @property
    def server_time(self) -> float:
        """When the server accepted it, in seconds since 1970; to be shown, not to sort by."""
        return server_time(self.id)


@attrs.define
class SendResult:
    """What became of a message to a peer."""

    status: SendStatus
    message_id: int
    """Its position in the receiver's inbox; 0 where it was not put there."""

    @property
    def server_time(self) -> float | None:
        """When the server accepted it, in seconds since 1970; None where it did not."""
        return server_time(self.message_id) if self.message_id else None


@attrs.define
class PublishResult:
    """The server accepted a message to a channel."""

    message_id: int
    """Its position in the channel's log."""

    @property
    def server_time(self) -> float:
        """When the server accepted it, in seconds since 1970."""
        return server_time(self.message_id)


@attrs.frozen
class JoinResult:
    """This client is a member of a channel."""

    channel: str
    count: int
    """Members of the channel, this one included."""
    position: int
    """The top of the channel's log at that moment: what comes after it is received."""


@attrs.frozen
class ChannelAttribute:
    """One attribute of a channel."""

    value: str = attrs.field(repr=False)
    writer: str
    """Who wrote it last."""
    server_time: float
    """When, in seconds since 1970."""


@attrs.frozen
class PeerStatus:
    """The online state of a user when it was asked for."""

    user: str
    online: bool
    state: PeerOnlineState
    """ONLINE or OFFLINE; a question never yields UNREACHABLE."""


@attrs.define
class HistoricalMessage:
    """A message that was kept in the history, or is stored for its receiver."""

    source: str
    destination: str
    channel: bool
    """Whether the destination is a channel."""
    kind: MessageType
    body: bytes = attrs.field(repr=False)
    id: int
    """Its position, as the receiver's `PeerMessage` or `ChannelMessage` has it."""
    description: str | None = attrs.field(default=None, repr=False)
    """What the sender has said about a raw message; None where he has said nothing."""

    @property
    def text(self) -> str:
        """The body as text; what is not UTF-8 is replaced by U+FFFD."""
        return self.body.decode("utf-8", "replace")

    @property
    def raw(self) -> bytes:
        """The body as it was sent."""
        return self.body

    @property
    def media(self) -> FileMessage | None:
        """What a message of the kind FILE says, or as an `ImageMessage` one of the kind IMAGE; None for others."""
        return decode_file(self.kind, self.body)

    @property
    def server_time(self) -> float:
        """When the server accepted it, in seconds since 1970."""
        return server_time(self.id)


@attrs.frozen
class HistoryPage:
    """Kept messages, and how many there are."""

    messages: tuple[HistoricalMessage, ...]
    count: int
    """All that fit the question to the history; for stored messages those that are left, this page included."""


@attrs.frozen
class UserEvent:
    """A user has come online, or gone offline: an event of the feed of users."""

    user: str
    online: bool
    """Whether he has logged in; otherwise his session is over, by a logout or by whatever else."""
    server_time: float
    """When, in seconds since 1970."""


@attrs.frozen
class MembershipEvent:
    """A user has joined or left a channel: an event of the feed of channels."""

    channel: str
    user: str
    joined: bool
    server_time: float
    """When, in seconds since 1970."""


EventT = TypeVar("EventT", UserEvent, MembershipEvent)


@attrs.frozen
class EventBatch(Generic[EventT]):
    """Events that were taken out of a feed, oldest first."""

    events: tuple[EventT, ...]
    lost: int
    """Events right before these that were dropped: the feed keeps `limits.EVENT_FEED_STORED`."""
    left: int
    """Events that are in the feed yet: take those, too."""
    epoch: str
    """Changes when the server has started again, which begins with empty feeds."""


@attrs.frozen
class ConnectionInfo:
    """How the connection stands."""

    state: ConnectionState | RtcConnectionState | RoomState
    reason: ConnectionChangeReason | RtcConnectionChangeReason | RoomErrorCode | None
    """Why the state was entered; None before the first login."""
    since: float
    """When the state was entered, in monotonic seconds of the driver's clock."""
    attempt: int
    """Number of the latest transport of this client object; 0 before the first."""
    next_attempt_in: float | None
    """Seconds until the next transport is opened; None where none is waited for."""
    cause: RtmError | None = None
    """Why the last attempt failed, while the client is not connected."""
