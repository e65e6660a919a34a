"""The thread of the fault proxy: one selector, the timers, the switches, and every link."""

import heapq
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from itertools import count
from random import Random
from typing import Any, Literal, TypeVar

import attrs

from rtmcore.limits import PROXY_BACKLOG, PROXY_COMMAND_TIMEOUT, PROXY_LOG_ENTRIES, PROXY_READ_BYTES
from rtmsync.testing.flow import Flow
from rtmsync.testing.link import Link
from rtmsync.testing.rules import (
    Action,
    Cut,
    Direction,
    Directions,
    HoleMode,
    How,
    RandomCuts,
    Rule,
    directions,
)
from rtmsync.testing.sockets import Address, bound

T = TypeVar("T")

#: How connections are refused: ``closed`` does not listen, ``rst`` accepts and resets at once.
RefuseHow = Literal["closed", "rst"]

_BOTH = directions("both")


class ProxyStopped(Exception):
    """A command came after the proxy's thread had ended."""


@attrs.define
class Switches:
    """What applies to connections accepted from now on, by direction.

    Attributes:
        refusing: How connections are refused; None while they are not.
        holes: Black holes: their mode, and when they end by themselves.
        delays: Seconds, and jitter.
        rates: Bytes a second.
    """

    refusing: RefuseHow | None = None
    holes: dict[Direction, tuple[HoleMode, float | None]] = attrs.field(factory=dict)
    delays: dict[Direction, tuple[float, float]] = attrs.field(factory=dict)
    rates: dict[Direction, float] = attrs.field(factory=dict)


@attrs.frozen
class LogEntry:
    """Something that happened in the proxy.

    Attributes:
        time: Seconds since the proxy was started.
        connection: Number of the connection; None for the proxy as a whole.
        what: ``started``, ``accepted``, ``connected`` (to the server), ``server failed``, ``refused``, ``armed`` (a
            drawn cut), ``rule`` (one fired), ``cut``, ``half-closed`` (one side sent its end), ``reset`` (one side
            reset or vanished), ``closed`` (both sides ended), ``abandoned`` (the client gave up inside a black
            hole), ``black hole``, ``healed``, ``delay``, ``throttle``, ``refuse``, ``error``, ``stopped``.
        detail: More about it. Never bytes of the connection.
        to_server: Bytes of the connection that the server had been sent by then.
        to_client: Bytes of the connection that the client had been sent by then.
    """

    time: float
    connection: int | None
    what: str
    detail: str = ""
    to_server: int = 0
    to_client: int = 0


