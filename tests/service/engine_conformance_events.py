"""What every engine has to do about event feeds, and about putting users and members out; see `engine_conformance`."""

from typing import Any

import pytest

from rtmcore.codes import JoinChannelError, LeaveChannelError
from rtmcore.limits import (
    EVENT_FEED_PER_CALL,
    EVENT_FEED_REPEATED,
    EVENT_FEED_STORED,
    IDEMPOTENCY_SECONDS,
    OFFLINE_AFTER,
)
from rtmcore.service.commands.channels import MemberNotice, Membership
from rtmcore.service.commands.event_feeds import Events, FeedEvent, Record, TakeEvents
from rtmcore.service.commands.exclusions import BANNED, Ban, Expel, ExpelNotice, Kick, PutOut, Unban
from rtmcore.service.commands.names import RTM, Name
from rtmcore.service.commands.results import Refusal, Settled, Trouble
from rtmcore.service.commands.sessions import Claimed, Ended, Ending
from tests.service.engine_conformance import refused
from tests.service.engine_harness import APP, Client, Harness, MakeHarness


class Office:
    """A node that acts for a server key."""

    def __init__(self, harness: Harness) -> None:
        self.harness = harness
        self.number = 0
        self.harness.node().submit(Record(APP, on=True))

    def do(self, command: Any) -> Any:
        return self.harness.do(self.harness.node(), command)

    def take(self, key: str = "", *, channels: bool = False) -> Events:
        self.number += 1
        events = self.do(TakeEvents(self.number, APP, key, channels))
        assert isinstance(events, Events), events
        return events

    def said(self, *, channels: bool = False) -> list[tuple[str, bool]]:
        """Who came or went, and whether he came."""
        return [(event.user, event.began) for event in self.take(channels=channels).events]

    def kick(self, user: str, key: str = "", text: str = "enough") -> Any:
        self.number += 1
        return self.do(Kick(self.number, Name(APP, RTM, user), key, text))

    def expel(self, user: str, channel: str = "room", key: str = "", text: str = "enough") -> Any:
        self.number += 1
        return self.do(Expel(self.number, Name(APP, RTM, user), key, channel, text))


@pytest.fixture
def office(harness: Harness) -> Office:
    return Office(harness)


