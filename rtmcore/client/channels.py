"""Channels that this client is in: its place in their logs, who else is there, and what happens on a return."""

from collections.abc import Callable, Mapping
from typing import Final

import attrs

from rtmcore.client.channel_info import read_attributes
from rtmcore.client.events import (
    ChannelAttributesUpdated,
    ChannelGap,
    ChannelLost,
    Event,
    MemberCountChanged,
    MemberJoined,
    MemberLeft,
)
from rtmcore.client.inbox import KINDS
from rtmcore.client.logs import LogReader
from rtmcore.client.requests import JOIN, LEAVE, Operation, Ticket
from rtmcore.codes import CloseCode, JoinChannelError, LeaveChannelError, LeaveChannelReason
from rtmcore.connection.model import State
from rtmcore.errors import RemoteProtocolError, error_for
from rtmcore.figures import Figures
from rtmcore.limits import (
    CHANNEL_HELD_BYTES,
    CHANNEL_HELD_MESSAGES,
    CHANNEL_SENDERS_REMEMBERED,
    REQUESTS_IN_FLIGHT,
)
from rtmcore.models import ChannelMessage, JoinResult
from rtmcore.wire.described import read_body
from rtmcore.wire.packets import (
    ChannelAttributesChanged,
    ChannelEntry,
    ChannelPosition,
    Expelled,
    Joined,
    MemberChanged,
    MemberCount,
    Packet,
    Published,
    Restored,
    Roster,
    Sync,
    Top,
)

_HARD_BOUND: Final = 2


@attrs.define(eq=False)
class Channel:
    """A channel that this client is in."""

    name: str
    reader: LogReader[ChannelEntry]
    version: int = 0
    count: int = 1
    members: set[str] | None = attrs.field(factory=set)
    """The others that are known; None where the channel is too large to list them."""
    own: dict[int, None] = attrs.field(factory=dict)
    """Ids of own publishes that wait for their answer, oldest first."""
    barrier: int | None = None
    """While a gap is open: the newest own publish that may be the missing link."""
    leaving: bool = False
    reborn: bool = False
    """The server has lost its memory of the members since the last roster."""
    log_reborn: bool = False
    """The server has lost its memory of the log: its top is the new position, whatever the old one was."""
    awaited: set[str] = attrs.field(factory=set)
    """Members that the server forgot: they have some time to come back before they count as gone."""
    awaited_until: float = 0.0
    told_count: int | None = None
    """The last number of members that the application was told by an event of its own."""


