"""Links that are slow or say nothing: delay, throttle and black holes of the fault proxy."""

import socket
import time

import pytest

from rtmcore.limits import MIB
from rtmsync.testing import (
    BlackHole,
    Delay,
    Rule,
    Throttle,
)
from tests.sync.faultproxy.ends import (
    happened,
    is_silent,
    noise,
    receive,
    receive_all,
    reset,
    send_in_background,
)


@pytest.mark.parametrize("closed", ["to_server", "to_client"])
def test_hole_in_one_direction_lets_the_other_pass_and_healing_delivers_in_order(play, closed):
    scene = play()
    client, server = scene.pair()
    sender, receiver = (client, server) if closed == "to_server" else (server, client)
    scene.proxy.blackhole(closed)
    held = noise(200_000, 3)
    sending = send_in_background(sender, held)
    for number in range(10):
        receiver.sendall(b"%d" % number)
        assert receive(sender, 1) == b"%d" % number
    assert is_silent(receiver)
    scene.proxy.heal()
    assert receive(receiver, len(held)) == held
    sending.join()


def test_hole_in_both_directions_holds_ends_too(play):
    scene = play()
    client, server = scene.pair()
    scene.proxy.blackhole()
    client.sendall(b"up")
    client.shutdown(socket.SHUT_WR)
    server.sendall(b"down")
    assert is_silent(client, server)
    scene.proxy.heal()
    assert receive_all(server) == (b"up", "fin")
    assert receive(client, 4) == b"down"


def test_reset_inside_a_hole_is_seen_after_healing(play):
    scene = play()
    client, server = scene.pair()
    scene.proxy.blackhole()
    reset(client)
    assert is_silent(server)
    scene.proxy.heal()
    assert receive_all(server) == (b"", "rst")


def test_reset_by_the_writing_side_does_not_cross_a_hole(play):
    scene = play()
    client, server = scene.pair()
    scene.proxy.blackhole("to_server")
    reset(client)
    server.sendall(b"to whom it may concern")
    scene.proxy.wait_for(lambda proxy: happened(proxy, "reset"))
    assert is_silent(server)
    scene.proxy.heal()
    assert receive_all(server) == (b"", "rst")


def test_connections_opened_in_a_hole_wait_and_abandoned_ones_never_arrive(play):
    scene = play()
    scene.proxy.blackhole()
    abandoned, kept = scene.connect(), scene.connect()
    for client in (abandoned, kept):
        client.sendall(b"hello")
    abandoned.close()
    scene.proxy.wait_for(2)
    assert not scene.upstream.has_caller()
    scene.proxy.heal()
    assert receive(scene.upstream.accept(), 5) == b"hello"
    assert not scene.upstream.has_caller()
    assert [entry.connection for entry in happened(scene.proxy, "abandoned")] == [1]


def test_connections_opened_while_only_answers_are_lost_reach_the_server(play):
    scene = play()
    scene.proxy.blackhole("to_client")
    client, server = scene.pair()
    client.sendall(b"hello")
    assert receive(server, 5) == b"hello"
    server.sendall(b"welcome")
    assert is_silent(client)
    scene.proxy.heal()
    assert receive(client, 7) == b"welcome"


def test_dropping_hole_swallows_bytes_and_breaks_only_streams_that_lost_some(play):
    scene = play()
    broken, whole = scene.pair(), scene.pair()
    scene.proxy.blackhole(mode="drop")
    broken[0].sendall(bytes(16 * MIB))  # nobody pushes back
    assert is_silent(broken[1])
    scene.proxy.heal()
    assert receive_all(broken[1]) == (b"", "rst")
    assert receive_all(broken[0]) == (b"", "rst")
    whole[0].sendall(b"fine")
    assert receive(whole[1], 4) == b"fine"


def test_connections_opened_in_a_dropping_hole_are_reset_if_they_said_something(play):
    scene = play()
    scene.proxy.blackhole(mode="drop")
    talking, silent = scene.connect(), scene.connect()
    talking.sendall(bytes(16 * MIB))
    scene.proxy.heal()
    assert receive_all(talking) == (b"", "rst")
    silent.sendall(b"first word")
    assert receive(scene.upstream.accept(), 10) == b"first word"
    assert not scene.upstream.has_caller()


def test_dropping_hole_swallows_an_end(play):
    scene = play()
    client, server = scene.pair()
    scene.proxy.blackhole("to_server", mode="drop")
    client.close()
    scene.proxy.wait_for(lambda proxy: happened(proxy, "half-closed"))
    assert is_silent(server)
    scene.proxy.heal()
    assert receive_all(server) == (b"", "rst")


