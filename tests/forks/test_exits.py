"""How programs end: by themselves, by signals and by callbacks. Each within seconds, with the status that is usual."""

import signal

import pytest

from rtmsync.server.server import Server
from rtmsync.testing import FaultProxy
from tests.forks.conftest import Watcher
from tests.forks.programs import ENDS_WITHIN, GONE_WITHIN, Program, alone_again, python

PRELUDE = """
import os, signal, sys, threading, time
import rtmsync
from rtmsync import ConnectionState
from rtmsync.server.config import DEV_APP_ID
client = rtmsync.Client(
    os.environ["SHOP_URL"], app_id=DEV_APP_ID, user_id=f"exit-{os.getpid()}", rate_limits=False, proxy=None
)
channel = client.channel(os.environ["SHOP_CHANNEL"])
def ready():
    os.write(1, b"ready\\n")  # a thread that is in print() when the interpreter ends would be a fatal error
def ready_with_a_handler():
    while signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        time.sleep(0.01)
    ready()
def join():
    client.login()
    channel.join()
    print("joined", flush=True)
"""

ENDS = {
    "the end": ("join(); ready()", None, 0),
    "an exception": ("join(); ready(); raise ValueError", None, 1),
    "sys.exit": ("join(); ready(); sys.exit(3)", None, 3),
    "sys.exit in a callback, while it waits for the end": (
        "join()\nclient.on(rtmsync.PeerMessage, lambda message: sys.exit(4))\nready()\n"
        "client.send_peer_future(client.user_id, 'x')\nclient.run_forever()",
        None,
        4,
    ),
    "sys.exit in a callback, during a call": (
        "join()\nclient.on(rtmsync.PeerMessage, lambda message: sys.exit(5))\nready()\n"
        "client.send_peer_future(client.user_id, 'x')\nclient.events(rtmsync.PresenceChanged).get(timeout=60)",
        None,
        5,
    ),
    "Ctrl-C while connecting": ("ready(); client.login(60)", signal.SIGINT, -signal.SIGINT),
    "Ctrl-C while reconnecting": (
        "join(); client.wait_until(ConnectionState.RECONNECTING, 60); ready()\nchannel.send('x', timeout=60)",
        signal.SIGINT,
        -signal.SIGINT,
    ),
    "Ctrl-C while uploading": (
        "join()\n"
        "transfer = client.upload_file(bytes(30_000_000), on_progress=lambda progress: progress.done and ready())\n"
        "transfer.result()",
        signal.SIGINT,
        -signal.SIGINT,
    ),
    "Ctrl-C while it waits for the end": (
        "join(); ready(); client.run_forever()",
        signal.SIGINT,
        -signal.SIGINT,
    ),
    "SIGTERM": ("join(); ready(); client.run_forever()", signal.SIGTERM, -signal.SIGTERM),
    "SIGTERM to run_forever": (
        "join(); threading.Thread(target=ready_with_a_handler, daemon=True).start()\n"
        "client.run_forever(install_signal_handlers=True)",
        signal.SIGTERM,
        0,
    ),
    "SIGTERM with sys.exit": (
        "join(); signal.signal(signal.SIGTERM, lambda *_: sys.exit(6)); ready(); client.run_forever()",
        signal.SIGTERM,
        6,
    ),
    "SIGTERM with sys.exit, while reconnecting": (
        "join(); client.wait_until(ConnectionState.RECONNECTING, 60)\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(7)); ready(); client.run_forever()",
        signal.SIGTERM,
        7,
    ),
}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("way", ENDS)
def test_a_program_ends(server: Server, watcher: Watcher, way: str) -> None:
    code, number, expected = ENDS[way]
    with FaultProxy("127.0.0.1", server.port) as proxy:
        if "uploading" in way:
            proxy.throttle(1_000_000)
        if way.endswith(" connecting"):
            proxy.blackhole()
        environment = {**watcher.environment, "SHOP_URL": proxy.url}
        with Program(python("-c", PRELUDE + code), **environment) as program:
            if "reconnecting" in way:
                program.wait_for("joined")
                proxy.blackhole()
            program.wait_for("ready", may_have_ended=True)
            status, seconds = program.wait() if number is None else program.stop(number)
        print(f"{way}: status {status} after {seconds:.2f} s")
        assert status == expected, program.output
        assert seconds < ENDS_WITHIN
        assert "Fatal" not in program.output
        assert "Exception ignored" not in program.output
        if way != "SIGTERM" and "connecting" not in way:
            # There was a goodbye, which the proxy may not have carried to the server yet.
            assert alone_again(watcher.channel) < GONE_WITHIN
