"""What every engine with a disk has to do besides; see `engine_conformance`."""

import pytest

from rtmcore.codes import MessageType
from rtmcore.limits import CLOCK_RESERVATION, COMMAND_TIMEOUT, JOURNAL_RETRY
from rtmcore.service.commands.channels import MemberNotice, Membership
from rtmcore.service.commands.messages import Logged, PeerOutcome, SendAs
from rtmcore.service.commands.names import RTM, Name
from rtmcore.service.commands.results import Trouble
from rtmcore.service.commands.sessions import Claimed, Ending
from tests.service.engine_conformance import CACHED, DELIVERED, PEER_UNREACHABLE, outcome, refused
from tests.service.engine_harness import APP, Harness, MakeHarness


class Commits:
    def test_a_stored_message_is_answered_when_it_is_committed(self, harness: Harness) -> None:
        (alice,) = harness.online("alice")
        harness.settle()
        harness.system.hold()
        message = alice.send("bob", offline=True)
        harness.advance(1)
        assert harness.answer(message) is None
        harness.system.let_go()
        assert outcome(harness.answer(message)) == CACHED

    def test_a_delivered_message_needs_no_disk(self, harness: Harness) -> None:
        alice, bob = harness.online("alice", "bob")
        harness.settle()
        harness.system.hold()
        message = alice.send(bob, offline=True)
        bob.acknowledge(bob.noticed()[0].id)
        assert outcome(harness.answer(message)) == DELIVERED
        alice.join("room")
        assert isinstance(alice.publish("room"), Logged)
        assert isinstance(alice.come_back(), Claimed), "nobody waits for what is written behind"

    def test_nobody_sees_a_message_before_its_commit(self, harness: Harness) -> None:
        alice, bob, carol = harness.online("alice", "bob", "carol")
        bob.silent(gone=True)
        harness.advance(7)
        harness.system.hold()
        first = alice.send(bob, b"stored", offline=True)
        second = carol.send(bob, b"behind it")
        position = bob.come_back().inbox
        page = bob.read(position)
        assert (page.entries, page.top, page.complete) == ([], position, True)
        third = carol.send(bob, b"behind both")
        assert bob.noticed() == []
        bob.acknowledge(2**52)
        harness.system.let_go()
        harness.settle()
        assert [entry.body for entry in bob.noticed()] == [b"stored", b"behind it", b"behind both"]
        for entry in bob.noticed():
            assert entry.prev == position
            position = entry.id
        assert [harness.answer(message) for message in (first, second, third)] == [None] * 3
        bob.acknowledge(position)
        assert {outcome(harness.answer(message)) for message in (first, second, third)} == {DELIVERED}

    def test_an_offline_receiver_who_comes_in_between_sees_it_after_the_commit(
        self, harness: Harness
    ) -> None:
        (alice,) = harness.online("alice")
        harness.settle()
        harness.system.hold()
        message = alice.send("bob", b"stored", offline=True)
        bob = harness.client("bob")
        bob.log_in()
        assert bob.inbox() == []
        harness.system.let_go()
        harness.settle()
        assert [(entry.body, entry.offline, entry.again) for entry in bob.noticed()] == [
            (b"stored", True, False)
        ]
        bob.acknowledge(bob.noticed()[0].id)
        assert outcome(harness.answer(message)) == DELIVERED

    def test_a_stored_message_gives_way_once_a_newer_one_is_committed(self, make: MakeHarness) -> None:
        harness = make(offline_messages=2)
        (alice,) = harness.online("alice")
        for body in (b"0", b"1", b"2"):
            alice.send("bob", body, offline=True)
        harness.settle()
        harness.system.fail(True)
        never = [alice.send("bob", b"never", offline=True) for _ in range(3)]
        harness.settle()
        assert all(refused(harness.answer(message)) is Trouble.UNAVAILABLE for message in never)
        harness.system.fail(False)
        harness.advance(JOURNAL_RETRY)
        harness.system.hold()
        alice.send("bob", b"3", offline=True)
        harness.advance(1)
        harness.system.let_go()
        harness.settle()
        harness.restart()
        (bob,) = harness.online("bob")
        assert bob.inbox() == [b"2", b"3"]

    @pytest.mark.parametrize("offline_receiver", [False, True])
    def test_a_message_that_could_not_be_committed_never_existed(
        self, harness: Harness, offline_receiver: bool
    ) -> None:
        alice, bob, carol = harness.online("alice", "bob", "carol")
        carol.send(bob, b"before")
        position = bob.noticed()[-1].id
        bob.acknowledge(position)
        if offline_receiver:
            bob.log_out()
        else:
            bob.silent(gone=True)
            harness.advance(7)
        harness.system.hold()
        lost = alice.send(bob, b"lost", offline=True)
        plain = carol.send(bob, b"plain")
        harness.system.fail(True)
        harness.system.let_go()
        assert refused(harness.answer(lost)) is Trouble.UNAVAILABLE
        harness.system.fail(False)
        kept = alice.send(bob, b"kept", offline=True)
        harness.settle()
        bob.claim(authorized=True)
        entries = bob.read(position).entries
        if offline_receiver:
            assert outcome(harness.answer(plain)) == PEER_UNREACHABLE
            assert outcome(harness.answer(kept)) == CACHED
            assert [entry.body for entry in entries] == [b"kept"]
        else:
            assert [entry.body for entry in entries] == [b"plain", b"kept"]
        for entry in entries:
            assert entry.prev == position, "the chain has no gap where the message would have been"
            position = entry.id
        assert refused(harness.answer(alice.again(lost))) is Trouble.UNAVAILABLE

    def test_a_late_acknowledgement_puts_a_message_on_the_disk(self, harness: Harness) -> None:
        alice, bob = harness.online("alice", "bob")
        alice.send(bob, b"acknowledged", offline=True)
        bob.acknowledge(bob.noticed()[-1].id)
        alice.send(bob, b"no flag")
        alice.send(bob, b"late", offline=True)
        alice.send(bob, b"late too", offline=True)
        harness.advance(1.1)
        alice.send(bob, b"young", offline=True)
        harness.settle()
        harness.restart()
        bob.come_back()
        assert bob.inbox() == [b"late", b"late too"]

    def test_what_is_acknowledged_leaves_the_disk(self, harness: Harness) -> None:
        alice, bob = harness.online("alice", "bob")
        alice.send(bob, b"1", offline=True)
        alice.send(bob, b"2", offline=True)
        harness.advance(2)
        bob.acknowledge(bob.noticed()[0].id)
        harness.settle()
        harness.restart()
        bob.come_back()
        assert bob.inbox() == [b"2"]

    def test_without_the_disk_a_late_message_is_not_called_cached(self, harness: Harness) -> None:
        alice, bob = harness.online("alice", "bob")
        harness.settle()
        harness.system.fail(True)
        message = alice.send(bob, b"late", offline=True)
        harness.advance(11)
        assert refused(harness.answer(message)) is Trouble.TIMED_OUT
        assert bob.inbox() == [b"late"], "delivered all the same"

    @pytest.mark.parametrize("recovered", [5, 9.5])
    def test_a_disk_that_recovers_in_time_is_tried_again(self, harness: Harness, recovered: float) -> None:
        alice, bob = harness.online("alice", "bob")
        harness.settle()
        harness.system.fail(True)
        message = alice.send(bob, b"late", offline=True)
        harness.advance(recovered)
        harness.system.fail(False)
        harness.advance(11 - recovered)
        assert outcome(harness.answer(message)) == CACHED
        harness.restart()
        bob.come_back()
        assert bob.inbox() == [b"late"], "it is there, and not only said to be"

    def test_without_the_disk_a_written_message_for_a_peer_that_leaves_is_unknown(
        self, harness: Harness
    ) -> None:
        alice, bob = harness.online("alice", "bob")
        harness.settle()
        harness.system.fail(True)
        written = alice.send(bob, b"written", offline=True)
        bob.silent(gone=True)
        unwritten = alice.send(bob, b"unwritten", offline=True)
        bob.log_out()
        assert refused(harness.answer(written)) is Trouble.TIMED_OUT
        assert refused(harness.answer(unwritten)) is Trouble.UNAVAILABLE
        bob.log_in()
        assert bob.inbox() == []

    @pytest.mark.parametrize("comes", [False, True])
    def test_an_answer_waits_for_the_commit_beyond_the_senders_time(
        self, harness: Harness, comes: bool
    ) -> None:
        (alice,) = harness.online("alice")
        harness.settle()
        harness.system.hold()
        message = alice.send("bob", offline=True, wait=0.5)
        harness.advance(0.5 + COMMAND_TIMEOUT / 2)
        assert harness.answer(message) is None
        if comes:
            harness.system.let_go()
            assert outcome(harness.answer(message)) == CACHED
        else:
            harness.advance(COMMAND_TIMEOUT)
            assert refused(harness.answer(message)) is Trouble.TIMED_OUT
            harness.system.let_go()
            harness.settle()
            assert len(harness.answers(message)) == 1

    def test_messages_driven_out_by_newer_ones_are_answered_all_the_same(self, harness: Harness) -> None:
        (alice,) = harness.online("alice")
        harness.settle()
        harness.system.hold()
        sends = [alice.send("bob", b"%d" % number, offline=True) for number in range(250)]
        harness.system.let_go()
        assert {outcome(harness.answer(send)) for send in sends} == {CACHED}
        (bob,) = harness.online("bob")
        assert bob.inbox() == [b"%d" % number for number in range(50, 250)]
        bob.acknowledge(bob.read().top)
        harness.settle()
        harness.restart()
        bob.log_in()
        assert bob.inbox() == []

    def test_each_message_is_journaled_when_its_own_second_is_over(self, harness: Harness) -> None:
        alice, bob = harness.online("alice", "bob")
        alice.send(bob, b"first", offline=True)
        harness.advance(0.5)
        alice.send(bob, b"second", offline=True)
        harness.advance(0.6)
        harness.restart()
        bob.come_back()
        assert bob.inbox() == [b"first"]

    def test_a_position_covers_nothing_that_is_not_committed(self, harness: Harness) -> None:
        alice, bob = harness.online("alice", "bob")
        bob.silent(gone=True)
        harness.advance(7)
        harness.system.hold()
        message = alice.send(bob, b"stored", offline=True)
        bob.come_back()
        last = bob.log_in().fence
        assert bob.come_back(inbox=last).inbox < last
        harness.system.let_go()
        harness.settle()
        assert bob.inbox() == [b"stored"]
        bob.acknowledge(bob.read().top)
        assert outcome(harness.answer(message)) == DELIVERED

    def test_messages_driven_out_before_a_failed_commit_are_refused(self, harness: Harness) -> None:
        (alice,) = harness.online("alice")
        harness.settle()
        harness.system.hold()
        sends = [alice.send("bob", b"%d" % number, offline=True) for number in range(201)]
        harness.system.fail(True)
        harness.system.let_go()
        assert {refused(harness.answer(send)) for send in sends} == {Trouble.UNAVAILABLE}

    def test_an_answer_that_waits_for_a_commit_that_fails_is_unknown(self, harness: Harness) -> None:
        alice, bob = harness.online("alice", "bob")
        harness.settle()
        harness.system.hold()
        message = alice.send(bob, offline=True, wait=2.0)
        harness.advance(3)
        assert harness.answer(message) is None
        harness.system.fail(True)
        harness.system.let_go()
        assert refused(harness.answer(message)) is Trouble.TIMED_OUT
        assert bob.inbox() == [b"hello"]

    def test_marks_of_a_failed_commit_are_written_later(self, harness: Harness) -> None:
        (alice,) = harness.online("alice")
        alice.send("bob", b"stored", offline=True)
        harness.settle()
        harness.system.fail(True)
        (bob,) = harness.online("bob")
        assert len(bob.read().entries) == 1
        harness.settle()
        bob.log_out()
        harness.settle()
        harness.system.fail(False)
        harness.advance(JOURNAL_RETRY + 0.1)
        harness.restart(clean=True)
        bob.log_in()
        assert [(entry.again, entry.offline) for entry in bob.read().entries] == [(True, True)]

    def test_what_nobody_waits_for_is_written_later(self, harness: Harness) -> None:
        harness.system.fail(True)
        (alice,) = harness.online("alice")
        harness.settle()
        harness.system.fail(False)
        harness.advance(JOURNAL_RETRY + 0.1)
        harness.restart()
        assert alice.come_back().resumed


