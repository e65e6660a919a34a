"""AccessToken 006 and 007: the published vectors, what is refused, and that nothing but a good token is good."""

import base64
import hashlib
import hmac
import random
import struct
import zlib

import pytest

from rtmcore.codes import LoginError, RoomErrorCode
from rtmcore.errors import AuthError, InvalidArgument
from rtmcore.limits import (
    APP_CERTIFICATES,
    TOKEN_INFLATED_BYTES,
    TOKEN_ISSUED_AHEAD,
    TOKEN_LEEWAY,
    TOKEN_SALT_MAX,
    TOKEN_SECONDS_DEFAULT,
    TOKEN_SECONDS_MAX,
)
from rtmcore.service.grants import Grant
from rtmsync.server.access_tokens import V006, V007, make_access_token, parse_access_token
from rtmsync.server.tokens import AppKeys, AppVerifier, TokenKey, make_token

APP = "970CA35de60c44645bbae8a215061b33"
CERTIFICATE = "5CFd2fd1755d40ecb72977518be15d3b"
OTHER = "f" * 32
USER = "test_user"
NOW = 1_800_000_000

# Of the vendor's own tests: issued at 1111111 for 600 seconds with the salt 1, an RTC service beside the RTM service.
VECTOR_007 = (
    "007eJxTYOAQsrQ5s3TfH+1tvy8zZZ46EpCc0V43JXdGd2jS8porKo4KDJbmBs6OxqYpqWYGySYmZiamSUmJqRaJRoamBmaGScbG7l8EGCKYGBgYG"
    "RgYmBgYGVgYGMF8JjDJDCZZwKQCg3mKuZGxmWlqkqWFsYmFqbGleapxqnGaZYqJmUFSSkoiF4ORhYWRsYmhkbkxyCyISZwMJanFJfGlxalFACKnK"
    "ng="
)
ISSUED_007 = 1_111_111

VERIFY = AppVerifier([AppKeys(APP, (TokenKey(b"k" * 32),), (OTHER, CERTIFICATE), ("jwt", "006", "007"))])


def make(version: str, **changes: object) -> str:
    settings = {"app": APP, "certificate": CERTIFICATE, "user": USER, "now": NOW, "salt": 7, **changes}
    return make_access_token(version, **settings)  # type: ignore[arg-type]


def verify(token: str | None, user: str = USER, now: float = NOW, app: str = APP) -> Grant:
    return VERIFY(app, user, token, int(now * 1000))


def refused(token: str | None, user: str = USER, now: float = NOW) -> tuple[object, object]:
    with pytest.raises(AuthError) as caught:
        verify(token, user, now)
    assert token not in str(caught.value)
    return caught.value.code, caught.value.detail


# --- Tokens put together here, by the documented layout -----------------------------------------------------------


def string(data: bytes) -> bytes:
    return struct.pack("<H", len(data)) + data


def sign(key: bytes, message: bytes) -> bytes:
    return hmac.new(key, message, hashlib.sha256).digest()


def by_hand_006(
    user: str = USER,
    ts: int = NOW + 86_400,
    privileges: dict[int, int] | None = None,
    certificate: str = CERTIFICATE,
) -> str:
    pairs = {1000: NOW + 600} if privileges is None else privileges
    message = struct.pack("<IIH", 5, ts, len(pairs))
    message += b"".join(struct.pack("<HI", *pair) for pair in pairs.items())
    signature = sign(certificate.encode(), (APP + user).encode() + message)
    content = string(signature) + struct.pack("<II", zlib.crc32(user.encode()), 0) + string(message)
    return "006" + APP + base64.b64encode(content).decode()


def service(kind: int, privileges: dict[int, int], *strings: str) -> bytes:
    packed = struct.pack("<HH", kind, len(privileges))
    packed += b"".join(struct.pack("<HI", *pair) for pair in privileges.items())
    return packed + b"".join(string(one.encode()) for one in strings)


def by_hand_007(
    *services: bytes, issued: int = NOW, expire: int = 600, app: str = APP, certificate: str = CERTIFICATE
) -> str:
    if not services:
        services = (service(2, {1: expire}, USER),)
    info = string(app.encode()) + struct.pack("<IIIH", issued, expire, 9, len(services)) + b"".join(services)
    key = sign(struct.pack("<I", 9), sign(struct.pack("<I", issued), certificate.encode()))
    return "007" + base64.b64encode(zlib.compress(string(sign(key, info)) + info)).decode()


# --- Good ones ----------------------------------------------------------------------------------------------------


def test_the_published_vector_is_good() -> None:
    assert verify(VECTOR_007, now=ISSUED_007) == Grant(expires=(ISSUED_007 + 600) * 1000, rooms=(), rtc=())


