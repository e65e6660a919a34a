"""An RTC channel (seed 001): T0 to T7 on wires in memory, its reasons, its users and its frames."""

from typing import Any

import pytest

from rtmcore.client.config import ClientConfig
from rtmcore.client.events import (
    ChannelLost,
    PeerConnectionStateChanged,
    RtcConnectionLost,
    RtcJoined,
    RtcRejoined,
    RtcStateChanged,
    RtcUserJoined,
    RtcUserOffline,
    StreamMessage,
    TokenHasExpired,
)
from rtmcore.client.requests import Ticket
from rtmcore.client.rtc import RtcCore
from rtmcore.codes import CloseCode, LoginError, PeerConnectionState, RtcConnectionState, UserOfflineReason
from rtmcore.errors import (
    Aborted,
    AlreadyLoggedIn,
    Banned,
    ClientClosed,
    ConnectionFailed,
    InvalidAppId,
    InvalidArgument,
    NotLoggedIn,
    RequestTimeout,
    StateError,
    TlsError,
)
from rtmcore.limits import DATA_FRAMES_KEPT, MESSAGE_BYTES
from rtmcore.wire.packets import (
    Bye,
    Data,
    DataEntry,
    Hello,
    Kicked,
    MemberChanged,
    Ready,
    Restored,
    Roster,
    Top,
)
from tests.core.wires import APP, Bench, Connection, Server, never, refused, welcome

CALL = "call"
CONNECTING = ("CONNECTING", "CONNECTING")
JOINED = ("CONNECTED", "JOIN_SUCCESS")
INTERRUPTED = ("RECONNECTING", "INTERRUPTED")
REJOINED = ("CONNECTED", "REJOIN_SUCCESS")
LEFT = ("DISCONNECTED", "LEAVE_CHANNEL")


class CallServer(Server):
    """Joins everybody to the channel right behind the claim, as a node does."""

    def __init__(self) -> None:
        super().__init__()
        self.version = 1
        self.users = ["1"]

    def accept(self, connection: Connection, hello: Hello) -> None:
        self.fence += 1
        figures = {"offline": 20_000, **self.figures}
        connection.send(welcome(fence=self.fence, resumed=not hello.login, **figures))
        known = hello.channels[0].version if hello.channels else -1
        if known != self.version:
            connection.send(Roster(CALL, self.version, len(self.users), list(self.users)))
        connection.send(Restored(CALL))
        connection.send(Ready())
        connection.send(Top(7, 0, CALL), Top(0, 0))

    def enters(self, user: str) -> None:
        self.users.append(user)
        self.changed(user, joined=True)

    def leaves(self, user: str, *, dropped: bool) -> None:
        self.users.remove(user)
        self.changed(user, joined=False, dropped=dropped)

    def changed(self, user: str, *, joined: bool, dropped: bool = False) -> None:
        self.version += 1
        self.last.send(MemberChanged(CALL, user, joined, self.version, len(self.users), dropped))


class RtcBench(Bench):
    """One RTC core, its wires, and the clock."""

    core_class = RtcCore
    core: RtcCore

    def __init__(self, server: Server | None = None, **settings: Any) -> None:
        settings = {"kind": "rtc", "scope": CALL, "user_id": "1", **settings}
        super().__init__(server or CallServer(), **settings)

    def join(self, timeout: float = 10.0) -> Ticket:
        ticket = self.core.join(self.now, timeout)
        self.turn()
        return ticket

    def online(self) -> "RtcBench":
        ticket = self.join()
        assert ticket.done
        assert ticket.error is None, ticket
        self.events.clear()
        self.aggregates.clear()
        return self

    @property
    def states(self) -> list[tuple[str, str]]:
        return [(e.state.name, e.reason.name) for e in self.events if isinstance(e, RtcStateChanged)]

    @property
    def names(self) -> list[str]:
        return [type(event).__name__ for event in self.events]


