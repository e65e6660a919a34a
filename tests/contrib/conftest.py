"""A real server with a server key and an app secret, and what uses it."""

import secrets
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import rtmsync
from rtmsync.contrib.connections import Connections
from rtmsync.contrib.settings import Settings
from rtmsync.server.config import DEV_APP_ID, ServerConfig
from rtmsync.server.server import Server
from rtmsync.server.tokens import AppKeys, TokenKey

KEY = "server-key-0123456789"
SECRET = "0123456789abcdef" * 4

PATIENCE = 60.0
"""Seconds after which whoever waits for a thread or program has waited long enough, also where the machine is busy."""

Configure = Callable[..., Connections]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    keys = AppKeys(DEV_APP_ID, (TokenKey(SECRET.encode()),))
    config = ServerConfig(
        apps=[keys], port=0, drain_seconds=0.0, server_keys={DEV_APP_ID: [KEY]}, rate_limits=False
    )
    with Server(config) as running:
        yield running


@pytest.fixture
def values(server: Server) -> dict[str, Any]:
    """A configuration that reaches the server, with all keys."""
    return {
        "URL": server.url,
        "APP_ID": DEV_APP_ID,
        "SERVER_KEY": KEY,
        "SECRET": SECRET,
        "LISTENER": "orders",
    }


@pytest.fixture
def connections(values: dict[str, Any]) -> Iterator[Configure]:
    """Makes connections of the configuration, changed as told; None takes a value away."""
    made: list[Connections] = []

    def make(**changes: Any) -> Connections:
        made.append(Connections(Settings.from_mapping({**values, **changes})))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def alice(values: dict[str, Any]) -> Iterator[rtmsync.Client]:
    """A user with a session of her own."""
    settings, name = Settings.from_mapping(values), f"alice-{secrets.token_hex(4)}"
    with rtmsync.connect(
        settings.url, app_id=settings.app_id, user_id=name, token=settings.make_token(name)
    ) as client:
        yield client
