"""Requests: bad input, answers, time-outs, repeats after cuts, and what is never repeated."""

from collections.abc import Callable
from typing import Any

import pytest

from rtmcore.client.requests import Ticket
from rtmcore.codes import (
    CloseCode,
    GetMembersError,
    JoinChannelError,
    LeaveChannelError,
    MessageType,
    SendChannelMessageError,
    SendPeerMessageError,
)
from rtmcore.errors import (
    AlreadyJoined,
    InvalidArgument,
    LimitExceeded,
    NotInChannel,
    NotLoggedIn,
    RateLimited,
    RequestTimeout,
    RtmError,
    ServerFailure,
)
from rtmcore.limits import MESSAGE_BYTES, OUTBOUND_BYTES, REQUESTS_IN_FLIGHT
from rtmcore.models import JoinResult, PublishResult, SendResult, SendStatus
from rtmcore.wire.packets import (
    Done,
    Failed,
    Floor,
    GetMembers,
    Hello,
    Join,
    Joined,
    Leave,
    MemberList,
    PeerSent,
    Publish,
    Published,
    Ready,
    Roster,
    SendPeer,
)
from tests.core.wires import Bench, HonestServer, never, refused, welcome

TEXT = MessageType.TEXT


def peer(bench: Bench, body: bytes = b"x", **settings: Any) -> Ticket:
    return bench.core.send_peer("bob", TEXT, body, now=bench.now, **settings)


def publish(bench: Bench, body: bytes = b"x", **settings: Any) -> Ticket:
    return bench.core.publish("room", TEXT, body, now=bench.now, **settings)


def in_room(**settings: Any) -> Bench:
    bench = Bench(**settings).online()
    ticket = bench.core.join("room", now=bench.now)
    bench.turn()
    bench.server.last.send(Roster("room", 1, 1, ["ann"]), Joined(ticket.request_id or 0, 10))
    bench.turn()
    assert ticket.value == JoinResult("room", 1, 10)
    bench.events.clear()
    return bench


# --- Answers ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "message", "status"),
    [(0, 99, SendStatus.DELIVERED), (3, 0, SendStatus.PEER_UNREACHABLE), (4, 98, SendStatus.CACHED)],
)
def test_results_of_a_peer_send(code: int, message: int, status: SendStatus) -> None:
    bench = Bench().online()
    ticket = bench.core.send_peer("bob", MessageType.RAW, b"\x00\xff", offline=True, now=bench.now)
    bench.turn()
    sent = bench.server.last.got(SendPeer)[0]
    assert (sent.i, sent.to, sent.kind, sent.body, sent.offline) == (1, "bob", 2, b"\x00\xff", True)
    assert 9000 <= sent.wait < 10_000
    bench.server.last.send(PeerSent(1, code, message))
    bench.turn()
    assert ticket.value == SendResult(status, message)
    assert bench.completed[-1] is ticket


def test_the_context_of_a_ticket_is_the_driver_s() -> None:
    bench = Bench().online()
    ticket = peer(bench)
    ticket.context = future = object()
    bench.turn()
    bench.server.last.send(PeerSent(1, 0, 5))
    bench.turn()
    assert bench.completed[-1].context is future
    assert "object" not in repr(ticket)


def test_results_of_channel_calls() -> None:
    bench = in_room()
    server = bench.server.last
    published = publish(bench)
    members = bench.core.members("room", now=bench.now)
    bench.run(0.01)
    server.send(Published(2, 11, 10), MemberList(3, ["ann", "bob"]))
    bench.turn()
    assert published.value == PublishResult(11)
    assert members.value == ("ann", "bob")
    left = bench.core.leave("room", now=bench.now)
    bench.turn()
    server.send(Done(4))
    bench.turn()
    assert left.done
    assert left.error is None
    assert bench.core.channels == ()


