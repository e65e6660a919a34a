"""The history: messages that their senders wanted to be kept, and questions about them."""

from collections import deque
from typing import Final

from rtmcore.codes import MessageType
from rtmcore.limits import HISTORY_QUESTIONS
from rtmcore.service.commands.history import Kept, ReadHistory
from rtmcore.service.commands.messages import PeerSend, PublishMessage
from rtmcore.service.commands.names import RTM
from rtmcore.service.commands.results import Refusal, Trouble
from rtmcore.service.memory.kept import HistoryQuestion, HistoryRecord, MemoryHistory
from rtmcore.service.memory.state import FENCED, Outlet, State

_MICROSECONDS: Final = 1_000_000
_TEXT: Final = MessageType.TEXT.value
_TOO_MANY: Final = Refusal(
    Trouble.FULL, "Too many questions about the history wait for the server's disk. Try again later.", 1.0
)
_NOT_READ: Final = Refusal(
    Trouble.UNAVAILABLE, "The server could not read the history from its disk. Try again.", 1.0
)


def is_wanted(command: PeerSend | PublishMessage) -> bool:
    """Whether a message is to be kept in the history: only text is, where the sender wants it."""
    return command.history and command.kind == _TEXT and command.session.name.kind == RTM


class History:
    """Keeps messages in the history, and answers questions about it.

    With a journal the messages go there, and the questions to whoever holds what it wrote; without one both stay here.

    Args:
        state: What it shares with the other parts.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self._memory = MemoryHistory()
        self._asked: deque[HistoryQuestion] = deque()
        self._outlets: dict[HistoryQuestion, Outlet] = {}
        """Where the answers go of questions that have none yet."""

    def keep(self, record: HistoryRecord, wall: int) -> None:
        """Keep a message: from now on without a journal, from the next commit on with one."""
        limit = self._state.caps.history_bytes
        journal = self._state.journal
        if journal.enabled:
            journal.keep(record, limit)
        else:
            self._memory.add(record)
            self._memory.shrink(record.app, limit)
        self.forget_old(wall)

    def forget_old(self, wall: int) -> None:
        """Drop what was kept for its days."""
        first = self._first(wall)
        if self._state.journal.enabled:
            self._state.journal.forget_history(first)
        else:
            self._memory.drop_before(first)

    def read(self, outlet: Outlet, command: ReadHistory, now: float, wall: int) -> None:
        """Carry out `ReadHistory`."""
        if command.asker is not None and self._state.current(command.asker) is None:
            outlet.answer(command, FENCED)
            return
        question = HistoryQuestion(command, max(command.start, self._first(wall)))
        if not self._state.journal.enabled:
            outlet.answer(command, self._memory.find(question))
        elif len(self._outlets) >= HISTORY_QUESTIONS:
            outlet.answer(command, _TOO_MANY)
        else:
            self._outlets[question] = outlet
            self._asked.append(question)

    def _first(self, wall: int) -> int:
        """When the history begins, in microseconds since 1970."""
        return wall - self._state.caps.history_seconds * _MICROSECONDS

    def next_question(self) -> HistoryQuestion | None:
        """A question that has to be answered with `answered`, the oldest first."""
        return self._asked.popleft() if self._asked else None

    def answered(self, question: HistoryQuestion, kept: Kept | None) -> None:
        """What a question came to; None where the history could not be read."""
        outlet = self._outlets.pop(question)
        outlet.answer(question.command, _NOT_READ if kept is None else kept)
