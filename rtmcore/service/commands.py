"""The seam between a node and its engine: commands in, answers and notices out, all values.

A node never touches shared state in any other way. No command assumes that its
answer comes at once: answers come as `Answer`, in order of issue per session and
in any order between sessions; a peer message is answered when its receiver has
acknowledged it, seconds later perhaps.
"""

from enum import IntEnum
from hashlib import sha256
from typing import Final, NamedTuple

import attrs

from rtmcore.codes import (
    GetMembersError,
    JoinChannelError,
    LeaveChannelError,
    LoginError,
    PeerOnlineState,
    SendChannelMessageError,
)

RTM: Final = "rtm"
RTC: Final = "rtc"
ROOM: Final = "room"
KINDS: Final = (RTM, RTC, ROOM)
"""The name spaces: nobody is kicked across them."""


class Name(NamedTuple):
    """Who a session belongs to: one live session for each."""

    app: str
    kind: str
    """The name space: `rtm`, `rtc` or `room`."""
    name: str
    """The user, the uid or the identity."""
    scope: str = ""
    """The RTC channel or the room that the name is good for; empty for `rtm`."""


class Place(NamedTuple):
    """Where an answer or notice goes: a transport of a session on a node."""

    node: str
    connection: int


@attrs.frozen
class Session:
    """The right to act for a name: the fence of its session, and the transport that speaks for it.

    An engine refuses a command (`Fenced`) unless the fence is the current one of
    the name, and the place the one that claimed it last.
    """

    name: Name
    fence: int
    place: Place


def media_secret(secret: str) -> str:
    """The secret with which the media connection of a room session opens: made from the session's, and no way back."""
    return sha256(b"media connection of " + secret.encode()).hexdigest()


# --- Commands ---------------------------------------------------------------


@attrs.frozen
class Claim:
    """Log a name in, or bring an instance back to its session. Answered by `Claimed` or `Refusal`."""

    name: Name
    place: Place
    iid: str
    attempt: int
    login: bool
    fence: int | None
    """The last fence of the instance, for a return."""
    secret: str | None = attrs.field(repr=False)
    """The secret that a return offers."""
    fresh_secret: str = attrs.field(repr=False)
    """The secret of the session if a new one begins (drawn by the driver)."""
    keepalive: float
    """Seconds of silence after which the session ends."""
    inbox: int | None
    """Up to where the instance has handed over its inbox."""
    floor: int
    authorized: bool
    """True where the token was verified; a return with a good secret needs no token."""


@attrs.frozen
class Silent:
    """A session has been heard for the last time at `since`; its transport may be gone or mute.

    The engine makes it UNREACHABLE 6 s and ends it `keepalive` seconds after `since`.
    """

    session: Session
    since: float
    gone: bool = False
    """True where the transport is gone: nothing can be written to it any more.

    The engine then sends no `InboxNotice` for it, and counts no later entry as written. May be told after a first
    `Silent` of a mute transport.
    """


@attrs.frozen
class Heard:
    """A session that was reported silent speaks again on the same transport.

    The entries that its inbox took while it was UNREACHABLE follow as `InboxNotice`.
    """

    session: Session


@attrs.frozen
class Release:
    """Logout: the session ends at once. Answered by `Settled`."""

    session: Session


@attrs.define
class PeerSend:
    """Put a message into the inbox of a user. Answered by `PeerOutcome`, late where the peer must acknowledge."""

    session: Session
    iid: str
    cmid: int
    floor: int
    to: str
    kind: int
    body: bytes = attrs.field(repr=False)
    offline: bool
    wait: float
    """Seconds that the sender waits."""
    history: bool = False
    """Keep it in the history: on the disk before the answer."""
    ttl: float | None = None
    """Seconds after which a stored message is dropped; None for the documented 7 days."""


@attrs.define
class Acknowledge:
    """The inbox up to a position was handed to the application. Not answered."""

    session: Session
    upto: int


@attrs.define
class ReadInbox:
    """Read entries after a position. Answered by `Page`."""

    session: Session
    after: int
    messages: int
    size: int
    """At most so many bytes of bodies, but at least one entry."""


