"""A client in a process of its own that sends one message after the other and tells how long they took.

Commands on standard input, one a line: ``run TO COUNT`` (peer messages), ``publish CHANNEL COUNT`` (channel
messages), both answered by the median; ``tail TO COUNT`` (peer messages), answered by the 99th percentile;
``hold TO`` (one send that stays open). Each is answered by one line.
"""

import statistics
import sys
import time
from collections.abc import Callable

from rtmsync import Client, PeerMessage
from rtmsync.server.config import DEV_APP_ID

TEXT = "x" * 100


def times(send: Callable[[], object], count: int) -> list[float]:
    took = []
    for _ in range(count):
        begun = time.perf_counter()
        send()
        took.append(time.perf_counter() - begun)
    return took


def median(send: Callable[[], object], count: int) -> float:
    return statistics.median(times(send, count))


def tail(send: Callable[[], object], count: int) -> float:
    return sorted(times(send, count))[count * 99 // 100]


def main(url: str, user: str) -> None:
    with Client(url, app_id=DEV_APP_ID, user_id=user, rate_limits=False, proxy=None) as client:
        client.login()
        client.on(PeerMessage, lambda message: None)
        held = []
        print("ready", flush=True)
        for line in sys.stdin:
            command, target, *count = line.split()
            if command == "run":
                print(median(lambda to=target: client.send_peer(to, TEXT), int(count[0])), flush=True)
            elif command == "tail":
                print(tail(lambda to=target: client.send_peer(to, TEXT), int(count[0])), flush=True)
            elif command == "publish":
                channel = client.channel(target)
                if not channel.joined:
                    channel.join()
                print(median(lambda into=channel: into.send(TEXT), int(count[0])), flush=True)
            else:
                held.append(client.send_peer_future(target, TEXT, timeout=60))
                print("held", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
