"""`rtm states`: the state machines of the library, printed from the tables that it runs on."""

import sys
from collections.abc import Iterator, Sequence
from enum import Enum
from typing import Final

import click

from rtmcore.codes import DtlsTransportState, IceTransportState
from rtmcore.connection.aggregate import AGGREGATE_RULES, peer_connection_state
from rtmcore.connection.diagram import dot, mermaid
from rtmcore.connection.machines import MACHINES, Machine
from rtmsync.cli.output import emit, note, say
from rtmsync.exits import ExitCode

AGGREGATE: Final = "aggregate"
"""It has no rules from state to state: it is made of what the transports are at the moment."""
NAMES: Final = (*MACHINES, AGGREGATE)

_TITLES: Final = ("In", "What happens", "Then", "Reason", "What is done")
_ABOUT_AGGREGATE: Final = (
    "What the link of a transport (down) and its TLS (across) make together. Where two words stand, the second is the\n"
    "one of the rules mdn2021. Several transports: any that failed, then any disconnected, then all new, then all\n"
    "connected, and connecting in every other case. What was closed is closed."
)
_NO_TLS: Final = "no TLS"


def chosen(word: str | None) -> list[str]:
    """The names that begin with a word; all where there is none."""
    return [name for name in NAMES if word is None or name.startswith(word.casefold())]


@click.command("states")
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print a line of JSON for each rule.")
@click.option("--dot", "as_dot", is_flag=True, help="Print graphs for Graphviz.")
@click.option("--mermaid", "as_mermaid", is_flag=True, help="Print diagrams for Mermaid.")
def command(name: str | None, as_json: bool, as_dot: bool, as_mermaid: bool) -> int:
    """Print which states there are, and what leads from one to another.

    NAME is rtm, rtc, room, room-state, room-participant, invitation-local, invitation-remote or aggregate, or the
    beginning of one; without it all are printed.
    """
    if as_json + as_dot + as_mermaid > 1:
        raise click.UsageError("Choose one of --json, --dot and --mermaid.")
    names = chosen(name)
    if not names:
        note(f"rtm states: there is no {name}; there are {', '.join(NAMES)}.")
        return ExitCode.FAILURE
    if as_dot or as_mermaid:
        return _draw([one for one in names if one in MACHINES], as_dot=as_dot)
    for index, one in enumerate(names):
        if as_json:
            _emit(one)
            continue
        if index:
            say("")
        if one in MACHINES:
            _show(one, MACHINES[one])
        else:
            _show_aggregate()
    return ExitCode.OK


def _draw(names: Sequence[str], *, as_dot: bool) -> int:
    if not names:
        note("rtm states: the aggregate is made of its transports; no event leads from state to state.")
        return ExitCode.FAILURE
    for name in names:
        table = MACHINES[name].table
        say((dot(table) if as_dot else mermaid(table)).rstrip())
    return ExitCode.OK


def _emit(name: str) -> None:
    if name == AGGREGATE:
        for link, tls, states in _aggregates():
            found = dict(zip(AGGREGATE_RULES, states, strict=True))
            emit({"machine": name, "link": link, "tls": tls, **found})
        return
    for state, given, target, reason, effect in MACHINES[name].rules():
        row = {"machine": name, "state": state, "input": given, "next": target}
        emit({**row, "reason": reason.partition(" ")[0] or None, "effect": effect})


def _show(name: str, machine: Machine) -> None:
    say(f"{machine.title} ({name})")
    states = ", ".join(_with_value(state) for state in machine.states)
    say(f"States: {states}. It begins {machine.table.initial.name}.")
    _table(_TITLES, machine.rules())


def _with_value(state: Enum) -> str:
    return f"{state.name} {state.value}" if isinstance(state, int) else state.name


def _show_aggregate() -> None:
    say(f"The aggregate state ({AGGREGATE})")
    say(_ABOUT_AGGREGATE)
    across = [_NO_TLS, *(tls.value for tls in DtlsTransportState)]
    cells: dict[str, list[str]] = {}
    for link, _, states in _aggregates():
        cells.setdefault(link, []).append(" / ".join(dict.fromkeys(states)))
    _table(("Link", *across), [(link, *row) for link, row in cells.items()])


def _aggregates() -> Iterator[tuple[str, str | None, list[str]]]:
    """Link, TLS, and the aggregate by each of the rules."""
    for link in IceTransportState:
        for tls in (None, *DtlsTransportState):
            secured = () if tls is None else (tls,)
            states = [peer_connection_state((link,), secured, rules=rules).value for rules in AGGREGATE_RULES]
            yield link.value, None if tls is None else tls.value, states


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    if not any(row[titles.index("Reason")] for row in rows if "Reason" in titles):
        # Not every machine has reasons.
        kept = [index for index, title in enumerate(titles) if title != "Reason"]
        titles, rows = [titles[index] for index in kept], [[row[index] for index in kept] for row in rows]
    if sys.stdout.isatty():
        _rich_table(titles, rows)
        return
    widths = [max(map(len, column)) for column in zip(titles, *rows, strict=True)]
    for row in (titles, *rows):
        say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _rich_table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for title in titles:
        table.add_column(title, overflow="fold")
    for row in rows:
        table.add_row(*row)
    Console().print(table, markup=False)
