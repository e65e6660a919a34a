"""What a server is told before it starts, checked at once."""

import ipaddress
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, Literal

import attrs

from rtmcore.errors import InvalidArgument
from rtmcore.identifiers import is_valid_app_id
from rtmcore.limits import APP_ID_LENGTH, DRAIN_TIMEOUT, RateLimit
from rtmcore.service.capacity import explain_invalid_limits
from rtmcore.service.config import ABORT, ALL_RATES, KEEP, explain_invalid_rate
from rtmsync.server.serverkeys import explain_invalid_keys, explain_invalid_server_keys
from rtmsync.server.tokens import AppKeys

DEFAULT_PORT: Final = 7430
DEV_APP_ID: Final = "dev00000000000000000000000000000"
"""The app id that `rtm serve --dev` prints: fixed, so that a pasted line works again tomorrow."""

_EVERYWHERE: Final = frozenset({"", "0.0.0.0", "::"})
_ORIGIN: Final = re.compile(
    r"null|(?!http://.*:80$|https://.*:443$)[a-z][a-z0-9+.-]*://[\w.:\[\]-]+", re.ASCII | re.IGNORECASE
)
"""What browsers send: an origin with a path or with the usual port would never be met."""


def is_loopback(host: str) -> bool:
    """Whether a host to listen on is reachable from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Mistakes(InvalidArgument):
    """All that is wrong with the settings: one sentence as it is, several in a list.

    Args:
        before: What has them, for the head of a list.
        mistakes: Sentences, at least one.
    """

    def __init__(self, before: str, mistakes: Sequence[str]) -> None:
        text = mistakes[0]
        if len(mistakes) > 1:
            text = "\n  - ".join([f"{before} {len(mistakes)} mistakes:", *mistakes])
        super().__init__(text, operation="serve")
        self.mistakes = tuple(mistakes)

    def __reduce__(self) -> tuple[object, ...]:
        return Mistakes, ("There are", self.mistakes)


@attrs.frozen(kw_only=True)
class ServerConfig:
    """Settings of a server.

    Args:
        apps: The apps it holds, at least one.
        host: The address to listen on; loopback by default. An address that others can reach needs keys for
            each app.
        port: The TCP port, 0 to 65535; 0 lets the system choose.
        data_dir: Where the journal is kept; None keeps everything in memory.
        tls_certificate: PEM file with the certificate chain; None for plain connections.
        tls_key: PEM file with the private key; None where the certificate's file holds it.
        allowed_origins: Origins of pages that may connect, besides the server's own.
        dev: True binds loopback only, checks the Host header and refuses foreign origins.
        rate_limits: False switches the documented rates off, for benchmarks and tests.
        rate_factor: By how much more often than documented a client may call, above 0.
        rates: Rates in place of the documented ones, by the names of `rtmcore.service.config.ALL_RATES`; the factor
            does not concern them.
        limits: Sizes and counts in place of the documented ones, by the names of
            `rtmcore.service.capacity.FIGURES`.
        token_policy: What an expired token does to a connected client: ``keep`` (nothing, as in the seeds) or
            ``abort`` (version 1.5).
        drain_seconds: Over how long clients are sent away when the server stops.
        node: Name of this server process; None makes one.
        server_keys: By app id, keys with which programs send without a session; each of 16 to 128 visible ASCII
            characters. An app without one is not served over HTTP.
        metrics: True serves ``/metrics`` to whoever reaches the port, False to nobody; None serves them in a
            development server only.
        metrics_keys: Keys, as those of servers, with which ``/metrics`` is served whatever `metrics` says.

    Raises:
        InvalidArgument: A value is not possible, or the server would be open to the world without a secret.
    """

    apps: Sequence[AppKeys]
    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    data_dir: Path | None = None
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    allowed_origins: Sequence[str] = ()
    dev: bool = False
    rate_limits: bool = True
    rate_factor: float = 1.0
    rates: Mapping[str, RateLimit] = attrs.field(factory=dict)
    limits: Mapping[str, int] = attrs.field(factory=dict)
    token_policy: Literal["keep", "abort"] = "keep"
    drain_seconds: float = DRAIN_TIMEOUT
    node: str | None = None
    server_keys: Mapping[str, Sequence[str]] = attrs.field(factory=dict, repr=False)
    metrics: bool | None = None
    metrics_keys: Sequence[str] = attrs.field(default=(), repr=False)

    def __attrs_post_init__(self) -> None:
        mistakes = list(self._mistakes())
        if len(mistakes) == 1:
            what, hint = mistakes[0]
            raise InvalidArgument(what, operation="serve", hint=hint)
        if mistakes:
            raise Mistakes("The settings have", [f"{what} {hint}" for what, hint in mistakes])

    def _mistakes(self) -> Iterator[tuple[str, str]]:
        """What is wrong, and what to do, in a sentence each."""
        yield from self._mistakes_of_apps()
        if not 0 <= self.port <= 65535:
            yield f"The port {self.port} is not between 0 and 65535.", "Choose another port."
        if self.token_policy not in (KEEP, ABORT):
            yield f"The token policy {self.token_policy!r} is not known.", f"Use {KEEP!r} or {ABORT!r}."
        if not 0 <= self.drain_seconds < math.inf:
            yield f"drain_seconds is {self.drain_seconds:g}.", "Use a number of seconds from 0 on."
        yield from self._mistakes_of_limits()
        for origin in self.allowed_origins:
            if not _ORIGIN.fullmatch(origin):
                yield (
                    f"No page has the origin {origin!r}.",
                    "An origin is a scheme and a host, and a port where it is not the usual one, such as "
                    "https://example.org, with nothing behind.",
                )
        if self.tls_key is not None and self.tls_certificate is None:
            yield "There is a TLS key but no certificate.", "Name the certificate's file too."
        if is_loopback(self.host):
            return
        if self.dev:
            yield f"A development server does not listen on {self.host!r}.", "Use --host 127.0.0.1."
        if any(app.open for app in self.apps):
            where = "everywhere" if self.host in _EVERYWHERE else f"on {self.host}"
            yield (
                f"The server would listen {where} and let anybody in: an app has no key.",
                "Give each app a key, or listen on 127.0.0.1.",
            )

    def _mistakes_of_apps(self) -> Iterator[tuple[str, str]]:
        if not self.apps:
            yield "A server needs at least one app.", "Name an app id and its key."
        names = [app.app for app in self.apps]
        if len(set(names)) != len(names):
            yield "An app id is named twice.", "Put all keys of an app into one file."
        for app in names:
            if not is_valid_app_id(app):
                yield (
                    f"The app id {app!r} is not {APP_ID_LENGTH} visible ASCII characters long.",
                    "Make one with: openssl rand -hex 16",
                )
        yield from explain_invalid_server_keys(self.server_keys, names)
        if explain_invalid_keys(self.metrics_keys) is not None:
            yield (
                "Keys for the metrics are texts with 16 to 128 visible ASCII characters.",
                "Make one with: openssl rand -hex 32",
            )

    def _mistakes_of_limits(self) -> Iterator[tuple[str, str]]:
        if not 0 < self.rate_factor < math.inf:
            yield f"rate_factor is {self.rate_factor:g}.", "Use a number above 0; 1 is as documented."
        for name, rate in self.rates.items():
            if name not in ALL_RATES:
                yield f"There is no rate {name!r}.", f"There are {', '.join(ALL_RATES)}."
            elif (wrong := explain_invalid_rate(rate)) is not None:
                yield f"The rate {name!r} {wrong}", "It is so many calls in so many seconds."
        for sentence in explain_invalid_limits(self.limits):
            yield sentence, "Without it the documented figure is in force."
