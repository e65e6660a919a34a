"""Connections that the fault proxy cuts or refuses: at once, by rule, by lot."""

import random
import time

import pytest

from rtmcore.limits import PROXY_READ_BYTES
from rtmsync.testing import (
    Cut,
    FaultProxy,
    RandomCuts,
    Refuse,
    Rule,
)
from tests.sync.faultproxy.ends import (
    connect_and_receive_all,
    happened,
    noise,
    receive,
    receive_all,
    send_in_background,
)


@pytest.mark.parametrize("how", ["rst", "fin"])
@pytest.mark.parametrize("direction", ["to_server", "to_client"])
@pytest.mark.parametrize("after", [1, 5000, PROXY_READ_BYTES, 300_000])
def test_cut_is_exact_to_the_byte(play, how, direction, after):
    scene = play(Rule(Cut(how), direction=direction, after_bytes=after))
    client, server = scene.pair()
    sender, receiver = (client, server) if direction == "to_server" else (server, client)
    data = noise(400_000, after)
    sending = send_in_background(sender, data)
    assert receive_all(receiver) == (data[:after], how)
    sending.join()
    assert receive_all(sender)[0] == b""
    assert [(entry.detail, getattr(entry, direction)) for entry in happened(scene.proxy, "cut")] == [
        (how, after)
    ]


@pytest.mark.parametrize("how", ["rst", "fin"])
def test_cut_after_no_byte_comes_when_the_server_is_connected(play, how):
    scene = play(Rule(Cut(how), direction="to_server", after_bytes=0))
    assert connect_and_receive_all(scene) == (b"", how)
    assert receive_all(scene.upstream.accept()) == (b"", how)


def test_cut_happens_at_its_byte_even_if_no_more_follows(play):
    client, server = play(Rule(Cut("fin"), direction="to_client", after_bytes=3)).pair()
    server.sendall(b"abc")
    assert receive_all(client) == (b"abc", "fin")
    assert receive_all(server) == (b"", "fin")


def test_fin_cut_answers_what_is_still_sent_with_nothing_worse_than_an_end(play):
    scene = play()
    client, server = scene.pair()
    assert scene.proxy.cut("fin") == 1
    client.sendall(b"x" * 1000)
    assert receive_all(client) == (b"", "fin")
    assert receive_all(server) == (b"", "fin")


def test_cut_switch_ends_one_or_all(play):
    scene = play()
    pairs = [scene.pair() for _ in range(4)]
    assert scene.proxy.cut(connection=2) == 1
    assert [receive_all(sock) for sock in pairs[1]] == [(b"", "rst")] * 2
    pairs[0][0].sendall(b"on")
    assert receive(pairs[0][1], 2) == b"on"
    assert scene.proxy.cut() == 3
    assert scene.proxy.open_connections == 0
    for client, server in (pairs[0], pairs[2], pairs[3]):
        assert receive_all(client) == (b"", "rst")
        assert receive_all(server) == (b"", "rst")
    client, server = scene.pair()
    client.sendall(b"new")
    assert receive(server, 3) == b"new"


def test_cut_after_seconds(play):
    for seconds in (0.1, 1, 10):
        begun = time.monotonic()
        client, server = play(Rule(Cut("fin"), after_seconds=seconds)).pair()
        server.sendall(b"early")
        data, ending = receive_all(client)
        assert ending == "fin"
        assert time.monotonic() - begun >= seconds
        if data:
            break  # otherwise the machine was so busy that the time was over first
    assert data == b"early"


def test_rules_choose_connections_and_stop_after_their_times(play):
    scene = play(
        Rule(Cut("fin"), connection=2, direction="to_server", after_bytes=1),
        Rule(Cut("rst"), direction="to_server", after_bytes=4, times=1),
    )
    first, second, third = (scene.pair() for _ in range(3))
    first[0].sendall(b"abcdef")
    assert receive_all(first[1]) == (b"abcd", "rst")
    second[0].sendall(b"abcdef")
    assert receive_all(second[1]) == (b"a", "fin")
    third[0].sendall(b"abcdef")
    assert receive(third[1], 6) == b"abcdef"


