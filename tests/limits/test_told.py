"""What a welcome tells of limits: the client keeps it, and the documented figures where it says nothing."""

import contextlib
import sys
from collections.abc import Callable
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtmcore import limits
from rtmcore.client.batching import request_size
from rtmcore.client.calling import OutgoingInvitation
from rtmcore.codes import (
    AttributeOperationError,
    ChannelMemberCountError,
    ConnectionState,
    InvitationApiCallError,
    JoinChannelError,
    MessageType,
    PeerSubscriptionStatusError,
    QueryPeersOnlineError,
    SendChannelMessageError,
    SendPeerMessageError,
)
from rtmcore.errors import LimitExceeded, RtmError
from rtmcore.figures import DOCUMENTED, RATES, SIZES_MAX, Figures, Sizes, announced_rates, announced_sizes
from rtmcore.limits import RATE_COUNT_MAX, RATE_SECONDS_MAX, RateLimit
from rtmcore.service.config import ANNOUNCED_LIMITS
from rtmcore.wire.packets import Done, Join, Joined, Packet
from tests.core.wires import Bench, Connection, Server, welcome
from tests.limits.rows import full

TEXT, RAW = MessageType.TEXT, MessageType.RAW


class Porter(Server):
    """Lets everybody into channels, and says that all else is done."""

    answers = True

    def packet(self, connection: Connection, packet: Packet) -> None:
        super().packet(connection, packet)
        if isinstance(packet, Join):
            connection.send(Joined(packet.i, 0))
        elif self.answers and hasattr(packet, "i"):
            connection.send(Done(packet.i))


def online(figures: dict[str, Any] | None = None) -> Bench:
    server = Porter()
    server.figures["limits"] = {"frame": 262144, **(figures or {})}
    bench = Bench(server).online()
    bench.core.join("ops", now=bench.now)
    bench.turn()
    return bench


Call = Callable[[Any, Any, float], Any]
"""With a client core, so many bytes or whatever, and the time."""

