"""The drivers' clock, and budgets of time measured on it."""

import math
import time
from collections.abc import Callable
from functools import partial
from typing import ClassVar, Final, TypeAlias

from rtmcore.errors import InvalidArgument

FOREVER: Final = math.inf
"""A wait without end; only iterators, `Subscription.get` and `wait_until` accept it."""


def _choose() -> Callable[[], float]:
    boot_time = getattr(time, "CLOCK_BOOTTIME", None)
    if boot_time is None:
        return time.monotonic
    return partial(time.clock_gettime, boot_time)


class Clock:
    """Real monotonic seconds.

    Where the system has a clock that goes on while the machine is suspended, it is this one: after a suspension
    the deadlines of requests have passed, as they have for everybody else. The function is taken when the module
    is imported and kept in a class, where tools that replace the functions of `time` in modules do not find it.
    """

    now: ClassVar[Callable[[], float]] = staticmethod(_choose())


class Deadline:
    """A point in time that several calls share as their budget.

    ```python
    budget = rtmsync.Deadline(5)
    channel.join(timeout=budget)
    channel.send("hello", timeout=budget)  # what the join left over
    ```

    Args:
        seconds: From now on; 0 or more, `FOREVER` for no end.

    Raises:
        InvalidArgument: Not a number, or below 0.
    """

    __slots__ = ("at",)

    def __init__(self, seconds: float) -> None:
        #: The end in seconds of the drivers' clock.
        self.at: Final = Clock.now() + checked_seconds(seconds, "seconds")

    def __repr__(self) -> str:
        return f"<Deadline in {self.remaining():.3f} s>"

    def remaining(self) -> float:
        """Seconds that are left, 0 when there are none."""
        return max(0.0, self.at - Clock.now())

    @property
    def expired(self) -> bool:
        """Whether nothing is left."""
        return Clock.now() >= self.at


Timeout: TypeAlias = "float | Deadline | None"
"""What every blocking call takes: seconds in all, a shared `Deadline`, or None for the configured default."""


def checked_seconds(value: float, name: str) -> float:
    """A number of seconds given by a user.

    Raises:
        InvalidArgument: Not a number, or below 0.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidArgument(f"{name} is a number of seconds or a Deadline, not {type(value).__name__}.")
    if math.isnan(value) or value < 0:
        raise InvalidArgument(f"{name} is 0 seconds or more, not {value}.")
    return float(value)


def seconds_of(timeout: Timeout, default: float, *, endless: bool = False) -> float:
    """The budget of one call in seconds.

    Args:
        timeout: What the caller gave.
        default: Seconds where he gave None.
        endless: Whether this call may wait without end.

    Raises:
        InvalidArgument: Not a budget, or without end where an end is needed.
    """
    if timeout is None:
        return default
    seconds = timeout.remaining() if isinstance(timeout, Deadline) else checked_seconds(timeout, "timeout")
    if seconds == FOREVER and not endless:
        raise InvalidArgument("This call cannot wait without end: give a timeout in seconds.")
    return seconds
