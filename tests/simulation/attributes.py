"""What has to be true of attributes: what was written last is read, by whom and when, as long as it is kept.

No two writes have a value in common, so a value that is read names its write. Nothing here knows in which order the
server carried out what was under way at the same time: a read is wrong where no order explains it.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from typing import Any, Final

import attrs

from rtmcore.client.events import ChannelAttributesUpdated
from rtmcore.errors import RtmError
from tests.simulation.errands import BOARDS
from tests.simulation.history import Call, History, Life, never_executed
from tests.simulation.spans import SETTLED, Spans

GRACE: Final = 120.0
"""Seconds for which the attributes of a channel are kept that nobody is in."""
_DOUBT: Final = 15.0
"""Seconds by which an application may believe too long that somebody is in a channel."""
_TOLD_WITHIN: Final = 60.0
"""Seconds after which everybody is told, whose connection has not broken meanwhile."""
_USER_NOT_FOUND: Final = 6
_WALL_SLACK: Final = 0.002
_WRITES: Final = ("set", "update", "delete", "clear")


@attrs.define(eq=False)
class Write:
    """A change of the attributes of one user or channel."""

    life: Life
    call: Call
    how: str
    values: dict[str, str]
    """What is written."""
    deleted: tuple[str, ...]
    notify: bool
    ended: float
    """When it had been carried out at the latest, if it was."""
    sure: bool
    """Whether it was carried out."""

    @property
    def begun(self) -> float:
        """When it had not been carried out yet."""
        return self.call.begun

    @property
    def replaces(self) -> bool:
        """Whether it deletes all else."""
        return self.how in ("set", "clear")

    def touches(self, key: str) -> bool:
        """Whether it is about a key."""
        return self.replaces or key in self.values or key in self.deleted


def write_of(life: Life, call: Call, prefix: str) -> tuple[str, Write] | None:
    """The write that a call was, and its channel or user."""
    owner, _, rest = call.name.rpartition(".")
    how = rest.removesuffix("_attributes")
    if owner != prefix or how not in _WRITES or not call.made:
        return None
    whose, arguments = life.user, call.arguments
    if prefix == "channel_info":
        whose, arguments = arguments[0], arguments[1:]
    values = dict(arguments[0]) if how in ("set", "update") else {}
    deleted = tuple(arguments[0]) if how == "delete" else ()
    ended = call.done if call.ok and call.done is not None else float("inf")
    notify = bool(call.options.get("notify"))
    return whose, Write(life, call, how, values, deleted, notify, ended, call.ok)


class AttributeJudge:
    """Judges all attributes of a world.

    Args:
        history: Of the world.
        spans: What is certain of its lives.
    """

    def __init__(self, history: History, spans: Spans) -> None:
        self.history = history
        self.spans = spans
        self.of_channels: dict[str, list[Write]] = defaultdict(list)
        self.of_lives: dict[Life, list[Write]] = defaultdict(list)
        self.by_value: dict[str, Write] = {}
        self.channel_reads: dict[str, list[tuple[Life, Call]]] = defaultdict(list)
        self.user_reads: list[tuple[Life, Call]] = []
        for life in history.lives:
            for call in life.calls if life.kind == "rtm" else ():
                self._collect(life, call)

    def _collect(self, life: Life, call: Call) -> None:
        if call.name == "channel_info.get_attributes" and call.ok:
            self.channel_reads[call.arguments[0]].append((life, call))
        elif call.name == "users.get_attributes" and call.made and call.done is not None:
            self.user_reads.append((life, call))
        elif (found := write_of(life, call, "channel_info")) is not None:
            self.of_channels[found[0]].append(found[1])
            self.by_value.update(dict.fromkeys(found[1].values.values(), found[1]))
        elif (found := write_of(life, call, "users")) is not None:
            self.of_lives[life].append(found[1])
            self.by_value.update(dict.fromkeys(found[1].values.values(), found[1]))

    def judge(self) -> None:
        """Find everything that is wrong."""
        for channel, reads in self.channel_reads.items():
            ChannelReads(self, channel, self.of_channels[channel]).judge(reads)
        for life, call in self.user_reads:
            self._judge_user_read(life, call)
        for life in self.history.lives:
            for time, event in life.events:
                if isinstance(event, ChannelAttributesUpdated):
                    self._judge_notice(life, time, event)
        for channel, writes in self.of_channels.items():
            for write in writes:
                if write.notify and write.sure:
                    self._judge_told(channel, write)

    def wrong(self, time: float, text: str) -> None:
        """Note a violation."""
        self.history.violation(time, text)

    def was_refused(self, write: Write) -> bool:
        """Whether a write was not carried out, for certain."""
        call = write.call
        if call.done is None or call.ok or not never_executed(call):
            return False
        return not self.spans.restarted(call.begun, call.done)

    # --- Attributes of users ----------------------------------------------------------

    def _judge_user_read(self, life: Life, call: Call) -> None:
        assert call.done is not None
        user = call.arguments[0]
        owners = self.spans.lives.get(user, [])
        there = [each for each in owners if self.spans.is_sure(each, call.begun, call.done)]
        if isinstance(call.error, RtmError):
            if call.error.code == _USER_NOT_FOUND and there:
                self.wrong(call.done, f"{life.name} is told that {user} is not there, who is")
            return
        asked = _asked(call, [write for owner in owners for write in self.of_lives[owner]])
        what = f"{life.name} read {call.value} of {user}"
        for key, value in call.value.items():
            write = self.by_value.get(value)
            if write is None or write.life.user != user or write.values.get(key) != value or key not in asked:
                self.wrong(call.done, f"{what}, which he has never written, or which was not asked for")
            elif self.was_refused(write):
                self.wrong(call.done, f"{what}, but {value} was refused: {write.call.error}")
            else:
                self._judge_user_value(call, key, write, what)
        for owner in there:
            self._judge_absence(call, owner, [key for key in asked if key not in call.value], what)

    def _judge_user_value(self, call: Call, key: str, write: Write, what: str) -> None:
        """A value is that of the session that goes on, and was not overwritten in it."""
        assert call.done is not None
        after = False
        for other in self.of_lives[write.life]:
            if other is write:
                after = True
            elif after and other.sure and other.ended < call.begun and other.touches(key):
                self.wrong(call.done, f"{what}, but {write.values[key]} was overwritten by {other.call}")
                return
        begun = _session_begun(write.life, write.begun)
        for life in self.spans.lives[write.life.user]:
            for login in life.calls:
                later = login.name == "login" and login.ok and login.begun > max(begun, write.begun)
                if later and (login.done or 1e18) < call.begun and not self.spans.restarted(begun, call.done):
                    self.wrong(call.done, f"{what}, but {life.name} has logged in since {write.values[key]}")
                    return

    def _judge_absence(self, call: Call, owner: Life, missing: list[str], what: str) -> None:
        """What was written in a session is there, unless it was overwritten."""
        assert call.done is not None
        session = _session_begun(owner, call.begun)
        writes = [each for each in self.of_lives[owner] if each.begun >= session]
        for key in missing:
            last: Write | None = None
            for write in writes:
                if write.begun > call.done or not write.touches(key):
                    continue
                if key in write.values:
                    if write.sure and write.ended < call.begun:
                        last = write
                elif not self.was_refused(write):
                    last = None
            if last is not None and not self.spans.late(last.begun - SETTLED, call.done):
                self.wrong(call.done, f"{what}, without {key} {last.values[key]}")

    # --- What members are told --------------------------------------------------------

    def _judge_notice(self, life: Life, time: float, event: ChannelAttributesUpdated) -> None:
        """Members are told of a change only where its writer wants it."""
        writes = self.of_channels[event.channel]
        found = event.attributes
        for key, attribute in found.items():
            write = self.by_value.get(attribute.value)
            if write is None or write.values.get(key) != attribute.value:
                self.wrong(time, f"{life.name} is told of {event}: {attribute} was never written")
                return
        deletions = [write for write in writes if write.notify and not write.values and write.begun <= time]
        if any(not any(map(write.touches, found)) for write in deletions):
            return
        if not found:
            self.wrong(time, f"{life.name} is told of {event}, which nobody wanted to be told")
            return
        newest = max(attribute.server_time for attribute in found.values())
        if self.history.walls[-1][1] or len({step for _, step in self.history.walls}) > 1:
            # The newest is not known for certain after the clock has moved.
            latest = list(found.values())
        else:
            latest = [each for each in found.values() if each.server_time == newest]
        if not any(self.by_value[each.value].notify for each in latest):
            self.wrong(time, f"{life.name} is told of {event}, which nobody wanted to be told")

    def _judge_told(self, channel: str, write: Write) -> None:
        """All members are told of a change where its writer wants it."""
        until = write.ended + _TOLD_WITHIN
        for life in self.history.lives:
            if life.kind != "rtm" or not self._is_there(life, channel, write.begun, until):
                continue
            if not any(
                isinstance(event, ChannelAttributesUpdated)
                and event.channel == channel
                and write.begun <= time <= until
                and _shows(event, write)
                for time, event in life.events
            ):
                self.wrong(
                    write.ended, f"{life.name} is not told of {write.call} {write.values} in {channel}"
                )

    def _is_there(self, life: Life, channel: str, begin: float, end: float) -> bool:
        """Whether a client was in a channel all the time, on the same connection."""
        if end > self.spans.end or not any(
            low <= begin and end <= high for low, high in self.spans.memberships(life, channel)
        ):
            return False
        if not any(low <= begin and end <= high for low, high in self.spans.connected(life)):
            return False
        opened = [low for low, _ in life.wires if low is not None]
        return any(low <= begin for low in opened) and not any(begin - SETTLED < low <= end for low in opened)


def _asked(call: Call, writes: list[Write]) -> list[str]:
    """The keys that a read asks for: all that were ever written, where it names none."""
    if len(call.arguments) > 1 and call.arguments[1] is not None:
        return list(call.arguments[1])
    return sorted({key for write in writes for key in write.values})


def _shows(event: ChannelAttributesUpdated, write: Write) -> bool:
    found = {key: attribute.value for key, attribute in event.attributes.items()}
    if write.replaces:
        return found == write.values
    return all(found.get(key) == value for key, value in write.values.items()) and not any(
        key in found for key in write.deleted
    )


def _session_begun(life: Life, time: float) -> float:
    """When the login was made in whose session something happened."""
    return max(
        (each.begun for each in life.calls if each.name == "login" and each.begun <= time), default=0.0
    )


class ChannelReads:
    """Judges what was read of one channel.

    Args:
        judge: Has the history.
        channel: The channel.
        writes: All writes of it.
    """

    def __init__(self, judge: AttributeJudge, channel: str, writes: list[Write]) -> None:
        self._judge = judge
        self._spans = judge.spans
        self.channel = channel
        self.writes = sorted(
            (write for write in writes if not judge.was_refused(write)), key=lambda write: write.begun
        )
        self.lapses = self._find_lapses()

    def _find_lapses(self) -> list[tuple[float, float]]:
        """When the attributes may have been dropped since nobody was there: from when, and until when."""
        alive = [(write.begun, write.begun, write.ended) for write in self.writes if write.sure]
        alive += [(start, start, start) for start in self._judge.history.starts]
        alive += [(begin, end, begin) for begin, end in self._spans.members(self.channel)]
        lapses = []
        since = self._judge.history.start
        for begin, end, settled in sorted(alive):
            if begin - since > GRACE - _DOUBT:
                lapses.append((since + GRACE - _DOUBT, settled))
            since = max(since, end)
        lapses.append((since + GRACE - _DOUBT, float("inf")))
        return lapses

    def judge(self, reads: list[tuple[Life, Call]]) -> None:
        """Find everything that is wrong."""
        for _, call in reads:
            for attribute in call.value.values():
                write = self._judge.by_value.get(attribute.value)
                if write is not None and not self._spans.restarted(
                    write.begun, min(write.ended, self._spans.end)
                ):
                    # Who is read was carried out, whatever its writer has heard.
                    write.sure = True
                    write.ended = min(write.ended, call.done or write.ended)
        every = self._judge.of_channels[self.channel]
        keys = {key for write in every for key in (*write.values, *write.deleted)}
        orders = {key: _Order(self.writes, key, self.lapses) for key in sorted(keys)}
        for life, call in reads:
            self._judge_read(life, call, orders)

    def _judge_read(self, life: Life, call: Call, orders: dict[str, "_Order"]) -> None:
        assert call.done is not None
        asked = _asked(call, self.writes)
        what = (
            f"{life.name} read { {key: found.value for key, found in call.value.items()} } of {self.channel}"
        )
        seen: dict[str, Write] = {}
        for key, found in call.value.items():
            write = self._judge.by_value.get(found.value)
            if write is None or write.values.get(key) != found.value or key not in asked:
                self._judge.wrong(call.done, f"{what}, which nobody has written, or which was not asked for")
                return
            seen[key] = write
            wrong = self._explain_value(call, key, found, write, orders[key])
            if wrong:
                self._judge.wrong(call.done, f"{what}: {found.value} {wrong}")
        for key in asked:
            if (
                key in orders
                and key not in seen
                and not orders[key].may_be_absent(call.begun, call.done, seen.values())
            ):
                self._judge.wrong(call.done, f"{what}, without {key}")
            older = seen.get(key)
            for write in seen.values() if older is not None else ():
                if (
                    write is not older
                    and write.touches(key)
                    and older is not None
                    and older.ended < write.begun
                ):
                    self._judge.wrong(call.done, f"{what}: of {write.call} a part only")

    def _explain_value(self, call: Call, key: str, found: Any, write: Write, order: "_Order") -> str:
        assert call.done is not None
        if self._judge.was_refused(write):
            return f"was refused: {write.call.error}"
        if order.newest_before(call.begun) > write.ended:
            return "was overwritten"
        if found.writer != write.life.user:
            return f"was not written by {found.writer}"
        steps = self._spans.wall_steps(write.begun, min(write.ended, call.done))
        start = self._judge.history.start
        time = found.server_time - 1_700_000_000.0 + start
        latest = min(write.ended, call.done) + max(steps) / 1e6 + _WALL_SLACK
        if not write.begun + min(steps) / 1e6 - _WALL_SLACK <= time <= latest:
            return f"was not written at {time - start:.3f}"
        if self.channel in BOARDS and self._is_over(write, call.begun):
            return "was to be dropped long before"
        return ""

    def _is_over(self, write: Write, now: float) -> bool:
        """Whether nobody has kept the attributes of a channel alive that nobody is ever in, for certain."""
        if write.ended > now:
            return False
        last = write.ended
        # One of which nobody has heard may wait for the disk for ever so long.
        touches = [(each.begun, each.ended) for each in self.writes]
        touches += [(start, start) for start in self._judge.history.starts]
        for begin, end in sorted(touches):
            if end <= write.ended:
                continue
            if min(begin, now) - last > GRACE + _DOUBT:
                return True
            last = max(last, end)
        return now - last > GRACE + _DOUBT


class _Order:
    """What is certain of the order of the writes about one key.

    Args:
        writes: Of the channel.
        key: The key.
        lapses: When all may have been dropped.
    """

    def __init__(self, writes: list[Write], key: str, lapses: list[tuple[float, float]]) -> None:
        about = [write for write in writes if write.touches(key)]
        self._any = _Newest([write for write in about if write.sure])
        self._set = _Newest([write for write in about if write.sure and key in write.values])
        self._key = key
        gone = [(write.begun, write.ended) for write in about if key not in write.values]
        gone.append((0.0, 0.0))
        gone += lapses
        gone.sort()
        self._begun = [begin for begin, _ in gone]
        self._latest: list[float] = []
        latest = 0.0
        for _, end in gone:
            latest = max(latest, end)
            self._latest.append(latest)

    def newest_before(self, time: float) -> float:
        """When the write was begun, of those that had been carried out at a time, that was begun last."""
        return self._any.begun_before(time)

    def may_be_absent(self, begin: float, end: float, seen: Any) -> bool:
        """Whether the key may have been absent some time in a span, where the effects of some writes were seen."""
        newest = self._set.begun_before(begin)
        newest = max([newest, *(write.begun for write in seen if self._key in write.values)])
        return self._latest[bisect_right(self._begun, end) - 1] >= newest


class _Newest:
    """Finds when the latest of some writes was begun, of those that had ended."""

    def __init__(self, writes: list[Write]) -> None:
        ordered = sorted(writes, key=lambda write: write.ended)
        self._ended = [write.ended for write in ordered]
        self._begun: list[float] = []
        latest = 0.0
        for write in ordered:
            latest = max(latest, write.begun)
            self._begun.append(latest)

    def begun_before(self, time: float) -> float:
        at = bisect_left(self._ended, time)
        return self._begun[at - 1] if at else 0.0
