"""What a type checker says about programs that use the client."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

PROGRAM = """
    import sys
    from collections.abc import Callable
    from pathlib import Path

    from typing_extensions import assert_type

    import rtmsync
    from rtmsync import ChannelGap, ChannelMessage, Client, JoinResult, Lagged, MemberJoined, MessageIterator
    from rtmsync import ConnectionState, DataReceived, ParticipantReconnecting, PeerMessage, PeerOnlineState
    from rtmsync import ChannelAttribute, HistoryPage, PeerStatus
    from rtmsync import PresenceChanged, PublishResult, RemoteParticipant, Room, RoomMessage, RoomReconnecting
    from rtmsync import RoomState, RtcChannel, RtcConnectionState, RtcUserOffline, SendResult, StateChanged
    from rtmsync import FileMessage, ImageMessage, StreamMessage, Subscription, Transfer

    def mint(user: str, reason: str) -> str:
        return "token"

    def program() -> None:
        with rtmsync.connect("ws://localhost", app_id="a", user_id="u", token=mint, proxy=None) as client:
            assert_type(client, Client)
            assert_type(client.send_peer("bob", "hi"), SendResult)
            assert_type(client.send_peer_future("bob", b"hi").result(), SendResult)
            assert_type(client.events(PeerMessage).get(timeout=5), PeerMessage | Lagged)
            assert_type(client.events(PeerMessage, ChannelMessage), Subscription[PeerMessage | ChannelMessage])
            for event in client.events(MemberJoined):
                assert_type(event, MemberJoined | Lagged)
            with client.channel("ops") as ops:
                assert_type(ops.join(timeout=rtmsync.Deadline(5)), JoinResult)
                for message in ops.messages(idle_timeout=30):
                    assert_type(message, ChannelMessage)
                assert_type(ops.messages(gaps=True), MessageIterator[ChannelMessage | ChannelGap | Lagged])

            @client.on(PeerMessage)
            def answer(message: PeerMessage) -> int:
                return message.id

            unchanged: Callable[[PeerMessage], int] = answer
            undo = client.on(StateChanged, lambda change: print(change.reason.name, unchanged))
            assert_type(undo, Callable[[], None])
            client.on_error(lambda failure: print(failure.callback))
            assert_type(client.presence, dict[str, PeerOnlineState])
            assert_type(client.get_attributes("bob"), dict[str, str])
            assert_type(client.get_attributes_future("bob").result(), dict[str, str])
            assert_type(client.query_presence(["bob"]), tuple[PeerStatus, ...])
            assert_type(client.send_peer("bob", b"hi", description="a picture", ttl=60), SendResult)
            assert_type(client.channel("ops").get_attributes(), dict[str, ChannelAttribute])
            assert_type(client.member_counts_future("ops").result(), dict[str, int])
            assert_type(client.history(source="bob", limit=50), HistoryPage)
            assert_type(client.wait_until(ConnectionState.CONNECTED), ConnectionState)
            assert_type(client.upload_file("a.pdf"), Transfer[FileMessage])
            assert_type(client.upload_image(b"", thumbnail=True).result(), ImageMessage)
            assert_type(client.download("id").result(5), bytes)
            assert_type(client.download(FileMessage("id"), Path("a")).result(), Path)
            assert_type(client.download("id", "a", start=5, stop=9).result(), Path)
            assert_type(client.download("id", start=5).result(), bytes)
            for progress in client.download("id", sys.stdout.buffer):
                assert_type(progress.fraction, float)
            assert_type(client.send_peer("bob", ImageMessage("id")), SendResult)
            assert_type(client.channel("ops").send(FileMessage("id")), PublishResult)
            client.on(PresenceChanged, lambda change: print(change.states["bob"].name))

    def in_a_channel() -> None:
        with RtcChannel("ws://localhost", app_id="a", channel="c", uid="1", token=mint, proxy=None) as channel:
            assert_type(channel, RtcChannel)
            assert_type(channel.connection_state, RtcConnectionState)
            assert_type(channel.events(StreamMessage, RtcUserOffline), Subscription[StreamMessage | RtcUserOffline])
            channel.on(RtcUserOffline, lambda event: print(event.reason.name))
            channel.send_stream_message(b"frame")

    def in_a_room() -> None:
        with rtmsync.connect_room("ws://localhost", app_id="a", room="r", identity="i") as room:
            assert_type(room, Room)
            assert_type(room.state, RoomState)
            assert_type(room.participants, dict[str, RemoteParticipant])
            assert_type(room.send("hi"), PublishResult)
            room.on(RoomReconnecting, lambda event: print(event.error.code))
            for participant in room.participants.values():
                participant.on(ParticipantReconnecting, lambda event: print(event.identity))
                assert_type(participant.events(RoomMessage, DataReceived), Subscription[RoomMessage | DataReceived])
            room.data_track("position").send(b"1,2")
"""

WRONG = [
    ("client.on(PeerMessage, lambda: None)", "arg-type"),
    ("client.on(StateChanged)(takes_messages)", "arg-type"),
    ("client.send_peer('bob', 7)", "call-overload"),
    ("client.send_peer('bob', 'hi', description='a picture')", "call-overload"),
    ("client.send_peer('bob', 'hi').text", "attr-defined"),
    ("rtmsync.connect('ws://x', app_id='a', user_id='u', colour='red')", "call-arg"),
    ("rtmsync.connect_room('ws://x', app_id='a', room='r', identity='i', inbox_window=3)", "call-arg"),
    ("client.wait_until(rtmsync.RoomState.CONNECTED)", "arg-type"),
]


def check(tmp_path: Path, source: str) -> subprocess.CompletedProcess[str]:
    pytest.importorskip("mypy")
    path = tmp_path / "program.py"
    path.write_text(textwrap.dedent(source))
    root = Path(__file__).parents[2]
    return subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", str(path)],
        capture_output=True,
        text=True,
        cwd=root,
        timeout=500,
        check=False,
    )


@pytest.mark.timeout(600)  # without its cache, and besides other tests, it may take a minute and more
def test_the_type_of_an_event_follows_from_its_class(tmp_path: Path) -> None:
    done = check(tmp_path, PROGRAM)
    assert (done.stdout, done.returncode) == ("", 0)


@pytest.mark.timeout(600)
def test_wrong_calls_are_found(tmp_path: Path) -> None:
    lines = "".join(f"\n    {call}" for call, _ in WRONG)
    source = (
        "import rtmsync\nfrom rtmsync import Client, PeerMessage, StateChanged\n"
        "def takes_messages(message: PeerMessage) -> None: ...\n"
        f"def wrong(client: Client) -> None:{lines}\n"
    )
    done = check(tmp_path, source)
    errors = [line for line in done.stdout.splitlines() if ": error:" in line]
    for (call, kind), number in zip(WRONG, range(5, 5 + len(WRONG)), strict=True):
        assert any(f":{number}: error" in line and f"[{kind}]" in line for line in errors), (
            call,
            done.stdout,
        )
