"""Targets: the token verifier, with JSON Web Tokens and with AccessTokens."""

import base64
import hashlib
import hmac
import json
import struct
import zlib
from random import Random
from typing import Any

from rtmcore.errors import AuthError
from rtmcore.service.grants import Grant
from rtmsync.server.access_tokens import VERSIONS, make_access_token
from rtmsync.server.tokens import AppKeys, AppVerifier, TokenKey
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
    """`AppVerifier`: a grant only for what a key of the app has signed."""

    name = "token"

    def __init__(self) -> None:
        self._verifier = AppVerifier([AppKeys(APP, _KEYS)])

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


_CERTIFICATE = "5CFd2fd1755d40ecb72977518be15d3b"
_HEADS = {"006": "006" + APP, "007": "007"}


def _opened(token: str) -> bytes:
    """The fields of an AccessToken, as bytes."""
    data = base64.b64decode(token[len(_HEADS[token[:3]]) :])
    return zlib.decompress(data) if token.startswith("007") else data


def _closed(version: str, data: bytes) -> bytes:
    packed = zlib.compress(data) if version == "007" else data
    return _HEADS[version].encode() + base64.b64encode(packed)


class AccessTokenTarget:
    """`AppVerifier`: a grant only for an AccessToken that a certificate of the app has signed."""

    name = "access-token"

    def __init__(self) -> None:
        self._verifier = AppVerifier([AppKeys(APP, (), (_CERTIFICATE,), VERSIONS)])
        self._good = {
            version: make_access_token(
                version, app=APP, certificate=_CERTIFICATE, user="alice", now=NOW, salt=7, seconds=600
            )
            for version in VERSIONS
        }

    def make(self, random: Random) -> Case:
        version = random.choice(VERSIONS)
        fields = _opened(self._good[version])
        if random.random() < 0.1:
            fields = bytes(random.choice((10_000, 1_000_000)))
        elif random.random() < 0.7:
            fields = mutate(random, fields)
        elif random.random() < 0.5:
            # Lengths and counts are where a reader would go beyond the end.
            at = random.randrange(len(fields) - 1)
            fields = (
                fields[:at] + struct.pack("<H", random.choice((0, 1, 255, 32_768, 65_535))) + fields[at + 2 :]
            )
        token = _closed(version, fields)
        return Case([mutate(random, token) if random.random() < 0.2 else token])

    def run(self, case: Case) -> None:
        token = case.pieces[0].decode("latin-1")
        try:
            self._verifier(APP, "alice", token, NOW * 1000)
        except AuthError as error:
            expect(error.code is not None, "a refusal without a code")
            expect(token not in str(error) or len(token) < 20, "a token in an error")
            return
        good = self._good[token[:3]]
        same = _opened(token) == _opened(good)
        # In 006 nobody signs the checksum of the uid, which is empty.
        same = same or (_opened(token)[:38] + _opened(token)[42:] == _opened(good)[:38] + _opened(good)[42:])
        expect(same, "granted what no certificate has signed")
