"""The aggregate state of a client's transports, live: all six values over links that fail, plain and under TLS."""

import contextlib
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest
import trustme

import rtmsync
from rtmsync import Client, PeerConnectionState, PeerConnectionStateChanged, RtmError, TlsConfig
from rtmsync.config import RoomConfig
from rtmsync.room import Room
from rtmsync.server.config import DEV_APP_ID
from rtmsync.server.server import Server
from rtmsync.testing import BlackHole, FaultProxy, Rule
from tests.system.conftest import WAIT

NEW = PeerConnectionState.NEW
CONNECTING = PeerConnectionState.CONNECTING
CONNECTED = PeerConnectionState.CONNECTED
DISCONNECTED = PeerConnectionState.DISCONNECTED
FAILED = PeerConnectionState.FAILED
CLOSED = PeerConnectionState.CLOSED


@attrs.frozen
class Place:
    """A server, plain or under TLS, and how to reach it through a link."""

    server: Server
    scheme: str
    options: dict[str, Any]

    def url(self, link: FaultProxy) -> str:
        return f"{self.scheme}://127.0.0.1:{link.port}"


@pytest.fixture(params=["plain", "tls"])
def place(request: pytest.FixtureRequest, serve: Callable[..., Server], tmp_path: Path) -> Place:
    if request.param == "plain":
        return Place(serve(), "ws", {"proxy": None})
    authority = trustme.CA()
    certificate, trusted = tmp_path / "server.pem", tmp_path / "ca.pem"
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(certificate))
    authority.cert_pem.write_to_path(str(trusted))
    tls = TlsConfig(ca_file=str(trusted))
    return Place(serve(tls_certificate=certificate), "wss", {"proxy": None, "tls": tls})


@pytest.fixture
def link(place: Place, stack: contextlib.ExitStack) -> FaultProxy:
    return stack.enter_context(FaultProxy("127.0.0.1", place.server.port))


@pytest.fixture
def client(place: Place, link: FaultProxy, stack: contextlib.ExitStack) -> Client:
    """Not logged in yet."""
    return stack.enter_context(
        Client(place.url(link), app_id=DEV_APP_ID, user_id="alice", rate_limits=False, **place.options)
    )


def following(changes: Any, *expected: PeerConnectionState) -> None:
    """The next changes are these, one event each."""
    for state in expected:
        change = changes.get(WAIT)
        assert change.state is state
        assert change.previous is not state


def test_a_client_is_new_connecting_connected_disconnected_and_closed(
    client: Client, link: FaultProxy
) -> None:
    changes = client.events(PeerConnectionStateChanged)
    assert client.peer_connection_state is NEW
    link.blackhole()
    login = client.login_future(timeout=WAIT)
    following(changes, CONNECTING)
    assert client.peer_connection_state is CONNECTING
    link.heal()
    login.result(WAIT)
    following(changes, CONNECTED)
    assert client.peer_connection_state is CONNECTED
    link.blackhole()
    following(changes, DISCONNECTED)
    assert client.peer_connection_state is DISCONNECTED
    link.heal()
    following(changes, CONNECTED)
    assert client.peer_connection_state is CONNECTED
    client.close()
    assert client.peer_connection_state is CLOSED
    assert len(changes) == 0, "close() fires none"


def test_a_client_whose_transport_is_replaced_is_disconnected_for_a_moment(
    client: Client, link: FaultProxy
) -> None:
    client.login()
    changes = client.events(PeerConnectionStateChanged, rtmsync.StateChanged)
    link.cut()
    following(changes, DISCONNECTED, CONNECTED)
    assert len(changes) == 0, "the state of the client itself did not change"


def test_a_client_whose_login_fails_has_failed_until_the_next(client: Client, link: FaultProxy) -> None:
    changes = client.events(PeerConnectionStateChanged)
    link.refuse()
    with pytest.raises(RtmError):
        client.login(timeout=0.5)
    following(changes, CONNECTING, FAILED)
    assert client.peer_connection_state is FAILED
    link.refuse(False)
    client.login()
    following(changes, CONNECTING, CONNECTED)


