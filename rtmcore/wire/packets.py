"""The packets of the protocol `rtm.v1`, one attrs class each.

A WebSocket message is an array of packets; a packet is ``[tag, fields]``. The
same classes are used for sending and for receiving, so that two cores can be
wired back to back. `docs/protocol` specifies every packet for people who write
clients in other languages; the names of the fields there are the names here.

Field names are short where a packet is on the hot path: ``i`` is the request
id (the client message id, counting up per client instance), ``ch`` a channel,
``id`` the position of a log entry and ``prev`` the position before it.

The classes are slotted and not frozen: building a frozen one costs four times
as much, and these are built for each message.
"""

from typing import Annotated, Any, Final

import attrs
from msgspec import Meta

Count = Annotated[int, Meta(ge=0, le=2**53 - 1)]
"""A non-negative integer that JavaScript can hold exactly."""

WEBSOCKET_PATH: Final = "/rtm/v1"
"""Where a server offers this protocol."""

RAW_DESCRIBED: Final = 0x12
"""Kind of a raw message with a description: its body begins with the description's size in two bytes, most significant
first, and the description in UTF-8; the rest is the message."""

INVITATION: Final = 0x20
"""Kind of a peer message that carries a call invitation's signal: its body is an `InvitationSignal` as JSON."""

_hidden: Final[Any] = {"repr": False}


# --- Client to server: the session -----------------------------------------


@attrs.define
class ChannelPosition:
    """Where a returning client stands in one channel."""

    ch: str
    id: Count
    """Position of the last entry seen."""
    version: Count
    """Version of the member list that the client knows."""


@attrs.define
class Hello:
    """The first packet of a connection: a login, or a return to a session."""

    app: str
    user: str
    iid: str
    """The client instance: random per client object, 16 to 32 characters."""
    attempt: Count
    """Counts up with each transport of an instance."""
    login: bool
    """True where the application called login, False where the client returns by itself."""
    token: str | None = attrs.field(default=None, **_hidden)
    """None where the server asks for none."""
    fence: Count | None = None
    """Fence of the last session of this instance, for a return."""
    secret: str | None = attrs.field(default=None, **_hidden)
    """Secret of that session, from its welcome."""
    inbox: Count | None = None
    """Position in the inbox up to which messages were handed to the application."""
    channels: list[ChannelPosition] = attrs.field(factory=list)
    """Channels to restore, with the position in each."""
    floor: Count = 0
    """The oldest request id that the client may still repeat."""
    window: Count = 0
    """Inbox messages that may be unacknowledged; 0 means the server's default."""
    window_bytes: Count = 0
    """The same in bytes; 0 means the server's default."""
    kind: str = "rtm"
    """The name space that the user belongs to: `rtm`, `rtc` or `room`."""
    scope: str = ""
    """The RTC channel or the room; empty for `rtm`."""
    replay_total: bool = False
    """Replay the newest messages of all channels together, not of each channel."""
    sdk: str = ""


@attrs.define
class Bye:
    """A logout. It names its fence, so that a late one touches nothing newer."""

    fence: Count | None = None
    """None where the welcome has not arrived yet: the session of this connection."""


@attrs.define
class Beat:
    """Sent by a side that has sent nothing else for a beat interval."""


@attrs.define
class Floor:
    """The oldest request id that the client may still repeat has moved."""

    i: Count


@attrs.define
class Ack:
    """All inbox entries up to this position were handed to the application."""

    id: Count


@attrs.define
class Sync:
    """A question about a gap: the server reads the log from a position to its top.

    The entries follow as ordinary messages, and a `Top` ends the answer.
    """

    id: Count
    ch: str | None = None
    """The channel, or None for the inbox."""


# --- Client to server: requests, each answered once ------------------------


@attrs.define
class SendPeer:
    """Send a message to a user."""

    i: Count
    to: str
    kind: Count
    """A `MessageType`: 1 text, 2 raw, 3 a file, 4 an image; see also `RAW_DESCRIBED`."""
    body: bytes = attrs.field(**_hidden)
    offline: bool = False
    """Store the message where the peer is offline."""
    wait: Count = 0
    """Milliseconds that the sender waits for the acknowledgement; 0 means the server's default."""
    history: bool = False
    """Keep the message in the history."""
    ttl: Count = 0
    """Milliseconds after which a message that is stored for its receiver is dropped; 0 means the documented 7 days."""


