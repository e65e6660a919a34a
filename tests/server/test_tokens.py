"""What a token lets in, and what each bad one is told. Times follow the process's clock."""

import base64
import hashlib
import hmac
import json
import pickle
import time

import jwt
import pytest
from freezegun import freeze_time

from rtmcore.codes import LoginError, RoomErrorCode
from rtmcore.errors import AuthError, InvalidArgument
from rtmcore.limits import TOKEN_BYTES, TOKEN_LEEWAY, TOKEN_SECONDS_MAX
from rtmcore.service.grants import Grant
from rtmsync.server.tokens import AppKeys, AppVerifier, TokenKey, make_token, signing_key

APP = "a" * 32
OPEN_APP = "b" * 32
KEY = TokenKey(b"k" * 32)
OLD_KEY = TokenKey(b"o" * 32, kid="old")
NEW_KEY = TokenKey(b"n" * 64, "HS512", kid="new")
VERIFY = AppVerifier([AppKeys(APP, (KEY, OLD_KEY, NEW_KEY)), AppKeys(OPEN_APP)])

pytestmark = pytest.mark.usefixtures("frozen")


@pytest.fixture
def frozen():
    with freeze_time("2026-11-20 12:00:00") as clock:
        yield clock


def verify(token: str | None, user: str = "alice", app: str = APP) -> Grant:
    return VERIFY(app, user, token, int(time.time() * 1000))


def refused(token: str | None, user: str = "alice", app: str = APP) -> tuple[object, str]:
    with pytest.raises(AuthError) as caught:
        verify(token, user, app)
    return caught.value.code, str(caught.value)


def signed(claims: dict[str, object], key: TokenKey = KEY, **headers: str) -> str:
    return jwt.encode(claims, key.secret, algorithm=key.algorithm, headers=headers or None)


def claims(**changes: object) -> dict[str, object]:
    now = int(time.time())
    merged = {"aud": APP, "sub": "alice", "iat": now, "exp": now + 60, **changes}
    return {name: value for name, value in merged.items() if value is not None}


@pytest.mark.parametrize("key", [KEY, OLD_KEY, NEW_KEY], ids=["nameless", "old", "new"])
def test_a_token_of_any_key_of_the_app_is_good(key: TokenKey) -> None:
    token = make_token(key, app=APP, user="alice", now=time.time(), seconds=60)
    assert verify(token) == Grant(expires=int((time.time() + 60) * 1000))


def test_an_app_without_keys_needs_no_token() -> None:
    assert verify(None, app=OPEN_APP) == Grant()


def test_scopes_reach_the_grant() -> None:
    scopes = {"login": True, "send": ["p2p", "ch:room-*"], "join": ["room-*"]}
    grant = verify(make_token(KEY, app=APP, user="alice", now=time.time(), scopes=scopes))
    assert grant.peers
    assert grant.may_publish("room-1")
    assert not grant.may_publish("hall")
    assert grant.may_join("room-1")
    assert not grant.may_join("hall")


def test_each_bad_token_is_told_its_own_cause(frozen) -> None:
    good = make_token(KEY, app=APP, user="alice", now=time.time(), seconds=60)
    now = time.time()
    cases = {
        "an unknown app": (good, {"app": "z" * 32}, LoginError.INVALID_APP_ID, "app id"),
        "no token": (None, {}, LoginError.INVALID_TOKEN, "needs a token"),
        "no JWT": ("rubbish", {}, LoginError.INVALID_TOKEN, "malformed"),
        "too long": ("x" * (TOKEN_BYTES + 1), {}, LoginError.INVALID_TOKEN, "longer"),
        "another user's": (good, {"user": "bob"}, LoginError.INVALID_TOKEN, "another user"),
        "another app's": (signed(claims(aud=OPEN_APP)), {}, LoginError.INVALID_TOKEN, "another app"),
        "wrongly signed": (signed(claims(), TokenKey(b"x" * 32)), {}, LoginError.INVALID_TOKEN, "not signed"),
        "unknown kid": (signed(claims(), OLD_KEY, kid="gone"), {}, LoginError.INVALID_TOKEN, "kid"),
        "kid of another key": (
            signed(claims(), OLD_KEY, kid="new"),
            {},
            LoginError.INVALID_TOKEN,
            "not signed",
        ),
        "another algorithm": (
            signed(claims(), TokenKey(b"k" * 64, "HS512")),
            {},
            LoginError.INVALID_TOKEN,
            "signed",
        ),
        "not yet valid": (signed(claims(nbf=now + 60)), {}, LoginError.INVALID_TOKEN, "not valid before"),
        "from the future": (signed(claims(iat=now + 3600)), {}, LoginError.INVALID_TOKEN, "future"),
        "too long-lived": (
            signed(claims(exp=now + 2 * TOKEN_SECONDS_MAX)),
            {},
            LoginError.INVALID_TOKEN,
            "24 hours",
        ),
        "no end": (signed(claims(exp=None)), {}, LoginError.INVALID_TOKEN, "exp"),
        "end is no time": (signed(claims(exp="soon")), {}, LoginError.INVALID_TOKEN, "exp"),
        "expired": (signed(claims(exp=now - TOKEN_LEEWAY)), {}, LoginError.TOKEN_EXPIRED, "expired"),
        "no login scope": (signed(claims(rtm={"send": ["p2p"]})), {}, LoginError.NOT_AUTHORIZED, "scope"),
        "scopes are no object": (signed(claims(rtm="all")), {}, LoginError.INVALID_TOKEN, "rtm"),
    }
    for name, (token, other, code, words) in cases.items():
        got, message = refused(token, **other)
        assert got == code, name
        assert words in message, name
        assert token is None or token not in message


