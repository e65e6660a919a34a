"""HTTP requests with bodies and their answers, both roles, however the stream is cut."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtmcore.errors import LocalProtocolError
from rtmcore.limits import (
    HANDSHAKE_BYTES,
    HANDSHAKE_HEADERS,
    HTTP_ANSWER_BYTES,
    HTTP_BODY_BYTES,
    HTTP_EARLY_BYTES,
)
from rtmcore.wire.exchange import (
    HttpBody,
    HttpClientConnection,
    HttpEnded,
    HttpFailed,
    HttpHead,
    HttpResponse,
    HttpServerConnection,
)

Pieces = Callable[[bytes], list[bytes]]


def whole(stream: bytes) -> list[bytes]:
    return [stream]


def drip(stream: bytes) -> list[bytes]:
    return [stream[index : index + 1] for index in range(len(stream))]


CUTS = [pytest.param(whole, id="whole"), pytest.param(drip, id="dripped")]


def post(body: bytes = b"{}", *fields: str, path: str = "/x?y=1") -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: h", f"Content-Length: {len(body)}", *fields]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class Echo:
    """A server that answers each request with its body, in capitals."""

    def __init__(self) -> None:
        self.http = HttpServerConnection()
        self.heads: list[HttpHead] = []
        self.ends: list[HttpFailed | HttpEnded] = []
        self.output = b""

    def feed(self, pieces: list[bytes]) -> "Echo":
        for piece in pieces:
            self.http.receive_data(piece)
            self.look()
        return self

    def look(self) -> None:
        while (event := self.http.next_event()) is not None:
            assert not self.ends, f"{event} behind the end"
            if isinstance(event, HttpHead):
                self.heads.append(event)
                self.http.admit()
            elif isinstance(event, HttpBody):
                self.http.respond(200, [("X-Kind", "echo")], event.body.upper())
            else:
                self.ends.append(event)
        self.output += b"".join(self.http.data_to_send())


def response(body: bytes = b"ok", *fields: str, status: str = "200 OK") -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *fields]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def asking() -> HttpClientConnection:
    client = HttpClientConnection("h")
    client.request("POST", "/x", [("Authorization", "Bearer k")], b"{}")
    return client


@pytest.mark.parametrize("pieces", CUTS)
def test_several_requests_share_a_connection(pieces: Pieces) -> None:
    echo = Echo().feed(pieces(post(b"one") + post(b"") + post(b"three")))
    assert [head.target for head in echo.heads] == ["/x?y=1"] * 3
    assert echo.output.count(b"HTTP/1.1 200 OK") == 3
    assert echo.output.endswith(b"THREE")
    assert not echo.ends
    assert echo.http.idle


@settings(max_examples=60)
@given(st.lists(st.integers(1, 60), max_size=12), st.binary(max_size=200))
def test_cuts_do_not_matter(cuts: list[int], body: bytes) -> None:
    stream = post(body) + post(b"2")
    pieces, at = [], 0
    for size in cuts:
        pieces.append(stream[at : at + size])
        at += size
    pieces.append(stream[at:])
    assert Echo().feed([piece for piece in pieces if piece]).output == Echo().feed([stream]).output


@pytest.mark.parametrize("pieces", CUTS)
def test_a_chunked_body_is_one_body(pieces: Pieces) -> None:
    stream = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"
    assert Echo().feed(pieces(stream)).output.endswith(b"ABC")


def test_the_largest_body_passes_and_one_byte_more_is_refused_at_its_head() -> None:
    assert Echo().feed([post(b"a" * HTTP_BODY_BYTES)]).output.endswith(b"A" * HTTP_BODY_BYTES)
    head = f"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {HTTP_BODY_BYTES + 1}\r\n\r\n".encode()
    refused = Echo().feed([head])
    assert refused.output.startswith(b"HTTP/1.1 413 ")
    assert [end.status for end in refused.ends if isinstance(end, HttpFailed)] == [413]


def test_a_chunked_body_is_bounded_too() -> None:
    echo = Echo().feed([b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"])
    chunk = b"8000\r\n" + bytes(0x8000) + b"\r\n"
    echo.feed([chunk] * (HTTP_BODY_BYTES // 0x8000 + 1))
    assert echo.output.startswith(b"HTTP/1.1 413 ")
    assert [end.status for end in echo.ends if isinstance(end, HttpFailed)] == [413]


@pytest.mark.parametrize("pieces", CUTS)
@pytest.mark.parametrize(
    ("stream", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/1.0\r\nHost: h\r\n\r\n", 505),
        (post(b"", "X: " + "a" * HANDSHAKE_BYTES), 431),
        (post(b"", *["A: b"] * HANDSHAKE_HEADERS), 431),
        (post(b"ab", "Content-Length: 3"), 400),
        (post(b"ab", "Transfer-Encoding: chunked"), 400),
        (b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
    ],
)
def test_hostile_requests_are_answered_once_and_end(pieces: Pieces, stream: bytes, status: int) -> None:
    echo = Echo().feed(pieces(stream))
    assert echo.output.count(b"Content-Length") == 1
    assert echo.output.startswith(f"HTTP/1.1 {status} ".encode())
    assert len(echo.ends) == 1
    assert echo.http.closed


def test_a_body_that_is_not_wanted_is_never_kept() -> None:
    http = HttpServerConnection()
    http.receive_data(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 200000\r\n\r\nabc")
    assert isinstance(http.next_event(), HttpHead)
    http.respond(401)
    assert isinstance(http.next_event(), HttpEnded)
    assert b"Connection: close" in b"".join(http.data_to_send())
    http.receive_data(b"more")
    assert http.next_event() is None


def test_what_comes_too_early_is_bounded() -> None:
    http = HttpServerConnection()
    http.receive_data(post())
    assert isinstance(http.next_event(), HttpHead)
    http.admit()
    assert isinstance(http.next_event(), HttpBody)
    http.receive_data(bytes(HTTP_EARLY_BYTES))
    assert http.next_event() is None
    http.receive_data(b"x")
    assert isinstance(http.next_event(), HttpFailed)
    assert http.data_to_send() == [], "an answer would be taken for that of another request"


def test_who_waits_for_a_continue_gets_one_when_admitted() -> None:
    http = HttpServerConnection()
    http.receive_data(b"POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
    http.next_event()
    assert http.data_to_send() == []
    http.admit()
    assert b"".join(http.data_to_send()).startswith(b"HTTP/1.1 100 ")
    http.receive_data(b"ab")
    assert http.next_event() == HttpBody(b"ab")


def test_answers_have_no_body_for_head_and_close_where_asked() -> None:
    echo = Echo().feed([b"HEAD / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"])
    assert echo.output.endswith(b"\r\n\r\n")
    assert echo.ends == [HttpEnded()]


def test_what_comes_behind_a_head_request_and_is_none_is_refused_with_words() -> None:
    echo = Echo().feed([b"HEAD / HTTP/1.1\r\nHost: h\r\n\r\n", b"\n\r\n\r\n"])
    answers = echo.output.split(b"HTTP/1.1 ")
    assert [answer[:3] for answer in answers[1:]] == [b"200", b"400"]
    assert answers[1].endswith(b"\r\n\r\n")
    assert answers[2].endswith(b".\n")


def test_a_head_request_in_another_version_of_http_is_refused_without_a_body() -> None:
    echo = Echo().feed([b"HEAD / HTTP/1.3\r\nHost: h\r\n\r\n"])
    assert echo.output.startswith(b"HTTP/1.1 505 ")
    assert echo.output.endswith(b"\r\n\r\n")


def test_misuse_of_the_server_side() -> None:
    http = HttpServerConnection()
    for misuse in (lambda: http.respond(200), http.admit):
        with pytest.raises(LocalProtocolError):
            misuse()


# --- Client ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pieces", CUTS)
def test_an_answer_and_the_next_request(pieces: Pieces) -> None:
    client = asking()
    assert b"".join(client.data_to_send()).endswith(b"\r\n\r\n{}")
    for piece in pieces(response(b"hello", "Retry-After: 3")):
        client.receive_data(piece)
    answer = client.next_event()
    assert isinstance(answer, HttpResponse)
    assert (answer.status, answer.body, answer.reusable) == (200, b"hello", True)
    client.request("GET", "/y")
    assert b"".join(client.data_to_send()).startswith(b"GET /y HTTP/1.1\r\nHost: h\r\n")


@pytest.mark.parametrize("pieces", CUTS)
def test_an_answer_that_ends_with_the_connection(pieces: Pieces) -> None:
    client = asking()
    for piece in pieces(b"HTTP/1.1 200 OK\r\n\r\nall of it"):
        client.receive_data(piece)
    client.receive_eof()
    answer = client.next_event()
    assert isinstance(answer, HttpResponse)
    assert (answer.body, answer.reusable) == (b"all of it", False)
    with pytest.raises(LocalProtocolError):
        client.request("GET", "/")


@pytest.mark.parametrize(
    "stream",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc",
        b"220 mail server\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * (2 * HANDSHAKE_BYTES),
    ],
)
@pytest.mark.parametrize("pieces", CUTS)
def test_what_is_no_answer_fails_once(stream: bytes, pieces: Pieces) -> None:
    client = asking()
    for piece in pieces(stream):
        client.receive_data(piece)
    client.receive_eof()
    assert isinstance(client.next_event(), HttpFailed)
    assert client.next_event() is None
    assert client.closed


def test_answers_are_larger_than_requests_and_bounded_all_the_same() -> None:
    client = asking()
    client.receive_data(response(b"a" * HTTP_ANSWER_BYTES))
    answer = client.next_event()
    assert isinstance(answer, HttpResponse)
    assert len(answer.body) == HTTP_ANSWER_BYTES > HTTP_BODY_BYTES
    client = asking()
    client.receive_data(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (HTTP_ANSWER_BYTES + 1))
    assert isinstance(client.next_event(), HttpFailed)


def test_a_server_that_says_more_than_it_was_asked_is_not_asked_again() -> None:
    client = asking()
    client.receive_data(response() + b"HTTP/1.1 200 OK\r\n")
    answer = client.next_event()
    assert isinstance(answer, HttpResponse)
    assert not answer.reusable
    idle = HttpClientConnection("h")
    idle.receive_data(b"HTTP/1.1 408 Request Timeout\r\n\r\n")
    assert isinstance(idle.next_event(), HttpFailed)


def test_an_idle_connection_ends_quietly_and_heads_are_checked() -> None:
    client = HttpClientConnection("h")
    for target, fields in (("/ä", []), ("/", [("X", "a\r\nb")])):
        with pytest.raises(LocalProtocolError):
            HttpClientConnection("h").request("GET", target, fields)
    client.receive_eof()
    assert client.next_event() is None
    assert client.closed
