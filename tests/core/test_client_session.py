"""Login, logout, refusals and kicks, each from what a user sees."""

import pytest

from rtmcore.client.config import ClientConfig, Endpoint
from rtmcore.client.events import NeedToken, OpenTransport, Purpose, StateChanged, TokenReason
from rtmcore.codes import (
    CloseCode,
    ConnectionChangeReason,
    ConnectionState,
    LoginError,
    LogoutError,
    MessageType,
    SendPeerMessageError,
)
from rtmcore.errors import (
    Aborted,
    AlreadyLoggedIn,
    Banned,
    ClientClosed,
    ConnectionFailed,
    InvalidAppId,
    InvalidArgument,
    InvalidToken,
    NameResolutionError,
    NotLoggedIn,
    OutcomeUnknown,
    RateLimited,
    Rejected,
    RequestTimeout,
    RtmError,
    StateError,
    TlsError,
    TokenExpired,
)
from rtmcore.wire.packets import Bye, Hello, Kicked, Ready, Refused
from tests.core.wires import APP, URL, Bench, Server, never, refused, welcome

CONNECTING = ("CONNECTING", "LOGIN")
CONNECTED = ("CONNECTED", "LOGIN_SUCCESS")
FAILED = ("DISCONNECTED", "LOGIN_FAILURE")
TIMED_OUT = ("DISCONNECTED", "LOGIN_TIMEOUT")
LOGGED_OUT = ("DISCONNECTED", "LOGOUT")


# --- A login that succeeds -------------------------------------------------------------------------------------


def test_login_connects_and_says_who_it_is() -> None:
    bench = Bench(token="tok", sdk="test/1")
    ticket = bench.login()
    assert ticket.done
    assert ticket.error is None
    assert ticket.value is None
    assert bench.states == [CONNECTING, CONNECTED]
    hello = bench.server.last.hello
    assert hello == Hello(
        app=APP,
        user="ann",
        token="tok",
        iid="instance-of-ann-1",
        attempt=1,
        login=True,
        floor=1,
        window=256,
        window_bytes=1024 * 1024,
        sdk="test/1",
    )
    assert bench.opened == [OpenTransport(1, Purpose.LOGIN, URL, "server.test", 7430, False)]


@pytest.mark.parametrize("subprotocol", ["rtm.v1.msgpack", "rtm.v1.json"])
def test_both_encodings_and_bytes_one_by_one(subprotocol: str) -> None:
    bench = Bench(subprotocols=(subprotocol,))
    bench.drip = 1
    assert bench.login().error is None
    assert bench.server.last.transport.codec.subprotocol == subprotocol


def test_a_state_event_names_state_reason_and_previous() -> None:
    bench = Bench()
    bench.login()
    assert bench.events[:2] == [
        StateChanged(ConnectionState.CONNECTING, ConnectionChangeReason.LOGIN, ConnectionState.DISCONNECTED),
        StateChanged(
            ConnectionState.CONNECTED, ConnectionChangeReason.LOGIN_SUCCESS, ConnectionState.CONNECTING
        ),
    ]


def test_connection_info() -> None:
    bench = Bench()
    info = bench.core.connection(bench.now)
    assert (info.state, info.reason, info.attempt, info.next_attempt_in) == (
        ConnectionState.DISCONNECTED,
        None,
        0,
        None,
    )
    bench.login()
    info = bench.core.connection(bench.now)
    assert (info.state, info.reason, info.since, info.attempt) == (
        ConnectionState.CONNECTED,
        ConnectionChangeReason.LOGIN_SUCCESS,
        bench.now,
        1,
    )


def test_connected_is_announced_with_ready_or_five_seconds_after_the_welcome() -> None:
    bench = Bench()
    bench.server.on_hello = lambda connection, hello: connection.send(welcome())
    ticket = bench.login()
    bench.run(4.9)
    assert not ticket.done
    bench.run(0.2)
    assert ticket.done
    assert ticket.error is None
    assert bench.states[-1] == CONNECTED


def test_a_welcome_shortly_before_the_end_of_the_login_still_counts() -> None:
    bench = Bench()
    bench.server.answer_hello = False
    ticket = bench.login(timeout=5.0)
    bench.run(4.5)
    bench.server.last.send(welcome())
    bench.run(1.0)
    assert ticket.error is None
    assert bench.states[-1] == CONNECTED


