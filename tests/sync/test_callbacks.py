"""Callbacks: in order, on one thread, free to block, to raise and to call everything."""

import logging
import sys
import threading
import time
from collections.abc import Callable

import pytest

import rtmsync
from rtmcore.limits import SUBSCRIPTION_QUEUE
from rtmsync import ConnectionState, SendStatus
from rtmsync.testing import FaultProxy
from tests.sync.conftest import Connect
from tests.sync.test_messages import eventually


def own_records(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """What clients have logged; the server runs in this process too, and warns where the machine is too slow for it."""
    return [record for record in caplog.records if record.name == "rtmsync"]


def test_callbacks_run_in_order_on_one_thread_of_their_own(connect: Connect, name: str) -> None:
    alice, bob = connect(), connect(name)
    got: list[str] = []
    threads: set[str] = set()

    @bob.on(rtmsync.PeerMessage)
    def first(message: rtmsync.PeerMessage) -> None:
        threads.add(threading.current_thread().name)
        got.append(message.text)

    undo = bob.on(rtmsync.PeerMessage, lambda message: got.append(f"{message.text}b"))
    for number in range(100):
        alice.send_peer(bob.user_id, str(number))
    eventually(lambda: len(got) == 200)
    assert got == [text for number in range(100) for text in (str(number), f"{number}b")]
    assert threads == {f"rtm-callbacks-{name}"}
    undo()
    alice.send_peer(bob.user_id, "last")
    eventually(lambda: len(got) == 201)
    assert first.__name__ == "first"  # the decorator gives the function back
    assert bob.stats().callbacks_called == 201


def test_the_same_order_holds_across_classes_of_events(connect: Connect, name: str) -> None:
    alice, bob = connect(), connect()
    channel = bob.channel(name)
    order: list[str] = []
    channel.on(rtmsync.MemberJoined, lambda event: order.append(f"joined {event.count}"))
    channel.on(rtmsync.ChannelMessage, lambda message: order.append(message.text))
    channel.on(rtmsync.MemberLeft, lambda event: order.append(f"left {event.count}"))
    channel.join()
    with alice.channel(name) as other:
        other.send("hello")
    eventually(lambda: len(order) == 3)
    assert order == ["joined 2", "hello", "left 1"]


def test_channel_callbacks_hear_of_their_channel_only(connect: Connect, name: str) -> None:
    alice, bob = connect(), connect()
    here: list[str] = []
    everywhere: list[str] = []
    bob.channel(name).on(rtmsync.ChannelMessage, lambda message: here.append(message.text))
    bob.on(rtmsync.ChannelMessage, lambda message: everywhere.append(message.text))
    for channel in (name, f"{name}-other"):
        alice.channel(channel).join()
        bob.channel(channel).join()
        alice.channel(channel).send(channel)
    eventually(lambda: len(everywhere) == 2)
    assert here == [name]


def test_a_raising_callback_is_reported_and_the_next_event_proceeds(
    connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    client = connect()
    failures: list[rtmsync.CallbackFailed] = []
    got: list[str] = []

    @client.on(rtmsync.PeerMessage)
    def picky(message: rtmsync.PeerMessage) -> None:
        got.append(message.text)
        if message.text == "bad":
            raise ValueError("I do not like this")

    @client.on_error
    def report(failure: rtmsync.CallbackFailed) -> None:
        failures.append(failure)
        raise RuntimeError("and I fail too")

    for text in ("good", "bad", "good again"):
        client.send_peer(client.user_id, text)
    eventually(lambda: len(got) == 3)
    assert [repr(failure.error) for failure in failures] == ["ValueError('I do not like this')"]
    assert failures[0].callback.endswith("picky")
    assert client.stats().callbacks_failed == 2
    logged = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert [record.exc_info[0] for record in logged if record.exc_info] == [ValueError, RuntimeError]
    assert client.healthy()


def test_a_blocked_callback_does_not_silence_the_connection(connect: Connect, name: str) -> None:
    alice, bob = connect(), connect()
    go = threading.Event()
    states = bob.events(rtmsync.StateChanged)
    bob.on(rtmsync.PeerMessage, lambda _: go.wait(60))
    queue = bob.channel(name).events(rtmsync.ChannelMessage)
    alice.send_peer(bob.user_id, "block")
    alice.channel(name).join()
    bob.channel(name).join()
    for number in range(45):  # longer than the silence after which a client counts as interrupted
        alice.channel(name).send(str(number))
        assert isinstance(queue.get(), rtmsync.ChannelMessage)
        time.sleep(0.1)
    assert bob.state is ConnectionState.CONNECTED
    assert len(states) == 0
    go.set()


def test_every_blocking_method_works_in_a_callback(connect: Connect, name: str) -> None:
    alice, bob = connect(), connect()
    done: list[object] = []

    @bob.on(rtmsync.PeerMessage)
    def use_everything(message: rtmsync.PeerMessage) -> None:
        channel = bob.channel(name)
        done.append(channel.join().channel)
        done.append(bool(channel.send("x").message_id))
        done.append(channel.members())
        done.append(bob.send_peer(message.sender, "answer").status)
        done.append(bob.send_peer_future(message.sender, "another").result(30).status)
        done.append(bob.wait_until(ConnectionState.CONNECTED))
        with pytest.raises(rtmsync.RequestTimeout):
            bob.events(rtmsync.PeerMessage).get(timeout=0.01)
        channel.leave()
        bob.logout()
        bob.login()
        bob.logout()
        bob.close()
        done.append("closed")

    inbox = alice.events(rtmsync.PeerMessage)
    alice.send_peer(bob.user_id, "go")
    eventually(lambda: "closed" in done)
    assert done == [
        name,
        True,
        (bob.user_id,),
        SendStatus.DELIVERED,
        SendStatus.DELIVERED,
        ConnectionState.CONNECTED,
        "closed",
    ]
    assert len(inbox) == 2
    bob.close()
    assert not [thread for thread in threading.enumerate() if thread.name.endswith(bob.user_id)]


def test_a_callback_hears_of_the_end(make: Connect) -> None:
    client = make()
    states: list[ConnectionState] = []
    client.on(rtmsync.StateChanged, lambda event: states.append(event.state))
    client.login()
    client.close()
    assert states == [ConnectionState.CONNECTING, ConnectionState.CONNECTED, ConnectionState.DISCONNECTED]


def test_closing_does_not_wait_for_a_callback_beyond_its_time(connect: Connect) -> None:
    client = connect()
    go, inside = threading.Event(), threading.Event()

    @client.on(rtmsync.PeerMessage)
    def block(_: rtmsync.PeerMessage) -> None:
        inside.set()
        go.wait(60)

    client.send_peer(client.user_id, "x")
    assert inside.wait(30)
    begun = time.monotonic()
    client.close(timeout=0.5)
    assert time.monotonic() - begun < 30
    go.set()


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()])
def test_a_callback_can_stop_the_client(connect: Connect, error: BaseException) -> None:
    client = connect()

    @client.on(rtmsync.PeerMessage)
    def stop(_: rtmsync.PeerMessage) -> None:
        raise error

    client.send_peer_future(client.user_id, "x")
    with pytest.raises(type(error)) as caught:
        client.run_forever()
    assert caught.value is error
    assert client.state is ConnectionState.DISCONNECTED
    client.run_forever()  # raised once; the client is closed


