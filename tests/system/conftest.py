"""Real servers, real clients of this project, and links that fail."""

import contextlib
import os
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from rtmsync import Client
from rtmsync.server.config import DEV_APP_ID, ServerConfig
from rtmsync.server.server import Server
from rtmsync.server.tokens import AppKeys
from rtmsync.testing import FaultProxy

WAIT = 30.0
"""Seconds after which a test has waited long enough."""


@pytest.fixture
def stack() -> Iterator[contextlib.ExitStack]:
    with contextlib.ExitStack() as entered:
        yield entered


@pytest.fixture
def serve(stack: contextlib.ExitStack) -> Callable[..., Server]:
    """Starts servers with `ServerConfig` arguments, without rate limits."""

    def start(sync_files: Callable[[int], None] = os.fsync, **settings: Any) -> Server:
        usual = {"apps": [AppKeys(DEV_APP_ID)], "port": 0, "drain_seconds": 0.0, "rate_limits": False}
        config = ServerConfig(**{**usual, **settings})
        return stack.enter_context(Server(config, sync_files=sync_files))

    return start


@pytest.fixture
def server(serve: Callable[..., Server]) -> Server:
    return serve()


@pytest.fixture
def connect(stack: contextlib.ExitStack) -> Callable[..., Client]:
    """Logs clients in to a server, or to the proxy before it."""

    def make(where: Server | FaultProxy, user: str, **options: Any) -> Client:
        usual = {"app_id": DEV_APP_ID, "user_id": user, "rate_limits": False, "proxy": None}
        client = stack.enter_context(Client(where.url, **{**usual, **options}))
        client.login()
        return client

    return make


@pytest.fixture
def proxy(stack: contextlib.ExitStack, server: Server) -> Callable[..., FaultProxy]:
    """Makes links to the server that can fail; their seeds stand in the output of a failed test."""

    def make(**settings: Any) -> FaultProxy:
        settings.setdefault("seed", random.randrange(2**32))
        print(f"link with seed {settings['seed']}")
        return stack.enter_context(FaultProxy("127.0.0.1", server.port, **settings))

    return make
