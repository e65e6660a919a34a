"""What is done about each packet that comes on the transport of the session."""

from collections.abc import Callable
from typing import Any, Final

from rtmcore.client.channels import Channels
from rtmcore.client.inbox import Inbox
from rtmcore.client.requests import (
    CLEAR_ATTRIBUTES,
    CLEAR_CHANNEL_ATTRIBUTES,
    DELETE_ATTRIBUTES,
    DELETE_CHANNEL_ATTRIBUTES,
    FLUSH_STORED,
    FORGET,
    LEAVE,
    MEMBERS,
    RESTORES,
    SEND_PEER,
    SET_ATTRIBUTES,
    SET_CHANNEL_ATTRIBUTES,
    SIGNAL,
    SUBSCRIBE,
    UNSUBSCRIBE,
    UPDATE_ATTRIBUTES,
    UPDATE_CHANNEL_ATTRIBUTES,
    Requests,
)
from rtmcore.client.session import Session
from rtmcore.codes import LeaveChannelError
from rtmcore.errors import error_for
from rtmcore.models import PublishResult, SendResult, SendStatus
from rtmcore.wire.packets import (
    ChannelAttributesChanged,
    ChannelEntry,
    Done,
    Expelled,
    Failed,
    InboxEntry,
    Join,
    Joined,
    Kicked,
    MemberChanged,
    MemberCount,
    MemberList,
    PeerSent,
    Publish,
    Published,
    Ready,
    Restored,
    Roster,
    Top,
)

_MILLISECONDS: Final = 1000
_STATUS: Final = {int(status): status for status in SendStatus}
_DONE: Final = frozenset(
    {
        LEAVE,
        FORGET,
        SUBSCRIBE,
        UNSUBSCRIBE,
        SET_ATTRIBUTES,
        UPDATE_ATTRIBUTES,
        DELETE_ATTRIBUTES,
        CLEAR_ATTRIBUTES,
        SET_CHANNEL_ATTRIBUTES,
        UPDATE_CHANNEL_ATTRIBUTES,
        DELETE_CHANNEL_ATTRIBUTES,
        CLEAR_CHANNEL_ATTRIBUTES,
        FLUSH_STORED,
        *RESTORES,
    }
)
_SENDS: Final = frozenset({SEND_PEER, SIGNAL})
_NO_FAILURE: Final = frozenset({"OK", "CACHED_BY_SERVER"})

Handler = Callable[[Any, float], None]


class Answers:
    """Hands each packet to the part that it is for; one that nobody waits for is ignored.

    Args:
        requests: Requests that wait for an answer.
        inbox: The receiving side of peer messages.
        channels: The channels of this client.
        session: The session.

    Attributes:
        handlers: What to call with a packet and the time, by its class.
    """

    def __init__(self, requests: Requests, inbox: Inbox, channels: Channels, session: Session) -> None:
        self._requests = requests
        self._inbox = inbox
        self._channels = channels
        self._session = session
        self.handlers: dict[type[Any], Handler] = {
            ChannelEntry: self._channel_entry,
            InboxEntry: inbox.receive,
            Published: self._published,
            PeerSent: self._peer_sent,
            Done: self._done,
            Failed: self._failed,
            Joined: self._joined,
            MemberList: self._member_list,
            Top: self._top,
            Roster: self._roster,
            MemberChanged: self._member_changed,
            MemberCount: self._member_count,
            Expelled: self._expelled,
            ChannelAttributesChanged: self._attributes_changed,
            Restored: self._restored,
            Ready: session.ready,
            Kicked: session.kicked,
        }

    def _done(self, packet: Done, _: float) -> None:
        ticket = self._requests.get(packet.i)
        if ticket is not None and ticket.operation in _DONE:
            self._requests.succeed(ticket, None)

    def _failed(self, packet: Failed, _: float) -> None:
        ticket = self._requests.get(packet.i)
        if ticket is None:
            return
        operation = ticket.operation
        code = operation.code(packet.code)
        if code is LeaveChannelError.NOT_IN_CHANNEL:
            # The server had forgotten the membership, after a restart perhaps: that is what was wanted.
            self._requests.succeed(ticket, None)
            return
        if code.name in _NO_FAILURE:
            code = operation.failure
        error = error_for(
            code,
            packet.text or "The server refused the request.",
            operation=operation.name,
            state=self._session.state.name,
            retry_after=None if packet.retry is None else packet.retry / _MILLISECONDS,
            request_id=packet.i,
        )
        self._requests.fail(ticket, error)

    def _published(self, packet: Published, _: float) -> None:
        ticket = self._requests.get(packet.i)
        if ticket is None:
            self._channels.published_late(packet)
        elif isinstance(ticket.packet, Publish):
            # First its place in the log: what came behind it is handed out before its own result.
            self._channels.published(ticket.packet.ch, packet)
            self._requests.succeed(ticket, PublishResult(packet.id))

    def _peer_sent(self, packet: PeerSent, _: float) -> None:
        ticket = self._requests.get(packet.i)
        status = _STATUS.get(packet.code)
        if ticket is not None and ticket.operation in _SENDS and status is not None:
            self._requests.succeed(ticket, SendResult(status, packet.id))

    def _joined(self, packet: Joined, _: float) -> None:
        ticket = self._requests.get(packet.i)
        if ticket is not None and isinstance(ticket.packet, Join):
            self._requests.succeed(ticket, self._channels.joined(ticket, ticket.packet.ch, packet))

    def _member_list(self, packet: MemberList, _: float) -> None:
        ticket = self._requests.get(packet.i)
        if ticket is not None and ticket.operation is MEMBERS:
            self._requests.succeed(ticket, tuple(packet.users))

    def _channel_entry(self, packet: ChannelEntry, _: float) -> None:
        self._channels.receive(packet)

    def _top(self, packet: Top, now: float) -> None:
        if packet.ch is None:
            self._inbox.top(packet, now)
        else:
            self._channels.top(packet)

    def _roster(self, packet: Roster, now: float) -> None:
        self._channels.roster(packet, now + self._session.facts.over_after)

    def _member_changed(self, packet: MemberChanged, _: float) -> None:
        self._channels.member_changed(packet)

    def _member_count(self, packet: MemberCount, _: float) -> None:
        self._channels.member_count(packet)

    def _expelled(self, packet: Expelled, _: float) -> None:
        self._channels.expelled(packet)

    def _attributes_changed(self, packet: ChannelAttributesChanged, _: float) -> None:
        self._channels.attributes_changed(packet)

    def _restored(self, packet: Restored, _: float) -> None:
        self._channels.restored(packet)
