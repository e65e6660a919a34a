"""The figures by which a connection is judged, one value for each of the documented models."""

from typing import Any, Final

import attrs

from rtmcore.codes import LoginError
from rtmcore.connection.backoff import BackoffPolicy
from rtmcore.connection.model import Input, Model
from rtmcore.connection.room import ROOM
from rtmcore.connection.rtc import RTC
from rtmcore.connection.rtm import RTM
from rtmcore.errors import InvalidArgument
from rtmcore.limits import (
    INTERRUPTED_AFTER,
    LOGIN_ATTEMPT_TIMEOUT,
    LOGIN_TIMEOUT,
    OFFLINE_AFTER,
    RESTORE_TIMEOUT,
    ROOM_CONNECT_TIMEOUT,
    ROOM_SESSION_TIMEOUT,
    ROOM_SIGNALING_INTERRUPTED_AFTER,
    RTC_GIVE_UP_AFTER,
    RTC_INTERRUPTED_AFTER,
    RTC_LOGIN_TIMEOUT,
    RTC_LOST_AFTER,
    RTC_REMOTE_OFFLINE_AFTER,
    SPARE_TRANSPORT_AFTER,
)

_CREDENTIALS_REFUSED: Final = frozenset(
    {
        LoginError.REJECTED,
        LoginError.INVALID_ARGUMENT,
        LoginError.INVALID_APP_ID,
        LoginError.INVALID_TOKEN,
        LoginError.TOKEN_EXPIRED,
        LoginError.NOT_AUTHORIZED,
    }
)


_TIMES: Final = (
    "login_timeout",
    "attempt_timeout",
    "interrupted_after",
    "spare_after",
    "lost_after",
    "give_up_after",
    "session_over_after",
    "restore_timeout",
)


@attrs.frozen(kw_only=True)
class Policy:
    """When a connection counts as interrupted, and what is done about it. All times are seconds.

    Attributes:
        model: The states, and what leads from one to another.
        login_timeout: For a login as a whole, unless the call says otherwise.
        login_attempts: Attempts of a login; None where its time alone ends it. A single one has all of that time.
        attempt_timeout: For one attempt: name look-up, TCP, TLS, upgrade, token, welcome.
        interrupted_after: Silence after which the state changes. The server's welcome may announce another.
        spare_after: Silence after which a transport is opened beside the silent one; part of `interrupted_after`.
        lost_after: Silence, or time of a login, after which "connection lost" is reported, once an outage; None
            where it is not.
        give_up_after: Silence after which a session that cannot be brought back ends; None for never.
        final_refusals: Answers of the server to a return that end the session. Kicks and bans always do.
        session_over_after: Silence after which the server has ended the session. The welcome may announce another.
        restore_timeout: From the welcome until the session counts as restored without having heard so.
        backoff: The waits between attempts.

    Raises:
        InvalidArgument: A time is not above 0, or the model does not know what the figures ask for.
    """

    model: Model = RTM
    login_timeout: float = LOGIN_TIMEOUT
    login_attempts: int | None = None
    attempt_timeout: float = LOGIN_ATTEMPT_TIMEOUT
    interrupted_after: float = INTERRUPTED_AFTER
    spare_after: float = SPARE_TRANSPORT_AFTER
    lost_after: float | None = None
    give_up_after: float | None = None
    final_refusals: frozenset[LoginError] = frozenset()
    session_over_after: float = OFFLINE_AFTER
    restore_timeout: float = RESTORE_TIMEOUT
    backoff: BackoffPolicy = attrs.Factory(BackoffPolicy)

    def __attrs_post_init__(self) -> None:
        for name in _TIMES:
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise InvalidArgument(
                    f"The policy's {name} has to be above 0, not {value!r}.", operation="client"
                )
        if self.login_attempts is not None and self.login_attempts < 1:
            raise InvalidArgument("The policy's login_attempts are at least 1, or None.", operation="client")
        asked = {
            "lost_after": (self.lost_after is not None, Input.LOST),
            "give_up_after": (self.give_up_after is not None, Input.GAVE_UP),
            "final_refusals": (bool(self.final_refusals), Input.REFUSED),
        }
        for name, (wanted, given) in asked.items():
            if wanted and (self.model.reconnecting, given) not in self.model.table.rules:
                raise InvalidArgument(
                    f"The {self.model.table.name} has no state for the policy's {name}: leave it out.",
                    operation="client",
                )

    def __reduce__(self) -> tuple[Any, ...]:
        # A model is no part of a copy: there is one of each in every process.
        values = {field.name: getattr(self, field.name) for field in attrs.fields(Policy)}
        del values["model"]
        return _restored, (self.model.table.name, values)


RTM_POLICY: Final = Policy()
"""RTM, the default: logs in within 12 s, is interrupted after 4 s of silence, never gives up reconnecting."""

RTC_POLICY: Final = Policy(
    model=RTC,
    login_timeout=RTC_LOGIN_TIMEOUT,
    interrupted_after=RTC_INTERRUPTED_AFTER,
    lost_after=RTC_LOST_AFTER,
    give_up_after=RTC_GIVE_UP_AFTER,
    final_refusals=_CREDENTIALS_REFUSED,
    session_over_after=RTC_REMOTE_OFFLINE_AFTER,
)
"""RTC: joins within 10 s, is interrupted after 4 s of silence and lost after 10 s, fails after 20 minutes."""

ROOM_POLICY: Final = Policy(
    model=ROOM,
    login_timeout=ROOM_CONNECT_TIMEOUT,
    login_attempts=1,
    interrupted_after=ROOM_SIGNALING_INTERRUPTED_AFTER,
    give_up_after=ROOM_SESSION_TIMEOUT,
    final_refusals=_CREDENTIALS_REFUSED,
    session_over_after=ROOM_SESSION_TIMEOUT,
)
"""A room's signaling: one attempt of 15 s, interrupted after 4 s of silence, disconnected after 30 s."""

POLICIES: Final = {"rtm": RTM_POLICY, "rtc": RTC_POLICY, "room": ROOM_POLICY}
"""The policy of each kind of session."""

_MODELS: Final = {model.table.name: model for model in (RTM, RTC, ROOM)}


def _restored(model: str, values: dict[str, Any]) -> Policy:
    """A policy that was copied or pickled."""
    return Policy(model=_MODELS[model], **values)
