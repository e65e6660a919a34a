"""Attributes of users: set, read, kept for the session, and sent again after it was lost."""

import pytest

import rtmsync
from rtmsync.testing import FaultProxy
from tests.sync.conftest import Connect


def test_attributes_are_read_by_others(connect: Connect, name: str) -> None:
    alice, bob = connect(user=name), connect()
    alice.set_attributes({"mood": "good", "place": "Zürich"})
    assert bob.get_attributes(name) == {"mood": "good", "place": "Zürich"}
    assert alice.get_attributes(name) == {"mood": "good", "place": "Zürich"}


def test_setting_replaces_what_was_there(connect: Connect, name: str) -> None:
    alice, bob = connect(user=name), connect()
    alice.set_attributes({"one": "1", "two": "2"})
    assert alice.set_attributes_future({"three": "3"}).result(30) is None
    assert bob.get_attributes_future(name).result(30) == {"three": "3"}
    alice.set_attributes({})
    assert bob.get_attributes(name) == {}


def test_some_attributes_are_changed_deleted_and_read_by_their_names(connect: Connect, name: str) -> None:
    alice, bob = connect(user=name), connect()
    alice.set_attributes({"one": "1", "two": "2"})
    alice.update_attributes({"two": "b", "three": "3"})
    assert bob.get_attributes(name) == {"one": "1", "two": "b", "three": "3"}
    alice.delete_attributes(["one", "unknown"])
    assert bob.get_attributes(name, ["two", "one"]) == {"two": "b"}
    assert bob.get_attributes_future(name, "three").result(30) == {"three": "3"}
    assert alice.update_attributes_future({"four": "4"}).result(30) is None
    assert alice.delete_attributes_future("four").result(30) is None
    assert bob.get_attributes(name) == {"two": "b", "three": "3"}
    alice.clear_attributes()
    assert alice.clear_attributes_future().result(30) is None
    assert bob.get_attributes(name) == {}


def test_attributes_end_with_the_session(connect: Connect, name: str) -> None:
    alice, bob = connect(user=name), connect()
    alice.set_attributes({"a": "b"})
    alice.logout()
    with pytest.raises(rtmsync.RtmError) as caught:
        bob.get_attributes(name)
    assert caught.value.code is rtmsync.AttributeOperationError.USER_NOT_FOUND
    alice.login()
    assert bob.get_attributes(name) == {}


def test_attributes_outlast_an_outage(connect: Connect, proxy: FaultProxy, proxied: str, name: str) -> None:
    alice, bob = connect(user=name, url=proxied), connect()
    alice.set_attributes({"a": "b"})
    proxy.cut()
    assert alice.get_attributes(name) == {"a": "b"}
    assert bob.get_attributes(name) == {"a": "b"}


@pytest.mark.parametrize(
    "attributes",
    [{"": "x"}, {"k" * 33: "x"}, {"k": ""}, {"k": 7}, {str(number): "x" for number in range(33)}],
    ids=["no name", "long name", "no value", "a number", "too many"],
)
def test_impossible_attributes_are_refused(connect: Connect, attributes: dict[str, str]) -> None:
    with pytest.raises(rtmsync.RtmError) as caught:
        connect().set_attributes(attributes)
    assert caught.value.code in (
        rtmsync.AttributeOperationError.INVALID_ARGUMENT,
        rtmsync.AttributeOperationError.SIZE_OVERFLOW,
    )


def test_values_above_the_sizes_are_refused(connect: Connect) -> None:
    client = connect()
    client.set_attributes({"a": "x" * 8192})
    with pytest.raises(rtmsync.RtmError) as caught:
        client.set_attributes({"a": "x" * 8193})
    assert caught.value.code is rtmsync.AttributeOperationError.SIZE_OVERFLOW


def test_attributes_need_a_login(make: Connect) -> None:
    client = make()
    with pytest.raises(rtmsync.NotLoggedIn):
        client.set_attributes({"a": "b"})
    assert isinstance(client.get_attributes_future("alice").exception(30), rtmsync.NotLoggedIn)


def test_values_are_in_no_log_and_no_repr(
    connect: Connect, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    client = connect(user=name)
    client.set_attributes({"k": "very private"})
    assert client.get_attributes(name) == {"k": "very private"}
    assert "very private" not in caplog.text + repr(client) + client.timeline.table()
