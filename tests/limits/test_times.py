"""The total time of every call, exactly: an answer just inside it counts, and one instant later it is over."""

from collections.abc import Callable
from enum import IntEnum
from typing import Any

import pytest

from rtmcore import codes, limits
from rtmcore.codes import MessageType
from rtmcore.errors import RequestTimeout
from rtmcore.wire.packets import Done, Join, Joined, Packet
from tests.core.wires import Bench, Connection, Server

TEXT = MessageType.TEXT
ATTRIBUTES, QUERY = codes.AttributeOperationError.TIMEOUT, codes.QueryPeersOnlineError.TIMEOUT
SUBSCRIPTION = codes.PeerSubscriptionStatusError.TIMEOUT
Call = Callable[[Any, float], Any]

CALLS: list[tuple[str, Call, IntEnum]] = [
    (
        "SEND_TIMEOUT",
        lambda core, now: core.send_peer("bob", TEXT, b"x", now=now),
        codes.SendPeerMessageError.TIMEOUT,
    ),
    (
        "SEND_TIMEOUT",
        lambda core, now: core.publish("ops", TEXT, b"x", now=now),
        codes.SendChannelMessageError.TIMEOUT,
    ),
    ("OPERATION_TIMEOUT", lambda core, now: core.join("room", now=now), codes.JoinChannelError.TIMEOUT),
    ("OPERATION_TIMEOUT", lambda core, now: core.leave("ops", now=now), codes.LeaveChannelError.FAILURE),
    ("OPERATION_TIMEOUT", lambda core, now: core.members("ops", now=now), codes.GetMembersError.TIMEOUT),
    (
        "OPERATION_TIMEOUT",
        lambda core, now: core.channel_info.count_members(["ops"], now=now),
        codes.ChannelMemberCountError.TIMEOUT,
    ),
    (
        "OPERATION_TIMEOUT",
        lambda core, now: core.renew_token("good", now=now),
        codes.RenewTokenError.FAILURE,
    ),
    (
        "OPERATION_TIMEOUT",
        lambda core, now: core.users.subscribed(now=now),
        codes.QueryPeersBySubscriptionOptionError.TIMEOUT,
    ),
    ("OPERATION_TIMEOUT", lambda core, now: core.users.set_attributes({"a": "b"}, now=now), ATTRIBUTES),
    ("OPERATION_TIMEOUT", lambda core, now: core.users.update_attributes({"a": "b"}, now=now), ATTRIBUTES),
    ("OPERATION_TIMEOUT", lambda core, now: core.users.delete_attributes(["a"], now=now), ATTRIBUTES),
    ("OPERATION_TIMEOUT", lambda core, now: core.users.clear_attributes(now=now), ATTRIBUTES),
    ("OPERATION_TIMEOUT", lambda core, now: core.users.get_attributes("bob", now=now), ATTRIBUTES),
    (
        "OPERATION_TIMEOUT",
        lambda core, now: core.channel_info.set_attributes("ops", {"a": "b"}, now=now),
        ATTRIBUTES,
    ),
    (
        "OPERATION_TIMEOUT",
        lambda core, now: core.channel_info.update_attributes("ops", {"a": "b"}, now=now),
        ATTRIBUTES,
    ),
    (
        "OPERATION_TIMEOUT",
        lambda core, now: core.channel_info.delete_attributes("ops", ["a"], now=now),
        ATTRIBUTES,
    ),
    ("OPERATION_TIMEOUT", lambda core, now: core.channel_info.clear_attributes("ops", now=now), ATTRIBUTES),
    ("OPERATION_TIMEOUT", lambda core, now: core.channel_info.get_attributes("ops", now=now), ATTRIBUTES),
    ("OPERATION_TIMEOUT", lambda core, now: core.history.stored(now=now), QUERY),
    ("OPERATION_TIMEOUT", lambda core, now: core.history.flush_stored(now=now), QUERY),
    ("OPERATION_TIMEOUT", lambda core, now: core.history.query(source="ann", now=now), QUERY),
    ("OPERATION_TIMEOUT", lambda core, now: core.history.count(source="ann", now=now), QUERY),
    ("PRESENCE_TIMEOUT", lambda core, now: core.users.query(["bob"], now=now), QUERY),
    ("PRESENCE_TIMEOUT", lambda core, now: core.users.subscribe(["bob"], now=now), SUBSCRIPTION),
    ("PRESENCE_TIMEOUT", lambda core, now: core.users.unsubscribe(["bob"], now=now), SUBSCRIPTION),
]
INSTANT = 0.001


class Silent(Server):
    """Lets clients into one channel, and answers nothing else."""

    def packet(self, connection: Connection, packet: Packet) -> None:
        super().packet(connection, packet)
        if isinstance(packet, Join) and packet.ch == "ops":
            connection.send(Joined(packet.i, 0))


def called(call: Call) -> tuple[Bench, Any]:
    bench = Bench(Silent()).online()
    bench.core.join("ops", now=bench.now)
    bench.turn()
    ticket = call(bench.core, bench.now)
    bench.turn()
    return bench, ticket


@pytest.mark.parametrize(("figure", "call", "code"), CALLS, ids=range(len(CALLS)))
def test_a_call_has_its_time_and_not_an_instant_more(figure: str, call: Call, code: IntEnum) -> None:
    time = getattr(limits, figure)
    bench, ticket = called(call)
    bench.run(time - INSTANT)
    assert not ticket.done
    bench.run(INSTANT)
    assert isinstance(ticket.error, RequestTimeout)
    assert ticket.error.code is code
    assert bench.core.state is codes.ConnectionState.CONNECTED


def test_an_answer_in_the_last_instant_counts() -> None:
    bench, ticket = called(lambda core, now: core.users.clear_attributes(now=now))
    bench.run(limits.OPERATION_TIMEOUT - INSTANT)
    bench.server.last.send(Done(ticket.request_id))
    bench.turn()
    assert ticket.done
    assert ticket.error is None