def away(**settings: Any) -> tuple[RtcBench, float]:
    """In the channel, and then without a network; with the time of the last byte."""
    bench = RtcBench(**settings).online()
    last = bench.now
    bench.dial = refused
    bench.reset()
    return bench, last


# --- T0 to T2: joining -----------------------------------------------------------------------------------------


def test_a_join_is_a_login_of_the_channel_s_name_space() -> None:
    bench = RtcBench(token="tok")
    ticket = bench.join()
    assert (ticket.done, ticket.error, ticket.value) == (True, None, None)
    assert ticket.operation.name == "join"
    hello = bench.server.last.hello
    assert hello is not None
    assert (hello.kind, hello.scope, hello.user, hello.login, hello.channels) == ("rtc", CALL, "1", True, [])
    assert bench.states == [CONNECTING, JOINED]
    assert bench.names == ["RtcStateChanged", "RtcStateChanged", "RtcJoined"]
    assert bench.core.state is RtcConnectionState.CONNECTED
    assert bench.core.connection(bench.now).state is RtcConnectionState.CONNECTED


def test_joined_tells_how_long_it_took_and_then_who_is_there() -> None:
    server = CallServer()
    server.users = ["1", "2", "3"]
    server.answer_hello = False
    bench = RtcBench(server)
    bench.join()
    bench.run(0.2)
    server.accept(server.last, server.last.got(Hello)[0])
    bench.turn()
    assert bench.events[2:] == [
        RtcJoined(CALL, "1", pytest.approx(0.2)),
        RtcUserJoined("2"),
        RtcUserJoined("3"),
    ]
    assert bench.core.users == ("2", "3")


def test_newcomers_are_announced_and_leaving_has_a_reason() -> None:
    bench = RtcBench().online()
    server = bench.server
    assert isinstance(server, CallServer)
    server.enters("2")
    server.enters("3")
    bench.turn()
    server.leaves("2", dropped=False)
    server.leaves("3", dropped=True)
    bench.turn()
    assert bench.events == [
        RtcUserJoined("2"),
        RtcUserJoined("3"),
        RtcUserOffline("2", UserOfflineReason.QUIT),
        RtcUserOffline("3", UserOfflineReason.DROPPED),
    ]
    assert bench.core.users == ()


def test_a_second_join_and_one_of_a_malformed_app_id_are_refused() -> None:
    bench = RtcBench().online()
    with pytest.raises(AlreadyLoggedIn) as caught:
        bench.core.join(bench.now)
    assert caught.value.operation == "join"
    with pytest.raises(InvalidAppId):
        RtcBench(app_id="short").core.join(0.0)
    with pytest.raises(InvalidArgument, match="rtc"):
        RtcCore(
            ClientConfig(endpoints="ws://server.test", app_id=APP, user_id="1"),
            iid="i" * 16,
            random=lambda: 0.5,
            mask_key=lambda: b"mask",
            nonce=lambda: b"n" * 16,
        )


def test_an_invalid_channel_name_fails_without_asking_the_server() -> None:
    bench = RtcBench(scope="x" * 65)
    ticket = bench.join()
    assert isinstance(ticket.error, InvalidArgument)
    assert ticket.error.code is LoginError.INVALID_ARGUMENT
    assert bench.states == [CONNECTING, ("FAILED", "INVALID_CHANNEL_NAME")]
    assert bench.opened == []


# --- T4 to T7: an outage ---------------------------------------------------------------------------------------


def test_a_blip_of_less_than_four_seconds_is_told_to_nobody() -> None:
    bench = RtcBench().online()
    bench.reset()
    bench.run(60)
    assert bench.events == []
    assert len(bench.opened) == 2


