"""The history and the event feeds over HTTP."""

from urllib.parse import quote

import pytest

from rtmcore.codes import QueryPeersOnlineError
from rtmcore.limits import (
    EVENT_FEED_PER_CALL,
    EVENT_FEED_RATE,
    HISTORY_RATE,
    HTTP_BODY_BYTES,
    MEMBER_EVENTS_MAX,
    MESSAGE_BYTES,
    OFFLINE_AFTER,
    SERVER_RATE_BURST,
)
from rtmcore.service.commands.channels import JoinChannel, Membership
from rtmcore.service.commands.names import RTM, Name, Place, Session
from rtmcore.service.commands.sessions import Claim, Release
from rtmcore.service.commands.table import Answer
from rtmcore.service.config import NodeConfig
from rtmcore.wire.packets import Done, Leave, MemberChanged, MessagePage, QueryHistory
from tests.service.test_node_web import BASE, CHANNEL, PEER, Web
from tests.service.wires import APP, OTHER_APP, WALL, World

USERS, CHANNELS = f"{BASE}/user_events", f"{BASE}/channel_events"
HISTORY, COUNT = f"{BASE}/history", f"{BASE}/history/count"
INVALID, TOO_OFTEN = QueryPeersOnlineError.INVALID_ARGUMENT.name, QueryPeersOnlineError.TOO_OFTEN.name


@pytest.fixture
def world():
    world = World(config=NodeConfig(node="n1", rate_limits=False))
    world.node.record_events([APP], world.now)
    return world


@pytest.fixture
def web(world):
    return Web(world)


@pytest.fixture
def limited():
    world = World()
    world.node.record_events([APP], world.now)
    return Web(world)


# --- Events -----------------------------------------------------------------------


def taken(web, path, **fields):
    status, document = web.do("GET", path, **fields)
    assert status == 200, document
    return document["events"]


def test_users_who_come_and_go(world, web):
    alice = world.login("alice")
    world.pass_time(1)
    bob = world.login("bob")
    ms = WALL // 1000
    assert web.do("GET", USERS) == (
        200,
        {
            "events": [
                {"user": "alice", "type": "Login", "ms": ms},
                {"user": "bob", "type": "Login", "ms": ms + 1000},
            ],
            "lost": 0,
            "left": 0,
            "epoch": "epoch-1",
        },
    )
    assert taken(web, USERS) == []
    alice.cut()
    bob.mute = True
    world.pass_time(OFFLINE_AFTER + 5)
    assert [(one["user"], one["type"]) for one in taken(web, USERS)] == [
        ("alice", "Logout"),
        ("bob", "Logout"),
    ]


class Elsewhere:
    """Another node of the same engine, whose users say nothing."""

    def __init__(self, world):
        self.world = world
        self.port = world.engine.port("n2")

    def join(self, user, number):
        place, iid = Place("n2", number), f"iid-of-{user}".ljust(16, "-")
        name = Name(APP, RTM, user)
        claimed = self.answer(
            Claim(
                name=name,
                place=place,
                iid=iid,
                attempt=1,
                login=True,
                fence=None,
                secret=None,
                fresh_secret=iid,
                keepalive=OFFLINE_AFTER,
                inbox=None,
                floor=0,
                authorized=True,
            )
        )
        session = Session(name, claimed.fence, place)
        assert isinstance(self.answer(JoinChannel(session, 1, 0, "room")), Membership)
        return session

    def answer(self, command):
        self.port.submit(command, self.world.now, self.world.wall)
        found = []
        while (output := self.port.next_output()) is not None:
            if isinstance(output, Answer):
                found.append(output.value)
        (value,) = found
        return value


def test_members_of_a_large_channel_are_known_although_nobody_is_told(world, web):
    alice = world.login("alice")
    alice.join("room")
    node = Elsewhere(world)
    users = [f"user{number}" for number in range(MEMBER_EVENTS_MAX + 1)]
    sessions = [node.join(user, number) for number, user in enumerate(users)]
    events = taken(web, CHANNELS)
    assert [(one["channel"], one["user"], one["type"]) for one in events] == [
        ("room", user, "Join") for user in ["alice", *users]
    ]
    told = len(alice.all_of(MemberChanged))
    assert told == MEMBER_EVENTS_MAX - 1
    node.answer(Release(sessions[-1]))
    (left,) = taken(web, CHANNELS)
    assert (left["user"], left["type"]) == (users[-1], "Leave")
    node.answer(Release(sessions[-2]))
    assert len(alice.all_of(MemberChanged)) == told + 1, "of 512 members, one has left"


