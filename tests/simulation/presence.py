"""What has to be true of what clients are told of who is there: online states, and numbers of members."""

from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Final

from rtmcore.client.events import PresenceChanged, StateChanged
from tests.simulation.history import Call, History, Life
from tests.simulation.spans import UNHEARD, Span, Spans, covering, joined_up, meet, without

_CONVERGED: Final = 75.0
"""Seconds of quiet after which everybody knows: 30 of silence, and a line that is slow or was suspended before."""
_SHORT: Final = 12.0
"""Seconds of an outage as a client sees it that are less than 30 s of silence to the server, for certain."""
_COUNTS: Final = 1.0
"""Seconds between two member counts, in channels that are not large."""
_SLACK: Final = 0.001


class PresenceJudge:
    """Judges what subscribers are told.

    Args:
        history: Of one world.
        spans: What is certain of its lives.
    """

    def __init__(self, history: History, spans: Spans) -> None:
        self.history = history
        self.spans = spans
        self.lives = [life for life in history.lives if life.kind == "rtm"]
        self._steady: dict[str, list[Span]] = {}

    def judge(self) -> None:
        """Find everything that is wrong."""
        for life in self.lives:
            self._judge_told(life)
            told = self._told(life)
            for user, changes in told.items():
                self._judge_departures(life, user, changes)
            for user, subscribed in self._subscribed(life):
                self._judge_known(life, user, subscribed, told.get(user, []))
            for call in life.calls:
                if call.ok and call.name == "users.query":
                    self._judge_query(life, call)
                elif call.ok and call.name == "users.subscribed":
                    self._judge_list(life, call)

    @staticmethod
    def _told(life: Life) -> dict[str, list[tuple[float, str]]]:
        """What a client was told of each user, and when."""
        found: dict[str, list[tuple[float, str]]] = defaultdict(list)
        for time, event in life.events:
            if isinstance(event, PresenceChanged):
                for user, state in event.states.items():
                    found[user].append((time, state.name))
        return found

    # --- Nobody is told unasked ----------------------------------------------------------

    def _judge_told(self, life: Life) -> None:
        """A change is a change, and of somebody who was asked for."""
        known: dict[str, str] = {}
        asked: dict[str, float] = {}
        moments: list[tuple[float, int, Any]] = [
            (time, 2, event)
            for time, event in life.events
            if isinstance(event, PresenceChanged | StateChanged)
        ]
        for call in life.calls:
            if call.name in ("users.subscribe", "users.unsubscribe") and call.made:
                moments.append((call.begun, 0, call))
                if call.ok and call.name == "users.unsubscribe":
                    moments.append((call.done or 0.0, 3, call))
        for time, order, event in sorted(moments, key=lambda moment: moment[:2]):
            if order == 0:
                for user in event.arguments[0]:
                    known.pop(user, None)
                    if event.name == "users.subscribe":
                        asked[user] = time
            elif order == 3:
                for user in event.arguments[0]:
                    if asked.get(user, time) < event.begun:
                        del asked[user]
            elif isinstance(event, StateChanged):
                if event.state.name == "DISCONNECTED":
                    known.clear()
                    asked.clear()
            else:
                self._judge_states(life, event, time, known, asked)

    def _judge_states(
        self, life: Life, event: PresenceChanged, time: float, known: dict[str, str], asked: dict[str, float]
    ) -> None:
        for user, state in event.states.items():
            if user not in asked:
                self.history.violation(time, f"{life.name} is told of {user}, to whom he has not subscribed")
            if known.get(user) == state.name:
                self.history.violation(time, f"{life.name} is told again that {user} is {state.name}")
            known[user] = state.name

    # --- Nobody is gone who is back soon ------------------------------------------------

    def steady(self, user: str) -> list[Span]:
        """When a user was there but for short outages."""
        found = self._steady.get(user)
        if found is None:
            found = []
            for life in self.spans.lives.get(user, ()):
                joined: list[Span] = []
                for begin, end in self.spans.connected(life):
                    if (
                        joined
                        and begin - joined[-1][1] < _SHORT
                        and not self._logged_in(life, joined[-1][1], begin)
                    ):
                        joined[-1] = (joined[-1][0], end)
                    else:
                        joined.append((begin, end))
                for silence in self.spans.unheard(life):
                    joined = without(joined, silence)
                found += joined
            self._steady[user] = found
        return found

    @staticmethod
    def _logged_in(life: Life, begin: float, end: float) -> bool:
        return any(call.name in ("login", "logout") and begin <= call.begun <= end for call in life.calls)

    def _judge_departures(self, life: Life, user: str, changes: list[tuple[float, str]]) -> None:
        """Nobody is called OFFLINE who was never away for long."""
        for time, state in changes:
            if state == "OFFLINE" and covering(self.steady(user), time - _CONVERGED, time + UNHEARD):
                self.history.violation(
                    time, f"{life.name} is told that {user} is OFFLINE, who was never away for long"
                )

    # --- What lasts is known ------------------------------------------------------------

    def _subscribed(self, life: Life) -> Iterator[tuple[str, list[Span]]]:
        """To whom a client was subscribed, and when, for certain."""
        begun: dict[str, float] = {}
        found: dict[str, list[Span]] = defaultdict(list)
        for call in life.calls:
            # They are carried out in this order.
            if call.name == "users.subscribe" and call.ok and call.done is not None:
                for user in call.arguments[0]:
                    begun.setdefault(user, call.done)
            elif call.name in ("users.unsubscribe", "logout", "close") and call.made:
                for user in call.arguments[0] if call.arguments else list(begun):
                    if user in begun:
                        found[user].append((begun.pop(user), call.begun))
        for user, time in begun.items():
            found[user].append((time, self.history.end))
        yield from found.items()

    def _judge_known(
        self, life: Life, user: str, subscribed: list[Span], changes: list[tuple[float, str]]
    ) -> None:
        """Once a state lasts, all who want to know it do."""
        mine = meet(subscribed, self.spans.sure(life))
        if not mine:
            return
        there = joined_up(
            [span for other in self.spans.lives.get(user, ()) for span in self.spans.sure(other)]
        )
        for silence in self.spans.unreachable(user):
            # ONLINE is who was heard of in the last 6 s (docs/protocol/users.md), whatever he knows of it himself.
            there = without(there, silence)
        gone: list[Span] = [(self.history.start, self.history.end)]
        for span in self.spans.possible(user):
            gone = without(gone, span)
        for truth, spans in (("ONLINE", there), ("OFFLINE", gone)):
            for begin, end in meet(mine, spans):
                if end - begin > _CONVERGED:
                    self._judge_span(life, user, changes, truth, (begin + _CONVERGED, end))

    def _judge_span(
        self, life: Life, user: str, changes: list[tuple[float, str]], truth: str, span: Span
    ) -> None:
        known = ""
        for time, state in changes:
            if time > span[1]:
                break
            if span[0] <= time and state != truth:
                self.history.violation(time, f"{life.name} is told that {user} is {state}, who is {truth}")
            known = state if time < span[0] else known
        if known != truth:
            self.history.violation(
                span[0],
                f"{life.name} believes that {user} is {known or 'unknown'}, who has been {truth} for long",
            )

    # --- Questions ----------------------------------------------------------------------

    def _judge_query(self, life: Life, call: Call) -> None:
        assert call.done is not None
        begin, end = call.begun, call.done
        for status in call.value:
            if status.state.name not in ("ONLINE", "OFFLINE") or status.online is not (
                status.state.name == "ONLINE"
            ):
                self.history.violation(end, f"{life.name} is answered {status}")
            there = any(
                self.spans.is_sure(other, begin, end) for other in self.spans.lives.get(status.user, ())
            )
            if there and not status.online:
                self.history.violation(end, f"{life.name} is answered {status}, who is there")
            gone = not any(low <= end and begin <= high for low, high in self.spans.possible(status.user))
            if gone and status.online:
                self.history.violation(end, f"{life.name} is answered {status}, who is not there")

    def _judge_list(self, life: Life, call: Call) -> None:
        """The list has who was subscribed to, and nobody else."""
        if len(set(call.value)) != len(call.value):
            self.history.violation(
                call.done or 0.0, f"{life.name} is told twice of subscriptions: {call.value}"
            )
        session = max(
            (each.begun for each in life.calls if each.name == "login" and each.begun <= call.begun),
            default=0.0,
        )
        must: set[str] = set()
        may: set[str] = set()
        for each in life.calls:
            if each is call:
                break
            if each.begun < session or not each.made:
                continue
            if each.name == "users.subscribe":
                may.update(each.arguments[0])
                if each.ok and (each.done or 1e18) <= call.begun:
                    must.update(each.arguments[0])
            elif each.name == "users.unsubscribe":
                must.difference_update(each.arguments[0])
                if each.ok and (each.done or 1e18) <= call.begun:
                    may.difference_update(each.arguments[0])
        if not must <= set(call.value) <= may:
            self.history.violation(
                call.done or 0.0,
                f"{life.name} is told of subscriptions to {sorted(call.value)}: without "
                f"{sorted(must - set(call.value))}, with {sorted(set(call.value) - may)}",
            )


