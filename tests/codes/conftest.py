"""Real servers for a whole module, and clients of them that are closed after each test."""

from collections.abc import Callable, Iterator

import pytest

import rtmsync
from rtmsync.server.config import DEV_APP_ID, ServerConfig
from rtmsync.server.server import Server
from rtmsync.server.tokens import AppKeys
from rtmsync.testing import FaultProxy
from tests.codes.refusing import RefusingEngine
from tests.sync.conftest import connect, enter, make, make_rtc, name, proxied, proxy, server

__all__ = ["connect", "enter", "make", "make_rtc", "name", "proxied", "proxy", "server"]

SERVER_KEY = "server-key-0123456789"
Muted = Callable[..., rtmsync.Client]


@pytest.fixture
def muted(server: Server, connect: Callable[..., rtmsync.Client]) -> Iterator[Muted]:
    """Logs clients in through a link that falls silent when they are made."""
    with FaultProxy("127.0.0.1", server.port) as link:

        def build(channel: str | None = None, **options: object) -> rtmsync.Client:
            client = connect(url=f"ws://127.0.0.1:{link.port}", **options)
            if channel is not None:
                client.channel(channel).join()
            link.blackhole()
            return client

        yield build
        link.heal()


@pytest.fixture(scope="module")
def limited() -> Iterator[Server]:
    """A server with the documented rates."""
    with Server(ServerConfig(apps=[AppKeys(DEV_APP_ID)], port=0, drain_seconds=0.0)) as running:
        yield running


@pytest.fixture(scope="module")
def engine() -> RefusingEngine:
    """The engine of `refusing`, to be told what to refuse."""
    return RefusingEngine()


@pytest.fixture(scope="module")
def refusing(engine: RefusingEngine) -> Iterator[str]:
    """The URL of a server whose engine can be told to refuse."""
    config = ServerConfig(
        apps=[AppKeys(DEV_APP_ID)],
        port=0,
        drain_seconds=0.0,
        rate_limits=False,
        server_keys={DEV_APP_ID: [SERVER_KEY]},
    )
    with Server(config, engine=engine.around) as running:
        yield running.url
