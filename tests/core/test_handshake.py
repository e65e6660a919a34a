"""HTTP on both sides: the upgrade to WebSocket, plain requests, refusals, and CONNECT to a proxy."""

import base64
import copy
import itertools
import pickle
from collections.abc import Callable, Iterable

import h11
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, BytesMessage, Request

from rtmcore.errors import ConnectionFailed, LocalProtocolError, ProxyError, RemoteProtocolError
from rtmcore.limits import HANDSHAKE_BYTES, HANDSHAKE_HEADERS, REFUSAL_BODY_BYTES, REFUSAL_EXCERPT
from rtmcore.wire.framing import Framing
from rtmcore.wire.handshake import (
    ClientHandshake,
    HandshakeAccepted,
    HandshakeRefused,
    HttpRequested,
    ServerHandshake,
    UpgradeRequested,
    accept_value,
    choose_subprotocol,
)
from rtmcore.wire.http import header_list
from rtmcore.wire.proxy import ProxyConnect, ProxyRefused

NONCE = bytes(range(16))
KEY = base64.b64encode(NONCE).decode()
OFFERED = ("rtm.v1.msgpack", "rtm.v1.json")
FIELDS = {
    "Host": "chat.example:8443",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": KEY,
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Protocol": "rtm.v1.msgpack, rtm.v1.json",
}
Pieces = Callable[[bytes], list[bytes]]


def whole(stream: bytes) -> list[bytes]:
    return [stream]


def drip(stream: bytes) -> list[bytes]:
    return [stream[index : index + 1] for index in range(len(stream))]


CUTS = [pytest.param(whole, id="whole"), pytest.param(drip, id="dripped")]


def head(first_line: str, fields: dict[str, str | None] | Iterable[tuple[str, str]]) -> bytes:
    pairs = fields.items() if isinstance(fields, dict) else fields
    lines = [first_line, *(f"{name}: {value}" for name, value in pairs if value is not None)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def upgrade(line: str = "GET /rtm HTTP/1.1", **changes: str | None) -> bytes:
    """An upgrade request with some fields changed, added or (None) left out."""
    return head(line, FIELDS | {name.replace("_", "-"): value for name, value in changes.items()})


def switching(**changes: str | None) -> bytes:
    fields = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Accept": accept_value(KEY),
        "Sec-WebSocket-Protocol": "rtm.v1.json",
    }
    return head(
        "HTTP/1.1 101 OK", fields | {name.replace("_", "-"): value for name, value in changes.items()}
    )


def client(**options: Iterable[tuple[str, str]]) -> ClientHandshake:
    return ClientHandshake("chat.example:8443", "/rtm", OFFERED, nonce=NONCE, **options)


def feed_response(asking: ClientHandshake, pieces: Iterable[bytes]) -> None:
    """Feed a response that has to raise."""
    for piece in pieces:
        assert asking.receive(piece) is None


def feed(handshake: ServerHandshake, pieces: Iterable[bytes]) -> UpgradeRequested | HttpRequested | None:
    found = [event for event in map(handshake.receive, pieces) if event is not None]
    assert len(found) <= 1
    return found[0] if found else None


def parse_response(data: bytes, method: str = "GET") -> tuple[int, dict[str, str], bytes]:
    """What an HTTP client reads; the response has to be complete, and the last one."""
    http = h11.Connection(h11.CLIENT)
    http.send(h11.Request(method=method, target="/", headers=[("Host", "x")]))
    http.send(h11.EndOfMessage())
    http.receive_data(data)
    response, body = http.next_event(), b""
    assert isinstance(response, h11.Response)
    while isinstance(event := http.next_event(), h11.Data):
        body += event.data
    assert isinstance(event, h11.EndOfMessage)
    assert http.their_state is h11.MUST_CLOSE
    headers: dict[str, str] = {}
    for name, value in response.headers:
        text = value.decode()
        headers[name.decode()] = f"{headers[name.decode()]}, {text}" if name.decode() in headers else text
    return response.status_code, headers, body


def refused(request: bytes, pieces: Pieces = whole) -> tuple[int, dict[str, str], str]:
    """The answer to a request that has to be refused by its shape."""
    handshake = ServerHandshake()
    with pytest.raises(RemoteProtocolError) as caught:
        feed(handshake, pieces(request))
    status, headers, body = parse_response(handshake.failure_response())
    assert str(status) in str(caught.value)
    assert "close" in headers["connection"].split(", ")
    assert handshake.failure_response() == b""
    assert handshake.receive(b"more") is None
    return status, headers, body.decode()


# --- Both sides together --------------------------------------------------------------------------------------


