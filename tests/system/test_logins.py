"""Who gets in, who does not and why, and who is put out."""

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import jwt
import pytest
import trustme

import rtmsync
from rtmcore.limits import LOGIN_RATE, LOGIN_TIMEOUT
from rtmsync import (
    Aborted,
    Client,
    ConnectionChangeReason,
    ConnectionState,
    LoginError,
    NotLoggedIn,
    PeerMessage,
    RtmError,
    StateChanged,
    TlsConfig,
)
from rtmsync.server.config import DEV_APP_ID
from rtmsync.server.tokens import AppKeys, TokenKey, make_token
from tests.system.conftest import WAIT
from tests.too_often import refused_by_the_client, refused_by_the_server

KEY = TokenKey(b"k" * 32)


@pytest.fixture
def locked(serve):
    return serve(apps=[AppKeys(DEV_APP_ID, (KEY,))])


def refused(url: str, **options: object) -> RtmError:
    """The error of a login that must fail, from a client that must be DISCONNECTED and silent afterwards."""
    settings = {"app_id": DEV_APP_ID, "user_id": "alice", "proxy": None, **options}
    with Client(url, **settings) as client:
        with pytest.raises(RtmError) as caught:
            client.login()
        assert client.state is ConnectionState.DISCONNECTED
        with pytest.raises(NotLoggedIn):
            client.send_peer("bob", "hello")
    return caught.value


def token(**changes: object) -> str:
    now = int(time.time())
    claims = {"aud": DEV_APP_ID, "sub": "alice", "iat": now, "exp": now + 60, **changes}
    return jwt.encode(claims, KEY.secret, algorithm=KEY.algorithm)


def test_a_good_token_logs_in(locked) -> None:
    good = make_token(KEY, app=DEV_APP_ID, user="alice", now=time.time())
    with rtmsync.connect(locked.url, app_id=DEV_APP_ID, user_id="alice", token=good, proxy=None) as client:
        assert client.state is ConnectionState.CONNECTED
    with rtmsync.connect(
        locked.url, app_id=DEV_APP_ID, user_id="alice", token=lambda *_: good, proxy=None
    ) as client:
        assert client.state is ConnectionState.CONNECTED


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        ({"app_id": "x" * 32}, LoginError.INVALID_APP_ID, "app id"),
        ({"app_id": "short"}, LoginError.INVALID_APP_ID, "32"),
        ({"token": None}, LoginError.INVALID_TOKEN, "token"),
        ({"token": "rubbish"}, LoginError.INVALID_TOKEN, "malformed"),
        ({"token": lambda *_: token(sub="bob")}, LoginError.INVALID_TOKEN, "another user"),
        ({"token": lambda *_: token(nbf=time.time() + 60)}, LoginError.INVALID_TOKEN, "not valid before"),
        (
            {"token": make_token(TokenKey(b"x" * 32), app=DEV_APP_ID, user="alice", now=time.time())},
            LoginError.INVALID_TOKEN,
            "not signed",
        ),
        ({"token": lambda *_: token(exp=time.time() - 60)}, LoginError.TOKEN_EXPIRED, "expired"),
        ({"token": lambda *_: token(rtm={"send": ["p2p"]})}, LoginError.NOT_AUTHORIZED, "scope"),
    ],
    ids=[
        "unknown app",
        "bad app",
        "none",
        "malformed",
        "another user",
        "not yet",
        "signature",
        "expired",
        "scope",
    ],
)
def test_a_refused_login_has_its_documented_code_and_names_the_cause(
    locked, options, code, words: str
) -> None:
    error = refused(locked.url, **options)
    assert error.code is code
    assert words in str(error)


def test_a_second_login_is_refused_and_changes_nothing(server, connect) -> None:
    alice = connect(server, "alice")
    with pytest.raises(rtmsync.AlreadyLoggedIn) as caught:
        alice.login()
    assert caught.value.code is LoginError.ALREADY_LOGIN
    assert alice.state is ConnectionState.CONNECTED


def test_logins_above_the_rate_are_refused_by_the_client(serve) -> None:
    server = serve(rate_limits=True)
    with Client(server.url, app_id=DEV_APP_ID, user_id="alice", proxy=None) as client:
        error = refused_by_the_client(LOGIN_RATE, lambda: (client.login(), client.logout()))
    assert error.code is LoginError.TOO_OFTEN
    assert error.retry_after is not None
    assert 0 < error.retry_after <= LOGIN_RATE.seconds


