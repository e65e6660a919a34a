"""What a node does with uploads: announced, appended to, cut, gone on with, refused."""

import hashlib

import pytest

from rtmcore.limits import (
    MEDIA_BYTES,
    MEDIA_CHUNK_BYTES,
    MEDIA_NAME_BYTES,
    MEDIA_UNFINISHED,
)
from rtmcore.service.blobs.commands import BlobTrouble
from tests.service.files import APPEND, DATA, MEDIA, Chunks, Files, Place, pieces


@pytest.fixture
def place():
    return Place()


# --- Uploads --------------------------------------------------------------------------------------------------------


def test_an_upload_from_its_announcement_to_its_end(place):
    path = place.create(
        name="räport.png", kind="image", type="Image/PNG; q=1", sha256=hashlib.sha256(DATA).hexdigest()
    )
    one = place.files()
    one.append(path, 0, DATA)
    status, document = one.final()
    assert status == 201
    assert document == {
        "id": path.rpartition("/")[2],
        "kind": "image",
        "size": len(DATA),
        "offset": len(DATA),
        "complete": True,
        "name": "räport.png",
        "type": "image/png",
        "sha256": hashlib.sha256(DATA).hexdigest(),
        "expires": document["expires"],
    }
    assert one.fields["etag"] == f'"{document["sha256"]}"'
    assert one.fields["upload-offset"] == str(len(DATA))
    assert [status for status, _ in one.interims] == [104] * len(one.interims)
    told = [offset for _, offset in one.interims]
    assert told == sorted(set(told))
    assert len(told) == len(DATA) // MEDIA_CHUNK_BYTES
    assert told[-1] < len(DATA)


def test_interim_responses_can_be_declined(place):
    path = place.create()
    one = place.files()
    one.append(path, 0, DATA, ("Prefer", "no-interim"))
    assert one.final()[0] == 201
    assert one.interims == []


def test_only_what_is_written_is_acknowledged(place):
    path = place.create()
    one = place.files()
    one.begin(path, 0, len(DATA))
    place.store.held = True
    one.push(DATA[: 2 * MEDIA_CHUNK_BYTES])
    assert one.final() is None
    assert one.interims == []
    place.let_go()
    assert one.final() is None
    assert one.interims[-1] == (104, 2 * MEDIA_CHUNK_BYTES)


def test_an_upload_in_parts(place):
    path = place.create()
    one = place.files()
    for at in range(0, len(DATA), 300_000):
        one.append(path, at, DATA[at : at + 300_000])
        status, _ = one.final()
        assert status == (201 if at + 300_000 >= len(DATA) else 204)
        assert one.fields["upload-offset"] == str(min(at + 300_000, len(DATA)))
    one.download(path)
    assert bytes(one.received) == DATA


def test_an_upload_in_chunks(place):
    path = place.create()
    one = place.files()
    head = (
        f"PATCH {path} HTTP/1.1\r\nHost: rtm.example.org\r\nAuthorization: Bearer {one.ticket}\r\n"
        "Content-Type: application/offset+octet-stream\r\nUpload-Offset: 0\r\nTransfer-Encoding: chunked\r\n"
        "Prefer: no-interim\r\n\r\n"
    )
    raw = Chunks(place.world)
    raw.send(
        head.encode()
        + b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces(DATA, 1000))
        + b"0\r\n\r\n"
    )
    assert raw.answer.startswith(b"HTTP/1.1 201 ")
    one.download(path)
    assert bytes(one.received) == DATA


@pytest.mark.parametrize("cut", [0, 1, 65_536, 500_000, len(DATA) - 1])
def test_an_upload_that_was_cut_goes_on(place, cut):
    path = place.create()
    one = place.files()
    one.begin(path, 0, len(DATA))
    one.push(DATA[:cut])
    place.world.wires.pop(one.number)
    place.node.connection_lost(one.number, place.world.now)
    again = place.files()
    assert again.do("HEAD", path) == (204, b"")
    assert again.fields["upload-offset"] == str(cut)
    assert again.fields["upload-length"] == str(len(DATA))
    again.append(path, cut, DATA[cut:])
    assert again.final()[0] == 201
    assert place.node.stats()["transfers"] == 0


