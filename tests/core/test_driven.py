"""What cores have for those who drive them: one queue of orders and bytes, one source of randomness, any error."""

import os
import random
from typing import Any

import pytest

from rtmcore.client.config import ClientConfig
from rtmcore.client.core import ClientCore
from rtmcore.client.driven import Driven
from rtmcore.client.events import CloseTransport, Event, OpenTransport, SendBytes
from rtmcore.client.media import MEDIA_LINK_BASE
from rtmcore.client.room import RoomCore
from rtmcore.client.rtc import RtcCore
from rtmcore.codes import CloseCode, MessageType
from rtmcore.errors import AuthError, ConnectionFailed, TlsError
from rtmcore.limits import GOODBYE_TIMEOUT
from rtmcore.wire.packets import InboxEntry, Publish
from tests.core.rooms import ROOM, RoomServer
from tests.core.wires import APP, URL, Bench, HonestServer, Server

TEXT = MessageType.TEXT


class QueueBench(Bench):
    """Takes all that the core says from its one queue."""

    def _step(self) -> bool:
        moved = False
        while (output := self.core.next_output()) is not None:
            moved = True
            if isinstance(output, SendBytes):
                assert output.id in self.alive, "bytes for a transport that is closed, or was never opened"
                self.server.connections[output.id].up += output.data
            else:
                self._act(output)
        for connection in list(self.server.connections.values()):
            moved = self._move(connection) or moved
        return moved

    def _collect(self) -> bool:
        """All bytes come by the queue."""
        return False


def conversation(bench: Bench) -> tuple[list[Event], list[Any]]:
    """A login, a channel, a message, a cut, another message, the end: what was told, and what the server got."""
    bench.online()
    bench.core.join("room", now=bench.now)
    bench.turn()
    bench.core.publish("room", TEXT, b"one", now=bench.now)
    bench.turn()
    bench.reset()
    bench.core.publish("room", TEXT, b"two", now=bench.now)
    bench.run(1.0)
    bench.core.close(bench.now)
    bench.turn()
    got = [
        packet
        for number in sorted(bench.server.connections)
        for packet in bench.server.connections[number].packets
    ]
    return bench.events, got


def test_the_queue_says_what_events_and_bytes_say_by_themselves() -> None:
    events, packets = conversation(QueueBench(HonestServer()))
    assert (events, packets) == conversation(Bench(HonestServer()))
    assert [packet.body for packet in packets if isinstance(packet, Publish)] == [b"one", b"two"]


def test_bytes_come_before_the_close_of_their_transport() -> None:
    bench = QueueBench().online()
    bench.core.receive_data(1, b"no frame at all", bench.now)
    outputs = [bench.core.next_output() for _ in range(3)]
    (closed,) = [place for place, output in enumerate(outputs) if isinstance(output, CloseTransport)]
    said = outputs[closed - 1]
    assert isinstance(said, SendBytes)
    assert said.id == 1
    bench.server.take(bench.server.last, said.data)
    assert bench.server.last.closed is not None
    assert bench.server.last.closed.code == CloseCode.PROTOCOL_ERROR


def test_what_is_asked_while_events_are_handled_leaves_with_what_was_there() -> None:
    bench = QueueBench().online()
    bench.server.last.send(InboxEntry(1, 0, "bob", "iid-of-bob", 1, int(TEXT), b"hello"))
    bench._collect_down(bench.server.last)
    bench.core.receive_data(1, bytes(bench.server.last.down), bench.now)
    message = bench.core.next_output()
    assert message.sender == "bob"
    bench.core.handed_over(message.id, bench.now)
    bench.core.send_peer("bob", TEXT, b"hello yourself", now=bench.now)
    written = bench.core.next_output()
    assert isinstance(written, SendBytes)
    assert bench.core.next_output() is None
    bench.server.take(bench.server.last, written.data)
    assert bench.server.last.packets[-2].to == "bob"
    assert [type(packet).__name__ for packet in bench.server.last.frames[-1]] == ["Ack"]


def test_bytes_do_not_show_in_a_representation() -> None:
    assert "secret" not in repr(SendBytes(1, b"secret"))


def cores() -> dict[str, tuple[type[Driven], dict[str, Any]]]:
    return {
        "rtm": (ClientCore, {}),
        "rtc": (RtcCore, {"kind": "rtc", "scope": "stage"}),
        "room": (RoomCore, {"kind": "room", "scope": ROOM}),
    }


def make(kind: str, entropy: Any = os.urandom, **settings: Any) -> Any:
    core, kind_settings = cores()[kind]
    config = ClientConfig(endpoints=URL, app_id=APP, user_id="ann", **kind_settings, **settings)
    return core.from_entropy(config, entropy)


def enter(core: Any, kind: str) -> Any:
    return {"rtm": "login", "rtc": "join", "room": "connect"}[kind], core


@pytest.mark.parametrize("kind", cores())
def test_every_kind_of_core_is_driven_alike(kind: str) -> None:
    class KindBench(QueueBench):
        core_class = cores()[kind][0]

    bench = KindBench(RoomServer() if kind == "room" else Server(), **cores()[kind][1])
    name, core = enter(bench.core, kind)
    ticket = getattr(core, name)(bench.now)
    bench.turn()
    assert ticket.done
    assert ticket.error is None
    bench.core.close(bench.now)
    bench.turn()
    assert bench.core.idle
    assert bench.core.next_output() is None


