"""Logs read from positions, as the socket drains: replays, answers to questions, and what did not fit the window.

A connection has one read under way at a time, and asks for the next page only when most of the last one has left.
So a replay never becomes a backlog, whatever its size. Only a client that has returned, or has asked, is told
where the top is; any other follows the chain of entries, and asks where it is broken.
"""

from collections.abc import Callable

from rtmcore.codes import CloseCode
from rtmcore.identifiers import is_valid_id
from rtmcore.limits import (
    COMMAND_TIMEOUT,
    REPLAY_BELOW,
    REPLAY_DRAIN,
)
from rtmcore.service.commands.channels import ListMembers, Membership, Pages, ReadChannel, ReadChannels
from rtmcore.service.commands.entries import Entry, Page
from rtmcore.service.commands.inboxes import Acknowledge, InboxNotice, ReadInbox
from rtmcore.service.commands.names import Session
from rtmcore.service.commands.results import Refusal, Trouble
from rtmcore.service.connections import NEVER, Connection, Phase
from rtmcore.service.context import OF_NO_REQUEST, NodeContext
from rtmcore.service.counts import MemberCounter
from rtmcore.service.feeds import Feed, Feeds
from rtmcore.service.logs import Adoption, InboxLog, Log, LogState, Member, Together, feeds_read
from rtmcore.wire.packets import Ack, ChannelEntry, InboxEntry, Roster, Sync, Top

Close = Callable[[Connection, CloseCode, str], None]
ReadCommand = ReadInbox | ReadChannel | ReadChannels | ListMembers