@attrs.frozen
class JoinChannel:
    """Become a member. Answered by `Membership` or `Refusal`.

    With `restore`, a member stays one and nobody is told; a session that is no
    longer a member joins again. No rate limit applies.
    """

    session: Session
    cmid: int
    floor: int
    channel: str
    restore: bool = False


@attrs.frozen
class LeaveChannel:
    """Stop being a member. Answered by `Settled` or `Refusal`."""

    session: Session
    cmid: int
    floor: int
    channel: str


@attrs.define
class PublishMessage:
    """Append a message to the log of a channel. Answered by `Logged` or `Refusal`."""

    session: Session
    iid: str
    cmid: int
    floor: int
    channel: str
    kind: int
    body: bytes = attrs.field(repr=False)
    history: bool = False
    """Keep it in the history: on the disk before the answer."""


@attrs.frozen
class ReadChannel:
    """Read the window of a channel after a position. Answered by `Page`.

    Entries of the reader are not returned and not counted as lost.
    """

    session: Session
    channel: str
    after: int
    waited: float = 0.0
    """Seconds since the reader returned, at most `limits.REPLAY_DRAIN`: what was young enough then still is."""


@attrs.frozen
class ReadChannels:
    """Read the windows of several channels at once, the newest `limits.REPLAY_MAX` entries of all together.

    Answered by `Pages`. As `ReadChannel` otherwise: what is left out for the sake of the total counts as lost.
    """

    session: Session
    positions: tuple[tuple[str, int], ...]
    """Channels, each with the position to read after."""
    waited: float = 0.0
    """As for `ReadChannel`."""


@attrs.frozen
class ListMembers:
    """Ask who is in a channel. Answered by `Membership` or `Refusal`."""

    session: Session
    cmid: int
    floor: int
    channel: str


@attrs.frozen
class Watch:
    """A node wants the notices of a channel from now on. Not answered; no session needed.

    An RTC channel and a room are channels too, each in the name space of its kind.
    """

    app: str
    channel: str
    kind: str = RTM


@attrs.frozen
class Unwatch:
    """A node no longer wants the notices of a channel. Not answered."""

    app: str
    channel: str
    kind: str = RTM


@attrs.frozen
class SubscribePresence:
    """Be told of the online states of users. Answered by `Settled` or `Refusal` (with OVERFLOW above 512 in all).

    A `PresenceNotice` with the states of all who are new follows the answer. Ends with the session.
    """

    session: Session
    cmid: int
    floor: int
    users: tuple[str, ...]


@attrs.frozen
class UnsubscribePresence:
    """Be told of users no longer. Answered by `Settled`, also for unknown ones."""

    session: Session
    cmid: int
    floor: int
    users: tuple[str, ...]


@attrs.frozen
class WriteAttributes:
    """Replace all attributes of the session's user. Answered by `Settled`. They end with the session."""

    session: Session
    cmid: int
    floor: int
    attributes: tuple[tuple[str, str], ...] = attrs.field(repr=False)


@attrs.frozen
class ChangeAttributes:
    """Add, change or delete some attributes of the session's user.

    Answered by `Settled` or `Refusal` (SIZE_OVERFLOW).
    """

    session: Session
    cmid: int
    floor: int
    changed: tuple[tuple[str, str], ...] = attrs.field(repr=False)
    deleted: tuple[str, ...] = attrs.field(repr=False)


@attrs.frozen
class ReadAttributes:
    """Ask for the attributes of a user. Answered by `Attributes`, or `Refusal` (USER_NOT_FOUND: not online)."""

    session: Session
    cmid: int
    floor: int
    user: str
    keys: tuple[str, ...] | None = attrs.field(default=None, repr=False)
    """Only these; None for all."""


@attrs.frozen
class ChangeChannelAttributes:
    """Change the attributes of a channel. Answered by `Settled` when it is on the disk, or by `Refusal`.

    First the deleted ones go, then the changed ones are written. Refused with SIZE_OVERFLOW where the result would be
    too large, with FULL where the server holds no more of them, and with UNAVAILABLE where the disk failed.
    Those of a channel that nobody is in are dropped `limits.CHANNEL_ATTRIBUTES_GRACE` after it was left or written to.
    """

    session: Session
    cmid: int
    floor: int
    channel: str
    changed: tuple[tuple[str, str], ...] = attrs.field(repr=False)
    deleted: tuple[str, ...] = attrs.field(repr=False)
    replace: bool
    """Whether all others are deleted."""
    notify: bool
    """Whether an `AttributesNotice` goes to all nodes that watch the channel."""


