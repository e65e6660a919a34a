"""RTC channels on a real server: joining, what others are told, stream messages, outages."""

import pickle
import subprocess
import threading

import pytest

import rtmsync
from rtmcore.limits import MESSAGE_BYTES, OUTBOUND_BYTES
from rtmsync import (
    RtcConnectionChangeReason,
    RtcConnectionState,
    RtcInterrupted,
    RtcJoined,
    RtcRejoined,
    RtcStateChanged,
    RtcUserJoined,
    RtcUserOffline,
    StreamMessage,
    UserOfflineReason,
)
from rtmsync.server.server import Server
from rtmsync.testing import FaultProxy
from tests.sync.conftest import Connect, MakeRtc
from tests.sync.programs import run_program
from tests.sync.test_messages import eventually


def test_joining_tells_both_sides(make_rtc: MakeRtc, name: str) -> None:
    one, two = make_rtc(name, "1"), make_rtc(name, "2")
    states: list[tuple[RtcConnectionState, RtcConnectionChangeReason]] = []
    one.on(RtcStateChanged, lambda change: states.append((change.state, change.reason)))
    with one.events(RtcJoined, RtcUserJoined) as told:
        assert one.connection_state is RtcConnectionState.DISCONNECTED
        assert one.join() is None
        assert one.connection_state is one.state is RtcConnectionState.CONNECTED
        joined = told.get()
        assert isinstance(joined, RtcJoined)
        assert (joined.channel, joined.uid) == (name, "1")
        assert two.join_future().result(30) is None
        assert told.get() == RtcUserJoined("2")
    assert one.users == ("2",)
    eventually(lambda: two.users == ("1",))
    eventually(lambda: len(states) == 2)
    assert states == [
        (RtcConnectionState.CONNECTING, RtcConnectionChangeReason.CONNECTING),
        (RtcConnectionState.CONNECTED, RtcConnectionChangeReason.JOIN_SUCCESS),
    ]
    assert one.connection.state is RtcConnectionState.CONNECTED
    assert one.peer_connection_state is rtmsync.PeerConnectionState.CONNECTED


def test_those_who_were_there_before_wait_for_the_first_subscription(make_rtc: MakeRtc, name: str) -> None:
    make_rtc(name, "1").join()
    two = make_rtc(name, "2")
    two.join()
    eventually(lambda: two.users == ("1",))
    assert two.events(RtcUserJoined).get() == RtcUserJoined("1")


def test_leaving_tells_the_others_at_once(make_rtc: MakeRtc, name: str) -> None:
    one, two = make_rtc(name, "1"), make_rtc(name, "2")
    one.join()
    two.join()
    with one.events(RtcUserOffline) as told:
        two.leave()
        assert told.get(timeout=30) == RtcUserOffline("2", UserOfflineReason.QUIT)
        assert two.state is RtcConnectionState.DISCONNECTED
        two.join()
        assert two.leave_future().result(30) is None
        assert told.get(timeout=30) == RtcUserOffline("2", UserOfflineReason.QUIT)
    with pytest.raises(rtmsync.NotLoggedIn):
        two.leave()


def test_stream_messages_come_in_order(make_rtc: MakeRtc, name: str) -> None:
    one, two = make_rtc(name, "1"), make_rtc(name, "2")
    one.join()
    two.join()
    eventually(lambda: one.users == ("2",))
    with two.events(StreamMessage) as frames:
        for number in range(30):
            one.send_stream_message(str(number))
        got = [frames.get() for _ in range(30)]
        assert [frame.body for frame in got if isinstance(frame, StreamMessage)] == [
            str(number).encode() for number in range(30)
        ]
        assert {frame.uid for frame in got if isinstance(frame, StreamMessage)} == {"1"}
        two.send_stream_message(b"\0raw")
        assert one.events(StreamMessage).get().body == b"\0raw"


def test_what_cannot_be_sent_is_refused(make_rtc: MakeRtc, name: str) -> None:
    one = make_rtc(name, "1")
    with pytest.raises(rtmsync.NotLoggedIn):
        one.send_stream_message(b"x")
    one.join()
    with pytest.raises(rtmsync.InvalidArgument):
        one.send_stream_message(b"x" * 32769)
    with pytest.raises(rtmsync.InvalidArgument):
        one.send_stream_message(7)  # type: ignore[arg-type]


