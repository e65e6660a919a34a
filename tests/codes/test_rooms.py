"""Rooms: the codes that whoever connects to one, sends to it or is in it can meet."""

import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import jwt
import pytest
import trustme

import rtmsync
from rtmcore.codes import RoomErrorCode
from rtmcore.connection.policy import ROOM_POLICY
from rtmcore.errors import RemoteProtocolError
from rtmcore.limits import DATA_TRACKS, LOGIN_RATE, MESSAGE_BYTES, TRACK_NAME_BYTES
from rtmcore.service import media
from rtmcore.service.commands.channels import JoinChannel
from rtmcore.service.commands.results import Trouble
from rtmcore.wire.codec import MSGPACK
from rtmcore.wire.packets import WEBSOCKET_PATH
from rtmsync import Room, RoomDisconnected, RoomReconnecting
from rtmsync.server.config import DEV_APP_ID, ServerConfig
from rtmsync.server.server import Server
from rtmsync.server.tokens import AppKeys, TokenKey
from rtmsync.testing import Corrupt, FaultProxy, Rule
from tests.codes.refusing import RefusingEngine
from tests.codes.registry import case
from tests.sync.conftest import Enter
from tests.too_often import refused_by_the_server

KEY = TokenKey(b"k" * 32)
OTHER_KEY = TokenKey(b"o" * 32)
MEDIA = 2


@pytest.fixture(scope="module")
def locked() -> Iterator[Server]:
    """A server that wants tokens."""
    config = ServerConfig(apps=[AppKeys(DEV_APP_ID, (KEY,))], port=0, drain_seconds=0.0, rate_limits=False)
    with Server(config) as running:
        yield running


def token(*, key: TokenKey = KEY, lives: float = 60, kid: str | None = None, **claims: object) -> str:
    now = int(time.time())
    all_claims = {"aud": DEV_APP_ID, "sub": "alice", "iat": now - 60, "exp": now + lives, **claims}
    headers = None if kid is None else {"kid": kid}
    return jwt.encode(all_claims, key.secret, algorithm=key.algorithm, headers=headers)


def refused(enter: Enter, *where: str, **options: Any) -> rtmsync.RtmError:
    """What a connect ends with that must fail."""
    with pytest.raises(rtmsync.RtmError) as caught:
        enter(*where, **options)
    return caught.value


# --- Connecting ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "made"),
    [
        case(RoomErrorCode.ACCESS_TOKEN_INVALID, lambda: "nonsense"),
        case(RoomErrorCode.ACCESS_TOKEN_HEADER_INVALID, lambda: token(kid="gone")),
        case(RoomErrorCode.ACCESS_TOKEN_ISSUER_INVALID, lambda: token(sub="bob")),
        case(RoomErrorCode.ACCESS_TOKEN_EXPIRED, lambda: token(lives=-30)),
        case(RoomErrorCode.ACCESS_TOKEN_NOT_YET_VALID, lambda: token(nbf=time.time() + 600)),
        case(RoomErrorCode.ACCESS_TOKEN_GRANTS_INVALID, lambda: token(rtm={"room": ["another"]})),
        case(RoomErrorCode.ACCESS_TOKEN_SIGNATURE_INVALID, lambda: token(key=OTHER_KEY)),
    ],
)
def test_a_token_that_does_not_let_in(
    enter: Enter, locked: Server, name: str, code: RoomErrorCode, made: Callable[[], str]
) -> None:
    error = refused(enter, name, "alice", locked.url, token=made())
    assert isinstance(error, rtmsync.AuthError)
    assert error.code is code


