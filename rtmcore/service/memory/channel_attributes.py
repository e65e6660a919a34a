"""Attributes of channels: who changed them, when they are on the disk, and how long an empty channel keeps them."""

from collections import deque
from collections.abc import Iterable, Mapping
from typing import TypeAlias

import attrs

from rtmcore.limits import JOURNAL_RETRY
from rtmcore.service.commands.attributes import (
    AttributesNotice,
    ChangeChannelAttributes,
    ChannelAttributes,
    ChannelAttributeValue,
    ReadChannelAttributes,
)
from rtmcore.service.commands.results import Refusal, Trouble
from rtmcore.service.memory.attributes import oversize
from rtmcore.service.memory.journal import AttributesRecord
from rtmcore.service.memory.results import WRITTEN, Result, Written
from rtmcore.service.memory.state import FENCED, ChannelKey, Live, Outlet, Pending, State
from rtmcore.service.memory.waiting import NOT_WRITTEN, TOO_MANY, is_repeat, settle, wait

Values: TypeAlias = tuple[tuple[str, ChannelAttributeValue], ...]


@attrs.define(eq=False)
class _Write:
    """A change on its way to the disk."""

    pending: Pending
    values: Values
    """What it comes to."""
    size: int
    notify: bool
    refused: bool = False


@attrs.define(eq=False)
class Attributed:
    """A channel that has attributes, or is about to have some."""

    key: ChannelKey
    values: Values = ()
    size: int = 0
    """Bytes of the values, as they are counted."""
    writes: deque[_Write] = attrs.field(factory=deque)
    """Changes that nobody sees yet, oldest first."""
    due: float = 0.0
    """When the attributes go if nobody is in the channel and nobody changes them."""
    alarm: float | None = None


