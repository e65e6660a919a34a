"""Signals and finalizers, which run between any two instructions of a thread."""

import gc
import itertools
import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import pytest

import rtmsync
from rtmsync.driver import lock
from rtmsync.testing import FaultProxy
from tests.sync.conftest import Connect
from tests.sync.test_messages import eventually

Handle = Callable[[int, Callable[[int, FrameType | None], Any]], None]


@pytest.fixture
def handle() -> Iterator[Handle]:
    """Installs signal handlers for the duration of a test."""
    before: dict[int, Any] = {}

    def install(number: int, handler: Callable[[int, FrameType | None], Any]) -> None:
        before.setdefault(number, signal.signal(number, handler))

    yield install
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.slow
def test_ten_thousand_signals_into_sending_threads_lose_and_double_nothing(
    connect: Connect, handle: Handle, name: str
) -> None:
    sender, receiver = connect(), connect()
    channel = sender.channel(name)
    channel.join()
    receiver.channel(name).join()
    queue = receiver.channel(name).events(rtmsync.ChannelMessage, maxsize=1_000_000)
    count = 10_000
    handled = [0]
    by_signals: list[rtmsync.client.ClientFuture[rtmsync.PublishResult]] = []

    def send_from_handler(*_: object) -> None:
        by_signals.append(channel.send_future(f"signal {handled[0]}", timeout=60))
        handled[0] += 1

    handle(signal.SIGUSR1, send_from_handler)
    stop = threading.Event()
    main = threading.main_thread().ident
    assert main is not None

    def storm() -> None:
        for number in range(count):
            signal.pthread_kill(main, signal.SIGUSR1)
            # The next one when this one was handled: two that wait would be one. Nor may too many calls wait at once,
            # or messages for the receiver.
            while handled[0] <= number or not (stop.is_set() or is_quiet()):
                time.sleep(0)
            if stop.is_set():
                return  # the test has failed meanwhile
        stop.set()

    def is_quiet() -> bool:
        unread = len(by_signals) + len(own_sent) + len(other_sent) - len(queue)
        return sender.stats().requests_waiting <= 500 and unread < 3000

    storming = threading.Thread(target=storm)
    other_sent: list[str] = []

    def send_elsewhere() -> None:
        while not stop.is_set():
            text = f"other {len(other_sent)}"
            channel.send(text, timeout=60)
            other_sent.append(text)

    other = threading.Thread(target=send_elsewhere)
    own_sent: list[str] = []
    storming.start()
    other.start()
    try:
        while not stop.is_set():
            text = f"own {len(own_sent)}"
            channel.send(text, timeout=60)
            own_sent.append(text)
    finally:
        stop.set()
        storming.join()
        other.join()
    assert all(future.result(60).message_id for future in by_signals)
    total = len(by_signals) + len(own_sent) + len(other_sent)
    received = []
    for _ in range(total):
        message = queue.get(timeout=60)
        assert isinstance(message, rtmsync.ChannelMessage)
        received.append(message.text)
    assert len(received) == len(set(received)) == total
    assert [text for text in received if text.startswith("own")] == own_sent
    assert [text for text in received if text.startswith("other")] == other_sent
    assert len(by_signals) == count