@attrs.define
class Publish:
    """Send a message to a channel that the sender has joined."""

    i: Count
    ch: str
    kind: Count
    body: bytes = attrs.field(**_hidden)
    history: bool = False
    """Keep the message in the history."""


@attrs.define
class Join:
    """Join a channel."""

    i: Count
    ch: str


@attrs.define
class Leave:
    """Leave a channel."""

    i: Count
    ch: str


@attrs.define
class GetMembers:
    """Ask for the members of a channel that the asker has joined."""

    i: Count
    ch: str


@attrs.define
class RenewToken:
    """Hand over a new token for the session."""

    i: Count
    token: str = attrs.field(**_hidden)


@attrs.define
class Subscribe:
    """Subscribe to the online state of users."""

    i: Count
    users: list[str]
    restore: bool = False
    """What was subscribed to before the session was lost: no rate limit applies."""


@attrs.define
class Unsubscribe:
    """Unsubscribe from the online state of users."""

    i: Count
    users: list[str]


@attrs.define
class SetAttributes:
    """Replace all attributes of the sender."""

    i: Count
    attributes: dict[str, str] = attrs.field(**_hidden)
    restore: bool = False
    """What was set before the session was lost: no rate limit applies."""


@attrs.define
class UpdateAttributes:
    """Add, change or delete some attributes of the sender."""

    i: Count
    changed: dict[str, str] = attrs.field(factory=dict, **_hidden)
    deleted: list[str] = attrs.field(factory=list, **_hidden)
    """Keys; unknown ones are no error."""


@attrs.define
class GetAttributes:
    """Ask for the attributes of a user, who must be online."""

    i: Count
    user: str
    keys: list[str] | None = attrs.field(default=None, **_hidden)
    """Only these; None for all."""


@attrs.define
class SetChannelAttributes:
    """Replace all attributes of a channel. The sender need not be a member."""

    i: Count
    ch: str
    attributes: dict[str, str] = attrs.field(**_hidden)
    notify: bool = False
    """Tell all members of the channel."""


@attrs.define
class UpdateChannelAttributes:
    """Add, change or delete some attributes of a channel."""

    i: Count
    ch: str
    changed: dict[str, str] = attrs.field(factory=dict, **_hidden)
    deleted: list[str] = attrs.field(factory=list, **_hidden)
    """Keys; unknown ones are no error."""
    notify: bool = False
    """Tell all members of the channel."""


@attrs.define
class GetChannelAttributes:
    """Ask for the attributes of a channel. The asker need not be a member."""

    i: Count
    ch: str
    keys: list[str] | None = attrs.field(default=None, **_hidden)
    """Only these; None for all."""


@attrs.define
class GetMemberCounts:
    """Ask how many members channels have. The asker need not be one."""

    i: Count
    channels: list[str]


@attrs.define
class QueryOnline:
    """Ask for the online states of users, now."""

    i: Count
    users: list[str]


@attrs.define
class GetSubscriptions:
    """Ask for the users that the sender has subscribed to."""

    i: Count


@attrs.define
class GetStored:
    """Ask for the messages that are stored for the sender and not acknowledged yet, oldest first."""

    i: Count
    after: Count = 0
    """Only those with a greater id: the last of the page before."""


@attrs.define
class FlushStored:
    """Drop all messages that are stored for the sender and not acknowledged yet."""

    i: Count


@attrs.define
class QueryHistory:
    """Ask for kept messages of the last 7 days, to or from the sender or to a channel that he is in."""

    i: Count
    source: str | None = None
    destination: str | None = None
    """A user or a channel; source and destination are not both None."""
    channel: bool = False
    """Whether the destination is a channel."""
    start: Count = 0
    """Milliseconds since 1970, included."""
    end: Count = 0
    """Milliseconds since 1970, not included; 0 means now."""
    offset: Count = 0
    limit: Count = 20
    """20, 50 or 100."""
    ascending: bool = False
    """Oldest first; otherwise newest first."""
    count: bool = False
    """Ask only how many there are."""


@attrs.define
class TicketRequest:
    """Ask for a ticket, with which files are uploaded and downloaded over HTTP."""

    i: Count


