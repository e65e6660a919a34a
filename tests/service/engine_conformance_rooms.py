"""What every engine has to do about rooms and RTC channels as name spaces with members. See `engine_conformance`."""

from typing import Any

import pytest

from rtmcore.codes import JoinChannelError, PeerOnlineState, RoomErrorCode
from rtmcore.limits import (
    OFFLINE_AFTER,
    REPLAY_MAX,
    REPLAY_WINDOW,
    ROOM_PARTICIPANTS,
    RTC_REMOTE_OFFLINE_AFTER,
    UNREACHABLE_AFTER,
)
from rtmcore.service.commands.channels import (
    ChannelNotice,
    MemberNotice,
    Membership,
    MemberStateNotice,
    Unwatch,
)
from rtmcore.service.commands.exclusions import Ban
from rtmcore.service.commands.messages import Logged
from rtmcore.service.commands.names import ROOM, RTC, RTM
from rtmcore.service.commands.results import Settled, Trouble
from rtmcore.service.commands.sessions import Claimed, Ending
from tests.service.engine_conformance import refused
from tests.service.engine_harness import APP, Client, Harness, MakeHarness

ONLINE, UNREACHABLE = PeerOnlineState.ONLINE, PeerOnlineState.UNREACHABLE
FULL = RoomErrorCode.ROOM_MAX_PARTICIPANTS_EXCEEDED


def moves(harness: Harness, scope: str, kind: str = ROOM) -> list[tuple[str, bool, bool]]:
    """Who joined or left, and whether by silence."""
    return [
        (notice.user, notice.joined, notice.dropped)
        for notice in harness.node().of(MemberNotice)
        if (notice.channel, notice.kind) == (scope, kind)
    ]


def states(harness: Harness) -> list[tuple[str, PeerOnlineState]]:
    """What was told of the participants of all rooms."""
    return [(notice.user, notice.state) for notice in harness.node().of(MemberStateNotice)]


def bodies(page: Any) -> list[bytes]:
    return [entry.body for entry in page.entries]


