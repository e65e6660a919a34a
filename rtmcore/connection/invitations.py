"""The life of a call invitation as two tables: the caller's side and the callee's (seed 004).

The caller decides: an acceptance counts when the caller confirms it, and a cancellation that comes first wins. So
accepting is a handshake of three signals, and the callee has accepted only when the third one has come.
"""

import enum
from typing import Final

from rtmcore.codes import LocalInvitationState, RemoteInvitationState
from rtmcore.connection.table import Rule, Table


class LocalInput(enum.Enum):
    """What happens to an invitation at its caller."""

    SEND = "send"
    SEND_LOGGED_OUT = "send without a login"
    RECEIVED = "the callee has received it"
    ACCEPTED = "the callee accepts"
    REFUSED = "the callee refuses"
    CANCEL = "cancel"
    OFFLINE = "30 s, and the callee is offline"
    NO_RESPONSE = "30 s without a word of the callee"
    EXPIRED = "60 s since it was sent"
    SESSION_OVER = "the caller's session ends"


class LocalEffect(enum.Enum):
    """What the caller's client does about it."""

    INVITE = "send the invitation"
    REPORT_RECEIVED = "report it"
    CONFIRM = "confirm it to the callee; report it"
    CONFIRM_AGAIN = "confirm it again"
    REPORT_REFUSED = "report it with the response"
    REVOKE = "tell the callee; report it"
    REVOKE_AGAIN = "tell the callee again"
    FAIL_OFFLINE = "tell the callee, who may still get it; fail with PEER_OFFLINE"
    FAIL_NO_RESPONSE = "tell the callee; fail with PEER_NO_RESPONSE"
    FAIL_EXPIRED = "tell the callee; fail with INVITATION_EXPIRE"
    FAIL_LOGGED_OUT = "fail with NOT_LOGGED_IN"
    DISOWN = "tell the callee that it is over"
    IGNORE = "nothing"
    REFUSE_SENT = "refuse the call with ALREADY_SENT"
    REFUSE_NOT_STARTED = "refuse the call with NOT_STARTED"
    REFUSE_ACCEPTED = "refuse the call with ALREADY_ACCEPT"
    REFUSE_ENDED = "refuse the call with ALREADY_END"


class RemoteInput(enum.Enum):
    """What happens to an invitation at its callee."""

    INVITED = "an invitation comes"
    ACCEPT = "accept"
    REFUSE = "refuse"
    CONFIRMED = "the caller confirms"
    CANCELED = "the caller has canceled"
    EXPIRED = "60 s since it was sent, or the caller says so"
    DISOWNED = "the caller knows of no such invitation"
    CALLER_OFFLINE = "the caller is offline"
    UNCONFIRMED = "30 s without the caller's confirmation"
    SESSION_OVER = "the callee's session ends"


class RemoteEffect(enum.Enum):
    """What the callee's client does about it."""

    RING = "acknowledge it; report it"
    ACKNOWLEDGE = "acknowledge it again"
    SEND_ACCEPT = "tell the caller"
    SEND_REFUSE = "tell the caller; report it"
    REPORT_ACCEPTED = "report it; the call stands"
    REPORT_CANCELED = "report it with the caller's words"
    FAIL_EXPIRED = "fail with INVITATION_EXPIRE"
    FAIL_OFFLINE = "fail with PEER_OFFLINE"
    FAIL_ACCEPT = "fail with ACCEPT_FAILURE"
    IGNORE = "nothing"
    REFUSE_NOT_STARTED = "refuse the call with NOT_STARTED"
    REFUSE_ACCEPTED = "refuse the call with ALREADY_ACCEPT"
    REFUSE_ENDED = "refuse the call with ALREADY_END"


_IDLE: Final = LocalInvitationState.IDLE
_SENT: Final = LocalInvitationState.SENT_TO_REMOTE
_RECEIVED: Final = LocalInvitationState.RECEIVED_BY_REMOTE
_ACCEPTED: Final = LocalInvitationState.ACCEPTED_BY_REMOTE
_REFUSED: Final = LocalInvitationState.REFUSED_BY_REMOTE
_CANCELED: Final = LocalInvitationState.CANCELED
_FAILED: Final = LocalInvitationState.FAILURE

