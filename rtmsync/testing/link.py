"""One connection through the fault proxy: two sockets, two flows, and the faults done to them.

Everything here runs in the proxy's thread.
"""

import enum
import errno
import os
import socket
from collections.abc import Callable
from functools import partial
from selectors import EVENT_READ, EVENT_WRITE
from typing import Protocol

from rtmcore.limits import PROXY_FLUSH_INTERVAL, PROXY_FLUSH_TIMEOUT, PROXY_LINGER, PROXY_READ_BYTES
from rtmsync.testing.flow import Flow
from rtmsync.testing.frames import close_frame
from rtmsync.testing.rules import (
    Action,
    BlackHole,
    CloseFrame,
    Corrupt,
    Cut,
    Delay,
    Direction,
    Directions,
    HoleMode,
    How,
    Refuse,
    Throttle,
    Truncate,
    directions,
)
from rtmsync.testing.sockets import Address, given_up, reset, unacknowledged

_IN_PROGRESS = (errno.EINPROGRESS, errno.EWOULDBLOCK, errno.EALREADY)


class State(enum.Enum):
    """Where a connection stands."""

    WAITING = enum.auto()  # accepted in a black hole: the server has not been called
    CONNECTING = enum.auto()
    OPEN = enum.auto()
    FLUSHING = enum.auto()  # a reset waits for the bytes before it to arrive
    LINGERING = enum.auto()  # ended with FIN, read until the peers end too
    CLOSED = enum.auto()


class Loop(Protocol):
    """What a link needs from the thread it runs in."""

    scratch: memoryview

    def now(self) -> float:
        """Return monotonic seconds."""

    def watch(self, sock: socket.socket, events: int, ready: Callable[[int], None]) -> None:
        """Call `ready` with the events of the selector; no events: stop that."""

    def call_at(self, when: float, call: Callable[[], None]) -> None:
        """Call once, at a time."""

    def note(self, link: "Link | None", what: str, detail: str = "") -> None:
        """Write into the log."""

    def fault(self, error: Exception) -> None:
        """Keep an error for whoever stops the proxy."""

    def gone(self, link: "Link") -> None:
        """Forget a link that does not need the proxy any more."""


def _ignore(events: int) -> None:
    """Stand where the selector needs no callback."""


