"""Requests of a client: checked, turned into commands, and answered exactly once."""

from collections.abc import Callable
from typing import Any, Final

import attrs

from rtmcore.codes import (
    CloseCode,
    GetMembersError,
    JoinChannelError,
    LeaveChannelError,
    MessageType,
    SendChannelMessageError,
    SendPeerMessageError,
)
from rtmcore.figures import MEMBERS, SENDS, Sizes
from rtmcore.files import FILE_KINDS, decode_file
from rtmcore.identifiers import explain_invalid_id, is_valid_id
from rtmcore.limits import (
    BUSY_RETRY,
    COMMAND_TIMEOUT,
    DAY,
    SEND_TIMEOUT,
    SEND_WAIT_MAX,
)
from rtmcore.service.answers import RequestCommand, answer_to
from rtmcore.service.archive import Archive
from rtmcore.service.blobs.giving import TicketGiver
from rtmcore.service.channels import Channels
from rtmcore.service.commands.channels import JoinChannel, LeaveChannel, ListMembers, Membership
from rtmcore.service.commands.exclusions import ExpelNotice
from rtmcore.service.commands.history import ReadHistory
from rtmcore.service.commands.messages import Logged, PeerOutcome, PeerSend, PublishMessage
from rtmcore.service.commands.names import ROOM, RTM, Session
from rtmcore.service.commands.results import Refusal, Settled, Trouble
from rtmcore.service.connections import Connection, Waiting
from rtmcore.service.context import NodeContext
from rtmcore.service.counts import MemberCounter
from rtmcore.service.desk import OPERATIONS, Desk
from rtmcore.service.feeds import Feed, Feeds
from rtmcore.service.kinds import SERVED
from rtmcore.service.renewals import Renewals
from rtmcore.service.users import Users
from rtmcore.wire.described import SIZE_BYTES, message_size
from rtmcore.wire.invitations import explain_oversize
from rtmcore.wire.packets import (
    INVITATION,
    RAW_DESCRIBED,
    Done,
    Expelled,
    Failed,
    GetMembers,
    Join,
    Joined,
    Leave,
    MemberList,
    PeerSent,
    Publish,
    Published,
    RenewToken,
    Request,
    Roster,
    SendPeer,
    Unknown,
)

Close = Callable[[Connection, CloseCode, str], None]

UNSUPPORTED: Final = 1
"""The code of a request that this server does not know: FAILURE of every operation."""

_TROUBLES: Final[dict[Trouble, str]] = {
    Trouble.UNAVAILABLE: "The server cannot do this now.",
    Trouble.FULL: "The server keeps no more messages for this user now.",
    Trouble.FORGOTTEN: "The request is too old to be repeated; whether it was carried out is not known any more.",
    Trouble.TIMED_OUT: "The peer did not acknowledge the message in time.",
}

_TEXT: Final = int(MessageType.TEXT)
_RAW: Final = int(MessageType.RAW)
_FILES: Final = frozenset(map(int, FILE_KINDS))
_KINDS: Final = frozenset({_TEXT, _RAW, RAW_DESCRIBED}) | _FILES


def explain_invalid_message(kind: int, body: bytes, most: int) -> str | None:
    """Say what is wrong with a message; None where it is well-formed.

    Args:
        kind: As packets tell it.
        body: The message.
        most: Bytes that it may have.
    """
    if len(body) <= most and (kind == _RAW or (kind == _TEXT and body.isascii())):
        return None
    if kind not in _KINDS:
        return (
            f"Messages are text ({_TEXT}), raw ({_RAW}), raw with a description ({RAW_DESCRIBED}), or about "
            f"a file or an image ({', '.join(map(str, sorted(_FILES)))})."
        )
    if message_size(kind, body) > most:
        return f"The message has {message_size(kind, body)} bytes; at most {most} are allowed."
    if kind == _RAW:
        return None
    if kind in _FILES:
        wrong = "The message does not say which file it is about, or says what cannot be."
        return wrong if decode_file(kind, body) is None else None
    if kind == RAW_DESCRIBED:
        begin = SIZE_BYTES + int.from_bytes(body[:SIZE_BYTES], "big")
        if begin > len(body):
            return "The message is shorter than its description."
        body = body[SIZE_BYTES:begin]
    try:
        body.decode()
    except UnicodeDecodeError:
        return "The text of the message is not valid UTF-8."
    return None


def _explain_invalid_peer_message(kind: int, body: bytes, sizes: Sizes) -> str | None:
    if kind != INVITATION:
        return explain_invalid_message(kind, body, sizes.message)
    return explain_oversize(body, sizes)


