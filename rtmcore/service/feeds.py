"""Channels as a node sees them: each entry is encoded once per codec and shared by all members in step.

Members that are LIVE share one position, that of the feed, so that a delivery is one append. Entries that are
announced within a turn are collected in a segment: entries of one author, which go to everybody but him in one
WebSocket message. A member that does not stand where the feed stands reads its way from its own position, or
waits until the announcements have come to where it is.
"""

from collections import deque
from collections.abc import Iterable

from rtmcore.limits import ANSWER_BYTES, HELD_BYTES, HELD_ENTRIES, PACKETS_PER_FRAME
from rtmcore.service.answers import attributes_by_key
from rtmcore.service.commands.attributes import AttributesNotice
from rtmcore.service.commands.channels import ChannelNotice, MemberNotice, MemberStateNotice, Unwatch, Watch
from rtmcore.service.commands.entries import Entry
from rtmcore.service.commands.names import RTC, RTM, Name
from rtmcore.service.connections import Connection
from rtmcore.service.context import NodeContext
from rtmcore.service.logs import LogState, Member
from rtmcore.wire.codec import Codec
from rtmcore.wire.packets import (
    ChannelAttributesChanged,
    ChannelEntry,
    MemberChanged,
    MemberState,
    Packet,
)
from rtmcore.wire.transport import server_message

_NOBODY = -1
_ANY_VERSION = 1 << 63
_LONG_AGO = float("-inf")


