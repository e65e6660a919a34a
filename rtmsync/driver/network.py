"""What the network thread does: it waits, reads, lets time pass, and carries out what the core asks for."""

import logging
import math
import select
import time
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Final, Generic

from rtmcore.client.events import (
    ChannelLost,
    CloseTransport,
    NeedToken,
    NotRestored,
    OpenTransport,
    ParticipantDisconnected,
    PeerConnectionStateChanged,
    Purpose,
    RequestCompleted,
    StateChanged,
)
from rtmcore.client.requests import LEAVE, Ticket
from rtmcore.codes import ConnectionChangeReason
from rtmcore.errors import ConnectionFailed, RtmError
from rtmcore.limits import BACKOFF_SETTLED
from rtmcore.models import ChannelMessage, PeerMessage
from rtmcore.wire.packets import Leave
from rtmsync.driver.clock import Clock
from rtmsync.driver.core import C, Profile
from rtmsync.driver.helpers import Helpers, TokenSource, addresses_of, is_address, unresolved
from rtmsync.driver.link import WRITABLE, Link
from rtmsync.driver.lock import CoreLock
from rtmsync.driver.proxies import choose_proxy
from rtmsync.driver.rivals import RIVALS
from rtmsync.driver.router import PartEvent, Router
from rtmsync.driver.sockets import OpenSockets
from rtmsync.driver.waker import Waker
from rtmsync.timeline.recorder import Timeline

if TYPE_CHECKING:
    import ssl

    from rtmsync.config import Settings

logger: Final = logging.getLogger("rtmsync")
wire_logger: Final = logging.getLogger("rtmsync.wire")

_NOT_RESTORED: Final = (
    "The session of %s was not restored in full (%d subscriptions and %d attributes are missing): %s"
)

_AT_ONCE: Final = -math.inf
_NEVER: Final = math.inf
_MILLISECONDS: Final = 1000


