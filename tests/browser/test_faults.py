"""What a page makes of a server that is killed, of a network that says nothing, and of a second login."""

import contextlib
import time
from collections.abc import Callable, Iterator

import pytest

import rtmsync
from rtmsync import ChannelMessage, ConnectionState
from rtmsync.testing.faultproxy import FaultProxy
from tests.browser.conftest import APP, Site
from tests.browser.tabs import Browser, CallFailed, ClientPage, wait_for
from tests.system.processes import PATIENCE, ServerProcess

pytestmark = pytest.mark.interop

Names = Callable[[str], str]
LogIn = Callable[..., rtmsync.Client]
OpenPage = Callable[[], ClientPage]

CUTS = 6

SHORT = 2.4
"""Seconds that are no interruption in any case: one begins 4 s after the last byte, which came up to 1.5 s before."""


@pytest.fixture
def proxy(server: ServerProcess) -> Iterator[FaultProxy]:
    """Between a page and the server."""
    with FaultProxy("127.0.0.1", server.port) as proxy:
        yield proxy


@pytest.mark.slow
def test_a_server_is_killed_and_comes_back(
    browser: Browser, page: ClientPage, own_server: ServerProcess, member: LogIn, names: Names
) -> None:
    browser.expect("WebSocket connection to .* failed: .*net::ERR_")
    ada, ben, room = names("ada"), names("ben"), names("room")
    python = member(own_server, ben)
    heard = python.events(ChannelMessage)
    channel = python.channel(room)
    channel.join()
    page.make(own_server.url, APP, ada).call("login")
    page.call("join", room)
    # Waits of up to 1.6 s between attempts: what is sent meanwhile has 10.
    page.run("Math.random = () => 0.2")

    own_server.kill()
    page.wait_for_state("RECONNECTING", "INTERRUPTED")
    retry = page.wait_for_events(2, "retry")[-1]
    assert retry["attempt"] >= 2
    assert retry["delay"] <= 8_000
    page.run("client.sendChannel(arguments[0], 'while away').then(() => { window.sent = true; })", room)
    own_server.start()
    page.wait_for_state("CONNECTED", "LOGIN_SUCCESS")
    python.wait_until(ConnectionState.CONNECTED, timeout=PATIENCE)
    assert wait_for(lambda: page.run("return window.sent"))
    assert heard.get(timeout=PATIENCE).text == "while away"

    python.send_peer(ada, "are you back?", offline=True)
    channel.send("welcome back")
    assert [message["text"] for message in page.wait_for_events(1, "peermessage")] == ["are you back?"]
    assert [message["text"] for message in page.wait_for_events(1, "message")] == ["welcome back"]
    assert page.states() == ["CONNECTING", "CONNECTED", "RECONNECTING", "CONNECTED"]
    assert page.events("left", "joined", "lost") == []
    assert sorted(page.call("members", room)) == [ada, ben]


def sent_and_cached(python: rtmsync.Client, user: str) -> str:
    """Send a message that is stored, and return its text; the answer leaves half a second before it must be there."""
    for number in range(10):
        with contextlib.suppress(rtmsync.RequestTimeout):
            text = f"stored {number}"
            assert python.send_peer(user, text, offline=True, timeout=1.5).status.name == "CACHED"
            return text
    raise AssertionError("no answer came in time")


def test_what_is_sent_to_an_absent_page_arrives_after_a_restart(
    browser: Browser, page: ClientPage, own_server: ServerProcess, member: LogIn, names: Names
) -> None:
    browser.expect("WebSocket connection to .* failed: ")  # in whatever state the attempts in the hole are
    ada = names("ada")
    python = member(own_server, names("ben"))
    with FaultProxy("127.0.0.1", own_server.port) as proxy:
        page.make(proxy.url, APP, ada).call("login")
        proxy.blackhole(mode="drop")
        with pytest.raises(rtmsync.RtmError):
            python.send_peer(ada, "lost on the way", timeout=0.5)
        text = sent_and_cached(python, ada)
        own_server.kill()
        own_server.start()
        proxy.heal()
        wait_for(lambda: text in page.texts("peermessage"), lambda: page.run("return events"))
        page.wait_for_state("CONNECTED")
    assert page.texts("peermessage")[-1] == text
    assert len(set(page.texts("peermessage"))) == len(page.texts("peermessage"))


def test_no_message_is_lost_or_comes_twice_over_cuts(
    browser: Browser, page: ClientPage, server: ServerProcess, proxy: FaultProxy, member: LogIn, names: Names
) -> None:
    browser.expect("WebSocket connection to .* failed: ")  # in whatever state an attempt is when it is cut
    ada, ben, room = names("ada"), names("ben"), names("room")
    python = member(server, ben)
    heard = python.events(ChannelMessage)
    channel = python.channel(room)
    channel.join()
    page.make(proxy.url, APP, ada).call("login")
    page.call("join", room)
    sent = 0
    for number in range(CUTS):
        for _ in range(4):
            page.run("client.sendChannel(arguments[0], `page ${arguments[1]}`)", room, sent)
            channel.send(f"python {sent}")
            python.send_peer_future(ada, f"peer {sent}", offline=True)
            sent += 1
            if _ == 2:
                proxy.cut("rst" if number % 2 else "fin")
        seen = 4 * number + 4
        wait_for(lambda: len(page.events("message")) >= seen, lambda: page.run("return events"))  # noqa: B023
    page.wait_for_events(sent, "peermessage")
    assert page.texts() == [f"python {number}" for number in range(sent)]
    assert page.texts("peermessage") == [f"peer {number}" for number in range(sent)]
    assert [heard.get(timeout=PATIENCE).text for _ in range(sent)] == [
        f"page {number}" for number in range(sent)
    ]
    assert page.events("left", "joined", "lost") == []


