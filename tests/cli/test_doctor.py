"""Every step of the doctor: what a healthy one says, and for each failure its remedy and exit status."""

import datetime
import json
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import trustme

from rtmcore.client.config import Endpoint
from rtmcore.limits import DAY
from rtmcore.wire.codec import MSGPACK
from rtmcore.wire.packets import Failed, Hello, Leave, Packet, Ready, Welcome
from rtmcore.wire.transport import Received, ServerTransport, UpgradeRequested
from rtmsync.driver.clock import Clock
from rtmsync.exits import ExitCode
from rtmsync.server.config import DEV_APP_ID, ServerConfig
from rtmsync.server.server import Server
from rtmsync.server.tokens import AppKeys, TokenKey, make_token
from tests.cli.conftest import Outcome, Rtm
from tests.cli.ends import PATIENCE

KEY = TokenKey(b"0123456789abcdef" * 4)
ALL_STEPS = ["settings", "proxy", "name", "tcp", "upgrade", "login", "clock", "round trip", "token"]


def steps(outcome: Outcome) -> dict[str, dict[str, str]]:
    rows = [json.loads(line) for line in outcome.out.splitlines()]
    return {row["step"]: row for row in rows}


def failed(outcome: Outcome) -> tuple[str, str, str]:
    """The step that failed, which is the last one, with what was said and advised."""
    rows = list(steps(outcome).values())
    assert all(row["result"] != "fail" for row in rows[:-1])
    assert rows[-1]["result"] == "fail"
    assert rows[-1]["advice"]
    return rows[-1]["step"], rows[-1]["text"], rows[-1]["advice"]


@contextmanager
def serving(**settings: object) -> Iterator[Server]:
    options = {"apps": [AppKeys(DEV_APP_ID)], "port": 0, **settings}
    with Server(ServerConfig(**options)) as server:  # type: ignore[arg-type]
        yield server


