"""Peer messages: the inboxes, what becomes of a send, and what is kept for an offline receiver."""

from bisect import bisect_right
from collections.abc import Iterable
from typing import Final

import attrs

from rtmcore.codes import SendPeerMessageError
from rtmcore.limits import (
    COMMAND_TIMEOUT,
    DELIVERY_JOURNAL_DELAY,
    INBOX_ENTRY_OVERHEAD,
    OFFLINE_SECONDS,
    RESULT_MEMORY,
)
from rtmcore.service.commands import (
    Acknowledge,
    Answer,
    Entry,
    InboxNotice,
    Name,
    Page,
    PeerOutcome,
    PeerSend,
    ReadInbox,
    Refusal,
    Trouble,
)
from rtmcore.service.memory.journal import Mark, StoredEntry
from rtmcore.service.memory.state import FENCED, Account, Inbox, Item, Live, Outlet, State, Storage
from rtmcore.service.memory.stores import StoreUse

_MICROSECONDS: Final = 1_000_000
_COMPACT_FROM: Final = 256
"""Acknowledged items at the head of a list from which it is worth moving the rest down."""
_SOME_INSTANCE: Final = ""
"""The reader of an entry that may have been written to a transport before a restart."""

_DELIVERED: Final = SendPeerMessageError.OK.value
_OFFLINE: Final = SendPeerMessageError.PEER_UNREACHABLE.value
_CACHED: Final = SendPeerMessageError.CACHED_BY_SERVER.value

_TIMED_OUT: Final = Refusal(
    Trouble.TIMED_OUT,
    "The peer did not acknowledge the message in time: it may or may not have been delivered.",
)
_NOT_STORED: Final = Refusal(
    Trouble.UNAVAILABLE, "The message could not be written to the server's disk, so it was not accepted."
)
_TOO_MANY: Final = Refusal(Trouble.FULL, "Too many requests of this client wait for their peers.")


def _id_of(item: Item) -> int:
    return item.entry.id


