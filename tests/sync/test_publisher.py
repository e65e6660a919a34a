"""A publisher against real servers."""

import contextlib
import os
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

import rtmsync
from rtmsync.publisher import Publisher, PublishStatus
from rtmsync.server.config import DEV_APP_ID, ServerConfig
from rtmsync.server.server import Server
from rtmsync.server.tokens import AppKeys

KEY = "server-key-0123456789"


def config(**changes) -> ServerConfig:
    settings = {
        "apps": [AppKeys(DEV_APP_ID)],
        "port": 0,
        "drain_seconds": 0.0,
        "server_keys": {DEV_APP_ID: [KEY]},
    }
    return ServerConfig(**{**settings, **changes})


def publisher_of(url: str, key: str = KEY) -> Publisher:
    return Publisher(url, app_id=DEV_APP_ID, server_key=key)


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(config()) as server:
        yield server


@pytest.fixture
def publisher(server: Server) -> Iterator[Publisher]:
    with publisher_of(server.url) as publisher:
        yield publisher


def test_messages_reach_clients_and_come_back_as_their_results(server, publisher):
    assert publisher.send_peer("alice", "early", sender="shop") is PublishStatus.PEER_UNREACHABLE
    assert publisher.send_peer("alice", "kept", sender="shop", offline=True) is PublishStatus.CACHED
    with rtmsync.connect(server.url, app_id=DEV_APP_ID, user_id="alice", timeouts={"login": 30}) as alice:
        messages = alice.events(rtmsync.PeerMessage)
        kept = messages.get(timeout=30)
        assert (kept.sender, kept.text, kept.offline) == ("shop", "kept", True)
        assert publisher.send_peer("alice", "now", sender="shop") is PublishStatus.SENT
        assert messages.get(timeout=30).text == "now"
        sent = publisher.send_peer("alice", b"\0", sender="shop", wait_for_ack=True)
        assert sent is PublishStatus.DELIVERED
        assert messages.get(timeout=30).body == b"\0"
        assert publisher.member_counts(["room"]) == {"room": 0}
        assert publisher.publish("room", "to nobody", sender="a b&c") > 0
        publisher.ban("alice", "spam")
        deadline = time.monotonic() + 30
        while alice.state is not rtmsync.ConnectionState.ABORTED:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    publisher.unban("alice")
    rtmsync.connect(server.url, app_id=DEV_APP_ID, user_id="alice").close()


def test_a_repeat_sends_nothing(publisher):
    first = publisher.publish("room", "x", sender="shop", idempotency_key="k")
    assert publisher.publish("room", "x", sender="shop", idempotency_key="k") == first
    assert publisher.publish("room", "x", sender="shop") != first
    with pytest.raises(rtmsync.InvalidArgument, match="belongs to an earlier request"):
        publisher.publish("room", "y", sender="shop", idempotency_key="k")


@pytest.mark.parametrize(
    ("call", "kind", "code"),
    [
        (lambda one: one.send_peer("", "x", sender="s"), rtmsync.InvalidArgument, "INVALID_USER_ID"),
        (lambda one: one.send_peer("a", "", sender="s"), rtmsync.InvalidArgument, "INVALID_MESSAGE"),
        (lambda one: one.publish("a", "x" * 40_000, sender="s"), rtmsync.InvalidArgument, "INVALID_MESSAGE"),
        (lambda one: one.member_counts([f"c{i}" for i in range(33)]), rtmsync.LimitExceeded, "EXCEED_LIMIT"),
        (lambda one: one.ban("a" * 65), rtmsync.InvalidArgument, None),
        (lambda one: one.publish("a", "x" * 300_000, sender="s"), rtmsync.InvalidArgument, "INVALID_MESSAGE"),
        (
            lambda one: one.send_peer("a", b"x" * 300_000, sender="s"),
            rtmsync.InvalidArgument,
            "INVALID_MESSAGE",
        ),
        (lambda one: one.publish("a", None, sender="s"), rtmsync.InvalidArgument, "INVALID_MESSAGE"),
        (lambda one: one.publish("a", "x", sender="s" * 20_000), rtmsync.InvalidArgument, None),
        (lambda one: one.publish("a", "x", sender=".."), rtmsync.InvalidArgument, None),
        (lambda one: one.publish("a", "x", sender=""), rtmsync.InvalidArgument, None),
        (lambda one: one.ban("a", b"spam"), rtmsync.InvalidArgument, None),
        (lambda one: one.kick("a", idempotency_key=""), rtmsync.InvalidArgument, None),
        (lambda one: one.kick("a", idempotency_key="a\r\nb: c"), rtmsync.InvalidArgument, None),
    ],
)
def test_refusals_are_those_of_the_client(publisher, call, kind, code):
    with pytest.raises(kind) as caught:
        call(publisher)
    assert getattr(caught.value.code, "name", None) == code


