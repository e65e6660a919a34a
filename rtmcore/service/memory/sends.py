"""Sending to a peer: where a message goes, and by when its sender hears what became of it."""

from collections.abc import Iterable
from typing import Final

from rtmcore.codes import SendPeerMessageError
from rtmcore.limits import COMMAND_TIMEOUT, DELIVERY_JOURNAL_DELAY
from rtmcore.service.commands.inboxes import InboxNotice
from rtmcore.service.commands.messages import PeerOutcome, PeerSend
from rtmcore.service.commands.results import Refusal, Trouble
from rtmcore.service.memory.history import History, is_wanted
from rtmcore.service.memory.inboxes import Inboxes
from rtmcore.service.memory.kept import HistoryRecord
from rtmcore.service.memory.offline import CACHED, OFFLINE, TIMED_OUT, Offline
from rtmcore.service.memory.results import fitting
from rtmcore.service.memory.state import FENCED, Account, Inbox, Item, Live, Outlet, State, Storage
from rtmcore.service.memory.stores import Stores
from rtmcore.service.memory.waiting import NOT_WRITTEN

_MICROSECONDS: Final = 1_000_000
_DELIVERED: Final = SendPeerMessageError.OK.value
_TOO_MANY: Final = Refusal(Trouble.FULL, "Too many requests of this client wait for their peers.")


