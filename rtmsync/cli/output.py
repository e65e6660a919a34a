"""What `rtm` prints: results and events on standard output, everything else on standard error."""

import base64
import json
import os
import re
import sys
import time
from collections.abc import Mapping
from enum import Enum
from functools import cache
from typing import Any, Final, TextIO

import attrs
import cattrs

from rtmcore.codes import MessageType
from rtmcore.errors import RtmError
from rtmcore.models import ChannelMessage, HistoricalMessage, PeerMessage
from rtmsync.exits import causes

_CONTROLS: Final = re.compile("[\x7f-\x9f\u2028\u2029]")
"""What JSON leaves as it is, and a terminal or a reader of lines does not."""


def note(text: str) -> None:
    """Say something to the person at the terminal."""
    _line(text, sys.stderr)


def emit(row: Mapping[str, object]) -> None:
    """Print one result as a line of JSON."""
    narrow = (sys.stdout.encoding or "").lower().replace("-", "") != "utf8"
    _line(_CONTROLS.sub(_escaped, json.dumps(row, ensure_ascii=narrow)), sys.stdout)


def printable(text: str) -> str:
    """Text from others without what would control the terminal."""
    return "".join(character if character.isprintable() else "\ufffd" for character in text)


def _escaped(match: re.Match[str]) -> str:
    return f"\\u{ord(match.group()):04x}"


def say(text: str) -> None:
    """Print one line of text as a result."""
    _line(text, sys.stdout)


def _line(text: str, stream: TextIO) -> None:
    """Write a line as one piece: `print` writes its end apart, and another thread's line could come between."""
    stream.write(f"{text}\n")
    stream.flush()


def use_colours(stream: TextIO) -> bool:
    """Whether a stream is a terminal whose owner has nothing against colours."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return stream.isatty()


def clock_time(seconds: float) -> str:
    """A point in time as the hour of day here."""
    return time.strftime("%H:%M:%S", time.localtime(seconds))


def explain(error: BaseException) -> str:
    """An error with what brought it about, in sentences."""
    sentences: list[str] = []
    for one in causes(error):
        text = str(one) or type(one).__name__
        if not any(text in earlier for earlier in sentences):
            sentences.append(text)
    return "\n  because: ".join(sentences)


@cache
def _converter() -> cattrs.Converter:
    converter = cattrs.Converter()
    converter.register_unstructure_hook(bytes, lambda value: base64.b64encode(value).decode("ascii"))
    converter.register_unstructure_hook_func(
        lambda kind: isinstance(kind, type) and issubclass(kind, Enum), lambda value: value.name
    )
    converter.register_unstructure_hook_func(
        lambda kind: isinstance(kind, type) and issubclass(kind, RtmError), str
    )
    return converter


def as_row(event: Any) -> dict[str, object]:
    """An event as plain data for JSON: its class as `event`, then its fields.

    Bytes are base64, enumerations are names, errors are their sentences. A text message has `text` in the place of
    `body`, one about a file or an image has `media`, and each message has the time at which the server accepted it, in
    seconds since 1970.

    Args:
        event: A value of an attrs class.
    """
    convert = _converter()
    row: dict[str, object] = {"event": type(event).__name__}
    for field in attrs.fields(type(event)):
        row[field.name] = convert.unstructure(getattr(event, field.name))
    if isinstance(event, PeerMessage | ChannelMessage | HistoricalMessage):
        if event.kind == MessageType.TEXT:
            del row["body"]
            row["text"] = event.text
        elif event.media is not None:
            del row["body"]
            row["media"] = convert.unstructure(event.media)
        if event.description is None:
            del row["description"]
        row["server_time"] = event.server_time
    return row
