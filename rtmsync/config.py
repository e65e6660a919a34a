"""What clients, RTC channels and rooms are told when they are made."""

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, TypeAlias, TypedDict

import attrs

from rtmcore import __version__
from rtmcore.client.config import ClientConfig as CoreConfig
from rtmcore.client.config import explain_invalid_token
from rtmcore.codes import InitError, LoginError
from rtmcore.connection.policy import POLICIES, Policy
from rtmcore.errors import InvalidArgument
from rtmcore.limits import (
    CLOSE_TIMEOUT,
    GET_TIMEOUT,
    INBOX_WINDOW_BYTES,
    INBOX_WINDOW_MESSAGES,
    LOGIN_TIMEOUT,
    LOGOUT_TIMEOUT,
    MEDIA_IDLE_TIMEOUT,
    OPERATION_TIMEOUT,
    PRESENCE_TIMEOUT,
    ROOM_CONNECT_TIMEOUT,
    RTC_LOGIN_TIMEOUT,
    SEND_TIMEOUT,
)
from rtmcore.wire.codec import MSGPACK
from rtmsync.driver.proxies import Proxy, parse_proxy
from rtmsync.driver.rivals import USUAL_REMEDY, Remedy

if TYPE_CHECKING:
    import ssl

    from typing_extensions import Self

    from rtmsync.driver.tls import TlsConfig

TokenProvider: TypeAlias = Callable[[str, str], str | None]
"""Called with the user id and the reason (``"login"`` or ``"reconnect"``) on a thread of its own; returns a token."""

AggregateRules: TypeAlias = Literal["w3c", "mdn2021"]
"""How `peer_connection_state` is made of the transports: as W3C says, or as MDN worded it in 2021 (seed 003)."""

OnRateLimit: TypeAlias = Literal["raise", "wait"]
"""What becomes of a call above its documented rate."""

COMMON_TIMEOUTS: Final[Mapping[str, float]] = MappingProxyType(
    {
        "close": CLOSE_TIMEOUT,
        "renew_token": OPERATION_TIMEOUT,
        "get": GET_TIMEOUT,
        "wait_until": LOGIN_TIMEOUT,
    }
)
"""Seconds that each call of whatever has a connection may take in all, where nothing else is said."""

DEFAULT_TIMEOUTS: Final[Mapping[str, float]] = MappingProxyType(
    {
        **COMMON_TIMEOUTS,
        "login": LOGIN_TIMEOUT,
        "logout": LOGOUT_TIMEOUT,
        "send_peer": SEND_TIMEOUT,
        "send": SEND_TIMEOUT,
        "join": OPERATION_TIMEOUT,
        "leave": OPERATION_TIMEOUT,
        "members": OPERATION_TIMEOUT,
        "subscribe_presence": PRESENCE_TIMEOUT,
        "unsubscribe_presence": PRESENCE_TIMEOUT,
        "query_presence": PRESENCE_TIMEOUT,
        "subscribed_peers": OPERATION_TIMEOUT,
        "set_attributes": OPERATION_TIMEOUT,
        "update_attributes": OPERATION_TIMEOUT,
        "delete_attributes": OPERATION_TIMEOUT,
        "clear_attributes": OPERATION_TIMEOUT,
        "get_attributes": OPERATION_TIMEOUT,
        "set_channel_attributes": OPERATION_TIMEOUT,
        "update_channel_attributes": OPERATION_TIMEOUT,
        "delete_channel_attributes": OPERATION_TIMEOUT,
        "clear_channel_attributes": OPERATION_TIMEOUT,
        "get_channel_attributes": OPERATION_TIMEOUT,
        "member_counts": OPERATION_TIMEOUT,
        "stored_messages": OPERATION_TIMEOUT,
        "flush_stored": OPERATION_TIMEOUT,
        "history": OPERATION_TIMEOUT,
        "history_count": OPERATION_TIMEOUT,
        "upload": MEDIA_IDLE_TIMEOUT,
        "download": MEDIA_IDLE_TIMEOUT,
    }
)
"""Seconds that each call of a client may take in all where neither the call nor the client says otherwise.

Those of `upload` and `download` count otherwise: seconds in which not a byte of the file moves.
"""

RTC_TIMEOUTS: Final[Mapping[str, float]] = MappingProxyType(
    {**COMMON_TIMEOUTS, "join": RTC_LOGIN_TIMEOUT, "leave": LOGOUT_TIMEOUT}
)
"""The same of an RTC channel."""

ROOM_TIMEOUTS: Final[Mapping[str, float]] = MappingProxyType(
    {
        **COMMON_TIMEOUTS,
        "connect": ROOM_CONNECT_TIMEOUT,
        "disconnect": LOGOUT_TIMEOUT,
        "send": SEND_TIMEOUT,
    }
)
"""The same of a room."""


