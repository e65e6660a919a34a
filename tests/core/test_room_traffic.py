"""What is told and sent in a room, on wires in memory: participants, messages, data frames."""

from typing import Any

import pytest

from rtmcore.client.events import (
    DataReceived,
    ParticipantConnected,
    ParticipantDisconnected,
    ParticipantReconnected,
    ParticipantReconnecting,
    RoomGap,
    RoomMessage,
)
from rtmcore.codes import (
    MessageType,
    ParticipantState,
    PeerOnlineState,
    RoomErrorCode,
)
from rtmcore.errors import (
    ConnectionFailed,
    InvalidArgument,
    LimitExceeded,
    RequestTimeout,
)
from rtmcore.limits import DATA_TRACKS, MESSAGE_BYTES, TRACK_NAME_BYTES
from rtmcore.models import PublishResult
from rtmcore.wire.packets import (
    ChannelEntry,
    Data,
    DataEntry,
    Hello,
    MemberChanged,
    MemberState,
    Ready,
    Restored,
    Roster,
    Top,
)
from tests.core.rooms import ROOM, RoomBench, bench_in_room
from tests.core.wires import Connection, welcome

# --- Participants ----------------------------------------------------------------------------------------------


def test_participants_come_and_go() -> None:
    bench = bench_in_room()
    bench.signaling.send(MemberChanged(ROOM, "cy", True, 2, 3))
    bench.signaling.send(MemberState(ROOM, "cy", PeerOnlineState.UNREACHABLE))
    bench.turn()
    assert bench.core.participants == {
        "bob": ParticipantState.CONNECTED,
        "cy": ParticipantState.RECONNECTING,
    }
    bench.signaling.send(MemberState(ROOM, "cy", PeerOnlineState.ONLINE))
    bench.signaling.send(MemberState(ROOM, "cy", PeerOnlineState.ONLINE))
    bench.signaling.send(MemberChanged(ROOM, "cy", False, 3, 2))
    bench.signaling.send(MemberState(ROOM, "stranger", PeerOnlineState.UNREACHABLE))
    bench.turn()
    assert bench.core.participants == {"bob": ParticipantState.CONNECTED}
    assert bench.events == [
        ParticipantConnected("cy"),
        ParticipantReconnecting("cy"),
        ParticipantReconnected("cy"),
        ParticipantDisconnected("cy"),
    ]


def test_what_happened_to_them_meanwhile_is_told_on_the_return() -> None:
    bench = RoomBench()
    bench.server.users = ["ann", "bob", "cy", "dee"]
    bench.server.away = ["dee"]
    bench.online()
    bench.server.users = ["ann", "bob", "dee", "eve"]
    bench.server.away = ["bob", "eve"]
    bench.server.version = 5
    bench.reset(bench.signaling)
    bench.run(1)
    assert bench.core.participants == {
        "bob": ParticipantState.RECONNECTING,
        "dee": ParticipantState.CONNECTED,
        "eve": ParticipantState.RECONNECTING,
    }
    assert set(bench.events) == {
        ParticipantDisconnected("cy"),
        ParticipantReconnecting("bob"),
        ParticipantReconnected("dee"),
        ParticipantConnected("eve"),
        ParticipantReconnecting("eve"),
    }
    assert bench.events.index(ParticipantConnected("eve")) < bench.events.index(
        ParticipantReconnecting("eve")
    )


def test_one_whom_the_server_had_forgotten_is_back_without_being_announced() -> None:
    bench = bench_in_room()
    bench.signaling.send(MemberState(ROOM, "bob", PeerOnlineState.UNREACHABLE))
    bench.turn()
    bench.server.figures["epoch"] = "e2"
    bench.server.users = ["ann"]
    bench.server.version = 1
    bench.reset(bench.signaling)
    bench.run(2)
    bench.signaling.send(MemberChanged(ROOM, "bob", True, 2, 2))
    bench.turn()
    assert bench.events == [ParticipantReconnecting("bob"), ParticipantReconnected("bob")]
    assert bench.core.participants == {"bob": ParticipantState.CONNECTED}


# --- Messages and frames ---------------------------------------------------------------------------------------


