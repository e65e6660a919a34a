"""Drives an engine through its ports with numbers for time, as nodes and their clients would.

`System` is what a kind of engine has to offer to be tested; the conformance suite knows nothing else of it. Time is
virtual: commits take none of it, unless a test holds them.
"""

from collections.abc import Callable
from typing import Any, Protocol

import attrs

from rtmcore.codes import PeerOnlineState
from rtmcore.limits import DAY, OFFLINE_AFTER, RTC_REMOTE_OFFLINE_AFTER, SWEEP_INTERVAL
from rtmcore.service.commands.attributes import (
    ChangeAttributes,
    ChangeChannelAttributes,
    ReadAttributes,
    ReadChannelAttributes,
    WriteAttributes,
)
from rtmcore.service.commands.channels import (
    CountMembers,
    JoinChannel,
    LeaveChannel,
    ListMembers,
    Membership,
    ReadChannel,
    ReadChannels,
    Watch,
)
from rtmcore.service.commands.entries import Entry, Page
from rtmcore.service.commands.exclusions import Ban, Unban
from rtmcore.service.commands.history import ReadHistory
from rtmcore.service.commands.inboxes import Acknowledge, DropStored, InboxNotice, ListStored, ReadInbox
from rtmcore.service.commands.media import AttachMedia, DataNotice, SendData, media_secret
from rtmcore.service.commands.messages import PeerSend, PublishMessage
from rtmcore.service.commands.names import ROOM, RTC, RTM, Name, Place, Session
from rtmcore.service.commands.presence import (
    ListSubscriptions,
    PresenceNotice,
    QueryPresence,
    SubscribePresence,
    UnsubscribePresence,
)
from rtmcore.service.commands.results import Settled
from rtmcore.service.commands.sessions import Claim, Claimed, Ended, Heard, Release, Silent
from rtmcore.service.commands.table import Answer, Command, Output, Value
from rtmcore.service.engine import EnginePort

APP = "0123456789abcdef0123456789abcdef"
START = 1_000.0
WALL = 1_700_000_000_000_000


class System(Protocol):
    """An engine under test, with its disk if it has one."""

    def port(self, node: str) -> EnginePort:
        """A node's side of it."""

    def settle(self, now: float) -> None:
        """Let every commit end that is not held."""

    def close(self) -> None:
        """Give back what it took."""


class JournaledSystem(System, Protocol):
    """An engine that outlives its process."""

    def hold(self) -> None:
        """Commits take until `let_go`."""

    def let_go(self) -> None:
        """Held commits end, and later ones do not wait."""

    def fail(self, failing: bool) -> None:
        """Whether commits fail."""

    def restart(self, now: float, wall: int, *, clean: bool = False) -> "JournaledSystem":
        """Another engine on the same disk; without `clean` the old one is lost between two instructions."""


MakeHarness = Callable[..., "Harness"]
"""Makes a harness around a new engine; takes the caps of the engine by name."""


class Node:
    """A node that remembers everything the engine told it."""

    def __init__(self, harness: "Harness", name: str) -> None:
        self.harness = harness
        self.name = name
        self.port: EnginePort = harness.system.port(name)
        self.log: list[Output] = []

    def submit(self, command: Command) -> None:
        self.port.submit(command, self.harness.now, self.harness.wall)

    def drain(self) -> list[Output]:
        """What is new."""
        new = []
        while (output := self.port.next_output()) is not None:
            new.append(output)
        self.log.extend(new)
        return new

    def of(self, kind: type[Any]) -> list[Any]:
        """All outputs of a kind so far."""
        self.drain()
        return [output for output in self.log if isinstance(output, kind)]

    def watch(self, channel: str, kind: str = RTM) -> None:
        self.submit(Watch(APP, channel, kind))

    def ban(self, user: str, text: str = "for a reason") -> Ban:
        """Issue a ban; `Harness.answer` has its outcome."""
        command = Ban(Name(APP, "rtm", user), text)
        self.submit(command)
        return command

    def unban(self, user: str) -> Unban:
        """Issue the end of a ban; `Harness.answer` has its outcome."""
        command = Unban(Name(APP, "rtm", user))
        self.submit(command)
        return command