@pytest.mark.parametrize(
    ("code", "wrong"),
    [
        case(RoomErrorCode.ROOM_NAME_INVALID, {"room": ""}),
        case(RoomErrorCode.ROOM_NAME_TOO_LONG, {"room": "r" * 65}),
        case(RoomErrorCode.ROOM_NAME_CHARS_INVALID, {"room": "a/b"}),
        case(RoomErrorCode.PARTICIPANT_IDENTITY_INVALID, {"identity": ""}),
        case(RoomErrorCode.PARTICIPANT_IDENTITY_TOO_LONG, {"identity": "i" * 65}),
        case(RoomErrorCode.PARTICIPANT_IDENTITY_CHARS_INVALID, {"identity": "a/b"}),
    ],
)
def test_a_name_that_is_not_possible(enter: Enter, code: RoomErrorCode, wrong: dict[str, str]) -> None:
    error = refused(enter, **{"room": "room", "identity": "alice", **wrong})
    assert isinstance(error, rtmsync.InvalidArgument)
    assert error.code is code


@pytest.mark.produces(RoomErrorCode.SIGNALING_CONNECTION)
def test_a_server_that_cannot_be_reached(enter: Enter, proxy: FaultProxy, proxied: str) -> None:
    proxy.refuse(how="rst")
    error = refused(enter, "room", "alice", proxied)
    assert isinstance(error, rtmsync.ConnectionFailed)
    assert error.code is RoomErrorCode.SIGNALING_CONNECTION


def size_of_upgrade(server: Server) -> int:
    """How many bytes the server's answer to an upgrade has; the first frame comes behind it."""
    with socket.create_connection(("127.0.0.1", server.port), 10) as asking:
        asking.sendall(
            f"GET {WEBSOCKET_PATH} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {'A' * 22}==\r\n"
            f"Sec-WebSocket-Protocol: {MSGPACK.subprotocol}\r\n\r\n".encode()
        )
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += asking.recv(4096)
    return answer.index(b"\r\n\r\n") + 4


@pytest.mark.produces(RoomErrorCode.SIGNALING_INCOMING_MESSAGE_INVALID)
def test_a_server_whose_words_are_damaged(enter: Enter, server: Server, name: str) -> None:
    head_of_the_first_packet = Rule(Corrupt(size_of_upgrade(server) + 4))
    with FaultProxy("127.0.0.1", server.port, rules=[head_of_the_first_packet]) as link:
        error = refused(enter, name, "alice", f"ws://127.0.0.1:{link.port}")
    assert isinstance(error, RemoteProtocolError)
    assert error.code is RoomErrorCode.SIGNALING_INCOMING_MESSAGE_INVALID


@pytest.mark.produces(RoomErrorCode.SIGNALING_SERVER_BUSY)
def test_a_server_that_is_asked_too_often(enter: Enter, limited: Server, name: str) -> None:
    error = refused_by_the_server(LOGIN_RATE, lambda: enter(name, "alice", limited.url).close())
    assert error.code is RoomErrorCode.SIGNALING_SERVER_BUSY


@pytest.mark.produces(RoomErrorCode.ROOM_CONNECT_FAILED)
def test_a_server_that_cannot_let_anybody_in(
    enter: Enter, refusing: str, engine: RefusingEngine, name: str
) -> None:
    with engine.refuses(JoinChannel, code=Trouble.FULL):
        error = refused(enter, name, "alice", refusing)
    assert isinstance(error, rtmsync.ServerFailure)
    assert error.code is RoomErrorCode.ROOM_CONNECT_FAILED


@pytest.mark.produces(RoomErrorCode.ROOM_MAX_PARTICIPANTS_EXCEEDED)
def test_a_room_that_is_full(enter: Enter, name: str) -> None:
    config = ServerConfig(
        apps=[AppKeys(DEV_APP_ID)], port=0, drain_seconds=0.0, rate_limits=False, limits={"participants": 1}
    )
    with Server(config) as small, enter(name, "alice", small.url):
        error = refused(enter, name, "bob", small.url)
    assert isinstance(error, rtmsync.LimitExceeded)
    assert error.code is RoomErrorCode.ROOM_MAX_PARTICIPANTS_EXCEEDED


# --- Sending ---------------------------------------------------------------------------------------------------


def fill(room: Room) -> None:
    for number in range(DATA_TRACKS + 1):
        room.data_track(f"track-{number}").send(b"x")


