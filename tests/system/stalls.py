"""How long the machine lets a thread wait: what has to happen within seconds is judged by that."""

import threading
import time
from collections.abc import Callable

_TRIES = 5


class Delay:
    """The longest time that the machine lets a thread wait that only sleeps: everything else may be as late."""

    def __init__(self) -> None:
        self.longest = 0.0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def _watch(self) -> None:
        before = time.monotonic()
        while not self._ended.wait(0.01):
            now = time.monotonic()
            self.longest = max(self.longest, now - before)
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
                if delay.longest < bearable:
                    raise
                print(f"again, since a thread has waited for {delay.longest:.1f} s: {error}")
    raise AssertionError("this machine stalls all the time")
