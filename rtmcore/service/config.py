"""What a node is told before it starts, and what it announces of it."""

import math
from collections.abc import Mapping
from typing import Any, Final

import attrs

from rtmcore.figures import RATES
from rtmcore.limits import (
    ATTRIBUTE_KEY_BYTES,
    ATTRIBUTE_VALUE_BYTES,
    CHANNEL_ATTRIBUTES,
    CHANNEL_ATTRIBUTES_BYTES,
    CHANNEL_ID_BYTES,
    CHANNEL_MEMBERS_LISTED,
    CHANNELS_JOINED,
    DATA_FRAMES_KEPT,
    FRAME_BYTES,
    INBOX_WINDOW_BYTES,
    INBOX_WINDOW_MESSAGES,
    MEMBER_COUNT_CHANNELS,
    MEMBER_EVENTS_MAX,
    MESSAGE_BYTES,
    PACKETS_PER_FRAME,
    PAGE_BYTES,
    PRESENCE_QUERY_USERS,
    PRESENCE_SUBSCRIPTIONS,
    REPLAY_MAX,
    REPLAY_WINDOW,
    REQUESTS_IN_FLIGHT,
    RESULTS_REMEMBERED,
    ROOM_PARTICIPANTS,
    STORED_PAGE_MESSAGES,
    TRACK_NAME_BYTES,
    USER_ATTRIBUTES,
    USER_ATTRIBUTES_BYTES,
    USER_ID_BYTES,
    RateLimit,
)

KEEP: Final = "keep"
ABORT: Final = "abort"

_SIZES: Final[dict[str, int]] = {
    "message": MESSAGE_BYTES,
    "frame": FRAME_BYTES,
    "packets": PACKETS_PER_FRAME,
    "in_flight": REQUESTS_IN_FLIGHT,
    "results": RESULTS_REMEMBERED,
    "window": INBOX_WINDOW_MESSAGES,
    "window_bytes": INBOX_WINDOW_BYTES,
    "channels": CHANNELS_JOINED,
    "members": CHANNEL_MEMBERS_LISTED,
    "member_events": MEMBER_EVENTS_MAX,
    "user_id": USER_ID_BYTES,
    "channel_id": CHANNEL_ID_BYTES,
    "replay": REPLAY_MAX,
    "replay_ms": int(REPLAY_WINDOW * 1000),
    "subscriptions": PRESENCE_SUBSCRIPTIONS,
    "attributes": USER_ATTRIBUTES,
    "attributes_bytes": USER_ATTRIBUTES_BYTES,
    "attribute_key": ATTRIBUTE_KEY_BYTES,
    "attribute_value": ATTRIBUTE_VALUE_BYTES,
    "channel_attributes": CHANNEL_ATTRIBUTES,
    "channel_attributes_bytes": CHANNEL_ATTRIBUTES_BYTES,
    "count_channels": MEMBER_COUNT_CHANNELS,
    "query_users": PRESENCE_QUERY_USERS,
    "page": STORED_PAGE_MESSAGES,
    "page_bytes": PAGE_BYTES,
    "participants": ROOM_PARTICIPANTS,
    "track": TRACK_NAME_BYTES,
    "frames_kept": DATA_FRAMES_KEPT,
}
"""Limits of the welcome by name: sizes in bytes, times in milliseconds, the rest counts.

``message``
    Body of one message.
``frame``, ``packets``
    One WebSocket message: its size, and how many packets it may have.
``in_flight``
    Requests of one client that wait for their answer.
``results``
    Requests whose results are kept for repeats.
``window``, ``window_bytes``
    Inbox messages sent but not acknowledged, unless the hello asked for less.
``channels``
    Channels that one client is in at the same time.
``members``
    Members named in a list; a larger channel answers with a random choice.
``member_events``
    Members above which joins and leaves are not announced.
``user_id``, ``channel_id``
    Size of an id.
``replay``, ``replay_ms``
    Channel messages replayed after a return: how many, and how old they may be.
``subscriptions``
    Users whose online state one client has subscribed to.
``attributes``, ``attributes_bytes``, ``attribute_key``, ``attribute_value``
    Attributes of one user: how many, and the size of all together, of a key, and of a value.
``channel_attributes``, ``channel_attributes_bytes``
    The same of one channel.
``count_channels``, ``query_users``
    Channels in one question for member counts, and users in one for online states.
``page``, ``page_bytes``
    Stored messages in one page, and the bodies in a page of them or of the history together.
``participants``
    Participants of a room.
``track``, ``frames_kept``
    Size of the name of a data track, and data frames that wait for one receiver.
"""


def _announced(rates: Mapping[str, RateLimit], *, limited: bool) -> dict[str, int]:
    announced = dict(_SIZES)
    for name, rate in rates.items():
        announced[f"rate_{name}"] = rate.count if limited else 0
        announced[f"rate_{name}_ms"] = round(rate.seconds * 1000)
    return announced


ANNOUNCED_LIMITS: Final[dict[str, int]] = _announced(RATES, limited=True)
"""The limits of the welcome by name, where a server is configured to nothing else.

Each rate of `rtmcore.figures.RATES` has two: ``rate_`` and its name is the count, which is 0 where there is no limit;
the same with ``_ms`` behind it the time.
"""


def _check_rates(config: Any, attribute: Any, rates: Mapping[str, RateLimit]) -> None:
    for name, rate in rates.items():
        if name not in RATES:
            raise ValueError(f"rates names {name!r}, which is no rate; there are {', '.join(RATES)}.")
        if rate.count < 1 or not 0 < rate.seconds < math.inf:
            raise ValueError(f"rates has a count below 1 or a time that is not above 0 s for {name!r}.")


@attrs.frozen(kw_only=True)
class NodeConfig:
    """Settings of a node.

    Args:
        node: Name of this node, unique among those that share an engine.
        allowed_origins: Origins of pages that may connect besides the server's own, for example
            ``https://example.org``.
        dev: True refuses every Host that is not a name of this machine's loopback.
        rate_limits: False switches the rates off, for benchmarks and tests.
        rate_factor: By how much more often than documented a client may call, above 0; 1 by default. It does not
            concern the rates that are named.
        rates: Rates in place of the documented ones, by the names of `rtmcore.figures.RATES`.
        durability: What an accepted offline message survives: ``memory``, ``disk`` or ``replicated``.
        token_policy: What an expired token does to a connected session: ``keep`` (nothing, as in the seeds)
            or ``abort`` (version 1.5).
    """

    node: str
    allowed_origins: tuple[str, ...] = ()
    dev: bool = False
    rate_limits: bool = True
    rate_factor: float = attrs.field(default=1.0, validator=attrs.validators.gt(0))
    rates: Mapping[str, RateLimit] = attrs.field(factory=dict, validator=_check_rates)
    durability: str = attrs.field(
        default="memory", validator=attrs.validators.in_(("memory", "disk", "replicated"))
    )
    token_policy: str = attrs.field(default=KEEP, validator=attrs.validators.in_((KEEP, ABORT)))

    @property
    def all_rates(self) -> dict[str, RateLimit]:
        """The rates that are in force, by name."""
        factor = self.rate_factor
        usual = {
            name: RateLimit(max(1, math.floor(rate.count * factor)), rate.seconds)
            for name, rate in RATES.items()
        }
        return {**usual, **self.rates}

    @property
    def announced_limits(self) -> dict[str, int]:
        """What a welcome says of the limits."""
        return _announced(self.all_rates, limited=self.rate_limits)
