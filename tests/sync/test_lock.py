"""The lock that knows its owner: order, re-entrance, and what cuts an action short."""

import signal
import threading
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from rtmcore.errors import InvalidArgument, LocalProtocolError, WouldDeadlock
from rtmsync.driver.lock import CoreLock


class Guarded:
    """Something that the lock guards."""

    def __init__(self) -> None:
        self.settled = 0
        self.alarms = 0
        self.lock = CoreLock(self.settle, self.alarm)

    def settle(self) -> None:
        if not self.lock.poisoned:
            self.settled += 1

    def alarm(self) -> None:
        self.alarms += 1


@pytest.fixture
def guarded() -> Guarded:
    return Guarded()


@pytest.fixture
def on_signal() -> Iterator[Callable[[Callable[[], object]], None]]:
    """Raises a signal in this thread whose handler calls a function."""
    before = signal.getsignal(signal.SIGUSR1)

    def interrupt(function: Callable[[], object]) -> None:
        signal.signal(signal.SIGUSR1, lambda *_: function())
        signal.raise_signal(signal.SIGUSR1)

    yield interrupt
    signal.signal(signal.SIGUSR1, before)


def test_an_action_returns_its_result_and_is_settled(guarded: Guarded) -> None:
    assert guarded.lock.run(lambda: 7, "send") == 7
    assert guarded.settled == 1
    assert not guarded.lock.held_here()


def test_the_owner_knows_himself(guarded: Guarded) -> None:
    assert guarded.lock.run(guarded.lock.held_here, "send")
    seen: list[bool] = []

    def ask_elsewhere() -> None:
        thread = threading.Thread(target=lambda: seen.append(guarded.lock.held_here()))
        thread.start()
        thread.join()

    guarded.lock.run(ask_elsewhere, "send")
    assert seen == [False]


def test_a_signal_handler_that_comes_back_leaves_its_intent_to_the_holder(
    guarded: Guarded, on_signal: Callable[[Callable[[], object]], None]
) -> None:
    order: list[str] = []

    def action() -> None:
        order.append("begin")
        on_signal(
            lambda: order.append(f"ran at once: {guarded.lock.run_or_leave(lambda: order.append('left'))}")
        )
        order.append("end")

    guarded.lock.run(action, "send")
    assert order == ["begin", "ran at once: False", "end", "left"]


def test_an_intent_left_while_settling_is_not_forgotten() -> None:
    order: list[str] = []

    def settle() -> None:
        if len(order) < 3:
            assert not lock.run_or_leave(lambda: order.append("left"))

    lock = CoreLock(settle, lambda: None)
    lock.run(lambda: None, "send")
    assert order == ["left"] * 3


def test_waiting_for_oneself_is_refused(
    guarded: Guarded, on_signal: Callable[[Callable[[], object]], None]
) -> None:
    refused: list[WouldDeadlock] = []

    def blocking() -> None:
        try:
            guarded.lock.run(lambda: None, "send_peer")
        except WouldDeadlock as error:
            refused.append(error)

    guarded.lock.run(lambda: on_signal(blocking), "send")
    assert "send_peer was called by a signal handler" in str(refused[0])
    assert not guarded.lock.poisoned


def test_a_refusal_of_the_core_poisons_nothing(guarded: Guarded) -> None:
    def refuse() -> None:
        raise InvalidArgument("no")

    with pytest.raises(InvalidArgument):
        guarded.lock.run(refuse, "send")
    assert not guarded.lock.poisoned
    assert guarded.settled == 1


@pytest.mark.parametrize("error", [KeyboardInterrupt, LocalProtocolError, ZeroDivisionError])
def test_what_cuts_an_action_short_poisons_the_transport(
    guarded: Guarded, error: type[BaseException]
) -> None:
    def cut() -> None:
        raise error

    with pytest.raises(error):
        guarded.lock.run(cut, "send")
    assert guarded.lock.poisoned
    assert guarded.alarms == 1
    assert guarded.settled == 0  # not a byte more
    assert guarded.lock.run(lambda: 1, "send") == 1  # the lock itself is free again


def test_an_exception_while_settling_poisons_too() -> None:
    alarms: list[int] = []

    def settle() -> None:
        if not lock.poisoned:
            raise KeyboardInterrupt

    lock = CoreLock(settle, lambda: alarms.append(1))
    with pytest.raises(KeyboardInterrupt):
        lock.run(lambda: None, "send")
    assert lock.poisoned
    assert alarms == [1]
    assert lock.run(lambda: 1, "send") == 1


def test_a_caller_lets_the_waiting_network_thread_go_first(
    guarded: Guarded, monkeypatch: pytest.MonkeyPatch
) -> None:
    # No slow machine may use up the callers' courtesy before the lock is free.
    monkeypatch.setattr("rtmsync.driver.lock._COURTESY", 60.0)
    order: list[str] = []
    inside, leave = threading.Event(), threading.Event()

    def hold() -> None:
        inside.set()
        leave.wait(30)

    holder = threading.Thread(target=lambda: guarded.lock.run(hold, "send"))
    holder.start()
    inside.wait(30)
    network = threading.Thread(target=lambda: guarded.lock.run_first(lambda: order.append("network")))
    network.start()
    while not guarded.lock.network_waits:
        pass
    callers = [
        threading.Thread(target=lambda: guarded.lock.run(lambda: order.append("caller"), "send"))
        for _ in range(5)
    ]
    for caller in callers:
        caller.start()
    leave.set()
    for thread in (holder, network, *callers):
        thread.join(30)
    assert order[0] == "network"
    assert order.count("caller") == 5


def test_signals_that_leave_intents_lose_none_of_them(guarded: Guarded) -> None:
    """A thread that never stops working under the lock, and 10,000 signals that want something under it."""
    count = 10_000
    done: list[int] = []
    numbers = iter(range(count))
    before = signal.signal(
        signal.SIGUSR1, lambda *_: guarded.lock.run_or_leave(partial(done.append, next(numbers)))
    )
    other_stop = threading.Event()

    def other() -> None:
        while not other_stop.is_set():
            guarded.lock.run_first(lambda: None)

    thread = threading.Thread(target=other)
    thread.start()
    try:
        for _ in range(count):
            guarded.lock.run(lambda: signal.raise_signal(signal.SIGUSR1), "send")
    finally:
        other_stop.set()
        thread.join(30)
        signal.signal(signal.SIGUSR1, before)
    assert sorted(done) == list(range(count))
