"""What a node serves over HTTP, and whose WebSocket it opens."""

import pytest

from rtmcore.codes import CloseCode
from rtmcore.limits import (
    CONNECTIONS_BEFORE_HELLO,
    CONNECTIONS_BEFORE_HELLO_PER_ADDRESS,
    HANDSHAKE_BYTES,
    HELLO_TIMEOUT,
)
from rtmcore.service.config import NodeConfig
from rtmcore.wire.codec import JSON, MSGPACK
from rtmcore.wire.packets import Hello, Ready
from tests.service.wires import APP, Wire, World


class Raw:
    """A connection that speaks HTTP by hand."""

    def __init__(self, world: World, address: str = "10.9.9.9") -> None:
        self.world = world
        self.number = world.open(address)
        self.answer = b""
        self.ended = False
        world.wires[self.number] = self
        self.reported = 0

    def ask(self, request: str) -> bytes:
        self.world.node.receive_data(self.number, request.replace("\n", "\r\n").encode(), self.world.now)
        self.world.settle()
        return self.answer

    def data_to_send(self) -> list[bytes]:
        return []

    def next_deadline(self) -> None:
        return None

    def deliver(self, data: bytes) -> int:
        self.answer += data
        return 0

    def cut_off(self) -> None:
        self.ended = True


def get(world: World, path: str, method: str = "GET") -> Raw:
    raw = Raw(world)
    raw.ask(f"{method} {path} HTTP/1.1\nHost: rtm.example.org\n\n")
    return raw


def upgrade(
    world: World, *, path="/rtm/v1", host="rtm.example.org", origin=None, protocols="rtm.v1.msgpack"
) -> Raw:
    raw = Raw(world)
    lines = [
        f"GET {path} HTTP/1.1",
        f"Host: {host}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
        f"Sec-WebSocket-Protocol: {protocols}",
    ]
    if origin is not None:
        lines.append(f"Origin: {origin}")
    raw.ask("\n".join(lines) + "\n\n")
    return raw


def status(raw: Raw) -> int:
    return int(raw.answer.split()[1])


@pytest.mark.parametrize(
    ("path", "method", "expected", "body"),
    [
        ("/healthz", "GET", 200, b"ok\n"),
        ("/readyz", "GET", 200, b"ready\n"),
        ("/healthz", "HEAD", 200, b""),
        ("/healthz", "DELETE", 405, b"Only GET and HEAD are served here.\n"),
        ("/", "GET", 404, b"There is nothing here.\n"),
        ("/healthz/", "GET", 404, b"There is nothing here.\n"),
        ("/rtm/v1", "GET", 426, b"This path speaks WebSocket only.\n"),
    ],
)
def test_plain_requests(path, method, expected, body):
    raw = get(World(), path, method)
    assert status(raw) == expected
    assert raw.answer.partition(b"\r\n\r\n")[2] == body
    assert raw.ended


def test_readiness_ends_with_draining_and_health_does_not():
    world = World()
    world.node.drain(world.now, 10)
    refused = get(world, "/readyz")
    assert status(refused) == 503
    assert b"Retry-After" in refused.answer
    assert status(get(world, "/healthz")) == 200
    assert status(upgrade(world)) == 503


def test_readiness_ends_while_the_engine_fails_and_comes_back_by_itself():
    world = World(seed=1)
    wire = world.login("alice")
    world.late.paused = True
    wire.publish("room", b"x")
    world.pass_time(5.5)
    assert status(get(world, "/readyz")) == 503
    world.pass_time(5.5)
    assert status(get(world, "/readyz")) == 200, "a server that nobody asks would never be ready again"


def test_the_upgrade_speaks_the_servers_favourite_of_those_offered():
    raw = upgrade(World(), protocols="chat, rtm.v1.json, rtm.v1.msgpack")
    assert status(raw) == 101
    assert b"rtm.v1.msgpack" in raw.answer
    assert b"rtm.v1.json" not in raw.answer


def test_without_a_common_subprotocol_both_are_named():
    raw = upgrade(World(), protocols="chat")
    assert status(raw) == 400
    assert b"rtm.v1.msgpack" in raw.answer
    assert b"rtm.v1.json" in raw.answer
    assert raw.ended


@pytest.mark.parametrize(
    ("path", "expected"), [("/rtm/v1", 101), ("/", 404), ("/rtm/v2", 404), ("/healthz", 404)]
)
def test_the_websocket_has_its_path(path, expected):
    assert status(upgrade(World(), path=path)) == expected