def test_a_handler_that_interrupts_the_library_may_not_block_in_it(
    connect: Connect, handle: Handle, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = connect()
    channel = client.channel(name)
    channel.join()
    inbox = client.events(rtmsync.PeerMessage)
    refused: list[str] = []
    futures: list[rtmsync.client.ClientFuture[Any]] = []
    waiting = channel.send_future("earlier")
    waiting.result(30)

    def blocking(*_: object) -> None:
        for call in (
            lambda: channel.send("x"),
            lambda: client.send_peer("bob", "x"),
            client.login,
            client.logout,
            channel.members,
            channel.join,
            channel.leave,
            lambda: inbox.get(timeout=30),
            lambda: client.wait_until(rtmsync.ConnectionState.ABORTED),
            client.run_forever,
            lambda: futures[0].result(30),
        ):
            if not futures:
                futures.append(channel.send_future("from the handler"))
            try:
                call()
            except rtmsync.WouldDeadlock as error:
                refused.append(error.operation or "")
        client.on(rtmsync.PeerMessage, print)
        client.channel("another").join_future()

    handle(signal.SIGUSR1, blocking)
    data_to_send = client._driver.core.data_to_send
    calls = iter([True])

    def interrupted() -> list[tuple[int, bytes]]:
        if threading.current_thread() is threading.main_thread() and next(calls, False):
            signal.raise_signal(signal.SIGUSR1)
        return data_to_send()

    monkeypatch.setattr(client._driver.core, "data_to_send", interrupted)
    channel.send("interrupted")
    assert refused == [
        "send",
        "send_peer",
        "login",
        "logout",
        "members",
        "join",
        "leave",
        "get",
        "wait_until",
        "run_forever",
        "Future.result",
    ]
    assert futures[0].result(30).message_id
    eventually(lambda: client.channel("another").joined)


@pytest.mark.parametrize("moment", ["waiting", "inside"])
def test_a_handler_may_close(
    connect: Connect, handle: Handle, name: str, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, client = connect(), connect()
    channel = client.channel(name)
    channel.join()
    handle(signal.SIGTERM, lambda *_: client.close())
    if moment == "inside":
        data_to_send = client._driver.core.data_to_send
        strikes = iter([True])

        def interrupted() -> list[tuple[int, bytes]]:
            if threading.current_thread() is threading.main_thread() and next(strikes, False):
                signal.raise_signal(signal.SIGTERM)
            return data_to_send()

        monkeypatch.setattr(client._driver.core, "data_to_send", interrupted)
        with pytest.raises((rtmsync.ClientClosed, rtmsync.OutcomeUnknown)):
            channel.send("interrupted")
    else:
        # Bob takes no messages, so the answer is waited for when the signal comes.
        main = threading.main_thread().ident
        assert main is not None
        timer = threading.Timer(0.1, lambda: signal.pthread_kill(main, signal.SIGTERM))
        timer.start()
        with pytest.raises((rtmsync.ClientClosed, rtmsync.OutcomeUnknown)):
            client.send_peer(alice.user_id, "waits")
        timer.join()
    assert client.state is rtmsync.ConnectionState.DISCONNECTED
    client.close()
    assert not [thread for thread in threading.enumerate() if thread.name.endswith(client.user_id)]


def test_run_forever_returns_on_signals_where_asked(connect: Connect) -> None:
    client = connect()
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    main = threading.main_thread().ident
    assert main is not None

    def strike(number: int) -> None:
        eventually(lambda: signal.getsignal(number) is not before[number])
        time.sleep(0.05)
        signal.pthread_kill(main, number)

    for number in before:
        striking = threading.Thread(target=strike, args=(number,))
        striking.start()
        client.run_forever(install_signal_handlers=True)
        striking.join()
    assert {number: signal.getsignal(number) for number in before} == before
    assert client.healthy()


def test_ctrl_c_interrupts_a_wait_and_the_client_goes_on(
    connect: Connect, proxy: FaultProxy, proxied: str, name: str
) -> None:
    client = connect(url=proxied)
    channel = client.channel(name)
    channel.join()
    main = threading.main_thread().ident
    assert main is not None
    inbox = client.events(rtmsync.PeerMessage)
    proxy.blackhole()
    for wait in (
        lambda: channel.send("never answered", timeout=60),
        lambda: inbox.get(timeout=60),
        lambda: client.wait_until(rtmsync.ConnectionState.ABORTED, timeout=rtmsync.FOREVER),
        client.run_forever,
        lambda: channel.send_future("x", timeout=60).result(),
        lambda: next(channel.messages()),
    ):
        timer = threading.Timer(0.05, signal.pthread_kill, (main, signal.SIGINT))
        begun = time.monotonic()
        with pytest.raises(KeyboardInterrupt):  # noqa: PT012 - the signal may come before the wait has begun
            timer.start()
            wait()
        timer.join()
        assert time.monotonic() - begun < 30
    proxy.heal()
    assert channel.send("still here").message_id


@pytest.mark.parametrize("where", ["intent", "settle", "write"])
def test_what_ctrl_c_cuts_short_is_resumed_on_another_connection(
    connect: Connect,
    proxy: FaultProxy,
    proxied: str,
    name: str,
    where: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The exception strikes inside the locked section: before the core, behind it, and before the bytes are out."""
    alice, bob = connect(url=proxied), connect()
    queue = bob.channel(name).events(rtmsync.ChannelMessage)
    alice.channel(name).join()
    bob.channel(name).join()
    states = alice.events(rtmsync.StateChanged)
    pending = alice.send_peer_future(bob.user_id, "pending over the cut", timeout=30)
    core = alice._driver.core
    strikes = iter([True])

    def strike() -> None:
        if threading.current_thread() is threading.main_thread() and next(strikes, False):
            signal.raise_signal(signal.SIGINT)

    if where == "write":
        from rtmsync.driver import link

        send = link.send
        monkeypatch.setattr(link, "send", lambda *arguments: (strike(), send(*arguments))[1])
    else:
        method = "publish" if where == "intent" else "data_to_send"
        original = getattr(core, method)

        def struck(*arguments: Any, **options: Any) -> Any:
            if where == "settle":
                result = original(*arguments, **options)
                strike()
                return result
            strike()
            return original(*arguments, **options)

        monkeypatch.setattr(core, method, struck)
    with pytest.raises(KeyboardInterrupt):
        alice.channel(name).send("cut")
    alice.channel(name).send("behind the cut")
    received = []
    while "behind the cut" not in received:
        message = queue.get()
        assert isinstance(message, rtmsync.ChannelMessage)
        received.append(message.text)
    assert received in (["cut", "behind the cut"], ["behind the cut"])
    assert proxy.connections == 2
    assert bob.events(rtmsync.PeerMessage).get() is not None
    assert pending.result(30).status is rtmsync.SendStatus.DELIVERED
    assert len(states) == 0  # a connection that is replaced in time is no interruption


def test_finalizers_may_send(connect: Connect, name: str) -> None:
    sender, receiver = connect(), connect()
    channel = sender.channel(name)
    channel.join()
    receiver.channel(name).join()
    queue = receiver.channel(name).events(rtmsync.ChannelMessage, maxsize=10_000)
    futures: list[rtmsync.client.ClientFuture[rtmsync.PublishResult]] = []

    class Parting:
        def __init__(self, number: int) -> None:
            self.number = number
            self.circle = self  # only the collector finds it, and it runs wherever memory is asked for

        def __del__(self) -> None:
            futures.append(channel.send_future(f"parting {self.number}", timeout=30))

    def collect(count: int) -> None:
        deadline = time.monotonic() + 30
        while len(futures) < count:
            # It does nothing while another thread collects.
            gc.collect()
            assert time.monotonic() < deadline
            time.sleep(0.001)

    for number in range(2000):
        Parting(number)
        if number % 10 == 0:
            channel.send("in between", timeout=30)
        if number % 400 == 399:
            # Some collectors leave all of them to the end, and so many calls may not wait at once.
            collect(number + 1)
            assert all(future.result(30).message_id for future in list(futures))
    assert len(futures) == 2000
    assert all(future.result(30).message_id for future in futures)
    texts = []
    for _ in range(2200):
        message = queue.get()
        assert isinstance(message, rtmsync.ChannelMessage)
        texts.append(message.text)
    assert sorted(text for text in texts if text.startswith("parting")) == sorted(
        f"parting {number}" for number in range(2000)
    )


def test_exceptions_at_random_moments_lose_and_double_nothing(
    connect: Connect, handle: Handle, name: str
) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    sender, receiver = connect(), connect()
    channel = sender.channel(name)
    channel.join()
    receiver.channel(name).join()
    queue = receiver.channel(name).events(rtmsync.ChannelMessage, maxsize=100_000)
    main = threading.main_thread().ident
    assert main is not None
    armed, handled, over = [False], [0], threading.Event()

    def strike(*_: object) -> None:
        handled[0] += 1
        if armed[0]:
            armed[0] = False
            raise KeyboardInterrupt

    handle(signal.SIGUSR1, strike)

    def storm() -> None:
        for number in range(200):
            time.sleep(chance.uniform(0, 0.004))
            signal.pthread_kill(main, signal.SIGUSR1)
            while handled[0] <= number:  # also the last one, before the loop ends
                time.sleep(0)
            if over.is_set():
                return  # the test has failed meanwhile
        over.set()

    storming = threading.Thread(target=storm)
    storming.start()
    tried, acknowledged = 0, []
    try:
        while not over.is_set():
            try:
                armed[0] = True
                while not over.is_set():
                    text, tried = str(tried), tried + 1
                    try:
                        if chance.random() < 0.5:
                            channel.send(text, timeout=60)
                            acknowledged.append(text)
                        else:
                            channel.send_future(text, timeout=60)
                    except rtmsync.LimitExceeded:
                        time.sleep(0.001)
            except KeyboardInterrupt:
                pass
    finally:
        armed[0] = False
        over.set()
        storming.join()
    channel.send("end", timeout=30)
    received = []
    while "end" not in received[-1:]:
        message = queue.get()
        assert isinstance(message, rtmsync.ChannelMessage)
        received.append(message.text)
    numbers = [int(text) for text in received[:-1]]
    assert numbers == sorted(set(numbers))
    assert set(acknowledged) <= set(received)


@pytest.mark.parametrize("method", [lock.CoreLock.run, lock.CoreLock.run_or_leave])
def test_an_exception_wherever_the_lock_can_be_interrupted_leaves_it_free(method: Callable[..., Any]) -> None:
    """Handlers of signals run where a function begins, and where one has returned."""
    arguments = ("test",) if method is lock.CoreLock.run else ()
    for number in itertools.count():
        settled: list[bool] = []
        alarms: list[bool] = []
        done: list[bool] = []
        guard = lock.CoreLock(lambda: settled.append(True), lambda: alarms.append(True))  # noqa: B023
        moments = itertools.count()

        def trace(frame: FrameType, event: str, argument: object) -> Any:
            if frame.f_code.co_filename != lock.__file__:
                return None
            if event in ("call", "return") and next(moments) == number:  # noqa: B023
                raise KeyboardInterrupt
            return trace

        before = sys.gettrace()
        sys.settrace(trace)
        try:
            method(guard, lambda: done.append(True), *arguments)  # noqa: B023
        except KeyboardInterrupt:
            struck = True
        else:
            struck = False
        finally:
            sys.settrace(before)
        assert not guard.held_here(), number
        # What was done and not settled is known to the network thread, which drops the connections then.
        assert done == settled or guard.poisoned, number
        assert guard.poisoned is (alarms == [True]), number
        assert guard.run(lambda: "free", "test") == "free"
        if not struck:
            break
    assert number >= 6
