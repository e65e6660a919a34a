"""What a configuration may say, and the one sentence for each mistake."""

import base64
import json
import os
import re
import time
from typing import Any

import pytest

from rtmcore.errors import InvalidArgument
from rtmcore.identifiers import is_valid_id
from rtmsync.contrib.settings import NAMES, Settings, fit_id

APP = "0123456789abcdef" * 2
SECRET = "0123456789abcdef" * 4
GIVEN: dict[str, Any] = {"URL": "wss://rtm.example.com", "APP_ID": APP}


def settings(base: str = "shop", **changes: Any) -> Settings:
    return Settings.from_mapping({**GIVEN, **changes}, prefix="RTM_", base=base)


def mint(user: str) -> str:
    return f"for-{user}"


def test_url_and_app_id_are_enough():
    found = settings()
    assert found.url == found.public_url == "wss://rtm.example.com"
    assert (found.app_id, found.server_key, found.listener, found.sender) == (APP, None, None, "shop")
    assert (found.transport, found.channels, dict(found.options)) == ("network", (), {})


def test_the_listener_hears_what_the_others_publish():
    # A message to a channel does not reach the user that it comes from.
    assert settings(LISTENER="orders").sender == "shop"
    assert settings(LISTENER="shop").sender == "web-shop"
    assert settings(LISTENER="orders", SENDER="desk").sender == "desk"


def test_none_counts_as_not_given():
    assert settings(**dict.fromkeys(set(NAMES) - set(GIVEN))) == settings()


def test_the_memory_transport_needs_nothing_else():
    found = Settings.from_mapping({"TRANSPORT": "memory"})
    assert found.transport == "memory"
    assert len(found.app_id) == 32


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"URL": None}, "RTM_URL is missing"),
        ({"URL": "http://rtm.example.com"}, "RTM_URL cannot be used. .*wss://host"),
        ({"URL": 7}, "RTM_URL has to be a text, not int"),
        ({"URL": "  "}, "RTM_URL is empty"),
        ({"PUBLIC_URL": "rtm.example.com"}, "RTM_PUBLIC_URL cannot be used"),
        ({"APP_ID": None}, "RTM_APP_ID is missing"),
        ({"APP_ID": "short"}, "RTM_APP_ID has to be 32 visible ASCII characters long"),
        ({"SERVER_KEY": 12345678901234567890}, "RTM_SERVER_KEY has to be a text, not int.*quotes"),
        ({"SERVER_KEY": "käse-käse-käse-käse"}, "RTM_SERVER_KEY cannot be used"),
        ({"USER_ID": "{name}"}, r"RTM_USER_ID has no \{name\}; there are \{base\}, \{host\}"),
        ({"USER_ID": "{pid"}, "RTM_USER_ID cannot be read"),
        ({"USER_ID": "{pid:x!}"}, "RTM_USER_ID cannot be read"),
        ({"USER_ID": "{}"}, r"RTM_USER_ID has no \{\}"),
        ({"USER_ID": "kä-{pid}"}, "RTM_USER_ID cannot be used"),
        ({"LISTENER": "null"}, "RTM_LISTENER cannot be used.*reserved"),
        ({"SENDER": "a" * 65}, "RTM_SENDER cannot be used.*65 bytes"),
        ({"CHANNELS": "orders"}, "RTM_CHANNELS is a list of channel ids, not str"),
        ({"CHANNELS": ["orders", ""]}, "RTM_CHANNELS cannot be used"),
        ({"TOKEN": 5}, "RTM_TOKEN has to be a text, not int"),
        ({"TOKEN": "kä"}, "RTM_TOKEN cannot be used"),
        ({"SECRET": "short"}, "RTM_SECRET cannot be used.*at least 32 bytes"),
        ({"TRANSPORT": "pigeon"}, "RTM_TRANSPORT is 'network' or 'memory', not 'pigeon'"),
        ({"OPTIONS": ["tls"]}, "RTM_OPTIONS is a mapping .*, not list"),
        ({"OPTIONS": {"speed": 9}}, "RTM_OPTIONS cannot be used. There is no option 'speed'"),
        ({"OPTIONS": {"timeouts": {"send": 0}}}, "RTM_OPTIONS cannot be used. The timeout of send"),
        ({"OPTIONS": {"token": "t"}}, "RTM_OPTIONS has no 'token': set RTM_TOKEN"),
        ({"SERVERKEY": "x"}, "There is no setting RTM_SERVERKEY; there are RTM_URL, "),
    ],
)
def test_a_mistake_is_told_in_one_sentence_that_names_the_key(changes, said):
    with pytest.raises(InvalidArgument, match=said):
        settings(**changes)


