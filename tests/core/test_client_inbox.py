"""Receiving peer messages: each once, in order, acknowledged when the application has taken them."""

import random

import pytest

from rtmcore.client.inbox import Inbox
from rtmcore.codes import CloseCode, MessageType
from rtmcore.limits import ORIGIN_MEMORY, ORIGINS_REMEMBERED, ORIGINS_REMEMBERED_MAX
from rtmcore.models import PeerMessage
from rtmcore.wire.packets import Ack, Hello, InboxEntry, Packet, Ready, Sync, Top
from tests.core.wires import Bench, Connection, HonestServer, bodies, never, refused, welcome


def entry(id: int, prev: int, body: bytes = b"x", **changes: object) -> InboxEntry:
    values: dict[str, object] = {"user": "bob", "iid": "instance-of-bob-1", "i": id, "kind": 1, **changes}
    return InboxEntry(id=id, prev=prev, body=body, **values)  # type: ignore[arg-type]


def test_a_message_and_its_acknowledgement() -> None:
    bench = Bench().online()
    bench.server.last.send(entry(1_700_000_000_000_000, 0, "grüß dich".encode(), offline=True, again=True))
    bench.turn()
    message = bench.messages[0]
    assert message == PeerMessage(
        "bob", MessageType.TEXT, "grüß dich".encode(), 1_700_000_000_000_000, True, True
    )
    assert message.text == "grüß dich"
    assert message.raw == message.body
    assert message.server_time == 1_700_000_000.0
    assert "gr" not in repr(message)
    assert bench.server.last.got(Ack) == [Ack(1_700_000_000_000_000)]


def test_kinds() -> None:
    bench = Bench().online()
    bench.server.last.send(entry(1, 0, b"\xff", kind=2), entry(2, 1, b"\xff", kind=99))
    bench.turn()
    assert [m.kind for m in bench.messages] == [MessageType.RAW, MessageType.UNDEFINED]
    assert bench.messages[0].text == "\ufffd"


def test_nothing_is_acknowledged_before_it_was_taken() -> None:
    server = HonestServer()
    bench = Bench(server, take_messages=False).online()
    for n in range(5):
        server.deliver(str(n).encode())
    bench.run(1)
    assert bodies(bench.messages) == [b"0", b"1", b"2", b"3", b"4"]
    assert server.last.got(Ack) == []
    bench.core.handed_over(bench.messages[2].id, bench.now)
    bench.turn()
    assert server.acked == bench.messages[2].id


def test_the_window_stops_the_server_and_nothing_is_lost() -> None:
    server = HonestServer()
    server.window = 8
    bench = Bench(server, take_messages=False, inbox_window=8).online()
    assert server.last.hello is not None
    assert server.last.hello.window == 8
    for n in range(30):
        server.deliver(str(n).encode())
    bench.turn()
    assert len(bench.messages) == 8
    while len(bench.messages) < 30:
        bench.core.handed_over(bench.messages[-1].id, bench.now)
        bench.turn()
    assert bodies(bench.messages) == [str(n).encode() for n in range(30)]


def test_messages_from_before_the_login_come_first_and_in_order() -> None:
    server = HonestServer()
    for n in range(10):
        server.deliver(str(n).encode())
    bench = Bench(server)
    bench.login()
    assert bodies(bench.messages) == [str(n).encode() for n in range(10)]
    server.deliver(b"new")
    bench.turn()
    assert bodies(bench.messages)[-1] == b"new"


def test_a_return_names_the_position_that_was_taken_and_repeats_are_dropped() -> None:
    server = HonestServer()
    bench = Bench(server, take_messages=False).online()
    for n in range(6):
        server.deliver(str(n).encode())
    bench.turn()
    bench.core.handed_over(bench.messages[1].id, bench.now)
    bench.reset()
    server.deliver(b"while away")
    bench.turn()
    assert server.last.hello is not None
    assert server.last.hello.inbox == bench.messages[1].id
    assert bodies(bench.messages) == [b"0", b"1", b"2", b"3", b"4", b"5", b"while away"]
    bench.core.handed_over(bench.messages[-1].id, bench.now)
    bench.turn()
    assert server.inbox == []


def test_what_was_taken_while_away_is_told_in_the_hello() -> None:
    server = HonestServer()
    bench = Bench(server, take_messages=False).online()
    bench.dial = never
    server.deliver(b"one")
    bench.turn()
    bench.reset()
    bench.turn()
    bench.core.handed_over(bench.messages[0].id, bench.now)
    bench.connect(2)
    bench.turn()
    assert server.last.hello is not None
    assert server.last.hello.inbox == bench.messages[0].id
    assert server.last.got(Ack) == []


def test_an_origin_is_given_out_once_and_acknowledged_again() -> None:
    bench = Bench().online()
    connection = bench.server.last
    connection.send(entry(10, 0, b"one", i=7), entry(11, 10, b"two", i=8))
    bench.turn()
    connection.send(entry(20, 11, b"one", i=7), entry(21, 20, b"two", i=8), entry(22, 21, b"three", i=9))
    bench.turn()
    assert bodies(bench.messages) == [b"one", b"two", b"three"]
    assert connection.got(Ack)[-1] == Ack(22)
    connection.send(entry(30, 22, b"two", i=8))
    bench.turn()
    assert connection.got(Ack)[-1] == Ack(30)


