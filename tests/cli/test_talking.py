"""`rtm send`, `listen` and `chat` against a real server."""

import base64
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

import rtmsync
from rtmcore.limits import MESSAGE_BYTES
from rtmsync import ChannelMessage, PeerMessage
from rtmsync.exits import ExitCode
from rtmsync.server.config import DEV_APP_ID, ServerConfig
from rtmsync.server.server import Server
from rtmsync.server.tokens import AppKeys
from rtmsync.testing import FaultProxy
from tests.cli.conftest import Rtm
from tests.cli.ends import PATIENCE, RTM, Running, call, environment, running


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with Server(ServerConfig(apps=[AppKeys(DEV_APP_ID)], port=0)) as server:
        yield server.url


@pytest.fixture(autouse=True)
def one_name_per_test(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    monkeypatch.setenv("RTM_USER_ID", "sender")


def connect(url: str, user: str) -> rtmsync.Client:
    return rtmsync.connect(url, app_id=DEV_APP_ID, user_id=user, proxy=None)


# --- send --------------------------------------------------------------------------


def test_words_are_one_message_to_a_channel(rtm: Rtm, url: str) -> None:
    with connect(url, "words") as client, client.channel("ops") as ops, ops.events(ChannelMessage) as inbox:
        outcome = rtm("send", "--url", url, "--user", "bob", "ops", "good", "morning")
        message = inbox.get(timeout=PATIENCE)
    assert (message.sender, message.text) == ("bob", "good morning")
    assert (outcome.status, outcome.out, outcome.err) == (0, "", "accepted by the server for ops\n")


def test_a_message_to_a_user_who_is_there(rtm: Rtm, url: str) -> None:
    with connect(url, "here") as client, client.events(PeerMessage) as inbox:
        outcome = rtm("send", "--url", url, "--peer", "here", "hello")
        assert inbox.get(timeout=PATIENCE).text == "hello"
    assert (outcome.status, outcome.err) == (0, "delivered to here\n")


def test_a_user_who_is_offline_is_not_reachable(rtm: Rtm, url: str) -> None:
    outcome = rtm("send", "--url", url, "--peer", "nobody", "--json", "hello")
    assert outcome.status == ExitCode.NOT_REACHABLE
    assert json.loads(outcome.out) == {
        "peer": "nobody",
        "status": "PEER_UNREACHABLE",
        "message_id": 0,
        "server_time": None,
    }


def test_a_message_can_be_stored(rtm: Rtm, url: str) -> None:
    outcome = rtm("send", "--url", url, "--peer", "away", "--offline", "hello")
    assert (outcome.status, outcome.err) == (0, "stored for away, who is offline\n")
    with connect(url, "away") as client, client.events(PeerMessage) as inbox:
        message = inbox.get(timeout=PATIENCE)
        assert (message.text, message.offline) == ("hello", True)


def test_lines_of_standard_input_are_messages(rtm: Rtm, url: str) -> None:
    with connect(url, "lines") as client, client.channel("log") as log, log.events(ChannelMessage) as inbox:
        outcome = rtm(
            "send", "--url", url, "--json", "log", stdin="one\r\n\n  \nzwei \u00e4\n\xff".encode("latin-1")
        )
        texts = [inbox.get(timeout=PATIENCE).text for _ in range(3)]
    assert texts == ["one", "zwei \ufffd", "\ufffd"]
    rows = [json.loads(line) for line in outcome.out.splitlines()]
    assert [row["channel"] for row in rows] == ["log"] * 3
    assert rows[0]["message_id"] < rows[1]["message_id"] < rows[2]["message_id"]
    assert abs(rows[0]["server_time"] - time.time()) < 60


@pytest.mark.slow
def test_lines_that_come_too_fast_wait_for_the_rate(rtm: Rtm, url: str) -> None:
    lines = b"".join(b"%d\n" % number for number in range(250))
    with connect(url, "rate") as client, client.channel("busy") as busy, busy.events(ChannelMessage) as inbox:
        outcome = rtm("send", "--url", url, "busy", stdin=lines)
        texts = [inbox.get(timeout=PATIENCE).text for _ in range(250)]
    assert outcome.status == 0
    assert outcome.err == "250 messages accepted by the server for busy\n"
    assert texts == [str(number) for number in range(250)]


@pytest.mark.parametrize("source", ["@FILE", "@-"])
def test_bytes_are_sent_as_they_are(rtm: Rtm, url: str, tmp_path: Path, source: str) -> None:
    content = os.urandom(MESSAGE_BYTES)
    (tmp_path / "bytes").write_bytes(content)
    with connect(url, "raw") as client, client.events(PeerMessage) as inbox:
        outcome = rtm(
            "send",
            "--url",
            url,
            "--peer",
            "raw",
            "--raw",
            source.replace("FILE", str(tmp_path / "bytes")),
            stdin=content,
        )
        message = inbox.get(timeout=PATIENCE)
    assert outcome.status == 0
    assert message.kind is rtmsync.MessageType.RAW
    assert message.raw == content


def test_a_file_that_is_too_large_is_refused_with_its_code(rtm: Rtm, url: str, tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(bytes(MESSAGE_BYTES + 1))
    outcome = rtm("send", "--url", url, "--raw", f"@{tmp_path / 'large'}", "ops")
    assert outcome.status == ExitCode.USAGE
    assert "INVALID_MESSAGE" in outcome.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "channel"),
        (("--peer", "bob", "--raw", "@f", "text"), "not both"),
        (("--offline", "ops", "text"), "--offline"),
        (("--raw", "file", "ops"), "@FILE"),
        (("--raw", "@/nowhere/at/all", "ops"), "cannot be read"),
        (("--token-file", "/nowhere/at/all", "ops", "x"), "cannot be read"),
        (("null", "x"), "reserved"),
    ],
)
def test_what_cannot_be_sent_is_wrong_use(rtm: Rtm, url: str, arguments: tuple[str, ...], said: str) -> None:
    outcome = rtm("send", "--url", url, *arguments)
    assert outcome.status == ExitCode.USAGE
    assert said in outcome.err


