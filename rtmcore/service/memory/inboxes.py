"""The inboxes as logs: entries come in at one end, are read from positions, and leave when acknowledged."""

from bisect import bisect_right
from typing import Final

import attrs

from rtmcore.codes import SendPeerMessageError
from rtmcore.limits import INBOX_ENTRY_OVERHEAD
from rtmcore.service.commands.entries import Entry, Page
from rtmcore.service.commands.inboxes import Acknowledge, InboxNotice, ReadInbox
from rtmcore.service.commands.messages import PeerOutcome, PeerSend
from rtmcore.service.commands.results import Refusal, Trouble
from rtmcore.service.commands.table import Answer
from rtmcore.service.memory.journal import Mark
from rtmcore.service.memory.state import FENCED, Account, Inbox, Item, Live, Outlet, State, Storage
from rtmcore.service.memory.stores import Stores

_COMPACT_FROM: Final = 256
"""Acknowledged items at the head of a list from which it is worth moving the rest down."""

_DELIVERED: Final = SendPeerMessageError.OK.value


def _id_of(item: Item) -> int:
    return item.entry.id


class Inboxes:
    """Carries out the commands of receivers, and keeps the logs for the other parts.

    Args:
        state: What it shares with the other parts.
        stores: Told of entries that leave.
    """

    def __init__(self, state: State, stores: Stores) -> None:
        self._state = state
        self._stores = stores
        self._all_bytes = 0

    @property
    def size(self) -> int:
        """Bytes in all inboxes, with an overhead for each entry."""
        return self._all_bytes

    # --- Entries come in ----------------------------------------------------------

    def refusal(self, target: Account | None, size: int) -> Refusal | None:
        """Why an inbox takes no message of so many bytes now; None where it does."""
        caps = self._state.caps
        if self._all_bytes + size + INBOX_ENTRY_OVERHEAD > caps.all_inboxes_bytes:
            return Refusal(Trouble.FULL, "The inboxes of the server are full.")
        inbox = None if target is None else target.inbox
        if inbox is None:
            return None
        if len(inbox.items) - inbox.head >= caps.inbox_messages:
            return Refusal(
                Trouble.FULL, f"The receiver's inbox may hold {caps.inbox_messages} messages, and is full."
            )
        if inbox.size + size > caps.inbox_bytes:
            return Refusal(
                Trouble.FULL, f"The receiver's inbox may hold {caps.inbox_bytes} bytes, and is full."
            )
        return None

    def append(self, target: Account, sender: Live, command: PeerSend, entry_id: int, now: float) -> Item:
        """Put a message at the end of an inbox. Nobody is told yet."""
        author = sender.account.name
        returned = sender.instance.returned
        item = Item(
            Entry(
                entry_id,
                target.top,
                author.name,
                command.iid,
                command.cmid,
                command.kind,
                command.body,
                target.live is None,
                # An earlier engine may have delivered it, and only the answer was lost.
                returned is not None and now < returned + command.wait,
            ),
            target,
            author,
            command,
            sender.instance.results,
            now,
            now + command.wait,
            command.offline,
        )
        self.place(item)
        return item

    def place(self, item: Item) -> None:
        """Put an item at the end of its owner's inbox."""
        owner = item.owner
        inbox = owner.inbox
        if inbox is None:
            inbox = owner.inbox = Inbox(owner)
        inbox.items.append(item)
        size = len(item.entry.body)
        inbox.size += size
        self._all_bytes += size + INBOX_ENTRY_OVERHEAD
        owner.top = item.entry.id

    def hide(self, item: Item) -> None:
        """Let nobody see an item, nor anything behind it, for the time being."""
        assert item.owner.inbox is not None
        item.hidden = True
        item.owner.inbox.blocked.append(item)

    def unhide(self, item: Item) -> None:
        """An item that was hidden is so no longer."""
        assert item.owner.inbox is not None
        item.hidden = False
        item.owner.inbox.blocked.remove(item)

    # --- Entries leave ------------------------------------------------------------

    def acknowledge(self, outlet: Outlet, command: Acknowledge, now: float, wall: int) -> None:
        """Carry out `Acknowledge`."""
        live = self._state.current(command.session)
        if live is not None:
            self.advance(live.account, command.upto)

    def advance(self, account: Account, upto: int) -> None:
        """Drop the entries up to a position: they were handed over."""
        inbox = account.inbox
        upto = min(upto, account.top if inbox is None else inbox.visible_top)
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
            self.discard(inbox, item)
            self.settle(item, PeerOutcome(_DELIVERED, item.entry.id))
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

    def take_out(self, item: Item) -> None:
        """Remove an item from the middle; one that is hidden as if it had never been there."""
        account = item.owner
        inbox = account.inbox
        assert inbox is not None
        index = self.index_after(inbox, item.entry.id) - 1
        if item.hidden:
            self.unhide(item)
            if index + 1 < len(inbox.items):
                follower = inbox.items[index + 1]
                follower.entry = attrs.evolve(follower.entry, prev=item.entry.prev)
            else:
                account.top = item.entry.prev
        del inbox.items[index]
        self.discard(inbox, item)

    def discard(self, inbox: Inbox, item: Item) -> None:
        """Account for an item that leaves its inbox."""
        size = len(item.entry.body)
        inbox.size -= size
        self._all_bytes -= size + INBOX_ENTRY_OVERHEAD
        self._stores.release(item)

    def settle(self, item: Item, value: PeerOutcome | Refusal) -> None:
        """Tell the sender what became of its message, and remember it for repeats."""
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

    # --- Reading ------------------------------------------------------------------

    def read(self, outlet: Outlet, command: ReadInbox, now: float, wall: int) -> None:
        """Carry out `ReadInbox`."""
        live = self._state.current(command.session)
        if live is None:
            outlet.answer(command, FENCED)
            return
        account = live.account
        inbox = account.inbox
        if inbox is None:
            outlet.answer(command, Page([], account.top, 0, True))
            return
        entries: list[Entry] = []
        complete = True
        top = inbox.visible_top
        size = 0
        items = inbox.items
        for index in range(self.index_after(inbox, command.after), len(items)):
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
        for index in range(self.index_after(inbox, live.noticed), len(items)):
            item = items[index]
            if item.entry.id > top:
                return
            live.noticed = item.entry.id
            live.outlet.outputs.append(InboxNotice(live.session, self._give(item, live)))

    def index_after(self, inbox: Inbox, position: int) -> int:
        """Index in `items` of the first entry after a position."""
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
