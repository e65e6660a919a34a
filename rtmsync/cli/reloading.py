"""New settings for a running server: at SIGHUP, and when a file with keys has changed."""

import logging
import queue
import signal
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Final, TypeAlias

import attrs

from rtmcore.errors import RtmError
from rtmcore.limits import KEY_FILE_INTERVAL
from rtmsync.server.logs import use_level
from rtmsync.server.settings import Settings

if TYPE_CHECKING:
    from rtmsync.server.server import Server

_log = logging.getLogger("rtmsync.server")

_Stamp: TypeAlias = tuple[int, int, int] | None
_AGAIN: Final = True
_END: Final = False


class Reloader:
    """Looks after the files that a server's settings come from, in a thread of its own while `reloading` lasts.

    Args:
        server: The server.
        settings: What it was started with.
        read: Reads the settings anew.
    """

    def __init__(self, server: "Server", settings: Settings, read: Callable[[], Settings]) -> None:
        self._server = server
        self._settings = settings
        self._read = read
        # Signal handlers put into it, which a lock or an event would not survive.
        self._orders: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._seen = self._stamps()

    @contextmanager
    def reloading(self) -> Iterator[None]:
        """Look after the files during a block, and reload at SIGHUP."""
        thread = threading.Thread(target=self._run, name="rtm-reload", daemon=True)
        hangup = getattr(signal, "SIGHUP", None)
        before = None if hangup is None else signal.signal(hangup, self._hang_up)
        thread.start()
        try:
            yield
        finally:
            if hangup is not None:
                signal.signal(hangup, before)
            self._orders.put(_END)
            thread.join()

    def _hang_up(self, number: int, frame: FrameType | None) -> None:
        self._orders.put(_AGAIN)

    def _run(self) -> None:
        while True:
            try:
                order = self._orders.get(timeout=KEY_FILE_INTERVAL)
            except queue.Empty:
                if self._stamps() != self._seen:
                    self._reload(self._settings)
                continue
            if order is _END:
                return
            try:
                settings = self._read()
            except RtmError as error:
                _log.error("the settings stay as they were: %s", error)
                continue
            self._reload(settings)

    def _reload(self, settings: Settings) -> None:
        # Before the files are read: what is written meanwhile is another change.
        seen = self._stamps(settings)
        try:
            unchanged = self._server.reload(settings.config())
        except RtmError as error:
            _log.error("the settings stay as they were: %s", error)
            self._seen = seen if settings is self._settings else self._seen
            return
        logs = attrs.evolve(self._settings.logs, level=settings.logs.level)
        if settings.logs != logs:
            unchanged = (
                *unchanged,
                "log.format and log.file stay as they were: they change with a restart only.",
            )
        if logs != self._settings.logs:
            use_level(logs)
        self._settings, self._seen = attrs.evolve(settings, logs=logs), seen
        for sentence in unchanged:
            _log.warning("%s", sentence)

    def _stamps(self, settings: Settings | None = None) -> dict[Path, _Stamp]:
        return {file: _stamp(file) for file in (settings or self._settings).files}


def _stamp(file: Path) -> _Stamp:
    """What tells one state of a regular file from another; None for what is none."""
    try:
        found = file.stat()
    except OSError:
        return None
    return (found.st_mtime_ns, found.st_size, found.st_ino) if stat.S_ISREG(found.st_mode) else None
