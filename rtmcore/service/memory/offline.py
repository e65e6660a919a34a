"""Receivers that are not there: what is kept for them, how much, and how long."""

from collections.abc import Iterable
from itertools import islice
from typing import Final

import attrs

from rtmcore.codes import SendPeerMessageError
from rtmcore.limits import RESULT_MEMORY
from rtmcore.service.commands.entries import Entry
from rtmcore.service.commands.messages import PeerOutcome
from rtmcore.service.commands.names import Name
from rtmcore.service.commands.results import Refusal, Trouble
from rtmcore.service.memory.inboxes import Inboxes
from rtmcore.service.memory.journal import Mark, StoredEntry
from rtmcore.service.memory.state import Account, Inbox, Item, State, Storage
from rtmcore.service.memory.stores import Stores

_MICROSECONDS: Final = 1_000_000
_LOOKED_AT: Final = 1000
"""Offline receivers that one look for what has expired goes through."""
_SOME_INSTANCE: Final = ""
"""The reader of an entry that may have been written to a transport before a restart."""

OFFLINE: Final = SendPeerMessageError.PEER_UNREACHABLE.value
CACHED: Final = SendPeerMessageError.CACHED_BY_SERVER.value

TIMED_OUT: Final = Refusal(
    Trouble.TIMED_OUT,
    "The peer did not acknowledge the message in time: it may or may not have been delivered.",
)
_NOT_STORED: Final = Refusal(
    Trouble.UNAVAILABLE, "The message could not be written to the server's disk, so it was not accepted."
)


