"""What every engine has to do, as far as channels go; see `engine_conformance`."""

import pytest

from rtmcore.codes import GetMembersError, JoinChannelError, LeaveChannelError, SendChannelMessageError
from rtmcore.limits import (
    CHANNEL_MEMORY,
    CHANNELS_JOINED,
    MEMBER_COUNT_CHANNELS,
    REPLAY_MAX,
    REPLAY_WINDOW,
)
from rtmcore.service.commands.channels import (
    ChannelNotice,
    CountMembers,
    Counts,
    JoinChannel,
    MemberNotice,
    Membership,
    Unwatch,
)
from rtmcore.service.commands.entries import Page
from rtmcore.service.commands.messages import Logged, PublishMessage
from rtmcore.service.commands.results import Settled, Trouble
from rtmcore.service.commands.table import Answer
from tests.service.engine_conformance import refused
from tests.service.engine_harness import APP, Client, Harness, MakeHarness


class Channels:
    def test_members_publish_and_watching_nodes_are_told(self, harness: Harness) -> None:
        alice = harness.client("alice", node="n1")
        bob = harness.client("bob", node="n2")
        for client in (alice, bob):
            client.log_in()
        harness.node("n1").watch("room")
        harness.node("n2").watch("room")
        joined = alice.join("room")
        assert isinstance(joined, Membership)
        assert (joined.count, joined.users) == (1, ("alice",))
        bob.join("room")
        logged = alice.publish("room", b"hello")
        assert isinstance(logged, Logged)
        assert logged.prev == joined.position
        assert logged.id >= harness.wall - 1
        for name in ("n1", "n2"):
            (notice,) = harness.node(name).of(ChannelNotice)
            assert (notice.app, notice.channel, notice.author) == (APP, "room", alice.name)
            entry = notice.entry
            assert (entry.id, entry.prev) == (logged.id, logged.prev)
            assert (entry.user, entry.iid, entry.kind, entry.body) == ("alice", alice.iid, 1, b"hello")

    def test_only_watching_nodes_are_told(self, harness: Harness) -> None:
        (alice,) = harness.online("alice")
        alice.join("room")
        alice.publish("room")
        assert alice.node.of(ChannelNotice) == []
        alice.node.watch("room")
        alice.node.watch("room")
        alice.publish("room")
        assert len(alice.node.of(ChannelNotice)) == 1
        alice.node.submit(Unwatch(APP, "room"))
        alice.node.submit(Unwatch(APP, "room"))
        alice.publish("room")
        alice.leave("room")
        assert len(alice.node.of(ChannelNotice)) == 1
        assert alice.node.of(MemberNotice) == []

    def test_a_channel_has_one_order_for_all(self, harness: Harness) -> None:
        clients = harness.online("alice", "bob", "carol")
        clients[0].node.watch("room")
        for client in clients:
            position = client.join("room").position
        answers = [clients[number % 3].publish("room", b"%d" % number) for number in range(30)]
        entries = [notice.entry for notice in clients[0].node.of(ChannelNotice)]
        assert [entry.body for entry in entries] == [b"%d" % number for number in range(30)]
        assert [(entry.id, entry.prev) for entry in entries] == [(a.id, a.prev) for a in answers]
        for entry in entries:
            assert entry.prev == position
            position = entry.id

    def test_joins_and_leaves_are_told_once_with_a_growing_version(self, harness: Harness) -> None:
        alice, bob = harness.online("alice", "bob")
        alice.node.watch("room")
        first = alice.join("room")
        second = bob.join("room")
        assert bob.leave("room") == Settled()
        notices = alice.node.of(MemberNotice)
        assert [(n.user, n.joined, n.count) for n in notices] == [
            ("alice", True, 1),
            ("bob", True, 2),
            ("bob", False, 1),
        ]
        versions = [notice.version for notice in notices]
        assert versions == sorted(set(versions))
        assert versions[:2] == [first.version, second.version]
        assert alice.members("room").version == versions[2]

    def test_a_logout_leaves_all_channels(self, harness: Harness) -> None:
        alice, bob = harness.online("alice", "bob")
        for channel in ("room", "hall"):
            alice.node.watch(channel)
            alice.join(channel)
            bob.join(channel)
        alice.log_out()
        left = [(n.channel, n.user) for n in bob.node.of(MemberNotice) if not n.joined]
        assert sorted(left) == [("hall", "alice"), ("room", "alice")]
        assert bob.members("room").users == ("bob",)

    def test_strangers_to_a_channel_are_refused(self, harness: Harness) -> None:
        alice, bob = harness.online("alice", "bob")
        bob.join("room")
        assert refused(alice.publish("room")) is SendChannelMessageError.NOT_IN_CHANNEL
        assert refused(alice.leave("room")) is LeaveChannelError.NOT_IN_CHANNEL
        assert refused(alice.members("room")) is GetMembersError.NOT_IN_CHANNEL
        assert refused(alice.window("room", 0)) is GetMembersError.NOT_IN_CHANNEL

    def test_a_member_cannot_join_again(self, harness: Harness) -> None:
        (alice,) = harness.online("alice")
        alice.join("room")
        assert refused(alice.join("room")) is JoinChannelError.ALREADY_JOINED
        assert alice.members("room").count == 1

    def test_a_client_is_in_twenty_channels(self, harness: Harness) -> None:
        (alice,) = harness.online("alice")
        for number in range(CHANNELS_JOINED):
            assert isinstance(alice.join(f"room {number}"), Membership)
        assert refused(alice.join("one more")) is JoinChannelError.EXCEED_LIMIT
        alice.leave("room 0")
        assert isinstance(alice.join("one more"), Membership)

    def test_a_restore_keeps_a_member_and_takes_others_in(self, harness: Harness) -> None:
        alice, bob = harness.online("alice", "bob")
        alice.node.watch("room")
        alice.join("room")
        alice.come_back()
        before = len(alice.node.of(MemberNotice))
        restored = alice.join("room", restore=True)
        assert isinstance(restored, Membership)
        assert len(alice.node.of(MemberNotice)) == before
        bob.join("room", restore=True)
        assert [n.user for n in alice.node.of(MemberNotice)][before:] == ["bob"]

    def test_large_channels_are_quiet_and_listed_by_chance(self, make: MakeHarness) -> None:
        harness = make(member_events=3)
        clients = harness.online(*(f"user {number}" for number in range(5)))
        clients[0].node.watch("room")
        for client in clients:
            client.join("room")
        for client in clients[1:]:
            client.leave("room")
        told = [(n.joined, n.count) for n in clients[0].node.of(MemberNotice)]
        assert told == [(True, 1), (True, 2), (True, 3), (False, 3), (False, 2), (False, 1)]

    def test_more_than_512_members_are_a_random_choice(self, harness: Harness) -> None:
        clients = harness.online(*(f"user {number}" for number in range(600)))
        rosters = [client.join("room") for client in clients]
        assert rosters[511].users is not None
        assert len(rosters[511].users) == 512
        assert rosters[512].users is None
        assert rosters[512].count == 513
        lists = [clients[0].members("room") for _ in range(3)]
        assert {value.count for value in lists} == {600}
        chosen = [frozenset(value.users) for value in lists]
        assert {len(users) for users in chosen} == {512}
        assert len(set(chosen)) == 3
        assert frozenset().union(*chosen) <= {client.user for client in clients}

    def test_a_list_has_as_many_members_as_the_engine_is_told(self, make: MakeHarness) -> None:
        harness = make(members_listed=3)
        clients = harness.online("a", "b", "c", "d", "e")
        rosters = [client.join("room") for client in clients]
        assert [roster.users is None for roster in rosters] == [False, False, False, True, True]
        assert [len(client.members("room").users) for client in clients] == [3] * 5

    def test_positions_and_versions_never_go_back_when_a_channel_is_made_anew(
        self, make: MakeHarness
    ) -> None:
        harness = make(channels_remembered=0)
        (alice,) = harness.online("alice")
        first = alice.join("room")
        logged = alice.publish("room")
        alice.leave("room")
        harness.advance(CHANNEL_MEMORY)
        again = alice.join("room")
        assert again.position >= logged.id > first.position
        assert again.version > first.version
        assert alice.publish("room").prev == again.position

    def test_versions_grow_across_a_channel_made_anew_while_the_wall_clock_stands(
        self, make: MakeHarness
    ) -> None:
        harness = make(channels_remembered=0)
        (alice,) = harness.online("alice")
        wall = harness.wall
        for _ in range(10):
            last = alice.join("room").version
            alice.leave("room")
        harness.advance(CHANNEL_MEMORY)
        harness.wall = wall
        assert alice.join("room").version > last + 1


