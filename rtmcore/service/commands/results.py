"""What may come of any command: it was carried out, or refused."""

from enum import IntEnum

import attrs


@attrs.frozen
class Settled:
    """The command was carried out, and there is nothing to say."""


class Trouble(IntEnum):
    """Reasons of the engine that have no documented code of their own."""

    FENCED = 1
    """The session or its transport is no longer current."""
    STALE_ATTEMPT = 2
    """An attempt that is not greater than the last of its instance."""
    SUPERSEDED = 3
    """A return to a name that a newer login holds: the client is to end in ABORTED / REMOTE_LOGIN."""
    UNAUTHORIZED = 4
    """A return whose secret is not that of the session, without a verified token; or the bearer of something that was
    given to him before he was put out."""
    UNAVAILABLE = 5
    """The engine could not do it now; nothing has changed."""
    FULL = 6
    """A cap on stored messages, or on bans, is reached."""
    FORGOTTEN = 7
    """A request below the floor or beyond the results kept: never executed."""
    TIMED_OUT = 8
    """The peer did not acknowledge in time; the outcome is unknown."""
    KEY_IN_USE = 9
    """The key belongs to an earlier command that asked for something else; nothing has changed."""


@attrs.frozen
class Refusal:
    """The command was not carried out."""

    code: IntEnum
    """`Trouble`, or a member of the operation's documented enumeration."""
    text: str
    retry_after: float | None = None
