"""`flask --app order_status init`."""

import secrets
import shlex
from pathlib import Path

import click
from flask import Flask, current_app

from order_status import orders

ORIGINS = ("http://127.0.0.1:5000", "http://localhost:5000")

SETTINGS = """\
# What is secret stays in this directory. Restart all three programs after a change.
SECRET_KEY = {secret_key!r}
DESK_PASSWORD = {password!r}
RTM_SERVER_KEY = {server_key!r}
RTM_SECRET = {app_key!r}
"""


def init_app(app: Flask) -> None:
    app.cli.add_command(init)


@click.command("init")
def init() -> None:
    """Make the keys, the settings and the database, and say what to start. What is there already stays."""
    instance = Path(current_app.instance_path)
    instance.mkdir(parents=True, exist_ok=True)
    settings, app_key, server_key = (instance / name for name in ("settings.py", "app.key", "server.key"))
    if not settings.exists():
        keys = {name: secrets.token_hex(32) for name in ("secret_key", "server_key", "app_key")}
        password = secrets.token_hex(4)
        for path, text in (
            (app_key, keys["app_key"]),
            (server_key, keys["server_key"]),
            (settings, SETTINGS.format(password=password, **keys)),
        ):
            path.touch(mode=0o600)
            path.write_text(text)
    orders.create_tables()
    serve = ["rtm", "serve", "--dev", "--secret-file", str(app_key), "--server-key-file", str(server_key)]
    for origin in ORIGINS:
        serve += ["--allow-origin", origin]
    click.echo("Start these, each in a terminal of its own:\n")
    click.echo(f"  {shlex.join(serve)}")
    click.echo("  flask --app order_status rtm listen")
    click.echo("  flask --app order_status run\n")
    click.echo(f"Then open {ORIGINS[0]}/ as a customer, and {ORIGINS[0]}/desk in another window.")
    click.echo(f"The password of the desk is in {settings}.")
