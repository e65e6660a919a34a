"""The Flask extension: what opens what when, what views get, and what handlers run in."""

import datetime
import gc
import json
import logging
import secrets
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import flask
import pytest

import rtmsync
from rtmcore.errors import InvalidArgument, StateError
from rtmsync.contrib.flask import RTM, message_received, state_changed
from rtmsync.contrib.flask.commands import rtm as group
from rtmsync.contrib.flask.extension import RTMState
from rtmsync.exits import ExitCode
from rtmsync.server.config import DEV_APP_ID
from tests.contrib.conftest import PATIENCE
from tests.contrib.test_connections import wait_for

MakeApp = Callable[..., flask.Flask]


@pytest.fixture
def make_app(values: dict[str, Any]) -> Iterator[MakeApp]:
    """Makes applications with an extension; None takes a setting away."""
    made: list[flask.Flask] = []

    def make(rtm: RTM, **changes: Any) -> flask.Flask:
        app = flask.Flask("shop")
        app.config.update({f"RTM_{name}": value for name, value in values.items()})
        app.config.update({f"RTM_{name}": value for name, value in changes.items()})
        rtm.init_app(app)
        made.append(app)
        return app

    yield make
    for app in made:
        for state in app.extensions.values():
            if isinstance(state, RTMState):
                state.close()


@pytest.fixture
def memory() -> Iterator[tuple[flask.Flask, RTM]]:
    """An application with the memory transport."""
    rtm, app = RTM(), flask.Flask("shop")
    app.config.update(TESTING=True, RTM_TRANSPORT="memory", RTM_LISTENER="orders")
    rtm.init_app(app)
    yield app, rtm
    app.extensions["rtm"].close()


# --- Making it --------------------------------------------------------------------


def test_making_one_opens_nothing_and_keeps_no_application():
    threads = set(threading.enumerate())
    rtm = RTM()
    app = flask.Flask("shop")
    app.config.update(RTM_URL="ws://127.0.0.1:9", RTM_APP_ID=DEV_APP_ID)
    rtm.init_app(app)
    assert set(threading.enumerate()) <= threads
    assert app.extensions["rtm"].prefix == "RTM_"
    kept = weakref.ref(app)
    del app
    gc.collect()
    assert kept() is None
    assert repr(rtm) == "<RTM rtm>"


def test_a_worker_that_its_sibling_puts_out_is_told_in_the_log_of_the_application(
    make_app: MakeApp, caplog: pytest.LogCaptureFixture
) -> None:
    name = f"web-{secrets.token_hex(4)}"
    mine, other = RTM(), RTM()
    first, second = make_app(mine, USER_ID=name), make_app(other, USER_ID=name)

    def lines() -> list[logging.LogRecord]:
        return [record for record in caplog.records if f"logged in as {name}" in record.getMessage()]

    with first.app_context():
        client = mine.client
    with second.app_context():
        assert other.client.user_id == name
    client.wait_until(rtmsync.ConnectionState.ABORTED, timeout=PATIENCE)
    wait_for(lines)
    # When its threads have ended, they have logged what there was to be logged.
    first.extensions["rtm"].close()
    (line,) = lines()
    assert line.name == first.logger.name
    assert "set SERVER_KEY" in line.getMessage()


def test_one_extension_serves_several_applications(values):
    rtm = RTM()
    one, two = flask.Flask("one"), flask.Flask("two")
    for app in (one, two):
        app.config.update(RTM_TRANSPORT="memory")
        rtm.init_app(app)
    with one.app_context():
        rtm.publish("news", "hello")
        assert [sent.text for sent in rtm.outbox] == ["hello"]
    with two.app_context():
        assert rtm.outbox == []
    for app in (one, two):
        app.extensions["rtm"].close()


def test_a_second_server_has_a_prefix_of_its_own():
    rtm, chat, app = RTM(), RTM(config_prefix="CHAT_RTM_"), flask.Flask("shop")
    app.config.update(RTM_TRANSPORT="memory", CHAT_RTM_TRANSPORT="memory", CHAT_RTM_SENDER="chat")
    rtm.init_app(app)
    chat.init_app(app)
    with app.app_context():
        rtm.publish("news", "one")
        chat.publish("news", "two")
        assert [(sent.sender, sent.text) for sent in rtm.outbox] == [("shop", "one")]
        assert [(sent.sender, sent.text) for sent in chat.outbox] == [("chat", "two")]
    assert app.extensions["chat_rtm"].prefix == "CHAT_RTM_"
    app.extensions["rtm"].close()
    app.extensions["chat_rtm"].close()


