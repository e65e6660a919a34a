"""Two transports wired back to back in memory, and peers that do not keep the rules."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtmcore.codes import CloseCode
from rtmcore.errors import LocalProtocolError
from rtmcore.limits import BEAT_INTERVAL, CLOSE_HANDSHAKE_TIMEOUT, PACKETS_PER_FRAME
from rtmcore.wire.codec import CODECS, JSON, MSGPACK, Codec
from rtmcore.wire.handshake import HandshakeRefused, HttpRequested, UpgradeRequested
from rtmcore.wire.packets import Ack, Beat, Packet, Publish, Published
from rtmcore.wire.transport import (
    ClientTransport,
    Closed,
    Opened,
    Received,
    ServerTransport,
    Transport,
    TransportState,
    server_message,
)

both_codecs = pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)


def client_for(*subprotocols: str) -> ClientTransport:
    return ClientTransport(
        host="example.org",
        target="/rtm/v1",
        subprotocols=subprotocols,
        nonce=bytes(16),
        mask_key=lambda: b"\x0a\x5f\xc3\x91",
        now=0.0,
    )


def flow(source: Transport, target: Transport, now: float = 0.0, size: int | None = None) -> None:
    data = b"".join(source.data_to_send())
    step = size or len(data) or 1
    for start in range(0, len(data), step):
        target.receive_data(data[start : start + step], now)


def events_of(transport: Transport) -> list[object]:
    return list(iter(transport.next_event, None))


def connected(codec: Codec) -> tuple[ClientTransport, ServerTransport]:
    client, server = client_for(codec.subprotocol), ServerTransport(0.0)
    flow(client, server)
    assert isinstance(server.next_event(), UpgradeRequested)
    server.accept(codec, 0.0)
    flow(server, client)
    assert events_of(client) == events_of(server) == [Opened(codec.subprotocol)]
    return client, server


@both_codecs
@pytest.mark.parametrize("size", [None, 1, 7])
def test_packets_pass_both_ways_however_the_bytes_are_cut(codec: Codec, size: int | None) -> None:
    client, server = connected(codec)
    sent: list[Packet] = [Publish(1, "room", 2, bytes(range(256))), Beat(), Ack(5)]
    client.send(sent, 1.0)
    flow(client, server, 1.0, size)
    assert events_of(server) == [Received(sent)]
    server.send([Published(1, 9, 8)], 1.0)
    flow(server, client, 1.0, size)
    assert events_of(client) == [Received([Published(1, 9, 8)])]


@both_codecs
def test_a_broadcast_is_the_same_bytes_for_everybody(codec: Codec) -> None:
    frame = server_message(codec, [Published(1, 2, 1)])
    for client, server in (connected(codec), connected(codec)):
        server.send_frame(frame, 1.0)
        assert server.data_to_send()[0] is frame
        client.receive_data(frame, 1.0)
        assert events_of(client) == [Received([Published(1, 2, 1)])]


@both_codecs
def test_packets_behind_the_upgrade_request_are_not_lost(codec: Codec) -> None:
    opener, twin = connected(codec)
    opener.send([Ack(3)], 0.0)
    early = b"".join(opener.data_to_send())
    client, server = client_for(codec.subprotocol), ServerTransport(0.0)
    server.receive_data(b"".join(client.data_to_send()) + early, 0.0)
    assert isinstance(server.next_event(), UpgradeRequested)
    server.accept(codec, 0.0)
    assert events_of(server) == [Opened(codec.subprotocol), Received([Ack(3)])]
    assert twin.state is TransportState.OPEN


def test_the_close_reason_says_when_to_come_back() -> None:
    client, server = connected(MSGPACK)
    server.close(CloseCode.SHUTDOWN, '{"r": 1500}', 3.0)
    flow(server, client)
    assert events_of(client) == [Closed(CloseCode.SHUTDOWN, '{"r": 1500}', None, 1.5)]
    flow(client, server)
    assert events_of(server) == [Closed(CloseCode.SHUTDOWN, '{"r": 1500}')]


@pytest.mark.parametrize(
    "reason", ["", "{", "{}", '{"r": true}', '{"r": "1"}', '{"r": -1}', '{"r": 1e99}', "[]", "{[["]
)
def test_a_reason_without_a_sensible_time_is_just_text(reason: str) -> None:
    client, server = connected(MSGPACK)
    server.close(CloseCode.SHUTDOWN, reason, 3.0)
    flow(server, client)
    assert events_of(client) == [Closed(CloseCode.SHUTDOWN, reason)]


def test_a_close_that_is_not_answered_ends_after_its_time() -> None:
    client, _ = connected(MSGPACK)
    client.close(1000, "bye", 10.0)
    assert client.next_deadline() == 10.0 + CLOSE_HANDSHAKE_TIMEOUT
    client.handle_timer(10.0 + CLOSE_HANDSHAKE_TIMEOUT / 2)
    assert events_of(client) == []
    client.handle_timer(10.0 + CLOSE_HANDSHAKE_TIMEOUT)
    assert events_of(client) == [Closed(1000, "bye")]
    assert client.next_deadline() is None


def test_a_side_that_says_nothing_sends_a_beat() -> None:
    client, server = connected(MSGPACK)
    due = client.next_deadline()
    assert due == BEAT_INTERVAL
    client.handle_timer(due - 0.1)
    assert client.data_to_send() == []
    client.handle_timer(due)
    assert client.next_deadline() == due + BEAT_INTERVAL
    flow(client, server, due)
    assert events_of(server) == [Received([Beat()])]
    assert server.last_received == due


def test_any_byte_counts_as_a_sign_of_life() -> None:
    client, server = connected(MSGPACK)
    client.send([Publish(1, "room", 1, bytes(1000))], 5.0)
    data = b"".join(client.data_to_send())
    server.receive_data(data[:10], 5.0)
    assert (server.last_received, events_of(server)) == (5.0, [])


@both_codecs
def test_a_message_that_is_not_packets_closes_the_connection_once(codec: Codec) -> None:
    client, server = connected(codec)
    garbage = server_message(codec, [])[:0] + bytes([0x80 | (1 if codec.text else 2), 3]) + b"???"
    client.receive_data(garbage, 1.0)
    (closed,) = events_of(client)
    assert isinstance(closed, Closed)
    assert closed.code == CloseCode.MALFORMED
    assert closed.error is not None
    flow(client, server, 1.0)
    (seen,) = events_of(server)
    assert isinstance(seen, Closed)
    assert seen.code == CloseCode.MALFORMED
    client.receive_data(garbage, 2.0)
    client.receive_eof(2.0)
    assert events_of(client) == []


def test_packets_before_the_malformed_message_still_arrive() -> None:
    client, _ = connected(MSGPACK)
    client.receive_data(server_message(MSGPACK, [Published(1, 2, 1)]) + b"\x82\x01?", 1.0)
    first, second = events_of(client)
    assert first == Received([Published(1, 2, 1)])
    assert isinstance(second, Closed)


@pytest.mark.parametrize(
    "payload",
    [
        MSGPACK.encode([Beat()] * PACKETS_PER_FRAME) + b"\xc0",
        b"\xdd\xff\xff\xff\xff",
        b"\x91" * 100_000,
        b"\x91\x92\xa7publish\x84\xa1i\xff\xa2ch\xa1a\xa4kind\x01\xa4body\xc4\x00",
        b"\x91\x92\xa7publish\x83\xa1i\x01\xa2ch\xa1a\xa4kind\x01",
        b"\x91\x92\xa7publish\x84\xa1i\x01\xa2ch\x01\xa4kind\x01\xa4body\xc4\x00",
        b"\x91\x92\xa7publish\x84\xa1i\x01\xa2ch\xa2\xff\xff\xa4kind\x01\xa4body\xc4\x00",
        b"\x91\x92\xa3ack\x81\xa2id\xcf\xff\xff\xff\xff\xff\xff\xff\xff",
    ],
    ids=[
        "trailing",
        "array of 4 billion",
        "deep",
        "negative",
        "missing",
        "type",
        "not UTF-8",
        "beyond 2**53",
    ],
)
def test_the_codec_refuses(payload: bytes) -> None:
    client, _ = connected(MSGPACK)
    size = len(payload)
    length = bytes([size]) if size < 126 else b"\x7e" + size.to_bytes(2, "big") if size < 65536 else None
    header = length if length is not None else b"\x7f" + size.to_bytes(8, "big")
    client.receive_data(b"\x82" + header + payload, 1.0)
    (closed,) = events_of(client)
    assert isinstance(closed, Closed)
    assert closed.code == CloseCode.MALFORMED


def test_too_many_packets_in_a_message_are_refused() -> None:
    client, server = connected(JSON)
    server.send([Beat()] * PACKETS_PER_FRAME, 1.0)
    flow(server, client)
    assert events_of(client) == [Received([Beat()] * PACKETS_PER_FRAME)]
    server.send([Beat()] * (PACKETS_PER_FRAME + 1), 1.0)
    flow(server, client)
    (closed,) = events_of(client)
    assert isinstance(closed, Closed)
    assert closed.code == CloseCode.MALFORMED


def test_a_plain_request_is_answered_over_http() -> None:
    server = ServerTransport(0.0)
    server.receive_data(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", 0.0)
    request = server.next_event()
    assert isinstance(request, HttpRequested)
    server.respond(200, [("Content-Type", "text/plain")], b"ok")
    assert b"".join(server.data_to_send()).startswith(b"HTTP/1.1 200 ")
    assert [type(event) for event in events_of(server)] == [Closed]
    with pytest.raises(LocalProtocolError):
        server.respond(200, [], b"again")


def test_a_refused_upgrade_reaches_the_client_as_its_cause() -> None:
    client, server = client_for("rtm.v1.msgpack"), ServerTransport(0.0)
    flow(client, server)
    server.next_event()
    server.refuse(503, "Draining.", [("Retry-After", "7")])
    flow(server, client)
    (closed,) = events_of(client)
    assert isinstance(closed, Closed)
    assert isinstance(closed.error, HandshakeRefused)
    assert (closed.error.status, closed.retry_after) == (503, 7.0)


def test_nothing_can_be_sent_before_the_handshake_and_after_the_close() -> None:
    client = client_for("rtm.v1.msgpack")
    with pytest.raises(LocalProtocolError):
        client.send([Beat()], 0.0)
    client, _ = connected(MSGPACK)
    client.close(1000, "", 1.0)
    with pytest.raises(LocalProtocolError):
        client.send([Beat()], 1.0)


@given(data=st.binary(max_size=300), size=st.integers(1, 300))
def test_garbage_at_any_stage_ends_in_one_closed_event(data: bytes, size: int) -> None:
    stages: list[Transport] = [
        ServerTransport(0.0),
        client_for("rtm.v1.json"),
        *connected(MSGPACK),
        *connected(JSON),
    ]
    for transport in stages:
        transport.data_to_send()
        for start in range(0, len(data), size):
            transport.receive_data(data[start : start + size], 1.0)
        transport.receive_eof(2.0)
        closed = [event for event in events_of(transport) if isinstance(event, Closed)]
        pending = isinstance(transport, ServerTransport) and transport.state is TransportState.OPENING
        assert len(closed) == (0 if pending else 1)
