"""A client core on wires in memory: numbers for time, and a small server that does what it is told.

`Bench` turns the crank of one core. `Server` keeps the other ends; by itself it accepts everybody, and an
`HonestServer` also keeps logs, members and results, so that nothing may be lost or doubled over cuts.
"""

from collections.abc import Callable, Iterable
from itertools import count
from typing import Any

from rtmcore.client.config import ClientConfig
from rtmcore.client.core import ClientCore
from rtmcore.client.events import (
    CloseTransport,
    Event,
    NeedToken,
    OpenTransport,
    PeerConnectionStateChanged,
    RequestCompleted,
    StateChanged,
)
from rtmcore.client.requests import Ticket
from rtmcore.codes import CloseCode
from rtmcore.errors import ConnectionFailed, RtmError
from rtmcore.models import ChannelMessage, PeerMessage
from rtmcore.wire.codec import CODECS, MSGPACK
from rtmcore.wire.handshake import UpgradeRequested
from rtmcore.wire.packets import (
    Ack,
    Beat,
    Bye,
    ChannelEntry,
    Done,
    Failed,
    Floor,
    GetMembers,
    Hello,
    InboxEntry,
    Join,
    Joined,
    Leave,
    MemberList,
    Packet,
    PeerSent,
    Publish,
    Published,
    Ready,
    Refused,
    Restored,
    Roster,
    SendPeer,
    Sync,
    Top,
    Welcome,
)
from rtmcore.wire.transport import Closed, Received, ServerTransport, TransportState

APP = "a" * 32
URL = "ws://server.test:7430/"
FAR = 1e9


def welcome(**changes: Any) -> Welcome:
    values: dict[str, Any] = {
        "fence": 1,
        "secret": "s",
        "resumed": False,
        "epoch": "e1",
        "node": "n1",
        "now": 0,
        "durability": "memory",
        "inbox": 0,
        "beat": 1500,
        "interrupted": 4000,
        "unreachable": 6000,
        "offline": 30000,
        "limits": {"frame": 262144},
        "token_policy": "keep",
    }
    return Welcome(**{**values, **changes})


class Connection:
    """The server's end of one transport, and the wire to it."""

    def __init__(self, number: int, server: "Server", now: float) -> None:
        self.number = number
        self.server = server
        self.transport = ServerTransport(now)
        self.packets: list[Packet] = []
        self.frames: list[list[Packet]] = []
        self.up = bytearray()
        self.down = bytearray()
        self.hole_up = False
        self.hole_down = False
        self.cut_up: int | None = None
        self.cut_down: int | None = None
        self.gone = False
        self.hello: Hello | None = None
        self.closed: Closed | None = None

    def send(self, *packets: Packet) -> None:
        if self.transport.state is TransportState.OPEN:
            self.transport.send(packets, self.server.now)

    def close(self, code: int, reason: str = "") -> None:
        self.transport.close(code, reason, self.server.now)

    def got(self, kind: type[Any]) -> list[Any]:
        return [packet for packet in self.packets if isinstance(packet, kind)]


class Server:
    """Accepts every hello at once, and answers nothing else by itself."""

    def __init__(self) -> None:
        self.now = 0.0
        self.connections: dict[int, Connection] = {}
        self.fence = 0
        self.figures: dict[str, Any] = {}
        self.answer_upgrade = True
        self.answer_hello = True
        self.upgrade_refusal: tuple[int, str] | None = None
        self.on_hello: Callable[[Connection, Hello], None] = self.accept

    @property
    def last(self) -> Connection:
        return self.connections[max(self.connections)]

    def accept(self, connection: Connection, hello: Hello) -> None:
        self.fence += 1
        connection.send(welcome(fence=self.fence, resumed=not hello.login, **self.figures))
        for position in hello.channels:
            connection.send(Restored(position.ch))
        connection.send(Ready())
        for position in hello.channels:
            connection.send(Top(position.id, 0, position.ch))
        connection.send(Top(hello.inbox or 0, 0))

    def refuse(
        self, code: int, text: str, close: int = CloseCode.LOGIN_REFUSED, retry: int | None = None
    ) -> None:
        def answer(connection: Connection, _: Hello) -> None:
            connection.send(Refused(code, text, retry))
            connection.close(close)

        self.on_hello = answer

    def take(self, connection: Connection, data: bytes) -> None:
        connection.transport.receive_data(data, self.now)
        self.pump(connection)

    def pump(self, connection: Connection) -> None:
        while (event := connection.transport.next_event()) is not None:
            if isinstance(event, UpgradeRequested):
                if self.upgrade_refusal is not None:
                    connection.transport.refuse(*self.upgrade_refusal)
                elif self.answer_upgrade:
                    connection.transport.accept(CODECS[event.subprotocols[0]], self.now)
            elif isinstance(event, Received):
                connection.frames.append(event.packets)
                for packet in event.packets:
                    connection.packets.append(packet)
                    self.packet(connection, packet)
            elif isinstance(event, Closed):
                connection.closed = event

    def packet(self, connection: Connection, packet: Packet) -> None:
        if isinstance(packet, Hello):
            connection.hello = packet
            if self.answer_hello:
                self.on_hello(connection, packet)
        elif isinstance(packet, Bye):
            connection.close(CloseCode.LOGGED_OUT)


