"""The connection states of an RTC channel (seed 001) as a table.

A join is the login of this model, and leaving the channel its logout. FAILED is left only by leaving.
"""

from types import MappingProxyType
from typing import Final

from rtmcore.codes import RtcConnectionChangeReason, RtcConnectionState
from rtmcore.connection.model import Effect, Input, Model
from rtmcore.connection.table import Rule, Table

_DISCONNECTED: Final = RtcConnectionState.DISCONNECTED
_CONNECTING: Final = RtcConnectionState.CONNECTING
_CONNECTED: Final = RtcConnectionState.CONNECTED
_RECONNECTING: Final = RtcConnectionState.RECONNECTING
_FAILED: Final = RtcConnectionState.FAILED

_Rules = dict[tuple[RtcConnectionState, Input], Rule[Effect, RtcConnectionState]]

# What ends a join, and what ends a session, at once or at the return; each has a documented reason.
_FINAL: Final = {
    Input.REFUSED: (Effect.FAIL_LOGIN, Effect.ABORT_REFUSED),
    Input.INVALID_APP_ID: (Effect.FAIL_APP_ID, Effect.ABORT_APP_ID),
    Input.INVALID_NAME: (Effect.FAIL_NAME, Effect.ABORT_NAME),
    Input.INVALID_TOKEN: (Effect.FAIL_TOKEN, Effect.ABORT_TOKEN),
    Input.TOKEN_EXPIRED: (Effect.FAIL_TOKEN_EXPIRED, Effect.ABORT_TOKEN_EXPIRED),
    Input.REMOTE_LOGIN: (Effect.FAIL_REMOTE_LOGIN, Effect.ABORT_REMOTE_LOGIN),
    Input.BANNED: (Effect.FAIL_BANNED, Effect.ABORT_BANNED),
}


def _stay(effect: Effect, given: Input, *states: RtcConnectionState) -> _Rules:
    return {(state, given): Rule(effect, state) for state in states}


def _final() -> _Rules:
    rules: _Rules = {}
    for given, (fail, abort) in _FINAL.items():
        rules[_CONNECTING, given] = Rule(fail, _FAILED)
        rules[_CONNECTED, given] = rules[_RECONNECTING, given] = Rule(abort, _FAILED)
    return rules


RTC_TABLE: Final[Table[RtcConnectionState, Input, Effect]] = Table(
    "RTC connection",
    _DISCONNECTED,
    {
        (_DISCONNECTED, Input.LOGIN): Rule(Effect.BEGIN_LOGIN, _CONNECTING),
        (_CONNECTING, Input.ACCEPTED): Rule(Effect.COMPLETE_LOGIN, _CONNECTED),
        **_final(),
        (_CONNECTING, Input.LOGIN_FAILED): Rule(Effect.FAIL_ATTEMPTS, _FAILED),
        (_CONNECTING, Input.LOGIN_TIMED_OUT): Rule(Effect.TIME_OUT_LOGIN, _FAILED),
        (_CONNECTING, Input.LOGOUT): Rule(Effect.CANCEL_LOGIN, _DISCONNECTED),
        (_CONNECTED, Input.INTERRUPTED): Rule(Effect.INTERRUPT, _RECONNECTING),
        (_CONNECTED, Input.KEEP_ALIVE_TIMED_OUT): Rule(Effect.INTERRUPT_KEEP_ALIVE, _RECONNECTING),
        # Of a join that takes too long, and once of each outage.
        **_stay(Effect.REPORT_SLOW, Input.LOST, _CONNECTING),
        **_stay(Effect.REPORT_LOST, Input.LOST, _RECONNECTING),
        (_RECONNECTING, Input.RESUMED): Rule(Effect.RESUME, _CONNECTED),
        (_RECONNECTING, Input.REJOINED): Rule(Effect.REJOIN, _CONNECTED),
        (_RECONNECTING, Input.GAVE_UP): Rule(Effect.GIVE_UP, _FAILED),
        **_stay(Effect.RETRY, Input.ATTEMPT_FAILED, _CONNECTING, _CONNECTED, _RECONNECTING),
        **_stay(Effect.USE_TOKEN, Input.RENEWED, _RECONNECTING),
        (_CONNECTED, Input.LOGOUT): Rule(Effect.END_SESSION, _DISCONNECTED),
        (_RECONNECTING, Input.LOGOUT): Rule(Effect.END_SESSION, _DISCONNECTED),
        (_FAILED, Input.LOGOUT): Rule(Effect.END_SESSION, _DISCONNECTED),
        **_stay(Effect.REFUSE_LOGIN, Input.LOGIN, _CONNECTING, _CONNECTED, _RECONNECTING, _FAILED),
        **_stay(Effect.REFUSE_RATE, Input.LOGIN_TOO_OFTEN, *RtcConnectionState),
    },
)
"""All rules; from DISCONNECTED and FAILED nothing ever joins by itself."""

