"""A log file of the library's own, on top of `logging`: the three log settings of seed 004.

Nothing is written anywhere before `set_log_file` is called. Programs that configure `logging` themselves need none of
this: the logger is ``rtmsync``. What is logged contains neither messages nor tokens.
"""

import logging
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rtmcore.codes import LogFilter
from rtmcore.limits import KIB, LOG_FILE_BYTES, LOG_FILE_BYTES_MAX, LOG_FILE_BYTES_MIN, LOG_FILES

if TYPE_CHECKING:
    from logging.handlers import RotatingFileHandler

OK: Final = 0
"""The setting is in force."""
FAILURE: Final = 1
"""The setting is not possible; the one before stays. The log says why."""

_logger: Final = logging.getLogger("rtmsync")
_FORMAT: Final = "%(asctime)s %(levelname)s %(name)s [%(threadName)s]: %(message)s"
_BIT_OF_LEVEL: Final = (
    (logging.CRITICAL, 0x8),
    (logging.ERROR, 0x4),
    (logging.WARNING, 0x2),
    (logging.INFO, 0x1),
)


class _LogFile:
    """The one log file of a process, and what goes into it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._handler: RotatingFileHandler | None = None
        self._level_before: int | None = None
        self._bytes = LOG_FILE_BYTES
        self._mask = LogFilter.INFO

    def open(self, path: Path | None) -> str | None:
        """Write to a file from now on, or to none. Returns what is wrong."""
        from logging.handlers import RotatingFileHandler

        with self._lock:
            handler = None
            if path is not None:
                if not path.is_absolute() or not path.parent.is_dir():
                    return "The path of a log file is absolute and its directory exists."
                try:
                    handler = RotatingFileHandler(
                        path, maxBytes=self._bytes, backupCount=LOG_FILES - 1, encoding="utf-8"
                    )
                except OSError as error:
                    return f"The log file cannot be written: {error.strerror}."
                handler.setFormatter(logging.Formatter(_FORMAT))
                handler.addFilter(self._passes)
            self._replace(handler)
        return None

    def resize(self, size: int) -> str | None:
        """Let each file have so many bytes. Returns what is wrong."""
        if not LOG_FILE_BYTES_MIN <= size <= LOG_FILE_BYTES_MAX:
            return f"A log file has {LOG_FILE_BYTES_MIN // KIB} to {LOG_FILE_BYTES_MAX // KIB} KB."
        with self._lock:
            self._bytes = size
            if self._handler is not None:
                self._handler.maxBytes = size
        return None

    def use(self, mask: LogFilter) -> None:
        """Let through what a mask names."""
        self._mask = mask

    def _replace(self, handler: "RotatingFileHandler | None") -> None:
        before, self._handler = self._handler, handler
        if handler is not None:
            _logger.addHandler(handler)
            if before is None and _logger.getEffectiveLevel() > logging.INFO:
                self._level_before = _logger.level
                _logger.setLevel(logging.INFO)
        if before is not None:
            _logger.removeHandler(before)
            before.close()
        if handler is None and self._level_before is not None:
            _logger.setLevel(self._level_before)
            self._level_before = None

    def _passes(self, record: logging.LogRecord) -> bool:
        bit = next((bit for level, bit in _BIT_OF_LEVEL if record.levelno >= level), 0)
        return bool(self._mask & bit)


_file: Final = _LogFile()


def set_log_file(path: "str | os.PathLike[str] | None") -> int:
    """Write the library's log to a file: to two of them in turn, the older with ``.1`` behind its name.

    The level of the logger ``rtmsync`` is lowered to INFO where it is higher, until there is no file any more.

    Args:
        path: Absolute, in a directory that exists; None for no file any more.

    Returns:
        `OK` (0), or `FAILURE` (1) where the file cannot be written; the one before stays then.
    """
    try:
        wrong = _file.open(None if path is None else Path(path))
    except (TypeError, ValueError):
        wrong = "The path of a log file is a text without zero bytes, or None."
    return _ended("set_log_file", wrong)


def set_log_file_size(kilobytes: int) -> int:
    """How large each of the two log files may become before the other one is begun.

    Args:
        kilobytes: 512 to 1,048,576 (1 GB), in KB of 1,024 bytes; 10,240 where nothing is said.

    Returns:
        `OK` (0), or `FAILURE` (1) for any other size; the one before stays then.
    """
    if isinstance(kilobytes, bool) or not isinstance(kilobytes, int):
        return _ended("set_log_file_size", "The size of a log file is a whole number of KB.")
    return _ended("set_log_file_size", _file.resize(kilobytes * KIB))


def set_log_filters(filters: LogFilter) -> int:
    """What goes into the log file; it concerns no other handler.

    Args:
        filters: INFO (the default), WARN, ERROR, CRITICAL: that and what is worse. OFF: nothing.

    Returns:
        `OK` (0), or `FAILURE` (1) for anything else, the reserved MASK included; the filter before stays then.
    """
    if filters not in set(LogFilter) - {LogFilter.MASK}:
        return _ended("set_log_filters", "A log filter is OFF, INFO, WARN, ERROR or CRITICAL.")
    _file.use(LogFilter(filters))
    return OK


def _ended(setting: str, wrong: str | None) -> int:
    if wrong is None:
        return OK
    _logger.warning("%s: %s", setting, wrong)
    return FAILURE
