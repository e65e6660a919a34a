"""The failure scenarios that were written down before the system was built, in simulated time.

Each says what breaks and what everybody has to see, to the second; the checker of the random simulation looks at
each history as well. Numbers are those of the list. Offsets count from the last byte that the judging side received.
"""

from collections.abc import Iterable
from typing import Any

import pytest

from rtmcore import limits
from rtmcore.client.events import (
    ChannelGap,
    ChannelLost,
    MemberJoined,
    MemberLeft,
    PresenceChanged,
    StateChanged,
    TokenHasExpired,
)
from rtmcore.codes import CloseCode, ConnectionState, MessageType
from rtmcore.errors import Aborted, RequestTimeout
from rtmcore.models import ChannelMessage, SendStatus
from rtmcore.service.commands.sessions import Ended
from tests.simulation.hosts import ClientHost
from tests.simulation.scenario import Scenario

TEXT = MessageType.TEXT
CONNECTED = ("CONNECTED", "LOGIN_SUCCESS")
INTERRUPTED = ("RECONNECTING", "INTERRUPTED")
LOGGED_IN = [("CONNECTING", "LOGIN"), CONNECTED]
FOREVER = float("inf")


def asked(client: ClientHost, what: str, argument: object) -> Any:
    """Make a call about users or attributes, and let it be answered."""
    call = client.call(f"users.{what}", argument)
    client.world.run_for(0.5)
    assert call.ok, call
    return call.value


def states(client: ClientHost) -> list[tuple[str, str]]:
    return [(state, reason) for _, state, reason in client.life.states]


def presence(client: ClientHost, user: str) -> list[tuple[float, str]]:
    """When a client was told of another one's online states."""
    return [
        (time, event.states[user].name)
        for time, event in client.life.times(PresenceChanged)
        if user in event.states
    ]


def heard(client: ClientHost, channel: str = "room") -> list[bytes]:
    return [m.body for m in client.life.of(ChannelMessage) if m.channel == channel]


def lost(client: ClientHost, channel: str = "room") -> int:
    return sum(gap.lost for gap in client.life.of(ChannelGap) if gap.channel == channel)


def bodies(client: ClientHost) -> list[bytes]:
    return [message.body for message in client.life.messages]


def numbered(numbers: Iterable[int]) -> list[bytes]:
    return [b"%d" % number for number in numbers]


class Town(Scenario):
    """alice and bob are members of a channel, and bob watches alice."""

    def __init__(self, seed: object = 1, **settings: Any) -> None:
        super().__init__(seed, **settings)
        self.alice, self.bob = self.login("alice", "bob")
        self.join("room", self.alice, self.bob)
        asked(self.bob, "subscribe", ["alice"])
        self.settle()

    def settle(self) -> None:
        """Bring the last bytes of both directions to the same moment, and begin new records."""
        self.alice.call("publish", "room", TEXT, b"now")
        self.run_for(0.1)
        for client in (self.alice, self.bob):
            client.life.events.clear()
            client.life.taken.clear()

    def finish(self, seconds: float) -> None:
        """Let time pass and have the history checked."""
        self.run_for(seconds)
        assert not self.history.violations, self.history.violations


def test_scenario_01_a_reset_of_an_idle_connection_is_seen_by_nobody() -> None:
    world = Town()
    world.run_for(60)
    connections = world.connections
    start = world.time
    world.alice.reset()
    world.run_for(1.0)
    assert world.connections == connections + 1, "it came back within a second"
    sent = world.bob.call("send_peer", "alice", TEXT, b"hello")
    world.run_for(0.5)
    assert sent.ok
    assert sent.value.status is SendStatus.DELIVERED
    world.finish(60)
    assert world.alice.life.states == []
    assert presence(world.bob, "alice") == []
    assert world.bob.life.of(MemberLeft, MemberJoined) == []
    assert start > 60


def test_scenario_02_a_black_hole_of_five_seconds() -> None:
    world = Town()
    start = world.time
    world.alice.hole(5.0)
    for number in range(50):
        world.at(start + number / 10, world.bob.call, "send_peer", "alice", TEXT, b"%d" % number)
    world.finish(20)
    (interrupted, _, reason), (back, *_) = world.alice.life.states
    assert reason == "INTERRUPTED"
    assert interrupted == pytest.approx(start + 4.0, abs=0.15)
    assert start + 4.999 <= back <= start + 9.0
    assert presence(world.bob, "alice") == []
    assert world.bob.life.of(MemberLeft, MemberJoined) == []
    assert bodies(world.alice) == numbered(range(50))


