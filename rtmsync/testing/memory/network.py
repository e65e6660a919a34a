"""A client's connections to a node in this process, in place of sockets."""

import errno
import os
from collections.abc import Callable
from typing import Any, Generic

from rtmcore.client.events import OpenTransport
from rtmsync.driver.core import C
from rtmsync.driver.helpers import Helpers
from rtmsync.driver.link import Link, Phase
from rtmsync.driver.network import Network
from rtmsync.testing.memory.machine import Machine, Wire, chunks


class MemoryHelpers(Helpers):
    """Name look-ups and token calls that run in the thread that lets time pass.

    Attributes:
        waiting: What is to be run, outside of turns.
    """

    __slots__ = ("waiting",)

    def __init__(self, user: str, post: Callable[[Callable[[float], None]], None]) -> None:
        super().__init__(user, post)
        self.waiting: list[Callable[[], None]] = []

    def _launch(self, run: Callable[[], None], name: str) -> None:
        self.waiting.append(run)


class MemoryLink(Link):
    """One connection of a client, over a `Wire`.

    Args:
        machine: Drives the node.
        owner: Whose client it is.
        arguments: See `Link`.
    """

    __slots__ = ("_cut", "_machine", "_owner", "_wire")

    def __init__(self, machine: Machine, owner: str, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, tls=None, proxy=None, **options)
        self._machine = machine
        self._owner = owner
        self._wire: Wire | None = None
        self._cut = False

    def handle_timer(self, now: float) -> None:
        """Connect, unless nothing comes through."""
        if self._wire is None and self.phase is Phase.RESOLVING and self._owner not in self._machine.holes:
            self._wire = self._machine.connect(self._owner)
            self._open(now)

    def take(self) -> "list[tuple[Link, int, bytes | OSError | None]]":
        """What has come, as `Network.step` wants it."""
        wire = self._wire
        if wire is None or self.phase is Phase.OVER or self.ended or wire.held:
            return []
        came: list[tuple[Link, int, bytes | OSError | None]] = []
        while wire.to_client:
            came.append((self, self.fd, wire.to_client.popleft()))
        if wire.cut:
            came.append((self, self.fd, OSError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))))
        elif wire.ended:
            came.append((self, self.fd, b""))
        return came

    def close(self) -> None:
        """See `Link`."""
        super().close()
        if self._wire is not None:
            self._wire.hung_up = True

    def _write_now(self, data: bytes) -> None:
        if data and self._wire is not None and self.broken is None:
            self.sent += len(data)
            self._wire.to_node.extend(chunks((data,)))


class MemoryNetwork(Network[C], Generic[C]):
    """A client's core together with its connections in memory.

    Args:
        machine: Drives the node.
        arguments: See `Network`.

    Attributes:
        rung: Somebody wants it to look.
    """

    def __init__(self, machine: Machine, *arguments: Any) -> None:
        self.rung = False
        self._machine = machine
        super().__init__(*arguments)

    @property
    def helpers(self) -> MemoryHelpers:
        """Calls of the token provider that wait."""
        assert isinstance(self._helpers, MemoryHelpers)
        return self._helpers

    def ring(self) -> None:
        """See `Network`."""
        self.rung = True

    def take(self) -> "list[tuple[Link, int, bytes | OSError | None]]":
        """What has come, in place of `wait`."""
        return [each for link in self._links.values() if isinstance(link, MemoryLink) for each in link.take()]

    def next_deadline(self) -> float:
        """When something is to be done next; infinity for never."""
        return self._next_deadline()

    def _make_helpers(self) -> Helpers:
        return MemoryHelpers(self._config.who, self.post)

    def _make_link(self, event: OpenTransport) -> Link:
        return MemoryLink(
            self._machine,
            self._config.who,
            event.id,
            event.host,
            event.port,
            core=self._core,
            failed=self._failed,
            sockets=self.sockets,
            watch=self._watch,
            leftovers=self.ring,
        )

    def _resolve(self, link: Link, now: float) -> None:
        link.handle_timer(now)