# --- Refusals --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (1, RtmError),
        (2, Rejected),
        (4, InvalidAppId),
        (5, InvalidToken),
        (6, TokenExpired),
        (7, RtmError),
        (10, RateLimited),
    ],
)
def test_a_refusal_ends_the_login_at_once_with_its_code(code: int, kind: type[RtmError]) -> None:
    bench = Bench()
    bench.server.refuse(code, "Because.", retry=1500)
    ticket = bench.login()
    assert isinstance(ticket.error, kind)
    assert ticket.error.code is LoginError(code)
    assert ticket.error.operation == "login"
    assert ticket.error.state == "CONNECTING"
    assert ticket.error.retry_after == 1.5
    assert "Because." in str(ticket.error)
    assert bench.states == [CONNECTING, FAILED]
    assert bench.of(StateChanged)[-1].cause is ticket.error
    assert bench.alive == set()
    bench.run(60)
    assert len(bench.opened) == 1


def test_a_ban_is_its_own_error() -> None:
    bench = Bench()
    bench.server.refuse(2, "Banned until Friday.", close=CloseCode.BANNED)
    error = bench.login().error
    assert isinstance(error, Banned)
    assert error.code is LoginError.REJECTED
    assert "Friday" in str(error)


def test_a_refusal_with_a_coming_back_close_code_is_tried_again() -> None:
    bench = Bench()
    bench.server.refuse(1, "The engine is not there.", close=CloseCode.ENGINE_UNAVAILABLE, retry=700)
    ticket = bench.login()
    assert not ticket.done
    assert bench.core.connection(bench.now).next_attempt_in == pytest.approx(0.7)
    bench.server.on_hello = bench.server.accept
    bench.run(1)
    assert ticket.done
    assert ticket.error is None


def test_a_refusal_whose_close_frame_got_lost_counts_all_the_same() -> None:
    bench = Bench()
    bench.server.on_hello = lambda connection, hello: connection.send(Refused(5, "Wrong signature."))
    ticket = bench.login()
    assert not ticket.done
    bench.reset()
    bench.turn()
    assert isinstance(ticket.error, InvalidToken)


@pytest.mark.parametrize("code", [0, 999])
def test_a_refusal_with_a_code_that_is_none_is_unknown(code: int) -> None:
    bench = Bench()
    bench.server.refuse(code, "")
    error = bench.login().error
    assert error is not None
    assert error.code is LoginError.UNKNOWN
    assert "refused" in str(error)


def test_a_connection_that_ends_before_it_was_established_is_tried_again() -> None:
    bench = Bench()
    bench.dial = never
    ticket = bench.login()
    bench.core.receive_eof(1, bench.now)
    bench.dial = lambda event: None
    bench.run(1)
    assert ticket.error is None


@pytest.mark.parametrize(
    ("close", "code"),
    [
        (CloseCode.BANNED, LoginError.REJECTED),
        (CloseCode.REMOTE_LOGIN, LoginError.REJECTED),
        (CloseCode.TOKEN_EXPIRED, LoginError.TOKEN_EXPIRED),
        (CloseCode.LOGIN_REFUSED, LoginError.UNKNOWN),
        (4777, LoginError.UNKNOWN),
    ],
)
def test_a_stopping_close_code_alone_ends_the_login(close: int, code: LoginError) -> None:
    bench = Bench()
    bench.server.on_hello = lambda connection, hello: connection.close(close, "no")
    error = bench.login().error
    assert error is not None
    assert error.code is code
    assert bench.states == [CONNECTING, FAILED]


@pytest.mark.parametrize(
    "close", [1000, 1001, 1002, 1006, 1011, 4000, 4001, 4002, 4005, 4010, 4012, 4014, 4499]
)
def test_any_other_close_code_is_tried_again(close: int) -> None:
    bench = Bench()
    attempts: list[int] = []

    def answer(connection: object, hello: Hello) -> None:
        attempts.append(hello.attempt)
        if len(attempts) < 3:
            if close == 1006:
                bench.reset()
            else:
                bench.server.last.close(close)
        else:
            bench.server.accept(bench.server.last, hello)

    bench.server.on_hello = answer
    ticket = bench.login()
    bench.run(3)
    assert ticket.error is None
    assert attempts == [1, 2, 3]


def test_a_kick_during_the_login_is_a_refusal() -> None:
    bench = Bench()

    def answer(connection: object, hello: Hello) -> None:
        bench.server.last.send(welcome(), Kicked(8, "Elsewhere."))
        bench.server.last.close(CloseCode.REMOTE_LOGIN)

    bench.server.on_hello = answer
    ticket = bench.login()
    assert ticket.error is not None
    assert ticket.error.code is LoginError.REJECTED
    assert bench.states == [CONNECTING, FAILED]


