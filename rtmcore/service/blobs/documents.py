"""What requests about blobs say and what they are answered: JSON documents, header fields, refusals."""

import json
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote

import attrs

from rtmcore.codes import DownloadMediaError, UploadMediaError
from rtmcore.limits import BUSY_RETRY, MEDIA_NAME_BYTES
from rtmcore.service.blobs.commands import KINDS, Blob, BlobRefusal, BlobTrouble
from rtmcore.service.web.problems import Problem
from rtmcore.wire.http import Headers, header_values

APPEND_TYPE: Final = "application/offset+octet-stream"
UNSAFE_TYPE: Final = "application/octet-stream"
"""What everything is served as whose type a browser might run."""

SAFE_TYPES: Final = frozenset(
    """
    application/gzip application/zip audio/aac audio/mpeg audio/ogg audio/wav audio/webm image/bmp image/gif image/jpeg
    image/png image/webp text/plain video/mp4 video/ogg video/webm
    """.split()
)
"""The media types that are told and served as they are."""

JSON: Final = ("Content-Type", "application/json")
FRESH: Final = ("Cache-Control", "no-store")

_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_OFFSET: Final = re.compile(r"[0-9]{1,18}")
_PLAIN: Final = re.compile(r"[^A-Za-z0-9 ._()+=,@-]")
_ATTRIBUTE_CHARACTERS: Final = "!#$&+-.^_`|~"


@attrs.frozen
class Announcement:
    """What an upload is going to be."""

    size: int
    kind: str
    sha256: str
    name: str = attrs.field(repr=False)
    type: str


def read_fields(body: bytes, known: Mapping[str, type]) -> dict[str, Any]:
    """The fields of a JSON body.

    Args:
        body: The body.
        known: The fields that there may be, and their types.

    Raises:
        Problem: It is not JSON, or has fields that are unknown or of another type.
    """
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        raise _wrong("The body is not JSON.") from None
    if not isinstance(document, dict):
        raise _wrong("The body is not a JSON object.")
    for name, value in document.items():
        kind = known.get(name)
        if kind is None:
            raise _wrong(f"The body may have the fields {', '.join(known)}, and no other.")
        if not isinstance(value, kind) or isinstance(value, bool):
            raise _wrong(f"The field {name} is not of the type {kind.__name__}.")
    return document


def read_announcement(fields: Mapping[str, Any], most: int) -> Announcement:
    """Judge the fields of an announcement.

    Args:
        fields: See `read_fields`.
        most: Bytes that a file may have.

    Raises:
        Problem: One is missing or not possible, or the file is too large.
    """
    size, kind = fields.get("size", 0), fields.get("kind", "")
    if size < 1:
        raise _wrong("The field size is missing or below 1: an empty file cannot be uploaded.")
    if size > most:
        raise Problem(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"The file has {size} bytes; at most {most} are allowed.",
            UploadMediaError.SIZE_OVERFLOW,
        )
    if kind not in KINDS:
        raise _wrong(f"The field kind is one of {', '.join(KINDS)}.")
    sha256 = str(fields.get("sha256", "")).lower()
    if "sha256" in fields and not _SHA256.fullmatch(sha256):
        raise _wrong("The field sha256 is 64 hexadecimal digits.")
    name = fields.get("name", "")
    if not is_name(name):
        raise _wrong(
            f"The field name is a text of at most {MEDIA_NAME_BYTES} bytes and no path: "
            "without slashes, backslashes and control characters."
        )
    offered = str(fields.get("type", "")).partition(";")[0].strip().lower()
    return Announcement(size, kind, sha256, name, offered if offered in SAFE_TYPES else UNSAFE_TYPE)


def is_name(name: str) -> bool:
    """Whether a file may be called so: a name, and nothing that some system takes for a path."""
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        return False
    return size <= MEDIA_NAME_BYTES and name not in (".", "..") and not re.search(r"[/\\\x00-\x1f\x7f]", name)


