"""Silence, spare transports, returns, and what comes from transports that do not matter any more."""

from itertools import pairwise

import pytest

from rtmcore.client.events import (
    ChannelLost,
    CloseTransport,
    MemberJoined,
    MemberLeft,
    OpenTransport,
    Purpose,
    StateChanged,
)
from rtmcore.codes import CloseCode, ConnectionState, JoinChannelError, MessageType
from rtmcore.errors import ConnectionFailed, TlsError
from rtmcore.wire.packets import (
    Beat,
    ChannelPosition,
    Hello,
    Joined,
    MemberChanged,
    PeerSent,
    Ready,
    Restored,
    Roster,
    SendPeer,
    Top,
)
from tests.core.wires import Bench, Connection, HonestServer, Server, never, refused, welcome

INTERRUPTED = ("RECONNECTING", "INTERRUPTED")
CONNECTED = ("CONNECTED", "LOGIN_SUCCESS")


# --- Silence ---------------------------------------------------------------------------------------------------


def test_an_idle_connection_stays_up_by_beats_alone() -> None:
    bench = Bench().online()
    bench.run(120)
    assert bench.states == []
    assert len(bench.opened) == 1
    beats = len(bench.server.last.got(Beat))
    assert 75 <= beats <= 81


def test_the_server_announces_the_beat() -> None:
    bench = Bench()
    bench.server.figures = {"beat": 500}
    bench.online()
    bench.run(10)
    assert 19 <= len(bench.server.last.got(Beat)) <= 21


def test_a_spare_transport_is_opened_at_three_seconds_of_silence() -> None:
    bench = Bench().online()
    bench.dial = never
    bench.server.last.hole_down = True
    bench.run(2.99)
    assert len(bench.opened) == 1
    bench.run(0.02)
    assert [event.purpose for event in bench.opened] == [Purpose.LOGIN, Purpose.SPARE]
    assert bench.states == []
    bench.run(0.98)
    assert bench.states == []
    bench.run(0.02)
    assert bench.states == [INTERRUPTED]
    assert "4 s" in str(bench.of(StateChanged)[0].cause)


def test_silence_counts_from_the_last_byte_even_of_an_unfinished_frame() -> None:
    bench = Bench().online()
    connection = bench.server.last
    connection.hole_down = True
    bench.run(2.5)
    bench.core.receive_data(connection.number, b"\x82", bench.now)
    bench.dial = never
    bench.run(2.9)
    assert len(bench.opened) == 1
    bench.run(1.2)
    assert bench.states == [INTERRUPTED]


def test_the_server_announces_the_figures_of_silence() -> None:
    bench = Bench()
    bench.server.figures = {"interrupted": 2000}
    bench.online()
    bench.dial = never
    bench.hole()
    bench.run(1.49)
    assert len(bench.opened) == 1
    bench.run(0.02)
    assert len(bench.opened) == 2
    bench.run(0.48)
    assert bench.states == []
    bench.run(0.02)
    assert bench.states == [INTERRUPTED]


def test_a_transport_replaced_within_four_seconds_changes_no_state() -> None:
    bench = Bench().online()
    bench.hole()
    bench.run(60)
    assert bench.states == []
    assert len(bench.opened) == 2
    hello = bench.server.last.hello
    assert hello is not None
    assert (hello.login, hello.attempt, hello.fence, hello.secret) == (False, 2, 1, "s")
    assert bench.alive == {2}


def test_the_old_transport_lives_until_the_new_one_is_welcomed() -> None:
    bench = Bench().online()
    bench.server.answer_hello = False
    bench.hole()
    bench.run(5)
    assert bench.alive == {1, 2}
    bench.server.last.send(welcome(resumed=True))
    bench.turn()
    assert bench.alive == {2}
    assert bench.states == [INTERRUPTED]
    bench.server.last.send(Ready())
    bench.turn()
    assert bench.states == [INTERRUPTED, CONNECTED]


