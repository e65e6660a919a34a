"""Tools for tests of programs that use rtmsync: fixtures for pytest, the system in memory, and broken networks.

`rtmsync.testing.plugin` has the fixtures, and `rtmsync.testing.memory` the whole system without sockets. A TCP proxy
makes networks fail on purpose:

```python
from rtmsync.testing import Cut, FaultProxy, Rule

with FaultProxy(
    "127.0.0.1", server_port, rules=[Rule(Cut(), direction="to_server", after_bytes=500)]
) as proxy:
    ...  # connect to proxy.url instead of the server's
```

The names below are loaded when they are first used, so that importing this package costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rtmsync.testing.faultproxy import FaultProxy, FaultProxyError, LogEntry
    from rtmsync.testing.memory import MemorySystem, Sent, VirtualClock
    from rtmsync.testing.rules import (
        BlackHole,
        CloseFrame,
        Corrupt,
        Cut,
        Delay,
        RandomCuts,
        Refuse,
        Rule,
        Throttle,
        Truncate,
    )
    from rtmsync.testing.running import ClientFactory, Faults, RunningServer

__all__ = [
    "BlackHole",
    "ClientFactory",
    "CloseFrame",
    "Corrupt",
    "Cut",
    "Delay",
    "FaultProxy",
    "FaultProxyError",
    "Faults",
    "LogEntry",
    "MemorySystem",
    "RandomCuts",
    "Refuse",
    "Rule",
    "RunningServer",
    "Sent",
    "Throttle",
    "Truncate",
    "VirtualClock",
]

_ELSEWHERE = {
    **dict.fromkeys(("FaultProxy", "FaultProxyError", "LogEntry"), "faultproxy"),
    **dict.fromkeys(("MemorySystem", "Sent", "VirtualClock"), "memory"),
    **dict.fromkeys(("ClientFactory", "Faults", "RunningServer"), "running"),
}
"""Modules by name; all other names are those of rules."""


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_ELSEWHERE.get(name, 'rules')}"), name)
