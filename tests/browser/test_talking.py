"""A page and a program talk to each other."""

from collections.abc import Callable

import pytest

import rtmsync
from rtmsync import ChannelMessage, PeerMessage
from tests.browser.conftest import APP, Site
from tests.browser.tabs import Browser, CallFailed, ClientPage, wait_for
from tests.system.processes import PATIENCE, ServerProcess

pytestmark = pytest.mark.interop

Names = Callable[[str], str]
LogIn = Callable[..., rtmsync.Client]
OpenPage = Callable[[], ClientPage]

TEXT = "naïve – 你好 – 🙂 – \ufeffmark"


def test_messages_both_ways(page: ClientPage, server: ServerProcess, member: LogIn, names: Names) -> None:
    ada, ben, room = names("ada"), names("ben"), names("room")
    python = member(server, ben)
    inbox, heard = python.events(PeerMessage), python.events(ChannelMessage)
    channel = python.channel(room)
    channel.join()

    page.make(server.url, APP, ada).call("login")
    assert page.state == ("CONNECTED", "LOGIN_SUCCESS")
    assert page.states() == ["CONNECTING", "CONNECTED"]
    assert sorted(page.call("join", room)) == [ada, ben]
    assert sorted(page.call("members", room)) == [ada, ben]

    assert page.call("sendChannel", room, TEXT)["id"] > 0
    message = heard.get(timeout=PATIENCE)
    assert (message.sender, message.channel, message.text) == (ada, room, TEXT)
    assert page.call("sendPeer", ben, TEXT)["status"] == "DELIVERED"
    assert inbox.get(timeout=PATIENCE).text == TEXT

    channel.send(TEXT)
    channel.send(b"\x00\xff")
    first, second = page.wait_for_events(2, "message")
    assert (first["channel"], first["sender"], first["text"]) == (room, ben, TEXT)
    assert (second["text"], second["bytes"]) == (None, [0, 255])
    assert python.send_peer(ada, TEXT).status.name == "DELIVERED"
    (message,) = page.wait_for_events(1, "peermessage")
    assert (message["sender"], message["text"], message["offline"]) == (ben, TEXT, False)

    page.call("leave", room)
    page.call("logout")
    assert page.state == ("DISCONNECTED", "LOGOUT")


def test_members_come_and_go(page: ClientPage, server: ServerProcess, member: LogIn, names: Names) -> None:
    ada, ben, room = names("ada"), names("ben"), names("room")
    page.make(server.url, APP, ada).call("login")
    page.call("join", room)
    channel = member(server, ben).channel(room)
    channel.join()
    assert [page.wait_for_events(1, "joined")[0][name] for name in ("channel", "user", "count")] == [
        room,
        ben,
        2,
    ]
    channel.leave()
    assert [page.wait_for_events(1, "left")[0][name] for name in ("user", "count", "dropped")] == [
        ben,
        1,
        False,
    ]


def test_many_messages_at_once_keep_their_order(
    page: ClientPage, server: ServerProcess, member: LogIn, names: Names
) -> None:
    ada, ben, room = names("ada"), names("ben"), names("room")
    python = member(server, ben)
    heard = python.events(ChannelMessage)
    channel = python.channel(room)
    channel.join()
    page.make(server.url, APP, ada).call("login")
    page.call("join", room)
    page.run("for (let n = 0; n < 150; n += 1) client.sendChannel(arguments[0], `page ${n}`)", room)
    for number in range(150):
        channel.send(f"python {number}")
    page.wait_for_events(150, "message")
    assert page.texts() == [f"python {number}" for number in range(150)]
    assert [heard.get(timeout=PATIENCE).text for _ in range(150)] == [
        f"page {number}" for number in range(150)
    ]
    assert page.events("lost", "error") == []


def test_what_is_wrong_is_said(page: ClientPage, server: ServerProcess, names: Names) -> None:
    ada = names("ada")
    page.make(server.url, APP, ada)

    def code(method: str, *arguments: object) -> int | None:
        with pytest.raises(CallFailed) as caught:
            page.call(method, *arguments)
        assert caught.value.name == "RtmError"
        return caught.value.code

    assert code("sendChannel", "room", "hello") == 102
    page.call("login")
    assert code("login") == 8
    assert code("sendChannel", names("room"), "hello") == 5
    assert code("sendPeer", names("nobody"), "hello") == 3
    assert code("sendPeer", "no/user", "hello") == 6
    assert code("sendPeer", names("nobody"), "x" * 32_769) == 7
    assert page.call("sendPeer", names("nobody"), "hello", {"offline": True})["status"] == "CACHED"
    page.call("join", names("room"))
    assert code("join", names("room")) == 6
    assert page.state == ("CONNECTED", "LOGIN_SUCCESS")


def test_a_login_that_is_refused(
    browser: Browser, page: ClientPage, server: ServerProcess, names: Names
) -> None:
    page.make(server.url, "0" * 32, names("ada"))
    with pytest.raises(CallFailed) as caught:
        page.call("login")
    assert (caught.value.operation, caught.value.code) == ("login", 4)
    assert page.state == ("DISCONNECTED", "LOGIN_FAILURE")
    browser.expect("/token.*status of 403")
    page.make(server.url, APP, names("ada"), seconds=0)
    with pytest.raises(CallFailed) as caught:
        page.call("login")
    assert caught.value.operation == "token"
    assert page.states() == ["CONNECTING", "DISCONNECTED"] * 2


def test_a_page_of_another_origin_is_refused(
    browser: Browser, site: Site, server: ServerProcess, names: Names
) -> None:
    browser.expect("WebSocket connection to .* failed: .*Unexpected response code: 403")
    page = browser.open(site.other_origin, ClientPage).make(server.url, APP, names("ada"))
    page.run("client.login().catch((error) => { window.refusal = error.code; })")
    wait_for(browser.listen)
    page.call("logout")
    assert wait_for(lambda: page.run("return window.refusal")) == 201
    assert page.states() == ["CONNECTING", "DISCONNECTED"]


@pytest.mark.slow
def test_a_new_token_is_got_in_time(page: ClientPage, server: ServerProcess, names: Names) -> None:
    page.make(server.url, APP, names("ada"), seconds=8).call("login")
    wait_for(lambda: page.run("return tokens.length") >= 3)
    assert page.run("return tokens")[:3] == ["login", "renew", "renew"]
    assert page.events("error") == []
    assert page.states() == ["CONNECTING", "CONNECTED"]
