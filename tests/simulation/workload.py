"""Random applications on a random network: a plan made from a seed, and what carries it out.

A plan is a list of steps, each with its time. A step that makes no sense when its time comes (a publish of somebody
who is in no channel) does nothing, so any step can be left out: that is how a violation is shrunk.
"""

import random
import traceback
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any, Final

import attrs

from rtmcore.codes import MessageType
from tests.simulation import errands
from tests.simulation.checker import Judge, check
from tests.simulation.hosts import ClientHost
from tests.simulation.invitations import Callers, planned
from tests.simulation.parties import Parties, kind_of, rtm_clients
from tests.simulation.watchdog import watched
from tests.simulation.world import World

TEXT: Final = MessageType.TEXT
HOUR: Final = 3600.0
_ROOMS: Final = tuple(f"channel-{number}" for number in range(6))
_FINALE: Final = 120.0
_INSIDE: Final = ("CONNECTED", "RECONNECTING")


@attrs.frozen
class Step:
    """One thing that happens."""

    time: float
    verb: str
    actor: int
    """Who does it, or to whom it is done."""
    arguments: tuple[Any, ...] = ()
    fault: bool = False

    def __str__(self) -> str:
        given = ", ".join(
            f"{value:.3f}" if isinstance(value, float) else repr(value) for value in self.arguments
        )
        return f"{self.time:10.3f}  {self.verb}({', '.join(filter(None, (f'client {self.actor}', given)))})"


@attrs.frozen
class Plan:
    """What happens in a world."""

    seed: str
    clients: int
    seconds: float
    nodes: tuple[str, ...]
    journal: bool
    settings: dict[str, Any]
    steps: tuple[Step, ...]


# --- Making a plan ------------------------------------------------------------------------


