"""What a verified token permits, and the one thing that a node asks of whoever verifies tokens."""

from collections.abc import Mapping
from typing import Any, Final, Protocol

import attrs

from rtmcore.codes import LoginError
from rtmcore.errors import AuthError, InvalidToken
from rtmcore.service.commands.names import ROOM, RTC

PEERS: Final = "p2p"
"""The entry of the scope `send` that permits peer messages."""

CHANNEL: Final = "ch:"
"""What stands before a channel pattern in the scopes `send` and `attr`."""

UP: Final = "up"
"""The entry of the scope `media`, and of tickets, that permits uploads."""

DOWN: Final = "down"
"""The same for downloads."""

SELF: Final = "self"
"""The entry of the scope `attr` that permits to set one's own attributes."""


@attrs.frozen
class Grant:
    """The permissions of one session.

    Patterns are ids in which each ``*`` stands for any characters, none included. None permits everything.

    Args:
        expires: When the token ends, in milliseconds since 1970; None for never.
        login: Whether the user may log in to RTM.
        peers: Whether peer messages may be sent.
        publish: Patterns of channels that may be published to.
        join: Patterns of channels that may be joined.
        rooms: Patterns of rooms that may be connected to.
        rtc: Patterns of RTC channels that may be joined.
        own_attributes: Whether the user may set attributes of his own.
        attributes: Patterns of channels whose attributes may be read and set.
        presence: Whether the user may ask who is online.
        transfers: Which way files may go, of `UP` and `DOWN`.
    """

    expires: int | None = None
    login: bool = True
    peers: bool = True
    publish: tuple[str, ...] | None = None
    join: tuple[str, ...] | None = None
    rooms: tuple[str, ...] | None = None
    rtc: tuple[str, ...] | None = None
    own_attributes: bool = True
    attributes: tuple[str, ...] | None = None
    presence: bool = True
    transfers: tuple[str, ...] = (UP, DOWN)

    @classmethod
    def from_scopes(cls, scopes: Mapping[str, Any], *, expires: int | None = None) -> "Grant":
        """Read the scopes of a token. What they do not name is not permitted; unknown names are ignored.

        `attr`, `presence` and `media` only restrict: without them everything of theirs is permitted, as to tokens that
        were made before there were these scopes.

        Args:
            scopes: For example ``{"login": true, "send": ["p2p", "ch:room-*"], "join": ["room-*"]}``,
                ``{"login": true, "attr": ["self", "ch:room-*"], "presence": false}``,
                ``{"login": true, "media": ["down"]}``, or
                ``{"room": ["lobby"], "rtc": ["stage-*"]}``.
            expires: When the token ends, in milliseconds since 1970.

        Returns:
            The grant.

        Raises:
            InvalidToken: A known scope has a value of the wrong type.
        """
        login = scopes.get("login", False)
        if not isinstance(login, bool):
            raise _malformed("login", "true or false")
        presence = scopes.get("presence", True)
        if not isinstance(presence, bool):
            raise _malformed("presence", "true or false")
        attr = _patterns(scopes, "attr") if "attr" in scopes else None
        media = _patterns(scopes, "media") if "media" in scopes else (UP, DOWN)
        send = _patterns(scopes, "send")
        return cls(
            expires=expires,
            login=login,
            peers=PEERS in send,
            publish=_of_channels(send),
            join=_patterns(scopes, "join"),
            rooms=_patterns(scopes, "room"),
            rtc=_patterns(scopes, "rtc"),
            own_attributes=attr is None or SELF in attr,
            attributes=None if attr is None else _of_channels(attr),
            presence=presence,
            transfers=tuple(way for way in (UP, DOWN) if way in media),
        )

    def may_log_in(self, kind: str, scope: str) -> bool:
        """Whether a session may begin.

        Args:
            kind: The name space.
            scope: The RTC channel or the room; empty for `rtm`.
        """
        if kind == ROOM:
            return _permits(self.rooms, scope)
        if kind == RTC:
            return _permits(self.rtc, scope)
        return self.login

    @property
    def empty(self) -> bool:
        """Whether no session of any kind may begin."""
        return not self.login and self.rooms == () and self.rtc == ()

    def may_publish(self, channel: str) -> bool:
        """Whether a message may be sent to the channel."""
        return _permits(self.publish, channel)

    def may_join(self, channel: str) -> bool:
        """Whether the channel may be joined."""
        return _permits(self.join, channel)

    def may_use_attributes_of(self, channel: str) -> bool:
        """Whether the attributes of the channel may be read and set."""
        return _permits(self.attributes, channel)


class TokenVerifier(Protocol):
    """Decides whether a user may log in to an app."""

    def __call__(self, app: str, user: str, token: str | None, wall_ms: int) -> Grant:
        """Verify a token.

        Args:
            app: The app id that the client names.
            user: The user id that the client claims.
            token: The token's text; None where the client has none.
            wall_ms: Milliseconds since 1970.

        Returns:
            What the token permits.

        Raises:
            AuthError: With the `LoginError` code: 4 for an unknown app, 5 for an invalid token, 6 for an expired
                one, 7 for one that permits no login at all. `AuthError.detail` may say it more exactly.
        """


def login_code(error: AuthError) -> LoginError:
    """The login error that a verifier meant; `INVALID_TOKEN` where it named none."""
    return error.code if isinstance(error.code, LoginError) else LoginError.INVALID_TOKEN


def _patterns(scopes: Mapping[str, Any], name: str) -> tuple[str, ...]:
    found = scopes.get(name, [])
    if not isinstance(found, list) or not all(isinstance(pattern, str) for pattern in found):
        raise _malformed(name, "a list of texts")
    return tuple(found)


def _of_channels(entries: tuple[str, ...]) -> tuple[str, ...]:
    """The patterns among the entries of a scope that names channels and other things."""
    return tuple(entry.removeprefix(CHANNEL) for entry in entries if entry.startswith(CHANNEL))


def _malformed(scope: str, expected: str) -> InvalidToken:
    return InvalidToken(
        f"The scope {scope!r} of the token is not {expected}.",
        code=LoginError.INVALID_TOKEN,
        operation="login",
    )


def _permits(patterns: tuple[str, ...] | None, name: str) -> bool:
    return patterns is None or any(_matches(pattern, name) for pattern in patterns)


def _matches(pattern: str, name: str) -> bool:
    head, *rest = pattern.split("*")
    if not rest:
        return name == pattern
    *middle, tail = rest
    if len(name) < len(head) + len(tail) or not name.startswith(head) or not name.endswith(tail):
        return False
    position, end = len(head), len(name) - len(tail)
    for part in middle:
        found = name.find(part, position, end)
        if found < 0:
            return False
        position = found + len(part)
    return True
