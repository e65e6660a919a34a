"""What every engine has to do, as far as sessions go; the other capabilities have modules of their own.

Test modules subclass these for each kind of engine and provide the fixture `make`, a `MakeHarness`.
"""

from typing import Any

import pytest

from rtmcore.limits import INSTANCES_REMEMBERED, NAME_MEMORY
from rtmcore.service.commands.channels import (
    JoinChannel,
    LeaveChannel,
    ListMembers,
    MemberNotice,
    ReadChannel,
)
from rtmcore.service.commands.inboxes import Acknowledge, InboxNotice, ReadInbox
from rtmcore.service.commands.messages import Logged, PeerOutcome, PeerSend, PublishMessage
from rtmcore.service.commands.names import Name
from rtmcore.service.commands.results import Refusal, Settled, Trouble
from rtmcore.service.commands.sessions import Claimed, Ended, Ending, Release
from rtmcore.service.commands.table import Answer
from tests.service.engine_harness import APP, Harness, MakeHarness

DELIVERED, PEER_UNREACHABLE, CACHED = 0, 3, 4


@pytest.fixture
def harness(make: MakeHarness) -> Harness:
    return make()


def refused(value: Any) -> Any:
    """The code of a refusal."""
    assert isinstance(value, Refusal), value
    assert value.text, "a refusal says why"
    return value.code


def outcome(value: Any) -> Any:
    """The code of a send's outcome."""
    assert isinstance(value, PeerOutcome), value
    return value.code


