"""The kinds of sessions, in words: how their calls are named, and by which events their states are told."""

from collections.abc import Callable
from typing import Any, Final

import attrs

from rtmcore.client.events import Event, RtcStateChanged, SignalingChanged, StateChanged
from rtmcore.client.requests import (
    LOGIN,
    LOGOUT,
    ROOM_CONNECT,
    ROOM_DISCONNECT,
    RTC_JOIN,
    RTC_LEAVE,
    Operation,
)
from rtmcore.codes import RoomErrorCode
from rtmcore.errors import Aborted, RtmError, error_for

_ROOM_TEXTS: Final = {
    RoomErrorCode.SIGNALING_CONNECTION: "The signaling connection of the room cannot be established again",
    RoomErrorCode.SIGNALING_CONNECTION_DISCONNECTED: "The signaling connection of the room is interrupted",
    RoomErrorCode.SIGNALING_CONNECTION_TIMEOUT: "The signaling connection of the room was away for too long",
    RoomErrorCode.ACCESS_TOKEN_EXPIRED: "The token has expired, so that the room cannot be reached again",
    RoomErrorCode.PARTICIPANT_DUPLICATE_IDENTITY: "Another participant has connected with the same identity",
}


@attrs.frozen
class Kind:
    """What differs between sessions in their calls and events.

    Attributes:
        login: The call that begins a session.
        logout: The call that ends it.
        changed: Makes the event of a change of state, from the new state, its reason, the state before, and what
            brought it about.
        after_the_end: What to do when the session has ended for good, as a sentence.
    """

    login: Operation
    logout: Operation
    changed: Callable[[Any, Any, Any, RtmError | None], Event]
    after_the_end: str | None = Aborted.default_hint


def _state_changed(state: Any, reason: Any, previous: Any, cause: RtmError | None) -> Event:
    return StateChanged(state, reason, previous, cause)


def _rtc_state_changed(state: Any, reason: Any, previous: Any, cause: RtmError | None) -> Event:
    return RtcStateChanged(state, reason, previous, cause)


def _signaling_changed(state: Any, reason: Any, previous: Any, cause: RtmError | None) -> Event:
    if reason is None or (cause is not None and cause.code is reason):
        return SignalingChanged(state, previous, cause)
    why = "." if cause is None else f": {cause.message}"
    error = error_for(reason, f"{_ROOM_TEXTS[reason]}{why}", operation="room", state=state.name)
    error.__cause__ = cause
    return SignalingChanged(state, previous, error)


KINDS: Final = {
    "rtm": Kind(LOGIN, LOGOUT, _state_changed),
    "rtc": Kind(
        RTC_JOIN, RTC_LEAVE, _rtc_state_changed, "Nothing joins again by itself: call leave(), then join()."
    ),
    "room": Kind(
        ROOM_CONNECT,
        ROOM_DISCONNECT,
        _signaling_changed,
        "A room that is disconnected stays so: connect anew.",
    ),
}
"""By the name that a hello says."""
