"""The tables of the node, over their full product, and the small rules that stand by themselves."""

import itertools
import math
import typing

import pytest

from rtmcore.errors import InvalidToken, LocalProtocolError
from rtmcore.figures import RATES
from rtmcore.limits import LOGIN_RATE, SERVER_RATE_BURST, RateLimit
from rtmcore.service.admission import Doorway, NameRates, SessionRates, TokenBucket
from rtmcore.service.commands.names import KINDS, Name
from rtmcore.service.config import ANNOUNCED_LIMITS, NodeConfig
from rtmcore.service.connections import PHASES, RECEIVABLE, Connection, Cue, Effect, Phase
from rtmcore.service.desk import OPERATIONS
from rtmcore.service.grants import Grant
from rtmcore.service.kinds import KEEPALIVES, SERVED
from rtmcore.wire import packets
from rtmcore.wire.packets import Beat, Request, Unknown

CLIENT_PACKETS = {
    packets.Hello,
    packets.Bye,
    packets.Beat,
    packets.Floor,
    packets.Ack,
    packets.Sync,
    *typing.get_args(Request),
    packets.MediaHello,
    packets.Data,
    packets.Unknown,
}


@pytest.mark.parametrize(("phase", "cue"), list(itertools.product(Phase, Cue)), ids=lambda value: value.name)
def test_every_cue_in_every_phase(phase, cue):
    connection = Connection(1, "10.0.0.1", set(), 0.0)
    connection.phase = phase
    if (phase, cue) in PHASES:
        connection.advance(cue)
        assert connection.phase is PHASES[phase, cue]
    else:
        with pytest.raises(LocalProtocolError, match=cue.value):
            connection.advance(cue)
        assert connection.phase is phase


def test_every_phase_is_reached_and_left():
    assert {*PHASES.values(), Phase.HTTP} == set(Phase)
    for phase in Phase:
        following = {to for (where, _), to in PHASES.items() if where is phase}
        if phase is Phase.FINISHED:
            assert not following
        else:
            assert following & {Phase.CLOSING, Phase.FINISHED}


def test_every_phase_says_what_may_be_received():
    assert set(RECEIVABLE) == set(Phase)
    for phase, table in RECEIVABLE.items():
        assert set(table) <= CLIENT_PACKETS, "what only a server says is malformed everywhere"
        if phase not in (Phase.HTTP, Phase.SERVING, Phase.TRANSFERRING):
            assert table[Beat] is Effect.IGNORE
            assert Unknown in table
    assert {effect for table in RECEIVABLE.values() for effect in table.values()} == set(Effect)
    for phase in (Phase.RESTORING, Phase.LIVE):
        assert {kind for kind, effect in RECEIVABLE[phase].items() if effect is Effect.REQUEST} == set(
            typing.get_args(Request)
        )


def test_every_phase_says_what_a_hello_and_a_frame_are_in_it():
    effects = {
        phase: (table.get(packets.MediaHello), table.get(packets.Data)) for phase, table in RECEIVABLE.items()
    }
    assert effects == {
        Phase.HTTP: (None, None),
        Phase.SERVING: (None, None),
        Phase.TRANSFERRING: (None, None),
        Phase.GREETING: (Effect.ATTACH, None),
        Phase.CLAIMING: (None, None),
        Phase.RESTORING: (None, Effect.SEND_DATA),
        Phase.LIVE: (None, Effect.SEND_DATA),
        Phase.ATTACHING: (None, None),
        Phase.MEDIA: (None, Effect.SEND_DATA),
        **dict.fromkeys((Phase.LEAVING, Phase.CLOSING, Phase.FINISHED), (Effect.IGNORE, Effect.IGNORE)),
    }


