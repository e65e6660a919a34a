"""The measurements: which processes they need, and what is done in each round.

Rounds are interleaved: each system is measured once before any is measured
again, and each round begins with another system, so that whatever else the
machine does hits all of them.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

import attrs

from rtmcore.limits import MEDIA_BYTES
from tests.benchmarks.load import WARM_UP
from tests.benchmarks.peers import (
    MOSQUITTO,
    OURS,
    OURS_ON_DISK,
    PAHO,
    REQUESTS,
    REQUESTS_SYNCED,
    S3TRANSFER,
    SOCKETIO,
    WS_ASYNCIO,
    WS_SYNC,
    System,
)
from tests.benchmarks.rows import KIB, MICROSECONDS, RATE, SPEED, THREADS, Row, Samples
from tests.benchmarks.workers import Worker, rss_kib

SIZES = (100, 1024)
WINDOW = 64
FAN_OUT_WINDOW = 8

# A fan-out is bound by two processes that both have enough to do: each gets a processor of its own, or the
# scheduler decides the result.
SERVER_CPU, CLIENT_CPU = 0, 1


@attrs.frozen
class Effort:
    """How long to measure.

    Args:
        rounds: Measurements of each system; their median counts.
        seconds: Of each measurement.
        subscribers: Sizes of a fan-out.
        idle_clients: Clients of one process whose memory is measured.
        idle_connections: Connections of one server whose memory is measured.
    """

    rounds: int = 5
    seconds: float = 1.0
    subscribers: tuple[int, ...] = (100, 500)
    idle_clients: int = 50
    idle_connections: int = 1000


QUICK = Effort(rounds=3, seconds=0.25, idle_connections=400)

_reported: set[str] = set()


def present(*systems: System) -> list[System]:
    """The systems that can be measured here; a sentence for each other one, once."""
    found = []
    for system in systems:
        reason = system.missing()
        if reason is None:
            found.append(system)
        elif system.name not in _reported:
            _reported.add(system.name)
            print(f"Skipped {system.name}: {reason}.", flush=True)
    return found


@contextmanager
def running_server(system: System, cpu: int | None = None) -> Iterator[tuple[int, int]]:
    """A server of its own: its port and the id of the process that serves."""
    with Worker(system.module, "Server", cpu=cpu, **system.server) as server:
        port, pid = server.call("listen")
        yield port, pid


def in_turn(systems: Sequence[System], rounds: int) -> Iterator[System]:
    """Each system once a round, beginning with another one each time."""
    for number in range(rounds):
        shift = number % len(systems)
        yield from (*systems[shift:], *systems[:shift])


# --- Channel messages -------------------------------------------------------------------------------------------

ONE = "channel send acknowledged by the server, one at a time"
MANY = f"channel send, {WINDOW} in flight, acknowledged and delivered"


@attrs.define
class _Trio:
    """A publisher and a subscriber at a server, each a process of its own."""

    publisher: Worker
    subscriber: Worker
    sent: int = 0

    def one_at_a_time(self, size: int, seconds: float) -> float:
        result = self.publisher.call("one_at_a_time", size=size, seconds=seconds)
        self.sent += result["count"]
        self.subscriber.call("wait_for", count=self.sent)
        return float(result["rate"])

    def windowed(self, size: int, seconds: float) -> float:
        for duration in (WARM_UP, seconds):
            result = self.publisher.call("windowed", size=size, window=WINDOW, seconds=duration)
            self.sent += result["count"]
            last = self.subscriber.call("wait_for", count=self.sent)
        return float(result["count"] / (last - result["start"]))


def sends(effort: Effort) -> list[Row]:
    """Channel messages through a server to one subscriber."""
    ours = present(OURS, OURS_ON_DISK)
    peers = present(PAHO, WS_SYNC, SOCKETIO)
    samples = Samples()
    with ExitStack() as stack:
        trios = {}
        for system in (*ours, *peers):
            port, _ = stack.enter_context(running_server(system))
            subscriber = stack.enter_context(Worker(system.module, "Subscriber", port=port))
            publisher = stack.enter_context(Worker(system.module, "Publisher", port=port))
            trios[system.name] = _Trio(publisher, subscriber)
        for system in in_turn((*ours, *peers), effort.rounds):
            trio = trios[system.name]
            for size in SIZES:
                samples.add(ONE, size, system.name, trio.one_at_a_time(size, effort.seconds))
                samples.add(MANY, size, system.name, trio.windowed(size, effort.seconds))
    rows = []
    for name in (ONE, MANY):
        for size in SIZES:
            for peer in peers:
                target = _SEND_TARGETS.get((name, size, peer.name))
                rows.append(samples.row(name, size, RATE, peer.name, target=target))
            if OURS_ON_DISK in ours and PAHO in peers:
                rows.append(_on_disk(samples, name, size))
    return rows


_SEND_TARGETS = {
    (ONE, 100, PAHO.name): "x1",
    (MANY, 100, PAHO.name): "x4",
    (MANY, 1024, PAHO.name): "x4",
    (MANY, 100, WS_SYNC.name): "x2.5",
    (MANY, 1024, WS_SYNC.name): "x2.5",
}


def _on_disk(samples: Samples, name: str, size: int) -> Row:
    return samples.row(name, size, RATE, PAHO.name, ours=OURS_ON_DISK.name, title=f"{name} (embedded engine)")


# --- Peer messages ----------------------------------------------------------------------------------------------

PEER = "peer send acknowledged by the peer, one at a time"


def peer_sends(effort: Effort) -> list[Row]:
    """Messages to one user, whose acknowledgement comes back."""
    ours = present(OURS, OURS_ON_DISK)
    peers = present(PAHO)
    samples = Samples()
    with ExitStack() as stack:
        requesters = {}
        for system in (*ours, *peers):
            port, _ = stack.enter_context(running_server(system))
            stack.enter_context(Worker(system.module, "Responder", port=port))
            requesters[system.name] = stack.enter_context(Worker(system.module, "Requester", port=port))
        for system in in_turn((*ours, *peers), effort.rounds):
            for size in SIZES:
                result = requesters[system.name].call("one_at_a_time", size=size, seconds=effort.seconds)
                samples.add(PEER, size, system.name, result["rate"])
    rows = []
    for size in SIZES:
        for peer in peers:
            rows.append(samples.row(PEER, size, RATE, peer.name, target="x1.5"))
            if OURS_ON_DISK in ours:
                rows.append(_on_disk(samples, PEER, size))
    return rows


# --- Fan-out ----------------------------------------------------------------------------------------------------


def fan_out(effort: Effort) -> list[Row]:
    """One publisher, many subscribers; each round with a server of its own."""
    ours = present(OURS)
    peers = present(WS_ASYNCIO, MOSQUITTO)
    samples = Samples()
    for subscribers in effort.subscribers:
        for system in in_turn((*ours, *peers), effort.rounds):
            with (
                running_server(system, SERVER_CPU) as (port, _),
                Worker("fanout", "Generator", cpu=CLIENT_CPU, system=system.module, port=port) as generator,
            ):
                generator.call("connect", subscribers=subscribers)
                for size in SIZES:
                    full = generator.call("run", size=size, window=FAN_OUT_WINDOW, seconds=effort.seconds)
                    single = generator.call("run", size=size, window=1, seconds=effort.seconds)
                    samples.add(_many_to(subscribers), size, system.name, full["rate"])
                    samples.add(_one_to(subscribers), size, system.name, single["p50"])
    rows = []
    for subscribers in effort.subscribers:
        for size in SIZES:
            for peer in peers:
                target = "x4" if subscribers == 100 and peer is WS_ASYNCIO else None
                name = _many_to(subscribers)
                rows.append(samples.row(name, size, RATE, peer.name, target=target))
        for size in SIZES:
            for peer in peers:
                rows.append(samples.row(_one_to(subscribers), size, MICROSECONDS, peer.name))
    return rows


def _many_to(subscribers: int) -> str:
    return f"fan-out to {subscribers}, window {FAN_OUT_WINDOW}, deliveries"


def _one_to(subscribers: int) -> str:
    return f"single broadcast until all {subscribers} have it"


# --- Files ------------------------------------------------------------------------------------------------------

UPLOAD = "upload of a file to the server's disk"
DOWNLOAD = "download of a file to the client's disk"


def carried_files(effort: Effort) -> list[Row]:
    """The largest file there may be, up and down. Ours is hashed and synced; of the peers one is synced."""
    ours = present(OURS_ON_DISK)
    peers = present(REQUESTS, REQUESTS_SYNCED, S3TRANSFER)
    samples = Samples()
    with ExitStack() as stack:
        carriers = {}
        for system in (*ours, *peers):
            port, _ = stack.enter_context(running_server(system))
            carrier = stack.enter_context(Worker(system.module, "Carrier", port=port, size=MEDIA_BYTES))
            carrier.call("measure")  # what is loaded and connected for the first one
            carriers[system.name] = carrier
        for system in in_turn((*ours, *peers), effort.rounds):
            up, down = carriers[system.name].call("measure")
            samples.add(UPLOAD, MEDIA_BYTES, system.name, up)
            samples.add(DOWNLOAD, MEDIA_BYTES, system.name, down)
    rows = []
    for name, compared in ((UPLOAD, peers), (DOWNLOAD, [one for one in peers if one is not REQUESTS_SYNCED])):
        for peer in compared:
            rows.append(samples.row(name, MEDIA_BYTES, SPEED, peer.name, ours=OURS_ON_DISK.name))
    return rows


# --- Memory and threads -----------------------------------------------------------------------------------------

CLIENT_MEMORY = "memory of an idle client"
CLIENT_THREADS = "threads of an idle client"
CONNECTION_MEMORY = "server memory of an idle connection"


def idle_clients(effort: Effort) -> list[Row]:
    """What one more client of a process costs, the first one not counted."""
    ours = present(OURS)
    peers = present(PAHO, WS_SYNC, SOCKETIO)
    samples = Samples()
    for system in in_turn((*ours, *peers), min(effort.rounds, 3)):
        with (
            running_server(system) as (port, _),
            Worker(system.module, "IdleClients", port=port) as clients,
        ):
            threads = clients.call("connect", count=1)
            memory = rss_kib(clients.pid)
            more = clients.call("connect", count=effort.idle_clients) - threads
            grown = rss_kib(clients.pid) - memory
            samples.add(CLIENT_MEMORY, None, system.name, grown / effort.idle_clients)
            samples.add(CLIENT_THREADS, None, system.name, more / effort.idle_clients)
    rows = [samples.row(CLIENT_MEMORY, None, KIB, peer.name) for peer in peers]
    rows += [samples.row(CLIENT_THREADS, None, THREADS, peer.name, target="1 thread") for peer in peers]
    return rows


def idle_connections(effort: Effort) -> list[Row]:
    """What one more connection costs a server, the first fifty not counted."""
    ours = present(OURS)
    peers = present(WS_ASYNCIO, MOSQUITTO)
    samples = Samples()
    for system in in_turn((*ours, *peers), min(effort.rounds, 3)):
        with (
            running_server(system) as (port, pid),
            Worker("fanout", "IdleConnections", system=system.module, port=port) as connections,
        ):
            connections.call("connect", count=50)
            memory = rss_kib(pid)
            connections.call("connect", count=effort.idle_connections)
            grown = (rss_kib(pid) - memory) / effort.idle_connections
            samples.add(CONNECTION_MEMORY, None, system.name, grown)
    return [samples.row(CONNECTION_MEMORY, None, KIB, peer.name, target="12 KiB") for peer in peers]


CASES: dict[str, Callable[[Effort], list[Row]]] = {
    "send": sends,
    "peer": peer_sends,
    "fanout": fan_out,
    "files": carried_files,
    "client": idle_clients,
    "connection": idle_connections,
}
"""By the name that --only takes."""
