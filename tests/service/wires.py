"""Clients and a node wired back to back in memory, with numbers for time."""

from collections import deque
from collections.abc import Callable, Iterator

from rtmcore.codes import LoginError, RoomErrorCode
from rtmcore.errors import InvalidToken, error_for
from rtmcore.limits import APP_ID_LENGTH
from rtmcore.service.blobs.service import BlobSettings
from rtmcore.service.config import NodeConfig
from rtmcore.service.engine import EnginePort
from rtmcore.service.grants import Grant
from rtmcore.service.memory import MemoryEngine, caps_of
from rtmcore.service.node import Node
from rtmcore.wire.codec import MSGPACK, Codec
from rtmcore.wire.packets import (
    ChannelPosition,
    Data,
    DataEntry,
    Hello,
    Join,
    Joined,
    MediaHello,
    MediaWelcome,
    Packet,
    Publish,
    Published,
    Ready,
    Restored,
    Roster,
    SendPeer,
    Top,
    Welcome,
)
from rtmcore.wire.transport import ClientTransport, Closed, Opened, Received, UpgradeRequested
from tests.service.late_engine import LateEngine

APP = "a" * APP_ID_LENGTH
OTHER_APP = "b" * APP_ID_LENGTH
SERVER_KEY = "server-key-0123456789"
NONCE = bytes(16)
START = 1000.0
WALL = 1_700_000_000_000_000
SETTLE = 0.5
"""Seconds in which everything has been answered, whatever the engine."""

