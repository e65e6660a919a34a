"""Where the bytes of an upload come from, and where those of a download go."""

import contextlib
import io
import os
import secrets
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, Final, Protocol

from rtmcore.limits import MEDIA_CHUNK_BYTES

_SUFFIX: Final = ".part"
_TRIES: Final = 100
_NAME_BYTES: Final = 200
"""Bytes of a name that are repeated in the name beside it, which has to fit as well."""


class TooLarge(Exception):
    """A stream has more bytes than a file may have."""


# --- Sources --------------------------------------------------------------------------------------------------


class Source:
    """The bytes of one upload.

    Args:
        stream: Open for reading, at the first byte.
        owned: Whether it is closed at the end.
        most: Bytes that it may have.

    Attributes:
        size: Bytes of it; known after `prepare`.
    """

    def __init__(self, stream: BinaryIO, *, owned: bool, most: int) -> None:
        self._stream = stream
        self._owned = owned
        self._most = most
        self._begin = 0
        self.size = 0

    @classmethod
    def of_path(cls, path: "str | os.PathLike[str]", most: int) -> "Source":
        """A file of this machine.

        Raises:
            OSError: It cannot be read, or is no file: a directory, a device, a pipe.
        """
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise OSError(0, "it is no regular file", os.fspath(path))
        source = cls(open(path, "rb"), owned=True, most=most)  # noqa: SIM115 - closed by `close`
        source.size = os.fstat(source._stream.fileno()).st_size
        return source

    @classmethod
    def of_bytes(cls, data: "bytes | bytearray | memoryview", most: int) -> "Source":
        """Bytes in memory."""
        source = cls(io.BytesIO(data), owned=True, most=most)
        source.size = len(bytes(data)) if isinstance(data, memoryview) else len(data)
        return source

    def prepare(self, step: Callable[[], None]) -> None:
        """Make it possible to read anywhere: what cannot is copied to a temporary file.

        Args:
            step: Called now and then; may raise to stop.

        Raises:
            OSError: It cannot be read.
            TooLarge: There is more than may be.
        """
        stream = self._stream
        if stream.seekable():
            self._begin = stream.tell()
            self.size = stream.seek(0, os.SEEK_END) - self._begin
            if self.size > self._most:
                raise TooLarge
            return
        copy = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`
        try:
            while piece := stream.read(MEDIA_CHUNK_BYTES):
                step()
                self.size += len(piece)
                if self.size > self._most:
                    raise TooLarge
                copy.write(piece)
        except BaseException:
            copy.close()
            raise
        self.close()
        self._stream, self._owned = copy, True

    def read_at(self, offset: int, size: int) -> bytes:
        """Bytes from an offset on; fewer only at the end.

        Raises:
            OSError: It cannot be read.
        """
        self._stream.seek(self._begin + offset)
        pieces: list[bytes] = []
        while size and (piece := self._stream.read(size)):
            pieces.append(piece)
            size -= len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def stream(self) -> BinaryIO:
        """The bytes as a stream of their own, which nobody else reads meanwhile."""
        self._stream.seek(self._begin)
        return self._stream

    def close(self) -> None:
        """Give back what is open."""
        if self._owned:
            self._stream.close()


# --- Sinks ----------------------------------------------------------------------------------------------------


class Sink(Protocol):
    """Where the bytes of one download go."""

    def write(self, data: bytes) -> None:
        """Take the next bytes."""

    def finish(self) -> Any:
        """All is there, and is the file; gives the result of the download."""

    def discard(self) -> None:
        """Leave nothing behind, as far as that is possible."""


class MemorySink:
    """Keeps the bytes; they are the result."""

    def __init__(self) -> None:
        self._data = io.BytesIO()

    def write(self, data: bytes) -> None:
        """See `Sink`."""
        self._data.write(data)

    def finish(self) -> bytes:
        """See `Sink`."""
        return self._data.getvalue()

    def discard(self) -> None:
        """See `Sink`."""
        self._data.close()


class StreamSink:
    """Writes to a stream of the application, and leaves it open. The result is the number of bytes.

    Args:
        stream: Open for writing bytes.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._size = 0

    def write(self, data: bytes) -> None:
        """See `Sink`."""
        rest = memoryview(data)
        while rest:
            taken = self._stream.write(rest)
            if taken is None:
                raise BlockingIOError(0, "the stream takes no more; it must be a blocking one")
            rest = rest[taken:]
        self._size += len(data)

    def finish(self) -> int:
        """See `Sink`."""
        return self._size

    def discard(self) -> None:
        """See `Sink`: what was written stays."""


class FileSink:
    """Writes to a file beside the one that is wanted, and gives it its name when all is there. The result is the path.

    Args:
        path: The file that is wanted; one that is there is replaced.

    Raises:
        OSError: Nothing can be written there.
    """

    def __init__(self, path: "str | os.PathLike[str]") -> None:
        self._path = Path(path)
        if self._path.is_dir():
            raise IsADirectoryError(0, "it is a directory", str(self._path))
        self._beside, self._file = _open_beside(self._path)

    def write(self, data: bytes) -> None:
        """See `Sink`."""
        self._file.write(data)

    def finish(self) -> Path:
        """See `Sink`."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        os.replace(self._beside, self._path)
        return self._path

    def discard(self) -> None:
        """See `Sink`."""
        with contextlib.suppress(OSError):
            self._file.close()
        with contextlib.suppress(OSError):
            self._beside.unlink()


def _open_beside(path: Path) -> tuple[Path, BinaryIO]:
    """A new file in the same directory, named after the one that is wanted."""
    name = os.fsencode(path.name)[:_NAME_BYTES].decode("utf-8", "ignore")
    for _ in range(_TRIES):
        beside = path.with_name(f"{name}.{secrets.token_hex(4)}{_SUFFIX}")
        with contextlib.suppress(FileExistsError):
            return beside, open(beside, "xb")
    raise FileExistsError(0, "there are too many unfinished files beside it", str(path))
