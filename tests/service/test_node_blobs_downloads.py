"""What a node does with downloads, and what holds all transfers."""

import hashlib

import pytest

from rtmcore.limits import (
    HTTP_IDLE_TIMEOUT,
    MEDIA_IDLE_TIMEOUT,
    MEDIA_TRANSFERS,
    MEDIA_TRANSFERS_MAX,
    MEDIA_WINDOW_BYTES,
)
from rtmcore.service.blobs.commands import WriteBlob
from rtmcore.service.blobs.documents import SAFE_TYPES
from rtmcore.service.blobs.routes import BLOB_ROUTES
from tests.service.files import DATA, MEDIA, Chunks, Files, Place


@pytest.fixture
def place():
    return Place()


# --- Downloads ------------------------------------------------------------------------------------------------------


def test_a_download(place):
    path = place.upload(name='a "b" ü.txt', type="text/plain")
    one = place.files("bob")
    one.download(path)
    assert (one.status, one.whole, bytes(one.received)) == (200, True, DATA)
    assert one.fields == {
        "content-type": "text/plain; charset=utf-8",
        "content-disposition": "attachment; filename=\"a _b_ _.txt\"; filename*=UTF-8''a%20%22b%22%20%C3%BC.txt",
        "etag": f'"{hashlib.sha256(DATA).hexdigest()}"',
        "accept-ranges": "bytes",
        "content-security-policy": "default-src 'none'; sandbox",
        "x-content-type-options": "nosniff",
        "cross-origin-resource-policy": "same-origin",
        "cache-control": "private, no-cache",
        "content-length": str(len(DATA)),
    }
    assert one.do("HEAD", path) == (200, b"")
    assert one.fields["content-length"] == str(len(DATA))


@pytest.mark.parametrize(
    "kind", ["text/html", "image/svg+xml", "application/javascript", "text/xml", "application/pdf", "", "x"]
)
def test_nothing_is_served_that_a_browser_would_run(place, kind):
    path = place.upload(b"<script>", type=kind)
    one = place.files()
    one.download(path)
    assert one.fields["content-type"] == "application/octet-stream"
    assert kind not in SAFE_TYPES


@pytest.mark.parametrize(
    ("asked", "status", "part"),
    [
        ("bytes=0-99", 206, DATA[:100]),
        ("bytes=500000-", 206, DATA[500_000:]),
        ("bytes=-5", 206, DATA[-5:]),
        (f"bytes=0-{len(DATA)}", 206, DATA),
        ("bytes=0-1,5-6", 200, DATA),
        ("lines=1-2", 200, DATA),
    ],
)
def test_ranges(place, asked, status, part):
    path = place.upload()
    one = place.files()
    one.download(path, ("Range", asked))
    assert (one.status, bytes(one.received)) == (status, part)
    if status == 206:
        first = DATA.find(part) if part != DATA[:100] else 0
        assert one.fields["content-range"].endswith(f"/{len(DATA)}")
        assert int(one.fields["content-range"][6:].partition("-")[0]) in (first, len(DATA) - len(part))


def test_ranges_that_cannot_be_had_and_conditions(place):
    path = place.upload()
    one = place.files()
    etag = f'"{hashlib.sha256(DATA).hexdigest()}"'
    assert one.do("GET", path, None, ("Range", f"bytes={len(DATA)}-"))[0] == 416
    assert one.fields["content-range"] == f"bytes */{len(DATA)}"
    one.download(path, ("Range", "bytes=5-9"), ("If-Range", etag))
    assert (one.status, bytes(one.received)) == (206, DATA[5:10])
    one.download(path, ("Range", "bytes=5-9"), ("If-Range", '"other"'))
    assert one.status == 200
    assert one.do("GET", path, None, ("If-None-Match", etag)) == (304, b"")
    assert one.fields["etag"] == etag


