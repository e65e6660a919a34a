"""`rtm serve` as a process: how it introduces itself, whom it lets in, and how it ends."""

import contextlib
import json
import re
import shlex
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

import rtmsync
from rtmcore.codes import ConnectionState
from rtmsync.cli.options import DEFAULT_URL
from rtmsync.cli.serve import paste_lines
from rtmsync.exits import ExitCode
from rtmsync.server.config import DEFAULT_PORT, DEV_APP_ID
from rtmsync.server.engines.embedded import JOURNAL_FILE
from rtmsync.server.tokens import PUBLIC_KEY_ALGORITHMS, TokenKey, make_token
from tests.cli.conftest import Rtm
from tests.cli.ends import RTM, call, running, serving

WITHOUT_CRYPTOGRAPHY = """
import sys
sys.modules["cryptography"] = None
from rtmsync.cli.app import run
sys.exit(run(sys.argv[1:]))
"""

KEY = "0123456789abcdef" * 4
APP = "b" * 32


def key_file(folder: Path, text: str = KEY) -> str:
    path = folder / "app.key"
    path.write_text(text)
    return str(path)


def test_json_says_where_the_server_is() -> None:
    with serving() as (url, server):
        assert re.fullmatch(r"ws://127\.0\.0\.1:\d+", url)
        with rtmsync.connect(url, app_id=DEV_APP_ID, user_id="alice", proxy=None) as client:
            assert client.state is ConnectionState.CONNECTED
        server.end_input()
        assert server.wait() == 0


def test_the_policy_for_expired_tokens_can_be_chosen(tmp_path: Path) -> None:
    options = ("--secret-file", key_file(tmp_path), "--app-id", APP, "--port", "0", "--json", "--until-eof")
    with running("serve", *options, "--token-policy", "abort") as server:
        url = server.row()["url"]
        token = make_token(TokenKey(KEY.encode()), app=APP, user="alice", now=time.time(), seconds=1)
        with rtmsync.connect(url, app_id=APP, user_id="alice", token=token, proxy=None) as client:
            assert client.wait_until(ConnectionState.ABORTED, timeout=60) is ConnectionState.ABORTED


def test_the_lines_to_paste_work_as_they_are() -> None:
    with running("serve", "--dev", "--port", "0", "--until-eof") as server:
        listen = shlex.split(server.says("--user alice"))
        send = shlex.split(server.says("--user bob"))
        assert listen[:3] == send[:3]
        assert listen[1:3] == list(RTM[1:])
        with running(*listen[3:], "--count", "1") as listener:
            listener.notes("Listening to ops as alice")
            assert call(*send[3:]).returncode == 0
            assert listener.row()["text"] == "good morning"
            assert listener.wait() == 0