@pytest.mark.parametrize("pieces", CUTS)
def test_both_sides_agree_and_lose_no_byte_behind_the_heads(pieces: Pieces) -> None:
    asking, answering = client(), ServerHandshake()
    early = b"\x82\x80mask"
    event = feed(answering, pieces(asking.request() + early))
    assert isinstance(event, UpgradeRequested)
    assert (event.path, event.query, event.host, event.origin) == ("/rtm", "", "chat.example:8443", None)
    assert event.subprotocols == OFFERED
    response = answering.accept(choose_subprotocol(event.subprotocols, reversed(OFFERED)))
    assert answering.trailing == early

    assert [asking.receive(piece) for piece in pieces(response)[:-1]] == [None] * (len(pieces(response)) - 1)
    accepted = asking.receive(pieces(response)[-1] + b"\x82\x00")
    assert accepted == HandshakeAccepted("rtm.v1.json", b"\x82\x00")
    assert Framing(client=True, text=False, mask_key=lambda: bytes(4), trailing=accepted.trailing).receive(
        b""
    ) == [b""]


def test_the_rfc_example_of_the_accept_value() -> None:
    assert accept_value("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def test_a_stock_wsproto_server_understands_the_client() -> None:
    asking, server = client(), WSConnection(ConnectionType.SERVER)
    server.receive_data(asking.request())
    (request,) = server.events()
    assert isinstance(request, Request)
    assert request.subprotocols == list(OFFERED)
    accepted = asking.receive(server.send(AcceptConnection(subprotocol="rtm.v1.msgpack")))
    assert accepted == HandshakeAccepted("rtm.v1.msgpack", b"")


def test_a_stock_wsproto_client_understands_the_server() -> None:
    asking, server = WSConnection(ConnectionType.CLIENT), ServerHandshake()
    request = asking.send(Request(host="h", target="/rtm?a=b", subprotocols=list(OFFERED)))
    event = server.receive(request)
    assert isinstance(event, UpgradeRequested)
    assert (event.path, event.query) == ("/rtm", "a=b")
    asking.receive_data(server.accept("rtm.v1.json") + b"\x82\x02hi")
    accepted, message = asking.events()
    assert isinstance(accepted, AcceptConnection)
    assert accepted.subprotocol == "rtm.v1.json"
    assert isinstance(message, BytesMessage)


def test_a_large_first_read_carries_frames_over_on_both_sides() -> None:
    frames = bytes(5 * HANDSHAKE_BYTES)
    server = ServerHandshake()
    assert isinstance(server.receive(upgrade() + frames), UpgradeRequested)
    server.accept("rtm.v1.json")
    assert server.trailing == frames
    accepted = client().receive(switching() + frames)
    assert accepted is not None
    assert accepted.trailing == frames


# --- The client's side ----------------------------------------------------------------------------------------


def test_the_request_says_what_the_rfc_wants() -> None:
    request = client(extra_headers=[("Authorization", "Bearer abcdef")]).request()
    assert request == head("GET /rtm HTTP/1.1", FIELDS | {"Authorization": "Bearer abcdef"}).replace(
        b"Sec-WebSocket-Protocol: rtm.v1.msgpack,rtm", b"Sec-WebSocket-Protocol: rtm.v1.msgpack, rtm"
    )


@pytest.mark.parametrize(
    "arguments",
    [
        {"nonce": b"short"},
        {"subprotocols": []},
        {"subprotocols": ["two words"]},
        {"target": "rtm"},
        {"target": "/ä"},
        {"target": "/a b"},
        {"target": "/\r\nX: y"},
        {"host": "h\r\nX: y"},
        {"host": "☃.example"},
        {"extra_headers": [("X", "a\r\nY: b")]},
        {"extra_headers": [("X Y", "a")]},
        {"extra_headers": [("X", "☃")]},
    ],
)
def test_arguments_that_are_no_http_are_refused(arguments: dict[str, object]) -> None:
    good = {"host": "h", "target": "/", "subprotocols": ["a"], "nonce": NONCE}
    with pytest.raises(LocalProtocolError):
        ClientHandshake(**good | arguments)


def test_a_refused_argument_is_not_quoted() -> None:
    with pytest.raises(LocalProtocolError) as caught:
        client(extra_headers=[("Cookie", "secret\r\nvalue")])
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"Upgrade": None}, "does not say"),
        ({"Upgrade": "h2c"}, "does not say"),
        ({"Connection": "keep-alive"}, "does not say"),
        ({"Sec_WebSocket_Accept": None}, "Sec-WebSocket-Accept"),
        ({"Sec_WebSocket_Accept": accept_value("other")}, "Sec-WebSocket-Accept"),
        ({"Sec_WebSocket_Accept": "\xe4"}, "Sec-WebSocket-Accept"),
        ({"Sec_WebSocket_Extensions": "permessage-deflate"}, "extension"),
        ({"Sec_WebSocket_Protocol": None}, "subprotocols"),
        ({"Sec_WebSocket_Protocol": "soap"}, "subprotocols"),
        ({"Sec_WebSocket_Protocol": "rtm.v1.json, rtm.v1.msgpack"}, "subprotocols"),
        ({"Sec_WebSocket_Protocol": "RTM.V1.JSON"}, "subprotocols"),
    ],
)
@pytest.mark.parametrize("pieces", CUTS)
def test_a_101_that_does_not_answer_this_handshake_is_an_error(
    changes: dict[str, str | None], what: str, pieces: Pieces
) -> None:
    asking = client()
    with pytest.raises(RemoteProtocolError, match=what):
        feed_response(asking, pieces(switching(**changes)))


