"""Which HTTP proxy, if any, leads to a server."""

import os
import sys
from typing import Literal, TypeAlias
from urllib.parse import unquote, urlsplit

import attrs

from rtmcore.errors import InvalidArgument

Proxy: TypeAlias = "Literal['auto'] | str | None"
"""`"auto"`: what the environment says; None: no proxy; or the proxy's URL."""


@attrs.frozen
class ProxyAddress:
    """An HTTP proxy and what it wants to be told."""

    host: str
    port: int
    username: str | None = None
    password: str | None = attrs.field(default=None, repr=False)


def parse_proxy(url: str) -> ProxyAddress:
    """Read a proxy's URL.

    Args:
        url: ``http://[user:password@]host[:port]``, port 80 by default; ``host:port`` alone is enough. Special
            characters in user and password are percent-encoded.

    Raises:
        InvalidArgument: Not such a URL. The message does not repeat the password.
    """
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise InvalidArgument(f"The proxy's URL cannot be read: {error}.") from None
    if parts.scheme != "http" or not host:
        raise InvalidArgument(
            f"A proxy is given as http://host:port; {parts.scheme}:// is not supported."
            if parts.scheme != "http"
            else "The proxy's URL names no host."
        )
    return ProxyAddress(
        host,
        80 if port is None else port,
        None if parts.username is None else unquote(parts.username),
        None if parts.password is None else unquote(parts.password),
    )


def choose_proxy(setting: Proxy, host: str, port: int, tls: bool) -> ProxyAddress | None:
    """The proxy for a server.

    With `"auto"` the environment decides at each call, by the usual variables: ``wss_proxy`` or ``https_proxy`` for
    TLS, ``ws_proxy`` or ``http_proxy`` without, then ``all_proxy``; ``no_proxy`` names the exceptions. Nothing else
    is an exception, loopback addresses neither.

    Raises:
        InvalidArgument: The proxy's URL cannot be read.
    """
    if setting != "auto":
        return None if setting is None else parse_proxy(setting)
    if not _environment_may_say():
        return None
    # Loaded here because it brings half the standard library along, and most environments name no proxy.
    import urllib.request

    found = urllib.request.getproxies()
    kinds = ("wss", "https", "all") if tls else ("ws", "http", "all")
    url = next((found[kind] for kind in kinds if found.get(kind)), None)
    if url is None or urllib.request.proxy_bypass(f"{host}:{port}"):
        return None
    return parse_proxy(url)


def _environment_may_say() -> bool:
    """Whether a look at the proxy settings can find something; systems with settings of their own always may."""
    return sys.platform in ("darwin", "win32") or any(name.lower().endswith("_proxy") for name in os.environ)
