"""Faults of the fault proxy that stand between or inside WebSocket frames."""

import socket

import pytest
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import CLOSED
from websockets.uri import parse_uri
from websockets.utils import accept_key

from rtmsync.testing import (
    CloseFrame,
    Corrupt,
    Rule,
    Truncate,
)
from rtmsync.testing.frames import FrameTracker, close_frame, frame_size
from tests.sync.faultproxy.ends import Scene, happened, receive, receive_all, send_in_background

UPGRADE_REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n\r\n"
UPGRADE_ANSWER = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"


ANSWER_SIZE = len(UPGRADE_ANSWER) + len("Sec-WebSocket-Accept: \r\n") + 28
"""Bytes of the answer to the handshake of `upgraded`."""


def frame(payload: bytes, opcode: Opcode = Opcode.BINARY, mask: bool = False) -> bytes:
    return Frame(opcode, payload).serialize(mask=mask)


def upgraded(scene: Scene) -> tuple[ClientProtocol, socket.socket, socket.socket]:
    """A connection over which `websockets` has done a handshake, answered by hand."""
    protocol = ClientProtocol(parse_uri(scene.proxy.url))
    request = protocol.connect()
    protocol.send_request(request)
    client, server = scene.pair()
    client.sendall(b"".join(protocol.data_to_send()))
    head = b""
    while b"\r\n\r\n" not in head:
        head += server.recv(4096)
    accepted = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Accept": accept_key(request.headers["Sec-WebSocket-Key"]),
    }
    fields = "".join(f"{name}: {value}\r\n" for name, value in accepted.items())
    answer = f"HTTP/1.1 101 Switching Protocols\r\n{fields}\r\n".encode()
    assert len(answer) == ANSWER_SIZE
    server.sendall(answer)
    return protocol, client, server


def read_frames(protocol: ClientProtocol, client: socket.socket) -> list[Frame]:
    data, _ = receive_all(client)
    protocol.receive_data(data)
    protocol.receive_eof()
    return [event for event in protocol.events_received() if isinstance(event, Frame)]


def test_close_frame_waits_for_the_frame_under_way(play):
    scene = play()
    protocol, client, server = upgraded(scene)
    whole = frame(b"a" * 200)
    server.sendall(frame(b"first") + whole[:50])
    received = receive(client, ANSWER_SIZE + len(frame(b"first")) + 50)
    scene.proxy.apply(CloseFrame(4001, "go away"))
    assert scene.proxy.open_connections == 1
    server.sendall(whole[50:] + frame(b"never arrives"))
    protocol.receive_data(received)
    frames = read_frames(protocol, client)
    assert [(one.opcode, one.data) for one in frames[:2]] == [
        (Opcode.BINARY, b"first"),
        (Opcode.BINARY, b"a" * 200),
    ]
    assert len(frames) == 3
    assert protocol.parser_exc is None
    assert (protocol.close_code, protocol.close_reason, protocol.state) == (4001, "go away", CLOSED)
    assert receive_all(server)[1] == "fin"


@pytest.mark.parametrize("after", [0, 40, len(UPGRADE_ANSWER) + 60, 3000])
def test_close_frame_at_a_byte_comes_at_the_next_boundary(play, after):
    scene = play(Rule(CloseFrame(1012, "restart"), direction="to_client", after_bytes=after))
    protocol, client, server = upgraded(scene)
    sizes = [0, 1, 124, 125, 126, 127, 1000, 70_000]
    sending = send_in_background(server, b"".join(frame(bytes(size)) for size in sizes))
    frames = read_frames(protocol, client)
    sending.join()
    assert protocol.parser_exc is None
    assert (protocol.close_code, protocol.close_reason) == (1012, "restart")
    got = [len(one.data) for one in frames[:-1]]
    assert got == sizes[: len(got)]
    assert scene.proxy.forwarded("to_client", 1) >= after


