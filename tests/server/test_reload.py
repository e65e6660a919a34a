"""New settings for a running server: they count for whoever comes next, and nobody who is there is sent away."""

import contextlib
import http.client
import ssl
import time
from pathlib import Path

import attrs
import pytest
import trustme

import rtmsync
from rtmcore.codes import ConnectionState, LoginError
from rtmcore.errors import AuthError, InvalidArgument, LimitExceeded, RateLimited
from rtmcore.limits import RateLimit
from rtmsync.server.config import ServerConfig
from rtmsync.server.server import Server
from rtmsync.server.tokens import AppKeys, TokenKey, make_token
from tests.server.conftest import Serve

APP = "a" * 32
UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "MDEyMzQ1Njc4OWFiY2RlZg==",
    "Sec-WebSocket-Protocol": "rtm.v1.json",
}
OLD = TokenKey(b"o" * 32, kid="old")
NEW = TokenKey(b"n" * 32, kid="new")


def connect(server: Server, user: str, key: TokenKey, **options: object) -> rtmsync.Client:
    token = make_token(key, app=APP, user=user, now=time.time())
    return rtmsync.connect(server.url, app_id=APP, user_id=user, token=token, proxy=None, **options)  # type: ignore[arg-type]


def test_keys_change_under_a_session_that_stays(serve: Serve) -> None:
    server = serve(apps=[AppKeys(APP, (OLD,))])
    with connect(server, "alice", OLD) as alice:
        with pytest.raises(AuthError):
            connect(server, "bob", NEW)
        assert server.reload(attrs.evolve(server.config, apps=[AppKeys(APP, (OLD, NEW))])) == ()
        connect(server, "bob", NEW).close()
        connect(server, "carol", OLD).close()
        assert server.reload(attrs.evolve(server.config, apps=[AppKeys(APP, (NEW,))])) == ()
        with pytest.raises(AuthError) as refused:
            connect(server, "carol", OLD)
        assert refused.value.code is LoginError.INVALID_TOKEN
        with connect(server, "bob", NEW) as bob:
            inbox = alice.events(rtmsync.PeerMessage)
            bob.send_peer("alice", "still here?")
            assert inbox.get(timeout=30).text == "still here?"
        assert alice.state is ConnectionState.CONNECTED
        alice.renew_token(make_token(NEW, app=APP, user="alice", now=time.time()))


def test_apps_come_and_go(serve: Serve) -> None:
    other = "b" * 32
    server = serve(apps=[AppKeys(APP, (OLD,))])
    server.reload(attrs.evolve(server.config, apps=[AppKeys(APP, (OLD,)), AppKeys(other)]))
    with rtmsync.connect(server.url, app_id=other, user_id="alice", proxy=None):
        server.ban(other, "mallory")
    server.reload(attrs.evolve(server.config, apps=[AppKeys(APP, (OLD,))]))
    with pytest.raises(AuthError) as refused:
        rtmsync.connect(server.url, app_id=other, user_id="alice", proxy=None)
    assert refused.value.code is LoginError.INVALID_APP_ID


def test_what_needs_a_restart_is_said_and_stays(serve: Serve, tmp_path: Path) -> None:
    server = serve(apps=[AppKeys(APP, (OLD,))])
    before = server.config
    changed = attrs.evolve(before, port=1, node="other", data_dir=tmp_path, dev=True, drain_seconds=1.0)
    said = server.reload(changed)
    assert [sentence.split()[0] for sentence in said] == ["port", "data_dir", "dev", "node"]
    assert all("restart" in sentence for sentence in said)
    assert server.config == attrs.evolve(before, drain_seconds=1.0)
    connect(server, "alice", OLD).close()


