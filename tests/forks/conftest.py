"""A real server, and somebody who listens to what programs publish."""

import secrets
from collections.abc import Iterator

import attrs
import pytest

import rtmsync
from rtmcore.service import logins
from rtmsync.server.config import DEV_APP_ID, ServerConfig
from rtmsync.server.server import Server
from rtmsync.server.tokens import AppKeys

KEY = "a-key-of-these-tests"

SILENCE = 10.0
"""Seconds of silence that this server lets clients take for an interruption. On a machine that stands still for a few
seconds, sessions that nothing else happens to are to stay on their first connection."""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    config = ServerConfig(
        apps=[AppKeys(DEV_APP_ID)],
        port=0,
        drain_seconds=0.0,
        rate_limits=False,
        server_keys={DEV_APP_ID: [KEY]},
    )
    with pytest.MonkeyPatch.context() as patch, Server(config) as running:
        patch.setattr(logins, "INTERRUPTED_AFTER", SILENCE)
        yield running


@attrs.define
class Watcher:
    """A member of the channel that the programs of a test publish to."""

    client: rtmsync.Client
    channel: rtmsync.Channel
    messages: "rtmsync.Subscription[rtmsync.ChannelMessage]"
    answers: "rtmsync.Subscription[rtmsync.PeerMessage]"
    environment: dict[str, str]
    """What tells a program of `shop` where to publish."""


@pytest.fixture
def watcher(server: Server) -> Iterator[Watcher]:
    name = f"watcher-{secrets.token_hex(6)}"
    with rtmsync.connect(
        server.url, app_id=DEV_APP_ID, user_id=name, rate_limits=False, proxy=None
    ) as client:
        channel = client.channel(f"of-{name}")
        channel.join()
        messages = channel.events(rtmsync.ChannelMessage, maxsize=2000)
        environment = {"SHOP_URL": server.url, "SHOP_KEY": KEY, "SHOP_CHANNEL": channel.id}
        yield Watcher(client, channel, messages, client.events(rtmsync.PeerMessage), environment)
