"""Channels and rooms: their members, their logs, and the nodes that watch them."""

from typing import Final

import attrs

from rtmcore.codes import (
    GetMembersError,
    JoinChannelError,
    LeaveChannelError,
    PeerOnlineState,
    SendChannelMessageError,
)
from rtmcore.service.commands.entries import Entry, Page
from rtmcore.service.commands.messages import PublishMessage
from rtmcore.service.commands.names import ROOM, RTM, Name, Session


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
class CountMembers:
    """Ask how many members channels have. Answered by `Counts`."""

    session: Session
    cmid: int
    floor: int
    channels: tuple[str, ...]


@attrs.frozen
class CountMembersOf:
    """Ask how many members channels of an app have. No session needed. Answered by `Counts`."""

    number: int
    app: str
    channels: tuple[str, ...]


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
class Pages:
    """Pages of several channels, in the order in which they were asked for, without those left meanwhile."""

    pages: tuple[tuple[str, Page], ...]
    """Each complete, with a count of its own of what is lost."""


@attrs.frozen
class Counts:
    """Members by channel, in the order that was asked for; 0 where there is no such channel."""

    counts: tuple[tuple[str, int], ...]


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
class MemberStateNotice:
    """A participant of a watched room has become UNREACHABLE, or is ONLINE again."""

    app: str
    channel: str
    user: str
    state: PeerOnlineState
    kind: str = ROOM


NOT_A_MEMBER: Final = {
    PublishMessage: SendChannelMessageError.NOT_IN_CHANNEL,
    LeaveChannel: LeaveChannelError.NOT_IN_CHANNEL,
    ReadChannel: GetMembersError.NOT_IN_CHANNEL,
    ListMembers: GetMembersError.NOT_IN_CHANNEL,
}
"""The documented code for a channel that the session has not joined, by command."""

ALREADY_JOINED: Final = JoinChannelError.ALREADY_JOINED
TOO_MANY_CHANNELS: Final = JoinChannelError.EXCEED_LIMIT