class Rooms:
    def test_an_identity_is_another_one_in_each_room(self, harness: Harness) -> None:
        (red,) = harness.present("red", "alice")
        (blue,) = harness.present("blue", "alice")
        (rtc,) = harness.present("red", "alice", kind=RTC)
        (rtm,) = harness.online("alice")
        for client in (red, blue, rtc, rtm):
            assert client.endings() == []
            assert isinstance(client.come_back(), Claimed)
        assert red.members("red").users == ("alice",)
        second = harness.client("alice", "another-instance", kind=ROOM, scope="red")
        second.log_in()
        assert red.endings() == [Ending.REPLACED, Ending.REMOTE_LOGIN]
        assert blue.endings() == [Ending.REPLACED]

    def test_a_room_an_rtc_channel_and_a_channel_of_one_name_are_three(self, harness: Harness) -> None:
        (alice,) = harness.present("red", "alice")
        harness.present("red", "bob", kind=RTC)
        (carol,) = harness.online("carol")
        harness.node().watch("red")
        assert carol.join("red").users == ("carol",)
        assert moves(harness, "red", ROOM) == [("alice", True, False)]
        assert moves(harness, "red", RTC) == [("bob", True, False)]
        assert moves(harness, "red", RTM) == [("carol", True, False)]
        assert isinstance(alice.publish("red", b"to the room"), Logged)
        assert [(n.kind, n.author.name) for n in carol.node.of(ChannelNotice)] == [(ROOM, "alice")]
        assert bodies(carol.window("red", 0)) == []

    def test_interest_ends_kind_by_kind(self, harness: Harness) -> None:
        harness.present("red", "alice")
        harness.node().watch("red")
        harness.node().submit(Unwatch(APP, "red"))
        (bob,) = harness.present("red", "bob")
        harness.node().submit(Unwatch(APP, "red", ROOM))
        bob.log_out()
        assert moves(harness, "red") == [("alice", True, False), ("bob", True, False)]

    @pytest.mark.parametrize("kind", [ROOM, RTC])
    def test_nobody_joins_anything_else(self, harness: Harness, kind: str) -> None:
        (alice,) = harness.present("red", "alice", kind=kind)
        assert alice.leave("red") == Settled()
        for restore in (False, True):
            value = alice.join("blue", restore=restore)
            assert refused(value) is JoinChannelError.INVALID_ARGUMENT
        assert isinstance(alice.join("red"), Membership)

    def test_a_full_room_refuses_others(self, make: MakeHarness) -> None:
        harness = make(room_participants=2)
        alice, _ = harness.present("red", "alice", "bob")
        carol = harness.client("carol", kind=ROOM, scope="red")
        carol.log_in()
        assert refused(carol.join("red", cmid=1)) is FULL
        assert refused(carol.join("red", restore=True)) is FULL
        assert alice.come_back().resumed
        assert alice.join("red", restore=True).count == 2
        second = harness.client("alice", "another-instance", kind=ROOM, scope="red")
        second.log_in()
        assert second.join("red").count == 2, "whoever takes a name over takes the place too"
        harness.present("blue", "carol")
        second.log_out()
        assert refused(carol.join("red", cmid=1)) is FULL, "a repeat"
        assert carol.join("red", cmid=2).count == 2

    def test_a_room_has_50_participants_an_rtc_channel_has_more(self, harness: Harness) -> None:
        users = [f"user-{number}" for number in range(ROOM_PARTICIPANTS)]
        harness.present("red", *users)
        late = harness.client("late", kind=ROOM, scope="red")
        late.log_in()
        assert refused(late.join("red")) is FULL
        harness.present("red", *users, "one more", kind=RTC)

    @pytest.mark.parametrize(
        ("kind", "keepalive"), [(ROOM, OFFLINE_AFTER), (RTC, RTC_REMOTE_OFFLINE_AFTER), (RTM, OFFLINE_AFTER)]
    )
    def test_silence_drops_a_member_after_its_keepalive(
        self, harness: Harness, kind: str, keepalive: float
    ) -> None:
        if kind == RTM:
            alice, bob = harness.online("alice", "bob")
            harness.node().watch("red")
            alice.join("red")
            bob.join("red")
        else:
            alice, bob = harness.present("red", "alice", "bob", kind=kind)
        joined = [("alice", True, False), ("bob", True, False)]
        alice.silent(gone=True)
        harness.advance(keepalive - 0.1)
        assert moves(harness, "red", kind) == joined
        harness.advance(0.1)
        assert moves(harness, "red", kind)[2:] == [("alice", False, True)]

    @pytest.mark.parametrize("end", ["logout", "leave", "kick", "ban"])
    def test_who_ends_otherwise_is_not_dropped(self, harness: Harness, end: str) -> None:
        (alice,) = harness.present("red", "alice")
        if end == "logout":
            alice.log_out()
        elif end == "leave":
            alice.leave("red")
        elif end == "kick":
            harness.client("alice", "another-instance", kind=ROOM, scope="red").log_in()
        else:
            alice.node.submit(Ban(alice.name, "for a reason"))
        assert moves(harness, "red")[1:] == [("alice", False, False)]

    def test_a_ban_from_one_room_counts_there_only(self, harness: Harness) -> None:
        (red,) = harness.present("red", "alice")
        (blue,) = harness.present("blue", "alice")
        harness.node().submit(Ban(red.name, "for a reason"))
        assert red.endings() == [Ending.BANNED]
        assert blue.endings() == []
        refused(red.log_in())
        assert isinstance(blue.log_in(), Claimed)