SIZES: list[tuple[str, int, Call, Any]] = [
    (
        "message",
        100,
        lambda core, n, now: core.send_peer("bob", TEXT, b"x" * n, now=now),
        SendPeerMessageError.INVALID_MESSAGE,
    ),
    (
        "message",
        100,
        lambda core, n, now: core.send_peer("bob", RAW, b"x" * (n - 2), description="é", now=now),
        SendPeerMessageError.INVALID_MESSAGE,
    ),
    (
        "message",
        100,
        lambda core, n, now: core.publish("ops", TEXT, b"x" * n, now=now),
        SendChannelMessageError.INVALID_MESSAGE,
    ),
    (
        "message",
        131_072,
        lambda core, n, now: core.publish("ops", RAW, b"x" * n, now=now),
        SendChannelMessageError.INVALID_MESSAGE,
    ),
    (
        "user_id",
        8,
        lambda core, n, now: core.send_peer("x" * n, TEXT, b"", now=now),
        SendPeerMessageError.INVALID_USER_ID,
    ),
    (
        "user_id",
        8,
        lambda core, n, now: core.users.subscribe(["x" * n], now=now),
        PeerSubscriptionStatusError.INVALID_ARGUMENT,
    ),
    (
        "user_id",
        8,
        lambda core, n, now: core.users.query(["x" * n], now=now),
        QueryPeersOnlineError.INVALID_ARGUMENT,
    ),
    (
        "user_id",
        8,
        lambda core, n, now: core.users.get_attributes("x" * n, now=now),
        AttributeOperationError.INVALID_ARGUMENT,
    ),
    (
        "user_id",
        8,
        lambda core, n, now: core.history.query(source="x" * n, now=now),
        QueryPeersOnlineError.INVALID_ARGUMENT,
    ),
    ("channel_id", 8, lambda core, n, now: core.join("x" * n, now=now), JoinChannelError.INVALID_ARGUMENT),
    (
        "channel_id",
        8,
        lambda core, n, now: core.channel_info.clear_attributes("x" * n, now=now),
        AttributeOperationError.INVALID_ARGUMENT,
    ),
    (
        "channel_id",
        8,
        lambda core, n, now: core.channel_info.count_members(["x" * n], now=now),
        ChannelMemberCountError.INVALID_ARGUMENT,
    ),
    (
        "channel_id",
        8,
        lambda core, n, now: core.history.count(channel="x" * n, now=now),
        QueryPeersOnlineError.INVALID_ARGUMENT,
    ),
    (
        "attribute_key",
        8,
        lambda core, n, now: core.users.set_attributes({"k" * n: "v"}, now=now),
        AttributeOperationError.INVALID_ARGUMENT,
    ),
    (
        "attribute_key",
        8,
        lambda core, n, now: core.channel_info.delete_attributes("a", ["k" * n], now=now),
        AttributeOperationError.INVALID_ARGUMENT,
    ),
    (
        "attribute_value",
        8,
        lambda core, n, now: core.users.set_attributes({"k": "v" * n}, now=now),
        AttributeOperationError.SIZE_OVERFLOW,
    ),
    (
        "attribute_value",
        10_000,
        lambda core, n, now: core.channel_info.set_attributes("a", {"k": "v" * n}, now=now),
        AttributeOperationError.SIZE_OVERFLOW,
    ),
    (
        "attributes",
        3,
        lambda core, n, now: core.users.set_attributes(full(n, 30), now=now),
        AttributeOperationError.SIZE_OVERFLOW,
    ),
    (
        "attributes",
        100,
        lambda core, n, now: core.users.update_attributes(full(n, 2000), now=now),
        AttributeOperationError.SIZE_OVERFLOW,
    ),
    (
        "attributes",
        3,
        lambda core, n, now: core.users.get_attributes("bob", [f"{k}" for k in range(n)], now=now),
        AttributeOperationError.SIZE_OVERFLOW,
    ),
    (
        "attributes_bytes",
        30,
        lambda core, n, now: core.users.set_attributes(full(3, n), now=now),
        AttributeOperationError.SIZE_OVERFLOW,
    ),
    (
        "attributes_bytes",
        20_000,
        lambda core, n, now: core.users.update_attributes(full(30, n), now=now),
        AttributeOperationError.SIZE_OVERFLOW,
    ),
    (
        "channel_attributes",
        3,
        lambda core, n, now: core.channel_info.set_attributes("a", full(n, 30), now=now),
        AttributeOperationError.SIZE_OVERFLOW,
    ),
    (
        "channel_attributes_bytes",
        30,
        lambda core, n, now: core.channel_info.update_attributes("a", full(3, n), now=now),
        AttributeOperationError.SIZE_OVERFLOW,
    ),
    (
        "count_channels",
        3,
        lambda core, n, now: core.channel_info.count_members([f"{k}" for k in range(n)], now=now),
        ChannelMemberCountError.EXCEED_LIMIT,
    ),
    (
        "query_users",
        3,
        lambda core, n, now: core.users.query([f"{k}" for k in range(n)], now=now),
        QueryPeersOnlineError.INVALID_ARGUMENT,
    ),
    (
        "query_users",
        1000,
        lambda core, n, now: core.users.query([f"{k}" for k in range(n)], now=now),
        QueryPeersOnlineError.INVALID_ARGUMENT,
    ),
    (
        "subscriptions",
        3,
        lambda core, n, now: core.users.subscribe([f"{k}" for k in range(n)], now=now),
        PeerSubscriptionStatusError.OVERFLOW,
    ),
    (
        "subscriptions",
        3,
        lambda core, n, now: [core.users.subscribe([f"{k}"], now=now) for k in range(n)],
        PeerSubscriptionStatusError.OVERFLOW,
    ),
    (
        "channels",
        3,
        lambda core, n, now: [core.join(f"{k}", now=now) for k in range(n - 1)],
        JoinChannelError.EXCEED_LIMIT,
    ),
    (
        "channels",
        40,
        lambda core, n, now: [core.join(f"{k}", now=now) for k in range(n - 1)],
        JoinChannelError.EXCEED_LIMIT,
    ),
    (
        "invitation_content",
        8,
        lambda core, n, now: core.invitations.send(_invitation("x" * n), now),
        InvitationApiCallError.INVALID_ARGUMENT,
    ),
]


