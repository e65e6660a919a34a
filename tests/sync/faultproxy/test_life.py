"""Start, stop, errors, fork and the log of the fault proxy."""

import os
import random
import select
import socket
import subprocess
import sys
import textwrap
import threading
from itertools import pairwise

import pytest
from freezegun import freeze_time

from rtmcore.limits import MIB, PROXY_READ_BYTES
from rtmsync.testing import (
    CloseFrame,
    Corrupt,
    Cut,
    FaultProxy,
    FaultProxyError,
    RandomCuts,
    Refuse,
    Rule,
    Truncate,
)
from tests.sync.faultproxy.ends import (
    DEADLINE,
    Scene,
    happened,
    noise,
    receive,
    receive_all,
    send_in_background,
)


def test_connections_do_not_disturb_each_other(play):
    scene = play(Rule(Cut("rst"), connection=7, direction="to_server", after_bytes=10))
    pairs = [scene.pair() for _ in range(30)]
    scene.proxy.blackhole(connection=3)
    scene.proxy.throttle(1, connection=4)
    scene.proxy.delay(30, connection=5)
    for number, (client, _) in enumerate(pairs, 1):
        client.sendall(b"message %6d" % number)
    for number, (client, server) in enumerate(pairs, 1):
        if number == 7:
            assert receive_all(server) == (b"message   ", "rst")
        elif number not in (3, 4, 5):
            assert receive(server, 14) == b"message %6d" % number
            server.sendall(b"ok")
            assert receive(client, 2) == b"ok"
    assert scene.proxy.connections == 30
    assert scene.proxy.open_connections == 29


def test_log_tells_the_story_in_order_and_is_bounded(play):
    scene = play(log_limit=5)
    client, server = scene.pair()
    client.sendall(b"secret")
    receive(server, 6)
    scene.proxy.blackhole()
    scene.proxy.heal()
    scene.proxy.cut()
    log = scene.proxy.log
    assert [(entry.connection, entry.what) for entry in log] == [
        (1, "black hole"),
        (None, "healed"),
        (1, "healed"),
        (1, "rule"),
        (1, "cut"),
    ]
    assert all(earlier.time <= later.time for earlier, later in pairwise(log))
    assert (log[-1].to_server, log[-1].to_client) == (6, 0)
    assert "secret" not in str(log)


def test_construction_does_nothing_and_stop_leaves_nothing(upstream):
    threads, descriptors = threading.active_count(), len(os.listdir("/proc/self/fd"))
    proxy = FaultProxy("127.0.0.1", upstream.port)
    assert (threading.active_count(), len(os.listdir("/proc/self/fd"))) == (threads, descriptors)
    with proxy:
        assert threading.active_count() == threads + 1
        scene = Scene(upstream, proxy)
        pairs = [scene.pair() for _ in range(5)]
        scene.connect()
        proxy.blackhole(connection=1)
        pairs[0][0].sendall(b"held")
        assert proxy.url == f"ws://127.0.0.1:{proxy.port}"
        port = proxy.port
    assert threading.active_count() == threads
    for client, server in pairs[1:]:
        assert receive_all(client)[0] == receive_all(server)[0] == b""
    proxy.stop()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), DEADLINE)
    upstream.close()
    assert len(os.listdir("/proc/self/fd")) == descriptors - 1


def test_switches_before_the_start_apply_and_after_the_stop_do_nothing(upstream):
    proxy = FaultProxy("127.0.0.1", upstream.port)
    proxy.refuse()
    proxy.blackhole(seconds=100)
    proxy.add(Rule(Cut("fin"), direction="to_server", after_bytes=1))
    with proxy:
        scene = Scene(upstream, proxy)
        with pytest.raises(ConnectionRefusedError):
            scene.connect()
        proxy.refuse(False)
        client = scene.connect()
        client.sendall(b"abc")
        assert not upstream.has_caller()
        proxy.heal()
        assert receive_all(upstream.accept()) == (b"a", "fin")
    proxy.heal()
    proxy.refuse()
    assert proxy.cut() == 0
    assert proxy.open_connections == 0
    assert proxy.forwarded("to_server") == 1


