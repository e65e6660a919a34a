"""Tokens that end while a session lasts: renewal, providers, both policies of a server."""

import math
import time
from collections.abc import Iterator
from typing import Literal

import pytest

import rtmsync
from rtmcore.limits import TOKEN_LEEWAY
from rtmsync import ConnectionChangeReason, ConnectionState, TokenHasExpired, TokenWillExpire
from rtmsync.server.config import DEV_APP_ID, ServerConfig
from rtmsync.server.server import Server
from rtmsync.server.tokens import AppKeys, TokenKey, make_token
from rtmsync.testing import FaultProxy
from tests.sync.conftest import Connect
from tests.sync.test_messages import eventually

KEY = TokenKey(b"a secret of thirty-two bytes, ok")


def token(user: str, left: float) -> str:
    """A token that ends so many seconds from now, up to a second later; below 0 it has ended already."""
    made = time.time() - 3600
    return make_token(KEY, app=DEV_APP_ID, user=user, now=made, seconds=math.ceil(3600 + left) + made % 1)


def ends_at(text: str) -> float:
    import jwt

    return float(jwt.decode(text, options={"verify_signature": False})["exp"])


def wait_for_wall(moment: float) -> None:
    while time.time() < moment:
        time.sleep(0.01)


def keyed(policy: Literal["keep", "abort"] = "keep") -> Server:
    config = ServerConfig(
        apps=[AppKeys(DEV_APP_ID, (KEY,))],
        port=0,
        drain_seconds=0.0,
        rate_limits=False,
        token_policy=policy,
    )
    return Server(config)


@pytest.fixture(scope="module")
def locked() -> Iterator[Server]:
    """A server that wants tokens and keeps sessions whose token has expired."""
    with keyed() as running:
        yield running


@pytest.fixture(scope="module")
def strict() -> Iterator[Server]:
    """A server that wants tokens and ends sessions whose token has expired."""
    with keyed("abort") as running:
        yield running


# --- While connected -------------------------------------------------------------------------------------------


def test_a_token_that_ends_soon_is_told_of_and_renewed(locked: Server, connect: Connect, name: str) -> None:
    client = connect(name, locked.url, token=token(name, 25))
    with client.events(TokenWillExpire, TokenHasExpired) as told:
        assert client.renew_token(token(name, 20)) is None
        soon = told.get()
        assert isinstance(soon, TokenWillExpire)
        assert 5 < soon.seconds < 22
        assert client.renew_token_future(token(name, 900)).result(30) is None
    assert client.healthy()


def test_a_callback_may_renew_the_token(strict: Server, make: Connect, name: str) -> None:
    short = token(name, 4)
    client = make(name, strict.url, token=short)
    renewed: list[float] = []

    @client.on(TokenWillExpire)
    def renew(event: TokenWillExpire) -> None:
        client.renew_token(token(name, 900))
        renewed.append(event.seconds)

    client.login()
    eventually(lambda: len(renewed) == 1)
    wait_for_wall(ends_at(short) + 1)
    client.channel(name).join()
    assert client.state is ConnectionState.CONNECTED


def test_by_default_an_expired_token_only_makes_an_event(locked: Server, connect: Connect, name: str) -> None:
    client = connect(name, locked.url, token=token(name, 40))
    with client.events(TokenHasExpired, rtmsync.StateChanged) as told:
        client.renew_token(token(name, 1))
        assert told.get() == TokenHasExpired()
        client.channel(name).join()
        assert client.state is ConnectionState.CONNECTED


@pytest.mark.produces(ConnectionChangeReason.TOKEN_EXPIRED)
def test_a_strict_server_aborts_the_session(strict: Server, connect: Connect, name: str) -> None:
    client = connect(name, strict.url, token=token(name, 40))
    with client.events(rtmsync.StateChanged) as told:
        client.renew_token(token(name, 1))
        change = told.get()
        assert isinstance(change, rtmsync.StateChanged)
        assert (change.state, change.reason) == (
            ConnectionState.ABORTED,
            ConnectionChangeReason.TOKEN_EXPIRED,
        )
    with pytest.raises(rtmsync.Aborted):
        client.send_peer(name, "no more")
    assert client.peer_connection_state is rtmsync.PeerConnectionState.FAILED


