"""Agora's AccessToken 006 and 007: read, verified and made, without a clock or chance of their own.

Integers are little-endian; a string is its length in 16 bits and its bytes; a map of privileges is a count and pairs
of 16 and 32 bits. Whoever holds an app certificate has made tokens of these formats with the vendor's builders before;
they go on working here.
"""

import base64
import hashlib
import hmac
import struct
import zlib
from collections.abc import Mapping, Sequence
from typing import Final

import attrs

from rtmcore.codes import LoginError, RoomErrorCode
from rtmcore.errors import AuthError, InvalidArgument
from rtmcore.identifiers import explain_invalid_id, is_valid_app_id
from rtmcore.limits import (
    APP_CERTIFICATE_LENGTH,
    APP_ID_LENGTH,
    TOKEN_BYTES,
    TOKEN_INFLATED_BYTES,
    TOKEN_ISSUED_AHEAD,
    TOKEN_LEEWAY,
    TOKEN_SALT_MAX,
    TOKEN_SECONDS_DEFAULT,
    TOKEN_SECONDS_MAX,
)
from rtmcore.service.grants import Grant
from rtmsync.server.refusal import refusal

V006: Final = "006"
V007: Final = "007"
VERSIONS: Final = (V006, V007)

_LOGIN_006: Final = 1000
_SERVICE_RTC: Final = 1
_SERVICE_RTM: Final = 2
_LOGIN_007: Final = 1
_STRINGS_OF_SERVICE: Final = {_SERVICE_RTC: 2, _SERVICE_RTM: 1}
_HEX: Final = frozenset("0123456789abcdefABCDEF")
_U32_MAX: Final = 2**32 - 1


@attrs.frozen
class AccessToken:
    """What an AccessToken says, unverified.

    Args:
        version: `V006` or `V007`.
        app: The app id.
        users: Whose login to RTM it permits; None for 006, which names nobody: the user is in its signature only.
        issued: When it was made, in seconds since 1970; None for 006, which does not say.
        expires: When the login that it permits ends, in seconds since 1970; for 007 at most
            `limits.TOKEN_SECONDS_MAX` after `issued`.
        login: Whether it permits a login to RTM at all.
    """

    version: str
    app: str
    users: tuple[str, ...] | None
    issued: int | None
    expires: int
    login: bool
    salt: int = attrs.field(repr=False)
    checksum: int | None = attrs.field(repr=False)
    signature: bytes = attrs.field(repr=False)
    signed: bytes = attrs.field(repr=False)

    def is_signed_with(self, certificate: str, user: str) -> bool:
        """Whether the token was made with a certificate, for a user where it is of version 006."""
        key = certificate.encode()
        if self.version == V006:
            made = _hmac(key, self.app.encode() + user.encode() + self.signed)
        else:
            assert self.issued is not None
            made = _hmac(_chained_key(key, self.issued, self.salt), self.signed)
        return hmac.compare_digest(made, self.signature)


def explain_invalid_certificate(certificate: str) -> str | None:
    """Say what is wrong with an app certificate; None where it is well-formed. The text does not contain it."""
    if len(certificate) != APP_CERTIFICATE_LENGTH or not _HEX.issuperset(certificate):
        return f"An app certificate is {APP_CERTIFICATE_LENGTH} hexadecimal digits; this is something else."
    return None


# --- Reading --------------------------------------------------------------------------------------------------------


def parse_access_token(text: str) -> AccessToken:
    """Read a token of version 006 or 007, without judging who signed it or whether its time is over.

    Args:
        text: The token.

    Returns:
        What it says.

    Raises:
        AuthError: With `LoginError.INVALID_TOKEN`: it is malformed, or inflates to more than
            `limits.TOKEN_INFLATED_BYTES`.
    """
    if len(text) > TOKEN_BYTES:
        raise _malformed(f"is longer than {TOKEN_BYTES} bytes")
    version, rest = text[: len(V006)], text[len(V006) :]
    if version == V006:
        return _parse_006(rest)
    if version == V007:
        return _parse_007(rest)
    raise _malformed("begins with neither 006 nor 007")


def _parse_006(text: str) -> AccessToken:
    app = text[:APP_ID_LENGTH]
    if not is_valid_app_id(app):
        raise _malformed("has no app id in its place")
    reader = _Reader(_decoded(text[APP_ID_LENGTH:]))
    signature, checksum = reader.string(), reader.u32()
    reader.u32()  # the checksum of an empty uid, which the signature covers anyway
    signed = reader.string()
    reader.end()
    reader = _Reader(signed)
    salt, expires, privileges = reader.u32(), reader.u32(), reader.privileges()
    reader.end()
    login = privileges.get(_LOGIN_006)
    return AccessToken(
        version=V006,
        app=app,
        users=None,
        issued=None,
        # Its builders write 0 for a privilege that lasts as long as the token.
        expires=min(expires, login or expires),
        login=login is not None,
        salt=salt,
        checksum=checksum,
        signature=signature,
        signed=signed,
    )