class Restarts:
    def test_sessions_may_return_with_their_secret(self, harness: Harness) -> None:
        alice, bob = harness.online("alice", "bob")
        before = alice.here
        epoch = alice.come_back().epoch
        harness.restart()
        value = alice.come_back()
        assert value.resumed
        assert value.fence == before.fence
        assert value.epoch != epoch
        assert alice.endings() == []
        message = alice.send(bob, wait=60)
        assert harness.answer(message) is None, "bob has his 30 s"
        harness.advance(30.1)
        assert outcome(harness.answer(message)) == PEER_UNREACHABLE
        assert not bob.claim().resumed

    def test_a_session_that_ended_does_not_return(self, harness: Harness) -> None:
        alice, bob = harness.online("alice", "bob")
        bob.log_out()
        harness.settle()
        harness.restart()
        alice.come_back()
        assert outcome(harness.answer(alice.send(bob))) == PEER_UNREACHABLE
        assert refused(bob.come_back()) is Trouble.UNAUTHORIZED

    @pytest.mark.parametrize("hours", [-1, 0, 1])
    @pytest.mark.parametrize("clean", [False, True])
    def test_ids_and_fences_never_go_back(self, harness: Harness, hours: int, clean: bool) -> None:
        alice, bob = harness.online("alice", "bob")
        alice.join("room")
        last = max(alice.publish("room").id for _ in range(5))
        harness.settle()
        harness.restart(clean=clean, wall=harness.wall + hours * 3_600_000_000)
        alice.come_back()
        joined = alice.join("room", restore=True)
        assert joined.position >= last
        assert alice.publish("room").id > last
        assert bob.log_in().fence > last

    def test_a_restart_in_order_does_not_run_ahead_of_the_clock(self, harness: Harness) -> None:
        (alice,) = harness.online("alice")
        harness.restart(clean=True)
        harness.advance(0.01)
        assert abs(alice.log_in().fence - harness.wall) < 1_000_000

    def test_ids_stay_below_what_is_reserved(self, harness: Harness) -> None:
        (alice,) = harness.online("alice")
        harness.advance(1)
        harness.system.hold()
        harness.wall += 3_600_000_000
        fence = alice.log_in().fence
        ceiling = harness.wall - 3_600_000_000 + CLOCK_RESERVATION * 1_000_000
        assert ceiling - CLOCK_RESERVATION * 1_000_000 <= fence < ceiling
        harness.advance(CLOCK_RESERVATION)
        harness.system.let_go()
        harness.settle()
        harness.advance(1)
        assert alice.log_in().fence >= harness.wall - 1

    def test_stored_messages_keep_id_and_origin(self, harness: Harness) -> None:
        (alice,) = harness.online("alice")
        message = alice.send("carol", b"for carol", offline=True)
        value = harness.answer(message)
        harness.restart()
        alice.come_back()
        assert harness.answer(alice.again(message)) == value
        (carol,) = harness.online("carol")
        (entry,) = carol.read().entries
        assert (entry.id, entry.user, entry.iid, entry.cmid, entry.body, entry.offline) == (
            value.id,
            "alice",
            alice.iid,
            message.cmid,
            b"for carol",
            True,
        )

    def test_a_repeat_after_a_restart_is_not_stored_twice(self, harness: Harness) -> None:
        alice, bob = harness.online("alice", "bob")
        message = alice.send(bob, b"once", offline=True)
        harness.advance(2)
        harness.restart()
        alice.come_back()
        repeated = alice.again(message)
        assert harness.answer(repeated) is None
        bob.come_back()
        (entry,) = bob.read().entries
        assert entry.again, "it may have been handed over before"
        bob.acknowledge(entry.id)
        assert outcome(harness.answer(repeated)) == DELIVERED
        alice.come_back()
        assert outcome(harness.answer(alice.again(message))) == DELIVERED
        assert bob.inbox() == []

    @pytest.mark.parametrize("taken", [False, True])
    def test_a_message_without_a_session_is_not_stored_twice_either(
        self, harness: Harness, taken: bool
    ) -> None:
        bot, node = Name(APP, RTM, "bot"), harness.node()
        sends = [
            SendAs(number, bot, "key", "carol", MessageType.TEXT, b"once", True, True, 10.0)
            for number in (1, 2)
        ]
        node.submit(sends[0])
        value = harness.answer(sends[0])
        assert outcome(value) == CACHED
        harness.restart()
        (carol,) = harness.online("carol")
        if taken:
            (entry,) = carol.read().entries
            carol.acknowledge(entry.id)
        harness.node().submit(sends[1])
        if not taken:
            assert harness.answers(sends[1]) == []
            (entry,) = carol.read().entries
            carol.acknowledge(entry.id)
        assert harness.answer(sends[1]) == PeerOutcome(DELIVERED, value.id)
        assert carol.inbox() == []

    def test_a_repeat_of_what_was_acknowledged_meanwhile_is_delivered(self, harness: Harness) -> None:
        alice, bob = harness.online("alice", "bob")
        message = alice.send(bob, b"once", offline=True)
        harness.advance(2)
        harness.restart()
        bob.come_back()
        bob.acknowledge(bob.read().top)
        alice.come_back()
        assert outcome(harness.answer(alice.again(message))) == DELIVERED

    def test_a_repeat_waits_no_longer_than_its_sender(self, harness: Harness) -> None:
        alice, bob = harness.online("alice", "bob")
        message = alice.send(bob, b"once", offline=True)
        harness.advance(2)
        harness.restart()
        alice.come_back()
        repeated = alice.again(message)
        harness.advance(10.1)
        assert outcome(harness.answer(repeated)) == CACHED

    @pytest.mark.parametrize("clean", [False, True])
    def test_only_what_was_surely_not_written_comes_without_a_warning(
        self, harness: Harness, clean: bool
    ) -> None:
        alice, bob = harness.online("alice", "bob")
        alice.send(bob, b"seen", offline=True)
        bob.silent(gone=True)
        alice.send(bob, b"unseen", offline=True)
        harness.advance(2)
        alice.send("carol", b"unseen", offline=True)
        harness.settle()
        harness.restart(clean=clean)
        bob.come_back()
        (carol,) = harness.online("carol")
        assert [entry.again for entry in bob.read().entries] == [True, not clean]
        assert [entry.again for entry in carol.read().entries] == [not clean]

    def test_a_warning_outlives_a_later_restart_in_order(self, harness: Harness) -> None:
        (alice,) = harness.online("alice")
        alice.send("bob", b"stored", offline=True)
        harness.settle()
        harness.restart()
        harness.restart(clean=True)
        (bob,) = harness.online("bob")
        assert [entry.again for entry in bob.read().entries] == [True]

    def test_a_request_of_before_may_have_been_delivered(self, harness: Harness) -> None:
        alice, bob = harness.online("alice", "bob")
        message = alice.send(bob, b"in memory only")
        harness.settle()
        harness.restart()
        bob.come_back()
        alice.come_back()
        alice.again(message)
        assert [(entry.body, entry.again) for entry in bob.noticed()] == [(b"in memory only", True)]
        harness.advance(11)
        alice.send(bob, b"new")
        assert [(entry.body, entry.again) for entry in bob.noticed()][1:] == [(b"new", False)]

    def test_a_message_read_after_it_was_stored_counts_as_written(self, harness: Harness) -> None:
        (alice,) = harness.online("alice")
        alice.send("bob", b"stored", offline=True)
        harness.settle()
        (bob,) = harness.online("bob")
        assert [entry.again for entry in bob.read().entries] == [False]
        harness.restart(clean=True)
        bob.come_back()
        assert [(entry.again, entry.offline) for entry in bob.read().entries] == [(True, True)]

    def test_a_repeat_does_not_fall_behind_what_was_sent_later(self, harness: Harness) -> None:
        alice, bob = harness.online("alice", "bob")
        bob.silent(gone=True)
        lost = alice.send(bob, b"in memory only", cmid=5)
        kept = alice.send(bob, b"on the disk", offline=True, cmid=6)
        harness.advance(2)
        harness.restart()
        alice.come_back()
        assert refused(harness.answer(alice.again(lost))) is Trouble.TIMED_OUT, "it may have been delivered"
        repeated = alice.again(kept)
        alice.send(bob, b"later", cmid=7)
        bob.come_back()
        assert bob.inbox() == [b"on the disk", b"later"]
        bob.acknowledge(bob.read().top)
        assert outcome(harness.answer(repeated)) == DELIVERED

    def test_the_newest_attempt_is_the_one_that_is_written(self, harness: Harness) -> None:
        harness.settle()
        harness.system.hold()
        (alice,) = harness.online("alice")
        alice.come_back()
        harness.system.fail(True)
        harness.system.let_go()
        harness.settle()
        harness.system.fail(False)
        harness.advance(JOURNAL_RETRY + 0.1)
        harness.restart()
        assert refused(alice.come_back(attempt=2)) is Trouble.STALE_ATTEMPT
        assert alice.come_back(attempt=3).resumed

    def test_a_message_that_its_receiver_left_behind_stays_an_offline_message(self, harness: Harness) -> None:
        alice, bob = harness.online("alice", "bob")
        bob.silent(gone=True)
        harness.advance(7)
        alice.send(bob, b"stored", offline=True)
        harness.advance(24)
        bob.log_in()
        assert [entry.offline for entry in bob.read().entries] == [True]
        harness.settle()
        harness.restart()
        bob.come_back()
        assert [entry.offline for entry in bob.read().entries] == [True]

    def test_attempts_of_before_are_still_refused(self, harness: Harness) -> None:
        (alice,) = harness.online("alice")
        alice.come_back()
        harness.settle()
        harness.restart()
        assert refused(alice.come_back(attempt=2)) is Trouble.STALE_ATTEMPT
        assert alice.come_back(attempt=3).resumed

    def test_an_inbox_position_is_honoured(self, harness: Harness) -> None:
        alice, bob = harness.online("alice", "bob")
        for body in (b"1", b"2"):
            alice.send(bob, body, offline=True)
        first, second = (entry.id for entry in bob.noticed())
        harness.advance(2)
        harness.restart()
        assert bob.come_back(inbox=first).inbox == first
        assert bob.inbox() == [b"2"]
        harness.settle()
        harness.restart()
        assert bob.come_back(inbox=second).inbox == second
        assert bob.inbox() == []
        alice.come_back()
        alice.send(bob, b"3")
        assert bob.noticed()[-1].prev == second

    def test_channels_begin_anew_and_positions_stay_valid(self, harness: Harness) -> None:
        alice, bob = harness.online("alice", "bob")
        alice.join("room")
        bob.join("room")
        position = alice.publish("room").id
        harness.restart()
        alice.node.watch("room")
        alice.come_back()
        assert isinstance(alice.join("room", restore=True), Membership)
        for number in range(3):
            alice.publish("room", b"%d" % number)
        bob.come_back()
        assert bob.join("room", restore=True).users == ("alice", "bob")
        page = bob.window("room", position)
        assert ([entry.body for entry in page.entries], page.lost) == ([b"0", b"1", b"2"], 0)
        assert [(n.user, n.joined) for n in alice.node.of(MemberNotice)] == [("alice", True), ("bob", True)]

    def test_losses_are_counted_from_where_the_new_log_begins(self, make: MakeHarness) -> None:
        harness = make(positions=100)
        alice, bob = harness.online("alice", "bob")
        alice.join("room")
        bob.join("room")
        position = alice.publish("room").id
        harness.restart()
        alice.come_back()
        alice.join("room", restore=True)
        for _ in range(1000):
            alice.publish("room")
        bob.come_back()
        bob.join("room", restore=True)
        page = bob.window("room", position)
        assert len(page.entries) + page.lost == 1000

    def test_whose_session_is_newer_keeps_the_name(self, harness: Harness) -> None:
        (alice,) = harness.online("alice")
        second = harness.client("alice", "another-instance")
        second.log_in()
        harness.settle()
        harness.restart()
        assert refused(alice.claim()) is Trouble.SUPERSEDED
        assert second.come_back().resumed

    def test_a_newer_session_that_the_disk_missed_takes_its_name_back(self, harness: Harness) -> None:
        (alice,) = harness.online("alice")
        harness.settle()
        harness.system.hold()
        second = harness.client("alice", "another-instance")
        second.log_in()
        harness.restart()
        assert alice.come_back().resumed
        value = second.claim()
        assert isinstance(value, Claimed)
        assert not value.resumed
        assert alice.endings() == [Ending.REMOTE_LOGIN]

    def test_what_was_not_committed_is_gone(self, harness: Harness) -> None:
        (alice,) = harness.online("alice")
        harness.settle()
        harness.system.hold()
        alice.send("bob", b"never", offline=True)
        harness.restart()
        (bob,) = harness.online("bob")
        assert bob.inbox() == []

    def test_a_commit_that_failed_does_not_rise_after_a_restart(self, harness: Harness) -> None:
        (alice,) = harness.online("alice")
        harness.settle()
        harness.system.fail(True)
        message = alice.send("bob", b"never", offline=True)
        assert refused(harness.answer(message)) is Trouble.UNAVAILABLE
        harness.system.fail(False)
        harness.advance(JOURNAL_RETRY + 0.1)
        harness.restart()
        (bob,) = harness.online("bob")
        assert bob.inbox() == []

    def test_caps_count_what_was_stored_before(self, make: MakeHarness) -> None:
        harness = make(stored_bytes_per_sender=20, inbox_messages=10)
        (alice,) = harness.online("alice")
        for _ in range(2):
            assert outcome(harness.answer(alice.send("bob", b"x" * 10, offline=True))) == CACHED
        harness.restart()
        alice.come_back()
        assert refused(harness.answer(alice.send("bob", b"x", offline=True))) is Trouble.FULL
        (bob,) = harness.online("bob")
        bob.acknowledge(bob.read().top)
        assert outcome(harness.answer(alice.send("carol", b"x" * 10, offline=True))) == CACHED