def test_close_frame_without_a_trigger_follows_the_upgrade(play):
    scene = play(Rule(CloseFrame(1013)))
    protocol, client, server = upgraded(scene)
    server.sendall(frame(b"welcome"))
    frames = read_frames(protocol, client)
    assert [one.opcode for one in frames] == [Opcode.CLOSE]
    assert protocol.close_code == 1013


def test_close_frame_is_an_error_where_there_are_no_frames(play, upstream):
    scene = play(Rule(CloseFrame(1000), connection=1))
    client, server = scene.pair()
    server.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    assert receive(client, 19) == b"HTTP/1.1 200 OK\r\n\r\n"
    scene.proxy.wait_for(lambda proxy: happened(proxy, "error"))
    with pytest.raises(ValueError, match="connection 1 carries no WebSocket frames"):
        scene.proxy.stop()
    scene.proxy.stop()


@pytest.mark.parametrize(("keep", "passes"), [(1, 1), (2, 2), (7, 7), (1000, 29)])
@pytest.mark.parametrize("how", ["rst", "fin"])
def test_truncate_ends_in_the_middle_of_a_frame(play, keep, passes, how):
    scene = play()
    _, client, server = upgraded(scene)
    whole = frame(b"x" * 28)
    assert len(whole) == 30
    server.sendall(whole + whole[:10])
    scene.proxy.wait_for(lambda proxy: proxy.forwarded("to_client") == ANSWER_SIZE + 40)
    scene.proxy.apply(Truncate(keep, how))
    server.sendall(whole[10:] + whole[:1])
    server.sendall(whole[1:])
    data, ending = receive_all(client)
    assert ending == how
    _, _, frames = data.partition(b"\r\n\r\n")
    assert frames == (whole * 3)[: 60 + passes]


def test_truncate_cuts_a_client_frame(play):
    scene = play(Rule(Truncate(4, "fin", direction="to_server")))
    client, server = scene.pair()
    client.sendall(UPGRADE_REQUEST)
    assert receive(server, len(UPGRADE_REQUEST)) == UPGRADE_REQUEST
    masked = frame(b"y" * 300, mask=True)
    client.sendall(masked)
    assert receive_all(server) == (masked[:4], "fin")


def test_corrupt_changes_one_byte(play):
    scene = play(
        Rule(Corrupt(3, direction="to_server")),
        Rule(Corrupt(10, mask=1), direction="to_client", after_bytes=100_000),
    )
    client, server = scene.pair()
    client.sendall(bytes(3))
    client.sendall(bytes(3))
    assert receive(server, 6) == b"\0\0\0\xff\0\0"
    sending = send_in_background(server, bytes(200_000))
    got = receive(client, 200_000)
    sending.join()
    assert [(index, byte) for index, byte in enumerate(got) if byte] == [(100_010, 1)]


@pytest.mark.parametrize("mask", [False, True])
@pytest.mark.parametrize("piece", [1, 2, 3, 7, 1 << 20])
def test_tracker_finds_every_boundary_however_the_stream_is_cut(piece, mask):
    frames = [frame(bytes(size), mask=mask) for size in (0, 1, 125, 126, 65_535, 65_536)]
    frames += [close_frame(4000, "bye"), frame(b"", Opcode.PING, mask)]
    stream = memoryview(UPGRADE_ANSWER + b"".join(frames))
    tracker, found = FrameTracker(b"HTTP/1.1 101"), []
    for start in range(0, len(stream), piece):
        data = stream[start : start + piece]
        done = 0
        while done < len(data):
            count = tracker.copy().feed(data[done:], to_boundary=True)
            tracker.feed(data[done : done + count])
            done += count
            if tracker.at_boundary:
                found.append(start + done)
    expected = [len(UPGRADE_ANSWER)]
    for one in frames:
        expected.append(expected[-1] + len(one))
        assert frame_size(one) == len(one)
    assert found == expected
