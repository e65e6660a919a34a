"""The benchmarks themselves: what their rows mean, and that each of them runs."""

import json
from pathlib import Path

import pytest

from tests.benchmarks.cases import CASES, Effort
from tests.benchmarks.rows import KIB, RATE, Samples, table, write

TINY = Effort(rounds=1, seconds=0.05, subscribers=(10,), idle_clients=3, idle_connections=20)


def samples(unit_values: dict[str, list[float]]) -> Samples:
    collected = Samples()
    for system, values in unit_values.items():
        for value in values:
            collected.add("x", 100, system, value)
    return collected


def test_a_ratio_says_how_many_times_better_ours_is() -> None:
    collected = samples({"ours": [30.0, 10.0, 20.0], "peer": [5.0, 5.0, 1000.0]})
    assert collected.row("x", 100, RATE, "peer").ratio == 4.0
    assert collected.row("x", 100, KIB, "peer").ratio == 0.25
    assert collected.row("x", 100, RATE, "peer").ours == 20.0


def test_rows_are_written_as_the_list_that_others_read(tmp_path: Path) -> None:
    row = samples({"ours": [2.0], "peer": [1.0]}).row("x", 100, RATE, "peer", target="x2")
    write([row], tmp_path / "bench.json")
    (read,) = json.loads((tmp_path / "bench.json").read_text(encoding="utf-8"))
    assert (
        read.items()
        >= {"name": "x", "payload": 100, "ours": 2.0, "peer": "peer", "peer_value": 1.0, "ratio": 2.0}.items()
    )
    assert "x2.00" in table([row])


@pytest.mark.benchmark
@pytest.mark.parametrize("name", sorted(CASES))
def test_each_benchmark_runs(name: str) -> None:
    rows = CASES[name](TINY)
    assert all(row.ours > 0 for row in rows if row.unit == RATE)
