"""The network thread of one client: begun by a login, ended by itself, followed by another after the next login."""

import threading
from collections.abc import Callable
from typing import Any, Final

from rtmcore.codes import InitError
from rtmcore.errors import RtmError, error_for
from rtmsync.driver.lifecycle import LIFECYCLE, Living
from rtmsync.driver.network import Network


def _not_made(text: str, operation: str) -> RtmError:
    """The system does not give what a client needs; it is taken at the login only."""
    return error_for(InitError.FAILURE, text, operation=operation)


class NetworkThread:
    """Waits for the network of one client, and has it go on, until there is nothing to wait for.

    Args:
        who: Whose client it is; appears in the thread's name.
        network: What it waits for.
        owner: Hears of forks and of the interpreter's end, once there is a thread.
        go_on: Does what is to be done, given what is ready; False where the thread is to end.
        ended: Called at the end of the thread.
        crashed: Called instead, with what the wait or `go_on` has raised.

    Attributes:
        running: Whether it goes on. False as soon as it has decided to end; it may still be telling what came of its
            last step.
        ident: Of the thread that goes on, or 0.
        thread: The last one that was started, or None.
    """

    def __init__(
        self,
        who: str,
        network: Network[Any],
        owner: Living,
        *,
        go_on: Callable[[list[Any]], bool],
        ended: Callable[[], None],
        crashed: Callable[[BaseException], None],
    ) -> None:
        self._who: Final = who
        self._network = network
        self._owner = owner
        self._go_on = go_on
        self._ended = ended
        self._crashed = crashed
        self.running = False
        self.ident = 0
        self.thread: threading.Thread | None = None

    def start(self, operation: str) -> None:
        """See to it that there is a thread that goes on. With the client's lock.

        Args:
            operation: Name of the public method that needs it.

        Raises:
            RtmError: The system gives no thread, or nothing to wait with.
        """
        if self.running:
            return
        previous = self.thread
        thread = threading.Thread(
            target=self._run, args=(previous,), name=f"rtm-network-{self._who}", daemon=True
        )
        try:
            self._network.open_waker()
        except OSError as error:
            raise _not_made(f"Nothing to wait with could be opened: {error}.", operation) from error
        self.running = True
        self.thread = thread
        LIFECYCLE.enter(self._owner)
        try:
            thread.start()
        except RuntimeError as error:
            self.running = False
            self.thread = previous
            self._network.close_waker()
            raise _not_made(f"No thread could be started: {error}.", operation) from error

    def retire(self) -> None:
        """Go on no longer: from here on another login starts a thread of its own. By the thread, with the lock."""
        self._network.close_waker()
        self.running = False
        self.ident = 0

    def _run(self, previous: threading.Thread | None) -> None:
        if previous is not None:
            previous.join()  # it may still be telling what came of its last step
        self.ident = threading.get_ident()
        network = self._network
        try:
            alive = True
            while alive:
                alive = self._go_on(network.wait())
        except BaseException as error:  # noqa: BLE001 - whoever waits for this thread has to hear of its end
            self._crashed(error)
        else:
            self._ended()
