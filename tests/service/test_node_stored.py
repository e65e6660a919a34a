"""What is stored for a user: asked for, dropped, and for how long it is kept."""

import pytest

from rtmcore.codes import MessageType, SendPeerMessageError
from rtmcore.limits import (
    FRAME_BYTES,
    INVITATION_SIGNAL_BYTES,
    MESSAGE_BYTES,
    OFFLINE_SECONDS,
    PAGE_BYTES,
    STORED_PAGE_MESSAGES,
)
from rtmcore.service.config import NodeConfig
from rtmcore.wire.codec import JSON, MSGPACK
from rtmcore.wire.described import with_description
from rtmcore.wire.packets import (
    INVITATION,
    RAW_DESCRIBED,
    Ack,
    ChannelEntry,
    Done,
    Failed,
    FlushStored,
    GetStored,
    InboxEntry,
    MessagePage,
    PeerSent,
    Publish,
    SendPeer,
)
from tests.service.wires import SETTLE

ERROR = SendPeerMessageError
CACHED = SendPeerMessageError.CACHED_BY_SERVER
UNLIMITED = NodeConfig(node="n1", rate_limits=False)


@pytest.fixture
def world(make_world):
    return make_world(config=UNLIMITED)


def stored_of(wire, after=0):
    number = wire.next_request()
    wire.say(GetStored(number, after))
    answer = wire.expect(MessagePage)
    assert answer.i == number
    return answer


def store(wire, to, *bodies, **options):
    for body in bodies:
        wire.send_peer(to, body, offline=True, **options)
        assert wire.expect(PeerSent).code == CACHED


def flush(wire):
    number = wire.next_request()
    wire.say(FlushStored(number))
    while wire.expect(Done).i != number:
        pass


@pytest.mark.parametrize("codec", [MSGPACK, JSON], ids=lambda codec: codec.subprotocol)
def test_what_is_stored_is_listed_until_it_is_acknowledged(world, codec):
    alice = world.login("alice")
    store(alice, "bob", b"one", b"two")
    bob = world.login("bob", codec)
    world.pass_time(SETTLE)
    entries = bob.all_of(InboxEntry)
    page = stored_of(bob)
    assert [(kept.id, kept.body, kept.source, kept.destination, kept.kind) for kept in page.messages] == [
        (entry.id, entry.body, "alice", "bob", MessageType.RAW) for entry in entries
    ]
    assert page.count == 2
    assert [kept.body for kept in stored_of(bob, entries[0].id).messages] == [b"two"]
    bob.say(Ack(entries[0].id))
    assert [kept.body for kept in stored_of(bob).messages] == [b"two"]
    bob.say(Ack(entries[1].id))
    assert stored_of(bob).messages == []
    assert stored_of(alice).count == 0


def test_what_is_dropped_is_not_delivered_later(world):
    alice = world.login("alice")
    store(alice, "bob", b"one", b"two")
    bob = world.login("bob")
    world.pass_time(SETTLE)
    flush(bob)
    assert stored_of(bob).count == 0
    bob.cut()
    back = bob.back()
    world.pass_time(3)
    assert back.all_of(InboxEntry) == []
    store(alice, "carol", b"three")


def test_pages_hold_what_fits_into_a_frame_and_lead_to_all(world):
    alice = world.login("alice")
    bodies = [bytes([n]) * MESSAGE_BYTES for n in range(6)] + [b"x"] * (STORED_PAGE_MESSAGES + 5)
    store(alice, "bob", *bodies)
    bob = world.login("bob", JSON)
    listed, after, sizes = [], 0, []
    while True:
        before = len(bob.raw)
        page = stored_of(bob, after)
        sizes.append(len(bob.raw) - before)
        listed += page.messages
        assert sum(len(kept.body) for kept in page.messages) <= PAGE_BYTES
        assert len(page.messages) <= STORED_PAGE_MESSAGES
        if page.count == len(page.messages):
            break
        after = page.messages[-1].id
    assert [kept.body for kept in listed] == bodies
    assert len(sizes) > 2


