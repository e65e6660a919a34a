"""Feed random input to every decoder: `python -m tests.fuzz --minutes M [--seed S]`.

Every case can be made again from seed, target and number alone:
`python -m tests.fuzz --seed S --only NAME --case N`.
"""

import argparse
import secrets
import sys
import time
import traceback
from pathlib import Path

from tests.fuzz.harness import Target, case_random, run_case
from tests.fuzz.targets import targets

TURN_SECONDS = 0.5
"""How long one target is fed before it is another one's turn."""

WEIGHTS = {"client": 4, "node": 4}
"""Turns of those in which there is the most to go wrong."""

SHOWN = 4000
"""Characters of a failure that are printed; the file has all."""


def attempt(target: Target, seed: int, number: int) -> str | None:
    """Make a case and run it.

    Returns:
        What went wrong, with the case; None where nothing did.
    """
    case = target.make(case_random(seed, target.name, number))
    try:
        run_case(target, case)
    except Exception:  # noqa: BLE001 - that nothing escapes is what is tested
        return f"{traceback.format_exc()}\nseed {seed}, target {target.name}, case {number}\n{case.text()}\n"
    return None


def report(failure: str, target: Target, seed: int, number: int) -> None:
    """Write a failure to a file, and say how to see it again."""
    path = Path(f"fuzz-failure-{target.name}-{seed}-{number}.txt")
    path.write_text(failure, encoding="utf-8", errors="backslashreplace")
    print(failure if len(failure) < SHOWN else f"{failure[:SHOWN]} ...")
    print(f"The whole case is in {path}. Again:")
    print(f"  python -m tests.fuzz --seed {seed} --only {target.name} --case {number}")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--minutes", type=float, default=1.0, metavar="M", help="how long, in all (default 1)"
    )
    parser.add_argument("--seed", type=int, metavar="S", help="repeat an earlier run; a new one by default")
    parser.add_argument("--only", metavar="NAME", help="feed this target alone")
    parser.add_argument("--case", type=int, metavar="N", help="with --only: run this case alone")
    options = parser.parse_args()
    seed = secrets.randbits(32) if options.seed is None else options.seed
    chosen = [target for target in targets() if options.only in (None, target.name)]
    if not chosen:
        parser.error(f"there is no target {options.only}; there are {', '.join(t.name for t in targets())}")
    if options.case is not None:
        if options.only is None:
            parser.error("--case needs --only")
        failure = attempt(chosen[0], seed, options.case)
        if failure is None:
            print(f"seed {seed}, target {options.only}, case {options.case}: nothing went wrong")
            return 0
        report(failure, chosen[0], seed, options.case)
        return 1
    return run(chosen, seed, options.minutes * 60)


def run(chosen: list[Target], seed: int, seconds: float) -> int:
    """Feed the targets in turn until time is up or one of them fails."""
    print(f"seed {seed}", flush=True)
    numbers = dict.fromkeys((target.name for target in chosen), 0)
    spent = dict.fromkeys(numbers, 0.0)
    end = time.monotonic() + seconds
    status = 0
    while status == 0 and time.monotonic() < end:
        for target in chosen:
            started = time.monotonic()
            turn = TURN_SECONDS * WEIGHTS.get(target.name, 1)
            while status == 0 and time.monotonic() < min(end, started + turn):
                number = numbers[target.name]
                failure = attempt(target, seed, number)
                numbers[target.name] += 1
                if failure is not None:
                    report(failure, target, seed, number)
                    status = 1
            spent[target.name] += time.monotonic() - started
    for name, count in numbers.items():
        print(f"{name:<24} {count:>10,} cases {count / max(spent[name], 1e-9):>10,.0f} a second")
    print(f"seed {seed}: {sum(numbers.values()):,} cases, {'a failure' if status else 'nothing went wrong'}")
    return status


if __name__ == "__main__":
    sys.exit(main())
