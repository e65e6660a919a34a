"""Diagrams of state tables, as text for Mermaid and Graphviz. The documentation is made from them."""

from enum import Enum
from typing import TypeVar

from rtmcore.connection.table import Table

S = TypeVar("S", bound=Enum)
I = TypeVar("I", bound=Enum)  # noqa: E741 - the letter of the pair (state, input)
E = TypeVar("E", bound=Enum)


def mermaid(table: Table[S, I, E], *, loops: bool = False) -> str:
    """A Mermaid state diagram.

    Args:
        table: The machine.
        loops: Also draw the rules that leave the state as it is.

    Returns:
        Lines ending with a newline, in the order of the table.
    """
    lines = ["stateDiagram-v2", f"    [*] --> {table.initial.name}"]
    for source, target, label in _edges(table, loops):
        lines.append(f"    {source} --> {target}: {label.replace(':', ',').replace(';', ',')}")
    return "\n".join(lines) + "\n"


def dot(table: Table[S, I, E], *, loops: bool = False) -> str:
    """A Graphviz graph.

    Args:
        table: The machine.
        loops: Also draw the rules that leave the state as it is.

    Returns:
        Lines ending with a newline, in the order of the table.
    """
    lines = [f"digraph {_dot_text(table.name)} {{", "    node [shape=box, style=rounded];"]
    lines += ["    initial [shape=point];", f"    initial -> {_dot_text(table.initial.name)};"]
    for source, target, label in _edges(table, loops):
        lines.append(f"    {_dot_text(source)} -> {_dot_text(target)} [label={_dot_text(label)}];")
    return "\n".join([*lines, "}"]) + "\n"


def rows(table: Table[S, I, E]) -> list[tuple[str, str, str, str]]:
    """State, input, effect and next state of each rule in words, for a table in the documentation."""
    return [
        (state.name, str(given.value), str(rule.effect.value), rule.target.name)
        for (state, given), rule in table.rules.items()
    ]


def _edges(table: Table[S, I, E], loops: bool) -> list[tuple[str, str, str]]:
    """One edge for each pair of states, labelled with all its inputs."""
    labels: dict[tuple[str, str], list[str]] = {}
    for (state, given), rule in table.rules.items():
        if loops or state is not rule.target:
            labels.setdefault((state.name, rule.target.name), []).append(str(given.value))
    return [(source, target, " / ".join(texts)) for (source, target), texts in labels.items()]


def _dot_text(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
