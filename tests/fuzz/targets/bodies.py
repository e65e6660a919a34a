"""Targets: HTTP bodies in pieces, where the same must come out whatever the cuts."""

from random import Random
from typing import Any

from rtmcore.limits import HANDSHAKE_BYTES, HTTP_EARLY_BYTES, HTTP_WINDOW_BYTES
from rtmcore.wire.exchange import (
    HttpAnswer,
    HttpBody,
    HttpBodyEnd,
    HttpClientConnection,
    HttpEnded,
    HttpFailed,
    HttpHead,
    HttpPiece,
    HttpServerConnection,
)
from rtmcore.wire.http import Headers
from rtmcore.wire.ranges import RangeNotSatisfiable, answered_range, requested_range
from tests.fuzz.harness import Case, expect, retained
from tests.fuzz.mutation import cut, mutate

_LIMIT = 2000
_TOTAL = 1000
_KEEPS = HTTP_EARLY_BYTES + HTTP_WINDOW_BYTES + 8 * HANDSHAKE_BYTES
_WAYS = ("pieces", "whole", "down", "refuse")


def _chunks(random: Random) -> bytes:
    body = b""
    for _ in range(random.randrange(4)):
        size = random.choice((1, 2, 15, 300, 1500))
        extension = random.choice((b"", b"", b";a=b", b";" + b"x" * 1000, b" "))
        body += b"%x%b\r\n%b\r\n" % (size, extension, b"z" * size)
    return body + random.choice((b"0\r\n\r\n", b"0\r\n\r\n", b"0\r\nA: b\r\n\r\n", b""))


def _message(random: Random, line: bytes) -> bytes:
    fields = [line, b"Host: x"]
    fields.append(b"Range: bytes=" + random.choice((b"0-", b"-5", b"5-4", b"1-2,3-4", b"9" * 30 + b"-")))
    fields.append(b"Content-Range: bytes " + random.choice((b"0-9/10", b"*/10", b"5-4/3", b"1-2/*")))
    if random.random() < 0.2:
        fields.append(b"Expect: 100-continue")
    if random.random() < 0.5:
        fields.append(b"Transfer-Encoding: chunked")
        body = _chunks(random)
    else:
        body = b"y" * random.choice((0, 1, 10, 1999, 2000, 2001))
        fields.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join(fields) + b"\r\n\r\n" + body


def _look_at_ranges(headers: Headers) -> None:
    told = answered_range(headers)
    expect(told is None or told.range is None or told.range.size > 0, "a range of nothing")
    try:
        part = requested_range(headers, _TOTAL, etag='"x"')
    except RangeNotSatisfiable:
        return
    expect(part is None or 0 <= part.first <= part.last < _TOTAL, "a range that is not there")


def _weigh(role: HttpServerConnection | HttpClientConnection, number: int) -> None:
    """Look at what is kept, not after every byte: it takes longer than the byte."""
    if number % 50 == 0:
        kept = retained(role)
        expect(kept <= _KEEPS, f"{kept} bytes are kept")


class HttpPiecesTarget:
    """`HttpServerConnection`, whose owner asks for pieces, refuses, and answers in pieces."""

    name = "http-pieces"

    def make(self, random: Random) -> Case:
        data = b"".join(_message(random, b"PATCH / HTTP/1.1") for _ in range(1 + random.randrange(3)))
        if random.random() < 0.8:
            data = mutate(random, data)
        ways = [random.choice(_WAYS) for _ in range(4)]
        return Case(cut(random, data), {"ways": ways, "eof": random.random() < 0.5})

    def run(self, case: Case) -> None:
        there = self._served(case.pieces, case.plan)
        data = b"".join(case.pieces)
        if len(data) <= HTTP_EARLY_BYTES:
            expect(self._served([data] if data else [], case.plan) == there, "the cuts make a difference")

    def _served(self, pieces: list[bytes], plan: dict[str, Any]) -> tuple[list[object], bytes, bytes]:
        server = HttpServerConnection()
        log: list[object] = []
        body = output = b""
        heads = 0
        for number, piece in enumerate([*pieces, b""] if plan["eof"] else pieces):
            if piece:
                server.receive_data(piece)
            else:
                server.receive_eof()
            while (event := server.next_event()) is not None:
                expect(not log or not isinstance(log[-1], HttpEnded | HttpFailed), f"{event} behind the end")
                if isinstance(event, HttpPiece):
                    body += event.data
                    server.consumed(len(event.data))
                    continue
                log.append(event)
                if isinstance(event, HttpHead):
                    _look_at_ranges(event.headers)
                    self._judge(server, plan["ways"][heads % len(plan["ways"])])
                    heads += 1
                elif isinstance(event, HttpBody | HttpBodyEnd):
                    server.inform(104, [("Upload-Offset", "1")])
                    server.respond(200, [], b"ok")
            output += b"".join(server.data_to_send())
            _weigh(server, number)
            expect(server.wants_data is not server.closed, "the reading stops, and nothing is under way")
        return log, body, output

    def _judge(self, server: HttpServerConnection, way: str) -> None:
        if way == "pieces":
            server.admit_pieces(_LIMIT)
        elif way == "whole":
            server.admit()
        elif way == "refuse":
            server.respond(404)
        else:
            server.start(206, [], length=6)
            while server.room:
                server.send(b"abc")


class HttpAnswersTarget:
    """`HttpClientConnection`, whose owner has answers in pieces."""

    name = "http-answers"

    def make(self, random: Random) -> Case:
        line = random.choice(
            (b"HTTP/1.1 200 OK", b"HTTP/1.1 206 Some", b"HTTP/1.1 404 No", b"HTTP/1.0 200 OK")
        )
        data = b"HTTP/1.1 104 \r\nUpload-Offset: 5\r\n\r\n" * random.randrange(3) + _message(random, line)
        data += b"HTTP/1.1 204 \r\n\r\n" * random.randrange(2)
        if random.random() < 0.8:
            data = mutate(random, data)
        return Case(cut(random, data), {"whole": random.random() < 0.3, "sent": random.choice((0, 5, 10))})

    def run(self, case: Case) -> None:
        client = HttpClientConnection("x")
        client.start("PATCH", "/", length=10, judge=True)
        client.send(bytes(case.plan["sent"]))
        client.data_to_send()
        log: list[object] = []
        for number, piece in enumerate([*case.pieces, b""]):
            if piece:
                client.receive_data(piece)
            else:
                client.receive_eof()
            while (event := client.next_event()) is not None:
                expect(not log or not isinstance(log[-1], HttpFailed), f"{event} behind the end")
                log.append(event)
                if isinstance(event, HttpAnswer):
                    _look_at_ranges(event.headers)
                    expect(client.room == 0, "the body is wanted behind the answer")
                    if case.plan["whole"]:
                        client.admit()
                    else:
                        client.admit_pieces(_LIMIT)
                elif isinstance(event, HttpPiece):
                    client.consumed(len(event.data))
            _weigh(client, number)
        expect(client.closed, "the end of the stream is not the end")
        expect(bool(log), "nobody was told of the end")
        expect(len([event for event in log if isinstance(event, HttpFailed)]) <= 1, "two failures")
