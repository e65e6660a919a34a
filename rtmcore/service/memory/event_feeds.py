"""Event feeds: who came online and went offline, and who joined and left channels, to be taken once by each app."""

from collections import deque
from typing import Final

from rtmcore.limits import (
    EVENT_FEED_PER_CALL,
    EVENT_FEED_REPEATED,
    EVENT_FEED_STORED,
    IDEMPOTENCY_SECONDS,
)
from rtmcore.service.commands.event_feeds import Events, FeedEvent, Record, TakeEvents
from rtmcore.service.commands.names import RTM, Name
from rtmcore.service.memory.state import Channel, Outlet

_USERS: Final = 0
_CHANNELS: Final = 1


class _Feed:
    """The events of one kind that nobody has taken, and those that were taken lately."""

    __slots__ = ("_answers", "_cost", "_events", "_lost")

    def __init__(self) -> None:
        self._events: deque[FeedEvent] = deque(maxlen=EVENT_FEED_STORED)
        self._lost = 0
        """Events that were dropped since some were taken last."""
        self._answers: dict[str, tuple[float, Events]] = {}
        """What was taken under which key, and until when it is kept, the oldest first."""
        self._cost = 0

    def add(self, event: FeedEvent) -> None:
        """Record an event; where the feed is full, the oldest makes room."""
        events = self._events
        if len(events) == EVENT_FEED_STORED:
            self._lost += 1
        events.append(event)

    def take(self, key: str, epoch: str, now: float) -> Events:
        """Take the oldest events, or those that were taken under this key."""
        self._forget(now)
        known = self._answers.get(key)
        if known is not None:
            return known[1]
        events = self._events
        count = min(len(events), EVENT_FEED_PER_CALL)
        taken = tuple(events.popleft() for _ in range(count))
        answer = Events(taken, self._lost, len(events), epoch)
        self._lost = 0
        if key:
            self._answers[key] = (now + IDEMPOTENCY_SECONDS, answer)
            self._cost += 1 + count
            self._forget(now)
        return answer

    def _forget(self, now: float) -> None:
        answers = self._answers
        while answers:
            key = next(iter(answers))
            until, answer = answers[key]
            if until > now and self._cost <= EVENT_FEED_REPEATED:
                return
            self._cost -= 1 + len(answer.events)
            del answers[key]


class EventFeeds:
    """Carries out the commands about event feeds. What happens in apps that are not recorded costs a look-up.

    Feeds are in memory only, and bounded whether anybody takes the events or not.

    Args:
        epoch: That of the engine.
    """

    def __init__(self, epoch: str) -> None:
        self._epoch = epoch
        self._apps: dict[str, tuple[_Feed, _Feed]] = {}

    def record(self, outlet: Outlet, command: Record, now: float, wall: int) -> None:
        """Carry out `Record`."""
        if not command.on:
            self._apps.pop(command.app, None)
        elif command.app not in self._apps:
            self._apps[command.app] = (_Feed(), _Feed())

    def take(self, outlet: Outlet, command: TakeEvents, now: float, wall: int) -> None:
        """Carry out `TakeEvents`."""
        feeds = self._apps.get(command.app)
        if feeds is None:
            outlet.answer(command, Events((), 0, 0, self._epoch))
            return
        feed = feeds[_CHANNELS if command.channels else _USERS]
        outlet.answer(command, feed.take(command.key, self._epoch, now))

    def user(self, name: Name, wall: int, *, online: bool) -> None:
        """A name has come online or gone offline."""
        feeds = self._apps.get(name.app)
        if feeds is not None and name.kind == RTM:
            feeds[_USERS].add(FeedEvent(name.name, online, wall))

    def member(self, channel: Channel, user: str, wall: int, *, joined: bool) -> None:
        """A user has joined or left a channel."""
        feeds = self._apps.get(channel.app)
        if feeds is not None and channel.kind == RTM:
            feeds[_CHANNELS].add(FeedEvent(user, joined, wall, channel.name))
