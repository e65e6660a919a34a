"""Logging in and out, falling silent and being heard again, and how sessions end."""

from enum import IntEnum

import attrs

from rtmcore.service.commands.names import Name, Place, Session


@attrs.frozen
class Claim:
    """Log a name in, or bring an instance back to its session. Answered by `Claimed` or `Refusal`."""

    name: Name
    place: Place
    iid: str
    attempt: int
    login: bool
    fence: int | None
    """The last fence of the instance, for a return."""
    secret: str | None = attrs.field(repr=False)
    """The secret that a return offers."""
    fresh_secret: str = attrs.field(repr=False)
    """The secret of the session if a new one begins (drawn by the driver)."""
    keepalive: float
    """Seconds of silence after which the session ends."""
    inbox: int | None
    """Up to where the instance has handed over its inbox."""
    floor: int
    authorized: bool
    """True where the token was verified; a return with a good secret needs no token."""


@attrs.frozen
class Silent:
    """A session has been heard for the last time at `since`; its transport may be gone or mute.

    The engine makes it UNREACHABLE 6 s and ends it `keepalive` seconds after `since`.
    """

    session: Session
    since: float
    gone: bool = False
    """True where the transport is gone: nothing can be written to it any more.

    The engine then sends no `InboxNotice` for it, and counts no later entry as written. May be told after a first
    `Silent` of a mute transport.
    """


@attrs.frozen
class Heard:
    """A session that was reported silent speaks again on the same transport.

    The entries that its inbox took while it was UNREACHABLE follow as `InboxNotice`.
    """

    session: Session


@attrs.frozen
class Release:
    """Logout: the session ends at once. Answered by `Settled`."""

    session: Session


@attrs.frozen
class Claimed:
    """The name is the claimer's."""

    fence: int
    secret: str = attrs.field(repr=False)
    resumed: bool
    """The session lived on. Under a new epoch it did so without its channels, subscriptions and attributes."""
    epoch: str
    inbox: int
    """The acknowledged position of the inbox."""


class Ending(IntEnum):
    """Why a transport is no longer the one that speaks for its name."""

    REPLACED = 1
    """A newer transport of the same instance took over: close it, tell nobody."""
    REMOTE_LOGIN = 2
    """Another instance logged in."""
    BANNED = 3
    """The name was banned, or kicked."""
    EXPIRED = 4
    """The session was silent for too long, or the engine lost it."""


@attrs.frozen
class Ended:
    """A session of this node, or its transport, has ended."""

    session: Session
    reason: Ending
    text: str = ""
    """What is to be said of it, where there is more to say than the reason."""