@pytest.mark.parametrize("prefix", ["", "rtm_", "RTM", "RTM_CHAT_"])
def test_a_prefix_that_cannot_be_told_apart_is_refused(prefix):
    with pytest.raises(InvalidArgument, match="config_prefix"):
        RTM(config_prefix=prefix)


def test_two_extensions_with_one_prefix_are_refused():
    app = flask.Flask("shop")
    RTM(app)
    with pytest.raises(StateError, match="another RTM with the prefix 'RTM_'"):
        RTM(app)


def test_outside_a_context_and_without_init_app_it_says_what_to_do():
    rtm = RTM()
    with pytest.raises(StateError, match=r"no current application.*with app.app_context\(\):"):
        rtm.publish("news", "hello")
    with flask.Flask("shop").app_context(), pytest.raises(StateError, match=r"Call rtm.init_app\(app\)"):
        rtm.publish("news", "hello")


def test_a_mistake_is_told_by_init_app_and_a_missing_setting_at_the_first_use():
    app = flask.Flask("shop")
    app.config.update(RTM_URL="http://nowhere", RTM_APP_ID=DEV_APP_ID)
    with pytest.raises(InvalidArgument, match="RTM_URL cannot be used"):
        RTM(app)
    rtm, app = RTM(), flask.Flask("shop")
    rtm.init_app(app)
    with app.app_context(), pytest.raises(InvalidArgument, match="RTM_URL is missing"):
        rtm.publish("news", "hello")
    app.config["RTM_TRANSPORT"] = "memory"
    with app.app_context():
        rtm.publish("news", "hello")
    app.extensions["rtm"].close()


# --- Views ------------------------------------------------------------------------


def test_a_view_publishes_over_http(make_app: MakeApp, alice: rtmsync.Client):
    rtm = RTM()
    app = make_app(rtm)

    @app.post("/orders/<int:number>/pay")
    def pay(number: int) -> str:
        rtm.publish("orders", {"id": number, "on": datetime.date(2026, 1, 2)})
        rtm.send_peer(alice.user_id, f"order {number} is paid", offline=True)
        return str(rtm.publisher.member_counts(["orders"])["orders"])

    with (
        alice.channel("orders") as orders,
        orders.events(rtmsync.ChannelMessage) as queue,
        alice.events(rtmsync.PeerMessage) as inbox,
    ):
        answer = app.test_client().post("/orders/7/pay")
        assert (answer.status_code, answer.text) == (200, "1")
        message = queue.get(timeout=PATIENCE)
        assert (message.sender, json.loads(message.text)["id"]) == ("shop", 7)
        assert "2026" in message.text
        assert inbox.get(timeout=PATIENCE).text == "order 7 is paid"