def test_wrong_use_is_told_apart(upstream):
    proxy = FaultProxy("127.0.0.1", upstream.port)
    with pytest.raises(FaultProxyError, match="has not been started"):
        _ = proxy.url
    with pytest.raises(FaultProxyError, match="has not been started"):
        proxy.wait_for(1)
    with proxy, pytest.raises(FaultProxyError, match="started before"):
        proxy.start()
    with pytest.raises(FaultProxyError, match="started before"):
        proxy.start()
    with pytest.raises(ValueError, match="Refuse is for connections to come"):
        proxy.apply(Refuse())
    for wrong in (
        lambda: proxy.blackhole("sideways"),
        lambda: proxy.blackhole(mode="spill"),
        lambda: proxy.delay(-1),
        lambda: proxy.throttle(0),
        lambda: proxy.cut("bang"),
        lambda: proxy.refuse(how="politely"),
        lambda: FaultProxy("127.0.0.1", 1, buffer_limit=PROXY_READ_BYTES - 1),
        lambda: FaultProxy("127.0.0.1", 1, log_limit=0),
        lambda: Rule(Cut(), after_bytes=1),
        lambda: Rule(Cut(), direction="to_server"),
        lambda: Rule(Cut(), after_bytes=1, direction="both"),
        lambda: Rule(Cut(), after_bytes=1, direction="to_server", after_seconds=1),
        lambda: Rule(Refuse(), after_seconds=1),
        lambda: Rule(Cut(), times=0),
        lambda: RandomCuts(1, between=(5, 4)),
        lambda: CloseFrame(1000, "x" * 124),
        lambda: CloseFrame(70_000),
        lambda: Corrupt(0, mask=0),
        lambda: Truncate(0),
    ):
        with pytest.raises(ValueError):  # noqa: PT011 - each has its own text
            wrong()


def test_wait_for_says_what_it_saw(play):
    scene = play(seed=99)
    scene.pair()
    with pytest.raises(TimeoutError, match=r"seed 99(.|\n)*accepted"):
        scene.proxy.wait_for(2, timeout=0.05)
    scene.proxy.wait_for(lambda proxy: proxy.connections == 1)


def test_error_inside_the_block_is_not_hidden_by_the_proxys_own(upstream):
    proxy = FaultProxy("127.0.0.1", upstream.port, rules=[Rule(CloseFrame(1000))])

    def use() -> None:
        with proxy:
            client, server = Scene(upstream, proxy).pair()
            server.sendall(b"no http")
            receive(client, 7)
            proxy.wait_for(lambda proxy: happened(proxy, "error"))
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        use()


def test_error_of_the_thread_closes_everything_and_is_raised_on_stop():
    out = run_python(
        """
        import resource, socket
        from rtmsync.testing import FaultProxy, FaultProxyError
        listener = socket.create_server(("127.0.0.1", 0))
        proxy = FaultProxy("127.0.0.1", listener.getsockname()[1]).start()
        clients = [socket.socket() for _ in range(2)]
        clients[0].connect(("127.0.0.1", proxy.port))
        proxy.wait_for(lambda proxy: any(entry.what == "connected" for entry in proxy.log))
        highest = max(sock.fileno() for sock in clients) + 3
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        kept = []
        try:
            while True:
                kept.append(open("/dev/null"))
        except OSError:
            clients[1].connect(("127.0.0.1", proxy.port))
        print(clients[0].recv(1))
        proxy.wait_for(lambda proxy: proxy.log[-1].what == "stopped")
        for use in (proxy.heal, proxy.stop, proxy.stop):
            try:
                print(use())
            except (FaultProxyError, OSError) as error:
                print(type(error).__name__, getattr(error, "strerror", ""))
        """
    )
    assert out.splitlines() == ["b''", "FaultProxyError ", "OSError Too many open files", "None"]


def test_frozen_time_does_not_stop_the_proxy(play):
    scene = play()
    with freeze_time("2020-01-01"):
        client, server = scene.pair()
        scene.proxy.delay(0.05)
        client.sendall(b"tick")
        assert receive(server, 4) == b"tick"


