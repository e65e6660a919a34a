"""A page that goes away says so, and one that comes back logs in again."""

import time
from collections.abc import Callable

import pytest

import rtmsync
from rtmsync import ChannelMessage, MemberJoined, MemberLeft, PeerOnlineState, PresenceChanged
from tests.browser.conftest import APP, Site
from tests.browser.tabs import ClientPage, wait_for
from tests.system.processes import PATIENCE, ServerProcess

pytestmark = pytest.mark.interop

Names = Callable[[str], str]
LogIn = Callable[..., rtmsync.Client]
OpenPage = Callable[[], ClientPage]

AT_ONCE = 20.0
"""Seconds, on a machine that does much else; a tenth of one where it does not. Without a goodbye it would be 30."""


@pytest.mark.parametrize("how", ["close", "reload", "go elsewhere"])
def test_others_see_a_page_go_at_once(
    how: str, open_page: OpenPage, site: Site, server: ServerProcess, member: LogIn, names: Names
) -> None:
    ada, room = names("ada"), names("room")
    python = member(server, names("ben"))
    left, online = python.events(MemberLeft), python.events(PresenceChanged)
    python.channel(room).join()
    python.subscribe_presence([ada])
    page = open_page().make(server.url, APP, ada)
    page.call("login")
    page.call("join", room)
    wait_for(lambda: online.get(timeout=PATIENCE).states[ada] is PeerOnlineState.ONLINE)

    page.focus()
    began = time.monotonic()
    if how == "close":
        page.close()
    elif how == "reload":
        page.focus().refresh()
    else:
        page.focus().get(f"{site.origin}/other")
    gone = left.get(timeout=PATIENCE)
    seconds = time.monotonic() - began
    assert (gone.user, gone.dropped) == (ada, False)
    assert online.get(timeout=PATIENCE).states == {ada: PeerOnlineState.OFFLINE}
    print(f"seen after {seconds:.2f} s")
    assert seconds < AT_ONCE


def test_a_page_that_comes_back_is_in_its_channels_again(
    page: ClientPage, site: Site, server: ServerProcess, member: LogIn, names: Names
) -> None:
    ada, room = names("ada"), names("room")
    python = member(server, names("ben"))
    seen, heard = python.events(MemberJoined, MemberLeft), python.events(ChannelMessage)
    channel = python.channel(room)
    channel.join()
    page.make(server.url, APP, ada).call("login")
    page.call("join", room)
    driver = page.focus()
    driver.get(f"{site.origin}/other")
    driver.back()
    if page.run("return !window.client"):
        pytest.skip(
            "this browser did not keep the page: it was loaded anew, and logs in as it did the first time"
        )
    page.wait_for_state("CONNECTED")
    wait_for(lambda: page.run("return client.channels") == [room])
    assert [type(seen.get(timeout=PATIENCE)) for _ in range(3)] == [MemberJoined, MemberLeft, MemberJoined]
    page.call("sendChannel", room, "here again")
    assert heard.get(timeout=PATIENCE).text == "here again"
    channel.send("good")
    page.wait_for_events(1, "message")
    assert page.states() == ["CONNECTING", "CONNECTED", "DISCONNECTED", "CONNECTING", "CONNECTED"]


def test_a_goodbye_of_a_page_that_does_not_wait(
    page: ClientPage, server: ServerProcess, names: Names
) -> None:
    page.make(server.url, APP, names("ada"))
    page.run("client.login().catch((error) => { window.refusal = error.code; }); client.logout()")
    assert wait_for(lambda: page.run("return window.refusal")) == 201
    assert page.states() == ["CONNECTING", "DISCONNECTED"]
    page.call("login")
    assert page.state == ("CONNECTED", "LOGIN_SUCCESS")
