"""A timeline as a picture that needs nothing but itself: states as bars over time, readable in light and in dark."""

import math
from collections.abc import Callable, Sequence
from html import escape
from itertools import pairwise
from typing import Final

import attrs

from rtmsync.timeline.spans import (
    Lane,
    Mark,
    Span,
    beginning,
    duration,
    lanes_of,
    moment,
    offset,
    printable,
    shortened,
)

_WIDTH: Final = 1000
_LEFT: Final = 180
_RIGHT: Final = 44
_TOP: Final = 52
_BAR: Final = 34
_ROW: Final = 60
_AXIS: Final = 34
_LINE: Final = 17
_INSET: Final = 6
_CHARACTER: Final = 7.0
_SMALL_CHARACTER: Final = 6.0
_LABEL: Final = 23
_TICK: Final = 62
_NUMBER: Final = 13
_KEY_LINES: Final = 40
_LEAST_OF_AXIS: Final = 0.35
_SHORT: Final = 0.1

_KIND_OF: Final = {
    "connected": "good",
    "online": "good",
    "completed": "good",
    "connecting": "busy",
    "checking": "busy",
    "reconnecting": "weak",
    "unreachable": "weak",
    "disconnected": "idle",
    "offline": "idle",
    "new": "idle",
    "closed": "idle",
    "aborted": "ended",
    "failed": "ended",
}
"""What a state means, by its name in small letters: this is its colour."""

_STYLE: Final = """
  text { fill: #1c2330; font: 12px sans-serif; }
  .title { font-size: 15px; font-weight: bold; } .state { font-weight: bold; } .small { font-size: 11px; }
  .faint { fill: #5b6472; font-size: 11px; } .grid { stroke: #d0d5dd; } .attempt { stroke: #5b6472; }
  .paper { fill: #ffffff; } .mark { fill: #1c2330; } .bar { stroke: #667085; stroke-width: 0.8; }
  .good { fill: #b7e4c7; } .busy { fill: #bcd7f7; } .weak { fill: #ffdf9e; } .idle { fill: #e4e7ec; }
  .ended { fill: #f7b9b5; }
  @media (prefers-color-scheme: dark) {
    text { fill: #eef1f6; } .faint { fill: #aab3c2; } .grid { stroke: #3a4354; } .attempt { stroke: #aab3c2; }
    .paper { fill: #161a22; } .mark { fill: #eef1f6; } .bar { stroke: #9aa4b5; }
    .good { fill: #1f6b40; } .busy { fill: #24548c; } .weak { fill: #7d5a0a; } .idle { fill: #3d4656; }
    .ended { fill: #8c2f2a; }
  }
"""


def svg(spans: Sequence[Span], marks: Sequence[Mark], *, now: float, title: str, linear: bool = False) -> str:
    """A picture with one row for each lane, and below it what did not fit into its bar.

    Args:
        spans: The states.
        marks: What happened besides.
        now: Up to when a state that has not ended has lasted, in monotonic seconds.
        title: What is shown.
        linear: Draw all seconds alike; otherwise long stretches without an event are drawn shorter, so that the
            second of a login can be seen beside the minutes of an outage. The axis tells the true times.
    """
    start = beginning(spans, marks)
    if start is None:
        start = (now, 0.0)
        about = "Nothing has happened yet."
    else:
        about = f"Times count from {moment(start[1])}."
    picture = _Picture(_axis(spans, marks, start[0], max(now, start[0]), linear=linear), start[0], now)
    for lane in lanes_of(spans, marks):
        picture.add_lane(
            lane, [span for span in spans if span.lane == lane], [mark for mark in marks if mark.lane == lane]
        )
    return picture.drawn(printable(title), about)


# --- The axis ---------------------------------------------------------------------------------------------------


@attrs.frozen
class _Axis:
    """Where each moment is drawn.

    Attributes:
        place: From monotonic seconds to pixels.
        moments: At which something begins or ends.
    """

    place: Callable[[float], float]
    moments: list[float]


def _axis(spans: Sequence[Span], marks: Sequence[Mark], start: float, end: float, *, linear: bool) -> _Axis:
    moments = {start, end} | {span.began for span in spans}
    moments |= {mark.at for mark in marks if not mark.attempt}
    knots = sorted(moments)
    weights = [
        later - earlier if linear else _LEAST_OF_AXIS + math.log1p((later - earlier) / _SHORT)
        for earlier, later in pairwise(knots)
    ]
    whole = math.fsum(weights) or 1.0
    places = [float(_LEFT)]
    for weight in weights:
        places.append(places[-1] + weight / whole * (_WIDTH - _LEFT - _RIGHT))

    def place(at: float) -> float:
        index = max(0, _last_not_after(knots, at))
        if index + 1 >= len(knots):
            return places[-1]
        share = (at - knots[index]) / (knots[index + 1] - knots[index])
        return places[index] + min(1.0, max(0.0, share)) * (places[index + 1] - places[index])

    return _Axis(place, knots)


def _last_not_after(knots: list[float], at: float) -> int:
    low, high = 0, len(knots)
    while low < high:
        middle = (low + high) // 2
        if knots[middle] <= at:
            low = middle + 1
        else:
            high = middle
    return low - 1


# --- The picture ------------------------------------------------------------------------------------------------