@pytest.mark.parametrize(
    ("call", "number", "code"),
    [
        (peer, 5, SendPeerMessageError.TOO_OFTEN),
        (peer, 2, SendPeerMessageError.TIMEOUT),
        (peer, 4, SendPeerMessageError.FAILURE),
        (peer, 0, SendPeerMessageError.FAILURE),
        (peer, 12345, SendPeerMessageError.FAILURE),
        (publish, 5, SendChannelMessageError.NOT_IN_CHANNEL),
        (publish, 102, SendChannelMessageError.NOT_LOGGED_IN),
        (lambda bench: bench.core.join("other", now=bench.now), 2, JoinChannelError.REJECTED),
        (lambda bench: bench.core.members("room", now=bench.now), 1, GetMembersError.FAILURE),
        (lambda bench: bench.core.leave("room", now=bench.now), 1, LeaveChannelError.FAILURE),
    ],
)
def test_failures_carry_the_documented_code(
    call: Callable[[Bench], Ticket], number: int, code: object
) -> None:
    bench = in_room()
    ticket = call(bench)
    bench.turn()
    bench.server.last.send(Failed(ticket.request_id or 0, number, "Because of this.", 250))
    bench.turn()
    assert isinstance(ticket.error, RtmError)
    assert ticket.error.code is code
    assert ticket.error.operation == ticket.operation.name
    assert ticket.error.state == "CONNECTED"
    assert ticket.error.request_id == ticket.request_id
    assert ticket.error.retry_after == 0.25
    assert "Because of this." in str(ticket.error)


def test_a_peer_send_that_the_server_calls_timed_out_may_have_arrived() -> None:
    bench = Bench().online()
    ticket = peer(bench)
    bench.turn()
    bench.server.last.send(Failed(1, 2, "No acknowledgement."))
    bench.turn()
    assert isinstance(ticket.error, RequestTimeout)
    assert ticket.error.outcome_unknown


def test_leaving_a_channel_that_the_server_has_forgotten_succeeds() -> None:
    bench = in_room()
    ticket = bench.core.leave("room", now=bench.now)
    bench.turn()
    bench.server.last.send(Failed(2, 3, "Not a member."))
    bench.turn()
    assert ticket.done
    assert ticket.error is None
    assert bench.core.channels == ()


def test_answers_that_fit_nothing_are_ignored() -> None:
    bench = in_room()
    ticket = publish(bench)
    bench.turn()
    server = bench.server.last
    server.send(Done(77), Failed(77, 1, ""), PeerSent(77, 0, 1), Published(77, 1, 0), Joined(77, 1))
    server.send(MemberList(77, []), Done(2), PeerSent(2, 0, 5), Joined(2, 1), MemberList(2, []))
    bench.turn()
    assert not ticket.done
    server.send(Published(2, 11, 10))
    bench.turn()
    assert ticket.value == PublishResult(11)
    server.send(Published(2, 11, 10), Failed(2, 1, "late"))
    bench.turn()
    assert ticket.error is None
    assert bench.completed.count(ticket) == 1


# --- Bad input -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, MESSAGE_BYTES])
def test_messages_up_to_32_kib_are_sent(size: int) -> None:
    bench = in_room()
    first, second = peer(bench, b"p" * size), publish(bench, b"c" * size)
    bench.run(0.01)
    assert [p.body for p in bench.server.last.got(SendPeer)] == [b"p" * size]
    assert [p.body for p in bench.server.last.got(Publish)] == [b"c" * size]
    assert not first.done
    assert not second.done


