"""Rooms on a real server: participants, messages, data tracks, and two transports of which each can fail alone."""

import pickle
import subprocess
import threading
import time

import pytest

import rtmsync
from rtmcore.limits import ROOM_CONNECT_TIMEOUT, ROOM_SESSION_TIMEOUT
from rtmsync import (
    DataReceived,
    ParticipantConnected,
    ParticipantDisconnected,
    ParticipantReconnected,
    ParticipantReconnecting,
    ParticipantState,
    PeerConnectionState,
    RoomDisconnected,
    RoomErrorCode,
    RoomMessage,
    RoomReconnected,
    RoomReconnecting,
    RoomState,
)
from rtmsync.server.config import DEV_APP_ID, ServerConfig
from rtmsync.server.server import Server
from rtmsync.server.tokens import AppKeys, TokenKey, make_token
from rtmsync.testing import FaultProxy
from tests.sync.conftest import Connect, Enter
from tests.sync.programs import run_program
from tests.sync.test_messages import eventually

SIGNALING, MEDIA = 1, 2
"""The connections of a room through the proxy, by their number: the media connection is the second one."""


def own_threads() -> list[str]:
    return [
        thread.name
        for thread in threading.enumerate()
        if thread.name.startswith(("rtm-network", "rtm-callbacks"))
    ]


# --- Connecting and participants -------------------------------------------------------------------------------


def test_those_in_a_room_know_each_other(enter: Enter, name: str) -> None:
    alice = enter(name, "alice")
    assert (alice.name, alice.identity, alice.state) == (name, "alice", RoomState.CONNECTED)
    assert alice.participants == {}
    with alice.events(ParticipantConnected, ParticipantDisconnected) as told:
        bob = enter(name, "bob")
        assert told.get() == ParticipantConnected("bob")
        remote = alice.participants["bob"]
        assert (remote.identity, remote.state) == ("bob", ParticipantState.CONNECTED)
        assert list(bob.participants) == ["alice"]
        bob.disconnect()
        assert told.get() == ParticipantDisconnected("bob")
    assert alice.participants == {}
    assert remote.state is ParticipantState.DISCONNECTED


def test_an_identity_that_comes_back_is_another_participant(enter: Enter, name: str) -> None:
    alice = enter(name, "alice")
    with alice.events(ParticipantConnected) as told:
        bob = enter(name, "bob")
        told.get()
        before = alice.participants["bob"]
        assert before == alice.participants["bob"]
        heard: list[object] = []
        before.on(ParticipantDisconnected, heard.append)
        bob.disconnect()
        eventually(lambda: heard == [ParticipantDisconnected("bob")])
        again = enter(name, "bob")
        told.get()
        after = alice.participants["bob"]
        assert after != before
        assert (before.state, after.state) == (ParticipantState.DISCONNECTED, ParticipantState.CONNECTED)
        before.on(ParticipantDisconnected, heard.append)
        assert list(before.events()) == []
        done = threading.Event()
        after.on(ParticipantDisconnected, lambda event: done.set())
        again.disconnect()
        assert done.wait(30)
        assert len(heard) == 1


def test_the_room_hears_first_and_the_state_is_up_to_date(enter: Enter, name: str) -> None:
    alice = enter(name, "alice")
    order: list[tuple[str, ParticipantState, int]] = []
    bob = enter(name, "bob")
    eventually(lambda: "bob" in alice.participants)
    remote = alice.participants["bob"]

    def note(who: str) -> None:
        order.append((who, remote.state, threading.get_ident()))

    remote.on(ParticipantDisconnected, lambda event: note("participant"))
    alice.on(ParticipantDisconnected, lambda event: note("room"))
    bob.disconnect()
    eventually(lambda: len(order) == 2)
    assert [who for who, _, _ in order] == ["room", "participant"]
    assert {state for _, state, _ in order} == {ParticipantState.DISCONNECTED}
    assert len({thread for _, _, thread in order}) == 1


def test_a_participant_tells_of_itself_only(enter: Enter, name: str) -> None:
    alice, bob, carol = enter(name, "alice"), enter(name, "bob"), enter(name, "carol")
    eventually(lambda: alice.participants.keys() == {"bob", "carol"})
    with alice.participants["bob"].events(RoomMessage) as own, alice.events(RoomMessage) as every:
        carol.send("from carol")
        bob.send("from bob")
        assert [every.get().sender for _ in range(2)] == ["carol", "bob"]
        assert own.get().text == "from bob"
        assert len(own) == 0


