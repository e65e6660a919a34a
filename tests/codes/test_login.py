"""Logins that are refused, sessions that end, and the reasons that their states come with."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import jwt
import pytest

import rtmsync
from rtmcore.codes import ConnectionChangeReason, InitError, LoginError, RenewTokenError, ServiceContextError
from rtmcore.limits import LOGIN_RATE, RENEW_TOKEN_RATE
from rtmsync import ConnectionState
from rtmsync.server.config import DEV_APP_ID, ServerConfig
from rtmsync.server.server import Server
from rtmsync.server.tokens import AppKeys, TokenKey
from rtmsync.testing import FaultProxy
from tests.codes.conftest import Muted
from tests.codes.registry import case
from tests.sync.conftest import Connect
from tests.too_often import refused_by_the_client

KEY = TokenKey(b"k" * 32)
OTHER_KEY = TokenKey(b"o" * 32)


@pytest.fixture(scope="module")
def locked() -> Iterator[Server]:
    """A server that wants tokens."""
    config = ServerConfig(apps=[AppKeys(DEV_APP_ID, (KEY,))], port=0, drain_seconds=0.0, rate_limits=False)
    with Server(config) as running:
        yield running


def token(user: str, *, key: TokenKey = KEY, lives: float = 60, **claims: object) -> str:
    now = int(time.time())
    all_claims = {"aud": DEV_APP_ID, "sub": user, "iat": now - 60, "exp": now + lives, **claims}
    return jwt.encode(all_claims, key.secret, algorithm=key.algorithm)


@pytest.mark.parametrize(
    ("code", "error", "made"),
    [
        case(LoginError.INVALID_TOKEN, rtmsync.InvalidToken, lambda user: None),
        case(LoginError.INVALID_TOKEN, rtmsync.InvalidToken, lambda user: "nonsense"),
        case(LoginError.INVALID_TOKEN, rtmsync.InvalidToken, lambda user: token(user, key=OTHER_KEY)),
        case(LoginError.INVALID_TOKEN, rtmsync.InvalidToken, lambda user: token("somebody else")),
        case(LoginError.TOKEN_EXPIRED, rtmsync.TokenExpired, lambda user: token(user, lives=-30)),
        case(LoginError.NOT_AUTHORIZED, rtmsync.NotAuthorized, lambda user: token(user, rtm={"join": ["*"]})),
    ],
)
def test_a_login_with_a_token_that_does_not_let_in(
    make: Connect,
    locked: Server,
    name: str,
    code: LoginError,
    error: type[rtmsync.RtmError],
    made: Callable[[str], str | None],
) -> None:
    client = make(user=name, url=locked.url, token=made(name))
    with pytest.raises(error) as caught:
        client.login()
    assert caught.value.code is code
    assert (client.state, client.connection.reason) == (
        ConnectionState.DISCONNECTED,
        ConnectionChangeReason.LOGIN_FAILURE,
    )


@pytest.mark.produces(LoginError.INVALID_APP_ID, ConnectionChangeReason.LOGIN_FAILURE)
def test_a_login_to_an_app_that_the_server_does_not_hold(make: Connect) -> None:
    client = make(app_id="x" * 32)
    with pytest.raises(rtmsync.InvalidAppId) as caught:
        client.login()
    assert caught.value.code is LoginError.INVALID_APP_ID
    assert client.connection.reason is ConnectionChangeReason.LOGIN_FAILURE


@pytest.mark.produces(LoginError.REJECTED, ConnectionChangeReason.BANNED_BY_SERVER)
def test_a_banned_user_is_put_out_and_rejected(connect: Connect, server: Server, name: str) -> None:
    client = connect(user=name)
    server.ban(DEV_APP_ID, name)
    client.wait_until(ConnectionState.ABORTED)
    assert client.connection.reason is ConnectionChangeReason.BANNED_BY_SERVER
    client.logout()
    with pytest.raises(rtmsync.Banned) as caught:
        client.login()
    assert caught.value.code is LoginError.REJECTED


@pytest.mark.produces(LoginError.ALREADY_LOGIN)
def test_a_client_logs_in_once(connect: Connect) -> None:
    with pytest.raises(rtmsync.AlreadyLoggedIn) as caught:
        connect().login()
    assert caught.value.code is LoginError.ALREADY_LOGIN


@pytest.mark.produces(LoginError.TOO_OFTEN)
def test_logins_above_the_rate(make: Connect, limited: Server) -> None:
    client = make(url=limited.url, rate_limits=True)
    error = refused_by_the_client(LOGIN_RATE, lambda: (client.login(), client.logout()))
    assert error.code is LoginError.TOO_OFTEN


@pytest.mark.produces(LoginError.ABORTED_BY_LOGOUT)
def test_a_logout_ends_a_login(make: Connect, proxy: FaultProxy, proxied: str) -> None:
    proxy.blackhole()
    client = make(url=proxied)
    future = client.login_future()
    client.logout()
    error = future.exception(10)
    assert isinstance(error, rtmsync.StateError)
    assert error.code is LoginError.ABORTED_BY_LOGOUT
    assert client.connection.reason is ConnectionChangeReason.LOGOUT


@pytest.mark.produces(
    ConnectionChangeReason.LOGIN, ConnectionChangeReason.LOGIN_SUCCESS, ConnectionChangeReason.LOGOUT
)
def test_each_change_of_the_state_has_its_reason(make: Connect) -> None:
    client = make()
    with client.events(rtmsync.StateChanged) as told:
        client.login()
        client.logout()
        changes = [told.get() for _ in range(3)]
    assert [
        (change.state, change.reason) for change in changes if isinstance(change, rtmsync.StateChanged)
    ] == [
        (ConnectionState.CONNECTING, ConnectionChangeReason.LOGIN),
        (ConnectionState.CONNECTED, ConnectionChangeReason.LOGIN_SUCCESS),
        (ConnectionState.DISCONNECTED, ConnectionChangeReason.LOGOUT),
    ]


@pytest.mark.produces(ConnectionChangeReason.REMOTE_LOGIN)
def test_a_second_login_of_a_user_aborts_the_first(connect: Connect, name: str) -> None:
    first = connect(user=name)
    connect(user=name)
    first.wait_until(ConnectionState.ABORTED)
    assert first.connection.reason is ConnectionChangeReason.REMOTE_LOGIN


# --- Renewing a token ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "error", "made"),
    [
        case(RenewTokenError.INVALID_TOKEN, rtmsync.InvalidToken, lambda user: "nonsense"),
        case(RenewTokenError.INVALID_TOKEN, rtmsync.InvalidToken, lambda user: token("somebody else")),
        case(RenewTokenError.TOKEN_EXPIRED, rtmsync.TokenExpired, lambda user: token(user, lives=-30)),
    ],
)
def test_a_token_that_cannot_be_the_next_one(
    connect: Connect,
    locked: Server,
    name: str,
    code: RenewTokenError,
    error: type[rtmsync.RtmError],
    made: Callable[[str], str],
) -> None:
    client = connect(user=name, url=locked.url, token=token(name))
    with pytest.raises(error) as caught:
        client.renew_token(made(name))
    assert caught.value.code is code
    assert client.healthy()


@pytest.mark.produces(RenewTokenError.TOO_OFTEN)
def test_renewals_above_the_rate(connect: Connect, limited: Server) -> None:
    client = connect(url=limited.url, rate_limits=True)
    error = refused_by_the_client(RENEW_TOKEN_RATE, lambda: client.renew_token("x"))
    assert error.code is RenewTokenError.TOO_OFTEN


@pytest.mark.produces(RenewTokenError.ABORTED_BY_LOGOUT)
def test_a_logout_ends_a_renewal(muted: Muted) -> None:
    client = muted()
    renewal = client.renew_token_future("x")
    client.logout(0.1)
    error = renewal.exception(10)
    assert isinstance(error, rtmsync.StateError)
    assert error.code is RenewTokenError.ABORTED_BY_LOGOUT


# --- Making a client -----------------------------------------------------------------------------------------------


@pytest.mark.produces(InitError.ALREADY_INITIALIZED)
def test_a_client_is_made_once(connect: Connect, name: str) -> None:
    client = connect(user=name)
    with pytest.raises(rtmsync.StateError) as caught:
        client.__init__(*client.config.urls, app_id=DEV_APP_ID, user_id=name)  # type: ignore[misc]
    assert caught.value.code is InitError.ALREADY_INITIALIZED
    assert client.healthy()


def run(url: str, code: str) -> str:
    """What a program prints."""
    done = subprocess.run(
        [sys.executable, "-c", f"import rtmsync\nurl, app = {url!r}, {DEV_APP_ID!r}\n{code}"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout.strip()


@pytest.mark.produces(InitError.FAILURE)
def test_a_system_without_descriptors_left_cannot_have_a_client(server: Server) -> None:
    pytest.importorskip("resource")
    printed = run(
        server.url,
        """