def test_tokens_are_found_in_any_case_and_in_lists() -> None:
    response = switching(Upgrade="foo/2, WebSocket", Connection="keep-alive,UPGRADE")
    assert client().receive(response) == HandshakeAccepted("rtm.v1.json", b"")


def test_earlier_informational_responses_are_passed_over() -> None:
    hints = head("HTTP/1.1 100 Continue", {}) + head("HTTP/1.1 103 Early Hints", {"Link": "</a>"})
    assert client().receive(hints + switching()) == HandshakeAccepted("rtm.v1.json", b"")


@pytest.mark.parametrize("pieces", CUTS)
def test_a_refusal_names_status_reason_text_and_when_to_come_back(pieces: Pieces) -> None:
    body = b"<html><b>Draining,</b>\r\n come \x00 back</html>"
    response = head(
        "HTTP/1.1 503 Service Unavailable", {"Retry-After": "7", "Content-Length": str(len(body))}
    )
    asking = client()
    with pytest.raises(HandshakeRefused) as caught:
        feed_response(asking, pieces(response + body))
    error = caught.value
    assert isinstance(error, ConnectionFailed)
    assert (error.status, error.reason, error.retry_after) == (503, "Service Unavailable", 7.0)
    assert error.body == "Draining, come back"
    assert "HTTP 503 Service Unavailable: Draining, come back." in str(error)
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert (twin.status, twin.body, str(twin)) == (error.status, error.body, str(error))


def test_a_refusal_is_known_before_its_text_is_complete() -> None:
    asking = client()
    assert asking.refusal is None
    assert asking.receive(head("HTTP/1.1 404 Not Found", {"Content-Length": "100"}) + b"no such") is None
    assert asking.refusal is not None
    assert asking.refusal.status == 404
    assert "Check the path" in str(asking.refusal)
    with pytest.raises(HandshakeRefused, match="no such"):
        asking.receive_eof()


def test_a_redirect_names_its_target() -> None:
    with pytest.raises(HandshakeRefused, match=r"HTTP 301 Moved to wss://new\.example/rtm") as caught:
        client().receive(
            head("HTTP/1.1 301 Moved", {"Location": "wss://new.example/rtm", "Content-Length": "0"})
        )
    assert "address that it redirects to" in str(caught.value)


@pytest.mark.parametrize("status", [200, 204, 302, 400, 401, 403, 426, 500, 502, 504, 599])
def test_every_other_status_is_a_refusal(status: int) -> None:
    with pytest.raises(HandshakeRefused) as caught:
        client().receive(head(f"HTTP/1.1 {status} ", {"Content-Length": "0"}))
    assert caught.value.status == status


@pytest.mark.parametrize("value", ["Fri, 31 Dec 1999 23:59:59 GMT", "-1", "1.5", "9" * 5000, "", "٣"])
def test_a_retry_after_that_is_no_plain_number_is_left_out(value: str) -> None:
    response = head("HTTP/1.1 503 Busy", {"Content-Length": "0"})
    line = f"Retry-After: {value}\r\n\r\n".encode()
    with pytest.raises(HandshakeRefused) as caught:
        client().receive(response[:-2] + line)
    assert caught.value.retry_after is None


@pytest.mark.parametrize("pieces", CUTS)
def test_an_endless_refusal_ends_at_the_limit(pieces: Pieces) -> None:
    stream = head("HTTP/1.1 500 Oops", {}) + b"x" * (REFUSAL_BODY_BYTES - 1)
    asking = client()
    for piece in pieces(stream):
        assert asking.receive(piece) is None
    with pytest.raises(HandshakeRefused) as caught:
        asking.receive(b"x" * 100_000)
    assert caught.value.body == "x" * REFUSAL_EXCERPT


def test_tiny_chunks_with_long_extensions_end_at_the_limit_too() -> None:
    asking = client()
    asking.receive(head("HTTP/1.1 500 Oops", {"Transfer-Encoding": "chunked"}))
    with pytest.raises(HandshakeRefused):
        feed_response(asking, [b"1;" + b"e" * 500 + b"\r\nx\r\n"] * HANDSHAKE_BYTES)


def test_a_refusal_with_a_broken_body_is_still_that_refusal() -> None:
    with pytest.raises(HandshakeRefused, match="403"):
        client().receive(head("HTTP/1.1 403 No", {"Transfer-Encoding": "chunked"}) + b"zz\r\n")


