"""The connection tables: every state with every input of each model, and the diagrams made from them."""

from enum import Enum
from itertools import product

import pytest

from rtmcore.codes import ConnectionChangeReason as Reason
from rtmcore.codes import ConnectionState as State
from rtmcore.codes import RoomErrorCode
from rtmcore.codes import RtcConnectionChangeReason as RtcReason
from rtmcore.codes import RtcConnectionState as Rtc
from rtmcore.connection.diagram import dot, mermaid, rows
from rtmcore.connection.model import Effect, Input, Model, SignalingState
from rtmcore.connection.policy import POLICIES, ROOM_POLICY, RTC_POLICY, RTM_POLICY
from rtmcore.connection.room import ROOM
from rtmcore.connection.rtc import RTC
from rtmcore.connection.rtm import RTM, RTM_TABLE
from rtmcore.errors import LocalProtocolError

MODELS = {"rtm": RTM, "rtc": RTC, "room": ROOM}

# The seventeen documented transitions: number, from, input, to, reason (None where the state stays).
DOCUMENTED = [
    (1, [State.DISCONNECTED], Input.LOGIN, State.CONNECTING, Reason.LOGIN),
    (2, [State.CONNECTING], Input.ACCEPTED, State.CONNECTED, Reason.LOGIN_SUCCESS),
    (3, [State.CONNECTING], Input.REFUSED, State.DISCONNECTED, Reason.LOGIN_FAILURE),
    (4, [State.CONNECTING], Input.LOGIN_TIMED_OUT, State.DISCONNECTED, Reason.LOGIN_TIMEOUT),
    (5, [State.CONNECTING], Input.LOGOUT, State.DISCONNECTED, Reason.LOGOUT),
    (6, [State.CONNECTED], Input.INTERRUPTED, State.RECONNECTING, Reason.INTERRUPTED),
    (7, [State.RECONNECTING], Input.RESUMED, State.CONNECTED, Reason.LOGIN_SUCCESS),
    (8, [State.RECONNECTING], Input.REJOINED, State.CONNECTED, Reason.LOGIN_SUCCESS),
    (9, [State.RECONNECTING], Input.ATTEMPT_FAILED, State.RECONNECTING, None),
    (10, [State.RECONNECTING], Input.TOKEN_EXPIRED, State.RECONNECTING, None),
    (11, [State.CONNECTED, State.RECONNECTING], Input.REMOTE_LOGIN, State.ABORTED, Reason.REMOTE_LOGIN),
    (12, [State.CONNECTED, State.RECONNECTING], Input.BANNED, State.ABORTED, Reason.BANNED_BY_SERVER),
    (13, [State.CONNECTED], Input.TOKEN_EXPIRED, State.ABORTED, Reason.TOKEN_EXPIRED),
    (
        14,
        [State.CONNECTED, State.RECONNECTING, State.ABORTED],
        Input.LOGOUT,
        State.DISCONNECTED,
        Reason.LOGOUT,
    ),
    (15, [State.ABORTED], Input.LOGIN, State.ABORTED, None),
    (16, [State.CONNECTING, State.CONNECTED, State.RECONNECTING], Input.LOGIN, None, None),
    (17, list(State), Input.LOGIN_TOO_OFTEN, None, None),
]

# The inputs by which a server refuses a client for good.
FINAL = [
    Input.REFUSED,
    Input.INVALID_APP_ID,
    Input.INVALID_NAME,
    Input.INVALID_TOKEN,
    Input.TOKEN_EXPIRED,
    Input.REMOTE_LOGIN,
    Input.BANNED,
]

Expected = dict[tuple[Enum, Input], tuple[Enum, Enum | None]]


def rtm() -> Expected:
    """Target and reason of each combination that may happen."""
    expected: Expected = {
        (source, given): (target or source, reason)
        for _, sources, given, target, reason in DOCUMENTED
        for source in sources
    }
    for given in (*FINAL, Input.LOGIN_FAILED):
        expected[State.CONNECTING, given] = (State.DISCONNECTED, Reason.LOGIN_FAILURE)
    # A login and a session on a silent transport also go on after an attempt has failed.
    for state in (State.CONNECTING, State.CONNECTED):
        expected[state, Input.ATTEMPT_FAILED] = (state, None)
    expected[State.RECONNECTING, Input.RENEWED] = (State.RECONNECTING, None)
    expected[State.CONNECTED, Input.KEEP_ALIVE_TIMED_OUT] = (State.RECONNECTING, Reason.INTERRUPTED)
    return expected


