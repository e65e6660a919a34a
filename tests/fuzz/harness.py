"""What a fuzz target is, how one case of it is made and run, and what must hold for each."""

import gc
import signal
import time
import types
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from typing import Any, Protocol

import attrs

CPU_SECONDS = 3.0
"""Processor time that one case may take. Most take less than a millisecond."""

WALL_SECONDS = 60
"""After which a case counts as hanging; the machine may be busy with something else."""


class Violation(AssertionError):
    """A decoder did what no input may make it do."""


@attrs.frozen
class Case:
    """One input: bytes in the pieces in which they arrive, and whatever else was drawn."""

    pieces: list[bytes]
    plan: dict[str, Any] = attrs.field(factory=dict)

    def text(self) -> str:
        """All of it, for a file."""
        lines = [f"{key} = {value!r}" for key, value in self.plan.items()]
        return "\n".join([*lines, *(f"piece {piece.hex()}" for piece in self.pieces)])


class Target(Protocol):
    """A decoder under test. It keeps nothing from one case to the next."""

    name: str

    def make(self, random: Random) -> Case:
        """Draw a case."""

    def run(self, case: Case) -> None:
        """Feed it. Whatever escapes is a failure of the decoder."""


def case_random(seed: int, target: str, number: int) -> Random:
    """Where the chance of one case comes from: every case can be made again by itself."""
    return Random(f"{seed}/{target}/{number}")


def run_case(target: Target, case: Case) -> None:
    """Run a case within its time.

    Raises:
        Violation: It took too long.
        Exception: Whatever the decoder let escape.
    """
    with _alarm():
        started = time.process_time()
        target.run(case)
        spent = time.process_time() - started
    expect(spent < CPU_SECONDS, f"one case took {spent:.1f} s of processor time")


@contextmanager
def _alarm() -> Iterator[None]:
    def ring(*_: object) -> None:
        raise Violation(f"the case still runs after {WALL_SECONDS} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(WALL_SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def expect(holds: bool, otherwise: str) -> None:
    """Something that must hold.

    Raises:
        Violation: It does not.
    """
    if not holds:
        raise Violation(otherwise)


_OUTSIDE = (
    type,
    types.ModuleType,
    types.FunctionType,
    types.BuiltinFunctionType,
    types.CodeType,
    types.FrameType,
    types.GetSetDescriptorType,
    types.MemberDescriptorType,
)


def retained(*roots: object) -> int:
    """Bytes of all byte strings and texts that can be reached from these objects."""
    seen: set[int] = set()
    waiting: list[Any] = list(roots)
    total = 0
    while waiting:
        found = waiting.pop()
        if id(found) in seen or isinstance(found, _OUTSIDE):
            continue
        seen.add(id(found))
        if isinstance(found, bytes | bytearray | str):
            total += len(found)
        else:
            waiting.extend(gc.get_referents(found))
    return total
