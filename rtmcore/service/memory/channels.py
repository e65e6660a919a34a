"""Channels: who is in them, and the log of what was published."""

from collections import deque
from collections.abc import Iterable
from typing import Final

import attrs

from rtmcore.codes import JoinChannelError, LeaveChannelError, PeerOnlineState, RoomErrorCode
from rtmcore.limits import (
    CHANNEL_MEMORY,
    REPLAY_DRAIN,
)
from rtmcore.service.commands.channels import (
    ALREADY_JOINED,
    NOT_A_MEMBER,
    TOO_MANY_CHANNELS,
    ChannelNotice,
    CountMembers,
    Counts,
    JoinChannel,
    LeaveChannel,
    ListMembers,
    MemberNotice,
    Membership,
    MemberStateNotice,
    Pages,
    ReadChannel,
    ReadChannels,
    Unwatch,
    Watch,
)
from rtmcore.service.commands.entries import Entry, Page
from rtmcore.service.commands.exclusions import EXPELLED, Expel, ExpelNotice, PutOut
from rtmcore.service.commands.messages import Logged, PublishMessage
from rtmcore.service.commands.names import ROOM, RTM, Name
from rtmcore.service.commands.results import Refusal, Settled, Trouble
from rtmcore.service.commands.table import Answer
from rtmcore.service.memory.channel_attributes import AttributedChannels
from rtmcore.service.memory.event_feeds import EventFeeds
from rtmcore.service.memory.history import History, is_wanted
from rtmcore.service.memory.kept import HistoryRecord
from rtmcore.service.memory.positions import Positions
from rtmcore.service.memory.results import FORGOTTEN, fitting
from rtmcore.service.memory.state import FENCED, Channel, ChannelKey, Held, Live, Member, Outlet, State
from rtmcore.service.memory.waiting import NOT_WRITTEN, TOO_MANY, is_repeat, settle, wait

_TEXT: Final = "This session is not a member of the channel: join it first."
_NOT_PUBLISHED: Final = Refusal(NOT_A_MEMBER[PublishMessage], _TEXT)
_NOT_LEFT: Final = Refusal(NOT_A_MEMBER[LeaveChannel], _TEXT)
_KICKED: Final = Refusal(LeaveChannelError.KICKED, "This session was taken out of the channel.")
_NOT_READ: Final = Refusal(NOT_A_MEMBER[ReadChannel], _TEXT)
_NOT_LISTED: Final = Refusal(NOT_A_MEMBER[ListMembers], _TEXT)
_JOINED_ALREADY: Final = Refusal(ALREADY_JOINED, "This session is a member of the channel already.")
_ANOTHER_SCOPE: Final = Refusal(
    JoinChannelError.INVALID_ARGUMENT,
    "A session of an RTC channel or of a room is in that one, and can join no other.",
)
_HELD_TOO_MUCH: Final = Refusal(
    Trouble.FULL, "Too many messages to channels wait for the server's disk. Try again later.", 1.0
)
_SETTLED: Final = Settled()

_MULTIPLIER: Final = 6364136223846793005
_INCREMENT: Final = 1442695040888963407
_MASK: Final = 2**64 - 1


