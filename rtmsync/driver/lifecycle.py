"""What concerns all clients of a process: forks, and the end of the interpreter."""

import atexit
import os
import sys
from typing import Final, Protocol
from weakref import WeakSet

from rtmcore.limits import EXIT_GOODBYE_TIMEOUT
from rtmsync.driver.clock import Clock


class Living(Protocol):
    """What has threads and sockets."""

    pid: int

    def leave_behind(self) -> None:
        """In a forked child: give back what was inherited, without a word to the server."""

    def begin_exit(self) -> None:
        """The interpreter ends: say goodbye, without waiting and without starting anything."""

    def await_end(self, until: float) -> bool:
        """Wait for the goodbye to be said."""


class Lifecycle:
    """Knows the clients that live, and hears of forks and of the interpreter's end.

    It begins with the first client that needs it: importing the package registers nothing.
    """

    def __init__(self) -> None:
        self._living: WeakSet[Living] = WeakSet()
        self._registered = False
        self._child = 0

    def enter(self, living: Living) -> None:
        """Take in a client that has got a thread."""
        if not self._registered:
            self._registered = True
            atexit.register(self._say_goodbye)
            if hasattr(os, "register_at_fork"):
                os.register_at_fork(after_in_child=self._after_fork)
        if self._child != os.getpid():
            self._child = os.getpid()
            self._hear_of_the_end_of_a_child()
        self._living.add(living)

    def leave(self, living: Living) -> None:
        """Forget a client that has no thread any more."""
        self._living.discard(living)

    def _hear_of_the_end_of_a_child(self) -> None:
        """Children of `multiprocessing` end without the hooks of `atexit`, but with finalizers of their own."""
        process, util = (sys.modules.get(f"multiprocessing.{name}") for name in ("process", "util"))
        if process is not None and util is not None and process.parent_process() is not None:
            util.Finalize(None, self._say_goodbye, exitpriority=0)

    def _after_fork(self) -> None:
        inherited = list(self._living)
        self._living = WeakSet()
        for living in inherited:
            living.leave_behind()

    def _say_goodbye(self) -> None:
        pid = os.getpid()
        living = [each for each in self._living if each.pid == pid]
        until = Clock.now() + EXIT_GOODBYE_TIMEOUT
        for each in living:
            each.begin_exit()
        for each in living:
            each.await_end(until)


LIFECYCLE: Final = Lifecycle()
"""The one of this process; hooks of the interpreter are for the whole process too."""