def test_the_marks_of_an_outage_count_from_the_last_byte() -> None:
    bench, last = away()
    bench.run_to(last + 3.99)
    assert bench.events == []
    bench.run_to(last + 4.0)
    assert bench.states == [INTERRUPTED]
    assert bench.names == ["RtcStateChanged", "RtcInterrupted"]
    bench.run_to(last + 9.99)
    assert bench.of(RtcConnectionLost) == []
    bench.run_to(last + 10.0)
    assert bench.names[2:] == ["RtcConnectionLost"]
    assert bench.core.connection(bench.now).reason.name == "LOST"
    bench.run_to(last + 1199.9)
    assert bench.names[3:] == []
    bench.run_to(last + 1200.0)
    assert bench.states == [INTERRUPTED, ("FAILED", "JOIN_FAILED")]
    assert bench.names[3:] == ["RtcStateChanged"]
    cause = bench.of(RtcStateChanged)[-1].cause
    assert isinstance(cause, ConnectionFailed)
    assert "1.2e+03 s" in str(cause) or "1200 s" in str(cause)
    attempts = len(bench.opened)
    bench.dial = lambda event: None
    bench.run(3600)
    assert len(bench.opened) == attempts
    assert bench.core.idle
    assert bench.core.next_deadline() is None


def test_a_silent_transport_is_given_up_with_a_goodbye() -> None:
    bench = RtcBench().online()
    bench.dial = never
    bench.server.last.hole_down = True
    bench.run(1200)
    assert bench.states[-1] == ("FAILED", "JOIN_FAILED")
    assert bench.server.last.got(Bye) == [Bye(1)]


def test_connection_lost_is_told_once_an_outage() -> None:
    bench, last = away()
    for outage in (1, 2):
        bench.run_to(last + 100)
        assert len(bench.of(RtcConnectionLost)) == outage
        bench.dial = lambda event: None
        bench.run(9)
        assert bench.core.state is RtcConnectionState.CONNECTED
        last = bench.now
        bench.dial = refused
        bench.reset()


@pytest.mark.parametrize("seconds", [7.0, 15.0, 300.0])
def test_a_return_is_a_rejoin_however_late(seconds: float) -> None:
    bench, last = away()
    bench.run_to(last + seconds)
    bench.dial = lambda event: None
    bench.run(9)
    hello = bench.server.last.hello
    assert hello is not None
    assert (hello.login, [position.ch for position in hello.channels]) == (False, [CALL])
    assert bench.states == [INTERRUPTED, REJOINED]
    (rejoined,) = bench.of(RtcRejoined)
    assert (rejoined.channel, rejoined.uid) == (CALL, "1")
    assert seconds <= rejoined.elapsed <= seconds + 8.5
    assert rejoined.elapsed == pytest.approx(bench.core.connection(bench.now).since - last)


def test_who_came_and_went_meanwhile_is_told_behind_the_rejoin() -> None:
    server = CallServer()
    server.users = ["1", "2", "3"]
    bench = RtcBench(server).online()
    bench.dial = refused
    bench.reset()
    bench.run(6)
    server.users, server.version = ["1", "3", "4"], 5
    bench.dial = lambda event: None
    bench.run(9)
    assert bench.names[2:4] == ["RtcStateChanged", "RtcRejoined"]
    assert len(bench.events) == 6
    # Nobody saw how he left: as the documents have it, he counts as dropped.
    assert bench.events[-2:] == [RtcUserOffline("2", UserOfflineReason.DROPPED), RtcUserJoined("4")]
    assert bench.core.users == ("3", "4")


def test_a_timer_of_the_twenty_minutes_that_fires_late_allows_one_attempt() -> None:
    bench, _ = away()
    bench.run(10)
    bench.sleep(3600)
    bench.dial = lambda event: None
    bench.core.handle_timer(bench.now)
    bench.turn()
    assert bench.states == [INTERRUPTED, REJOINED]

    bench, _ = away()
    bench.run(10)
    bench.sleep(3600)
    bench.core.handle_timer(bench.now)
    bench.turn()
    assert bench.states == [INTERRUPTED, ("FAILED", "JOIN_FAILED")]

    bench, _ = away()
    bench.run(10)
    bench.sleep(3600)
    bench.dial = never
    bench.core.handle_timer(bench.now)
    bench.run(5.9)
    assert bench.states == [INTERRUPTED]
    bench.run(0.2)
    assert bench.states == [INTERRUPTED, ("FAILED", "JOIN_FAILED")]