def test_a_participant_whose_signaling_is_silent_reconnects(
    enter: Enter, proxy: FaultProxy, proxied: str, name: str
) -> None:
    alice = enter(name, "alice")
    bob = enter(name, "bob", proxied)
    eventually(lambda: "bob" in alice.participants)
    remote = alice.participants["bob"]
    seen: list[tuple[type, ParticipantState]] = []
    remote.on(ParticipantReconnecting, lambda event: seen.append((type(event), remote.state)))
    remote.on(ParticipantReconnected, lambda event: seen.append((type(event), remote.state)))
    with alice.events(ParticipantReconnecting, ParticipantReconnected) as told:
        proxy.blackhole()
        assert told.get() == ParticipantReconnecting("bob")
        eventually(lambda: seen == [(ParticipantReconnecting, ParticipantState.RECONNECTING)])
        proxy.heal()
        assert told.get() == ParticipantReconnected("bob")
        eventually(lambda: seen[1:] == [(ParticipantReconnected, ParticipantState.CONNECTED)])
    assert bob.wait_until(RoomState.CONNECTED) is RoomState.CONNECTED


def test_the_same_identity_disconnects_the_one_before(enter: Enter, name: str) -> None:
    older = enter(name, "alice")
    with older.events(RoomDisconnected) as told:
        newer = enter(name, "alice")
        event = told.get()
        assert isinstance(event, RoomDisconnected)
        assert event.error is not None
        assert event.error.code is RoomErrorCode.PARTICIPANT_DUPLICATE_IDENTITY
    assert older.state is RoomState.DISCONNECTED
    assert newer.healthy()
    with pytest.raises(rtmsync.RtmError):
        older.send("too late")


def test_identities_are_a_name_space_of_each_room(enter: Enter, connect: Connect, name: str) -> None:
    client, room, other = connect(user="alice"), enter(name, "alice"), enter(f"{name}-2", "alice")
    assert client.healthy()
    assert room.healthy()
    assert other.healthy()
    assert room.participants == {}


# --- The first connect -----------------------------------------------------------------------------------------


def test_a_first_connect_is_tried_once(proxy: FaultProxy, proxied: str) -> None:
    proxy.refuse(how="rst")
    with pytest.raises(rtmsync.RtmError) as caught:
        rtmsync.connect_room(proxied, app_id=DEV_APP_ID, room="r", identity="alice", proxy=None)
    assert isinstance(caught.value.code, RoomErrorCode)
    assert proxy.connections == 1
    assert own_threads() == []


def test_a_first_connect_ends_in_its_time(proxy: FaultProxy, proxied: str) -> None:
    proxy.blackhole()
    begun = time.monotonic()
    with pytest.raises(rtmsync.RtmError) as caught:
        rtmsync.connect_room(proxied, app_id=DEV_APP_ID, room="r", identity="a", timeout=0.5, proxy=None)
    assert 0.4 < time.monotonic() - begun < ROOM_CONNECT_TIMEOUT
    assert isinstance(caught.value.code, RoomErrorCode)
    assert own_threads() == []


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"room": ""}, RoomErrorCode.ROOM_NAME_INVALID),
        ({"room": "r" * 65}, RoomErrorCode.ROOM_NAME_TOO_LONG),
        ({"room": "a\nb"}, RoomErrorCode.ROOM_NAME_CHARS_INVALID),
        ({"identity": ""}, RoomErrorCode.PARTICIPANT_IDENTITY_INVALID),
        ({"identity": "i" * 65}, RoomErrorCode.PARTICIPANT_IDENTITY_TOO_LONG),
        ({"identity": "a\nb"}, RoomErrorCode.PARTICIPANT_IDENTITY_CHARS_INVALID),
    ],
)
def test_impossible_names_have_their_codes(enter: Enter, wrong: dict[str, str], code: RoomErrorCode) -> None:
    with pytest.raises(rtmsync.InvalidArgument) as caught:
        enter(**{"room": "r", "identity": "alice", **wrong})
    assert caught.value.code is code


