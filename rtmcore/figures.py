"""The figures that a server may set otherwise than documented, by the names under which its welcome tells them.

Clients and servers judge by the same `Sizes` and rates. What a welcome says is not believed blindly: a figure that
makes no sense leaves the documented one, and none counts for more than the bounds that stand here.
"""

from collections.abc import Mapping
from typing import Final

import attrs

from rtmcore.limits import (
    ATTRIBUTE_KEY_BYTES,
    ATTRIBUTE_VALUE_BYTES,
    ATTRIBUTES_MAX,
    CHANNEL_ATTRIBUTES,
    CHANNEL_ATTRIBUTES_BYTES,
    CHANNEL_ATTRIBUTES_READ_RATE,
    CHANNEL_ATTRIBUTES_WRITE_RATE,
    CHANNEL_ID_BYTES,
    CHANNELS_JOINED,
    CHANNELS_JOINED_MAX,
    HISTORY_RATE,
    INVITATION_CONTENT_BYTES,
    INVITATION_RESPONSE_BYTES,
    JOIN_RATE,
    JOIN_SAME_CHANNEL_RATE,
    LISTED_NAMES_MAX,
    LOGIN_RATE,
    MEDIA_BYTES,
    MEDIA_BYTES_MAX,
    MEDIA_TRANSFERS,
    MEDIA_TRANSFERS_MAX,
    MEMBER_COUNT_CHANNELS,
    MEMBER_COUNT_RATE,
    MEMBER_EVENTS_MAX,
    MEMBERS_RATE,
    MESSAGE_BYTES,
    MESSAGE_BYTES_MAX,
    PEERS_SUBSCRIBED_RATE,
    PRESENCE_QUERY_RATE,
    PRESENCE_QUERY_USERS,
    PRESENCE_SUBSCRIBE_RATE,
    PRESENCE_SUBSCRIPTIONS,
    RATE_COUNT_MAX,
    RATE_SECONDS_MAX,
    RENEW_TOKEN_RATE,
    REQUESTS_IN_FLIGHT,
    SEND_RATE,
    STORED_RATE,
    TRACK_NAME_BYTES,
    USER_ATTRIBUTES,
    USER_ATTRIBUTES_BYTES,
    USER_ATTRIBUTES_READ_RATE,
    USER_ATTRIBUTES_WRITE_RATE,
    USER_ID_BYTES,
    RateLimit,
)

_MILLISECONDS: Final = 1000

# --- Rates ----------------------------------------------------------------------------------------------------

LOGINS: Final = "login"
SENDS: Final = "send"
JOINS: Final = "join"
SAME_JOINS: Final = "join_same"
MEMBERS: Final = "members"
COUNTS: Final = "counts"
RENEWALS: Final = "renew"
SUBSCRIPTIONS: Final = "subscribe"
WITHDRAWALS: Final = "unsubscribe"
SUBSCRIPTION_LISTS: Final = "subscriptions"
QUERIES: Final = "query"
USER_WRITES: Final = "attributes_write"
USER_READS: Final = "attributes_read"
CHANNEL_WRITES: Final = "channel_attributes_write"
CHANNEL_READS: Final = "channel_attributes_read"
STORED_LISTS: Final = "stored"
FLUSHES: Final = "flush"
HISTORY: Final = "history"

RATES: Final[dict[str, RateLimit]] = {
    LOGINS: LOGIN_RATE,
    SENDS: SEND_RATE,
    JOINS: JOIN_RATE,
    SAME_JOINS: JOIN_SAME_CHANNEL_RATE,
    MEMBERS: MEMBERS_RATE,
    COUNTS: MEMBER_COUNT_RATE,
    RENEWALS: RENEW_TOKEN_RATE,
    SUBSCRIPTIONS: PRESENCE_SUBSCRIBE_RATE,
    WITHDRAWALS: PRESENCE_SUBSCRIBE_RATE,
    SUBSCRIPTION_LISTS: PEERS_SUBSCRIBED_RATE,
    QUERIES: PRESENCE_QUERY_RATE,
    USER_WRITES: USER_ATTRIBUTES_WRITE_RATE,
    USER_READS: USER_ATTRIBUTES_READ_RATE,
    CHANNEL_WRITES: CHANNEL_ATTRIBUTES_WRITE_RATE,
    CHANNEL_READS: CHANNEL_ATTRIBUTES_READ_RATE,
    STORED_LISTS: STORED_RATE,
    FLUSHES: STORED_RATE,
    HISTORY: HISTORY_RATE,
}
"""The rates by name. Those of logins count per user, those of the history per app, all others per session."""


def announced_rates(limits: Mapping[str, int]) -> dict[str, RateLimit | None]:
    """The rates that a welcome tells.

    Args:
        limits: Of the welcome: ``rate_`` and a name is a count, the same with ``_ms`` behind it milliseconds.

    Returns:
        All rates of `RATES` by name, None for one that does not limit (a count of 0). What is not told, or makes no
        sense, is as documented; no count is above `limits.RATE_COUNT_MAX`, no time above `limits.RATE_SECONDS_MAX`.
    """
    return {name: _announced_rate(name, usual, limits) for name, usual in RATES.items()}