def _invitation(content: str) -> Any:
    return OutgoingInvitation("bob", content=content)


@pytest.mark.parametrize(
    ("name", "most", "call", "code"), SIZES, ids=[f"{n}-{row[0]}" for n, row in enumerate(SIZES)]
)
def test_the_client_keeps_the_figure_that_is_told(name: str, most: int, call: Call, code: Any) -> None:
    bench = online({name: most})
    call(bench.core, most, bench.now)
    bench.turn()
    bench = online({name: most})
    with pytest.raises(RtmError) as caught:
        call(bench.core, most + 1, bench.now)
    assert caught.value.code is code
    assert str(most) in str(caught.value)
    assert bench.core.state is ConnectionState.CONNECTED


def test_every_size_that_is_told_is_kept() -> None:
    tried = {row[0] for row in SIZES}
    elsewhere = {
        "file": "files: tests/core/test_client_transfers.py",
        "in_flight": "test_requests_in_flight",
        "invitation_response": "test_the_response_to_an_invitation",
        "member_events": "what is told of large channels: tests/core/test_client_channels.py",
        "track": "rooms: tests/core/test_room_core.py",
        "transfers": "files: tests/core/test_client_transfers.py",
    }
    names = {field.name for field in attrs.fields(Sizes)}
    assert names == tried | elsewhere.keys() == SIZES_MAX.keys()
    assert names <= ANNOUNCED_LIMITS.keys()
    assert announced_sizes(ANNOUNCED_LIMITS) is DOCUMENTED


@pytest.mark.parametrize("most", [5, None])
def test_requests_in_flight(most: int | None) -> None:
    bench = online({} if most is None else {"in_flight": most})
    bench.server.answers = False  # type: ignore[attr-defined]
    most = most or limits.REQUESTS_IN_FLIGHT
    for _ in range(most):
        bench.core.members("ops", now=bench.now)
    with pytest.raises(LimitExceeded) as caught:
        bench.core.members("ops", now=bench.now)
    assert f"at most {most} may" in str(caught.value)
    bench.run(limits.OPERATION_TIMEOUT)
    bench.core.members("ops", now=bench.now)


def test_bytes_in_flight() -> None:
    bench = online()
    bench.server.answers = False  # type: ignore[attr-defined]
    body = b"x" * limits.MESSAGE_BYTES
    sent = limits.OUTBOUND_BYTES // request_size(body)
    for _ in range(sent):
        bench.core.publish("ops", RAW, body, now=bench.now)
    with pytest.raises(LimitExceeded) as caught:
        bench.core.publish("ops", RAW, body, now=bench.now)
    assert f"at most {limits.OUTBOUND_BYTES}" in str(caught.value)
    assert bench.core.state is ConnectionState.CONNECTED


def test_before_the_first_welcome_the_documented_figures_hold() -> None:
    assert Figures().sizes == Sizes()
    assert Figures().rates == RATES
    bench = Bench(Porter())
    assert bench.core.sizes is DOCUMENTED


def test_another_welcome_replaces_all_figures() -> None:
    bench = online({"message": 10, "channels": 2})
    assert (bench.core.sizes.message, bench.core.sizes.channels) == (10, 2)
    bench.server.figures["limits"] = {"message": 20}
    bench.reset()
    bench.turn()
    assert bench.core.sizes == Sizes(message=20)
    bench.server.figures["limits"] = {}
    bench.run(2.0)
    bench.reset()
    bench.turn()
    assert bench.core.sizes is DOCUMENTED


