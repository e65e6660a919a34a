"""The pytest plugin, as its users' test runs see it."""

import json
import os
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PLUGIN = "rtmsync.testing.plugin"
HEAVY = (
    "PIL asyncio attr attrs cattr cattrs django flask h11 jwt msgspec rich rtmcore rtmsync.client rtmsync.driver "
    "rtmsync.publisher rtmsync.server rtmsync.testing.faultproxy rtmsync.testing.memory rtmsync.testing.running "
    "socketserver sqlite3 ssl wsproto"
).split()


@pytest.fixture
def run(pytester, monkeypatch):
    """Runs tests of a user, with nothing but this plugin."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)

    def run(source: str, *arguments: str) -> pytest.RunResult:
        pytester.makepyfile(source)
        strict = ("--strict-markers", "--strict-config", "-W", "error")
        return pytester.runpytest_subprocess("-p", PLUGIN, *strict, *arguments, timeout=100)

    return run


def test_loading_it_loads_nothing_else():
    code = (
        "import json, sys, pytest, logging, typing, collections.abc\n"
        "before = set(sys.modules)\n"
        f"import {PLUGIN}\n"
        "print(json.dumps(sorted(set(sys.modules) - before)))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    assert json.loads(run.stdout) == ["rtmsync", "rtmsync.testing", PLUGIN]


def test_a_test_run_that_does_not_use_it_loads_nothing_either(run):
    result = run(
        f"""
        import sys

        def test_nothing_heavy_is_loaded():
            assert [name for name in {HEAVY!r} if name in sys.modules] == []
        """
    )
    result.assert_outcomes(passed=1)


def test_the_distribution_says_that_it_is_there():
    config = (ROOT / "setup.cfg").read_text(encoding="utf-8")
    assert f"pytest11 =\n    rtmsync = {PLUGIN}\n" in config
    for found in entry_points(group="pytest11", name="rtmsync"):
        assert found.value == PLUGIN


def test_what_is_installed_is_not_compiled_anew(pytester, monkeypatch):
    installed = pytester.mkdir("rtmsync-0.dist-info")
    files = {
        "METADATA": "Metadata-Version: 2.1\nName: rtmsync\nVersion: 0\n",
        "RECORD": "rtmcore/__init__.py,,\nrtmsync/__init__.py,,\nrtmsync/client.py,,\n",
        "entry_points.txt": f"[pytest11]\nrtmsync = {PLUGIN}\n",
    }
    for name, text in files.items():
        (installed / name).write_text(text, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(pytester.path), str(ROOT))))
    pytester.makepyfile(
        """
        import pytest
        import rtmsync.client

        def test_it(rtm_clock, pytestconfig):
            assert pytestconfig.pluginmanager.get_plugin("rtmsync") is not None
            assert "Rewrit" not in type(rtmsync.client.__loader__).__name__
        """
    )
    pytester.runpytest_subprocess(timeout=100).assert_outcomes(passed=1)


def test_the_fixtures_are_listed_with_what_they_are(run):
    result = run("", "--fixtures", "-v")
    for name in ("rtm_server", "rtm_client_factory", "rtm_faults", "rtm_clock", "rtm_memory"):
        result.stdout.fnmatch_lines([f"{name} *"])
    run("", "--markers").stdout.fnmatch_lines(["@pytest.mark.rtm_server(**settings):*"])


def test_a_server_and_its_clients(run):
    result = run(
        """
        import threading
        import pytest
        import rtmsync

        def test_conversation(rtm_server, rtm_client_factory):
            alice, bob = rtm_client_factory("alice"), rtm_client_factory("bob")
            inbox = bob.events(rtmsync.PeerMessage)
            assert alice.send_peer("bob", "hello").status is rtmsync.SendStatus.DELIVERED
            assert inbox.get(timeout=30).text == "hello"
            publisher = rtm_server.publisher()
            publisher.send_peer("bob", "from the shop", sender="shop")
            assert inbox.get(timeout=30).text == "from the shop"
            assert rtm_server.url == f"ws://127.0.0.1:{rtm_server.port}"
            assert len(rtm_server.app_id) == 32
            assert rtm_server.secret not in repr(rtm_server)

        def test_everything_is_gone_afterwards():
            for each in threading.enumerate():
                if each.name.startswith("rtm"):
                    each.join(30)  # one that has brought a token, or said goodbye, may still be about to end
                    assert not each.is_alive(), each.name

        def test_tokens(rtm_server, rtm_client_factory):
            client = rtmsync.Client(
                rtm_server.url, app_id=rtm_server.app_id, user_id="alice", token=rtm_server.token_for("alice")
            )
            with client:
                client.login()
            for token in (rtm_server.token_for("bob"), "nonsense"):
                with pytest.raises(rtmsync.InvalidToken):
                    rtm_client_factory("alice", token=token)
            with pytest.raises(rtmsync.TokenExpired):
                rtm_client_factory("alice", token=rtm_server.expired_token_for("alice"))
            assert rtm_client_factory("carol", login=False).state is rtmsync.ConnectionState.DISCONNECTED
            nothing = rtm_server.token_for("dave", scopes={"login": False})
            with pytest.raises(rtmsync.NotAuthorized):
                rtm_client_factory("dave", token=nothing)

        def test_users_are_made_up(rtm_client_factory):
            assert rtm_client_factory().user_id != rtm_client_factory().user_id

        @pytest.mark.rtm_server(rate_limits=True)
        def test_settings(rtm_server, rtm_client_factory):
            client = rtm_client_factory("alice")
            with pytest.raises(rtmsync.RateLimited):
                for _ in range(500):
                    client.set_attributes({"a": "b"})
        """
    )
    result.assert_outcomes(passed=5)


def test_faults(run):
    result = run(
        """
        import pytest
        import rtmsync
        from rtmsync import ConnectionState

        @pytest.fixture
        def client(rtm_client_factory):
            return rtm_client_factory("alice")

        def test_cut(rtm_faults, client):
            assert rtm_faults.cut() == 1
            rtm_faults.proxy.wait_for(2, timeout=30)
            client.set_attributes({"a": "b"}, timeout=30)
            assert client.state is ConnectionState.CONNECTED

        def test_delay(rtm_faults, client):
            rtm_faults.delay(0.3)
            with pytest.raises(rtmsync.RequestTimeout):
                client.get_attributes("alice", timeout=0.1)
            rtm_faults.delay(0)
            client.get_attributes("alice", timeout=30)

        def test_refuse(rtm_faults, rtm_client_factory):
            rtm_faults.refuse()
            client = rtm_client_factory("bob", login=False)
            with pytest.raises(rtmsync.RequestTimeout):
                client.login(timeout=0.5)
            rtm_faults.refuse(False)
            client.login(timeout=30)

        def test_kick(rtm_faults, client):
            assert rtm_faults.kick("alice", "enough") is True
            client.wait_until(ConnectionState.ABORTED, timeout=30)
            assert rtm_faults.kick("nobody") is False

        def test_expire_token(rtm_faults, client):
            events = client.events(rtmsync.TokenHasExpired)
            rtm_faults.expire_token(client)
            events.get(timeout=30)
            assert client.state is ConnectionState.CONNECTED

        @pytest.mark.rtm_server(token_policy="abort")
        def test_expire_token_and_abort(rtm_faults, client):
            rtm_faults.expire_token(client)
            client.wait_until(ConnectionState.ABORTED, timeout=30)
            with pytest.raises(rtmsync.StateError):
                rtm_faults.expire_token(client)

        def test_restart(rtm_server, rtm_faults, client, rtm_client_factory):
            url, port = rtm_faults.url, rtm_server.port
            bob = rtm_client_factory("bob")
            bob.send_peer("carol", "kept", offline=True)
            rtm_faults.restart(down=0.1)
            assert (rtm_faults.url, rtm_server.port) == (url, port)
            client.set_attributes({"a": "b"}, timeout=30)
            carol = rtm_client_factory("carol")
            assert carol.events(rtmsync.PeerMessage).get(timeout=30).text == "kept"
            rtm_server.stop()
            with pytest.raises(rtmsync.StateError):
                rtm_server.server
        """,
        "-v",
    )
    result.assert_outcomes(passed=7)


@pytest.mark.slow
def test_black_holes(run):
    result = run(
        """
        import rtmsync
        from rtmsync import ConnectionState, StateChanged

        def test_black_hole(rtm_faults, rtm_client_factory):
            client = rtm_client_factory("alice")
            states = client.events(StateChanged)
            rtm_faults.black_hole()
            assert states.get(timeout=30).state is ConnectionState.RECONNECTING
            rtm_faults.heal()
            assert states.get(timeout=30).state is ConnectionState.CONNECTED

        def test_a_black_hole_does_not_hold_up_the_end(rtm_faults, rtm_client_factory):
            rtm_client_factory("alice")
            rtm_faults.black_hole(mode="drop")
        """
    )
    result.assert_outcomes(passed=2)


def test_the_system_in_memory(run):
    result = run(
        """
        import threading
        import rtmsync

        def test_it(rtm_memory, rtm_clock):
            alice = rtm_memory.connect("alice")
            alice.subscribe_presence(["bob"])
            seen = []
            alice.on(rtmsync.PresenceChanged, lambda event: seen.append(event.states["bob"]))
            rtm_memory.connect("bob")
            rtm_memory.black_hole("bob")
            rtm_clock.advance(31)
            assert [state.name for state in seen] == ["ONLINE", "UNREACHABLE", "OFFLINE"]
            assert threading.active_count() == 1
        """
    )
    result.assert_outcomes(passed=1)