_LocalRules = dict[tuple[LocalInvitationState, LocalInput], Rule[LocalEffect, LocalInvitationState]]

LOCAL_ENDS: Final = frozenset({_ACCEPTED, _REFUSED, _CANCELED, _FAILED})
"""States of the caller's side that nothing leaves."""


def _local(
    given: LocalInput, effect: LocalEffect, target: LocalInvitationState | None, *states: LocalInvitationState
) -> _LocalRules:
    return {(state, given): Rule(effect, target or state) for state in states}


LOCAL_TABLE: Final[Table[LocalInvitationState, LocalInput, LocalEffect]] = Table(
    "outgoing invitation",
    _IDLE,
    {
        **_local(LocalInput.SEND, LocalEffect.INVITE, _SENT, _IDLE),
        **_local(LocalInput.SEND_LOGGED_OUT, LocalEffect.FAIL_LOGGED_OUT, _FAILED, _IDLE),
        **_local(LocalInput.RECEIVED, LocalEffect.REPORT_RECEIVED, _RECEIVED, _SENT),
        **_local(LocalInput.ACCEPTED, LocalEffect.CONFIRM, _ACCEPTED, _SENT, _RECEIVED),
        **_local(LocalInput.REFUSED, LocalEffect.REPORT_REFUSED, _REFUSED, _SENT, _RECEIVED),
        **_local(LocalInput.CANCEL, LocalEffect.REVOKE, _CANCELED, _SENT, _RECEIVED),
        **_local(LocalInput.OFFLINE, LocalEffect.FAIL_OFFLINE, _FAILED, _SENT),
        **_local(LocalInput.NO_RESPONSE, LocalEffect.FAIL_NO_RESPONSE, _FAILED, _SENT),
        **_local(LocalInput.EXPIRED, LocalEffect.FAIL_EXPIRED, _FAILED, _SENT, _RECEIVED),
        **_local(LocalInput.SESSION_OVER, LocalEffect.FAIL_LOGGED_OUT, _FAILED, _SENT, _RECEIVED),
        # What comes late: the decision stands, and the callee is told of it again.
        **_local(LocalInput.RECEIVED, LocalEffect.IGNORE, None, _RECEIVED, *LOCAL_ENDS),
        **_local(LocalInput.ACCEPTED, LocalEffect.CONFIRM_AGAIN, None, _ACCEPTED),
        **_local(LocalInput.ACCEPTED, LocalEffect.REVOKE_AGAIN, None, _CANCELED),
        **_local(LocalInput.ACCEPTED, LocalEffect.DISOWN, None, _FAILED),
        **_local(LocalInput.ACCEPTED, LocalEffect.IGNORE, None, _REFUSED),
        **_local(LocalInput.REFUSED, LocalEffect.IGNORE, None, *LOCAL_ENDS),
        # Calls that do not fit.
        **_local(LocalInput.SEND, LocalEffect.REFUSE_SENT, None, _SENT, _RECEIVED),
        **_local(LocalInput.SEND, LocalEffect.REFUSE_ENDED, None, *LOCAL_ENDS),
        **_local(LocalInput.CANCEL, LocalEffect.REFUSE_NOT_STARTED, None, _IDLE),
        **_local(LocalInput.CANCEL, LocalEffect.REFUSE_ACCEPTED, None, _ACCEPTED),
        **_local(LocalInput.CANCEL, LocalEffect.REFUSE_ENDED, None, _REFUSED, _CANCELED, _FAILED),
    },
)
"""The caller's side."""

_NEW: Final = RemoteInvitationState.IDLE
_RINGING: Final = RemoteInvitationState.INVITATION_RECEIVED
_ACCEPTING: Final = RemoteInvitationState.ACCEPT_SENT_TO_LOCAL

REMOTE_ENDS: Final = frozenset(
    {
        RemoteInvitationState.ACCEPTED,
        RemoteInvitationState.REFUSED,
        RemoteInvitationState.CANCELED,
        RemoteInvitationState.FAILURE,
    }
)
"""States of the callee's side that nothing leaves."""