def test_a_slow_reader_holds_a_window_and_no_more(place):
    path = place.upload()
    one = place.files()
    one.room = 0
    one.download(path)
    held = place.node._connections[one.number].measure() + sum(
        job.reading for job in place.node._blobs._jobs.all()
    )
    assert 0 < held <= MEDIA_WINDOW_BYTES + 2000
    while not one.whole:
        one.read_on(10_000)
        assert place.node._connections[one.number].measure() <= MEDIA_WINDOW_BYTES + 2000
    assert bytes(one.received) == DATA


def test_a_reader_that_asked_for_the_end_gets_all_of_it_however_slow_it_is(place):
    path = place.upload()
    one = place.files()
    one.room = 0
    one.download(path, ("Connection", "close"))
    while not one.whole:
        place.world.pass_time(MEDIA_IDLE_TIMEOUT - 1)
        one.read_on(50_000)
    assert bytes(one.received) == DATA


def test_a_slow_reader_that_keeps_its_connection_gets_all_of_it(place):
    path = place.upload()
    one = place.files()
    one.room = 0
    one.download(path)
    while not one.whole:
        place.world.pass_time(MEDIA_IDLE_TIMEOUT - 1)
        one.read_on(50_000)
    assert bytes(one.received) == DATA
    assert place.node.stats()["transfers"] == 0
    place.world.pass_time(HTTP_IDLE_TIMEOUT - 1)
    assert not one.ended
    one.ticket = place.ticket()
    assert one.do("HEAD", path)[0] == 200


def test_a_blob_that_goes_while_it_is_downloaded(place):
    path = place.upload()
    one = place.files("bob")
    one.room = 1000
    one.download(path)
    assert place.files().do("DELETE", path) == (204, b"")
    one.read_on()
    assert not one.whole
    assert one.ended


# --- Bounds ---------------------------------------------------------------------------------------------------------


def test_a_user_has_nine_transfers_at_once(place):
    finished = place.upload()
    ticket = place.ticket()
    going = []
    for n in range(MEDIA_TRANSFERS):
        one = Files(place.world, ticket)
        if n % 2:
            one.room = 0
            one.download(finished)
        else:
            path = place.create()
            one.begin(path, 0, len(DATA))
        going.append(one)
    assert place.node.stats()["transfers"] == MEDIA_TRANSFERS
    late = Files(place.world, ticket)
    status, document = late.do("GET", finished)
    assert (status, document["error"]["family"], document["error"]["name"]) == (
        429,
        "DownloadMediaError",
        "CONCURRENCY_LIMIT_EXCEEDED",
    )
    assert "retry-after" in late.fields
    another = place.create()
    late.append(another, 0, DATA)
    assert late.final()[0] == 429
    assert place.files().do("HEAD", finished)[0] == 200, "to look is no transfer"
    bob = place.files("bob")
    bob.download(finished)
    assert bob.status == 200
    going[0].push(DATA)
    assert going[0].final()[0] == 201
    late = place.files()
    late.append(another, 0, DATA)
    assert late.final()[0] == 201


def test_all_transfers_together_are_bounded(place, monkeypatch):
    monkeypatch.setattr("rtmcore.service.blobs.jobs.MEDIA_TRANSFERS_MAX", 2)
    assert MEDIA_TRANSFERS_MAX > 2
    path = place.upload()
    for user in ("alice", "bob"):
        one = place.files(user)
        one.room = 0
        one.download(path)
    assert place.files("carol").do("GET", path)[0] == 503


def test_the_node_reads_no_more_than_the_store_takes(place):
    path = place.create()
    one = place.files()
    one.begin(path, 0, len(DATA))
    place.store.held = True
    one.push(DATA)
    assert one.out, "it reads no more"
    assert not place.node.wants_data(one.number)
    held = sum(len(each.data) for each in place.store.submitted if isinstance(each, WriteBlob))
    assert held <= MEDIA_WINDOW_BYTES
    place.let_go()
    assert place.node.wants_data(one.number)
    assert not one.out
    assert one.final()[0] == 201