def test_a_spare_transport_is_dropped_when_the_old_one_speaks_before_its_hello() -> None:
    bench = Bench().online()
    bench.dial = never
    bench.hole()
    bench.run(3.5)
    assert bench.alive == {1, 2}
    bench.hole(bench.server.connections[1], open_=False)
    bench.run(10)
    assert bench.alive == {1}
    assert bench.states == []
    assert len(bench.opened) == 2


def test_an_interrupted_session_goes_on_when_the_old_transport_speaks_again() -> None:
    bench = Bench().online()
    bench.dial = never
    bench.hole()
    bench.run(5)
    ticket = bench.core.send_peer("bob", MessageType.TEXT, b"waits", now=bench.now)
    bench.turn()
    assert not ticket.written
    bench.hole(bench.server.connections[1], open_=False)
    bench.run(1)
    assert bench.states == [INTERRUPTED, CONNECTED]
    assert bench.alive == {1}
    assert [p.body for p in bench.server.connections[1].got(SendPeer)] == [b"waits"]
    bench.run(60)
    assert bench.states == [INTERRUPTED, CONNECTED]


def test_a_spare_transport_whose_hello_is_out_is_followed() -> None:
    bench = Bench().online()
    bench.server.answer_hello = False
    bench.hole()
    bench.run(3.5)
    new, old = bench.server.last, bench.server.connections[1]
    assert new.hello is not None
    bench.hole(old, open_=False)
    bench.run(0.1)
    assert bench.alive == {1, 2}
    old.close(CloseCode.REPLACED)
    bench.turn()
    assert bench.alive == {2}
    assert len(bench.opened) == 2
    new.send(welcome(resumed=True), Ready())
    bench.run(10)
    assert bench.states == []
    assert bench.alive == {2}


def test_a_spare_transport_that_fails_leaves_the_old_one_that_speaks() -> None:
    bench = Bench().online()
    bench.server.answer_hello = False
    bench.hole()
    bench.run(4.5)
    assert bench.states == [INTERRUPTED]
    bench.hole(bench.server.connections[1], open_=False)
    bench.run(0.5)
    assert bench.alive == {1, 2}
    bench.server.last.close(CloseCode.ENGINE_UNAVAILABLE)
    bench.turn()
    assert bench.alive == {1}
    assert bench.states == [INTERRUPTED, CONNECTED]
    bench.run(30)
    assert len(bench.opened) == 2


# --- A transport that ends -------------------------------------------------------------------------------------


def test_a_lost_transport_is_replaced_at_once_and_no_state_changes() -> None:
    bench = Bench().online()
    bench.run(10)
    bench.reset()
    bench.turn()
    assert bench.opened[1].purpose is Purpose.RECONNECT
    assert bench.states == []
    bench.run(30)
    assert bench.states == []


def test_the_state_changes_four_seconds_after_the_last_byte_not_after_the_loss() -> None:
    bench = Bench().online()
    bench.run(10)
    bench.server.last.send(Beat())
    bench.turn()
    heard = bench.now
    bench.hole()
    bench.run(1.0)
    bench.dial = refused
    bench.reset()
    bench.run_to(heard + 3.99)
    assert bench.states == []
    bench.run_to(heard + 4.01)
    assert bench.states == [INTERRUPTED]
    assert "refused" in str(bench.of(StateChanged)[0].cause)


def test_attempts_go_on_for_ever_with_backoff() -> None:
    bench = Bench().online()
    bench.run(5)
    bench.dial = refused
    begun: list[float] = []
    dial = bench.dial

    def noted(event: OpenTransport) -> object:
        begun.append(bench.now)
        return dial(event)

    bench.dial = noted  # type: ignore[assignment]
    bench.reset()
    bench.run(600)
    assert bench.states == [INTERRUPTED]
    waits = [round(later - earlier, 6) for earlier, later in pairwise(begun)]
    assert waits[:7] == [0.25, 0.5, 1, 2, 4, 8, 8]
    assert begun[0] == 105.0
    bench.dial = lambda event: None
    bench.run(8)
    assert bench.states == [INTERRUPTED, CONNECTED]