class ChannelRepeats:
    def test_a_repeated_publish_is_the_same_entry(self, harness: Harness) -> None:
        (alice,) = harness.online("alice")
        alice.node.watch("room")
        alice.join("room")
        logged = alice.publish("room", b"once", cmid=7)
        alice.come_back()
        assert alice.publish("room", b"once", cmid=7) == logged
        assert len(alice.node.of(ChannelNotice)) == 1

    def test_a_publish_survives_the_session_as_a_result(self, harness: Harness) -> None:
        (alice,) = harness.online("alice")
        alice.node.watch("room")
        alice.join("room")
        logged = alice.publish("room", b"once", cmid=7)
        alice.log_in()
        assert alice.publish("room", b"once", cmid=7) == logged
        assert len(alice.node.of(ChannelNotice)) == 1

    def test_a_repeated_join_tells_who_is_there_now(self, harness: Harness) -> None:
        alice, bob, carol = harness.online("alice", "bob", "carol")
        alice.node.watch("room")
        bob.join("room")
        alice.join("room", cmid=7)
        alice.come_back()
        bob.leave("room")
        carol.join("room")
        carol.publish("room")
        again = alice.join("room", cmid=7)
        assert (again.count, again.users) == (2, ("alice", "carol"))
        assert len([n for n in alice.node.of(MemberNotice) if n.user == "alice"]) == 1

    def test_a_repeated_join_after_a_leave_does_not_come_in_again(self, harness: Harness) -> None:
        (alice,) = harness.online("alice")
        alice.node.watch("room")
        alice.join("room", cmid=7)
        alice.leave("room", cmid=8)
        alice.come_back()
        assert isinstance(alice.join("room", cmid=7), Membership)
        assert alice.leave("room", cmid=8) == Settled()
        assert [n.joined for n in alice.node.of(MemberNotice)] == [True, False]

    def test_a_new_session_repeats_joins_and_leaves_in_order(self, harness: Harness) -> None:
        (alice,) = harness.online("alice")
        alice.node.watch("room")
        alice.join("stays", cmid=6)
        alice.join("room", cmid=7)
        alice.leave("room", cmid=8)
        alice.silent(gone=True)
        harness.advance(31)
        alice.claim()
        assert isinstance(alice.join("stays", cmid=6), Membership)
        assert isinstance(alice.join("room", cmid=7), Membership)
        assert alice.leave("room", cmid=8) == Settled()
        assert alice.members("stays").users == ("alice",)
        assert [n.joined for n in alice.node.of(MemberNotice)] == [True, False, True, False]

    def test_a_leave_that_the_end_of_the_session_overtook_succeeds(self, harness: Harness) -> None:
        (alice,) = harness.online("alice")
        alice.join("room")
        alice.silent(gone=True)
        harness.advance(31)
        alice.claim()
        assert alice.leave("room") == Settled()

    def test_a_repeated_leave_undoes_a_restore(self, harness: Harness) -> None:
        (alice,) = harness.online("alice")
        alice.node.watch("room")
        alice.join("room")
        alice.leave("room", cmid=8)
        alice.come_back()
        alice.join("room", restore=True)
        assert alice.leave("room", cmid=8) == Settled()
        assert [n.joined for n in alice.node.of(MemberNotice)] == [True, False, True, False]

    def test_restored_channels_count_against_the_limit(self, make: MakeHarness) -> None:
        harness = make(channels_joined=2)
        (alice,) = harness.online("alice")
        for channel in ("a", "b"):
            alice.join(channel, restore=True)
        assert refused(alice.join("c", restore=True)) is JoinChannelError.EXCEED_LIMIT


