"""The state that the parts of a memory engine share, and how they answer."""

from collections import deque
from enum import Enum
from typing import TypeAlias

import attrs

from rtmcore.limits import SWEEP_INTERVAL
from rtmcore.service.commands.attributes import ChangeChannelAttributes
from rtmcore.service.commands.entries import Entry
from rtmcore.service.commands.inboxes import DropStored
from rtmcore.service.commands.messages import PeerSend, PublishMessage
from rtmcore.service.commands.names import Name, Session
from rtmcore.service.commands.results import Refusal, Trouble
from rtmcore.service.commands.table import Answer, Command, Output, Value
from rtmcore.service.memory.alarms import Alarms
from rtmcore.service.memory.caps import Caps
from rtmcore.service.memory.clock import IdClock
from rtmcore.service.memory.journal import Journal
from rtmcore.service.memory.positions import Positions
from rtmcore.service.memory.results import Results

FENCED = Refusal(
    Trouble.FENCED,
    "The session has ended or moved to another transport: this one may no longer act for the name.",
)

ChannelKey: TypeAlias = tuple[str, str, str]
"""App, kind and channel."""


class Outlet:
    """The outputs for one node, in order."""

    __slots__ = ("node", "outputs")

    def __init__(self, node: str) -> None:
        self.node = node
        self.outputs: deque[Output] = deque()

    def answer(self, command: Command, value: Value) -> None:
        """Answer a command."""
        self.outputs.append(Answer(command, value))


@attrs.define(eq=False)
class Channel:
    """The log and the members of a channel."""

    app: str
    kind: str
    name: str
    top: int
    """Position of the last entry."""
    version: int
    """Counts up with each change of the members."""
    positions: Positions
    watchers: list[Outlet] = attrs.field(factory=list)
    members: dict[str, "Member"] = attrs.field(factory=dict)
    window: deque[tuple[float, Entry]] = attrs.field(factory=deque)
    """The last entries with the time of each."""
    own: dict[str, Positions] = attrs.field(factory=dict)
    """The entries of each author."""
    held: "deque[Held] | None" = None
    """Messages that wait until the history is on the disk, and those behind them; none or None where none wait."""


@attrs.define(eq=False)
class Held:
    """A message to a channel that nobody may see yet."""

    channel: Channel
    pending: "Pending"
    id: int
    ready: bool
    """Nothing but those before it is waited for."""


@attrs.define(eq=False)
class Member:
    """A session's membership of a channel."""

    live: "Live"
    channel: Channel
    since: int
    """Position before which nothing is for this member."""
    cmid: int
    """The request that joined; 0 where a restored session did."""
    own: Positions | None = None


@attrs.define(eq=False)
class Instance:
    """A client instance of a name: its last attempt, and what its requests came to."""

    iid: str
    results: Results
    attempt: int = 0
    digest: bytes | None = attrs.field(default=None, repr=False)
    """SHA-256 of the secret of its last session."""
    kicked: Refusal | None = None
    """What its returns are answered until it logs in again, where its session was ended on purpose."""
    expelled: dict[str, Refusal] | None = None
    """Channels that it was taken out of and has not joined since, and what their restoring is answered, if any."""
    older: bool = False
    """It was there before this engine, and has not returned yet."""
    returned: float | None = None
    """When it returned: until their time is up, it may repeat requests that an earlier engine has executed."""
    left: dict[str, int] = attrs.field(factory=dict)
    """Channels that its last session was in when it ended, with the position before which nothing was for it."""


@attrs.frozen
class Attachment:
    """The media connection of a room session."""

    session: Session
    """Name and fence of the session, and the place of the connection."""
    outlet: Outlet


@attrs.define(eq=False)
class Live:
    """The live session of a name."""

    account: "Account"
    instance: Instance
    session: Session
    outlet: Outlet | None
    """None for a session that a restart brought back: it has no transport yet."""
    keepalive: float
    noticed: int
    """Up to where its node was told of the inbox, or reads it by itself."""
    fresh: bool = False
    """It began with a login, not with a return."""
    channels: dict[str, Member] = attrs.field(factory=dict)
    subscriptions: dict[str, None] = attrs.field(factory=dict)
    """Users whose presence it wants to know of."""
    attributes: tuple[tuple[str, str], ...] = attrs.field(default=(), repr=False)
    """Those of the user."""
    media: Attachment | None = None
    media_attempt: int = 0
    """The last attempt of a media connection."""
    media_digest: bytes = attrs.field(default=b"", repr=False)
    """SHA-256 of the secret of media connections; empty where there can be none."""
    since: float | None = None
    """When a silent session was heard for the last time."""
    gone: bool = False
    """Its transport is gone."""
    unreachable: bool = False
    alarm: float | None = None


