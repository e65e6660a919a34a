"""Without faults the fault proxy is a pipe: bytes, ends and resets pass, and memory is bounded."""

import select
import socket

import pytest

from rtmcore.limits import MIB, PROXY_BUFFER_BYTES, PROXY_READ_BYTES
from tests.sync.faultproxy.ends import (
    DEADLINE,
    Upstream,
    connect_and_receive_all,
    happened,
    is_silent,
    noise,
    receive,
    receive_all,
    reset,
    send_in_background,
    send_until_blocked,
)


def test_bytes_pass_both_ways_unchanged(play):
    scene = play()
    client, server = scene.pair()
    up, down = noise(3 * MIB, 1), noise(3 * MIB, 2)
    senders = [send_in_background(client, up), send_in_background(server, down)]
    arrived = bytearray(), bytearray()
    while len(arrived[0]) < len(up) or len(arrived[1]) < len(down):
        for sock in select.select([server, client], [], [], DEADLINE)[0]:
            arrived[0 if sock is server else 1].extend(sock.recv(1 << 16))
    for sender in senders:
        sender.join()
    assert arrived[0] == up
    assert arrived[1] == down
    assert scene.proxy.forwarded("to_server") == len(up)
    assert scene.proxy.forwarded("to_client", 1) == len(down)


def test_half_close_passes_in_each_direction(play):
    scene = play()
    client, server = scene.pair()
    client.sendall(b"question")
    client.shutdown(socket.SHUT_WR)
    assert receive_all(server) == (b"question", "fin")
    server.sendall(b"answer")
    assert receive(client, 6) == b"answer"
    server.shutdown(socket.SHUT_WR)
    assert receive_all(client) == (b"", "fin")
    scene.proxy.wait_for(lambda proxy: happened(proxy, "closed"))
    assert scene.proxy.open_connections == 0
    assert scene.proxy.forwarded("to_server", 1) == 8


def test_server_may_close_its_half_first(play):
    client, server = play().pair()
    server.shutdown(socket.SHUT_WR)
    assert receive_all(client) == (b"", "fin")
    client.sendall(b"still there")
    client.close()
    assert receive_all(server) == (b"still there", "fin")


@pytest.mark.parametrize("resetting", ["client", "server"])
def test_reset_of_one_side_reaches_the_other_behind_its_bytes(play, resetting):
    scene = play()
    client, server = scene.pair()
    near, far = (client, server) if resetting == "client" else (server, client)
    near.sendall(b"last words")
    assert receive(far, 10) == b"last words"
    reset(near)
    assert receive_all(far) == (b"", "rst")
    assert [entry.detail.split(":")[0] for entry in happened(scene.proxy, "reset")] == [f"by {resetting}"]


def test_reset_reaches_a_side_that_does_not_read(play):
    scene = play()
    client, server = scene.pair()
    # A proxy that is slow to begin with blocks the sender too.
    while send_until_blocked(server, 64 * MIB) or not scene.proxy.forwarded("to_client"):
        pass
    reset(server)
    data, ending = receive_all(client)
    assert ending == "rst"
    assert len(data) > 0


def test_memory_is_bounded_and_the_sender_waits_in_both_directions(play):
    for direction in ("to_server", "to_client"):
        scene = play(buffer_limit=PROXY_READ_BYTES)
        client, server = scene.pair()
        sender, receiver = (client, server) if direction == "to_server" else (server, client)
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 16)
        sent = send_until_blocked(sender, 64 * MIB)
        assert sent < 32 * MIB
        sender.shutdown(socket.SHUT_WR)
        data, ending = receive_all(receiver)
        assert (len(data), ending) == (sent, "fin")


def test_connection_to_a_server_that_is_down_is_reset(play):
    scene = play()
    scene.upstream.stop_listening()
    assert connect_and_receive_all(scene) == (b"", "rst")
    assert "refused" in happened(scene.proxy, "server failed")[0].detail


def test_retarget_leads_new_connections_elsewhere(play):
    scene = play()
    scene.upstream.stop_listening()
    restarted = Upstream()
    try:
        scene.proxy.retarget("localhost", restarted.port)
        client = scene.connect()
        client.sendall(b"hello")
        assert receive(restarted.accept(), 5) == b"hello"
    finally:
        restarted.close()


def test_default_buffer_is_what_the_limits_say(play):
    scene = play()
    client, server = scene.pair()
    scene.proxy.delay(30, direction="to_server")
    sent = PROXY_BUFFER_BYTES
    client.sendall(bytes(sent))
    sent += send_until_blocked(client, 64 * MIB)
    assert sent < 32 * MIB
    assert is_silent(server)