def test_jitter_comes_from_outside() -> None:
    bench = Bench(jitter=lambda: 0.5).online()
    bench.run(5)
    begun: list[float] = []

    def dial(event: OpenTransport) -> ConnectionFailed:
        begun.append(bench.now)
        return ConnectionFailed("no")

    bench.dial = dial
    bench.reset()
    bench.run(5)
    assert [round(t - 105, 6) for t in begun[:5]] == [0, 0.125, 0.375, 0.875, 1.875]


def test_the_server_s_retry_after_wins() -> None:
    bench = Bench().online()
    bench.run(5)
    bench.server.last.close(CloseCode.SHUTDOWN, '{"r": 2500}')
    bench.turn()
    assert len(bench.opened) == 1
    assert bench.core.connection(bench.now).next_attempt_in == pytest.approx(2.5)
    bench.run(2.6)
    assert len(bench.opened) == 2
    assert bench.states == []


def test_a_server_that_accepts_and_closes_at_once_is_not_hammered() -> None:
    bench = Bench().online()
    server = bench.server

    def answer(connection: Connection, hello: Hello) -> None:
        server.accept(connection, hello)
        connection.close(CloseCode.GOING_AWAY)

    server.on_hello = answer
    bench.reset()
    bench.run(60)
    assert len(bench.opened) < 20


@pytest.mark.parametrize(
    "close",
    [
        1000,
        1001,
        1002,
        1009,
        1011,
        3000,
        4000,
        4003,
        4004,
        4005,
        4006,
        4010,
        4011,
        4012,
        4013,
        4014,
        4499,
        4503,
        4504,
        4600,
    ],
)
def test_a_session_comes_back_after_every_other_close_code(close: int) -> None:
    bench = Bench().online()
    bench.run(5)
    bench.server.last.close(close)
    bench.run(1)
    assert bench.states == []
    assert bench.server.last.number == 2
    assert bench.core.state is ConnectionState.CONNECTED


def test_a_return_survives_every_kind_of_failure() -> None:
    bench = Bench().online()
    failures = iter([TlsError("expired"), ConnectionFailed("refused"), None, None, None])

    def dial(event: OpenTransport) -> ConnectionFailed | None:
        return next(failures, None)

    bench.dial = dial
    bench.server.upgrade_refusal = (503, "Draining.")
    bench.reset()
    bench.run(3)
    bench.server.upgrade_refusal = None
    bench.server.refuse(4, "Unknown app.")
    bench.run(10)
    bench.server.on_hello = bench.server.accept
    bench.run(9)
    assert bench.states == [INTERRUPTED, CONNECTED]


def test_an_attempt_takes_six_seconds_at_most() -> None:
    bench = Bench().online()
    bench.run(5)
    bench.server.answer_hello = False
    bench.reset()
    bench.run(5.9)
    assert len(bench.opened) == 2
    bench.run(0.4)
    assert len(bench.opened) == 3
    assert 2 not in bench.alive


def test_urls_rotate_when_one_falls_silent_or_fails() -> None:
    bench = Bench(endpoints=("ws://one.test", "ws://two.test"))
    bench.online()
    bench.hole()
    bench.run(3.5)
    assert [event.host for event in bench.opened] == ["one.test", "two.test"]
    bench.run(10)
    bench.reset()
    bench.run(1)
    assert [event.host for event in bench.opened] == ["one.test", "two.test", "one.test"]


# --- What must be ignored --------------------------------------------------------------------------------------


