"""Tokens that expire, and tokens that are handed over."""

import pytest

from rtmcore.client.events import NeedToken, TokenHasExpired, TokenReason, TokenWillExpire
from rtmcore.codes import CloseCode, ConnectionChangeReason, RenewTokenError
from rtmcore.errors import (
    ClientClosed,
    InvalidArgument,
    InvalidToken,
    NotLoggedIn,
    RateLimited,
    RequestTimeout,
    ServerFailure,
    StateError,
    TokenExpired,
)
from rtmcore.wire.packets import Failed, Hello, Kicked, Refused, Renewed, RenewToken
from tests.core.wires import Bench, Connection, Server, never, refused, welcome

INTERRUPTED = ("RECONNECTING", "INTERRUPTED")
CONNECTED = ("CONNECTED", "LOGIN_SUCCESS")


class TokenServer(Server):
    """Accepts hellos whose token is good, and answers renewals."""

    def __init__(self, *good: str, life: float = 100.0) -> None:
        super().__init__()
        self.good = {"old", *good}
        self.life = life
        self.answers_renewals = True
        self.expiry: dict[str | None, float] = {}
        self.on_hello = self.judge

    def wall(self) -> int:
        """The server's clock: wherever it stands, only differences count."""
        return round((self.now + 1_000_000) * 1000)

    def judge(self, connection: Connection, hello: Hello) -> None:
        if hello.token not in self.good:
            expired = hello.token == "old"
            connection.send(
                Refused(6 if expired else 5, "It has expired." if expired else "Who signed this?")
            )
            connection.close(CloseCode.LOGIN_REFUSED)
            return
        expires = self.expiry.setdefault(hello.token, self.now + self.life)
        self.figures = {"now": self.wall(), "token_expires": round((expires + 1_000_000) * 1000)}
        self.accept(connection, hello)

    def packet(self, connection: Connection, packet: object) -> None:
        if isinstance(packet, RenewToken):
            if not self.answers_renewals:
                return
            if packet.token in self.good:
                connection.send(Renewed(packet.i, self.wall() + round(self.life * 1000), self.wall()))
            else:
                connection.send(Failed(packet.i, 5 if packet.token == "stale" else 6, "No."))
        else:
            super().packet(connection, packet)  # type: ignore[arg-type]


def online(*good: str, life: float = 100.0, **settings: object) -> tuple[Bench, TokenServer]:
    server = TokenServer(*good, life=life)
    bench = Bench(server, token="old", **settings)
    bench.online()
    return bench, server


def told(bench: Bench) -> list[type]:
    return [type(event) for event in bench.of(TokenWillExpire, TokenHasExpired)]


# --- Expiry ----------------------------------------------------------------------------------------------------


def test_thirty_seconds_before_its_end_and_at_its_end_a_token_is_reported_once() -> None:
    bench, _ = online()
    bench.run(69.9)
    assert told(bench) == []
    bench.run(0.2)
    assert told(bench) == [TokenWillExpire]
    assert bench.of(TokenWillExpire)[0].seconds == pytest.approx(30.0)
    bench.run(29.8)
    assert told(bench) == [TokenWillExpire]
    bench.run(0.2)
    assert told(bench) == [TokenWillExpire, TokenHasExpired]
    bench.run(600)
    assert told(bench) == [TokenWillExpire, TokenHasExpired]
    assert bench.states == [], "the server's policy is to keep the session"


def test_a_token_that_is_short_already_is_reported_at_once() -> None:
    bench, _ = online(life=12.0)
    bench.run(0.01)
    assert [event.seconds for event in bench.of(TokenWillExpire)] == [pytest.approx(12.0, abs=0.02)]
    bench.run(12)
    assert told(bench) == [TokenWillExpire, TokenHasExpired]


def test_a_token_without_an_end_is_never_reported() -> None:
    bench = Bench(token="old").online()
    bench.run(100_000)
    assert told(bench) == []


def test_a_return_with_the_same_token_reports_nothing_again() -> None:
    bench, _ = online()
    bench.run(80)
    assert told(bench) == [TokenWillExpire]
    bench.reset()
    bench.run(5)
    assert bench.server.last.number == 2
    assert told(bench) == [TokenWillExpire]
    bench.run(20)
    assert told(bench) == [TokenWillExpire, TokenHasExpired]


