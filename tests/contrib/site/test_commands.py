"""The commands of `manage.py`, in this process."""

import io
import socket
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.test.utils import override_settings

import rtmsync
from rtmsync.contrib.connections import Connections
from rtmsync.contrib.settings import Settings
from rtmsync.exits import ExitCode
from tests.contrib.conftest import PATIENCE, Configure

HASTY = {"OPTIONS": {"timeouts": {"login": 2.0}}}
"""Long enough for a first try, which is what tells a server that is not there from one that is slow."""


@pytest.fixture(autouse=True)
def configured(values: dict[str, Any]) -> Iterator[None]:
    with override_settings(RTM={"default": values}):
        yield


def said_by(*arguments: str, **options: Any) -> str:
    """What a command prints."""
    output = io.StringIO()
    call_command(*arguments, stdout=output, **options)
    return output.getvalue()


def test_a_token_lets_its_user_log_in(values: dict[str, Any]) -> None:
    token = said_by("rtm_token", "carol", "--seconds", "60", "--scopes", '{"login": true}').strip()
    with rtmsync.connect(values["URL"], app_id=values["APP_ID"], user_id="carol", token=token) as carol:
        assert carol.state is rtmsync.ConnectionState.CONNECTED


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["rtm_token", "no/such/id"], "user id"),
        (["rtm_token", "carol", "--using", "third"], "RTM has default"),
        (["rtm_token", "carol", "--seconds", "0"], "more than 0"),
        (["rtm_send", "orders", "soup", "--offline"], "--peer"),
        (["rtm_send", "--peer", "nobody", "soup"], "offline, and the message is not stored"),
        (["rtm_send", "no/such/id", "soup"], "channel"),
        (["rtm_check", "--using", "third"], "RTM has default"),
        (["rtm_serve", "--using", "third"], "RTM has default"),
    ],
    ids=str,
)
def test_mistakes_are_told_in_a_sentence(arguments: list[str], words: str) -> None:
    with pytest.raises(CommandError, match=words):
        said_by(*arguments)


def test_messages_reach_channels_and_users(alice: rtmsync.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    alice.channel("orders").join()
    with alice.events(rtmsync.ChannelMessage, rtmsync.PeerMessage) as inbox:
        assert "Sent to the channel orders" in said_by("rtm_send", "orders", "soup", "--sender", "till")
        got = inbox.get(timeout=PATIENCE)
        assert (got.sender, got.text) == ("till", "soup")
        monkeypatch.setattr(sys, "stdin", io.StringIO("bread\n"))
        assert "SENT" in said_by("rtm_send", "--peer", alice.user_id, "-")
        got = inbox.get(timeout=PATIENCE)
        assert (got.sender, got.text) == ("tests", "bread\n")


def test_the_check_tries_everything_and_leaves_nothing_open(connections: Configure) -> None:
    text = said_by("rtm_check")
    assert [line.split()[0] for line in text.splitlines()[1:]] == ["ok", "ok", "ok", "-"]
    assert "orders is not running" in text
    listener = connections().listening_client()
    listener.login()
    assert "orders is online" in said_by("rtm_check")
    assert listener.state is rtmsync.ConnectionState.CONNECTED


@pytest.mark.parametrize(
    ("changes", "words", "status"),
    [
        ({"SERVER_KEY": "another-key-0123456789"}, "FAIL  publish over HTTP", ExitCode.AUTH),
        ({"SECRET": "fedcba9876543210" * 4}, "FAIL  log in", ExitCode.AUTH),
        ({"URL": "ws://127.0.0.1:1", **HASTY}, "FAIL  publish over HTTP", ExitCode.NOT_REACHABLE),
    ],
    ids=["server key", "secret", "server"],
)
def test_the_check_ends_with_what_the_first_failure_stands_for(
    values: dict[str, Any],
    changes: dict[str, Any],
    words: str,
    status: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with override_settings(RTM={"default": {**values, **changes}}), pytest.raises(SystemExit) as ended:
        call_command("rtm_check")
    assert ended.value.code == status
    assert words in capsys.readouterr().out


def test_the_check_puts_out_nobody_whose_token_it_has(values: dict[str, Any]) -> None:
    token = Settings.from_mapping(values).make_token("dora")
    with (
        rtmsync.connect(values["URL"], app_id=values["APP_ID"], user_id="dora", token=token) as dora,
        override_settings(RTM={"default": {**values, "SECRET": None, "TOKEN": token}}),
    ):
        assert "-     log in" in said_by("rtm_check")
        assert dora.state is rtmsync.ConnectionState.CONNECTED


def test_a_listener_without_a_name_is_refused(values: dict[str, Any]) -> None:
    with (
        override_settings(RTM={"default": {**values, "LISTENER": None}}),
        pytest.raises(CommandError, match="LISTENER is not set"),
    ):
        call_command("rtm_listen", "--noreload")


class _Told(io.StringIO):
    """A stream that does something when words are written to it."""

    def __init__(self, words: str, then: Any) -> None:
        super().__init__()
        self._words, self.thread = words, threading.Thread(target=then)

    def write(self, text: str) -> int:
        if self._words in text:
            self.thread.start()
        return super().write(text)


def test_a_listener_that_is_put_out_says_so_and_ends(
    connections: Configure, caplog: pytest.LogCaptureFixture
) -> None:
    other: Connections = connections()
    told = _Told("Listening", lambda: other.listening_client().login())
    with pytest.raises(SystemExit) as ended:
        call_command("rtm_listen", "--noreload", stderr=told)
    told.thread.join()
    assert ended.value.code == ExitCode.FAILURE
    (told,) = [message for message in caplog.messages if "logged in as" in message]
    assert " orders" in told
    assert told.endswith(" run one listener at a time.")


def test_a_listener_without_a_server_ends(values: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    away = {**values, "URL": "ws://127.0.0.1:1", **HASTY}
    with override_settings(RTM={"default": away}), pytest.raises(SystemExit) as ended:
        call_command("rtm_listen", "--noreload", stderr=io.StringIO())
    assert ended.value.code == ExitCode.NOT_REACHABLE
    assert "The listener has ended" in caplog.text


def test_a_server_needs_a_certificate_for_wss(values: dict[str, Any]) -> None:
    with (
        override_settings(RTM={"default": {**values, "URL": "wss://127.0.0.1:7430"}}),
        pytest.raises(CommandError, match="--tls-cert"),
    ):
        call_command("rtm_serve")


def test_a_server_whose_port_is_taken_says_so(values: dict[str, Any]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(CommandError, match=str(port)):
            call_command("rtm_serve", "--port", str(port), stderr=io.StringIO())