def test_what_comes_from_a_replaced_transport_is_ignored() -> None:
    bench = Bench().online()
    ticket = bench.core.send_peer("bob", MessageType.TEXT, b"x", now=bench.now)
    bench.turn()
    old = bench.server.last
    old.hole_down = True
    old.send(PeerSent(1, 0, 7))
    bench.run(3.5)
    assert bench.server.last.number == 2
    late = bytes(old.down) + b"".join(old.transport.data_to_send())
    bench.core.receive_data(1, late, bench.now)
    bench.core.receive_eof(1, bench.now)
    bench.core.transport_failed(1, ConnectionFailed("late"), bench.now)
    bench.core.transport_opened(1, bench.now)
    bench.turn()
    assert not ticket.done
    assert bench.states == []
    assert bench.alive == {2}


def test_inputs_for_unknown_transports_are_ignored() -> None:
    bench = Bench()
    for state in ("DISCONNECTED", "CONNECTED"):
        assert bench.core.state.name == state
        bench.core.receive_data(99, b"x", bench.now)
        bench.core.receive_eof(99, bench.now)
        bench.core.transport_opened(99, bench.now)
        bench.core.transport_failed(99, ConnectionFailed("x"), bench.now)
        bench.core.token("unasked", bench.now)
        bench.core.token_failed(ConnectionFailed("x"), bench.now)
        bench.core.handed_over(5, bench.now)
        bench.core.handle_timer(bench.now)
        if state == "DISCONNECTED":
            bench.online()
    bench.turn()
    assert bench.states == []


def test_each_transport_is_closed_once() -> None:
    # The bench itself asserts that nothing is closed twice.
    bench = Bench(HonestServer()).online()
    for _ in range(10):
        bench.hole()
        bench.run(3.2)
        bench.reset()
        bench.run(2)
    bench.core.close(bench.now)
    bench.run(2)
    assert bench.alive == set()
    assert bench.of(CloseTransport) == []


# --- Restoring -------------------------------------------------------------------------------------------------


def joined(server: Server | None = None) -> Bench:
    bench = Bench(server).online()
    ticket = bench.core.join("room", now=bench.now)
    bench.turn()
    if not ticket.done:
        bench.server.last.send(Roster("room", 5, 3, ["ann", "bob", "cy"]), Joined(ticket.request_id or 0, 70))
        bench.turn()
    assert ticket.error is None
    bench.events.clear()
    return bench


def test_the_hello_of_a_return_carries_positions_and_versions() -> None:
    bench = joined()
    bench.reset()
    bench.turn()
    hello = bench.server.last.hello
    assert hello is not None
    assert hello.channels == [ChannelPosition("room", 70, 5)]
    assert hello.inbox == 0
    assert hello.floor == 2


def test_connected_waits_for_ready_but_not_longer_than_five_seconds() -> None:
    bench = joined()
    bench.dial = refused
    bench.reset()
    bench.run(5)
    assert bench.states == [INTERRUPTED]
    bench.dial = lambda event: None
    bench.server.on_hello = lambda connection, hello: connection.send(welcome(resumed=True))
    bench.run(4)
    assert bench.states == [INTERRUPTED]
    bench.server.last.send(Restored("room"))
    bench.run(5.5)
    assert bench.states == [INTERRUPTED, CONNECTED]


def test_a_channel_that_refuses_is_reported_and_holds_nothing_back() -> None:
    bench = joined()

    def answer(connection: Connection, hello: Hello) -> None:
        connection.send(welcome(), Restored("room", 2, "No longer allowed."), Ready())

    bench.server.on_hello = answer
    bench.reset()
    bench.turn()
    assert bench.events == [ChannelLost("room", JoinChannelError.REJECTED, "No longer allowed.")]
    assert bench.core.channels == ()


def test_members_who_came_and_went_meanwhile_are_announced() -> None:
    bench = joined()

    def answer(connection: Connection, hello: Hello) -> None:
        connection.send(
            welcome(resumed=True), Roster("room", 9, 3, ["ann", "cy", "dora"]), Restored("room"), Ready()
        )

    bench.server.on_hello = answer
    bench.reset()
    bench.turn()
    assert bench.events == [MemberLeft("room", "bob", 3), MemberJoined("room", "dora", 3)]