GRANTS = {
    None: Grant(),
    "good": Grant(),
    "login only": Grant(peers=False, publish=(), join=()),
    "rooms": Grant(publish=("room-*",), join=("room-*",)),
    "no login": Grant(login=False),
    "some attributes": Grant.from_scopes({"login": True, "attr": ["ch:room-*"]}),
    "only-down": Grant.from_scopes({"login": True, "media": ["down"]}),
    "no-login": Grant(login=False),
    "no-files": Grant.from_scopes({"login": True, "media": []}),
    "no presence": Grant.from_scopes({"login": True, "presence": False}),
    "short": Grant(expires=WALL // 1000 + 20_000),
    "long": Grant(expires=WALL // 1000 + 80_000),
    "lobby": Grant.from_scopes({"room": ["lobby"], "rtc": ["lobby"]}, expires=WALL // 1000 + 80_000),
}


def verify(app: str, user: str, token: str | None, wall_ms: int) -> Grant:
    if app not in (APP, OTHER_APP):
        raise error_for(LoginError.INVALID_APP_ID, "This server does not hold the app id.", operation="login")
    if token == "expired":
        raise error_for(LoginError.TOKEN_EXPIRED, "The token has expired.", operation="login")
    if token == "early":
        early = InvalidToken("The token is not valid yet.", code=LoginError.INVALID_TOKEN)
        early.detail = RoomErrorCode.ACCESS_TOKEN_NOT_YET_VALID
        raise early
    if token == "nameless":
        raise InvalidToken("A verifier that names no code.")
    if token not in GRANTS:
        raise error_for(LoginError.INVALID_TOKEN, "The token is wrongly signed.", operation="login")
    return GRANTS[token]


def authorize(app: str, key: str) -> bool | None:
    return key == SERVER_KEY if app == APP else None


class World:
    """A node, its engine, the time, and any number of wires."""

    def __init__(
        self,
        *,
        seed: int | None = None,
        config: NodeConfig | None = None,
        around: Callable[[EnginePort], EnginePort] = lambda port: port,
        blobs: BlobSettings | None = None,
    ) -> None:
        self.now = START
        config = config or NodeConfig(node="n1")
        self.engine = MemoryEngine("epoch-1", caps=caps_of(config.limits))
        port = around(self.engine.port(config.node))
        self.late = None if seed is None else LateEngine(port, seed)
        self.port: EnginePort = self.late or port
        self.secrets = 0
        self.node = Node(config, self.port, verify, secret=self._secret, authorize=authorize, blobs=blobs)
        self.wires: dict[int, Wire] = {}
        self.numbers = 0

    def _secret(self) -> str:
        self.secrets += 1
        return f"secret-{self.secrets}"

    @property
    def wall(self) -> int:
        return WALL + round((self.now - START) * 1_000_000)

    def open(self, address: str = "10.0.0.1") -> int:
        self.numbers += 1
        self.node.connection_opened(self.numbers, address, self.now)
        return self.numbers

    def wire(self, codec: Codec = MSGPACK, **options) -> "Wire":
        return Wire(self, codec, **options)

    def login(self, user: str, codec: Codec = MSGPACK, **hello) -> "Wire":
        """A wire whose user is logged in, and which has heard all that a login brings."""
        wire = self.wire(codec)
        wire.hello(user, **hello)
        wire.welcome = wire.expect(Welcome)
        wire.expect(Ready)
        wire.expect(Top)
        return wire

    def enter(self, kind: str, user: str, scope: str, codec: Codec = MSGPACK, **hello) -> "Wire":
        """A wire whose user is in a room or in an RTC channel, and which has heard all that this brings."""
        wire = self.wire(codec)
        wire.hello(user, kind=kind, scope=scope, **hello)
        wire.welcome = wire.expect(Welcome)
        wire.roster = wire.expect(Roster)
        assert wire.expect(Restored) == Restored(scope)
        wire.expect(Ready)
        wire.position = next(top.id for top in (wire.expect(Top), wire.expect(Top)) if top.ch == scope)
        return wire

    # --- Time and turns -------------------------------------------------------------

    def settle(self) -> None:
        """Turns without time passing, until nobody has anything to say."""
        while self.turn():
            pass

    def pass_time(self, seconds: float) -> None:
        """Let time pass from deadline to deadline."""
        end = self.now + seconds
        self.settle()
        while (due := self.next_deadline()) is not None and due <= end:
            self.now = max(self.now, due)
            self.settle()
        self.now = end
        self.settle()

    def jump(self, seconds: float) -> None:
        """Let time pass while everybody sleeps."""
        self.now += seconds
        self.settle()

    def next_deadline(self) -> float | None:
        """When the node or a client has something to do."""
        dues = [self.node.next_deadline(), *(wire.next_deadline() for wire in self.wires.values())]
        return min((due for due in dues if due is not None), default=None)

    def turn(self) -> bool:
        """One turn of the node, after everybody has said what there is to say; whether anything came of it."""
        node, now = self.node, self.now
        node.turn(now, self.wall)
        progress = False
        for wire in list(self.wires.values()):
            for data in wire.data_to_send():
                progress = True
                node.receive_data(wire.number, data, now)
        node.handle_timer(now)
        for number in node.dirty():
            progress = True
            self._write(number)
        while (event := node.next_event()) is not None:
            progress = True
            self._lose(event.connection)
        return progress

    def _write(self, number: int) -> None:
        wire = self.wires.get(number)
        data = b"".join(self.node.data_to_send(number))
        if wire is None:
            if self.node.is_finished(number):
                self.node.connection_lost(number, self.now)
            return
        left = wire.deliver(data)
        if left != wire.reported:
            wire.reported = left
            self.node.backlog(number, left, self.now)
        if not left and self.node.is_finished(number):
            self._lose(number)

    def _lose(self, number: int) -> None:
        wire = self.wires.pop(number, None)
        if wire is not None:
            wire.cut_off()
        self.node.connection_lost(number, self.now)


class Wire:
    """One connection: a client's transport, and what came over it."""

    def __init__(
        self,
        world: World,
        codec: Codec = MSGPACK,
        *,
        address: str = "10.0.0.1",
        host: str = "rtm.example.org",
        target: str = "/rtm/v1",
        subprotocols: tuple[str, ...] | None = None,
        drip: bool = False,
    ) -> None:
        self.world = world
        self.codec = codec
        self.number = world.open(address)
        world.wires[self.number] = self
        self.transport = ClientTransport(
            host=host,
            target=target,
            subprotocols=subprotocols or (codec.subprotocol,),
            nonce=NONCE,
            mask_key=lambda: b"\x12\x34\x56\x78",
            now=world.now,
        )
        self.drip = drip
        self.mute = False
        """True while the client sends nothing, not even beats."""
        self.room = 1 << 40
        """Bytes that the client's side takes before its socket is full."""
        self.waiting = bytearray()
        self.reported = 0
        self.raw = bytearray()
        self.messages = 0
        """WebSocket messages received."""
        self.packets: deque[Packet] = deque()
        self.heard: list[Packet] = []
        """All packets that ever came, in order."""
        self.opened = False
        self.closed: Closed | None = None
        self.gone = False
        """The node's side has closed the socket."""
        self.requests = 0
        self.user = ""
        self.iid = ""
        self.attempt = 0
        self.kind = "rtm"
        self.scope = ""
        self.welcome: Welcome | None = None
        self.roster: Roster | None = None
        self.position = 0
        """In the room or RTC channel."""

    # --- What the client does -----------------------------------------------------------

    def hello(self, user: str, **fields) -> None:
        self.world.settle()
        self.user = user
        self.iid = fields.pop("iid", f"iid-of-{user}".ljust(16, "-")[:32])
        self.attempt = fields.pop("attempt", 1)
        self.kind, self.scope = fields.get("kind", "rtm"), fields.get("scope", "")
        given = {"app": APP, "token": "good", "login": True, **fields}
        self.say(Hello(user=user, iid=self.iid, attempt=self.attempt, **given))

    def say(self, *packets: Packet) -> None:
        self.transport.send(packets, self.world.now)

    def send(self, data: bytes) -> None:
        """Bytes past the transport."""
        self.world.node.receive_data(self.number, data, self.world.now)

    def next_request(self) -> int:
        self.requests += 1
        return self.requests

    def join(self, channel: str) -> Joined:
        number = self.next_request()
        self.say(Join(number, channel))
        return self.expect(Joined)

    def publish(self, channel: str, body: bytes, kind: int = 2) -> int:
        number = self.next_request()
        self.say(Publish(number, channel, kind, body))
        return number

    def published(self, channel: str, body: bytes) -> Published:
        self.publish(channel, body)
        return self.expect(Published)

    def send_peer(self, to: str, body: bytes, **options) -> int:
        number = self.next_request()
        self.say(SendPeer(number, to, 2, body, **options))
        return number

    def back(self, channels: list[ChannelPosition] | None = None, **fields) -> "Wire":
        """A new wire of the same client, which returns to its session."""
        assert self.welcome is not None
        wire = self.world.wire(self.codec)
        wire.requests = self.requests
        fields = {
            "iid": self.iid,
            "attempt": self.attempt + 1,
            "login": False,
            "fence": self.welcome.fence,
            "secret": self.welcome.secret,
            "channels": channels or [],
            "kind": self.kind,
            "scope": self.scope,
            **fields,
        }
        wire.hello(self.user, **fields)
        return wire

    def media_hello(self, **fields) -> "Wire":
        """A wire that asks to carry the data frames of this one's room session."""
        assert self.welcome is not None
        wire = self.world.wire(fields.pop("codec", self.codec))
        self.world.settle()
        wire.user = self.user
        given = {"user": self.user, "scope": self.scope, "fence": self.welcome.fence, "attempt": 1}
        wire.say(MediaHello(**{"app": APP, "secret": self.welcome.media or "", **given, **fields}))
        return wire

    def media(self, **fields) -> "Wire":
        """A wire that carries the data frames of this one's room session."""
        wire = self.media_hello(**fields)
        wire.expect(MediaWelcome)
        return wire

    def send_frame(self, n: int, body: bytes = b"frame", track: str = "t") -> None:
        self.say(Data(n, body, track))

    def frames(self) -> list[tuple[str, int]]:
        """The frames that came so far, each as its author and number."""
        return [(packet.user, packet.n) for packet in self.all_of(DataEntry)]

    def cut(self) -> None:
        """The connection breaks; the node's side notices at once."""
        self.world.wires.pop(self.number, None)
        self.gone = True
        self.world.node.connection_lost(self.number, self.world.now)

    # --- What came -------------------------------------------------------------------

    def expect(self, kind: type, within: float = SETTLE):
        """The next packet of a class, which comes in time; what came before it is passed over."""
        for _ in self._looks(within):
            while self.packets:
                packet = self.packets.popleft()
                if isinstance(packet, kind):
                    return packet
        raise AssertionError(
            f"No {kind.__name__} came within {within} s; there were {self.heard[-8:]}, closed: {self.closed}"
        )

    def expect_closed(self, code: int, within: float = SETTLE) -> Closed:
        for _ in self._looks(within):
            if self.closed is not None:
                assert self.closed.code == code, self.closed
                return self.closed
        raise AssertionError(f"Not closed within {within} s; there were {self.heard[-8:]}")

    def all_of(self, kind: type) -> list:
        """All packets of a class that came so far."""
        self.world.settle()
        return [packet for packet in self.heard if isinstance(packet, kind)]

    def _looks(self, within: float) -> Iterator[None]:
        world = self.world
        end = world.now + within
        while True:
            world.settle()
            yield
            due = world.next_deadline()
            if due is None or due > end:
                break
            world.now = max(world.now, due)
        world.now = end
        world.settle()
        yield

    # --- Bytes -----------------------------------------------------------------------

    def data_to_send(self) -> list[bytes]:
        transport = self.transport
        if self.mute:
            return []
        transport.handle_timer(self.world.now)
        pieces = transport.data_to_send()
        if self.drip:
            return [bytes((byte,)) for piece in pieces for byte in piece]
        return pieces

    def next_deadline(self) -> float | None:
        return None if self.mute else self.transport.next_deadline()

    def deliver(self, data: bytes) -> int:
        """Take bytes of the node as far as there is room; what waits is returned."""
        self.waiting += data
        taken = min(self.room, len(self.waiting))
        self.room -= taken
        data = bytes(self.waiting[:taken])
        del self.waiting[:taken]
        if data:
            self.raw += data
            for piece in [bytes((byte,)) for byte in data] if self.drip else [data]:
                self.transport.receive_data(piece, self.world.now)
            self._take_events()
        return len(self.waiting)

    def read_on(self, room: int = 1 << 40) -> None:
        """The client reads again: the node's driver writes what waits and says how much is left."""
        self.room = room
        left = self.deliver(b"")
        if left != self.reported:
            self.reported = left
            self.world.node.backlog(self.number, left, self.world.now)

    def cut_off(self) -> None:
        self.gone = True
        self.transport.receive_eof(self.world.now)
        self._take_events()

    def _take_events(self) -> None:
        while (event := self.transport.next_event()) is not None:
            if isinstance(event, Opened):
                self.opened = True
            elif isinstance(event, Received):
                self.messages += 1
                self.packets += event.packets
                self.heard += event.packets
            elif isinstance(event, Closed):
                self.closed = self.closed or event
            else:
                assert not isinstance(event, UpgradeRequested)
