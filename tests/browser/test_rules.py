"""What the page's client makes of what a server says rarely: gaps, losses, refusals, and what it does not know."""

import time
from collections.abc import Iterator

import pytest

from tests.browser.conftest import APP
from tests.browser.scripted import WELCOME, Dialogue, ScriptedServer, entry
from tests.browser.tabs import Browser, CallFailed, ClientPage, wait_for

pytestmark = pytest.mark.interop

AT = 100
"""The first position in the channel."""


@pytest.fixture
def scripted(browser: Browser) -> Iterator[ScriptedServer]:
    with ScriptedServer() as server:
        yield server
        browser.clear()


@pytest.fixture
def line(page: ClientPage, scripted: ScriptedServer) -> Dialogue:
    """A page that has logged in as ann."""
    page.make(scripted.url, APP, "ann").run("window.login = client.login()")
    dialogue = scripted.called()
    hello = dialogue.welcome()
    assert (hello["login"], hello["inbox"], hello["floor"]) == (True, None, 1)
    assert "fence" not in hello
    page.wait_for_state("CONNECTED")
    return dialogue


def join(page: ClientPage, dialogue: Dialogue, users: tuple[str, ...] = ("ann", "ben")) -> None:
    page.run("window.joining = client.join('ops')")
    i = dialogue.hear("join")["i"]
    dialogue.say(
        ("roster", {"ch": "ops", "version": 5, "count": len(users), "users": users}),
        ("joined", {"i": i, "id": AT}),
    )
    wait_for(lambda: page.run("return client.channels") == ["ops"])


def in_ops(id: int, prev: int, text: str, i: int, **more: object) -> tuple[str, dict[str, object]]:
    return "channel", entry(id, prev, text, i, ch="ops", **more)


def story(page: ClientPage) -> list[object]:
    """Texts, and how many were lost where."""
    return [event.get("text", event.get("count")) for event in page.events("message", "peermessage", "lost")]


def test_a_gap_is_asked_about_and_filled(page: ClientPage, line: Dialogue) -> None:
    join(page, line)
    line.say(in_ops(110, AT, "one", 1))
    line.say(in_ops(140, 130, "four", 4))
    assert line.hear("sync") == {"id": 110, "ch": "ops"}
    assert story(page) == ["one"]
    line.say(in_ops(120, 110, "two", 2), in_ops(130, 120, "three", 3), in_ops(140, 130, "four", 4))
    line.say(("top", {"id": 140, "lost": 0, "ch": "ops"}), in_ops(150, 140, "five", 5))
    page.wait_for_events(5, "message")
    assert story(page) == ["one", "two", "three", "four", "five"]
    line.hears_nothing(0.3)


def test_a_message_that_its_sender_repeated_comes_once(page: ClientPage, line: Dialogue) -> None:
    join(page, line)
    line.say(in_ops(110, AT, "one", 1), in_ops(120, 110, "one", 1), in_ops(130, 120, "two", 2))
    page.wait_for_events(2, "message")
    assert story(page) == ["one", "two"]


def test_a_loss_is_told_where_it_was(page: ClientPage, line: Dialogue) -> None:
    join(page, line)
    line.say(in_ops(120, 110, "held", 2))
    assert line.hear("sync")["id"] == AT
    line.say(
        in_ops(170, 160, "kept", 7), ("top", {"id": 180, "lost": 5, "ch": "ops"}), in_ops(190, 180, "new", 9)
    )
    page.wait_for_events(3, "message")
    assert story(page) == ["held", 4, "kept", "new"]


def test_an_own_message_fills_a_gap(page: ClientPage, line: Dialogue) -> None:
    join(page, line)
    page.run("client.sendChannel('ops', 'mine').then(({ id }) => { window.sent = id; })")
    i = line.hear("publish")["i"]
    line.say(in_ops(120, 110, "behind it", 2))
    line.hears_nothing(0.3)
    line.say(("published", {"i": i, "id": 110, "prev": AT}))
    page.wait_for_events(1, "message")
    assert (story(page), page.run("return window.sent")) == (["behind it"], 110)
    line.hears_nothing(0.3)


