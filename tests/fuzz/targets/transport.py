"""Targets: a whole connection, for both roles."""

from collections.abc import Callable
from random import Random
from typing import Any

from rtmcore.errors import RtmError
from rtmcore.limits import FRAME_BYTES, HANDSHAKE_BYTES, READ_CHUNK
from rtmcore.wire.codec import CODECS
from rtmcore.wire.handshake import HttpRequested, UpgradeRequested, choose_subprotocol
from rtmcore.wire.packets import Beat
from rtmcore.wire.transport import (
    ClientTransport,
    Closed,
    Opened,
    Received,
    ServerTransport,
    Transport,
    TransportState,
)
from tests.fuzz import http
from tests.fuzz.frames import stream
from tests.fuzz.harness import Case, expect, retained
from tests.fuzz.mutation import cut, mutate

NONCE = b"0123456789abcdef"
_KEEPS = 2 * FRAME_BYTES + 3 * HANDSHAKE_BYTES + 2 * READ_CHUNK


class _TransportTarget:
    name: str

    def _heads(self) -> list[bytes]:
        raise NotImplementedError

    def _head(self, codec: str) -> bytes:
        raise NotImplementedError

    def _transport(self) -> Transport:
        raise NotImplementedError

    def _serve(self, transport: Any, event: Any, plan: dict[str, Any]) -> None:
        """React to an event of the handshake."""

    def make(self, random: Random) -> Case:
        codec = random.choice(list(CODECS.values()))
        if random.random() < 0.15:
            data = http.spoiled(random, self._heads())
        else:
            frames = stream(random, codec, masked=self.name.endswith("server"))
            data = self._head(codec.subprotocol)
            data += mutate(random, frames) if random.random() < 0.5 else frames
        plan = {
            "refuse": random.random() < 0.05,
            "close_after": random.choice((None, None, None, random.randrange(5))),
            "timers": random.random() < 0.3,
            "eof": random.random() < 0.5,
        }
        return Case(cut(random, data), plan)

    def run(self, case: Case) -> None:
        transport = self._transport()
        now = 100.0
        closed: list[Closed] = []
        sent = sum(map(len, transport.data_to_send()))
        received = 0

        def look() -> None:
            nonlocal sent
            while (event := transport.next_event()) is not None:
                expect(not closed, f"{event} after the end")
                if isinstance(event, Closed):
                    closed.append(event)
                elif isinstance(event, Received):
                    expect(transport.state is not TransportState.OPENING, "packets before the handshake")
                elif not isinstance(event, Opened):
                    self._serve(transport, event, case.plan)
            sent += sum(map(len, transport.data_to_send()))

        for number, piece in enumerate(case.pieces):
            if number == case.plan["close_after"]:
                transport.close(4000, '{"r": 5}', now)
            transport.receive_data(piece, now)
            received += len(piece)
            look()
            now += 0.01
            if case.plan["timers"]:
                now = self._pass_time(transport, now)
                look()
        expect(retained(transport) <= _KEEPS, f"{retained(transport)} bytes are kept")
        expect(sent <= 4096 + 32 * received + 64 * len(case.pieces), f"{sent} bytes in answer to {received}")
        if case.plan["eof"]:
            transport.receive_eof(now)
            look()
            if transport.state is not TransportState.CLOSED:
                expect(self._waits_for_owner, "the end of the stream is not the end")
        if closed:
            self._check_end(transport, now)
            look()
        expect(len(closed) <= 1, "two ends")

    _waits_for_owner = False

    def _pass_time(self, transport: Transport, now: float) -> float:
        due = transport.next_deadline()
        if due is None:
            return now
        now = max(now, due)
        transport.handle_timer(now)
        later = transport.next_deadline()
        expect(later is None or later > now, f"the deadline stays {later} at {now}")
        return now

    def _check_end(self, transport: Transport, now: float) -> None:
        expect(transport.state is TransportState.CLOSED, f"the state is {transport.state}")
        expect(transport.next_deadline() is None, "a deadline after the end")
        transport.receive_data(b"\x82\x01\x90", now)
        transport.receive_eof(now)
        transport.handle_timer(now + 10)
        transport.close(1000, "", now)
        _refuses(lambda: transport.send([Beat()], now))
        expect(transport.data_to_send() == [], "output after the end")


def _refuses(call: Callable[[], None]) -> None:
    try:
        call()
    except RtmError:
        return
    expect(False, "packets were sent after the end")


class ClientTransportTarget(_TransportTarget):
    """`ClientTransport`."""

    name = "transport-client"

    def _heads(self) -> list[bytes]:
        return http.answers(http.accept_header(NONCE))

    def _head(self, codec: str) -> bytes:
        return http.switching(http.accept_header(NONCE), codec)

    def _transport(self) -> Transport:
        return ClientTransport(
            host="localhost",
            target="/rtm/v1",
            subprotocols=list(CODECS),
            nonce=NONCE,
            mask_key=lambda: b"mask",
            now=100.0,
        )


class ServerTransportTarget(_TransportTarget):
    """`ServerTransport`."""

    name = "transport-server"
    _waits_for_owner = True  # a request may be answered after the client's last byte

    def _heads(self) -> list[bytes]:
        return http.requests()

    def _head(self, codec: str) -> bytes:
        return http.upgrade(subprotocols=codec)

    def _transport(self) -> Transport:
        return ServerTransport(100.0)

    def _serve(self, transport: ServerTransport, event: Any, plan: dict[str, Any]) -> None:
        if isinstance(event, HttpRequested):
            transport.respond(200, [("Content-Type", "text/plain")], b"well\n")
        elif isinstance(event, UpgradeRequested):
            chosen = choose_subprotocol(event.subprotocols, CODECS)
            if plan["refuse"] or chosen is None:
                transport.refuse(400, "not so")
            else:
                transport.accept(CODECS[chosen], 100.0)