@pytest.mark.parametrize(
    ("phase", "kind"),
    list(itertools.product(Phase, sorted(packets.TAGS.values(), key=lambda kind: kind.__name__))),
    ids=lambda value: getattr(value, "name", None) or value.__name__,
)
def test_every_packet_in_every_phase(phase, kind):
    """What is said of a packet in a phase, or that it is malformed there; nothing in between."""
    effect = RECEIVABLE[phase].get(kind)
    if kind not in CLIENT_PACKETS or phase in (Phase.HTTP, Phase.SERVING):
        assert effect is None
    elif phase in (Phase.LEAVING, Phase.CLOSING, Phase.FINISHED):
        assert effect is Effect.IGNORE
    elif kind in typing.get_args(Request):
        assert effect is (Effect.REQUEST if phase in (Phase.RESTORING, Phase.LIVE) else None)


def test_every_request_has_its_codes():
    assert set(OPERATIONS) == set(typing.get_args(Request))


def test_every_kind_says_what_may_be_asked_and_has_a_keepalive():
    assert set(SERVED) == set(KEEPALIVES) == set(KINDS)
    assert SERVED["rtm"] == set(typing.get_args(Request))
    for kind in KINDS:
        assert SERVED[kind] <= set(typing.get_args(Request))
    assert KEEPALIVES == {"rtm": 30.0, "room": 30.0, "rtc": 20.0}


def test_every_announced_limit_is_a_positive_number():
    assert all(isinstance(value, int) and value > 0 for value in ANNOUNCED_LIMITS.values())


