"""What the configuration of a web application says about its RTM server, read and checked at once."""

import os
import re
import secrets
import socket
import string
import time
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any, Final, Literal, TypeAlias

import attrs

from rtmcore.client.config import Endpoint, explain_invalid_token
from rtmcore.errors import InvalidArgument
from rtmcore.identifiers import explain_invalid_id, is_valid_app_id
from rtmcore.limits import APP_ID_LENGTH, ID_CHARACTERS, TOKEN_SECONDS_DEFAULT, USER_ID_BYTES
from rtmsync.config import Config, Secret
from rtmsync.publisher import Publisher

NETWORK: Final = "network"
MEMORY: Final = "memory"
TRANSPORTS: Final = (NETWORK, MEMORY)

DEFAULT_USER_ID: Final = "{base}-{host}-{pid}-{rand}"
"""One name for each process: several processes that log in under one name put each other out."""

PLACEHOLDERS: Final = ("base", "host", "pid", "rand")

MEMORY_APP_ID: Final = "memory".ljust(APP_ID_LENGTH, "0")
"""The app id of the memory transport where none is configured."""

_MEMORY_URL: Final = "ws://memory.invalid"
_RANDOM_BYTES: Final = 4
_BASE: Final = "app"

TokenFunction: TypeAlias = Callable[[str], str]
"""Called with a user id; returns a token for that user."""


@attrs.frozen(kw_only=True)
class Settings:
    """How one application reaches one RTM server; made by `from_mapping`.

    Attributes:
        url: What this application connects to, ``ws://…`` or ``wss://…``.
        public_url: What browsers connect to; the same by default.
        app_id: 32 characters.
        server_key: A server key of the app, for publishing without a session; None to publish over one. Shown as
            ``***``.
        user_id: Who a process logs in as. `PLACEHOLDERS` in braces are filled in for each process.
        listener: Who the one listener process logs in as; None where there is none.
        sender: Who published messages come from, but those of the listener process, which come from the listener:
            nobody gets a message to a channel that is his own.
        channels: What the listener joins besides the channels that have handlers.
        token: A token, a function of a user id that returns one, or a dotted path to such a function.
        secret: The app's secret, as a line or lines of a key file, to make tokens with. Shown as ``***``.
        transport: ``"network"``, or ``"memory"`` for tests: then there is no server and no socket.
        options: Options of the client, as in `rtmsync.Config`.
        base: The name of the application, for user ids.
    """

    url: str
    public_url: str
    app_id: str
    server_key: Secret | None = None
    user_id: str = DEFAULT_USER_ID
    listener: str | None = None
    sender: str
    channels: tuple[str, ...] = ()
    token: "Secret | str | TokenFunction | None" = None
    secret: Secret | None = None
    transport: Literal["network", "memory"] = "network"
    options: Mapping[str, Any] = attrs.field(factory=dict, repr=lambda options: f"<{', '.join(options)}>")
    base: str = _BASE

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any], *, prefix: str = "", base: str = _BASE) -> "Settings":
        """Read settings by their names: `NAMES`. A value of None counts as not given.

        Args:
            values: URL and APP_ID are needed, but not for the memory transport.
            prefix: What stands before each name where the user wrote it, for sentences: ``"RTM_"``.
            base: The name of the application, for user ids; what cannot stand in one is left out.

        Raises:
            InvalidArgument: One sentence on the first mistake. It names the key, and shows no secret.
        """
        reader = _Reader({key: value for key, value in values.items() if value is not None}, prefix)
        reader.check_names()
        name = fit_id(base) or _BASE
        transport = reader.transport()
        url, app_id = reader.url(transport), reader.app_id(transport)
        listener = reader.id("LISTENER", "user id")
        return cls(
            url=url,
            public_url=reader.text("PUBLIC_URL", Endpoint.parse) or url,
            app_id=app_id,
            server_key=reader.server_key(url, app_id),
            user_id=reader.user_id(name),
            listener=listener,
            sender=reader.id("SENDER", "user id") or (name if name != listener else fit_id(f"web-{name}")),
            channels=reader.channels(),
            token=reader.token(),
            secret=reader.secret(),
            transport=transport,
            options=reader.options(url, app_id),
            base=name,
        )

    def own_user_id(self) -> str:
        """The user id of this process. With ``{rand}`` in its pattern, each call makes another one."""
        return filled(self.user_id, self.base)

    @property
    def shared_user_id(self) -> bool:
        """Whether all processes would log in under one name."""
        return not {"pid", "rand"} & set(placeholders_of(self.user_id))

    @property
    def makes_tokens(self) -> bool:
        """Whether these settings say where tokens for users come from; a server without keys needs none."""
        return self.secret is not None or (self.token is not None and not isinstance(self.token, Secret))

    def token_function(self) -> TokenFunction | None:
        """The function that TOKEN is or names; None where there is none.

        Raises:
            InvalidArgument: What it names cannot be imported, or is not a function.
        """
        if self.token is None or isinstance(self.token, Secret):
            return None
        return _imported(self.token) if isinstance(self.token, str) else self.token

    def make_token(
        self, user: str, *, seconds: float = TOKEN_SECONDS_DEFAULT, scopes: Mapping[str, object] | None = None
    ) -> str:
        """Make a token for a user, with SECRET or by asking TOKEN.

        Args:
            user: The user id.
            seconds: How long it is valid, up to 24 hours; a function that makes tokens decides that itself.
            scopes: What the user may do; None for all that an ordinary user may. Needs SECRET.

        Raises:
            InvalidArgument: Neither says how, or a value is not possible.
        """
        function = self.token_function()
        if function is None and self.secret is None:
            raise _wrong(
                "Neither SECRET nor a function in TOKEN is set, so there is nothing to make a token with.",
                "Set one of them in the configuration; a server without keys needs no tokens.",
            )
        if function is None or (scopes is not None and self.secret is not None):
            return self._minted(user, seconds, scopes)
        if scopes is not None:
            raise _wrong("Scopes need SECRET: a function in TOKEN makes tokens as it likes.")
        token = function(user)
        wrong = explain_invalid_token(token)
        if wrong is not None or token is None:
            raise _wrong(f"The function in TOKEN has returned no token. {wrong or ''}".strip())
        return token

    def _minted(self, user: str, seconds: float, scopes: Mapping[str, object] | None) -> str:
        # Only here: whoever makes no tokens needs no PyJWT.
        from rtmsync.server.keyfiles import parse_keys
        from rtmsync.server.tokens import make_token, signing_key

        assert self.secret is not None
        now = time.time()
        key = signing_key(parse_keys(self.secret.value, "SECRET"), now)
        return make_token(key, app=self.app_id, user=user, now=now, seconds=seconds, scopes=scopes)


