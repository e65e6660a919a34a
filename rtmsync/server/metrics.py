"""What Prometheus is told of a server: a page of numbers, none of which names a user, a channel or a message."""

import os
import sys
import time
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, TypeAlias

from rtmcore import __version__
from rtmcore.service.blobs.memory import MemoryBlobStore
from rtmcore.service.endpoint import HttpAnswer
from rtmcore.service.kinds import SERVED
from rtmcore.service.memory import MemoryEngine
from rtmcore.service.node import Node
from rtmcore.service.statistics import Histogram
from rtmsync.server.config import ServerConfig
from rtmsync.server.loop import ServerLoop
from rtmsync.server.serverkeys import ServerKeys

if TYPE_CHECKING:
    from rtmsync.server.blobs.store import FileBlobStore
    from rtmsync.server.engines.embedded import EmbeddedEngine

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
"""Of Prometheus' text format."""

_ALL: Final = ""
_Labels: TypeAlias = Mapping[str, str]
_Values: TypeAlias = float | Mapping[tuple[str, str], float]

_STATM: Final = "/proc/self/statm"


class Metrics:
    """Makes the page of the metrics, and knows who may have it.

    Args:
        config: The server's settings.
    """

    def __init__(self, config: ServerConfig) -> None:
        self._keys = ServerKeys({})
        self._began = 0.0
        self._sources: (
            tuple[
                Node, ServerLoop, EmbeddedEngine | MemoryEngine | None, FileBlobStore | MemoryBlobStore | None
            ]
            | None
        ) = None
        self.use(config)

    def use(self, config: ServerConfig) -> None:
        """Go on with other settings. Any thread may call this."""
        keyed = bool(config.metrics_keys)
        self._open = config.metrics if config.metrics is not None else config.dev and not keyed
        self._keyed = keyed
        self._keys.replace({_ALL: config.metrics_keys})

    def open(
        self,
        node: Node,
        loop: ServerLoop,
        engine: "EmbeddedEngine | MemoryEngine | None",
        blobs: "FileBlobStore | MemoryBlobStore | None",
    ) -> None:
        """Take what there is to tell of."""
        self._began = time.time()
        self._sources = (node, loop, engine, blobs)

    def page(self, key: str) -> HttpAnswer | None:
        """The page; None where there is none for whoever asks.

        Args:
            key: The key that came with the request, or an empty text.
        """
        if not self._open and self._keys.authorize(_ALL, key) is not True:
            if not self._keyed:
                return None
            return HttpAnswer(HTTPStatus.UNAUTHORIZED, "The key for the metrics is missing or wrong.")
        return HttpAnswer(HTTPStatus.OK, self.text().rstrip("\n"), content_type=CONTENT_TYPE)

    def text(self) -> str:
        """The page's text; an empty one before the server was opened."""
        if self._sources is None:
            return ""
        node, loop, engine, blobs = self._sources
        lines = [*self._of_process(), *_of_node(node), *_of_loop(loop)]
        if engine is not None:
            lines += _of_engine(engine)
        if blobs is not None:
            lines += _of_files(node, blobs)
        return "\n".join([*lines, ""])

    def _of_process(self) -> Iterator[str]:
        version = {("version", __version__): 1.0}
        yield from _lines("rtm_build_info", "gauge", "The version of the server.", version)
        yield from _lines("process_start_time_seconds", "gauge", "When it began, since 1970.", self._began)
        cpu = time.process_time()
        yield from _lines("process_cpu_seconds_total", "counter", "Processor time of the process.", cpu)
        memory = _resident_bytes()
        if memory is not None:
            yield from _lines("process_resident_memory_bytes", "gauge", "Memory of the process.", memory)


def _of_node(node: Node) -> Iterator[str]:
    stats, counted = node.stats(), node.statistics
    of = stats.get
    yield from _lines("rtm_draining", "gauge", "1 while clients are sent away.", float(node.draining))
    yield from _lines("rtm_connections", "gauge", "Connections.", stats["connections"])
    yield from _lines(
        "rtm_connections_before_hello",
        "gauge",
        "Those of them without a login yet.",
        stats["connections_before_hello"],
    )
    yield from _lines(
        "rtm_media_connections", "gauge", "Those of them for data tracks.", stats["media_connections"]
    )
    sessions = {("kind", kind): stats[f"sessions_{kind}"] for kind in SERVED}
    yield from _lines("rtm_sessions", "gauge", "Sessions that have a connection.", sessions)
    yield from _lines("rtm_channels", "gauge", "Channels that have members here.", stats["channels"])
    yield from _lines("rtm_members", "gauge", "Members of all channels together.", stats["members"])
    logins = {("how", "login"): of("logins", 0), ("how", "return"): of("returns", 0)}
    yield from _lines("rtm_logins_total", "counter", "Logins, and returns to a session.", logins)
    for name, what, direction in (
        ("rtm_messages_received_total", "Messages of clients that were accepted.", "accepted"),
        ("rtm_messages_sent_total", "Messages sent to clients.", "delivered"),
    ):
        inbox = "peer" if direction == "accepted" else "inbox"
        messages = {
            ("to", "peer"): of(f"{inbox}_messages_{direction}", 0),
            ("to", "channel"): of(f"channel_messages_{direction}", 0),
        }
        yield from _lines(name, "counter", what, messages)
    frames = {
        ("outcome", "queued"): of("data_frames_queued", 0),
        ("outcome", "dropped"): of("data_frames_dropped", 0),
    }
    yield from _lines("rtm_data_frames_total", "counter", "Data frames for receivers.", frames)
    answered = {
        ("status", name[5:]): count for name, count in sorted(stats.items()) if name.startswith("http_")
    }
    yield from _lines(
        "rtm_http_requests_total", "counter", "Requests with a server key, by status.", answered
    )
    closed = {
        ("code", name[7:]): count for name, count in sorted(stats.items()) if name.startswith("closed_")
    }
    yield from _lines(
        "rtm_closed_total", "counter", "Connections closed by the server, by close code.", closed
    )
    refused = {("code", code): count for code, count in sorted(counted.refused.items())}
    yield from _lines("rtm_refused_total", "counter", "Requests and logins refused, by code.", refused)
    limited = counted.rate_limited
    yield from _lines("rtm_rate_limited_total", "counter", "Those that came too often.", limited)
    yield from _histogram(
        "rtm_engine_seconds",
        "From a request to the engine's answer, peer messages left out.",
        counted.answers,
    )


