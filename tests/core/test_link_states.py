"""The state of a client's link in ICE's words, of its TLS in DTLS's, and the aggregate over both (seed 003)."""

from typing import Any

import pytest

from rtmcore.codes import CloseCode, PeerConnectionState
from rtmcore.errors import TlsError
from rtmcore.wire.packets import Kicked, Ready
from tests.core.wires import Bench, never, refused, welcome


def look(bench: Bench) -> tuple[str, str | None]:
    session = bench.core.session
    return session.link_state.value, session.tls_state and session.tls_state.value


def changes(bench: Bench) -> list[str]:
    assert all(e.state is not e.previous for e in bench.aggregates)
    if bench.aggregates and not bench.core.closed:
        assert bench.aggregates[-1].state is bench.core.peer_connection_state
    return [event.state.value for event in bench.aggregates]


def bench_of(*, tls: bool, **settings: Any) -> Bench:
    return Bench(endpoints=f"{'wss' if tls else 'ws'}://server.test", **settings)


def only(tls: bool, state: str) -> str | None:
    return state if tls else None


@pytest.mark.parametrize("tls", [False, True])
def test_from_new_over_a_login_and_an_outage_to_closed(tls: bool) -> None:
    bench = bench_of(tls=tls)
    assert look(bench) == ("new", only(tls, "new"))
    assert bench.core.peer_connection_state is PeerConnectionState.NEW
    bench.dial = never
    bench.server.answer_hello = False
    ticket = bench.login()
    assert look(bench) == ("checking", only(tls, "connecting"))
    bench.connect(1)
    bench.turn()
    assert look(bench) == ("checking", only(tls, "connected"))
    bench.server.last.send(welcome())
    bench.turn()
    assert look(bench) == ("checking", only(tls, "connected"))
    bench.server.last.send(Ready())
    bench.turn()
    assert ticket.error is None
    assert look(bench) == ("connected", only(tls, "connected"))
    bench.reset()
    bench.turn()
    assert look(bench) == ("disconnected", only(tls, "connected"))
    bench.run(5)
    assert look(bench) == ("disconnected", only(tls, "connected"))
    bench.server.answer_hello = True
    bench.connect(bench.opened[-1].id)
    bench.run(1)
    assert look(bench) == ("connected", only(tls, "connected"))
    assert changes(bench) == ["connecting", "connected", "disconnected", "connected"]
    bench.core.close(bench.now)
    bench.turn()
    assert look(bench) == ("closed", only(tls, "closed"))
    assert bench.core.peer_connection_state is PeerConnectionState.CLOSED
    assert changes(bench) == ["connecting", "connected", "disconnected", "connected"], (
        "close() fires no event"
    )


@pytest.mark.parametrize("tls", [False, True])
def test_a_logout_makes_everything_new(tls: bool) -> None:
    bench = bench_of(tls=tls).online()
    bench.aggregates.clear()
    bench.core.logout(bench.now)
    assert look(bench) == ("connected", only(tls, "connected"))
    bench.turn()
    assert look(bench) == ("new", only(tls, "new"))
    assert changes(bench) == ["new"]


@pytest.mark.parametrize("how", ["timeout", "refusal", "kick"])
def test_given_up_or_kicked_is_failed_until_the_next_login(how: str) -> None:
    bench = Bench()
    if how == "kick":
        bench.online()
        bench.server.last.send(Kicked(8))
        bench.turn()
    elif how == "refusal":
        bench.server.refuse(5, "No.")
        bench.login()
    else:
        bench.dial = refused
        bench.login()
        bench.run(12)
    assert look(bench) == ("failed", None)
    assert changes(bench)[-1] == "failed"
    assert changes(bench)[:-1] == (["connecting", "connected"] if how == "kick" else ["connecting"])
    if how == "kick":
        bench.core.logout(bench.now)
        bench.turn()
        assert look(bench) == ("new", None)
    bench.dial = lambda event: None
    bench.server.on_hello = bench.server.accept
    bench.login()
    assert look(bench) == ("connected", None)


def test_a_tls_failure_is_told_by_the_tls_state() -> None:
    bench = bench_of(tls=True)
    bench.dial = lambda event: TlsError("The certificate is for another host.")
    bench.login()
    assert look(bench) == ("failed", "failed")
    assert changes(bench) == ["connecting", "failed"]


def test_a_spare_transport_beside_a_silent_one_is_disconnected_and_the_old_one_s_word_connects_again() -> (
    None
):
    bench = Bench().online()
    bench.aggregates.clear()
    bench.dial = never
    bench.hole()
    bench.run(3.2)
    assert look(bench) == ("disconnected", None)
    bench.hole(bench.server.connections[1], open_=False)
    bench.run(1)
    assert look(bench) == ("connected", None)
    assert changes(bench) == ["disconnected", "connected"]


def test_a_failed_spare_transport_beside_one_that_speaks_again_connects_too() -> None:
    bench = Bench().online()
    bench.aggregates.clear()
    bench.server.answer_hello = False
    bench.hole()
    bench.run(3.2)
    bench.hole(bench.server.connections[1], open_=False)
    bench.run(0.5)
    assert look(bench) == ("disconnected", None)
    bench.server.last.close(CloseCode.ENGINE_UNAVAILABLE)
    bench.turn()
    assert look(bench) == ("connected", None)
    assert changes(bench) == ["disconnected", "connected"]


def test_attempts_that_fail_change_nothing() -> None:
    bench = Bench().online()
    bench.aggregates.clear()
    bench.dial = refused
    bench.reset()
    bench.run(300)
    assert changes(bench) == ["disconnected"]


@pytest.mark.parametrize("rules", ["w3c", "mdn2021"])
def test_both_rules_agree_on_one_link_without_tls(rules: str) -> None:
    bench = Bench(aggregate_rules=rules).online()
    bench.reset()
    bench.run(1)
    assert changes(bench) == ["connecting", "connected", "disconnected", "connected"]
