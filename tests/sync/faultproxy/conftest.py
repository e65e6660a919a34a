"""A proxy for each test, and the server behind it."""

from collections.abc import Callable, Iterator

import pytest

from rtmsync.testing import FaultProxy, RandomCuts, Rule
from tests.sync.faultproxy.ends import Scene, Upstream


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    server = Upstream()
    yield server
    server.close()


@pytest.fixture
def play(upstream: Upstream) -> Iterator[Callable[..., Scene]]:
    """Start a proxy in front of the upstream; it stops with the test, and its errors are the test's."""
    started: list[FaultProxy] = []

    def start(*rules: Rule | RandomCuts, **options: int) -> Scene:
        proxy = FaultProxy("127.0.0.1", upstream.port, rules=rules, **options).start()
        print(proxy)
        started.append(proxy)
        return Scene(upstream, proxy)

    yield start
    for proxy in started:
        proxy.stop()
