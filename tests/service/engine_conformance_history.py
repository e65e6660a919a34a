"""What every engine has to do about the history of messages. See `engine_conformance`."""

from typing import Any

import pytest

from rtmcore.codes import MessageType
from rtmcore.limits import (
    DAY,
    HISTORY_DAYS,
    HISTORY_ENTRY_OVERHEAD,
    JOURNAL_RETRY,
    OFFLINE_AFTER,
    REPLAY_WINDOW,
)
from rtmcore.service.commands.channels import ChannelNotice
from rtmcore.service.commands.history import Kept, ReadHistory
from rtmcore.service.commands.messages import Accepted, Logged, SendAs
from rtmcore.service.commands.names import RTM, Name
from rtmcore.service.commands.results import Trouble
from tests.service.engine_conformance import CACHED, DELIVERED, PEER_UNREACHABLE, outcome, refused
from tests.service.engine_harness import APP, Client, Harness, MakeHarness


def bodies(kept: Any) -> list[bytes]:
    assert isinstance(kept, Kept), kept
    return [message.body for message in kept.messages]


def members(harness: Harness, *users: str) -> list[Client]:
    """Clients in one channel, on a node that watches it."""
    clients = harness.online(*users)
    clients[0].node.watch("room")
    for client in clients:
        client.join("room")
    return clients


def told(client: Client) -> list[bytes]:
    """Bodies that the client's node was told of in the channel."""
    return [notice.entry.body for notice in client.node.of(ChannelNotice)]


