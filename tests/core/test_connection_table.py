"""The RTM connection table: every state with every input, and the diagrams made from it."""

from itertools import product

import pytest

from rtmcore.codes import ConnectionChangeReason as Reason
from rtmcore.codes import ConnectionState as State
from rtmcore.connection.diagram import dot, mermaid, rows
from rtmcore.connection.rtm import RTM_REASONS, RTM_TABLE, RtmEffect, RtmInput
from rtmcore.errors import LocalProtocolError

# The seventeen documented transitions: number, from, input, to, reason (None where the state stays).
DOCUMENTED = [
    (1, [State.DISCONNECTED], RtmInput.LOGIN, State.CONNECTING, Reason.LOGIN),
    (2, [State.CONNECTING], RtmInput.ACCEPTED, State.CONNECTED, Reason.LOGIN_SUCCESS),
    (3, [State.CONNECTING], RtmInput.REFUSED, State.DISCONNECTED, Reason.LOGIN_FAILURE),
    (4, [State.CONNECTING], RtmInput.LOGIN_TIMED_OUT, State.DISCONNECTED, Reason.LOGIN_TIMEOUT),
    (5, [State.CONNECTING], RtmInput.LOGOUT, State.DISCONNECTED, Reason.LOGOUT),
    (6, [State.CONNECTED], RtmInput.INTERRUPTED, State.RECONNECTING, Reason.INTERRUPTED),
    (7, [State.RECONNECTING], RtmInput.RESUMED, State.CONNECTED, Reason.LOGIN_SUCCESS),
    (8, [State.RECONNECTING], RtmInput.REJOINED, State.CONNECTED, Reason.LOGIN_SUCCESS),
    (9, [State.RECONNECTING], RtmInput.ATTEMPT_FAILED, State.RECONNECTING, None),
    (10, [State.RECONNECTING], RtmInput.TOKEN_EXPIRED, State.RECONNECTING, None),
    (11, [State.CONNECTED, State.RECONNECTING], RtmInput.REMOTE_LOGIN, State.ABORTED, Reason.REMOTE_LOGIN),
    (12, [State.CONNECTED, State.RECONNECTING], RtmInput.BANNED, State.ABORTED, Reason.BANNED_BY_SERVER),
    (13, [State.CONNECTED], RtmInput.TOKEN_EXPIRED, State.ABORTED, Reason.TOKEN_EXPIRED),
    (
        14,
        [State.CONNECTED, State.RECONNECTING, State.ABORTED],
        RtmInput.LOGOUT,
        State.DISCONNECTED,
        Reason.LOGOUT,
    ),
    (15, [State.ABORTED], RtmInput.LOGIN, State.ABORTED, None),
    (
        16,
        [State.CONNECTING, State.CONNECTED, State.RECONNECTING],
        RtmInput.LOGIN,
        None,
        None,
    ),
    (17, list(State), RtmInput.LOGIN_TOO_OFTEN, None, None),
]

# A login and a session on a silent transport also go on after an attempt has failed.
ALSO = {
    (State.CONNECTING, RtmInput.ATTEMPT_FAILED): State.CONNECTING,
    (State.CONNECTED, RtmInput.ATTEMPT_FAILED): State.CONNECTED,
}

EXPECTED = {
    (source, given): target or source for _, sources, given, target, _ in DOCUMENTED for source in sources
} | ALSO


@pytest.mark.parametrize(("state", "given"), list(product(State, RtmInput)))
def test_every_state_with_every_input(state: State, given: RtmInput) -> None:
    if (state, given) in EXPECTED:
        assert RTM_TABLE.rule(state, given).target is EXPECTED[state, given]
    else:
        with pytest.raises(LocalProtocolError, match=f"{given.name}.*{state.name}"):
            RTM_TABLE.rule(state, given)


@pytest.mark.parametrize(
    ("number", "sources", "given", "target", "reason"), DOCUMENTED, ids=[str(row[0]) for row in DOCUMENTED]
)
def test_each_documented_transition_has_its_reason(
    number: int, sources: list[State], given: RtmInput, target: State | None, reason: Reason | None
) -> None:
    for source in sources:
        rule = RTM_TABLE.rule(source, given)
        assert rule.target is (target or source)
        if reason is not None:
            assert RTM_REASONS[rule.effect] is reason
        else:
            assert rule.target is source
            assert rule.effect not in RTM_REASONS


def test_a_reason_belongs_to_each_effect_that_changes_the_state() -> None:
    changing = {rule.effect for (state, _), rule in RTM_TABLE.rules.items() if rule.target is not state}
    assert changing == set(RTM_REASONS)


def test_every_effect_and_input_occurs() -> None:
    assert {rule.effect for rule in RTM_TABLE.rules.values()} == set(RtmEffect)
    assert {given for _, given in RTM_TABLE.rules} == set(RtmInput)


def test_nothing_logs_in_by_itself_from_disconnected_or_aborted() -> None:
    for (state, given), rule in RTM_TABLE.rules.items():
        if state is State.DISCONNECTED and rule.target is not state:
            assert given is RtmInput.LOGIN
        if state is State.ABORTED and rule.target is not state:
            assert given is RtmInput.LOGOUT
            assert rule.target is State.DISCONNECTED


def test_aborted_always_comes_with_its_own_reasons() -> None:
    reasons = {
        RTM_REASONS[rule.effect]
        for rule in RTM_TABLE.rules.values()
        if rule.target is State.ABORTED and rule.effect in RTM_REASONS
    }
    assert reasons == {Reason.REMOTE_LOGIN, Reason.BANNED_BY_SERVER, Reason.TOKEN_EXPIRED}


def test_the_table_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        RTM_TABLE.rules[State.ABORTED, RtmInput.LOGIN] = RTM_TABLE.rule(  # type: ignore[index]
            State.DISCONNECTED, RtmInput.LOGIN
        )


def test_mermaid_draws_one_arrow_for_each_pair_of_states() -> None:
    text = mermaid(RTM_TABLE)
    assert text.startswith("stateDiagram-v2\n    [*] --> DISCONNECTED\n")
    assert text.count("CONNECTED --> ABORTED") == 1
    assert "    CONNECTING --> CONNECTED: the server accepts the login\n" in text
    pairs = {(s.name, r.target.name) for (s, _), r in RTM_TABLE.rules.items() if s is not r.target}
    assert text.count("-->") == len(pairs) + 1
    assert mermaid(RTM_TABLE, loops=True).count("-->") > text.count("-->")


def test_dot_draws_the_same_edges() -> None:
    text = dot(RTM_TABLE)
    assert text.startswith('digraph "RTM connection" {\n')
    assert text.endswith("}\n")
    assert text.count(" -> ") == mermaid(RTM_TABLE).count("-->")


def test_rows_name_every_rule() -> None:
    assert len(rows(RTM_TABLE)) == len(RTM_TABLE.rules)
    assert ("CONNECTED", "4 s of silence", "let calls wait", "RECONNECTING") in rows(RTM_TABLE)
