"""A publisher that asks for events and the history and puts people out, against real servers and clients."""

import logging
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import rtmsync
from rtmcore.codes import JoinChannelError, LeaveChannelError, LeaveChannelReason
from rtmcore.limits import EVENT_FEED_RATE, SERVER_RATE_BURST
from rtmsync.driver.clock import Deadline
from rtmsync.publisher import Publisher, PublishStatus
from rtmsync.server.config import DEV_APP_ID
from rtmsync.server.server import Server
from tests.sync.test_publisher import config, publisher_of


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(config()) as server:
        yield server


@pytest.fixture
def publisher(server: Server) -> Iterator[Publisher]:
    with publisher_of(server.url) as publisher:
        yield publisher


def client_of(server: Server, user: str) -> rtmsync.Client:
    return rtmsync.connect(server.url, app_id=DEV_APP_ID, user_id=user, timeouts={"login": 30, "join": 30})


def visit(server: Server, user: str) -> None:
    """Log in and out."""
    client_of(server, user).close()
    wait_until_gone(server, user)


def wait_until_gone(server: Server, user: str) -> None:
    """Let the server hear the goodbye of a client, who waits a second for it at most."""
    deadline = Deadline(60)
    with publisher_of(server.url) as asking:
        while asking.send_peer(user, "x", sender="s") is not PublishStatus.PEER_UNREACHABLE:
            assert deadline.remaining(), f"{user} is still there"
            time.sleep(0.01)


# --- Events -----------------------------------------------------------------------


def test_who_comes_and_goes_is_handed_out_once(server: Server, publisher: Publisher) -> None:
    with client_of(server, "alice") as alice, client_of(server, "bob") as bob:
        for client in (alice, bob):
            client.channel("room").join()
        bob.channel("room").leave()
    for user in ("bob", "alice"):
        wait_until_gone(server, user)
    batch = publisher.user_events()
    assert [(event.user, event.online) for event in batch.events] == [
        ("alice", True),
        ("bob", True),
        ("bob", False),
        ("alice", False),
    ]
    assert (batch.lost, batch.left) == (0, 0)
    times = [event.server_time for event in batch.events]
    assert times == sorted(times)
    changes = publisher.channel_events()
    assert [(event.channel, event.user, event.joined) for event in changes.events] == [
        ("room", "alice", True),
        ("room", "bob", True),
        ("room", "bob", False),
        ("room", "alice", False),
    ]
    assert changes.epoch == batch.epoch
    assert publisher.user_events().events == publisher.channel_events().events == ()


def whole_message(sock: socket.socket) -> bytes:
    """The next request or answer, in however many pieces it comes; nothing where the connection has ended."""
    data, size = b"", -1
    while size < 0 or len(data) < size:
        piece = sock.recv(65536)
        if not piece:
            return b""
        data += piece
        head, end, _ = data.partition(b"\r\n\r\n")
        if end:
            length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
            size = len(head + end) + (int(length[1]) if length else 0)
    return data


