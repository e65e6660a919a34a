"""What a client core is told when it is made, checked at once."""

import re
from collections.abc import Iterable
from enum import IntEnum
from typing import Final
from urllib.parse import urlsplit

import attrs

from rtmcore.codes import InitError, LoginError, RoomErrorCode
from rtmcore.connection.aggregate import AGGREGATE_RULES, W3C
from rtmcore.connection.policy import POLICIES, Policy
from rtmcore.errors import InvalidAppId, InvalidArgument
from rtmcore.identifiers import explain_invalid_id
from rtmcore.limits import INBOX_WINDOW_BYTES, INBOX_WINDOW_MESSAGES, TOKEN_BYTES, USER_ID_BYTES
from rtmcore.wire.codec import CODECS, MSGPACK
from rtmcore.wire.packets import WEBSOCKET_PATH

ON_RATE_LIMIT: Final = ("raise", "wait")
"""What may become of a call above its rate."""

_DEFAULT_PORTS: Final = {"ws": 80, "wss": 443}
_PORT_MAX: Final = 65_535
_VISIBLE: Final = re.compile(r"[!-~]+")
_ROOM_NAME: Final = (
    RoomErrorCode.ROOM_NAME_INVALID,
    RoomErrorCode.ROOM_NAME_TOO_LONG,
    RoomErrorCode.ROOM_NAME_CHARS_INVALID,
)
_IDENTITY: Final = (
    RoomErrorCode.PARTICIPANT_IDENTITY_INVALID,
    RoomErrorCode.PARTICIPANT_IDENTITY_TOO_LONG,
    RoomErrorCode.PARTICIPANT_IDENTITY_CHARS_INVALID,
)


@attrs.frozen
class Endpoint:
    """Where a server listens.

    Attributes:
        url: As the application wrote it.
        host: Name or address to connect to, IPv6 without brackets.
        port: 1 to 65535.
        tls: True for `wss`.
        authority: Value of the Host header.
        target: Path and query to ask for: those of the URL, or `packets.WEBSOCKET_PATH` where it has no path.
    """

    url: str
    host: str
    port: int
    tls: bool
    authority: str
    target: str

    @classmethod
    def parse(cls, url: str) -> "Endpoint":
        """Read a URL such as ``wss://rtm.example.com/`` or ``ws://127.0.0.1:7430``.

        Raises:
            InvalidArgument: It is not a `ws` or `wss` URL with a host, or carries user information.
        """
        if not isinstance(url, str):
            raise _invalid(f"The URL of a server has to be a string, not {type(url).__name__}.")
        try:
            parts = urlsplit(url)
            host = parts.hostname
            port = parts.port
            host_header = (host or "").encode("idna").decode("ascii") if host and ":" not in host else host
        except ValueError:
            raise _invalid("The URL of the server cannot be read: check its host and port.") from None
        if parts.scheme not in _DEFAULT_PORTS or not host or not host_header:
            raise _invalid(
                "The URL of the server has to look like wss://host, wss://host:port or ws://host:port."
            )
        if parts.username is not None or parts.password is not None:
            raise _invalid(
                "The URL of the server must not carry a user name or password; they end up in logs."
            )
        if parts.fragment:
            raise _invalid("The URL of the server must not have a fragment (#...).")
        path = WEBSOCKET_PATH if parts.path in ("", "/") else parts.path
        target = f"{path}?{parts.query}" if parts.query else path
        if not _VISIBLE.fullmatch(target) or not _VISIBLE.fullmatch(host_header):
            raise _invalid(
                "The URL of the server has to be visible ASCII behind the host: quote its path and query."
            )
        standard = _DEFAULT_PORTS[parts.scheme]
        if port is not None and not 0 < port <= _PORT_MAX:
            raise _invalid(f"The port of the server has to be between 1 and {_PORT_MAX}.")
        shown = f"[{host}]" if ":" in host else host_header
        return cls(
            url=url,
            host=host,
            port=port or standard,
            tls=parts.scheme == "wss",
            authority=shown if port in (None, standard) else f"{shown}:{port}",
            target=target,
        )


def _invalid(message: str) -> InvalidArgument:
    return InvalidArgument(message, code=InitError.INVALID_ARGUMENT, operation="client")


def _name_code(kind: str, value: object, codes: tuple[IntEnum, IntEnum, IntEnum]) -> IntEnum:
    """The code of a name that is not valid: rooms have one for each of being empty, too long, of wrong characters."""
    if kind != "room":
        return LoginError.INVALID_ARGUMENT
    malformed, too_long, characters = codes
    if not isinstance(value, str) or not value:
        return malformed
    return too_long if len(value.encode("utf-8", "surrogatepass")) > USER_ID_BYTES else characters


def _endpoints(urls: str | Iterable[str]) -> tuple[Endpoint, ...]:
    listed = (urls,) if isinstance(urls, str) else tuple(urls)
    if not listed:
        raise _invalid("A client needs the URL of at least one server.")
    return tuple(Endpoint.parse(url) for url in listed)


