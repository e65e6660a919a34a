"""Real servers in a thread of the test's process, and clients that this project did not write."""

import contextlib
import secrets
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from rtmsync.server.config import DEV_APP_ID, ServerConfig
from rtmsync.server.server import Server
from rtmsync.server.tokens import AppKeys
from tests.interop.wireclient import MsgpackEncoding, WireClient

Serve = Callable[..., Server]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts servers with `ServerConfig` arguments; they are stopped after the test."""
    with contextlib.ExitStack() as stack:

        def start(**settings: Any) -> Server:
            config = {"apps": [AppKeys(DEV_APP_ID)], "port": 0, "drain_seconds": 0.0, **settings}
            return stack.enter_context(Server(ServerConfig(**config)))

        yield start


@pytest.fixture
def client() -> Iterator[Callable[..., WireClient]]:
    """Makes logged-in clients of a server, each of a user of its own unless one is named."""
    made: list[WireClient] = []

    def make(server: Server, user: str | None = None, token: str | None = None) -> WireClient:
        name = user or f"user-{secrets.token_hex(6)}"
        one = WireClient(server.url, server.config.apps[0].app, name, MsgpackEncoding(), token)
        made.append(one)
        one.login()
        return one

    yield make
    for one in made:
        one.drop()
