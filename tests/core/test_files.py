"""Messages about files and images: what they may say, and what comes of the bodies of others."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtmcore.codes import MessageType
from rtmcore.errors import InvalidArgument
from rtmcore.files import FileMessage, ImageMessage, decode_file, encode_file, kind_of
from rtmcore.limits import MEDIA_NAME_BYTES
from rtmcore.models import ChannelMessage, HistoricalMessage, PeerMessage
from rtmcore.service.requests import explain_invalid_message

FILE = FileMessage("abc-DEF_1", 300_000, "report.pdf", "of May", b"\x89PNG")
IMAGE = ImageMessage("i" * 64, 7, "Bild ä.jpg", "", b"\xff\xd8", 640, 480, 160, 120)


def body_of(head: object, thumbnail: bytes = b"") -> bytes:
    data = head if isinstance(head, bytes) else json.dumps(head).encode()
    return len(data).to_bytes(2, "big") + data + thumbnail


@pytest.mark.parametrize("message", [FILE, IMAGE, FileMessage("x"), ImageMessage("x")])
def test_what_is_sent_is_what_comes(message: FileMessage) -> None:
    body = encode_file(message)
    kind = kind_of(message)
    assert decode_file(kind, body) == message
    assert PeerMessage("ann", kind, body, 1).media == message
    assert ChannelMessage("ops", "ann", kind, body, 1).media == message
    assert HistoricalMessage("ann", "ops", True, kind, body, 1).media == message
    assert explain_invalid_message(kind, body, 32_768) is None


def test_an_image_is_told_from_a_file_by_its_kind_alone() -> None:
    body = encode_file(IMAGE)
    assert type(decode_file(MessageType.FILE, body)) is FileMessage
    assert type(decode_file(MessageType.IMAGE, encode_file(FILE))) is ImageMessage
    assert PeerMessage("ann", MessageType.RAW, body, 1).media is None
    assert PeerMessage("ann", MessageType.TEXT, b"hello", 1).media is None


def test_fields_of_later_versions_are_ignored() -> None:
    assert decode_file(3, body_of({"id": "a", "colour": [1, {}]}, b"t")) == FileMessage("a", thumbnail=b"t")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x00",
        b"\x00\x00",
        b"\x00\x05{}",
        body_of(b"{}"),
        body_of(b"no json"),
        body_of(b"\xff\xfe"),
        body_of([1]),
        body_of({"id": ""}),
        body_of({"id": "a/b"}),
        body_of({"id": "a\n"}),
        body_of({"id": "x" * 65}),
        body_of({"id": 5}),
        body_of({"id": "a", "size": -1}),
        body_of({"id": "a", "size": 2**40}),
        body_of({"id": "a", "size": "many"}),
        body_of({"id": "a", "name": "../etc/passwd"}),
        body_of({"id": "a", "name": ".."}),
        body_of({"id": "a", "name": "a\\b"}),
        body_of({"id": "a", "name": "a\x00b"}),
        body_of({"id": "a", "name": "\u202ecod.exe"}),
        body_of({"id": "a", "name": "n" * (MEDIA_NAME_BYTES + 1)}),
        body_of({"id": "a", "width": 2**31}),
        body_of(b'{"id": "a", "name": "\\ud800"}'),
        body_of(b"[" * 20_000),
    ],
)
def test_what_others_make_up_is_refused_and_raises_nothing(body: bytes) -> None:
    assert decode_file(MessageType.IMAGE, body) is None
    assert PeerMessage("eve", MessageType.IMAGE, body, 1).media is None
    assert explain_invalid_message(MessageType.IMAGE, body, 32_768) is not None


@given(st.binary(max_size=200), st.sampled_from([3, 4]))
def test_any_bytes_are_read_or_refused(body: bytes, kind: int) -> None:
    found = decode_file(kind, body)
    assert found is None or decode_file(kind, encode_file(found)) == found


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"media_id": "a b"}, "media id"),
        ({"media_id": None}, "media id"),
        ({"media_id": "a", "size": -1}, "size"),
        ({"media_id": "a", "size": True}, "size"),
        ({"media_id": "a", "name": "a/b"}, "path"),
        ({"media_id": "a", "name": 5}, "int"),
        ({"media_id": "a", "name": "\ud800"}, "Unicode"),
        ({"media_id": "a", "description": None}, "description"),
        ({"media_id": "a", "thumbnail": "x"}, "bytes"),
        ({"media_id": "a", "width": 1.5}, "width"),
    ],
)
def test_a_message_that_cannot_be_is_not_made(values: dict[str, object], words: str) -> None:
    with pytest.raises(InvalidArgument, match=words):
        ImageMessage(**values)  # type: ignore[arg-type]


def test_names_and_thumbnails_stay_out_of_logs() -> None:
    assert "report" not in repr(FILE)
    assert "PNG" not in repr(FILE)


def test_a_description_beyond_all_bounds_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="too long"):
        encode_file(FileMessage("a", description="d" * 70_000))
