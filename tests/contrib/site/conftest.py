"""Django, set up once for this process and without a settings module."""

from collections.abc import Iterator

import django
import pytest
from django.conf import settings
from django.core.management import call_command
from django.test.utils import setup_test_environment, teardown_test_environment

from rtmsync.server.config import DEV_APP_ID
from tests.contrib.conftest import KEY, SECRET

MEMORY = {"TRANSPORT": "memory", "LISTENER": "desk"}

if not settings.configured:
    settings.configure(
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        INSTALLED_APPS=["rtmsync.contrib.django", "tests.contrib.site"],
        LOGGING_CONFIG=None,
        ROOT_URLCONF="tests.contrib.site.urls",
        RTM={
            "default": {
                "URL": "ws://127.0.0.1:9",
                "APP_ID": DEV_APP_ID,
                "SERVER_KEY": KEY,
                "SECRET": SECRET,
                "LISTENER": "desk",
            },
            "second": MEMORY,
        },
        SECRET_KEY="for tests",
        USE_TZ=True,
    )
    django.setup()


@pytest.fixture(scope="package", autouse=True)
def tables() -> Iterator[None]:
    """What Django's own test runner does before the first test."""
    setup_test_environment()
    call_command("migrate", run_syncdb=True, verbosity=0)
    yield
    teardown_test_environment()


@pytest.fixture(autouse=True)
def nothing_is_open() -> Iterator[None]:
    """Have no test begin with what another one has opened."""
    from rtmsync.contrib.django import clients

    yield
    clients.reset()