def test_http_refusals_end_the_login_at_once() -> None:
    bench = Bench()
    bench.server.upgrade_refusal = (404, "No such path.")
    error = bench.login().error
    assert error is not None
    assert error.code is LoginError.UNKNOWN
    assert error.operation == "login"
    assert "404" in str(error)
    assert "path" in str(error)
    assert bench.states == [CONNECTING, FAILED]


def test_tls_failures_end_the_login_at_once() -> None:
    bench = Bench()
    bench.dial = lambda event: TlsError("The certificate is for another host.")
    error = bench.login().error
    assert isinstance(error, TlsError)
    assert error.code is LoginError.UNKNOWN
    assert error.state == "CONNECTING"
    assert "another host" in str(error)
    assert len(bench.opened) == 1


def test_a_server_that_speaks_something_else_ends_the_login_at_once() -> None:
    bench = Bench()
    bench.server.answer_upgrade = False
    ticket = bench.login()
    bench.core.receive_data(1, b"SSH-2.0-OpenSSH_9.6\r\n\r\n\r\n", bench.now)
    bench.turn()
    assert ticket.error is not None
    assert ticket.error.code is LoginError.UNKNOWN
    assert "HTTP" in str(ticket.error)


# --- No answer -------------------------------------------------------------------------------------------------


def test_refused_connections_are_retried_for_twelve_seconds_and_then_name_the_cause() -> None:
    bench = Bench()
    bench.dial = refused
    ticket = bench.login()
    bench.run(11.999)
    assert not ticket.done
    assert len(bench.opened) >= 5
    bench.run(0.002)
    error = ticket.error
    assert isinstance(error, RequestTimeout)
    assert isinstance(error, TimeoutError)
    assert error.code is LoginError.TIMEOUT
    assert not error.outcome_unknown
    assert isinstance(error.__cause__, ConnectionFailed)
    assert "refused" in str(error)
    assert bench.states == [CONNECTING, TIMED_OUT]
    assert bench.now - bench.core.connection(bench.now).since == pytest.approx(0.001)


def test_unresolvable_names_are_retried_too() -> None:
    bench = Bench()
    bench.dial = lambda event: NameResolutionError("server.test has no address.")
    ticket = bench.login()
    bench.run(12)
    assert isinstance(ticket.error, RequestTimeout)
    assert isinstance(ticket.error.__cause__, NameResolutionError)
    assert "no address" in str(ticket.error)


def test_a_server_that_comes_up_within_the_time_is_found() -> None:
    bench = Bench()
    bench.dial = lambda event: refused(event) if bench.now < 108 else None
    ticket = bench.login()
    bench.run(12)
    assert ticket.error is None
    assert bench.states == [CONNECTING, CONNECTED]


@pytest.mark.parametrize(
    ("silent_at", "words"),
    [("tcp", "not established"), ("upgrade", "WebSocket upgrade"), ("hello", "the hello")],
)
def test_silence_at_each_stage_takes_two_attempts_of_six_seconds(silent_at: str, words: str) -> None:
    bench = Bench()
    if silent_at == "tcp":
        bench.dial = never
    bench.server.answer_upgrade = silent_at != "upgrade"
    bench.server.answer_hello = False
    ticket = bench.login()
    bench.run(5.99)
    assert len(bench.opened) == 1
    bench.run(6.0)
    assert len(bench.opened) == 2
    assert not ticket.done
    bench.run(0.02)
    assert isinstance(ticket.error, RequestTimeout)
    assert words in str(ticket.error)
    assert bench.states == [CONNECTING, TIMED_OUT]


def test_the_timeout_of_the_call_is_the_login_s_own() -> None:
    bench = Bench()
    bench.dial = refused
    ticket = bench.login(timeout=2.5)
    bench.run(2.4)
    assert not ticket.done
    bench.run(0.1)
    assert isinstance(ticket.error, RequestTimeout)
    assert "2.5 s" in str(ticket.error)


def test_a_timer_that_fires_late_allows_one_attempt_first() -> None:
    bench = Bench()
    bench.server.answer_hello = False
    ticket = bench.login()
    bench.sleep(60)
    bench.server.answer_hello = True
    bench.core.handle_timer(bench.now)
    bench.turn()
    assert ticket.error is None
    assert bench.states == [CONNECTING, CONNECTED]