def test_a_suspended_machine_passes_all_marks_in_their_order() -> None:
    bench = RtcBench().online()
    bench.dial = refused
    bench.sleep(3600)
    bench.core.handle_timer(bench.now)
    bench.turn()
    assert bench.names == ["RtcStateChanged", "RtcInterrupted", "RtcConnectionLost", "RtcStateChanged"]
    assert bench.states == [INTERRUPTED, ("FAILED", "JOIN_FAILED")]


# --- A join that fails -----------------------------------------------------------------------------------------


def test_a_join_without_a_network_is_lost_and_failed_after_ten_seconds() -> None:
    bench = RtcBench()
    bench.dial = refused
    ticket = bench.join()
    bench.run(9.99)
    assert bench.states == [CONNECTING]
    bench.run(0.01)
    assert bench.names[1:] == ["RtcConnectionLost", "RtcStateChanged"]
    assert bench.states == [CONNECTING, ("FAILED", "JOIN_FAILED")]
    assert isinstance(ticket.error, RequestTimeout)
    assert ticket.error.code is LoginError.TIMEOUT
    assert ticket.error.operation == "join"


def test_another_time_for_the_join_moves_its_end() -> None:
    bench = RtcBench()
    bench.dial = refused
    bench.join(timeout=3.0)
    bench.run(3.0)
    assert bench.names[1:] == ["RtcConnectionLost", "RtcStateChanged"]

    bench = RtcBench()
    bench.dial = refused
    ticket = bench.join(timeout=30.0)
    bench.run(10.0)
    assert bench.names[1:] == ["RtcConnectionLost"]
    bench.dial = lambda event: None
    bench.run(9)
    assert ticket.error is None
    assert bench.states == [CONNECTING, JOINED]
    assert len(bench.of(RtcConnectionLost)) == 1


REFUSALS = [
    (2, CloseCode.LOGIN_REFUSED, "REJECTED_BY_SERVER"),
    (2, CloseCode.BANNED, "BANNED_BY_SERVER"),
    (3, CloseCode.LOGIN_REFUSED, "INVALID_CHANNEL_NAME"),
    (4, CloseCode.LOGIN_REFUSED, "INVALID_APP_ID"),
    (5, CloseCode.LOGIN_REFUSED, "INVALID_TOKEN"),
    (6, CloseCode.LOGIN_REFUSED, "TOKEN_EXPIRED"),
    (7, CloseCode.LOGIN_REFUSED, "REJECTED_BY_SERVER"),
]


@pytest.mark.parametrize(("code", "close", "reason"), REFUSALS)
def test_a_refused_join_fails_with_its_reason(code: int, close: int, reason: str) -> None:
    bench = RtcBench()
    bench.server.refuse(code, "No.", close=close)
    ticket = bench.join()
    assert ticket.error is not None
    assert ticket.error.code is LoginError(code)
    assert isinstance(ticket.error, Banned) is (close == CloseCode.BANNED)
    assert bench.states == [CONNECTING, ("FAILED", reason)]
    assert bench.of(RtcConnectionLost) == []
    bench.run(60)
    assert len(bench.opened) == 1


def test_a_join_that_tls_refuses_has_failed() -> None:
    bench = RtcBench()
    bench.dial = lambda event: TlsError("The certificate is for another host.")
    assert isinstance(bench.join().error, TlsError)
    assert bench.states == [CONNECTING, ("FAILED", "JOIN_FAILED")]


