"""Four users talk for minutes over links that keep failing: nothing is lost or doubled, and nothing grows.

`make soak MINUTES=60` sets RTM_SOAK_MINUTES. A failure prints the seed; RTM_SOAK_SEED repeats its faults.
"""

import os
import random
import threading
import time
from collections import Counter, deque
from concurrent.futures import Future
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

import rtmsync
from rtmsync.server.config import DEV_APP_ID, ServerConfig
from rtmsync.server.server import Server
from rtmsync.server.tokens import AppKeys
from rtmsync.testing import FaultProxy
from tests.conftest import open_descriptors

USERS = ("ann", "bea", "cem", "dan")
CHANNEL = "soak"
SECONDS = 60 * int(os.environ.get("RTM_SOAK_MINUTES", "1"))
SETTLED = 0.3
"""Part of the time after which memory, threads and descriptors have reached what they are to stay at."""

LONGEST_OUTAGE = 5.0
ARRIVAL = 60.0
"""Seconds in which everything under way arrives once the faults have stopped."""

GROWTH_KIB = 16 * 1024
WINDOW = 16
PAUSE = 0.01


class User:
    """A client that sends numbered messages and checks those that it gets."""

    def __init__(self, name: str, peer: str, client: rtmsync.Client) -> None:
        self.name = name
        self.peer = peer
        self.client = client
        self.channel = client.channel(CHANNEL)
        self.wrong: list[str] = []
        self.peer_sent = self.peer_received = self.channel_sent = self.channel_lost = 0
        self.channel_received: Counter[str] = Counter()
        self._newest: dict[str, int] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._send, name=f"soak-{name}")
        client.on(rtmsync.PeerMessage, self._take_peer)
        client.on(rtmsync.ChannelMessage, self._take_channel)
        client.on(rtmsync.ChannelGap, self._take_gap)
        client.on(
            rtmsync.Lagged, lambda event: self.wrong.append(f"callbacks of {name} were too slow: {event}")
        )
        client.on_error(lambda event: self.wrong.append(f"a callback of {name} failed: {event.error!r}"))
        self.channel.join()

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(2 * ARRIVAL)
        if self._thread.is_alive():
            self.wrong.append(f"the sends of {self.name} do not end")

    def _send(self) -> None:
        waiting: deque[tuple[str, Future[Any]]] = deque()
        while not self._stopping.wait(PAUSE) or waiting:
            if not self._stopping.is_set():
                self.peer_sent += 1
                number = str(self.peer_sent)
                # Several outages may come one after the other.
                peer = self.client.send_peer_future(self.peer, number, offline=True, timeout=ARRIVAL)
                waiting.append((number, peer))
                self.channel_sent += 1
                waiting.append((number, self.channel.send_future(str(self.channel_sent), timeout=ARRIVAL)))
            while len(waiting) > WINDOW or (waiting and self._stopping.is_set()):
                number, future = waiting.popleft()
                try:
                    future.result(2 * ARRIVAL)
                except rtmsync.RtmError as error:
                    self.wrong.append(f"message {number} of {self.name} failed: {error}")

    def _take_peer(self, message: rtmsync.PeerMessage) -> None:
        self.peer_received += 1
        if message.text != str(self.peer_received):
            self.wrong.append(f"{self.name} got peer message {message.text}, not {self.peer_received}")
            self.peer_received = int(message.text)

    def _take_channel(self, message: rtmsync.ChannelMessage) -> None:
        number = int(message.text)
        if number <= self._newest.get(message.sender, 0):
            self.wrong.append(f"{self.name} got {number} of {message.sender} again or out of order")
        self._newest[message.sender] = number
        self.channel_received[message.sender] += 1

    def _take_gap(self, gap: rtmsync.ChannelGap) -> None:
        self.channel_lost += gap.lost


