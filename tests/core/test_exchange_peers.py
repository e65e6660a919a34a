"""Both roles of the HTTP core with h11 as the peer."""

from typing import Any

import h11
from hypothesis import given, settings
from hypothesis import strategies as st

from rtmcore.wire.exchange import (
    HttpAnswer,
    HttpBodyEnd,
    HttpClientConnection,
    HttpHead,
    HttpInterim,
    HttpPiece,
    HttpServerConnection,
)

PIECES = st.lists(st.binary(min_size=1, max_size=300), max_size=8)
CUTS = st.lists(st.integers(1, 200), min_size=1, max_size=6)


def framing(pieces: list[bytes], chunked: bool) -> tuple[str, str]:
    return ("Transfer-Encoding", "chunked") if chunked else ("Content-Length", str(sum(map(len, pieces))))


def carry(data: bytes, cuts: list[int], role: HttpServerConnection | HttpClientConnection) -> None:
    turn = 0
    while data:
        size = cuts[turn % len(cuts)]
        turn += 1
        role.receive_data(data[:size])
        data = data[size:]


def heard(http: h11.Connection, data: bytes) -> list[Any]:
    http.receive_data(data)
    events: list[Any] = []
    while (event := http.next_event()) not in (h11.NEED_DATA, h11.PAUSED):
        events.append(event)
        if isinstance(event, h11.EndOfMessage):
            break
    return events


@settings(max_examples=60, deadline=None)
@given(PIECES, CUTS, st.booleans(), st.booleans())
def test_a_server_and_an_h11_client(
    pieces: list[bytes], cuts: list[int], chunked: bool, expect: bool
) -> None:
    client, server = h11.Connection(h11.CLIENT), HttpServerConnection()
    body = b"".join(pieces)
    for _ in range(2):
        fields = [("Host", "h"), framing(pieces, chunked)]
        if expect and body:
            fields.append(("Expect", "100-continue"))
        carry(client.send(h11.Request(method="PATCH", target="/", headers=fields)), cuts, server)
        head = server.next_event()
        assert isinstance(head, HttpHead)
        assert head.length == (None if chunked else len(body))
        server.admit_pieces(10_000)
        events = heard(client, b"".join(server.data_to_send())) if expect and body else []
        assert [event.status_code for event in events] == ([100] if expect and body else [])
        rest = b"".join(client.send(h11.Data(data=piece)) for piece in pieces) + client.send(
            h11.EndOfMessage()
        )
        carry(rest, cuts, server)
        got = list(iter(server.next_event, None))
        assert got.pop() == HttpBodyEnd(len(body))
        assert b"".join(event.data for event in got if isinstance(event, HttpPiece)) == body
        server.inform(104, [("Upload-Offset", "7")])
        server.start(200, length=len(body))
        server.send(body)
        interim, response, *data = heard(client, b"".join(server.data_to_send()))
        assert (interim.status_code, interim.headers) == (104, [(b"upload-offset", b"7")])
        assert response.status_code == 200
        assert b"".join(event.data for event in data[:-1]) == body
        client.start_next_cycle()
    assert server.idle


@settings(max_examples=60, deadline=None)
@given(PIECES, CUTS, st.booleans(), st.booleans())
def test_a_client_and_an_h11_server(
    pieces: list[bytes], cuts: list[int], chunked: bool, expect: bool
) -> None:
    client, server = HttpClientConnection("h"), h11.Connection(h11.SERVER)
    body = b"".join(pieces)
    for _ in range(2):
        client.start("PATCH", "/", length=len(body), expect=expect, judge=True)
        (request, *_) = heard(server, b"".join(client.data_to_send()))
        assert isinstance(request, h11.Request)
        assert server.they_are_waiting_for_100_continue is (expect and bool(body))
        if expect and body:
            carry(server.send(h11.InformationalResponse(status_code=100, headers=[])), cuts, client)
            assert client.next_event() == HttpInterim(100, [])
        for piece in pieces:
            client.send(piece)
        got = heard(server, b"".join(client.data_to_send())) if body else []
        assert b"".join(event.data for event in got if isinstance(event, h11.Data)) == body
        answer = server.send(h11.InformationalResponse(status_code=104, headers=[("Upload-Offset", "7")]))
        answer += server.send(h11.Response(status_code=200, headers=[framing(pieces, chunked)]))
        carry(answer, cuts, client)
        assert client.next_event() == HttpInterim(104, [("upload-offset", "7")])
        head = client.next_event()
        assert isinstance(head, HttpAnswer)
        assert head.length == (None if chunked else len(body))
        client.admit_pieces(10_000)
        rest = b"".join(server.send(h11.Data(data=piece)) for piece in pieces) + server.send(
            h11.EndOfMessage()
        )
        carry(rest, cuts, client)
        events = list(iter(client.next_event, None))
        assert events.pop() == HttpBodyEnd(len(body))
        assert b"".join(event.data for event in events if isinstance(event, HttpPiece)) == body
        assert client.ready
        server.start_next_cycle()