class _Picture:
    """Collects what is drawn.

    Args:
        axis: Where moments are.
        start: The first moment.
        now: The last one.
    """

    def __init__(self, axis: _Axis, start: float, now: float) -> None:
        self._axis = axis
        self._start = start
        self._now = now
        self._parts: list[str] = []
        self._key: list[str] = []
        self._left_out = 0
        self._rows = 0

    def add_lane(self, lane: Lane, spans: Sequence[Span], marks: Sequence[Mark]) -> None:
        """Draw one row: bars, and marks above them."""
        top = _TOP + self._rows * _ROW + 18
        self._rows += 1
        name = shortened(str(lane), _LABEL)
        self._parts.append(
            f'<text class="lane" x="12" y="{top + _BAR / 2 + 4:.0f}">{_text(name)}'
            f"<title>{_text(str(lane))}</title></text>"
        )
        for span in spans:
            self._add_bar(span, top)
        numbered = -math.inf
        for mark in marks:
            if mark.attempt:
                self._add_attempt(mark, top)
            else:
                # Numbers of marks at one place stand side by side.
                numbered = max(self._axis.place(mark.at), numbered + _NUMBER)
                self._add_mark(mark, top, numbered)

    def _add_bar(self, span: Span, top: float) -> None:
        end = self._now if span.ended is None else span.ended
        left, right = self._axis.place(span.began), self._axis.place(max(end, span.began))
        lasted = duration(span.lasted(self._now)) + (" so far" if span.ended is None else "")
        state, why = printable(span.state), printable(span.why)
        reason = f", {why}," if why else ""
        whole = f"{span.lane}: {state}{reason} at {offset(span.began - self._start)} for {lasted}"
        kind = _KIND_OF.get(state.lower(), "idle")
        self._parts.append(
            f'<rect class="bar {kind}" x="{left:.1f}" y="{top:.0f}" width="{max(1.0, right - left):.1f}" '
            f'height="{_BAR}" rx="3"><title>{_text(whole)}</title></rect>'
        )
        room = right - left - 2 * _INSET
        fitting = [line for line in _lines(span, lasted) if len(line) * _SMALL_CHARACTER <= room]
        if len(state) * _CHARACTER <= room:
            self._put(left + _INSET, top + 14, state, "state")
            if fitting:
                self._put(left + _INSET, top + 28, fitting[0], "small")
                if fitting[0] != lasted or not why:
                    return
        self._add_to_key(whole, (left + right) / 2, top + _BAR + 12)

    def _add_mark(self, mark: Mark, top: float, numbered: float) -> None:
        x = self._axis.place(mark.at)
        whole = self._told(mark)
        self._parts.append(
            f'<path class="mark" d="M{x:.1f},{top:.0f} l-4,-7 h8 z"><title>{_text(whole)}</title></path>'
        )
        self._add_to_key(whole, numbered, top - 9)

    def _add_attempt(self, mark: Mark, top: float) -> None:
        x = self._axis.place(mark.at)
        self._parts.append(
            f'<path class="attempt" d="M{x:.1f},{top - 5:.0f} v4"><title>{_text(self._told(mark))}</title></path>'
        )

    def _told(self, mark: Mark) -> str:
        return f"{mark.lane}: {printable(str(mark))} at {offset(mark.at - self._start)}"

    def _add_to_key(self, line: str, x: float, y: float) -> None:
        """Write a number into the picture and what it means under it."""
        if len(self._key) >= _KEY_LINES:
            self._left_out += 1
            return
        self._key.append(line)
        self._parts.append(
            f'<text class="faint" text-anchor="middle" x="{x:.1f}" y="{y:.0f}">{len(self._key)}</text>'
        )

    def _put(self, x: float, y: float, text: str, style: str) -> None:
        self._parts.append(f'<text class="{style}" x="{x:.1f}" y="{y:.0f}">{_text(text)}</text>')

    def _grid(self, bottom: float) -> list[str]:
        """A line at each moment that has room for its time."""
        lines: list[str] = []
        last = -math.inf
        for at in self._axis.moments:
            x = self._axis.place(at)
            if x - last < _TICK:
                continue
            last = x
            lines += [
                f'<path class="grid" d="M{x:.1f},{_TOP} V{bottom:.0f}"/>',
                f'<text class="faint" text-anchor="middle" x="{x:.1f}" y="{bottom + 16:.0f}">'
                f"{offset(at - self._start)}</text>",
            ]
        return lines

    def drawn(self, title: str, about: str) -> str:
        """The whole document."""
        bottom = _TOP + max(1, self._rows) * _ROW + 10
        key = list(enumerate(self._key, 1))
        height = bottom + _AXIS + _LINE * (len(key) + bool(self._left_out)) + 12
        lines = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height:.0f}" width="{_WIDTH}" '
            f'height="{height:.0f}" role="img" aria-label="{escape(title)}">',
            f"<title>{_text(title)}</title>",
            f"<style>{_STYLE}</style>",
            f'<rect class="paper" width="{_WIDTH}" height="{height:.0f}" rx="8"/>',
            f'<text class="title" x="12" y="24">{_text(shortened(title, 110))}</text>',
            f'<text class="faint" x="12" y="41">{_text(about)}</text>',
            *self._grid(bottom),
            *self._parts,
        ]
        y = bottom + _AXIS
        for number, line in key:
            y += _LINE
            lines.append(
                f'<text class="small" x="24" y="{y:.0f}">{number}  {_text(shortened(line, 150))}</text>'
            )
        if self._left_out:
            lines.append(
                f'<text class="small" x="24" y="{y + _LINE:.0f}">{self._left_out} more are in the table</text>'
            )
        return "\n".join([*lines, "</svg>", ""])


def _lines(span: Span, lasted: str) -> list[str]:
    """What may stand under the state in its bar, most wanted first."""
    reasons = dict.fromkeys(printable(text) for text in (span.why, span.reason) if text)
    return [*(f"{reason} · {lasted}" for reason in reasons), lasted]


def _text(text: str) -> str:
    return escape(printable(text), quote=False)
