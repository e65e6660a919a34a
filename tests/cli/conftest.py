import io
import sys
from collections.abc import Callable

import attrs
import pytest

from rtmsync.cli.app import run

VARIABLES = (
    "RTM_URL RTM_APP_ID RTM_USER_ID RTM_TOKEN RTM_SECRET_FILE RTM_CA_FILE RTM_PROXY RTM_CONFIG RTM_DEV RTM_HOST "
    "RTM_PORT RTM_DATA RTM_CERTIFICATE_FILE RTM_TOKEN_FORMAT RTM_TLS_CERT RTM_TLS_KEY RTM_ALLOW_ORIGIN RTM_DRAIN "
    "RTM_TOKEN_POLICY RTM_NODE RTM_RATE_LIMITS RTM_RATE_FACTOR RTM_RATE http_proxy https_proxy all_proxy ws_proxy "
    "wss_proxy no_proxy"
).split()


@attrs.frozen
class Outcome:
    status: int
    out: str
    err: str


Rtm = Callable[..., Outcome]


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def rtm(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Rtm:
    """The command, run in this process."""

    def call(*arguments: str, stdin: bytes = b"") -> Outcome:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8"))
        capsys.readouterr()
        status = run(arguments)
        captured = capsys.readouterr()
        return Outcome(status, captured.out, captured.err)

    return call
