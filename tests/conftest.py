"""What every test shares: a guard against threads and descriptors that a test leaves behind, Ctrl-C, a closed port."""

import gc
import math
import os
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Generator, Iterator

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ["pytester"]

SETTLE = 20.0
"""Seconds that threads and descriptors get to go away by themselves after a test."""

_monotonic, _sleep = time.monotonic, time.sleep
_failed = pytest.StashKey[bool]()

# A busy machine may take any time for one example: that is no failure.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


def pytest_configure(config: pytest.Config) -> None:
    # A shell starts what runs in the background with Ctrl-C ignored, and so would each program of a test.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        for mark in item.iter_markers("may_leak"):
            reason = mark.kwargs.get("reason")
            if mark.args or not isinstance(reason, str) or not reason.strip():
                raise pytest.UsageError(
                    f"{item.nodeid}: write @pytest.mark.may_leak(reason='...'); an exemption needs its reason"
                )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        item.stash[_failed] = True
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    # The tests run in other processes, of which nothing but their reports is here.
    exempt = {
        report.nodeid: reason
        for reports in terminalreporter.stats.values()
        for report in reports
        if isinstance(report, pytest.TestReport)
        for name, reason in report.user_properties
        if name == "may_leak"
    }
    for nodeid, reason in exempt.items():
        terminalreporter.write_line(f"may leak: {nodeid}: {reason}")


def open_descriptors() -> dict[int, str]:
    """Each open file descriptor and what it refers to; empty where the system does not tell."""
    try:
        names = os.listdir("/proc/self/fd")
    except FileNotFoundError:
        return {}
    found = {}
    for name in names:
        try:
            found[int(name)] = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            continue  # the descriptor that the listing itself used
    return found


def _describe(thread: threading.Thread) -> str:
    frame = sys._current_frames().get(thread.ident or 0)
    where = "".join(traceback.format_stack(frame)) if frame else "  (it has ended meanwhile)\n"
    return f"thread {thread.name!r} is still running:\n{where}"


def leaks(threads: set[threading.Thread], descriptors: dict[int, str]) -> list[str]:
    """What runs or is open now and was not before.

    Args:
        threads: The threads that ran before.
        descriptors: What `open_descriptors` returned before.

    Returns:
        One description for each leaked thread and descriptor.
    """
    running = [_describe(thread) for thread in threading.enumerate() if thread not in threads]
    now_open = open_descriptors().items()
    return running + [
        f"descriptor {number} is still open: {target}"
        for number, target in now_open
        if descriptors.get(number) != target
    ]


@pytest.fixture(autouse=True)
def leave_nothing_behind(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test after which a thread still runs or a descriptor is still open.

    Fixtures of a wider scope are set up before this one, so what they hold does
    not count. A test that has failed already is not judged: its traceback keeps
    its objects alive.
    """
    mark = request.node.get_closest_marker("may_leak")
    if mark is not None:
        request.node.user_properties.append(("may_leak", mark.kwargs["reason"]))
        yield
        return
    threads, descriptors = set(threading.enumerate()), open_descriptors()
    yield
    if request.node.stash.get(_failed, False) or not leaks(threads, descriptors):
        return
    deadline = _monotonic() + SETTLE
    collect = -math.inf
    while found := leaks(threads, descriptors):
        now = _monotonic()
        if now >= collect:
            # Again and again: a thread that ends meanwhile may leave something that only this closes.
            gc.collect()
            collect = now + 1.0
        elif now > deadline:
            pytest.fail(
                f"{SETTLE:g} s after its end, the test has left behind:\n" + "\n".join(found), pytrace=False
            )
        else:
            _sleep(0.01)


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port that refuses connections. It is taken meanwhile, so that nobody else gets it."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield int(taken.getsockname()[1])