def test_that_one_attempt_decides() -> None:
    bench = Bench()
    bench.dial = never
    ticket = bench.login()
    bench.sleep(60)
    bench.dial = refused
    bench.core.handle_timer(bench.now)
    bench.turn()
    assert isinstance(ticket.error, RequestTimeout)
    assert "refused" in str(ticket.error)

    bench = Bench()
    bench.dial = never
    ticket = bench.login()
    bench.sleep(60)
    bench.core.handle_timer(bench.now)
    bench.turn()
    assert not ticket.done
    bench.run(6)
    assert isinstance(ticket.error, RequestTimeout)


def test_every_url_is_tried_in_turn() -> None:
    urls = ("ws://one.test", "wss://two.test/rtm?x=1", "ws://three.test:99")
    bench = Bench(endpoints=urls)
    bench.dial = lambda event: None if event.host == "three.test" else refused(event)
    ticket = bench.login()
    bench.run(2)
    assert ticket.error is None
    assert [(e.host, e.port, e.tls) for e in bench.opened] == [
        ("one.test", 80, False),
        ("two.test", 443, True),
        ("three.test", 99, False),
    ]


# --- Calls that do not fit -------------------------------------------------------------------------------------


def test_a_second_login_is_refused_in_every_other_state() -> None:
    bench = Bench()
    bench.server.answer_hello = False
    bench.login()
    with pytest.raises(AlreadyLoggedIn) as caught:
        bench.core.login(bench.now)
    assert caught.value.code is LoginError.ALREADY_LOGIN
    assert caught.value.state == "CONNECTING"

    bench = Bench().online()
    with pytest.raises(AlreadyLoggedIn):
        bench.core.login(bench.now)
    bench.hole()
    bench.dial = refused
    bench.run(5)
    assert bench.core.state is ConnectionState.RECONNECTING
    with pytest.raises(AlreadyLoggedIn):
        bench.core.login(bench.now)
    assert bench.states == [("RECONNECTING", "INTERRUPTED")]


def test_logins_above_the_rate_change_no_state_and_do_not_count() -> None:
    bench = Bench(rate_limits=True)
    for _ in range(2):
        bench.login()
        bench.core.logout(bench.now)
        bench.turn()
    bench.events.clear()
    for _ in range(20):
        with pytest.raises(RateLimited) as caught:
            bench.core.login(bench.now)
        assert caught.value.code is LoginError.TOO_OFTEN
        assert caught.value.retry_after == pytest.approx(1.0)
    assert bench.states == []
    bench.run(1.0)
    assert bench.login().error is None


def test_a_malformed_app_id_is_the_login_s_error() -> None:
    bench = Bench(app_id="short", rate_limits=True)
    for _ in range(5):
        with pytest.raises(InvalidAppId) as caught:
            bench.core.login(bench.now)
        assert caught.value.code is LoginError.INVALID_APP_ID
    assert bench.core.next_event() is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"user_id": ""}, "user id"),
        ({"user_id": "x" * 65}, "65 bytes"),
        ({"user_id": 7}, "string"),
        ({"token": "ä"}, "ASCII"),
        ({"token": b"x"}, "string"),
        ({"token": "x" * 9000}, "ASCII"),
        ({"endpoints": ()}, "at least one"),
        ({"endpoints": "http://server"}, "wss://"),
        ({"endpoints": "ws://user:pw@server"}, "password"),
        ({"endpoints": "ws://server/#x"}, "fragment"),
        ({"endpoints": "ws://server:99999"}, "read"),
        ({"endpoints": "ws://server:0"}, "port"),
        ({"endpoints": "ws://server/ü"}, "ASCII"),
        ({"endpoints": ["ws://ok", 5]}, "string"),
        ({"subprotocols": ("mqtt",)}, "rtm.v1.msgpack"),
        ({"subprotocols": ()}, "rtm.v1.msgpack"),
        ({"inbox_window": 0}, "window"),
    ],
)
def test_settings_are_checked_at_once(changes: dict[str, object], words: str) -> None:
    settings = {"endpoints": URL, "app_id": APP, "user_id": "ann", **changes}
    with pytest.raises(InvalidArgument, match=words):
        ClientConfig(**settings)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("url", "host", "port", "authority", "target"),
    [
        ("wss://rtm.test", "rtm.test", 443, "rtm.test", "/rtm/v1"),
        ("ws://rtm.test:80/", "rtm.test", 80, "rtm.test", "/rtm/v1"),
        ("ws://rtm.test:7430/a/b?c=d", "rtm.test", 7430, "rtm.test:7430", "/a/b?c=d"),
        ("ws://[::1]:7430", "::1", 7430, "[::1]:7430", "/rtm/v1"),
        ("wss://bücher.test", "bücher.test", 443, "xn--bcher-kva.test", "/rtm/v1"),
    ],
)
def test_urls(url: str, host: str, port: int, authority: str, target: str) -> None:
    endpoint = Endpoint.parse(url)
    assert (endpoint.host, endpoint.port, endpoint.authority, endpoint.target) == (
        host,
        port,
        authority,
        target,
    )


