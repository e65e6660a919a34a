"""Channel messages: one order, each once, gaps explained; and who is in a channel."""

from collections.abc import Callable
from typing import Any

import pytest

from rtmcore.client.events import ChannelGap, ChannelLost, MemberJoined, MemberLeft
from rtmcore.client.requests import Ticket
from rtmcore.codes import (
    CloseCode,
    GetMembersError,
    JoinChannelError,
    LeaveChannelError,
    LeaveChannelReason,
    MessageType,
)
from rtmcore.errors import NotInChannel
from rtmcore.limits import CHANNEL_HELD_MESSAGES, CHANNEL_SENDERS_REMEMBERED, CHANNELS_JOINED
from rtmcore.models import ChannelMessage, JoinResult
from rtmcore.wire.packets import (
    ChannelEntry,
    Expelled,
    Failed,
    Hello,
    Joined,
    MemberChanged,
    Publish,
    Published,
    Ready,
    Restored,
    Roster,
    Sync,
    Top,
)
from tests.core.wires import Bench, Connection, HonestServer, bodies, never, refused, welcome

USERS = ["ann", "bob", "cy"]


def entry(id: int, prev: int, body: bytes | None = None, **changes: Any) -> ChannelEntry:
    values: dict[str, Any] = {
        "ch": "room",
        "user": "bob",
        "iid": "instance-of-bob",
        "i": id,
        "kind": 1,
        **changes,
    }
    return ChannelEntry(id=id, prev=prev, body=str(id).encode() if body is None else body, **values)


def in_room(position: int = 10, *, server: Any = None, **settings: Any) -> Bench:
    bench = Bench(server, **settings).online()
    ticket = bench.core.join("room", now=bench.now)
    bench.turn()
    if not ticket.done:
        bench.server.last.send(Roster("room", 5, 3, USERS), Joined(ticket.request_id or 0, position))
        bench.turn()
    assert isinstance(ticket.value, JoinResult)
    return bench


def publish(bench: Bench, body: bytes = b"own", **settings: Any) -> Ticket:
    return bench.core.publish("room", MessageType.TEXT, body, now=bench.now, **settings)


def ids(bench: Bench) -> list[int]:
    return [message.id for message in bench.channel_messages()]


# --- In order --------------------------------------------------------------------------------------------------


def test_a_channel_message() -> None:
    bench = in_room()
    bench.server.last.send(entry(1_700_000_000_000_000, 10, b"hello", kind=2))
    bench.turn()
    message = bench.channel_messages()[0]
    assert message == ChannelMessage("room", "bob", MessageType.RAW, b"hello", 1_700_000_000_000_000)
    assert (message.text, message.raw, message.server_time) == ("hello", b"hello", 1_700_000_000.0)
    assert "hello" not in repr(message)


def test_joining_announces_nobody_and_tells_the_count() -> None:
    bench = Bench().online()
    ticket = bench.core.join("room", now=bench.now)
    bench.turn()
    bench.server.last.send(Roster("room", 5, 3, USERS), Joined(ticket.request_id or 0, 10))
    bench.turn()
    assert ticket.value == JoinResult("room", 3, 10)
    assert bench.events == []
    assert bench.core.channels == ("room",)


def test_entries_of_channels_that_are_not_joined_are_ignored() -> None:
    bench = in_room()
    bench.server.last.send(
        entry(11, 10, ch="other"), MemberChanged("other", "x", True, 9, 9), Top(5, 3, "other")
    )
    bench.server.last.send(Roster("other", 1, 1, ["x"]), Restored("other", 2))
    bench.turn()
    assert bench.events == []


def test_repeats_are_dropped() -> None:
    bench = in_room()
    bench.server.last.send(entry(11, 10), entry(11, 10), entry(12, 11), entry(11, 10), entry(9, 8))
    bench.turn()
    assert ids(bench) == [11, 12]


