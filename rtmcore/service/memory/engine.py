"""The memory engine: the state of the whole system in one process, as a pure machine."""

from collections.abc import Callable
from typing import Any

from rtmcore.limits import CLOCK_RESERVATION
from rtmcore.service.commands.attributes import (
    ChangeAttributes,
    ChangeChannelAttributes,
    ReadAttributes,
    ReadChannelAttributes,
    WriteAttributes,
)
from rtmcore.service.commands.channels import (
    CountMembers,
    CountMembersOf,
    JoinChannel,
    LeaveChannel,
    ListMembers,
    ReadChannel,
    ReadChannels,
    Unwatch,
    Watch,
)
from rtmcore.service.commands.event_feeds import Record, TakeEvents
from rtmcore.service.commands.exclusions import Ban, CheckBearer, Expel, Kick, Unban
from rtmcore.service.commands.history import Kept, ReadHistory
from rtmcore.service.commands.inboxes import Acknowledge, DropStored, ListStored, ReadInbox
from rtmcore.service.commands.media import AttachMedia, DetachMedia, SendData
from rtmcore.service.commands.messages import PeerSend, PublishAs, PublishMessage, SendAs
from rtmcore.service.commands.presence import (
    ListSubscriptions,
    QueryPresence,
    SubscribePresence,
    UnsubscribePresence,
)
from rtmcore.service.commands.results import Refusal, Trouble
from rtmcore.service.commands.sessions import Claim, Heard, Release, Silent
from rtmcore.service.commands.table import Answer, Command, Output
from rtmcore.service.memory.attributes import UserAttributes
from rtmcore.service.memory.bans import Bans
from rtmcore.service.memory.caps import Caps
from rtmcore.service.memory.channel_attributes import Attributed, AttributedChannels
from rtmcore.service.memory.channels import Channels
from rtmcore.service.memory.clock import Exhausted, IdClock
from rtmcore.service.memory.event_feeds import EventFeeds
from rtmcore.service.memory.history import History
from rtmcore.service.memory.inboxes import Inboxes
from rtmcore.service.memory.journal import Batch, Image, Journal
from rtmcore.service.memory.kept import HistoryQuestion
from rtmcore.service.memory.media import Media
from rtmcore.service.memory.offline import Offline
from rtmcore.service.memory.presence import Presence
from rtmcore.service.memory.publishing import Publishing
from rtmcore.service.memory.sends import Sends
from rtmcore.service.memory.sessions import Sessions
from rtmcore.service.memory.state import Inbox, Item, Live, Outlet, State
from rtmcore.service.memory.stored import StoredMessages
from rtmcore.service.memory.stores import Stores

_UNAVAILABLE = Refusal(
    Trouble.UNAVAILABLE, "The server cannot number anything new before its disk has answered. Try again.", 1.0
)