def test_the_inbox(page: ClientPage, line: Dialogue) -> None:
    line.say(("inbox", entry(10, 0, "one", 1)), ("inbox", entry(20, 10, "two", 2)))
    assert line.hear("ack") == {"id": 20}
    line.say(("inbox", entry(10, 0, "one", 1)))
    assert line.hear("ack") == {"id": 20}
    line.say(("inbox", entry(30, 20, "two", 2)), ("inbox", entry(40, 30, "?", 3, kind=99)))
    assert line.hear("ack") == {"id": 40}
    line.say(("inbox", entry(70, 60, "seven", 7)))
    assert line.hear("sync") == {"id": 40}
    line.say(
        ("inbox", entry(50, 40, "five", 5)),
        ("inbox", entry(70, 60, "seven", 7)),
        ("top", {"id": 70, "lost": 0}),
    )
    assert line.hear("ack") == {"id": 70}
    page.wait_for_events(4, "peermessage")
    assert story(page) == ["one", "two", "five", "seven"]


def test_what_it_does_not_know(page: ClientPage, line: Dialogue) -> None:
    line.say_text("[]")
    line.say(("surprise", {"x": [1, None]}), ("inbox", entry(10, 0, "one", 1, new_field={"a": 1})))
    assert line.hear("ack") == {"id": 10}
    line.say(("done", {"i": 99}), ("constructor", {}), ("kicked", {"reason": 77}))
    line.hears_nothing(0.3)
    assert page.state == ("CONNECTED", "LOGIN_SUCCESS")
    assert page.events("error") == []


@pytest.mark.parametrize("text", ["no JSON", "{}", '[["inbox"]]', '[["channel", null]]', "[1]"])
def test_nonsense_closes_the_connection(
    text: str, page: ClientPage, scripted: ScriptedServer, line: Dialogue
) -> None:
    line.say_text(text)
    assert line.closed_with() == 4010
    assert scripted.called().welcome(resumed=True)["login"] is False
    wait_for(lambda: page.events("error"))
    assert page.states() == ["CONNECTING", "CONNECTED"]


def test_a_return(page: ClientPage, scripted: ScriptedServer, line: Dialogue) -> None:
    join(page, line)
    line.say(in_ops(110, AT, "one", 1), ("inbox", entry(10, 0, "peer", 1)))
    line.hear("ack")
    page.run("client.sendChannel('ops', 'mine').then(({ id }) => { window.sent = id; })")
    publish = line.hear("publish")
    began = time.monotonic()
    line.close(4000, '{"r": 600}')
    again = scripted.called()
    hello = again.hear("hello")
    assert time.monotonic() - began > 0.5
    assert (hello["login"], hello["fence"], hello["secret"], hello["inbox"]) == (False, 7, "s1", 10)
    assert (hello["attempt"], hello["floor"]) == (2, publish["i"])
    assert hello["channels"] == [{"ch": "ops", "id": 110, "version": 5}]
    began = time.monotonic()
    again.say(("refused", {"code": 1, "text": "Later, please.", "retry": 600}))
    third = scripted.called()
    assert time.monotonic() - began > 0.5
    third.hear("hello")
    third.say(("welcome", {**WELCOME, "resumed": True, "inbox": 10}))
    assert third.hear("publish") == publish
    third.say(
        ("restored", {"ch": "ops"}), ("ready", {}), ("published", {"i": publish["i"], "id": 120, "prev": 110})
    )
    third.say(
        in_ops(150, 140, "four", 4),
        ("top", {"id": 150, "lost": 2, "ch": "ops"}),
        ("top", {"id": 10, "lost": 0}),
    )
    page.wait_for_events(2, "message")
    assert story(page) == ["one", "peer", 2, "four"]
    assert page.run("return window.sent") == 120
    third.hears_nothing(0.3)


