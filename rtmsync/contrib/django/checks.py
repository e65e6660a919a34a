"""System checks, tag ``rtmsync``. They read settings and nothing else: `manage.py rtm_check` asks the network."""

import base64
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from django.conf import settings as django_settings
from django.core.checks import Error, Warning

from rtmcore.client.config import Endpoint
from rtmcore.errors import InvalidArgument
from rtmcore.limits import TOKEN_WILL_EXPIRE_BEFORE
from rtmsync.config import Secret
from rtmsync.contrib.django.clients import EXAMPLE, configured
from rtmsync.contrib.settings import MEMORY, Settings

TAG: Final = "rtmsync"

_NEEDED: Final = ("URL", "APP_ID")
_URLS: Final = ("URL", "PUBLIC_URL")
_UWSGI_OPTIONS: Final = ("py-call-uwsgi-fork-hooks", "py-call-osafterfork", "lazy-apps", "lazy")
"""With any of these, threads and sockets of the process that loaded the application do no harm in its workers."""

Messages = list[Any]


def check_settings(app_configs: object = None, **_: object) -> Messages:
    """E001 to E004: what keeps a client or a publisher from being made.

    E001: a key is missing. E002: a URL cannot be used. E003: what TOKEN names cannot be imported. E004: any other value
    that is not possible.
    """
    try:
        servers = configured()
    except InvalidArgument as error:
        return [Error(error.message, hint=EXAMPLE, id="rtmsync.E001")]
    return [found for alias, values in servers.items() for found in _mistakes(alias, values)]


def check_names(app_configs: object = None, **_: object) -> Messages:
    """W001: several processes would log in under one name."""
    return [
        Warning(
            f"RTM[{alias!r}]['USER_ID'] is {settings.user_id!r} in every process: workers that use a session put each "
            "other out (REMOTE_LOGIN).",
            hint="Put {pid} or {rand} into it, or leave it out. The listener's fixed name belongs into LISTENER.",
            id="rtmsync.W001",
        )
        for alias, settings in _usable()
        if settings.shared_user_id
    ]


def check_tokens(app_configs: object = None, **_: object) -> Messages:
    """W003: a token in TOKEN lives shorter than the time before its end at which a client asks for another one."""
    found: Messages = []
    for alias, settings in _usable():
        life = _life(settings.token.value) if isinstance(settings.token, Secret) else None
        if life is not None and life <= TOKEN_WILL_EXPIRE_BEFORE:
            found.append(
                Warning(
                    f"The token in RTM[{alias!r}]['TOKEN'] is valid for {life:.0f} s in all. The listener would need "
                    f"another one at once: it renews {TOKEN_WILL_EXPIRE_BEFORE:.0f} s before the end.",
                    hint="Set SECRET, or name a function in TOKEN, so that tokens are made when they are needed.",
                    id="rtmsync.W003",
                )
            )
    return found


def check_uwsgi(app_configs: object = None, **_: object) -> Messages:
    """W004: uWSGI without Python's fork hooks. It can be seen inside a uWSGI process only."""
    uwsgi = sys.modules.get("uwsgi")
    options = getattr(uwsgi, "opt", None)
    if not isinstance(options, Mapping):
        return []
    given = {name.decode() if isinstance(name, bytes) else str(name) for name in options}
    if given.intersection(_UWSGI_OPTIONS):
        return []
    return [
        Warning(
            "This uWSGI forks its workers from a process that has loaded the application, and calls no Python fork "
            "hooks in them.",
            hint="Start it with --py-call-uwsgi-fork-hooks or --lazy-apps. Without, a worker lets go of what it has "
            "inherited at its next use there, and not before.",
            id="rtmsync.W004",
        )
    ]


def check_encryption(app_configs: object = None, **_: object) -> Messages:
    """W002, with ``--deploy``: a plain connection in production."""
    if django_settings.DEBUG:
        return []
    found: Messages = []
    for alias, settings in _usable():
        plain = (
            []
            if settings.transport == MEMORY
            else [
                name
                for name, url in zip(_URLS, (settings.url, settings.public_url), strict=True)
                if not Endpoint.parse(url).tls
            ]
        )
        if settings.public_url == settings.url:
            plain = plain[:1]
        found += [
            Warning(
                f"RTM[{alias!r}][{name!r}] begins with ws://: tokens and messages can be read on their way.",
                hint="Use wss://.",
                id="rtmsync.W002",
            )
            for name in plain
        ]
    return found


Check = Callable[..., Messages]
SETTINGS_CHECKS: Final[Sequence[Check]] = (check_settings, check_names, check_tokens, check_uwsgi)
DEPLOYMENT_CHECKS: Final[Sequence[Check]] = (check_encryption,)


def _mistakes(alias: str, values: Mapping[str, Any]) -> Iterator[Any]:
    where = f"RTM[{alias!r}]"
    network = values.get("TRANSPORT") != MEMORY
    missing = [name for name in _NEEDED if values.get(name) is None and network]
    for name in missing:
        yield Error(f"{where}[{name!r}] is missing.", hint=EXAMPLE, id="rtmsync.E001")
    bad = [name for name in _URLS if values.get(name) is not None and not _is_url(values[name])]
    for name in bad:
        yield Error(
            f"{where}[{name!r}] is not the URL of an RTM server.",
            hint="It looks like wss://rtm.example.com or ws://127.0.0.1:7430.",
            id="rtmsync.E002",
        )
    if missing or bad:
        return
    try:
        settings = Settings.from_mapping(values)
    except InvalidArgument as error:
        yield Error(f"In {where}: {error.message}", hint=error.hint, id="rtmsync.E004")
        return
    try:
        settings.token_function()
    except InvalidArgument as error:
        yield Error(f"In {where}: {error.message}", hint=error.hint, id="rtmsync.E003")


def _is_url(value: object) -> bool:
    try:
        Endpoint.parse(value)  # type: ignore[arg-type]
    except InvalidArgument:
        return False
    return True


def _usable() -> Iterator[tuple[str, Settings]]:
    """The servers whose settings are without mistakes; what is wrong with others is an error of its own."""
    try:
        servers = configured()
    except InvalidArgument:
        return
    for alias, values in servers.items():
        if not list(_mistakes(alias, values)):
            yield alias, Settings.from_mapping(values)


def _life(token: str) -> float | None:
    """The seconds from a token's beginning to its end; None where it does not say."""
    parts = token.split(".")
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        return float(claims["exp"]) - float(claims["iat"])
    except (IndexError, KeyError, TypeError, ValueError):
        return None
