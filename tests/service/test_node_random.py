"""Many clients that do anything at any time, some of them garbage: what is promised holds all the same."""

import random
from collections import Counter

import pytest

from rtmcore.codes import CloseCode
from rtmcore.limits import OFFLINE_AFTER
from rtmcore.service.config import NodeConfig
from rtmcore.wire.codec import JSON, MSGPACK
from rtmcore.wire.packets import (
    Ack,
    ChannelEntry,
    ChannelPosition,
    Done,
    Failed,
    GetMembers,
    InboxEntry,
    Join,
    Joined,
    Leave,
    MemberList,
    PeerSent,
    Publish,
    Published,
    SendPeer,
    Sync,
    Top,
    Welcome,
)
from tests.service.wires import Wire, World

UNLIMITED = NodeConfig(node="n1", rate_limits=False)
ANSWERS = Done | Failed | Joined | MemberList | PeerSent | Published
ROOMS = ["red", "green", "blue"]


class Client:
    """A user who does anything, and remembers what came of it."""

    def __init__(self, world: World, name: str, chance: random.Random) -> None:
        self.world = world
        self.chance = chance
        self.codec = chance.choice([MSGPACK, JSON])
        self.wire = world.login(name, self.codec)
        self.wires = [self.wire]
        self.asked: Counter[int] = Counter()

    def act(self) -> None:
        wire, chance = self.wire, self.chance
        if wire.closed is not None or not any(isinstance(packet, Welcome) for packet in wire.heard):
            return
        number = wire.next_request()
        room, body = chance.choice(ROOMS), chance.randbytes(chance.choice([0, 1, 10, 3000]))
        packet = chance.choice(
            [
                Join(number, room),
                Leave(number, room),
                GetMembers(number, room),
                Publish(number, room, 2, body),
                Publish(number, room, 2, body),
                Publish(number, room, 2, body),
                SendPeer(number, f"user-{chance.randrange(4)}", 2, body, wait=chance.choice([0, 500])),
                Sync(0, chance.choice([None, *ROOMS])),
            ]
        )
        wire.say(packet)
        if not isinstance(packet, Sync):
            self.asked[id(wire), number] += 1
        inbox = [entry.id for entry in wire.heard if isinstance(entry, InboxEntry)]
        if inbox and chance.random() < 0.7:
            wire.say(Ack(chance.choice(inbox)))

    def come_back(self) -> None:
        old = self.wire
        if old.welcome is None:
            welcome = next((packet for packet in old.heard if isinstance(packet, Welcome)), None)
            old.welcome = welcome or self.wires[0].welcome
        if self.chance.random() < 0.8:
            old.cut()
        rooms = self.chance.sample(ROOMS, self.chance.randrange(4))
        self.wire = old.back([ChannelPosition(room, self.chance.randrange(3), 0) for room in rooms])
        self.wires.append(self.wire)

    def misbehave(self) -> None:
        wire = self.world.wire(self.codec, address="10.66.66.66")
        if self.chance.random() < 0.7:
            wire.hello("mallory", iid=f"mallory-{self.chance.randrange(10**8):08}")
        if self.chance.random() < 0.5:
            self.world.settle()
        wire.send(self.chance.randbytes(self.chance.randrange(1, 200)))


def check(wire: Wire, asked: Counter) -> None:
    answers = Counter(packet.i for packet in wire.heard if isinstance(packet, ANSWERS))
    assert all(count == 1 for count in answers.values()), "a request is answered once"
    assert all((id(wire), number) in asked for number in answers), "nothing else is answered"
    positions: dict[str, int] = {}
    for packet in wire.heard:
        if isinstance(packet, ChannelEntry):
            assert packet.user != wire.user
            assert packet.prev < packet.id
        elif isinstance(packet, Top) and packet.ch:
            positions[packet.ch] = packet.id
    assert wire.transport.state is not None


@pytest.mark.parametrize("seed", range(12))
def test_anything_at_any_time(seed):
    print("seed", seed)
    chance = random.Random(seed)
    world = World(seed=seed if seed % 3 else None, config=UNLIMITED)
    clients = [Client(world, f"user-{index}", chance) for index in range(4)]
    steady, publisher = world.login("steady"), world.login("publisher")
    joined = steady.join("red")
    publisher.join("red")
    published = []
    for turn in range(300):
        client = chance.choice(clients)
        what = chance.random()
        if what < 0.8:
            client.act()
        elif what < 0.88:
            client.come_back()
        elif what < 0.92:
            client.misbehave()
        elif what < 0.94:
            client.wire.mute = not client.wire.mute
        if turn % 3 == 0:
            published.append(publisher.publish("red", str(turn).encode()))
        if chance.random() < 0.5:
            world.pass_time(chance.choice([0.001, 0.01, 0.1]))
        else:
            world.settle()
    world.pass_time(2)
    for client in clients:
        for wire in client.wires:
            check(wire, client.asked)
            assert wire.closed is None or wire.closed.code in (
                1006,
                CloseCode.REPLACED,
                CloseCode.STALE_ATTEMPT,
                CloseCode.RESYNC,
                CloseCode.HEARTBEAT_TIMEOUT,
            )
    got = [entry for entry in steady.all_of(ChannelEntry) if entry.id > joined.id]
    assert [entry.id for entry in got] == sorted({entry.id for entry in got})
    last = joined.id
    for entry in got:
        assert entry.prev == last
        last = entry.id
    mine = [entry.i for entry in got if entry.user == "publisher"]
    assert mine == published
    assert steady.closed is None
    for client in clients:
        client.wire.cut()
    world.pass_time(OFFLINE_AFTER + 5)
    assert world.node.stats()["sessions"] == 2
    steady.say(GetMembers(steady.next_request(), "red"))
    assert sorted(steady.expect(MemberList).users) == ["publisher", "steady"]
    assert world.node.stats()["channels"] == 1
    feed = world.node._feeds.find("a" * 32, "rtm", "red")
    assert feed.pending == 0