def read_offset(headers: Headers) -> int:
    """The offset that an append names.

    Raises:
        Problem: It names none, or the body has another type.
    """
    types = [value.partition(";")[0].strip().lower() for value in header_values(headers, "content-type")]
    if types != [APPEND_TYPE]:
        raise Problem(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f"The body of an append has the Content-Type {APPEND_TYPE}.",
            UploadMediaError.INVALID_ARGUMENT,
        )
    offsets = header_values(headers, "upload-offset")
    if len(offsets) != 1 or not _OFFSET.fullmatch(offsets[0]):
        raise _wrong("Upload-Offset is missing, or is not a number of bytes: the number that the server has.")
    return int(offsets[0])


def document_of(blob: Blob) -> dict[str, Any]:
    """What is told of a blob."""
    document: dict[str, Any] = {
        "id": blob.key.id,
        "kind": blob.kind,
        "size": blob.size,
        "offset": blob.offset,
        "complete": blob.complete,
        "name": blob.name,
        "type": blob.type,
        "expires": blob.expires // 1000,
    }
    if blob.sha256:
        document["sha256"] = blob.sha256
    return document


def offset_of(blob: Blob) -> tuple[str, str]:
    """The header field that tells how far an upload is."""
    return ("Upload-Offset", str(blob.offset))


def etag_of(blob: Blob) -> str:
    """The entity tag of a complete blob."""
    return f'"{blob.sha256}"'


def content_headers(blob: Blob) -> Headers:
    """The header fields of a complete blob: nothing of it is run, whatever its bytes are."""
    kind = blob.type if blob.type in SAFE_TYPES else UNSAFE_TYPE
    return [
        ("Content-Type", f"{kind}; charset=utf-8" if kind.startswith("text/") else kind),
        ("Content-Disposition", _disposition(blob.name)),
        ("ETag", etag_of(blob)),
        ("Accept-Ranges", "bytes"),
        ("Content-Security-Policy", "default-src 'none'; sandbox"),
        ("X-Content-Type-Options", "nosniff"),
        ("Cross-Origin-Resource-Policy", "same-origin"),
        ("Cache-Control", "private, no-cache"),
    ]


def is_known(headers: Headers, blob: Blob) -> bool:
    """Whether the client has the blob already (If-None-Match)."""
    tags = [tag.strip() for value in header_values(headers, "if-none-match") for tag in value.split(",")]
    return "*" in tags or any(tag.removeprefix("W/") == etag_of(blob) for tag in tags)


def problem_of(refusal: BlobRefusal, *, download: bool = False) -> Problem:
    """How a refusal of the store is told.

    Args:
        refusal: The refusal.
        download: Whether a download was asked for.
    """
    trouble = refusal.trouble
    if trouble is BlobTrouble.UNKNOWN:
        return missing(download=download)
    if trouble is BlobTrouble.CHECKSUM:
        return Problem(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "The bytes are not those of the sha256 that was announced; nothing of the upload is kept.",
            UploadMediaError.FAILURE,
        )
    if trouble is BlobTrouble.NO_SPACE:
        text = "There is no space for the file; nothing of the upload is kept."
        return Problem(HTTPStatus.INSUFFICIENT_STORAGE, text, UploadMediaError.FAILURE)
    if trouble is BlobTrouble.TOO_MANY:
        return crowded("The user has too many unfinished uploads; finish or remove some.", UploadMediaError)
    return Problem(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "The files cannot be reached now.",
        DownloadMediaError.FAILURE if download else UploadMediaError.FAILURE,
        BUSY_RETRY,
    )


def missing(*, download: bool = False) -> Problem:
    """There is no such blob, for whoever asks."""
    code = DownloadMediaError.NOT_EXIST if download else UploadMediaError.FAILURE
    return Problem(HTTPStatus.NOT_FOUND, "There is no such file or upload.", code)


def crowded(text: str, codes: type[UploadMediaError] | type[DownloadMediaError]) -> Problem:
    """There is too much of something at once."""
    return Problem(HTTPStatus.TOO_MANY_REQUESTS, text, codes.CONCURRENCY_LIMIT_EXCEEDED, BUSY_RETRY)


def _wrong(text: str) -> Problem:
    return Problem(HTTPStatus.BAD_REQUEST, text, UploadMediaError.INVALID_ARGUMENT)


def _disposition(name: str) -> str:
    """An attachment, with its name for old readers and for new ones (RFC 6266)."""
    if not name:
        return "attachment"
    plain = _PLAIN.sub("_", name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe=_ATTRIBUTE_CHARACTERS)}"