def test_a_channel_that_does_not_let_the_client_in_fails_the_join() -> None:
    bench = RtcBench()
    bench.server.on_hello = lambda connection, hello: connection.send(
        welcome(), Restored(CALL, 2, "Full."), Ready()
    )
    ticket = bench.join()
    assert ticket.error is not None
    assert ticket.error.code is LoginError.REJECTED
    assert "Full." in str(ticket.error)
    assert bench.states == [CONNECTING, ("FAILED", "REJECTED_BY_SERVER")]
    assert bench.server.last.got(Bye) == [Bye(1)]
    assert bench.of(ChannelLost) == []


def test_a_channel_that_does_not_let_the_client_in_again_fails() -> None:
    bench = RtcBench().online()
    bench.server.on_hello = lambda connection, hello: connection.send(
        welcome(fence=2), Restored(CALL, 2, "Full."), Ready()
    )
    bench.reset()
    bench.run(1)
    assert bench.states == [("FAILED", "REJECTED_BY_SERVER")]
    assert bench.server.last.got(Bye) == [Bye(2)]
    bench.run(60)
    assert len(bench.opened) == 2
    with pytest.raises(Aborted, match=r"leave\(\), then join\(\)"):
        bench.core.send_stream_message(b"x", bench.now)


# --- A session that ends ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("code", "close", "reason"), REFUSALS)
@pytest.mark.parametrize("moment", ["connected", "reconnecting"])
def test_a_refused_return_fails_with_its_reason(code: int, close: int, reason: str, moment: str) -> None:
    bench = RtcBench().online()
    bench.server.refuse(code, "No.", close=close)
    if moment == "reconnecting":
        bench.dial = lambda event: refused(event) if bench.now < 106 else None
    bench.reset()
    bench.run(20)
    assert bench.states == [INTERRUPTED] * (moment == "reconnecting") + [("FAILED", reason)]
    assert bench.of(TokenHasExpired) == [TokenHasExpired()] * (code == 6)
    attempts = len(bench.opened)
    bench.run(100)
    assert len(bench.opened) == attempts


def test_a_return_that_is_asked_to_come_back_comes_back() -> None:
    bench = RtcBench().online()
    bench.server.refuse(5, "Not now.", close=CloseCode.ENGINE_UNAVAILABLE)
    bench.reset()
    bench.run(6)
    assert bench.states == [INTERRUPTED]
    bench.server.on_hello = bench.server.accept
    bench.run(9)
    assert bench.states == [INTERRUPTED, REJOINED]


@pytest.mark.parametrize(
    ("reason", "close", "name"),
    [
        (8, CloseCode.REMOTE_LOGIN, "SAME_UID_LOGIN"),
        (7, CloseCode.BANNED, "BANNED_BY_SERVER"),
        (9, CloseCode.TOKEN_EXPIRED, "TOKEN_EXPIRED"),
    ],
)
def test_a_kick_fails_for_good_and_only_leave_leaves_it(reason: int, close: int, name: str) -> None:
    bench = RtcBench()
    bench.server.figures = {"token_policy": "abort"}
    bench.online()
    bench.server.last.send(Kicked(reason, "Because."))
    bench.server.last.close(close)
    bench.turn()
    assert bench.states == [("FAILED", name)]
    with pytest.raises(StateError):
        bench.core.join(bench.now)
    with pytest.raises(Aborted) as caught:
        bench.core.send_stream_message(b"x", bench.now)
    assert name in str(caught.value)
    ticket = bench.core.leave(bench.now)
    bench.turn()
    assert ticket.done
    assert ticket.operation.name == "leave"
    assert bench.states == [("FAILED", name), LEFT]
    assert bench.join().error is None


def test_a_server_that_heard_nothing_is_a_keep_alive_timeout() -> None:
    bench = RtcBench().online()
    bench.dial = refused
    bench.server.last.close(CloseCode.HEARTBEAT_TIMEOUT)
    bench.run(5)
    assert bench.states == [("RECONNECTING", "KEEP_ALIVE_TIMEOUT")]


