"""The HTTP server core with bodies in pieces: backpressure, interim responses, early answers, what keeps alive."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtmcore.errors import LocalProtocolError
from rtmcore.limits import HTTP_BODY_BYTES, HTTP_EARLY_BYTES, HTTP_WINDOW_BYTES, MEDIA_BYTES
from rtmcore.wire.exchange import (
    HttpBody,
    HttpBodyEnd,
    HttpEnded,
    HttpFailed,
    HttpHead,
    HttpPiece,
    HttpServerConnection,
)
from rtmcore.wire.transport import Closed, ServerTransport

LIMIT = 1000


def request(
    path: str, body: bytes = b"", *fields: str, method: str = "PATCH", length: int | None = None
) -> bytes:
    size = len(body) if length is None else length
    lines = [f"{method} {path} HTTP/1.1", "Host: h", f"Content-Length: {size}", *fields]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def chunked(path: str, *chunks: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    head = f"PATCH {path} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    return head + b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + end


class Owner:
    """Judges requests by their path, as a service does, and never by how they were cut."""

    def __init__(self) -> None:
        self.http = HttpServerConnection()
        self.log: list[object] = []
        self.output = b""
        self.body = b""

    def receive(self, data: bytes) -> None:
        self.http.receive_data(data)
        self.look()

    def look(self) -> None:
        while (event := self.http.next_event()) is not None:
            self.take(event)
        self.output += b"".join(self.http.data_to_send())

    def take(self, event: object) -> None:
        http = self.http
        if isinstance(event, HttpPiece):
            assert event.data
            self.body += event.data
            http.consumed(len(event.data))
            return
        self.log.append(event)
        if isinstance(event, HttpHead):
            self.body = b""
            what = event.target
            if what == "/whole":
                http.admit()
            elif what == "/pieces":
                http.admit_pieces(LIMIT)
            elif what == "/down":
                http.start(200, [("ETag", '"x"')], length=4)
                if http.room:
                    http.send(b"do")
                    http.send(b"wn")
            else:
                http.respond(404)
        elif isinstance(event, HttpBody):
            http.respond(200, [], event.body)
        elif isinstance(event, HttpBodyEnd):
            assert event.size == len(self.body)
            self.log.append(self.body)
            http.inform(104, [("Upload-Offset", str(event.size))])
            http.respond(200, [], self.body)


def run(pieces: list[bytes]) -> Owner:
    owner = Owner()
    for piece in pieces:
        owner.receive(piece)
    return owner


def drip(stream: bytes) -> list[bytes]:
    return [stream[index : index + 1] for index in range(len(stream))]


STREAMS = {
    "pieces twice": request("/pieces", b"abc") + request("/pieces", b""),
    "chunks, then whole": chunked("/pieces", b"ab", b"c" * 300) + request("/whole", b"w"),
    "chunks whole": chunked("/whole", b"x", end=b"0;last\r\nTrailer: t\r\n\r\n") + request("/down"),
    "down, down, head": request("/down", method="GET") * 2 + request("/down", method="HEAD"),
    "head of what is not there": request("/none", method="HEAD") + request("/pieces", b"a"),
    "refused unread": request("/none", b"abc") + request("/pieces", b"abc"),
    "down with a body that is not read": request("/down", b"abc") + request("/pieces", b"abc"),
    "waiting": request("/pieces", b"abc", "Expect: 100-continue"),
    "waiting, refused": request("/none", b"", "Expect: 100-continue", length=3),
    "asks to close": request("/pieces", b"abc", "Connection: close") + request("/pieces", b"abc"),
    "too long": request("/pieces", b"a" * (LIMIT + 1)),
    "too long in chunks": chunked("/pieces", b"a" * LIMIT, b"b"),
    "as long as can be": chunked("/pieces", b"a" * LIMIT) + request("/pieces", b"a" * LIMIT),
    "bad chunk": chunked("/pieces", b"abc", end=b"x\r\n"),
    "bad chunk end": chunked("/pieces", end=b"3\r\nabcd\r\n"),
    "lone line feeds": chunked("/pieces", end=b"1\na\n0\n\n"),
    "bad trailer": chunked("/pieces", b"abc", end=b"0\r\nno field\r\n\r\n"),
    "endless chunk line": chunked("/pieces", end=b"1;" + b"a" * 5000),
    "extensions without end": chunked("/pieces", end=(b"1;" + b"a" * 900 + b"\r\nz\r\n") * 30),
    "two lengths": request("/pieces", b"abc", "Content-Length: 4"),
    "length and chunks": request("/pieces", b"0\r\n\r\n", "Transfer-Encoding: chunked"),
    "an unknown coding": request("/pieces", b"").replace(b"Content-Length: 0", b"Transfer-Encoding: gzip"),
    "chunked twice": request("/pieces").replace(b"Content-Length: 0", b"Transfer-Encoding: chunked, chunked"),
    "an upgrade nobody wants": request("/pieces", b"a", "Upgrade: h2c", "Connection: upgrade") * 2,
    "a negative length": request("/pieces", b"").replace(b"Length: 0", b"Length: -1"),
    "a length with a sign": request("/pieces", b"").replace(b"Length: 0", b"Length: +1"),
}


@pytest.mark.parametrize("name", STREAMS)
def test_cuts_change_nothing(name: str) -> None:
    whole = run([STREAMS[name]])
    dripped = run(drip(STREAMS[name]))
    assert dripped.log == whole.log
    assert dripped.output == whole.output
    assert dripped.body == whole.body


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.sampled_from(list(STREAMS)), min_size=1, max_size=4),
    st.lists(st.integers(1, 700), max_size=30),
)
def test_cuts_change_nothing_in_a_row_of_requests(names: list[str], cuts: list[int]) -> None:
    stream = b"".join(STREAMS[name] for name in names)
    pieces, at = [], 0
    for size in cuts:
        pieces.append(stream[at : at + size])
        at += size
    cut = run([piece for piece in [*pieces, stream[at:]] if piece])
    whole = run([stream])
    assert (cut.log, cut.output, cut.body) == (whole.log, whole.output, whole.body)


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("too long", 413),
        ("too long in chunks", 413),
        ("bad chunk", 400),
        ("bad chunk end", 400),
        ("lone line feeds", 400),
        ("bad trailer", 400),
        ("endless chunk line", 400),
        ("extensions without end", 400),
        ("two lengths", 400),
        ("length and chunks", 400),
        ("an unknown coding", 501),
        ("chunked twice", 501),
        ("a negative length", 400),
        ("a length with a sign", 400),
    ],
)
def test_what_breaks_a_rule_is_answered_once_and_ends_the_connection(name: str, status: int) -> None:
    owner = run([STREAMS[name], STREAMS["pieces twice"]])
    assert owner.output.startswith(f"HTTP/1.1 {status} ".encode())
    assert owner.output.count(b"HTTP/1.1") == 1
    assert b"onnection: close" in owner.output
    assert isinstance(owner.log[-1], HttpFailed)
    assert owner.http.closed
    assert not owner.http.wants_data


@pytest.mark.parametrize(
    "name",
    ["pieces twice", "chunks, then whole", "chunks whole", "down, down, head", "an upgrade nobody wants"],
)
def test_what_was_read_to_its_end_keeps_the_connection(name: str) -> None:
    owner = run([STREAMS[name]])
    assert owner.http.idle
    assert owner.http.wants_data
    owner.receive(STREAMS["pieces twice"])
    assert owner.log[-1] == b""


@pytest.mark.parametrize("name", ["refused unread", "down with a body that is not read", "waiting, refused"])
def test_a_body_that_was_not_read_ends_the_connection(name: str) -> None:
    owner = run([STREAMS[name]])
    assert owner.output.count(b"HTTP/1.1") == 1
    assert b"onnection: close" in owner.output
    assert owner.log[-1] == HttpEnded(unread=True)


def test_the_answer_to_head_tells_the_length_and_has_no_body() -> None:
    http = HttpServerConnection()
    http.receive_data(request("/", method="HEAD"))
    http.next_event()
    http.start(200, length=MEDIA_BYTES)
    assert http.room == 0
    answer = b"".join(http.data_to_send())
    assert f"Content-Length: {MEDIA_BYTES}\r\n".encode() in answer
    assert answer.endswith(b"\r\n\r\n")
    assert http.idle


def test_some_answers_have_no_length_because_they_have_no_body() -> None:
    for status in (204, 304):
        http = HttpServerConnection()
        http.receive_data(request("/", method="GET"))
        with pytest.raises(LocalProtocolError):
            http.respond(status, [], b"x")
        http.respond(status, [("Upload-Offset", "3")])
        answer = b"".join(http.data_to_send())
        assert b"Content-Length" not in answer
        assert http.idle


# --- Backpressure ------------------------------------------------------------------------------------------------


def test_reading_pauses_until_pieces_are_consumed() -> None:
    http = HttpServerConnection()
    http.receive_data(request("/", length=MEDIA_BYTES))
    assert isinstance(http.next_event(), HttpHead)
    http.admit_pieces(MEDIA_BYTES)
    read = held = 0
    while http.wants_data:
        http.receive_data(bytes(0x10000))
        read += 0x10000
        piece = http.next_event()
        assert isinstance(piece, HttpPiece)
        held += len(piece.data)
    assert HTTP_WINDOW_BYTES <= held == read < HTTP_WINDOW_BYTES + 0x10000
    http.consumed(1)
    assert http.wants_data is (held - 1 < HTTP_WINDOW_BYTES)
    http.consumed(held - 1)
    assert http.wants_data
    with pytest.raises(LocalProtocolError):
        http.consumed(1)


def test_an_own_window() -> None:
    http = HttpServerConnection()
    http.receive_data(request("/", length=100))
    http.admit_pieces(100, window=10)
    http.receive_data(bytes(9))
    assert http.wants_data
    http.receive_data(bytes(1))
    assert not http.wants_data


def test_who_reads_on_all_the_same_is_stopped() -> None:
    http = HttpServerConnection()
    http.receive_data(request("/", length=MEDIA_BYTES))
    http.admit_pieces(MEDIA_BYTES)
    fed = 0
    while not http.closed:
        http.receive_data(bytes(0x10000))
        fed += 0x10000
    assert fed <= HTTP_WINDOW_BYTES + HTTP_EARLY_BYTES + 2 * 0x10000


def test_nothing_is_read_before_a_body_is_judged_and_nothing_is_lost() -> None:
    http = HttpServerConnection()
    http.receive_data(request("/", b"abc", length=6))
    assert not http.wants_data
    http.admit_pieces(6)
    assert [http.next_event(), http.next_event()] == [
        HttpHead("PATCH", "/", [("host", "h"), ("content-length", "6")], 6),
        HttpPiece(b"abc"),
    ]
    assert http.wants_data


def test_the_next_request_waits_for_the_answer() -> None:
    http = HttpServerConnection()
    http.receive_data(request("/", b"a") + request("/next", b"b"))
    http.admit_pieces(10)
    assert not http.wants_data, "the next request waits"
    events = [http.next_event() for _ in range(4)]
    assert events[2:] == [HttpBodyEnd(1), None]
    http.respond(200)
    head = http.next_event()
    assert isinstance(head, HttpHead)
    assert head.target == "/next"


def test_pieces_of_the_last_body_count_until_they_are_consumed() -> None:
    http = HttpServerConnection()
    http.receive_data(request("/", bytes(HTTP_WINDOW_BYTES)))
    http.admit_pieces(MEDIA_BYTES)
    http.respond(200)
    http.receive_data(request("/", b"abc", length=6))
    http.admit_pieces(MEDIA_BYTES)
    assert not http.wants_data
    http.consumed(HTTP_WINDOW_BYTES)
    assert http.wants_data


def test_an_answer_in_pieces_is_bounded_by_what_waits() -> None:
    http = HttpServerConnection()
    http.receive_data(request("/", method="GET"))
    http.start(206, [("Content-Range", "bytes 0-999999/1000000")], length=1_000_000)
    http.data_to_send()
    assert http.room == HTTP_WINDOW_BYTES
    with pytest.raises(LocalProtocolError):
        http.send(bytes(HTTP_WINDOW_BYTES + 1))
    piece = bytes(HTTP_WINDOW_BYTES)
    http.send(piece)
    assert http.room == 0
    assert http.data_to_send()[0] is piece, "it was copied"
    sent = len(piece)
    while http.unsent:
        size = http.room
        http.send(bytes(size))
        sent += size
        http.data_to_send()
    assert sent == 1_000_000
    assert http.idle
    with pytest.raises(LocalProtocolError):
        http.send(b"x")


def test_an_answer_that_cannot_be_finished() -> None:
    http = HttpServerConnection()
    http.receive_data(request("/", method="GET"))
    http.next_event()
    http.start(200, length=10)
    http.send(b"abc")
    http.abort()
    http.abort()
    assert http.next_event() == HttpEnded()
    assert http.next_event() is None
    assert b"".join(http.data_to_send()).endswith(b"abc")
    http.send(b"late")
    http.consumed(5)
    http.respond(200)
    http.inform(104)
    http.admit_pieces(3)
    assert http.data_to_send() == []


# --- Interim and early answers ------------------------------------------------------------------------------------


def test_progress_is_told_while_the_body_comes() -> None:
    http = HttpServerConnection()
    http.receive_data(request("/", b"abc", "Expect: 100-continue", length=6))
    head = http.next_event()
    assert isinstance(head, HttpHead)
    assert (head.length, head.expects_continue) == (6, True)
    assert http.data_to_send() == []
    http.admit_pieces(6)
    http.inform(104, [("Upload-Offset", "3")])
    output = b"".join(http.data_to_send())
    assert output == b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 104 \r\nUpload-Offset: 3\r\n\r\n"
    for status in (100, 101, 200):
        with pytest.raises(LocalProtocolError):
            http.inform(status)


@pytest.mark.parametrize("whole", [True, False])
def test_an_answer_in_the_middle_of_a_body(whole: bool) -> None:
    http = HttpServerConnection()
    http.receive_data(request("/", b"abc", length=6))
    http.next_event()
    (http.admit if whole else lambda: http.admit_pieces(6))()
    http.respond(507)
    assert b"onnection: close" in b"".join(http.data_to_send())
    events = [event for event in iter(http.next_event, None) if not isinstance(event, HttpPiece)]
    assert events == [HttpEnded(unread=True)]
    http.receive_data(b"def")
    assert http.next_event() is None


def test_a_long_answer_in_the_middle_of_a_body_tells_that_too() -> None:
    http = HttpServerConnection()
    http.receive_data(request("/", b"abc", length=6))
    http.next_event()
    http.start(409, length=3)
    http.receive_data(b"def")
    http.send(b"now")
    assert http.next_event() == HttpEnded(unread=True)


def test_a_client_that_leaves_in_the_middle_of_a_body() -> None:
    http = HttpServerConnection()
    http.receive_data(request("/", b"abc", length=6))
    http.admit_pieces(6)
    http.receive_eof()
    http.next_event()
    assert [http.next_event(), http.next_event(), http.next_event()] == [
        HttpPiece(b"abc"),
        HttpEnded(unread=True),
        None,
    ]


def test_misuse() -> None:
    http = HttpServerConnection()
    misuses: list[Callable[[], None]] = [
        lambda: http.admit_pieces(3),
        lambda: http.inform(104),
        lambda: http.start(200, length=3),
        lambda: http.send(b"x"),
        lambda: http.consumed(1),
    ]
    for misuse in misuses:
        with pytest.raises(LocalProtocolError):
            misuse()
    http.receive_data(request("/", method="GET"))
    for headers in ([("X", "a\r\nb")], [("Ü\u0100", "x")]):
        with pytest.raises(LocalProtocolError):
            http.start(200, headers, length=3)
    http.respond(200)
    assert http.idle


def test_a_limit_applies_to_the_body_that_is_collected_too() -> None:
    owner = run([request("/whole", b"", length=HTTP_BODY_BYTES + 1)])
    assert owner.output.startswith(b"HTTP/1.1 413 ")


# --- On a connection that may also become a WebSocket ----------------------------------------------------------------


def test_pieces_on_the_path_of_a_service() -> None:
    transport = ServerTransport(0.0, "/rtm/v1/")
    assert transport.wants_data
    with pytest.raises(LocalProtocolError):
        _ = transport.http
    transport.receive_data(request("/rtm/v1/apps/a/media/1", b"abc", length=6), 0.0)
    assert isinstance(transport.next_event(), HttpHead)
    assert not transport.wants_data
    transport.http.admit_pieces(6)
    assert transport.next_event() == HttpPiece(b"abc")
    transport.http.inform(104)
    transport.receive_data(b"def", 0.0)
    assert [transport.next_event(), transport.next_event()] == [HttpPiece(b"def"), HttpBodyEnd(6)]
    transport.http.respond(201)
    output = b"".join(transport.data_to_send())
    assert output.startswith(b"HTTP/1.1 104 ")
    assert b"HTTP/1.1 201 " in output
    transport.receive_data(request("/rtm/v1/apps/a/media/1", b"abc"), 0.0)
    transport.next_event()
    transport.http.respond(404)
    closed = transport.next_event()
    assert isinstance(closed, Closed)
    assert closed.unread
