"""The way to a server: TLS, HTTP proxies, several addresses, token providers, outages."""

import base64
import contextlib
import logging
import os
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

import rtmsync
from rtmcore.codes import LoginError
from rtmsync.server.config import DEV_APP_ID, ServerConfig
from rtmsync.server.server import Server
from rtmsync.server.tokens import AppKeys
from rtmsync.testing import FaultProxy
from tests.sync.conftest import Connect
from tests.sync.test_messages import eventually, texts

# --- TLS -------------------------------------------------------------------------------------------------------


class Pki:
    """Certificates of an authority that nobody knows yet."""

    def __init__(self, folder: Path) -> None:
        self.authority = trustme.CA()
        self.ca_file = folder / "ca.pem"
        self.server_file = folder / "server.pem"
        self.client_file = folder / "client.pem"
        self.authority.cert_pem.write_to_path(str(self.ca_file))
        self._write(self.authority.issue_cert("127.0.0.1", "rtm.example"), self.server_file)
        self._write(self.authority.issue_cert("client@example.com"), self.client_file)

    @staticmethod
    def _write(certificate: trustme.LeafCert, path: Path) -> None:
        certificate.private_key_and_cert_chain_pem.write_to_path(str(path))


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="module")
def tls_server(pki: Pki) -> Iterator[Server]:
    config = ServerConfig(
        apps=[AppKeys(DEV_APP_ID)],
        port=0,
        drain_seconds=0.0,
        rate_limits=False,
        tls_certificate=pki.server_file,
    )
    with Server(config) as running:
        yield running


class Relay:
    """Passes connections on: from TLS, perhaps with client certificates, or as an HTTP proxy."""

    def __init__(
        self,
        target: int,
        *,
        context: ssl.SSLContext | None = None,
        credentials: str | None = None,
        proxy: bool = False,
    ) -> None:
        self._target = target
        self._context = context
        self._credentials = credentials
        self._proxy = proxy
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.requests: list[str] = []
        self._open = True
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def stop(self) -> None:
        self._open = False
        self._listener.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(30)
        self._listener.close()

    def _accept(self) -> None:
        while self._open:
            try:
                accepted, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(accepted,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, accepted: socket.socket) -> None:
        with contextlib.suppress(OSError), accepted:
            accepted.settimeout(30)
            if self._context is not None:
                accepted = self._context.wrap_socket(accepted, server_side=True)
            if self._proxy and not self._connect(accepted):
                return
            with accepted, socket.create_connection(("127.0.0.1", self._target)) as onward:
                self._pass_on(accepted, onward)

    def _connect(self, accepted: socket.socket) -> bool:
        head = b""
        while b"\r\n\r\n" not in head:
            piece = accepted.recv(4096)
            if not piece:
                return False
            head += piece
        self.requests.append(head.decode())
        if self._credentials is not None and f"Basic {self._credentials}" not in head.decode():
            accepted.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            return False
        accepted.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        return True

    def _pass_on(self, one: socket.socket, other: socket.socket) -> None:
        one.setblocking(False)
        pairs = {one: other, other: one}
        while self._open:
            pending = isinstance(one, ssl.SSLSocket) and one.pending() > 0
            readable = [one] if pending else select.select(list(pairs), [], [], 0.1)[0]
            for source in readable:
                try:
                    data = source.recv(65536)
                except (BlockingIOError, ssl.SSLWantReadError):
                    continue
                if not data:
                    return
                pairs[source].setblocking(True)
                pairs[source].sendall(data)
                one.setblocking(False)


@pytest.fixture
def relay() -> Iterator[Callable[..., Relay]]:
    made: list[Relay] = []

    def make(*arguments: Any, **options: Any) -> Relay:
        made.append(Relay(*arguments, **options))
        return made[-1]

    yield make
    for each in made:
        each.stop()


def test_tls_with_an_own_authority_carries_everything(
    connect: Connect, tls_server: Server, pki: Pki, name: str
) -> None:
    tls = rtmsync.TlsConfig(ca_file=str(pki.ca_file))
    alice, bob = (connect(url=tls_server.url, tls=tls) for _ in range(2))
    inbox = bob.events(rtmsync.PeerMessage)
    large = bytes(range(256)) * 128
    futures = [alice.send_peer_future(bob.user_id, large) for _ in range(40)]
    assert {future.result(30).status for future in futures} == {rtmsync.SendStatus.DELIVERED}
    for _ in range(40):
        message = inbox.get()
        assert isinstance(message, rtmsync.PeerMessage)
        assert message.raw == large


