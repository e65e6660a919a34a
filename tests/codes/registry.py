"""Which tests produce which documented codes, and which codes cannot be produced.

A test that produces a code through the public API, against a real server, says so:

    @pytest.mark.produces(JoinChannelError.TIMEOUT)

or, where it is one of several that differ in their arguments only:

    @pytest.mark.parametrize(("code", "call"), [case(JoinChannelError.TIMEOUT, lambda channel: channel.join(0.1))])

The marks are read from the sources, so that nothing has to run. Codes are named `Family.MEMBER` here: members of
different enumerations with the same number are equal, and would be one key.
"""

import ast
from collections.abc import Iterator
from enum import IntEnum
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest

from rtmcore.codes import ConnectionChangeReason, RoomErrorCode, RtcConnectionChangeReason
from rtmcore.errors import ERROR_FAMILIES

TESTS: Final = Path(__file__).parents[1]
MARK: Final = "produces"

FAMILIES: Final[tuple[type[IntEnum], ...]] = (
    *ERROR_FAMILIES,
    ConnectionChangeReason,
    RtcConnectionChangeReason,
)
"""The enumerations whose members need a test each: error codes, and the reasons of the connection states."""

PERMITTED: Final = ("reserved", "deprecated", "internal", "out")
"""The kinds of reasons for which a code may have no test: what the documents say of it, or out of this project."""


def name_of(member: IntEnum) -> str:
    """A code as it is named here, `JoinChannelError.TIMEOUT` for example."""
    return f"{type(member).__name__}.{member.name}"


def case(code: IntEnum, *values: object) -> Any:
    """The arguments of a test that produces a code, the code among them, which comes first."""
    return pytest.param(code, *values, marks=pytest.mark.produces(code), id=name_of(code))


_RESERVED: Final = "reserved: seed 004, `RESERVED FOR FUTURE USE`"
_NO_REST: Final = "out: only in Twilio's full catalogue, which no seed has; rooms are not managed over HTTP"
_NO_SDP: Final = (
    "out: only in Twilio's full catalogue, which no seed has; there are no descriptions or codecs"
)
_NO_SOUND: Final = (
    "out: only in the headers of native RTC, which no seed has; there is no call that leads to it"
)

EXCUSED: Final[dict[str, str]] = {
    "LogoutError.REJECTED": _RESERVED,
    "RenewTokenError.REJECTED": _RESERVED,
    "LeaveChannelError.REJECTED": _RESERVED,
    "GetMembersError.REJECTED": _RESERVED,
    "PeerSubscriptionStatusError.REJECTED": _RESERVED,
    "AttributeOperationError.NOT_READY": "deprecated: seed 004, `DEPRECATED`",
    "SendPeerMessageError.INCOMPATIBLE_MESSAGE": (
        "out: it is about receivers of versions before files and images; every client of this protocol knows them"
    ),
    **{
        name_of(member): _NO_REST
        for member in (
            RoomErrorCode.ROOM_CREATE_FAILED,
            RoomErrorCode.ROOM_NOT_FOUND,
            RoomErrorCode.ROOM_MAX_PARTICIPANTS_OUT_OF_RANGE,
            RoomErrorCode.ROOM_TYPE_INVALID,
            RoomErrorCode.ROOM_TIMEOUT_OUT_OF_RANGE,
            RoomErrorCode.ROOM_STATUS_CALLBACK_METHOD_INVALID,
            RoomErrorCode.ROOM_STATUS_CALLBACK_INVALID,
            RoomErrorCode.ROOM_STATUS_INVALID,
            RoomErrorCode.ROOM_ROOM_EXISTS,
            RoomErrorCode.ROOM_INVALID_PARAMETERS,
            RoomErrorCode.ROOM_MEDIA_REGION_INVALID,
            RoomErrorCode.ROOM_MEDIA_REGION_UNAVAILABLE,
            RoomErrorCode.ROOM_SUBSCRIPTION_OPERATION_NOT_SUPPORTED,
            RoomErrorCode.ROOM_COMPLETED,
            RoomErrorCode.ROOM_AUDIO_ONLY_FLAG_NOT_SUPPORTED,
            RoomErrorCode.ROOM_TRACK_KIND_NOT_SUPPORTED,
            RoomErrorCode.PARTICIPANT_NOT_FOUND,
        )
    },
    "RoomErrorCode.TRACK_NAME_IS_DUPLICATED": (
        "out: only in Twilio's full catalogue, which no seed has; two data tracks of one name are one track here"
    ),
    **{
        name_of(member): _NO_SDP
        for member in (
            RoomErrorCode.TRACK_SERVER_TRACK_CAPACITY_REACHED,
            RoomErrorCode.MEDIA_CLIENT_LOCAL_DESC_FAILED,
            RoomErrorCode.MEDIA_SERVER_LOCAL_DESC_FAILED,
            RoomErrorCode.MEDIA_CLIENT_REMOTE_DESC_FAILED,
            RoomErrorCode.MEDIA_SERVER_REMOTE_DESC_FAILED,
            RoomErrorCode.MEDIA_NO_SUPPORTED_CODEC,
            RoomErrorCode.CONFIGURATION_ACQUIRE_FAILED,
            RoomErrorCode.CONFIGURATION_ACQUIRE_TURN_FAILED,
        )
    },
    **{
        name_of(member): _NO_SOUND
        for member in (
            RtcConnectionChangeReason.SETTING_PROXY_SERVER,
            RtcConnectionChangeReason.CLIENT_IP_ADDRESS_CHANGED,
            RtcConnectionChangeReason.ECHO_TEST,
            RtcConnectionChangeReason.CLIENT_IP_ADDRESS_CHANGED_BY_USER,
            RtcConnectionChangeReason.TOO_MANY_BROADCASTERS,
        )
    },
}
"""Code -> why no test produces it: one of the permitted kinds, a colon, and where that is said."""


@cache
def producers() -> dict[str, tuple[str, ...]]:
    """The tests that produce each code.

    Returns:
        Code -> ids of tests (`tests/codes/test_login.py::test_...`), in the order of the files. Codes without a test
        are absent.
    """
    found: dict[str, list[str]] = {}
    for file in sorted(TESTS.rglob("test_*.py")):
        source = file.read_text(encoding="utf-8")
        if f"mark.{MARK}" not in source and "case(" not in source:
            continue
        for function in ast.walk(ast.parse(source)):
            if isinstance(function, ast.FunctionDef):
                test = f"{file.relative_to(TESTS.parent)}::{function.name}"
                for member in _marked(function, test):
                    tests = found.setdefault(name_of(member), [])
                    if test not in tests:
                        tests.append(test)
    return {code: tuple(tests) for code, tests in found.items()}


def _marked(function: ast.FunctionDef, test: str) -> Iterator[IntEnum]:
    """What the decorators of a test name, those of its parameters included."""
    for decorator in function.decorator_list:
        for call in ast.walk(decorator):
            if isinstance(call, ast.Call):
                if isinstance(call.func, ast.Attribute) and call.func.attr == MARK:
                    named = call.args
                elif isinstance(call.func, ast.Name) and call.func.id == case.__name__:
                    named = call.args[:1]
                else:
                    continue
                for argument in named:
                    yield _member(ast.unparse(argument), test)


def _member(text: str, test: str) -> IntEnum:
    family, _, name = text.removeprefix("codes.").removeprefix("rtmsync.").partition(".")
    for known in FAMILIES:
        if known.__name__ == family and name in known.__members__:
            return known[name]
    raise ValueError(f"{test} is marked as producing {text}, which is no documented code")