class Requests:
    """Carries out the requests of clients.

    Args:
        context: The node's common ground.
        feeds: The channels of the node.
        counter: Tells members how many they are.
        desk: Takes requests in.
        users: Carries out requests about users.
        channels: Carries out requests about channels that need no membership.
        archive: Carries out requests for kept messages.
        renewals: Takes new tokens.
        tickets: Gives tickets for files.
        close: Closes a connection with a code and a reason.
    """

    def __init__(
        self,
        context: NodeContext,
        feeds: Feeds,
        counter: MemberCounter,
        desk: Desk,
        users: Users,
        channels: Channels,
        archive: Archive,
        renewals: Renewals,
        tickets: TicketGiver,
        close: Close,
    ) -> None:
        self._context = context
        self._feeds = feeds
        self._counter = counter
        self._desk = desk
        self._close = close
        self._begin: dict[type[Any], Callable[[Connection, Session, Any], None]] = {
            SendPeer: self._send_peer,
            Publish: self._publish,
            Join: self._join,
            Leave: self._leave,
            GetMembers: self._get_members,
            RenewToken: renewals.renew,
            **users.begin,
            **channels.begin,
            **archive.begin,
            **tickets.begin,
        }

    def handle(self, connection: Connection, packet: Request) -> None:
        """Check a request and hand it to the engine, or refuse it.

        A repeat on the same transport is dropped: the one answer is on its way.
        """
        if packet.i in connection.waiting:
            return
        if len(connection.waiting) >= self._context.sizes.in_flight:
            self._desk.fail(
                connection,
                packet,
                OPERATIONS[packet.__class__].failure,
                f"More than {self._context.sizes.in_flight} requests wait for their answers.",
                BUSY_RETRY,
            )
            return
        session = connection.session
        assert session is not None
        kind = session.name.kind
        if kind != RTM and packet.__class__ not in SERVED[kind]:
            text = f"A session of the kind {kind} cannot ask for this."
            self._desk.fail(connection, packet, OPERATIONS[packet.__class__].failure, text)
            return
        self._begin[packet.__class__](connection, session, packet)

    def refuse_unknown(self, connection: Connection, packet: Unknown) -> None:
        """Answer a packet of a tag that this server does not know, if it is a request."""
        if packet.i is not None:
            connection.say(
                Failed(packet.i, UNSUPPORTED, "This server does not know the request: unsupported.")
            )

    def expire(self, connection: Connection) -> None:
        """Fail the requests that the engine has not answered in time."""
        now = self._context.now
        for number, waiting in list(connection.waiting.items()):
            if waiting.due > now:
                continue
            del connection.waiting[number]
            self._context.engine_failed()
            self._desk.refuse(
                connection,
                number,
                OPERATIONS[waiting.kind].timeout,
                "The server did not get it done in time.",
            )
            if waiting.joins is not None:
                waiting.joins.expect_no_more()
                self._feeds.release(waiting.joins)

    # --- From packet to command -----------------------------------------------------

    def _send_peer(self, connection: Connection, session: Session, packet: SendPeer) -> None:
        wrong = explain_invalid_id(packet.to, "user id")
        if wrong:
            self._desk.fail(connection, packet, SendPeerMessageError.INVALID_USER_ID, wrong)
            return
        wrong = _explain_invalid_peer_message(packet.kind, packet.body, self._context.sizes)
        if wrong:
            self._desk.fail(connection, packet, SendPeerMessageError.INVALID_MESSAGE, wrong)
            return
        if connection.grant is not None and not connection.grant.peers:
            self._desk.fail(
                connection, packet, SendPeerMessageError.FAILURE, "The token does not permit peer messages."
            )
            return
        assert connection.state is not None
        if not self._desk.admit(connection, packet, connection.state.rates.sends, SENDS):
            return
        wait = min(packet.wait / 1000, SEND_WAIT_MAX) if packet.wait else SEND_TIMEOUT
        # The engine ends the wait; this is for an engine that does not answer at all.
        self._desk.wait(connection, packet, wait + COMMAND_TIMEOUT)
        self._context.submit(
            PeerSend(
                session=session,
                iid=connection.iid,
                cmid=packet.i,
                floor=connection.floor,
                to=packet.to,
                kind=packet.kind,
                body=packet.body,
                offline=packet.offline,
                wait=wait,
                history=packet.history,
                ttl=packet.ttl / 1000
                if 0 < packet.ttl < self._context.limits["offline_days"] * DAY * 1000
                else None,
            )
        )

    def _publish(self, connection: Connection, session: Session, packet: Publish) -> None:
        wrong = explain_invalid_message(packet.kind, packet.body, self._context.sizes.message)
        if wrong:
            self._desk.fail(connection, packet, SendChannelMessageError.INVALID_MESSAGE, wrong)
            return
        if packet.ch not in connection.members and not is_valid_id(packet.ch):
            self._desk.fail(
                connection,
                packet,
                SendChannelMessageError.NOT_IN_CHANNEL,
                "There is no channel of such an id.",
            )
            return
        if not _may_publish(connection, session, packet.ch):
            self._desk.fail(
                connection,
                packet,
                SendChannelMessageError.FAILURE,
                "The token does not permit messages to this channel.",
            )
            return
        assert connection.state is not None
        if not self._desk.admit(connection, packet, connection.state.rates.sends, SENDS):
            return
        self._desk.wait(connection, packet)
        self._context.submit(
            PublishMessage(
                session=session,
                iid=connection.iid,
                cmid=packet.i,
                floor=connection.floor,
                channel=packet.ch,
                kind=packet.kind,
                body=packet.body,
                history=packet.history,
            )
        )

    def _join(self, connection: Connection, session: Session, packet: Join) -> None:
        wrong = explain_invalid_id(packet.ch, "channel id")
        if wrong:
            self._desk.fail(connection, packet, JoinChannelError.INVALID_ARGUMENT, wrong)
            return
        if connection.grant is not None and not connection.grant.may_join(packet.ch):
            self._desk.fail(
                connection,
                packet,
                JoinChannelError.REJECTED,
                "The token does not permit joining this channel.",
            )
            return
        if not self._desk.admit_join(connection, packet):
            return
        feed = self._feeds.open(session.name.app, session.name.kind, packet.ch)
        feed.expect()
        self._desk.wait(connection, packet, joins=feed)
        state = connection.state
        assert state is not None
        self._context.submit(
            JoinChannel(session, packet.i, connection.floor, packet.ch, restore=packet.ch in state.strays)
        )

    def _leave(self, connection: Connection, session: Session, packet: Leave) -> None:
        if not is_valid_id(packet.ch):
            self._desk.fail(
                connection, packet, LeaveChannelError.NOT_IN_CHANNEL, "There is no channel of such an id."
            )
            return
        self._desk.wait(connection, packet)
        self._context.submit(LeaveChannel(session, packet.i, connection.floor, packet.ch))

    def _get_members(self, connection: Connection, session: Session, packet: GetMembers) -> None:
        if not is_valid_id(packet.ch):
            self._desk.fail(
                connection, packet, GetMembersError.NOT_IN_CHANNEL, "There is no channel of such an id."
            )
            return
        assert connection.state is not None
        if not self._desk.admit(connection, packet, connection.state.rates.members, MEMBERS):
            return
        self._desk.wait(connection, packet)
        self._context.submit(ListMembers(session, packet.i, connection.floor, packet.ch))

    # --- From value to answer ---------------------------------------------------------

    def answered(self, command: RequestCommand, value: object) -> None:
        """Take the engine's answer. It belongs to the session, whichever transport speaks for it now."""
        session = command.asker if isinstance(command, ReadHistory) else command.session
        assert session is not None
        refusal = value if isinstance(value, Refusal) else None
        if refusal is not None and refusal.code is Trouble.FENCED:
            outdated = self._context.connection_at(session)
            if outdated is not None:
                self._close(outdated, CloseCode.RESYNC, "the session is no longer current")
            return
        connection = self._context.connection_of(session)
        if connection is None or (refusal is not None and _is_of_the_past(connection, session, refusal)):
            return
        waiting = connection.waiting.pop(command.cmid, None)
        if waiting is None:
            self._take_late(connection, command, value)
            return
        statistics = self._context.statistics
        if waiting.kind is not SendPeer:
            if waiting.asked == self._context.now:
                statistics.at_once += 1
            else:
                statistics.answered_late(self._context.now - waiting.asked)
        if refusal is not None:
            self._refused(connection, command, waiting, refusal)
            return
        self._context.engine_answered()
        if isinstance(value, Logged) and waiting.kind is Publish:
            member = connection.members.get(command.channel) if isinstance(command, PublishMessage) else None
            if member is not None:
                member.feed.close_segment_for(connection)
            statistics.published += 1
            connection.say(Published(command.cmid, value.id, value.prev))
        elif isinstance(value, PeerOutcome) and waiting.kind is SendPeer:
            statistics.sent += 1
            connection.say(PeerSent(command.cmid, value.code, value.id))
        elif isinstance(value, Membership) and isinstance(command, JoinChannel) and waiting.joins is not None:
            self._joined(connection, command, waiting.joins, value)
        elif isinstance(value, Membership) and waiting.kind is GetMembers:
            connection.say(MemberList(command.cmid, list(value.users or ())))
        elif isinstance(value, Settled) and isinstance(command, LeaveChannel) and waiting.kind is Leave:
            self._left(connection, command.channel)
            connection.say(Done(command.cmid))
        else:
            packet = answer_to(command, waiting.kind, value)
            if packet is None:
                self._used_twice(connection, command, waiting)
            else:
                connection.say(packet)

    def _joined(self, connection: Connection, command: JoinChannel, feed: Feed, value: Membership) -> None:
        channel = command.channel
        state = connection.state
        assert state is not None
        state.strays.discard(channel)
        known = channel in connection.members
        users = None if value.users is None else list(value.users)
        feed.close_segment()
        connection.say(Roster(channel, value.version, value.count, users, list(value.unreachable)))
        connection.say(Joined(command.cmid, value.position))
        complete = True
        if not known:
            member = feed.enter(connection, value.position, value.version)
            self._counter.enter(member, value.version, value.count)
            complete = feed.tell_changes(member)
            feed.attach(member)
        feed.expect_no_more()
        if not complete:
            self._close(connection, CloseCode.RESYNC, "the members of a channel changed too fast")

    def expelled(self, notice: ExpelNotice) -> None:
        """A client of this node was taken out of a channel."""
        connection = self._context.connection_at(notice.session)
        if connection is not None:
            self._left(connection, notice.channel)
            connection.say(Expelled(notice.channel, notice.text))

    def _left(self, connection: Connection, channel: str) -> None:
        state = connection.state
        assert state is not None
        state.strays.discard(channel)
        member = connection.members.get(channel)
        if member is not None:
            member.feed.leave(member)
            self._feeds.release(member.feed)

    def _refused(
        self, connection: Connection, command: RequestCommand, waiting: Waiting, refusal: Refusal
    ) -> None:
        state = connection.state
        assert state is not None
        stray = isinstance(command, JoinChannel) and command.channel in state.strays
        if stray and refusal.code is JoinChannelError.ALREADY_JOINED and isinstance(command, JoinChannel):
            # The client was told that an earlier join had failed; that it came late is not the client's fault.
            connection.waiting[command.cmid] = waiting
            self._context.submit(attrs.evolve(command, restore=True))
            return
        if waiting.joins is not None:
            waiting.joins.expect_no_more()
            self._feeds.release(waiting.joins)
        code, text = refusal.code, refusal.text
        operation = OPERATIONS[waiting.kind]
        if code is Trouble.UNAVAILABLE:
            self._context.engine_failed()
        if isinstance(code, Trouble):
            text = text or _TROUBLES[code]
            code = operation.timeout if code is Trouble.TIMED_OUT else operation.failure
        self._desk.refuse(connection, command.cmid, code, text, refusal.retry_after)

    def _take_late(self, connection: Connection, command: RequestCommand, value: object) -> None:
        """An answer whose request has failed here already: only what the engine changed is noted."""
        if isinstance(command, JoinChannel) and isinstance(value, Membership):
            if command.channel not in connection.members and connection.state is not None:
                connection.state.strays.add(command.channel)
        elif isinstance(command, LeaveChannel) and isinstance(value, Settled):
            self._left(connection, command.channel)

    def _used_twice(self, connection: Connection, command: RequestCommand, waiting: Waiting) -> None:
        """The engine answered with the result of another kind of request: the client used an id twice."""
        if waiting.joins is not None:
            waiting.joins.expect_no_more()
            self._feeds.release(waiting.joins)
        self._desk.refuse(
            connection,
            command.cmid,
            OPERATIONS[waiting.kind].failure,
            "The request has the id of an earlier one; each request needs an id of its own.",
        )


def _is_of_the_past(connection: Connection, session: Session, refusal: Refusal) -> bool:
    """Whether a command of an earlier transport was not carried out: its repeat, if any, is answered by itself."""
    return (
        refusal.code is Trouble.UNAVAILABLE
        and connection.session is not None
        and connection.session.place != session.place
    )


def _may_publish(connection: Connection, session: Session, channel: str) -> bool:
    """Whether a channel may be published to: whoever is in a room may send to it, and to nothing else."""
    if session.name.kind == ROOM:
        return channel == session.name.scope
    return connection.grant is None or connection.grant.may_publish(channel)
