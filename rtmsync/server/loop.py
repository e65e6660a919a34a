"""The server's one thread: sockets on one side, the node on the other.

A turn waits for readiness, reads what there is, lets the node judge timers, and
writes once per connection that has something to say. Nothing in it waits for a
disk or for a peer. Media connections are read after all others, and only while
the turn is young; the node has them written last, too. Those with files are not
read at all while the node has not dealt with what came last.
"""

import contextlib
import logging
import selectors
import socket
import ssl
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from rtmcore.limits import ACCEPTS_PER_TURN, READ_CHUNK, TURN_POLL
from rtmcore.service.node import Node
from rtmcore.service.statistics import Histogram
from rtmsync.driver.clock import Clock
from rtmsync.driver.waker import Waker
from rtmsync.server.peer import Peer, PlainPeer, TlsPeer

_log = logging.getLogger("rtmsync.server")

_READ: Final = selectors.EVENT_READ
_WRITE: Final = selectors.EVENT_WRITE


class ServerLoop:
    """Drives a node with sockets until it is told to stop.

    Args:
        node: The node to serve.
        listeners: Bound, listening sockets.
        context: For TLS; None for plain connections.
    """

    def __init__(
        self, node: Node, listeners: Sequence[socket.socket], context: ssl.SSLContext | None
    ) -> None:
        self._node = node
        self._listeners = list(listeners)
        self._context = context
        self._selector = selectors.DefaultSelector()
        self._media = node.media_connections
        self._waker = Waker()
        self._peers: dict[int, Peer] = {}
        self._buffer = memoryview(bytearray(READ_CHUNK))
        self._calls: deque[Callable[[float], None]] = deque()
        self._last_connection = 0
        self._last_media = 0
        self._stopping = False
        self._stopping_when_empty = False
        self.turns = Histogram()
        """How long turns have taken, without the wait for something to do."""
        self.received_bytes = 0
        """Bytes that clients have sent, without TLS."""
        self.sent_bytes = 0
        """Bytes for clients that were handed to sockets or wait for them, without TLS."""

    @property
    def accepted(self) -> int:
        """Connections accepted since the start."""
        return self._last_connection

    def wake(self) -> None:
        """Make the loop take a turn now. Any thread and any signal handler may call this."""
        self._waker.ring()

    def call(self, function: Callable[[float], None]) -> None:
        """Have a function called on the loop's thread, with the time, in the next turn."""
        self._calls.append(function)
        self._waker.ring()

    def use(self, context: ssl.SSLContext | None) -> None:
        """Use another TLS context for connections that begin from now on. Any thread may call this."""
        self._context = context

    def stop(self) -> None:
        """End `run` after the turn that is under way. Any thread and any signal handler may call this."""
        self._stopping = True
        self._waker.ring()

    def stop_when_empty(self) -> None:
        """Refuse new connections from now on, and end `run` when the last has gone. For the loop's own thread."""
        self._stop_listening()
        self._stopping_when_empty = True

    def run(self) -> None:
        """Serve until `stop`, then close everything that is open."""
        for listener in self._listeners:
            listener.setblocking(False)
            self._selector.register(listener, _READ, listener)
        self._selector.register(self._waker.fd, _READ, self._waker)
        try:
            while not self._stopping:
                self._turn()
                if self._stopping_when_empty and not self._peers:
                    break
        finally:
            self._stop_listening()
            for peer in list(self._peers.values()):
                self._drop(peer)
            self._selector.close()
            self._waker.close()

    # --- One turn -----------------------------------------------------------------

    def _turn(self) -> None:
        deadline = self._node.next_deadline()
        timeout = None if deadline is None else max(0.0, deadline - Clock.now())
        ready = self._selector.select(timeout)
        now = Clock.now()
        self._node.turn(now, time.time_ns() // 1000)
        media = self._media
        stand_back: list[tuple[Peer, int]] = []
        for key, mask in ready:
            owner = key.data
            if isinstance(owner, Peer):
                if media and owner.number in media:
                    stand_back.append((owner, mask))
                else:
                    self._serve(owner, mask, now)
            elif owner is self._waker:
                self._waker.silence()
            else:
                self._accept(owner, now)
        if stand_back:
            self._serve_media(stand_back, now)
        # After the waker was silenced, or a call that came in between would be forgotten.
        for _ in range(len(self._calls)):
            self._calls.popleft()(now)
        self._node.handle_timer(now)
        for connection in self._node.dirty():
            peer = self._peers.get(connection)
            if peer is not None:
                self._write(peer, now)
        while (event := self._node.next_event()) is not None:
            peer = self._peers.get(event.connection)
            if peer is not None:
                self._lose(peer, now)
        self.turns.observe(Clock.now() - now)

    def _serve_media(self, ready: list[tuple[Peer, int]], now: float) -> None:
        """Serve media connections while the turn is young, each in its turn; those left are ready in the next.

        At least one is served, however long the others took.
        """
        ready.sort(key=lambda each: (each[0].number <= self._last_media, each[0].number))
        for peer, mask in ready:
            if not peer.closed:
                self._serve(peer, mask, now)
            self._last_media = peer.number
            if Clock.now() >= now + TURN_POLL:
                return

    def _serve(self, peer: Peer, mask: int, now: float) -> None:
        if mask & _WRITE:
            self._write(peer, now)
        if not mask & _READ or peer.closed:
            return
        try:
            data = peer.receive(self._buffer)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            _log.debug("connection %d was lost: %s", peer.number, error)
            self._lose(peer, now)
            return
        if data:
            self.received_bytes += len(data)
            if peer.lingers:
                return
            self._node.receive_data(peer.number, data, now)
            if peer.number in self._media:
                self._watch(peer)
        elif data is not None:
            self._node.receive_eof(peer.number, now)
            self._lose(peer, now)
            return
        if peer.has_output:
            self._write(peer, now)

    def _write(self, peer: Peer, now: float) -> None:
        node = self._node
        pieces = node.data_to_send(peer.number)
        self.sent_bytes += sum(map(len, pieces))
        try:
            left = peer.send(pieces)
        except OSError as error:
            _log.debug("connection %d was lost: %s", peer.number, error)
            self._lose(peer, now)
            return
        if left != peer.backlog:
            peer.backlog = left
            node.backlog(peer.number, left, now)
        if left == 0 and not peer.lingers and node.is_finished(peer.number):
            if not node.linger(peer.number, now):
                self._lose(peer, now)
                return
            peer.end_output()
        self._watch(peer)

    def _watch(self, peer: Peer) -> None:
        """Have the selector tell of a socket what can be done with it now, and not of one with which it is nothing."""
        number = peer.number
        reads = number not in self._media or peer.lingers or self._node.wants_data(number)
        interest = (_READ if reads else 0) | (_WRITE if peer.backlog else 0)
        if interest == peer.interest:
            return
        if not interest:
            self._selector.unregister(peer.socket)
        elif not peer.interest:
            self._selector.register(peer.socket, interest, peer)
        else:
            self._selector.modify(peer.socket, interest, peer)
        peer.interest = interest

    def _accept(self, listener: socket.socket, now: float) -> None:
        for _ in range(ACCEPTS_PER_TURN):
            try:
                accepted, address = listener.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                _log.warning("a connection could not be accepted: %s", error)
                return
            accepted.setblocking(False)
            if accepted.family in (socket.AF_INET, socket.AF_INET6):
                accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._last_connection += 1
            number = self._last_connection
            peer = (
                PlainPeer(number, accepted)
                if self._context is None
                else TlsPeer(number, accepted, self._context)
            )
            self._peers[number] = peer
            peer.interest = _READ
            self._selector.register(accepted, _READ, peer)
            self._node.connection_opened(number, str(address[0]) if address else "", now)

    def _stop_listening(self) -> None:
        for listener in self._listeners:
            with contextlib.suppress(KeyError):
                self._selector.unregister(listener)
            listener.close()
        self._listeners.clear()

    def _lose(self, peer: Peer, now: float) -> None:
        if not peer.closed:
            self._drop(peer)
            self._node.connection_lost(peer.number, now)

    def _drop(self, peer: Peer) -> None:
        if peer.interest:
            self._selector.unregister(peer.socket)
        self._peers.pop(peer.number, None)
        peer.close()
