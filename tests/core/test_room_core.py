"""A room (seed 002) on wires in memory: its state of two transports, how it ends, its aggregate."""

from collections.abc import Callable
from itertools import pairwise, product

import pytest

from rtmcore.client.config import ClientConfig
from rtmcore.client.events import (
    DataReceived,
    PeerConnectionStateChanged,
    Purpose,
    RoomDisconnected,
    SignalingChanged,
    TokenHasExpired,
)
from rtmcore.client.media import MEDIA_LINK_BASE, is_media
from rtmcore.client.room import RoomCore
from rtmcore.codes import (
    CloseCode,
    ConnectionChangeReason,
    IceTransportState,
    LoginError,
    MessageType,
    ParticipantState,
    PeerConnectionState,
    RoomErrorCode,
    RoomState,
)
from rtmcore.connection.model import SignalingState
from rtmcore.connection.room_state import ROOM_STATE_TABLE, VIEWS, RoomEffect, RoomInput
from rtmcore.errors import (
    Aborted,
    AlreadyLoggedIn,
    ClientClosed,
    ConnectionFailed,
    InvalidArgument,
    NotLoggedIn,
    TlsError,
    TokenExpired,
)
from rtmcore.limits import ROOM_MEDIA_BEAT
from rtmcore.models import PublishResult
from rtmcore.wire.packets import (
    Bye,
    Data,
    DataEntry,
    Hello,
    Kicked,
    MediaHello,
    MediaWelcome,
    Refused,
)
from tests.core.rooms import ROOM, RoomBench, bench_in_room
from tests.core.wires import Connection, never, refused

Ice = IceTransportState


# --- The tables ------------------------------------------------------------------------------------------------

ICE_UP = (Ice.CONNECTED, Ice.COMPLETED, Ice.DISCONNECTED, Ice.CLOSED)
ICE_STARTING = (Ice.NEW, Ice.CHECKING)


def expected_view(signaling: SignalingState, ice: Ice, failed: bool) -> RoomState:
    """The documented rules in their order (rtm-facts 4.3)."""
    if signaling is SignalingState.DISCONNECTED:
        return RoomState.DISCONNECTED
    if signaling is SignalingState.RECONNECTING or ice is Ice.FAILED:
        return RoomState.RECONNECTING
    if ice in ICE_STARTING:
        return RoomState.RECONNECTING if failed else RoomState.CONNECTED
    return RoomState.CONNECTED


TOLD = {
    (RoomState.CONNECTED, RoomState.CONNECTED): {RoomEffect.NOTHING},
    (RoomState.CONNECTED, RoomState.RECONNECTING): {RoomEffect.REPORT_SIGNALING, RoomEffect.REPORT_MEDIA},
    (RoomState.RECONNECTING, RoomState.RECONNECTING): {RoomEffect.NOTHING},
    (RoomState.RECONNECTING, RoomState.CONNECTED): {RoomEffect.REPORT_BACK},
    (RoomState.CONNECTED, RoomState.DISCONNECTED): {RoomEffect.REPORT_END},
    (RoomState.RECONNECTING, RoomState.DISCONNECTED): {RoomEffect.REPORT_END},
    (RoomState.DISCONNECTED, RoomState.DISCONNECTED): {RoomEffect.NOTHING},
}


@pytest.mark.parametrize("state", RoomState)
def test_the_full_product_of_signaling_media_and_flag(state: RoomState) -> None:
    signalings = (SignalingState.CONNECTED, SignalingState.RECONNECTING, SignalingState.DISCONNECTED)
    for signaling, ice, failed in product(signalings, Ice, (False, True)):
        rule = ROOM_STATE_TABLE.rule(state, VIEWS[signaling, ice, failed])
        target = expected_view(signaling, ice, failed)
        if state is RoomState.DISCONNECTED:
            target = state
        assert rule.target is target, (signaling, ice, failed)
        assert rule.effect in TOLD[state, target]
        if rule.effect is RoomEffect.REPORT_SIGNALING:
            assert signaling is SignalingState.RECONNECTING
        if rule.effect is RoomEffect.REPORT_MEDIA:
            assert signaling is SignalingState.CONNECTED