NAMES: Final = (
    "URL",
    "PUBLIC_URL",
    "APP_ID",
    "SERVER_KEY",
    "USER_ID",
    "LISTENER",
    "SENDER",
    "CHANNELS",
    "TOKEN",
    "SECRET",
    "TRANSPORT",
    "OPTIONS",
)
"""The names that `Settings.from_mapping` knows."""


def fit_id(text: str, most: int = USER_ID_BYTES) -> str:
    """What of a text can stand in a user id: its allowed characters, and not too many."""
    return "".join(character for character in text if character in ID_CHARACTERS)[:most]


def placeholders_of(pattern: str) -> list[str]:
    """The names in braces in a pattern of user ids."""
    return [field for _, field, _, _ in string.Formatter().parse(pattern) if field is not None]


def filled(pattern: str, base: str) -> str:
    """A user id for this process. A base and a host that are too long for it are cut."""
    found = {"pid": str(os.getpid()), "rand": secrets.token_hex(_RANDOM_BYTES)}
    names = placeholders_of(pattern)
    fixed = len(pattern.format(base="", host="", **found))
    long = [name for name in names if name in ("base", "host")]
    room = max(0, USER_ID_BYTES - fixed) // max(1, len(long))
    host = fit_id(socket.gethostname().split(".")[0], room) if "host" in names else ""
    return pattern.format(base=base[:room], host=host, **found)


def _wrong(message: str, hint: str | None = None) -> InvalidArgument:
    return InvalidArgument(message, operation="settings", hint=hint)