class Network(Generic[C]):
    """The core together with its sockets and timers.

    `settle` is called by whoever holds the client's lock, after each change. Everything else belongs to the network
    thread, or to the thread that holds the lock while there is none.

    Args:
        profile: What kind of core it is.
        config: The client's settings.
        core: What decides.
        router: Where events go.
        timeline: Records what happens.
        observe: Told of each event first, or None.
        translate: Makes of an event of the core what the application is told, or None.
        clock: Tells the time, in monotonic seconds.

    Attributes:
        sockets: All sockets, for a forked child to close.
        posted: Functions that other threads want run by the network thread, with the lock and the time.
        changed: Whether the state is another one, and those who wait for one have not been told yet.
        abandon: Drop what is open, without a goodbye.
        silent: Log nothing any more: the interpreter is ending.
        inherited: Whether the client was made before this process was forked.
    """

    def __init__(
        self,
        profile: Profile[C],
        config: "Settings",
        core: C,
        router: Router,
        timeline: Timeline,
        observe: Callable[[object], None] | None,
        translate: Callable[[Any], Any] | None = None,
        clock: Callable[[], float] = Clock.now,
    ) -> None:
        self._clock = clock
        self._profile = profile
        self._config = config
        self._core = core
        self._router = router
        self._timeline = timeline
        self._observe = observe
        self._translate = translate
        self._links: dict[int, Link] = {}
        self._helpers = self._make_helpers()
        token = config.token
        self._tokens = TokenSource(token if callable(token) else None, config.who, self._helpers)
        self._context: ssl.SSLContext | None = None
        self._poll = select.poll()
        self._watched: dict[int, tuple[Link, int]] = {}
        self._waker: Waker | None = None
        # Until when the network thread sleeps; while it is awake it looks at everything by itself before it sleeps.
        self._sleeps_until = _AT_ONCE
        self._stepping = False
        self._outage_logged = False
        self._log_later: list[Callable[[], None]] = []
        self._received = 0
        self._sent = 0
        self.lock: Final = CoreLock(self.settle, self.ring)
        self.sockets: Final = OpenSockets()
        self.posted: Final[SimpleQueue[Callable[[float], None]]] = SimpleQueue()
        self._completed: list[Ticket] = []
        self.changed = False
        self.abandon = False
        self.silent = False
        self.inherited = False

    # --- Any thread ---------------------------------------------------------------------------------------------

    def nudge(self) -> None:
        """Have the network thread look, if there is one."""
        self.lock.run_or_leave(self.ring)

    def post(self, function: Callable[[float], None]) -> None:
        """Have a function run by the network thread, with the lock and the time."""
        self.posted.put(function)
        self.nudge()

    @property
    def providers(self) -> set[int]:
        """Threads that run the token provider at the moment."""
        return self._helpers.providers

    @property
    def backlog(self) -> int:
        """Bytes made that the sockets have not taken."""
        return sum(link.backlog for link in self._links.values())

    @property
    def traffic(self) -> tuple[int, int]:
        """Bytes received and sent on all connections so far."""
        links = list(self._links.values())
        return (
            self._received + sum(link.received for link in links),
            self._sent + sum(link.sent for link in links),
        )

    # --- With the lock ------------------------------------------------------------------------------------------

    def ring(self) -> None:
        """Have the network thread look. With the lock, so that the descriptor cannot be somebody else's by now."""
        if self._waker is not None:
            self._waker.ring()

    def open_waker(self) -> None:
        """Make ready to wait."""
        self._waker = Waker()
        self._poll.register(self._waker.fd, select.POLLIN)
        self._sleeps_until = _AT_ONCE

    def close_waker(self) -> None:
        """Give back what waiting needs."""
        waker, self._waker = self._waker, None
        if waker is not None:
            self._poll.unregister(waker.fd)
            waker.close()

    def settle(self) -> None:
        """Write what the core wants to send, and see to it that the network thread wakes in time."""
        if self.lock.poisoned:
            return
        for id, data in self._core.data_to_send():
            link = self._links.get(id)
            if link is not None:
                link.write(data)
        if self._stepping:
            self._stepping = False
            self._sleeps_until = self._next_deadline()
            return
        if self._sleeps_until == _AT_ONCE:
            return
        deadline = self._core.next_deadline()
        if deadline is not None and deadline < self._sleeps_until:
            self.ring()

    def step(self, ready: list[tuple[Link, int, bytes | OSError | None]]) -> bool:
        """Do everything that can be done now.

        Args:
            ready: Connections with something to read (the bytes or the error) or to write (None), and the
                descriptor.

        Returns:
            Whether there is anything left to wait for.
        """
        now = self._clock()
        self._stepping = True
        if self.lock.poisoned:
            self._recover(now)
        self._router.adopt()
        for link, fd, data in ready:
            if data is None:
                link.ready(fd, now)
            else:
                link.feed(data, now)
        while not self.posted.empty():
            self.posted.get_nowait()(now)
        self._handle_timers(now)
        self._carry_out(now)
        position = self._router.hand_over()
        if position is not None and self._profile.handed_over is not None:
            self._profile.handed_over(self._core, position, now)
        if self.abandon:
            self._drop_all(now)
        for link in list(self._links.values()):
            link.check(now)
        self._carry_out(now)
        return self._busy()

    def break_down(self) -> None:
        """Close everything without asking the core, which may be broken."""
        for link in self._links.values():
            link.close()
        self._links.clear()
        self.close_waker()

    def leave_behind(self) -> None:
        """In a forked child: close the copies of all descriptors, and touch nothing else."""
        self.sockets.close_copies()
        waker, self._waker = self._waker, None
        if waker is not None:
            waker.close()

    # --- The network thread -------------------------------------------------------------------------------------

    def wait(self) -> list[tuple[Link, int, bytes | OSError | None]]:
        """Wait until there is something to do, and read what has come. Without the lock."""
        now = self._clock()
        until = self._sleeps_until
        if until <= now:
            timeout: int | None = 0
        else:
            # Rounded up, since a deadline that is not quite reached would be looked at again and again.
            timeout = None if until == _NEVER else math.ceil((until - now) * _MILLISECONDS)
        found = self._poll.poll(timeout)
        self._sleeps_until = _AT_ONCE
        ready: list[tuple[Link, int, bytes | OSError | None]] = []
        for fd, mask in found:
            watched = self._watched.get(fd)
            if watched is None:
                if self._waker is not None and fd == self._waker.fd:
                    self._waker.silence()
                continue
            link = watched[0]
            if fd == link.fd and mask & ~WRITABLE:
                data = link.read()
                if data is not None:
                    ready.append((link, fd, data))
            if fd != link.fd or mask & WRITABLE:
                ready.append((link, fd, None))
        return ready

    def take_completed(self) -> list[Ticket]:
        """The tickets whose owners have not been told yet."""
        completed = self._completed
        if completed:
            self._completed = []
        return completed

    def aftermath(self) -> None:
        """Tell everybody what came of the last step. Without the lock."""
        self._router.wake()
        while self._log_later and not self.silent:
            self._log_later.pop(0)()

    # --- Inside -------------------------------------------------------------------------------------------------

    def _busy(self) -> bool:
        return (
            bool(self._links)
            or self._core.state not in self._profile.resting
            or self._core.next_deadline() is not None
            or not self.posted.empty()
        )

    def _next_deadline(self) -> float:
        earliest = _NEVER
        for deadline in (
            self._core.next_deadline(),
            self._tokens.next_deadline(),
            *(link.next_deadline() for link in self._links.values()),
        ):
            if deadline is not None and deadline < earliest:
                earliest = deadline
        return earliest

    def _handle_timers(self, now: float) -> None:
        for link in list(self._links.values()):
            link.handle_timer(now)
        self._tokens.handle_timer(now)
        deadline = self._core.next_deadline()
        if deadline is not None and now >= deadline:
            self._core.handle_timer(now)

    def _carry_out(self, now: float) -> None:
        core, router = self._core, self._router
        while (event := core.next_event()) is not None:
            if isinstance(event, RequestCompleted):
                self._complete(event.ticket)
            elif isinstance(event, ChannelMessage):
                router.route(event)
            elif isinstance(event, PeerMessage):
                router.receive_peer(event)
            elif isinstance(event, OpenTransport):
                self._timeline.note(event, now, time.time())
                self._open(event, now)
            elif isinstance(event, CloseTransport):
                self._close(event.id, now)
            elif isinstance(event, NeedToken):
                self._tokens.ask(event.reason.value, self._answer_token, now)
            else:
                self._tell(event, now)

    def _tell(self, event: Any, now: float) -> None:
        """Tell everybody of an event that is the application's."""
        self._timeline.note(event, now, time.time())
        if self._observe is not None:
            self._observe(event)
        if isinstance(event, self._profile.changes):
            self._note_state(event)
        elif isinstance(event, PeerConnectionStateChanged):
            self.changed = True
        elif isinstance(event, NotRestored):
            counts = len(event.users), len(event.attributes)
            self._later(logger.warning, _NOT_RESTORED, self._config.who, *counts, event.error)
        if self._translate is not None:
            event = self._translate(event)
        self._router.route(event)
        if isinstance(event, ChannelLost):
            self._router.forget_channel(event.channel)
        elif isinstance(event, ParticipantDisconnected):
            self._router.forget_part(event.identity)
        elif isinstance(event, PartEvent) and event.last:
            self._router.forget_part(event.part)

    def _complete(self, ticket: Ticket) -> None:
        if ticket.operation is LEAVE and ticket.error is None and isinstance(ticket.packet, Leave):
            self._router.forget_channel(ticket.packet.ch)
        self._completed.append(ticket)

    def _answer_token(self, token: str | None, error: RtmError | None, now: float) -> None:
        if error is None:
            self._core.token(token, now)
        else:
            self._core.token_failed(error, now)

    def _open(self, event: OpenTransport, now: float) -> None:
        self._later(
            wire_logger.debug, "Connection %d for %s to %s begins.", event.id, event.purpose.value, event.url
        )
        if event.purpose is Purpose.RECONNECT:
            cause = self._core.connection(now).cause
            self._log_outage("%s has lost its connection and opens another: %s", self._config.who, cause)
        try:
            link = self._make_link(event)
        except RtmError as error:
            self._failed(event.id, error, now)
            return
        self._links[event.id] = link
        self._resolve(link, now)

    def _make_helpers(self) -> Helpers:
        return Helpers(self._config.who, self.post)

    def _make_link(self, event: OpenTransport) -> Link:
        return Link(
            event.id,
            event.host,
            event.port,
            proxy=choose_proxy(self._config.proxy, event.host, event.port, event.tls),
            tls=self.tls_for(event.host) if event.tls else None,
            core=self._core,
            failed=self._failed,
            sockets=self.sockets,
            watch=self._watch,
            leftovers=self.ring,
        )

    def _resolve(self, link: Link, now: float) -> None:
        host, port = link.first_hop

        def resolved(addresses: Any, failure: BaseException | None, now: float) -> None:
            if self._links.get(link.id) is not link:
                return  # the core has given this attempt up meanwhile
            if failure is None:
                link.resolved(addresses, now)
            else:
                link.fail(unresolved(host, failure), now)

        if is_address(host):
            try:
                resolved(addresses_of(host, port, numeric=True), None, now)
            except OSError as error:
                resolved(None, error, now)
            return
        try:
            self._helpers.run((host, port), "names", lambda: addresses_of(host, port), resolved)
        except RtmError as error:
            link.fail(error, now)

    def tls_for(self, host: str) -> "tuple[ssl.SSLContext, str]":
        """The client's SSL context, and the name that a server must prove. Needs no lock."""
        setting = self._config.tls
        # TLS takes its time to load, and many clients never need it.
        import ssl

        from rtmsync.driver.tls import TlsConfig

        name = host
        if isinstance(setting, TlsConfig):
            name = setting.server_hostname or host
            if setting.insecure:
                self._later(
                    logger.warning, "TLS to %s is insecure: the server's certificate is not checked.", host
                )
        if self._context is None:
            if isinstance(setting, ssl.SSLContext):
                self._context = setting
            else:
                self._context = (setting if isinstance(setting, TlsConfig) else TlsConfig()).context()
        return self._context, name

    def _close(self, id: int, now: float) -> None:
        for other, data in self._core.data_to_send():
            link = self._links.get(other)
            if link is not None:
                link.write(data)
        link = self._links.get(id)
        if link is not None:
            link.flush()
            self._forget(link, now)

    def _forget(self, link: Link, now: float) -> None:
        link.close()
        if link.opened_at is not None and now - link.opened_at >= BACKOFF_SETTLED:
            self._outage_logged = False  # it has worked for a while: what comes now is another outage
        self._received += link.received
        self._sent += link.sent
        self._links.pop(link.id, None)

    def _failed(self, id: int, error: RtmError, now: float) -> None:
        link = self._links.get(id)
        if link is not None:
            self._forget(link, now)
        self._log_outage("Connection %d of %s has failed: %s", id, self._config.who, error)
        self._core.transport_failed(id, error, now)

    def _log_outage(self, text: str, *arguments: object) -> None:
        """Warn of an outage once; what else is said of it is for those who look for details."""
        level = logging.DEBUG if self._outage_logged else logging.WARNING
        self._outage_logged = True
        self._later(logger.log, level, text, *arguments)

    def _recover(self, now: float) -> None:
        """Drop connections in whose bytes there may be a hole; the session resumes on another one."""
        self._core.data_to_send()
        for link in list(self._links.values()):
            error = ConnectionFailed("The connection was dropped, because an exception interrupted a write.")
            self._failed(link.id, error, now)
        self._core.data_to_send()
        self.lock.poisoned = False

    def _drop_all(self, now: float) -> None:
        for link in list(self._links.values()):
            self._failed(link.id, ConnectionFailed("The client was closed without waiting any longer."), now)

    def _watch(self, fd: int, link: Link, mask: int) -> None:
        watched = self._watched.get(fd)
        if mask == 0 and watched is not None:
            del self._watched[fd]
            self._poll.unregister(fd)
        elif mask and (watched is None or watched[1] != mask):
            self._watched[fd] = (link, mask)
            self._poll.register(fd, mask)

    def _note_state(self, event: object) -> None:
        if self._core.state is self._profile.connected:
            self._outage_logged = False
        self.changed = True
        self._later(logger.info, "%s is %s", self._config.who, self._profile.describe(event))
        if isinstance(event, StateChanged) and event.reason is ConnectionChangeReason.REMOTE_LOGIN:
            self._later(RIVALS.put_out, self._config.who, self.inherited, self._config.remedy)

    def _later(self, function: Callable[..., None], *arguments: object) -> None:
        """Log something, but not under the lock: handlers of logs are code of the application."""
        self._log_later.append(partial(function, *arguments))