def test_an_outage_is_an_interruption_and_a_rejoin(
    make_rtc: MakeRtc, proxy: FaultProxy, proxied: str, name: str
) -> None:
    one, two = make_rtc(name, "1", proxied), make_rtc(name, "2")
    one.join()
    two.join()
    with one.events(RtcStateChanged, RtcInterrupted, RtcRejoined) as told:
        proxy.blackhole()
        change = told.get()
        assert isinstance(change, RtcStateChanged)
        assert (change.state, change.reason) == (
            RtcConnectionState.RECONNECTING,
            RtcConnectionChangeReason.INTERRUPTED,
        )
        assert told.get() == RtcInterrupted()
        with pytest.raises(rtmsync.ConnectionFailed):
            one.send_stream_message(b"lost")
        assert one.peer_connection_state is rtmsync.PeerConnectionState.DISCONNECTED
        proxy.heal()
        change = told.get()
        assert isinstance(change, RtcStateChanged)
        assert change.state is RtcConnectionState.CONNECTED
        back = told.get()
        assert isinstance(back, RtcRejoined)
        assert back.elapsed > 3.9
    assert two.users == ("1",)
    assert [span.state for span in one.timeline.rows if span.lane.subject.value == "connection"] == [
        "CONNECTING",
        "CONNECTED",
        "RECONNECTING",
        "CONNECTED",
    ]


def test_a_failed_join_is_left_by_leave_only(make_rtc: MakeRtc, proxy: FaultProxy, proxied: str) -> None:
    proxy.refuse()
    one = make_rtc("failing", "1", proxied)
    with one.events(RtcStateChanged) as told:
        with pytest.raises(rtmsync.RequestTimeout):
            one.join(timeout=0.5)
        assert one.wait_until(RtcConnectionState.FAILED) is RtcConnectionState.FAILED
        with pytest.raises(rtmsync.AlreadyLoggedIn):
            one.join()
        with pytest.raises(rtmsync.Aborted):
            one.send_stream_message(b"x")
        proxy.refuse(on=False)
        one.leave()
        assert one.state is RtcConnectionState.DISCONNECTED
        one.join()
        states = [told.get().state for _ in range(5)]
    assert states == [
        RtcConnectionState.CONNECTING,
        RtcConnectionState.FAILED,
        RtcConnectionState.DISCONNECTED,
        RtcConnectionState.CONNECTING,
        RtcConnectionState.CONNECTED,
    ]


def test_the_same_uid_elsewhere_ends_the_older_one(make_rtc: MakeRtc, name: str) -> None:
    older, newer = make_rtc(name, "1"), make_rtc(name, "1")
    older.join()
    with older.events(RtcStateChanged) as told:
        newer.join()
        change = told.get()
        assert isinstance(change, RtcStateChanged)
        assert (change.state, change.reason) == (
            RtcConnectionState.FAILED,
            RtcConnectionChangeReason.SAME_UID_LOGIN,
        )
    assert newer.healthy()
    assert not older.healthy()


def test_uids_are_a_name_space_of_each_channel(make_rtc: MakeRtc, connect: Connect, name: str) -> None:
    client = connect(user="1")
    one, other = make_rtc(name, "1"), make_rtc(f"{name}-other", "1")
    one.join()
    other.join()
    client.channel(name).join()
    assert client.healthy()
    assert one.healthy()
    assert other.healthy()
    assert one.users == ()


def test_callbacks_may_block_and_be_taken_back(make_rtc: MakeRtc, name: str) -> None:
    one, two = make_rtc(name, "1"), make_rtc(name, "2")
    answered = threading.Event()
    one.join()

    @one.on(StreamMessage)
    def answer(message: StreamMessage) -> None:
        one.wait_until(RtcConnectionState.CONNECTED)
        one.send_stream_message(b"answer to " + message.body)

    stop = two.on(StreamMessage, lambda message: answered.set())
    two.join()
    two.send_stream_message(b"question")
    assert answered.wait(30)
    stop()
    answered.clear()
    with two.events(StreamMessage) as frames:
        two.send_stream_message(b"another")
        assert frames.get().body == b"answer to another"
    assert not answered.is_set()


