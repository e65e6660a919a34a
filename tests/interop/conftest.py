"""A real server process for clients that this project did not write."""

import contextlib
import json
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator

import attrs
import pytest

from tests.interop.wireclient import ENCODINGS, WireClient

STOP = 30
"""Seconds that a server gets to stop."""


@attrs.frozen
class RunningServer:
    """Where the server listens, and the app that it serves."""

    url: str
    app: str


@contextlib.contextmanager
def running_server(*options: str) -> Iterator[RunningServer]:
    """`rtm serve` as a process of its own, which ends with the block, or with this process."""
    command = [
        sys.executable,
        "-m",
        "rtmsync",
        "serve",
        "--port",
        "0",
        "--json",
        "--until-eof",
        "--drain",
        "0",
    ]
    process = subprocess.Popen([*command, *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        ready = json.loads(process.stdout.readline())
        yield RunningServer(ready["url"], ready["app_ids"][0])
        process.stdin.close()
        assert process.wait(STOP) == 0
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


@pytest.fixture(scope="package")
def server() -> Iterator[RunningServer]:
    with running_server("--dev") as running:
        yield running


@pytest.fixture(params=ENCODINGS, ids=lambda encoding: encoding.subprotocol)
def encoding(request: pytest.FixtureRequest) -> object:
    return request.param


@pytest.fixture
def client(server: RunningServer, encoding: object) -> Iterator[Callable[..., WireClient]]:
    """Makes clients, each of a user of its own unless one is named."""
    made: list[WireClient] = []

    def make(user: str | None = None, **settings: str) -> WireClient:
        name = user or f"user-{secrets.token_hex(6)}"
        made.append(WireClient(server.url, server.app, name, encoding, **settings))
        return made[-1]

    yield make
    for one in made:
        one.drop()


@pytest.fixture
def channel() -> str:
    return f"room-{secrets.token_hex(6)}"
