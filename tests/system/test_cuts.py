"""Ten thousand messages through links that are cut at random bytes: each once, in order, or counted as lost."""

import time
from collections.abc import Callable, Iterable

import pytest

from rtmsync import ChannelGap, ChannelMessage, Client, ConnectionState, PeerMessage, SendStatus
from rtmsync.testing import FaultProxy, RandomCuts
from tests.system.conftest import WAIT
from tests.system.stalls import where_nothing_stalls

COUNT = 10_000
IN_FLIGHT = 200
CUTS = 3

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


def send_all(send: Callable[[str], object], numbers: Iterable[int]) -> list[object]:
    """Send each number, so many under way at once, and wait for all results."""
    waiting: list[object] = []
    results: list[object] = []
    for number in numbers:
        waiting.append(send(str(number)))
        if len(waiting) >= IN_FLIGHT:
            results.append(waiting.pop(0).result(WAIT))
    return results + [future.result(WAIT) for future in waiting]


def cutting(direction: str, low: int, high: int) -> RandomCuts:
    return RandomCuts(CUTS, between=(low, high), direction=direction)


def all_cuts_happened(link: FaultProxy) -> bool:
    return sum(entry.what == "cut" for entry in link.log) >= CUTS


@pytest.mark.parametrize("direction", ["to_server", "to_client"])
@pytest.mark.parametrize("cut_side", ["sender", "receiver"])
def test_peer_messages_arrive_once_and_in_order(
    server, connect, proxy, cut_side: str, direction: str
) -> None:
    # A receiver sends little: acknowledgements for many messages at once.
    little = cut_side == "receiver" and direction == "to_server"
    link = proxy(rules=[cutting(direction, 700, 2_000 if little else 100_000)])
    alice = connect(link if cut_side == "sender" else server, "alice")
    bob = connect(link if cut_side == "receiver" else server, "bob")
    got: list[str] = []
    bob.on(PeerMessage, lambda message: got.append(message.text))
    sent = 0

    def send(count: int) -> None:
        nonlocal sent
        more = range(sent, sent + count)
        results = send_all(lambda text: alice.send_peer_future("bob", text, timeout=WAIT), more)
        assert {result.status for result in results} == {SendStatus.DELIVERED}
        sent = more.stop

    send(COUNT)
    # How many bytes acknowledgements take depends on how many messages each of them is for: now it is one.
    wait_for(lambda: all_cuts_happened(link), lambda: send(1), pause=0.0)
    # Acknowledged is what the dispatcher has taken; its callbacks may still be running.
    wait_for(lambda: len(got) >= sent)
    assert got == [str(number) for number in range(sent)]


@pytest.mark.parametrize("direction", ["to_server", "to_client"])
def test_channel_messages_arrive_once_and_in_order_when_the_senders_link_is_cut(
    server, connect, proxy, direction: str
) -> None:
    link = proxy(rules=[cutting(direction, 3_000, 100_000)])
    alice, bob = connect(link, "alice"), connect(server, "bob")
    ours, theirs = alice.channel("ops"), bob.channel("ops")
    ours.join()
    theirs.join()
    # A queue with room for all: in this one process, readers may fall behind by more than the usual thousand.
    arriving = theirs.events(ChannelMessage, maxsize=COUNT)
    send_all(lambda text: ours.send_future(text, timeout=WAIT), range(COUNT))
    assert [arriving.get(WAIT).text for _ in range(COUNT)] == [str(number) for number in range(COUNT)]
    assert all_cuts_happened(link)


def test_what_a_cut_receiver_misses_is_counted(server, connect, proxy) -> None:
    link = proxy(rules=[cutting("to_client", 50_000, 300_000)])
    alice, bob = connect(server, "alice"), connect(link, "bob")
    ours, theirs = alice.channel("ops"), bob.channel("ops")
    ours.join()
    theirs.join()
    arriving = theirs.events(ChannelMessage, ChannelGap, maxsize=2 * COUNT)
    arrived: list[ChannelMessage | ChannelGap] = []
    sent = 0

    def publish(count: int) -> None:
        nonlocal sent
        send_all(lambda text: ours.send_future(text, timeout=WAIT), range(sent, sent + count))
        sent += count

    def accounted_for() -> int:
        while len(arriving):
            arrived.append(arriving.get(WAIT))
        return sum(one.lost if isinstance(one, ChannelGap) else 1 for one in arrived)

    publish(COUNT)
    wait_for(lambda: all_cuts_happened(link), lambda: publish(100))
    wait_for(lambda: accounted_for() >= sent, lambda: publish(1))
    assert accounted_for() == sent
    numbers = [int(one.text) for one in arrived if isinstance(one, ChannelMessage)]
    assert numbers == sorted(set(numbers))
    assert numbers[-1] == sent - 1


def wait_for(
    condition: Callable[[], bool], nudge: Callable[[], None] = lambda: None, pause: float = 0.1
) -> None:
    deadline = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(pause)
        if not condition():
            nudge()


def test_a_short_hole_changes_no_state(server, connect, proxy) -> None:
    link = proxy()
    alice: Client = connect(server, "alice")
    bob: Client = connect(link, "bob")
    events = bob.events()

    def attempt() -> None:
        bob.wait_until(ConnectionState.CONNECTED, WAIT)
        alice.send_peer("bob", "here we go", timeout=WAIT)
        while getattr(events.get(WAIT), "text", "") != "here we go":
            pass
        link.blackhole(seconds=2.0)
        assert alice.send_peer("bob", "through the hole").status is SendStatus.DELIVERED
        told = [events.get(WAIT)]
        while type(told[-1]) is not PeerMessage:
            told.append(events.get(WAIT))
        assert told[-1].text == "through the hole"
        told += [events.get(WAIT) for _ in range(len(events))]
        assert [type(event) for event in told] == [PeerMessage]

    where_nothing_stalls(attempt, bearable=1.0)
