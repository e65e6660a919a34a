"""A client written from docs/protocol alone on the `websockets` package, against a real server, in both encodings."""

import ast
import json
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from rtmcore.limits import CHANNELS_JOINED_MAX, JOIN_SAME_CHANNEL_RATE, SERVER_RATE_BURST
from tests.interop.conftest import RunningServer
from tests.interop.wireclient import PATH, RAW, TEXT, WAIT, JsonEncoding, WireClient

pytestmark = pytest.mark.interop

Make = Callable[..., WireClient]
LARGEST = 32 * 1024


def members(make: Make, channel: str, count: int) -> list[WireClient]:
    made = [make() for _ in range(count)]
    for one in made:
        one.login()
        tag, _ = one.ask("join", ch=channel)
        assert tag == "joined"
    return made


def received(client: WireClient, count: int) -> list[bytes]:
    client.wait_for(lambda: len(client.messages) >= count)
    return [message["body"] for message in client.messages]


# --- The client is what it says ---------------------------------------------------------------------------------


def test_the_client_knows_nothing_of_this_project() -> None:
    tree = ast.parse((Path(__file__).parent / "wireclient.py").read_text(encoding="utf-8"))
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").partition(".")[0])
    assert not found & {"rtmcore", "rtmsync", "tests"}
    assert "websockets" in found


# --- Login ------------------------------------------------------------------------------------------------------


def test_login_brings_welcome_then_ready(client: Make) -> None:
    alice = client()
    alice.login()
    assert [tag for tag, _ in alice.packets[:2]] == ["welcome", "ready"]
    assert not alice.welcome["resumed"]
    assert alice.welcome["limits"]["message"] == LARGEST
    assert (alice.welcome["beat"], alice.welcome["interrupted"]) == (1500, 4000)
    assert (alice.welcome["unreachable"], alice.welcome["offline"]) == (6000, 30000)
    assert alice.welcome["token_policy"] == "keep"


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("app", "f" * 32, 4),
        ("app", "short", 4),
        ("user", "", 3),
        ("user", "null", 3),
        ("user", "x" * 65, 3),
    ],
)
def test_a_hello_that_is_wrong_is_refused_with_its_code(
    client: Make, field: str, value: str, code: int
) -> None:
    alice = client()
    alice.login(**{field: value})
    (refused,) = [fields for tag, fields in alice.packets if tag == "refused"]
    assert refused["code"] == code
    assert refused["text"]
    assert alice.closed_with() == 4503


def test_logout_is_answered_by_4504(client: Make) -> None:
    alice = client()
    alice.login()
    alice.logout()


def test_logout_behind_the_hello(client: Make) -> None:
    alice = client()
    alice.open()
    alice.hello()
    alice.send("bye", fence=None)
    assert alice.closed_with() == 4504


def test_a_second_login_kicks_the_first(client: Make) -> None:
    first = client()
    first.login()
    second = client(first.user)
    second.login()
    assert first.closed_with() == 4500
    assert ("kicked", 8) in [(tag, fields.get("reason")) for tag, fields in first.packets]
    assert second.welcome["fence"] > first.welcome["fence"]


def test_a_return_never_takes_the_name_from_a_newer_login(client: Make) -> None:
    first = client()
    first.login()
    first.drop()
    second = client(first.user)
    second.login()
    for _ in range(2):
        first.open()
        first.hello(login=False, fence=first.welcome["fence"], secret=first.welcome["secret"])
        assert first.closed_with() == 4500
        first.drop()
    assert second.ask("join", ch="still-there")[0] == "joined"


def test_a_newer_attempt_replaces_the_older_and_a_stale_one_is_turned_away(client: Make) -> None:
    alice = client()
    alice.login()
    older = client(alice.user)
    older._ws, alice._ws = alice._ws, None
    alice.come_back()
    assert alice.welcome["resumed"]
    assert older.closed_with() == 4013

    late = client(alice.user)
    late.iid = alice.iid
    late.open()
    late.hello(login=False, fence=alice.welcome["fence"], secret=alice.welcome["secret"])
    assert late.closed_with() == 4014
    assert alice.ask("join", ch="undisturbed")[0] == "joined"


