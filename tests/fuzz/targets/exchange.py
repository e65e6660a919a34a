"""Targets: HTTP requests and answers with bodies."""

from random import Random

from rtmcore.limits import HANDSHAKE_BYTES, HTTP_ANSWER_BYTES, HTTP_EARLY_BYTES
from rtmcore.wire.exchange import HttpBody, HttpClientConnection, HttpFailed, HttpHead, HttpServerConnection
from tests.fuzz import http
from tests.fuzz.harness import Case, expect, retained
from tests.fuzz.mutation import cut, mutate

_KEEPS = HTTP_EARLY_BYTES + HTTP_ANSWER_BYTES + 4 * HANDSHAKE_BYTES
_POST = (
    b"POST /rtm/v1/apps/x/users/y/peer_messages HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"
    b"DELETE /z HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n"
)
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nRetry-After: 1\r\n\r\n{}"


class HttpServerTarget:
    """`HttpServerConnection`."""

    name = "http-server"

    def make(self, random: Random) -> Case:
        data = _POST * random.randrange(1, 4)
        data = mutate(random, data) if random.random() < 0.8 else http.spoiled(random, http.requests())
        return Case(cut(random, data), {"eof": random.random() < 0.5})

    def run(self, case: Case) -> None:
        server = HttpServerConnection()
        over = False
        for piece in case.pieces:
            server.receive_data(piece)
            while (event := server.next_event()) is not None:
                expect(not over, f"{event} behind the end")
                if isinstance(event, HttpHead):
                    server.admit()
                elif isinstance(event, HttpBody):
                    server.respond(200, [], event.body)
                else:
                    over = True
            server.data_to_send()
            expect(retained(server) <= _KEEPS, f"{retained(server)} bytes are kept")
        if case.plan["eof"]:
            server.receive_eof()
            expect(server.closed, "the end of the stream is not the end")


class HttpClientTarget:
    """`HttpClientConnection`."""

    name = "http-client"

    def make(self, random: Random) -> Case:
        data = mutate(random, _ANSWER) if random.random() < 0.8 else http.spoiled(random, http.answers("x"))
        return Case(cut(random, data), {"eof": random.random() < 0.5})

    def run(self, case: Case) -> None:
        client = HttpClientConnection("x")
        client.request("POST", "/", [], b"{}")
        client.data_to_send()
        events = []
        for piece in case.pieces:
            client.receive_data(piece)
            while (event := client.next_event()) is not None:
                events.append(event)
            expect(retained(client) <= _KEEPS, f"{retained(client)} bytes are kept")
        if case.plan["eof"]:
            client.receive_eof()
            while (event := client.next_event()) is not None:
                events.append(event)
            expect(bool(events), "nobody was told of the end")
        expect(len([event for event in events if isinstance(event, HttpFailed)]) <= 1, "two failures")
