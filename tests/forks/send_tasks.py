"""Give tasks to the workers of `tasks`, ``<view> <how many>`` in pairs, and print what came of each."""

import sys

from tests.forks.tasks import act

if __name__ == "__main__":
    orders = [
        act.delay(view, f"{view}-{number}")
        for view, count in zip(sys.argv[1::2], map(int, sys.argv[2::2]), strict=True)
        for number in range(count)
    ]
    print("all are given", flush=True)
    for order in orders:
        print("answer:", order.get(timeout=120, interval=0.05), flush=True)
