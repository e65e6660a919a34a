"""What happens to a test whose peer is not here."""

import sys

import pytest

from tests.peers import locate, require

TEST = """
    from tests.peers import require

    def test_with_a_peer():
        require({name!r})
"""


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("no_such_module", "no_such_module is not installed here (make peers installs it)"),
        ("no_such_package.module", "no_such_package.module is not installed here (make peers installs it)"),
        ("uwsgi", "uwsgi is not installed here (make peers installs it)"),
        ("chromium", "chromium is not installed here (on Debian: apt-get install chromium)"),
    ],
)
def test_a_missing_peer_skips_the_test_or_fails_it(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, name: str, sentence: str
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    monkeypatch.delenv("RTM_REQUIRE_PEERS", raising=False)
    pytester.makepyfile(TEST.format(name=name))
    result = pytester.runpytest_inprocess("-rs", "-p", "no:cacheprovider")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines([f"*{sentence}"])
    monkeypatch.setenv("RTM_REQUIRE_PEERS", "1")
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([f"{sentence}, and RTM_REQUIRE_PEERS says that it must be"])


def test_a_peer_that_is_here_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RTM_REQUIRE_PEERS", "1")
    assert require("pytest") == locate("pytest") == pytest.__file__
