"""What every engine has to do about the time to live of stored messages, and about who asks for them or flushes them.

See `engine_conformance`.
"""

from typing import Any

import pytest

from rtmcore.limits import DAY, JOURNAL_RETRY, OFFLINE_AFTER, UNREACHABLE_AFTER
from rtmcore.service.commands.history import Kept
from rtmcore.service.commands.inboxes import DropStored, ListStored
from rtmcore.service.commands.results import Settled, Trouble
from tests.service.engine_conformance import CACHED, DELIVERED, outcome, refused
from tests.service.engine_harness import Client, Harness, MakeHarness


def bodies(kept: Any) -> list[bytes]:
    assert isinstance(kept, Kept), kept
    return [message.body for message in kept.messages]


def unreachable(harness: Harness, client: Client) -> None:
    """Let a client be silent for so long that what is sent to it is stored."""
    client.silent(gone=True)
    harness.advance(UNREACHABLE_AFTER)


class TimeToLive:
    def test_a_stored_message_is_dropped_when_its_time_is_over(self, harness: Harness) -> None:
        (alice,) = harness.online("alice")
        for body, ttl in ((b"short", 5.0), (b"long", 50.0), (b"7 days", None)):
            assert outcome(harness.answer(alice.send("bob", body, offline=True, ttl=ttl))) == CACHED
        harness.advance(4.9)
        (bob,) = harness.online("bob")
        assert bob.inbox() == [b"short", b"long", b"7 days"]
        bob.log_out()
        for body, ttl in ((b"short", 5.0), (b"7 days", None)):
            alice.send("carol", body, offline=True, ttl=ttl)
        harness.advance(5.1)
        (carol,) = harness.online("carol")
        assert carol.inbox() == [b"7 days"]

    def test_it_is_dropped_though_nobody_comes(self, make: MakeHarness) -> None:
        harness = make(stored_bytes=10)
        (alice,) = harness.online("alice")
        assert outcome(harness.answer(alice.send("bob", b"0123456789", offline=True, ttl=5.0))) == CACHED
        assert refused(harness.answer(alice.send("carol", b"0", offline=True))) is Trouble.FULL
        harness.advance(70)
        assert outcome(harness.answer(alice.send("carol", b"0", offline=True))) == CACHED

    def test_no_message_is_kept_longer_than_7_days(self, harness: Harness) -> None:
        (alice,) = harness.online("alice")
        alice.send("bob", offline=True, ttl=1e9)
        harness.pass_days(8)
        (bob,) = harness.online("bob")
        assert bob.inbox() == []

    def test_no_message_is_kept_longer_than_the_engine_is_told(self, make: MakeHarness) -> None:
        harness = make(offline_seconds=2 * DAY, offline_messages=2)
        (alice,) = harness.online("alice")
        for body in (b"0", b"1", b"2"):
            alice.send("bob", body, offline=True)
            alice.send("carol", body, offline=True)
        harness.pass_days(1)
        (bob,) = harness.online("bob")
        assert bob.inbox() == [b"1", b"2"]
        harness.pass_days(2)
        (carol,) = harness.online("carol")
        assert carol.inbox() == []

    def test_a_receiver_that_was_away_for_a_moment_does_not_get_it_either(self, harness: Harness) -> None:
        alice, bob = harness.online("alice", "bob")
        unreachable(harness, bob)
        short = alice.send(bob, b"short", offline=True, ttl=5.0, wait=20.0)
        alice.send(bob, b"long", offline=True, ttl=50.0, wait=20.0)
        harness.advance(6)
        position = bob.come_back().inbox
        assert [entry.body for entry in bob.read(position).entries] == [b"long"]
        assert outcome(harness.answer(short)) == CACHED, "it was"
        alice.send(bob, b"next")
        assert [entry.body for entry in bob.noticed()] == [b"next"]
        assert bob.inbox() == [b"long", b"next"]

    def test_a_client_that_takes_over_does_not_get_it_either(self, harness: Harness) -> None:
        (alice,) = harness.online("alice")
        for body, ttl in ((b"short", 5.0), (b"long", 50.0)):
            assert outcome(harness.answer(alice.send("bob", body, offline=True, ttl=ttl))) == CACHED
        (first,) = harness.online("bob")
        assert first.inbox() == [b"short", b"long"]
        harness.advance(6)
        second = harness.client("bob", "another-instance")
        assert not second.log_in().resumed
        assert second.inbox() == [b"long"]

    def test_what_was_handed_to_the_receiver_is_not_taken_back(self, harness: Harness) -> None:
        alice, bob = harness.online("alice", "bob")
        message = alice.send(bob, b"slow", offline=True, ttl=3.0, wait=60.0)
        harness.advance(10)
        assert bob.come_back().resumed
        assert bob.inbox() == [b"slow"]
        bob.acknowledge(bob.read().top)
        assert outcome(harness.answer(message)) == DELIVERED