def test_switches_from_many_threads(play):
    scene = play()
    client, server = scene.pair()

    def throw() -> None:
        for _ in range(50):
            scene.proxy.blackhole()
            scene.proxy.heal()

    threads = [threading.Thread(target=throw) for _ in range(4)]
    for thread in threads:
        thread.start()
    data = noise(1 * MIB, 6)
    sending = send_in_background(client, data)
    for thread in threads:
        thread.join()
    scene.proxy.heal()
    assert receive(server, len(data)) == data
    sending.join()


def test_whatever_happens_bytes_arrive_in_order_or_not_at_all(play):
    seed = random.SystemRandom().getrandbits(32)
    dice = random.Random(seed)
    scene = play(seed=seed)
    data = noise(60_000, seed)
    pairs = [scene.pair() for _ in range(12)]
    arrived = {sock: bytearray() for pair in pairs for sock in pair}
    senders = [send_in_background(sock, data) for pair in pairs for sock in pair]
    doomed = set()
    for _ in range(120):
        number = dice.randint(1, len(pairs))
        switch = dice.randrange(6)
        if switch == 0:
            scene.proxy.blackhole(dice.choice(["both", "to_server", "to_client"]), connection=number)
        elif switch == 1:
            scene.proxy.heal(dice.choice([None, number]))
        elif switch == 2:
            scene.proxy.delay(dice.random() / 100, dice.random() / 100, connection=number)
        elif switch == 3:
            scene.proxy.throttle(dice.choice([None, 1e5, 1e6]), connection=number)
        elif len(doomed) < 4:
            doomed.add(number)
            scene.proxy.cut(dice.choice(["rst", "fin"]), connection=number)
        read_what_is_there(arrived)
    scene.proxy.heal()
    scene.proxy.throttle(None)
    alive = {sock for number, pair in enumerate(pairs, 1) if number not in doomed for sock in pair}
    scene.proxy.wait_for(
        lambda proxy: read_what_is_there(arrived) or all(len(arrived[sock]) == len(data) for sock in alive),
        timeout=60,
    )
    scene.proxy.stop()
    for sender in senders:
        sender.join()
    assert all(data.startswith(got) for got in arrived.values())
    assert 1 <= len(doomed) <= 4


def read_what_is_there(arrived: dict[socket.socket, bytearray]) -> None:
    for sock in select.select(list(arrived), [], [], 0)[0]:
        try:
            arrived[sock] += sock.recv(1 << 16)
        except ConnectionResetError:
            continue


def run_python(source: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(source)],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_forked_child_keeps_nothing_of_it():
    out = run_python(
        """
        import os, socket, time
        from rtmsync.testing import FaultProxy
        listener = socket.create_server(("127.0.0.1", 0))
        proxy = FaultProxy("127.0.0.1", listener.getsockname()[1]).start()
        client = socket.create_connection(("127.0.0.1", proxy.port), 10)
        server, _ = listener.accept()
        go, ready = os.pipe()
        child = os.fork()
        if child == 0:
            proxy.heal()
            proxy.stop()
            os.read(go, 1)
            os._exit(0 if proxy.open_connections == 0 else 1)
        client.sendall(b"still forwarded")
        print(server.recv(100))
        proxy.cut()
        try:
            client.recv(1)
        except ConnectionResetError:
            print("reset")
        os.write(ready, b"x")
        print(os.waitpid(child, 0)[1])
        proxy.stop()
        """
    )
    assert out.split("\n") == ["b'still forwarded'", "reset", "0", ""]


def test_importing_the_package_loads_nothing_and_exit_needs_no_stop():
    out = run_python(
        """
        import sys
        import rtmsync.testing
        print(sorted(name for name in sys.modules if name.startswith(("rtmsync.testing.", "selectors", "asyncio"))))
        rtmsync.testing.FaultProxy("127.0.0.1", 1).start()
        try:
            rtmsync.testing.NoSuchThing
        except AttributeError as error:
            print(error)
        """
    )
    assert out == "[]\nmodule 'rtmsync.testing' has no attribute 'NoSuchThing'\n"
