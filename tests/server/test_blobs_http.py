"""Files and images over real sockets, by clients that this project did not write or that misbehave."""

import contextlib
import hashlib
import http.client
import json
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from rtmcore.limits import HANDSHAKE_BYTES, MEDIA_TRANSFERS
from rtmsync.server.blobs import store as files
from rtmsync.server.config import DEV_APP_ID, ServerConfig
from rtmsync.server.server import Server
from rtmsync.server.tokens import AppKeys
from tests.openapi import check_answer

BASE = f"/rtm/v1/apps/{DEV_APP_ID}"
APPEND = "application/offset+octet-stream"
JSON = "application/json"
WAIT = 30.0
DATA = os.urandom(3_000_000)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Starts servers, with a data directory unless it is taken away, and with arguments of `Server`."""
    with contextlib.ExitStack() as stack:

        def build(sync: Callable[[int], None] = os.fsync, **settings: Any) -> Server:
            given = {
                "apps": [AppKeys(DEV_APP_ID)],
                "port": 0,
                "drain_seconds": 0.0,
                "data_dir": tmp_path / "data",
            }
            config = ServerConfig(**{**given, **settings})
            return stack.enter_context(Server(config, sync_files=sync))

        yield build


class Person:
    """Somebody with a ticket and `http.client`, which cannot take interim responses."""

    def __init__(
        self,
        stack: contextlib.ExitStack,
        server: Server,
        user: str = "alice",
        context: ssl.SSLContext | None = None,
    ) -> None:
        self.stack = stack
        self.port = server.port
        make = http.client.HTTPConnection if context is None else http.client.HTTPSConnection
        options: dict[str, Any] = {} if context is None else {"context": context}
        self.http = make("127.0.0.1", server.port, timeout=WAIT, **options)
        stack.callback(self.http.close)
        self.ticket = ""
        self.ticket = self.do("POST", f"{BASE}/tickets", {"user": user})[1]["ticket"]

    def do(self, method: str, path: str, body: Any = None, **fields: str) -> tuple[int, Any]:
        headers = {name.replace("_", "-"): value for name, value in fields.items()}
        if self.ticket:
            headers["Authorization"] = f"Bearer {self.ticket}"
        if isinstance(body, dict):
            body = json.dumps(body).encode()
        self.http.request(method, path, body, headers)
        answer = self.http.getresponse()
        self.fields = answer.headers
        data = answer.read()
        document = json.loads(data) if data[:1] == b"{" and answer.headers["Content-Type"] == JSON else None
        found = {name.lower(): value for name, value in answer.getheaders()}
        check_answer(method, path, answer.status, found, document)
        return answer.status, data if document is None else document

    def create(self, size: int, **fields: Any) -> str:
        status, _ = self.do("POST", f"{BASE}/media", {"size": size, "kind": "file", **fields})
        assert status == 201
        return str(self.fields["Location"])

    def append(self, path: str, offset: int, data: Any) -> tuple[int, Any]:
        return self.do(
            "PATCH", path, data, Upload_Offset=str(offset), Content_Type=APPEND, Prefer="no-interim"
        )

    def upload(self, data: bytes = DATA) -> str:
        path = self.create(len(data))
        status, document = self.append(path, 0, data)
        assert (status, document["sha256"]) == (201, hashlib.sha256(data).hexdigest())
        return path

    def raw(self, method: str, path: str, *lines: str) -> socket.socket:
        """A socket on which the head of a request was sent."""
        made = self.stack.enter_context(socket.create_connection(("127.0.0.1", self.port), WAIT))
        head = [
            f"{method} {path} HTTP/1.1",
            "Host: localhost",
            f"Authorization: Bearer {self.ticket}",
            *lines,
            "",
            "",
        ]
        made.sendall("\r\n".join(head).encode())
        return made

    def patch(self, path: str, offset: int, length: int, *lines: str) -> socket.socket:
        return self.raw(
            "PATCH",
            path,
            f"Content-Type: {APPEND}",
            f"Upload-Offset: {offset}",
            f"Content-Length: {length}",
            *lines,
        )

    def offset(self, path: str) -> int:
        assert self.do("HEAD", path)[0] == 204
        return int(self.fields["Upload-Offset"])


@pytest.fixture
def person() -> Iterator[Callable[..., Person]]:
    """Makes people whose sockets are closed after the test."""
    with contextlib.ExitStack() as stack:
        yield lambda *who, **options: Person(stack, *who, **options)


def read_all(sock: socket.socket) -> bytes:
    with sock:
        return b"".join(iter(lambda: sock.recv(65_536), b""))


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


@pytest.mark.parametrize("where", ["disk", "memory"])
def test_a_file_goes_up_and_comes_down(start, person, where) -> None:
    alice = person(start() if where == "disk" else start(data_dir=None))
    path = alice.upload()
    status, data = alice.do("GET", path)
    assert (status, data == DATA) == (200, True)
    status, data = alice.do("GET", path, Range="bytes=1000000-2000000")
    assert (status, data == DATA[1_000_000:2_000_001]) == (206, True)
    assert alice.do("DELETE", path)[0] == 204
    assert alice.do("GET", path)[0] == 404


def test_under_tls(start, person, tmp_path) -> None:
    authority = trustme.CA()
    certificate = tmp_path / "server.pem"
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(certificate))
    context = ssl.create_default_context()
    authority.configure_trust(context)
    alice = person(start(tls_certificate=certificate), context=context)
    path = alice.upload()
    assert alice.do("GET", path)[1] == DATA
    assert alice.append(alice.create(10), 3, DATA)[0] == 409


def test_progress_is_told_in_interim_responses(start, person) -> None:
    alice = person(start())
    path = alice.create(len(DATA))
    sock = alice.patch(path, 0, len(DATA), "Connection: close")
    sock.sendall(DATA)
    answer = read_all(sock)
    heads = answer.split(b"\r\n\r\n")
    told = [int(head.partition(b"Upload-Offset: ")[2]) for head in heads if head.startswith(b"HTTP/1.1 104")]
    assert told == sorted(set(told))
    assert len(told) >= 8
    assert heads[len(told)].startswith(b"HTTP/1.1 201")


@pytest.mark.parametrize(
    ("offset", "length", "status"), [(5, 20_000_000, b"409"), (0, 20_000_000, b"413"), (0, 1000, b"401")]
)
def test_who_is_refused_early_gets_the_answer_although_still_sending(
    start, person, offset, length, status
) -> None:
    alice = person(start())
    path = alice.create(1000)
    if status == b"401":
        alice.ticket, length = "t1.wrong", 20_000_000
    sock = alice.patch(path, offset, length)
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        for _ in range(length // 100_000):
            sock.sendall(bytes(100_000))
    assert read_all(sock).startswith(b"HTTP/1.1 " + status)


def test_a_sender_who_is_cut_again_and_again_gets_there(start, person) -> None:
    alice = person(start())
    path = alice.create(len(DATA), sha256=hashlib.sha256(DATA).hexdigest())
    offsets = [0]
    while offsets[-1] < len(DATA) - 700_000:
        sock = alice.patch(path, offsets[-1], len(DATA) - offsets[-1])
        sock.sendall(DATA[offsets[-1] : offsets[-1] + 300_000])
        assert sock.recv(65_536), "something is acknowledged"
        sock.close()
        offsets.append(alice.offset(path))
    assert offsets == sorted(offsets)
    assert len(offsets) > 5
    status, document = alice.append(path, offsets[-1], DATA[offsets[-1] :])
    assert (status, document["complete"]) == (201, True)
    assert alice.do("GET", path)[1] == DATA


def test_a_reader_who_is_cut_again_and_again_gets_it_all(start, person) -> None:
    alice = person(start())
    path = alice.upload()
    got = b""
    while len(got) < len(DATA):
        sock = alice.raw("GET", path, f"Range: bytes={len(got)}-")
        received = b""
        while b"\r\n\r\n" not in received:
            received += sock.recv(65_536)
        assert received.startswith(b"HTTP/1.1 206")
        body = received.partition(b"\r\n\r\n")[2]
        while len(body) < 250_000 and len(got) + len(body) < len(DATA):
            body += sock.recv(65_536)
        sock.close()
        got += body
    assert got == DATA


def test_a_disk_that_takes_nothing_stops_the_reading_of_that_socket_alone(start, person, monkeypatch) -> None:
    go_on = threading.Event()
    write = os.pwrite

    def slow(*args: Any) -> int:
        assert go_on.wait(WAIT)
        return write(*args)

    server = start()
    alice, bob = person(server), person(server, "bob")
    path = alice.create(len(DATA))
    monkeypatch.setattr(files.os, "pwrite", slow)
    sock = alice.patch(path, 0, len(DATA), "Connection: close", "Prefer: no-interim")
    sender = threading.Thread(target=sock.sendall, args=(DATA,))
    sender.start()
    loop = server._loop
    assert loop is not None
    wait_for(lambda: loop.received_bytes > 250_000)

    def rests() -> bool:
        before, turns = loop.received_bytes, sum(loop.turns.counts)
        time.sleep(0.3)
        return loop.received_bytes == before and sum(loop.turns.counts) - turns < 20

    wait_for(rests)
    assert loop.received_bytes < 1_000_000, "nothing more is read"
    assert bob.do("HEAD", f"{BASE}/media/none")[0] == 404, "others are served"
    go_on.set()
    sender.join(WAIT)
    assert read_all(sock).startswith(b"HTTP/1.1 201")
    assert alice.do("GET", path)[1] == DATA


def test_a_disk_whose_sync_takes_long_disturbs_nobody(start, person, client) -> None:
    slow, go_on = threading.Event(), threading.Event()
    waiting = threading.Semaphore(0)

    def sync(descriptor: int) -> None:
        if slow.is_set():
            waiting.release()
            assert go_on.wait(WAIT)

    server = start(sync=sync, rate_limits=False)
    people = [person(server, f"user-{n}") for n in range(4)]
    paths = [one.create(100_000) for one in people[:3]]
    talker, hearer = client(server), client(server)
    slow.set()
    answers: list[int] = []

    def append(one: Person, path: str) -> None:
        answers.append(one.append(path, 0, bytes(100_000))[0])

    ends = [threading.Thread(target=append, args=each) for each in zip(people, paths, strict=False)]
    for end in ends:
        end.start()
    assert waiting.acquire(timeout=WAIT)
    for _ in range(50):
        assert people[3].do("HEAD", f"{BASE}/media/none")[0] == 404
        assert talker.ask("query_online", users=[hearer.user])[0] == "online"
    assert answers == [], "who needs the disk waits for it"
    go_on.set()
    for end in ends:
        end.join(WAIT)
    assert answers == [201] * len(paths)


def test_nine_at_once_and_a_connection_that_is_gone_does_not_count(start, person) -> None:
    server = start()
    alice = person(server)
    path = alice.upload()
    uploads = [alice.patch(alice.create(1000), 0, 1000) for _ in range(MEDIA_TRANSFERS)]
    wait_for(lambda: server.stats()["transfers"] == MEDIA_TRANSFERS)
    assert alice.do("GET", path)[0] == 429
    for sock in uploads:
        sock.close()
    wait_for(lambda: alice.do("GET", path)[0] == 200)


@pytest.mark.parametrize(
    "junk",
    [
        f"X: {'y' * HANDSHAKE_BYTES}\r\n".encode(),
        b"".join(b"X-%d: y\r\n" % n for n in range(500)),
        b"Upload-Offset: 0\r\n" * 2000,
    ],
)
def test_huge_headers_are_refused(start, person, junk) -> None:
    alice = person(start())
    path = alice.create(10)
    sock = socket.create_connection(("127.0.0.1", alice.port), WAIT)
    with contextlib.suppress(OSError):
        sock.sendall(f"PATCH {path} HTTP/1.1\r\nHost: localhost\r\n".encode() + junk + b"\r\n")
    assert read_all(sock)[:12] in (b"HTTP/1.1 431", b"HTTP/1.1 400")
    assert alice.offset(path) == 0


def test_slow_senders_hold_nothing_but_their_connection(start, person) -> None:
    alice = person(start())
    path = alice.create(50)
    sock = alice.patch(path, 0, 50, "Connection: close")
    for n in range(50):
        sock.sendall(bytes([n]))
        time.sleep(0.002)
    assert b"HTTP/1.1 201" in read_all(sock)
    assert alice.do("GET", path)[1] == bytes(range(50))


def test_liars_leave_nothing_on_the_disk(start, person, tmp_path) -> None:
    alice = person(start())
    assert alice.append(alice.create(1000, sha256="0" * 64), 0, bytes(1000))[0] == 422
    path = alice.create(1000)
    sock = alice.raw(
        "PATCH",
        path,
        f"Content-Type: {APPEND}",
        "Upload-Offset: 0",
        "Transfer-Encoding: chunked",
        "Prefer: no-interim",
    )
    with contextlib.suppress(OSError):
        sock.sendall(b"3e8\r\n" + bytes(1000) + b"\r\n3e8\r\n" + bytes(1000) + b"\r\n0\r\n\r\n")
    assert read_all(sock).startswith(b"HTTP/1.1 413")
    media = tmp_path / "data" / "media"
    wait_for(lambda: not [name for name in os.listdir(media) if len(name) >= 64])


def test_what_was_begun_goes_on_behind_a_restart_of_the_server(start, person, tmp_path) -> None:
    server = start()
    alice = person(server)
    path = alice.create(len(DATA))
    alice.append(path, 0, DATA[:1_000_000])
    ticket = alice.ticket
    server.stop()
    alice = person(start())
    alice.ticket = ticket  # it is still good
    assert alice.offset(path) == 1_000_000
    assert alice.append(path, 1_000_000, DATA[1_000_000:])[0] == 201
    assert alice.do("GET", path)[1] == DATA


def test_reloading_changes_the_limits(start, person) -> None:
    server = start()
    alice = person(server)
    config = server.config
    assert (
        server.reload(ServerConfig(apps=config.apps, port=0, data_dir=config.data_dir, limits={"file": 10}))
        == ()
    )
    assert alice.do("POST", f"{BASE}/media", {"size": 11, "kind": "file"})[0] == 413
    assert alice.do("POST", f"{BASE}/media", {"size": 10, "kind": "file"})[0] == 201
    server.reload(
        ServerConfig(
            apps=config.apps,
            port=0,
            data_dir=config.data_dir,
            limits={"app_files_bytes": 31_457_280, "file": 10},
        )
    )
    assert alice.do("POST", f"{BASE}/media", {"size": 10, "kind": "file"})[0] == 201