class StoredMessages:
    def test_messages_stored_for_oneself_are_listed_in_pages(self, harness: Harness) -> None:
        (alice,) = harness.online("alice")
        sends = [alice.send("bob", b"%d" % number, offline=True) for number in range(5)]
        ids = [harness.answer(send).id for send in sends]
        (bob,) = harness.online("bob")
        page = bob.stored(messages=2)
        assert (bodies(page), page.count) == ([b"0", b"1"], 5)
        first = page.messages[0]
        assert (first.id, first.source, first.destination) == (ids[0], "alice", "bob")
        assert (first.channel, first.kind) == (False, 1)
        page = bob.stored(page.messages[-1].id, size=2)
        assert (bodies(page), page.count) == ([b"2", b"3"], 3)
        page = bob.stored(page.messages[-1].id, size=0)
        assert (bodies(page), page.count) == ([b"4"], 1), "at least one"
        assert bob.stored(ids[-1]) == Kept((), 0)
        assert bob.inbox() == [b"0", b"1", b"2", b"3", b"4"], "listing takes nothing away"

    def test_what_is_acknowledged_is_not_listed(self, harness: Harness) -> None:
        (alice,) = harness.online("alice")
        for number in range(3):
            alice.send("bob", b"%d" % number, offline=True)
        (bob,) = harness.online("bob")
        bob.acknowledge(bob.read().entries[1].id)
        assert bodies(bob.stored()) == [b"2"]
        assert bodies(alice.stored()) == [], "only one's own"

    def test_what_is_not_stored_is_not_listed(self, harness: Harness) -> None:
        alice, bob = harness.online("alice", "bob")
        alice.send(bob, b"in memory")
        harness.advance(5)
        assert bob.stored() == Kept((), 0)

    def test_what_is_over_is_not_listed(self, harness: Harness) -> None:
        (alice,) = harness.online("alice")
        alice.send("bob", b"short", offline=True, ttl=5.0)
        alice.send("bob", b"long", offline=True, ttl=50.0)
        (bob,) = harness.online("bob")
        harness.advance(6)
        assert bodies(bob.stored()) == [b"long"]

    def test_a_flush_drops_them_all(self, harness: Harness) -> None:
        (alice,) = harness.online("alice")
        for number in range(3):
            alice.send("bob", b"%d" % number, offline=True)
        harness.settle()
        (bob,) = harness.online("bob")
        alice.send(bob, b"in memory")
        assert harness.answer(bob.flush()) == Settled()
        assert bob.stored() == Kept((), 0)
        assert bob.inbox() == [b"in memory"]
        assert harness.answer(bob.flush()) == Settled(), "nothing to drop is no error"
        bob.acknowledge(bob.read().top)
        alice.send(bob, b"next")
        assert [entry.body for entry in bob.noticed()] == [b"in memory", b"next"]
        bob.log_out()
        bob.log_in()
        assert bob.inbox() == []

    def test_a_sender_who_waits_hears_cached(self, harness: Harness) -> None:
        alice, bob = harness.online("alice", "bob")
        unreachable(harness, bob)
        message = alice.send(bob, b"stored", offline=True)
        harness.settle()
        bob.come_back()
        assert harness.answer(message) is None
        assert harness.answer(bob.flush()) == Settled()
        assert outcome(harness.answer(message)) == CACHED
        assert bob.inbox() == []

    def test_a_flush_makes_room(self, make: MakeHarness) -> None:
        harness = make(stored_bytes=10, inbox_bytes=10)
        (alice,) = harness.online("alice")
        alice.send("bob", b"0123456789", offline=True)
        (bob,) = harness.online("bob")
        harness.answer(bob.flush())
        bob.log_out()
        assert outcome(harness.answer(alice.send("bob", b"0123456789", offline=True))) == CACHED

    @pytest.mark.parametrize("end", ["return", "new session"])
    def test_a_repeat_drops_nothing_more(self, harness: Harness, end: str) -> None:
        (alice,) = harness.online("alice")
        alice.send("bob", b"1", offline=True)
        (bob,) = harness.online("bob")
        flush = bob.flush()
        assert harness.answer(flush) == Settled()
        unreachable(harness, bob)
        alice.send("bob", b"2", offline=True)
        if end == "new session":
            harness.advance(OFFLINE_AFTER)
        bob.claim()
        assert harness.answer(bob.again(flush)) == Settled()
        assert bob.inbox() == [b"2"]

    def test_only_the_current_transport_may_ask(self, harness: Harness) -> None:
        (alice,) = harness.online("alice")
        alice.send("bob", b"1", offline=True)
        (bob,) = harness.online("bob")
        old = bob.here
        bob.come_back()
        for command in (ListStored(old, 1, 0, 0, 10, 100), DropStored(old, 2, 0)):
            assert refused(bob.ask(command)) is Trouble.FENCED
        assert bodies(bob.stored()) == [b"1"]


