"""The system checks: what they find, and that they ask no network."""

import sys
import time
import types
from typing import Any

import pytest
from django.core import checks
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.test.utils import override_settings

from rtmsync.contrib.django.checks import TAG
from rtmsync.server.config import DEV_APP_ID
from rtmsync.server.tokens import TokenKey, make_token
from tests.contrib.conftest import KEY, SECRET

GOOD = {"URL": "wss://rtm.invalid", "APP_ID": DEV_APP_ID, "SERVER_KEY": KEY, "SECRET": SECRET}
MISSING = "missing"


def found(deploy: bool = False, debug: bool = False, **changes: Any) -> list[str]:
    """The ids of what the checks have to say about settings that are changed as told."""
    values = {name: value for name, value in {**GOOD, **changes}.items() if value is not MISSING}
    with override_settings(RTM={"default": values}, DEBUG=debug):
        return [each.id for each in checks.run_checks(tags=[TAG], include_deployment_checks=deploy)]


def token_for(seconds: float) -> str:
    return make_token(
        TokenKey(SECRET.encode()), app=DEV_APP_ID, user="desk", now=time.time(), seconds=seconds
    )


def mint(user: str) -> str:
    return user


NOT_A_FUNCTION = 1


@pytest.mark.parametrize(
    ("changes", "ids"),
    [
        ({}, []),
        ({"URL": MISSING}, ["rtmsync.E001"]),
        ({"URL": MISSING, "APP_ID": None}, ["rtmsync.E001", "rtmsync.E001"]),
        ({"URL": MISSING, "APP_ID": MISSING, "TRANSPORT": "memory"}, []),
        ({"URL": "https://rtm.invalid"}, ["rtmsync.E002"]),
        ({"URL": "wss://user:password@rtm.invalid"}, ["rtmsync.E002"]),
        ({"PUBLIC_URL": "rtm.invalid"}, ["rtmsync.E002"]),
        ({"URL": 7}, ["rtmsync.E002"]),
        ({"TOKEN": f"{__name__}.mint"}, []),
        ({"TOKEN": str.upper}, []),
        ({"TOKEN": f"{__name__}.missing"}, ["rtmsync.E003"]),
        ({"TOKEN": f"{__name__}.NOT_A_FUNCTION"}, ["rtmsync.E003"]),
        ({"TOKEN": "no.such.module.mint"}, ["rtmsync.E003"]),
        ({"SECRET": "short"}, ["rtmsync.E004"]),
        ({"APP_ID": "short"}, ["rtmsync.E004"]),
        ({"SERVER_KY": KEY}, ["rtmsync.E004"]),
        ({"OPTIONS": {"no_such": 1}}, ["rtmsync.E004"]),
        ({"USER_ID": "web"}, ["rtmsync.W001"]),
        ({"USER_ID": "web-{host}"}, ["rtmsync.W001"]),
        ({"USER_ID": "web-{pid}"}, []),
        ({"USER_ID": "web-{rand}"}, []),
    ],
    ids=str,
)
def test_mistakes_have_their_ids(changes: dict[str, Any], ids: list[str]) -> None:
    assert found(**changes) == ids


@pytest.mark.parametrize(
    "value", [MISSING, "wss://rtm.invalid", {"URL": "wss://rtm.invalid"}], ids=["missing", "text", "flat"]
)
def test_settings_of_another_shape_are_told_what_they_should_look_like(value: Any) -> None:
    with override_settings(RTM=value):
        if value is MISSING:
            from django.conf import settings

            del settings.RTM
        (error,) = checks.run_checks(tags=[TAG])
    assert error.id == "rtmsync.E001"
    assert "'default'" in error.hint


def test_every_server_is_looked_at() -> None:
    with override_settings(RTM={"default": GOOD, "second": {"URL": "x"}, "third": {"USER_ID": "a", **GOOD}}):
        said = checks.run_checks(tags=[TAG])
    # Django keeps its checks in a set.
    assert sorted((each.id, each.msg.split("]")[0]) for each in said) == [
        ("rtmsync.E001", "RTM['second'"),
        ("rtmsync.E002", "RTM['second'"),
        ("rtmsync.W001", "RTM['third'"),
    ]


def test_no_secret_is_shown() -> None:
    with override_settings(RTM={"default": {**GOOD, "SERVER_KEY": "ä", "SECRET": "hush-hush"}}):
        said = str(checks.run_checks(tags=[TAG]))
    assert "hush-hush" not in said
    assert "ä" not in said


@pytest.mark.parametrize(
    ("url", "debug", "ids"),
    [
        ("ws://rtm.invalid", False, ["rtmsync.W002"]),
        ("ws://rtm.invalid", True, []),
        ("wss://rtm.invalid", False, []),
    ],
)
def test_plain_connections_are_a_matter_of_deployment(url: str, debug: bool, ids: list[str]) -> None:
    assert found(deploy=True, debug=debug, URL=url) == ids
    assert found(deploy=False, debug=debug, URL=url) == []


def test_what_pages_connect_to_is_judged_too() -> None:
    assert found(deploy=True, URL="ws://10.0.0.1", PUBLIC_URL="wss://rtm.invalid") == ["rtmsync.W002"]
    assert found(deploy=True, PUBLIC_URL="ws://rtm.invalid") == ["rtmsync.W002"]


def test_a_token_has_to_outlive_the_time_in_which_it_is_renewed() -> None:
    assert found(SECRET=MISSING, TOKEN=token_for(20)) == ["rtmsync.W003"]
    assert found(SECRET=MISSING, TOKEN=token_for(60)) == []


@pytest.mark.parametrize(
    ("options", "ids"),
    [
        ({b"master": True}, ["rtmsync.W004"]),
        ({b"master": True, b"py-call-uwsgi-fork-hooks": True}, []),
        ({b"master": True, b"lazy-apps": True}, []),
    ],
    ids=str,
)
def test_uwsgi_is_asked_for_its_options(
    options: Any, ids: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    module = types.ModuleType("uwsgi")
    module.opt = options  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "uwsgi", module)
    assert found() == ids


def test_the_command_shows_them() -> None:
    with override_settings(RTM={"default": {}}), pytest.raises(SystemCheckError, match="E001"):
        call_command("check", tags=[TAG])
