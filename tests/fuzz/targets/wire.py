"""Targets: the codec, the framing, the handshakes."""

from collections.abc import Callable
from random import Random

from rtmcore.errors import ConnectionFailed, ProxyError, RemoteProtocolError
from rtmcore.limits import FRAME_BYTES, HANDSHAKE_BYTES, PACKETS_PER_FRAME, READ_CHUNK
from rtmcore.wire.codec import Codec
from rtmcore.wire.framing import Framing
from rtmcore.wire.handshake import (
    ClientHandshake,
    HandshakeAccepted,
    HttpRequested,
    ServerHandshake,
    UpgradeRequested,
)
from rtmcore.wire.packets import TAGS, Packet, Unknown
from rtmcore.wire.proxy import ProxyConnect
from tests.fuzz import http, packets
from tests.fuzz.frames import stream
from tests.fuzz.harness import Case, expect, retained
from tests.fuzz.mutation import cut, mutate

_PACKETS = (*TAGS.values(), Unknown)
_CLOSE_CODES = {1002, 1003, 1007, 1008, 1009}
_HTTP_KEEPS = 3 * HANDSHAKE_BYTES + READ_CHUNK


class CodecTarget:
    """`Codec.decode`."""

    def __init__(self, codec: Codec) -> None:
        self.name = f"codec-{codec.subprotocol.rpartition('.')[2]}"
        self._codec = codec

    def make(self, random: Random) -> Case:
        if random.random() < 0.4:
            return Case([packets.loose_payload(random, self._codec)])
        valid = self._codec.encode([packets.packet(random) for _ in range(random.choice((1, 1, 2, 4)))])
        other = packets.loose_payload(random, self._codec)
        return Case([mutate(random, valid, [other])])

    def run(self, case: Case) -> None:
        try:
            decoded = self._codec.decode(case.pieces[0])
        except RemoteProtocolError as error:
            expect(error.close_code is not None, "a refusal without a close code")
            return
        expect(len(decoded) <= PACKETS_PER_FRAME, f"{len(decoded)} packets in one message")
        expect(all(isinstance(one, _PACKETS) for one in decoded), "something that is no packet")
        known: list[Packet] = [one for one in decoded if not isinstance(one, Unknown)]
        again = self._codec.decode(self._codec.encode(known))
        expect(again == known, f"packets changed on a second trip: {known} {again}")


class FramingTarget:
    """`Framing.receive`, whole and dripped: both have to come to the same."""

    def __init__(self, *, client: bool, codec: Codec) -> None:
        self.name = f"framing-{'client' if client else 'server'}-{'text' if codec.text else 'binary'}"
        self._client = client
        self._codec = codec

    def make(self, random: Random) -> Case:
        data = stream(random, self._codec, masked=not self._client)
        if random.random() < 0.5:
            data = mutate(random, data)
        close_after = random.choice((None, None, None, random.randrange(4)))
        return Case(cut(random, data), {"close_after": close_after})

    def _framing(self) -> Framing:
        mask_key = (lambda: b"mask") if self._client else None
        return Framing(client=self._client, text=self._codec.text, mask_key=mask_key)

    def run(self, case: Case) -> None:
        framing = self._framing()
        messages: list[bytes] = []
        received = 0
        for number, piece in enumerate(case.pieces):
            if number == case.plan["close_after"]:
                framing.close(1000, "enough")
            messages += framing.receive(piece)
            received += len(piece)
            if framing.closed:
                break
        expect(all(len(message) <= FRAME_BYTES for message in messages), "a message above the limit")
        kept = retained(framing)
        expect(kept <= 2 * FRAME_BYTES + 2 * READ_CHUNK, f"{kept} bytes are kept")
        self._check_end(framing)
        if case.plan["close_after"] is None:
            self._compare(case, framing, messages)

    def _check_end(self, framing: Framing) -> None:
        if framing.error is not None:
            expect(framing.closed, "an error that is not the end")
            expect(framing.error.close_code in _CLOSE_CODES, f"close code {framing.error.close_code}")
        was_closed, error, peer = framing.closed, framing.error, framing.peer_close
        output = framing.data_to_send()
        expect(len(output) <= 64 * READ_CHUNK, f"{len(output)} bytes in answer")
        if was_closed:
            expect(framing.receive(b"\x82\x01x") == [], "a message after the end")
            expect((framing.error, framing.peer_close) == (error, peer), "another end after the end")
            expect(framing.data_to_send() == b"", "output after the end")
        framing.receive_eof()
        expect(framing.closed, "still open after the end of the stream")

    def _compare(self, case: Case, framing: Framing, messages: list[bytes]) -> None:
        data = b"".join(case.pieces)
        if len(data) > 8192 or (framing.error is not None and framing.error.close_code == 1008):
            return  # how many pings there are in one read depends on the reads
        other = self._framing()
        dripped: list[bytes] = []
        for position in range(len(data)):
            dripped += other.receive(data[position : position + 1])
        other.receive_eof()
        expect(dripped == messages, f"dripped, {len(dripped)} messages came instead of {len(messages)}")
        expect(
            other.close_code == framing.close_code, f"dripped, {other.close_code} not {framing.close_code}"
        )