# --- Channels ---------------------------------------------------------------------------------------------------


def test_a_channel_message_reaches_the_others_and_not_its_sender(client: Make, channel: str) -> None:
    alice, bob = members(client, channel, 2)
    tag, published = alice.ask("publish", ch=channel, kind=TEXT, body="grüße".encode())
    assert tag == "published"
    assert received(bob, 1) == ["grüße".encode()]
    (message,) = bob.messages
    assert (message["user"], message["iid"], message["id"]) == (alice.user, alice.iid, published["id"])
    assert message["kind"] == TEXT

    bob.ask("publish", ch=channel, kind=RAW, body=b"\x00\xff")
    assert received(alice, 1) == [b"\x00\xff"]
    assert alice.messages[0]["kind"] == RAW


def test_all_see_the_same_order(client: Make, channel: str) -> None:
    alice, bob, carol = members(client, channel, 3)
    for number in range(20):
        alice.request("publish", ch=channel, kind=TEXT, body=b"a%d" % number)
        bob.request("publish", ch=channel, kind=TEXT, body=b"b%d" % number)
    seen = received(carol, 40)
    received(alice, 20)
    received(bob, 20)
    assert [body for body in seen if body[:1] == b"b"] == [message["body"] for message in alice.messages]
    assert [body for body in seen if body[:1] == b"a"] == [message["body"] for message in bob.messages]
    assert [message["id"] for message in carol.messages] == sorted(
        message["id"] for message in carol.messages
    )


def test_the_roster_comes_before_joined_and_changes_follow(client: Make, channel: str) -> None:
    (alice,) = members(client, channel, 1)
    tags = [tag for tag, _ in alice.packets]
    assert tags.index("roster") < tags.index("joined")
    assert alice.members[channel] == {alice.user}
    (bob,) = members(client, channel, 1)
    assert bob.members[channel] == {alice.user, bob.user}
    alice.wait_for(lambda: bob.user in alice.members[channel])
    assert set(alice.ask("members", ch=channel)[1]["users"]) == {alice.user, bob.user}
    assert bob.ask("leave", ch=channel)[0] == "done"
    alice.wait_for(lambda: bob.user not in alice.members[channel])


def test_logout_leaves_the_channels_at_once(client: Make, channel: str) -> None:
    alice, bob = members(client, channel, 2)
    bob.logout()
    alice.wait_for(lambda: alice.members[channel] == {alice.user})


# --- Peer messages ----------------------------------------------------------------------------------------------


def test_a_peer_message_is_delivered_when_it_is_acknowledged(client: Make) -> None:
    alice, bob = client(), client()
    alice.login()
    bob.login()
    bob.acknowledge = False
    number = alice.request("send", to=bob.user, kind=TEXT, body=b"psst")
    assert received(bob, 1) == [b"psst"]
    alice.read(0.3)
    assert number not in alice._answers
    bob.acknowledge = True
    bob.wait_for(lambda: bob._to_acknowledge is None or bob.send("ack", id=bob._to_acknowledge) is None)
    tag, sent = alice.answer(number)
    assert (tag, sent["code"], sent["id"]) == ("sent", 0, bob.messages[0]["id"])


def test_no_acknowledgement_is_a_timeout(client: Make) -> None:
    alice, bob = client(), client()
    alice.login()
    bob.login()
    bob.acknowledge = False
    tag, failed = alice.ask("send", to=bob.user, kind=TEXT, body=b"psst", wait=300)
    assert (tag, failed["code"]) == ("failed", 2)


