"""The one thread that runs callbacks, in the order in which the events came."""

import logging
import threading
from collections.abc import Callable
from typing import Any, Final

import attrs

from rtmcore.limits import DISPATCH_WAITING, LAGGED_LOG_INTERVAL, SLOW_CALLBACK, SUBSCRIPTION_QUEUE
from rtmcore.models import PeerMessage
from rtmsync.driver.clock import FOREVER, Clock
from rtmsync.driver.queues import EventQueue, Lagged, QueueClosed, QueueEmpty
from rtmsync.driver.router import Callback

logger: Final = logging.getLogger("rtmsync")


@attrs.frozen
class CallbackFailed:
    """A callback has raised an exception; the next event went on to be delivered."""

    error: Exception
    callback: str
    """The function's name, as in a traceback."""
    event: object
    """What it was called with."""


@attrs.define
class _Delivery:
    event: Any
    callbacks: list[Callback]


@attrs.define
class _Job:
    function: Callable[[], object]


class Dispatcher:
    """Runs the application's callbacks. The thread starts with the first of them.

    Args:
        user: Appears in the thread's name.
        made_room: Called when a peer message was taken and there is room for many more.
        stop: Called with a SystemExit, KeyboardInterrupt or the like that a callback has raised.
        died: Called with an error of the dispatcher itself.

    Attributes:
        thread: The thread, or None.
        failed: Callbacks that have raised.
        called: Callbacks that were called.
        lagged: Events that were dropped because callbacks were too slow.
    """

    def __init__(
        self,
        user: str,
        *,
        made_room: Callable[[], None],
        stop: Callable[[BaseException], None],
        died: Callable[[BaseException], None],
    ) -> None:
        self._user = user
        self._made_room = made_room
        self._stop = stop
        self._died = died
        # Made when it is needed: most clients of a busy process have no callbacks, and it takes its space.
        self._made: dict[None, EventQueue[_Delivery | _Job]] = {}
        self._starting = threading.RLock()
        self._ended = False
        self._peers_in = 0  # counted by the network thread alone, as _peers_out by the dispatcher
        self._peers_out = 0
        self._lag_logged = -LAGGED_LOG_INTERVAL
        self._lag_callbacks: Callable[[], list[Callback]] = list
        self._failure_callbacks: Callable[[], list[Callback]] = list
        self.thread: threading.Thread | None = None
        self.failed = 0
        self.called = 0
        self.lagged = 0

    def report_to(self, lag: Callable[[], list[Callback]], failure: Callable[[], list[Callback]]) -> None:
        """Say who wants to hear of dropped events, and of callbacks that raised."""
        self._lag_callbacks = lag
        self._failure_callbacks = failure

    # --- The network thread -------------------------------------------------------------------------------------

    @property
    def peers_waiting(self) -> int:
        """Peer messages whose callbacks have not been called yet."""
        return self._peers_in - self._peers_out

    def put(self, event: object, callbacks: list[Callback]) -> None:
        """Have callbacks called with an event that may be dropped. Call `wake` afterwards."""
        self._queue.put(_Delivery(event, callbacks))

    def keep_peer(self, event: PeerMessage, callbacks: list[Callback]) -> None:
        """Have callbacks called with a message that is never dropped. Call `wake` afterwards."""
        self._peers_in += 1
        self._queue.keep(_Delivery(event, callbacks))

    def wake(self) -> None:
        """Start the thread if there is something to do for it, or wake it. Not under the client's lock."""
        queue = self._made.get(None)
        if queue is not None and len(queue):
            self._ensure_running()
            queue.wake()

    # --- Any thread ---------------------------------------------------------------------------------------------

    @property
    def _queue(self) -> "EventQueue[_Delivery | _Job]":
        # One step, and no lock: the network thread asks while it holds the client's.
        made = self._made.get(None)
        return self._made.setdefault(None, EventQueue(SUBSCRIPTION_QUEUE)) if made is None else made

    def dispatch(self, function: Callable[[], object]) -> None:
        """Run a function of the application. Not under the client's lock."""
        if self._ended or not self._ensure_running():
            self._run_job(function)
            return
        self._queue.keep(_Job(function))
        self._queue.wake()

    def close(self) -> None:
        """Let the thread end when it has done what waits."""
        self._ended = True
        self._queue.close()

    def is_current(self) -> bool:
        """Whether this is the dispatcher thread."""
        return self.thread is not None and self.thread.ident == threading.get_ident()

    # --- The dispatcher thread ----------------------------------------------------------------------------------

    def _ensure_running(self) -> bool:
        if self.thread is not None:
            return True
        with self._starting:
            if self.thread is None:
                thread = threading.Thread(target=self._run, name=f"rtm-callbacks-{self._user}", daemon=True)
                try:
                    thread.start()
                except RuntimeError:
                    return False  # the interpreter is about to end
                self.thread = thread
        return True

    def _run(self) -> None:
        while self._work(FOREVER):
            pass

    def _work(self, patience: float) -> bool:
        """Do one thing, once there is one; whether there can be another."""
        try:
            item = self._queue.get(patience)
            if isinstance(item, _Delivery):
                self._deliver(item)
            elif isinstance(item, _Job):
                self._run_job(item.function)
            else:
                self._report_lag(item)
        except (QueueClosed, QueueEmpty):
            return False
        except _Stopped as stopped:
            self._ended = True
            self._stop(stopped.cause)
            return False
        except BaseException as error:  # noqa: BLE001 - handed on: the client must not live on without it
            self._ended = True
            self._died(error)
            return False
        return True

    def _deliver(self, delivery: _Delivery) -> None:
        event = delivery.event
        if type(event) is PeerMessage:
            self._peers_out += 1
            if self.peers_waiting < DISPATCH_WAITING // 2:
                self._made_room()
        for callback in delivery.callbacks:
            if callback.active:
                self._call(callback.function, event)

    def _call(self, function: Callable[[Any], object], event: object) -> None:
        self.called += 1
        begun = Clock.now()
        try:
            function(event)
        except Exception as error:  # noqa: BLE001 - whatever a callback raises, the next one has its turn
            self._report_failure(function, event, error)
        except BaseException as error:  # noqa: BLE001 - it goes on in the thread of whoever waits for the client
            raise _Stopped(error) from None
        elapsed = Clock.now() - begun
        if elapsed >= SLOW_CALLBACK:
            logger.warning("The callback %s took %.1f s; others waited for it.", _name(function), elapsed)

    def _run_job(self, function: Callable[[], object]) -> None:
        try:
            function()
        except Exception as error:  # noqa: BLE001 - as for callbacks
            self._report_failure(function, None, error)
        except BaseException as error:
            if self.is_current():
                raise _Stopped(error) from None
            raise

    def _report_failure(self, function: Callable[..., object], event: object, error: Exception) -> None:
        self.failed += 1
        logger.error("The callback %s has raised an exception.", _name(function), exc_info=error)
        if isinstance(event, CallbackFailed):
            return  # a handler of failures that fails is not told of itself
        failure = CallbackFailed(error, _name(function), event)
        for callback in self._failure_callbacks():
            self._call(callback.function, failure)

    def _report_lag(self, lag: Lagged) -> None:
        self.lagged += lag.lost
        now = Clock.now()
        if now - self._lag_logged >= LAGGED_LOG_INTERVAL:
            self._lag_logged = now
            logger.warning("Callbacks are too slow: %d events were dropped so far.", self.lagged)
        for callback in self._lag_callbacks():
            self._call(callback.function, lag)


class _Stopped(Exception):
    """A callback wants the whole program, or at least the client, to stop."""

    def __init__(self, cause: BaseException) -> None:
        super().__init__()
        self.cause = cause


def _name(function: Callable[..., object]) -> str:
    named = getattr(function, "__qualname__", None)
    return f"{function.__module__}.{named}" if named else repr(function)