class Eater(threading.Thread):
    """Stands before a server, and eats answers as long as it is told to."""

    def __init__(self, server: Server) -> None:
        super().__init__(daemon=True)
        self.target = ("127.0.0.1", server.port)
        self.hungry = True
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"ws://127.0.0.1:{self.listener.getsockname()[1]}"
        self.eaten: list[bytes] = []

    def run(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            with client, socket.create_connection(self.target) as server:
                while request := whole_message(client):
                    server.sendall(request)
                    answer = whole_message(server)
                    if self.hungry:
                        self.eaten.append(answer)
                        break
                    client.sendall(answer)

    def __enter__(self) -> "Eater":
        self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.join(30)


def test_events_whose_answer_was_lost_come_with_the_next_call(server: Server) -> None:
    visit(server, "alice")
    with Eater(server) as eater, publisher_of(eater.url) as publisher:
        for _ in range(2):
            with pytest.raises(rtmsync.ConnectionFailed):
                publisher.user_events()
        assert len(eater.eaten) == 2
        assert b"Login" in eater.eaten[0]
        visit(server, "bob")
        eater.hungry = False
        assert [event.user for event in publisher.user_events().events] == ["alice", "alice"]
        assert [event.user for event in publisher.user_events().events] == ["bob", "bob"]


def test_a_key_of_ones_own_has_the_same_events(server: Server, publisher: Publisher) -> None:
    visit(server, "alice")
    first = publisher.user_events(idempotency_key="k")
    assert len(first.events) == 2
    with publisher_of(server.url) as other:
        assert other.user_events(idempotency_key="k") == first
        assert other.user_events().events == ()


def test_feeds_are_recorded_as_long_as_there_is_a_key(server: Server, publisher: Publisher) -> None:
    visit(server, "alice")
    port = server.config.port
    server.reload(config(port=port, server_keys={}))
    with pytest.raises(rtmsync.InvalidAppId):
        publisher.user_events()
    client_of(server, "bob").close()
    server.reload(config(port=port))
    visit(server, "cy")
    assert [event.user for event in publisher.user_events().events] == ["cy", "cy"]


def test_the_rate_of_a_feed_is_an_error_with_a_time(publisher: Publisher) -> None:
    def ask() -> None:
        for _ in range(5 * EVENT_FEED_RATE.count * SERVER_RATE_BURST):
            publisher.user_events()

    with pytest.raises(rtmsync.RateLimited) as caught:
        ask()
    assert caught.value.retry_after is not None
    assert 0 < caught.value.retry_after <= EVENT_FEED_RATE.seconds


# --- The history ------------------------------------------------------------------


def test_the_history_is_open_to_publishers(server: Server, publisher: Publisher) -> None:
    publisher.send_peer("bob", "to bob", sender="alice", history=True, offline=True)
    publisher.publish("room", "to all \u2603", sender="alice", history=True)
    publisher.publish("room", "not kept", sender="alice")
    page = publisher.history(source="alice", ascending=True)
    first, second = page.messages
    assert page.count == publisher.history_count(source="alice") == 2
    assert (first.source, first.destination, first.channel, first.text) == ("alice", "bob", False, "to bob")
    assert (second.destination, second.channel, second.text) == ("room", True, "to all \u2603")
    assert first.server_time <= second.server_time
    assert publisher.history(channel="room").messages == (second,)
    assert publisher.history(destination="bob").messages == (first,)
    assert publisher.history(source="alice", offset=1).messages == (first,)
    assert publisher.history_count(source="alice", start=second.server_time + 1) == 0
    assert publisher.history_count(source="alice", end=first.server_time) == 0


@pytest.mark.parametrize(
    "question",
    [
        {},
        {"source": ""},
        {"destination": "a", "channel": "b"},
        {"source": "a", "limit": 21},
        {"source": "a", "offset": -1},
        {"source": "a", "start": 5.0, "end": 4.0},
        {"source": "\ud800"},
    ],
)
def test_a_question_that_makes_no_sense_is_refused(publisher: Publisher, question: dict[str, Any]) -> None:
    with pytest.raises(rtmsync.InvalidArgument) as caught:
        publisher.history(**question)
    assert caught.value.code is rtmsync.QueryPeersOnlineError.INVALID_ARGUMENT
    assert caught.value.operation == "history"


# --- Putting out ------------------------------------------------------------------


def test_a_kicked_user_is_aborted_and_may_log_in_again(server: Server, publisher: Publisher) -> None:
    assert publisher.kick("alice") is False
    with client_of(server, "alice") as alice:
        states = alice.events(rtmsync.StateChanged)
        assert publisher.kick("alice", "be nice") is True
        change = states.get(timeout=30)
        assert change.state is rtmsync.ConnectionState.ABORTED
        assert change.reason is rtmsync.ConnectionChangeReason.BANNED_BY_SERVER
        assert publisher.kick("alice") is False
        alice.logout()
        alice.login()
        assert alice.state is rtmsync.ConnectionState.CONNECTED


@pytest.mark.produces(LeaveChannelError.KICKED)
def test_a_member_who_is_taken_out_loses_the_channel(server: Server, publisher: Publisher) -> None:
    with client_of(server, "alice") as alice, client_of(server, "bob") as bob:
        room = alice.channel("room")
        room.join()
        bob.channel("room").join()
        lost, left = alice.events(rtmsync.ChannelLost), bob.events(rtmsync.MemberLeft)
        assert publisher.kick_member("room", "alice", "off topic") is True
        event = lost.get(timeout=30)
        assert (event.channel, event.code, event.reason) == (
            "room",
            JoinChannelError.REJECTED,
            LeaveChannelReason.KICKED,
        )
        assert event.text.endswith(": off topic")
        assert left.get(timeout=30).user == "alice"
        assert publisher.kick_member("room", "alice") is False
        with pytest.raises(rtmsync.NotInChannel) as caught:
            room.leave()
        assert caught.value.code is LeaveChannelError.KICKED
        assert publisher.member_counts(["room"]) == {"room": 1}
        room.join()
        assert alice.state is rtmsync.ConnectionState.CONNECTED


@pytest.mark.parametrize(
    "call",
    [
        lambda one: one.kick("a" * 65),
        lambda one: one.kick("a", "x" * 501),
        lambda one: one.kick_member("", "a"),
        lambda one: one.kick_member("room", "a" * 65),
        lambda one: one.kick("\ud800"),
        lambda one: one.member_counts(["\ud800"]),
        lambda one: one.ban("a", idempotency_key="two words"),
        lambda one: one.user_events(idempotency_key=""),
    ],
)
def test_what_cannot_be_is_refused(publisher: Publisher, call: Callable[[Publisher], object]) -> None:
    with pytest.raises(rtmsync.InvalidArgument):
        call(publisher)


def test_a_repeat_puts_out_once(server: Server, publisher: Publisher) -> None:
    visit(server, "alice")
    with client_of(server, "alice") as alice:
        room = alice.channel("room")
        room.join()
        lost = alice.events(rtmsync.ChannelLost)
        assert publisher.kick_member("room", "alice", idempotency_key="k")
        lost.get(timeout=30)
        room.join()
        assert publisher.kick_member("room", "alice", idempotency_key="k")
        assert publisher.member_counts("room") == {"room": 1}
        publisher.ban("mallory", idempotency_key="k")
        publisher.unban("mallory", idempotency_key="k")
        publisher.ban("mallory", idempotency_key="k")
        client_of(server, "mallory").close()


def test_a_server_that_starts_again_begins_with_empty_feeds(tmp_path: Path) -> None:
    with Server(config(data_dir=tmp_path)) as first:
        port = first.port
        publisher = publisher_of(first.url)
        alice = client_of(first, "alice")
        alice.channel("room").join()
        epoch = publisher.user_events().epoch
    with publisher, Server(config(port=port, data_dir=tmp_path)) as second:
        visit(second, "bob")
        batch = publisher.user_events()
        assert batch.epoch != epoch
        assert "alice" not in [event.user for event in batch.events], "for the others she was never gone"
        deadline = Deadline(60)
        while not publisher.channel_events().events:
            assert deadline.remaining(), "her client does not join again"
            time.sleep(0.15)
        alice.close()
        wait_until_gone(second, "alice")
        (gone,) = publisher.user_events().events
        assert (gone.user, gone.online) == ("alice", False)


# --- Logs -------------------------------------------------------------------------


def test_the_log_says_who_was_put_out_and_whose_key_was_refused(
    server: Server, publisher: Publisher, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="rtmsync.server")
    publisher.ban("mallory", "a secret reason")
    publisher.unban("mallory")
    publisher.kick("mallory", "a secret reason")
    publisher.kick_member("shop-news", "mallory", "a secret reason")
    stranger = Publisher(server.url, app_id=DEV_APP_ID, server_key="another-key-than-that")
    with stranger, pytest.raises(rtmsync.NotAuthorized):
        stranger.kick("mallory")
    fields = [record.fields for record in caplog.records if hasattr(record, "fields")]
    who = {"app": DEV_APP_ID, "user": "mallory"}
    assert [each for each in fields if each.get("user") == "mallory"] == [
        {"event": "ban", **who},
        {"event": "unban", **who},
        {"event": "kick", **who},
        {"event": "kick of a member", **who, "channel": "shop-news"},
    ]
    (refused,) = [each for each in fields if each.get("event") == "server key refused"]
    assert (refused["app"], refused["address"]) == (DEV_APP_ID, "127.0.0.1")
    assert "secret" not in caplog.text
    assert "key-than-that" not in caplog.text