def _break_links(chance: random.Random, proxies: list[FaultProxy], until: float) -> None:
    """One fault after another on one link after another."""
    while time.monotonic() < until:
        proxy = chance.choice(proxies)
        fault = chance.choice(("rst", "rst", "fin", "hold", "drop", "delay"))
        seconds = chance.uniform(0.05, LONGEST_OUTAGE)
        if fault in ("rst", "fin"):
            proxy.cut("rst" if fault == "rst" else "fin")
        elif fault == "delay":
            proxy.delay(chance.choice((0.0, 0.0, 0.02, 0.1)), jitter=0.02)
        else:
            direction = chance.choice(("both", "to_server", "to_client"))
            proxy.blackhole(direction, mode="hold" if fault == "hold" else "drop")
            time.sleep(min(seconds, max(0.0, until - time.monotonic())))
            proxy.heal()
        time.sleep(min(chance.uniform(0.2, 3.0), max(0.0, until - time.monotonic())))
    for proxy in proxies:
        proxy.delay(0.0)
        proxy.heal()


def _rss_kib() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024


def _complete(users: dict[str, User]) -> str:
    """What is still missing; empty when everything has arrived."""
    missing = []
    for user in users.values():
        sent = next(each.peer_sent for each in users.values() if each.peer == user.name)
        if user.peer_received != sent:
            missing.append(f"{user.name} has {user.peer_received} of {sent} peer messages")
        others = sum(each.channel_sent for each in users.values() if each is not user)
        got = sum(user.channel_received.values()) + user.channel_lost
        if got != others:
            missing.append(f"{user.name} has {got} of {others} channel messages, {user.channel_lost} lost")
    return "; ".join(missing)


@pytest.mark.soak
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc")
def test_nothing_is_lost_or_doubled_and_nothing_grows(tmp_path: Path) -> None:
    seed = int(os.environ.get("RTM_SOAK_SEED", random.SystemRandom().getrandbits(32)))
    print(f"seed {seed}")
    chance = random.Random(seed)
    config = ServerConfig(apps=[AppKeys(DEV_APP_ID)], port=0, data_dir=tmp_path, rate_limits=False)
    with ExitStack() as stack:
        server = stack.enter_context(Server(config))
        proxies, users = [], {}
        for number, name in enumerate(USERS):
            proxy = stack.enter_context(FaultProxy("127.0.0.1", server.port, seed=chance.getrandbits(32)))
            client = rtmsync.connect(
                proxy.url, app_id=DEV_APP_ID, user_id=name, rate_limits=False, proxy=None
            )
            stack.enter_context(client)
            proxies.append(proxy)
            users[name] = User(name, USERS[(number + 1) % len(USERS)], client)
        for user in users.values():
            user.start()
        started = time.monotonic()
        _break_links(chance, proxies, started + SETTLED * SECONDS)
        before = _rss_kib(), threading.active_count(), len(open_descriptors())
        _break_links(chance, proxies, started + SECONDS)
        for user in users.values():
            user.stop()
        deadline = time.monotonic() + ARRIVAL
        while (missing := _complete(users)) and time.monotonic() < deadline:
            time.sleep(0.05)
        after = _rss_kib(), threading.active_count() + len(users), len(open_descriptors())
    wrong = [each for user in users.values() for each in user.wrong]
    sent = sum(user.peer_sent + user.channel_sent for user in users.values())
    lost = sum(user.channel_lost for user in users.values())
    connections = sum(proxy.connections for proxy in proxies)
    print(
        f"{sent} messages over {connections} connections, {lost} told as lost; before and after: {before} {after}"
    )
    assert not wrong, f"seed {seed}: {len(wrong)} times: {wrong[:10]}"
    assert not missing, f"seed {seed}: {missing}"
    assert after[0] <= before[0] + GROWTH_KIB, f"seed {seed}: memory grew from {before[0]} to {after[0]} KiB"
    assert after[1] <= before[1] + len(users), f"seed {seed}: {before[1]} threads became {after[1]}"
    assert after[2] <= before[2] + 2 * len(users), f"seed {seed}: {before[2]} descriptors became {after[2]}"
