"""What every engine has to do about presence. See `engine_conformance`."""

import gc
import weakref

import pytest

from rtmcore.codes import PeerOnlineState, PeerSubscriptionStatusError
from rtmcore.limits import OFFLINE_AFTER, PRESENCE_SUBSCRIPTIONS, UNREACHABLE_AFTER
from rtmcore.service.commands.presence import (
    ListSubscriptions,
    PresenceNotice,
    QueryPresence,
    States,
    SubscribePresence,
    UnsubscribePresence,
    UserNames,
)
from rtmcore.service.commands.results import Refusal, Settled, Trouble
from rtmcore.service.commands.sessions import Claimed
from rtmcore.service.commands.table import Answer
from tests.service.engine_conformance import refused
from tests.service.engine_harness import Client, Harness, MakeHarness

ONLINE, UNREACHABLE, OFFLINE = PeerOnlineState.ONLINE, PeerOnlineState.UNREACHABLE, PeerOnlineState.OFFLINE


def subscribed(harness: Harness, *users: str) -> Client:
    """A client of its own that is told of users, and was told of them once."""
    (watcher,) = harness.online("watcher")
    assert watcher.subscribe(*users) == Settled()
    assert len(watcher.presence()) == 1
    return watcher


class Presence:
    def test_the_states_of_all_who_are_new_follow_the_answer(self, harness: Harness) -> None:
        watcher, _, silent, gone = harness.online("watcher", "alice", "bob", "carol")
        silent.silent()
        gone.log_out()
        harness.advance(UNREACHABLE_AFTER)
        assert watcher.subscribe("alice", "bob", "carol", "nobody") == Settled()
        assert [type(output) for output in watcher.node.log[-2:]] == [Answer, PresenceNotice]
        states = {"alice": ONLINE, "bob": UNREACHABLE, "carol": OFFLINE, "nobody": OFFLINE}
        assert watcher.presence() == [states]

    def test_only_changes_are_told_later(self, harness: Harness) -> None:
        alice = harness.client("alice")
        watcher = subscribed(harness, "alice")
        expected = [{"alice": OFFLINE}]
        for step, state in [
            (alice.log_in, ONLINE),
            (lambda: alice.silent(), None),
            (lambda: harness.advance(UNREACHABLE_AFTER - 0.1), None),
            (lambda: harness.advance(0.1), UNREACHABLE),
            (alice.heard, ONLINE),
            (lambda: alice.silent(gone=True), None),
            (lambda: harness.advance(UNREACHABLE_AFTER), UNREACHABLE),
            (alice.come_back, ONLINE),
            (alice.come_back, None),
            (alice.log_out, OFFLINE),
        ]:
            step()
            if state is not None:
                expected.append({"alice": state})
            assert watcher.presence() == expected

    def test_a_silent_user_is_unreachable_after_6_s_and_offline_after_30_s(self, harness: Harness) -> None:
        (alice,) = harness.online("alice")
        watcher = subscribed(harness, "alice")
        alice.silent(gone=True)
        harness.advance(UNREACHABLE_AFTER)
        assert watcher.presence()[1:] == [{"alice": UNREACHABLE}]
        harness.advance(OFFLINE_AFTER - UNREACHABLE_AFTER - 0.1)
        assert len(watcher.presence()) == 2
        harness.advance(0.1)
        harness.advance(100.0)
        assert watcher.presence()[2:] == [{"alice": OFFLINE}]
        assert isinstance(alice.claim(), Claimed)
        assert watcher.presence()[3:] == [{"alice": ONLINE}]

    def test_a_ban_makes_offline_at_once(self, harness: Harness) -> None:
        harness.online("alice")
        watcher = subscribed(harness, "alice")
        watcher.node.ban("alice")
        assert watcher.presence()[1:] == [{"alice": OFFLINE}]

    def test_who_is_kicked_by_a_login_of_the_same_name_stays_online(self, harness: Harness) -> None:
        harness.online("alice")
        watcher = subscribed(harness, "alice")
        second = harness.client("alice", "another-instance")
        assert isinstance(second.log_in(), Claimed)
        assert isinstance(second.log_in(), Claimed)
        assert watcher.presence() == [{"alice": ONLINE}]

    def test_a_login_over_an_unreachable_session_makes_online(self, harness: Harness) -> None:
        (alice,) = harness.online("alice")
        watcher = subscribed(harness, "alice")
        alice.silent()
        harness.advance(UNREACHABLE_AFTER)
        harness.client("alice", "another-instance").log_in()
        assert watcher.presence()[1:] == [{"alice": UNREACHABLE}, {"alice": ONLINE}]

    def test_nothing_is_told_of_others(self, harness: Harness) -> None:
        (bob,) = harness.online("bob")
        watcher = subscribed(harness, "alice")
        bob.log_out()
        participant = harness.client("alice", kind="room", scope="red")
        assert isinstance(participant.log_in(), Claimed)
        assert watcher.presence() == [{"alice": OFFLINE}], "name spaces do not touch each other"

    def test_each_subscriber_is_told_on_its_own_node(self, harness: Harness) -> None:
        first = harness.client("first", node="n1")
        second = harness.client("second", node="n2")
        for watcher in (first, second):
            watcher.log_in()
            watcher.subscribe("alice")
        harness.online("alice")
        for watcher in (first, second):
            assert watcher.presence() == [{"alice": OFFLINE}, {"alice": ONLINE}]
            assert len(watcher.node.of(PresenceNotice)) == 2

    def test_a_user_may_subscribe_to_itself(self, harness: Harness) -> None:
        (alice,) = harness.online("alice")
        alice.subscribe("alice")
        alice.silent()
        harness.advance(UNREACHABLE_AFTER)
        alice.heard()
        assert alice.presence() == [{"alice": ONLINE}, {"alice": UNREACHABLE}, {"alice": ONLINE}]
        alice.silent(gone=True)
        harness.advance(UNREACHABLE_AFTER)
        assert alice.come_back().resumed
        assert alice.presence() == [{"alice": ONLINE}]

    def test_after_an_unsubscription_nothing_is_told(self, harness: Harness) -> None:
        (alice,) = harness.online("alice")
        watcher = subscribed(harness, "alice", "bob")
        assert watcher.unsubscribe("alice", "nobody") == Settled()
        assert watcher.unsubscribe("alice") == Settled()
        alice.log_out()
        harness.online("bob")
        assert watcher.presence()[1:] == [{"bob": ONLINE}]

    def test_who_subscribes_again_is_told_of_the_new_ones_only(self, harness: Harness) -> None:
        watcher = subscribed(harness, "alice")
        assert watcher.subscribe("alice", "alice") == Settled()
        assert len(watcher.presence()) == 1
        assert watcher.subscribe("alice", "bob", "bob") == Settled()
        assert watcher.presence()[1:] == [{"bob": OFFLINE}]
        harness.online("bob")
        assert watcher.presence()[2:] == [{"bob": ONLINE}]

    def test_the_cap_counts_each_user_once(self, make: MakeHarness) -> None:
        harness = make(presence_subscriptions=3)
        watcher = subscribed(harness, "a", "b")
        assert watcher.subscribe("a", "b") == Settled()
        overflow = PeerSubscriptionStatusError.OVERFLOW
        assert refused(watcher.subscribe("b", "c", "d")) is overflow
        harness.online("c", "d")
        assert len(watcher.presence()) == 1, "an overflow adds nothing"
        assert watcher.subscribe("b", "c", "c") == Settled()
        assert refused(watcher.subscribe("d")) is overflow
        assert watcher.unsubscribe("a") == Settled()
        assert watcher.subscribe("d") == Settled()

    def test_512_users_can_be_subscribed_to(self, harness: Harness) -> None:
        (watcher,) = harness.online("watcher")
        users = [f"user-{number}" for number in range(PRESENCE_SUBSCRIPTIONS)]
        assert watcher.subscribe(*users) == Settled()
        assert watcher.presence() == [dict.fromkeys(users, OFFLINE)]
        assert refused(watcher.subscribe("one more")) is PeerSubscriptionStatusError.OVERFLOW

    def test_after_a_return_all_states_are_told_behind_the_claim(self, harness: Harness) -> None:
        alice, _, carol = harness.online("alice", "bob", "carol")
        watcher = subscribed(harness, "alice", "bob", "carol", "nobody")
        watcher.silent(gone=True)
        alice.log_out()
        carol.silent()
        harness.advance(UNREACHABLE_AFTER)
        assert len(watcher.presence()) == 1, "nothing is written to a transport that is gone"
        assert watcher.come_back().resumed
        assert [type(output) for output in watcher.node.log[-2:]] == [Answer, PresenceNotice]
        states = {"alice": OFFLINE, "bob": ONLINE, "carol": UNREACHABLE, "nobody": OFFLINE}
        assert watcher.presence() == [states]
        carol.heard()
        assert watcher.presence()[1:] == [{"carol": ONLINE}]

    def test_a_return_without_subscriptions_tells_nothing(self, harness: Harness) -> None:
        (alice,) = harness.online("alice")
        assert alice.come_back().resumed
        assert alice.node.of(PresenceNotice) == []

    @pytest.mark.parametrize("end", ["logout", "silence", "kick", "login"])
    def test_subscriptions_end_with_the_session(self, harness: Harness, end: str) -> None:
        watcher = subscribed(harness, "alice")
        successor = watcher
        if end == "logout":
            watcher.log_out()
        elif end == "silence":
            watcher.silent(gone=True)
            harness.advance(OFFLINE_AFTER)
        elif end == "kick":
            successor = harness.client("watcher", "another-instance")
        assert not (successor.claim() if end == "silence" else successor.log_in()).resumed
        before = len(successor.node.of(PresenceNotice))
        harness.online("alice")
        assert len(successor.node.of(PresenceNotice)) == before
        assert successor.subscribe("alice") == Settled()
        assert successor.presence() == [{"alice": ONLINE}]

    def test_what_a_subscriber_named_is_freed_when_it_goes(self, harness: Harness) -> None:
        class Text(str):
            """A string whose end can be observed."""

        def subscribe(watcher: Client) -> "weakref.ref[Text]":
            user = Text("nobody of this name was ever here")
            assert watcher.subscribe(user) == Settled()
            return weakref.ref(user)

        first, second = harness.online("first", "second")
        observed = [subscribe(first), subscribe(second)]
        first.unsubscribe("nobody of this name was ever here")
        second.log_out()
        first.node.log.clear()
        gc.collect()
        assert [ref() for ref in observed] == [None, None]

    def test_a_repeat_is_given_the_recorded_result(self, make: MakeHarness) -> None:
        harness = make(presence_subscriptions=1)
        (watcher,) = harness.online("watcher")
        commands = [
            SubscribePresence(watcher.here, 1, 0, ("alice",)),
            SubscribePresence(watcher.here, 2, 0, ("bob",)),
            UnsubscribePresence(watcher.here, 3, 0, ("alice",)),
        ]
        first = [watcher.ask(command) for command in commands]
        assert [type(value) for value in first] == [Settled, Refusal, Settled]
        watcher.come_back()
        again = [harness.answer(watcher.again(command)) for command in commands]
        assert again == first
        assert watcher.presence() == [], "a repeat is not executed"
        assert harness.answer(watcher.again(SubscribePresence(watcher.here, 4, 0, ("bob",)))) == Settled()

    def test_a_new_session_executes_a_repeat(self, harness: Harness) -> None:
        (watcher,) = harness.online("watcher")
        command = SubscribePresence(watcher.here, 1, 0, ("alice",))
        watcher.ask(command)
        watcher.silent(gone=True)
        harness.advance(OFFLINE_AFTER)
        assert not watcher.claim().resumed
        assert harness.answer(watcher.again(command)) == Settled()
        assert watcher.presence() == [{"alice": OFFLINE}]

    def test_only_the_current_transport_may_ask(self, harness: Harness) -> None:
        (watcher,) = harness.online("watcher")
        old = watcher.here
        watcher.come_back()
        for kind in (SubscribePresence, UnsubscribePresence):
            assert refused(watcher.ask(kind(old, 1, 0, ("alice",)))) is Trouble.FENCED
        harness.online("alice")
        assert watcher.node.of(PresenceNotice) == []


