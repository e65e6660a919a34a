"""Uploads and downloads of a client."""

import logging
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Generic, TypeAlias, TypeVar, overload

from rtmcore.client.core import ClientCore
from rtmcore.client.requests import CANCEL_TRANSFER, DOWNLOAD, UPLOAD, Operation
from rtmcore.client.transfers.events import Progress
from rtmcore.client.transfers.registry import Slot
from rtmcore.codes import CancelMediaError, DownloadMediaError
from rtmcore.errors import ForkedClient, RequestTimeout, RtmError, error_for
from rtmcore.files import (
    FileMessage,
    ImageMessage,
    explain_invalid_name,
)
from rtmsync.calls import ClientCalls
from rtmsync.driver.clock import FOREVER, Timeout, seconds_of
from rtmsync.driver.contents import Sink
from rtmsync.driver.driver import Driver
from rtmsync.driver.futures import on_own_thread
from rtmsync.driver.notice import Notice
from rtmsync.driver.router import Callback
from rtmsync.driver.transfers import TransferThread
from rtmsync.transfer_jobs import (
    DownloadJob,
    Origin,
    Told,
    UploadJob,
    check_fits,
    check_part,
    invalid_upload,
    name_in,
    named_media,
    opened_sink,
    opened_source,
    trouble_with,
)

if TYPE_CHECKING:
    from typing_extensions import Self

logger: Final = logging.getLogger("rtmsync")

T = TypeVar("T")
M = TypeVar("M", bound=FileMessage)

OnProgress: TypeAlias = Callable[[Progress], object]
"""Told how far a transfer has come, on the thread of that transfer."""

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
        """How far it has come: bytes that have arrived, and all that are to; 0 of 0 while nothing is known."""
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
        driver = self._driver
        if not driver.wait(lambda: self._ended, driver.now() + seconds, "result", self._notice):
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
            self._driver.wait(
                lambda last=last: self._ended or _is_news(self._progress, last),  # type: ignore[misc]
                FOREVER,
                "progress",
                self._notice,
            )
            ended, progress = self._ended, self._progress
            if _is_news(progress, last):
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


def _is_news(progress: Progress, last: Progress | None) -> bool:
    return progress is not _UNKNOWN and progress != last


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
        thread = self._make_transfer(operation, slot, job, progressed, ended)
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
        until = self.now() + seconds
        super().close(seconds)
        threads = list(self._transfers.values())
        for thread in threads:
            thread.join(until - self.now())
            thread.abandon()

    def leave_behind(self) -> None:
        """See `Driver`."""
        super().leave_behind()
        for thread in list(self._transfers.values()):
            thread.leave_behind()

    def _make_transfer(
        self,
        operation: Operation,
        slot: Slot,
        job: Any,
        progressed: OnProgress,
        ended: Callable[[Any, BaseException | None], None],
    ) -> TransferThread:
        return TransferThread(self, operation, slot, job, progressed, ended, self._transfer_over)

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
        self,
        media: Told,
        to: None = None,
        *,
        start: int = 0,
        stop: int | None = None,
        on_progress: OnProgress | None = None,
    ) -> Transfer[bytes]: ...
    @overload
    def download(
        self,
        media: Told,
        to: "str | os.PathLike[str]",
        *,
        start: int = 0,
        stop: int | None = None,
        on_progress: OnProgress | None = None,
    ) -> Transfer[Path]: ...
    @overload
    def download(
        self,
        media: Told,
        to: BinaryIO,
        *,
        start: int = 0,
        stop: int | None = None,
        on_progress: OnProgress | None = None,
    ) -> Transfer[int]: ...
    def download(
        self,
        media: Told,
        to: "str | os.PathLike[str] | BinaryIO | None" = None,
        *,
        start: int = 0,
        stop: int | None = None,
        on_progress: OnProgress | None = None,
    ) -> Transfer[Any]:
        """Begin to download a file, or a part of it.

        ```python
        for message in client.events(PeerMessage):
            if message.media is not None:
                client.download(message, "inbox/" + message.media.media_id).result()
        ```

        What came is checked to be what was uploaded, by its SHA-256; otherwise it fails.

        A part is what ``content[start:stop]`` would be, and everything is about it alone: the result, the file at the
        path, progress. The SHA-256 of the whole file cannot tell whether a part is right. It is checked instead that
        the server names the bytes that it sends and the file that they are of, the same one after each cut, and that
        exactly as many came.

        ```python
        head = client.download(message, stop=1024).result()
        ```

        Args:
            media: The media id, or the message.
            to: None to have the bytes as the result. A path: written to a file beside it, which gets its name when
                all is there; a file of that name is replaced. The name in a message is the sender's choice: do not use
                it as a path unseen. Or a stream that is open for writing bytes: it gets them as they come, before
                they are checked as a whole, and stays open.
            start: Offset of the first byte, from 0.
            stop: Offset behind the last byte, greater than `start` and at most the size of the file; None for its end.
            on_progress: See `upload_file`.

        Raises:
            RtmError: With a `DownloadMediaError` as its code: InvalidArgument where this is no media id, nothing can
                be written to the path, or a file of the size that the message tells has no such part, LimitExceeded
                where 9 transfers have not ended, NotLoggedIn, … Where only the server knows that the part is not all
                in the file, the transfer fails with FAILURE.
        """
        media_id = named_media(media)
        driver = self._transfer_driver
        self._check_open(DOWNLOAD)
        most = driver.core.sizes.file
        check_part(media, start, stop, most)
        try:
            sink: Sink = opened_sink(to)
        except RtmError:
            raise
        except (OSError, ValueError) as error:
            what = repr(os.fspath(to)) if isinstance(to, str | os.PathLike) else "The file"
            text = f"{what} cannot be written"
            raise trouble_with(DownloadMediaError.INVALID_ARGUMENT, text, "download", error) from error
        job = DownloadJob(driver, media_id, start, stop, sink, most)
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
            return name_in(source) if isinstance(source, str | os.PathLike) else ""
        wrong = explain_invalid_name(name)
        if wrong is not None:
            raise invalid_upload(wrong)
        return name

    def _upload(
        self, source: Origin, message: M, *, make_thumbnail: bool, on_progress: OnProgress | None
    ) -> Transfer[M]:
        self._check_open(UPLOAD)
        driver = self._transfer_driver
        most = driver.core.sizes.file
        check_fits(message, driver.core)
        opened = opened_source(source, most)
        try:
            job = UploadJob(driver, opened, most, message, make_thumbnail)
            transfer: Transfer[M] = Transfer(driver, UPLOAD, on_progress)
            transfer._begin(driver, job)
        except BaseException:
            opened.close()
            raise
        return transfer
