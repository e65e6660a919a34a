"""What a transfer moves: the file of an upload and the message about it, or the place of a download."""

import io
import os
from collections.abc import Callable
from hashlib import sha256
from typing import Any, BinaryIO, TypeAlias

import attrs

from rtmcore.client.core import ClientCore
from rtmcore.client.transfers.download import Download
from rtmcore.client.transfers.upload import Upload
from rtmcore.codes import DownloadMediaError, UploadMediaError
from rtmcore.errors import InvalidArgument, RtmError, error_for
from rtmcore.files import FileMessage, ImageMessage, encode_file, is_valid_media_id, kind_of
from rtmcore.images import HEAD_BYTES, image_size, media_type
from rtmcore.limits import MEDIA_CHUNK_BYTES, MEDIA_ID_LENGTH, MEDIA_NAME_BYTES
from rtmcore.models import ChannelMessage, HistoricalMessage, PeerMessage
from rtmsync.driver.contents import FileSink, MemorySink, Sink, Source, StreamSink, TooLarge
from rtmsync.driver.driver import Driver
from rtmsync.driver.randomness import uniform

Origin: TypeAlias = "str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO"
"""What is uploaded: the path of a file, bytes, or a stream that is open for reading bytes."""

Told: TypeAlias = "str | FileMessage | PeerMessage | ChannelMessage | HistoricalMessage"
"""What names a file at the server: its media id, or a message about it."""


# --- What is transferred ----------------------------------------------------------------------------------------


@attrs.define(eq=False)
class UploadJob:
    """The file of an upload, and the message about it."""

    driver: Driver[ClientCore]
    source: Source
    most: int
    message: FileMessage
    """With everything that was given; its media id is to be known, and what a header or a thumbnail tell."""
    thumbnail: bool
    """Whether one is to be made."""

    def prepare(self, step: Callable[[], None]) -> Upload:
        """See `driver.transfers.Job`."""
        source = self.source
        try:
            source.prepare(step)
        except TooLarge:
            raise too_large(None, self.most) from None
        if not source.size:
            raise invalid_upload("The file is empty.")
        digest = sha256()
        for offset in range(0, source.size, MEDIA_CHUNK_BYTES):
            step()
            digest.update(source.read_at(offset, MEDIA_CHUNK_BYTES))
        self._describe(step)
        kind = kind_of(self.message).name.lower()
        return Upload(
            self.driver.config.for_core(),
            uniform,
            size=source.size,
            kind=kind,
            name=self.message.name,
            sha256=digest.hexdigest(),
            type=media_type(source.read_at(0, HEAD_BYTES)),
            idle_timeout=self.driver.config.timeouts["upload"],
        )

    def _describe(self, step: Callable[[], None]) -> None:
        changes: dict[str, Any] = {"size": self.source.size}
        if isinstance(self.message, ImageMessage) and not (self.message.width or self.message.height):
            found = image_size(self.source.read_at)
            if found is not None:
                changes["width"], changes["height"] = found
        if self.thumbnail:
            from rtmsync.thumbnails import make_thumbnail

            step()
            try:
                data, width, height = make_thumbnail(self.source.stream())
            except InvalidArgument as error:
                raise invalid_upload(error.message) from error
            changes.update(thumbnail=data, thumbnail_width=width, thumbnail_height=height)
        self.message = attrs.evolve(self.message, **changes)
        check_fits(self.message, self.driver.core)

    def read_at(self, offset: int, size: int) -> bytes:
        """See `driver.transfers.Job`."""
        return self.source.read_at(offset, size)

    def write(self, data: bytes) -> None:
        """See `driver.transfers.Job`: nothing comes."""
        raise NotImplementedError

    def finish(self, transfer: Upload) -> FileMessage:
        """See `driver.transfers.Job`."""
        assert transfer.media_id is not None
        return attrs.evolve(self.message, media_id=transfer.media_id)

    def discard(self) -> None:
        """See `driver.transfers.Job`."""

    def close(self) -> None:
        """See `driver.transfers.Job`."""
        self.source.close()

    def trouble(self, error: Exception) -> RtmError:
        """See `driver.transfers.Job`."""
        return trouble_with(UploadMediaError.FAILURE, "The file cannot be read", "upload", error)


@attrs.define(eq=False)
class DownloadJob:
    """Where a download goes."""

    driver: Driver[ClientCore]
    media_id: str
    start: int
    stop: int | None
    sink: Sink
    most: int

    def prepare(self, step: Callable[[], None]) -> Download:
        """See `driver.transfers.Job`."""
        step()
        seconds = self.driver.config.timeouts["download"]
        config = self.driver.config.for_core()
        return Download(
            config,
            uniform,
            self.media_id,
            start=self.start,
            stop=self.stop,
            limit=self.most,
            idle_timeout=seconds,
        )

    def read_at(self, offset: int, size: int) -> bytes:
        """See `driver.transfers.Job`: nothing goes."""
        raise NotImplementedError

    def write(self, data: bytes) -> None:
        """See `driver.transfers.Job`."""
        self.sink.write(data)

    def finish(self, transfer: Download) -> Any:
        """See `driver.transfers.Job`."""
        return self.sink.finish()

    def discard(self) -> None:
        """See `driver.transfers.Job`."""
        self.sink.discard()

    def close(self) -> None:
        """See `driver.transfers.Job`."""

    def trouble(self, error: Exception) -> RtmError:
        """See `driver.transfers.Job`."""
        return trouble_with(DownloadMediaError.FAILURE, "The file cannot be written", "download", error)