@pytest.mark.parametrize(
    ("code", "call"),
    [
        case(RoomErrorCode.SIGNALING_OUTGOING_MESSAGE_INVALID, lambda room: room.send(7)),
        case(RoomErrorCode.TRACK_INVALID, lambda room: room.data_track("t").send(b"x" * (MESSAGE_BYTES + 1))),
        case(RoomErrorCode.TRACK_NAME_INVALID, lambda room: room.data_track("").send(b"x")),
        case(
            RoomErrorCode.TRACK_NAME_TOO_LONG,
            lambda room: room.data_track("t" * (TRACK_NAME_BYTES + 1)).send(b"x"),
        ),
        case(RoomErrorCode.TRACK_NAME_CHARS_INVALID, lambda room: room.data_track("\n").send(b"x")),
        case(RoomErrorCode.PARTICIPANT_MAX_TRACKS_EXCEEDED, fill),
    ],
)
def test_what_cannot_be_sent(
    enter: Enter, name: str, code: RoomErrorCode, call: Callable[[Room], object]
) -> None:
    room = enter(name, "alice")
    with pytest.raises((rtmsync.InvalidArgument, rtmsync.LimitExceeded)) as caught:
        call(room)
    assert caught.value.code is code
    assert room.healthy()


# --- Being in a room -------------------------------------------------------------------------------------------


@pytest.mark.produces(RoomErrorCode.PARTICIPANT_DUPLICATE_IDENTITY)
def test_the_same_identity_elsewhere(enter: Enter, name: str) -> None:
    older = enter(name, "alice")
    with older.events(RoomDisconnected) as told:
        enter(name, "alice")
        assert code_of(told.get()) is RoomErrorCode.PARTICIPANT_DUPLICATE_IDENTITY


def code_of(event: object) -> object:
    assert isinstance(event, RoomReconnecting | RoomDisconnected)
    assert event.error is not None
    return event.error.code


@pytest.mark.produces(
    RoomErrorCode.SIGNALING_CONNECTION_DISCONNECTED, RoomErrorCode.SIGNALING_CONNECTION_TIMEOUT
)
def test_signaling_that_does_not_come_back(
    monkeypatch: pytest.MonkeyPatch, enter: Enter, proxy: FaultProxy, proxied: str, name: str
) -> None:
    """After 6 s in place of 30 it is given up. Media, which would be missed sooner, is not missed."""
    monkeypatch.setattr(media, "ROOM_MEDIA_INTERRUPTED_AFTER", 60.0)
    room = enter(name, "alice", proxied, policy=attrs.evolve(ROOM_POLICY, give_up_after=6.0))
    with room.events(RoomReconnecting, RoomDisconnected) as told:
        proxy.refuse(how="rst")
        proxy.cut()
        assert code_of(told.get()) is RoomErrorCode.SIGNALING_CONNECTION_DISCONNECTED
        assert code_of(told.get()) is RoomErrorCode.SIGNALING_CONNECTION_TIMEOUT


@pytest.mark.produces(RoomErrorCode.MEDIA_DTLS_TRANSPORT_FAILED)
def test_media_whose_tls_fails(enter: Enter, tmp_path: Path, name: str) -> None:
    authority, certificate = trustme.CA(), tmp_path / "server.pem"
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(certificate))
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    config = ServerConfig(apps=[AppKeys(DEV_APP_ID)], port=0, drain_seconds=0.0, tls_certificate=certificate)
    broken = Rule(Corrupt(0), connection=MEDIA)
    with Server(config) as server, FaultProxy("127.0.0.1", server.port, rules=[broken]) as link:
        tls = rtmsync.TlsConfig(ca_file=str(tmp_path / "ca.pem"))
        room = enter(name, "alice", f"wss://127.0.0.1:{link.port}", tls=tls)
        room.wait_until(rtmsync.RoomState.DISCONNECTED)
        cause = room.connection.cause
        room.close()
    assert isinstance(cause, rtmsync.TlsError)
    assert cause.code is RoomErrorCode.MEDIA_DTLS_TRANSPORT_FAILED
