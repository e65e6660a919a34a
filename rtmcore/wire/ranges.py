"""Ranges of bytes (RFC 9110 section 14): what a client asks for, and what a server says that it gives."""

import re
from typing import Final

import attrs

from rtmcore.wire.http import Headers, header_values

_RANGES: Final = re.compile(r"([-!#$%&'*+.^_`|~0-9A-Za-z]+)=(.*)", re.DOTALL)
_ONE: Final = re.compile(r"([0-9]*)-([0-9]*)")
_CONTENT_RANGE: Final = re.compile(r"(?i:bytes) +(?:([0-9]+)-([0-9]+)|\*)/([0-9]+|\*)")
_ENTITY_TAG: Final = re.compile(r'"[\x21\x23-\x7e\x80-\xff]*"')
_DIGITS: Final = 18
"""Digits up to which a number means itself; beyond, it is larger than anything here."""

_HUGE: Final = 10**_DIGITS


@attrs.frozen
class ByteRange:
    """Some bytes in a row.

    Attributes:
        first: Offset of the first byte, from 0.
        last: Offset of the last byte, at least `first`.
    """

    first: int
    last: int

    @property
    def size(self) -> int:
        """How many bytes it is."""
        return self.last - self.first + 1


@attrs.frozen
class ContentRange:
    """What a Content-Range header tells.

    Attributes:
        range: Which bytes the body has; None behind a range that could not be satisfied.
        total: Bytes of the whole; None where the server does not know.
    """

    range: ByteRange | None
    total: int | None


class RangeNotSatisfiable(Exception):
    """No byte of the range is there: answer with 416 and `headers`.

    Args:
        total: Bytes of the whole.
    """

    def __init__(self, total: int) -> None:
        super().__init__(f"The range lies behind the end of {total} bytes.")
        self.headers: Headers = [("Content-Range", f"bytes */{total}")]


def requested_range(
    headers: Headers, total: int, *, etag: str | None = None, last_modified: str | None = None
) -> ByteRange | None:
    """Which part of something a GET asks for.

    Asking for several parts, in another unit, or not in the form of RFC 9110, is answered with the whole, which that
    allows; so is a condition (If-Range) that does not hold.

    Args:
        headers: Of the request.
        total: Bytes of the whole.
        etag: Its entity tag with the quotation marks; a weak one fits no condition.
        last_modified: The value of its Last-Modified header, where there is one.

    Returns:
        The part to be answered with 206, or None where the whole is to be given.

    Raises:
        RangeNotSatisfiable: There is no such byte.
    """
    found = _RANGES.fullmatch(",".join(header_values(headers, "range")))
    if found is None or found[1].lower() != "bytes" or not _holds(headers, etag, last_modified):
        return None
    specs = [spec for spec in (part.strip(" \t") for part in found[2].split(",")) if spec]
    one = _ONE.fullmatch(specs[0]) if len(specs) == 1 else None
    if one is None or not (one[1] or one[2]):
        return None
    first, last = _number(one[1]), _number(one[2])
    if first is None:
        assert last is not None
        if not last:
            raise RangeNotSatisfiable(total)
        return ByteRange(max(0, total - last), total - 1) if total else None
    if last is not None and _precedes(one[2], one[1]):
        return None
    if first >= total:
        raise RangeNotSatisfiable(total)
    return ByteRange(first, total - 1 if last is None else min(last, total - 1))


def content_range(part: ByteRange, total: int) -> tuple[str, str]:
    """The Content-Range header of an answer with 206.

    Args:
        part: The part that is given.
        total: Bytes of the whole.
    """
    return ("Content-Range", f"bytes {part.first}-{part.last}/{total}")


def range_from(first: int, last: int | None = None) -> tuple[str, str]:
    """The Range header that asks for some bytes.

    Args:
        first: Offset of the first byte, from 0.
        last: Offset of the last byte; None for all that follow.
    """
    return ("Range", f"bytes={first}-{'' if last is None else last}")


def answered_range(headers: Headers) -> ContentRange | None:
    """What the Content-Range header of an answer with 206 or 416 tells.

    Args:
        headers: Of the answer.

    Returns:
        None without such a header, with several, or with one that contradicts itself.
    """
    values = header_values(headers, "content-range")
    found = _CONTENT_RANGE.fullmatch(values[0]) if len(values) == 1 else None
    if found is None or any(len(digits or "") > _DIGITS for digits in found.groups()):
        return None
    total = None if found[3] == "*" else int(found[3])
    if found[1] is None:
        return None if total is None else ContentRange(None, total)
    part = ByteRange(int(found[1]), int(found[2]))
    if part.last < part.first or (total is not None and part.last >= total):
        return None
    return ContentRange(part, total)


def _holds(headers: Headers, etag: str | None, last_modified: str | None) -> bool:
    """Whether the condition of If-Range holds; compared as strongly as the RFC demands."""
    conditions = header_values(headers, "if-range")
    if not conditions:
        return True
    if len(conditions) > 1:
        return False
    if _ENTITY_TAG.fullmatch(conditions[0]):
        return conditions[0] == etag
    return last_modified is not None and conditions[0] == last_modified


def _number(digits: str) -> int | None:
    if not digits:
        return None
    digits = digits.lstrip("0")
    return int(digits or "0") if len(digits) <= _DIGITS else _HUGE


def _precedes(digits: str, others: str) -> bool:
    """Whether one number is smaller than another, however long they are."""
    one, other = digits.lstrip("0"), others.lstrip("0")
    return (len(one), one) < (len(other), other)
