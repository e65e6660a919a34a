"""The page for Prometheus: what it tells, in a form that Prometheus reads, and who may have it."""

import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest
from prometheus_client.parser import text_string_to_metric_families

import rtmsync
from rtmcore import __version__
from rtmcore.limits import RateLimit
from rtmsync.server.config import DEV_APP_ID, ServerConfig
from rtmsync.server.metrics import CONTENT_TYPE, Metrics
from rtmsync.server.server import Server
from rtmsync.server.tokens import AppKeys
from tests.server.conftest import Serve

KEY = "metrics-key-0123456789"
WAIT = 30.0
Samples = dict[tuple[str, str], float]


def get(
    server: Server, key: str | None = None, path: str = "/metrics", **headers: str
) -> tuple[int, str, str]:
    """The status, the type and the body of an answer."""
    request = urllib.request.Request(f"http{server.url[2:]}{path}", headers=headers)
    if key is not None:
        request.add_header("Authorization", f"Bearer {key}")
    try:
        with urllib.request.urlopen(request, timeout=WAIT) as answer:
            return answer.status, answer.headers["Content-Type"], answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers["Content-Type"], error.read().decode()


def samples(server: Server) -> Samples:
    """What the page says, by name and the value of the one label."""
    status, kind, text = get(server)
    assert (status, kind) == (200, CONTENT_TYPE)
    found: Samples = {}
    for family in text_string_to_metric_families(text):
        assert family.documentation
        assert family.type in ("counter", "gauge", "histogram")
        for sample in family.samples:
            label = "".join(sample.labels.values())
            assert (sample.name, label) not in found
            found[sample.name, label] = sample.value
    return found


def until(server: Server, condition: Callable[[Samples], bool]) -> Samples:
    """The first page that fulfils a condition."""
    deadline = time.monotonic() + WAIT
    while not condition(found := samples(server)):
        assert time.monotonic() < deadline, found
        time.sleep(0.01)
    return found


def connect(server: Server, user: str) -> rtmsync.Client:
    return rtmsync.connect(server.url, app_id=DEV_APP_ID, user_id=user, proxy=None)


@pytest.mark.parametrize("on_disk", [False, True])
def test_what_happens_is_told(serve: Serve, tmp_path: Path, on_disk: bool) -> None:
    began = time.time()
    server = serve(metrics=True, data_dir=tmp_path / "data" if on_disk else None)
    first = samples(server)
    assert first["rtm_build_info", __version__] == 1
    assert began <= first["process_start_time_seconds", ""] <= time.time()
    assert first["rtm_sessions", "rtm"] == first["rtm_channels", ""] == 0
    assert first["rtm_connections_total", ""] == 1
    with connect(server, "alice") as alice, connect(server, "bob") as bob:
        for one in (alice, bob):
            one.channel("ops").join()
        received = bob.channel("ops").events(rtmsync.ChannelMessage)
        alice.channel("ops").send("hello")
        assert received.get(timeout=WAIT).text == "hello"
        alice.send_peer("carol", "see you", offline=True)
        alice.send_peer("carol", "not stored")
        found = samples(server)
        assert found["rtm_sessions", "rtm"] == found["rtm_members", ""] == 2
        assert found["rtm_connections", ""] == 3
        assert found["rtm_channels", ""] == 1
        assert found["rtm_logins_total", "login"] == 2
        assert found["rtm_logins_total", "return"] == 0
        assert found["rtm_messages_received_total", "channel"] == 1
        assert found["rtm_messages_sent_total", "channel"] == 1
        assert found["rtm_messages_received_total", "peer"] == 2
        assert found["rtm_stored_messages", ""] == 1
        assert found["rtm_stored_bytes", ""] == len("see you")
        assert found["rtm_engine_seconds_count", ""] >= 3
        assert found["rtm_engine_seconds_bucket", "+Inf"] == found["rtm_engine_seconds_count", ""]
        assert found["rtm_turn_seconds_count", ""] > first["rtm_turn_seconds_count", ""]
        assert found["rtm_received_bytes_total", ""] > first["rtm_received_bytes_total", ""] + 100
        assert found["rtm_sent_bytes_total", ""] > first["rtm_sent_bytes_total", ""] + 100
        assert (("rtm_journal_commit_seconds_count", "") in found) is on_disk
        if on_disk:
            assert found["rtm_journal_commit_seconds_count", ""] > 0
            assert found["rtm_journal_errors_total", ""] == found["rtm_journal_failing", ""] == 0
    until(server, lambda found: found["rtm_sessions", "rtm"] == 0 and found["rtm_connections", ""] == 1)