def test_own_messages_join_the_chain() -> None:
    bench = in_room()
    own = publish(bench)
    bench.turn()
    bench.server.last.send(entry(11, 10), Published(own.request_id or 0, 12, 11), entry(13, 12))
    bench.turn()
    assert ids(bench) == [11, 13]
    assert bench.server.last.got(Sync) == []


# --- Gaps ------------------------------------------------------------------------------------------------------


def test_a_gap_is_asked_about_once_and_filled() -> None:
    bench = in_room()
    connection = bench.server.last
    connection.send(entry(13, 12), entry(14, 13))
    bench.turn()
    assert connection.got(Sync) == [Sync(10, "room")]
    connection.send(entry(15, 14))
    bench.turn()
    assert ids(bench) == []
    connection.send(*[entry(n, n - 1) for n in range(11, 16)], Top(15, 0, "room"), entry(16, 15))
    bench.turn()
    assert ids(bench) == [11, 12, 13, 14, 15, 16]
    assert bench.of(ChannelGap) == []
    assert connection.got(Sync) == [Sync(10, "room")]


def test_what_is_lost_is_told_in_its_place() -> None:
    bench = in_room()
    connection = bench.server.last
    connection.send(entry(20, 19))
    bench.turn()
    connection.send(entry(18, 17), entry(19, 18), entry(20, 19), Top(20, 7, "room"), entry(21, 20))
    bench.turn()
    assert [e if isinstance(e, ChannelGap) else e.id for e in bench.events] == [
        ChannelGap("room", 7),
        18,
        19,
        20,
        21,
    ]


def test_a_gap_waits_for_own_messages_in_flight() -> None:
    bench = in_room()
    connection = bench.server.last
    first, second = publish(bench), publish(bench)
    bench.run(0.01)
    connection.send(entry(13, 12))
    bench.turn()
    assert connection.got(Sync) == []
    third = publish(bench)
    bench.run(0.01)
    connection.send(Published(first.request_id or 0, 11, 10))
    bench.turn()
    assert connection.got(Sync) == []
    connection.send(Published(second.request_id or 0, 12, 11))
    bench.turn()
    assert ids(bench) == [13]
    assert connection.got(Sync) == []
    assert not third.done


def test_a_gap_does_not_wait_for_messages_published_after_it() -> None:
    bench = in_room()
    connection = bench.server.last
    first = publish(bench)
    bench.run(0.01)
    connection.send(entry(30, 29))
    bench.turn()
    for _ in range(5):
        publish(bench)
    bench.run(0.01)
    connection.send(Published(first.request_id or 0, 31, 30))
    bench.turn()
    assert connection.got(Sync) == [Sync(10, "room")]


@pytest.mark.parametrize("end", ["failure", "timeout"])
def test_a_gap_does_not_wait_for_messages_that_came_to_nothing(end: str) -> None:
    bench = in_room()
    connection = bench.server.last
    own = publish(bench, timeout=1.0)
    bench.run(0.01)
    connection.send(entry(12, 11))
    bench.turn()
    assert connection.got(Sync) == []
    if end == "failure":
        connection.send(Failed(own.request_id or 0, 1, "No."))
        bench.turn()
    else:
        bench.run(1.1)
    assert own.error is not None
    assert connection.got(Sync) == [Sync(10, "room")]


def test_own_messages_are_answered_with_what_is_behind_them() -> None:
    bench = in_room()
    own = publish(bench)
    bench.turn()
    bench.server.last.send(entry(12, 11), entry(13, 12))
    bench.turn()
    assert ids(bench) == []
    bench.server.last.send(Published(own.request_id or 0, 11, 10))
    bench.turn()
    assert ids(bench) == [12, 13]
    assert own.done


