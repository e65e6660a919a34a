"""Cuts at any byte, in any order of things: nothing is lost, nothing comes twice, no timer stays due."""

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rtmcore.client.events import ChannelGap
from rtmcore.client.requests import Ticket
from rtmcore.codes import ConnectionState, MessageType
from rtmcore.errors import ConnectionFailed, RtmError
from rtmcore.wire.packets import Publish, SendPeer
from tests.core.wires import Bench, HonestServer, Server, bodies, never, refused


def executed(server: HonestServer, kind: type[SendPeer] | type[Publish]) -> list[bytes]:
    return [packet.body for packet in server.executed if isinstance(packet, kind)]


def settled(bench: Bench, tickets: list[Ticket]) -> None:
    for _ in range(200):
        if all(ticket.done for ticket in tickets):
            return
        bench.run(0.5)
    raise AssertionError("some requests never end")


@pytest.mark.parametrize("subprotocol", ["rtm.v1.msgpack", "rtm.v1.json"])
@pytest.mark.parametrize("seed", range(15))
def test_nothing_is_lost_or_doubled_over_cuts_at_random_bytes(seed: int, subprotocol: str) -> None:
    print("seed", seed)
    dice = random.Random(seed)
    server = HonestServer()
    bench = Bench(server, jitter=dice.random, subprotocols=(subprotocol,)).online()
    bench.drip = dice.choice([0, 0, 1, 7, 100])
    joining = bench.core.join("room", now=bench.now)
    settled(bench, [joining])
    tickets, received, spoken = [], [], []
    for n in range(120):
        if n % 12 == 3:
            connection = server.last
            if dice.random() < 0.5:
                connection.cut_up = dice.randrange(0, 2500)
            else:
                connection.cut_down = dice.randrange(0, 2500)
        body = str(n).encode() * dice.choice([1, 1, 50])
        for _ in range(dice.randrange(3)):
            tickets.append(bench.core.publish("room", MessageType.TEXT, body, timeout=60, now=bench.now))
        tickets.append(bench.core.send_peer("bob", MessageType.TEXT, body, timeout=60, now=bench.now))
        if dice.random() < 0.5:
            received.append(body)
            server.deliver(body)
        if dice.random() < 0.5:
            spoken.append(body)
            server.speak(body)
        bench.run(dice.choice([0, 0.001, 0.02, 0.3]))
    for connection in server.connections.values():
        connection.cut_up = connection.cut_down = None
    settled(bench, tickets)
    bench.run(10)

    assert [ticket.error for ticket in tickets if ticket.error] == []
    for kind in (SendPeer, Publish):
        wanted = [t.packet.body for t in tickets if isinstance(t.packet, kind)]
        assert executed(server, kind) == wanted
    assert bodies(bench.messages) == received
    lost = sum(gap.lost for gap in bench.of(ChannelGap))
    heard = bodies(bench.channel_messages())
    assert len(heard) + lost == len(spoken)
    if not lost:
        assert heard == spoken
    assert server.inbox == []
    assert bench.core.state is ConnectionState.CONNECTED


@pytest.mark.parametrize("direction", ["up", "down"])
def test_a_cut_at_every_byte_of_a_short_exchange(direction: str) -> None:
    cut = 0
    while True:
        server = HonestServer()
        bench = Bench(server).online()
        connection = server.last
        if direction == "up":
            connection.cut_up = cut
        else:
            connection.cut_down = cut
        tickets = [bench.core.join("room", now=bench.now)]
        bench.turn()
        tickets.append(bench.core.send_peer("bob", MessageType.TEXT, b"p", now=bench.now))
        server.deliver(b"in")
        bench.run(0.5)
        settled(bench, tickets)
        tickets.append(bench.core.publish("room", MessageType.TEXT, b"c", now=bench.now))
        bench.run(0.5)
        server.deliver(b"in 2")
        bench.run(4)
        settled(bench, tickets)
        assert [ticket.error for ticket in tickets if ticket.error] == []
        assert executed(server, SendPeer) == [b"p"]
        assert executed(server, Publish) == [b"c"]
        assert bodies(bench.messages) == [b"in", b"in 2"]
        assert bench.states == []
        left = connection.cut_up if direction == "up" else connection.cut_down
        if left:
            # The exchange was shorter than the cut.
            return
        cut += 1
        assert cut < 5000