def test_tls_takes_a_ready_context_and_the_system_s_trust(
    connect: Connect, tls_server: Server, pki: Pki, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert connect(url=tls_server.url, tls=ssl.create_default_context(cafile=pki.ca_file)).healthy()
    monkeypatch.setenv("SSL_CERT_FILE", str(pki.ca_file))
    assert connect(url=tls_server.url).healthy()
    assert connect(url=tls_server.url, tls=True).healthy()


def test_an_unknown_authority_ends_the_login_at_once(make: Connect, tls_server: Server) -> None:
    client = make(url=tls_server.url)
    begun = time.monotonic()
    with pytest.raises(rtmsync.TlsError) as caught:
        client.login(timeout=60)
    assert time.monotonic() - begun < 30
    assert caught.value.code is LoginError.UNKNOWN
    assert "not trusted" in str(caught.value)
    assert "ca_file" in str(caught.value)
    assert client.state is rtmsync.ConnectionState.DISCONNECTED


def test_a_certificate_for_another_name_is_refused(make: Connect, tls_server: Server, pki: Pki) -> None:
    wrong = rtmsync.TlsConfig(ca_file=str(pki.ca_file), server_hostname="other.example")
    with pytest.raises(rtmsync.TlsError, match="not trusted"):
        make(url=tls_server.url, tls=wrong).login()
    right = rtmsync.TlsConfig(ca_file=str(pki.ca_file), server_hostname="rtm.example")
    client = make(url=tls_server.url, tls=right)
    client.login()


def test_insecure_tls_warns_at_each_connect(
    connect: Connect, tls_server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    client = connect(url=tls_server.url, tls=rtmsync.TlsConfig(insecure=True))
    client.logout()
    client.login()
    warnings = [record for record in caplog.records if "insecure" in record.getMessage()]
    assert len(warnings) == 2
    assert warnings[0].levelno == logging.WARNING


def test_files_that_are_none_are_named(make: Connect, tls_server: Server, tmp_path: Path) -> None:
    for path in (tmp_path / "missing.pem", Path(__file__)):
        with pytest.raises(rtmsync.TlsError, match=path.name):
            make(url=tls_server.url, tls=rtmsync.TlsConfig(ca_file=str(path))).login()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_client_certificates(
    make: Connect, server: Server, pki: Pki, relay: Callable[..., Relay], version: ssl.TLSVersion
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pki.server_file)
    context.load_verify_locations(pki.ca_file)
    context.verify_mode = ssl.CERT_REQUIRED
    context.maximum_version = version
    url = f"wss://127.0.0.1:{relay(server.port, context=context).port}"
    shown = rtmsync.TlsConfig(ca_file=str(pki.ca_file), cert_file=str(pki.client_file))
    client = make(url=url, tls=shown)
    client.login()
    client.close()
    with pytest.raises(rtmsync.TlsError):
        make(url=url, tls=rtmsync.TlsConfig(ca_file=str(pki.ca_file))).login()


def test_a_server_that_is_too_old_is_refused(
    make: Connect, server: Server, pki: Pki, relay: Callable[..., Relay]
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pki.server_file)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    url = f"wss://127.0.0.1:{relay(server.port, context=context).port}"
    tls = rtmsync.TlsConfig(ca_file=str(pki.ca_file), min_version=ssl.TLSVersion.TLSv1_3)
    with pytest.raises(rtmsync.TlsError):
        make(url=url, tls=tls).login()


def test_a_server_without_tls_is_said_to_have_none(make: Connect, server: Server) -> None:
    with pytest.raises(rtmsync.RtmError) as caught:
        make(url=f"wss://127.0.0.1:{server.port}").login(timeout=1)
    assert isinstance(caught.value, rtmsync.TlsError | rtmsync.RequestTimeout)


def test_tls_survives_cuts(connect: Connect, tls_server: Server, pki: Pki) -> None:
    tls = rtmsync.TlsConfig(ca_file=str(pki.ca_file))
    with FaultProxy("127.0.0.1", tls_server.port) as proxy:
        alice = connect(url=f"wss://127.0.0.1:{proxy.port}", tls=tls)
        inbox = alice.events(rtmsync.PeerMessage)
        futures = []
        for number in range(300):
            futures.append(alice.send_peer_future(alice.user_id, str(number), timeout=30))
            if number % 100 == 50:
                proxy.cut()
        assert {future.result(30).status for future in futures} == {rtmsync.SendStatus.DELIVERED}
        assert texts(inbox, 300) == [str(number) for number in range(300)]
        alice.close()


# --- Proxies ---------------------------------------------------------------------------------------------------

CREDENTIALS = base64.b64encode(b"me:p@ss word").decode()


def test_a_proxy_by_argument_with_credentials(
    connect: Connect, server: Server, relay: Callable[..., Relay]
) -> None:
    proxy = relay(server.port, proxy=True, credentials=CREDENTIALS)
    client = connect(proxy=f"http://me:p%40ss%20word@127.0.0.1:{proxy.port}")
    assert client.send_peer("nobody", "x").status is rtmsync.SendStatus.PEER_UNREACHABLE
    assert proxy.requests[0].startswith(f"CONNECT 127.0.0.1:{server.port} HTTP/1.1\r\n")


def test_wrong_credentials_end_the_login_at_once(
    make: Connect, server: Server, relay: Callable[..., Relay]
) -> None:
    proxy = relay(server.port, proxy=True, credentials=CREDENTIALS)
    client = make(proxy=f"http://me:secret-but-wrong@127.0.0.1:{proxy.port}")
    with pytest.raises(rtmsync.ProxyError) as caught:
        client.login()
    assert "407" in str(caught.value)
    assert "secret" not in str(caught.value)
    assert caught.value.code is LoginError.UNKNOWN


def test_tls_goes_through_a_proxy(
    connect: Connect, tls_server: Server, pki: Pki, relay: Callable[..., Relay]
) -> None:
    proxy = relay(tls_server.port, proxy=True)
    tls = rtmsync.TlsConfig(ca_file=str(pki.ca_file))
    assert connect(url=tls_server.url, tls=tls, proxy=f"127.0.0.1:{proxy.port}").healthy()
    assert len(proxy.requests) == 1


@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY", "ws_proxy", "all_proxy"])
def test_a_proxy_from_the_environment(
    connect: Connect,
    server: Server,
    relay: Callable[..., Relay],
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
) -> None:
    for each in [each for each in os.environ if each.lower().endswith("_proxy")]:
        monkeypatch.delenv(each)
    assert connect(proxy="auto").healthy()
    proxy = relay(server.port, proxy=True)
    monkeypatch.setenv(variable, f"http://127.0.0.1:{proxy.port}")
    with connect(proxy="auto") as through:
        assert through.healthy()
    asked = len(proxy.requests)
    assert asked > 0
    assert connect(proxy=None).healthy()
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert connect(proxy="auto").healthy()
    assert len(proxy.requests) == asked


def test_a_proxy_that_is_not_there_is_tried_again(make: Connect, server: Server) -> None:
    given_up(make(proxy="http://127.0.0.1:1"), lambda said: "proxy" in said)


def given_up(client: rtmsync.Client, enough: Callable[[str], bool]) -> None:
    """Fail to log in, with more and more time until enough has happened in it and is said."""
    said: list[str] = []
    for seconds in (1, 2, 4, 8, 16):
        with pytest.raises(rtmsync.RequestTimeout) as caught:
            client.login(timeout=seconds)
        said.append(str(caught.value))
        if enough(said[-1]):
            return
    pytest.fail("\n".join(said))


# --- Addresses -------------------------------------------------------------------------------------------------


def resolve_to(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> list[str]:
    """Has the name `several.example` resolve to addresses; returns the names that are asked for."""
    asked: list[str] = []
    original = socket.getaddrinfo

    def look_up(host: str, port: int, *arguments: Any, **options: Any) -> Any:
        if host != "several.example":
            return original(host, port, *arguments, **options)
        asked.append(host)
        return [
            (
                socket.AF_INET6 if ":" in address else socket.AF_INET,
                socket.SOCK_STREAM,
                6,
                "",
                (address, port),
            )
            for address in addresses
        ]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return asked


def test_every_address_of_a_name_is_tried(
    connect: Connect, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve_to(monkeypatch, "127.0.0.9", "::1", "127.0.0.8", "127.0.0.1")  # all but the last refuse
    client = connect(url=f"ws://several.example:{server.port}")
    assert client.connection.attempt == 1


def test_a_silent_address_gets_company(
    connect: Connect, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full backlog answers nothing, as a firewall that swallows packets does."""
    with contextlib.ExitStack() as stack:
        full = stack.enter_context(socket.socket())
        full.bind(("127.0.0.7", server.port))
        full.listen(0)
        fillers = [stack.enter_context(socket.socket()) for _ in range(3)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.7", server.port))
        assert select.select([], fillers, [], 30)[1], "the backlog is not full"
        resolve_to(monkeypatch, "127.0.0.7", "127.0.0.1")
        client = connect(url=f"ws://several.example:{server.port}")
        assert client.connection.attempt == 1


def test_all_addresses_are_named_when_none_answers(
    make: Connect, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve_to(monkeypatch, "127.0.0.9", "127.0.0.8")
    client = make(url=f"ws://several.example:{server.port}")
    given_up(client, lambda said: "127.0.0.9" in said and "127.0.0.8" in said)


def test_names_are_asked_for_again_at_each_attempt(
    connect: Connect, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = resolve_to(monkeypatch, "127.0.0.1")
    client = connect(url=f"ws://several.example:{proxy.port}")
    proxy.cut()
    proxy.wait_for(2)
    tried = proxy.connections
    assert len(asked) >= tried
    client.wait_until(rtmsync.ConnectionState.CONNECTED)


def test_look_ups_that_hang_are_shared(make: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    released, asked = threading.Event(), []

    def hang(host: str, *_: Any, **__: Any) -> Any:
        asked.append(host)
        released.wait(60)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    client = make(url=["ws://one.example", "ws://two.example"])
    for _ in range(4):
        with pytest.raises(rtmsync.RequestTimeout):
            client.login(timeout=0.05)
        time.sleep(0.5)  # as often as the documented rate allows
    assert len(asked) <= 2
    released.set()


# --- Tokens ----------------------------------------------------------------------------------------------------


def test_a_provider_is_asked_on_a_thread_of_its_own(
    connect: Connect, proxy: FaultProxy, proxied: str, name: str
) -> None:
    asked: list[tuple[str, str, str]] = []

    def provide(user: str, reason: str) -> str:
        asked.append((user, reason, threading.current_thread().name))
        return f"token-{len(asked)}"

    client = connect(name, url=proxied, token=provide)
    proxy.cut()
    eventually(lambda: len(asked) >= 2)
    client.wait_until(rtmsync.ConnectionState.CONNECTED)
    assert asked[:2] == [(name, "login", f"rtm-token-{name}"), (name, "reconnect", f"rtm-token-{name}")]


def test_a_provider_may_not_block_on_its_client(make: Connect) -> None:
    refused: list[str] = []

    def provide(user: str, reason: str) -> str:
        for call in (
            client.login,
            lambda: client.send_peer("bob", "x"),
            lambda: client.wait_until(rtmsync.ConnectionState.CONNECTED),
            lambda: client.events(rtmsync.PeerMessage).get(),
        ):
            try:
                call()
            except rtmsync.WouldDeadlock as error:
                refused.append(str(error))
        return "token"

    client = make(token=provide)
    client.login()
    assert len(refused) == 4
    assert "token provider" in refused[0]


@pytest.mark.parametrize("answer", [ValueError("no token today"), 7, ""])
def test_a_provider_that_fails_is_asked_again_and_named(
    make: Connect, answer: object, caplog: pytest.LogCaptureFixture
) -> None:
    asked = []

    def provide(user: str, reason: str) -> Any:
        asked.append(reason)
        if isinstance(answer, Exception):
            raise answer
        return answer

    given_up(make(token=provide), lambda said: len(asked) >= 2 and "token" in said.lower())


def test_a_late_token_is_kept_for_the_next_attempt(make: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rtmsync.driver.helpers.TOKEN_PROVIDER_TIMEOUT", 0.1)
    asked: list[str] = []

    def provide(user: str, reason: str) -> str:
        asked.append(reason)
        time.sleep(0.4)
        return "late"

    client = make(token=provide)
    client.login(timeout=30)
    assert asked == ["login"]


def test_a_provider_that_hangs_does_not_hold_up_close(make: Connect) -> None:
    released = threading.Event()
    client = make(token=lambda user, reason: "x" if released.wait(60) else None)
    future = client.login_future()
    begun = time.monotonic()
    client.close()
    assert time.monotonic() - begun < 30
    assert isinstance(future.exception(30), rtmsync.ClientClosed)
    released.set()


# --- Outages ---------------------------------------------------------------------------------------------------


@pytest.mark.produces(rtmsync.ConnectionChangeReason.INTERRUPTED)
def test_an_outage_is_an_interruption_with_its_reason(
    connect: Connect, proxy: FaultProxy, proxied: str
) -> None:
    client = connect(url=proxied)
    states = client.events(rtmsync.StateChanged)
    proxy.blackhole()
    lost = states.get()
    assert isinstance(lost, rtmsync.StateChanged)
    assert (lost.state, lost.reason) == (
        rtmsync.ConnectionState.RECONNECTING,
        rtmsync.ConnectionChangeReason.INTERRUPTED,
    )
    proxy.heal()
    back = states.get()
    assert isinstance(back, rtmsync.StateChanged)
    assert back.state is rtmsync.ConnectionState.CONNECTED
    assert client.connection.state is rtmsync.ConnectionState.CONNECTED
