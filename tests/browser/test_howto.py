"""Pages of the how-to guides work as they stand there."""

from collections.abc import Callable
from pathlib import Path

import pytest

import rtmsync
from rtmsync import ChannelMessage
from tests.browser.conftest import APP, Site
from tests.browser.tabs import Browser, Page, wait_for
from tests.docs.pages import DOCS, blocks
from tests.docs.test_flask_page import files
from tests.examples.flask_sites import environment, running
from tests.system.processes import PATIENCE, ServerProcess, free_port

pytestmark = pytest.mark.interop

HERE = {
    "wss://rtm.example.org": "{url}",
    "0123456789abcdef0123456789abcdef": APP,
    "/rtm/token": "/token?user=alice&seconds=900",
    "<p>State": "<!doctype html><title>The page</title><link rel=icon href=data:,><p>State",
}


def test_the_page_on_browsers(
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


@pytest.mark.slow
@pytest.mark.timeout(300)  # three processes to start
def test_the_site_of_the_page_on_flask(browser: Browser, tmp_path: Path) -> None:
    pytest.importorskip("flask")
    for name, text in files().items():
        path = tmp_path / "site" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    url, port = f"ws://127.0.0.1:{free_port()}", free_port()
    origin = f"http://127.0.0.1:{port}"
    variables = environment(tmp_path, FLASK_APP=str(tmp_path / "site" / "app.py"), FLASK_RTM_URL=url)
    with (
        running("rtm", "serve", "--allow-origin", origin, ready=f"listens on {url}", variables=variables),
        running("rtm", "listen", ready="Listening as kitchen", variables=variables),
        running("run", "--port", str(port), ready="Running on", variables=variables),
    ):
        pages = [browser.open(origin, Page) for _ in range(2)]
        for page in pages:
            page.waits_for_text("#state", "CONNECTED")
        pages[0].find("#order button").click()  # to a view, and to both pages
        for page in pages:
            page.waits_for_text("#board", "ordered: soup")
        pages[1].find("#ask").click()  # to the listener, and back
        pages[1].waits_for_text("#board", "the kitchen says: soup: in five minutes")
        pages[0].waits_for_text("#board", "asked for: soup")
        browser.clear()