class Feed:
    """One channel on this node.

    Args:
        app: The app id.
        kind: The name space.
        channel: The channel id.
        context: The node's common ground.
        behind: Where a member that has to read from its position is put; shared by all feeds.
        open_segments: Where a feed that begins a segment puts itself; shared by all feeds.
    """

    __slots__ = (
        "_ahead",
        "_attributes",
        "_behind",
        "_changes",
        "_changes_lost",
        "_context",
        "_held",
        "_held_bytes",
        "_live",
        "_open_segments",
        "_segment",
        "_segment_author",
        "_segment_bytes",
        "app",
        "channel",
        "count",
        "count_due",
        "count_version",
        "counted_at",
        "kind",
        "listeners",
        "members",
        "pending",
        "position",
    )

    def __init__(
        self,
        app: str,
        kind: str,
        channel: str,
        context: NodeContext,
        behind: list[Member],
        open_segments: "list[Feed]",
    ) -> None:
        self.app = app
        self.kind = kind
        self.channel = channel
        self.position: int | None = None
        """The last entry announced; None before the first."""
        self.members: dict[int, Member] = {}
        """By number of the connection."""
        self.listeners: dict[Name, Connection] = {}
        """Who is sent data frames: members of an RTC channel, media connections of a room."""
        self.pending = 0
        """Joins and reads that the engine has not answered: for them, what is announced meanwhile is held."""
        self.count = -1
        """How many members the channel has, as far as this node knows."""
        self.count_version = -1
        """The version of the member list that the count is of."""
        self.count_due = False
        """Whether members are to be told of the count at a certain time."""
        self.counted_at = _LONG_AGO
        """When they were told last, in monotonic seconds."""
        self._context = context
        self._behind = behind
        self._open_segments = open_segments
        self._live: dict[Codec, dict[int, list[object]]] = {}
        self._ahead: dict[int, Member] = {}
        self._segment: list[ChannelEntry] = []
        self._segment_author = _NOBODY
        self._segment_bytes = 0
        self._held: deque[ChannelEntry] = deque()
        self._held_bytes = 0
        self._changes: deque[MemberNotice | MemberStateNotice] = deque()
        self._changes_lost = -1
        """The version of the newest change that is not held any more."""
        self._attributes: ChannelAttributesChanged | None = None
        """The last that were announced while something is held."""

    # --- Members ------------------------------------------------------------------

    def enter(self, connection: Connection, position: int, version: int) -> Member:
        """Add a member that stands at a position. It gets entries once it is attached."""
        member = Member(connection, self, position, version)
        self.members[connection.number] = member
        connection.members[self.channel] = member
        if self.kind == RTC and connection.session is not None:
            self.listeners[connection.session.name] = connection
        return member

    def leave(self, member: Member) -> None:
        """Forget a member."""
        self.detach(member)
        connection = member.connection
        del self.members[connection.number]
        del connection.members[self.channel]
        if connection.session is not None:
            self.listen_no_more(connection.session.name, connection)

    def listen_no_more(self, name: Name, connection: Connection) -> None:
        """Send a connection no data frames any more; another one of the same name gets them all the same."""
        if self.listeners.get(name) is connection:
            del self.listeners[name]

    def attach(self, member: Member) -> None:
        """Let a member have what comes after its position, from what is held and from now on."""
        self.close_segment()
        position = self.position
        if position is None or (member.position > position and not self._occupied()):
            position = self.position = member.position
        if member.position < position and not self._replay_held(member):
            member.state = LogState.READING
            self._behind.append(member)
        elif member.position > position:
            member.state = LogState.AHEAD
            self._ahead[member.connection.number] = member
        else:
            self._set_live(member)

    def detach(self, member: Member) -> None:
        """Let a member have nothing more for now; it keeps its position."""
        number = member.connection.number
        if member.state is LogState.LIVE:
            self.close_segment()
            assert self.position is not None
            assert member.connection.codec is not None
            member.position = self.position
            del self._live[member.connection.codec][number]
        elif member.state is LogState.AHEAD:
            del self._ahead[number]
        member.state = LogState.READING

    def expect(self) -> None:
        """A join or a read is under way: hold what is announced."""
        self.pending += 1

    def expect_no_more(self) -> None:
        """A join or a read was answered, or given up. Attach its member before."""
        self.pending -= 1
        if not self.pending:
            self._held.clear()
            self._held_bytes = 0
            self._changes.clear()
            self._changes_lost = -1
            self._attributes = None

    @property
    def unused(self) -> bool:
        """Whether nobody here wants to hear of the channel."""
        return not self.members and not self.pending and not self.listeners

    def _occupied(self) -> bool:
        return bool(self._ahead) or any(self._live.values())

    def _set_live(self, member: Member) -> None:
        connection = member.connection
        assert connection.codec is not None
        member.state = LogState.LIVE
        self._live.setdefault(connection.codec, {})[connection.number] = connection.out

    # --- Entries ------------------------------------------------------------------

    def announce(self, entry: Entry, author: Connection | None) -> None:
        """Take an entry of the channel's log.

        Args:
            entry: The entry.
            author: The connection of its author, which gets no copy; None where that is elsewhere.
        """
        position = self.position
        if position is not None:
            if entry.id <= position:
                return
            if entry.prev != position:
                self._fall_behind()
        packet = ChannelEntry(
            self.channel, entry.id, entry.prev, entry.user, entry.iid, entry.cmid, entry.kind, entry.body
        )
        if self.pending:
            self._hold(packet)
        if any(self._live.values()):
            self._append(packet, _NOBODY if author is None else author.number)
        self.position = entry.id
        if self._ahead:
            self._meet(packet, author)

    def close_segment_for(self, author: Connection) -> None:
        """Queue what was collected before something is said to an author about an own entry."""
        if self._segment and self._segment_author != author.number:
            self.close_segment()

    def close_segment(self) -> None:
        """Queue the collected entries with every member in step but their author."""
        entries = self._segment
        if not entries:
            return
        self._segment = []
        self._segment_bytes = 0
        author = self._segment_author
        delivered = 0
        for codec, queues in self._live.items():
            own = queues.pop(author, None)
            if queues:
                frame = server_message(codec, entries)
                for queue in queues.values():
                    queue.append(frame)
                self._context.dirty.update(queues)
                delivered += len(queues)
            if own is not None:
                queues[author] = own
        self._context.count("channel_messages_delivered", delivered * len(entries))

    def _append(self, packet: ChannelEntry, author: int) -> None:
        if self._segment and (
            author != self._segment_author
            or len(self._segment) == PACKETS_PER_FRAME
            or self._segment_bytes + len(packet.body) > ANSWER_BYTES
        ):
            self.close_segment()
        if not self._segment:
            self._open_segments.append(self)
        self._segment_author = author
        self._segment.append(packet)
        self._segment_bytes += len(packet.body)

    def _hold(self, packet: ChannelEntry) -> None:
        self._held.append(packet)
        self._held_bytes += len(packet.body)
        while len(self._held) > HELD_ENTRIES or self._held_bytes > HELD_BYTES:
            self._held_bytes -= len(self._held.popleft().body)

    def _replay_held(self, member: Member) -> bool:
        """Send a member what is held after its position; False where that does not begin there."""
        later = [packet for packet in self._held if packet.id > member.position]
        if not later or later[0].prev != member.position:
            return False
        connection = member.connection
        assert connection.session is not None
        for packet in later:
            if packet.user != connection.session.name.name:
                connection.say(packet)
        return True

    def _fall_behind(self) -> None:
        """An announcement was lost: everybody in step reads from where the feed stood."""
        self.close_segment()
        for queues in self._live.values():
            for number in list(queues):
                member = self.members[number]
                self.detach(member)
                self._behind.append(member)

    def _meet(self, packet: ChannelEntry, author: Connection | None) -> None:
        for number, member in list(self._ahead.items()):
            if member.position > packet.id:
                continue
            del self._ahead[number]
            if member.position < packet.prev:
                member.state = LogState.READING
                self._behind.append(member)
                continue
            self.close_segment()
            if member.position < packet.id and member.connection is not author:
                member.connection.say(packet)
            self._set_live(member)

    # --- The member list ------------------------------------------------------------

    def change(self, notice: MemberNotice) -> None:
        """Take a change of the channel's members and tell those who do not know it."""
        if self.pending:
            self._hold_change(notice)
        if notice.count > self._context.limits["member_events"]:
            return
        self._tell(notice, [member for member in self.members.values() if member.version < notice.version])

    def change_state(self, notice: MemberStateNotice) -> None:
        """Take a change of a participant's state and tell the others."""
        if self.pending:
            self._hold_change(notice)
        self._tell(notice, self.members.values())

    def change_attributes(self, notice: AttributesNotice) -> None:
        """Take the attributes of the channel and tell all members."""
        packet = ChannelAttributesChanged(self.channel, attributes_by_key(notice.attributes))
        if self.pending:
            self._attributes = packet
        self.tell(packet, self.members.values())

    def tell(self, packet: Packet, members: Iterable[Member]) -> None:
        """Queue a packet with members. It is encoded once for each codec."""
        self.close_segment()
        frames: dict[Codec, bytes] = {}
        for member in members:
            connection = member.connection
            codec = connection.codec
            assert codec is not None
            frame = frames.get(codec)
            if frame is None:
                frame = frames[codec] = server_message(codec, (packet,))
            connection.out.append(frame)
            self._context.dirty.add(connection.number)

    def _tell(self, notice: MemberNotice | MemberStateNotice, members: Iterable[Member]) -> None:
        others = [member for member in members if not _concerns(notice, member.connection)]
        if others:
            self.tell(_packet(notice), others)

    def _hold_change(self, notice: MemberNotice | MemberStateNotice) -> None:
        self._changes.append(notice)
        if len(self._changes) > HELD_ENTRIES:
            lost = self._changes.popleft()
            self._changes_lost = lost.version if isinstance(lost, MemberNotice) else _ANY_VERSION

    def tell_changes(self, member: Member) -> bool:
        """Tell a new member of the changes since the member list that it was given, and of the attributes.

        Returns:
            False where they are no longer all known.
        """
        if self._changes_lost > member.version:
            return False
        for notice in self._changes:
            known = isinstance(notice, MemberNotice) and (
                notice.version <= member.version or notice.count > self._context.limits["member_events"]
            )
            if not known and not _concerns(notice, member.connection):
                member.connection.say(_packet(notice))
        if self._attributes is not None:
            member.connection.say(self._attributes)
        return True


