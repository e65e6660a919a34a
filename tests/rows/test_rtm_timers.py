"""The timers of an RTM connection, one test a row (3.2): each fires at its figure, counted from the last byte."""

import itertools

import pytest

from rtmcore import limits
from rtmcore.client.events import (
    MemberLeft,
    PresenceChanged,
    StateChanged,
    TokenHasExpired,
    TokenWillExpire,
)
from rtmcore.client.requests import Ticket
from rtmcore.codes import (
    AttributeOperationError,
    ChannelMemberCountError,
    GetMembersError,
    JoinChannelError,
    LeaveChannelError,
    LoginError,
    MessageType,
    PeerOnlineState,
    PeerSubscriptionStatusError,
    QueryPeersBySubscriptionOptionError,
    QueryPeersOnlineError,
    RenewTokenError,
    SendChannelMessageError,
    SendPeerMessageError,
)
from rtmcore.errors import ConnectionFailed, RequestTimeout
from rtmcore.models import SendStatus
from tests.rows.town import Rtm, Town

INTERRUPTED = ("RECONNECTING", "INTERRUPTED")


def told_of(party: Rtm, user: str) -> list[tuple[float, PeerOnlineState]]:
    """When another user's online states were told."""
    return [
        (when, event.states[user])
        for when, event in party.log
        if isinstance(event, PresenceChanged) and user in event.states
    ]


def watched(town: Town) -> tuple[Rtm, Rtm]:
    """ann, and bob who watches her; both in a channel."""
    ann, bob = Rtm(town, "ann").login().join(), Rtm(town, "bob").login().join()
    bob.done(bob.core.users.subscribe(["ann"], now=town.now))
    town.run(0.5)
    ann.forget()
    bob.forget()
    return ann, bob


def test_rtm_3_2_interruption_detection_counts_from_the_last_byte_received() -> None:
    town = Town()
    ann = Rtm(town, "ann").login()
    assert limits.INTERRUPTED_AFTER == 4.0
    # The last byte comes at its own time, not at the loss: only the way to the client is closed, in between.
    town.run(0.9)
    ann.forget()
    for line in ann.lines.values():
        line.hole_down = True
    ann.away = True
    last = ann.silence_began
    town.run(10)
    assert [(when, event.reason.name) for when, event in ann.log] == [
        (pytest.approx(last + 4.0, abs=1e-6), "INTERRUPTED")
    ]


def test_rtm_3_2_interruption_detection_any_byte_counts_also_of_an_unfinished_frame() -> None:
    town = Town()
    ann, bob = Rtm(town, "ann").login().join(), Rtm(town, "bob").login().join()
    town.run(1)
    ann.forget()
    # 32 KB at 4,000 bytes a second: eight seconds for one message, and no complete frame in between.
    ann.rate = 4_000
    bob.say(b"x" * limits.MESSAGE_BYTES)
    town.run(20)
    assert [len(body) for body in ann.heard()] == [limits.MESSAGE_BYTES]
    assert ann.of(StateChanged) == []


def test_rtm_3_2_peer_unreachable_after_six_seconds_without_a_byte_at_the_server() -> None:
    town = Town()
    ann, bob = watched(town)
    ann.away = True
    ann.line.hole_up = True
    last = ann.last_heard
    town.run_to(last + 5.99)
    assert bob.of(PresenceChanged) == []
    town.run(0.1)
    assert told_of(bob, "ann") == [
        (pytest.approx(last + 6.0 + town.latency, abs=1e-3), PeerOnlineState.UNREACHABLE)
    ]
    ann.find_network()
    town.run(9)
    assert [state for _, state in told_of(bob, "ann")] == [
        PeerOnlineState.UNREACHABLE,
        PeerOnlineState.ONLINE,
    ]
    assert bob.of(MemberLeft) == []