class Sessions:
    def test_a_login_is_given_a_fence_from_the_clock(self, harness: Harness) -> None:
        alice = harness.client("alice")
        value = alice.log_in()
        assert isinstance(value, Claimed)
        assert value.fence >= harness.wall
        assert not value.resumed
        assert value.inbox == 0
        assert value.epoch
        assert value.secret == "secret-alice-instance-0001-1"

    def test_fences_grow_while_the_wall_clock_stands_or_goes_back(self, harness: Harness) -> None:
        fences = []
        for number in range(4):
            harness.wall -= 1_000_000 * number
            fences.append(harness.client("alice", f"instance-{number}").log_in().fence)
        assert fences == sorted(set(fences))

    def test_a_return_takes_over_silently(self, harness: Harness) -> None:
        (alice,) = harness.online("alice")
        alice.node.watch("room")
        assert not isinstance(alice.join("room"), Refusal)
        before = alice.here
        value = alice.come_back()
        assert isinstance(value, Claimed)
        assert value.resumed
        assert (value.fence, value.secret) == (before.fence, "secret-alice-instance-0001-1")
        assert [(e.session, e.reason) for e in alice.node.of(Ended)] == [(before, Ending.REPLACED)]
        assert [n.joined for n in alice.node.of(MemberNotice)] == [True]
        assert isinstance(alice.publish("room"), Logged)

    def test_a_return_may_come_to_another_node(self, harness: Harness) -> None:
        alice, bob = harness.online("alice", "bob")
        before = alice.here
        alice.node_name = "n2"
        assert alice.come_back().resumed
        assert [e.session for e in harness.node("n1").of(Ended)] == [before]
        bob.send(alice)
        assert len(harness.node("n2").of(InboxNotice)) == 1
        assert harness.node("n1").of(InboxNotice) == []

    def test_a_return_needs_the_secret_or_a_token(self, harness: Harness) -> None:
        (alice,) = harness.online("alice")
        assert refused(alice.come_back(secret="another")) is Trouble.UNAUTHORIZED
        assert refused(alice.come_back(secret=None)) is Trouble.UNAUTHORIZED
        assert alice.node.of(Ended) == []
        value = alice.come_back(secret="another", authorized=True)
        assert isinstance(value, Claimed)
        assert not value.resumed
        assert alice.endings() == [Ending.REPLACED]

    def test_a_stranger_without_a_token_learns_and_changes_nothing(self, harness: Harness) -> None:
        (alice,) = harness.online("alice")
        stranger = harness.client("alice", alice.iid)
        assert refused(stranger.claim(attempt=2**52, authorized=False)) is Trouble.UNAUTHORIZED
        other = harness.client("alice", "another-instance")
        assert refused(other.claim(attempt=1, authorized=False)) is Trouble.UNAUTHORIZED
        assert alice.come_back().resumed

    @pytest.mark.parametrize("attempt", [1, 2])
    def test_an_attempt_that_is_not_greater_is_refused(self, harness: Harness, attempt: int) -> None:
        (alice,) = harness.online("alice")
        assert alice.come_back().resumed
        here = alice.here
        assert refused(alice.come_back(attempt=attempt)) is Trouble.STALE_ATTEMPT
        assert refused(alice.log_in(attempt=attempt)) is Trouble.STALE_ATTEMPT
        assert alice.ask(ReadInbox(here, 0, 1, 1)).complete

    def test_a_second_instance_kicks_the_first(self, harness: Harness) -> None:
        alice, bob = harness.online("alice", "bob")
        alice.node.watch("room")
        alice.join("room")
        bob.join("room")
        before = alice.here
        alice.node.drain()
        second = harness.client("alice", "another-instance")
        value = second.log_in()
        outputs = second.node.log[-3:]
        assert [type(output) for output in outputs] == [Ended, MemberNotice, Answer]
        assert (outputs[0].session, outputs[0].reason) == (before, Ending.REMOTE_LOGIN)
        assert (outputs[1].user, outputs[1].joined, outputs[1].count) == ("alice", False, 1)
        assert not value.resumed
        assert value.fence > before.fence
        message = bob.send(alice, b"to the new one")
        assert harness.answer(message) is None, "the name has stayed online"
        assert second.inbox() == [b"to the new one"]

    def test_a_kicked_instance_never_displaces_its_successor(self, harness: Harness) -> None:
        (alice,) = harness.online("alice")
        second = harness.client("alice", "another-instance")
        second.log_in()
        for authorized in (True, False, True):
            assert refused(alice.come_back(authorized=authorized)) is Trouble.SUPERSEDED
        assert second.endings() == [Ending.REMOTE_LOGIN], "that of the first one"
        second.log_out()
        assert refused(alice.come_back()) is Trouble.SUPERSEDED
        harness.advance(23 * 3600)
        assert refused(alice.come_back()) is Trouble.SUPERSEDED
        assert not alice.log_in().resumed

    def test_a_login_of_a_kicked_instance_kicks_back(self, harness: Harness) -> None:
        (alice,) = harness.online("alice")
        second = harness.client("alice", "another-instance")
        second.log_in()
        assert isinstance(alice.log_in(), Claimed)
        assert second.node.of(Ended)[-1].session == second.here
        assert second.node.of(Ended)[-1].reason is Ending.REMOTE_LOGIN

    def test_another_login_of_the_same_instance_kicks_nobody(self, harness: Harness) -> None:
        (alice,) = harness.online("alice")
        alice.node.watch("room")
        alice.join("room")
        first = alice.here
        value = alice.log_in()
        assert not value.resumed
        assert value.fence > first.fence
        assert alice.endings() == [Ending.REPLACED]
        assert [n.joined for n in alice.node.of(MemberNotice)] == [True, False]

    def test_the_last_of_two_logins_on_two_nodes_survives(self, harness: Harness) -> None:
        first = harness.client("alice", "instance-a", "n1")
        second = harness.client("alice", "instance-b", "n2")
        values = [first.log_in(), second.log_in()]
        assert values[0].fence < values[1].fence
        assert [e.session for e in harness.node("n1").of(Ended)] == [first.here]
        assert harness.node("n2").of(Ended) == []
        assert refused(first.publish("room")) is Trouble.FENCED

    def test_nothing_is_done_for_a_transport_that_is_no_longer_current(self, harness: Harness) -> None:
        alice, bob = harness.online("alice", "bob")
        old = alice.here
        alice.come_back()
        commands: list[Any] = [
            PeerSend(old, alice.iid, 1, 0, "bob", 1, b"x", False, 10.0),
            ReadInbox(old, 0, 1, 1),
            JoinChannel(old, 2, 0, "room"),
            LeaveChannel(old, 3, 0, "room"),
            PublishMessage(old, alice.iid, 4, 0, "room", 1, b"x"),
            ReadChannel(old, "room", 0),
            ListMembers(old, 5, 0, "room"),
            Release(old),
        ]
        for command in commands:
            assert refused(alice.ask(command)) is Trouble.FENCED, command
        assert bob.inbox() == []
        message = bob.send(alice)
        alice.node.submit(Acknowledge(old, 2**52))
        assert harness.answer(message) is None
        assert alice.read().entries[0].body == b"hello"

    def test_logout_ends_the_session_at_once(self, harness: Harness) -> None:
        alice, bob = harness.online("alice", "bob")
        assert alice.log_out() == Settled()
        assert outcome(harness.answer(bob.send(alice))) == PEER_UNREACHABLE
        assert alice.endings() == []
        assert refused(alice.come_back()) is Trouble.UNAUTHORIZED
        assert not alice.come_back(authorized=True).resumed

    def test_a_late_logout_touches_nothing_newer(self, harness: Harness) -> None:
        (alice,) = harness.online("alice")
        old = alice.here
        alice.log_in()
        assert refused(alice.ask(Release(old))) is Trouble.FENCED
        assert alice.read().complete

    def test_name_spaces_do_not_touch_each_other(self, harness: Harness) -> None:
        (alice,) = harness.online("alice")
        others = [harness.client("alice", f"other-{n}") for n in range(2)]
        others[0].log_in(name=Name(APP, "room", "alice"))
        others[1].log_in(name=Name("f" * 32, "rtm", "alice"))
        assert alice.node.of(Ended) == []

    def test_a_claim_acknowledges_what_its_position_covers(self, harness: Harness) -> None:
        alice, bob = harness.online("alice", "bob")
        sends = [bob.send(alice, body) for body in (b"1", b"2", b"3")]
        second = alice.noticed()[1].id
        value = alice.come_back(inbox=second)
        assert value.inbox == second
        assert [outcome(harness.answer(send)) for send in sends[:2]] == [DELIVERED, DELIVERED]
        assert harness.answer(sends[2]) is None
        assert alice.inbox() == [b"3"]

    def test_a_position_from_the_future_is_not_honoured(self, harness: Harness) -> None:
        alice, bob = harness.online("alice", "bob")
        bob.send(alice, b"1")
        assert alice.come_back(inbox=2**52).inbox == 0
        assert alice.inbox() == [b"1"]

    def test_the_chain_goes_on_from_the_position_that_a_claim_names(self, harness: Harness) -> None:
        alice, bob = harness.online("alice", "bob")
        bob.send(alice)
        position = alice.noticed()[0].id
        alice.acknowledge(position)
        assert alice.come_back(inbox=position).inbox == position
        bob.send(alice)
        assert alice.noticed()[-1].prev == position