def test_secrets_are_not_shown() -> None:
    config = ClientConfig(endpoints=URL, app_id=APP, user_id="ann", token="s3cret")
    assert "s3cret" not in repr(config)


def test_calls_need_a_login() -> None:
    bench = Bench()
    bench.server.answer_hello = False
    calls = [
        lambda: bench.core.send_peer("bob", MessageType.TEXT, b"x", now=bench.now),
        lambda: bench.core.publish("room", MessageType.TEXT, b"x", now=bench.now),
        lambda: bench.core.join("room", now=bench.now),
        lambda: bench.core.leave("room", now=bench.now),
        lambda: bench.core.members("room", now=bench.now),
    ]
    for state in ("DISCONNECTED", "CONNECTING"):
        for call in calls:
            with pytest.raises(NotLoggedIn) as caught:
                call()
            assert caught.value.code is not None
            assert caught.value.code == 102
            assert caught.value.state == state
        if state == "DISCONNECTED":
            bench.login()


# --- Logout ----------------------------------------------------------------------------------------------------


def test_logout_says_goodbye_with_its_fence_and_waits_for_the_server_to_close() -> None:
    bench = Bench().online()
    ticket = bench.core.logout(bench.now)
    assert bench.states == []
    bench.turn()
    assert ticket.done
    assert ticket.error is None
    assert bench.server.last.got(Bye) == [Bye(1)]
    assert bench.states == [LOGGED_OUT]
    assert bench.core.idle
    assert bench.alive == set()
    bench.run(60)
    assert len(bench.opened) == 1


def test_logout_waits_a_second_at_most() -> None:
    bench = Bench().online()
    bench.hole()
    ticket = bench.core.logout(bench.now)
    bench.run(0.9)
    assert not ticket.done
    bench.run(0.2)
    assert ticket.done
    assert ticket.error is None
    assert bench.states == [LOGGED_OUT]
    assert bench.alive == set()


def test_calls_during_and_after_a_goodbye_are_refused_and_a_second_logout_joins_the_first() -> None:
    bench = Bench().online()
    bench.hole()
    first = bench.core.logout(bench.now)
    with pytest.raises(NotLoggedIn, match="logging out"):
        bench.core.send_peer("bob", MessageType.TEXT, b"x", now=bench.now)
    with pytest.raises(AlreadyLoggedIn):
        bench.core.login(bench.now)
    second = bench.core.logout(bench.now)
    bench.run(1)
    assert first.done
    assert second.done
    with pytest.raises(NotLoggedIn) as caught:
        bench.core.logout(bench.now)
    assert caught.value.code is LogoutError.NOT_LOGGED_IN


def test_logout_while_connecting_says_goodbye_behind_the_hello() -> None:
    bench = Bench()
    bench.server.answer_hello = False
    login = bench.login()
    logout = bench.core.logout(bench.now)
    assert isinstance(login.error, StateError)
    assert login.error.code is LoginError.ABORTED_BY_LOGOUT
    bench.turn()
    assert [type(p) for p in bench.server.last.packets] == [Hello, Bye]
    assert bench.server.last.got(Bye) == [Bye(None)]
    assert logout.done
    assert bench.states == [CONNECTING, LOGGED_OUT]


def test_a_welcome_that_crosses_the_goodbye_changes_nothing() -> None:
    bench = Bench()
    bench.server.answer_hello = False
    bench.login()
    bench.server.last.hole_up = True
    bench.core.logout(bench.now)
    bench.server.last.send(welcome(), Ready())
    bench.turn()
    assert bench.states == [CONNECTING]
    bench.run(1.0)
    assert bench.states == [CONNECTING, LOGGED_OUT]
    assert bench.alive == set()


