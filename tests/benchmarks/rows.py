"""Rows of the result: medians of both sides, and how many times better ours is."""

import json
from collections import defaultdict
from pathlib import Path
from statistics import median

import attrs

RATE = "a second"
SPEED = "MB a second"
MICROSECONDS = "us"
KIB = "KiB"
THREADS = "threads"

BIGGER_IS_BETTER = frozenset({RATE, SPEED})


@attrs.frozen
class Row:
    """One comparison.

    Args:
        name: What was measured.
        payload: Bytes of one message; None where none are sent.
        ours: The median of ours, in `unit`.
        peer: Name of the peer; None where it was not compared.
        peer_value: Its median.
        ratio: How many times better ours is, whether more or less is better; above 1 is better than the peer.
        unit: Of both values.
        target: The ratio to reach, or the value where it stands alone; None without one.
    """

    name: str
    payload: int | None
    ours: float
    peer: str | None
    peer_value: float | None
    ratio: float | None
    unit: str
    target: str | None = None


class Samples:
    """Values by measurement, payload and system, and the rows that they come to."""

    def __init__(self) -> None:
        self._values: dict[tuple[str, int | None, str], list[float]] = defaultdict(list)

    def add(self, name: str, payload: int | None, system: str, value: float) -> None:
        """One more round."""
        self._values[name, payload, system].append(value)

    def row(
        self,
        name: str,
        payload: int | None,
        unit: str,
        peer: str,
        *,
        ours: str = "ours",
        target: str | None = None,
        title: str | None = None,
    ) -> Row:
        """Compare the medians of two systems.

        Args:
            name: The measurement.
            payload: See `Row`.
            unit: See `Row`.
            peer: The system to compare with.
            ours: The one that is ours.
            target: See `Row`.
            title: Name of the row, where it differs from the measurement's.
        """
        own = median(self._values[name, payload, ours])
        other = median(self._values[name, payload, peer])
        better, worse = (own, other) if unit in BIGGER_IS_BETTER else (other, own)
        return Row(
            name=title or name,
            payload=payload,
            ours=round(own, 3),
            peer=peer,
            peer_value=round(other, 3),
            ratio=round(better / worse, 3) if worse else None,
            unit=unit,
            target=target,
        )


def write(rows: list[Row], path: Path) -> None:
    """Write the rows as JSON."""
    path.write_text(json.dumps([attrs.asdict(row) for row in rows], indent=1) + "\n", encoding="utf-8")


def table(rows: list[Row]) -> str:
    """The rows for people."""
    head = ("what", "bytes", "ours", "peer", "", "ratio", "target")
    lines = [
        (
            row.name,
            "" if row.payload is None else str(row.payload),
            f"{_number(row.ours)} {row.unit}",
            row.peer or "",
            "" if row.peer_value is None else _number(row.peer_value),
            "" if row.ratio is None else f"x{row.ratio:.2f}",
            row.target or "",
        )
        for row in rows
    ]
    widths = [max(len(line[column]) for line in (head, *lines)) for column in range(len(head))]
    rule = tuple("-" * width for width in widths)
    right = {1, 2, 4, 5}
    return "\n".join(
        "  ".join(
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in (head, rule, *lines)
    )


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:,.2f}"