@attrs.frozen
class ReadChannelAttributes:
    """Ask for the attributes of a channel. Answered by `ChannelAttributes`."""

    session: Session
    cmid: int
    floor: int
    channel: str
    keys: tuple[str, ...] | None = attrs.field(default=None, repr=False)


@attrs.frozen
class CountMembers:
    """Ask how many members channels have. Answered by `Counts`."""

    session: Session
    cmid: int
    floor: int
    channels: tuple[str, ...]


@attrs.frozen
class QueryPresence:
    """Ask for the online states of users. Answered by `States` (UNREACHABLE counts as ONLINE)."""

    session: Session
    cmid: int
    floor: int
    users: tuple[str, ...]


@attrs.frozen
class ListSubscriptions:
    """Ask for the users that the session has subscribed to. Answered by `UserNames`."""

    session: Session
    cmid: int
    floor: int


@attrs.frozen
class ListStored:
    """Ask for the entries of the session's inbox that are stored and not acknowledged. Answered by `Kept`."""

    session: Session
    cmid: int
    floor: int
    after: int
    messages: int
    size: int


@attrs.frozen
class DropStored:
    """Drop those entries. Answered by `Settled` when that is on the disk."""

    session: Session
    cmid: int
    floor: int


@attrs.frozen
class ReadHistory:
    """Ask for messages that were kept in the history. Answered by `Kept`, late: it is read from the disk.

    No session needed; whoever asks has judged the permission.
    """

    app: str
    asker: Session | None
    cmid: int
    source: str | None
    destination: str | None
    channel: bool
    start: int
    """Microseconds since 1970, included."""
    end: int
    """Microseconds since 1970, not included."""
    offset: int
    limit: int
    """0 asks for the count only."""
    ascending: bool


@attrs.frozen
class AttachMedia:
    """A media connection opens for a live room session. Answered by `Settled` or `Refusal`.

    `session` has the name and fence of the room session and the place of the media connection. A later one with a
    greater attempt replaces it. It ends with the session (`Ended` with this `session`), not with its signaling.
    """

    session: Session
    secret: str = attrs.field(repr=False)
    """The media secret that the client offers; see `media_secret`."""
    attempt: int


@attrs.frozen
class DetachMedia:
    """A media connection is gone. Not answered."""

    session: Session


@attrs.define
class SendData:
    """Send a data frame to all others in the room or RTC channel. Not answered, not kept.

    `session` is that of `AttachMedia` for a room, and the session itself for RTC.
    """

    session: Session
    track: str
    n: int
    body: bytes = attrs.field(repr=False)


@attrs.frozen
class Ban:
    """Keep a name out: its session ends at once, and each claim is refused until `Unban`. No session needed.

    Answered by `Settled`, by an engine with a disk when the ban is on it; or by `Refusal` with FULL. Of a banned
    name it changes the text.
    """

    name: Name
    text: str
    """Why, for people: what a refused login says."""
    key: str = attrs.field(default="", repr=False)
    """As for `SendAs`; an empty one is no key."""


@attrs.frozen
class Unban:
    """Let a name in again. No session needed. Answered by `Settled`, as `Ban` is; also for a name without a ban."""

    name: Name
    key: str = attrs.field(default="", repr=False)
    """As for `SendAs`; an empty one is no key."""


@attrs.frozen
class Kick:
    """End the session of a name, as a ban does; its next login is welcome. No session needed. Answered by `PutOut`.

    Until that login its instance is refused like a banned one when it returns by itself, so that a client which has
    no transport at this moment learns of it too. A command with the key of an earlier one is not carried out; see
    `SendAs`.
    """

    number: int
    """Tells the commands of a node apart."""
    name: Name
    key: str = attrs.field(repr=False)
    """An empty one is no key."""
    text: str
    """Why, for people."""