def test_each_bad_token_is_told_as_a_room_calls_it() -> None:
    good = make_token(KEY, app=APP, user="alice", now=time.time(), seconds=60)
    now = time.time()
    code = RoomErrorCode
    cases: dict[str, tuple[str | None, dict[str, str], RoomErrorCode]] = {
        "an unknown app": (good, {"app": "z" * 32}, code.ACCESS_TOKEN_ISSUER_INVALID),
        "no token": (None, {}, code.ACCESS_TOKEN_INVALID),
        "no JWT": ("rubbish", {}, code.ACCESS_TOKEN_INVALID),
        "another user's": (good, {"user": "bob"}, code.ACCESS_TOKEN_ISSUER_INVALID),
        "another app's": (signed(claims(aud=OPEN_APP)), {}, code.ACCESS_TOKEN_ISSUER_INVALID),
        "wrongly signed": (signed(claims(), TokenKey(b"x" * 32)), {}, code.ACCESS_TOKEN_SIGNATURE_INVALID),
        "unknown kid": (signed(claims(), OLD_KEY, kid="gone"), {}, code.ACCESS_TOKEN_HEADER_INVALID),
        "not yet valid": (signed(claims(nbf=now + 60)), {}, code.ACCESS_TOKEN_NOT_YET_VALID),
        "from the future": (signed(claims(iat=now + 3600)), {}, code.ACCESS_TOKEN_NOT_YET_VALID),
        "too long-lived": (signed(claims(exp=now + 2 * TOKEN_SECONDS_MAX)), {}, code.ACCESS_TOKEN_INVALID),
        "no end": (signed(claims(exp=None)), {}, code.ACCESS_TOKEN_INVALID),
        "expired": (signed(claims(exp=now - TOKEN_LEEWAY)), {}, code.ACCESS_TOKEN_EXPIRED),
        "no login": (signed(claims(rtm={"send": ["p2p"]})), {}, code.ACCESS_TOKEN_GRANTS_INVALID),
        "scopes are no object": (signed(claims(rtm="all")), {}, code.ACCESS_TOKEN_GRANTS_INVALID),
        "rooms are no list": (signed(claims(rtm={"room": "lobby"})), {}, code.ACCESS_TOKEN_GRANTS_INVALID),
    }
    for name, (token, other, detail) in cases.items():
        with pytest.raises(AuthError) as caught:
            verify(token, **other)
        assert caught.value.detail is detail, name
        assert pickle.loads(pickle.dumps(caught.value)).detail is detail, name


def test_a_token_for_a_room_alone_is_good_for_that_room() -> None:
    grant = verify(make_token(KEY, app=APP, user="alice", now=time.time(), scopes={"room": ["lobby"]}))
    assert grant.may_log_in("room", "lobby")
    assert not grant.may_log_in("room", "hall")
    assert not grant.may_log_in("rtc", "lobby")
    assert not grant.may_log_in("rtm", "")
    everything = verify(make_token(KEY, app=APP, user="alice", now=time.time()))
    assert all(everything.may_log_in(kind, "lobby") for kind in ("rtm", "rtc", "room"))


@pytest.mark.parametrize(("beyond", "good"), [(TOKEN_LEEWAY, True), (TOKEN_LEEWAY + 1, False)])
def test_a_token_of_more_than_a_day_is_refused_when_it_is_used(beyond: int, good: bool) -> None:
    token = signed(claims(exp=int(time.time()) + TOKEN_SECONDS_MAX + beyond))
    if good:
        verify(token)
    else:
        assert refused(token)[0] is LoginError.INVALID_TOKEN


def test_a_token_expires_by_the_wall_clock_with_some_leeway(frozen) -> None:
    token = make_token(KEY, app=APP, user="alice", now=time.time(), seconds=60)
    frozen.tick(60 + TOKEN_LEEWAY - 1)
    verify(token)
    frozen.tick(1)
    assert refused(token)[0] == LoginError.TOKEN_EXPIRED


