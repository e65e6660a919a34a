"""Logs read from positions, as the socket drains: replays, answers to questions, and what did not fit the window.

A connection has one read under way at a time, and asks for the next page only when most of the last one has left.
So a replay never becomes a backlog, whatever its size.
"""

from collections.abc import Callable

from rtmcore.codes import CloseCode
from rtmcore.limits import COMMAND_TIMEOUT, REPLAY_BELOW
from rtmcore.service.commands import (
    Acknowledge,
    Entry,
    InboxNotice,
    Page,
    ReadChannel,
    ReadInbox,
    Refusal,
    Trouble,
)
from rtmcore.service.connections import NEVER, Connection, Phase
from rtmcore.service.context import NodeContext
from rtmcore.service.feeds import Feeds
from rtmcore.service.logs import InboxLog, LogState, Member
from rtmcore.wire.packets import Ack, ChannelEntry, InboxEntry, Sync, Top

Close = Callable[[Connection, CloseCode, str], None]


class Pumps:
    """Reads logs for connections.

    Args:
        context: The node's common ground.
        feeds: The channels of the node.
        close: Closes a connection with a code and a reason.
    """

    def __init__(self, context: NodeContext, feeds: Feeds, close: Close) -> None:
        self._context = context
        self._feeds = feeds
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
            command: ReadInbox | ReadChannel
            if isinstance(log, Member):
                if connection.members.get(log.feed.channel) is not log:
                    continue
                log.feed.expect()
                command = ReadChannel(session, log.feed.channel, log.position)
            else:
                messages, size = log.room()
                if not messages or not size:
                    log.state = LogState.FULL
                    continue
                command = ReadInbox(session, log.position, messages, size)
            connection.reading = log
            connection.read_due = self._context.now + COMMAND_TIMEOUT
            self._context.schedule(connection, connection.read_due)
            self._context.submit(command)

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
        log: InboxLog | Member | None
        if packet.ch is None:
            log = connection.inbox
            assert log is not None
            log.rewind(max(packet.id, log.acknowledged))
        else:
            log = connection.members.get(packet.ch)
            if log is None:
                connection.say(Top(packet.id, 0, packet.ch))
                return
            log.feed.detach(log)
            log.position = packet.id
        log.lost = 0
        self.want(connection, log)

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

    def answered(self, command: ReadInbox | ReadChannel, value: object) -> None:
        """Take the page that a connection asked for. A connection that is gone has given the read up."""
        connection = self._context.connection_at(command.session)
        if connection is None or connection.reading is None:
            return
        log = connection.reading
        connection.reading = None
        connection.read_due = NEVER
        if not isinstance(value, Page):
            assert isinstance(value, Refusal)
            self._refused(connection, log, value)
            return
        if log.again:
            log.again = False
            connection.to_read.append(log)
        elif isinstance(log, InboxLog):
            self._inbox_page(connection, log, value)
        elif connection.members.get(log.feed.channel) is log:
            self._channel_page(connection, log, value)
        if isinstance(log, Member):
            log.feed.expect_no_more()
            self._feeds.release(log.feed)
        self.go_on(connection)

    def _refused(self, connection: Connection, log: InboxLog | Member, refusal: Refusal) -> None:
        if isinstance(log, Member):
            log.feed.expect_no_more()
            self._feeds.release(log.feed)
            if connection.members.get(log.feed.channel) is not log:
                self.go_on(connection)
                return
        code = CloseCode.RESYNC
        if refusal.code is Trouble.UNAVAILABLE:
            code = CloseCode.ENGINE_UNAVAILABLE
            self._context.engine_failed()
        self._close(connection, code, refusal.text)

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
        connection.say(Top(page.top, log.lost))
        log.lost = 0
        log.state = LogState.LIVE

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
        connection.say(Top(page.top, member.lost, channel))
        member.position = page.top
        member.lost = 0
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