def test_what_was_sent_in_extra_headers_is_not_repeated() -> None:
    asking = client(extra_headers=[("Authorization", "Bearer s3cr3t-t0k3n"), ("X-Zone", "eu")])
    body = b"bad credentials 's3cr3t-t0k3n' (Bearer s3cr3t-t0k3n) in eu"
    with pytest.raises(HandshakeRefused) as caught:
        asking.receive(head("HTTP/1.1 401 Unauthorized", {"Content-Length": str(len(body))}) + body)
    assert "s3cr3t" not in str(caught.value)
    assert caught.value.body == "bad credentials '***' (***) in eu"


def test_a_status_line_does_not_repeat_it_either() -> None:
    asking = client(extra_headers=[("Authorization", "Bearer s3cr3t-t0k3n")])
    with pytest.raises(HandshakeRefused) as caught:
        asking.receive(
            head(
                "HTTP/1.1 302 Bearer s3cr3t-t0k3n is moved",
                {"Location": "https://h/?t=s3cr3t-t0k3n", "Content-Length": "0"},
            )
        )
    assert "HTTP 302 *** is moved to https://h/?t=***" in str(caught.value)
    assert caught.value.reason == "*** is moved"


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"\x15\x03\x01\x00\x02\x02\x46", "TLS"),
        (b"\x16\x03\x03", "TLS"),
        (b"\x00\x00\x00", "not HTTP"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "status line"),
        (b"HTTP/1.1 abc\r\n\r\n", "status line"),
        (b"HTTP/1.1 101 OK\r\nNo colon: is here\r\nhere\r\n\r\n", "header line"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * (HANDSHAKE_HEADERS + 1) + b"\r\n", "header fields"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * HANDSHAKE_BYTES, "longer than"),
    ],
)
@pytest.mark.parametrize("pieces", CUTS)
def test_what_is_no_http_is_named_without_being_quoted(data: bytes, what: str, pieces: Pieces) -> None:
    asking = client()
    with pytest.raises(RemoteProtocolError, match=what) as caught:
        feed_response(asking, pieces(data))
    assert "OpenSSH" not in str(caught.value)
    assert "scheme" in str(caught.value)


def test_the_end_before_the_response_is_a_failed_connection() -> None:
    for sent in (b"", b"HTTP/1.1 10", head("HTTP/1.1 100 Continue", {})):
        asking = client()
        asking.receive(sent)
        with pytest.raises(ConnectionFailed, match="before it answered") as caught:
            asking.receive_eof()
        assert not isinstance(caught.value, HandshakeRefused)


def test_an_endless_row_of_informational_responses_ends() -> None:
    asking = client()
    with pytest.raises(RemoteProtocolError, match="longer than"):
        feed_response(asking, [head("HTTP/1.1 102 Processing", {})] * HANDSHAKE_BYTES)


# --- The server's side: upgrades ------------------------------------------------------------------------------


@pytest.mark.parametrize("pieces", CUTS)
def test_a_browsers_request_is_understood(pieces: Pieces) -> None:
    request = upgrade(
        "GET /rtm?x=%20y&z HTTP/1.1",
        Connection="keep-alive, Upgrade",
        Upgrade="WebSocket",
        Origin="https://app.example",
        Sec_WebSocket_Extensions="permessage-deflate; client_max_window_bits",
        Cookie="session=1234",
        Content_Length="0",
    )
    handshake = ServerHandshake()
    event = feed(handshake, pieces(request))
    assert isinstance(event, UpgradeRequested)
    assert (event.path, event.query, event.origin) == ("/rtm", "x=%20y&z", "https://app.example")
    assert ("cookie", "session=1234") in event.headers
    assert "1234" not in repr(event)
    response = handshake.accept("rtm.v1.json", [("Server", "rtm")])
    assert b"extensions" not in response.lower()
    assert response.endswith(b"\r\nServer: rtm\r\n\r\n")


def test_subprotocols_may_come_in_several_lines_and_twice() -> None:
    fields = [
        *FIELDS.items(),
        ("sec-websocket-protocol", "chat ,, rtm.v1.json"),
        ("SEC-WEBSOCKET-PROTOCOL", "x"),
    ]
    event = ServerHandshake().receive(head("GET / HTTP/1.1", fields))
    assert isinstance(event, UpgradeRequested)
    assert event.subprotocols == ("rtm.v1.msgpack", "rtm.v1.json", "chat", "x")
    assert header_list(event.headers, "host") == ["chat.example:8443"]


def test_without_a_common_subprotocol_the_owner_names_those_it_has() -> None:
    handshake = ServerHandshake()
    event = handshake.receive(upgrade(Sec_WebSocket_Protocol=None))
    assert isinstance(event, UpgradeRequested)
    assert event.subprotocols == ()
    assert choose_subprotocol(event.subprotocols, OFFERED) is None
    answer = handshake.reject(400, f"Offer {' or '.join(OFFERED)}.")
    status, headers, body = parse_response(answer)
    assert (status, body) == (400, b"Offer rtm.v1.msgpack or rtm.v1.json.\n")
    assert headers["content-type"].startswith("text/plain")
    with pytest.raises(HandshakeRefused, match=r"Offer rtm\.v1\.msgpack or rtm\.v1\.json"):
        client().receive(answer)