def test_silence_is_noticed(
    page: ClientPage, server: ServerProcess, proxy: FaultProxy, member: LogIn, names: Names
) -> None:
    page.browser.expect(
        "WebSocket connection to .* failed: "
    )  # an attempt in the hole may have timed out by the end
    ada, room = names("ada"), names("room")
    channel = member(server, names("ben")).channel(room)
    channel.join()
    page.make(proxy.url, APP, ada).call("login")
    page.call("join", room)
    channel.send("before")
    (before,) = page.wait_for_events(1, "message")
    began = time.time()
    proxy.blackhole()
    channel.send("meanwhile")
    page.wait_for_state("RECONNECTING", "INTERRUPTED")
    noticed = page.events("state")[-1]["at"]
    print(f"noticed after {noticed / 1000 - began:.2f} s")
    assert noticed - before["at"] > 3_900, "4 s after the last byte, which came with this message or later"
    assert noticed / 1000 - began < 20, "more than 4 s on a slow machine, but not the 30 s of an outage"
    assert page.texts() == ["before"]
    proxy.heal()
    page.wait_for_state("CONNECTED")
    page.wait_for_events(2, "message")
    channel.send("after")
    page.wait_for_events(3, "message")
    assert page.texts() == ["before", "meanwhile", "after"]


def test_a_short_cut_is_no_interruption(
    page: ClientPage, server: ServerProcess, proxy: FaultProxy, member: LogIn, names: Names
) -> None:
    ada, room = names("ada"), names("room")
    channel = member(server, names("ben")).channel(room)
    channel.join()
    page.make(proxy.url, APP, ada).call("login")
    page.call("join", room)
    for number in range(1, 11):
        page.wait_for_state("CONNECTED")
        states, began = page.states(), time.monotonic()
        proxy.cut()
        page.wait_for_events(number, "retry")
        channel.send("still there?")
        page.wait_for_events(number, "message")
        short = time.monotonic() < began + SHORT
        if short:
            break  # otherwise the machine stood still meanwhile: once more
    assert short
    assert page.states() == states


def test_a_return_while_the_site_gives_no_tokens(
    page: ClientPage, server: ServerProcess, proxy: FaultProxy, names: Names
) -> None:
    page.make(proxy.url, APP, names("ada")).call("login")
    page.run("window.withoutTokens = true")
    began = time.monotonic()
    proxy.cut()
    page.wait_for_events(1, "error")
    assert page.call("join", names("room")) == [names("ada")]
    states, tokens = page.states(), page.run("return tokens")
    assert tokens[:2] == ["login", "return"]
    if time.monotonic() < began + SHORT:  # unless the machine stood still meanwhile
        assert states == ["CONNECTING", "CONNECTED"]
        assert tokens == ["login", "return"]


def test_a_second_login_ends_the_first_for_good(
    open_page: OpenPage, server: ServerProcess, names: Names
) -> None:
    ada, room = names("ada"), names("room")
    first = open_page().make(server.url, APP, ada)
    first.call("login")
    first.call("join", room)
    second = open_page().make(server.url, APP, ada)
    second.call("login")
    first.wait_for_state("ABORTED", "REMOTE_LOGIN")
    assert second.call("join", room) == [ada]
    with pytest.raises(CallFailed) as caught:
        first.call("login")
    assert caught.value.code == 8
    with pytest.raises(CallFailed) as caught:
        first.call("sendChannel", room, "hello")
    assert caught.value.code == 102
    first.run("dispatchEvent(new Event('online'))")
    time.sleep(1)  # what must not happen would happen at once
    assert first.states() == ["CONNECTING", "CONNECTED", "ABORTED"]
    assert first.events("retry") == []
    assert second.state == ("CONNECTED", "LOGIN_SUCCESS")

    first.call("logout")
    first.call("login")
    second.wait_for_state("ABORTED", "REMOTE_LOGIN")


def test_a_ban_ends_the_session(page: ClientPage, site: Site, server: ServerProcess, names: Names) -> None:
    ada = names("ada")
    page.make(server.url, APP, ada).call("login")
    with rtmsync.Publisher(server.url, app_id=APP, server_key=site.server_key) as publisher:
        publisher.ban(ada)
    page.wait_for_state("ABORTED", "BANNED_BY_SERVER")
    page.call("logout")
    with pytest.raises(CallFailed) as caught:
        page.call("login")
    assert caught.value.code == 2
    assert page.state == ("DISCONNECTED", "LOGIN_FAILURE")