def _concerns(notice: MemberNotice | MemberStateNotice, connection: Connection) -> bool:
    """Whether a change is the connection's own join or leave, of which it is told by an answer."""
    return connection.session is not None and connection.session.name.name == notice.user


def _packet(notice: MemberNotice | MemberStateNotice) -> MemberChanged | MemberState:
    if isinstance(notice, MemberStateNotice):
        return MemberState(ch=notice.channel, user=notice.user, state=int(notice.state))
    return MemberChanged(
        ch=notice.channel,
        user=notice.user,
        joined=notice.joined,
        version=notice.version,
        count=notice.count,
        dropped=notice.dropped,
    )


class Feeds:
    """All channels that somebody on this node wants to hear of.

    Args:
        context: The node's common ground.

    Attributes:
        behind: Members that have to read from their positions; whoever sees to that empties the list.
    """

    def __init__(self, context: NodeContext) -> None:
        self.behind: list[Member] = []
        self._context = context
        self._feeds: dict[tuple[str, str, str], Feed] = {}
        self._open_segments: list[Feed] = []

    def all(self) -> list[Feed]:
        """All feeds there are now. Any thread may ask."""
        return list(self._feeds.values())

    def open(self, app: str, kind: str, channel: str) -> Feed:
        """The feed of a channel; a new one is asked for at the engine."""
        key = (app, kind, channel)
        feed = self._feeds.get(key)
        if feed is None:
            feed = Feed(app, kind, channel, self._context, self.behind, self._open_segments)
            self._feeds[key] = feed
            self._context.submit(Watch(app, channel, kind))
        return feed

    def find(self, app: str, kind: str, channel: str) -> Feed | None:
        """The feed of a channel, if anybody here wants to hear of it."""
        return self._feeds.get((app, kind, channel))

    def release(self, feed: Feed) -> None:
        """Give a feed back where nobody wants to hear of it any more."""
        key = (feed.app, feed.kind, feed.channel)
        if feed.unused and self._feeds.get(key) is feed:
            del self._feeds[key]
            self._context.submit(Unwatch(feed.app, feed.channel, feed.kind))

    def announce(self, notice: ChannelNotice) -> None:
        """Take an entry of a channel's log."""
        feed = self._feeds.get((notice.app, notice.kind, notice.channel))
        if feed is not None:
            state = self._context.sessions.get(notice.author)
            feed.announce(notice.entry, None if state is None else state.connection)

    def change(self, notice: MemberNotice) -> Feed | None:
        """Take a change of a channel's members; returns its feed, if there is one."""
        feed = self._feeds.get((notice.app, notice.kind, notice.channel))
        if feed is not None:
            feed.change(notice)
        return feed

    def change_state(self, notice: MemberStateNotice) -> None:
        """Take a change of a participant's state."""
        feed = self._feeds.get((notice.app, notice.kind, notice.channel))
        if feed is not None:
            feed.change_state(notice)

    def change_attributes(self, notice: AttributesNotice) -> None:
        """Take the attributes of a channel."""
        feed = self._feeds.get((notice.app, RTM, notice.channel))
        if feed is not None:
            feed.change_attributes(notice)

    def settle(self) -> None:
        """Queue everything that was collected."""
        for feed in self._open_segments:
            feed.close_segment()
        self._open_segments.clear()
