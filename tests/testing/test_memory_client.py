"""Clients of a memory system: the public API in one thread, in virtual time."""

import concurrent.futures
import logging
import threading
import time

import pytest
from freezegun import freeze_time

import rtmsync
from rtmsync import (
    ChannelMessage,
    ConnectionChangeReason,
    ConnectionState,
    LocalInvitationState,
    MemberJoined,
    MemberLeft,
    PeerMessage,
    PeerOnlineState,
    PresenceChanged,
    RemoteInvitationReceived,
    SendStatus,
    StateChanged,
)
from rtmsync.testing.memory import MemorySystem, VirtualClock

SECRET = "a secret of at least thirty-two bytes"


@pytest.fixture
def system():
    threads = set(threading.enumerate())
    with MemorySystem() as system:
        yield system
        assert set(threading.enumerate()) <= threads


def test_a_conversation(system):
    alice, bob = system.connect("alice"), system.connect("bob")
    assert isinstance(alice, rtmsync.Client)
    assert alice.state is ConnectionState.CONNECTED
    heard = []
    bob.on(PeerMessage, lambda message: heard.append(message.text))
    assert alice.send_peer("bob", "hello").status is SendStatus.DELIVERED
    assert heard == ["hello"]
    room = alice.channel("room")
    room.join()
    with bob.channel("room") as other:
        messages = other.events(ChannelMessage)
        room.send("to all")
        assert messages.get().text == "to all"
        assert sorted(room.members()) == ["alice", "bob"]
    assert room.members() == ("alice",)
    assert [(sent.sender, sent.destination, sent.text) for sent in system.outbox] == [
        ("alice", "bob", "hello"),
        ("alice", "room", "to all"),
    ]
    assert system.outbox[0].status is SendStatus.DELIVERED
    alice.send_peer("bob", b"bytes", description="about them", offline=True, ttl=5)
    last = system.outbox[-1]
    assert (last.raw, last.text, last.description, last.ttl) == (b"bytes", None, "about them", 5)
    assert system.clock.now() < 1001


def test_a_client_can_be_in_use_in_every_state(system):
    with system.client("alice") as client:
        assert client.state is ConnectionState.DISCONNECTED
        with pytest.raises(rtmsync.NotLoggedIn):
            client.send_peer("bob", "x")
        client.login()
        with pytest.raises(rtmsync.AlreadyLoggedIn):
            client.login()
        client.logout()
        assert client.state is ConnectionState.DISCONNECTED
        client.login()
        assert client.healthy()
        assert client.stats().bytes_sent > 0
        assert client.stats().threads == 0
    with pytest.raises(rtmsync.ClientClosed):
        client.login()
    client.close()


def test_callbacks_may_call_and_come_in_order(system):
    alice, bob = system.connect("alice"), system.connect("bob")
    steps = []

    @bob.on(PeerMessage)
    def answer(message):
        steps.append(f"bob hears {message.text}")
        bob.send_peer("alice", f"re: {message.text}")
        steps.append(f"bob has answered {message.text}")

    alice.on(PeerMessage, lambda message: steps.append(f"alice hears {message.text}"))
    futures = [alice.send_peer_future("bob", str(number)) for number in range(3)]
    assert [future.result().status for future in futures] == [SendStatus.DELIVERED] * 3
    assert [step for step in steps if step.startswith("bob")] == [
        f"bob {what} {number}" for number in range(3) for what in ("hears", "has answered")
    ]
    assert [step for step in steps if step.startswith("alice")] == [
        f"alice hears re: {number}" for number in range(3)
    ]


def test_a_callback_that_raises_does_not_stop_the_next(system, caplog):
    alice, bob = system.connect("alice"), system.connect("bob")
    heard, failures = [], []
    bob.on_error(failures.append)

    @bob.on(PeerMessage)
    def fail(message):
        heard.append(message.text)
        raise ValueError(message.text)

    with caplog.at_level(logging.CRITICAL, "rtmsync"):
        alice.send_peer("bob", "1")
        alice.send_peer("bob", "2")
    assert heard == ["1", "2"]
    assert [type(failure.error) for failure in failures] == [ValueError, ValueError]


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()])
def test_a_callback_that_stops_the_program_does_so_in_the_next_call(system, error):
    alice, bob = system.connect("alice"), system.connect("bob")

    @bob.on(PeerMessage)
    def stop(message):
        raise error

    alice.send_peer("bob", "1")
    with pytest.raises(type(error)):
        bob.run_forever()
    assert bob.state is ConnectionState.DISCONNECTED


