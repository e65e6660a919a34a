"""How files are carried, the same for every system: from a file of the client's to the server's disk, and back."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.benchmarks.load import clock


class Directory:
    """A directory with the file that is uploaded, and room for what is downloaded; gone with the process.

    Args:
        size: Of the file.
    """

    def __init__(self, size: int) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="bench-files-")
        self.there = Path(self._directory.name) / "there"
        self.back = Path(self._directory.name) / "back"
        self._data = os.urandom(size)
        self.there.write_bytes(self._data)

    def check(self) -> None:
        """See that what was downloaded is what was uploaded."""
        if self.back.read_bytes() != self._data:
            raise ValueError("another file came back")
        self.back.unlink()

    def remove(self) -> None:
        """Remove it."""
        self._directory.cleanup()


class Carrier:
    """Uploads and downloads one file. Each system says how, by `put` and `get`."""

    def __init__(self, size: int) -> None:
        self._size = size
        self.files = Directory(size)

    def put(self) -> str:
        """Upload it; what it is called from then on."""
        raise NotImplementedError

    def get(self, name: str) -> None:
        """Download it again."""
        raise NotImplementedError

    def measure(self) -> list[float]:
        """Carry the file both ways.

        Returns:
            Megabytes a second, up and down.
        """
        names: list[str] = []
        up = self._rate(lambda: names.append(self.put()))
        down = self._rate(lambda: self.get(names[0]))
        self.files.check()
        return [up, down]

    def stop(self) -> None:
        self.files.remove()

    def _rate(self, carry: Callable[[], object]) -> float:
        start = clock()
        carry()
        return self._size / (clock() - start) / 1e6
