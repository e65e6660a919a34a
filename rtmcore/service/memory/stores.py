"""What is stored beyond the life of the process: on whose behalf, and whether it is on the disk yet."""

import attrs

from rtmcore.limits import DAY
from rtmcore.service.commands.names import Name
from rtmcore.service.memory.journal import StoredEntry
from rtmcore.service.memory.state import Item, State, Storage

_MICROSECONDS_A_DAY = DAY * 1_000_000


@attrs.define
class _Use:
    size: int = 0
    day: int = 0
    count: int = 0


_NO_USE = _Use()


class Stores:
    """Hands entries to the journal, and counts them by sender and in all.

    Args:
        state: The caps to hold senders to, and the journal where entries are stored.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self._journal = state.journal
        self._total = 0
        self._entries = 0
        self._senders: dict[Name, _Use] = {}
        self._writing: dict[int, Item] = {}
        self._swept = 0
        """The day on which senders were forgotten last."""

    def refusal(self, sender: Name, size: int, wall: int) -> str | None:
        """Why a message of so many bytes may not be stored now; None where it may."""
        caps = self._state.caps
        if self._total + size > caps.stored_bytes:
            return f"The server stores {caps.stored_bytes} bytes of offline messages, and that is used up."
        use = self._senders.get(sender) or _NO_USE
        if use.size + size > caps.stored_bytes_per_sender:
            return (
                f"The server stores {caps.stored_bytes_per_sender} bytes of offline messages for one sender, "
                "and that is used up."
            )
        if use.day == wall // _MICROSECONDS_A_DAY and use.count >= caps.stored_messages_per_sender_day:
            return (
                f"The server stores {caps.stored_messages_per_sender_day} offline messages a day for one sender, "
                "and that is used up."
            )
        return None

    def store(self, item: Item, wall: int) -> None:
        """Hand an entry to the journal: it is WRITING until the commit, or STORED at once where there is no journal."""
        self.count(item, wall)
        if not self._journal.enabled:
            item.storage = Storage.STORED
            return
        item.storage = Storage.WRITING
        entry = item.entry
        self._writing[entry.id] = item
        self._journal.store(
            StoredEntry(
                entry.id,
                item.owner.name,
                entry.user,
                entry.iid,
                entry.cmid,
                entry.kind,
                entry.body,
                entry.offline,
                item.reader is not None or entry.again,
                item.expires,
            )
        )

    def store_late(self, item: Item, wall: int) -> None:
        """Store an entry that was accepted without being stored, if the caps allow."""
        if self.refusal(item.author, len(item.entry.body), wall) is None:
            self.store(item, wall)
        else:
            item.storable = False

    def count(self, item: Item, wall: int) -> None:
        """Count an entry as stored from now on."""
        use = self._senders.get(item.author)
        if use is None:
            use = self._senders[item.author] = _Use()
        day = wall // _MICROSECONDS_A_DAY
        if use.day != day:
            use.day = day
            use.count = 0
        use.count += 1
        use.size += len(item.entry.body)
        self._total += len(item.entry.body)
        self._entries += 1

    def _uncount(self, item: Item) -> None:
        self._total -= len(item.entry.body)
        self._entries -= 1
        self._senders[item.author].size -= len(item.entry.body)

    @property
    def size(self) -> tuple[int, int]:
        """How many entries are stored, and the bytes of their bodies."""
        return self._entries, self._total

    def release(self, item: Item) -> None:
        """An entry leaves its inbox, and with it the disk."""
        if item.storage is Storage.WRITING or item.storage is Storage.STORED:
            self._uncount(item)
            self._writing.pop(item.entry.id, None)
            self._journal.remove(item.entry.id)
        item.storage = Storage.GONE

    def release_after_commit(self, item: Item) -> None:
        """An entry leaves its inbox while it is being written, and its sender is to hear how that ends."""
        self._uncount(item)
        item.storage = Storage.GONE

    def committed(self, entry_id: int) -> Item | None:
        """An entry is on the disk. None where it has left its inbox and nobody waits for this."""
        item = self._writing.pop(entry_id, None)
        if item is None:
            return None
        if item.storage is Storage.GONE:
            self._journal.remove(entry_id)
        else:
            item.storage = Storage.STORED
        return item

    def failed(self, entry_id: int) -> Item | None:
        """An entry could not be written, and is not being written any more. None as for `committed`."""
        item = self._writing.pop(entry_id, None)
        if item is not None and item.storage is not Storage.GONE:
            self._uncount(item)
            item.storage = Storage.MEMORY
        return item

    def sweep(self, wall: int) -> bool:
        """Forget senders of whom nothing is stored and who stored nothing today; whether any remain."""
        today = wall // _MICROSECONDS_A_DAY
        if today == self._swept:
            return bool(self._senders)
        self._swept = today
        over = [sender for sender, use in self._senders.items() if not use.size and use.day != today]
        for sender in over:
            del self._senders[sender]
        return bool(self._senders)