def test_a_cut_at_every_byte_of_a_return() -> None:
    """The hello and the welcome of a second transport, broken off at each byte."""
    for direction in ("up", "down"):
        for cut in range(0, 700, 3):
            server = HonestServer()
            bench = Bench(server).online()
            join = bench.core.join("room", now=bench.now)
            bench.turn()
            assert join.done
            ticket = bench.core.publish("room", MessageType.TEXT, b"c", now=bench.now)
            bench.dial = never
            bench.reset()
            server.deliver(b"in")
            bench.turn()
            connection = bench.connect(2)
            if direction == "up":
                connection.cut_up = cut
            else:
                connection.cut_down = cut
            bench.dial = lambda event: None
            bench.run(1)
            settled(bench, [ticket])
            server.deliver(b"in 2")
            bench.run(1)
            assert ticket.error is None
            assert executed(server, Publish) == [b"c"]
            assert bodies(bench.messages) == [b"in", b"in 2"]


STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            [
                "login",
                "logout",
                "join",
                "leave",
                "publish",
                "send",
                "members",
                "cancel",
                "deliver",
                "speak",
                "reset",
                "hole",
                "heal",
                "refuse",
                "accept",
                "silent hello",
                "hello",
                "close 4000",
                "close 4009",
                "close 4010",
                "close 4013",
                "close 4500",
                "garbage",
                "run",
                "sleep",
                "late timer",
            ]
        ),
        st.integers(0, 7),
    ),
    max_size=60,
)


class Chaos:
    """Does one thing after the other, and checks after each."""

    def __init__(self, jitter: float) -> None:
        self.server = HonestServer()
        self.bench = Bench(self.server, jitter=lambda: jitter)
        self.tickets: list[Ticket] = []

    def call(self, name: str, *arguments: object) -> None:
        method = getattr(self.bench.core, name)
        refusal = None
        try:
            if name in ("login", "logout"):
                self.tickets.append(method(self.bench.now))
            else:
                seconds = 1.5 + len(self.tickets) % 9
                self.tickets.append(method(*arguments, now=self.bench.now, timeout=seconds))
        except RtmError as error:
            refusal = error
        assert refusal is None or (refusal.code is not None and refusal.operation == name)

    def step(self, what: str, number: int) -> None:
        bench, server = self.bench, self.server
        if what in ("login", "logout"):
            self.call(what)
        elif what in ("join", "leave", "members"):
            self.call(what, f"room {number % 3}")
        elif what == "publish":
            self.call(what, f"room {number % 3}", MessageType.TEXT, str(len(self.tickets)).encode())
        elif what == "send":
            self.call("send_peer", "bob", MessageType.RAW, str(len(self.tickets)).encode())
        elif what == "cancel" and self.tickets:
            ticket = self.tickets[-1]
            if bench.core.cancel(ticket, bench.now):
                self.tickets.pop()
        elif what == "deliver":
            server.deliver(str(next(server.ids)).encode())
        elif what == "speak":
            server.speak(str(next(server.ids)).encode(), f"room {number % 3}")
        elif what == "refuse":
            bench.dial = refused
        elif what == "accept":
            bench.dial = lambda event: None
        elif what in ("silent hello", "hello"):
            server.answer_hello = what == "hello"
        elif what == "run":
            bench.run([0.001, 0.01, 0.5, 1.6, 3.1, 4.5, 12.0, 31.0][number])
        elif what == "sleep":
            bench.sleep([0.001, 0.01, 0.5, 1.6, 3.1, 4.5, 12.0, 100.0][number])
        elif what == "late timer":
            bench.core.handle_timer(bench.now)
        elif server.connections:
            self.fault(what, number)

    def fault(self, what: str, number: int) -> None:
        bench, server = self.bench, self.server
        connection = server.last
        if what == "reset":
            bench.reset(connection)
        elif what == "hole":
            connection.hole_down = True
            connection.hole_up = bool(number % 2)
        elif what == "heal":
            bench.hole(connection, open_=False)
        elif what == "garbage":
            bench.core.receive_data(connection.number, bytes(range(number, 200, 7)), bench.now)
        elif what.startswith("close"):
            connection.close(int(what.split()[1]))

    def check(self) -> None:
        deadline = self.bench.core.next_deadline()
        if deadline is not None and deadline <= self.bench.now:
            self.bench.core.handle_timer(self.bench.now)
            after = self.bench.core.next_deadline()
            assert after is None or after > self.bench.now
        self.bench.turn()
        for earlier, later in zip(self.bench.states, self.bench.states[1:], strict=False):
            assert earlier[0] != later[0]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(STEPS, st.sampled_from([0.01, 0.3, 0.999]))
