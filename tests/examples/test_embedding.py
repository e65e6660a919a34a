"""The same conversation over six drivers of the client core: each hears the same events in the same order.

Five of them talk over real sockets, all at once: their lines are cut, and their server is killed and started again.
The sixth is the simulator.
"""

import importlib
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType

import pytest
import trustme

from rtmsync.testing import FaultProxy
from tests.examples.programs import EXAMPLES, SILENCE, Program, all_wait_for, serve
from tests.peers import locate, require
from tests.system.processes import free_port

pytestmark = pytest.mark.timeout(300)  # ten programs run at once

FOLDER = EXAMPLES / "embedding"
PEERS = {"asyncio": None, "gevent": "gevent", "select": None, "trio": "trio", "twisted": "twisted"}
USERS = ("bob", "ann")

EXPECTED = {
    "ann": [
        "state CONNECTING, LOGIN",
        "connection connecting",
        "state CONNECTED, LOGIN_SUCCESS",
        "connection connected",
        "login: done",
        "join: 2 members",
        "#square bob: welcome",
        "publish: done",
        "bob: very well",
        "#square bob: and you?",
        "send_peer: DELIVERED",
        "connection disconnected",  # the cut: the state does not change, since another connection is up in time
        "connection connected",
        "publish: done",
        "#square bob: I saw it",
        "connection disconnected",  # the server is gone
        "state RECONNECTING, INTERRUPTED",
        "state CONNECTED, LOGIN_SUCCESS",
        "connection connected",
        "publish: done",  # of what was said while the server was gone
        "#square bob: I am",
        "publish: done",
        "#square bob left, 1 members",
        "state DISCONNECTED, LOGOUT",
        "close: done",
    ],
    "bob": [
        "state CONNECTING, LOGIN",
        "connection connecting",
        "state CONNECTED, LOGIN_SUCCESS",
        "connection connected",
        "login: done",
        "join: 1 members",
        "#square ann joined, 2 members",
        "publish: done",
        "#square ann: how do you do?",
        "send_peer: DELIVERED",
        "publish: done",
        "ann: fine",
        "connection disconnected",
        "connection connected",
        "#square ann: there was a cut",
        "publish: done",
        "connection disconnected",
        "state RECONNECTING, INTERRUPTED",
        "state CONNECTED, LOGIN_SUCCESS",
        "connection connected",
        "#square ann: is anybody there?",
        "publish: done",
        "#square ann: goodbye",
        "leave: done",
        "state DISCONNECTED, LOGOUT",
        "close: done",
    ],
}


def present() -> list[str]:
    return [name for name, peer in PEERS.items() if peer is None or locate(peer)]


