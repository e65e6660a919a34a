"""Two clients exchange text and bytes, over both subprotocols, plain and under TLS."""

import threading

import pytest
import trustme

import rtmsync
from rtmcore.limits import MESSAGE_BYTES
from rtmsync import (
    ChannelMessage,
    InvalidArgument,
    MemberJoined,
    MemberLeft,
    PeerMessage,
    SendChannelMessageError,
    SendPeerMessageError,
    SendStatus,
    TlsConfig,
)
from rtmsync.server.config import DEV_APP_ID
from tests.system.conftest import WAIT

MESSAGES = ["a", "dogs 🐕 and cats", "x" * MESSAGE_BYTES, b"\x00", bytes(range(256)) * (MESSAGE_BYTES // 256)]


@pytest.fixture(params=["rtm.v1.msgpack", "rtm.v1.json"])
def options(request) -> dict[str, object]:
    return {"subprotocols": (request.param,)}


@pytest.fixture(params=["plain", "tls"])
def place(request, serve, options, tmp_path):
    if request.param == "plain":
        return serve()
    authority = trustme.CA()
    certificate, trusted = tmp_path / "server.pem", tmp_path / "ca.pem"
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(certificate))
    authority.cert_pem.write_to_path(str(trusted))
    options["tls"] = TlsConfig(ca_file=str(trusted))
    return serve(tls_certificate=certificate)


def content(message: PeerMessage | ChannelMessage) -> str | bytes:
    return message.text if message.kind == rtmsync.MessageType.TEXT else message.raw


def test_text_and_bytes_pass_between_peers_and_through_a_channel(place, connect, options) -> None:
    alice, bob = connect(place, "alice", **options), connect(place, "bob", **options)
    inbox = bob.events(PeerMessage)
    with alice.channel("ops") as ours, bob.channel("ops") as theirs:
        arriving = theirs.events(ChannelMessage)
        for message in MESSAGES:
            assert alice.send_peer("bob", message).status is SendStatus.DELIVERED
            ours.send(message)
        for message in MESSAGES:
            got = inbox.get(WAIT)
            assert (got.sender, content(got)) == ("alice", message)
            heard = arriving.get(WAIT)
            assert (heard.channel, heard.sender, content(heard)) == ("ops", "alice", message)


@pytest.mark.parametrize(
    "message", ["x" * (MESSAGE_BYTES + 1), bytes(MESSAGE_BYTES + 1), "é" * (MESSAGE_BYTES // 2 + 1)]
)
def test_one_byte_too_many_is_refused_at_once_and_loses_nothing(server, connect, options, message) -> None:
    alice, bob = connect(server, "alice", **options), connect(server, "bob", **options)
    inbox = bob.events(PeerMessage)
    channel = alice.channel("ops")
    channel.join()
    with pytest.raises(InvalidArgument) as peer:
        alice.send_peer("bob", message)
    assert peer.value.code is SendPeerMessageError.INVALID_MESSAGE
    with pytest.raises(InvalidArgument) as published:
        channel.send(message)
    assert published.value.code is SendChannelMessageError.INVALID_MESSAGE
    alice.send_peer("bob", "still here")
    assert inbox.get(WAIT).text == "still here"


def test_members_see_one_another_come_and_go(server, connect) -> None:
    alice, bob = connect(server, "alice"), connect(server, "bob")
    ops = alice.channel("ops")
    ops.join()
    seen = ops.events(MemberJoined, MemberLeft)
    bob.channel("ops").join()
    joined = seen.get(WAIT)
    assert (joined, sorted(ops.members())) == (MemberJoined("ops", "bob", 2), ["alice", "bob"])
    bob.logout()
    assert seen.get(WAIT) == MemberLeft("ops", "bob", 1)


def test_a_peer_that_is_offline_is_a_result_and_an_offline_message_waits_for_it(server, connect) -> None:
    alice = connect(server, "alice")
    assert alice.send_peer("bob", "are you there?").status is SendStatus.PEER_UNREACHABLE
    assert alice.send_peer("bob", "call me", offline=True).status is SendStatus.CACHED
    bob = connect(server, "bob")
    got = bob.events(PeerMessage).get(WAIT)
    assert (got.text, got.offline) == ("call me", True)


def test_messages_that_arrived_before_the_first_handler_reach_it_in_order(server, connect) -> None:
    alice, bob = connect(server, "alice"), connect(server, "bob")
    sent = [alice.send_peer_future("bob", f"{number}", timeout=WAIT) for number in range(600)]
    assert bob.wait_until(rtmsync.ConnectionState.CONNECTED, 1) is not None
    assert not any(future.done() for future in sent)
    got: list[str] = []
    complete = threading.Event()

    @bob.on(PeerMessage)
    def note(message: PeerMessage) -> None:
        got.append(message.text)
        if len(got) == len(sent):
            complete.set()

    for future in sent:
        assert future.result(WAIT).status is SendStatus.DELIVERED
    assert complete.wait(WAIT)
    assert got == [f"{number}" for number in range(600)]


def test_connect_builds_logs_in_and_closes(server) -> None:
    with rtmsync.connect(server.url, app_id=DEV_APP_ID, user_id="cron-7") as client:
        assert client.state is rtmsync.ConnectionState.CONNECTED
    with pytest.raises(rtmsync.ClientClosed):
        client.send_peer("alice", "too late")
