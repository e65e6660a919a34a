"""A server's settings in a file: TOML, every key known, every mistake one sentence that names its key."""

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Final, TypeVar

import attrs

from rtmcore.errors import InvalidArgument
from rtmcore.limits import TOKEN_KEY_BYTES_MIN, RateLimit
from rtmcore.service.capacity import FIGURES, FIXED
from rtmsync.server.config import DEV_APP_ID, Mistakes, ServerConfig
from rtmsync.server.keyfiles import load_text, parse_certificates, parse_keys
from rtmsync.server.logs import LOG_FORMATS, LOG_LEVELS, LogSettings
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
        return () if self.server_key_file is None else _load_server_keys(self.server_key_file)


@attrs.frozen(kw_only=True)
class Settings:
    """What a server is told, with the secrets still in their files.

    Args:
        apps: The apps.
        others: Arguments of `ServerConfig` besides the apps and keys, by name.
        metrics_key_file: A file with keys for the metrics, one a line; None where there are none.
        logs: How `rtm serve` logs.
        dev_server_key: The server key of each app of a development server that has no file with others.
    """

    apps: tuple[AppFiles, ...] = ()
    others: Mapping[str, Any] = attrs.field(factory=dict)
    metrics_key_file: Path | None = None
    logs: LogSettings = attrs.field(factory=LogSettings)
    dev_server_key: str | None = attrs.field(default=None, repr=False)

    @property
    def files(self) -> tuple[Path, ...]:
        """The files with secrets."""
        files = tuple(file for app in self.apps for file in app.files)
        return files if self.metrics_key_file is None else (*files, self.metrics_key_file)

    def config(self) -> ServerConfig:
        """Read the secrets and put everything together. A development server without apps has one of its own.

        Raises:
            InvalidArgument: A file cannot be read, or the settings are not possible. All mistakes are named.
        """
        mistakes: list[str] = []
        found = [_tried(app.load, mistakes) or _stand_in(app.id) for app in self.apps]
        if not found and self.others.get("dev"):
            found = [AppKeys(DEV_APP_ID)]
        server_keys = {
            app.id: _tried(app.load_server_keys, mistakes) or ()
            for app in self.apps
            if app.server_key_file is not None
        }
        if self.others.get("dev") and self.dev_server_key is not None:
            server_keys = {**{app.app: (self.dev_server_key,) for app in found}, **server_keys}
        metrics_keys: tuple[str, ...] = ()
        if self.metrics_key_file is not None:
            file = self.metrics_key_file
            metrics_keys = _tried(lambda: _load_server_keys(file), mistakes) or ()
        config = _tried(
            lambda: ServerConfig(
                apps=tuple(found), server_keys=server_keys, metrics_keys=metrics_keys, **self.others
            ),
            mistakes,
        )
        if mistakes or config is None:
            raise Mistakes("The settings have", mistakes)
        return config


_Found = TypeVar("_Found")


def _tried(read: Callable[[], _Found], mistakes: list[str]) -> _Found | None:
    """What a function returns; where it finds a mistake, that is noted."""
    try:
        return read()
    except Mistakes as error:
        mistakes.extend(error.mistakes)
        return None
    except InvalidArgument as error:
        mistakes.append(f"{error.message} {error.hint}" if error.hint else error.message)
        return None


def _stand_in(app: str) -> AppKeys:
    """An app whose files cannot be used, for judging the other settings."""
    return AppKeys(app, (TokenKey(bytes(TOKEN_KEY_BYTES_MIN)),))


def _load_server_keys(file: Path) -> tuple[str, ...]:
    lines = load_text(file, "server key file").splitlines()
    keys = tuple(line.strip() for line in lines if line.strip())
    if not keys:
        raise _wrong(f"There is no server key in {file}.")
    return keys


