"""What every engine has to do about the attributes of channels. See `engine_conformance`."""

from typing import Any

import pytest

from rtmcore.codes import AttributeOperationError
from rtmcore.limits import (
    ATTRIBUTE_VALUE_BYTES,
    CHANNEL_ATTRIBUTES,
    CHANNEL_ATTRIBUTES_BYTES,
    CHANNEL_ATTRIBUTES_GRACE,
    JOURNAL_RETRY,
    OFFLINE_AFTER,
)
from rtmcore.service.commands.attributes import (
    AttributesNotice,
    ChangeChannelAttributes,
    ChannelAttributes,
    ChannelAttributeValue,
    ReadChannelAttributes,
)
from rtmcore.service.commands.results import Settled, Trouble
from tests.service.engine_conformance import refused
from tests.service.engine_harness import APP, Client, Harness, MakeHarness

OVERFLOW = AttributeOperationError.SIZE_OVERFLOW
GRACE = CHANNEL_ATTRIBUTES_GRACE


def values(client: Client, channel: str = "room", *keys: str) -> dict[str, str]:
    """Keys and values without their writers."""
    found = client.channel_attributes(channel, *keys)
    assert isinstance(found, ChannelAttributes), found
    return {key: value.value for key, value in found.attributes}


def notices(client: Client) -> list[dict[str, str]]:
    """What the client's node was told, notice by notice."""
    return [{key: value.value for key, value in n.attributes} for n in client.node.of(AttributesNotice)]