def test_logins_above_the_rate_are_refused_by_the_server_too(serve) -> None:
    server = serve(rate_limits=True)
    error = refused_by_the_server(
        LOGIN_RATE,
        lambda: rtmsync.connect(server.url, app_id=DEV_APP_ID, user_id="alice", proxy=None).close(),
    )
    assert error.code is LoginError.TOO_OFTEN


@pytest.fixture
def mute() -> Iterator[str]:
    """A port that accepts connections and never says anything."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"ws://127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture
def http_only() -> Iterator[str]:
    """A web server that knows nothing of WebSockets."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                asked = b""
                while b"\r\n\r\n" not in asked and (piece := connection.recv(65536)):
                    asked += piece
                connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\nno such x")

        thread = threading.Thread(target=answer)
        thread.start()
        yield f"ws://127.0.0.1:{listener.getsockname()[1]}"
        thread.join(WAIT)


@pytest.mark.slow
def test_a_server_that_is_not_there_is_tried_for_twelve_seconds(mute: str, closed_port: int) -> None:
    refusing = f"ws://127.0.0.1:{closed_port}"
    places = {mute: "answer", refusing: "refused", "ws://nowhere.invalid": "nowhere.invalid"}

    def attempt(url: str) -> tuple[rtmsync.RtmError, float]:
        started = time.monotonic()
        return refused(url), time.monotonic() - started

    with ThreadPoolExecutor(len(places)) as threads:
        results = dict(zip(places, threads.map(attempt, places), strict=True))
    for url, words in places.items():
        error, lasted = results[url]
        assert LOGIN_TIMEOUT - 0.5 < lasted < 1.5 * LOGIN_TIMEOUT
        assert error.code is LoginError.TIMEOUT
        assert words in f"{error} {error.__cause__}"
    # A look-up ends when the system gives it up, which may be after all of this.
    for thread in threading.enumerate():
        if thread.name.startswith("rtm-names"):
            thread.join(2 * WAIT)


def test_a_refusal_over_http_ends_the_login_at_once(http_only) -> None:
    started = time.monotonic()
    error = refused(http_only)
    assert time.monotonic() - started < LOGIN_TIMEOUT
    assert error.code is LoginError.UNKNOWN
    assert "404" in f"{error} {error.__cause__}"


def test_a_certificate_that_is_not_trusted_ends_the_login_at_once(serve, tmp_path) -> None:
    authority, certificate = trustme.CA(), tmp_path / "server.pem"
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(certificate))
    server = serve(tls_certificate=certificate)
    started = time.monotonic()
    error = refused(server.url)
    assert time.monotonic() - started < LOGIN_TIMEOUT
    assert error.code is LoginError.UNKNOWN
    assert "trusted" in f"{error} {error.__cause__}"
    context = ssl.create_default_context()
    authority.configure_trust(context)
    for tls in (context, TlsConfig(insecure=True)):
        rtmsync.connect(server.url, app_id=DEV_APP_ID, user_id="alice", tls=tls, proxy=None).close()


def test_a_second_login_of_a_user_puts_the_first_out_until_it_logs_out(
    server, connect: Callable[..., Client]
) -> None:
    first = connect(server, "alice")
    states = first.events(StateChanged)
    bob = connect(server, "bob")
    second = connect(server, "alice")
    change = states.get(WAIT)
    assert (change.state, change.reason) == (ConnectionState.ABORTED, ConnectionChangeReason.REMOTE_LOGIN)
    inbox = second.events(PeerMessage)
    bob.send_peer("alice", "to the second")
    assert inbox.get(WAIT).text == "to the second"
    with pytest.raises(Aborted):
        first.send_peer("bob", "hello")
    with pytest.raises(rtmsync.AlreadyLoggedIn):
        first.login()
    assert first.state is ConnectionState.ABORTED
    first.logout()
    assert first.state is ConnectionState.DISCONNECTED
    first.login()
    assert second.wait_until(ConnectionState.ABORTED, WAIT) is not None


def test_a_late_attempt_of_a_client_does_not_put_its_newer_one_out(server, connect, proxy) -> None:
    """The link stalls, the client comes back on a second transport, and then the first comes to life again."""
    link = proxy()
    alice: Client = connect(link, "alice")
    bob: Client = connect(server, "bob")
    inbox = alice.events(PeerMessage)
    states = alice.events(StateChanged)
    link.blackhole(connection=1)
    link.wait_for(2, timeout=WAIT)
    for number in range(3):
        bob.send_peer("alice", str(number))
        assert inbox.get(WAIT).text == str(number)
    link.heal()
    bob.send_peer("alice", "healed")
    assert inbox.get(WAIT).text == "healed"
    assert alice.state is ConnectionState.CONNECTED
    assert ConnectionState.ABORTED not in {states.get(1).state for _ in range(len(states))}