class Apps:
    """One app with a key for each driver, so that ann and bob of one do not meet those of another."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.options: list[str | Path] = []
        for name in PEERS:
            self.key(name).write_text(f"{name:-<40}")
            self.options += ["--app-id", self.id(name), "--secret-file", self.key(name)]

    def id(self, name: str) -> str:
        return f"{name:-<32}"

    def key(self, name: str) -> Path:
        return self.folder / f"{name}.key"

    def program(self, name: str, url: str, user: str, *options: str | Path) -> Program:
        return Program(
            FOLDER / f"with_{name}.py", url, self.id(name), user, "--secret-file", self.key(name), *options
        )


def heard(program: Program) -> list[str]:
    return [line.removeprefix("| ") for line in program.lines if line.startswith("| ")]


@pytest.fixture(scope="module")
def conversations(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], list[str]]:
    """What both users of each driver heard, over a cut and a restart."""
    folder = tmp_path_factory.mktemp("embedding")
    apps = Apps(folder)
    port = free_port()
    options = ["--port", str(port), "--data", folder / "data", *apps.options]
    with ExitStack() as stack:
        server = stack.enter_context(serve(*options))
        proxy = stack.enter_context(FaultProxy("127.0.0.1", port))
        server.wait_for("app_ids")
        programs = {}
        for user in USERS:
            for name in present():
                programs[name, user] = stack.enter_context(apps.program(name, proxy.url, user, "--faults"))
            if user == "bob":
                all_wait_for(programs.values(), "join: 1 members")
        all_wait_for(programs.values(), "? cut the lines")
        proxy.cut()
        all_wait_for(programs.values(), "? stop the server")
        server.kill()
        all_wait_for(programs.values(), "? start the server")
        server = stack.enter_context(serve(*options))
        statuses = {key: program.finish() for key, program in programs.items()}
    for key, program in programs.items():
        assert statuses[key] == 0, f"{key} failed; {program.said()}"
    return {key: heard(program) for key, program in programs.items()}


def without_slow_cut(lines: list[str]) -> list[str]:
    """The same as on a machine that is quick enough to replace a connection before the silence is too long."""
    away, back = "state RECONNECTING, INTERRUPTED", "state CONNECTED, LOGIN_SUCCESS"
    if lines.count(away) < 2:
        return lines
    place = lines.index(away)
    rest = lines[place + 1 :]
    rest.remove(back)
    return lines[:place] + rest


@pytest.mark.slow
@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize("name", PEERS)
def test_every_driver_hears_the_same(
    name: str, user: str, conversations: dict[tuple[str, str], list[str]]
) -> None:
    peer = PEERS[name]
    if peer is not None:
        require(peer)
    assert without_slow_cut(conversations[name, user]) == EXPECTED[user]


@pytest.mark.slow
def test_a_driver_reads_before_it_judges(tmp_path: Path) -> None:
    """A process that stood still for longer than the silence that is allowed finds the server's beats."""
    apps = Apps(tmp_path)
    port = free_port()
    with ExitStack() as stack:
        server = stack.enter_context(serve("--port", str(port), *apps.options))
        server.wait_for("app_ids")
        url = f"ws://127.0.0.1:{port}"
        bobs = {name: stack.enter_context(apps.program(name, url, "bob")) for name in present()}
        all_wait_for(bobs.values(), "join: 1 members")
        for bob in bobs.values():
            bob.process.send_signal(signal.SIGSTOP)
        time.sleep(SILENCE + 1.0)  # the test is about this time
        for bob in bobs.values():
            bob.process.send_signal(signal.SIGCONT)
        anns = {name: stack.enter_context(apps.program(name, url, "ann")) for name in bobs}
        assert {program.finish() for program in (*anns.values(), *bobs.values())} == {0}
    for name, bob in bobs.items():
        changes = [line for line in heard(bob) if line.startswith(("state", "connection"))]
        assert changes == [
            "state CONNECTING, LOGIN",
            "connection connecting",
            "state CONNECTED, LOGIN_SUCCESS",
            "connection connected",
            "state DISCONNECTED, LOGOUT",
        ], name


@pytest.fixture
def simulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(str(FOLDER))
    yield importlib.import_module("simulator")
    for name in ("simulator", "simulated_server", "conversation"):
        del sys.modules[name]


@pytest.mark.parametrize("seed", range(20))
def test_the_simulator_hears_the_same(simulator: ModuleType, seed: int) -> None:
    told: dict[str, list[str]] = {"ann": [], "bob": []}
    simulator.Simulator(seed, lambda now, user, text: told[user].append(text)).run()
    assert told == EXPECTED


def test_a_seed_tells_when_everything_happens(simulator: ModuleType) -> None:
    def run(seed: int) -> list[tuple[float, str, str]]:
        told: list[tuple[float, str, str]] = []
        simulator.Simulator(seed, lambda *line: told.append(line)).run()
        return told

    assert run(7) == run(7) != run(8)


@pytest.mark.parametrize("name", PEERS)
def test_tls(name: str, tmp_path: Path) -> None:
    """Both users talk over TLS; one who does not trust the server is refused by himself, at once."""
    peer = PEERS[name]
    if peer is not None:
        require(peer)
    if name == "twisted":
        require("OpenSSL")
    apps = Apps(tmp_path)
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(tmp_path / "server.pem")
    port = free_port()
    url = f"wss://localhost:{port}"
    trust = ("--ca-file", tmp_path / "ca.pem")
    with ExitStack() as stack:
        server = stack.enter_context(
            serve(
                "--port",
                str(port),
                "--host",
                "localhost",
                "--tls-cert",
                tmp_path / "server.pem",
                *apps.options,
            )
        )
        server.wait_for("app_ids")
        stranger = stack.enter_context(apps.program(name, url, "ann"))
        stranger.wait_for("state DISCONNECTED, LOGIN_FAILURE")
        bob = stack.enter_context(apps.program(name, url, "bob", *trust))
        bob.wait_for("join: 1 members")
        ann = stack.enter_context(apps.program(name, url, "ann", *trust))
        assert (ann.finish(), bob.finish(), stranger.finish()) == (0, 0, 0)
    assert "send_peer: DELIVERED" in heard(ann)
    assert heard(ann)[-1] == heard(bob)[-1] == "close: done"
