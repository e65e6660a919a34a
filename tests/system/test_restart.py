"""A server that is restarted, and clients that come back soon: the others hear nothing of it."""

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rtmsync import (
    ChannelGap,
    ChannelLost,
    ChannelMessage,
    Client,
    ConnectionState,
    MemberCountChanged,
    MemberJoined,
    MemberLeft,
    PresenceChanged,
)
from rtmsync.server.config import DEV_APP_ID
from tests.system.conftest import WAIT
from tests.system.processes import ServerProcess

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
        clients = [stack.enter_context(Client(server.url, app_id=DEV_APP_ID, user_id=user)) for user in users]
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
