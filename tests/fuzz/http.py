"""HTTP heads, valid and not."""

import base64
from collections.abc import Sequence
from random import Random

from rtmcore.wire.handshake import accept_value
from tests.fuzz.mutation import mutate

KEY = base64.b64encode(b"fedcba9876543210").decode()


def accept_header(nonce: bytes) -> str:
    """Sec-WebSocket-Accept for a nonce."""
    return accept_value(base64.b64encode(nonce).decode())


def upgrade(path: str = "/rtm/v1", subprotocols: str = "rtm.v1.msgpack", host: str = "localhost") -> bytes:
    """A request to become a WebSocket."""
    return (
        f"GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: {subprotocols}\r\n\r\n"
    ).encode()


def switching(accept: str, subprotocol: str = "rtm.v1.msgpack") -> bytes:
    """The answer to it."""
    return (
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: {subprotocol}\r\n\r\n"
    ).encode()


def requests() -> list[bytes]:
    """What clients may say first."""
    return [
        upgrade(),
        upgrade() + bytes(100),
        upgrade(subprotocols="rtm.v1.json, rtm.v1.msgpack"),
        upgrade(path="/rtm/v1?x=1", subprotocols="other"),
        upgrade().replace(b"Host: localhost", b"Host: localhost\r\nOrigin: https://example.org"),
        upgrade().replace(b"HTTP/1.1", b"HTTP/1.0"),
        b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
        b"HEAD /readyz HTTP/1.1\r\nHost: x\r\nUser-Agent: y\r\n\r\n",
        b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc",
        b"POST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
        b"GET http://x/y?z HTTP/1.1\r\nHost: x\r\n\r\n",
        b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 70 + b"\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"b" * 20_000 + b"\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
        b"",
    ]


def answers(accept: str) -> list[bytes]:
    """What servers may answer."""
    return [
        switching(accept),
        switching(accept, "rtm.v1.json") + bytes(50),
        switching(accept, "other"),
        switching("x"),
        switching(accept).replace(b"\r\n\r\n", b"\r\nSec-WebSocket-Extensions: x\r\n\r\n"),
        b"HTTP/1.1 100 Continue\r\n\r\n" + switching(accept),
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\nnot here\n",
        b"HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nConnection: close\r\n\r\nBearer secret-of-the-proxy <b>was</b> sent",
        b"HTTP/1.1 302 Found\r\nLocation: https://example.org/\x80\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        b"HTTP/1.1 401 " + b"x" * 100 + b"\r\n" + b"A: b\r\n" * 70 + b"\r\n",
        b"HTTP/1.1 403 No\r\nContent-Length: 100000\r\n\r\n" + b"y" * 5000,
        b"HTTP/1.0 500 \r\n\r\n" + b"z" * 20_000,
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"",
    ]


def proxy_answers() -> list[bytes]:
    """What proxies may answer to CONNECT."""
    return [
        b"HTTP/1.1 200 Connection established\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n" + bytes(50),
        b"HTTP/1.1 407 No\r\nProxy-Authenticate: Basic\r\nContent-Length: 24\r\n\r\nuser:secret-of-the-proxy",
        b"HTTP/1.1 403 No\r\n\r\nnot this host",
        b"HTTP/1.1 502 Bad\r\nRetry-After: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nbad\r\n0\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 Empty\r\n\r\n",
        b"\x05\xff",
        b"",
    ]


def spoiled(random: Random, heads: Sequence[bytes]) -> bytes:
    """One of the heads, nearly always changed a little."""
    head = random.choice(heads)
    return head if random.random() < 0.05 else mutate(random, head, heads)
