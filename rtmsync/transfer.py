"""Uploads and downloads of a client."""

import logging
import os
from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Generic, TypeAlias, TypeVar, overload

import attrs

from rtmcore.client.core import ClientCore
from rtmcore.client.requests import CANCEL_TRANSFER, DOWNLOAD, UPLOAD, Operation
from rtmcore.client.transfers.download import Download
from rtmcore.client.transfers.events import Progress
from rtmcore.client.transfers.registry import Slot
from rtmcore.client.transfers.upload import Upload
from rtmcore.codes import CancelMediaError, DownloadMediaError, UploadMediaError
from rtmcore.errors import ForkedClient, InvalidArgument, RequestTimeout, RtmError, error_for
from rtmcore.files import (
    FileMessage,
    ImageMessage,
    encode_file,
    explain_invalid_name,
    is_valid_media_id,
    kind_of,
)
from rtmcore.images import HEAD_BYTES, image_size, media_type
from rtmcore.limits import MEDIA_CHUNK_BYTES, MEDIA_ID_LENGTH, MEDIA_NAME_BYTES
from rtmcore.models import ChannelMessage, HistoricalMessage, PeerMessage
from rtmsync.calls import ClientCalls
from rtmsync.driver.clock import FOREVER, Clock, Timeout, seconds_of
from rtmsync.driver.contents import FileSink, MemorySink, Sink, Source, StreamSink, TooLarge
from rtmsync.driver.driver import Driver, uniform
from rtmsync.driver.futures import on_own_thread
from rtmsync.driver.notice import Notice
from rtmsync.driver.router import Callback
from rtmsync.driver.transfers import TransferThread

if TYPE_CHECKING:
    from typing_extensions import Self

logger: Final = logging.getLogger("rtmsync")

T = TypeVar("T")
M = TypeVar("M", bound=FileMessage)

OnProgress: TypeAlias = Callable[[Progress], object]
"""Told how far a transfer has come, on the thread of that transfer."""

Origin: TypeAlias = "str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO"
"""What is uploaded: the path of a file, bytes, or a stream that is open for reading bytes."""

Told: TypeAlias = "str | FileMessage | PeerMessage | ChannelMessage | HistoricalMessage"
"""What names a file at the server: its media id, or a message about it."""

_UNKNOWN: Final = Progress(0, 0)


