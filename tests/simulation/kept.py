"""What has to be true of messages that are kept at the server: stored ones, those with a time to live, the history."""

from collections import defaultdict
from itertools import pairwise
from typing import Any, Final

from rtmcore.models import HistoryPage, PeerMessage, PublishResult, SendResult
from tests.simulation.history import Call, History, Life, never_executed
from tests.simulation.spans import Spans

KEPT_OFFLINE: Final = 200
PAGE: Final = 100
SHORT_PAGE: Final = 20
_CACHED, _PEER_UNREACHABLE = 4, 3
_PENDING: Final = 100.0
"""Seconds after which a message of which nobody has heard is on the disk, or never will be."""


class KeptJudge:
    """Judges what is kept in a world.

    Args:
        history: Of the world.
        spans: What is certain of its lives.
    """

    def __init__(self, history: History, spans: Spans) -> None:
        self.history = history
        self.spans = spans
        self.sent: dict[bytes, tuple[Life, Call]] = {}
        """Messages to users and channels, by body."""
        self.kept: list[tuple[Life, Call]] = []
        """Those that are to be kept in the history."""
        self.to: dict[str, list[tuple[Life, Call]]] = defaultdict(list)
        """Messages to a user."""
        self.flushes: dict[str, list[Call]] = defaultdict(list)
        self.given: dict[bytes, list[tuple[float, Life]]] = defaultdict(list)
        self.taken: dict[bytes, float] = {}
        """When an application has taken a message first."""
        for life in history.lives:
            if life.kind == "rtm":
                self._collect(life)

    def _collect(self, life: Life) -> None:
        for call in life.calls:
            if not call.made:
                continue
            if call.name in ("send_peer", "publish"):
                self.sent[call.arguments[2]] = life, call
                if call.options.get("history"):
                    self.kept.append((life, call))
                if call.name == "send_peer":
                    self.to[call.arguments[0]].append((life, call))
            elif call.name == "history.flush_stored" and not never_executed(call):
                self.flushes[life.user].append(call)
        for time, event in life.events:
            if isinstance(event, PeerMessage):
                self.given[event.body].append((time, life))
        for each in life.taken:
            self.taken[each.message.body] = min(each.time, self.taken.get(each.message.body, each.time))

    def judge(self) -> None:
        """Find everything that is wrong."""
        for user, flushes in self.flushes.items():
            for flush in flushes:
                if flush.ok:
                    self._judge_flush(user, flush)
        for messages in self.to.values():
            for life, call in messages:
                if call.options.get("ttl") is not None and is_cached(call):
                    self._judge_life(life, call)
        for life in self.spans.history.lives:
            for call in life.calls:
                if call.ok and call.name == "history.stored":
                    self._judge_stored(life, call)
                elif call.ok and call.name == "history.query":
                    self._judge_page(life, call)

    def _wrong(self, call: Call, text: str) -> None:
        self.history.violation(call.done or call.begun, text)

    # --- Stored messages --------------------------------------------------------------

    def may_be_dropped(self, call: Call, until: float | None = None) -> bool:
        """Whether its receiver may have dropped a stored message by some time, or its own time may have."""
        until = self.history.end if until is None else until
        return self._is_over(call, until) or any(
            flush.begun <= until and (flush.done or 1e18) >= call.begun
            for flush in self.flushes[call.arguments[0]]
        )

    def _is_over(self, call: Call, now: float) -> bool:
        """Whether the time of a message may have been over at some time until now."""
        ttl = call.options.get("ttl")
        if ttl is None:
            return False
        clocks = [(time, step) for time, step in self.history.walls if time <= now]
        ends = [*(time for time, _ in clocks[1:]), now]
        accepted = call.begun + min(self.spans.wall_steps(call.begun, call.done or now)) / 1e6
        return any(
            end + step / 1e6 >= accepted + ttl
            for (_, step), end in zip(clocks, ends, strict=True)
            if end >= call.begun
        )

    def _judge_flush(self, user: str, flush: Call) -> None:
        """What was stored before is never given to another connection."""
        assert flush.done is not None
        for sender, call in self.to[user]:
            if not is_cached(call) or (call.done or 0.0) >= flush.begun:
                continue
            for time, life in self.given[call.arguments[2]]:
                opened = _opened(life, time)
                if opened is not None and opened > flush.done:
                    self.history.violation(
                        time,
                        f"{life.name} got {call.number} of {sender.name}, which was flushed "
                        f"{time - flush.done:.3f} s before",
                    )

    def _judge_life(self, sender: Life, call: Call) -> None:
        """Whoever comes after its time does not get a message, if it was stored in time."""
        for time, life in self.given[call.arguments[2]]:
            opened = _opened(life, time)
            if opened is None or opened < (call.done or 0.0):
                continue
            if any((end or 1e18) > call.begun for begin, end in life.wires if (begin or 0.0) < opened):
                # It may have been sent before, and was lost with that connection.
                continue
            late = self._overdue(call, opened, time)
            if late > 0.0:
                self.history.violation(
                    time,
                    f"{life.name} got {call.number} of {sender.name} {late:.3f} s after its time was over",
                )

    def _overdue(self, call: Call, begin: float, end: float) -> float:
        """For how long the time of a message was over for certain."""
        accepted = (call.done or 0.0) + max(self.spans.wall_steps(call.begun, call.done or 0.0)) / 1e6
        now = begin + min(self.spans.wall_steps(begin, end)) / 1e6
        return float(now - accepted - call.options["ttl"])

    def _judge_stored(self, life: Life, call: Call) -> None:
        """A list of stored messages has all of them, in order, and nothing else."""
        page: HistoryPage = call.value
        what = f"{life.name} is told of stored messages"
        if any(after.id <= before.id for before, after in pairwise(page.messages)):
            self._wrong(call, f"{what} out of order: {page}")
        if len(page.messages) != min(PAGE, page.count):
            self._wrong(call, f"{what}: {len(page.messages)} of {page.count}")
        listed = set()
        for message in page.messages:
            listed.add(message.body)
            known = self.sent.get(message.body)
            wrong = self._explain_unstored(life, call, message, known)
            if wrong:
                self._wrong(call, f"{what}: {message}, {wrong}")
        if page.count > PAGE or self._is_pending(life.user, call):
            return
        for sender, send in self.to[life.user]:
            if not is_cached(send) or (send.done or 0.0) >= call.begun or send.arguments[2] in listed:
                continue
            if self.taken.get(send.arguments[2], 1e18) <= (call.done or 0.0):
                continue
            if self.may_be_dropped(send, call.done) or len(self.to[life.user]) >= KEPT_OFFLINE:
                continue
            self._wrong(call, f"{what}, without {send.number} of {sender.name}")

    def _explain_unstored(self, life: Life, call: Call, message: Any, known: tuple[Life, Call] | None) -> str:
        if known is None or known[1].name != "send_peer" or message.channel:
            return "which nobody has sent"
        sender, send = known
        if (sender.user, send.arguments[0]) != (
            message.source,
            life.user,
        ) or message.destination != life.user:
            return "which was sent by or to somebody else"
        if not send.options.get("offline"):
            return "which was not to be stored"
        if is_cached(send):
            if send.value.message_id != message.id:
                return f"which has the id {send.value.message_id}"
            for flush in self.flushes[life.user]:
                if flush.ok and (flush.done or 1e18) < call.begun and (send.done or 1e18) < flush.begun:
                    return "which was flushed"
            if send.options.get("ttl") is not None:
                late = self._overdue(send, call.begun, call.done or call.begun)
                if late > 0.0:
                    return f"whose time was over {late:.3f} s before"
        elif self._was_refused(send):
            return f"which was refused: {send.error or send.value}"
        return ""

    def _is_pending(self, user: str, call: Call) -> bool:
        """Whether messages to a user were under way, behind which others are not seen."""
        return any(
            send.begun <= (call.done or 0.0)
            and (send.begun + _PENDING if not send.ok else send.done or 0.0) >= call.begun
            for _, send in self.to[user]
        )

    def _was_refused(self, call: Call) -> bool:
        """Whether a message was not accepted, for certain."""
        if call.done is None or self.spans.restarted(call.begun, call.done):
            return False
        if call.ok:
            return isinstance(call.value, SendResult) and int(call.value.status) == _PEER_UNREACHABLE
        return never_executed(call)

    # --- The history ------------------------------------------------------------------

    def _judge_page(self, life: Life, call: Call) -> None:
        """A page of the history has what was accepted, in order, once, and nothing else."""
        page: HistoryPage = call.value
        asked = call.options
        what = f"{life.name} asked {asked}, and is told"
        if "start" in asked or "end" in asked:
            return
        ascending, offset = asked.get("ascending", False), asked.get("offset", 0)
        ids = [message.id for message in page.messages]
        if any((after > before) is not ascending or after == before for before, after in pairwise(ids)):
            self._wrong(call, f"{what} {ids}")
        if len(ids) != max(0, min(asked.get("limit", SHORT_PAGE), page.count - offset)):
            self._wrong(call, f"{what} {len(ids)} of {page.count}")
        found = set()
        for message in page.messages:
            if message.body in found:
                self._wrong(call, f"{what} twice of {message}")
            found.add(message.body)
            wrong = self._explain_unkept(asked, message)
            if wrong:
                self._wrong(call, f"{what} of {message}, {wrong}")
        missing = [
            sent.value.message_id
            for sender, sent in self.kept
            if sent.arguments[2] not in found and _is_kept(sender, sent, asked, call.begun)
        ]
        if page.count > offset + len(ids):
            # What lies behind this page was not asked for.
            last = ids[-1] if ids else None
            missing = [each for each in missing if last is not None and (each < last) is ascending]
        if ids:
            missing_inside = [each for each in missing if (each > ids[0]) is ascending]
        else:
            missing_inside = [] if page.count else missing
        if missing_inside or len(missing) > offset:
            self._wrong(call, f"{what} {ids}, without {missing}")

    def _explain_unkept(self, asked: dict[str, Any], message: Any) -> str:
        known = self.sent.get(message.body)
        if known is None:
            return "which nobody has sent"
        sender, sent = known
        if not sent.options.get("history"):
            return "which was not to be kept"
        if not _fits(sender, sent, asked) or sender.user != message.source:
            return "which was not asked for"
        result = sent.value
        if isinstance(result, SendResult | PublishResult) and result.message_id not in (0, message.id):
            return f"which has the id {result.message_id}"
        return f"which was refused: {sent.error or result}" if self._was_refused(sent) else ""


def _is_kept(sender: Life, sent: Call, asked: dict[str, Any], before: float) -> bool:
    """Whether a message was in the history at a time, and fits a question."""
    accepted = isinstance(sent.value, SendResult | PublishResult) and sent.value.message_id
    return bool(accepted) and (sent.done or 1e18) < before and _fits(sender, sent, asked)


def _fits(sender: Life, sent: Call, asked: dict[str, Any]) -> bool:
    to = asked.get("channel", asked.get("destination"))
    name = "publish" if "channel" in asked else "send_peer"
    return sender.user == asked.get("source", sender.user) and (
        to is None or (sent.name == name and sent.arguments[0] == to)
    )


def _opened(life: Life, time: float) -> float | None:
    """When the connection was opened on which a client got something."""
    return max((begin for begin, _ in life.wires if begin is not None and begin <= time), default=None)


def is_cached(call: Call) -> bool:
    """Whether a sender has heard that his message is stored."""
    return isinstance(call.value, SendResult) and int(call.value.status) == _CACHED
