"""Target: a node with hostile connections at every stage, beside two clients that must not notice."""

from collections.abc import Callable
from random import Random
from typing import Any

from rtmcore.codes import CloseCode, LoginError
from rtmcore.errors import error_for
from rtmcore.limits import (
    CLOSE_HANDSHAKE_TIMEOUT,
    FRAME_BYTES,
    HANDSHAKE_BYTES,
    HELLO_TIMEOUT,
    READ_CHUNK,
    SERVER_OUTBOUND_BYTES,
)
from rtmcore.service.commands.media import media_secret
from rtmcore.service.commands.names import KINDS, ROOM, RTM
from rtmcore.service.config import NodeConfig
from rtmcore.service.grants import Grant
from rtmcore.service.memory import MemoryEngine
from rtmcore.service.node import Node
from rtmcore.wire.codec import CODECS, MSGPACK, Codec
from rtmcore.wire.packets import (
    TAGS,
    Ack,
    Beat,
    ChannelEntry,
    Data,
    Hello,
    InboxEntry,
    Join,
    MediaHello,
    Packet,
    PeerSent,
    Publish,
    Published,
    Ready,
    SendPeer,
)
from rtmcore.wire.transport import ClientTransport, Closed, Received
from tests.fuzz import http, packets
from tests.fuzz.frames import frame, stream
from tests.fuzz.harness import Case, expect, retained
from tests.fuzz.mutation import cut, mutate

APP = "0123456789abcdef0123456789abcdef"
START = 1000.0
WALL = 1_700_000_000_000_000
SECRET = "only-the-neighbours-know-this"
NEIGHBOURS = ("alice", "bob")
CHANNEL = "lobby"

_CODES = frozenset(code.value for code in CloseCode) | {1000, 1001, 1002, 1003, *range(1007, 1015)}


def _verify(app: str, user: str, token: str | None, wall_ms: int) -> Grant:
    if app != APP:
        raise error_for(LoginError.INVALID_APP_ID, "This server does not hold the app id.", operation="login")
    if user in NEIGHBOURS and token != SECRET:
        raise error_for(LoginError.INVALID_TOKEN, "The token is wrong.", operation="login")
    return Grant()


class _World:
    """A node and its sockets, in memory."""

    def __init__(self, *, rate_limits: bool) -> None:
        self.now = START
        engine = MemoryEngine("epoch")
        config = NodeConfig(node="node", rate_limits=rate_limits)
        self._secrets = 0
        self.node = Node(config, engine.port("node"), _verify, secret=self._secret)
        self.readers: dict[int, Callable[[bytes], None] | None] = {}
        """What takes the bytes of each open socket; None for a socket that is never read."""
        self.backlogs: dict[int, int] = {}
        self.written: dict[int, bytearray] = {}

    def _secret(self) -> str:
        self._secrets += 1
        return f"session-secret-{self._secrets}"

    def open(self, reader: Callable[[bytes], None] | None) -> int:
        number = len(self.written) + 1
        self.written[number] = bytearray()
        self.readers[number] = reader
        self.backlogs[number] = 0
        self.turn(lambda: self.node.connection_opened(number, "192.0.2.1", self.now))
        return number

    def send(self, number: int, data: bytes) -> None:
        if number in self.readers and data:
            self.turn(lambda: self.node.receive_data(number, data, self.now))

    def turn(self, inputs: Callable[[], None] | None = None) -> None:
        """What a driver does in one turn."""
        node, now = self.node, self.now
        node.turn(now, WALL + int((now - START) * 1e6))
        if inputs is not None:
            inputs()
        node.handle_timer(now)
        deliveries: list[tuple[Callable[[bytes], None], bytes]] = []
        for number in node.dirty():
            data = b"".join(node.data_to_send(number))
            if number not in self.readers:
                continue
            reader = self.readers[number]
            if reader is None:
                self.backlogs[number] += len(data)
                if self.backlogs[number]:
                    node.backlog(number, self.backlogs[number], now)
            elif data:
                deliveries.append((reader, data))
            if not self.backlogs[number] and node.is_finished(number):
                self.lose(number)
        while (event := node.next_event()) is not None:
            self.lose(event.connection)
        for reader, data in deliveries:
            reader(data)

    def lose(self, number: int) -> None:
        """The socket is closed, whoever closed it."""
        if self.backlogs.pop(number, None) is not None:
            del self.readers[number]
            self.node.connection_lost(number, self.now)

    def pass_time(self, seconds: float) -> None:
        """Go on in time, with a turn at each deadline of the node."""
        end = self.now + seconds
        for _ in range(10_000):
            due = self.node.next_deadline()
            if due is None or due > end:
                break
            self.now = max(self.now, due)
            self.turn()
            later = self.node.next_deadline()
            expect(later is None or later > self.now, f"the deadline stays {later} at {self.now}")
        else:
            expect(False, "deadlines without end")
        self.now = end
        self.turn()