def test_an_offline_user_gets_what_was_stored_and_nothing_else(client: Make) -> None:
    alice, bob = client(), client()
    alice.login()
    assert alice.ask("send", to=bob.user, kind=TEXT, body=b"gone")[1]["code"] == 3
    tag, sent = alice.ask("send", to=bob.user, kind=TEXT, body=b"kept", offline=True)
    assert (tag, sent["code"]) == ("sent", 4)
    bob.login()
    assert received(bob, 1) == [b"kept"]
    assert bob.messages[0]["offline"]
    bob.wait_for(lambda: ("top", None) in [(tag, fields.get("ch")) for tag, fields in bob.packets])


def test_a_message_to_oneself(client: Make) -> None:
    alice = client()
    alice.login()
    assert alice.ask("send", to=alice.user, kind=TEXT, body=b"note")[1]["code"] == 0
    assert received(alice, 1) == [b"note"]


@pytest.mark.parametrize("size", [0, 1, LARGEST])
def test_every_size_up_to_the_largest(client: Make, channel: str, size: int) -> None:
    alice, bob = members(client, channel, 2)
    body = bytes(index % 251 for index in range(size))
    assert alice.ask("publish", ch=channel, kind=RAW, body=body)[0] == "published"
    assert received(bob, 1) == [body]
    sending = alice.request("send", to=bob.user, kind=RAW, body=body)
    assert received(bob, 2)[1] == body
    assert alice.answer(sending)[1]["code"] == 0


# --- Cuts -------------------------------------------------------------------------------------------------------


def test_a_return_brings_what_was_missed(client: Make, channel: str) -> None:
    alice, bob = members(client, channel, 2)
    alice.ask("publish", ch=channel, kind=TEXT, body=b"0")
    received(bob, 1)
    bob.drop()
    for number in range(1, 4):
        alice.ask("publish", ch=channel, kind=TEXT, body=b"%d" % number)
    sending = alice.request("send", to=bob.user, kind=TEXT, body=b"peer")
    bob.come_back()
    assert bob.welcome["resumed"]
    assert sorted(received(bob, 5)) == [b"0", b"1", b"2", b"3", b"peer"]
    assert [message["body"] for message in bob.messages if "ch" in message] == [b"0", b"1", b"2", b"3"]
    assert alice.answer(sending)[1]["code"] == 0
    assert bob.gaps == []
    assert alice.members[channel] == {alice.user, bob.user}
    assert not any(tag == "member" and not fields["joined"] for tag, fields in alice.packets)


def test_nothing_happened_while_away(client: Make, channel: str) -> None:
    alice, _ = members(client, channel, 2)
    alice.drop()
    alice.come_back()
    assert alice.welcome["resumed"]
    alice.wait_for(
        lambda: [fields["lost"] for tag, fields in alice.packets[alice._mark :] if tag == "top"] == [0, 0]
    )
    assert alice.messages == []


def test_more_than_the_window_is_reported_as_lost(client: Make, channel: str) -> None:
    alice, bob = members(client, channel, 2)
    bob.drop()
    for number in range(40):
        alice.ask("publish", ch=channel, kind=TEXT, body=b"%d" % number)
    bob.come_back()
    assert received(bob, 32) == [b"%d" % number for number in range(8, 40)]
    bob.wait_for(lambda: bob.gaps)
    assert bob.gaps == [(channel, 8)]


def test_a_request_that_is_repeated_is_not_carried_out_twice(client: Make, channel: str) -> None:
    alice, bob = members(client, channel, 2)
    tag, first = alice.ask("publish", ch=channel, kind=TEXT, body=b"once")
    number = first["i"]
    alice._unanswered[number] = ("publish", {"i": number, "ch": channel, "kind": TEXT, "body": b"once"})
    alice.drop()
    alice.come_back()
    assert alice.answer(number) == (tag, first)
    alice.ask("publish", ch=channel, kind=TEXT, body=b"next")
    assert received(bob, 2) == [b"once", b"next"]


def test_a_peer_message_in_flight_at_a_cut_arrives_once(client: Make) -> None:
    alice, bob = client(), client()
    alice.login()
    bob.login()
    number = alice.request("send", to=bob.user, kind=TEXT, body=b"once")
    alice.drop()
    alice.come_back()
    received(bob, 1)
    assert alice.answer(number)[1]["code"] == 0
    number = alice.request("send", to=bob.user, kind=TEXT, body=b"after")
    assert received(bob, 2) == [b"once", b"after"]
    assert alice.answer(number)[1]["code"] == 0