class Pumps:
    """Reads logs for connections.

    Args:
        context: The node's common ground.
        feeds: The channels of the node.
        counter: Tells members how many they are.
        close: Closes a connection with a code and a reason.
    """

    def __init__(self, context: NodeContext, feeds: Feeds, counter: MemberCounter, close: Close) -> None:
        self._context = context
        self._feeds = feeds
        self._counter = counter
        self._close = close

    def want(self, connection: Connection, log: InboxLog | Member) -> None:
        """Have a log read from its position to its top, as soon as it is its turn."""
        log.state = LogState.READING
        if log is connection.reading:
            log.again = True
        elif log not in connection.to_read:
            connection.to_read.append(log)
            self.go_on(connection)

    def go_on(self, connection: Connection) -> None:
        """Ask for the next page, if there is something to read and room for it."""
        session = connection.session
        while (
            connection.to_read
            and connection.reading is None
            and session is not None
            and connection.phase is Phase.LIVE
            and not connection.blocked
            and connection.replayed < REPLAY_BELOW
        ):
            log = connection.to_read.pop(0)
            command = self._next_read(connection, session, log)
            if command is not None:
                connection.reading = log
                connection.read_due = self._context.now + COMMAND_TIMEOUT
                self._context.schedule(connection, connection.read_due)
                self._context.submit(command)

    def _next_read(self, connection: Connection, session: Session, log: Log) -> ReadCommand | None:
        """The command that reads a log, or None where there is nothing to read now."""
        if isinstance(log, InboxLog):
            messages, size = log.room()
            if messages and size:
                return ReadInbox(session, log.position, messages, size)
            log.state = LogState.FULL
            return None
        if isinstance(log, Adoption):
            log.feed = self._feeds.open(session.name.app, session.name.kind, log.channel)
            log.feed.expect()
            return ListMembers(session, OF_NO_REQUEST, connection.floor, log.channel)
        if isinstance(log, Together):
            return self._read_together(connection, session, log)
        if connection.members.get(log.feed.channel) is not log:
            return None
        log.feed.expect()
        return ReadChannel(session, log.feed.channel, log.position, self._waited(log))

    def _read_together(
        self, connection: Connection, session: Session, together: Together
    ) -> ReadChannels | None:
        """The command that reads the channels of a hello at once; None where all were left meanwhile."""
        together.members = [
            member
            for member in together.members
            if connection.members.get(member.feed.channel) is member and member not in connection.to_read
        ]
        if not together.members:
            return None
        together.feeds = [member.feed for member in together.members]
        for feed in together.feeds:
            feed.expect()
        positions = tuple((member.feed.channel, member.position) for member in together.members)
        return ReadChannels(session, positions, max(map(self._waited, together.members)))

    def _waited(self, member: Member) -> float:
        """Seconds since the member's client returned: what was young enough then is replayed, however slow the line."""
        returned = member.returned
        return 0.0 if returned is None else min(REPLAY_DRAIN, self._context.now - returned)

    # --- Packets of the client ------------------------------------------------------

    def acknowledge(self, connection: Connection, packet: Ack) -> None:
        """The client handed inbox entries over."""
        log, session = connection.inbox, connection.session
        assert log is not None
        assert session is not None
        if packet.id <= log.acknowledged:
            return
        log.acknowledge(packet.id)
        self._context.submit(Acknowledge(session, packet.id))
        if log.state is LogState.FULL:
            self.want(connection, log)

    def sync(self, connection: Connection, packet: Sync) -> None:
        """The client asks for a log from a position on."""
        if packet.ch is None:
            inbox = connection.inbox
            assert inbox is not None
            inbox.rewind(max(packet.id, inbox.acknowledged))
            self._ask(connection, inbox)
            return
        member = connection.members.get(packet.ch)
        if member is not None:
            member.feed.detach(member)
            member.position = packet.id
            self._ask(connection, member)
        else:
            self._adopt(connection, packet.ch, packet.id)

    def _ask(self, connection: Connection, log: InboxLog | Member) -> None:
        log.asked = True
        log.lost = 0
        self.want(connection, log)

    def _adopt(self, connection: Connection, channel: str, position: int) -> None:
        if not is_valid_id(channel):
            self._close(connection, CloseCode.MALFORMED, "a sync names something that is no channel id")
            return
        if sum(isinstance(log, Adoption) for log in connection.to_read) >= self._context.sizes.channels:
            connection.say(Top(position, 0, channel))
            return
        connection.to_read.append(Adoption(channel, position))
        self.go_on(connection)

    # --- Answers and notices of the engine --------------------------------------------

    def announce(self, notice: InboxNotice) -> None:
        """Take an entry that was appended to the inbox of a session."""
        connection = self._context.connection_at(notice.session)
        if connection is None or connection.inbox is None:
            return
        log, entry = connection.inbox, notice.entry
        if entry.id <= log.position:
            return
        log.highest = max(log.highest, entry.id)
        if log.state is not LogState.LIVE:
            return
        if entry.prev != log.position:
            self.want(connection, log)
        elif log.has_room(len(entry.body)):
            self._send(connection, log, entry)
        else:
            log.state = LogState.FULL

    def answered(self, command: ReadCommand, value: object) -> None:
        """Take the page that a connection asked for. A connection that is gone has given the read up."""
        connection = self._context.connection_at(command.session)
        if connection is None or connection.reading is None:
            return
        log = connection.reading
        connection.reading = None
        connection.read_due = NEVER
        if isinstance(value, Refusal) and self._is_serious(connection, log, value):
            return
        if isinstance(log, Adoption):
            assert log.feed is not None
            self._adopted(connection, log, log.feed, value)
        elif isinstance(log, Together):
            assert isinstance(value, Pages)
            self._pages(connection, log, value)
        elif log.again:
            log.again = False
            connection.to_read.append(log)
        elif isinstance(log, InboxLog):
            assert isinstance(value, Page)
            self._inbox_page(connection, log, value)
        elif isinstance(value, Page) and connection.members.get(log.feed.channel) is log:
            self._channel_page(connection, log, value)
        self._give_back(log)
        self.go_on(connection)

    def _is_serious(self, connection: Connection, log: Log, refusal: Refusal) -> bool:
        """Whether a refused read ends the connection; it does not where the channel was left meanwhile."""
        code = CloseCode.RESYNC
        if refusal.code is Trouble.UNAVAILABLE:
            code = CloseCode.ENGINE_UNAVAILABLE
            self._context.engine_failed()
        elif refusal.code is not Trouble.FENCED and (
            isinstance(log, Adoption)
            or (isinstance(log, Member) and connection.members.get(log.feed.channel) is not log)
        ):
            return False
        self._give_back(log)
        self._close(connection, code, refusal.text)
        return True

    def _give_back(self, log: Log) -> None:
        """A read is over: its channel need not hold anything for it any more."""
        for feed in feeds_read(log):
            feed.expect_no_more()
            self._feeds.release(feed)

    def _adopted(self, connection: Connection, adoption: Adoption, feed: Feed, value: object) -> None:
        """The engine has said whether the session is in a channel, and who else is."""
        if not isinstance(value, Membership):
            connection.say(Top(adoption.position, 0, feed.channel))
            return
        member = connection.members.get(feed.channel)
        if member is None:
            listed = value.users is not None and value.count <= self._context.limits["members"]
            users = list(value.users or ()) if listed else None
            connection.say(Roster(feed.channel, value.version, value.count, users, list(value.unreachable)))
            member = feed.enter(connection, adoption.position, value.version)
            self._counter.enter(member, value.version, value.count)
            if not feed.tell_changes(member):
                self._close(connection, CloseCode.RESYNC, "the members of a channel changed too fast")
                return
        else:
            feed.detach(member)
            member.position = adoption.position
        self._ask(connection, member)

    def _inbox_page(self, connection: Connection, log: InboxLog, page: Page) -> None:
        first = True
        for entry in page.entries:
            if entry.id <= log.position:
                continue
            if not log.has_room(len(entry.body)):
                log.state = LogState.FULL
                return
            if first:
                log.lost += page.lost
                first = False
            self._send(connection, log, entry)
            connection.replayed += len(entry.body)
        if first:
            log.lost += page.lost
        if not page.complete or log.highest > page.top:
            connection.to_read.append(log)
            return
        log.position = page.top
        if log.asked:
            connection.say(Top(page.top, log.lost))
            log.asked = False
        log.lost = 0
        log.state = LogState.LIVE

    def _pages(self, connection: Connection, together: Together, value: Pages) -> None:
        """The channels of a hello were read at once. One that was asked about meanwhile is read by itself."""
        members = {member.feed.channel: member for member in together.members}
        for channel, page in value.pages:
            member = members.get(channel)
            if (
                member is not None
                and connection.members.get(channel) is member
                and member not in connection.to_read
            ):
                self._channel_page(connection, member, page)

    def _channel_page(self, connection: Connection, member: Member, page: Page) -> None:
        channel = member.feed.channel
        member.lost += page.lost
        for entry in page.entries:
            if entry.id <= member.position:
                continue
            connection.say(
                ChannelEntry(
                    ch=channel,
                    id=entry.id,
                    prev=entry.prev,
                    user=entry.user,
                    iid=entry.iid,
                    i=entry.cmid,
                    kind=entry.kind,
                    body=entry.body,
                )
            )
            member.position = entry.id
            connection.replayed += len(entry.body)
        if not page.complete and page.entries:
            connection.to_read.append(member)
            return
        if member.asked:
            connection.say(Top(page.top, member.lost, channel))
            member.asked = False
        member.position = page.top
        member.lost = 0
        member.returned = None
        member.feed.attach(member)

    def _send(self, connection: Connection, log: InboxLog, entry: Entry) -> None:
        connection.say(
            InboxEntry(
                id=entry.id,
                prev=entry.prev,
                user=entry.user,
                iid=entry.iid,
                i=entry.cmid,
                kind=entry.kind,
                body=entry.body,
                offline=entry.offline,
                again=entry.again,
            )
        )
        log.sent(entry)
        self._context.count("inbox_messages_delivered")
