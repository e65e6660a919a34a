"""Every rate at its boundary, by a client that does not keep it: the last allowed call works, the next is refused."""

import pytest

from rtmcore.codes import (
    AttributeOperationError,
    ChannelMemberCountError,
    GetMembersError,
    PeerSubscriptionStatusError,
    QueryPeersBySubscriptionOptionError,
    QueryPeersOnlineError,
    RenewTokenError,
    SendChannelMessageError,
    SendPeerMessageError,
)
from rtmcore.figures import RATES
from rtmcore.limits import PRESENCE_QUERY_USERS, SERVER_RATE_BURST, RateLimit
from rtmcore.service.config import NodeConfig
from rtmcore.wire.packets import (
    Failed,
    FlushStored,
    GetAttributes,
    GetChannelAttributes,
    GetMemberCounts,
    GetMembers,
    GetStored,
    GetSubscriptions,
    Publish,
    QueryHistory,
    QueryOnline,
    RenewToken,
    SendPeer,
    SetAttributes,
    SetChannelAttributes,
    Subscribe,
    Unsubscribe,
    UpdateAttributes,
    UpdateChannelAttributes,
)
from tests.service.wires import SETTLE

USERS, COUNTS = ["bob"], ["ops"]

CALLS = [
    ("send", [lambda i: SendPeer(i, "bob", 2, b"")], SendPeerMessageError.TOO_OFTEN),
    ("send", [lambda i: Publish(i, "ops", 2, b"")], SendChannelMessageError.TOO_OFTEN),
    ("members", [lambda i: GetMembers(i, "ops")], GetMembersError.TOO_OFTEN),
    ("counts", [lambda i: GetMemberCounts(i, COUNTS)], ChannelMemberCountError.TOO_OFTEN),
    ("renew", [lambda i: RenewToken(i, "good")], RenewTokenError.TOO_OFTEN),
    ("subscribe", [lambda i: Subscribe(i, USERS)], PeerSubscriptionStatusError.TOO_OFTEN),
    ("unsubscribe", [lambda i: Unsubscribe(i, USERS)], PeerSubscriptionStatusError.TOO_OFTEN),
    ("subscriptions", [GetSubscriptions], QueryPeersBySubscriptionOptionError.TOO_OFTEN),
    ("query", [lambda i: QueryOnline(i, USERS)], QueryPeersOnlineError.TOO_OFTEN),
    (
        "attributes_write",
        [lambda i: SetAttributes(i, {}), lambda i: UpdateAttributes(i, {"a": "b"})],
        AttributeOperationError.TOO_OFTEN,
    ),
    (
        "attributes_read",
        [lambda i: GetAttributes(i, "alice"), lambda i: GetAttributes(i, "alice", ["a"])],
        AttributeOperationError.TOO_OFTEN,
    ),
    (
        "channel_attributes_write",
        [
            lambda i: SetChannelAttributes(i, "ops", {}),
            lambda i: UpdateChannelAttributes(i, "ops", {"a": "b"}),
        ],
        AttributeOperationError.TOO_OFTEN,
    ),
    (
        "channel_attributes_read",
        [lambda i: GetChannelAttributes(i, "ops"), lambda i: GetChannelAttributes(i, "ops", ["a"])],
        AttributeOperationError.TOO_OFTEN,
    ),
    ("stored", [GetStored], QueryPeersOnlineError.TOO_OFTEN),
    ("flush", [FlushStored], QueryPeersOnlineError.TOO_OFTEN),
    ("history", [lambda i: QueryHistory(i, source="alice")], QueryPeersOnlineError.TOO_OFTEN),
]
IDS = [f"{name}-{number}" for number, (name, _, _) in enumerate(CALLS)]


def answers(wire, number):
    """What the requests from a number on were answered with."""
    return {packet.i: packet for packet in wire.heard if getattr(packet, "i", 0) >= number}


def call(wire, requests, times):
    numbers = [wire.next_request() for _ in range(times)]
    for place, number in enumerate(numbers):
        wire.say(requests[place % len(requests)](number))
    return numbers


