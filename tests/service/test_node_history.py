"""The history: what is kept of messages whose senders wanted it, and who may ask for it."""

import pytest

from rtmcore.codes import MessageType, QueryPeersOnlineError
from rtmcore.limits import (
    FRAME_BYTES,
    HISTORY_DAYS,
    HISTORY_PAGE_SIZES,
    HISTORY_RATE,
    MESSAGE_BYTES,
    PAGE_BYTES,
    SERVER_RATE_BURST,
)
from rtmcore.service.config import NodeConfig
from rtmcore.wire.codec import JSON, MSGPACK
from rtmcore.wire.packets import (
    INVITATION,
    Ack,
    Failed,
    InboxEntry,
    MessagePage,
    PeerSent,
    Publish,
    Published,
    QueryHistory,
    SendPeer,
)
from tests.service.wires import OTHER_APP, SETTLE

ERROR = QueryPeersOnlineError
TEXT, RAW = int(MessageType.TEXT), int(MessageType.RAW)
UNLIMITED = NodeConfig(node="n1", rate_limits=False)
DAY_MS = 86_400_000


@pytest.fixture
def world(make_world):
    return make_world(config=UNLIMITED)


def query(wire, **question):
    number = wire.next_request()
    wire.say(QueryHistory(number, **question))
    answer = wire.expect(MessagePage)
    assert answer.i == number
    return answer


def bodies(page):
    return [kept.body for kept in page.messages]


def failed(wire, **question):
    number = wire.next_request()
    wire.say(QueryHistory(number, **question))
    failure = wire.expect(Failed)
    assert failure.i == number
    return failure.code


def send(wire, to, body, **options):
    wire.say(SendPeer(wire.next_request(), to, TEXT, body, history=True, offline=True, **options))
    wire.expect(PeerSent)


def publish(wire, channel, body):
    number = wire.next_request()
    wire.say(Publish(number, channel, TEXT, body, history=True))
    return wire.expect(Published)


@pytest.mark.parametrize("codec", [MSGPACK, JSON], ids=lambda codec: codec.subprotocol)
def test_messages_are_kept_where_the_sender_wants_it(world, codec):
    alice = world.login("alice", codec)
    send(alice, "bob", b"kept")
    alice.say(SendPeer(alice.next_request(), "bob", TEXT, b"not wanted", offline=True))
    alice.say(SendPeer(alice.next_request(), "bob", RAW, b"no text", offline=True, history=True))
    alice.expect(PeerSent)
    alice.expect(PeerSent)
    page = query(alice, source="alice")
    (kept,) = page.messages
    assert (kept.source, kept.destination, kept.channel, kept.kind, kept.body) == (
        "alice", "bob", False, TEXT, b"kept",
    )  # fmt: skip
    assert page.count == 1
    bob = world.login("bob", codec)
    assert bodies(query(bob, destination="bob")) == [b"kept"]
    assert bodies(query(bob, source="alice", destination="bob")) == [b"kept"]
    world.pass_time(SETTLE)
    entry = bob.all_of(InboxEntry)[0]
    assert kept.id == entry.id
    bob.say(Ack(entry.id))
    assert query(bob, destination="bob", count=True) == MessagePage(bob.requests, [], 1)


def test_a_channel_is_open_to_those_who_are_in_it(world):
    alice, bob = world.login("alice"), world.login("bob")
    alice.join("ops")
    published = publish(alice, "ops", b"kept")
    assert failed(bob, destination="ops", channel=True) == ERROR.REJECTED
    bob.join("ops")
    page = query(bob, destination="ops", channel=True)
    assert [(kept.id, kept.source, kept.channel) for kept in page.messages] == [(published.id, "alice", True)]
    assert query(alice, source="alice", destination="ops", channel=True).count == 1


@pytest.mark.parametrize(
    ("question", "code"),
    [
        ({"source": "bob"}, ERROR.REJECTED),
        ({"destination": "bob"}, ERROR.REJECTED),
        ({"source": "bob", "destination": "carol"}, ERROR.REJECTED),
        ({"destination": "alice", "channel": True}, ERROR.REJECTED),
        ({}, ERROR.INVALID_ARGUMENT),
        ({"source": "alice", "channel": True}, ERROR.INVALID_ARGUMENT),
        ({"source": "*"}, ERROR.INVALID_ARGUMENT),
        ({"source": "alice", "destination": ""}, ERROR.INVALID_ARGUMENT),
        ({"source": "alice", "start": 5, "end": 5}, ERROR.INVALID_ARGUMENT),
        ({"source": "alice", "limit": 0}, ERROR.INVALID_ARGUMENT),
        ({"source": "alice", "limit": 21}, ERROR.INVALID_ARGUMENT),
        ({"source": "alice", "limit": 101}, ERROR.INVALID_ARGUMENT),
    ],
)
def test_questions_are_checked(world, question, code):
    assert failed(world.login("alice"), **question) == code


