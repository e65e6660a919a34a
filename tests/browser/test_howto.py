"""The page of docs/howto/browser.md works as it stands there."""

from collections.abc import Callable

import pytest

import rtmsync
from rtmsync import ChannelMessage
from tests.browser.conftest import APP, Site
from tests.browser.tabs import Browser, Page, wait_for
from tests.docs.pages import DOCS, blocks
from tests.system.processes import PATIENCE, ServerProcess

pytestmark = pytest.mark.interop

HERE = {
    "wss://rtm.example.org": "{url}",
    "0123456789abcdef0123456789abcdef": APP,
    "/rtm/token": "/token?user=alice&seconds=900",
    "<p>State": "<!doctype html><title>The page</title><link rel=icon href=data:,><p>State",
}


def test_the_page(
    browser: Browser, site: Site, server: ServerProcess, member: Callable[..., rtmsync.Client]
) -> None:
    (html,) = [block.code for block in blocks(DOCS / "howto" / "browser.md") if block.info == "html"]
    for there, here in HERE.items():
        assert there in html
        html = html.replace(there, here.format(url=server.url))
    site.page.write_text(html, "utf-8")
    ben = member(server, "ben")
    heard = ben.events(ChannelMessage)
    channel = ben.channel("ops")
    channel.join()
    page = browser.open(f"{site.origin}/page", Page)
    page.waits_for_text("#state", "CONNECTED")
    assert heard.get(timeout=PATIENCE).text == "hello"
    channel.send("<b>hello</b>, alice")
    assert wait_for(lambda: page.text("#messages")) == "ben: <b>hello</b>, alice"