class Bench:
    """One core, its wires, and the clock."""

    core_class: Any = ClientCore

    def __init__(
        self,
        server: Server | None = None,
        *,
        start: float = 100.0,
        jitter: Callable[[], float] = lambda: 1.0,
        take_messages: bool = True,
        **settings: Any,
    ) -> None:
        self.server = server or Server()
        self.now = self.server.now = start
        settings = {"endpoints": URL, "app_id": APP, "user_id": "ann", "rate_limits": False, **settings}
        masks = count(1)
        self.core = self.core_class(
            ClientConfig(**settings),
            iid="instance-of-ann-1",
            random=jitter,
            mask_key=lambda: next(masks).to_bytes(4, "big"),
            nonce=lambda: b"n" * 16,
        )
        self.take_messages = take_messages
        self.events: list[Event] = []
        self.aggregates: list[PeerConnectionStateChanged] = []
        self.opened: list[OpenTransport] = []
        self.completed: list[Ticket] = []
        self.asked: list[NeedToken] = []
        self.alive: set[int] = set()
        self.dial: Callable[[OpenTransport], RtmError | bool | None] = lambda event: None
        self.drip = 0

    # --- What happened ---

    @property
    def states(self) -> list[tuple[str, str]]:
        return [(e.state.name, e.reason.name) for e in self.events if isinstance(e, StateChanged)]

    @property
    def messages(self) -> list[PeerMessage]:
        return [e for e in self.events if isinstance(e, PeerMessage)]

    def channel_messages(self, channel: str = "room") -> list[ChannelMessage]:
        return [e for e in self.events if isinstance(e, ChannelMessage) and e.channel == channel]

    def of(self, *kinds: type[Any]) -> list[Any]:
        return [e for e in self.events if isinstance(e, kinds)]

    # --- The crank ---

    def turn(self) -> None:
        """Exchange bytes and events until nothing moves any more."""
        for _ in range(20_000):
            if not self._step():
                return
        raise AssertionError("The core and the server never come to rest.")

    def _step(self) -> bool:
        moved = self._collect()
        while (event := self.core.next_event()) is not None:
            moved = True
            self._act(event)
        for connection in list(self.server.connections.values()):
            moved = self._move(connection) or moved
        return moved

    def _collect(self) -> bool:
        output = self.core.data_to_send()
        for number, data in output:
            connection = self.server.connections.get(number)
            if connection is not None:
                connection.up += data
        return bool(output)

    def _act(self, event: Event) -> None:
        if isinstance(event, OpenTransport):
            self.opened.append(event)
            self.alive.add(event.id)
            answer = self.dial(event)
            if answer is None:
                self.connect(event.id)
            elif isinstance(answer, RtmError):
                self.alive.discard(event.id)
                self.core.transport_failed(event.id, answer, self.now)
        elif isinstance(event, CloseTransport):
            assert event.id in self.alive, "closed twice, or never opened"
            self.alive.discard(event.id)
            self._collect()
            connection = self.server.connections.get(event.id)
            if connection is not None:
                self._flush_up(connection)
                connection.gone = True
        elif isinstance(event, RequestCompleted):
            self.completed.append(event.ticket)
        elif isinstance(event, NeedToken):
            self.asked.append(event)
        elif isinstance(event, PeerConnectionStateChanged):
            self.aggregates.append(event)
        else:
            self.events.append(event)
            if isinstance(event, PeerMessage) and self.take_messages:
                self.core.handed_over(event.id, self.now)

    def connect(self, number: int) -> Connection:
        connection = Connection(number, self.server, self.now)
        self.server.connections[number] = connection
        self.core.transport_opened(number, self.now)
        return connection

    def _flush_up(self, connection: Connection) -> None:
        if not connection.hole_up and connection.up and not connection.gone:
            data, connection.up = bytes(connection.up), bytearray()
            self.server.take(connection, data)

    def _move(self, connection: Connection) -> bool:
        self._collect_down(connection)
        if connection.gone:
            connection.up.clear()
            connection.down.clear()
            return False
        moved = False
        if connection.up and not connection.hole_up:
            data, connection.up = self._piece(connection.up, connection.cut_up)
            if connection.cut_up is not None:
                connection.cut_up -= len(data)
            if data:
                moved = True
                self.server.take(connection, data)
            if connection.cut_up == 0:
                self.reset(connection)
                return True
        self._collect_down(connection)
        if connection.down and not connection.hole_down:
            data, connection.down = self._piece(connection.down, connection.cut_down)
            if connection.cut_down is not None:
                connection.cut_down -= len(data)
            if data:
                moved = True
                self.core.receive_data(connection.number, data, self.now)
            if connection.cut_down == 0:
                self.reset(connection)
                return True
        if connection.closed is not None and not connection.down and not connection.hole_down:
            self.eof(connection)
            moved = True
        return moved

    def _collect_down(self, connection: Connection) -> None:
        for data in connection.transport.data_to_send():
            connection.down += data

    def _piece(self, buffer: bytearray, cut: int | None) -> tuple[bytes, bytearray]:
        size = min(len(buffer), self.drip or len(buffer), len(buffer) if cut is None else cut)
        return bytes(buffer[:size]), buffer[size:]

    # --- Faults ---

    def reset(self, connection: Connection | None = None) -> None:
        """Lose a connection, with whatever was on the way."""
        connection = connection or self.server.last
        connection.gone = True
        connection.transport.receive_eof(self.now)
        self.server.pump(connection)
        if connection.number in self.alive:
            self.core.receive_eof(connection.number, self.now)

    def eof(self, connection: Connection) -> None:
        connection.gone = True
        if connection.number in self.alive:
            self.core.receive_eof(connection.number, self.now)

    def hole(self, connection: Connection | None = None, *, open_: bool = True) -> None:
        connection = connection or self.server.last
        connection.hole_up = connection.hole_down = open_

    # --- Time ---

    def run(self, seconds: float) -> None:
        self.run_to(self.now + seconds)

    def run_to(self, end: float) -> None:
        """Let time pass, with every timer at its time."""
        self.turn()
        for _ in range(100_000):
            due = self.core.next_deadline()
            times = [due] if due is not None else []
            times += [
                time
                for connection in self.server.connections.values()
                if not connection.gone and (time := connection.transport.next_deadline()) is not None
            ]
            next_time = min(times, default=FAR)
            if next_time > end:
                break
            self.now = self.server.now = max(self.now, next_time)
            for connection in self.server.connections.values():
                if not connection.gone:
                    connection.transport.handle_timer(self.now)
                    self.server.pump(connection)
            self.turn()
            if due is not None and due <= self.now:
                before = due
                self.core.handle_timer(self.now)
                after = self.core.next_deadline()
                assert after is None or after > before, f"a timer that stays due at {before}"
            self.turn()
        else:
            raise AssertionError("The timers never come to rest.")
        self.now = self.server.now = end
        self.turn()

    def sleep(self, seconds: float) -> None:
        """Let time pass unseen, as in a suspended machine."""
        self.now = self.server.now = self.now + seconds

    # --- Shorthands ---

    def login(self, timeout: float = 12.0) -> Ticket:
        ticket = self.core.login(self.now, timeout)
        self.turn()
        return ticket

    def online(self) -> "Bench":
        ticket = self.login()
        assert ticket.done
        assert ticket.error is None, ticket
        self.events.clear()
        return self


