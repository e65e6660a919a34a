"""Server keys: who knows one may act for all users of an app over HTTP."""

import hmac
import re
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Final

from rtmcore.errors import InvalidArgument

_KEY: Final = re.compile(r"[\x21-\x7e]{16,128}")


def check_server_keys(keys: Mapping[str, Sequence[str]], apps: Sequence[str]) -> None:
    """Judge the server keys of a configuration.

    Args:
        keys: By app id.
        apps: The apps that the server holds.

    Raises:
        InvalidArgument: A key is not possible, or its app is not there.
    """
    for app, several in keys.items():
        wrong = None
        if app not in apps:
            wrong = "There is a server key for an app that the server does not hold."
        elif isinstance(several, str) or not all(
            isinstance(key, str) and _KEY.fullmatch(key) for key in several
        ):
            wrong = "Server keys are a list of texts with 16 to 128 visible ASCII characters each."
        if wrong is not None:
            raise InvalidArgument(wrong, operation="serve", hint="Make one with: openssl rand -hex 32")


class ServerKeys:
    """Judges server keys in a time that says nothing about them.

    Args:
        keys: By app id.
    """

    def __init__(self, keys: Mapping[str, Sequence[str]]) -> None:
        self.replace(keys)

    def replace(self, keys: Mapping[str, Sequence[str]]) -> None:
        """Go on with other keys. Any thread may call this."""
        self._digests = {app: [_digest(key) for key in several] for app, several in keys.items() if several}

    @property
    def apps(self) -> frozenset[str]:
        """The apps that have a key."""
        return frozenset(self._digests)

    def authorize(self, app: str, key: str) -> bool | None:
        """Whether a key is good for an app; None where the app has no key or is unknown."""
        digests = self._digests.get(app)
        if digests is None:
            return None
        offered = _digest(key)
        # All are compared, so that the time does not tell which one it is.
        return sum(hmac.compare_digest(offered, digest) for digest in digests) > 0


def _digest(key: str) -> bytes:
    return sha256(key.encode("utf-8", "surrogatepass")).digest()
