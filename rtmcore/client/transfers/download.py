"""A download of a file or a part of it: what is missing is asked for until all is here, as the server told it."""

import re
from collections.abc import Callable
from hashlib import sha256
from http import HTTPStatus
from typing import Final
from urllib.parse import quote

from rtmcore.client.config import ClientConfig
from rtmcore.client.requests import DOWNLOAD as OPERATION
from rtmcore.client.transfers import states
from rtmcore.client.transfers.events import Progress, Received
from rtmcore.client.transfers.states import Effect, Input
from rtmcore.client.transfers.transfer import TransferCore
from rtmcore.errors import ConnectionFailed
from rtmcore.limits import MEDIA_BYTES, MEDIA_IDLE_TIMEOUT
from rtmcore.wire.exchange import HttpAnswer, HttpBodyEnd, HttpPiece, HttpResponse
from rtmcore.wire.exchange.client import ClientEvent
from rtmcore.wire.http import header_values
from rtmcore.wire.ranges import ByteRange, answered_range, range_from

_SHA256: Final = re.compile(r'"([0-9a-f]{64})"')


class Download(TransferCore):
    """Downloads one file, or the part of it from `start` to before `stop`.

    The checksum of the file tells whether all of it has come as it was. There is none of a part: the server has to say
    which bytes it sends (Content-Range) and of which file (ETag), the same one at each attempt, and as many have to
    come.

    Its bytes come in order and each once, as `Received` events; report them by `consumed` when they are written.

    Args:
        config: The client's settings.
        random: Gives a number in [0, 1) at each call, for jitter.
        media_id: Names the file.
        start: Offset of the first byte, from 0.
        stop: Offset behind the last byte, greater than `start`; None for all that follow. A file that ends before it
            makes the download fail.
        limit: Bytes that the file may have at most.
        idle_timeout: Seconds without a byte, after which it fails.

    Attributes:
        sha256: Of the file, as the server says it; empty before its first answer.
    """

    TABLE = states.DOWNLOAD

    def __init__(
        self,
        config: ClientConfig,
        random: Callable[[], float],
        media_id: str,
        *,
        start: int = 0,
        stop: int | None = None,
        limit: int = MEDIA_BYTES,
        idle_timeout: float = MEDIA_IDLE_TIMEOUT,
    ) -> None:
        super().__init__(config, OPERATION, random, idle_timeout)
        self._target = f"{self._files}/{quote(media_id, safe='')}"
        self._start = start
        self._stop = stop
        self._limit = limit
        self._hash = sha256()
        self._size = 0
        # Offsets in the file: of the next byte that is missing, of the next one in the answer, and behind its last.
        self._offset = start
        self._answer_at = 0
        self._answer_end = 0
        self.sha256 = ""
        self._effects[Effect.RECEIVE] = self._receive

    def consumed(self, size: int, now: float) -> None:
        """Bytes of `Received` events are written."""
        self._moved_at = self._line_at = now
        if self._http is not None:
            self._http.consumed(size)

    # --- Inside -------------------------------------------------------------------------------------------------

    def _receive(self, _: float) -> None:
        assert self._http is not None
        headers = self._headers()
        if self._offset or self._stop is not None:
            headers.append(range_from(self._offset, None if self._stop is None else self._stop - 1))
            if self.sha256:
                headers.append(("If-Range", f'"{self.sha256}"'))
        self._http.request("GET", self._target, headers, judge=True)

    def _handle(self, event: ClientEvent, now: float) -> None:
        if isinstance(event, HttpAnswer):
            self._begin(event, now)
        elif isinstance(event, HttpPiece):
            self._take(event.data, now)
        elif isinstance(event, HttpBodyEnd):
            self._end_of_body(now)
        elif isinstance(event, HttpResponse):
            self._judge(event, now)

    def _begin(self, answer: HttpAnswer, now: float) -> None:
        assert self._http is not None
        if answer.status not in (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT):
            self._http.admit()
            return
        wrong = self._explain_unfit(answer)
        if wrong is not None:
            self._refuse("FAILURE", wrong, now)
            return
        self._let_in()
        self._http.admit_pieces(self._limit)

    def _explain_unfit(self, answer: HttpAnswer) -> str | None:
        """Say why an answer is not the one that was asked for; otherwise note what it says."""
        etags = header_values(answer.headers, "etag")
        told = _SHA256.fullmatch(etags[0]) if len(etags) == 1 else None
        if told is None:
            return "The server does not say the checksum of the file."
        if self.sha256 and told[1] != self.sha256:
            return "The file at the server is another one than at the beginning."
        first, last, total = 0, None, answer.length
        if answer.status == HTTPStatus.PARTIAL_CONTENT:
            found = answered_range(answer.headers)
            if found is None or found.range is None or not self._fits(found.range):
                return "The server has answered with another part of the file than was asked for."
            first, last, total = found.range.first, found.range.last, found.total
        if total is None:
            return "The server does not say the size of the file."
        if total > self._limit:
            return f"The file has {total} bytes; at most {self._limit} are downloaded."
        if self.sha256 and total != self._size:
            return "The file at the server has another size than at the beginning."
        stop = total if self._stop is None else self._stop
        if stop > total or (self._start and self._start >= stop):
            return f"The file has {total} bytes; the part that was asked for is not all in it."
        if not self.sha256:
            self.sha256, self._size, self.total = told[1], total, stop - self._start
            self._events.append(Progress(0, self.total))
        self._answer_at, self._answer_end = first, total if last is None else last + 1
        return None

    def _fits(self, part: ByteRange) -> bool:
        """Whether what the server sends leaves no gap, and does not end behind what was asked for."""
        return part.first <= self._offset and (self._stop is None or part.last < self._stop)

    def _take(self, data: bytes, now: float) -> None:
        assert self._http is not None
        at, self._answer_at = self._answer_at, self._answer_at + len(data)
        if self._answer_at > self._answer_end:
            self._refuse("FAILURE", "The server sends more bytes than it has told.", now)
            return
        # What a server sends that knows no ranges, or not this one, may begin before what is missing and end behind it.
        wanted = data[max(0, self._offset - at) : max(0, self._until - at)]
        if len(wanted) < len(data):
            self._http.consumed(len(data) - len(wanted))
        if not wanted:
            return
        self._hash.update(wanted)
        self._offset += len(wanted)
        self._events.append(Received(wanted))
        self._arrived(self._offset - self._start, now)
        if self._offset == self._until < self._answer_end:
            self._feed(Input.COMPLETE, now)

    @property
    def _until(self) -> int:
        """The offset behind the last byte that is wanted."""
        return self._start + self.total

    def _end_of_body(self, now: float) -> None:
        if self._offset < self._until:
            self._cut(ConnectionFailed("The server has sent less than was asked for."), now)
        elif self.total == self._size and self._hash.hexdigest() != self.sha256:
            self._refuse(
                "FAILURE", "The bytes that came are not those of the file: its checksum differs.", now
            )
        else:
            self._feed(Input.COMPLETE, now)
