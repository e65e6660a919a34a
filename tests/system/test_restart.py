"""A server that is restarted, and clients that come back soon: the others hear nothing of it."""

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rtmcore.codes import AttributeOperationError, PeerSubscriptionStatusError
from rtmsync import (
    ChannelGap,
    ChannelLost,
    ChannelMessage,
    Client,
    ConnectionState,
    MemberCountChanged,
    MemberJoined,
    MemberLeft,
    NotRestored,
    PresenceChanged,
)
from rtmsync.server.server import Server
from tests.system.conftest import WAIT
from tests.system.processes import ServerProcess, free_port
from tests.system.traffic import make_client

SPURIOUS = (MemberJoined, MemberLeft, MemberCountChanged, PresenceChanged, ChannelLost, ChannelGap)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path / "data") as running:
        yield running


def restart(server: ServerProcess, how: str) -> None:
    if how == "killed":
        server.kill()
    else:
        assert server.end() == 0
    server.start()


def _counts(event: object, members: int) -> bool:
    return isinstance(event, MemberCountChanged) and event.count == members


def _watched(event: object) -> Iterable[str]:
    return event.states if isinstance(event, PresenceChanged) else ()


def until(condition: Callable[[], bool]) -> None:
    due = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < due
        time.sleep(0.005)


@pytest.mark.parametrize("how", ["killed", "ended"])
def test_who_comes_back_soon_has_neither_left_nor_been_offline(server: ServerProcess, how: str) -> None:
    users = ("alice", "bob", "carol")
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(make_client(server.url, user)) for user in users]
        noted: list[tuple[str, Any]] = []
        for client in clients:
            for kind in SPURIOUS:
                client.on(kind, lambda event, user=client.user_id: noted.append((user, event)))
            client.login()
        rooms = [client.channel("plaza") for client in clients]
        for client, room in zip(clients, rooms, strict=True):
            room.join()
            client.subscribe_presence([user for user in users if user != client.user_id])
        # All have come, and everybody knows it.
        until(lambda: {user for user, event in list(noted) if _counts(event, len(users))} == set(users))
        came = {("alice", "bob"), ("alice", "carol"), ("bob", "carol")}
        until(
            lambda: {(user, event.user) for user, event in list(noted) if type(event) is MemberJoined} == came
        )
        known = {(watcher, other) for watcher in users for other in users if watcher != other}
        until(lambda: {(user, other) for user, event in list(noted) for other in _watched(event)} == known)
        heard = [room.events(ChannelMessage) for room in rooms]
        noted.clear()
        restart(server, how)
        for client in clients:
            assert client.wait_until(ConnectionState.CONNECTED, WAIT) is not None
        for room, events in zip(rooms, heard[1:] + heard[:1], strict=True):
            room.send("afterwards", timeout=WAIT)
            assert events.get(WAIT).text == "afterwards"
        assert noted == []
        assert sorted(rooms[0].members()) == sorted(users)
        for client in clients:
            assert {
                status.user: status.state.name for status in client.query_presence(users)
            } == dict.fromkeys(users, "ONLINE")
            assert client.state is ConnectionState.CONNECTED
        assert noted == []


def test_what_lower_limits_leave_out_at_a_restart_is_told_and_logged(
    serve: Callable[..., Server], connect: Callable[..., Client], caplog: pytest.LogCaptureFixture
) -> None:
    server = serve(port=free_port())
    alice = connect(server, "alice")
    missing = alice.events(NotRestored)
    alice.subscribe_presence(["bob", "carol", "dave"])
    alice.set_attributes({"mood": "fine", "place": "here"})
    server.stop()
    serve(port=server.port, limits={"subscriptions": 2, "attributes": 1})
    users, attributes = missing.get(timeout=WAIT), missing.get(timeout=WAIT)
    assert (users.users, users.attributes, users.error.code) == (
        ("dave",),
        (),
        PeerSubscriptionStatusError.OVERFLOW,
    )
    assert (attributes.users, attributes.attributes) == ((), ("place",))
    assert attributes.error.code is AttributeOperationError.SIZE_OVERFLOW
    alice.wait_until(ConnectionState.CONNECTED, WAIT)
    bob = connect(server, "bob")
    assert bob.get_attributes("alice", timeout=WAIT) == {"mood": "fine"}
    assert alice.subscribed_peers(timeout=WAIT) == ("bob", "carol")
    until(lambda: len(lines_of(caplog)) == 2)
    assert (
        "session of alice was not restored in full (1 subscriptions and 0 attributes are"
        in lines_of(caplog)[0]
    )
    assert (
        "session of alice was not restored in full (0 subscriptions and 1 attributes are"
        in lines_of(caplog)[1]
    )


def lines_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if "not restored in full" in each.getMessage()]