def test_a_client_may_be_closed_in_its_callback(system):
    alice, bob = system.connect("alice"), system.connect("bob")
    bob.on(PeerMessage, lambda message: bob.close())
    alice.send_peer("bob", "bye")
    assert bob.state is ConnectionState.DISCONNECTED
    assert alice.send_peer("bob", "still there?").status is SendStatus.PEER_UNREACHABLE


def test_waiting_takes_no_time(system):
    begun = time.monotonic()
    alice = system.connect("alice")
    with alice.events(PeerMessage) as messages:
        before = system.clock.now()
        with pytest.raises(rtmsync.RequestTimeout):
            messages.get(timeout=100)
        assert system.clock.now() == pytest.approx(before + 100)
        with pytest.raises(rtmsync.RequestTimeout):
            messages.get(timeout=0)
    with pytest.raises(rtmsync.RequestTimeout):
        alice.wait_until(ConnectionState.ABORTED, timeout=3600)
    room = alice.channel("room")
    room.join()
    before = system.clock.now()
    assert list(room.messages(idle_timeout=30)) == []
    assert system.clock.now() == pytest.approx(before + 30)
    system.connect("bob")  # takes no messages, so that nothing is acknowledged
    with pytest.raises(rtmsync.RequestTimeout) as caught:
        alice.send_peer("bob", "x", timeout=5)
    assert caught.value.outcome_unknown
    assert alice.state is ConnectionState.CONNECTED
    assert time.monotonic() - begun < 30


def test_a_wait_that_nothing_can_end_is_refused(system):
    alice = system.connect("alice")
    with pytest.raises(rtmsync.WouldDeadlock):
        alice.run_forever()
    with pytest.raises(rtmsync.WouldDeadlock):
        next(alice.events(PeerMessage))
    assert alice.state is ConnectionState.CONNECTED


def test_two_that_answer_each_other_for_ever_are_found_out(system, monkeypatch):
    monkeypatch.setattr("rtmsync.testing.memory.clock._ROUNDS", 200)
    alice, bob = system.connect("alice"), system.connect("bob")
    bob.on(PeerMessage, lambda message: bob.send_peer_future("alice", "pong"))
    alice.on(PeerMessage, lambda message: alice.send_peer_future("bob", "ping"))
    with pytest.raises(rtmsync.StateError, match="200 turns"):
        alice.send_peer("bob", "ping")


def test_futures_are_done_as_soon_as_they_can_be(system):
    alice, bob = system.connect("alice"), system.connect("bob")
    inbox = bob.events(PeerMessage)
    future = alice.send_peer_future("bob", "x")
    assert future.done()
    done = []
    future.add_done_callback(done.append)
    assert done == [future]
    alice.send_peer("bob", "y")
    assert concurrent.futures.wait([future], timeout=5).done == {future}
    assert [inbox.get().text, inbox.get().text] == ["x", "y"]
    inbox.close()
    late = alice.send_peer_future("bob", "not taken", timeout=10)
    assert not late.done()
    with pytest.raises(concurrent.futures.TimeoutError):
        late.result(timeout=3)
    assert isinstance(late.exception(), rtmsync.RequestTimeout)
    system.clock.advance(20)
    assert late.done()


def test_presence_follows_the_clock(system):
    alice, bob = system.connect("alice"), system.connect("bob")
    alice.subscribe_presence(["bob"])
    room, other = alice.channel("room"), bob.channel("room")
    room.join()
    other.join()
    seen = []
    alice.on(PresenceChanged, lambda event: seen.extend(event.states.items()))
    alice.on(MemberLeft, lambda event: seen.append((event.user, "left")))
    alice.on(MemberJoined, lambda event: seen.append((event.user, "joined")))
    states = []
    bob.on(StateChanged, lambda event: states.append(event.state))
    system.clock.advance(1)
    seen.clear()
    system.black_hole("bob")
    system.clock.advance(4.1)
    assert states == [ConnectionState.RECONNECTING]
    assert seen == []
    system.clock.advance(2)
    assert seen == [("bob", PeerOnlineState.UNREACHABLE)]
    system.clock.advance(20)
    system.restore("bob")
    bob.wait_until(ConnectionState.CONNECTED)
    assert states == [ConnectionState.RECONNECTING, ConnectionState.CONNECTED]
    assert seen == [("bob", PeerOnlineState.UNREACHABLE), ("bob", PeerOnlineState.ONLINE)]
    system.black_hole("bob")
    system.clock.advance(31)
    assert seen[2] == ("bob", PeerOnlineState.UNREACHABLE)
    assert sorted(map(str, seen[3:])) == sorted(map(str, [("bob", PeerOnlineState.OFFLINE), ("bob", "left")]))


