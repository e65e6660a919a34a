"""The guard in conftest.py finds what it is there for. Runs pytest on small suites of its own."""

from pathlib import Path

import pytest

CONFTEST = Path(__file__).with_name("conftest.py").read_text(encoding="utf-8")


@pytest.fixture
def suite(pytester: pytest.Pytester) -> pytest.Pytester:
    """An empty suite under the guard, with the wait before a verdict cut short."""
    assert "SETTLE = 20.0" in CONFTEST
    pytester.makeconftest(CONFTEST.replace("SETTLE = 20.0", "SETTLE = 0.2"))
    pytester.makeini("[pytest]\nmarkers =\n    may_leak(reason): exempt\n")
    return pytester


def test_a_leaked_thread_is_an_error_that_shows_where_it_runs(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        """
        import threading
        release = threading.Event()
        def wait_for_ever(): release.wait(60)
        def test_leak(): threading.Thread(target=wait_for_ever, name="stray", daemon=True).start()
        """
    )
    result = suite.runpytest_subprocess()
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*thread 'stray' is still running:", "*in wait_for_ever*"])


def test_a_leaked_descriptor_is_an_error_that_names_it(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        """
        import os
        def test_leak(): os.open("/dev/null", os.O_RDONLY)
        """
    )
    result = suite.runpytest_subprocess()
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*descriptor * is still open: /dev/null"])


def test_what_goes_away_by_itself_or_belongs_to_a_wider_fixture_is_no_leak(suite: pytest.Pytester) -> None:
    suite.makeconftest(CONFTEST)  # with all the time that there is to go away
    suite.makepyfile(
        """
        import os, threading, pytest

        @pytest.fixture(scope="module")
        def shared():
            number = os.open("/dev/null", os.O_RDONLY)
            yield number
            os.close(number)

        def test_slow_end(shared):
            threading.Timer(0.05, lambda: None).start()
        """
    )
    suite.runpytest_subprocess().assert_outcomes(passed=1)


def test_a_failed_test_is_not_blamed_twice(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        """
        import socket
        def test_fails():
            held = socket.socket()
            assert held is None
            held.close()
        """
    )
    suite.runpytest_subprocess().assert_outcomes(failed=1)


@pytest.mark.parametrize("processes", [0, 2])
def test_an_exemption_is_shown_with_its_reason(suite: pytest.Pytester, processes: int) -> None:
    suite.makepyfile(
        """
        import os, pytest
        @pytest.mark.may_leak(reason="the descriptor is the point")
        def test_leak(): os.open("/dev/null", os.O_RDONLY)
        """
    )
    result = suite.runpytest_subprocess("--numprocesses", str(processes))
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["may leak: *::test_leak: the descriptor is the point"])


@pytest.mark.parametrize("arguments", ["", "reason=''", "'why'"])
def test_an_exemption_without_a_reason_is_refused(suite: pytest.Pytester, arguments: str) -> None:
    suite.makepyfile(f"import pytest\n@pytest.mark.may_leak({arguments})\ndef test_leak(): pass\n")
    result = suite.runpytest_subprocess()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*an exemption needs its reason*"])