def test_whoever_waits_for_the_end_hears_of_the_stop_first(connect: Connect) -> None:
    client = connect()
    client.on(rtmsync.PeerMessage, lambda _: sys.exit(5))
    others: list[type[BaseException]] = []

    def work() -> None:
        while True:
            try:
                client.channel("c").members()
            except (rtmsync.ClientClosed, SystemExit) as error:
                others.append(type(error))
                return
            except rtmsync.RtmError:
                pass

    worker = threading.Thread(target=work)
    worker.start()

    def stop() -> None:
        eventually(lambda: client._driver._waiting_for_end > 0)
        client.send_peer_future(client.user_id, "x")

    stopping = threading.Thread(target=stop)
    stopping.start()
    with pytest.raises(SystemExit):
        client.run_forever()
    worker.join(30)
    stopping.join()
    assert others == [rtmsync.ClientClosed]


def test_a_blocked_call_hears_of_the_stop(connect: Connect) -> None:
    alice, client = connect(), connect()

    @client.on(rtmsync.PeerMessage)
    def stop(_: rtmsync.PeerMessage) -> None:
        raise SystemExit(4)

    messages = client.events(rtmsync.StateChanged)
    timer = threading.Timer(0.05, lambda: alice.send_peer_future(client.user_id, "x"))
    timer.start()
    with pytest.raises(SystemExit):
        for _ in messages:
            pass
    timer.join()


