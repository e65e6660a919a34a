"""Simulate hours of many clients on a bad network, and judge what they saw.

``python -m tests.simulation --hours 25 --clients 20 --seed 7``; the same seed is always the same run. The hours are
cut into worlds, each with its own mix of faults, nodes and disk.
"""

import argparse
import os
import random
import sys
import time
import zlib
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import Any

import attrs

from tests.simulation.shrink import Shrinker
from tests.simulation.workload import HOUR, make_plan, simulate

WORLD_HOURS = 2.5


@attrs.frozen
class Outcome:
    """What came of one world."""

    seed: str
    hours: float
    seconds: float
    connections: int
    messages: int
    faults: dict[str, int]
    violations: list[tuple[float, str]]
    digest: int
    """Of everything that the applications saw: the same for the same seed."""


def run_world(seed: str, clients: int, hours: float) -> Outcome:
    """Run one world and judge it."""
    begun = time.perf_counter()
    plan = make_plan(seed, clients, hours * HOUR)
    world = simulate(plan)
    history = world.history
    digest = 0
    for life in history.lives:
        for moment, event in life.events:
            digest = zlib.crc32(f"{life.name} {moment:.6f} {event}".encode(), digest)
    return Outcome(
        seed,
        hours,
        time.perf_counter() - begun,
        world.connections,
        history.messages(),
        dict(history.faults),
        sorted(history.violations),
        digest,
    )


def explain(outcome: Outcome, clients: int, seconds: float) -> None:
    """Print what went wrong, and the shortest way there."""
    print(f"\nSeed {outcome.seed} breaks promises:")
    for when, text in outcome.violations[:10]:
        print(f"  {when:10.3f}  {text}")
    plan = make_plan(outcome.seed, clients, outcome.hours * HOUR)
    shrinker = Shrinker(plan, outcome.violations[0], seconds, lambda text: print(f"  shrinking: {text}"))
    short = shrinker.shrink()
    print(f"\nThe shortest plan that was found ({short.nodes}, journal {short.journal}, {short.settings}):")
    for step in short.steps[:200]:
        print(f"  {step}")
    world = simulate(short)
    found = sorted(world.history.violations)
    print("\nWhat the first ten of these tell:")
    for when, text in found[:10]:
        print(f"  {when:10.3f}  {text}")
    names = {life.name for life in world.history.lives if any(life.name in text for _, text in found[:10])}
    moments = [
        (moment - world.history.start, f"{life.name} saw {event}")
        for life in world.history.lives
        if life.name in names
        for moment, event in life.events
    ]
    print("\nWhat these clients saw around it:")
    near = [each for each in moments if found and abs(each[0] - found[0][0]) < 60.0]
    for when, text in sorted(near)[:80]:
        print(f"  {when:10.3f}  {text[:160]}")
    print(
        f"\nAgain: python -m tests.simulation --world {outcome.seed} --hours {outcome.hours:g} --clients {clients}"
    )


def main() -> int:
    """Run what the command line says."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__.splitlines()[0])
    parser.add_argument("--hours", type=float, default=25.0, help="simulated hours for each seed")
    parser.add_argument("--clients", type=int, default=20, help="users in each world")
    parser.add_argument("--seed", type=int, default=None, help="the first seed; by default a random one")
    parser.add_argument("--seeds", type=int, default=1, help="how many seeds, counting up from the first")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes side by side")
    parser.add_argument("--shrink", type=float, default=120.0, help="seconds to look for a shorter plan")
    parser.add_argument("--world", default=None, help="run this one world only, as a violation names it")
    arguments = parser.parse_args()
    first = arguments.seed if arguments.seed is not None else random.SystemRandom().randrange(10**6)
    worlds: list[tuple[str, float]] = []
    if arguments.world is not None:
        worlds.append((arguments.world, arguments.hours))
    else:
        for seed in range(first, first + arguments.seeds):
            print(f"seed {seed}: {arguments.hours:g} hours of {arguments.clients} clients", flush=True)
            count = max(1, round(arguments.hours / WORLD_HOURS))
            worlds += [(f"{seed}.{number}", arguments.hours / count) for number in range(count)]
    begun = time.perf_counter()
    outcomes: list[Outcome] = []
    with ProcessPoolExecutor(min(arguments.jobs, len(worlds))) as pool:
        futures: list[Any] = [
            pool.submit(run_world, seed, arguments.clients, hours) for seed, hours in worlds
        ]
        outcomes.extend(future.result() for future in as_completed(futures))
    bad = [outcome for outcome in outcomes if outcome.violations]
    if bad:
        explain(min(bad, key=lambda outcome: outcome.violations[0][0]), arguments.clients, arguments.shrink)
        print("\nWorlds with violations:", ", ".join(sorted(outcome.seed for outcome in bad)))
    totals: dict[str, int] = {}
    for outcome in outcomes:
        for name, number in outcome.faults.items():
            totals[name] = totals.get(name, 0) + number
    print("faults:", ", ".join(f"{name} {number}" for name, number in sorted(totals.items())))
    print(
        f"simulated {sum(outcome.hours for outcome in outcomes):g} hours in {time.perf_counter() - begun:.0f} s"
        f" ({sum(outcome.seconds for outcome in outcomes):.0f} s of processor time):"
        f" {sum(outcome.connections for outcome in outcomes)} connections,"
        f" {sum(outcome.messages for outcome in outcomes)} messages,"
        f" {sum(totals.values())} faults,"
        f" {sum(len(outcome.violations) for outcome in outcomes)} violations"
    )
    return 1 if bad else 0


if __name__ == "__main__":
    if os.environ.get("PYTHONHASHSEED") != "0":
        # The order of sets of texts is part of a run, and another in each process unless it is told.
        os.environ["PYTHONHASHSEED"] = "0"
        os.execv(sys.executable, [sys.executable, "-m", "tests.simulation", *sys.argv[1:]])
    sys.exit(main())
