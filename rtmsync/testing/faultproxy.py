"""A TCP proxy on the loopback interface that breaks connections as told: at once, by rule, or by lot.

One daemon thread serves any number of connections. It looks into nothing that it forwards, except for the lengths
of WebSocket frames where a fault has to stand between two of them.
"""

import os
import random
import threading
import weakref
from collections.abc import Callable, Iterable
from concurrent.futures import TimeoutError as FutureTimeoutError
from functools import cache, partial
from types import TracebackType
from typing import TypeVar

from rtmcore.limits import (
    PROXY_BUFFER_BYTES,
    PROXY_COMMAND_TIMEOUT,
    PROXY_LOG_ENTRIES,
    PROXY_LOG_SHOWN,
    PROXY_READ_BYTES,
    PROXY_WAIT_INTERVAL,
)
from rtmsync.testing.loop import LogEntry, ProxyLoop, ProxyStopped, RefuseHow
from rtmsync.testing.rules import (
    Action,
    BlackHole,
    Cut,
    Delay,
    Direction,
    Directions,
    HoleMode,
    How,
    RandomCuts,
    Refuse,
    Rule,
    Throttle,
)
from rtmsync.testing.sockets import resolve

__all__ = ["FaultProxy", "FaultProxyError", "LogEntry"]

T = TypeVar("T")

_SEED_BITS = 32


class FaultProxyError(RuntimeError):
    """The proxy was used in a state in which that means nothing; the text says what to do."""