def test_what_is_held_is_bounded_and_comes_again_with_the_answer() -> None:
    bench = in_room()
    connection = bench.server.last
    publish(bench)
    bench.run(0.01)
    for n in range(CHANNEL_HELD_MESSAGES + 50):
        connection.send(entry(1000 + n, 999 + n))
        bench.turn()
    channel = bench.core._channels._joined["room"]
    assert channel.reader.held <= CHANNEL_HELD_MESSAGES
    assert connection.got(Sync) == [Sync(10, "room")]
    top = 1000 + CHANNEL_HELD_MESSAGES + 49
    answer = [entry(n, n - 1) for n in range(top - 31, top + 1)]
    lost = top - 32 - 999
    for each in answer:
        connection.send(each)
    connection.send(Top(top, lost, "room"))
    bench.turn()
    gap = bench.of(ChannelGap)
    received = ids(bench)
    assert received == sorted(set(received))
    assert received[-32:] == list(range(top - 31, top + 1))
    assert len(received) + sum(g.lost for g in gap) == top - 999


def test_large_messages_are_bounded_by_their_bytes() -> None:
    bench = in_room()
    connection = bench.server.last
    publish(bench)
    bench.run(0.01)
    for n in range(40):
        connection.send(entry(1000 + n, 999 + n, b"x" * 32_768))
        bench.turn()
    assert bench.core._channels._joined["room"].reader.held_bytes <= 1024 * 1024
    assert connection.got(Sync) == [Sync(10, "room")]


def test_a_server_that_replays_without_end_is_left() -> None:
    bench = in_room()
    first = bench.server.last
    first.send(entry(900, 899))
    bench.turn()
    for n in range(20, 600):
        first.send(entry(n, n - 1, b""))
    bench.turn()
    assert first.closed is not None
    assert first.closed.code == CloseCode.POLICY
    assert bench.core.state.name == "CONNECTED"


def test_what_is_held_but_gone_from_the_server_is_not_counted_as_lost() -> None:
    bench = in_room()
    connection = bench.server.last
    # 11 is missing; 12 to 60 are here, and the server's window holds the newest 32 of 11 to 60.
    connection.send(*[entry(n, n - 1) for n in range(12, 61)])
    bench.turn()
    connection.send(*[entry(n, n - 1) for n in range(29, 61)], Top(60, 18, "room"))
    bench.turn()
    assert [e.lost if isinstance(e, ChannelGap) else e.id for e in bench.events] == [1, *range(12, 61)]


def test_what_is_held_behind_an_own_message_stands_before_a_loss_that_comes_later() -> None:
    bench = in_room()
    connection = bench.server.last
    # 11 is an own message, whose answer never comes.
    publish(bench, timeout=0.5)
    bench.run(1.0)
    connection.send(entry(12, 11))
    bench.turn()
    assert connection.got(Sync) == [Sync(10, "room")]
    # The server is late: when it reads the log, 12 to 49 are gone.
    connection.send(*[entry(n, n - 1) for n in range(50, 82)], Top(81, 38, "room"))
    bench.turn()
    assert [e.lost if isinstance(e, ChannelGap) else e.id for e in bench.events] == [12, 37, *range(50, 82)]


def test_a_second_gap_is_another_question() -> None:
    bench = in_room()
    connection = bench.server.last
    connection.send(entry(12, 11))
    bench.turn()
    connection.send(entry(11, 10), entry(12, 11), Top(12, 0, "room"), entry(15, 14))
    bench.turn()
    assert connection.got(Sync) == [Sync(10, "room"), Sync(12, "room")]
    connection.send(entry(15, 14), Top(15, 2, "room"))
    bench.turn()
    assert [e.lost if isinstance(e, ChannelGap) else e.id for e in bench.events] == [11, 12, 2, 15]


def test_an_unexpected_top_skips_nothing() -> None:
    bench = in_room()
    bench.server.last.send(Top(50, 3, "room"), entry(11, 10))
    bench.turn()
    assert ids(bench) == [11]
    assert bench.of(ChannelGap) == []


# --- Doubles of a sender ---------------------------------------------------------------------------------------