class AttributedChannels:
    """Carries out the commands about attributes of channels.

    A change counts on top of those before it, and is seen and answered when it is committed. Where a commit fails, all
    changes of that channel that wait are refused, for they were made on top of it.

    Args:
        state: What it shares with the other parts.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self._attributed: dict[ChannelKey, Attributed] = {}
        self._size = 0
        self._waiting: deque[tuple[int, Attributed, _Write]] = deque()
        """Changes that are not answered yet, with the batch that they are in."""

    # --- Commands -----------------------------------------------------------------

    def change(self, outlet: Outlet, command: ChangeChannelAttributes, now: float, wall: int) -> None:
        """Carry out `ChangeChannelAttributes`."""
        live = self._state.current(command.session)
        if live is None:
            outlet.answer(command, FENCED)
            return
        if is_repeat(outlet, live, command, Written):
            return
        name = live.account.name
        key = name.app, name.kind, command.channel
        known = self._attributed.get(key)
        values = _changed(known, command, name.name, wall)
        size = _size_of(values)
        refusal = self._refusal(live, known, values, size)
        if refusal is not None:
            live.instance.results.keep(command.cmid, refusal)
            outlet.answer(command, refusal)
            return
        if known is None:
            known = self._attributed[key] = Attributed(key)
        write = _Write(wait(live, command), values, size, command.notify)
        self._size += size
        known.writes.append(write)
        if not self._has_members(key):
            self._keep_for_a_while(known, now)
        journal = self._state.journal
        if journal.enabled:
            number = journal.write_attributes(AttributesRecord(key, values), awaited=True)
            self._waiting.append((number, known, write))
        else:
            self._apply(known, write)

    def _refusal(self, live: Live, known: Attributed | None, values: Values, size: int) -> Refusal | None:
        if live.instance.results.full:
            return TOO_MANY
        caps = self._state.caps
        pairs = ((key, value.value) for key, value in values)
        refusal = oversize(pairs, "channel", caps.channel_attributes, caps.channel_attributes_bytes)
        if refusal is not None or not values:
            return refusal
        if known is None and len(self._attributed) >= caps.channels_with_attributes:
            text = f"The server holds attributes of {caps.channels_with_attributes} channels, and no more."
            return Refusal(Trouble.FULL, text)
        if self._size + size > caps.all_channel_attributes_bytes:
            text = f"The server holds {caps.all_channel_attributes_bytes} bytes of attributes of channels, and no more."
            return Refusal(Trouble.FULL, text)
        return None

    def read(self, outlet: Outlet, command: ReadChannelAttributes, now: float, wall: int) -> None:
        """Carry out `ReadChannelAttributes`."""
        live = self._state.current(command.session)
        if live is None:
            outlet.answer(command, FENCED)
            return
        name = live.account.name
        known = self._attributed.get((name.app, name.kind, command.channel))
        values = () if known is None else known.values
        if command.keys is not None:
            wanted = frozenset(command.keys)
            values = tuple((key, value) for key, value in values if key in wanted)
        outlet.answer(command, ChannelAttributes(values))

    # --- What the disk says -------------------------------------------------------

    def committed(self, number: int) -> None:
        """A batch is on the disk: its changes are seen and answered."""
        while self._waiting and self._waiting[0][0] <= number:
            _, known, write = self._waiting.popleft()
            if not write.refused:
                self._apply(known, write)

    def commit_failed(self, records: Iterable[AttributesRecord]) -> None:
        """Changes could not be written: they never existed, nor those on top of them."""
        for record in records:
            known = self._attributed.get(record.channel)
            values = () if known is None else known.values
            # A disk may know more of a failed transaction after a crash than it admitted.
            self._state.journal.write_attributes(AttributesRecord(record.channel, values), awaited=False)
            if known is not None:
                while known.writes:
                    write = known.writes[0]
                    write.refused = True
                    self._take_off(known, write, NOT_WRITTEN)
                self._forget_if_bare(known)

    def _apply(self, known: Attributed, write: _Write) -> None:
        self._size += write.size - known.size
        known.values = write.values
        known.size = write.size
        self._take_off(known, write, WRITTEN)
        if write.notify:
            app, kind, name = known.key
            channel = self._state.channels.get(known.key)
            notice = AttributesNotice(app, name, known.values, kind)
            for outlet in () if channel is None else channel.watchers:
                outlet.outputs.append(notice)
        self._forget_if_bare(known)

    def _take_off(self, known: Attributed, write: _Write, value: Result) -> None:
        known.writes.popleft()
        self._size -= write.size
        settle(self._state, write.pending, value)

    def _forget_if_bare(self, known: Attributed) -> None:
        if not known.values and not known.writes:
            self._state.alarms.set(known, None)
            del self._attributed[known.key]

    # --- Time ---------------------------------------------------------------------

    def left(self, key: ChannelKey, now: float) -> None:
        """The last member of a channel has left."""
        known = self._attributed.get(key)
        if known is not None:
            self._keep_for_a_while(known, now)

    def _has_members(self, key: ChannelKey) -> bool:
        channel = self._state.channels.get(key)
        return channel is not None and bool(channel.members)

    def _keep_for_a_while(self, known: Attributed, now: float) -> None:
        known.due = now + self._state.caps.channel_attributes_grace
        if known.alarm is None:
            self._state.alarms.set(known, known.due)

    def on_alarm(self, known: Attributed, now: float) -> None:
        """The time of a channel's attributes may be over."""
        if self._has_members(known.key):
            return
        if known.due > now:
            self._state.alarms.set(known, known.due)
        elif known.writes:
            self._state.alarms.set(known, now + JOURNAL_RETRY)
        else:
            self._size -= known.size
            known.values, known.size = (), 0
            self._forget_if_bare(known)
            journal = self._state.journal
            if journal.enabled:
                journal.write_attributes(AttributesRecord(known.key, ()), awaited=False)

    # --- After a restart ----------------------------------------------------------

    def restore(self, channels: Mapping[ChannelKey, Values], now: float) -> None:
        """Take in the attributes that the journal holds: nobody is in those channels yet."""
        for key, values in channels.items():
            known = self._attributed[key] = Attributed(key, values, _size_of(values))
            self._size += known.size
            self._keep_for_a_while(known, now)


def _changed(known: Attributed | None, command: ChangeChannelAttributes, user: str, wall: int) -> Values:
    """What the attributes of a channel come to with a change, on top of those that wait."""
    values: dict[str, ChannelAttributeValue] = {}
    if known is not None and not command.replace:
        values.update(known.writes[-1].values if known.writes else known.values)
    for key in command.deleted:
        values.pop(key, None)
    for key, value in command.changed:
        values[key] = ChannelAttributeValue(value, user, wall)
    return tuple(values.items())


def _size_of(values: Values) -> int:
    return sum(len(key.encode()) + len(value.value.encode()) + len(value.user) for key, value in values)
