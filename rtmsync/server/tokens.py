"""Tokens: JSON Web Tokens made by whoever holds a key of the app, and what a server takes of each format.

The algorithm belongs to the key and is never taken from the token. Times are
judged against the wall clock that the caller hands in.
"""

import hmac
from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from typing import Any, Final

import attrs

from rtmcore.codes import LoginError, RoomErrorCode
from rtmcore.errors import AuthError, InvalidArgument, StateError
from rtmcore.identifiers import explain_invalid_id, is_valid_app_id
from rtmcore.limits import (
    APP_CERTIFICATES,
    APP_ID_LENGTH,
    TOKEN_BYTES,
    TOKEN_ISSUED_AHEAD,
    TOKEN_KEY_BYTES_MIN,
    TOKEN_LEEWAY,
    TOKEN_SECONDS_DEFAULT,
    TOKEN_SECONDS_MAX,
)
from rtmcore.service.grants import Grant
from rtmsync.server.access_tokens import VERSIONS, explain_invalid_certificate, verify_access_token
from rtmsync.server.refusal import refusal

HMAC_ALGORITHMS: Final = ("HS256", "HS384", "HS512")
PUBLIC_KEY_ALGORITHMS: Final = ("ES256", "ES384", "RS256", "EdDSA")
SCOPES_CLAIM: Final = "rtm"

JWT: Final = "jwt"
FORMATS: Final = (JWT, *VERSIONS)
"""The formats of tokens; an app takes JSON Web Tokens, and the others where its settings say so."""


@attrs.frozen
class TokenKey:
    """A key of an app, with the one algorithm that it is used with.

    Args:
        secret: The shared secret, at least 32 bytes (RFC 7518 section 3.2), or a PEM public key (private
            where tokens are made) for the asymmetric algorithms.
        algorithm: One of `HMAC_ALGORITHMS` or `PUBLIC_KEY_ALGORITHMS`. The latter need the `cryptography`
            package.
        kid: The key's name in token headers; None for an app's only key.
        not_before: From when on it signs and verifies, in seconds since 1970; None for always.
        not_after: Until when it does; None for always. A token that it signed is good no longer than that.

    Raises:
        InvalidArgument: The algorithm is not supported, the secret is too short, or the key ends before it begins.
    """

    secret: bytes = attrs.field(repr=False)
    algorithm: str = "HS256"
    kid: str | None = None
    not_before: float | None = None
    not_after: float | None = None

    def __attrs_post_init__(self) -> None:
        if self.not_before is not None and self.not_after is not None and self.not_before >= self.not_after:
            raise InvalidArgument(
                "A token key ends (not_after) before it begins (not_before).", operation="token"
            )
        if self.algorithm in HMAC_ALGORITHMS:
            if len(self.secret) < TOKEN_KEY_BYTES_MIN:
                raise InvalidArgument(
                    f"A {self.algorithm} key needs at least {TOKEN_KEY_BYTES_MIN} bytes, this one has "
                    f"{len(self.secret)}.",
                    operation="token",
                    hint="Make one with: openssl rand -hex 32",
                )
        elif self.algorithm not in PUBLIC_KEY_ALGORITHMS:
            known = ", ".join((*HMAC_ALGORITHMS, *PUBLIC_KEY_ALGORITHMS))
            raise InvalidArgument(
                f"The token algorithm {self.algorithm!r} is not supported; these are: {known}.",
                operation="token",
            )

    def in_force(self, now: float, leeway: float = 0.0) -> bool:
        """Whether the key is used at a time.

        Args:
            now: Seconds since 1970.
            leeway: Seconds by which clocks may differ.
        """
        begun = self.not_before is None or self.not_before <= now + leeway
        return begun and (self.not_after is None or now - leeway < self.not_after)


def signing_key(keys: Sequence[TokenKey], now: float) -> TokenKey:
    """The key to sign with: of those in force the newest, which is the one that began last; else the first named.

    Args:
        keys: All keys of an app.
        now: Seconds since 1970.

    Raises:
        InvalidArgument: None of them is in force.
    """
    usable = [key for key in keys if key.in_force(now)]
    if not usable:
        raise InvalidArgument(
            "None of the app's keys is in force now.",
            operation="token",
            hint="See their not_before and not_after.",
        )
    return max(usable, key=lambda key: float("-inf") if key.not_before is None else key.not_before)