BAD = [
    (lambda b: peer(b, b"x" * (MESSAGE_BYTES + 1)), SendPeerMessageError.INVALID_MESSAGE, "32769 bytes"),
    (
        lambda b: publish(b, b"x" * (MESSAGE_BYTES + 1)),
        SendChannelMessageError.INVALID_MESSAGE,
        "32769 bytes",
    ),
    (lambda b: peer(b, "text"), SendPeerMessageError.INVALID_MESSAGE, "str"),
    (lambda b: publish(b, None), SendChannelMessageError.INVALID_MESSAGE, "NoneType"),
    (
        lambda b: b.core.send_peer("bob", MessageType.IMAGE, b"x", now=b.now),
        SendPeerMessageError.INVALID_MESSAGE,
        "which file",
    ),
    (
        lambda b: b.core.publish("room", [], b"x", now=b.now),
        SendChannelMessageError.INVALID_MESSAGE,
        "TEXT, RAW, FILE or IMAGE",
    ),
    (lambda b: b.core.send_peer("", TEXT, b"x", now=b.now), SendPeerMessageError.INVALID_USER_ID, "empty"),
    (lambda b: b.core.send_peer("a/b", TEXT, b"x", now=b.now), SendPeerMessageError.INVALID_USER_ID, "'/'"),
    (lambda b: b.core.send_peer(5, TEXT, b"x", now=b.now), SendPeerMessageError.INVALID_USER_ID, "string"),
    (lambda b: b.core.send_peer("x" * 65, TEXT, b"x", now=b.now), SendPeerMessageError.INVALID_USER_ID, "65"),
    (lambda b: b.core.join("null", now=b.now), JoinChannelError.INVALID_ARGUMENT, "null"),
    (lambda b: b.core.join(None, now=b.now), JoinChannelError.INVALID_ARGUMENT, "string"),
]


@pytest.mark.parametrize(("call", "code", "words"), BAD)
def test_bad_input_is_refused_at_once_and_loses_nothing(
    call: Callable[[Bench], Ticket], code: object, words: str
) -> None:
    bench = in_room()
    good = peer(bench, b"good")
    with pytest.raises(InvalidArgument) as caught:
        call(bench)
    assert caught.value.code is code
    assert words in str(caught.value)
    after = peer(bench, b"after")
    bench.turn()
    assert [p.i for p in bench.server.last.got(SendPeer)] == [2, 3]
    assert not good.done
    assert not after.done


def test_bytes_like_bodies_are_copied() -> None:
    bench = Bench().online()
    body = bytearray(b"abc")
    bench.core.send_peer("bob", MessageType.RAW, body, now=bench.now)
    bench.core.send_peer("bob", MessageType.RAW, memoryview(body), now=bench.now)
    body[:] = b"xyz"
    bench.turn()
    assert [p.body for p in bench.server.last.got(SendPeer)] == [b"abc", b"abc"]


def test_calls_that_need_membership() -> None:
    bench = Bench().online()
    cases = [
        (
            lambda: bench.core.publish("room", TEXT, b"x", now=bench.now),
            SendChannelMessageError.NOT_IN_CHANNEL,
        ),
        (lambda: bench.core.leave("room", now=bench.now), LeaveChannelError.NOT_IN_CHANNEL),
        (lambda: bench.core.members("room", now=bench.now), GetMembersError.NOT_IN_CHANNEL),
        (
            lambda: bench.core.publish(["room"], TEXT, b"x", now=bench.now),
            SendChannelMessageError.NOT_IN_CHANNEL,
        ),
    ]
    for call, code in cases:
        with pytest.raises(NotInChannel) as caught:
            call()
        assert caught.value.code is code
    bench.core.join("room", now=bench.now)
    for call, _ in (cases[0], cases[2]):  # a leave ends the join
        with pytest.raises(NotInChannel):
            call()


def test_a_channel_is_joined_once() -> None:
    bench = Bench().online()
    bench.core.join("room", now=bench.now)
    with pytest.raises(AlreadyJoined) as caught:
        bench.core.join("room", now=bench.now)
    assert caught.value.code is JoinChannelError.ALREADY_JOINED
    bench = in_room()
    with pytest.raises(AlreadyJoined):
        bench.core.join("room", now=bench.now)


def test_twenty_channels_are_the_limit() -> None:
    bench = Bench(HonestServer()).online()
    tickets = [bench.core.join(f"room {n}", now=bench.now) for n in range(20)]
    with pytest.raises(LimitExceeded) as caught:
        bench.core.join("one more", now=bench.now)
    assert caught.value.code is JoinChannelError.EXCEED_LIMIT
    bench.run(0.1)
    assert all(ticket.error is None and ticket.done for ticket in tickets)
    with pytest.raises(LimitExceeded):
        bench.core.join("one more", now=bench.now)
    bench.core.leave("room 3", now=bench.now)
    bench.run(0.1)
    bench.core.join("one more", now=bench.now)