def test_logout_before_the_hello_has_nothing_to_say() -> None:
    bench = Bench()
    bench.dial = never
    bench.login()
    ticket = bench.core.logout(bench.now)
    assert bench.core.state is ConnectionState.DISCONNECTED
    bench.turn()
    assert ticket.done
    assert bench.states == [CONNECTING, LOGGED_OUT]
    assert bench.alive == set()


def test_logout_while_reconnecting_is_immediate_and_still_says_goodbye_where_it_can() -> None:
    bench = Bench().online()
    bench.server.last.hole_down = True
    bench.dial = refused
    bench.run(6)
    assert bench.states == [("RECONNECTING", "INTERRUPTED")]
    ticket = bench.core.logout(bench.now)
    assert bench.core.state is ConnectionState.DISCONNECTED
    bench.turn()
    assert ticket.done
    assert bench.server.last.got(Bye) == [Bye(1)]
    bench.run(1.1)
    assert bench.alive == set()
    assert bench.core.idle


def test_login_again_after_a_logout_is_a_new_login_of_the_same_instance() -> None:
    bench = Bench().online()
    bench.core.logout(bench.now)
    bench.turn()
    bench.login()
    hello = bench.server.last.hello
    assert hello is not None
    assert (hello.login, hello.attempt, hello.fence, hello.secret) == (True, 2, None, None)
    assert bench.states == [LOGGED_OUT, CONNECTING, CONNECTED]


def test_requests_under_way_at_a_logout_end_as_outcome_unknown() -> None:
    bench = Bench().online()
    written = bench.core.send_peer("bob", MessageType.TEXT, b"x", now=bench.now)
    bench.core.logout(bench.now)
    bench.turn()
    assert isinstance(written.error, OutcomeUnknown)
    assert isinstance(written.error.__cause__, NotLoggedIn)


# --- Close -----------------------------------------------------------------------------------------------------


def test_after_close_every_call_is_101() -> None:
    bench = Bench().online()
    pending = bench.core.send_peer("bob", MessageType.TEXT, b"x", now=bench.now)
    ticket = bench.core.close(bench.now)
    assert bench.core.closed
    assert isinstance(pending.error, OutcomeUnknown)
    assert bench.core.state is ConnectionState.DISCONNECTED
    bench.turn()
    assert ticket.done
    assert bench.server.last.got(Bye) == [Bye(1)]
    assert bench.alive == set()
    for call in (
        lambda: bench.core.login(bench.now),
        lambda: bench.core.logout(bench.now),
        lambda: bench.core.join("room", now=bench.now),
        lambda: bench.core.send_peer("bob", MessageType.TEXT, b"x", now=bench.now),
    ):
        with pytest.raises(ClientClosed) as caught:
            call()
        assert caught.value.code == 101
    again = bench.core.close(bench.now)
    bench.turn()
    assert again.done


def test_close_waits_a_second_at_most_for_its_goodbye() -> None:
    bench = Bench().online()
    bench.hole()
    ticket = bench.core.close(bench.now)
    bench.turn()
    assert not ticket.done
    bench.run(1.0)
    assert ticket.done
    assert bench.alive == set()


@pytest.mark.parametrize("stage", ["new", "dialing", "hello", "reconnecting", "aborted", "leaving"])
def test_close_in_every_state(stage: str) -> None:
    bench = Bench()
    login = None
    if stage == "dialing":
        bench.dial = never
        login = bench.login()
    elif stage == "hello":
        bench.server.answer_hello = False
        login = bench.login()
    elif stage != "new":
        bench.online()
        if stage == "reconnecting":
            bench.dial = refused
            bench.reset()
            bench.run(5)
        elif stage == "aborted":
            bench.server.last.send(Kicked(8))
            bench.turn()
        else:
            bench.hole()
            bench.core.logout(bench.now)
    ticket = bench.core.close(bench.now)
    bench.run(1.1)
    assert ticket.done
    assert bench.core.state is ConnectionState.DISCONNECTED
    assert bench.alive == set()
    assert bench.core.idle
    assert bench.core.next_deadline() is None
    if login is not None:
        assert isinstance(login.error, ClientClosed)
        assert login.error.code is LoginError.NOT_INITIALIZED


# --- Kicks -----------------------------------------------------------------------------------------------------

KICKS = [
    (ConnectionChangeReason.REMOTE_LOGIN, CloseCode.REMOTE_LOGIN),
    (ConnectionChangeReason.BANNED_BY_SERVER, CloseCode.BANNED),
    (ConnectionChangeReason.TOKEN_EXPIRED, CloseCode.TOKEN_EXPIRED),
]


