"""The Django application: it registers checks and receivers, and connects to nothing."""

from typing import Any

from django.apps import AppConfig
from django.core import checks
from django.core.signals import setting_changed

from rtmsync.contrib.django.checks import DEPLOYMENT_CHECKS, SETTINGS_CHECKS, TAG
from rtmsync.contrib.django.clients import clients


class RtmConfig(AppConfig):
    """`rtmsync.contrib.django` in INSTALLED_APPS."""

    name = "rtmsync.contrib.django"
    label = "rtmsync"
    verbose_name = "Real-time messaging"

    def ready(self) -> None:
        """Register what Django calls later.

        This runs in every process that loads the settings: in `check` and `migrate`, in both processes of `runserver`,
        in each worker of a web server. So it opens nothing.
        """
        for check in SETTINGS_CHECKS:
            checks.register(check, TAG)
        for check in DEPLOYMENT_CHECKS:
            checks.register(check, TAG, deploy=True)
        setting_changed.connect(_forget, dispatch_uid="rtmsync")


def _forget(*, setting: str, **_: Any) -> None:
    """Have `override_settings` in force at once."""
    if setting == "RTM":
        clients.reset()