def test_a_message_that_its_sender_repeated_is_given_out_once() -> None:
    bench = in_room()
    bench.server.last.send(
        entry(11, 10, b"a", i=1),
        entry(12, 11, b"b", i=2),
        entry(13, 12, b"a", i=1),
        entry(14, 13, b"b", i=2),
        entry(15, 14, b"c", i=3),
        entry(16, 15, b"a of another", i=1, iid="instance-of-cy", user="cy"),
        entry(17, 16, b"server", i=0, iid=""),
        entry(18, 17, b"server", i=0, iid=""),
    )
    bench.turn()
    assert bodies(bench.channel_messages()) == [b"a", b"b", b"c", b"a of another", b"server", b"server"]


def test_senders_that_are_remembered_are_bounded() -> None:
    bench = in_room()
    channels = bench.core._channels
    for n in range(3 * CHANNEL_SENDERS_REMEMBERED):
        channels.receive(entry(11 + n, 10 + n, b"x", iid=f"instance-{n}", i=5))
    assert len(channels._senders) + len(channels._older_senders) <= 2 * CHANNEL_SENDERS_REMEMBERED
    top = 10 + 3 * CHANNEL_SENDERS_REMEMBERED
    before = len(bench.core._events)
    channels.receive(entry(top + 1, top, b"x", iid=f"instance-{3 * CHANNEL_SENDERS_REMEMBERED - 1}", i=5))
    assert len(bench.core._events) == before


# --- Returns ---------------------------------------------------------------------------------------------------


def answering(*packets: Any, **figures: Any) -> Callable[[Connection, Hello], None]:
    def answer(connection: Connection, hello: Hello) -> None:
        connection.send(welcome(resumed=True, **figures), Restored("room"), Ready(), *packets)

    return answer


def test_messages_of_the_outage_are_replayed_in_order() -> None:
    bench = in_room()
    bench.server.last.send(entry(11, 10))
    bench.turn()
    bench.server.on_hello = answering(
        entry(11, 10), entry(12, 11), entry(13, 12), Top(13, 0, "room"), Top(0, 0), entry(14, 13)
    )
    bench.reset()
    bench.turn()
    assert ids(bench) == [11, 12, 13, 14]
    assert bench.of(ChannelGap) == []


def test_an_idle_channel_is_no_loss() -> None:
    bench = in_room()
    bench.server.on_hello = answering(Top(10, 0, "room"), Top(0, 0), entry(11, 10))
    bench.reset()
    bench.turn()
    assert ids(bench) == [11]
    assert bench.server.last.got(Sync) == []


def test_more_than_the_window_is_told_as_lost_before_what_is_left() -> None:
    server = HonestServer()
    bench = in_room(server=server)
    server.speak(b"before")
    bench.turn()
    bench.dial = refused
    bench.reset()
    for n in range(100):
        server.speak(str(n).encode())
    bench.run(10)
    bench.dial = lambda event: None
    bench.run(9)
    server.speak(b"after")
    bench.turn()
    shown = [e.lost if isinstance(e, ChannelGap) else e.body for e in bench.of(ChannelGap, ChannelMessage)]
    assert shown == [b"before", 68, *[str(n).encode() for n in range(68, 100)], b"after"]


def test_what_still_came_on_the_old_transport_is_not_counted_as_lost() -> None:
    bench = in_room()
    old = bench.server.last
    bench.server.answer_hello = False
    old.hole_down = True
    bench.run(3.5)
    new = bench.server.last
    assert new.hello is not None
    assert new.hello.channels[0].id == 10
    old.hole_down = False
    old.send(entry(11, 10), entry(12, 11), entry(13, 12))
    bench.turn()
    assert ids(bench) == [11, 12, 13]
    # The server reads from 10; its window begins with 13, so it counts 11 and 12 as lost.
    new.send(
        welcome(resumed=True), Restored("room"), Ready(), entry(13, 12), entry(14, 13), Top(14, 2, "room")
    )
    bench.turn()
    assert ids(bench) == [11, 12, 13, 14]
    assert bench.of(ChannelGap) == []