@pytest.mark.parametrize("how", ["black hole", "reset"])
def test_rtm_3_2_server_removes_the_session_after_thirty_seconds(how: str) -> None:
    town = Town()
    ann, bob = watched(town)
    town.run(0.6)
    last = ann.last_heard
    if how == "black hole":
        ann.lose_network()
    else:
        ann.refusing = ConnectionFailed("refused")
        ann.cut()
    town.run_to(last + 29.99)
    assert bob.of(MemberLeft) == []
    assert [state for _, state in told_of(bob, "ann")] == [PeerOnlineState.UNREACHABLE]
    town.run(0.1)
    assert bob.of(MemberLeft) == [MemberLeft("plaza", "ann", 1)]
    assert bob.when(MemberLeft) == pytest.approx(last + 30.0 + town.latency, abs=1e-3)
    (_, state) = told_of(bob, "ann")[-1]
    assert state is PeerOnlineState.OFFLINE
    assert told_of(bob, "ann")[-1][0] == pytest.approx(last + 30.0 + town.latency, abs=1e-3)
    assert bob.done(bob.tell("ann", b"x")).status is SendStatus.PEER_UNREACHABLE


@pytest.mark.parametrize("rate", [1.0, 4.0])
def test_rtm_3_2_channel_replay_window_and_max_count_back_from_the_reconnect(rate: float) -> None:
    town = Town()
    ann, bob = watched(town)
    bob.say(b"seen before")
    town.run(1)
    ann.lose_network()
    said: list[tuple[float, bytes]] = []
    for n in range(int(50 * rate)):
        bob.say(b"%d" % n)
        said.append((town.now, b"%d" % n))
        town.run(1 / rate)
    ann.find_network()
    town.run_until(lambda: ann.states[-1:] == [("CONNECTED", "LOGIN_SUCCESS")], 9)
    # A message may be on either side of the window's edge by what it takes to log in and to travel.
    welcome = ann.when(StateChanged, 1)
    town.run(2)
    heard = [body for body in ann.heard() if body != b"seen before"]
    assert heard == [body for _, body in said][-len(heard) :], "the newest ones, in order"
    assert ann.lost() == len(said) - len(heard)
    if rate > 1.1:
        assert len(heard) == limits.REPLAY_MAX == 32
    else:
        young = sum(when >= welcome - limits.REPLAY_WINDOW for when, _ in said)
        assert young - 1 <= len(heard) <= young + 1
        assert len(heard) < 32


def test_rtm_3_2_login_ends_after_twelve_seconds_of_two_attempts() -> None:
    town = Town()
    ann = Rtm(town, "ann")
    ann.away = True
    begun = town.now
    ticket = ann.core.login(town.now)
    town.run(30)
    assert isinstance(ticket.error, RequestTimeout)
    assert ticket.error.code is LoginError.TIMEOUT
    assert ann.when(StateChanged, 1) == pytest.approx(begun + 12.0)
    assert [when for when, _ in ann.opened] == pytest.approx([begun, begun + 6.0], abs=0.5)


def test_rtm_3_2_login_takes_another_figure() -> None:
    town = Town()
    ann = Rtm(town, "ann")
    ann.away = True
    ann.core.login(town.now, 3.0)
    town.run(30)
    assert ann.when(StateChanged, 1) - ann.when(StateChanged, 0) == pytest.approx(3.0)