def test_whatever_happens_everything_ends_and_every_timer_moves_on(
    steps: list[tuple[str, int]], jitter: float
) -> None:
    chaos = Chaos(jitter)
    bench = chaos.bench
    for what, number in steps:
        chaos.step(what, number)
        chaos.check()
    chaos.step("accept", 0)
    chaos.step("hello", 0)
    bench.run(40)
    assert bench.core.state in (
        ConnectionState.CONNECTED,
        ConnectionState.DISCONNECTED,
        ConnectionState.ABORTED,
    )
    for ticket in chaos.tickets:
        assert ticket.done
        assert bench.completed.count(ticket) == 1
    received = bodies(bench.messages)
    assert len(received) == len(set(received))
    assert [int(body) for body in received] == sorted(int(body) for body in received)
    for room in ("room 0", "room 1", "room 2"):
        positions = [message.id for message in bench.channel_messages(room)]
        assert positions == sorted(set(positions))
    for kind in (SendPeer, Publish):
        done = executed(chaos.server, kind)
        assert len(done) == len(set(done))
    bench.core.close(bench.now)
    bench.run(3)
    assert bench.alive == set()
    assert bench.core.idle
    assert bench.core.next_deadline() is None


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300), st.integers(0, 3))
def test_no_bytes_from_a_server_raise(data: bytes, stage: int) -> None:
    server = Server()
    bench = Bench(server)
    if stage == 0:
        bench.dial = never
        bench.login()
        bench.connect(1)
    elif stage == 1:
        server.answer_upgrade = False
        bench.login()
    elif stage == 2:
        server.answer_hello = False
        bench.login()
    else:
        bench.login()
    bench.core.receive_data(1, data, bench.now)
    bench.core.data_to_send()
    bench.run(20)
    while bench.core.next_event() is not None:
        pass


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_no_packets_from_a_server_raise(data: st.DataObject) -> None:
    """Well-formed packets in any order, with any small numbers and names."""
    from rtmcore.wire import packets as p

    number = st.integers(0, 12)
    name = st.sampled_from(["room", "other", "ann", "bob", ""])
    names = st.lists(name, max_size=3)
    packet = st.one_of(
        st.builds(p.Done, number),
        st.builds(p.Failed, number, number, name, st.none() | number),
        st.builds(p.Published, number, number, number),
        st.builds(p.PeerSent, number, number, number),
        st.builds(p.Joined, number, number),
        st.builds(p.MemberList, number, names),
        st.builds(p.ChannelEntry, name, number, number, name, name, number, number, st.just(b"x")),
        st.builds(p.InboxEntry, number, number, name, name, number, number, st.just(b"x")),
        st.builds(p.Top, number, number, st.none() | name),
        st.builds(p.Roster, name, number, number, st.none() | names),
        st.builds(p.MemberChanged, name, name, st.booleans(), number, number),
        st.builds(p.Restored, name, number, name),
        st.builds(p.Ready),
        st.builds(p.Kicked, number, name),
        st.builds(p.Refused, number, name, st.none() | number),
        st.builds(p.Beat),
        st.builds(p.Bye, number),
        st.builds(p.Publish, number, name, number, st.just(b"x")),
    )
    bench = Bench()
    bench.server.answer_hello = data.draw(st.booleans())
    bench.login()
    for _ in range(data.draw(st.integers(1, 12))):
        try:
            bench.core.join("room", now=bench.now)
            bench.core.send_peer("bob", MessageType.TEXT, b"x", now=bench.now)
            bench.core.publish("room", MessageType.TEXT, b"x", now=bench.now)
        except RtmError:
            pass
        if bench.server.connections:
            bench.server.last.send(*data.draw(st.lists(packet, min_size=1, max_size=6)))
        bench.run(data.draw(st.sampled_from([0, 0.01, 3.5, 6.0])))
    bench.core.close(bench.now)
    bench.run(2)
    assert bench.core.idle
    assert all(not isinstance(t.error, ConnectionFailed) for t in bench.completed)