class _Neighbour:
    """A client that does everything right."""

    def __init__(self, world: _World, user: str, codec: Codec) -> None:
        self._world = world
        self.user = user
        self._requests = 0
        self.received: list[Packet] = []
        self._transport = ClientTransport(
            host="localhost",
            target="/rtm/v1",
            subprotocols=[codec.subprotocol],
            nonce=b"0123456789abcdef",
            mask_key=lambda: b"mask",
            now=world.now,
        )
        self._number = world.open(self._receive)
        self._flush()
        self.say(Hello(app=APP, user=user, token=SECRET, iid=f"{user:->16}", attempt=1, login=True))
        expect(any(isinstance(one, Ready) for one in self.received), f"{user} cannot log in")
        self.say(Join(i=self.next_request(), ch=CHANNEL))

    def next_request(self) -> int:
        self._requests += 1
        return self._requests

    def beat(self) -> None:
        if self._world.now >= self._transport.last_sent + self._transport.beat_interval:
            self._transport.handle_timer(self._world.now)
            self._flush()

    def say(self, *said: Packet) -> None:
        expect(self._number in self._world.readers, f"{self.user} was disconnected")
        self._transport.send(said, self._world.now)
        self._flush()

    def _flush(self) -> None:
        data = b"".join(self._transport.data_to_send())
        if data:
            self._world.send(self._number, data)

    def _receive(self, data: bytes) -> None:
        self._transport.receive_data(data, self._world.now)
        acknowledged = 0
        while (event := self._transport.next_event()) is not None:
            expect(not isinstance(event, Closed), f"{self.user} was closed: {event}")
            if isinstance(event, Received):
                self.received += event.packets
                acknowledged = max(
                    [one.id for one in event.packets if isinstance(one, InboxEntry)], default=0
                )
        if acknowledged:
            self._transport.send([Ack(id=acknowledged)], self._world.now)
        self._flush()


class _Attacker:
    """A raw connection."""

    def __init__(self, world: _World, *, deaf: bool) -> None:
        self._world = world
        self.heard = bytearray()
        self.number = world.open(None if deaf else self.heard.extend)

    def check(self) -> None:
        """What it heard is HTTP, or frames with a close code of the list."""
        head, _, rest = bytes(self.heard).partition(b"\r\n\r\n")
        if not head:
            return
        expect(head.startswith(b"HTTP/1.1 "), f"no HTTP: {head[:40]!r}")
        if not head.startswith(b"HTTP/1.1 101"):
            return
        for first, payload in _frames(rest):
            if first == 0x88 and payload:
                code = int.from_bytes(payload[:2], "big")
                expect(code in _CODES or code >= 3000, f"close code {code}")


def _frames(data: bytes) -> list[tuple[int, bytes]]:
    found = []
    while len(data) >= 2:
        size, start = data[1], 2
        if size == 126:
            size, start = int.from_bytes(data[2:4], "big"), 4
        elif size == 127:
            size, start = int.from_bytes(data[2:10], "big"), 10
        expect(size < 126 or start > 2, "a masked frame from a server")
        if len(data) < start + size:
            break
        found.append((data[0], data[start : start + size]))
        data = data[start + size :]
    return found


