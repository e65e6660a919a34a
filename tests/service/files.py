"""People with tickets, wired in memory to a node that keeps files."""

import json
from collections import deque
from http import HTTPStatus

from rtmcore.limits import (
    READ_CHUNK,
)
from rtmcore.service.blobs.commands import BlobAnswer, BlobRefusal, BlobTrouble, WriteBlob
from rtmcore.service.blobs.memory import MemoryBlobStore
from rtmcore.service.blobs.service import BlobSettings
from rtmcore.service.blobs.tickets import TicketOffice
from rtmcore.service.config import NodeConfig
from rtmcore.wire.exchange import (
    HttpAnswer,
    HttpBodyEnd,
    HttpClientConnection,
    HttpInterim,
    HttpPiece,
    HttpResponse,
)
from tests.openapi import check_answer
from tests.service.test_node_http import Raw
from tests.service.wires import APP, World

BASE = f"/rtm/v1/apps/{APP}"
MEDIA = f"{BASE}/media"
DATA = bytes(range(256)) * 4000
APPEND = ("Content-Type", "application/offset+octet-stream")


class HeldStore(MemoryBlobStore):
    """A store whose answers can be held back, and whose disk can be full."""

    def __init__(self) -> None:
        super().__init__()
        self.held = False
        self.refuse: BlobTrouble | None = None
        self.submitted: list = []

    def submit(self, command, wall):
        self.submitted.append(command)
        if self.refuse is not None and isinstance(command, WriteBlob):
            self._answers.append(BlobAnswer(command.number, BlobRefusal(self.refuse)))
        else:
            super().submit(command, wall)

    def next_output(self):
        return None if self.held else super().next_output()


class Files(Raw):
    """Somebody with a ticket, on one connection, who heeds what the node wants to read."""

    def __init__(self, world: World, ticket: str | None = None) -> None:
        super().__init__(world)
        self.ticket = ticket
        self.http = HttpClientConnection("rtm.example.org")
        self.out = bytearray()
        self.room = 1 << 40
        self.waiting = bytearray()
        self.interims: list[int] = []
        self.downloading = False
        self.asked: tuple[str, str] | None = None

    # --- The wire -----------------------------------------------------------------------

    def data_to_send(self):
        self.out += b"".join(self.http.data_to_send())
        if not self.out or not self.world.node.wants_data(self.number):
            return []
        piece = bytes(self.out[:READ_CHUNK])
        del self.out[:READ_CHUNK]
        return [piece]

    def deliver(self, data: bytes) -> int:
        self.waiting += data
        size = min(self.room, len(self.waiting))
        self.room -= size
        for at in range(0, size, READ_CHUNK):
            self.http.receive_data(bytes(self.waiting[at : min(size, at + READ_CHUNK)]))
            if self.downloading:
                self.take()
        del self.waiting[:size]
        return len(self.waiting)

    def read_on(self, room: int = 1 << 40) -> None:
        self.room = room
        left = self.deliver(b"")
        if left != self.reported:
            self.reported = left
            self.world.node.backlog(self.number, left, self.world.now)
        self.world.settle()

    # --- Requests -----------------------------------------------------------------------

    def headers(self, *fields):
        bearer = [] if self.ticket is None else [("Authorization", f"Bearer {self.ticket}")]
        return [*bearer, *fields]

    def do(self, method, path, document=None, *fields, body=None):
        """Status and document of a request's answer."""
        if document is not None:
            body = json.dumps(document).encode()
        self.asked = (method, path)
        self.http.request(method, path, self.headers(*fields), body)
        self.world.settle()
        return self.end()

    def end(self):
        event = self.http.next_event()
        if event is None:
            return None
        assert isinstance(event, HttpResponse), event
        self.fields = dict(event.headers)
        document = json.loads(event.body) if event.body[:1] == b"{" else None
        if self.asked is not None:
            check_answer(*self.asked, event.status, self.fields, document)
        return event.status, event.body if document is None else document

    def append(self, path, offset, data, *fields, length=None):
        """Begin an append, and send what goes; `final` tells what came of it."""
        self.begin(path, offset, len(data) if length is None else length, *fields)
        self.push(data)

    def begin(self, path, offset, length, *fields):
        self.asked = ("PATCH", path)
        fields = (APPEND, ("Upload-Offset", str(offset)), *fields)
        self.http.start("PATCH", path, self.headers(*fields), length=length)
        self.world.settle()

    def push(self, data):
        while data and not self.http.closed:
            size = self.http.room
            if not size:
                self.world.settle()
                size = self.http.room
                if not size:
                    break
            self.http.send(data[:size])
            data = data[size:]
            self.world.settle()
        self.world.settle()
        return data

    def final(self):
        """The final answer of an append; what came between is in `interims`."""
        self.world.settle()
        while (event := self.http.next_event()) is not None:
            if isinstance(event, HttpInterim):
                self.interims.append((event.status, int(dict(event.headers)["upload-offset"])))
                continue
            assert isinstance(event, HttpResponse), event
            self.fields = dict(event.headers)
            document = json.loads(event.body) if event.body else None
            check_answer(*self.asked, event.status, self.fields, document)
            return event.status, document
        return None

    def download(self, path, *fields):
        """Begin a download; `received` has what came."""
        self.asked = ("GET", path)
        self.http.request("GET", path, self.headers(*fields), judge=True)
        self.received = bytearray()
        self.whole = False
        self.status = None
        self.downloading = True
        self.world.settle()

    def take(self):
        while (event := self.http.next_event()) is not None:
            if isinstance(event, HttpAnswer):
                self.status, self.fields = event.status, dict(event.headers)
                if self.status < HTTPStatus.BAD_REQUEST:
                    check_answer(*self.asked, self.status, self.fields, None)
                self.http.admit_pieces(1 << 40)
            elif isinstance(event, HttpPiece):
                self.received += event.data
                self.http.consumed(len(event.data))
            elif isinstance(event, HttpBodyEnd):
                self.whole, self.downloading = True, False


