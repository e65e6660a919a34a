"""The logs of `rtm serve`: for people, or one JSON object a line, with neither messages nor tokens in either.

Programs that embed a server configure `logging` themselves: the logger is ``rtmsync.server``.
"""

import contextlib
import json
import logging
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import attrs

from rtmcore.errors import InvalidArgument

TEXT: Final = "text"
JSON: Final = "json"
LOG_FORMATS: Final = (TEXT, JSON)
"""How a line may look."""
LOG_LEVELS: Final = ("debug", "info", "warning", "error")
"""From which level on there is a line."""

_TEXT_FORMAT: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_MILLISECONDS: Final = 1000


@attrs.frozen(kw_only=True)
class LogSettings:
    """How `rtm serve` logs.

    Args:
        format: ``text`` or ``json``.
        level: The least level that is logged, one of `LOG_LEVELS`.
        file: Where it is logged, always at the end; None for standard error.
    """

    format: str = attrs.field(default=TEXT, validator=attrs.validators.in_(LOG_FORMATS))
    level: str = attrs.field(default="info", validator=attrs.validators.in_(LOG_LEVELS))
    file: Path | None = None


class JsonFormatter(logging.Formatter):
    """One JSON object a line, with these fields.

    ``time`` (UTC, ISO 8601, to the millisecond), ``level`` (lower case), ``logger``, ``message``; for an error with a
    traceback also ``error``, its class, and ``traceback``; and what the call gave as ``extra={"fields": {...}}``, with
    names of their own, such as ``url`` or ``connection``. On the level ``debug`` there is a line for each login,
    return, refusal and closed connection, with ``event``, ``connection`` and, as far as they are known, ``address``,
    ``app``, ``kind``, ``user``, ``code`` and ``reason``.
    """

    def format(self, record: logging.LogRecord) -> str:
        """The line of one record, without its end."""
        seconds, thousandths = divmod(int(record.created * _MILLISECONDS), _MILLISECONDS)
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
        row: dict[str, object] = {
            "time": f"{moment}.{thousandths:03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        row.update(getattr(record, "fields", None) or {})
        if record.exc_info and record.exc_info[0] is not None:
            row["error"] = record.exc_info[0].__name__
            row["traceback"] = self.formatException(record.exc_info)
        return json.dumps(row, default=str)


@contextlib.contextmanager
def logging_as(settings: LogSettings) -> Iterator[None]:
    """Log as settings say during a block, in the place of what the root logger does.

    The file is opened at each line anew where a program that rotates logs has moved it away.

    Args:
        settings: How.

    Raises:
        InvalidArgument: The file cannot be written.
    """
    handler = _handler(settings)
    if settings.format == JSON:
        handler.setFormatter(JsonFormatter())
    else:
        handler.setFormatter(logging.Formatter(_TEXT_FORMAT))
    logger = logging.getLogger("rtmsync")
    level, propagates = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(settings.level.upper())
    logger.propagate = False
    try:
        yield
    finally:
        logger.propagate = propagates
        logger.setLevel(level)
        logger.removeHandler(handler)
        handler.close()


def use_level(settings: LogSettings) -> None:
    """Log from another level on, within `logging_as`."""
    logging.getLogger("rtmsync").setLevel(settings.level.upper())


def _handler(settings: LogSettings) -> logging.Handler:
    if settings.file is None:
        return logging.StreamHandler(sys.stderr)
    from logging.handlers import WatchedFileHandler

    try:
        return WatchedFileHandler(settings.file, encoding="utf-8")
    except OSError as error:
        raise InvalidArgument(
            f"The log file {settings.file} cannot be written: {error.strerror}.",
            operation="serve",
            hint="Name a file in a directory that exists and that this user may write to.",
        ) from error