def test_it_is_made_from_possible_settings(make_rtc: MakeRtc, name: str) -> None:
    one = make_rtc(name, "1", timeouts={"join": 3})
    assert repr(one).startswith("<RtcChannel '1' of ws://")
    assert pickle.loads(pickle.dumps(one.config)) == one.config
    with pytest.raises(TypeError, match="config"):
        pickle.dumps(one)
    for wrong in ({"uid": ""}, {"aggregate_rules": "?"}, {"timeouts": {"send_peer": 1}}, {"inbox_window": 3}):
        with pytest.raises(rtmsync.InvalidArgument):
            make_rtc(**{"channel": name, "uid": "1", **wrong})
    with pytest.raises(rtmsync.InvalidArgument):
        one.on(rtmsync.PeerMessage, print)


def test_an_impossible_channel_name_is_told_by_its_reason(make_rtc: MakeRtc) -> None:
    one = make_rtc("a\n", "1")
    with pytest.raises(rtmsync.InvalidArgument):
        one.join()
    assert one.state is RtcConnectionState.FAILED
    assert one.connection.reason is RtcConnectionChangeReason.INVALID_CHANNEL_NAME
    one.leave()


def test_nothing_goes_on_after_close(make_rtc: MakeRtc, name: str) -> None:
    one, two = make_rtc(name, "1"), make_rtc(name, "2")
    two.join()
    with one:
        one.join()
        changes = one.events(RtcStateChanged)
        with two.events(RtcUserJoined, RtcUserOffline) as told:
            assert told.get() == RtcUserJoined("1")
            one.close()
            assert told.get(timeout=30) == RtcUserOffline("1", UserOfflineReason.QUIT)
    assert [change.state for change in changes] == [RtcConnectionState.DISCONNECTED]
    assert one.peer_connection_state is rtmsync.PeerConnectionState.CLOSED
    with pytest.raises(rtmsync.ClientClosed):
        one.join()
    assert isinstance(one.join_future().exception(30), rtmsync.ClientClosed)
    with pytest.raises(rtmsync.ClientClosed):
        one.send_stream_message(b"x")


def run(server: Server, name: str, code: str) -> subprocess.CompletedProcess[str]:
    """Run a program that has joined the channel `name` as "p"."""
    prelude = """
        import os, sys, time
        import rtmsync
        from rtmsync.server.config import DEV_APP_ID as APP
        url, name = sys.argv[1:3]
        channel = rtmsync.RtcChannel(url, app_id=APP, channel=name, uid="p", timeouts={"join": 60})
        channel.join()
    """
    return run_program(server.url, name, prelude, code)


def test_the_end_of_the_interpreter_is_told_at_once(server: Server, make_rtc: MakeRtc, name: str) -> None:
    watcher = make_rtc(name, "w")
    watcher.join()
    with watcher.events(RtcUserOffline) as told:
        done = run(server, name, "print('end')")
        assert (done.stdout, done.stderr, done.returncode) == ("end\n", "", 0)
        assert told.get(timeout=30) == RtcUserOffline("p", UserOfflineReason.QUIT)  # not that it was dropped


def test_a_forked_child_is_not_joined_and_leaves_the_parent_alone(server: Server, name: str) -> None:
    code = """
        pid = os.fork()
        if pid == 0:
            assert channel.state is rtmsync.RtcConnectionState.DISCONNECTED
            other = rtmsync.RtcChannel(url, app_id=APP, channel=name, uid="c")
            other.join()
            other.close()
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        channel.send_stream_message(b"still here")
        assert channel.state is rtmsync.RtcConnectionState.CONNECTED
        print("end")
    """
    done = run(server, name, code)
    assert (done.stdout, done.returncode) == ("end\n", 0), done.stderr


def test_frames_do_not_pile_up_before_a_line_that_takes_nothing(
    make_rtc: MakeRtc, proxy: FaultProxy, proxied: str, name: str
) -> None:
    one = make_rtc(name, "1", url=proxied)
    one.join()
    proxy.blackhole("to_server")
    frame = b"x" * MESSAGE_BYTES

    def fill() -> None:
        for _ in range(4 * OUTBOUND_BYTES // MESSAGE_BYTES):
            one.send_stream_message(frame)

    with pytest.raises(rtmsync.LimitExceeded, match="bytes wait for the connection"):
        fill()
    assert one.connection_state is RtcConnectionState.CONNECTED
    proxy.heal()
    eventually(lambda: _sends(one, frame))


def _sends(channel: rtmsync.RtcChannel, frame: bytes) -> bool:
    try:
        channel.send_stream_message(frame)
    except rtmsync.RtmError:
        return False
    return True