def test_what_there_is_already_stays_where_the_server_allows_less_than_before() -> None:
    bench = online()
    for number in range(9):
        bench.core.join(f"channel-{number}", now=bench.now)
    bench.core.users.set_attributes({"k": "v" * 100}, now=bench.now)
    bench.turn()
    bench.server.figures["limits"] = {"channels": 3, "attributes_bytes": 10}
    bench.reset()
    bench.turn()
    assert len(bench.core.channels) == 10
    with pytest.raises(LimitExceeded):
        bench.core.join("more", now=bench.now)
    for number in range(8):
        bench.core.leave(f"channel-{number}", now=bench.now)
    bench.turn()
    bench.core.join("more", now=bench.now)


# --- Figures that make no sense ------------------------------------------------------------------------------------

HUGE = [2**33, 2**53, 2**63 - 1, 2**64 - 1, sys.maxsize]


@pytest.mark.parametrize("value", [0, -1, -(2**63)])
@pytest.mark.parametrize("name", SIZES_MAX)
def test_sizes_below_one_leave_the_documented_ones(name: str, value: int) -> None:
    assert announced_sizes({name: value}) is DOCUMENTED


@pytest.mark.parametrize("value", HUGE)
def test_sizes_are_bounded(value: int) -> None:
    assert attrs.asdict(announced_sizes(dict.fromkeys(SIZES_MAX, value))) == SIZES_MAX


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({}, RATES["send"]),
        ({"rate_send": 0}, None),
        ({"rate_send": 0, "rate_send_ms": -5}, None),
        ({"rate_send": 7}, RateLimit(7, 3.0)),
        ({"rate_send_ms": 500}, RATES["send"]),
        ({"rate_send": -7, "rate_send_ms": 500}, RATES["send"]),
        ({"rate_send": 7, "rate_send_ms": 0}, RATES["send"]),
        ({"rate_send": 7, "rate_send_ms": -1}, RATES["send"]),
        ({"rate_send": 7, "rate_send_ms": 1}, RateLimit(7, 0.001)),
        ({"rate_send": 2**63, "rate_send_ms": 2**63}, RateLimit(RATE_COUNT_MAX, RATE_SECONDS_MAX)),
    ],
)
def test_rates_that_are_told_in_part_or_make_no_sense(
    told: dict[str, int], expected: RateLimit | None
) -> None:
    assert announced_rates(told) == {**RATES, "send": expected}


_NUMBERS = st.one_of(st.integers(-2, 3), st.integers(-(2**63), 2**64 - 1), st.sampled_from(HUGE))
_NAMES = [*sorted(ANNOUNCED_LIMITS), "unknown", "", "rate_", "rate_unknown", "rate__ms"]


@settings(max_examples=150, deadline=None)
@given(told=st.dictionaries(st.sampled_from(_NAMES), _NUMBERS, max_size=12), waits=st.booleans())
def test_no_figures_break_a_client(told: dict[str, int], waits: bool) -> None:
    server = Porter()
    server.figures["limits"] = told
    assert welcome(limits=told).limits == told
    bench = Bench(server, rate_limits=True, on_rate_limit="wait" if waits else "raise").online()
    for step in (
        lambda: bench.core.join("ops", now=bench.now),
        *(lambda: bench.core.publish("ops", RAW, b"x" * 40_000, now=bench.now) for _ in range(3)),
        lambda: bench.core.send_peer("bob", TEXT, b"x", now=bench.now),
        lambda: bench.core.users.set_attributes({"k": "v"}, now=bench.now),
        lambda: bench.core.users.subscribe([f"user-{n}" for n in range(600)], now=bench.now),
        lambda: bench.core.channel_info.count_members(["a", "b"], now=bench.now),
    ):
        with contextlib.suppress(RtmError):
            step()
        bench.run(0.1)
    bench.reset()
    bench.run(30.0)
    assert bench.core.state is ConnectionState.CONNECTED
    assert not bench.core._requests.next_deadline(), "everything has ended"
    bench.core.logout(bench.now)
    bench.run(2.0)
    assert bench.core.state is ConnectionState.DISCONNECTED
