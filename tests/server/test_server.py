"""The server over real sockets: its HTTP answers, hostile peers beside good ones, slow readers, TLS, the end."""

import secrets
import socket
import ssl
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from types import FrameType

import attrs
import pytest
import trustme

from rtmcore.codes import CloseCode
from rtmcore.errors import StateError
from rtmcore.limits import HANDSHAKE_BYTES, HELLO_BYTES, MESSAGE_BYTES, SERVER_OUTBOUND_BYTES
from rtmsync.server.config import DEV_APP_ID
from rtmsync.server.server import Server
from rtmsync.server.tokens import AppKeys, TokenKey
from tests.interop.wireclient import WAIT, Closed, WireClient
from tests.service.wires import World

UPGRADE = (
    "GET /rtm/v1 HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Protocol: {protocol}\r\n{more}\r\n"
)


def get(server: Server, path: str) -> tuple[int, bytes]:
    url = f"http://127.0.0.1:{server.port}{path}"
    try:
        with urllib.request.urlopen(url, timeout=WAIT) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def raw(server: Server, data: bytes = b"") -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", server.port), WAIT)
    connection.sendall(data)
    return connection


def read_all(connection: socket.socket) -> bytes:
    """What the server sends until it closes."""
    received = b""
    with connection:
        try:
            while piece := connection.recv(65536):
                received += piece
        except ConnectionResetError:
            pass
    return received


def upgraded(server: Server, protocol: str = "rtm.v1.msgpack") -> socket.socket:
    request = UPGRADE.format(host=f"127.0.0.1:{server.port}", protocol=protocol, more="")
    connection = raw(server, request.encode())
    head = b""
    while b"\r\n\r\n" not in head:
        piece = connection.recv(1)
        assert piece, head
        head += piece
    assert head.startswith(b"HTTP/1.1 101 ")
    return connection


def masked(payload: bytes, first: int = 0x82) -> bytes:
    size = len(payload)
    length = bytes([0x80 | size]) if size < 126 else b"\xfe" + size.to_bytes(2, "big")
    return bytes([first]) + length + bytes(4) + payload


def close_code(data: bytes) -> int:
    """The code of the close frame at the end of what a server sent; beats may stand before it."""
    start = data.rindex(b"\x88")
    return int.from_bytes(data[start + 2 : start + 4], "big")


def test_health_and_readiness(serve) -> None:
    server = serve()
    assert get(server, "/healthz")[0] == 200
    assert get(server, "/readyz")[0] == 200
    assert get(server, "/nothing")[0] == 404


def test_an_upgrade_without_a_common_subprotocol_names_both(serve) -> None:
    server = serve()
    request = UPGRADE.format(host="127.0.0.1", protocol="chat", more="")
    answer = read_all(raw(server, request.encode()))
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"rtm.v1.msgpack" in answer
    assert b"rtm.v1.json" in answer


@pytest.mark.parametrize(
    ("host", "origin", "status"),
    [
        ("127.0.0.1:1", "http://127.0.0.1:1", 101),
        ("localhost:1", "https://evil.example", 403),
        ("rebound.example", None, 403),
    ],
)
def test_a_development_server_judges_host_and_origin(
    serve, host: str, origin: str | None, status: int
) -> None:
    server = serve(dev=True)
    more = f"Origin: {origin}\r\n" if origin else ""
    with raw(server, UPGRADE.format(host=host, protocol="rtm.v1.json", more=more).encode()) as connection:
        assert connection.recv(16).startswith(f"HTTP/1.1 {status} ".encode())


GARBAGE = {
    "TLS on a plain port": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500), b"HTTP/1.1 400"),
    "noise": (bytes(range(256)) * 4, b"HTTP/1.1 400"),
    "endless head": (b"GET / HTTP/1.1\r\nA: " + b"x" * (HANDSHAKE_BYTES + 1), b"HTTP/1.1 431"),
    "body on an upgrade": (
        UPGRADE.format(host="x", protocol="rtm.v1.json", more="Content-Length: 5\r\n").encode() + b"hello",
        b"HTTP/1.1 413",
    ),
}
FRAMES = {
    "no packets": (masked(b"\xc1"), CloseCode.MALFORMED),
    "truncated packet": (masked(b"\x91\x92\xa5hello\x81"), CloseCode.MALFORMED),
    "deep nesting": (masked(b"\x91" * 10_000), CloseCode.MALFORMED),
    "request before the hello": (masked(b"\x91\x92\xa4join\x82\xa1i\x01\xa2ch\xa1a"), CloseCode.MALFORMED),
    "oversized length": (b"\x82\xff" + (2**62).to_bytes(8, "big") + bytes(4), 1009),
    "unmasked": (b"\x82\x01\x90", 1002),
    "text on a binary subprotocol": (masked(b"[]", 0x81), 1003),
    "reserved bit": (masked(b"\x90", 0xC2), 1002),
    "too much before the hello": (masked(bytes(HELLO_BYTES + 1)), CloseCode.TOO_LARGE),
}


