"""Tools for tests of programs that use rtmsync: a TCP proxy that makes networks fail on purpose.

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

__all__ = [
    "BlackHole",
    "CloseFrame",
    "Corrupt",
    "Cut",
    "Delay",
    "FaultProxy",
    "FaultProxyError",
    "LogEntry",
    "RandomCuts",
    "Refuse",
    "Rule",
    "Throttle",
    "Truncate",
]

_FROM_FAULTPROXY = frozenset({"FaultProxy", "FaultProxyError", "LogEntry"})


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = "faultproxy" if name in _FROM_FAULTPROXY else "rules"
    return getattr(import_module(f"{__name__}.{module}"), name)