def test_refusals_are_told_by_code(serve: Serve) -> None:
    server = serve(
        metrics=True,
        rates={"counts": RateLimit(1, 600.0)},
        limits={"message": 1000},
        server_keys={DEV_APP_ID: [KEY]},
    )
    with connect(server, "alice") as alice:
        server.reload(attrs.evolve(server.config, limits={"message": 10}))
        with pytest.raises(rtmsync.InvalidArgument):
            alice.send_peer("bob", "more than ten bytes", offline=True)
    found = samples(server)
    assert found["rtm_refused_total", "SendPeerMessageError.INVALID_MESSAGE"] == 1
    assert found["rtm_rate_limited_total", ""] == 0
    with rtmsync.Publisher(server.url, app_id=DEV_APP_ID, server_key=KEY) as publisher:
        publisher.member_counts(["ops"])
    with (
        rtmsync.Publisher(server.url, app_id=DEV_APP_ID, server_key="x" * 16) as publisher,
        pytest.raises(rtmsync.RtmError),
    ):
        publisher.member_counts(["ops"])
    found = samples(server)
    assert found["rtm_http_requests_total", "200"] == found["rtm_http_requests_total", "401"] == 1


def test_what_comes_too_often_is_told(serve: Serve, client: Callable[..., object]) -> None:
    server = serve(metrics=True, rates={"query": RateLimit(1, 600.0)})
    with rtmsync.connect(
        server.url, app_id=DEV_APP_ID, user_id="alice", proxy=None, rate_limits=False
    ) as alice:
        for _ in range(2):
            alice.query_presence(["bob"])
        with pytest.raises(rtmsync.RateLimited):
            alice.query_presence(["bob"])
    found = samples(server)
    assert found["rtm_rate_limited_total", ""] == 1
    assert found["rtm_refused_total", "QueryPeersOnlineError.TOO_OFTEN"] == 1


def test_what_comes_too_often_over_http_is_refused_and_told(serve: Serve) -> None:
    server = serve(
        metrics=True,
        rates={"http_send": RateLimit(1, 600.0), "http_publish": RateLimit(1, 600.0)},
        server_keys={DEV_APP_ID: [KEY]},
    )
    with rtmsync.Publisher(server.url, app_id=DEV_APP_ID, server_key=KEY) as publisher:
        for _ in range(2):
            publisher.publish("ops", "hello", sender="shop")
            publisher.send_peer("alice", "hello", sender="shop")
        with pytest.raises(rtmsync.RateLimited):
            publisher.publish("ops", "hello", sender="shop")
        with pytest.raises(rtmsync.RateLimited):
            publisher.send_peer("alice", "hello", sender="shop")
        found = samples(server)
        assert found["rtm_rate_limited_total", ""] == found["rtm_http_requests_total", "429"] == 2
        assert server.reload(attrs.evolve(server.config, rates={})) == ()
        publisher.publish("ops", "hello", sender="shop")


def test_nothing_on_the_page_names_anybody(serve: Serve) -> None:
    server = serve(metrics=True)
    with connect(server, "alice-of-the-users") as alice:
        alice.channel("a-secret-channel").join()
        _, _, text = get(server)
    for word in ("alice", "secret", DEV_APP_ID):
        assert word not in text


# --- Who may have it -----------------------------------------------------------------------------------------------


def test_there_is_no_page_unless_it_is_wanted(serve: Serve) -> None:
    # A proxy on the same machine would pass it on to the world.
    server = serve()
    status, _, text = get(server)
    assert (status, text) == (404, get(server, path="/nothing")[2])
    assert get(server, KEY)[0] == 404


def test_a_development_server_has_one(serve: Serve) -> None:
    assert get(serve(dev=True))[0] == 200
    assert get(serve(dev=True, metrics=False))[0] == 404
    # A page of another site whose name leads to this machine.
    assert get(serve(dev=True), Host="evil.example.org")[0] == 404


def test_a_key_opens_it(serve: Serve) -> None:
    server = serve(metrics_keys=[KEY, "another-key-0123456789"])
    assert get(server)[0] == 401
    assert get(server, "wrong-key-0123456789")[0] == 401
    assert get(server, KEY)[0] == get(server, "another-key-0123456789")[0] == 200
    assert KEY not in repr(server.config)
    assert get(serve(dev=True, metrics_keys=[KEY]))[0] == 401


def test_a_reload_changes_who_may_have_it(serve: Serve) -> None:
    server = serve(metrics=True)
    assert get(server)[0] == 200
    assert server.reload(attrs.evolve(server.config, metrics=None, metrics_keys=(KEY,))) == ()
    assert (get(server)[0], get(server, KEY)[0]) == (401, 200)
    assert server.reload(attrs.evolve(server.config, metrics_keys=())) == ()
    assert get(server, KEY)[0] == 404


def test_only_reading_is_served(serve: Serve) -> None:
    server = serve(metrics=True)
    request = urllib.request.Request(f"http{server.url[2:]}/metrics", method="HEAD")
    with urllib.request.urlopen(request, timeout=WAIT) as answer:
        assert answer.read() == b""
    with pytest.raises(urllib.error.HTTPError, match="405"):
        urllib.request.urlopen(urllib.request.Request(request.full_url, method="DELETE"), timeout=WAIT)


def test_a_server_that_is_not_open_has_nothing_to_tell() -> None:
    config = ServerConfig(apps=[AppKeys(DEV_APP_ID)], metrics=True)
    assert Metrics(config).text() == ""
