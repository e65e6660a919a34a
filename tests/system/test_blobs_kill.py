"""Uploads to a server that is killed again and again: nothing that was acknowledged is lost, and all bytes arrive."""

import hashlib
import json
import os
import random
import re
import socket
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from rtmcore.limits import MEDIA_BYTES
from rtmsync.server.config import DEV_APP_ID
from tests.system.processes import PATIENCE, ServerProcess

pytestmark = pytest.mark.timeout(300)

BASE = f"/rtm/v1/apps/{DEV_APP_ID}"
KILLS = 6


class Uploader:
    """Somebody who uploads one file, on a new connection after each cut."""

    def __init__(self, server: ServerProcess, data: bytes) -> None:
        self.server = server
        self.data = data
        self.acknowledged = 0
        self.ticket = ""
        self.ticket = json.loads(self.do("POST", f"{BASE}/tickets", {"user": "alice"})[2])["ticket"]
        announcement = {"size": len(data), "kind": "file", "sha256": hashlib.sha256(data).hexdigest()}
        self.path = self.do("POST", f"{BASE}/media", announcement)[1]["Location"]

    def do(self, method: str, path: str, document: Any = None) -> tuple[int, Any, bytes]:
        body = None if document is None else json.dumps(document).encode()
        request = urllib.request.Request(f"http{self.server.url[2:]}{path}", body, method=method)
        if self.ticket:
            request.add_header("Authorization", f"Bearer {self.ticket}")
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=PATIENCE) as answer:
                return answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.headers, error.read()

    def offset(self) -> int | None:
        """Bytes that the server has; None where it has them all."""
        status, headers, _ = self.do("HEAD", self.path)
        assert status in (200, 204)
        return None if status == 200 else int(headers["Upload-Offset"])

    def append(self, until: int | None = None) -> bytes:
        """Send from where the server is, until so many bytes are acknowledged or all is answered; the last head."""
        offset = self.offset()
        assert offset is not None
        assert offset >= self.acknowledged, "what was acknowledged is there"
        head = (
            f"PATCH {self.path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {self.ticket}\r\n"
            "Content-Type: application/offset+octet-stream\r\nConnection: close\r\n"
            f"Upload-Offset: {offset}\r\nContent-Length: {len(self.data) - offset}\r\n\r\n"
        )
        answer = b""
        with socket.create_connection(("127.0.0.1", self.server.port), PATIENCE) as sock:
            sock.sendall(head.encode())
            sock.setblocking(False)
            end = time.monotonic() + PATIENCE
            while until is None or self.acknowledged < until:
                assert time.monotonic() < end
                try:
                    offset += sock.send(self.data[offset : offset + 100_000])
                except BlockingIOError:
                    time.sleep(0.001)
                except OSError:
                    pass
                try:
                    received = sock.recv(65_536)
                except BlockingIOError:
                    continue
                if not received:
                    break
                answer += received
                told = [int(each) for each in re.findall(rb"104 \r\nUpload-Offset: (\d+)\r\n\r\n", answer)]
                self.acknowledged = max([self.acknowledged, *told])
        return answer.rpartition(b"HTTP/1.1 ")[2]


def test_an_upload_of_30_mb_to_a_server_that_is_killed(tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    data = chance.randbytes(MEDIA_BYTES)
    with ServerProcess(tmp_path / "data") as server:
        alice = Uploader(server, data)
        for until in sorted(chance.randrange(len(data) - 2_000_000) for _ in range(KILLS)):
            alice.append(until)
            server.kill()
            server.start()
        assert alice.append().startswith(b"201 ")
        server.kill()
        server.start()
        assert alice.offset() is None, "what was answered is on the disk"
        status, headers, body = alice.do("GET", alice.path)
        assert (status, body == data) == (200, True)
        assert headers["ETag"] == f'"{hashlib.sha256(data).hexdigest()}"'
        kept = [name for name in os.listdir(tmp_path / "data" / "media") if len(name) >= 64]
        assert len(kept) == 1


def test_kills_at_the_end_of_uploads(tmp_path: Path) -> None:
    """The server is killed while it finishes files: each is whole and downloadable, or can be gone on with."""
    data = random.randbytes(300_000)
    with ServerProcess(tmp_path / "data") as server:
        people = [Uploader(server, data) for _ in range(6)]
        for turn, one in enumerate(people):
            offset = one.offset()
            with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as sock:
                sock.sendall(
                    f"PATCH {one.path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {one.ticket}\r\n"
                    f"Content-Type: application/offset+octet-stream\r\nUpload-Offset: {offset}\r\n"
                    f"Content-Length: {len(data)}\r\n\r\n".encode()
                    + data
                )
                time.sleep(turn * 0.004)
                server.kill()
            server.start()
        for one in people:
            if one.offset() is not None:
                assert one.append().startswith(b"201 ")
            assert one.do("GET", one.path)[2] == data
        kept = [name for name in os.listdir(tmp_path / "data" / "media") if len(name) >= 64]
        assert len(kept) == len(people)
        assert not [name for name in kept if name.endswith(".part")]