class Harness:
    """Time, nodes, and what was answered."""

    def __init__(self, system: Any) -> None:
        self.system = system
        self.now = START
        self.wall = WALL
        self.nodes: dict[str, Node] = {}
        self.connections = 0

    def node(self, name: str = "n1") -> Node:
        node = self.nodes.get(name)
        if node is None:
            node = self.nodes[name] = Node(self, name)
        return node

    def client(
        self, user: str, iid: str | None = None, node: str = "n1", kind: str = RTM, scope: str = ""
    ) -> "Client":
        return Client(self, user, iid or f"{user}-instance-0001", node, kind, scope)

    def online(self, *users: str) -> list["Client"]:
        """Clients that have logged in, on one node."""
        clients = [self.client(user) for user in users]
        for client in clients:
            assert isinstance(client.log_in(), Claimed)
        return clients

    def present(self, scope: str, *users: str, kind: str = ROOM) -> list["Client"]:
        """Participants of a room, or users of an RTC channel, on a node that watches it."""
        self.node().watch(scope, kind)
        clients = [self.client(user, kind=kind, scope=scope) for user in users]
        for client in clients:
            assert isinstance(client.log_in(), Claimed)
            value = client.join(scope)
            assert isinstance(value, Membership), value
        return clients

    def settle(self) -> None:
        self.system.settle(self.now)

    def advance(self, seconds: float) -> None:
        """Let time pass, stopping at each deadline."""
        end = self.now + seconds
        self.settle()
        port = self.node().port
        while (deadline := port.next_deadline()) is not None and deadline <= end:
            self._move_to(max(self.now, deadline))
            port.handle_timer(self.now, self.wall)
            later = port.next_deadline()
            assert later is None or later > deadline, "handle_timer left a deadline that had passed"
            self.settle()
        self._move_to(end)
        self.settle()

    def pass_days(self, days: int) -> None:
        """Let the calendar move, and the engine take notice."""
        self.wall += days * DAY * 1_000_000
        self.advance(2 * SWEEP_INTERVAL + 1)

    def _move_to(self, when: float) -> None:
        self.wall += round((when - self.now) * 1_000_000)
        self.now = when

    def answers(self, command: Command) -> list[Value]:
        """All answers that a command has had, from whichever node."""
        self.settle()
        return [
            output.value
            for node in self.nodes.values()
            for output in node.of(Answer)
            if output.command is command
        ]

    def answer(self, command: Command) -> Any:
        """The one answer of a command; None where there is none yet."""
        found = self.answers(command)
        assert len(found) <= 1, f"{command} was answered {len(found)} times"
        return found[0] if found else None

    def do(self, node: Node, command: Command) -> Any:
        """Submit a command and take its answer; None where it has none yet."""
        node.submit(command)
        return self.answer(command)

    def restart(self, *, clean: bool = False, wall: int | None = None) -> None:
        """The process is lost and starts again; all clients lose their transports."""
        if wall is not None:
            self.wall = wall
        self.system = self.system.restart(self.now, self.wall, clean=clean)
        self.nodes = {}