@attrs.frozen
class Secret:
    """A string that no log and no traceback shows."""

    value: str = attrs.field(repr=lambda _: "'***'")

    def __str__(self) -> str:
        return "***"


class Options(TypedDict, total=False):
    """The optional settings that everything with a connection has, as keyword arguments; see `Settings`."""

    tls: "bool | ssl.SSLContext | TlsConfig | None"
    proxy: Proxy
    timeouts: Mapping[str, float]
    subprotocols: Iterable[str]
    rate_limits: bool
    on_rate_limit: OnRateLimit
    aggregate_rules: AggregateRules
    policy: Policy


class ClientOptions(Options, total=False):
    """The optional settings of a client, as keyword arguments; see `Config`."""

    auto_logout_on_abort: bool
    inbox_window: int
    inbox_window_bytes: int
    replay_total: bool
    remedy: Remedy


def _as_strings(url: str | Iterable[str]) -> tuple[str, ...]:
    return (url,) if isinstance(url, str) else tuple(url)


def _as_mapping(given: Mapping[str, float] | None) -> Mapping[str, float]:
    return given or {}


def _as_token(token: object) -> object:
    return Secret(token) if isinstance(token, str) else token


def _invalid(message: str) -> InvalidArgument:
    return InvalidArgument(message, code=InitError.INVALID_ARGUMENT, operation="client")


def _timeouts(defaults: Mapping[str, float], given: Mapping[str, float]) -> dict[str, float]:
    timeouts = dict(defaults)
    for name, seconds in given.items():
        if name not in timeouts:
            raise _invalid(f"There is no call {name!r}; timeouts are for {', '.join(timeouts)}.")
        if (
            isinstance(seconds, bool)
            or not isinstance(seconds, int | float)
            or not 0 < seconds < float("inf")
        ):
            raise _invalid(f"The timeout of {name} is a number of seconds above 0, not {seconds!r}.")
        timeouts[name] = float(seconds)
    return timeouts


@attrs.frozen(kw_only=True)
class Settings:
    """Settings of everything that has a connection.

    Attributes:
        urls: Of one server, or of several that are tried in turn: ``ws://…`` or ``wss://…``.
        app_id: 32 characters; the server says which it serves.
        token: A token; a function that is asked for one at each attempt; or None where the server wants none. Shown
            as ``***``.
        tls: None: as the URL says. True or False: insist on that. Or an `ssl.SSLContext`, or a `TlsConfig`.
        proxy: ``"auto"`` (what the environment says), None, or ``http://[user:password@]host:port``.
        timeouts: Seconds by the name of a call, in place of the defaults. Those of ``upload`` and ``download`` are
            seconds in which not a byte of the file moves.
        subprotocols: Names of encodings, most wanted first.
        rate_limits: False lets calls through above their rates. True keeps those that the server tells, and the
            documented ones where it tells none.
        on_rate_limit: What becomes of a call above its rate: ``"raise"`` (the default) refuses it with
            RateLimited, ``"wait"`` lets it wait for its turn inside its own timeout. Logins are refused in any case.
        aggregate_rules: How `peer_connection_state` is made: ``"w3c"`` (the default), or ``"mdn2021"`` as in seed 003.
        policy: When the connection counts as interrupted, and what is done about it.
        remedy: What the log advises, and which log, where another login of the same user puts a client out; see
            `rtmsync.driver.rivals.Remedy`.

    Raises:
        InvalidArgument: A value is not possible.
        InvalidAppId: The app id is no string.
    """

    KIND: ClassVar[str] = "rtm"
    DEFAULTS: ClassVar[Mapping[str, float]] = COMMON_TIMEOUTS

    urls: tuple[str, ...] = attrs.field(converter=_as_strings)
    app_id: str
    token: "Secret | TokenProvider | None" = attrs.field(default=None, converter=_as_token)
    tls: "bool | ssl.SSLContext | TlsConfig | None" = attrs.field(default=None)
    proxy: Proxy = attrs.field(default="auto", repr=False)
    timeouts: Mapping[str, float] = attrs.field(default=None, converter=_as_mapping)
    subprotocols: tuple[str, ...] = attrs.field(default=(MSGPACK.subprotocol,), converter=_as_strings)
    rate_limits: bool = True
    on_rate_limit: OnRateLimit = "raise"
    aggregate_rules: AggregateRules = "w3c"
    policy: Policy = attrs.field()
    remedy: Remedy = attrs.field(default=USUAL_REMEDY, repr=False)

    @policy.default
    def _default_policy(self) -> Policy:
        return POLICIES[self.KIND]

    def __attrs_post_init__(self) -> None:
        # The defaults depend on the class, which a converter of attrs does not see in a way that type checkers follow.
        object.__setattr__(self, "timeouts", _timeouts(self.DEFAULTS, self.timeouts))

    @token.validator
    def _check_token(self, _: object, token: object) -> None:
        if callable(token):
            return
        wrong = explain_invalid_token(token.value if isinstance(token, Secret) else token)
        if wrong is not None:
            raise InvalidArgument(wrong, code=LoginError.INVALID_TOKEN, operation="client")

    @proxy.validator
    def _check_proxy(self, _: object, proxy: object) -> None:
        if proxy is None or proxy == "auto":
            return
        if not isinstance(proxy, str):
            raise _invalid(f"proxy is a URL, 'auto' or None, not {type(proxy).__name__}.")
        parse_proxy(proxy)

    @tls.validator
    def _check_tls(self, _: object, tls: object) -> None:
        if isinstance(tls, bool):
            wanted = "wss://" if tls else "ws://"
            for url in self.urls:
                if not url.lower().startswith(wanted):
                    raise _invalid(f"tls={tls} needs URLs that begin with {wanted}.")

    @classmethod
    def of(cls, url: str | Iterable[str], options: Mapping[str, Any]) -> "Self":
        """Make settings from what a user wrote.

        Raises:
            InvalidArgument: An option that there is not, or a value that is not possible.
        """
        known = {field.name for field in attrs.fields(cls)} - {"urls"}
        unknown = sorted(set(options) - known)
        if unknown:
            raise _invalid(f"There is no option {unknown[0]!r}; there are {', '.join(sorted(known))}.")
        config = cls(urls=url, **options)
        config.for_core()
        return config

    @property
    def who(self) -> str:
        """Whose connection it is, for the names of threads, logs and the token provider."""
        raise NotImplementedError

    @property
    def scope(self) -> str:
        """The RTC channel or the room; empty for a client."""
        return ""

    def for_core(self) -> CoreConfig:
        """The settings that concern the core; checks those that it checks."""
        return CoreConfig(
            endpoints=self.urls,
            app_id=self.app_id,
            kind=self.KIND,
            user_id=self.who,
            scope=self.scope,
            token=self.token.value if isinstance(self.token, Secret) else None,
            token_provider=callable(self.token),
            subprotocols=self.subprotocols,
            rate_limits=self.rate_limits,
            on_rate_limit=self.on_rate_limit,
            aggregate_rules=self.aggregate_rules,
            policy=self.policy,
            sdk=f"rtmsync/{__version__}",
            **self._special(),
        )

    def _special(self) -> dict[str, Any]:
        """What only this kind of connection tells the core."""
        return {}


