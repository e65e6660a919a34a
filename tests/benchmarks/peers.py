"""The systems that are compared, and why one of them is left out."""

import importlib.util
import os
import shutil
from collections.abc import Callable

import attrs


def mosquitto() -> str | None:
    """Where mosquitto is; None without it. Debian puts it where only root looks."""
    found = shutil.which("mosquitto")
    if found is None and os.path.exists("/usr/sbin/mosquitto"):
        return "/usr/sbin/mosquitto"
    return found


def _no_mosquitto() -> str | None:
    return None if mosquitto() else "the program mosquitto is not here (Debian: apt-get install mosquitto)"


def _nothing_else() -> str | None:
    return None


@attrs.frozen
class System:
    """A messaging system.

    Args:
        name: As rows name it.
        module: Below `tests.benchmarks.systems`.
        packages: What it imports.
        server: Arguments of its server.
        lacks: Says what else is missing.
    """

    name: str
    module: str
    packages: tuple[str, ...]
    server: dict[str, object] = attrs.field(factory=dict)
    lacks: Callable[[], str | None] = _nothing_else

    def missing(self) -> str | None:
        """Why it cannot be measured here; None where it can."""
        absent = [name for name in self.packages if importlib.util.find_spec(name) is None]
        if absent:
            return f"not installed: {', '.join(absent)}"
        return self.lacks()


OURS = System("ours", "ours", ("jwt",))
OURS_ON_DISK = System("ours, embedded engine", "ours", ("jwt",), {"disk": True})
PAHO = System("paho-mqtt QoS 1 + mosquitto", "mqtt", ("paho",), lacks=_no_mosquitto)
MOSQUITTO = System("mosquitto", "mqtt", ("paho",), lacks=_no_mosquitto)
WS_SYNC = System("websockets.sync", "ws_sync", ("websockets",))
WS_ASYNCIO = System("websockets.asyncio", "ws_asyncio", ("websockets",))
SOCKETIO = System(
    "python-socketio threading",
    "sio",
    ("socketio", "werkzeug", "simple_websocket", "websocket"),
)
REQUESTS = System("requests + werkzeug", "files_http", ("requests", "werkzeug"))
REQUESTS_SYNCED = System(
    "requests + werkzeug, synced", "files_http", ("requests", "werkzeug"), {"sync": True}
)
S3TRANSFER = System("s3transfer + werkzeug", "files_s3", ("boto3", "requests", "s3transfer", "werkzeug"))