# --- Client to server: data ------------------------------------------------


@attrs.define
class MediaHello:
    """The first packet of the media connection of a room session."""

    app: str
    user: str
    scope: str
    """The room."""
    fence: Count
    """Of the room session."""
    secret: str = attrs.field(**_hidden)
    """The media secret, from the welcome of the room session."""
    attempt: Count = 0
    """Counts up with each media connection of a session."""


@attrs.define
class Data:
    """A data frame for all others in the room or RTC channel; not answered."""

    n: Count
    """Counts up with each frame of a track."""
    body: bytes = attrs.field(**_hidden)
    track: str = ""
    """Name of the data track; empty for stream messages of RTC."""


# --- Server to client: the session -----------------------------------------


@attrs.define
class Welcome:
    """The answer to a hello that was accepted."""

    fence: Count
    secret: str = attrs.field(**_hidden)
    resumed: bool
    """True where the session, its membership and its pending requests lived on."""
    epoch: str
    """Changes when the server lost its memory of members and windows."""
    node: str
    now: Count
    """The server's clock in milliseconds since 1970."""
    durability: str
    """`memory`, `disk` or `replicated`: what an accepted offline message survives."""
    inbox: Count
    """The acknowledged position of the inbox; entries after it follow."""
    beat: Count
    """Milliseconds after which a silent side sends a `Beat`."""
    interrupted: Count
    """Milliseconds of silence after which the client counts as interrupted."""
    unreachable: Count
    """Milliseconds of silence after which others see UNREACHABLE."""
    offline: Count
    """Milliseconds of silence after which the session ends and others see OFFLINE."""
    limits: dict[str, int]
    """Sizes and counts by name, as listed in docs/protocol."""
    token_policy: str
    """`keep` or `abort`: what an expired token does to a connected session."""
    token_expires: Count | None = None
    """When the token expires, in milliseconds since 1970."""
    media: str | None = attrs.field(default=None, **_hidden)
    """The media secret of a room session; None for other kinds."""


@attrs.define
class Refused:
    """The answer to a hello that was not accepted; the server closes afterwards."""

    code: Count
    """A `LoginError`."""
    text: str
    retry: Count | None = None
    """Milliseconds to wait before the next attempt."""
    detail: Count = 0
    """For the kind `room`: a `RoomErrorCode`; 0 where there is none."""


@attrs.define
class Restored:
    """The answer for one channel of the hello."""

    ch: str
    code: Count = 0
    """A `JoinChannelError`; 0 where the client is a member."""
    text: str = ""


@attrs.define
class Ready:
    """All channels of the hello were answered: the session is restored."""


@attrs.define
class Kicked:
    """The session has ended for good; the close code follows."""

    reason: Count
    """A `ConnectionChangeReason`."""
    text: str = ""


# --- Server to client: answers ---------------------------------------------


@attrs.define
class Done:
    """A request succeeded and has nothing more to say."""

    i: Count


@attrs.define
class Failed:
    """A request failed."""

    i: Count
    code: Count
    """A code of the operation's error enumeration."""
    text: str
    retry: Count | None = None
    """Milliseconds after which a repeat may succeed."""


@attrs.define
class Published:
    """A channel message was accepted: its place in the channel's log."""

    i: Count
    id: Count
    prev: Count


@attrs.define
class PeerSent:
    """A peer message was delivered (0), stored (4), or the peer is offline (3)."""

    i: Count
    code: Count
    id: Count = 0


@attrs.define
class Joined:
    """The client is a member; `Roster` tells of whom else before this answer."""

    i: Count
    id: Count
    """The top of the channel's log: the client's first position."""


@attrs.define
class Renewed:
    """The new token is in force."""

    i: Count
    expires: Count | None = None
    """When it expires, in milliseconds since 1970; None for never."""
    now: Count = 0
    """The server's clock in milliseconds since 1970."""


@attrs.define
class AttributeList:
    """The attributes of a user."""

    i: Count
    attributes: dict[str, str] = attrs.field(**_hidden)


@attrs.define
class WrittenAttribute:
    """One attribute of a channel."""

    value: str = attrs.field(**_hidden)
    user: str
    """Who wrote it last."""
    at: Count
    """When, in milliseconds since 1970."""


