"""AccessTokens of builders that this project did not write are good here, and ours are good there."""

import json
import os
import secrets
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rtmcore.errors import AuthError
from rtmsync.server.access_tokens import V006, V007, make_access_token
from rtmsync.server.tokens import AppKeys, AppVerifier
from tests.interop.conftest import RunningServer, running_server
from tests.interop.wireclient import MsgpackEncoding, WireClient

pytestmark = pytest.mark.interop

APP = "970CA35de60c44645bbae8a215061b33"
CERTIFICATE = "5CFd2fd1755d40ecb72977518be15d3b"
OTHER = "0" * 32
SCRIPT = Path(__file__).parent / "tokens.js"
SECONDS = 60
LIFE = 600
USERS = ("alice", "x", "a" * 64, "user 7 !#$%&()+-:;<=.>?@[]^_{}|~,")

VERIFY = AppVerifier([AppKeys(APP, (), (OTHER, CERTIFICATE), (V006, V007))])


def judge(token: str, user: str) -> None:
    """The token is good for the user until its end, and for nobody else, no other app and no other certificate."""
    wall = time.time_ns() // 1_000_000
    grant = VERIFY(APP, user, token, wall)
    assert grant.expires is not None
    assert abs(grant.expires - wall - LIFE * 1000) < SECONDS * 1000
    with pytest.raises(AuthError):
        VERIFY(APP, user + "2" if len(user) < 64 else user[:-1], token, wall)
    with pytest.raises(AuthError):
        VERIFY(APP, user, token, wall + (LIFE + SECONDS) * 1000)
    for keys in (
        AppKeys("f" * 32, (), (CERTIFICATE,), (V006, V007)),
        AppKeys(APP, (), (OTHER,), (V006, V007)),
    ):
        with pytest.raises(AuthError):
            AppVerifier([keys])(keys.app, user, token, wall)


def run(*arguments: str) -> str:
    """What the vendor's package for node answers.

    Where node, or the package, is absent, the test is skipped with a sentence.
    """
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed here: the vendor's builder in JavaScript cannot run")
    module = os.environ.get("RTM_AGORA_TOKEN_MODULE")
    if module is None:
        pytest.skip(
            "the npm module agora-token is not installed here; RTM_AGORA_TOKEN_MODULE names its folder"
        )
    done = subprocess.run(
        [node, str(SCRIPT), module, *arguments], capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("user", USERS)
def test_006_of_the_builder_in_python(user: str) -> None:
    builder = pytest.importorskip("agora_token_builder", reason="agora-token-builder is not installed here")
    judge(builder.RtmTokenBuilder.buildToken(APP, CERTIFICATE, user, 1, int(time.time()) + LIFE), user)


@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize("version", [V006, V007])
def test_tokens_of_the_builder_in_javascript(version: str, user: str) -> None:
    judge(run("make", version, APP, CERTIFICATE, user, str(LIFE)), user)


@pytest.fixture(scope="module")
def moved(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server of an app that has moved here with its certificate."""
    file: Path = tmp_path_factory.mktemp("certificates") / "app.certificate"
    file.write_text(f"{OTHER}\n{CERTIFICATE}\n", encoding="ascii")
    formats = ("--token-format", V006, "--token-format", V007)
    with running_server("--app-id", APP, "--certificate-file", str(file), *formats) as server:
        yield server


@pytest.mark.parametrize("version", [V006, V007])
def test_a_client_logs_in_with_a_token_of_the_former_token_server(moved: RunningServer, version: str) -> None:
    token = run("make", version, APP, CERTIFICATE, "alice", str(LIFE))
    for user, code in (("alice", None), ("bob", 5)):
        client = WireClient(moved.url, APP, user, MsgpackEncoding(), token)
        client.login()
        refusals = [fields["code"] for tag, fields in client.packets if tag == "refused"]
        assert refusals == ([] if code is None else [code])
        if code is None:
            assert client.welcome["token_expires"] > time.time() * 1000
        client.drop()


def made(version: str, user: str) -> str:
    return make_access_token(
        version,
        app=APP,
        certificate=CERTIFICATE,
        user=user,
        now=time.time(),
        salt=1 + secrets.randbelow(99_999_999),
        seconds=LIFE,
    )


@pytest.mark.parametrize("user", USERS)
def test_ours_of_version_006_is_read_in_python(user: str) -> None:
    access = pytest.importorskip(
        "agora_token_builder.AccessToken", reason="agora-token-builder is not installed here"
    )
    token = made(V006, user)
    theirs = access.AccessToken(APP, CERTIFICATE, user, "")
    assert theirs.fromString(token)
    assert theirs.messages[1000] == pytest.approx(time.time() + LIFE, abs=SECONDS)
    # Made from the same fields, theirs is ours.
    rebuilt = theirs.build()
    assert (rebuilt.decode() if isinstance(rebuilt, bytes) else rebuilt) == token


@pytest.mark.parametrize("user", USERS)
def test_ours_of_version_007_is_good_in_javascript(user: str) -> None:
    told = json.loads(run("read", CERTIFICATE, made(V007, user)))
    assert told == {
        "read": True,
        "genuine": True,
        "app": APP,
        "user": user,
        "seconds": LIFE,
        "privileges": {"1": LIFE},
    }