def test_what_may_be_the_reason_is_not_repeated(
    page: ClientPage, scripted: ScriptedServer, line: Dialogue
) -> None:
    join(page, line)
    page.run("client.sendChannel('ops', 'mine').catch(({ code }) => { window.code = code; })")
    line.hear("publish")
    line.close(4010, "malformed")
    again = scripted.called()
    again.welcome(resumed=True)
    again.say(("restored", {"ch": "ops"}), ("top", {"id": AT, "lost": 0, "ch": "ops"}))
    assert wait_for(lambda: page.run("return window.code")) == 4
    again.hears_nothing(0.3)


def test_members_after_the_server_has_lost_its_memory(
    page: ClientPage, scripted: ScriptedServer, line: Dialogue
) -> None:
    join(page, line, ("ann", "ben", "cem", "dora"))
    line.close(1001)
    again = scripted.called()
    again.hear("hello")
    # All at once: who is not back 4 s after the welcome has left.
    again.say(
        ("welcome", {**WELCOME, "epoch": "e2", "offline": 4000}),
        ("roster", {"ch": "ops", "version": 1, "count": 2, "users": ["ann", "eve"]}),
        ("restored", {"ch": "ops"}),
        ("ready", {}),
        ("top", {"id": 90, "lost": 0, "ch": "ops"}),
        ("top", {"id": 0, "lost": 0}),
        ("member", {"ch": "ops", "user": "ben", "joined": True, "version": 2, "count": 3}),
    )
    assert sorted(page.wait_for_events(2, "members")[1]["members"]) == ["ann", "ben", "cem", "dora", "eve"]
    page.wait_for_events(2, "left")
    assert [event["user"] for event in page.events("joined")] == ["eve"]
    assert {event["user"] for event in page.events("left")} == {"cem", "dora"}
    again.say(in_ops(95, 90, "in the new log", 1))
    page.wait_for_events(1, "message")
    again.hears_nothing(0.3)


def test_taken_out_while_away(page: ClientPage, scripted: ScriptedServer, line: Dialogue) -> None:
    join(page, line)
    line.close(1001)
    again = scripted.called()
    again.hear("hello")
    again.say(("welcome", {**WELCOME, "resumed": True}), ("expelled", {"ch": "ops", "text": "off topic"}))
    again.say(
        ("restored", {"ch": "ops", "code": 2, "text": "off topic"}),
        ("ready", {}),
        ("top", {"id": 0, "lost": 0}),
    )
    (expelled,) = page.wait_for_events(1, "expelled")
    assert (expelled["channel"], expelled["code"], expelled["text"]) == ("ops", 2, "off topic")
    assert page.run("return client.channels") == []


@pytest.mark.slow
def test_a_request_without_an_answer(page: ClientPage, line: Dialogue) -> None:
    page.run("client.members('ops').catch((error) => { window.failure = error; })")
    line.hear("members")
    code, unknown = wait_for(
        lambda: page.run("return window.failure && [failure.code, failure.outcomeUnknown]")
    )
    assert (code, unknown) == (3, True)


@pytest.mark.parametrize(
    ("limits", "code"), [({"rate_send": 2, "rate_send_ms": 60_000}, 5), ({"rate_send": 0, "in_flight": 2}, 1)]
)
def test_what_is_too_much_is_refused_at_once(
    limits: dict[str, int], code: int, page: ClientPage, scripted: ScriptedServer
) -> None:
    page.make(scripted.url, APP, "ann").run("client.login()")
    line = scripted.called()
    line.welcome(limits=limits)
    page.wait_for_state("CONNECTED")
    page.run("for (const text of ['one', 'two']) client.sendPeer('ben', text).catch(() => {})")
    with pytest.raises(CallFailed) as caught:
        page.call("sendPeer", "ben", "three")
    assert (caught.value.code, caught.value.outcome_unknown) == (code, False)
    assert [line.hear("send")["i"] for _ in range(2)] == [1, 2]


def test_a_logout_says_bye(page: ClientPage, line: Dialogue) -> None:
    page.run("window.out = client.logout()")
    assert line.hear("bye") == {"fence": 7}
    assert page.state == ("DISCONNECTED", "LOGOUT")
    line.close(4504)
    with pytest.raises(CallFailed) as caught:
        page.call("sendPeer", "ben", "hello")
    assert (caught.value.code, caught.value.outcome_unknown) == (102, False)
