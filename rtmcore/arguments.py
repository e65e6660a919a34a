"""The shapes of arguments that clients and servers judge alike: lists of users, and attributes."""

from collections.abc import Mapping, Sequence
from typing import Any

from rtmcore.codes import AttributeOperationError, PeerSubscriptionStatusError
from rtmcore.identifiers import explain_invalid_id
from rtmcore.limits import (
    ATTRIBUTE_KEY_BYTES,
    ATTRIBUTE_VALUE_BYTES,
    PRESENCE_SUBSCRIPTIONS,
    USER_ATTRIBUTES,
    USER_ATTRIBUTES_BYTES,
)


def explain_invalid_users(users: Sequence[object]) -> tuple[PeerSubscriptionStatusError, str] | None:
    """Say what is wrong with the users of a subscription.

    Returns:
        The documented code and one sentence; None where all is well.
    """
    if not users:
        return PeerSubscriptionStatusError.INVALID_ARGUMENT, "No user is named."
    if len(users) > PRESENCE_SUBSCRIPTIONS:
        text = f"{len(users)} users are named; at most {PRESENCE_SUBSCRIPTIONS} are allowed."
        return PeerSubscriptionStatusError.OVERFLOW, text
    for user in users:
        wrong = explain_invalid_id(user, "user id")
        if wrong is not None:
            return PeerSubscriptionStatusError.INVALID_ARGUMENT, wrong
    return None


def explain_invalid_attributes(
    attributes: Mapping[Any, Any],
) -> tuple[AttributeOperationError, str] | None:
    """Say what is wrong with the attributes of a user.

    Returns:
        The documented code and one sentence, in which neither keys nor values are quoted; None where all is well.
    """
    if len(attributes) > USER_ATTRIBUTES:
        text = f"A user has at most {USER_ATTRIBUTES} attributes, not {len(attributes)}."
        return AttributeOperationError.SIZE_OVERFLOW, text
    total = 0
    for key, value in attributes.items():
        if not isinstance(key, str) or not isinstance(value, str):
            return AttributeOperationError.INVALID_ARGUMENT, "Keys and values of attributes are strings."
        key_size, value_size = _size(key), _size(value)
        total += key_size + value_size
        if not 0 < key_size <= ATTRIBUTE_KEY_BYTES or not key.isprintable():
            text = f"A key of an attribute has 1 to {ATTRIBUTE_KEY_BYTES} bytes of visible characters."
            return AttributeOperationError.INVALID_ARGUMENT, text
        if not value:
            return AttributeOperationError.INVALID_ARGUMENT, "The value of an attribute is not empty."
        if value_size > ATTRIBUTE_VALUE_BYTES:
            text = f"The value of an attribute has at most {ATTRIBUTE_VALUE_BYTES} bytes, not {value_size}."
            return AttributeOperationError.SIZE_OVERFLOW, text
    if total > USER_ATTRIBUTES_BYTES:
        text = f"A user's attributes have at most {USER_ATTRIBUTES_BYTES} bytes together, not {total}."
        return AttributeOperationError.SIZE_OVERFLOW, text
    return None


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