class MemoryEngine:
    """Holds sessions, inboxes and channels in memory, for any number of nodes in the same process.

    Without a journal everything is lost with the process. With one, the engine emits `Batch` values of what must
    outlive it: whoever writes them calls `next_batch` after each command and timer, commits the batch, and reports
    `committed` or `commit_failed`. An engine is rebuilt from the `Image` that the committed batches come to.

    Pure: no clock, no thread, no disk. Not safe for use from several threads.

    Args:
        epoch: A name for the time in which members and windows live; another one after each start.
        caps: How much it may hold.
        image: What the committed batches of earlier engines came to, an empty one at the very first; None for an
            engine without a journal. Its sessions are unreachable and have their keepalive (30 s) to return,
            everybody else is offline. Nothing that needs an id is done before the first batch, which reserves
            ids, is committed.
        now: Monotonic seconds, with an image.
        wall: Microseconds since 1970, with an image. Ids continue above all earlier ones whatever it says.
    """

    def __init__(
        self,
        epoch: str,
        *,
        caps: Caps | None = None,
        image: Image | None = None,
        now: float = 0.0,
        wall: int = 0,
    ) -> None:
        clock = IdClock() if image is None else IdClock(image.reserved, image.reserved)
        state = self._state = State(epoch, caps or Caps(), clock, Journal(enabled=image is not None))
        stores = Stores(state)
        inboxes = Inboxes(state, stores)
        self._stores, self._inboxes = stores, inboxes
        self._offline = Offline(state, stores, inboxes)
        self._history = History(state)
        self._sends = Sends(state, stores, inboxes, self._offline, self._history)
        self._stored = StoredMessages(state, inboxes)
        self._attributes = AttributedChannels(state)
        events = EventFeeds(epoch)
        self._channels = Channels(state, self._attributes, self._history, events)
        publishing = Publishing(state, self._sends, self._channels)
        self._ports: dict[str, MemoryPort] = {}
        self._bans = Bans(state, self._ports)
        presence, attributes, media = Presence(state), UserAttributes(state), Media(state)
        self._sessions = Sessions(
            state,
            inboxes=inboxes,
            offline=self._offline,
            channels=self._channels,
            presence=presence,
            media=media,
            bans=self._bans,
            events=events,
        )
        self._reserve_at: float | None = None
        self.handlers: dict[type[Any], Callable[[Outlet, Any, float, int], None]] = {
            Claim: self._sessions.claim,
            Silent: self._sessions.silent,
            Heard: self._sessions.heard,
            Release: self._sessions.release,
            PeerSend: self._sends.send,
            Acknowledge: inboxes.acknowledge,
            ReadInbox: inboxes.read,
            ListStored: self._stored.list,
            DropStored: self._stored.drop,
            JoinChannel: self._channels.join,
            LeaveChannel: self._channels.leave,
            PublishMessage: self._channels.publish,
            ReadChannel: self._channels.read,
            ReadChannels: self._channels.read_several,
            ReadHistory: self._history.read,
            ListMembers: self._channels.list_members,
            CountMembers: self._channels.count_members,
            Watch: self._channels.watch,
            Unwatch: self._channels.unwatch,
            SubscribePresence: presence.subscribe,
            UnsubscribePresence: presence.unsubscribe,
            QueryPresence: presence.query,
            ListSubscriptions: presence.list_subscriptions,
            WriteAttributes: attributes.write,
            ChangeAttributes: attributes.change,
            ReadAttributes: attributes.read,
            ChangeChannelAttributes: self._attributes.change,
            ReadChannelAttributes: self._attributes.read,
            AttachMedia: media.attach,
            DetachMedia: media.detach,
            SendData: media.send,
            Ban: publishing.once(self._sessions.ban),
            Unban: publishing.once(self._bans.lift),
            Kick: publishing.once(self._sessions.kick),
            Expel: publishing.once(self._channels.expel),
            CheckBearer: self._bans.check,
            Record: events.record,
            TakeEvents: events.take,
            SendAs: publishing.send,
            PublishAs: publishing.publish,
            CountMembersOf: publishing.count,
        }
        """What carries out each command."""
        if image is not None:
            self._bans.restore(image.bans.items())
            for record in image.sessions.values():
                self._sessions.restore(record, now)
            self._attributes.restore(image.attributes, now)
            self._offline.restore(image.entries.values(), now, clean=image.clean)
            self._reserve(now, wall)

    def port(self, node: str) -> "MemoryPort":
        """The side of this engine that one node sees; always the same for the same node."""
        port = self._ports.get(node)
        if port is None:
            port = self._ports[node] = MemoryPort(self, node)
        return port

    # --- Time ---------------------------------------------------------------------

    def handle_timer(self, now: float, wall: int) -> None:
        """Act on deadlines that have passed, for all nodes."""
        state = self._state
        for thing in state.alarms.due(now):
            if isinstance(thing, Live):
                self._sessions.on_alarm(thing, now, wall)
            elif isinstance(thing, Inbox):
                self._sends.on_inbox_alarm(thing, now, wall)
            elif isinstance(thing, Item):
                self._sends.on_item_alarm(thing, now, wall)
            elif isinstance(thing, Attributed):
                self._attributes.on_alarm(thing, now)
        if state.sweep_at is not None and state.sweep_at <= now:
            state.sweep_at = None
            remaining = (self._sessions.sweep(now), self._offline.sweep(now, wall), self._channels.sweep(now))
            if any(remaining):
                state.want_sweep(now)
        if self._reserve_at is not None and self._reserve_at <= now:
            self._reserve(now, wall)
        state.journal.handle_timer(now)

    def next_deadline(self) -> float | None:
        """When `handle_timer` or `next_batch` must be called next, in monotonic seconds."""
        state = self._state
        earliest = state.alarms.next()
        for when in (state.sweep_at, self._reserve_at, state.journal.next_deadline()):
            if when is not None and (earliest is None or when < earliest):
                earliest = when
        return earliest

    def _reserve(self, now: float, wall: int) -> None:
        self._state.journal.reserve(self._state.clock.wanted(wall))
        self._history.forget_old(wall)
        self._reserve_at = now + CLOCK_RESERVATION / 2

    def shift(self, outlet: Outlet, seconds: float) -> None:
        """Move the silence deadlines of a node's clients."""
        self._sessions.shift(outlet, seconds)

    @property
    def caps(self) -> Caps:
        """How much the engine may hold. Others count from the next command on; what is held already stays."""
        return self._state.caps

    @caps.setter
    def caps(self, caps: Caps) -> None:
        self._state.caps = caps

    def stats(self) -> dict[str, int]:
        """What the engine holds now, by name."""
        entries, size = self._stores.size
        return {
            "names": len(self._state.accounts),
            "channels": len(self._state.channels),
            "inbox_bytes": self._inboxes.size,
            "stored_messages": entries,
            "stored_bytes": size,
            "journal_waiting": self._state.journal.waiting,
        }

    # --- Journal ------------------------------------------------------------------

    def next_batch(self, now: float) -> Batch | None:
        """What to commit next; None where there is nothing, or the last batch is not reported on yet.

        Args:
            now: Monotonic seconds.
        """
        return self._state.journal.next_batch(now)

    @property
    def committing(self) -> bool:
        """Whether a batch is handed out and not reported on yet."""
        return self._state.journal.committing

    def last_batch(self) -> Batch:
        """What to commit before the process ends in order. Nothing may be asked of the engine afterwards.

        Raises:
            ValueError: The last batch is not reported on yet.
        """
        return self._state.journal.last_batch(self._state.clock.last)

    def committed(self, number: int, now: float) -> None:
        """A batch is on the disk: what waited for it becomes visible and is answered.

        Args:
            number: Of the batch.
            now: Monotonic seconds.

        Raises:
            ValueError: It is not the one that `next_batch` gave last.
        """
        batch = self._state.journal.committed(number)
        if batch.reserved is not None:
            self._state.clock.reach(batch.reserved)
        self._offline.committed(entry.id for entry in batch.stored)
        self._bans.committed(number)
        self._attributes.committed(number)
        self._stored.committed(number)
        self._sends.committed(batch.history)
        self._channels.committed(batch.history, now)

    def commit_failed(self, number: int, now: float) -> None:
        """A batch could not be committed: its messages and changes never existed, and who made them is told.

        Args:
            number: Of the batch.
            now: Monotonic seconds. What nobody waits for is tried again `limits.JOURNAL_RETRY` later.

        Raises:
            ValueError: It is not the one that `next_batch` gave last.
        """
        batch = self._state.journal.failed(number, now)
        self._offline.commit_failed(entry.id for entry in batch.stored)
        self._attributes.commit_failed(batch.attributes)
        self._sends.commit_failed(batch.history)
        self._channels.commit_failed(batch.history, now)

    # --- History ------------------------------------------------------------------

    def next_question(self) -> HistoryQuestion | None:
        """A question about the history, for whoever holds what the journal wrote; to be answered with `answered`.

        An engine without a journal answers all of them itself.
        """
        return self._history.next_question()

    def answered(self, question: HistoryQuestion, kept: Kept | None) -> None:
        """What a question about the history came to.

        Args:
            question: As `next_question` gave it.
            kept: The messages; None where they could not be read.
        """
        self._history.answered(question, kept)


class MemoryPort(Outlet):
    """The side of a memory engine that one node sees; see `EnginePort`.

    Args:
        engine: The engine.
        node: The node's name.
    """

    __slots__ = ("_engine", "_handlers")

    def __init__(self, engine: MemoryEngine, node: str) -> None:
        super().__init__(node)
        self._engine = engine
        self._handlers = engine.handlers

    def submit(self, command: Command, now: float, wall: int) -> None:
        """Carry a command out; see `EnginePort.submit`."""
        try:
            self._handlers[command.__class__](self, command, now, wall)
        except Exhausted:
            self.outputs.append(Answer(command, _UNAVAILABLE))

    def handle_timer(self, now: float, wall: int) -> None:
        """Act on deadlines that have passed."""
        self._engine.handle_timer(now, wall)

    def next_deadline(self) -> float | None:
        """When `handle_timer` must be called next, in monotonic seconds."""
        return self._engine.next_deadline()

    def next_output(self) -> Output | None:
        """The next answer or notice for this node, in order."""
        outputs = self.outputs
        return outputs.popleft() if outputs else None

    def shift(self, seconds: float) -> None:
        """Move the silence deadlines of this node's clients."""
        self._engine.shift(self, seconds)