def test_a_cut_is_healed_without_a_loss(system):
    alice, bob = system.connect("alice"), system.connect("bob")
    inbox, states = bob.events(PeerMessage), bob.events(StateChanged)
    for number in range(5):
        future = alice.send_peer_future("bob", str(number))
        system.cut("bob")
        assert future.result().status is SendStatus.DELIVERED
    assert [inbox.get().text for _ in range(5)] == list("01234")
    system.clock.advance(5)
    assert bob.state is ConnectionState.CONNECTED
    assert len(states) == 0, "an outage of less than 4 s changes no state"


def test_the_documented_ways_to_be_put_out(system):
    first = system.connect("alice")
    second = system.connect("alice")
    assert first.state is ConnectionState.ABORTED
    assert first.connection.reason is ConnectionChangeReason.REMOTE_LOGIN
    with system.publisher() as publisher:
        assert publisher.kick("alice", "enough") is True
        assert second.state is ConnectionState.ABORTED
        second.logout()
        second.login()
        assert publisher.send_peer("alice", "x", sender="shop") is rtmsync.PublishStatus.SENT
        assert second.events(PeerMessage).get().text == "x"
        assert [(event.user, event.online) for event in publisher.user_events().events][-1] == ("alice", True)


def test_invitations_and_attributes(system):
    alice, bob = system.connect("alice"), system.connect("bob")
    bob.on(RemoteInvitationReceived, lambda event: event.invitation.accept("come in"))
    call = alice.invite("bob", "a minute?").send()
    assert call.wait() is LocalInvitationState.ACCEPTED_BY_REMOTE
    with pytest.raises(rtmsync.InvitationFailed):
        alice.invite("nobody").send().wait()
    alice.on(rtmsync.RemoteInvitationReceived, lambda event: event.invitation.refuse())
    assert bob.invite("alice").send().wait() is LocalInvitationState.REFUSED_BY_REMOTE
    assert system.outbox == [], "calls are no messages"
    bob.set_attributes({"mood": "good"})
    assert alice.get_attributes("bob") == {"mood": "good"}


def test_tokens_are_judged_in_virtual_time():
    with MemorySystem(secret=SECRET) as system:
        asked = []

        def mint(user, reason):
            asked.append((user, reason))
            with pytest.raises(rtmsync.WouldDeadlock):
                client.logout()
            return system.token_for(user, 60)

        client = system.client("alice", token=mint)
        client.login()
        assert asked == [("alice", "login")]
        events = client.events(rtmsync.TokenWillExpire, rtmsync.TokenHasExpired)
        old = system.token_for("bob", 60)
        assert old is not None
        system.clock.advance(120)
        assert rtmsync.TokenHasExpired in {type(events.get(0)) for _ in range(len(events))}
        with pytest.raises(rtmsync.TokenExpired):
            system.client("bob", token=old).login()
        with pytest.raises(rtmsync.InvalidToken):
            system.client("bob", token="nonsense").login()
        system.connect("bob")
        failing = system.client("carol", token=lambda user, reason: 1 / 0)
        with pytest.raises(rtmsync.RtmError):
            failing.login()


def test_the_wall_clock_is_the_processes_or_a_given_one():
    with freeze_time("2030-01-02 03:04:05") as frozen, MemorySystem(secret=SECRET) as system:
        begun = system.clock.time()
        assert begun == time.time()
        client = system.connect("alice")
        token = system.token_for("bob", 60)
        frozen.tick(120)
        assert system.clock.time() == pytest.approx(begun + 120, abs=1)
        with pytest.raises(rtmsync.TokenExpired):
            system.client("bob", token=token).login()
        assert client.state is ConnectionState.CONNECTED
    clock = VirtualClock(start=1e9)
    assert clock.time() == 1e9
    with MemorySystem(clock=clock) as system:
        alice = system.connect("alice")
        room = alice.channel("room")
        room.join()
        bob = system.connect("bob").channel("room")
        bob.join()
        room.send("x")
        assert bob.events(ChannelMessage).get().server_time == pytest.approx(1e9, abs=5)
        clock.advance(10)
        assert clock.time() == pytest.approx(1e9 + 10, abs=1)


