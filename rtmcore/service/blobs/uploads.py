"""Bytes on their way in: held to what was announced, written as they come, told as they are written."""

from http import HTTPStatus
from typing import Final

from rtmcore.codes import UploadMediaError
from rtmcore.limits import MEDIA_CHUNK_BYTES, MEDIA_WINDOW_BYTES
from rtmcore.service.blobs.commands import (
    Blob,
    BlobKey,
    BlobRefusal,
    BlobTrouble,
    BlobValue,
    BlobWritten,
    FindBlob,
    FinishBlob,
    RemoveBlob,
    WriteBlob,
)
from rtmcore.service.blobs.documents import (
    crowded,
    document_of,
    etag_of,
    missing,
    offset_of,
    problem_of,
    read_offset,
)
from rtmcore.service.blobs.jobs import Job, Jobs, Upload
from rtmcore.service.web.problems import Problem
from rtmcore.wire.http import Headers, names_token

UPLOAD_RESUMPTION: Final = 104
"""The status of the interim responses that tell how far an upload is."""

_INTERIMS: Final = 1024
"""Interim responses to one append, about; clients bear a bounded number."""

_UNBOUNDED: Final = 1 << 62
"""More than any body has: the bytes of chunks are counted here, so that the answer can say it."""


class Uploads:
    """Carries out appends.

    Args:
        jobs: The requests under way.
    """

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs
        self._open: dict[BlobKey, Upload] = {}
        jobs.on_end.append(self._forget)

    def begin(self, job: Upload) -> None:
        """Begin an append: its offset is judged before its body is asked for.

        Raises:
            Problem: The head of the request says why not.
        """
        assert job.ticket is not None
        job.named = read_offset(job.head.headers)
        self.interrupt(job.key, job.ticket.user)
        if not self._jobs.count(job, self._jobs.context.limits["transfers"]):
            raise crowded("The user has too many transfers at once.", UploadMediaError)
        self._open[job.key] = job
        number = self._jobs.next_number()
        self._jobs.ask(job, FindBlob(number, job.key), number, self._found)

    def interrupt(self, key: BlobKey, user: str) -> None:
        """End the append of the same user that is still open, whose client has gone or thinks better of it."""
        job = self._open.get(key)
        if job is not None and job.ticket is not None and job.ticket.user == user:
            self._jobs.abort(job)

    def _forget(self, job: Job) -> None:
        if self._open.get(job.key) is job:
            del self._open[job.key]

    # --- The client ---------------------------------------------------------------

    def take_piece(self, job: Upload, data: bytes) -> None:
        """Take the next bytes of the body."""
        assert job.blob is not None
        self._jobs.touch(job)
        if job.received + len(data) > job.blob.size:
            self._too_much(job)
            return
        number = self._jobs.next_number()
        command = WriteBlob(number, job.key, job.received, data)
        job.received += len(data)
        self._jobs.ask(job, command, number, self._written)

    def take_end(self, job: Upload) -> None:
        """The body is complete."""
        job.ended = True
        self._conclude(job)

    def expire(self, job: Upload) -> None:
        """No byte came for too long, or the store does not answer."""
        if job.blob is None or job.finishing or job.written < job.received:
            self.refuse(job, problem_of(BlobRefusal(BlobTrouble.BROKEN)))
            return
        late = Problem(HTTPStatus.REQUEST_TIMEOUT, "No byte came for too long.", UploadMediaError.TIMEOUT)
        self.refuse(job, late, [("Upload-Offset", str(job.written))])

    # --- The store ----------------------------------------------------------------

    def _found(self, job: Upload, value: BlobValue) -> None:
        assert job.ticket is not None
        if isinstance(value, BlobRefusal):
            self.refuse(job, problem_of(value))
            return
        assert isinstance(value, Blob)
        if value.user != job.ticket.user:
            self.refuse(job, missing())
        elif job.named != value.offset:
            text = f"The upload is at the offset {value.offset}, not at {job.named}."
            self.refuse(job, Problem(HTTPStatus.CONFLICT, text), [offset_of(value)])
        elif job.head.length is not None and job.head.length > value.size - value.offset:
            job.blob = value
            self._too_much(job)
        elif value.complete:
            self._answer_complete(job, value)
        else:
            self._admit(job, value)

    def _admit(self, job: Upload, blob: Blob) -> None:
        job.blob = blob
        job.received = job.written = job.told = blob.offset
        if not names_token(job.head.headers, "prefer", "no-interim"):
            job.interval = max(MEDIA_CHUNK_BYTES, blob.size // _INTERIMS)
        self._jobs.touch(job)
        job.connection.transport.http.admit_pieces(_UNBOUNDED, window=MEDIA_WINDOW_BYTES // 2)

    def _written(self, job: Upload, value: BlobValue) -> None:
        if isinstance(value, BlobRefusal):
            self.refuse(job, problem_of(value))
            return
        assert isinstance(value, BlobWritten)
        assert job.blob is not None
        http = job.connection.transport.http
        http.consumed(value.offset - job.written)
        self._jobs.context.count("uploaded_bytes", value.offset - job.written)
        job.written = value.offset
        self._jobs.touch(job)
        if job.interval and job.written - job.told >= job.interval and job.written < job.blob.size:
            job.told = job.written
            http.inform(UPLOAD_RESUMPTION, [("Upload-Offset", str(job.written))])
        self._conclude(job)

    def _conclude(self, job: Upload) -> None:
        """Answer, or have the file finished, where all that came is written."""
        if not job.ended or job.written < job.received or job.finishing:
            return
        assert job.blob is not None
        if job.written < job.blob.size:
            headers = [("Upload-Offset", str(job.written))]
            self._jobs.answer(job, HTTPStatus.NO_CONTENT, headers=headers)
            return
        job.finishing = True
        number = self._jobs.next_number()
        self._jobs.ask(job, FinishBlob(number, job.key), number, self._finished)

    def _finished(self, job: Upload, value: BlobValue) -> None:
        if isinstance(value, BlobRefusal):
            self.refuse(job, problem_of(value))
            return
        assert isinstance(value, Blob)
        self._jobs.context.count("uploads")
        self._answer_complete(job, value)

    # --- Answers ------------------------------------------------------------------

    def _answer_complete(self, job: Upload, blob: Blob) -> None:
        headers = [offset_of(blob), ("ETag", etag_of(blob))]
        self._jobs.answer(job, HTTPStatus.CREATED, document_of(blob), headers)

    def _too_much(self, job: Upload) -> None:
        """The body has more bytes than are missing: whoever sends it is wrong about the file."""
        assert job.blob is not None
        if not job.blob.complete:
            self._jobs.tell(RemoveBlob(self._jobs.next_number(), job.key))
        text = f"The body has more bytes than the {job.blob.size} that were announced."
        self.refuse(job, Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, text, UploadMediaError.SIZE_OVERFLOW))

    def refuse(self, job: Upload, problem: Problem, headers: Headers | None = None) -> None:
        """Refuse an append; call `Jobs.attend` afterwards.

        Its connection is of no use for another one where pieces of the body are left over.
        """
        self._jobs.refuse(job, problem, headers, close=job.blob is not None)