# --- Arguments --------------------------------------------------------------------------------------------------


def invalid_upload(text: str) -> RtmError:
    """The error for what cannot be uploaded."""
    return error_for(UploadMediaError.INVALID_ARGUMENT, text, operation="upload")


def too_large(size: int | None, most: int) -> RtmError:
    """The error for a file of so many bytes; None where nobody has counted to the end."""
    has = f"more than {most}" if size is None else str(size)
    return error_for(
        UploadMediaError.SIZE_OVERFLOW,
        f"The file has {has} bytes; at most {most} are allowed.",
        operation="upload",
    )


def trouble_with(code: Any, text: str, operation: str, error: Exception) -> RtmError:
    """The error of a transfer for one of reading or writing its file."""
    why = getattr(error, "strerror", None) or error
    found = error_for(code, f"{text}: {why}.", operation=operation)
    found.__cause__ = error
    return found


def opened_source(source: Origin, most: int) -> Source:
    """The file that is to be uploaded; what can be seen at once is checked."""
    if isinstance(source, str | os.PathLike):
        try:
            opened = Source.of_path(source, most)
        except (OSError, ValueError) as error:
            text = f"{os.fspath(source)!r} cannot be read"
            raise trouble_with(UploadMediaError.INVALID_ARGUMENT, text, "upload", error) from error
    elif isinstance(source, bytes | bytearray | memoryview):
        opened = Source.of_bytes(source, most)
    elif hasattr(source, "read") and not isinstance(source, io.TextIOBase):
        return Source(source, owned=False, most=most)
    else:
        raise invalid_upload(
            f"A path, bytes or a stream of bytes can be uploaded, not {type(source).__name__}."
        )
    wrong = invalid_upload("The file is empty.") if not opened.size else None
    if opened.size > most:
        wrong = too_large(opened.size, most)
    if wrong is not None:
        opened.close()
        raise wrong
    return opened


def opened_sink(to: "str | os.PathLike[str] | BinaryIO | None") -> Sink:
    """Where a download goes.

    Raises:
        OSError, ValueError: Nothing can be written there.
        RtmError: That is no place.
    """
    if to is None:
        return MemorySink()
    if isinstance(to, str | os.PathLike):
        return FileSink(to)
    if not hasattr(to, "write") or isinstance(to, io.TextIOBase):
        raise error_for(
            DownloadMediaError.INVALID_ARGUMENT,
            f"A file is downloaded to a path or to a stream of bytes, not to {type(to).__name__}.",
            operation="download",
        )
    return StreamSink(to)


def named_media(media: Told) -> str:
    """The media id that is meant.

    Raises:
        RtmError: None is.
    """
    about = _said_of(media)
    media_id = media if about is None else about.media_id
    if not isinstance(media_id, str) or not is_valid_media_id(media_id):
        raise error_for(
            DownloadMediaError.INVALID_ARGUMENT,
            "A file is named by its media id, or by a message about it.",
            operation="download",
        )
    return media_id


def check_part(media: Told, start: int, stop: int | None, most: int) -> None:
    """See that a file can have a part, as far as is known before the server says how large it is.

    Args:
        media: Names the file; a message may say how large it is.
        start: See `Client.download`.
        stop: See `Client.download`.
        most: Bytes that a file may have.

    Raises:
        RtmError: It cannot.
    """
    about = _said_of(media)
    size = about.size if about is not None else 0
    end = size or most
    why = f"the message says that the file has {size} bytes" if size else f"a file has at most {most} bytes"
    if not (_is_whole(start) and 0 <= start < end):
        wrong = f"The start of a part is a whole number from 0 to {end - 1}: {why}."
    elif stop is not None and not (_is_whole(stop) and start < stop <= end):
        wrong = (
            f"The stop of a part that starts at {start} is a whole number from {start + 1} to {end}: {why}."
        )
    else:
        return
    raise error_for(DownloadMediaError.INVALID_ARGUMENT, wrong, operation="download")


def _said_of(media: Told) -> FileMessage | None:
    """What a message says about a file; None where this is none."""
    if isinstance(media, PeerMessage | ChannelMessage | HistoricalMessage):
        return media.media
    return media if isinstance(media, FileMessage) else None


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def name_in(path: "str | os.PathLike[str]") -> str:
    """The name in a path, without what a name in a message cannot have."""
    name = os.path.basename(os.fspath(path)).encode("utf-8", "replace").decode()
    if name in (os.curdir, os.pardir):
        return ""
    shown = "".join(each if each.isprintable() and each != "\\" else "_" for each in name)
    return shown.encode()[:MEDIA_NAME_BYTES].decode("utf-8", "ignore")


def check_fits(message: FileMessage, core: ClientCore) -> None:
    """See that the message can be sent when it has got its id."""
    most = core.sizes.message
    size = len(encode_file(attrs.evolve(message, media_id="-" * MEDIA_ID_LENGTH)))
    if size > most:
        raise invalid_upload(
            f"The message about the file has {size} bytes with its description and thumbnail; at most {most} are "
            "allowed."
        )
