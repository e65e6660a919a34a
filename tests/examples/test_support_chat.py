"""The support chat: what a customer writes is stored and told, and so is what an agent answers."""

import http.cookiejar
import json
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any
from urllib.parse import urlencode

import attrs
import pytest

import rtmsync
from tests.examples.support_chat import AGENT, PASSWORD, PATIENCE, Program, SupportChat

pytestmark = pytest.mark.timeout(300)  # several programs start, one after another


@attrs.define
class Running:
    """The site, and its listener, which a test may end and start again."""

    chat: SupportChat
    listener: Program


class Person:
    """Somebody with a browser that keeps cookies."""

    def __init__(self, chat: SupportChat) -> None:
        self.chat = chat
        cookies = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), cookies)
        self._csrf = ""

    def get(self, path: str) -> str:
        with self._opener.open(self.chat.url + path, timeout=PATIENCE) as answer:
            text: str = answer.read().decode()
        found = re.search(r'<meta name="csrf-token" content="(\w+)">', text)
        self._csrf = found[1] if found else self._csrf
        return text

    def post(self, path: str, **form: str) -> str:
        request = urllib.request.Request(
            self.chat.url + path,
            data=urlencode(form).encode(),
            headers={"X-CSRFToken": self._csrf, "Referer": self.chat.url},
        )
        with self._opener.open(request, timeout=PATIENCE) as answer:
            text: str = answer.read().decode()
            return text

    def open(self, path: str) -> dict[str, Any]:
        """Open a page: what its view tells it."""
        found = re.search(r'<script id="page" type="application/json">(.*?)</script>', self.get(path))
        assert found
        page: dict[str, Any] = json.loads(found[1])
        return page

    def connect(self, page: dict[str, Any], tab: str) -> rtmsync.Client:
        """What the page's script does: get a token and log in."""
        access = json.loads(self.post(page["token"], tab=tab))
        return rtmsync.connect(
            access["url"], app_id=access["app_id"], user_id=access["user"], token=access["token"], proxy=None
        )

    def messages(self, page: dict[str, Any]) -> list[tuple[str, str]]:
        return [(each["author"], each["text"]) for each in json.loads(self.get(page["messages"]))["messages"]]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    chat = SupportChat(tmp_path_factory.mktemp("support"))
    chat.prepare()
    with ExitStack() as stack:
        stack.enter_context(chat.serve())
        state = Running(chat, chat.listen())
        stack.callback(lambda: state.listener.__exit__())
        stack.enter_context(chat.site())
        yield state


@pytest.fixture
def customer(running: Running) -> Person:
    return Person(running.chat)


@pytest.fixture
def agent(running: Running) -> Person:
    person = Person(running.chat)
    person.get("/login/")
    person.post("/login/", username=AGENT, password=PASSWORD)
    return person


def next_text(messages: "rtmsync.Subscription[rtmsync.ChannelMessage]") -> tuple[str, str]:
    said = json.loads(messages.get(timeout=PATIENCE).text)
    return said["author"], said["text"]


def test_a_conversation(customer: Person, agent: Person) -> None:
    page = customer.open("/")
    with customer.connect(page, "00000001") as rtm, rtm.events(rtmsync.ChannelMessage) as told:
        rtm.channel(page["channel"]).join()
        rtm.send_peer(page["listener"], "My order is late.", offline=True)
        assert next_text(told) == ("customer", "My order is late.")
        assert customer.messages(page) == [("customer", "My order is late.")]

        assert page["channel"] in agent.get("/desk/")
        answer = agent.open(f"/desk/{page['channel']}/")
        assert agent.messages(answer) == customer.messages(page)
        agent.post(answer["reply"], text="It is on its way.")
        assert next_text(told) == (AGENT, "It is on its way.")
        assert len(customer.messages(page)) == 2


def test_agents_hear_of_customers_and_see_them_come_and_go(customer: Person, agent: Person) -> None:
    page, desk = customer.open("/"), agent.open("/desk/")
    with agent.connect(desk, "00000002") as rtm:
        events = rtm.events(rtmsync.ChannelMessage, rtmsync.MemberJoined, rtmsync.MemberLeft)
        rtm.channel(desk["channel"]).join()
        rtm.channel(page["channel"]).join()
        with customer.connect(page, "00000003") as visitor:
            visitor.channel(page["channel"]).join()
            assert isinstance(joined := events.get(timeout=PATIENCE), rtmsync.MemberJoined)
            assert joined.user == f"{page['channel']}.00000003"
            visitor.send_peer(page["listener"], "Hello?", offline=True)
            heard = {events.get(timeout=PATIENCE).channel for _ in range(2)}
            assert heard == {desk["channel"], page["channel"]}
        assert isinstance(events.get(timeout=PATIENCE), rtmsync.MemberLeft)


def test_what_is_said_while_the_listener_is_away_is_stored_once_it_is_back(
    running: Running, customer: Person
) -> None:
    page = customer.open("/")
    with customer.connect(page, "00000004") as rtm, rtm.events(rtmsync.ChannelMessage) as told:
        rtm.channel(page["channel"]).join()
        assert running.listener.end() == 0
        sent = rtm.send_peer(page["listener"], "Is anybody there?", offline=True)
        assert sent.status is rtmsync.SendStatus.CACHED
        running.listener = running.chat.listen()
        assert next_text(told) == ("customer", "Is anybody there?")
        assert customer.messages(page) == [("customer", "Is anybody there?")]


def test_strangers_see_nothing(customer: Person, agent: Person, running: Running) -> None:
    page = customer.open("/")
    stranger = Person(running.chat)
    own = stranger.open("/")
    for ask in (
        lambda: stranger.messages(page),
        lambda: stranger.post(page["token"], tab="not a tab"),
        lambda: Person(running.chat).post("/token/", tab="00000005"),
        lambda: agent.post(f"/desk/{page['channel']}/reply/", text=" "),
    ):
        with pytest.raises(urllib.error.HTTPError, match="40"):
            ask()
    assert "password" in stranger.get("/desk/")
    assert "password" in stranger.get(f"/desk/{page['channel']}/")
    with stranger.connect(own, "00000006") as rtm:
        with pytest.raises(rtmsync.RtmError, match="does not permit joining"):
            rtm.channel(page["channel"]).join()
        rtm.channel(own["channel"]).join()
        with pytest.raises(rtmsync.RtmError, match="does not permit"):
            rtm.channel(own["channel"]).send("I am an agent.")


def test_the_pages_and_their_scripts_are_served(customer: Person) -> None:
    text = customer.get("/")
    scripts = re.findall(r'src="([^"]+)"', text)
    assert scripts == ["/static/chat/conversation.js"]
    for path in (*scripts, "/static/chat/connection.js", "/static/chat/desk.js", "/static/rtmsync/rtm.js"):
        assert "import" in customer.get(path) or "class RtmClient" in customer.get(path)
