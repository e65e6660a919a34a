"""Ends a simulation in which the product hangs: a turn that does not end would hang the whole run.

It counts processor time: a machine that does much else makes no turn longer. And the alarm of the real time is that of
pytest-timeout.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from tests.simulation.world import World

_INTERVAL: Final = 10.0
"""Seconds of processor time after which a turn that has not ended is interrupted, at most twice as many."""


class TurnHangs(Exception):
    """A turn of a host does not end."""


@contextmanager
def watched(world: World) -> Iterator[None]:
    """Raise `TurnHangs` where a world takes no turn for a while. For the main thread of a process."""
    seen = -1

    def look(*_: Any) -> None:
        nonlocal seen
        if seen == world.turns:
            raise TurnHangs(f"a turn did not end within {_INTERVAL:g} s")
        seen = world.turns

    before = signal.signal(signal.SIGPROF, look)
    signal.setitimer(signal.ITIMER_PROF, _INTERVAL, _INTERVAL)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0.0)
        signal.signal(signal.SIGPROF, before)
