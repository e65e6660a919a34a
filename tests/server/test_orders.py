"""Orders to a server that cannot carry them out, or not in time."""

import threading
import time
from collections.abc import Callable

import pytest

from rtmcore.errors import LimitExceeded, RtmError, ServerFailure, WouldDeadlock
from rtmcore.service.commands.results import Refusal, Trouble
from rtmsync.server.config import DEV_APP_ID, ServerConfig
from rtmsync.server.orders import Orders
from rtmsync.server.server import Server
from rtmsync.server.tokens import AppKeys

CONFIG = ServerConfig(apps=[AppKeys(DEV_APP_ID)], port=0)
PATIENCE = 10.0


class ReadyLoop:
    """Calls at once, in the caller's thread."""

    def call(self, function: Callable[[float], None]) -> None:
        function(1000.0)


class RefusingNode:
    """Refuses every ban."""

    def __init__(self, trouble: Trouble) -> None:
        self.refusal = Refusal(trouble, "It cannot be done.")

    def ban(self, app: str, user: str, text: str, now: float, report: Callable[[Refusal], None]) -> None:
        report(self.refusal)


@pytest.mark.parametrize(
    ("trouble", "kind"), [(Trouble.FULL, LimitExceeded), (Trouble.UNAVAILABLE, ServerFailure)]
)
def test_a_refusal_of_the_engine_is_raised(trouble: Trouble, kind: type[RtmError]) -> None:
    orders = Orders(CONFIG)
    orders.open(ReadyLoop(), RefusingNode(trouble))  # type: ignore[arg-type]
    with pytest.raises(kind, match=r"cannot be done.*in ban"):
        orders.ban(DEV_APP_ID, "alice", "", PATIENCE)


def test_the_thread_that_serves_does_not_wait_for_itself() -> None:
    orders = Orders(CONFIG)
    orders.open(ReadyLoop(), RefusingNode(Trouble.FULL))  # type: ignore[arg-type]
    orders.begin()
    with pytest.raises(WouldDeadlock):
        orders.unban(DEV_APP_ID, "alice", PATIENCE)


def test_an_order_waits_for_a_server_that_is_open_but_only_so_long() -> None:
    server = Server(CONFIG)
    server.open()
    with pytest.raises(ServerFailure, match=r"within 0\.05 s"):
        server.ban(DEV_APP_ID, "alice", timeout=0.05)
    server.start()
    server.stop()


def test_who_waits_is_told_when_the_server_stops() -> None:
    server = Server(CONFIG)
    server.open()
    caught: list[RtmError] = []

    def order() -> None:
        try:
            server.ban(DEV_APP_ID, "alice", timeout=60)
        except RtmError as error:
            caught.append(error)

    thread = threading.Thread(target=order)
    thread.start()
    until = time.monotonic() + PATIENCE
    while not server._orders._waiting and time.monotonic() < until:
        time.sleep(0.001)
    server.stop()
    server.run()
    thread.join(PATIENCE)
    assert [type(error) for error in caught] == [ServerFailure]
    assert "stopped" in str(caught[0])