@pytest.mark.parametrize("on_disk", [False, True])
def test_rates_and_limits_change_under_a_session_that_stays(
    serve: Serve, tmp_path: Path, on_disk: bool
) -> None:
    server = serve(apps=[AppKeys(APP, (OLD,))], data_dir=tmp_path / "data" if on_disk else None)
    with connect(server, "alice", OLD) as alice:
        first = alice.channel("one")
        first.join()
        changed = attrs.evolve(
            server.config,
            limits={"message": 100, "channels": 1},
            rates={"send": RateLimit(1, 60.0)},
            token_policy="abort",
        )
        assert server.reload(changed) == ()
        with pytest.raises(InvalidArgument):
            alice.send_peer("nobody", "x" * 101, offline=True)
        with pytest.raises(LimitExceeded):
            alice.channel("two").join()
        first.send("still a member")
        with connect(server, "bob", OLD) as bob:
            bob.send_peer("nobody", "within the rate", offline=True)
            with pytest.raises(RateLimited):
                bob.send_peer("nobody", "one too many", offline=True)
        assert server.reload(attrs.evolve(changed, limits={}, rates={})) == ()
        alice.channel("two").join()
        alice.send_peer("nobody", "x" * 101, offline=True)
        assert alice.state is ConnectionState.CONNECTED


def test_origins_and_server_keys_change_under_a_session_that_stays(serve: Serve) -> None:
    server = serve(apps=[AppKeys(APP, (OLD,))], server_keys={APP: ["first-key-0123456789"]})

    def counts(key: str) -> bool:
        try:
            with rtmsync.Publisher(server.url, app_id=APP, server_key=key) as publisher:
                publisher.member_counts(["ops"])
        except AuthError:
            return False
        return True

    def opens(origin: str) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        connection.request("GET", "/rtm/v1", headers={**UPGRADE, "Origin": origin})
        with contextlib.closing(connection):
            return connection.getresponse().status == 101

    with connect(server, "alice", OLD) as alice:
        assert (counts("first-key-0123456789"), counts("second-key-0123456789")) == (True, False)
        assert not opens("https://example.org")
        changed = attrs.evolve(
            server.config,
            server_keys={APP: ["second-key-0123456789"]},
            allowed_origins=("https://example.org",),
        )
        assert server.reload(changed) == ()
        assert (counts("first-key-0123456789"), counts("second-key-0123456789")) == (False, True)
        assert opens("https://example.org")
        assert alice.state is ConnectionState.CONNECTED


def test_settings_that_are_not_possible_change_nothing(serve: Serve, tmp_path: Path) -> None:
    authority = trustme.CA()
    pem = tmp_path / "server.pem"
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(pem)
    server = serve(apps=[AppKeys(APP, (OLD,))], tls_certificate=pem)
    before = server.config
    with pytest.raises(InvalidArgument, match="TLS certificate"):
        server.reload(
            attrs.evolve(before, apps=[AppKeys(APP, (NEW,))], tls_certificate=tmp_path / "none.pem")
        )
    assert server.config == before
    assert [one.split()[0] for one in server.reload(attrs.evolve(before, tls_certificate=None))] == [
        "tls_certificate"
    ]
    assert server.config == before
    context = ssl.create_default_context()
    authority.configure_trust(context)
    connect(server, "alice", OLD, tls=context).close()


def test_a_new_certificate_is_shown_to_whoever_connects_next(serve: Serve, tmp_path: Path) -> None:
    pem = tmp_path / "server.pem"
    first, second = trustme.CA(), trustme.CA()
    first.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(pem)
    server = serve(apps=[AppKeys(APP, (OLD,))], tls_certificate=pem)
    contexts = [ssl.create_default_context() for _ in range(2)]
    for authority, context in zip((first, second), contexts, strict=True):
        authority.configure_trust(context)
    with connect(server, "alice", OLD, tls=contexts[0]) as alice:
        pem.unlink()
        second.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(pem)
        server.reload(server.config)
        connect(server, "bob", OLD, tls=contexts[1]).close()
        assert alice.state is ConnectionState.CONNECTED


def test_a_server_that_has_not_started_takes_new_settings_too() -> None:
    server = Server(ServerConfig(apps=[AppKeys(APP, (OLD,))], port=0))
    server.reload(ServerConfig(apps=[AppKeys(APP, (NEW,))], port=0))
    with server:
        connect(server, "alice", NEW).close()