class Feeds:
    def test_a_user_comes_online_once_and_goes_offline_once(self, harness: Harness, office: Office) -> None:
        alice = harness.client("alice")
        alice.log_in()
        assert office.take().events == (FeedEvent("alice", True, harness.wall),)
        harness.advance(1)
        alice.claim()
        harness.client("alice", "another-instance").log_in()
        assert office.said() == [], "whoever it is, alice is online"
        other = harness.client("alice", "a-third-instance")
        other.log_in()
        other.log_out()
        assert office.take().events == (FeedEvent("alice", False, harness.wall),)

    def test_silence_bans_and_kicks_make_users_offline(self, harness: Harness, office: Office) -> None:
        alice, _, _ = harness.online("alice", "bob", "carol")
        assert len(office.said()) == 3
        alice.silent()
        harness.advance(OFFLINE_AFTER + 0.1)
        office.do(Ban(Name(APP, RTM, "bob"), "spam"))
        office.kick("carol")
        assert office.said() == [("alice", False), ("bob", False), ("carol", False)]

    def test_members_come_and_go(self, harness: Harness, office: Office) -> None:
        alice, bob = harness.online("alice", "bob")
        alice.join("room")
        bob.join("room")
        harness.advance(1)
        alice.leave("room")
        bob.log_out()
        first, wall = harness.wall - 1_000_000, harness.wall
        assert office.take(channels=True).events == (
            FeedEvent("alice", True, first, "room"),
            FeedEvent("bob", True, first, "room"),
            FeedEvent("alice", False, wall, "room"),
            FeedEvent("bob", False, wall, "room"),
        )
        assert office.said(channels=True) == []

    def test_large_channels_are_told_of_in_feeds_alone(self, make: MakeHarness) -> None:
        harness = make(member_events=2)
        office = Office(harness)
        clients = harness.online("a", "b", "c", "d")
        harness.node().watch("room")
        for client in clients:
            client.join("room")
        told = [notice.user for notice in harness.node().of(MemberNotice)]
        assert told == ["a", "b"]
        assert office.said(channels=True) == [("a", True), ("b", True), ("c", True), ("d", True)]

    def test_rooms_have_no_feeds(self, harness: Harness, office: Office) -> None:
        harness.present("lobby", "alice", "bob")
        assert office.said() == office.said(channels=True) == []

    def test_what_is_not_recorded_is_not_there(self, harness: Harness) -> None:
        (alice,) = harness.online("alice")
        office = Office(harness)
        assert office.said() == []
        alice.log_out()
        harness.node().submit(Record(APP, on=True))
        assert office.said() == [("alice", False)], "to be recorded again changes nothing"
        alice.log_in(attempt=2)
        harness.node().submit(Record(APP, on=False))
        assert office.said() == []

    def test_the_oldest_events_make_room_and_are_counted(self, harness: Harness, office: Office) -> None:
        (alice,) = harness.online("alice")
        for _ in range(EVENT_FEED_STORED // 2 + 3):
            alice.join("room")
            alice.leave("room")
        first = office.take(channels=True)
        assert (len(first.events), first.lost) == (EVENT_FEED_PER_CALL, 6)
        assert first.left == EVENT_FEED_STORED - EVENT_FEED_PER_CALL
        second = office.take(channels=True)
        assert (len(second.events), second.lost, second.left) == (EVENT_FEED_PER_CALL, 0, 0)
        assert office.take(channels=True).events == ()

    def test_a_repeat_takes_the_same_events(self, harness: Harness, office: Office) -> None:
        harness.online("alice", "bob")
        first = office.take("k")
        assert [event.user for event in first.events] == ["alice", "bob"]
        harness.online("carol")
        assert office.take("k") == first
        assert office.take("k", channels=True).events == (), "each feed has keys of its own"
        assert office.said() == [("carol", True)]
        assert office.take("k") == first
        harness.advance(IDEMPOTENCY_SECONDS)
        assert office.take("k").events == (), "a key is free again after its time"

    def test_what_is_kept_for_repeats_is_bounded(self, harness: Harness, office: Office) -> None:
        harness.online("alice")
        first = office.take("first")
        for number in range(EVENT_FEED_REPEATED - 2):
            harness.node().submit(TakeEvents(number, APP, f"k{number}", False))
        assert office.take("first") == first
        office.take("one more")
        assert office.take("first").events == ()

    def test_apps_share_nothing(self, harness: Harness, office: Office) -> None:
        harness.online("alice")
        other = TakeEvents(1, "another app", "", False)
        assert office.do(other).events == ()
        assert office.said() == [("alice", True)]


class FeedsOnDisk:
    def test_a_restart_begins_with_empty_feeds_and_another_epoch(self, harness: Harness) -> None:
        office = Office(harness)
        alice, bob = harness.online("alice", "bob")
        alice.join("room")
        epoch = office.take("k").epoch
        harness.settle()
        harness.restart()
        office = Office(harness)
        after = office.take("k")
        assert after.events == ()
        assert after.epoch != epoch
        alice.come_back()
        alice.join("room", restore=True)
        harness.advance(OFFLINE_AFTER + 1)
        assert office.said() == [("bob", False)], "who was online before has not come online"
        assert office.said(channels=True) == [("alice", True)]
        bob.log_in()
        assert office.said() == [("bob", True)]


class PuttingOut:
    def test_a_kick_ends_the_session_and_nothing_more(self, harness: Harness, office: Office) -> None:
        alice, bob = harness.online("alice", "bob")
        harness.node().watch("room")
        for client in (alice, bob):
            client.join("room")
        before = alice.here
        assert office.kick("alice", text="be nice") == PutOut(there=True)
        assert harness.node().of(Ended) == [Ended(before, Ending.BANNED, "be nice")]
        left = harness.node().of(MemberNotice)[-1]
        assert (left.user, left.joined, left.count) == ("alice", False, 1)
        assert refused(alice.publish("room")) is Trouble.FENCED
        assert isinstance(alice.log_in(), Claimed)

    def test_a_kicked_client_does_not_come_back_by_itself(self, harness: Harness, office: Office) -> None:
        (alice,) = harness.online("alice")
        alice.silent(gone=True)
        assert office.kick("alice", text="be nice") == PutOut(there=True)
        assert alice.endings() == [], "there is no transport to end"
        for _ in range(2):
            assert alice.come_back() == alice.claim() == Refusal(BANNED, "be nice")
        assert refused(alice.claim(authorized=False, secret=None)) is Trouble.UNAUTHORIZED
        assert isinstance(alice.log_in(), Claimed)
        assert alice.come_back().resumed

    def test_nobody_is_kicked_who_is_not_there(self, harness: Harness, office: Office) -> None:
        (alice,) = harness.online("alice")
        alice.log_out()
        assert office.kick("alice") == office.kick("nobody") == PutOut(there=False)
        assert isinstance(alice.claim(), Claimed)

    def test_a_repeated_kick_spares_the_next_login(self, harness: Harness, office: Office) -> None:
        (alice,) = harness.online("alice")
        assert office.kick("alice", "k") == PutOut(there=True)
        alice.log_in()
        assert office.kick("alice", "k") == PutOut(there=True)
        assert alice.come_back().resumed
        assert office.kick("alice") == PutOut(there=True)
        harness.advance(IDEMPOTENCY_SECONDS)
        assert office.kick("alice", "k") == PutOut(there=False)

    def test_a_member_who_is_taken_out_may_join_again(self, harness: Harness, office: Office) -> None:
        alice, bob = harness.online("alice", "bob")
        harness.node().watch("room")
        for client in (alice, bob):
            client.join("room")
            client.join("other")
        assert office.expel("alice", text="be nice") == PutOut(there=True)
        assert harness.node().of(ExpelNotice) == [ExpelNotice(alice.here, "room", "be nice")]
        left = harness.node().of(MemberNotice)[-1]
        assert (left.user, left.joined, left.count, left.dropped) == ("alice", False, 1, False)
        assert isinstance(alice.publish("room"), Refusal)
        assert alice.endings() == []
        assert members(bob, "room") == ("bob",)
        assert set(members(bob, "other")) == {"alice", "bob"}
        assert isinstance(alice.join("room"), Membership)

    def test_a_return_does_not_bring_one_back_who_was_taken_out(
        self, harness: Harness, office: Office
    ) -> None:
        (alice,) = harness.online("alice")
        alice.join("room")
        alice.silent(gone=True)
        assert office.expel("alice", text="be nice") == PutOut(there=True)
        assert harness.node().of(ExpelNotice) == []
        alice.come_back()
        assert alice.join("room", restore=True) == Refusal(JoinChannelError.REJECTED, "be nice")
        alice.silent()
        harness.advance(OFFLINE_AFTER + 1)
        assert isinstance(alice.claim(), Claimed), "a new session of the same instance"
        assert alice.join("room", restore=True) == Refusal(JoinChannelError.REJECTED, "be nice")
        assert isinstance(alice.join("room"), Membership)
        assert isinstance(alice.join("room", restore=True), Membership)

    def test_a_repeated_join_does_not_bring_him_back_either(self, harness: Harness, office: Office) -> None:
        (alice,) = harness.online("alice")
        alice.join("room", cmid=7)
        alice.silent(gone=True)
        office.expel("alice", text="be nice")
        alice.come_back()
        assert alice.join("room", cmid=7) == Refusal(JoinChannelError.REJECTED, "be nice")
        assert isinstance(alice.join("room", cmid=8), Membership)

    def test_a_login_forgets_it(self, harness: Harness, office: Office) -> None:
        (alice,) = harness.online("alice")
        alice.join("room")
        office.expel("alice")
        alice.log_in()
        assert isinstance(alice.join("room", restore=True), Membership)

    def test_a_leave_that_comes_too_late_is_told_so(self, harness: Harness, office: Office) -> None:
        (alice,) = harness.online("alice")
        alice.join("room")
        office.expel("alice")
        assert refused(alice.leave("room")) is LeaveChannelError.KICKED
        assert refused(alice.leave("another")) is LeaveChannelError.NOT_IN_CHANNEL

    def test_nobody_is_taken_out_who_is_not_in(self, harness: Harness, office: Office) -> None:
        harness.online("alice")
        assert office.expel("alice") == office.expel("nobody") == PutOut(there=False)

    def test_a_repeated_expulsion_spares_who_joined_again(self, harness: Harness, office: Office) -> None:
        (alice,) = harness.online("alice")
        alice.join("room")
        assert office.expel("alice", key="k") == PutOut(there=True)
        alice.join("room")
        assert office.expel("alice", key="k") == PutOut(there=True)
        assert members(alice, "room") == ("alice",)

    def test_a_repeated_ban_or_its_end_is_carried_out_once(self, harness: Harness, office: Office) -> None:
        name = Name(APP, RTM, "alice")
        ban, unban = Ban(name, "spam", "k"), Unban(name, "k")
        assert office.do(ban) == Settled()
        assert office.do(unban) == Settled()
        assert office.do(Ban(name, "spam", "k")) == Settled()
        alice = harness.client("alice")
        assert isinstance(alice.log_in(), Claimed)
        assert office.do(Ban(name, "spam", "other")) == Settled()
        assert office.do(Unban(name, "k")) == Settled()
        assert alice.log_in() == Refusal(BANNED, "spam")


def members(client: Client, channel: str) -> tuple[str, ...]:
    value = client.members(channel)
    assert isinstance(value, Membership), value
    assert value.users is not None
    return value.users


class PuttingOutWithLateDisk:
    def test_one_whom_a_restart_brought_back_can_be_kicked(self, harness: Harness) -> None:
        (alice,) = harness.online("alice")
        harness.settle()
        harness.restart()
        office = Office(harness)
        assert office.kick("alice", text="be nice") == PutOut(there=True)
        assert alice.come_back() == Refusal(BANNED, "be nice")
        harness.settle()
        harness.restart()
        assert isinstance(alice.claim(), Claimed), "a kick is forgotten then, and a new session begins"

    def test_repeats_of_a_ban_wait_for_the_disk_together(self, harness: Harness) -> None:
        harness.settle()
        harness.system.hold()
        name, node = Name(APP, RTM, "alice"), harness.node()
        bans = [Ban(name, "spam", "k"), Ban(name, "spam", "k")]
        for ban in bans:
            node.submit(ban)
        assert [harness.answer(ban) for ban in bans] == [None, None]
        harness.system.let_go()
        assert [harness.answer(ban) for ban in bans] == [Settled(), Settled()]