class Transfer(Generic[T]):
    """One upload or download, which goes on by itself on a thread of its own.

    ```python
    transfer = client.upload_file("report.pdf")
    for progress in transfer:
        print(f"{progress.fraction:.0%}")
    client.send_peer("bob", transfer.result())
    ```

    Iterating gives its `Progress`, the latest one each time, up to the whole; it raises what `result` would. In a
    `with` block it is canceled where the block ends before the transfer has.
    """

    def __init__(
        self, driver: Driver[ClientCore], operation: Operation, on_progress: OnProgress | None
    ) -> None:
        self._driver = driver
        self._operation = operation
        self._on_progress = on_progress
        self._pid = os.getpid()
        self._notice = Notice()
        self._thread: TransferThread | None = None
        self._progress = _UNKNOWN
        self._value: Any = None
        self._error: BaseException | None = None
        self._ended = False

    def __repr__(self) -> str:
        state = "failed" if self._error is not None else "done" if self._ended else "under way"
        return f"<Transfer: {self._operation.name} {state}, {self._progress.done} of {self._progress.total} bytes>"

    @property
    def progress(self) -> Progress:
        """How far it has come: bytes that have arrived, and those of the file; 0 of 0 while nothing is known."""
        return self._progress

    @property
    def done(self) -> bool:
        """Whether it has ended, in whichever way."""
        return self._ended

    def result(self, timeout: Timeout = None) -> T:
        """Wait for the end of the transfer.

        Args:
            timeout: Seconds to wait; as long as it takes by default, which ends by itself: a transfer in which nothing
                moves for 120 s fails.

        Returns:
            Of an upload the message about the file; of a download its bytes, the path of the file, or how many bytes
            were written to the stream.

        Raises:
            RtmError: What it failed with: an `UploadMediaError` or `DownloadMediaError` is its code.
            RequestTimeout: Without a code, and the transfer goes on: it has not ended within `timeout`.
            WouldDeadlock: This is the transfer's own thread: a progress callback.
        """
        seconds = seconds_of(timeout, FOREVER, endless=True)
        self._check_may_wait("result")
        if not self._notice.wait(lambda: self._ended, Clock.now() + seconds):
            raise RequestTimeout(
                f"The {self._operation.name} has not ended within {seconds:g} s; it goes on.",
                operation="result",
            )
        if self._error is not None:
            raise self._error
        value: T = self._value
        return value

    def cancel(self) -> None:
        """End the transfer: it fails with INTERRUPTED, and what it has left at the server and here is removed.

        Raises:
            RtmError: With a `CancelMediaError` as its code: TransferFailed where it has ended already (2),
                ClientClosed (101), NotLoggedIn (102).
        """
        if self._pid != os.getpid():
            raise self._not_canceled(CancelMediaError.FAILURE, "The transfer belongs to another process.")
        if self._ended:
            self._driver.act("cancel", lambda now: self._driver.core.begin(CANCEL_TRANSFER, now))
            raise self._not_canceled(
                CancelMediaError.NOT_EXIST, f"The {self._operation.name} has ended already."
            )
        self._stop("It was canceled.")

    def __iter__(self) -> Iterator[Progress]:
        self._check_may_wait("progress")
        last = None
        while True:
            self._notice.wait(lambda last=last: self._ended or self._progress != last, FOREVER)  # type: ignore[misc]
            ended, progress = self._ended, self._progress
            if progress != last and progress is not _UNKNOWN:
                last = progress
                yield progress
            elif ended:
                break
        if self._error is not None:
            raise self._error

    def __enter__(self) -> "Self":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._ended and self._pid == os.getpid():
            self._stop("It was canceled.")

    # --- Inside -------------------------------------------------------------------------------------------------

    def _tell(self, progress: Progress) -> None:
        self._progress = progress
        self._notice.give()
        if self._on_progress is not None:
            try:
                self._on_progress(progress)
            except Exception:
                logger.exception("The progress callback %r has raised an exception.", self._on_progress)

    def _end(self, value: Any, error: BaseException | None) -> None:
        self._value, self._error = value, error
        self._ended = True
        self._notice.give()

    def _begin(self, driver: "TransferDriver", job: Any) -> None:
        self._thread = driver.begin(self._operation, job, self._tell, self._end)

    def _stop(self, text: str) -> None:
        if self._thread is not None:
            self._thread.stop(text)

    def _check_may_wait(self, operation: str) -> None:
        if self._pid != os.getpid():
            raise ForkedClient("The transfer belongs to another process.", operation=operation)
        self._driver.check_may_block(operation)
        if self._thread is None or self._thread.is_current():
            raise on_own_thread(operation, "the thread of the transfer")

    def _not_canceled(self, code: CancelMediaError, text: str) -> RtmError:
        return error_for(code, text, operation="cancel")


# --- What is transferred ----------------------------------------------------------------------------------------


@attrs.define(eq=False)
class _UploadJob:
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
            raise _too_large(None, self.most) from None
        if not source.size:
            raise _invalid_upload("The file is empty.")
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
                raise _invalid_upload(error.message) from error
            changes.update(thumbnail=data, thumbnail_width=width, thumbnail_height=height)
        self.message = attrs.evolve(self.message, **changes)
        _check_fits(self.message, self.driver.core)

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
        return _trouble(UploadMediaError.FAILURE, "The file cannot be read", "upload", error)


@attrs.define(eq=False)
class _DownloadJob:
    """Where a download goes."""

    driver: Driver[ClientCore]
    media_id: str
    sink: Sink
    most: int

    def prepare(self, step: Callable[[], None]) -> Download:
        """See `driver.transfers.Job`."""
        step()
        seconds = self.driver.config.timeouts["download"]
        config = self.driver.config.for_core()
        return Download(config, uniform, self.media_id, limit=self.most, idle_timeout=seconds)

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
        return _trouble(DownloadMediaError.FAILURE, "The file cannot be written", "download", error)


