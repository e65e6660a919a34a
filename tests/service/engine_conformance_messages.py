"""What every engine has to do, as far as peer messages go; see `engine_conformance`."""

import pytest

from rtmcore.limits import INBOX_ENTRY_OVERHEAD
from rtmcore.service.commands.messages import Logged, PeerOutcome
from rtmcore.service.commands.results import Trouble
from rtmcore.service.commands.sessions import Claimed
from rtmcore.service.commands.table import Answer
from tests.service.engine_conformance import CACHED, DELIVERED, PEER_UNREACHABLE, outcome, refused
from tests.service.engine_harness import Harness, MakeHarness


class PeerMessages:
    def test_a_message_is_delivered_when_its_receiver_acknowledges_it(self, harness: Harness) -> None:
        alice, bob = harness.online("alice", "bob")
        message = alice.send(bob, b"hello")
        (entry,) = bob.noticed()
        assert (entry.user, entry.iid, entry.cmid, entry.kind, entry.body) == (
            "alice",
            alice.iid,
            message.cmid,
            1,
            b"hello",
        )
        assert not entry.offline
        assert not entry.again
        assert harness.answer(message) is None
        bob.acknowledge(entry.id)
        assert harness.answer(message) == PeerOutcome(DELIVERED, entry.id)
        assert bob.inbox() == []

    def test_entries_form_a_chain_in_the_order_of_sending(self, harness: Harness) -> None:
        alice, bob, carol = harness.online("alice", "bob", "carol")
        position = carol.come_back().inbox
        for number in range(20):
            (alice, bob)[number % 2].send(carol, b"%d" % number)
        entries = carol.noticed()
        assert [entry.body for entry in entries] == [b"%d" % number for number in range(20)]
        for entry in entries:
            assert entry.prev == position
            assert entry.id > position
            position = entry.id

    def test_a_message_to_oneself_comes_back(self, harness: Harness) -> None:
        (alice,) = harness.online("alice")
        message = alice.send(alice, b"note")
        (entry,) = alice.noticed()
        alice.acknowledge(entry.id)
        assert outcome(harness.answer(message)) == DELIVERED

    def test_an_acknowledgement_covers_all_before_it(self, harness: Harness) -> None:
        alice, bob = harness.online("alice", "bob")
        sends = [alice.send(bob, b"%d" % number) for number in range(600)]
        ids = [entry.id for entry in bob.noticed()]
        bob.acknowledge(ids[299])
        assert outcome(harness.answer(sends[299])) == DELIVERED
        assert harness.answer(sends[300]) is None
        assert bob.inbox() == [b"%d" % number for number in range(300, 600)]
        bob.acknowledge(ids[0])
        assert len(bob.inbox()) == 300

    def test_an_acknowledgement_covers_nothing_that_is_not_there(self, harness: Harness) -> None:
        alice, bob = harness.online("alice", "bob")
        bob.acknowledge(2**52)
        message = alice.send(bob)
        assert bob.inbox() == [b"hello"]
        assert harness.answer(message) is None

    def test_an_inbox_is_read_in_pages(self, harness: Harness) -> None:
        alice, bob = harness.online("alice", "bob")
        for number in range(10):
            alice.send(bob, b"%03d" % number)
        ids = [entry.id for entry in bob.noticed()]
        page = bob.read(messages=4)
        assert ([e.id for e in page.entries], page.top, page.complete) == (ids[:4], ids[-1], False)
        page = bob.read(after=ids[3], size=7)
        assert ([e.id for e in page.entries], page.complete) == (ids[4:6], False)
        page = bob.read(after=ids[5], size=1)
        assert [e.id for e in page.entries] == [ids[6]], "at least one"
        page = bob.read(after=ids[6])
        assert ([e.id for e in page.entries], page.lost, page.complete) == (ids[7:], 0, True)
        page = bob.read(after=ids[-1])
        assert (page.entries, page.top, page.lost, page.complete) == ([], ids[-1], 0, True)

    def test_what_came_while_unreachable_follows_when_the_transport_speaks_again(
        self, harness: Harness
    ) -> None:
        alice, bob = harness.online("alice", "bob")
        bob.silent()
        alice.send(bob, b"1", wait=60)
        harness.advance(7)
        alice.send(bob, b"2", wait=60)
        alice.send(bob, b"3", wait=60)
        assert [entry.body for entry in bob.noticed()] == [b"1"]
        bob.heard()
        assert [entry.body for entry in bob.noticed()] == [b"1", b"2", b"3"]
        assert not any(entry.again for entry in bob.noticed())

    def test_a_transport_that_is_gone_is_not_written_to(self, harness: Harness) -> None:
        alice, bob = harness.online("alice", "bob")
        bob.silent(gone=True)
        alice.send(bob, b"1")
        assert bob.noticed() == []
        bob.come_back()
        assert [(entry.body, entry.again) for entry in bob.read().entries] == [(b"1", False)]

    def test_only_another_instance_is_told_again(self, harness: Harness) -> None:
        alice, bob = harness.online("alice", "bob")
        alice.send(bob, b"seen")
        bob.silent(gone=True)
        alice.send(bob, b"unseen")
        bob.come_back()
        assert [entry.again for entry in bob.read(messages=1).entries] == [False]
        second = harness.client("bob", "another-instance")
        second.log_in()
        assert [(entry.body, entry.again) for entry in second.read().entries] == [
            (b"seen", True),
            (b"unseen", False),
        ]

    def test_a_full_inbox_refuses_the_new_message(self, make: MakeHarness) -> None:
        harness = make(inbox_messages=3)
        alice, bob = harness.online("alice", "bob")
        for number in range(3):
            alice.send(bob, b"%d" % number)
        assert refused(harness.answer(alice.send(bob, b"3"))) is Trouble.FULL
        assert bob.inbox() == [b"0", b"1", b"2"]
        bob.acknowledge(bob.noticed()[0].id)
        assert harness.answer(alice.send(bob, b"4")) is None

    def test_an_inbox_is_held_to_its_bytes(self, make: MakeHarness) -> None:
        harness = make(inbox_bytes=10)
        alice, bob = harness.online("alice", "bob")
        assert harness.answer(alice.send(bob, b"x" * 10)) is None
        assert refused(harness.answer(alice.send(bob, b"y"))) is Trouble.FULL

    def test_all_inboxes_together_are_held_to_their_bytes(self, make: MakeHarness) -> None:
        harness = make(all_inboxes_bytes=2 * (10 + INBOX_ENTRY_OVERHEAD))
        alice, bob, carol = harness.online("alice", "bob", "carol")
        assert harness.answer(alice.send(bob, b"x" * 10)) is None
        assert harness.answer(alice.send(carol, b"x" * 10)) is None
        assert refused(harness.answer(alice.send(carol, b"y"))) is Trouble.FULL
        carol.acknowledge(carol.noticed()[0].id)
        assert harness.answer(alice.send(bob, b"x" * 10)) is None