def test_garbage_at_every_stage_closes_that_connection_and_no_other(serve, client) -> None:
    server = serve(rate_limits=False)
    alice, bob = client(server), client(server)
    alice.ask("join", ch="room")
    bob.ask("join", ch="room")

    def neighbours_do_not_notice(text: str) -> None:
        assert alice.ask("publish", ch="room", kind=1, body=text.encode())[0] == "published"
        bob.wait_for(lambda: bob.messages and bob.messages[-1]["body"] == text.encode())

    for name, (data, answer) in GARBAGE.items():
        assert read_all(raw(server, data)).startswith(answer), name
        neighbours_do_not_notice(name)
    for name, (data, code) in FRAMES.items():
        connection = upgraded(server)
        connection.sendall(data)
        assert close_code(read_all(connection)) == code, name
        neighbours_do_not_notice(name)
    mallory = client(server)
    mallory.send_message(b"\xc1")
    assert mallory.closed_with() == CloseCode.MALFORMED
    neighbours_do_not_notice("after the login")


def test_a_dripped_login_works(serve) -> None:
    server = serve()
    connection = upgraded(server, "rtm.v1.json")
    hello = f'[["hello",{{"app":"{DEV_APP_ID}","user":"drip","iid":"{"d" * 16}","attempt":1,"login":true}}]]'
    for byte in masked(hello.encode(), 0x81):
        connection.sendall(bytes([byte]))
    received = b""
    while b"ready" not in received:
        piece = connection.recv(4096)
        assert piece, received
        received += piece
    connection.close()
    assert b'"welcome"' in received


def test_a_reader_that_does_not_read_is_closed_and_nobody_else_waits(serve, client) -> None:
    server = serve(rate_limits=False)
    writer, reader, sleeper = client(server), client(server), client(server)
    for one in (writer, reader, sleeper):
        one.ask("join", ch="room")
    body = secrets.token_bytes(MESSAGE_BYTES)
    received = 0
    deadline = time.monotonic() + 3 * WAIT
    while server.stats()["connections"] == 3:
        assert time.monotonic() < deadline
        assert writer.ask("publish", ch="room", kind=2, body=body)[0] == "published"
        reader.wait_for(lambda: reader.messages)
        received += len(reader.messages)
        reader.messages.clear()
        sleeper.send("beat")  # it is not silent
    assert received * MESSAGE_BYTES > SERVER_OUTBOUND_BYTES
    with pytest.raises(Closed):
        sleeper.wait_for(lambda: False)


def test_http_is_served_under_tls_and_not_beside_it(serve, tmp_path) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    path, trusted = tmp_path / "server.pem", tmp_path / "ca.pem"
    certificate.private_key_and_cert_chain_pem.write_to_path(str(path))
    authority.cert_pem.write_to_path(str(trusted))
    server = serve(tls_certificate=path)
    assert server.url.startswith("wss://")
    context = ssl.create_default_context(cafile=str(trusted))
    with urllib.request.urlopen(
        f"https://127.0.0.1:{server.port}/healthz", context=context, timeout=WAIT
    ) as response:
        assert response.status == 200
    plain = raw(server, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    assert b"HTTP/1.1 200" not in read_all(plain)


def test_a_drain_sends_everybody_away_and_ends_the_server(serve, client: Callable[..., WireClient]) -> None:
    server = serve()
    clients = [client(server) for _ in range(3)]
    server.drain()
    for one in clients:
        assert one.closed_with() == CloseCode.SHUTDOWN
    server.wait()
    with pytest.raises(ConnectionRefusedError):
        raw(server)


def test_offline_messages_survive_a_restart(serve, client, tmp_path) -> None:
    server = serve(data_dir=tmp_path)
    alice = client(server)
    tag, answer = alice.ask("send", to="carol", kind=1, body=b"later", offline=True)
    assert (tag, answer["code"]) == ("sent", 4)
    server.stop()
    again = serve(data_dir=tmp_path)
    carol = client(again, "carol")
    carol.wait_for(lambda: carol.messages)
    assert [(each["body"], each["offline"]) for each in carol.messages] == [(b"later", True)]


def test_counts_may_be_asked_for_while_users_come_and_go() -> None:
    world = World()
    names = iter(range(100))

    def come(frame: FrameType, event: str, argument: object) -> None:
        """Let somebody join between any two steps of who counts, as another thread might."""
        if frame.f_code.co_name == "<genexpr>":
            world.login(f"user-{next(names)}").join(f"room-{next(names)}")

    for _ in range(2):
        world.login(f"user-{next(names)}").join(f"room-{next(names)}")
    earlier = sys.gettrace()
    sys.settrace(come)
    try:
        counted = world.node.stats()
    finally:
        sys.settrace(earlier)
    assert counted["sessions"] == counted["channels"] == counted["members"] == 2
    assert world.node.stats()["sessions"] > 2


def test_a_server_that_could_not_judge_tokens_does_not_begin(
    serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "jwt", None)  # as where PyJWT is not installed
    server = serve()
    keyed = [AppKeys(DEV_APP_ID, (TokenKey(b"k" * 32),))]
    with pytest.raises(StateError, match=r'pip install "rtmsync\[server\]"'):
        serve(apps=keyed)
    with pytest.raises(StateError):
        server.reload(attrs.evolve(server.config, apps=keyed))
    assert get(server, "/healthz")[0] == 200
    serve(apps=[AppKeys(DEV_APP_ID, certificates=("0" * 32,), formats=("007",))])