def test_the_fullest_page_fits_into_a_frame_of_either_codec(world):
    alice = world.login("a" * 64)
    name = "b" * 64
    store(alice, name, *[b"x" * (PAGE_BYTES // STORED_PAGE_MESSAGES)] * STORED_PAGE_MESSAGES)
    for codec in (MSGPACK, JSON):
        bob = world.wire(codec)
        bob.hello(name, iid=f"instance-{codec.subprotocol}", window=1)
        bob.expect(InboxEntry)
        before = len(bob.raw)
        assert len(stored_of(bob).messages) == STORED_PAGE_MESSAGES
        assert len(bob.raw) - before < FRAME_BYTES


@pytest.mark.parametrize(
    ("ttl", "kept"),
    [(10_000, 9.0), (0, OFFLINE_SECONDS - 5.0), (2**53 - 1, OFFLINE_SECONDS - 5.0)],
    ids=["ten seconds", "none", "for ever"],
)
def test_a_stored_message_lives_as_long_as_it_was_given(world, ttl, kept):
    alice = world.login("alice")
    store(alice, "bob", b"late", ttl=ttl)
    store(alice, "carol", b"late", ttl=ttl)
    world.jump(kept)
    bob = world.login("bob")
    world.pass_time(SETTLE)
    assert [entry.body for entry in bob.all_of(InboxEntry)] == [b"late"]
    world.jump(60)
    carol = world.login("carol")
    world.pass_time(SETTLE)
    assert carol.all_of(InboxEntry) == []


# --- Kinds of messages ------------------------------------------------------------------------


DESCRIPTION = "Skizze ☀".encode()


@pytest.mark.parametrize(
    ("kind", "body", "good"),
    [
        (RAW_DESCRIBED, with_description(b"raw", DESCRIPTION), True),
        (RAW_DESCRIBED, with_description(b"", b""), True),
        (RAW_DESCRIBED, with_description(b"x" * (MESSAGE_BYTES - len(DESCRIPTION)), DESCRIPTION), True),
        (RAW_DESCRIBED, with_description(b"x" * (MESSAGE_BYTES - len(DESCRIPTION) + 1), DESCRIPTION), False),
        (RAW_DESCRIBED, b"", False),
        (RAW_DESCRIBED, b"\0", False),
        (RAW_DESCRIBED, b"\0\x09too short", True),
        (RAW_DESCRIBED, b"\0\x0atoo short", False),
        (RAW_DESCRIBED, with_description(b"raw", b"\xff"), False),
        (RAW_DESCRIBED, with_description(b"\xff", b"text"), True),
        (MessageType.FILE, b"", False),
        (19, b"", False),
    ],
)
def test_messages_of_each_kind_are_checked(world, kind, body, good):
    alice, bob = world.login("alice"), world.login("bob")
    for wire in (alice, bob):
        wire.join("ops")
    peer, channel = alice.next_request(), alice.next_request()
    alice.say(SendPeer(peer, "bob", kind, body))
    alice.say(Publish(channel, "ops", kind, body))
    world.pass_time(SETTLE)
    codes = [(failed.i, failed.code) for failed in alice.all_of(Failed)]
    received = [(entry.kind, entry.body) for entry in bob.all_of(InboxEntry) + bob.all_of(ChannelEntry)]
    if good:
        assert codes == []
        assert received == [(kind, body)] * 2
    else:
        assert codes == [(peer, ERROR.INVALID_MESSAGE), (channel, 4)]
        assert received == []


def test_an_invitation_goes_to_a_user_only_and_may_be_larger(world):
    alice, bob = world.login("alice"), world.login("bob")
    alice.join("ops")
    alice.say(SendPeer(alice.next_request(), "bob", INVITATION, b"x" * INVITATION_SIGNAL_BYTES))
    assert bob.expect(InboxEntry).kind == INVITATION
    over = alice.next_request()
    alice.say(SendPeer(over, "bob", INVITATION, b"x" * (INVITATION_SIGNAL_BYTES + 1)))
    failed = alice.expect(Failed)
    assert (failed.i, failed.code) == (over, ERROR.INVALID_MESSAGE)
    published = alice.next_request()
    alice.say(Publish(published, "ops", INVITATION, b"{}"))
    assert alice.expect(Failed).i == published