@attrs.frozen
class Expel:
    """Take a member out of a channel. No session needed. Answered by `PutOut`.

    He may join again. Until his instance does, or logs in, a restored session does not bring him back.
    """

    number: int
    name: Name
    key: str = attrs.field(repr=False)
    """As for `Kick`."""
    channel: str
    text: str
    """Why, for people."""


@attrs.frozen
class CheckBearer:
    """Ask whether a name may act with what it was given at a time. No session needed.

    Answered by `Settled`, or by `Refusal`: with `BANNED` of a banned name, with UNAUTHORIZED of one that was kicked
    since.
    """

    number: int
    """Tells the commands of a node apart."""
    name: Name
    since: int
    """When it was given, in milliseconds since 1970."""


@attrs.frozen
class Record:
    """Whether the events of an app are recorded in its feeds. They are not at first. Not answered."""

    app: str
    on: bool
    """False forgets those that are recorded."""


@attrs.frozen
class TakeEvents:
    """Take the oldest events out of a feed. No session needed. Answered by `Events`.

    A command with the key of an earlier one takes nothing, and gets that one's events.
    """

    number: int
    app: str
    key: str = attrs.field(repr=False)
    """As for `Kick`."""
    channels: bool
    """The feed of channels; otherwise that of users."""


@attrs.frozen
class SendAs:
    """Put a message into the inbox of a user on behalf of a name that need not be logged in. No session needed.

    Whoever asks has judged the permission. Answered by `PeerOutcome`, `Accepted` or `Refusal`; a command with the key
    of one of the last `limits.IDEMPOTENCY_SECONDS` is not carried out, and gets that one's answer.
    """

    number: int
    """Tells the commands of a node apart."""
    name: Name
    """The sender."""
    key: str = attrs.field(repr=False)
    to: str
    kind: int
    body: bytes = attrs.field(repr=False)
    offline: bool
    acknowledged: bool
    """Whether a receiver who is online has to acknowledge the message before the answer."""
    wait: float
    """Seconds that the sender waits."""
    history: bool = False
    ttl: float | None = None


@attrs.frozen
class PublishAs:
    """Append a message to the log of a channel on behalf of a name that need not be a member. No session needed.

    Answered by `Logged` or `Refusal`, and repeated as `SendAs` is.
    """

    number: int
    name: Name
    """The author."""
    key: str = attrs.field(repr=False)
    channel: str
    kind: int
    body: bytes = attrs.field(repr=False)
    history: bool = False


@attrs.frozen
class CountMembersOf:
    """Ask how many members channels of an app have. No session needed. Answered by `Counts`."""

    number: int
    app: str
    channels: tuple[str, ...]


Command = (
    Claim
    | Silent
    | Heard
    | Release
    | PeerSend
    | Acknowledge
    | ReadInbox
    | JoinChannel
    | LeaveChannel
    | PublishMessage
    | ReadChannel
    | ReadChannels
    | ListMembers
    | Watch
    | Unwatch
    | SubscribePresence
    | UnsubscribePresence
    | WriteAttributes
    | ChangeAttributes
    | ReadAttributes
    | ChangeChannelAttributes
    | ReadChannelAttributes
    | CountMembers
    | QueryPresence
    | ListSubscriptions
    | ListStored
    | DropStored
    | ReadHistory
    | AttachMedia
    | DetachMedia
    | SendData
    | Ban
    | Unban
    | SendAs
    | PublishAs
    | CountMembersOf
    | Kick
    | Expel
    | CheckBearer
    | Record
    | TakeEvents
)


# --- Values of answers --------------------------------------------------------


@attrs.frozen
class Claimed:
    """The name is the claimer's."""

    fence: int
    secret: str = attrs.field(repr=False)
    resumed: bool
    """The session lived on. Under a new epoch it did so without its channels, subscriptions and attributes."""
    epoch: str
    inbox: int
    """The acknowledged position of the inbox."""


@attrs.define
class Logged:
    """A message was appended to a channel's log."""

    id: int
    prev: int


@attrs.define
class PeerOutcome:
    """What became of a peer message: DELIVERED 0, PEER_UNREACHABLE 3 or CACHED 4."""

    code: int
    id: int = 0


@attrs.frozen
class Accepted:
    """A message is in the inbox of a user who is online; nobody waits for his acknowledgement."""