class Outcomes:
    """DESIGN section 5, "Results of a peer send"."""

    @pytest.mark.parametrize("seen", [False, True])
    def test_an_offline_peer_is_unreachable(self, harness: Harness, seen: bool) -> None:
        alice, bob = harness.online("alice", "bob")
        if seen:
            bob.log_out()
        to = bob if seen else "nobody"
        assert harness.answer(alice.send(to)) == PeerOutcome(PEER_UNREACHABLE, 0)
        harness.client("nobody").log_in()
        bob.log_in()
        assert bob.inbox() == []

    def test_a_message_for_an_offline_peer_is_stored(self, harness: Harness) -> None:
        (alice,) = harness.online("alice")
        message = alice.send("bob", b"later", offline=True)
        value = harness.answer(message)
        assert outcome(value) == CACHED
        (bob,) = harness.online("bob")
        (entry,) = bob.read().entries
        assert (entry.id, entry.body, entry.offline, entry.again) == (value.id, b"later", True, False)
        bob.acknowledge(entry.id)
        assert harness.answers(message) == [value], "answered once"
        bob.log_out()
        bob.log_in()
        assert bob.inbox() == []

    @pytest.mark.parametrize("seconds", [0, 7])
    def test_without_the_flag_nobody_knows_after_the_wait(self, harness: Harness, seconds: int) -> None:
        alice, bob = harness.online("alice", "bob")
        bob.silent(gone=True)
        harness.advance(seconds)
        message = alice.send(bob, b"late")
        harness.advance(9.9)
        assert harness.answer(message) is None
        harness.advance(0.2)
        assert refused(harness.answer(message)) is Trouble.TIMED_OUT
        bob.come_back()
        assert bob.inbox() == [b"late"], "delivered all the same"
        bob.acknowledge(bob.read().top)
        assert len(harness.answers(message)) == 1

    @pytest.mark.parametrize("seconds", [0, 7])
    def test_with_the_flag_it_is_stored_after_the_wait(self, harness: Harness, seconds: int) -> None:
        alice, bob = harness.online("alice", "bob")
        bob.silent(gone=True)
        harness.advance(seconds)
        message = alice.send(bob, b"late", offline=True)
        harness.advance(9.9)
        assert harness.answer(message) is None
        harness.advance(0.2)
        assert outcome(harness.answer(message)) == CACHED
        bob.come_back()
        (entry,) = bob.read().entries
        assert (entry.body, entry.offline) == (b"late", False)
        bob.acknowledge(entry.id)
        assert bob.inbox() == []
        assert len(harness.answers(message)) == 1

    @pytest.mark.parametrize("offline", [False, True])
    def test_a_peer_that_returns_in_time_delivers(self, harness: Harness, offline: bool) -> None:
        alice, bob = harness.online("alice", "bob")
        bob.silent(gone=True)
        harness.advance(8)
        message = alice.send(bob, offline=offline)
        harness.advance(3)
        bob.come_back()
        bob.acknowledge(bob.read().top)
        assert outcome(harness.answer(message)) == DELIVERED

    def test_unwritten_messages_end_unreachable_when_the_peer_goes_offline(self, harness: Harness) -> None:
        alice, bob = harness.online("alice", "bob")
        bob.silent()
        harness.advance(25)
        plain = alice.send(bob, b"plain")
        flagged = alice.send(bob, b"flagged", offline=True)
        harness.advance(4.9)
        assert [harness.answer(plain), harness.answer(flagged)] == [None, None]
        harness.advance(0.2)
        assert outcome(harness.answer(plain)) == PEER_UNREACHABLE
        assert outcome(harness.answer(flagged)) == CACHED
        assert isinstance(bob.come_back(authorized=True), Claimed)
        assert [(e.body, e.offline, e.again) for e in bob.read().entries] == [(b"flagged", True, False)]

    def test_written_messages_end_unknown_when_the_peer_goes_offline(self, harness: Harness) -> None:
        alice, bob = harness.online("alice", "bob")
        bob.silent()
        harness.advance(1)
        plain = alice.send(bob, b"plain", wait=60)
        flagged = alice.send(bob, b"flagged", wait=60, offline=True)
        assert len(bob.noticed()) == 2
        harness.advance(28.9)
        assert [harness.answer(plain), harness.answer(flagged)] == [None, None]
        harness.advance(0.2)
        assert refused(harness.answer(plain)) is Trouble.TIMED_OUT
        assert outcome(harness.answer(flagged)) == CACHED
        bob.log_in()
        assert bob.inbox() == [b"flagged"], "neither is delivered later without the flag"

    def test_a_logout_ends_what_waits_for_it(self, harness: Harness) -> None:
        alice, bob = harness.online("alice", "bob")
        plain, flagged = alice.send(bob), alice.send(bob, b"flagged", offline=True)
        bob.log_out()
        assert refused(harness.answer(plain)) is Trouble.TIMED_OUT
        assert outcome(harness.answer(flagged)) == CACHED
        second = harness.client("bob", "another-instance")
        second.log_in()
        assert [(e.body, e.offline, e.again) for e in second.read().entries] == [(b"flagged", True, True)]

    def test_a_message_outlives_the_kick_of_its_receiver(self, harness: Harness) -> None:
        alice, bob = harness.online("alice", "bob")
        message = alice.send(bob)
        second = harness.client("bob", "another-instance")
        second.log_in()
        assert harness.answer(message) is None
        second.acknowledge(second.read().top)
        assert outcome(harness.answer(message)) == DELIVERED

    def test_each_sender_waits_its_own_time(self, harness: Harness) -> None:
        alice, bob = harness.online("alice", "bob")
        bob.silent(gone=True)
        waits = [9.0, 2.0, 5.0, 0.5, 7.0]
        sends = [alice.send(bob, wait=wait, offline=bool(n % 2)) for n, wait in enumerate(waits)]
        for second in range(10):
            harness.advance(0.25)
            due = [wait <= second + 0.25 for wait in waits]
            assert [harness.answer(send) is not None for send in sends] == due
            harness.advance(0.75)
        codes = [harness.answer(send).code for send in sends]
        assert codes == [Trouble.TIMED_OUT, CACHED, Trouble.TIMED_OUT, CACHED, Trouble.TIMED_OUT]

    def test_the_outcome_follows_the_session_to_its_new_node(self, harness: Harness) -> None:
        alice, bob = harness.online("alice", "bob")
        message = alice.send(bob)
        alice.node_name = "n2"
        alice.come_back()
        bob.acknowledge(bob.noticed()[0].id)
        harness.settle()
        assert [a.command for a in harness.node("n2").of(Answer)][-1] is message
        assert message not in [a.command for a in harness.node("n1").of(Answer)]

    def test_nobody_is_answered_for_a_session_that_is_over(self, harness: Harness) -> None:
        alice, bob = harness.online("alice", "bob")
        message = alice.send(bob)
        alice.log_in()
        bob.acknowledge(bob.noticed()[0].id)
        assert harness.answers(message) == []
        assert outcome(harness.answer(alice.again(message))) == DELIVERED, "but it is kept for a repeat"