class Link:
    """One client's connection and the connection to the server that belongs to it.

    Args:
        loop: The thread it runs in.
        number: Its number, from 1.
        client: The accepted socket, not blocking.
        addresses: The server's addresses, tried in this order.
        flows: Both directions, with the settings they begin with.
    """

    def __init__(
        self,
        loop: Loop,
        number: int,
        client: socket.socket,
        addresses: list[Address],
        flows: dict[Direction, Flow],
    ) -> None:
        self.number = number
        self.state = State.WAITING
        self.accepted_at = loop.now()
        self.flows = flows
        self._loop = loop
        self._client: socket.socket | None = client
        self._server: socket.socket | None = None
        self._addresses = list(addresses)
        self._to_server = flows["to_server"]
        self._to_client = flows["to_client"]
        self._wakes: dict[Direction, float | None] = {"to_server": None, "to_client": None}
        self._flush_until = 0.0

    @property
    def alive(self) -> bool:
        """Whether the connection has not been ended."""
        return self.state in (State.WAITING, State.CONNECTING, State.OPEN)

    # Beginning ------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Connect to the server, unless a black hole keeps even that from it."""
        if self.state is not State.WAITING:
            return
        if self._to_server.hole is None:
            self._connect()
        self._watch()

    def _connect(self, error: str = "the name has no address") -> None:
        self.state = State.CONNECTING
        while self._addresses:
            family, address = self._addresses.pop(0)
            self._server = socket.socket(family, socket.SOCK_STREAM)
            self._server.setblocking(False)
            self._server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            code = self._server.connect_ex(address)
            if code in _IN_PROGRESS:
                return
            if code == 0:
                self._connected()
                return
            error = os.strerror(code)
            self._drop_socket(self._server)
        self._loop.note(self, "server failed", error)
        self._reset()

    def _connect_done(self, server: socket.socket) -> None:
        code = server.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code == 0:
            self._connected()
        else:
            self._drop_socket(server)
            self._connect(os.strerror(code))

    def _connected(self) -> None:
        self.state = State.OPEN
        self._loop.note(self, "connected")
        for flow in (self._to_server, self._to_client):
            self._pump(flow)

    # Readiness ------------------------------------------------------------------------------------------------

    def _client_ready(self, events: int) -> None:
        self._ready(events, self._client, self._to_server, self._to_client)

    def _server_ready(self, events: int) -> None:
        self._ready(events, self._server, self._to_client, self._to_server)

    def _ready(self, events: int, sock: socket.socket | None, out: Flow, back: Flow) -> None:
        if sock is None:
            return
        if self.state is State.LINGERING:
            self._discard_input(sock)
        elif self.state is State.CONNECTING and sock is self._server:
            self._connect_done(sock)
        else:
            if events & EVENT_WRITE:
                back.blocked = False
                self._pump(back)
            if events & EVENT_READ and self.alive and out.room > 0:
                self._read(sock, out)
        self._watch()

    def _read(self, source: socket.socket, flow: Flow) -> None:
        try:
            count = source.recv_into(self._loop.scratch[: min(flow.room, PROXY_READ_BYTES)])
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._side_lost(source, error)
            return
        now = self._loop.now()
        if count == 0:
            self._loop.note(self, "half-closed", flow.direction)
            flow.finish("eof", now)
        elif flow.hole == "drop":
            flow.lost = True
            return
        else:
            data = self._loop.scratch[:count]
            if flow.untouched:
                sent = self._write(flow, data)
                flow.passed(data[:sent])
                if sent == count or self._target(flow) is None:
                    return
                flow.blocked = True
                data = data[sent:]
            flow.push(bytes(data), now)
        self._pump(flow)

    def _write(self, flow: Flow, data: memoryview) -> int:
        target = self._target(flow)
        if target is None:
            return 0
        try:
            return target.send(data)
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError as error:
            self._side_lost(target, error)
            return 0

    def _target(self, flow: Flow) -> socket.socket | None:
        return self._server if flow is self._to_server else self._client

    def _pump(self, flow: Flow) -> None:
        """Forward what may be forwarded now, and do what was waiting for that."""
        now = self._loop.now()
        while self.state is State.OPEN:
            self._fire_reached(flow)
            now = self._loop.now()
            piece = flow.next_piece(now) if self.state is State.OPEN else None
            if piece is None:
                break
            sent = self._write(flow, piece)
            flow.blocked = sent < len(piece)
            if self._target(flow) is None:
                return
            if sent:
                flow.wrote(sent)
        if self.state is State.OPEN and flow.finished(now):
            self._end(flow)
        if self.state is State.OPEN:
            self._plan_wake(flow, now)

    def _fire_reached(self, flow: Flow) -> None:
        while self.state is State.OPEN:
            fire = flow.next_stop()
            if fire is None:
                break
            fire()
        if self.state is State.OPEN and flow.at_boundary is not None:
            self._at_boundary(flow, flow.at_boundary)

    def _at_boundary(self, flow: Flow, action: CloseFrame | Truncate) -> None:
        if flow.frameless:
            flow.at_boundary = None
            self._loop.fault(
                ValueError(
                    f"connection {self.number} carries no WebSocket frames {flow.direction}: {action!r} needs them"
                )
            )
        elif not flow.stands_at_boundary:
            return
        elif flow.ended:
            self.cut("fin")
        elif isinstance(action, CloseFrame):
            flow.at_boundary = None
            flow.replace(close_frame(action.code, action.reason), "fin", self._loop.now())
        else:
            size = flow.next_frame_size()
            if size is not None:
                flow.at_boundary = None
                kept = min(action.keep, size - 1)
                flow.stop_at(flow.forwarded + kept, partial(self.cut, action.how, flush=True))
            elif flow.end is not None:
                flow.at_boundary = None

    def _plan_wake(self, flow: Flow, now: float) -> None:
        when = flow.wake_at(now)
        planned = self._wakes[flow.direction]
        if when is None or (planned is not None and planned <= when):
            return
        self._wakes[flow.direction] = when
        self._loop.call_at(when, partial(self._wake, flow, when))

    def _wake(self, flow: Flow, when: float) -> None:
        if self._wakes[flow.direction] == when:
            self._wakes[flow.direction] = None
        if self.state is State.OPEN:
            self._pump(flow)
            self._watch()

    def _end(self, flow: Flow) -> None:
        """Do what stands behind the last byte of a flow."""
        if flow.end == "fin":
            self.cut("fin")
            return
        if flow.end == "rst":
            self.cut("rst", flush=True)
            return
        flow.ended = True
        target = self._target(flow)
        if target is None:
            return
        try:
            target.shutdown(socket.SHUT_WR)
        except OSError as error:
            self._side_lost(target, error)
            return
        if self._to_server.ended and self._to_client.ended:
            self._loop.note(self, "closed")
            self._close()

    def _side_lost(self, sock: socket.socket, error: OSError) -> None:
        """Note that one side reset its connection, and let the other side know as the flow towards it allows."""
        from_client = sock is self._client
        out, back = (self._to_server, self._to_client) if from_client else (self._to_client, self._to_server)
        self._loop.note(
            self, "reset", f"by {'client' if from_client else 'server'}: {error.strerror or error}"
        )
        self._drop_socket(sock)
        back.reading = False
        back.discard()
        if out.blocked:
            out.discard()  # a reset does not wait until its receiver reads
        if self.state is not State.OPEN:
            self.cut("rst")
            return
        out.finish("rst", self._loop.now())
        self._pump(out)

    # Faults ---------------------------------------------------------------------------------------------------

    def do(self, action: Action, *, flush: bool = False) -> None:
        """Do what a rule says.

        Args:
            action: What to do.
            flush: A reset waits until what was forwarded before has arrived.
        """
        if not self.alive:
            return
        match action:
            case Cut(how=how):
                self.cut(how, flush=flush)
            case Refuse():
                self.refuse()
            case BlackHole(direction=which, seconds=seconds, mode=mode):
                self.blackhole(which, mode, seconds)
            case Delay(seconds=seconds, jitter=jitter, direction=which):
                self.delay(seconds, jitter, which)
            case Throttle(bytes_per_second=rate, direction=which):
                self.throttle(rate, which)
            case CloseFrame():
                self._to_client.at_boundary = action
                self._pump_if_open(self._to_client)
            case Truncate(direction=direction):
                self.flows[direction].at_boundary = action
                self._pump_if_open(self.flows[direction])
            case Corrupt(offset=offset, mask=mask, direction=direction):
                self.flows[direction].corrupt(offset, mask)
        self._watch()

    def refuse(self) -> None:
        """Reset the client's connection; the server has not been called."""
        self._loop.note(self, "refused")
        self._reset()

    def cut(self, how: How, *, flush: bool = False) -> None:
        """End the connection towards both sides."""
        if not self.alive:
            return
        for sock in self._sockets():
            self._loop.watch(sock, 0, _ignore)
        if how == "fin":
            self._loop.note(self, "cut", how)
            self._linger()
        elif flush and self.state is State.OPEN:
            self.state = State.FLUSHING
            self._flush_until = self._loop.now() + PROXY_FLUSH_TIMEOUT
            self._flush()
        else:
            self._loop.note(self, "cut", how)
            self._reset()

    def _flush(self) -> None:
        if self.state is not State.FLUSHING:
            return
        now = self._loop.now()
        if now < self._flush_until and any(unacknowledged(sock) for sock in self._sockets()):
            self._loop.call_at(now + PROXY_FLUSH_INTERVAL, self._flush)
            return
        self._loop.note(self, "cut", "rst")
        self._reset()

    def _linger(self) -> None:
        self.state = State.LINGERING
        for sock in self._sockets():
            try:
                sock.shutdown(socket.SHUT_WR)
            except OSError:
                self._drop_socket(sock)
        if not self._sockets():
            self._close()
            return
        self._loop.call_at(self._loop.now() + PROXY_LINGER, self._close)
        if self._client is not None:
            self._loop.watch(self._client, EVENT_READ, self._client_ready)
        if self._server is not None:
            self._loop.watch(self._server, EVENT_READ, self._server_ready)

    def _discard_input(self, sock: socket.socket) -> None:
        try:
            if sock.recv_into(self._loop.scratch):
                return
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            pass
        self._drop_socket(sock)
        if not self._sockets():
            self._close()

    def blackhole(self, which: Directions, mode: HoleMode, seconds: float | None) -> None:
        """Forward nothing in one or both directions."""
        if not self.alive:
            return
        ends = None if seconds is None else self._loop.now() + seconds
        for direction in directions(which):
            self.flows[direction].enter_hole(mode, ends)
            if ends is not None:
                self._loop.call_at(ends, partial(self._heal_due, direction, ends))
        self._loop.note(self, "black hole", f"{which} {mode}")
        self._watch()

    def _heal_due(self, direction: Direction, ends: float) -> None:
        if self.flows[direction].hole_ends == ends:
            self.heal((direction,))

    def heal(self, which: tuple[Direction, ...] = ("to_server", "to_client")) -> None:
        """End black holes; a stream that lost bytes in one is reset."""
        holes = [flow for flow in (self.flows[direction] for direction in which) if flow.hole]
        if not self.alive or not holes:
            return
        for flow in holes:
            flow.leave_hole()
        self._loop.note(self, "healed", " ".join(flow.direction for flow in holes))
        if any(flow.lost for flow in holes):
            self.cut("rst")
        elif self.state is State.WAITING:
            self._begin_late()
        else:
            for flow in holes:
                self._pump_if_open(flow)
            self._watch()

    def _begin_late(self) -> None:
        if self._to_server.hole is None and self._client is not None and given_up(self._client):
            self._loop.note(self, "abandoned")
            self._reset()
        else:
            self.begin()

    def delay(self, seconds: float, jitter: float, which: Directions) -> None:
        """Forward what is read from now on later."""
        for direction in directions(which):
            self.flows[direction].set_delay(seconds, jitter)

    def throttle(self, bytes_per_second: float | None, which: Directions) -> None:
        """Forward at most so many bytes a second; None: as many as possible."""
        for direction in directions(which):
            self.flows[direction].set_rate(bytes_per_second, self._loop.now())
            self._pump_if_open(self.flows[direction])
        self._watch()

    def _pump_if_open(self, flow: Flow) -> None:
        if self.state is State.OPEN:
            self._pump(flow)

    def shut(self) -> None:
        """Close at the end of the proxy: both sides see an end if they read, otherwise a reset."""
        for sock in self._sockets():
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self._close()

    def abandon(self) -> None:
        """Close a forked child's copies of the sockets."""
        for sock in self._sockets():
            sock.close()

    # Sockets --------------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        """Ask the selector for exactly what can be acted on."""
        if not self.alive:
            return
        if self._client is not None:
            readable = self.state is State.OPEN or self._to_server.hole == "drop"
            events = EVENT_READ if readable and self._to_server.room > 0 else 0
            if self._to_client.blocked and not self._to_client.hole:
                events |= EVENT_WRITE
            self._loop.watch(self._client, events, self._client_ready)
        if self._server is not None:
            if self.state is State.CONNECTING:
                events = EVENT_WRITE
            else:
                events = EVENT_READ if self._to_client.room > 0 else 0
                if self._to_server.blocked and not self._to_server.hole:
                    events |= EVENT_WRITE
            self._loop.watch(self._server, events, self._server_ready)

    def _sockets(self) -> list[socket.socket]:
        return [sock for sock in (self._client, self._server) if sock is not None]

    def _drop_socket(self, sock: socket.socket) -> None:
        self._loop.watch(sock, 0, _ignore)
        sock.close()
        if sock is self._client:
            self._client = None
        else:
            self._server = None

    def _reset(self) -> None:
        for sock in self._sockets():
            self._loop.watch(sock, 0, _ignore)
            reset(sock)
        self._forget()

    def _close(self) -> None:
        for sock in self._sockets():
            self._drop_socket(sock)
        self._forget()

    def _forget(self) -> None:
        self._client = self._server = None
        if self.state is not State.CLOSED:
            self.state = State.CLOSED
            self._loop.gone(self)