def test_expiry_counts_while_the_client_is_away_and_is_not_reported_after_a_logout() -> None:
    bench, _ = online()
    bench.run(75)
    bench.dial = never
    bench.hole()
    bench.run(30)
    assert told(bench) == [TokenWillExpire, TokenHasExpired]
    assert bench.states == [INTERRUPTED]

    bench, _ = online()
    bench.core.logout(bench.now)
    bench.run(200)
    assert told(bench) == []
    assert bench.core.next_deadline() is None


def test_a_refused_return_reports_expiry_once_and_stays_reconnecting() -> None:
    bench, server = online()
    bench.run(10)
    server.good.discard("old")
    bench.reset()
    bench.run(60)
    assert bench.states == [INTERRUPTED]
    assert told(bench) == [TokenHasExpired]
    assert len(bench.opened) > 5
    cause = bench.core.connection(bench.now).cause
    assert isinstance(cause, TokenExpired)
    bench.run(100)
    assert told(bench) == [TokenHasExpired]


def test_a_refused_login_reports_no_expiry() -> None:
    server = TokenServer()
    server.good.clear()
    bench = Bench(server, token="old")
    assert isinstance(bench.login().error, TokenExpired)
    assert told(bench) == []


def test_a_kick_for_an_expired_token_reports_it_before_the_state() -> None:
    bench, server = online()
    server.last.send(Kicked(ConnectionChangeReason.TOKEN_EXPIRED, "Expired."))
    bench.turn()
    assert bench.states == [("ABORTED", "TOKEN_EXPIRED")]
    assert [type(event).__name__ for event in bench.events] == ["TokenHasExpired", "StateChanged"]
    bench.run(300)
    assert told(bench) == [TokenHasExpired]


# --- Renewing while connected ----------------------------------------------------------------------------------


def test_a_renewal_is_a_request_and_moves_the_expiry() -> None:
    bench, server = online("new")
    bench.run(80)
    ticket = bench.core.renew_token("new", now=bench.now)
    bench.turn()
    assert ticket.done
    assert (ticket.error, ticket.value) == (None, None)
    assert [packet.token for packet in server.last.got(RenewToken)] == ["new"]
    assert repr(server.last.got(RenewToken)[0]) == "RenewToken(i=1)"
    bench.events.clear()
    bench.run(69)
    assert told(bench) == []
    bench.run(2)
    assert told(bench) == [TokenWillExpire]
    bench.run(30)
    assert told(bench) == [TokenWillExpire, TokenHasExpired]
    assert bench.states == []


def test_the_next_hello_carries_the_renewed_token() -> None:
    bench, server = online("new")
    bench.core.renew_token("new", now=bench.now)
    bench.run(5)
    bench.reset()
    bench.run(1)
    assert server.last.hello is not None
    assert server.last.hello.token == "new"
    assert bench.states == []


@pytest.mark.parametrize(
    ("token", "kind", "code"),
    [
        ("stale", TokenExpired, RenewTokenError.TOKEN_EXPIRED),
        ("forged", InvalidToken, RenewTokenError.INVALID_TOKEN),
    ],
)
def test_a_refused_renewal_fails_with_its_code_and_leaves_the_old_token(
    token: str, kind: type[Exception], code: RenewTokenError
) -> None:
    bench, server = online()
    ticket = bench.core.renew_token(token, now=bench.now)
    bench.turn()
    assert isinstance(ticket.error, kind)
    assert ticket.error.code is code
    assert ticket.error.operation == "renew_token"
    assert bench.states == []
    bench.run(5)
    bench.reset()
    bench.run(1)
    assert server.last.hello is not None
    assert server.last.hello.token == "old"


def test_a_renewal_without_an_answer_times_out_and_its_token_is_used_all_the_same() -> None:
    bench, server = online("new")
    server.answers_renewals = False
    ticket = bench.core.renew_token("new", now=bench.now)
    bench.run(4.9)
    assert not ticket.done
    bench.run(0.2)
    assert isinstance(ticket.error, RequestTimeout)
    assert ticket.error.outcome_unknown
    assert ticket.error.code is RenewTokenError.FAILURE
    bench.reset()
    bench.run(1)
    assert server.last.hello is not None
    assert server.last.hello.token == "new"


def test_a_renewal_under_way_is_settled_by_the_hello_that_replaces_its_transport() -> None:
    bench, server = online("new")
    server.answers_renewals = False
    ticket = bench.core.renew_token("new", now=bench.now)
    bench.turn()
    bench.run(2)
    bench.reset()
    bench.run(0.5)
    assert ticket.done
    assert ticket.error is None
    assert server.last.hello is not None
    assert server.last.hello.token == "new"
    assert server.last.got(RenewToken) == []


