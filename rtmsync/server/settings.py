"""A server's settings in a file: TOML, every key known, every mistake one sentence that names its key."""

import math
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import attrs

from rtmcore.errors import InvalidArgument
from rtmcore.limits import RateLimit
from rtmsync.server.config import DEV_APP_ID, ServerConfig
from rtmsync.server.keyfiles import load_text, parse_certificates, parse_keys
from rtmsync.server.tokens import JWT, AppKeys, TokenKey


@attrs.frozen(kw_only=True)
class AppFiles:
    """An app, and where its secrets are.

    Args:
        id: The app id.
        key_file: A file as `keyfiles.parse_keys` reads it; None where there are no keys.
        certificate_file: A file with app certificates, one a line; None where there are none.
        token_formats: Which formats of tokens the app takes.
        server_key_file: A file with server keys, one a line; None where nobody sends without a session.
    """

    id: str
    key_file: Path | None = None
    certificate_file: Path | None = None
    token_formats: tuple[str, ...] = (JWT,)
    server_key_file: Path | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that there are."""
        files = (self.key_file, self.certificate_file, self.server_key_file)
        return tuple(file for file in files if file is not None)

    def load(self) -> AppKeys:
        """Read the files.

        Raises:
            InvalidArgument: A file cannot be read, or what is in it cannot be used.
        """
        keys: tuple[TokenKey, ...] = ()
        certificates: tuple[str, ...] = ()
        if self.key_file is not None:
            keys = parse_keys(load_text(self.key_file, "secret file"), str(self.key_file))
        if self.certificate_file is not None:
            certificates = parse_certificates(load_text(self.certificate_file, "certificate file"))
            if not certificates:
                raise _wrong(f"There is no certificate in {self.certificate_file}.")
        return AppKeys(self.id, keys, certificates, self.token_formats)

    def load_server_keys(self) -> tuple[str, ...]:
        """Read the file with server keys; none where there is no file.

        Raises:
            InvalidArgument: The file cannot be read, or there is no key in it.
        """
        if self.server_key_file is None:
            return ()
        lines = load_text(self.server_key_file, "server key file").splitlines()
        keys = tuple(line.strip() for line in lines if line.strip())
        if not keys:
            raise _wrong(f"There is no server key in {self.server_key_file}.")
        return keys


@attrs.frozen(kw_only=True)
class Settings:
    """What a server is told, with the secrets still in their files.

    Args:
        apps: The apps.
        others: Arguments of `ServerConfig` besides the apps, by name.
    """

    apps: tuple[AppFiles, ...] = ()
    others: Mapping[str, Any] = attrs.field(factory=dict)

    def config(self) -> ServerConfig:
        """Read the secrets and put everything together. A development server without apps has one of its own.

        Raises:
            InvalidArgument: A file cannot be read, or the settings are not possible.
        """
        apps = tuple(app.load() for app in self.apps)
        if not apps and self.others.get("dev"):
            apps = (AppKeys(DEV_APP_ID),)
        names = [app.app for app in apps]
        if len(set(names)) != len(names):
            raise _wrong("An app id is named twice.")
        server_keys = {app.id: app.load_server_keys() for app in self.apps if app.server_key_file is not None}
        return ServerConfig(apps=apps, server_keys=server_keys, **self.others)


def read_settings(path: Path) -> Settings:
    """Read a file of settings.

    Args:
        path: The TOML file. Files that it names are relative to its own folder.

    Returns:
        What it says. What it does not say is not among `Settings.others`.

    Raises:
        InvalidArgument: It cannot be read, is not TOML, has a key that there is not, or a value of the wrong type.
    """
    toml: Any = import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    try:
        found = toml.loads(load_text(path, "settings file"))
    except toml.TOMLDecodeError as error:
        raise _wrong(f"The settings file {path} is not TOML: {error}.") from None
    except RecursionError:
        raise _wrong(f"The settings file {path} is nested too deeply.") from None
    reader = _Reader(path)
    others = reader.table("", {name: value for name, value in found.items() if name not in _TABLES}, _PLAIN)
    tls = reader.table("tls", found.get("tls", {}), _TLS)
    others.update({f"tls_{name}": value for name, value in tls.items()})
    if "rates" in found:
        others["rates"] = reader.rates(found["rates"])
    return Settings(apps=reader.apps(found.get("apps", [])), others=others)


def parse_rate(text: str) -> tuple[str, RateLimit]:
    """Read a rate such as ``send=180/3``: its name, so many calls, in so many seconds.

    Raises:
        InvalidArgument: It has another form.
    """
    name, _, rate = text.partition("=")
    count, _, seconds = rate.partition("/")
    try:
        return name.strip(), RateLimit(int(count), float(seconds))
    except ValueError:
        raise _wrong(f"A rate looks like send=180/3, which is calls/seconds, not {text!r}.") from None


# --- The keys -------------------------------------------------------------------------------------------------------


@attrs.frozen
class _Kind:
    """What a value may be: how to tell, and in which words."""

    words: str
    convert: Callable[["_Reader", object], Any]
    """Returns None for a value of another type."""


def _text(_: "_Reader", value: object) -> str | None:
    return value if isinstance(value, str) else None


def _flag(_: "_Reader", value: object) -> bool | None:
    return value if isinstance(value, bool) else None


def _whole(_: "_Reader", value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _number(_: "_Reader", value: object) -> float | None:
    good = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if good else None  # type: ignore[arg-type]


def _texts(_: "_Reader", value: object) -> tuple[str, ...] | None:
    good = isinstance(value, list) and all(isinstance(one, str) for one in value)
    return tuple(value) if good else None  # type: ignore[arg-type]


def _path(reader: "_Reader", value: object) -> Path | None:
    return reader.folder / value if isinstance(value, str) and value else None


_TEXT: Final = _Kind("a text", _text)
_FLAG: Final = _Kind("true or false", _flag)
_WHOLE: Final = _Kind("a whole number", _whole)
_NUMBER: Final = _Kind("a number", _number)
_LIST: Final = _Kind("a list of texts", _texts)
_FILE: Final = _Kind("the name of a file", _path)

_TABLES: Final = ("apps", "tls", "rates")
_PLAIN: Final = {
    "host": _TEXT,
    "port": _WHOLE,
    "data_dir": _Kind("the name of a directory", _path),
    "allowed_origins": _LIST,
    "dev": _FLAG,
    "node": _TEXT,
    "token_policy": _TEXT,
    "drain_seconds": _NUMBER,
    "rate_limits": _FLAG,
    "rate_factor": _NUMBER,
}
_TLS: Final = {"certificate": _FILE, "key": _FILE}
_APP: Final = {
    "id": _TEXT,
    "key_file": _FILE,
    "certificate_file": _FILE,
    "token_formats": _LIST,
    "server_key_file": _FILE,
}
PLAIN_KEYS: Final = tuple(_PLAIN)
"""The keys of the file outside of any table."""
TLS_KEYS: Final = tuple(_TLS)
"""The keys of the table ``tls``."""
APP_KEYS: Final = tuple(_APP)
"""The keys of each table of ``apps``."""

_RATE: Final = {"count": _WHOLE, "seconds": _NUMBER}


class _Reader:
    """Takes tables apart, and says which key of the file is wrong."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.folder = path.parent

    def table(self, name: str, found: object, kinds: Mapping[str, _Kind]) -> dict[str, Any]:
        if not isinstance(found, dict):
            raise self._bad(f"{name} is not a table.")
        before = f"{name}." if name else ""
        unknown = sorted(set(found) - set(kinds))
        if unknown:
            known = (*kinds, *(() if name else _TABLES))
            raise self._bad(f"there is no {before}{unknown[0]}; there are {', '.join(known)}.")
        values = {}
        for key, value in found.items():
            values[key] = kinds[key].convert(self, value)
            if values[key] is None:
                raise self._bad(f"{before}{key} is not {kinds[key].words}.")
        return values

    def apps(self, found: object) -> tuple[AppFiles, ...]:
        if not isinstance(found, list):
            raise self._bad("apps is not a list of tables: begin each with [[apps]].")
        apps = []
        for number, each in enumerate(found, 1):
            values = self.table(f"apps {number}", each, _APP)
            if "id" not in values:
                raise self._bad(f"apps {number} has no id.")
            apps.append(AppFiles(**values))
        return tuple(apps)

    def rates(self, found: object) -> dict[str, RateLimit]:
        if not isinstance(found, dict):
            raise self._bad("rates is not a table.")
        rates = {}
        for name, each in found.items():
            values = self.table(f"rates.{name}", each, _RATE)
            if len(values) != len(_RATE):
                raise self._bad(f"rates.{name} needs count and seconds.")
            rates[name] = RateLimit(values["count"], values["seconds"])
        return rates

    def _bad(self, message: str) -> InvalidArgument:
        return _wrong(f"In {self._path}, {message}")


def _wrong(message: str) -> InvalidArgument:
    return InvalidArgument(message, operation="serve")