def test_live_messages_that_cross_a_question_are_not_counted_as_lost() -> None:
    bench = in_room()
    connection = bench.server.last
    own = publish(bench)
    bench.turn()
    # The own message is answered before 11 to 13, which are on their way, have come.
    connection.send(Published(own.request_id or 0, 14, 13))
    bench.turn()
    assert connection.got(Sync) == [Sync(10, "room")]
    connection.send(entry(11, 10), entry(12, 11), entry(13, 12), entry(15, 14))
    # Then the answer: of 11 to 40 the server has the newest.
    connection.send(*[entry(n, n - 1) for n in range(30, 41)], Top(40, 18, "room"))
    bench.turn()
    assert ids(bench) == [11, 12, 13, 15, *range(30, 41)]
    assert [gap.lost for gap in bench.of(ChannelGap)] == [14]


def test_everything_lost_is_told_as_well() -> None:
    bench = in_room()
    bench.server.on_hello = answering(Top(50, 40, "room"), Top(0, 0), entry(51, 50))
    bench.reset()
    bench.turn()
    assert [e.lost if isinstance(e, ChannelGap) else e.id for e in bench.events] == [40, 51]


def test_own_messages_between_are_no_gap() -> None:
    bench = in_room()
    # 12 and 14 are this user's own, from before the cut; the server does not send them back.
    bench.server.on_hello = answering(entry(11, 10), entry(13, 12), entry(15, 14), Top(15, 0, "room"))
    bench.reset()
    bench.turn()
    assert ids(bench) == [11, 13, 15]
    assert bench.of(ChannelGap) == []
    assert bench.server.last.got(Sync) == []


def test_a_repeat_s_answer_may_come_before_or_after_the_replay() -> None:
    for early in (True, False):
        bench = in_room()
        own = publish(bench)
        bench.turn()
        number = own.request_id or 0

        def answer(connection: Connection, hello: Hello, early: bool = early, number: int = number) -> None:
            connection.send(welcome(resumed=True), Restored("room"), Ready())
            replay = [entry(12, 11), Top(12, 0, "room"), Top(0, 0)]
            answered = [Published(number, 11, 10)]
            connection.send(*(answered + replay if early else replay + answered), entry(13, 12))

        bench.server.on_hello = answer
        bench.reset()
        bench.turn()
        assert ids(bench) == [12, 13]
        assert own.error is None
        assert own.done


def test_a_second_cut_during_the_replay_begins_where_the_first_ended() -> None:
    server = HonestServer()
    bench = in_room(server=server)
    bench.dial = never
    bench.reset()
    bench.turn()
    for n in range(20):
        server.speak(str(n).encode())
    bench.connect(2)
    server.last.cut_down = 1500
    bench.turn()
    assert 0 < len(bench.channel_messages()) < 20
    bench.dial = lambda event: None
    bench.run(2)
    bench.reset()
    bench.run(2)
    assert bodies(bench.channel_messages()) == [str(n).encode() for n in range(20)]


def test_a_join_whose_answer_got_lost_asks_for_what_came_in_between() -> None:
    server = HonestServer()
    bench = Bench(server).online()
    server.last.hole_down = True
    ticket = bench.core.join("room", now=bench.now)
    bench.turn()
    assert server.members == {"room"}
    server.speak(b"one")
    bench.reset()
    bench.run(0.5)
    server.speak(b"two")
    bench.turn()
    assert ticket.error is None
    assert bodies(bench.channel_messages()) == [b"one", b"two"]


def test_a_channel_joined_behind_a_hello_is_asked_about() -> None:
    bench = Bench().online()
    ticket = bench.core.join("room", now=bench.now)
    bench.turn()
    old = bench.server.last
    bench.server.answer_hello = False
    old.hole_down = True
    bench.run(3.5)
    new = bench.server.last
    assert new.hello is not None
    assert new.hello.channels == []
    old.hole_down = False
    old.send(Roster("room", 1, 1, ["ann"]), Joined(ticket.request_id or 0, 10))
    bench.turn()
    assert ticket.done
    new.send(welcome(resumed=True), Ready())
    bench.turn()
    assert new.got(Sync) == [Sync(10, "room")]