def test_an_absolute_target_is_taken_as_its_path() -> None:
    for target, path in (("http://chat.example/rtm", "/rtm"), ("HTTPS://chat.example?q", "/")):
        event = ServerHandshake().receive(upgrade(f"GET {target} HTTP/1.1"))
        assert isinstance(event, UpgradeRequested)
        assert event.path == path


BAD_UPGRADES = {
    "method": (upgrade("POST /rtm HTTP/1.1"), 405, "GET"),
    "HTTP/1.0": (upgrade("GET /rtm HTTP/1.0"), 426, "HTTP/1.1"),
    "HTTP/2.0": (upgrade("GET /rtm HTTP/2.0"), 505, "HTTP/1.1"),
    "HTTP/2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "HTTP/1.1"),
    "connection": (upgrade(Connection="keep-alive"), 400, "Connection"),
    "connection in other bytes": (upgrade(Connection="\xfcpgrade"), 400, "Connection"),
    "no upgrade": (upgrade(Upgrade=None), 426, "proxy"),
    "other upgrade": (upgrade(Upgrade="h2c"), 426, "proxy"),
    "no version": (upgrade(Sec_WebSocket_Version=None), 426, "13"),
    "version 8": (upgrade(Sec_WebSocket_Version="8"), 426, "13"),
    "version in other bytes": (upgrade(Sec_WebSocket_Version="\xb9\xb3"), 426, "13"),
    "no key": (upgrade(Sec_WebSocket_Key=None), 400, "Key"),
    "empty key": (upgrade(Sec_WebSocket_Key=""), 400, "Key"),
    "short key": (upgrade(Sec_WebSocket_Key="c2hvcnQ="), 400, "Key"),
    "long key": (upgrade(Sec_WebSocket_Key=base64.b64encode(bytes(17)).decode()), 400, "Key"),
    "key that is no base64": (upgrade(Sec_WebSocket_Key="AAAAAAAAAAAAAAAAAAAAA!=="), 400, "Key"),
    "key without padding": (upgrade(Sec_WebSocket_Key=KEY.rstrip("=")), 400, "Key"),
    "key in other bytes": (upgrade(Sec_WebSocket_Key="\xe4" * 24), 400, "Key"),
    "two keys": (head("GET / HTTP/1.1", [*FIELDS.items(), ("Sec-WebSocket-Key", KEY)]), 400, "Key"),
    "no host": (upgrade(Host=None), 400, "Host"),
    "empty host": (upgrade(Host=""), 400, "Host"),
    "host in other bytes": (upgrade(Host="\xe4.example"), 400, "Host"),
    "two hosts": (head("GET / HTTP/1.1", [*FIELDS.items(), ("Host", "b")]), 400, "Host"),
    "two origins": (
        head("GET / HTTP/1.1", [*FIELDS.items(), ("Origin", "a"), ("Origin", "b")]),
        400,
        "Origin",
    ),
    "subprotocol": (upgrade(Sec_WebSocket_Protocol="a b"), 400, "Protocol"),
    "subprotocol in other bytes": (upgrade(Sec_WebSocket_Protocol="\xe4"), 400, "Protocol"),
    "body": (upgrade(Content_Length="3") + b"abc", 413, "body"),
    "chunked body": (upgrade(Transfer_Encoding="chunked"), 413, "body"),
    "both kinds of body": (upgrade(Transfer_Encoding="chunked", Content_Length="0"), 413, "body"),
    "huge body": (upgrade(Content_Length="9" * 30), 400, "Content-Length"),
    "body of no length": (upgrade(Content_Length="x"), 400, "Content-Length"),
    "target": (upgrade("GET rtm HTTP/1.1"), 400, "path"),
    "asterisk": (upgrade("GET * HTTP/1.1"), 400, "path"),
    "long head": (upgrade(Cookie="c" * HANDSHAKE_BYTES), 431, "longer"),
    "long line": (b"GET /" + b"a" * 5_000_000, 431, "longer"),
    "many fields": (upgrade(**{f"X{n}": "" for n in range(HANDSHAKE_HEADERS)}), 431, "fields"),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, "TLS"),
    "zeros": (bytes(100), 400, "HTTP"),
    "high bytes": (b"\xff" * 100, 400, "HTTP"),
    "empty line": (b"\r\n", 400, "HTTP"),
    "other protocol": (b"EHLO mail.example\r\n\r\n", 400, "request line"),
}


@pytest.mark.parametrize("what", BAD_UPGRADES)
@pytest.mark.parametrize("pieces", CUTS)
def test_a_request_of_the_wrong_shape_gets_its_http_answer(what: str, pieces: Pieces) -> None:
    request, status, word = BAD_UPGRADES[what]
    answered, headers, text = refused(request[: 4 * HANDSHAKE_BYTES] if pieces is drip else request, pieces)
    assert answered == status
    assert word in text
    if status == 405:
        assert headers["allow"] == "GET"
    if status == 426:
        assert headers["upgrade"] == "websocket"
        assert headers["sec-websocket-version"] == "13"
        assert "upgrade" in headers["connection"].split(", ")


