"""A download: what is missing is asked for until all is here, and is what the server said that it is."""

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
from rtmcore.wire.ranges import answered_range, range_from

_SHA256: Final = re.compile(r'"([0-9a-f]{64})"')


class Download(TransferCore):
    """Downloads one file.

    Its bytes come in order and each once, as `Received` events; report them by `consumed` when they are written.

    Args:
        config: The client's settings.
        random: Gives a number in [0, 1) at each call, for jitter.
        media_id: Names the file.
        limit: Bytes that it may have at most.
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
        limit: int = MEDIA_BYTES,
        idle_timeout: float = MEDIA_IDLE_TIMEOUT,
    ) -> None:
        super().__init__(config, OPERATION, random, idle_timeout)
        self._target = f"{self._files}/{quote(media_id, safe='')}"
        self._limit = limit
        self._hash = sha256()
        self._offset = 0
        # Bytes at the beginning of the answer that are here already.
        self._skip = 0
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
        if self._offset:
            headers += [range_from(self._offset), ("If-Range", f'"{self.sha256}"')]
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
        first, total = 0, answer.length
        if answer.status == HTTPStatus.PARTIAL_CONTENT:
            found = answered_range(answer.headers)
            if found is None or found.range is None or found.range.first > self._offset:
                return "The server has answered with another part of the file than was asked for."
            first, total = found.range.first, found.total
        if total is None:
            return "The server does not say the size of the file."
        if total > self._limit:
            return f"The file has {total} bytes; at most {self._limit} are downloaded."
        if self.sha256 and total != self.total:
            return "The file at the server has another size than at the beginning."
        if not self.sha256:
            self.sha256, self.total = told[1], total
            self._events.append(Progress(0, total))
        self._skip = self._offset - first
        return None

    def _take(self, data: bytes, now: float) -> None:
        assert self._http is not None
        if self._skip:
            known = min(self._skip, len(data))
            self._skip -= known
            self._http.consumed(known)
            data = data[known:]
        if not data:
            return
        self._hash.update(data)
        self._offset += len(data)
        if self._offset > self.total:
            self._refuse("FAILURE", "The server sends more bytes than the file has.", now)
            return
        self._events.append(Received(data))
        self._arrived(self._offset, now)

    def _end_of_body(self, now: float) -> None:
        if self._offset < self.total:
            self._cut(ConnectionFailed("The server has sent a part of the file only."), now)
        elif self._hash.hexdigest() != self.sha256:
            self._refuse(
                "FAILURE", "The bytes that came are not those of the file: its checksum differs.", now
            )
        else:
            self._feed(Input.COMPLETE, now)
