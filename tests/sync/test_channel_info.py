"""Attributes of channels and member counts, as a program uses them."""

import time

import pytest

import rtmsync
from rtmsync import ChannelAttributesUpdated, MemberCountChanged, MemberJoined, MemberLeft
from rtmsync.server.config import DEV_APP_ID, ServerConfig
from rtmsync.server.server import Server
from rtmsync.server.tokens import AppKeys
from rtmsync.testing import FaultProxy
from tests.sync.conftest import Connect


def values(found: dict[str, rtmsync.ChannelAttribute]) -> dict[str, str]:
    return {key: attribute.value for key, attribute in found.items()}


def test_attributes_are_written_and_read_without_joining(connect: Connect, name: str) -> None:
    alice, bob = connect(user=f"a-{name}"), connect()
    alice.set_channel_attributes(name, {"topic": "tea", "place": "Zürich"})
    bob.channel(name).update_attributes({"topic": "coffee"})
    found = alice.get_channel_attributes(name)
    assert values(found) == {"topic": "coffee", "place": "Zürich"}
    assert (found["topic"].writer, found["place"].writer) == (bob.user_id, f"a-{name}")
    assert abs(found["topic"].server_time - time.time()) < 60
    bob.delete_channel_attributes(name, "topic")  # one key is not a list of letters
    assert values(alice.channel(name).get_attributes()) == {"place": "Zürich"}
    assert values(alice.get_channel_attributes(name, ["place", "unknown"])) == {"place": "Zürich"}
    alice.clear_channel_attributes(name)
    assert bob.get_channel_attributes(name) == {}


def test_the_twins_return_at_once(connect: Connect, name: str) -> None:
    client = connect()
    channel = client.channel(name)
    assert client.set_channel_attributes_future(name, {"a": "1", "b": "2"}).result(30) is None
    assert client.update_channel_attributes_future(name, {"c": "3"}).result(30) is None
    assert client.delete_channel_attributes_future(name, ["a"]).result(30) is None
    assert values(client.get_channel_attributes_future(name, "b").result(30)) == {"b": "2"}
    assert client.clear_channel_attributes_future(name).result(30) is None
    assert channel.set_attributes_future({"d": "4"}).result(30) is None
    assert channel.update_attributes_future({"e": "5"}).result(30) is None
    assert channel.delete_attributes_future(["d"]).result(30) is None
    assert values(channel.get_attributes_future().result(30)) == {"e": "5"}
    assert channel.clear_attributes_future().result(30) is None
    assert client.member_counts_future([name]).result(30) == {name: 0}


def test_members_are_told_where_the_writer_wants_it(connect: Connect, name: str) -> None:
    alice, bob = connect(), connect()
    with alice.channel(name) as room, room.events(ChannelAttributesUpdated) as told:
        bob.channel(name).set_attributes({"quiet": "1"})
        bob.channel(name).update_attributes({"loud": "2"}, notify=True)
        room.delete_attributes(["quiet"], notify=True)
        first, second = told.get(), told.get()
    assert isinstance(first, ChannelAttributesUpdated)
    assert (first.channel, values(first.attributes)) == (name, {"quiet": "1", "loud": "2"})
    assert isinstance(second, ChannelAttributesUpdated)
    assert values(second.attributes) == {"loud": "2"}, "the writer is told too, where he is a member"


def test_members_are_counted_and_told_of_changes(connect: Connect, name: str) -> None:
    alice, bob, carol = connect(), connect(), connect()
    with alice.channel(name) as room, room.events(MemberCountChanged) as told:
        assert told.get() == MemberCountChanged(name, 1), "once on one's own join"
        bob.channel(name).join()
        assert told.get() == MemberCountChanged(name, 2)
        assert carol.member_counts([name, f"{name}-empty"]) == {name: 2, f"{name}-empty": 0}
        assert carol.member_counts(name) == {name: 2}
        bob.logout()
        assert told.get() == MemberCountChanged(name, 1)


def test_attributes_outlast_an_outage(connect: Connect, proxy: FaultProxy, proxied: str, name: str) -> None:
    alice = connect(url=proxied)
    alice.set_channel_attributes(name, {"a": "b"})
    proxy.cut()
    assert values(alice.get_channel_attributes(name)) == {"a": "b"}


@pytest.mark.parametrize(
    ("attributes", "code"),
    [
        ({"": "x"}, rtmsync.AttributeOperationError.INVALID_ARGUMENT),
        ({"k": ""}, rtmsync.AttributeOperationError.INVALID_ARGUMENT),
        ({"k": "x" * 8193}, rtmsync.AttributeOperationError.SIZE_OVERFLOW),
        ({str(number): "x" for number in range(33)}, rtmsync.AttributeOperationError.SIZE_OVERFLOW),
    ],
)
def test_impossible_attributes_are_refused(
    connect: Connect, name: str, attributes: dict[str, str], code: rtmsync.AttributeOperationError
) -> None:
    with pytest.raises(rtmsync.RtmError) as caught:
        connect().set_channel_attributes(name, attributes)
    assert caught.value.code is code


def test_too_many_channels_are_refused(connect: Connect) -> None:
    client = connect()
    assert len(client.member_counts([f"c-{number}" for number in range(32)])) == 32
    with pytest.raises(rtmsync.LimitExceeded) as caught:
        client.member_counts([f"c-{number}" for number in range(33)])
    assert caught.value.code is rtmsync.ChannelMemberCountError.EXCEED_LIMIT


def test_they_need_a_login(make: Connect, name: str) -> None:
    client = make()
    with pytest.raises(rtmsync.NotLoggedIn):
        client.set_channel_attributes(name, {"a": "b"})
    assert isinstance(client.member_counts_future([name]).exception(30), rtmsync.NotLoggedIn)


def test_values_are_in_no_log_and_no_repr(
    connect: Connect, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    client = connect()
    with client.channel(name) as room, room.events(ChannelAttributesUpdated) as told:
        room.set_attributes({"k": "very private"}, notify=True)
        found = room.get_attributes()
        event = told.get()
    assert values(found) == {"k": "very private"}
    assert "very private" not in caplog.text + repr(found) + repr(event) + client.timeline.table()


def test_a_channel_that_was_too_large_for_a_while_is_told_of_again(connect: Connect, name: str) -> None:
    limits = {"members": 3, "member_events": 3}
    config = ServerConfig(apps=[AppKeys(DEV_APP_ID)], port=0, drain_seconds=0.0, limits=limits)
    with Server(config) as server, connect(user="ann", url=server.url) as ann:
        channels = {user: connect(user=user, url=server.url).channel(name) for user in "bcde"}
        told = ann.events(MemberJoined, MemberLeft)
        ann.channel(name).join()
        for user in "bcde":
            channels[user].join()
        for user in "bde":
            channels[user].leave()
        channels["b"].join()
        assert [told.get(timeout=30) for _ in range(5)] == [
            MemberJoined(name, "b", 2),
            MemberJoined(name, "c", 3),
            MemberLeft(name, "d", 3),
            MemberLeft(name, "e", 2),
            MemberJoined(name, "b", 3),
        ]
        assert ann.member_counts(name) == {name: 3}
        assert len(told) == 0