def test_the_same_id_of_another_sender_or_instance_is_no_double() -> None:
    bench = Bench().online()
    bench.server.last.send(
        entry(1, 0, b"a", i=7),
        entry(2, 1, b"b", i=7, iid="instance-of-bob-2"),
        entry(3, 2, b"c", i=7, user="eve"),
        entry(4, 3, b"d", i=0, iid="", user="server"),
        entry(5, 4, b"e", i=0, iid="", user="server"),
    )
    bench.turn()
    assert bodies(bench.messages) == [b"a", b"b", b"c", b"d", b"e"]


def test_a_double_behind_what_waits_is_not_acknowledged_before_it() -> None:
    bench = Bench(take_messages=False).online()
    connection = bench.server.last
    connection.send(entry(10, 0, b"one", i=7), entry(11, 10, b"one", i=7), entry(12, 11, b"two", i=8))
    bench.turn()
    assert bodies(bench.messages) == [b"one", b"two"]
    assert connection.got(Ack) == []
    bench.core.handed_over(10, bench.now)
    bench.turn()
    assert connection.got(Ack) == [Ack(11)]


def test_an_entry_that_the_server_does_not_know_as_taken_is_acknowledged_again() -> None:
    bench = Bench().online()
    connection = bench.server.last
    connection.send(entry(10, 0), entry(11, 10))
    bench.turn()
    connection.send(entry(10, 0), entry(11, 10))
    bench.turn()
    assert len(bench.messages) == 2
    assert connection.got(Ack) == [Ack(11), Ack(11)]


def test_a_server_that_forgot_the_position_hears_it_again() -> None:
    bench = Bench().online()
    bench.server.last.send(entry(10, 0))
    bench.turn()
    bench.server.on_hello = lambda connection, hello: connection.send(
        welcome(epoch="e2", inbox=0), Ready(), Top(10, 0)
    )
    bench.reset()
    bench.turn()
    assert bench.server.last.got(Ack) == [Ack(10)]


def test_a_gap_is_a_question_asked_once() -> None:
    bench = Bench().online()
    connection = bench.server.last
    connection.send(entry(10, 0, b"a"))
    bench.turn()
    connection.send(entry(13, 12, b"d"), entry(14, 13, b"e"))
    bench.turn()
    assert connection.got(Sync) == [Sync(10)]
    assert bodies(bench.messages) == [b"a"]
    connection.send(
        entry(11, 10, b"b"), entry(12, 11, b"c"), entry(13, 12, b"d"), entry(14, 13, b"e"), Top(14, 0)
    )
    connection.send(entry(15, 14, b"f"))
    bench.turn()
    assert bodies(bench.messages) == [b"a", b"b", b"c", b"d", b"e", b"f"]
    assert connection.got(Sync) == [Sync(10)]
    assert connection.got(Ack)[-1] == Ack(15)


def test_a_gap_of_entries_that_have_expired_closes_with_the_top() -> None:
    bench = Bench().online()
    connection = bench.server.last
    connection.send(entry(10, 0, b"a"), entry(13, 12, b"d"))
    bench.turn()
    connection.send(entry(13, 12, b"d"), Top(13, 0), entry(14, 13, b"e"))
    bench.turn()
    assert bodies(bench.messages) == [b"a", b"d", b"e"]


def test_a_replay_may_skip_what_has_expired() -> None:
    bench = Bench()

    def answer(connection: Connection, hello: Hello) -> None:
        connection.send(welcome(inbox=5), Ready(), entry(8, 7, b"a"), entry(12, 11, b"b"), Top(12, 0))

    bench.server.on_hello = answer
    bench.login()
    assert bodies(bench.messages) == [b"a", b"b"]
    assert bench.server.last.got(Sync) == []


def test_live_entries_that_cross_the_question_are_kept_in_order() -> None:
    bench = Bench().online()
    connection = bench.server.last
    connection.send(entry(10, 0, b"a"), entry(12, 11, b"c"))
    bench.turn()
    # Two more were on the way before the server read the question.
    connection.send(entry(13, 12, b"d"), entry(14, 13, b"e"))
    connection.send(
        entry(11, 10, b"b"), entry(12, 11, b"c"), entry(13, 12, b"d"), entry(14, 13, b"e"), Top(14, 0)
    )
    bench.turn()
    assert bodies(bench.messages) == [b"a", b"b", b"c", b"d", b"e"]


def test_a_gap_behind_which_the_window_fills_up_does_not_stop_everything() -> None:
    bench = Bench(inbox_window=4).online()
    connection = bench.server.last
    connection.send(entry(10, 0, b"a"), entry(20, 19, b"x"))
    bench.turn()
    # Everything up to 15 has expired: the answer does not begin where the reader stands.
    connection.send(entry(16, 15, b"b"), entry(17, 16, b"c"), entry(18, 17, b"d"))
    bench.turn()
    assert bodies(bench.messages) == [b"a", b"b", b"c", b"d"]
    assert connection.got(Ack)[-1] == Ack(18)
    connection.send(entry(19, 18, b"w"), entry(20, 19, b"x"), Top(20, 0), entry(21, 20, b"y"))
    bench.turn()
    assert bodies(bench.messages) == [b"a", b"b", b"c", b"d", b"w", b"x", b"y"]


