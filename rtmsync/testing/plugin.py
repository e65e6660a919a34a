"""The pytest plugin: fixtures with a real server, clients of it, faults in between, and a system in memory.

pytest loads it wherever rtmsync is installed; ``-p no:rtmsync`` leaves it out. Until a test asks for one of the
fixtures, it loads nothing but this module.

* `rtm_server`: a `RunningServer`, a real server on the loopback, stopped after the test.
* `rtm_client_factory`: a `ClientFactory` that makes clients of it, closed after the test.
* `rtm_faults`: `Faults` between the two.
* `rtm_memory`: a `MemorySystem`, without sockets and threads, in the time of `rtm_clock`, a `VirtualClock`.

``@pytest.mark.rtm_server(token_policy="abort")`` sets fields of `rtmsync.server.config.ServerConfig`.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from rtmsync.testing.memory import MemorySystem, VirtualClock
    from rtmsync.testing.running import ClientFactory, Faults, RunningServer


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Keep pytest from compiling all of rtmsync anew.

    It rewrites the assertions of every module in a distribution that has a plugin, which takes seconds wherever
    nothing is kept from one run to the next. There is no public way to say that this is not wanted.
    """
    hook = early_config.pluginmanager.rewrite_hook
    marked = getattr(hook, "_must_rewrite", None)
    if isinstance(marked, set):
        marked -= {"rtmcore", "rtmsync"}


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line(
        "markers", "rtm_server(**settings): settings of the server behind the fixture rtm_server"
    )


@pytest.fixture
def rtm_server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator["RunningServer"]:
    """A real RTM server on a free port of the loopback, stopped after the test."""
    from rtmsync.testing.running import RunningServer

    mark = request.node.get_closest_marker("rtm_server")
    settings = {} if mark is None else dict(mark.kwargs)
    with RunningServer(tmp_path_factory.mktemp("rtm"), **settings) as server:
        yield server


@pytest.fixture
def rtm_faults(rtm_server: "RunningServer") -> Iterator["Faults"]:
    """Faults between the clients of `rtm_client_factory` and the server: cuts, delays, black holes and others."""
    from rtmsync.testing.running import Faults

    with Faults(rtm_server) as faults:
        yield faults


@pytest.fixture
def rtm_client_factory(
    request: pytest.FixtureRequest, rtm_server: "RunningServer"
) -> Iterator["ClientFactory"]:
    """Makes clients of `rtm_server` that are logged in, and closes them after the test."""
    from rtmsync.testing.running import ClientFactory

    faults = request.getfixturevalue("rtm_faults") if "rtm_faults" in request.fixturenames else None
    factory = ClientFactory(rtm_server, faults)
    yield factory
    factory.close()


@pytest.fixture
def rtm_clock() -> "VirtualClock":
    """The virtual time of `rtm_memory`: it passes where a call waits, and by `advance`."""
    from rtmsync.testing.memory import VirtualClock

    return VirtualClock()


@pytest.fixture
def rtm_memory(rtm_clock: "VirtualClock") -> Iterator["MemorySystem"]:
    """The whole system in memory, without sockets and threads, in the time of `rtm_clock`."""
    from rtmsync.testing.memory import MemorySystem

    with MemorySystem(clock=rtm_clock) as system:
        yield system
