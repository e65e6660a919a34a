"""An upload: a media id is asked for, the bytes follow from where the server has got to, until it has them all."""

import json
from collections.abc import Callable
from http import HTTPStatus
from typing import Final
from urllib.parse import quote

from rtmcore.client.config import ClientConfig
from rtmcore.client.requests import UPLOAD as OPERATION
from rtmcore.client.transfers import states
from rtmcore.client.transfers.answers import told_offset
from rtmcore.client.transfers.states import Effect, Input, Phase
from rtmcore.client.transfers.transfer import TransferCore, succeeded
from rtmcore.errors import ConnectionFailed
from rtmcore.files import is_valid_media_id
from rtmcore.limits import MEDIA_CHUNK_BYTES, MEDIA_IDLE_TIMEOUT
from rtmcore.wire.exchange import HttpInterim, HttpResponse
from rtmcore.wire.exchange.client import ClientEvent

_JSON: Final = ("Content-Type", "application/json")
_APPEND: Final = ("Content-Type", "application/offset+octet-stream")
_BEGINNINGS_MAX: Final = 4
"""Media ids that one upload may have: the server forgets those of others who are unfinished for too long."""


class Upload(TransferCore):
    """Uploads one file.

    Its owner looks at `wanted` after each input, gives the bytes by `give`, and writes what `data_to_send` has as
    the connection takes it.

    Args:
        config: The client's settings.
        random: Gives a number in [0, 1) at each call, for jitter.
        size: Bytes of the file, at least 1.
        kind: ``file`` or ``image``.
        name: What it is called; may be empty.
        sha256: Of the file, 64 hexadecimal digits: the server keeps nothing else.
        type: Its media type; empty where it is that of any bytes.
        idle_timeout: Seconds without a byte, after which it fails.

    Attributes:
        media_id: Names it; None as long as the server has given none.
    """

    TABLE = states.UPLOAD

    def __init__(
        self,
        config: ClientConfig,
        random: Callable[[], float],
        *,
        size: int,
        kind: str,
        name: str,
        sha256: str,
        type: str = "",
        idle_timeout: float = MEDIA_IDLE_TIMEOUT,
    ) -> None:
        super().__init__(config, OPERATION, random, idle_timeout)
        self.total = size
        self.media_id: str | None = None
        self._announcement = {"size": size, "kind": kind, "sha256": sha256}
        self._announcement.update({key: value for key, value in (("name", name), ("type", type)) if value})
        # Bytes that were given on this connection, counted from the beginning of the file; and the most ever.
        self._position = 0
        self._reach = 0
        # Where the request that is under way has begun; and whether the server has just said where to begin.
        self._begin = -1
        self._located = False
        self._beginnings = 0
        self._effects.update(
            {
                Effect.ANNOUNCE: self._announce,
                Effect.LOOK: self._look,
                Effect.SEND: self._send,
                Effect.ANEW: self._anew,
                Effect.REMOVE: self._remove,
            }
        )

    @property
    def wanted(self) -> tuple[int, int] | None:
        """The offset and the number of bytes that `give` takes now; None where it takes none."""
        if self.phase is not Phase.SENDING or self._http is None:
            return None
        size = min(self._http.room, MEDIA_CHUNK_BYTES)
        return (self._position, size) if size else None

    def give(self, data: bytes, now: float) -> None:
        """Give the bytes that are wanted, or the first of them."""
        if self._http is None or not data:
            return
        self._http.send(data)
        self._position += len(data)
        if self._position > self._reach:
            self._reach = self._position
            self._moved_at = now

    # --- Requests -----------------------------------------------------------------------------------------------

    def _opened(self) -> Input:
        if self.media_id is None:
            return Input.OPENED
        return Input.OFFSET if self._located and not self.ended else Input.REOPENED

    @property
    def _target(self) -> str:
        return f"{self._files}/{quote(self.media_id or '', safe='')}"

    def _announce(self, _: float) -> None:
        assert self._http is not None
        self._http.request("POST", self._files, self._headers(_JSON), json.dumps(self._announcement).encode())

    def _look(self, _: float) -> None:
        assert self._http is not None
        self._http.request("HEAD", self._target, self._headers())

    def _send(self, now: float) -> None:
        http = self._http
        assert http is not None
        if not http.ready:
            self._cut(ConnectionFailed("The server ends the connection behind its answer."), now)
            return
        self._begin = self._position
        self._located = False
        http.start(
            "PATCH",
            self._target,
            self._headers(_APPEND, ("Upload-Offset", str(self._position))),
            length=self.total - self._position,
        )

    def _remove(self, _: float) -> None:
        assert self._http is not None
        self._http.request("DELETE", self._target, self._headers())

    def _removable(self) -> bool:
        return self.media_id is not None and self._ticket is not None

    # --- Answers ------------------------------------------------------------------------------------------------

    def _handle(self, event: ClientEvent, now: float) -> None:
        if isinstance(event, HttpInterim):
            offset = told_offset(event.headers)
            if offset is not None and self._believable(offset):
                self._let_in()
                self._arrived(offset, now)
        elif isinstance(event, HttpResponse):
            self._answered(event, now)

    def _answered(self, response: HttpResponse, now: float) -> None:
        conflict = response.status == HTTPStatus.CONFLICT and self.phase is Phase.SENDING
        if not (succeeded(response.status) or conflict):
            self._judge(response, now)
            return
        if self.phase is Phase.ANNOUNCING:
            self._announced(response, now)
            return
        complete = response.status == (HTTPStatus.OK if self.phase is Phase.LOOKING else HTTPStatus.CREATED)
        if complete or (self.phase is Phase.SENDING and response.status == HTTPStatus.OK):
            self._let_in()
            self._feed(Input.COMPLETE, now)
            return
        offset = told_offset(response.headers)
        if offset is None or not 0 <= offset <= self.total:
            self._refuse("FAILURE", "The server does not say how many bytes of the upload it has.", now)
            return
        stuck = self.phase is Phase.SENDING and offset <= self._begin
        self._let_in()
        self._arrived(offset, now)
        self._position = offset
        if (stuck and not conflict) or (conflict and offset == self._begin):
            self._cut(ConnectionFailed("The server has taken nothing of what was sent."), now)
        else:
            self._located = True
            self._feed(Input.OFFSET, now)

    def _announced(self, response: HttpResponse, now: float) -> None:
        try:
            media_id = json.loads(response.body)["id"]
        except (ValueError, TypeError, KeyError, RecursionError):
            media_id = None
        if not is_valid_media_id(media_id):
            self._refuse("FAILURE", "The server's answer to the announcement has no media id.", now)
            return
        self._let_in()
        self.media_id = media_id
        self._position = 0
        self._located = True
        self._feed(Input.OFFSET, now)

    def _believable(self, offset: int) -> bool:
        """Whether the server can have so many bytes: it was given as many."""
        return offset <= self._position

    def _gone(self) -> Input:
        if self.phase is Phase.ANNOUNCING:
            return Input.REFUSED
        self._beginnings += 1
        return Input.REFUSED if self._beginnings >= _BEGINNINGS_MAX else Input.GONE

    def _anew(self, now: float) -> None:
        self.media_id = None
        self._position = 0
        self._retry(now)