def test_an_unacknowledged_message_comes_again_and_is_known(client: Make) -> None:
    alice, bob = client(), client()
    alice.login()
    bob.login()
    bob.acknowledge = False
    number = alice.request("send", to=bob.user, kind=TEXT, body=b"once")
    received(bob, 1)
    bob._logs[None].position = 0
    bob.drop()
    bob.acknowledge = True
    bob.come_back()
    bob.wait_for(lambda: [tag for tag, _ in bob.packets].count("inbox") == 2)
    assert alice.answer(number)[1]["code"] == 0
    assert received(bob, 1) == [b"once"]


def test_sync_reads_a_log_again_from_a_position(client: Make, channel: str) -> None:
    alice, bob = members(client, channel, 2)
    joined = bob._logs[channel].position
    for number in range(3):
        alice.ask("publish", ch=channel, kind=TEXT, body=b"%d" % number)
    received(bob, 3)
    before = len(bob.packets)
    bob.send("sync", id=joined, ch=channel)
    bob.wait_for(lambda: any(tag == "top" for tag, _ in bob.packets[before:]))
    again = [(tag, fields.get("body")) for tag, fields in bob.packets[before:] if tag != "beat"]
    assert again == [("channel", b"0"), ("channel", b"1"), ("channel", b"2"), ("top", None)]
    assert len(bob.messages) == 3


# --- What is wrong ----------------------------------------------------------------------------------------------


def test_requests_that_are_wrong_fail_with_their_code(client: Make, channel: str) -> None:
    (alice,) = members(client, channel, 1)
    large = b"x" * (LARGEST + 1)
    expected = {
        ("join", "ch", channel): 6,
        ("join", "ch", ""): 3,
        ("publish", "ch", "elsewhere"): 5,
        ("leave", "ch", "elsewhere"): 3,
        ("members", "ch", "elsewhere"): 5,
    }
    for (tag, name, value), code in expected.items():
        more = {"kind": TEXT, "body": b"x"} if tag == "publish" else {}
        answer, failed = alice.ask(tag, **{name: value}, **more)
        assert (tag, answer, failed["code"]) == (tag, "failed", code)
        assert failed["text"]
    for fields, code in [
        ({"to": "", "kind": TEXT, "body": b"x"}, 6),
        ({"to": "bob", "kind": TEXT, "body": large}, 7),
        ({"to": "bob", "kind": 3, "body": b"x"}, 7),
    ]:
        answer, failed = alice.ask("send", **fields)
        assert (answer, failed["code"]) == ("failed", code)
    for fields in [{"kind": TEXT, "body": large}, {"kind": 0, "body": b"x"}, {"kind": TEXT, "body": b"\xff"}]:
        answer, failed = alice.ask("publish", ch=channel, **fields)
        assert (answer, failed["code"]) == ("failed", 4)


def test_joining_too_often_fails_and_says_when_to_come_back(client: Make, channel: str) -> None:
    (alice,) = members(client, channel, 1)
    burst = SERVER_RATE_BURST * JOIN_SAME_CHANNEL_RATE.count
    tag, joined = "joined", 1
    while tag == "joined" and joined < 10 * burst:  # a slow machine gives the bucket time
        alice.ask("leave", ch=channel)
        tag, failed = alice.ask("join", ch=channel)
        joined += tag == "joined"
    assert joined >= burst
    assert (tag, failed["code"]) == ("failed", 8)
    assert 0 < failed["retry"] <= 5000


