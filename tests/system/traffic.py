"""Clients that keep a server busy, and remember what they were promised."""

import itertools
import random
import threading
import time
from concurrent.futures import Future
from typing import Any

import attrs

from rtmcore.connection.backoff import BackoffPolicy
from rtmcore.connection.policy import RTM_POLICY
from rtmsync import ChannelMessage, Client, PeerMessage, RequestTimeout, RtmError, SendStatus
from rtmsync.channel import Channel
from rtmsync.server.config import DEV_APP_ID
from tests.system.processes import PATIENCE

STORED = (SendStatus.CACHED, SendStatus.DELIVERED)
CHANNEL = "news"
PACE = 0.003
"""Seconds between two calls of one client, so that nothing that is counted by the day is used up."""


def make_client(url: str, user: str) -> Client:
    """A client that has not logged in, and comes back soon from each of many outages."""
    return Client(url, app_id=DEV_APP_ID, user_id=user, rate_limits=False, proxy=None, policy=_IMPATIENT)


_IMPATIENT = attrs.evolve(RTM_POLICY, backoff=BackoffPolicy(base=0.05, cap=0.2))


class Answers:
    """Counts answers, for whoever wants to strike in the middle of them."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self.count = 0

    def note(self) -> None:
        with self._condition:
            self.count += 1
            self._condition.notify_all()

    def wait_for(self, more: int, within: float) -> None:
        """Wait until there are so many more."""
        with self._condition:
            wanted = self.count + more
            assert self._condition.wait_for(lambda: self.count >= wanted, within), (
                "nobody is answered any more"
            )


@attrs.define
class Call:
    """One call: what became of it is in the future."""

    number: int
    future: "Future[Any]"

    def stored(self) -> bool:
        """Whether its sender heard that it is stored or delivered."""
        return self.future.done() and not self.future.exception() and self.future.result().status in STORED

    def may_count(self) -> bool:
        """Whether it may be there: its sender does not know that it is not."""
        error = self.future.exception() if self.future.done() else None
        return error is None or bool(getattr(error, "outcome_unknown", False))


class Actor(threading.Thread):
    """A client with a thread that uses it, over and over again.

    Args:
        url: Of the server.
        user: Whose client it is.
        answers: Told of each answer.
    """

    def __init__(self, url: str, user: str, answers: Answers) -> None:
        super().__init__(name=user, daemon=True)
        self.client = make_client(url, user)
        self.answers = answers
        self.failures: list[BaseException] = []
        self.unknown = 0
        self.stopping = threading.Event()

    def begin(self) -> None:
        self.client.login()
        self.start()

    def stop(self) -> None:
        self.stopping.set()
        self.join()

    def run(self) -> None:
        for number in itertools.count(1):
            if self.stopping.wait(PACE):
                return
            try:
                self.act(number)
            except RtmError as error:
                self.note_failure(error)

    def act(self, number: int) -> None:
        raise NotImplementedError

    def note_failure(self, error: BaseException | None) -> None:
        """Only one failure is possible in an outage: that nobody knows."""
        if isinstance(error, RequestTimeout):
            self.unknown += 1
        elif error is not None:
            self.failures.append(error)

    def watch(self, call: Call) -> None:
        def done(future: "Future[Any]") -> None:
            self.note_failure(future.exception())
            self.answers.note()

        call.future.add_done_callback(done)


class Pipelined(Actor):
    """One that does not wait for each answer before its next call."""

    WINDOW = 16

    def __init__(self, url: str, user: str, answers: Answers) -> None:
        super().__init__(url, user, answers)
        self._room = threading.Semaphore(self.WINDOW)

    def under_way(self, call: Call) -> None:
        call.future.add_done_callback(lambda _: self._room.release())
        self.watch(call)

    def wait_for_room(self) -> bool:
        while not self._room.acquire(timeout=0.05):
            if self.stopping.is_set():
                return False
        return True


class Sender(Pipelined):
    """Sends messages that are stored, to the names that are in `receivers` at the time."""

    def __init__(self, url: str, user: str, answers: Answers, dice: random.Random) -> None:
        super().__init__(url, user, answers)
        self._dice = dice
        self.budget = 0
        self.receivers: tuple[str, ...] = ()
        self.calls: dict[str, list[Call]] = {}

    def act(self, number: int) -> None:
        if self.budget <= 0 or not self.wait_for_room():
            return
        self.budget -= 1
        to = self._dice.choice(self.receivers)
        text, kept = f"{self.name} {number}", bool(number % 4 == 0)
        call = Call(number, self.client.send_peer_future(to, text, offline=True, history=kept))
        self.calls.setdefault(to, []).append(call)
        self.under_way(call)


class Publisher(Pipelined):
    """Publishes messages for the history."""

    def __init__(self, url: str, user: str, answers: Answers) -> None:
        super().__init__(url, user, answers)
        self.calls: list[Call] = []

    def begin(self) -> None:
        self.client.login()
        self.channel: Channel = self.client.channel(CHANNEL)
        self.channel.join()
        self.start()

    def act(self, number: int) -> None:
        if self.wait_for_room():
            call = Call(number, self.channel.send_future(f"{self.name} {number}", history=True))
            self.calls.append(call)
            self.under_way(call)

    def promised(self) -> list[int]:
        """Numbers of what its sender was told to be kept."""
        return [call.number for call in self.calls if call.future.done() and not call.future.exception()]

    def check_page(self) -> None:
        """What was promised before the newest page of the history is asked for is on it, once and in its order.

        What was on the disk and not answered is published again after a restart, and then moves to its new place, one
        message after the other: only what was promised has its place for good.
        """
        promised = set(self.promised())
        page = self.client.history(channel=CHANNEL, limit=100, timeout=PATIENCE)
        numbers = [int(str(message.text).split()[1]) for message in page.messages]
        assert len(numbers) == len(set(numbers)), f"twice: {numbers}"
        placed = [number for number in numbers if number in promised]
        assert placed == sorted(placed, reverse=True), f"out of order: {placed}"
        first = 0 if page.count <= len(numbers) else numbers[-1]
        missing = {number for number in promised if number >= first} - set(numbers)
        assert not missing, f"lost from the history: {sorted(missing)}"

    def check_all(self) -> int:
        """The whole history is what was promised, and what nobody knows of; how much it is."""
        numbers: list[int] = []
        while True:
            page = self.client.history(
                channel=CHANNEL, limit=100, offset=len(numbers), ascending=True, timeout=PATIENCE
            )
            numbers += [int(str(message.text).split()[1]) for message in page.messages]
            if not page.messages or len(numbers) >= page.count:
                break
        check_kept("the history", numbers, self.calls, set(self.promised()))
        return len(numbers)


@attrs.define
class Write:
    """A change of one key of one channel."""

    value: str | None
    """None where it was deleted."""
    begun: float
    ended: float | None = None
    """When its writer heard OK; None as long as he has not."""


class Writer(Actor):
    """Changes attributes of channels: keys of its own, and one that the others write too."""

    CHANNELS = 4
    SHARED = "shared"

    def __init__(self, url: str, user: str, answers: Answers) -> None:
        super().__init__(url, user, answers)
        self.writes: dict[tuple[str, str], list[Write]] = {}

    def act(self, number: int) -> None:
        channel = f"board-{number % self.CHANNELS}"
        key = self.SHARED if number // self.CHANNELS % 2 else self.name
        deleted = number % 10 == 0 and key != self.SHARED
        write = Write(None if deleted else f"{self.name} {number}", time.monotonic())
        self.writes.setdefault((channel, key), []).append(write)
        if write.value is None:
            self.client.delete_channel_attributes(channel, key)
        else:
            self.client.update_channel_attributes(channel, {key: write.value})
        write.ended = time.monotonic()
        self.answers.note()


class Boards:
    """Judges attributes of channels by what their writers heard.

    Args:
        writers: All of them.
    """

    def __init__(self, writers: list[Writer]) -> None:
        self._writers = writers

    def check(self, reader: Client) -> None:
        """Each value is one that no write made obsolete whose writer heard OK before it was asked for."""
        keys = {writer.name: [writer] for writer in self._writers} | {Writer.SHARED: self._writers}
        for number in range(Writer.CHANNELS):
            channel = f"board-{number}"
            asked = time.monotonic()
            found = reader.get_channel_attributes(channel, timeout=PATIENCE)
            for key, writers in keys.items():
                writes = [
                    write for writer in writers for write in list(writer.writes.get((channel, key), ()))
                ]
                value = found[key].value if key in found else None
                _judge(f"{key} of {channel}", value, writes, asked)
                assert value is None or value.split()[0] == found[key].writer


def _judge(what: str, value: str | None, writes: list[Write], asked: float) -> None:
    done = [write for write in writes if write.ended is not None and write.ended < asked]
    latest = max((write.begun for write in done), default=0.0)
    # What ended before another one began that is done was overtaken by it.
    possible = [write.value for write in writes if write.ended is None or write.ended >= latest]
    if not done:
        possible.append(None)
    assert value in possible, f"{what} is {value!r}, and could only be one of {possible}"


class Receiver:
    """A client that takes messages, and what it took.

    Args:
        url: Of the server.
        user: Whose client it is.
    """

    def __init__(self, url: str, user: str) -> None:
        self.user = user
        self.client = make_client(url, user)
        self.got: list[str] = []
        self.client.on(PeerMessage, lambda message: self.got.append(str(message.text)))

    def check(self, senders: list[Sender], within: float, newest: int | None = None) -> int:
        """What was promised to be stored has come once and in order, and nothing else; how much came.

        Args:
            senders: Who sent to it.
            within: Seconds to wait for the rest.
            newest: Only so many are due, if its one sender stored more.
        """
        due = time.monotonic() + within
        for sender in senders:
            calls = sender.calls.get(self.user, [])
            for call in calls:
                call.future.exception(max(0.0, due - time.monotonic()))
            recent = calls if newest is None else [call for call in calls if call.may_count()][-newest:]
            promised = {call.number for call in recent if call.stored()}
            while (missing := promised - set(self._numbers(sender))) and time.monotonic() < due:
                time.sleep(0.005)
            assert not missing, f"{self.user} never got {sorted(missing)} of {sender.name}"
            check_kept(self.user, self._numbers(sender), calls, promised)
        return len(self.got)

    def _numbers(self, sender: Sender) -> list[int]:
        parts = (text.split() for text in list(self.got))
        return [int(number) for name, number in parts if name == sender.name]


def check_kept(where: str, numbers: list[int], calls: list[Call], promised: set[int]) -> None:
    """Numbers are in order, each once, all that were promised, and none that was refused."""
    assert numbers == sorted(set(numbers)), f"{where}: twice or out of order: {_disorder(numbers)}"
    missing = promised - set(numbers)
    assert not missing, f"{where}: lost: {sorted(missing)}"
    extra = set(numbers) - {call.number for call in calls if call.may_count()}
    assert not extra, f"{where}: refused, and there all the same: {sorted(extra)}"


def _disorder(numbers: list[int]) -> list[tuple[int, int]]:
    return [(a, b) for a, b in itertools.pairwise(numbers) if a >= b]


class Listener:
    """A member of the channel that hears what is published.

    Args:
        url: Of the server.
        user: Whose client it is.
    """

    def __init__(self, url: str, user: str) -> None:
        self.client = make_client(url, user)
        self.heard: list[int] = []

    def begin(self) -> None:
        self.client.login()
        self.client.on(ChannelMessage, self._hear)
        self.client.channel(CHANNEL).join()

    def _hear(self, message: ChannelMessage) -> None:
        self.heard.append(int(str(message.text).split()[1]))

    def check(self) -> None:
        """Nothing came twice, and nothing out of order."""
        heard = list(self.heard)  # the last of it may still be on its way
        assert heard == sorted(set(heard)), f"twice or out of order: {_disorder(heard)}"
