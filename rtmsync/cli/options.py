"""The options that all clients share: which server, which app, who one is and how to prove it."""

import functools
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import urlsplit

import attrs
import click

from rtmcore.errors import RateLimited
from rtmcore.limits import LOGIN_TIMEOUT
from rtmsync.cli.credentials import Minter, read_keys, read_token, user_of
from rtmsync.driver.clock import Deadline
from rtmsync.driver.proxies import Proxy
from rtmsync.driver.tls import TlsConfig
from rtmsync.server.config import DEFAULT_PORT, DEV_APP_ID, is_loopback

if TYPE_CHECKING:
    from rtmsync.client import Client

R = TypeVar("R")

DEFAULT_URL: Final = f"ws://127.0.0.1:{DEFAULT_PORT}"
"""Where `rtm serve --dev` listens."""

TokenSource = str | Minter | None


@attrs.frozen(kw_only=True)
class Login:
    """Whom to log in, where.

    Args:
        url: The server.
        app_id: The app.
        user: The user id; None where neither an option nor a token says.
        token: A token, what makes tokens, or None.
        tls: How to recognise the server; None for the system's way.
        proxy: An HTTP proxy, `"auto"` for what the environment says, or None.
        timeout: Seconds for the login.
    """

    url: str
    app_id: str
    user: str | None
    token: TokenSource = attrs.field(repr=False)
    tls: TlsConfig | None
    proxy: Proxy
    timeout: float

    def named(self) -> str:
        """The user id.

        Raises:
            click.UsageError: There is none.
        """
        if self.user is None:
            raise click.UsageError("Who are you? Give --user NAME, or set RTM_USER_ID.")
        return self.user

    def connect(self) -> "Client":
        """Log in, and return the client. Where a user logs in too often it waits as long as the server asks."""
        import rtmsync

        # This loads the client, which can take seconds on a busy machine and is no part of the login.
        connect = rtmsync.connect
        budget = Deadline(self.timeout)
        while True:
            try:
                return connect(
                    self.url,
                    app_id=self.app_id,
                    user_id=self.named(),
                    token=self.token,
                    tls=self.tls,
                    proxy=self.proxy,
                    timeout=budget,
                )
            except RateLimited as error:
                if error.retry_after is None or error.retry_after >= budget.remaining():
                    raise
                time.sleep(error.retry_after)


_OPTIONS: Final = (
    click.option("--url", envvar="RTM_URL", default=DEFAULT_URL, show_default=True, help="The server."),
    click.option(
        "--app-id", envvar="RTM_APP_ID", default=DEV_APP_ID, help="The app; the one of --dev by default."
    ),
    click.option(
        "--user", "-u", envvar="RTM_USER_ID", help="Your user id; by default the one in your token."
    ),
    click.option(
        "--token-file",
        type=click.Path(path_type=Path),
        help="File with your token; - asks for it. The token itself can be in RTM_TOKEN.",
    ),
    click.option(
        "--secret-file",
        type=click.Path(path_type=Path),
        envvar="RTM_SECRET_FILE",
        help="File with a key of the app, to make tokens as they are needed.",
    ),
    click.option(
        "--ca-file", envvar="RTM_CA_FILE", help="Certificates to trust instead of the system's, PEM."
    ),
    click.option("--cert-file", help="Your own TLS certificate with its chain and key, PEM."),
    click.option(
        "--proxy",
        envvar="RTM_PROXY",
        help="URL of an HTTP proxy, 'none', or 'auto' for what the environment says; by default 'auto', but none to "
        "this machine.",
    ),
    click.option(
        "--timeout",
        type=click.FloatRange(min=0, min_open=True),
        default=LOGIN_TIMEOUT,
        show_default=True,
        help="Seconds for the login.",
    ),
)


def connection_options(command: Callable[..., R]) -> Callable[..., R]:
    """Give a command the shared options; it receives them as `login`."""

    @functools.wraps(command)
    def with_login(
        *args: Any,
        url: str,
        app_id: str,
        user: str | None,
        token_file: Path | None,
        secret_file: Path | None,
        ca_file: str | None,
        cert_file: str | None,
        proxy: str | None,
        timeout: float,
        **others: Any,
    ) -> R:
        token = _token(app_id, user, token_file, secret_file)
        login = Login(
            url=url,
            app_id=app_id,
            user=user_of(token) if user is None and isinstance(token, str) else user,
            token=token,
            tls=TlsConfig(ca_file=ca_file, cert_file=cert_file) if ca_file or cert_file else None,
            proxy=_proxy(url, proxy),
            timeout=timeout,
        )
        return command(*args, login=login, **others)

    wrapped: Callable[..., R] = with_login
    for option in reversed(_OPTIONS):
        wrapped = option(wrapped)
    return wrapped


def _proxy(url: str, given: str | None) -> Proxy:
    if given is not None:
        return None if given in ("", "none") else given
    try:
        here = is_loopback(urlsplit(url).hostname or "")
    except ValueError:
        here = False  # whoever uses the URL will say what is wrong with it
    return None if here else "auto"


def _token(app_id: str, user: str | None, token_file: Path | None, secret_file: Path | None) -> TokenSource:
    if token_file is not None:
        return read_token(token_file)
    from_environment = os.environ.get("RTM_TOKEN", "").strip()
    if from_environment:
        return from_environment
    if secret_file is None:
        return None
    if user is None:
        raise click.UsageError("A token is made for a user: give --user NAME, or set RTM_USER_ID.")
    return Minter(read_keys(secret_file), app_id, user)