class Channels:
    """All channels of one client.

    Args:
        user: Who this client is; he is not announced to himself.
        emit: Takes events for the application.
        ask: Takes questions to the server.
        figures: Those in force.

    Attributes:
        awaiting: Whether members are awaited anywhere who the server has forgotten.
    """

    def __init__(
        self, user: str, emit: Callable[[Event], None], ask: Callable[[Packet], None], figures: Figures
    ) -> None:
        self._user = user
        self._figures = figures
        self._emit = emit
        self._ask = ask
        self._joined: dict[str, Channel] = {}
        self._joining: set[str] = set()
        # Channels that are left before they were joined.
        self._aborted: set[str] = set()
        # Channels that this client was taken out of and has not joined since.
        self._expelled: dict[str, None] = {}
        self._rosters: dict[str, Roster] = {}
        # Numbers of members that came before the answer to the join.
        self._early_counts: dict[str, MemberCount] = {}
        # The newest request id seen of each sender in each channel, in two generations of bounded size.
        self._senders: dict[tuple[str, str], int] = {}
        self._older_senders: dict[tuple[str, str], int] = {}
        self.awaiting = False
        # Own messages whose time was over, by request: the answer may come yet, and says where they are in the log.
        self._given_up: dict[int, str] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """The channels that this client is in."""
        return tuple(name for name, channel in self._joined.items() if not channel.leaving)

    def is_member(self, name: str) -> bool:
        """Whether this client is in a channel and does not leave it."""
        channel = self._joined.get(name) if isinstance(name, str) else None
        return channel is not None and not channel.leaving

    # --- Joining and leaving ------------------------------------------------------------------------------------

    def check_join(self, name: str, state: State) -> None:
        """Refuse a join that cannot succeed.

        Raises:
            AlreadyJoined: The channel is joined or being joined.
            LimitExceeded: As many are as the server allows, `limits.CHANNELS_JOINED` if it says no other figure.
        """
        if name in self._joining or name in self._joined or name in self._aborted:
            raise error_for(
                JoinChannelError.ALREADY_JOINED,
                "This client is in the channel, or is joining it, already.",
                operation=JOIN.name,
                state=state.name,
            )
        most = self._figures.sizes.channels
        if len(self._joined) + len(self._joining) >= most:
            raise error_for(
                JoinChannelError.EXCEED_LIMIT,
                f"This client is in {most} channels, which is the limit. Leave one first.",
                operation=JOIN.name,
                state=state.name,
            )

    def check_member(self, name: str, operation: Operation, state: State) -> None:
        """Refuse a call that needs membership.

        Raises:
            NotInChannel: This client is not in the channel.
        """
        if not self.is_member(name):
            if operation is LEAVE and name in self._expelled:
                raise error_for(
                    LeaveChannelError.KICKED,
                    "This client was taken out of the channel.",
                    operation=operation.name,
                    state=state.name,
                )
            error = error_for(
                operation.not_in_channel,
                "This client is not in the channel.",
                operation=operation.name,
                state=state.name,
            )
            if operation is LEAVE:
                error.hint = "There is nothing to leave."
            raise error

    def join_begun(self, name: str) -> None:
        """A join was requested."""
        self._joining.add(name)

    def join_ended(self, name: str) -> None:
        """A join failed or was given up."""
        self._joining.discard(name)
        self._rosters.pop(name, None)
        self._early_counts.pop(name, None)

    def joined(self, ticket: Ticket, name: str, packet: Joined) -> JoinResult:
        """A join succeeded."""
        roster, early_count = self._rosters.get(name), self._early_counts.get(name)
        self.join_ended(name)
        channel = Channel(name, LogReader(packet.id))
        if roster is not None:
            channel.version = roster.version
            channel.count = roster.count
            channel.members = self._others(roster)
        self._joined[name] = channel
        self._expelled.pop(name, None)
        if early_count is not None:
            self.member_count(early_count)
        if ticket.link != ticket.first_link:
            # The answer may be the repeat of an older one, and what came in between went to a dead transport.
            self._ask_for_top(channel)
        return JoinResult(name, channel.count, packet.id)

    def enter(self, name: str) -> None:
        """The server has made this client a member without being asked: of the channel that its session is about.

        Nothing from before that moment is received, wherever the log stands.
        """
        channel = self._joined[name] = Channel(name, LogReader(0), log_reborn=True)
        channel.reader.restart(replaying=True)

    def leave_begun(self, name: str) -> None:
        """A leave was requested, perhaps during the join."""
        channel = self._joined.get(name)
        if channel is None:
            self._aborted.add(name)
        else:
            channel.leaving = True

    def leave_given_up(self, name: str) -> None:
        """A leave was certainly not carried out: the client is still in the channel."""
        self._aborted.discard(name)
        channel = self._joined.get(name)
        if channel is not None:
            channel.leaving = False

    def left(self, name: str) -> None:
        """This client is not in the channel any more."""
        self._joined.pop(name, None)
        self._aborted.discard(name)

    def clear(self) -> None:
        """The session is over."""
        self._aborted.clear()
        self._joined.clear()
        self._joining.clear()
        self._expelled.clear()
        self._rosters.clear()
        self._early_counts.clear()
        self._given_up.clear()

    # --- A return -----------------------------------------------------------------------------------------------

    def positions(self) -> list[ChannelPosition]:
        """Where this client stands, for its hello."""
        return [
            ChannelPosition(name, channel.reader.last, channel.version)
            for name, channel in self._joined.items()
            if not channel.leaving
        ]

    def taken(self) -> dict[str, int]:
        """How many messages were taken from each channel of the hello; `welcomed` wants it back."""
        return {name: channel.reader.taken for name, channel in self._joined.items() if not channel.leaving}

    def welcomed(self, restored: Mapping[str, int], *, new_epoch: bool) -> None:
        """A session begins or goes on.

        Args:
            restored: The channels of the hello; the server reads their logs from the positions in it. What was
                taken from each when it was made; more may have come since on the transport before.
            new_epoch: True where the server has lost its memory of members and windows.
        """
        for name, channel in list(self._joined.items()):
            if channel.leaving and name not in restored:
                self.left(name)
                continue
            reader = channel.reader
            surplus = max(0, reader.taken - restored.get(name, reader.taken))
            if new_epoch:
                channel.reborn = channel.log_reborn = True
                self._hand_over_held(channel)
                surplus = 0  # what was taken is of the old log, of which the server counts nothing
            channel.barrier = None
            reader.restart(replaying=name in restored, surplus=surplus)
            if name not in restored:
                self._ask_for_top(channel)

    def restored(self, packet: Restored) -> None:
        """The server has answered for one channel of the hello."""
        if not packet.code or packet.ch not in self._joined:
            return
        self.left(packet.ch)
        try:
            code = JoinChannelError(packet.code)
        except ValueError:
            code = JoinChannelError.FAILURE
        self._emit(ChannelLost(packet.ch, code, packet.text))

    def expelled(self, packet: Expelled) -> None:
        """This client was taken out of a channel."""
        if packet.ch not in self._joined:
            return
        self.left(packet.ch)
        self._expelled[packet.ch] = None
        if len(self._expelled) > self._figures.sizes.channels:
            del self._expelled[next(iter(self._expelled))]
        self._emit(ChannelLost(packet.ch, JoinChannelError.REJECTED, packet.text, LeaveChannelReason.KICKED))

    # --- Messages -----------------------------------------------------------------------------------------------

    def receive(self, entry: ChannelEntry) -> None:
        """Take an entry of a channel's log.

        Raises:
            RemoteProtocolError: The server sends far more than it may behind a gap.
        """
        channel = self._joined.get(entry.ch)
        if channel is None:
            return
        reader = channel.reader
        for ready in reader.take(entry.id, entry.prev, entry, len(entry.body)):
            self._give(ready)
        if reader.gap or channel.barrier is not None:
            self._mind_gap(channel)

    def publish_begun(self, name: str, request: int) -> None:
        """An own message was requested to be published."""
        self._joined[name].own[request] = None

    def published(self, name: str, packet: Published) -> None:
        """An own message has its place in the log."""
        channel = self._joined.get(name)
        if channel is not None:
            channel.own.pop(packet.i, None)
            for ready in channel.reader.take(packet.id, packet.prev, None):
                self._give(ready)
            if channel.reader.gap or channel.barrier is not None:
                self._mind_gap(channel)

    def published_late(self, packet: Published) -> None:
        """An own message that nobody waits for has its place in the log after all."""
        name = self._given_up.pop(packet.i, None)
        if name is not None:
            self.published(name, packet)

    def publish_ended(self, name: str, request: int) -> None:
        """Nobody waits for the answer of an own message any more."""
        self._given_up[request] = name
        if len(self._given_up) > REQUESTS_IN_FLIGHT:
            del self._given_up[next(iter(self._given_up))]
        channel = self._joined.get(name)
        if channel is not None and request in channel.own:
            del channel.own[request]
            if channel.reader.gap:
                self._mind_gap(channel)

    def top(self, packet: Top) -> None:
        """The server has read a channel's log to its top."""
        channel = self._joined.get(packet.ch or "")
        if channel is None or not (channel.reader.replaying or channel.reader.asked):
            return
        before, lost, behind = channel.reader.top(packet.id, packet.lost)
        if channel.log_reborn:
            channel.log_reborn = False
            channel.reader.last = packet.id
        for entry in before:
            self._give(entry)
        if lost:
            self._emit(ChannelGap(channel.name, lost))
        for entry in behind:
            self._give(entry)
        if channel.reader.gap:
            self._mind_gap(channel)

    def _hand_over_held(self, channel: Channel) -> None:
        """Give out what is held of a log that has ended, and tell of what is missing where it was surely others'.

        How much that is nobody knows any more. An own message without an answer may be all of it.
        """
        others = not channel.own and channel.name not in self._given_up.values()
        for entry, missing in channel.reader.release():
            if missing and others:
                self._emit(ChannelGap(channel.name, 1))
            if entry is not None:
                self._give(entry)

    def _give(self, entry: ChannelEntry) -> None:
        """Hand a message to the application, unless its sender has repeated it."""
        if entry.iid:
            key = (entry.ch, entry.iid)
            senders = self._senders
            newest = senders.get(key)
            if newest is None:
                newest = self._older_senders.get(key, -1)
                if len(senders) >= CHANNEL_SENDERS_REMEMBERED:
                    self._older_senders = senders
                    self._senders = senders = {}
            if entry.i <= newest:
                return
            senders[key] = entry.i
        kind = KINDS.get(entry.kind)
        if kind is not None:
            self._emit(ChannelMessage(entry.ch, entry.user, kind, entry.body, entry.id))
            return
        kind, body, description = read_body(entry.kind, entry.body)
        self._emit(ChannelMessage(entry.ch, entry.user, kind, body, entry.id, description))

    def _mind_gap(self, channel: Channel) -> None:
        """Wait for own publishes that may close the gap, then ask; never hold too much."""
        reader = channel.reader
        if not reader.gap:
            channel.barrier = None
            return
        full = reader.held > CHANNEL_HELD_MESSAGES or reader.held_bytes > CHANNEL_HELD_BYTES
        if reader.answering:
            most = _HARD_BOUND * CHANNEL_HELD_MESSAGES
            if reader.held > most or reader.held_bytes > _HARD_BOUND * CHANNEL_HELD_BYTES:
                raise RemoteProtocolError(
                    f"The server replayed more than {most} messages of a channel.",
                    close_code=CloseCode.POLICY,
                )
            return
        if full:
            # Whatever is let go here comes again in the answer, or is counted as lost there.
            reader.forget_held()
        if reader.asked:
            return
        if channel.barrier is None:
            channel.barrier = next(reversed(channel.own), 0)
        if full or next(iter(channel.own), channel.barrier + 1) > channel.barrier:
            self._ask_for_top(channel)

    def _ask_for_top(self, channel: Channel) -> None:
        channel.barrier = None
        channel.reader.ask()
        self._ask(Sync(channel.reader.last, channel.name))

    # --- Members ------------------------------------------------------------------------------------------------

    def roster(self, packet: Roster, forgotten_until: float) -> None:
        """Take the list of a channel's members; tell the application what has changed.

        Args:
            packet: The list.
            forgotten_until: Until when members may come back that the server forgot when it lost its memory.
        """
        if packet.ch in self._joining:
            self._rosters[packet.ch] = packet
            return
        channel = self._joined.get(packet.ch)
        if channel is None or (packet.version <= channel.version and not channel.reborn):
            return
        channel.version = packet.version
        channel.count = packet.count
        before, after = channel.members, self._others(packet)
        channel.members = after
        if before is None or after is None:
            channel.awaited.clear()
        elif channel.reborn:
            known = before | channel.awaited
            channel.awaited = known - after
            channel.awaited_until = forgotten_until
            self.awaiting = True
            self._announce(channel, joined=after - known)
        else:
            self._announce(
                channel, left=before - after, joined=after - before - channel.awaited, dropped=True
            )
            channel.awaited -= after
        channel.reborn = False

    def member_changed(self, packet: MemberChanged) -> None:
        """A user has joined or left."""
        channel = self._joined.get(packet.ch)
        if channel is None or packet.version <= channel.version:
            return
        channel.version = packet.version
        channel.count = packet.count
        user = packet.user
        if user == self._user:
            return
        most = self._figures.sizes.member_events
        if not packet.joined and packet.count >= most:
            # Until now the channel was too large for changes to be told: who is in it is not known any more.
            channel.members = None
        members = channel.members
        known = user in channel.awaited or (members is not None and user in members)
        channel.awaited.discard(user)
        if members is not None:
            if packet.joined:
                members.add(user)
                if len(members) > most:
                    channel.members = None
            else:
                members.discard(user)
        if packet.joined and not known:
            self._announce(channel, joined={user})
        elif not packet.joined and (known or members is None):
            self._announce(channel, left={user}, dropped=packet.dropped)

    def member_count(self, packet: MemberCount) -> None:
        """The server tells how many members a channel has."""
        if packet.ch in self._joining:
            self._early_counts[packet.ch] = packet
            return
        channel = self._joined.get(packet.ch)
        if channel is not None:
            channel.count = packet.count
            if not channel.reborn:
                self._tell_count(channel)

    def _tell_count(self, channel: Channel) -> None:
        """Tell how many members there are, those included who have some time to come back."""
        count = channel.count + len(channel.awaited)
        if channel.told_count != count:
            channel.told_count = count
            self._emit(MemberCountChanged(channel.name, count))

    def attributes_changed(self, packet: ChannelAttributesChanged) -> None:
        """Somebody has changed the attributes of a channel, and wants its members to know."""
        if packet.ch in self._joined:
            self._emit(ChannelAttributesUpdated(packet.ch, read_attributes(packet.attributes)))

    def next_deadline(self) -> float | None:
        """When `handle_timer` must be called next."""
        if not self.awaiting:
            return None
        return min(
            (channel.awaited_until for channel in self._joined.values() if channel.awaited), default=None
        )

    def handle_timer(self, now: float) -> None:
        """Announce as gone who did not come back after the server had lost its memory."""
        if not self.awaiting:
            return
        for channel in self._joined.values():
            if channel.awaited and now >= channel.awaited_until:
                gone, channel.awaited = channel.awaited, set()
                self._announce(channel, left=gone, dropped=True)
                if channel.told_count is not None:
                    self._tell_count(channel)
        self.awaiting = any(channel.awaited for channel in self._joined.values())

    def _announce(
        self,
        channel: Channel,
        *,
        left: set[str] | None = None,
        joined: set[str] | None = None,
        dropped: bool = False,
    ) -> None:
        for user in sorted(left or ()):
            self._emit(MemberLeft(channel.name, user, channel.count, dropped))
        for user in sorted(joined or ()):
            self._emit(MemberJoined(channel.name, user, channel.count))

    def _others(self, roster: Roster) -> set[str] | None:
        if roster.users is None or len(roster.users) > self._figures.sizes.member_events:
            return None
        return set(roster.users) - {self._user}