RTC_REASONS = {
    Input.REFUSED: RtcReason.REJECTED_BY_SERVER,
    Input.INVALID_APP_ID: RtcReason.INVALID_APP_ID,
    Input.INVALID_NAME: RtcReason.INVALID_CHANNEL_NAME,
    Input.INVALID_TOKEN: RtcReason.INVALID_TOKEN,
    Input.TOKEN_EXPIRED: RtcReason.TOKEN_EXPIRED,
    Input.REMOTE_LOGIN: RtcReason.SAME_UID_LOGIN,
    Input.BANNED: RtcReason.BANNED_BY_SERVER,
}


def rtc() -> Expected:
    expected: Expected = {
        (Rtc.DISCONNECTED, Input.LOGIN): (Rtc.CONNECTING, RtcReason.CONNECTING),
        (Rtc.CONNECTING, Input.ACCEPTED): (Rtc.CONNECTED, RtcReason.JOIN_SUCCESS),
        (Rtc.CONNECTING, Input.LOGIN_FAILED): (Rtc.FAILED, RtcReason.JOIN_FAILED),
        (Rtc.CONNECTING, Input.LOGIN_TIMED_OUT): (Rtc.FAILED, RtcReason.JOIN_FAILED),
        (Rtc.CONNECTING, Input.LOST): (Rtc.CONNECTING, None),
        (Rtc.CONNECTED, Input.INTERRUPTED): (Rtc.RECONNECTING, RtcReason.INTERRUPTED),
        (Rtc.CONNECTED, Input.KEEP_ALIVE_TIMED_OUT): (Rtc.RECONNECTING, RtcReason.KEEP_ALIVE_TIMEOUT),
        (Rtc.RECONNECTING, Input.LOST): (Rtc.RECONNECTING, RtcReason.LOST),
        (Rtc.RECONNECTING, Input.RENEWED): (Rtc.RECONNECTING, RtcReason.RENEW_TOKEN),
        (Rtc.RECONNECTING, Input.RESUMED): (Rtc.CONNECTED, RtcReason.REJOIN_SUCCESS),
        (Rtc.RECONNECTING, Input.REJOINED): (Rtc.CONNECTED, RtcReason.REJOIN_SUCCESS),
        (Rtc.RECONNECTING, Input.GAVE_UP): (Rtc.FAILED, RtcReason.JOIN_FAILED),
    }
    for state in (Rtc.CONNECTING, Rtc.CONNECTED, Rtc.RECONNECTING):
        expected |= {(state, given): (Rtc.FAILED, reason) for given, reason in RTC_REASONS.items()}
        expected[state, Input.ATTEMPT_FAILED] = (state, None)
    for state in Rtc:
        expected[state, Input.LOGIN_TOO_OFTEN] = (state, None)
        if state is not Rtc.DISCONNECTED:
            expected[state, Input.LOGIN] = (state, None)
            expected[state, Input.LOGOUT] = (Rtc.DISCONNECTED, RtcReason.LEAVE_CHANNEL)
    return expected