class ClientHandshakeTarget:
    """`ClientHandshake.receive`."""

    name = "handshake-client"
    _NONCE = b"0123456789abcdef"

    def make(self, random: Random) -> Case:
        answers = http.answers(http.accept_header(self._NONCE))
        return Case(cut(random, http.spoiled(random, answers)))

    def _handshake(self) -> ClientHandshake:
        return ClientHandshake(
            "example.org",
            "/rtm/v1",
            ["rtm.v1.msgpack", "rtm.v1.json"],
            nonce=self._NONCE,
            extra_headers=[("Authorization", "Bearer secret-of-the-proxy")],
        )

    def run(self, case: Case) -> None:
        outcome = self._feed(case.pieces)
        data = b"".join(case.pieces)
        if len(data) <= 2048:
            dripped = self._feed([data[at : at + 1] for at in range(len(data))])
            expect(dripped == outcome, f"dripped: {dripped}, otherwise: {outcome}")

    def _feed(self, pieces: list[bytes]) -> str:
        handshake = self._handshake()
        accepted: HandshakeAccepted | None = None
        try:
            for piece in pieces:
                accepted = handshake.receive(piece)
                if accepted is not None:
                    break
                kept = retained(handshake)
                expect(kept <= _HTTP_KEEPS, f"{kept} bytes are kept")
            if accepted is None:
                handshake.receive_eof()
        except (ConnectionFailed, RemoteProtocolError) as error:
            expect("secret-of-the-proxy" not in str(error), "a secret in an error message")
            return type(error).__name__
        expect(accepted is not None, "the end of the stream was taken for an answer")
        assert accepted is not None
        expect(accepted.subprotocol.startswith("rtm.v1."), f"subprotocol {accepted.subprotocol!r}")
        return f"accepted {accepted.subprotocol}"


class ServerHandshakeTarget:
    """`ServerHandshake.receive`, and the answers to what it took."""

    name = "handshake-server"

    def make(self, random: Random) -> Case:
        return Case(cut(random, http.spoiled(random, http.requests())), {"refuse": random.random() < 0.5})

    def run(self, case: Case) -> None:
        handshake = ServerHandshake()
        request: UpgradeRequested | HttpRequested | None = None
        try:
            for piece in case.pieces:
                came = handshake.receive(piece)
                expect(came is None or request is None, "two requests on one connection")
                request = request or came
                kept = retained(handshake)
                expect(kept <= _HTTP_KEEPS, f"{kept} bytes are kept")
        except RemoteProtocolError:
            response = handshake.failure_response()
            _check_response(response, range(400, 600))
            expect(handshake.failure_response() == b"", "a second answer")
            expect(handshake.receive(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n") is None, "a request after the end")
            return
        if request is None:
            _refuses_eof(handshake.receive_eof)
        elif isinstance(request, HttpRequested):
            _check_response(
                handshake.respond(200, [("Content-Type", "text/plain")], b"well"), range(200, 201)
            )
        elif case.plan["refuse"] or not request.subprotocols:
            _check_response(handshake.reject(403, "not here"), range(403, 404))
        else:
            _check_response(handshake.accept(request.subprotocols[0]), range(101, 102))
            expect(len(handshake.trailing) <= _HTTP_KEEPS, "too much behind the request")


def _check_response(response: bytes, statuses: range) -> None:
    expect(response.startswith(b"HTTP/1.1 "), f"no response: {response[:40]!r}")
    expect(int(response[9:12]) in statuses, f"status {response[9:12]!r}")
    expect(response.count(b"\r\n\r\n") >= 1, "a head without an end")


def _refuses_eof(receive_eof: Callable[[], None]) -> None:
    try:
        receive_eof()
    except RemoteProtocolError:
        return
    expect(False, "the end of the stream was taken for a request")


class ProxyTarget:
    """`ProxyConnect.receive`."""

    name = "proxy"

    def make(self, random: Random) -> Case:
        return Case(cut(random, http.spoiled(random, http.proxy_answers())))

    def run(self, case: Case) -> None:
        proxy = ProxyConnect("example.org", 443, username="user", password="secret-of-the-proxy")
        try:
            for piece in case.pieces:
                if proxy.receive(piece):
                    expect(len(proxy.trailing) <= _HTTP_KEEPS, "too much behind the response")
                    return
                kept = retained(proxy)
                expect(kept <= _HTTP_KEEPS, f"{kept} bytes are kept")
            proxy.receive_eof()
        except ProxyError as error:
            expect("secret-of-the-proxy" not in str(error), "a secret in an error message")
            return
        expect(False, "the end of the stream was taken for a tunnel")
