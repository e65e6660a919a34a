"""When requests leave: at once, or collected behind one that is in flight."""

from typing import Any

import pytest

from rtmcore.client.requests import Ticket
from rtmcore.codes import MessageType
from rtmcore.limits import BATCH_DELAY, BATCH_PACKETS, KIB, MESSAGE_BYTES, PACKETS_PER_FRAME
from rtmcore.wire.packets import (
    Ack,
    Beat,
    Bye,
    ChannelEntry,
    Floor,
    Join,
    Joined,
    Publish,
    Published,
    Ready,
    Roster,
    SendPeer,
    Sync,
)
from tests.core.wires import Bench, HonestServer, welcome


def in_room(**settings: Any) -> Bench:
    bench = Bench(**settings).online()
    ticket = bench.core.join("room", now=bench.now)
    bench.turn()
    bench.server.last.send(Roster("room", 1, 1, ["ann"]), Joined(ticket.request_id or 0, 10))
    bench.turn()
    bench.server.last.frames.clear()
    return bench


def publish(bench: Bench, body: bytes = b"x") -> Ticket:
    return bench.core.publish("room", MessageType.TEXT, body, now=bench.now)


def peer(bench: Bench, body: bytes = b"x") -> Ticket:
    return bench.core.send_peer("bob", MessageType.TEXT, body, now=bench.now)


def frames(bench: Bench) -> list[list[str]]:
    """The packets of each frame so far, floors and beats left out."""
    shown = []
    for frame in bench.server.last.frames:
        names = [type(p).__name__ for p in frame if not isinstance(p, Floor | Beat)]
        if names:
            shown.append(names)
    return shown


def test_an_idle_connection_sends_at_once() -> None:
    bench = in_room()
    publish(bench)
    assert bench.core.data_to_send() != []


def test_further_requests_are_collected_for_two_milliseconds() -> None:
    bench = in_room()
    publish(bench)
    bench.turn()
    publish(bench)
    publish(bench)
    bench.turn()
    assert frames(bench) == [["Publish"]]
    assert bench.core.next_deadline() == pytest.approx(bench.now + BATCH_DELAY)
    bench.run(BATCH_DELAY / 2)
    publish(bench)
    bench.run(BATCH_DELAY / 2 + 1e-6)
    assert frames(bench) == [["Publish"], ["Publish"] * 3]


def test_the_frame_leaves_on_the_next_byte_from_the_server() -> None:
    bench = in_room()
    first = publish(bench)
    bench.turn()
    publish(bench)
    publish(bench)
    bench.server.last.send(Beat())
    bench.turn()
    assert frames(bench) == [["Publish"], ["Publish"] * 2]
    publish(bench)
    bench.server.last.send(Published(first.request_id or 0, 11, 10))
    bench.turn()
    assert frames(bench)[2:] == [["Publish"]]


def test_sixteen_packets_leave() -> None:
    bench = in_room()
    for _ in range(1 + 2 * BATCH_PACKETS + 3):
        publish(bench)
    bench.turn()
    assert frames(bench) == [["Publish"], ["Publish"] * 16, ["Publish"] * 16]
    bench.run(BATCH_DELAY + 1e-6)
    assert frames(bench)[3:] == [["Publish"] * 3]


@pytest.mark.parametrize("subprotocol", ["rtm.v1.msgpack", "rtm.v1.json"])
def test_a_frame_has_64_kib_at_most(subprotocol: str) -> None:
    bench = in_room(subprotocols=(subprotocol,))
    for _ in range(12):
        publish(bench, b"y" * 20_000)
    bench.run(0.01)
    codec = bench.server.last.transport.codec
    for frame in bench.server.last.frames:
        assert len(codec.encode(frame)) <= 64 * KIB
    assert [len(frame) for frame in frames(bench)] == [1, 2, 2, 2, 2, 2, 1]


def test_a_larger_packet_goes_alone_and_order_is_kept() -> None:
    bench = Bench()
    bench.server.figures = {"limits": {"frame": 30 * KIB}}
    bench.online()
    ticket = bench.core.join("room", now=bench.now)
    bench.turn()
    bench.server.last.send(Joined(ticket.request_id or 0, 10))
    bench.turn()
    bench.server.last.frames.clear()
    publish(bench, b"first")
    publish(bench, b"small")
    publish(bench, b"L" * MESSAGE_BYTES)
    publish(bench, b"small again")
    bench.run(0.01)
    published = [[p.body[:5] for p in frame if isinstance(p, Publish)] for frame in bench.server.last.frames]
    assert [frame for frame in published if frame] == [[b"first"], [b"small"], [b"LLLLL"], [b"small"]]


def test_a_frame_never_exceeds_what_the_server_announces() -> None:
    bench = Bench()
    bench.server.figures = {"limits": {"frame": 4 * KIB}}
    bench.online()
    bench.core.join("room", now=bench.now)
    bench.turn()
    bench.server.last.send(Joined(1, 10))
    bench.turn()
    for n in range(40):
        publish(bench, bytes([n]) * 700)
    bench.run(0.01)
    connection = bench.server.last
    assert len(connection.got(Publish)) == 40
    for frame in connection.frames:
        assert len(connection.transport.codec.encode(frame)) <= 4 * KIB