RTC: Final = Model(
    table=RTC_TABLE,
    reasons=MappingProxyType(
        {
            Effect.BEGIN_LOGIN: RtcConnectionChangeReason.CONNECTING,
            Effect.COMPLETE_LOGIN: RtcConnectionChangeReason.JOIN_SUCCESS,
            Effect.FAIL_LOGIN: RtcConnectionChangeReason.REJECTED_BY_SERVER,
            Effect.FAIL_APP_ID: RtcConnectionChangeReason.INVALID_APP_ID,
            Effect.FAIL_NAME: RtcConnectionChangeReason.INVALID_CHANNEL_NAME,
            Effect.FAIL_TOKEN: RtcConnectionChangeReason.INVALID_TOKEN,
            Effect.FAIL_TOKEN_EXPIRED: RtcConnectionChangeReason.TOKEN_EXPIRED,
            Effect.FAIL_REMOTE_LOGIN: RtcConnectionChangeReason.SAME_UID_LOGIN,
            Effect.FAIL_BANNED: RtcConnectionChangeReason.BANNED_BY_SERVER,
            Effect.FAIL_ATTEMPTS: RtcConnectionChangeReason.JOIN_FAILED,
            Effect.TIME_OUT_LOGIN: RtcConnectionChangeReason.JOIN_FAILED,
            Effect.CANCEL_LOGIN: RtcConnectionChangeReason.LEAVE_CHANNEL,
            Effect.INTERRUPT: RtcConnectionChangeReason.INTERRUPTED,
            Effect.INTERRUPT_KEEP_ALIVE: RtcConnectionChangeReason.KEEP_ALIVE_TIMEOUT,
            Effect.REPORT_LOST: RtcConnectionChangeReason.LOST,
            Effect.RESUME: RtcConnectionChangeReason.REJOIN_SUCCESS,
            Effect.REJOIN: RtcConnectionChangeReason.REJOIN_SUCCESS,
            Effect.GIVE_UP: RtcConnectionChangeReason.JOIN_FAILED,
            Effect.USE_TOKEN: RtcConnectionChangeReason.RENEW_TOKEN,
            Effect.ABORT_REFUSED: RtcConnectionChangeReason.REJECTED_BY_SERVER,
            Effect.ABORT_APP_ID: RtcConnectionChangeReason.INVALID_APP_ID,
            Effect.ABORT_NAME: RtcConnectionChangeReason.INVALID_CHANNEL_NAME,
            Effect.ABORT_TOKEN: RtcConnectionChangeReason.INVALID_TOKEN,
            Effect.ABORT_TOKEN_EXPIRED: RtcConnectionChangeReason.TOKEN_EXPIRED,
            Effect.ABORT_REMOTE_LOGIN: RtcConnectionChangeReason.SAME_UID_LOGIN,
            Effect.ABORT_BANNED: RtcConnectionChangeReason.BANNED_BY_SERVER,
            Effect.END_SESSION: RtcConnectionChangeReason.LEAVE_CHANNEL,
        }
    ),
    connecting=_CONNECTING,
    connected=_CONNECTED,
    reconnecting=_RECONNECTING,
    ended=_FAILED,
)
"""The RTC model. LOST and RENEW_TOKEN are reasons that change while the state stays RECONNECTING."""