def test_who_comes_back_ends_the_connection_that_the_server_believes_in(place):
    path = place.create()
    dead = place.files()
    dead.begin(path, 0, len(DATA))
    dead.push(DATA[:100_000])
    looking = place.files()
    assert looking.do("HEAD", path)[0] == 204
    assert looking.fields["upload-offset"] == "100000"
    assert dead.ended
    dead = place.files()
    dead.begin(path, 100_000, len(DATA) - 100_000)
    place.store.held = True
    dead.push(DATA[100_000:200_000])
    going = place.files() if not place.store.held else Files(place.world, looking.ticket)
    going.begin(path, 100_000, len(DATA) - 100_000)
    place.let_go()
    assert dead.ended
    assert going.final()[0] == 409, "what was on its way is written first"
    assert going.fields["upload-offset"] == "200000"
    assert place.node.stats()["transfers"] == 0


def test_nobody_else_sees_an_unfinished_upload(place):
    path = place.create()
    mallory = place.files("mallory")
    one = place.files()
    one.begin(path, 0, len(DATA))
    one.push(DATA[:1000])
    for method in ("HEAD", "GET", "DELETE"):
        assert mallory.do(method, path)[0] == 404, method
    mallory.append(path, 1000, DATA[1000:])
    assert mallory.final()[0] == 404
    assert not one.ended
    one.push(DATA[1000:])
    assert one.final()[0] == 201


def test_the_last_append_can_be_repeated(place):
    path = place.upload()
    one = place.files()
    one.append(path, len(DATA), b"")
    status, document = one.final()
    assert (status, document["complete"]) == (201, True)
    one.append(path, 5, b"")
    assert one.final()[0] == 409
    assert one.fields["upload-offset"] == str(len(DATA))
    one.append(path, len(DATA), b"more")
    assert one.final()[0] == 413
    assert place.files().do("HEAD", path)[0] == 200, "it is still there"


def test_a_wrong_offset_is_told_before_the_body(place):
    path = place.create()
    one = place.files()
    one.begin(path, 7, len(DATA) - 7, ("Expect", "100-continue"))
    assert one.final()[0] == 409
    assert one.fields["upload-offset"] == "0"
    assert one.http.closed, "the body was not read"


def test_expect_100_continue_is_answered_when_all_is_well(place):
    path = place.create()
    one = place.files()
    one.begin(path, 0, len(DATA), ("Expect", "100-continue"))
    event = one.http.next_event()
    assert (event.status, event.headers) == (100, [])
    one.push(DATA)
    assert one.final()[0] == 201


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ((("Upload-Offset", "0"),), 415),
        ((("Content-Type", "text/plain"), ("Upload-Offset", "0")), 415),
        ((APPEND,), 400),
        ((APPEND, ("Upload-Offset", "")), 400),
        ((APPEND, ("Upload-Offset", "-1")), 400),
        ((APPEND, ("Upload-Offset", "1e3")), 400),
        ((APPEND, ("Upload-Offset", "9" * 19)), 400),
        ((APPEND, ("Upload-Offset", "0"), ("Upload-Offset", "0")), 400),
    ],
)
def test_heads_of_appends_that_say_too_little(place, fields, status):
    path = place.create()
    assert place.files().do("PATCH", path, None, *fields, body=b"x")[0] == status


def test_liars_about_the_checksum_keep_nothing(place):
    path = place.create(sha256="0" * 64)
    one = place.files()
    one.append(path, 0, DATA)
    status, document = one.final()
    assert (status, document["error"]["family"]) == (422, "UploadMediaError")
    assert place.files().do("HEAD", path)[0] == 404
    assert place.store.stats()["files"] == 0


def test_liars_about_the_length_keep_nothing(place):
    path = place.create(DATA[:1000])
    one = place.files()
    one.append(path, 0, DATA[:2000])
    status, document = one.final()
    assert (status, document["error"]["name"]) == (413, "SIZE_OVERFLOW")
    assert place.store.stats()["files"] == 0
    path = place.create(DATA[:1000])
    raw = Chunks(place.world)
    raw.send(
        f"PATCH {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {place.ticket()}\r\nUpload-Offset: 0\r\n"
        "Content-Type: application/offset+octet-stream\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
        + b"3e8\r\n" + DATA[:1000] + b"\r\n1\r\nx\r\n0\r\n\r\n"
    )  # fmt: skip
    assert raw.answer.startswith(b"HTTP/1.1 413 ")
    assert place.store.stats()["files"] == 0