@attrs.frozen
class _Reader:
    """Takes single settings out of a mapping, and complains in the words of whoever wrote it."""

    values: Mapping[str, Any]
    prefix: str

    def check_names(self) -> None:
        unknown = sorted(str(name) for name in self.values if name not in NAMES)
        if unknown:
            raise _wrong(
                f"There is no setting {self.prefix}{unknown[0]}; there are "
                f"{', '.join(self.prefix + name for name in NAMES)}."
            )

    def text(self, name: str, check: Callable[[str], object] | None = None) -> str | None:
        value = self.values.get(name)
        if value is None:
            return None
        if not isinstance(value, str):
            raise _wrong(
                f"{self.prefix}{name} has to be a text, not {type(value).__name__}.",
                "In an environment variable that is read as JSON, put it in quotes.",
            )
        if not value.strip():
            raise _wrong(f"{self.prefix}{name} is empty.", "Leave it out, or give it a value.")
        if check is not None:
            self._checked(name, lambda: check(value))
        return value

    def _checked(self, name: str, check: Callable[[], object]) -> None:
        try:
            check()
        except InvalidArgument as error:
            raise _wrong(f"{self.prefix}{name} cannot be used. {error.message}", error.hint) from None

    def transport(self) -> Literal["network", "memory"]:
        value = self.text("TRANSPORT")
        if value is None or value == NETWORK:
            return "network"
        if value == MEMORY:
            return "memory"
        raise _wrong(f"{self.prefix}TRANSPORT is 'network' or 'memory', not {value!r}.")

    def url(self, transport: str) -> str:
        value = self.text("URL", Endpoint.parse)
        if value is None and transport == NETWORK:
            raise _wrong(
                f"{self.prefix}URL is missing: where is the RTM server?", "For example: wss://rtm.example.com"
            )
        return value or _MEMORY_URL

    def app_id(self, transport: str) -> str:
        value = self.text("APP_ID")
        if value is None:
            if transport == NETWORK:
                raise _wrong(f"{self.prefix}APP_ID is missing: which app of the RTM server is this?")
            return MEMORY_APP_ID
        if not is_valid_app_id(value):
            raise _wrong(f"{self.prefix}APP_ID has to be {APP_ID_LENGTH} visible ASCII characters long.")
        return value

    def server_key(self, url: str, app_id: str) -> Secret | None:
        def check(value: str) -> None:
            Publisher(url, app_id=app_id, server_key=value)

        value = self.text("SERVER_KEY", check)
        return None if value is None else Secret(value)

    def id(self, name: str, what: str) -> str | None:
        value = self.text(name)
        wrong = None if value is None else explain_invalid_id(value, what)
        if wrong is not None:
            raise _wrong(f"{self.prefix}{name} cannot be used. {wrong}")
        return value

    def user_id(self, base: str) -> str:
        pattern = self.text("USER_ID") or DEFAULT_USER_ID
        known = ", ".join(f"{{{name}}}" for name in PLACEHOLDERS)
        unreadable = _wrong(f"{self.prefix}USER_ID cannot be read: braces stand around {known} only.")
        try:
            unknown = [name for name in placeholders_of(pattern) if name not in PLACEHOLDERS]
        except ValueError:
            raise unreadable from None
        if unknown:
            raise _wrong(f"{self.prefix}USER_ID has no {{{unknown[0]}}}; there are {known}.")
        try:
            wrong = explain_invalid_id(filled(pattern, base), "user id")
        except ValueError:
            raise unreadable from None
        if wrong is not None:
            raise _wrong(f"{self.prefix}USER_ID cannot be used. {wrong}")
        return pattern

    def channels(self) -> tuple[str, ...]:
        value = self.values.get("CHANNELS", ())
        if isinstance(value, str) or not isinstance(value, Sequence):
            raise _wrong(f"{self.prefix}CHANNELS is a list of channel ids, not {type(value).__name__}.")
        for channel in value:
            wrong = explain_invalid_id(channel, "channel id")
            if wrong is not None:
                raise _wrong(f"{self.prefix}CHANNELS cannot be used. {wrong}")
        return tuple(dict.fromkeys(value))

    def token(self) -> "Secret | str | TokenFunction | None":
        value = self.values.get("TOKEN")
        if callable(value):
            function: TokenFunction = value
            return function
        text = self.text("TOKEN")
        if text is None or _is_path(text):
            return text
        wrong = explain_invalid_token(text)
        if wrong is not None:
            raise _wrong(f"{self.prefix}TOKEN cannot be used. {wrong}")
        return Secret(text)

    def secret(self) -> Secret | None:
        value = self.text("SECRET", _check_secret)
        return None if value is None else Secret(value)

    def options(self, url: str, app_id: str) -> Mapping[str, Any]:
        value = self.values.get("OPTIONS", {})
        if not isinstance(value, Mapping):
            raise _wrong(
                f"{self.prefix}OPTIONS is a mapping of options of a client, not {type(value).__name__}."
            )
        for name in ("app_id", "user_id", "token"):
            if name in value:
                raise _wrong(f"{self.prefix}OPTIONS has no {name!r}: set {self.prefix}{name.upper()}.")
        self._checked("OPTIONS", lambda: Config.of(url, {**value, "app_id": app_id, "user_id": _BASE}))
        return dict(value)


_PATH: Final = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*[.:][^\W\d]\w*")
_JWT_BEGINS: Final = "eyJ"
"""How every JSON Web Token begins: with an opening brace and a quotation mark, in base64."""


def _is_path(text: str) -> bool:
    """Whether a text names a function, as ``shop.rtm.mint`` or ``shop.rtm:mint``; otherwise it is a token."""
    return not text.startswith(_JWT_BEGINS) and _PATH.fullmatch(text) is not None


def _imported(path: str) -> TokenFunction:
    module, _, name = path.rpartition(":" if ":" in path else ".")
    try:
        found = getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise _wrong(f"TOKEN names {path}, which cannot be imported: {error}.") from error
    if not callable(found):
        raise _wrong(f"TOKEN names {path}, which is not a function but {type(found).__name__}.")
    function: TokenFunction = found
    return function


def _check_secret(value: str) -> None:
    from rtmsync.server.keyfiles import parse_keys

    parse_keys(value, "the setting")