@pytest.mark.parametrize("version", [V006, V007])
def test_a_token_made_here_is_good_until_it_ends(version: str) -> None:
    token = make(version, seconds=60)
    assert token.startswith(version)
    grant = verify(token)
    assert grant.expires == (NOW + 60) * 1000
    assert grant.may_log_in("rtm", "")
    assert not grant.may_log_in("room", "lobby")
    assert not grant.may_log_in("rtc", "stage")
    verify(token, now=NOW + 60 + TOKEN_LEEWAY - 1)
    assert refused(token, now=NOW + 60 + TOKEN_LEEWAY) == (
        LoginError.TOKEN_EXPIRED,
        RoomErrorCode.ACCESS_TOKEN_EXPIRED,
    )


def test_a_token_made_here_has_the_documented_layout() -> None:
    assert make(V006, salt=5, seconds=600) == by_hand_006()
    made, expected = (
        zlib.decompress(base64.b64decode(text[3:]))
        for text in (make(V007, salt=9, seconds=600), by_hand_007())
    )
    assert made == expected


def test_a_life_is_the_default_one_where_none_is_named() -> None:
    for version in (V006, V007):
        assert verify(make(version)).expires == (NOW + TOKEN_SECONDS_DEFAULT) * 1000


def test_a_privilege_of_zero_lasts_as_long_as_the_token() -> None:
    assert verify(by_hand_006(privileges={1000: 0}, ts=NOW + 70)).expires == (NOW + 70) * 1000
    assert verify(by_hand_007(service(2, {1: 0}, USER), expire=80)).expires == (NOW + 80) * 1000


def test_the_earlier_end_counts() -> None:
    assert verify(by_hand_006(privileges={1000: NOW + 9}, ts=NOW + 70)).expires == (NOW + 9) * 1000
    assert verify(by_hand_006(privileges={1000: NOW + 70}, ts=NOW + 9)).expires == (NOW + 9) * 1000
    assert verify(by_hand_007(service(2, {1: 9}, USER), expire=80)).expires == (NOW + 9) * 1000
    assert verify(by_hand_007(service(2, {1: 80}, USER), expire=9)).expires == (NOW + 9) * 1000


def test_007_ends_a_day_after_it_was_issued_whatever_it_says() -> None:
    token = by_hand_007(expire=10 * TOKEN_SECONDS_MAX)
    assert verify(token).expires == (NOW + TOKEN_SECONDS_MAX) * 1000
    assert refused(token, now=NOW + TOKEN_SECONDS_MAX + TOKEN_LEEWAY)[0] is LoginError.TOKEN_EXPIRED


def test_006_is_refused_above_a_day_since_it_does_not_say_when_it_was_issued() -> None:
    privileges = {1000: NOW + 10 * TOKEN_SECONDS_MAX}
    verify(by_hand_006(privileges=privileges))
    longer = by_hand_006(privileges=privileges, ts=NOW + TOKEN_SECONDS_MAX + TOKEN_LEEWAY + 1)
    assert refused(longer) == (LoginError.INVALID_TOKEN, RoomErrorCode.ACCESS_TOKEN_INVALID)


def test_services_of_other_kinds_stand_beside() -> None:
    rtc = service(1, {1: 600, 4: 600}, "channel", "7")
    rtm = service(2, {1: 600}, USER)
    for services in ((rtc, rtm), (rtm, rtc), (rtm, service(999, {1: 1})), (service(2, {1: 600}, "bob"), rtm)):
        verify(by_hand_007(*services))


@pytest.mark.parametrize("certificate", [CERTIFICATE, OTHER])
@pytest.mark.parametrize("version", [V006, V007])
def test_each_certificate_of_the_app_is_good(version: str, certificate: str) -> None:
    verify(make(version, certificate=certificate))


# --- Bad ones -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [V006, V007])
def test_each_bad_token_is_told_its_own_cause(version: str) -> None:
    good = make(version)
    signature = (LoginError.INVALID_TOKEN, RoomErrorCode.ACCESS_TOKEN_SIGNATURE_INVALID)
    foreign = (LoginError.INVALID_TOKEN, RoomErrorCode.ACCESS_TOKEN_ISSUER_INVALID)
    malformed = (LoginError.INVALID_TOKEN, RoomErrorCode.ACCESS_TOKEN_INVALID)
    assert refused(make(version, certificate="e" * 32)) == signature
    assert refused(good, "somebody") == foreign
    assert refused(make(version, app="0" * 32)) == foreign
    assert refused(version) == malformed
    assert refused(good[:-4]) == malformed
    assert refused(good + "AAAA") == malformed
    assert refused(good[:40] + "é" + good[40:]) == malformed
    assert refused(good[:40] + "\n" + good[40:]) == malformed
    assert refused(version + "A" * 9000) == malformed


def test_a_user_of_the_same_checksum_is_told_apart_by_the_signature() -> None:
    token = by_hand_006()
    content = bytearray(base64.b64decode(token[35:]))
    content[34:38] = struct.pack("<I", zlib.crc32(b"mallory"))
    forged = token[:35] + base64.b64encode(content).decode()
    assert refused(forged, "mallory")[1] is RoomErrorCode.ACCESS_TOKEN_SIGNATURE_INVALID