@pytest.mark.parametrize(("reason", "close"), KICKS)
@pytest.mark.parametrize("way", ["packet", "close", "both"])
def test_a_kick_ends_the_session_for_good(reason: ConnectionChangeReason, close: CloseCode, way: str) -> None:
    bench = Bench()
    bench.server.figures = {"token_policy": "abort"}
    bench.online()
    bench.core.join("room", now=bench.now)
    under_way = bench.core.send_peer("bob", MessageType.TEXT, b"x", now=bench.now)
    bench.run(0.01)
    if way != "close":
        bench.server.last.send(Kicked(reason, "Because."))
    if way != "packet":
        bench.server.last.close(close)
    bench.turn()
    assert bench.states == [("ABORTED", reason.name)]
    assert isinstance(under_way.error, OutcomeUnknown)
    assert isinstance(under_way.error.__cause__, Aborted)
    assert bench.core.channels == ()
    assert bench.alive == set()
    bench.run(120)
    assert len(bench.opened) == 1
    with pytest.raises(Aborted) as caught:
        bench.core.send_peer("bob", MessageType.TEXT, b"x", now=bench.now)
    assert caught.value.code is SendPeerMessageError.NOT_LOGGED_IN
    assert caught.value.reason is reason
    with pytest.raises(AlreadyLoggedIn):
        bench.core.login(bench.now)
    logout = bench.core.logout(bench.now)
    bench.turn()
    assert logout.error is None
    assert bench.states == [("ABORTED", reason.name), LOGGED_OUT]
    assert bench.login().error is None


def test_an_expired_token_does_not_end_the_session_where_the_policy_keeps_it() -> None:
    bench = Bench().online()
    bench.server.last.close(CloseCode.TOKEN_EXPIRED)
    bench.run(1)
    assert bench.states == []
    assert len(bench.opened) == 2


def test_a_token_that_expires_while_reconnecting_ends_nothing() -> None:
    bench = Bench()
    bench.server.figures = {"token_policy": "abort"}
    bench.online()
    bench.dial = refused
    bench.reset()
    bench.run(5)

    def answer(connection: object, hello: Hello) -> None:
        bench.server.last.send(Kicked(ConnectionChangeReason.TOKEN_EXPIRED, "Expired."))
        bench.server.last.close(CloseCode.TOKEN_EXPIRED)

    bench.server.on_hello = answer
    bench.dial = lambda event: None
    bench.run(20)
    assert bench.states == [("RECONNECTING", "INTERRUPTED")]
    bench.server.on_hello = bench.server.accept
    bench.run(9)
    assert bench.states[-1] == CONNECTED


def test_a_return_that_meets_a_newer_login_is_aborted_and_stays_so() -> None:
    bench = Bench().online()

    def answer(connection: object, hello: Hello) -> None:
        assert hello.fence == 1
        assert not hello.login
        bench.server.last.send(Kicked(ConnectionChangeReason.REMOTE_LOGIN, "Logged in elsewhere."))
        bench.server.last.close(CloseCode.REMOTE_LOGIN)

    bench.server.on_hello = answer
    bench.hole()
    bench.dial = lambda event: refused(event) if bench.now < 106 else None
    bench.run(60)
    assert bench.states == [("RECONNECTING", "INTERRUPTED"), ("ABORTED", "REMOTE_LOGIN")]
    assert "elsewhere" in str(bench.of(StateChanged)[-1].cause)


def test_auto_logout_leaves_aborted_but_never_logs_in() -> None:
    bench = Bench(auto_logout_on_abort=True).online()
    bench.server.last.send(Kicked(8))
    bench.run(60)
    assert bench.states == [("ABORTED", "REMOTE_LOGIN"), LOGGED_OUT]
    assert len(bench.opened) == 1


def test_an_unknown_reason_of_a_kick_waits_for_the_close_code() -> None:
    bench = Bench().online()
    bench.server.last.send(Kicked(77))
    bench.turn()
    assert bench.states == []
    bench.server.last.close(CloseCode.BANNED)
    bench.turn()
    assert bench.states == [("ABORTED", "BANNED_BY_SERVER")]


# --- Tokens ----------------------------------------------------------------------------------------------------


def provided() -> Bench:
    return Bench(token_provider=True)