class OfflineStore:
    def test_the_newest_two_hundred_are_kept(self, harness: Harness) -> None:
        (alice,) = harness.online("alice")
        sends = [alice.send("bob", b"%d" % number, offline=True) for number in range(210)]
        assert {outcome(harness.answer(send)) for send in sends} == {CACHED}
        (bob,) = harness.online("bob")
        page = bob.read()
        assert [entry.body for entry in page.entries] == [b"%d" % number for number in range(10, 210)]
        assert page.lost == 0

    def test_going_offline_leaves_the_newest_two_hundred(self, harness: Harness) -> None:
        alice, bob = harness.online("alice", "bob")
        bob.silent(gone=True)
        harness.advance(20)
        sends = [alice.send(bob, b"%d" % number, offline=number % 2 == 0) for number in range(500)]
        harness.advance(11)
        answers = [harness.answer(send) for send in sends]
        assert [outcome(value) for value in answers] == [CACHED, PEER_UNREACHABLE] * 250
        bob.log_in()
        assert bob.inbox() == [b"%d" % number for number in range(100, 500, 2)]

    def test_a_message_is_kept_for_seven_days(self, harness: Harness) -> None:
        (alice,) = harness.online("alice")
        alice.send("bob", b"old", offline=True)
        alice.send("carol", b"old", offline=True)
        harness.pass_days(6)
        alice.send("bob", b"newer", offline=True)
        (carol,) = harness.online("carol")
        assert carol.inbox() == [b"old"]
        harness.pass_days(1)
        (bob,) = harness.online("bob")
        assert bob.inbox() == [b"newer"]

    @pytest.mark.parametrize(
        ("cap", "kept"),
        [
            ({"stored_bytes": 20}, 2),
            ({"stored_bytes_per_sender": 20}, 2),
            ({"stored_messages_per_sender_day": 3}, 3),
            ({"inbox_bytes": 20}, 2),
        ],
    )
    def test_over_a_cap_the_new_message_is_refused(
        self, make: MakeHarness, cap: dict[str, int], kept: int
    ) -> None:
        harness = make(**cap)
        (alice,) = harness.online("alice")
        answers = [harness.answer(alice.send("bob", b"x" * 10, offline=True)) for _ in range(5)]
        assert [outcome(value) for value in answers[:kept]] == [CACHED] * kept
        assert {refused(value) for value in answers[kept:]} == {Trouble.FULL}
        assert harness.answer(alice.send("bob", b"no flag")) == PeerOutcome(PEER_UNREACHABLE)
        (bob,) = harness.online("bob")
        assert len(bob.inbox()) == kept
        bob.acknowledge(bob.read().top)
        bob.log_out()
        harness.pass_days(1)
        assert outcome(harness.answer(alice.send("bob", b"x" * 10, offline=True))) == CACHED

    def test_one_senders_cap_is_not_anothers(self, make: MakeHarness) -> None:
        harness = make(stored_bytes_per_sender=10)
        alice, carol = harness.online("alice", "carol")
        assert outcome(harness.answer(alice.send("bob", b"x" * 10, offline=True))) == CACHED
        assert refused(harness.answer(alice.send("dora", b"x", offline=True))) is Trouble.FULL
        assert outcome(harness.answer(carol.send("bob", b"x" * 10, offline=True))) == CACHED

    def test_a_cap_never_keeps_from_delivering(self, make: MakeHarness) -> None:
        harness = make(stored_bytes_per_sender=5)
        alice, bob = harness.online("alice", "bob")
        message = alice.send(bob, b"x" * 10, offline=True)
        bob.acknowledge(bob.noticed()[0].id)
        assert outcome(harness.answer(message)) == DELIVERED
        bob.silent(gone=True)
        unstored = alice.send(bob, b"y" * 10, offline=True)
        harness.advance(11)
        assert refused(harness.answer(unstored)) is Trouble.TIMED_OUT, "never CACHED when it is not stored"


