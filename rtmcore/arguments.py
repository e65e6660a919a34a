"""The shapes of arguments that clients and servers judge alike: users, channels, attributes, and questions."""

from collections.abc import Mapping, Sequence
from typing import Any

from rtmcore.codes import (
    AttributeOperationError,
    ChannelMemberCountError,
    PeerSubscriptionStatusError,
    QueryPeersOnlineError,
)
from rtmcore.figures import DOCUMENTED, Sizes
from rtmcore.identifiers import explain_invalid_id
from rtmcore.limits import HISTORY_PAGE_SIZES


def explain_invalid_users(
    users: Sequence[object], sizes: Sizes = DOCUMENTED
) -> tuple[PeerSubscriptionStatusError, str] | None:
    """Say what is wrong with the users of a subscription.

    Args:
        users: User ids.
        sizes: The figures in force.

    Returns:
        The documented code and one sentence; None where all is well.
    """
    if not users:
        return PeerSubscriptionStatusError.INVALID_ARGUMENT, "No user is named."
    if len(users) > sizes.subscriptions:
        text = f"{len(users)} users are named; at most {sizes.subscriptions} are allowed."
        return PeerSubscriptionStatusError.OVERFLOW, text
    for user in users:
        wrong = explain_invalid_id(user, "user id", sizes.user_id)
        if wrong is not None:
            return PeerSubscriptionStatusError.INVALID_ARGUMENT, wrong
    return None


def explain_invalid_query(
    users: Sequence[object], sizes: Sizes = DOCUMENTED
) -> tuple[QueryPeersOnlineError, str] | None:
    """Say what is wrong with the users whose online states are asked for.

    Args:
        users: User ids.
        sizes: The figures in force.

    Returns:
        The documented code and one sentence; None where all is well.
    """
    invalid = QueryPeersOnlineError.INVALID_ARGUMENT
    if not users:
        return invalid, "No user is named."
    if len(users) > sizes.query_users:
        return invalid, f"{len(users)} users are named; at most {sizes.query_users} are allowed."
    for user in users:
        wrong = explain_invalid_id(user, "user id", sizes.user_id)
        if wrong is not None:
            return invalid, wrong
    return None


def explain_invalid_channels(
    channels: Sequence[object], sizes: Sizes = DOCUMENTED
) -> tuple[ChannelMemberCountError, str] | None:
    """Say what is wrong with the channels whose members are to be counted.

    Args:
        channels: Channel ids.
        sizes: The figures in force.

    Returns:
        The documented code and one sentence; None where all is well.
    """
    if not channels:
        return ChannelMemberCountError.INVALID_ARGUMENT, "No channel is named."
    if len(channels) > sizes.count_channels:
        text = f"{len(channels)} channels are named; at most {sizes.count_channels} are allowed."
        return ChannelMemberCountError.EXCEED_LIMIT, text
    for channel in channels:
        wrong = explain_invalid_id(channel, "channel id", sizes.channel_id)
        if wrong is not None:
            return ChannelMemberCountError.INVALID_ARGUMENT, wrong
    return None


def explain_invalid_attributes(
    attributes: Mapping[Any, Any], *, of_channel: bool = False, sizes: Sizes = DOCUMENTED
) -> tuple[AttributeOperationError, str] | None:
    """Say what is wrong with attributes.

    Args:
        attributes: Value by key.
        of_channel: Whether they are a channel's; otherwise a user's.
        sizes: The figures in force.

    Returns:
        The documented code and one sentence, in which neither keys nor values are quoted; None where all is well.
    """
    owner, most, most_bytes = "A user", sizes.attributes, sizes.attributes_bytes
    if of_channel:
        owner, most, most_bytes = "A channel", sizes.channel_attributes, sizes.channel_attributes_bytes
    if len(attributes) > most:
        text = f"{owner} has at most {most} attributes, not {len(attributes)}."
        return AttributeOperationError.SIZE_OVERFLOW, text
    total = 0
    for key, value in attributes.items():
        if not isinstance(value, str):
            return AttributeOperationError.INVALID_ARGUMENT, "Keys and values of attributes are strings."
        wrong = _explain_invalid_key(key, sizes.attribute_key)
        if wrong is not None:
            return AttributeOperationError.INVALID_ARGUMENT, wrong
        value_size = _size(value)
        total += _size(key) + value_size
        if not value:
            return AttributeOperationError.INVALID_ARGUMENT, "The value of an attribute is not empty."
        if value_size > sizes.attribute_value:
            text = f"The value of an attribute has at most {sizes.attribute_value} bytes, not {value_size}."
            return AttributeOperationError.SIZE_OVERFLOW, text
    if total > most_bytes:
        text = f"{owner}'s attributes have at most {most_bytes} bytes together, not {total}."
        return AttributeOperationError.SIZE_OVERFLOW, text
    return None


