"""Requests that wait for their rate: after an outage, and where the application would rather wait than be refused."""

from typing import Any

import pytest

from rtmcore.client.config import ClientConfig
from rtmcore.codes import ConnectionState, JoinChannelError, MessageType, SendPeerMessageError
from rtmcore.errors import InvalidArgument, RateLimited, RequestTimeout
from rtmcore.wire.packets import (
    Failed,
    GetMemberCounts,
    Join,
    Leave,
    Packet,
    PeerSent,
    Publish,
    SendPeer,
    Subscribe,
    Unsubscribe,
)
from tests.core.wires import APP, URL, Bench, Connection, HonestServer, Server, refused
from tests.simulation.scenario import Scenario

TEXT = MessageType.TEXT


class Clock(Server):
    """Notes when each request comes, and answers messages at once."""

    def __init__(self) -> None:
        super().__init__()
        self.came: list[tuple[float, Packet]] = []

    def packet(self, connection: Connection, packet: Packet) -> None:
        super().packet(connection, packet)
        if hasattr(packet, "i"):
            self.came.append((self.now, packet))
        if isinstance(packet, SendPeer):
            connection.send(PeerSent(packet.i, 0, 1_000_000 + packet.i))

    def times(self, *kinds: type[Any]) -> list[float]:
        return [time for time, packet in self.came if isinstance(packet, kinds)]


def waiting(**settings: Any) -> Bench:
    return Bench(Clock(), rate_limits=True, on_rate_limit="wait", **settings).online()


def most_in(times: list[float], seconds: float) -> int:
    """The largest number of times in any stretch of so many seconds."""
    return max(sum(0 <= other - time < seconds - 1e-9 for other in times) for time in times)


def send(bench: Bench, number: int, timeout: float = 10.0) -> Any:
    return bench.core.send_peer("bob", TEXT, str(number).encode(), timeout=timeout, now=bench.now)


def test_calls_above_the_rate_wait_for_their_turn_in_order() -> None:
    bench = waiting()
    tickets = [send(bench, number) for number in range(400)]
    start = bench.now
    bench.run(0.0)
    assert len(bench.server.times(SendPeer)) == 180
    bench.run(7.0)
    assert all(ticket.done and ticket.error is None for ticket in tickets)
    times = bench.server.times(SendPeer)
    assert most_in(times, 3.0) == 180
    assert times[180] - start == pytest.approx(3.0, abs=0.01)
    bodies = [packet.body for _, packet in bench.server.came if isinstance(packet, SendPeer)]
    assert bodies == [str(number).encode() for number in range(400)]


def test_a_call_that_its_rate_leaves_no_room_for_ends_as_a_timeout_and_was_not_carried_out() -> None:
    bench = waiting()
    for number in range(180):
        send(bench, number)
    late = send(bench, 180, timeout=2.0)
    bench.run(2.5)
    assert isinstance(late.error, RequestTimeout)
    assert late.error.code is SendPeerMessageError.TIMEOUT
    assert not late.error.outcome_unknown
    assert "its rate left no room" in str(late.error)
    bench.run(5.0)
    assert len(bench.server.times(SendPeer)) == 180


def test_a_call_that_waits_can_be_withdrawn() -> None:
    bench = waiting()
    tickets = [send(bench, number) for number in range(182)]
    bench.run(0.5)
    assert not bench.core.cancel(tickets[0], bench.now)
    assert bench.core.cancel(tickets[180], bench.now)
    bench.run(5.0)
    bodies = [packet.body for _, packet in bench.server.came if isinstance(packet, SendPeer)]
    assert bodies[180:] == [b"181"]


def test_joins_of_one_channel_wait_for_their_own_rate_and_hold_back_nothing_else() -> None:
    world = Scenario(rate_limits=True)
    (alice,) = world.login("alice", rate_limits=True, on_rate_limit="wait")
    start = world.time
    for _ in range(2):
        world.join("room", alice)
        leaving = alice.call("leave", "room")
        world.run_for(0.5)
        assert leaving.ok
    third = alice.call("join", "room")
    sent = alice.call("send_peer", "alice", TEXT, b"x")
    world.run_for(0.5)
    assert sent.ok
    assert not third.done
    world.run(start + 5.5)
    assert third.ok


