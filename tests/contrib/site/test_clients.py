"""`clients`, what they publish and when, and the signals."""

import datetime
import decimal
import json
import logging
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from django.db import connection, transaction
from django.test import Client as Browser
from django.test.utils import override_settings

import rtmsync
from rtmcore.errors import InvalidArgument
from rtmsync.contrib.django import (
    clients,
    message_received,
    publish_on_commit,
    send_peer_on_commit,
    sent,
    state_changed,
)
from rtmsync.contrib.settings import MEMORY_APP_ID
from rtmsync.publisher import PublishStatus
from tests.contrib.site.conftest import MEMORY
from tests.contrib.site.models import Order


@pytest.fixture(autouse=True)
def in_memory() -> Iterator[None]:
    with override_settings(RTM={"default": MEMORY, "second": MEMORY}):
        yield
    Order.objects.all().delete()


@contextmanager
def receiver(signal: Any) -> Iterator[list[dict[str, Any]]]:
    """Take down what a signal says, and fail each time."""
    heard: list[dict[str, Any]] = []

    def hear(**said: Any) -> None:
        heard.append(said)
        raise LookupError("a receiver fails")

    signal.connect(hear)
    try:
        yield heard
    finally:
        signal.disconnect(hear)


def texts(using: str = "default") -> list[str | None]:
    return [each.text for each in clients[using].outbox]


# --- Which servers there are ------------------------------------------------------------------------------------------


def test_aliases_are_servers_of_their_own() -> None:
    clients["default"].publish("orders", "one")
    clients["second"].publish("orders", "two")
    assert list(clients) == ["default", "second"]
    assert (texts(), texts("second")) == (["one"], ["two"])


def test_an_alias_that_is_not_configured_is_named() -> None:
    with pytest.raises(InvalidArgument, match="'third' in the settings; RTM has default, second"):
        clients["third"]


def test_a_mistake_in_the_settings_is_named_at_the_first_use() -> None:
    with (
        override_settings(RTM={"default": {"URL": "wss://rtm.invalid"}}),
        pytest.raises(InvalidArgument, match=r"In RTM\['default'\]: APP_ID is missing"),
    ):
        clients["default"]


def test_other_settings_are_in_force_at_once_and_the_old_ones_afterwards() -> None:
    before = clients["default"]
    assert before is clients["default"]
    with override_settings(RTM={"default": {**MEMORY, "LISTENER": "other"}}):
        assert clients["default"].settings.listener == "other"
    assert clients["default"].settings.listener == "desk"
    assert clients["default"] is not before


def test_other_settings_of_the_site_close_nothing() -> None:
    before = clients["default"]
    with override_settings(USE_TZ=False):
        assert clients["default"] is before


def test_threads_share_the_connections_of_their_process() -> None:
    barrier, found = threading.Barrier(8), []

    def look() -> None:
        barrier.wait()
        found.append(clients["default"])

    threads = [threading.Thread(target=look) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(each) for each in found}) == 1


def test_a_child_has_connections_of_its_own() -> None:
    clients["default"].publish("orders", "of the parent")
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        status = 1
        try:
            clients["default"].publish("orders", "of the child")
            os.write(writing, json.dumps(texts()).encode())
            status = 0
        finally:
            os._exit(status)
    os.close(writing)
    with open(reading) as pipe:
        assert json.load(pipe) == ["of the child"]
    assert os.waitpid(child, 0)[1] == 0
    assert texts() == ["of the parent"]


def test_user_ids_bear_the_name_of_the_site() -> None:
    settings = clients["default"].settings
    assert settings.app_id == MEMORY_APP_ID
    assert settings.base == "tests"
    assert settings.own_user_id().startswith("tests-")


# --- What is published ------------------------------------------------------------------------------------------------


def test_what_django_can_make_json_of_can_be_sent() -> None:
    moment = datetime.datetime(2026, 11, 21, 10, tzinfo=datetime.timezone.utc)
    clients["default"].publish("orders", {"price": decimal.Decimal("9.90"), "at": moment})
    (text,) = texts()
    assert json.loads(text or "") == {"price": "9.90", "at": "2026-11-21T10:00:00Z"}


def test_sending_is_signalled_and_a_receiver_that_fails_changes_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with receiver(sent) as heard:
        number = clients["default"].publish("orders", "paid")
        status = clients["second"].send_peer("nobody", "paid")
    assert status is PublishStatus.PEER_UNREACHABLE
    assert [(each["using"], each["destination"], each["kind"], each["result"]) for each in heard] == [
        ("default", "orders", "channel", number),
        ("second", "nobody", "peer", status),
    ]
    assert all("paid" not in str(each) for each in heard)
    assert "a receiver fails" in caplog.text


