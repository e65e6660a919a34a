"""What every engine has to do about the attributes of users. See `engine_conformance`."""

import pytest

from rtmcore.codes import AttributeOperationError
from rtmcore.limits import (
    ATTRIBUTE_VALUE_BYTES,
    OFFLINE_AFTER,
    UNREACHABLE_AFTER,
    USER_ATTRIBUTES,
    USER_ATTRIBUTES_BYTES,
)
from rtmcore.service.commands.attributes import Attributes, ChangeAttributes, ReadAttributes, WriteAttributes
from rtmcore.service.commands.results import Settled, Trouble
from rtmcore.service.commands.sessions import Claimed
from tests.service.engine_conformance import refused
from tests.service.engine_harness import Harness, MakeHarness

NOT_FOUND = AttributeOperationError.USER_NOT_FOUND
OVERFLOW = AttributeOperationError.SIZE_OVERFLOW


class UserAttributes:
    def test_anybody_may_read_what_a_user_wrote(self, harness: Harness) -> None:
        alice, bob = harness.online("alice", "bob")
        assert alice.write(color="red", size="10") == Settled()
        expected = Attributes((("color", "red"), ("size", "10")))
        assert bob.attributes_of("alice") == expected
        assert alice.attributes_of("alice") == expected
        assert "red" not in repr(expected)

    def test_who_is_online_and_wrote_nothing_has_none(self, harness: Harness) -> None:
        alice, _ = harness.online("alice", "bob")
        assert alice.attributes_of("bob") == Attributes(())

    def test_a_write_replaces_all(self, harness: Harness) -> None:
        alice, bob = harness.online("alice", "bob")
        alice.write(color="red", size="10")
        alice.write(color="blue")
        assert bob.attributes_of("alice") == Attributes((("color", "blue"),))
        assert alice.write() == Settled()
        assert bob.attributes_of("alice") == Attributes(())

    def test_who_is_not_online_is_not_found(self, harness: Harness) -> None:
        alice, bob = harness.online("alice", "bob")
        alice.write(color="red")
        assert refused(bob.attributes_of("nobody")) is NOT_FOUND
        alice.log_out()
        assert refused(bob.attributes_of("alice")) is NOT_FOUND
        participant = harness.client("alice", kind="room", scope="red")
        assert isinstance(participant.log_in(), Claimed)
        assert refused(bob.attributes_of("alice")) is NOT_FOUND

    def test_an_unreachable_user_is_still_online(self, harness: Harness) -> None:
        alice, bob = harness.online("alice", "bob")
        alice.write(color="red")
        alice.silent(gone=True)
        harness.advance(UNREACHABLE_AFTER)
        assert bob.attributes_of("alice") == Attributes((("color", "red"),))
        assert alice.come_back().resumed
        assert bob.attributes_of("alice") == Attributes((("color", "red"),))
        alice.silent(gone=True)
        harness.advance(OFFLINE_AFTER)
        assert refused(bob.attributes_of("alice")) is NOT_FOUND

    @pytest.mark.parametrize("end", ["logout", "silence", "kick", "login"])
    def test_they_end_with_the_session(self, harness: Harness, end: str) -> None:
        alice, bob = harness.online("alice", "bob")
        alice.write(color="red")
        successor = alice
        if end == "logout":
            alice.log_out()
        elif end == "silence":
            alice.silent(gone=True)
            harness.advance(OFFLINE_AFTER)
        elif end == "kick":
            successor = harness.client("alice", "another-instance")
        assert not (successor.claim() if end == "silence" else successor.log_in()).resumed
        assert bob.attributes_of("alice") == Attributes(())

    def test_a_repeat_is_not_executed_again(self, harness: Harness) -> None:
        (alice,) = harness.online("alice")
        first = WriteAttributes(alice.here, 1, 0, (("color", "red"),))
        assert alice.ask(first) == Settled()
        assert alice.write(cmid=2, color="blue") == Settled()
        alice.come_back()
        assert harness.answer(alice.again(first)) == Settled()
        assert alice.attributes_of("alice") == Attributes((("color", "blue"),))

    def test_a_request_below_the_floor_is_never_executed(self, harness: Harness) -> None:
        (alice,) = harness.online("alice")
        assert alice.ask(WriteAttributes(alice.here, 5, 5, (("color", "red"),))) == Settled()
        late = WriteAttributes(alice.here, 4, 4, (("color", "blue"),))
        assert refused(alice.ask(late)) is Trouble.FORGOTTEN
        assert alice.attributes_of("alice") == Attributes((("color", "red"),))

    def test_a_new_session_executes_a_repeat(self, harness: Harness) -> None:
        (alice,) = harness.online("alice")
        first = WriteAttributes(alice.here, 1, 0, (("color", "red"),))
        alice.ask(first)
        alice.silent(gone=True)
        harness.advance(OFFLINE_AFTER)
        assert not alice.claim().resumed
        assert harness.answer(alice.again(first)) == Settled()
        assert alice.attributes_of("alice") == Attributes((("color", "red"),))

    def test_only_the_current_transport_may_ask(self, harness: Harness) -> None:
        (alice,) = harness.online("alice")
        old = alice.here
        alice.come_back()
        assert refused(alice.ask(WriteAttributes(old, 1, 0, (("color", "red"),)))) is Trouble.FENCED
        assert refused(alice.ask(ReadAttributes(old, 2, 0, "alice"))) is Trouble.FENCED
        changed = ChangeAttributes(old, 3, 0, (("color", "red"),), ())
        assert refused(alice.ask(changed)) is Trouble.FENCED
        assert alice.attributes_of("alice") == Attributes(())

    def test_a_change_adds_replaces_and_deletes(self, harness: Harness) -> None:
        alice, bob = harness.online("alice", "bob")
        assert alice.change("nothing", color="red", size="10") == Settled()
        assert alice.change("size", color="blue", shape="round") == Settled()
        assert bob.attributes_of("alice") == Attributes((("color", "blue"), ("shape", "round")))
        assert alice.change("color", "shape") == Settled()
        assert bob.attributes_of("alice") == Attributes(())

    def test_what_is_deleted_and_given_is_there(self, harness: Harness) -> None:
        (alice,) = harness.online("alice")
        alice.write(color="red", size="10")
        alice.change("color", color="blue")
        assert alice.attributes_of("alice") == Attributes((("size", "10"), ("color", "blue")))

    def test_some_can_be_asked_for_by_their_keys(self, harness: Harness) -> None:
        alice, bob = harness.online("alice", "bob")
        alice.write(color="red", size="10", shape="round")
        expected = Attributes((("color", "red"), ("shape", "round")))
        assert bob.attributes_of("alice", "shape", "unknown", "color") == expected
        assert bob.attributes_of("alice", "unknown") == Attributes(())
        none = ReadAttributes(bob.here, 9, 0, "alice", ())
        assert bob.ask(none) == Attributes(()), "no key is not all keys"

    def test_the_number_is_judged_on_what_it_comes_to(self, harness: Harness) -> None:
        (alice,) = harness.online("alice")
        full = {f"key-{number}": "v" for number in range(USER_ATTRIBUTES)}
        assert alice.change(**full) == Settled()
        assert refused(alice.change(other="v")) is OVERFLOW
        assert refused(alice.change("unknown", other="v", **{"key-0": "new"})) is OVERFLOW
        assert alice.attributes_of("alice") == Attributes(tuple(full.items())), "nothing has changed"
        assert alice.change("key-0", other="v") == Settled()
        assert alice.change(other="another value") == Settled()

    def test_the_bytes_are_judged_on_what_they_come_to(self, harness: Harness) -> None:
        (alice,) = harness.online("alice")
        half = "\N{EURO SIGN}" * ((ATTRIBUTE_VALUE_BYTES - 3) // 3)
        assert alice.change(a=half, b=half) == Settled()
        left = USER_ATTRIBUTES_BYTES - 2 * (1 + len(half.encode())) - 1
        assert alice.change(c="v" * left) == Settled()
        assert refused(alice.change(c="v" * (left + 1))) is OVERFLOW
        assert refused(alice.change(d="v")) is OVERFLOW
        assert alice.change("c", d="v" * left) == Settled()
        assert refused(alice.change(e="v")) is OVERFLOW

    def test_operators_may_allow_less(self, make: MakeHarness) -> None:
        harness = make(user_attributes=1, user_attributes_bytes=4)
        (alice,) = harness.online("alice")
        assert alice.change(a="123") == Settled()
        assert refused(alice.change(b="1")) is OVERFLOW
        assert refused(alice.change(a="1234")) is OVERFLOW

    def test_a_repeated_change_is_given_the_recorded_result(self, harness: Harness) -> None:
        (alice,) = harness.online("alice")
        first = ChangeAttributes(alice.here, 1, 0, (("color", "red"),), ())
        large = ChangeAttributes(alice.here, 2, 0, tuple((str(n), "v") for n in range(33)), ())
        assert alice.ask(first) == Settled()
        assert refused(alice.ask(large)) is OVERFLOW
        alice.change(cmid=3, color="blue")
        alice.come_back()
        assert harness.answer(alice.again(first)) == Settled()
        assert refused(harness.answer(alice.again(large))) is OVERFLOW
        assert alice.attributes_of("alice") == Attributes((("color", "blue"),))


class UserAttributesOnDisk:
    """Engines with a journal."""

    def test_they_do_not_outlive_the_process(self, harness: Harness) -> None:
        alice, bob = harness.online("alice", "bob")
        alice.write(color="red")
        harness.settle()
        harness.restart()
        assert bob.come_back().resumed
        assert bob.attributes_of("alice") == Attributes(()), "unreachable, and so still online"
        assert alice.come_back().resumed
        assert alice.write(color="red") == Settled()
        assert bob.attributes_of("alice") == Attributes((("color", "red"),))