class Repeats:
    def test_a_repeat_is_answered_and_not_executed(self, harness: Harness) -> None:
        alice, bob = harness.online("alice", "bob")
        message = alice.send(bob)
        bob.acknowledge(bob.noticed()[0].id)
        value = harness.answer(message)
        alice.come_back()
        assert harness.answer(alice.again(message)) == value
        assert len(bob.noticed()) == 1
        assert bob.inbox() == []

    def test_a_repeat_of_a_pending_send_is_answered_in_its_place(self, harness: Harness) -> None:
        alice, bob = harness.online("alice", "bob")
        message = alice.send(bob)
        alice.node_name = "n2"
        alice.come_back()
        repeated = alice.again(message)
        assert len(bob.noticed()) == 1
        bob.acknowledge(bob.noticed()[0].id)
        assert outcome(harness.answer(repeated)) == DELIVERED
        assert harness.answers(message) == []

    def test_a_repeated_refusal_stays_a_refusal(self, harness: Harness) -> None:
        alice, bob = harness.online("alice", "bob")
        bob.log_out()
        message = alice.send(bob)
        bob.log_in()
        assert outcome(harness.answer(alice.again(message))) == PEER_UNREACHABLE
        assert bob.inbox() == []

    def test_below_the_floor_nothing_is_executed(self, harness: Harness) -> None:
        alice, bob = harness.online("alice", "bob")
        alice.send(bob, b"5", cmid=5, floor=5)
        assert refused(harness.answer(alice.send(bob, b"4", cmid=4, floor=0))) is Trouble.FORGOTTEN
        alice.floor = 9
        alice.come_back()
        assert refused(harness.answer(alice.send(bob, b"8", cmid=8))) is Trouble.FORGOTTEN
        assert refused(alice.publish("room", cmid=7)) is Trouble.FORGOTTEN
        assert refused(alice.join("room", cmid=6)) is Trouble.FORGOTTEN
        assert refused(alice.leave("room", cmid=6)) is Trouble.FORGOTTEN
        assert bob.inbox() == [b"5"]

    def test_beyond_the_results_kept_nothing_is_executed_twice(self, make: MakeHarness) -> None:
        harness = make(results=4)
        alice, bob = harness.online("alice", "bob")
        pending = alice.send(bob, b"waits", cmid=1)
        alice.join("room", cmid=2)
        for cmid in range(3, 9):
            alice.publish("room", cmid=cmid)
        assert refused(alice.publish("room", cmid=3)) is Trouble.FORGOTTEN
        assert isinstance(alice.publish("room", cmid=8), Logged)
        bob.acknowledge(bob.noticed()[0].id)
        assert outcome(harness.answer(pending)) == DELIVERED, "what is pending is never given up"

    def test_too_many_pending_sends_are_refused(self, make: MakeHarness) -> None:
        harness = make(results=3)
        alice, bob = harness.online("alice", "bob")
        sends = [alice.send(bob, b"%d" % number) for number in range(4)]
        assert refused(harness.answer(sends[3])) is Trouble.FULL
        bob.acknowledge(bob.noticed()[0].id)
        assert harness.answer(alice.send(bob)) is None

    def test_results_belong_to_the_instance_and_outlive_its_session(self, harness: Harness) -> None:
        alice, bob = harness.online("alice", "bob")
        message = alice.send(bob)
        bob.acknowledge(bob.noticed()[0].id)
        alice.log_out()
        harness.advance(119)
        alice.log_in()
        assert outcome(harness.answer(alice.again(message))) == DELIVERED
        assert bob.inbox() == []

    def test_forgotten_results_are_not_executed_again(self, harness: Harness) -> None:
        alice, bob = harness.online("alice", "bob")
        message = alice.send(bob)
        bob.acknowledge(bob.noticed()[0].id)
        alice.log_out()
        harness.advance(200)
        alice.log_in()
        assert refused(harness.answer(alice.again(message))) is Trouble.FORGOTTEN
        assert bob.inbox() == []
        assert harness.answer(alice.send(bob)) is None, "new requests go on"

    def test_another_instance_counts_for_itself(self, harness: Harness) -> None:
        alice, bob = harness.online("alice", "bob")
        alice.send(bob, b"first", cmid=1)
        second = harness.client("alice", "another-instance")
        second.log_in()
        second.send(bob, b"second", cmid=1)
        assert bob.inbox() == [b"first", b"second"]