def test_every_rate_is_tried_here_or_with_logins_and_joins():
    assert {name for name, _, _ in CALLS} | {"login", "join", "join_same"} == set(RATES)


@pytest.mark.parametrize(("name", "requests", "code"), CALLS, ids=IDS)
def test_the_last_allowed_call_works_and_the_next_is_refused(world, name, requests, code):
    rate = RATES[name]
    alice = world.login("alice")
    world.login("bob")
    alice.join("ops")
    world.pass_time(2 * rate.seconds)
    numbers = call(alice, requests, SERVER_RATE_BURST * rate.count)
    (over,) = call(alice, requests, 1)
    world.settle()
    refused = {packet.i: packet for packet in alice.all_of(Failed)}
    assert set(refused) == {over}
    assert refused[over].code == code
    retry = refused[over].retry
    assert retry == pytest.approx(1000 * rate.seconds / rate.count, abs=1)
    world.pass_time(retry / 1000)
    (again,) = call(alice, requests, 1)
    world.pass_time(11)
    answered = answers(alice, numbers[0])
    assert set(answered) == {*numbers, over, again}
    too_often = [i for i, packet in answered.items() if isinstance(packet, Failed) and packet.code == code]
    assert too_often == [over]


@pytest.mark.parametrize(("name", "requests", "code"), CALLS, ids=IDS)
def test_a_rate_may_be_configured_by_itself(make_world, name, requests, code):
    world = make_world(config=NodeConfig(node="n1", rates={name: RateLimit(3, 60.0)}))
    alice = world.login("alice")
    assert (alice.welcome.limits[f"rate_{name}"], alice.welcome.limits[f"rate_{name}_ms"]) == (3, 60_000)
    numbers = call(alice, requests, 8)
    world.settle()
    refused = [packet for packet in alice.all_of(Failed) if packet.code == code]
    assert [packet.i for packet in refused] == numbers[6:]
    assert all("3 in 60 s" in packet.text for packet in refused)


def test_without_limits_the_welcome_says_so(make_world):
    world = make_world(config=NodeConfig(node="n1", rate_limits=False))
    alice = world.login("alice")
    assert {alice.welcome.limits[f"rate_{name}"] for name in RATES} == {0}
    call(alice, [GetStored], 100)
    world.pass_time(SETTLE)
    assert alice.all_of(Failed) == []


def test_a_query_names_as_many_users_as_it_may(world):
    alice = world.login("alice")
    world.login("bob")
    most = ["bob", *(f"user-{n}" for n in range(PRESENCE_QUERY_USERS - 1))]
    for users, code in ((most, None), ([*most, "more"], 2), ([], 2), (["*"], 2)):
        number = alice.next_request()
        alice.say(QueryOnline(number, users))
        world.pass_time(SETTLE)
        answer = answers(alice, number)[number]
        if code is None:
            assert answer.states == {user: 0 if user == "bob" else 2 for user in most}
        else:
            assert answer.code == code


def test_who_subscribed_to_whom_is_told(world):
    alice = world.login("alice")
    for request, expected in (
        (lambda i: Subscribe(i, ["carol", "bob"]), {"bob", "carol"}),
        (lambda i: Unsubscribe(i, ["carol"]), {"bob"}),
    ):
        call(alice, [request], 1)
        (number,) = call(alice, [GetSubscriptions], 1)
        world.pass_time(SETTLE)
        assert set(answers(alice, number)[number].users) == expected


def test_a_token_may_forbid_to_see_who_is_online(world):
    alice = world.login("alice", token="no presence")
    (subscribe,) = call(alice, [lambda i: Subscribe(i, USERS)], 1)
    (query,) = call(alice, [lambda i: QueryOnline(i, USERS)], 1)
    world.pass_time(SETTLE)
    assert answers(alice, subscribe)[subscribe].code == PeerSubscriptionStatusError.FAILURE
    assert answers(alice, query)[query].code == QueryPeersOnlineError.FAILURE
