"""`flask --app order_status init`."""

import secrets
from pathlib import Path

import click
from flask import Flask, current_app

from order_status import orders

SETTINGS = """\
# These are secrets. Restart all three programs after a change.
SECRET_KEY = {secret_key!r}
DESK_PASSWORD = {password!r}
RTM_SERVER_KEY = {server_key!r}
RTM_SECRET = {app_key!r}
"""

ADVICE = """\
Start these, each in a terminal of its own:

  flask --app order_status rtm serve
  flask --app order_status rtm listen
  flask --app order_status run

Then open http://127.0.0.1:5000/ as a customer, and http://127.0.0.1:5000/desk in another window.
The password of the desk is in {settings}."""


def init_app(app: Flask) -> None:
    """Make the command known."""
    app.cli.add_command(init)


@click.command("init")
def init() -> None:
    """Make the settings and the database, and say what to start. What is there already stays."""
    instance = Path(current_app.instance_path)
    instance.mkdir(parents=True, exist_ok=True)
    settings = instance / "settings.py"
    if not settings.exists():
        settings.touch(mode=0o600)
        keys = {name: secrets.token_hex(32) for name in ("secret_key", "server_key", "app_key")}
        settings.write_text(SETTINGS.format(password=secrets.token_hex(4), **keys))
    orders.create_tables()
    click.echo(ADVICE.format(settings=settings))