class ParticipantStates:
    def test_watchers_are_told_of_silence_and_return(self, harness: Harness) -> None:
        alice, _ = harness.present("red", "alice", "bob")
        alice.silent()
        harness.advance(UNREACHABLE_AFTER - 0.1)
        assert states(harness) == []
        harness.advance(0.1)
        assert states(harness) == [("alice", UNREACHABLE)]
        alice.heard()
        assert states(harness)[1:] == [("alice", ONLINE)]
        alice.heard()
        alice.silent(gone=True)
        harness.advance(UNREACHABLE_AFTER)
        assert alice.come_back().resumed
        assert states(harness)[2:] == [("alice", UNREACHABLE), ("alice", ONLINE)]
        assert len(moves(harness, "red")) == 2
        (notice, *_) = harness.node().of(MemberStateNotice)
        assert (notice.app, notice.channel, notice.kind) == (APP, "red", ROOM)

    def test_a_return_in_time_is_not_told(self, harness: Harness) -> None:
        (alice,) = harness.present("red", "alice")
        alice.silent(gone=True)
        harness.advance(UNREACHABLE_AFTER - 0.1)
        alice.come_back()
        alice.come_back()
        assert states(harness) == []

    def test_a_newcomer_and_a_returner_learn_who_is_unreachable(self, harness: Harness) -> None:
        alice, bob = harness.present("red", "alice", "bob")
        assert bob.members("red").unreachable == ()
        alice.silent()
        harness.advance(UNREACHABLE_AFTER)
        carol = harness.client("carol", kind=ROOM, scope="red")
        carol.log_in()
        value = carol.join("red", cmid=1)
        assert value.users == ("alice", "bob", "carol")
        assert value.unreachable == ("alice",)
        assert carol.join("red", cmid=1).unreachable == ("alice",)
        assert bob.join("red", restore=True).unreachable == ("alice",)
        assert bob.members("red").unreachable == ("alice",)
        alice.heard()
        assert bob.join("red", restore=True).unreachable == ()

    @pytest.mark.parametrize("kind", [RTC, RTM])
    def test_only_rooms_have_states(self, harness: Harness, kind: str) -> None:
        if kind == RTM:
            (alice,) = harness.online("alice")
            harness.node().watch("red")
            alice.join("red")
        else:
            (alice,) = harness.present("red", "alice", kind=kind)
        alice.silent()
        harness.advance(UNREACHABLE_AFTER)
        assert alice.members("red").unreachable == ()
        alice.heard()
        assert states(harness) == []


class FromTheJoinOn:
    """A fresh join is given nothing from before it; a return goes on where it stood."""

    def members(self, harness: Harness, kind: str) -> tuple[Client, Client]:
        if kind == ROOM:
            alice, bob = harness.present("red", "alice", "bob")
        else:
            alice, bob = harness.online("alice", "bob")
            for client in (alice, bob):
                client.join("red")
        return alice, bob

    @pytest.mark.parametrize("kind", [ROOM, RTM])
    def test_an_earlier_position_does_not_help(self, harness: Harness, kind: str) -> None:
        alice, bob = self.members(harness, kind)
        for number in range(REPLAY_MAX + 8):
            alice.publish("red", b"before %d" % number)
        bob.log_out()
        bob.log_in()
        assert isinstance(bob.join("red"), Membership)
        alice.publish("red", b"after")
        page = bob.window("red", 0)
        assert (bodies(page), page.lost) == ([b"after"], 0)
        (_, page), = bob.windows(("red", 0)).pages  # fmt: skip
        assert (bodies(page), page.lost) == ([b"after"], 0)

    def test_a_login_restores_nothing_of_a_room(self, harness: Harness) -> None:
        (alice,) = harness.present("red", "alice")
        alice.publish("red", b"before")
        bob = harness.client("bob", kind=ROOM, scope="red")
        bob.log_in()
        assert isinstance(bob.join("red", restore=True), Membership)
        alice.publish("red", b"after")
        for _ in range(2):
            page = bob.window("red", 0)
            assert (bodies(page), page.lost) == ([b"after"], 0)
            bob.silent(gone=True)
            harness.advance(OFFLINE_AFTER - 1)
            alice.publish("red", b"later")
            harness.advance(2)
            assert not bob.claim().resumed
            assert isinstance(bob.join("red", restore=True), Membership)
            page = bob.window("red", 0)
            assert (bodies(page), page.lost) == ([b"later"], 1), "a return goes on where the login stood"
            bob.log_out()
            bob.log_in()
            assert isinstance(bob.join("red", restore=True), Membership)
            alice.publish("red", b"after")

    @pytest.mark.parametrize("kind", [ROOM, RTM])
    @pytest.mark.parametrize("away", [5.0, OFFLINE_AFTER + 5])
    def test_a_return_is_given_what_was_published_meanwhile(
        self, harness: Harness, kind: str, away: float
    ) -> None:
        alice, bob = self.members(harness, kind)
        seen = alice.publish("red", b"seen").id
        bob.silent(gone=True)
        alice.publish("red", b"old")
        harness.advance(away)
        alice.publish("red", b"new")
        assert isinstance(bob.claim(), Claimed)
        assert isinstance(bob.join("red", restore=True), Membership)
        page = bob.window("red", seen)
        if away > REPLAY_WINDOW:
            assert (bodies(page), page.lost) == ([b"new"], 1)
        else:
            assert (bodies(page), page.lost) == ([b"old", b"new"], 0)