# --- The client's calls -----------------------------------------------------------------------------------------


class TransferDriver(Driver[ClientCore]):
    """The driver of a client, with the threads of its transfers."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._transfers: dict[int, TransferThread] = {}
        super().__init__(*arguments, **options)

    def begin(
        self,
        operation: Operation,
        job: Any,
        progressed: OnProgress,
        ended: Callable[[Any, BaseException | None], None],
    ) -> TransferThread:
        """Begin a transfer.

        Args:
            operation: The call.
            job: What is transferred, see `driver.transfers.Job`.
            progressed: Told of progress, on the thread of the transfer.
            ended: Told of the result or of the error, on that thread too.

        Raises:
            RtmError: It may not begin, or there is no thread for it.
        """
        places: list[Slot] = []
        self.act(operation.name, lambda now: places.append(self.core.transfers.begin(operation, now)))
        (slot,) = places
        thread = TransferThread(self, operation, slot, job, progressed, ended, self._transfer_over)
        self._transfers[slot.number] = thread
        try:
            thread.start()
        except BaseException:
            self._transfers.pop(slot.number, None)
            self.act(operation.name, lambda _: self.core.transfers.end(slot))
            raise
        return thread

    def interrupted(self, number: int) -> None:
        """The session of a transfer is over. With the lock."""
        thread = self._transfers.get(number)
        if thread is not None:
            thread.stop("The session that it belonged to is over.")

    def close(self, seconds: float) -> None:
        """See `Driver`; ends the transfers as well."""
        until = Clock.now() + seconds
        super().close(seconds)
        threads = list(self._transfers.values())
        for thread in threads:
            thread.join(until - Clock.now())
            thread.abandon()

    def leave_behind(self) -> None:
        """See `Driver`."""
        super().leave_behind()
        for thread in list(self._transfers.values()):
            thread.leave_behind()

    def _transfer_over(self, thread: TransferThread) -> None:
        self._transfers.pop(thread.slot.number, None)


class TransferCalls(ClientCalls):
    """The calls of a client that are about files and images."""

    def upload_file(
        self,
        source: Origin,
        *,
        name: str | None = None,
        description: str = "",
        thumbnail: bytes = b"",
        on_progress: OnProgress | None = None,
    ) -> Transfer[FileMessage]:
        """Begin to upload a file. The result is the message about it, to be sent to whoever should have it.

        ```python
        message = client.upload_file("report.pdf").result()
        client.send_peer("bob", message)
        ```

        The server keeps it for 7 days. An upload that was cut goes on where it was, also after the client was
        RECONNECTING or the server was restarted; where nothing moves for 120 s, it fails.

        Args:
            source: The path of a file, bytes, or a stream that is open for reading bytes, of which the rest is
                uploaded; 1 byte to 30 MiB. A stream that cannot be read anywhere is copied to a temporary file first.
            name: What the file is called; by default the name in the path.
            description: What there is to say about it.
            thumbnail: A small picture of it; the message with it has at most 32 KiB.
            on_progress: Told of the progress on the transfer's own thread, at most 10 times a second, and always at
                the beginning and at the end.

        Raises:
            RtmError: With an `UploadMediaError` as its code: InvalidArgument where there is no such file or it is
                empty, LimitExceeded where it is too large (4) or 9 transfers have not ended (5), NotLoggedIn, …
        """
        message = FileMessage("-", 0, self._name(source, name), description, thumbnail)
        return self._upload(source, message, make_thumbnail=False, on_progress=on_progress)

    def upload_image(
        self,
        source: Origin,
        *,
        name: str | None = None,
        description: str = "",
        thumbnail: bytes | bool = False,
        width: int = 0,
        height: int = 0,
        thumbnail_width: int = 0,
        thumbnail_height: int = 0,
        on_progress: OnProgress | None = None,
    ) -> Transfer[ImageMessage]:
        """Begin to upload an image; see `upload_file`.

        Args:
            source: See `upload_file`.
            name: See `upload_file`.
            description: See `upload_file`.
            thumbnail: Its bytes; or True to have one made with Pillow (the extra ``media``), of at most 160 pixels.
            width: Of the image, in pixels; by default what the header of a JPEG, PNG or BMP says.
            height: Of the image, in pixels.
            thumbnail_width: Of the thumbnail, in pixels.
            thumbnail_height: Of the thumbnail, in pixels.
            on_progress: See `upload_file`.

        Raises:
            RtmError: See `upload_file`. No thumbnail can be made (InvalidArgument): at once without Pillow, otherwise
                by the transfer.
        """
        make = thumbnail is True
        if make:
            from rtmsync.thumbnails import check_pillow

            check_pillow()
        message = ImageMessage(
            "-",
            0,
            self._name(source, name),
            description,
            b"" if isinstance(thumbnail, bool) else thumbnail,
            width,
            height,
            thumbnail_width,
            thumbnail_height,
        )
        return self._upload(source, message, make_thumbnail=make, on_progress=on_progress)

    @overload
    def download(
        self, media: Told, to: None = None, *, on_progress: OnProgress | None = None
    ) -> Transfer[bytes]: ...
    @overload
    def download(
        self, media: Told, to: "str | os.PathLike[str]", *, on_progress: OnProgress | None = None
    ) -> Transfer[Path]: ...
    @overload
    def download(
        self, media: Told, to: BinaryIO, *, on_progress: OnProgress | None = None
    ) -> Transfer[int]: ...
    def download(
        self,
        media: Told,
        to: "str | os.PathLike[str] | BinaryIO | None" = None,
        *,
        on_progress: OnProgress | None = None,
    ) -> Transfer[Any]:
        """Begin to download a file.

        ```python
        for message in client.events(PeerMessage):
            if message.media is not None:
                client.download(message, "inbox/" + message.media.media_id).result()
        ```

        What came is checked to be what was uploaded, by its SHA-256; otherwise it fails.

        Args:
            media: The media id, or the message.
            to: None to have the bytes as the result. A path: written to a file beside it, which gets its name when
                all is there; a file of that name is replaced. The name in a message is the sender's choice: do not use
                it as a path unseen. Or a stream that is open for writing bytes: it gets them as they come, before
                they are checked as a whole, and stays open.
            on_progress: See `upload_file`.

        Raises:
            RtmError: With a `DownloadMediaError` as its code: InvalidArgument where this is no media id, or nothing
                can be written to the path, LimitExceeded where 9 transfers have not ended, NotLoggedIn, …
        """
        media_id = _named(media)
        driver = self._transfer_driver
        self._check_open(DOWNLOAD)
        try:
            sink: Sink = _sink(to)
        except RtmError:
            raise
        except (OSError, ValueError) as error:
            raise _trouble(
                DownloadMediaError.INVALID_ARGUMENT, "The file cannot be written", "download", error
            ) from error
        job = _DownloadJob(driver, media_id, sink, driver.core.sizes.file)
        transfer: Transfer[Any] = Transfer(driver, DOWNLOAD, on_progress)
        try:
            transfer._begin(driver, job)
        except BaseException:
            job.discard()
            raise
        return transfer

    # --- Inside -------------------------------------------------------------------------------------------------

    @property
    def _transfer_driver(self) -> TransferDriver:
        driver = self._driver
        assert isinstance(driver, TransferDriver)
        return driver

    def _make_driver(self, callbacks: Iterable[Callback]) -> Driver[ClientCore]:
        raise NotImplementedError

    def _check_open(self, operation: Operation) -> None:
        """Refuse at once what cannot be without a session, before files are looked at."""
        driver = self._transfer_driver
        driver.act(operation.name, lambda now: driver.core.begin(operation, now))

    def _name(self, source: Origin, name: str | None) -> str:
        if name is None:
            return _name_in(source) if isinstance(source, str | os.PathLike) else ""
        wrong = explain_invalid_name(name)
        if wrong is not None:
            raise _invalid_upload(wrong)
        return name

    def _upload(
        self, source: Origin, message: M, *, make_thumbnail: bool, on_progress: OnProgress | None
    ) -> Transfer[M]:
        self._check_open(UPLOAD)
        driver = self._transfer_driver
        most = driver.core.sizes.file
        _check_fits(message, driver.core)
        opened = _opened(source, most)
        try:
            job = _UploadJob(driver, opened, most, message, make_thumbnail)
            transfer: Transfer[M] = Transfer(driver, UPLOAD, on_progress)
            transfer._begin(driver, job)
        except BaseException:
            opened.close()
            raise
        return transfer


# --- Arguments --------------------------------------------------------------------------------------------------


def _invalid_upload(text: str) -> RtmError:
    return error_for(UploadMediaError.INVALID_ARGUMENT, text, operation="upload")


def _too_large(size: int | None, most: int) -> RtmError:
    has = f"more than {most}" if size is None else str(size)
    return error_for(
        UploadMediaError.SIZE_OVERFLOW,
        f"The file has {has} bytes; at most {most} are allowed.",
        operation="upload",
    )


def _trouble(code: Any, text: str, operation: str, error: Exception) -> RtmError:
    why = getattr(error, "strerror", None) or error
    found = error_for(code, f"{text}: {why}.", operation=operation)
    found.__cause__ = error
    return found


def _opened(source: Origin, most: int) -> Source:
    """The file that is to be uploaded; what can be seen at once is checked."""
    if isinstance(source, str | os.PathLike):
        try:
            opened = Source.of_path(source, most)
        except (OSError, ValueError) as error:
            raise _trouble(
                UploadMediaError.INVALID_ARGUMENT, "The file cannot be read", "upload", error
            ) from error
    elif isinstance(source, bytes | bytearray | memoryview):
        opened = Source.of_bytes(source, most)
    elif hasattr(source, "read"):
        return Source(source, owned=False, most=most)
    else:
        raise _invalid_upload(f"A path, bytes or a stream can be uploaded, not {type(source).__name__}.")
    wrong = _invalid_upload("The file is empty.") if not opened.size else None
    if opened.size > most:
        wrong = _too_large(opened.size, most)
    if wrong is not None:
        opened.close()
        raise wrong
    return opened


def _sink(to: "str | os.PathLike[str] | BinaryIO | None") -> Sink:
    if to is None:
        return MemorySink()
    if isinstance(to, str | os.PathLike):
        return FileSink(to)
    if not hasattr(to, "write"):
        raise error_for(
            DownloadMediaError.INVALID_ARGUMENT,
            f"A file is downloaded to a path or to a stream, not to {type(to).__name__}.",
            operation="download",
        )
    return StreamSink(to)


def _named(media: Told) -> str:
    if isinstance(media, PeerMessage | ChannelMessage | HistoricalMessage):
        about = media.media
    else:
        about = media if isinstance(media, FileMessage) else None
    media_id = media if about is None else about.media_id
    if not isinstance(media_id, str) or not is_valid_media_id(media_id):
        raise error_for(
            DownloadMediaError.INVALID_ARGUMENT,
            "A file is named by its media id, or by a message about it.",
            operation="download",
        )
    return media_id


def _name_in(path: "str | os.PathLike[str]") -> str:
    """The name in a path, without what a name in a message cannot have."""
    name = os.path.basename(os.fspath(path)).encode("utf-8", "replace").decode()
    shown = "".join(each if each.isprintable() and each != "\\" else "_" for each in name)
    return shown.encode()[:MEDIA_NAME_BYTES].decode("utf-8", "ignore")


def _check_fits(message: FileMessage, core: ClientCore) -> None:
    """See that the message can be sent when it has got its id."""
    most = core.sizes.message
    size = len(encode_file(attrs.evolve(message, media_id="-" * MEDIA_ID_LENGTH)))
    if size > most:
        raise _invalid_upload(
            f"The message about the file has {size} bytes with its description and thumbnail; at most {most} are "
            "allowed."
        )