def test_scenario_03_a_black_hole_of_fifteen_seconds() -> None:
    world = Town()
    start = world.time
    world.alice.hole(15.0)
    for number in range(30):
        world.at(start + number / 2, world.bob.call, "send_peer", "alice", TEXT, b"%d" % number, timeout=30.0)
        world.at(start + number / 2, world.bob.call, "publish", "room", TEXT, b"%d" % number)
    world.finish(30)
    assert states(world.alice) == [INTERRUPTED, CONNECTED]
    (unreachable, first), (online, second) = presence(world.bob, "alice")
    assert (first, second) == ("UNREACHABLE", "ONLINE")
    assert start + 5.9 <= unreachable <= start + 7.0
    assert start + 15.0 <= online <= start + 24.0
    assert world.bob.life.of(MemberLeft, MemberJoined) == []
    assert bodies(world.alice) == numbered(range(30))
    assert heard(world.alice) == numbered(range(30))
    assert lost(world.alice) == 0
    assert all(
        call.value.status is SendStatus.DELIVERED for call in world.bob.life.calls if call.name == "send_peer"
    )


def test_scenario_04_a_black_hole_of_forty_five_seconds() -> None:
    world = Town()
    asked(world.alice, "set_attributes", {"mood": "fine"})
    asked(world.alice, "subscribe", ["bob"])
    world.settle()
    start = world.time
    world.alice.hole(45.0)
    early = []
    late = []
    world.at(
        start + 5, lambda: early.append(world.bob.call("send_peer", "alice", TEXT, b"early", timeout=60.0))
    )
    world.at(start + 35, lambda: late.append(world.bob.call("send_peer", "alice", TEXT, b"late")))
    world.run(start + 44)
    # What waited for her ends when she goes offline; what is sent later finds nobody.
    assert isinstance(early[0].error, RequestTimeout) or early[0].value.status is SendStatus.PEER_UNREACHABLE
    assert late[0].value.status is SendStatus.PEER_UNREACHABLE
    assert late[0].done - late[0].begun < 0.5
    told = presence(world.bob, "alice")
    assert [state for _, state in told] == ["UNREACHABLE", "OFFLINE"]
    assert start + 5.9 <= told[0][0] <= start + 7.0
    assert start + 29.9 <= told[1][0] <= start + 32.0
    ((left, event),) = world.bob.life.times(MemberLeft, MemberJoined)
    assert event == MemberLeft("room", "alice", 1)
    assert start + 29.9 <= left <= start + 32.0
    world.finish(20)
    assert states(world.alice) == [INTERRUPTED, CONNECTED]
    assert world.bob.life.of(MemberLeft, MemberJoined) == [event, MemberJoined("room", "alice", 2)]
    assert [state for _, state in presence(world.bob, "alice")] == ["UNREACHABLE", "OFFLINE", "ONLINE"]
    assert world.alice.life.of(ChannelLost) == []
    assert asked(world.bob, "get_attributes", "alice") == {"mood": "fine"}
    assert bodies(world.alice) == [], "neither is delivered later"
    # Her subscription is in force again.
    world.bob.call("logout")
    world.run_for(1)
    assert presence(world.alice, "bob")[-1][1] == "OFFLINE"


def test_scenario_05_a_hundred_messages_in_ten_seconds_leave_thirty_two() -> None:
    world = Town()
    start = world.time
    # What lies in the old connection does not come out of it in time.
    world.alice.hole(10.0, outlast=60.0)
    for number in range(100):
        world.at(start + number / 11, world.bob.call, "publish", "room", TEXT, b"%d" % number)
    world.finish(25)
    assert heard(world.alice) == numbered(range(68, 100))
    assert lost(world.alice) == 68
    kinds = [type(event) for event in world.alice.life.of(ChannelGap, ChannelMessage)]
    assert kinds == [ChannelGap] + [ChannelMessage] * 32


def test_scenario_06_an_idle_channel_does_not_look_like_a_loss() -> None:
    world = Town()
    world.run_for(3600)
    world.alice.refuse(2.0)
    world.alice.reset()
    world.finish(60)
    assert world.alice.life.of(ChannelMessage, ChannelGap) == []
    assert world.alice.life.states == []