def test_nothing_is_published_before_the_commit_and_all_of_it_then() -> None:
    with transaction.atomic():
        publish_on_commit("orders", {"id": 1}, sender="till")
        send_peer_on_commit("cook", "soup", using="second", offline=True)
        assert (texts(), texts("second")) == ([], [])
    (order,), (meal,) = clients["default"].outbox, clients["second"].outbox
    assert (order.channel, order.sender, order.text) == ("orders", "till", '{"id": 1}')
    assert (meal.peer, meal.sender, meal.offline) == ("cook", "tests", True)


def test_nothing_is_published_of_a_transaction_that_is_rolled_back() -> None:
    with pytest.raises(RuntimeError):
        Browser().post("/order/", {"text": "poison"})
    assert (texts(), Order.objects.count()) == ([], 0)
    Browser().post("/order/", {"text": "soup"})
    assert (texts(), Order.objects.count()) == ([f'{{"id": {Order.objects.get().pk}}}', "soup"], 1)


def test_a_message_is_what_it_was_when_it_was_handed_over() -> None:
    message = {"state": "paid"}
    with transaction.atomic():
        publish_on_commit("orders", message)
        message["state"] = "lost"
    assert texts() == ['{"state": "paid"}']


def test_outside_a_transaction_it_is_published_at_once() -> None:
    assert not connection.in_atomic_block
    publish_on_commit("orders", "now")
    assert texts() == ["now"]


@pytest.mark.parametrize("publish", [publish_on_commit, send_peer_on_commit])
def test_a_server_that_is_away_fails_no_request(publish: Any, caplog: pytest.LogCaptureFixture) -> None:
    away = {"URL": "ws://127.0.0.1:1", "APP_ID": MEMORY_APP_ID, "SERVER_KEY": "0123456789abcdef"}
    with override_settings(RTM={"default": away}), caplog.at_level(logging.ERROR), transaction.atomic():
        Order.objects.create(text="soup")
        publish("orders", "soup")
    assert Order.objects.count() == 1
    assert f"{publish.__name__.removesuffix('_on_commit')}_after_commit" in caplog.text


@pytest.mark.parametrize("publish", [publish_on_commit, send_peer_on_commit])
def test_a_server_that_says_nothing_holds_a_request_as_long_as_is_set_and_is_asked_once(
    publish: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.0)
        silent = {
            "URL": f"ws://127.0.0.1:{listener.getsockname()[1]}",
            "APP_ID": MEMORY_APP_ID,
            "SERVER_KEY": "0123456789abcdef",
            "OPTIONS": {"timeouts": {"send": 0.25, "send_peer": 0.25}},
        }
        with override_settings(RTM={"default": silent}), caplog.at_level(logging.ERROR):
            with transaction.atomic():
                Order.objects.create(text="soup")
                publish("orders", "soup")
            (error,) = [record.exc_info[1] for record in caplog.records if record.exc_info]
        assert isinstance(error, rtmsync.RequestTimeout)
        with suppress(BlockingIOError):  # on a machine that is too slow, not even the first has come
            listener.accept()[0].close()
        with pytest.raises(BlockingIOError):
            listener.accept()
    assert Order.objects.count() == 1


def test_a_message_that_cannot_be_sent_is_refused_where_it_is_made() -> None:
    with pytest.raises(TypeError), transaction.atomic():
        publish_on_commit("orders", object())


# --- Signals of the listener ------------------------------------------------------------------------------------------


def test_nobody_has_to_hear_signals() -> None:
    assert not message_received.receivers
    assert not state_changed.receivers


# --- Tokens for pages -------------------------------------------------------------------------------------------------


def test_a_page_gets_what_it_needs_to_log_in(values: dict[str, Any]) -> None:
    with override_settings(RTM={"default": {**values, "PUBLIC_URL": "wss://rtm.invalid"}}):
        answer = Browser().post("/token/?user=alice")
        assert answer.status_code == 200
        assert answer.headers["Cache-Control"] == "no-store"
        found = answer.json()
        assert {name: found[name] for name in ("url", "app_id", "user")} == {
            "url": "wss://rtm.invalid",
            "app_id": values["APP_ID"],
            "user": "alice",
        }
        with rtmsync.connect(
            values["URL"], app_id=found["app_id"], user_id="alice", token=found["token"]
        ) as alice:
            alice.channel("alice").join()
            with pytest.raises(rtmsync.RtmError, match="joining"):
                alice.channel("bob").join()


def test_who_is_not_logged_in_gets_no_token() -> None:
    assert Browser().post("/token/").status_code == 401
    assert Browser().get("/token/?user=alice").status_code == 405


def test_without_keys_there_is_no_token() -> None:
    assert Browser().post("/token/?user=alice").json()["token"] is None
