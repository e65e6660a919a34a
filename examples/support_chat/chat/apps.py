"""The application."""

from django.apps import AppConfig


class ChatConfig(AppConfig):
    """`chat` in INSTALLED_APPS."""

    name = "chat"
