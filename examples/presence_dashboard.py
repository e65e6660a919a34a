"""Who is online, in the terminal: `python presence_dashboard.py alice bob carol`.

RTM_URL and RTM_APP_ID say which server, RTM_TOKEN is a token where one is wanted. Needs rich: `pip install
"rtmsync[cli]"`. Where the output is no terminal, each change is a line.
"""

import argparse
import contextlib
import os
import sys
import time
import uuid

from rich.console import Console
from rich.live import Live
from rich.table import Table

import rtmsync
from rtmsync.exits import exit_code

COLOURS = {
    rtmsync.PeerOnlineState.ONLINE: "green",
    rtmsync.PeerOnlineState.UNREACHABLE: "yellow",
    rtmsync.PeerOnlineState.OFFLINE: "dim",
}
SECOND = 1.0


class Dashboard:
    """What is known about some users, and since when."""

    def __init__(self, users: list[str]) -> None:
        self.states: dict[str, rtmsync.PeerOnlineState | None] = dict.fromkeys(users)
        self.since = dict.fromkeys(users, time.monotonic())
        self.connection = "CONNECTED"

    def take(self, event: object) -> list[str]:
        """Take note of an event; returns a line for each change."""
        match event:
            case rtmsync.PresenceChanged(states):
                for user, state in states.items():
                    self.states[user], self.since[user] = state, time.monotonic()
                return [f"{user} is {state.name}" for user, state in states.items()]
            case rtmsync.StateChanged(state, reason):
                self.connection = f"{state.name} ({reason.name})"
                return [f"the dashboard itself is {self.connection}"]
        return []

    def table(self) -> Table:
        # While the dashboard itself is cut off, what it shows may be old, so it says so.
        stale = "" if self.connection.startswith("CONNECTED") else f" as of then: {self.connection}"
        table = Table(title=f"Online{stale}")
        table.add_column("User")
        table.add_column("State")
        table.add_column("For", justify="right")
        for user, state in self.states.items():
            name = "?" if state is None else state.name
            style = "dim" if state is None else COLOURS[state]
            table.add_row(user, name, f"{time.monotonic() - self.since[user]:.0f} s", style=style)
        return table


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("users", nargs="+", help="whom to watch, at most 512")
    try:
        watch(Dashboard(parser.parse_args().users), Console())
    except rtmsync.RtmError as error:  # such as a login that the server refuses
        print(f"presence_dashboard: {error}", file=sys.stderr)
        return exit_code(error)
    return 0


def watch(dashboard: Dashboard, console: Console) -> None:
    """Show who is online, until Ctrl-C."""
    url, app_id, token = os.environ["RTM_URL"], os.environ["RTM_APP_ID"], os.environ.get("RTM_TOKEN")
    name = f"dashboard-{uuid.uuid4().hex[:12]}"
    with contextlib.ExitStack() as stack:
        client = stack.enter_context(rtmsync.connect(url, app_id=app_id, user_id=name, token=token))
        events = stack.enter_context(client.events(rtmsync.PresenceChanged, rtmsync.StateChanged))
        client.subscribe_presence(dashboard.states)
        live = stack.enter_context(Live(console=console, auto_refresh=False)) if console.is_terminal else None
        stack.enter_context(contextlib.suppress(KeyboardInterrupt))
        while True:
            try:
                lines = dashboard.take(events.get(timeout=SECOND))
            except rtmsync.RequestTimeout:
                lines = []  # nothing happened: the seconds go on
            if live is not None:
                live.update(dashboard.table(), refresh=True)
            for line in lines if live is None else []:
                print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
