"""The engine of one client, RTC channel or room: the core, its lock, its threads, the calls that wait for them."""

import logging
import os
import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic

from rtmcore.client.requests import Ticket
from rtmcore.codes import PeerConnectionState
from rtmcore.errors import ClientClosed, LimitExceeded, RequestTimeout, RtmError, StateError
from rtmcore.limits import OUTBOUND_BYTES, OUTCOME_GRACE
from rtmcore.models import ConnectionInfo
from rtmsync.driver.clock import FOREVER, Clock
from rtmsync.driver.core import C, Profile
from rtmsync.driver.dispatcher import CallbackFailed, Dispatcher
from rtmsync.driver.futures import COMPLETIONS, ClientFuture, Completion, Waiter, fail_in_child, on_own_thread
from rtmsync.driver.lifecycle import LIFECYCLE
from rtmsync.driver.lock import inside
from rtmsync.driver.network import Network
from rtmsync.driver.notice import Notice
from rtmsync.driver.queues import EventQueue, Lagged
from rtmsync.driver.randomness import instance_id, mask_key, nonce, uniform
from rtmsync.driver.router import Callback, Feed, Router, Sink
from rtmsync.driver.stats import ClientStats
from rtmsync.driver.thread import NetworkThread
from rtmsync.timeline.recorder import Timeline

if TYPE_CHECKING:
    import ssl

    from rtmsync.config import Settings

logger: Final = logging.getLogger("rtmsync")

Intent = Callable[[float], Ticket]
"""States what is wanted to the core, with the time."""