import resource
client = rtmsync.Client(url, app_id=app, user_id="alice", proxy=None)
limits = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
try:
    client.login()
except rtmsync.ConnectionFailed as error:
    print(type(error.code).__name__, int(error.code), type(error.__cause__).__name__, client.state.name)
resource.setrlimit(resource.RLIMIT_NOFILE, limits)
client.login()
print(client.state.name)
client.close()
""",
    )
    assert printed.splitlines() == ["InitError 1 OSError DISCONNECTED", "CONNECTED"]


@pytest.mark.produces(ServiceContextError.OK, ServiceContextError.FAILURE)
def test_the_region_is_chosen_before_the_first_client(server: Server) -> None:
    printed = run(
        server.url,
        """
rtmsync.set_service_context(rtmsync.AreaCode.EU, {rtmsync.AreaCode.EU: url})
with rtmsync.connect(rtmsync.service_urls(), app_id=app, user_id="alice", proxy=None) as client:
    print(client.state.name)
    try:
        rtmsync.set_service_context(rtmsync.AreaCode.EU, {rtmsync.AreaCode.EU: url})
    except rtmsync.StateError as error:
        print(type(error.code).__name__, int(error.code))
""",
    )
    assert printed.splitlines() == ["CONNECTED", "ServiceContextError 1"]