def test_the_tables_have_every_combination_and_no_other() -> None:
    assert set(ROOM_STATE_TABLE.rules) == set(product(RoomState, RoomInput))
    assert len(VIEWS) == 3 * len(Ice) * 2
    assert ROOM_STATE_TABLE.initial is RoomState.CONNECTED


# --- The first connect (4.1) -----------------------------------------------------------------------------------


def test_the_room_is_there_when_signaling_stands_and_media_opens_behind_it() -> None:
    bench = RoomBench()
    assert bench.core.state is None
    assert (bench.core.signaling_state, bench.core.media_state) == (SignalingState.NEW, Ice.NEW)
    bench.server.answer_media = False
    ticket = bench.enter()
    assert ticket.done
    assert ticket.error is None
    assert bench.core.state is RoomState.CONNECTED
    assert (bench.core.signaling_state, bench.core.media_state) == (SignalingState.CONNECTED, Ice.CHECKING)
    assert [event.purpose for event in bench.opened] == [Purpose.LOGIN, Purpose.MEDIA]
    assert bench.opened[1].id == MEDIA_LINK_BASE + 1
    hello = bench.media.got(MediaHello)[0]
    assert (hello.user, hello.scope, hello.fence, hello.secret) == ("ann", ROOM, 1, "media-1")
    assert bench.events == []


def test_those_who_are_there_are_found_and_not_told_of() -> None:
    bench = RoomBench()
    bench.server.users = ["ann", "bob", "cy"]
    bench.server.away = ["cy"]
    bench.enter()
    assert bench.core.participants == {
        "bob": ParticipantState.CONNECTED,
        "cy": ParticipantState.RECONNECTING,
    }
    assert bench.events == []


@pytest.mark.parametrize("failure", ["refused", "reset", "silent"])
def test_a_first_connect_is_one_attempt_and_no_room(failure: str) -> None:
    bench = RoomBench()
    if failure == "refused":
        bench.dial = refused
    elif failure == "silent":
        bench.dial = never
    else:
        bench.server.on_hello = lambda connection, hello: bench.reset(connection)
    ticket = bench.enter()
    bench.run(60)
    assert ticket.done
    assert ticket.error is not None
    assert ticket.error.code is RoomErrorCode.SIGNALING_CONNECTION
    assert len(bench.opened) == 1
    assert bench.core.state is None
    assert bench.core.idle
    assert bench.events == []
    with pytest.raises(Aborted, match="make another"):
        bench.core.connect(bench.now)


@pytest.mark.parametrize(
    ("code", "detail", "expected"),
    [
        (LoginError.TOKEN_EXPIRED, 0, RoomErrorCode.ACCESS_TOKEN_EXPIRED),
        (LoginError.INVALID_TOKEN, 20107, RoomErrorCode.ACCESS_TOKEN_SIGNATURE_INVALID),
        (LoginError.REJECTED, 53105, RoomErrorCode.ROOM_MAX_PARTICIPANTS_EXCEEDED),
        (LoginError.TOO_OFTEN, 0, RoomErrorCode.SIGNALING_SERVER_BUSY),
        (LoginError.REJECTED, 0, RoomErrorCode.SIGNALING_CONNECTION),
    ],
)
def test_a_refused_connect_has_the_code_of_the_catalogue(code: int, detail: int, expected: int) -> None:
    bench = RoomBench()

    def refuse(connection: Connection, _: Hello) -> None:
        connection.send(Refused(code, "No.", None, detail))
        connection.close(CloseCode.LOGIN_REFUSED)

    bench.server.on_hello = refuse
    ticket = bench.enter()
    assert ticket.error is not None
    assert ticket.error.code is expected
    assert bench.core.state is None


def test_media_that_is_late_is_no_event() -> None:
    bench = RoomBench()
    bench.unreachable.add(Purpose.MEDIA)
    bench.enter()
    bench.run(14)
    assert bench.core.state is RoomState.CONNECTED
    bench.heal()
    bench.run(8)
    assert bench.core.media_state is Ice.CONNECTED
    assert bench.events == []


def test_media_that_never_comes_up_is_reconnecting_after_fifteen_and_the_end_after_thirty_seconds() -> None:
    bench = RoomBench()
    begun = bench.now
    bench.unreachable.add(Purpose.MEDIA)
    bench.enter()
    bench.run_to(begun + 14.9)
    assert bench.codes == []
    bench.run_to(begun + 15.1)
    assert bench.codes == [("reconnecting", 53405)]
    bench.run_to(begun + 29.9)
    assert bench.codes == [("reconnecting", 53405)]
    bench.run_to(begun + 30.1)
    assert bench.codes == [("reconnecting", 53405), ("disconnected", 53405)]