class Channels:
    """Carries out the commands about channels.

    Args:
        state: What it shares with the other parts.
        attributes: Told when the last member leaves.
        history: Where messages are kept.
        events: Told who joins and leaves.
    """

    def __init__(
        self, state: State, attributes: AttributedChannels, history: History, events: EventFeeds
    ) -> None:
        self._state = state
        self._events = events
        self._history = history
        self._unkept: dict[int, Held] = {}
        """Messages that are on their way into the history."""
        self._held_bytes = 0
        self._attributes = attributes
        self._channels = state.channels
        self._with_window: dict[Channel, None] = {}
        self._empty: dict[Channel, float] = {}
        """Channels without members and since when, the longest empty first."""
        self._window_bytes = 0
        self._positions = 0
        self._chance = 0

    # --- Interest of nodes --------------------------------------------------------

    def watch(self, outlet: Outlet, command: Watch, now: float, wall: int) -> None:
        """Carry out `Watch`."""
        channel = self._open((command.app, command.kind, command.channel), now)
        if outlet not in channel.watchers:
            channel.watchers.append(outlet)

    def unwatch(self, outlet: Outlet, command: Unwatch, now: float, wall: int) -> None:
        """Carry out `Unwatch`."""
        channel = self._channels.get((command.app, command.kind, command.channel))
        if channel is not None and outlet in channel.watchers:
            channel.watchers.remove(outlet)

    def _open(self, key: ChannelKey, now: float) -> Channel:
        channel = self._channels.get(key)
        if channel is None:
            # No position and no version of an earlier channel of this name is greater: ids never go back.
            base = self._state.clock.last
            channel = self._channels[key] = Channel(*key, base, base, Positions(base))
            self._emptied(channel, now)
        return channel

    def _emptied(self, channel: Channel, now: float) -> None:
        self._empty[channel] = now
        self._state.want_sweep(now)

    # --- Members ------------------------------------------------------------------

    def join(self, outlet: Outlet, command: JoinChannel, now: float, wall: int) -> None:
        """Carry out `JoinChannel`."""
        live = self._state.current(command.session)
        if live is None:
            outlet.answer(command, FENCED)
            return
        if command.restore:
            member = live.channels.get(command.channel)
            if member is not None:
                outlet.answer(command, self._membership(member.channel))
            else:
                outlet.answer(command, self._enter(live, command, now, wall))
            return
        results = live.instance.results
        known = results.look_up(command.cmid, command.floor)
        if known is not None:
            known = fitting(known, Membership)
            member = live.channels.get(command.channel)
            if member is not None and member.cmid == command.cmid and known is not FORGOTTEN:
                # The first answer was lost, and what it said of the members may be outdated.
                known = self._membership(member.channel)
            outlet.answer(command, known)
            return
        value = self._enter(live, command, now, wall)
        # A repeat tells who is there then, so the names are not kept.
        results.keep(
            command.cmid, attrs.evolve(value, users=None) if isinstance(value, Membership) else value
        )
        outlet.answer(command, value)

    def _enter(self, live: Live, command: JoinChannel, now: float, wall: int) -> Membership | Refusal:
        name = live.account.name
        refusal = self._refusal(live, command)
        if refusal is not None:
            return refusal
        if live.instance.expelled:
            live.instance.expelled.pop(command.channel, None)
        channel = self._open((name.app, name.kind, command.channel), now)
        since, cmid = channel.top, command.cmid
        before = live.instance.left.pop(command.channel, 0)
        if command.restore:
            cmid = 0
            # A node joins participants to their room like those who return; one who has just logged in does not.
            since = since if live.fresh and name.kind != RTM else before
        member = Member(live, channel, since, cmid, channel.own.get(name.name))
        self._empty.pop(channel, None)
        live.channels[command.channel] = channel.members[name.name] = member
        self._changed(channel, name.name, wall, joined=True)
        return self._membership(channel)

    def _refusal(self, live: Live, command: JoinChannel) -> Refusal | None:
        """Why a session cannot join a channel now; None where it can."""
        channel = command.channel
        if channel in live.channels:
            return _JOINED_ALREADY
        expelled = live.instance.expelled
        if command.restore and expelled and channel in expelled:
            return expelled[channel]
        caps = self._state.caps
        if len(live.channels) >= caps.channels_joined:
            return Refusal(
                TOO_MANY_CHANNELS,
                f"A client can be in {caps.channels_joined} channels at the same time: leave one.",
            )
        name = live.account.name
        if name.kind != RTM and channel != name.scope:
            return _ANOTHER_SCOPE
        room = self._channels.get((name.app, ROOM, channel)) if name.kind == ROOM else None
        if room is not None and len(room.members) >= caps.room_participants:
            return Refusal(
                RoomErrorCode.ROOM_MAX_PARTICIPANTS_EXCEEDED,
                f"The room has {caps.room_participants} participants, and more are not admitted.",
            )
        return None

    def leave(self, outlet: Outlet, command: LeaveChannel, now: float, wall: int) -> None:
        """Carry out `LeaveChannel`."""
        live = self._state.current(command.session)
        if live is None:
            outlet.answer(command, FENCED)
            return
        results = live.instance.results
        known = results.look_up(command.cmid, command.floor)
        member = live.channels.get(command.channel)
        if known is not None:
            known = fitting(known, Settled)
            if known is not FORGOTTEN and member is not None and member.cmid == 0:
                # It had left, and the client restored the channel since, for it had not seen the answer.
                self._exit(live, command.channel, now, wall)
            outlet.answer(command, known)
            return
        value: Settled | Refusal = _SETTLED
        if member is not None:
            self._exit(live, command.channel, now, wall)
        elif live.instance.left.pop(command.channel, None) is None:
            value = _KICKED if command.channel in (live.instance.expelled or ()) else _NOT_LEFT
        results.keep(command.cmid, value)
        outlet.answer(command, value)

    def expel(self, outlet: Outlet, command: Expel, now: float, wall: int) -> None:
        """Carry out `Expel`."""
        account = self._state.accounts.get(command.name)
        live = None if account is None else account.live
        member = None if live is None else live.channels.get(command.channel)
        if live is None or member is None:
            outlet.answer(command, PutOut(there=False))
            return
        expelled = live.instance.expelled
        if expelled is None:
            expelled = live.instance.expelled = {}
        refusal = expelled[command.channel] = Refusal(EXPELLED, command.text)
        # Where the answer to the join was lost, a repeat must not say that he is in.
        live.instance.results.replace(member.cmid, refusal)
        if len(expelled) > self._state.caps.channels_joined:
            # A client that is away cannot have been in more, and one that is here learns of each at once.
            del expelled[next(iter(expelled))]
        self._exit(live, command.channel, now, wall)
        if live.outlet is not None and not live.gone:
            live.outlet.outputs.append(ExpelNotice(live.session, command.channel, command.text))
        outlet.answer(command, PutOut(there=True))

    def leave_all(self, live: Live, now: float, wall: int, *, dropped: bool) -> None:
        """A session ends: it leaves its channels, and what it was in is remembered for its instance.

        Args:
            live: The session.
            now: Monotonic seconds.
            wall: Microseconds since 1970.
            dropped: It was silent for too long.
        """
        live.instance.left = {name: member.since for name, member in live.channels.items()}
        for name in list(live.channels):
            self._exit(live, name, now, wall, dropped=dropped)

    def _exit(self, live: Live, name: str, now: float, wall: int, *, dropped: bool = False) -> None:
        channel = live.channels.pop(name).channel
        user = live.account.name.name
        del channel.members[user]
        self._changed(channel, user, wall, joined=False, dropped=dropped)
        if not channel.members:
            self._emptied(channel, now)
            self._attributes.left((channel.app, channel.kind, channel.name), now)

    def _changed(
        self, channel: Channel, user: str, wall: int, *, joined: bool, dropped: bool = False
    ) -> None:
        channel.version += 1
        self._events.member(channel, user, wall, joined=joined)
        count = len(channel.members)
        if count <= self._state.caps.member_events and channel.watchers:
            notice = MemberNotice(
                channel.app, channel.name, user, joined, channel.version, count, channel.kind, dropped
            )
            for outlet in channel.watchers:
                outlet.outputs.append(notice)

    def tell_state(self, live: Live) -> None:
        """A participant of a room has become unreachable, or is back."""
        name = live.account.name
        if name.kind != ROOM:
            return
        state = PeerOnlineState.UNREACHABLE if live.unreachable else PeerOnlineState.ONLINE
        for member in live.channels.values():
            channel = member.channel
            notice = MemberStateNotice(channel.app, channel.name, name.name, state, channel.kind)
            for outlet in channel.watchers:
                outlet.outputs.append(notice)

    def list_members(self, outlet: Outlet, command: ListMembers, now: float, wall: int) -> None:
        """Carry out `ListMembers`."""
        live = self._state.current(command.session)
        if live is None:
            outlet.answer(command, FENCED)
            return
        member = live.channels.get(command.channel)
        if member is None:
            outlet.answer(command, _NOT_LISTED)
            return
        channel = member.channel
        users = tuple(channel.members)
        listed = self._state.caps.members_listed
        if len(users) > listed:
            users = self._some(list(users), listed)
        outlet.answer(
            command,
            Membership(channel.top, channel.version, len(channel.members), users, _unreachable(channel)),
        )

    def count_members(self, outlet: Outlet, command: CountMembers, now: float, wall: int) -> None:
        """Carry out `CountMembers`."""
        live = self._state.current(command.session)
        if live is None:
            outlet.answer(command, FENCED)
            return
        name = live.account.name
        counts = []
        for channel_name in command.channels:
            channel = self._channels.get((name.app, name.kind, channel_name))
            counts.append((channel_name, 0 if channel is None else len(channel.members)))
        outlet.answer(command, Counts(tuple(counts)))

    def _some(self, users: list[str], count: int) -> tuple[str, ...]:
        """A random choice: the start of a shuffle, by a generator that starts at the last id."""
        chance = self._chance ^ self._state.clock.last
        for index in range(count):
            chance = (chance * _MULTIPLIER + _INCREMENT) & _MASK
            other = index + (chance >> 32) % (len(users) - index)
            users[index], users[other] = users[other], users[index]
        self._chance = chance
        return tuple(users[:count])

    # --- The log ------------------------------------------------------------------

    def publish(self, outlet: Outlet, command: PublishMessage, now: float, wall: int) -> None:
        """Carry out `PublishMessage`."""
        state = self._state
        live = state.current(command.session)
        if live is None:
            outlet.answer(command, FENCED)
            return
        results = live.instance.results
        known = results.look_up(command.cmid, command.floor)
        if known is not None:
            is_repeat(outlet, live, command, Logged)
            return
        member = live.channels.get(command.channel)
        if member is None:
            results.keep(command.cmid, _NOT_PUBLISHED)
            outlet.answer(command, _NOT_PUBLISHED)
            return
        channel = member.channel
        if channel.held or (command.history and is_wanted(command)):
            self._hold(outlet, member, command, now, wall)
            return
        author = live.account.name
        own = member.own
        if own is None:
            own = member.own = channel.own.setdefault(author.name, Positions(channel.positions.base))
        entry_id = state.clock.tick(wall)
        logged = Logged(entry_id, channel.top)
        entry = self._append(channel, own, author, command, entry_id, now)
        results.keep(command.cmid, logged)
        outlet.outputs.append(Answer(command, logged))
        notice = ChannelNotice(channel.app, channel.name, entry, author, channel.kind)
        for watcher in channel.watchers:
            watcher.outputs.append(notice)

    def _append(
        self,
        channel: Channel,
        own: Positions,
        author: Name,
        command: PublishMessage,
        entry_id: int,
        now: float,
    ) -> Entry:
        """Put a message at the end of a channel's log. Nobody is told yet."""
        prev = channel.top
        channel.top = entry_id
        body = command.body
        own.append(entry_id)
        positions = channel.positions
        positions.append(entry_id)
        self._positions += 1
        window = channel.window
        if not window:
            self._with_window[channel] = None
            self._state.want_sweep(now)
        entry = Entry(entry_id, prev, author.name, command.iid, command.cmid, command.kind, body)
        window.append((now, entry))
        self._window_bytes += len(body)
        caps = self._state.caps
        while len(window) > caps.replay:
            self._window_bytes -= len(window.popleft()[1].body)
        if self._window_bytes > caps.all_windows_bytes:
            self._shorten_window(channel)
        if len(positions.ids) >= 2 * caps.positions:
            self._forget_positions(channel)
        if self._positions > caps.all_positions:
            self._forget_most_positions()
        return entry

    # --- Messages for the history -------------------------------------------------

    def _hold(self, outlet: Outlet, member: Member, command: PublishMessage, now: float, wall: int) -> None:
        """Publish what goes into the history, or comes behind it: nobody sees it before the commit."""
        live, channel = member.live, member.channel
        state = self._state
        results = live.instance.results
        limit = state.caps.history_held_bytes
        if results.full or self._held_bytes + len(command.body) > limit:
            refusal = TOO_MANY if results.full else _HELD_TOO_MUCH
            results.keep(command.cmid, refusal)
            outlet.answer(command, refusal)
            return
        entry_id = state.clock.tick(wall)
        author = live.account.name
        awaited = False
        if is_wanted(command):
            record = HistoryRecord(
                entry_id,
                author.app,
                author.name,
                command.iid,
                command.cmid,
                channel.name,
                True,
                command.kind,
                command.body,
            )
            self._history.keep(record, wall)
            awaited = state.journal.enabled
        held = Held(channel, wait(live, command), entry_id, not awaited)
        if awaited:
            self._unkept[entry_id] = held
        if channel.held is None:
            channel.held = deque()
        channel.held.append(held)
        self._held_bytes += len(command.body)
        self._let_go(channel, now)

    def _let_go(self, channel: Channel, now: float) -> None:
        """Publish what has waited long enough: for members it is as old as this moment."""
        while channel.held and channel.held[0].ready:
            held = channel.held.popleft()
            command, author = held.pending.command, held.pending.author
            assert isinstance(command, PublishMessage)
            self._held_bytes -= len(command.body)
            own = channel.own.setdefault(author.name, Positions(channel.positions.base))
            member = channel.members.get(author.name)
            if member is not None:
                member.own = own
            entry = self._append(channel, own, author, command, held.id, now)
            settle(self._state, held.pending, Logged(entry.id, entry.prev))
            notice = ChannelNotice(channel.app, channel.name, entry, author, channel.kind)
            for watcher in channel.watchers:
                watcher.outputs.append(notice)

    def committed(self, records: Iterable[HistoryRecord], now: float) -> None:
        """Messages are in the history: now they are published."""
        for record in records:
            held = self._unkept.pop(record.id, None)
            if held is not None:
                held.ready = True
                self._let_go(held.channel, now)

    def commit_failed(self, records: Iterable[HistoryRecord], now: float) -> None:
        """Messages could not be kept: they never existed."""
        for record in records:
            held = self._unkept.pop(record.id, None)
            if held is not None:
                assert held.channel.held is not None
                held.channel.held.remove(held)
                self._held_bytes -= len(record.body)
                settle(self._state, held.pending, NOT_WRITTEN)
                self._let_go(held.channel, now)

    def read(self, outlet: Outlet, command: ReadChannel, now: float, wall: int) -> None:
        """Carry out `ReadChannel`."""
        live = self._state.current(command.session)
        if live is None:
            outlet.answer(command, FENCED)
            return
        member = live.channels.get(command.channel)
        if member is None:
            outlet.answer(command, _NOT_READ)
            return
        outlet.answer(command, self._page(member, command.after, now - command.waited))

    def read_several(self, outlet: Outlet, command: ReadChannels, now: float, wall: int) -> None:
        """Carry out `ReadChannels`."""
        live = self._state.current(command.session)
        if live is None:
            outlet.answer(command, FENCED)
            return
        pages = []
        for name, after in command.positions:
            member = live.channels.get(name)
            if member is not None:
                pages.append((name, self._page(member, after, now - command.waited)))
        found = sorted(entry.id for _, page in pages for entry in page.entries)
        most = self._state.caps.replay
        if len(found) > most:
            oldest = found[-most]
            for _, page in pages:
                kept = [entry for entry in page.entries if entry.id >= oldest]
                page.lost += len(page.entries) - len(kept)
                page.entries = kept
        outlet.answer(command, Pages(tuple(pages)))

    def _page(self, member: Member, position: int, returned: float) -> Page:
        """What a member is to get after a position, and how much of it is gone when it returned."""
        channel = member.channel
        reader = member.live.account.name.name
        after = max(position, member.since)
        oldest = returned - self._state.caps.replay_window
        entries = [
            entry
            for at, entry in channel.window
            if entry.id > after and at >= oldest and entry.user != reader
        ]
        own = member.own or channel.own.get(reader)
        missed = channel.positions.count_after(after) - (own.count_after(after) if own is not None else 0)
        return Page(entries, channel.top, max(0, missed - len(entries)), True)

    def _shorten_window(self, channel: Channel) -> None:
        window = channel.window
        while window and self._window_bytes > self._state.caps.all_windows_bytes:
            self._window_bytes -= len(window.popleft()[1].body)

    def _forget_positions(self, channel: Channel) -> None:
        """Forget the older half of a log's positions; the window's own are always kept."""
        positions = channel.positions
        count = max(0, min(len(positions.ids) // 2, len(positions.ids) - self._state.caps.replay))
        if not count:
            return
        positions.forget(count)
        self._positions -= count
        oldest = positions.ids[0]
        for user, own in list(channel.own.items()):
            own.forget_before(oldest)
            if not own.ids and user not in channel.members:
                del channel.own[user]

    def _forget_most_positions(self) -> None:
        """Forget of the longest logs until a quarter of the room for positions is free, so that this is rare."""
        enough = self._state.caps.all_positions * 3 // 4
        longest = sorted(
            self._channels.values(), key=lambda channel: len(channel.positions.ids), reverse=True
        )
        for channel in longest:
            if self._positions <= enough:
                return
            self._forget_positions(channel)

    # --- Time ---------------------------------------------------------------------

    def sweep(self, now: float) -> bool:
        """Forget what is too old; whether anything remains to be looked at."""
        oldest = now - self._state.caps.replay_window - REPLAY_DRAIN
        for channel in list(self._with_window):
            window = channel.window
            while window and window[0][0] < oldest:
                self._window_bytes -= len(window.popleft()[1].body)
            if not window:
                del self._with_window[channel]
        over = len(self._empty) - self._state.caps.channels_remembered
        for channel, since in list(self._empty.items()):
            # A log without an entry has nothing to be counted.
            if not (channel.watchers or channel.held) and (
                over > 0 or now - since >= CHANNEL_MEMORY or not channel.positions.ids
            ):
                self._forget(channel)
                over -= 1
        return bool(self._with_window or self._empty)

    def _forget(self, channel: Channel) -> None:
        del self._empty[channel]
        del self._channels[channel.app, channel.kind, channel.name]
        # A channel of this name that is made anew counts on from here.
        self._state.clock.pass_by(channel.version)
        self._positions -= len(channel.positions.ids)
        self._window_bytes -= sum(len(entry.body) for _, entry in channel.window)
        self._with_window.pop(channel, None)

    def _membership(self, channel: Channel) -> Membership:
        count = len(channel.members)
        users = tuple(channel.members) if count <= self._state.caps.members_listed else None
        return Membership(channel.top, channel.version, count, users, _unreachable(channel))


def _unreachable(channel: Channel) -> tuple[str, ...]:
    if channel.kind != ROOM:
        return ()
    return tuple(user for user, member in channel.members.items() if member.live.unreachable)
