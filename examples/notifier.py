"""Runs a command and tells somebody how it ended: `python notifier.py alice -- make test`.

RTM_URL and RTM_APP_ID say which server. With RTM_SERVER_KEY one HTTP request is all; without it, a user of a name of
its own logs in for a moment (RTM_TOKEN, where the server wants one). Who is offline gets the message later.
"""

import argparse
import os
import shlex
import socket
import subprocess
import sys
import time
import uuid

import rtmsync

LAST_LINES = 10
"""Lines of the command's output that are sent when it fails."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("user", help="who is told; with #, the members of a channel: '#ops'")
    parser.add_argument("command", nargs="+", help="what is run, behind --")
    options = parser.parse_args()
    begun = time.monotonic()
    status, output = run(options.command)
    text = report(options.command, status, time.monotonic() - begun, output)
    try:
        tell(options.user, text)
    except rtmsync.RtmError as error:
        # The command's own result matters more than whether somebody was told of it.
        print(f"notifier: {options.user} was not told: {error}", file=sys.stderr)
    return status


def run(command: list[str]) -> tuple[int, list[str]]:
    """Run a command, show what it says, and return its exit status and its last lines."""
    try:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    except OSError as error:
        return 127, [str(error)]
    last: list[str] = []
    with process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            last = [*last, line.rstrip("\n")][-LAST_LINES:]
    return process.returncode, last


def report(command: list[str], status: int, seconds: float, output: list[str]) -> str:
    """What is told about a command."""
    how = "is done" if status == 0 else f"failed with status {status}"
    lines = [f"{socket.gethostname()}: {shlex.join(command)} {how} after {seconds:.1f} s"]
    return "\n".join(lines if status == 0 else [*lines, *output])


def tell(whom: str, text: str) -> None:
    """Send a message to a user or a channel; raises an `RtmError` if it cannot be sent."""
    url, app_id, key = os.environ["RTM_URL"], os.environ["RTM_APP_ID"], os.environ.get("RTM_SERVER_KEY")
    channel = whom[1:] if whom.startswith("#") else None
    if key is not None:
        with rtmsync.Publisher(url, app_id=app_id, server_key=key) as publisher:
            if channel is not None:
                publisher.publish(channel, text, sender="notifier")
            else:
                publisher.send_peer(whom, text, sender="notifier", offline=True)
        return
    # Every process is a user of its own: two of the same name would put each other out.
    name = f"notifier-{uuid.uuid4().hex[:12]}"
    with rtmsync.connect(url, app_id=app_id, user_id=name, token=os.environ.get("RTM_TOKEN")) as client:
        if channel is not None:
            with client.channel(channel) as joined:
                joined.send(text)
        else:
            client.send_peer(whom, text, offline=True)


if __name__ == "__main__":
    sys.exit(main())