def test_dropping_hole_swallows_what_was_under_way(play):
    scene = play()
    client, server = scene.pair()
    scene.proxy.delay(30)
    client.sendall(b"late")
    assert is_silent(server)
    scene.proxy.blackhole(mode="drop")
    scene.proxy.heal()
    assert receive_all(client) == (b"", "rst")


def test_hole_heals_by_itself_and_new_connections_with_it(play):
    scene = play()
    client, server = scene.pair()
    begun = time.monotonic()
    scene.proxy.blackhole(seconds=0.2)
    client.sendall(b"a")
    newer = scene.connect()
    newer.sendall(b"b")
    assert receive(server, 1) == b"a"
    assert receive(scene.upstream.accept(), 1) == b"b"
    assert time.monotonic() - begun >= 0.2
    newest, behind = scene.pair()
    newest.sendall(b"c")
    assert receive(behind, 1) == b"c"


def test_later_hole_is_not_healed_by_the_end_of_an_earlier_one(play):
    scene = play()
    client, server = scene.pair()
    scene.proxy.blackhole(seconds=0.1)
    scene.proxy.blackhole()
    client.sendall(b"a")
    assert is_silent(server)
    scene.proxy.heal()
    assert receive(server, 1) == b"a"


def test_hole_rule_opens_at_its_byte_and_on_its_connection_alone(play):
    scene = play(Rule(BlackHole("to_server"), connection=1, direction="to_server", after_bytes=5))
    client, server = scene.pair()
    other, behind = scene.pair()
    client.sendall(b"123456789")
    other.sendall(b"123456789")
    assert receive(server, 5) == b"12345"
    assert receive(behind, 9) == b"123456789"
    assert is_silent(server)
    scene.proxy.heal(connection=1)
    assert receive(server, 4) == b"6789"


def test_hole_for_one_connection(play):
    scene = play()
    client, server = scene.pair()
    other, behind = scene.pair()
    scene.proxy.blackhole(connection=2)
    other.sendall(b"x")
    client.sendall(b"y")
    assert receive(server, 1) == b"y"
    assert is_silent(behind)
    newest, its_server = scene.pair()
    newest.sendall(b"z")
    assert receive(its_server, 1) == b"z"


def test_delay_keeps_order_and_the_end_behind_it(play):
    scene = play()
    client, server = scene.pair()
    scene.proxy.delay(0.1, 0.1, direction="to_server")
    begun = time.monotonic()
    data = noise(50_000, 4)
    for start in range(0, len(data), 1000):
        client.sendall(data[start : start + 1000])
    client.shutdown(socket.SHUT_WR)
    server.sendall(b"at once")
    assert receive(client, 7) == b"at once"
    assert receive_all(server) == (data, "fin")
    assert time.monotonic() - begun >= 0.1


def test_delay_can_be_scripted_and_taken_back(play):
    scene = play(Rule(Delay(30), connection=1))
    client, server = scene.pair()
    client.sendall(b"late")
    assert is_silent(server)
    second, behind = scene.pair()
    second.sendall(b"at once")
    assert receive(behind, 7) == b"at once"
    scene.proxy.delay(0.05)
    begun = time.monotonic()
    second.sendall(b"later")
    assert receive(behind, 5) == b"later"
    assert time.monotonic() - begun >= 0.05
    scene.proxy.delay(0)
    third, behind = scene.pair()
    third.sendall(b"now")
    assert receive(behind, 3) == b"now"


def test_delay_of_the_whole_proxy_meets_connections_to_come(play):
    scene = play()
    scene.proxy.delay(0.1)
    client, server = scene.pair()
    begun = time.monotonic()
    client.sendall(b"ping")
    server.sendall(receive(server, 4))
    assert receive(client, 4) == b"ping"
    assert time.monotonic() - begun >= 0.2


@pytest.mark.parametrize("direction", ["to_server", "to_client"])
def test_throttle_holds_its_rate(play, direction):
    rate, size = 200_000, 60_000
    scene = play(Rule(Throttle(rate, direction)))
    client, server = scene.pair()
    sender, receiver = (client, server) if direction == "to_server" else (server, client)
    data = noise(size, 5)
    begun = time.monotonic()
    sender.sendall(data)
    receiver.sendall(b"free")
    assert receive(sender, 4) == b"free"
    assert receive(receiver, size) == data
    assert time.monotonic() - begun >= 0.9 * size / rate


def test_throttle_switch_applies_and_ends_at_once(play):
    scene = play()
    client, server = scene.pair()
    scene.proxy.throttle(50)
    begun = time.monotonic()
    client.sendall(bytes(100_000))
    receive(server, 10)
    assert time.monotonic() - begun >= 0.15
    scene.proxy.throttle(None)
    receive(server, 99_990)
    newer, behind = scene.pair()
    newer.sendall(bytes(100_000))
    receive(behind, 100_000)