class Sends:
    """Carries out `PeerSend`.

    Args:
        state: What it shares with the other parts.
        stores: Where entries are stored.
        inboxes: The logs.
        offline: What is kept for receivers that are not there.
        history: Where messages are kept besides.
    """

    def __init__(
        self, state: State, stores: Stores, inboxes: Inboxes, offline: Offline, history: History
    ) -> None:
        self._state = state
        self._stores = stores
        self._inboxes = inboxes
        self._offline = offline
        self._history = history
        self._unkept: dict[int, Item] = {}
        """Messages that are hidden until they are in the history."""

    def send(self, outlet: Outlet, command: PeerSend, now: float, wall: int) -> None:
        """Carry out `PeerSend`."""
        live = self._state.current(command.session)
        if live is None:
            outlet.answer(command, FENCED)
            return
        results = live.instance.results
        known = results.look_up(command.cmid, command.floor)
        if known is not None:
            if isinstance(known, Item):
                known.command = command
            else:
                outlet.answer(command, fitting(known, PeerOutcome))
            return
        if self._offline.restored and self._repeat_restored(outlet, live, command, now):
            return
        target = live.account.peers.get(command.to)
        receiver = None if target is None else target.live
        value: PeerOutcome | Refusal | None
        if receiver is None and not command.offline:
            value = PeerOutcome(OFFLINE)
        else:
            value = self._refusal(live, command, target, wall)
        if value is not None:
            results.keep(command.cmid, value)
            outlet.answer(command, value)
        elif receiver is None or target is None or (receiver.unreachable and command.offline):
            self._send_through_store(live, command, now, wall)
        else:
            self._send_to(receiver, live, command, now, wall)

    def _refusal(self, sender: Live, command: PeerSend, target: Account | None, wall: int) -> Refusal | None:
        if sender.instance.results.full:
            return _TOO_MANY
        refusal = self._inboxes.refusal(target, len(command.body))
        if refusal is not None or not command.offline:
            return refusal
        if target is not None and target.live is not None and not target.live.unreachable:
            return None
        trouble = self._stores.refusal(sender.account.name, len(command.body), wall)
        return None if trouble is None else Refusal(Trouble.FULL, trouble)

    def _send_to(self, receiver: Live, sender: Live, command: PeerSend, now: float, wall: int) -> None:
        """The receiver has a session: its acknowledgement is the outcome, unless it comes too late."""
        entry_id = self._state.clock.tick(wall)
        target = receiver.account
        item = self._inboxes.append(target, sender, command, entry_id, now)
        self._await(item)
        inbox = target.inbox
        assert inbox is not None
        if command.ttl is not None:
            _limit(item, inbox, command.ttl, wall)
        if command.history:
            self._keep(item, wall)
        if command.offline:
            inbox.unstored.append(item)
            self._alarm_by(inbox, now + DELIVERY_JOURNAL_DELAY)
        if receiver.outlet is not None and not (receiver.unreachable or receiver.gone or inbox.blocked):
            # The path of nearly every message: its receiver is there, and nothing lies before it.
            item.reader = receiver.instance.iid
            receiver.noticed = entry_id
            receiver.outlet.outputs.append(InboxNotice(receiver.session, item.entry))

    def _send_through_store(self, sender: Live, command: PeerSend, now: float, wall: int) -> None:
        """The receiver is offline or unreachable, and the message is stored before anybody sees it."""
        entry_id = self._state.clock.tick(wall)
        name = sender.account.name
        target = self._state.account(name._replace(name=command.to))
        item = self._inboxes.append(target, sender, command, entry_id, now)
        self._await(item)
        if command.ttl is not None:
            assert target.inbox is not None
            _limit(item, target.inbox, command.ttl, wall)
        self._stores.store(item, wall)
        if item.storage is Storage.WRITING:
            self._inboxes.hide(item)
        if command.history:
            self._keep(item, wall)
        if target.live is None:
            self._offline.keep_for(target, now)
            if item.storage is Storage.STORED:
                self._inboxes.settle(item, PeerOutcome(CACHED, entry_id))
                self._offline.make_room(target)

    # --- The history --------------------------------------------------------------

    def _keep(self, item: Item, wall: int) -> None:
        """Keep a message in the history, if it is to be: nobody sees it before the commit."""
        command = item.command
        if command is None or not is_wanted(command):
            return
        entry = item.entry
        record = HistoryRecord(
            entry.id,
            item.author.app,
            entry.user,
            entry.iid,
            entry.cmid,
            item.owner.name.name,
            False,
            entry.kind,
            entry.body,
        )
        self._history.keep(record, wall)
        if self._state.journal.enabled and not item.hidden:
            self._inboxes.hide(item)
            self._unkept[entry.id] = item

    def is_unkept(self, item: Item) -> bool:
        """Whether a message is on its way into the history, so that it may turn out never to have existed."""
        return item.entry.id in self._unkept

    def committed(self, records: Iterable[HistoryRecord]) -> None:
        """Messages are in the history: now their receivers may see them."""
        for record in records:
            item = self._unkept.pop(record.id, None)
            if item is not None and item.hidden:
                self._inboxes.unhide(item)
                self._inboxes.announce(item.owner)
                if item.results is not None:
                    item.results.is_kept()

    def commit_failed(self, records: Iterable[HistoryRecord]) -> None:
        """Messages could not be kept: they never existed."""
        for record in records:
            item = self._unkept.pop(record.id, None)
            if item is not None and item.hidden:
                self._inboxes.take_out(item)
                self._inboxes.settle(item, NOT_WRITTEN)
                self._inboxes.announce(item.owner)

    def _repeat_restored(self, outlet: Outlet, sender: Live, command: PeerSend, now: float) -> bool:
        """Attach a repeated send to its entry that a restart brought back; False where it is a new one."""
        author = sender.account.name
        item = self._offline.restored.get((author, command.iid, command.cmid))
        if item is None:
            if not self._offline.is_behind(author, command.iid, command.cmid, command.to):
                return False
            # It was in memory only, and may have been delivered. Now it would come after what was sent later.
            sender.instance.results.keep(command.cmid, TIMED_OUT)
            outlet.answer(command, TIMED_OUT)
            return True
        results = item.results = sender.instance.results
        results.pending[command.cmid] = item
        item.command = command
        if item.storage is Storage.GONE:
            self._inboxes.settle(item, PeerOutcome(CACHED if item.dropped else _DELIVERED, item.entry.id))
        elif item.owner.live is None:
            self._inboxes.settle(item, PeerOutcome(CACHED, item.entry.id))
        else:
            item.deadline = now + command.wait
            self._state.alarms.set(item, item.deadline)
        return True

    # --- Time ---------------------------------------------------------------------

    def _await(self, item: Item) -> None:
        """See to it that the sender is answered at its deadline."""
        inbox = item.owner.inbox
        command = item.command
        results = item.results
        assert inbox is not None
        assert command is not None
        assert results is not None
        results.pending[command.cmid] = item
        waiting = inbox.waiting
        if waiting and item.deadline < waiting[-1].deadline:
            self._state.alarms.set(item, item.deadline)
            return
        waiting.append(item)
        self._alarm_by(inbox, item.deadline)

    def _alarm_by(self, inbox: Inbox, when: float) -> None:
        if inbox.alarm is None or when < inbox.alarm:
            self._state.alarms.set(inbox, when)

    def on_inbox_alarm(self, inbox: Inbox, now: float, wall: int) -> None:
        """Answer senders whose time is up, and store what was not acknowledged in time."""
        unstored = inbox.unstored
        while unstored:
            item = unstored[0]
            if item.storage is Storage.MEMORY and item.storable:
                if item.accepted + DELIVERY_JOURNAL_DELAY > now:
                    break
                self._stores.store_late(item, wall)
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
            self._stores.store_late(item, wall)
        if item.storable and item.storage is Storage.STORED:
            self._inboxes.settle(item, PeerOutcome(CACHED, item.entry.id))
        elif item.storable and not item.overdue:
            # It is on its way to the disk, and the answer depends on whether it arrives.
            item.overdue = True
            self._state.alarms.set(item, now + COMMAND_TIMEOUT)
        else:
            self._inboxes.settle(item, TIMED_OUT)


def _limit(item: Item, inbox: Inbox, seconds: float, wall: int) -> None:
    """Let an entry be dropped after a time, if it is stored by then."""
    item.expires = max(1, wall + round(seconds * _MICROSECONDS))
    inbox.mortal = True