def make_token(
    key: TokenKey,
    *,
    app: str,
    user: str,
    now: float,
    seconds: float = TOKEN_SECONDS_DEFAULT,
    scopes: Mapping[str, object] | None = None,
) -> str:
    """Make a token that lets one user log in to one app.

    Args:
        key: A key of the app that can sign.
        app: The app id.
        user: The user id.
        now: Seconds since 1970.
        seconds: How long the token is valid, above 0 and at most `limits.TOKEN_SECONDS_MAX` (24 hours, seed 002);
            by default `limits.TOKEN_SECONDS_DEFAULT`.
        scopes: What the user may do; None for all that an ordinary user may. See docs/protocol.

    Returns:
        The token's text.

    Raises:
        InvalidArgument: The app id, the user id or the lifetime is not allowed.
        StateError: PyJWT is not installed, or `cryptography`, which the key's algorithm needs.
    """
    jwt = _pyjwt("token", [key.algorithm])
    wrong = explain_invalid_id(user, "user id")
    if not is_valid_app_id(app):
        wrong = f"The app id is not {APP_ID_LENGTH} visible ASCII characters long."
    if wrong:
        raise InvalidArgument(wrong, operation="token")
    if not 0 < seconds <= TOKEN_SECONDS_MAX:
        raise InvalidArgument(
            f"A token is valid for more than 0 and at most {TOKEN_SECONDS_MAX} seconds, not {seconds:g}.",
            operation="token",
        )
    claims: dict[str, object] = {"aud": app, "sub": user, "iat": int(now), "exp": int(now + seconds)}
    if scopes is not None:
        claims[SCOPES_CLAIM] = dict(scopes)
    headers = {"kid": key.kid} if key.kid is not None else None
    token: str = jwt.encode(claims, key.secret, algorithm=key.algorithm, headers=headers)
    return token


def _pyjwt(operation: str, algorithms: Iterable[str]) -> Any:
    """The module of PyJWT. Only here: whoever makes and judges no tokens needs none.

    Raises:
        StateError: It is not installed, or cannot do one of these algorithms.
    """
    try:
        jwt = import_module("jwt")
    except ImportError:
        raise StateError(
            "JSON Web Tokens are made and judged with PyJWT, which is not installed here.",
            operation=operation,
            hint='Install it with: pip install "rtmsync[server]"',
        ) from None
    missing = sorted(set(algorithms) - set(jwt.PyJWS().get_algorithms()))
    if missing:
        raise StateError(
            f"Keys of the algorithm {missing[0]} are used with the package cryptography, which is not installed here.",
            operation=operation,
            hint="Install it with: pip install cryptography",
        )
    return jwt


@attrs.frozen
class AppKeys:
    """What a server knows of one app.

    Args:
        app: The app id, 32 characters.
        keys: Its keys; JSON Web Tokens signed with any of them that is in force are good.
        certificates: Its app certificates, each of 32 hexadecimal digits, at most `limits.APP_CERTIFICATES`;
            AccessTokens made with any of them are good.
        formats: Which formats of tokens it takes, of `FORMATS`.

    Without keys and certificates it needs no token.

    Raises:
        InvalidArgument: A certificate or a format is not possible, a format lacks its certificate, or two keys
            have one `kid`.
    """

    app: str
    keys: tuple[TokenKey, ...] = ()
    certificates: tuple[str, ...] = attrs.field(default=(), repr=False)
    formats: tuple[str, ...] = (JWT,)

    @property
    def open(self) -> bool:
        """Whether it lets in anybody, without a token."""
        return not self.keys and not self.certificates

    def __attrs_post_init__(self) -> None:
        wrong = next(filter(None, map(explain_invalid_certificate, self.certificates)), None)
        unknown = sorted(set(self.formats) - set(FORMATS))
        named = [key.kid for key in self.keys if key.kid is not None]
        if unknown:
            wrong = f"There is no token format {unknown[0]!r}; there are {', '.join(FORMATS)}."
        elif not self.formats:
            wrong = "The app takes no format of tokens, so nobody could log in."
        elif len(self.certificates) > APP_CERTIFICATES:
            wrong = f"An app has at most {APP_CERTIFICATES} certificates, not {len(self.certificates)}."
        elif bool(self.certificates) != (not {*VERSIONS}.isdisjoint(self.formats)):
            wrong = "App certificates and the token formats 006 and 007 need each other."
        elif len(set(named)) != len(named):
            wrong = "Two keys of the app have the same kid."
        if wrong is not None:
            raise InvalidArgument(wrong, operation="serve")


