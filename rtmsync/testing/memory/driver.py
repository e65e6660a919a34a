"""A client's driver without threads: whoever calls lets virtual time pass until the call has ended."""

import math
import threading
from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeVar

from rtmcore.client.core import ClientCore
from rtmcore.client.requests import Operation
from rtmcore.client.transfers.registry import Slot
from rtmsync.client import Client, ClientDriver
from rtmsync.config import Config
from rtmsync.driver.core import C
from rtmsync.driver.dispatcher import Dispatcher
from rtmsync.driver.driver import Driver
from rtmsync.driver.futures import ClientFuture, Waiter
from rtmsync.driver.lock import inside
from rtmsync.driver.network import Network
from rtmsync.driver.notice import Notice
from rtmsync.driver.queues import EventQueue, Lagged
from rtmsync.driver.router import Callback, Sink
from rtmsync.driver.thread import NetworkThread
from rtmsync.driver.transfers import TransferThread
from rtmsync.testing.memory.machine import Machine
from rtmsync.testing.memory.network import MemoryNetwork
from rtmsync.testing.memory.transfers import MemoryTransfer
from rtmsync.transfer import OnProgress

T = TypeVar("T")

Pump = Callable[[Callable[[], bool], float, str], bool]
"""Lets time pass until a condition is true, for at most so many seconds, for a call of that name."""


class MemoryQueue(EventQueue[T], Generic[T]):
    """A queue whose reader lets time pass until something comes."""

    __slots__ = ("_pump",)

    def __init__(self, maxsize: int, pump: Pump) -> None:
        super().__init__(maxsize)
        self._pump = pump

    def get(self, seconds: float) -> T | Lagged:
        """See `EventQueue`."""
        if not len(self):
            self._pump(lambda: len(self) > 0 or self._closed, seconds, "get")
        return super().get(0.0)


class MemoryFuture(ClientFuture[T], Generic[T]):
    """A Future whose reader lets time pass until it is done."""

    def __init__(self, host: Driver[Any], pump: Pump) -> None:
        super().__init__(host)
        self._pump = pump

    def result(self, timeout: float | None = None) -> T:
        """See `ClientFuture`."""
        self._let_pass(timeout, "Future.result")
        return super().result(0.0)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """See `ClientFuture`."""
        self._let_pass(timeout, "Future.exception")
        return super().exception(0.0)

    def _let_pass(self, timeout: float | None, operation: str) -> None:
        if not self.done():
            self._check(operation)
            self._pump(self.done, math.inf if timeout is None else timeout, operation)