def test_connecting_twice_is_refused() -> None:
    bench = RoomBench()
    bench.server.answer_hello = False
    bench.enter()
    with pytest.raises(AlreadyLoggedIn):
        bench.core.connect(bench.now)


def test_settings_of_another_kind_are_refused() -> None:
    config = ClientConfig(endpoints="ws://x", app_id="a" * 32, user_id="ann")
    with pytest.raises(InvalidArgument, match="room"):
        RoomCore(config, iid="i" * 16, random=lambda: 0.5, mask_key=lambda: b"1234", nonce=lambda: b"n" * 16)


# --- Reconnecting (4.2, 4.3) -----------------------------------------------------------------------------------


def test_signaling_alone_is_53001_after_four_seconds_and_media_goes_on() -> None:
    bench = bench_in_room()
    bench.lose_signaling()
    last = bench.now
    bench.run(3.5)
    assert bench.codes == []
    bench.run(0.6)
    assert bench.codes == [("reconnecting", 53001)]
    assert bench.core.state is RoomState.RECONNECTING
    assert bench.core.signaling_state is SignalingState.RECONNECTING
    assert bench.core.media_state is Ice.CONNECTED
    bench.core.send_data("t", b"on its way", bench.now)
    bench.turn()
    assert [frame.body for frame in bench.media.got(Data)] == [b"on its way"]
    bench.media.send(DataEntry("bob", 1, b"back", "t"))
    bench.turn()
    assert bench.of(DataReceived) == [DataReceived("bob", "t", b"back", 1)]
    bench.run_to(last + 15)
    bench.heal()
    bench.run(8)
    assert bench.codes == [("reconnecting", 53001), ("reconnected", None)]
    assert len(bench.media_opened) == 1, "media survives a resume"


def test_media_alone_is_53405_after_three_seconds_and_signaling_goes_on() -> None:
    bench = bench_in_room()
    bench.lose_media()
    bench.run(2.8)
    assert bench.codes == []
    bench.run(0.3)
    assert bench.codes == [("reconnecting", 53405)]
    assert bench.core.signaling_state is SignalingState.CONNECTED
    assert bench.core.media_state is Ice.FAILED
    ticket = bench.core.send(MessageType.TEXT, b"hello", now=bench.now)
    bench.turn()
    assert ticket.value == PublishResult(501)
    bench.heal()
    bench.run(8)
    assert bench.codes == [("reconnecting", 53405), ("reconnected", None)]


def test_media_that_is_connected_again_is_still_reconnecting() -> None:
    bench = bench_in_room()
    bench.lose_media()
    bench.run(11)
    assert bench.core.media_state is Ice.CHECKING
    assert bench.core.state is RoomState.RECONNECTING
    assert bench.codes == [("reconnecting", 53405)]


def test_a_short_blip_of_media_is_no_event() -> None:
    bench = bench_in_room()
    bench.unreachable.add(Purpose.MEDIA)
    bench.reset(bench.media)
    bench.turn()
    assert bench.core.media_state is Ice.DISCONNECTED
    assert bench.core.state is RoomState.CONNECTED
    bench.run(2)
    assert bench.events == []


@pytest.mark.parametrize("first", ["signaling", "media"])
def test_a_second_cause_is_no_event_and_both_have_to_be_over(first: str) -> None:
    bench = bench_in_room()
    losses: list[Callable[[], None]] = [bench.lose_signaling, bench.lose_media]
    if first == "media":
        losses.reverse()
    losses[0]()
    bench.run(5)
    losses[1]()
    bench.run(5)
    assert bench.codes == [("reconnecting", 53001 if first == "signaling" else 53405)]
    # Only signaling comes back.
    bench.unreachable = {Purpose.MEDIA}
    bench.hole(bench.signaling, open_=False)
    bench.run(8)
    assert bench.core.signaling_state is SignalingState.CONNECTED
    assert len(bench.codes) == 1
    bench.heal()
    bench.run(8)
    assert [what for what, _ in bench.codes] == ["reconnecting", "reconnected"]