def check_judgeable(apps: Sequence[AppKeys]) -> None:
    """See that the tokens of these apps can be judged, so that a server does not learn at a login that they cannot.

    Raises:
        StateError: PyJWT is needed, and is not installed; or `cryptography` is, for the algorithm of a key.
    """
    judging = [known for known in apps if JWT in known.formats and not known.open]
    if judging:
        _pyjwt("serve", (key.algorithm for known in judging for key in known.keys))


class AppVerifier:
    """Decides whether a user may log in: a `TokenVerifier` for the node.

    Args:
        apps: The apps that the server holds.
    """

    def __init__(self, apps: Sequence[AppKeys]) -> None:
        self.replace(apps)

    def replace(self, apps: Sequence[AppKeys]) -> None:
        """Judge by other apps and keys from now on. Whoever is logged in stays. Any thread may call this."""
        self._apps = {known.app: known for known in apps}

    def __call__(self, app: str, user: str, token: str | None, wall_ms: int) -> Grant:
        """Verify a token.

        Args:
            app: The app id that the client names.
            user: The user id that the client claims.
            token: The token's text, or None.
            wall_ms: Milliseconds since 1970.

        Returns:
            What the token allows and until when.

        Raises:
            AuthError: With the `LoginError` code: 4 for an unknown app, 5 for a malformed, wrongly signed,
                not-yet-valid or another user's token, or one of a format that the app does not take, 6 for an
                expired one, 7 for one that permits no login to anything. `detail` says it as a room does.
        """
        known = self._apps.get(app)
        if known is None:
            raise refusal(
                LoginError.INVALID_APP_ID,
                "This server does not hold the app id.",
                RoomErrorCode.ACCESS_TOKEN_ISSUER_INVALID,
            )
        if known.open:
            return Grant()
        if token is None:
            raise refusal(LoginError.INVALID_TOKEN, "This app needs a token, and the login has none.")
        if len(token) > TOKEN_BYTES:
            raise refusal(LoginError.INVALID_TOKEN, f"The token is longer than {TOKEN_BYTES} bytes.")
        now = wall_ms / 1000
        form = format_of(token)
        if form not in known.formats:
            raise refusal(
                LoginError.INVALID_TOKEN,
                f"The token has the format {form}, which this app does not take.",
                RoomErrorCode.ACCESS_TOKEN_HEADER_INVALID,
            )
        if form != JWT:
            return verify_access_token(token, app=app, certificates=known.certificates, user=user, now=now)
        claims, key = _verified_claims(known, token, now)
        grant = _judge(claims, app, user, now)
        if key.not_after is None or grant.expires is None:
            return grant
        return attrs.evolve(grant, expires=min(grant.expires, int(key.not_after * 1000)))


def format_of(token: str) -> str:
    """The format of a token, told by its beginning: one of `FORMATS`."""
    return next((version for version in VERSIONS if token.startswith(version)), JWT)


def _verified_claims(known: AppKeys, token: str, now: float) -> tuple[dict[str, Any], TokenKey]:
    import jwt

    try:
        kid = jwt.get_unverified_header(token).get("kid")
    except (jwt.PyJWTError, ValueError, RecursionError):
        raise refusal(
            LoginError.INVALID_TOKEN, "The token is malformed: it is not a JSON Web Token."
        ) from None
    keys = known.keys if kid is None else tuple(key for key in known.keys if key.kid == kid)
    if not keys:
        raise refusal(
            LoginError.INVALID_TOKEN,
            "The token names a key (kid) that this app does not have.",
            RoomErrorCode.ACCESS_TOKEN_HEADER_INVALID,
        )
    keys = tuple(key for key in keys if key.in_force(now, TOKEN_LEEWAY))
    if not keys:
        raise refusal(
            LoginError.INVALID_TOKEN,
            "No key of this app that the token may be signed with is in force now.",
            RoomErrorCode.ACCESS_TOKEN_HEADER_INVALID,
        )
    for key in keys:
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                key.secret,
                algorithms=[key.algorithm],
                options={
                    # Times and audience are judged below, against the clock and the app that were handed in.
                    "verify_exp": False,
                    "verify_nbf": False,
                    "verify_iat": False,
                    "verify_aud": False,
                    "require": ["exp", "sub", "aud"],
                },
            )
            return claims, key
        except (jwt.InvalidSignatureError, jwt.InvalidAlgorithmError):
            continue
        except jwt.MissingRequiredClaimError as error:
            raise refusal(LoginError.INVALID_TOKEN, f"The token lacks the claim {error.claim!r}.") from None
        except (jwt.PyJWTError, ValueError, RecursionError):
            raise refusal(LoginError.INVALID_TOKEN, "The token is malformed.") from None
    raise refusal(
        LoginError.INVALID_TOKEN,
        "The token is not signed with a key of this app.",
        RoomErrorCode.ACCESS_TOKEN_SIGNATURE_INVALID,
    )