def _of_loop(loop: ServerLoop) -> Iterator[str]:
    yield from _lines("rtm_connections_total", "counter", "Connections accepted.", loop.accepted)
    yield from _lines("rtm_received_bytes_total", "counter", "Bytes of clients.", loop.received_bytes)
    yield from _lines("rtm_sent_bytes_total", "counter", "Bytes for clients.", loop.sent_bytes)
    yield from _histogram("rtm_turn_seconds", "How long turns of the server's loop take.", loop.turns)


def _of_engine(engine: "EmbeddedEngine | MemoryEngine") -> Iterator[str]:
    stats = engine.stats()
    if stats:
        for name, what in (
            ("inbox_bytes", "Bytes of messages to users that are not acknowledged."),
            ("stored_messages", "Messages stored for users who are away."),
            ("stored_bytes", "Bytes of them."),
        ):
            yield from _lines(f"rtm_{name}", "gauge", what, stats[name])
    if isinstance(engine, MemoryEngine):
        return
    waiting = stats.get("journal_waiting", 0)
    yield from _lines("rtm_journal_waiting_records", "gauge", "Records that wait for the disk.", waiting)
    failing = float(engine.failing)
    yield from _lines("rtm_journal_failing", "gauge", "1 while the disk takes nothing.", failing)
    failed = engine.commits_failed
    yield from _lines("rtm_journal_errors_total", "counter", "Commits that failed.", failed)
    yield from _histogram("rtm_journal_commit_seconds", "How long commits take.", engine.commit_seconds)


def _of_files(node: Node, blobs: "FileBlobStore | MemoryBlobStore") -> Iterator[str]:
    stats, kept = node.stats(), blobs.stats()
    of = stats.get
    yield from _lines("rtm_files", "gauge", "Files, and uploads that are not finished.", kept["files"])
    yield from _lines("rtm_files_bytes", "gauge", "Bytes of them, as announced.", kept["files_bytes"])
    yield from _lines("rtm_transfers", "gauge", "Uploads and downloads under way.", stats["transfers"])
    finished = {("way", "up"): of("uploads", 0), ("way", "down"): of("downloads", 0)}
    yield from _lines("rtm_transfers_total", "counter", "Uploads and downloads that were finished.", finished)
    moved = {("way", "up"): of("uploaded_bytes", 0), ("way", "down"): of("downloaded_bytes", 0)}
    yield from _lines("rtm_transferred_bytes_total", "counter", "Bytes of files that were moved.", moved)
    answered = {
        ("status", name[6:]): count for name, count in sorted(stats.items()) if name.startswith("blobs_")
    }
    yield from _lines("rtm_file_requests_total", "counter", "Requests about files, by status.", answered)


# --- The text format --------------------------------------------------------------------------------------------------


def _lines(name: str, kind: str, what: str, values: _Values) -> Iterator[str]:
    """A metric: one number, or one for each value of its one label."""
    yield f"# HELP {name} {what}"
    yield f"# TYPE {name} {kind}"
    if not isinstance(values, Mapping):
        yield f"{name} {_number(values)}"
        return
    for (label, value), number in values.items():
        yield f'{name}{{{label}="{value}"}} {_number(number)}'


def _histogram(name: str, what: str, histogram: Histogram) -> Iterator[str]:
    counts, total = list(histogram.counts), histogram.total
    yield f"# HELP {name} {what}"
    yield f"# TYPE {name} histogram"
    below = 0
    for bound, count in zip((*histogram.bounds, None), counts, strict=True):
        below += count
        yield f'{name}_bucket{{le="{"+Inf" if bound is None else _number(bound)}"}} {below}'
    yield f"{name}_sum {_number(total)}"
    yield f"{name}_count {below}"


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else repr(float(value))


def _resident_bytes() -> int | None:
    """Memory of this process; None where the system does not tell it in this way."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        with open(_STATM, encoding="ascii") as file:
            pages = int(file.read().split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")
