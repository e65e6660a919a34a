"""Turns of a node with fast transfers: each ends soon, so that whoever has messages waits for no file."""

import pytest

from rtmcore.limits import HTTP_WINDOW_BYTES, MEDIA_ANSWERS_PER_TURN
from rtmcore.wire.packets import InboxEntry
from tests.service.files import Files, Place

DATA = bytes(range(256)) * 4096 * 10
"""More than may go in one turn."""

MOST = (MEDIA_ANSWERS_PER_TURN + 1) * HTTP_WINDOW_BYTES
"""Bytes of files that one turn may write."""


@pytest.fixture
def place():
    return Place()


def one_turn(place: Place) -> list[tuple[int, int]]:
    """A turn in which every socket takes whatever there is; whom it gave how many bytes, in this order."""
    node, world = place.node, place.world
    given = []
    node.turn(world.now, world.wall)
    for wire in list(world.wires.values()):
        for data in wire.data_to_send():
            node.receive_data(wire.number, data, world.now)
    node.handle_timer(world.now)
    for number in node.dirty():
        data = b"".join(node.data_to_send(number))
        given.append((number, len(data)))
        world.wires[number].deliver(data)
    return given


def begin_downloads(place: Place, count: int) -> list[Files]:
    """Downloads that are about to begin, whose clients and whose disk are never tired."""
    path = place.upload(DATA)
    people = [place.files("bob") for _ in range(count)]
    place.store.held = True
    for one in people:
        one.download(path)
    place.store.held = False
    return people


def test_a_turn_ends_though_the_store_and_the_socket_are_never_tired(place) -> None:
    [bob] = begin_downloads(place, 1)
    turns = 0
    while not bob.whole:
        assert sum(size for _, size in one_turn(place)) <= MOST
        turns += 1
        if not bob.whole:
            assert place.node.next_deadline() <= place.world.now, "the next turn is due at once"
    assert turns >= len(DATA) // MOST
    assert bytes(bob.received) == DATA


def test_when_nothing_is_left_the_next_turn_is_due_later(place) -> None:
    [bob] = begin_downloads(place, 1)
    while not bob.whole:
        one_turn(place)
    one_turn(place)
    assert place.node.next_deadline() > place.world.now
    assert one_turn(place) == []


def test_messages_are_served_in_every_turn_and_before_files(place) -> None:
    alice, carol = place.world.login("alice"), place.world.login("carol")
    [bob] = begin_downloads(place, 1)
    texts = []
    while not bob.whole:
        texts.append(b"message %d" % len(texts))
        alice.send_peer("carol", texts[-1])
        given = [number for number, size in one_turn(place) if size]
        assert carol.number in given
        if bob.number in given:
            assert given.index(carol.number) < given.index(bob.number)
        assert [one.body for one in carol.heard if isinstance(one, InboxEntry)] == texts
    assert len(texts) >= len(DATA) // MOST


def test_fast_transfers_share_the_turns(place) -> None:
    people = begin_downloads(place, 3)
    while not any(one.whole for one in people):
        one_turn(place)
    assert all(len(one.received) >= len(DATA) - 2 * MOST for one in people)


def test_answers_that_were_left_come_in_the_next_turn(place) -> None:
    paths = [place.upload(b"x") for _ in range(MEDIA_ANSWERS_PER_TURN + 3)]
    people = [place.files(f"user-{number}") for number in range(len(paths))]
    place.store.held = True
    for one, path in zip(people, paths, strict=True):
        one.http.request("HEAD", path, one.headers())
    place.world.settle()
    place.store.held = False
    assert len(one_turn(place)) == MEDIA_ANSWERS_PER_TURN
    assert len(one_turn(place)) == 3
    assert [one.end()[0] for one in people] == [200] * len(people)