def test_what_has_waited_comes_with_the_subscription(system):
    alice, bob = system.connect("alice"), system.connect("bob")
    future = alice.send_peer_future("bob", "early")
    assert not future.done()
    heard = []
    bob.on(PeerMessage, lambda message: heard.append(message.text))
    assert heard == ["early"]
    assert future.result().status is SendStatus.DELIVERED


def test_rtc_channels_and_rooms_are_in_the_same_time():
    with MemorySystem(secret=SECRET) as system:
        one, other = system.rtc("stage", "1"), system.rtc("stage", "2")
        seen = []
        one.on(rtmsync.RtcUserOffline, lambda event: seen.append(event.uid))
        one.join()
        other.join()
        room = system.room("demo", "alice")
        system.room("demo", "bob")
        gone = room.events(rtmsync.ParticipantDisconnected)
        system.black_hole("2")
        system.black_hole("bob")
        system.clock.advance(19)
        assert seen == []
        system.clock.advance(2)
        assert seen == ["2"]
        system.clock.advance(10)
        assert gone.get(timeout=0).identity == "bob"
        with pytest.raises(rtmsync.RtmError):
            system.room("demo", "carol", token="nonsense")


def test_settings_of_a_network_are_left_out():
    with MemorySystem() as system:
        system.connect("alice", tls=True, proxy="http://127.0.0.1:1")


def test_files_go_up_and_down(system, tmp_path):
    alice, bob = system.connect("alice"), system.connect("bob")
    inbox = bob.events(PeerMessage)
    content = bytes(range(256)) * 8192
    told = []
    upload = alice.upload_file(content, name="all.bin", description="all bytes", on_progress=told.append)
    message = upload.result()
    assert upload.done
    assert (told[0].done, told[-1].done, told[-1].total) == (0, len(content), len(content))
    alice.send_peer("bob", message)
    media = inbox.get().media
    assert (media.name, media.size) == ("all.bin", len(content))
    assert system.outbox[-1].kind is rtmsync.MessageType.FILE
    assert bob.download(media).result() == content
    path = tmp_path / "all.bin"
    assert bob.download(media, path).result() == path
    assert path.read_bytes() == content
    shown = list(bob.download(media))
    assert shown[-1].done == len(content)


def test_a_transfer_outlasts_cuts_and_ends_with_its_client(system):
    alice = system.connect("alice")
    content = bytes(3_000_000)
    cuts = []

    def cut(progress):
        with pytest.raises(rtmsync.WouldDeadlock):
            upload.result()
        if 0 < progress.done < len(content) and len(cuts) < 2:
            cuts.append(progress.done)
            system.cut("alice")

    upload = alice.upload_file(content, name="zeros", on_progress=cut)
    assert upload.result().size == len(content)
    with pytest.raises(rtmsync.TransferFailed):
        upload.cancel()
    canceled = alice.upload_file(content, name="zeros")
    canceled.cancel()
    with pytest.raises(rtmsync.TransferCancelled):
        canceled.result()
    system.black_hole("alice")
    stuck = alice.upload_file(content, name="zeros")
    with pytest.raises(rtmsync.RequestTimeout):
        stuck.result(timeout=60)
    with pytest.raises(rtmsync.RtmError) as failed:
        stuck.result()
    assert failed.value.code is rtmsync.UploadMediaError.TIMEOUT
    system.restore("alice")
    alice.wait_until(ConnectionState.CONNECTED)
    last = alice.upload_file(content, name="zeros")
    alice.close()
    with pytest.raises(rtmsync.RtmError):
        last.result(timeout=1)


def test_what_nobody_closed_is_closed_with_the_system(system, recwarn):
    alice, bob = system.connect("alice"), system.connect("bob")
    system.black_hole("bob")
    system.close()
    assert {alice.state, bob.state} == {ConnectionState.DISCONNECTED}
    with pytest.raises(rtmsync.ClientClosed):
        system.client("carol")


def test_threads_may_share_a_system(system):
    clients = [system.connect(f"user-{number}") for number in range(4)]
    heard = []
    for client in clients:
        client.on(PeerMessage, lambda message: heard.append(message.text))
    failures = []

    def talk(number):
        try:
            for turn in range(20):
                system.publisher().publish("room", "x", sender=f"user-{number}")
                clients[number].send_peer(f"user-{(number + 1) % 4}", f"{number} {turn}")
        except BaseException as error:
            failures.append(error)
            raise

    threads = [threading.Thread(target=talk, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(100)
    assert failures == []
    system.clock.advance(0)
    assert len(system.outbox) == 160
    assert sorted(heard) == sorted(f"{number} {turn}" for number in range(4) for turn in range(20))