@attrs.frozen(kw_only=True)
class Config(Settings):
    """Settings of a client; those of `Settings` and these.

    Attributes:
        user_id: Who logs in: 1 to 64 bytes of the documented characters.
        auto_logout_on_abort: True leaves ABORTED by itself, to DISCONNECTED. Nothing ever logs in by itself.
        inbox_window: Peer messages that the server sends ahead of acknowledgements.
        inbox_window_bytes: The same in bytes.
        replay_total: After an outage have the newest 32 messages of all channels together resent, not of each.
    """

    DEFAULTS: ClassVar[Mapping[str, float]] = DEFAULT_TIMEOUTS

    user_id: str
    auto_logout_on_abort: bool = False
    inbox_window: int = INBOX_WINDOW_MESSAGES
    inbox_window_bytes: int = INBOX_WINDOW_BYTES
    replay_total: bool = False

    @property
    def who(self) -> str:
        """The user id."""
        return self.user_id

    def _special(self) -> dict[str, Any]:
        return {
            "auto_logout_on_abort": self.auto_logout_on_abort,
            "inbox_window": self.inbox_window,
            "inbox_window_bytes": self.inbox_window_bytes,
            "replay_total": self.replay_total,
        }


@attrs.frozen(kw_only=True)
class RtcConfig(Settings):
    """Settings of an RTC channel; those of `Settings` and these.

    Attributes:
        channel: 1 to 64 bytes of the documented characters.
        uid: Who joins, of the same characters.
    """

    KIND: ClassVar[str] = "rtc"
    DEFAULTS: ClassVar[Mapping[str, float]] = RTC_TIMEOUTS

    channel: str
    uid: str

    @property
    def who(self) -> str:
        """The uid."""
        return self.uid

    @property
    def scope(self) -> str:
        """The channel."""
        return self.channel


@attrs.frozen(kw_only=True)
class RoomConfig(Settings):
    """Settings of a room; those of `Settings` and these.

    Attributes:
        room: 1 to 64 bytes of the documented characters.
        identity: Who takes part, of the same characters.
    """

    KIND: ClassVar[str] = "room"
    DEFAULTS: ClassVar[Mapping[str, float]] = ROOM_TIMEOUTS

    room: str
    identity: str

    @property
    def who(self) -> str:
        """The identity."""
        return self.identity

    @property
    def scope(self) -> str:
        """The room."""
        return self.room