@attrs.define
class ChannelAttributeList:
    """The attributes of a channel."""

    i: Count
    attributes: dict[str, WrittenAttribute] = attrs.field(**_hidden)


@attrs.define
class MemberCounts:
    """How many members channels have; 0 where there is no such channel."""

    i: Count
    counts: dict[str, Count]


@attrs.define
class OnlineList:
    """Online states of users: ONLINE or OFFLINE."""

    i: Count
    states: dict[str, Count]


@attrs.define
class UserList:
    """Users, as asked for."""

    i: Count
    users: list[str]


@attrs.define
class KeptMessage:
    """A message in the history, or one that is stored for its receiver."""

    id: Count
    """Its position: the server's clock in microseconds when it was accepted."""
    source: str
    destination: str
    kind: Count
    body: bytes = attrs.field(**_hidden)
    channel: bool = False


@attrs.define
class MessagePage:
    """Kept messages, in the order that was asked for."""

    i: Count
    messages: list[KeptMessage]
    count: Count
    """For a history: all that fit the question. For stored messages: those left, this page included."""


@attrs.define
class TransferTicket:
    """A ticket for uploads and downloads over HTTP."""

    i: Count
    ticket: str = attrs.field(**_hidden)
    expires: Count
    """When it ends, in milliseconds since 1970."""
    now: Count
    """The server's clock in milliseconds since 1970."""
    may: list[str]
    """What it permits: `up` and `down`, or one of them."""


@attrs.define
class MemberList:
    """Members of a channel: all, or a random 512 of a larger one."""

    i: Count
    users: list[str]


# --- Server to client: messages and state ----------------------------------


@attrs.define
class ChannelEntry:
    """A message in a channel's log."""

    ch: str
    id: Count
    prev: Count
    user: str
    iid: str
    i: Count
    """Instance and request id of the sender: the message's origin."""
    kind: Count
    body: bytes = attrs.field(**_hidden)


@attrs.define
class InboxEntry:
    """A message in a user's inbox."""

    id: Count
    prev: Count
    user: str
    iid: str
    i: Count
    kind: Count
    body: bytes = attrs.field(**_hidden)
    offline: bool = False
    """Stored while the receiver was offline."""
    again: bool = False
    """May have been handed over before, to another client object."""


@attrs.define
class Top:
    """A log was read to its top: so many entries after the asked position are lost."""

    id: Count
    lost: Count
    ch: str | None = None


@attrs.define
class Roster:
    """All members of a channel (None where there are more than 512)."""

    ch: str
    version: Count
    count: Count
    users: list[str] | None = None
    unreachable: list[str] = attrs.field(factory=list)
    """In a room: those of them who are reconnecting."""


@attrs.define
class MemberChanged:
    """A user joined or left a channel."""

    ch: str
    user: str
    joined: bool
    version: Count
    count: Count
    dropped: bool = False
    """For one who has left: by silence, not by leaving or logging out."""


@attrs.define
class MemberState:
    """A participant of a room is reconnecting, or is back."""

    ch: str
    user: str
    state: Count
    """A `PeerOnlineState`: ONLINE or UNREACHABLE."""


@attrs.define
class MemberCount:
    """How many members a channel has now: on one's own join, then at most once a second, above 512 every 3 s."""

    ch: str
    count: Count


@attrs.define
class Expelled:
    """Whoever runs the service has taken this client out of a channel."""

    ch: str
    text: str = ""


@attrs.define
class ChannelAttributesChanged:
    """Somebody changed the attributes of a channel and wanted its members to know: all of them."""

    ch: str
    attributes: dict[str, WrittenAttribute] = attrs.field(**_hidden)


@attrs.define
class PeerStates:
    """The online states of users that the client has subscribed to: all new ones, or what has changed."""

    states: dict[str, Count]
    """A `PeerOnlineState` by user."""


# --- Server to client: data ------------------------------------------------


@attrs.define
class MediaWelcome:
    """The answer to a media hello that was accepted."""

    beat: Count
    """Milliseconds after which a silent side sends a `Beat`."""
    interrupted: Count
    """Milliseconds of silence after which the media connection counts as interrupted."""


