"""Bytes on their way out: read as fast as the socket takes them, and never further ahead than a window."""

from http import HTTPStatus

from rtmcore.codes import DownloadMediaError
from rtmcore.limits import HTTP_WINDOW_BYTES, MEDIA_CHUNK_BYTES, MEDIA_WINDOW_BYTES
from rtmcore.service.blobs.commands import (
    Blob,
    BlobBytes,
    BlobRefusal,
    BlobTrouble,
    BlobValue,
    FindBlob,
    ReadBlob,
)
from rtmcore.service.blobs.documents import (
    content_headers,
    crowded,
    etag_of,
    is_known,
    missing,
    problem_of,
)
from rtmcore.service.blobs.jobs import Download, Jobs
from rtmcore.service.web.problems import Problem
from rtmcore.wire.ranges import ByteRange, RangeNotSatisfiable, content_range, requested_range

_PIECE = min(MEDIA_CHUNK_BYTES, HTTP_WINDOW_BYTES, MEDIA_WINDOW_BYTES // 2)
"""Bytes that are read at once; while one piece is written, the next is read."""


class Downloads:
    """Carries out downloads.

    Args:
        jobs: The requests under way.
    """

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs

    def begin(self, job: Download) -> None:
        """Begin a download.

        Raises:
            Problem: The user has too many transfers.
        """
        if not self._jobs.count(job, self._jobs.context.limits["transfers"]):
            raise crowded("The user has too many transfers at once.", DownloadMediaError)
        number = self._jobs.next_number()
        self._jobs.ask(job, FindBlob(number, job.key), number, self._found)

    def go_on(self, job: Download) -> None:
        """Read on, as far as the connection has room. Call it when the socket took something."""
        if not job.begun:
            return
        connection = job.connection
        waiting = connection.measure() + job.reading
        if job.next == job.end and not waiting:
            self._jobs.context.count("downloads")
            self._jobs.end(job)
            return
        while job.next < job.end and waiting + _PIECE <= MEDIA_WINDOW_BYTES:
            size = min(_PIECE, job.end - job.next)
            number = self._jobs.next_number()
            command = ReadBlob(number, job.key, job.next, size)
            job.next += size
            job.reading += size
            waiting += size
            self._jobs.ask(job, command, number, self._read)

    def expire(self, job: Download) -> None:
        """The client took no byte for too long, or the store does not answer."""
        self.refuse(job, problem_of(BlobRefusal(BlobTrouble.BROKEN), download=True))

    def refuse(self, job: Download, problem: Problem) -> None:
        """Refuse a download, or end it where that cannot be said any more; call `Jobs.attend` afterwards."""
        if job.begun:
            self._jobs.abort(job)
        else:
            self._jobs.refuse(job, problem)

    # --- The store ----------------------------------------------------------------

    def _found(self, job: Download, value: BlobValue) -> None:
        if isinstance(value, BlobRefusal):
            self._jobs.refuse(job, problem_of(value, download=True))
            return
        assert isinstance(value, Blob)
        if not value.complete:
            self._jobs.refuse(job, missing(download=True))
            return
        headers = job.head.headers
        if is_known(headers, value):
            self._jobs.answer(job, HTTPStatus.NOT_MODIFIED, headers=[("ETag", etag_of(value))])
            return
        try:
            part = requested_range(headers, value.size, etag=etag_of(value))
        except RangeNotSatisfiable as error:
            wrong = Problem(
                HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, str(error), DownloadMediaError.FAILURE
            )
            self._jobs.refuse(job, wrong, error.headers)
            return
        self._jobs.touch(job)
        self._start(job, value, part)

    def _start(self, job: Download, blob: Blob, part: ByteRange | None) -> None:
        fields = content_headers(blob)
        status, job.next, job.end = HTTPStatus.OK, 0, blob.size
        if part is not None:
            status, job.next, job.end = HTTPStatus.PARTIAL_CONTENT, part.first, part.last + 1
            fields.append(content_range(part, blob.size))
        context = self._jobs.context
        context.count(f"blobs_{int(status)}")
        http = job.connection.transport.http
        http.start(status, fields, length=job.end - job.next, close=context.draining)
        job.begun = True
        job.connection.pull()
        self.go_on(job)

    def _read(self, job: Download, value: BlobValue) -> None:
        if not isinstance(value, BlobBytes):
            self._jobs.abort(job)
            return
        job.reading -= len(value.data)
        self._jobs.context.count("downloaded_bytes", len(value.data))
        job.connection.transport.http.send(value.data)
        job.connection.pull()
