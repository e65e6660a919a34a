"""A folder that several machines share through a channel: `python file_drop.py FOLDER CHANNEL`.

What is put into the folder is sent to all who share it at that time, and what they send is saved in it. RTM_URL and
RTM_APP_ID say which server, RTM_TOKEN is a token where one is wanted. Nothing is ever replaced or removed.
"""

import argparse
import contextlib
import os
import signal
import sys
import time
import uuid
from pathlib import Path
from typing import NoReturn

import rtmsync
from rtmsync.exits import exit_code

LOOK_EVERY = 0.5
"""Seconds between two looks at the folder. A file is sent when two looks in a row find it unchanged."""


class FileDrop:
    """One folder and one channel."""

    def __init__(self, client: rtmsync.Client, channel: rtmsync.Channel, folder: Path) -> None:
        self.client, self.channel, self.folder = client, channel, folder
        # By name, as they were at the last look, and those that are dealt with: sent, received, or there before.
        self.seen: dict[str, tuple[int, int]] = {}
        self.settled = set(self.look())

    def look(self) -> dict[str, tuple[int, int]]:
        """The files in the folder: size and time of the last change of each. Hidden and empty ones do not count."""
        found = {}
        for entry in os.scandir(self.folder):
            with contextlib.suppress(FileNotFoundError):  # it was there a moment ago
                status = entry.stat()
                if entry.is_file() and not entry.name.startswith(".") and status.st_size:
                    found[entry.name] = (status.st_size, status.st_mtime_ns)
        return found

    def send_new(self) -> None:
        found = self.look()
        ready = [name for name in found if name not in self.settled and found[name] == self.seen.get(name)]
        self.seen = found
        for name in sorted(ready):
            self.settled.add(name)
            try:
                self.channel.send(self.client.upload_file(self.folder / name).result())
                print(f"sent {name}", flush=True)
            except rtmsync.RtmError as error:
                print(f"{name} was not sent: {error}", file=sys.stderr)

    def receive(self, message: rtmsync.ChannelMessage) -> None:
        if message.media is None:
            return
        hidden = self.folder / f".{message.media.media_id}"
        try:
            self.client.download(message, hidden).result()
            name = self.free_name(message.media.name)
            self.settled.add(name)  # before it is there, so that it is not sent back
            os.link(hidden, self.folder / name)  # unlike a rename, this replaces nothing
        except (rtmsync.RtmError, OSError) as error:
            outcome = f"a file of {message.sender} was not received: {error}"
        else:
            outcome = f"received {name} from {message.sender}"
        hidden.unlink(missing_ok=True)
        print(outcome, flush=True)

    def free_name(self, wanted: str) -> str:
        """A name for what somebody has sent: it is no path, but may be hidden, empty, or taken."""
        wanted = wanted.lstrip(".") or "unnamed"
        stem, suffix = Path(wanted).stem, Path(wanted).suffix
        name, number = wanted, 1
        while name in self.settled or (self.folder / name).exists():
            number += 1
            name = f"{stem} ({number}){suffix}"
        return name


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("channel")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # leaves the blocks below, and so says goodbye
    try:
        share(options.folder, options.channel)
    except rtmsync.RtmError as error:  # such as a login that the server refuses
        print(f"file_drop: {error}", file=sys.stderr)
        return exit_code(error)


def share(folder: Path, shared: str) -> NoReturn:
    """Share a folder through a channel, until SIGTERM or Ctrl-C."""
    url, app_id, token = os.environ["RTM_URL"], os.environ["RTM_APP_ID"], os.environ.get("RTM_TOKEN")
    name = f"drop-{uuid.uuid4().hex[:12]}"
    with (
        rtmsync.connect(url, app_id=app_id, user_id=name, token=token) as client,
        client.channel(shared) as channel,
        channel.events(rtmsync.ChannelMessage) as messages,
    ):
        drop = FileDrop(client, channel, folder)
        print(f"sharing {folder} as {name}", flush=True)
        looked = time.monotonic()
        while True:
            with contextlib.suppress(rtmsync.RequestTimeout):
                message = messages.get(timeout=LOOK_EVERY)
                if isinstance(message, rtmsync.ChannelMessage):
                    drop.receive(message)
            if time.monotonic() >= looked + LOOK_EVERY:
                looked = time.monotonic()
                drop.send_new()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