def room() -> Expected:
    new, connecting, connected, reconnecting, disconnected = SignalingState
    failed = RoomErrorCode.SIGNALING_CONNECTION
    interrupted = (reconnecting, RoomErrorCode.SIGNALING_CONNECTION_DISCONNECTED)
    expected: Expected = {
        (new, Input.LOGIN): (connecting, None),
        (connecting, Input.ACCEPTED): (connected, None),
        (connecting, Input.LOGIN_FAILED): (disconnected, failed),
        (connecting, Input.LOGIN_TIMED_OUT): (disconnected, failed),
        (connected, Input.INTERRUPTED): interrupted,
        (connected, Input.KEEP_ALIVE_TIMED_OUT): interrupted,
        (reconnecting, Input.RESUMED): (connected, None),
        (reconnecting, Input.REJOINED): (connected, None),
        (reconnecting, Input.RENEWED): (reconnecting, None),
        (reconnecting, Input.GAVE_UP): (disconnected, RoomErrorCode.SIGNALING_CONNECTION_TIMEOUT),
    }
    # A refused connect has the code that the server names.
    expected |= {(connecting, given): (disconnected, None) for given in FINAL}
    for state in (connected, reconnecting):
        expected |= {(state, given): (disconnected, failed) for given in FINAL}
        expected[state, Input.TOKEN_EXPIRED] = (disconnected, RoomErrorCode.ACCESS_TOKEN_EXPIRED)
        expected[state, Input.REMOTE_LOGIN] = (disconnected, RoomErrorCode.PARTICIPANT_DUPLICATE_IDENTITY)
        expected[state, Input.ATTEMPT_FAILED] = (state, None)
    for state in (connecting, connected, reconnecting):
        expected[state, Input.LOGOUT] = (disconnected, None)
    for state in SignalingState:
        expected[state, Input.LOGIN_TOO_OFTEN] = (state, None)
        if state is not new:
            expected[state, Input.LOGIN] = (state, None)
    return expected


EXPECTED = {"rtm": rtm(), "rtc": rtc(), "room": room()}
STATES: dict[str, type[Enum]] = {"rtm": State, "rtc": Rtc, "room": SignalingState}
PRODUCT = [(name, state, given) for name in MODELS for state, given in product(STATES[name], Input)]


@pytest.mark.parametrize(
    ("name", "state", "given"),
    PRODUCT,
    ids=[f"{name}-{state.name}-{given.name}" for name, state, given in PRODUCT],
)
def test_every_state_with_every_input(name: str, state: Enum, given: Input) -> None:
    model, expected = MODELS[name], EXPECTED[name]
    if (state, given) in expected:
        target, reason = expected[state, given]
        rule = model.table.rule(state, given)
        assert rule.target is target
        assert model.reasons.get(rule.effect) is reason
    else:
        with pytest.raises(LocalProtocolError, match=f"{given.name}.*{state.name}"):
            model.table.rule(state, given)


@pytest.mark.parametrize(
    ("number", "sources", "given", "target", "reason"), DOCUMENTED, ids=[str(row[0]) for row in DOCUMENTED]
)
def test_each_documented_transition_has_its_reason(
    number: int, sources: list[State], given: Input, target: State | None, reason: Reason | None
) -> None:
    for source in sources:
        rule = RTM_TABLE.rule(source, given)
        assert rule.target is (target or source)
        if reason is not None:
            assert RTM.reasons[rule.effect] is reason
        else:
            assert rule.target is source
            assert rule.effect not in RTM.reasons


@pytest.mark.parametrize("model", [RTM, RTC], ids=["rtm", "rtc"])
def test_a_reason_belongs_to_each_effect_that_changes_the_state(model: Model) -> None:
    changing = {r.effect for (state, _), r in model.table.rules.items() if r.target is not state}
    assert changing <= set(model.reasons)


def test_a_room_that_ends_says_why_unless_it_was_asked_to_or_refused_with_a_code() -> None:
    silent = {
        given
        for (_, given), rule in ROOM.table.rules.items()
        if rule.target is SignalingState.DISCONNECTED and rule.effect not in ROOM.reasons
    }
    assert silent == {*FINAL, Input.LOGOUT, Input.LOGIN, Input.LOGIN_TOO_OFTEN}


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_no_reason_belongs_to_an_effect_that_does_not_occur(model: Model) -> None:
    assert set(model.reasons) <= {rule.effect for rule in model.table.rules.values()}


def test_every_effect_and_input_occurs() -> None:
    rules = [item for model in MODELS.values() for item in model.table.rules.items()]
    assert {rule.effect for _, rule in rules} == set(Effect)
    assert {given for (_, given), _ in rules} == set(Input)