def test_a_renewed_token_is_the_reason_of_the_reconnect_that_it_begins() -> None:
    bench, _ = away(token="old")
    bench.run(6)
    ticket = bench.core.renew_token("new", now=bench.now)
    bench.turn()
    info = bench.core.connection(bench.now)
    assert (info.state.name, info.reason.name) == ("RECONNECTING", "RENEW_TOKEN")
    bench.dial = lambda event: None
    bench.run(4)
    assert bench.states == [INTERRUPTED, REJOINED]
    assert ticket.error is None
    assert bench.server.last.hello is not None
    assert bench.server.last.hello.token == "new"


def test_a_refused_renewal_does_not_fail_the_channel() -> None:
    bench, _ = away(token="old")
    bench.run(6)
    bench.server.refuse(5, "Forged.")
    bench.dial = lambda event: None
    ticket = bench.core.renew_token("new", now=bench.now)
    bench.turn()
    assert ticket.error is not None
    assert bench.states == [INTERRUPTED]
    bench.server.on_hello = bench.server.accept
    bench.run(1)
    assert bench.states == [INTERRUPTED, REJOINED]
    assert bench.server.last.got(Hello)[0].token == "old"


def test_an_expired_token_waits_for_its_provider_instead_of_failing() -> None:
    bench = RtcBench(token_provider=True)
    bench.server.figures = {"now": 1_000_000, "token_expires": 1_060_000}
    bench.join()
    bench.core.token("first", bench.now)
    bench.run(61)
    assert bench.of(TokenHasExpired) == [TokenHasExpired()]
    bench.reset()
    bench.run(2)
    assert bench.server.last.hello is None
    bench.core.token("second", bench.now)
    bench.turn()
    assert bench.server.last.got(Hello)[0].token == "second"
    assert bench.states[-1] == JOINED


# --- Leaving ---------------------------------------------------------------------------------------------------


def test_leave_says_goodbye_and_forgets_who_was_there() -> None:
    server = CallServer()
    server.users = ["1", "2"]
    bench = RtcBench(server).online()
    ticket = bench.core.leave(bench.now)
    bench.turn()
    assert ticket.error is None
    assert bench.states == [LEFT]
    assert server.last.got(Bye) == [Bye(1)]
    assert bench.core.users == ()
    with pytest.raises(NotLoggedIn):
        bench.core.leave(bench.now)
    bench.join()
    assert bench.core.users == ("2",)
    assert bench.of(RtcUserJoined) == [RtcUserJoined("2")]


def test_leave_during_a_join_ends_it() -> None:
    bench = RtcBench()
    bench.dial = never
    join = bench.join()
    bench.core.leave(bench.now)
    bench.turn()
    assert isinstance(join.error, StateError)
    assert "leave() was called during join()" in str(join.error)
    assert bench.states == [CONNECTING, LEFT]


def test_close_is_for_good() -> None:
    bench = RtcBench().online()
    ticket = bench.core.close(bench.now)
    bench.turn()
    assert ticket.done
    assert bench.core.closed
    assert bench.states == [LEFT]
    assert bench.core.peer_connection_state is PeerConnectionState.CLOSED
    with pytest.raises(ClientClosed):
        bench.core.join(bench.now)
    with pytest.raises(ClientClosed):
        bench.core.send_stream_message(b"x", bench.now)


# --- Frames ----------------------------------------------------------------------------------------------------


def test_frames_are_numbered_and_sent_in_order() -> None:
    bench = RtcBench().online()
    for body in (b"a", bytearray(b"b"), memoryview(b"c")):
        bench.core.send_stream_message(body, bench.now)  # type: ignore[arg-type]
    bench.turn()
    assert bench.server.last.got(Data) == [Data(1, b"a"), Data(2, b"b"), Data(3, b"c")]