def test_without_the_privilege_to_log_in_it_is_good_for_nothing() -> None:
    expected = (LoginError.NOT_AUTHORIZED, RoomErrorCode.ACCESS_TOKEN_GRANTS_INVALID)
    assert refused(by_hand_006(privileges={1: NOW + 600})) == expected
    assert refused(by_hand_007(service(1, {1: 600}, "channel", USER))) == expected
    assert refused(by_hand_007(service(2, {2: 600}, USER))) == expected
    assert refused(by_hand_007(service(8, {1: 600}, USER))) == expected


def test_a_token_for_any_user_is_good_for_none() -> None:
    assert refused(by_hand_007(service(2, {1: 600}, "")))[1] is RoomErrorCode.ACCESS_TOKEN_ISSUER_INVALID


@pytest.mark.parametrize(("ahead", "good"), [(TOKEN_ISSUED_AHEAD, True), (TOKEN_ISSUED_AHEAD + 1, False)])
def test_a_token_from_the_future(ahead: int, good: bool) -> None:
    token = by_hand_007(issued=NOW + ahead)
    if good:
        verify(token)
    else:
        assert refused(token) == (LoginError.INVALID_TOKEN, RoomErrorCode.ACCESS_TOKEN_NOT_YET_VALID)


def test_what_inflates_beyond_its_bound_is_not_inflated() -> None:
    for size in (TOKEN_INFLATED_BYTES + 1, 4_000_000):
        bomb = "007" + base64.b64encode(zlib.compress(bytes(size), 9)).decode()
        assert len(bomb) < 8192
        assert refused(bomb)[0] is LoginError.INVALID_TOKEN


@pytest.mark.parametrize("version", [V006, V007])
def test_no_change_of_a_token_is_good(version: str) -> None:
    seed = 20_261_121
    chance = random.Random(seed)
    token = make(version)
    head = 35 if version == V006 else 3
    content = base64.b64decode(token[head:])
    if version == V007:
        content = zlib.decompress(content)
    for number in range(400):
        changed = bytearray(content)
        position = chance.randrange(len(changed))
        if version == V006 and 38 <= position < 42:
            continue  # the checksum of the empty uid, which nobody signs
        changed[position] ^= 1 << chance.randrange(8)
        cut = bytes(changed[: chance.randrange(len(changed))] if number % 4 == 0 else changed)
        packed = zlib.compress(cut) if version == V007 else cut
        with pytest.raises(AuthError):
            verify(token[:head] + base64.b64encode(packed).decode())


# --- Apps ---------------------------------------------------------------------------------------------------------


def test_an_app_takes_json_web_tokens_and_nothing_else_unless_it_says_so() -> None:
    key = TokenKey(b"k" * 32)
    jwt_only = AppVerifier([AppKeys(APP, (key,))])
    for version in (V006, V007):
        with pytest.raises(AuthError, match=f"format {version}") as caught:
            jwt_only(APP, USER, make(version), NOW * 1000)
        assert caught.value.code is LoginError.INVALID_TOKEN
    new_only = AppVerifier([AppKeys(APP, (key,), (CERTIFICATE,), ("007",))])
    new_only(APP, USER, make(V007), NOW * 1000)
    for token in (make(V006), make_token(key, app=APP, user=USER, now=NOW)):
        with pytest.raises(AuthError, match="does not take"):
            new_only(APP, USER, token, NOW * 1000)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"certificates": (CERTIFICATE,)}, "need each other"),
        ({"formats": ("jwt", "007")}, "need each other"),
        ({"formats": ("jwt", "005")}, "no token format '005'"),
        ({"formats": ()}, "no format"),
        ({"formats": ("006",), "certificates": ("x" * 32,)}, "32 hexadecimal"),
        ({"formats": ("006",), "certificates": (CERTIFICATE + "0",)}, "32 hexadecimal"),
        (
            {"formats": ("006",), "certificates": ("0" * 32, "1" * 32, "2" * 32)},
            f"at most {APP_CERTIFICATES}",
        ),
    ],
)
def test_an_app_is_checked_at_once(settings: dict[str, tuple[str, ...]], words: str) -> None:
    with pytest.raises(InvalidArgument, match=words) as caught:
        AppKeys(APP, **settings)
    assert CERTIFICATE not in str(caught.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"certificate": "short"}, {"app": "short"}, {"user": ""}, {"user": "al*ce"}, {"salt": 0},
        {"salt": TOKEN_SALT_MAX + 1}, {"seconds": 0}, {"seconds": TOKEN_SECONDS_MAX + 1}, {"now": -1}, {"now": 2**32},
    ],
    ids=str,
)  # fmt: skip
def test_what_cannot_be_made_is_refused(changes: dict[str, object]) -> None:
    for version in (V006, V007):
        with pytest.raises(InvalidArgument):
            make(version, **changes)
    with pytest.raises(InvalidArgument, match="005"):
        make("005")


def test_certificates_and_signatures_are_not_shown() -> None:
    assert CERTIFICATE not in repr(AppKeys(APP, (), (CERTIFICATE,), ("006",)))
    for version in (V006, V007):
        token = parse_access_token(make(version))
        assert repr(token.signature) not in repr(token)