def test_a_lost_answer_is_had_again_with_its_key(world, web):
    world.login("alice")
    web.begin("GET", USERS, Idempotency_Key="k")
    world.node.connection_lost(web.number, world.now)
    world.settle()
    other = Web(world)
    first = taken(other, USERS, Idempotency_Key="k")
    assert [one["user"] for one in first] == ["alice"]
    assert taken(other, USERS, Idempotency_Key="k") == first
    assert taken(other, USERS) == []


def test_the_largest_answer_fits_into_a_body(world, web):
    user, channel = "u" * 64, "c" * 64
    alice = world.login(user)
    for number in range(EVENT_FEED_PER_CALL):
        alice.join(channel) if number % 2 == 0 else leave(world, alice, channel)
    web.begin("GET", CHANNELS)
    status, document = web.end()
    assert (status, len(document["events"])) == (200, EVENT_FEED_PER_CALL)
    assert int(web.headers["content-length"]) <= HTTP_BODY_BYTES


def leave(world, wire, channel):
    wire.say(Leave(wire.next_request(), channel))
    wire.expect(Done)


def test_only_apps_with_a_key_are_recorded(world, web):
    world.node.record_events([OTHER_APP], world.now)
    world.login("alice")
    world.node.record_events([APP], world.now)
    world.login("bob")
    assert [one["user"] for one in taken(web, USERS)] == ["bob"]


@pytest.mark.parametrize("path", [USERS, CHANNELS])
def test_each_feed_has_a_rate_of_its_own(limited, path):
    for _ in range(EVENT_FEED_RATE.count * SERVER_RATE_BURST):
        assert limited.do("GET", path)[0] == 200
    status, document = limited.do("GET", path)
    assert (status, document["error"]["name"]) == (429, TOO_OFTEN)
    assert document["error"]["retry_after"] == pytest.approx(0.1)
    assert limited.do("GET", USERS if path == CHANNELS else CHANNELS)[0] == 200


def test_feeds_have_no_query(web):
    status, document = web.do("GET", f"{USERS}?limit=5")
    assert (status, document["error"]["name"]) == (400, INVALID)


# --- The history ------------------------------------------------------------------


def keep(web, text, *, to=None, channel=None):
    document = {"payload": text, "history": True}
    if channel is None:
        answer = web.do("POST", PEER, {"destination": to, "offline": True, **document})
    else:
        answer = web.do("POST", CHANNEL, {"channel": channel, **document})
    assert answer[0] == 200, answer


@pytest.fixture
def kept(world, web):
    """Three messages, each a second after the one before."""
    keep(web, "one", to="alice")
    world.pass_time(1)
    keep(web, "two", channel="alice")
    world.pass_time(1)
    keep(web, "three", to="bob")
    return web


def texts(web, query):
    status, document = web.do("GET", f"{HISTORY}?{query}")
    assert status == 200, document
    count = web.do("GET", f"{COUNT}?{query}")
    assert count == (200, {"count": document["count"]})
    assert len(document["messages"]) == document["count"]
    return [one["payload"] for one in document["messages"]]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("source=bot", ["three", "two", "one"]),
        ("destination=alice", ["one"]),
        ("channel=alice", ["two"]),
        ("source=bot&destination=bob", ["three"]),
        ("source=nobody", []),
        (f"source=bot&start={WALL / 1e6 + 0.5}", ["three", "two"]),
        (f"source=bot&end={WALL / 1e6 + 1.5}", ["two", "one"]),
        (f"source=bot&start={WALL / 1e6 + 0.5}&end={WALL / 1e6 + 1.5}", ["two"]),
    ],
)
def test_messages_are_found(kept, query, expected):
    assert texts(kept, query) == expected


