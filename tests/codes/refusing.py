"""An engine that refuses what it is told to refuse, as one does whose disk or shared state fails."""

import contextlib
from collections import deque
from collections.abc import Iterator
from enum import IntEnum
from typing import Any

from rtmcore.service.commands.results import Refusal, Trouble
from rtmcore.service.commands.table import Answer, Command, Output
from rtmcore.service.engine import EnginePort


class RefusingEngine:
    """An `EnginePort` around another one. Tests use it from their own thread."""

    def __init__(self) -> None:
        self._inner: EnginePort | None = None
        self._refused: dict[type[Any], Refusal] = {}
        self._answers: deque[Answer] = deque()

    def around(self, inner: EnginePort) -> "RefusingEngine":
        """Stand between a server and its engine."""
        self._inner = inner
        return self

    @contextlib.contextmanager
    def refuses(self, *commands: type[Any], code: IntEnum = Trouble.UNAVAILABLE) -> Iterator[None]:
        """Refuse commands of these classes for a while."""
        self._refused = dict.fromkeys(commands, Refusal(code, "The disk is on fire."))
        try:
            yield
        finally:
            self._refused = {}

    @property
    def inner(self) -> EnginePort:
        assert self._inner is not None
        return self._inner

    def submit(self, command: Command, now: float, wall: int) -> None:
        refusal = self._refused.get(type(command))
        if refusal is None:
            self.inner.submit(command, now, wall)
        else:
            self._answers.append(Answer(command, refusal))

    def handle_timer(self, now: float, wall: int) -> None:
        self.inner.handle_timer(now, wall)

    def next_deadline(self) -> float | None:
        return self.inner.next_deadline()

    def next_output(self) -> Output | None:
        return self._answers.popleft() if self._answers else self.inner.next_output()

    def shift(self, seconds: float) -> None:
        self.inner.shift(seconds)
