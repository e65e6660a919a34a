import json

import pytest

from rtmcore.connection.machines import MACHINES
from rtmsync.cli import states
from tests.cli.conftest import Rtm


def test_all_machines_are_printed_where_none_is_named(rtm: Rtm) -> None:
    outcome = rtm("states")
    assert outcome.status == 0
    for name in states.NAMES:
        assert f" ({name})\n" in outcome.out


@pytest.mark.parametrize("name", MACHINES)
def test_every_rule_is_there_in_the_words_of_the_table(rtm: Rtm, name: str) -> None:
    lines = rtm("states", name, "--json").out.splitlines()
    rows = [row for row in map(json.loads, lines) if row["machine"] == name]
    rules = MACHINES[name].table.rules
    assert {(row["state"], row["input"], row["next"], row["effect"]) for row in rows} == {
        (state.name, given.value, rule.target.name, rule.effect.value)
        for (state, given), rule in rules.items()
    }
    assert len(rows) == len(rules)


def test_a_table_shows_the_documented_numbers_and_reasons(rtm: Rtm) -> None:
    out = rtm("states", "rtm").out
    assert "DISCONNECTED 1, CONNECTING 2, CONNECTED 3, RECONNECTING 4, ABORTED 5" in out
    (line,) = [
        line for line in out.splitlines() if line.startswith("CONNECTED ") and " 4 s of silence  " in line
    ]
    assert line.split()[-6:-3] == ["RECONNECTING", "INTERRUPTED", "5"]
    assert "CONNECTED 3, RECONNECTING 4, FAILED 5" in rtm("states", "rtc").out


def test_a_machine_without_reasons_has_no_column_for_them(rtm: Rtm) -> None:
    assert "Reason" in rtm("states", "rtm").out
    assert "Reason" not in rtm("states", "invitation-local").out


def test_the_beginning_of_a_name_stands_for_all_that_begin_so(rtm: Rtm) -> None:
    titles = [line for line in rtm("states", "Room").out.splitlines() if line.endswith(")")]
    assert [line.rpartition(" (")[2].rstrip(")") for line in titles] == [
        "room",
        "room-state",
        "room-participant",
    ]


def test_the_aggregate_shows_both_rules_where_they_differ(rtm: Rtm) -> None:
    out = rtm("states", "aggregate").out
    (row,) = [line.split("  ") for line in out.splitlines() if line.startswith("connected ")]
    assert [cell.strip() for cell in row if cell] == [
        "connected", "connected", "connecting / new", "connecting", "connected", "connected", "failed",
    ]  # fmt: skip
    rows = [json.loads(line) for line in rtm("states", "aggregate", "--json").out.splitlines()]
    assert {"machine": "aggregate", "link": "new", "tls": None, "w3c": "new", "mdn2021": "new"} in rows
    assert len(rows) == 7 * 6


def test_graphs_for_graphviz_and_mermaid(rtm: Rtm) -> None:
    graph = rtm("states", "rtm", "--dot").out
    assert graph.startswith('digraph "RTM connection" {')
    assert graph.count("digraph") == 1
    assert rtm("states", "--dot").out.count("digraph") == len(MACHINES)
    assert "[*] --> DISCONNECTED" in rtm("states", "rtm", "--mermaid").out
    assert rtm("states", "aggregate", "--dot").status == 1


def test_a_name_that_is_none_fails_and_says_which_there_are(rtm: Rtm) -> None:
    outcome = rtm("states", "bananas")
    assert outcome.status == 1
    assert outcome.out == ""
    assert "invitation-remote" in outcome.err


def test_one_format_at_a_time(rtm: Rtm) -> None:
    assert rtm("states", "rtm", "--json", "--dot").status == 2