class Misuse:
    def test_an_id_that_was_used_for_something_else_is_not_executed(self, harness: Harness) -> None:
        alice, bob = harness.online("alice", "bob")
        alice.node.watch("room")
        alice.join("room", cmid=1)
        alice.publish("room", cmid=2)
        alice.send(bob, cmid=3)
        for cmid in (1, 3):
            assert refused(alice.publish("room", cmid=cmid)) is Trouble.FORGOTTEN
        for cmid in (2, 3):
            assert refused(alice.join("hall", cmid=cmid)) is Trouble.FORGOTTEN
        for cmid in (1, 2, 3):
            assert refused(alice.leave("room", cmid=cmid)) is Trouble.FORGOTTEN
        for cmid in (1, 2):
            assert refused(harness.answer(alice.send(bob, cmid=cmid))) is Trouble.FORGOTTEN
        assert len(alice.node.of(ChannelNotice)) == 1
        assert len(bob.noticed()) == 1


def read(client: Client, channel: str, after: int) -> Page:
    page = client.window(channel, after)
    assert isinstance(page, Page), page
    assert page.complete
    return page


def fill(client: Client, channel: str, count: int) -> list[int]:
    """Publish messages whose bodies are their numbers, quickly; their ids."""
    commands = []
    for number in range(count):
        client.cmid += 1
        commands.append(
            PublishMessage(client.here, client.iid, client.cmid, client.cmid, channel, 1, b"%d" % number)
        )
        client.node.submit(commands[-1])
    answers = {id(o.command): o.value for o in client.node.drain() if isinstance(o, Answer)}
    return [answers[id(command)].id for command in commands]