def test_a_provider_is_asked_and_the_hello_waits_for_it() -> None:
    bench = provided()
    ticket = bench.login()
    assert bench.asked == [NeedToken(TokenReason.LOGIN)]
    bench.run(4)
    assert not ticket.done
    assert bench.server.last.packets == []
    bench.core.token("fresh", bench.now)
    bench.turn()
    assert ticket.error is None
    assert bench.server.last.hello is not None
    assert bench.server.last.hello.token == "fresh"


def test_a_token_that_comes_before_the_transport_is_used_as_well() -> None:
    bench = provided()
    bench.dial = never
    bench.login()
    bench.core.token(None, bench.now)
    bench.connect(1)
    bench.turn()
    assert bench.states[-1] == CONNECTED


def test_a_late_token_is_kept_for_the_next_attempt_and_not_asked_for_twice() -> None:
    bench = provided()
    ticket = bench.login()
    bench.run(6.5)
    assert len(bench.opened) == 2
    assert len(bench.asked) == 1
    bench.core.token("late", bench.now)
    bench.turn()
    assert ticket.error is None
    assert bench.server.last.hello is not None
    assert bench.server.last.hello.token == "late"


def test_a_provider_that_fails_is_asked_again_within_the_login() -> None:
    bench = provided()
    ticket = bench.login()
    bench.core.token_failed(ConnectionFailed("The token server is down."), bench.now)
    bench.run(0.5)
    assert len(bench.asked) == 2
    bench.core.token("good", bench.now)
    bench.turn()
    assert ticket.error is None

    bench = provided()
    ticket = bench.login()
    while not ticket.done:
        if bench.core.connection(bench.now).next_attempt_in is None:
            bench.core.token_failed(ConnectionFailed("The token server is down."), bench.now)
        bench.run(0.25)
    assert isinstance(ticket.error, RequestTimeout)
    assert "token server is down" in str(ticket.error)


def test_something_that_is_no_token_counts_as_a_failure() -> None:
    bench = provided()
    ticket = bench.login(timeout=1.0)
    bench.core.token(b"bytes", bench.now)  # type: ignore[arg-type]
    assert "string" in str(bench.core.connection(bench.now).cause)
    bench.run(1.0)
    assert isinstance(ticket.error, RequestTimeout)


def test_a_return_asks_again_and_waits_a_second() -> None:
    bench = provided()
    bench.login()
    bench.core.token("first", bench.now)
    bench.turn()
    bench.run(5)
    bench.reset()
    bench.run(0.5)
    assert bench.asked[-1] == NeedToken(TokenReason.RECONNECT)
    assert bench.server.last.number == 2
    assert bench.server.last.hello is None
    bench.core.token("second", bench.now)
    bench.turn()
    assert bench.server.last.hello is not None
    assert bench.server.last.hello.token == "second"
    assert bench.states == [CONNECTING, CONNECTED]


def test_a_return_goes_on_with_the_last_token_where_the_provider_is_late() -> None:
    bench = provided()
    bench.login()
    bench.core.token("first", bench.now)
    bench.turn()
    bench.run(5)
    bench.reset()
    bench.run(0.99)
    assert bench.server.last.hello is None
    bench.run(0.02)
    assert bench.server.last.hello is not None
    assert bench.server.last.hello.token == "first"
    bench.core.token("late", bench.now)
    bench.run(5)
    bench.reset()
    bench.turn()
    assert len(bench.asked) == 2
    assert bench.server.last.hello is not None
    assert bench.server.last.hello.token == "late"


def test_a_transport_that_opens_after_that_second_does_not_wait() -> None:
    bench = provided()
    bench.login()
    bench.core.token("first", bench.now)
    bench.turn()
    bench.dial = never
    bench.reset()
    bench.run(2)
    bench.connect(2)
    bench.turn()
    assert bench.server.last.hello is not None
    assert bench.states == [CONNECTING, CONNECTED]


def test_an_invalid_token_on_a_return_is_asked_for_again_with_backoff() -> None:
    bench = provided()
    bench.login()
    bench.core.token("first", bench.now)
    bench.turn()
    server: Server = bench.server
    server.refuse(5, "Expired key.")
    bench.reset()
    bench.run(20)
    assert bench.states[-1] == ("RECONNECTING", "INTERRUPTED")
    cause = bench.core.connection(bench.now).cause
    assert isinstance(cause, InvalidToken)
    server.on_hello = server.accept
    bench.core.token("second", bench.now)
    bench.run(9)
    assert bench.states[-1] == CONNECTED
