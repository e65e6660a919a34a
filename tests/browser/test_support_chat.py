"""The Django site in a real browser: a customer and an agent."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.browser.tabs import Browser, Page, wait_for
from tests.examples.support_chat import AGENT, PASSWORD, Program, SupportChat

pytest.importorskip("django")
pytestmark = pytest.mark.interop

GONE = "WebSocket connection to .* failed: .*net::ERR_CONNECTION_"


class Running:
    """The site and its three processes, of which a test may kill the RTM server."""

    def __init__(self, directory: Path, stack: ExitStack) -> None:
        self.chat = SupportChat(directory)
        self.chat.prepare()
        self._stack = stack
        self.server = self._run(self.chat.serve())
        self._run(self.chat.listen())
        self._run(self.chat.site())

    def _run(self, program: Program) -> Program:
        return self._stack.enter_context(program)

    def start_again(self) -> None:
        """Start the server that was killed."""
        self.server = self._run(self.chat.serve())


@pytest.fixture
def running(browser: Browser, tmp_path: Path) -> Iterator[Running]:
    directory = tmp_path / "chat"
    directory.mkdir()
    with ExitStack() as stack:
        yield Running(directory, stack)
        browser.clear()


def say(page: Page, text: str) -> None:
    """Write something, by the keyboard."""
    field = page.find("label + input")
    field.send_keys(text, "\n")
    wait_for(lambda: not field.get_attribute("value"), lambda: page.text("#notice"))


def messages(page: Page) -> list[str]:
    script = "return [...document.querySelectorAll('#messages li')].map((each) => each.innerText.replace('\\n', ': '))"
    return list(page.run(script))


def waits_for_messages(page: Page, *expected: str) -> None:
    wait_for(lambda: messages(page) == list(expected), lambda: f"{messages(page)} are not {expected}")


@pytest.mark.slow
@pytest.mark.timeout(300)  # three processes to start, twice
def test_a_conversation_over_a_restart(browser: Browser, running: Running) -> None:
    browser.expect(GONE)
    customer = browser.open(running.chat.url, Page)
    customer.waits_for_text("#state", "CONNECTED")
    customer.waits_for_text("#presence", "not here")
    desk = browser.open(f"{running.chat.url}/desk/", Page)
    desk.find("[name=username]").send_keys(AGENT)
    desk.find("[name=password]").send_keys(PASSWORD, "\n")
    desk.waits_for_text("#state", "CONNECTED")

    say(customer, "My parcel has not come.")  # to the listener, and from the database to both pages
    waits_for_messages(customer, "You: My parcel has not come.")
    desk.waits_for_text("#conversations", "customer: My parcel has not come.")
    agent = browser.open(desk.find("#conversations a").get_attribute("href"), Page)
    agent.waits_for_text("#presence", "The customer is here")
    customer.waits_for_text("#presence", "The agent is here")
    say(agent, "Which number has it?")  # to a view
    waits_for_messages(customer, "You: My parcel has not come.", f"{AGENT}: Which number has it?")
    assert [page.tokens_before_the_first_login() for page in (customer, agent, desk)] == [1, 1, 1]
    pictures = [page.screenshot(f"chat-{number}") for number, page in enumerate((customer, agent, desk))]

    running.server.end(9)
    for page in (customer, agent, desk):
        page.waits_for_text("#state", "RECONNECTING")
    customer.screenshot("chat-reconnecting")
    customer.find("label + input").send_keys(
        "4711", "\n"
    )  # waits for 10 s, and then says that it was not sent
    running.start_again()
    for page in (customer, agent, desk):
        page.waits_for_text("#state", "CONNECTED")
    wait_for(lambda: "You: 4711" in messages(customer) or "Not sent" in customer.text("#notice"))
    if "You: 4711" not in messages(customer):
        customer.find("label + input").send_keys("\n")
    said = ["My parcel has not come.", "Which number has it?", "4711"]
    wait_for(lambda: [each.split(": ")[1] for each in messages(agent)] == said, lambda: f"{messages(agent)}")
    wait_for(
        lambda: [each.split(": ")[1] for each in messages(customer)] == said, lambda: f"{messages(customer)}"
    )
    agent.waits_for_text("#presence", "The customer is here")

    customer.close()
    agent.waits_for_text("#presence", "The customer is not here")
    assert all(picture.stat().st_size > 5_000 for picture in pictures)