def test_a_server_that_ignores_the_window_is_left() -> None:
    bench = Bench(take_messages=False, inbox_window=4).online()
    first = bench.server.last
    first.send(*[entry(n, n - 1) for n in range(1, 20)])
    bench.turn()
    assert len(bench.messages) <= 9
    assert first.closed is not None
    assert first.closed.code == CloseCode.POLICY
    assert bench.server.last is not first
    assert bench.states == []


def test_an_unexpected_top_skips_nothing() -> None:
    bench = Bench().online()
    bench.server.last.send(entry(10, 0, b"a"), Top(50, 0), entry(11, 10, b"b"))
    bench.turn()
    assert bodies(bench.messages) == [b"a", b"b"]


def test_positions_live_over_logout_and_login() -> None:
    server = HonestServer()
    bench = Bench(server).online()
    server.deliver(b"one")
    bench.turn()
    bench.core.logout(bench.now)
    bench.turn()
    server.current = None
    server.deliver(b"stored")
    bench.login()
    assert server.last.hello is not None
    assert server.last.hello.inbox == bench.messages[0].id
    assert bodies(bench.messages) == [b"one", b"stored"]


def test_acknowledgements_wait_while_interrupted() -> None:
    server = HonestServer()
    bench = Bench(server, take_messages=False).online()
    bench.dial = refused
    server.deliver(b"one")
    bench.turn()
    bench.hole()
    bench.run(6)
    before = len(server.last.up)
    bench.core.handed_over(bench.messages[0].id, bench.now)
    bench.turn()
    assert len(server.last.up) == before
    bench.dial = lambda event: None
    bench.run(8)
    assert server.acked == bench.messages[0].id


# --- What is remembered ----------------------------------------------------------------------------------------


def test_origins_are_remembered_by_number_and_by_time_and_never_without_bound() -> None:
    asked: list[Packet] = []
    given: list[PeerMessage] = []
    inbox = Inbox(given.append, asked.append, 10**9, lambda *_: None)
    inbox.welcomed(0)
    inbox.top(Top(0, 0), 0.0)
    position = 0

    def receive(origin: int, now: float) -> bool:
        nonlocal position
        position += 1
        before = len(given)
        inbox.receive(entry(position, position - 1, i=origin), now)
        inbox.handed_over(position)
        return len(given) > before

    for origin in range(ORIGINS_REMEMBERED + 1000):
        assert receive(origin, 0.0)
    # All of them are young.
    assert not receive(0, ORIGIN_MEMORY - 1)
    assert receive(10**6, ORIGIN_MEMORY + 1)
    # Now the oldest are not; but the last 4,096 are known whatever their age.
    assert receive(0, ORIGIN_MEMORY + 1)
    assert not receive(ORIGINS_REMEMBERED + 999, 10 * ORIGIN_MEMORY)
    for origin in range(10**7, 10**7 + ORIGINS_REMEMBERED_MAX + 500):
        receive(origin, 10_000.0)
    assert len(inbox._origins) == len(inbox._origin_times) == ORIGINS_REMEMBERED_MAX
    assert asked == []


@pytest.mark.parametrize("seed", range(20))
def test_whatever_is_repeated_or_skipped_each_message_comes_once_in_order(seed: int) -> None:
    print("seed", seed)
    dice = random.Random(seed)
    log = [entry(10 * n, 10 * (n - 1) if n > 1 else 0, str(n).encode(), i=n) for n in range(1, 60)]
    asked: list[Packet] = []
    given: list[PeerMessage] = []
    inbox = Inbox(given.append, asked.append, 256, lambda *_: None)
    inbox.welcomed(0)
    inbox.top(Top(0, 0), 0.0)
    place = 0
    while place < len(log):
        if asked:
            question = asked.pop()
            assert isinstance(question, Sync)
            for each in [e for e in log[:place] if e.id > question.id]:
                inbox.receive(each, 0.0)
            inbox.top(Top(log[place - 1].id, 0), 0.0)
            continue
        step = dice.choice(["next", "next", "next", "skip", "repeat"])
        if step == "skip" and place + 1 < len(log):
            place += dice.randrange(1, 3)
            place = min(place, len(log) - 1)
        elif step == "repeat" and place:
            inbox.receive(dice.choice(log[:place]), 0.0)
            continue
        inbox.receive(log[place], 0.0)
        place += 1
    while asked:
        question = asked.pop()
        assert isinstance(question, Sync)
        for each in [e for e in log if e.id > question.id]:
            inbox.receive(each, 0.0)
        inbox.top(Top(log[-1].id, 0), 0.0)
    assert bodies(given) == [str(n).encode() for n in range(1, 60)]