class ChannelAttributesOfAll:
    def test_they_are_read_with_the_last_writer_and_time(self, harness: Harness) -> None:
        alice, bob = harness.online("alice", "bob")
        first = harness.wall
        assert alice.write_channel("room", topic="tea", size="10") == Settled()
        harness.advance(5)
        assert bob.write_channel("room", topic="coffee") == Settled()
        expected = (
            ("topic", ChannelAttributeValue("coffee", "bob", harness.wall)),
            ("size", ChannelAttributeValue("10", "alice", first)),
        )
        for client in (alice, bob):
            assert client.channel_attributes("room") == ChannelAttributes(expected), "members or not"
        assert bob.channel_attributes("hall") == ChannelAttributes(())
        assert "coffee" not in repr(bob.channel_attributes("room"))

    def test_they_are_replaced_deleted_and_cleared(self, harness: Harness) -> None:
        (alice,) = harness.online("alice")
        alice.write_channel("room", a="1", b="2", c="3")
        assert alice.write_channel("room", "b", "unknown", d="4") == Settled()
        assert values(alice) == {"a": "1", "c": "3", "d": "4"}
        assert alice.write_channel("room", replace=True, e="5", a="6") == Settled()
        assert values(alice) == {"e": "5", "a": "6"}
        assert alice.write_channel("room", "e", e="7") == Settled()
        assert values(alice) == {"a": "6", "e": "7"}, "what is deleted and given is there"
        assert alice.write_channel("room", replace=True) == Settled()
        assert values(alice) == {}

    def test_some_can_be_asked_for_by_their_keys(self, harness: Harness) -> None:
        (alice,) = harness.online("alice")
        alice.write_channel("room", a="1", b="2", c="3")
        assert values(alice, "room", "c", "unknown", "a") == {"a": "1", "c": "3"}
        none = ReadChannelAttributes(alice.here, 9, 0, "room", ())
        assert alice.ask(none) == ChannelAttributes(()), "no key is not all keys"

    def test_watching_nodes_are_told_where_the_writer_wants_it(self, harness: Harness) -> None:
        alice = harness.client("alice", node="n1")
        bob = harness.client("bob", node="n2")
        for client in (alice, bob):
            client.log_in()
            client.node.watch("room")
        alice.write_channel("room", a="1")
        assert notices(alice) == notices(bob) == []
        alice.write_channel("room", b="2", notify=True)
        alice.write_channel("hall", b="2", notify=True)
        alice.write_channel("room", replace=True, notify=True)
        for client in (alice, bob):
            assert notices(client) == [{"a": "1", "b": "2"}, {}], (
                "all attributes, in the order of the changes"
            )
            (notice, _) = client.node.of(AttributesNotice)
            assert (notice.app, notice.channel, notice.kind) == (APP, "room", "rtm")

    def test_the_number_is_judged_on_what_it_comes_to(self, harness: Harness) -> None:
        (alice,) = harness.online("alice")
        alice.node.watch("room")
        full = {f"key-{number}": "v" for number in range(CHANNEL_ATTRIBUTES)}
        assert alice.write_channel("room", **full) == Settled()
        assert refused(alice.write_channel("room", other="v", notify=True)) is OVERFLOW
        assert refused(alice.write_channel("room", replace=True, other="v", **full)) is OVERFLOW
        assert values(alice) == full, "nothing has changed"
        assert notices(alice) == []
        assert alice.write_channel("room", "key-0", other="v") == Settled()

    def test_the_bytes_are_judged_on_what_they_come_to(self, harness: Harness) -> None:
        (alice,) = harness.online("alice")
        quarter = "\N{EURO SIGN}" * ((ATTRIBUTE_VALUE_BYTES - 3) // 3)
        assert alice.write_channel("room", a=quarter, b=quarter, c=quarter, d=quarter) == Settled()
        left = CHANNEL_ATTRIBUTES_BYTES - 4 * (1 + len(quarter.encode())) - 1
        assert alice.write_channel("room", e="v" * left) == Settled()
        assert refused(alice.write_channel("room", e="v" * (left + 1))) is OVERFLOW
        assert refused(alice.write_channel("room", f="v")) is OVERFLOW
        assert alice.write_channel("room", "e", f="v" * left) == Settled()

    def test_operators_may_allow_less(self, make: MakeHarness) -> None:
        harness = make(channel_attributes=2, channel_attributes_bytes=4)
        (alice,) = harness.online("alice")
        assert alice.write_channel("room", a="1", b="2") == Settled()
        assert refused(alice.write_channel("room", c="3")) is OVERFLOW
        assert refused(alice.write_channel("room", "a", b="2345")) is OVERFLOW

    def test_channels_above_the_cap_are_refused(self, make: MakeHarness) -> None:
        harness = make(channels_with_attributes=2)
        (alice,) = harness.online("alice")
        for channel in ("one", "two"):
            assert alice.write_channel(channel, a="1") == Settled()
        assert refused(alice.write_channel("three", a="1")) is Trouble.FULL
        assert alice.write_channel("three", "a") == Settled(), "what adds nothing needs no room"
        assert alice.write_channel("one", b="2") == Settled()
        assert alice.write_channel("two", "a") == Settled()
        assert alice.write_channel("three", a="1") == Settled()

    def test_bytes_above_the_cap_are_refused(self, make: MakeHarness) -> None:
        harness = make(all_channel_attributes_bytes=1000)
        (alice,) = harness.online("alice")
        assert alice.write_channel("one", a="v" * 400) == Settled()
        assert refused(alice.write_channel("two", a="v" * 700)) is Trouble.FULL
        for _ in range(5):
            assert alice.write_channel("one", a="w" * 400) == Settled()
        assert alice.write_channel("one", replace=True) == Settled()
        assert alice.write_channel("two", a="v" * 700) == Settled()

    @pytest.mark.parametrize("end", ["leave", "logout", "silence"])
    def test_they_are_dropped_some_time_after_the_last_member_has_left(
        self, harness: Harness, end: str
    ) -> None:
        alice, bob, carol = harness.online("alice", "bob", "carol")
        for client in (alice, bob):
            client.join("room")
        alice.write_channel("room", a="1")
        alice.leave("room")
        harness.advance(10 * GRACE)
        assert values(carol) == {"a": "1"}, "bob is in it"
        if end == "leave":
            bob.leave("room")
        elif end == "logout":
            bob.log_out()
        else:
            bob.silent(gone=True)
            harness.advance(OFFLINE_AFTER)
        harness.advance(GRACE - 0.1)
        assert values(carol) == {"a": "1"}
        harness.advance(0.2)
        assert values(carol) == {}

    def test_they_are_kept_where_somebody_joins_in_time(self, harness: Harness) -> None:
        alice, bob = harness.online("alice", "bob")
        alice.join("room")
        alice.write_channel("room", a="1")
        alice.leave("room")
        harness.advance(GRACE - 1)
        bob.join("room")
        harness.advance(10)
        bob.leave("room")
        harness.advance(GRACE - 1)
        assert values(alice) == {"a": "1"}, "the time begins anew"
        alice.join("room")
        harness.advance(10 * GRACE)
        assert values(alice) == {"a": "1"}

    def test_those_of_a_channel_that_nobody_was_in_are_dropped_after_the_last_change(
        self, harness: Harness
    ) -> None:
        (alice,) = harness.online("alice")
        alice.write_channel("room", a="1")
        harness.advance(GRACE - 1)
        alice.write_channel("room", b="2")
        harness.advance(GRACE - 1)
        assert values(alice) == {"a": "1", "b": "2"}
        harness.advance(2)
        assert values(alice) == {}
        assert alice.write_channel("room", c="3") == Settled()
        assert values(alice) == {"c": "3"}

    def test_operators_choose_how_long_they_are_kept(self, make: MakeHarness) -> None:
        harness = make(channel_attributes_grace=0)
        alice, bob = harness.online("alice", "bob")
        alice.join("room")
        bob.write_channel("room", a="1")
        assert values(bob) == {"a": "1"}
        alice.leave("room")
        harness.advance(0.1)
        assert values(bob) == {}
        assert bob.write_channel("room", a="1") == Settled()
        harness.advance(2 * JOURNAL_RETRY)
        assert values(bob) == {}

    def test_name_spaces_do_not_touch_each_other(self, harness: Harness) -> None:
        (alice,) = harness.online("alice")
        alice.write_channel("room", a="1")
        (guest,) = harness.present("room", "guest")
        assert values(guest) == {}

    def test_a_repeat_is_given_the_recorded_result(self, harness: Harness) -> None:
        alice, bob = harness.online("alice", "bob")
        first = alice.change_channel("room", a="1")
        large = alice.change_channel("room", **{f"k{n}": "v" for n in range(CHANNEL_ATTRIBUTES + 1)})
        assert harness.answer(first) == Settled()
        assert refused(harness.answer(large)) is OVERFLOW
        bob.write_channel("room", a="2")
        alice.come_back()
        assert harness.answer(alice.again(first)) == Settled()
        assert refused(harness.answer(alice.again(large))) is OVERFLOW
        assert values(alice) == {"a": "2"}

    def test_a_new_session_does_not_execute_a_repeat(self, harness: Harness) -> None:
        alice, bob = harness.online("alice", "bob")
        first = alice.change_channel("room", a="1")
        assert harness.answer(first) == Settled()
        bob.write_channel("room", a="2")
        alice.silent(gone=True)
        harness.advance(OFFLINE_AFTER)
        assert not alice.claim().resumed
        assert harness.answer(alice.again(first)) == Settled()
        assert values(alice) == {"a": "2"}, "it was done, and outlived the session"

    def test_a_request_below_the_floor_is_never_executed(self, harness: Harness) -> None:
        (alice,) = harness.online("alice")
        alice.floor = 5
        assert alice.write_channel("room", cmid=5, a="1") == Settled()
        alice.floor = 4
        assert refused(alice.write_channel("room", cmid=4, a="2")) is Trouble.FORGOTTEN
        assert values(alice) == {"a": "1"}

    def test_only_the_current_transport_may_ask(self, harness: Harness) -> None:
        (alice,) = harness.online("alice")
        old = alice.here
        alice.come_back()
        commands: list[Any] = [
            ChangeChannelAttributes(old, 1, 0, "room", (("a", "1"),), (), False, False),
            ReadChannelAttributes(old, 2, 0, "room"),
        ]
        for command in commands:
            assert refused(alice.ask(command)) is Trouble.FENCED
        assert values(alice) == {}


class ChannelAttributesOnDisk:
    """Engines with a journal."""

    def test_nobody_sees_or_hears_of_a_change_before_its_commit(self, harness: Harness) -> None:
        (alice,) = harness.online("alice")
        alice.node.watch("room")
        alice.write_channel("room", a="1")
        harness.system.hold()
        first = alice.change_channel("room", b="2", notify=True)
        second = alice.change_channel("room", "a", notify=True)
        assert harness.answer(first) is None
        assert values(alice) == {"a": "1"}
        assert notices(alice) == []
        harness.system.let_go()
        assert harness.answer(first) == harness.answer(second) == Settled()
        assert values(alice) == {"b": "2"}
        assert notices(alice) == [{"a": "1", "b": "2"}, {"b": "2"}]

    def test_a_change_that_could_not_be_committed_never_existed(self, harness: Harness) -> None:
        alice, bob = harness.online("alice", "bob")
        alice.node.watch("room")
        alice.write_channel("room", a="1")
        harness.system.hold()
        first = alice.change_channel("room", a="2", notify=True)
        second = bob.change_channel("room", b="3", notify=True)
        new = bob.change_channel("hall", b="3")
        harness.system.fail(True)
        harness.system.let_go()
        for command in (first, second, new):
            assert refused(harness.answer(command)) is Trouble.UNAVAILABLE
        assert values(alice) == {"a": "1"}
        assert values(alice, "hall") == {}
        assert notices(alice) == []
        harness.system.fail(False)
        assert refused(harness.answer(alice.again(first))) is Trouble.UNAVAILABLE, "recorded"
        assert bob.write_channel("room", c="4") == Settled(), "tried at once"
        harness.advance(JOURNAL_RETRY + 0.1)
        assert values(alice) == {"a": "1", "c": "4"}
        harness.restart()
        alice.come_back()
        assert values(alice) == {"a": "1", "c": "4"}
        assert values(alice, "hall") == {}

    @pytest.mark.parametrize("clean", [False, True])
    def test_they_survive_a_restart_and_the_grace_counts_anew(self, harness: Harness, clean: bool) -> None:
        (alice,) = harness.online("alice")
        at = harness.wall
        alice.write_channel("room", b="2", a="1")
        alice.write_channel("gone", a="1")
        alice.write_channel("gone", "a")
        harness.advance(GRACE - 1)
        harness.restart(clean=clean)
        alice.come_back()
        expected = (
            ("b", ChannelAttributeValue("2", "alice", at)),
            ("a", ChannelAttributeValue("1", "alice", at)),
        )
        assert alice.channel_attributes("room") == ChannelAttributes(expected)
        assert values(alice, "gone") == {}
        harness.advance(GRACE - 1)
        assert values(alice) == {"b": "2", "a": "1"}
        harness.advance(2)
        assert values(alice) == {}
        harness.restart(clean=clean)
        alice.come_back()
        assert values(alice) == {}, "what was dropped does not come back"

    def test_members_who_return_after_a_restart_keep_them(self, harness: Harness) -> None:
        (alice,) = harness.online("alice")
        alice.join("room")
        alice.write_channel("room", a="1")
        harness.restart()
        alice.come_back()
        alice.join("room", restore=True)
        harness.advance(10 * GRACE)
        assert values(alice) == {"a": "1"}

    def test_a_repeat_of_a_change_that_waits_is_answered_once_it_is_committed(self, harness: Harness) -> None:
        (alice,) = harness.online("alice")
        harness.settle()
        harness.system.hold()
        first = alice.change_channel("room", a="1")
        alice.come_back()
        again = alice.again(first)
        harness.system.let_go()
        assert harness.answer(again) == Settled()
        assert harness.answer(first) is None
        assert values(alice) == {"a": "1"}

    def test_what_waits_in_front_of_the_disk_is_bounded(self, make: MakeHarness) -> None:
        harness = make(results=3)
        (alice,) = harness.online("alice")
        harness.settle()
        harness.system.hold()
        commands = [alice.change_channel("room", a=str(number)) for number in range(4)]
        assert refused(harness.answer(commands.pop())) is Trouble.FULL
        harness.system.let_go()
        assert [harness.answer(command) for command in commands] == [Settled()] * 3

    def test_the_caps_count_what_was_there_before(self, make: MakeHarness) -> None:
        harness = make(channels_with_attributes=1)
        (alice,) = harness.online("alice")
        alice.write_channel("room", a="1")
        harness.restart()
        alice.come_back()
        alice.floor = alice.cmid
        assert refused(alice.write_channel("hall", a="1")) is Trouble.FULL