def test_run_forever_ends_with_the_client(connect: Connect) -> None:
    client = connect()
    timer = threading.Timer(0.05, client.close)
    timer.start()
    client.run_forever()
    timer.join()


def test_slow_callbacks_lose_channel_messages_and_are_told(
    connect: Connect, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    alice, bob = connect(), connect()
    go, inside = threading.Event(), threading.Event()
    got: list[str] = []
    lags: list[rtmsync.Lagged] = []

    def slow(message: rtmsync.ChannelMessage) -> None:
        inside.set()
        go.wait(60)
        got.append(message.text)

    bob.channel(name).on(rtmsync.ChannelMessage, slow)
    bob.on(rtmsync.Lagged, lags.append)
    alice.channel(name).join()
    bob.channel(name).join()
    alice.channel(name).send("first")
    assert inside.wait(30)
    for future in [alice.channel(name).send_future(str(n)) for n in range(SUBSCRIPTION_QUEUE + 9)]:
        future.result(30)
    bob.channel(name).members()
    go.set()
    eventually(lambda: len(got) == SUBSCRIPTION_QUEUE + 1)
    assert lags == [rtmsync.Lagged(9)]
    assert got[:2] == ["first", "9"]
    assert bob.stats().events_dropped == 9
    assert "too slow" in caplog.text


def test_a_slow_callback_is_named(
    connect: Connect, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rtmsync.driver.dispatcher.SLOW_CALLBACK", 0.01)
    client = connect()

    def dawdle(_: rtmsync.PeerMessage) -> None:
        time.sleep(0.02)

    client.on(rtmsync.PeerMessage, dawdle)
    client.send_peer(client.user_id, "x")
    eventually(lambda: "dawdle took" in caplog.text)


def test_only_events_can_be_registered_for(make: Connect) -> None:
    with pytest.raises(rtmsync.InvalidArgument, match="PeerMessage"):
        make().on(int, print)
    with pytest.raises(rtmsync.InvalidArgument, match="ChannelMessage"):
        make().channel("c").on(rtmsync.PeerMessage, print)


def test_what_is_logged_shows_no_payload_and_no_token(
    make: Connect, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    caplog.set_level(logging.DEBUG, "rtmsync")
    client = make(token=lambda user, reason: "sesame-token")
    client.events(rtmsync.PeerMessage)
    client.login()
    inbox = client.events(rtmsync.PeerMessage)
    client.send_peer(client.user_id, "sesame-payload")
    client.close()
    assert "sesame" not in caplog.text + repr(inbox.get())
    assert f"{client.user_id} is CONNECTED (LOGIN_SUCCESS)" in caplog.text


def test_retries_are_warned_of_once_per_outage(
    make: Connect, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    caplog.set_level(logging.DEBUG, "rtmsync")
    client = make(url="ws://127.0.0.1:1")

    def failures() -> list[logging.LogRecord]:
        return [record for record in own_records(caplog) if "has failed" in record.getMessage()]

    client.login_future()
    eventually(lambda: len(failures()) >= 3)
    client.close()
    first, *others = failures()
    assert first.levelno == logging.WARNING
    assert "refused" in first.getMessage()
    assert {record.levelno for record in others} == {logging.DEBUG}
    assert [record for record in own_records(caplog) if record.levelno >= logging.WARNING] == [first]


def test_each_outage_is_warned_of(
    connect: Connect, proxy: FaultProxy, proxied: str, caplog: pytest.LogCaptureFixture
) -> None:
    client = connect(url=proxied)
    for number in range(1, 3):
        time.sleep(1.1)  # a connection that worked for less belongs to the same outage
        before = proxy.connections
        proxy.cut("fin" if number == 1 else "rst")
        eventually(lambda before=before: proxy.connections > before)
        eventually(client.healthy)
        client.channel(f"{number}").join()
    warnings = [record.getMessage() for record in own_records(caplog) if record.levelno == logging.WARNING]
    assert len(warnings) == 2
    assert all(client.user_id in warning for warning in warnings)


def test_a_log_handler_may_use_the_client(make: Connect) -> None:
    """Handlers of logs are code of the application: they run without the client's lock."""
    client = make()
    sent: list[rtmsync.ConnectionState] = []

    class Shipper(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            with pytest.raises(rtmsync.WouldDeadlock):
                client.send_peer(client.user_id, record.getMessage())
            client.send_peer_future(client.user_id, record.getMessage())
            sent.append(client.state)

    shipper = Shipper(level=logging.INFO)
    # The server may warn of a slow machine, and its thread cannot wait for itself.
    shipper.addFilter(lambda record: record.name == "rtmsync")
    logger = logging.getLogger("rtmsync")
    logger.addHandler(shipper)
    level = logger.level
    logger.setLevel(logging.INFO)
    try:
        client.login()
        eventually(lambda: len(sent) >= 2)
    finally:
        logger.removeHandler(shipper)
        logger.setLevel(level)


def test_a_dead_dispatcher_fails_everybody(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    client, silent = connect(), connect()
    client.on(rtmsync.PeerMessage, print)
    channel = client.channel("dead")
    channel.join()

    def broken(*_: object) -> None:
        raise MemoryError("out of luck")

    def break_it() -> rtmsync.client.ClientFuture:
        # Nobody takes this message, so it waits, while the other one may be acknowledged before the dispatcher dies.
        waits = client.send_peer_future(silent.user_id, "x", timeout=60)
        client.send_peer_future(client.user_id, "x")
        return waits

    monkeypatch.setattr("rtmsync.driver.dispatcher.Dispatcher._deliver", broken)
    _expect_failure(client, break_it)


def test_a_dead_network_thread_fails_everybody(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    client = connect()
    waiting = client.events(rtmsync.StateChanged)

    def broken(*_: object) -> None:
        raise MemoryError("out of luck")

    monkeypatch.setattr("rtmsync.driver.router.Router.receive_peer", broken)
    _expect_failure(client, lambda: client.send_peer_future(client.user_id, "x"))
    change = waiting.get()
    assert isinstance(change, rtmsync.StateChanged)
    assert change.state is ConnectionState.DISCONNECTED
    with pytest.raises(rtmsync.ClientClosed):
        waiting.get()


def _expect_failure(client: rtmsync.Client, break_it: Callable[[], rtmsync.client.ClientFuture]) -> None:
    future = break_it()
    assert isinstance(future.exception(30), rtmsync.ClientClosed)
    eventually(lambda: not client.healthy())
    assert client.state is ConnectionState.DISCONNECTED
    with pytest.raises(rtmsync.ClientClosed, match="out of luck"):
        client.send_peer("bob", "x")
    client.close()