def test_scenario_07_five_interruptions_in_a_row_with_traffic() -> None:
    world = Town()
    start = world.time
    sent = 0
    for number in range(5):
        begun = start + number * 12
        world.at(begun, world.alice.hole, 5.0)
        world.at(begun + 8.0 + number / 10, world.alice.reset)
        for tick in range(24):
            world.at(begun + tick / 2, world.bob.call, "send_peer", "alice", TEXT, b"%d" % sent, timeout=40.0)
            world.at(begun + tick / 2, world.bob.call, "publish", "room", TEXT, b"%d" % sent)
            sent += 1
    world.finish(90)
    assert states(world.alice) == [INTERRUPTED, CONNECTED] * 5
    assert bodies(world.alice) == numbered(range(sent))
    assert heard(world.alice) == numbered(range(sent))
    assert lost(world.alice) == 0


def test_scenario_08_the_reply_to_a_send_is_lost() -> None:
    world = Town()
    world.alice.hole(FOREVER, up=False)
    call = world.alice.call("send_peer", "bob", TEXT, b"once")
    world.run_for(0.5)
    assert bodies(world.bob) == [b"once"], "it was executed"
    assert call.done is None
    world.alice.reset()
    world.alice.heal()
    world.finish(10)
    assert call.ok
    assert call.value.status is SendStatus.DELIVERED
    assert bodies(world.bob) == [b"once"]
    assert len([done for done in world.alice.life.calls if done.name == "send_peer"]) == 1


def test_scenario_09_the_reply_is_lost_and_the_time_is_over() -> None:
    world = Town()
    world.alice.hole(FOREVER, up=False)
    call = world.alice.call("send_peer", "bob", TEXT, b"once")
    world.run_for(0.5)
    world.alice.reset()
    world.alice.refuse(15.0)
    begun = world.time
    world.run_for(12)
    assert isinstance(call.error, RequestTimeout)
    assert call.error.outcome_unknown
    assert call.done == pytest.approx(call.begun + limits.SEND_TIMEOUT, abs=0.01)
    world.alice.heal()
    world.finish(30)
    assert states(world.alice) == [INTERRUPTED, CONNECTED]
    assert bodies(world.bob) == [b"once"], "sent again after its time, or undone"
    assert world.time > begun


def test_scenario_09_a_request_that_never_left_is_not_sent_after_its_time() -> None:
    world = Town()
    world.alice.hole(20.0)
    world.run_for(5)
    call = world.alice.call("send_peer", "bob", TEXT, b"never")
    world.finish(40)
    assert isinstance(call.error, RequestTimeout)
    assert states(world.alice) == [INTERRUPTED, CONNECTED]
    assert bodies(world.bob) == []


def test_scenario_10_a_receiver_that_dies_before_it_acknowledges() -> None:
    world = Town()
    world.bob.take_on(None)
    call = world.alice.call("send_peer", "bob", TEXT, b"twice", timeout=20.0)
    world.run_for(1)
    assert call.done is None, "nobody has taken it"
    world.bob.crash()
    world.run_for(1)
    assert call.done is None
    again = world.client("bob")
    again.take_on(None)
    again.call("login")
    world.run_for(1)
    assert call.done is None
    again.take_on(0.0)
    world.finish(1)
    assert [(m.body, m.redelivered) for m in again.life.messages] == [(b"twice", True)]
    assert call.ok
    assert call.value.status is SendStatus.DELIVERED


def test_scenario_11_a_second_login_on_another_node() -> None:
    world = Town(nodes=("n1", "n2"))
    world.join("second", world.alice, world.bob)
    world.bob.life.events.clear()
    assert world.alice.core.state is ConnectionState.CONNECTED
    other = world.client("alice")
    begun = world.time
    login = other.call("login")
    world.run_for(1)
    assert login.ok
    ((when, event),) = world.alice.life.times(StateChanged)
    assert (event.state.name, event.reason.name) == ("ABORTED", "REMOTE_LOGIN")
    assert when - begun < 0.2
    assert (
        world.side.hosts["n1"].node.stats().get(f"closed_{CloseCode.REMOTE_LOGIN:d}", 0)
        + world.side.hosts["n2"].node.stats().get(f"closed_{CloseCode.REMOTE_LOGIN:d}", 0)
        == 1
    )
    # The new instance is in no channel: the others see one leave of each, and her still online.
    assert sorted(left.channel for left in world.bob.life.of(MemberLeft)) == ["room", "second"]
    assert world.bob.life.of(MemberJoined) == []
    assert [state for _, state in presence(world.bob, "alice")] in ([], ["ONLINE"])
    world.bob.call("send_peer", "alice", TEXT, b"to the new one")
    world.finish(120)
    assert bodies(other) == [b"to the new one"]
    assert bodies(world.alice) == []
    assert states(other) == LOGGED_IN
    with pytest.raises(Aborted):
        world.alice.core.send_peer("bob", TEXT, b"x", now=world.now)


