"""What random applications ask besides messages: presence, attributes, counts, and what is kept at the server.

Errands come in scenes: a few clients who want something of the same user or channel within seconds, so that they get
in each other's way.
"""

import random
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from rtmcore.codes import MessageType

if TYPE_CHECKING:
    from tests.simulation.hosts import ClientHost
    from tests.simulation.workload import Director

BOARDS: Final = ("board-0", "board-1", "board-2")
"""Channels that have attributes, and that nobody ever joins."""
PLACES: Final = (*BOARDS, "channel-0", "channel-2", "channel-4")
"""Channels that have attributes."""
KEYS: Final = ("topic", "mood", "place")
PAGE: Final = 100
_EVERY: Final = 45.0
"""Seconds from scene to scene, on average."""
_LIVES: Final = (None, None, 1.0, 20.0, 90.0)
"""Seconds for which a message is kept."""

Plan = tuple[float, int, str, tuple[Any, ...]]


class Planner:
    """Plans errands from a seed, so that those of a seed are the same whatever else its plan has.

    Args:
        seed: Of the plan.
        clients: How many clients there are that can be sent on errands.
        seconds: How long.
    """

    def __init__(self, seed: str, clients: int, seconds: float) -> None:
        self.dice = random.Random(f"errands {seed}")
        self.clients = clients
        self.seconds = seconds
        self.found: list[Plan] = []

    def plan(self, disturbances: Iterable[float]) -> list[Plan]:
        """When who is sent on which errand.

        Args:
            disturbances: Times at which something is to be under way.
        """
        dice = self.dice
        time = 1.0
        while (time := time + dice.expovariate(1 / _EVERY)) < self.seconds:
            self._scene(time)
        for when in disturbances:
            self._scene(max(1.0, when - 0.1 * dice.random()), dice.choice(("own", "place", "place")))
        return self.found

    def _scene(self, time: float, kind: str = "") -> None:
        dice = self.dice
        kind = kind or dice.choices(("own", "place", "look", "kept"), (3, 4, 3, 2))[0]
        actors = [dice.randrange(self.clients) for _ in range(dice.randint(2, 4))]
        getattr(self, f"_scene_{kind}")(time, actors, dice.choice((0.01, 0.3, 2.0, 10.0)))

    def _add(self, time: float, actor: int, what: str, *arguments: Any) -> None:
        self.found.append((time, actor, what, arguments))

    def _some_keys(self) -> tuple[str, ...]:
        return tuple(sorted(self.dice.sample(KEYS, self.dice.randint(1, len(KEYS)))))

    def _change(self) -> tuple[str, tuple[str, ...]]:
        how = self.dice.choices(("set", "update", "delete", "clear"), (3, 4, 2, 1))[0]
        return how, self._some_keys()

    def _scene_own(self, time: float, actors: list[int], pace: float) -> None:
        """Somebody writes about himself, and others read it."""
        dice = self.dice
        who, *others = actors
        for _ in range(dice.randint(2, 5)):
            time += dice.expovariate(1 / pace)
            self._add(time, who, "describe", *self._change())
            for other in others:
                keys = self._some_keys() if dice.random() < 0.3 else None
                self._add(time + pace * dice.random(), other, "look_up", who, keys)

    def _scene_place(self, time: float, actors: list[int], pace: float) -> None:
        """Some write on the same board, and read it."""
        dice = self.dice
        place = dice.choice(PLACES)
        for _ in range(dice.randint(3, 9)):
            time += dice.expovariate(1 / pace)
            if dice.random() < 0.6:
                self._add(time, dice.choice(actors), "write", place, *self._change(), dice.random() < 0.5)
            else:
                keys = self._some_keys() if dice.random() < 0.3 else None
                self._add(time, dice.choice(actors), "read", place, keys)
        self._add(time + dice.choice((1.0, 90.0, 130.0)), actors[0], "read", place, None)

    def _scene_look(self, time: float, actors: list[int], pace: float) -> None:
        """Some want to know who is there."""
        dice = self.dice
        for actor in actors:
            others = tuple(sorted(dice.sample(range(self.clients), min(self.clients, dice.randint(1, 6)))))
            what = dice.choice(("watch", "watch", "unwatch", "query", "watched", "count"))
            self._add(time, actor, what, others)
            time += dice.expovariate(1 / pace)
            self._add(time, actor, dice.choice(("query", "watched", "count")), others)

    def _scene_kept(self, time: float, actors: list[int], pace: float) -> None:
        """Some write to somebody who may be away, and he looks at what is kept for him when he is back."""
        dice = self.dice
        who, *others = actors
        if dice.random() < 0.6:
            self._add(time, who, "go")
        for _ in range(dice.randint(2, 7)):
            time += dice.expovariate(1 / pace)
            other = dice.choice(others)
            self._add(time, other, "tell", who, dice.choice(_LIVES), dice.random() < 0.5)
            if dice.random() < 0.4:
                self._add(time, other, "say", dice.random() < 0.8)
        time += dice.choice((0.1, 2.0, 25.0, 70.0))
        self._add(time, who, "come", dice.choice((0.0, 0.0, 5.0)))
        time += dice.choice((0.03, 0.2, 2.0))
        self._add(time, who, "stored")
        if dice.random() < 0.3:
            self._add(time + dice.random(), who, "flush")
        for actor in (who, *others):
            time += dice.expovariate(1 / pace)
            kind = dice.choice(("sent", "got", "channel"))
            self._add(time, actor, "history", kind, dice.random() < 0.5, dice.choice((0, 0, 1, 3)))