def read_settings(path: Path) -> Settings:
    """Read a file of settings.

    Args:
        path: The TOML file. Files that it names are relative to its own folder.

    Returns:
        What it says. What it does not say is not among `Settings.others`.

    Raises:
        InvalidArgument: It cannot be read, is not TOML, has keys that there are not, or values of the wrong type.
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
    metrics_key_file = others.pop("metrics_key_file", None)
    tls = reader.table("tls", found.get("tls", {}), _TLS)
    others.update({f"tls_{name}": value for name, value in tls.items()})
    if "rates" in found:
        others["rates"] = reader.rates(found["rates"])
    if "limits" in found:
        others["limits"] = reader.limits(found["limits"])
    logs = reader.table("log", found.get("log", {}), _LOG)
    apps = reader.apps(found.get("apps", []))
    reader.end()
    return Settings(apps=apps, others=others, metrics_key_file=metrics_key_file, logs=LogSettings(**logs))


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


def parse_limit(text: str) -> tuple[str, int]:
    """Read a limit such as ``message=65536``.

    Raises:
        InvalidArgument: It has another form.
    """
    name, _, value = text.partition("=")
    try:
        return name.strip(), int(value)
    except ValueError:
        raise _wrong(f"A limit looks like message=65536, not {text!r}.") from None


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


def _one_of(words: Sequence[str]) -> Callable[["_Reader", object], str | None]:
    return lambda _, value: value if isinstance(value, str) and value in words else None


_TEXT: Final = _Kind("a text", _text)
_FLAG: Final = _Kind("true or false", _flag)
_WHOLE: Final = _Kind("a whole number", _whole)
_NUMBER: Final = _Kind("a number", _number)
_LIST: Final = _Kind("a list of texts", _texts)
_FILE: Final = _Kind("the name of a file", _path)

_TABLES: Final = ("apps", "tls", "rates", "limits", "log")
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
    "metrics": _FLAG,
    "metrics_key_file": _FILE,
}
_LIMITS: Final = dict.fromkeys(FIGURES, _WHOLE)
_LOG: Final = {
    "format": _Kind(" or ".join(LOG_FORMATS), _one_of(LOG_FORMATS)),
    "level": _Kind(f"one of {', '.join(LOG_LEVELS)}", _one_of(LOG_LEVELS)),
    "file": _FILE,
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
LOG_KEYS: Final = tuple(_LOG)
"""The keys of the table ``log``."""
APP_KEYS: Final = tuple(_APP)
"""The keys of each table of ``apps``."""

_RATE: Final = {"count": _WHOLE, "seconds": _NUMBER}


class _Reader:
    """Takes tables apart, and says which key of the file is wrong."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._mistakes: list[str] = []
        self.folder = path.parent

    def table(self, name: str, found: object, kinds: Mapping[str, _Kind]) -> dict[str, Any]:
        if not isinstance(found, dict):
            self._note(f"{name} is not a table.")
            return {}
        before = f"{name}." if name else ""
        values = {}
        for key, value in found.items():
            kind = kinds.get(key)
            if kind is None:
                known = (*kinds, *(() if name else _TABLES))
                self._note(f"there is no {before}{key}; there are {', '.join(known)}.")
            elif (converted := kind.convert(self, value)) is None:
                self._note(f"{before}{key} is not {kind.words}.")
            else:
                values[key] = converted
        return values

    def apps(self, found: object) -> tuple[AppFiles, ...]:
        if not isinstance(found, list):
            self._note("apps is not a list of tables: begin each with [[apps]].")
            return ()
        apps = []
        for number, each in enumerate(found, 1):
            values = self.table(f"apps {number}", each, _APP)
            if isinstance(each, dict) and "id" not in each:
                self._note(f"apps {number} has no id.")
            apps.append(AppFiles(**{"id": "", **values}))
        return tuple(apps)

    def limits(self, found: object) -> dict[str, int]:
        # What is fixed is judged with the other values, whose sentence says why.
        fixed = [name for name in FIXED if isinstance(found, dict) and name in found]
        return self.table("limits", found, {**_LIMITS, **dict.fromkeys(fixed, _WHOLE)})

    def rates(self, found: object) -> dict[str, RateLimit]:
        if not isinstance(found, dict):
            self._note("rates is not a table.")
            return {}
        rates = {}
        for name, each in found.items():
            values = self.table(f"rates.{name}", each, _RATE)
            if len(values) == len(_RATE):
                rates[name] = RateLimit(values["count"], values["seconds"])
            elif isinstance(each, dict) and set(each) < set(_RATE):
                self._note(f"rates.{name} needs count and seconds.")
        return rates

    def end(self) -> None:
        """Say what is wrong, all at once.

        Raises:
            InvalidArgument: Something is.
        """
        if len(self._mistakes) == 1:
            raise _wrong(f"In {self._path}, {self._mistakes[0]}")
        if self._mistakes:
            raise Mistakes(f"{self._path} has", self._mistakes)

    def _note(self, mistake: str) -> None:
        self._mistakes.append(mistake)


def _wrong(message: str) -> InvalidArgument:
    return InvalidArgument(message, operation="serve")