@attrs.define(eq=False)
class Account:
    """What is known of a name."""

    name: Name
    peers: dict[str, "Account"]
    """All accounts of its name space; those of RTC and rooms are divided by scope."""
    fence: int = 0
    """The last fence that was given."""
    iid: str = ""
    """The instance that it was given to."""
    live: Live | None = None
    instances: dict[str, Instance] = attrs.field(factory=dict)
    """By id, that of the last login at the end."""
    cursor: int = 0
    """The acknowledged position of the inbox."""
    top: int = 0
    """The last position of the inbox."""
    inbox: "Inbox | None" = None


class Storage(Enum):
    """Where an entry of an inbox is."""

    MEMORY = 0
    WRITING = 1
    """Handed to the journal, not committed yet."""
    STORED = 2
    GONE = 3
    """No longer in the inbox."""


@attrs.define(eq=False)
class Item:
    """An entry of an inbox, and the send that waits for its outcome."""

    entry: Entry
    owner: Account
    author: Name
    command: PeerSend | None
    """The send, as it was last repeated; None once it was answered."""
    results: Results | None
    """Those of the sending instance; None for an entry that a restart brought back."""
    accepted: float
    deadline: float
    """Until when the sender waits."""
    storable: bool
    """It may be stored for an offline peer: the sender allowed it, and no cap forbids it."""
    storage: Storage = Storage.MEMORY
    expires: int = 0
    """When it is to be dropped if it is stored, in microseconds since 1970; 0 for the days of all."""
    hidden: bool = False
    """Nobody may see it before it is committed."""
    overdue: bool = False
    """The sender's time is up, and the answer waits for the commit only."""
    dropped: bool = False
    """It was stored, and left without an acknowledgement: there was no room, its time was over, or it was flushed."""
    reader: str | None = None
    """The first instance to whose transport it may have been written."""
    alarm: float | None = None


@attrs.define(eq=False)
class Pending:
    """A request that is answered when the disk has said how it went."""

    author: Name
    command: ChangeChannelAttributes | DropStored | PublishMessage
    """As it was last repeated."""
    results: Results
    """Those of the instance that asked."""


@attrs.define(eq=False)
class Inbox:
    """The entries of an inbox that were not acknowledged, oldest first."""

    account: Account
    items: list[Item] = attrs.field(factory=list)
    head: int = 0
    """Where the entries begin in `items`."""
    size: int = 0
    """Bytes of their bodies."""
    blocked: list[Item] = attrs.field(factory=list)
    """The hidden ones among them: nothing from the first of these on may be seen."""
    waiting: deque[Item] = attrs.field(factory=deque)
    """Those that a sender waits for, by deadline; those out of this order have an alarm of their own."""
    unstored: deque[Item] = attrs.field(factory=deque)
    """Those that are to be journaled if they are not acknowledged in time, oldest first."""
    mortal: bool = False
    """Some of its entries may be dropped before the days of all are over."""
    alarm: float | None = None

    @property
    def visible_top(self) -> int:
        """The last position that may be seen."""
        return self.blocked[0].entry.prev if self.blocked else self.account.top


class State:
    """What the parts of a memory engine share.

    Args:
        epoch: Changes whenever members and windows are lost.
        caps: How much the engine may hold.
        clock: Where ids come from.
        journal: Where records go.
    """

    def __init__(self, epoch: str, caps: Caps, clock: IdClock, journal: Journal) -> None:
        self.epoch = epoch
        self.caps = caps
        self.clock = clock
        self.journal = journal
        self.alarms = Alarms()
        self.accounts: dict[Name, Account] = {}
        self.spaces: dict[tuple[str, str, str], dict[str, Account]] = {}
        self.channels: dict[ChannelKey, Channel] = {}
        self.sweep_at: float | None = None

    def account(self, name: Name) -> Account:
        """The account of a name; a new one where none is known."""
        account = self.accounts.get(name)
        if account is None:
            peers = self.spaces.setdefault(_space(name), {})
            account = self.accounts[name] = peers[name.name] = Account(name, peers)
        return account

    def forget(self, account: Account) -> None:
        """Forget a name."""
        del self.accounts[account.name]
        del account.peers[account.name.name]
        if not account.peers:
            del self.spaces[_space(account.name)]

    def current(self, session: Session) -> Live | None:
        """The live session, where this is its fence and its transport; None where it is no longer."""
        account = self.accounts.get(session.name)
        if account is None:
            return None
        live = account.live
        if live is None:
            return None
        mine = live.session
        if mine is session or (mine.fence == session.fence and mine.place == session.place):
            return live
        return None

    def want_sweep(self, now: float) -> None:
        """There is something that will have to be forgotten."""
        if self.sweep_at is None:
            self.sweep_at = now + SWEEP_INTERVAL


def _space(name: Name) -> tuple[str, str, str]:
    return name.app, name.kind, name.scope