def tickets(ann: Rtm, group: str, now: float) -> dict[str, tuple[Ticket, object]]:
    """Every call of a group, with the code of its timeout."""
    core = ann.core
    if group == "sends":
        return {
            "send_peer": (
                core.send_peer("bob", MessageType.TEXT, b"x", now=now),
                SendPeerMessageError.TIMEOUT,
            ),
            "publish": (
                core.publish("plaza", MessageType.TEXT, b"x", now=now),
                SendChannelMessageError.TIMEOUT,
            ),
        }
    if group == "operations":
        return {
            "join": (core.join("elsewhere", now=now), JoinChannelError.TIMEOUT),
            "members": (core.members("plaza", now=now), GetMembersError.TIMEOUT),
            "leave": (core.leave("plaza", now=now), LeaveChannelError.FAILURE),
            "set_attributes": (
                core.users.set_attributes({"a": "b"}, now=now),
                AttributeOperationError.TIMEOUT,
            ),
            "update_attributes": (
                core.users.update_attributes({"c": "d"}, now=now),
                AttributeOperationError.TIMEOUT,
            ),
            "delete_attributes": (
                core.users.delete_attributes(["a"], now=now),
                AttributeOperationError.TIMEOUT,
            ),
            "clear_attributes": (core.users.clear_attributes(now=now), AttributeOperationError.TIMEOUT),
            "get_attributes": (core.users.get_attributes("bob", now=now), AttributeOperationError.TIMEOUT),
            "set_channel_attributes": (
                core.channel_info.set_attributes("plaza", {"a": "b"}, now=now),
                AttributeOperationError.TIMEOUT,
            ),
            "update_channel_attributes": (
                core.channel_info.update_attributes("plaza", {"c": "d"}, now=now),
                AttributeOperationError.TIMEOUT,
            ),
            "delete_channel_attributes": (
                core.channel_info.delete_attributes("plaza", ["a"], now=now),
                AttributeOperationError.TIMEOUT,
            ),
            "clear_channel_attributes": (
                core.channel_info.clear_attributes("plaza", now=now),
                AttributeOperationError.TIMEOUT,
            ),
            "get_channel_attributes": (
                core.channel_info.get_attributes("plaza", now=now),
                AttributeOperationError.TIMEOUT,
            ),
            "member_counts": (
                core.channel_info.count_members(["plaza"], now=now),
                ChannelMemberCountError.TIMEOUT,
            ),
            "subscribed_peers": (
                core.users.subscribed(now=now),
                QueryPeersBySubscriptionOptionError.TIMEOUT,
            ),
            "stored_messages": (core.history.stored(now=now), QueryPeersOnlineError.TIMEOUT),
            "flush_stored": (core.history.flush_stored(now=now), QueryPeersOnlineError.TIMEOUT),
            "renew_token": (core.renew_token("token", now=now), RenewTokenError.FAILURE),
        }
    return {
        "subscribe": (core.users.subscribe(["cy"], now=now), PeerSubscriptionStatusError.TIMEOUT),
        "unsubscribe": (core.users.unsubscribe(["bob"], now=now), PeerSubscriptionStatusError.TIMEOUT),
        "query": (core.users.query(["bob"], now=now), QueryPeersOnlineError.TIMEOUT),
    }


@pytest.mark.parametrize(
    ("group", "seconds"), [("sends", 10.0), ("operations", 5.0), ("status subscriptions", 10.0)]
)
def test_rtm_3_2_sends_operations_and_status_subscriptions_wait_and_time_out(
    group: str, seconds: float
) -> None:
    town = Town()
    ann, bob = Rtm(town, "ann").login().join(), Rtm(town, "bob").login()
    ann.done(ann.core.users.subscribe(["bob"], now=town.now))
    ann.lose_network()
    town.run(5)
    assert ann.states[-1] == INTERRUPTED
    begun = town.now
    calls = tickets(ann, group, town.now)
    town.run_to(begun + seconds - 0.001)
    assert [name for name, (ticket, _) in calls.items() if ticket.done] == []
    town.run(0.002)
    for name, (ticket, code) in calls.items():
        assert ticket.done, name
        assert isinstance(ticket.error, RequestTimeout), name
        assert ticket.error.code is code, name
    ann.find_network()
    town.run(10)
    assert bob.messages == [], "sent after its time"


