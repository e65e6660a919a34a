"""A client's life: login, states, timeouts, close, and what it is from outside."""

import pickle
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

import rtmsync
from rtmcore.codes import LoginError, LogoutError
from rtmcore.limits import LOGIN_TIMEOUT, SEND_TIMEOUT
from rtmsync import ConnectionChangeReason, ConnectionState
from rtmsync.server.config import DEV_APP_ID
from rtmsync.server.server import Server
from rtmsync.testing import FaultProxy
from tests.sync.conftest import Connect
from tests.sync.test_messages import eventually


def own_threads() -> list[str]:
    return sorted(thread.name for thread in threading.enumerate() if thread.name.startswith("rtm-n"))


@pytest.fixture
def silent() -> Iterator[str]:
    """The URL of a server that accepts connections and never says anything."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"ws://127.0.0.1:{listener.getsockname()[1]}"


# --- Login and logout ------------------------------------------------------------------------------------------


def test_connect_logs_in_and_the_block_closes(server: Server, name: str) -> None:
    with rtmsync.connect(server.url, app_id=DEV_APP_ID, user_id=name) as client:
        assert client.state is ConnectionState.CONNECTED
        assert client.healthy()
        assert client.connection.reason is ConnectionChangeReason.LOGIN_SUCCESS
        assert repr(client) == f"<Client {name!r} of {server.url}, CONNECTED>"
    assert client.state is ConnectionState.DISCONNECTED
    assert not client.healthy()


def test_a_client_that_was_made_has_done_nothing_yet(make: Connect) -> None:
    client = make()
    assert client.state is ConnectionState.DISCONNECTED
    assert client.connection.reason is None
    assert own_threads() == []
    client.on(rtmsync.PeerMessage, print)
    assert own_threads() == []


def test_an_idle_client_has_one_thread_and_a_logged_out_one_none(make: Connect, name: str) -> None:
    client = make(name)
    client.login()
    assert own_threads() == [f"rtm-network-{name}"]
    assert client.stats().threads == 1
    client.logout()
    eventually(lambda: own_threads() == [])


def test_a_client_can_log_in_again_after_logout(make: Connect) -> None:
    client = make()
    for _ in range(3):
        client.login()
        assert client.channel("again").join().channel == "again"
        client.logout()
        assert client.state is ConnectionState.DISCONNECTED


def test_a_failed_connect_leaves_nothing_open(silent: str, name: str) -> None:
    with pytest.raises(rtmsync.RequestTimeout) as caught:
        rtmsync.connect(silent, app_id=DEV_APP_ID, user_id=name, timeout=4)
    assert caught.value.code is LoginError.TIMEOUT
    assert "upgrade" in str(caught.value)
    assert own_threads() == []


def test_refused_connections_are_tried_again_within_the_time(closed_port: int, name: str) -> None:
    with pytest.raises(rtmsync.RequestTimeout) as caught:
        rtmsync.connect(f"ws://127.0.0.1:{closed_port}", app_id=DEV_APP_ID, user_id=name, timeout=4)
    assert "refused" in str(caught.value)
    assert isinstance(caught.value.__cause__, rtmsync.ConnectionFailed)


def test_an_unknown_name_is_tried_again_and_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def look_up(host: str, *_: object, **__: object) -> None:  # name servers may be slow, or not there
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    with pytest.raises(rtmsync.RequestTimeout) as caught:
        rtmsync.connect("ws://no-such-host.invalid", app_id=DEV_APP_ID, user_id=name, timeout=4)
    assert "no-such-host.invalid" in str(caught.value)
    assert isinstance(caught.value.__cause__, rtmsync.NameResolutionError)


def test_localhost_is_looked_up(server: Server, connect: Connect) -> None:
    client = connect(url=f"ws://localhost:{server.port}")
    assert client.healthy()


def test_the_next_url_is_tried(server: Server, connect: Connect, closed_port: int) -> None:
    client = connect(url=[f"ws://127.0.0.1:{closed_port}", server.url])
    assert client.healthy()


def test_a_second_login_is_refused(connect: Connect) -> None:
    client = connect()
    with pytest.raises(rtmsync.AlreadyLoggedIn) as caught:
        client.login()
    assert caught.value.code is LoginError.ALREADY_LOGIN


def test_logout_needs_a_login(make: Connect) -> None:
    with pytest.raises(rtmsync.NotLoggedIn) as caught:
        make().logout()
    assert caught.value.code is LogoutError.NOT_LOGGED_IN


def test_a_call_before_the_login_fails_at_once(make: Connect) -> None:
    client = make()
    with pytest.raises(rtmsync.NotLoggedIn):
        client.send_peer("bob", "hi")
    with pytest.raises(rtmsync.NotLoggedIn):
        client.channel("c").join()
    assert isinstance(client.send_peer_future("bob", "hi").exception(30), rtmsync.NotLoggedIn)
    assert own_threads() == []


def test_a_newer_login_of_the_same_user_aborts_the_older_one(connect: Connect, name: str) -> None:
    older = connect(name)
    states = older.events(rtmsync.StateChanged)
    newer = connect(name)
    assert older.wait_until(ConnectionState.ABORTED) is ConnectionState.ABORTED
    change = states.get()
    assert isinstance(change, rtmsync.StateChanged)
    assert change.reason is ConnectionChangeReason.REMOTE_LOGIN
    with pytest.raises(rtmsync.Aborted):
        older.send_peer("bob", "hi")
    assert newer.healthy()
    older.logout()
    assert older.state is ConnectionState.DISCONNECTED
    last = states.get()
    assert isinstance(last, rtmsync.StateChanged)
    assert (last.previous, last.state) == (ConnectionState.ABORTED, ConnectionState.DISCONNECTED)


# --- Time ------------------------------------------------------------------------------------------------------


def test_timeouts_are_budgets_in_all(connect: Connect, proxy: FaultProxy, proxied: str) -> None:
    client = connect(url=proxied)
    channel = client.channel("budget")
    channel.join()
    proxy.blackhole()
    begun = time.monotonic()
    with pytest.raises(rtmsync.RequestTimeout) as caught:
        channel.send("lost", timeout=0.3)
    assert 0.25 < time.monotonic() - begun < SEND_TIMEOUT
    assert caught.value.outcome_unknown
    proxy.heal()


def test_a_deadline_is_shared_between_calls(connect: Connect, proxy: FaultProxy, proxied: str) -> None:
    client = connect(url=proxied)
    budget = rtmsync.Deadline(4)
    client.channel("shared").join(timeout=budget)
    proxy.blackhole()
    with pytest.raises(rtmsync.RequestTimeout):
        client.channel("shared").send("one", timeout=budget)
    assert budget.expired
    begun = time.monotonic()
    with pytest.raises(rtmsync.RequestTimeout):
        client.channel("shared").send("two", timeout=budget)
    assert time.monotonic() - begun < SEND_TIMEOUT
    proxy.heal()


def test_a_client_has_timeouts_of_its_own(silent: str, make: Connect) -> None:
    client = make(url=silent, timeouts={"login": 0.2})
    begun = time.monotonic()
    with pytest.raises(rtmsync.RequestTimeout):
        client.login()
    assert time.monotonic() - begun < LOGIN_TIMEOUT


@pytest.mark.parametrize("timeout", [-1, float("nan"), float("inf"), "5", True])
def test_impossible_timeouts_are_refused(connect: Connect, timeout: object) -> None:
    client = connect()
    with pytest.raises(rtmsync.InvalidArgument):
        client.send_peer("bob", "hi", timeout=timeout)  # type: ignore[arg-type]


def test_wait_until_waits_for_one_of_several_states(connect: Connect) -> None:
    client = connect()
    timer = threading.Timer(0.05, client.logout)
    timer.start()
    wanted = [ConnectionState.ABORTED, ConnectionState.DISCONNECTED]
    assert client.wait_until(wanted, timeout=rtmsync.FOREVER) is ConnectionState.DISCONNECTED
    timer.join()
    with pytest.raises(rtmsync.RequestTimeout) as caught:
        client.wait_until(ConnectionState.CONNECTED, timeout=0.05)
    assert "CONNECTED" in str(caught.value)


def test_wait_until_ends_with_the_client(connect: Connect) -> None:
    client = connect()
    timer = threading.Timer(0.05, client.close)
    timer.start()
    with pytest.raises(rtmsync.ClientClosed):
        client.wait_until(ConnectionState.ABORTED, timeout=30)
    timer.join()


# --- Close -----------------------------------------------------------------------------------------------------


def test_close_can_be_repeated_and_is_final(connect: Connect) -> None:
    client = connect()
    channel = client.channel("c")
    client.close()
    client.close()
    assert client.close_future().result(30) is None
    for call in (
        client.login,
        client.logout,
        lambda: client.send_peer("bob", "hi"),
        channel.join,
        lambda: client.channel("c"),
        lambda: client.events(rtmsync.PeerMessage).get(timeout=1),
    ):
        with pytest.raises(rtmsync.ClientClosed):
            call()
    assert list(client.events(rtmsync.PeerMessage)) == []


def test_close_of_a_client_that_never_logged_in(make: Connect) -> None:
    client = make()
    client.close()
    with pytest.raises(rtmsync.ClientClosed):
        client.login()


def test_close_fails_every_call_that_waits(connect: Connect, proxy: FaultProxy, proxied: str) -> None:
    client = connect(url=proxied)
    channel = client.channel("closing")
    channel.join()
    proxy.blackhole()
    failures: list[BaseException] = []

    def send() -> None:
        try:
            channel.send("never answered", timeout=60)
        except rtmsync.RtmError as error:
            failures.append(error)

    senders = [threading.Thread(target=send) for _ in range(3)]
    for sender in senders:
        sender.start()
    future = channel.send_future("nor this", timeout=60)
    while client.stats().requests_waiting < 4:
        time.sleep(0.001)
    begun = time.monotonic()
    client.close(timeout=3)
    assert time.monotonic() - begun < 30
    for sender in senders:
        sender.join(30)
    assert len(failures) == 3
    assert isinstance(future.exception(30), rtmsync.OutcomeUnknown | rtmsync.ClientClosed)
    proxy.heal()


@pytest.mark.parametrize("times", range(3))
def test_close_while_connecting(silent: str, make: Connect, times: int) -> None:
    client = make(url=silent)
    future = client.login_future()
    client.close(timeout=30)
    assert isinstance(future.exception(30), rtmsync.ClientClosed)
    assert own_threads() == []


def test_close_while_a_name_hangs(make: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: released.wait(60) and [])
    client = make(url="ws://hanging.example")
    future = client.login_future()
    begun = time.monotonic()
    client.close()
    assert time.monotonic() - begun < 30
    assert isinstance(future.exception(30), rtmsync.ClientClosed)
    released.set()


def test_an_unclosed_client_is_reported_and_closed(server: Server, name: str) -> None:
    clients = [rtmsync.connect(server.url, app_id=DEV_APP_ID, user_id=name)]
    with pytest.warns(ResourceWarning, match="unclosed"):
        clients.clear()
    eventually(lambda: own_threads() == [])


def test_a_reconnecting_client_closes_quickly(connect: Connect, proxy: FaultProxy, proxied: str) -> None:
    client = connect(url=proxied)
    proxy.stop()
    begun = time.monotonic()
    client.close(timeout=60)
    assert time.monotonic() - begun < 30


# --- From outside ----------------------------------------------------------------------------------------------


def test_a_client_cannot_be_pickled_but_its_settings_can(make: Connect) -> None:
    client = make(token="secret-token")
    with pytest.raises(TypeError, match=r"pickle client\.config"):
        pickle.dumps(client)
    with pytest.raises(TypeError):
        pickle.dumps(client.channel("c"))
    assert pickle.loads(pickle.dumps(client.config)) == client.config


def test_a_token_is_never_shown(make: Connect) -> None:
    client = make(token="secret-token", proxy="http://me:secret-password@127.0.0.1:1")
    shown = f"{client!r} {client.config!r} {client.config.token} {vars(client)}"
    assert "secret" not in shown
    assert "***" in shown


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"url": "http://example.com"}, "wss://"),
        ({"user": "x" * 65}, "64"),
        ({"tls": True, "url": "ws://example.com"}, "wss://"),
        ({"proxy": "socks5://x:1"}, "socks5"),
        ({"timeouts": {"sleep": 1}}, "sleep"),
        ({"timeouts": {"send": 0}}, "above 0"),
        ({"colour": "red"}, "colour"),
        ({"token": 7}, "token"),
    ],
)
def test_impossible_settings_are_refused_at_once(
    make: Connect, options: dict[str, object], says: str
) -> None:
    with pytest.raises(rtmsync.InvalidArgument, match=says):
        make(**options)


def test_channels_of_one_client_and_id_are_equal(make: Connect) -> None:
    client = make()
    assert client.channel("a") == client.channel("a")
    assert len({client.channel("a"), client.channel("a"), client.channel("b")}) == 2
    assert client.channel("a") != make().channel("a")


def test_importing_the_package_loads_neither_asyncio_nor_tls_nor_an_extra() -> None:
    code = (
        "import sys, threading, logging; import rtmsync; rtmsync.Client; rtmsync.connect;"
        "heavy = 'asyncio ssl click jwt redis flask django urllib.request'.split();"
        "print([name for name in heavy if name in sys.modules],"
        "threading.active_count(), logging.root.handlers)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[] 1 []"


def test_every_public_name_exists() -> None:
    for public in rtmsync.__all__:
        assert getattr(rtmsync, public) is not None
    assert "connect" in dir(rtmsync)
    with pytest.raises(AttributeError):
        rtmsync.no_such_name  # noqa: B018