class Offline:
    """Keeps what is stored for receivers, from their departure to their return.

    Args:
        state: What it shares with the other parts.
        stores: Where entries are stored.
        inboxes: The logs.
    """

    def __init__(self, state: State, stores: Stores, inboxes: Inboxes) -> None:
        self._state = state
        self._stores = stores
        self._inboxes = inboxes
        self._keepers: dict[Account, None] = {}
        """Offline receivers for whom something is stored."""
        self.restored: dict[tuple[Name, str, int], Item] = {}
        """Entries that a restart brought back, by origin, as long as their senders may repeat them."""
        self._restored_last: dict[tuple[Name, str, Name], int] = {}
        """The last request id among them, by sending instance and receiver."""
        self._restored_until: float | None = None

    # --- Receivers come and go ----------------------------------------------------

    def go_offline(self, account: Account, now: float, wall: int) -> None:
        """A receiver's session has ended and no other took over: what may be stored is, the rest is dropped."""
        inbox = account.inbox
        if inbox is None:
            return
        kept: list[Item] = []
        for item in inbox.items[inbox.head :]:
            if item.storable and item.storage is Storage.MEMORY:
                self._stores.store_late(item, wall)
            if not item.storable:
                if item.hidden:
                    self._inboxes.unhide(item)
                self._inboxes.discard(inbox, item)
                self._inboxes.settle(item, PeerOutcome(OFFLINE) if item.reader is None else TIMED_OUT)
                continue
            if not item.entry.offline:
                item.entry = attrs.evolve(item.entry, offline=True)
                self._state.journal.mark(Mark(item.entry.id, offline=True))
            if item.storage is Storage.STORED:
                self._inboxes.settle(item, PeerOutcome(CACHED, item.entry.id))
            kept.append(item)
        inbox.items = kept
        inbox.head = 0
        if kept:
            self.keep_for(account, now)
            self.make_room(account)
        else:
            account.inbox = None
            self._state.alarms.set(inbox, None)

    def keep_for(self, account: Account, now: float) -> None:
        """Keep an offline receiver's inbox until it has expired."""
        self._keepers[account] = None
        self._state.want_sweep(now)

    def make_room(self, account: Account) -> None:
        """Of what is stored for an offline receiver keep the documented number of messages, the newest.

        What is not on the disk yet takes no room: should the disk not take it, it was never accepted, and must not have
        pushed out what was.
        """
        inbox = account.inbox
        assert inbox is not None
        most = self._state.caps.offline_messages
        if len(inbox.items) - inbox.head > most:
            stored = [item for item in inbox.items[inbox.head :] if item.storage is Storage.STORED]
            self._drop(inbox, stored[: max(0, len(stored) - most)])

    def come_online(self, account: Account, wall: int) -> None:
        """A receiver is about to log in: drop what was kept for too long."""
        self._drop_expired(account, wall)
        self._keepers.pop(account, None)

    def _drop(self, inbox: Inbox, over: Iterable[Item]) -> None:
        for item in over:
            if item.hidden:
                self._inboxes.unhide(item)
            if item.storage is Storage.WRITING:
                self._stores.release_after_commit(item)
            item.dropped = True
            self._inboxes.discard(inbox, item)
        inbox.items = [item for item in inbox.items[inbox.head :] if item.storage is not Storage.GONE]
        inbox.head = 0

    def _drop_expired(self, account: Account, wall: int) -> None:
        inbox = account.inbox
        if inbox is None:
            return
        if inbox.mortal:
            self._drop_mortal(inbox, wall)
        index = self._inboxes.index_after(inbox, wall - self._state.caps.offline_seconds * _MICROSECONDS)
        if index > inbox.head:
            self._drop(inbox, inbox.items[inbox.head : index])

    def come_back(self, account: Account, iid: str, wall: int) -> None:
        """A receiver whose session lives on is back: drop what it has not been given, and whose time is over."""
        inbox = account.inbox
        if inbox is not None and inbox.mortal:
            self._drop_mortal(inbox, wall, iid)

    def _drop_mortal(self, inbox: Inbox, wall: int, reader: str | None = None) -> None:
        """Drop stored entries whose own time is over, without those that this reader was given."""
        kept: list[Item] = []
        inbox.mortal = False
        for item in inbox.items[inbox.head :]:
            given = reader is not None and item.reader == reader
            if not item.expires or item.expires > wall or given:
                inbox.mortal = inbox.mortal or bool(item.expires)
            elif item.storage is Storage.STORED:
                item.dropped = True
                self._inboxes.discard(inbox, item)
                self._inboxes.settle(item, PeerOutcome(CACHED, item.entry.id))
                continue
            else:
                # Whether it is stored at all is not known yet.
                inbox.mortal = True
            kept.append(item)
        inbox.items = kept
        inbox.head = 0

    def sweep(self, now: float, wall: int) -> bool:
        """Drop what was kept for too long; whether anything remains to be looked at."""
        for account in list(islice(self._keepers, _LOOKED_AT)):
            # In turn, so that no look takes long.
            del self._keepers[account]
            self._keepers[account] = None
            self._drop_expired(account, wall)
            if account.inbox is None or not account.inbox.items:
                account.inbox = None
                del self._keepers[account]
                if not account.fence:
                    self._state.forget(account)
        if self._restored_until is not None and now >= self._restored_until:
            self.restored.clear()
            self._restored_last.clear()
            self._restored_until = None
        senders = self._stores.sweep(wall)
        return bool(self._keepers or senders or self.restored)

    # --- What the disk says -------------------------------------------------------

    def committed(self, ids: Iterable[int]) -> None:
        """Entries are on the disk: whoever waited for that is told, and older ones make room."""
        absent: dict[Account, None] = {}
        for entry_id in ids:
            item = self._stores.committed(entry_id)
            if item is None:
                continue
            owner = item.owner
            if owner.live is None and item.storage is Storage.STORED:
                absent[owner] = None
            if item.overdue or owner.live is None or item.storage is Storage.GONE:
                self._inboxes.settle(item, PeerOutcome(CACHED, entry_id))
            if item.hidden:
                self._inboxes.unhide(item)
                self._inboxes.announce(owner)
        for owner in absent:
            self.make_room(owner)

    def commit_failed(self, ids: Iterable[int]) -> None:
        """Entries could not be written. Those that nobody has seen never existed."""
        for entry_id in ids:
            item = self._stores.failed(entry_id)
            if item is None:
                continue
            owner = item.owner
            if item.storage is Storage.GONE:
                self._inboxes.settle(item, _NOT_STORED)
            elif item.hidden or owner.live is None:
                self._inboxes.take_out(item)
                self._inboxes.settle(item, _NOT_STORED if item.reader is None else TIMED_OUT)
                self._inboxes.announce(owner)
            elif item.overdue:
                self._inboxes.settle(item, TIMED_OUT)

    # --- After a restart ----------------------------------------------------------

    def is_behind(self, author: Name, iid: str, cmid: int, to: str) -> bool:
        """Whether something that an instance sent to a receiver later than this was brought back by a restart."""
        receiver = author._replace(name=to)
        return cmid < self._restored_last.get((author, iid, receiver), 0)

    def restore(self, records: Iterable[StoredEntry], now: float, *, clean: bool) -> None:
        """Take in the entries that the journal holds, after the sessions.

        Args:
            records: The entries.
            now: Monotonic seconds.
            clean: Their marks are complete, so an entry without one was never written to its receiver.
        """
        for record in sorted(records, key=lambda record: record.id):
            account = self._state.account(record.to)
            if record.id <= account.cursor:
                self._state.journal.remove(record.id)
                continue
            again = record.written or not clean
            if again and not record.written:
                self._state.journal.mark(Mark(record.id, written=True))
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
            author = record.to._replace(name=record.user)
            item = Item(entry, account, author, None, None, now, now, True, Storage.STORED, record.expires)
            item.reader = _SOME_INSTANCE if again else None
            self._inboxes.place(item)
            if record.expires:
                assert account.inbox is not None
                account.inbox.mortal = True
            self._stores.count(item, record.id)
            self.restored[author, record.iid, record.cmid] = item
            last = author, record.iid, record.to
            self._restored_last[last] = max(record.cmid, self._restored_last.get(last, 0))
            if account.live is None:
                self.keep_for(account, now)
        for account in self._keepers:
            self.make_room(account)
        self._restored_until = now + RESULT_MEMORY
        self._state.want_sweep(now)
