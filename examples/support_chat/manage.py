#!/usr/bin/env python
"""The commands of the support chat: `runserver`, `rtm_serve`, `rtm_listen`, and the rest."""

import os
import sys

from django.core.management import execute_from_command_line

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "support.settings")
    execute_from_command_line(sys.argv)
