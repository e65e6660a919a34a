"""Target: the token verifier."""

import base64
import hashlib
import hmac
import json
from random import Random
from typing import Any

from rtmcore.errors import AuthError
from rtmcore.service.grants import Grant
from rtmsync.server.tokens import AppKeys, JwtVerifier, TokenKey
from tests.fuzz.harness import Case, expect
from tests.fuzz.mutation import mutate

APP = "0123456789abcdef0123456789abcdef"
NOW = 1_700_000_000
_SECRETS = {"one": b"k" * 32, "two": b"z" * 40}
_KEYS = tuple(TokenKey(secret, "HS256", kid) for kid, secret in _SECRETS.items())
_GOOD: dict[str, Any] = {"aud": APP, "sub": "alice", "iat": NOW, "exp": NOW + 600}
_STRANGE = (
    None, True, -1, 0, 1e308, 10**30, NOW, NOW + 600, NOW + 10**6, "alice", "", APP, [APP], [None], {}, [[]],
    {"login": True, "send": ["p2p", "ch:*"], "join": ["*"]}, {"login": "yes"}, {"login": True, "join": [1]},
    {"login": True, "send": ["ch:" + "*a" * 200]}, "\ud800", float("nan"), float("inf"), "x" * 3000,
)  # fmt: skip
_HEADERS: tuple[Any, ...] = (
    {"alg": "HS256", "typ": "JWT"}, {"alg": "HS256", "kid": "one"}, {"alg": "HS256", "kid": "two"},
    {"alg": "none"}, {"alg": "HS512"}, {"alg": "RS256"}, {"alg": "HS256", "kid": 7}, {"alg": "HS256", "kid": []},
    {"alg": "HS256", "crit": ["x"]}, {"alg": "HS256", "b64": False}, {"alg": None}, {}, [], "x", None,
)  # fmt: skip


def _encoded(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def _signed(header: bytes, claims: bytes, secret: bytes) -> bytes:
    signing_input = _encoded(header) + b"." + _encoded(claims)
    return signing_input + b"." + _encoded(hmac.digest(secret, signing_input, hashlib.sha256))


_VALID = _signed(json.dumps(_HEADERS[1]).encode(), json.dumps(_GOOD).encode(), _SECRETS["one"])


class TokenTarget:
    """`JwtVerifier`: a grant only for what a key of the app has signed."""

    name = "token"

    def __init__(self) -> None:
        self._verifier = JwtVerifier([AppKeys(APP, _KEYS)])

    def make(self, random: Random) -> Case:
        claims = dict(_GOOD)
        for _ in range(random.choice((0, 0, 1, 1, 2))):
            claims[random.choice(("aud", "sub", "iat", "exp", "nbf", "rtm", "jti"))] = random.choice(_STRANGE)
        if random.random() < 0.1:
            del claims[random.choice(list(claims))]
        body: Any = claims if random.random() < 0.97 else random.choice(_STRANGE)
        header = random.choice(_HEADERS) if random.random() < 0.4 else _HEADERS[0]
        parts = [json.dumps(part).encode() for part in (header, body)]
        parts = [mutate(random, part) if random.random() < 0.15 else part for part in parts]
        secret = random.choice((*_SECRETS.values(), *_SECRETS.values(), b"w" * 32))
        token = _signed(parts[0], parts[1], secret)
        return Case([mutate(random, token, [_VALID]) if random.random() < 0.5 else token])

    def run(self, case: Case) -> None:
        token = case.pieces[0].decode("latin-1")
        try:
            grant = self._verifier(APP, "alice", token, NOW * 1000)
        except AuthError as error:
            expect(error.code is not None, "a refusal without a code")
            expect(
                case.pieces[0].decode("latin-1") not in str(error) or len(token) < 20, "a token in an error"
            )
            return
        expect(isinstance(grant, Grant) and grant.login, f"granted {grant}")
        signing_input, _, signature = case.pieces[0].rpartition(b".")
        given = base64.urlsafe_b64decode(signature + b"==")
        valid = [hmac.digest(secret, signing_input, hashlib.sha256) for secret in _SECRETS.values()]
        expect(given in valid, "granted what no key has signed")
        grant.may_join("a" * 64)
        grant.may_publish("a" * 63 + "b")
