"""What the connection models have in common: the inputs, the effects, and the parts that their states play.

A model is data: a table over the shared inputs and effects, the documented reason of each effect, and which of its
states is the idle one, the connected one and so on. One machinery (`rtmcore.client.session`) runs all of them.
"""

import enum
from collections.abc import Mapping
from typing import Any

import attrs

from rtmcore.codes import (
    ConnectionChangeReason,
    ConnectionState,
    RoomErrorCode,
    RtcConnectionChangeReason,
    RtcConnectionState,
)
from rtmcore.connection.table import Table


class SignalingState(str, enum.Enum):
    """State of the signaling connection of a room; the room's own state is made of it and of the media's."""

    NEW = "new"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    RECONNECTING = "reconnecting"
    DISCONNECTED = "disconnected"  # terminal


State = ConnectionState | RtcConnectionState | SignalingState
"""A state of one of the models."""

Reason = ConnectionChangeReason | RtcConnectionChangeReason | RoomErrorCode
"""Why a state was entered, in the words of one of the models."""


class Input(enum.Enum):
    """What happens to a connection; a login is a join of an RTC channel, or a connect to a room, as well."""

    LOGIN = "login"
    LOGIN_TOO_OFTEN = "login above its rate"
    ACCEPTED = "the server accepts the login"
    REFUSED = "the server refuses the client"
    INVALID_APP_ID = "the server does not know the app id"
    INVALID_NAME = "the server refuses the name"
    INVALID_TOKEN = "the server refuses the token"
    TOKEN_EXPIRED = "the token expires"
    REMOTE_LOGIN = "the user logs in elsewhere"
    BANNED = "the server bans the user"
    LOGIN_FAILED = "no attempt at the login can succeed"
    LOGIN_TIMED_OUT = "no success within the login's time"
    LOGOUT = "logout"
    INTERRUPTED = "4 s of silence"
    KEEP_ALIVE_TIMED_OUT = "4 s of silence after the server heard nothing for too long"
    LOST = "10 s without the server"
    GAVE_UP = "no way back in all the time there is"
    RENEWED = "a renewed token begins an attempt"
    RESUMED = "the session is restored"
    REJOINED = "logged in again after the session was over"
    ATTEMPT_FAILED = "an attempt to connect fails"


class Effect(enum.Enum):
    """What the client does about it."""

    BEGIN_LOGIN = "open a transport"
    COMPLETE_LOGIN = "complete the login"
    FAIL_LOGIN = "fail the login with the server's code"
    FAIL_APP_ID = "fail the login: the app id"
    FAIL_NAME = "fail the login: the name"
    FAIL_TOKEN = "fail the login: the token"
    FAIL_TOKEN_EXPIRED = "fail the login: the token's time"
    FAIL_REMOTE_LOGIN = "fail the login: the user is elsewhere"
    FAIL_BANNED = "fail the login: the user is banned"
    FAIL_ATTEMPTS = "fail the login: nothing else is left to try"
    TIME_OUT_LOGIN = "fail the login: its time is over"
    CANCEL_LOGIN = "fail the login with ABORTED_BY_LOGOUT"
    INTERRUPT = "let calls wait"
    INTERRUPT_KEEP_ALIVE = "let calls wait: the keep-alive has failed"
    REPORT_SLOW = "report it; the login goes on within its time"
    REPORT_LOST = "report it; go on trying"
    RESUME = "go on; nobody was told of anything"
    REJOIN = "go on; channels were joined again"
    RETRY = "try again after the backoff"
    REPORT_TOKEN = "report it; a new token lets the reconnect finish"
    USE_TOKEN = "go on trying with the new token"
    ABORT_REMOTE_LOGIN = "end the session as kicked"
    ABORT_BANNED = "end the session as banned"
    ABORT_TOKEN_EXPIRED = "end the session as expired"
    ABORT_TOKEN = "end the session: the token is refused"
    ABORT_APP_ID = "end the session: the app id is refused"
    ABORT_NAME = "end the session: the name is refused"
    ABORT_REFUSED = "end the session as refused"
    GIVE_UP = "end the session; stop trying"
    END_SESSION = "say goodbye and end the session"
    REFUSE_LOGIN = "refuse the login with ALREADY_LOGIN"
    REFUSE_RATE = "refuse the login with TOO_OFTEN"


@attrs.frozen(kw_only=True)
class Model:
    """A connection model as data.

    Attributes:
        table: Its rules.
        reasons: The documented reason of each effect that has one.
        connecting: The state during a login.
        connected: The state of a session that stands.
        reconnecting: The state of a session that is interrupted.
        ended: The state of a session that has ended for good, and that nothing leaves by itself.
    """

    table: Table[Any, Input, Effect]
    reasons: Mapping[Effect, Reason]
    connecting: State
    connected: State
    reconnecting: State
    ended: State

    @property
    def idle(self) -> State:
        """The state before the first login."""
        initial: State = self.table.initial
        return initial