def _judge(claims: Mapping[str, Any], app: str, user: str, now: float) -> Grant:
    audience = claims["aud"]
    audiences = audience if isinstance(audience, list) else [audience]
    if not any(isinstance(one, str) and _same(one, app) for one in audiences):
        raise refusal(
            LoginError.INVALID_TOKEN,
            "The token was made for another app.",
            RoomErrorCode.ACCESS_TOKEN_ISSUER_INVALID,
        )
    subject = claims["sub"]
    if not isinstance(subject, str) or not _same(subject, user):
        raise refusal(
            LoginError.INVALID_TOKEN,
            "The token was made for another user.",
            RoomErrorCode.ACCESS_TOKEN_ISSUER_INVALID,
        )
    expires = _judge_times(claims, now)
    return attrs.evolve(_scopes(claims), expires=expires)


def _judge_times(claims: Mapping[str, Any], now: float) -> int:
    """When the token ends, in milliseconds since 1970; refused where it is not in force."""
    expires, starts, issued = (_time(claims, name) for name in ("exp", "nbf", "iat"))
    assert expires is not None
    if starts is not None and starts > now + TOKEN_LEEWAY:
        raise refusal(
            LoginError.INVALID_TOKEN,
            f"The token is not valid before {starts - now:.0f} s from now.",
            RoomErrorCode.ACCESS_TOKEN_NOT_YET_VALID,
        )
    if issued is not None and issued > now + TOKEN_ISSUED_AHEAD:
        raise refusal(
            LoginError.INVALID_TOKEN,
            "The token was issued in the future; the clocks disagree.",
            RoomErrorCode.ACCESS_TOKEN_NOT_YET_VALID,
        )
    if expires <= now - TOKEN_LEEWAY:
        raise refusal(
            LoginError.TOKEN_EXPIRED,
            f"The token expired {now - expires:.0f} s ago.",
            RoomErrorCode.ACCESS_TOKEN_EXPIRED,
        )
    if expires - (now if issued is None else min(issued, now)) > TOKEN_SECONDS_MAX + TOKEN_LEEWAY:
        raise refusal(
            LoginError.INVALID_TOKEN, f"The token is valid for more than {TOKEN_SECONDS_MAX // 3600} hours."
        )
    return int(expires * 1000)


def _scopes(claims: Mapping[str, Any]) -> Grant:
    scopes = claims.get(SCOPES_CLAIM)
    if scopes is None:
        return Grant()
    grants_invalid = RoomErrorCode.ACCESS_TOKEN_GRANTS_INVALID
    if not isinstance(scopes, dict):
        text = f"The claim {SCOPES_CLAIM!r} of the token is not an object."
        raise refusal(LoginError.INVALID_TOKEN, text, grants_invalid)
    try:
        grant = Grant.from_scopes(scopes)
    except AuthError as error:
        error.detail = grants_invalid
        raise
    if grant.empty:
        text = "The token has no scope to log in to anything."
        raise refusal(LoginError.NOT_AUTHORIZED, text, grants_invalid)
    return grant


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode("utf-8", "replace"), other.encode("utf-8", "replace"))


def _time(claims: Mapping[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if value is None and name != "exp":
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e11:
        raise refusal(LoginError.INVALID_TOKEN, f"The claim {name!r} of the token is not a time.")
    return float(value)