def test_an_error_does_not_quote_the_line_with_the_secret() -> None:
    handshake = ServerHandshake()
    with pytest.raises(RemoteProtocolError) as caught:
        handshake.receive(b"GET / HTTP/1.1\r\nHost: h\r\nAuthorization : Bearer s3cr3t\r\n\r\n")
    shown = repr(caught.value) + str(caught.value) + repr(caught.value.__cause__)
    assert "s3cr3t" not in shown
    assert caught.value.__suppress_context__
    assert b"s3cr3t" not in handshake.failure_response()


def test_the_largest_head_is_taken() -> None:
    room = HANDSHAKE_BYTES - len(upgrade(Cookie=""))
    assert isinstance(ServerHandshake().receive(upgrade(Cookie="c" * room) + b"frame"), UpgradeRequested)
    many = {f"X{number}": "" for number in range(HANDSHAKE_HEADERS - len(FIELDS))}
    assert isinstance(ServerHandshake().receive(upgrade(**many)), UpgradeRequested)


def test_frames_that_come_before_the_answer_are_kept_up_to_a_limit() -> None:
    handshake = ServerHandshake()
    handshake.receive(upgrade() + b"1")
    assert handshake.receive(b"2" * (HANDSHAKE_BYTES - 1)) is None
    assert handshake.receive(b"3") is None
    assert handshake.trailing == b"1" + b"2" * (HANDSHAKE_BYTES - 1) + b"3"
    with pytest.raises(RemoteProtocolError, match="before the upgrade was answered"):
        handshake.receive(b"4")
    assert parse_response(handshake.failure_response())[0] == 400


@pytest.mark.parametrize(
    "sent", [b"", b"G", upgrade()[:-1], upgrade(Cookie="c" * HANDSHAKE_BYTES)[:HANDSHAKE_BYTES]]
)
def test_the_end_before_the_request_is_complete_is_an_error_without_an_answer(sent: bytes) -> None:
    handshake = ServerHandshake()
    assert handshake.receive(sent) is None
    with pytest.raises(RemoteProtocolError, match="in the middle of" if sent else "without a request"):
        handshake.receive_eof()
    assert handshake.failure_response() == b""
    handshake.receive_eof()


def test_the_end_behind_a_complete_request_is_not_judged_here() -> None:
    handshake = ServerHandshake()
    handshake.receive(upgrade())
    handshake.receive_eof()
    assert handshake.accept("rtm.v1.json").startswith(b"HTTP/1.1 101 ")


def test_each_request_is_answered_once_and_as_what_it_is() -> None:
    handshake = ServerHandshake()
    for answer in (lambda: handshake.accept("rtm.v1.json"), lambda: handshake.respond(200)):
        with pytest.raises(LocalProtocolError, match="There is no"):
            answer()
    handshake.receive(upgrade())
    with pytest.raises(LocalProtocolError, match="did not offer"):
        handshake.accept("soap")
    handshake.accept("rtm.v1.json")
    for answer in (lambda: handshake.accept("rtm.v1.json"), lambda: handshake.respond(200)):
        with pytest.raises(LocalProtocolError, match="There is no"):
            answer()
    assert handshake.receive(b"late") is None

    plain = ServerHandshake()
    plain.receive(head("GET / HTTP/1.1", {"Host": "h"}))
    with pytest.raises(LocalProtocolError, match="upgrade"):
        plain.accept("rtm.v1.json")


# --- The server's side: plain HTTP ----------------------------------------------------------------------------


@pytest.mark.parametrize("pieces", CUTS)
@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_a_plain_request_is_answered_and_the_connection_ends(pieces: Pieces, version: str) -> None:
    handshake = ServerHandshake()
    event = feed(handshake, pieces(head(f"GET /healthz?full HTTP/{version}", {"Host": "h", "X": "\xe4"})))
    assert event == HttpRequested("GET", "/healthz", "full", [("host", "h"), ("x", "\xe4")])
    status, headers, body = parse_response(handshake.respond(200, [("Content-Type", "text/plain")], b"ok\n"))
    assert (status, body) == (200, b"ok\n")
    assert headers == {"content-type": "text/plain", "content-length": "3", "connection": "close"}


def test_head_is_answered_without_a_body() -> None:
    handshake = ServerHandshake()
    handshake.receive(head("HEAD /healthz HTTP/1.1", {"Host": "h"}))
    answer = handshake.respond(200, body=b"ok\n")
    assert answer.endswith(b"\r\n\r\n")
    assert parse_response(answer, "HEAD")[1]["content-length"] == "3"


def test_what_follows_a_plain_request_is_ignored() -> None:
    request = head("GET /healthz HTTP/1.1", {"Host": "h"})
    handshake = ServerHandshake()
    assert isinstance(handshake.receive(request * 3), HttpRequested)
    for _ in range(3):
        assert handshake.receive(bytes(HANDSHAKE_BYTES)) is None
    assert parse_response(handshake.respond(200))[0] == 200


