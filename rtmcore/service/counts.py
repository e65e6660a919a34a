"""How many members a channel has, told to them: on their own join, and then not too often when it changes."""

from heapq import heappop, heappush

from rtmcore.limits import LARGE_MEMBER_COUNT_INTERVAL, MEMBER_COUNT_INTERVAL
from rtmcore.service.commands.names import RTM
from rtmcore.service.context import NodeContext
from rtmcore.service.feeds import Feed
from rtmcore.service.logs import Member
from rtmcore.wire.packets import MemberCount


class MemberCounter:
    """Tells members how many they are. What does not change costs nothing; of several changes the last is told.

    A channel of up to ``member_events`` members is told once in `limits.MEMBER_COUNT_INTERVAL` at most, and a
    larger one once in `limits.LARGE_MEMBER_COUNT_INTERVAL`; so is each member, his own join included.

    Args:
        context: The node's common ground.
    """

    def __init__(self, context: NodeContext) -> None:
        self._context = context
        self._due: list[tuple[float, int, Feed]] = []
        self._scheduled = 0

    def enter(self, member: Member, version: int, count: int, *, tell: bool = True) -> None:
        """Tell a member that has just joined.

        Args:
            member: The member.
            version: Of the member list that the engine has told with the join.
            count: How many members that list has.
            tell: False for one that has returned and knows this version.
        """
        feed = member.feed
        if feed.kind != RTM:
            return
        self.change(feed, version, count)
        member.counted = feed.count
        if tell or version != feed.count_version:
            member.counted_at = self._context.now
            member.connection.say(MemberCount(feed.channel, feed.count))

    def change(self, feed: Feed, version: int, count: int) -> None:
        """Take the number of a channel's members, and tell them of it when it is time."""
        if version <= feed.count_version:
            return
        feed.count_version = version
        if count != feed.count:
            feed.count = count
            if not feed.count_due and feed.members:
                self._schedule(feed, max(self._context.now, feed.counted_at + self._interval(count)))

    def next_deadline(self) -> float | None:
        """When `handle_timer` must be called next, in monotonic seconds."""
        return self._due[0][0] if self._due else None

    def handle_timer(self, now: float) -> None:
        """Tell the channels whose time has come."""
        while self._due and self._due[0][0] <= now:
            _, _, feed = heappop(self._due)
            feed.count_due = False
            self._tell(feed, now)

    def _tell(self, feed: Feed, now: float) -> None:
        count = feed.count
        interval = self._interval(count)
        due, early = [], False
        for member in feed.members.values():
            if member.counted == count:
                continue
            if member.counted_at + interval > now:
                early = True
            else:
                member.counted, member.counted_at = count, now
                due.append(member)
        if due:
            feed.counted_at = now
            feed.tell(MemberCount(feed.channel, count), due)
        if early:
            self._schedule(feed, now + interval)

    def _schedule(self, feed: Feed, due: float) -> None:
        feed.count_due = True
        self._scheduled += 1
        heappush(self._due, (due, self._scheduled, feed))

    def _interval(self, count: int) -> float:
        small = count <= self._context.limits["member_events"]
        return MEMBER_COUNT_INTERVAL if small else LARGE_MEMBER_COUNT_INTERVAL
