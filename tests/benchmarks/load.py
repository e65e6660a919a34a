"""What is measured, the same for every system: how messages are sent, counted and timed."""

import time
from collections.abc import Callable
from statistics import quantiles
from typing import Any

WARM_UP = 0.15
"""Seconds of the same load before each measurement, not counted."""

SETTLE_TIMEOUT = 30.0

clock = time.monotonic  # the same for all processes of a machine


def payload(size: int) -> bytes:
    """A message body of printable characters, the same in every system."""
    return (b"0123456789abcdef" * (size // 16 + 1))[:size]


def one_at_a_time(send: Callable[[], object], seconds: float) -> dict[str, float]:
    """Call `send`, which returns when the message is acknowledged, again and again.

    Returns:
        ``rate`` in calls a second, ``p50`` and ``p99`` in microseconds, ``count`` of all calls, those of the
        warm-up included.
    """
    warm = _repeat(send, WARM_UP)
    laps = _repeat(send, seconds)
    return {"rate": len(laps) / sum(laps), "count": len(warm) + len(laps), **percentiles(laps)}


def percentiles(laps: list[float]) -> dict[str, float]:
    """Of seconds: ``p50`` and ``p99`` in microseconds; 0 where there are too few."""
    cuts = quantiles(laps, n=100) if len(laps) > 1 else [0.0] * 99
    return {"p50": cuts[49] * 1e6, "p99": cuts[98] * 1e6}


def _repeat(send: Callable[[], object], seconds: float) -> list[float]:
    laps = []
    start = clock()
    end = start + seconds
    while start < end:
        send()
        now = clock()
        laps.append(now - start)
        start = now
    return laps


class Counter:
    """Counts what a subscriber receives and knows when the last of it came."""

    def __init__(self) -> None:
        self.received = 0
        self.last = 0.0

    def add(self, *_: Any) -> None:
        """One more. Any callback may be this."""
        self.last = clock()
        self.received += 1

    def wait_for(self, count: int) -> float:
        """When the message of this number came.

        Raises:
            TimeoutError: It did not.
        """
        deadline = clock() + SETTLE_TIMEOUT
        while self.received < count:
            if clock() > deadline:
                raise TimeoutError(f"{self.received} messages came instead of {count}")
            time.sleep(0.002)
        return self.last
