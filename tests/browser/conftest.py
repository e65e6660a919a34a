"""Chromium, a small web application and a server for pages to talk to."""

import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

import rtmsync
from rtmsync.server.config import DEV_APP_ID
from rtmsync.server.tokens import TokenKey, make_token
from tests.browser.tabs import Browser, ClientPage
from tests.peers import require
from tests.system.processes import ServerProcess

SCRIPT_SECONDS = 40
APP = DEV_APP_ID

_failed = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        item.stash[_failed] = True
    return report


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """One Chromium for all tests, without a window, and its driver."""
    for peer in ("selenium", "chromium", "chromedriver"):
        require(peer)
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = require("chromium")
    profile = tmp_path_factory.mktemp("profile")
    for option in (
        "headless=new", "no-sandbox", "disable-dev-shm-usage", "disable-gpu", "no-first-run", "window-size=1100,800",
        "disable-background-networking", "disable-component-update", "force-prefers-reduced-motion",
        f"user-data-dir={profile}",
    ):  # fmt: skip
        options.add_argument(f"--{option}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(require("chromedriver")))
    try:
        driver.set_script_timeout(SCRIPT_SECONDS)
        driver.set_page_load_timeout(SCRIPT_SECONDS)
        yield driver
    finally:
        driver.quit()


@pytest.fixture
def browser(chromium: Any, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Browser]:
    """Tabs for one test. Where an error is on their consoles at its end, the test fails."""
    browser = Browser(chromium, tmp_path, lambda: request.node.stash.get(_failed, False))
    chromium.get_log("browser")
    yield browser
    browser.clear()
    said = browser.unexpected()
    assert not said, "errors on the console:\n" + "\n".join(said)


@attrs.frozen
class Site:
    """The small web application of `tests.browser.pages`. What is written to `page` is at /page."""

    port: int
    page: Path
    secret_file: Path
    server_key: str

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def other_origin(self) -> str:
        """The same machine under another name, which the server does not know."""
        return f"http://localhost:{self.port}"

    @property
    def options(self) -> tuple[str, ...]:
        """Of `rtm serve`: tokens of this site, and pages of its origin only."""
        key_file = self.secret_file.with_name("server.key")
        key_file.write_text(self.server_key)
        return (
            "--secret-file", str(self.secret_file), "--server-key-file", str(key_file), "--allow-origin", self.origin,
        )  # fmt: skip

    def token(self, user: str) -> str:
        """As the site makes them."""
        return make_token(TokenKey(self.secret_file.read_bytes()), app=APP, user=user, now=time.time())


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    secret_file = tmp_path_factory.mktemp("site") / "app.key"
    secret_file.write_text(secrets.token_hex(32))
    page = secret_file.with_name("page.html")
    command = [sys.executable, "-m", "tests.browser.pages", APP, str(secret_file), str(page)]
    root = Path(__file__).parents[2]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield Site(int(process.stdout.readline()), page, secret_file, secrets.token_hex(16))
        finally:
            process.stdin.close()


@pytest.fixture(scope="session")
def server(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server that nothing happens to."""
    with ServerProcess(tmp_path_factory.mktemp("server"), *site.options) as running:
        yield running


@pytest.fixture
def own_server(site: Site, tmp_path: Path) -> Iterator[ServerProcess]:
    """A server that a test may kill and start again."""
    with ServerProcess(tmp_path / "server", *site.options) as running:
        yield running


@pytest.fixture
def open_page(browser: Browser, site: Site) -> Callable[[], ClientPage]:
    """Opens the page of the tests in another tab."""
    return lambda: browser.open(site.origin, ClientPage)


@pytest.fixture
def page(open_page: Callable[[], ClientPage]) -> ClientPage:
    """The page of the tests in a tab."""
    return open_page()


@pytest.fixture
def member(site: Site) -> Iterator[Callable[..., rtmsync.Client]]:
    """Logs in Python clients: users that the pages talk with."""
    made: list[rtmsync.Client] = []

    def log_in(server: ServerProcess, user: str) -> rtmsync.Client:
        made.append(rtmsync.connect(server.url, app_id=APP, user_id=user, token=site.token(user)))
        return made[-1]

    yield log_in
    for client in made:
        client.close()


@pytest.fixture
def names() -> Callable[[str], str]:
    """Names that no other test uses."""
    mark = secrets.token_hex(4)
    return lambda name: f"{name}-{mark}"