def unsigned(header: dict[str, object], payload: dict[str, object], key: bytes = b"") -> str:
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (header, payload)]
    data = b".".join(parts)
    signature = base64.urlsafe_b64encode(hmac.digest(key, data, hashlib.sha256)).rstrip(b"=") if key else b""
    return (data + b"." + signature).decode()


def test_the_algorithm_is_never_taken_from_the_token() -> None:
    assert refused(unsigned({"alg": "none"}, claims()))[0] == LoginError.INVALID_TOKEN
    assert (
        refused(unsigned({"alg": "HS256", "kid": "new"}, claims(), NEW_KEY.secret))[0]
        == LoginError.INVALID_TOKEN
    )


def test_made_tokens_and_keys_are_checked_at_once() -> None:
    for seconds in (0, -1, TOKEN_SECONDS_MAX + 1):
        with pytest.raises(InvalidArgument):
            make_token(KEY, app=APP, user="alice", now=0.0, seconds=seconds)
    with pytest.raises(InvalidArgument):
        make_token(KEY, app=APP, user="al*ce", now=0.0)
    with pytest.raises(InvalidArgument, match="app id is not 32"):
        make_token(KEY, app="short", user="alice", now=0.0)
    with pytest.raises(InvalidArgument):
        TokenKey(b"short")
    with pytest.raises(InvalidArgument):
        TokenKey(b"k" * 32, "none")


def test_keys_are_not_shown() -> None:
    assert "kkkk" not in repr(KEY)
    assert "kkkk" not in repr(AppKeys(APP, (KEY,)))


# --- Several keys, each for its time --------------------------------------------------------------------------------

NOON = 1795176000.0
FIRST = TokenKey(b"1" * 32, kid="first", not_after=NOON + 100)
SECOND = TokenKey(b"2" * 32, kid="second", not_before=NOON + 50)
THIRD = TokenKey(b"3" * 32, kid="third", not_before=NOON + 500)


def test_the_key_that_began_last_signs() -> None:
    keys = (FIRST, SECOND, THIRD)
    assert [signing_key(keys, NOON + after) for after in (0, 50, 100, 500)] == [FIRST, SECOND, SECOND, THIRD]
    assert signing_key((KEY, OLD_KEY), NOON) is KEY
    with pytest.raises(InvalidArgument, match="in force"):
        signing_key((FIRST,), NOON + 100)


@pytest.mark.parametrize(
    ("key", "after", "good"),
    [
        (FIRST, 0, True),
        (FIRST, 100 + TOKEN_LEEWAY - 1, True),
        (FIRST, 100 + TOKEN_LEEWAY, False),
        (SECOND, 50 - TOKEN_LEEWAY - 1, False),
        (SECOND, 50 - TOKEN_LEEWAY, True),
    ],
)
@pytest.mark.parametrize("named", [True, False])
def test_a_key_is_used_in_its_time_only(key: TokenKey, after: int, good: bool, named: bool) -> None:
    verifier = AppVerifier([AppKeys(APP, (FIRST, SECOND))])
    token = signed(
        {"aud": APP, "sub": "alice", "exp": NOON + 600}, key, **({"kid": key.kid} if named else {})
    )
    wall = int((NOON + after) * 1000)
    if good:
        ends = NOON + 600 if key is SECOND else NOON + 100
        assert verifier(APP, "alice", token, wall).expires == int(ends * 1000)
        return
    with pytest.raises(AuthError) as caught:
        verifier(APP, "alice", token, wall)
    assert caught.value.code is LoginError.INVALID_TOKEN


def test_keys_are_replaced_while_the_verifier_is_in_use() -> None:
    verifier = AppVerifier([AppKeys(APP, (OLD_KEY,))])
    old, new = (make_token(key, app=APP, user="alice", now=time.time()) for key in (OLD_KEY, NEW_KEY))
    wall = int(time.time() * 1000)
    verifier(APP, "alice", old, wall)
    verifier.replace([AppKeys(APP, (OLD_KEY, NEW_KEY))])
    verifier(APP, "alice", old, wall)
    verifier(APP, "alice", new, wall)
    verifier.replace([AppKeys(APP, (NEW_KEY,))])
    verifier(APP, "alice", new, wall)
    with pytest.raises(AuthError, match="kid"):
        verifier(APP, "alice", old, wall)


def test_two_keys_of_an_app_have_two_names() -> None:
    with pytest.raises(InvalidArgument, match="same kid"):
        AppKeys(APP, (OLD_KEY, TokenKey(b"x" * 32, kid="old")))
    with pytest.raises(InvalidArgument, match="before it begins"):
        TokenKey(b"x" * 32, not_before=2.0, not_after=2.0)