def test_rates_are_checked_before_anything_is_sent() -> None:
    bench = in_room(rate_limits=True)
    for _ in range(180):
        peer(bench)
    for call, code in ((peer, SendPeerMessageError.TOO_OFTEN), (publish, SendChannelMessageError.TOO_OFTEN)):
        with pytest.raises(RateLimited) as caught:
            call(bench)
        assert caught.value.code is code
        assert caught.value.retry_after == pytest.approx(3.0)
    bench.turn()
    assert len(bench.server.last.got(SendPeer)) == 180
    bench.run(3)
    peer(bench)


def test_so_many_requests_may_wait() -> None:
    bench = Bench().online()
    for _ in range(REQUESTS_IN_FLIGHT):
        peer(bench)
    with pytest.raises(LimitExceeded, match="1024 calls"):
        peer(bench)
    bench.turn()
    bench.server.last.send(PeerSent(1, 0, 5))
    bench.turn()
    peer(bench)


def test_so_many_bytes_may_wait() -> None:
    bench = Bench().online()
    # JSON is allowed for: Base64 makes four bytes of three.
    for _ in range(int(OUTBOUND_BYTES * 0.74 / MESSAGE_BYTES)):
        peer(bench, b"x" * MESSAGE_BYTES)

    def four_more() -> None:
        for _ in range(4):
            peer(bench, b"x" * MESSAGE_BYTES)

    with pytest.raises(LimitExceeded, match="bytes wait"):
        four_more()


# --- Time ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "seconds", "code", "unknown"),
    [
        (peer, 10, SendPeerMessageError.TIMEOUT, True),
        (publish, 10, SendChannelMessageError.TIMEOUT, True),
        (lambda b: b.core.join("other", now=b.now), 5, JoinChannelError.TIMEOUT, True),
        (lambda b: b.core.leave("room", now=b.now), 5, LeaveChannelError.FAILURE, True),
        (lambda b: b.core.members("room", now=b.now), 5, GetMembersError.TIMEOUT, False),
    ],
)
def test_without_an_answer_a_request_times_out(
    call: Callable[[Bench], Ticket], seconds: float, code: object, unknown: bool
) -> None:
    bench = in_room()
    ticket = call(bench)
    bench.run(seconds - 0.01)
    assert not ticket.done
    bench.run(0.02)
    assert isinstance(ticket.error, RequestTimeout)
    assert ticket.error.code is code
    assert ticket.error.outcome_unknown is unknown
    assert ticket.error.state == "CONNECTED"
    assert f"{seconds} s" in str(ticket.error)
    assert bench.completed.count(ticket) == 1


def test_requests_made_while_reconnecting_wait_within_their_time() -> None:
    bench = in_room()
    bench.hole()
    bench.dial = refused
    bench.run(5)
    patient, impatient = peer(bench, b"patient"), peer(bench, b"impatient", timeout=2.0)
    bench.run(2.5)
    assert isinstance(impatient.error, RequestTimeout)
    assert not impatient.error.outcome_unknown
    assert impatient.error.state == "RECONNECTING"
    assert "not be sent" in str(impatient.error)
    bench.dial = lambda event: None
    bench.run(6)
    assert bench.core.state.name == "CONNECTED"
    assert [p.body for p in bench.server.last.got(SendPeer)] == [b"patient"]
    assert not patient.done


def test_nothing_is_written_after_its_deadline_however_late_the_timers_are() -> None:
    bench = Bench().online()
    bench.dial = never
    bench.reset()
    bench.turn()
    late, in_time = peer(bench, b"late", timeout=3.0), peer(bench, b"in time", timeout=100.0)
    bench.sleep(50)
    bench.connect(2)
    bench.turn()
    assert [p.body for p in bench.server.last.got(SendPeer)] == [b"in time"]
    bench.run(0)
    bench.core.handle_timer(bench.now)
    assert isinstance(late.error, RequestTimeout)
    assert not late.error.outcome_unknown
    assert not in_time.done