class Planner:
    """Makes a plan from a seed. Each world has its own mix of faults, so that some have much of a few kinds.

    Args:
        seed: Of everything.
        clients: How many users.
        seconds: How long.
    """

    def __init__(self, seed: str, clients: int, seconds: float) -> None:
        self.dice = random.Random(f"plan {seed}")
        self.seed = seed
        self.clients = clients
        self.seconds = seconds
        self.steps: list[Step] = []
        dice = self.dice
        self.journal = dice.random() < 0.85
        self.weights = {name: dice.choice((0.0, 0.3, 1.0, 1.0, 3.0)) for name in _FAULTS}
        if not self.journal:
            # Without a disk nothing outlives a process, not even the ids.
            self.weights["restart"] = self.weights["bad_disk"] = 0.0
        if not any(self.weights.values()):
            self.weights = dict.fromkeys(_FAULTS, 1.0)
        self.busy = dice.choice((0.5, 1.0, 2.0))

    def plan(self) -> Plan:
        """The whole plan."""
        dice = self.dice
        time = 1.0
        for actor in range(self.clients):
            self.visit(time + dice.random() * 5.0, actor)
        while time < self.seconds:
            length = dice.uniform(60.0, 240.0)
            kind = dice.choices(("quiet", "busy", "storm"), (0.6, 0.12, 0.28))[0]
            self.chapter(time, min(time + length, self.seconds), kind)
            time += length
        for time, actor, *arguments in planned(self.seed, self.clients, self.seconds):
            self.add(time, "ring", actor, *arguments)
        restarts = [step.time for step in self.steps if step.verb == "restart"]
        planner = errands.Planner(self.seed, rtm_clients(self.clients), self.seconds)
        for time, actor, *arguments in planner.plan(restarts):
            self.add(time, "errand", actor, *arguments)
        nodes = dice.choice((("n1",), ("n1", "n2")))
        steps = sorted((step for step in self.steps if step.time < self.seconds), key=lambda step: step.time)
        settings = {"token_policy": dice.choice(("keep", "keep", "abort"))}
        return Plan(self.seed, self.clients, self.seconds, nodes, self.journal, settings, tuple(steps))

    def add(self, time: float, verb: str, actor: int, *arguments: Any, fault: bool = False) -> None:
        """Add a step."""
        self.steps.append(Step(round(time, 3), verb, actor, arguments, fault))

    def visit(self, time: float, actor: int) -> None:
        """Somebody comes, and is in some channels."""
        self.add(time, "login", actor)
        for room in self.dice.sample(_ROOMS, self.dice.choice((0, 1, 2, 3))):
            self.add(time + self.dice.uniform(0.2, 3.0), "join", actor, room)

    def chapter(self, begin: float, end: float, kind: str) -> None:
        """Some minutes of one character."""
        dice = self.dice
        if kind == "quiet":
            for _ in range(dice.choice((2, self.clients // 2, 2 * self.clients))):
                self.add(dice.uniform(begin, begin + 20.0), "logout", dice.randrange(self.clients))
            return
        active = dice.sample(range(self.clients), dice.randint(min(3, self.clients), self.clients))
        for actor in active:
            if dice.random() < 0.6:
                self.visit(begin + dice.random() * 3.0, actor)
        time = begin
        rate = self.busy * (1.5 if kind == "busy" else 1.0)
        while (time := time + dice.expovariate(rate)) < end:
            self.deed(time, dice.choice(active))
        if kind == "storm":
            time = begin
            pace = dice.choice((2.0, 5.0, 15.0))
            while (time := time + dice.expovariate(1 / pace)) < end:
                self.fault(time, active)

    def deed(self, time: float, actor: int) -> None:
        """An application does something."""
        dice = self.dice
        verb = dice.choices(tuple(_DEEDS), tuple(_DEEDS.values()))[0]
        other = dice.randrange(self.clients)
        timeout = dice.choice((0.5, 3.0, 10.0, 10.0, 10.0, 60.0))
        size = dice.choice((0, 0, 10, 200, 3000))
        room = dice.choice(_ROOMS)
        arguments: tuple[Any, ...] = ()
        if verb == "tell":
            arguments = (other, dice.random() < 0.5, timeout, size)
        elif verb == "talk":
            arguments = (other, dice.random() < 0.5, dice.randint(2, 30), timeout)
        elif verb == "say":
            arguments = (room, timeout, size)
        elif verb == "burst":
            arguments = (room, dice.choice((5, 31, 32, 33, 34, 40, 100)), timeout)
        elif verb in ("join", "leave", "members"):
            arguments = (room,)
        elif verb == "pace":
            arguments = (dice.choice((0.0, 0.0, 0.05, 0.5, 3.0, None)),)
        elif verb == "rival":
            arguments = (room, other)
        elif verb == "crash":
            arguments = (dice.random() < 0.3,)
        elif verb in ("watch", "unwatch"):
            arguments = (tuple(sorted(dice.sample(range(self.clients), min(3, self.clients)))),)
        elif verb == "token":
            arguments = (dice.choice((5.0, 20.0, 60.0, 300.0)),)
        self.add(time, verb, actor, *arguments)
        if verb in ("logout", "crash", "close") and dice.random() < 0.9:
            self.visit(time + dice.expovariate(1 / 15.0), actor)

    def fault(self, time: float, active: Sequence[int]) -> None:
        """Something breaks."""
        dice = self.dice
        verb = dice.choices(tuple(self.weights), tuple(self.weights.values()))[0]
        actor = dice.choice(active)
        seconds = dice.choice((0.5, 2.0, 3.5, 4.5, 7.0, 15.0, 29.0, 31.0, 45.0)) * dice.uniform(0.9, 1.1)
        ways = dice.choice(((True, True), (True, True), (True, False), (False, True)))
        arguments: tuple[Any, ...] = ()
        if verb == "hole":
            arguments = (seconds, *ways, dice.choice((0.0, 0.0, seconds * dice.random())))
        elif verb == "reset":
            arguments = dice.choice(((True, True), (True, True), (True, False), (False, True)))
        elif verb == "cut":
            arguments = (dice.random() < 0.5, dice.randrange(1, 2000))
        elif verb == "swallow":
            arguments = (*ways, dice.uniform(0.1, 20.0))
        elif verb in ("refuse", "late_hello"):
            arguments = (min(seconds, 20.0),)
        elif verb == "suspend":
            arguments = (dice.choice((0.05, 0.5, 3.0, 10.0, 35.0, 120.0)) * dice.random(),)
        elif verb == "weather":
            arguments = (
                dice.choice((0.0005, 0.01, 0.05, 0.3)),
                dice.choice((0.0, 0.01, 0.2, 1.0)),
                dice.choice((0, 0, 1, 7, 100)),
                dice.choice((0.0, 0.3)),
                dice.choice((float("inf"), float("inf"), 125_000.0, 8_000.0)),
            )
        elif verb == "node_sleeps":
            arguments = (dice.choice((0.1, 0.9, 2.0, 6.0, 20.0)) * dice.random(),)
        elif verb == "late_engine":
            arguments = (
                dice.choice((0.1, 0.5, 1.0)),
                dice.choice((0.02, 0.3, 2.0, 7.0)),
                dice.uniform(2.0, 30.0),
            )
        elif verb == "bad_disk":
            arguments = (
                dice.choice((0.005, 0.2, 2.0)),
                dice.choice((0.0, 0.2, 1.0)),
                dice.random() < 0.3,
                dice.uniform(1.0, 20.0),
            )
        elif verb == "restart":
            arguments = (
                dice.choice((0.05, 0.5, 3.0, 12.0, 40.0)),
                dice.choice((0.0, 0.0, -3600.0, 3600.0, -20.0)),
                dice.random() < 0.3,
            )
            for _ in range(3):
                # What is under way at that moment is what matters.
                self.add(
                    time - 0.02 * dice.random(),
                    "talk",
                    dice.choice(active),
                    dice.choice(active),
                    True,
                    4,
                    60.0,
                )
                self.add(
                    time - 0.02 * dice.random(),
                    "talk",
                    dice.choice(active),
                    dice.choice(active),
                    False,
                    4,
                    60.0,
                )
        self.add(time, verb, actor, *arguments, fault=True)


_DEEDS: Final = {
    "tell": 20.0,
    "talk": 6.0,
    "say": 25.0,
    "burst": 3.0,
    "join": 8.0,
    "leave": 5.0,
    "members": 2.0,
    "pace": 3.0,
    "rival": 2.0,
    "logout": 2.0,
    "close": 0.5,
    "crash": 1.5,
    "login": 3.0,
    "watch": 2.0,
    "unwatch": 1.0,
    "describe": 2.0,
    "look_up": 1.0,
    "token": 1.0,
    "renew": 1.0,
}

_FAULTS: Final = (
    "hole",
    "reset",
    "cut",
    "swallow",
    "refuse",
    "late_hello",
    "suspend",
    "weather",
    "node_sleeps",
    "late_engine",
    "bad_disk",
    "restart",
)


# --- Carrying it out ----------------------------------------------------------------------


class Director:
    """Carries out a plan in a world of its own.

    Args:
        plan: What is to happen.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.world = World(plan.seed, nodes=plan.nodes, journal=plan.journal, **plan.settings)
        self.actors: list[ClientHost | None] = [None] * plan.clients
        self.retired: list[ClientHost] = []
        self._bodies = count(1)
        self.parties = Parties(self)
        self._verbs: dict[str, Callable[..., None]] = {
            name: getattr(self, f"do_{name}") for name in (*_DEEDS, *_FAULTS)
        }
        self._verbs["ring"] = Callers(self).ring
        self.errands = errands.Errands(self)
        self._verbs["errand"] = self.errands.run

    def run(self) -> World:
        """Let everything happen, and a quiet end come."""
        world = self.world
        for step in self.plan.steps:
            world.at(step.time, self.carry_out, step)
        world.run(self.plan.seconds)
        self.finale()
        return world

    def carry_out(self, step: Step) -> None:
        """One step."""
        world = self.world
        if step.fault:
            world.history.fault(world.now, step.verb, str(step))
        if not step.fault and kind_of(step.actor, self.plan.clients) != "rtm":
            self.parties.carry_out(step.actor, step.verb, step.arguments)
        else:
            self._verbs[step.verb](step.actor, *step.arguments)

    def user(self, actor: int) -> str:
        """Who an actor is."""
        return f"user-{actor}"

    def peer(self, actor: int) -> str:
        """A user of RTM whom an actor stands for."""
        return self.user(actor % rtm_clients(self.plan.clients))

    def body(self, size: int = 0) -> bytes:
        """A body that no other message has."""
        return b"%d " % next(self._bodies) + b"x" * size

    def host(self, actor: int) -> ClientHost | None:
        """The client of an actor, where it can be called."""
        host = self.actors[actor]
        return host if host is not None and host.alive and host.asleep <= self.world.now else None

    def member(self, actor: int, room: str) -> ClientHost | None:
        """The client of an actor, where it is in a channel."""
        host = self.host(actor)
        return host if host is not None and room in host.core.channels else None

    def logged_in(self, actor: int) -> ClientHost | None:
        """The client of an actor, where it is logged in."""
        host = self.host(actor)
        return host if host is not None and host.core.state.name in _INSIDE else None

    # --- Applications -----------------------------------------------------------------

    def do_login(self, actor: int) -> None:
        host = self.actors[actor]
        if host is None or not host.alive or host.core.closed:
            host = self.actors[actor] = self.start(actor)
        if host.asleep > self.world.now:
            return
        if host.core.state.name == "ABORTED":
            host.call("logout")
        if host.core.state.name == "DISCONNECTED":
            host.call("login")

    def start(self, actor: int) -> ClientHost:
        """Start a client's process."""
        host = self.world.client(self.user(actor), token_provider=True)
        host.habit.token_late = 0.5 if host.dice.random() < 0.2 else 0.0
        old = self.actors[actor]
        if old is not None:
            host.weather = old.weather
        return host

    def do_logout(self, actor: int) -> None:
        host = self.host(actor)
        if host is not None and host.core.state.name != "DISCONNECTED" and not host.core.closed:
            host.call("logout")

    def do_close(self, actor: int) -> None:
        host = self.host(actor)
        if host is not None and not host.core.closed:
            host.call("close")

    def do_crash(self, actor: int, silent: bool) -> None:
        host = self.actors[actor]
        if host is not None and host.alive:
            host.crash(silent=silent)

    def do_rival(self, actor: int, room: str, other: int) -> None:
        """Another client of the same user logs in, while the first is talking."""
        old = self.logged_in(actor)
        if old is None:
            return
        new = self.actors[actor] = self.start(actor)
        new.weather = type(old.weather)(latency=new.dice.choice((0.001, 0.01, 0.1)))
        self.retired.append(old)
        world = self.world
        new.call("login")
        for number in range(12):
            world.at(world.time + 0.02 * number, self._utter, old, room, other)
            world.at(world.time + 0.5 + 0.02 * number, self._utter, new, room, other)
        world.at(world.time + 0.3, self.do_join, actor, room)
        world.at(world.time + world_pause(old), self._retire, old)

    def _utter(self, host: ClientHost, room: str, other: int) -> None:
        if not host.alive or host.core.state.name not in ("CONNECTED", "RECONNECTING"):
            return
        if room in host.core.channels:
            host.call("publish", room, TEXT, self.body())
        host.call("send_peer", self.peer(other), TEXT, self.body(), offline=True)

    def _retire(self, host: ClientHost) -> None:
        if host.alive and host.kind != "rtm":
            host.call("close")
        elif host.alive:
            if host.core.state.name != "DISCONNECTED" and not host.core.closed:
                host.call("logout")
            host.call("close")

    def do_join(self, actor: int, room: str) -> None:
        host = self.logged_in(actor)
        if host is not None and room not in host.core.channels:
            host.call("join", room)

    def do_leave(self, actor: int, room: str) -> None:
        host = self.member(actor, room)
        if host is not None:
            host.call("leave", room)

    def do_members(self, actor: int, room: str) -> None:
        host = self.member(actor, room)
        if host is not None:
            host.call("members", room)

    def do_say(self, actor: int, room: str, timeout: float, size: int) -> None:
        host = self.member(actor, room)
        if host is None:
            host = self.logged_in(actor)
            room = "" if host is None or not host.core.channels else host.core.channels[0]
        if host is not None and room:
            host.call("publish", room, TEXT, self.body(size), timeout=timeout)

    def do_burst(self, actor: int, room: str, number: int, timeout: float) -> None:
        for _ in range(number):
            self.do_say(actor, room, timeout, 0)

    def do_tell(self, actor: int, other: int, offline: bool, timeout: float, size: int) -> None:
        host = self.logged_in(actor)
        if host is not None:
            host.call("send_peer", self.peer(other), TEXT, self.body(size), offline=offline, timeout=timeout)

    def do_talk(self, actor: int, other: int, offline: bool, number: int, timeout: float) -> None:
        for _ in range(number):
            self.do_tell(actor, other, offline, timeout, 0)

    def do_pace(self, actor: int, seconds: float | None) -> None:
        host = self.host(actor)
        if host is not None:
            host.take_on(seconds)

    def do_token(self, actor: int, seconds: float) -> None:
        host = self.host(actor)
        if host is not None:
            host.habit.token_seconds = seconds
            host.life.tokens = True

    def do_renew(self, actor: int) -> None:
        host = self.host(actor)
        inside = host is not None and host.core.state is not None and host.core.state.name in _INSIDE
        if inside and host.habit.token_seconds is not None:
            host.call("renew_token", host.new_token())

    def do_watch(self, actor: int, others: tuple[int, ...]) -> None:
        self._users(actor, "subscribe", [self.user(other) for other in others])

    def do_unwatch(self, actor: int, others: tuple[int, ...]) -> None:
        self._users(actor, "unsubscribe", [self.user(other) for other in others])

    def do_describe(self, actor: int) -> None:
        self._users(actor, "set_attributes", {"mood": str(next(self._bodies))})

    def do_look_up(self, actor: int) -> None:
        self._users(actor, "get_attributes", self.user((actor + 1) % self.plan.clients))

    def _users(self, actor: int, name: str, argument: Any) -> None:
        host = self.logged_in(actor)
        if host is not None:
            host.call(f"users.{name}", argument)

    # --- Faults -----------------------------------------------------------------------

    def do_hole(self, actor: int, seconds: float, up: bool, down: bool, outlast: float) -> None:
        host = self.actors[actor]
        if host is not None:
            host.hole(seconds, up=up, down=down, outlast=outlast)

    def do_reset(self, actor: int, client: bool, server: bool) -> None:
        host = self.actors[actor]
        if host is not None:
            host.reset(client=client, server=server)

    def do_cut(self, actor: int, up: bool, size: int) -> None:
        host = self.actors[actor]
        if host is not None:
            host.cut(up=size if up else None, down=None if up else size)

    def do_swallow(self, actor: int, up: bool, down: bool, until: float) -> None:
        host = self.actors[actor]
        if host is not None:
            host.swallow(up=up, down=down)
            wires = list(host.wires.values())
            self.world.at(self.world.time + until, lambda: [wire.reset(self.world.now) for wire in wires])

    def do_refuse(self, actor: int, seconds: float) -> None:
        host = self.actors[actor]
        if host is not None:
            host.refuse(seconds)

    def do_late_hello(self, actor: int, seconds: float) -> None:
        host = self.actors[actor]
        if host is not None:
            host.late_hello = max(seconds, 0.5)
            host.reset()

    def do_suspend(self, actor: int, seconds: float) -> None:
        host = self.actors[actor]
        if host is not None:
            host.suspend(seconds)

    def do_weather(
        self, actor: int, latency: float, jitter: float, drip: int, shred: float, rate: float
    ) -> None:
        host = self.actors[actor]
        if host is not None:
            weather = host.weather
            weather.latency, weather.jitter, weather.drip, weather.shred = latency, jitter, drip, shred
            weather.down_rate = rate

    def do_node_sleeps(self, actor: int, seconds: float) -> None:
        hosts = list(self.world.side.hosts.values())
        hosts[actor % len(hosts)].asleep = self.world.now + seconds

    def do_late_engine(self, actor: int, chance: float, longest: float, seconds: float) -> None:
        habits = self.world.side.habits
        habits.engine_late, habits.engine_longest = chance, longest
        history = self.world.history
        history.late_until = max(history.late_until, self.world.now + seconds + longest)
        history.late.append((self.world.now, self.world.now + seconds + longest))
        self.world.at(self.world.time + seconds, self._engine_in_time)

    def _engine_in_time(self) -> None:
        self.world.side.habits.engine_late = 0.0

    def do_bad_disk(self, actor: int, commit: float, fail: float, stuck: bool, seconds: float) -> None:
        self._use_disk(commit, fail, stuck)
        self.world.at(self.world.time + seconds, self._good_disk)

    def _good_disk(self) -> None:
        self._use_disk(0.005, 0.0, False)

    def _use_disk(self, commit: float, fail: float, stuck: bool) -> None:
        side = self.world.side
        side.habits.commit, side.habits.commits_fail = commit, fail
        if side.habits.stuck and not stuck:
            # Whatever comes behind a stuck disk ends what it held up.
            side.let_go()
        side.habits.stuck = stuck

    def do_restart(self, actor: int, down: float, step: float, silent: bool) -> None:
        self.world.side.restart(down=down, step=step, silent=silent)

    # --- The end ----------------------------------------------------------------------

    def finale(self) -> None:
        """All faults end; everybody comes back, hears from the others, and leaves."""
        world = self.world
        self._good_disk()
        self._engine_in_time()
        for host in world.side.hosts.values():
            host.asleep = 0.0
        for host in [*self.retired, *self.actors]:
            if host is not None and host.alive:
                host.heal()
                host.weather.__init__()
                host.asleep = 0.0
                host.late_hello = 0.0
                host.habit = type(host.habit)()
                host.wake()
                host.take_on(0.0)
        world.run_for(_FINALE)
        for host in self.retired:
            self._retire(host)
        for _ in range(2):
            # A token that was given before the end may have expired: the next one has not.
            for actor in range(self.plan.clients):
                self._enter(actor)
            world.run_for(20.0)
        self._renew_tokens()
        members = [actor for actor in range(self.plan.clients) if self._kind(actor) == "rtm"]
        for actor in members:
            for room in _ROOMS[:2]:
                self.do_join(actor, room)
        world.run_for(5.0)
        for actor in range(self.plan.clients):
            if actor not in members:
                self.parties.carry_out(actor, "say", ())
                continue
            for room in _ROOMS:
                if self.member(actor, room) is not None:
                    self.do_say(actor, room, 10.0, 0)
            self.do_tell(actor, (actor + 1) % len(members), False, 10.0, 0)
        world.run_for(20.0)
        self._judge_rest()

    def _renew_tokens(self) -> None:
        """Nobody's token expires while it is judged who is there."""
        for actor in range(self.plan.clients):
            host = self.host(actor)
            if host is not None and host.life.tokens:
                host.habit.token_seconds = HOUR
                self.do_renew(actor)

    def _kind(self, actor: int) -> str:
        return kind_of(actor, self.plan.clients)

    def _enter(self, actor: int) -> None:
        if self._kind(actor) == "rtm":
            self.do_login(actor)
        else:
            self.parties.enter(actor)

    def _judge_rest(self) -> None:
        world, history = self.world, self.world.history
        hosts = [host for host in self.actors if host is not None and host.kind == "rtm"]
        there_at_all = {host.user for host in hosts if not self.expired(host)}
        for host in list(hosts):
            if self.expired(host):
                hosts.remove(host)
            elif host.core.state.name != "CONNECTED":
                history.violation(world.now, f"{host.name} is {host.core.state.name} at the end")
            if host.life.open:
                history.violation(
                    world.now, f"{host.name} waits for {list(host.life.open.values())} at the end"
                )
            for user, state in host.core.users.peer_states.items():
                there = user in there_at_all
                if state.name != ("ONLINE" if there else "OFFLINE"):
                    history.violation(
                        world.now, f"{host.name} believes that {user} is {state.name} at the end"
                    )
        parties = [host for host in self.actors if host is not None and host.kind != "rtm"]
        self.parties.judge_rest([host for host in parties if not self.expired(host)])
        self._judge_members([host for host in hosts if host.core.state.name == "CONNECTED"])
        self._ask_for_everything([host for host in hosts if host.core.state.name == "CONNECTED"])

    @staticmethod
    def expired(host: ClientHost) -> bool:
        """Whether a client is out because a token of before the end has expired since."""
        state = host.core.state
        inside = state is not None and state.name == "CONNECTED"
        return not inside and host.life.tokens

    def _judge_members(self, hosts: list[ClientHost]) -> None:
        world = self.world
        calls = [(host, room, host.call("members", room)) for host in hosts for room in host.core.channels]
        world.run_for(5.0)
        members: dict[str, set[str]] = {}
        for host, room, _ in calls:
            members.setdefault(room, set()).add(host.user)
        for host, room, call in calls:
            if not call.ok or set(call.value) != members[room]:
                world.history.violation(world.now, f"{host.name} is told {call} of the members of {room}")
            host.life.rooms[room] = members[room]

    def _ask_for_everything(self, hosts: list[ClientHost]) -> None:
        """What is answered now has to be the truth; the checker finds out."""
        self.errands.finish(hosts)
        self.world.run_for(5.0)


def world_pause(host: ClientHost) -> float:
    """How long a kicked client stays as it is."""
    return host.dice.uniform(2.0, 40.0)


def simulate(plan: Plan) -> World:
    """Carry a plan out and judge it; what went wrong is in the history of the world.

    An exception of the product is a violation, and so is a turn that does not end.
    """
    director = Director(plan)
    world = director.world
    try:
        with watched(world):
            director.run()
    except Exception as error:  # noqa: BLE001 - whatever the product raises, it should not
        where = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{where.filename.rpartition('/')[2]} line {where.lineno}"
        world.history.violation(world.now, f"{type(error).__name__} in {place}: {error}")
        Judge(world.history).judge_ids()
    else:
        check(world)
    return world


def make_plan(seed: object, clients: int, seconds: float) -> Plan:
    """The plan of a seed."""
    return Planner(str(seed), clients, seconds).plan()