def _parse_007(text: str) -> AccessToken:
    reader = _Reader(_inflated(_decoded(text)))
    signature = reader.string()
    signed = reader.rest()
    app = _text(reader.string())
    issued, expire, salt, services = reader.u32(), reader.u32(), reader.u32(), reader.u16()
    users: list[str] = []
    lives: list[int] = []
    for _ in range(services):
        kind = reader.u16()
        if kind not in _STRINGS_OF_SERVICE:
            break  # of unknown length; what follows it cannot be told apart
        privileges = reader.privileges()
        strings = [reader.string() for _ in range(_STRINGS_OF_SERVICE[kind])]
        if kind == _SERVICE_RTM and _LOGIN_007 in privileges:
            users.append(_text(strings[0]))
            lives.append(privileges[_LOGIN_007] or expire)
    return AccessToken(
        version=V007,
        app=app,
        users=tuple(users),
        issued=issued,
        expires=issued + min(expire, TOKEN_SECONDS_MAX, *lives),
        login=bool(users),
        salt=salt,
        checksum=None,
        signature=signature,
        signed=signed,
    )


class _Reader:
    """Takes fields off the front of bytes, each only if it is there in full."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def u16(self) -> int:
        return int.from_bytes(self._take(2), "little")

    def u32(self) -> int:
        return int.from_bytes(self._take(4), "little")

    def string(self) -> bytes:
        return self._take(self.u16())

    def privileges(self) -> dict[int, int]:
        return {self.u16(): self.u32() for _ in range(self.u16())}

    def rest(self) -> bytes:
        return self._data[self._at :]

    def end(self) -> None:
        if self._at != len(self._data):
            raise _malformed("has bytes behind its end")

    def _take(self, count: int) -> bytes:
        taken = self._data[self._at : self._at + count]
        if len(taken) != count:
            raise _malformed("ends too early")
        self._at += count
        return taken


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        raise _malformed("is not base64") from None


def _inflated(data: bytes) -> bytes:
    inflater = zlib.decompressobj()
    try:
        inflated = inflater.decompress(data, TOKEN_INFLATED_BYTES)
    except zlib.error:
        raise _malformed("is not compressed as it should be") from None
    if not inflater.eof or inflater.unused_data:
        raise _malformed(f"is cut off, or inflates to more than {TOKEN_INFLATED_BYTES} bytes")
    return inflated


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise _malformed("has a name that is not UTF-8") from None


def _malformed(what: str) -> AuthError:
    return refusal(LoginError.INVALID_TOKEN, f"The token {what}.")


# --- Verifying ------------------------------------------------------------------------------------------------------


def verify_access_token(text: str, *, app: str, certificates: Sequence[str], user: str, now: float) -> Grant:
    """Verify a token of version 006 or 007.

    Args:
        text: The token.
        app: The app id that the client names.
        certificates: Those of the app; all of them are tried, whichever fits.
        user: The user id that the client claims.
        now: Seconds since 1970.

    Returns:
        All that a user may do in RTM until the token ends. RTC channels and rooms need a JSON Web Token.

    Raises:
        AuthError: With the `LoginError` code: 5 for a malformed or wrongly signed token, or one of another app or
            user, 6 for an expired one, 7 for one without the privilege to log in to RTM.
    """
    token = parse_access_token(text)
    if not hmac.compare_digest(token.app.encode(), app.encode()):
        raise _foreign("app")
    if token.checksum is not None and token.checksum != zlib.crc32(user.encode()):
        raise _foreign("user")
    genuine = False
    for certificate in certificates:
        genuine |= token.is_signed_with(certificate, user)
    if not genuine:
        raise refusal(
            LoginError.INVALID_TOKEN,
            "The token is not signed with a certificate of this app, or not for this user.",
            RoomErrorCode.ACCESS_TOKEN_SIGNATURE_INVALID,
        )
    if not token.login:
        raise refusal(
            LoginError.NOT_AUTHORIZED,
            "The token does not have the privilege to log in to RTM.",
            RoomErrorCode.ACCESS_TOKEN_GRANTS_INVALID,
        )
    if token.users is not None and not _contains(token.users, user):
        raise _foreign("user")
    _judge_times(token, now)
    return Grant(expires=token.expires * 1000, rooms=(), rtc=())


def _judge_times(token: AccessToken, now: float) -> None:
    if token.issued is not None and token.issued > now + TOKEN_ISSUED_AHEAD:
        raise refusal(
            LoginError.INVALID_TOKEN,
            "The token was issued in the future; the clocks disagree.",
            RoomErrorCode.ACCESS_TOKEN_NOT_YET_VALID,
        )
    if token.expires <= now - TOKEN_LEEWAY:
        raise refusal(
            LoginError.TOKEN_EXPIRED,
            f"The token expired {now - token.expires:.0f} s ago.",
            RoomErrorCode.ACCESS_TOKEN_EXPIRED,
        )
    if token.issued is None and token.expires > now + TOKEN_SECONDS_MAX + TOKEN_LEEWAY:
        raise refusal(
            LoginError.INVALID_TOKEN, f"The token is valid for more than {TOKEN_SECONDS_MAX // 3600} hours."
        )


def _foreign(what: str) -> AuthError:
    return refusal(
        LoginError.INVALID_TOKEN,
        f"The token was made for another {what}.",
        RoomErrorCode.ACCESS_TOKEN_ISSUER_INVALID,
    )


def _contains(users: Sequence[str], user: str) -> bool:
    found = False
    for one in users:
        found |= hmac.compare_digest(one.encode(), user.encode())
    return found


# --- Making ---------------------------------------------------------------------------------------------------------


def make_access_token(
    version: str,
    *,
    app: str,
    certificate: str,
    user: str,
    now: float,
    salt: int,
    seconds: float = TOKEN_SECONDS_DEFAULT,
) -> str:
    """Make a token that lets one user log in to RTM, as the vendor's builders do.

    Args:
        version: `V006` or `V007`.
        app: The app id.
        certificate: The certificate of the app, `limits.APP_CERTIFICATE_LENGTH` hexadecimal digits.
        user: The user id.
        now: Seconds since 1970.
        salt: A random number from 1 to `limits.TOKEN_SALT_MAX`, another one for each token.
        seconds: How long the token is valid, from 1 to `limits.TOKEN_SECONDS_MAX`, rounded down to whole seconds; by
            default `limits.TOKEN_SECONDS_DEFAULT`.

    Returns:
        The token's text.

    Raises:
        InvalidArgument: An argument is not allowed.
    """
    _check(version, app, certificate, user, salt, seconds)
    key, issued, life = certificate.encode(), int(now), int(seconds)
    if not 0 <= issued <= _U32_MAX - TOKEN_SECONDS_MAX:
        raise InvalidArgument("The clock shows a time that such a token cannot name.", operation="token")
    if version == V006:
        signed = struct.pack("<II", salt, issued + TOKEN_SECONDS_MAX) + _map({_LOGIN_006: issued + life})
        signature = _hmac(key, app.encode() + user.encode() + signed)
        checksums = struct.pack("<II", zlib.crc32(user.encode()), zlib.crc32(b""))
        return V006 + app + _encoded(_string(signature) + checksums + _string(signed))
    service = struct.pack("<H", _SERVICE_RTM) + _map({_LOGIN_007: life}) + _string(user.encode())
    signed = _string(app.encode()) + struct.pack("<IIIH", issued, life, salt, 1) + service
    signature = _hmac(_chained_key(key, issued, salt), signed)
    return V007 + _encoded(zlib.compress(_string(signature) + signed))


def _check(version: str, app: str, certificate: str, user: str, salt: int, seconds: float) -> None:
    wrong = explain_invalid_id(user, "user id") or explain_invalid_certificate(certificate)
    if version not in VERSIONS:
        wrong = f"There is no AccessToken of version {version!r}: there are 006 and 007."
    elif not is_valid_app_id(app):
        wrong = f"The app id is not {APP_ID_LENGTH} visible ASCII characters long."
    elif not 1 <= salt <= TOKEN_SALT_MAX:
        wrong = f"The salt of a token is from 1 to {TOKEN_SALT_MAX}, not {salt}."
    elif not 1 <= seconds <= TOKEN_SECONDS_MAX:
        wrong = f"Such a token is valid for 1 to {TOKEN_SECONDS_MAX} seconds, not {seconds:g}."
    if wrong is not None:
        raise InvalidArgument(wrong, operation="token")


def _string(data: bytes) -> bytes:
    return struct.pack("<H", len(data)) + data


def _map(privileges: Mapping[int, int]) -> bytes:
    pairs = sorted(privileges.items())
    return struct.pack("<H", len(pairs)) + b"".join(struct.pack("<HI", *pair) for pair in pairs)


def _encoded(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _hmac(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, hashlib.sha256)


def _chained_key(certificate: bytes, issued: int, salt: int) -> bytes:
    return _hmac(struct.pack("<I", salt), _hmac(struct.pack("<I", issued), certificate))