def test_views_of_many_threads_share_one_session(make_app: MakeApp):
    rtm, found = RTM(), []
    app = make_app(rtm, SERVER_KEY=None)

    @app.get("/")
    def who() -> str:
        found.append(rtm.client)
        return rtm.client.user_id

    threads = [threading.Thread(target=app.test_client().get, args=("/",)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert len(found) == 4
    assert len(set(map(id, found))) == 1
    assert found[0].user_id.startswith("shop-")


def test_the_token_view_gives_a_logged_in_user_what_his_page_needs(make_app: MakeApp):
    rtm = RTM()
    app = make_app(rtm, PUBLIC_URL="wss://rtm.example.com")
    app.secret_key = "for the session"
    view = rtm.token_view(
        lambda: flask.session.get("user"),
        seconds=60,
        scopes=lambda user: {"login": True, "join": [f"orders-{user}"]},
    )
    app.add_url_rule("/rtm/token", view_func=view)
    page = app.test_client()
    assert page.post("/rtm/token").status_code == 401
    assert page.get("/rtm/token").status_code == 405
    with page.session_transaction() as session:
        session["user"] = "carol"
    answer = page.post("/rtm/token")
    assert answer.headers["Cache-Control"] == "no-store"
    found = answer.get_json()
    assert (found["url"], found["app_id"], found["user"]) == ("wss://rtm.example.com", DEV_APP_ID, "carol")
    url = app.config["RTM_URL"]
    with rtmsync.connect(url, app_id=DEV_APP_ID, user_id="carol", token=found["token"]) as carol:
        carol.channel("orders-carol").join()
        with pytest.raises(rtmsync.RtmError):
            carol.channel("orders-dave").join()


def test_a_server_without_keys_needs_no_token(memory: tuple[flask.Flask, RTM]):
    app, rtm = memory
    app.add_url_rule("/rtm/token", view_func=rtm.token_view(lambda: "carol"))
    assert app.test_client().post("/rtm/token").get_json()["token"] is None
    with app.app_context(), pytest.raises(InvalidArgument, match="Neither SECRET nor a function"):
        rtm.token_for("carol")


def test_two_token_views_may_stand_in_one_application(make_app: MakeApp):
    rtm = RTM()
    app = make_app(rtm)
    app.add_url_rule("/one", "one", rtm.token_view(lambda: "carol"))
    app.add_url_rule("/two", "two", rtm.token_view(lambda: "dave"))
    assert app.test_client().post("/two").get_json()["user"] == "dave"


@pytest.mark.parametrize("seconds", [0, -1, 100_000])
def test_a_token_lives_for_a_bounded_time(seconds):
    with pytest.raises(InvalidArgument, match="more than 0 and at most 86400"):
        RTM().token_view(lambda: "carol", seconds=seconds)


def test_a_function_that_makes_tokens_has_an_application_context(make_app: MakeApp):
    rtm = RTM()

    def mint(user: str) -> str:
        return f"{flask.current_app.name}.{user}"

    app = make_app(rtm, TOKEN=mint, SECRET=None)
    with app.app_context():
        assert rtm.token_for("carol") == "shop.carol"


# --- The memory transport ---------------------------------------------------------


def test_tests_look_into_the_outbox(memory: tuple[flask.Flask, RTM]):
    app, rtm = memory

    @app.post("/pay")
    def pay() -> str:
        rtm.publish("orders", {"id": 7})
        return str(rtm.send_peer("bob", b"\x00", offline=True).name)

    threads = set(threading.enumerate())
    assert app.test_client().post("/pay").text == "CACHED"
    with app.app_context():
        first, second = rtm.outbox
    assert (first.sender, first.channel, json.loads(first.text)) == ("shop", "orders", {"id": 7})
    assert (second.destination, second.raw) == ("bob", b"\x00")
    assert app.extensions["rtm"].outbox is app.extensions["rtm"].system.outbox
    assert set(threading.enumerate()) <= threads


def test_tests_let_users_talk_to_the_handlers(memory: tuple[flask.Flask, RTM]):
    app, rtm = memory
    seen: list[str] = []

    @rtm.on_channel("orders")
    def order(message: rtmsync.ChannelMessage) -> None:
        seen.append(f"{flask.current_app.name}: {message.text}")
        if message.text == "wrong":
            raise LookupError

    @rtm.on_peer_message
    def answer(message: rtmsync.PeerMessage) -> None:
        rtm.send_peer(message.sender, f"re: {message.text}")

    state = app.extensions["rtm"]
    with state.listening("more") as listener, state.system.connect("page") as page:
        assert listener.user_id == "orders"
        with page.channel("orders") as orders, page.events(rtmsync.PeerMessage) as inbox:
            orders.send("one")
            orders.send("wrong")
            with app.app_context():
                rtm.publish("orders", "two", sender="desk")
            page.send_peer("orders", "hello")
            assert inbox.get(timeout=1).text == "re: hello"
            assert page.channel("more").joined is False
    assert seen == ["shop: one", "shop: wrong", "shop: two"]


def test_what_a_handler_publishes_does_not_come_back_to_it(memory: tuple[flask.Flask, RTM]):
    app, rtm = memory
    seen: list[str] = []

    @rtm.on_channel("orders")
    def order(message: rtmsync.ChannelMessage) -> None:
        seen.append(message.text)
        rtm.publish("orders", f"re: {message.text}")

    state = app.extensions["rtm"]
    with state.listening(), app.app_context():
        state.system.publisher().publish("orders", "one", sender="shop")
    assert seen == ["one"]
    assert [(sent.sender, sent.text) for sent in state.outbox] == [("shop", "one"), ("orders", "re: one")]


def test_a_session_works_in_memory_too(memory: tuple[flask.Flask, RTM]):
    app, rtm = memory
    app.config["RTM_OPTIONS"] = {"timeouts": {"send_peer": 2.0}, "proxy": None}
    with app.app_context(), app.extensions["rtm"].system.connect("bob") as bob:
        bob.on(rtmsync.PeerMessage, lambda message: None)
        assert rtm.client.send_peer("bob", "hi").status is rtmsync.SendStatus.DELIVERED
        assert rtm.client.user_id.startswith("shop-")


# --- The listener -----------------------------------------------------------------


class Listener:
    """The listener of an application, in a thread."""

    def __init__(self, app: flask.Flask, *channels: str) -> None:
        self.state = app.extensions["rtm"]
        self.ready, self.told = threading.Event(), []
        self.status: int | None = None
        self._thread = threading.Thread(target=self._run, args=(channels,))
        self._thread.start()

    def _run(self, channels: tuple[str, ...]) -> None:
        try:
            self.status = self.state.listen(channels, tell=self._tell)
        finally:
            self.ready.set()

    def _tell(self, text: str) -> None:
        self.told.append(text)
        if text.startswith("Listening"):
            self.ready.set()

    def __enter__(self) -> "Listener":
        assert self.ready.wait(PATIENCE)
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.state.close()
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()


def test_handlers_run_in_order_in_a_context_whose_teardown_follows_each(
    make_app: MakeApp, alice: rtmsync.Client, caplog
):
    rtm, seen = RTM(), []

    @rtm.on_channel("orders")
    def order(message: rtmsync.ChannelMessage) -> None:
        seen.append(f"{flask.current_app.name}: {message.text}")
        flask.g.opened = message.text
        if message.text == "2":
            raise LookupError("no such order")

    @rtm.on_peer_message
    def question(message: rtmsync.PeerMessage) -> None:
        rtm.send_peer(message.sender, f"re: {message.text}")

    app = make_app(rtm)

    @app.teardown_appcontext
    def end(error: BaseException | None) -> None:
        if "opened" in flask.g:
            seen.append(f"end of {flask.g.opened}, {type(error).__name__}")

    with Listener(app) as listener:
        assert "Listening to orders as orders." in listener.told
        with alice.channel("orders") as orders, alice.events(rtmsync.PeerMessage) as inbox:
            for text in ("1", "2", "3"):
                orders.send(text)
            wait_for(lambda: len(seen) == 6)
            alice.send_peer("orders", "where is it?")
            assert inbox.get(timeout=PATIENCE).text == "re: where is it?"
    assert seen == [
        "shop: 1",
        "end of 1, NoneType",
        "shop: 2",
        "end of 2, LookupError",
        "shop: 3",
        "end of 3, NoneType",
    ]
    assert listener.status == ExitCode.OK
    assert any("order has raised an exception" in each for each in caplog.messages)


def test_signals_tell_other_extensions(make_app: MakeApp, alice: rtmsync.Client):
    rtm, seen = RTM(), []
    app = make_app(rtm, CHANNELS=["news"])

    def heard(sender: flask.Flask, message: rtmsync.ChannelMessage, **more: object) -> None:
        assert flask.current_app._get_current_object() is sender
        seen.append((sender.name, message.text, sorted(more)))

    def changed(sender: flask.Flask, event: rtmsync.StateChanged, **more: object) -> None:
        seen.append(event.state.name)

    rtm.on_channel("orders")(lambda message: seen.append("handler"))
    with (
        message_received.connected_to(heard, app),
        state_changed.connected_to(changed, app),
        Listener(app, "more") as listener,
    ):
        assert "Listening to orders, news, more as orders." in listener.told
        for name in ("orders", "news", "more"):
            with alice.channel(name) as channel:
                channel.send(f"to {name}")
        alice.send_peer("orders", "to you")
        wait_for(lambda: ("shop", "to you", ["extension"]) in seen)
    assert seen[:2] == ["CONNECTING", "CONNECTED"]
    texts = ["to orders", "to news", "to more", "to you"]
    assert [each for each in seen if each[0] == "shop"] == [("shop", text, ["extension"]) for text in texts]
    assert seen.count("handler") == 1


def test_messages_that_nobody_takes_stay_at_the_server(make_app: MakeApp, alice: rtmsync.Client):
    rtm, seen = RTM(), []
    app = make_app(rtm)
    with Listener(app):
        future = alice.send_peer_future("orders", "keep this", offline=True)
        wait_for(lambda: alice.query_presence(["orders"])[0].online)
    rtm.on_peer_message(lambda message: seen.append(message.text))
    with Listener(app):
        wait_for(lambda: seen)
    assert seen == ["keep this"]
    future.cancel()


# --- The commands -----------------------------------------------------------------


def test_send_and_token(make_app: MakeApp, alice: rtmsync.Client, tmp_path):
    app = make_app(RTM())
    runner = app.test_cli_runner()
    with (
        alice.channel("news") as news,
        news.events(rtmsync.ChannelMessage) as queue,
        alice.events(rtmsync.PeerMessage) as inbox,
    ):
        result = runner.invoke(group, ["send", "news", "hello"])
        assert result.exit_code == 0
        assert result.output.startswith("message_sent ")
        assert queue.get(timeout=PATIENCE).text == "hello"
        (tmp_path / "picture").write_bytes(b"\x00\x01")
        result = runner.invoke(group, ["send", "news", "--file", str(tmp_path / "picture"), "--sender", "me"])
        message = queue.get(timeout=PATIENCE)
        assert (message.raw, message.sender) == (b"\x00\x01", "me")
        result = runner.invoke(group, ["send", "--peer", "--offline", alice.user_id, "hi"])
        assert (result.exit_code, inbox.get(timeout=PATIENCE).text) == (0, "hi")
    result = runner.invoke(group, ["token", "--seconds", "60", "carol"])
    token = result.output.strip()
    with rtmsync.connect(app.config["RTM_URL"], app_id=DEV_APP_ID, user_id="carol", token=token):
        pass


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["send", "news"], 2, "Give either TEXT or --file"),
        (["send", "--offline", "news", "x"], 2, "add --peer"),
        (["send", "--extension", "chat", "news", "x"], 1, "no RTM named 'chat'; there is rtm"),
        (["send", "null", "x"], 2, "reserved"),
        (["token", "null"], 2, "reserved"),
    ],
)
def test_commands_explain_what_is_wrong(make_app: MakeApp, arguments, status, said):
    result = make_app(RTM()).test_cli_runner().invoke(group, arguments)
    assert result.exit_code == status
    assert said in result.output