@pytest.mark.parametrize("group", ["sends", "operations", "status subscriptions"])
def test_rtm_3_2_calls_in_reconnecting_succeed_where_the_network_returns_in_their_time(group: str) -> None:
    town = Town()
    ann, _ = Rtm(town, "ann").login().join(), Rtm(town, "bob").login()
    ann.done(ann.core.users.subscribe(["bob"], now=town.now))
    ann.lose_network()
    town.run(5)
    calls = tickets(ann, group, town.now)
    town.run(1)
    ann.find_network()
    town.run(3.9)
    for name, (ticket, _) in calls.items():
        assert ticket.done, name
        assert ticket.error is None, (name, ticket.error)


def test_rtm_3_2_token_will_expire_notice_comes_thirty_seconds_before() -> None:
    town = Town(tokens=True)
    begun = town.now
    ann = Rtm(town, "ann", token=town.token("ann", seconds=100)).login()
    town.run_to(begun + 69)
    assert ann.of(TokenWillExpire) == []
    town.run_to(begun + 95)
    (notice,) = ann.of(TokenWillExpire)
    assert notice.seconds == pytest.approx(30.0, abs=1.0)
    assert ann.when(TokenWillExpire) == pytest.approx(begun + 70, abs=1.0)
    # A new token is told of again, at its own time, and the old one's end is no event.
    renewed_at = town.now
    ann.done(ann.core.renew_token(town.token("ann", seconds=200), now=town.now))
    town.run_to(renewed_at + 169)
    assert len(ann.of(TokenWillExpire)) == 1
    town.run_to(renewed_at + 172)
    assert len(ann.of(TokenWillExpire)) == 2
    assert ann.of(TokenHasExpired) == []
    town.run_to(renewed_at + 260)
    assert (len(ann.of(TokenWillExpire)), len(ann.of(TokenHasExpired))) == (2, 1)
    assert [state for state, _ in ann.states] == ["CONNECTING", "CONNECTED"]


def test_rtm_3_2_retry_back_off_doubles_from_a_quarter_of_a_second_to_eight() -> None:
    town = Town()
    town.chance["random"] = lambda: 1.0
    ann = Rtm(town, "ann").login()
    town.run(5)
    ann.opened.clear()
    ann.refusing = ConnectionFailed("refused")
    ann.cut()
    town.run(60)
    times = [when for when, _ in ann.opened]
    waits = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert waits[:7] == pytest.approx([0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 8.0])
    assert max(waits) <= 8.0 + 1e-9


@pytest.mark.parametrize("seed", range(20))
def test_rtm_3_2_retry_back_off_finds_a_recovery_inside_the_thirty_seconds(seed: int) -> None:
    town = Town(seed)
    ann, bob = watched(town)
    ann.opened.clear()
    ann.refusing = ConnectionFailed("refused")
    last = ann.last_heard
    ann.cut()
    town.run_to(last + 21)
    waits = [later - earlier for (earlier, _), (later, _) in itertools.pairwise(ann.opened)]
    assert all(wait <= min(8.0, 0.25 * 2**n) + 1e-9 for n, wait in enumerate(waits)), "jitter only shortens"
    ann.refusing = None
    town.run_to(last + 32)
    assert ann.states == [INTERRUPTED, ("CONNECTED", "LOGIN_SUCCESS")]
    assert bob.of(MemberLeft) == []


def test_rtm_3_2_heartbeat_keeps_an_idle_connection_from_silence() -> None:
    town = Town(latency=0.3)
    ann = Rtm(town, "ann").login()
    ann.forget()
    to_client, to_server = [ann.silence_began], [ann.last_heard]
    end = town.now + 600
    while town.now < end:
        town.run(0.1)
        if ann.silence_began != to_client[-1]:
            to_client.append(ann.silence_began)
        if ann.last_heard != to_server[-1]:
            to_server.append(ann.last_heard)
    for times in (to_client, to_server):
        assert max(later - earlier for earlier, later in itertools.pairwise(times)) <= 1.5 + 0.11
        assert len(times) < 600 / 1.4, "more often than it has to be"
    assert len(ann.opened) == 1
    assert ann.events == []
