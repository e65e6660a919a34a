"""How a server in the foreground ends: by signals."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from rtmsync.server.server import Server

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def ended_by_signals(server: "Server") -> Iterator[None]:
    """Let the first SIGTERM or SIGINT drain the server, and the second one stop it, during a block.

    Where one has come, the block's end leaves both without effect: the process is about to end with a status of its
    own, and a signal that came too late would replace it.
    """
    draining = False

    def end(number: int, frame: FrameType | None) -> None:
        nonlocal draining
        if draining:
            server.stop()
            return
        draining = True
        server.drain()

    before = {number: signal.signal(number, end) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_IGN if draining else handler)