def test_the_defaults_of_all_commands_are_the_development_server() -> None:
    assert f"ws://127.0.0.1:{DEFAULT_PORT}" == DEFAULT_URL
    assert paste_lines("rtm", DEFAULT_URL, DEV_APP_ID) == [
        "rtm listen --user alice ops",
        'rtm send --user bob ops "good morning"',
        "rtm chat --user carol ops",
    ]
    assert paste_lines("rtm", "ws://127.0.0.1:9", APP)[0] == (
        f"rtm listen --url ws://127.0.0.1:9 --app-id '{APP}' --user alice ops"
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_sends_the_clients_away_and_ends_with_0(number: signal.Signals) -> None:
    with (
        serving() as (url, server),
        rtmsync.connect(url, app_id=DEV_APP_ID, user_id="alice", proxy=None) as client,
    ):
        server.signal(number)
        assert server.wait() == 0
        assert client.state in (ConnectionState.CONNECTED, ConnectionState.RECONNECTING)


def test_a_second_signal_does_not_wait_for_the_clients() -> None:
    with serving("--drain", "600") as (url, server), contextlib.ExitStack() as clients:
        for number in range(4):
            client = rtmsync.connect(url, app_id=DEV_APP_ID, user_id=f"user-{number}", proxy=None)
            clients.callback(client.close, 0)
        server.signal(signal.SIGTERM)
        server.notes("draining over 600 s")
        server.signal(signal.SIGTERM)
        assert server.wait() == 0


def test_signals_that_come_while_it_ends_do_not_change_its_status() -> None:
    with serving() as (_, server):
        server.signal(signal.SIGTERM)
        server.notes("draining")
        while server.process.poll() is None:
            server.signal(signal.SIGTERM)
        assert server.wait() == 0


def test_a_token_is_needed_where_the_app_has_a_key(tmp_path: Path) -> None:
    secret = key_file(tmp_path)
    arguments = ("--app-id", APP, "--secret-file", secret)
    with running("serve", "--port", "0", "--json", "--until-eof", *arguments) as server:
        row = server.row()
        assert row["app_ids"] == [APP]
        base = ("--url", row["url"], "--app-id", APP, "--user", "alice")
        refused = call("send", *base, "--peer", "bob", "hi")
        assert refused.returncode == ExitCode.AUTH
        assert b"needs a token" in refused.stderr
        token = call("token", "--app-id", APP, "--secret-file", secret, "--user", "alice").stdout
        (tmp_path / "token").write_bytes(token)
        for proof in (
            {"arguments": ("--token-file", str(tmp_path / "token"))},
            {"variables": {"RTM_TOKEN": token.decode()}},
            {"variables": {"RTM_SECRET_FILE": secret}},
        ):
            sent = call("send", *base, *proof.get("arguments", ()), "ops", "hi", **proof.get("variables", {}))
            assert sent.returncode == 0, sent.stderr
        # The name can come from the token.
        nameless = call("send", "--url", row["url"], "--app-id", APP, "ops", "hi", RTM_TOKEN=token.decode())
        assert nameless.returncode == 0, nameless.stderr
        # Not in the server's own file, whose changes it takes up.
        another = tmp_path / "another"
        another.mkdir()
        wrong = call("send", *base, "ops", "hi", RTM_SECRET_FILE=key_file(another, "z" * 40))
        assert wrong.returncode == ExitCode.AUTH


def test_several_apps_each_with_its_key(tmp_path: Path) -> None:
    first, second = tmp_path / "1", tmp_path / "2"
    first.write_text(KEY)
    second.write_text("z" * 40)
    pairs = ("--app-id", APP, "--secret-file", str(first), "--app-id", "c" * 32, "--secret-file", str(second))
    with running("serve", "--port", "0", "--json", "--until-eof", *pairs) as server:
        base = ("--url", server.row()["url"], "--user", "alice", "ops", "hi")
        good = call("send", "--app-id", "c" * 32, "--secret-file", str(second), *base)
        bad = call("send", "--app-id", "c" * 32, "--secret-file", str(first), *base)
    assert (good.returncode, bad.returncode) == (0, ExitCode.AUTH)


def test_what_is_stored_outlives_the_server(tmp_path: Path) -> None:
    data = str(tmp_path / "data")
    with serving("--data", data) as (url, server):
        sent = call("send", "--url", url, "--user", "bob", "--peer", "alice", "--offline", "--json", "later")
        assert json.loads(sent.stdout)["status"] == "CACHED"
        server.signal(signal.SIGTERM)
        assert server.wait() == 0
    with serving("--data", data) as (url, _):
        heard = call("listen", "--url", url, "--user", "alice", "--count", "1", "--idle-timeout", "50")
    assert heard.returncode == 0, heard.stderr
    row = json.loads(heard.stdout)
    assert (row["event"], row["sender"], row["text"], row["offline"]) == ("PeerMessage", "bob", "later", True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "--dev"),
        (("--app-id", APP), "secret file"),
        (("--dev", "--host", "0.0.0.0"), "development server"),
        (("--app-id", "short", "--secret-file", "KEY"), "32"),
        (("--dev", "--app-id", APP, "--app-id", APP), "twice"),
        (("--dev", "--port", "70000"), "--port"),
        (("--dev", "--tls-key", "none.pem"), "certificate"),
    ],
)
def test_what_cannot_be_served_is_wrong_use(
    rtm: Rtm, tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    secret = key_file(tmp_path)
    outcome = rtm("serve", *(secret if argument == "KEY" else argument for argument in arguments))
    assert outcome.status == ExitCode.USAGE
    assert said in outcome.err


def test_a_port_that_is_taken(rtm: Rtm) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        outcome = rtm("serve", "--dev", "--port", str(listener.getsockname()[1]))
    assert outcome.status == ExitCode.USAGE
    assert "already in use" in outcome.err
    assert "--port" in outcome.err


def test_a_data_directory_that_is_in_use(tmp_path: Path) -> None:
    data = str(tmp_path / "data")
    with serving("--data", data):
        second = call("serve", "--dev", "--port", "0", "--data", data)
    assert second.returncode == ExitCode.FAILURE
    assert b"Traceback" not in second.stderr
    assert b"Another server (process " in second.stderr
    assert b"uses the data directory" in second.stderr


def test_a_data_directory_of_a_newer_server(rtm: Rtm, tmp_path: Path) -> None:
    with serving("--data", str(tmp_path)) as (_, server):
        server.end_input()
        assert server.wait() == 0
    with closing(sqlite3.connect(tmp_path / JOURNAL_FILE)) as connection, connection:
        connection.execute("UPDATE meta SET value = 99 WHERE key = 'schema'")
    outcome = rtm("serve", "--dev", "--port", "0", "--data", str(tmp_path))
    assert outcome.status == ExitCode.FAILURE
    assert "has schema version 99, this server knows version" in outcome.err
    assert "Traceback" not in outcome.err


@pytest.mark.parametrize("algorithm", PUBLIC_KEY_ALGORITHMS)
def test_keys_that_need_what_is_not_installed(tmp_path: Path, algorithm: str) -> None:
    key = key_file(tmp_path, json.dumps({"secret": "-----BEGIN PUBLIC KEY-----", "algorithm": algorithm}))
    options = ("--app-id", APP, "--secret-file", key)
    for arguments in (
        ("serve", "--port", "0", "--until-eof", *options),
        ("token", "--user", "alice", *options),
    ):
        outcome = subprocess.run(
            [sys.executable, "-c", WITHOUT_CRYPTOGRAPHY, *arguments],
            input=b"",
            capture_output=True,
            timeout=120,
        )
        assert outcome.returncode == ExitCode.FAILURE
        assert f"Keys of the algorithm {algorithm} ".encode() in outcome.stderr
        assert b"pip install cryptography" in outcome.stderr
        assert b"Traceback" not in outcome.stderr


def test_keys_that_do_not_need_what_is_not_installed(tmp_path: Path) -> None:
    options = ("--app-id", APP, "--secret-file", key_file(tmp_path))
    outcome = subprocess.run(
        [sys.executable, "-c", WITHOUT_CRYPTOGRAPHY, "serve", "--port", "0", "--until-eof", *options],
        input=b"",
        capture_output=True,
        timeout=120,
    )
    assert outcome.returncode == 0, outcome.stderr


# --- Settings from a file and the environment -----------------------------------------------------------------------


def settings_file(folder: Path, more: str = "") -> str:
    key_file(folder)
    path = folder / "rtm.toml"
    path.write_text(f'port = 0\ndrain_seconds = 0\n{more}\n[[apps]]\nid = "{APP}"\nkey_file = "app.key"\n')
    return str(path)


def logged_in(url: str, key: str, user: str = "alice") -> bool:
    secret = TokenKey(key.encode())
    token = make_token(secret, app=APP, user=user, now=time.time())
    try:
        rtmsync.connect(url, app_id=APP, user_id=user, token=token, proxy=None).close()
    except rtmsync.AuthError:
        return False
    return True


def test_a_file_says_it_all(tmp_path: Path) -> None:
    with running("serve", "--config", settings_file(tmp_path), "--json", "--until-eof") as server:
        row = server.row()
        assert row["app_ids"] == [APP]
        assert logged_in(row["url"], KEY)


def test_options_come_before_the_environment_and_that_before_the_file(tmp_path: Path) -> None:
    file = settings_file(tmp_path, "host = '127.0.0.2'")
    variables = {
        "RTM_CONFIG": file,
        "RTM_HOST": "127.0.0.3",
        "RTM_RATE_LIMITS": "false",
        "RTM_RATE": "send=9/1",
    }
    with running("serve", "--json", "--until-eof", **variables) as server:
        assert "127.0.0.3" in server.row()["url"]
    with running("serve", "--host", "127.0.0.1", "--json", "--until-eof", **variables) as server:
        assert "127.0.0.1" in server.row()["url"]


@pytest.mark.parametrize(
    ("arguments", "variables", "said"),
    [
        (("--config", "none.toml"), {}, "none.toml cannot be read"),
        (("--config", "FILE", "--rate", "send"), {}, "send=180/3"),
        (("--config", "FILE", "--rate", "sned=1/1"), {}, "'sned'"),
        (("--config", "FILE", "--secret-file", "x"), {}, "--app-id"),
        (("--config", "FILE"), {"RTM_PORT": "x"}, "RTM_PORT"),
        (("--config", "FILE"), {"RTM_RATE_FACTOR": "0"}, "RTM_RATE_FACTOR"),
        (("--config", "FILE"), {"RTM_TOKEN_POLICY": "never"}, "RTM_TOKEN_POLICY"),
        (("--config", "FILE", "--app-id", APP), {}, "secret file"),
    ],
)
def test_wrong_settings_are_wrong_use(
    rtm: Rtm,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    variables: dict[str, str],
    said: str,
) -> None:
    file = settings_file(tmp_path)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    outcome = rtm("serve", *(file if argument == "FILE" else argument for argument in arguments))
    assert outcome.status == ExitCode.USAGE
    assert said in outcome.err
    assert "Traceback" not in outcome.err


def test_all_mistakes_are_said_at_once(rtm: Rtm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RTM_LIMIT", "message=0 channels=65")
    outcome = rtm(
        "serve", "--config", settings_file(tmp_path), "--rate", "sned=1/1", "--host", "0.0.0.0", "--dev"
    )
    assert outcome.status == ExitCode.USAGE
    for words in ("limits.message", "limits.channels", "'sned'", "development server"):
        assert words in outcome.err


def test_limits_of_options_and_the_environment_come_before_those_of_the_file(tmp_path: Path) -> None:
    file = settings_file(tmp_path, "limits = { message = 1000, channels = 1 }")
    token = make_token(TokenKey(KEY.encode()), app=APP, user="alice", now=time.time())
    with (
        running("serve", "--config", file, "--json", "--until-eof", RTM_LIMIT="message=100") as server,
        rtmsync.connect(server.row()["url"], app_id=APP, user_id="alice", token=token, proxy=None) as alice,
    ):
        with pytest.raises(rtmsync.InvalidArgument):
            alice.send_peer("nobody", "x" * 101)
        alice.channel("one").join()
        with pytest.raises(rtmsync.LimitExceeded):
            alice.channel("two").join()


# --- Server keys ----------------------------------------------------------------------------------------------------


def test_a_development_server_prints_how_to_publish() -> None:
    with running("serve", "--dev", "--port", "0", "--until-eof") as server:
        lines = [server.says("curl")]
        lines += [server.says("--data"), server.says("/rtm/v1/apps/")]
        key = re.search(r"Bearer ([^']+)", lines[0])[1]
        url = re.search(r"'http(.*)/rtm/v1", lines[2])[1]
        words = shlex.split(" ".join(line.rstrip("\\") for line in lines))
        assert words[0] == "curl"
        with rtmsync.connect(f"ws{url}", app_id=DEV_APP_ID, user_id="alice", proxy=None) as alice:
            ops = alice.channel("ops")
            ops.join()
            inbox = ops.events(rtmsync.ChannelMessage)
            with rtmsync.Publisher(f"ws{url}", app_id=DEV_APP_ID, server_key=key) as publisher:
                publisher.publish("ops", json.loads(words[4])["payload"], sender="shop")
            assert inbox.get(timeout=60).text == "good morning"


@pytest.mark.parametrize("by_environment", [False, True])
def test_one_command_with_a_server_key(tmp_path: Path, by_environment: bool) -> None:
    (tmp_path / "server.key").write_text("0123456789abcdef-server\n")
    options = ("--app-id", APP, "--secret-file", key_file(tmp_path), "--port", "0", "--json", "--until-eof")
    file = str(tmp_path / "server.key")
    given = () if by_environment else ("--server-key-file", file)
    variables = {"RTM_SERVER_KEY_FILE": file} if by_environment else {}
    with running("serve", *options, *given, **variables) as server:
        row = server.row()
        assert "server_keys" not in row
        with rtmsync.Publisher(row["url"], app_id=APP, server_key="0123456789abcdef-server") as publisher:
            assert publisher.member_counts(["ops"]) == {"ops": 0}
    assert not any("0123456789abcdef-server" in line for line in server.said)


# --- Logs -----------------------------------------------------------------------------------------------------------


def test_logs_are_json_where_that_is_wanted(tmp_path: Path) -> None:
    file = tmp_path / "rtm.log"
    with serving("--log-format", "json", "--log-file", str(file)) as (url, server):
        sent = call("send", "--url", url, "--user", "bob", "ops", "a secret of bob's", RTM_TOKEN="t0ken")
        assert sent.returncode == 0, sent.stderr
        server.signal(signal.SIGTERM)
        assert server.wait() == 0
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert all({"time", "level", "logger", "message"} <= set(row) for row in rows)
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", row["time"]) for row in rows)
    assert rows[0] == {**rows[0], "level": "info", "logger": "rtmsync.server", "url": url}
    assert "secret" not in file.read_text()
    assert "t0ken" not in file.read_text()


def test_the_level_and_the_format_come_from_the_environment_and_the_file_too(tmp_path: Path) -> None:
    file = settings_file(tmp_path, "log = { format = 'json', level = 'warning' }")
    with running("serve", "--config", file, "--json", "--until-eof", RTM_LOG_LEVEL="debug") as server:
        server.row()
        row = json.loads(server.notes("serving on"))
        assert row["message"].startswith("serving on ws://")
        assert not logged_in(row["url"], "z" * 40, "mallory")
        refused = json.loads(server.notes("login refused"))
        assert refused["event"] == "login refused"
        assert refused["code"] == "LoginError.INVALID_TOKEN"
        assert (refused["app"], refused["user"], refused["address"]) == (APP, "mallory", "127.0.0.1")
        closed = json.loads(server.notes("connection closed"))
        assert (closed["connection"], closed["code"]) == (refused["connection"], "LOGIN_REFUSED")
        assert logged_in(row["url"], KEY)
        assert json.loads(server.notes("login"))["user"] == "alice"
        assert not any("eyJ" in line for line in server.said)
    quiet = ("--dev", "--port", "0", "--json", "--until-eof", "--log-level", "error")
    with running("serve", *quiet) as server:
        server.row()
        server.signal(signal.SIGTERM)
        assert server.wait() == 0
    assert len(server.said) == 1


def test_nothing_but_json_is_on_standard_error() -> None:
    with running(
        "serve", "--dev", "--port", "0", "--until-eof", "--drain", "0", "--log-format", "json"
    ) as server:
        lines = [server.notes("serving on")]
        server.says("The server listens on")  # from now on it ends in order at a signal
        server.signal(signal.SIGTERM)
        lines += [server.notes("draining"), server.notes("stopped")]
        assert server.wait() == 0
        while not server.err.empty():
            lines.append(server.err.get())
    assert [json.loads(line)["level"] for line in lines] == ["info"] * 3


def test_a_log_file_that_cannot_be_written_is_wrong_use(rtm: Rtm, tmp_path: Path) -> None:
    outcome = rtm("serve", "--dev", "--port", "0", "--log-file", str(tmp_path / "none" / "rtm.log"))
    assert outcome.status == ExitCode.USAGE
    assert "rtm.log cannot be written" in outcome.err


def test_access_tokens_are_taken_where_they_are_listed(tmp_path: Path) -> None:
    certificate = tmp_path / "app.certificate"
    certificate.write_text("5CFd2fd1755d40ecb72977518be15d3b")
    files = ("--app-id", APP, "--certificate-file", str(certificate), "--token-format", "007")
    with running("serve", *files, "--port", "0", "--json", "--until-eof") as server:
        url = server.row()["url"]
        arguments = (
            "token",
            "--app-id",
            APP,
            "--secret-file",
            str(certificate),
            "--user",
            "alice",
            "--format",
        )
        good, bad = (call(*arguments, form).stdout.decode().strip() for form in ("007", "006"))
        # The name comes from the token.
        sent = call("send", "--url", url, "--app-id", APP, "ops", "hi", RTM_TOKEN=good)
        assert sent.returncode == 0, sent.stderr
        refused = call("send", "--url", url, "--app-id", APP, "--user", "alice", "ops", "hi", RTM_TOKEN=bad)
        assert refused.returncode == ExitCode.AUTH
        assert b"format 006" in refused.stderr


def test_a_hangup_reads_the_settings_again(tmp_path: Path) -> None:
    file = settings_file(tmp_path)
    other = "z" * 40
    with running("serve", "--config", file, "--json", "--until-eof") as server:
        url = server.row()["url"]
        token = make_token(TokenKey(KEY.encode()), app=APP, user="alice", now=time.time())
        with rtmsync.connect(url, app_id=APP, user_id="alice", token=token, proxy=None) as alice:
            assert not logged_in(url, other, "bob")
            (tmp_path / "second.key").write_text(f"{KEY}\n{other}\n")
            text = Path(file).read_text()
            Path(file).write_text(
                "node = 'other'\nlog = { level = 'debug', format = 'json' }\n"
                + text.replace("app.key", "second.key")
            )
            server.signal(signal.SIGHUP)
            server.notes("node stays as it was")
            server.notes("log.format and log.file stay as they were")
            assert logged_in(url, other, "bob")
            assert "user='bob'" in server.notes("login: ")
            Path(file).write_text(text + "unknown = 1\n")
            server.signal(signal.SIGHUP)
            server.notes("unknown")
            assert logged_in(url, other, "bob")
            assert alice.state is ConnectionState.CONNECTED


def test_a_changed_key_file_is_taken_up_by_itself(tmp_path: Path) -> None:
    other = "z" * 40
    with running("serve", "--config", settings_file(tmp_path), "--json", "--until-eof") as server:
        url = server.row()["url"]
        token = make_token(TokenKey(KEY.encode()), app=APP, user="alice", now=time.time())
        with rtmsync.connect(url, app_id=APP, user_id="alice", token=token, proxy=None) as alice:
            (tmp_path / "app.key").write_text("short\n")
            server.notes("stay as they were")
            assert logged_in(url, KEY, "bob")
            (tmp_path / "app.key").write_text(f"{other}\n")
            server.notes("were reloaded")
            assert logged_in(url, other, "bob")
            assert not logged_in(url, KEY, "carol")
            assert alice.state is ConnectionState.CONNECTED