@attrs.define
class Entry:
    """An entry of a log: of an inbox, or of a channel (where `offline` and `again` are False)."""

    id: int
    prev: int
    user: str
    iid: str
    cmid: int
    kind: int
    body: bytes = attrs.field(repr=False)
    offline: bool = False
    again: bool = False


@attrs.define
class Page:
    """Entries of a log after a position, oldest first."""

    entries: list[Entry]
    top: int
    """The last position of the log."""
    lost: int
    """Entries after the position that are gone and were not the reader's own."""
    complete: bool
    """True where the page reaches the top."""


@attrs.frozen
class Pages:
    """Pages of several channels, in the order in which they were asked for, without those left meanwhile."""

    pages: tuple[tuple[str, Page], ...]
    """Each complete, with a count of its own of what is lost."""


@attrs.frozen
class Membership:
    """The state of a channel for a member."""

    position: int
    """The top of the channel's log when this was answered."""
    version: int
    """Counts up with each change of the members."""
    count: int
    users: tuple[str, ...] | None
    """All members; for `ListMembers` 512 at random of a larger channel, otherwise None above 512."""
    unreachable: tuple[str, ...] = ()
    """In a room: those of them who are UNREACHABLE."""


@attrs.frozen
class Attributes:
    """The attributes of a user."""

    attributes: tuple[tuple[str, str], ...] = attrs.field(repr=False)


@attrs.frozen
class ChannelAttributeValue:
    """One attribute of a channel."""

    value: str = attrs.field(repr=False)
    user: str
    at: int
    """Microseconds since 1970."""


@attrs.frozen
class ChannelAttributes:
    """The attributes of a channel."""

    attributes: tuple[tuple[str, ChannelAttributeValue], ...] = attrs.field(repr=False)


@attrs.frozen
class Counts:
    """Members by channel, in the order that was asked for; 0 where there is no such channel."""

    counts: tuple[tuple[str, int], ...]


@attrs.frozen
class States:
    """Online states of users."""

    states: tuple[tuple[str, PeerOnlineState], ...]


@attrs.frozen
class UserNames:
    """Users."""

    users: tuple[str, ...]


@attrs.define
class KeptEntry:
    """A message of the history, or a stored one."""

    id: int
    source: str
    destination: str
    channel: bool
    kind: int
    body: bytes = attrs.field(repr=False)


@attrs.frozen
class Kept:
    """A page of kept messages, and how many there are in all."""

    messages: tuple[KeptEntry, ...]
    count: int


@attrs.frozen
class PutOut:
    """What became of an order to put somebody out."""

    there: bool
    """False where there was nobody to be put out."""


class FeedEvent(NamedTuple):
    """A user has come online or gone offline, or has joined or left a channel."""

    user: str
    began: bool
    """Whether he has come online, or joined."""
    at: int
    """Microseconds since 1970."""
    channel: str = ""
    """Empty in the feed of users."""


@attrs.frozen
class Events:
    """The oldest events of a feed, in the order in which they happened."""

    events: tuple[FeedEvent, ...]
    lost: int
    """Events right before these that were dropped, because nobody took them in time."""
    left: int
    """Events that are in the feed yet."""
    epoch: str
    """Another one after each start of the engine, which begins with empty feeds."""


@attrs.frozen
class Settled:
    """The command was carried out, and there is nothing to say."""


class Trouble(IntEnum):
    """Reasons of the engine that have no documented code of their own."""

    FENCED = 1
    """The session or its transport is no longer current."""
    STALE_ATTEMPT = 2
    """An attempt that is not greater than the last of its instance."""
    SUPERSEDED = 3
    """A return to a name that a newer login holds: the client is to end in ABORTED / REMOTE_LOGIN."""
    UNAUTHORIZED = 4
    """A return whose secret is not that of the session, without a verified token; or the bearer of something that was
    given to him before he was put out."""
    UNAVAILABLE = 5
    """The engine could not do it now; nothing has changed."""
    FULL = 6
    """A cap on stored messages, or on bans, is reached."""
    FORGOTTEN = 7
    """A request below the floor or beyond the results kept: never executed."""
    TIMED_OUT = 8
    """The peer did not acknowledge in time; the outcome is unknown."""