def fitting_attributes(attributes: Mapping[str, str], sizes: Sizes) -> dict[str, str]:
    """As many attributes of a user as the figures in force allow: the first of those that are not too large.

    Args:
        attributes: Value by key, allowed by figures that were in force before.
        sizes: The figures in force.
    """
    fitting: dict[str, str] = {}
    for key, value in attributes.items():
        more = {**fitting, key: value}
        if explain_invalid_attributes(more, sizes=sizes) is None:
            fitting = more
    return fitting


def explain_invalid_keys(
    keys: Sequence[object], *, of_channel: bool = False, sizes: Sizes = DOCUMENTED
) -> tuple[AttributeOperationError, str] | None:
    """Say what is wrong with keys of attributes that are to be deleted or read.

    Args:
        keys: Keys, unknown ones too.
        of_channel: Whether they are a channel's; otherwise a user's.
        sizes: The figures in force.

    Returns:
        The documented code and one sentence, in which no key is quoted; None where all is well.
    """
    most = sizes.channel_attributes if of_channel else sizes.attributes
    if not keys:
        return AttributeOperationError.INVALID_ARGUMENT, "No key is named."
    if len(keys) > most:
        return AttributeOperationError.SIZE_OVERFLOW, f"There are at most {most} attributes, not {len(keys)}."
    for key in keys:
        wrong = _explain_invalid_key(key, sizes.attribute_key)
        if wrong is not None:
            return AttributeOperationError.INVALID_ARGUMENT, wrong
    return None


def explain_invalid_changes(
    changed: Mapping[Any, Any],
    deleted: Sequence[object],
    *,
    of_channel: bool = False,
    sizes: Sizes = DOCUMENTED,
) -> tuple[AttributeOperationError, str] | None:
    """Say what is wrong with changes of some attributes; whether the others leave room for them is the server's to say.

    Args:
        changed: New values by key.
        deleted: Keys to be deleted, unknown ones too.
        of_channel: Whether they are a channel's; otherwise a user's.
        sizes: The figures in force.

    Returns:
        The documented code and one sentence, in which neither keys nor values are quoted; None where all is well.
    """
    if not deleted:
        if not changed:
            return AttributeOperationError.INVALID_ARGUMENT, "No attribute is named."
        return explain_invalid_attributes(changed, of_channel=of_channel, sizes=sizes)
    wrong = explain_invalid_keys(deleted, of_channel=of_channel, sizes=sizes)
    if wrong is not None:
        return wrong
    if not changed.keys().isdisjoint(deleted):
        text = "An attribute cannot be changed and deleted at once."
        return AttributeOperationError.INVALID_ARGUMENT, text
    return explain_invalid_attributes(changed, of_channel=of_channel, sizes=sizes)


def explain_invalid_history(
    source: object,
    destination: object,
    *,
    channel: bool,
    start: int,
    end: int,
    limit: int,
    sizes: Sizes = DOCUMENTED,
) -> tuple[QueryPeersOnlineError, str] | None:
    """Say what is wrong with a question for the history, for which the documents name no codes of its own.

    Args:
        source: A user id, or None.
        destination: A user id or a channel id, or None.
        channel: Whether the destination is a channel.
        start: Milliseconds since 1970.
        end: The same, or 0 for now.
        limit: The size of a page.
        sizes: The figures in force.

    Returns:
        A code of the query of online states and one sentence; None where all is well.
    """
    wrong: str | None = None
    if source is None and destination is None:
        wrong = "Neither source nor destination is named."
    elif channel and destination is None:
        wrong = "A channel is meant, but no destination is named."
    elif end and end <= start:
        wrong = "The end does not lie after the start."
    elif limit not in HISTORY_PAGE_SIZES:
        wrong = f"A page of the history has {', '.join(map(str, HISTORY_PAGE_SIZES))} messages, not {limit}."
    if wrong is None and source is not None:
        wrong = explain_invalid_id(source, "source", sizes.user_id)
    if wrong is None and destination is not None:
        wrong = explain_invalid_id(destination, "destination", sizes.channel_id if channel else sizes.user_id)
    return None if wrong is None else (QueryPeersOnlineError.INVALID_ARGUMENT, wrong)


def _explain_invalid_key(key: object, most: int) -> str | None:
    if not isinstance(key, str):
        return "Keys and values of attributes are strings."
    if not 0 < _size(key) <= most or not key.isprintable():
        return f"A key of an attribute has 1 to {most} bytes of visible characters."
    return None


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
