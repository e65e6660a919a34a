"""`rtm presence`, `members`, `attrs` and `history` against a real server."""

import json
from collections.abc import Iterator

import pytest

import rtmsync
from rtmsync import ChannelAttributesUpdated, PeerMessage
from rtmsync.exits import ExitCode
from rtmsync.server.config import DEV_APP_ID, ServerConfig
from rtmsync.server.server import Server
from rtmsync.server.tokens import AppKeys
from tests.cli.conftest import Rtm
from tests.cli.ends import PATIENCE


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    config = ServerConfig(apps=[AppKeys(DEV_APP_ID)], port=0, rate_limits=False)
    with Server(config) as server:
        yield server.url


@pytest.fixture(autouse=True)
def one_name_per_test(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("RTM_USER_ID", "asker")
    monkeypatch.setenv("RTM_URL", url)


def connect(url: str, user: str) -> rtmsync.Client:
    return rtmsync.connect(url, app_id=DEV_APP_ID, user_id=user, proxy=None, rate_limits=False)


def rows(out: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in out.splitlines()]


# --- presence -----------------------------------------------------------------------


def test_who_is_online(rtm: Rtm, url: str) -> None:
    with connect(url, "here"):
        outcome = rtm("presence", "gone", "here")
        told = rtm("presence", "--json", "here")
    assert (outcome.status, outcome.out) == (0, "gone OFFLINE\nhere ONLINE\n")
    assert rows(told.out) == [{"user": "here", "online": True, "state": "ONLINE"}]


def test_users_that_cannot_be_asked_for(rtm: Rtm) -> None:
    assert rtm("presence").status == ExitCode.USAGE
    assert rtm("presence", *(f"u-{number}" for number in range(257))).status == ExitCode.USAGE
    assert rtm("presence", "a*b").status == ExitCode.USAGE


# --- members ------------------------------------------------------------------------


def test_how_many_members_and_who(rtm: Rtm, url: str) -> None:
    with connect(url, "one") as one, connect(url, "two") as two, one.channel("hall"), two.channel("hall"):
        counted = rtm("members", "hall", "empty")
        named = rtm("members", "--names", "hall")
        told = rtm("members", "--names", "--json", "hall")
    assert (counted.status, counted.out) == (0, "hall 2\nempty 0\n")
    assert named.out == "hall 2\n  one\n  two\n"
    assert rows(told.out) == [{"channel": "hall", "count": 2, "members": ["one", "two"]}]


def test_channels_that_cannot_be_counted(rtm: Rtm) -> None:
    assert rtm("members").status == ExitCode.USAGE
    assert rtm("members", *(f"c-{number}" for number in range(33))).status == ExitCode.USAGE
    assert rtm("members", "--names", *(f"c-{number}" for number in range(21))).status == 0


# --- attrs --------------------------------------------------------------------------


def test_attributes_of_a_channel_are_changed_and_read(rtm: Rtm) -> None:
    changed = rtm("attrs", "desk", "--set", "topic=tea = good", "--set", "mood=fine", "--json")
    assert changed.status == 0
    assert [(row["key"], row["value"], row["writer"]) for row in rows(changed.out)] == [
        ("topic", "tea = good", "asker"),
        ("mood", "fine", "asker"),
    ]
    read = rtm("attrs", "desk", "topic")
    assert read.out.startswith("topic=tea = good  (asker, ")
    both = rtm("attrs", "desk", "--delete", "mood", "--set", "topic=coffee", "--json")
    assert [(row["key"], row["value"]) for row in rows(both.out)] == [("topic", "coffee")]
    assert rtm("attrs", "desk", "--clear").out == ""


def test_members_are_told_of_a_change_once(rtm: Rtm, url: str) -> None:
    with (
        connect(url, "member") as client,
        client.channel("told") as room,
        room.events(ChannelAttributesUpdated) as told,
    ):
        assert rtm("attrs", "told", "--set", "a=1", "--set", "b=2").status == 0
        assert rtm("attrs", "told", "--delete", "a", "--set", "b=3", "--notify").status == 0
        event = told.get(timeout=PATIENCE)
        assert isinstance(event, ChannelAttributesUpdated)
        assert {key: each.value for key, each in event.attributes.items()} == {"b": "3"}
        assert len(told) == 0


def test_attributes_of_a_user_are_read(rtm: Rtm, url: str) -> None:
    with connect(url, "proud") as client:
        client.set_attributes({"mood": "fine", "place": "here"})
        outcome = rtm("attrs", "--peer", "proud", "mood")
        told = rtm("attrs", "--peer", "proud", "mood", "--json")
    assert (outcome.status, outcome.out) == (0, "mood=fine\n")
    assert rows(told.out) == [{"user": "proud", "key": "mood", "value": "fine"}]
    assert rtm("attrs", "--peer", "nobody").status == ExitCode.FAILURE


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--peer", "bob", "--set", "a=b"),
        ("desk", "--notify"),
        ("desk", "--clear", "--delete", "a"),
        ("desk", "--set", "a"),
        ("desk", "--set", "a=b", "--delete", "a"),
        ("desk", "--set", "a="),
    ],
)
def test_changes_that_make_no_sense(rtm: Rtm, arguments: tuple[str, ...]) -> None:
    assert rtm("attrs", *arguments).status == ExitCode.USAGE


