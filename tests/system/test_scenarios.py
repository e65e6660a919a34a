"""Failure scenarios again, on real sockets: what was proved in simulated time, with threads and kernels in between.

Numbers are those of `tests/simulation/test_scenarios.py`.
"""

import time
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from rtmcore.codes import CloseCode
from rtmcore.limits import CHANNELS_JOINED, MESSAGE_BYTES, REPLAY_MAX
from rtmsync import (
    Aborted,
    ChannelGap,
    ChannelMessage,
    Client,
    ConnectionChangeReason,
    ConnectionState,
    MemberJoined,
    MemberLeft,
    PeerMessage,
    PeerOnlineState,
    PresenceChanged,
    SendStatus,
    StateChanged,
)
from tests.system.conftest import WAIT
from tests.system.stalls import where_nothing_stalls

pytestmark = pytest.mark.timeout(90)

CONNECTED = ConnectionState.CONNECTED
RECONNECTING = ConnectionState.RECONNECTING


class Witness:
    """What an application was told, in order."""

    def __init__(self, client: Client, *kinds: type[Any]) -> None:
        self.client = client
        self.told: list[Any] = []
        for kind in kinds:
            client.on(kind, self.told.append)

    def of(self, *kinds: type[Any]) -> list[Any]:
        return [event for event in list(self.told) if isinstance(event, kinds)]

    @property
    def states(self) -> list[tuple[ConnectionState, ConnectionChangeReason]]:
        return [(change.state, change.reason) for change in self.of(StateChanged)]

    def presence(self, user: str) -> list[PeerOnlineState]:
        return [event.states[user] for event in self.of(PresenceChanged) if user in event.states]


