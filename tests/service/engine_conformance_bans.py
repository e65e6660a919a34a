"""What every engine has to do about bans; see `engine_conformance`. `BansOnDisk` is for those with a disk."""

import pytest

from rtmcore.limits import JOURNAL_RETRY, MEDIA_TICKET_SECONDS
from rtmcore.service.commands.channels import MemberNotice
from rtmcore.service.commands.exclusions import BANNED, CheckBearer, Kick, ShutOut
from rtmcore.service.commands.inboxes import ReadInbox
from rtmcore.service.commands.names import RTM, Name
from rtmcore.service.commands.results import Refusal, Settled, Trouble
from rtmcore.service.commands.sessions import Claimed, Ended, Ending
from tests.service.engine_conformance import CACHED, PEER_UNREACHABLE, outcome, refused
from tests.service.engine_harness import APP, Harness, MakeHarness


def check(harness: Harness, user: str, since: int) -> object:
    """What becomes of somebody who was given something at a time, in milliseconds."""
    command = CheckBearer(1, Name(APP, RTM, user), since)
    harness.node().submit(command)
    return harness.answer(command)


def kick(harness: Harness, user: str) -> None:
    harness.node().submit(Kick(1, Name(APP, RTM, user), "", "enough"))


class Bans:
    def test_a_ban_ends_the_session_at_once(self, harness: Harness) -> None:
        alice, bob, carol = harness.online("alice", "bob", "carol")
        alice.node.watch("room")
        for client in (alice, bob):
            client.join("room")
        waiting = carol.send(alice)
        before = alice.here
        alice.node.drain()
        ban = harness.node().ban("alice", "spam")
        assert harness.answer(ban) == Settled()
        ended, left = [one for one in alice.node.log if isinstance(one, Ended | MemberNotice)][-2:]
        assert ended == Ended(before, Ending.BANNED, "spam")
        assert (left.user, left.joined, left.count) == ("alice", False, 1)
        assert refused(harness.answer(waiting)) is Trouble.TIMED_OUT, (
            "it was written, and nobody acknowledges it"
        )
        assert outcome(harness.answer(carol.send(alice))) == PEER_UNREACHABLE
        assert refused(alice.publish("room")) is Trouble.FENCED
        assert bob.endings() == carol.endings() == []

    def test_no_claim_of_a_banned_name_succeeds_until_the_ban_is_lifted(self, harness: Harness) -> None:
        (alice,) = harness.online("alice")
        harness.node().ban("alice", "spam")
        other = harness.client("alice", "another-instance", node="n2")
        for claim in (
            alice.come_back,
            alice.claim,
            alice.log_in,
            other.log_in,
            lambda: other.claim(attempt=9),
        ):
            assert claim() == Refusal(BANNED, "spam")
        assert isinstance(harness.client("bob").log_in(), Claimed), "others are not concerned"
        assert harness.answer(harness.node().unban("alice")) == Settled()
        value = alice.log_in()
        assert isinstance(value, Claimed)
        assert not value.resumed
        assert alice.ask(ReadInbox(alice.here, 0, 1, 1)).complete

    def test_a_session_without_a_transport_is_banned_too(self, harness: Harness) -> None:
        alice, bob = harness.online("alice", "bob")
        alice.silent(gone=True)
        harness.advance(7)
        message = bob.send(alice)
        harness.node("n2").ban("alice", "spam")
        assert outcome(harness.answer(message)) == PEER_UNREACHABLE
        assert alice.endings() == []
        assert alice.come_back() == Refusal(BANNED, "spam")
        harness.advance(60)
        assert alice.endings() == []

    def test_a_stranger_without_a_token_does_not_learn_of_a_ban(self, harness: Harness) -> None:
        harness.node().ban("alice", "spam")
        assert refused(harness.client("alice").claim(authorized=False)) is Trouble.UNAUTHORIZED

    def test_another_ban_changes_the_text(self, harness: Harness) -> None:
        harness.node().ban("alice", "spam")
        assert harness.answer(harness.node().ban("alice", "more spam")) == Settled()
        assert harness.client("alice").log_in() == Refusal(BANNED, "more spam")
        assert harness.answer(harness.node().unban("alice")) == Settled()
        assert isinstance(harness.client("alice").log_in(attempt=2), Claimed)

    def test_a_name_without_a_ban_can_be_let_in(self, harness: Harness) -> None:
        (alice,) = harness.online("alice")
        assert harness.answer(harness.node().unban("alice")) == Settled()
        assert harness.answer(harness.node().unban("nobody")) == Settled()
        assert alice.endings() == []

    def test_messages_are_kept_for_a_banned_user(self, harness: Harness) -> None:
        alice, bob = harness.online("alice", "bob")
        harness.node().ban("alice")
        assert outcome(harness.answer(bob.send(alice, b"kept", offline=True))) == CACHED
        harness.node().unban("alice")
        alice.log_in()
        assert alice.inbox() == [b"kept"]

    def test_bans_above_the_cap_are_refused_and_do_nothing(self, make: MakeHarness) -> None:
        harness = make(bans=2)
        (carol,) = harness.online("carol")
        node = harness.node()
        for user in ("alice", "bob", "alice"):
            assert harness.answer(node.ban(user)) == Settled()
        assert refused(harness.answer(node.ban("carol"))) is Trouble.FULL
        assert carol.endings() == []
        assert carol.come_back().resumed
        node.unban("bob")
        assert harness.answer(node.ban("carol")) == Settled()
        assert carol.endings()[-1] is Ending.BANNED

    def test_what_was_given_to_a_banned_user_is_worth_nothing_until_the_ban_is_lifted(
        self, harness: Harness
    ) -> None:
        since = harness.wall // 1000
        assert check(harness, "alice", since) == Settled()
        harness.node().ban("alice", "spam")
        assert check(harness, "alice", since) == Refusal(BANNED, "spam")
        assert check(harness, "bob", since) == Settled()
        harness.node().unban("alice")
        assert check(harness, "alice", since) == Settled()

    def test_what_was_given_before_a_kick_is_worth_nothing(self, harness: Harness) -> None:
        harness.online("alice")
        before = harness.wall // 1000
        for user in ("alice", "somebody without a session"):
            kick(harness, user)
            assert refused(check(harness, user, before)) is Trouble.UNAUTHORIZED
            assert check(harness, user, before + 1) == Settled()
        assert check(harness, "bob", before) == Settled()

    def test_kicks_are_remembered_as_long_as_anything_is_good_that_was_given_before(
        self, make: MakeHarness
    ) -> None:
        harness = make(bans=2)
        before = harness.wall // 1000
        for user in ("alice", "bob"):
            kick(harness, user)
        harness.advance(1)
        kick(harness, "carol")
        for user in ("alice", "bob", "carol", "anybody: more than two are not remembered one by one"):
            assert refused(check(harness, user, before)) is Trouble.UNAUTHORIZED
        assert check(harness, "alice", before + 1) == Settled()
        harness.advance(MEDIA_TICKET_SECONDS + 1)
        later = harness.wall // 1000
        kick(harness, "dave")
        kick(harness, "erin")
        assert check(harness, "anybody", later) == Settled(), "the others were forgotten in time"
        assert refused(check(harness, "dave", later)) is Trouble.UNAUTHORIZED

    def test_all_nodes_are_told_who_is_put_out(self, harness: Harness) -> None:
        nodes = harness.node(), harness.node("n2")
        nodes[0].ban("alice", "spam")
        kick(harness, "bob")
        harness.settle()
        for node in nodes:
            node.drain()
            told = [(one.name.name, one.text) for one in node.log if isinstance(one, ShutOut)]
            assert told == [("alice", "spam"), ("bob", "enough")]