@attrs.frozen
class Refusal:
    """The command was not carried out."""

    code: IntEnum
    """`Trouble`, or a member of the operation's documented enumeration."""
    text: str
    retry_after: float | None = None


NOT_A_MEMBER: Final = {
    PublishMessage: SendChannelMessageError.NOT_IN_CHANNEL,
    LeaveChannel: LeaveChannelError.NOT_IN_CHANNEL,
    ReadChannel: GetMembersError.NOT_IN_CHANNEL,
    ListMembers: GetMembersError.NOT_IN_CHANNEL,
}
"""The documented code for a channel that the session has not joined, by command."""

EXPELLED: Final = JoinChannelError.REJECTED
"""The code of a channel that a returning client was taken out of."""

ALREADY_JOINED: Final = JoinChannelError.ALREADY_JOINED
TOO_MANY_CHANNELS: Final = JoinChannelError.EXCEED_LIMIT
BANNED: Final = LoginError.REJECTED

Value = (
    Claimed
    | Logged
    | PeerOutcome
    | Accepted
    | Page
    | Pages
    | Membership
    | Attributes
    | ChannelAttributes
    | Counts
    | States
    | UserNames
    | Kept
    | PutOut
    | Events
    | Settled
    | Refusal
)


# --- Outputs ------------------------------------------------------------------


@attrs.define
class Answer:
    """The result of a command, for the node that issued it or that now holds the session."""

    command: Command
    value: Value


@attrs.define
class InboxNotice:
    """An entry was appended to the inbox of a session on this node."""

    session: Session
    entry: Entry


@attrs.define
class ChannelNotice:
    """An entry was appended to the log of a watched channel."""

    app: str
    channel: str
    entry: Entry
    author: Name
    kind: str = RTM


@attrs.frozen
class MemberNotice:
    """A user joined or left a watched channel."""

    app: str
    channel: str
    user: str
    joined: bool
    version: int
    count: int
    kind: str = RTM
    dropped: bool = False
    """For one who left: by silence."""


@attrs.frozen
class AttributesNotice:
    """The attributes of a watched channel were changed, and its members are to be told: all of them."""

    app: str
    channel: str
    attributes: tuple[tuple[str, ChannelAttributeValue], ...] = attrs.field(repr=False)
    kind: str = RTM


@attrs.frozen
class MemberStateNotice:
    """A participant of a watched room has become UNREACHABLE, or is ONLINE again."""

    app: str
    channel: str
    user: str
    state: PeerOnlineState
    kind: str = ROOM


@attrs.define
class DataNotice:
    """A data frame was sent to a watched room or RTC channel."""

    app: str
    channel: str
    author: Name
    track: str
    n: int
    body: bytes = attrs.field(repr=False)
    kind: str = ROOM


@attrs.frozen
class PresenceNotice:
    """Online states of users that a session on this node has subscribed to.

    After a resume: those of all of them, since changes may have been missed.
    """

    session: Session
    states: tuple[tuple[str, PeerOnlineState], ...]


class Ending(IntEnum):
    """Why a transport is no longer the one that speaks for its name."""

    REPLACED = 1
    """A newer transport of the same instance took over: close it, tell nobody."""
    REMOTE_LOGIN = 2
    """Another instance logged in."""
    BANNED = 3
    """The name was banned, or kicked."""
    EXPIRED = 4
    """The session was silent for too long, or the engine lost it."""


@attrs.frozen
class ExpelNotice:
    """A session of this node was taken out of a channel. The others are told by `MemberNotice`."""

    session: Session
    channel: str
    text: str


@attrs.frozen
class ShutOut:
    """A name was banned or kicked: what goes on for it without a session is over too. For all nodes."""

    name: Name
    text: str
    """Why, for people."""


@attrs.frozen
class Ended:
    """A session of this node, or its transport, has ended."""

    session: Session
    reason: Ending
    text: str = ""
    """What is to be said of it, where there is more to say than the reason."""


Output = (
    Answer
    | InboxNotice
    | ChannelNotice
    | MemberNotice
    | AttributesNotice
    | MemberStateNotice
    | DataNotice
    | PresenceNotice
    | ExpelNotice
    | ShutOut
    | Ended
)