class Replay:
    def test_nothing_happened(self, harness: Harness) -> None:
        (alice,) = harness.online("alice")
        position = alice.join("room").position
        harness.advance(3600)
        page = read(alice, "room", position)
        assert (page.entries, page.top, page.lost) == ([], position, 0)

    @pytest.mark.parametrize("count", [1, REPLAY_MAX, REPLAY_MAX + 1, 5000])
    def test_the_newest_are_returned_and_the_rest_is_counted(self, harness: Harness, count: int) -> None:
        alice, bob = harness.online("alice", "bob")
        alice.join("room")
        position = bob.join("room").position
        ids = fill(alice, "room", count)
        page = read(bob, "room", position)
        assert [entry.id for entry in page.entries] == ids[-REPLAY_MAX:]
        assert page.top == ids[-1]
        assert page.lost == count - len(page.entries)

    def test_every_position_is_counted_from(self, harness: Harness) -> None:
        alice, bob = harness.online("alice", "bob")
        alice.join("room")
        first = bob.join("room").position
        ids = fill(alice, "room", 100)
        for seen, position in enumerate([first, *ids]):
            page = read(bob, "room", position)
            assert len(page.entries) + page.lost == 100 - seen

    def test_ones_own_are_neither_returned_nor_counted(self, harness: Harness) -> None:
        alice, bob = harness.online("alice", "bob")
        alice.join("room")
        position = bob.join("room").position
        fill(bob, "room", 10)
        fill(alice, "room", 50)
        fill(bob, "room", 20)
        page = read(bob, "room", position)
        assert {entry.user for entry in page.entries} == {"alice"}
        assert len(page.entries) == REPLAY_MAX - 20
        assert len(page.entries) + page.lost == 50
        page = read(alice, "room", position)
        assert len(page.entries) + page.lost == 30

    def test_older_ones_than_thirty_seconds_are_counted(self, harness: Harness) -> None:
        alice, bob = harness.online("alice", "bob")
        alice.join("room")
        position = bob.join("room").position
        fill(alice, "room", 3)
        harness.advance(REPLAY_WINDOW + 1)
        fill(alice, "room", 2)
        page = read(bob, "room", position)
        assert ([entry.body for entry in page.entries], page.lost) == ([b"0", b"1"], 3)
        harness.advance(3 * REPLAY_WINDOW)
        page = read(bob, "room", position)
        assert (page.entries, page.lost) == ([], 5)

    def test_as_many_and_as_old_as_the_engine_is_told(self, make: MakeHarness) -> None:
        harness = make(replay=2, replay_window=5.0)
        alice, bob = harness.online("alice", "bob")
        alice.join("room")
        position = bob.join("room").position
        fill(alice, "room", 4)
        page = read(bob, "room", position)
        assert ([entry.body for entry in page.entries], page.lost) == ([b"2", b"3"], 2)
        harness.advance(6)
        fill(alice, "room", 1)
        page = read(bob, "room", position)
        assert ([entry.body for entry in page.entries], page.lost) == ([b"0"], 4)

    def test_nothing_from_before_the_join(self, harness: Harness) -> None:
        alice, bob = harness.online("alice", "bob")
        alice.join("room")
        fill(alice, "room", 50)
        bob.join("room")
        fill(alice, "room", 2)
        page = read(bob, "room", 0)
        assert (len(page.entries), page.lost) == (2, 0)

    def test_a_position_beyond_the_top_is_the_top(self, harness: Harness) -> None:
        alice, bob = harness.online("alice", "bob")
        alice.join("room")
        bob.join("room")
        (last,) = fill(alice, "room", 1)
        page = read(bob, "room", 2**52)
        assert (page.entries, page.top, page.lost) == ([], last, 0)

    @pytest.mark.parametrize("seconds", [10, 45, 600])
    def test_what_an_outage_cost_is_counted_exactly(self, harness: Harness, seconds: int) -> None:
        alice, bob = harness.online("alice", "bob")
        alice.join("room")
        bob.join("room")
        position = fill(alice, "room", 5)[2]
        bob.publish("room", b"own")
        bob.silent(gone=True)
        sent = 0
        for _ in range(seconds):
            sent += len(fill(alice, "room", 7))
            harness.advance(1)
        bob.claim()
        bob.join("room", restore=True)
        page = read(bob, "room", position)
        assert len(page.entries) == REPLAY_MAX
        assert len(page.entries) + page.lost == 2 + sent

    def test_a_channel_that_was_empty_meanwhile_still_counts(self, harness: Harness) -> None:
        alice, bob = harness.online("alice", "bob")
        alice.join("room")
        position = bob.join("room").position
        bob.silent(gone=True)
        harness.advance(20)
        fill(alice, "room", 40)
        alice.log_out()
        harness.advance(25)
        bob.claim()
        bob.join("room", restore=True)
        page = read(bob, "room", position)
        assert (len(page.entries), page.lost) == (REPLAY_MAX, 8)

    def test_a_restore_begins_nothing_before_the_first_join(self, harness: Harness) -> None:
        alice, bob = harness.online("alice", "bob")
        alice.join("room")
        fill(alice, "room", 10)
        bob.join("room")
        bob.silent(gone=True)
        harness.advance(31)
        bob.claim()
        bob.join("room", restore=True)
        page = read(bob, "room", 0)
        assert (page.entries, page.lost) == ([], 0)

    def test_a_channel_remembers_a_bounded_number_of_positions(self, make: MakeHarness) -> None:
        harness = make(positions=100)
        alice, bob, carol = harness.online("alice", "bob", "carol")
        alice.join("room")
        carol.join("room")
        position = bob.join("room").position
        for _ in range(50):
            fill(alice, "room", 9)
            fill(bob, "room", 1)
        page = read(bob, "room", position)
        assert 90 <= len(page.entries) + page.lost <= 450, (
            "at least what is remembered, never more than there was"
        )
        ids = fill(alice, "room", 90)
        page = read(bob, "room", ids[0])
        assert len(page.entries) + page.lost == 89

    def test_all_channels_together_remember_a_bounded_number(self, make: MakeHarness) -> None:
        harness = make(all_positions=1000)
        alice, bob = harness.online("alice", "bob")
        for channel in ("a", "b"):
            alice.join(channel)
            bob.join(channel)
        fill(alice, "a", 990)
        ids = fill(alice, "b", 500)
        page = read(bob, "b", ids[-60])
        assert len(page.entries) + page.lost == 59

    def test_windows_are_held_to_their_bytes(self, make: MakeHarness) -> None:
        harness = make(all_windows_bytes=100)
        alice, bob = harness.online("alice", "bob")
        alice.join("room")
        position = bob.join("room").position
        for _ in range(5):
            alice.publish("room", b"x" * 40)
        page = read(bob, "room", position)
        assert (len(page.entries), page.lost) == (2, 3)

    def test_answers_come_in_the_order_of_issue(self, harness: Harness) -> None:
        (alice,) = harness.online("alice")
        commands = [JoinChannel(alice.here, 1, 0, "room")] + [
            PublishMessage(alice.here, alice.iid, cmid, 0, "room", 1, b"x") for cmid in range(2, 12)
        ]
        for command in commands:
            alice.node.submit(command)
        answered = [output.command for output in alice.node.drain() if isinstance(output, Answer)]
        assert answered == commands


