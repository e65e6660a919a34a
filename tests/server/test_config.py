"""A server says at once what is wrong with its settings."""

from pathlib import Path

import pytest

from rtmcore.errors import InvalidArgument
from rtmsync.server.config import DEV_APP_ID, ServerConfig
from rtmsync.server.server import Server
from rtmsync.server.tokens import AppKeys, TokenKey

OPEN = AppKeys(DEV_APP_ID)
LOCKED = AppKeys(DEV_APP_ID, (TokenKey(b"k" * 32),))


@pytest.mark.parametrize("host", ["", "0.0.0.0", "::", "192.0.2.1", "rtm.example.org"])
def test_nobody_is_let_in_from_afar_without_a_secret(host: str) -> None:
    with pytest.raises(InvalidArgument, match="no key"):
        ServerConfig(apps=[LOCKED, OPEN], host=host)
    ServerConfig(apps=[LOCKED], host=host)
    with pytest.raises(InvalidArgument, match="development"):
        ServerConfig(apps=[LOCKED], host=host, dev=True)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.9.9.9"])
def test_loopback_needs_no_secret(host: str) -> None:
    ServerConfig(apps=[OPEN], host=host, dev=True)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"apps": []}, "at least one app"),
        ({"apps": [AppKeys("short")]}, "32 visible"),
        ({"port": 65536}, "between 0 and 65535"),
        ({"tls_key": Path("key.pem")}, "no certificate"),
        ({"rate_factor": 0.0}, "rate_factor"),
        ({"limits": {"message": 0}}, "limits.message is 0; it is at least 1"),
        ({"limits": {"mesage": 1}}, "no limits.mesage"),
        ({"metrics_keys": ["short"]}, "16 to 128"),
        ({"server_keys": {"x" * 32: ["k" * 32]}}, "does not hold"),
        ({"server_keys": {DEV_APP_ID: "k" * 32}}, "list of texts"),
        ({"allowed_origins": ["example.org"]}, "No page has the origin 'example.org'"),
        ({"allowed_origins": ["https://example.org/"]}, "with nothing behind"),
        ({"allowed_origins": ["https://example.org/shop"]}, "with nothing behind"),
        ({"allowed_origins": ["https://ann@example.org"]}, "No page"),
        ({"allowed_origins": ["https://example.org:443"]}, "not the usual one"),
        ({"allowed_origins": ["http://example.org:80"]}, "not the usual one"),
        ({"allowed_origins": ["*"]}, "No page"),
        ({"allowed_origins": ["https://bücher.example.org"]}, "No page"),
    ],
)
def test_what_is_not_possible_is_refused_with_a_sentence(settings: dict[str, object], words: str) -> None:
    with pytest.raises(InvalidArgument, match=words):
        ServerConfig(**{"apps": [OPEN], **settings})


@pytest.mark.parametrize(
    "origin",
    [
        "https://example.org",
        "HTTPS://Example.org:8443",
        "http://127.0.0.1:8000",
        "http://[::1]:8000",
        "http://localhost:443",
        "chrome-extension://abcdefghijklmnop",
        "null",
    ],
)
def test_origins_as_browsers_send_them_can_be_allowed(origin: str) -> None:
    ServerConfig(apps=[OPEN], allowed_origins=[origin])


def test_a_port_in_use_is_named(serve) -> None:
    server = serve()
    with pytest.raises(InvalidArgument, match=f"port {server.port}"):
        Server(ServerConfig(apps=[OPEN], port=server.port)).open()


def test_unusable_tls_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "cert.pem"
    path.write_text("no certificate")
    with pytest.raises(InvalidArgument, match=r"cert\.pem"):
        Server(ServerConfig(apps=[OPEN], port=0, tls_certificate=path)).open()


def test_construction_opens_nothing() -> None:
    server = Server(ServerConfig(apps=[OPEN], port=0))
    assert server.port == 0
    assert server.stats() == {}
    server.stop()


def test_the_token_policy_is_one_of_two() -> None:
    assert ServerConfig(apps=[AppKeys(DEV_APP_ID)], token_policy="abort").token_policy == "abort"
    with pytest.raises(InvalidArgument, match="token policy"):
        ServerConfig(apps=[AppKeys(DEV_APP_ID)], token_policy="whatever")  # type: ignore[arg-type]
