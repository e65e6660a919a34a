"""An engine that answers late: commands and outputs wait for a random time, in order only within one session."""

import random
from collections import deque

import attrs

from rtmcore.service.commands.attributes import AttributesNotice
from rtmcore.service.commands.channels import (
    ChannelNotice,
    CountMembersOf,
    MemberNotice,
    MemberStateNotice,
    Unwatch,
    Watch,
)
from rtmcore.service.commands.event_feeds import Record, TakeEvents
from rtmcore.service.commands.exclusions import Ban, CheckBearer, Expel, ExpelNotice, Kick, ShutOut, Unban
from rtmcore.service.commands.history import ReadHistory
from rtmcore.service.commands.inboxes import InboxNotice
from rtmcore.service.commands.media import DataNotice
from rtmcore.service.commands.messages import PublishAs, SendAs
from rtmcore.service.commands.names import RTM
from rtmcore.service.commands.presence import PresenceNotice
from rtmcore.service.commands.sessions import Claim, Ended
from rtmcore.service.commands.table import Answer, Command, Output
from rtmcore.service.engine import EnginePort


@attrs.define
class Stream:
    """What belongs to one session, or to one channel's notices: it stays in order."""

    commands: deque[tuple[float, Command]] = attrs.field(factory=deque)
    outputs: deque[tuple[float, Output]] = attrs.field(factory=deque)


class LateEngine:
    """An `EnginePort` around another one.

    Args:
        inner: The port that does the work.
        seed: Of the random delays; print it with a failure.
        longest: The longest delay of a command or of an output, in seconds.
    """

    def __init__(self, inner: EnginePort, seed: int, longest: float = 0.05) -> None:
        self._inner = inner
        self._random = random.Random(seed)
        self._longest = longest
        self._streams: dict[object, Stream] = {}
        self._ready: deque[Output] = deque()
        self.paused = False
        """True while nothing is carried out and nothing is answered."""

    def submit(self, command: Command, now: float, wall: int) -> None:
        if isinstance(command, Watch | Unwatch):
            self._inner.submit(command, now, wall)
            return
        stream = self._stream(_name(command))
        stream.commands.append((self._later(now, stream.commands), command))

    def handle_timer(self, now: float, wall: int) -> None:
        if self.paused:
            return
        for stream in self._streams.values():
            while stream.commands and stream.commands[0][0] <= now:
                self._inner.submit(stream.commands.popleft()[1], now, wall)
        self._inner.handle_timer(now, wall)
        while (output := self._inner.next_output()) is not None:
            stream = self._stream(_key(output))
            stream.outputs.append((self._later(now, stream.outputs), output))
        streams = list(self._streams.items())
        self._random.shuffle(streams)
        for key, stream in streams:
            while stream.outputs and stream.outputs[0][0] <= now:
                self._ready.append(stream.outputs.popleft()[1])
            if not stream.outputs and not stream.commands:
                del self._streams[key]

    def next_deadline(self) -> float | None:
        if self.paused:
            return None
        waiting = [
            queue[0][0]
            for stream in self._streams.values()
            for queue in (stream.commands, stream.outputs)
            if queue
        ]
        inner = self._inner.next_deadline()
        if inner is not None:
            waiting.append(inner)
        return min(waiting, default=None)

    def next_output(self) -> Output | None:
        return self._ready.popleft() if self._ready else None

    def shift(self, seconds: float) -> None:
        self._inner.shift(seconds)

    def _stream(self, key: object) -> Stream:
        return self._streams.setdefault(key, Stream())

    def _later(self, now: float, queue: deque) -> float:
        due = now + self._random.uniform(0.0001, self._longest)
        return max(due, queue[-1][0]) if queue else due


def _name(command: Command) -> object:
    if isinstance(command, Claim | Ban | Unban | SendAs | PublishAs | Kick | Expel | CheckBearer):
        return command.name
    if isinstance(command, CountMembersOf | TakeEvents | Record):
        return command.app
    session = command.asker if isinstance(command, ReadHistory) else command.session
    return None if session is None else session.name


def _key(output: Output) -> object:
    if isinstance(output, Answer):
        return _name(output.command)
    if isinstance(output, InboxNotice | PresenceNotice | ExpelNotice | Ended):
        return output.session.name
    if isinstance(output, ShutOut):
        return output.name
    if isinstance(output, AttributesNotice):
        return ("notices", output.app, RTM, output.channel)
    assert isinstance(output, ChannelNotice | MemberNotice | MemberStateNotice | DataNotice)
    return ("notices", output.app, output.kind, output.channel)
