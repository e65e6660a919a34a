"""Future twins: as `concurrent.futures` promises, and a little more."""

import asyncio
import concurrent.futures
import gc
import threading
import time
import weakref

import pytest

import rtmsync
from rtmcore.limits import SEND_TIMEOUT
from rtmsync.testing import FaultProxy
from tests.sync.conftest import Connect
from tests.sync.test_messages import eventually


def test_every_blocking_method_has_a_twin(make: Connect, name: str) -> None:
    client = make()
    inbox = client.events(rtmsync.PeerMessage)
    channel = client.channel(name)
    assert client.login_future().result(30) is None
    assert channel.join_future().result(30).channel == name
    assert channel.members_future().result(30) == (client.user_id,)
    assert channel.send_future("x").result(30).message_id
    assert client.send_peer_future(client.user_id, "x").result(30).status is rtmsync.SendStatus.DELIVERED
    assert channel.leave_future().result(30) is None
    assert client.logout_future().result(30) is None
    assert client.close_future().result(30) is None
    assert len(inbox) == 1


def test_a_future_has_all_that_its_base_class_sets_up(make: Connect) -> None:
    go = threading.Event()  # nothing may become of the login while the Future is looked at
    ours = make(token=lambda user, reason: None if go.wait(60) else "too late").login_future()
    try:
        for name, value in vars(concurrent.futures.Future()).items():
            assert type(getattr(ours, name)) is type(value)
            assert getattr(ours, name) == value or name == "_condition"
            assert getattr(ours, name) is getattr(ours, name)
    finally:
        go.set()


def test_a_future_that_is_done_needs_no_garbage_collector(connect: Connect, name: str) -> None:
    channel = connect().channel(name)
    channel.join()
    gc.disable()
    try:
        future = channel.send_future("x")
        future.result(30)
        gone = weakref.ref(future)
        del future
        eventually(lambda: gone() is None)
    finally:
        gc.enable()


def test_a_future_is_one(connect: Connect, name: str) -> None:
    client = connect()
    channel = client.channel(name)
    channel.join()
    futures = [channel.send_future(str(number)) for number in range(50)]
    assert all(isinstance(future, concurrent.futures.Future) for future in futures)
    done, rest = concurrent.futures.wait(futures, timeout=30)
    assert (len(done), len(rest)) == (50, 0)
    more = [channel.send_future(str(number)) for number in range(50)]
    assert sum(1 for _ in concurrent.futures.as_completed(more, timeout=30)) == 50
    first = concurrent.futures.wait(
        [channel.send_future("x"), concurrent.futures.Future()],
        timeout=30,
        return_when=concurrent.futures.FIRST_COMPLETED,
    )
    assert len(first.done) == 1
    future = channel.send_future("y")
    assert not future.cancelled()
    assert future.exception(30) is None
    assert future.done()
    assert not future.running()
    assert "finished" in repr(future)


def test_a_future_can_be_awaited_by_asyncio(connect: Connect, name: str) -> None:
    client = connect()
    channel = client.channel(name)
    channel.join()

    async def send() -> rtmsync.PublishResult:
        return await asyncio.wrap_future(channel.send_future("x"))

    assert asyncio.run(send()).message_id


def test_a_waiting_thread_gets_the_result_or_a_timeout(
    connect: Connect, proxy: FaultProxy, proxied: str, name: str
) -> None:
    channel = connect(url=proxied).channel(name)
    channel.join()
    proxy.blackhole()
    future = channel.send_future("x", timeout=60)
    with pytest.raises(concurrent.futures.TimeoutError):
        future.result(0.05)
    with pytest.raises(concurrent.futures.TimeoutError):
        future.exception(0.05)
    proxy.heal()
    assert future.result(30).message_id


def test_callbacks_of_a_future_run_on_the_dispatcher(connect: Connect, name: str) -> None:
    client = connect(name)
    names: list[str] = []

    def note(future: "concurrent.futures.Future[rtmsync.JoinResult]") -> None:
        names.append(threading.current_thread().name)
        client.channel(name).send("from a callback, blocking")

    future = client.channel(name).join_future()
    future.add_done_callback(note)
    eventually(lambda: len(names) == 1)
    future.add_done_callback(note)  # done already
    eventually(lambda: len(names) == 2)
    assert set(names) == {f"rtm-callbacks-{name}"}


def test_a_raising_callback_of_a_future_is_reported(connect: Connect, name: str) -> None:
    client = connect()
    failures: list[rtmsync.CallbackFailed] = []
    client.on_error(failures.append)

    def fail(_: object) -> None:
        raise ValueError("no")

    client.channel(name).join_future().add_done_callback(fail)
    eventually(lambda: len(failures) == 1)
    assert isinstance(failures[0].error, ValueError)


def test_cancel_withdraws_what_has_not_left(
    connect: Connect, proxy: FaultProxy, proxied: str, name: str
) -> None:
    alice, bob = connect(url=proxied), connect()
    inbox = bob.events(rtmsync.PeerMessage)
    proxy.refuse()
    proxy.cut()
    eventually(lambda: alice.connection.cause is not None)
    kept = alice.send_peer_future(bob.user_id, "kept", timeout=30)
    withdrawn = alice.send_peer_future(bob.user_id, "withdrawn", timeout=30)
    assert withdrawn.cancel()
    assert withdrawn.cancel()
    assert withdrawn.cancelled()
    with pytest.raises(concurrent.futures.CancelledError):
        withdrawn.result(30)
    assert alice.stats().requests_waiting == 1
    proxy.refuse(on=False)
    assert kept.result(20).status is rtmsync.SendStatus.DELIVERED
    assert not kept.cancel()
    message = inbox.get()
    assert isinstance(message, rtmsync.PeerMessage)
    assert message.text == "kept"
    with pytest.raises(rtmsync.RequestTimeout):
        inbox.get(timeout=0.1)


def test_cancel_is_false_once_the_bytes_may_have_left(
    connect: Connect, proxy: FaultProxy, proxied: str, name: str
) -> None:
    channel = connect(url=proxied).channel(name)
    channel.join()
    proxy.blackhole()
    future = channel.send_future("on its way")
    assert not future.cancel()
    assert not future.cancelled()
    proxy.heal()
    assert future.result(30).message_id
    assert not future.cancel()


def test_results_come_in_time_also_to_many_waiters(connect: Connect, name: str) -> None:
    channel = connect().channel(name)
    channel.join()
    futures = [channel.send_future(str(number)) for number in range(500)]
    results: list[int] = []
    waiters = [
        threading.Thread(target=lambda future=future: results.append(future.result(30).message_id))
        for future in futures[::10]
        for _ in range(2)
    ]
    for waiter in waiters:
        waiter.start()
    for waiter in waiters:
        waiter.join(30)
    assert len(results) == 100


def test_abandoned_blocking_calls_are_withdrawn(connect: Connect, proxy: FaultProxy, proxied: str) -> None:
    client = connect(url=proxied)
    proxy.refuse()
    proxy.cut()
    eventually(lambda: client.connection.cause is not None)
    begun = time.monotonic()
    with pytest.raises(rtmsync.RequestTimeout) as caught:
        client.send_peer("bob", "never sent", timeout=0.2)
    assert not caught.value.outcome_unknown
    assert time.monotonic() - begun < SEND_TIMEOUT
    assert client.stats().requests_waiting == 0