class Memory:
    """What is remembered of names and instances, and for how long."""

    def test_a_name_is_forgotten_a_day_after_its_session_ended(self, harness: Harness) -> None:
        (alice,) = harness.online("alice")
        second = harness.client("alice", "another-instance")
        second.log_in()
        second.log_out()
        harness.advance(NAME_MEMORY + 60)
        assert isinstance(alice.claim(), Claimed)

    def test_the_longest_gone_names_make_room(self, make: MakeHarness) -> None:
        harness = make(names_remembered=2)
        firsts = harness.online("alice", "bob", "carol")
        for first in firsts:
            second = harness.client(first.user, f"another-{first.user}")
            second.log_in()
            second.log_out()
            harness.advance(1)
        harness.advance(60)
        assert isinstance(firsts[0].claim(), Claimed)
        assert refused(firsts[1].claim()) is Trouble.SUPERSEDED
        assert refused(firsts[2].claim()) is Trouble.SUPERSEDED

    def test_what_is_stored_outlives_the_memory_of_its_receiver(self, make: MakeHarness) -> None:
        harness = make(names_remembered=0)
        alice, bob = harness.online("alice", "bob")
        bob.log_out()
        message = alice.send(bob, b"stored", offline=True)
        assert outcome(harness.answer(message)) == CACHED
        harness.advance(120)
        assert refused(bob.come_back()) is Trouble.UNAUTHORIZED
        bob.log_in()
        assert bob.inbox() == [b"stored"]

    def test_a_receiver_that_never_came_is_forgotten_with_its_messages(self, harness: Harness) -> None:
        (alice,) = harness.online("alice")
        for _ in range(2):
            assert outcome(harness.answer(alice.send("nobody", offline=True))) == CACHED
            harness.pass_days(8)
        assert outcome(harness.answer(alice.send("nobody", b"newest", offline=True))) == CACHED
        (nobody,) = harness.online("nobody")
        assert nobody.inbox() == [b"newest"]

    def test_the_attempts_of_eight_instances_are_remembered(self, harness: Harness) -> None:
        clients = [
            harness.client("alice", f"instance-{number}") for number in range(INSTANCES_REMEMBERED + 1)
        ]
        for client in clients:
            client.log_in(attempt=5)
        assert refused(clients[1].log_in(attempt=5)) is Trouble.STALE_ATTEMPT
        assert isinstance(clients[0].log_in(attempt=5), Claimed)
        assert isinstance(clients[1].log_in(attempt=5), Claimed), "it has made room for the other"