def test_who_sends_nothing_for_two_minutes_is_sent_away(place):
    path = place.create()
    one = place.files()
    one.begin(path, 0, len(DATA))
    for _ in range(3):
        one.push(DATA[:1])
        place.world.pass_time(MEDIA_IDLE_TIMEOUT - 1)
    assert not one.ended
    place.world.pass_time(1.5)
    status, document = one.final()
    assert (status, document["error"]["name"]) == (408, "TIMEOUT")
    assert one.fields["upload-offset"] == "3"
    place.world.pass_time(5)
    assert one.ended
    assert place.files().do("HEAD", path)[0] == 204, "it can be gone on with"


def test_who_takes_nothing_for_two_minutes_is_sent_away(place):
    path = place.upload()
    one = place.files()
    one.room = 0
    one.download(path)
    place.world.pass_time(MEDIA_IDLE_TIMEOUT - 1)
    assert not one.ended
    place.world.pass_time(5 + MEDIA_IDLE_TIMEOUT)
    assert one.ended
    assert place.node.stats()["transfers"] == 0


def test_a_body_that_does_not_come(place):
    one = place.files()
    raw = Chunks(place.world)
    head = f"POST {MEDIA} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {one.ticket}\r\nContent-Length: 50\r\n\r\n"
    raw.send(head.encode() + b"{")
    place.world.pass_time(MEDIA_IDLE_TIMEOUT + 5)
    assert raw.answer.startswith(b"HTTP/1.1 408 ")
    assert raw.ended


def test_a_store_that_does_not_answer(place):
    path = place.upload()
    place.store.held = True
    ticket = place.office  # tickets need no store
    assert ticket is not None
    ones = [place.files() for _ in range(3)]
    ones[0].download(path)
    ones[1].http.request("DELETE", path, ones[1].headers(), None)
    ones[2].http.request("POST", MEDIA, ones[2].headers(), b'{"size": 1, "kind": "file"}')
    place.world.pass_time(MEDIA_IDLE_TIMEOUT + 1)
    assert ones[0].status == 503
    assert [one.end()[0] for one in ones[1:]] == [503, 503]
    place.let_go()


def test_files_expire_by_themselves(place):
    path = place.upload()
    place.world.pass_time(7 * 86_400 - 10)
    assert place.files().do("HEAD", path)[0] == 200
    place.world.pass_time(400)
    assert place.store.stats()["files"] == 0
    assert place.files().do("HEAD", path)[0] == 404


# --- Ends -----------------------------------------------------------------------------------------------------------


def test_a_node_that_is_drained_lets_transfers_go_on_for_a_while(place):
    path = place.upload()
    fast, slow, new = place.files(), place.files(), place.files()
    for one in (fast, slow):
        one.room = 0
        one.download(path)
    place.node.drain(place.world.now, 10.0)
    place.world.settle()
    assert new.ended or new.do("GET", path)[0] == 503
    fast.read_on()
    assert fast.whole
    place.world.pass_time(9)
    assert not slow.ended
    place.world.pass_time(MEDIA_IDLE_TIMEOUT + 4)
    assert slow.ended
    assert place.node.stats()["transfers"] == 0


def test_sockets_with_files_are_served_last(place):
    path = place.create()
    one = place.files()
    assert one.number not in place.node.media_connections
    one.begin(path, 0, len(DATA))
    assert one.number in place.node.media_connections
    assert place.node.stats()["media_connections"] == 0, "those of rooms are counted there"
    place.node.connection_lost(one.number, place.world.now)
    assert one.number not in place.node.media_connections


def test_refusals_let_the_client_read_them(place):
    path = place.create()
    one = place.files("bob")
    one.begin(path, 0, len(DATA))
    assert one.final()[0] == 404
    assert place.node.is_finished(one.number) or one.ended


def test_statuses_are_those_of_the_table():
    table = {(route.method, route.path): route.statuses for route in BLOB_ROUTES}
    assert len(table) == len(BLOB_ROUTES)
    assert all({401, 403, 404, 503} <= statuses for statuses in table.values())