def test_numbers_may_be_as_large_as_they_can(world):
    alice = world.login("alice")
    send(alice, "bob", b"kept")
    largest = 2**53 - 1
    assert query(alice, source="alice", offset=largest).messages == []
    assert query(alice, source="alice", end=largest).count == 1
    assert query(alice, source="alice", start=largest).count == 0


@pytest.mark.parametrize("limit", HISTORY_PAGE_SIZES)
def test_pages_lead_to_all_messages_in_either_order(world, limit):
    alice = world.login("alice")
    sent = [b"%d" % n for n in range(120)]
    for body in sent:
        send(alice, "bob", body)
    for ascending, expected in ((True, sent), (False, sent[::-1])):
        found, offset = [], 0
        while offset < query(alice, source="alice", count=True).count:
            page = query(alice, source="alice", limit=limit, offset=offset, ascending=ascending)
            assert page.count == len(sent)
            assert len(page.messages) == min(limit, len(sent) - offset)
            found += bodies(page)
            offset += len(page.messages)
        assert found == expected


@pytest.mark.parametrize("codec", [MSGPACK, JSON], ids=lambda codec: codec.subprotocol)
def test_a_page_of_large_messages_is_shorter_and_fits_into_a_frame(world, codec):
    alice = world.login("alice", codec)
    for n in range(9):
        send(alice, "bob", bytes([n]) * MESSAGE_BYTES)
    found = []
    while len(found) < 9:
        before = len(alice.raw)
        page = query(alice, source="alice", offset=len(found), ascending=True)
        assert len(alice.raw) - before < FRAME_BYTES
        assert len(page.messages) == min(PAGE_BYTES // MESSAGE_BYTES, 9 - len(found))
        assert page.count == 9
        found += bodies(page)
    assert [body[0] for body in found] == list(range(9))


def test_a_question_may_name_a_time(world):
    alice = world.login("alice")
    send(alice, "bob", b"early")
    world.pass_time(60)
    middle = world.wall // 1000
    world.pass_time(60)
    send(alice, "bob", b"late")
    assert bodies(query(alice, source="alice", end=middle)) == [b"early"]
    assert bodies(query(alice, source="alice", start=middle)) == [b"late"]


def test_what_is_older_than_seven_days_is_gone(world):
    alice = world.login("alice")
    send(alice, "bob", b"kept")
    start = world.wall // 1000
    world.jump((HISTORY_DAYS * DAY_MS / 1000) - 60)
    again = world.login("alice", attempt=2)
    assert query(again, source="alice").count == 1
    world.jump(120)
    last = world.login("alice", attempt=3)
    assert query(last, source="alice", start=start - 1000).count == 0


def test_apps_and_kinds_know_nothing_of_each_other(world):
    alice, other = world.login("alice"), world.login("alice", app=OTHER_APP)
    send(alice, "bob", b"kept")
    assert query(other, source="alice").count == 0
    guest = world.enter("room", "alice", "lobby")
    publish(guest, "lobby", b"in a room")
    alice.join("lobby")
    assert query(alice, destination="lobby", channel=True).count == 0


def test_invitations_are_not_kept(world):
    alice = world.login("alice")
    world.login("bob")
    alice.say(SendPeer(alice.next_request(), "bob", INVITATION, b"{}", history=True))
    world.pass_time(SETTLE)
    assert query(alice, source="alice").count == 0


def test_the_rate_is_that_of_the_whole_app(make_world):
    world = make_world()
    alice, bob = world.login("alice"), world.login("bob")
    other = world.login("carol", app=OTHER_APP)
    for n in range(SERVER_RATE_BURST * HISTORY_RATE.count):
        wire = alice if n % 2 else bob
        wire.say(QueryHistory(wire.next_request(), source=wire.user))
    number = bob.next_request()
    bob.say(QueryHistory(number, source="bob"))
    failure = bob.expect(Failed)
    assert (failure.i, failure.code) == (number, ERROR.TOO_OFTEN)
    assert failure.retry == 1000 * HISTORY_RATE.seconds / HISTORY_RATE.count
    assert query(other, source="carol").count == 0
