"""Time that passes when somebody waits for it, and the turns of all that takes part in it."""

import math
import threading
import time
from collections.abc import Callable
from typing import Final, Protocol

from rtmcore.errors import InvalidArgument, StateError, WouldDeadlock
from rtmcore.limits import IDEMPOTENCY_SECONDS

_BEGINNING: Final = 1000.0
_PATIENCE: Final = 2 * IDEMPOTENCY_SECONDS
"""Seconds of virtual time after which a wait without end is given up: nothing of the protocol takes longer."""
_ROUNDS: Final = 20_000
"""Rounds in which no time passes, after which it is said that they will not end."""


class Part(Protocol):
    """What lives in virtual time: a system of nodes and clients."""

    def turn(self) -> bool:
        """Do what can be done now, without running code of the application; whether anything came of it."""

    def call_back(self) -> bool:
        """Run code of the application that is due, such as a callback; whether there was any."""

    def next_deadline(self) -> float | None:
        """When something is to be done next, or None."""


class VirtualClock:
    """A clock that moves only when a call waits, or by `advance`.

    Whoever waits moves it: from one deadline to the next, at each of which everything happens that is due. So a call
    that times out after 10 s returns at once, and 10 s have passed for all who live in this time.

    Args:
        start: What `time` begins with, in seconds since 1970. By default, it follows the process's clock, so that
            freezegun works on it, and is ahead of it by what has passed here.

    Attributes:
        lock: Held during a turn, and by whoever changes what lives in this time.
    """

    def __init__(self, start: float | None = None) -> None:
        self._now = _BEGINNING
        self._start = start
        self._parts: list[Part] = []
        self.lock: Final = threading.RLock()
        self._turning = 0

    def __repr__(self) -> str:
        return f"<VirtualClock after {self._now - _BEGINNING:.3f} s>"

    def now(self) -> float:
        """Monotonic seconds."""
        return self._now

    def time(self) -> float:
        """Seconds since 1970."""
        start = time.time() if self._start is None else self._start
        return start + self._now - _BEGINNING

    def advance(self, seconds: float) -> None:
        """Let time pass: beats, expiry, changes of presence and callbacks happen meanwhile, each at its time.

        Args:
            seconds: How much, 0 or more; with 0, what is due now happens.

        Raises:
            InvalidArgument: Less than 0, or without end.
        """
        if not 0 <= seconds < math.inf:
            raise InvalidArgument(f"A clock advances by 0 seconds or more, not by {seconds!r}.")
        self.wait(lambda: False, self._now + seconds, "advance")

    # --- For what lives in this time ----------------------------------------------------------------------------

    def join(self, part: Part) -> None:
        """Take part."""
        with self.lock:
            self._parts.append(part)

    def leave(self, part: Part) -> None:
        """Take part no longer."""
        with self.lock:
            if part in self._parts:
                self._parts.remove(part)

    @property
    def turning_here(self) -> bool:
        """Whether this thread is in the middle of a turn further down its stack."""
        return self._turning == threading.get_ident()

    def settle(self) -> None:
        """Turns without time passing, until nobody has anything to say. In the middle of a turn, nothing."""
        if self.turning_here:
            return
        for _ in range(_ROUNDS):
            if not self._turn() | self._call_back():
                return
        raise StateError(
            f"After {_ROUNDS} turns without time passing, there is still something to do.",
            operation="settle",
            hint="Perhaps two callbacks answer each other's messages without end.",
        )

    def wait(self, condition: Callable[[], bool], until: float, operation: str) -> bool:
        """Let time pass until a condition is true.

        Args:
            condition: Looked at after each turn.
            until: When to stop, in the seconds of `now`; infinity for never.
            operation: Who waits, for the error.

        Returns:
            Whether it is true.

        Raises:
            WouldDeadlock: This thread is in the middle of a turn; or it waits without end, and nothing brings an end.
        """
        if self.turning_here:
            raise WouldDeadlock(
                f"{operation} was called by something that interrupted the memory system itself.",
                operation=operation,
            )
        end = self._now + _PATIENCE if until == math.inf else until
        self.settle()
        while not condition():
            if self._now >= end:
                if until == math.inf:
                    raise WouldDeadlock(
                        f"{operation} waits without end, and in {_PATIENCE:g} s of virtual time nothing ended it: in "
                        "memory, nobody does anything while this thread waits.",
                        operation=operation,
                        hint="Do first what it waits for, or give it a timeout.",
                    )
                return False
            with self.lock:
                dues = [due for part in self._parts if (due := part.next_deadline()) is not None]
                self._now = max(self._now, min([end, *dues]))
            self.settle()
        return True

    # --- Inside -------------------------------------------------------------------------------------------------

    def _turn(self) -> bool:
        with self.lock:
            self._turning = threading.get_ident()
            try:
                return sum(part.turn() for part in self._parts) > 0
            finally:
                self._turning = 0

    def _call_back(self) -> bool:
        return sum(part.call_back() for part in list(self._parts)) > 0
