"""Where one connection stands in the logs that it is sent: its inbox, and the channels that it is a member of."""

from __future__ import annotations

import enum
from collections import deque
from typing import TYPE_CHECKING, Final, TypeAlias

from rtmcore.service.commands.entries import Entry

if TYPE_CHECKING:
    from rtmcore.service.connections import Connection
    from rtmcore.service.feeds import Feed

_LONG_AGO: Final = float("-inf")


class LogState(enum.Enum):
    """How new entries of a log reach a connection."""

    READING = "reading"
    """They wait: the log is being read from a position, or will be."""
    LIVE = "live"
    """They are sent as they are announced."""
    AHEAD = "ahead"
    """They are sent once the announcements have come to where the connection stands."""
    FULL = "full"
    """They wait until the client has acknowledged what it was sent."""


class InboxLog:
    """Where a connection stands in its user's inbox, and what of it is not acknowledged.

    Args:
        position: The acknowledged position, after which nothing was sent yet.
        window: Messages that may be sent and not acknowledged; 0 means the limit.
        window_bytes: The same in bytes of bodies.
    """

    __slots__ = (
        "acknowledged",
        "again",
        "asked",
        "highest",
        "lost",
        "position",
        "state",
        "unacknowledged",
        "unacknowledged_bytes",
        "window",
        "window_bytes",
    )

    def __init__(self, position: int, window: int, window_bytes: int) -> None:
        self.state = LogState.READING
        self.position = position
        """The last entry that was sent."""
        self.acknowledged = position
        self.highest = position
        """The greatest position that was announced."""
        self.lost = 0
        self.asked = True
        """The client awaits the top: it has returned, or has asked."""
        self.again = False
        """A question came while a page was on its way: that page is void."""
        self.window = window
        self.window_bytes = window_bytes
        self.unacknowledged: deque[tuple[int, int]] | None = None
        """Position and size of each entry sent and not acknowledged; made when it is needed."""
        self.unacknowledged_bytes = 0

    def has_room(self, size: int) -> bool:
        """Whether one more entry of so many bytes may be sent; one always may where nothing is unacknowledged."""
        waiting = self.unacknowledged
        return not waiting or (
            len(waiting) < self.window and self.unacknowledged_bytes + size <= self.window_bytes
        )

    def room(self) -> tuple[int, int]:
        """Messages and bytes that may be sent now, each at least 0."""
        count = len(self.unacknowledged) if self.unacknowledged else 0
        return max(0, self.window - count), max(0, self.window_bytes - self.unacknowledged_bytes)

    def sent(self, entry: Entry) -> None:
        """Count an entry that is on its way to the client."""
        if self.unacknowledged is None:
            self.unacknowledged = deque()
        self.unacknowledged.append((entry.id, len(entry.body)))
        self.unacknowledged_bytes += len(entry.body)
        self.position = entry.id

    def acknowledge(self, upto: int) -> None:
        """Count the entries up to a position as handed over."""
        waiting = self.unacknowledged
        while waiting and waiting[0][0] <= upto:
            self.unacknowledged_bytes -= waiting.popleft()[1]
        self.acknowledged = upto
        self.position = max(self.position, upto)

    def rewind(self, position: int) -> None:
        """Stand at another position, as the client says that it does; what lies behind it is sent again."""
        waiting = self.unacknowledged
        while waiting and waiting[-1][0] > position:
            self.unacknowledged_bytes -= waiting.pop()[1]
        self.position = position


class Member:
    """Where a connection stands in one channel.

    Args:
        connection: The connection.
        feed: The channel's feed on this node.
        position: The last entry that the client has.
        version: The version of the member list that it has.
    """

    __slots__ = (
        "again",
        "asked",
        "connection",
        "counted",
        "counted_at",
        "feed",
        "lost",
        "position",
        "returned",
        "state",
        "version",
    )

    def __init__(self, connection: Connection, feed: Feed, position: int, version: int) -> None:
        self.connection = connection
        self.feed = feed
        self.state = LogState.READING
        self.position = position
        """Means nothing while LIVE: then it is the feed's."""
        self.version = version
        self.counted = -1
        """The number of members that the client was told last."""
        self.counted_at = _LONG_AGO
        """When that was, in monotonic seconds."""
        self.lost = 0
        self.returned: float | None = None
        """When its client returned, as long as the log has not been read to its top since."""
        self.asked = False
        """The client awaits the top: it has returned, or has asked."""
        self.again = False
        """A question came while a page was on its way: that page is void."""


class Together:
    """Channels of a hello that are read at once, since the client wants the newest messages of all together."""

    __slots__ = ("feeds", "members")

    def __init__(self) -> None:
        self.members: list[Member] = []
        self.feeds: list[Feed] = []
        """The channels' feeds, from when the engine is asked."""


class Adoption:
    """A question about a channel of which this transport does not know that the session is in it.

    The client may have joined between its hello and the welcome, on the transport before.

    Args:
        channel: The channel.
        position: The position that was asked about.
    """

    __slots__ = ("channel", "feed", "position")

    def __init__(self, channel: str, position: int) -> None:
        self.channel = channel
        self.position = position
        self.feed: Feed | None = None
        """The channel's feed on this node, from when the engine is asked."""


Log: TypeAlias = InboxLog | Member | Adoption | Together


def feeds_read(log: Log | None) -> list[Feed]:
    """The feeds of the channels that a log is read from: they hold what is announced meanwhile."""
    if log is None or isinstance(log, InboxLog):
        return []
    if isinstance(log, Together):
        return log.feeds
    return [] if log.feed is None else [log.feed]
