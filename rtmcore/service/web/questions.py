"""Questions over HTTP: how many members there are, what was said, and who came and went."""

import math
import re
from http import HTTPStatus
from typing import Final

from rtmcore.arguments import explain_invalid_history
from rtmcore.codes import ChannelMemberCountError
from rtmcore.figures import HISTORY as HISTORY_RATE
from rtmcore.limits import HISTORY_PAGE_SIZES
from rtmcore.service.admission import SharedRates
from rtmcore.service.commands.channels import CountMembersOf
from rtmcore.service.commands.event_feeds import TakeEvents
from rtmcore.service.commands.history import ReadHistory
from rtmcore.service.config import HTTP_EVENTS
from rtmcore.service.context import NodeContext
from rtmcore.service.web.admission import admit
from rtmcore.service.web.problems import Problem, invalid
from rtmcore.service.web.reading import check_id, read_query
from rtmcore.service.web.routes import (
    CHANNEL_EVENTS,
    COUNTS,
    HISTORY,
    HISTORY_COUNT,
    USER_EVENTS,
    Job,
)

_MICROSECONDS: Final = 1_000_000
_LAST: Final = 2**53 - 1
"""The last position that there can be."""
_NUMBER: Final = re.compile(r"[0-9]{1,32}(\.[0-9]{1,32})?([eE][+-]?[0-9]{1,3})?")
_ORDERS: Final = {"asc": True, "desc": False}


class Questions:
    """Asks the engine for those who have a server key.

    Args:
        context: The node's common ground.
        history_rates: How often the history is asked about, by whoever it is.
    """

    def __init__(self, context: NodeContext, history_rates: SharedRates) -> None:
        self._context = context
        self._history_rates = history_rates
        self._event_rates = {
            operation: SharedRates(context.rates[HTTP_EVENTS]) for operation in (USER_EVENTS, CHANNEL_EVENTS)
        }
        self.begin = {
            COUNTS: self._count,
            HISTORY: self._read_history,
            HISTORY_COUNT: self._read_history,
            USER_EVENTS: self._take_events,
            CHANNEL_EVENTS: self._take_events,
        }
        """What carries out each operation; returns the seconds that it may take besides the engine's own."""

    def _count(self, job: Job, body: bytes) -> float:
        most = self._context.sizes.count_channels
        channels = tuple(
            dict.fromkeys(read_query(job, self._context.sizes.count_channels).get("channels", []))
        )
        if not channels:
            raise invalid(job, "Name at least one channel: ?channels=ID&channels=ID.")
        if len(channels) > most:
            raise Problem(
                HTTPStatus.BAD_REQUEST,
                f"Members of at most {most} channels are counted at once.",
                ChannelMemberCountError.EXCEED_LIMIT,
            )
        for channel in channels:
            check_id(job, channel, "channel id")
        self._context.submit(CountMembersOf(job.number, job.app, channels))
        return 0.0

    def _read_history(self, job: Job, body: bytes) -> float:
        query = {
            name: values[0] for name, values in read_query(job, self._context.sizes.count_channels).items()
        }
        if "destination" in query and "channel" in query:
            raise invalid(job, "Messages go to a user or to a channel, not to both.")
        start, end = (_time(job, query, name) for name in ("start", "end"))
        limit = _whole(job, query, "limit", HISTORY_PAGE_SIZES[0])
        offset = _whole(job, query, "offset", 0)
        order = query.get("order", "desc")
        if order not in _ORDERS:
            raise invalid(job, "order is asc, oldest first, or desc.")
        channel = "channel" in query
        source, destination = query.get("source"), query.get("channel", query.get("destination"))
        wrong = explain_invalid_history(
            source,
            destination,
            channel=channel,
            start=start,
            end=end,
            limit=limit,
            sizes=self._context.sizes,
        )
        if wrong is not None:
            raise invalid(job, wrong[1])
        admit(self._context, job, self._history_rates, HISTORY_RATE)
        self._context.submit(
            ReadHistory(
                app=job.app,
                asker=None,
                cmid=job.number,
                source=source,
                destination=destination,
                channel=channel,
                start=start,
                end=end or _LAST,
                offset=offset,
                limit=0 if job.route.operation == HISTORY_COUNT else limit,
                ascending=_ORDERS[order],
            )
        )
        return 0.0

    def _take_events(self, job: Job, body: bytes) -> float:
        read_query(job, self._context.sizes.count_channels)
        operation = job.route.operation
        admit(self._context, job, self._event_rates[operation], HTTP_EVENTS)
        self._context.submit(TakeEvents(job.number, job.app, job.key, operation == CHANNEL_EVENTS))
        return 0.0


def _time(job: Job, query: dict[str, str], name: str) -> int:
    """Microseconds since 1970; 0 where no time is named."""
    text = query.get(name)
    if text is None:
        return 0
    seconds = float(text) if _NUMBER.fullmatch(text) else math.nan
    if not 0 < seconds < _LAST / _MICROSECONDS:
        raise invalid(job, f"{name} is a time in seconds since 1970.")
    return max(1, round(seconds * _MICROSECONDS))


def _whole(job: Job, query: dict[str, str], name: str, default: int) -> int:
    text = query.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(_LAST)) and int(text) <= _LAST):
        raise invalid(job, f"{name} is a whole number from 0.")
    return int(text)