def test_peer_sends_hold_nothing_back() -> None:
    bench = in_room()
    for _ in range(5):
        peer(bench)
    publish(bench)
    bench.turn()
    assert frames(bench) == [["SendPeer"]] * 5 + [["Publish"]]
    # But they are collected behind a request that does hold, in order.
    peer(bench)
    publish(bench)
    bench.run(BATCH_DELAY + 1e-6)
    assert frames(bench)[6:] == [["SendPeer", "Publish"]]


def test_a_request_that_is_over_holds_nothing_back_any_more() -> None:
    bench = in_room()
    ticket = bench.core.publish("room", MessageType.TEXT, b"x", timeout=1.0, now=bench.now)
    bench.run(1.1)
    assert ticket.error is not None
    publish(bench)
    bench.turn()
    assert frames(bench) == [["Publish"], ["Publish"]]


def test_after_the_answers_everything_is_sent_at_once_again() -> None:
    bench = Bench(HonestServer()).online()
    bench.core.join("room", now=bench.now)
    bench.turn()
    for _ in range(50):
        ticket = publish(bench)
        bench.turn()
        assert ticket.done
    assert bench.now == pytest.approx(100.0)


def test_acknowledgements_are_not_held_back_and_take_along_what_waits() -> None:
    bench = Bench(take_messages=False, server=HonestServer()).online()
    bench.server.deliver(b"one")  # type: ignore[attr-defined]
    bench.turn()
    connection = bench.server.last
    bench.core.join("room", now=bench.now)
    bench.core.join("other", now=bench.now)
    connection.hole_down = True
    bench.turn()
    connection.frames.clear()
    bench.core.handed_over(bench.messages[0].id, bench.now)
    bench.turn()
    assert frames(bench) == [["Join", "Ack"]]


def test_one_acknowledgement_for_a_whole_read_turn() -> None:
    server = HonestServer()
    bench = Bench(server).online()
    connection = server.last
    connection.hole_down = True
    for n in range(20):
        server.deliver(str(n).encode())
    bench.turn()
    connection.hole_down = False
    bench.turn()
    acks = connection.got(Ack)
    assert acks[-1].id == server.inbox_top
    assert len(acks) == 1


def test_questions_are_not_held_back() -> None:
    bench = in_room()
    bench.server.last.send(ChannelEntry("room", 30, 20, "bob", "instance-of-bob", 1, 1, b"x"))
    bench.turn()
    assert frames(bench) == [["Sync"]]
    assert bench.server.last.got(Sync) == [Sync(10, "room")]


def test_logout_takes_along_what_waits() -> None:
    bench = in_room()
    publish(bench)
    publish(bench)
    publish(bench)
    bench.core.logout(bench.now)
    bench.turn()
    assert frames(bench) == [["Publish"], ["Publish", "Publish", "Bye"]]


def test_repeats_leave_in_as_few_frames_as_possible() -> None:
    bench = in_room()
    for n in range(200):
        publish(bench, str(n).encode())
    bench.run(0.01)
    bench.server.on_hello = lambda connection, hello: connection.send(welcome(resumed=True), Ready())
    bench.reset()
    bench.turn()
    sizes = [sum(isinstance(p, Publish) for p in frame) for frame in bench.server.last.frames]
    assert sum(sizes) == 200
    assert [size for size in sizes if size] == [64, 64, 64, 8]
    assert all(len(frame) <= PACKETS_PER_FRAME for frame in bench.server.last.frames)


def test_what_was_collected_for_a_dead_transport_goes_to_the_next() -> None:
    bench = in_room()
    publish(bench, b"written")
    publish(bench, b"collected")
    bench.reset()
    bench.turn()
    assert [p.body for p in bench.server.last.got(Publish)] == [b"written", b"collected"]
    bench.run(1)
    assert [p.body for p in bench.server.last.got(Publish)] == [b"written", b"collected"]


def test_joins_are_collected_too() -> None:
    bench = Bench().online()
    for n in range(4):
        bench.core.join(f"room {n}", now=bench.now)
    bench.run(BATCH_DELAY + 1e-6)
    assert [type(p) for p in bench.server.last.frames[-1]] == [Join, Join, Join]


def test_a_sender_with_an_unreachable_peer_is_not_slowed() -> None:
    bench = in_room()
    stuck = peer(bench, b"to nobody")
    bench.turn()
    for n in range(10):
        ticket = publish(bench)
        bench.turn()
        bench.server.last.send(Published(ticket.request_id or 0, 11 + n, 10 + n))
        bench.turn()
        assert ticket.done
    assert not stuck.done
    assert bench.now == pytest.approx(100.0)


def test_a_goodbye_is_the_last_word() -> None:
    bench = Bench(take_messages=False, server=HonestServer()).online()
    bench.server.deliver(b"one")  # type: ignore[attr-defined]
    bench.turn()
    bench.core.logout(bench.now)
    bench.core.handed_over(bench.messages[0].id, bench.now)
    bench.turn()
    assert isinstance(bench.server.last.packets[-1], Bye)


def test_two_clients_that_answer_each_other_are_not_slowed() -> None:
    bench = Bench(HonestServer()).online()
    server = bench.server
    assert isinstance(server, HonestServer)
    for n in range(100):
        server.deliver(str(n).encode())
        peer(bench)
        bench.turn()
    assert bench.now == pytest.approx(100.0)
    assert len(server.last.got(SendPeer)) == 100