def _announced_rate(name: str, usual: RateLimit, limits: Mapping[str, int]) -> RateLimit | None:
    count = limits.get(f"rate_{name}", -1)
    if count == 0:
        return None
    milliseconds = limits.get(f"rate_{name}_ms", round(usual.seconds * _MILLISECONDS))
    if count < 0 or milliseconds <= 0:
        return usual
    longest = RATE_SECONDS_MAX * _MILLISECONDS
    told = RateLimit(min(count, RATE_COUNT_MAX), min(milliseconds, longest) / _MILLISECONDS)
    return usual if told == usual else told


# --- Sizes and counts -----------------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class Sizes:
    """The sizes and counts that clients keep before they send, and servers against those who do not.

    The names are those of the welcome. All are as documented where nothing else is given.

    Attributes:
        message: Bytes of a message, with its description.
        in_flight: Requests of one client that wait for their answer.
        channels: Channels that one client is in at the same time.
        user_id: Bytes of a user id.
        channel_id: Bytes of a channel id.
        subscriptions: Users subscribed to, in one request and in all.
        attributes: Attributes of a user.
        attributes_bytes: Bytes of their keys and values together.
        attribute_key: Bytes of a key, of users and of channels.
        attribute_value: Bytes of a value.
        channel_attributes: Attributes of a channel.
        channel_attributes_bytes: Bytes of their keys and values together.
        count_channels: Channels in one question for member counts.
        query_users: Users in one question for online states.
        invitation_content: Bytes of the content of an invitation.
        invitation_response: Bytes of an answer to one.
        member_events: Members of a channel above which joins and leaves are not told.
        track: Bytes of the name of a data track.
        file: Bytes of a file.
        transfers: Uploads and downloads at the same time.
    """

    message: int = MESSAGE_BYTES
    in_flight: int = REQUESTS_IN_FLIGHT
    channels: int = CHANNELS_JOINED
    user_id: int = USER_ID_BYTES
    channel_id: int = CHANNEL_ID_BYTES
    subscriptions: int = PRESENCE_SUBSCRIPTIONS
    attributes: int = USER_ATTRIBUTES
    attributes_bytes: int = USER_ATTRIBUTES_BYTES
    attribute_key: int = ATTRIBUTE_KEY_BYTES
    attribute_value: int = ATTRIBUTE_VALUE_BYTES
    channel_attributes: int = CHANNEL_ATTRIBUTES
    channel_attributes_bytes: int = CHANNEL_ATTRIBUTES_BYTES
    count_channels: int = MEMBER_COUNT_CHANNELS
    query_users: int = PRESENCE_QUERY_USERS
    invitation_content: int = INVITATION_CONTENT_BYTES
    invitation_response: int = INVITATION_RESPONSE_BYTES
    member_events: int = MEMBER_EVENTS_MAX
    track: int = TRACK_NAME_BYTES
    file: int = MEDIA_BYTES
    transfers: int = MEDIA_TRANSFERS


DOCUMENTED: Final = Sizes()
"""The sizes and counts as documented."""

SIZES_MAX: Final[dict[str, int]] = {
    "message": MESSAGE_BYTES_MAX,
    "in_flight": REQUESTS_IN_FLIGHT,
    "channels": CHANNELS_JOINED_MAX,
    "user_id": USER_ID_BYTES,
    "channel_id": CHANNEL_ID_BYTES,
    "subscriptions": LISTED_NAMES_MAX,
    "attributes": ATTRIBUTES_MAX,
    "attributes_bytes": CHANNEL_ATTRIBUTES_BYTES,
    "attribute_key": CHANNEL_ATTRIBUTES_BYTES,
    "attribute_value": CHANNEL_ATTRIBUTES_BYTES,
    "channel_attributes": ATTRIBUTES_MAX,
    "channel_attributes_bytes": CHANNEL_ATTRIBUTES_BYTES,
    "count_channels": LISTED_NAMES_MAX,
    "query_users": LISTED_NAMES_MAX,
    "invitation_content": INVITATION_CONTENT_BYTES,
    "invitation_response": INVITATION_RESPONSE_BYTES,
    "member_events": LISTED_NAMES_MAX,
    "track": TRACK_NAME_BYTES,
    "file": MEDIA_BYTES_MAX,
    "transfers": MEDIA_TRANSFERS_MAX,
}
"""The largest figure that each of `Sizes` may have, so that what it allows fits into frames and into memory."""


def announced_sizes(limits: Mapping[str, int]) -> Sizes:
    """The sizes and counts that a welcome tells.

    Args:
        limits: Of the welcome.

    Returns:
        What is not told, or is below 1, is as documented; nothing is above its figure of `SIZES_MAX`.
    """
    told = {name: min(limits[name], most) for name, most in SIZES_MAX.items() if limits.get(name, 0) > 0}
    sizes = Sizes(**told)
    return DOCUMENTED if sizes == DOCUMENTED else sizes


class Figures:
    """The figures that one client keeps: those of the last welcome, and the documented ones where it told none.

    Attributes:
        sizes: Sizes and counts.
        rates: Rates by name, see `RATES`; None for one that does not limit.
    """

    __slots__ = ("rates", "sizes")

    def __init__(self) -> None:
        self.sizes = DOCUMENTED
        self.rates: Mapping[str, RateLimit | None] = RATES

    def take(self, limits: Mapping[str, int]) -> None:
        """Keep what a welcome tells from now on."""
        self.sizes = announced_sizes(limits)
        rates = announced_rates(limits)
        # Most servers change nothing: then all clients of a process share one table.
        self.rates = RATES if rates == RATES else rates
