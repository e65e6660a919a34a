"""Tokens made with a library that this project did not write, as docs/protocol/tokens.md says."""

import secrets
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest

from tests.interop.conftest import RunningServer, running_server
from tests.interop.wireclient import TEXT, MsgpackEncoding, WireClient

pytestmark = pytest.mark.interop

APP = "0123456789abcdef0123456789abcdef"
KEY, OLD_KEY = "a" * 32, "b" * 32


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    keys: Path = tmp_path_factory.mktemp("keys") / "app.key"
    keys.write_text(f"{KEY}\n{OLD_KEY}\n", encoding="ascii")
    with running_server("--app-id", APP, "--secret-file", str(keys)) as server:
        yield server


@pytest.fixture
def user() -> str:
    return f"user-{secrets.token_hex(6)}"


def token(user: str, key: str = KEY, algorithm: str = "HS256", **changes: Any) -> str:
    """A token; of a `timedelta` it makes that much from now."""
    claims = {"sub": user, "aud": APP, "exp": timedelta(hours=1), **changes}
    now = time.time()
    for name, value in claims.items():
        if isinstance(value, timedelta):
            claims[name] = now + value.total_seconds()
    return jwt.encode({name: value for name, value in claims.items() if value is not None}, key, algorithm)


@pytest.fixture
def login(guarded: RunningServer, user: str) -> Iterator[Any]:
    made: list[WireClient] = []

    def log_in(text: str | None) -> WireClient:
        made.append(WireClient(guarded.url, guarded.app, user, MsgpackEncoding(), text))
        made[-1].login()
        return made[-1]

    yield log_in
    for one in made:
        one.drop()


def refused_with(client: WireClient) -> int:
    (refused,) = [fields for tag, fields in client.packets if tag == "refused"]
    assert client.closed_with() == 4503
    return int(refused["code"])


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"aud": ["another", APP]},
        {"iat": timedelta(), "nbf": -timedelta(hours=1)},
        {"exp": timedelta(hours=23.9)},
        {"rtm": {"login": True}},
        {"something": "else"},
    ],
    ids=str,
)
def test_good_tokens(login: Any, user: str, changes: dict[str, Any]) -> None:
    alice = login(token(user, **changes))
    assert alice.welcome["token_expires"] > time.time() * 1000


def test_each_key_of_the_app_is_good(login: Any, user: str) -> None:
    assert login(token(user, OLD_KEY)).welcome


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"sub": "somebody-else"}, 5),
        ({"sub": None}, 5),
        ({"aud": "f" * 32}, 5),
        ({"aud": None}, 5),
        ({"exp": None}, 5),
        ({"exp": "tomorrow"}, 5),
        ({"exp": timedelta(hours=25)}, 5),
        ({"nbf": timedelta(hours=1)}, 5),
        ({"iat": timedelta(hours=1)}, 5),
        ({"key": "c" * 32}, 5),
        ({"algorithm": "HS512", "key": KEY * 2}, 5),
        ({"exp": -timedelta(minutes=1)}, 6),
        ({"rtm": {"login": False}}, 7),
        ({"rtm": {}}, 7),
        ({"rtm": "all"}, 5),
    ],
    ids=str,
)
def test_bad_tokens(login: Any, user: str, changes: dict[str, Any], code: int) -> None:
    assert refused_with(login(token(user, **changes))) == code


@pytest.mark.parametrize(
    "text", [None, "", "nonsense", "a.b.c", "x" * 9000], ids=["none", "empty", "word", "dots", "long"]
)
def test_what_is_no_token(login: Any, text: str | None) -> None:
    assert refused_with(login(text)) == 5


def test_an_unsigned_token_is_no_token(login: Any, user: str) -> None:
    assert refused_with(login(token(user, key="", algorithm="none"))) == 5


def test_scopes_limit_what_a_user_may_do(login: Any, user: str) -> None:
    alice = login(token(user, rtm={"login": True, "send": ["ch:room-*"], "join": ["room-*", "lobby"]}))
    assert alice.ask("join", ch="room-1")[0] == "joined"
    assert alice.ask("publish", ch="room-1", kind=TEXT, body=b"x")[0] == "published"
    assert alice.ask("join", ch="lobby")[0] == "joined"
    tag, failed = alice.ask("publish", ch="lobby", kind=TEXT, body=b"x")
    assert (tag, failed["code"]) == ("failed", 1)
    tag, failed = alice.ask("join", ch="elsewhere")
    assert (tag, failed["code"]) == ("failed", 2)
    tag, failed = alice.ask("send", to="bob", kind=TEXT, body=b"x")
    assert (tag, failed["code"]) == ("failed", 1)


def test_a_return_is_judged_by_its_token_too(login: Any, user: str) -> None:
    alice = login(token(user))
    fence, secret = alice.welcome["fence"], alice.welcome["secret"]
    alice.drop()
    alice.open()
    alice.token = token(user, exp=time.time() - 60)
    alice.hello(login=False, fence=fence, secret=secret)
    alice.wait_for(lambda: any(tag == "refused" for tag, _ in alice.packets))
    assert refused_with(alice) == 6
    alice.drop()
    alice.token = token(user)
    alice.come_back()
    assert alice.welcome["resumed"]
    assert alice.welcome["fence"] == fence


def test_a_return_without_the_secret_needs_a_good_token(login: Any, user: str) -> None:
    alice = login(token(user))
    alice.drop()
    alice.open()
    alice.token = None
    alice.hello(login=False, fence=alice.welcome["fence"], secret="guessed")
    alice.wait_for(lambda: any(tag == "refused" for tag, _ in alice.packets))
    assert refused_with(alice) == 5
