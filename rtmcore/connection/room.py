"""The signaling connection of a room (seed 002) as a table.

A connect is the login of this model, and `disconnect` its logout. A first connect is one attempt, and
DISCONNECTED is terminal: who wants to come back connects anew. The room's own state is made of this one and of its
media connection's.
"""

from types import MappingProxyType
from typing import Final

from rtmcore.codes import RoomErrorCode
from rtmcore.connection.model import Effect, Input, Model, SignalingState
from rtmcore.connection.table import Rule, Table

_NEW: Final = SignalingState.NEW
_CONNECTING: Final = SignalingState.CONNECTING
_CONNECTED: Final = SignalingState.CONNECTED
_RECONNECTING: Final = SignalingState.RECONNECTING
_DISCONNECTED: Final = SignalingState.DISCONNECTED

_Rules = dict[tuple[SignalingState, Input], Rule[Effect, SignalingState]]

_FINAL: Final = {
    Input.REFUSED: (Effect.FAIL_LOGIN, Effect.ABORT_REFUSED),
    Input.INVALID_APP_ID: (Effect.FAIL_LOGIN, Effect.ABORT_REFUSED),
    Input.INVALID_NAME: (Effect.FAIL_LOGIN, Effect.ABORT_REFUSED),
    Input.INVALID_TOKEN: (Effect.FAIL_LOGIN, Effect.ABORT_REFUSED),
    Input.TOKEN_EXPIRED: (Effect.FAIL_LOGIN, Effect.ABORT_TOKEN_EXPIRED),
    Input.REMOTE_LOGIN: (Effect.FAIL_LOGIN, Effect.ABORT_REMOTE_LOGIN),
    Input.BANNED: (Effect.FAIL_LOGIN, Effect.ABORT_REFUSED),
}


def _stay(effect: Effect, given: Input, *states: SignalingState) -> _Rules:
    return {(state, given): Rule(effect, state) for state in states}


def _final() -> _Rules:
    rules: _Rules = {}
    for given, (fail, abort) in _FINAL.items():
        rules[_CONNECTING, given] = Rule(fail, _DISCONNECTED)
        rules[_CONNECTED, given] = rules[_RECONNECTING, given] = Rule(abort, _DISCONNECTED)
    return rules


ROOM_TABLE: Final[Table[SignalingState, Input, Effect]] = Table(
    "Room signaling",
    _NEW,
    {
        (_NEW, Input.LOGIN): Rule(Effect.BEGIN_LOGIN, _CONNECTING),
        (_CONNECTING, Input.ACCEPTED): Rule(Effect.COMPLETE_LOGIN, _CONNECTED),
        **_final(),
        # The one attempt has failed.
        (_CONNECTING, Input.LOGIN_FAILED): Rule(Effect.FAIL_ATTEMPTS, _DISCONNECTED),
        (_CONNECTING, Input.LOGIN_TIMED_OUT): Rule(Effect.TIME_OUT_LOGIN, _DISCONNECTED),
        (_CONNECTING, Input.LOGOUT): Rule(Effect.CANCEL_LOGIN, _DISCONNECTED),
        (_CONNECTED, Input.INTERRUPTED): Rule(Effect.INTERRUPT, _RECONNECTING),
        (_CONNECTED, Input.KEEP_ALIVE_TIMED_OUT): Rule(Effect.INTERRUPT, _RECONNECTING),
        (_RECONNECTING, Input.RESUMED): Rule(Effect.RESUME, _CONNECTED),
        (_RECONNECTING, Input.REJOINED): Rule(Effect.REJOIN, _CONNECTED),
        (_RECONNECTING, Input.GAVE_UP): Rule(Effect.GIVE_UP, _DISCONNECTED),
        **_stay(Effect.RETRY, Input.ATTEMPT_FAILED, _CONNECTED, _RECONNECTING),
        **_stay(Effect.USE_TOKEN, Input.RENEWED, _RECONNECTING),
        (_CONNECTED, Input.LOGOUT): Rule(Effect.END_SESSION, _DISCONNECTED),
        (_RECONNECTING, Input.LOGOUT): Rule(Effect.END_SESSION, _DISCONNECTED),
        **_stay(Effect.REFUSE_LOGIN, Input.LOGIN, _CONNECTING, _CONNECTED, _RECONNECTING, _DISCONNECTED),
        **_stay(Effect.REFUSE_RATE, Input.LOGIN_TOO_OFTEN, *SignalingState),
    },
)
"""All rules; nothing leaves DISCONNECTED."""

ROOM: Final = Model(
    table=ROOM_TABLE,
    reasons=MappingProxyType(
        {
            Effect.INTERRUPT: RoomErrorCode.SIGNALING_CONNECTION_DISCONNECTED,
            Effect.FAIL_ATTEMPTS: RoomErrorCode.SIGNALING_CONNECTION,
            Effect.TIME_OUT_LOGIN: RoomErrorCode.SIGNALING_CONNECTION,
            Effect.GIVE_UP: RoomErrorCode.SIGNALING_CONNECTION_TIMEOUT,
            Effect.ABORT_REFUSED: RoomErrorCode.SIGNALING_CONNECTION,
            Effect.ABORT_TOKEN_EXPIRED: RoomErrorCode.ACCESS_TOKEN_EXPIRED,
            Effect.ABORT_REMOTE_LOGIN: RoomErrorCode.PARTICIPANT_DUPLICATE_IDENTITY,
        }
    ),
    connecting=_CONNECTING,
    connected=_CONNECTED,
    reconnecting=_RECONNECTING,
    ended=_DISCONNECTED,
)
"""The model of a room's signaling. A refused connect has the code that the server names."""
