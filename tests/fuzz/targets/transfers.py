"""Targets: uploads and downloads with servers that say anything, messages about files, headers of images."""

import hashlib
from random import Random
from typing import Final

from rtmcore.client.config import ClientConfig
from rtmcore.client.events import OpenTransport
from rtmcore.client.transfers.download import Download
from rtmcore.client.transfers.events import Ended, NeedTicket, Progress, Received
from rtmcore.client.transfers.upload import Upload
from rtmcore.errors import ConnectionFailed
from rtmcore.files import FILE_KINDS, ImageMessage, decode_file, encode_file
from rtmcore.images import image_size, media_type
from rtmcore.limits import MEDIA_IDLE_TIMEOUT
from tests.fuzz.harness import Case, expect
from tests.fuzz.mutation import cut, mutate

_DATA: Final = bytes(range(256)) * 40
_SHA256: Final = hashlib.sha256(_DATA).hexdigest()
_CONFIG: Final = ClientConfig(endpoints="ws://h", app_id="a" * 32, user_id="ann")
_UP: Final = (
    b'HTTP/1.1 201 Created\r\nUpload-Offset: 0\r\nContent-Length: 13\r\n\r\n{"id": "abc"}',
    b"HTTP/1.1 104 \r\nUpload-Offset: 512\r\n\r\n",
    b"HTTP/1.1 204 No Content\r\nUpload-Offset: 9000\r\n\r\n",
    b"HTTP/1.1 409 Conflict\r\nUpload-Offset: 100\r\nContent-Length: 2\r\n\r\n{}",
    b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}",
    b"HTTP/1.1 503 Busy\r\nRetry-After: 3\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 201 Created\r\nUpload-Offset: 10240\r\nContent-Length: 2\r\n\r\n{}",
)
_DOWN: Final = (
    b'HTTP/1.1 200 OK\r\nETag: "%b"\r\nContent-Length: 10240\r\n\r\n' % _SHA256.encode() + _DATA,
    b'HTTP/1.1 206 P\r\nETag: "%b"\r\nContent-Range: bytes 5000-10239/10240\r\nContent-Length: 5240\r\n\r\n'
    % _SHA256.encode()
    + _DATA[5000:],
    b'HTTP/1.1 200 OK\r\nETag: "%b"\r\nContent-Length: 10240\r\n\r\n' % _SHA256.encode() + _DATA[:5000],
    b"HTTP/1.1 416 R\r\nContent-Range: bytes */10240\r\nContent-Length: 0\r\n\r\n",
    *_UP[4:7],
)


class TransferTarget:
    """`Upload` and `Download`: whatever a server says, they end once, and progress never goes back.

    Args:
        up: Which of the two.
    """

    def __init__(self, *, up: bool) -> None:
        self.name = "upload" if up else "download"
        self._up = up

    def make(self, random: Random) -> Case:
        said = [random.choice(_UP if self._up else _DOWN) for _ in range(random.randrange(1, 8))]
        data = [mutate(random, each) if random.random() < 0.5 else each for each in said]
        pieces = [piece for each in data for piece in cut(random, each)]
        return Case(pieces, {"seed": random.randrange(2**32)})

    def run(self, case: Case) -> None:
        random = Random(case.plan["seed"])
        if self._up:
            transfer: Upload | Download = Upload(
                _CONFIG, random.random, size=len(_DATA), kind="file", name="", sha256=_SHA256
            )
        else:
            start, stop = random.choice(((0, None), (0, None), (5000, None), (2000, 8000)))
            transfer = Download(_CONFIG, random.random, "abc", start=start, stop=stop)
        run = _Run(transfer, random)
        for piece in case.pieces:
            run.settle()
            transfer.receive_data(transfer.link, piece, run.now)
            if random.random() < 0.05:
                transfer.receive_eof(transfer.link, run.now)
            run.pass_time(random.random())
        run.pass_time(3 * MEDIA_IDLE_TIMEOUT)
        expect(len(run.ended) == 1, f"it has ended {len(run.ended)} times")
        expect(transfer.over, "it is not over")
        if run.ended[0].error is None and not self._up:
            expect(len(run.got) == transfer.total, "it has succeeded with more or fewer bytes")
            if start == 0 and stop is None:
                expect(bytes(run.got) == _DATA, "it has succeeded with other bytes")
            elif stop is not None:
                expect(len(run.got) == stop - start, "it has succeeded with more or less than the part")


class _Run:
    def __init__(self, transfer: Upload | Download, random: Random) -> None:
        self.transfer = transfer
        self.random = random
        self.now = 0.0
        self.done = -1
        self.ended: list[Ended] = []
        self.got = bytearray()
        transfer.start(self.now)

    def pass_time(self, seconds: float) -> None:
        end = self.now + seconds
        self.settle()
        while (due := self.transfer.next_deadline()) is not None and due <= end:
            self.now = max(self.now, due)
            self.transfer.handle_timer(self.now)
            self.settle()
        self.now = end

    def settle(self) -> None:
        transfer = self.transfer
        for _ in range(1000):
            acted = False
            while (event := transfer.next_event()) is not None:
                acted = True
                self._act(event)
            if isinstance(transfer, Upload) and (wanted := transfer.wanted) is not None:
                acted = True
                transfer.give(_DATA[wanted[0] : sum(wanted)], self.now)
            transfer.data_to_send(self.now)
            if not acted:
                return
        raise AssertionError("it never comes to rest")

    def _act(self, event: object) -> None:
        transfer = self.transfer
        if isinstance(event, NeedTicket):
            transfer.ticket("ticket", self.now)
        elif isinstance(event, OpenTransport):
            if self.random.random() < 0.2:
                transfer.transport_failed(event.id, ConnectionFailed("Nobody listens."), self.now)
            else:
                transfer.transport_opened(event.id, self.now)
        elif isinstance(event, Received):
            expect(not self.ended, "bytes come behind the end")
            self.got += event.data
            assert isinstance(transfer, Download)
            transfer.consumed(len(event.data), self.now)
        elif isinstance(event, Progress):
            expect(event.done > self.done, f"progress goes from {self.done} to {event.done}")
            expect(event.done <= event.total, "there is more than all")
            self.done = event.done
        elif isinstance(event, Ended):
            self.ended.append(event)


class FileMessageTarget:
    """`decode_file`, and the headers of images."""

    name = "file-message"

    def make(self, random: Random) -> Case:
        if random.random() < 0.5:
            message = ImageMessage("abc", 5, "a.png", "x", b"\x89PNG\r\n\x1a\n", 1, 2, 3, 4)
            return Case([mutate(random, encode_file(message))], {})
        begin = random.choice([b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR", b"\xff\xd8\xff\xe0", b"BM"])
        return Case([mutate(random, begin + random.randbytes(random.randrange(80)))], {})

    def run(self, case: Case) -> None:
        data = b"".join(case.pieces)
        for kind in FILE_KINDS:
            found = decode_file(kind, data)
            expect(found is None or decode_file(kind, encode_file(found)) == found, "it is read in two ways")
        size = image_size(lambda offset, count: data[offset : offset + count])
        expect(size is None or min(size) > 0, "an image has no size")
        expect("/" in media_type(data), "there is no type")
