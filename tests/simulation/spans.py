"""When what was certain, as far as applications can tell: who was logged in, who was in which channel.

Applications learn of much too late: of a kick, of a silence. So a span of certainty ends well before its last sign,
and what may have been goes on well after it.
"""

from bisect import bisect_right
from collections import defaultdict
from typing import Any, Final

from rtmcore.client.events import ChannelLost, StateChanged
from tests.simulation.history import LONG, History, Life

SETTLED: Final = 15.0
"""Seconds after which all is at the server again that a return brings back."""
UNHEARD: Final = 40.0
"""Seconds for which a client may believe in a session that is over: a slow line holds up what would tell it."""
LINGERS: Final = 100.0
"""Seconds for which a session may outlive its client: 30 of silence, and a server that is away meanwhile."""
RETURNS: Final = 60.0
"""Seconds for which a session that a restart brings back may last: 30 to return, and a server that is late."""

Span = tuple[float, float]


class Spans:
    """What is certain of the lives of a world.

    Args:
        history: Of the world.
    """

    def __init__(self, history: History) -> None:
        self.history = history
        self.end = history.end
        self._connected: dict[Life, list[Span]] = {}
        self._sure: dict[Life, list[Span]] = {}
        self._possible: dict[str, list[Span]] = {}
        self._members: dict[Life, dict[str, list[Span]]] = {}
        self._certain: dict[tuple[Life, str], list[Span]] = {}
        self.lives: dict[str, list[Life]] = defaultdict(list)
        """Those of RTM, by user."""
        for life in history.lives:
            if life.kind == "rtm":
                self.lives[life.user].append(life)

    # --- Sessions -----------------------------------------------------------------

    def connected(self, life: Life) -> list[Span]:
        """When a client was CONNECTED, awake, and not displaced by another one of its user."""
        found = self._connected.get(life)
        if found is None:
            found = self._connected[life] = self._find_connected(life)
        return found

    def _find_connected(self, life: Life) -> list[Span]:
        over = self.end if life.ended is None else life.ended
        spans: list[Span] = []
        begun: float | None = None
        for time, event in life.events:
            if not isinstance(event, StateChanged):
                continue
            if event.state.name == "CONNECTED":
                begun = time
            elif begun is not None:
                spans.append((begun, time))
                begun = None
        if begun is not None:
            spans.append((begun, over))
        for low, high in life.sleeps:
            spans = without(spans, (low, high + UNHEARD))
        for owned in self.history.owners.get((life.kind, life.user, life.scope), ()):
            if owned.iid != life.iid:
                spans = [
                    (begin, owned.time) if begin < owned.time < end else (begin, end) for begin, end in spans
                ]
        return spans

    def sure(self, life: Life) -> list[Span]:
        """When the server had a session of a client, without any doubt."""
        known = self._sure.get(life)
        if known is not None:
            return known
        found = self._sure[life] = []
        spans = self.connected(life)
        for stop, start in zip(self.history.stops, [*self.history.starts[1:], self.end], strict=False):
            # A client may come back to a server that has forgotten it without ever being RECONNECTING.
            spans = without(spans, (stop, start))
        for begin, end in self.unheard(life):
            spans = without(spans, (begin, end))
        for begin, end in spans:
            span = (begin + SETTLED, end if end >= self.end else end - UNHEARD)
            if span[0] < span[1]:
                found.append(span)
        return found

    def unheard(self, life: Life) -> list[Span]:
        """When servers heard nothing of a client for long."""
        last = (life.heard_of, self.end)
        return [*life.unheard, last] if last[1] - last[0] > LONG else life.unheard

    def unreachable(self, user: str) -> list[Span]:
        """When the server had heard nothing for 6 s of the connection that spoke for a user."""
        return self.history.voices.unreachable(("rtm", user, ""), self.end)

    def is_sure(self, life: Life, begin: float, end: float) -> bool:
        """Whether the server had a session of a client all the time."""
        return any(low <= begin and end <= high for low, high in self.sure(life))

    def possible(self, user: str) -> list[Span]:
        """When the server may have had a session of a user."""
        known = self._possible.get(user)
        if known is not None:
            return known
        found: list[Span] = []
        self._possible[user] = found
        for life in self.lives.get(user, ()):
            begun: float | None = None
            moments = [(call.begun, "") for call in life.calls if call.name == "login" and call.made]
            moments += [
                (time, event.state.name) for time, event in life.events if type(event) is StateChanged
            ]
            for time, state in sorted(moments):
                if begun is None and state in ("", "CONNECTED", "RECONNECTING", "CONNECTING"):
                    begun = time
                elif begun is not None and state in ("DISCONNECTED", "ABORTED"):
                    found.append((begun, self._lingers(time)))
                    begun = None
            if begun is not None:
                found.append((begun, float("inf") if life.ended is None else self._lingers(life.ended)))
        return found

    def _lingers(self, time: float) -> float:
        """Until when a session may last whose client has ended.

        Who is back within 30 s of a restart was never gone (docs/explanation/guarantees.md), so that each restart
        that finds the session gives it these 30 s again.
        """
        over = time + LINGERS
        for stop, start in zip(self.history.stops, self.history.starts[1:], strict=False):
            if stop <= over and time <= start:
                over = max(over, start + RETURNS)
        return over

    # --- Channels -----------------------------------------------------------------

    def memberships(self, life: Life, channel: str) -> list[Span]:
        """When a client believed to be in a channel, from the answer to its join to the call that ends it."""
        known = self._members.get(life)
        if known is None:
            known = self._members[life] = self._find_memberships(life)
        return known.get(channel, [])

    def _find_memberships(self, life: Life) -> dict[str, list[Span]]:
        moments: list[tuple[float, int, str]] = []
        for call in life.calls:
            if call.name == "join" and call.ok and call.done is not None:
                moments.append((call.done, 1, call.arguments[0]))
            elif call.name == "leave" and call.made:
                moments.append((call.begun, 0, call.arguments[0]))
            elif call.name in ("logout", "close") and call.made:
                moments.append((call.begun, 0, ""))
        for time, event in life.events:
            if isinstance(event, ChannelLost):
                moments.append((time, 0, event.channel))
            elif isinstance(event, StateChanged) and event.state.name in ("DISCONNECTED", "ABORTED"):
                moments.append((time, 0, ""))
        begun: dict[str, float] = {}
        found: dict[str, list[Span]] = defaultdict(list)
        for time, joined, channel in sorted(moments):
            if joined:
                begun[channel] = time
                continue
            for over in [channel] if channel else list(begun):
                if over in begun:
                    found[over].append((begun.pop(over), time))
        over_at = self.end if life.ended is None else life.ended
        for channel, time in begun.items():
            found[channel].append((time, over_at))
        return found

    def members(self, channel: str) -> list[Span]:
        """When somebody was in a channel, without any doubt."""
        found: list[Span] = []
        for lives in self.lives.values():
            for life in lives:
                found += self.member(life, channel)
        return joined_up(found)

    def member(self, life: Life, channel: str) -> list[Span]:
        """When a client was in a channel, without any doubt."""
        found = self._certain.get((life, channel))
        if found is None:
            inside = self.memberships(life, channel)
            found = self._certain[life, channel] = meet(inside, self.sure(life)) if inside else []
        return found

    # --- The server's clock -------------------------------------------------------

    def wall_steps(self, begin: float, end: float) -> list[int]:
        """By how many microseconds the server's clock was wrong between two times."""
        walls = self.history.walls
        first = bisect_right(walls, (begin, 1 << 62)) - 1
        last = bisect_right(walls, (end, 1 << 62))
        return [step for _, step in walls[max(0, first) : last]]

    def wall_is_steady(self, begin: float, end: float) -> bool:
        """Whether the server's clock was not moved between two times."""
        return len(set(self.wall_steps(begin, end))) == 1

    def restarted(self, begin: float, end: float) -> bool:
        """Whether an engine started or ended between two times."""
        return any(begin <= time <= end for time in (*self.history.starts[1:], *self.history.stops))

    def late(self, begin: float, end: float) -> bool:
        """Whether the engine was late at some time between two times."""
        return any(low <= end and begin <= high for low, high in self.history.late)


def without(spans: list[Span], hole: Span) -> list[Span]:
    """Spans without what lies in a hole."""
    found = []
    for begin, end in spans:
        if hole[1] <= begin or end <= hole[0]:
            found.append((begin, end))
            continue
        if begin < hole[0]:
            found.append((begin, hole[0]))
        if hole[1] < end:
            found.append((hole[1], end))
    return found


def meet(first: list[Span], second: list[Span]) -> list[Span]:
    """What two lists of spans have in common."""
    found = []
    for low, high in first:
        for begin, end in second:
            span = (max(low, begin), min(high, end))
            if span[0] < span[1]:
                found.append(span)
    return found


def joined_up(spans: list[Span]) -> list[Span]:
    """The same spans in order, those that overlap made one."""
    found: list[Span] = []
    for begin, end in sorted(spans):
        if found and begin <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((begin, end))
    return found


def covering(spans: list[Span], begin: float, end: float) -> bool:
    """Whether one of some spans covers another one."""
    return any(low <= begin and end <= high for low, high in spans)


def answered(call: Any) -> float:
    """When a call was answered with a result; never, where it was not."""
    return call.done if call.ok and call.done is not None else float("inf")