def test_collected_requests_are_not_written_after_their_deadline() -> None:
    bench = in_room()
    publish(bench)
    short = publish(bench, b"short", timeout=0.001)
    bench.sleep(1)
    bench.core.handle_timer(bench.now)
    bench.turn()
    assert isinstance(short.error, RequestTimeout)
    assert not short.error.outcome_unknown
    assert b"short" not in [p.body for p in bench.server.last.got(Publish)]


def test_an_answer_that_is_read_late_still_counts() -> None:
    bench = Bench().online()
    ticket = peer(bench, timeout=1.0)
    bench.turn()
    bench.sleep(2)
    bench.server.last.send(PeerSent(1, 0, 5))
    bench.turn()
    bench.core.handle_timer(bench.now)
    assert ticket.error is None
    assert ticket.value == SendResult(SendStatus.DELIVERED, 5)


def test_the_server_s_wait_shrinks_with_what_is_left() -> None:
    bench = Bench().online()
    peer(bench, timeout=0.4)
    peer(bench, timeout=10.0)
    bench.turn()
    assert [p.wait for p in bench.server.last.got(SendPeer)] == [300, 9500]
    bench.run(0.3)
    bench.reset()
    bench.run(0.05)
    first, second = bench.server.last.got(SendPeer)
    assert first.wait <= 100
    assert second.wait == pytest.approx(9200, abs=60)


# --- Repeats ---------------------------------------------------------------------------------------------------


def test_requests_without_answer_are_repeated_in_order_right_after_the_welcome() -> None:
    bench = in_room()
    tickets = [publish(bench, str(n).encode()) for n in range(40)]
    bench.run(0.01)
    bench.server.last.send(Published(2, 11, 10), Published(4, 12, 11))
    bench.turn()
    bench.server.on_hello = lambda connection, hello: connection.send(welcome(resumed=True))
    bench.reset()
    bench.turn()
    repeats = bench.server.last.got(Publish)
    assert [p.i for p in repeats] == [3, *range(5, 42)]
    assert [p.body for p in repeats][:2] == [b"1", b"3"]
    hello = bench.server.last.hello
    assert hello is not None
    assert hello.floor == 3
    newer = publish(bench, b"newer")
    bench.run(0.01)
    assert bench.server.last.got(Publish)[-1].i == newer.request_id
    bench.server.last.send(*[Published(p.i, 100 + p.i, 99 + p.i) for p in repeats])
    bench.turn()
    assert all(ticket.done for ticket in tickets)


def test_ids_count_up_over_logins_and_are_never_used_twice() -> None:
    bench = Bench(HonestServer()).online()
    first = peer(bench)
    bench.turn()
    bench.core.logout(bench.now)
    bench.turn()
    bench.login()
    second = peer(bench)
    bench.turn()
    assert (first.request_id, second.request_id) == (1, 2)


def test_a_request_is_not_written_twice_on_one_transport() -> None:
    bench = in_room()
    bench.dial = never
    for n in range(5):
        publish(bench, str(n).encode())
    bench.hole()
    bench.run(4.5)
    publish(bench, b"waits")
    bench.hole(bench.server.last, open_=False)
    bench.run(1)
    assert [p.body for p in bench.server.last.got(Publish)] == [b"0", b"1", b"2", b"3", b"4", b"waits"]


def test_the_floor_moves_with_the_oldest_request_and_leaves_with_the_next_frame() -> None:
    bench = in_room()
    connection = bench.server.last
    peer(bench, b"stuck")
    for n in range(3):
        ticket = publish(bench)
        bench.run(0.01)
        connection.send(Published(ticket.request_id or 0, 11 + n, 10 + n))
        bench.turn()
    assert [p.i for p in connection.got(Floor)] == [2]
    connection.send(PeerSent(2, 0, 50))
    bench.turn()
    peer(bench)
    bench.turn()
    assert [p.i for p in connection.got(Floor)] == [2, 6]
    assert [type(p) for p in connection.frames[-1]] == [Floor, SendPeer]
    for frame in connection.frames:
        assert sum(isinstance(p, Floor) for p in frame) <= 1