class MemoryDispatcher(Dispatcher):
    """Runs callbacks in the thread that lets time pass."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._busy = threading.Lock()
        self._ident = 0
        self._over = False

    def call_back(self) -> bool:
        """Run the next callback that waits, unless one is running."""
        if self.idle or not self._busy.acquire(blocking=False):
            return False
        self._ident = threading.get_ident()
        try:
            self._over = not self._work(0.0)
        finally:
            self._ident = 0
            self._busy.release()
        return True

    def is_current(self) -> bool:
        """See `Dispatcher`."""
        return self._ident == threading.get_ident()

    @property
    def idle(self) -> bool:
        """Whether no callback waits."""
        return self._over or not len(self._queue)

    def _ensure_running(self) -> bool:
        return True


class MemoryThread(NetworkThread):
    """No thread: the machine has its members go on while they run."""

    def start(self, operation: str) -> None:
        """See `NetworkThread`."""
        self.running = True


class MemoryDriver(Driver[C], Generic[C]):
    """Runs one core in virtual time, together with a node.

    Args:
        machine: Drives the node.
        arguments: See the other bases.
    """

    _thread_class = MemoryThread

    def __init__(self, machine: Machine, *arguments: Any, **options: Any) -> None:
        self._machine = machine
        super().__init__(*arguments, **{**options, "clock": machine.clock.now})
        machine.members.append(self)

    # --- A member of the machine --------------------------------------------------------------------------------

    def turn(self) -> bool:
        """See `Part`."""
        if not self._thread.running:
            return False
        network = self._memory_network
        rung, network.rung = network.rung, False
        ready = network.take()
        try:
            alive = self._go_on(ready)
        except BaseException as error:  # noqa: BLE001 - whoever waits has to hear of it
            self._crash(error)
        else:
            if not alive:
                self._thread_ended()
        return bool(ready) or rung

    def call_back(self) -> bool:
        """See `Part`."""
        waiting, dispatcher = self._memory_network.helpers.waiting, self._memory_dispatcher
        calls = bool(waiting)
        while waiting:
            waiting.pop(0)()
        calls = dispatcher.call_back() or calls
        if self.finished and dispatcher.idle and not self._has_more() and self in self._machine.members:
            self._machine.members.remove(self)
        return calls

    def next_deadline(self) -> float | None:
        """See `Part`."""
        due = self._memory_network.next_deadline() if self._thread.running else math.inf
        return None if due == math.inf else due

    # --- What a driver has threads and sockets for --------------------------------------------------------------

    def check_may_block(self, operation: str) -> None:
        """See `Driver`."""
        super().check_may_block(operation)
        if self._machine.clock.turning_here:
            raise inside(operation)

    def add(self, sink: Sink) -> None:
        """See `Driver`; what has waited for the subscription comes at once."""
        super().add(sink)
        if not self._lock.held_here():
            self._machine.clock.settle()

    def dispatch(self, job: Callable[[], object]) -> None:
        """See `Driver`; such as a callback of a Future that is done already."""
        super().dispatch(job)
        if not self._lock.held_here():
            self._machine.clock.settle()

    def make_queue(self, maxsize: int) -> EventQueue[Any]:
        """See `Driver`."""
        return MemoryQueue(maxsize, self._pump)

    def _make_future(self) -> ClientFuture[Any]:
        return MemoryFuture(self, self._pump)

    def _make_dispatcher(self) -> Dispatcher:
        return MemoryDispatcher(
            self.config.who, made_room=self.made_room, stop=self._stop_with, died=self._dispatcher_died
        )

    def _make_network(
        self, observe: Callable[[object], None] | None, translate: Callable[[Any], Any] | None
    ) -> Network[C]:
        return MemoryNetwork(
            self._machine,
            self._profile,
            self.config,
            self.core,
            self._router,
            self.timeline,
            observe,
            translate,
            self.now,
        )

    def _await(self, waiter: Waiter, until: float, operation: str) -> bool:
        return self._machine.clock.wait(lambda: waiter.done, until, operation)

    def wait(
        self, condition: Callable[[], bool], until: float, operation: str, notice: Notice | None = None
    ) -> bool:
        """See `Driver`."""
        return self._machine.clock.wait(condition, until, operation)

    def _pump(self, condition: Callable[[], bool], seconds: float, operation: str) -> bool:
        return self._machine.clock.wait(condition, self.now() + seconds, operation)

    def _is_own_thread(self) -> bool:
        return super()._is_own_thread() or self._machine.clock.turning_here

    def _after_call(self) -> None:
        super()._after_call()
        if not self._lock.held_here():
            self._machine.clock.settle()

    def _has_more(self) -> bool:
        """Whether there is something to do although the client is closed."""
        return False

    @property
    def _memory_network(self) -> MemoryNetwork[C]:
        assert isinstance(self._network, MemoryNetwork)
        return self._network

    @property
    def _memory_dispatcher(self) -> MemoryDispatcher:
        assert isinstance(self._dispatcher, MemoryDispatcher)
        return self._dispatcher


class MemoryClientDriver(MemoryDriver[ClientCore], ClientDriver):
    """The driver of a `MemoryClient`."""

    def call_back(self) -> bool:
        """See `Part`."""
        steps = [each.step() for each in list(self._transfers.values()) if isinstance(each, MemoryTransfer)]
        return super().call_back() or any(steps)

    def next_deadline(self) -> float | None:
        """See `Part`."""
        dues = [each.next_deadline() for each in self._transfers.values() if isinstance(each, MemoryTransfer)]
        return min((due for due in (super().next_deadline(), *dues) if due is not None), default=None)

    def _has_more(self) -> bool:
        return bool(self._transfers)

    def _make_transfer(
        self,
        operation: Operation,
        slot: Slot,
        job: Any,
        progressed: OnProgress,
        ended: Callable[[Any, BaseException | None], None],
    ) -> TransferThread:
        return MemoryTransfer(
            self._machine, self, operation, slot, job, progressed, ended, self._transfer_over
        )


class MemoryClient(Client):
    """A client in memory: the public class, with another driver.

    Args:
        machine: Drives the node.
        url: What stands where a server's URL would.
        options: See `Client`.
    """

    def __init__(self, machine: Machine, url: str, **options: Any) -> None:
        self._machine = machine
        super().__init__(url, **options)

    def _make_driver(self, callbacks: Iterable[Callback]) -> MemoryClientDriver:
        config: Config = self._config
        return MemoryClientDriver(self._machine, config, callbacks)
