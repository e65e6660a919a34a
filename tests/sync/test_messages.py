"""Messages between users and in channels: results, order, early ones, back-pressure."""

import threading
import time
from collections.abc import Callable

import pytest

import rtmsync
from rtmcore.codes import JoinChannelError, SendChannelMessageError, SendPeerMessageError
from rtmcore.limits import DISPATCH_WAITING, EARLY_EVENTS, GET_TIMEOUT, MESSAGE_BYTES
from rtmsync import ConnectionState, Lagged, MessageType, SendStatus
from rtmsync.testing import FaultProxy
from tests.sync.conftest import Connect


def eventually(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(0.001)


def texts(subscription: rtmsync.Subscription[rtmsync.PeerMessage], count: int) -> list[str]:
    found = []
    for _ in range(count):
        message = subscription.get()
        assert isinstance(message, rtmsync.PeerMessage)
        found.append(message.text)
    return found


# --- Peer messages ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("subprotocol", ["rtm.v1.msgpack", "rtm.v1.json"])
@pytest.mark.parametrize("message", ["x", "grüße 🙂", b"\x00", b"\xff" * MESSAGE_BYTES])
def test_text_and_bytes_arrive_as_they_are(connect: Connect, subprotocol: str, message: str | bytes) -> None:
    alice, bob = connect(subprotocols=[subprotocol]), connect(subprotocols=[subprotocol])
    inbox = bob.events(rtmsync.PeerMessage)
    result = alice.send_peer(bob.user_id, message)
    assert result.status is SendStatus.DELIVERED
    received = inbox.get()
    assert isinstance(received, rtmsync.PeerMessage)
    assert received.sender == alice.user_id
    assert received.id == result.message_id
    if isinstance(message, str):
        assert (received.kind, received.text) == (MessageType.TEXT, message)
    else:
        assert (received.kind, received.raw) == (MessageType.RAW, message)


def test_a_message_says_when_the_server_took_it(connect: Connect, name: str) -> None:
    alice, bob = connect(), connect()
    with bob.events(rtmsync.PeerMessage) as inbox:
        sent = alice.send_peer(bob.user_id, "now")
        received = inbox.get()
    assert isinstance(received, rtmsync.PeerMessage)
    assert sent.server_time == received.server_time
    with alice.channel(name) as hers, bob.channel(name) as his, his.events(rtmsync.ChannelMessage) as heard:
        published = hers.send("now")
        message = heard.get()
    assert isinstance(message, rtmsync.ChannelMessage)
    assert published.server_time == message.server_time >= received.server_time
    assert abs(message.server_time - time.time()) < 60


def test_bytes_like_objects_are_bytes(connect: Connect) -> None:
    client = connect()
    inbox = client.events(rtmsync.PeerMessage)
    client.send_peer(client.user_id, bytearray(b"one"))  # type: ignore[arg-type]
    client.send_peer(client.user_id, memoryview(b"two"))  # type: ignore[arg-type]
    assert texts(inbox, 2) == ["one", "two"]


def test_an_unreachable_peer_is_a_result(connect: Connect, name: str) -> None:
    result = connect().send_peer(name, "anybody there?")
    assert result.status is SendStatus.PEER_UNREACHABLE
    assert result.server_time is None


def test_a_stored_message_is_a_result_and_arrives_at_login(connect: Connect, name: str) -> None:
    assert connect().send_peer(name, "for later", offline=True).status is SendStatus.CACHED
    message = connect(name).events(rtmsync.PeerMessage).get()
    assert isinstance(message, rtmsync.PeerMessage)
    assert (message.text, message.offline) == ("for later", True)


@pytest.mark.parametrize(
    ("user", "message", "code"),
    [
        ("", "x", SendPeerMessageError.INVALID_USER_ID),
        ("a/b", "x", SendPeerMessageError.INVALID_USER_ID),
        ("bob", b"x" * (MESSAGE_BYTES + 1), SendPeerMessageError.INVALID_MESSAGE),
        ("bob", "\ud800", SendPeerMessageError.INVALID_MESSAGE),
        ("bob", 7, SendPeerMessageError.INVALID_MESSAGE),
    ],
)
def test_invalid_messages_are_refused_with_their_code(
    connect: Connect, user: str, message: str, code: SendPeerMessageError
) -> None:
    client = connect()
    with pytest.raises(rtmsync.InvalidArgument) as caught:
        client.send_peer(user, message)
    assert caught.value.code is code
    error = client.send_peer_future(user, message).exception(30)
    assert isinstance(error, rtmsync.InvalidArgument)
    assert error.code is code


def test_the_documented_rate_is_held_by_the_client(make: Connect, limited: str) -> None:
    client = make(url=limited, rate_limits=True)
    client.login()
    futures = [client.send_peer_future(client.user_id, "first")]
    while not futures[-1].done():  # a message that the rate admits is not taken yet, and waits
        futures.append(client.send_peer_future(client.user_id, "another"))
    assert len(futures) > 180
    error = futures[-1].exception()
    assert isinstance(error, rtmsync.RateLimited)
    assert error.code is SendPeerMessageError.TOO_OFTEN
    assert error.retry_after is not None
    assert error.retry_after <= 3
    client.events(rtmsync.PeerMessage)


# --- Early messages --------------------------------------------------------------------------------------------


def test_peer_messages_wait_for_the_first_subscription_in_order(connect: Connect) -> None:
    alice, bob = connect(), connect()
    sent = [alice.send_peer_future(bob.user_id, str(number)) for number in range(20)]
    eventually(lambda: bob.stats().peer_messages_held == 20)
    assert not any(future.done() for future in sent)  # nobody has taken them: nothing is acknowledged
    assert texts(bob.events(rtmsync.PeerMessage), 20) == [str(number) for number in range(20)]
    assert all(future.result(30).status is SendStatus.DELIVERED for future in sent)


def test_more_early_peer_messages_than_the_window_stay_with_the_server(connect: Connect) -> None:
    alice, bob = connect(), connect()
    count = EARLY_EVENTS + 100
    sent = [alice.send_peer_future(bob.user_id, str(number), timeout=30) for number in range(count)]
    eventually(lambda: bob.stats().peer_messages_held == EARLY_EVENTS)
    got: list[str] = []
    bob.on(rtmsync.PeerMessage, lambda message: got.append(message.text))
    for future in sent:
        assert future.result(20).status is SendStatus.DELIVERED
    eventually(lambda: len(got) == count)
    assert got == [str(number) for number in range(count)]


def test_channel_messages_wait_for_the_first_subscription(connect: Connect, name: str) -> None:
    alice, bob = connect(), connect()
    with alice.channel(name) as sender, bob.channel(name) as receiver:
        for number in range(5):
            sender.send(str(number))
        receiver.members()  # what was sent before this answer has arrived
        messages = receiver.messages(idle_timeout=30)
        assert [next(messages).text for _ in range(5)] == list("01234")
        messages.close()
        assert list(receiver.messages(idle_timeout=0.05)) == []  # they wait for the first one only


def test_too_many_early_channel_messages_leave_a_marker(connect: Connect, name: str) -> None:
    alice, bob = connect(), connect()
    alice.channel(name).join()
    bob.channel(name).join()
    sender = alice.channel(name)
    futures = [sender.send_future(str(number)) for number in range(EARLY_EVENTS + 7)]
    for future in futures:
        future.result(30)
    bob.channel(name).members()  # what was sent before this answer has arrived
    queue = bob.channel(name).events(rtmsync.ChannelMessage)
    assert queue.get() == Lagged(7)
    first = queue.get()
    assert isinstance(first, rtmsync.ChannelMessage)
    assert first.text == "7"


def test_what_waited_is_dropped_with_the_channel(connect: Connect, name: str) -> None:
    alice, bob = connect(), connect()
    alice.channel(name).join()
    for round_ in range(2):
        bob.channel(name).join()
        alice.channel(name).send(f"round {round_}")
        if round_ == 0:
            bob.channel(name).leave()
    bob.channel(name).members()
    assert next(bob.channel(name).messages(idle_timeout=30)).text == "round 1"


# --- Channels --------------------------------------------------------------------------------------------------


def test_a_channel_joins_and_leaves_as_a_block(connect: Connect, name: str) -> None:
    alice, bob = connect(), connect()
    with alice.channel(name) as channel:
        comings = channel.events(rtmsync.MemberJoined, rtmsync.MemberLeft)
        assert channel.joined
        with bob.channel(name) as other:
            assert set(other.members()) == {alice.user_id, bob.user_id}
            assert comings.get() == rtmsync.MemberJoined(name, bob.user_id, 2)
        assert comings.get() == rtmsync.MemberLeft(name, bob.user_id, 1)
    assert not channel.joined


def test_channel_calls_fail_with_their_codes(connect: Connect, name: str) -> None:
    channel = connect().channel(name)
    with pytest.raises(rtmsync.NotInChannel) as caught:
        channel.send("x")
    assert caught.value.code is SendChannelMessageError.NOT_IN_CHANNEL
    channel.join()
    with pytest.raises(rtmsync.AlreadyJoined) as joined:
        channel.join()
    assert joined.value.code is JoinChannelError.ALREADY_JOINED
    with pytest.raises(rtmsync.InvalidArgument) as invalid:
        channel.send(b"x" * (MESSAGE_BYTES + 1))
    assert invalid.value.code is SendChannelMessageError.INVALID_MESSAGE


def test_the_block_of_a_channel_lets_its_own_error_through(connect: Connect, name: str) -> None:
    client = connect()

    def fail() -> None:
        with client.channel(name):
            client.close()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    other = connect()
    with other.channel(name):
        other.logout()


def test_futures_keep_the_order_of_a_channel(connect: Connect, name: str) -> None:
    alice, bob = connect(), connect()
    queue = bob.channel(name).events(rtmsync.ChannelMessage, maxsize=3000)
    alice.channel(name).join()
    bob.channel(name).join()
    futures = [alice.channel(name).send_future(str(number)) for number in range(1000)]
    positions = [future.result(30).message_id for future in futures]
    assert positions == sorted(positions)
    received = [queue.get() for _ in range(1000)]
    assert [message.text for message in received if isinstance(message, rtmsync.ChannelMessage)] == [
        str(number) for number in range(1000)
    ]


def test_iterating_ends_when_the_channel_is_left(connect: Connect, name: str) -> None:
    client = connect()
    channel = client.channel(name)
    for end in (channel.leave, client.logout, client.close):
        if client.state is ConnectionState.DISCONNECTED:
            client.login()
        channel.join()
        messages = channel.messages()
        timer = threading.Timer(0.05, end)
        timer.start()
        assert list(messages) == []
        timer.join()


def test_iterating_raises_when_the_session_is_aborted(connect: Connect, name: str) -> None:
    client = connect(name)
    channel = client.channel(name)
    channel.join()
    messages = channel.messages()
    connect(name)
    with pytest.raises(rtmsync.Aborted):
        next(messages)


def test_iterating_shows_gaps_where_asked(connect: Connect, name: str) -> None:
    alice, bob = connect(), connect()
    alice.channel(name).join()
    bob.channel(name).join()
    silent, telling = bob.channel(name).messages(idle_timeout=0.3), bob.channel(name).messages(0.3, gaps=True)
    for future in [alice.channel(name).send_future(str(number)) for number in range(1005)]:
        future.result(30)
    bob.channel(name).members()
    assert [message.text for message in silent] == [str(number) for number in range(5, 1005)]
    assert silent.lost == 5
    assert next(telling) == Lagged(5)


# --- Subscriptions ---------------------------------------------------------------------------------------------


def test_get_times_out(connect: Connect) -> None:
    inbox = connect().events(rtmsync.PeerMessage)
    begun = time.monotonic()
    with pytest.raises(rtmsync.RequestTimeout):
        inbox.get(timeout=0.1)
    with pytest.raises(TimeoutError):
        inbox.get(timeout=0)
    assert time.monotonic() - begun < GET_TIMEOUT


def test_several_threads_share_a_queue(connect: Connect) -> None:
    alice, bob = connect(), connect()
    inbox = bob.events(rtmsync.PeerMessage)
    got: list[str] = []
    readers = [threading.Thread(target=lambda: got.extend(texts(inbox, 50))) for _ in range(4)]
    for reader in readers:
        reader.start()
    for future in [alice.send_peer_future(bob.user_id, str(number)) for number in range(200)]:
        future.result(30)
    for reader in readers:
        reader.join(30)
    assert sorted(map(int, got)) == list(range(200))


def test_a_subscription_ends_with_its_block(connect: Connect) -> None:
    client = connect()
    with client.events(rtmsync.PeerMessage) as inbox:
        client.send_peer(client.user_id, "kept")
        assert len(inbox) == 1
    assert texts(inbox, 1) == ["kept"]
    with pytest.raises(rtmsync.StateError):
        inbox.get()
    assert list(inbox) == []


@pytest.mark.parametrize("overflow", ["drop_oldest", "drop_newest"])
def test_a_full_queue_says_what_it_lost(
    connect: Connect, name: str, overflow: rtmsync.subscriptions.Overflow
) -> None:
    alice, bob = connect(), connect()
    alice.channel(name).join()
    bob.channel(name).join()
    queue = bob.channel(name).events(rtmsync.ChannelMessage, maxsize=4, overflow=overflow)
    for number in range(10):
        alice.channel(name).send(str(number))
    bob.channel(name).members()
    if overflow == "drop_oldest":
        assert queue.get() == Lagged(6)
        expected = ["6", "7", "8", "9"]
    else:
        expected = ["0", "1", "2", "3"]
    kept = [queue.get() for _ in range(4)]
    assert [message.text for message in kept if isinstance(message, rtmsync.ChannelMessage)] == expected
    alice.channel(name).send("10")
    if overflow == "drop_newest":
        assert queue.get() == Lagged(6)
    last = queue.get()
    assert isinstance(last, rtmsync.ChannelMessage)
    assert last.text == "10"


def test_peer_messages_are_never_dropped_by_the_only_queue(connect: Connect) -> None:
    alice, bob = connect(), connect()
    inbox = bob.events(rtmsync.PeerMessage, maxsize=4)
    sent = [alice.send_peer_future(bob.user_id, str(number)) for number in range(40)]
    eventually(lambda: bob.stats().peer_messages_held == 36)
    eventually(lambda: sum(future.done() for future in sent) == 4)
    assert texts(inbox, 40) == [str(number) for number in range(40)]
    assert {future.result(30).status for future in sent} == {SendStatus.DELIVERED}


def test_a_queue_that_nobody_reads_holds_back_nobody_else(connect: Connect) -> None:
    alice, bob = connect(), connect()
    forgotten = bob.events(rtmsync.PeerMessage, maxsize=4)
    got: list[str] = []
    bob.on(rtmsync.PeerMessage, lambda message: got.append(message.text))
    for future in [alice.send_peer_future(bob.user_id, str(number)) for number in range(40)]:
        assert future.result(30).status is SendStatus.DELIVERED
    eventually(lambda: len(got) == 40)
    assert texts(forgotten, 4) == list("0123")
    alice.send_peer(bob.user_id, "40")
    assert forgotten.get() == Lagged(36)
    assert texts(forgotten, 1) == ["40"]


def test_a_dropped_subscription_is_forgotten(connect: Connect) -> None:
    alice, bob = connect(), connect()
    bob.events(rtmsync.PeerMessage)  # nobody keeps it
    pending = alice.send_peer_future(bob.user_id, "hello")
    eventually(lambda: bob.stats().peer_messages_held == 1)
    assert not pending.done()
    assert texts(bob.events(rtmsync.PeerMessage), 1) == ["hello"]
    assert pending.result(30).status is SendStatus.DELIVERED


@pytest.mark.parametrize(
    ("events", "options"), [((int,), {}), ((), {"maxsize": 0}), ((), {"overflow": "explode"})]
)
def test_impossible_subscriptions_are_refused(
    make: Connect, events: tuple[type, ...], options: dict[str, object]
) -> None:
    with pytest.raises(rtmsync.InvalidArgument):
        make().events(*events, **options)


def test_all_events_can_be_had_at_once(make: Connect) -> None:
    client = make()
    everything = client.events()
    client.login()
    client.close()
    kinds = [(type(event), event.state) for event in everything]
    assert [state for kind, state in kinds if kind is rtmsync.StateChanged] == [
        ConnectionState.CONNECTING,
        ConnectionState.CONNECTED,
        ConnectionState.DISCONNECTED,
    ]
    assert rtmsync.PeerConnectionStateChanged in {kind for kind, _ in kinds}


# --- Outages ---------------------------------------------------------------------------------------------------


def test_a_cut_line_is_resumed_and_nothing_is_lost(
    connect: Connect, proxy: FaultProxy, proxied: str, name: str
) -> None:
    alice, bob = connect(url=proxied), connect()
    inbox = bob.events(rtmsync.PeerMessage)
    futures = []
    for number in range(600):
        futures.append(alice.send_peer_future(bob.user_id, str(number), timeout=30))
        if number % 200 == 100:
            proxy.cut()
    assert {future.result(30).status for future in futures} == {SendStatus.DELIVERED}
    assert texts(inbox, 600) == [str(number) for number in range(600)]


def test_messages_held_back_survive_a_cut_and_come_once(
    connect: Connect, proxy: FaultProxy, proxied: str
) -> None:
    alice, bob = connect(), connect(url=proxied)
    sent = [alice.send_peer_future(bob.user_id, str(number), timeout=30) for number in range(50)]
    eventually(lambda: bob.stats().peer_messages_held == 50)
    before = proxy.connections
    proxy.cut()
    eventually(lambda: proxy.connections > before)
    inbox = bob.events(rtmsync.PeerMessage)
    assert texts(inbox, 50) == [str(number) for number in range(50)]
    assert {future.result(30).status for future in sent} == {SendStatus.DELIVERED}
    with pytest.raises(rtmsync.RequestTimeout):
        inbox.get(timeout=0.1)


def test_callbacks_that_are_behind_leave_the_rest_with_the_server(connect: Connect) -> None:
    alice, bob = connect(), connect()
    go, got = threading.Event(), []

    @bob.on(rtmsync.PeerMessage)
    def slow(message: rtmsync.PeerMessage) -> None:
        go.wait(60)
        got.append(message.text)

    count = 2 * DISPATCH_WAITING + 200
    sent = [alice.send_peer_future(bob.user_id, str(number), timeout=30) for number in range(count)]
    eventually(lambda: bob.stats().peer_messages_held == DISPATCH_WAITING)
    assert sum(future.done() for future in sent) <= DISPATCH_WAITING + 1
    go.set()
    assert {future.result(20).status for future in sent} == {SendStatus.DELIVERED}
    eventually(lambda: len(got) == count)
    assert got == [str(number) for number in range(count)]


def test_subscriptions_that_come_and_go_leave_nothing_behind(connect: Connect, name: str) -> None:
    channel = connect().channel(name)
    channel.join()
    for _ in range(200):
        assert list(channel.messages(idle_timeout=0)) == []
    channel.members()
    sinks = channel._client._driver._router._sinks
    assert max(map(len, sinks.values())) <= 2