def test_an_upgrade_to_something_else_is_a_plain_request() -> None:
    request = head("GET / HTTP/1.1", {"Host": "h", "Upgrade": "h2c", "Connection": "Upgrade, HTTP2-Settings"})
    handshake = ServerHandshake()
    assert isinstance(handshake.receive(request), HttpRequested)
    assert parse_response(handshake.respond(200))[0] == 200


@pytest.mark.parametrize("line", ["POST / HTTP/1.1", "PUT /x HTTP/1.1", "GET / HTTP/1.1"])
def test_a_request_with_a_body_is_refused_by_its_head(line: str) -> None:
    status, _, text = refused(head(line, {"Host": "h", "Content-Length": "5", "Expect": "100-continue"}))
    assert status == 413
    assert "body" in text


def test_connect_is_refused() -> None:
    assert refused(head("CONNECT chat.example:443 HTTP/1.1", {"Host": "h"}))[0] == 405


@pytest.mark.parametrize("headers", [[("X", "a\r\nY: b")], [("X", "☃")], [("X Y", "z")]])
def test_a_header_that_is_no_http_is_not_written(headers: list[tuple[str, str]]) -> None:
    handshake = ServerHandshake()
    handshake.receive(upgrade())
    with pytest.raises(LocalProtocolError):
        handshake.respond(200, headers)
    assert parse_response(handshake.respond(500))[0] == 500


def test_a_status_without_a_name_is_written_all_the_same() -> None:
    handshake = ServerHandshake()
    handshake.receive(upgrade())
    assert parse_response(handshake.reject(499, "Möwe \ud800"))[::2] == (499, "Möwe ?\n".encode())


# --- Proxies --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pieces", CUTS)
def test_a_tunnel_through_a_proxy(pieces: Pieces) -> None:
    connect = ProxyConnect("chat.example", 443)
    assert connect.request() == head("CONNECT chat.example:443 HTTP/1.1", {"Host": "chat.example:443"})
    response = head("HTTP/1.1 200 Connection established", {"Content-Length": "10", "Via": "1.1 proxy"})
    *before, last = pieces(response)
    assert [connect.receive(piece) for piece in before] == [False] * len(before)
    assert connect.receive(last + b"\x16\x03") is True
    assert connect.trailing == b"\x16\x03"


def test_an_ipv6_address_is_bracketed() -> None:
    assert ProxyConnect("2001:db8::1", 80).request().startswith(b"CONNECT [2001:db8::1]:80 HTTP/1.1\r\n")


def test_credentials_are_sent_and_never_shown() -> None:
    connect = ProxyConnect("h", 1, username="jürgen", password="pa:ss-word")
    sent = dict(line.split(b": ") for line in connect.request().strip().split(b"\r\n")[1:])
    encoded = sent[b"Proxy-Authorization"].removeprefix(b"Basic ")
    assert base64.b64decode(encoded).decode() == "jürgen:pa:ss-word"
    body = b"no: " + encoded + " jürgen:pa:ss-word".encode()
    with pytest.raises(ProxyRefused) as caught:
        connect.receive(head("HTTP/1.1 407 Who are you", {"Content-Length": str(len(body))}) + body)
    assert caught.value.status == 407
    assert "user name and password" in str(caught.value)
    assert encoded.decode() not in str(caught.value)
    assert "pa:ss" not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "remedy"),
    [(403, "administrator"), (405, "does not offer"), (502, "cannot reach"), (504, "cannot reach")],
)
def test_a_proxys_refusal_names_a_remedy(status: int, remedy: str) -> None:
    with pytest.raises(ProxyRefused, match=f"CONNECT h:1 with HTTP {status}.*{remedy}") as caught:
        ProxyConnect("h", 1).receive(
            head(f"HTTP/1.0 {status} No", {"Retry-After": "3", "Content-Length": "0"})
        )
    assert isinstance(caught.value, ProxyError)
    assert caught.value.retry_after == 3.0
    twin = pickle.loads(pickle.dumps(caught.value))
    assert (twin.status, str(twin)) == (status, str(caught.value))


def test_a_proxy_that_hangs_up_or_speaks_something_else_is_an_error() -> None:
    with pytest.raises(ProxyError, match="before it answered"):
        ProxyConnect("h", 1).receive_eof()
    for data, what in (
        (b"\x05\xff", "not HTTP"),
        (b"\x15\x03\x03", "TLS"),
        (b"SSH-2.0\r\n\r\n", "status line"),
    ):
        with pytest.raises(ProxyError, match=what):
            ProxyConnect("h", 1).receive(data)
    connect = ProxyConnect("h", 1)
    assert connect.receive(head("HTTP/1.1 502 Bad Gateway", {}) + b"no route") is False
    assert connect.refusal is not None
    with pytest.raises(ProxyRefused, match="no route"):
        connect.receive_eof()