def test_somebody_without_a_name(rtm: Rtm, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RTM_USER_ID")
    outcome = rtm("send", "--url", url, "ops", "x")
    assert outcome.status == ExitCode.USAGE
    assert "--user" in outcome.err


def test_a_server_that_is_not_there(rtm: Rtm) -> None:
    outcome = rtm("send", "--url", "ws://127.0.0.1:1", "--timeout", "6", "ops", "x")
    assert outcome.status == ExitCode.NOT_REACHABLE
    assert "Connection refused" in outcome.err
    assert "Traceback" not in outcome.err


# --- listen ------------------------------------------------------------------------


def test_messages_are_lines_of_json(url: str) -> None:
    with running("listen", "--url", url, "--user", "ear", "--peers", "--count", "3", "a", "b") as listener:
        listener.notes("Listening to a, b as ear")
        with connect(url, "mouth") as client, client.channel("a") as a, client.channel("b") as b:
            sent = a.send("line\nbreak \u2028 \x9b2J \u00e4")
            b.send(b"\x00\xff")
            client.send_peer("ear", "secretly")
        first, second, third = listener.row(), listener.row(), listener.row()
        assert listener.wait() == 0
    assert first == {
        "event": "ChannelMessage",
        "channel": "a",
        "sender": "mouth",
        "kind": "TEXT",
        "id": sent.message_id,
        "text": "line\nbreak \u2028 \x9b2J \u00e4",
        "server_time": sent.server_time,
    }
    assert (second["kind"], base64.b64decode(second["body"])) == ("RAW", b"\x00\xff")
    assert (third["event"], third["sender"], third["text"]) == ("PeerMessage", "mouth", "secretly")


def test_who_comes_and_goes(url: str) -> None:
    with running("listen", "--url", url, "--user", "door", "--members", "hall") as listener:
        listener.notes("Listening")
        with connect(url, "guest") as client, client.channel("hall"):
            pass
        joined, left = listener.row(), listener.row()
        listener.signal(signal.SIGINT)
        assert listener.wait() == ExitCode.INTERRUPTED
    assert joined == {"event": "MemberJoined", "channel": "hall", "user": "guest", "count": 2}
    assert left == {"event": "MemberLeft", "channel": "hall", "user": "guest", "count": 1, "dropped": False}


def test_silence_ends_it(url: str) -> None:
    base = ("listen", "--url", url, "--user", "patient", "--idle-timeout", "0.2")
    assert call(*base, "ops").returncode == 0
    assert call(*base, "--count", "1", "ops").returncode == ExitCode.TIMEOUT


def test_messages_from_users_that_nobody_listens_to_are_kept(url: str) -> None:
    with running("listen", "--url", url, "--user", "picky", "ops") as listener:
        listener.notes("Listening")
        with connect(url, "caller") as client:
            waiting = client.send_peer_future("picky", "for later", offline=True)
            listener.signal(signal.SIGINT)
            assert listener.wait() == ExitCode.INTERRUPTED
            waiting.result(PATIENCE)
    heard = call("listen", "--url", url, "--user", "picky", "--count", "1", "--idle-timeout", "50")
    assert json.loads(heard.stdout)["text"] == "for later"


def test_a_reader_that_has_enough(url: str) -> None:
    """As in `rtm listen | head -1`: no traceback when the pipe is closed."""
    read_end, write_end = os.pipe()
    with (
        subprocess.Popen(
            [*RTM, "listen", "--url", url, "--user", "pipe", "stream"],
            stdout=write_end,
            stderr=subprocess.PIPE,
            env=environment(),
        ) as listener,
        ExitStack() as stack,
    ):
        stack.callback(listener.kill)
        os.close(write_end)
        assert listener.stderr is not None
        assert b"Listening" in listener.stderr.readline()
        with connect(url, "source") as client, client.channel("stream") as stream:
            stream.send("one")
            with open(read_end, "rb") as reader:
                assert json.loads(reader.readline())["text"] == "one"
            stream.send("two")
            assert listener.wait(PATIENCE) != 0
        assert b"Traceback" not in listener.stderr.read()


def test_the_same_name_elsewhere_ends_it(url: str) -> None:
    with running("listen", "--url", url, "--user", "twice", "ops") as listener:
        listener.notes("Listening")
        with connect(url, "twice"):
            assert listener.wait() == ExitCode.FAILURE
        listener.notes("ABORTED REMOTE_LOGIN")
        listener.notes("One name per client")


@pytest.mark.slow
def test_an_outage_is_told_and_survived(url: str) -> None:
    host, port = url.removeprefix("ws://").split(":")
    with (
        FaultProxy(host, int(port)) as proxy,
        running("listen", "--url", proxy.url, "--user", "rural", "--count", "1", "ops") as listener,
    ):
        listener.notes("Listening")
        proxy.blackhole(mode="drop")
        listener.notes("RECONNECTING INTERRUPTED")
        with connect(url, "urban") as client, client.channel("ops") as ops:
            ops.send("are you there?")
        proxy.heal()
        listener.notes("CONNECTED LOGIN_SUCCESS")
        assert listener.row()["text"] == "are you there?"
        assert listener.wait() == 0


# --- chat --------------------------------------------------------------------------


def meet(listener: Running, user: str) -> None:
    listener.notes(f"You are {user} in ")


def test_two_people_talk(url: str) -> None:
    with (
        running("chat", "--url", url, "--user", "anna", "pub") as anna,
        running("chat", "--url", url, "--user", "otto", "pub") as otto,
    ):
        meet(anna, "anna")
        meet(otto, "otto")
        anna.type("/who\n")
        while "anna, otto" not in anna.notes("* here: "):
            time.sleep(0.5)  # the documented rate of member lists
            anna.type("/who\n")
        anna.type("hello\nhow are you?\n")
        assert otto.says("anna: ").endswith("anna: hello")
        assert otto.says("anna: ").endswith("anna: how are you?")
        otto.type("fine\x1b[2J\n")
        assert anna.says("otto: ").endswith("otto: fine\ufffd[2J")
        otto.type("/to anna just between us\n")
        assert anna.says("otto to you: ").endswith("just between us")
        otto.type("/to nobody psst\n")
        otto.notes("nobody is offline")
        otto.type("/dance\n")
        otto.notes("/who lists")
        otto.type("/quit\nnot sent\n")
        assert otto.wait() == 0
        anna.notes("otto has left")
        anna.end_input()
        assert anna.wait() == 0


def test_a_script_can_talk(url: str) -> None:
    with connect(url, "hearer") as client, client.channel("pub2") as pub, pub.events(ChannelMessage) as inbox:
        done = call("chat", "--url", url, "--user", "script", "pub2", stdin=b"one\n\ntwo, without an end")
        texts = [inbox.get(timeout=PATIENCE).text for _ in range(2)]
    assert done.returncode == 0, done.stderr
    assert texts == ["one", "two, without an end"]


def test_what_could_not_be_sent_is_told_and_the_talk_goes_on(url: str) -> None:
    with running("chat", "--url", url, "--user", "verbose", "pub3") as chat:
        meet(chat, "verbose")
        chat.type("/to null hello\n")
        chat.notes("reserved")
        chat.type("/who\n")
        chat.notes("* here: verbose")
        chat.end_input()
        assert chat.wait() == ExitCode.USAGE


def test_a_talk_ends_with_the_session_although_nobody_types(url: str) -> None:
    with running("chat", "--url", url, "--user", "double", "pub4") as chat:
        meet(chat, "double")
        with connect(url, "double"):
            assert chat.wait() == ExitCode.FAILURE
        chat.notes("ABORTED REMOTE_LOGIN")


def test_ctrl_c_ends_a_talk(url: str) -> None:
    with running("chat", "--url", url, "--user", "hasty", "pub5") as chat:
        meet(chat, "hasty")
        chat.signal(signal.SIGINT)
        assert chat.wait() == ExitCode.INTERRUPTED
    assert not any("Traceback" in line for line in chat.said)
