"""A timeline as text in columns."""

import unicodedata
from collections.abc import Iterable, Sequence
from typing import Final

from rtmsync.timeline.spans import Mark, Span, beginning, duration, moment, offset, printable

_TITLES: Final = ("who", "state", "reason", "began", "lasted")
_GAP: Final = "  "


def table(spans: Sequence[Span], marks: Sequence[Mark], *, now: float, dropped: int = 0) -> str:
    """Aligned lines: state, reason, began, lasted; marks stand between them, with a dot in front.

    Args:
        spans: The states.
        marks: What happened besides.
        now: Up to when a state that has not ended has lasted, in monotonic seconds.
        dropped: Spans and marks that were recorded and are no longer kept.

    Returns:
        Lines, each with its end; a sentence where nothing was recorded.
    """
    start = beginning(spans, marks)
    if start is None:
        return "Nothing has happened yet.\n"
    rows = _rows(spans, marks, start[0], now)
    several = len({row[0] for row in rows}) > 1
    shown = [row if several else row[1:] for row in [_TITLES, *rows]]
    widths = [max(map(_width, column)) for column in zip(*shown, strict=True)]
    lines = [
        _GAP.join(cell + " " * (width - _width(cell)) for cell, width in zip(row, widths, strict=True))
        for row in shown
    ]
    head = f"Began at {moment(start[1])}."
    if not several:
        head = f"{rows[0][0]} began at {moment(start[1])}."
    if dropped:
        head += f" {dropped} earlier entries are no longer kept."
    return "\n".join([head, "", *(line.rstrip() for line in lines)]) + "\n"


def _rows(
    spans: Iterable[Span], marks: Iterable[Mark], start: float, now: float
) -> list[tuple[str, str, str, str, str]]:
    """The cells of each line, in the order of time; a span comes before what happens as it begins."""
    found = [(span.began, 0, index, _span_row(span, start, now)) for index, span in enumerate(spans)]
    found += [(first.at, 1, index, _mark_row(first, last, count, start)) for index, (first, last, count) in
              enumerate(_gathered(marks))]  # fmt: skip
    return [row for _, _, _, row in sorted(found)]


def _span_row(span: Span, start: float, now: float) -> tuple[str, str, str, str, str]:
    lasted = duration(span.lasted(now))
    return (
        str(span.lane),
        printable(span.state),
        printable(span.why),
        offset(span.began - start),
        f"{lasted} so far" if span.ended is None else lasted,
    )


def _mark_row(first: Mark, last: Mark, count: int, start: float) -> tuple[str, str, str, str, str]:
    until = "" if count == 1 else f", {count} in all until {offset(last.at - start)}"
    return (str(first.lane), f"· {first.what}", printable(first.detail) + until, offset(first.at - start), "")


def _gathered(marks: Iterable[Mark]) -> list[tuple[Mark, Mark, int]]:
    """Attempts that follow each other as one: the first, the last, and how many."""
    found: list[tuple[Mark, Mark, int]] = []
    for mark in marks:
        if mark.attempt and found:
            first, last, count = found[-1]
            if last.attempt and (last.lane, last.detail) == (mark.lane, mark.detail):
                found[-1] = (first, mark, count + 1)
                continue
        found.append((mark, mark, 1))
    return found


def _width(text: str) -> int:
    """Columns that a text takes in a terminal."""
    return sum(
        0 if unicodedata.combining(character) else 1 + (unicodedata.east_asian_width(character) in "FW")
        for character in text
    )