def test_messages_and_gaps() -> None:
    bench = bench_in_room()
    bench.signaling.send(ChannelEntry(ROOM, 501, 500, "bob", "iid-of-bob", 1, 1, b"hello"))
    bench.turn()
    assert bench.events == [RoomMessage("bob", MessageType.TEXT, b"hello", 501)]
    assert bench.events[0].text == "hello"
    bench.server.position = 540

    def behind(connection: Connection, hello: Hello) -> None:
        assert [(place.ch, place.id) for place in hello.channels] == [(ROOM, 501)]
        connection.send(welcome(fence=1, resumed=True, media="media-1"))
        connection.send(Roster(ROOM, 1, 2, ["ann", "bob"]), Restored(ROOM), Ready())
        connection.send(Top(540, 7, ROOM), Top(0, 0))

    bench.server.on_hello = behind
    bench.reset(bench.signaling)
    bench.run(1)
    assert bench.of(RoomGap) == [RoomGap(7)]


def test_messages_wait_out_a_reconnect() -> None:
    bench = bench_in_room()
    bench.lose_signaling()
    bench.run(6)
    ticket = bench.core.send(MessageType.RAW, b"later", timeout=20, now=bench.now)
    bench.run(2)
    assert not ticket.done
    bench.heal()
    bench.run(8)
    assert ticket.value == PublishResult(501)


def test_a_message_without_an_answer_times_out() -> None:
    bench = bench_in_room()
    bench.lose_signaling()
    ticket = bench.core.send(MessageType.TEXT, b"lost", timeout=5, now=bench.now)
    bench.run(6)
    assert isinstance(ticket.error, RequestTimeout)
    assert ticket.error.outcome_unknown


def test_a_message_that_has_not_left_can_be_withdrawn() -> None:
    bench = bench_in_room()
    bench.lose_signaling()
    bench.run(6)
    ticket = bench.core.send(MessageType.TEXT, b"never mind", timeout=60, now=bench.now)
    assert bench.core.cancel(ticket, bench.now)
    assert not bench.core.cancel(ticket, bench.now)


def test_frames_are_numbered_by_track_and_gaps_are_counted() -> None:
    bench = bench_in_room()
    for track in ("a", "a", "b", "a"):
        bench.core.send_data(track, track.encode(), bench.now)
    bench.turn()
    assert [(frame.track, frame.n) for frame in bench.media.got(Data)] == [
        ("a", 1),
        ("a", 2),
        ("b", 1),
        ("a", 3),
    ]
    bench.media.send(DataEntry("bob", 1, b"x", "a"), DataEntry("bob", 5, b"y", "a"))
    bench.turn()
    assert [(frame.n, frame.dropped) for frame in bench.of(DataReceived)] == [(1, 0), (5, 3)]


def test_frames_do_not_wait_for_media() -> None:
    bench = RoomBench()
    bench.server.answer_media = False
    bench.enter()
    with pytest.raises(ConnectionFailed, match="checking") as caught:
        bench.core.send_data("t", b"early", bench.now)
    assert caught.value.code is RoomErrorCode.MEDIA_CONNECTION
    assert caught.value.hint
    late = bench_in_room()
    late.lose_media()
    late.run(4)
    with pytest.raises(ConnectionFailed, match="failed"):
        late.core.send_data("t", b"lost", late.now)
    late.heal()
    late.run(8)
    late.core.send_data("t", b"now", late.now)
    late.turn()
    assert [frame.body for frame in late.media.got(Data)] == [b"now"]


@pytest.mark.parametrize(
    ("track", "body", "code"),
    [
        ("", b"x", RoomErrorCode.TRACK_NAME_INVALID),
        (7, b"x", RoomErrorCode.TRACK_NAME_INVALID),
        ("t" * (TRACK_NAME_BYTES + 1), b"x", RoomErrorCode.TRACK_NAME_TOO_LONG),
        ("a\nb", b"x", RoomErrorCode.TRACK_NAME_CHARS_INVALID),
        ("t", "text", RoomErrorCode.TRACK_INVALID),
        ("t", b"x" * (MESSAGE_BYTES + 1), RoomErrorCode.TRACK_INVALID),
    ],
)
def test_frames_that_cannot_be_sent(track: Any, body: Any, code: RoomErrorCode) -> None:
    bench = bench_in_room()
    with pytest.raises(InvalidArgument) as caught:
        bench.core.send_data(track, body, bench.now)
    assert caught.value.code is code
    bench.turn()
    assert bench.media.got(Data) == []


def test_tracks_are_limited() -> None:
    bench = bench_in_room()
    for number in range(DATA_TRACKS):
        bench.core.send_data(f"track {number}", b"x", bench.now)
    with pytest.raises(LimitExceeded) as caught:
        bench.core.send_data("one more", b"x", bench.now)
    assert caught.value.code is RoomErrorCode.PARTICIPANT_MAX_TRACKS_EXCEEDED
    bench.core.send_data("track 0", b"y", bench.now)
