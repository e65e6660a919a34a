"""What is stored for a user, as the user's own requests see it."""

from collections import deque

from rtmcore.codes import SendPeerMessageError
from rtmcore.service.commands.history import Kept, KeptEntry
from rtmcore.service.commands.inboxes import DropStored, ListStored
from rtmcore.service.commands.messages import PeerOutcome
from rtmcore.service.memory.inboxes import Inboxes
from rtmcore.service.memory.results import WRITTEN, Written
from rtmcore.service.memory.state import FENCED, Account, Item, Outlet, Pending, State, Storage
from rtmcore.service.memory.waiting import TOO_MANY, is_repeat, settle, wait

_CACHED = SendPeerMessageError.CACHED_BY_SERVER.value


class StoredMessages:
    """Carries out `ListStored` and `DropStored`.

    Args:
        state: What it shares with the other parts.
        inboxes: The logs.
    """

    def __init__(self, state: State, inboxes: Inboxes) -> None:
        self._state = state
        self._inboxes = inboxes
        self._waiting: deque[tuple[int, Pending]] = deque()
        """Requests that are not answered yet, with the batch that they are in."""

    def list(self, outlet: Outlet, command: ListStored, now: float, wall: int) -> None:
        """Carry out `ListStored`."""
        live = self._state.current(command.session)
        if live is None:
            outlet.answer(command, FENCED)
            return
        account = live.account
        found = _stored(account, command.after, wall)
        messages: list[KeptEntry] = []
        size = 0
        for item in found:
            entry = item.entry
            size += len(entry.body)
            if messages and (len(messages) >= command.messages or size > command.size):
                break
            messages.append(KeptEntry(entry.id, entry.user, account.name.name, False, entry.kind, entry.body))
        outlet.answer(command, Kept(tuple(messages), len(found)))

    def drop(self, outlet: Outlet, command: DropStored, now: float, wall: int) -> None:
        """Carry out `DropStored`."""
        live = self._state.current(command.session)
        if live is None:
            outlet.answer(command, FENCED)
            return
        if is_repeat(outlet, live, command, Written):
            return
        if live.instance.results.full:
            live.instance.results.keep(command.cmid, TOO_MANY)
            outlet.answer(command, TOO_MANY)
            return
        pending = wait(live, command)
        dropped = self._drop(live.account)
        journal = self._state.journal
        if journal.enabled and dropped:
            self._waiting.append((journal.next_number, pending))
        elif self._waiting:
            # What an earlier request dropped may be on its way.
            self._waiting.append((self._waiting[-1][0], pending))
        else:
            settle(self._state, pending, WRITTEN)

    def _drop(self, account: Account) -> bool:
        inbox = account.inbox
        over = {item.entry.id: item for item in _stored(account, 0, 0)}
        if inbox is None or not over:
            return False
        inbox.items = [item for item in inbox.items[inbox.head :] if item.entry.id not in over]
        inbox.head = 0
        for item in over.values():
            item.dropped = True
            self._inboxes.discard(inbox, item)
            self._inboxes.settle(item, PeerOutcome(_CACHED, item.entry.id))
        return True

    def committed(self, number: int) -> None:
        """A batch is on the disk, and what failed before it too."""
        while self._waiting and self._waiting[0][0] <= number:
            settle(self._state, self._waiting.popleft()[1], WRITTEN)


def _stored(account: Account, after: int, wall: int) -> list[Item]:
    """Entries after a position that are on the disk and may be seen, without those whose time is over."""
    inbox = account.inbox
    if inbox is None:
        return []
    top = inbox.visible_top
    return [
        item
        for item in inbox.items[inbox.head :]
        if item.storage is Storage.STORED and after < item.entry.id <= top and not 0 < item.expires <= wall
    ]