class Errands:
    """Sends clients on errands.

    Args:
        director: Has the clients.
    """

    def __init__(self, director: "Director") -> None:
        self._director = director

    def run(self, actor: int, what: str, arguments: tuple[Any, ...]) -> None:
        """One errand; nothing where its client is not logged in."""
        if what == "come":
            self._come(actor, *arguments)
            return
        host = self._director.logged_in(actor)
        if host is not None and host.kind == "rtm":
            getattr(self, f"_{what}")(host, *arguments)

    def finish(self, hosts: list["ClientHost"]) -> None:
        """Let somebody ask for everything, when all is quiet."""
        first = hosts[0]
        for place in PLACES:
            first.call("channel_info.get_attributes", place)
        first.call("channel_info.count_members", sorted({*PLACES, *first.core.channels}))
        for host in hosts:
            first.call("users.get_attributes", host.user)
            host.call("users.subscribed")
            host.call("history.stored")
            self._history(host, "sent", False, 0)
            self._history(host, "got", True, 0)
        first.call("users.query", [host.user for host in hosts])

    def _values(self, keys: tuple[str, ...]) -> dict[str, str]:
        return {key: self._director.body().decode().strip() for key in keys}

    # --- Attributes -------------------------------------------------------------------

    def _describe(self, host: "ClientHost", how: str, keys: tuple[str, ...]) -> None:
        host.call(f"users.{how}_attributes", *self._changed(how, keys))

    def _changed(self, how: str, keys: tuple[str, ...]) -> tuple[Any, ...]:
        if how == "clear":
            return ()
        return (keys,) if how == "delete" else (self._values(keys),)

    def _look_up(self, host: "ClientHost", other: int, keys: tuple[str, ...] | None) -> None:
        host.call("users.get_attributes", self._director.user(other), keys)

    def _write(self, host: "ClientHost", place: str, how: str, keys: tuple[str, ...], notify: bool) -> None:
        host.call(f"channel_info.{how}_attributes", place, *self._changed(how, keys), notify=notify)

    def _read(self, host: "ClientHost", place: str, keys: tuple[str, ...] | None) -> None:
        host.call("channel_info.get_attributes", place, keys)

    # --- Who is there -----------------------------------------------------------------

    def _names(self, others: tuple[int, ...]) -> list[str]:
        return [self._director.user(other) for other in others]

    def _watch(self, host: "ClientHost", others: tuple[int, ...]) -> None:
        host.call("users.subscribe", self._names(others))

    def _unwatch(self, host: "ClientHost", others: tuple[int, ...]) -> None:
        host.call("users.unsubscribe", self._names(others))

    def _query(self, host: "ClientHost", others: tuple[int, ...]) -> None:
        host.call("users.query", self._names(others))

    def _watched(self, host: "ClientHost", others: tuple[int, ...]) -> None:
        host.call("users.subscribed")

    def _count(self, host: "ClientHost", others: tuple[int, ...]) -> None:
        host.call("channel_info.count_members", PLACES)

    # --- What is kept -----------------------------------------------------------------

    def _go(self, host: "ClientHost") -> None:
        host.call("logout")

    def _come(self, actor: int, pause: float) -> None:
        director = self._director
        director.do_login(actor)
        host = director.host(actor)
        if pause and host is not None and host.kind == "rtm":
            before = host.habit.take
            host.take_on(None)
            director.world.at(director.world.time + pause, host.take_on, before)

    def _tell(self, host: "ClientHost", other: int, ttl: float | None, history: bool) -> None:
        body = self._director.body()
        to = self._director.user(other)
        host.call("send_peer", to, MessageType.TEXT, body, offline=True, ttl=ttl, history=history)

    def _say(self, host: "ClientHost", history: bool) -> None:
        if host.core.channels:
            host.call(
                "publish", host.core.channels[0], MessageType.TEXT, self._director.body(), history=history
            )

    def _stored(self, host: "ClientHost") -> None:
        host.call("history.stored")

    def _flush(self, host: "ClientHost") -> None:
        host.call("history.flush_stored")

    def _history(self, host: "ClientHost", kind: str, ascending: bool, offset: int) -> None:
        asked: dict[str, Any] = {"limit": PAGE, "ascending": ascending, "offset": offset}
        if kind == "sent":
            asked["source"] = host.user
        elif kind == "got":
            asked["destination"] = host.user
        elif host.core.channels:
            asked["channel"] = host.core.channels[0]
        else:
            return
        host.call("history.query", **asked)
