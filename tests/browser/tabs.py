"""Chromium as tests see it: its tabs, what their consoles say, and screenshots."""

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

T = TypeVar("T")
P = TypeVar("P", bound="Page")

PATIENCE: Final = 30.0
"""Seconds that a page gets for anything, on a machine that does much else."""

INTERVAL: Final = 0.05

CALL: Final = """
    const done = arguments[arguments.length - 1];
    const told = ({ name, message, code = null, operation = null, outcomeUnknown = null }) =>
        done({ error: { name, message, code, operation, outcomeUnknown } });
    Promise.resolve().then(() => client[arguments[0]](...arguments[1]))
        .then((value) => done({ value: value === undefined ? null : value }), told);
"""

TRAFFIC: Final = """{
    const { fetch: get, WebSocket: Socket } = window;
    window.traffic = [];
    window.fetch = (url, ...others) => { traffic.push(String(url)); return get(url, ...others); };
    window.WebSocket = class extends Socket { constructor(...all) { super(...all); traffic.push("socket"); } };
}"""
"""Takes down in which order a page asks and connects."""


def wait_for(what: Callable[[], T | None], why: Callable[[], object] = lambda: "") -> T:
    """Wait until something is true, and return it.

    Args:
        what: Looks for it.
        why: What to print where it never is.
    """
    due = time.monotonic() + PATIENCE
    while not (found := what()):
        assert time.monotonic() < due, f"it did not happen in {PATIENCE:g} s: {why()}"
        time.sleep(INTERVAL)
    return found


class CallFailed(Exception):
    """A method of the page's client rejected."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(error["message"])
        self.name: str = error["name"]
        self.code: int | None = error["code"]
        self.operation: str | None = error["operation"]
        self.outcome_unknown: bool | None = error["outcomeUnknown"]


class Browser:
    """One Chromium, and the tabs of one test.

    Args:
        driver: Of selenium, with one tab that stays empty.
        directory: For screenshots.
        failed: Whether the test has failed.
    """

    def __init__(self, driver: Any, directory: Path, failed: Callable[[], bool]) -> None:
        self.driver = driver
        self.directory = directory
        self._failed = failed
        self.expected: list[str] = []
        self._said: list[str] = []
        self._home = driver.current_window_handle
        self._tabs: list[Page] = []

    def expect(self, *patterns: str) -> None:
        """Of what the consoles say: errors that belong to this test, as regular expressions."""
        self.expected += patterns

    def open(self, address: str, kind: "type[P]") -> "P":
        """A page in a tab of its own."""
        self.driver.switch_to.new_window("tab")
        self.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": TRAFFIC})
        page = kind(self, self.driver.current_window_handle)
        self._tabs.append(page)
        self.driver.get(address)
        return page

    def listen(self) -> list[str]:
        """The errors on the consoles so far."""
        self._said += [
            line["message"] for line in self.driver.get_log("browser") if line["level"] == "SEVERE"
        ]
        return self._said

    def unexpected(self) -> list[str]:
        """Those of them that no test expects."""
        return [line for line in self.listen() if not any(re.search(each, line) for each in self.expected)]

    def forget(self, page: "Page") -> None:
        """Close a tab; its page hears `pagehide`."""
        page.focus()
        self.listen()
        self.driver.close()
        self._tabs.remove(page)
        self.driver.switch_to.window(self._home)

    def clear(self) -> None:
        """Close all tabs of the test: of a failed one, with a screenshot of each."""
        if self._failed() or self.unexpected():
            pictures = [page.screenshot(f"at-the-end-{number}") for number, page in enumerate(self._tabs, 1)]
            print("screenshots:", *pictures)
        while self._tabs:
            self.forget(self._tabs[-1])


class Page:
    """One tab."""

    def __init__(self, browser: Browser, handle: str) -> None:
        self.browser = browser
        self._handle = handle

    def focus(self) -> Any:
        """Let the driver look at this tab."""
        driver = self.browser.driver
        if driver.current_window_handle != self._handle:
            driver.switch_to.window(self._handle)
        return driver

    def close(self) -> None:
        """Close the tab, as a person does."""
        self.browser.forget(self)

    def run(self, script: str, *arguments: object) -> Any:
        """What a piece of JavaScript returns."""
        return self.focus().execute_script(script, *arguments)

    def find(self, selector: str) -> Any:
        """The first element of a CSS selector."""
        return self.focus().find_element("css selector", selector)

    def text(self, selector: str) -> str:
        """The text of an element that people can see; empty where there is none, as while a page is loaded."""
        return str(self.run("return document.querySelector(arguments[0])?.innerText ?? ''", selector))

    def waits_for_text(self, selector: str, words: str) -> str:
        """Wait until an element says something, in whatever case; all that it says then.

        Whole words count, and no negation: "DISCONNECTED" and "not connected" do not say "CONNECTED".
        """
        said = re.compile(rf"(?<!\w)(?<!not ){re.escape(words)}(?!\w)", re.IGNORECASE)
        return wait_for(
            lambda: (text := self.text(selector)) and said.search(text) and text,
            lambda: f"{selector} says {self.text(selector)!r}, not {words!r}; {self.browser.listen()}",
        )

    def tokens_before_the_first_login(self) -> int:
        """How many tokens the page had asked for when it connected for the first time."""
        traffic = list(self.run("return traffic"))
        return sum("token" in each for each in traffic[: traffic.index("socket")])

    def screenshot(self, name: str) -> Path:
        """A picture of what the tab shows."""
        path = self.browser.directory / f"{name}.png"
        assert self.focus().save_screenshot(str(path))
        return path


class ClientPage(Page):
    """The page of the tests, with a client of its own."""

    def make(self, url: str, app: str, user: str, seconds: int = 900) -> "ClientPage":
        """Make the client; its tokens live for so many seconds."""
        wait_for(lambda: self.run("return window.ready === true"))
        self.run("make(...arguments)", url, app, user, seconds)
        return self

    def call(self, method: str, *arguments: object) -> Any:
        """Call a method of the client, and wait for what it resolves with."""
        answer = self.focus().execute_async_script(CALL, method, arguments)
        if "error" in answer:
            raise CallFailed(answer["error"])
        return answer["value"]

    @property
    def state(self) -> tuple[str, str]:
        state, reason = self.run("return [client.state, client.reason]")
        return state, reason

    def events(self, *types: str) -> list[dict[str, Any]]:
        """What the client has told so far, of some types."""
        return [event for event in self.run("return events") if event["type"] in types]

    def states(self) -> list[str]:
        """The states that it has been in, in their order."""
        return [event["state"] for event in self.events("state")]

    def texts(self, type: str = "message") -> list[str]:
        """The texts of messages."""
        return [event["text"] for event in self.events(type)]

    def wait_for_state(self, state: str, reason: str | None = None) -> None:
        """Wait until the client is in a state."""
        wait_for(
            lambda: self.state == (state, reason or self.state[1]),
            lambda: f"{self.state} is not {(state, reason)}; it told {self.run('return events')}",
        )

    def wait_for_events(self, count: int, *types: str) -> list[dict[str, Any]]:
        """Wait for so many events of some types."""
        return wait_for(
            lambda: (found := self.events(*types)) and len(found) >= count and found,
            lambda: f"{count} {types}: {self.run('return events')}",
        )