@attrs.define(eq=False)
class Client:
    """A client as its node sees it: what it would ask of the engine."""

    harness: Harness
    user: str
    iid: str
    node_name: str
    kind: str = RTM
    scope: str = ""
    attempt: int = 0
    session: Session | None = None
    secret: str | None = None
    fence: int | None = None
    cmid: int = 0
    floor: int = 0
    media: Session | None = None
    media_attempt: int = 0

    @property
    def name(self) -> Name:
        return Name(APP, self.kind, self.user, self.scope)

    @property
    def node(self) -> Node:
        return self.harness.node(self.node_name)

    def claim(self, **changes: Any) -> Any:
        """Claim with a new transport; a success makes it the current one."""
        self.attempt = changes.pop("attempt", self.attempt + 1)
        self.harness.connections += 1
        fields: dict[str, Any] = {
            "name": self.name,
            "place": Place(self.node_name, self.harness.connections),
            "iid": self.iid,
            "attempt": self.attempt,
            "login": False,
            "fence": self.fence,
            "secret": self.secret,
            "fresh_secret": f"secret-{self.iid}-{self.attempt}",
            "keepalive": RTC_REMOTE_OFFLINE_AFTER if self.kind == RTC else OFFLINE_AFTER,
            "inbox": None,
            "floor": self.floor,
            "authorized": True,
        }
        command = Claim(**{**fields, **changes})
        value = self.harness.do(self.node, command)
        if isinstance(value, Claimed):
            self.session = Session(self.name, value.fence, command.place)
            self.fence, self.secret = value.fence, value.secret
        return value

    def log_in(self, **changes: Any) -> Any:
        """The application calls login."""
        return self.claim(**{"login": True, "fence": None, "secret": None, **changes})

    def come_back(self, **changes: Any) -> Any:
        """The client returns by itself, with its secret only."""
        return self.claim(**{"authorized": False, **changes})

    def log_out(self) -> Any:
        return self.ask(Release(self.here))

    @property
    def here(self) -> Session:
        assert self.session is not None, f"{self.user} was never logged in"
        return self.session

    def ask(self, command: Command) -> Any:
        return self.harness.do(self.node, command)

    def _next(self, cmid: int | None) -> int:
        if cmid is not None:
            return cmid
        self.cmid += 1
        return self.cmid

    # --- Silence ------------------------------------------------------------------

    def silent(self, since: float | None = None, *, gone: bool = False) -> None:
        self.node.submit(Silent(self.here, self.harness.now if since is None else since, gone))

    def heard(self) -> None:
        self.node.submit(Heard(self.here))

    # --- Peer messages ------------------------------------------------------------

    def send(
        self,
        to: "Client | str",
        body: bytes = b"hello",
        *,
        offline: bool = False,
        wait: float = 10.0,
        cmid: int | None = None,
        floor: int | None = None,
        **options: Any,
    ) -> PeerSend:
        """Issue a send; `Harness.answer` has its outcome."""
        user = to if isinstance(to, str) else to.user
        floor = self.floor if floor is None else floor
        command = PeerSend(
            self.here, self.iid, self._next(cmid), floor, user, 1, body, offline, wait, **options
        )
        self.node.submit(command)
        return command

    def again(self, command: Any) -> Any:
        """Repeat a request, as it is done after a reconnect."""
        repeated = attrs.evolve(command, session=self.here)
        self.node.submit(repeated)
        return repeated

    def acknowledge(self, upto: int) -> None:
        self.node.submit(Acknowledge(self.here, upto))

    def read(self, after: int = 0, messages: int = 1000, size: int = 1 << 30) -> Page:
        page = self.ask(ReadInbox(self.here, after, messages, size))
        assert isinstance(page, Page), page
        return page

    def inbox(self) -> list[bytes]:
        """Bodies in the inbox, without the position that is acknowledged."""
        return [entry.body for entry in self.read().entries]

    def noticed(self) -> list[Entry]:
        """Entries that this transport was told of."""
        return [notice.entry for notice in self.node.of(InboxNotice) if notice.session == self.here]

    def ask_history(
        self,
        *,
        source: str | None = None,
        destination: str | None = None,
        channel: bool = False,
        start: int = 0,
        end: int = 2**62,
        offset: int = 0,
        limit: int = 100,
        ascending: bool = True,
    ) -> ReadHistory:
        """Issue a question about the history; `Harness.answer` has what it came to."""
        command = ReadHistory(
            APP,
            self.here,
            self._next(None),
            source,
            destination,
            channel,
            start,
            end,
            offset,
            limit,
            ascending,
        )
        self.node.submit(command)
        return command

    def history(self, **question: Any) -> Any:
        """What a question about the history comes to."""
        return self.harness.answer(self.ask_history(**question))

    def stored(self, after: int = 0, messages: int = 100, size: int = 1 << 20) -> Any:
        return self.ask(ListStored(self.here, self._next(None), self.floor, after, messages, size))

    def flush(self, cmid: int | None = None) -> DropStored:
        """Issue the end of what is stored; `Harness.answer` has its outcome."""
        command = DropStored(self.here, self._next(cmid), self.floor)
        self.node.submit(command)
        return command

    def endings(self) -> list[Any]:
        """Why transports of this session and its predecessors have ended."""
        return [ended.reason for ended in self.node.of(Ended) if ended.session.name == self.name]

    # --- Channels -----------------------------------------------------------------

    def join(self, channel: str, *, restore: bool = False, cmid: int | None = None) -> Any:
        cmid = 0 if restore else self._next(cmid)
        return self.ask(JoinChannel(self.here, cmid, self.floor, channel, restore))

    def leave(self, channel: str, *, cmid: int | None = None) -> Any:
        return self.ask(LeaveChannel(self.here, self._next(cmid), self.floor, channel))

    def publish(self, channel: str, body: bytes = b"hello", **options: Any) -> Any:
        return self.harness.answer(self.issue(channel, body, **options))

    def issue(
        self,
        channel: str,
        body: bytes = b"hello",
        *,
        kind: int = 1,
        history: bool = False,
        cmid: int | None = None,
    ) -> PublishMessage:
        """Issue a message to a channel; `Harness.answer` has its outcome."""
        command = PublishMessage(
            self.here, self.iid, self._next(cmid), self.floor, channel, kind, body, history
        )
        self.node.submit(command)
        return command

    def window(self, channel: str, after: int) -> Any:
        return self.ask(ReadChannel(self.here, channel, after))

    def members(self, channel: str) -> Any:
        return self.ask(ListMembers(self.here, self._next(None), self.floor, channel))

    def windows(self, *positions: tuple[str, int]) -> Any:
        return self.ask(ReadChannels(self.here, positions))

    # --- Presence and attributes --------------------------------------------------

    def subscribe(self, *users: str, cmid: int | None = None) -> Any:
        return self.ask(SubscribePresence(self.here, self._next(cmid), self.floor, users))

    def unsubscribe(self, *users: str, cmid: int | None = None) -> Any:
        return self.ask(UnsubscribePresence(self.here, self._next(cmid), self.floor, users))

    def presence(self) -> list[dict[str, PeerOnlineState]]:
        """What this transport was told of others, notice by notice."""
        return [dict(n.states) for n in self.node.of(PresenceNotice) if n.session == self.here]

    def write(self, *, cmid: int | None = None, **attributes: str) -> Any:
        return self.ask(WriteAttributes(self.here, self._next(cmid), self.floor, tuple(attributes.items())))

    def change(self, *deleted: str, cmid: int | None = None, **changed: str) -> Any:
        return self.ask(
            ChangeAttributes(self.here, self._next(cmid), self.floor, tuple(changed.items()), deleted)
        )

    def attributes_of(self, user: str, *keys: str) -> Any:
        return self.ask(ReadAttributes(self.here, self._next(None), self.floor, user, keys or None))

    def change_channel(
        self,
        channel: str,
        *deleted: str,
        replace: bool = False,
        notify: bool = False,
        cmid: int | None = None,
        **changed: str,
    ) -> ChangeChannelAttributes:
        """Issue a change; `Harness.answer` has its outcome."""
        command = ChangeChannelAttributes(
            self.here,
            self._next(cmid),
            self.floor,
            channel,
            tuple(changed.items()),
            deleted,
            replace,
            notify,
        )
        self.node.submit(command)
        return command

    def write_channel(self, channel: str, *deleted: str, **changed: Any) -> Any:
        """Change the attributes of a channel, and take the answer."""
        return self.harness.answer(self.change_channel(channel, *deleted, **changed))

    def channel_attributes(self, channel: str, *keys: str) -> Any:
        return self.ask(ReadChannelAttributes(self.here, self._next(None), self.floor, channel, keys or None))

    def query(self, *users: str) -> Any:
        return self.ask(QueryPresence(self.here, self._next(None), self.floor, users))

    def subscriptions(self) -> Any:
        return self.ask(ListSubscriptions(self.here, self._next(None), self.floor))

    def counts(self, *channels: str) -> Any:
        return self.ask(CountMembers(self.here, self._next(None), self.floor, channels))

    # --- Media connections and data -----------------------------------------------

    def attach(
        self, *, secret: str | None = None, attempt: int | None = None, node: str | None = None
    ) -> Any:
        """A media connection opens; a success makes it the current one."""
        self.media_attempt = self.media_attempt + 1 if attempt is None else attempt
        self.harness.connections += 1
        place = Place(node or self.node_name, self.harness.connections)
        session = Session(self.name, self.here.fence, place)
        if secret is None:
            assert self.secret is not None
            secret = media_secret(self.secret)
        value = self.harness.do(
            self.harness.node(place.node), AttachMedia(session, secret, self.media_attempt)
        )
        if isinstance(value, Settled):
            self.media = session
        return value

    def send_data(self, body: bytes, *, track: str = "", n: int = 1, session: Session | None = None) -> None:
        """Send a frame where this kind of session sends its own."""
        if session is None:
            session = self.media if self.kind == ROOM and self.media is not None else self.here
        self.harness.node(session.place.node).submit(SendData(session, track, n, body))

    def data(self) -> list[bytes]:
        """Bodies of the frames that this client's node was told of."""
        return [notice.body for notice in self.node.of(DataNotice) if notice.channel == self.scope]