def test_nothing_is_asked_for_below_the_floor() -> None:
    bench = Bench(HonestServer()).online()
    bench.core.join("room", now=bench.now)
    bench.turn()
    for n in range(50):
        publish(bench)
        peer(bench)
        if n % 7 == 0:
            bench.reset()
        bench.run(0.3)
    # The server asserts it for each request.
    bench.run(1)
    assert all(ticket.error is None for ticket in bench.completed)


@pytest.mark.parametrize("close", [1002, 1007, 1009, CloseCode.MALFORMED, CloseCode.TOO_LARGE])
def test_requests_on_a_transport_closed_as_malformed_fail_and_are_not_repeated(close: int) -> None:
    bench = in_room()
    sent, spoken = peer(bench), publish(bench)
    joining = bench.core.join("other", now=bench.now)
    asked = bench.core.members("room", now=bench.now)
    bench.run(0.01)
    bench.server.last.close(close)
    later = peer(bench, b"later")
    waiting = [ticket for ticket in (later,) if not ticket.written]
    bench.turn()
    codes = [ticket.error.code for ticket in (sent, spoken, joining, asked) if ticket.error]
    assert codes == [
        SendPeerMessageError.INVALID_MESSAGE,
        SendChannelMessageError.INVALID_MESSAGE,
        JoinChannelError.INVALID_ARGUMENT,
        GetMembersError.FAILURE,
    ]
    assert isinstance(sent.error, InvalidArgument)
    assert str(int(close)) in str(sent.error.__cause__)
    assert bench.states == []
    repeated = [p.i for p in bench.server.last.packets if not isinstance(p, Hello)]
    assert repeated == [ticket.request_id for ticket in waiting]
    # The name is free again.
    bench.core.join("other", now=bench.now)


def test_requests_are_repeated_where_the_client_itself_found_the_server_s_bytes_malformed() -> None:
    bench = Bench().online()
    ticket = peer(bench)
    bench.turn()
    bench.core.receive_data(1, b"\x83\x01x", bench.now)
    bench.turn()
    assert bench.server.last.number == 2
    assert [p.i for p in bench.server.last.got(SendPeer)] == [1]
    assert not ticket.done


def test_requests_survive_a_session_that_was_over() -> None:
    bench = Bench().online()
    ticket = peer(bench, timeout=100)
    bench.turn()
    bench.dial = refused
    bench.reset()
    bench.run(40)
    bench.dial = lambda event: None
    bench.server.on_hello = lambda connection, hello: connection.send(
        welcome(fence=9, resumed=False), Ready()
    )
    bench.run(10)
    assert [p.i for p in bench.server.last.got(SendPeer)] == [1]
    bench.server.last.send(PeerSent(1, 4, 7))
    bench.turn()
    assert ticket.value == SendResult(SendStatus.CACHED, 7)


# --- Cancel ----------------------------------------------------------------------------------------------------


def test_a_request_is_withdrawn_only_before_its_bytes_may_have_left() -> None:
    bench = in_room()
    written = publish(bench)
    collected = publish(bench, b"collected")
    assert written.written
    assert not collected.written
    assert not bench.core.cancel(written, bench.now)
    assert bench.core.cancel(collected, bench.now)
    assert not bench.core.cancel(collected, bench.now)
    bench.run(1)
    assert [p.body for p in bench.server.last.got(Publish)] == [b"x"]
    assert collected not in bench.completed
    bench.server.last.send(Published(2, 11, 10))
    bench.turn()
    assert not bench.core.cancel(written, bench.now)


def test_withdrawn_joins_and_leaves_leave_no_trace() -> None:
    bench = in_room()
    bench.dial = never
    bench.reset()
    bench.turn()
    joining = bench.core.join("other", now=bench.now)
    leaving = bench.core.leave("room", now=bench.now)
    assert bench.core.channels == ()
    assert bench.core.cancel(joining, bench.now)
    assert bench.core.cancel(leaving, bench.now)
    assert bench.core.channels == ("room",)
    bench.core.join("other", now=bench.now)