@pytest.mark.parametrize(
    "arguments", [("h", 0), ("h", 65536), ("ä.example", 1), ("h\r\nX: y", 1), ("a b", 1), ("h", 1, "a:b")]
)
def test_proxy_arguments_that_are_no_http_are_refused(arguments: tuple[str, int]) -> None:
    host, port, *rest = arguments
    with pytest.raises(LocalProtocolError):
        ProxyConnect(host, port, username=rest[0] if rest else None)


# --- Random input ---------------------------------------------------------------------------------------------

FRAGMENTS = [
    *upgrade(Cookie="a=b", Origin="https://a.example").split(b"\r\n"),
    *switching().split(b"\r\n"),
    *(
        b"HTTP/1.1 200 OK",
        b"HTTP/1.1 404 ",
        b"HTTP/1.1 103 Hm",
        b"Content-Length: 5",
        b"Transfer-Encoding: chunked",
    ),
    *(
        b"",
        b"",
        b"\r\n",
        b"5\r\nabcde",
        b" folded",
        b"GET /\xe4 HTTP/1.1",
        b"Upgrade: \xe4",
        b"Connection: \xff,\x00",
    ),
    *(b"Content-Length: " + b"9" * 4400, b"Retry-After: " + b"1" * 4400, b"Sec-WebSocket-Key: \xc3\xa4"),
]


@st.composite
def http_like(draw: st.DrawFn, start: bytes) -> bytes:
    lines = draw(st.lists(st.one_of(st.sampled_from(FRAGMENTS), st.binary(max_size=30)), max_size=20))
    stream = bytearray(draw(st.sampled_from([start, b""])) + b"\r\n".join(lines) + b"\r\n\r\n")
    for place, value in draw(st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 255)), max_size=3)):
        stream[place % len(stream)] = value
    return bytes(stream)


def pieces_of(stream: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    return [stream[start:end] for start, end in itertools.pairwise(places)]


random_cuts = st.lists(st.integers(0, 10_000), max_size=5)
fuzzed = settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))


@fuzzed
@given(stream=st.one_of(st.binary(max_size=200), http_like(upgrade()[:-2])), cuts=random_cuts)
def test_whatever_a_client_sends_is_an_event_or_a_protocol_error(stream: bytes, cuts: list[int]) -> None:
    outcomes = []
    for pieces in (pieces_of(stream, cuts), drip(stream)):
        handshake = ServerHandshake()
        try:
            event = feed(handshake, pieces)
            handshake.receive_eof()
        except RemoteProtocolError as error:
            answer = handshake.failure_response()
            assert not answer or parse_response(answer)[0] >= 400
            outcomes.append((str(error), answer))
        else:
            outcomes.append((event, b""))
    assert outcomes[0] == outcomes[1]


@fuzzed
@given(stream=st.one_of(st.binary(max_size=200), http_like(switching()[:-2])), cuts=random_cuts)
def test_whatever_a_server_sends_is_an_answer_a_refusal_or_a_protocol_error(
    stream: bytes, cuts: list[int]
) -> None:
    outcomes = []
    for pieces in (pieces_of(stream, cuts), drip(stream)):
        asking, consumed = client(), 0
        try:
            for piece in pieces:
                consumed += len(piece)
                if (accepted := asking.receive(piece)) is not None:
                    outcomes.append((accepted.subprotocol, accepted.trailing + stream[consumed:]))
                    break
            else:
                asking.receive_eof()
        except (RemoteProtocolError, ConnectionFailed) as error:
            outcomes.append(
                (type(error), error.status if isinstance(error, HandshakeRefused) else str(error))
            )
    assert outcomes[0] == outcomes[1]


@fuzzed
@given(stream=st.one_of(st.binary(max_size=200), http_like(b"HTTP/1.1 200 OK\r\n")), cuts=random_cuts)
def test_whatever_a_proxy_sends_is_a_tunnel_or_a_proxy_error(stream: bytes, cuts: list[int]) -> None:
    connect = ProxyConnect("h", 1)
    try:
        if not any(map(connect.receive, pieces_of(stream, cuts))):
            connect.receive_eof()
    except ProxyError:
        pass


@pytest.mark.parametrize("fields", [HANDSHAKE_HEADERS, HANDSHAKE_HEADERS + 1])
def test_the_answer_to_head_has_no_body_even_where_the_head_is_refused(fields: int) -> None:
    server = ServerHandshake()
    request = b"HEAD /readyz HTTP/1.1\r\n" + b"Host: x\r\n" + b"A: x\r\n" * (fields - 1) + b"\r\n"
    if fields > HANDSHAKE_HEADERS:
        with pytest.raises(RemoteProtocolError):
            server.receive(request)
        answer = server.failure_response()
        assert answer.startswith(b"HTTP/1.1 431 ")
    else:
        assert isinstance(server.receive(request), HttpRequested)
        answer = server.respond(200, (), b"ready")
    assert answer.endswith(b"\r\n\r\n")
