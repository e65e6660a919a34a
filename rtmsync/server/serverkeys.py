"""Server keys: who knows one may act for all users of an app over HTTP."""

import hmac
import re
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Final

_KEY: Final = re.compile(r"[\x21-\x7e]{16,128}")


_MAKE: Final = "Make one with: openssl rand -hex 32"


def explain_invalid_keys(keys: Sequence[str]) -> str | None:
    """Say what is wrong with keys, none of which is quoted; None where all is well."""
    if isinstance(keys, str) or not all(isinstance(key, str) and _KEY.fullmatch(key) for key in keys):
        return "Server keys are a list of texts with 16 to 128 visible ASCII characters each."
    return None


def explain_invalid_server_keys(
    keys: Mapping[str, Sequence[str]], apps: Sequence[str]
) -> Iterator[tuple[str, str]]:
    """Say what is wrong with the server keys of a configuration, and what to do.

    Args:
        keys: By app id.
        apps: The apps that the server holds.
    """
    for app, several in keys.items():
        if app not in apps:
            yield "There is a server key for an app that the server does not hold.", "Name the app too."
        elif (wrong := explain_invalid_keys(several)) is not None:
            yield wrong, _MAKE


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