def test_unknown_fields_and_packets_change_nothing_and_unknown_requests_fail(
    client: Make, channel: str
) -> None:
    (alice,) = members(client, channel, 1)
    alice.send("something_new", text="hello")
    tag, failed = alice.ask("something_else", text="hello")
    assert (tag, failed["code"]) == ("failed", 1)
    assert alice.ask("publish", ch=channel, kind=TEXT, body=b"x", colour="red")[0] == "published"


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("iid", "short", 4010),
        ("iid", "x" * 33, 4010),
        ("attempt", -1, 4010),
        ("token", 7, 4010),
        ("channels", [{"ch": "x", "id": 1, "version": 1}] * 2, 4010),
        (
            "channels",
            [{"ch": str(number), "id": 1, "version": 1} for number in range(CHANNELS_JOINED_MAX + 1)],
            4011,
        ),
        ("kind", "call", 4012),
    ],
)
def test_a_hello_of_a_wrong_shape_closes_with_its_code(
    client: Make, field: str, value: object, code: int
) -> None:
    alice = client()
    alice.open()
    alice.hello(**{field: value})
    assert alice.closed_with() == code


@pytest.mark.parametrize(
    "packets",
    [
        "no array",
        [["beat"]],
        [["beat", {}, {}]],
        [["ack", {}]],
        [["ack", {"id": -1}]],
        [["ack", {"id": 1.5}]],
        [["ack", {"id": "1"}]],
        [["ack", {"id": None}]],
        [["beat", {}]] * 65,
        [["hello", {"app": "x"}]],
    ],
    ids=str,
)
def test_malformed_packets_close_with_4010(client: Make, packets: object) -> None:
    alice = client()
    alice.login()
    text = isinstance(alice.encoding, JsonEncoding)
    alice.send_message(json.dumps(packets) if text else msgspec.msgpack.encode(packets))
    assert alice.closed_with() == 4010


def test_a_request_before_the_hello_closes_with_4010(client: Make) -> None:
    alice = client()
    alice.open()
    alice.send("join", i=1, ch="x")
    assert alice.closed_with() == 4010


def test_the_wrong_kind_of_message_closes_with_1003(client: Make) -> None:
    alice = client()
    alice.login()
    alice.send_message(b"[]" if isinstance(alice.encoding, JsonEncoding) else "[]")
    assert alice.closed_with() == 1003


def test_a_message_that_is_too_large_closes_with_1009(client: Make) -> None:
    alice = client()
    alice.login()
    spaces = " " * (alice.welcome["limits"]["frame"] + 1)
    alice.send_message(spaces if isinstance(alice.encoding, JsonEncoding) else spaces.encode())
    assert alice.closed_with() == 1009


@pytest.mark.slow
def test_a_connection_without_hello_is_closed_with_4007(client: Make) -> None:
    alice = client()
    alice.open()
    assert alice.closed_with() == 4007


# --- HTTP -------------------------------------------------------------------------------------------------------


def refusal(url: str, **settings: object) -> int:
    with pytest.raises(InvalidStatus) as caught:
        connect(url, open_timeout=WAIT, **settings)  # type: ignore[arg-type]
    return caught.value.response.status_code


def test_upgrades_that_are_refused(server: RunningServer) -> None:
    assert refusal(f"{server.url}/elsewhere", subprotocols=["rtm.v1.json"]) == 404
    assert refusal(server.url + PATH, subprotocols=["rtm.v9.json"]) == 400
    assert refusal(server.url + PATH) == 400
    assert refusal(server.url + PATH, subprotocols=["rtm.v1.json"], origin="https://evil.example") == 403


def test_msgpack_is_preferred_and_no_extension_is_agreed_on(server: RunningServer) -> None:
    with connect(server.url + PATH, subprotocols=["rtm.v1.json", "rtm.v1.msgpack"], open_timeout=WAIT) as ws:
        assert ws.subprotocol == "rtm.v1.msgpack"
        assert ws.protocol.extensions == []


def test_health(server: RunningServer) -> None:
    base = server.url.replace("ws://", "http://")
    for path in ("/healthz", "/readyz"):
        with urllib.request.urlopen(base + path, timeout=WAIT) as answer:
            assert answer.status == 200
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(base + PATH, timeout=WAIT)
    assert caught.value.code == 426
    caught.value.close()
