"""Compare with peers: `python -m tests.benchmarks`. Prints a table and writes bench.json.

Only ratios of one run mean anything; see `cases` for what is measured and `systems` for how.
"""

import argparse
import signal
import sys
import time
from pathlib import Path

import attrs

from tests.benchmarks.cases import CASES, QUICK, Effort
from tests.benchmarks.rows import Row, table, write
from tests.benchmarks.workers import processors

OUTPUT = Path("bench.json")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="short rounds, under two minutes in all")
    parser.add_argument("--only", choices=sorted(CASES), action="append", help="measure this alone")
    parser.add_argument("--rounds", type=int, metavar="N", help="measurements of each system")
    options = parser.parse_args()
    effort = QUICK if options.quick else Effort()
    if options.rounds is not None:
        if options.rounds < 1:
            parser.error("--rounds has to be at least 1")
        effort = attrs.evolve(effort, rounds=options.rounds)
    # Servers and clients are children of this process: they are stopped on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    rows: list[Row] = []
    for name in options.only or CASES:
        started = time.monotonic()
        measured = CASES[name](effort)
        rows += measured
        print(f"\n{name}: {effort.rounds} rounds, {time.monotonic() - started:.0f} s\n")
        print(table(measured), flush=True)
    write(rows, OUTPUT)
    print(
        f"\nMedians of interleaved rounds on {len(processors()) or '?'} processors; a ratio above 1 means that ours "
        f"is better. Written to {OUTPUT}."
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