def test_a_token_is_for_one_identity_and_room(enter: Enter) -> None:
    key = TokenKey(b"a secret of thirty-two bytes, ok")
    config = ServerConfig(apps=[AppKeys(DEV_APP_ID, (key,))], port=0, drain_seconds=0.0)

    def token(identity: str, room: str, *, made: float = 0.0) -> str:
        now = time.time() + made
        return make_token(key, app=DEV_APP_ID, user=identity, now=now, seconds=60, scopes={"room": [room]})

    with Server(config) as server:
        with enter("demo", "alice", server.url, token=token("alice", "demo")) as room:
            assert room.healthy()
        for wrong, code in [
            (token("alice", "other"), RoomErrorCode.ACCESS_TOKEN_GRANTS_INVALID),
            (token("alice", "demo", made=-100), RoomErrorCode.ACCESS_TOKEN_EXPIRED),
            (token("alice", "demo") + "x", RoomErrorCode.ACCESS_TOKEN_SIGNATURE_INVALID),
            ("nonsense", RoomErrorCode.ACCESS_TOKEN_INVALID),
        ]:
            with pytest.raises(rtmsync.AuthError) as caught:
                enter("demo", "alice", server.url, token=wrong)
            assert caught.value.code is code


# --- Talking ---------------------------------------------------------------------------------------------------


def test_messages_come_in_one_order(enter: Enter, name: str) -> None:
    alice, bob, carol = enter(name, "alice"), enter(name, "bob"), enter(name, "carol")
    with carol.events(RoomMessage) as heard:
        futures = [who.send_future(str(number)) for number in range(10) for who in (alice, bob)]
        sent = sorted((future.result(30).message_id, index) for index, future in enumerate(futures))
        got = [heard.get() for _ in futures]
        assert [message.id for message in got if isinstance(message, RoomMessage)] == [id for id, _ in sent]
    assert alice.send(b"\0raw").message_id
    assert bob.events(RoomMessage).get().sender == "alice"


def test_messages_wait_for_the_first_subscription(enter: Enter, name: str) -> None:
    alice, bob = enter(name, "alice"), enter(name, "bob")
    alice.send("early")
    heard: list[str] = []
    bob.on(RoomMessage, lambda message: heard.append(message.text))
    eventually(lambda: heard == ["early"])


def test_frames_of_data_tracks_come_in_order(enter: Enter, name: str) -> None:
    alice, bob = enter(name, "alice"), enter(name, "bob")
    eventually(lambda: bob.participants.keys() == {"alice"})
    position, mood = alice.data_track("position"), alice.data_track("mood")
    with bob.participants["alice"].events(DataReceived) as frames:
        for number in range(20):
            position.send(str(number))
            mood.send(b"\0" + str(number).encode())
        got = [frames.get() for _ in range(40)]
    tracks: dict[str, list[bytes]] = {"position": [], "mood": []}
    for frame in got:
        assert isinstance(frame, DataReceived)
        assert (frame.identity, frame.dropped) == ("alice", 0)
        tracks[frame.track].append(frame.body)
    assert tracks["position"] == [str(number).encode() for number in range(20)]
    assert tracks["mood"] == [b"\0" + str(number).encode() for number in range(20)]


def test_what_cannot_be_sent_is_refused(enter: Enter, name: str) -> None:
    alice = enter(name, "alice")
    for call in (
        lambda: alice.send(7),  # type: ignore[arg-type]
        lambda: alice.send(b"x" * 32769),
        lambda: alice.data_track("t").send(b"x" * 32769),
        lambda: alice.data_track("t").send(None),  # type: ignore[arg-type]
        lambda: alice.data_track("").send(b"x"),
        lambda: alice.data_track("n" * 129).send(b"x"),
    ):
        with pytest.raises(rtmsync.InvalidArgument):
            call()
    assert alice.healthy()


def test_a_callback_may_do_everything(enter: Enter, name: str) -> None:
    alice, bob = enter(name, "alice"), enter(name, "bob")

    @bob.on(RoomMessage)
    def answer(message: RoomMessage) -> None:
        if message.text == "go":
            bob.disconnect()
        bob.data_track("t").send(b"a frame")
        bob.send(f"answer to {message.text}")

    with alice.events(RoomMessage, DataReceived, ParticipantDisconnected) as heard:
        alice.send("question")
        got = {type(heard.get()), type(heard.get())}
        assert got == {DataReceived, RoomMessage}
        alice.send("go")
        assert heard.get() == ParticipantDisconnected("bob")


# --- Two transports --------------------------------------------------------------------------------------------