def test_the_state_is_the_new_one_when_it_is_told() -> None:
    bench = bench_in_room()
    bench.lose_media()
    bench.run(4)
    bench.heal()
    bench.run(8)
    bench.core.disconnect(bench.now)
    bench.run(2)
    assert bench.states_told == [RoomState.RECONNECTING, RoomState.CONNECTED, RoomState.DISCONNECTED]


def test_a_new_session_has_a_new_media_connection_at_once() -> None:
    bench = bench_in_room()
    bench.server.fence += 5
    bench.reset(bench.signaling)
    bench.turn()
    assert bench.core.signaling_state is SignalingState.CONNECTED
    hellos = [c.got(MediaHello)[0] for n, c in bench.server.connections.items() if is_media(n)]
    assert [(hello.fence, hello.secret, hello.attempt) for hello in hellos] == [
        (1, "media-1", 1),
        (7, "media-7", 2),
    ]
    assert bench.core.media_state is Ice.CONNECTED
    assert bench.codes == []


def test_media_without_its_session_comes_back_until_signaling_has_one() -> None:
    bench = bench_in_room()
    bench.server.media_close = CloseCode.NO_SESSION
    bench.media.close(CloseCode.NO_SESSION)
    bench.run(10)
    assert bench.codes == [("reconnecting", 53405)]
    assert len(bench.media_opened) > 3
    bench.server.media_close = None
    bench.run(8)
    assert bench.codes[-1] == ("reconnected", None)


def test_a_media_secret_is_in_no_repr() -> None:
    bench = bench_in_room()
    assert "media-1" not in repr(bench.media.packets) + repr(bench.opened) + repr(vars(bench.core))


# --- How it ends (4.5) -----------------------------------------------------------------------------------------


def test_one_s_own_disconnect_is_without_an_error_and_says_goodbye() -> None:
    bench = bench_in_room()
    media = bench.media
    ticket = bench.core.disconnect(bench.now)
    bench.turn()
    assert ticket.done
    assert ticket.error is None
    assert bench.signaling.got(Bye) == [Bye(1)]
    assert bench.codes == [("disconnected", None)]
    assert media.gone
    assert bench.core.idle
    assert bench.core.participants == {}
    assert len(bench.media_opened) == 1
    bench.run(60)
    assert len(bench.opened) == 2


def test_signaling_away_for_thirty_seconds_is_53002() -> None:
    bench = bench_in_room()
    last = bench.now
    bench.lose_signaling()
    bench.run(29)
    assert bench.codes == [("reconnecting", 53001)]
    bench.run_to(last + 30.1)
    assert bench.codes == [("reconnecting", 53001), ("disconnected", 53002)]
    assert bench.core.media_state is Ice.CLOSED
    bench.run(5)
    assert bench.core.idle


def test_media_away_for_thirty_seconds_is_53405_and_says_goodbye() -> None:
    bench = bench_in_room()
    last = bench.now
    bench.lose_media()
    bench.run(28.9)
    assert bench.codes == [("reconnecting", 53405)]
    bench.run_to(last + 30.1)
    assert bench.codes == [("reconnecting", 53405), ("disconnected", 53405)]
    assert bench.signaling.got(Bye) == [Bye(1)]
    assert isinstance(bench.of(RoomDisconnected)[0].error, ConnectionFailed)
    bench.run(5)
    assert bench.core.idle


def test_while_both_are_away_signaling_is_judged_and_media_has_an_attempt_s_time_afterwards() -> None:
    bench = bench_in_room()
    last = bench.now
    bench.lose_media()
    bench.lose_signaling()
    bench.run_to(last + 29.5)
    bench.unreachable = {Purpose.MEDIA}
    bench.hole(bench.signaling, open_=False)
    bench.run(0.2)
    back = bench.now
    assert bench.core.signaling_state is SignalingState.CONNECTED
    bench.run_to(back + 5.5)
    assert [what for what, _ in bench.codes] == ["reconnecting"]
    bench.run_to(back + 6.1)
    assert bench.codes[1:] == [("disconnected", 53405)]


def test_both_away_for_thirty_seconds_is_53002() -> None:
    bench = bench_in_room()
    bench.lose_media()
    bench.lose_signaling()
    bench.run(31)
    assert bench.codes == [("reconnecting", 53405), ("disconnected", 53002)]