class Inboxes:
    """Carries out the commands about peer messages.

    Args:
        state: What it shares with the other parts.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self._use = StoreUse(state.caps)
        self._all_bytes = 0
        self._writing: dict[int, Item] = {}
        self._keepers: dict[Account, None] = {}
        """Offline receivers for whom something is stored."""
        self._restored: dict[tuple[Name, str, int], Item] = {}
        """Entries that a restart brought back, by origin, while their senders may still repeat them."""
        self._restored_until: float | None = None

    # --- Sending ------------------------------------------------------------------

    def send(self, outlet: Outlet, command: PeerSend, now: float, wall: int) -> None:
        """Carry out `PeerSend`."""
        state = self._state
        live = state.current(command.session)
        if live is None:
            outlet.answer(command, FENCED)
            return
        results = live.instance.results
        known = results.look_up(command.cmid, command.floor)
        if known is not None:
            if isinstance(known, Item):
                known.command = command
            else:
                outlet.answer(command, known)
            return
        if self._restored and self._repeat_restored(live, command, now):
            return
        account = live.account
        target = account.peers.get(command.to)
        receiver = None if target is None else target.live
        if receiver is None and not command.offline:
            outcome = PeerOutcome(_OFFLINE)
            results.keep(command.cmid, outcome)
            outlet.answer(command, outcome)
            return
        store_now = command.offline and (receiver is None or receiver.unreachable)
        refusal = self._refusal(target, account.name, command, wall, stored=store_now, full=results.full)
        if refusal is not None:
            results.keep(command.cmid, refusal)
            outlet.answer(command, refusal)
            return
        entry_id = state.clock.tick(wall)
        if target is None:
            target = state.account(Name(account.name.app, account.name.kind, command.to))
        item = self._append(target, live, command, entry_id, now)
        if store_now:
            self._store(item, wall, hidden=True)
            if receiver is None:
                self._keep_for(target, now)
                if item.storage is Storage.STORED:
                    self._settle(item, PeerOutcome(_CACHED, entry_id))
            return
        inbox = target.inbox
        assert inbox is not None
        assert receiver is not None
        if command.offline:
            inbox.unstored.append(item)
            self._alarm_by(inbox, now + DELIVERY_JOURNAL_DELAY)
        if receiver.outlet is not None and not (receiver.unreachable or receiver.gone or inbox.blocked):
            # The path of nearly every message: its receiver is there, and nothing lies before it.
            item.reader = receiver.instance.iid
            receiver.noticed = entry_id
            receiver.outlet.outputs.append(InboxNotice(receiver.session, item.entry))

    def _refusal(
        self, target: Account | None, author: Name, command: PeerSend, wall: int, *, stored: bool, full: bool
    ) -> Refusal | None:
        caps = self._state.caps
        size = len(command.body)
        if full:
            return _TOO_MANY
        if self._all_bytes + size + INBOX_ENTRY_OVERHEAD > caps.all_inboxes_bytes:
            return Refusal(Trouble.FULL, "The inboxes of the server are full.")
        inbox = None if target is None else target.inbox
        if inbox is not None:
            if len(inbox.items) - inbox.head >= caps.inbox_messages:
                return Refusal(
                    Trouble.FULL, f"The receiver's inbox holds {caps.inbox_messages} messages and is full."
                )
            if inbox.size + size > caps.inbox_bytes:
                return Refusal(
                    Trouble.FULL, f"The receiver's inbox holds {caps.inbox_bytes} bytes and is full."
                )
        trouble = self._use.refusal(author, size, wall) if stored else None
        return None if trouble is None else Refusal(Trouble.FULL, trouble)

    def _append(self, target: Account, sender: Live, command: PeerSend, entry_id: int, now: float) -> Item:
        author = sender.account.name
        body = command.body
        results = sender.instance.results
        deadline = now + command.wait
        item = Item(
            Entry(
                entry_id,
                target.top,
                author.name,
                command.iid,
                command.cmid,
                command.kind,
                body,
                target.live is None,
            ),
            target,
            author,
            command,
            results,
            now,
            deadline,
            command.offline,
        )
        target.top = entry_id
        inbox = target.inbox
        if inbox is None:
            inbox = target.inbox = Inbox(target)
        inbox.items.append(item)
        inbox.size += len(body)
        self._all_bytes += len(body) + INBOX_ENTRY_OVERHEAD
        results.pending[command.cmid] = item
        self._await(inbox, item)
        return item

    def _await(self, inbox: Inbox, item: Item) -> None:
        """See to it that the sender is answered at its deadline."""
        waiting = inbox.waiting
        if waiting and item.deadline < waiting[-1].deadline:
            self._state.alarms.set(item, item.deadline)
            return
        waiting.append(item)
        self._alarm_by(inbox, item.deadline)

    def _alarm_by(self, inbox: Inbox, when: float) -> None:
        if inbox.alarm is None or when < inbox.alarm:
            self._state.alarms.set(inbox, when)

    def _repeat_restored(self, live: Live, command: PeerSend, now: float) -> bool:
        """Attach a repeated send to its entry that a restart brought back; False where there is none."""
        item = self._restored.get((live.account.name, command.iid, command.cmid))
        if item is None:
            return False
        results = item.results = live.instance.results
        results.pending[command.cmid] = item
        item.command = command
        if item.storage is Storage.GONE:
            self._settle(item, PeerOutcome(_DELIVERED, item.entry.id))
        elif item.owner.live is None:
            self._settle(item, PeerOutcome(_CACHED, item.entry.id))
        else:
            item.deadline = now + command.wait
            self._state.alarms.set(item, item.deadline)
        return True

    def _settle(self, item: Item, value: PeerOutcome | Refusal) -> None:
        """Tell the sender what became of its message, and remember it."""
        command = item.command
        results = item.results
        if command is None or results is None:
            return
        item.command = None
        results.settle(command.cmid, value)
        if item.alarm is not None:
            self._state.alarms.set(item, None)
        sender = self._state.accounts.get(item.author)
        live = None if sender is None else sender.live
        # An answer belongs to the session and its fence, not to the transport that asked.
        if live is not None and live.outlet is not None and live.session.fence == command.session.fence:
            live.outlet.outputs.append(Answer(command, value))

    # --- Acknowledging and reading ------------------------------------------------

    def acknowledge(self, outlet: Outlet, command: Acknowledge, now: float, wall: int) -> None:
        """Carry out `Acknowledge`."""
        live = self._state.current(command.session)
        if live is not None:
            self.advance(live.account, command.upto)

    def advance(self, account: Account, upto: int) -> None:
        """Drop the entries up to a position: they were handed over."""
        inbox = account.inbox
        top = account.top if inbox is None else inbox.visible_top
        upto = min(upto, top)
        if upto <= account.cursor:
            return
        account.cursor = upto
        if inbox is None:
            return
        items = inbox.items
        head = inbox.head
        end = len(items)
        while head < end:
            item = items[head]
            if item.entry.id > upto:
                break
            head += 1
            self._discard(inbox, item)
            self._settle(item, PeerOutcome(_DELIVERED, item.entry.id))
        if head == end:
            items.clear()
            head = 0
        elif head >= _COMPACT_FROM and head * 2 >= end:
            del items[:head]
            head = 0
        inbox.head = head
        waiting = inbox.waiting
        while waiting and waiting[0].command is None:
            waiting.popleft()
        unstored = inbox.unstored
        while unstored and unstored[0].storage is not Storage.MEMORY:
            unstored.popleft()

    def resume_from(self, account: Account, position: int | None) -> None:
        """Honour the position that a claim names: up to there the instance has handed over its inbox."""
        if position is None or position > self._state.clock.last:
            return
        inbox = account.inbox
        if inbox is not None and inbox.blocked:
            position = min(position, inbox.visible_top)
        self.advance(account, position)
        account.cursor = max(account.cursor, position)
        if inbox is None or not inbox.items:
            account.top = max(account.top, position)

    def read(self, outlet: Outlet, command: ReadInbox, now: float, wall: int) -> None:
        """Carry out `ReadInbox`."""
        live = self._state.current(command.session)
        if live is None:
            outlet.answer(command, FENCED)
            return
        account = live.account
        inbox = account.inbox
        entries: list[Entry] = []
        complete = True
        top = account.top
        if inbox is not None:
            top = inbox.visible_top
            size = 0
            items = inbox.items
            for index in range(self._index_after(inbox, command.after), len(items)):
                item = items[index]
                if item.entry.id > top:
                    break
                size += len(item.entry.body)
                if entries and (len(entries) >= command.messages or size > command.size):
                    complete = False
                    break
                entries.append(self._give(item, live))
        outlet.answer(command, Page(entries, top, 0, complete))

    def announce(self, account: Account) -> None:
        """Tell the receiver's node of the entries that may be seen and that it was not told of."""
        live = account.live
        inbox = account.inbox
        if live is None or inbox is None or live.outlet is None or live.gone or live.unreachable:
            return
        top = inbox.visible_top
        items = inbox.items
        for index in range(self._index_after(inbox, live.noticed), len(items)):
            item = items[index]
            if item.entry.id > top:
                return
            live.noticed = item.entry.id
            live.outlet.outputs.append(InboxNotice(live.session, self._give(item, live)))

    def _index_after(self, inbox: Inbox, position: int) -> int:
        return bisect_right(inbox.items, position, lo=inbox.head, key=_id_of)

    def _give(self, item: Item, reader: Live) -> Entry:
        """The entry as this session's client is to get it, counted as written to it."""
        iid = reader.instance.iid
        if item.reader is None:
            item.reader = iid
            if item.storage is not Storage.MEMORY:
                self._state.journal.mark(Mark(item.entry.id, written=True))
        elif item.reader != iid and not item.entry.again:
            item.entry = attrs.evolve(item.entry, again=True)
        return item.entry

    def _discard(self, inbox: Inbox, item: Item) -> None:
        """Account for an item that leaves its inbox."""
        size = len(item.entry.body)
        inbox.size -= size
        self._all_bytes -= size + INBOX_ENTRY_OVERHEAD
        if item.storage is not Storage.MEMORY:
            self._use.remove(item.author, size)
            self._writing.pop(item.entry.id, None)
            self._state.journal.remove(item.entry.id)
        item.storage = Storage.GONE

    # --- Storing ------------------------------------------------------------------

    def _store(self, item: Item, wall: int, *, hidden: bool = False) -> None:
        """Hand an item to the journal; it is STORED at once where there is none."""
        self._use.add(item.author, len(item.entry.body), wall)
        journal = self._state.journal
        if not journal.enabled:
            item.storage = Storage.STORED
            return
        item.storage = Storage.WRITING
        entry = item.entry
        self._writing[entry.id] = item
        if hidden:
            item.hidden = True
            inbox = item.owner.inbox
            assert inbox is not None
            inbox.blocked.append(item)
        journal.store(
            StoredEntry(
                entry.id,
                item.owner.name,
                entry.user,
                entry.iid,
                entry.cmid,
                entry.kind,
                entry.body,
                entry.offline,
                item.reader is not None,
            )
        )

    def _store_late(self, item: Item, wall: int) -> None:
        """Store an item that its receiver did not acknowledge in time, if the caps allow."""
        if self._use.refusal(item.author, len(item.entry.body), wall) is None:
            self._store(item, wall)
        else:
            item.storable = False

    def committed(self, ids: Iterable[int]) -> None:
        """Entries are on the disk."""
        for entry_id in ids:
            item = self._writing.pop(entry_id, None)
            if item is None:
                continue
            owner = item.owner
            if item.storage is Storage.GONE:
                # Newer messages drove it out while it was being written.
                self._state.journal.remove(entry_id)
                self._settle(item, PeerOutcome(_CACHED, entry_id))
                continue
            item.storage = Storage.STORED
            if item.overdue or owner.live is None:
                self._settle(item, PeerOutcome(_CACHED, entry_id))
            if item.hidden:
                item.hidden = False
                if owner.inbox is not None:
                    owner.inbox.blocked.remove(item)
                self.announce(owner)

    def commit_failed(self, ids: Iterable[int]) -> None:
        """Entries could not be written. Those that nobody has seen never existed."""
        for entry_id in ids:
            item = self._writing.pop(entry_id, None)
            if item is None:
                continue
            if item.storage is Storage.GONE:
                self._settle(item, _NOT_STORED)
                continue
            owner = item.owner
            self._use.remove(item.author, len(item.entry.body))
            item.storage = Storage.MEMORY
            item.storable = False
            if item.hidden or owner.live is None:
                self._take_out(item)
                self._settle(item, _NOT_STORED if item.reader is None else _TIMED_OUT)
                self.announce(owner)
            elif item.overdue:
                self._settle(item, _TIMED_OUT)

    def _take_out(self, item: Item) -> None:
        """Remove one item from its inbox; where nobody has seen it, as if it had never been there."""
        account = item.owner
        inbox = account.inbox
        assert inbox is not None
        index = self._index_after(inbox, item.entry.id) - 1
        if item.hidden:
            item.hidden = False
            inbox.blocked.remove(item)
            if index + 1 < len(inbox.items):
                follower = inbox.items[index + 1]
                follower.entry = attrs.evolve(follower.entry, prev=item.entry.prev)
            else:
                account.top = item.entry.prev
        del inbox.items[index]
        self._discard(inbox, item)

    # --- Receivers come and go ----------------------------------------------------

    def go_offline(self, account: Account, now: float, wall: int) -> None:
        """A receiver's session has ended and no other took over: what may be stored is, the rest is dropped."""
        inbox = account.inbox
        if inbox is None:
            return
        items = inbox.items[inbox.head :]
        kept: list[Item] = []
        for item in items:
            if item.storable and item.storage is Storage.MEMORY:
                self._store_late(item, wall)
            if not item.storable:
                self._discard(inbox, item)
                self._settle(item, PeerOutcome(_OFFLINE) if item.reader is None else _TIMED_OUT)
                continue
            if not item.entry.offline:
                item.entry = attrs.evolve(item.entry, offline=True)
                self._state.journal.mark(Mark(item.entry.id, offline=True))
            if item.storage is Storage.STORED:
                self._settle(item, PeerOutcome(_CACHED, item.entry.id))
            kept.append(item)
        inbox.items = kept
        inbox.head = 0
        if kept:
            self._keep_for(account, now)
        else:
            account.inbox = None
            self._state.alarms.set(inbox, None)

    def _keep_for(self, account: Account, now: float) -> None:
        """Hold an offline receiver's inbox to the documented number of messages."""
        inbox = account.inbox
        assert inbox is not None
        self._keepers[account] = None
        self._state.want_sweep(now)
        over = len(inbox.items) - inbox.head - self._state.caps.offline_messages
        if over > 0:
            self._drop_oldest(inbox, over)

    def _drop_oldest(self, inbox: Inbox, count: int) -> None:
        for item in inbox.items[inbox.head : inbox.head + count]:
            being_written = item.storage is Storage.WRITING
            if item.hidden:
                item.hidden = False
                inbox.blocked.remove(item)
            if being_written:
                # Its sender is still answered with what becomes of the commit.
                self._use.remove(item.author, len(item.entry.body))
                item.storage = Storage.MEMORY
            self._discard(inbox, item)
            if not being_written:
                self._settle(item, PeerOutcome(_CACHED, item.entry.id))
        del inbox.items[: inbox.head + count]
        inbox.head = 0

    def come_online(self, account: Account, wall: int) -> None:
        """A receiver logs in: drop what was kept for too long."""
        self._drop_expired(account, wall)
        self._keepers.pop(account, None)

    def _drop_expired(self, account: Account, wall: int) -> None:
        inbox = account.inbox
        if inbox is None or account.live is not None:
            return
        oldest = wall - OFFLINE_SECONDS * _MICROSECONDS
        index = self._index_after(inbox, oldest)
        if index > inbox.head:
            self._drop_oldest(inbox, index - inbox.head)

    # --- Time ---------------------------------------------------------------------

    def on_inbox_alarm(self, inbox: Inbox, now: float, wall: int) -> None:
        """Answer senders whose time is up, and journal what was not acknowledged in time."""
        unstored = inbox.unstored
        while unstored:
            item = unstored[0]
            if item.storage is Storage.MEMORY and item.storable:
                if item.accepted + DELIVERY_JOURNAL_DELAY > now:
                    break
                self._store_late(item, wall)
            unstored.popleft()
        waiting = inbox.waiting
        while waiting:
            item = waiting[0]
            if item.command is not None:
                if item.deadline > now:
                    break
                self.on_item_alarm(item, now, wall)
            waiting.popleft()
        if unstored:
            self._alarm_by(inbox, unstored[0].accepted + DELIVERY_JOURNAL_DELAY)
        if waiting:
            self._alarm_by(inbox, waiting[0].deadline)

    def on_item_alarm(self, item: Item, now: float, wall: int) -> None:
        """A sender's time is up: it is told CACHED if that is so, and otherwise that nobody knows."""
        if item.command is None:
            return
        if item.storable and item.storage is Storage.MEMORY:
            self._store_late(item, wall)
        if not item.storable or (item.overdue and item.storage is not Storage.STORED):
            self._settle(item, _TIMED_OUT)
        elif item.storage is Storage.STORED:
            self._settle(item, PeerOutcome(_CACHED, item.entry.id))
        else:
            item.overdue = True
            self._state.alarms.set(item, now + COMMAND_TIMEOUT)

    def sweep(self, now: float, wall: int) -> bool:
        """Drop what was kept for too long; whether anything remains to be looked at."""
        for account in list(self._keepers):
            self._drop_expired(account, wall)
            if account.inbox is None or not account.inbox.items:
                account.inbox = None
                del self._keepers[account]
                if not account.fence:
                    self._state.forget(account)
        if self._restored_until is not None and now >= self._restored_until:
            self._restored.clear()
            self._restored_until = None
        senders = self._use.sweep(wall)
        return bool(self._keepers or senders or self._restored)

    # --- After a restart ----------------------------------------------------------

    def restore(self, records: Iterable[StoredEntry], now: float, wall: int, *, clean: bool) -> None:
        """Take in the entries that the journal holds.

        Args:
            records: The entries.
            now: Monotonic seconds.
            wall: Microseconds since 1970.
            clean: Their marks are complete, so an entry without one was never written to its receiver.
        """
        for record in sorted(records, key=lambda record: record.id):
            account = self._state.account(record.to)
            if record.id <= account.cursor:
                self._state.journal.remove(record.id)
                continue
            again = record.written or not clean
            entry = Entry(
                record.id,
                account.top,
                record.user,
                record.iid,
                record.cmid,
                record.kind,
                record.body,
                record.offline or account.live is None,
                again,
            )
            author = Name(record.to.app, record.to.kind, record.user)
            item = Item(entry, account, author, None, None, now, now, True, Storage.STORED)
            item.reader = _SOME_INSTANCE if again else None
            account.top = record.id
            inbox = account.inbox
            if inbox is None:
                inbox = account.inbox = Inbox(account)
            inbox.items.append(item)
            inbox.size += len(record.body)
            self._all_bytes += len(record.body) + INBOX_ENTRY_OVERHEAD
            self._use.add(author, len(record.body), record.id)
            self._restored[author, record.iid, record.cmid] = item
            if account.live is None:
                self._keep_for(account, now)
        self._restored_until = now + RESULT_MEMORY
        self._state.want_sweep(now)