def test_what_follows_on_what_waits_does_not_overtake_it() -> None:
    bench = waiting()
    for number in range(11):
        bench.core.users.subscribe([f"user-{number}"], now=bench.now)
    bench.core.users.unsubscribe(["user-10"], now=bench.now)
    bench.core.channel_info.count_members(["room"], now=bench.now)
    bench.run(1.0)
    assert bench.server.times(Unsubscribe) == []
    assert len(bench.server.times(GetMemberCounts)) == 1
    bench.run(5.0)
    kinds = [type(packet) for _, packet in bench.server.came if isinstance(packet, Subscribe | Unsubscribe)]
    assert kinds == [Subscribe] * 11 + [Unsubscribe]


def test_a_leave_waits_for_the_messages_before_it() -> None:
    server = HonestServer()
    bench = Bench(server, rate_limits=True, on_rate_limit="wait").online()
    bench.core.join("room", now=bench.now)
    bench.run(0.1)
    tickets = [bench.core.publish("room", TEXT, b"x", now=bench.now) for _ in range(200)]
    leave = bench.core.leave("room", now=bench.now)
    bench.run(4.0)
    assert [ticket.error for ticket in [*tickets, leave] if ticket.error or not ticket.done] == []
    order = [type(packet) for packet in server.executed if isinstance(packet, Publish | Leave)]
    assert order == [Publish] * 200 + [Leave]


def test_after_an_outage_the_waiting_calls_are_paced() -> None:
    bench = Bench(Clock(), rate_limits=True).online()
    bench.dial = refused
    bench.reset()
    tickets = []
    for part in range(3):
        tickets += [send(bench, 180 * part + number, timeout=30.0) for number in range(180)]
        bench.run(3.0)
    assert bench.core.state is ConnectionState.RECONNECTING
    bench.dial = lambda event: None
    bench.run(20.0)
    assert all(ticket.done and ticket.error is None for ticket in tickets)
    assert most_in(bench.server.times(SendPeer), 3.0) == 180
    bodies = [packet.body for _, packet in bench.server.came if isinstance(packet, SendPeer)]
    assert bodies == [str(number).encode() for number in range(540)]


def test_repeats_go_at_once_and_do_not_count() -> None:
    bench = Bench(Clock(), rate_limits=True).online()
    bench.hole()
    for number in range(180):
        send(bench, number)
    bench.run(3.5)
    assert len(bench.server.times(SendPeer)) == 180, "on another transport"
    for number in range(180):
        send(bench, number)
    bench.run(0.0)
    assert len(bench.server.times(SendPeer)) == 360


def test_calls_of_a_long_outage_are_never_refused_by_a_server_that_counts() -> None:
    world = Scenario(rate_limits=True)
    alice, _ = world.login("alice", "bob", rate_limits=True)
    alice.hole(12.0)
    world.run_for(4.5)
    calls = []
    for _ in range(3):
        calls += [alice.call("send_peer", "bob", TEXT, b"x", timeout=30.0) for _ in range(180)]
        world.run_for(3.0)
    world.run_for(20.0)
    assert [call.error for call in calls if not call.ok] == []


def test_a_call_above_the_rate_is_refused_unless_it_shall_wait() -> None:
    bench = Bench(Clock(), rate_limits=True).online()
    for number in range(180):
        send(bench, number)
    with pytest.raises(RateLimited):
        send(bench, 180)


def test_refusals_of_the_server_are_told_also_where_calls_wait() -> None:
    bench = waiting()
    join = bench.core.join("room", now=bench.now)
    bench.turn()
    (packet,) = bench.server.last.got(Join)
    bench.server.last.send(Failed(packet.i, JoinChannelError.TOO_OFTEN, "Too often.", 500))
    bench.turn()
    assert isinstance(join.error, RateLimited)
    assert join.error.retry_after == 0.5


def test_only_the_known_ways_are_possible() -> None:
    with pytest.raises(InvalidArgument):
        ClientConfig(endpoints=URL, app_id=APP, user_id="ann", on_rate_limit="hope")