class Place:
    """A node that keeps files, and people with tickets for it."""

    def __init__(self, **config) -> None:
        self.store = HeldStore()
        self.drawn = 0
        self.office = TicketOffice(bytes(32))
        self.world = World(
            config=NodeConfig(node="n1", **config), blobs=BlobSettings(self.store, self.office, self._draw)
        )
        self.node = self.world.node

    def _draw(self) -> str:
        self.drawn += 1
        return f"id-of-a-blob-{self.drawn:010}"

    def ticket(self, user="alice", token="good", app=APP) -> str:
        one = Files(self.world, token)
        status, document = one.do("POST", f"/rtm/v1/apps/{app}/tickets", {"user": user})
        assert status == 201, document
        one.world.node.connection_lost(one.number, self.world.now)
        return document["ticket"]

    def files(self, user="alice", token="good") -> Files:
        return Files(self.world, self.ticket(user, token))

    def create(self, data=DATA, user="alice", **fields) -> str:
        """The path of an upload that is begun."""
        one = self.files(user)
        status, document = one.do("POST", MEDIA, {"size": len(data), "kind": "file", **fields})
        assert status == 201, document
        assert one.fields["location"] == f"{MEDIA}/{document['id']}"
        return one.fields["location"]

    def upload(self, data=DATA, user="alice", **fields) -> str:
        path = self.create(data, user, **fields)
        one = self.files(user)
        one.append(path, 0, data)
        status, document = one.final()
        assert status == 201, document
        return path

    def let_go(self) -> None:
        self.store.held = False
        self.world.settle()


class Chunks(Raw):
    """A client that sends by hand, as far as the node reads."""

    def send(self, data: bytes) -> None:
        self.rest = deque(pieces(data, READ_CHUNK))
        self.world.settle()

    def data_to_send(self):
        if not getattr(self, "rest", None) or not self.world.node.wants_data(self.number):
            return []
        return [self.rest.popleft()]


def pieces(data, size):
    return [data[at : at + size] for at in range(0, len(data), size)]
