"""The command as such: help, exit status, what is loaded, where secrets may come from."""

import io
import json
import subprocess
import sys
from collections.abc import Iterator

import click
import pytest

from rtmcore.codes import ConnectionChangeReason, LoginError
from rtmcore.errors import (
    Aborted,
    AuthError,
    ConnectionFailed,
    InvalidArgument,
    NotLoggedIn,
    RateLimited,
    RequestTimeout,
    RtmError,
    ServerFailure,
    TlsError,
    TokenExpired,
)
from rtmsync.cli.app import COMMANDS, rtm
from rtmsync.cli.output import emit, explain, note, say
from rtmsync.exits import ExitCode, exit_code
from tests.cli.conftest import Rtm


def parameters(command: click.Command) -> Iterator[click.Parameter]:
    yield from command.params
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from parameters(inner)


def timed_out(cause: Exception | None) -> RequestTimeout:
    error = RequestTimeout("No answer.", code=LoginError.TIMEOUT, operation="login")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help_names_every_command_and_the_exit_status(rtm: Rtm, option: str) -> None:
    outcome = rtm(option)
    assert outcome.status == 0
    assert all(f"\n  {name}" in outcome.out for name in COMMANDS)
    assert "Exit status" in outcome.out


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(rtm: Rtm, name: str) -> None:
    outcome = rtm(name, "--help")
    assert outcome.status == 0
    assert outcome.out.startswith(f"Usage: rtm {name}")


def test_version(rtm: Rtm) -> None:
    assert rtm("--version").out.startswith("rtm 0.")


def test_a_command_that_there_is_not_is_wrong_use(rtm: Rtm) -> None:
    outcome = rtm("dance")
    assert outcome.status == ExitCode.USAGE
    assert "dance" in outcome.err


def test_no_secret_is_taken_from_the_arguments() -> None:
    """Options name files; only what is no secret stands in arguments."""
    taking_text = {
        name
        for parameter in parameters(rtm)
        if isinstance(parameter, click.Option) and not parameter.is_flag
        for name in parameter.opts
    }
    suspicious = {
        name for name in taking_text if any(word in name for word in ("token", "secret", "password"))
    }
    assert suspicious == {"--token-file", "--secret-file", "--token-policy", "--token-format"}


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ServerFailure("x"), ExitCode.FAILURE),
        (NotLoggedIn("x"), ExitCode.FAILURE),
        (InvalidArgument("x"), ExitCode.USAGE),
        (AuthError("x"), ExitCode.AUTH),
        (TokenExpired("x"), ExitCode.AUTH),
        (Aborted("x", reason=ConnectionChangeReason.BANNED_BY_SERVER), ExitCode.AUTH),
        (Aborted("x", reason=ConnectionChangeReason.REMOTE_LOGIN), ExitCode.FAILURE),
        (timed_out(None), ExitCode.TIMEOUT),
        (timed_out(ServerFailure("x")), ExitCode.TIMEOUT),
        (timed_out(ConnectionFailed("x")), ExitCode.NOT_REACHABLE),
        (RateLimited("x"), ExitCode.RATE_LIMITED),
        (ConnectionFailed("x"), ExitCode.NOT_REACHABLE),
        (TlsError("x"), ExitCode.NOT_REACHABLE),
        (KeyboardInterrupt(), ExitCode.INTERRUPTED),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else str(int(value)),
)
def test_exit_status(error: BaseException, status: ExitCode) -> None:
    assert exit_code(error) is status


def test_an_error_is_shown_with_what_brought_it_about() -> None:
    inner = ConnectionFailed("No connection to host:1.", hint="Check host and port.")
    outer = timed_out(inner)
    assert explain(outer).splitlines() == [
        "No answer. (in login, code 9 LoginError.TIMEOUT)",
        "  because: No connection to host:1. Check host and port.",
    ]


def test_a_cause_that_is_told_already_is_not_told_twice() -> None:
    outer = RtmError("It failed: no route.")
    outer.__cause__ = OSError("no route")
    assert explain(outer) == "It failed: no route."


@pytest.mark.parametrize("missing", ["click", "rich"])
def test_without_the_extra_there_is_a_sentence(missing: str) -> None:
    code = (
        f"import sys; sys.modules[{missing!r}] = None; import rtmsync.cli; rtmsync.cli.main(['errors', '7'])"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    if missing == "rich":  # needed for tables on a terminal only
        assert run.returncode == 0
        return
    assert run.returncode == 1
    assert 'pip install "rtmsync[cli]"' in run.stderr
    assert "Traceback" not in run.stderr


def test_the_module_is_the_command_and_loads_no_event_loop() -> None:
    code = (
        "import sys, json, runpy; sys.argv = ['rtm', 'errors', '4013', '--json']\n"
        "try: runpy.run_module('rtmsync', run_name='__main__')\n"
        "except SystemExit as end: print(json.dumps([end.code, 'asyncio' in sys.modules]))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    meaning, ended = map(json.loads, run.stdout.splitlines())
    assert meaning["name"] == "REPLACED"
    assert ended == [0, False]


def test_the_time_of_a_login_begins_when_everything_is_loaded() -> None:
    code = (
        "import sys\n"
        "from rtmsync.cli import app, options\n"
        "class Watched(options.Deadline):\n"
        "    def __init__(self, seconds):\n"
        "        before = set(sys.modules)\n"
        "        import rtmsync; rtmsync.connect\n"
        "        print('begins', seconds, sorted(set(sys.modules) - before))\n"
        "        super().__init__(seconds)\n"
        "options.Deadline = Watched\n"
        "app.run(['send', '--url', 'ws://127.0.0.1:1', '--user', 'bob', '--timeout', '0.1', 'ops', 'hi'])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert run.stdout == "begins 0.1 []\n"


class Pieces(io.StringIO):
    """A stream that remembers what it was given in one piece: another thread can write between two."""

    def __init__(self) -> None:
        super().__init__()
        self.given: list[str] = []

    def write(self, text: str) -> int:
        self.given.append(text)
        return super().write(text)


def test_lines_of_several_threads_cannot_mix(monkeypatch: pytest.MonkeyPatch) -> None:
    out, err = Pieces(), Pieces()
    monkeypatch.setattr("sys.stdout", out)
    monkeypatch.setattr("sys.stderr", err)
    say("one")
    emit({"two": 2})
    note("three")
    assert out.given == ["one\n", '{"two": 2}\n']
    assert err.given == ["three\n"]