@pytest.mark.parametrize(
    ("status", "body", "kind", "said"),
    [
        ("200 OK", "<h1>Welcome</h1>", rtmsync.ServerFailure, "HTTP 200, with an answer that is not one of"),
        ("200 OK", "{}", rtmsync.ServerFailure, "HTTP 200, with an answer that is not one of"),
        ("200 OK", "[]", rtmsync.ServerFailure, "HTTP 200, with an answer that is not one of"),
        ("200 OK", '{"code": "well"}', rtmsync.ServerFailure, "HTTP 200, with an answer that is not one of"),
        ("200 OK", '{"id": 1e999}', rtmsync.ServerFailure, "HTTP 200, with an answer that is not one of"),
        ("302 Found", "", rtmsync.ServerFailure, "HTTP 302, with an answer that is not one of"),
        ("502 Bad Gateway", "<h1>Oh</h1>", rtmsync.ServerFailure, "a proxy or another program"),
        ("413 Too Large", "<h1>Oh</h1>", rtmsync.InvalidArgument, "larger than the server, or a proxy"),
        ("504 Gateway Timeout", "<h1>Oh</h1>", rtmsync.RequestTimeout, "HTTP 504"),
    ],
)
def test_an_answer_of_somebody_else_is_an_error_that_says_so(status, body, kind, said):
    for call in (
        lambda one: one.send_peer("a", "x", sender="s", timeout=30),
        lambda one: one.publish("a", "x", sender="s", timeout=30),
        lambda one: one.user_events(timeout=30),
    ):
        with somebody_else(status, body) as url, publisher_of(url) as publisher:
            with pytest.raises(kind) as caught:
                call(publisher)
            assert said in str(caught.value)


@contextlib.contextmanager
def somebody_else(status: str, body: str) -> Iterator[str]:
    """A program that gives one answer, whatever it is asked."""

    def answer() -> None:
        connection = listener.accept()[0]
        with connection, contextlib.suppress(OSError):
            asked = b""
            while b"\r\n\r\n" not in asked:
                asked += connection.recv(65536)
            connection.sendall(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65536):
                pass

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        try:
            yield f"ws://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            thread.join(30)


def test_wrong_keys_and_apps(server):
    with (
        publisher_of(server.url, "wrong-key-0123456789") as wrong,
        pytest.raises(rtmsync.NotAuthorized) as caught,
    ):
        wrong.publish("room", "x", sender="s")
    assert "wrong-key" not in f"{caught.value} {wrong!r}"
    other = Publisher(server.url, app_id="x" * 32, server_key=KEY)
    with other, pytest.raises(rtmsync.InvalidAppId):
        other.publish("room", "x", sender="s")
    with pytest.raises(rtmsync.ClientClosed):
        other.publish("room", "x", sender="s")


def test_keys_change_with_a_reload(server, publisher):
    publisher.publish("room", "x", sender="s")
    server.reload(config(port=server.config.port, server_keys={DEV_APP_ID: ["another-key-0123456789"]}))
    with pytest.raises(rtmsync.NotAuthorized):
        publisher.publish("room", "x", sender="s")


def test_a_connection_that_went_stale_is_replaced():
    with Server(config()) as first:
        port = first.port
        publisher = publisher_of(first.url)
        publisher.publish("room", "x", sender="s")
    with publisher, Server(config(port=port)):
        assert publisher.publish("room", "x", sender="s") > 0


def test_no_server_and_silent_servers():
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"ws://127.0.0.1:{silent.getsockname()[1]}"
        with publisher_of(url) as publisher:
            for call in (
                lambda: publisher.publish("room", "x", sender="s", timeout=0.2),
                lambda: publisher.send_peer("a", "x", sender="s", timeout=0.2),
                lambda: publisher.member_counts("a", timeout=0.2),
                lambda: publisher.ban("a", timeout=0.2),
                lambda: publisher.unban("a", timeout=0.2),
                lambda: publisher.kick("a", timeout=0.2),
                lambda: publisher.kick_member("room", "a", timeout=0.2),
                lambda: publisher.history(source="a", timeout=0.2),
                lambda: publisher.history_count(source="a", timeout=0.2),
                lambda: publisher.user_events(timeout=0.2),
                lambda: publisher.channel_events(timeout=0.2),
            ):
                with pytest.raises(rtmsync.RequestTimeout):
                    call()
    with publisher_of(url) as publisher, pytest.raises(rtmsync.ConnectionFailed):
        publisher.publish("room", "x", sender="s")


def test_threads_take_turns(publisher):
    ids: list[int] = []

    def work() -> None:
        ids.extend(publisher.publish("room", "x", sender="s") for _ in range(20))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(set(ids)) == 80


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_leaves_the_parents_connection_alone(publisher):
    publisher.publish("room", "x", sender="s")
    child = os.fork()
    if child == 0:
        status = 1
        with contextlib.suppress(BaseException):
            publisher.publish("room", "x", sender="s", timeout=30)
            status = 0
        os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert publisher.publish("room", "x", sender="s") > 0


def test_tls_with_a_server_that_is_known_and_with_one_that_is_not(tmp_path: Path) -> None:
    authority = trustme.CA()
    pem = tmp_path / "server.pem"
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(pem)
    context = ssl.create_default_context()
    authority.configure_trust(context)
    with Server(config(tls_certificate=pem)) as server:
        with Publisher(server.url, app_id=DEV_APP_ID, server_key=KEY, tls=context) as trusting:
            assert trusting.publish("room", "x", sender="s") < trusting.publish("room", "x", sender="s")
        with publisher_of(server.url) as publisher, pytest.raises(rtmsync.TlsError):
            publisher.publish("room", "x", sender="s")