def test_what_is_no_token_or_comes_too_often_or_without_a_login_is_refused() -> None:
    bench = Bench()
    with pytest.raises(NotLoggedIn) as not_logged_in:
        bench.core.renew_token("new", now=bench.now)
    assert not_logged_in.value.code is RenewTokenError.NOT_LOGGED_IN

    bench, _ = online("new", rate_limits=True)
    for wrong in ("", "snow\N{SNOWMAN}man", None, b"new", "x" * 8193):
        with pytest.raises(InvalidArgument) as caught:
            bench.core.renew_token(wrong, now=bench.now)  # type: ignore[arg-type]
        assert caught.value.code is RenewTokenError.INVALID_ARGUMENT
    for _ in range(2):
        bench.core.renew_token("new", now=bench.now)
    with pytest.raises(RateLimited) as too_often:
        bench.core.renew_token("new", now=bench.now)
    assert too_often.value.code is RenewTokenError.TOO_OFTEN
    assert too_often.value.retry_after == pytest.approx(1.0)
    bench.run(1.0)
    ticket = bench.core.renew_token("new", now=bench.now)
    bench.turn()
    assert ticket.error is None
    bench.core.close(bench.now)
    with pytest.raises(ClientClosed):
        bench.core.renew_token("new", now=bench.now)


def test_a_renewal_ends_with_the_session() -> None:
    bench, server = online("new")
    server.answers_renewals = False
    ticket = bench.core.renew_token("new", now=bench.now)
    bench.turn()
    bench.core.logout(bench.now)
    bench.turn()
    assert isinstance(ticket.error, StateError)
    assert ticket.error.code is RenewTokenError.ABORTED_BY_LOGOUT


def test_a_withdrawn_renewal_leaves_the_old_token() -> None:
    bench, server = online("new")
    bench.dial = never
    bench.hole()
    bench.run(5)
    ticket = bench.core.renew_token("new", now=bench.now)
    assert bench.core.cancel(ticket, bench.now)
    bench.connect(bench.opened[-1].id)
    bench.turn()
    assert server.last.hello is not None
    assert server.last.hello.token == "old"
    assert bench.states == [INTERRUPTED, CONNECTED]


# --- Renewing while reconnecting -------------------------------------------------------------------------------


def away_with_an_expired_token(*good: str, **settings: object) -> tuple[Bench, TokenServer]:
    """The server is there, refuses the old token, and the next attempt is seconds away."""
    bench, server = online(*good, **settings)
    bench.run(2)
    server.good.discard("old")
    bench.reset()
    bench.run(40)
    while (wait := bench.core.connection(bench.now).next_attempt_in) is None or wait < 5:
        bench.run(0.5)
    bench.events.clear()
    return bench, server


def test_a_new_token_lets_a_reconnect_finish_by_an_attempt_made_at_once() -> None:
    bench, server = away_with_an_expired_token("new")
    attempts = len(bench.opened)
    ticket = bench.core.renew_token("new", now=bench.now)
    bench.turn()
    assert len(bench.opened) == attempts + 1
    assert server.last.hello is not None
    assert (server.last.hello.token, server.last.hello.login) == ("new", False)
    assert bench.states == [CONNECTED]
    assert ticket.done
    assert ticket.error is None
    assert server.last.got(RenewToken) == []
    bench.run(60)
    assert told(bench) == []
    bench.run(15)
    assert told(bench) == [TokenWillExpire]


def test_the_ticket_waits_for_the_session_to_stand() -> None:
    bench, server = away_with_an_expired_token("new")
    server.on_hello = lambda connection, hello: connection.send(welcome(resumed=True))
    ticket = bench.core.renew_token("new", timeout=60, now=bench.now)
    bench.run(4)
    assert not ticket.done
    bench.run(1.1)
    assert bench.states == [CONNECTED]
    assert ticket.done
    assert ticket.error is None


@pytest.mark.parametrize(
    ("refusal", "kind", "code"),
    [
        (5, InvalidToken, RenewTokenError.INVALID_TOKEN),
        (7, InvalidToken, RenewTokenError.INVALID_TOKEN),
        (6, TokenExpired, RenewTokenError.TOKEN_EXPIRED),
    ],
)
def test_a_new_token_that_is_refused_fails_the_ticket_and_changes_nothing_else(
    refusal: int, kind: type[Exception], code: RenewTokenError
) -> None:
    bench, server = away_with_an_expired_token()
    server.refuse(refusal, "No.")
    ticket = bench.core.renew_token("forged", now=bench.now)
    bench.turn()
    assert isinstance(ticket.error, kind)
    assert ticket.error.code is code
    assert ticket.error.state == "RECONNECTING"
    assert bench.states == []
    assert told(bench) == []
    server.on_hello = server.judge
    server.good.add("old")
    bench.run(9)
    assert server.last.hello is not None
    assert server.last.hello.token == "old"
    assert bench.states == [CONNECTED]