def test_commands_without_init_app_say_so():
    result = flask.Flask("shop").test_cli_runner().invoke(group, ["token", "carol"])
    assert result.exit_code == 1
    assert "has no RTM named 'rtm'. Call rtm.init_app(app)" in result.output


def test_check_tries_everything_and_shows_no_secret(make_app: MakeApp):
    app = make_app(RTM())
    result = app.test_cli_runner().invoke(group, ["check"])
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert [line.split(":")[0] for line in lines if line.startswith("ok")] == [
        "ok    publish over HTTP",
        "ok    make a token",
        "ok    log in",
    ]
    assert lines[-1].startswith("-     listener: orders is not running")
    for name in ("RTM_SERVER_KEY", "RTM_SECRET"):
        assert app.config[name] not in result.output
    with Listener(make_app(RTM())):
        result = app.test_cli_runner().invoke(group, ["check"])
    assert result.output.splitlines()[-1] == "ok    listener: orders is online"


@pytest.mark.parametrize(
    ("changes", "status", "said"),
    [
        ({"SERVER_KEY": "another-key-0123456789"}, ExitCode.AUTH, "FAIL  publish over HTTP"),
        ({"SECRET": "another-secret-" * 4}, ExitCode.AUTH, "FAIL  log in"),
        ({"SECRET": None}, ExitCode.AUTH, "-     make a token: neither SECRET nor a function"),
        (
            {"SERVER_KEY": None, "LISTENER": None},
            ExitCode.OK,
            "-     publish over HTTP: SERVER_KEY is not set",
        ),
        (
            {"URL": "ws://127.0.0.1:1", "OPTIONS": {"timeouts": {"login": 2.0}}},
            ExitCode.NOT_REACHABLE,
            "that the server runs",
        ),
        ({"TOKEN": "shop.nowhere.mint", "SECRET": None}, ExitCode.USAGE, "FAIL  make a token: TOKEN names"),
    ],
)
def test_check_names_what_does_not_work(make_app: MakeApp, changes, status, said):
    result = make_app(RTM(), **changes).test_cli_runner().invoke(group, ["check"])
    assert said in result.output
    assert result.exit_code == status


def test_check_warns_of_one_name_for_all_workers(make_app: MakeApp):
    app = make_app(RTM(), SERVER_KEY=None, USER_ID="web")
    result = app.test_cli_runner().invoke(group, ["check"])
    assert "RTM_USER_ID is one name for all workers" in result.output


def test_check_names_a_mistake_in_the_settings():
    app = flask.Flask("shop")
    RTM(app)
    app.config["RTM_URL"] = "http://nowhere"
    result = app.test_cli_runner().invoke(group, ["check"])
    assert (result.exit_code, "RTM_URL cannot be used" in result.output) == (ExitCode.USAGE, True)
