"""What kinds of clients there are, and which settings fit them."""

from typing import Any

import pytest

from rtmcore.client.config import ClientConfig
from rtmcore.codes import LoginError, RoomErrorCode
from rtmcore.connection.policy import ROOM_POLICY, RTC_POLICY, RTM_POLICY, Policy
from rtmcore.connection.room import ROOM
from rtmcore.connection.rtc import RTC
from rtmcore.errors import InvalidArgument
from tests.core.wires import APP, URL, Bench


def config(**settings: Any) -> ClientConfig:
    return ClientConfig(**{"endpoints": URL, "app_id": APP, "user_id": "ann", **settings})


def test_each_kind_has_its_policy() -> None:
    assert config().policy is RTM_POLICY
    assert config(kind="rtc", scope="call").policy is RTC_POLICY
    assert config(kind="room", scope="daily").policy is ROOM_POLICY
    own = Policy(interrupted_after=2.0)
    assert config(policy=own).policy is own


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"kind": "video"}, "rtm, rtc, room"),
        ({"scope": "call"}, "no scope"),
        ({"kind": "rtc", "scope": 5}, "string"),
        ({"kind": "rtc", "scope": "call", "policy": ROOM_POLICY}, "another kind"),
        ({"aggregate_rules": "2021"}, "w3c, mdn2021"),
    ],
)
def test_settings_that_do_not_fit_are_named(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidArgument, match=words):
        config(**settings)


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        ({"user_id": ""}, LoginError.INVALID_ARGUMENT),
        ({"kind": "rtc", "scope": "call", "user_id": ""}, LoginError.INVALID_ARGUMENT),
        ({"kind": "room"}, RoomErrorCode.ROOM_NAME_INVALID),
        ({"kind": "room", "scope": None}, RoomErrorCode.ROOM_NAME_INVALID),
        ({"kind": "room", "scope": "x" * 65}, RoomErrorCode.ROOM_NAME_TOO_LONG),
        ({"kind": "room", "scope": "a/b"}, RoomErrorCode.ROOM_NAME_CHARS_INVALID),
        ({"kind": "room", "scope": "daily", "user_id": ""}, RoomErrorCode.PARTICIPANT_IDENTITY_INVALID),
        (
            {"kind": "room", "scope": "daily", "user_id": "x" * 65},
            RoomErrorCode.PARTICIPANT_IDENTITY_TOO_LONG,
        ),
        (
            {"kind": "room", "scope": "daily", "user_id": "a/b"},
            RoomErrorCode.PARTICIPANT_IDENTITY_CHARS_INVALID,
        ),
    ],
)
def test_names_that_are_not_valid_have_the_code_of_their_kind(settings: dict[str, Any], code: Any) -> None:
    with pytest.raises(InvalidArgument) as caught:
        config(**settings)
    assert caught.value.code is code


def test_the_hello_says_how_much_is_to_be_replayed() -> None:
    for wanted in (False, True):
        bench = Bench(replay_total=wanted).online()
        hello = bench.server.last.hello
        assert hello is not None
        assert (hello.kind, hello.scope, hello.replay_total) == ("rtm", "", wanted)


@pytest.mark.parametrize(
    ("figures", "words"),
    [
        ({"give_up_after": 60.0}, "RTM connection has no state for the policy's give_up_after"),
        ({"lost_after": 10.0}, "lost_after"),
        ({"final_refusals": frozenset({LoginError.INVALID_TOKEN})}, "final_refusals"),
        ({"model": ROOM, "lost_after": 10.0}, "Room signaling has no state"),
        ({"login_attempts": 0}, "at least 1"),
        ({"interrupted_after": 0.0}, "interrupted_after has to be above 0"),
    ],
)
def test_figures_that_a_model_does_not_know_are_named(figures: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidArgument, match=words):
        Policy(**figures)


def test_what_a_model_knows_may_be_left_out_or_moved() -> None:
    assert Policy(model=RTC, give_up_after=None).lost_after is None
    assert Policy(model=ROOM, give_up_after=5.0, login_attempts=3).give_up_after == 5.0
