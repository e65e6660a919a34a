"""Media connections over real sockets: frames arrive, and messages do not wait for them."""

import contextlib
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest
from websockets.sync.client import ClientConnection, connect

from rtmcore.limits import DATA_FRAMES_KEPT, MESSAGE_BYTES
from rtmsync.server.server import Server

Fields = dict[str, Any]
WAIT = 30.0


class Speaker:
    """One WebSocket connection that says packets and hears them."""

    def __init__(self, server: Server, stack: contextlib.ExitStack) -> None:
        self.app = server.config.apps[0].app
        self.connection: ClientConnection = stack.enter_context(
            connect(f"{server.url}/rtm/v1", subprotocols=["rtm.v1.msgpack"], proxy=None, max_size=None)  # type: ignore[list-item]
        )
        self.heard: list[tuple[str, Fields]] = []
        self.waiting: deque[tuple[str, Fields]] = deque()

    def say(self, tag: str, **fields: Any) -> None:
        self.connection.send(msgspec.msgpack.encode([(tag, fields)]))

    def expect(self, tag: str, **wanted: Any) -> Fields:
        end = time.monotonic() + WAIT
        while True:
            while self.waiting:
                heard, fields = self.waiting.popleft()
                self.heard.append((heard, fields))
                if heard == tag and all(fields.get(name) == value for name, value in wanted.items()):
                    return fields
            message = self.connection.recv(timeout=end - time.monotonic())
            self.waiting.extend(msgspec.msgpack.decode(message))


@pytest.fixture
def participant(serve: Callable[..., Server]) -> Iterator[Callable[[str], tuple[Speaker, Speaker]]]:
    """Makes participants of a room, each with signaling and a media connection."""
    server = serve(rate_limits=False)
    with contextlib.ExitStack() as stack:

        def make(user: str) -> tuple[Speaker, Speaker]:
            signaling, media = Speaker(server, stack), Speaker(server, stack)
            place = {"app": server.config.apps[0].app, "user": user, "scope": "lobby"}
            signaling.say("hello", **place, kind="room", iid=user.ljust(16, "-"), attempt=1, login=True)
            welcome = signaling.expect("welcome")
            signaling.expect("ready")
            media.say("media", **place, fence=welcome["fence"], secret=welcome["media"], attempt=1)
            assert media.expect("media_welcome")["beat"] == 1000
            return signaling, media

        yield make


def test_frames_go_over_media_and_messages_over_signaling(participant: Callable[..., Any]) -> None:
    (alice, hers), (bob, his) = participant("alice"), participant("bob")
    for n in range(200):
        hers.say("data", n=n, track="cursor", body=b"x" * 100)
    assert [his.expect("frame")["n"] for _ in range(200)] == list(range(200))
    alice.say("publish", i=1, ch="lobby", kind=2, body=b"hello")
    assert bob.expect("channel")["body"] == b"hello"
    assert not [tag for tag, _ in bob.heard if tag == "frame"]


def test_a_reader_that_stops_gets_the_newest_and_loses_no_message(participant: Callable[..., Any]) -> None:
    (alice, hers), (bob, his) = participant("alice"), participant("bob")
    body = bytes(MESSAGE_BYTES)
    last = 1500
    for n in range(last + 1):
        hers.say("data", n=n, track="video", body=body)
    for i in range(1, 21):
        alice.say("publish", i=i, ch="lobby", kind=2, body=b"%d" % i)
    assert [bob.expect("channel")["body"] for _ in range(20)] == [b"%d" % i for i in range(1, 21)]
    his.expect("frame", n=last)
    numbers = [fields["n"] for tag, fields in his.heard if tag == "frame"]
    assert numbers == sorted(set(numbers))
    assert numbers[-DATA_FRAMES_KEPT:] == list(range(last - DATA_FRAMES_KEPT + 1, last + 1))