STAGES = ("http", "greeting", "live", "live", "live", "return", "media")


def _hello(random: Random) -> Hello:
    hello: Hello = packets.build(random, Hello)
    hello.app, hello.kind, hello.login = APP, random.choice((RTM, *KINDS)), True
    if random.random() < 0.9:
        hello.scope = "" if hello.kind == RTM else CHANNEL
    if hello.kind != RTM:
        hello.channels = []
    hello.user = random.choice(("mallory", "mallory", "trudy", "alice"))
    hello.iid = f"{random.randrange(3):016d}"
    hello.attempt = random.randrange(1, 4)
    hello.token = random.choice((None, "x", "y" * 100))
    hello.channels = hello.channels[:2]
    hello.fence = hello.secret = hello.inbox = None
    return hello


def _media_hello(random: Random) -> MediaHello:
    """The hello of a media connection, now and then of one of the attackers' sessions."""
    number = random.choice((3, 3, 4, 5))
    return MediaHello(
        app=APP,
        user=random.choice(("mallory", "mallory", "trudy", "alice")),
        scope=random.choice((CHANNEL, CHANNEL, "x")),
        fence=WALL + number - 1 + random.choice((0, 0, 0, 1)),
        secret=random.choice((media_secret(f"session-secret-{number}"), "x")),
        attempt=random.randrange(3),
    )


def _room(random: Random) -> bytes:
    """A connection that is in a room, and does nothing wrong there."""
    hello = Hello(
        app=APP, user="mallory", iid=f"{0:016d}", attempt=5, login=True, kind=ROOM, scope=CHANNEL, token="x"
    )
    data = http.upgrade(subprotocols=MSGPACK.subprotocol)
    return data + frame(0x82, MSGPACK.encode([hello]), random.randbytes(4))


def _attack(random: Random, stage: str) -> bytes:
    """What one hostile connection sends in its life."""
    codec = random.choice(list(CODECS.values()))
    if stage == "http":
        return http.spoiled(random, http.requests())
    data = http.upgrade(subprotocols=codec.subprotocol)
    hello = _hello(random)
    if stage == "return":
        hello.login, hello.fence, hello.secret = False, random.choice(packets.NUMBERS), "session-secret-3"
        hello.inbox = random.choice(packets.NUMBERS)
    if stage == "media":
        data += frame(0x81 if codec.text else 0x82, codec.encode([_media_hello(random)]), random.randbytes(4))
        classes = random.choice(((Beat, Data), tuple(TAGS.values())))
        frames = stream(random, codec, masked=True, longest=20, classes=classes)
        return data + (mutate(random, frames) if random.random() < 0.2 else frames)
    if stage != "greeting":
        mask = random.randbytes(4)
        data += frame(0x81 if codec.text else 0x82, codec.encode([hello]), mask)
        data += frame(0x81 if codec.text else 0x82, codec.encode([Join(i=1, ch=CHANNEL)]), mask)
    frames = stream(random, codec, masked=True, longest=10)
    return data + (mutate(random, frames) if random.random() < 0.5 else frames)


