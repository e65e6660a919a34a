"""What a timeline is made of: spans of states, marks between them, and the words for times."""

import enum
from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from typing import Final

import attrs

_MINUTE: Final = 60
_HOUR: Final = 3600
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=timezone.utc)


class Subject(enum.Enum):
    """Whose state a span is."""

    CONNECTION = "connection"
    """The connection itself: of a client, of an RTC channel or of a room."""
    TRANSPORTS = "transports"
    """The aggregate over the transports, in the words of RTCPeerConnection."""
    PEER = "peer"
    """Another user or participant, as this client sees them."""


@attrs.frozen
class Lane:
    """One row of a picture: everything that is told of one subject by one client.

    Attributes:
        who: The client.
        subject: What it tells of.
        peer: The other user; empty where the subject is not one.
    """

    who: str
    subject: Subject = Subject.CONNECTION
    peer: str = ""

    def __str__(self) -> str:
        """A title, with what could control a terminal or a document replaced."""
        who = printable(self.who)
        if self.subject is Subject.TRANSPORTS:
            return f"{who}: transports"
        return f"{who} sees {printable(self.peer)}" if self.subject is Subject.PEER else who


@attrs.frozen
class Span:
    """A state, and how long it lasted.

    Attributes:
        lane: Whose state.
        state: Its documented name.
        reason: Name and number of the reason, such as ``INTERRUPTED 5``; empty where none is documented.
        began: Monotonic seconds.
        ended: Monotonic seconds; None while it lasts.
        wall: When it began, in seconds since 1970.
        code: Number of the failure that brought it about, or None.
        cause: Class of that failure, or empty.
    """

    lane: Lane
    state: str
    reason: str
    began: float
    ended: float | None
    wall: float
    code: int | None = None
    cause: str = ""

    @property
    def why(self) -> str:
        """The reason, and the failure behind it where it says more."""
        if not self.cause:
            return self.reason
        number = "" if self.code is None or f" {self.code}" in self.reason else f" {self.code}"
        return f"{self.reason} ({self.cause}{number})".strip()

    def lasted(self, now: float) -> float:
        """Seconds, up to `now` where it has not ended."""
        return max(0.0, (now if self.ended is None else self.ended) - self.began)


@attrs.frozen
class Mark:
    """Something that happened at one moment and is no state.

    Attributes:
        lane: To whom.
        at: Monotonic seconds.
        wall: Seconds since 1970.
        what: The class of the event.
        detail: Names and numbers; never a message, a token or an attribute.
        attempt: Whether a transport was opened: there may be many of these.
    """

    lane: Lane
    at: float
    wall: float
    what: str
    detail: str = ""
    attempt: bool = False

    def __str__(self) -> str:
        return f"{self.what} {self.detail}".strip()


def printable(text: str) -> str:
    """Text from others without what would control a terminal or break a document."""
    return "".join(character if character.isprintable() else "\ufffd" for character in text)


def shortened(text: str, length: int) -> str:
    """Text of at most so many characters."""
    return text if len(text) <= length else f"{text[: length - 1]}…"


def duration(seconds: float) -> str:
    """A length of time for people, such as ``4.00 s`` or ``20 min 00.0 s``."""
    if seconds < _MINUTE - 0.005:
        return f"{seconds:.2f} s"
    tenths = round(seconds * 10)
    minutes, rest = divmod(tenths, _MINUTE * 10)
    if tenths < _HOUR * 10:
        return f"{minutes} min {rest / 10:04.1f} s"
    return f"{minutes // _MINUTE} h {minutes % _MINUTE:02d} min {rest // 10:02d} s"


def offset(seconds: float) -> str:
    """A point in time after the beginning, such as ``+4.00 s``."""
    return f"+{duration(max(0.0, seconds))}"


def moment(wall: float) -> str:
    """A point in time in UTC, to the millisecond."""
    try:
        when = _EPOCH + timedelta(seconds=wall)
    except (OverflowError, ValueError):
        return "an unknown time"
    return f"{when:%Y-%m-%d %H:%M:%S}.{when.microsecond // 1000:03d} UTC"


def beginning(spans: Iterable[Span], marks: Iterable[Mark]) -> tuple[float, float] | None:
    """The earliest moment: monotonic seconds, and seconds since 1970; None where nothing is recorded."""
    moments = [(span.began, span.wall) for span in spans] + [(mark.at, mark.wall) for mark in marks]
    return min(moments, default=None)


def lanes_of(spans: Iterable[Span], marks: Iterable[Mark]) -> list[Lane]:
    """The lanes in the order in which they are drawn: each client with its transports, then whom it sees."""
    order = list(Subject)
    found = dict.fromkeys([item.lane for item in spans] + [mark.lane for mark in marks])
    clients = list(dict.fromkeys(lane.who for lane in found))
    return sorted(found, key=lambda lane: (clients.index(lane.who), order.index(lane.subject)))