def test_an_unseen_outage_allows_one_more_attempt() -> None:
    bench = bench_in_room()
    bench.lose_media()
    bench.run(10)
    bench.sleep(60)
    bench.heal()
    bench.core.handle_timer(bench.now)
    bench.run(5)
    assert bench.codes[-1] == ("reconnected", None)


def test_a_token_that_has_expired_at_a_reconnect_is_20104() -> None:
    bench = bench_in_room(token="old")
    bench.server.refuse(LoginError.TOKEN_EXPIRED, "The token has expired.")
    bench.reset(bench.signaling)
    bench.run(1)
    assert bench.codes == [("disconnected", 20104)]
    assert isinstance(bench.of(RoomDisconnected)[0].error, TokenExpired)
    assert bench.core.idle


def test_a_final_refusal_is_53000() -> None:
    bench = bench_in_room()
    bench.server.refuse(LoginError.NOT_AUTHORIZED, "Not here.")
    bench.reset(bench.signaling)
    bench.run(1)
    assert bench.codes == [("disconnected", 53000)]
    assert "Not here." in str(bench.of(RoomDisconnected)[0].error)


def test_a_ban_is_53000() -> None:
    bench = bench_in_room()
    bench.signaling.send(Kicked(ConnectionChangeReason.BANNED_BY_SERVER, "spam"))
    bench.signaling.close(CloseCode.BANNED)
    bench.run(1)
    assert bench.codes == [("disconnected", 53000)]


def test_a_server_that_stays_busy_is_53006() -> None:
    bench = bench_in_room()
    bench.server.refuse(LoginError.TOO_OFTEN, "Too many connect.", CloseCode.TOO_MANY_REQUESTS, retry=1000)
    bench.reset(bench.signaling)
    bench.run(40)
    assert bench.codes == [("reconnecting", 53001), ("disconnected", 53006)]


def test_a_duplicate_identity_is_53205() -> None:
    bench = bench_in_room()
    bench.signaling.send(Kicked(ConnectionChangeReason.REMOTE_LOGIN))
    bench.signaling.close(CloseCode.REMOTE_LOGIN)
    bench.run(60)
    assert bench.codes == [("disconnected", 53205)]
    assert isinstance(bench.of(RoomDisconnected)[0].error, Aborted)
    assert len(bench.opened) == 2


def test_tls_of_media_that_fails_is_53407() -> None:
    bench = RoomBench(endpoints="wss://server.test")
    bench.refusals[Purpose.MEDIA] = TlsError("The certificate is not trusted.")
    ticket = bench.enter()
    assert ticket.done
    bench.run(2)
    assert bench.codes == [("disconnected", 53407)]
    assert "not trusted" in str(bench.of(RoomDisconnected)[0].error)
    assert bench.core.idle


def test_tls_of_media_that_fails_on_the_way_back_is_53405() -> None:
    bench = bench_in_room(endpoints="wss://server.test")
    bench.refusals[Purpose.MEDIA] = TlsError("A captive portal.")
    bench.reset(bench.media)
    bench.run(31)
    assert bench.codes == [("reconnecting", 53405), ("disconnected", 53405)]


def test_after_the_end_everything_fails_with_the_reason() -> None:
    bench = bench_in_room()
    bench.lose_signaling()
    bench.run(6)
    waiting = bench.core.send(MessageType.TEXT, b"waits", timeout=60, now=bench.now)
    bench.run(30)
    assert isinstance(waiting.error, Aborted)
    for call in (
        lambda: bench.core.send(MessageType.TEXT, b"late", now=bench.now),
        lambda: bench.core.send_data("t", b"late", bench.now),
    ):
        with pytest.raises(Aborted, match="away for too long"):
            call()
    for call in (
        lambda: bench.core.renew_token("t", now=bench.now),
        lambda: bench.core.connect(bench.now),
        lambda: bench.core.disconnect(bench.now),
    ):
        with pytest.raises((Aborted, NotLoggedIn)):
            call()


def test_calls_before_the_connect_fail() -> None:
    bench = RoomBench()
    for call in (
        lambda: bench.core.send(MessageType.TEXT, b"early", now=bench.now),
        lambda: bench.core.send_data("t", b"early", bench.now),
        lambda: bench.core.disconnect(bench.now),
    ):
        with pytest.raises(NotLoggedIn):
            call()