# Documented reasons that have no counterpart here: proxies, addresses, echo tests, broadcasters.
WITHOUT_COUNTERPART = {11, 13, 17, 18, 20}


def test_every_documented_rtc_reason_accompanies_its_documented_state() -> None:
    documented = {
        Rtc.DISCONNECTED: {5},
        Rtc.CONNECTING: {0},
        Rtc.CONNECTED: {1, 15},
        Rtc.RECONNECTING: {2, 12, 14, 16},
        Rtc.FAILED: {3, 4, 6, 7, 8, 9, 10, 19},
    }
    found: dict[Rtc, set[int]] = {state: set() for state in Rtc}
    for rule in RTC.table.rules.values():
        reason = RTC.reasons.get(rule.effect)
        if reason is not None:
            found[rule.target].add(int(reason))
    assert found == documented
    assert set().union(*documented.values()) | WITHOUT_COUNTERPART == {int(reason) for reason in RtcReason}


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_nothing_logs_in_by_itself_where_there_is_no_session(model: Model) -> None:
    for (state, given), rule in model.table.rules.items():
        if state is model.idle and rule.target is not state:
            assert given is Input.LOGIN
        if state is model.ended and rule.target is not state:
            assert given is Input.LOGOUT
            assert rule.target is model.idle


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_the_parts_of_a_model_are_its_five_states(model: Model) -> None:
    parts = {model.idle, model.connecting, model.connected, model.reconnecting, model.ended}
    assert parts == set(type(model.idle))


def test_aborted_always_comes_with_its_own_reasons() -> None:
    reasons = {
        RTM.reasons[rule.effect]
        for rule in RTM_TABLE.rules.values()
        if rule.target is State.ABORTED and rule.effect in RTM.reasons
    }
    assert reasons == {Reason.REMOTE_LOGIN, Reason.BANNED_BY_SERVER, Reason.TOKEN_EXPIRED}


def test_the_table_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        RTM_TABLE.rules[State.ABORTED, Input.LOGIN] = RTM_TABLE.rule(  # type: ignore[index]
            State.DISCONNECTED, Input.LOGIN
        )


def test_the_policies_have_the_documented_figures() -> None:
    assert (RTM_POLICY.login_timeout, RTM_POLICY.attempt_timeout) == (12, 6)
    assert (RTM_POLICY.lost_after, RTM_POLICY.give_up_after, RTM_POLICY.final_refusals) == (
        None,
        None,
        frozenset(),
    )
    assert (RTC_POLICY.login_timeout, RTC_POLICY.interrupted_after) == (10, 4)
    assert (RTC_POLICY.lost_after, RTC_POLICY.session_over_after, RTC_POLICY.give_up_after) == (10, 20, 1200)
    assert (ROOM_POLICY.login_timeout, ROOM_POLICY.login_attempts) == (15, 1)
    assert (ROOM_POLICY.interrupted_after, ROOM_POLICY.give_up_after) == (4, 30)
    assert {name: policy.model for name, policy in POLICIES.items()} == MODELS


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_mermaid_draws_one_arrow_for_each_pair_of_states(model: Model) -> None:
    text = mermaid(model.table)
    assert text.startswith(f"stateDiagram-v2\n    [*] --> {model.idle.name}\n")
    assert text.count("CONNECTED --> RECONNECTING") == 1
    assert "    CONNECTING --> CONNECTED: the server accepts the login\n" in text
    pairs = {(s.name, r.target.name) for (s, _), r in model.table.rules.items() if s is not r.target}
    assert text.count("-->") == len(pairs) + 1
    assert mermaid(model.table, loops=True).count("-->") > text.count("-->")


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_dot_draws_the_same_edges(model: Model) -> None:
    text = dot(model.table)
    assert text.startswith(f'digraph "{model.table.name}" {{\n')
    assert text.endswith("}\n")
    assert text.count(" -> ") == mermaid(model.table).count("-->")


def test_rows_name_every_rule() -> None:
    assert len(rows(RTM_TABLE)) == len(RTM_TABLE.rules)
    assert ("CONNECTED", "4 s of silence", "let calls wait", "RECONNECTING") in rows(RTM_TABLE)
