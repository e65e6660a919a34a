"""The RTM servers of a site, by their aliases in the setting ``RTM``."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from django.conf import settings as django_settings
from django.core.serializers.json import DjangoJSONEncoder
from django.db import close_old_connections

from rtmcore.errors import InvalidArgument
from rtmsync.contrib.connections import Connections
from rtmsync.contrib.django.signals import sent
from rtmsync.contrib.settings import Settings
from rtmsync.driver.clock import Timeout
from rtmsync.publisher import PublishStatus

DEFAULT_ALIAS: Final = "default"
EXAMPLE: Final = (
    "In the settings: RTM = {'default': {'URL': 'wss://rtm.example.com', 'APP_ID': '…', 'SERVER_KEY': '…', "
    "'SECRET': '…'}}"
)
"""What the setting looks like."""


def configured() -> dict[str, Mapping[str, Any]]:
    """The setting ``RTM``, by alias.

    Raises:
        InvalidArgument: There is none, or it has another shape.
    """
    servers = getattr(django_settings, "RTM", None)
    if servers is None:
        raise InvalidArgument(
            "RTM is missing in the settings: where is the RTM server?", operation="settings", hint=EXAMPLE
        )
    if not isinstance(servers, Mapping) or not all(isinstance(one, Mapping) for one in servers.values()):
        raise InvalidArgument(
            "RTM has to be a dict of aliases, each with a dict of settings.",
            operation="settings",
            hint=EXAMPLE,
        )
    return {str(alias): values for alias, values in servers.items()}


def to_json(value: Any) -> str:
    """JSON as Django makes it: with times, decimals, UUIDs and lazy texts."""
    return json.dumps(value, cls=DjangoJSONEncoder)


@contextmanager
def fresh_databases() -> Iterator[None]:
    """What code that no request surrounds runs in: without database connections that are broken or too old."""
    close_old_connections()
    try:
        yield
    finally:
        close_old_connections()


class RtmConnections(Connections):
    """The connections of this process to one server, which send Django signals too.

    Args:
        alias: The server's alias in the setting ``RTM``.
        settings: What stands there.
    """

    def __init__(self, alias: str, settings: Settings) -> None:
        super().__init__(settings, around=fresh_databases, dumps=to_json)
        self.alias = alias

    def publish(
        self,
        channel: str,
        message: object,
        *,
        sender: str | None = None,
        history: bool = False,
        idempotency_key: str | None = None,
        timeout: Timeout = None,
    ) -> int:
        """Send a message to a channel; see `Connections.publish`. Sends the signal `sent`."""
        number = super().publish(
            channel,
            message,
            sender=sender,
            history=history,
            idempotency_key=idempotency_key,
            timeout=timeout,
        )
        self._tell(channel, "channel", number)
        return number

    def send_peer(
        self,
        user: str,
        message: object,
        *,
        sender: str | None = None,
        offline: bool = False,
        ttl: float | None = None,
        history: bool = False,
        idempotency_key: str | None = None,
        timeout: Timeout = None,
    ) -> PublishStatus:
        """Send a message to a user; see `Connections.send_peer`. Sends the signal `sent`."""
        status = super().send_peer(
            user,
            message,
            sender=sender,
            offline=offline,
            ttl=ttl,
            history=history,
            idempotency_key=idempotency_key,
            timeout=timeout,
        )
        self._tell(user, "peer", status)
        return status

    def _tell(self, destination: str, kind: str, result: object) -> None:
        sent.send_robust(type(self), using=self.alias, destination=destination, kind=kind, result=result)


class Clients:
    """The servers in the setting ``RTM``: ``clients["default"].publish("orders", "paid")``.

    Each has, for this process and all its threads, a `publisher`, a session `client`, `token_for` and the rest of
    `rtmsync.contrib.connections.Connections`. Nothing is opened before its first use. After a fork, and in another
    settings of `override_settings`, each begins anew.
    """

    def __init__(self) -> None:
        self._made: dict[str, RtmConnections] = {}

    def __getitem__(self, alias: str) -> RtmConnections:
        made = self._made.get(alias)
        if made is None:
            # Making one opens nothing: where two threads do, the second one's is dropped.
            made = self._made.setdefault(alias, RtmConnections(alias, settings_of(alias)))
        return made

    def __iter__(self) -> Iterator[str]:
        return iter(configured())

    def reset(self) -> None:
        """Close what this process has open, and read the settings anew at the next use."""
        while self._made:
            _, made = self._made.popitem()
            made.close()


def settings_of(alias: str) -> Settings:
    """What the setting ``RTM`` says about a server.

    Raises:
        InvalidArgument: There is no such alias, or a value is not possible.
    """
    servers = configured()
    if alias not in servers:
        raise InvalidArgument(
            f"There is no RTM server {alias!r} in the settings; RTM has {', '.join(servers) or 'none'}.",
            operation="settings",
        )
    try:
        return Settings.from_mapping(servers[alias], base=_site())
    except InvalidArgument as error:
        raise InvalidArgument(
            f"In RTM[{alias!r}]: {error.message}", operation="settings", hint=error.hint
        ) from None


def _site() -> str:
    """The name of the site, for user ids: that of the package with its URLs."""
    urls = getattr(django_settings, "ROOT_URLCONF", None)
    return urls.partition(".")[0] if isinstance(urls, str) else "django"


clients: Final = Clients()