def test_scenario_12_the_word_of_the_kick_is_lost() -> None:
    world = Town(nodes=("n1", "n2"))
    here, there = world.side.hosts["n1"], world.side.hosts["n2"]
    for host in (here, there):
        lose_kicks(host)
    other = world.client("alice")
    other.call("login")
    world.run_for(1)
    assert world.alice.core.state is ConnectionState.CONNECTED, "she does not know yet"
    # Whatever she asks for next is not carried out, and tells her.
    call = world.alice.call("publish", "room", TEXT, b"from the old one")
    world.finish(1)
    assert states(world.alice) == [("ABORTED", "REMOTE_LOGIN")]
    assert call.done is not None
    assert call.error is not None
    assert heard(world.bob) == []
    assert states(other) == LOGGED_IN


def test_scenario_12_the_word_of_the_kick_is_lost_and_nothing_is_asked() -> None:
    world = Town(nodes=("n1", "n2"))
    for host in world.side.hosts.values():
        lose_kicks(host)
    other = world.client("alice")
    other.call("login")
    world.run_for(1)
    # An acknowledgement counts as well: of a message under way to her, or none at all after her next interruption.
    world.alice.reset()
    world.finish(5)
    assert states(world.alice) == [("ABORTED", "REMOTE_LOGIN")]
    assert states(other) == LOGGED_IN


def lose_kicks(host: Any) -> None:
    """Let no word of an ended session reach a node."""
    real = host.port.next_output

    def next_output() -> object:
        while isinstance(output := real(), Ended):
            pass
        return output

    host.port.next_output = next_output


@pytest.mark.parametrize("away", ["reset", "black hole"])
def test_scenario_13_a_second_login_while_the_first_is_away(away: str) -> None:
    world = Town(nodes=("n1", "n2"))
    if away == "reset":
        world.alice.refuse(10.0)
        world.alice.reset()
    else:
        world.alice.hole(10.0)
    world.run_for(6)
    assert states(world.alice) == [INTERRUPTED]
    other = world.client("alice")
    other.call("login")
    world.finish(60)
    assert states(world.alice) == [INTERRUPTED, ("ABORTED", "REMOTE_LOGIN")]
    assert states(other) == LOGGED_IN, "the old one kicked the new one"
    assert [state for _, state in presence(world.bob, "alice")][-1:] in ([], ["ONLINE"])
    assert "OFFLINE" not in [state for _, state in presence(world.bob, "alice")]


def test_scenario_14_two_clients_that_log_in_for_ever() -> None:
    world = Scenario(rate_limits=True)
    pair = [world.client("alice", rate_limits=False) for _ in range(2)]

    def again(client: ClientHost) -> None:
        """What a bad application does: log out and in as soon as it was kicked or refused."""
        state = client.core.state
        if state is ConnectionState.ABORTED:
            client.call("logout")
        elif state is ConnectionState.DISCONNECTED:
            client.call("login")

    end = 30.0
    for number in range(int(end * 20)):
        world.at(number / 20, again, pair[number % 2])
    (bob,) = world.login("bob")
    world.run(end)
    logins = sorted(
        time for client in pair for time, state, reason in client.life.states if (state, reason) == CONNECTED
    )
    assert len(logins) > 10, "nobody is locked out"
    mean, burst = limits.LOGIN_RATE.count / limits.LOGIN_RATE.seconds, limits.SERVER_RATE_BURST
    for first, begin in enumerate(logins):
        for last, time in enumerate(logins[first:], first):
            room = burst * limits.LOGIN_RATE.count + mean * (time - begin + 0.05)
            assert last - first + 1 <= room, "more than two logins a second"
    stats = world.side.hosts["n1"].node.stats()
    assert stats["connections"] <= 4
    assert stats.get(f"closed_{CloseCode.LOGIN_REFUSED:d}", 0) > 10, "refusals are not counted"
    assert stats.get(f"closed_{CloseCode.REMOTE_LOGIN:d}", 0) > 10, "kicks are not counted"
    assert states(bob) == LOGGED_IN
    assert not world.history.violations