class Driver(Generic[C]):
    """Runs one core in one process. A forked child makes its own.

    "The client" is whoever owns it: a client, an RTC channel or a room.

    Args:
        profile: What kind of core.
        config: The client's settings.
        callbacks: Registered already.
        observe: Told of each event before anybody else, with the lock.
        translate: Makes of an event of the core what the application is told, with the lock.
        clock: Tells the time, in monotonic seconds.

    Attributes:
        pid: The process that this belongs to.
        config: The client's settings.
        now: Tells the time.
        timeline: What has happened to the connection.
        finished: Whether the client is closed, and its network thread gone.
    """

    _thread_class: ClassVar[type[NetworkThread]] = NetworkThread

    def __init__(
        self,
        profile: Profile[C],
        config: "Settings",
        callbacks: Iterable[Callback] = (),
        observe: Callable[[object], None] | None = None,
        translate: Callable[[Any], Any] | None = None,
        clock: Callable[[], float] = Clock.now,
    ) -> None:
        self.pid = os.getpid()
        self.config: Final = config
        self.now: Final = clock
        self.timeline: Final = Timeline(config.who, clock)
        self._profile = profile
        self._dispatcher = self._make_dispatcher()
        self._router = Router(self._dispatcher)
        self._dispatcher.report_to(
            lambda: self._router.callbacks_of(Lagged), lambda: self._router.callbacks_of(CallbackFailed)
        )
        for callback in callbacks:
            self._router.add(callback)
        #: For intents, which run under the lock.
        self.core: Final = profile.make(
            config.for_core(),
            iid=instance_id(),
            random=uniform,
            mask_key=mask_key,
            nonce=nonce,
        )
        self._network = self._make_network(observe, translate)
        self._lock = self._network.lock
        self._thread = self._thread_class(
            config.who,
            self._network,
            self,
            go_on=self._go_on,
            ended=self._thread_ended,
            crashed=self._crash,
        )
        self._ending = False
        self._pending: set[Completion] = set()
        self._settled: list[tuple[Completion, Any, BaseException | None]] = []
        self._notice = Notice()
        self._closing = False
        self._closers: list[Completion] = []
        self._broken: BaseException | None = None
        self._fatal: BaseException | None = None
        self._waiting_for_end = 0
        self._ended = False
        self.finished = False

    # --- Calls --------------------------------------------------------------------------------------------------

    def call(self, operation: str, intent: Intent, seconds: float) -> Any:
        """Make a request and wait for its result.

        Args:
            operation: Name of the public method.
            intent: States the request to the core.
            seconds: What the request may take; the core ends it by then.

        Raises:
            WouldDeadlock: This thread could only wait for itself.
            RtmError: What the request failed with.
        """
        self.check_may_block(operation)
        self.raise_fatal()
        waiter = Waiter()
        until = self.now() + seconds + OUTCOME_GRACE
        try:
            self._lock.run(lambda: self._submit(intent, waiter), operation)
            self._after_call()
            if not self._await(waiter, until, operation):
                raise RequestTimeout(
                    f"The client did not bring an answer within {seconds:g} s.",
                    operation=operation,
                    state=getattr(self.state, "name", None),  # a room that was never connected has no state
                    outcome_unknown=True,
                )
        except BaseException:
            self._withdraw(waiter)
            raise
        if waiter.error is not None:
            self.raise_fatal()
            raise waiter.error
        return waiter.value

    def future(self, intent: Intent) -> ClientFuture[Any]:
        """Make a request and return at once; every failure is in the Future.

        Args:
            intent: States the request to the core.
        """
        future = self._make_future()
        self.submit(intent, future)
        return future

    def submit(self, intent: Intent, completion: Completion) -> None:
        """Make a request whose result, or failure of any kind, somebody else's completion gets; never raises RtmError.

        Args:
            intent: States the request to the core.
            completion: Completed outside the client's lock, on any thread, also before this returns.
        """

        def act() -> None:
            try:
                self._submit(intent, completion)
            except RtmError as error:
                self._settled.append((completion, None, error))

        self._lock.run_or_leave(act)
        self._after_call()

    def tls_for(self, host: str) -> "tuple[ssl.SSLContext, str]":
        """What recognises a server: the SSL context of this client, and the name that the server must prove.

        Raises:
            TlsError: The client's certificates cannot be used.
        """
        return self._network.tls_for(host)

    def act(self, operation: str, action: Callable[[float], None]) -> None:
        """Do something that is done at once, and needs no answer.

        Args:
            operation: Name of the public method.
            action: Gets the time; may raise RtmError to refuse.

        Raises:
            WouldDeadlock: This thread is inside the library.
            ClientClosed: The client has failed.
        """
        self.raise_fatal()

        def run() -> None:
            if self._broken is not None:
                raise self._closed_error(operation)
            action(self.now())
            if not self._thread.running:
                self._network.step([])

        self._lock.run(run, operation)
        self._after_call()

    def send_frame(self, operation: str, action: Callable[[float], None]) -> None:
        """Send what nobody acknowledges, unless too much waits for the sockets already.

        Args:
            operation: Name of the public method.
            action: Gets the time; may raise RtmError to refuse.

        Raises:
            LimitExceeded: `limits.OUTBOUND_BYTES` are waiting: the line is slower than the sender.
            WouldDeadlock: This thread is inside the library.
            ClientClosed: The client has failed.
        """

        def send(now: float) -> None:
            waiting = self._network.backlog
            if waiting >= OUTBOUND_BYTES:
                raise LimitExceeded(
                    f"The frame was not sent, since {waiting} bytes wait for the connection already.",
                    operation=operation,
                    hint="Send fewer or smaller frames: nothing else slows you down, since they have no answer.",
                )
            action(now)

        self.act(operation, send)

    def starting(self, operation: str, intent: Intent) -> Intent:
        """An intent after which there is a network thread: a login."""

        def start(now: float) -> Ticket:
            self._thread.start(operation)
            return intent(now)

        return start

    def check_may_block(self, operation: str) -> None:
        """See that waiting can end.

        Raises:
            WouldDeadlock: This thread is inside the library, or is one that a call would wait for.
        """
        if self._lock.held_here():
            raise inside(operation)
        ident = threading.get_ident()
        if ident == self._thread.ident:
            raise on_own_thread(operation, "the network thread")
        if ident in self._network.providers:
            raise on_own_thread(operation, "a token provider")

    def cancel(self, future: ClientFuture[Any]) -> bool:
        """Withdraw the request of a Future; False where its bytes may have left."""
        if self._lock.held_here():
            return False
        return self._withdraw(future)

    def dispatch(self, job: Callable[[], object]) -> None:
        """Run a function of the application on the dispatcher thread."""
        self._dispatcher.dispatch(job)

    # --- State --------------------------------------------------------------------------------------------------

    @property
    def state(self) -> Any:
        """The state of the connection."""
        return self._profile.off if self._broken is not None else self.core.state

    @property
    def peer_connection_state(self) -> PeerConnectionState:
        """The aggregate over the transports."""
        return PeerConnectionState.CLOSED if self._broken is not None else self.core.peer_connection_state

    @property
    def running(self) -> bool:
        """Whether there is a network thread, and nobody has closed the client."""
        return self._thread.running and not self._closing

    def connection(self) -> ConnectionInfo:
        """How the connection stands."""
        return self.core.connection(self.now())

    def healthy(self) -> bool:
        """Whether the client is connected and its threads live."""
        return self._broken is None and not self._closing and self.state is self._profile.connected

    def stats(self) -> ClientStats:
        """What was done so far, and what waits."""
        received, sent = self._network.traffic
        dispatcher = self._dispatcher
        threads = [self._thread.thread, dispatcher.thread]
        return ClientStats(
            bytes_received=received,
            bytes_sent=sent,
            requests_waiting=len(self._pending),
            peer_messages_held=self._router.peers_held,
            callbacks_called=dispatcher.called,
            callbacks_failed=dispatcher.failed,
            events_dropped=dispatcher.lagged,
            threads=sum(thread is not None and thread.is_alive() for thread in threads),
        )

    def wait_for(self, condition: Callable[[], bool], seconds: float) -> None:
        """Wait for a condition that a change of state brings about, for the end of the client, or of the time."""
        self.wait(
            lambda: condition() or self.finished or self._fatal is not None, self.now() + seconds, "wait_for"
        )

    def wait_until(self, states: frozenset[Any], seconds: float) -> Any:
        """Wait for one of some states."""
        self.check_may_block("wait_until")
        ends = states | self._profile.final
        self.wait_for(lambda: self.state in ends, seconds)
        self.raise_fatal()
        state = self.state
        if state in states:
            return state
        if self._broken is None and state in self._profile.final:
            raise StateError(
                f"The state is {state.name}, which nothing leaves.", operation="wait_until", state=state.name
            )
        if self._broken is not None or self.finished:
            raise self._closed_error("wait_until")
        names = " or ".join(each.name for each in sorted(states))
        raise RequestTimeout(
            f"The state did not become {names} within {seconds:g} s.",
            operation="wait_until",
            state=state.name,
        )

    def wait_for_end(self, stopped: Callable[[], bool]) -> None:
        """Wait until the client is closed, or `stopped` says so."""
        self.check_may_block("run_forever")
        self._waiting_for_end += 1
        try:
            self.wait(lambda: self.finished or self._fatal is not None or stopped(), FOREVER, "run_forever")
            # Taken while others still leave it to this thread.
            fatal, self._fatal = self._fatal, None
        finally:
            self._waiting_for_end -= 1
        if fatal is not None:
            raise fatal

    def give_notice(self) -> None:
        """Have those who wait look again."""
        self._notice.give()

    def raise_fatal(self) -> None:
        """Raise, once, the SystemExit or KeyboardInterrupt that a callback has raised.

        A thread that does nothing but wait for the client's end comes first.
        """
        if self._waiting_for_end:
            return
        fatal, self._fatal = self._fatal, None
        if fatal is not None:
            raise fatal

    # --- Subscriptions ------------------------------------------------------------------------------------------

    def add(self, sink: Sink) -> None:
        """Begin to serve a subscription."""
        self._router.add(sink)
        if self._ended and isinstance(sink, Feed):
            sink.queue.close()
        self._network.nudge()

    def callbacks(self) -> list[Callback]:
        """All callbacks, for a forked child to go on with."""
        return self._router.callbacks()

    def made_room(self) -> None:
        """Have peer messages that are held brought to those who have room now."""
        if self._router.holding:
            self._network.nudge()

    # --- The end ------------------------------------------------------------------------------------------------

    def close(self, seconds: float) -> None:
        """Say goodbye, end the threads, and fail what waits. Never raises an RtmError.

        Where this thread could only wait for itself, it is begun and goes on by itself.
        """
        until = self.now() + seconds
        self.begin_close()
        if self._lock.held_here() or self._is_own_thread():
            return
        if not self.wait(lambda: self.finished, until, "close"):
            self._network.abandon = True
            self._network.nudge()
            self.wait(lambda: self.finished, self.now() + OUTCOME_GRACE, "close")
        for thread in (self._thread.thread, self._dispatcher.thread):
            if thread is not None and thread.ident is not None:
                thread.join(max(0.0, until - self.now()))

    def begin_close(self) -> None:
        """Say goodbye without waiting for it."""
        self._lock.run_or_leave(self._start_closing)
        self._after_call()

    def close_future(self) -> ClientFuture[None]:
        """Say goodbye; the Future is done when the client is closed."""
        future = self._make_future()
        self._closers.append(future)
        self.begin_close()
        if self.finished:
            self._complete_closers()
        return future

    def replace_inherited(self) -> None:
        """Take note that the client was made before this process was forked, so other processes may have it too."""
        self._network.inherited = True

    def leave_behind(self) -> None:
        """In a forked child: close inherited descriptors, fail inherited Futures, touch nothing else."""
        self._network.leave_behind()
        for completion in list(self._pending) + list(self._closers):
            if isinstance(completion, ClientFuture):
                fail_in_child(completion)

    def begin_exit(self) -> None:
        """The interpreter ends: say goodbye, log nothing more."""
        self._network.silent = True
        if self._thread.running:
            self._lock.run_or_leave(self._start_closing)

    def await_end(self, until: float) -> bool:
        """Wait for the goodbye to be said."""
        return not self._thread.running or self._notice.wait(lambda: self.finished, until)

    def _start_closing(self) -> None:
        if not self._closing and self._broken is None:
            self.core.close(self.now())
        self._closing = True
        self._network.ring()

    def _finish_if_idle(self) -> None:
        """Without a network thread, the one who closes does what is left to do."""

        def step() -> bool:
            if self._thread.running or self._ending:
                return False
            self._ending = True
            self._network.step([])
            return True

        if not self._thread.running and not self._lock.held_here() and self._lock.run(step, "close"):
            self._aftermath()
            self._finish()

    def _finish(self) -> None:
        """Nothing more will come. By the network thread, or where there is none."""
        self._ended = True
        self._router.close()
        self._dispatcher.wake()
        self._dispatcher.close()
        self.finished = True
        self._complete_closers()
        LIFECYCLE.leave(self)
        self._notice.give()

    def _complete_closers(self) -> None:
        while self._closers:
            self._closers.pop(0).complete(None, None)

    def _stop_with(self, error: BaseException) -> None:
        """A callback has raised SystemExit, KeyboardInterrupt or the like."""

        def stop() -> None:
            self._start_closing()
            self._fatal = error

        # In one step: who hears of it finds the client closed, and who waits for the end hears of it before the end.
        self._lock.run_or_leave(stop)
        self._after_call()
        self._notice.give()

    def _is_own_thread(self) -> bool:
        ident = threading.get_ident()
        return (
            ident == self._thread.ident or self._dispatcher.is_current() or ident in self._network.providers
        )

    # --- Of the process: a driver in virtual time has all of this otherwise --------------------------------------

    def make_queue(self, maxsize: int) -> EventQueue[Any]:
        """A queue between the network thread and the application."""
        return EventQueue(maxsize)

    def wait(
        self, condition: Callable[[], bool], until: float, operation: str, notice: Notice | None = None
    ) -> bool:
        """Wait for a condition, which whoever makes it true follows by a notice; see `Notice.wait`."""
        return (notice or self._notice).wait(condition, until)

    def _make_future(self) -> ClientFuture[Any]:
        return ClientFuture(self)

    def _make_dispatcher(self) -> Dispatcher:
        return Dispatcher(
            self.config.who, made_room=self.made_room, stop=self._stop_with, died=self._dispatcher_died
        )

    def _make_network(
        self, observe: Callable[[object], None] | None, translate: Callable[[Any], Any] | None
    ) -> Network[C]:
        return Network(
            self._profile, self.config, self.core, self._router, self.timeline, observe, translate, self.now
        )

    def _await(self, waiter: Waiter, until: float, operation: str) -> bool:
        return waiter.wait(until)

    # --- With the lock ------------------------------------------------------------------------------------------

    def _submit(self, intent: Intent, completion: Completion) -> None:
        if self._broken is not None:
            raise self._closed_error(None)
        ticket = intent(self.now())
        ticket.context = completion
        if ticket.done:
            self._settled.append((completion, ticket.value, ticket.error))
        else:
            self._pending.add(completion)
            completion.ticket = ticket
        if not self._thread.running:
            self._network.step([])

    def _withdraw(self, completion: Completion) -> bool:
        ticket = completion.ticket
        if ticket is None:
            return False
        withdrawn: list[bool] = []
        self._lock.run_or_leave(lambda: withdrawn.append(self.core.cancel(ticket, self.now())))
        if withdrawn == [True]:
            self._pending.discard(completion)
            return True
        return False

    # --- The network thread -------------------------------------------------------------------------------------

    def _go_on(self, ready: list[Any]) -> bool:
        alive = self._lock.run_first(lambda: self._step(ready))
        self._aftermath()
        return alive

    def _step(self, ready: list[Any]) -> bool:
        if self._broken is not None:
            raise self._broken
        if self._network.step(ready):
            return True
        self._thread.retire()
        self._ending = self._closing or self.core.state in self._profile.final
        return False

    def _thread_ended(self) -> None:
        if self._ending:
            self._finish()

    def _aftermath(self) -> None:
        """Tell everybody what came of a step."""
        network = self._network
        for ticket in network.take_completed():
            completion = ticket.context
            if isinstance(completion, COMPLETIONS):
                self._pending.discard(completion)
                completion.ticket = None  # or the two keep each other until the next garbage collection
                completion.complete(ticket.value, ticket.error)
        if network.changed:
            network.changed = False
            self._notice.give()
        if self._settled:
            self._tell_settled()
        network.aftermath()
        self._dispatcher.wake()

    def _after_call(self) -> None:
        if self._settled:
            self._tell_settled()
        if not self._thread.running and not self._lock.held_here():
            self._aftermath()  # nobody else would
            if self._closing and not self._ending:
                self._finish_if_idle()

    def _tell_settled(self) -> None:
        while self._settled:
            try:
                completion, value, error = self._settled.pop(0)
            except IndexError:
                return
            completion.complete(value, error)

    def _crash(self, error: BaseException) -> None:
        """A thread of the library has died: nobody may be left waiting."""
        logger.error("The client of %s has failed and is closed.", self.config.who, exc_info=error)

        def break_down() -> list[Completion]:
            previous = self.core.state
            self._broken = error
            self._closing = True
            self._lock.poisoned = True
            self._network.break_down()
            self._thread.running = False
            self._ending = True
            waiting, self._pending = list(self._pending), set()
            cause = self._closed_error(None)
            if previous is not self._profile.off:
                self._router.route(self._profile.broken(previous, cause))
            return waiting

        for completion in self._lock.run_first(break_down):
            completion.complete(None, self._closed_error(None))
        self._finish()

    def _dispatcher_died(self, error: BaseException) -> None:
        self._broken = error
        self._network.nudge()

    def _closed_error(self, operation: str | None) -> ClientClosed:
        if self._broken is None:
            return ClientClosed("The client is closed.", operation=operation)
        error = ClientClosed(f"The client has failed: {self._broken!r}.", operation=operation)
        error.__cause__ = self._broken
        return error