class Silence:
    def test_a_silent_session_ends_after_its_keepalive(self, harness: Harness) -> None:
        alice, bob = harness.online("alice", "bob")
        alice.node.watch("room")
        alice.node.watch("hall")
        for channel in ("room", "hall"):
            alice.join(channel)
            bob.join(channel)
        alice.silent()
        harness.advance(29.9)
        assert [n for n in alice.node.of(MemberNotice) if not n.joined] == []
        assert alice.endings() == []
        harness.advance(0.2)
        left = [(n.channel, n.user, n.count) for n in alice.node.of(MemberNotice) if not n.joined]
        assert sorted(left) == [("hall", "alice", 1), ("room", "alice", 1)]
        assert alice.endings() == [Ending.EXPIRED]
        assert refused(alice.publish("room")) is Trouble.FENCED
        assert outcome(harness.answer(bob.send(alice))) == PEER_UNREACHABLE

    def test_silence_counts_from_the_last_byte(self, harness: Harness) -> None:
        (alice,) = harness.online("alice")
        harness.advance(100)
        alice.silent(since=harness.now - 25)
        harness.advance(4.9)
        assert alice.endings() == []
        harness.advance(0.2)
        assert alice.endings() == [Ending.EXPIRED]

    def test_a_session_that_speaks_again_lives_on(self, harness: Harness) -> None:
        (alice,) = harness.online("alice")
        alice.silent()
        harness.advance(29)
        alice.heard()
        harness.advance(1000)
        assert alice.endings() == []
        assert alice.read().complete

    def test_a_return_ends_the_silence(self, harness: Harness) -> None:
        (alice,) = harness.online("alice")
        alice.silent(gone=True)
        harness.advance(29)
        assert alice.come_back().resumed
        harness.advance(1000)
        assert alice.read().complete

    def test_a_transport_that_is_gone_is_told_nothing(self, harness: Harness) -> None:
        (alice,) = harness.online("alice")
        alice.silent(gone=True)
        harness.advance(31)
        assert alice.endings() == []
        assert not alice.come_back(authorized=True).resumed

    def test_a_node_that_was_absent_moves_the_deadlines_of_its_own_clients(self, harness: Harness) -> None:
        alice = harness.client("alice", node="n1")
        bob = harness.client("bob", node="n2")
        for client in (alice, bob):
            client.log_in()
            client.silent()
        harness.node("n1").port.shift(20.0)
        harness.advance(31)
        assert bob.endings() == [Ending.EXPIRED]
        assert alice.endings() == []
        harness.advance(20)
        assert alice.endings() == [Ending.EXPIRED]

    def test_an_idle_engine_waits_for_nothing_of_its_clients(self, harness: Harness) -> None:
        alice, bob = harness.online("alice", "bob")
        alice.silent()
        assert harness.node().port.next_deadline() is not None
        alice.heard()
        message = bob.send(alice)
        alice.acknowledge(alice.noticed()[-1].id)
        assert outcome(harness.answer(message)) == DELIVERED
        harness.advance(1000)
        assert alice.endings() == []