def test_added_rules_meet_connections_to_come(play):
    scene = play()
    first = scene.pair()
    scene.proxy.add(Rule(Cut("fin"), direction="to_server", after_bytes=2))
    second = scene.pair()
    for client, _ in (first, second):
        client.sendall(b"abc")
    assert receive_all(second[1]) == (b"ab", "fin")
    assert receive(first[1], 3) == b"abc"


def drive_random_cuts(play, seed: int) -> list[str]:
    """Send both ways over five connections, the first three of which are cut; return what was drawn."""
    scene = play(RandomCuts(3, between=(10, 2000)), seed=seed)
    data = noise(4000, seed)
    for number in range(1, 6):
        client, server = scene.pair()
        senders = [send_in_background(client, data), send_in_background(server, data)]
        if number <= 3:
            arrived = {"to_server": receive_all(server)[0], "to_client": receive_all(client)[0]}
            scene.proxy.wait_for(lambda proxy, number=number: len(happened(proxy, "cut")) == number)
            how, _, after, _, direction = happened(scene.proxy, "armed")[-1].detail.split()
            assert 10 <= int(after) <= 2000
            assert arrived[direction] == data[: int(after)]
            assert happened(scene.proxy, "cut")[-1].detail == how
        else:
            assert receive(server, 4000) == receive(client, 4000) == data
        for sender in senders:
            sender.join()
    return [entry.detail for entry in happened(scene.proxy, "armed")]


def test_random_cuts_come_from_the_seed_and_stop_at_their_count(play):
    seed = random.SystemRandom().getrandbits(32)
    drawn = drive_random_cuts(play, seed)
    assert drawn == drive_random_cuts(play, seed)
    assert len(drawn) == 3
    assert drawn != drive_random_cuts(play, seed + 1)


def test_random_cut_of_a_connection_that_ended_early_moves_on(play):
    scene = play(RandomCuts(1, between=(10, 10), direction="to_server", how="fin"))
    for _ in range(2):
        client, server = scene.pair()
        client.sendall(b"short")
        client.close()
        assert receive_all(server) == (b"short", "fin")
    client, server = scene.pair()
    client.sendall(b"much longer than that")
    assert receive_all(server) == (b"much longe", "fin")


def test_seed_is_drawn_and_shown():
    proxy = FaultProxy("127.0.0.1", 1)
    assert f"seed {proxy.seed}" in repr(proxy)
    assert proxy.seed != FaultProxy("127.0.0.1", 1).seed
    assert FaultProxy("127.0.0.1", 1, seed=7).seed == 7


def test_refusing_for_real_keeps_the_port_and_current_connections(play):
    scene = play()
    client, server = scene.pair()
    port = scene.proxy.port
    scene.proxy.refuse()
    for _ in range(3):
        with pytest.raises(ConnectionRefusedError):
            scene.connect()
    client.sendall(b"kept")
    assert receive(server, 4) == b"kept"
    scene.proxy.refuse(False)
    assert scene.proxy.port == port
    newer, behind = scene.pair()
    newer.sendall(b"back")
    assert receive(behind, 4) == b"back"
    assert scene.proxy.connections == 2


def test_refusing_with_a_reset(play):
    scene = play()
    scene.proxy.refuse(how="rst")
    assert connect_and_receive_all(scene) == (b"", "rst")
    assert scene.proxy.connections == 1
    scene.proxy.refuse(how="closed")
    with pytest.raises(ConnectionRefusedError):
        scene.connect()
    scene.proxy.refuse(False)
    scene.pair()
    assert happened(scene.proxy, "refused")[0].connection == 1


def test_refusal_by_rule_counts_connections(play):
    scene = play(Rule(Refuse(), connection=2), Rule(Refuse(), connection=3))
    scene.pair()
    for _ in range(2):
        assert connect_and_receive_all(scene) == (b"", "rst")
    client, server = scene.pair()
    client.sendall(b"fourth")
    assert receive(server, 6) == b"fourth"