class MemberCounts:
    def test_members_are_counted_without_being_one(self, harness: Harness) -> None:
        alice, bob, carol = harness.online("alice", "bob", "carol")
        for client, channel in ((alice, "room"), (bob, "room"), (bob, "hall")):
            client.join(channel)
        expected = Counts((("hall", 1), ("unknown", 0), ("room", 2)))
        assert carol.counts("hall", "unknown", "room") == expected
        bob.log_out()
        assert alice.counts("room", "hall") == Counts((("room", 1), ("hall", 0)))

    def test_an_unreachable_member_counts(self, harness: Harness) -> None:
        alice, bob = harness.online("alice", "bob")
        bob.join("room")
        bob.silent(gone=True)
        harness.advance(29.9)
        assert alice.counts("room") == Counts((("room", 1),))
        harness.advance(0.2)
        assert alice.counts("room") == Counts((("room", 0),))

    def test_32_channels_are_counted_at_once(self, harness: Harness) -> None:
        (alice,) = harness.online("alice")
        names = [f"room-{number}" for number in range(MEMBER_COUNT_CHANNELS)]
        alice.join(names[7])
        counts = dict.fromkeys(names, 0) | {names[7]: 1}
        assert alice.counts(*names) == Counts(tuple(counts.items()))

    def test_only_the_current_transport_may_count(self, harness: Harness) -> None:
        (alice,) = harness.online("alice")
        old = alice.here
        alice.come_back()
        assert refused(alice.ask(CountMembers(old, 1, 0, ("room",)))) is Trouble.FENCED
