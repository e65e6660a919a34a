"""The signaling of a room (seed 002): the client core with the policy of rooms."""

from typing import Any

import pytest

from rtmcore.client.events import SignalingChanged, TokenHasExpired
from rtmcore.codes import CloseCode, MessageType, RoomErrorCode
from rtmcore.connection.model import SignalingState
from rtmcore.errors import (
    Aborted,
    AlreadyLoggedIn,
    ConnectionFailed,
    InvalidToken,
    LimitExceeded,
    NotLoggedIn,
    RequestTimeout,
    RtmError,
    TokenExpired,
)
from rtmcore.models import ChannelMessage
from rtmcore.wire.packets import (
    Bye,
    ChannelEntry,
    Hello,
    Kicked,
    Publish,
    Ready,
    Refused,
    Restored,
    Roster,
    Sync,
    Top,
)
from tests.core.wires import Bench, Connection, Server, never, refused, welcome

ROOM = "daily"
UP = [("CONNECTING", None), ("CONNECTED", None)]
INTERRUPTED = ("RECONNECTING", 53001)


class RoomServer(Server):
    def accept(self, connection: Connection, hello: Hello) -> None:
        self.fence += 1
        figures = {"media": "media-secret", **self.figures}
        connection.send(welcome(fence=self.fence, resumed=not hello.login, **figures))
        connection.send(Roster(ROOM, 1, 2, ["ann", "bob"]), Restored(ROOM), Ready())
        connection.send(Top(500, 0, ROOM), Top(0, 0))


class RoomBench(Bench):
    def __init__(self, **settings: Any) -> None:
        super().__init__(RoomServer(), **{"kind": "room", "scope": ROOM, **settings})

    @property
    def states(self) -> list[tuple[str, Any]]:
        return [(e.state.name, e.error and int(e.error.code)) for e in self.of(SignalingChanged)]

    @property
    def state(self) -> Any:
        return self.core.session.state


# --- The first connect -----------------------------------------------------------------------------------------


def test_a_connect_is_a_login_of_the_room_s_name_space() -> None:
    bench = RoomBench()
    assert bench.state is SignalingState.NEW
    ticket = bench.login()
    assert ticket.error is None
    assert ticket.operation.name == "connect"
    hello = bench.server.last.hello
    assert hello is not None
    assert (hello.kind, hello.scope, hello.user) == ("room", ROOM, "ann")
    assert bench.states == UP
    assert bench.core.channels == (ROOM,)
    assert bench.core.session.facts.media == "media-secret"


@pytest.mark.parametrize("failure", ["refused", "reset", "busy"])
def test_a_first_connect_is_one_attempt(failure: str) -> None:
    bench = RoomBench()
    if failure == "refused":
        bench.dial = refused
    elif failure == "reset":
        bench.server.on_hello = lambda connection, hello: bench.reset()
    else:
        bench.server.on_hello = lambda connection, hello: connection.close(CloseCode.ENGINE_UNAVAILABLE)
    ticket = bench.login(15.0)
    bench.run(60)
    assert len(bench.opened) == 1
    assert isinstance(ticket.error, ConnectionFailed)
    assert ticket.error.code is RoomErrorCode.SIGNALING_CONNECTION
    assert ticket.error.operation == "connect"
    assert bench.states == [UP[0], ("DISCONNECTED", 53000)]
    with pytest.raises(AlreadyLoggedIn):
        bench.core.login(bench.now)


def test_that_attempt_has_all_of_the_fifteen_seconds() -> None:
    bench = RoomBench()
    bench.server.answer_hello = False
    ticket = bench.login(15.0)
    bench.run(14.9)
    assert not ticket.done
    assert len(bench.opened) == 1
    bench.run(0.1)
    assert isinstance(ticket.error, RequestTimeout)
    assert ticket.error.code is RoomErrorCode.SIGNALING_CONNECTION
    assert not ticket.error.outcome_unknown
    assert "the hello" in str(ticket.error)
    assert bench.states == [UP[0], ("DISCONNECTED", 53000)]
    assert len(bench.opened) == 1


@pytest.mark.parametrize(
    ("code", "detail", "kind", "number"),
    [
        (6, 20104, TokenExpired, 20104),
        (6, 0, TokenExpired, 20104),
        (5, 20107, InvalidToken, 20107),
        (5, 0, InvalidToken, 20101),
        (7, 0, RtmError, 20106),
        (2, 53105, LimitExceeded, 53105),
        (3, 53202, RtmError, 53202),
        (1, 0, ConnectionFailed, 53000),
        (1, 99, ConnectionFailed, 53000),
        (10, 0, RtmError, 53006),
    ],
)
def test_a_refused_connect_has_the_code_of_the_room(
    code: int, detail: int, kind: type[Exception], number: int
) -> None:
    bench = RoomBench()

    def answer(connection: Connection, _: Hello) -> None:
        connection.send(Refused(code, "No.", detail=detail))
        connection.close(CloseCode.LOGIN_REFUSED)

    bench.server.on_hello = answer
    ticket = bench.login()
    assert isinstance(ticket.error, kind)
    assert ticket.error.code is RoomErrorCode(number)
    assert bench.states == [UP[0], ("DISCONNECTED", number)]


def test_a_room_that_does_not_let_the_client_in_fails_the_connect() -> None:
    bench = RoomBench()
    bench.server.on_hello = lambda connection, hello: connection.send(
        welcome(), Restored(ROOM, 1, "Full."), Ready()
    )
    ticket = bench.login()
    assert ticket.error is not None
    assert ticket.error.code is RoomErrorCode.ROOM_CONNECT_FAILED
    assert bench.states == [UP[0], ("DISCONNECTED", 53104)]


