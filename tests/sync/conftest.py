"""A real server for a whole module, and clients of it that are closed after each test."""

import contextlib
import secrets
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

import rtmsync
from rtmsync.config import DEFAULT_TIMEOUTS, RoomConfig, RtcConfig
from rtmsync.server.config import DEV_APP_ID, ServerConfig
from rtmsync.server.server import Server
from rtmsync.server.tokens import AppKeys
from rtmsync.testing import FaultProxy

KEY = "a-key-of-these-tests"
"""With which publishers act."""

ENDS = {"close", "logout", "leave"}
"""Calls that end something; they do not wait for all that might come."""

Connect = Callable[..., rtmsync.Client]
MakeRtc = Callable[..., "rtmsync.RtcChannel"]
Enter = Callable[..., "rtmsync.Room"]


def patient(defaults: Mapping[str, float], options: dict[str, Any]) -> dict[str, Any]:
    """Options with longer timeouts, where a test names none: the machine may do much else."""
    return {
        "app_id": DEV_APP_ID,
        "rate_limits": False,
        "proxy": None,
        **options,
        "timeouts": {**longer(defaults), **options.get("timeouts", {})},
    }


def longer(defaults: Mapping[str, float]) -> dict[str, float]:
    """Timeouts of at least 30 s, but for what ends something."""
    return {name: max(seconds, 30.0) for name, seconds in defaults.items() if name not in ENDS}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server without rate limits, that lets everybody log in, in a thread of this process."""
    config = ServerConfig(
        apps=[AppKeys(DEV_APP_ID)],
        port=0,
        drain_seconds=0.0,
        rate_limits=False,
        server_keys={DEV_APP_ID: [KEY]},
    )
    with Server(config) as running:
        yield running


@pytest.fixture
def limited() -> Iterator[str]:
    """The URL of a server that has the documented rate limits."""
    config = ServerConfig(apps=[AppKeys(DEV_APP_ID)], port=0, drain_seconds=0.0)
    with Server(config) as running:
        yield running.url


@pytest.fixture
def name() -> str:
    """A user, channel or whatever name that nothing else has."""
    return f"n-{secrets.token_hex(6)}"


@pytest.fixture
def make(server: Server) -> Iterator[Connect]:
    """Makes clients of the server that have not logged in."""
    with contextlib.ExitStack() as stack:

        def build(user: str | None = None, url: str | None = None, **options: Any) -> rtmsync.Client:
            client = rtmsync.Client(
                server.url if url is None else url,
                user_id=user or f"u-{secrets.token_hex(6)}",
                **patient(DEFAULT_TIMEOUTS, options),
            )
            stack.callback(client.close)
            return client

        yield build


@pytest.fixture
def connect(make: Connect) -> Connect:
    """Makes clients that have logged in."""

    def login(*arguments: Any, **options: Any) -> rtmsync.Client:
        client = make(*arguments, **options)
        client.login()
        return client

    return login


@pytest.fixture
def make_rtc(server: Server) -> Iterator[MakeRtc]:
    """Makes RTC channels that were not joined."""
    with contextlib.ExitStack() as stack:

        def build(channel: str, uid: str, url: str | None = None, **options: Any) -> rtmsync.RtcChannel:
            options = patient(RtcConfig.DEFAULTS, options)
            rtc = rtmsync.RtcChannel(url or server.url, channel=channel, uid=uid, **options)
            stack.callback(rtc.close)
            return rtc

        yield build


@pytest.fixture
def enter(server: Server) -> Iterator[Enter]:
    """Connects to rooms."""
    with contextlib.ExitStack() as stack:

        def build(room: str, identity: str, url: str | None = None, **options: Any) -> "rtmsync.Room":
            options = patient(RoomConfig.DEFAULTS, options)
            entered = rtmsync.connect_room(url or server.url, room=room, identity=identity, **options)
            stack.callback(entered.close)
            return entered

        yield build


@pytest.fixture
def proxy(server: Server) -> Iterator[FaultProxy]:
    """A proxy before the server that breaks connections as told."""
    with FaultProxy("127.0.0.1", server.port) as running:
        yield running


@pytest.fixture
def proxied(proxy: FaultProxy) -> str:
    """The server's URL, through the proxy."""
    return f"ws://127.0.0.1:{proxy.port}"
