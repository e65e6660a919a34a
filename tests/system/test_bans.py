"""Users who are put out and kept out by the server."""

import threading

import pytest

import rtmsync
from rtmcore.limits import BAN_REASON_LENGTH
from rtmsync import (
    Aborted,
    Banned,
    Client,
    ConnectionChangeReason,
    ConnectionState,
    InvalidArgument,
    LoginError,
    MemberLeft,
    PeerMessage,
    StateChanged,
    StateError,
)
from rtmsync.server.config import DEV_APP_ID, ServerConfig
from rtmsync.server.server import Server
from rtmsync.server.tokens import AppKeys
from tests.system.conftest import WAIT
from tests.system.processes import free_port


def refused(client: Client) -> Banned:
    """The error of a login of a banned user."""
    with pytest.raises(Banned) as caught:
        client.login()
    assert caught.value.code is LoginError.REJECTED
    assert (client.state, client.connection.reason) == (
        ConnectionState.DISCONNECTED,
        ConnectionChangeReason.LOGIN_FAILURE,
    )
    return caught.value


def expect_banned(states) -> StateChanged:
    """The last change of a client that was put out."""
    while (change := states.get(WAIT)).state is not ConnectionState.ABORTED:
        pass
    assert change.reason is ConnectionChangeReason.BANNED_BY_SERVER
    return change


def test_a_banned_client_is_put_out_until_it_logs_out_and_cannot_log_in(server, connect) -> None:
    alice, bob = connect(server, "alice"), connect(server, "bob")
    states = alice.events(StateChanged)
    alice.channel("room").join()
    room = bob.channel("room")
    room.join()
    left = bob.events(MemberLeft)
    server.ban(DEV_APP_ID, "alice", "spam in the lobby")
    change = expect_banned(states)
    assert change.previous is ConnectionState.CONNECTED
    assert "spam in the lobby" in str(change.cause)
    assert left.get(WAIT).user == "alice"
    with pytest.raises(Aborted, match="BANNED_BY_SERVER"):
        alice.send_peer("bob", "hello")
    with pytest.raises(rtmsync.AlreadyLoggedIn):
        alice.login()
    assert alice.state is ConnectionState.ABORTED
    alice.logout()
    assert alice.state is ConnectionState.DISCONNECTED
    assert "The user is banned: spam in the lobby" in str(refused(alice))
    assert bob.state is ConnectionState.CONNECTED
    server.unban(DEV_APP_ID, "alice")
    inbox = alice.events(PeerMessage)
    alice.login()
    bob.send_peer("alice", "welcome back")
    assert inbox.get(WAIT).text == "welcome back"


def test_a_client_that_is_banned_while_it_is_away_learns_of_it_when_it_comes_back(
    server, connect, proxy
) -> None:
    link = proxy()
    alice: Client = connect(link, "alice")
    states = alice.events(StateChanged)
    link.refuse()
    link.cut()
    assert states.get(WAIT).state is ConnectionState.RECONNECTING
    server.ban(DEV_APP_ID, "alice", "spam")
    link.refuse(False)
    change = expect_banned(states)
    assert change.previous is ConnectionState.RECONNECTING
    assert "spam" in str(change.cause)
    alice.logout()
    refused(alice)


def test_a_client_that_the_servers_word_does_not_reach_learns_of_it_when_it_comes_back(
    server, connect, proxy
) -> None:
    link = proxy()
    alice: Client = connect(link, "alice")
    states = alice.events(StateChanged)
    link.blackhole(connection=1)
    server.ban(DEV_APP_ID, "alice")
    expect_banned(states)


def test_a_ban_and_its_end_survive_a_restart(serve, connect, tmp_path) -> None:
    server = serve(data_dir=tmp_path, port=free_port())
    alice, bob = connect(server, "alice"), connect(server, "bob")
    for user in ("alice", "bob"):
        server.ban(DEV_APP_ID, user, "spam")
    server.unban(DEV_APP_ID, "bob")
    for client in (alice, bob):
        assert client.wait_until(ConnectionState.ABORTED, WAIT) is not None
        client.logout()
    server.stop()
    server = serve(data_dir=tmp_path, port=server.port)
    assert "spam" in str(refused(alice))
    bob.login()
    server.unban(DEV_APP_ID, "alice")
    server.stop()
    serve(data_dir=tmp_path, port=server.port)
    alice.login()


def test_bans_may_come_from_many_threads(server) -> None:
    users = [f"user-{number}" for number in range(50)]
    done = []

    def change_often(user: str) -> None:
        for _ in range(20):
            server.unban(DEV_APP_ID, user)
            server.ban(DEV_APP_ID, user, user)
        done.append(user)

    threads = [threading.Thread(target=change_often, args=(user,)) for user in users]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT)
    assert sorted(done) == sorted(users), "an order was lost"
    for user in users[::10]:
        with Client(server.url, app_id=DEV_APP_ID, user_id=user, proxy=None) as client:
            assert user in str(refused(client))


@pytest.mark.parametrize(
    ("app", "user", "reason"),
    [
        ("x" * 32, "alice", ""),
        (DEV_APP_ID, "", ""),
        (DEV_APP_ID, "null", ""),
        (DEV_APP_ID, "alice", "x" * (BAN_REASON_LENGTH + 1)),
        (DEV_APP_ID, "alice", "\ud800"),
    ],
)
def test_a_ban_of_nobody_or_for_no_text_is_an_error(server, app: str, user: str, reason: str) -> None:
    with pytest.raises(InvalidArgument):
        server.ban(app, user, reason)


def test_only_a_server_that_runs_takes_orders() -> None:
    server = Server(ServerConfig(apps=[AppKeys(DEV_APP_ID)], port=0))
    with pytest.raises(StateError, match=r"not running.*start"):
        server.ban(DEV_APP_ID, "alice")
    with server:
        server.ban(DEV_APP_ID, "alice")
    with pytest.raises(StateError, match="stopped"):
        server.unban(DEV_APP_ID, "alice")