def reconnecting(told: "rtmsync.Subscription[RoomReconnecting | RoomReconnected]") -> object:
    event = told.get()
    assert isinstance(event, RoomReconnecting)
    return event.error.code


@pytest.mark.produces(RoomErrorCode.MEDIA_CONNECTION)
def test_media_can_fail_alone(enter: Enter, proxy: FaultProxy, proxied: str, name: str) -> None:
    alice, bob = enter(name, "alice", proxied), enter(name, "bob")
    eventually(lambda: proxy.open_connections == 2)
    aggregates = alice.events(rtmsync.PeerConnectionStateChanged)
    with alice.events(RoomReconnecting, RoomReconnected) as told:
        proxy.refuse()
        proxy.blackhole(connection=MEDIA)
        assert reconnecting(told) is RoomErrorCode.MEDIA_CONNECTION
        assert alice.send("signaling works").message_id
        proxy.refuse(on=False)
        assert told.get() == RoomReconnected()
    assert aggregates.get().state is PeerConnectionState.FAILED
    eventually(lambda: alice.peer_connection_state is PeerConnectionState.CONNECTED)
    assert bob.participants["alice"].state is ParticipantState.CONNECTED
    with bob.events(DataReceived) as frames:
        alice.data_track("t").send(b"works again")
        assert frames.get().body == b"works again"


def test_signaling_can_fail_alone(enter: Enter, proxy: FaultProxy, proxied: str, name: str) -> None:
    alice, bob = enter(name, "alice", proxied), enter(name, "bob")
    eventually(lambda: proxy.open_connections == 2)
    with alice.events(RoomReconnecting, RoomReconnected) as told, bob.events(DataReceived) as frames:
        proxy.refuse()
        proxy.cut(connection=SIGNALING)
        assert reconnecting(told) is RoomErrorCode.SIGNALING_CONNECTION_DISCONNECTED
        assert alice.state is RoomState.RECONNECTING
        alice.data_track("t").send(b"media works")
        assert frames.get().body == b"media works"
        waiting = alice.send_future("waits for the way back", timeout=60)
        proxy.refuse(on=False)
        assert told.get() == RoomReconnected()
        assert waiting.result(30).message_id
    assert bob.events(RoomMessage).get().text == "waits for the way back"
    states = [span.state for span in alice.timeline.rows if span.lane.subject.value == "connection"]
    assert states == ["connected", "reconnecting", "connected"]


def test_a_short_loss_of_both_is_not_seen(enter: Enter, proxy: FaultProxy, proxied: str, name: str) -> None:
    alice, bob = enter(name, "alice", proxied), enter(name, "bob")
    eventually(lambda: proxy.open_connections == 2)
    with alice.events(RoomReconnecting, RoomDisconnected, RoomMessage) as told:
        proxy.cut()
        bob.send("soon")
        assert isinstance(told.get(), RoomMessage)
    assert alice.state is RoomState.CONNECTED


# --- The end ---------------------------------------------------------------------------------------------------


def test_a_disconnect_is_final(enter: Enter, name: str) -> None:
    alice, bob = enter(name, "alice"), enter(name, "bob")
    eventually(lambda: "bob" in alice.participants)
    remote = alice.participants["bob"]
    every = alice.events()
    ended: list[object] = []
    alice.on(RoomDisconnected, lambda event: ended.append((event, alice.state)))
    with bob.events(ParticipantDisconnected) as told:
        alice.disconnect()
        assert alice.state is RoomState.DISCONNECTED
        assert told.get(timeout=20) == ParticipantDisconnected("alice")
    assert RoomDisconnected(None) in list(every)  # the queue ends
    eventually(lambda: ended == [(RoomDisconnected(None), RoomState.DISCONNECTED)])
    assert not alice.healthy()
    assert remote.state is ParticipantState.DISCONNECTED
    alice.disconnect()
    assert alice.disconnect_future().result(30) is None
    with pytest.raises(rtmsync.StateError):
        alice.wait_until(RoomState.CONNECTED)
    for call in (lambda: alice.send("x"), lambda: alice.data_track("t").send(b"x")):
        with pytest.raises(rtmsync.RtmError):
            call()
    alice.close()
    assert alice.peer_connection_state is PeerConnectionState.CLOSED


def test_the_end_of_the_block_tells_the_others(enter: Enter, name: str) -> None:
    bob = enter(name, "bob")
    with bob.events(ParticipantDisconnected) as told:
        with enter(name, "alice") as alice:
            assert alice.healthy()
        assert told.get(timeout=20) == ParticipantDisconnected("alice")
        assert alice.state is RoomState.DISCONNECTED