class HistoryOfAll:
    def test_messages_that_want_it_are_kept(self, harness: Harness) -> None:
        alice, bob = members(harness, "alice", "bob")
        logged = alice.publish("room", b"to all", history=True)
        assert isinstance(logged, Logged)
        alice.publish("room", b"not kept")
        sent = alice.send(bob, b"to bob", history=True)
        alice.send(bob, b"not kept")
        harness.settle()
        assert told(bob) == [b"to all", b"not kept"]
        assert [entry.body for entry in bob.noticed()] == [b"to bob", b"not kept"]
        bob.acknowledge(bob.noticed()[-1].id)
        assert outcome(harness.answer(sent)) == DELIVERED
        kept = alice.history(source="alice")
        assert (bodies(kept), kept.count) == ([b"to all", b"to bob"], 2)
        first, second = kept.messages
        assert (first.id, first.source, first.destination) == (logged.id, "alice", "room")
        assert (first.channel, first.kind) == (True, 1)
        assert (second.id, second.destination, second.channel) == (harness.answer(sent).id, "bob", False)

    def test_questions_name_source_destination_and_time(self, harness: Harness) -> None:
        alice, bob = members(harness, "alice", "bob")
        for number in range(3):
            for client in (alice, bob):
                client.publish("room", b"%s %d" % (client.user.encode(), number), history=True)
            harness.advance(10)
        alice.send(bob, b"alice bob", history=True)
        alice.send("room", b"a user of this name", offline=True, history=True)
        harness.settle()
        room = {"destination": "room", "channel": True}
        assert bodies(bob.history(source="alice", **room)) == [b"alice 0", b"alice 1", b"alice 2"]
        assert alice.history(**room).count == 6
        assert bodies(alice.history(destination="room")) == [b"a user of this name"]
        assert bodies(alice.history(source="alice", destination="bob")) == [b"alice bob"]
        assert bodies(alice.history(source="bob", destination="bob")) == []
        assert alice.history(source="alice").count == 5, "to users and to channels"
        ids = [message.id for message in alice.history(source="alice", **room).messages]
        assert bodies(alice.history(start=ids[1], end=ids[2], source="alice")) == [b"alice 1"]
        assert bodies(alice.history(start=ids[1], end=ids[2], **room)) == [b"alice 1", b"bob 1"]

    def test_pages_are_cut_in_either_order(self, harness: Harness) -> None:
        (alice,) = members(harness, "alice")
        for number in range(5):
            alice.publish("room", b"%d" % number, history=True)
        page = alice.history(source="alice", limit=2)
        assert (bodies(page), page.count) == ([b"0", b"1"], 5)
        assert bodies(alice.history(source="alice", limit=2, offset=4)) == [b"4"]
        page = alice.history(source="alice", limit=2, offset=1, ascending=False)
        assert (bodies(page), page.count) == ([b"3", b"2"], 5)
        assert alice.history(source="alice", limit=0) == Kept((), 5), "only how many"
        assert alice.history(source="alice", offset=9) == Kept((), 5)

    def test_only_text_is_kept(self, harness: Harness) -> None:
        (alice,) = members(harness, "alice")
        assert isinstance(alice.publish("room", kind=MessageType.RAW, history=True), Logged)
        assert alice.history(source="alice") == Kept((), 0)

    def test_what_is_stored_is_kept_besides_and_what_is_refused_is_not(self, harness: Harness) -> None:
        (alice,) = harness.online("alice")
        stored = alice.send("bob", b"stored", offline=True, history=True)
        assert outcome(harness.answer(stored)) == CACHED
        assert outcome(harness.answer(alice.send("bob", b"lost", history=True))) == PEER_UNREACHABLE
        assert bodies(alice.history(destination="bob")) == [b"stored"]
        (bob,) = harness.online("bob")
        assert bob.inbox() == [b"stored"]
        bob.acknowledge(bob.read().top)
        assert bodies(alice.history(destination="bob")) == [b"stored"], "delivered or not"

    def test_apps_and_name_spaces_do_not_touch_each_other(self, harness: Harness) -> None:
        (alice,) = members(harness, "alice")
        alice.publish("room", b"kept", history=True)
        other = ReadHistory("f" * 32, None, 1, "alice", None, False, 0, 2**62, 0, 100, True)
        assert alice.ask(other) == Kept((), 0)
        (guest,) = harness.present("red", "guest")
        assert isinstance(guest.publish("red", history=True), Logged)
        assert alice.history(source="guest") == Kept((), 0)

    def test_it_goes_back_7_days(self, harness: Harness) -> None:
        (alice,) = members(harness, "alice")
        alice.publish("room", b"old", history=True)
        harness.pass_days(HISTORY_DAYS - 1)
        assert bodies(alice.history(source="alice")) == [b"old"]
        alice.publish("room", b"new", history=True)
        harness.pass_days(1)
        kept = alice.history(source="alice")
        assert (bodies(kept), kept.count) == ([b"new"], 1)

    def test_it_goes_back_as_far_as_the_engine_is_told(self, make: MakeHarness) -> None:
        harness = make(history_seconds=2 * DAY)
        (alice,) = members(harness, "alice")
        alice.publish("room", b"old", history=True)
        harness.pass_days(1)
        assert bodies(alice.history(source="alice")) == [b"old"]
        harness.pass_days(1)
        assert alice.history(source="alice").count == 0

    def test_the_oldest_make_room(self, make: MakeHarness) -> None:
        harness = make(history_bytes=3 * (HISTORY_ENTRY_OVERHEAD + 1))
        (alice,) = members(harness, "alice")
        for number in range(5):
            assert isinstance(alice.publish("room", b"%d" % number, history=True), Logged)
        assert bodies(alice.history(source="alice")) == [b"2", b"3", b"4"]
        alice.publish("room", b"x" * (HISTORY_ENTRY_OVERHEAD + 2), history=True)  # as large as two
        assert alice.history(source="alice").count == 2

    def test_nobody_else_needs_a_session_to_ask(self, harness: Harness) -> None:
        (alice,) = members(harness, "alice")
        alice.publish("room", b"kept", history=True)
        question = ReadHistory(APP, None, 0, None, "room", True, 0, 2**62, 0, 100, True)
        assert bodies(harness.do(harness.node(), question)) == [b"kept"]

    def test_only_the_current_transport_may_ask(self, harness: Harness) -> None:
        (alice,) = harness.online("alice")
        old = alice.here
        alice.come_back()
        question = ReadHistory(APP, old, 1, "alice", None, False, 0, 2**62, 0, 100, True)
        assert refused(alice.ask(question)) is Trouble.FENCED

    def test_a_repeat_is_given_the_recorded_result_and_kept_once(self, harness: Harness) -> None:
        alice, bob = members(harness, "alice", "bob")
        first = alice.issue("room", b"1", history=True)
        logged = harness.answer(first)
        alice.come_back()
        assert harness.answer(alice.again(first)) == logged
        assert alice.history(source="alice").count == 1
        assert told(bob) == [b"1"]

    def test_who_is_no_member_keeps_nothing(self, harness: Harness) -> None:
        (alice,) = harness.online("alice")
        refused(alice.publish("room", history=True))
        assert alice.history(source="alice").count == 0


