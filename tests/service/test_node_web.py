"""What programs with a server key do over HTTP."""

import base64
import json

import pytest

from rtmcore.codes import CloseCode
from rtmcore.limits import (
    HTTP_IDLE_TIMEOUT,
    HTTP_PEER_MESSAGE_RATE,
    MEMBER_COUNT_CHANNELS,
    MESSAGE_BYTES,
    SERVER_RATE_BURST,
)
from rtmcore.wire.exchange import HttpClientConnection, HttpResponse
from rtmcore.wire.packets import Ack, ChannelEntry, InboxEntry
from tests.openapi import check_answer
from tests.service.test_node_http import Raw
from tests.service.wires import APP, OTHER_APP, SERVER_KEY, World

BASE = f"/rtm/v1/apps/{APP}"
PEER = f"{BASE}/users/bot/peer_messages"
CHANNEL = f"{BASE}/users/bot/channel_messages"


class Web(Raw):
    """A program with a server key, on one connection."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.http = HttpClientConnection("rtm.example.org")

    def begin(self, method, path, document=None, *, key=SERVER_KEY, **fields) -> None:
        headers = [("Authorization", f"Bearer {key}")] if key else []
        headers += [(name.replace("_", "-"), value) for name, value in fields.items()]
        self.send(method, path, headers, None if document is None else json.dumps(document).encode())

    def send(self, method, path, headers, body) -> None:
        self.http.request(method, path, headers, body)
        self.asked = method, path
        self.world.settle()
        for data in self.http.data_to_send():
            self.world.node.receive_data(self.number, data, self.world.now)
        self.world.settle()

    def deliver(self, data: bytes) -> int:
        self.http.receive_data(data)
        return 0

    def end(self):
        response = self.http.next_event()
        if response is None:
            return None
        assert isinstance(response, HttpResponse)
        self.headers = dict(response.headers)
        answer = json.loads(response.body)
        check_answer(*self.asked, response.status, self.headers, answer)
        return response.status, answer

    def do(self, method, path, document=None, **fields):
        self.begin(method, path, document, **fields)
        return self.end()


@pytest.fixture
def world():
    return World()


@pytest.fixture
def web(world):
    return Web(world)


def test_several_requests_share_a_connection(world, web):
    alice = world.login("alice")
    for text in ("one", "two"):
        assert web.do("POST", PEER, {"destination": "alice", "payload": text}) == (
            200,
            {"code": "message_sent"},
        )
        assert alice.expect(InboxEntry).body == text.encode()
    assert not web.ended
    assert world.node.stats()["connections_before_hello"] == 0


def test_the_answer_waits_for_the_acknowledgement_where_asked(world, web):
    alice = world.login("alice")
    web.begin("POST", PEER, {"destination": "alice", "payload": "hi", "wait_for_ack": True})
    assert web.end() is None
    entry = alice.expect(InboxEntry)
    alice.say(Ack(entry.id))
    world.settle()
    assert web.end() == (200, {"code": "message_delivered", "id": entry.id})


def test_without_an_acknowledgement_it_is_a_timeout(world, web):
    world.login("alice")
    web.begin("POST", PEER, {"destination": "alice", "payload": "hi", "wait_for_ack": True})
    world.pass_time(10.5)
    status, document = web.end()
    assert status == 504
    assert document["error"]["name"] == "TIMEOUT"
    assert document["error"]["family"] == "SendPeerMessageError"


def test_absent_peers(world, web):
    assert web.do("POST", PEER, {"destination": "zoe", "payload": "x"}) == (200, {"code": "peer_offline"})
    status, document = web.do("POST", PEER, {"destination": "zoe", "payload": "x", "offline": True})
    assert (status, document["code"]) == (200, "message_cached")


def test_a_repeat_gets_the_first_answer(world, web):
    alice = world.login("alice")
    alice.join("room")
    message = {"channel": "room", "raw": base64.b64encode(b"\0\1").decode()}
    first = web.do("POST", CHANNEL, message, Idempotency_Key="k1")
    assert first[0] == 200
    assert web.do("POST", CHANNEL, message, Idempotency_Key="k1") == first
    assert Web(world).do("POST", CHANNEL, message, Idempotency_Key="k1") == first
    assert alice.expect(ChannelEntry).body == b"\0\1"
    assert len(alice.all_of(ChannelEntry)) == 1
    assert web.do("POST", CHANNEL, message) != web.do("POST", CHANNEL, message)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (PEER, {"destination": "alice", "payload": "y"}),
        (PEER, {"destination": "bob", "payload": "x"}),
        (PEER, {"destination": "alice", "payload": "x", "offline": True}),
        (PEER.replace("bot", "kiosk"), {"destination": "alice", "payload": "x"}),
    ],
)
def test_another_request_with_the_same_key_is_refused_and_not_carried_out(world, web, path, message):
    alice, bob = world.login("alice"), world.login("bob")
    first = {"destination": "alice", "payload": "x"}
    assert web.do("POST", PEER, first, Idempotency_Key="k")[1]["code"] == "message_sent"
    status, document = web.do("POST", path, message, Idempotency_Key="k")
    assert status == 400
    assert "belongs to an earlier request" in document["error"]["message"]
    assert web.do("POST", PEER, first, Idempotency_Key="k")[1]["code"] == "message_sent"
    world.settle()
    assert (len(alice.all_of(InboxEntry)), len(bob.all_of(InboxEntry))) == (1, 0)


def test_counts(world, web):
    world.login("alice").join("room")
    assert web.do("GET", f"{BASE}/counts?channels=room&channels=none") == (
        200,
        {"counts": {"room": 1, "none": 0}},
    )
    many = "&".join(f"channels=c{number}" for number in range(MEMBER_COUNT_CHANNELS + 1))
    assert web.do("GET", f"{BASE}/counts?{many}")[1]["error"]["name"] == "EXCEED_LIMIT"
    assert web.do("GET", f"{BASE}/counts")[0] == 400


def test_bans(world, web):
    alice = world.login("alice")
    assert web.do("POST", f"{BASE}/bans/alice", {"reason": "spam"}) == (200, {"code": "done"})
    alice.expect_closed(CloseCode.BANNED)
    assert web.do("DELETE", f"{BASE}/bans/alice") == (200, {"code": "done"})
    world.pass_time(2)
    world.login("alice", attempt=2)


@pytest.mark.parametrize("path", [PEER, f"{BASE}/nothing", f"{BASE}/counts?channels=x"])
@pytest.mark.parametrize("key", ["", "wrong"])
def test_without_the_key_there_is_nothing_but_a_401(web, path, key):
    assert web.do("POST", path, {}, key=key)[0] == 401
    assert web.headers["www-authenticate"] == "Bearer"
    assert web.ended


def test_an_app_without_a_key_has_no_service(web):
    assert web.do("POST", f"/rtm/v1/apps/{OTHER_APP}/users/bot/peer_messages", {})[0] == 404


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", PEER, 405), ("POST", f"{BASE}/counts", 405), ("GET", f"{BASE}/nothing", 404)],
)
def test_paths_and_methods(web, method, path, status):
    assert web.do(method, path)[0] == status
    assert ("allow" in web.headers) is (status == 405)


def test_the_methods_of_a_path_are_told(web):
    assert web.do("PUT", f"{BASE}/bans/alice")[0] == 405
    assert web.headers["allow"] == "POST, DELETE"


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"destination": ""}, "INVALID_USER_ID"),
        ({"destination": 5}, "INVALID_MESSAGE"),
        ({"payload": ""}, "INVALID_MESSAGE"),
        ({"payload": "\ud800"}, "INVALID_MESSAGE"),
        ({"payload": "a" * (MESSAGE_BYTES + 1)}, "INVALID_MESSAGE"),
        ({"raw": "AA=="}, "INVALID_MESSAGE"),
        ({"ttl": 0}, "INVALID_MESSAGE"),
        ({"ttl": True}, "INVALID_MESSAGE"),
        ({"unknown": 1}, "INVALID_MESSAGE"),
    ],
)
def test_what_is_wrong_with_a_message_is_told(web, changes, name):
    document = {"destination": "zoe", "payload": "x", **changes}
    status, answer = web.do("POST", PEER, document)
    assert (status, answer["error"]["name"]) == (400, name)
    assert web.do("POST", PEER, {"destination": "zoe", "payload": "x"})[0] == 200, "the connection goes on"


def test_the_largest_message_passes(web):
    assert web.do("POST", PEER, {"destination": "zoe", "payload": "\1" * MESSAGE_BYTES})[0] == 200


@pytest.mark.parametrize("key", ["", "a" * 129, "a b"])
def test_keys_of_another_shape_are_refused(web, key):
    assert web.do("POST", PEER, {"destination": "zoe", "payload": "x"}, Idempotency_Key=key)[0] == 400


def test_the_documented_rate_and_a_burst(web):
    message = {"destination": "zoe", "payload": "x"}
    for _ in range(HTTP_PEER_MESSAGE_RATE.count * SERVER_RATE_BURST):
        assert web.do("POST", PEER, message)[0] == 200
    status, document = web.do("POST", PEER, message)
    assert (status, document["error"]["name"]) == (429, "TOO_OFTEN")
    assert web.headers["retry-after"] == "1"
    assert 0 < document["error"]["retry_after"] <= 1


def test_an_idle_connection_is_closed(world, web):
    web.do("POST", PEER, {"destination": "zoe", "payload": "x"})
    world.pass_time(HTTP_IDLE_TIMEOUT - 0.1)
    assert not web.ended
    world.pass_time(0.2)
    assert web.ended


def test_draining_ends_what_is_idle_and_answers_what_is_under_way(world, web):
    world.login("alice")
    web.do("POST", PEER, {"destination": "zoe", "payload": "x"})
    busy = Web(world)
    busy.begin("POST", PEER, {"destination": "alice", "payload": "x", "wait_for_ack": True})
    world.node.drain(world.now, 0)
    world.settle()
    assert web.ended
    assert not busy.ended
    world.pass_time(10.5)
    assert busy.end()[0] == 504
    assert busy.ended


def test_an_engine_that_does_not_answer_is_a_timeout():
    world = World(seed=1)
    web = Web(world)
    world.late.paused = True
    web.begin("POST", CHANNEL, {"channel": "room", "payload": "x"})
    world.pass_time(6)
    assert web.end()[0] == 504


def test_a_connection_that_goes_away_is_forgotten(world, web):
    alice = world.login("alice")
    web.begin("POST", PEER, {"destination": "alice", "payload": "x", "wait_for_ack": True})
    world.node.connection_lost(web.number, world.now)
    alice.say(Ack(alice.expect(InboxEntry).id))
    world.settle()
    assert alice.closed is None