def test_a_new_epoch_begins_a_new_log() -> None:
    bench = in_room()
    bench.server.last.send(entry(11, 10))
    bench.turn()
    bench.server.on_hello = answering(Top(0, 0, "room"), Top(0, 0), entry(500, 0), epoch="e2")
    bench.reset()
    bench.turn()
    assert ids(bench) == [11, 500]
    assert bench.server.last.got(Sync) == []


def test_what_is_held_of_an_old_log_is_handed_over_behind_a_gap() -> None:
    bench = in_room()
    # 11 and 14 have not come; 16 is held by way of an own message.
    bench.server.last.send(entry(13, 12), entry(12, 11), entry(15, 14))
    own = publish(bench)
    bench.turn()
    bench.server.last.send(Published(own.request_id or 0, 16, 15), entry(17, 16))
    bench.turn()
    assert ids(bench) == []
    bench.server.on_hello = answering(Top(0, 0, "room"), Top(0, 0), entry(500, 0), epoch="e2")
    bench.reset()
    bench.turn()
    shown = [e.lost if isinstance(e, ChannelGap) else e.body for e in bench.of(ChannelGap, ChannelMessage)]
    assert shown == [1, b"12", b"13", 1, b"15", b"17", b"500"]
    assert bench.server.last.hello is not None
    assert bench.server.last.hello.channels[0].id == 10
    assert bench.server.last.got(Sync) == []


def test_what_an_own_message_may_explain_is_not_called_lost_with_an_old_log() -> None:
    bench = in_room()
    own = publish(bench, timeout=20)
    bench.turn()
    bench.server.last.send(entry(12, 11))
    bench.turn()
    bench.server.on_hello = answering(Top(0, 0, "room"), Top(0, 0), epoch="e2")
    bench.reset()
    bench.turn()
    assert ids(bench) == [12]
    bench.server.last.send(entry(500, 0, i=13), Published(own.request_id or 0, 501, 500))
    bench.turn()
    assert ids(bench) == [12, 500]
    assert own.error is None
    assert own.done
    assert bench.of(ChannelGap) == []


def test_an_own_message_that_was_given_up_may_explain_it_too() -> None:
    bench = in_room()
    own = publish(bench, timeout=1)
    bench.turn()
    bench.run(1.5)
    assert own.done
    bench.server.last.send(entry(12, 11))
    bench.turn()
    bench.server.on_hello = answering(Top(0, 0, "room"), Top(0, 0), epoch="e2")
    bench.reset()
    bench.turn()
    assert (ids(bench), bench.of(ChannelGap)) == ([12], [])


def test_what_is_held_at_a_return_to_the_same_log_comes_again() -> None:
    bench = in_room()
    bench.server.last.send(entry(12, 11))
    bench.turn()
    bench.server.on_hello = answering(entry(11, 10), entry(12, 11), Top(12, 0, "room"), Top(0, 0))
    bench.reset()
    bench.turn()
    assert (ids(bench), bench.of(ChannelGap)) == ([11, 12], [])


def test_what_came_of_an_old_log_behind_a_hello_hides_no_loss_in_the_new_one() -> None:
    bench = in_room()
    old = bench.server.last
    bench.server.answer_hello = False
    old.hole_down = True
    bench.run(3.5)
    new = bench.server.last
    old.hole_down = False
    old.send(entry(11, 10), entry(12, 11))
    bench.turn()
    new.send(welcome(epoch="e2"), Restored("room"), Ready(), entry(540, 539), Top(540, 2, "room"))
    bench.turn()
    shown = [e.lost if isinstance(e, ChannelGap) else e.id for e in bench.of(ChannelGap, ChannelMessage)]
    assert shown == [11, 12, 2, 540]


