"""What a node is told before it starts, and what it announces of it."""

import math
from collections.abc import Mapping
from typing import Any, Final

import attrs

from rtmcore.figures import RATES
from rtmcore.limits import (
    EVENT_FEED_RATE,
    HTTP_CHANNEL_MESSAGE_RATE,
    HTTP_PEER_MESSAGE_RATE,
    MEDIA_TICKET_RATE,
    RATE_COUNT_MAX,
    RATE_SECONDS_MAX,
    RateLimit,
)
from rtmcore.service.capacity import explain_invalid_limits, in_force, told

KEEP: Final = "keep"
ABORT: Final = "abort"


HTTP_SENDS: Final = "http_send"
HTTP_PUBLISHES: Final = "http_publish"
HTTP_EVENTS: Final = "http_events"
HTTP_TICKETS: Final = "http_tickets"

ALL_RATES: Final[dict[str, RateLimit]] = {
    **RATES,
    HTTP_SENDS: HTTP_PEER_MESSAGE_RATE,
    HTTP_PUBLISHES: HTTP_CHANNEL_MESSAGE_RATE,
    HTTP_EVENTS: EVENT_FEED_RATE,
    HTTP_TICKETS: MEDIA_TICKET_RATE,
}
"""The rates by name: those of clients, and those of HTTP, which count per app; of tickets per user."""


def _announced(limits: Mapping[str, int], rates: Mapping[str, RateLimit], *, limited: bool) -> dict[str, int]:
    announced = told(limits)
    for name in RATES:
        rate = rates[name]
        announced[f"rate_{name}"] = rate.count if limited else 0
        announced[f"rate_{name}_ms"] = round(rate.seconds * 1000)
    return announced


ANNOUNCED_LIMITS: Final[dict[str, int]] = _announced({}, RATES, limited=True)
"""The limits of the welcome by name, where a server is configured to nothing else.

Each rate of `rtmcore.figures.RATES` has two: ``rate_`` and its name is the count, which is 0 where there is no limit;
the same with ``_ms`` behind it the time.
"""


def explain_invalid_rate(rate: RateLimit) -> str | None:
    """Say what is wrong with a rate, in the rest of a sentence; None where all is well."""
    if not 1 <= rate.count <= RATE_COUNT_MAX:
        return f"has the count {rate.count}; it is 1 to {RATE_COUNT_MAX}."
    if not 0 < rate.seconds <= RATE_SECONDS_MAX:
        return f"has {rate.seconds:g} seconds; they are above 0 and at most {RATE_SECONDS_MAX:g}."
    return None


def _check_rates(config: Any, attribute: Any, rates: Mapping[str, RateLimit]) -> None:
    for name, rate in rates.items():
        if name not in ALL_RATES:
            raise ValueError(f"rates names {name!r}, which is no rate; there are {', '.join(ALL_RATES)}.")
        wrong = explain_invalid_rate(rate)
        if wrong is not None:
            raise ValueError(f"rates.{name} {wrong}")


def _check_limits(config: Any, attribute: Any, limits: Mapping[str, int]) -> None:
    wrong = explain_invalid_limits(limits)
    if wrong:
        raise ValueError(" ".join(wrong))


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
        rates: Rates in place of the documented ones, by the names of `ALL_RATES`.
        limits: Sizes and counts in place of the documented ones, by the names of
            `rtmcore.service.capacity.FIGURES`.
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
    limits: Mapping[str, int] = attrs.field(factory=dict, validator=_check_limits)
    durability: str = attrs.field(
        default="memory", validator=attrs.validators.in_(("memory", "disk", "replicated"))
    )
    token_policy: str = attrs.field(default=KEEP, validator=attrs.validators.in_((KEEP, ABORT)))

    @property
    def all_rates(self) -> dict[str, RateLimit]:
        """The rates that are in force, by name."""
        factor = self.rate_factor
        usual = {
            name: RateLimit(min(max(1, math.floor(rate.count * factor)), RATE_COUNT_MAX), rate.seconds)
            for name, rate in ALL_RATES.items()
        }
        return {**usual, **self.rates}

    @property
    def all_limits(self) -> dict[str, int]:
        """The sizes and counts that are in force, by name."""
        return in_force(self.limits)

    @property
    def announced_limits(self) -> dict[str, int]:
        """What a welcome says of the limits."""
        return _announced(self.limits, self.all_rates, limited=self.rate_limits)