class HistoryOnDisk:
    """Engines with a journal."""

    def test_nobody_sees_a_message_before_it_is_kept_nor_what_is_behind_it(self, harness: Harness) -> None:
        alice, bob, carol = members(harness, "alice", "bob", "carol")
        before = alice.publish("room", b"0")
        harness.settle()
        harness.system.hold()
        kept = alice.issue("room", b"1", history=True)
        plain = [bob.issue("room", b"2"), alice.issue("room", b"3")]
        second = bob.issue("room", b"4", history=True)
        for command in (kept, *plain, second):
            assert harness.answer(command) is None
        assert told(carol) == [b"0"]
        assert carol.window("room", 0).entries[-1].body == b"0"
        assert alice.history(source="alice").count == 0
        late = harness.client("dave")
        late.log_in()
        joined = late.join("room")
        assert joined.position == before.id
        harness.system.let_go()
        position = before.id
        for command in (kept, *plain, second):
            logged = harness.answer(command)
            assert logged.prev == position
            position = logged.id
        assert told(carol) == [b"0", b"1", b"2", b"3", b"4"]
        assert [entry.body for entry in late.window("room", joined.position).entries] == [
            b"1",
            b"2",
            b"3",
            b"4",
        ]
        ids = [harness.answer(command).id for command in (kept, second)]
        found = alice.history(destination="room", channel=True)
        assert [message.id for message in found.messages] == ids
        assert isinstance(alice.publish("room", b"5"), Logged)

    def test_a_message_that_could_not_be_kept_never_existed(self, harness: Harness) -> None:
        alice, bob = members(harness, "alice", "bob")
        harness.settle()
        harness.system.hold()
        lost = alice.issue("room", b"lost", history=True)
        plain = bob.issue("room", b"plain")
        sent = alice.send(bob, b"lost too", history=True, wait=60.0)
        behind = alice.send(bob, b"behind", wait=60.0)
        harness.system.fail(True)
        harness.system.let_go()
        for command in (lost, sent):
            assert refused(harness.answer(command)) is Trouble.UNAVAILABLE
        assert isinstance(harness.answer(plain), Logged)
        assert told(bob) == [b"plain"]
        assert [entry.body for entry in bob.noticed()] == [b"behind"]
        harness.system.fail(False)
        assert refused(harness.answer(alice.again(lost))) is Trouble.UNAVAILABLE
        assert isinstance(alice.publish("room", b"kept", history=True), Logged)
        assert bodies(alice.history(source="alice")) == [b"kept"]
        bob.acknowledge(bob.noticed()[-1].id)
        assert outcome(harness.answer(behind)) == DELIVERED
        harness.advance(JOURNAL_RETRY + 0.1)
        harness.restart()
        alice.come_back()
        assert bodies(alice.history(source="alice")) == [b"kept"]

    def test_a_peer_message_is_seen_when_it_is_kept(self, harness: Harness) -> None:
        alice, bob = harness.online("alice", "bob")
        harness.settle()
        harness.system.hold()
        kept = alice.send(bob, b"kept", history=True)
        plain = alice.send(bob, b"behind")
        assert bob.noticed() == []
        assert bob.inbox() == []
        harness.system.let_go()
        harness.settle()
        assert [entry.body for entry in bob.noticed()] == [b"kept", b"behind"]
        bob.acknowledge(bob.noticed()[-1].id)
        assert [outcome(harness.answer(command)) for command in (kept, plain)] == [DELIVERED] * 2

    @pytest.mark.parametrize("fails", [False, True])
    @pytest.mark.parametrize("offline", [False, True])
    def test_a_receiver_that_leaves_meanwhile_gets_what_is_stored_only(
        self, harness: Harness, offline: bool, fails: bool
    ) -> None:
        alice, bob = harness.online("alice", "bob")
        harness.settle()
        harness.system.hold()
        sent = alice.send(bob, b"kept", history=True, offline=offline)
        bob.log_out()
        harness.system.fail(fails)
        harness.system.let_go()
        value = harness.answer(sent)
        harness.system.fail(False)
        if not offline:
            assert outcome(value) == PEER_UNREACHABLE
        elif fails:
            assert refused(value) is Trouble.UNAVAILABLE
        else:
            assert outcome(value) == CACHED
        bob.log_in()
        assert bob.inbox() == ([b"kept"] if offline and not fails else [])
        alice.send(bob, b"next")
        assert bob.inbox()[-1] == b"next"

    @pytest.mark.parametrize("fails", [False, True])
    @pytest.mark.parametrize("acknowledged", [False, True])
    def test_who_sends_without_a_session_is_told_when_it_is_kept(
        self, harness: Harness, acknowledged: bool, fails: bool
    ) -> None:
        (bob,) = harness.online("bob")
        harness.settle()
        harness.system.hold()
        bot = Name(APP, RTM, "bot")
        sends = [
            SendAs(
                cmid, bot, "key", "bob", MessageType.TEXT, b"kept", False, acknowledged, 10.0, history=True
            )
            for cmid in (1, 2)
        ]
        for send in sends:
            bob.node.submit(send)
        assert [harness.answers(send) for send in sends] == [[], []], "nobody knows yet whether it is kept"
        assert bob.noticed() == []
        harness.system.fail(fails)
        harness.system.let_go()
        harness.settle()
        harness.system.fail(False)
        if fails:
            assert [refused(harness.answer(send)) for send in sends] == [Trouble.UNAVAILABLE] * 2
            assert bob.noticed() == []
            return
        (entry,) = bob.noticed()
        if acknowledged:
            assert [harness.answers(send) for send in sends] == [[], []]
            bob.acknowledge(entry.id)
        for send in sends:
            value = harness.answer(send)
            assert outcome(value) == DELIVERED if acknowledged else value == Accepted()
        if not acknowledged:
            bob.acknowledge(entry.id)
            assert [len(harness.answers(send)) for send in sends] == [1, 1]
        assert bodies(bob.history(source="bot")) == [b"kept"]

    def test_a_sender_who_leaves_meanwhile_has_sent_all_the_same(self, harness: Harness) -> None:
        alice, bob = members(harness, "alice", "bob")
        harness.settle()
        harness.system.hold()
        command = alice.issue("room", b"kept", history=True)
        alice.silent(gone=True)
        harness.advance(OFFLINE_AFTER)
        harness.system.let_go()
        harness.settle()
        assert told(bob) == [b"kept"]
        assert not alice.claim().resumed
        assert isinstance(harness.answer(alice.again(command)), Logged), "recorded, and not sent twice"
        assert told(bob) == [b"kept"]

    def test_a_message_that_waited_for_long_is_new_when_it_is_seen(self, harness: Harness) -> None:
        alice, bob = members(harness, "alice", "bob")
        position = alice.publish("room", b"0").id
        harness.settle()
        harness.system.hold()
        alice.issue("room", b"1", history=True)
        alice.issue("room", b"2")
        harness.advance(REPLAY_WINDOW + 1)
        harness.system.let_go()
        harness.settle()
        page = bob.window("room", position)
        assert ([entry.body for entry in page.entries], page.lost) == ([b"1", b"2"], 0)

    def test_a_repeat_of_a_message_that_waits_is_answered_once(self, harness: Harness) -> None:
        alice, bob = members(harness, "alice", "bob")
        harness.settle()
        harness.system.hold()
        first = alice.issue("room", b"kept", history=True)
        alice.come_back()
        again = alice.again(first)
        harness.system.let_go()
        assert isinstance(harness.answer(again), Logged)
        assert harness.answer(first) is None
        assert told(bob) == [b"kept"]

    @pytest.mark.parametrize("clean", [False, True])
    def test_it_survives_a_restart(self, make: MakeHarness, clean: bool) -> None:
        harness = make(history_bytes=3 * (HISTORY_ENTRY_OVERHEAD + 1))
        (alice,) = members(harness, "alice")
        for number in range(2):
            alice.publish("room", b"%d" % number, history=True)
        harness.restart(clean=clean)
        alice.come_back()
        alice.join("room", restore=True)
        for number in range(2, 4):
            alice.publish("room", b"%d" % number, history=True)
        assert bodies(alice.history(source="alice")) == [b"1", b"2", b"3"], "the cap counts the older ones"

    def test_a_message_repeated_after_a_restart_is_kept_once(self, harness: Harness) -> None:
        (alice,) = members(harness, "alice")
        first = alice.issue("room", b"kept", history=True)
        harness.settle()
        harness.restart()
        alice.come_back()
        alice.join("room", restore=True)
        logged = harness.answer(alice.again(first))
        assert [message.id for message in alice.history(source="alice").messages] == [logged.id]

    def test_what_waits_in_front_of_the_disk_is_bounded(self, make: MakeHarness) -> None:
        harness = make(history_held_bytes=10)
        alice, bob = members(harness, "alice", "bob")
        harness.settle()
        harness.system.hold()
        first = alice.issue("room", b"01234567", history=True)
        assert refused(bob.publish("room", b"0123")) is Trouble.FULL
        second = bob.issue("room", b"89")
        harness.system.let_go()
        assert isinstance(harness.answer(first), Logged)
        assert isinstance(harness.answer(second), Logged)
        assert isinstance(bob.publish("room", b"0123456789"), Logged)
        assert told(bob) == [b"01234567", b"89", b"0123456789"]

    def test_a_history_that_cannot_be_read_is_said_so(self, harness: Harness) -> None:
        (alice,) = members(harness, "alice")
        alice.publish("room", b"kept", history=True)
        harness.settle()
        harness.system.fail(True)
        assert refused(alice.history(source="alice")) is Trouble.UNAVAILABLE
        harness.system.fail(False)
        assert bodies(alice.history(source="alice")) == [b"kept"]