@attrs.define
class DataEntry:
    """A data frame of another participant; older ones are dropped where the receiver is slow."""

    user: str
    n: Count
    """The sender's number: a gap means dropped frames."""
    body: bytes = attrs.field(**_hidden)
    track: str = ""


@attrs.define
class Unknown:
    """A packet of a tag that this side does not know.

    Where it is a request (`i` is a number), the server answers with an error;
    otherwise it is ignored, so that newer peers can say more.
    """

    i: Count | None = None


Packet = (
    Hello
    | Bye
    | Beat
    | Floor
    | Ack
    | Sync
    | SendPeer
    | Publish
    | Join
    | Leave
    | GetMembers
    | RenewToken
    | Subscribe
    | Unsubscribe
    | SetAttributes
    | UpdateAttributes
    | GetAttributes
    | SetChannelAttributes
    | UpdateChannelAttributes
    | GetChannelAttributes
    | GetMemberCounts
    | QueryOnline
    | GetSubscriptions
    | GetStored
    | FlushStored
    | QueryHistory
    | TicketRequest
    | MediaHello
    | Data
    | Welcome
    | Refused
    | Restored
    | Ready
    | Kicked
    | Done
    | Failed
    | Published
    | PeerSent
    | Joined
    | Renewed
    | AttributeList
    | ChannelAttributeList
    | MemberCounts
    | OnlineList
    | UserList
    | MessagePage
    | TransferTicket
    | MemberList
    | ChannelEntry
    | InboxEntry
    | Top
    | Roster
    | MemberChanged
    | MemberState
    | MemberCount
    | Expelled
    | ChannelAttributesChanged
    | PeerStates
    | MediaWelcome
    | DataEntry
    | Unknown
)

Request = (
    SendPeer
    | Publish
    | Join
    | Leave
    | GetMembers
    | RenewToken
    | Subscribe
    | Unsubscribe
    | SetAttributes
    | UpdateAttributes
    | GetAttributes
    | SetChannelAttributes
    | UpdateChannelAttributes
    | GetChannelAttributes
    | GetMemberCounts
    | QueryOnline
    | GetSubscriptions
    | GetStored
    | FlushStored
    | QueryHistory
    | TicketRequest
)
"""Packets with a request id, each answered exactly once."""

TAGS: Final[dict[str, type[Any]]] = {
    "hello": Hello,
    "bye": Bye,
    "beat": Beat,
    "floor": Floor,
    "ack": Ack,
    "sync": Sync,
    "send": SendPeer,
    "publish": Publish,
    "join": Join,
    "leave": Leave,
    "members": GetMembers,
    "renew": RenewToken,
    "subscribe": Subscribe,
    "unsubscribe": Unsubscribe,
    "set_attributes": SetAttributes,
    "update_attributes": UpdateAttributes,
    "get_attributes": GetAttributes,
    "set_channel_attributes": SetChannelAttributes,
    "update_channel_attributes": UpdateChannelAttributes,
    "get_channel_attributes": GetChannelAttributes,
    "get_counts": GetMemberCounts,
    "query_online": QueryOnline,
    "get_subscriptions": GetSubscriptions,
    "get_stored": GetStored,
    "flush_stored": FlushStored,
    "history": QueryHistory,
    "ticket": TicketRequest,
    "media": MediaHello,
    "data": Data,
    "welcome": Welcome,
    "refused": Refused,
    "restored": Restored,
    "ready": Ready,
    "kicked": Kicked,
    "done": Done,
    "failed": Failed,
    "published": Published,
    "sent": PeerSent,
    "joined": Joined,
    "renewed": Renewed,
    "attributes": AttributeList,
    "channel_attributes": ChannelAttributeList,
    "counts": MemberCounts,
    "online": OnlineList,
    "users": UserList,
    "messages": MessagePage,
    "transfer_ticket": TransferTicket,
    "member_list": MemberList,
    "channel": ChannelEntry,
    "inbox": InboxEntry,
    "top": Top,
    "roster": Roster,
    "member": MemberChanged,
    "member_state": MemberState,
    "member_count": MemberCount,
    "expelled": Expelled,
    "channel_attributes_changed": ChannelAttributesChanged,
    "peer_states": PeerStates,
    "media_welcome": MediaWelcome,
    "frame": DataEntry,
}
"""The tag of each packet on the wire."""
