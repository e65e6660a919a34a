"""The two tables of a call invitation: every state with every input, and which API error each misuse is."""

from itertools import product

import pytest

from rtmcore.codes import LocalInvitationState as Local
from rtmcore.codes import RemoteInvitationState as Remote
from rtmcore.connection.diagram import mermaid, rows
from rtmcore.connection.invitations import (
    LOCAL_ENDS,
    LOCAL_TABLE,
    REMOTE_ENDS,
    REMOTE_TABLE,
    LocalEffect,
    LocalInput,
    RemoteEffect,
    RemoteInput,
)
from rtmcore.errors import LocalProtocolError

LIVE = (Local.SENT_TO_REMOTE, Local.RECEIVED_BY_REMOTE)
RINGING, ACCEPTING = Remote.INVITATION_RECEIVED, Remote.ACCEPT_SENT_TO_LOCAL

# What leads from one state to another; everything else stays or is a mistake of the owner.
LOCAL_MOVES = {
    (Local.IDLE, LocalInput.SEND): Local.SENT_TO_REMOTE,
    (Local.IDLE, LocalInput.SEND_LOGGED_OUT): Local.FAILURE,
    (Local.SENT_TO_REMOTE, LocalInput.RECEIVED): Local.RECEIVED_BY_REMOTE,
    (Local.SENT_TO_REMOTE, LocalInput.OFFLINE): Local.FAILURE,
    (Local.SENT_TO_REMOTE, LocalInput.NO_RESPONSE): Local.FAILURE,
    **{(state, LocalInput.ACCEPTED): Local.ACCEPTED_BY_REMOTE for state in LIVE},
    **{(state, LocalInput.REFUSED): Local.REFUSED_BY_REMOTE for state in LIVE},
    **{(state, LocalInput.CANCEL): Local.CANCELED for state in LIVE},
    **{(state, LocalInput.EXPIRED): Local.FAILURE for state in LIVE},
    **{(state, LocalInput.SESSION_OVER): Local.FAILURE for state in LIVE},
}
LOCAL_IMPOSSIBLE = {
    # Signals are looked up by an id, which an invitation has only when it is sent.
    *product(
        [Local.IDLE], set(LocalInput) - {LocalInput.SEND, LocalInput.SEND_LOGGED_OUT, LocalInput.CANCEL}
    ),
    *product(set(Local) - {Local.IDLE}, [LocalInput.SEND_LOGGED_OUT]),
    # Time and the session's end concern what is under way only.
    *product(LOCAL_ENDS, [LocalInput.OFFLINE, LocalInput.NO_RESPONSE, LocalInput.EXPIRED]),
    *product(LOCAL_ENDS, [LocalInput.SESSION_OVER]),
    *product([Local.RECEIVED_BY_REMOTE], [LocalInput.OFFLINE, LocalInput.NO_RESPONSE]),
}

REMOTE_MOVES = {
    (Remote.IDLE, RemoteInput.INVITED): RINGING,
    (RINGING, RemoteInput.ACCEPT): ACCEPTING,
    (RINGING, RemoteInput.REFUSE): Remote.REFUSED,
    (ACCEPTING, RemoteInput.CONFIRMED): Remote.ACCEPTED,
    (ACCEPTING, RemoteInput.CALLER_OFFLINE): Remote.FAILURE,
    (ACCEPTING, RemoteInput.UNCONFIRMED): Remote.FAILURE,
    (ACCEPTING, RemoteInput.DISOWNED): Remote.FAILURE,
    **{(state, RemoteInput.CANCELED): Remote.CANCELED for state in (RINGING, ACCEPTING)},
    **{(state, RemoteInput.EXPIRED): Remote.FAILURE for state in (RINGING, ACCEPTING)},
    **{(state, RemoteInput.SESSION_OVER): Remote.FAILURE for state in (RINGING, ACCEPTING)},
}
REMOTE_IMPOSSIBLE = {
    *product([Remote.IDLE], set(RemoteInput) - {RemoteInput.INVITED, RemoteInput.ACCEPT, RemoteInput.REFUSE}),
    *product(REMOTE_ENDS, [RemoteInput.CALLER_OFFLINE, RemoteInput.UNCONFIRMED, RemoteInput.SESSION_OVER]),
    *product([RINGING], [RemoteInput.CALLER_OFFLINE, RemoteInput.UNCONFIRMED]),
}


@pytest.mark.parametrize("state", Local)
@pytest.mark.parametrize("given", LocalInput)
def test_every_state_of_the_caller_with_every_input(state: Local, given: LocalInput) -> None:
    if (state, given) in LOCAL_IMPOSSIBLE:
        with pytest.raises(LocalProtocolError):
            LOCAL_TABLE.rule(state, given)
    else:
        assert LOCAL_TABLE.rule(state, given).target is LOCAL_MOVES.get((state, given), state)


@pytest.mark.parametrize("state", Remote)
@pytest.mark.parametrize("given", RemoteInput)
def test_every_state_of_the_callee_with_every_input(state: Remote, given: RemoteInput) -> None:
    if (state, given) in REMOTE_IMPOSSIBLE:
        with pytest.raises(LocalProtocolError):
            REMOTE_TABLE.rule(state, given)
    else:
        assert REMOTE_TABLE.rule(state, given).target is REMOTE_MOVES.get((state, given), state)


def test_nothing_leaves_an_end() -> None:
    assert all(r.target is s for (s, _), r in LOCAL_TABLE.rules.items() if s in LOCAL_ENDS)
    assert all(r.target is s for (s, _), r in REMOTE_TABLE.rules.items() if s in REMOTE_ENDS)


def test_every_effect_has_a_rule() -> None:
    assert {rule.effect for rule in LOCAL_TABLE.rules.values()} == set(LocalEffect)
    assert {rule.effect for rule in REMOTE_TABLE.rules.values()} == set(RemoteEffect)


@pytest.mark.parametrize(
    ("given", "effects"),
    [
        (
            LocalInput.SEND,
            "INVITE REFUSE_SENT REFUSE_SENT REFUSE_ENDED REFUSE_ENDED REFUSE_ENDED REFUSE_ENDED",
        ),
        (
            LocalInput.CANCEL,
            "REFUSE_NOT_STARTED REVOKE REVOKE REFUSE_ACCEPTED REFUSE_ENDED REFUSE_ENDED REFUSE_ENDED",
        ),
    ],
)
def test_calls_of_the_caller_by_state(given: LocalInput, effects: str) -> None:
    assert [LOCAL_TABLE.rule(state, given).effect.name for state in Local] == effects.split()


@pytest.mark.parametrize("given", [RemoteInput.ACCEPT, RemoteInput.REFUSE])
def test_calls_of_the_callee_by_state(given: RemoteInput) -> None:
    effects = [REMOTE_TABLE.rule(state, given).effect.name for state in Remote]
    assert effects == [
        "REFUSE_NOT_STARTED",
        f"SEND_{given.name}",
        "REFUSE_ACCEPTED",
        "REFUSE_ENDED",
        "REFUSE_ACCEPTED",
        "REFUSE_ENDED",
        "REFUSE_ENDED",
    ]


def test_the_diagrams_have_every_state() -> None:
    assert all(state.name in mermaid(LOCAL_TABLE) for state in Local)
    assert all(state.name in mermaid(REMOTE_TABLE) for state in Remote)
    assert len(rows(LOCAL_TABLE)) == len(LOCAL_TABLE.rules)
