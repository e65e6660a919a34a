"""Bans, kicks and expulsions."""

from typing import Final

import attrs

from rtmcore.codes import JoinChannelError, LoginError
from rtmcore.service.commands.names import Name, Session


@attrs.frozen
class Ban:
    """Keep a name out: its session ends at once, and each claim is refused until `Unban`. No session needed.

    Answered by `Settled`, by an engine with a disk when the ban is on it; or by `Refusal` with FULL. Of a banned
    name it changes the text.
    """

    name: Name
    text: str
    """Why, for people: what a refused login says."""
    key: str = attrs.field(default="", repr=False)
    """As for `SendAs`; an empty one is no key."""


@attrs.frozen
class Unban:
    """Let a name in again. No session needed. Answered by `Settled`, as `Ban` is; also for a name without a ban."""

    name: Name
    key: str = attrs.field(default="", repr=False)
    """As for `SendAs`; an empty one is no key."""


@attrs.frozen
class Kick:
    """End the session of a name, as a ban does; its next login is welcome. No session needed. Answered by `PutOut`.

    Until that login its instance is refused like a banned one when it returns by itself, so that a client which has
    no transport at this moment learns of it too. A command with the key of an earlier one is not carried out; see
    `SendAs`.
    """

    number: int
    """Tells the commands of a node apart."""
    name: Name
    key: str = attrs.field(repr=False)
    """An empty one is no key."""
    text: str
    """Why, for people."""


@attrs.frozen
class Expel:
    """Take a member out of a channel. No session needed. Answered by `PutOut`.

    He may join again. Until his instance does, or logs in, a restored session does not bring him back.
    """

    number: int
    name: Name
    key: str = attrs.field(repr=False)
    """As for `Kick`."""
    channel: str
    text: str
    """Why, for people."""


@attrs.frozen
class CheckBearer:
    """Ask whether a name may act with what it was given at a time. No session needed.

    Answered by `Settled`, or by `Refusal`: with `BANNED` of a banned name, with UNAUTHORIZED of one that was kicked
    since.
    """

    number: int
    """Tells the commands of a node apart."""
    name: Name
    since: int
    """When it was given, in milliseconds since 1970."""


@attrs.frozen
class PutOut:
    """What became of an order to put somebody out."""

    there: bool
    """False where there was nobody to be put out."""


@attrs.frozen
class ExpelNotice:
    """A session of this node was taken out of a channel. The others are told by `MemberNotice`."""

    session: Session
    channel: str
    text: str


@attrs.frozen
class ShutOut:
    """A name was banned or kicked: what goes on for it without a session is over too. For all nodes."""

    name: Name
    text: str
    """Why, for people."""


BANNED: Final = LoginError.REJECTED
EXPELLED: Final = JoinChannelError.REJECTED
"""The code of a channel that a returning client was taken out of."""