def test_messages_repeated_by_their_sender_after_a_restart_are_dropped() -> None:
    bench = in_room()
    bench.server.last.send(entry(11, 10, b"a", i=1), entry(12, 11, b"b", i=2))
    bench.turn()
    bench.server.on_hello = answering(
        Top(0, 0, "room"),
        Top(0, 0),
        entry(500, 0, b"b", i=2),
        entry(501, 500, b"c", i=3),
        epoch="e2",
    )
    bench.reset()
    bench.turn()
    assert bodies(bench.channel_messages()) == [b"a", b"b", b"c"]


# --- Members ---------------------------------------------------------------------------------------------------


def changed(user: str, joined: bool, version: int, count: int) -> MemberChanged:
    return MemberChanged("room", user, joined, version, count)


def test_members_come_and_go() -> None:
    bench = in_room()
    bench.server.last.send(
        changed("dora", True, 6, 4), changed("bob", False, 7, 3), changed("bob", True, 8, 4)
    )
    bench.turn()
    assert bench.events == [
        MemberJoined("room", "dora", 4),
        MemberLeft("room", "bob", 3),
        MemberJoined("room", "bob", 4),
    ]


def test_old_versions_repeats_and_oneself_are_not_announced() -> None:
    bench = in_room()
    bench.server.last.send(
        changed("old", True, 5, 4),
        changed("ann", True, 6, 3),
        changed("bob", True, 7, 3),
        changed("nobody", False, 8, 3),
        changed("dora", True, 8, 4),
        changed("dora", True, 9, 4),
    )
    bench.turn()
    assert bench.events == [MemberJoined("room", "dora", 4)]


def test_a_roster_of_the_same_version_changes_nothing() -> None:
    bench = in_room()
    bench.server.last.send(Roster("room", 5, 1, ["ann"]))
    bench.turn()
    assert bench.events == []
    bench.server.last.send(Roster("room", 6, 2, ["ann", "cy"]))
    bench.turn()
    assert bench.events == [MemberLeft("room", "bob", 2)]


def test_members_of_a_very_large_channel_are_not_listed() -> None:
    bench = in_room()
    bench.server.last.send(Roster("room", 6, 600, None))
    bench.turn()
    assert bench.events == []
    # Below 512 again, the server announces; whom nobody knew may leave all the same.
    bench.server.last.send(changed("zoe", False, 7, 512), changed("yan", True, 8, 512))
    bench.turn()
    assert bench.events == [MemberLeft("room", "zoe", 512), MemberJoined("room", "yan", 512)]
    bench.events.clear()
    bench.server.last.send(Roster("room", 9, 2, ["ann", "bob"]))
    bench.turn()
    assert bench.events == []


def test_who_comes_and_goes_is_announced_again_once_a_channel_is_no_longer_too_large() -> None:
    bench = in_room()
    # It had up to 514 members, and what changed above 512 was not told: Zoe and Yan have come, Bob has left.
    bench.server.last.send(
        changed("zoe", False, 1100, 512), changed("yan", False, 1101, 511), changed("bob", True, 1102, 512)
    )
    bench.turn()
    assert bench.events == [
        MemberLeft("room", "zoe", 512),
        MemberLeft("room", "yan", 511),
        MemberJoined("room", "bob", 512),
    ]


def test_the_known_members_are_bounded() -> None:
    bench = in_room()
    for n in range(700):
        bench.server.last.send(changed(f"user {n}", True, 6 + n, 4 + n))
    bench.turn()
    assert bench.core._channels._joined["room"].members is None


def test_a_member_who_leaves_after_a_restart_is_announced_at_once() -> None:
    bench = in_room()
    bench.server.on_hello = answering(epoch="e2")
    bench.server.on_hello = answering(Roster("room", 1, 1, ["ann"]), epoch="e2")
    bench.reset()
    bench.turn()
    assert bench.events == []
    bench.server.last.send(changed("bob", False, 2, 1))
    bench.turn()
    assert bench.events == [MemberLeft("room", "bob", 1)]
    bench.run(31)
    assert bench.events[1:] == [MemberLeft("room", "cy", 1)]