def test_a_message_says_all_that_is_known_of_it(kept):
    _, document = kept.do("GET", f"{HISTORY}?source=bot&order=asc")
    one, two, _ = document["messages"]
    assert one["ms"] == WALL // 1000
    assert one == {
        "id": one["id"],
        "source": "bot",
        "destination": "alice",
        "payload": "one",
        "ms": one["id"] // 1000,
    }
    assert two["channel"] == "alice"
    assert "destination" not in two


def test_pages_are_turned(world, web):
    for number in range(45):
        keep(web, str(number), channel="room")
    pages = [
        web.do("GET", f"{HISTORY}?channel=room&order=asc&limit=20&offset={offset}")[1]
        for offset in (0, 20, 40)
    ]
    assert [page["count"] for page in pages] == [45] * 3
    assert [one["payload"] for page in pages for one in page["messages"]] == [str(n) for n in range(45)]
    assert web.do("GET", f"{HISTORY}?channel=room&offset=45")[1] == {"messages": [], "count": 45}


def test_a_page_of_large_messages_is_shorter(world, web):
    for _ in range(3):
        keep(web, "\1" * MESSAGE_BYTES, channel="room")
    _, document = web.do("GET", f"{HISTORY}?channel=room")
    assert (len(document["messages"]), document["count"]) == (1, 3)
    assert document["messages"][0]["payload"] == "\1" * MESSAGE_BYTES
    assert int(web.headers["content-length"]) <= HTTP_BODY_BYTES
    keep(web, "\u00fc\U0001f600", channel="room")
    assert web.do("GET", f"{HISTORY}?channel=room")[1]["messages"][0]["payload"] == "\u00fc\U0001f600"


@pytest.mark.parametrize(
    "query",
    [
        "",
        "limit=20",
        "source=",
        f"source={'a' * 65}",
        "channel=a&destination=b",
        "source=a&source=b",
        "source=a&what=1",
        "source=a&limit=21",
        "source=a&limit=-20",
        "source=a&limit=x",
        "source=a&offset=-1",
        "source=a&offset=1.5",
        f"source=a&offset={2**53}",
        "source=a&order=up",
        "source=a&start=yesterday",
        "source=a&start=nan",
        "source=a&start=1_0",
        "source=a&start=%201",
        "source=a&start=0",
        "source=a&end=-1",
        "source=a&end=inf",
        "source=a&start=5&end=5",
        "&".join(f"a{number}=1" for number in range(200)),
    ],
)
def test_questions_that_make_no_sense_are_refused(web, query):
    status, document = web.do("GET", f"{HISTORY}?{query}")
    assert (status, document["error"]["name"]) == (400, INVALID)
    assert document["error"]["family"] == "QueryPeersOnlineError"


def test_a_count_has_no_pages(web):
    assert web.do("GET", f"{COUNT}?source=a&limit=20")[0] == 400


def test_ids_in_a_query_are_percent_encoded(world, web):
    web.do(
        "POST",
        f"{BASE}/users/{quote('a&b ?')}/channel_messages",
        {"channel": "c", "payload": "x", "history": True},
    )
    assert texts(web, f"source={quote('a&b ?')}") == ["x"]


def test_clients_and_programs_share_the_rate_of_the_history(limited):
    alice = limited.world.login("alice")
    for number in range(HISTORY_RATE.count * SERVER_RATE_BURST - 1):
        assert limited.do("GET", (HISTORY, COUNT)[number % 2] + "?source=a")[0] == 200
    alice.say(QueryHistory(1, "alice"))
    alice.expect(MessagePage)
    status, document = limited.do("GET", f"{HISTORY}?source=a")
    assert (status, document["error"]["name"]) == (429, TOO_OFTEN)


def test_an_engine_that_cannot_read_is_a_503_and_a_silent_one_a_504():
    world = World(seed=1)
    web = Web(world)
    world.late.paused = True
    for path in (f"{HISTORY}?source=a", USERS):
        web.begin("GET", path)
        world.pass_time(6)
        status, document = web.end()
        assert (status, document["error"]["name"]) == (504, "TIMEOUT")
