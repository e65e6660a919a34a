"""Messages that are kept at the server, descriptions, ends of calls, and calls that wait for their rate."""

import time

import pytest

import rtmsync
from rtmsync import ChannelMessage, EndCall, PeerMessage, SendStatus
from tests.sync.conftest import Connect


def test_stored_messages_are_listed_flushed_and_handed_over(connect: Connect, name: str) -> None:
    alice = connect()
    for text in ("one", "two"):
        assert alice.send_peer(name, text, offline=True).status is SendStatus.CACHED
    bob = connect(user=name)
    page = bob.stored_messages()
    assert ([message.text for message in page.messages], page.count) == (["one", "two"], 2)
    assert page.messages[0].source == alice.user_id
    rest = bob.stored_messages_future(after=page.messages[0].id).result(30)
    assert [message.text for message in rest.messages] == ["two"]
    with bob.events(PeerMessage) as inbox:
        first = inbox.get()
        assert isinstance(first, PeerMessage)
        assert (first.text, first.offline) == ("one", True)
        inbox.get()
    assert bob.flush_stored() is None
    assert bob.flush_stored_future().result(30) is None
    assert bob.stored_messages().messages == ()


def test_a_flushed_message_does_not_come(connect: Connect, make: Connect, name: str) -> None:
    alice = connect()
    alice.send_peer(name, "old", offline=True)
    with connect(user=name) as first:
        first.flush_stored()
    alice.send_peer(name, "new", offline=True)
    with connect(user=name) as second, second.events(PeerMessage) as inbox:
        message = inbox.get()
        assert isinstance(message, PeerMessage)
        assert message.text == "new"


def test_a_time_to_live_drops_a_stored_message(connect: Connect, name: str) -> None:
    alice = connect()
    alice.send_peer(name, "short", offline=True, ttl=0.01)
    alice.send_peer(name, "long", offline=True, ttl=3600)
    deadline = time.monotonic() + 30
    bob = connect(user=name)
    while [message.text for message in bob.stored_messages().messages] != ["long"]:
        assert time.monotonic() < deadline
    with pytest.raises(rtmsync.InvalidArgument):
        alice.send_peer(name, "never", ttl=-1)


def test_bytes_may_have_a_description(connect: Connect, name: str) -> None:
    alice, bob = connect(), connect()
    with bob.events(PeerMessage) as inbox, bob.channel(name) as room, room.events(ChannelMessage) as heard:
        alice.send_peer(bob.user_id, b"\xff\xd8", description="a picture of Zürich")
        alice.send_peer_future(bob.user_id, b"plain").result(30)
        with alice.channel(name) as hers:
            hers.send(b"\x00", description="nothing")
            hers.send_future(b"\x01", description="one").result(30)
        described, plain, *_ = inbox.get(), inbox.get()
        first, second = heard.get(), heard.get()
    assert isinstance(described, PeerMessage)
    assert isinstance(plain, PeerMessage)
    assert (described.raw, described.description) == (b"\xff\xd8", "a picture of Zürich")
    assert (plain.raw, plain.description) == (b"plain", None)
    assert isinstance(first, ChannelMessage)
    assert isinstance(second, ChannelMessage)
    assert (first.raw, first.description, second.description) == (b"\x00", "nothing", "one")
    assert "picture" not in repr(described)


def test_the_end_of_a_call_is_recognised(connect: Connect) -> None:
    alice, bob = connect(), connect()
    with bob.events(PeerMessage) as inbox:
        alice.send_peer(bob.user_id, EndCall("room_7", "busy").text)
        alice.send_peer(bob.user_id, "room_7 busy")
        ended, other = inbox.get(), inbox.get()
    assert isinstance(ended, PeerMessage)
    assert isinstance(other, PeerMessage)
    assert ended.text == "AgoraRTMLegacyEndcallCompatibleMessagePrefix_room_7_busy"
    assert ended.end_call == EndCall("room_7", "busy")
    assert other.end_call is None
    assert "busy" not in repr(ended.end_call)


@pytest.mark.parametrize("text", ["", "_c_", "_", "x_c_i", "__info", "_a*b_info", f"_{'c' * 65}_info"])
def test_what_only_looks_like_the_end_of_a_call_is_none(text: str) -> None:
    assert EndCall.parse(rtmsync.END_CALL_PREFIX + text) == (EndCall("c") if text == "_c_" else None)


@pytest.mark.parametrize(("channel", "info"), [("", ""), ("a*b", ""), ("c", "a_b"), ("c", 7)])
def test_an_end_of_a_call_that_cannot_be_said(channel: str, info: str) -> None:
    with pytest.raises(rtmsync.InvalidArgument):
        EndCall(channel, info)


def test_calls_above_their_rate_wait_where_the_client_is_told_so(
    connect: Connect, limited: str, name: str
) -> None:
    client = connect(url=limited, rate_limits=True, on_rate_limit="wait")
    begun = time.monotonic()
    for _ in range(3):
        assert client.member_counts([name]) == {name: 0}
    assert time.monotonic() - begun >= 1.99, "one a second"
    # The turn of some of them may have come by now, but not that of the last one.
    for _ in range(10):
        client.member_counts_future([name], timeout=60)
    late = client.member_counts_future([name], timeout=0.2).exception(30)
    assert isinstance(late, rtmsync.RequestTimeout)
    assert not late.outcome_unknown
    refusing = connect(url=limited, rate_limits=True)

    def ask() -> None:
        for _ in range(10):
            refusing.member_counts([name])

    with pytest.raises(rtmsync.RateLimited) as refused:
        ask()
    assert refused.value.code is rtmsync.ChannelMemberCountError.TOO_OFTEN


def test_the_history_is_read_and_counted(connect: Connect, name: str) -> None:
    alice, bob, carol = connect(), connect(), connect()
    bob.on(PeerMessage, lambda message: None)
    begun = alice.send_peer(bob.user_id, "first", history=True)
    alice.send_peer(bob.user_id, "not kept")
    alice.send_peer_future(bob.user_id, "second", history=True).result(30)
    with alice.channel(name) as room, bob.channel(name):
        room.send("to all", history=True)
        room.send_future("not kept").result(30)
        found = bob.history(channel=name)
    assert ([message.text for message in found.messages], found.count) == (["to all"], 1)
    assert (found.messages[0].channel, found.messages[0].destination) == (True, name)
    page = bob.history(source=alice.user_id, destination=bob.user_id, ascending=True, limit=50)
    assert [message.text for message in page.messages] == ["first", "second"]
    assert page.messages[0].id == begun.message_id
    newest = alice.history_future(source=alice.user_id).result(30)
    assert [message.text for message in newest.messages] == ["to all", "second", "first"]
    assert alice.history_count(source=alice.user_id) == 3
    assert begun.server_time is not None
    later = alice.history_count_future(
        destination=bob.user_id, source=alice.user_id, end=begun.server_time - 1
    )
    assert later.result(30) == 0
    with pytest.raises(rtmsync.Rejected) as caught:
        carol.history(source=alice.user_id)
    assert caught.value.code is rtmsync.QueryPeersOnlineError.REJECTED
    with pytest.raises(rtmsync.InvalidArgument) as refused:
        carol.history()
    assert refused.value.code is rtmsync.QueryPeersOnlineError.INVALID_ARGUMENT


def test_they_need_a_login(make: Connect) -> None:
    client = make()
    with pytest.raises(rtmsync.NotLoggedIn):
        client.stored_messages()
    assert isinstance(client.flush_stored_future().exception(30), rtmsync.NotLoggedIn)