def test_two_restarts_in_a_row_still_announce_each_once() -> None:
    bench = in_room()
    bench.server.on_hello = answering(Roster("room", 1, 2, ["ann", "bob"]), epoch="e2")
    bench.reset()
    bench.run(10)
    bench.server.on_hello = answering(Roster("room", 1, 1, ["ann"]), epoch="e3")
    bench.reset()
    bench.run(20)
    assert bench.events == []
    bench.server.last.send(changed("cy", True, 2, 2))
    bench.run(15)
    assert bench.events == [MemberLeft("room", "bob", 2)]


def test_a_lost_channel_with_an_unknown_code() -> None:
    bench = in_room()

    def answer(connection: Connection, hello: Hello) -> None:
        connection.send(welcome(resumed=True), Restored("room", 4711, "?"), Ready())

    bench.server.on_hello = answer
    bench.reset()
    bench.turn()
    assert bench.events == [ChannelLost("room", JoinChannelError.FAILURE, "?")]


def test_who_is_taken_out_is_told_once_and_may_join_again() -> None:
    bench = in_room()
    bench.server.last.send(Expelled("room", "Be nice."), Expelled("room", "Again."), Expelled("other"))
    bench.turn()
    lost = ChannelLost("room", JoinChannelError.REJECTED, "Be nice.", LeaveChannelReason.KICKED)
    assert bench.events[-1] == lost
    assert bench.events.count(lost) == 1
    assert bench.core.channels == ()
    with pytest.raises(NotInChannel) as caught:
        bench.core.members("room", now=bench.now)
    assert caught.value.code is GetMembersError.NOT_IN_CHANNEL
    with pytest.raises(NotInChannel) as caught:
        bench.core.leave("room", now=bench.now)
    assert caught.value.code is LeaveChannelError.KICKED
    ticket = bench.core.join("room", now=bench.now)
    bench.turn()
    bench.server.last.send(Roster("room", 9, 1, ["ann"]), Joined(ticket.request_id or 0, 20))
    bench.turn()
    assert bench.core.channels == ("room",)
    assert not bench.core.leave("room", now=bench.now).done


def test_a_leave_that_crosses_an_expulsion_fails_as_such() -> None:
    bench = in_room()
    ticket = bench.core.leave("room", now=bench.now)
    bench.turn()
    bench.server.last.send(Expelled("room"), Failed(ticket.request_id or 0, 4, "Taken out."))
    bench.turn()
    assert isinstance(ticket.error, NotInChannel)
    assert ticket.error.code is LeaveChannelError.KICKED
    assert bench.core.channels == ()


def test_channels_that_a_client_was_taken_out_of_are_bounded() -> None:
    bench = in_room()
    channels = bench.core._channels
    for number in range(3 * CHANNELS_JOINED):
        channels.enter(f"c{number}")
        channels.expelled(Expelled(f"c{number}"))
    assert len(channels._expelled) == CHANNELS_JOINED


def test_a_lost_channel_fails_its_requests_by_the_server_s_answers() -> None:
    bench = in_room()
    own = publish(bench)
    bench.turn()

    def answer(connection: Connection, hello: Hello) -> None:
        connection.send(welcome(resumed=True), Restored("room", 2, "No."), Ready())

    bench.server.on_hello = answer
    bench.reset()
    bench.turn()
    assert [p.i for p in bench.server.last.got(Publish)] == [own.request_id]
    bench.server.last.send(Failed(own.request_id or 0, 5, "Not a member."))
    bench.turn()
    assert own.error is not None


def test_the_late_answer_of_a_publish_that_was_given_up_still_joins_the_chain() -> None:
    bench = in_room()
    own = publish(bench, timeout=0.5)
    bench.run(1.0)
    assert own.error is not None
    bench.server.last.send(Published(own.request_id or 0, 11, 10), entry(12, 11), entry(13, 12))
    bench.turn()
    assert ids(bench) == [12, 13]
    assert bench.server.last.got(Sync) == []
