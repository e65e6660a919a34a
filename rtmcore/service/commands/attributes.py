"""The attributes of users and of channels."""

import attrs

from rtmcore.service.commands.names import RTM, Session


@attrs.frozen
class WriteAttributes:
    """Replace all attributes of the session's user. Answered by `Settled`. They end with the session."""

    session: Session
    cmid: int
    floor: int
    attributes: tuple[tuple[str, str], ...] = attrs.field(repr=False)


@attrs.frozen
class ChangeAttributes:
    """Add, change or delete some attributes of the session's user.

    Answered by `Settled` or `Refusal` (SIZE_OVERFLOW).
    """

    session: Session
    cmid: int
    floor: int
    changed: tuple[tuple[str, str], ...] = attrs.field(repr=False)
    deleted: tuple[str, ...] = attrs.field(repr=False)


@attrs.frozen
class ReadAttributes:
    """Ask for the attributes of a user. Answered by `Attributes`, or `Refusal` (USER_NOT_FOUND: not online)."""

    session: Session
    cmid: int
    floor: int
    user: str
    keys: tuple[str, ...] | None = attrs.field(default=None, repr=False)
    """Only these; None for all."""


@attrs.frozen
class Attributes:
    """The attributes of a user."""

    attributes: tuple[tuple[str, str], ...] = attrs.field(repr=False)


@attrs.frozen
class ChangeChannelAttributes:
    """Change the attributes of a channel. Answered by `Settled` when it is on the disk, or by `Refusal`.

    First the deleted ones go, then the changed ones are written. Refused with SIZE_OVERFLOW where the result would be
    too large, with FULL where the server holds no more of them, and with UNAVAILABLE where the disk failed.
    Those of a channel that nobody is in are dropped `limits.CHANNEL_ATTRIBUTES_GRACE` after it was left or written to.
    """

    session: Session
    cmid: int
    floor: int
    channel: str
    changed: tuple[tuple[str, str], ...] = attrs.field(repr=False)
    deleted: tuple[str, ...] = attrs.field(repr=False)
    replace: bool
    """Whether all others are deleted."""
    notify: bool
    """Whether an `AttributesNotice` goes to all nodes that watch the channel."""


@attrs.frozen
class ReadChannelAttributes:
    """Ask for the attributes of a channel. Answered by `ChannelAttributes`."""

    session: Session
    cmid: int
    floor: int
    channel: str
    keys: tuple[str, ...] | None = attrs.field(default=None, repr=False)


@attrs.frozen
class ChannelAttributeValue:
    """One attribute of a channel."""

    value: str = attrs.field(repr=False)
    user: str
    at: int
    """Microseconds since 1970."""


@attrs.frozen
class ChannelAttributes:
    """The attributes of a channel."""

    attributes: tuple[tuple[str, ChannelAttributeValue], ...] = attrs.field(repr=False)


@attrs.frozen
class AttributesNotice:
    """The attributes of a watched channel were changed, and its members are to be told: all of them."""

    app: str
    channel: str
    attributes: tuple[tuple[str, ChannelAttributeValue], ...] = attrs.field(repr=False)
    kind: str = RTM
