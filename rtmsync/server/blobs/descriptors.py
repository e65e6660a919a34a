"""Files that stay open between two pieces that are written or read: so many, and not for long."""

import contextlib
import errno
import os
import threading
from collections.abc import Hashable, Iterator
from pathlib import Path
from typing import Final, Generic, TypeVar

from rtmcore.limits import BLOB_FILES_OPEN, BLOB_IDLE_TIMEOUT
from rtmsync.driver.clock import Clock

_Key = TypeVar("_Key", bound=Hashable)

_TOO_MANY: Final = frozenset({errno.EMFILE, errno.ENFILE})


class OpenFiles(Generic[_Key]):
    """Descriptors by key, each used by one thread at a time. Any thread may use it.

    Those that are not in use are at most `limits.BLOB_FILES_OPEN`; the one that was not used for the longest time is
    closed first. `close_idle` closes those that were not used for `limits.BLOB_IDLE_TIMEOUT`.

    Args:
        flags: How files are opened, see `os.open`.
    """

    def __init__(self, flags: int) -> None:
        self._flags = flags | os.O_CLOEXEC
        self._lock = threading.Lock()
        self._idle: dict[_Key, tuple[int, float]] = {}
        """Those that are not in use, with the time of their last use, the longest ago first."""

    def __len__(self) -> int:
        return len(self._idle)

    @contextlib.contextmanager
    def use(self, key: _Key, path: Path) -> Iterator[int]:
        """The descriptor of a file, which stays open behind the block unless that raises.

        Args:
            key: Which file; no other thread uses the same at this moment.
            path: Where it is.

        Raises:
            OSError: It cannot be opened.
        """
        with self._lock:
            known = self._idle.pop(key, None)
        descriptor = self._open(path) if known is None else known[0]
        try:
            yield descriptor
        except BaseException:
            os.close(descriptor)
            raise
        with self._lock:
            self._idle[key] = (descriptor, Clock.now())
            gone = [self._pop_oldest() for _ in range(len(self._idle) - BLOB_FILES_OPEN)]
        _close(gone)

    def close(self, key: _Key) -> None:
        """Close a file, where it is open: it is complete, or about to go."""
        with self._lock:
            known = self._idle.pop(key, None)
        if known is not None:
            os.close(known[0])

    def close_idle(self) -> None:
        """Close the files that were not used for a while."""
        before = Clock.now() - BLOB_IDLE_TIMEOUT
        with self._lock:
            old = [key for key, (_, used) in self._idle.items() if used <= before]
            gone = [self._idle.pop(key)[0] for key in old]
        _close(gone)

    def close_all(self) -> None:
        """Close all that are not in use."""
        with self._lock:
            gone = [descriptor for descriptor, _ in self._idle.values()]
            self._idle.clear()
        _close(gone)

    def _open(self, path: Path) -> int:
        try:
            return os.open(path, self._flags, 0o600)
        except OSError as error:
            if error.errno not in _TOO_MANY or not self._idle:
                raise
        self.close_all()  # the process needs them more
        return os.open(path, self._flags, 0o600)

    def _pop_oldest(self) -> int:
        return self._idle.pop(next(iter(self._idle)))[0]


def _close(descriptors: list[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