class CountJudge:
    """Judges numbers of members.

    Args:
        history: Of one world.
        spans: What is certain of its lives.
    """

    def __init__(self, history: History, spans: Spans) -> None:
        self.history = history
        self.spans = spans
        self.lives = [life for life in history.lives if life.kind == "rtm"]
        self._first_joins: dict[tuple[str, str], float] = {}
        for life in self.lives:
            for call in life.calls:
                if call.name == "join" and call.made:
                    key = life.user, call.arguments[0]
                    self._first_joins[key] = min(call.begun, self._first_joins.get(key, call.begun))

    def judge(self) -> None:
        """Find everything that is wrong."""
        for life in self.lives:
            self._judge_pace(life)
            last = {event.channel: event.count for _, event, _ in life.counted}
            for channel, members in life.rooms.items():
                if last.get(channel) != len(members):
                    self.history.violation(
                        self.history.end,
                        f"{life.name} believes at the end that {channel} has {last.get(channel)} members, "
                        f"not {len(members)}",
                    )
            for call in life.calls:
                if call.ok and call.name == "channel_info.count_members":
                    for channel, count in call.value.items():
                        self._judge_answer(life, call, channel, count)

    def _judge_pace(self, life: Life) -> None:
        """The server tells a number at most once in a second on a connection, but for one's own join."""
        by_channel: dict[str, list[tuple[float, Any]]] = defaultdict(list)
        for time, event, read in life.counted:
            # Without it, the client may count by itself who did not come back to a server without its memory.
            if read is not None:
                by_channel[event.channel].append((time, read))
        joins: dict[str, list[float]] = defaultdict(list)
        for call in life.calls:
            if call.name == "join" and call.ok and call.done is not None:
                joins[call.arguments[0]].append(call.done)
        for channel, told in by_channel.items():
            for (before, first), (time, second) in pairwise(told):
                if first[0] != second[0] or any(before <= joined <= time for joined in joins[channel]):
                    continue
                if second[2] - first[1] < _COUNTS - _SLACK:
                    self.history.violation(
                        time, f"{life.name} is told of {channel} twice in {second[2] - first[1]:.3f} s"
                    )

    def _judge_answer(self, life: Life, call: Call, channel: str, count: int) -> None:
        """A count lies between those who are in a channel for certain, and those who may be."""
        assert call.done is not None
        begin, end = call.begun, call.done
        least = most = 0
        for user, lives in self.spans.lives.items():
            least += any(covering(self.spans.member(each, channel), begin, end) for each in lives)
            joined = self._first_joins.get((user, channel), 1e18) <= end
            most += joined and any(low <= end and begin <= high for low, high in self.spans.possible(user))
        if not least <= count <= most:
            self.history.violation(
                end,
                f"{life.name} is answered that {channel} has {count} members: {least} to {most} are there",
            )