@pytest.mark.parametrize(
    "wrong",
    [
        {"durability": "hope"},
        {"token_policy": "maybe"},
        {"rate_factor": 0},
        {"rate_factor": -1},
        {"rates": {"sends": RateLimit(1, 1.0)}},
        {"rates": {"send": RateLimit(0, 1.0)}},
        {"rates": {"send": RateLimit(1, 0.0)}},
        {"rates": {"send": RateLimit(1, math.inf)}},
    ],
)
def test_settings_are_checked_at_once(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        NodeConfig(node="n1", **wrong)


# --- Grants -----------------------------------------------------------------------------


def test_a_token_without_scopes_permits_everything():
    grant = Grant()
    assert grant.login
    assert grant.peers
    assert grant.may_join("room")
    assert grant.may_publish("room")


def test_scopes_permit_what_they_name_and_nothing_else():
    grant = Grant.from_scopes(
        {"login": True, "send": ["p2p", "ch:room-*", "ch:hall"], "join": ["*"], "new": 1}, expires=5
    )
    assert (grant.expires, grant.login, grant.peers) == (5, True, True)
    assert grant.may_publish("room-1")
    assert grant.may_publish("hall")
    assert not grant.may_publish("halls")
    assert not grant.may_publish("p2p")
    assert grant.may_join("anything")
    empty = Grant.from_scopes({})
    assert not any((empty.login, empty.peers, empty.may_join("a"), empty.may_publish("a")))


@pytest.mark.parametrize(
    "scopes",
    [{"login": "yes"}, {"login": 1}, {"send": "p2p"}, {"send": [1]}, {"join": None}, {"join": {"a": 1}}],
)
def test_malformed_scopes_are_no_permission(scopes):
    with pytest.raises(InvalidToken):
        Grant.from_scopes(scopes)


@pytest.mark.parametrize(
    ("pattern", "name", "matches"),
    [
        ("room", "room", True),
        ("room", "rooms", False),
        ("*", "", True),
        ("*", "x", True),
        ("room-*", "room-", True),
        ("room-*", "a room-1", False),
        ("*-room", "my-room", True),
        ("*-room", "my-room-", False),
        ("a*b*c", "abc", True),
        ("a*b*c", "a-b-b-c", True),
        ("a*b*c", "acb", False),
        ("a*a", "a", False),
        ("a*a", "aa", True),
        ("**", "anything", True),
        ("a?[b]", "a?[b]", True),
        ("a?[b]", "axb", False),
    ],
)
def test_patterns(pattern, name, matches):
    assert Grant(join=(pattern,)).may_join(name) is matches


# --- Rates --------------------------------------------------------------------------------


def test_a_bucket_holds_twice_the_count_and_fills_up_at_the_mean():
    bucket = TokenBucket(RateLimit(3, 2.0))
    assert sum(_admitted(bucket, 7.0) for _ in range(100)) == 3 * SERVER_RATE_BURST
    assert bucket.wait(7.0) == pytest.approx(2 / 3)
    assert not _admitted(bucket, 7.6)
    assert _admitted(bucket, 7.0 + 2 / 3)
    assert not _admitted(bucket, 7.7)
    assert not bucket.is_full(10.0)
    assert bucket.is_full(12.0)
    assert sum(_admitted(bucket, 1000.0) for _ in range(100)) == 3 * SERVER_RATE_BURST


@pytest.mark.parametrize("now", [0.0, 1e-3, 12345.678, 1e9 + 0.1])
@pytest.mark.parametrize("rate", RATES.values(), ids=RATES)
def test_what_a_bucket_asks_for_is_enough(rate, now):
    """Whoever waits as long as he is told to has room, whatever the sums are rounded to."""
    bucket = TokenBucket(rate)
    for _ in range(SERVER_RATE_BURST * rate.count):
        assert _admitted(bucket, now)
    for _ in range(20):
        wait = bucket.wait(now)
        assert 0 < wait <= rate.seconds / rate.count + 1e-6
        now += wait
        assert _admitted(bucket, now)


@pytest.mark.parametrize("rate", RATES.values(), ids=RATES)
@pytest.mark.parametrize("delay", [0.0, 0.4, 0.9])
def test_a_client_inside_its_window_is_never_refused_because_its_calls_bunched_up(rate, delay):
    bucket = TokenBucket(rate)
    for window in range(10):
        begin = window * rate.seconds
        late = delay * rate.seconds if window % 2 else 0.0
        assert all(_admitted(bucket, begin + late) for _ in range(rate.count))


def test_a_factor_raises_the_count_and_never_below_one():
    assert NodeConfig(node="n1", rate_factor=2.5).all_rates["login"] == RateLimit(5, 1.0)
    assert NodeConfig(node="n1", rate_factor=0.1).all_rates["login"] == RateLimit(1, 1.0)


def test_rates_are_configured_one_by_one_and_announced():
    rate = RateLimit(7, 0.25)
    config = NodeConfig(node="n1", rates={"send": rate}, rate_factor=2)
    assert config.all_rates["send"] == rate
    assert config.all_rates["join"] == RateLimit(100, 3.0)
    announced = config.announced_limits
    assert (announced["rate_send"], announced["rate_send_ms"]) == (7, 250)
    assert (announced["rate_join"], announced["rate_join_ms"]) == (100, 3000)
    assert set(announced) == set(ANNOUNCED_LIMITS)
    assert NodeConfig(node="n1").announced_limits == ANNOUNCED_LIMITS
    assert NodeConfig(node="n1", rate_limits=False).announced_limits["rate_send"] == 0


def _admitted(bucket: TokenBucket, now: float) -> bool:
    if bucket.wait(now):
        return False
    bucket.admit(now)
    return True


def test_the_logins_of_the_past_are_forgotten():
    rates = NameRates(LOGIN_RATE)
    for index in range(1000):
        assert rates.admit(Name("a", "rtm", f"user-{index}"), index / 10) == 0
    assert len(rates._buckets) <= 21
    name = Name("a", "rtm", "alice")
    waits = [rates.admit(name, 200.0) for _ in range(SERVER_RATE_BURST * LOGIN_RATE.count + 1)]
    assert waits == [0, 0, 0, 0, pytest.approx(LOGIN_RATE.seconds / LOGIN_RATE.count)]


def test_the_joins_of_the_past_are_forgotten():
    rates = SessionRates(RATES)
    for index in range(10_000):
        bucket = rates.joins_of(f"room-{index}", index / 10)
        bucket.admit(index / 10)
    assert len(rates._channels) <= 260


def test_the_doorway_counts_out_whom_it_counted_in():
    doorway = Doorway()
    for address in ("a", "b", "a"):
        doorway.enter(address)
    assert len(doorway) == 3
    for address in ("a", "a", "b"):
        doorway.leave(address)
    assert len(doorway) == 0
    assert not doorway._by_address
