"""What a publish and a peer send cost in the memory engine, in microseconds.

Run with `python -m tests.benchmarks.micro_engine`; the numbers are the medians of several rounds, without a node,
a codec or a socket.
"""

import statistics
import time
from collections.abc import Callable

from rtmcore.service.commands.channels import JoinChannel, ReadChannel, Watch
from rtmcore.service.commands.inboxes import Acknowledge
from rtmcore.service.commands.messages import PeerSend, PublishMessage
from rtmcore.service.commands.names import Name, Place, Session
from rtmcore.service.commands.sessions import Claim
from rtmcore.service.memory import MemoryEngine, MemoryPort
from rtmcore.service.memory.journal import Image

APP = "a" * 32
ROUNDS = 7
COUNT = 20_000
BODY = b"x" * 100


def log_in(port: MemoryPort, user: str, connection: int) -> Session:
    name, place = Name(APP, "rtm", user), Place(port.node, connection)
    iid = f"{user}-iid-0123456789"
    port.submit(Claim(name, place, iid, 1, True, None, None, "secret", 30.0, None, 0, True), 0.0, 1)
    fence = drain(port)[-1].value.fence
    return Session(name, fence, place)


def drain(port: MemoryPort) -> list:
    outputs = []
    while (output := port.next_output()) is not None:
        outputs.append(output)
    return outputs


def engine(journal: bool) -> MemoryEngine:
    made = MemoryEngine("epoch", image=Image() if journal else None, wall=1)
    if journal and (batch := made.next_batch(0.0)) is not None:
        made.committed(batch.number, 0.0)
    return made


def publishing(journal: bool) -> Callable[[], float]:
    port = engine(journal).port("n")
    a, b = log_in(port, "a", 1), log_in(port, "b", 2)
    port.submit(Watch(APP, "c"), 0.0, 1)
    for session in (a, b):
        port.submit(JoinChannel(session, 0, 0, "c", True), 0.0, 1)
    state = {"i": 0}

    def run() -> float:
        commands = [
            PublishMessage(a, "a-iid-0123456789", i, max(0, i - 64), "c", 1, BODY)
            for i in range(state["i"] + 1, state["i"] + COUNT + 1)
        ]
        state["i"] += COUNT
        drain(port)
        submit, take = port.submit, port.next_output
        begun = time.perf_counter()
        for command in commands:
            submit(command, 1.0, 1)
            take()
            take()
        return (time.perf_counter() - begun) / COUNT

    return run


def sending(journal: bool, offline: bool) -> Callable[[], float]:
    port = engine(journal).port("n")
    a, b = log_in(port, "a", 1), log_in(port, "b", 2)
    state = {"i": 0, "now": 0.0}

    def run() -> float:
        first = state["i"] + 1
        commands = [
            PeerSend(a, "a-iid-0123456789", i, max(0, i - 64), "b", 1, BODY, offline, 10.0)
            for i in range(first, first + COUNT)
        ]
        state["i"] += COUNT
        drain(port)
        submit, take = port.submit, port.next_output
        now = state["now"]
        begun = time.perf_counter()
        for command in commands:
            now += 0.0001
            submit(command, now, 1)
            submit(Acknowledge(b, take().entry.id), now, 1)
            take()
        spent = time.perf_counter() - begun
        state["now"] = now
        return spent / COUNT

    return run


def reading() -> Callable[[], float]:
    port = engine(False).port("n")
    a, b = log_in(port, "a", 1), log_in(port, "b", 2)
    for session in (a, b):
        port.submit(JoinChannel(session, 0, 0, "c", True), 0.0, 1)
    for i in range(200_000):
        port.submit(PublishMessage(a, "a-iid-0123456789", i, i, "c", 1, BODY), 1.0, 1)
    drain(port)

    def run() -> float:
        begun = time.perf_counter()
        for i in range(1000):
            port.submit(ReadChannel(b, "c", i), 1.0, 1)
            drain(port)
        return (time.perf_counter() - begun) / 1000

    return run


def main() -> None:
    cases = {
        "publish": publishing(False),
        "publish, journal": publishing(True),
        "peer send and acknowledgement": sending(False, False),
        "the same, may be stored": sending(False, True),
        "the same, may be stored, journal": sending(True, True),
        "read a channel 200,000 entries behind": reading(),
    }
    spent: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(ROUNDS):
        for name, run in cases.items():
            spent[name].append(run())
    for name, times in spent.items():
        print(f"{name:40} {statistics.median(times) * 1e6:7.2f} us")


if __name__ == "__main__":
    main()
