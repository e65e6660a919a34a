"""A client in a process of its own that carries files: some up, some down, until it is told to stop.

Commands on standard input, one a line: ``prepare`` (upload what is downloaded later), ``begin UP DOWN SPEED`` (so many
uploads and downloads at once, of which each that ends is followed by another, held to SPEED bytes a second in all, or
to nothing where it is 0; answered once bytes of each have moved), ``end`` (cancel what is under way; answered by the
bytes a second that have moved meanwhile). Each is answered by one line.
"""

import io
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from rtmcore.limits import MEDIA_BYTES
from rtmsync import Client, RtmError, Transfer
from rtmsync.server.config import DEV_APP_ID


class Pace:
    """Holds all transfers to one speed, and counts what they move."""

    def __init__(self, speed: float) -> None:
        self._seconds = 1 / speed if speed else 0.0
        self._free = self._begun = time.monotonic()
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self.moved = 0

    def wait(self, size: int) -> None:
        """Take so many bytes, once it is their turn."""
        with self._lock:
            self.moved += size
            now = time.monotonic()
            begin = max(self._free, now)
            self._free = begin + size * self._seconds
        self._ended.wait(begin - now)

    def end(self) -> float:
        """Let nobody wait any more; bytes a second so far."""
        self._ended.set()
        return self.moved / (time.monotonic() - self._begun)


class Source(io.BytesIO):
    """A file that is sent at that speed: it is read once before, for its checksum."""

    def __init__(self, data: bytes, pace: Pace) -> None:
        super().__init__(data)
        self._pace = pace
        self._before = len(data)

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        if self._before > 0:
            self._before -= len(data)
        else:
            self._pace.wait(len(data))
        return data


class Nowhere(io.RawIOBase):
    """A file that is written at that speed, and not kept."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._pace.wait(len(data))
        return len(data)


class Lane:
    """One transfer after the other."""

    def __init__(self, begin: Callable[[], Transfer[Any]]) -> None:
        self._begin = begin
        self._stopping = False
        self._transfer = begin()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    @property
    def moves(self) -> bool:
        """Whether bytes have moved."""
        return self._transfer.progress.done > 0

    def _run(self) -> None:
        while True:
            try:
                self._transfer.result()
            except RtmError:
                if not self._stopping:
                    raise
            if self._stopping:
                return
            self._transfer = self._begin()

    def end(self) -> None:
        self._stopping = True
        while self._thread.is_alive():
            with self._transfer:
                pass  # leaving it cancels it
            self._thread.join(0.1)


class Carrier:
    """Uploads and downloads the largest file that there may be.

    Args:
        client: Logged in.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._data = os.urandom(MEDIA_BYTES)
        self._media_id = ""
        self._pace = Pace(0)
        self._lanes: list[Lane] = []

    def prepare(self) -> str:
        """Upload what is downloaded later; its media id."""
        self._media_id = self._client.upload_file(self._data).result().media_id
        return self._media_id

    def begin(self, up: int, down: int, speed: int) -> str:
        """Begin transfers, and wait until bytes of each have moved."""
        self._pace = Pace(speed)
        begins = [*[self._upload] * up, *[self._download] * down]
        self._lanes = [Lane(begin) for begin in begins]
        while not all(lane.moves for lane in self._lanes):
            time.sleep(0.01)
        return "moving"

    def end(self) -> float:
        """Cancel what is under way; the bytes a second that have moved."""
        speed = self._pace.end()
        for lane in self._lanes:
            lane.end()
        return speed

    def _upload(self) -> Transfer[Any]:
        return self._client.upload_file(Source(self._data, self._pace))

    def _download(self) -> Transfer[Any]:
        return self._client.download(self._media_id, Nowhere(self._pace))


def main(url: str, user: str) -> None:
    os.nice(10)  # a client on another machine would not take the processor away from those who send messages
    with Client(url, app_id=DEV_APP_ID, user_id=user, rate_limits=False, proxy=None) as client:
        client.login()
        carrier = Carrier(client)
        print("ready", flush=True)
        for line in sys.stdin:
            command, *numbers = line.split()
            print(getattr(carrier, command)(*map(int, numbers)), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
