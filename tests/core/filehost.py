"""A scripted server of files, and a bench that drives an upload or a download against it; all in memory."""

import hashlib
import json
from collections import deque
from random import Random

from rtmcore.client.config import ClientConfig
from rtmcore.client.events import CloseTransport, OpenTransport
from rtmcore.client.transfers.download import Download
from rtmcore.client.transfers.events import Ended, NeedTicket, Progress, Received, TransferLinkChanged
from rtmcore.client.transfers.upload import Upload
from rtmcore.errors import ConnectionFailed, RtmError
from rtmcore.wire.exchange import HttpServerConnection
from rtmcore.wire.exchange.events import HttpBody, HttpBodyEnd, HttpFailed, HttpHead, HttpPiece
from rtmcore.wire.http import header_values
from rtmcore.wire.ranges import RangeNotSatisfiable, content_range, requested_range
from tests.core.wires import APP

PATH = f"/rtm/v1/apps/{APP}/media"
ACKNOWLEDGE = 4096


class FileHost:
    """What a server knows: files, tickets, and answers that it was told to give instead of its own."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.unfinished: dict[str, tuple[dict[str, object], bytearray]] = {}
        self.tickets = {"good"}
        self.instead: deque[tuple[int, list[tuple[str, str]], bytes]] = deque()
        self.asked: list[str] = []
        self.ranges: list[str | None] = []
        self.knows_ranges = True
        self.close_each = False
        self.silent = False
        self.interim = True
        self._ids = 0

    def new_id(self) -> str:
        self._ids += 1
        return f"id-{self._ids}"


class HostSide:
    """One connection to the host."""

    def __init__(self, host: FileHost) -> None:
        self.host = host
        self.http = HttpServerConnection()
        self._id = ""
        self._told = 0

    def receive(self, data: bytes) -> bytes:
        self.http.receive_data(data)
        out: list[bytes] = []
        while (event := self.http.next_event()) is not None:
            if isinstance(event, HttpHead):
                self._asked(event)
            elif isinstance(event, HttpBody):
                self._announced(event.body)
            elif isinstance(event, HttpPiece):
                self._write(event.data)
            elif isinstance(event, HttpBodyEnd):
                self._written()
            elif isinstance(event, HttpFailed):
                break
            out += self.http.data_to_send()
        out += self.http.data_to_send()
        return b"" if self.host.silent else b"".join(out)

    def _say(self, status: int, *headers: tuple[str, str], body: bytes = b"") -> None:
        self.http.respond(status, headers, body, close=self.host.close_each)

    def _asked(self, head: HttpHead) -> None:
        host = self.host
        host.asked.append(head.method)
        if host.instead:
            status, headers, body = host.instead.popleft()
            self._say(status, *headers, body=body)
            return
        (bearer,) = header_values(head.headers, "authorization")
        if bearer.removeprefix("Bearer ") not in host.tickets:
            self._say(401)
            return
        self._id = head.target.removeprefix(PATH).removeprefix("/")
        getattr(self, f"_{head.method.lower()}")(head)

    def _post(self, _: HttpHead) -> None:
        self.http.admit()

    def _announced(self, body: bytes) -> None:
        id = self.host.new_id()
        self.host.unfinished[id] = (json.loads(body), bytearray())
        self._say(201, body=json.dumps({"id": id}).encode())

    def _head(self, _: HttpHead) -> None:
        host = self.host
        if self._id in host.files:
            self._say(200, ("ETag", "x"))
        elif self._id in host.unfinished:
            self._say(204, ("Upload-Offset", str(len(host.unfinished[self._id][1]))))
        else:
            self._say(404)

    def _patch(self, head: HttpHead) -> None:
        if self._id not in self.host.unfinished:
            self._say(404)
            return
        _, data = self.host.unfinished[self._id]
        (offset,) = header_values(head.headers, "upload-offset")
        if int(offset) != len(data):
            self._say(409, ("Upload-Offset", str(len(data))))
            return
        self._told = len(data)
        self.http.admit_pieces(2**30)

    def _write(self, piece: bytes) -> None:
        _, data = self.host.unfinished[self._id]
        data += piece
        self.http.consumed(len(piece))
        if self.host.interim and len(data) - self._told >= ACKNOWLEDGE:
            self._told = len(data)
            self.http.inform(104, [("Upload-Offset", str(len(data)))])

    def _written(self) -> None:
        about, data = self.host.unfinished[self._id]
        if len(data) < int(str(about["size"])):
            self._say(204, ("Upload-Offset", str(len(data))))
            return
        del self.host.unfinished[self._id]
        if hashlib.sha256(data).hexdigest() != about["sha256"]:
            self._say(422)
            return
        self.host.files[self._id] = bytes(data)
        self._say(201, ("Upload-Offset", str(len(data))))

    def _delete(self, _: HttpHead) -> None:
        self.host.files.pop(self._id, None)
        self.host.unfinished.pop(self._id, None)
        self._say(204)

    def _get(self, head: HttpHead) -> None:
        data = self.host.files.get(self._id)
        if data is None:
            self._say(404)
            return
        etag = f'"{hashlib.sha256(data).hexdigest()}"'
        self.host.ranges.append(",".join(header_values(head.headers, "range")) or None)
        try:
            part = requested_range(head.headers, len(data), etag=etag) if self.host.knows_ranges else None
        except RangeNotSatisfiable as error:
            self._say(416, *error.headers)
            return
        if part is None:
            self._say(200, ("ETag", etag), body=data)
        else:
            body = data[part.first : part.last + 1]
            self._say(206, ("ETag", etag), content_range(part, len(data)), body=body)


class Line:
    """The bench of one transfer: time, connections that open or do not, and bytes that may be cut.

    Attributes:
        budgets: For each connection in turn, bytes in both directions after which it is cut; None for no cut.
        up: Whether connections open.
    """

    def __init__(self, transfer: Upload | Download, host: FileHost, data: bytes = b"") -> None:
        self.transfer = transfer
        self.host = host
        self.data = data
        self.now = 1000.0
        self.budgets: deque[int] = deque()
        self.up = True
        self.tickets: deque[str] = deque()
        self.got = bytearray()
        self.progress: list[Progress] = []
        self.links: list[TransferLinkChanged] = []
        self.ended: list[Ended] = []
        self.opened = 0
        self.asked_tickets: list[str | None] = []
        self.step = 3000
        self._side: HostSide | None = None
        self._left = 2**60

    @property
    def error(self) -> RtmError | None:
        assert len(self.ended) == 1
        return self.ended[0].error

    def run(self, seconds: float = 0.0) -> "Line":
        """Do all that can be done, for so many seconds of the bench's time."""
        until = self.now + seconds
        while True:
            while self._turn():
                pass
            due = self.transfer.next_deadline()
            if due is None or due > until:
                self.now = max(self.now, until)
                return self
            self.now = max(self.now, due)
            self.transfer.handle_timer(self.now)

    def _turn(self) -> bool:
        transfer, acted = self.transfer, False
        while (event := transfer.next_event()) is not None:
            acted = True
            self._act(event)
        if isinstance(transfer, Upload) and self._side is not None and (wanted := transfer.wanted):
            offset, size = wanted
            transfer.give(self.data[offset : offset + min(size, self.step)], self.now)
            acted = True
        link = transfer.link
        for data in transfer.data_to_send(self.now):
            acted = True
            if transfer.link == link:
                self._carry(data)
        return acted

    def _act(self, event: object) -> None:
        transfer = self.transfer
        if isinstance(event, NeedTicket):
            self.asked_tickets.append(event.refused)
            ticket = self.tickets.popleft() if self.tickets else "good"
            transfer.ticket(ticket, self.now)
        elif isinstance(event, OpenTransport):
            self.opened += 1
            if self.up:
                self._side = HostSide(self.host)
                self._left = self.budgets.popleft() if self.budgets else 2**60
                transfer.transport_opened(event.id, self.now)
            else:
                transfer.transport_failed(event.id, ConnectionFailed("Nobody listens."), self.now)
        elif isinstance(event, CloseTransport):
            self._side = None
        elif isinstance(event, Received):
            self.got += event.data
            assert isinstance(transfer, Download)
            transfer.consumed(len(event.data), self.now)
        elif isinstance(event, Progress):
            self.progress.append(event)
        elif isinstance(event, TransferLinkChanged):
            self.links.append(event)
        elif isinstance(event, Ended):
            self.ended.append(event)

    def _carry(self, data: bytes) -> None:
        side, link = self._side, self.transfer.link
        if side is None:
            return
        if len(data) > self._left:
            side.receive(data[: self._left])
            self._cut(link)
            return
        self._left -= len(data)
        answer = side.receive(data)
        while answer and self.transfer.link == link:
            piece, answer = answer[: self.step], answer[self.step :]
            if len(piece) > self._left:
                self.transfer.receive_data(link, piece[: self._left], self.now)
                self._take_events()
                self._cut(link)
                return
            self._left -= len(piece)
            self.transfer.receive_data(link, piece, self.now)
            self._take_events()
        if side.http.closed and self._side is side:
            self.transfer.receive_eof(link, self.now)

    def _take_events(self) -> None:
        while (event := self.transfer.next_event()) is not None:
            self._act(event)

    def _cut(self, link: int) -> None:
        self._side = None
        self.transfer.transport_failed(link, ConnectionFailed("Cut."), self.now)


def config(**more: object) -> ClientConfig:
    return ClientConfig(endpoints="ws://h", app_id=APP, user_id="ann", **more)


def uploading(data: bytes, host: FileHost, seed: int = 0, **more: str) -> Line:
    """An upload that has begun."""
    about = {"kind": "file", "name": "", "sha256": hashlib.sha256(data).hexdigest(), **more}
    upload = Upload(config(), Random(seed).random, size=len(data), **about)
    line = Line(upload, host, data)
    upload.start(line.now)
    return line


def downloading(id: str, host: FileHost, seed: int = 0, **more: int | None) -> Line:
    """A download that has begun."""
    download = Download(config(), Random(seed).random, id, **more)
    line = Line(download, host)
    download.start(line.now)
    return line