@contextmanager
def answering(handle: Callable[[socket.socket], None]) -> Iterator[int]:
    """A port whose one connection is given to a function, and closed after it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with suppress(OSError):
                accepted, _ = listener.accept()
                with accepted:
                    accepted.settimeout(PATIENCE)
                    handle(accepted)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            thread.join(PATIENCE)


def saying(answer: bytes) -> Callable[[socket.socket], None]:
    """Read something, say something, end."""

    def handle(sock: socket.socket) -> None:
        sock.recv(65_536)
        sock.sendall(answer)

    return handle


def silent(sock: socket.socket) -> None:
    """Read until the other side gives up."""
    while sock.recv(65_536):
        pass


def protocol(answer: Callable[[Packet], list[Packet]]) -> Callable[[socket.socket], None]:
    """A server that speaks the protocol and says what it is told to."""

    def handle(sock: socket.socket) -> None:
        transport = ServerTransport(now=Clock.now())
        while data := sock.recv(65_536):
            transport.receive_data(data, Clock.now())
            while (event := transport.next_event()) is not None:
                if isinstance(event, UpgradeRequested):
                    transport.accept(MSGPACK, Clock.now())
                elif isinstance(event, Received):
                    answers = [one for packet in event.packets for one in answer(packet)]
                    if answers:
                        transport.send(answers, Clock.now())
            for piece in transport.data_to_send():
                sock.sendall(piece)

    return handle


def welcome(now: float, expires: float | None = None, policy: str = "keep") -> Welcome:
    return Welcome(
        fence=1,
        secret="s" * 32,
        resumed=False,
        epoch="e",
        node="n",
        now=int(now * 1000),
        durability="memory",
        inbox=0,
        beat=1500,
        interrupted=4000,
        unreachable=6000,
        offline=30_000,
        limits={},
        token_policy=policy,
        token_expires=None if expires is None else int(expires * 1000),
    )


def welcoming(packet: Welcome) -> Callable[[socket.socket], None]:
    def answer(asked: Packet) -> list[Packet]:
        if isinstance(asked, Hello):
            return [packet, Ready()]
        return [Failed(asked.i, 3, "not in it")] if isinstance(asked, Leave) else []

    return protocol(answer)


# --- Healthy -----------------------------------------------------------------------


def test_a_healthy_connection(rtm: Rtm) -> None:
    with serving() as server:
        outcome = rtm("doctor", "--url", server.url, "--json")
    assert outcome.status == 0
    assert list(steps(outcome)) == ALL_STEPS
    assert {row["result"] for row in steps(outcome).values()} == {"ok"}


def test_what_people_read(rtm: Rtm) -> None:
    with serving() as server:
        outcome = rtm("doctor", "--url", server.url, "--user", "alice")
    lines = outcome.out.splitlines()
    assert lines[0] == f"ok    settings    user alice, app {DEV_APP_ID}, no token"
    assert [line[:5].strip() for line in lines] == ["ok"] * len(ALL_STEPS)
    assert "\033" not in outcome.out


def test_the_steps_that_were_not_tried_are_named(rtm: Rtm, closed_port: int) -> None:
    outcome = rtm("doctor", "--url", f"ws://127.0.0.1:{closed_port}")
    assert outcome.out.splitlines()[-1] == "-     not tried: upgrade, login, clock, round trip, token"


def test_tls_and_a_token(rtm: Rtm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = trustme.CA()
    certificate, issuer = tmp_path / "server.pem", tmp_path / "ca.pem"
    authority.issue_cert("localhost", "127.0.0.1").private_key_and_cert_chain_pem.write_to_path(certificate)
    authority.cert_pem.write_to_path(issuer)
    token = make_token(KEY, app=DEV_APP_ID, user="alice", now=time.time(), seconds=600)
    monkeypatch.setenv("RTM_TOKEN", token)
    with serving(apps=[AppKeys(DEV_APP_ID, (KEY,))], tls_certificate=certificate) as server:
        outcome = rtm("doctor", "--url", server.url, "--ca-file", str(issuer), "--json")
    assert outcome.status == 0, outcome.out
    found = steps(outcome)
    assert "certificate from trustme" in found["tls"]["text"]
    assert "logged in as alice" in found["login"]["text"]
    left = re.fullmatch(r"valid for (\d+) s more", found["token"]["text"])
    assert left is not None
    assert 500 < int(left[1]) <= 600
    assert token not in outcome.out + outcome.err


def test_the_way_through_a_proxy(rtm: Rtm, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving() as server:

        def tunnel(sock: socket.socket) -> None:
            assert sock.recv(65_536).startswith(f"CONNECT 127.0.0.1:{server.port} ".encode())
            sock.sendall(b"HTTP/1.1 200 go\r\n\r\n")
            with socket.create_connection(("127.0.0.1", server.port)) as there:
                back = threading.Thread(target=copy, args=(there, sock))
                back.start()
                copy(sock, there)
                back.join(PATIENCE)

        def copy(source: socket.socket, target: socket.socket) -> None:
            with suppress(OSError):
                while data := source.recv(65_536):
                    target.sendall(data)
                target.shutdown(socket.SHUT_WR)

        with answering(tunnel) as port:
            monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{port}")
            outcome = rtm("doctor", "--proxy", "auto", "--url", server.url, "--json")
    assert outcome.status == 0, outcome.out
    assert "from the environment" in steps(outcome)["proxy"]["text"]
    assert "the proxy leads to 127.0.0.1" in steps(outcome)["tunnel"]["text"]


def test_a_proxy_of_the_environment_is_not_asked_about_this_machine(
    rtm: Rtm, monkeypatch: pytest.MonkeyPatch, closed_port: int
) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{closed_port}")
    with serving() as server:
        outcome = rtm("doctor", "--url", server.url, "--json")
    assert outcome.status == 0, outcome.out
    assert steps(outcome)["proxy"]["text"] == "none"


# --- Before the network ------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--url", "http://127.0.0.1"), "wss://host"),
        (("--url", "ws://user:secret@127.0.0.1"), "user name or password"),
        (("--app-id", "short"), "5 characters"),
        (("--user", "null"), "reserved"),
    ],
)
def test_settings_that_cannot_be_right(rtm: Rtm, arguments: tuple[str, ...], said: str) -> None:
    outcome = rtm("doctor", "--json", *arguments)
    step, text, _ = failed(outcome)
    assert (step, outcome.status) == ("settings", ExitCode.USAGE)
    assert said in text
    assert "secret" not in outcome.out


@pytest.mark.parametrize(
    ("token", "advice"),
    [
        ("no token at all", "See where it came from"),
        (make_token(KEY, app=DEV_APP_ID, user="bob", now=time.time()), "for the user 'bob'"),
        (make_token(KEY, app="x" * 32, user="alice", now=time.time()), "for another app"),
        (make_token(KEY, app=DEV_APP_ID, user="alice", now=time.time() - DAY), "expired"),
    ],
)
def test_a_doubtful_token_is_told_before_the_server_says_so(
    rtm: Rtm, monkeypatch: pytest.MonkeyPatch, token: str, advice: str, closed_port: int
) -> None:
    monkeypatch.setenv("RTM_TOKEN", token)
    url = f"ws://127.0.0.1:{closed_port}"
    row = steps(rtm("doctor", "--user", "alice", "--url", url, "--json"))["settings"]
    assert row["result"] == "warn"
    assert advice in row["advice"]


def test_a_proxy_that_is_none(rtm: Rtm) -> None:
    outcome = rtm("doctor", "--proxy", "socks5://127.0.0.1:1", "--json")
    assert failed(outcome)[0] == "proxy"
    assert outcome.status == ExitCode.USAGE


# --- The network -------------------------------------------------------------------


def test_a_name_without_an_address(rtm: Rtm) -> None:
    # A zone that does not exist makes the look-up fail without asking a name server.
    url = "ws://[fe80::1%nowhere0]:7430"
    assert Endpoint.parse(url).host == "fe80::1%nowhere0"
    outcome = rtm("doctor", "--url", url, "--json")
    step, _, advice = failed(outcome)
    assert (step, outcome.status) == ("name", ExitCode.NOT_REACHABLE)
    assert "spelling" in advice


def test_a_port_where_nothing_listens(rtm: Rtm, closed_port: int) -> None:
    outcome = rtm("doctor", "--url", f"ws://127.0.0.1:{closed_port}", "--json")
    step, text, advice = failed(outcome)
    assert (step, outcome.status) == ("tcp", ExitCode.NOT_REACHABLE)
    assert "Connection refused" in text
    assert "rtm serve --dev" in advice


def test_a_proxy_where_nothing_listens(rtm: Rtm, closed_port: int) -> None:
    outcome = rtm("doctor", "--proxy", f"http://127.0.0.1:{closed_port}", "--json")
    step, _, advice = failed(outcome)
    assert (step, outcome.status) == ("tcp", ExitCode.NOT_REACHABLE)
    assert "--proxy none" in advice


@pytest.mark.parametrize(
    ("answer", "said", "advised"),
    [
        (b"HTTP/1.1 407 Who?\r\nContent-Length: 0\r\n\r\n", "407", "user name and password"),
        (b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n", "403", "administrator"),
        (b"SSH-2.0-server\r\n\r\n", "not answer CONNECT", "HTTP proxy"),
        (b"", "closed the connection", ""),
    ],
)
def test_a_proxy_that_refuses(rtm: Rtm, answer: bytes, said: str, advised: str) -> None:
    with answering(saying(answer)) as port:
        outcome = rtm("doctor", "--proxy", f"http://127.0.0.1:{port}", "--json")
    step, text, advice = failed(outcome)
    assert (step, outcome.status) == ("tunnel", ExitCode.NOT_REACHABLE)
    assert said in text
    assert advised in (advice)


# --- TLS ---------------------------------------------------------------------------


@contextmanager
def tls_server(authority: trustme.CA, *names: str, expired: bool = False) -> Iterator[int]:
    ends = datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone.utc) if expired else None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(*names, not_after=ends).configure_cert(context)

    def handle(sock: socket.socket) -> None:
        with suppress(ssl.SSLError), context.wrap_socket(sock, server_side=True) as secured:
            secured.recv(1)

    with answering(handle) as port:
        yield port


@pytest.mark.parametrize(
    ("trusted", "name", "expired", "advised"),
    [
        (False, "localhost", False, "--ca-file"),
        (True, "example.com", False, "for another name"),
        (True, "localhost", True, "has expired"),
    ],
    ids=["unknown issuer", "wrong name", "expired"],
)
def test_a_certificate_that_is_refused(
    rtm: Rtm, tmp_path: Path, trusted: bool, name: str, expired: bool, advised: str
) -> None:
    authority = trustme.CA()
    issuer = tmp_path / "ca.pem"
    (authority if trusted else trustme.CA()).cert_pem.write_to_path(issuer)
    with tls_server(authority, name, expired=expired) as port:
        outcome = rtm("doctor", "--url", f"wss://localhost:{port}", "--ca-file", str(issuer), "--json")
    step, text, advice = failed(outcome)
    assert (step, outcome.status) == ("tls", ExitCode.NOT_REACHABLE)
    assert "certificate" in text
    assert advised in advice


def test_tls_where_the_server_speaks_none(rtm: Rtm) -> None:
    with serving() as server:
        outcome = rtm("doctor", "--url", server.url.replace("ws:", "wss:"), "--json")
    step, _, advice = failed(outcome)
    assert (step, outcome.status) == ("tls", ExitCode.NOT_REACHABLE)
    assert "ws://" in advice


def test_tls_with_a_server_that_is_silent(rtm: Rtm) -> None:
    with answering(silent) as port:
        outcome = rtm("doctor", "--url", f"wss://127.0.0.1:{port}", "--timeout", "0.2", "--json")
    assert (failed(outcome)[0], outcome.status) == ("tls", ExitCode.TIMEOUT)


def test_a_file_of_issuers_that_is_not_there(rtm: Rtm, tmp_path: Path) -> None:
    with answering(silent) as port:
        url = f"wss://127.0.0.1:{port}"
        outcome = rtm("doctor", "--url", url, "--ca-file", str(tmp_path / "none.pem"), "--json")
    step, text, _ = failed(outcome)
    assert step == "tls"
    assert "none.pem" in text


# --- The protocol ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "said", "advised"),
    [
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "404", "path"),
        (b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n", "502", "proxy on the way"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", "200", ""),
    ],
)
def test_a_server_that_is_another_one(rtm: Rtm, answer: bytes, said: str, advised: str) -> None:
    with answering(saying(answer)) as port:
        outcome = rtm("doctor", "--url", f"ws://127.0.0.1:{port}/wrong", "--json")
    step, text, advice = failed(outcome)
    assert (step, outcome.status) == ("upgrade", ExitCode.NOT_REACHABLE)
    assert said in text
    assert advised in (advice)


@pytest.mark.parametrize("answer", [b"", b"\x15\x03\x01\x00\x02\x02\x46", b"220 mail\r\n\r\n"])
def test_a_server_that_speaks_something_else(rtm: Rtm, answer: bytes) -> None:
    with answering(saying(answer)) as port:
        outcome = rtm("doctor", "--url", f"ws://127.0.0.1:{port}", "--json")
    step, _, advice = failed(outcome)
    assert step == "upgrade"
    assert outcome.status in (ExitCode.NOT_REACHABLE, ExitCode.FAILURE)
    assert advice


def test_a_server_that_is_silent(rtm: Rtm) -> None:
    with answering(silent) as port:
        outcome = rtm("doctor", "--url", f"ws://127.0.0.1:{port}", "--timeout", "0.2", "--json")
    step, _, advice = failed(outcome)
    assert (step, outcome.status) == ("upgrade", ExitCode.TIMEOUT)
    assert "firewall" in advice


def test_a_server_that_does_not_answer_the_login(rtm: Rtm) -> None:
    with answering(protocol(lambda packet: [])) as port:
        outcome = rtm("doctor", "--url", f"ws://127.0.0.1:{port}", "--timeout", "2", "--json")
    assert (failed(outcome)[0], outcome.status) == ("login", ExitCode.TIMEOUT)


@pytest.mark.parametrize(
    ("arguments", "token", "code", "advised"),
    [
        (("--app-id", "x" * 32), None, "code 4", "--app-id"),
        ((), None, "code 5", "token"),
        ((), make_token(KEY, app=DEV_APP_ID, user="bob", now=time.time()), "code 5", "token"),
        ((), make_token(KEY, app=DEV_APP_ID, user="alice", now=time.time() - DAY), "code 6", "new token"),
        (
            (),
            make_token(KEY, app=DEV_APP_ID, user="alice", now=time.time(), scopes={"login": False}),
            "code 7",
            "permission",
        ),
    ],
    ids=["app id", "no token", "another user's token", "expired token", "token without login"],
)
def test_a_login_that_is_refused(
    rtm: Rtm,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    token: str | None,
    code: str,
    advised: str,
) -> None:
    if token is not None:
        monkeypatch.setenv("RTM_TOKEN", token)
    with serving(apps=[AppKeys(DEV_APP_ID, (KEY,))]) as server:
        outcome = rtm("doctor", "--url", server.url, "--user", "alice", *arguments, "--json")
    step, text, advice = failed(outcome)
    assert (step, outcome.status) == ("login", ExitCode.AUTH)
    assert code in text
    assert advised in advice


@pytest.mark.parametrize(("shift", "which"), [(120, "behind"), (-3600, "ahead of")])
def test_a_clock_that_is_wrong(rtm: Rtm, shift: float, which: str) -> None:
    with answering(welcoming(welcome(time.time() + shift))) as port:
        outcome = rtm("doctor", "--url", f"ws://127.0.0.1:{port}", "--json")
    row = steps(outcome)["clock"]
    assert outcome.status == 0
    assert row["result"] == "warn"
    assert which in row["text"]
    assert "NTP" in row["advice"]


@pytest.mark.parametrize(
    ("policy", "advised"), [("keep", "a reconnect after that"), ("abort", "the session ends then")]
)
def test_a_token_that_ends_soon(rtm: Rtm, policy: str, advised: str) -> None:
    now = time.time()
    with answering(welcoming(welcome(now, now + 20, policy))) as port:
        outcome = rtm("doctor", "--url", f"ws://127.0.0.1:{port}", "--json")
    row = steps(outcome)["token"]
    assert row["result"] == "warn"
    assert row["text"] == "valid for 20 s more"
    assert advised in row["advice"]


def test_the_doctor_logs_out(rtm: Rtm) -> None:
    with serving() as server:
        rtm("doctor", "--url", server.url, "--user", "alice")
        deadline = time.monotonic() + PATIENCE
        while server.stats()["connections"] and time.monotonic() < deadline:
            time.sleep(0.01)
        assert server.stats()["connections"] == 0