def test_run_forever_ends_with_the_room(enter: Enter, name: str) -> None:
    alice = enter(name, "alice")
    alice.on(RoomMessage, lambda message: alice.disconnect())
    enter(name, "bob").send("go")
    alice.run_forever()
    assert alice.state is RoomState.DISCONNECTED


def test_a_room_that_is_forgotten_is_reported_and_closed(server: Server, enter: Enter, name: str) -> None:
    bob = enter(name, "bob")
    rooms = [rtmsync.connect_room(server.url, app_id=DEV_APP_ID, room=name, identity="alice", proxy=None)]
    with bob.events(ParticipantDisconnected) as told:
        with pytest.warns(ResourceWarning, match="unclosed"):
            rooms.clear()
        assert told.get(timeout=20) == ParticipantDisconnected("alice")


def test_it_is_made_from_possible_settings(enter: Enter, name: str) -> None:
    alice = enter(name, "alice", aggregate_rules="mdn2021", timeouts={"send": 3})
    assert repr(alice).startswith("<Room 'alice' of ws://")
    assert pickle.loads(pickle.dumps(alice.config)) == alice.config
    with pytest.raises(TypeError, match=r"room\.config"):
        pickle.dumps(alice)
    for wrong in (ParticipantState, rtmsync.PeerMessage, rtmsync.StreamMessage):
        with pytest.raises(rtmsync.InvalidArgument):
            alice.on(wrong, print)
    for options in ({"inbox_window": 3}, {"aggregate_rules": "?"}, {"timeouts": {"login": 1}}):
        with pytest.raises(rtmsync.InvalidArgument):
            enter(name, "alice", **options)


def run(server: Server, name: str, code: str) -> subprocess.CompletedProcess[str]:
    """Run a program that is in the room `name` as "p"."""
    prelude = """
        import os, sys, time
        import rtmsync
        from rtmsync.server.config import DEV_APP_ID as APP
        url, name = sys.argv[1:3]
        room = rtmsync.connect_room(url, app_id=APP, room=name, identity="p", timeouts={"connect": 60, "send": 60})
    """
    return run_program(server.url, name, prelude, code)


@pytest.mark.parametrize("ending", ["pass", "raise SystemExit(3)", "raise ValueError"])
def test_the_end_of_the_interpreter_is_told_at_once(
    server: Server, enter: Enter, name: str, ending: str
) -> None:
    watcher = enter(name, "w")
    with watcher.events(ParticipantDisconnected) as told:
        run(server, name, ending)
        # Before the server would have missed it.
        assert told.get(timeout=ROOM_SESSION_TIMEOUT * 2 / 3) == ParticipantDisconnected("p")


def test_a_forked_child_is_not_in_the_room_and_leaves_the_parent_alone(server: Server, name: str) -> None:
    code = """
        pid = os.fork()
        if pid == 0:
            assert room.state is rtmsync.RoomState.DISCONNECTED
            assert room.participants == {}
            try:
                room.send("from the child")
            except rtmsync.RtmError:
                os._exit(0)
            os._exit(1)
        assert os.waitpid(pid, 0)[1] == 0
        assert room.send("still here").message_id
        room.data_track("t").send(b"here too")
        print("end")
    """
    done = run(server, name, code)
    assert (done.stdout, done.returncode) == ("end\n", 0), done.stderr


def test_a_dead_network_thread_fails_everybody(
    enter: Enter, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, bob = enter(name, "alice"), enter(name, "bob")
    every = alice.events()

    def broken(*_: object) -> None:
        raise RuntimeError("broken on purpose")

    monkeypatch.setattr(alice._driver.core, "receive_data", broken)
    bob.send("this reaches it")
    with pytest.raises((rtmsync.ClientClosed, rtmsync.StateError)):
        alice.wait_until(RoomState.RECONNECTING)
    assert alice.state is RoomState.DISCONNECTED
    events = list(every)
    assert isinstance(events[-1], RoomDisconnected)
    assert isinstance(events[-1].error, rtmsync.ClientClosed)
    with pytest.raises(rtmsync.ClientClosed, match="broken on purpose"):
        alice.data_track("t").send(b"x")
    assert alice.disconnect_future().exception(30) is not None