@pytest.mark.parametrize("seed", range(10))
def test_scenario_15_two_logins_in_the_same_millisecond(seed: int) -> None:
    world = Scenario(seed, nodes=("n1", "n2"))
    world.side.habits.engine_late = 0.7
    (bob,) = world.login("bob")
    pair = [world.client("alice"), world.client("alice")]
    logins = [client.call("login") for client in pair]
    sends: list[list[Any]] = [[], []]
    begun = world.time
    for tick in range(200):
        for place in range(2):
            world.at(
                begun + tick / 200,
                lambda place=place: sends[place].append(
                    pair[place].call("send_peer", "bob", TEXT, b"%d" % place)
                ),
            )
    world.run_for(12)
    winner = [client for client in pair if client.core.state is ConnectionState.CONNECTED]
    (loser,) = [client for client in pair if client not in winner]
    assert len(winner) == 1
    assert states(winner[0]) == LOGGED_IN
    assert states(loser) in ([*LOGGED_IN, ("ABORTED", "REMOTE_LOGIN")],)
    assert all(login.ok for login in logins)
    owners = world.history.owners["rtm", "alice", ""]
    assert owners[-1].fence == max(owner.fence for owner in owners)
    assert owners[-1].iid == winner[0].iid
    # After the later welcome nothing of the kicked one is accepted: its messages do not follow the winner's.
    senders = [int(body) for body in bodies(bob)]
    assert senders == sorted(senders, key=lambda place: pair[place] is winner[0])
    assert not world.history.violations


def test_scenario_26_a_client_that_stops_reading_while_its_channel_is_busy() -> None:
    world = Town()
    cy, *_ = world.login("cy")
    world.join("room", cy)
    start = world.time
    node = world.side.hosts["n1"]
    closed: list[int] = []
    total = 400

    def look(number: int) -> None:
        if node.node.stats().get(f"closed_{CloseCode.SLOW_CONSUMER:d}"):
            closed.append(number)

    world.alice.suspend(12.0)
    for number in range(total):
        world.at(start + number / 100, world.bob.call, "publish", "room", TEXT, body_of(number))
        world.at(start + number / 100 + 0.009, look, number)
    world.run(start + 11)
    assert node.node.stats()[f"closed_{CloseCode.SLOW_CONSUMER:d}"] == 1
    # What the server held for her was bounded, besides what the kernels took.
    held = (closed[0] + 1) * limits.MESSAGE_BYTES
    kernels = 256 * 1024
    assert (
        limits.SERVER_OUTBOUND_BYTES < held < limits.SERVER_OUTBOUND_BYTES + kernels + 2 * limits.FRAME_BYTES
    )
    assert heard(cy) == [body_of(number) for number in range(total)], "others are not affected"
    assert states(cy) == LOGGED_IN
    assert states(world.bob) == []
    world.finish(20)
    assert world.alice.core.state is ConnectionState.CONNECTED
    seen = heard(world.alice)
    assert seen[-32:] == [body_of(number) for number in range(total - 32, total)]
    assert len(seen) + lost(world.alice) == total
    assert seen == sorted(seen, key=lambda body: int(body[:6]))
    assert world.bob.life.of(MemberLeft) == []


def body_of(number: int) -> bytes:
    return b"%06d" % number + b"x" * (limits.MESSAGE_BYTES - 6)


@pytest.mark.parametrize("policy", ["keep", "abort"])
def test_scenario_28_the_token_expires_while_connected(policy: str) -> None:
    world = Scenario(token_policy=policy)
    alice, bob = world.client("alice", token_provider=True), world.client("bob")
    alice.habit.token_seconds = 60.0
    for client in (alice, bob):
        client.call("login")
    world.run_for(1)
    alice.life.events.clear()
    world.run_for(90)
    assert len(alice.life.of(TokenHasExpired)) == 1
    if policy == "keep":
        assert states(alice) == []
        call = bob.call("send_peer", "alice", TEXT, b"still there")
        world.run_for(1)
        assert call.value.status is SendStatus.DELIVERED
    else:
        assert states(alice) == [("ABORTED", "TOKEN_EXPIRED")]
    assert not world.history.violations