class PresenceQueries:
    def test_a_query_is_answered_in_the_order_that_was_asked_for(self, harness: Harness) -> None:
        alice, _, carol = harness.online("alice", "bob", "carol")
        carol.log_out()
        states = (("nobody", OFFLINE), ("bob", ONLINE), ("carol", OFFLINE), ("alice", ONLINE))
        assert alice.query("nobody", "bob", "carol", "alice") == States(states)
        assert alice.presence() == [], "a query is no subscription"

    def test_who_is_unreachable_counts_as_online(self, harness: Harness) -> None:
        alice, bob = harness.online("alice", "bob")
        bob.silent(gone=True)
        harness.advance(UNREACHABLE_AFTER)
        assert alice.query("bob") == States((("bob", ONLINE),))
        harness.advance(OFFLINE_AFTER)
        assert alice.query("bob") == States((("bob", OFFLINE),))

    def test_only_the_own_name_space_is_asked(self, harness: Harness) -> None:
        (alice,) = harness.online("alice")
        participant = harness.client("bob", kind="room", scope="red")
        assert isinstance(participant.log_in(), Claimed)
        assert alice.query("bob") == States((("bob", OFFLINE),))

    def test_subscriptions_are_listed_in_order_and_once(self, harness: Harness) -> None:
        (alice,) = harness.online("alice")
        assert alice.subscriptions() == UserNames(())
        alice.subscribe("bob", "carol", "bob")
        alice.subscribe("dave", "carol")
        alice.unsubscribe("bob", "unknown")
        assert alice.subscriptions() == UserNames(("carol", "dave"))
        alice.come_back()
        assert alice.subscriptions() == UserNames(("carol", "dave"))
        alice.log_out()
        alice.log_in()
        assert alice.subscriptions() == UserNames(())

    def test_only_the_current_transport_may_query(self, harness: Harness) -> None:
        (alice,) = harness.online("alice")
        old = alice.here
        alice.come_back()
        assert refused(alice.ask(QueryPresence(old, 1, 0, ("alice",)))) is Trouble.FENCED
        assert refused(alice.ask(ListSubscriptions(old, 2, 0))) is Trouble.FENCED


