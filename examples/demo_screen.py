"""What the demo shows: plain lines of text, with colours where the terminal has them."""

import os
import shutil
import sys
import time
from collections.abc import Iterable

from demo_ledger import Row

COLOURS = {"dim": "2", "bold": "1", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}
PLAIN_WIDTH = 110
FACTS_WIDTH = 26


class Screen:
    """Prints with the seconds since the beginning in front.

    Args:
        start: The beginning, in seconds of the machine's monotonic clock.
    """

    def __init__(self, start: float) -> None:
        self._start = start
        terminal = sys.stdout.isatty()
        self._colours = terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        self._width = shutil.get_terminal_size((PLAIN_WIDTH, 24)).columns if terminal else PLAIN_WIDTH

    def paint(self, text: str, colour: str) -> str:
        """Text in a colour, or as it is."""
        return f"\033[{COLOURS[colour]}m{text}\033[0m" if self._colours else text

    def plain(self, text: str = "") -> None:
        """A line without the time."""
        print(text, flush=True)

    def heading(self, text: str) -> None:
        """The beginning of an act."""
        print(self.paint(f"\n{self._clock()}  {text}", "bold"), flush=True)

    def note(self, text: str, colour: str | None = None) -> None:
        """A line with the time."""
        print(f"{self._clock()}  {self.paint(text, colour) if colour else text}", flush=True)

    def state(self, who: str, previous: str, state: str, reason: str, cause: str | None) -> None:
        """A change of a connection's state."""
        colour = {"CONNECTED": "green", "RECONNECTING": "yellow", "ABORTED": "red"}.get(state, "cyan")
        because = f"  ({cause})" if cause else ""
        self.note(f"{who:<6} {previous} -> {state}, reason {reason}{because}", colour)

    def message(self, way: str, number: int, text: str, facts: str) -> None:
        """A message and how long it took."""
        left = f"{self._clock()}  {way:<17} {number:>3}  "
        room = max(20, self._width - len(left) - FACTS_WIDTH - 2)
        facts = self.paint(f"{facts:>{FACTS_WIDTH}}", "dim")
        print(f"{left}{self._short(text, room):<{room}}  {facts}", flush=True)

    def table(self, rows: Iterable[Row]) -> None:
        """The check of each stream."""
        self.plain(
            f"  {'from > to':<25}{'sent':>6}{'arrived':>9}{'missing':>9}{'doubled':>9}{'order':>7}"
            f"{'median':>11}{'longest':>11}"
        )
        for row in rows:
            middle, longest = (
                (duration(row.median()), duration(max(row.latencies))) if row.latencies else ("-", "-")
            )
            order = "ok" if not row.out_of_order else str(row.out_of_order)
            line = (
                f"  {row.name:<25}{row.sent:>6}{row.arrived:>9}{row.missing:>9}{row.doubled:>9}{order:>7}"
                f"{middle:>11}{longest:>11}"
            )
            self.plain(line if row.good else self.paint(line, "red"))

    def _clock(self) -> str:
        return f"{time.monotonic() - self._start:6.2f} s"

    @staticmethod
    def _short(text: str, room: int) -> str:
        shown = "".join(character if character.isprintable() else "\ufffd" for character in text.strip())
        return shown if len(shown) <= room else f"{shown[: room - 3]}..."


def duration(seconds: float) -> str:
    """A duration for people: milliseconds below a second."""
    return f"{seconds * 1000:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"
