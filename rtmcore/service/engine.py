"""What a node expects of an engine.

The memory engine keeps everything in the process; the embedded engine adds a
journal on disk; others may share state between machines. One conformance suite
in tests/service runs on all of them.
"""

from typing import Protocol

from rtmcore.service.commands.table import Command, Output


class EnginePort(Protocol):
    """The side of an engine that one node sees."""

    def submit(self, command: Command, now: float, wall: int) -> None:
        """Hand a command in. Its answer, if it has one, comes as an output, now or later.

        Args:
            command: The command. Commands of one session are carried out in order of issue.
            now: Monotonic seconds.
            wall: Microseconds since 1970, for ids, fences and timestamps.
        """

    def handle_timer(self, now: float, wall: int) -> None:
        """Act on deadlines that have passed."""

    def next_deadline(self) -> float | None:
        """When `handle_timer` must be called next, in monotonic seconds."""

    def next_output(self) -> Output | None:
        """The next answer or notice for this node, in order."""

    def shift(self, seconds: float) -> None:
        """Move all silence deadlines: the node was absent for so long, its clients were not."""
