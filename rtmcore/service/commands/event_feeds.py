"""The events of an app that its own servers take: who came online or went, joined or left."""

from typing import NamedTuple

import attrs


@attrs.frozen
class Record:
    """Whether the events of an app are recorded in its feeds. They are not at first. Not answered."""

    app: str
    on: bool
    """False forgets those that are recorded."""


@attrs.frozen
class TakeEvents:
    """Take the oldest events out of a feed. No session needed. Answered by `Events`.

    A command with the key of an earlier one takes nothing, and gets that one's events.
    """

    number: int
    app: str
    key: str = attrs.field(repr=False)
    """As for `Kick`."""
    channels: bool
    """The feed of channels; otherwise that of users."""


class FeedEvent(NamedTuple):
    """A user has come online or gone offline, or has joined or left a channel."""

    user: str
    began: bool
    """Whether he has come online, or joined."""
    at: int
    """Microseconds since 1970."""
    channel: str = ""
    """Empty in the feed of users."""


@attrs.frozen
class Events:
    """The oldest events of a feed, in the order in which they happened."""

    events: tuple[FeedEvent, ...]
    lost: int
    """Events right before these that were dropped, because nobody took them in time."""
    left: int
    """Events that are in the feed yet."""
    epoch: str
    """Another one after each start of the engine, which begins with empty feeds."""