@pytest.mark.parametrize(
    ("trouble", "status"),
    [(BlobTrouble.NO_SPACE, 507), (BlobTrouble.BROKEN, 503), (BlobTrouble.UNKNOWN, 404)],
)
def test_a_disk_that_takes_nothing(place, trouble, status):
    path = place.create()
    one = place.files()
    place.store.refuse = trouble
    one.append(path, 0, DATA)
    assert one.final()[0] == status
    assert place.node.stats()["transfers"] == 0


# --- Announcements --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({}, 400),
        ({"size": 0}, 400),
        ({"size": -1}, 400),
        ({"size": True}, 400),
        ({"size": 1.5}, 400),
        ({"size": "1"}, 400),
        ({"size": MEDIA_BYTES}, 201),
        ({"size": MEDIA_BYTES + 1}, 413),
        ({"size": 10**30}, 413),
        ({"size": 1, "kind": "directory"}, 400),
        ({"size": 1, "kind": None}, 400),
        ({"size": 1, "path": "/etc/passwd"}, 400),
        ({"size": 1, "sha256": "a" * 63}, 400),
        ({"size": 1, "sha256": ""}, 400),
        ({"size": 1, "sha256": "A" * 64}, 201),
        ({"size": 1, "name": "n" * MEDIA_NAME_BYTES}, 201),
        ({"size": 1, "name": "n" * (MEDIA_NAME_BYTES + 1)}, 400),
        ({"size": 1, "name": "../../etc/passwd"}, 400),
        ({"size": 1, "name": "c:\\windows"}, 400),
        ({"size": 1, "name": ".."}, 400),
        ({"size": 1, "name": "a\r\nSet-Cookie: x"}, 400),
        ({"size": 1, "name": "a\0"}, 400),
        ({"size": 1, "name": "\ud800"}, 400),
    ],
)
def test_what_can_be_announced(place, fields, status):
    document = {"kind": "file", **fields} if fields else {}
    assert place.files().do("POST", MEDIA, document)[0] == status


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"[" * 100_000, b'{"size": 1}x', b"\xff"])
def test_bodies_that_are_no_document(place, body):
    assert place.files().do("POST", MEDIA, body=body)[0] == 400


def test_unfinished_uploads_are_bounded(place):
    one = place.files()
    for _ in range(MEDIA_UNFINISHED):
        assert one.do("POST", MEDIA, {"size": 1, "kind": "file"})[0] == 201
    status, document = one.do("POST", MEDIA, {"size": 1, "kind": "file"})
    assert (status, document["error"]["name"]) == (429, "CONCURRENCY_LIMIT_EXCEEDED")
    assert place.files("bob").do("POST", MEDIA, {"size": 1, "kind": "file"})[0] == 201


def test_the_largest_file_is_configured():
    place = Place(limits={"file": 1000, "transfers": 1})
    one = place.files()
    assert one.do("POST", MEDIA, {"size": 1001, "kind": "file"})[0] == 413
    assert one.do("POST", MEDIA, {"size": 1000, "kind": "file"})[0] == 201
    alice = place.world.login("alice")
    assert (alice.welcome.limits["file"], alice.welcome.limits["transfers"]) == (1000, 1)


# --- Removals -------------------------------------------------------------------------------------------------------


def test_only_the_uploader_removes(place):
    path = place.upload()
    assert place.files("bob").do("DELETE", path)[0] == 403
    assert place.files().do("DELETE", path) == (204, b"")
    assert place.files().do("DELETE", path)[0] == 404


def test_cancelling_ends_the_append(place):
    path = place.create()
    one = place.files()
    one.begin(path, 0, len(DATA))
    one.push(DATA[:1000])
    assert place.files().do("DELETE", path) == (204, b"")
    assert one.ended
    assert place.store.stats()["files"] == 0