@pytest.mark.parametrize("policy", ["keep", "abort"])
def test_scenario_28_the_token_expires_while_reconnecting(policy: str) -> None:
    world = Scenario(token_policy=policy)
    alice = world.client("alice", token="alice|" + str(world.side.wall // 1000 + 60_000))
    alice.call("login")
    world.run_for(1)
    alice.life.events.clear()
    alice.hole(100.0)
    world.run_for(160)
    assert states(alice) == [INTERRUPTED], "never ABORTED, and no way back without a token"
    assert len(alice.life.of(TokenHasExpired)) == 1
    alice.habit.token_seconds = 600.0
    begun = world.time
    call = alice.call("renew_token", alice.new_token())
    world.run_for(5)
    assert call.ok
    assert states(alice) == [INTERRUPTED, CONNECTED]
    assert alice.life.states[-1][0] - begun < 0.5, "the new token did not begin an attempt at once"
    assert not world.history.violations


@pytest.mark.parametrize("seed", range(10))
def test_scenario_30_the_server_is_killed_a_millisecond_after_acknowledgements(seed: int) -> None:
    world = Scenario(seed)
    alice, carol = world.login("alice", "carol")
    start = world.time
    sends: list[Any] = []
    writes: list[Any] = []
    acknowledged: list[Any] = []

    def tell(number: int) -> None:
        body = b"%d" % number
        sends.append(alice.call("send_peer", "bob", TEXT, body, offline=True, history=True, timeout=40.0))
        writes.append(carol.call("channel_info.update_attributes", "desk", {"n": str(number)}, timeout=40.0))

    def kill_behind(number: int) -> None:
        """End the server a millisecond after it has acknowledged so many."""
        done = [call for call in (*sends, *writes) if call.ok]
        if len(done) < number:
            world.at(world.time + 0.001, kill_behind, number)
            return
        acknowledged[:] = done
        world.at(world.time + 0.001, world.side.restart, down=0.5, silent=seed % 2 == 1)

    total = 150
    for number in range(total):
        world.at(start + number / 10, tell, number)
    for number in range(3):
        world.at(start + 4 * number, kill_behind, 60 * number + 10 + seed)
    world.run(start + 50)
    assert len(world.history.stops) == 3, "it was not killed"
    assert len(acknowledged) > 130
    assert all(call.ok for call in (*sends, *writes))
    assert {call.value.status for call in sends} == {SendStatus.CACHED}
    bob = world.client("bob")
    bob.call("login")
    page = alice.call("history.query", destination="bob", source="alice", limit=100, ascending=True)
    world.run_for(2)
    # Every one of them, those that were repeated to the next server included: once each, and in order.
    assert bodies(bob) == numbered(range(total))
    assert page.value.count == total
    assert [message.body for message in page.value.messages] == numbered(range(100))
    read = bob.call("channel_info.get_attributes", "desk")
    world.run_for(60)
    assert {key: found.value for key, found in read.value.items()} == {"n": str(total - 1)}
    world.check()


@pytest.mark.parametrize("size", [1024, 5 * 1024, limits.MESSAGE_BYTES])
def test_resume_with_twenty_full_channel_windows_over_one_megabit_a_second(size: int) -> None:
    world = Scenario()
    alice, bob = world.login("alice", "bob")
    channels = [f"room-{number}" for number in range(limits.CHANNELS_JOINED)]
    for channel in channels:
        world.join(channel, alice, bob)
    alice.life.events.clear()
    alice.hole(10.0)
    start = world.time

    def body(number: int) -> bytes:
        return b"%06d" % number + b"x" * (size - 6)

    for number in range(limits.REPLAY_MAX):
        for channel in channels:
            world.at(start + 1 + number / 5, bob.call, "publish", channel, TEXT, body(number))
    world.run(start + 9.5)
    alice.weather.up_rate = alice.weather.down_rate = 1_000_000 / 8
    told = []
    world.at(
        start + 25, lambda: told.append(bob.call("send_peer", "alice", TEXT, b"meanwhile", timeout=30.0))
    )
    took = size * limits.REPLAY_MAX * len(channels) / 125_000
    world.run_for(40 + 1.2 * took)
    # It is back long before the replay is over, and the replay does not look like silence.
    assert states(alice) == [INTERRUPTED, CONNECTED]
    assert alice.life.states[-1][0] < start + 20
    for channel in channels:
        numbers = [int(sent[:6]) for sent in heard(alice, channel)]
        assert numbers == sorted(set(numbers)), channel
        # What was young enough at the return is replayed, however long the line takes: minutes for 20 MiB.
        assert len(numbers) == limits.REPLAY_MAX, channel
        assert lost(alice, channel) == 0, channel
    assert bodies(alice) == [b"meanwhile"]
    assert bob.life.of(MemberLeft) == []
    assert not world.history.violations
