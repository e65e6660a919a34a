"""The HTTP client core with bodies in pieces, against bytes and against the server core."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtmcore.errors import LocalProtocolError
from rtmcore.limits import (
    HTTP_BODY_BYTES,
    HTTP_INTERIM_RESPONSES,
    HTTP_WINDOW_BYTES,
    READ_CHUNK,
)
from rtmcore.wire.exchange import (
    HttpAnswer,
    HttpBodyEnd,
    HttpClientConnection,
    HttpEnded,
    HttpFailed,
    HttpHead,
    HttpInterim,
    HttpPiece,
    HttpResponse,
    HttpServerConnection,
)

LIMIT = 1000


def response(body: bytes = b"", *fields: str, status: str = "200 OK", length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {size}", *fields]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def chunks(*chunks: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + end


def interim(status: int, *fields: str) -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status} ", *fields]).encode() + b"\r\n\r\n"


class Download:
    """One request whose answer comes in pieces, whole where its status says that something is wrong."""

    def __init__(self, method: str = "GET") -> None:
        self.http = HttpClientConnection("h")
        self.http.request(method, "/", judge=True)
        self.http.data_to_send()
        self.log: list[object] = []
        self.body = b""

    def receive(self, pieces: list[bytes], *, eof: bool = False) -> "Download":
        for piece in pieces:
            self.http.receive_data(piece)
            self.look()
        if eof:
            self.http.receive_eof()
            self.look()
        return self

    def look(self) -> None:
        while (event := self.http.next_event()) is not None:
            if isinstance(event, HttpPiece):
                assert event.data
                self.body += event.data
                self.http.consumed(len(event.data))
                continue
            self.log.append(event)
            if isinstance(event, HttpAnswer):
                if event.status < 300:
                    self.http.admit_pieces(LIMIT)
                else:
                    self.http.admit()


def drip(stream: bytes) -> list[bytes]:
    return [stream[index : index + 1] for index in range(len(stream))]


def upload(length: int = 6, *, expect: bool = False, judge: bool = False) -> HttpClientConnection:
    client = HttpClientConnection("h")
    client.start("PATCH", "/", [("Upload-Offset", "0")], length=length, expect=expect, judge=judge)
    return client


# --- Answers in pieces -------------------------------------------------------------------------------------------

STREAMS = {
    "length": response(b"abc"),
    "nothing": response(),
    "chunks": chunks(b"abc", b"d"),
    "until the end": b"HTTP/1.1 200 OK\r\n\r\nabc",
    "until the end, version 1.0": b"HTTP/1.0 200 OK\r\n\r\nabc",
    "closing": response(b"abc", "Connection: close"),
    "refused": response(b"why", status="404 Not Found"),
    "no content": b"HTTP/1.1 204 No Content\r\n\r\n",
    "not modified": b"HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\n",
    "interim": interim(103, "Link: x") + response(b"abc"),
    "too long": response(b"a" * (LIMIT + 1)),
    "too long in chunks": chunks(b"a" * LIMIT, b"b"),
    "too long until the end": b"HTTP/1.1 200 OK\r\n\r\n" + b"a" * (LIMIT + 1),
    "whole and too long": response(b"", status="404 Not Found", length=HTTP_BODY_BYTES + 1),
    "cut": response(b"abc", length=4),
    "cut in chunks": chunks(b"abc", end=b""),
    "bad chunks": chunks(b"abc", end=b"z\r\n"),
    "length and chunks": chunks(b"abc").replace(b"OK\r\n", b"OK\r\nContent-Length: 3\r\n"),
    "two lengths": response(b"abc", "Content-Length: 4"),
    "chunks in version 1.0": chunks(b"abc").replace(b"HTTP/1.1", b"HTTP/1.0"),
    "something behind": response(b"abc") + b"HTTP",
    "leaves HTTP": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
}
COMPLETE = {"length", "nothing", "chunks", "no content", "interim", "not modified", "refused"}
LAST = {"until the end", "until the end, version 1.0", "closing", "something behind"}


@pytest.mark.parametrize("eof", [False, True])
@pytest.mark.parametrize("name", STREAMS)
def test_cuts_change_nothing(name: str, eof: bool) -> None:
    stream = STREAMS[name]
    whole, dripped = Download().receive([stream], eof=eof), Download().receive(drip(stream), eof=eof)
    assert dripped.body == whole.body
    if name == "something behind":
        # What comes when nothing is under way is a fault of its own: here the answer was over by then.
        assert whole.log == dripped.log[: len(whole.log)]
    else:
        assert dripped.log == whole.log


@pytest.mark.parametrize("name", STREAMS)
def test_how_an_answer_ends(name: str) -> None:
    got = Download().receive([STREAMS[name]])
    if name in COMPLETE:
        assert got.http.ready
        assert isinstance(got.log[-1], HttpBodyEnd | HttpResponse)
        got.http.request("GET", "/next")
        assert b"".join(got.http.data_to_send()).startswith(b"GET /next ")
        return
    got.receive([], eof=True)
    assert not got.http.ready
    assert not got.http.wants_data
    if name in LAST:
        assert isinstance(got.log[-1], HttpBodyEnd)
        assert got.body == b"abc"
    else:
        assert isinstance(got.log[-1], HttpFailed)
        assert len([event for event in got.log if isinstance(event, HttpFailed)]) == 1
    with pytest.raises(LocalProtocolError):
        got.http.request("GET", "/")


def test_the_answer_to_head_has_no_body() -> None:
    got = Download("HEAD").receive([response(b"", length=10**9)])
    assert isinstance(got.log[0], HttpAnswer)
    assert got.log[0].length == 0
    assert got.log[-1] == HttpBodyEnd(0)
    assert got.http.ready


def test_an_answer_waits_to_be_judged() -> None:
    client = HttpClientConnection("h")
    client.request("GET", "/", judge=True)
    client.receive_data(response(b"abc", length=6))
    assert client.next_event() == HttpAnswer(200, [("content-length", "6")], 6)
    assert not client.wants_data
    client.receive_data(b"def")
    client.receive_eof()
    assert client.next_event() is None
    client.admit_pieces(6)
    assert [client.next_event(), client.next_event()] == [HttpPiece(b"abcdef"), HttpBodyEnd(6)]
    assert not client.ready


def test_reading_pauses_until_pieces_are_consumed() -> None:
    client = HttpClientConnection("h")
    client.request("GET", "/", judge=True)
    client.receive_data(response(length=10**7))
    client.admit_pieces(10**7)
    read = 0
    while client.wants_data:
        client.receive_data(bytes(READ_CHUNK))
        read += READ_CHUNK
    assert read == HTTP_WINDOW_BYTES
    client.consumed(1)
    assert client.wants_data
    for _ in range(20):
        client.receive_data(bytes(READ_CHUNK))
    events = list(iter(client.next_event, None))
    assert isinstance(events[-1], HttpFailed), "who reads on all the same is stopped"


# --- Requests in pieces --------------------------------------------------------------------------------------------


def test_a_body_is_sent_in_pieces_and_bounded_by_what_waits() -> None:
    client = upload(HTTP_WINDOW_BYTES + 10)
    head = b"".join(client.data_to_send())
    assert head.endswith(f"Content-Length: {HTTP_WINDOW_BYTES + 10}\r\n\r\n".encode())
    assert client.room == HTTP_WINDOW_BYTES
    client.send(bytes(HTTP_WINDOW_BYTES))
    assert (client.room, client.unsent) == (0, 10)
    with pytest.raises(LocalProtocolError):
        client.send(b"x")
    client.data_to_send()
    assert client.room == 10
    client.send(b"0123456789")
    assert client.data_to_send() == [b"0123456789"]
    assert (client.room, client.unsent) == (0, 0)
    client.receive_data(interim(104, "Upload-Offset: 5") + response(b"ok"))
    assert client.next_event() == HttpInterim(104, [("upload-offset", "5")])
    assert client.next_event() == HttpResponse(200, [("content-length", "2")], b"ok", True)
    assert client.ready


def test_the_body_waits_for_the_servers_agreement() -> None:
    client = upload(expect=True)
    assert b"\r\nExpect: 100-continue\r\n" in b"".join(client.data_to_send())
    assert client.expects_continue
    client.receive_data(interim(102))
    assert client.room == 0
    with pytest.raises(LocalProtocolError):
        client.send(b"x")
    client.receive_data(interim(100))
    assert [client.next_event(), client.next_event()] == [HttpInterim(102, []), HttpInterim(100, [])]
    assert not client.expects_continue
    assert client.room == 6


def test_a_server_that_never_agrees_gets_the_body_all_the_same() -> None:
    client = upload(expect=True)
    client.proceed()
    client.send(b"abcdef")
    client.receive_data(interim(100) + response())
    assert client.next_event() == HttpInterim(100, [])
    assert client.next_event() == HttpResponse(200, [("content-length", "0")], b"", True)


def test_nothing_is_expected_for_no_body() -> None:
    client = upload(0, expect=True)
    assert b"Expect" not in b"".join(client.data_to_send())
    client.receive_data(response())
    assert client.next_event() is not None
    assert client.ready


@pytest.mark.parametrize("expect", [True, False])
@pytest.mark.parametrize("judge", [True, False])
def test_a_final_answer_before_the_body_is_sent_ends_both(expect: bool, judge: bool) -> None:
    client = upload(expect=expect, judge=judge)
    if not expect:
        client.send(b"abc")
    client.receive_data(response(b"no", status="413 Content Too Large"))
    if judge:
        assert isinstance(client.next_event(), HttpAnswer)
        assert (client.room, client.unsent) == (0, 0)
        client.admit()
    answer = client.next_event()
    assert isinstance(answer, HttpResponse)
    assert (answer.status, answer.body, answer.reusable) == (413, b"no", False)
    assert (client.room, client.unsent) == (0, 0)
    client.send(b"def")
    assert client.closed


def test_interim_responses_are_bounded() -> None:
    client = upload()
    for _ in range(HTTP_INTERIM_RESPONSES):
        client.receive_data(interim(104))
        assert isinstance(client.next_event(), HttpInterim)
    client.receive_data(interim(104))
    assert isinstance(client.next_event(), HttpFailed)


def test_misuse() -> None:
    client = HttpClientConnection("h")
    misuses: list[Callable[[], None]] = [
        client.admit,
        lambda: client.admit_pieces(3),
        lambda: client.send(b"x"),
        lambda: client.consumed(1),
        lambda: client.start("PATCH", "/ä", length=3),
        lambda: client.start("PATCH", "/", [("X", "\n")], length=3),
    ]
    for misuse in misuses:
        with pytest.raises(LocalProtocolError):
            misuse()
    client.start("PATCH", "/", length=3)
    with pytest.raises(LocalProtocolError):
        client.request("GET", "/")


# --- Both roles ------------------------------------------------------------------------------------------------------


class Echo:
    """A client that sends a body and gets it back; both deal with pieces later than they come.

    Args:
        body: What is sent.
        sizes: Bytes that are carried or given at once, in turn.
    """

    def __init__(self, body: bytes, sizes: list[int]) -> None:
        self.body = body
        self.sizes = sizes
        self.turns = 0
        self.client = HttpClientConnection("h")
        self.server = HttpServerConnection()
        self.up, self.down = bytearray(), bytearray()
        self.stored, self.fetched = b"", b""
        self.held = [0, 0]  # bytes that the server and the client did not report yet
        self.progress: list[int] = []
        self.over = False

    def size(self) -> int:
        self.turns += 1
        return self.sizes[self.turns % len(self.sizes)]

    def run(self) -> None:
        self.client.start("PATCH", "/", length=len(self.body), expect=True, judge=True)
        for _ in range(1000 + 20 * len(self.body) // min(self.sizes)):
            if self.over:
                return
            self.carry(self.client, self.up, self.server)
            self.serve()
            self.carry(self.server, self.down, self.client)
            self.ask()
        raise AssertionError("they wait for one another")

    def carry(
        self,
        source: HttpClientConnection | HttpServerConnection,
        pipe: bytearray,
        target: HttpServerConnection | HttpClientConnection,
    ) -> None:
        if not pipe:
            pipe += b"".join(source.data_to_send())
        assert len(pipe) <= HTTP_WINDOW_BYTES + READ_CHUNK
        if target.wants_data and pipe:
            size = self.size()
            target.receive_data(bytes(pipe[:size]))
            del pipe[:size]

    def consume(self, side: int, role: HttpServerConnection | HttpClientConnection) -> None:
        assert self.held[side] <= HTTP_WINDOW_BYTES + READ_CHUNK
        if self.size() % 3 or not role.wants_data:
            role.consumed(self.held[side])
            self.held[side] = 0

    def serve(self) -> None:
        server = self.server
        while (event := server.next_event()) is not None:
            if isinstance(event, HttpHead):
                assert event.expects_continue
                server.admit_pieces(len(self.body))
            elif isinstance(event, HttpPiece):
                self.stored += event.data
                self.held[0] += len(event.data)
                server.inform(104, [("Upload-Offset", str(len(self.stored)))])
            else:
                assert event == HttpBodyEnd(len(self.body))
                server.start(200, length=len(self.body))
        self.consume(0, server)
        done = len(self.body) - server.unsent
        server.send(self.body[done : done + min(server.room, self.size())])

    def ask(self) -> None:
        client = self.client
        while (event := client.next_event()) is not None:
            if isinstance(event, HttpInterim):
                self.progress += [int(value) for _, value in event.headers]
            elif isinstance(event, HttpAnswer):
                client.admit_pieces(len(self.body))
            elif isinstance(event, HttpPiece):
                self.fetched += event.data
                self.held[1] += len(event.data)
            else:
                assert event == HttpBodyEnd(len(self.body))
                self.over = True
        self.consume(1, client)
        done = len(self.body) - client.unsent
        client.send(self.body[done : done + min(client.room, self.size())])


@settings(max_examples=40, deadline=None)
@given(st.binary(min_size=1, max_size=2000), st.lists(st.integers(1, 500), min_size=1, max_size=8))
def test_a_body_there_and_back_whatever_the_cuts(body: bytes, sizes: list[int]) -> None:
    echo = Echo(body, sizes)
    echo.run()
    assert echo.stored == echo.fetched == body
    assert echo.progress == sorted(echo.progress)
    assert echo.progress[-1] == len(body)
    assert echo.client.ready
    assert echo.server.idle


def test_a_large_body_there_and_back_within_the_windows() -> None:
    body = bytes(range(256)) * 8192
    echo = Echo(body, [READ_CHUNK, READ_CHUNK - 1, 70, 30_000])
    echo.run()
    assert echo.stored == echo.fetched == body


def test_a_refusal_reaches_a_client_that_still_sends() -> None:
    client, server = upload(10**6), HttpServerConnection()
    client.send(bytes(1000))
    for data in client.data_to_send():
        server.receive_data(data)
    assert isinstance(server.next_event(), HttpHead)
    server.respond(507, [], b"full")
    assert server.next_event() == HttpEnded(unread=True)
    for data in server.data_to_send():
        client.receive_data(data)
    answer = client.next_event()
    assert isinstance(answer, HttpResponse)
    assert (answer.status, answer.body, answer.reusable) == (507, b"full", False)
