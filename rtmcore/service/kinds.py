"""What differs between the name spaces: keepalive, requests, and what a wrong name or a refused login is called."""

from typing import Any, Final, get_args

from rtmcore.codes import LoginError, RoomErrorCode
from rtmcore.identifiers import explain_invalid_id
from rtmcore.limits import (
    CHANNEL_ID_BYTES,
    ID_CHARACTERS,
    OFFLINE_AFTER,
    ROOM_SESSION_TIMEOUT,
    RTC_REMOTE_OFFLINE_AFTER,
    USER_ID_BYTES,
)
from rtmcore.service.commands.names import ROOM, RTC, RTM
from rtmcore.wire.packets import GetMembers, Publish, RenewToken, Request

KEEPALIVES: Final = {RTM: OFFLINE_AFTER, RTC: RTC_REMOTE_OFFLINE_AFTER, ROOM: ROOM_SESSION_TIMEOUT}
"""Seconds of silence after which a session ends, by kind."""

LONGEST_KEEPALIVE: Final = max(KEEPALIVES.values())

USER_NAMES: Final = {RTM: "user id", RTC: "uid", ROOM: "identity"}
"""What a session's name is called, by kind."""

SCOPE_NAMES: Final = {RTC: "channel name", ROOM: "room name"}
"""What its scope is called; a session of the kind `rtm` has none."""

SERVED: Final[dict[str, frozenset[type[Any]]]] = {
    RTM: frozenset(get_args(Request)),
    RTC: frozenset((GetMembers, RenewToken)),
    ROOM: frozenset((Publish, GetMembers, RenewToken)),
}
"""Requests that a session may make, by kind; any other fails."""

_NAME_CODES: Final = (
    RoomErrorCode.PARTICIPANT_IDENTITY_INVALID,
    RoomErrorCode.PARTICIPANT_IDENTITY_TOO_LONG,
    RoomErrorCode.PARTICIPANT_IDENTITY_CHARS_INVALID,
)
_SCOPE_CODES: Final = (
    RoomErrorCode.ROOM_NAME_INVALID,
    RoomErrorCode.ROOM_NAME_TOO_LONG,
    RoomErrorCode.ROOM_NAME_CHARS_INVALID,
)

_DETAILS: Final[dict[LoginError, RoomErrorCode]] = {
    LoginError.INVALID_APP_ID: RoomErrorCode.ACCESS_TOKEN_ISSUER_INVALID,
    LoginError.INVALID_TOKEN: RoomErrorCode.ACCESS_TOKEN_INVALID,
    LoginError.TOKEN_EXPIRED: RoomErrorCode.ACCESS_TOKEN_EXPIRED,
    LoginError.NOT_AUTHORIZED: RoomErrorCode.ACCESS_TOKEN_GRANTS_INVALID,
    LoginError.TOO_OFTEN: RoomErrorCode.SIGNALING_SERVER_BUSY,
}


def room_code(code: LoginError) -> RoomErrorCode:
    """The room error that a refused login means where nothing says it more exactly."""
    return _DETAILS.get(code, RoomErrorCode.ROOM_CONNECT_FAILED)


def explain_invalid_name(kind: str, name: str) -> tuple[str, RoomErrorCode] | None:
    """Say what is wrong with a session's name, and the error that it is for a room; None where all is well."""
    wrong = explain_invalid_id(name, USER_NAMES[kind])
    return None if wrong is None else (wrong, _shape(name, USER_ID_BYTES, _NAME_CODES))


def explain_invalid_scope(kind: str, scope: str) -> tuple[str, RoomErrorCode] | None:
    """The same of the scope of a kind that has one: it is a channel id."""
    wrong = explain_invalid_id(scope, SCOPE_NAMES[kind])
    return None if wrong is None else (wrong, _shape(scope, CHANNEL_ID_BYTES, _SCOPE_CODES))


def _shape(value: str, most: int, codes: tuple[RoomErrorCode, RoomErrorCode, RoomErrorCode]) -> RoomErrorCode:
    invalid, too_long, characters = codes
    if len(value.encode("utf-8", "surrogatepass")) > most:
        return too_long
    return invalid if ID_CHARACTERS.issuperset(value) else characters
