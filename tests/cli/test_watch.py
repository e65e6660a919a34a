"""`rtm watch` against a real server."""

import re
import signal
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

import rtmsync
from rtmsync.exits import ExitCode
from rtmsync.server.config import DEV_APP_ID, ServerConfig
from rtmsync.server.server import Server
from rtmsync.server.tokens import AppKeys
from rtmsync.testing import FaultProxy
from tests.cli.conftest import Rtm
from tests.cli.ends import running
from tests.system.processes import free_port


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server(ServerConfig(apps=[AppKeys(DEV_APP_ID)], port=0)) as server:
        yield server


def test_it_ends_after_its_time_with_the_table(rtm: Rtm, server: Server) -> None:
    outcome = rtm("watch", "--url", server.url, "--user", "ann", "--for", "0.3")
    assert outcome.status == 0
    assert "ann is CONNECTED" in outcome.err
    assert re.search(r"CONNECTING +LOGIN 1 +\+0.00 s", outcome.out)
    assert re.search(r"CONNECTED +LOGIN_SUCCESS 2 .* so far", outcome.out)


def test_the_picture_is_written(rtm: Rtm, server: Server, tmp_path: Path) -> None:
    picture = tmp_path / "ann.svg"
    outcome = rtm("watch", "--url", server.url, "--user", "pia", "--for", "0.3", "--svg", str(picture))
    assert outcome.status == 0
    shown = "".join(ET.fromstring(picture.read_text(encoding="utf-8")).itertext())
    assert "LOGIN_SUCCESS 2" in shown


def test_a_picture_that_cannot_be_written_is_refused_at_once(rtm: Rtm, server: Server) -> None:
    outcome = rtm("watch", "--url", server.url, "--user", "pia", "--svg", "/nowhere/at/all.svg")
    assert outcome.status == ExitCode.USAGE
    assert "no folder /nowhere/at" in outcome.err


def test_lines_of_json_tell_events_and_the_timeline(server: Server) -> None:
    arguments = ("--sees", "nobody", "--sees", "joe", "--json", "ops")
    states: dict[str, str] = {}
    with running("watch", "--url", server.url, "--user", "joe", *arguments) as watch:
        while len(states) < 2:
            row = watch.row()
            if row["event"] == "PresenceChanged":
                states |= row["states"]
        watch.signal(signal.SIGINT)
        while (timeline := watch.row())["event"] != "Timeline":
            continue
        assert watch.wait() == ExitCode.INTERRUPTED
    assert states == {"nobody": "OFFLINE", "joe": "ONLINE"}
    own = [span for span in timeline["spans"] if span["subject"] == "connection"]
    assert [(span["state"], span["reason"]) for span in own] == [
        ("CONNECTING", "LOGIN 1"),
        ("CONNECTED", "LOGIN_SUCCESS 2"),
    ]
    assert own[0]["ended"] is True
    assert abs(own[0]["began"] - time.time()) < 60


def test_an_outage_is_told_while_it_lasts_and_in_the_table(server: Server) -> None:
    with (
        FaultProxy("127.0.0.1", server.port) as proxy,
        running("watch", "--url", proxy.url, "--user", "eve", "ops") as watch,
    ):
        watch.notes("eve is CONNECTED")
        proxy.blackhole()
        watch.notes("RECONNECTING INTERRUPTED")
        proxy.heal()
        watch.notes("CONNECTED LOGIN_SUCCESS")
        watch.signal(signal.SIGINT)
        watch.says("RECONNECTING")
        assert watch.wait() == ExitCode.INTERRUPTED


def test_a_session_that_was_ended_is_an_error(server: Server) -> None:
    with running("watch", "--url", server.url, "--user", "max") as watch:
        watch.notes("max is CONNECTED")
        with rtmsync.connect(server.url, app_id=DEV_APP_ID, user_id="max", proxy=None):
            watch.says("ABORTED")
            watch.notes("REMOTE_LOGIN")
            assert watch.wait() not in (ExitCode.OK, ExitCode.INTERRUPTED)


def test_what_a_restart_with_lower_limits_leaves_out_is_told() -> None:
    config = ServerConfig(apps=[AppKeys(DEV_APP_ID)], port=free_port(), drain_seconds=0.0)
    with Server(config) as server:
        users = ("--sees", "ben", "--sees", "cem")
        with running("watch", "--url", server.url, "--user", "ida", *users) as watch:
            watch.notes("cem is OFFLINE")
            server.stop()
            with Server(attrs.evolve(config, limits={"subscriptions": 1})):
                watch.notes("not restored: The server allows 1 subscriptions now")
                watch.signal(signal.SIGINT)
                assert watch.wait() == ExitCode.INTERRUPTED