def test_auto_logout_leaves_aborted_but_never_logs_in(strict: Server, connect: Connect, name: str) -> None:
    client = connect(name, strict.url, token=token(name, 40), auto_logout_on_abort=True)
    with client.events(rtmsync.StateChanged) as told:
        client.renew_token(token(name, 1))
        states = [
            event.state for event in (told.get(), told.get()) if isinstance(event, rtmsync.StateChanged)
        ]
        assert states == [ConnectionState.ABORTED, ConnectionState.DISCONNECTED]
    with pytest.raises(rtmsync.NotLoggedIn):
        client.send_peer(name, "no more")


def test_what_is_no_token_is_refused_and_nothing_changes(locked: Server, connect: Connect, name: str) -> None:
    client = connect(name, locked.url, token=token(name, 900), rate_limits=False)
    for wrong, code in [
        ("", rtmsync.RenewTokenError.INVALID_ARGUMENT),
        ("nonsense", rtmsync.RenewTokenError.INVALID_TOKEN),
        (token(f"{name}-other", 900), rtmsync.RenewTokenError.INVALID_TOKEN),
        (token(name, -60), rtmsync.RenewTokenError.TOKEN_EXPIRED),
    ]:
        with pytest.raises(rtmsync.RtmError) as caught:
            client.renew_token(wrong)
        assert caught.value.code is code
    assert client.healthy()


def test_a_token_cannot_be_renewed_without_a_login(make: Connect) -> None:
    client = make()
    with pytest.raises(rtmsync.NotLoggedIn):
        client.renew_token("token")
    assert isinstance(client.renew_token_future("token").exception(30), rtmsync.NotLoggedIn)


# --- While reconnecting ----------------------------------------------------------------------------------------


def test_a_renewed_token_lets_a_reconnect_finish_at_once(locked: Server, connect: Connect, name: str) -> None:
    short = token(name, 4 - TOKEN_LEEWAY)  # the server will refuse it in four seconds
    with FaultProxy("127.0.0.1", locked.port) as proxy:
        client = connect(name, proxy.url, token=short)
        wait_for_wall(ends_at(short) + TOKEN_LEEWAY)
        proxy.cut()
        client.wait_until(ConnectionState.RECONNECTING)
        eventually(
            lambda: (
                isinstance(client.connection.cause, rtmsync.RtmError)
                and client.connection.cause.code is rtmsync.LoginError.TOKEN_EXPIRED
            )
        )
        info = client.connection
        assert (info.state, info.reason) == (
            ConnectionState.RECONNECTING,
            ConnectionChangeReason.INTERRUPTED,
        )
        assert info.attempt > 1
        waiting = client.channel(name).join_future(timeout=30)
        client.renew_token(token(name, 900))
        assert client.wait_until(ConnectionState.CONNECTED) is ConnectionState.CONNECTED
        assert waiting.result(30).count == 1
        client.close()


def test_a_provider_is_asked_again_until_its_token_is_good(
    locked: Server, connect: Connect, name: str
) -> None:
    short = token(name, 4 - TOKEN_LEEWAY)
    asked: list[str] = []
    good: list[str] = []

    def provide(user: str, reason: str) -> str:
        asked.append(reason)
        return good[0] if good else short

    with FaultProxy("127.0.0.1", locked.port) as proxy:
        client = connect(name, proxy.url, token=provide)
        wait_for_wall(ends_at(short) + TOKEN_LEEWAY)
        proxy.cut()
        client.wait_until(ConnectionState.RECONNECTING)
        eventually(lambda: asked.count("reconnect") >= 2)
        good.append(token(name, 900))
        assert client.wait_until(ConnectionState.CONNECTED, timeout=30) is ConnectionState.CONNECTED
        assert asked[0] == "login"
        client.close()