def test_frames_that_cannot_be_sent_are_refused() -> None:
    bench = RtcBench()
    with pytest.raises(NotLoggedIn):
        bench.core.send_stream_message(b"x", bench.now)
    bench.online()
    with pytest.raises(InvalidArgument):
        bench.core.send_stream_message("text", bench.now)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match=str(MESSAGE_BYTES)):
        bench.core.send_stream_message(bytes(MESSAGE_BYTES + 1), bench.now)
    bench.dial = refused
    bench.reset()
    bench.run(5)
    with pytest.raises(ConnectionFailed) as caught:
        bench.core.send_stream_message(b"x", bench.now)
    assert caught.value.state == "RECONNECTING"


def test_between_two_transports_the_newest_frames_wait_for_the_next_one() -> None:
    bench = RtcBench().online()
    bench.dial = lambda event: refused(event) if bench.now < 102 else None
    bench.reset()
    bench.run(1)
    for number in range(DATA_FRAMES_KEPT + 6):
        bench.core.send_stream_message(b"%d" % number, bench.now)
    bench.run(5)
    assert bench.states == []
    frames = bench.server.last.got(Data)
    assert [frame.n for frame in frames] == list(range(7, DATA_FRAMES_KEPT + 7))


def test_frames_that_waited_for_too_long_are_dropped() -> None:
    bench, _ = away()
    bench.core.send_stream_message(b"old", bench.now)
    bench.run(5)
    bench.dial = lambda event: None
    bench.run(9)
    bench.core.send_stream_message(b"new", bench.now)
    bench.turn()
    assert bench.server.last.got(Data) == [Data(2, b"new")]


def test_frames_of_others_tell_how_many_are_missing() -> None:
    bench = RtcBench().online()
    server = bench.server
    assert isinstance(server, CallServer)
    server.enters("2")
    server.last.send(
        DataEntry("2", 5, b"a"), DataEntry("2", 6, b"b"), DataEntry("2", 9, b"c"), DataEntry("3", 1, b"d")
    )
    bench.turn()
    assert bench.of(StreamMessage) == [
        StreamMessage("2", b"a", 5, 0),
        StreamMessage("2", b"b", 6, 0),
        StreamMessage("2", b"c", 9, 2),
        StreamMessage("3", b"d", 1, 0),
    ]
    assert "b'a'" not in repr(bench.of(StreamMessage)[0])
    # One who left and came back begins anew.
    server.leaves("2", dropped=False)
    server.enters("2")
    server.last.send(DataEntry("2", 50, b"e"))
    bench.turn()
    assert bench.of(StreamMessage)[-1] == StreamMessage("2", b"e", 50, 0)


def test_frames_that_come_before_the_join_is_told_come_behind_it() -> None:
    bench = RtcBench()
    bench.server.on_hello = lambda connection, hello: connection.send(
        welcome(), Roster(CALL, 1, 2, ["1", "2"]), DataEntry("2", 4, b"early"), Restored(CALL), Ready()
    )
    bench.join()
    assert bench.names[1:] == ["RtcStateChanged", "RtcJoined", "RtcUserJoined", "StreamMessage"]


# --- The aggregate ---------------------------------------------------------------------------------------------


def test_the_aggregate_follows_the_outage() -> None:
    bench = RtcBench()
    assert bench.core.peer_connection_state is PeerConnectionState.NEW
    bench.join()
    last = bench.now
    bench.dial = refused
    bench.reset()
    bench.run_to(last + 1200)
    bench.core.leave(bench.now)
    bench.turn()
    assert [(event.previous.value, event.state.value) for event in bench.aggregates] == [
        ("new", "connecting"),
        ("connecting", "connected"),
        ("connected", "disconnected"),
        ("disconnected", "failed"),
        ("failed", "new"),
    ]
    assert all(isinstance(event, PeerConnectionStateChanged) for event in bench.aggregates)