# --- history ------------------------------------------------------------------------


def test_what_is_stored_is_listed_and_not_taken(rtm: Rtm, url: str) -> None:
    with connect(url, "writer") as client:
        for text in ("one", "two", "three"):
            client.send_peer("asker", text, offline=True)
        client.send_peer("asker", b"\x00\x01", description="two bytes", offline=True)
    listed = rtm("history", "--stored")
    assert [line.partition(" ")[2] for line in listed.out.splitlines()] == [
        "writer to asker: one",
        "writer to asker: two",
        "writer to asker: three",
        "writer to asker: <2 bytes>",
    ]
    assert rtm("history", "--stored", "--count").out == "4\n"
    told = rows(rtm("history", "--stored", "--json", "--limit", "1").out)
    assert [(row["source"], row["text"]) for row in told] == [("writer", "one")]
    with connect(url, "asker") as client, client.events(PeerMessage) as inbox:
        taken = [inbox.get(timeout=PATIENCE) for _ in range(4)]
    assert [message.text for message in taken[:3] if isinstance(message, PeerMessage)] == [
        "one",
        "two",
        "three",
    ]


def test_the_history_is_printed_counted_and_read_page_by_page(rtm: Rtm, url: str) -> None:
    with connect(url, "asker") as client, client.channel("minutes") as room:
        for number in range(23):
            room.send(f"item {number}", history=True)
        client.on(PeerMessage, lambda message: None)
        client.send_peer("asker", "to myself", history=True)
    outcome = rtm("history", "--oldest-first", "--limit", "22", "minutes")
    assert outcome.status == 0
    assert [line.partition(" ")[2] for line in outcome.out.splitlines()] == [
        f"asker to minutes: item {number}" for number in range(22)
    ]
    assert rtm("history", "--count", "minutes").out == "23\n"
    assert rows(rtm("history", "--count", "--json").out) == [{"count": 24}]
    (own,) = rows(rtm("history", "--peer", "asker", "--json").out)
    assert (own["source"], own["destination"], own["text"]) == ("asker", "asker", "to myself")
    assert rtm("history", "--until", "2020-01-01T00:00Z", "--count").out == "0\n"
    assert rtm("history", "--source", "somebody").status == ExitCode.AUTH


@pytest.mark.parametrize(
    "arguments",
    [
        ("--peer", "bob", "room"),
        ("--since", "yesterday"),
        ("--stored", "room"),
        ("--limit", "0"),
        ("--source", "a*b"),
        ("--since", "2026-05-04", "--until", "2026-05-03"),
    ],
)
def test_questions_that_make_no_sense(rtm: Rtm, arguments: tuple[str, ...]) -> None:
    assert rtm("history", *arguments).status == ExitCode.USAGE