@pytest.mark.parametrize("kind", cores())
def test_the_same_randomness_makes_the_same_bytes(kind: str) -> None:
    def first_bytes(seed: int) -> bytes:
        name, core = enter(make(kind, random.Random(seed).randbytes), kind)
        getattr(core, name)(0.0)
        while not isinstance(output := core.next_output(), OpenTransport):
            assert output is not None
        core.transport_opened(output.id, 0.0)
        while not isinstance(output := core.next_output(), SendBytes):
            assert output is not None
        return output.data

    assert first_bytes(1) == first_bytes(1) != first_bytes(2)


def test_randomness_is_drawn_as_it_is_needed() -> None:
    drawn: list[int] = []

    def entropy(size: int) -> bytes:
        drawn.append(size)
        return b"\xff" * size

    core = make("rtm", entropy)
    assert drawn == [16]
    core.login(0.0)
    assert core.next_output() is not None
    for attempt in range(1, 30):
        core.transport_failed(attempt, OSError("refused"), 0.0)
        core.handle_timer(core.next_deadline() or 0.0)
    assert drawn.count(7) > 1, "no jitter was drawn"


@pytest.mark.parametrize("kind", cores())
def test_a_core_takes_any_error_for_the_end_of_a_transport(kind: str) -> None:
    name, core = enter(make(kind), kind)
    ticket = getattr(core, name)(0.0)
    opening = core.next_output()
    while not isinstance(opening, OpenTransport):
        opening = core.next_output()
    reset = ConnectionResetError("Connection reset by peer")
    core.transport_failed(opening.id, reset, 0.1)
    cause = core.connection(0.1).cause or ticket.error
    while isinstance(cause.__cause__, ConnectionFailed):
        cause = cause.__cause__
    assert isinstance(cause, ConnectionFailed)
    assert cause.message == "The connection failed: Connection reset by peer."
    assert cause.__cause__ is reset
    if kind == "room":
        core.transport_failed(MEDIA_LINK_BASE + 1, reset, 0.2)  # of no transport, so it changes nothing


def test_an_error_of_the_library_stays_what_it_is() -> None:
    core = make("rtm")
    ticket = core.login(0.0)
    core.next_output()
    core.transport_failed(1, TlsError("Not trusted."), 0.1)
    assert ticket.done
    assert isinstance(ticket.error, TlsError)


def test_a_core_takes_any_error_for_a_missing_token() -> None:
    core = make("rtm", token_provider=True)
    core.login(0.0)
    failure = KeyError()
    core.token_failed(failure, 0.1)
    cause = core.connection(0.1).cause
    assert isinstance(cause, AuthError)
    assert cause.message == "The token provider failed: KeyError."
    assert cause.__cause__ is failure


# --- The driver's contract, as docs/howto/embed.md states it ---------------------------------------------------------


class CountingBench(QueueBench):
    """Counts the orders to close, and carries them out."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.closed: list[int] = []

    def _act(self, event: Event) -> None:
        if isinstance(event, CloseTransport):
            self.closed.append(event.id)
        super()._act(event)


def dialing(bench: CountingBench) -> None:
    bench.dial = lambda order: True
    bench.login()


def upgrading(bench: CountingBench) -> None:
    bench.server.answer_upgrade = False
    bench.login()


def greeting(bench: CountingBench) -> None:
    bench.server.answer_hello = False
    bench.login()


def connected(bench: CountingBench) -> None:
    bench.online()


def leaving(bench: CountingBench) -> None:
    bench.online()
    bench.hole()
    bench.core.close(bench.now)
    bench.turn()


STAGES = [dialing, upgrading, greeting, connected, leaving]


@pytest.mark.parametrize("stage", STAGES)
def test_the_end_of_a_transport_is_answered_by_its_close_in_every_stage(stage: Any) -> None:
    bench = CountingBench()
    stage(bench)
    assert bench.closed == []
    bench.core.receive_eof(1, bench.now)
    bench.turn()
    assert bench.closed == [1]
    bench.core.receive_eof(1, bench.now)
    bench.turn()
    assert bench.closed.count(1) == 1


@pytest.mark.parametrize("stage", STAGES)
def test_a_transport_that_has_failed_is_not_closed_in_any_stage(stage: Any) -> None:
    bench = CountingBench()
    stage(bench)
    bench.alive.discard(1)
    bench.core.transport_failed(1, OSError("broken"), bench.now)
    bench.turn()
    assert 1 not in bench.closed


@pytest.mark.parametrize("stage", STAGES)
def test_late_inputs_change_nothing(stage: Any) -> None:
    bench = CountingBench()
    stage(bench)
    bench.core.receive_eof(1, bench.now)
    bench.turn()
    before = (bench.core.connection(bench.now), bench.core.next_deadline())
    bench.core.transport_opened(1, bench.now)
    bench.core.receive_data(1, b"late", bench.now)
    bench.core.transport_failed(1, OSError("late"), bench.now)
    bench.core.receive_eof(77, bench.now)
    assert bench.core.next_output() is None
    assert (bench.core.connection(bench.now), bench.core.next_deadline()) == before


def test_a_timer_may_be_handled_too_early_and_too_often() -> None:
    bench = CountingBench().online()
    due = bench.core.next_deadline()
    assert due is not None
    for _ in range(3):
        bench.core.handle_timer(bench.now)
    assert bench.core.next_output() is None
    assert bench.core.next_deadline() == due


def test_a_closed_core_is_idle_within_a_goodbye_and_waits_for_nothing() -> None:
    bench = CountingBench()
    leaving(bench)
    assert not bench.core.idle
    bench.run(GOODBYE_TIMEOUT)
    assert bench.core.idle
    assert bench.core.next_deadline() is None