def test_login_and_logout_cannot_be_withdrawn() -> None:
    bench = Bench()
    bench.dial = never
    login = bench.login()
    assert not bench.core.cancel(login, bench.now)


# --- Joins and leaves that were given up -----------------------------------------------------------------------


def test_a_join_without_answer_is_undone() -> None:
    bench = Bench().online()
    ticket = bench.core.join("room", now=bench.now)
    bench.run(5.1)
    assert isinstance(ticket.error, RequestTimeout)
    connection = bench.server.last
    assert [(type(p), p.i) for p in connection.packets if isinstance(p, Join | Leave)] == [
        (Join, 1),
        (Leave, 2),
    ]
    connection.send(Roster("room", 1, 1, ["ann"]), Joined(1, 5), Done(2))
    bench.turn()
    assert bench.core.channels == ()
    assert bench.completed == [bench.completed[0], ticket]


def test_a_join_that_was_given_up_is_undone_after_a_return_too() -> None:
    server = HonestServer()
    bench = Bench(server).online()
    server.last.hole_down = True
    ticket = bench.core.join("room", timeout=1.0, now=bench.now)
    bench.run(1.5)
    assert isinstance(ticket.error, RequestTimeout)
    assert server.members == {"room"} or server.members == set()
    bench.run(20)
    assert server.members == set()
    again = bench.core.join("room", now=bench.now)
    bench.run(1)
    assert again.error is None
    assert server.members == {"room"}
    assert bench.core.channels == ("room",)


def test_a_leave_without_answer_counts_as_left_and_is_told_again() -> None:
    bench = in_room()
    ticket = bench.core.leave("room", now=bench.now)
    with pytest.raises(NotInChannel):
        publish(bench)
    bench.run(5.1)
    assert isinstance(ticket.error, RequestTimeout)
    assert bench.core.channels == ()
    assert len(bench.server.last.got(Leave)) == 2
    bench.reset()
    bench.turn()
    hello = bench.server.last.hello
    assert hello is not None
    assert hello.channels == []


def test_a_leave_that_was_never_sent_leaves_the_channel_joined() -> None:
    bench = in_room()
    bench.hole()
    bench.dial = refused
    bench.run(5)
    ticket = bench.core.leave("room", timeout=1.0, now=bench.now)
    bench.run(1.1)
    assert isinstance(ticket.error, RequestTimeout)
    assert not ticket.error.outcome_unknown
    assert bench.core.channels == ("room",)


def test_a_leave_during_an_outage_is_carried_out_on_the_return() -> None:
    server = HonestServer()
    bench = Bench(server).online()
    bench.core.join("room", now=bench.now)
    bench.turn()
    bench.dial = never
    bench.reset()
    bench.turn()
    ticket = bench.core.leave("room", now=bench.now)
    bench.connect(2)
    bench.turn()
    assert ticket.done
    assert ticket.error is None
    assert server.members == set()
    assert server.last.hello is not None
    assert server.last.hello.channels == []


def test_a_refused_leave_leaves_the_channel_joined() -> None:
    bench = in_room()
    ticket = bench.core.leave("room", now=bench.now)
    bench.turn()
    bench.server.last.send(Failed(ticket.request_id or 0, 1, "Later."))
    bench.turn()
    assert isinstance(ticket.error, ServerFailure)
    assert bench.core.channels == ("room",)


def test_what_was_not_sent_ends_as_not_logged_in() -> None:
    bench = in_room()
    bench.dial = never
    bench.reset()
    bench.turn()
    ticket = peer(bench)
    bench.core.logout(bench.now)
    bench.turn()
    assert isinstance(ticket.error, NotLoggedIn)
    assert ticket.error.code is SendPeerMessageError.NOT_LOGGED_IN


def test_members_is_a_question() -> None:
    bench = in_room()
    bench.core.members("room", now=bench.now)
    bench.turn()
    assert bench.server.last.got(GetMembers) == [GetMembers(2, "room")]