@pytest.mark.parametrize(
    ("host", "origin", "expected"),
    [
        ("rtm.example.org", None, 101),
        ("rtm.example.org", "https://rtm.example.org", 101),
        ("RTM.example.org", "https://rtm.EXAMPLE.org", 101),
        ("rtm.example.org:443", "https://rtm.example.org", 101),
        ("rtm.example.org:8080", "http://rtm.example.org:8080", 101),
        ("rtm.example.org", "https://listed.example.org", 101),
        ("rtm.example.org:8080", "http://rtm.example.org", 403),
        ("rtm.example.org", "https://evil.example.com", 403),
        ("rtm.example.org", "https://rtm.example.org.evil.example.com", 403),
        ("rtm.example.org", "https://evilrtm.example.org", 403),
        ("rtm.example.org", "null", 403),
        ("rtm.example.org", "", 403),
        ("rtm.example.org", "ftp://rtm.example.org", 403),
    ],
)
def test_origins(host, origin, expected):
    config = NodeConfig(node="n1", allowed_origins=("https://Listed.example.org",))
    assert status(upgrade(World(config=config), host=host, origin=origin)) == expected


@pytest.mark.parametrize(
    ("host", "origin", "expected"),
    [
        ("localhost", None, 101),
        ("localhost:7430", "http://localhost:7430", 101),
        ("127.0.0.1:7430", None, 101),
        ("[::1]", None, 101),
        ("[::1]:7430", None, 101),
        ("attacker.example.com", None, 403),
        ("attacker.example.com:7430", "http://attacker.example.com:7430", 403),
        ("localhost.example.com", None, 403),
        ("127.0.0.1:7430", "http://evil.example.com", 403),
    ],
)
def test_a_development_server_is_for_this_machine(host, origin, expected):
    assert (
        status(upgrade(World(config=NodeConfig(node="n1", dev=True)), host=host, origin=origin)) == expected
    )


def test_garbage_instead_of_http_is_answered_and_closed():
    world = World()
    neighbour = world.login("neighbour")
    raw = Raw(world)
    raw.ask("\x16\x03\x01 this is TLS")
    assert status(raw) == 400
    assert raw.ended
    assert neighbour.join("room")


def test_an_endless_http_head_is_refused():
    world = World()
    raw = Raw(world)
    raw.ask("GET /healthz HTTP/1.1\n" + "X-Filler: 0123456789\n" * (HANDSHAKE_BYTES // 10))
    assert status(raw) == 431
    assert raw.ended


def test_a_connection_that_says_nothing_is_closed():
    world = World()
    raw = Raw(world)
    world.pass_time(HELLO_TIMEOUT - 0.01)
    assert not raw.ended
    world.pass_time(0.02)
    assert raw.ended
    assert world.node.stats()["connections_before_hello"] == 0


def test_too_many_from_one_address_are_told_so_and_others_come_in():
    world = World()
    crowd = [world.open("10.6.6.6") for _ in range(CONNECTIONS_BEFORE_HELLO_PER_ADDRESS)]
    late = Wire(world, address="10.6.6.6")
    closed = late.expect_closed(CloseCode.TOO_MANY_REQUESTS)
    assert closed.retry_after == 1.0
    other = Wire(world, address="10.7.7.7")
    other.hello("alice")
    other.expect(Ready)
    world.node.connection_lost(crowd[0], world.now)
    freed = Wire(world, address="10.6.6.6")
    freed.hello("bob")
    freed.expect(Ready)


def test_too_many_in_all_are_told_so():
    world = World()
    for index in range(CONNECTIONS_BEFORE_HELLO):
        world.open(f"10.0.{index // 250}.{index % 250}")
    Wire(world, address="10.7.7.7").expect_closed(CloseCode.TOO_MANY_REQUESTS)


def test_a_flood_is_closed_without_a_word():
    world = World()
    numbers = [world.open("10.6.6.6") for _ in range(2 * CONNECTIONS_BEFORE_HELLO_PER_ADDRESS + 1)]
    world.settle()
    assert not world.node.is_finished(numbers[-2])
    assert world.node.is_finished(numbers[-1])


@pytest.mark.parametrize("codec", [MSGPACK, JSON], ids=lambda codec: codec.subprotocol)
def test_a_hello_may_come_in_the_same_read_as_the_upgrade(codec):
    world = World()
    wire = world.wire(codec)
    request = b"".join(wire.data_to_send())
    twin = World().wire(codec)
    twin.world.settle()
    twin.say(Hello(app=APP, user="alice", iid="i" * 16, attempt=1, login=True, token="good"))
    wire.send(request + b"".join(twin.data_to_send()))
    wire.expect(Ready)