def refused(event: OpenTransport) -> RtmError:
    return ConnectionFailed(f"Connection to {event.host} port {event.port} refused.")


def never(event: OpenTransport) -> bool:
    """The connection is neither established nor refused."""
    return True


class HonestServer(Server):
    """Keeps sessions, results, an inbox and channels, over restarts of every connection.

    It executes each request of the client once, by its id, and replays logs from positions.
    """

    WINDOW = 32

    def __init__(self) -> None:
        super().__init__()
        self.on_hello = self.greet
        self.current: Connection | None = None
        self.attempt = 0
        self.ids = count(1_000)
        self.inbox: list[InboxEntry] = []
        self.inbox_top = 0
        self.acked = 0
        self.window = 256
        self.sent_up_to = 0
        self.replaying = False
        self.results: dict[int, list[Packet]] = {}
        self.executed: list[Packet] = []
        self.floor = 0
        self.channels: dict[str, list[ChannelEntry]] = {}
        self.tops: dict[str, int] = {}
        self.members: set[str] = set()
        self.epoch = "e1"

    # --- Sessions ---

    def greet(self, connection: Connection, hello: Hello) -> None:
        if hello.attempt <= self.attempt:
            connection.close(CloseCode.STALE_ATTEMPT)
            return
        self.attempt = hello.attempt
        if self.current is not None and self.current is not connection:
            self.current.close(CloseCode.REPLACED)
        self.current = connection
        if hello.login:
            self.fence += 1
            self.members.clear()
        self.floor = max(self.floor, hello.floor)
        if hello.inbox is not None:
            self.acknowledge(hello.inbox)
        connection.send(
            welcome(fence=self.fence, resumed=not hello.login, inbox=self.acked, epoch=self.epoch)
        )
        for position in hello.channels:
            self.members.add(position.ch)
            connection.send(Restored(position.ch))
        connection.send(Ready())
        for position in hello.channels:
            self.replay(connection, position.ch, position.id)
        self.sent_up_to = self.acked
        self.replaying = True
        self.pump_inbox()

    def packet(self, connection: Connection, packet: Packet) -> None:
        if isinstance(packet, Hello | Bye):
            super().packet(connection, packet)
        elif connection is self.current:
            self.obey(connection, packet)

    def obey(self, connection: Connection, packet: Packet) -> None:
        if isinstance(packet, Ack):
            self.acknowledge(packet.id)
            self.pump_inbox()
        elif isinstance(packet, Floor):
            self.floor = max(self.floor, packet.i)
        elif isinstance(packet, Sync):
            if packet.ch is None:
                self.sent_up_to = packet.id
                self.replaying = True
                self.pump_inbox()
            else:
                self.replay(connection, packet.ch, packet.id)
        elif not isinstance(packet, Beat):
            self.execute(connection, packet)

    def execute(self, connection: Connection, packet: Any) -> None:
        assert packet.i >= self.floor, "a request below the floor"
        if packet.i not in self.results:
            self.executed.append(packet)
            self.results[packet.i] = self.result(packet)
        connection.send(*self.results[packet.i])

    def result(self, packet: Packet) -> list[Packet]:
        if isinstance(packet, SendPeer):
            return [PeerSent(packet.i, 0, next(self.ids))]
        if isinstance(packet, Publish):
            if packet.ch not in self.members:
                return [Failed(packet.i, 5, "not a member")]
            prev, position = self.tops.get(packet.ch, 0), next(self.ids)
            self.tops[packet.ch] = position
            return [Published(packet.i, position, prev)]
        if isinstance(packet, Join):
            self.members.add(packet.ch)
            return [Roster(packet.ch, 1, 1, ["ann"]), Joined(packet.i, self.tops.get(packet.ch, 0))]
        if isinstance(packet, Leave):
            if packet.ch not in self.members:
                return [Failed(packet.i, 3, "not a member")]
            self.members.discard(packet.ch)
            return [Done(packet.i)]
        assert isinstance(packet, GetMembers)
        return [MemberList(packet.i, ["ann"])]

    # --- The inbox ---

    def deliver(self, body: bytes, user: str = "bob", iid: str = "instance-of-bob-1") -> InboxEntry:
        position = next(self.ids)
        entry = InboxEntry(position, self.inbox_top, user, iid, position, 1, body)
        self.inbox_top = position
        self.inbox.append(entry)
        self.pump_inbox()
        return entry

    def acknowledge(self, position: int) -> None:
        self.acked = max(self.acked, position)
        self.inbox = [entry for entry in self.inbox if entry.id > self.acked]

    def pump_inbox(self) -> None:
        if self.current is None:
            return
        for place, entry in enumerate(self.inbox):
            if place >= self.window:
                return
            if entry.id > self.sent_up_to:
                self.sent_up_to = entry.id
                self.current.send(entry)
        if self.replaying:
            self.replaying = False
            self.current.send(Top(self.inbox_top, 0))

    # --- Channels ---

    def speak(
        self, body: bytes, channel: str = "room", user: str = "bob", cmid: int | None = None
    ) -> ChannelEntry:
        position = next(self.ids)
        entry = ChannelEntry(
            channel,
            position,
            self.tops.get(channel, 0),
            user,
            f"instance-of-{user}",
            position if cmid is None else cmid,
            1,
            body,
        )
        self.tops[channel] = position
        self.channels.setdefault(channel, []).append(entry)
        if self.current is not None and channel in self.members:
            self.current.send(entry)
        return entry

    def replay(self, connection: Connection, channel: str, after: int) -> None:
        newer = [entry for entry in self.channels.get(channel, []) if entry.id > after]
        kept = newer[-self.WINDOW :]
        for place in range(0, len(kept), 5):
            connection.send(*kept[place : place + 5])
        connection.send(Top(max(after, self.tops.get(channel, 0)), len(newer) - len(kept), channel))


def bodies(messages: Iterable[PeerMessage | ChannelMessage]) -> list[bytes]:
    return [message.body for message in messages]


__all__ = [
    "APP",
    "MSGPACK",
    "Bench",
    "Connection",
    "HonestServer",
    "Server",
    "bodies",
    "never",
    "refused",
    "welcome",
]
