"""What the engine brings to a node: answers and notices, each handed to the part that it concerns."""

from collections.abc import Callable
from typing import Any, get_args

from rtmcore.service.answers import RequestCommand
from rtmcore.service.blobs.service import BlobService
from rtmcore.service.commands.attributes import AttributesNotice
from rtmcore.service.commands.channels import (
    ChannelNotice,
    CountMembersOf,
    JoinChannel,
    ListMembers,
    MemberNotice,
    MemberStateNotice,
    ReadChannel,
    ReadChannels,
)
from rtmcore.service.commands.event_feeds import TakeEvents
from rtmcore.service.commands.exclusions import Ban, CheckBearer, Expel, ExpelNotice, Kick, ShutOut, Unban
from rtmcore.service.commands.history import ReadHistory
from rtmcore.service.commands.inboxes import InboxNotice, ReadInbox
from rtmcore.service.commands.media import AttachMedia, DataNotice
from rtmcore.service.commands.messages import PublishAs, SendAs
from rtmcore.service.commands.names import RTM
from rtmcore.service.commands.presence import PresenceNotice
from rtmcore.service.commands.sessions import Claim, Ended, Release
from rtmcore.service.commands.table import Answer
from rtmcore.service.context import OF_NO_REQUEST
from rtmcore.service.counts import MemberCounter
from rtmcore.service.data import DataFrames
from rtmcore.service.departures import Departures
from rtmcore.service.engine import EnginePort
from rtmcore.service.feeds import Feeds
from rtmcore.service.logins import Logins
from rtmcore.service.media import MediaConnections
from rtmcore.service.orders import Orders
from rtmcore.service.pumps import Pumps
from rtmcore.service.requests import Requests
from rtmcore.service.users import Users
from rtmcore.service.web.service import WebService


class Outputs:
    """Hands on what the engine says. The arguments are the parts of the node, each documented in its own module."""

    def __init__(
        self,
        port: EnginePort,
        *,
        feeds: Feeds,
        counter: MemberCounter,
        departures: Departures,
        pumps: Pumps,
        users: Users,
        requests: Requests,
        logins: Logins,
        data: DataFrames,
        media: MediaConnections,
        orders: Orders,
        web: WebService,
        blobs: BlobService,
    ) -> None:
        self._port = port
        self._feeds = feeds
        self._counter = counter
        self._departures = departures
        self._pumps = pumps
        self._users = users
        self._requests = requests
        self._logins = logins
        self._data = data
        self._media = media
        self._orders = orders
        self._web = web
        self._blobs = blobs
        self._answers = self._bind_answers()

    def drain(self) -> None:
        """Take all that the engine has to say now."""
        next_output, answers, announce = self._port.next_output, self._answers, self._feeds.announce
        while (output := next_output()) is not None:
            if isinstance(output, Answer):
                take = answers.get(output.command.__class__)
                if take is not None:
                    take(output.command, output.value)
            elif isinstance(output, ChannelNotice):
                announce(output)
            elif isinstance(output, InboxNotice):
                self._pumps.announce(output)
            elif isinstance(output, MemberNotice):
                self._change_members(output)
            elif isinstance(output, DataNotice):
                self._data.announce(output)
            elif isinstance(output, PresenceNotice):
                self._users.announce(output)
            elif isinstance(output, AttributesNotice):
                self._feeds.change_attributes(output)
            elif isinstance(output, MemberStateNotice):
                self._feeds.change_state(output)
            elif isinstance(output, ExpelNotice):
                self._requests.expelled(output)
            elif isinstance(output, ShutOut):
                self._blobs.shut_out(output)
            elif isinstance(output, Ended):
                self._end_session(output)

    def _bind_answers(self) -> dict[type[Any], Callable[[Any, object], None]]:
        return {
            **dict.fromkeys(get_args(RequestCommand), self._requests.answered),
            JoinChannel: self._take_membership,
            ListMembers: self._take_members,
            Claim: self._logins.answered,
            Release: self._logins.released,
            ReadInbox: self._pumps.answered,
            ReadChannel: self._pumps.answered,
            ReadChannels: self._pumps.answered,
            AttachMedia: self._media.answered,
            Ban: self._orders.answered,
            Unban: self._orders.answered,
            SendAs: self._web.answered,
            PublishAs: self._web.answered,
            CountMembersOf: self._web.answered,
            Kick: self._web.answered,
            Expel: self._web.answered,
            CheckBearer: self._blobs.checked,
            TakeEvents: self._web.answered,
            ReadHistory: self._take_history,
        }

    def _change_members(self, notice: MemberNotice) -> None:
        feed = self._feeds.change(notice)
        if feed is not None and notice.kind == RTM:
            self._counter.change(feed, notice.version, notice.count)

    def _take_membership(self, command: JoinChannel, value: object) -> None:
        if command.restore and command.cmid == OF_NO_REQUEST:
            self._logins.rejoined(command, value)
        else:
            self._requests.answered(command, value)

    def _take_history(self, command: ReadHistory, value: object) -> None:
        if command.asker is None:
            self._web.answered(command, value)
        else:
            self._requests.answered(command, value)

    def _take_members(self, command: ListMembers, value: object) -> None:
        if command.cmid == OF_NO_REQUEST:
            self._pumps.answered(command, value)
        else:
            self._requests.answered(command, value)

    def _end_session(self, ended: Ended) -> None:
        if self._media.ended(ended):
            return
        self._departures.end(ended)