class BansOnDisk:
    def test_a_ban_counts_at_once_and_is_answered_when_it_is_committed(self, harness: Harness) -> None:
        (alice,) = harness.online("alice")
        harness.settle()
        harness.system.hold()
        ban = harness.node().ban("alice", "spam")
        assert harness.answer(ban) is None
        assert alice.endings() == [Ending.BANNED]
        assert alice.come_back() == Refusal(BANNED, "spam")
        unban = harness.node().unban("alice")
        assert isinstance(alice.log_in(), Claimed)
        assert harness.answer(unban) is None
        harness.system.let_go()
        assert harness.answer(ban) == harness.answer(unban) == Settled()

    @pytest.mark.parametrize("clean", [False, True])
    def test_bans_survive_a_restart(self, harness: Harness, clean: bool) -> None:
        alice, bob = harness.online("alice", "bob")
        for user in ("alice", "bob", "carol"):
            harness.node().ban(user, f"{user} sends spam")
        harness.node().unban("bob")
        harness.settle()
        harness.restart(clean=clean)
        assert alice.come_back(authorized=True) == Refusal(BANNED, "alice sends spam")
        assert harness.client("carol").log_in() == Refusal(BANNED, "carol sends spam")
        assert isinstance(bob.log_in(), Claimed)
        harness.node().unban("alice")
        harness.settle()
        harness.restart(clean=clean)
        assert isinstance(alice.log_in(), Claimed)
        assert refused(harness.client("carol").log_in(attempt=2)) is BANNED

    def test_a_ban_whose_commit_failed_counts_and_is_written_later(self, harness: Harness) -> None:
        (alice,) = harness.online("alice")
        harness.settle()
        harness.system.fail(True)
        ban = harness.node().ban("alice", "spam")
        assert harness.answer(ban) is None
        assert alice.log_in() == Refusal(BANNED, "spam")
        harness.system.fail(False)
        harness.advance(JOURNAL_RETRY + 0.1)
        assert harness.answer(ban) == Settled()
        harness.restart()
        assert alice.log_in() == Refusal(BANNED, "spam")

    def test_the_end_of_a_ban_counts_although_the_commit_of_the_ban_fails(self, harness: Harness) -> None:
        harness.system.hold()
        node = harness.node()
        answers = [node.ban("alice", "spam"), node.unban("alice")]
        harness.system.fail(True)
        harness.system.let_go()
        assert [harness.answer(command) for command in answers] == [None, None]
        harness.system.fail(False)
        harness.advance(JOURNAL_RETRY + 0.1)
        assert [harness.answer(command) for command in answers] == [Settled(), Settled()]
        harness.restart()
        assert isinstance(harness.client("alice").log_in(), Claimed)

    def test_the_cap_counts_what_was_banned_before(self, make: MakeHarness) -> None:
        harness = make(bans=1)
        harness.node().ban("alice")
        harness.settle()
        harness.restart()
        assert refused(harness.answer(harness.node().ban("bob"))) is Trouble.FULL
