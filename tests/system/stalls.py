"""How long the machine lets a thread wait: what has to happen within seconds is judged by that."""

import threading
import time
from collections.abc import Callable

_TRIES = 5


class Delay:
    """The longest time that the machine lets a thread wait that only sleeps: everything else may be as late."""

    def __init__(self) -> None:
        self._longest = 0.0
        self._rounds = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    @property
    def longest(self) -> float:
        """So far, in seconds."""
        # The thread that asks may have been woken before the one that only sleeps.
        rounds = self._rounds
        while self._rounds == rounds and self._thread.is_alive():
            time.sleep(0.001)
        return self._longest

    def _watch(self) -> None:
        before, ended = time.monotonic(), False
        while not ended:
            ended = self._ended.wait(0.01)
            now = time.monotonic()
            self._longest = max(self._longest, now - before)
            self._rounds += 1
            before = now

    def __enter__(self) -> "Delay":
        self._thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._ended.set()
        self._thread.join()


def where_nothing_stalls(attempt: Callable[[], None], bearable: float) -> None:
    """Check something that holds only if the machine lets no thread wait for long.

    Where it does not hold, and the machine has let one wait meanwhile, it is tried again.

    Args:
        attempt: Checks it, by assertions; can be called again whatever came of it.
        bearable: Seconds that a thread may wait: if none has waited as long, the failure counts.
    """
    for _ in range(_TRIES):
        with Delay() as delay:
            try:
                return attempt()
            except AssertionError as error:
                longest = delay.longest
                if longest < bearable:
                    raise
                print(f"again, since a thread has waited for {longest:.1f} s: {error}")
    raise AssertionError("this machine stalls all the time")
