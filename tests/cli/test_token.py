import json
import os
import sys
import time
from pathlib import Path

import pytest
from freezegun import freeze_time

from rtmcore.codes import LoginError
from rtmcore.errors import AuthError
from rtmcore.limits import TOKEN_SECONDS_DEFAULT, TOKEN_SECONDS_MAX
from rtmcore.service.grants import Grant
from rtmsync.exits import ExitCode
from rtmsync.server.tokens import AppKeys, AppVerifier, TokenKey
from tests.cli.conftest import Rtm

APP = "a" * 32
KEY = "0123456789abcdef" * 4


@pytest.fixture
def key_file(tmp_path: Path) -> str:
    path = tmp_path / "app.key"
    path.write_text(f"{KEY}\n")
    return str(path)


def make(rtm: Rtm, key_file: str, *more: str) -> str:
    outcome = rtm("token", "--user", "alice", "--app-id", APP, "--secret-file", key_file, *more)
    assert outcome.status == 0, outcome.err
    return outcome.out.strip()


def verify(token: str, user: str = "alice") -> object:
    return AppVerifier([AppKeys(APP, (TokenKey(KEY.encode()),))])(APP, user, token, int(time.time() * 1000))


def test_a_made_token_is_good_for_its_user_only(rtm: Rtm, key_file: str) -> None:
    token = make(rtm, key_file)
    verify(token)
    with pytest.raises(AuthError) as refused:
        verify(token, "bob")
    assert refused.value.code is LoginError.INVALID_TOKEN


def test_a_token_lasts_as_long_as_it_was_told(rtm: Rtm, key_file: str) -> None:
    with freeze_time("2030-01-01") as clock:
        token = make(rtm, key_file, "--seconds", "60")
        clock.tick(59)
        verify(token)
        clock.tick(60)
        with pytest.raises(AuthError) as refused:
            verify(token)
    assert refused.value.code is LoginError.TOKEN_EXPIRED


def test_scopes_are_kept(rtm: Rtm, key_file: str) -> None:
    grant = verify(make(rtm, key_file, "--scopes", '{"login": true, "join": ["room-*"]}'))
    assert grant.may_join("room-1")  # type: ignore[attr-defined]
    assert not grant.may_join("hall")  # type: ignore[attr-defined]


def test_the_environment_takes_the_place_of_options(
    rtm: Rtm, key_file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RTM_USER_ID", "alice")
    monkeypatch.setenv("RTM_APP_ID", APP)
    monkeypatch.setenv("RTM_SECRET_FILE", key_file)
    verify(rtm("token").out.strip())


def test_the_first_key_of_a_file_signs(rtm: Rtm, tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text(f"{KEY}\n{'z' * 40}\n")
    verify(make(rtm, str(path)))


def test_the_key_can_come_from_standard_input(rtm: Rtm) -> None:
    arguments = ("token", "--user", "alice", "--app-id", APP, "--secret-file", "-")
    verify(rtm(*arguments, stdin=KEY.encode()).out.strip())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--app-id", APP), "--user"),
        (("--user", "alice"), "--app-id"),
        (("--user", "null", "--app-id", APP), "reserved"),
        (("--user", "alice", "--app-id", APP, "--seconds", "0"), "seconds"),
        (("--user", "alice", "--app-id", APP, "--seconds", str(TOKEN_SECONDS_MAX + 1)), "seconds"),
        (("--user", "alice", "--app-id", APP, "--scopes", "[1]"), "JSON object"),
        (("--user", "alice", "--app-id", APP, "--scopes", "{"), "not JSON"),
    ],
)
def test_what_cannot_be_made_is_wrong_use(
    rtm: Rtm, key_file: str, arguments: tuple[str, ...], said: str
) -> None:
    outcome = rtm("token", "--secret-file", key_file, *arguments)
    assert outcome.status == ExitCode.USAGE
    assert said in outcome.err
    assert outcome.out == ""


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"", "no secret"), (b"\n \n", "no secret"), (b"short", "32 bytes"), (b"\xff" * 40, "read")],
)
def test_a_bad_key_file_is_wrong_use_and_shown_nowhere(
    rtm: Rtm, tmp_path: Path, content: bytes, said: str
) -> None:
    path = tmp_path / "bad"
    path.write_bytes(content)
    outcome = rtm("token", "--user", "alice", "--app-id", APP, "--secret-file", str(path))
    assert outcome.status == ExitCode.USAGE
    assert said in outcome.err
    assert "short" not in outcome.err.replace("too short", "")