def test_a_client_that_is_kicked_has_failed_until_it_logs_out(
    client: Client, place: Place, stack: contextlib.ExitStack
) -> None:
    client.login()
    changes = client.events(PeerConnectionStateChanged)
    place.server.ban(DEV_APP_ID, "alice")
    following(changes, FAILED)
    assert client.peer_connection_state is FAILED
    client.logout()
    following(changes, NEW)
    client.close()
    assert client.peer_connection_state is CLOSED


def test_a_client_that_logs_out_is_new_again(client: Client) -> None:
    client.login()
    changes = client.events(PeerConnectionStateChanged)
    client.logout()
    following(changes, NEW)


# --- A room: two transports ------------------------------------------------------------------------------------


def room_at(place: Place, link: FaultProxy, stack: contextlib.ExitStack, **settings: Any) -> Room:
    options = {"app_id": DEV_APP_ID, "room": "call", "identity": "ann", "rate_limits": False, **settings}
    return stack.enter_context(rtmsync.connect_room(place.url(link), **options, **place.options))


def wait_for(room: Room, state: PeerConnectionState) -> None:
    """Wait until the aggregate is this one, by its own events."""
    come = threading.Event()

    def look(change: PeerConnectionStateChanged) -> None:
        if change.state is state:
            come.set()

    room.on(PeerConnectionStateChanged, look)
    if room.peer_connection_state is not state:
        assert come.wait(WAIT), room.peer_connection_state
    assert room.peer_connection_state is state


def test_a_room_that_was_never_connected_is_new(place: Place, link: FaultProxy) -> None:
    given = {"app_id": DEV_APP_ID, "room": "call", "identity": "ann", **place.options}
    room = Room(RoomConfig.of(place.url(link), given))
    assert room.peer_connection_state is NEW
    room.close()
    assert room.peer_connection_state is CLOSED


def test_a_room_is_connecting_until_its_media_is_connected_too(
    place: Place, link: FaultProxy, stack: contextlib.ExitStack
) -> None:
    link.add(Rule(BlackHole(), connection=2))
    # It waits for media as long as it may, and goes without.
    room = room_at(place, link, stack, timeout=3.0)
    assert room.state is rtmsync.RoomState.CONNECTED
    link.wait_for(2)
    assert room.peer_connection_state is CONNECTING
    link.heal()
    wait_for(room, CONNECTED)
    room.close()
    assert room.peer_connection_state is CLOSED


@pytest.mark.parametrize("connection", [1, 2])
def test_a_room_shows_it_when_either_transport_is_silent(
    place: Place, link: FaultProxy, stack: contextlib.ExitStack, connection: int
) -> None:
    room = room_at(place, link, stack)
    wait_for(room, CONNECTED)
    changes = room.events(PeerConnectionStateChanged)
    events = room.events(rtmsync.RoomReconnecting, rtmsync.RoomReconnected)
    # What is opened meanwhile gets nowhere either.
    link.refuse(how="rst")
    link.blackhole(connection=connection)
    # Silent signaling is being replaced; silent media has failed, which restarts it.
    expected = DISCONNECTED if connection == 1 else FAILED
    while (change := changes.get(WAIT)).state is not expected:
        assert change.state in (DISCONNECTED, CONNECTING)
    assert events.get(WAIT).error.code == (53001 if connection == 1 else 53405)
    link.refuse(False)
    link.heal()
    assert isinstance(events.get(WAIT), rtmsync.RoomReconnected)
    wait_for(room, CONNECTED)


def test_a_room_that_is_disconnected_for_good_has_failed(
    place: Place, link: FaultProxy, stack: contextlib.ExitStack
) -> None:
    room = room_at(place, link, stack)
    wait_for(room, CONNECTED)
    changes = room.events(PeerConnectionStateChanged)
    other = room_at(place, link, stack)
    change = changes.get(WAIT)
    assert change.state is FAILED
    assert room.peer_connection_state is FAILED
    assert room.state is rtmsync.RoomState.DISCONNECTED
    wait_for(other, CONNECTED)
    room.close()
    assert room.peer_connection_state is CLOSED
