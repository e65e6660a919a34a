"""The routes: a table of what can be asked for over HTTP, with which fields, and with what statuses it is answered.

`docs/protocol/openapi.json` says the same for others, and a test holds the two together.
"""

import re
from collections.abc import Mapping
from enum import IntEnum
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import unquote

import attrs

from rtmcore.codes import (
    ChannelMemberCountError,
    QueryPeersOnlineError,
    SendChannelMessageError,
    SendPeerMessageError,
)
from rtmcore.service.connections import SERVICE_PREFIX

PEER_MESSAGES: Final = "peer_messages"
CHANNEL_MESSAGES: Final = "channel_messages"
COUNTS: Final = "counts"
HISTORY: Final = "history"
HISTORY_COUNT: Final = "history_count"
USER_EVENTS: Final = "user_events"
CHANNEL_EVENTS: Final = "channel_events"
BAN: Final = "ban"
UNBAN: Final = "unban"
KICK: Final = "kick"
EXPEL: Final = "expel"

_USUAL: Final = frozenset(
    {
        HTTPStatus.OK,
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.UNAUTHORIZED,
        HTTPStatus.NOT_FOUND,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
    }
)
_LIMITED: Final = _USUAL | {HTTPStatus.TOO_MANY_REQUESTS}
_QUESTION: Final = ("source", "destination", "channel", "start", "end")


@attrs.frozen
class Route:
    """One thing that can be asked for."""

    operation: str
    method: str
    path: str
    """Below that of the app, with names in braces."""
    codes: type[IntEnum] | None = None
    """The documented codes of its errors, where it has any."""
    fields: Mapping[str, type] = attrs.field(factory=dict)
    """Those that the JSON body may have, and their types."""
    query: tuple[str, ...] = ()
    """Names that the query may have."""
    repeated: bool = False
    """Whether a name may stand in the query more than once."""
    statuses: frozenset[int] = _USUAL
    """Those of its answers; besides, a message that breaks the rules of HTTP is answered in plain text."""

    @property
    def pattern(self) -> re.Pattern[str]:
        """What the paths look like."""
        return re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", self.path))


# The documents name no codes for the history and for event feeds: those of another question, as clients have it.
ROUTES: Final[tuple[Route, ...]] = (
    Route(
        PEER_MESSAGES,
        "POST",
        "/users/{user}/peer_messages",
        SendPeerMessageError,
        fields={
            "destination": str,
            "payload": str,
            "raw": str,
            "offline": bool,
            "history": bool,
            "ttl": float,
            "wait_for_ack": bool,
        },
        statuses=_LIMITED,
    ),
    Route(
        CHANNEL_MESSAGES,
        "POST",
        "/users/{user}/channel_messages",
        SendChannelMessageError,
        fields={"channel": str, "payload": str, "raw": str, "history": bool},
        statuses=_LIMITED,
    ),
    Route(COUNTS, "GET", "/counts", ChannelMemberCountError, query=("channels",), repeated=True),
    Route(
        HISTORY,
        "GET",
        "/history",
        QueryPeersOnlineError,
        query=(*_QUESTION, "offset", "limit", "order"),
        statuses=_LIMITED,
    ),
    Route(HISTORY_COUNT, "GET", "/history/count", QueryPeersOnlineError, query=_QUESTION, statuses=_LIMITED),
    Route(USER_EVENTS, "GET", "/user_events", QueryPeersOnlineError, statuses=_LIMITED),
    Route(CHANNEL_EVENTS, "GET", "/channel_events", QueryPeersOnlineError, statuses=_LIMITED),
    Route(BAN, "POST", "/bans/{user}", fields={"reason": str}),
    Route(UNBAN, "DELETE", "/bans/{user}"),
    Route(KICK, "POST", "/users/{user}/kick", fields={"reason": str}),
    Route(EXPEL, "POST", "/channels/{channel}/members/{user}/kick", fields={"reason": str}),
)
"""All of them; whoever asks has the header `Authorization` with a server key of the app."""

_PATTERNS: Final = tuple((route.pattern, route) for route in ROUTES)


@attrs.define(eq=False)
class Job:
    """A request under way on a connection."""

    app: str
    route: Route
    names: Mapping[str, str]
    """Those of its path, decoded."""
    query: str = attrs.field(repr=False)
    key: str = attrs.field(repr=False)
    number: int = 0
    """Of its command; 0 while the body is awaited."""

    @property
    def codes(self) -> Any:
        """The documented codes of the operation; None where it has none."""
        return self.route.codes


def app_of(path: str) -> str:
    """The app id that a path names."""
    return unquote(path.removeprefix(SERVICE_PREFIX).partition("/")[0])


def routes_of(path: str) -> list[tuple[Route, dict[str, str]]]:
    """The routes of a path with the names in it, one for each method; none where nothing is there."""
    below = path.removeprefix(SERVICE_PREFIX)
    _, slash, rest = below.partition("/")
    found = [(route, pattern.fullmatch(slash + rest)) for pattern, route in _PATTERNS]
    return [
        (route, {name: unquote(value, errors="replace") for name, value in match.groupdict().items()})
        for route, match in found
        if match is not None
    ]