def test_a_key_file_that_is_not_there(rtm: Rtm, tmp_path: Path) -> None:
    outcome = rtm("token", "--user", "a", "--app-id", APP, "--secret-file", str(tmp_path / "none"))
    assert outcome.status == ExitCode.USAGE
    assert "cannot be read" in outcome.err


def test_inspect_tells_what_is_in_a_token(rtm: Rtm, key_file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    with freeze_time("2030-01-01"):
        token = make(rtm, key_file)
        outcome = rtm("token", "inspect", stdin=token.encode())
    assert outcome.status == 0
    for line in (
        "user      alice",
        f"app id    {APP}",
        "signed    HS256 (not verified)",
        "issued    2030-01-01 00:00:00 UTC",
        f"expires   2030-01-01 00:15:00 UTC (in {TOKEN_SECONDS_DEFAULT} s)",
        "may       everything",
    ):
        assert line in outcome.out.splitlines()
    assert token not in outcome.out + outcome.err


def test_inspect_needs_no_token_library(rtm: Rtm, key_file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    token = make(rtm, key_file)
    monkeypatch.setitem(sys.modules, "jwt", None)
    row = json.loads(rtm("token", "inspect", "--json", stdin=token.encode()).out)
    assert row["claims"]["sub"] == "alice"
    assert row["header"]["alg"] == "HS256"
    assert row["expired"] is False


def test_no_token_on_standard_input_is_told_in_these_words(rtm: Rtm) -> None:
    outcome = rtm("token", "inspect", stdin=b"\n")
    assert outcome.status == ExitCode.USAGE
    assert "There is no token in standard input." in outcome.err


def test_an_expired_token_is_told_by_the_exit_status(rtm: Rtm, key_file: str, tmp_path: Path) -> None:
    with freeze_time("2020-01-01"):
        token = make(rtm, key_file)
    path = tmp_path / "token"
    path.write_text(token)
    outcome = rtm("token", "inspect", "--token-file", str(path))
    assert outcome.status == ExitCode.AUTH
    assert "s ago)" in outcome.out


@pytest.mark.parametrize(
    "text", [b"hello", b"a.b.c", b"e30.W10.x", b"." * 20_000, os.urandom(64).hex().encode()]
)
def test_what_is_not_a_token_is_refused_without_showing_it(rtm: Rtm, text: bytes) -> None:
    outcome = rtm("token", "inspect", stdin=text)
    assert outcome.status in (ExitCode.AUTH, ExitCode.USAGE)
    assert text.decode() not in outcome.out + outcome.err


def test_without_the_token_library_there_is_a_sentence(
    rtm: Rtm, key_file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "jwt", None)
    outcome = rtm("token", "--user", "alice", "--app-id", APP, "--secret-file", key_file)
    assert outcome.status == 1
    assert 'pip install "rtmsync[server]"' in outcome.err


def test_a_token_for_rooms_and_rtc_channels_is_good_for_nothing_else(rtm: Rtm, key_file: str) -> None:
    grant = verify(make(rtm, key_file, "--room", "lobby", "--room", "team-*", "--rtc", "stage"))
    assert isinstance(grant, Grant)
    assert grant.may_log_in("room", "lobby")
    assert grant.may_log_in("room", "team-1")
    assert not grant.may_log_in("room", "stage")
    assert grant.may_log_in("rtc", "stage")
    assert not grant.may_log_in("rtc", "lobby")
    assert not grant.may_log_in("rtm", "")
    assert not grant.may_join("lobby")


def test_rooms_come_on_top_of_other_scopes(rtm: Rtm, key_file: str) -> None:
    grant = verify(make(rtm, key_file, "--room", "lobby", "--scopes", '{"login": true, "join": ["hall"]}'))
    assert isinstance(grant, Grant)
    assert grant.may_log_in("rtm", "")
    assert grant.may_join("hall")
    assert grant.may_log_in("room", "lobby")
    assert not grant.may_log_in("rtc", "lobby")


def test_rooms_named_twice_are_a_misuse(rtm: Rtm, key_file: str) -> None:
    arguments = ("token", "--user", "alice", "--app-id", APP, "--secret-file", key_file)
    outcome = rtm(*arguments, "--room", "lobby", "--scopes", '{"room": ["hall"]}')
    assert outcome.status == ExitCode.USAGE
    assert "--room" in outcome.err


CERTIFICATE = "5CFd2fd1755d40ecb72977518be15d3b"


@pytest.fixture
def certificate_file(tmp_path: Path) -> str:
    path = tmp_path / "app.certificate"
    path.write_text(f"{CERTIFICATE}\n")
    return str(path)


@pytest.mark.parametrize("version", ["006", "007"])
def test_an_access_token_is_made_with_a_certificate(rtm: Rtm, certificate_file: str, version: str) -> None:
    token = make(rtm, certificate_file, "--format", version, "--seconds", "60")
    assert token.startswith(version)
    keys = AppKeys(APP, (), (CERTIFICATE,), (version,))
    grant = AppVerifier([keys])(APP, "alice", token, int(time.time() * 1000))
    assert grant.expires is not None
    assert 50 < grant.expires / 1000 - time.time() <= 60
    assert token != make(rtm, certificate_file, "--format", version, "--seconds", "60")


@pytest.mark.parametrize(
    ("arguments", "content", "said"),
    [
        (("--format", "005"), CERTIFICATE, "'jwt', '006', '007'"),
        (("--format", "007"), "short", "32 hexadecimal"),
        (("--format", "006"), KEY, "32 hexadecimal"),
        (("--format", "007", "--room", "lobby"), CERTIFICATE, "--format jwt"),
        (("--format", "007", "--scopes", "{}"), CERTIFICATE, "--format jwt"),
        (("--format", "007", "--seconds", "0.5"), CERTIFICATE, "1 to"),
        (("--format", "007", "--app-id", "short"), CERTIFICATE, "app id"),
    ],
)
def test_an_access_token_that_cannot_be_made(
    rtm: Rtm, tmp_path: Path, arguments: tuple[str, ...], content: str, said: str
) -> None:
    path = tmp_path / "certificate"
    path.write_text(content)
    outcome = rtm("token", "--user", "alice", "--app-id", APP, "--secret-file", str(path), *arguments)
    assert outcome.status == ExitCode.USAGE
    assert said in outcome.err
    assert content not in outcome.err
    assert outcome.out == ""


@pytest.mark.parametrize(("version", "who"), [("006", "in the signature only"), ("007", "alice")])
def test_inspect_tells_what_is_in_an_access_token(
    rtm: Rtm, certificate_file: str, version: str, who: str
) -> None:
    token = make(rtm, certificate_file, "--format", version)
    outcome = rtm("token", "inspect", stdin=token.encode())
    assert outcome.status == 0
    lines = outcome.out.splitlines()
    assert f"user      {who}" in lines
    assert f"app id    {APP}" in lines
    assert f"signed    with a certificate, version {version} (not verified)" in lines
    assert "may       log in to RTM" in lines
    row = json.loads(rtm("token", "inspect", "--json", stdin=token.encode()).out)
    assert (row["format"], row["app_id"], row["login"], row["expired"]) == (version, APP, True, False)
    assert rtm("token", "inspect", stdin=token[:-8].encode()).status == ExitCode.AUTH


def test_the_newest_key_in_force_signs_with_its_name(rtm: Rtm, tmp_path: Path) -> None:
    old = {"kid": "old", "secret": KEY, "not_after": "2031-01-01T00:00:00Z"}
    new = {"kid": "new", "secret": KEY[::-1], "not_before": "2030-06-01T00:00:00+02:00"}
    path = tmp_path / "keys"
    path.write_text(f"{json.dumps(old)}\n{json.dumps(new)}\n")

    def kid(day: str) -> str:
        with freeze_time(day):
            token = make(rtm, str(path))
            row = json.loads(rtm("token", "inspect", "--json", stdin=token.encode()).out)
        return str(row["header"]["kid"])

    assert [kid(day) for day in ("2030-01-01", "2030-07-01", "2032-01-01")] == ["old", "new", "new"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"kid": "x"}', "no 'secret'"),
        ('{"secret": "KEY", "kidd": "x"}', "no 'kidd'"),
        ('{"secret": "KEY"', "begins like JSON"),
        ('{"secret": 7}', "'secret' is not a text"),
        ('{"secret": "KEY", "algorithm": "none"}', "not supported"),
        ('{"secret": "KEY", "not_after": "2030-01-01"}', "'not_after' is neither"),
        ('{"secret": "KEY", "not_before": 2, "not_after": 1}', "before it begins"),
        ('{"secret": "KEY", "not_after": 1}', "in force"),
    ],
)
def test_a_described_key_is_checked(rtm: Rtm, tmp_path: Path, line: str, said: str) -> None:
    path = tmp_path / "keys"
    path.write_text(line.replace("KEY", KEY))
    outcome = rtm("token", "--user", "alice", "--app-id", APP, "--secret-file", str(path))
    assert outcome.status == ExitCode.USAGE
    assert said in outcome.err
    assert KEY not in outcome.err
