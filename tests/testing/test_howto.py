"""The programs and tests of the guide for tests, run as their readers would."""

import sys
from pathlib import Path

import pytest

from tests.docs.pages import DOCS, blocks

ROOT = Path(__file__).resolve().parents[2]
PAGE = DOCS / "howto" / "testing.md"
SETTINGS = """
    SECRET_KEY = "for tests"
    DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
    DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
    INSTALLED_APPS = ["rtmsync.contrib.django"]
    ROOT_URLCONF = "django_shop"
    RTM = {"default": {"URL": "ws://127.0.0.1:9", "APP_ID": "x" * 32, "SERVER_KEY": "k" * 16}}
    USE_TZ = True
"""


def files() -> dict[str, str]:
    """The files of the page, by name: each block of Python begins with its own."""
    found = {}
    for block in blocks(PAGE):
        if block.info.endswith("python"):
            first, _, rest = block.code.partition("\n")
            assert first.startswith("# "), f"{block} does not begin with its file's name"
            found[first[2:].removesuffix(".py")] = rest
    return found


@pytest.fixture
def run(pytester, monkeypatch):
    pytester.makepyfile(**files())
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}:{pytester.path}")
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")

    def run(*arguments: str) -> pytest.RunResult:
        plugin = ("-p", "rtmsync.testing.plugin", "-W", "error")
        return pytester.runpytest_subprocess(*plugin, *arguments, timeout=100)

    return run


def test_the_tests_of_the_page_pass(run):
    pytest.importorskip("flask")
    result = run("--ignore=test_django_shop.py")
    result.assert_outcomes(passed=15)


def test_the_tests_with_django_pass(run, pytester, monkeypatch):
    pytest.importorskip("django")
    pytester.makepyfile(site_settings=SETTINGS)
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "site_settings")
    done = pytester.run(sys.executable, "-m", "django", "test", "--pattern=test_django*.py", timeout=100)
    assert done.ret == 0
    done.stderr.fnmatch_lines(["Ran 1 test*"])
