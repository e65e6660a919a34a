"""The explanation of a code."""

from collections.abc import Mapping
from enum import IntEnum
from typing import Final

from rtmcore.codes import (
    CloseCode,
    ConnectionChangeReason,
    LeaveChannelReason,
    RoomErrorCode,
    RtcConnectionChangeReason,
    UserOfflineReason,
)
from rtmcore.errors import ERROR_FAMILIES
from rtmcore.explanations import messages, reasons, session, users
from rtmcore.explanations.model import Explanation
from rtmcore.explanations.rooms import ROOM_EXPLANATIONS

_ALL: Final[Mapping[type[IntEnum], Mapping[str, Explanation]]] = {
    **session.EXPLANATIONS,
    **messages.EXPLANATIONS,
    **users.EXPLANATIONS,
    RoomErrorCode: ROOM_EXPLANATIONS,
    **reasons.EXPLANATIONS,
}

FAMILIES: Final[tuple[type[IntEnum], ...]] = (
    *ERROR_FAMILIES,
    ConnectionChangeReason,
    LeaveChannelReason,
    RtcConnectionChangeReason,
    UserOfflineReason,
    CloseCode,
)
"""The enumerations whose members are explained: error codes, reasons and close codes."""


def explanation(code: IntEnum) -> Explanation:
    """What a code means, why it happens, and what to do.

    Args:
        code: A member of one of the FAMILIES.

    Raises:
        ValueError: It is not.
    """
    found = _ALL.get(type(code), {}).get(code.name)
    if found is None:
        raise ValueError(f"{type(code).__name__}.{code.name} is not a code that is explained.")
    return found