def test_no_sentence_and_no_repr_shows_a_secret():
    found = settings(SERVER_KEY="server-key-0123456789", SECRET=SECRET, TOKEN="eyJhbGciOiJIUzI1NiJ9.e30.xyz")
    assert "server-key" not in repr(found)
    assert SECRET not in repr(found)
    assert "eyJ" not in repr(found)
    with pytest.raises(InvalidArgument) as caught:
        settings(SECRET="short-but-secret")
    assert "short-but-secret" not in str(caught.value)


def test_each_process_has_a_user_id_of_its_own():
    found = settings(base="my shop/2")
    assert found.own_user_id() != found.own_user_id()
    assert re.fullmatch(rf"my shop2-.*-{os.getpid()}-[0-9a-f]{{8}}", found.own_user_id())
    assert not found.shared_user_id


def test_a_long_host_name_is_cut_to_fit(monkeypatch):
    monkeypatch.setattr("socket.gethostname", lambda: "h" * 63 + ".example.com")
    user = settings(base="b" * 64).own_user_id()
    assert is_valid_id(user)
    assert len(user) <= 64
    assert "-hhhh" in user


def test_a_pattern_without_pid_and_rand_is_one_name_for_all():
    found = settings(USER_ID="web-{base}")
    assert found.own_user_id() == "web-shop"
    assert found.shared_user_id


def test_what_cannot_stand_in_a_user_id_is_left_out():
    assert fit_id("kä/se") == "kse"
    assert settings(base="ÄÖ").sender == "app"


def claims(token: str) -> dict[str, Any]:
    body = token.split(".")[1]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    return found


def test_the_secret_makes_tokens_with_a_bounded_life():
    token = settings(SECRET=SECRET).make_token("alice")
    now = time.time()
    assert (claims(token)["aud"], claims(token)["sub"]) == (APP, "alice")
    assert claims(token)["exp"] - now <= 900
    assert claims(settings(SECRET=SECRET).make_token("alice", seconds=60))["exp"] - now <= 61
    scopes = {"login": True, "join": ["orders-*"]}
    assert claims(settings(SECRET=SECRET).make_token("alice", scopes=scopes))["rtm"] == scopes
    with pytest.raises(InvalidArgument, match="at most"):
        settings(SECRET=SECRET).make_token("alice", seconds=100_000)


def test_a_function_makes_tokens_itself_or_by_its_name():
    assert settings(TOKEN=mint).make_token("bob") == "for-bob"
    assert settings(TOKEN="tests.contrib.test_settings.mint").make_token("bob") == "for-bob"
    assert settings(TOKEN="tests.contrib.test_settings:mint").make_token("bob") == "for-bob"


@pytest.mark.parametrize(
    ("token", "said"),
    [
        ("tests.contrib.nowhere.mint", "cannot be imported"),
        ("tests.contrib.test_settings.absent", "cannot be imported"),
        ("tests.contrib.test_settings.SECRET", "not a function but str"),
        (lambda user: None, "has returned no token"),
        (lambda user: 5, "has returned no token.*not int"),
    ],
)
def test_a_function_that_is_none_is_told_when_it_is_asked(token, said):
    with pytest.raises(InvalidArgument, match=said):
        settings(TOKEN=token).make_token("bob")


def test_a_token_is_for_one_user_and_makes_no_others():
    found = settings(TOKEN="eyJhbGciOiJIUzI1NiJ9.e30.abc_def")
    assert not found.makes_tokens
    with pytest.raises(InvalidArgument, match="Neither SECRET nor a function in TOKEN"):
        found.make_token("bob")


def test_scopes_need_the_secret():
    with pytest.raises(InvalidArgument, match="Scopes need SECRET"):
        settings(TOKEN=mint).make_token("bob", scopes={"login": True})