def _strings(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(values)


def explain_invalid_token(token: object) -> str | None:
    """Say what is wrong with the shape of a token; None where it is well-formed or None itself."""
    if token is None:
        return None
    if not isinstance(token, str):
        return f"The token has to be a string or None, not {type(token).__name__}."
    if not token or not token.isascii() or len(token) > TOKEN_BYTES:
        return f"The token has to have 1 to {TOKEN_BYTES} ASCII characters."
    return None


@attrs.frozen(kw_only=True)
class ClientConfig:
    """Settings of a client core.

    Attributes:
        endpoints: From a URL, or several that are tried in turn.
        app_id: The app; whether the server serves it is the server's answer.
        user_id: Who logs in: 1 to 64 bytes of the documented characters. The uid of `rtc`, the identity of `room`.
        kind: The name space: `rtm`, `rtc` or `room`.
        scope: The RTC channel or the room, of the same characters; empty for `rtm`. A channel is judged at the join.
        token: Sent in the first packet; None where the server asks for none, or a provider gives it.
        token_provider: True where a token is asked for by event (`NeedToken`) on each attempt.
        subprotocols: Names of encodings, most wanted first; the server chooses.
        rate_limits: False lets calls through above their rates; True keeps those that the welcome tells, and the
            documented ones where it tells none.
        on_rate_limit: What becomes of a call above its rate: `raise` refuses it, `wait` lets it wait for its turn
            inside its own timeout. Logins are refused in any case.
        auto_logout_on_abort: True leaves ABORTED by itself, to DISCONNECTED. Nothing ever logs in by itself.
        inbox_window: Peer messages that the server sends ahead of acknowledgements, at least 1.
        inbox_window_bytes: The same in bytes of bodies.
        replay_total: After a return, ask for the newest messages of all channels together, not of each channel.
        aggregate_rules: How `peer_connection_state` is made: `w3c`, or `mdn2021` as in seed 003.
        policy: When the connection counts as interrupted, and what is done about it; by default that of the kind.
        sdk: Name and version of the client, for the server's logs.

    Raises:
        InvalidArgument: A value is not possible.
    """

    endpoints: tuple[Endpoint, ...] = attrs.field(converter=_endpoints)
    app_id: str = attrs.field()
    user_id: str = attrs.field()
    kind: str = attrs.field(default="rtm")
    scope: str = attrs.field(default="")
    token: str | None = attrs.field(default=None, repr=False)
    token_provider: bool = False
    subprotocols: tuple[str, ...] = attrs.field(default=(MSGPACK.subprotocol,), converter=_strings)
    rate_limits: bool = True
    on_rate_limit: str = attrs.field(default="raise")
    auto_logout_on_abort: bool = False
    inbox_window: int = attrs.field(default=INBOX_WINDOW_MESSAGES)
    inbox_window_bytes: int = attrs.field(default=INBOX_WINDOW_BYTES)
    replay_total: bool = False
    aggregate_rules: str = attrs.field(default=W3C)
    policy: Policy = attrs.field()
    sdk: str = "rtmcore"

    @app_id.validator
    def _check_app_id(self, _: object, value: object) -> None:
        # Its form is judged at login, with the documented code.
        if not isinstance(value, str):
            text = f"The app id has to be a string, not {type(value).__name__}."
            raise InvalidAppId(text, code=InitError.INVALID_APP_ID, operation="client")

    @user_id.validator
    def _check_user_id(self, _: object, value: object) -> None:
        wrong = explain_invalid_id(value, "user id")
        if wrong is not None:
            raise InvalidArgument(wrong, code=_name_code(self.kind, value, _IDENTITY), operation="client")

    @policy.default
    def _default_policy(self) -> Policy:
        return POLICIES.get(self.kind, POLICIES["rtm"])

    @kind.validator
    def _check_kind(self, _: object, value: object) -> None:
        if value not in POLICIES:
            raise _invalid(
                f"The kind of a client is one of {', '.join(POLICIES)}; {value!r} is none of them."
            )

    @scope.validator
    def _check_scope(self, _: object, value: object) -> None:
        if self.kind == "rtm":
            if value != "":
                raise _invalid('A client of the kind "rtm" has no scope: it joins channels by itself.')
        elif self.kind == "rtc":
            # Its form is judged at the join, with the documented reason.
            if not isinstance(value, str):
                raise _invalid(f"The channel has to be a string, not {type(value).__name__}.")
        elif (wrong := explain_invalid_id(value, "room name")) is not None:
            raise InvalidArgument(wrong, code=_name_code(self.kind, value, _ROOM_NAME), operation="client")

    @aggregate_rules.validator
    def _check_rules(self, _: object, value: object) -> None:
        if value not in AGGREGATE_RULES:
            raise _invalid(f"The aggregate rules are one of {', '.join(AGGREGATE_RULES)}, not {value!r}.")

    @on_rate_limit.validator
    def _check_on_rate_limit(self, _: object, value: object) -> None:
        if value not in ON_RATE_LIMIT:
            raise _invalid(f"on_rate_limit is one of {', '.join(ON_RATE_LIMIT)}, not {value!r}.")

    @policy.validator
    def _check_policy(self, _: object, value: Policy) -> None:
        if value.model is not POLICIES[self.kind].model:
            raise _invalid(f"The policy is made for another kind of client than {self.kind!r}.")

    @token.validator
    def _check_token(self, _: object, value: object) -> None:
        wrong = explain_invalid_token(value)
        if wrong is not None:
            raise InvalidArgument(wrong, code=LoginError.INVALID_TOKEN, operation="client")

    @subprotocols.validator
    def _check_subprotocols(self, _: object, value: tuple[str, ...]) -> None:
        if not value or not CODECS.keys() >= set(value):
            raise _invalid(f"Subprotocols are one or more of {', '.join(CODECS)}.")

    @inbox_window.validator
    @inbox_window_bytes.validator
    def _check_window(self, _: object, value: object) -> None:
        if not isinstance(value, int) or value < 1:
            raise _invalid("The inbox window has to be a whole number of at least 1.")