class PresenceOnDisk:
    """Engines with a journal: sessions that a restart brings back are unreachable until they return."""

    def test_who_returns_after_a_restart_is_online_again(self, harness: Harness) -> None:
        (alice,) = harness.online("alice")
        harness.settle()
        harness.restart()
        watcher = subscribed(harness, "alice")
        assert watcher.presence() == [{"alice": UNREACHABLE}]
        harness.advance(OFFLINE_AFTER - 1)
        assert alice.come_back().resumed
        harness.advance(100.0)
        assert watcher.presence()[1:] == [{"alice": ONLINE}]

    def test_who_does_not_return_goes_offline_once(self, harness: Harness) -> None:
        harness.online("alice")
        harness.settle()
        harness.restart()
        watcher = subscribed(harness, "alice")
        harness.advance(OFFLINE_AFTER - 1)
        assert watcher.presence() == [{"alice": UNREACHABLE}]
        harness.advance(1)
        harness.advance(100.0)
        assert watcher.presence()[1:] == [{"alice": OFFLINE}]

    def test_subscriptions_do_not_outlive_the_process(self, harness: Harness) -> None:
        watcher = subscribed(harness, "alice")
        harness.settle()
        epoch = watcher.come_back().epoch
        harness.settle()
        harness.restart()
        value = watcher.come_back()
        assert value.resumed
        assert value.epoch != epoch
        harness.online("alice")
        assert watcher.node.of(PresenceNotice) == []
        assert watcher.subscribe("alice") == Settled()
        assert watcher.presence() == [{"alice": ONLINE}]