class StoredOnDisk:
    """Engines with a journal."""

    @pytest.mark.parametrize("receiver", ["offline", "unreachable"])
    @pytest.mark.parametrize("clean", [False, True])
    def test_the_time_to_live_goes_on_over_a_restart(
        self, harness: Harness, receiver: str, clean: bool
    ) -> None:
        alice, bob = harness.online("alice", "bob")
        if receiver == "offline":
            bob.log_out()
        else:
            unreachable(harness, bob)
        alice.send("bob", b"short", offline=True, ttl=5.0)
        alice.send("bob", b"long", offline=True, ttl=50.0)
        harness.settle()
        harness.advance(3)
        harness.restart(clean=clean)
        harness.advance(3)
        assert bob.claim().resumed is (receiver == "unreachable")
        assert bob.inbox() == [b"long"]
        harness.settle()
        harness.restart()
        bob.claim()
        assert bob.inbox() == [b"long"]

    @pytest.mark.parametrize("way", ["flushed", "over"])
    def test_who_repeats_what_was_dropped_after_a_restart_does_not_hear_delivered(
        self, harness: Harness, way: str
    ) -> None:
        (alice,) = harness.online("alice")
        send = alice.send("bob", b"dropped", offline=True, ttl=5.0 if way == "over" else None)
        harness.settle()
        harness.restart()
        alice.come_back()
        harness.advance(6)
        (bob,) = harness.online("bob")
        assert harness.answer(bob.flush()) == Settled()
        harness.settle()
        assert outcome(harness.answer(alice.again(send))) == CACHED

    def test_a_flush_is_answered_when_it_is_on_the_disk(self, harness: Harness) -> None:
        (alice,) = harness.online("alice")
        alice.send("bob", b"1", offline=True)
        harness.settle()
        (bob,) = harness.online("bob")
        harness.settle()
        harness.system.hold()
        flushes = [bob.flush(), bob.flush()]
        assert [harness.answer(flush) for flush in flushes] == [None, None]
        assert bob.inbox() == []
        harness.system.let_go()
        assert [harness.answer(flush) for flush in flushes] == [Settled(), Settled()]
        harness.restart()
        bob.come_back()
        assert bob.inbox() == []

    def test_a_flush_whose_commit_failed_is_written_later(self, harness: Harness) -> None:
        (alice,) = harness.online("alice")
        alice.send("bob", b"1", offline=True)
        (bob,) = harness.online("bob")
        harness.settle()
        harness.system.fail(True)
        flush = bob.flush()
        assert harness.answer(flush) is None
        harness.system.fail(False)
        harness.advance(JOURNAL_RETRY + 0.1)
        assert harness.answer(flush) == Settled()
        harness.restart()
        bob.come_back()
        assert bob.inbox() == []

    def test_what_is_not_committed_yet_is_neither_listed_nor_dropped(self, harness: Harness) -> None:
        alice, bob = harness.online("alice", "bob")
        unreachable(harness, bob)
        harness.settle()
        harness.system.hold()
        message = alice.send(bob, b"stored", offline=True)
        bob.come_back()
        assert bob.stored() == Kept((), 0)
        assert harness.answer(bob.flush()) == Settled()
        harness.system.let_go()
        harness.settle()
        assert bodies(bob.stored()) == [b"stored"]
        bob.acknowledge(bob.read().top)
        assert outcome(harness.answer(message)) == DELIVERED
