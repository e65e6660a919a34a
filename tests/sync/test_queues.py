"""The queue between the network thread and the application: order, gaps, and any number of readers."""

import random
import threading
import time

import pytest

from rtmcore.limits import WAIT_SLICE
from rtmsync.driver.queues import EventQueue, Lagged, QueueClosed, QueueEmpty


def drain(queue: EventQueue[int]) -> list[int | Lagged]:
    found: list[int | Lagged] = []
    while True:
        try:
            found.append(queue.get(0))
        except (QueueEmpty, QueueClosed):
            return found


def test_events_come_in_order_whether_they_may_be_dropped_or_not() -> None:
    queue: EventQueue[int] = EventQueue(10)
    for number in range(10):
        (queue.keep if number % 3 == 0 else queue.put)(number)
    assert len(queue) == 10
    assert queue.kept == 4
    assert drain(queue) == list(range(10))


def test_the_oldest_goes_and_a_marker_stands_in_the_gap() -> None:
    queue: EventQueue[int] = EventQueue(3)
    queue.keep(-1)
    for number in range(5):
        queue.put(number)
    queue.keep(-2)
    assert drain(queue) == [-1, Lagged(2), 2, 3, 4, -2]


def test_every_gap_has_its_own_marker() -> None:
    queue: EventQueue[int] = EventQueue(2)
    for number in range(3):
        queue.put(number)
    assert queue.get(0) == Lagged(1)
    for number in range(3, 6):
        queue.put(number)
    # 1 was looked at already, so it was not dropped any more.
    assert drain(queue) == [1, Lagged(2), 4, 5]


def test_what_was_lost_before_it_came_counts_too() -> None:
    queue: EventQueue[int] = EventQueue(2)
    queue.miss(7)
    queue.put(1)
    assert drain(queue) == [Lagged(7), 1]


def test_a_closed_queue_is_emptied_first() -> None:
    queue: EventQueue[int] = EventQueue(2)
    queue.put(1)
    queue.close()
    assert queue.get(0) == 1
    with pytest.raises(QueueClosed):
        queue.get(5)


def test_closing_wakes_everybody() -> None:
    # Not only at the end of a slice. On a busy machine a slice may end before all have had their turn.
    assert min(seconds_until_all_are_awake() for _ in range(5)) < 0.9 * WAIT_SLICE


def seconds_until_all_are_awake() -> float:
    queue: EventQueue[int] = EventQueue(2)
    closed: list[bool] = []

    def read() -> None:
        with pytest.raises(QueueClosed):
            queue.get(20)
        closed.append(True)

    readers = [threading.Thread(target=read) for _ in range(5)]
    for reader in readers:
        reader.start()
    begun = time.monotonic()
    queue.close()
    for reader in readers:
        reader.join(30)
    assert len(closed) == 5
    return time.monotonic() - begun


def test_a_reader_that_gives_up_leaves_its_wake_up_to_another() -> None:
    queue: EventQueue[int] = EventQueue(1000)
    got: list[int | Lagged] = []
    lock = threading.Lock()
    done = threading.Event()

    def read(patience: float) -> None:
        while not done.is_set():
            try:
                event = queue.get(patience)
            except QueueEmpty:
                continue
            with lock:
                got.append(event)

    readers = [threading.Thread(target=read, args=(patience,)) for patience in (0.0001, 0.0002, 0.3, 0.3)]
    for reader in readers:
        reader.start()
    for number in range(500):
        queue.keep(number)
        queue.wake()
        time.sleep(0.0001)
    deadline = time.monotonic() + 30
    while len(got) < 500 and time.monotonic() < deadline:
        time.sleep(0.001)
    done.set()
    for reader in readers:
        reader.join(30)
    assert sorted(number for number in got if isinstance(number, int)) == list(range(500))


@pytest.mark.parametrize("seed", range(5))
def test_a_fast_producer_and_a_slow_reader_agree_on_what_is_missing(seed: int) -> None:
    chance = random.Random(seed)
    queue: EventQueue[int] = EventQueue(7)
    count = 20_000
    read: list[int | Lagged] = []

    def consume() -> None:
        while True:
            try:
                read.append(queue.get(20))
            except QueueClosed:
                return

    reader = threading.Thread(target=consume)
    reader.start()
    kept = set()
    for number in range(count):
        if chance.random() < 0.2:
            kept.add(number)
            queue.keep(number)
        else:
            queue.put(number)
        queue.wake()
    queue.close()
    reader.join(30)
    numbers = [event for event in read if isinstance(event, int)]
    assert numbers == sorted(numbers)
    assert kept <= set(numbers)
    assert len(numbers) + sum(event.lost for event in read if isinstance(event, Lagged)) == count
