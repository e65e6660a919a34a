"""The connection states of RTM (seeds 000 and 004) as a table.

The states and reasons are the documented ones, and so are their seventeen transitions. Rules that leave the
state as it is cause no event: they say what happens instead.
"""

from types import MappingProxyType
from typing import Final

from rtmcore.codes import ConnectionChangeReason, ConnectionState
from rtmcore.connection.model import Effect, Input, Model
from rtmcore.connection.table import Rule, Table

_DISCONNECTED: Final = ConnectionState.DISCONNECTED
_CONNECTING: Final = ConnectionState.CONNECTING
_CONNECTED: Final = ConnectionState.CONNECTED
_RECONNECTING: Final = ConnectionState.RECONNECTING
_ABORTED: Final = ConnectionState.ABORTED

_FINAL_AT_LOGIN: Final = (
    Input.REFUSED,
    Input.INVALID_APP_ID,
    Input.INVALID_NAME,
    Input.INVALID_TOKEN,
    Input.TOKEN_EXPIRED,
    Input.REMOTE_LOGIN,
    Input.BANNED,
    Input.LOGIN_FAILED,
)


def _stay(
    effect: Effect, given: Input, *states: ConnectionState
) -> dict[tuple[ConnectionState, Input], Rule[Effect, ConnectionState]]:
    return {(state, given): Rule(effect, state) for state in states}


RTM_TABLE: Final[Table[ConnectionState, Input, Effect]] = Table(
    "RTM connection",
    _DISCONNECTED,
    {
        (_DISCONNECTED, Input.LOGIN): Rule(Effect.BEGIN_LOGIN, _CONNECTING),
        (_CONNECTING, Input.ACCEPTED): Rule(Effect.COMPLETE_LOGIN, _CONNECTED),
        **{(_CONNECTING, given): Rule(Effect.FAIL_LOGIN, _DISCONNECTED) for given in _FINAL_AT_LOGIN},
        (_CONNECTING, Input.LOGIN_TIMED_OUT): Rule(Effect.TIME_OUT_LOGIN, _DISCONNECTED),
        (_CONNECTING, Input.LOGOUT): Rule(Effect.CANCEL_LOGIN, _DISCONNECTED),
        (_CONNECTED, Input.INTERRUPTED): Rule(Effect.INTERRUPT, _RECONNECTING),
        (_CONNECTED, Input.KEEP_ALIVE_TIMED_OUT): Rule(Effect.INTERRUPT, _RECONNECTING),
        (_RECONNECTING, Input.RESUMED): Rule(Effect.RESUME, _CONNECTED),
        (_RECONNECTING, Input.REJOINED): Rule(Effect.REJOIN, _CONNECTED),
        # A failed attempt changes no state: a login tries until its time is over, a reconnect for ever.
        **_stay(Effect.RETRY, Input.ATTEMPT_FAILED, _CONNECTING, _CONNECTED, _RECONNECTING),
        **_stay(Effect.USE_TOKEN, Input.RENEWED, _RECONNECTING),
        **_stay(Effect.REPORT_TOKEN, Input.TOKEN_EXPIRED, _RECONNECTING),
        (_CONNECTED, Input.TOKEN_EXPIRED): Rule(Effect.ABORT_TOKEN_EXPIRED, _ABORTED),
        (_CONNECTED, Input.REMOTE_LOGIN): Rule(Effect.ABORT_REMOTE_LOGIN, _ABORTED),
        (_RECONNECTING, Input.REMOTE_LOGIN): Rule(Effect.ABORT_REMOTE_LOGIN, _ABORTED),
        (_CONNECTED, Input.BANNED): Rule(Effect.ABORT_BANNED, _ABORTED),
        (_RECONNECTING, Input.BANNED): Rule(Effect.ABORT_BANNED, _ABORTED),
        (_CONNECTED, Input.LOGOUT): Rule(Effect.END_SESSION, _DISCONNECTED),
        (_RECONNECTING, Input.LOGOUT): Rule(Effect.END_SESSION, _DISCONNECTED),
        (_ABORTED, Input.LOGOUT): Rule(Effect.END_SESSION, _DISCONNECTED),
        **_stay(Effect.REFUSE_LOGIN, Input.LOGIN, _CONNECTING, _CONNECTED, _RECONNECTING, _ABORTED),
        **_stay(Effect.REFUSE_RATE, Input.LOGIN_TOO_OFTEN, *ConnectionState),
    },
)
"""All rules; from DISCONNECTED and ABORTED nothing ever logs in by itself."""

RTM: Final = Model(
    table=RTM_TABLE,
    reasons=MappingProxyType(
        {
            Effect.BEGIN_LOGIN: ConnectionChangeReason.LOGIN,
            Effect.COMPLETE_LOGIN: ConnectionChangeReason.LOGIN_SUCCESS,
            Effect.FAIL_LOGIN: ConnectionChangeReason.LOGIN_FAILURE,
            Effect.TIME_OUT_LOGIN: ConnectionChangeReason.LOGIN_TIMEOUT,
            Effect.CANCEL_LOGIN: ConnectionChangeReason.LOGOUT,
            Effect.INTERRUPT: ConnectionChangeReason.INTERRUPTED,
            Effect.RESUME: ConnectionChangeReason.LOGIN_SUCCESS,
            Effect.REJOIN: ConnectionChangeReason.LOGIN_SUCCESS,
            Effect.ABORT_REMOTE_LOGIN: ConnectionChangeReason.REMOTE_LOGIN,
            Effect.ABORT_BANNED: ConnectionChangeReason.BANNED_BY_SERVER,
            Effect.ABORT_TOKEN_EXPIRED: ConnectionChangeReason.TOKEN_EXPIRED,
            Effect.END_SESSION: ConnectionChangeReason.LOGOUT,
        }
    ),
    connecting=_CONNECTING,
    connected=_CONNECTED,
    reconnecting=_RECONNECTING,
    ended=_ABORTED,
)
"""The RTM model; each effect that changes the state has its documented reason."""