def test_close_ends_both_transports() -> None:
    bench = bench_in_room()
    ticket = bench.core.close(bench.now)
    bench.turn()
    assert ticket.done
    assert bench.core.closed
    assert bench.core.idle
    assert bench.core.peer_connection_state is PeerConnectionState.CLOSED
    assert bench.codes == [("disconnected", None)]
    assert bench.aggregates == []
    assert bench.signaling.got(Bye) == [Bye(1)]
    with pytest.raises(ClientClosed):
        bench.core.connect(bench.now)
    with pytest.raises(ClientClosed):
        bench.core.send_data("t", b"late", bench.now)


# --- The aggregate, and the whole -------------------------------------------------------------------------------


def test_the_aggregate_is_made_of_both_transports() -> None:
    bench = RoomBench()
    assert bench.core.peer_connection_state is PeerConnectionState.NEW
    bench.server.answer_media = False
    bench.enter()
    assert bench.core.peer_connection_state is PeerConnectionState.CONNECTING
    bench.media.send(MediaWelcome(beat=1000, interrupted=3000))
    bench.media.transport.beat_interval = ROOM_MEDIA_BEAT
    bench.turn()
    assert bench.core.peer_connection_state is PeerConnectionState.CONNECTED
    bench.lose_media()
    bench.run(4)
    assert bench.core.peer_connection_state is PeerConnectionState.FAILED
    bench.heal()
    bench.run(8)
    assert bench.core.peer_connection_state is PeerConnectionState.CONNECTED
    bench.lose_signaling()
    bench.run(5)
    assert bench.core.peer_connection_state is PeerConnectionState.DISCONNECTED
    bench.heal()
    bench.run(8)
    bench.core.disconnect(bench.now)
    bench.run(2)
    told = [event.state.value for event in bench.aggregates]
    assert told == [
        "connecting",
        "connected",
        "failed",
        "connected",
        "disconnected",
        "connected",
        "new",
    ]
    assert all(after.previous is before.state for before, after in pairwise(bench.aggregates))


def test_a_room_that_was_lost_has_failed() -> None:
    bench = bench_in_room()
    bench.lose_signaling()
    bench.run(31)
    assert bench.core.peer_connection_state is PeerConnectionState.FAILED


def test_the_connection_tells_how_both_stand() -> None:
    bench = RoomBench()
    assert bench.core.connection(bench.now).state is RoomState.DISCONNECTED
    bench.online()
    info = bench.core.connection(bench.now)
    assert (info.state, info.reason, info.attempt, info.cause) == (RoomState.CONNECTED, None, 2, None)
    bench.refusals[Purpose.MEDIA] = ConnectionFailed("refused")
    bench.reset(bench.media)
    bench.run(5)
    info = bench.core.connection(bench.now)
    assert info.state is RoomState.RECONNECTING
    assert info.reason is RoomErrorCode.MEDIA_CONNECTION
    assert info.cause is bench.refusals[Purpose.MEDIA]
    assert info.next_attempt_in is not None
    assert info.since <= bench.now - 1
    bench.run(30)
    info = bench.core.connection(bench.now)
    assert info.state is RoomState.DISCONNECTED
    assert info.cause is bench.of(RoomDisconnected)[0].error


def test_internal_events_are_not_told() -> None:
    bench = bench_in_room()
    bench.lose_signaling()
    bench.lose_media()
    bench.run(10)
    bench.heal()
    bench.run(10)
    bench.core.disconnect(bench.now)
    bench.run(2)
    assert bench.of(SignalingChanged, PeerConnectionStateChanged) == []


def test_token_events_pass_and_a_new_token_is_used() -> None:
    bench = bench_in_room(token="old")
    ticket = bench.core.renew_token("new", now=bench.now)
    bench.turn()
    assert not ticket.done
    bench.reset(bench.signaling)
    bench.run(1)
    assert bench.signaling.hello is not None
    assert bench.signaling.hello.token == "new"
    assert ticket.done
    bench.server.refuse(LoginError.TOKEN_EXPIRED, "The token has expired.")
    bench.reset(bench.signaling)
    bench.run(1)
    assert bench.of(TokenHasExpired) == [TokenHasExpired()]
