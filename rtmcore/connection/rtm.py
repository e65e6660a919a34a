"""The connection states of RTM (seeds 000 and 004) as a table.

The states and reasons are the documented ones, and so are their seventeen transitions. Rules that leave the
state as it is cause no event: they say what happens instead.
"""

import enum
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from rtmcore.codes import ConnectionChangeReason, ConnectionState
from rtmcore.connection.table import Rule, Table

_DISCONNECTED: Final = ConnectionState.DISCONNECTED
_CONNECTING: Final = ConnectionState.CONNECTING
_CONNECTED: Final = ConnectionState.CONNECTED
_RECONNECTING: Final = ConnectionState.RECONNECTING
_ABORTED: Final = ConnectionState.ABORTED


class RtmInput(enum.Enum):
    """What happens to the connection of an RTM client."""

    LOGIN = "login()"
    LOGIN_TOO_OFTEN = "login() above its rate"
    ACCEPTED = "the server accepts the login"
    REFUSED = "the server refuses the login"
    LOGIN_TIMED_OUT = "no success within the login's time"
    LOGOUT = "logout()"
    INTERRUPTED = "4 s of silence"
    RESUMED = "the session is restored"
    REJOINED = "logged in again after the session was over"
    ATTEMPT_FAILED = "an attempt to connect fails"
    TOKEN_EXPIRED = "the token expires"
    REMOTE_LOGIN = "the user logs in elsewhere"
    BANNED = "the server bans the user"


class RtmEffect(enum.Enum):
    """What the client does about it."""

    BEGIN_LOGIN = "open a transport"
    COMPLETE_LOGIN = "complete the login"
    FAIL_LOGIN = "fail the login with the server's code"
    TIME_OUT_LOGIN = "fail the login with TIMEOUT"
    CANCEL_LOGIN = "fail the login with ABORTED_BY_LOGOUT"
    INTERRUPT = "let calls wait"
    RESUME = "go on; nobody was told of anything"
    REJOIN = "go on; channels were joined again"
    RETRY = "try again after the backoff"
    REPORT_TOKEN = "report it; a new token lets the reconnect finish"
    ABORT_REMOTE_LOGIN = "end the session as kicked"
    ABORT_BANNED = "end the session as banned"
    ABORT_TOKEN_EXPIRED = "end the session as expired"
    END_SESSION = "say goodbye and end the session"
    REFUSE_LOGIN = "refuse the login with ALREADY_LOGIN"
    REFUSE_RATE = "refuse the login with TOO_OFTEN"


def _stay(
    effect: RtmEffect, given: RtmInput, *states: ConnectionState
) -> dict[tuple[ConnectionState, RtmInput], Rule[RtmEffect, ConnectionState]]:
    return {(state, given): Rule(effect, state) for state in states}


RTM_TABLE: Final[Table[ConnectionState, RtmInput, RtmEffect]] = Table(
    "RTM connection",
    _DISCONNECTED,
    {
        (_DISCONNECTED, RtmInput.LOGIN): Rule(RtmEffect.BEGIN_LOGIN, _CONNECTING),
        (_CONNECTING, RtmInput.ACCEPTED): Rule(RtmEffect.COMPLETE_LOGIN, _CONNECTED),
        (_CONNECTING, RtmInput.REFUSED): Rule(RtmEffect.FAIL_LOGIN, _DISCONNECTED),
        (_CONNECTING, RtmInput.LOGIN_TIMED_OUT): Rule(RtmEffect.TIME_OUT_LOGIN, _DISCONNECTED),
        (_CONNECTING, RtmInput.LOGOUT): Rule(RtmEffect.CANCEL_LOGIN, _DISCONNECTED),
        (_CONNECTED, RtmInput.INTERRUPTED): Rule(RtmEffect.INTERRUPT, _RECONNECTING),
        (_RECONNECTING, RtmInput.RESUMED): Rule(RtmEffect.RESUME, _CONNECTED),
        (_RECONNECTING, RtmInput.REJOINED): Rule(RtmEffect.REJOIN, _CONNECTED),
        # A failed attempt changes no state: a login tries until its time is over, a reconnect for ever.
        **_stay(RtmEffect.RETRY, RtmInput.ATTEMPT_FAILED, _CONNECTING, _CONNECTED, _RECONNECTING),
        **_stay(RtmEffect.REPORT_TOKEN, RtmInput.TOKEN_EXPIRED, _RECONNECTING),
        (_CONNECTED, RtmInput.TOKEN_EXPIRED): Rule(RtmEffect.ABORT_TOKEN_EXPIRED, _ABORTED),
        (_CONNECTED, RtmInput.REMOTE_LOGIN): Rule(RtmEffect.ABORT_REMOTE_LOGIN, _ABORTED),
        (_RECONNECTING, RtmInput.REMOTE_LOGIN): Rule(RtmEffect.ABORT_REMOTE_LOGIN, _ABORTED),
        (_CONNECTED, RtmInput.BANNED): Rule(RtmEffect.ABORT_BANNED, _ABORTED),
        (_RECONNECTING, RtmInput.BANNED): Rule(RtmEffect.ABORT_BANNED, _ABORTED),
        (_CONNECTED, RtmInput.LOGOUT): Rule(RtmEffect.END_SESSION, _DISCONNECTED),
        (_RECONNECTING, RtmInput.LOGOUT): Rule(RtmEffect.END_SESSION, _DISCONNECTED),
        (_ABORTED, RtmInput.LOGOUT): Rule(RtmEffect.END_SESSION, _DISCONNECTED),
        **_stay(RtmEffect.REFUSE_LOGIN, RtmInput.LOGIN, _CONNECTING, _CONNECTED, _RECONNECTING, _ABORTED),
        **_stay(RtmEffect.REFUSE_RATE, RtmInput.LOGIN_TOO_OFTEN, *ConnectionState),
    },
)
"""All rules; from DISCONNECTED and ABORTED nothing ever logs in by itself."""

RTM_REASONS: Final[Mapping[RtmEffect, ConnectionChangeReason]] = MappingProxyType(
    {
        RtmEffect.BEGIN_LOGIN: ConnectionChangeReason.LOGIN,
        RtmEffect.COMPLETE_LOGIN: ConnectionChangeReason.LOGIN_SUCCESS,
        RtmEffect.FAIL_LOGIN: ConnectionChangeReason.LOGIN_FAILURE,
        RtmEffect.TIME_OUT_LOGIN: ConnectionChangeReason.LOGIN_TIMEOUT,
        RtmEffect.CANCEL_LOGIN: ConnectionChangeReason.LOGOUT,
        RtmEffect.INTERRUPT: ConnectionChangeReason.INTERRUPTED,
        RtmEffect.RESUME: ConnectionChangeReason.LOGIN_SUCCESS,
        RtmEffect.REJOIN: ConnectionChangeReason.LOGIN_SUCCESS,
        RtmEffect.ABORT_REMOTE_LOGIN: ConnectionChangeReason.REMOTE_LOGIN,
        RtmEffect.ABORT_BANNED: ConnectionChangeReason.BANNED_BY_SERVER,
        RtmEffect.ABORT_TOKEN_EXPIRED: ConnectionChangeReason.TOKEN_EXPIRED,
        RtmEffect.END_SESSION: ConnectionChangeReason.LOGOUT,
    }
)
"""The documented reason of each effect that changes the state."""