def test_a_renewal_that_runs_out_of_time_is_used_when_the_network_is_back() -> None:
    bench, server = away_with_an_expired_token("new")
    bench.dial = refused
    ticket = bench.core.renew_token("new", now=bench.now)
    bench.run(5.1)
    assert isinstance(ticket.error, RequestTimeout)
    assert not ticket.error.outcome_unknown
    bench.run(60)
    bench.dial = lambda event: None
    bench.run(9)
    assert server.last.hello is not None
    assert server.last.hello.token == "new"
    assert bench.states == [CONNECTED]


def test_an_attempt_that_has_said_hello_with_the_old_token_is_replaced() -> None:
    bench, server = online("new")
    server.answer_hello = False
    bench.hole()
    bench.run(5)
    assert [connection.hello is not None for connection in server.connections.values()] == [True, True]
    server.answer_hello = True
    ticket = bench.core.renew_token("new", now=bench.now)
    bench.turn()
    assert server.last.number == 3
    assert ticket.done
    assert bench.states == [INTERRUPTED, CONNECTED]
    assert bench.alive == {3}


def test_an_attempt_that_has_not_said_hello_takes_the_new_token_along() -> None:
    bench, server = online("new")
    bench.dial = never
    bench.hole()
    bench.run(5)
    bench.core.renew_token("new", now=bench.now)
    bench.turn()
    assert len(bench.opened) == 2
    bench.connect(2)
    bench.turn()
    assert server.last.hello is not None
    assert server.last.hello.token == "new"
    assert bench.states == [INTERRUPTED, CONNECTED]


def test_a_renewal_in_the_first_seconds_of_a_loss_makes_an_attempt_too() -> None:
    bench, server = online("new")
    bench.run(2)
    server.refuse(1, "Busy.", close=CloseCode.ENGINE_UNAVAILABLE, retry=60_000)
    bench.reset()
    bench.turn()
    server.on_hello = server.judge
    ticket = bench.core.renew_token("new", now=bench.now)
    bench.turn()
    assert ticket.done
    assert bench.states == []
    assert server.last.hello is not None
    assert server.last.hello.token == "new"


def test_another_refusal_does_not_concern_the_new_token() -> None:
    bench, server = away_with_an_expired_token("new")
    server.refuse(1, "Something else is wrong.")
    ticket = bench.core.renew_token("new", now=bench.now)
    bench.turn()
    assert not ticket.done
    server.on_hello = server.judge
    bench.run(4)
    assert ticket.done
    assert ticket.error is None


def test_a_failure_that_is_not_the_token_s_is_told_as_such() -> None:
    bench, server = online("new")
    server.answers_renewals = False
    ticket = bench.core.renew_token("new", now=bench.now)
    bench.turn()
    server.last.send(Failed(server.last.got(RenewToken)[0].i, 1, "The engine is not there."))
    bench.turn()
    assert isinstance(ticket.error, ServerFailure)


# --- With a provider -------------------------------------------------------------------------------------------


def test_a_token_handed_over_comes_before_the_provider_s() -> None:
    server = TokenServer("new", "asked")
    bench = Bench(server, token_provider=True)
    bench.login()
    bench.core.token("old", bench.now)
    bench.turn()
    bench.run(2)
    bench.dial = never
    bench.hole()
    bench.run(5)
    assert bench.asked[-1] == NeedToken(TokenReason.RECONNECT)
    bench.core.renew_token("new", now=bench.now)
    bench.core.token("asked", bench.now)
    bench.connect(bench.opened[-1].id)
    bench.turn()
    assert server.last.hello is not None
    assert server.last.hello.token == "new"
    # From the next attempt on the provider is asked again.
    asked = len(bench.asked)
    bench.run(3)
    bench.dial = lambda event: None
    bench.reset()
    bench.run(0.5)
    assert len(bench.asked) == asked + 1
    bench.core.token("asked", bench.now)
    bench.turn()
    assert server.last.hello is not None
    assert server.last.hello.token == "asked"