_RemoteRules = dict[tuple[RemoteInvitationState, RemoteInput], Rule[RemoteEffect, RemoteInvitationState]]


def _remote(
    given: RemoteInput,
    effect: RemoteEffect,
    target: RemoteInvitationState | None,
    *states: RemoteInvitationState,
) -> _RemoteRules:
    return {(state, given): Rule(effect, target or state) for state in states}


REMOTE_TABLE: Final[Table[RemoteInvitationState, RemoteInput, RemoteEffect]] = Table(
    "incoming invitation",
    _NEW,
    {
        **_remote(RemoteInput.INVITED, RemoteEffect.RING, _RINGING, _NEW),
        **_remote(RemoteInput.ACCEPT, RemoteEffect.SEND_ACCEPT, _ACCEPTING, _RINGING),
        **_remote(RemoteInput.REFUSE, RemoteEffect.SEND_REFUSE, RemoteInvitationState.REFUSED, _RINGING),
        **_remote(
            RemoteInput.CONFIRMED, RemoteEffect.REPORT_ACCEPTED, RemoteInvitationState.ACCEPTED, _ACCEPTING
        ),
        **_remote(
            RemoteInput.CANCELED,
            RemoteEffect.REPORT_CANCELED,
            RemoteInvitationState.CANCELED,
            _RINGING,
            _ACCEPTING,
        ),
        **_remote(
            RemoteInput.EXPIRED,
            RemoteEffect.FAIL_EXPIRED,
            RemoteInvitationState.FAILURE,
            _RINGING,
            _ACCEPTING,
        ),
        **_remote(
            RemoteInput.SESSION_OVER,
            RemoteEffect.FAIL_OFFLINE,
            RemoteInvitationState.FAILURE,
            _RINGING,
            _ACCEPTING,
        ),
        **_remote(
            RemoteInput.CALLER_OFFLINE, RemoteEffect.FAIL_OFFLINE, RemoteInvitationState.FAILURE, _ACCEPTING
        ),
        **_remote(
            RemoteInput.UNCONFIRMED, RemoteEffect.FAIL_ACCEPT, RemoteInvitationState.FAILURE, _ACCEPTING
        ),
        **_remote(RemoteInput.DISOWNED, RemoteEffect.FAIL_ACCEPT, RemoteInvitationState.FAILURE, _ACCEPTING),
        # What comes twice, late, or from somebody who does not keep to the protocol.
        **_remote(RemoteInput.INVITED, RemoteEffect.ACKNOWLEDGE, None, _RINGING, _ACCEPTING),
        **_remote(RemoteInput.INVITED, RemoteEffect.IGNORE, None, *REMOTE_ENDS),
        **_remote(RemoteInput.CONFIRMED, RemoteEffect.IGNORE, None, _RINGING, *REMOTE_ENDS),
        **_remote(RemoteInput.CANCELED, RemoteEffect.IGNORE, None, *REMOTE_ENDS),
        **_remote(RemoteInput.EXPIRED, RemoteEffect.IGNORE, None, *REMOTE_ENDS),
        **_remote(RemoteInput.DISOWNED, RemoteEffect.IGNORE, None, _RINGING, *REMOTE_ENDS),
        # Calls that do not fit.
        **_remote(RemoteInput.ACCEPT, RemoteEffect.REFUSE_NOT_STARTED, None, _NEW),
        **_remote(RemoteInput.REFUSE, RemoteEffect.REFUSE_NOT_STARTED, None, _NEW),
        **{
            (state, given): Rule(effect, state)
            for given in (RemoteInput.ACCEPT, RemoteInput.REFUSE)
            for effect, states in (
                (RemoteEffect.REFUSE_ACCEPTED, (_ACCEPTING, RemoteInvitationState.ACCEPTED)),
                (RemoteEffect.REFUSE_ENDED, REMOTE_ENDS - {RemoteInvitationState.ACCEPTED}),
            )
            for state in states
        },
    },
)
"""The callee's side."""