class NodeTarget:
    """`Node`: whatever some connections send, it raises nothing, and the others do not notice."""

    name = "node"

    def make(self, random: Random) -> Case:
        steps: list[tuple[str, int, float]] = []
        pieces: list[bytes] = []
        attackers = random.choice((1, 1, 2, 4))
        queues = [cut(random, _attack(random, random.choice(STAGES))) for _ in range(attackers)]
        if attackers > 1 and random.random() < 0.5:
            pieces.append(_room(random))
            steps.append(("data", 0, 0.0))
            queues[:2] = [], cut(random, _attack(random, "media"))
        while any(queues):
            number = random.choice([index for index, queue in enumerate(queues) if queue])
            pieces.append(queues[number].pop(0))
            steps.append(("data", number, 0.0))
            chance = random.random()
            if chance < 0.02:
                steps.append(("wait", number, random.choice((0.1, 2.0, 4.0))))
            elif chance < 0.04:
                steps.append((random.choice(("eof", "lost")), number, 0.0))
        plan = {
            "steps": steps,
            "deaf": [random.random() < 0.2 for _ in range(attackers)],
            "rates": random.random() < 0.5,
            "codecs": [random.choice(list(CODECS)) for _ in NEIGHBOURS],
        }
        return Case(pieces, plan)

    def run(self, case: Case) -> None:
        world = _World(rate_limits=case.plan["rates"])
        alice, bob = (
            _Neighbour(world, user, CODECS[name])
            for user, name in zip(NEIGHBOURS, case.plan["codecs"], strict=True)
        )
        attackers = [_Attacker(world, deaf=deaf) for deaf in case.plan["deaf"]]
        pieces = iter(case.pieces)
        for step, index, seconds in case.plan["steps"]:
            self._step(world, step, attackers[index].number, seconds, pieces, (alice, bob))
        self._converse(alice, bob)
        self._check(world, attackers, len(case.pieces))
        self._go_on(world, (alice, bob), HELLO_TIMEOUT + CLOSE_HANDSHAKE_TIMEOUT + 1.0)
        for attacker in attackers:
            if attacker.number in world.backlogs:
                world.node.receive_eof(attacker.number, world.now)
                world.lose(attacker.number)
            attacker.check()
        self._go_on(world, (alice, bob), 40.0)
        self._converse(bob, alice)
        stats = world.node.stats()
        expect(stats["connections"] == len(NEIGHBOURS), f"connections are left: {stats}")
        expect(stats["connections_before_hello"] == 0, f"connections are left: {stats}")
        expect(stats["sessions"] == len(NEIGHBOURS), f"sessions are left: {stats}")
        expect(stats["media_connections"] == 0, f"media connections are left: {stats}")
        expect(stats["channels"] == 1, f"channels are left: {stats}")

    def _step(
        self,
        world: _World,
        step: str,
        number: int,
        seconds: float,
        pieces: Any,
        neighbours: tuple[_Neighbour, ...],
    ) -> None:
        if step == "data":
            piece = next(pieces)
            if number in world.backlogs:
                world.turn(lambda: world.node.receive_data(number, piece, world.now))
        elif step == "wait":
            self._go_on(world, neighbours, seconds)
        elif number in world.backlogs:
            if step == "eof":
                world.turn(lambda: world.node.receive_eof(number, world.now))
            world.lose(number)
            world.turn()

    def _go_on(self, world: _World, neighbours: tuple[_Neighbour, ...], seconds: float) -> None:
        while seconds > 0:
            world.pass_time(min(1.0, seconds))
            seconds -= 1.0
            for neighbour in neighbours:
                neighbour.beat()

    def _converse(self, one: _Neighbour, other: _Neighbour) -> None:
        """A channel message and a peer message from one to the other, both answered."""
        body = f"from {one.user} to {other.user}".encode()
        before = len(one.received), len(other.received)
        publish = Publish(i=one.next_request(), ch=CHANNEL, kind=1, body=body)
        one.say(publish)
        send = SendPeer(i=one.next_request(), to=other.user, kind=1, body=body)
        one.say(send)
        answers, came = one.received[before[0] :], other.received[before[1] :]
        expect(
            any(isinstance(a, Published) and a.i == publish.i for a in answers), f"no Published: {answers}"
        )
        expect(
            any(isinstance(a, PeerSent) and (a.i, a.code) == (send.i, 0) for a in answers),
            f"no PeerSent: {answers}",
        )
        bodies = [(type(c), c.body) for c in came if isinstance(c, ChannelEntry | InboxEntry)]
        expect(bodies.count((ChannelEntry, body)) == 1, f"{other.user} did not get the channel message once")
        expect(bodies.count((InboxEntry, body)) == 1, f"{other.user} did not get the peer message once")

    def _check(self, world: _World, attackers: list[_Attacker], pieces: int) -> None:
        kept = retained(world.node)
        most = len(attackers) * (2 * FRAME_BYTES + HANDSHAKE_BYTES + 2 * READ_CHUNK + SERVER_OUTBOUND_BYTES)
        expect(kept <= most + (1 << 20), f"{kept} bytes are kept")