# --- Outages ---------------------------------------------------------------------------------------------------


def test_signaling_reconnects_after_four_seconds_and_ends_thirty_seconds_after_the_last_byte() -> None:
    bench = RoomBench().online()
    last = bench.now
    bench.dial = refused
    bench.reset()
    bench.run_to(last + 3.99)
    assert bench.states == []
    bench.run_to(last + 4.0)
    assert bench.states == [INTERRUPTED]
    bench.run_to(last + 29.99)
    assert bench.states == [INTERRUPTED]
    bench.run_to(last + 30.0)
    assert bench.states == [INTERRUPTED, ("DISCONNECTED", 53002)]
    error = bench.of(SignalingChanged)[-1].error
    assert isinstance(error, ConnectionFailed)
    assert isinstance(error.__cause__, ConnectionFailed)
    assert "refused" in str(error)
    attempts = len(bench.opened)
    bench.run(600)
    assert len(bench.opened) == attempts
    assert bench.core.next_deadline() is None


def test_a_return_within_the_time_reconnects() -> None:
    bench = RoomBench().online()
    bench.dial = lambda event: refused(event) if bench.now < 110 else None
    bench.reset()
    bench.run(25)
    assert bench.states == [INTERRUPTED, ("CONNECTED", None)]
    hello = bench.server.last.hello
    assert hello is not None
    assert [(position.ch, position.id) for position in hello.channels] == [(ROOM, 500)]


def test_a_machine_that_slept_through_the_time_tries_once_more() -> None:
    for dial, end in ((lambda event: None, ("CONNECTED", None)), (refused, ("DISCONNECTED", 53002))):
        bench = RoomBench().online()
        bench.dial = dial
        bench.sleep(300)
        bench.core.handle_timer(bench.now)
        bench.turn()
        assert bench.states == [INTERRUPTED, end]


@pytest.mark.parametrize(
    ("code", "detail", "number"), [(6, 20104, 20104), (5, 20107, 53000), (2, 53105, 53000)]
)
def test_a_final_refusal_at_a_return_disconnects(code: int, detail: int, number: int) -> None:
    bench = RoomBench().online()

    def answer(connection: Connection, _: Hello) -> None:
        connection.send(Refused(code, "No.", detail=detail))
        connection.close(CloseCode.LOGIN_REFUSED)

    bench.server.on_hello = answer
    bench.reset()
    bench.run(2)
    assert bench.states == [("DISCONNECTED", number)]
    assert bench.of(TokenHasExpired) == [TokenHasExpired()] * (code == 6)


def test_another_participant_of_the_same_identity_disconnects() -> None:
    bench = RoomBench().online()
    bench.server.last.send(Kicked(8, "Connected elsewhere."))
    bench.server.last.close(CloseCode.REMOTE_LOGIN)
    bench.turn()
    assert bench.states == [("DISCONNECTED", 53205)]
    assert isinstance(bench.of(SignalingChanged)[0].error, Aborted)
    bench.run(60)
    assert len(bench.opened) == 1
    with pytest.raises(Aborted):
        bench.core.publish(ROOM, MessageType.TEXT, b"x", now=bench.now)


# --- The end ---------------------------------------------------------------------------------------------------


def test_disconnect_says_goodbye_and_is_terminal() -> None:
    bench = RoomBench().online()
    ticket = bench.core.logout(bench.now)
    bench.turn()
    assert ticket.error is None
    assert ticket.operation.name == "disconnect"
    assert bench.states == [("DISCONNECTED", None)]
    assert bench.server.last.got(Bye) == [Bye(1)]
    for call in (bench.core.login, bench.core.logout):
        with pytest.raises(RtmError):
            call(bench.now)


def test_disconnect_before_a_connect_and_close_after_the_end() -> None:
    bench = RoomBench()
    with pytest.raises(NotLoggedIn):
        bench.core.logout(bench.now)
    bench.dial = never
    connect = bench.login()
    bench.core.logout(bench.now)
    bench.turn()
    assert connect.error is not None
    assert bench.states == [UP[0], ("DISCONNECTED", None)]
    closed = bench.core.close(bench.now)
    bench.turn()
    assert closed.done
    assert bench.states == [UP[0], ("DISCONNECTED", None)]


# --- Messages to the room --------------------------------------------------------------------------------------


def entry(number: int, prev: int, body: bytes = b"x") -> ChannelEntry:
    return ChannelEntry(ROOM, number, prev, "bob", "instance-of-bob-1", number, 1, body)


def test_a_newcomer_hears_nothing_from_before_and_everything_after() -> None:
    bench = RoomBench().online()
    bench.server.last.send(entry(501, 500), entry(502, 501))
    bench.turn()
    assert [message.id for message in bench.of(ChannelMessage)] == [501, 502]
    assert bench.server.last.got(Sync) == []


def test_a_participant_speaks_to_his_own_room() -> None:
    bench = RoomBench().online()
    bench.core.publish(ROOM, MessageType.TEXT, b"hi", now=bench.now)
    bench.turn()
    assert [(packet.ch, packet.body) for packet in bench.server.last.got(Publish)] == [(ROOM, b"hi")]


def test_the_room_s_messages_survive_a_return() -> None:
    bench = RoomBench().online()
    bench.server.last.send(entry(501, 500))
    bench.turn()
    bench.reset()
    bench.server.on_hello = lambda connection, hello: connection.send(
        welcome(resumed=True), Restored(ROOM), Ready(), entry(502, 501), Top(502, 0, ROOM), Top(0, 0)
    )
    bench.run(1)
    assert [message.id for message in bench.of(ChannelMessage)] == [501, 502]
