"""What the body of a file costs in each role of the HTTP core and in plain h11, interleaved in one run.

Run it with ``python -m tests.benchmarks.micro_http``. Nothing is kept, written or hashed: what is measured is what
the core adds to each byte. It prints megabytes a second for orientation and ratios to go by.
"""

import time
from collections.abc import Callable, Iterator
from functools import partial
from statistics import median

import h11

from rtmcore.limits import MEDIA_BYTES, READ_CHUNK
from rtmcore.wire.exchange import HttpBodyEnd, HttpClientConnection, HttpPiece, HttpServerConnection

ROUNDS = 7
CHUNK = 16 * 1024
PIECE = bytes(READ_CHUNK)
LENGTH = f"Content-Length: {MEDIA_BYTES}"
CHUNKED = "Transfer-Encoding: chunked"


def head(line: str, framing: str) -> bytes:
    return f"{line}\r\nHost: h\r\n{framing}\r\n\r\n".encode()


def reads(framing: str) -> list[bytes]:
    """A body as it comes out of a socket."""
    if framing == LENGTH:
        return [PIECE] * (MEDIA_BYTES // READ_CHUNK)
    stream = (b"%x\r\n%b\r\n" % (CHUNK, bytes(CHUNK))) * (MEDIA_BYTES // CHUNK) + b"0\r\n\r\n"
    return [stream[start : start + READ_CHUNK] for start in range(0, len(stream), READ_CHUNK)]


def take(role: HttpServerConnection | HttpClientConnection, pieces: list[bytes]) -> None:
    size = 0
    for piece in pieces:
        assert role.wants_data
        role.receive_data(piece)
        while (event := role.next_event()) is not None:
            if isinstance(event, HttpPiece):
                size += len(event.data)
                role.consumed(len(event.data))
            else:
                assert event == HttpBodyEnd(MEDIA_BYTES)
    assert size == MEDIA_BYTES


def give(role: HttpServerConnection | HttpClientConnection) -> None:
    while role.unsent:
        while role.room >= READ_CHUNK:
            role.send(PIECE)
        role.data_to_send()


def stock_take(http: h11.Connection, pieces: list[bytes]) -> None:
    size = 0
    for piece in pieces:
        http.receive_data(piece)
        while (event := http.next_event()) is not h11.NEED_DATA:
            if isinstance(event, h11.Data):
                size += len(event.data)
            else:
                assert isinstance(event, h11.EndOfMessage)
                break
    assert size == MEDIA_BYTES


def stock_give(http: h11.Connection) -> None:
    for _ in range(MEDIA_BYTES // READ_CHUNK):
        http.send_with_data_passthrough(h11.Data(data=PIECE))
    http.send(h11.EndOfMessage())


def server_receives(framing: str, pieces: list[bytes]) -> Iterator[Callable[[], None]]:
    server = HttpServerConnection()
    server.receive_data(head("PATCH / HTTP/1.1", framing))
    server.next_event()
    server.admit_pieces(MEDIA_BYTES)
    yield lambda: take(server, pieces)
    stock = h11.Connection(h11.SERVER)
    stock.receive_data(head("PATCH / HTTP/1.1", framing))
    stock.next_event()
    yield lambda: stock_take(stock, pieces)


def client_receives(framing: str, pieces: list[bytes]) -> Iterator[Callable[[], None]]:
    client = HttpClientConnection("h")
    client.request("GET", "/", judge=True)
    client.receive_data(head("HTTP/1.1 200 OK", framing))
    client.next_event()
    client.admit_pieces(MEDIA_BYTES)
    yield lambda: take(client, pieces)
    stock = h11.Connection(h11.CLIENT)
    stock.send(h11.Request(method="GET", target="/", headers=[("Host", "h")]))
    stock.send(h11.EndOfMessage())
    stock.receive_data(head("HTTP/1.1 200 OK", framing))
    stock.next_event()
    yield lambda: stock_take(stock, pieces)


def server_sends() -> Iterator[Callable[[], None]]:
    server = HttpServerConnection()
    server.receive_data(head("GET / HTTP/1.1", "A: b"))
    server.next_event()
    server.start(200, length=MEDIA_BYTES)
    yield lambda: give(server)
    stock = h11.Connection(h11.SERVER)
    stock.receive_data(head("GET / HTTP/1.1", "A: b"))
    stock.next_event()
    stock.send(h11.Response(status_code=200, headers=[("Content-Length", str(MEDIA_BYTES))]))
    yield lambda: stock_give(stock)


def client_sends() -> Iterator[Callable[[], None]]:
    client = HttpClientConnection("h")
    client.start("PATCH", "/", length=MEDIA_BYTES)
    yield lambda: give(client)
    stock = h11.Connection(h11.CLIENT)
    fields = [("Host", "h"), ("Content-Length", str(MEDIA_BYTES))]
    stock.send(h11.Request(method="PATCH", target="/", headers=fields))
    yield lambda: stock_give(stock)


def seconds(call: Callable[[], None]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def compare(name: str, pair: Callable[[], Iterator[Callable[[], None]]]) -> None:
    """Measure two ways of doing the same, in turn, and print medians and their ratio."""
    rounds = [[seconds(call) for call in pair()] for _ in range(ROUNDS)]
    own, other = (MEDIA_BYTES / median(column) / 1e6 for column in zip(*rounds, strict=True))
    ratio = median(stock / ours for ours, stock in rounds)
    print(f"{name:<32} {own:10,.0f} MB/s {other:10,.0f} MB/s   x{ratio:.1f}")


def main() -> None:
    print(f"{'':<32} {'ours':>15} {'h11':>15}   ratio")
    for framing, what in ((LENGTH, "a length"), (CHUNKED, f"chunks of {CHUNK} B")):
        pieces = reads(framing)
        compare(f"server receives {what}", partial(server_receives, framing, pieces))
        compare(f"client receives {what}", partial(client_receives, framing, pieces))
    compare("server sends", server_sends)
    compare("client sends", client_sends)


if __name__ == "__main__":
    main()