class ProxyLoop:
    """What the proxy does. Once `run` runs, all but `submit`, `end`, `abandon` and `entries` belongs to its thread.

    Args:
        seed: Where every random choice comes from.
        rules: Rules for the connections to come.
        addresses: The server's addresses.
        buffer_limit: Bytes held per direction.
        log_limit: Entries kept.
    """

    #: Held here, where a test that freezes the time of modules does not reach it.
    now = staticmethod(time.monotonic)

    def __init__(
        self,
        seed: int,
        rules: list[Rule | RandomCuts],
        addresses: list[Address],
        buffer_limit: int,
        log_limit: int,
    ) -> None:
        self.addresses = addresses
        self.accepted = 0
        self.error: Exception | None = None
        self.changed = threading.Condition()
        self.scratch = memoryview(bytearray(PROXY_READ_BYTES))
        self._seed = seed
        self._rules = rules
        self._fired: dict[int, int] = {}
        self._switches = Switches()
        self._buffer_limit = buffer_limit
        self._log: deque[LogEntry] = deque(maxlen=log_limit)
        self._links: dict[int, Link] = {}
        self._finished: dict[int, tuple[int, int]] = {}
        self._totals: dict[Direction, int] = {"to_server": 0, "to_client": 0}
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._timers_made = count()
        self._commands: deque[tuple[Callable[[], Any], Future[Any]]] = deque()
        self._ending = False
        self._ended = False
        self._started_at = self.now()
        self._selector = selectors.DefaultSelector()
        self._watched: dict[socket.socket, int] = {}
        self._wake_reader, self._wake_writer = socket.socketpair()
        self._wake_reader.setblocking(False)
        self._wake_writer.setblocking(False)
        # Bound but never listening, it keeps the port while the listener is closed.
        self._reserve = bound(0)
        self.port: int = self._reserve.getsockname()[1]
        self._listener: socket.socket | None = None
        self._listen()

    # From other threads ---------------------------------------------------------------------------------------

    def run(self) -> None:
        """Be the thread, until `end`."""
        try:
            self.watch(self._wake_reader, selectors.EVENT_READ, self._woken)
            self.note(None, "started", f"port {self.port} seed {self._seed}")
            while not self._ending:
                self._turn()
        except Exception as error:  # noqa: BLE001 - whoever stops the proxy gets it
            self.fault(error)
        finally:
            self.close()

    def submit(self, call: Callable[[], T]) -> T:
        """Run something in the proxy's thread.

        Args:
            call: What to run.

        Returns:
            What `call` returned.

        Raises:
            ProxyStopped: The thread has ended.
            concurrent.futures.TimeoutError: The thread did not answer in `PROXY_COMMAND_TIMEOUT` seconds.
        """
        future: Future[T] = Future()
        with self.changed:
            if self._ended:
                raise ProxyStopped
            self._commands.append((call, future))
        self._wake()
        return future.result(PROXY_COMMAND_TIMEOUT)

    def end(self) -> None:
        """Ask the thread to close everything and return."""
        self._ending = True
        self._wake()

    def abandon(self) -> None:
        """Close a forked child's copies of all descriptors, and touch nothing that is shared with the parent."""
        self._ended = True
        self._selector.close()
        for sock in list(self._watched):
            sock.close()
        for link in list(self._links.values()):
            link.abandon()
        for sock in (self._wake_reader, self._wake_writer, self._reserve):
            sock.close()
        if self._listener is not None:
            self._listener.close()

    def entries(self) -> list[LogEntry]:
        """Copy the log, oldest entry first."""
        with self.changed:
            return list(self._log)

    def _wake(self) -> None:
        try:
            self._wake_writer.send(b"\0")
        except (BlockingIOError, InterruptedError):
            pass  # it has not yet looked at an earlier one
        except OSError:
            pass  # it has ended

    # The thread -----------------------------------------------------------------------------------------------

    def _turn(self) -> None:
        timeout = max(0.0, self._timers[0][0] - self.now()) if self._timers else None
        for key, events in self._selector.select(timeout):
            key.data(events)
        now = self.now()
        while self._timers and self._timers[0][0] <= now:
            heapq.heappop(self._timers)[2]()
        while self._commands:
            call, future = self._commands.popleft()
            try:
                future.set_result(call())
            except Exception as error:  # noqa: BLE001 - whoever gave the command gets it
                future.set_exception(error)

    def _woken(self, events: int) -> None:
        try:
            self._wake_reader.recv_into(self.scratch)
        except (BlockingIOError, InterruptedError):
            pass

    def close(self) -> None:
        """Close everything; for the thread itself, or where it never ran."""
        for link in list(self._links.values()):
            link.shut()
        for sock in (self._listener, self._reserve):
            if sock is not None:
                sock.close()
        self.note(None, "stopped")
        with self.changed:
            self._ended = True
            waiting = list(self._commands)
            self._commands.clear()
            self.changed.notify_all()
        for _, future in waiting:
            future.set_exception(ProxyStopped())
        self._timers.clear()
        self._selector.close()
        self._wake_reader.close()
        self._wake_writer.close()

    # What links need ------------------------------------------------------------------------------------------

    def watch(self, sock: socket.socket, events: int, ready: Callable[[int], None]) -> None:
        """See `rtmsync.testing.link.Loop`."""
        current = self._watched.get(sock, 0)
        if events == current:
            return
        if not events:
            self._selector.unregister(sock)
            del self._watched[sock]
            return
        if current:
            self._selector.modify(sock, events, ready)
        else:
            self._selector.register(sock, events, ready)
        self._watched[sock] = events

    def call_at(self, when: float, call: Callable[[], None]) -> None:
        """See `rtmsync.testing.link.Loop`."""
        heapq.heappush(self._timers, (when, next(self._timers_made), call))

    def note(self, link: Link | None, what: str, detail: str = "") -> None:
        """See `rtmsync.testing.link.Loop`."""
        number, to_server, to_client = None, 0, 0
        if link is not None:
            number = link.number
            to_server, to_client = (link.flows[direction].forwarded for direction in _BOTH)
        entry = LogEntry(self.now() - self._started_at, number, what, detail, to_server, to_client)
        with self.changed:
            self._log.append(entry)
            self.changed.notify_all()

    def fault(self, error: Exception) -> None:
        """See `rtmsync.testing.link.Loop`."""
        if self.error is None:
            self.error = error
        self.note(None, "error", f"{type(error).__name__}: {error}")

    def gone(self, link: Link) -> None:
        """See `rtmsync.testing.link.Loop`."""
        del self._links[link.number]
        passed = tuple(link.flows[direction].forwarded for direction in _BOTH)
        self._finished[link.number] = (passed[0], passed[1])
        for direction, amount in zip(_BOTH, passed, strict=True):
            self._totals[direction] += amount
        if len(self._finished) > PROXY_LOG_ENTRIES:
            del self._finished[next(iter(self._finished))]

    # Accepting ------------------------------------------------------------------------------------------------

    def _listen(self) -> None:
        self._listener = bound(self.port)
        self._listener.listen(PROXY_BACKLOG)
        self.watch(self._listener, selectors.EVENT_READ, self._acceptable)

    def _stop_listening(self) -> None:
        if self._listener is not None:
            self.watch(self._listener, 0, self._acceptable)
            self._listener.close()
            self._listener = None

    def _acceptable(self, events: int) -> None:
        for _ in range(PROXY_BACKLOG):
            if self._listener is None:
                return
            try:
                sock, _address = self._listener.accept()
            except (BlockingIOError, InterruptedError):
                return
            except ConnectionAbortedError:
                continue
            self._admit(sock)

    def _admit(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.accepted += 1
        number = self.accepted
        flows = {
            direction: Flow(
                direction, self._buffer_limit, Random(f"{self._seed} jitter {number} {direction}")
            )
            for direction in _BOTH
        }
        link = Link(self, number, sock, self.addresses, flows)
        self._links[number] = link
        self.note(link, "accepted")
        if self._switches.refusing is not None:
            link.refuse()
            return
        self._apply_switches(link)
        for index, rule in enumerate(self._rules):
            self._arm(index, rule, link)
        link.begin()

    def _apply_switches(self, link: Link) -> None:
        for direction, (seconds, jitter) in self._switches.delays.items():
            link.flows[direction].set_delay(seconds, jitter)
        for direction, rate in self._switches.rates.items():
            link.flows[direction].set_rate(rate, self.now())
        for direction, (mode, ends) in self._switches.holes.items():
            link.blackhole(direction, mode, None if ends is None else max(0.0, ends - self.now()))

    # Rules ----------------------------------------------------------------------------------------------------

    def _arm(self, index: int, rule: Rule | RandomCuts, link: Link) -> None:
        times = rule.count if isinstance(rule, RandomCuts) else rule.times
        if times is not None and self._fired.get(index, 0) >= times:
            return
        if isinstance(rule, RandomCuts):
            rule = self._draw(index, rule, link)
        if rule.connection not in (None, link.number):
            return
        fire = partial(self._fire, index, times, rule.action, link)
        if rule.after_bytes is not None and rule.direction is not None:
            link.flows[rule.direction].stop_at(rule.after_bytes, partial(fire, flush=True))
        elif rule.after_seconds is not None:
            self.call_at(link.accepted_at + rule.after_seconds, fire)
        else:
            fire()

    def _draw(self, index: int, cuts: RandomCuts, link: Link) -> Rule:
        random = Random(f"{self._seed} cuts {index} {link.number}")
        after = random.randint(*cuts.between)
        direction = random.choice(directions(cuts.direction))
        hows: tuple[How, ...] = ("rst", "fin") if cuts.how is None else (cuts.how,)
        how = random.choice(hows)
        self.note(link, "armed", f"{how} after {after} bytes {direction}")
        return Rule(Cut(how), direction=direction, after_bytes=after)

    def _fire(
        self, index: int, times: int | None, action: Action, link: Link, *, flush: bool = False
    ) -> None:
        fired = self._fired.get(index, 0)
        if not link.alive or (times is not None and fired >= times):
            return
        self._fired[index] = fired + 1
        self.note(link, "rule", repr(action))
        link.do(action, flush=flush)

    # Commands -------------------------------------------------------------------------------------------------

    def links(self, connection: int | None) -> list[Link]:
        """Name the connections meant: one by its number, or all, as far as they have not ended."""
        chosen = list(self._links.values()) if connection is None else [self._links.get(connection)]
        return [link for link in chosen if link is not None and link.alive]

    def forwarded(self, direction: Direction, connection: int | None) -> int:
        """Count the bytes forwarded in one direction, of one connection or of all."""
        if connection is None:
            live = sum(link.flows[direction].forwarded for link in self._links.values())
            return self._totals[direction] + live
        if connection in self._links:
            return self._links[connection].flows[direction].forwarded
        return self._finished.get(connection, (0, 0))[_BOTH.index(direction)]

    def do(self, action: Action, connection: int | None) -> int:
        """Do something to current connections, and count them."""
        chosen = self.links(connection)
        for link in chosen:
            self.note(link, "rule", repr(action))
            link.do(action)
        return len(chosen)

    def blackhole(
        self, which: Directions, mode: HoleMode, seconds: float | None, connection: int | None
    ) -> None:
        """Open a black hole for current connections, and for those to come unless one is named."""
        if connection is None:
            ends = None if seconds is None else self.now() + seconds
            for direction in directions(which):
                self._switches.holes[direction] = (mode, ends)
                if ends is not None:
                    self.call_at(ends, partial(self._hole_due, direction, ends))
            self.note(None, "black hole", f"{which} {mode}")
        for link in self.links(connection):
            link.blackhole(which, mode, seconds)

    def _hole_due(self, direction: Direction, ends: float) -> None:
        hole = self._switches.holes.get(direction)
        if hole is not None and hole[1] == ends:
            del self._switches.holes[direction]
            self.note(None, "healed", direction)

    def heal(self, connection: int | None) -> None:
        """End black holes, those of rules included."""
        if connection is None:
            self._switches.holes.clear()
            self.note(None, "healed")
        for link in self.links(connection):
            link.heal()

    def delay(self, seconds: float, jitter: float, which: Directions, connection: int | None) -> None:
        """Set the delay of current connections, and of those to come unless one is named."""
        if connection is None:
            for direction in directions(which):
                self._switches.delays[direction] = (seconds, jitter)
        self.note(None, "delay", f"{seconds:g} s, jitter {jitter:g} s, {which}")
        for link in self.links(connection):
            link.delay(seconds, jitter, which)

    def throttle(self, rate: float | None, which: Directions, connection: int | None) -> None:
        """Set the rate of current connections, and of those to come unless one is named."""
        if connection is None:
            for direction in directions(which):
                self._switches.rates.pop(direction, None)
                if rate is not None:
                    self._switches.rates[direction] = rate
        self.note(None, "throttle", f"{'no limit' if rate is None else f'{rate:g} bytes a second'}, {which}")
        for link in self.links(connection):
            link.throttle(rate, which)

    def add(self, rules: tuple[Rule | RandomCuts, ...]) -> None:
        """Add rules for connections to come."""
        self._rules.extend(rules)

    def retarget(self, addresses: list[Address]) -> None:
        """Connect the connections to come to other addresses."""
        self.addresses = addresses

    def refuse(self, how: RefuseHow | None) -> None:
        """Refuse connections to come, or accept them again."""
        self._switches.refusing = how
        self.note(None, "refuse", how or "no more")
        if how == "closed":
            self._stop_listening()
        elif self._listener is None:
            self._listen()