class ReplayInTotal:
    """Windows of several channels, read together."""

    def test_the_newest_of_all_are_given_and_the_rest_is_counted(self, harness: Harness) -> None:
        alice, bob = harness.online("alice", "bob")
        channels = ["c1", "c2", "c3"]
        tops = {}
        for channel in channels:
            for client in (alice, bob):
                client.join(channel)
        start = {channel: bob.window(channel, 0).top for channel in channels}
        for number in range(60):
            channel = channels[number % 2]
            tops[channel] = alice.publish(channel, b"%d" % number).id
        tops["c3"] = bob.publish("c3", b"own").id
        pages = bob.windows(*start.items()).pages
        assert [name for name, _ in pages] == channels
        given = {name: [int(body) for body in bodies(page)] for name, page in pages}
        assert given == {"c1": list(range(28, 60, 2)), "c2": list(range(29, 60, 2)), "c3": []}
        assert [page.lost for _, page in pages] == [14, 14, 0]
        assert sum(len(page.entries) for _, page in pages) == REPLAY_MAX
        assert all(page.complete and page.top >= tops[name] for name, page in pages)
        assert bob.window("c1", start["c1"]).lost == 0, "alone, a channel gives all of its window"

    def test_few_messages_are_given_all(self, harness: Harness) -> None:
        alice, bob = harness.online("alice", "bob")
        for client in (alice, bob):
            client.join("c1")
            client.join("c2")
        first = alice.publish("c1", b"1").id
        alice.publish("c1", b"2")
        alice.publish("c2", b"3")
        pages = bob.windows(("c2", 0), ("c1", first)).pages
        assert [(name, bodies(page), page.lost) for name, page in pages] == [
            ("c2", [b"3"], 0),
            ("c1", [b"2"], 0),
        ]

    def test_channels_that_one_is_not_in_are_left_out(self, harness: Harness) -> None:
        alice, bob = harness.online("alice", "bob")
        alice.join("c1")
        bob.join("c2")
        assert [name for name, _ in bob.windows(("c1", 0), ("c2", 0)).pages] == ["c2"]
        old = bob.here
        bob.come_back()
        bob.session, current = old, bob.session
        assert refused(bob.windows(("c2", 0))) is Trouble.FENCED
        bob.session = current
        assert bob.windows().pages == ()


class RoomsOnDisk:
    """Engines with a journal."""

    def test_participants_return_after_a_restart(self, harness: Harness) -> None:
        (red,) = harness.present("red", "alice")
        (blue,) = harness.present("blue", "alice")
        (rtc,) = harness.present("red", "alice", kind=RTC)
        harness.settle()
        harness.restart()
        harness.node().watch("red", ROOM)
        for client in (red, blue, rtc):
            value = client.come_back()
            assert value.resumed
            assert client.join(client.scope, restore=True).users == ("alice",)
        assert moves(harness, "red") == [("alice", True, False)]
        assert states(harness) == []

    def test_who_does_not_return_is_gone(self, harness: Harness) -> None:
        alice, rtc = *harness.present("red", "alice"), *harness.present("red", "alice", kind=RTC)
        harness.settle()
        harness.restart()
        harness.advance(RTC_REMOTE_OFFLINE_AFTER)
        assert refused(rtc.come_back()) is Trouble.UNAUTHORIZED
        harness.advance(OFFLINE_AFTER - RTC_REMOTE_OFFLINE_AFTER)
        assert refused(alice.come_back()) is Trouble.UNAUTHORIZED