def test_a_restart_of_the_server_announces_only_who_does_not_come_back_in_30_seconds() -> None:
    bench = joined()

    def answer(connection: Connection, hello: Hello) -> None:
        connection.send(
            welcome(epoch="e2"),
            Roster("room", 1, 2, ["ann", "eve"]),
            Restored("room"),
            Ready(),
            Top(0, 0, "room"),
            Top(0, 0),
        )

    bench.server.on_hello = answer
    bench.reset()
    bench.turn()
    # Eve is new; Bob and Cy have time to come back.
    assert bench.events == [MemberJoined("room", "eve", 2)]
    bench.events.clear()
    bench.run(10)
    bench.server.last.send(MemberChanged("room", "bob", True, 2, 3))
    bench.run(19.5)
    assert bench.events == []
    bench.run(1)
    assert bench.events == [MemberLeft("room", "cy", 3)]
    bench.server.last.send(MemberChanged("room", "cy", True, 3, 4))
    bench.turn()
    assert bench.events[1:] == [MemberJoined("room", "cy", 4)]


def test_nobody_is_announced_as_gone_while_the_client_itself_is_away() -> None:
    bench = joined()

    def answer(connection: Connection, hello: Hello) -> None:
        connection.send(welcome(epoch="e2"), Roster("room", 1, 1, ["ann"]), Restored("room"), Ready())

    bench.server.on_hello = answer
    bench.reset()
    bench.run(10)
    bench.dial = refused
    bench.reset()
    bench.run(30)
    assert bench.of(MemberLeft) == []

    def second(connection: Connection, hello: Hello) -> None:
        connection.send(
            welcome(epoch="e2", resumed=True), Roster("room", 4, 2, ["ann", "bob"]), Restored("room"), Ready()
        )

    bench.server.on_hello = second
    bench.dial = lambda event: None
    bench.run(10)
    assert bench.of(MemberLeft) == [MemberLeft("room", "cy", 2)]
    assert bench.of(MemberJoined) == []


def test_a_session_that_was_over_counts_as_restored_too() -> None:
    bench = joined()
    bench.server.accept = lambda connection, hello: None  # type: ignore[method-assign]
    bench.server.on_hello = lambda connection, hello: connection.send(
        welcome(resumed=False, fence=2), Restored("room"), Ready()
    )
    bench.dial = refused
    bench.reset()
    bench.run(40)
    bench.dial = lambda event: None
    bench.run(9)
    assert bench.states == [INTERRUPTED, CONNECTED]
    assert bench.core.channels == ("room",)


def test_a_transport_lost_while_restoring_is_replaced_again() -> None:
    bench = joined()
    bench.dial = refused
    bench.reset()
    bench.run(5)
    bench.dial = lambda event: None
    bench.server.on_hello = lambda connection, hello: connection.send(welcome(resumed=True))
    bench.run(4)
    bench.server.on_hello = bench.server.accept
    bench.reset()
    bench.run(9)
    assert bench.states == [INTERRUPTED, CONNECTED]


def test_a_restoring_transport_that_falls_silent_gets_a_spare_one() -> None:
    bench = joined()
    bench.dial = refused
    bench.reset()
    bench.run(5)
    bench.dial = lambda event: None

    def answer(connection: Connection, hello: Hello) -> None:
        connection.send(welcome(resumed=True))

    bench.server.on_hello = answer
    bench.run(3)
    first = bench.server.last
    assert first.hello is not None
    bench.hole(first)
    bench.server.on_hello = bench.server.accept
    bench.run(4.6)
    assert bench.server.last.number > first.number
    assert bench.states == [INTERRUPTED, CONNECTED]
    assert bench.alive == {bench.server.last.number}