def eventually(condition: Callable[[], Any], seconds: float = WAIT) -> None:
    """Wait until something is true."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not come true"
        time.sleep(0.02)


def texts(messages: Iterable[Any]) -> list[str]:
    return [message.text for message in messages]


ALL = (StateChanged, PresenceChanged, MemberJoined, MemberLeft, PeerMessage, ChannelMessage, ChannelGap)


@pytest.fixture
def pair(server: Any, connect: Any, proxy: Any) -> tuple[Any, Witness, Witness]:
    """alice behind a link that can fail, and bob who watches her; both in a channel."""
    link = proxy()
    alice, bob = connect(link, "alice"), connect(server, "bob")
    for client in (alice, bob):
        client.channel("room").join()
    seen_by_alice, seen_by_bob = Witness(alice, *ALL), Witness(bob, *ALL)
    bob.subscribe_presence("alice")
    eventually(lambda: seen_by_bob.presence("alice"))
    begin_anew(seen_by_alice, seen_by_bob)
    return link, seen_by_alice, seen_by_bob


def begin_anew(alice: Witness, bob: Witness) -> None:
    """Both have been told of all that came before, and the last bytes of both directions are of now."""
    for one, other in ((bob, alice), (alice, bob)):
        sent = one.client.send_peer(other.client.user_id, "now", timeout=WAIT)
        assert sent.status is SendStatus.DELIVERED
        eventually(lambda other=other: "now" in texts(other.of(PeerMessage)))
    eventually(lambda: bob.presence("alice")[-1:] != [PeerOnlineState.UNREACHABLE])
    alice.told.clear()
    bob.told.clear()


def test_scenario_01_a_reset_of_an_idle_connection_is_seen_by_nobody(pair: Any) -> None:
    link, alice, bob = pair
    link.cut()
    link.wait_for(2)
    assert bob.client.send_peer("alice", "hello").status is SendStatus.DELIVERED
    eventually(lambda: alice.of(PeerMessage))
    bob.client.channel("room").send("and to all")
    eventually(lambda: alice.of(ChannelMessage))
    assert [type(event) for event in alice.told] == [PeerMessage, ChannelMessage]
    assert bob.told == []


def test_scenario_02_a_black_hole_of_five_seconds(pair: Any) -> None:
    link, alice, bob = pair

    def attempt() -> None:
        begin_anew(alice, bob)
        link.blackhole(seconds=5.0)
        sends = [bob.client.send_peer_future("alice", str(n), timeout=WAIT) for n in range(50)]
        assert all(send.result(WAIT).status is SendStatus.DELIVERED for send in sends)
        eventually(lambda: len(alice.states) >= 2)
        assert alice.states == [
            (RECONNECTING, ConnectionChangeReason.INTERRUPTED),
            (CONNECTED, ConnectionChangeReason.LOGIN_SUCCESS),
        ]
        eventually(lambda: len(alice.of(PeerMessage)) >= 50)
        assert texts(alice.of(PeerMessage)) == [str(n) for n in range(50)]
        bob.client.send_peer("alice", "last")
        assert bob.told == [], "others were told of something"

    # After 6 s of silence, bob would be told: the hole may not last a second longer.
    where_nothing_stalls(attempt, bearable=0.3)


def test_scenario_03_a_black_hole_of_fifteen_seconds(pair: Any) -> None:
    link, alice, bob = pair
    begun = time.monotonic()  # before the last byte of alice, from which the server counts
    alice.client.send_peer("bob", "last")
    link.blackhole(seconds=15.0)
    room = bob.client.channel("room")
    sends = []
    for n in range(20):
        sends.append(bob.client.send_peer_future("alice", str(n), timeout=WAIT))
        room.send(str(n))
    eventually(lambda: bob.presence("alice"))
    assert bob.presence("alice") == [PeerOnlineState.UNREACHABLE]
    assert 5.0 < time.monotonic() - begun < 12.0
    assert all(send.result(WAIT).status is SendStatus.DELIVERED for send in sends)
    eventually(lambda: len(bob.presence("alice")) == 2)
    assert bob.presence("alice")[1] is PeerOnlineState.ONLINE
    eventually(lambda: len(alice.states) == 2)
    assert [state for state, _ in alice.states] == [RECONNECTING, CONNECTED]
    eventually(lambda: len(alice.of(ChannelMessage)) >= 20)
    assert texts(alice.of(ChannelMessage)) == [str(n) for n in range(20)]
    eventually(lambda: len(alice.of(PeerMessage)) >= 20)
    assert texts(alice.of(PeerMessage)) == [str(n) for n in range(20)]
    assert alice.of(ChannelGap) == []
    assert bob.of(MemberLeft, MemberJoined) == []


def test_scenario_08_the_reply_to_a_send_is_lost(pair: Any) -> None:
    link, alice, bob = pair
    link.blackhole("to_client", mode="drop", connection=1)
    send = alice.client.send_peer_future("bob", "once", timeout=WAIT)
    eventually(lambda: bob.of(PeerMessage))
    assert not send.done()
    link.cut(connection=1)
    assert send.result(WAIT).status is SendStatus.DELIVERED
    # Whatever was sent again would have come before this.
    assert alice.client.send_peer("bob", "next").status is SendStatus.DELIVERED
    eventually(lambda: len(bob.of(PeerMessage)) >= 2)
    assert texts(bob.of(PeerMessage)) == ["once", "next"]
    assert alice.states == []


def test_scenario_11_a_second_login(pair: Any, server: Any, connect: Any) -> None:
    _, alice, bob = pair
    for client in (alice.client, bob.client):
        client.channel("second").join()
    bob.told.clear()
    other = connect(server, "alice")
    eventually(lambda: alice.states)
    assert alice.states == [(ConnectionState.ABORTED, ConnectionChangeReason.REMOTE_LOGIN)]
    with pytest.raises(Aborted):
        alice.client.send_peer("bob", "x")
    inbox = other.events(PeerMessage)
    assert bob.client.send_peer("alice", "to the new one").status is SendStatus.DELIVERED
    assert inbox.get(WAIT).text == "to the new one"
    eventually(lambda: len(bob.of(MemberLeft)) == 2)
    assert sorted(left.channel for left in bob.of(MemberLeft)) == ["room", "second"]
    assert bob.of(MemberJoined) == []
    assert PeerOnlineState.OFFLINE not in bob.presence("alice")
    assert alice.of(PeerMessage) == []
    assert other.state is CONNECTED


def test_scenario_13_a_second_login_while_the_first_is_away(pair: Any, server: Any, connect: Any) -> None:
    link, alice, bob = pair
    link.refuse()
    link.cut()
    eventually(lambda: alice.states)
    assert alice.states == [(RECONNECTING, ConnectionChangeReason.INTERRUPTED)]
    other = Witness(connect(server, "alice"), StateChanged)
    link.refuse(False)
    eventually(lambda: len(alice.states) == 2)
    assert alice.states[1] == (ConnectionState.ABORTED, ConnectionChangeReason.REMOTE_LOGIN)
    assert other.told == []
    assert other.client.state is CONNECTED
    assert PeerOnlineState.OFFLINE not in bob.presence("alice")


def test_scenario_26_a_client_that_stops_reading_while_its_channel_is_busy(
    pair: Any, server: Any, connect: Any
) -> None:
    link, alice, bob = pair
    cy = connect(server, "cy")
    theirs = cy.channel("room")
    theirs.join()
    total = 900
    arriving = theirs.events(ChannelMessage, maxsize=total)
    # What the server writes stays in the link; what alice opens beside it is refused.
    link.refuse(how="rst")
    link.blackhole("to_client", connection=1)
    room = bob.client.channel("room")
    waiting, came = [], []
    for n in range(total):
        waiting.append(room.send_future(f"{n:06}" + "x" * (MESSAGE_BYTES - 6), timeout=WAIT))
        if len(waiting) > 20:
            waiting.pop(0).result(WAIT)
            # Bob does not go ahead of cy, who reads: only alice is to be too slow.
            came.append(arriving.get(WAIT))
    for send in waiting:
        send.result(WAIT)
        came.append(arriving.get(WAIT))
    eventually(lambda: server.stats().get(f"closed_{CloseCode.SLOW_CONSUMER:d}") == 1)
    assert [int(message.text[:6]) for message in came] == list(range(total))
    assert bob.states == []
    link.refuse(False)
    link.cut(connection=1)
    eventually(
        lambda: alice.of(ChannelMessage) and alice.of(ChannelMessage)[-1].text[:6] == f"{total - 1:06}"
    )
    seen = [int(message.text[:6]) for message in alice.of(ChannelMessage)]
    assert seen == sorted(set(seen))
    assert seen[-REPLAY_MAX:] == list(range(total - REPLAY_MAX, total))
    assert len(seen) + sum(gap.lost for gap in alice.of(ChannelGap)) == total
    assert bob.of(MemberLeft) == []


def test_resume_with_twenty_full_channel_windows_over_one_megabit_a_second(
    server: Any, connect: Any, proxy: Any
) -> None:
    link = proxy()
    alice, bob = connect(link, "alice"), connect(server, "bob")
    names = [f"room-{n}" for n in range(CHANNELS_JOINED)]
    for name in names:
        alice.channel(name).join()
        bob.channel(name).join()
    seen = Witness(alice, StateChanged, ChannelMessage, ChannelGap)
    link.refuse()
    link.cut()
    waiting = [
        bob.channel(name).send_future(f"{n:06}" + "x" * 1018, timeout=WAIT)
        for n in range(REPLAY_MAX)
        for name in names
    ]
    for send in waiting:
        send.result(WAIT)
    eventually(lambda: seen.states)
    link.throttle(1_000_000 / 8)
    begun = time.monotonic()
    link.refuse(False)
    eventually(lambda: len(seen.of(ChannelMessage)) + len(seen.of(ChannelGap)) >= len(names) * REPLAY_MAX)
    assert time.monotonic() - begun > 4.0, "the link was not slow"
    assert [state for state, _ in seen.states] == [RECONNECTING, CONNECTED]
    assert isinstance(seen.told[-1], ChannelMessage), "it waited for the end of the replay"
    for name in names:
        arrived = [message for message in seen.of(ChannelMessage) if message.channel == name]
        assert [int(message.text[:6]) for message in arrived] == list(range(REPLAY_MAX))
    assert seen.of(ChannelGap) == []
    assert len(seen.states) == 2, "the replay looked like silence"
