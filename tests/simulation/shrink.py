"""From a plan that breaks a promise to a short one that still does."""

import time
from collections.abc import Callable, Sequence
from typing import Final

import attrs

from tests.simulation.workload import Plan, Step, simulate

_LEAD: Final = (60.0, 300.0, 1200.0)
"""Seconds before a violation that may be enough to bring it about."""


def kind_of(text: str) -> str:
    """What kind of violation a sentence tells of: its words without names and numbers."""
    words = [word for word in text.split() if not any(char.isdigit() for char in word)]
    return " ".join(words[:6])


class Shrinker:
    """Leaves steps out as long as the same kind of violation stays.

    Args:
        plan: What broke a promise.
        violation: The violation, with its time.
        seconds: How long to try.
        tell: Called with each progress.
    """

    def __init__(
        self, plan: Plan, violation: tuple[float, str], seconds: float, tell: Callable[[str], None]
    ) -> None:
        self.plan = plan
        self.when, text = violation
        self.kind = kind_of(text)
        self.until = time.monotonic() + seconds
        self.tell = tell

    def shrink(self) -> Plan:
        """The shortest plan that was found."""
        self._cut_the_rest()
        self._cut_the_beginning()
        size = max(1, len(self.plan.steps) // 2)
        while size and time.monotonic() < self.until:
            left_out = self._leave_out(size)
            if not left_out or size > len(self.plan.steps):
                size = min(size // 2, len(self.plan.steps) // 2 or (1 if size > 1 else 0))
        return self.plan

    def _fails(self, plan: Plan) -> bool:
        for when, text in sorted(simulate(plan).history.violations):
            if kind_of(text) == self.kind:
                self.when = when
                return True
        return False

    def _try(self, steps: Sequence[Step], seconds: float | None = None) -> bool:
        if time.monotonic() > self.until:
            return False
        plan = attrs.evolve(self.plan, steps=tuple(steps), seconds=seconds or self.plan.seconds)
        if not self._fails(plan):
            return False
        self.plan = plan
        self.tell(f"{len(plan.steps)} steps in {plan.seconds:.0f} s still do it")
        return True

    def _cut_the_rest(self) -> None:
        for after in (5.0, 60.0):
            seconds = min(self.plan.seconds, self.when + after)
            if self._try([step for step in self.plan.steps if step.time < seconds], seconds):
                return

    def _cut_the_beginning(self) -> None:
        for lead in _LEAD:
            begin = self.when - lead
            if begin <= 0:
                return
            comings = {
                step.actor: step for step in self.plan.steps if step.verb == "login" and step.time < begin
            }
            joins = [step for step in self.plan.steps if step.verb == "join" and step.time < begin][-60:]
            early = [*comings.values(), *joins]
            moved = [attrs.evolve(step, time=round(1.0 + 0.05 * at, 3)) for at, step in enumerate(early)]
            shift = begin - 10.0
            kept = [
                attrs.evolve(step, time=round(step.time - shift, 3))
                for step in self.plan.steps
                if step.time >= begin
            ]
            if self._try([*moved, *kept], self.plan.seconds - shift):
                return

    def _leave_out(self, size: int) -> bool:
        steps = list(self.plan.steps)
        found = False
        at = 0
        while at < len(steps) and time.monotonic() < self.until:
            rest = steps[:at] + steps[at + size :]
            if self._try(rest):
                steps = rest
                found = True
            else:
                at += size
        return found
