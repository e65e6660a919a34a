"""What one WebSocket frame costs here and in stock wsproto, interleaved in one run.

Run it with ``python -m tests.benchmarks.micro_framing``. It prints microseconds for orientation and ratios to
go by; nothing here passes or fails.
"""

import os
import time
from collections.abc import Callable
from statistics import median

from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage

from rtmcore.wire.framing import Framing

ROUNDS = 9
SECONDS_PER_ROUND = 0.05
SIZES = (16, 100, 1024, 32 * 1024)


def seconds_per_call(call: Callable[[], object]) -> float:
    """One round: as many calls as fit, after two that warm up."""
    call()
    call()
    calls, start = 0, time.perf_counter()
    deadline = start + SECONDS_PER_ROUND
    while True:
        for _ in range(16):
            call()
        calls += 16
        now = time.perf_counter()
        if now >= deadline:
            return (now - start) / calls


def compare(name: str, ours: Callable[[], object], stock: Callable[[], object], messages: int) -> None:
    """Measure two ways of doing the same, in turn, and print medians and their ratio."""
    rounds = [(seconds_per_call(ours), seconds_per_call(stock)) for _ in range(ROUNDS)]
    own, other = (median(column) / messages * 1e6 for column in zip(*rounds, strict=True))
    ratio = median(stock_time / own_time for own_time, stock_time in rounds)
    print(f"{name:<34} {own:8.2f} us {other:8.2f} us   x{ratio:.1f}")


def receiver(framing: Framing, data: bytes) -> Callable[[], object]:
    return lambda: framing.receive(data)


def stock_receiver(connection: Connection, data: bytes) -> Callable[[], object]:
    def receive() -> list[object]:
        connection.receive_data(data)
        return [event.data for event in connection.events() if isinstance(event, BytesMessage)]

    return receive


def sender(framing: Framing, payload: bytes) -> Callable[[], object]:
    return lambda: framing.frame(payload)


def stock_sender(connection: Connection, payload: bytes) -> Callable[[], object]:
    return lambda: connection.send(BytesMessage(data=payload))


def main() -> None:
    client = Framing(client=True, text=False, mask_key=lambda: os.urandom(4))
    server = Framing(client=False, text=False)
    stock_client, stock_server = Connection(ConnectionType.CLIENT), Connection(ConnectionType.SERVER)
    print(f"{'':<34} {'ours':>11} {'wsproto':>11}   ratio")
    for size in SIZES:
        payload = os.urandom(size)
        masked, plain = client.frame(payload), server.frame(payload)
        for count in (1, 16):
            what = f"{size} B, {count} a read"
            compare(
                f"server receives {what}",
                receiver(server, masked * count),
                stock_receiver(stock_server, masked * count),
                count,
            )
            compare(
                f"client receives {what}",
                receiver(client, plain * count),
                stock_receiver(stock_client, plain * count),
                count,
            )
        compare(f"client sends {size} B", sender(client, payload), stock_sender(stock_client, payload), 1)
        compare(f"server sends {size} B", sender(server, payload), stock_sender(stock_server, payload), 1)


if __name__ == "__main__":
    main()