class FaultProxy:
    """Stands between clients and a server and does to their connections what tests need done.

    A constructed proxy does nothing. `start` (or the `with` statement) opens a port on 127.0.0.1 and starts the
    thread; `stop` ends both. Switches thrown before the start apply from the start; after the stop they do nothing.
    A switch has taken effect when its method returns. Without `connection` it applies to all current connections and
    to those to come, with it to that one only.

    The process may fork while the proxy runs: the child closes its copies of the descriptors, so that cuts reach
    the peers, and the proxy is stopped there.

    Args:
        host: Name or address of the server; resolved by `start`.
        port: The server's port, 1 to 65,535.
        rules: Faults for the connections to come. Each connection looks at them once, as it is accepted.
        seed: Where every random choice comes from; drawn if left out. The choices made for a connection depend on
            the seed and the connection's number alone.
        buffer_limit: Bytes held for each direction of a connection; a sender that is ahead by more has to wait. From
            65,536; 1 MiB by default.
        log_limit: Entries that the log keeps, from 1; 10,000 by default.

    Raises:
        ValueError: A limit out of its range.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        rules: Iterable[Rule | RandomCuts] = (),
        seed: int | None = None,
        buffer_limit: int = PROXY_BUFFER_BYTES,
        log_limit: int = PROXY_LOG_ENTRIES,
    ) -> None:
        if buffer_limit < PROXY_READ_BYTES:
            raise ValueError(f"buffer_limit is at least {PROXY_READ_BYTES} bytes, not {buffer_limit}")
        if log_limit < 1:
            raise ValueError(f"log_limit is at least 1 entry, not {log_limit}")
        #: Where every random choice comes from; give it to a new proxy to see the same faults again.
        self.seed: int = random.SystemRandom().getrandbits(_SEED_BITS) if seed is None else seed
        self._host = host
        self._upstream_port = port
        self._rules: list[Rule | RandomCuts] = list(rules)
        self._buffer_limit = buffer_limit
        self._log_limit = log_limit
        self._early: list[Callable[[ProxyLoop], object]] = []
        self._loop: ProxyLoop | None = None
        self._thread: threading.Thread | None = None
        self._stopped = False

    def __repr__(self) -> str:
        state = "stopped" if self._stopped else "new" if self._loop is None else f"port {self._loop.port}"
        return f"<FaultProxy for {self._host}:{self._upstream_port}, {state}, seed {self.seed}>"

    # Life -----------------------------------------------------------------------------------------------------

    def start(self) -> "FaultProxy":
        """Open the port and start the thread.

        Returns:
            The proxy itself.

        Raises:
            FaultProxyError: It was started before. A proxy starts once.
            OSError: The server's name does not resolve, or there is no port or descriptor left.
        """
        if self._loop is not None or self._stopped:
            raise FaultProxyError(f"start: {self!r} was started before; make a new one")
        addresses = resolve(self._host, self._upstream_port)
        loop = ProxyLoop(self.seed, self._rules, addresses, self._buffer_limit, self._log_limit)
        thread = threading.Thread(target=loop.run, name=f"rtmsync-faultproxy-{loop.port}", daemon=True)
        try:
            for command in self._early:
                command(loop)
            thread.start()
        except BaseException:
            loop.close()
            raise
        self._loop, self._thread = loop, thread
        _close_in_forked_children(self)
        return self

    def stop(self) -> None:
        """Close all connections and the port, and end the thread. May be called again.

        Raises:
            Exception: The first error that happened in the thread, such as a `CloseFrame` on a connection without
                frames. It is raised once.
            FaultProxyError: The thread did not end in 30 s.
        """
        error = self._stop()
        if error is not None:
            raise error

    def _stop(self) -> Exception | None:
        loop, thread = self._loop, self._thread
        self._stopped = True
        self._thread = None
        if loop is None or thread is None:
            return None
        loop.end()
        thread.join(PROXY_COMMAND_TIMEOUT)
        if thread.is_alive():
            return FaultProxyError(f"stop: the thread of {self!r} did not end in {PROXY_COMMAND_TIMEOUT:g} s")
        return loop.error

    def __enter__(self) -> "FaultProxy":
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        own = self._stop()
        if own is not None and error is None:
            raise own

    def _forked(self) -> None:
        """Become a stopped proxy in a forked child."""
        self._stopped = True
        self._thread = None
        if self._loop is not None:
            self._loop.abandon()

    # Where it is and what it saw ------------------------------------------------------------------------------

    @property
    def port(self) -> int:
        """The port on 127.0.0.1; it stays the same while connections are refused.

        Raises:
            FaultProxyError: The proxy has not been started.
        """
        return self._running("port").port

    @property
    def url(self) -> str:
        """``ws://127.0.0.1:PORT``, to be used in the place of the server's.

        Raises:
            FaultProxyError: The proxy has not been started.
        """
        return f"ws://127.0.0.1:{self.port}"

    @property
    def log(self) -> list[LogEntry]:
        """What happened so far, oldest first, at most `log_limit` entries."""
        return [] if self._loop is None else self._loop.entries()

    @property
    def connections(self) -> int:
        """Connections accepted so far, those refused with a reset included; also the number of the newest one."""
        return 0 if self._loop is None else self._loop.accepted

    @property
    def open_connections(self) -> int:
        """Connections that have not ended."""
        return self._command(lambda loop: len(loop.links(None)), 0)

    def forwarded(self, direction: Direction, connection: int | None = None) -> int:
        """Count the bytes that the receivers' kernels took.

        Args:
            direction: ``to_server`` or ``to_client``.
            connection: One connection by its number; all, those that ended included, if left out.

        Returns:
            The bytes; an injected close frame counts as well. After `stop` the last figure.
        """
        if self._loop is not None and self._stopped:
            return self._loop.forwarded(direction, connection)
        return self._command(lambda loop: loop.forwarded(direction, connection), 0)

    def wait_for(
        self, condition: "int | Callable[[FaultProxy], bool]", timeout: float = PROXY_COMMAND_TIMEOUT
    ) -> None:
        """Wait until something is true of the proxy.

        Args:
            condition: A number of accepted connections (`connections`), or a function of the proxy.
            timeout: Seconds; 30 by default.

        Raises:
            TimeoutError: It did not come true. The text has the seed and the end of the log.
            FaultProxyError: The proxy has not been started, or has been stopped meanwhile.
        """
        loop = self._running("wait_for")
        deadline = loop.now() + timeout
        while not (self.connections >= condition if isinstance(condition, int) else condition(self)):
            left = deadline - loop.now()
            if left <= 0:
                lines = "\n".join(map(str, self.log[-PROXY_LOG_SHOWN:]))
                raise TimeoutError(
                    f"wait_for: not true within {timeout:g} s at {self!r}; its log ends with\n{lines}"
                )
            if self._stopped:
                raise FaultProxyError(f"wait_for: {self!r} was stopped while a condition was waited for")
            with loop.changed:
                loop.changed.wait(min(left, PROXY_WAIT_INTERVAL))

    # Switches -------------------------------------------------------------------------------------------------

    def cut(self, how: How = "rst", connection: int | None = None) -> int:
        """End current connections, towards both sides, and discard what is under way.

        Args:
            how: ``rst`` (the default) or ``fin``.
            connection: One connection by its number; all current ones if left out.

        Returns:
            Number of connections cut.
        """
        return self.apply(Cut(how), connection)

    def blackhole(
        self,
        direction: Directions = "both",
        *,
        mode: HoleMode = "hold",
        seconds: float | None = None,
        connection: int | None = None,
    ) -> None:
        """Forward nothing, and say nothing about it, until `heal`.

        Connections opened meanwhile are accepted. If the direction to the server is closed, the server learns of
        them only after healing, and never of those whose client has closed them by then.

        Args:
            direction: Which way; ``both`` by default. Ends and resets travel with the bytes of their direction.
            mode: ``hold`` (the default) keeps bytes, in the kernel once the proxy's buffer is full, and forwards
                them after healing. ``drop`` throws them away; a connection that lost any is reset at healing.
            seconds: Heal after this time, from 0; None (the default) waits for `heal`.
            connection: One connection by its number; all, also those to come, if left out.

        Raises:
            ValueError: An argument out of its range.
        """
        hole = BlackHole(direction, seconds, mode)
        self._command(lambda loop: loop.blackhole(hole.direction, hole.mode, hole.seconds, connection), None)

    def heal(self, connection: int | None = None) -> None:
        """End black holes, those of rules included. Delays, throttles and refusals stay.

        Args:
            connection: One connection by its number; all, also those to come, if left out.
        """
        self._command(lambda loop: loop.heal(connection), None)

    def refuse(self, on: bool = True, how: RefuseHow = "closed") -> None:
        """Refuse connections to come, or accept them again. Current ones stay.

        Args:
            on: Refuse (the default), or not any more.
            how: ``closed`` (the default) listens no more, so that connecting itself fails; ``rst`` accepts and resets
                at once, as `Refuse` does.

        Raises:
            ValueError: `how` is neither.
        """
        if how not in ("closed", "rst"):
            raise ValueError(f"refuse: how is 'closed' or 'rst', not {how!r}")
        self._command(lambda loop: loop.refuse(how if on else None), None)

    def delay(
        self,
        seconds: float,
        jitter: float = 0.0,
        *,
        direction: Directions = "both",
        connection: int | None = None,
    ) -> None:
        """Forward bytes read from now on later, in their order.

        Args:
            seconds: How much later, from 0, which ends a delay.
            jitter: Up to this many seconds more, drawn for each piece read; 0 by default.
            direction: Which way; ``both`` by default.
            connection: One connection by its number; all, also those to come, if left out.

        Raises:
            ValueError: An argument out of its range.
        """
        wait = Delay(seconds, jitter, direction)
        self._command(lambda loop: loop.delay(wait.seconds, wait.jitter, wait.direction, connection), None)

    def throttle(
        self, bytes_per_second: float | None, direction: Directions = "both", *, connection: int | None = None
    ) -> None:
        """Forward at most so many bytes a second, in each direction of each connection by itself.

        Args:
            bytes_per_second: The rate, above 0; None ends a throttle.
            direction: Which way; ``both`` by default.
            connection: One connection by its number; all, also those to come, if left out.

        Raises:
            ValueError: An argument out of its range.
        """
        checked = Throttle(1 if bytes_per_second is None else bytes_per_second, direction)
        self._command(lambda loop: loop.throttle(bytes_per_second, checked.direction, connection), None)

    def apply(self, action: Action, connection: int | None = None) -> int:
        """Do to current connections what a rule would do, now. Connections to come are not touched.

        Args:
            action: What to do; any action but `Refuse`.
            connection: One connection by its number; all current ones if left out.

        Returns:
            Number of connections it was done to.

        Raises:
            ValueError: `action` is `Refuse`, which is for connections to come.
        """
        if isinstance(action, Refuse):
            raise ValueError(
                "apply: Refuse is for connections to come; use refuse() or a Rule, or Cut for current ones"
            )
        return self._command(lambda loop: loop.do(action, connection), 0)

    def add(self, *rules: Rule | RandomCuts) -> None:
        """Add rules for connections accepted from now on, behind those that are there.

        Args:
            rules: The rules.
        """
        if self._loop is None:
            self._rules.extend(rules)
        else:
            self._command(lambda loop: loop.add(rules), None)

    def retarget(self, host: str, port: int) -> None:
        """Lead connections accepted from now on to another server, such as the same one restarted.

        Args:
            host: Name or address, resolved now.
            port: Its port, 1 to 65,535.

        Raises:
            OSError: The name does not resolve.
        """
        addresses = resolve(host, port)
        self._host, self._upstream_port = host, port
        if self._loop is not None:
            self._command(lambda loop: loop.retarget(addresses), None)

    def _command(self, command: Callable[[ProxyLoop], T], otherwise: T) -> T:
        """Run a command in the thread; remember it before the start; forget it after the stop."""
        loop = self._loop
        if self._stopped:
            return otherwise
        if loop is None:
            self._early.append(command)
            return otherwise
        try:
            return loop.submit(partial(command, loop))
        except ProxyStopped:
            if loop.error is not None:
                raise FaultProxyError(f"the thread of {self!r} ended with an error") from loop.error
            return otherwise
        except FutureTimeoutError as error:
            raise FaultProxyError(
                f"the thread of {self!r} did not answer within {PROXY_COMMAND_TIMEOUT:g} s"
            ) from error

    def _running(self, operation: str) -> ProxyLoop:
        if self._loop is None:
            raise FaultProxyError(f"{operation}: {self!r} has not been started; use `with proxy:` or start()")
        return self._loop


_started: "weakref.WeakSet[FaultProxy]" = weakref.WeakSet()


def _close_in_forked_children(proxy: FaultProxy) -> None:
    """See to it that no child keeps a copy of a descriptor: a reset is sent when the last copy is closed."""
    _started.add(proxy)
    _hook_forks()


@cache
def _hook_forks() -> None:
    os.register_at_fork(after_in_child=_forked)


def _forked() -> None:
    for proxy in list(_started):
        proxy._forked()
    _started.clear()
